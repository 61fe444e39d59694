"""Environments are accepted by the checkers, and a batch equals its environments one by one."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from metalore.envs import FEATURES, SmartCityEnv
from metalore.registration import IDS
from metalore.world import REWARD_TERMS, WorldError

ALL_IDS = sorted(IDS)


def actions(env: gymnasium.Env, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, *env.action_space.shape)).astype(np.float32)


@pytest.mark.parametrize("env_id", ALL_IDS)
def test_gymnasium_accepts(env_id: str) -> None:
    check_env(gymnasium.make(env_id).unwrapped, skip_render_check=False)


@pytest.mark.parametrize("env_id", ALL_IDS)
def test_stable_baselines3_accepts(env_id: str) -> None:
    from stable_baselines3.common.env_checker import check_env as sb3_check

    with warnings.catch_warnings():
        # It advises actions in [-1, 1]; shares are shares, and the library rescales them.
        warnings.filterwarnings("ignore", message="We recommend you to use a symmetric and normalized")
        sb3_check(gymnasium.make(env_id).unwrapped)


def test_ids_are_found_without_importing_metalore() -> None:
    program = """
import sys
import gymnasium
assert "metalore.world" not in sys.modules, "importing gymnasium must not load the simulator"
assert "numba" not in sys.modules
env = gymnasium.make("mobile-smart_city-smart_city_handler-v0")
assert type(env.unwrapped).__name__ == "SmartCityEnv"
print(env.reset(seed=1)[0].shape)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(2,)"


def test_published_id_is_the_same_environment() -> None:
    first, second = (gymnasium.make(i) for i in ("metalore/SmartCity-v0", "mobile-smart_city-smart_city_handler-v0"))
    first.reset(seed=5)
    second.reset(seed=5)
    for action in actions(first, 20):
        for a, b in zip(first.step(action)[:4], second.step(action)[:4], strict=True):
            np.testing.assert_array_equal(a, b)


def test_reset_with_a_seed_repeats_and_without_one_goes_on() -> None:
    env = SmartCityEnv()

    def episode(**reset: int) -> list[float]:
        env.reset(**reset)
        return [env.step(a)[1] for a in actions(env, 30)]

    first, second = episode(seed=7), episode()
    assert episode(seed=7) == first
    assert episode() == second
    assert first != second
    assert episode(seed=8) != first


def test_fresh_environments_differ() -> None:
    seeds = {SmartCityEnv().reset()[1]["seed"] for _ in range(3)}
    assert len(seeds) == 3


def test_fresh_seeds_fit_into_infos_of_gymnasiums_vectors() -> None:
    envs = gymnasium.vector.SyncVectorEnv([SmartCityEnv] * 16)  # keeps infos as signed numbers of 64 bits
    _, info = envs.reset()
    assert (info["seed"] >= 0).all()


def test_pickled_mid_episode_continues_identically() -> None:
    env = SmartCityEnv(stack=3)
    env.reset(seed=2)
    plan = actions(env, 40)
    for action in plan[:20]:
        env.step(action)
    twin: SmartCityEnv = pickle.loads(pickle.dumps(env))
    for action in plan[20:]:
        ours, theirs = env.step(action), twin.step(action)
        np.testing.assert_array_equal(ours[0], theirs[0])
        assert ours[1:] == theirs[1:]


def test_episode_is_truncated_at_its_end_and_tells_its_counts() -> None:
    env = SmartCityEnv(overrides={"max_steps": 5})
    env.reset(seed=0)
    for t in range(5):
        _, _, terminated, truncated, info = env.step(np.array([0.5, 0.5]))
        assert not terminated
        assert truncated == (t == 4)
        assert ("episode_metrics" in info) == truncated
    assert info["episode_metrics"]["updates_generated"] == 5 * 15
    with pytest.raises(WorldError, match="episode has ended"):
        env.step(np.array([0.5, 0.5]))


def test_reward_is_the_sum_of_its_named_terms() -> None:
    env = SmartCityEnv(overrides={"reward.throughput": 0.5, "reward.twin_age": 0.1, "reward.served_age": 0.01})
    env.reset(seed=0)
    used = set()
    for action in actions(env, 60):
        _, reward, _, _, info = env.step(action)
        assert set(info["reward_terms"]) == set(REWARD_TERMS)
        assert reward == pytest.approx(sum(info["reward_terms"].values()))
        used |= {name for name, value in info["reward_terms"].items() if value}
    assert used == {"synchronization", "delay", "throughput", "served_age", "twin_age"}


