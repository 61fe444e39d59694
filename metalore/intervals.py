"""Means, tails and paired differences with bootstrap intervals; below everything else and of numpy alone.

Intervals are percentile intervals (Efron and Tibshirani 1993, ch. 13). Resampling is seeded, so that the same values
give the same interval every time.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

RESAMPLES = 2000
LEVEL = 0.95
SEED = 20250801
TAIL = 0.1
"""The part of the episodes that :func:`worst_mean` looks at."""

_CHUNK = 4_000_000

Estimate = tuple[float, float, float]
"""A value and its interval: (value, low, high)."""
Statistic = Callable[[np.ndarray], np.ndarray]
"""Turns samples [r, n] into a value each, [r]."""


def bootstrap(
    values: np.ndarray, statistic: Statistic, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = SEED
) -> Estimate:
    """A statistic of the values that are not NaN and its interval, by the percentile bootstrap.

    Args:
        values: [n].
        statistic: which.
        level: part of resamples that the interval holds.
        resamples: samples drawn with replacement.
        seed: of the draws.

    Returns:
        (value, low, high); NaN without values, and for the interval of a single one.
    """
    known = np.asarray(values, float)
    known = known[~np.isnan(known)]
    if len(known) == 0:
        return math.nan, math.nan, math.nan
    value = float(statistic(known[None])[0])
    if len(known) == 1:
        return value, math.nan, math.nan
    low, high = np.quantile(_resampled(known, statistic, resamples, seed), [(1 - level) / 2, (1 + level) / 2])
    return value, float(low), float(high)


def bootstrap_mean(values: np.ndarray, level: float = LEVEL, resamples: int = RESAMPLES) -> Estimate:
    """Mean of the values [n] that are not NaN and its interval; `level` and `resamples` as for :func:`bootstrap`."""
    return bootstrap(values, mean, level, resamples)


def paired_difference(
    values: np.ndarray, reference: np.ndarray, level: float = LEVEL, resamples: int = RESAMPLES
) -> Estimate:
    """Mean of ``values - reference``, pair by pair, and its interval.

    What both have in common (the same demand under one seed) drops out, so the interval is far narrower than those of
    the two means. Pairs of which a part is NaN do not count.

    Raises:
        ValueError: not as many values as references.
    """
    first, second = np.asarray(values, float), np.asarray(reference, float)
    if first.shape != second.shape:
        raise ValueError(f"{first.size} values cannot be paired with {second.size}")
    return bootstrap_mean(first - second, level, resamples)


def worst_mean(values: np.ndarray, level: float = LEVEL, resamples: int = RESAMPLES) -> Estimate:
    """Mean of the lowest tenth of the values that are not NaN, and its interval; see :func:`lowest_tenth`."""
    return bootstrap(values, lowest_tenth, level, resamples)


def bootstrap_intervals(values: np.ndarray) -> np.ndarray:
    """95 % percentile bootstrap intervals of the means of rows, [n, 2], of values [n, seeds] that may be NaN.

    All rows are resampled with the same episodes, so that intervals of points compare; how often each episode was
    drawn is counted once, so that hundreds of rows cost little more than one.
    """
    seeds = values.shape[1]
    drawn = np.random.default_rng(SEED).integers(0, seeds, (RESAMPLES, seeds))
    counts = np.zeros((RESAMPLES, seeds))
    np.add.at(counts, (np.arange(RESAMPLES)[:, None], drawn), 1.0)
    known = ~np.isnan(values)
    weight = counts @ known.T.astype(float)
    sums = counts @ np.where(known, values, 0.0).T
    means = np.divide(sums, weight, out=np.full(sums.shape, np.nan), where=weight > 0)
    intervals = np.full((len(values), 2), np.nan)
    enough = known.sum(axis=1) > 1
    intervals[enough] = np.nanquantile(means[:, enough], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0).T
    return intervals


def mean(samples: np.ndarray) -> np.ndarray:
    """Mean of each row."""
    means: np.ndarray = samples.mean(axis=1)
    return means


def lowest_tenth(samples: np.ndarray) -> np.ndarray:
    """Mean of the lowest tenth of each row (conditional value at risk).

    Of 25 values it is that of the lowest two and half the third; of ten values or fewer it is the lowest one.
    """
    tail = TAIL * samples.shape[1]
    count = math.ceil(tail - 1e-9)
    weights = np.clip(tail - np.arange(count), 0.0, 1.0)
    lowest = np.sort(np.partition(samples, count - 1, axis=1)[:, :count], axis=1)
    means: np.ndarray = (lowest * weights).sum(axis=1) / weights.sum()
    return means


def _resampled(values: np.ndarray, statistic: Statistic, resamples: int, seed: int) -> np.ndarray:
    """The statistic of resamples, as many at a time as memory holds."""
    generator = np.random.default_rng(seed)
    results = np.empty(resamples)
    rows = max(1, _CHUNK // len(values))
    for first in range(0, resamples, rows):
        count = min(rows, resamples - first)
        chosen = generator.integers(0, len(values), (count, len(values)))
        results[first : first + count] = statistic(values[chosen])
    return results
