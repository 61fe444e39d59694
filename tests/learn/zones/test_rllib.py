"""Zones trained through RLlib: what it sees, what comes out, and a small run on a real Ray of two workers."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from learn.zones.conftest import small_demand

from metalore.autoscale.agents.policy import AgentPolicy
from metalore.autoscale.agents.ranges import MOVES
from metalore.envs.zone_core import ZoneCore, ZoneSettings
from metalore.envs.zone_scaling_v0 import parallel_env
from metalore.fluid import FluidError, FluidZones
from metalore.learn import checkpoint
from metalore.learn.card import PolicyFolderError
from metalore.learn.seeds import EVALUATION_SEEDS
from metalore.learn.training import TrainError
from metalore.learn.zones import rllib
from metalore.learn.zones.evaluation import agent_decides, run_zones
from metalore.learn.zones.rllib import RllibSettings, layers_of, train_with_rllib
from metalore.learn.zones.training import ZoneResult
from metalore.ray_cluster import cluster

pytest.importorskip("ray.rllib", reason='RLlib is not installed: pip install "metalore[ray]"')

DEMAND = small_demand()
ENV = {"intervals": 20, "features": ("forecast", "allocation", "telemetry"), "starts_anywhere": True}
SETTINGS = RllibSettings(
    iterations=2, episodes=2, minibatch=40, epochs=2, hidden=(16, 8), evaluate_every=1, evaluation_episodes=2
)
LONGEST_S = 600
"""After which a run with Ray is given up: starting its processes takes long on a machine that others use too."""


@contextmanager
def within(seconds: int) -> Iterator[None]:
    def too_late(*_: object) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, too_late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# -- what RLlib sees ---------------------------------------------------------------------------------------------------


def city_env(zones: int = 3, **changes: Any) -> Any:
    from metalore.learn.zones.rllib_parts import CityEnv

    return CityEnv({"env": {**ENV, "demand": small_demand(zones=zones), **changes}, "seed": 5, "start": 0})


def module(hidden: tuple[int, ...] = (16, 8), activation: str = "tanh", *, inference_only: bool = False) -> Any:
    from ray.rllib.core.rl_module import RLModuleSpec

    from metalore.learn.zones.rllib_parts import ActorCritic

    env = city_env()
    return RLModuleSpec(
        module_class=ActorCritic,
        observation_space=env.observation_spaces["zone-0"],
        action_space=env.action_spaces["zone-0"],
        inference_only=inference_only,
        model_config={"hidden": list(hidden), "activation": activation},
    ).build()


def batch_of(seen: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    import torch

    parts = next(iter(seen.values()))
    return {"obs": {name: torch.tensor(np.stack([one[name] for one in seen.values()])) for name in parts}}


def test_the_environment_is_the_city_and_nothing_else() -> None:
    env, city = city_env(), parallel_env(DEMAND, **ENV)
    seen, _ = env.reset()
    rows, infos = city.reset(seed=5 * 10**6)
    rng = np.random.default_rng(0)
    for step in range(20):
        for agent, row in rows.items():
            np.testing.assert_array_equal(seen[agent]["row"], row)
            np.testing.assert_array_equal(seen[agent]["mask"], infos[agent]["action_mask"])
            assert env.observation_spaces[agent].contains(seen[agent])
        actions = {agent: int(rng.integers(27)) for agent in env.agents}
        seen, rewards, terminated, truncated, _ = env.step(actions)
        rows, same, _, _, infos = city.step(actions)
        assert rewards == same
        assert not any(terminated.values())
        assert truncated["__all__"] == (step == 19)
    assert set(seen) == set(env.agents)  # the critic values the state after the last interval


def test_the_city_is_summarized_over_however_many_zones() -> None:
    for zones in (1, 3, 40):
        seen, _ = city_env(zones).reset()
        rows = np.stack([one["row"] for one in seen.values()])
        for one in seen.values():
            np.testing.assert_allclose(one["city"], np.concatenate([rows.mean(0), rows.min(0), rows.max(0)]), rtol=1e-6)


def test_workers_play_other_episodes_and_so_does_a_later_start() -> None:
    from metalore.learn.zones.rllib_parts import worker_seed

    seeds = [worker_seed(3, start, worker) for start in range(5) for worker in range(4)]
    assert len(set(seeds)) == 20
    assert all(3 * 10**6 <= seed < 4 * 10**6 for seed in seeds)


# -- the network -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_agent_acts_as_the_network_does_and_on_any_number_of_zones(activation: str) -> None:
    import torch

    network = module(activation=activation)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(parameter.numel()))
    layers = layers_of(network.get_state())
    assert [weight.shape for weight, _ in layers] == [(16, 12), (8, 16), (27, 8)]
    settings = ZoneSettings().updated(**ENV)
    agent = AgentPolicy(layers, activation, settings.observer(), settings.ranges)
    env = city_env(100)
    seen, _ = env.reset()
    for _ in range(5):
        rows, masks = (np.stack([one[name] for one in seen.values()]) for name in ("row", "mask"))
        theirs = network.forward_inference(batch_of(seen))["action_dist_inputs"].argmax(dim=-1).numpy()
        assert masks[np.arange(100), theirs].all()
        np.testing.assert_array_equal(MOVES[theirs], agent.moves(rows, env._city.core.mask()[0]))
        seen, *_ = env.step(dict(zip(env.agents, theirs.tolist(), strict=True)))
    assert len(set(theirs.tolist())) > 3


def test_what_is_not_allowed_never_happens_and_leaves_numbers_finite() -> None:
    network = module()
    seen, _ = city_env().reset()
    for one in seen.values():
        one["mask"] = np.eye(27, dtype=np.float32)[13]
    out = network.forward_exploration(batch_of(seen))["action_dist_inputs"]
    moves = network.get_exploration_action_dist_cls().from_logits(out)
    assert moves.sample().tolist() == [13, 13, 13]
    assert moves.entropy().tolist() == [0.0, 0.0, 0.0]


def test_the_critic_sees_the_city_and_the_actor_does_not() -> None:
    network = module()
    seen, _ = city_env().reset()
    before = network.forward_inference(batch_of(seen))["action_dist_inputs"], network.compute_values(batch_of(seen))
    for one in seen.values():
        one["city"] = one["city"] + 1.0
    after = network.forward_inference(batch_of(seen))["action_dist_inputs"], network.compute_values(batch_of(seen))
    assert (before[0] == after[0]).all()
    assert before[1].shape == (3,)
    assert (before[1] != after[1]).all()


def test_what_acts_needs_no_critic() -> None:
    assert not hasattr(module(inference_only=True), "critic")


def test_refusals(tmp_path: Path) -> None:
    for changes, wrong in (
        ({"workers": 0}, "workers is 0; it must be at least 1"),
        ({"episodes": 3}, "3 episodes do not divide among 2 workers"),
        ({"gamma": 0.0}, "gamma and gae_lambda"),
        ({"hidden": ()}, "at least one layer"),
        ({"activation": "gelu"}, "'tanh' or 'relu'"),
    ):
        with pytest.raises(TrainError, match=wrong):
            RllibSettings(**changes)
    none = tmp_path / "none"
    with pytest.raises(TrainError, match="holds no checkpoint"):
        train_with_rllib(DEMAND, ENV, SETTINGS, none, resume=True)
    with pytest.raises(TrainError, match="27 joint moves"):
        train_with_rllib(DEMAND, {**ENV, "offload": True}, SETTINGS, none)
    with pytest.raises(TrainError, match="minibatch is 41, which is more than the 40 intervals of a round"):
        train_with_rllib(DEMAND, ENV, RllibSettings(episodes=2, minibatch=41), none)
    with pytest.raises(FluidError, match="shorter than an episode"):
        train_with_rllib(DEMAND, ENV, RllibSettings(episodes=2, minibatch=40, train_part=(0.0, 0.01)), none)
    with pytest.raises(TrainError, match=r"no Ray cluster answers at 127\.0\.0\.1:1"):
        train_with_rllib(DEMAND, ENV, SETTINGS, none, address="127.0.0.1:1")
    assert not none.exists()


# -- a real run, on a Ray of our own -----------------------------------------------------------------------------------


class Run:
    """Two iterations, the second after Ctrl-C, with one worker less."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.begun_with, self.listening = folder, [], {}
        with within(LONGEST_S), cluster(cpus=SETTINGS.workers):
            with pytest.raises(KeyboardInterrupt):
                train_with_rllib(DEMAND, ENV, SETTINGS, folder, seed=1, say=self._stop)
            self.first = checkpoint.read(folder / "checkpoint", {})
            self.result: ZoneResult = train_with_rllib(
                DEMAND, ENV, replace(SETTINGS, workers=1), folder, seed=1, resume=True
            )
            self.last = checkpoint.read(folder / "checkpoint", {})

    def _stop(self, row: dict[str, float]) -> None:
        self.listening = listening()
        raise KeyboardInterrupt


