"""Forecasts for autoscaling: a kept forecaster, or one fitted to the history, in the form that recommenders take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metalore.autoscale import RESOURCES, Forecasts, Usage

if TYPE_CHECKING:
    from metalore.autoscale.comparison import MakeForecast, Plan
    from metalore.forecast import Forecaster, Panel
    from metalore.forecast.stream import Stream
    from metalore.scenario import Scenario

TARGETS = RESOURCES[:2]
"""What is forecast where nothing was kept: CPU and memory; bandwidth stays as it is."""
VALIDATION = 0.25
"""Part of the history from whose errors the quantiles come."""


def forecaster_of(source: str, plan: Plan) -> MakeForecast:
    """What forecasts a city: a folder with a kept forecaster, or the name of one that is fitted to the history.

    Raises:
        ForecastError: no such forecaster.
    """
    from metalore.forecast import make_forecaster

    if Path(source).is_dir():
        return lambda history: StreamedForecast(_loaded(source), history)
    make_forecaster(source)  # refuses now what cannot be
    lead_s = plan.interval_s + plan.delay_s + plan.safety.cooldown_up_s
    horizons = range(1, max(1, round(np.ceil(lead_s / plan.interval_s))) + 1)
    clock_s = clock_s_of(plan.scenario)
    return lambda history: StreamedForecast(_fitted(source, history, horizons, clock_s), history)


def clock_s_of(scenario: Scenario) -> float:
    """Seconds since Monday 00:00 at time 0."""
    city = scenario.city
    return 0.0 if city is None else 86_400.0 * city.start_day + 3600.0 * city.start_hour


def _loaded(folder: str) -> Stream:
    from metalore.forecast.checkpoint import load_forecaster
    from metalore.forecast.stream import Stream

    return Stream(load_forecaster(folder))


def _fitted(name: str, history: Usage, horizons: Sequence[int], clock_s: float) -> Stream:
    from metalore.forecast import ForecastError, Split, make_forecaster
    from metalore.forecast.stream import Stream

    if len(history) < 8:
        raise ForecastError(f"a history of {len(history)} intervals is too short to fit {name} to; give --history")
    panel = _panel(history, clock_s)
    test = len(history) - 1  # a split needs a test part, though nothing is judged here
    split = Split(round((1 - VALIDATION) * test), test, len(history))
    forecaster: Forecaster = make_forecaster(name).fit(panel, split, horizons)
    return Stream(forecaster)


def _panel(usage: Usage, clock_s: float) -> Panel:
    from metalore.forecast import Panel

    return Panel(
        times=usage.times,
        zones=usage.zones,
        targets=TARGETS,
        values=usage.used[..., : len(TARGETS)],
        interval_s=usage.interval_s,
        clock_s=clock_s,
        lowest=np.zeros(len(TARGETS)),
        name="the history",
    )


class StreamedForecast:
    """Takes usage as it comes and forecasts from the newest.

    Args:
        stream: of the forecaster; its times are those of the usage.
        history: usage before the first decision.
    """

    def __init__(self, stream: Stream, history: Usage) -> None:
        self._stream, self._until = stream, -np.inf
        self._observe(history)

    def __call__(self, usage: Usage, now_s: float) -> Forecasts | None:
        self._observe(usage)
        if self._stream.time_s is None:
            return None
        found = self._stream.forecast()
        values = np.full((len(usage.zones), len(found.times_s), len(RESOURCES), len(found.levels)), np.nan)
        zones = [found.zones.index(zone) for zone in usage.zones]
        for r, name in enumerate(RESOURCES):
            if name in found.targets:
                values[:, :, r] = found.quantiles[zones, :, found.targets.index(name)]
        made_at, interval_s = found.time_s + usage.interval_s, usage.interval_s
        return Forecasts(made_at, found.times_s, interval_s, found.levels, values)

    def _observe(self, usage: Usage) -> None:
        new = usage.since(float(np.nextafter(self._until, np.inf)))
        if len(new):
            self._stream.observe(_rows(new, self._stream.columns))
            self._until = float(new.times[-1])


def _rows(usage: Usage, columns: Sequence[str]) -> list[dict[str, object]]:
    """Rows of telemetry with some columns.

    Raises:
        ForecastError: a column that the usage does not have.
    """
    from metalore.forecast import ForecastError

    known = {name: usage.used[..., r] for r, name in enumerate(RESOURCES)} | dict(usage.others)
    for name in columns:
        if name not in known:
            raise ForecastError(f"the forecaster looks at {name!r}, which the simulated city does not say")
    return [
        {"time_s": float(time_s), "zone": zone} | {name: float(known[name][t, z]) for name in columns}
        for t, time_s in enumerate(usage.times)
        for z, zone in enumerate(usage.zones)
    ]
