"""What a forecast is made from: one frozen array of regular times, zones and targets, with gaps as NaN.

Axes: `t` intervals, `z` zones, `f` targets, `i` further measured columns, `k` announced events.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metalore.forecast.errors import ForecastError, unknown
from metalore.telemetry.graph import ZoneGraph

if TYPE_CHECKING:
    import pandas as pd

    from metalore.telemetry.datasets import SeriesTable
    from metalore.telemetry.recording import Recording

HOUR_S, DAY_S, WEEK_S = 3600.0, 86_400.0, 604_800.0
INTENT_SIZE = 1024
"""Numbers in the fused embedding of a zone's intent."""
TARGETS = ("cpu_cores", "memory_mb", "bandwidth_mbps", "latency_ms")
"""What a telemetry table is forecast for unless other columns are named."""

_SLACK = 1e-6
"""Times may be off by this part of an interval."""
_EPOCH_S = 3 * DAY_S
"""From a Monday to 1970-01-01, a Thursday."""


@dataclass(frozen=True, eq=False)
class Edges:
    """Directed, weighted edges between zones, at most one from each zone to each, none back to itself.

    Attributes:
        source, target: numbers of zones, one entry per edge, sorted by source, then target.
        weight: positive, float32.
        zones: number of zones.
    """

    source: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    zones: int

    def __post_init__(self) -> None:
        source, target = (np.asarray(ends).astype(np.int64).reshape(-1) for ends in (self.source, self.target))
        weight = np.asarray(self.weight, np.float32).reshape(-1)
        if not len(source) == len(target) == len(weight):
            raise ForecastError("each edge has one source, one target and one weight")
        ends = np.concatenate([source, target])
        if len(ends) and not (ends.min() >= 0 and ends.max() < self.zones):
            raise ForecastError(f"edges lead to zone number {ends.max()}; there are {self.zones} zones")
        if not (np.isfinite(weight).all() and (weight > 0).all()):
            raise ForecastError("weights of edges must be positive and finite")
        order = np.lexsort((target, source))
        for name, array in (("source", source[order]), ("target", target[order]), ("weight", weight[order])):
            object.__setattr__(self, name, _frozen(array))

    def __len__(self) -> int:
        """Number of edges."""
        return len(self.source)

    @classmethod
    def of_matrix(cls, adjacency: np.ndarray) -> Edges:
        """From weights `adjacency` [z, z], row to column; the diagonal is left out, 0 is no edge.

        Raises:
            ForecastError: it is not square.
        """
        matrix = np.array(adjacency, np.float32)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ForecastError(f"an adjacency has the shape {matrix.shape}; it needs as many rows as columns")
        np.fill_diagonal(matrix, 0)
        source, target = np.nonzero(matrix)
        return cls(source, target, matrix[source, target], len(matrix))

    def named(self, zones: Sequence[str]) -> dict[tuple[str, str], float]:
        """Weights by the names of both ends."""
        ends = zip(self.source.tolist(), self.target.tolist(), self.weight.tolist(), strict=True)
        return {(zones[source], zones[target]): weight for source, target, weight in ends}

    def matrix(self) -> np.ndarray:
        """Weights [z, z], row to column; 0 where there is no edge. For few zones: it takes z * z numbers."""
        matrix = np.zeros((self.zones, self.zones), np.float32)
        matrix[self.source, self.target] = self.weight
        return matrix

    def index(self) -> np.ndarray:
        """Ends as [2, edges], as torch-geometric takes them."""
        return np.stack([self.source, self.target])

    def among(self, zones: Sequence[int]) -> Edges:
        """Edges between the given zones only, which are numbered anew in that order."""
        place = np.full(self.zones, -1)
        place[np.asarray(zones, int)] = np.arange(len(zones))
        source, target = place[self.source], place[self.target]
        both = (source >= 0) & (target >= 0)
        return Edges(source[both], target[both], self.weight[both], len(zones))


