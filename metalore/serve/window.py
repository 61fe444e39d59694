"""The rows of the window on disk, so that a restart begins where the service was.

SQLite with a write-ahead log: what was answered is in the file, a process that is killed while writing leaves the last
whole transaction, and a call writes its own rows only. A Parquet file would be written whole for every call.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metalore.serve.errors import ServeError

_APPLICATION = 0x4D4C5357
"""Marks a file as ours."""
_TABLE = """
CREATE TABLE IF NOT EXISTS rows (
  time_s REAL NOT NULL, zone TEXT NOT NULL, received_s REAL NOT NULL, content TEXT NOT NULL,
  PRIMARY KEY (time_s, zone)
) WITHOUT ROWID
"""

Row = dict[str, Any]


class WindowFile:
    """Rows of telemetry, the newest for each time and zone.

    Any thread may call any method; they take turns.

    Args:
        path: file; unset: memory.

    Raises:
        ServeError: it cannot be opened, or is something else.
    """

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.RLock()
        where = ":memory:" if path is None else str(path)
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._file = sqlite3.connect(where, isolation_level=None, check_same_thread=False, timeout=5.0)
            (mark,) = self._file.execute("PRAGMA application_id").fetchone()
            (tables,) = self._file.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if mark != _APPLICATION and tables:
                raise ServeError(f"{where} is a database of something else; name a new file for the window")
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = NORMAL")
            self._file.execute(f"PRAGMA application_id = {_APPLICATION}")
            self._file.execute(_TABLE)
        except (sqlite3.Error, OSError) as error:
            raise ServeError(f"the window cannot be kept in {where} ({error}); name another file") from None

    def write(self, rows: Sequence[Row], received_s: float, oldest_s: float) -> None:
        """Write rows, all or none, and drop those from before `oldest_s`.

        Args:
            rows: each with `time_s` and `zone`.
            received_s: when they came, seconds since 1970.
            oldest_s: beginning of the window.

        Raises:
            ServeError: the disk is full or gone.
        """
        values = [(row["time_s"], row["zone"], received_s, _content(row)) for row in rows]
        with self._lock:
            try:
                self._file.execute("BEGIN IMMEDIATE")
                self._file.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)", values)
                self._file.execute("DELETE FROM rows WHERE time_s < ?", (oldest_s,))
                self._file.execute("COMMIT")
            except sqlite3.Error as error:
                if self._file.in_transaction:
                    self._file.execute("ROLLBACK")
                raise ServeError(f"the window cannot be written ({error})") from None

    def rows(self) -> list[Row]:
        """All rows, oldest first."""
        with self._lock:
            found = self._file.execute("SELECT time_s, zone, content FROM rows ORDER BY time_s").fetchall()
        return [{**json.loads(content), "time_s": time_s, "zone": zone} for time_s, zone, content in found]

    def received(self) -> dict[str, float]:
        """When the last row of each zone came, in seconds since 1970."""
        with self._lock:
            return dict(self._file.execute("SELECT zone, max(received_s) FROM rows GROUP BY zone").fetchall())

    def close(self) -> None:
        """Write what is in the log to the file itself, and close it."""
        with self._lock:
            self._file.close()


def _content(row: Row) -> str:
    return json.dumps({name: value for name, value in row.items() if name not in ("time_s", "zone")})
