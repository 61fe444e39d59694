"""What an agent sees: blocks of numbers, each scaled to about [0, 1].

The same code serves environments and the autoscaler, so that an agent sees in a cluster what it saw in training.
Axes: `...` zones of any batch, `h` horizons, `q` the quantiles 0.5 and 0.9, `r` resources, `k` recent intervals, newest
last, `f` features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metalore.autoscale.agents.ranges import Ranges
from metalore.autoscale.errors import AutoscaleError, unknown

FEATURES = (
    "forecast",
    "allocation",
    "load",
    "quantiles",
    "telemetry",
    "error",
    "distrust",
    "calendar",
    "announced",
    "budget",
    "up",
)
"""Blocks by name; the first two are what the published work shows."""
DEFAULT = ("forecast", "allocation")
RECENT = ("cpu_cores", "memory_mb", "bandwidth_mbps", "latency_ms", "packet_loss")
"""Columns of recent telemetry."""
MOST = 4.0
"""Features are cut off here: four times what is the most."""
_DAY_S, _WEEK_S = 86_400.0, 604_800.0


@dataclass(frozen=True, eq=False)
class Look:
    """What there is to see. What no chosen block needs may be left out.

    Attributes:
        given: cores, MB, Mbit/s, [..., r].
        forecast: of cores, MB, Mbit/s, ms, by horizon and quantile, NaN where there is none, [..., h, 4, q].
        recent: columns of :data:`RECENT`, NaN where not known, [..., k, 5].
        error: recent error of forecasts one interval ahead, in parts of the most that can be given, [...].
        distrust: of the zone's forecast, from 0 to 1 (:class:`metalore.autoscale.Drift`), [...].
        week_s: time of the week, s, [...].
        announced: what a planned event multiplies requests by; 1: none, [...].
        budget: part of the shared budget that is given out, [...].
        up: whether the zone works, [...].
    """

    given: np.ndarray
    forecast: np.ndarray | None = None
    recent: np.ndarray | None = None
    error: np.ndarray | None = None
    distrust: np.ndarray | None = None
    week_s: np.ndarray | None = None
    announced: np.ndarray | None = None
    budget: np.ndarray | None = None
    up: np.ndarray | None = None


@dataclass(frozen=True)
class Observer:
    """Puts the chosen blocks into a row.

    Attributes:
        features: names of :data:`FEATURES`, in the order wanted.
        horizons: intervals ahead of forecasts shown; 1 is the one that begins now.
        recent: intervals of telemetry shown.
        latency_target_ms: a latency of which counts as 1.
        most: of each resource, which counts as 1, in its unit.
        latency_ahead: show forecasts of latency too; the autoscaler has none.

    Raises:
        AutoscaleError: a block that does not exist, or no horizon.
    """

    features: tuple[str, ...] = DEFAULT
    horizons: tuple[int, ...] = (1,)
    recent: int = 1
    latency_target_ms: float = 2000.0
    most: tuple[float, float, float] = (2.0, 2048.0, 200.0)
    latency_ahead: bool = True

    def __post_init__(self) -> None:
        for name in self.features:
            if name not in FEATURES:
                raise unknown("feature", name, FEATURES, "an agent's view")
        if len(set(self.features)) != len(self.features) or not self.features:
            raise AutoscaleError(f"the features {self.features} must be at least one, each named once")
        if not self.horizons or min(self.horizons) < 1 or self.recent < 1:
            raise AutoscaleError(f"horizons {self.horizons} and recent {self.recent} must hold numbers from 1 on")

    @classmethod
    def of(cls, ranges: Ranges, **settings: object) -> Observer:
        """For agents within ranges."""
        return cls(most=tuple(ranges.most.tolist()), **settings)  # type: ignore[arg-type]

    @property
    def size(self) -> int:
        """Number of features."""
        return sum(self._sizes()[name] for name in self.features)

    def names(self) -> list[str]:
        """What each feature is, for tables and tests."""
        sizes = self._sizes()
        return [f"{name}[{i}]" if sizes[name] > 1 else name for name in self.features for i in range(sizes[name])]

    def _sizes(self) -> dict[str, int]:
        targets, h = 4 if self.latency_ahead else 3, len(self.horizons)
        return {
            "forecast": targets * h,
            "quantiles": targets * h,
            "allocation": 3,
            "load": 6,
            "telemetry": len(RECENT) * self.recent,
            "error": 1,
            "distrust": 1,
            "calendar": 3,
            "announced": 1,
            "budget": 1,
            "up": 1,
        }

    def __call__(self, look: Look) -> np.ndarray:
        """Features, float32 [..., f], within [0, :data:`MOST`]; what is not known is 0.

        Raises:
            AutoscaleError: something that a chosen block needs was left out.
        """
        blocks = [np.asarray(getattr(self, f"_{name}")(look)) for name in self.features]
        row = np.concatenate(blocks, axis=-1)
        seen: np.ndarray = np.clip(np.nan_to_num(row), 0.0, MOST).astype(np.float32)
        return seen

    # -- blocks --------------------------------------------------------------------------------------------------------

    def _forecast(self, look: Look) -> np.ndarray:
        return self._ahead(look, 0)

    def _quantiles(self, look: Look) -> np.ndarray:
        return self._ahead(look, 1)

    def _ahead(self, look: Look, quantile: int) -> np.ndarray:
        values = _there(look.forecast, "forecast")[..., quantile]
        scaled = values / np.array([*self.most, self.latency_target_ms])
        return _joined(scaled if self.latency_ahead else scaled[..., :3])

    def _allocation(self, look: Look) -> np.ndarray:
        part: np.ndarray = look.given / np.array(self.most)
        return part

    def _load(self, look: Look) -> np.ndarray:
        """Parts of what is given that were used, and that the nearest 0.9 quantile would use."""
        used = _there(look.recent, "recent telemetry")[..., -1, :3]
        ahead = _there(look.forecast, "forecast")[..., 0, :3, 1]
        return np.concatenate([used / look.given, ahead / look.given], axis=-1)

    def _telemetry(self, look: Look) -> np.ndarray:
        recent = _there(look.recent, "recent telemetry")
        scaled = recent / np.array([*self.most, self.latency_target_ms, 1.0])
        return _joined(scaled)

    def _error(self, look: Look) -> np.ndarray:
        return _there(look.error, "error of forecasts")[..., None]

    def _distrust(self, look: Look) -> np.ndarray:
        return _there(look.distrust, "distrust of forecasts")[..., None]

    def _calendar(self, look: Look) -> np.ndarray:
        week_s = _there(look.week_s, "time of the week")
        angle = 2 * math.pi * (week_s % _DAY_S) / _DAY_S
        weekend = (week_s % _WEEK_S) >= 5 * _DAY_S
        return np.stack([0.5 + 0.5 * np.sin(angle), 0.5 + 0.5 * np.cos(angle), weekend], axis=-1)

    def _announced(self, look: Look) -> np.ndarray:
        factor = np.maximum(_there(look.announced, "announced events"), 1.0)
        seen: np.ndarray = np.log2(factor)[..., None] / 4.0
        return seen

    def _budget(self, look: Look) -> np.ndarray:
        return _there(look.budget, "shared budget")[..., None]

    def _up(self, look: Look) -> np.ndarray:
        return _there(look.up, "which zones work")[..., None].astype(np.float64)


def _joined(blocks: np.ndarray) -> np.ndarray:
    """The last two axes as one."""
    joined: np.ndarray = blocks.reshape(*blocks.shape[:-2], -1)
    return joined


def _there(values: np.ndarray | None, what: str) -> np.ndarray:
    if values is None:
        raise AutoscaleError(f"the agent looks at the {what}, which is not known here")
    return values


def smoothed_error(before: np.ndarray, used: np.ndarray, expected: np.ndarray, most: Sequence[float]) -> np.ndarray:
    """The recent error of forecasts after one more interval, [...].

    Args:
        before: so far, [...].
        used: cores, MB, Mbit/s in the interval, [..., r].
        expected: the median forecast for it, [..., r]; NaN: none, which leaves the error as it is.
        most: see :class:`Observer`.
    """
    off = (np.abs(used - expected) / np.array(most)).max(axis=-1)
    after: np.ndarray = np.where(np.isnan(off), before, 0.8 * before + 0.2 * np.nan_to_num(off))
    return after
