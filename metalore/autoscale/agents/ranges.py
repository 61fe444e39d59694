"""What an agent may do: lower, keep or raise each resource by one step within a range.

Axes: `...` any, `r` resources (:data:`metalore.autoscale.RESOURCES`), `a` the 27 joint moves (:data:`MOVES`).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields

import numpy as np

from metalore.autoscale.errors import AutoscaleError
from metalore.autoscale.model import RESOURCES

LOWER, KEEP, RAISE = range(3)
"""Of one resource, as a MultiDiscrete action numbers them."""
MOVES = np.array(list(itertools.product((-1, 0, 1), repeat=len(RESOURCES))))
"""Joint moves, [27, r], in steps; number 13 keeps everything. The last resource changes fastest."""

Range = tuple[float, float, float]
"""Least, most, step."""


@dataclass(frozen=True)
class Ranges:
    """Of each resource: least, most and step. The defaults are the published ones.

    Attributes:
        cpu_cores: in cores.
        memory_mb: in MB.
        bandwidth_mbps: in Mbit/s.

    Raises:
        AutoscaleError: a range that is none, or no whole number of steps.
    """

    cpu_cores: Range = (0.1, 2.0, 0.1)
    memory_mb: Range = (128.0, 2048.0, 128.0)
    bandwidth_mbps: Range = (5.0, 200.0, 5.0)

    def __post_init__(self) -> None:
        for name, values in zip(RESOURCES, self.rows, strict=True):
            if len(values) != 3 or not 0 < values[0] < values[1] or not values[2] > 0:
                raise AutoscaleError(f"the range of {name} is {values}; it needs 0 < least < most, and a step above 0")
            steps = (values[1] - values[0]) / values[2]
            if abs(steps - round(steps)) > 1e-6:
                raise AutoscaleError(
                    f"the range of {name} from {values[0]:g} to {values[1]:g} is no whole number of steps of {values[2]:g}"
                )

    @property
    def rows(self) -> tuple[Range, ...]:
        """In the order of resources."""
        return tuple(getattr(self, field.name) for field in fields(self))

    @property
    def least(self) -> np.ndarray:
        """[r]."""
        return np.array([row[0] for row in self.rows])

    @property
    def most(self) -> np.ndarray:
        """[r]."""
        return np.array([row[1] for row in self.rows])

    @property
    def step(self) -> np.ndarray:
        """[r]."""
        return np.array([row[2] for row in self.rows])

    @property
    def top(self) -> np.ndarray:
        """Highest level of each resource; the lowest is 0, [r]."""
        top: np.ndarray = np.rint((self.most - self.least) / self.step).astype(np.int64)
        return top

    def amounts(self, levels: np.ndarray) -> np.ndarray:
        """Amounts of levels, [..., r]."""
        amounts: np.ndarray = self.least + np.asarray(levels) * self.step
        return amounts

    def levels(self, amounts: np.ndarray) -> np.ndarray:
        """Lowest levels that give at least these amounts, within the range, [..., r]."""
        levels = np.ceil((np.asarray(amounts, np.float64) - self.least) / self.step - 1e-9)
        clipped: np.ndarray = np.clip(levels, 0, self.top).astype(np.int64)
        return clipped

    def mask(self, levels: np.ndarray) -> np.ndarray:
        """Moves of each resource that stay within the range, boolean [..., r, 3]."""
        levels = np.asarray(levels)
        return np.stack([levels > 0, np.ones(levels.shape, bool), levels < self.top], axis=-1)


def joint_mask(mask: np.ndarray) -> np.ndarray:
    """Of the 27 joint moves those whose parts are all allowed, boolean [..., a]; `mask` as :meth:`Ranges.mask`."""
    allowed: np.ndarray = np.all([mask[..., r, MOVES[:, r] + 1] for r in range(MOVES.shape[1])], axis=0)
    return allowed


def number_of(moves: np.ndarray) -> np.ndarray:
    """Numbers of joint moves [..., r], which are -1, 0 or 1 each."""
    powers = 3 ** np.arange(MOVES.shape[1])[::-1]
    numbers: np.ndarray = ((np.asarray(moves) + 1) * powers).sum(axis=-1)
    return numbers
