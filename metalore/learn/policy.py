"""A trained network as a policy: the same interface as every rule."""

from __future__ import annotations

from typing import Any

import numpy as np

from metalore.envs.observation import Observer
from metalore.learn.adapter import Codec, make_observer
from metalore.learn.settings import TrainSettings
from metalore.world import World


class Normalization:
    """Mean and spread of the network's inputs, as they were when the policy was kept."""

    def __init__(self, mean: np.ndarray, variance: np.ndarray, clip: float, epsilon: float) -> None:
        self.mean, self.variance, self.clip, self.epsilon = mean, variance, clip, epsilon

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Inputs [e, f] with mean 0 and variance 1, cut at `clip`."""
        scaled = (inputs - self.mean) / np.sqrt(self.variance + self.epsilon)
        cut: np.ndarray = np.clip(scaled, -self.clip, self.clip).astype(np.float32)
        return cut


class LearnedPolicy:
    """Acts deterministically by a trained network.

    Args:
        network: Stable-Baselines3's policy.
        settings: how it was trained; says what it sees and what its outputs mean.
        num_stations: stations it was trained on; a shared network acts on any number.
        normalization: of its inputs, or None.
        name: what to call it in results.
    """

    def __init__(
        self,
        network: Any,
        settings: TrainSettings,
        num_stations: int,
        normalization: Normalization | None,
        name: str,
    ) -> None:
        self.network, self.settings, self.normalization, self.name = network, settings, normalization, name
        self.num_stations = num_stations
        self._codec = Codec(settings, num_stations)
        self._seen: tuple[World, Observer] | None = None

    def __call__(self, world: World) -> np.ndarray:
        """Shares [e, s, 2]."""
        return self.act(self._observe(world)).reshape(world.num_envs, world.num_stations, 2)

    def act(self, features: np.ndarray) -> np.ndarray:
        """Shares [e, 2 * s] for features [e, f] as an environment shows them; if shared, [b, 2] for cells [b, f]."""
        inputs = self._codec.show(np.asarray(features, np.float32))
        if self.normalization is not None:
            inputs = self.normalization(inputs)
        outputs, _ = self.network.predict(inputs, deterministic=True)
        return self._codec.shares(outputs)

    def _observe(self, world: World) -> np.ndarray:
        if self.settings.agents == "one" and world.num_stations != self.num_stations:
            raise ValueError(
                f"policy {self.name} sets the shares of {self.num_stations} station(s); "
                f"scenario {world.scenario.name!r} has {world.num_stations}"
            )
        if self._seen is None or self._seen[0] is not world:
            self._seen = (world, make_observer(world, self.settings))
            return self._seen[1].first()
        observer, fresh = self._seen[1], world.t == 0
        observations = observer.next()
        return observer.first(fresh) if fresh.any() else observations
