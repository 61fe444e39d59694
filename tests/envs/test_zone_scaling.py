"""One zone and a city of them: the checkers accept both, a batch equals its environments, and numbers are as told."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from fluid.by_hand import demand
from gymnasium.utils.env_checker import check_env

pytest.importorskip("pettingzoo", reason="the extra `multi` is not installed")

from metalore.autoscale.agents import MOVES, TERMS, Reward
from metalore.autoscale.errors import AutoscaleError
from metalore.envs import zone_scaling_v0
from metalore.envs.zone_core import ZoneCore, ZoneSettings
from metalore.envs.zone_scaling import ZoneScalingEnv, ZoneScalingVectorEnv
from metalore.envs.zone_world import WorldZones
from metalore.fluid import FluidError, FluidZones
from metalore.scenario import load

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PettingZoo's tests import what PettingZoo deprecates
    from pettingzoo.test import parallel_api_test, parallel_seed_test

KEEP = 13
EVERYTHING: dict[str, Any] = {
    "features": ("forecast", "allocation", "quantiles", "telemetry", "error", "calendar", "announced", "budget", "up"),
    "horizons": (1, 5),
    "recent": 3,
    "disturbances": {
        "crowds_per_day": 20.0,
        "failures_per_day": 20.0,
        "stale_per_day": 20.0,
        "bias_sd": 0.2,
        "drift_sd": 0.2,
    },
}
ASKED = demand(100.0, 1.0, zones=3, intervals=60)
SHORT_WORLD = load("one-zone", max_steps=15 * 60, **{"city.start_hour": 12.0})


def make(**options: Any) -> ZoneScalingEnv:
    return ZoneScalingEnv(**{"demand": ASKED, "intervals": 10, **options})


def played(env: Any, actions: list[int], seed: int | None = None) -> list[tuple]:
    env.reset(seed=seed)
    return [env.step(action)[:2] for action in actions]


# -- checkers ----------------------------------------------------------------------------------------------------------

CASES = {
    "fluid": {},
    "multi": {"actions": "multi"},
    "everything": EVERYTHING,
    "world": {"demand": SHORT_WORLD, "engine": "world", "intervals": 5},
}


@pytest.mark.parametrize("name", CASES)
def test_checkers_accept(name: str) -> None:
    from stable_baselines3.common.env_checker import check_env as sb3_check

    check_env(make(**CASES[name]), skip_render_check=True)
    sb3_check(make(**CASES[name]))


def test_ansi_says_what_is_given() -> None:
    env = make(render_mode="ansi")
    env.reset(seed=1)
    assert env.render().startswith("given ")
    env.step(KEEP)
    assert "reward" in env.render()


# -- one zone ----------------------------------------------------------------------------------------------------------


def test_seeds_repeat_and_episodes_go_on() -> None:
    env, plan = make(**EVERYTHING), list(range(10))
    first, second = played(env, plan, 7), played(env, plan)
    again = played(env, plan, 7)
    for ours, theirs in zip(first, again, strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert ours[1] == theirs[1]
    assert [reward for _, reward in first] != [reward for _, reward in second]
    assert [reward for _, reward in first] != [reward for _, reward in played(env, plan, 8)]


@pytest.mark.parametrize("name", CASES)
def test_pickled_mid_episode_goes_on_identically(name: str) -> None:
    env = make(**CASES[name])
    env.reset(seed=2)
    action = np.array([1, 2, 0]) if name == "multi" else KEEP
    env.step(action)
    twin = pickle.loads(pickle.dumps(env))
    for _ in range(3):
        ours, theirs = env.step(action), twin.step(action)
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert ours[1] == theirs[1]


def test_batch_is_its_environments_one_by_one() -> None:
    options: dict[str, Any] = {"demand": ASKED, "intervals": 6, **EVERYTHING}
    batch = gymnasium.make_vec(
        "metalore/ZoneScaling-v0", num_envs=3, vectorization_mode="vector_entry_point", **options
    )
    ours, _ = batch.reset(seed=4)
    single = [ZoneScalingEnv(**options) for _ in range(3)]
    theirs = [env.reset(seed=4 + e)[0] for e, env in enumerate(single)]
    np.testing.assert_array_equal(ours, theirs)
    rng, over = np.random.default_rng(0), False
    for _ in range(14):
        actions = rng.integers(27, size=3)
        seen, rewards, _, truncated, info = batch.step(actions)
        for e, env in enumerate(single):
            if over:
                np.testing.assert_array_equal(seen[e], env.reset()[0])
                assert rewards[e] == 0
                continue
            theirs = env.step(actions[e])
            np.testing.assert_array_equal(seen[e], theirs[0])
            assert (rewards[e], truncated[e]) == (theirs[1], theirs[3])
            np.testing.assert_array_equal(info["action_mask"][e], theirs[4]["action_mask"])
        over = bool(truncated[0])


def test_actions_move_sizes_by_steps_and_stay_within_ranges() -> None:
    env = make(starts_anywhere=True, intervals=40)
    env.reset(seed=3)
    ranges = env.core.ranges
    for action in np.random.default_rng(1).integers(27, size=40).tolist():
        before, mask = env.core.given[0, 0], env.action_masks()
        env.step(action)
        after = env.core.given[0, 0]
        wanted = before + MOVES[action] * ranges.step
        inside = (wanted >= ranges.least - 1e-9) & (wanted <= ranges.most + 1e-9)
        np.testing.assert_allclose(after, np.where(inside, wanted, before))
        assert mask[action] == inside.all()


def test_masks_at_the_borders() -> None:
    core = ZoneCore(FluidZones(ASKED, single=True), ZoneSettings(intervals=5))
    core.reset([1])
    core.levels[0, 0] = [0, 5, core.ranges.top[2]]
    np.testing.assert_array_equal(core.mask()[0, 0], [[False, True, True], [True, True, True], [True, True, False]])


def test_reward_is_minus_the_weighted_terms() -> None:
    env = make(reward={"cost": 2.0, "change": 0.5})
    env.reset(seed=1)
    weights = Reward(cost=2.0, change=0.5).weights
    for action in (26, KEEP, 0):
        _, reward, _, _, info = env.step(action)
        terms = np.array([info["reward_terms"][name] for name in TERMS])
        assert reward == pytest.approx(-(weights * terms).sum())
        cores, memory_mb, mbps = info["given"]
        assert info["reward_terms"]["cost"] == pytest.approx(
            0.6 * cores / 2 + 0.2 * memory_mb / 2048 + 0.2 * mbps / 200
        )
        assert info["reward_terms"]["change"] == (0.0 if action == KEEP else 1.0)


def test_foresight_shows_what_comes_and_last_value_what_was() -> None:
    used = np.arange(60.0)[:, None, None] / np.array([100.0, 1.0, 1.0, 1.0]) * np.ones((60, 3, 4))
    asked = replace(ASKED, used=used)
    for forecast, shift in (("foresight", 0), ("last-value", -1)):
        core = ZoneCore(FluidZones(asked), ZoneSettings(intervals=5, forecast=forecast, part=(0.5, 1.0)))
        core.reset([1])
        row = int(core.zones.row[0])
        np.testing.assert_allclose(core.forecast[0, :, 0, 0, 0], (row + shift) / 100)
    none = ZoneCore(FluidZones(asked), ZoneSettings(intervals=5, forecast="none"))
    assert (none.reset([1])[..., :4] == 0).all()


def test_last_value_does_not_look_ahead() -> None:
    from metalore.fluid.ahead import forecasts_of

    drawn = np.random.default_rng(0).random((60, 3, 4))
    future = drawn.copy()
    future[30:] = 99.0
    ours, theirs = (forecasts_of("last-value", replace(ASKED, used=used), (1, 4)) for used in (drawn, future))
    at, zones = np.array([30]), np.array([[0, 1, 2]])
    np.testing.assert_array_equal(ours(at, zones), theirs(at, zones))


def test_stale_forecasts_are_those_of_before_and_biased_ones_are_off() -> None:
    used = np.repeat(np.arange(1.0, 61.0)[:, None, None], 3, 1) * np.ones(4) / 60
    core = ZoneCore(FluidZones(replace(ASKED, used=used)), ZoneSettings(
        intervals=50, forecast="foresight", disturbances=replace(ZoneSettings().disturbances, stale_per_day=200.0),
    ))  # fmt: skip
    core.reset([1])
    ages = []
    for _ in range(49):
        core.step(np.zeros((1, 3, 3), int))
        shown = core.forecast[0, 0, 0, 0, 0] * 60 - 1
        ages.append(round(int(core.zones.row[0]) - shown))
    assert min(ages) == 0
    assert max(ages) > 3
    biased = ZoneCore(FluidZones(replace(ASKED, used=used)), ZoneSettings(
        intervals=50, forecast="foresight", disturbances=replace(ZoneSettings().disturbances, bias_sd=0.5),
    ))  # fmt: skip
    biased.reset([1])
    truth = (biased.zones.row[0] + 1) / 60
    factors = biased.forecast[0, :, 0, 0, 0] / truth
    assert len(set(factors.round(6))) == 3
    np.testing.assert_allclose(biased.forecast[0, :, 0, 1, 0] / truth, factors)


# -- the real world ----------------------------------------------------------------------------------------------------


def test_world_is_asked_the_same_whatever_it_is_given() -> None:
    requests = []
    for size in (0.1, 2.0):
        zones = WorldZones(SHORT_WORLD)
        zones.reset([5], 3)
        outcomes = [zones.advance(np.array([[[size, 1024.0, 100.0]]])) for _ in range(6)]
        requests.append([float(o.requests[0, 0]) for o in outcomes])
        assert requests[-1] == zones.demand.requests[3:9, 0].tolist()
        left = outcomes[-1].waiting[0, 0]
        assert left == pytest.approx(sum(o.requests - o.completed - o.lost for o in outcomes)[0, 0], abs=3)
    assert requests[0] == requests[1]
    assert left < 5
    assert outcomes[-1].latency_ms[0, 0] < 3000


def test_a_station_that_is_down_serves_nobody() -> None:
    zones = WorldZones(SHORT_WORLD)
    zones.reset([5])
    plenty, down = np.array([[[2.0, 2048.0, 200.0]]]), np.array([[False]])
    zones.advance(plenty)
    zones.advance(plenty, up=down)
    assert zones.advance(plenty, up=down).completed[0, 0] == 0
    zones.advance(plenty)
    assert zones.advance(plenty).completed[0, 0] > 0


def test_split_by_a_trained_policy_or_any_rule() -> None:
    calls = []

    def all_to_requests(world: Any) -> np.ndarray:
        calls.append(world.t[0])
        return np.ones((1, 1, 2))

    zones = WorldZones(SHORT_WORLD, all_to_requests)
    zones.reset([1], 2)
    outcome = zones.advance(np.array([[[1.0, 1024.0, 100.0]]]))
    assert calls == list(range(120, 180))
    assert outcome.twin_age_s[0, 0] > 20, "no update is processed any more"
    WorldZones(SHORT_WORLD, "max-weight")


# -- a city ------------------------------------------------------------------------------------------------------------

CITIES: dict[str, dict] = {
    "plain": {},
    "everything": {**EVERYTHING, "city_part": 0.5, "budget": (2.0, 2048.0, 200.0)},
    "offload": {"offload": True, "actions": "multi"},
    "one-zone": {"demand": demand(100.0, 1.0, intervals=60)},
}


def city(**options: Any) -> zone_scaling_v0.ZoneScalingParallelEnv:
    return zone_scaling_v0.parallel_env(**{"demand": ASKED, "intervals": 10, **options})


@pytest.mark.parametrize("name", CITIES)
def test_pettingzoo_accepts(name: str) -> None:
    parallel_api_test(city(**CITIES[name]), num_cycles=50)
    parallel_seed_test(lambda: city(**CITIES[name]))


def test_rewards_are_partly_the_citys() -> None:
    env = city(city_part=0.3)
    env.reset(seed=1)
    _, rewards, _, _, infos = env.step(dict.fromkeys(env.agents, KEEP))
    own = np.array([info["own_reward"] for info in infos.values()])
    np.testing.assert_allclose(list(rewards.values()), 0.7 * own + 0.3 * own.mean())


def test_a_shared_budget_is_never_exceeded_and_goes_to_the_fullest() -> None:
    budget = np.array([1.5, 1024.0, 60.0])
    core = ZoneCore(FluidZones(ASKED), ZoneSettings(intervals=40, budget=tuple(budget)))
    core.reset([1])
    for _ in range(40):
        core.step(np.ones((1, 3, 3), int))
        assert (core.given[0].sum(axis=0) <= budget + 1e-9).all()
    assert core.given[0, :, 0].sum() == pytest.approx(1.5)
    assert not core.mask()[0, :, 0, 2].any()
    core.levels[0, :, 0], core.levels[0, 2, 0] = 4, 3  # 1.4 cores of 1.5: one may have one more
    core._recent[0, :, -1, 0] = [0.1, 0.45, 0.2]
    core.step(np.array([[[1, 0, 0]] * 3]))
    assert core.levels[0, :, 0].tolist() == [4, 5, 3]


def test_offload_moves_work_to_neighbours() -> None:
    env = city(offload=True, intervals=20)
    env.reset(seed=1)
    action = {agent: np.array([1, 1, 1, 2 if agent == "zone-0" else 1]) for agent in env.agents}
    terms = [env.step(action)[4]["zone-0"]["reward_terms"]["network"] for _ in range(8)]
    np.testing.assert_allclose(terms[:5], [0.1, 0.2, 0.3, 0.4, 0.5])
    assert terms[-1] == pytest.approx(0.5)
    assert not env._masks()[0, -1]


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"budget": (0.05, 2048.0, 200.0)}, "less than the least sizes of 1 zones"),
        ({"budget": (0.1, 2048.0)}, "must have three numbers"),
        ({"intervals": 1000}, "shorter than an episode of 1000"),
        ({"intervals": 0}, "an episode of 0 intervals"),
        ({"part": (0.9, 0.1)}, "0 <= first < last <= 1"),
        ({"city_part": 2.0}, "city_part is 2.0"),
        ({"features": ["forecasts"]}, "did you mean 'forecast'"),
        ({"forecast": "oracle"}, "it can be foresight, last-value, none, or a folder"),
        ({"ranges": {"cpu_cores": (0.1, 2.05, 0.1)}}, "no whole number of steps"),
        ({"ranges": {"gpu": (1, 2, 1)}}, "ranges has no 'gpu'"),
        ({"reward": {"cost": -1.0}}, "reward.cost is -1.0"),
        ({"disturbances": {"announced_part": 2.0}}, "announced_part is 2.0"),
        ({"speed": 1}, "no setting 'speed'"),
        ({"actions": "continuous"}, "'discrete' or 'multi'"),
        ({"engine": "gpu"}, "'fluid' or 'world'"),
        ({"engine": "world"}, "the world makes its own demand"),
        ({"engine": "world", "demand": "four-cells", "intervals": 1}, "has 4 zones"),
        ({"engine": "world", "demand": SHORT_WORLD, "disturbances": {"drift_sd": 0.1}}, "draws its own requests"),
        ({"engine": "world", "demand": SHORT_WORLD, "split": "best"}, "unknown policy 'best'"),
        ({"demand": "smart-city"}, "is no city"),
    ],
)
def test_one_sentence(options: dict, sentence: str) -> None:
    with pytest.raises((FluidError, AutoscaleError, ValueError), match=sentence) as refused:
        make(**options)
    assert "\n" not in str(refused.value)


def test_forecasts_that_fail_and_wrong_actions_are_told(tmp_path: Path) -> None:
    env = make()
    env.reset(seed=1)

    def dead(*_: Any) -> np.ndarray:
        raise OSError("the disk is gone")

    env.core._ahead = dead
    with pytest.raises(FluidError, match="the forecasts of 'last-value' failed: the disk is gone"):
        env.step(KEEP)
    with pytest.raises(ValueError, match="must lie in"):
        env.step(27)
    batch = ZoneScalingVectorEnv(2, ASKED, intervals=10)
    batch.reset(seed=1)
    with pytest.raises(ValueError, match="must lie in"):
        batch.step(np.array([-1, 0]))
    cities = city()
    cities.reset(seed=1)
    with pytest.raises(ValueError, match="no action for zone-2"):
        cities.step({"zone-0": KEEP, "zone-1": KEEP})
    with pytest.raises(ValueError, match="must lie in"):
        cities.step(dict.fromkeys(cities.agents, -3))
