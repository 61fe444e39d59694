"""Rows of telemetry as they come, table or list, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from metalore.forecast.errors import ForecastError, unknown

if TYPE_CHECKING:
    import pandas as pd

KEYS = ("time_s", "zone")


class Rows(NamedTuple):
    """Times [n] in s, zones [n], and values [n, c], float32, NaN for gaps."""

    times: np.ndarray
    zones: list[str]
    values: np.ndarray

    def at(self, chosen: np.ndarray) -> Rows:
        """Some of them, by number."""
        return Rows(self.times[chosen], [self.zones[i] for i in chosen], self.values[chosen])


def read_rows(rows: pd.DataFrame | Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Rows:
    """Rows with `time_s`, `zone` and these columns; others are passed over, and what a row leaves out is a gap.

    Raises:
        ForecastError: a column that no row has, or one that holds no numbers.
    """
    if hasattr(rows, "columns"):
        table: Any = rows
        there = [str(name) for name in table.columns]
        found = {name: table[name].to_numpy() for name in (*KEYS, *columns) if name in there}
    else:
        there = list(dict.fromkeys(name for row in rows for name in row))
        found = {name: [row.get(name) for row in rows] for name in (*KEYS, *columns)}
    for name in (*KEYS, *columns):
        if len(rows) and name not in there:
            raise unknown("column", name, there, "the rows' table")
    values = np.empty((len(rows), len(columns)), np.float32)
    for c, name in enumerate(columns):
        values[:, c] = _numbers(found.get(name, ()), name)
    return Rows(_numbers(found.get("time_s", ()), "time_s"), [str(name) for name in found.get("zone", ())], values)


def _numbers(column: Any, name: str) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):
            numbers: np.ndarray = np.asarray(column, np.float64)  # None becomes NaN
    except (TypeError, ValueError):
        raise ForecastError(f"column {name!r} of the rows holds something that is no number") from None
    return numbers
