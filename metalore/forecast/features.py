"""What a learner without memory is told: recent values, the same time on earlier days and weeks, the calendar, events.

Axes: `n` windows, `z` zones, `p` features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metalore.forecast.history import Usual, recent, same_time
from metalore.forecast.panel import DAY_S, WEEK_S, Panel
from metalore.forecast.scaling import Scaler, inputs_state, inputs_taken
from metalore.forecast.weights import Arrays

DAYS, WEEKS = 3, 4
"""Earlier days and weeks of which the same time is shown."""
WEEKEND = 5
"""Saturday, counted from Monday."""
_LEAST_SEEN = 0.5
"""A period counts if it reaches back over this part of the training windows; else most of it were made up."""


@dataclass(frozen=True, eq=False)
class Features:
    """How features are made; measured on the training part.

    Attributes:
        window: recent values of the target that is forecast.
        days, weeks: earlier days and weeks of which the same time is shown.
        weekdays: whether the days of the week differ; with less than two weeks to learn from nothing can be said.
        usual: what stands in for gaps.
        inputs: scaler of further inputs, if there are any.
    """

    window: int
    days: int
    weeks: int
    weekdays: bool
    usual: Usual
    inputs: Scaler | None = None

    @classmethod
    def fit(cls, panel: Panel, train: slice, window: int) -> Features:
        """From the training part of a panel."""
        length = train.stop - train.start
        day, week = panel.steps(DAY_S), panel.steps(WEEK_S)
        days = sum(day > 0 and k * day <= _LEAST_SEEN * length for k in range(1, DAYS + 1))
        weeks = sum(week > 0 and k * week <= _LEAST_SEEN * length for k in range(1, WEEKS + 1))
        inputs = None if panel.input_values is None else Scaler.of(panel.input_values[train])
        return cls(window, days, weeks, length * panel.interval_s >= 2 * WEEK_S, Usual.fit(panel, train), inputs)

    def state(self) -> tuple[dict[str, int | bool], dict[str, np.ndarray]]:
        """Facts for a card, and arrays."""
        facts: dict[str, int | bool] = {"days": self.days, "weeks": self.weeks, "weekdays": self.weekdays}
        return facts, {**self.usual.state(), **inputs_state(self.inputs)}

    @classmethod
    def taken(cls, window: int, facts: Mapping[str, Any], arrays: Arrays, panel: Panel) -> Features:
        """What :meth:`state` gave, for a panel of the same shape."""
        zones = len(panel.zones)
        usual, inputs = Usual.taken(arrays, zones, len(panel.targets)), inputs_taken(arrays, zones, len(panel.inputs))
        return cls(window, **facts, usual=usual, inputs=inputs)

    def reach(self, panel: Panel, horizons: Sequence[int]) -> int:
        """Intervals up to the origin that features are made from."""
        periods = [(panel.steps(DAY_S), self.days), (panel.steps(WEEK_S), self.weeks)]
        ahead = horizons[-1] - 1
        return max([self.window, *(1 + period * (ahead // period + count) for period, count in periods if count)])

    def series(self, panel: Panel, origins: np.ndarray, horizon: int, target: int) -> np.ndarray:
        """Values of the past [n, z, p] without gaps: of the zone, its target first.

        In order: the window, oldest first; for each day and week before what is to be forecast, the value then and the
        value that far before the origin; the newest value of every other target. The usual value of the hour is none of
        them: in training it would contain what is to be forecast.
        """
        usual = self.usual.ahead(panel, origins, (horizon,))[..., 0, target]
        window = recent(panel, origins, self.window)
        rows = origins[:, None] + np.arange(1 - self.window, 1)
        window = np.where(np.isnan(window), self.usual.at(panel, rows), window)
        parts = [window[..., target].transpose(0, 2, 1)]
        for period_s, count in ((DAY_S, self.days), (WEEK_S, self.weeks)):
            period = panel.steps(period_s)
            for back in range(1, count + 1):
                then = same_time(panel, origins, (horizon,), period, back)[..., 0, target]
                parts.append(np.where(np.isnan(then), usual, then)[..., None])
                shift = period * ((horizon - 1) // period + back)
                parts.append(self._before(panel, origins - shift, target)[..., None])
        others = [f for f in range(len(panel.targets)) if f != target]
        parts.append(window[:, -1][..., others])
        return np.concatenate(parts, axis=-1, dtype=np.float32)

    def _before(self, panel: Panel, rows: np.ndarray, target: int) -> np.ndarray:
        values = np.where((rows >= 0)[:, None], panel.values[np.maximum(rows, 0), :, target], np.float32(np.nan))
        filled: np.ndarray = np.where(np.isnan(values), self.usual.at(panel, rows)[..., target], values)
        return filled

    def calendar(self, panel: Panel, origins: np.ndarray, horizon: int) -> np.ndarray:
        """One of 24 hours (of 48, with the weekend's apart) and of 7 days of what is to be forecast, [n, p]."""
        rows = origins + horizon
        hour, day = panel.hour_of_day(rows).astype(int), panel.day_of_week(rows)
        if not self.weekdays:
            hours: np.ndarray = np.eye(24, dtype=np.float32)[hour]
            return hours
        both: np.ndarray = np.concatenate(
            [np.eye(48, dtype=np.float32)[hour + 24 * (day >= WEEKEND)], np.eye(7, dtype=np.float32)[day]], axis=1
        )
        return both

    def further(self, panel: Panel, origins: np.ndarray, horizon: int) -> np.ndarray:
        """What is announced for the interval to be forecast and for the last one known, and the newest value of each
        further input, scaled, 0 for a gap; [n, z, 2 k + i]."""
        parts = [panel.events_at(origins + horizon), panel.events_at(origins)]
        if self.inputs is not None and panel.input_values is not None:
            parts.append(np.nan_to_num(self.inputs.scaled(panel.input_values[origins])))
        whole: np.ndarray = np.concatenate(parts, axis=-1)
        return whole
