"""Forecasts of a demand by a kept forecaster, for environments that size zones (:mod:`metalore.fluid.ahead`).

Axes: `t` intervals, `e` environments, `z` zones, `h` horizons, `r` columns of :data:`metalore.fluid.USED`, `q` the
quantiles 0.5 and 0.9.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from metalore.fluid import USED, Demand
from metalore.forecast.checkpoint import CARD, load_forecaster
from metalore.forecast.errors import ForecastError, unknown
from metalore.forecast.forecaster import MEDIAN, Forecaster
from metalore.forecast.panel import Edges, Panel
from metalore.telemetry.graph import ZoneGraph

INPUTS = ("active_users", "requests", "movement_rate")
"""Columns of a demand that forecasters may look at beside :data:`metalore.fluid.USED`."""
EVENTS = ("event_near", "event_on")
_MADE: WeakKeyDictionary[Demand, dict[Any, KeptAhead]] = WeakKeyDictionary()
"""Forecasts are the same for every environment over a demand, so they are made once."""
_PIECE = 256
"""Intervals that are forecast at once."""


def forecasts_of_demand(folder: Path, demand: Demand, horizons: Sequence[int]) -> KeptAhead:
    """What a kept forecaster says about a demand.

    Args:
        folder: of `metalore forecast train`.
        demand: with the zones and the interval that it was trained on.
        horizons: intervals ahead, among those that it forecasts.

    Raises:
        ForecastError: no forecaster there, or one of other zones, intervals, columns or horizons.
    """
    made = _MADE.setdefault(demand, {})
    key = (
        str(folder.resolve()),
        (folder / CARD).stat().st_mtime_ns if (folder / CARD).exists() else 0,
        tuple(horizons),
    )
    if key not in made:
        made[key] = KeptAhead(load_forecaster(folder), demand, horizons)
    return made[key]


def panel_of(demand: Demand, inputs: Sequence[str] = INPUTS, events: Sequence[str] = ()) -> Panel:
    """A demand as a forecaster sees it, to train one or to ask it.

    Args:
        demand: whose `used` is forecast.
        inputs: of :data:`INPUTS`.
        events: nothing, or :data:`EVENTS`: what a recorded city's calendar says.

    Raises:
        ForecastError: a column that a demand does not have.
    """
    columns = {"active_users": demand.users, "requests": demand.requests, "movement_rate": demand.movement}
    for name in inputs:
        if name not in columns:
            raise unknown("column", name, INPUTS, f"the demand {demand.source}")
    if events and (tuple(events) != EVENTS or demand.planned is None):
        raise ForecastError(f"the demand {demand.source} has no calendar of {', '.join(events)}")
    graph = ZoneGraph.from_distances(demand.positions, demand.zones) if demand.num_zones > 1 else None
    return Panel(
        times=np.arange(len(demand)) * demand.interval_s,
        zones=demand.zones,
        targets=USED,
        values=demand.used,
        interval_s=demand.interval_s,
        clock_s=demand.start_s,
        inputs=tuple(inputs),
        input_values=np.stack([np.asarray(columns[name]) for name in inputs], axis=-1) if inputs else None,
        events=tuple(events),
        event_values=demand.planned if events else None,
        edges=None if graph is None else Edges(graph.source, graph.target, graph.weight, len(graph)),
        positions=demand.positions,
        lowest=np.zeros(len(USED)),
        name=f"the demand {demand.source}",
        allow_empty=True,
    )


class KeptAhead:
    """Forecasts when they are first asked for, some hundred intervals at a time, and keeps them."""

    def __init__(self, forecaster: Forecaster, demand: Demand, horizons: Sequence[int]) -> None:
        frame = forecaster.fitted_frame()
        if set(forecaster.targets) != set(USED):
            raise ForecastError(
                f"{forecaster.name} forecasts {', '.join(forecaster.targets)}; zones need {', '.join(USED)}"
            )
        for h in horizons:
            if h not in forecaster.horizons:
                raise ForecastError(
                    f"{forecaster.name} forecasts {', '.join(map(str, forecaster.horizons))} intervals ahead, not {h}"
                )
        self._forecaster = forecaster
        self._panel = Panel.of(panel_of(demand, frame.inputs, frame.events), forecaster.targets, inputs=frame.inputs)
        self._forecaster.predict(self._panel, [])  # refuses other zones and intervals
        self._at = [forecaster.horizons.index(h) for h in horizons]
        self._order = [forecaster.targets.index(name) for name in USED]
        self._known = np.full((len(demand) + 1, demand.num_zones, len(self._at), len(USED), 2), np.nan, np.float32)
        self._done = np.zeros(len(demand) // _PIECE + 1, bool)

    def __call__(self, rows: np.ndarray, zone_of: np.ndarray) -> np.ndarray:
        """Forecasts [e, z, h, r, q] from what lies before the rows [e]; NaN where that is shorter than is looked at."""
        rows = np.clip(rows, 0, len(self._known) - 1)
        for piece in np.unique(rows // _PIECE).tolist():
            if not self._done[piece]:
                self._forecast(piece)
        found: np.ndarray = self._known[rows[:, None], zone_of].astype(np.float64)
        return found

    def _forecast(self, piece: int) -> None:
        first, last = max(piece * _PIECE, self._forecaster.window), min((piece + 1) * _PIECE, len(self._known))
        if first < last:
            found = self._forecaster.predict(self._panel, np.arange(first, last) - 1)
            chosen = found[:, :, self._at][:, :, :, self._order]
            self._known[first:last] = chosen[..., [MEDIAN, MEDIAN + 1]]
        self._done[piece] = True
