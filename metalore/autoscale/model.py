"""What a decision is made from and what it says: plain arrays and words.

Axes: `t` intervals, `z` zones, `r` resources (:data:`RESOURCES`), `h` horizons, `q` quantiles. Times are seconds on the
clock of the loop. Arrays are never written to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from metalore.autoscale.errors import AutoscaleError, unknown

RESOURCES = ("cpu_cores", "memory_mb", "bandwidth_mbps")
"""What a zone is given, in the order of every array."""
CPU, MEMORY, BANDWIDTH = range(len(RESOURCES))
_UNITS = ("cores", "MB", "Mbit/s")
_TITLES = ("CPU", "memory", "bandwidth")

Amounts = tuple[float, float, float]
"""One number for each resource: cores, MB, Mbit/s."""


@dataclass(frozen=True, eq=False)
class Usage:
    """What zones used, oldest interval first.

    Attributes:
        times: starts of the intervals [t], s, rising; one that is missing has no entry, or one of NaN.
        zones: names.
        used: [t, z, r], NaN where not known.
        interval_s: length of an interval.
        out_of_memory: [t, z], whether the zone ran out of memory meanwhile; unset: never.
        others: further measured columns by name [t, z], which forecasters may look at.

    Raises:
        AutoscaleError: shapes that do not fit, or times that do not rise.
    """

    times: np.ndarray
    zones: tuple[str, ...]
    used: np.ndarray
    interval_s: float
    out_of_memory: np.ndarray | None = None
    others: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        expected = (len(self.times), len(self.zones), len(RESOURCES))
        if self.used.shape != expected:
            raise AutoscaleError(
                f"usage has the shape {self.used.shape}; {expected} (intervals, zones, resources) fits"
            )
        if not (np.diff(self.times) > 0).all():
            raise AutoscaleError("the times of usage must rise")
        if self.out_of_memory is None:
            object.__setattr__(self, "out_of_memory", np.zeros(expected[:2], bool))

    @classmethod
    def nothing(cls, zones: Sequence[str], interval_s: float) -> Usage:
        """Before anything is known."""
        return cls(np.empty(0), tuple(zones), np.empty((0, len(zones), len(RESOURCES))), interval_s)

    def __len__(self) -> int:
        """Number of intervals."""
        return len(self.times)

    def latest(self, now_s: float) -> np.ndarray:
        """Of the interval that has just ended, [z, r]; NaN where not known."""
        recent = self.recent(1, now_s).used
        latest: np.ndarray = recent[-1] if len(recent) else np.full((len(self.zones), len(RESOURCES)), np.nan)
        return latest

    def recent(self, intervals: int, now_s: float) -> Usage:
        """The newest intervals, so many at most; none if the one after the newest should be there already."""
        if len(self) == 0 or now_s - self.times[-1] >= 2 * self.interval_s:
            return self.since(np.inf)
        return self.since(float(self.times[-1]) - (intervals - 0.5) * self.interval_s)

    def since(self, time_s: float) -> Usage:
        """Intervals that began at that time or later."""
        first = int(np.searchsorted(self.times, time_s))
        oom = None if self.out_of_memory is None else self.out_of_memory[first:]
        others = {name: values[first:] for name, values in self.others.items()}
        return Usage(self.times[first:], self.zones, self.used[first:], self.interval_s, oom, others)


@dataclass(frozen=True, eq=False)
class Forecasts:
    """What zones are expected to use.

    Attributes:
        made_at: end of the last interval that the forecast knew, s.
        times: starts of the intervals it is for [h], s, rising.
        interval_s: their length.
        levels: of the quantiles, rising.
        values: [z, h, r, q].

    Raises:
        AutoscaleError: shapes that do not fit. What the values are is judged where they are used.
    """

    made_at: float
    times: np.ndarray
    interval_s: float
    levels: tuple[float, ...]
    values: np.ndarray

    def __post_init__(self) -> None:
        expected = (len(self.times), len(RESOURCES), len(self.levels))
        if self.values.ndim != 4 or self.values.shape[1:] != expected:
            raise AutoscaleError(f"forecasts have the shape {self.values.shape}; (zones, *{expected}) fits")

    def quantile(self, level: float) -> np.ndarray:
        """A quantile's forecasts, [z, h, r].

        Raises:
            AutoscaleError: a level that is not forecast.
        """
        if level not in self.levels:
            raise AutoscaleError(f"the level {level} is not forecast; there are {', '.join(map(str, self.levels))}")
        of_level: np.ndarray = self.values[..., self.levels.index(level)]
        return of_level

    def highest(self, level: float, now_s: float, lead_s: float) -> np.ndarray:
        """A quantile's maximum over the intervals that [now, now + lead) touches, [z, r].

        If it touches none, the next one counts; NaN if the forecast ends before.

        Raises:
            AutoscaleError: a level that is not forecast.
        """
        ahead = self.quantile(level)[:, touched(self.times, self.interval_s, now_s, lead_s)]
        if ahead.shape[1] == 0:
            return np.full((len(self.values), len(RESOURCES)), np.nan)
        highest: np.ndarray = ahead.max(axis=1)
        return highest

    def ended(self, now_s: float) -> bool:
        """Whether it says nothing about what comes after a time."""
        return len(self.times) == 0 or float(self.times[-1]) + self.interval_s <= now_s


@dataclass(frozen=True, eq=False)
class Seen:
    """Everything that a decision may look at.

    Attributes:
        now_s: time of the decision.
        usage: up to now.
        forecasts: the newest, if there are any.
        allocated: what zones have [z, r].
        lead_s: from now until the decision after this one can take effect.
        changed_at: when each zone was last changed, by whichever controller, s [z]; -inf: not known. Unset: of none.
    """

    now_s: float
    usage: Usage
    forecasts: Forecasts | None
    allocated: np.ndarray
    lead_s: float
    changed_at: np.ndarray | None = None

    @property
    def missing(self) -> np.ndarray:
        """Where the usage of the interval that has just ended is not known, [z, r]."""
        missing: np.ndarray = np.isnan(self.usage.latest(self.now_s))
        return missing


@dataclass(frozen=True)
class Reason:
    """Why a zone gets what it gets.

    Attributes:
        code: for machines; there are few.
        words: for people.
    """

    code: str
    words: str


@dataclass(frozen=True)
class Recommendation:
    """What one zone should have, and why."""

    zone: str
    cpu_cores: float
    memory_mb: float
    bandwidth_mbps: float
    reasons: tuple[Reason, ...]

    @property
    def reason(self) -> str:
        """All reasons in one sentence."""
        return "; ".join(reason.words for reason in self.reasons)


@dataclass(frozen=True, eq=False)
class Decision:
    """What all zones should have from now on.

    Attributes:
        time_s: when it was taken.
        zones: names.
        before, after: [z, r].
        reasons: for each zone; first the recommender's, then what safety changed about it.
    """

    time_s: float
    zones: tuple[str, ...]
    before: np.ndarray
    after: np.ndarray
    reasons: tuple[tuple[Reason, ...], ...]

    @property
    def changed(self) -> np.ndarray:
        """[z, r]."""
        changed: np.ndarray = self.after != self.before
        return changed

    def of(self, zone: str) -> Recommendation:
        """What one zone should have.

        Raises:
            AutoscaleError: no such zone.
        """
        if zone not in self.zones:
            raise unknown("zone", zone, self.zones, "the decision")
        z = self.zones.index(zone)
        cores, memory_mb, mbps = self.after[z].tolist()
        return Recommendation(zone, cores, memory_mb, mbps, self.reasons[z])

    def codes(self) -> Counter[str]:
        """How many zones each reason has a part in."""
        return Counter(code for reasons in self.reasons for code in {reason.code for reason in reasons})


def touched(times: np.ndarray, interval_s: float, now_s: float, lead_s: float) -> slice:
    """Intervals, by their starts [t], that [now, now + lead) touches; the next one if there is none."""
    first = int(np.searchsorted(times, now_s - interval_s, side="right"))
    return slice(first, max(int(np.searchsorted(times, now_s + lead_s)), first + 1))


def in_words(amounts: Sequence[float] | np.ndarray) -> str:
    """Amounts of all resources, those that are not known left out: '2.5 cores, 900 MB'."""
    return ", ".join(amount(r, value) for r, value in enumerate(amounts) if value == value)


def amount(resource: int, value: float) -> str:
    """An amount with its unit."""
    number = f"{value:,.0f}" if value >= 1e4 else f"{value:.4g}"
    return f"{number} {_UNITS[resource]}"


def title(resource: int) -> str:
    """A resource's name for people."""
    return _TITLES[resource]
