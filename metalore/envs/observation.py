"""What an agent sees of a world: a choice of features, flattened, with history by wish."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

import numpy as np
from gymnasium import spaces

from metalore.world import World

_LARGEST = float(np.finfo(np.float32).max)


def _seconds(steps: np.ndarray, world: World) -> np.ndarray:
    return steps * world.scenario.step_s


def _capacity(world: World) -> np.ndarray:
    return np.stack([world.zones["bandwidth_hz"] / 1e6, world.zones["compute"]], axis=-1)


def _twin_age(world: World) -> np.ndarray:
    ages = world.sensor_ages
    mean = ages.mean(axis=1, keepdims=True) if ages.shape[1] else np.zeros((world.num_envs, 1))
    return _seconds(mean, world)


FEATURES: dict[str, Callable[[World], np.ndarray]] = {
    "queue_lengths": lambda world: world.queue_lengths,
    "backlog_gcycle": lambda world: world.queue_gcycle,
    "backlog_mbit": lambda world: world.device_backlog(),
    "attached": lambda world: world.attached,
    "waiting_age": lambda world: _seconds(world.waiting_age(), world),
    "twin_age": _twin_age,
    "last_action": lambda world: world.shares,
    "capacity": _capacity,
    "progress": lambda world: (world.t / world.scenario.max_steps)[:, None],
}
"""Features by name; each gives an array [e, ...] of a world, ages in seconds.

Those of :data:`PER_CELL` hold two numbers for each station: `queue_lengths` (jobs), `backlog_gcycle`, `backlog_mbit`
(in devices) and `attached` of requests and of updates, `last_action` and `capacity` (MHz, Gcycle/s) of band and server.
`waiting_age` holds two (mean age of waiting requests and updates); `twin_age` (mean age of the sensors at the twin) and
`progress` (part of the episode that is over) one.
"""

PER_CELL = ("queue_lengths", "backlog_gcycle", "backlog_mbit", "attached", "last_action", "capacity")
"""Features [e, s, 2]; the others are about the whole city."""

DEFAULT = ("queue_lengths",)


class Observer:
    """Turns worlds into observations [e, f] of float32.

    Args:
        world: the batch to look at.
        features: names of :data:`FEATURES`, in the order wanted.
        stack: how many observations to show, oldest first; before the first step all are the initial one.

    Raises:
        ValueError: an unknown feature (with the nearest known one) or a stack below 1.
    """

    def __init__(self, world: World, features: Sequence[str] = DEFAULT, stack: int = 1) -> None:
        if isinstance(features, str):
            features = (features,)
        for name in features:
            if name not in FEATURES:
                close = difflib.get_close_matches(name, FEATURES, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(FEATURES)}"
                raise ValueError(f"unknown observation feature {name!r}{hint}")
        if not features:
            raise ValueError("an observation needs at least one feature")
        if stack < 1:
            raise ValueError(f"stack is {stack}; at least 1 observation is shown")
        self.features, self.stack = tuple(features), stack
        self._world = world
        rows, self._width = self._now().shape
        self.history = np.zeros((rows, stack, self._width), np.float32)

    @property
    def space(self) -> spaces.Box:
        """Space of one environment's observation."""
        return spaces.Box(0.0, _LARGEST, (self.stack * self._width,), np.float32)

    def first(self, chosen: np.ndarray | None = None) -> np.ndarray:
        """Observations after a reset of the chosen environments (boolean [e]; unset: all)."""
        if self.stack == 1:
            return self._now()
        mask = slice(None) if chosen is None else chosen
        self.history[mask] = self._now()[mask, None, :]
        return self._flat()

    def next(self) -> np.ndarray:
        """Observations after a step."""
        if self.stack == 1:
            return self._now()
        self.history[:, :-1] = self.history[:, 1:]
        self.history[:, -1] = self._now()
        return self._flat()

    def _flat(self) -> np.ndarray:
        return self.history.reshape(len(self.history), -1).copy()

    def _now(self) -> np.ndarray:
        world = self._world
        if len(self.features) == 1:
            return FEATURES[self.features[0]](world).astype(np.float32).reshape(world.num_envs, -1)
        parts = [FEATURES[name](world).reshape(world.num_envs, -1) for name in self.features]
        return np.concatenate(parts, axis=1, dtype=np.float32)
