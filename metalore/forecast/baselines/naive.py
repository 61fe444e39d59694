"""What was, will be: forecasts by a value of the past. Nothing is learned but what stands in for gaps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from metalore.forecast.errors import ForecastError
from metalore.forecast.forecaster import PointForecaster, Progress
from metalore.forecast.history import DAY_S, WEEK_S, Usual, last_known, most_back, period_of, same_time
from metalore.forecast.panel import Panel
from metalore.forecast.splits import Split
from metalore.forecast.weights import Arrays


class _FromThePast(PointForecaster):
    """What a gap in the past hides is replaced by the newest known value, or else by the hour's usual one."""

    seeded = False

    _usual: Usual

    def _fit_point(self, panel: Panel, split: Split, seed: int, progress: Progress | None) -> None:
        self._usual = Usual.fit(panel, split.rows("train"))

    def _point_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {}, self._usual.state()

    def _restore_point(self, facts: Mapping[str, Any], arrays: Arrays) -> None:
        self._usual = Usual.taken(arrays, len(self.zones), len(self.targets))

    @property
    def reach(self) -> int:
        """As far as the newest known value, or the earliest day or week, may lie back."""
        return max(1 + most_back(self.fitted_frame()), self._earliest(self.fitted_frame()))

    def _earliest(self, panel: Panel) -> int:
        """Intervals up to the origin of which :meth:`_from_past` may take one."""
        return 1

    def _point(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        point = self._from_past(panel, origins)
        if np.isnan(point).any():
            point = np.where(np.isnan(point), last_known(panel, origins)[:, :, None], point)
        if np.isnan(point).any():
            point = np.where(np.isnan(point), self._usual.ahead(panel, origins, self.horizons), point)
        return point

    def _from_past(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        """[n, z, h, f] with gaps."""
        raise NotImplementedError


class LastValue(_FromThePast):
    """The last known value, at every horizon."""

    name = "last-value"

    def _from_past(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        return np.repeat(last_known(panel, origins)[:, :, None], len(self.horizons), axis=2)


class Yesterday(_FromThePast):
    """The value at the same time of the day before; if that is a gap, of the day before that, up to a week."""

    name = "yesterday"
    period_s, period_name, tries = DAY_S, "day", 7

    def _earliest(self, panel: Panel) -> int:
        return period_of(panel, self.period_s, self.period_name) * self.tries

    def _from_past(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        period = period_of(panel, self.period_s, self.period_name)
        point = same_time(panel, origins, self.horizons, period, 1)
        for back in range(2, self.tries + 1):
            gaps = np.isnan(point)
            if not gaps.any():
                break
            point[gaps] = same_time(panel, origins, self.horizons, period, back)[gaps]
        return point


class LastWeek(Yesterday):
    """The value at the same time of the week before; if that is a gap, of the week before that, up to four."""

    name = "last-week"
    period_s, period_name, tries = WEEK_S, "week", 4


class WeeksMean(_FromThePast):
    """The mean of the values at the same time of the past weeks, as far as they are known.

    Args:
        weeks: how many.
    """

    name = "weeks-mean"

    def __init__(self, weeks: int = 4) -> None:
        if weeks < 1:
            raise ForecastError(f"weeks is {weeks}; at least one is needed for a mean")
        self.weeks = weeks

    def _earliest(self, panel: Panel) -> int:
        return period_of(panel, WEEK_S, "week") * self.weeks

    def _from_past(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        period = period_of(panel, WEEK_S, "week")
        total: np.ndarray | None = None
        for back in range(1, self.weeks + 1):
            value = same_time(panel, origins, self.horizons, period, back)
            known = ~np.isnan(value)
            if total is None:
                total, count = np.zeros(value.shape), np.zeros(value.shape)
            total += np.where(known, value, 0)
            count += known
        assert total is not None
        mean: np.ndarray = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
        return mean
