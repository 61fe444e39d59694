"""A world's telemetry, recorded for days into a folder that can be read and gone on with at any time.

==========================  ===========================================================================================
`telemetry-00000.parquet`   the table (:mod:`metalore.telemetry.schema`), a file for every few hours
`graph.json`                zones, where they are, edges by distance (:class:`metalore.telemetry.graph.ZoneGraph`)
`handovers.npz`             how many users changed from zone to zone until the end of the last part
`card.json`                 what was recorded: scenario, seed, policy, columns with units, versions, and how far it got
`checkpoint.npz`            the world at the end of the last part, until the recording is finished
==========================  ===========================================================================================

Every file is written beside its place and moved there, so what is there is whole. A part is written before the
checkpoint that follows it: whatever happens in between, going on writes the same values again.
"""

from __future__ import annotations

import errno
import json
import platform
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

import metalore
from metalore.files import replacing, write_text
from metalore.scenario import Scenario, load, zone_names
from metalore.telemetry.errors import TelemetryError
from metalore.telemetry.graph import ZoneGraph
from metalore.telemetry.schema import PARTS, SCHEMA, read_telemetry
from metalore.world import METRICS, World, totals_of

FORMAT = "metalore-telemetry-1"
CARD, GRAPH, HANDOVERS, CHECKPOINT = "card.json", "graph.json", "handovers.npz", "checkpoint.npz"
INTENT = "intent.npz"
PART_S = 21_600.0
"""Simulated time in a part, 6 h: what an interruption costs at most."""
MOST_ROWS = 100_000
"""Rows in a part at most, which bounds the memory that a recording of many zones takes."""
MOST_BYTES = 4 * 2**30
"""A world that takes more is refused: its buffers hold a whole episode, which here is the whole recording."""

Policy = Callable[[World], np.ndarray]
Progress = Callable[[int, int], None]


def half(world: World) -> np.ndarray:
    """Half of everything for requests."""
    return np.full((world.num_envs, world.num_stations, 2), 0.5)


@dataclass(frozen=True)
class Recording:
    """A folder with telemetry, finished or not.

    Attributes:
        folder: where it is.
        card: what :func:`record` says about it.
    """

    folder: Path
    card: Mapping[str, Any]

    @classmethod
    def load(cls, folder: Path | str) -> Recording:
        """The recording in a folder.

        Raises:
            TelemetryError: there is none, or its card cannot be read.
        """
        return cls(Path(folder), _read_card(Path(folder)))

    @property
    def finished(self) -> bool:
        """Whether it is as long as it was meant to be."""
        return bool(self.card["finished"])

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return int(self.card["rows"])

    @property
    def nbytes(self) -> int:
        """Bytes of the table on disk."""
        return sum(file.stat().st_size for file in self.folder.glob(PARTS))

    @cached_property
    def scenario(self) -> Scenario:
        """What was simulated."""
        return load(self.card["scenario"])

    def table(self) -> pd.DataFrame:
        """The table, see :func:`metalore.telemetry.schema.read_telemetry`."""
        return read_telemetry(self.folder)

    def graph(self) -> ZoneGraph:
        """Zones with edges by distance."""
        return ZoneGraph.load(self.folder / GRAPH)

    def handovers(self) -> np.ndarray:
        """Users who changed from zone (row) to zone (column), [z, z]."""
        path, zones = self.folder / HANDOVERS, len(self.card["zones"])
        counts = np.zeros((zones, zones), np.int64)
        arrays = _load_arrays(path)
        try:
            counts[arrays["source"], arrays["target"]] = arrays["count"]
        except (KeyError, IndexError, ValueError):
            raise TelemetryError(f"{path} holds no counts of {zones} zones") from None
        return counts

    def attach_intent(self, intent: np.ndarray, intent_of: np.ndarray) -> None:
        """Keep embeddings of what zones show beside the table; those that were there are replaced.

        Args:
            intent: embeddings [k, f].
            intent_of: which of them each zone of the graph has in each interval [t, z]; -1 is none.

        Raises:
            TelemetryError: of another shape.
            OSError: it cannot be written.
        """
        self._check_intent(intent, intent_of)
        with replacing(self.folder / INTENT) as temporary, temporary.open("wb") as file:
            np.savez(file, intent=np.asarray(intent, np.float32), intent_of=np.asarray(intent_of, np.int64))

    def intent(self) -> tuple[np.ndarray, np.ndarray] | None:
        """What :meth:`attach_intent` kept; None: nothing.

        Raises:
            TelemetryError: it is damaged, or of another recording.
        """
        if not (self.folder / INTENT).exists():
            return None
        arrays = _load_arrays(self.folder / INTENT)
        if arrays.keys() != {"intent", "intent_of"}:
            raise TelemetryError(f"{self.folder / INTENT} holds no embeddings; attach them again")
        self._check_intent(**arrays)
        return arrays["intent"], arrays["intent_of"]

    def _check_intent(self, intent: np.ndarray, intent_of: np.ndarray) -> None:
        zones = len(self.card["zones"])
        wanted = self.rows // zones, zones
        if intent.ndim != 2 or intent_of.shape != wanted or not -1 <= intent_of.min() <= intent_of.max() < len(intent):
            raise TelemetryError(
                f"intent of {self.folder} must be embeddings [k, f] and their numbers {list(wanted)} from -1 to k - 1; "
                f"these are {list(intent.shape)} and {list(intent_of.shape)}"
            )


