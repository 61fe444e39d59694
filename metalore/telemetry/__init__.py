"""What zones say over time: one table, recorded from a world or read from data, and the real places it belongs to."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from metalore.telemetry.errors import TelemetryError
from metalore.telemetry.graph import ZoneGraph

if TYPE_CHECKING:
    from metalore.telemetry.recording import Recording, record
    from metalore.telemetry.schema import (
        COLUMNS,
        QUANTITIES,
        REQUIRED,
        SCHEMA,
        Column,
        as_array,
        check_table,
        interval_of,
        read_telemetry,
        zones_of,
    )

__all__ = [
    "COLUMNS",
    "QUANTITIES",
    "REQUIRED",
    "SCHEMA",
    "Column",
    "Recording",
    "TelemetryError",
    "ZoneGraph",
    "as_array",
    "check_table",
    "interval_of",
    "read_telemetry",
    "record",
    "zones_of",
]


def __getattr__(name: str) -> Any:
    """What needs pandas is loaded when it is asked for; real places do without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "recording" if name in ("Recording", "record") else "schema"
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
