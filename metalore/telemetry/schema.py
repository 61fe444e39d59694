"""The table: one row per zone and interval. Its columns, how they are read and checked, and as arrays.

Axes: `t` intervals, `z` zones, `f` columns. What a column means stands here once; `docs/telemetry.md` quotes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from metalore.telemetry.errors import TelemetryError

PARTS = "telemetry-*.parquet"
"""Names of the parts of a recording."""


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        name: with the unit where it has one.
        unit: of its values; empty for pure numbers and text.
        meaning: the exact definition, over one zone and interval.
        kind: "number", "count" (whole) or "text".
        required: whether a table without it is refused.
        most: largest value that can be.
    """

    name: str
    unit: str
    meaning: str
    kind: str = "number"
    required: bool = False
    most: float = np.inf


SCHEMA = (
    Column("time_s", "s", "Start of the interval, counted from the start of the recording.", required=True),
    Column("zone", "", "Name of the zone.", "text", required=True),
    Column("active_users", "users", "Mean number of users attached to the zone's station.", required=True),
    Column("requests", "requests", "Requests that the zone's users created in the interval.", "count", required=True),
    Column(
        "movement_rate",
        "1/min",
        "Handovers into the zone per attached user and minute; 0 without users.",
        required=True,
    ),
    Column(
        "latency_ms",
        "ms",
        "Mean time from the creation of a request to its completion, over the requests that the zone completed; "
        "missing if none.",
        required=True,
    ),
    Column("jitter_ms", "ms", "Standard deviation of that time, over the same requests.", required=True),
    Column(
        "packet_loss",
        "",
        "Lost jobs as a part of those that ended, lost or completed; requests and updates; 0 if none ended.",
        required=True,
        most=1.0,
    ),
    Column("cpu_cores", "cores", "Work done, Gcycle per second, over the clock of a core (core_ghz).", required=True),
    Column("memory_mb", "MB", "Mean memory that the twin, attached users and waiting jobs took.", required=True),
    Column("bandwidth_mbps", "Mbit/s", "Data that arrived over the air, requests and updates.", required=True),
    Column("up", "", "Part of the interval in which the station was up.", most=1.0),
    Column("completed", "requests", "Requests that the zone completed: the weight of latencies and ages.", "count"),
    Column("aori_s", "s", "Mean AoRI of those requests; missing if none."),
    Column("aosi_s", "s", "Mean AoSI of those of them that a sensor's update served; missing if none."),
    Column("cpu_capacity_cores", "cores", "What the server could have done, when the interval began."),
    Column("bandwidth_capacity_mhz", "MHz", "The zone's band, when the interval began."),
    Column("activity", "", "What went on in the zone when the interval began; missing if nothing.", "text"),
)
COLUMNS = tuple(column.name for column in SCHEMA)
REQUIRED = tuple(column.name for column in SCHEMA if column.required)
QUANTITIES = tuple(column.name for column in SCHEMA if column.kind != "text" and column.name != "time_s")
"""Everything that is measured, in the table's order."""

_SLACK = 1e-6
"""Times may be off by this part of an interval, sums of parts above 1 by as much."""


def column(name: str) -> Column:
    """The column of a name.

    Raises:
        TelemetryError: there is none.
    """
    for known in SCHEMA:
        if known.name == name:
            return known
    raise TelemetryError(f"the table has no column {name!r}; it has {', '.join(COLUMNS)}")


# -- reading -----------------------------------------------------------------------------------------------------------


