"""Training of agents that size zones: rounds of learning, each judged on other days, of which the best is kept.

Every round begins its episodes anew, with seeds of its own, so a run that goes on after a round takes the same course
as one that was never stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import set_random_seed

from metalore.autoscale.agents.policy import CARD, AgentPolicy
from metalore.envs.zone_core import ZoneCore, ZoneSettings
from metalore.fluid import Demand, FluidZones, Split
from metalore.learn import checkpoint
from metalore.learn.card import CHECKPOINT, write_curve
from metalore.learn.training import TrainError
from metalore.learn.zones.batch import ZoneVecEnv
from metalore.learn.zones.evaluation import agent_decides, evaluate_zones
from metalore.learn.zones.network import IndependentPolicy, ZoneMlp
from metalore.learn.zones.settings import ZoneTraining

_SEEDS = 1_000_000
"""Apart: those of rounds, and of runs."""
_VALIDATION_SEED = 900_000_000
Progress = Callable[[int, dict[str, float] | None], None]
"""Is told the zone-intervals done and, after a round, its entry in the curve."""


@dataclass
class ZoneResult:
    """What a run came to; `agent` is the one that was kept."""

    folder: Path
    agent: AgentPolicy
    steps: int
    best: float
    wall_s: float
    curve: list[dict[str, float]] = field(default_factory=list)


@dataclass
class _State:
    """What a run has learned about itself; kept with every checkpoint."""

    round: int = 0
    best: float = -np.inf
    wall_s: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)


def train_zones(
    demand: Demand,
    training: ZoneTraining,
    folder: Path | str,
    *,
    seed: int = 0,
    split: str = "backlog-proportional",
    resume: bool = False,
    progress: Progress | None = None,
) -> ZoneResult:
    """Train an agent and keep the best in `folder`.

    Args:
        demand: of a city.
        training: see :class:`ZoneTraining`.
        folder: where agent, curve and checkpoint go.
        seed: fixes everything; the same seed gives the same agent.
        split: between requests and updates, see :class:`metalore.fluid.Split`.
        resume: go on after the last finished round; gives what an uninterrupted run gives.
        progress: see :data:`Progress`.

    Raises:
        TrainError: a folder in use, nothing to resume, or hyperparameters that do not exist.
        FluidError: settings that do not fit the demand.
        PolicyFolderError: a damaged checkpoint, or one of another run.
    """
    folder = Path(folder)
    torch.set_num_threads(1)  # networks this small lose time to threads
    check_folder(folder, resume)
    run = _Run(demand, training, folder, seed, split, progress or (lambda done, entry: None))
    if resume:
        run.restore()
    while run.state.round < training.rounds:
        run.round()
    agent = AgentPolicy.load(folder)
    return ZoneResult(folder, agent, training.steps, run.state.best, run.state.wall_s, run.state.curve)


def check_folder(folder: Path, resume: bool) -> None:
    """Refuse a folder that holds a run, or to resume none.

    Raises:
        TrainError: either.
    """
    there = (folder / CHECKPOINT).exists()
    if resume and not there:
        raise TrainError(f"{folder} holds no checkpoint to resume; start without --resume")
    if not resume and (there or (folder / CARD).exists()):
        raise TrainError(f"{folder} holds a trained agent already; choose another folder or resume")


class _Run:
    """A training between two rounds."""

    def __init__(
        self, demand: Demand, training: ZoneTraining, folder: Path, seed: int, split: str, progress: Progress
    ) -> None:
        self.demand, self.training, self.folder, self.seed = demand, training, folder, seed
        self.split, self.progress, self.state = Split.read(split), progress, _State()
        self.settings = ZoneSettings().updated(**training.environment)
        self.env = ZoneVecEnv(
            self._core(training.num_envs, training.train_part), told_apart=training.agents == "independent"
        )
        self.judge = self._core(self._judged(), training.validation_part)
        set_random_seed(seed)
        self.model = self._model()
        self.identity = {
            "training": training.model_dump(mode="json"),
            "demand": demand.source,
            "seed": seed,
            "split": split,
        }

    def _judged(self) -> int:
        envs = self.training.evaluation_envs
        return envs if self.training.agents == "one" else max(1, envs // self.demand.num_zones)

    def _core(self, num_envs: int, part: tuple[float, float]) -> ZoneCore:
        zones = FluidZones(self.demand, num_envs, single=self.training.agents == "one", split=self.split)
        settings = self.settings.updated(part=part)
        return ZoneCore(
            zones, settings if part == self.training.train_part else settings.updated(starts_anywhere=False)
        )

    def _model(self) -> Any:
        training = self.training
        options = dict(training.hyperparameters)
        if "learning_rate" in options:
            options["learning_rate"] = self._falling(options["learning_rate"])
        try:
            if training.algorithm == "dqn":
                return DQN(
                    "MlpPolicy", self.env, seed=self.seed, device="cpu", **options,
                    policy_kwargs={"net_arch": list(training.hidden)},
                )  # fmt: skip
            policy, kwargs = "MlpPolicy", {"net_arch": list(training.hidden)}
            if training.agents == "independent":
                policy = IndependentPolicy  # type: ignore[assignment]
                kwargs = {"zones": self.demand.num_zones, "hidden": training.hidden}  # type: ignore[dict-item]
            return MaskablePPO(policy, self.env, seed=self.seed, device="cpu", policy_kwargs=kwargs, **options)
        except TypeError as error:
            raise TrainError(f"{training.algorithm} does not take these hyperparameters: {error}") from None

    def _falling(self, rate: float) -> Callable[[float], float]:
        """A learning rate that falls to a tenth over the whole run; the library's own count begins anew each round."""

        def now(_: float) -> float:
            done = self.model.num_timesteps if hasattr(self, "model") else 0
            return rate * max(1.0 - 0.9 * done / self.training.steps, 0.1)

        return now

    # -- rounds --------------------------------------------------------------------------------------------------------

    def round(self) -> None:
        """Learn for a while, judge, keep."""
        began, training = time.perf_counter(), self.training
        fresh = self.seed * _SEEDS + self.state.round * training.num_envs
        set_random_seed(fresh % 2**32)
        self.env.seed(fresh)
        self.model._last_obs = None  # the next `learn` begins episodes anew
        target = round(training.steps * (self.state.round + 1) / training.rounds)
        steps = max(target - self.model.num_timesteps, 1)
        options = {"use_masking": training.masked} if training.algorithm == "ppo" else {}
        self.model.learn(
            steps, callback=_Told(self.progress, training.steps), reset_num_timesteps=self.state.round == 0,
            **options,
        )  # fmt: skip
        self.state.round += 1
        agent = self._agent()
        table = evaluate_zones({"agent": agent_decides(agent)}, self.judge, [_VALIDATION_SEED])
        score = float(table["reward"].mean())
        self.state.wall_s += time.perf_counter() - began
        entry = {"steps": float(self.model.num_timesteps), "wall_s": round(self.state.wall_s, 2), "reward": score}
        self.state.curve.append(entry)
        if score > self.state.best:
            self.state.best = score
            agent.save(self.folder)
        write_curve(self.folder, ("steps", "wall_s", "reward"), self.state.curve)
        checkpoint.write(self.folder / CHECKPOINT, self._kept(), self.identity, vars(self.state))
        self.progress(self.model.num_timesteps, entry)

    def _agent(self) -> AgentPolicy:
        training = self.training
        layers, activation = layers_of(self.model)
        facts = {
            "training": training.model_dump(mode="json"),
            "demand": self.demand.source,
            "seed": self.seed,
            "steps": int(self.model.num_timesteps),
        }
        zones = self.demand.zones if training.agents == "independent" else ()
        return AgentPolicy(
            layers, activation, self.settings.observer(), self.settings.ranges, training.masked, zones, facts
        )

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def _kept(self) -> dict[str, Any]:
        return {
            "parameters": self.model.get_parameters(),
            "counters": {name: getattr(self.model, name) for name in _COUNTERS if hasattr(self.model, name)},
            "buffer": checkpoint.buffer_of(self.model),
        }

    def restore(self) -> None:
        """Take up a run after its last round."""
        state, progress = checkpoint.read(self.folder / CHECKPOINT, self.identity)
        self.state = _State(**progress)
        self.model._setup_learn(1)  # what `learn` would set up with the first round
        self.model.set_parameters(state["parameters"], exact_match=True)
        for name, value in state["counters"].items():
            setattr(self.model, name, value)
        checkpoint.restore_buffer(self.model, state["buffer"])


