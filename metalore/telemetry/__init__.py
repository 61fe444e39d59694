"""What zones say over time: one table, recorded from a world or read from data, and the real places it belongs to."""

from metalore.telemetry.errors import TelemetryError
from metalore.telemetry.graph import ZoneGraph
from metalore.telemetry.record import Recording, record
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
