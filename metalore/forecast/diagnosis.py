"""Where a forecaster errs, as plain tables: by hour and by zone, how often its quantiles hold, and some forecasts.

Axes: `n` windows, `z` zones, `h` horizons, `f` targets, `q` quantiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from metalore.forecast.errors import ForecastError
from metalore.forecast.forecaster import MEDIAN, QUANTILES, Forecaster
from metalore.forecast.panel import DAY_S, Panel
from metalore.forecast.protocol import in_pieces
from metalore.forecast.splits import Part, Split

_FANS = 8
"""Forecasts of a zone that are shown, at most."""
_SPAN = (4, 12)
"""A day is shown, if that is at least and at most so many times the farthest of several horizons."""
_POINTS = 288
"""Intervals that are shown at most where forecasts have one horizon."""


@dataclass(frozen=True)
class Diagnosis:
    """Where a forecaster errs; horizons are numbers of intervals, times are those of the panel.

    Attributes:
        by_hour: `target, horizon, hour, mae, count`, by the hour of day that is forecast.
        by_zone: `target, horizon, zone, mae, mean, count`; `mean` is that of the actual values.
        calibration: `target, horizon, level, observed, count`; `observed` is the part of the actual values that are not
            above the quantile.
        fans: `target, zone, origin_s, horizon, time_s` and a column per quantile, such as `q10`: forecasts of the zones
            with the largest and with the median error.
        course: `target, which, zone, time_s, value`: what came in these zones; `which` is "worst" or "median".
    """

    by_hour: pd.DataFrame
    by_zone: pd.DataFrame
    calibration: pd.DataFrame
    fans: pd.DataFrame
    course: pd.DataFrame

    def tables(self) -> dict[str, pd.DataFrame]:
        """All of them, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def diagnose(
    forecaster: Forecaster,
    panel: Panel,
    split: Split,
    part: Part = "test",
    *,
    window: int = 1,
    inside: bool = False,
) -> Diagnosis:
    """Look closely at the forecasts for a part.

    Args:
        forecaster: fitted.
        panel, split, part, window, inside: see :func:`metalore.forecast.protocol.evaluate`. Windows are those whose
            targets lie in the part at all horizons.

    Raises:
        ForecastError: nothing was measured there.
    """
    context = window if inside else max(window, forecaster.window)
    origins = split.origins(part, forecaster.horizons, context, inside)
    known = panel.until(split.end)
    quantiles = in_pieces(forecaster, known, origins)
    actual = known.actual(origins, forecaster.horizons)
    if np.isnan(actual).all():
        raise ForecastError(f"{panel.name} has no value in the {part} part, so there is nothing to judge forecasts by")
    judged = _Judged(known, forecaster.horizons, origins, actual, quantiles)
    by_zone = judged.by_zone()
    fans, course = judged.examples(by_zone)
    return Diagnosis(judged.by_hour(), by_zone, judged.calibration(), fans, course)


