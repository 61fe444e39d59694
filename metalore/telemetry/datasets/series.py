"""One form for every time series: times, zones, features, and NaN where nothing was measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metalore.telemetry._tables import (
    TIME_COLUMNS,
    TableError,
    column_of,
    numbers,
    on_grid,
    read_table,
    required_column,
    row_of,
    shortened,
    times_of,
)

if TYPE_CHECKING:
    import pandas as pd

ZONE_COLUMNS = ("zone", "zone_id", "cell", "site", "station", "sensor", "place")


@dataclass(frozen=True, eq=False)
class SeriesTable:
    """A series for each zone and feature over regular times.

    Attributes:
        name: what to call it.
        times: datetime64[s], or float seconds from the first, [t].
        zones: names.
        features: names.
        values: [t, z, f]; NaN where nothing was measured.
        interval_s: step of the times.
        positions: latitude and longitude [z, 2], where known.
        adjacency: weights of edges [z, z], where known.
        test_from: row with which the publisher's test part begins, where there is one.
    """

    name: str
    times: np.ndarray
    zones: tuple[str, ...]
    features: tuple[str, ...]
    values: np.ndarray
    interval_s: float
    positions: np.ndarray | None = None
    adjacency: np.ndarray | None = None
    test_from: int | None = None

    def __post_init__(self) -> None:
        zones = len(self.zones)
        wanted = [
            ("values", self.values, (len(self.times), zones, len(self.features))),
            ("positions", self.positions, (zones, 2)),
            ("adjacency", self.adjacency, (zones, zones)),
        ]
        for what, array, shape in wanted:
            if array is not None and array.shape != shape:
                raise TableError(f"{self.name}: {what} have the shape {array.shape}, not {shape}")

    @property
    def mask(self) -> np.ndarray:
        """Where something was measured, [t, z, f]."""
        there: np.ndarray = ~np.isnan(self.values)
        return there

    def feature(self, name: str) -> np.ndarray:
        """Values of one feature [t, z].

        Raises:
            TableError: there is no such feature.
        """
        if name not in self.features:
            raise TableError(f"{self.name} has no feature {name!r}; it has {', '.join(self.features)}")
        column: np.ndarray = self.values[..., self.features.index(name)]
        return column


def read_series(path: Path | str, interval_s: float | None = None) -> SeriesTable:
    """Series from a long CSV or Parquet file: a column of times, one of zones, and a column for each feature.

    Rows may come in any order; times that have no row, and zones that have none at a time, are gaps (NaN). A column of
    words is no feature and is left out.

    Args:
        path: the file; its name ends in .parquet if it is one.
        interval_s: step of the times; unset: the commonest difference between neighbours.

    Raises:
        OSError: the file cannot be opened.
        TableError: a column is missing, an entry cannot be, a zone has two rows for one time, or a time lies between
            two steps.
    """
    frame = _read_parquet(path) if str(path).endswith(".parquet") else read_table(path)
    columns = list(frame.columns)
    time = required_column(path, columns, None, TIME_COLUMNS, TableError)
    zone = required_column(path, columns, None, ZONE_COLUMNS, TableError)
    features = [name for name in columns if name not in (time, zone) and _has_numbers(frame, name)]
    if frame.empty or not features:
        raise TableError(f"{path} needs rows, and a column of numbers beside {time} and {zone}")
    without = frame[zone].isna().to_numpy()
    if without.any():
        raise TableError(f"{path}, row {row_of(frame, int(np.argmax(without)))}: {zone} is nothing, not a zone's name")
    zones, at_zone = np.unique(frame[zone].astype(str).str.strip().to_numpy(dtype=str), return_inverse=True)
    times, at_time, interval_s = on_grid(path, times_of(path, frame, time, TableError), interval_s, TableError)
    key = at_time * len(zones) + at_zone
    _, first = np.unique(key, return_index=True)
    if len(first) < len(key):
        again = int(np.setdiff1d(np.arange(len(key)), first)[0])
        raise TableError(
            f"{path}, row {row_of(frame, again)}: the zone {str(zones[at_zone[again]])!r} has a second row for "
            f"{times[at_time[again]]}"
        )
    values = np.full((len(times), len(zones), len(features)), np.nan)
    for f, name in enumerate(features):
        values[at_time, at_zone, f] = numbers(path, frame, name, TableError)
    return SeriesTable(Path(path).name, times, tuple(map(str, zones)), tuple(features), values, interval_s)


def _has_numbers(frame: pd.DataFrame, column: str) -> bool:
    """Whether most entries of a column are numbers; one that is not is then a mistake to be told."""
    import pandas as pd

    entries = frame[column].dropna()
    if pd.api.types.is_datetime64_any_dtype(entries):
        return False
    return len(entries) == 0 or bool(pd.to_numeric(entries, errors="coerce").notna().mean() > 0.5)


def _read_parquet(path: Path | str) -> pd.DataFrame:
    import pandas as pd
    import pyarrow

    with Path(path).open("rb"):  # says in the system's words why not
        pass
    try:
        return pd.read_parquet(path).reset_index(drop=True)
    except (ValueError, OSError, pyarrow.ArrowException) as error:
        raise TableError(f"{path} is no Parquet file: {str(error).splitlines()[0]}") from None


def series_of_rows(
    name: str,
    path: Path | str,
    features: tuple[str, ...],
    zone: str,
    interval_s: float,
    time: str | None = None,
) -> SeriesTable:
    """The series of one zone from a CSV with a row for each time.

    Args:
        name: of the table.
        path: the file.
        features: columns to read.
        zone: what to call the zone.
        interval_s: step of the times.
        time: column of times; unset: row i is at i times the interval.

    Raises:
        TableError: see :func:`read_series`.
    """
    frame = read_table(path)
    columns = list(frame.columns)
    for column in (*features, *([time] if time else [])):
        if column_of(columns, (column.lower(),)) != column:
            raise TableError(f"{path} has no column {column!r}; its columns are {shortened(columns)}")
    if frame.empty:
        raise TableError(f"{path} has a header and no rows")
    stamps = times_of(path, frame, time, TableError) if time else np.arange(len(frame)) * interval_s
    times, at, _ = on_grid(path, stamps, interval_s, TableError)
    if len(np.unique(at)) < len(at):
        raise TableError(f"{path} has two rows for one time")
    values = np.full((len(times), 1, len(features)), np.nan)
    for f, column in enumerate(features):
        values[at, 0, f] = numbers(path, frame, column, TableError)
    return SeriesTable(name, times, (zone,), features, values, interval_s)