@pytest.mark.parametrize(
    "action", [[0.5], [0.5, 0.5, 0.5], [[0.5, 0.5]], [np.nan, 0.5], [1.1, 0.5], [-0.1, 0.5], [np.inf, 0]]
)
def test_wrong_actions_are_refused(action: list[float]) -> None:
    env = SmartCityEnv()
    env.reset(seed=0)
    before = env.world.episode_totals.copy()
    with pytest.raises(WorldError, match=r"expected|shares must be numbers"):
        env.step(np.array(action))
    np.testing.assert_array_equal(env.world.episode_totals, before)
    assert env.world.t[0] == 0


def test_shares_a_hair_outside_are_trimmed() -> None:
    env = SmartCityEnv()
    env.reset(seed=0)
    env.step(np.array([1 + 1e-7, -1e-7]))
    np.testing.assert_array_equal(env.world.shares[0, 0], [1.0, 0.0])


def test_smart_city_has_one_cell() -> None:
    with pytest.raises(ValueError, match="use metalore/MultiCell-v0"):
        SmartCityEnv("four-cells")


def test_each_feature_shows_what_the_world_holds() -> None:
    names = tuple(FEATURES)
    env = SmartCityEnv(observation=names)
    env.reset(seed=1)
    for action in actions(env, 30):
        observation = env.step(action)[0]
    world = env.world
    expected = np.concatenate(
        [
            world.queue_lengths.ravel(),
            world.queue_gcycle.ravel(),
            world.device_backlog().ravel(),
            world.attached.ravel(),
            world.waiting_age().ravel(),
            [world.sensor_ages.mean()],
            world.shares.ravel(),
            [100.0, 100.0],  # MHz, Gcycle/s
            [0.3],
        ]
    )
    np.testing.assert_allclose(observation, expected, rtol=1e-6)
    assert observation.dtype == np.float32
    assert (expected > 0).all(), "a feature that is zero here shows nothing"


