"""Training that reports, evaluates, keeps the best, and can be taken up again exactly where it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback

from metalore.learn import checkpoint
from metalore.learn.adapter import training_env
from metalore.learn.algorithms import make_model
from metalore.learn.card import CARD, CHECKPOINT, write_curve
from metalore.learn.folder import load_policy, save_policy
from metalore.learn.policy import LearnedPolicy, Normalization
from metalore.learn.seeds import EVALUATION_SEEDS, TRAINING_SEEDS
from metalore.learn.settings import TrainSettings
from metalore.policies.rollout import run_episodes
from metalore.scenario import Scenario
from metalore.world import World


class TrainError(ValueError):
    """A run that cannot be made or resumed."""


@dataclass
class TrainResult:
    """What a run came to.

    Attributes:
        folder: of the run.
        policy: the one that was kept.
        steps: environment steps taken.
        best_return: mean return of the one that was kept, on the episodes it was chosen by.
        wall_s: what the run took, with those it goes on from.
        curve: a row for each evaluation.
    """

    folder: Path
    policy: LearnedPolicy
    steps: int
    best_return: float
    wall_s: float
    curve: list[dict[str, float]] = field(default_factory=list)


@dataclass
class _Progress:
    """What a run has learned about itself; saved with every checkpoint."""

    best_return: float = -np.inf
    since_best: int = 0
    wall_s: float = 0.0
    next_evaluation: int = 0
    next_checkpoint: int = 0
    stopped: bool = False
    curve: list[dict[str, float]] = field(default_factory=list)


def train(
    scenario: Scenario,
    settings: TrainSettings,
    folder: str | Path,
    *,
    seed: int = 0,
    resume: bool = False,
    threads: int = 1,
    tensorboard: bool = False,
    checkpoint_every: int = 200_000,
    progress: Callable[[int, dict[str, float] | None], None] | None = None,
) -> TrainResult:
    """Train a policy and keep it in `folder`.

    Args:
        scenario: the worlds to train on.
        settings: see :class:`TrainSettings`.
        folder: where policy, curve and checkpoints go; must not hold a policy yet unless `resume`.
        seed: fixes everything; the same seed gives the same policy.
        resume: go on from the folder's checkpoint; gives what an uninterrupted run gives.
        threads: how many threads step the batch.
        tensorboard: write TensorBoard logs below the folder.
        checkpoint_every: environment steps between checkpoints; 0: none.
        progress: called with the steps done and, after an evaluation, its entry in the curve.

    Raises:
        TrainError: a folder in use, or nothing to resume.
        PolicyFolderError: a damaged checkpoint, or one of another run.
    """
    folder = Path(folder)
    torch.set_num_threads(1)  # networks this small lose time to threads
    _check_folder(folder, resume)
    env = training_env(World(scenario, settings.num_envs, threads=threads), settings, seed * TRAINING_SEEDS)
    model = make_model(settings, env, seed, str(folder / "tensorboard") if tensorboard else None)
    state = _Progress()
    if resume:
        identity = {"settings": settings.model_dump(mode="json"), "scenario": scenario.model_dump(mode="json")}
        extras = checkpoint.load(folder / CHECKPOINT, model, identity | {"seed": seed})
        state = _Progress(**extras)
    observer = _Observer(scenario, settings, folder, seed, state, checkpoint_every, progress)
    if not state.stopped and model.num_timesteps < settings.steps:
        model.learn(settings.steps - model.num_timesteps, callback=observer, reset_num_timesteps=not resume)
    observer.finish(model)
    return TrainResult(folder, load_policy(folder), model.num_timesteps, state.best_return, state.wall_s, state.curve)


def _check_folder(folder: Path, resume: bool) -> None:
    if resume and not (folder / CHECKPOINT).exists():
        raise TrainError(f"{folder} holds no checkpoint to resume; start without --resume")
    if not resume and ((folder / CARD).exists() or (folder / CHECKPOINT).exists()):
        raise TrainError(f"{folder} holds a trained policy already; choose another folder or resume")


class _Observer(BaseCallback):
    """Evaluates, checkpoints and stops a run, always between two rollouts, where its state is whole."""

    def __init__(
        self,
        scenario: Scenario,
        settings: TrainSettings,
        folder: Path,
        seed: int,
        state: _Progress,
        checkpoint_every: int,
        progress: Callable[[int, dict[str, float] | None], None] | None,
    ) -> None:
        super().__init__()
        self.scenario, self.settings, self.folder, self.seed = scenario, settings, folder, seed
        self.state, self.checkpoint_every, self.progress = state, checkpoint_every, progress
        self._began = time.perf_counter() - state.wall_s

    def _on_rollout_start(self) -> None:
        self._look(self.model)

    def _on_step(self) -> bool:
        if self.progress is not None:
            self.progress(self.model.num_timesteps, None)
        return not self.state.stopped

    def _look(self, model: Any) -> None:
        """Evaluate and checkpoint if it is time."""
        steps, every = model.num_timesteps, self.settings.evaluate_every
        if every and steps >= self.state.next_evaluation:
            self.state.next_evaluation = (steps // every + 1) * every
            self._evaluate(model)
        if self.checkpoint_every and steps >= self.state.next_checkpoint:
            self.state.next_checkpoint = (steps // self.checkpoint_every + 1) * self.checkpoint_every
            self.save_checkpoint(model)

    def _evaluate(self, model: Any) -> None:
        policy = self.policy_of(model)
        seeds = range(EVALUATION_SEEDS, EVALUATION_SEEDS + self.settings.evaluation_episodes)
        episodes = run_episodes(self.scenario, policy, seeds).episodes
        score = float(episodes["return"].mean())
        self.state.wall_s = time.perf_counter() - self._began
        entry = {
            "steps": float(model.num_timesteps),
            "wall_s": round(self.state.wall_s, 2),
            "return": score,
            "return_sd": float(episodes["return"].std()),
        }
        self.state.curve.append(entry)
        better = score > self.state.best_return
        self.state.since_best = 0 if better else self.state.since_best + 1
        if better or not self.settings.keep_best:
            self.state.best_return = score
            self._keep(policy)
        self.state.stopped = 0 < self.settings.patience <= self.state.since_best
        if self.progress is not None:
            self.progress(model.num_timesteps, entry)

    def _keep(self, policy: LearnedPolicy) -> None:
        summary = {
            "steps": self.model.num_timesteps,
            "evaluation_return": self.state.best_return,
            "wall_s": round(self.state.wall_s, 2),
        }
        save_policy(
            self.folder,
            policy.network,
            self.settings,
            self.scenario,
            self.seed,
            policy.normalization,
            summary,
        )
        self._write_curve()

    def _write_curve(self) -> None:
        write_curve(self.folder, ("steps", "wall_s", "return", "return_sd"), self.state.curve)

    def save_checkpoint(self, model: Any) -> None:
        """Write everything a later run needs to go on exactly."""
        self.state.wall_s = time.perf_counter() - self._began
        identity = {
            "settings": self.settings.model_dump(mode="json"),
            "scenario": self.scenario.model_dump(mode="json"),
            "seed": self.seed,
        }
        checkpoint.save(self.folder / CHECKPOINT, model, identity, vars(self.state))

    def finish(self, model: Any) -> None:
        """A last evaluation, so that the end of the run counts too."""
        self.model = model
        last = self.state.curve[-1]["steps"] if self.state.curve else -1
        if not self.state.stopped and last != model.num_timesteps:
            self._evaluate(model)
        self._write_curve()

    def policy_of(self, model: Any) -> LearnedPolicy:
        """The model as it is now, as a policy."""
        normalizer = model.get_vec_normalize_env()
        normalization = None
        if self.settings.normalize:
            statistics = normalizer.obs_rms
            normalization = Normalization(
                statistics.mean.copy(), statistics.var.copy(), normalizer.clip_obs, normalizer.epsilon
            )
        model.policy.set_training_mode(False)
        stations = len(self.scenario.stations)
        return LearnedPolicy(model.policy, self.settings, stations, normalization, self.settings.algorithm)
