"""Forecasts broken on purpose, to see what a loop makes of them.

Each break wraps what forecasts and is itself something that forecasts, so several can be put on top of each other. When
outages come, and which zones are meant, follows from the seed, the time and the number of the zone alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from metalore.autoscale.controller import Forecast
from metalore.autoscale.errors import AutoscaleError, unknown
from metalore.autoscale.model import Forecasts, Usage
from metalore.autoscale.registry import settings_of

HOUR_S = 3600.0


class ForecasterDiedError(RuntimeError):
    """What a forecaster that has died raises."""


# -- kinds -------------------------------------------------------------------------------------------------------------


def biased(forecast: Forecast, *, factor: float = 0.5, part: float = 1.0, seed: float = 0) -> Forecast:
    """Everything that is forecast, times a factor, for a part of the zones.

    Args:
        forecast: that is broken.
        factor: what all quantiles are multiplied by.
        part: of the zones that are meant, in [0, 1].
        seed: of which they are.
    """
    _check("biased", factor=factor, part=part, seed=seed)
    return _scaled(forecast, lambda since_s: factor, part, seed)


def drifting(forecast: Forecast, *, per_hour: float = 0.8, part: float = 1.0, seed: float = 0) -> Forecast:
    """The same with a factor that begins with 1 and changes by `per_hour` in every hour: 0.8 takes a fifth of it.

    `part` and `seed` say which zones are meant, as for :func:`biased`.
    """
    _check("drifting", per_hour=per_hour, part=part, seed=seed)
    return _scaled(forecast, lambda since_s: float(per_hour ** (since_s / HOUR_S)), part, seed)


def stale(forecast: Forecast, *, every: float = 120, lasts: float = 15, seed: float = 0) -> Forecast:
    """Now and then nothing new comes: the last forecast is given again, and says when it was made.

    Args:
        forecast: that is broken.
        every: mean number of intervals from the beginning of an outage to that of the next.
        lasts: intervals; outages may overlap.
        seed: of the outages.
    """
    return _repeated(forecast, _outages("stale", every, lasts, seed), again=lambda old, now_s: old)


def frozen(forecast: Forecast, *, every: float = 120, lasts: float = 15, seed: float = 0) -> Forecast:
    """The same, `every` so often and as long as it `lasts`, but what is given again pretends to be new."""
    return _repeated(forecast, _outages("frozen", every, lasts, seed), again=_as_if_made)


def missing(forecast: Forecast, *, every: float = 120, lasts: float = 15, seed: float = 0) -> Forecast:
    """Now and then there is no forecast; `every` and `lasts` as for :func:`stale`."""
    out = _outages("missing", every, lasts, seed)

    def broken(usage: Usage, now_s: float) -> Forecasts | None:
        return None if out(usage, now_s) else forecast(usage, now_s)

    return broken


def dying(forecast: Forecast, *, after: float = 60) -> Forecast:
    """So many intervals `after` the first forecast there is an error, and never a forecast again.

    Raises:
        ForecasterDiedError: by what is returned, from then on.
    """
    _check("dying", after=after)
    since = _Since()

    def broken(usage: Usage, now_s: float) -> Forecasts | None:
        if since(now_s) >= after * usage.interval_s:
            raise ForecasterDiedError(f"the forecaster died after {after:g} intervals")
        return forecast(usage, now_s)

    return broken


KINDS: dict[str, Callable[..., Forecast]] = {
    kind.__name__: kind for kind in (biased, drifting, stale, frozen, missing, dying)
}
"""All breaks by name."""


def break_of(text: str) -> Callable[[Forecast], Forecast]:
    """What breaks forecasts, as a person writes it: a kind, or one with settings like `biased:factor=2,part=0.5`.

    Raises:
        AutoscaleError: no such kind or setting, or a value that cannot be.
    """
    kind, settings = settings_of(text)
    if kind not in KINDS:
        raise unknown("break", kind, list(KINDS), "MetaLore")
    known = list(inspect.signature(KINDS[kind]).parameters)[1:]
    for name, value in settings.items():
        if name not in known:
            raise unknown("setting", name, known, kind)
        if isinstance(value, tuple):
            raise AutoscaleError(f"{name} of {kind} is one number, not {'/'.join(f'{v:g}' for v in value)}")
    KINDS[kind](_nothing, **settings)  # refuses now what cannot be
    return partial(KINDS[kind], **settings)


# -- parts -------------------------------------------------------------------------------------------------------------


def _scaled(forecast: Forecast, factor: Callable[[float], float], part: float, seed: float) -> Forecast:
    """Times a factor that follows from the time since the first forecast, for a part of the zones."""
    since = _Since()

    def broken(usage: Usage, now_s: float) -> Forecasts | None:
        good, times = forecast(usage, now_s), factor(since(now_s))
        if good is None:
            return None
        meant = np.random.default_rng(int(seed)).random(len(good.values)) < part
        return replace(good, values=good.values * np.where(meant, times, 1.0)[:, None, None, None])

    return broken


def _repeated(
    forecast: Forecast, out: Callable[[Usage, float], bool], again: Callable[[Forecasts, float], Forecasts]
) -> Forecast:
    """The last forecast before an outage, again and again while it lasts."""
    last: Forecasts | None = None

    def broken(usage: Usage, now_s: float) -> Forecasts | None:
        nonlocal last
        if not out(usage, now_s):
            last = forecast(usage, now_s)
            return last
        return None if last is None else again(last, now_s)

    return broken


def _as_if_made(old: Forecasts, now_s: float) -> Forecasts:
    """An old forecast as if it were of now, by whole intervals later."""
    later_s = old.interval_s * round((now_s - old.made_at) / old.interval_s)
    return replace(old, made_at=old.made_at + later_s, times=old.times + later_s)


def _outages(kind: str, every: float, lasts: float, seed: float) -> Callable[[Usage, float], bool]:
    """Whether there is an outage at a time: in each interval one begins with probability 1 / every."""
    _check(kind, every=every, lasts=lasts, seed=seed)

    def out(usage: Usage, now_s: float) -> bool:
        now = round(now_s / usage.interval_s)
        begun = range(max(now - round(lasts) + 1, 0), now + 1)
        return any(np.random.default_rng((int(seed), number)).random() * every < 1 for number in begun)

    return out


class _Since:
    """Time since it was first asked."""

    def __init__(self) -> None:
        self._first_s: float | None = None

    def __call__(self, now_s: float) -> float:
        self._first_s = now_s if self._first_s is None else self._first_s
        return now_s - self._first_s


def _check(kind: str, **settings: float) -> None:
    """Refuse what is negative, and a part above 1."""
    for name, value in settings.items():
        if not value >= 0:
            raise AutoscaleError(f"{name} of {kind} is {value:g}; it cannot be negative")
    if settings.get("part", 0.0) > 1:
        raise AutoscaleError(f"part of {kind} is {settings['part']:g}; it must lie between 0 and 1")


def _nothing(usage: Usage, now_s: float) -> None:
    return None
