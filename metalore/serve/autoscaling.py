"""Forecasts for autoscaling: a kept forecaster, or one fitted to what was seen, in the form that recommenders take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metalore.autoscale import RESOURCES, Forecasts, Usage
from metalore.autoscale.comparison import clock_s_of

if TYPE_CHECKING:
    from metalore.autoscale.comparison import Plan
    from metalore.forecast import Forecaster, Panel
    from metalore.forecast.stream import Stream
    from metalore.scenario import Scenario

TARGETS = RESOURCES[:2]
"""What is forecast where nothing was kept: CPU and memory; bandwidth stays as it is."""
VALIDATION = 0.25
"""Part of the history from whose errors the quantiles come."""
_WINDOWS = 4
"""At least so many windows make a history; in a shorter one forecasters look back less far than they would."""
INPUTS = ("active_users", "requests", "movement_rate")
"""Columns that are shown beside the targets, where the history has them."""


def forecaster_of(source: str, plan: Plan) -> Callable[[Usage], StreamedForecast]:
    """What forecasts a city: a folder with a kept forecaster, or one that is fitted to the history.

    Args:
        source: the folder, or a name with settings if wished, as in `stgnn hidden=32`.
        plan: says how far ahead it must look.

    Raises:
        ForecastError: no such forecaster.
    """
    from metalore.forecast.registry import forecaster_of as unfitted

    if Path(source).is_dir():
        return lambda history: StreamedForecast(loaded(source), history)
    unfitted(source)  # refuses now what cannot be
    lead_s = plan.interval_s + plan.delay_s + plan.safety.cooldown_up_s
    horizons = range(1, max(1, round(np.ceil(lead_s / plan.interval_s))) + 1)
    return lambda history: StreamedForecast(fitted(source, history, horizons, plan.scenario), history)


def loaded(folder: str) -> Stream:
    from metalore.forecast.checkpoint import load_forecaster
    from metalore.forecast.stream import Stream

    return Stream(load_forecaster(folder))


def fitted(source: str, history: Usage, horizons: Sequence[int], scenario: Scenario) -> Stream:
    from metalore.forecast import ForecastError, Split
    from metalore.forecast.registry import forecaster_of as unfitted
    from metalore.forecast.stream import Stream

    if len(history) < 8:
        raise ForecastError(f"a history of {len(history)} intervals is too short to fit {source} to; give --history")
    panel = _panel(history, scenario)
    test = len(history) - 1  # a split needs a test part, though nothing is judged here
    split = Split(round((1 - VALIDATION) * test), test, len(history))
    forecaster: Forecaster = unfitted(source)
    if forecaster.window > (longest := len(history) // _WINDOWS):
        forecaster = unfitted(source, {"window": longest})
    return Stream(forecaster.fit(panel, split, horizons))


def _panel(usage: Usage, scenario: Scenario) -> Panel:
    from metalore.forecast import Panel
    from metalore.telemetry.graph import ZoneGraph

    inputs = tuple(name for name in INPUTS if name in usage.others and not np.isnan(usage.others[name]).any())
    panel = Panel(
        times=usage.times,
        zones=usage.zones,
        targets=TARGETS,
        values=usage.used[..., : len(TARGETS)],
        interval_s=usage.interval_s,
        clock_s=clock_s_of(scenario),
        inputs=inputs,
        input_values=np.stack([usage.others[name] for name in inputs], axis=-1) if inputs else None,
        lowest=np.zeros(len(TARGETS)),
        name="the history",
    )
    positions_m = np.array([(station.x_m, station.y_m) for station in scenario.stations])
    return Panel.of(panel, inputs=inputs, graph=ZoneGraph.from_distances(positions_m, usage.zones))


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

    def edges(self) -> dict[tuple[str, str], float]:
        """Of the forecaster's zone graph, by the names of their ends; none if it has no graph."""
        frame = self._stream.frame
        return {} if frame.edges is None else frame.edges.named(frame.zones)

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