def listening() -> dict[int, list[str]]:
    """Addresses on which this process and all that it started listen, by process."""
    me = psutil.Process()
    return {
        process.pid: [one.laddr.ip for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN]
        for process in (me, *me.children(recursive=True))
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    children = set(psutil.Process().children(recursive=True))
    with pytest.MonkeyPatch.context() as patch:
        begun: list[Any] = []
        go = rllib._Run.go

        def noting(self: Any, algorithm: Any, say: Any) -> None:
            workers = algorithm.env_runner_group.foreach_env_runner(
                lambda worker: worker.get_state(components="rl_module")["rl_module"], local_env_runner=False
            )
            begun.append((rllib.learned(algorithm), workers))
            go(self, algorithm, say)

        patch.setattr(rllib._Run, "go", noting)
        made = Run(tmp_path_factory.mktemp("rllib") / "run")
    made.begun_with = begun
    _, alive = psutil.wait_procs(set(psutil.Process().children(recursive=True)) - children, timeout=20)
    assert not alive, "Ray is gone when the run is"
    return made


def weights_of(learned: Any) -> dict[str, np.ndarray]:
    return {name: np.asarray(value) for name, value in learned["learner"]["rl_module"]["zone"].items()}


def test_ray_listens_on_loopback_only(run: Run) -> None:
    addresses = {ip for there in run.listening.values() for ip in there}
    assert len(run.listening) > 5
    assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert addresses


def test_two_workers_train_the_same_environment(run: Run) -> None:
    assert [row["iteration"] for row in run.result.curve] == [1, 2]
    assert [row["steps"] for row in run.result.curve] == [120, 240]  # 2 episodes of 20 intervals and 3 zones
    for row in run.result.curve:
        assert -5 < row["training_reward"] < 0
        assert -5 < row["reward"] < 0
    before, after = weights_of(run.begun_with[0][0]), weights_of(run.last[0])
    assert before.keys() == after.keys()
    assert all((before[name] != after[name]).any() for name in before)
    assert [len(workers) for _, workers in run.begun_with] == [2, 1]


def test_what_comes_out_is_the_best_agent(run: Run) -> None:
    settings = ZoneSettings().updated(**ENV, part=SETTINGS.validation_part)
    core = ZoneCore(FluidZones(DEMAND, SETTINGS.evaluation_episodes), settings.updated(starts_anywhere=False))
    agent = AgentPolicy.load(run.folder)
    played = run_zones(agent_decides(agent)(), core, EVALUATION_SEEDS)
    assert np.mean([episode["reward"] for episode in played]) == run.result.best
    assert run.result.best == max(row["reward"] for row in run.result.curve)
    assert (run.folder / "curve.csv").read_text().splitlines()[0] == "iteration,steps,wall_s,training_reward,reward"


def test_a_run_goes_on_where_it_was(run: Run) -> None:
    stopped, resumed = weights_of(run.first[0]), weights_of(run.begun_with[1][0])
    for name, value in stopped.items():
        np.testing.assert_array_equal(resumed[name], value)
    for worker in run.begun_with[1][1]:
        actor = {name: value for name, value in worker["zone"].items() if name.startswith("actor.")}
        assert len(actor) == 6
        for name, value in actor.items():
            np.testing.assert_array_equal(value, stopped[name])
    steps = [one["learner"]["optimizer"]["zone_default_optimizer"]["state"]["state"][0]["step"] for one in
             (run.first[0], run.begun_with[1][0], run.last[0])]  # fmt: skip
    assert 0 < steps[0] == steps[1] < steps[2]
    assert (run.first[1]["iterations"], run.last[1]["iterations"]) == (1, 2)


def test_the_folder_is_plain_data_and_knows_its_run(run: Run) -> None:
    assert sorted(str(path.relative_to(run.folder)) for path in run.folder.rglob("*") if path.is_file()) == [
        "agent.json", "checkpoint/state.json", "checkpoint/state.safetensors", "curve.csv", "weights.safetensors",
    ]  # fmt: skip
    with pytest.raises(TrainError, match="holds a trained agent already"):
        train_with_rllib(DEMAND, ENV, SETTINGS, run.folder, seed=1)
    for env, seed, other in (({**ENV, "city_part": 0.5}, 1, "environment"), (ENV, 2, "seed")):
        with pytest.raises(PolicyFolderError, match=f"another {other}"):
            train_with_rllib(DEMAND, env, SETTINGS, run.folder, seed=seed, resume=True)