def record(
    source: Scenario | str | World,
    folder: Path | str,
    policy: Policy = half,
    *,
    duration_s: float,
    interval_s: float = 60.0,
    seed: int = 0,
    part_s: float = PART_S,
    resume: bool = False,
    progress: Progress | None = None,
) -> Recording:
    """Run one world and write its telemetry.

    Args:
        source: a scenario, a built-in name, a TOML file, or a world, of which the scenario and the user functions are
            taken. The scenario's `max_steps` becomes the duration.
        folder: where to; made if it is not there.
        policy: shares for every step. To go on exactly, it must depend on nothing but the world.
        duration_s: simulated time, a multiple of `interval_s`.
        interval_s: time that a row stands for, a multiple of the scenario's `step_s`.
        seed: of the world.
        part_s: simulated time in a file, and between checkpoints.
        resume: go on with the recording in the folder, or begin it if there is none. What comes out is the same, value
            by value, as without the interruption.
        progress: called with the steps done and the steps in all, at the beginning and after each interval.

    Raises:
        TelemetryError: a duration or interval that cannot be, a folder with another recording, one that is damaged, or
            a world too large.
        OSError: a file cannot be written; what was recorded before is kept and can be gone on with.
    """
    scenario, functions = (source.scenario, source.functions) if isinstance(source, World) else (load(source), {})
    plan = _plan(scenario, duration_s, interval_s, part_s)
    scenario = scenario.updated(max_steps=plan.steps)
    world = _world(scenario, functions)
    world.reset(seed)
    card = _card(scenario, functions, policy, seed, plan)
    recorder = _Recorder(world, policy, Path(folder), plan, card, progress or _silent)
    if (Path(folder) / CARD).exists():
        recorder.take_up(resume)
    else:
        recorder.begin()
    recorder.run()
    return Recording.load(folder)


def _silent(done: int, steps: int) -> None:
    pass


@dataclass(frozen=True)
class _Plan:
    step_s: float
    interval_s: float
    interval_steps: int
    part_intervals: int
    intervals: int

    @property
    def steps(self) -> int:
        return self.intervals * self.interval_steps


