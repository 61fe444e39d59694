"""Forecasts against what happened, as sums for Prometheus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from prometheus_client import CollectorRegistry

from metalore.autoscale.metrics import ForecastErrors
from metalore.forecast import MEDIAN, Forecast
from metalore.serve.window import Row

if TYPE_CHECKING:
    from metalore.serve.engine import Engine

_MOST_TIMES = 512
"""Forecast intervals that are remembered."""


class Judge:
    """Remembers forecasts until their time has come. A value counts once; each interval is forecast from once."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._errors = ForecastErrors(registry)
        self._pending: dict[float, dict[str, np.ndarray]] = {}

    def clear(self) -> None:
        """Forget what waits, because zones or targets are others."""
        self._pending = {}

    def remember(self, forecast: Forecast) -> None:
        """A forecast of all zones; one from the same interval is replaced."""
        for h, time_s in enumerate(forecast.times_s.tolist()):
            horizon = f"{time_s - forecast.time_s:g}"
            self._pending.setdefault(time_s, {})[horizon] = forecast.quantiles[:, h].copy()
        for time_s in sorted(self._pending)[:-_MOST_TIMES]:
            del self._pending[time_s]

    def see(self, rows: Sequence[Row], engine: Engine) -> None:
        """What was measured."""
        place = {name: z for z, name in enumerate(engine.zones)}
        for time_s in {row["time_s"] for row in rows} & self._pending.keys():
            actual = np.full((len(place), len(engine.targets)), np.nan)
            for row in rows:
                if row["time_s"] == time_s and row["zone"] in place:
                    actual[place[row["zone"]]] = [_number(row.get(target)) for target in engine.targets]
            for horizon, quantiles in self._pending[time_s].items():
                self._compare(actual, quantiles, engine.targets, horizon)
        newest = engine.stream.time_s
        past = engine.keep_s
        self._pending = {t: q for t, q in self._pending.items() if newest is None or t > newest - past}

    def _compare(self, actual: np.ndarray, quantiles: np.ndarray, targets: Sequence[str], horizon: str) -> None:
        for f, target in enumerate(targets):
            self._errors.count(target, horizon, actual[:, f], quantiles[:, f, MEDIAN], quantiles[:, f, -1])
        quantiles[~np.isnan(actual)] = np.nan  # a repeated row is not judged again


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
