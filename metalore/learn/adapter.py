"""Between Stable-Baselines3 and the batch: how observations are shown to a network, and what its outputs mean."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnvWrapper, VecNormalize

from metalore.envs.cells import CellObserver
from metalore.envs.observation import Observer
from metalore.envs.sb3 import CellVecEnv, WorldVecEnv
from metalore.learn.settings import TrainSettings
from metalore.world import World


class Codec:
    """Turns features into network inputs and network outputs into shares: of all stations, or of one if shared."""

    def __init__(self, settings: TrainSettings, num_stations: int) -> None:
        self.settings = settings
        self.num_stations = 1 if settings.agents == "shared" else num_stations
        if settings.actions == "grid" and self.num_stations != 1:
            raise ValueError(
                f"a grid of splits is for one station, not {num_stations}; use actions = 'centred' or agents = 'shared'"
            )

    def show(self, features: np.ndarray) -> np.ndarray:
        """Network inputs [e, f], before normalization."""
        shown: np.ndarray = np.log1p(features) if self.settings.compress else features
        return shown

    def action_space(self) -> spaces.Space[Any]:
        """What the network puts out."""
        if self.settings.actions == "grid":
            return spaces.Discrete(self.settings.grid**2)
        low = -1.0 if self.settings.actions == "centred" else 0.0
        return spaces.Box(low, 1.0, (2 * self.num_stations,), np.float32)

    def shares(self, outputs: np.ndarray) -> np.ndarray:
        """Shares [e, 2 * s] of network outputs."""
        if self.settings.actions == "grid":
            last = self.settings.grid - 1
            return np.stack([outputs // self.settings.grid, outputs % self.settings.grid], axis=-1) / last
        if self.settings.actions == "centred":
            return np.clip((outputs + 1.0) / 2.0, 0.0, 1.0)
        shares: np.ndarray = np.clip(outputs, 0.0, 1.0)
        return shares


class CodedVecEnv(VecEnvWrapper):
    """A batch seen and acted on through a codec."""

    def __init__(self, venv: WorldVecEnv, codec: Codec) -> None:
        space = venv.observation_space
        assert isinstance(space, spaces.Box)
        shown = spaces.Box(codec.show(space.low), codec.show(space.high), dtype=np.float32)
        super().__init__(venv, shown, codec.action_space())
        self.codec = codec

    def reset(self) -> np.ndarray:
        """Start episodes."""
        first: np.ndarray = self.venv.reset()
        return self.codec.show(first)

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the network's outputs as shares."""
        self.venv.step_async(self.codec.shares(actions))

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Step."""
        observations, rewards, done, infos = self.venv.step_wait()
        for i in np.flatnonzero(done):
            infos[i]["terminal_observation"] = self.codec.show(infos[i]["terminal_observation"])
            infos[i]["TimeLimit.truncated"] = self.codec.settings.bootstrap_at_end
        return self.codec.show(observations), rewards, done, infos


def make_observer(world: World, settings: TrainSettings) -> Observer:
    """What shows a world as the settings want it: a row for each environment, or for each cell of each if shared."""
    if settings.agents == "shared":
        return CellObserver(world, settings.observation, settings.stack, settings.neighbours)
    return Observer(world, settings.observation, settings.stack)


def training_env(world: World, settings: TrainSettings, seed: int) -> VecNormalize:
    """The batch a run trains on. Without `normalize` it passes everything through unchanged.

    Raises:
        ValueError: settings of shared agents where there is one.
    """
    batch: WorldVecEnv
    if settings.agents == "shared":
        batch = CellVecEnv(world, settings.observation, settings.stack, settings.neighbours, settings.city_part)
    elif settings.neighbours or settings.city_part:
        raise ValueError("neighbours and city_part are for agents = 'shared'; one agent sees and earns everything")
    else:
        batch = WorldVecEnv(world, settings.observation, settings.stack)
    batch.seed(seed)
    return VecNormalize(
        CodedVecEnv(batch, Codec(settings, world.num_stations)),
        training=settings.normalize,
        norm_obs=settings.normalize,
        norm_reward=settings.normalize,
        gamma=settings.hyperparameters.get("gamma", 0.99),
    )
