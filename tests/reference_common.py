"""What the parts of the reference share: random words as numbers, distances, and the city's streams."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

ACTIVITY, DRIFT, FLASH, FAILURE = 7, 8, 9, 10  # streams of the table in `docs/world.md`

Point = tuple[float, float]
Draw = Callable[[int, int, int], tuple[float, float, float, float]]
"""The four uniform numbers of (step, device or zone, stream)."""


def uniform(word: int) -> float:
    """A 32-bit word as a number in (0, 1)."""
    return (word + 0.5) / 2**32


def normal_pair(u0: float, u1: float) -> tuple[float, float]:
    """Two standard normal numbers (Box-Muller)."""
    radius = math.sqrt(-2 * math.log(u0))
    return radius * math.cos(2 * math.pi * u1), radius * math.sin(2 * math.pi * u1)


def squared_distance(a: Point, b: Point) -> float:
    """In the plane, in square metres."""
    return (a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1])


def nearest_first(places: Sequence[Point], z: int) -> list[int]:
    """All places in order of their distance from place `z`, the lowest number first on a tie; `z` is among them."""
    return sorted(range(len(places)), key=lambda j: (squared_distance(places[z], places[j]), j))


def single(value: float) -> float:
    """Rounded to single precision."""
    return float(np.float32(value))


def or_zero(value: float) -> float:
    """A pull, with a gap counted as 0."""
    return 0.0 if math.isnan(value) else value


def first_above(weights: Sequence[float], part: float) -> int | None:
    """The first whose running sum exceeds `part` times the total, gaps counting 0; None if the total is 0."""
    total = sum(or_zero(weight) for weight in weights)
    running = 0.0
    for i, weight in enumerate(weights):
        running += or_zero(weight)
        if running > part * total:
            return i
    return None
