"""Exponential smoothing with a season, for each zone and target."""

from __future__ import annotations

from functools import partial
from itertools import product

import numba
import numpy as np

from metalore.forecast.forecaster import PointForecaster, Progress
from metalore.forecast.history import DAY_S, WEEK_S
from metalore.forecast.panel import Panel
from metalore.forecast.scaling import Scaler
from metalore.forecast.splits import Split

ALPHAS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
GAMMAS = (0.0, 0.05, 0.15, 0.4)
_LEAST_SEASONS = 2
"""A season is tried if the training part has so many of it."""

_njit = partial(numba.njit, nogil=True, error_model="numpy", cache=True)


class Smoothing(PointForecaster):
    """Level and additive season without a trend (Holt 1957, Winters 1960; ETS(A,N,A) of Hyndman et al. 2008).

    With forecast error e = value - level - season[phase]: level += alpha e, and season[phase] += gamma (1 - alpha) e. A
    gap changes nothing. Level and season begin as means over the training part. For each zone and target, alpha, gamma
    and the season (none, a day, a week) are those with the least squared error, over all horizons, on validation data.
    """

    name = "smoothing"
    seeded = False

    def _fit_point(self, panel: Panel, split: Split, seed: int, progress: Progress | None) -> None:
        train = split.rows("train")
        periods = [panel.steps(seconds) for seconds in (DAY_S, WEEK_S)]
        periods = [1] + [m for m in periods if m > 1 and train.stop >= _LEAST_SEASONS * m]
        self._level = Scaler.fit(panel, split).mean.astype(np.float64).reshape(-1)
        self._season = {m: _season(_series(panel)[train], m, self._level) for m in periods}
        origins = split.origins("validation", self.horizons)
        choices = [(1, alpha, 0.0) for alpha in ALPHAS]
        choices += list(product(periods[1:], ALPHAS, GAMMAS))
        errors = np.stack([self._squared_errors(panel, origins, *choice) for choice in choices])
        best = errors.argmin(axis=0)
        self._chosen = [np.flatnonzero(best == i) for i in range(len(choices))]
        self._choices = choices

    def _squared_errors(self, panel: Panel, origins: np.ndarray, period: int, alpha: float, gamma: float) -> np.ndarray:
        """Sum over windows and horizons, for each series."""
        everything = np.arange(len(self._level))
        forecast = self._run(panel, origins, everything, period, alpha, gamma)
        actual = panel.actual(origins, self.horizons).transpose(0, 2, 1, 3).reshape(forecast.shape)
        sums: np.ndarray = np.nansum((forecast - actual) ** 2, axis=(0, 1))
        return sums

    def _point(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        point = np.empty((len(origins), len(self.horizons), len(self._level)), np.float32)
        for series, choice in zip(self._chosen, self._choices, strict=True):
            if len(series):
                point[:, :, series] = self._run(panel, origins, series, *choice)
        shape = (len(origins), len(self.horizons), len(self.zones), len(self.targets))
        moved: np.ndarray = point.reshape(shape).transpose(0, 2, 1, 3)
        return moved

    def _run(
        self, panel: Panel, origins: np.ndarray, series: np.ndarray, period: int, alpha: float, gamma: float
    ) -> np.ndarray:
        """Forecasts of some series [n, h, s]."""
        order = np.argsort(origins, kind="stable")
        found = _smooth(
            _series(panel), series, origins[order], np.asarray(self.horizons), alpha, gamma, self._level,
            self._season[period],
        )  # fmt: skip
        unsorted: np.ndarray = np.empty_like(found)
        unsorted[order] = found
        return unsorted


def _series(panel: Panel) -> np.ndarray:
    """Zones and targets side by side, [t, s]."""
    series: np.ndarray = panel.values.reshape(len(panel), -1)
    return series


def _season(values: np.ndarray, period: int, level: np.ndarray) -> np.ndarray:
    """Mean of each phase less the level, [period, s]; 0 where a phase was never seen."""
    season = np.zeros((period, values.shape[1]))
    if period == 1:
        return season
    for phase in range(period):
        part = values[phase::period].astype(np.float64)
        known = ~np.isnan(part)
        mean = np.where(known, part, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        season[phase] = np.where(known.any(axis=0), mean - level, 0)
    return season


@_njit
def _smooth(
    values: np.ndarray,
    series: np.ndarray,
    origins: np.ndarray,
    horizons: np.ndarray,
    alpha: float,
    gamma: float,
    levels: np.ndarray,
    seasons: np.ndarray,
) -> np.ndarray:
    """Forecasts [n, h, s] at sorted origins; the filter runs from the first interval on."""
    period = len(seasons)
    result = np.empty((len(origins), len(horizons), len(series)), np.float32)
    for i in range(len(series)):
        s = series[i]
        level, season = levels[s], seasons[:, s].copy()
        at = 0
        for t in range(len(values)):
            if at == len(origins):
                break
            phase = t % period
            if not np.isnan(values[t, s]):
                error = values[t, s] - level - season[phase]
                level += alpha * error
                if period > 1:
                    season[phase] += gamma * (1 - alpha) * error
            while at < len(origins) and origins[at] == t:
                for j in range(len(horizons)):
                    result[at, j, i] = level + season[(t + horizons[j]) % period]
                at += 1
    return result
