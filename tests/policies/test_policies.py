"""Simple rules: their interface on batches, splits worked out by hand, and names that do not exist."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from by_hand import constant

from metalore.policies import NAMES, Fixed, PolicyError, make_policy
from metalore.policies.base import part_of
from metalore.scenario import load
from metalore.world import World, totals_of

ALL = ["fixed:0.3,0.4", "uniform", "demand-proportional", "backlog-proportional", "max-weight", "max-weight-age"]
DEAF = {"radio__noise_w": 1e9}  # nobody is heard, so jobs stay in their devices


def city(users: int, sensors: int, **changes: Any) -> World:
    """Users ask in every step and sensors report in every step; reset with seed 1."""
    world = World(
        load("smart-city", users__count=users, sensors__count=sensors, users__requests__probability=1.0, **changes)
    )
    world.reset(seed=1)
    return world


def step(world: World, share: float = 0.5) -> None:
    world.step(np.full((world.num_envs, world.num_stations, 2), share))


def decide(name: str, world: World) -> list[float]:
    """The first station's shares in environment 0."""
    shares: list[float] = make_policy(name)(world)[0, 0].tolist()
    return shares


def test_parts_are_shares_also_where_sums_left_crumbs() -> None:
    requests, updates = np.array([3.0, 0.0, -9e-16, -9e-16, 1e-15]), np.array([1.0, 0.0, 11.0, 1e-15, -2e-15])
    np.testing.assert_array_equal(part_of(requests, updates), [0.75, 0.5, 0.0, 0.0, 1.0])


# -- interface ---------------------------------------------------------------------------------------------------------


def snapshot(world: World) -> list[bytes]:
    views = (world.t, world.shares, world.seeds, world.episodes, world.episode_totals, world.queue_gcycle)
    return [view.tobytes() for view in (*views, world.devices["backlog"], world.user_positions)]


@pytest.mark.parametrize("scenario", ["smart-city", "four-cells"])
@pytest.mark.parametrize("name", ALL)
def test_shares_of_a_batch(name: str, scenario: str) -> None:
    """One pair in [0, 1] for each station, at any time of an episode; the world takes them and is left as it was."""
    policy = make_policy(name)
    assert policy.name
    world = World(load(scenario, max_steps=30), 5)
    world.reset(seed=4)
    for _ in range(30):
        before = snapshot(world)
        shares = policy(world)
        assert shares.shape == (5, world.num_stations, 2)
        assert (shares >= 0).all()
        assert (shares <= 1).all()
        assert snapshot(world) == before
        assert (make_policy(name)(world) == shares).all()
        world.step(shares)
    assert policy(world).shape == (5, world.num_stations, 2)  # also after the end


@pytest.mark.parametrize("name", ALL)
def test_alone_or_in_a_batch(name: str) -> None:
    """An environment gets the same decisions, and so the same episode, whatever runs beside it; also the next one."""
    scenario = load("four-cells", max_steps=25)
    batch, alone = World(scenario, 4), World(scenario)
    batch.reset(seed=10)
    alone.reset(seed=12)
    for _ in range(2):
        policy, other = make_policy(name), make_policy(name)
        for _ in range(25):
            together, single = policy(batch), other(alone)
            assert (together[2] == single[0]).all()
            batch.step(together)
            alone.step(single)
        assert (batch.episode_totals[2] == alone.episode_totals[0]).all()
        batch.reset()
        alone.reset()


def test_one_policy_for_many_worlds() -> None:
    """A policy keeps nothing of the world it saw before."""
    for name in ALL:
        policy = make_policy(name)
        for scenario in ("smart-city", "smart-city-dynamic", "smart-city"):
            world = World(scenario)
            world.reset(seed=1)
            assert (policy(world) == make_policy(name)(world)).all()


# -- fixed, uniform ----------------------------------------------------------------------------------------------------


def test_fixed() -> None:
    world = World("four-cells", 3)
    world.reset(seed=1)
    assert (make_policy("fixed:0.3,0.4")(world) == np.array([0.3, 0.4])).all()
    assert make_policy("fixed: 1 , 0")(world)[2, 3].tolist() == [1.0, 0.0]
    assert make_policy("fixed:0.3,0.4").name == "fixed(0.3,0.4)"


