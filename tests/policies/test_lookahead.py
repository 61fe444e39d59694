"""Looking ahead on copies: picks what is best, leaves the world alone, and is never below its bases."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from metalore.policies import Fixed, LookAhead, Policy, PolicyError, QueueAware, make_policy
from metalore.policies.rollout import run_episodes
from metalore.scenario import Scenario, load
from metalore.world import World, WorldError

FEW = [(0.0, 0.1), (0.1, 0.0), (0.0, -0.1), (-0.1, 0.0), (0.3, 0.3), (-0.3, -0.3)]
BASES: list[Policy] = [Fixed(0.25, 0.3), QueueAware([-1.2, -0.1, -0.2, -1.2, 0.3, 0.2])]


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load("smart-city", max_steps=15)


def returns(scenario: Scenario, policy: Policy, count: int = 4, batch: int | None = None) -> np.ndarray:
    return run_episodes(scenario, policy, range(count), batch=batch).episodes["return"]


def test_one_step_ahead_picks_what_earns_most_in_that_step(scenario: Scenario) -> None:
    """Against steps of copies that are made here, one for each candidate."""
    world = World(scenario, 3)
    world.reset(0)
    policy = LookAhead(Fixed(0.4, 0.4), candidates=FEW, horizon=1)
    splits = np.clip(np.array([(0.0, 0.0), *FEW]) + 0.4, 0, 1)
    differ = 0
    for _ in range(15):
        chosen = policy(world)
        rewards = []
        for split in splits:
            copy = World(scenario, 3)
            copy.copy_state(world, np.arange(3))
            copy.step(np.tile(split, (3, 1, 1)))
            rewards.append(copy.reward.copy())
        best = np.argmax(rewards, axis=0)
        np.testing.assert_array_equal(chosen[:, 0], splits[best])
        differ += int((best > 0).sum())
        world.step(chosen)
    assert differ > 5  # it was not all the base's own choice


def test_a_request_that_waits_for_compute_gets_it() -> None:
    """A request of 5 Gcycle, a server of 6 a step: of 10, 50 and 90 % only the last completes it within the step."""
    size = {"mean": 5.0, "distribution": "constant", "minimum": 0.0}
    small = {"mean": 1e-3, "distribution": "constant", "minimum": 0.0}
    scenario = load(
        {
            "name": "by-hand",
            "max_steps": 10,
            "stations": [{"compute_gcycle_s": 6.0}],
            "users": {
                "count": 1,
                "mobility": {"kind": "static"},
                "positions_m": [[110.0, 100.0]],
                "requests": {"probability": 1.0, "data_mbit": small, "compute_gcycle": size},
            },
            "sensors": {
                "count": 1,
                "placement": {"kind": "fixed", "positions_m": [[100.0, 110.0]]},
                "updates": {"data_mbit": small, "compute_gcycle": small},
            },
        }
    )
    world = World(scenario)
    world.reset(0)
    policy = LookAhead(Fixed(0.5, 0.5), candidates=[(0.0, -0.4), (0.0, 0.4)], horizon=1)
    world.step(np.full((1, 1, 2), 0.5))  # the request waits for the update, which is done after it was looked at
    assert policy(world)[0, 0].tolist() == pytest.approx([0.5, 0.9])


def test_it_never_falls_below_any_base(scenario: Scenario) -> None:
    ahead = returns(scenario, LookAhead(BASES, candidates=FEW))
    for base in BASES:
        assert (ahead >= returns(scenario, base) - 1e-9).all()
    assert ahead.mean() > max(returns(scenario, base).mean() for base in BASES)


def test_two_stations_and_a_horizon_beyond_the_end() -> None:
    scenario = load("smart-city", max_steps=8, stations=[{"x_m": 50.0, "y_m": 100.0}, {"x_m": 150.0, "y_m": 100.0}])
    base = Fixed(0.3, 0.3)
    ahead = returns(scenario, LookAhead(base, candidates=FEW, horizon=50), 2)
    assert (ahead >= returns(scenario, base, 2) - 1e-9).all()


@pytest.mark.parametrize("clairvoyant", [True, False])
def test_decisions_do_not_depend_on_the_batch(scenario: Scenario, clairvoyant: bool) -> None:
    def policy() -> LookAhead:
        return LookAhead(BASES[1], candidates=FEW, horizon=4, clairvoyant=clairvoyant, samples=2)

    np.testing.assert_array_equal(returns(scenario, policy(), 3), returns(scenario, policy(), 3, batch=1))


def test_looking_leaves_the_world_alone(scenario: Scenario) -> None:
    one, other = World(scenario, 2), World(scenario, 2)
    policy = LookAhead(BASES[0], candidates=FEW, clairvoyant=False, samples=2)
    for world in (one, other):
        world.reset(5)
    for _ in range(5):
        policy(one)
        for world in (one, other):
            world.step(np.full((2, 1, 2), 0.4))
    np.testing.assert_array_equal(one.episode_totals, other.episode_totals)
    np.testing.assert_array_equal(one.seeds, other.seeds)


def test_sampled_futures_are_not_the_real_one(scenario: Scenario) -> None:
    """A clairvoyant's choices follow what will come; without that, the same past gives the same choice."""
    pairs = {}
    for clairvoyant in (True, False):
        world = World(scenario, 2)
        world.reset([1, 1])
        for _ in range(4):
            world.step(np.full((2, 1, 2), 0.4))
        seen = []
        for future in range(12):
            copy = World(scenario, 2)
            copy.copy_state(world, [0, 1])
            if clairvoyant:
                copy.reseed([1000 + future] * 2)
            policy = LookAhead(BASES[0], candidates=FEW, horizon=3, clairvoyant=clairvoyant, samples=2)
            seen.append(policy(copy)[0, 0].tolist())
        pairs[clairvoyant] = seen
    assert any(a != b for a, b in pairwise(pairs[True]))
    assert all(a == b for a, b in pairwise(pairs[False]))


