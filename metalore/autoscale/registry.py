"""Recommenders by name."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from metalore.autoscale.errors import AutoscaleError, unknown
from metalore.autoscale.model import Amounts
from metalore.autoscale.recommender import Recommender
from metalore.autoscale.recommenders.agent import TrainedAgent
from metalore.autoscale.recommenders.forecast import ForecastQuantile
from metalore.autoscale.recommenders.foresight import Foresight
from metalore.autoscale.recommenders.hpa import HorizontalRule
from metalore.autoscale.recommenders.static import Static
from metalore.autoscale.recommenders.threshold import Threshold
from metalore.autoscale.recommenders.vpa import VerticalRule

_RULES = (ForecastQuantile, VerticalRule, HorizontalRule, Threshold, Static, Foresight, TrainedAgent)
_CLASSES: dict[str, type[Recommender]] = {cls.name: cls for cls in _RULES}
NAMES = tuple(_CLASSES)


def make_recommender(name: str, **settings: Any) -> Recommender:
    """A recommender.

    Args:
        name: one of :data:`NAMES`.
        settings: of its class.

    Raises:
        AutoscaleError: no such name or setting.
    """
    check_recommender(name, settings)
    return _CLASSES[name](**settings)


def check_recommender(name: str, settings: Iterable[str]) -> None:
    """Refuse names that do not exist.

    Raises:
        AutoscaleError: no such recommender, or none of its settings.
    """
    if name not in _CLASSES:
        raise unknown("recommender", name, NAMES, "MetaLore")
    known = list(inspect.signature(_CLASSES[name]).parameters)
    for setting in settings:
        if setting not in known:
            raise unknown("setting", setting, known, name)


def read_recommender(text: str, clock_s: float = 0.0) -> tuple[str, dict[str, Any]]:
    """Name and settings of a recommender as a person writes it: a name, or one like `forecast:headroom=0.2,level=0.9`.

    A trained agent is `agent:FOLDER`; it is told the time of the week at time 0, `clock_s`.

    Raises:
        AutoscaleError: no such recommender or setting.
    """
    kind, _, rest = text.partition(":")
    if kind == TrainedAgent.name:
        if not rest:
            raise AutoscaleError("a trained agent is agent:FOLDER, with the folder of `metalore agents train`")
        return kind, {"folder": rest, "clock_s": clock_s}
    name, settings = settings_of(text)
    check_recommender(name, settings)
    for setting, value in settings.items():
        if isinstance(value, tuple) and not isinstance(getattr(_CLASSES[name], setting, None), tuple):
            raise AutoscaleError(f"{setting} of {name} is one number, not {'/'.join(f'{v:g}' for v in value)}")
    return name, settings


def settings_of(text: str) -> tuple[str, dict[str, Any]]:
    """Name and settings in a text like `name:setting=0.2,other=1/2/3`; whether they exist is not asked.

    Raises:
        AutoscaleError: a setting that is no number and no three.
    """
    name, _, rest = text.partition(":")
    return name, dict(_setting(part, text) for part in rest.split(",") if part)


def _setting(part: str, text: str) -> tuple[str, float | Amounts]:
    word, _, value = part.partition("=")
    try:
        numbers = [float(number) for number in value.split("/")]
    except ValueError:
        numbers = []
    match numbers:
        case [number]:
            return word.strip(), number
        case [cores, memory_mb, bandwidth_mbps]:
            return word.strip(), (cores, memory_mb, bandwidth_mbps)
    raise AutoscaleError(f"{text!r} sets {part!r}; a setting is a name, =, and a number, or three like 0.05/16/1")
