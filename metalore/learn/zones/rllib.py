"""Multi-agent PPO with a central critic through RLlib, on this machine or on a Ray cluster.

Zones share one actor, which sees a zone's own row alone; the critic sees the city while they train
(:mod:`metalore.learn.zones.rllib_parts`). What comes out is an agent like any other.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from metalore.autoscale.agents.policy import AgentPolicy
from metalore.envs.zone_core import ZoneCore, ZoneSettings
from metalore.fluid import Demand, FluidZones, Split
from metalore.learn import checkpoint
from metalore.learn.card import CHECKPOINT, write_curve
from metalore.learn.seeds import EVALUATION_SEEDS
from metalore.learn.training import TrainError
from metalore.learn.zones.evaluation import agent_decides, run_zones
from metalore.learn.zones.training import ZoneResult, check_folder
from metalore.ray_cluster import ClusterError, cluster

Say = Callable[[dict[str, float]], None]
"""Is told a row of the curve after each iteration."""
COLUMNS = ("iteration", "steps", "wall_s", "training_reward", "reward")
"""Of the curve: zone-intervals played, seconds, mean reward of a zone and interval with moves drawn by chance in the
round's episodes, and of the greedy agent on validation days, NaN where there was no evaluation."""


@dataclass(frozen=True)
class RllibSettings:
    """How PPO trains a city's zones through RLlib.

    Attributes:
        workers: processes that play episodes, one CPU each; what learns is in the process that calls.
        iterations: rounds of playing and learning, in all.
        episodes: played in a round, by all workers together; each is a whole city for its `intervals`.
        learning_rate: of Adam.
        gamma: discount for an interval; 0.95 looks some twenty intervals ahead.
        gae_lambda: how far advantages trust rewards rather than the critic.
        clip: by how much the odds of a move may change in a round before PPO stops pulling.
        entropy: weight of the entropy bonus, which keeps trying.
        epochs: how often a round's steps are learned from.
        minibatch: intervals of zones in a gradient; RLlib wants no more than a city's intervals in a round.
        gradient: norm to which each tensor's gradient is cut.
        hidden: widths of the hidden layers of actor and critic.
        activation: between layers.
        train_part, validation_part: of the demand's time: episodes to learn from, and to choose the best agent by.
        evaluate_every: iterations between evaluations, which come with a checkpoint.
        evaluation_episodes: of an evaluation.

    Raises:
        TrainError: a setting that cannot be.
    """

    workers: int = 2
    iterations: int = 50
    episodes: int = 8
    learning_rate: float = 1e-3
    gamma: float = 0.95
    gae_lambda: float = 0.9
    clip: float = 0.2
    entropy: float = 0.005
    epochs: int = 5
    minibatch: int = 960
    gradient: float = 0.5
    hidden: tuple[int, ...] = (64, 64)
    activation: Literal["tanh", "relu"] = "tanh"
    train_part: tuple[float, float] = (0.0, 0.6)
    validation_part: tuple[float, float] = (0.6, 0.75)
    evaluate_every: int = 5
    evaluation_episodes: int = 4

    def __post_init__(self) -> None:
        counts = ("workers", "iterations", "episodes", "epochs", "minibatch", "evaluate_every", "evaluation_episodes")
        for name in counts:
            if getattr(self, name) < 1:
                raise TrainError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.episodes % self.workers:
            raise TrainError(f"{self.episodes} episodes do not divide among {self.workers} workers; take a multiple")
        if not (0 < self.gamma <= 1 and 0 <= self.gae_lambda <= 1 and self.learning_rate > 0 and self.clip > 0):
            raise TrainError("gamma and gae_lambda lie in [0, 1], and learning_rate and clip are above 0")
        if not self.hidden or min(self.hidden) < 1:
            raise TrainError(f"hidden is {self.hidden}; it needs a width for at least one layer")
        if self.activation not in ("tanh", "relu"):
            raise TrainError(f"activation is {self.activation!r}; it can be 'tanh' or 'relu'")