@dataclass(frozen=True, eq=False)
class _Judged:
    """Forecasts and what came.

    Attributes:
        panel: series.
        horizons: of the forecasts.
        origins: [n], rising.
        actual: [n, z, h, f], NaN where nothing was measured.
        quantiles: [n, z, h, f, q].
    """

    panel: Panel
    horizons: tuple[int, ...]
    origins: np.ndarray
    actual: np.ndarray
    quantiles: np.ndarray

    def _each(self) -> list[tuple[str, int, np.ndarray, np.ndarray]]:
        """Target, horizon, what came [n, z] and the forecasts [n, z, q]."""
        return [
            (target, horizon, self.actual[:, :, h, f], self.quantiles[:, :, h, f])
            for f, target in enumerate(self.panel.targets)
            for h, horizon in enumerate(self.horizons)
        ]

    def by_hour(self) -> pd.DataFrame:
        tables = []
        for target, horizon, actual, quantiles in self._each():
            hours = self.panel.hour_of_day(self.origins + horizon).astype(int)
            error, count = _mean_error(actual, quantiles, hours, 24)
            seen = count > 0
            table = {"hour": np.flatnonzero(seen), "mae": error[seen], "count": count[seen]}
            tables.append(pd.DataFrame({"target": target, "horizon": horizon, **table}))
        return pd.concat(tables, ignore_index=True)

    def by_zone(self) -> pd.DataFrame:
        tables = []
        for target, horizon, actual, quantiles in self._each():
            zones = np.broadcast_to(np.arange(actual.shape[1]), actual.shape)
            error, count = _mean_error(actual, quantiles, zones, actual.shape[1])
            mean = _ratio(np.nansum(actual, axis=0), count)
            table = {"zone": self.panel.zones, "mae": error, "mean": mean, "count": count}
            tables.append(pd.DataFrame({"target": target, "horizon": horizon, **table}))
        return pd.concat(tables, ignore_index=True)

    def calibration(self) -> pd.DataFrame:
        rows = []
        for target, horizon, actual, quantiles in self._each():
            known = ~np.isnan(actual)
            covered = actual[known][:, None] <= quantiles[known]
            for level, observed in zip(QUANTILES, _ratio(covered.sum(axis=0), len(covered)), strict=True):
                rows.append((target, horizon, level, observed, len(covered)))
        return pd.DataFrame(rows, columns=["target", "horizon", "level", "observed", "count"])

    def examples(self, by_zone: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Tables of fans and of what came, for the zones with the largest and with the median error."""
        fans, courses = [], []
        for f, target in enumerate(self.panel.targets):
            for which, zone in typical_zones(by_zone[by_zone["target"] == target]).items():
                z = self.panel.zone_number(zone)
                span = self._shown(z, f)
                fans.append(self._fans(span, z, f).assign(target=target, zone=zone))
                rows = np.arange(max(0, span.start - max(self.horizons)), min(span.stop, len(self.panel)))
                course = {"time_s": self.panel.times[rows], "value": self.panel.values[rows, z, f]}
                courses.append(pd.DataFrame({"target": target, "which": which, "zone": zone, **course}))
        return pd.concat(fans, ignore_index=True), pd.concat(courses, ignore_index=True)

    def _shown(self, z: int, f: int) -> range:
        """Intervals to show of a zone: the last so many of which at least half were measured; else the very last."""
        farthest, day = max(self.horizons), round(DAY_S / self.panel.interval_s)
        least, most = (_SPAN[0] * farthest, _SPAN[1] * farthest) if len(self.horizons) > 1 else (2, _POINTS)
        length = min(max(day, least), most)
        first, end = int(self.origins[0]), int(self.origins[-1]) + farthest + 1
        there = ~np.isnan(self.panel.values[:, z, f])
        for stop in range(end, first + length - 1, -length):
            if there[stop - length : stop].mean() >= 0.5:
                return range(stop - length, stop)
        return range(max(first, end - length), end)

    def _fans(self, span: range, z: int, f: int) -> pd.DataFrame:
        """Forecasts of one zone and target from some origins; from every one, if there is one horizon only."""
        step = 1 if len(self.horizons) == 1 else max(self.horizons[-1], len(span) // _FANS)
        wanted = np.arange(span.start, span.stop - max(self.horizons), step)
        at = np.flatnonzero(np.isin(self.origins, wanted))
        rows = self.origins[at][:, None] + np.asarray(self.horizons)
        quantiles = self.quantiles[at, z, :, f]
        names = [f"q{round(100 * level)}" for level in QUANTILES]
        return pd.DataFrame(
            {
                "origin_s": np.repeat(self.panel.times[self.origins[at]], len(self.horizons)),
                "horizon": np.tile(self.horizons, len(at)),
                "time_s": self.panel.times[rows].ravel(),
                **{name: quantiles[..., q].ravel() for q, name in enumerate(names)},
            }
        )


def typical_zones(by_zone: pd.DataFrame) -> dict[str, str]:
    """The zones with the largest and the median error over all horizons, as `worst` and `median`, of one target."""
    known = by_zone[by_zone["count"] > 0]
    total = (known["mae"] * known["count"]).groupby(known["zone"], sort=False).sum()
    errors = (total / known.groupby("zone", sort=False)["count"].sum()).sort_values(kind="stable")
    if errors.empty:
        return {}
    worst, median = str(errors.index[-1]), str(errors.index[(len(errors) - 1) // 2])
    return {"worst": worst} if worst == median else {"worst": worst, "median": median}


def place_tables(panel: Panel) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Zones (index `zone`; `x_m, y_m`, NaN where unknown) and edges (`source, target, weight`; numbers of zones)."""
    places = panel.positions if panel.positions is not None else np.full((len(panel.zones), 2), np.nan)
    zones = pd.DataFrame(places, columns=["x_m", "y_m"], index=pd.Index(panel.zones, name="zone"))
    ends = panel.edges
    columns: Mapping[str, Sequence[float] | np.ndarray] = (
        {"source": ends.source, "target": ends.target, "weight": ends.weight}
        if ends is not None
        else {"source": [], "target": [], "weight": []}
    )
    return zones, pd.DataFrame(columns)


def _mean_error(
    actual: np.ndarray, quantiles: np.ndarray, groups: np.ndarray, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean absolute error of the median, and number of measured values, of each group.

    Args:
        actual: [n, z].
        quantiles: [n, z, q].
        groups: of each entry [n, z] or window [n], from 0 on.
        number: of groups.
    """
    known = ~np.isnan(actual)
    each = np.broadcast_to(groups if groups.ndim == actual.ndim else groups[:, None], actual.shape)[known]
    errors = np.abs(actual[known].astype(np.float64) - quantiles[known][:, MEDIAN])
    count = np.bincount(each, minlength=number)
    return _ratio(np.bincount(each, errors, number), count), count


def _ratio(part: np.ndarray, whole: np.ndarray | int) -> np.ndarray:
    """NaN where there is nothing."""
    whole = np.asarray(whole)
    ratio: np.ndarray = np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
    return ratio