@pytest.mark.parametrize("split", [(1.1, 0.5), (0.5, -0.1), (math.nan, 0.5), (0.5, math.inf)])
def test_fixed_splits_are_shares(split: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        Fixed(*split)


def test_uniform_depends_on_seed_episode_and_step() -> None:
    """And is uniform: the mean is 1/2 and the variance 1/12."""
    policy = make_policy("uniform")
    world = World(load("four-cells", users__count=1, sensors__count=1, max_steps=40), 50)
    world.reset(seed=0)
    drawn = []
    for _ in range(2):
        for _ in range(40):
            drawn.append(policy(world))
            step(world)
        world.reset()
    shares = np.array(drawn)  # [t, e, s, 2]
    assert len(np.unique(shares)) == shares.size
    error = math.sqrt(1 / 12 / shares.size)
    assert abs(shares.mean() - 0.5) < 4.5 * error
    assert shares.var() == pytest.approx(1 / 12, rel=4.5 * math.sqrt(0.8 / shares.size))


# -- demand ------------------------------------------------------------------------------------------------------------


def test_demand_split_of_smart_city() -> None:
    """10 users ask 0.7 * 50 Mbit and 0.7 * 5 Gcycle in a step, 15 sensors report 70 Mbit and 7 Gcycle."""
    world = World("smart-city", 2)
    world.reset(seed=1)
    assert decide("demand-proportional", world) == pytest.approx([350 / (350 + 1050), 35 / (35 + 105)])
    assert decide("demand-proportional", world) == [0.25, 0.25]


def test_demand_split_of_other_numbers() -> None:
    """Four users, p = 1, 30 Mbit and 2 Gcycle; two sensors every 2 and 4 steps, 40 Mbit and 16 Gcycle."""
    changes = {
        "users__requests__data_mbit": constant(30.0),
        "users__requests__compute_gcycle": constant(2.0),
        "sensors__updates__timing__period_steps": [2.0, 4.0],
        "sensors__updates__data_mbit": constant(40.0),
        "sensors__updates__compute_gcycle": constant(16.0),
    }
    assert decide("demand-proportional", city(4, 2, **changes)) == pytest.approx([120 / (120 + 30), 8 / (8 + 12)])
    chance = {"kind": "bernoulli", "probability": 0.25}
    changes |= {"sensors__updates__timing": chance}
    del changes["sensors__updates__timing__period_steps"]
    assert decide("demand-proportional", city(4, 2, **changes)) == pytest.approx([120 / (120 + 20), 8 / (8 + 8)])


def test_demand_split_counts_the_minimum() -> None:
    """A constant size of 0.5 that is raised to 2 is a demand of 2."""
    small = {"mean": 0.5, "distribution": "constant", "minimum": 2.0}
    world = city(1, 1, users__requests__data_mbit=small, sensors__updates__data_mbit=constant(6.0))
    assert decide("demand-proportional", world)[0] == pytest.approx(2 / 8)


def test_demand_split_follows_the_schedule() -> None:
    """Requests double in steps 10 to 14: 20 * 50 Mbit against 1050 instead of 10 * 50."""
    burst = {"kind": "burst", "from_s": 10.0, "duration_s": 5.0, "factor": 2.0}
    world = World(load("smart-city", users__requests__probability=0.5, users__requests__profile=burst, max_steps=20))
    world.reset(seed=1)
    seen = []
    for _ in range(20):
        seen.append(decide("demand-proportional", world)[0])
        step(world)
    assert seen == pytest.approx([250 / 1300] * 10 + [500 / 1550] * 5 + [250 / 1300] * 5)


def test_demand_split_without_one_kind() -> None:
    assert decide("demand-proportional", city(3, 0)) == [1.0, 1.0]
    assert decide("demand-proportional", city(0, 3)) == [0.0, 0.0]
    assert decide("demand-proportional", city(0, 0)) == [0.5, 0.5]


# -- backlogs ----------------------------------------------------------------------------------------------------------

RADIO = {"users__requests__data_mbit": constant(30.0), "sensors__updates__data_mbit": constant(20.0), **DEAF}
SERVER = {
    "stations__0__compute_gcycle_s": 1.0,
    "users__requests__data_mbit": constant(0.0),
    "users__requests__compute_gcycle": constant(3.0),
    "sensors__updates__data_mbit": constant(0.0),
    "sensors__updates__compute_gcycle": constant(10.0),
}


def test_backlog_in_the_radio() -> None:
    """Two users with 30 Mbit each wait beside a sensor with 20; nothing waits at the server."""
    world = city(2, 1, **RADIO)
    assert decide("backlog-proportional", world) == [0.5, 0.5]
    assert decide("max-weight", world) == [0.5, 0.5]
    step(world)
    assert world.device_backlog()[0, 0].tolist() == [60.0, 20.0]
    assert decide("backlog-proportional", world) == [0.75, 0.5]
    assert decide("max-weight", world) == [1.0, 0.5]


def test_backlog_at_the_server() -> None:
    """Two requests of 3 Gcycle wait for a first update, of whose 10 Gcycle half a Gcycle is done after a step."""
    world = city(2, 1, **SERVER)
    step(world)
    assert world.queue_gcycle[0, 0].tolist() == [6.0, 9.5]
    assert decide("backlog-proportional", world) == [0.5, 6.0 / 15.5]
    assert decide("max-weight", world) == [0.5, 0.0]


def test_backlogs_of_stations_are_told_apart() -> None:
    """Two cells, one with a user and one with a sensor; each cell gives all to its own."""
    cells = ({"x_m": 50.0, "y_m": 100.0, "bandwidth_hz": 1.0}, {"x_m": 150.0, "y_m": 100.0, "bandwidth_hz": 1.0})
    world = city(
        1,
        1,
        stations=cells,
        users__positions_m=[(40.0, 100.0)],
        users__mobility={"kind": "static"},
        sensors__placement={"kind": "fixed", "positions_m": [(160.0, 100.0)]},
    )
    step(world)
    for name in ("backlog-proportional", "max-weight", "max-weight-age"):
        shares = make_policy(name)(world)[0]
        assert shares[:, 0].tolist() == [1.0, 0.0]
        assert shares[:, 1].tolist() == [0.5, 0.5]


def test_environments_are_told_apart() -> None:
    """A user is there or not, by the environment's luck; where one is, all goes to requests."""
    scenario = load("smart-city", users__count=1, sensors__count=0, users__requests__probability=0.5, **DEAF)
    world = World(scenario, 64)
    world.reset(seed=1)
    step(world)
    waits = world.devices["count"][:, 0] == 1
    assert 10 < waits.sum() < 54
    for name in ("backlog-proportional", "max-weight"):
        assert (make_policy(name)(world)[:, 0, 0] == np.where(waits, 1.0, 0.5)).all()


def test_age_tips_the_scales() -> None:
    """After three steps 10 Mbit of requests wait, 2 steps old, beside 12 Mbit of updates, 1 step old on average."""
    once = {"kind": "step", "at_s": 1.0, "factor": 0.0}
    world = city(
        1,
        1,
        users__requests__data_mbit=constant(10.0),
        users__requests__profile=once,
        sensors__updates__data_mbit=constant(4.0),
        **DEAF,
    )
    for _ in range(3):
        step(world)
    assert world.device_backlog()[0, 0].tolist() == [10.0, 12.0]
    assert world.waiting_age()[0].tolist() == [2.0, 1.0]
    assert decide("max-weight", world)[0] == 0.0
    assert decide("max-weight-age", world)[0] == 1.0  # 10 * 3 against 12 * 2
    step(world)  # 10 * (1 + 3) against 16 * (1 + 1.5): a tie
    assert decide("max-weight-age", world)[0] == 0.5


def test_one_kind_takes_all() -> None:
    for name in ("backlog-proportional", "max-weight", "max-weight-age"):
        for users, sensors, share in ((3, 0, 1.0), (0, 3, 0.0), (0, 0, 0.5)):
            world = city(users, sensors, **DEAF)
            step(world)
            assert decide(name, world) == [share, 0.5]


@pytest.mark.parametrize("name", ["max-weight", "max-weight-age"])
def test_requests_that_wait_for_an_update_do_not_keep_it_from_being_processed(name: str) -> None:
    """Two users have the larger backlog from the first step on, and all wait for the sensor's first update."""
    world = city(2, 1, **SERVER | {"sensors__updates__compute_gcycle": constant(2.0)})
    policy = make_policy(name)
    for _ in range(8):
        world.step(policy(world))
    assert totals_of(world.episode_totals, "updates_completed")[0] >= 1
    assert totals_of(world.episode_totals, "requests_completed")[0] >= 1


def test_requests_that_used_their_compute_are_not_held_back() -> None:
    """Without sensors nothing is waited for: the larger backlog has all in every step."""
    world = city(2, 0, **SERVER)
    policy = make_policy("max-weight")
    for _ in range(5):
        step(world)
        assert policy(world)[0, 0, 1] == 1.0


# -- names -------------------------------------------------------------------------------------------------------------


def test_names() -> None:
    assert {name.partition(":")[0] for name in ALL} <= {name.partition(":")[0] for name in NAMES}
    for name in ALL[1:]:
        assert make_policy(name).name == name


@pytest.mark.parametrize("text", ["", "best", "max-wieght", "uniform:3", "Uniform", "backlog_proportional"])
def test_unknown_policies(text: str) -> None:
    with pytest.raises(PolicyError) as caught:
        make_policy(text)
    sentence = str(caught.value)
    assert "\n" not in sentence
    for word in (repr(text), *NAMES):
        assert word in sentence


def test_nearly_a_policy() -> None:
    with pytest.raises(PolicyError, match="did you mean 'max-weight'"):
        make_policy("max-wieght")


@pytest.mark.parametrize(
    "text", ["fixed", "fixed:", "fixed:0.3", "fixed:a,b", "fixed:0.1,0.2,0.3", "fixed:2,0", "fixed:nan,0"]
)
def test_fixed_splits_that_are_none(text: str) -> None:
    with pytest.raises(PolicyError) as caught:
        make_policy(text)
    for word in (repr(text), "fixed:0.3,0.4", "[0, 1]"):
        assert word in str(caught.value)
