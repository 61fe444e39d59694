"""An agent for each cell: PettingZoo accepts it, nothing of the city is lost, and Stable-Baselines3 learns."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("pettingzoo", reason="the extra `multi` is not installed")

from metalore.envs import FEATURES, MultiCellEnv, SmartCityEnv, multi_cell_v0
from metalore.envs.cells import CellObserver, nearest_stations
from metalore.scenario import load
from metalore.world import World, WorldError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PettingZoo's tests import what PettingZoo deprecates
    from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test

OUTAGES = {"stations.0.outages_s": [[0, 10], [30, 40]], "stations.2.outages_s": [[50, 60], [99, 100]]}
FAILURES = {"failures": {"mean_between_s": 20.0, "mean_repair_s": 8.0}}
FULL = {"observation": ("queue_lengths", "last_action", "progress"), "neighbours": 2, "city_part": 0.3, "stack": 2}
CASES: dict[str, dict] = {
    "four-cells": {},
    "one-cell": {"scenario": "smart-city"},
    "full-view": FULL,
    "more-neighbours-than-cells": {"neighbours": 9},
    "outages": {"overrides": OUTAGES},
    "outages-full-view": {"overrides": OUTAGES, **FULL},
    "outages-wait": {"overrides": OUTAGES, "when_down": "wait"},
    "failures-wait": {"overrides": FAILURES, "when_down": "wait"},
}


def make(**options: object) -> multi_cell_v0.MultiCellParallelEnv:
    return multi_cell_v0.parallel_env(**options)


def plan(count: int, stations: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, stations, 2)).astype(np.float32)


def chosen(env: multi_cell_v0.MultiCellParallelEnv, shares: np.ndarray) -> dict[str, np.ndarray]:
    """What each agent does if station z gets ``shares[z]``."""
    return {agent: shares[z] for z, agent in env._agent_of.items()}


# -- PettingZoo --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_pettingzoo_accepts(name: str) -> None:
    parallel_api_test(make(**CASES[name]), num_cycles=1000)
    parallel_seed_test(lambda: make(**CASES[name]))


def test_pettingzoo_accepts_agents_that_come_and_go_by_chance() -> None:
    """It remarks, as it must, that not everybody who might have come did; and nothing else."""
    with pytest.warns(UserWarning, match="not all possible_agents are terminated") as remarks:
        parallel_api_test(make(overrides=FAILURES), num_cycles=1000)
    assert len(remarks) == 2, "one for each of its episodes"
    parallel_seed_test(lambda: make(overrides=FAILURES))


@pytest.mark.parametrize("name", ["four-cells", "outages", "outages-wait"])
def test_pettingzoo_accepts_agents_in_turn(name: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Observation numpy array is all zeros")  # empty queues at reset
        warnings.filterwarnings("ignore", message="We recommend agents to be named")  # they are called like zones
        api_test(multi_cell_v0.env(**CASES[name]), num_cycles=500)


# -- the same world ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("city_part", [0.0, 0.3, 1.0])
def test_one_cell_is_smart_city(city_part: float) -> None:
    ours, theirs = make(scenario="smart-city", city_part=city_part), SmartCityEnv()
    (agent,) = ours.possible_agents
    seen, _ = ours.reset(seed=3)
    np.testing.assert_array_equal(seen[agent], theirs.reset(seed=3)[0])
    earned = 0.0
    for shares in plan(100, 1):
        seen, reward, terminated, truncated, _ = ours.step({agent: shares[0]})
        expected = theirs.step(shares[0])
        np.testing.assert_array_equal(seen[agent], expected[0])
        assert (reward[agent], terminated[agent], truncated[agent]) == expected[1:4]
        earned += reward[agent]
    assert earned != 0
    assert ours.agents == []


@pytest.mark.parametrize("city_part", [0.0, 0.4, 1.0])
def test_rewards_sum_to_the_citys(city_part: float) -> None:
    weights = {"reward.twin_age": 0.5, "reward.loss": 0.1, "buffers.station_jobs": 5}
    ours, theirs = make(overrides=weights, city_part=city_part), MultiCellEnv(overrides=weights)
    ours.reset(seed=5)
    theirs.reset(seed=5)
    spread = 0.0
    for shares in plan(100):
        _, rewards, _, _, infos = ours.step(chosen(ours, shares))
        assert sum(rewards.values()) == pytest.approx(theirs.step(shares.ravel())[1])
        own = np.array([info["own_reward"] for info in infos.values()])
        np.testing.assert_allclose(list(rewards.values()), (1 - city_part) * own + city_part * own.mean())
        spread = max(spread, np.ptp(own))
    assert spread > 1, "cells that earn the same show nothing"


def test_rewards_of_stations_that_are_up_sum_to_the_citys() -> None:
    ours, theirs = make(overrides=OUTAGES, city_part=0.5), MultiCellEnv(overrides=OUTAGES)
    ours.reset(seed=5)
    theirs.reset(seed=5)
    for shares in plan(100):
        _, rewards, *_ = ours.step(chosen(ours, shares))
        assert sum(rewards.values()) == pytest.approx(theirs.step(shares.ravel())[1])


def test_counts_are_those_of_the_world() -> None:
    env = make()
    env.reset(seed=1)
    total: dict[str, float] = {}
    for shares in plan(100):
        *_, infos = env.step(chosen(env, shares))
        for info in infos.values():
            for name, value in info["counts"].items():
                total[name] = total.get(name, 0.0) + value
    of_the_world = dict(zip(multi_cell_v0.METRICS, env.world.episode_totals[0], strict=True))
    for name in ("requests_completed", "requests_lost", "updates_completed", "aosi", "busy_hz", "handovers"):
        assert total[name] == pytest.approx(of_the_world[name])
        assert sum(info["episode_counts"][name] for info in infos.values()) == pytest.approx(total[name])
    parts = ("device_wait", "transmission", "server_wait", "processing")
    assert total["aori"] == pytest.approx(sum(of_the_world[f"request_{part}"] for part in parts))
    assert total["requests_completed"] > 0
    assert "twin_age" not in total


# -- coming and going --------------------------------------------------------------------------------------------------


def test_agents_leave_with_their_station_and_new_ones_come() -> None:
    env = make(overrides=OUTAGES)
    assert env.possible_agents == ["zone-000", "zone-001", "zone-002", "zone-003", "zone-000#2", "zone-002#2"]
    env.reset(seed=0)
    assert env.agents == ["zone-001", "zone-002", "zone-003"], "station 0 is down from the start"
    left, came = {}, {}
    for t, shares in enumerate(plan(100)):
        before = set(env.agents)
        seen, rewards, terminated, truncated, infos = env.step(chosen(env, shares))
        for part in (rewards, terminated, truncated, infos):
            assert part.keys() == seen.keys()
        left |= {agent: t for agent, gone in terminated.items() if gone}
        came |= dict.fromkeys(set(env.agents) - before, t)
        for agent in set(env.agents) - before:
            assert rewards[agent] == 0
            assert infos[agent]["up"]
        if t < 99:
            assert set(env.agents) == {agent for agent in seen if not terminated[agent]}
        assert set(truncated.values()) == {t == 99}
    assert left == {"zone-000": 29, "zone-002": 49, "zone-002#2": 98}
    assert came == {"zone-000": 9, "zone-000#2": 39, "zone-002#2": 59}
    assert env.agents == []


def test_an_agents_last_info_sums_up_its_life() -> None:
    env = make(overrides=OUTAGES)
    env.reset(seed=0)
    summed: dict[str, float] = {}
    ends = {}
    for t, shares in enumerate(plan(100)):
        *_, infos = env.step(chosen(env, shares))
        for agent, info in infos.items():
            assert info["station"] == int(agent.partition("#")[0][-1])
            came = agent not in summed and t > 0  # in this step, in which it did nothing yet
            summed[agent] = summed.get(agent, 0.0) + (0.0 if came else info["counts"]["requests_completed"])
            if "episode_counts" in info:
                ends[agent] = (t, info["episode_counts"]["requests_completed"])
    lasts = {"zone-000": 29, "zone-001": 99, "zone-002": 49, "zone-003": 99, "zone-000#2": 99, "zone-002#2": 98}
    assert ends == {agent: (last, summed[agent]) for agent, last in lasts.items()}
    assert min(summed.values()) > 0


def test_waiting_agents_see_and_earn_nothing_until_their_station_is_up() -> None:
    env = make(overrides=OUTAGES | {"reward.twin_age": 1.0}, when_down="wait", **FULL)
    seen, infos = env.reset(seed=0)
    for t, shares in enumerate(plan(100)):
        assert env.agents == env.possible_agents == ["zone-000", "zone-001", "zone-002", "zone-003"]
        down = t < 10 or 30 <= t < 40
        assert seen["zone-000"].any() != down
        assert infos["zone-000"]["up"] != down
        seen, rewards, _, _, infos = env.step(chosen(env, shares))
        assert (rewards["zone-000"] == 0) == down


def test_what_a_station_without_an_agent_is_told_does_not_matter() -> None:
    """Nor does whether its agent left or waits."""
    leaving, waiting = make(overrides=OUTAGES), make(overrides=OUTAGES, when_down="wait")
    leaving.reset(seed=2)
    waiting.reset(seed=2)
    for shares in plan(100):
        leaving.step(chosen(leaving, shares))
        waiting.step(chosen(waiting, shares))
        np.testing.assert_array_equal(leaving.world.station_rewards, waiting.world.station_rewards)


def test_a_station_whose_names_are_used_up_works_on_with_even_shares() -> None:
    env = make(overrides=OUTAGES, lives=1)
    assert env.possible_agents == ["zone-000", "zone-001", "zone-002", "zone-003"]
    env.reset(seed=0)
    for shares in plan(41):
        env.step(chosen(env, shares))
    assert env.agents == ["zone-001", "zone-002", "zone-003"]
    np.testing.assert_array_equal(env.world.shares[0, 0], [0.5, 0.5])
    assert env.world.zones["up"][0, 0]


def test_when_all_are_down_nobody_is_there_and_the_city_goes_on() -> None:
    env = make(overrides={f"stations.{z}.outages_s": [[2, 4]] for z in range(4)})
    env.reset(seed=0)
    for t in range(6):
        env.step(dict.fromkeys(env.agents, np.array([0.5, 0.5])))
        assert len(env.agents) == (0 if t in (1, 2) else 4)
    assert env.agents[0] == "zone-000#2"


def test_random_failures_have_enough_names() -> None:
    env = make(overrides=FAILURES)
    for seed in range(30):
        env.reset(seed=seed)
        while env.agents or env.world.t[0] < 100:
            env.step(dict.fromkeys(env.agents, np.array([0.5, 0.5])))
            ups = set(np.flatnonzero(env.world.zones["up"][0])) if env.world.t[0] < 100 else set()
            assert set(env._agent_of) == ups


# -- what is seen ------------------------------------------------------------------------------------------------------


def test_neighbours_are_the_nearest_and_those_down_are_flagged() -> None:
    env = make(
        overrides={"stations.1.x_m": 350.0, "stations.3.outages_s": [[20, 50]]},
        observation=("queue_lengths", "attached"),
        neighbours=2,
        when_down="wait",
    )
    env.reset(seed=0)
    queues = env.world.queue_lengths
    for t, shares in enumerate(plan(60)):
        seen = env.step(chosen(env, shares))[0]["zone-001"]
        own = [np.r_[queues[0, z], env.world.attached[0, z]] for z in range(4)]
        np.testing.assert_array_equal(seen[:4], own[1])
        # Station 1 at (350, 100): station 3 at (300, 300) is nearer than station 0 at (100, 100).
        np.testing.assert_array_equal(seen[4:9], np.zeros(5) if 19 <= t < 49 else np.r_[1, own[3]])
        np.testing.assert_array_equal(seen[9:], np.r_[1, own[0]])
    assert queues.sum() > 0


def test_each_feature_is_that_of_the_cell_or_the_city() -> None:
    world = World("four-cells", 3)
    observers = {name: CellObserver(world, [name]) for name in FEATURES}
    world.reset(1)
    world.set_capacity(compute_gcycle_s=[50.0, 60.0, 70.0, 80.0])
    for shares in plan(30):
        world.step(np.broadcast_to(shares, (3, 4, 2)))
    for name, observer in observers.items():
        whole, seen = FEATURES[name](world).reshape(3, -1), observer.first().reshape(3, 4, -1)
        own = whole.reshape(3, 4, -1) if whole.shape[1] == 8 else np.repeat(whole[:, None], 4, axis=1)
        np.testing.assert_array_equal(seen, own.astype(np.float32))
        assert seen.any(), name
    np.testing.assert_array_equal(observers["capacity"].first()[:4], [[100, c] for c in (50, 60, 70, 80)])


def test_nearest_stations_break_ties_by_number() -> None:
    nearest = nearest_stations(World("four-cells"), 4)
    np.testing.assert_array_equal(nearest, [[1, 2, 3, 4], [0, 3, 2, 4], [0, 3, 1, 4], [1, 2, 0, 4]])


def test_state_holds_the_whole_city() -> None:
    env = make(overrides=OUTAGES, observation=("queue_lengths", "progress"))
    env.reset(seed=0)
    for shares in plan(20):
        env.step(chosen(env, shares))
    assert env.state_space.contains(env.state())
    expected = [*np.c_[np.ones(4), env.world.queue_lengths[0]].ravel(), 0.2]
    np.testing.assert_allclose(env.state(), expected, rtol=1e-6)
    for shares in plan(12):
        env.step(chosen(env, shares))
    assert not env.state()[:3].any(), "station 0 is down"


# -- habits ------------------------------------------------------------------------------------------------------------


def episode(env: multi_cell_v0.MultiCellParallelEnv, **reset: int) -> list[dict[str, float]]:
    env.reset(**reset)
    return [env.step(chosen(env, shares))[1] for shares in plan(100)]


def test_reset_with_a_seed_repeats_and_without_one_goes_on() -> None:
    env = make(overrides=FAILURES)
    first, second = episode(env, seed=7), episode(env)
    assert episode(env, seed=7) == first
    assert episode(env) == second
    assert first != second
    assert episode(env, seed=8) != first


def test_pickled_mid_episode_continues_identically() -> None:
    env = make(overrides=OUTAGES, **FULL)
    env.reset(seed=2)
    shares = plan(100)
    for t in range(35):
        env.step(chosen(env, shares[t]))
    twin: multi_cell_v0.MultiCellParallelEnv = pickle.loads(pickle.dumps(env))
    for t in range(35, 100):
        ours, theirs = env.step(chosen(env, shares[t])), twin.step(chosen(twin, shares[t]))
        np.testing.assert_equal(ours, theirs)


def test_pictures() -> None:
    pytest.importorskip("pygame", reason="the extra `render` is not installed")
    env = make(render_mode="rgb_array")
    env.reset(seed=0)
    first = env.render()
    env.step(chosen(env, plan(1)[0]))
    assert first.dtype == np.uint8
    assert (env.render() != first).any()
    env.close()


def test_spaces_are_each_agents_own() -> None:
    env = make()
    spaces = [env.action_space(agent) for agent in env.possible_agents]
    for space in spaces:
        space.seed(1)
    np.testing.assert_array_equal(spaces[0].sample(), spaces[1].sample())


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        ({"zone-000": [0.5, 0.5]}, "no action for zone-001"),
        ({f"zone-00{z}": [0.5, 0.5] for z in range(5)}, "an action for zone-004, who is not there"),
        ({f"zone-00{z}": [0.5] for z in range(4)}, "action of zone-000 has shape"),
        ({f"zone-00{z}": [0.5, 1.5] for z in range(4)}, "shares must be numbers"),
    ],
)
def test_wrong_actions_are_refused(actions: dict, words: str) -> None:
    env = make()
    env.reset(seed=0)
    with pytest.raises(WorldError, match=words):
        env.step(actions)
    assert env.world.t[0] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"observation": ("queue_length",)}, "did you mean 'queue_lengths'"),
        ({"neighbours": -1}, "neighbours is -1"),
        ({"city_part": 1.5}, "city_part is 1.5"),
        ({"when_down": "cry"}, "'leave' or 'wait'"),
        ({"lives": 0}, "lives is 0"),
        ({"render_mode": "ansi"}, "rgb_array"),
    ],
)
def test_wrong_options_are_refused(options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make(**options)


# -- Stable-Baselines3 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overrides", [OUTAGES, FAILURES], ids=["outages", "failures"])
def test_native_batch_equals_parallel_environments(overrides: dict) -> None:
    import metalore

    overrides = overrides | {"max_steps": 35}
    batch = metalore.sb3.make_cell_vec_env(num_envs=2, seed=9, threads=2, overrides=overrides, **FULL)
    singles = [make(overrides=overrides, when_down="wait", **FULL) for _ in range(2)]
    seen = batch.reset().reshape(2, 4, -1)
    for i, env in enumerate(singles):
        np.testing.assert_array_equal(seen[i], list(env.reset(seed=9 + i)[0].values()))
    totals = np.zeros((2, 4))
    for t, shares in enumerate(plan(80, 8)):
        flat, rewards, done, infos = batch.step(shares)
        for i, env in enumerate(singles):
            observations, earned, _, truncated, _ = env.step(chosen(env, shares.reshape(2, 4, 2)[i]))
            own = slice(4 * i, 4 * i + 4)
            totals[i] += list(earned.values())
            np.testing.assert_array_equal(rewards[own], np.array(list(earned.values()), np.float32))
            assert list(truncated.values()) == done[own].tolist() == [t % 35 == 34] * 4
            if done[4 * i]:
                for z, info in enumerate(infos[own]):
                    np.testing.assert_array_equal(info["terminal_observation"], list(observations.values())[z])
                    assert info["episode"] == {"r": pytest.approx(totals[i, z]), "l": 35}
                    assert info["TimeLimit.truncated"]
                totals[i] = 0.0
                observations = env.reset()[0]
            np.testing.assert_array_equal(flat[own], list(observations.values()))


def test_native_batch_learns() -> None:
    from stable_baselines3 import PPO

    import metalore

    batch = metalore.sb3.make_cell_vec_env(num_envs=2, seed=3, overrides={"max_steps": 20, **FAILURES})
    assert batch.num_envs == 8
    model = PPO("MlpPolicy", batch, n_steps=20, batch_size=40, seed=0, device="cpu").learn(320)
    assert len(model.ep_info_buffer) == 16


@pytest.mark.parametrize("name", ["four-cells", "outages-wait"])  # it knows agents that die, but none that join
def test_supersuit_leads_to_stable_baselines3(name: str) -> None:
    supersuit = pytest.importorskip("supersuit", reason="SuperSuit is not installed")
    from stable_baselines3 import PPO

    env = make(**CASES[name])
    agents = len(env.possible_agents)
    batch = supersuit.pettingzoo_env_to_vec_env_v1(env)
    batch = supersuit.concat_vec_envs_v1(batch, 2, base_class="stable_baselines3")
    assert batch.num_envs == 2 * agents
    model = PPO("MlpPolicy", batch, n_steps=110, batch_size=110, n_epochs=1, device="cpu")  # it takes no seed
    model.learn(2 * agents * 110)
    assert model.num_timesteps == 2 * agents * 110


def test_the_conversion_of_supersuit_steps_the_same_world() -> None:
    supersuit = pytest.importorskip("supersuit", reason="SuperSuit is not installed")
    import metalore

    ours = metalore.sb3.make_cell_vec_env(num_envs=1, seed=4)
    theirs = supersuit.pettingzoo_env_to_vec_env_v1(make())
    np.testing.assert_array_equal(ours.reset(), theirs.reset(seed=4)[0])
    for shares in plan(99):
        for mine, others in zip(ours.step(shares)[:2], theirs.step(shares)[:2], strict=True):
            np.testing.assert_array_equal(mine, others)


def test_stations_have_their_own_names() -> None:
    scenario = load("four-cells", **{"stations.1.name": "harbour"})
    assert make(scenario=scenario).possible_agents[1] == "harbour"