def read_telemetry(path: Path | str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read and check a table.

    Args:
        path: a Parquet file, a recording, or any other folder of Parquet files.
        columns: which to read beside `time_s` and `zone`; unset: all.

    Returns:
        Rows in the order of time and zone. `zone` is a categorical whose categories are the zones in the order in which
        they first appear in the file, which for a recording is that of the stations. Columns of one's own are kept.

    Raises:
        TelemetryError: no such file, no Parquet, or a table that :func:`check_table` refuses.
    """
    files = parts_of(Path(path))
    wanted = None if columns is None else ["time_s", "zone", *(c for c in columns if c not in ("time_s", "zone"))]
    parts = [_read_part(file, wanted) for file in files]
    names = parts[0].schema.names
    for file, part in zip(files, parts, strict=True):
        if set(part.schema.names) != set(names):
            raise TelemetryError(f"{file} has other columns than {files[0]}; the parts of a table have the same")
    try:
        whole = pa.concat_tables([part.select(names) for part in parts], promote_options="permissive")
    except pa.ArrowException:
        raise TelemetryError(f"the parts in {path} hold different kinds of values in the same column") from None
    table: pd.DataFrame = whole.unify_dictionaries().to_pandas()
    return check_table(table, str(path), REQUIRED if wanted is None else wanted)


def parts_of(path: Path) -> list[Path]:
    """The Parquet files that make up a table.

    Raises:
        TelemetryError: there are none.
    """
    if path.is_dir():
        files = sorted(path.glob(PARTS)) or sorted(file for file in path.glob("*.parquet") if file.name[0] != ".")
        if not files:
            raise TelemetryError(f"{path} holds no telemetry; a recording holds files named {PARTS}")
        return files
    if not path.exists():
        raise TelemetryError(f"there is no telemetry at {path}; give a Parquet file or the folder of a recording")
    return [path]


def _read_part(file: Path, wanted: Sequence[str] | None) -> pa.Table:
    try:
        with pq.ParquetFile(file) as parquet:
            present = parquet.schema_arrow.names
            for name in wanted or ():
                if name not in present:
                    raise TelemetryError(f"{file} has no column {name!r}; it has {', '.join(present)}")
            return _coded(parquet.read(columns=None if wanted is None else list(wanted)))
    except (pa.ArrowException, OSError) as error:
        raise TelemetryError(f"{file} cannot be read as Parquet ({_first_line(error)})") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _coded(part: pa.Table) -> pa.Table:
    """Text as codes, in the same form in every part."""
    for i, field in enumerate(part.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            part = part.set_column(i, field.name, part.column(i).cast(kind).cast(pa.string()).dictionary_encode())
    return part


def check_table(table: pd.DataFrame, where: str = "the table", required: Sequence[str] = REQUIRED) -> pd.DataFrame:
    """The table with `zone` as a categorical and rows in order, if it is one.

    Numbers may be missing (NaN): in latencies and ages of a zone that completed nothing, and everywhere as gaps.

    Raises:
        TelemetryError: a column is missing or of the wrong kind, a value negative, infinite or larger than can be, a
            time and zone there twice, or times that do not follow one interval.
    """
    missing = [name for name in required if name not in table.columns]
    if missing:
        raise TelemetryError(
            f"{where} has no column {', '.join(map(repr, missing))}; telemetry has {', '.join(REQUIRED)}"
        )
    if table.empty:
        raise TelemetryError(f"{where} has no rows")
    for known in SCHEMA:
        if known.name in table.columns:
            _check_column(table[known.name], known, where)
    table = table.assign(zone=_in_order(table["zone"]))
    table = table.sort_values(["time_s", "zone"], kind="stable", ignore_index=True)
    twice = table.duplicated(["time_s", "zone"])
    if twice.any():
        row = table[twice].iloc[0]
        raise TelemetryError(f"{where} has zone {row['zone']!r} at time_s {row['time_s']:g} twice")
    _check_interval(table["time_s"].unique().astype(float), where)
    return table


def _in_order(zones: pd.Series) -> pd.Series:
    """As a categorical with its categories in order of appearance, or as they are."""
    if isinstance(zones.dtype, pd.CategoricalDtype):
        return zones.cat.remove_unused_categories().cat.as_unordered()
    return pd.Series(pd.Categorical(zones, categories=zones.unique()), zones.index)


def _check_text(values: pd.Series, known: Column, where: str) -> None:
    texts = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else values.dropna().unique()
    if not all(isinstance(value, str) for value in texts):
        raise TelemetryError(f"{where} has a column {known.name!r} of type {values.dtype}; it must hold text")
    if known.required and values.isna().any():
        raise TelemetryError(f"{where} has rows without {known.name!r}")


def _check_column(values: pd.Series, known: Column, where: str) -> None:
    if known.kind == "text":
        _check_text(values, known, where)
        return
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        raise TelemetryError(f"{where} has a column {known.name!r} of type {values.dtype}; it must hold numbers")
    numbers = values.to_numpy(float, na_value=np.nan)
    bad = np.isinf(numbers) if known.name != "time_s" else ~np.isfinite(numbers)
    if bad.any():
        raise TelemetryError(
            f"{where} has {known.name} {numbers[bad][0]} in row {int(bad.argmax())}; it must be finite"
        )
    for wrong, what in ((numbers < 0, "negative"), (numbers > known.most * (1 + _SLACK), f"above {known.most:g}")):
        if wrong.any():
            row = int(wrong.argmax())
            raise TelemetryError(f"{where} has {known.name} {numbers[row]:g} in row {row}; it cannot be {what}")


def _check_interval(times: np.ndarray, where: str) -> None:
    interval = _interval_of(times)
    if interval is None:
        return
    parts = np.diff(times) / interval
    off = np.abs(parts - np.round(parts)) > _SLACK * np.maximum(1.0, parts)
    if off.any():
        i = int(off.argmax())
        raise TelemetryError(
            f"{where} has an irregular interval: {times[i]:g} s is followed by {times[i + 1]:g} s, "
            f"which is no multiple of {interval:g} s later"
        )


def _interval_of(times: np.ndarray) -> float | None:
    return float(np.diff(times).min()) if len(times) > 1 else None


def interval_of(table: pd.DataFrame) -> float | None:
    """Seconds from one row of a zone to the next; None if there is one time only."""
    return _interval_of(np.unique(table["time_s"].to_numpy(float)))


# -- as arrays ---------------------------------------------------------------------------------------------------------


def as_array(
    table: pd.DataFrame, columns: Sequence[str] = QUANTITIES, zones: Sequence[str] | None = None
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """The table as an array, with a row for every interval between its first and last, also for those that lack.

    Args:
        table: of :func:`read_telemetry`.
        columns: numbers, in the order wanted.
        zones: which, in the order wanted (a graph's, say); unset: all, in the table's order.

    Returns:
        times [t] in s, zones, values [t, z, f] with NaN for what is missing.

    Raises:
        TelemetryError: a column or zone that is not there, a column that holds no numbers.
    """
    names = zones_of(table)
    wanted = list(names if zones is None else zones)
    for kind, asked, there in (("zone", wanted, names), ("column", columns, list(table.columns))):
        for name in asked:
            if name not in there:
                raise TelemetryError(f"the table has no {kind} {name!r}")
    for name in columns:
        if not pd.api.types.is_numeric_dtype(table[name]):
            raise TelemetryError(f"column {name!r} holds {table[name].dtype}, no numbers")
    seconds = table["time_s"].to_numpy(float)
    first, interval = seconds.min(), interval_of(table) or 1.0
    row = np.round((seconds - first) / interval).astype(int)
    place = {name: i for i, name in enumerate(wanted)}
    zone = np.array([place.get(name, -1) for name in names])[_codes(table, names)]
    values = np.full((row.max() + 1, len(wanted), len(columns)), np.nan)
    shown = zone >= 0
    for f, name in enumerate(columns):
        values[row[shown], zone[shown], f] = table[name].to_numpy(float, na_value=np.nan)[shown]
    return first + interval * np.arange(len(values)), wanted, values


def zones_of(table: pd.DataFrame) -> list[str]:
    """Zones in the table's order."""
    zones = table["zone"]
    if isinstance(zones.dtype, pd.CategoricalDtype):
        return [str(name) for name in zones.cat.categories]
    return [str(name) for name in dict.fromkeys(zones)]


def _codes(table: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    codes: np.ndarray = pd.Categorical(table["zone"], categories=list(names)).codes.astype(int)
    return codes


def schema_rows() -> Iterator[tuple[str, str, str]]:
    """Name, unit and meaning of each column, for documentation."""
    for known in SCHEMA:
        yield known.name, known.unit, known.meaning