@dataclass
class _State:
    """What a run knows of itself; kept with every checkpoint."""

    iterations: int = 0
    steps: int = 0
    wall_s: float = 0.0
    best: float = -np.inf
    curve: list[dict[str, float]] = field(default_factory=list)


def train_with_rllib(
    demand: Demand,
    environment: Mapping[str, Any],
    settings: RllibSettings,
    folder: Path | str,
    *,
    seed: int = 0,
    split: str = "backlog-proportional",
    resume: bool = False,
    address: str | None = None,
    say: Say | None = None,
) -> ZoneResult:
    """Train the actor that all zones of a city share, and keep the best in `folder`.

    The folder holds an agent (:class:`metalore.autoscale.agents.policy.AgentPolicy`), `curve.csv` and `checkpoint/`,
    all of it plain data. What RLlib itself would save holds pickles, which run what is in them when they are loaded;
    such files are neither written nor read here.

    A run that was stopped, also by Ctrl-C, goes on from its last checkpoint. It plays other episodes then than a run
    without a stop, so what comes out is not the same to the bit.

    Args:
        demand: of a city.
        environment: settings of :class:`metalore.envs.zone_core.ZoneSettings`.
        settings: see :class:`RllibSettings`.
        folder: must hold no agent and no checkpoint unless `resume`.
        seed: of networks and episodes.
        split: between requests and updates, see :class:`metalore.fluid.Split`.
        resume: go on from the folder's checkpoint; `workers` and `iterations` may be others.
        address: of a running Ray cluster, whose nodes have MetaLore; None starts one on loopback.
        say: see :data:`Say`.

    Raises:
        TrainError: Ray is missing or does not answer, a folder in use, nothing to resume, or settings that do not fit.
        FluidError: an environment that cannot be.
        PolicyFolderError: a damaged checkpoint, or one of another run.
    """
    run = _Run(demand, environment, settings, Path(folder), seed, split)
    if not resume:
        check_folder(run.folder, resume=False)
    kept = run.restored() if resume else None
    torch.set_num_threads(1)  # networks this small lose time to threads
    try:
        with cluster(address, settings.workers), run.algorithm() as algorithm:
            if kept is not None:
                _put(algorithm, kept)
            run.go(algorithm, say or (lambda row: None))
    except ClusterError as error:
        raise TrainError(str(error)) from error
    state = run.state
    return ZoneResult(run.folder, AgentPolicy.load(run.folder), state.steps, state.best, state.wall_s, state.curve)


