"""Forecasters by name. What needs torch or scikit-learn is loaded when it is asked for."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from metalore.forecast.errors import ForecastError, unknown
from metalore.forecast.forecaster import Forecaster

_BASELINES = "metalore.forecast.baselines"
_HOMES = {
    "last-value": (f"{_BASELINES}.naive", "LastValue"),
    "yesterday": (f"{_BASELINES}.naive", "Yesterday"),
    "last-week": (f"{_BASELINES}.naive", "LastWeek"),
    "weeks-mean": (f"{_BASELINES}.naive", "WeeksMean"),
    "smoothing": (f"{_BASELINES}.smoothing", "Smoothing"),
    "ridge": (f"{_BASELINES}.ridge", "Ridge"),
    "boosting": (f"{_BASELINES}.boosting", "Boosting"),
    "gru": (f"{_BASELINES}.recurrent", "GRU"),
    "lstm": (f"{_BASELINES}.recurrent", "LSTM"),
    "graph-wavenet": (f"{_BASELINES}.graph_wavenet", "GraphWaveNet"),
    "stgnn": ("metalore.forecast.training", "STGNNForecaster"),
}
"""Module and class of each name."""
NAMES = tuple(_HOMES)


def make_forecaster(name: str, **settings: Any) -> Forecaster:
    """A new forecaster.

    Args:
        name: one of :data:`NAMES`.
        settings: of its class. `window` is passed over by those that have none.

    Raises:
        ForecastError: no such name or setting, or what it needs is not installed.
    """
    if name not in _HOMES:
        raise ForecastError(f"{unknown('forecaster', name, NAMES, 'MetaLore')}; there are {', '.join(NAMES)}")
    module, cls = _HOMES[name]
    try:
        made = getattr(importlib.import_module(module), cls)
    except ModuleNotFoundError as error:
        raise ForecastError(f"{name} needs {error.name}; install metalore[forecast]") from None
    known = [word for word in inspect.signature(made).parameters if word not in ("args", "kwargs")]
    if "window" not in known:
        settings.pop("window", None)
    for setting in settings:
        if setting not in known:
            raise unknown("setting", setting, known or ["none"], name)
    forecaster: Forecaster = made(**settings)
    return forecaster
