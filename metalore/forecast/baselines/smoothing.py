"""Exponential smoothing with a season, for each zone and target."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any, Self

import numba
import numpy as np

from metalore.forecast.forecaster import PointForecaster, Progress
from metalore.forecast.history import DAY_S, WEEK_S
from metalore.forecast.panel import Panel
from metalore.forecast.scaling import Scaler
from metalore.forecast.splits import Split
from metalore.forecast.weights import Arrays

ALPHAS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
GAMMAS = (0.0, 0.05, 0.15, 0.4)
_LEAST_SEASONS = 2
"""A season is tried if the training part has so many of it."""

_Choice = tuple[int, float, float]
"""Period of the season, alpha, gamma."""

_njit = partial(numba.njit, nogil=True, error_model="numpy", cache=True)


class Smoothing(PointForecaster):
    """Level and additive season without a trend (Holt 1957, Winters 1960; ETS(A,N,A) of Hyndman et al. 2008).

    With forecast error e = value - level - season[phase]: level += alpha e, and season[phase] += gamma (1 - alpha) e. A
    gap changes nothing. Level and season begin as means over the training part. For each zone and target, alpha, gamma
    and the season (none, a day, a week) are those with the least squared error, over all horizons, on validation data.

    Level and season are a running state: they follow a panel from its first interval on.
    """

    name = "smoothing"
    seeded = False

    def _fit_point(self, panel: Panel, split: Split, seed: int, progress: Progress | None) -> None:
        train = split.rows("train")
        periods = [panel.steps(seconds) for seconds in (DAY_S, WEEK_S)]
        periods = [1] + [m for m in periods if m > 1 and train.stop >= _LEAST_SEASONS * m]
        self._level = Scaler.fit(panel, split).mean.astype(np.float64).reshape(-1)
        self._season = {m: _season(_series(panel)[train], _phase(panel, m), m, self._level) for m in periods}
        origins = split.origins("validation", self.horizons)
        choices: list[_Choice] = [(1, alpha, 0.0) for alpha in ALPHAS]
        choices += list(product(periods[1:], ALPHAS, GAMMAS))
        errors = np.stack([self._squared_errors(panel, origins, *choice) for choice in choices])
        self._choose(choices, errors.argmin(axis=0))

    def _choose(self, choices: Sequence[_Choice], best: np.ndarray) -> None:
        """Let each series have the choice of that number."""
        self._choices, self._best = choices, best
        self._groups = [(np.flatnonzero(best == i), choices[i]) for i in np.unique(best)]

    def _point_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        seasons = {f"season.{period}": season for period, season in self._season.items()}
        return {"choices": self._choices}, {"best": self._best, "level": self._level, **seasons}

    def _restore_point(self, facts: Mapping[str, Any], arrays: Arrays) -> None:
        series = len(self.zones) * len(self.targets)
        choices = [(int(period), float(alpha), float(gamma)) for period, alpha, gamma in facts["choices"]]
        periods = dict.fromkeys(period for period, _, _ in choices)
        self._level = arrays.take("level", series)
        self._season = {period: arrays.take(f"season.{period}", period, series) for period in periods}
        self._choose(choices, arrays.take("best", series))

    def after(self, panel: Panel) -> Self:
        """A copy whose level and season have followed all intervals of a panel."""
        later = copy.copy(self)
        later._level, later._season = self._level.copy(), {m: season.copy() for m, season in self._season.items()}
        for series, (period, alpha, gamma) in self._groups:
            later._run(panel, np.array([len(panel) - 1]), series, period, alpha, gamma, keep=True)
        return later

    def _squared_errors(self, panel: Panel, origins: np.ndarray, period: int, alpha: float, gamma: float) -> np.ndarray:
        """Sum over windows and horizons, for each series."""
        everything = np.arange(len(self._level))
        forecast = self._run(panel, origins, everything, period, alpha, gamma)
        actual = panel.actual(origins, self.horizons).transpose(0, 2, 1, 3).reshape(forecast.shape)
        sums: np.ndarray = np.nansum((forecast - actual) ** 2, axis=(0, 1))
        return sums

    def _point(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        point = np.empty((len(origins), len(self.horizons), len(self._level)), np.float32)
        for series, choice in self._groups:
            point[:, :, series] = self._run(panel, origins, series, *choice)
        shape = (len(origins), len(self.horizons), len(self.zones), len(self.targets))
        moved: np.ndarray = point.reshape(shape).transpose(0, 2, 1, 3)
        return moved

    def _run(
        self,
        panel: Panel,
        origins: np.ndarray,
        series: np.ndarray,
        period: int,
        alpha: float,
        gamma: float,
        keep: bool = False,
    ) -> np.ndarray:
        """Forecasts of some series [n, h, s]; with `keep` level and season stay as they are after the last origin."""
        order = np.argsort(origins, kind="stable")
        found = _smooth(
            _series(panel), series, origins[order], np.asarray(self.horizons), alpha, gamma, self._level,
            self._season[period], _phase(panel, period), keep,
        )  # fmt: skip
        unsorted: np.ndarray = np.empty_like(found)
        unsorted[order] = found
        return unsorted


def _series(panel: Panel) -> np.ndarray:
    """Zones and targets side by side, [t, s]."""
    series: np.ndarray = panel.values.reshape(len(panel), -1)
    return series


def _phase(panel: Panel, period: int) -> int:
    """Phase of the first interval, counted from Monday 00:00."""
    return int(panel.clock_s / panel.interval_s + 1e-6) % period


def _season(values: np.ndarray, first: int, period: int, level: np.ndarray) -> np.ndarray:
    """Mean of each phase less the level, [period, s]; 0 where a phase was never seen. `first` is that of the values."""
    season = np.zeros((period, values.shape[1]))
    if period == 1:
        return season
    for phase in range(period):
        part = values[(phase - first) % period :: period].astype(np.float64)
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
    first: int,
    keep: bool,
) -> np.ndarray:
    """Forecasts [n, h, s] at sorted origins; the filter runs from the first interval on, whose phase is `first`."""
    period = len(seasons)
    result = np.empty((len(origins), len(horizons), len(series)), np.float32)
    for i in range(len(series)):
        s = series[i]
        level, season = levels[s], seasons[:, s].copy()
        at = 0
        for t in range(len(values)):
            if at == len(origins):
                break
            phase = (first + t) % period
            if not np.isnan(values[t, s]):
                error = values[t, s] - level - season[phase]
                level += alpha * error
                if period > 1:
                    season[phase] += gamma * (1 - alpha) * error
            while at < len(origins) and origins[at] == t:
                for j in range(len(horizons)):
                    result[at, j, i] = level + season[(phase + horizons[j]) % period]
                at += 1
        if keep:
            levels[s], seasons[:, s] = level, season
    return result
