"""What telemetry comes as, turned into the attributes of a panel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metalore.forecast.errors import ForecastError, unknown
from metalore.forecast.panel import DAY_S, HOUR_S, TARGETS, Edges, Panel
from metalore.scenario import Scenario
from metalore.telemetry.datasets import SeriesTable
from metalore.telemetry.graph import ZoneGraph
from metalore.telemetry.places import project
from metalore.telemetry.recording import CARD, Recording
from metalore.telemetry.schema import COLUMNS, as_array, check_table, interval_of, read_telemetry, zones_of

EVENTS = ("event_near", "event_on")
"""What is known in advance of a recorded city: how many events people are on their way to, and how many are on."""
_CALENDAR_S = DAY_S
"""A recording's events are known for so long beyond its end."""


def read_source(
    source: Any, targets: Sequence[str] | None, inputs: Sequence[str], zones: Sequence[str] | None
) -> dict[str, Any]:
    """Attributes of the panel that a source makes; see :meth:`metalore.forecast.panel.Panel.of`."""
    if isinstance(source, Panel):
        return _of_panel(source, targets, inputs, zones)
    if isinstance(source, SeriesTable):
        return _of_series(source, targets, inputs, zones)
    if isinstance(source, Path | str) and (Path(source) / CARD).is_file():
        source = Recording.load(source)
    if isinstance(source, Recording):
        return _of_recording(source, targets, inputs, zones)
    if isinstance(source, Path | str):
        return _of_table(read_telemetry(source), str(source), targets, inputs, zones)
    if isinstance(source, pd.DataFrame):
        return _of_table(source, "the table", targets, inputs, zones)
    raise ForecastError(f"a panel is made from a series, a recording or a table, not from {type(source).__name__}")


def _of_panel(
    panel: Panel, targets: Sequence[str] | None, inputs: Sequence[str], zones: Sequence[str] | None
) -> dict[str, Any]:
    chosen = panel if zones is None else panel.of_zones(zones)
    there = (*panel.targets, *panel.inputs)
    whole = chosen.values if chosen.input_values is None else np.concatenate([chosen.values, chosen.input_values], -1)
    lowest = np.concatenate([np.asarray(panel.lowest), np.full(len(panel.inputs), -np.inf)])
    fields = {name: getattr(chosen, name) for name in chosen.__dataclass_fields__}
    asked = panel.targets if targets is None else targets
    return fields | _columns(panel.name, there, whole, asked, inputs) | {
        "lowest": lowest[[there.index(name) for name in asked]]
    }  # fmt: skip


def _of_series(
    table: SeriesTable, targets: Sequence[str] | None, inputs: Sequence[str], zones: Sequence[str] | None
) -> dict[str, Any]:
    names = table.zones if zones is None else tuple(zones)
    for name in names:
        if name not in table.zones:
            raise unknown("zone", name, table.zones, table.name)
    at = [table.zones.index(name) for name in names]
    stamped = np.issubdtype(table.times.dtype, np.datetime64)
    edges = None if table.adjacency is None else Edges.of_matrix(table.adjacency).among(at)
    return {
        "name": table.name,
        "times": (table.times - table.times[0]).astype(float) if stamped else table.times,
        "zones": names,
        "interval_s": table.interval_s,
        "start": table.times[0] if stamped else None,
        "edges": edges,
        "positions": None if table.positions is None else project(*table.positions.T)[at],
        **_columns(table.name, table.features, table.values[:, at], targets or table.features, inputs),
    }


def _of_recording(
    recording: Recording, targets: Sequence[str] | None, inputs: Sequence[str], zones: Sequence[str] | None
) -> dict[str, Any]:
    graph, city = recording.graph(), recording.scenario.city
    fields = _of_table(recording.table(), str(recording.folder), targets, inputs, zones or graph.zones)
    for name in fields["zones"]:
        if name not in graph.zones:
            raise unknown("zone", name, graph.zones, f"the graph of {recording.folder}")
    at = [graph.zones.index(name) for name in fields["zones"]]
    clock_s = fields["times"][0]
    if city is not None:
        clock_s += city.start_day * DAY_S + city.start_hour * HOUR_S
    attached = recording.intent()
    return (
        fields
        | _planned(recording.scenario, fields)
        | ({} if attached is None else {"intent": attached[0], "intent_of": attached[1][:, at]})
        | {
            "clock_s": float(clock_s),
            "edges": Edges(graph.source, graph.target, graph.weight, len(graph)).among(at),
            "positions": ZoneGraph.load(recording.folder / "graph.json").positions_m[at],
        }
    )


def _planned(scenario: Scenario, fields: dict[str, Any]) -> dict[str, Any]:
    """The city's events as they stand in its calendar: in which intervals people come to one, and in which it is on."""
    if scenario.city is None or not scenario.city.events:
        return {}
    interval_s, count = fields["interval_s"], len(fields["times"]) + round(_CALENDAR_S / fields["interval_s"])
    times = fields["times"][0] + interval_s * np.arange(count)
    values = np.zeros((count, len(fields["zones"]), len(EVENTS)), np.float32)
    for event in scenario.city.events:
        if event.zone in fields["zones"]:
            since = times - event.from_s
            if event.every_s is not None:
                since = np.where(since >= -event.lead_s, (since + event.lead_s) % event.every_s - event.lead_s, since)
            near, on = (-event.lead_s <= since) & (since < 0), (since >= 0) & (since < event.duration_s)
            values[:, fields["zones"].index(event.zone)] += np.stack([near, on], axis=-1)
    return {"events": EVENTS, "event_values": values}


def _of_table(
    table: pd.DataFrame,
    where: str,
    targets: Sequence[str] | None,
    inputs: Sequence[str],
    zones: Sequence[str] | None,
) -> dict[str, Any]:
    wanted = TARGETS if targets is None else tuple(targets)
    for name in ("time_s", "zone", *wanted, *inputs):
        if name not in table.columns:
            raise unknown("column", name, [str(column) for column in table.columns], where)
    checked = check_table(table, where, ["time_s", "zone"])
    for name in zones or ():
        if name not in zones_of(checked):
            raise unknown("zone", name, zones_of(checked), where)
    columns = [*wanted, *inputs]
    times, names, values = as_array(checked, columns, zones)
    return {
        "name": where,
        "times": times,
        "zones": tuple(names),
        "interval_s": interval_of(checked) or 60.0,
        "clock_s": float(times[0]),
        "lowest": np.array([0.0 if name in COLUMNS else -np.inf for name in wanted]),
        **_columns(where, columns, values, wanted, inputs),
    }


def _columns(
    where: str, there: Sequence[str], values: np.ndarray, targets: Sequence[str], inputs: Sequence[str]
) -> dict[str, Any]:
    for name in (*targets, *inputs):
        if name not in there:
            raise unknown("column", name, there, where)
    places = list(there)
    return {
        "targets": tuple(targets),
        "values": values[..., [places.index(name) for name in targets]],
        "inputs": tuple(inputs),
        "input_values": values[..., [places.index(name) for name in inputs]] if inputs else None,
    }