class _Run:
    """A training between two iterations."""

    def __init__(
        self,
        demand: Demand,
        environment: Mapping[str, Any],
        settings: RllibSettings,
        folder: Path,
        seed: int,
        split: str,
    ) -> None:
        self.settings, self.folder, self.seed, self.state = settings, folder, seed, _State()
        zones = ZoneSettings().updated(**environment)
        if zones.offload:
            raise TrainError("agents choose from 27 joint moves here; leave out offload")
        self.rows = settings.episodes * zones.intervals
        if settings.minibatch > self.rows:
            raise TrainError(
                f"minibatch is {settings.minibatch}, which is more than the {self.rows} intervals of a round "
                f"({settings.episodes} episodes of {zones.intervals})"
            )
        self.judge = ZoneCore(
            FluidZones(demand, settings.evaluation_episodes, split=Split.read(split)),
            zones.updated(part=settings.validation_part, starts_anywhere=False),
        )
        self.env = {"demand": demand, "split": split, **environment, "part": settings.train_part}
        fixed = {name: value for name, value in asdict(settings).items() if name not in ("workers", "iterations")}
        plain = {"settings": fixed, "environment": dict(environment), "demand": demand.source, "split": split}
        self.identity = json.loads(json.dumps(plain, default=str)) | {"seed": seed}
        self._try_out(demand)

    def _try_out(self, demand: Demand) -> None:
        """Refuse here what workers would refuse with a traceback, and compile the simulator once for all of them."""
        zones = FluidZones(demand, split=Split.read(self.env["split"]))
        core = ZoneCore(zones, self.judge.settings.updated(part=self.settings.train_part))
        core.reset([self.seed])
        core.step(np.zeros((*core.shape, 3), np.int64))

    def restored(self) -> Any:
        """What was learned until the last checkpoint; the run's state is put back.

        Raises:
            TrainError: there is none.
        """
        if not (self.folder / CHECKPOINT).exists():
            raise TrainError(f"{self.folder} holds no checkpoint to resume; start without --resume")
        kept, progress = checkpoint.read(self.folder / CHECKPOINT, self.identity)
        self.state = _State(**progress)
        return kept

    @contextmanager
    def algorithm(self) -> Iterator[Any]:
        """RLlib's PPO, whose workers end with the block."""
        logging.getLogger("ray.rllib").setLevel(logging.ERROR)  # it announces on each start which of its stacks it is
        parts = import_module("metalore.learn.zones.rllib_parts")
        algorithm = parts.configured(self.settings, self.env, self.rows, self.seed, self.state.iterations).build_algo()
        try:
            yield algorithm
        finally:
            algorithm.stop()
            shutil.rmtree(algorithm.logdir, ignore_errors=True)  # an empty folder that RLlib leaves in ~/ray_results

    def go(self, algorithm: Any, say: Say) -> None:
        """Play, learn, judge and keep, until all iterations are done."""
        while self.state.iterations < self.settings.iterations:
            began, state = time.perf_counter(), self.state
            played = algorithm.train()["env_runners"]
            zones = self.judge.shape[1]
            state.iterations += 1
            state.steps += self.rows * zones
            due = state.iterations % self.settings.evaluate_every == 0 or state.iterations == self.settings.iterations
            reward = self._judged(algorithm) if due else float("nan")
            state.wall_s += time.perf_counter() - began
            training = played["episode_return_mean"] / (self.judge.settings.intervals * zones)
            row = (state.iterations, state.steps, round(state.wall_s, 2), training, reward)
            state.curve.append(dict(zip(COLUMNS, map(float, row), strict=True)))
            if due:
                checkpoint.write(self.folder / CHECKPOINT, learned(algorithm), self.identity, vars(state))
                write_curve(self.folder, COLUMNS, state.curve)
            say(state.curve[-1])

    def _judged(self, algorithm: Any) -> float:
        """Mean reward on validation days; the agent is kept if it is the best."""
        (weights,) = algorithm.learner_group.get_weights().values()  # all zones have one policy
        agent = self._agent(weights)
        episodes = run_zones(agent_decides(agent)(), self.judge, EVALUATION_SEEDS)
        reward = float(np.mean([episode["reward"] for episode in episodes]))
        if reward > self.state.best:
            self.state.best = reward
            agent.save(self.folder)
        return reward

    def _agent(self, weights: Mapping[str, Any]) -> AgentPolicy:
        facts = {"training": "RLlib, PPO with a central critic", **self.identity, "steps": self.state.steps}
        core, settings = self.judge, self.settings
        return AgentPolicy(layers_of(weights), settings.activation, core.observer, core.ranges, facts=facts)


# -- to and from RLlib -------------------------------------------------------------------------------------------------

_COMPONENTS = ["learner/rl_module", "learner/optimizer"]


def learned(algorithm: Any) -> Any:
    """Networks and optimizer."""
    return algorithm.learner_group.get_state(components=_COMPONENTS)


def _put(algorithm: Any, kept: Any) -> None:
    """Networks and optimizer of a checkpoint, to the learner and to workers.

    RLlib's own `sync_weights` does not wait, and sends nothing to workers whose first weights are still on their way.
    """
    algorithm.learner_group.set_state(kept)
    weights = algorithm.learner_group.get_state(components=_COMPONENTS[:1], inference_only=True)["learner"]
    algorithm.env_runner_group.foreach_env_runner("set_state", kwargs={"state": weights}, local_env_runner=False)


def layers_of(weights: Mapping[str, Any]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights [out, in] and biases [out] of the actor, among those of an `ActorCritic` as torch names them."""
    numbers = sorted({int(name.split(".")[1]) for name in weights if name.startswith("actor.")})
    return [
        (np.array(weights[f"actor.{i}.weight"], np.float32), np.array(weights[f"actor.{i}.bias"], np.float32))
        for i in numbers
    ]
