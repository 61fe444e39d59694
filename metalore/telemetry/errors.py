"""What telemetry refuses."""

from __future__ import annotations


class TelemetryError(ValueError):
    """Telemetry that cannot be; the message is one sentence: what is wrong, where, and what would be right."""
