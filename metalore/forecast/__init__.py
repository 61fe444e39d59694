"""Forecasts for each zone: panels of telemetry, forecasters under one interface, and the protocol that judges them."""

from __future__ import annotations

from metalore.forecast.checkpoint import load_forecaster, read_card, save_forecaster
from metalore.forecast.errors import ForecastError
from metalore.forecast.forecaster import MEDIAN, QUANTILES, Forecaster, PointForecaster, Progress
from metalore.forecast.metrics import Scores, score
from metalore.forecast.panel import INTENT_SIZE, TARGETS, Edges, Panel
from metalore.forecast.protocol import PROTOCOLS, Protocol, compare, evaluate, protocol, summary
from metalore.forecast.registry import NAMES, make_forecaster
from metalore.forecast.scaling import Scaler
from metalore.forecast.splits import Part, Split
from metalore.forecast.stream import Counts, Forecast, Stream, StreamState

__all__ = [
    "INTENT_SIZE",
    "MEDIAN",
    "NAMES",
    "PROTOCOLS",
    "QUANTILES",
    "TARGETS",
    "Counts",
    "Edges",
    "Forecast",
    "ForecastError",
    "Forecaster",
    "Panel",
    "Part",
    "PointForecaster",
    "Progress",
    "Protocol",
    "Scaler",
    "Scores",
    "Split",
    "Stream",
    "StreamState",
    "compare",
    "evaluate",
    "load_forecaster",
    "make_forecaster",
    "protocol",
    "read_card",
    "save_forecaster",
    "score",
    "summary",
]
