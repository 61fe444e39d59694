"""Forecasters by name. What needs torch or scikit-learn is loaded when it is asked for."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from metalore.forecast.errors import ForecastError, unknown
from metalore.forecast.forecaster import Forecaster
from metalore.scenario import parse_override

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
_LIST = ", ".join(NAMES)


def make_forecaster(name: str, **settings: Any) -> Forecaster:
    """A new forecaster.

    Args:
        name: one of :data:`NAMES`.
        settings: of its class. `window` is passed over by those that have none.

    Raises:
        ForecastError: no such name or setting, a value of another kind, or what it needs is not installed.
    """
    if name not in _HOMES:
        raise unknown("forecaster", name, NAMES, "MetaLore")
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
    forecaster: Forecaster = made(**{setting: _checked(made, setting, value) for setting, value in settings.items()})
    return forecaster


def _checked(made: type[Forecaster], setting: str, value: Any) -> Any:
    """The value, if it is of the kind that the setting wants."""
    wanted = get_type_hints(made.__init__).get(setting, Any)
    try:
        checked = TypeAdapter(wanted).validate_python(value)
        return value if isinstance(value, dict) else checked  # nested settings are checked by what they belong to
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"].lower()
        raise ForecastError(f"the setting {setting} of {made.name} is {value!r}: {problem}") from None


def parse_forecaster(text: str) -> tuple[str, dict[str, Any]]:
    """``stgnn graph=false recipe.epochs=3`` as a name and its settings, nested where there is a dot.

    Raises:
        ForecastError: nothing in the text, or a word without ``=`` after the name.
    """
    name, *changes = text.split() or [""]
    if not name:
        raise ForecastError(f"a forecaster is a name and its settings, such as 'stgnn hubs=0'; there are {_LIST}")
    return name, parse_settings(changes)


def parse_settings(changes: Iterable[str]) -> dict[str, Any]:
    """``hidden=32`` and ``recipe.epochs=3`` as settings; values are read as TOML, and as text if they are none.

    Raises:
        ForecastError: no ``=`` in one of them.
    """
    settings: dict[str, Any] = {}
    for change in changes:
        if not change.partition("=")[1] or change.startswith("="):
            raise ForecastError(f"a setting of a forecaster looks like hidden=32, not {change!r}")
        path, value = parse_override(change)
        *parents, last = path.split(".")
        here = settings
        for parent in parents:
            here = here.setdefault(parent, {})
            if not isinstance(here, dict):
                raise ForecastError(f"{parent} cannot be {here!r} and have a setting {last!r}")
        here[last] = value
    return settings


def forecaster_of(text: str, defaults: Mapping[str, Any] | None = None) -> Forecaster:
    """A new forecaster from what :func:`parse_forecaster` reads; `defaults` are settings that the text may change."""
    name, settings = parse_forecaster(text)
    return make_forecaster(name, **{**(defaults or {}), **settings})