def test_history_is_stacked_oldest_first() -> None:
    plain, stacked = SmartCityEnv(), SmartCityEnv(stack=3)
    seen = [plain.reset(seed=4)[0]] * 3
    np.testing.assert_array_equal(stacked.reset(seed=4)[0], np.concatenate(seen))
    for action in actions(plain, 6):
        seen.append(plain.step(action)[0])
        np.testing.assert_array_equal(stacked.step(action)[0], np.concatenate(seen[-3:]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"observation": ("queue_length",)}, "did you mean 'queue_lengths'"),
        ({"observation": ()}, "at least one feature"),
        ({"stack": 0}, "at least 1"),
        ({"render_mode": "ansi"}, "rgb_array"),
    ],
)
def test_wrong_options_are_refused(options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SmartCityEnv(**options)


def make_batch(**options: object) -> gymnasium.vector.VectorEnv:
    return gymnasium.make_vec("metalore/SmartCity-v0", vectorization_mode="vector_entry_point", **options)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("env_id", ["metalore/SmartCity-v0", "metalore/MultiCell-v0"])
def test_native_batch_equals_gymnasiums_own(env_id: str, mode: AutoresetMode) -> None:
    """Against SyncVectorEnv over single environments: observations, rewards, ends, final observations, terms."""
    options = {"overrides": {"max_steps": 7}, "stack": 2}
    ours = gymnasium.make_vec(
        env_id, num_envs=3, vectorization_mode="vector_entry_point", autoreset_mode=mode, threads=2, **options
    )
    theirs = gymnasium.make_vec(
        env_id, num_envs=3, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **options
    )
    assert ours.metadata["autoreset_mode"] == theirs.metadata["autoreset_mode"] == mode
    assert ours.single_action_space == theirs.single_action_space
    assert ours.observation_space == theirs.observation_space
    a, _ = ours.reset(seed=11)
    b, _ = theirs.reset(seed=11)
    np.testing.assert_array_equal(a, b)
    generator = np.random.default_rng(0)
    for _ in range(25):
        action = generator.random(ours.action_space.shape).astype(np.float32)
        got, expected = ours.step(action), theirs.step(action)
        for one, other in zip(got[:4], expected[:4], strict=True):
            np.testing.assert_array_equal(one, other)
        mine, others = got[4], expected[4]
        if mode == AutoresetMode.SAME_STEP and got[3].any():
            for one, other in zip(mine["final_obs"], others["final_obs"], strict=True):
                np.testing.assert_array_equal(one, other)
        elif "reward_terms" in others:
            for name in REWARD_TERMS:
                np.testing.assert_array_equal(mine["reward_terms"][name], others["reward_terms"][name])


def test_partial_resets_of_a_batch() -> None:
    batch = make_batch(num_envs=3, autoreset_mode="Disabled")
    batch.reset(seed=0)
    action = np.full((3, 2), 0.4, np.float32)
    for _ in range(4):
        batch.step(action)
    batch.reset(options={"reset_mask": np.array([False, True, False])})
    assert batch.unwrapped.world.t.tolist() == [4, 0, 4]
    assert batch.unwrapped.world.episodes.tolist() == [0, 1, 0]


def test_next_step_autoreset_when_ends_fall_apart() -> None:
    batch = make_batch(num_envs=2, overrides={"max_steps": 4})
    batch.reset(seed=0)
    action = np.full((2, 2), 0.4, np.float32)
    batch.step(action)
    batch.reset(options={"reset_mask": np.array([True, False])})
    ends = [batch.step(action)[3].tolist() for _ in range(8)]
    # Environment 1 ends in its 4th step and is reset in the next; environment 0 is one step behind.
    assert [e[1] for e in ends] == [False, False, True, False, False, False, False, True]
    assert [e[0] for e in ends] == [False, False, False, True, False, False, False, False]


def test_stable_baselines3_batch_learns_and_reports() -> None:
    from stable_baselines3 import PPO

    import metalore

    env = metalore.sb3.make_vec_env(num_envs=4, seed=3, overrides={"max_steps": 20})
    model = PPO("MlpPolicy", env, n_steps=20, batch_size=40, seed=0, device="cpu")
    model.learn(160)
    assert len(model.ep_info_buffer) == 8
    assert all(info["l"] == 20 for info in model.ep_info_buffer)


def test_stable_baselines3_batch_equals_single_environments() -> None:
    import metalore

    batch = metalore.sb3.make_vec_env(num_envs=2, seed=9, overrides={"max_steps": 6})
    singles = [SmartCityEnv(overrides={"max_steps": 6}) for _ in range(2)]
    seen = batch.reset()
    for i, env in enumerate(singles):
        np.testing.assert_array_equal(seen[i], env.reset(seed=9 + i)[0])
    generator = np.random.default_rng(1)
    total = np.zeros(2)
    for t in range(9):
        action = generator.random((2, 2)).astype(np.float32)
        seen, rewards, done, infos = batch.step(action)
        for i, env in enumerate(singles):
            observation, reward, _, truncated, _ = env.step(action[i])
            total[i] += reward
            assert rewards[i] == np.float32(reward)
            assert done[i] == truncated == (t == 5)
            if truncated:
                np.testing.assert_array_equal(infos[i]["terminal_observation"], observation)
                assert infos[i]["TimeLimit.truncated"]
                assert infos[i]["episode"]["r"] == pytest.approx(total[i])
                observation, total[i] = env.reset()[0], 0.0
            np.testing.assert_array_equal(seen[i], observation)


def test_partial_reset_shows_the_others_as_they_are() -> None:
    batch = make_batch(num_envs=2, autoreset_mode="Disabled")
    batch.reset(seed=0)
    for _ in range(10):
        batch.step(np.full((2, 2), 0.5, np.float32))
    seen, _ = batch.reset(options={"reset_mask": np.array([True, False])})
    np.testing.assert_array_equal(seen, batch.unwrapped.world.queue_lengths[:, 0])
    assert seen[1].any()


@pytest.mark.parametrize("association", ["nearest", "strongest"])
@pytest.mark.parametrize("loss", [float("nan"), float("-inf")])
def test_a_channel_without_a_number_is_refused(association: str, loss: float) -> None:
    def nothing(distance_m: float, carrier_mhz: float, station_m: float, device_m: float, luck: float) -> float:
        return loss

    env = gymnasium.make("metalore/MultiCell-v0", overrides={"radio.association": association}, channel=nothing)
    with pytest.raises(WorldError, match="channel function failed"):
        env.reset(seed=0)