def _plan(scenario: Scenario, duration_s: float, interval_s: float, part_s: float) -> _Plan:
    for name, value in (("duration", duration_s), ("interval", interval_s), ("part", part_s)):
        if not 0 < value < np.inf:
            raise TelemetryError(f"the {name} is {value:g} s; it must be positive")
    steps = _times(interval_s, scenario.step_s, "interval", "step_s")
    intervals = _times(duration_s, interval_s, "duration", "interval")
    part = max(1, min(int(part_s / interval_s + 1e-9), MOST_ROWS // len(scenario.stations)))
    return _Plan(scenario.step_s, float(interval_s), steps, part, intervals)


def _times(long_s: float, short_s: float, long: str, short: str) -> int:
    """How often one goes into the other."""
    times = round(long_s / short_s)
    if times < 1 or abs(long_s / short_s - times) > 1e-9 * times:
        raise TelemetryError(f"the {long} of {long_s:g} s is no multiple of the {short} of {short_s:g} s")
    return times


def _world(scenario: Scenario, functions: Mapping[str, Any]) -> World:
    advice = "buffers hold a whole episode unless buffers.device_jobs and buffers.station_jobs are set"
    try:
        world = World(scenario, **functions)
    except MemoryError:
        raise TelemetryError(f"the world does not fit into memory; {advice}") from None
    if world.nbytes() > MOST_BYTES:
        raise TelemetryError(f"the world would take {world.nbytes() / 2**30:.1f} GiB; {advice}")
    return world


# -- the card ----------------------------------------------------------------------------------------------------------

_IDENTITY = ("format", "scenario", "functions", "seed", "policy", "interval_s", "steps", "part_intervals", "metalore")
"""What must be the same for a recording to be gone on with."""


def _card(scenario: Scenario, functions: Mapping[str, Any], policy: Policy, seed: int, plan: _Plan) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "metalore": metalore.__version__,
        "scenario": scenario.model_dump(mode="json"),
        "functions": {point: _name_of(f) for point, f in functions.items() if f is not None},
        "seed": int(seed),
        "policy": _name_of(policy),
        "step_s": plan.step_s,
        "interval_s": plan.interval_s,
        "steps": plan.steps,
        "part_intervals": plan.part_intervals,
        "zones": zone_names(scenario),
        "columns": {c.name: {"unit": c.unit, "meaning": c.meaning} for c in SCHEMA},
        "versions": {
            "metalore": metalore.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "numba": numba.__version__,
            "pyarrow": pa.__version__,
        },
        "recorded_s": 0.0,
        "parts": 0,
        "rows": 0,
        "finished": False,
    }


def _name_of(function: Any) -> str:
    return str(getattr(function, "name", None) or getattr(function, "__qualname__", None) or type(function).__name__)


def _read_card(folder: Path) -> dict[str, Any]:
    path = folder / CARD
    try:
        card: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TelemetryError(f"{folder} holds no recording: {path} cannot be read ({error.strerror})") from None
    except ValueError:
        raise TelemetryError(f"{path} is damaged: it is no JSON") from None
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise TelemetryError(f"{path} is no card of a recording of the format {FORMAT}")
    missing = {*_IDENTITY, "zones", "recorded_s", "parts", "rows", "finished"} - set(card)
    if missing:
        raise TelemetryError(f"{path} is damaged: it says nothing about {', '.join(sorted(missing))}")
    return card


# -- recording ---------------------------------------------------------------------------------------------------------


class _Recorder:
    """Steps the world, adds up what it counts, and writes parts."""

    def __init__(
        self, world: World, policy: Policy, folder: Path, plan: _Plan, card: dict[str, Any], progress: Progress
    ) -> None:
        self._world, self._policy, self._folder, self._plan = world, policy, folder, plan
        self._card, self._progress = card, progress
        zones, rows = world.num_stations, plan.part_intervals
        self._totals = np.zeros((rows, zones, len(METRICS)))
        self._began = {name: np.zeros((rows, zones)) for name in ("compute", "bandwidth_hz", "activity")}
        self._crossings = Crossings(world)
        self._parts = 0

    def begin(self) -> None:
        """A new folder."""
        if any(self._folder.glob(PARTS)):
            raise TelemetryError(f"{self._folder} holds telemetry without {CARD}; choose another folder")
        stations = self._world.scenario.stations
        positions = np.array([(s.x_m, s.y_m) for s in stations])
        graph = ZoneGraph.from_distances(positions, self._card["zones"])
        with self._writing(self._folder / GRAPH):
            graph.save(self._folder / GRAPH)
        self._write_handovers()
        self._write_card()

    def take_up(self, resume: bool) -> None:
        """A folder with a recording."""
        there = _read_card(self._folder)
        if not resume:
            raise TelemetryError(
                f"{self._folder} holds a recording already; go on with it (resume) or choose another folder"
            )
        _check_same(there, self._card, self._folder)
        self._card = there
        for leftover in (file for file in self._folder.glob(".*-*") if file.suffix in (".parquet", ".npz", ".json")):
            leftover.unlink(missing_ok=True)  # of a process that was killed while it wrote
        if there["finished"]:
            self._parts = int(there["parts"])
        elif (self._folder / CHECKPOINT).exists():  # else from the beginning, with the same values
            self._restore()

    def run(self) -> None:
        """All parts that are missing."""
        whole = self._plan.part_intervals
        self._progress(self._done(), self._plan.steps)
        for part in range(self._parts, -(-self._plan.intervals // whole)):
            intervals = min(whole, self._plan.intervals - part * whole)
            self._totals[:] = 0
            for i in range(intervals):
                self._interval(i)
                self._progress(self._done() + (i + 1) * self._plan.interval_steps, self._plan.steps)
            self._write_part(intervals)

    def _done(self) -> int:
        """Steps in parts that are written."""
        return min(self._parts * self._plan.part_intervals, self._plan.intervals) * self._plan.interval_steps

    def _interval(self, i: int) -> None:
        for name, values in self._began.items():
            values[i] = self._world.zones[name][0]
        world, policy, crossings = self._world, self._policy, self._crossings
        total, tally = self._totals[i], world.station_totals[0]
        for _ in range(self._plan.interval_steps):
            world.step(policy(world))
            total += tally
            crossings.observe()

    # -- writing -------------------------------------------------------------------------------------------------------

    def _write_part(self, intervals: int) -> None:
        plan, first = self._plan, self._parts * self._plan.part_intervals
        path, done = self._folder / PARTS.replace("*", f"{self._parts:05d}"), first + intervals
        table = self._table(first, intervals)
        with self._writing(path), replacing(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        self._write_handovers()
        self._parts += 1
        finished = done == plan.intervals
        if not finished:
            self._write_checkpoint()
        self._write_card(
            recorded_s=done * plan.interval_s,
            parts=self._parts,
            rows=done * self._world.num_stations,
            finished=finished,
        )
        if finished:
            (self._folder / CHECKPOINT).unlink(missing_ok=True)

    def _table(self, first: int, intervals: int) -> pa.Table:
        scenario, zones = self._world.scenario, self._card["zones"]
        began = {name: values[:intervals] for name, values in self._began.items()}
        columns = quantities_of(self._totals[:intervals], self._plan.interval_steps, scenario.step_s, scenario.core_ghz)
        columns |= {
            "time_s": np.repeat((first + np.arange(intervals)) * self._plan.interval_s, len(zones)),
            "cpu_capacity_cores": began["compute"] / scenario.core_ghz,
            "bandwidth_capacity_mhz": began["bandwidth_hz"] / 1e6,
        }
        names = [activity.name for activity in scenario.city.activities] if scenario.city else []
        going_on = began["activity"].reshape(-1).astype(np.int32)
        texts = {
            "zone": _text(np.tile(np.arange(len(zones), dtype=np.int32), intervals), zones),
            "activity": _text(going_on, names),
        }
        arrays = [
            texts[c.name] if c.kind == "text" else pa.array(columns[c.name].reshape(-1), from_pandas=True)  # NaN: null
            for c in SCHEMA
        ]
        return pa.table(arrays, names=[c.name for c in SCHEMA])

    def _write_handovers(self) -> None:
        source, target = np.nonzero(self._crossings.counts)
        count = self._crossings.counts[source, target]
        self._save(HANDOVERS, {"source": source, "target": target, "count": count})

    def _write_card(self, **progress: Any) -> None:
        card = self._card | progress
        with self._writing(self._folder / CARD):
            write_text(self._folder / CARD, json.dumps(card, indent=1, allow_nan=False) + "\n")
        self._card = card

    def _write_checkpoint(self) -> None:
        state = {f"state/{name}": _as_bytes(array) for name, array in self._world.state().items()}
        self._save(CHECKPOINT, {"parts": np.array(self._parts), "counts": self._crossings.counts} | state)

    def _restore(self) -> None:
        path = self._folder / CHECKPOINT
        arrays = _load_arrays(path)
        state = {name.removeprefix("state/"): a.tobytes() for name, a in arrays.items() if name.startswith("state/")}
        try:
            self._world.restore(state)
            self._crossings.counts[...] = arrays["counts"]
            self._parts = int(arrays["parts"])  # the card may be one part behind
        except (KeyError, ValueError) as error:
            raise TelemetryError(f"{path} is no checkpoint of this recording ({error})") from None
        self._crossings.begin()

    def _save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        path = self._folder / name
        with self._writing(path), replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # names are ours, none is `allow_pickle`

    @contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        """Says how far the recording is if a file cannot be written."""
        try:
            yield
        except OSError as error:
            reason, kept = error.strerror or str(error), self._card["recorded_s"]
            raise OSError(
                error.errno or errno.EIO,
                f"cannot be written ({reason}); {kept:,.0f} s are recorded, can be read, and gone on from with resume",
                str(path),
            ) from error


class Crossings:
    """Who changed stations: pairs of zones, counted from step to step as the world counts handovers."""

    def __init__(self, world: World) -> None:
        users = world.devices[0, : world.scenario.users.count]
        self._sources = users["station"], users["attached"].view(np.bool_)  # views: they follow the world
        self._now, self._before = (tuple(np.zeros(len(users), view.dtype) for view in self._sources) for _ in range(2))
        self.counts = np.zeros((world.num_stations, world.num_stations), np.int64)
        self._flat = self.counts.reshape(-1)
        self.begin()

    def begin(self) -> None:
        """Take the world as it is as the state before the next step."""
        self._look(self._before)

    def observe(self) -> None:
        """Count the changes of the step that has just been done."""
        self._look(self._now)
        (station, attached), (station_before, attached_before) = self._now, self._before
        moved = station != station_before
        moved &= attached
        moved &= attached_before
        users = moved.nonzero()[0]
        if len(users):
            pairs = station_before[users].astype(np.int64) * len(self.counts) + station[users]
            np.add.at(self._flat, pairs, 1)
        self._now, self._before = self._before, self._now

    def _look(self, copies: tuple[np.ndarray, ...]) -> None:
        for copy, source in zip(copies, self._sources, strict=True):
            np.copyto(copy, source)


def quantities_of(totals: np.ndarray, steps: int, step_s: float, core_ghz: float) -> dict[str, np.ndarray]:
    """Columns of the table from what a world counted.

    Args:
        totals: [..., METRICS], the world's counts by station, summed over the interval's steps.
        steps: in the interval.
        step_s: their length.
        core_ghz: Gcycle/s of a core.

    Returns:
        By name, [...]: all columns but those of time, zone, activity and capacity.
    """

    def total(*names: str) -> np.ndarray:
        return sum((totals_of(totals, name) for name in names), np.zeros(totals.shape[:-1]))

    seconds = steps * step_s
    users = total("attached_users") / steps
    completed, lost = total("requests_completed"), total("requests_lost", "updates_lost")
    latency = _per(total("request_latency"), completed)
    variance = _per(total("request_latency_squared"), completed) - latency**2
    ages = total("request_device_wait", "request_transmission", "request_server_wait", "request_processing")
    ended = lost + completed + total("updates_completed")
    per_minute = total("handovers") / (seconds / 60)
    return {
        "active_users": users,
        "requests": total("requests_generated").astype(np.int64),
        "movement_rate": np.divide(per_minute, users, out=np.zeros_like(users), where=users > 0),
        "latency_ms": 1000 * step_s * latency,
        "jitter_ms": 1000 * step_s * np.sqrt(np.maximum(variance, 0)),
        "packet_loss": np.divide(lost, ended, out=np.zeros_like(ended), where=ended > 0),
        "cpu_cores": total("request_gcycle_processed", "update_gcycle_processed") / seconds / core_ghz,
        "memory_mb": total("resident_mb") / steps,
        "bandwidth_mbps": total("request_mbit_sent", "update_mbit_sent") / seconds,
        "up": total("up") / steps,
        "completed": completed.astype(np.int64),
        "aori_s": step_s * _per(ages, completed),
        "aosi_s": step_s * _per(total("aosi"), total("requests_synchronized")),
    }


def _per(amounts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Means; NaN where there is nothing."""
    means: np.ndarray = np.divide(amounts, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
    return means


def _text(codes: np.ndarray, names: list[str]) -> pa.DictionaryArray:
    """Names by code, nothing for -1."""
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(names, pa.string()))


def _check_same(there: Mapping[str, Any], ours: Mapping[str, Any], folder: Path) -> None:
    for name in _IDENTITY:
        if there[name] != ours[name]:
            values = f" ({there[name]} there, {ours[name]} here)" if not isinstance(ours[name], dict) else ""
            raise TelemetryError(f"{folder} holds a recording with another {name}{values}; choose another folder")


# -- arrays on disk ----------------------------------------------------------------------------------------------------


def _as_bytes(array: np.ndarray) -> np.ndarray:
    return np.frombuffer(array.tobytes(), np.uint8)  # records of any layout come back exactly


def _load_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except OSError as error:
        raise TelemetryError(f"{path} cannot be read ({error.strerror or error})") from None
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise TelemetryError(f"{path} is damaged ({error})") from None