def test_reseeded_worlds_keep_their_past_and_change_their_future(scenario: Scenario) -> None:
    world = World(scenario, 3)
    with pytest.raises(WorldError, match="reset before reseed"):
        world.reseed([1, 2, 3])
    world.reset([7, 7, 7])
    shares = np.full((3, 1, 2), 0.4)
    for _ in range(3):
        world.step(shares)
    before = world.episode_totals.copy()
    world.reseed([7, 8, 9])
    np.testing.assert_array_equal(world.episode_totals, before)
    for _ in range(5):
        world.step(shares)
    assert len(np.unique(world.episode_totals, axis=0)) == 3
    alone = World(scenario)
    alone.reset(7)
    for _ in range(8):
        alone.step(shares[:1])
    np.testing.assert_array_equal(alone.episode_totals[0], world.episode_totals[0])


def test_by_name() -> None:
    ahead = make_policy("look-ahead:fixed:0.25,0.3")
    assert isinstance(ahead, LookAhead)
    assert [base.name for base in ahead.bases] == ["fixed(0.25,0.3)"]
    assert make_policy("look-ahead").name == "look-ahead"
    assert make_policy("look-ahead-sampled:max-weight").name == "look-ahead-sampled"
    with pytest.raises(PolicyError, match="unknown policy 'nothing'"):
        make_policy("look-ahead:nothing")
    with pytest.raises(PolicyError, match=r"did you mean 'look-ahead'\?.*look-ahead-sampled"):
        make_policy("lookahead")


def test_errors() -> None:
    for wrong in ({"horizon": 0}, {"samples": 0}, {"threads": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            LookAhead(BASES[0], **wrong)
    with pytest.raises(ValueError, match="pairs of numbers"):
        LookAhead(BASES[0], candidates=[(0.1, 0.2, 0.3)])
    with pytest.raises(ValueError, match="needs a base"):
        LookAhead([])
