"""Histograms whose buckets grow and whose old samples fade, as the Kubernetes vertical pod autoscaler keeps them.

Axes: `z` zones, `b` buckets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

_MOST_HALF_LIVES = 100.0
"""After which weights are counted from a new time; 2 to this power is still far from the largest number."""


@dataclass(frozen=True)
class Buckets:
    """Bucket b begins at first * (ratio ** b - 1) / (ratio - 1); the last one has no end.

    Attributes:
        first: width of the first bucket.
        ratio: of the width of each bucket to that of the one before.
        most: beginning of the last bucket, at least.
    """

    first: float
    ratio: float
    most: float

    @cached_property
    def count(self) -> int:
        """Number of buckets."""
        return math.ceil(math.log(self.most * (self.ratio - 1) / self.first + 1, self.ratio)) + 1

    @cached_property
    def starts(self) -> np.ndarray:
        """Where they begin, [b]."""
        starts: np.ndarray = self.first * (self.ratio ** np.arange(self.count) - 1) / (self.ratio - 1)
        return starts

    def percentile(self, weights: np.ndarray, part: float) -> np.ndarray:
        """End of the bucket in which a part of the weight is reached, [z], from weights [z, b].

        The last bucket has no end, so its beginning counts; NaN where there is no weight.
        """
        reached = np.cumsum(weights, axis=1)
        total = reached[:, -1]
        bucket = (reached >= part * total[:, None]).argmax(axis=1)
        ends = self.starts[np.minimum(bucket + 1, self.count - 1)]
        found: np.ndarray = np.where(total > 0, ends, np.nan)
        return found

    def added(self, weights: np.ndarray, values: np.ndarray, weight: np.ndarray | float) -> np.ndarray:
        """Weights with one more sample for each zone, [z] each; a value of NaN is none."""
        bucket = np.clip(np.searchsorted(self.starts, values, side="right") - 1, 0, self.count - 1)
        zones = np.flatnonzero(~np.isnan(values))
        more = np.array(weights)
        more[zones, bucket[zones]] += np.broadcast_to(weight, values.shape)[zones]
        kept: np.ndarray = np.maximum(more, 0.0)  # what is taken away again leaves no crumbs below 0
        return kept


@dataclass(frozen=True)
class Decay:
    """Samples lose half of their weight in a time: a new one counts 2 ** (age of the reference / half-life) instead.

    Attributes:
        half_life_s: that time.
    """

    half_life_s: float

    def factor(self, time_s: float | np.ndarray, reference_s: float) -> np.ndarray:
        """What a sample of that time counts."""
        factor: np.ndarray = np.exp2((np.asarray(time_s) - reference_s) / self.half_life_s)
        return factor

    def is_far(self, time_s: float, reference_s: float) -> bool:
        """Whether factors of that time grow too large, so that the reference should move."""
        return (time_s - reference_s) / self.half_life_s > _MOST_HALF_LIVES
