"""Forecasts for each zone: panels of telemetry, forecasters under one interface, and the protocol that judges them."""

from __future__ import annotations

from metalore.forecast.errors import ForecastError
from metalore.forecast.forecaster import MEDIAN, QUANTILES, Forecaster, PointForecaster, Progress
from metalore.forecast.panel import TARGETS, Edges, Panel
from metalore.forecast.splits import Part, Split

__all__ = [
    "MEDIAN",
    "QUANTILES",
    "TARGETS",
    "Edges",
    "ForecastError",
    "Forecaster",
    "Panel",
    "Part",
    "PointForecaster",
    "Progress",
    "Split",
]