_COUNTERS = ("num_timesteps", "_n_updates", "_episode_num", "_n_calls", "exploration_rate", "_num_timesteps_at_start")


class _Told(BaseCallback):
    """Tells how far it is."""

    def __init__(self, progress: Progress, total: int) -> None:
        super().__init__()
        self._progress, self._total = progress, total

    def _on_training_start(self) -> None:
        self.model._total_timesteps = self._total  # exploration falls over the whole run, not over each round

    def _on_step(self) -> bool:
        self._progress(min(self.num_timesteps, self._total), None)
        return True


def layers_of(model: Any) -> tuple[list[tuple[np.ndarray, np.ndarray]], str]:
    """Layers of what acts, and the function between them."""
    policy = model.policy
    if isinstance(model, DQN):
        return _linear(policy.q_net.q_net), "relu"
    if isinstance(policy.action_net, ZoneMlp):
        return [(_array(layer.weight), _array(layer.bias)) for layer in policy.action_net.layers], "tanh"
    return [*_linear(policy.mlp_extractor.policy_net), *_linear(torch.nn.Sequential(policy.action_net))], "tanh"


def _linear(modules: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(_array(m.weight), _array(m.bias)) for m in modules if isinstance(m, torch.nn.Linear)]


def _array(tensor: Any) -> np.ndarray:
    array: np.ndarray = tensor.detach().cpu().numpy().copy()
    return array


__all__ = ["ZoneResult", "check_folder", "layers_of", "train_zones"]