@dataclass(frozen=True, eq=False)
class Panel:
    """Series of several targets for each zone over regular times; what was not measured is NaN. Arrays are read-only.

    Attributes:
        times: seconds [t], float64, one interval apart.
        zones: names, all different.
        targets: names of what is forecast, all different.
        values: [t, z, f], float32.
        interval_s: step of the times.
        clock_s: time since Monday 00:00 at the first of the times, s; 0 where the calendar is unknown.
        start: wall-clock time of the first of the times, where known; for showing only.
        inputs, input_values: further measured columns [t, z, i], known as late as the targets.
        events, event_values: announced in advance [t', z, k], known for future intervals too; t' >= t, and what lies
            beyond t' is not announced, so 0. No NaN.
        edges: how zones go together, where known.
        positions: of zones [z, 2], east and north, m, where known.
        intent: embeddings [k, 1024]; a row with NaN is none.
        intent_of: which of them a zone has, [z] or, as known in each interval, [t, z]; -1 is none. Unset: there is one
            for each zone, in their order.
        lowest: least value that a target can have [f]; -inf where there is no such bound.
        name: what to call it.
        allow_empty: whether a zone may have no values at all.

    Raises:
        ForecastError: something else than that: times that go backwards or are irregular, an infinite value, a zone
            without any.
    """

    times: np.ndarray
    zones: tuple[str, ...]
    targets: tuple[str, ...]
    values: np.ndarray
    interval_s: float
    clock_s: float = 0.0
    start: np.datetime64 | None = None
    inputs: tuple[str, ...] = ()
    input_values: np.ndarray | None = None
    events: tuple[str, ...] = ()
    event_values: np.ndarray | None = None
    edges: Edges | None = None
    positions: np.ndarray | None = None
    intent: np.ndarray | None = None
    intent_of: np.ndarray | None = None
    lowest: np.ndarray | None = None
    name: str = "the panel"
    allow_empty: bool = False

    def __post_init__(self) -> None:
        for field in ("zones", "targets", "inputs", "events"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        object.__setattr__(self, "times", _frozen(np.asarray(self.times, np.float64)))
        for field in ("values", "input_values", "event_values", "positions", "intent", "lowest"):
            array = getattr(self, field)
            if array is not None:
                kind = np.float64 if field == "positions" else np.float32
                object.__setattr__(self, field, _frozen(self._as(array, kind, field)))
        if self.lowest is None:
            object.__setattr__(self, "lowest", _frozen(np.full(len(self.targets), -np.inf, np.float32)))
        self._check_names()
        self._check_shapes()
        self._check_times()
        self._check_values()

    # -- checks --------------------------------------------------------------------------------------------------------

    def _as(self, array: np.ndarray, kind: type, what: str) -> np.ndarray:
        with np.errstate(over="ignore"):
            cast: np.ndarray = np.asarray(array, kind)
        if what != "lowest" and np.isinf(cast).any():
            at = tuple(int(i) for i in np.argwhere(np.isinf(cast))[0])
            raise ForecastError(f"{self.name} has an infinite number among its {what} at {at}; NaN stands for a gap")
        return cast

    def _check_names(self) -> None:
        for what, names in (("zone", self.zones), ("target", self.targets), ("input", self.inputs)):
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise ForecastError(f"{self.name} has the {what} {twice!r} twice")
        if not (self.zones and self.targets and len(self.times)):
            raise ForecastError(f"{self.name} needs at least one time, one zone and one target")

    def _check_shapes(self) -> None:
        t, z, f = len(self.times), len(self.zones), len(self.targets)
        wanted: list[tuple[str, np.ndarray | None, tuple[int, ...]]] = [
            ("values", self.values, (t, z, f)),
            ("positions", self.positions, (z, 2)),
            ("lowest", self.lowest, (f,)),
        ]
        if self.inputs or self.input_values is not None:
            wanted.append(("input_values", self.input_values, (t, z, len(self.inputs))))
        for what, array, shape in wanted:
            if array is not None and array.shape != shape:
                raise ForecastError(f"{self.name}: {what} have the shape {array.shape}, not {shape}")
        if self.inputs and self.input_values is None:
            raise ForecastError(f"{self.name} names inputs and has no input_values")
        if self.edges is not None and self.edges.zones != z:
            raise ForecastError(f"{self.name} has {z} zones, its graph {self.edges.zones}")
        self._check_events(t, z)
        self._check_intent(t, z)

    def _check_events(self, t: int, z: int) -> None:
        if not self.events and self.event_values is None:
            return
        shape = None if self.event_values is None else self.event_values.shape
        if shape is None or len(shape) != 3 or shape[0] < t or shape[1:] != (z, len(self.events)):
            raise ForecastError(f"{self.name}: event_values have the shape {shape}, not ({t} or more, {z}, "
                                f"{len(self.events)})")  # fmt: skip
        if np.isnan(self.event_values).any():  # type: ignore[arg-type]  # there, as just checked
            raise ForecastError(f"{self.name} has gaps among its events; what is not announced is 0")

    def _check_intent(self, t: int, z: int) -> None:
        if self.intent is None:
            if self.intent_of is not None:
                raise ForecastError(f"{self.name} says which intent a zone has, and has none")
            return
        count = len(self.intent) if self.intent.ndim else 0
        if self.intent.shape != (count, INTENT_SIZE) or count == 0:
            raise ForecastError(f"{self.name}: intent has the shape {self.intent.shape}, not (k, {INTENT_SIZE})")
        if self.intent_of is None:
            if count != z:
                raise ForecastError(
                    f"{self.name} has {count} embeddings and {z} zones; intent_of must say whose they are"
                )
            object.__setattr__(self, "intent_of", _frozen(np.arange(z)))
        of = np.asarray(self.intent_of)
        if of.dtype.kind not in "iu" or of.shape not in ((z,), (t, z)):
            raise ForecastError(
                f"{self.name}: intent_of are whole numbers [{z}] or [{t}, {z}], not {of.dtype} {of.shape}"
            )
        if of.min() < -1 or of.max() >= count:
            raise ForecastError(f"{self.name}: intent_of is {of.min()} to {of.max()}; it can be -1 to {count - 1}")
        object.__setattr__(self, "intent_of", _frozen(of))

    def _check_times(self) -> None:
        if not (np.isfinite(self.interval_s) and self.interval_s > 0):
            raise ForecastError(f"{self.name} has an interval of {self.interval_s} s; it must be positive")
        if not np.isfinite(self.times).all():
            raise ForecastError(f"{self.name} has a time that is no number")
        steps = np.diff(self.times)
        for wrong, what in (
            (steps <= 0, "time does not go forward"),
            (np.abs(steps - self.interval_s) > _SLACK * self.interval_s, "times are irregular"),
        ):
            if wrong.any():
                i = int(wrong.argmax())
                raise ForecastError(
                    f"{self.name}: {what}: {self.times[i]:g} s is followed by {self.times[i + 1]:g} s, where the "
                    f"interval is {self.interval_s:g} s"
                )

    def _check_values(self) -> None:
        if self.allow_empty:
            return
        empty = np.isnan(self.values).all(axis=(0, 2))
        if empty.any():
            raise ForecastError(
                f"zone {self.zones[int(empty.argmax())]!r} of {self.name} has no values at all; leave it out, or allow "
                "empty zones"
            )

    # -- making --------------------------------------------------------------------------------------------------------

    @classmethod
    def of(
        cls,
        source: Panel | SeriesTable | Recording | pd.DataFrame | Path | str,
        targets: Sequence[str] | None = None,
        *,
        inputs: Sequence[str] = (),
        zones: Sequence[str] | None = None,
        graph: ZoneGraph | np.ndarray | None = None,
        start: np.datetime64 | str | None = None,
        **fields: Any,
    ) -> Panel:
        """A panel of telemetry.

        Args:
            source: a series, a recording or its folder, a table of telemetry or its Parquet file.
            targets: columns to forecast; unset: all of a series, or of a table CPU, memory, bandwidth and latency.
            inputs: further columns to read.
            zones: which, in that order; unset: all.
            graph: edges; unset: a recording's or a series' own. It may have more zones than are wanted.
            start: wall-clock time of the first row; unset: a series' own, or what a recording's scenario says.
            fields: other attributes of a panel: `events`, `event_values`, `intent`, `intent_of`, `clock_s`, `name`,
                `allow_empty`. A recording brings the events of its city's calendar, and what intent is attached to it.

        Raises:
            ForecastError: a column that is not there, a zone that the graph does not have, or what a panel refuses.
            TelemetryError: the table cannot be read, or is none.
        """
        from metalore.forecast._sources import read_source

        read = read_source(source, targets, inputs, zones)
        fields = {**read, **fields}
        if graph is not None:
            fields |= _of_graph(graph, fields["zones"])
        if start is not None:
            fields["start"] = np.datetime64(str(start), "s")
        if fields.get("start") is not None and "clock_s" not in fields:
            fields["clock_s"] = clock_of(fields["start"])
        return cls(**fields)

    def updated(self, **fields: Any) -> Panel:
        """The same with other attributes."""
        return dataclasses.replace(self, **fields)

    def until(self, row: int) -> Panel:
        """The panel as it was known before interval number `row`; announced events stay."""
        if not 0 < row <= len(self):
            raise ForecastError(f"{self.name} has {len(self)} intervals; it cannot be cut at {row}")
        return self.updated(
            times=self.times[:row],
            values=self.values[:row],
            input_values=None if self.input_values is None else self.input_values[:row],
            intent_of=self.intent_of if self.intent_of is None or self.intent_of.ndim == 1 else self.intent_of[:row],
            allow_empty=True,
        )

    def frame(self) -> Panel:
        """What does not pass with time: the panel with its first interval only, of which nothing is known."""
        z, first = len(self.zones), self.times[:1]
        return self.updated(
            times=first,
            values=np.full((1, z, len(self.targets)), np.nan),
            input_values=np.full((1, z, len(self.inputs)), np.nan) if self.inputs else None,
            event_values=np.zeros((1, z, len(self.events))) if self.events else None,
            intent=None,
            intent_of=None,
            allow_empty=True,
        )

    def of_zones(self, zones: Sequence[str]) -> Panel:
        """Only some zones, in that order, with the edges between them."""
        at = [self.zone_number(name) for name in zones]
        return self.updated(
            zones=tuple(zones),
            values=self.values[:, at],
            input_values=None if self.input_values is None else self.input_values[:, at],
            event_values=None if self.event_values is None else self.event_values[:, at],
            edges=None if self.edges is None else self.edges.among(at),
            positions=None if self.positions is None else self.positions[at],
            intent_of=None if self.intent_of is None else self.intent_of[..., at],
        )

    # -- using ---------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Number of intervals."""
        return len(self.times)

    @property
    def mask(self) -> np.ndarray:
        """Where something was measured, [t, z, f]."""
        there: np.ndarray = ~np.isnan(self.values)
        return there

    def zone_number(self, name: str) -> int:
        """Which zone has the name.

        Raises:
            ForecastError: none.
        """
        if name not in self.zones:
            raise unknown("zone", name, self.zones, self.name)
        return self.zones.index(name)

    def week_s(self, rows: np.ndarray) -> np.ndarray:
        """Seconds since Monday 00:00 at the start of intervals, also of such as are still to come."""
        seconds: np.ndarray = (self.clock_s + np.asarray(rows) * self.interval_s) % WEEK_S
        return seconds

    def hour_of_day(self, rows: np.ndarray) -> np.ndarray:
        """Hour, with its fraction, [0, 24)."""
        hours: np.ndarray = self.week_s(rows) % DAY_S / HOUR_S
        return hours

    def day_of_week(self, rows: np.ndarray) -> np.ndarray:
        """Day, 0 is Monday."""
        days: np.ndarray = (self.week_s(rows) // DAY_S).astype(np.int64)
        return days

    def steps(self, seconds: float) -> int:
        """Intervals in a time; 0 if they do not divide it."""
        exact = seconds / self.interval_s
        return round(exact) if abs(exact - round(exact)) < _SLACK else 0

    def events_at(self, rows: np.ndarray) -> np.ndarray:
        """What is announced for intervals, [*rows, z, k]; 0 beyond what is known."""
        rows = np.asarray(rows)
        if self.event_values is None:
            return np.zeros((*rows.shape, len(self.zones), 0), np.float32)
        known = rows < len(self.event_values)
        found: np.ndarray = self.event_values[np.where(known, rows, 0)] * known[..., None, None]
        return found

    def intent_at(self, rows: np.ndarray) -> np.ndarray:
        """Which of the embeddings each zone has in intervals, [*rows, z]; -1 is none."""
        rows = np.asarray(rows)
        if self.intent is None or self.intent_of is None:
            return np.full((*rows.shape, len(self.zones)), -1)
        own = self.intent_of[rows] if self.intent_of.ndim == 2 else self.intent_of
        unknown_rows = np.isnan(self.intent).any(axis=1)
        found: np.ndarray = np.where(unknown_rows[own], -1, own)
        return np.broadcast_to(found, (*rows.shape, len(self.zones)))

    def actual(self, origins: np.ndarray, horizons: Sequence[int], end: int | None = None) -> np.ndarray:
        """What happened `horizons` intervals after `origins` [n]: [n, z, h, f]; NaN if not known, or not before `end`.

        The order of axes is that of :meth:`metalore.forecast.forecaster.Forecaster.predict`.
        """
        rows = np.asarray(origins)[:, None] + np.asarray(horizons)[None]
        inside = rows < min(len(self), len(self) if end is None else end)
        found = np.where(inside[..., None, None], self.values[np.where(inside, rows, 0)], np.float32(np.nan))
        moved: np.ndarray = found.transpose(0, 2, 1, 3)
        return moved

    def fingerprint(self) -> str:
        """SHA-256 over everything that a forecast can depend on."""
        digest = hashlib.sha256()
        words = (self.zones, self.targets, self.inputs, self.events, float(self.interval_s), float(self.clock_s))
        digest.update(repr(words).encode())
        edges = self.edges
        arrays = [self.times, self.values, self.input_values, self.event_values, self.positions, self.intent]
        arrays += [
            self.intent_of,
            self.lowest,
            *((edges.source, edges.target, edges.weight) if edges is not None else ()),
        ]
        for array in arrays:
            digest.update(b"none" if array is None else repr((array.shape, array.dtype.str)).encode())
            if array is not None:
                same_gaps = np.where(np.isnan(array), np.nan, array).astype(array.dtype)
                digest.update(np.ascontiguousarray(same_gaps).tobytes())
        return digest.hexdigest()


def clock_of(start: np.datetime64) -> float:
    """Seconds since Monday 00:00 at a wall-clock time."""
    return float((start.astype("datetime64[s]").astype(np.int64) + _EPOCH_S) % WEEK_S)


def _frozen(array: np.ndarray) -> np.ndarray:
    """A view that cannot be written to, of a copy if somebody else could."""
    if array.flags.writeable:
        array = array.copy()
        array.setflags(write=False)
    return array


def _of_graph(graph: ZoneGraph | np.ndarray, zones: Sequence[str]) -> dict[str, Any]:
    if isinstance(graph, np.ndarray):
        return {"edges": Edges.of_matrix(graph)}
    place = {name: i for i, name in enumerate(graph.zones)}
    for name in zones:
        if name not in place:
            raise unknown("zone", name, graph.zones, "the graph")
    at = [place[name] for name in zones]
    edges = Edges(graph.source, graph.target, graph.weight, len(graph)).among(at)
    return {"edges": edges, "positions": graph.positions_m[at]}
