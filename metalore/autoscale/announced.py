"""Load that is announced before it shows: accepted announcements raise forecasts, rejected ones change nothing.

Who judges is handed in, so nothing here knows what an intent says. Axes: `z` zones, `h` intervals, `r` resources, `q`
quantiles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from metalore.autoscale.controller import Forecast
from metalore.autoscale.errors import AutoscaleError, unknown
from metalore.autoscale.model import CPU, Forecasts, Usage

BEFORE = 5
"""Intervals whose median is what a zone used before, so that one strange interval does not count."""

Span = tuple[float, float]
"""The least and the most by which the forecast changes a zone, as parts of what it used before."""


@dataclass(frozen=True)
class Announced:
    """A change of what zones need.

    Attributes:
        name: for people.
        changes: by zone, as parts of what it used before: 0.5 is half as much again, -0.2 a fifth less.
        from_s, until_s: while it lasts, s on the loop's clock.

    Raises:
        AutoscaleError: it ends before it begins.
    """

    name: str
    changes: Mapping[str, float]
    from_s: float
    until_s: float

    def __post_init__(self) -> None:
        if not self.from_s < self.until_s:
            raise AutoscaleError(
                f"{self.name} lasts from {self.from_s:g} s until {self.until_s:g} s; it must end later"
            )

    def within(self, forecasts: Forecasts) -> np.ndarray:
        """Which intervals of forecasts it touches, [h]."""
        starts = forecasts.times
        touches: np.ndarray = (starts + forecasts.interval_s > self.from_s) & (starts < self.until_s)
        return touches


@dataclass(frozen=True)
class Ruling:
    """Whether an announcement counts, and why."""

    accepted: bool
    reason: str


Judge = Callable[[Announced, Mapping[str, Span]], Ruling]
"""Is handed what the forecast holds possible in each zone that the announcement names."""
Told = Callable[[Announced, Ruling], None]


def possible_changes(expected: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Between which changes forecasts lie: from the lowest quantile of any interval to the highest.

    Args:
        expected: quantiles [z, h, q].
        used: before [z].

    Returns:
        Parts of what was used [z, 2]; 0 where nothing was, NaN where either is not known.
    """
    ends = np.stack([expected.min(axis=(1, 2)), expected.max(axis=(1, 2))], axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        changes = ends / used[:, None] - 1
    return np.where(used[:, None] == 0, 0.0, changes)


def usual(used: np.ndarray) -> np.ndarray:
    """Median over intervals [t, ...] of what is known; NaN where nothing is."""
    known = ~np.isnan(used).all(axis=0)
    found = np.full(known.shape, np.nan)
    found[known] = np.nanmedian(used[:, known], axis=0)
    return found


class RaisedForecast:
    """A forecast that knows what was announced.

    Each announcement is judged once: when the forecast first reaches its time. One that is accepted moves the
    quantiles of each zone that it raises, in all its intervals, up by the same amount, until the median is at least
    what the zone used before with the change; so what the forecast knows already is not counted twice. Nothing is
    lowered.

    Args:
        forecast: that is raised.
        announced: what.
        zones: of the loop.
        judge: who decides what counts.
        told: is handed every ruling.

    Raises:
        AutoscaleError: a zone that there is not.
    """

    def __init__(
        self, forecast: Forecast, announced: Sequence[Announced], zones: Sequence[str], judge: Judge, told: Told
    ) -> None:
        for one in announced:
            for zone in one.changes:
                if zone not in zones:
                    raise unknown("zone", zone, zones, f"for {one.name}, the loop")
        self._forecast, self._judge, self._told = forecast, judge, told
        self._waiting, self._accepted = list(announced), list[tuple[Announced, np.ndarray]]()

    def __call__(self, usage: Usage, now_s: float) -> Forecasts | None:
        forecasts = self._forecast(usage, now_s)
        used = usual(usage.recent(BEFORE, now_s).used)
        self._waiting = [one for one in self._waiting if not self._ruled(one, usage.zones, forecasts, used, now_s)]
        self._accepted = [(one, least) for one, least in self._accepted if now_s < one.until_s]
        return None if forecasts is None else self._raised(forecasts)

    def _ruled(
        self, one: Announced, zones: Sequence[str], forecasts: Forecasts | None, used: np.ndarray, now_s: float
    ) -> bool:
        """Whether an announcement has got its ruling."""
        ruling = self._ruling(one, zones, forecasts, used, now_s)
        if ruling is None:
            return False
        if ruling.accepted:
            change = np.array([one.changes.get(zone, 0.0) for zone in zones])[:, None]
            self._accepted.append((one, np.where(change > 0, (1 + change) * used, np.nan)))
        self._told(one, ruling)
        return True

    def _ruling(
        self, one: Announced, zones: Sequence[str], forecasts: Forecasts | None, used: np.ndarray, now_s: float
    ) -> Ruling | None:
        """None: its time has not come, or what is needed to judge it is not known."""
        if now_s >= one.until_s:
            return Ruling(False, "rejected: its time was over before a forecast reached it")
        if forecasts is None or not (within := one.within(forecasts)).any():
            return None
        spans = possible_changes(forecasts.values[:, within, CPU], used[:, CPU])
        possible = {zone: (low, high) for zone, (low, high) in zip(zones, spans.tolist(), strict=True)}
        named = {zone: possible[zone] for zone in one.changes}
        return None if np.isnan(list(named.values())).any() else self._judge(one, named)

    def _raised(self, forecasts: Forecasts) -> Forecasts:
        values, middle = forecasts.values, int(np.argmin(np.abs(np.array(forecasts.levels) - 0.5)))
        for one, least in self._accepted:
            short = least[:, None] - values[..., middle]  # [z, h, r]; NaN: nothing to raise, or nothing forecast
            values = values + (np.fmax(short, 0.0) * one.within(forecasts)[:, None])[..., None]
        return replace(forecasts, values=values)
