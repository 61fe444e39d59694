"""What was known before an origin: the last value, the same time on earlier days, the usual value of an hour.

Shapes: values [t, z, f], origins [n], results [n, z, f] or, for several horizons, [n, z, h, f].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metalore.forecast.errors import ForecastError
from metalore.forecast.panel import DAY_S, HOUR_S, WEEK_S, Panel
from metalore.forecast.scaling import Scaler
from metalore.forecast.weights import Arrays

HOURS_OF_WEEK = 168
MOST_BACK = 168
"""Intervals that the last known value may lie back, or a day, if that is more."""


def most_back(panel: Panel) -> int:
    """Intervals that the last known value of a panel may lie back."""
    return max(MOST_BACK, panel.steps(DAY_S))


def last_known(panel: Panel, origins: np.ndarray) -> np.ndarray:
    """The newest value at or before each origin, [n, z, f]; NaN if there is none for a long time."""
    found: np.ndarray = panel.values[origins].copy()
    n, z, f = np.nonzero(np.isnan(found))
    row = origins[n]
    for _ in range(most_back(panel)):
        row = row - 1
        inside = row >= 0
        n, z, f, row = n[inside], z[inside], f[inside], row[inside]
        if len(row) == 0:
            break
        value = panel.values[row, z, f]
        found[n, z, f] = value
        open_ = np.isnan(value)
        n, z, f, row = n[open_], z[open_], f[open_], row[open_]
    return found


def recent(panel: Panel, origins: np.ndarray, window: int) -> np.ndarray:
    """The last values, oldest first, [n, window, z, f]; NaN for gaps and before the panel begins."""
    rows = origins[:, None] + np.arange(1 - window, 1)
    found: np.ndarray = np.where((rows >= 0)[..., None, None], panel.values[np.maximum(rows, 0)], np.float32(np.nan))
    return found


def period_of(panel: Panel, seconds: float, name: str) -> int:
    """Intervals in a day or a week.

    Raises:
        ForecastError: they do not fit into it.
    """
    steps = panel.steps(seconds)
    if steps < 1:
        raise ForecastError(
            f"intervals of {panel.interval_s:g} s do not divide a {name}, so none is the same time in it"
        )
    return steps


def same_time(panel: Panel, origins: np.ndarray, horizons: Sequence[int], period: int, back: int) -> np.ndarray:
    """The value `back` periods before what is to be forecast, [n, z, h, f]; NaN for gaps and before the panel begins.

    Periods are counted from the newest that is known at the origin.
    """
    ahead = np.asarray(horizons)
    rows = origins[:, None] + ahead - period * ((ahead - 1) // period + back)
    found = np.where((rows >= 0)[..., None, None], panel.values[np.maximum(rows, 0)], np.float32(np.nan))
    moved: np.ndarray = found.transpose(0, 2, 1, 3)
    return moved


@dataclass(frozen=True, eq=False)
class Usual:
    """The usual value of each hour of the week, to stand in for what is missing.

    With less than two weeks to learn from, of each hour of the day.

    Attributes:
        of_hour: [168, z, f]; where an hour was never seen, the zone's mean, else the mean over zones, else 0.
    """

    of_hour: np.ndarray

    @classmethod
    def fit(cls, panel: Panel, rows: slice) -> Usual:
        """From some intervals of a panel."""
        values = panel.values[rows].astype(np.float64)
        hours = hours_of_week(panel, np.arange(rows.start, rows.start + len(values)))
        sums = np.zeros((HOURS_OF_WEEK, *values.shape[1:]))
        counts = np.zeros(sums.shape)
        np.add.at(sums, hours, np.nan_to_num(values))
        np.add.at(counts, hours, ~np.isnan(values))
        if len(values) * panel.interval_s < 2 * WEEK_S:
            sums, counts = (np.tile(of.reshape(7, 24, *of.shape[1:]).sum(axis=0), (7, 1, 1)) for of in (sums, counts))
        mean = Scaler.of(values).mean
        return cls(np.where(counts > 0, sums / np.maximum(counts, 1), mean).astype(np.float32))

    def state(self) -> dict[str, np.ndarray]:
        """Its array, to be kept."""
        return {"usual": self.of_hour}

    @classmethod
    def taken(cls, arrays: Arrays, zones: int, targets: int) -> Usual:
        """What :meth:`state` gave."""
        return cls(arrays.take("usual", HOURS_OF_WEEK, zones, targets))

    def at(self, panel: Panel, rows: np.ndarray) -> np.ndarray:
        """Of intervals, [*rows, z, f]."""
        found: np.ndarray = self.of_hour[hours_of_week(panel, rows)]
        return found

    def ahead(self, panel: Panel, origins: np.ndarray, horizons: Sequence[int]) -> np.ndarray:
        """Of the intervals to be forecast, [n, z, h, f]."""
        return self.at(panel, origins[:, None] + np.asarray(horizons)).transpose(0, 2, 1, 3)


def hours_of_week(panel: Panel, rows: np.ndarray) -> np.ndarray:
    """0 to 167, from Monday."""
    hours: np.ndarray = (panel.week_s(rows) // HOUR_S).astype(np.int64) % HOURS_OF_WEEK
    return hours


__all__ = ["DAY_S", "WEEK_S", "Usual", "last_known", "most_back", "period_of", "recent", "same_time"]
