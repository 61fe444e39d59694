"""Tables that people bring: read as text, so that every bad entry can be told with its row.

Rows are numbered as a spreadsheet shows them: the header is row 1.
"""

from __future__ import annotations

import re
import warnings
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
"""Words for a number that is not there, in small letters."""

TIME_COLUMNS = ("time", "timestamp", "datetime", "date_time", "date", "hour", "time_s")


MOST_GAPS = 1000
"""Steps without a row that there may be for each with one; more, and a time is taken for a mistake."""


class TableError(ValueError):
    """A table of another form; the message is one sentence: what is wrong, where, what would be right."""


def read_table(path: Path | str, refuse: type[TableError] = TableError, header: bool = True) -> pd.DataFrame:
    """A CSV (also compressed) as columns of text, without empty rows; the entry with index i stands in row i + 2.

    Raises:
        OSError: the file cannot be opened.
        TableError: it is empty or no table, as the given subclass.
    """
    import pandas as pd

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
            frame = pd.read_csv(
                path,
                dtype=str,
                header=0 if header else None,
                index_col=False,
                keep_default_na=False,
                na_values=[""],
                skip_blank_lines=False,
                encoding="utf-8-sig",
            )
    except pd.errors.EmptyDataError:
        raise refuse(f"{path} is empty") from None
    except (ValueError, pd.errors.ParserWarning, EOFError, zlib.error) as error:
        raise refuse(f"{path} is not a table of comma-separated values: {_plain(error)}") from None
    frame.columns = [str(name).strip() for name in frame.columns]
    if not header:
        frame.index -= 1
    if frame.shape[1] == 1 and re.search(r"[;\t|]", str(frame.columns[0])):
        raise refuse(f"{path} separates its columns by something else than commas: {str(frame.columns[0])[:60]!r}")
    return frame.dropna(how="all")


def _plain(error: Exception | Warning) -> str:
    if isinstance(error, Warning):
        return "a row has more entries than the header"
    return str(error).splitlines()[0].removeprefix("Error tokenizing data. C error: ").rstrip(".")


def column_of(columns: Sequence[str], known: Iterable[str]) -> str | None:
    """The column whose name is the first of the known ones, whatever its case."""
    by_name = {name.lower(): name for name in reversed(columns)}
    return next((by_name[name] for name in known if name in by_name), None)


def required_column(
    path: Path | str, columns: Sequence[str], wanted: str | None, known: Sequence[str], refuse: type[TableError]
) -> str:
    """The column that a person named, or else the one with a usual name.

    Raises:
        TableError: there is none.
    """
    found = column_of(columns, (wanted.lower(),) if wanted is not None else known)
    if found is None:
        looked_for = repr(wanted) if wanted is not None else " or ".join(known)
        raise refuse(f"{path} has no column {looked_for}; its columns are {shortened(columns)}")
    return found


def shortened(words: Sequence[str], most: int = 12) -> str:
    """Words in a row, the first few of many."""
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(map(str, words[:most])) + more


def numbers(
    path: Path | str, frame: pd.DataFrame, column: str, refuse: type[TableError], missing: bool = True
) -> np.ndarray:
    """A column as numbers [t], NaN where there is none.

    Raises:
        TableError: an entry is no finite number, or is missing although it must not.
    """
    import pandas as pd

    text = frame[column]
    values = pd.to_numeric(text, errors="coerce").to_numpy(dtype=float)
    empty = np.zeros(len(frame), dtype=bool)
    unread = ~np.isfinite(values)
    if unread.any():
        words = text[unread]
        empty[unread] = words.isna() | words.astype(str).str.strip().str.lower().isin(MISSING)
    wrong = unread & ~(empty & missing)
    if wrong.any():
        at = int(np.argmax(wrong))
        entry = "nothing" if empty[at] else repr(text.iloc[at])
        raise refuse(f"{path}, row {row_of(frame, at)}: {column} is {entry}, not a number")
    return np.where(unread, np.nan, values)


def times_of(path: Path | str, frame: pd.DataFrame, column: str, refuse: type[TableError]) -> np.ndarray:
    """A column as times [t]: float seconds if all entries are numbers, else datetime64[s].

    Times with a zone are turned into UTC, others are kept as they are.

    Raises:
        TableError: an entry is no time.
    """
    import pandas as pd

    text = frame[column]
    if not pd.api.types.is_datetime64_any_dtype(text):
        seconds = pd.to_numeric(text, errors="coerce")
        if np.isfinite(seconds.to_numpy(dtype=float)).all():
            return np.asarray(seconds, dtype=float)
    parsed = pd.to_datetime(text, errors="coerce", format="ISO8601", utc=True)
    wrong = parsed.isna().to_numpy()
    if wrong.any():
        at = int(np.argmax(wrong))
        entry = "nothing" if pd.isna(text.iloc[at]) else repr(text.iloc[at])
        raise refuse(f"{path}, row {row_of(frame, at)}: {column} is {entry}, not a time like 2022-08-01T13:00:00")
    return np.asarray(parsed.dt.tz_localize(None)).astype("datetime64[s]")


def row_of(frame: pd.DataFrame, at: int) -> int:
    """Row of the entry at a position, as a spreadsheet shows it."""
    return int(frame.index[at]) + 2


def as_seconds(times: np.ndarray) -> np.ndarray:
    """Times [t] as float seconds: of the clock, or since 1970."""
    if np.issubdtype(times.dtype, np.datetime64):
        return times.astype("datetime64[s]").astype(float)
    return times.astype(float)


def on_grid(
    path: Path | str, times: np.ndarray, interval_s: float | None, refuse: type[TableError]
) -> tuple[np.ndarray, np.ndarray, float]:
    """Where each time belongs on a regular grid from the first to the last of them.

    Args:
        path: what to call the table in a message.
        times: datetime64 or seconds [t], in any order, each as often as it likes.
        interval_s: step of the grid; None: the commonest difference between neighbours.
        refuse: what to raise.

    Returns:
        The grid [g], each time's place on it [t], and its step in seconds.

    Raises:
        TableError: a time lies between two places, or so far off that the grid is nearly empty, or there are fewer than
            two times to tell the step from.
    """
    seconds = as_seconds(times)
    distinct = np.unique(seconds)
    if interval_s is None:
        if len(distinct) < 2:
            raise refuse(f"{path} has rows for {len(distinct)} time only, so its interval cannot be told")
        gaps, often = np.unique(np.round(np.diff(distinct), 6), return_counts=True)
        interval_s = float(gaps[np.argmax(often)])
    exact = (seconds - distinct[0]) / interval_s
    if exact.max() > MOST_GAPS * len(distinct):
        raise refuse(
            f"{path}: from {times.min()} to {times.max()} there are {exact.max() + 1:,.0f} steps of {interval_s:g} s, "
            f"and rows for {len(distinct)} of them; is one of these times wrong?"
        )
    places = np.round(exact).astype(int)
    off = np.abs(exact - places) > 1e-6
    if off.any():
        at: Any = times[int(np.argmax(off))]
        raise refuse(f"{path}: the time {at} is no multiple of {interval_s:g} s after the first")
    step = np.arange(places.max() + 1)
    if np.issubdtype(times.dtype, np.datetime64):
        start = times.min().astype("datetime64[s]")
        return start + np.round(step * interval_s).astype("timedelta64[s]"), places, interval_s
    return distinct[0] + step * interval_s, places, interval_s
