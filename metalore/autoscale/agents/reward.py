"""What an agent is rewarded for: named terms of one interval of a zone, each a cost in [0, 1] or little more.

Axes: `...` zones of any batch, `r` resources.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from metalore.autoscale.agents.ranges import Ranges
from metalore.autoscale.errors import AutoscaleError

TERMS = ("overload", "latency", "loss", "age", "cost", "change", "network")


@dataclass(frozen=True, eq=False)
class Happened:
    """What came of an interval.

    Attributes:
        requests, completed, lost, offloaded: numbers of requests, [...].
        latency_ms, aori_s, twin_age_s: means; NaN where there are none, [...].
        used: cores, MB, Mbit/s, [..., r].
        given: likewise.
        moved: resources that were changed for it, [...].
    """

    requests: np.ndarray
    completed: np.ndarray
    lost: np.ndarray
    offloaded: np.ndarray
    latency_ms: np.ndarray
    aori_s: np.ndarray
    twin_age_s: np.ndarray
    used: np.ndarray
    given: np.ndarray
    moved: np.ndarray


@dataclass(frozen=True)
class Reward:
    """Weights of the terms, and what they are measured by. The reward is minus the weighted sum.

    Attributes:
        overload: of how far use comes above `busy` of what there is: 0 below, 1 when it is full; the worst resource.
        latency: of 1 where the mean latency is above its target or nothing asked for was completed, and so much more as
            it is above, up to 1 again at three times the target.
        loss: of the part of requests that was lost, as sqrt, so that few count too.
        age: of AoRI and the twin's age beyond `age_target_s`, as parts of it, at most 1 each, half each.
        cost: of what is given, as a part of the most that can be, mean over resources by `prices`.
        change: of resources that were changed, as a part of all.
        network: of the part of requests that neighbours served.
        busy, latency_target_ms, age_target_s, prices: see above.

    Raises:
        AutoscaleError: a weight below 0, or a target that is not above 0.
    """

    overload: float = 0.2
    latency: float = 1.0
    loss: float = 1.0
    age: float = 0.1
    cost: float = 1.0
    change: float = 0.02
    network: float = 0.1
    busy: float = 0.9
    latency_target_ms: float = 2000.0
    age_target_s: float = 10.0
    prices: tuple[float, float, float] = (0.6, 0.2, 0.2)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = min(value) if isinstance(value, tuple) else value
            if not least >= 0:
                raise AutoscaleError(f"reward.{field.name} is {value}; it cannot be negative")
        if not (0 < self.busy < 1 and self.latency_target_ms > 0 and self.age_target_s > 0 and sum(self.prices) > 0):
            raise AutoscaleError("of the reward, busy lies between 0 and 1, and targets and prices are above 0")

    @property
    def weights(self) -> np.ndarray:
        """In the order of :data:`TERMS`."""
        return np.array([getattr(self, name) for name in TERMS])

    def violated(self, happened: Happened) -> np.ndarray:
        """Whether the mean latency is above its target or nothing asked for was completed, boolean [...]."""
        asked = (happened.requests > 0) | (happened.completed > 0)
        violated: np.ndarray = asked & ~(happened.latency_ms <= self.latency_target_ms)
        return violated

    def terms(self, happened: Happened, ranges: Ranges) -> np.ndarray:
        """The terms, not weighted, as costs, [..., TERMS]."""
        used, given = happened.used, happened.given
        with np.errstate(invalid="ignore"):
            over = np.clip((used / given - self.busy) / (1.0 - self.busy), 0.0, 1.0).max(axis=-1)
            late = np.nan_to_num(happened.latency_ms / self.latency_target_ms, nan=3.0)
        asked = np.maximum(happened.requests, 1.0)
        late_by = np.where(self.violated(happened), 1.0 + np.clip((late - 1.0) / 2.0, 0.0, 1.0), 0.0)
        ages = [self._beyond(happened.aori_s), self._beyond(happened.twin_age_s)]
        prices = np.array(self.prices) / sum(self.prices)
        return np.stack(
            [
                over,
                late_by,
                np.sqrt(np.clip(happened.lost / asked, 0.0, 1.0)),
                0.5 * (ages[0] + ages[1]),
                (given / ranges.most * prices).sum(axis=-1),
                happened.moved / used.shape[-1],
                happened.offloaded / asked,
            ],
            axis=-1,
        )

    def of(self, terms: np.ndarray) -> np.ndarray:
        """The reward, [...]."""
        reward: np.ndarray = -(terms * self.weights).sum(axis=-1)
        return reward

    def _beyond(self, age_s: np.ndarray) -> np.ndarray:
        beyond = np.nan_to_num(age_s, nan=0.0) / self.age_target_s - 1.0
        clipped: np.ndarray = np.clip(beyond, 0.0, 1.0)
        return clipped
