"""The forecaster that is served: where it comes from, and whether its folder has changed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metalore.forecast import Forecaster, ForecastError, Stream, load_forecaster, read_card
from metalore.forecast.checkpoint import CARD, WEIGHTS
from metalore.serve.errors import ServeError
from metalore.serve.settings import BUNDLED, ServeSettings

UNITS = {"cpu_cores": "cores", "memory_mb": "MB", "bandwidth_mbps": "Mbit/s", "latency_ms": "ms"}
"""Of what a telemetry table is forecast for; other targets are in their panel's unit."""
_UNIX_CLOCK_S = 3 * 86_400.0
"""From a Monday to 1970-01-01, a Thursday."""

Signature = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Model:
    """A forecaster and what is said about it.

    Attributes:
        forecaster: loaded, on the processor.
        card: what its folder says.
        fingerprint: of the card, which has the digest of the weights; 16 hexadecimal digits.
        folder: where it lies.
        bundled: whether it is served because none was named.
    """

    forecaster: Forecaster
    card: dict[str, Any]
    fingerprint: str
    folder: Path
    bundled: bool

    def stream(self, settings: ServeSettings) -> Stream:
        """An empty window for it."""
        frame = self.forecaster.fitted_frame()
        if settings.clock == "unix":
            frame = frame.updated(times=[0.0], clock_s=_UNIX_CLOCK_S, start=None)
        return Stream(self.forecaster, frame, late=settings.late_intervals)

    def about(self) -> dict[str, Any]:
        """The card, and what is served."""
        note = "the bundled small model: it knows one day of the built-in city" if self.bundled else "as named"
        return {"model": self.fingerprint, "bundled": self.bundled, "note": note, "card": self.card}


def folder_of(settings: ServeSettings) -> Path:
    """Where the forecaster lies."""
    return BUNDLED if settings.checkpoint is None else settings.checkpoint


def load_model(settings: ServeSettings) -> Model:
    """Load and try a forecaster.

    Raises:
        ServeError: there is none and none was named.
        ForecastError: it cannot be loaded, or forecasts no numbers.
    """
    folder, bundled = folder_of(settings), settings.checkpoint is None
    if bundled and not folder.is_dir():
        raise ServeError(
            f"there is no bundled model in {folder}; `make model` makes it, or name a forecaster with --checkpoint"
        )
    fingerprint = hashlib.sha256((folder / CARD).read_bytes()).hexdigest()[:16] if (folder / CARD).is_file() else ""
    card, forecaster = read_card(folder), load_forecaster(folder, device="cpu")
    model = Model(forecaster, card, fingerprint, folder, bundled)
    _try(model, settings)
    return model


def _try(model: Model, settings: ServeSettings) -> None:
    """Refuse a forecaster that does not turn measured values into numbers."""
    stream = model.stream(settings)
    row: dict[str, Any] = dict.fromkeys(stream.columns, 1.0)
    times = (stream.frame.times[0] + stream.frame.interval_s * np.arange(2)).tolist()
    stream.observe([{**row, "time_s": time_s, "zone": zone} for time_s in times for zone in stream.frame.zones])
    if not np.isfinite(stream.forecast().quantiles).all():
        raise ForecastError(f"{model.folder} holds a forecaster that answers plain values with no numbers")


def signature(folder: Path) -> Signature | None:
    """By which a change of a folder is noticed; None while it is not whole."""
    try:
        found = [(folder / name).stat() for name in (CARD, WEIGHTS)]
    except OSError:
        return None
    return tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in found)
