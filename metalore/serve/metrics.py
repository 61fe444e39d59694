"""What Prometheus reads: forecasts as `stgnn_*`, everything else as `metalore_*`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from metalore.forecast import Counts
from metalore.serve.judge import Judge

if TYPE_CHECKING:
    from metalore.serve.engine import Engine

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """Counters of one service, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.judge = Judge(self.registry)
        self._requests = Counter(
            "metalore_requests", "Requests answered.", ("method", "path", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "metalore_request_seconds", "From the head of a request to the end of its answer.", ("path",),
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self._rows = Counter("metalore_rows", "Rows of telemetry by what became of them.", ("outcome",),
                             registry=self.registry)  # fmt: skip
        self.reloads = Counter("metalore_reloads", "New checkpoints by outcome.", ("outcome",), registry=self.registry)
        for outcome in ("taken", "refused"):
            self.reloads.labels(outcome)
        self._children: dict[tuple[str, str, int], Callable[[float], None]] = {}

    def answered(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count a request; `path` is one of the service's, or "other"."""
        key = (method, path, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._recorder(*key)
        child(seconds)

    def _recorder(self, method: str, path: str, status: int) -> Callable[[float], None]:
        count, seconds = self._requests.labels(method, path, str(status)), self._seconds.labels(path)

        def record(passed: float) -> None:
            count.inc()
            seconds.observe(passed)

        return record

    def rows(self, counts: Counts) -> None:
        """Count rows; late and repeated ones are among those taken."""
        for outcome in ("taken", "late", "repeated", "too_late", "unknown_zone", "off_grid", "too_far", "infinite"):
            self._rows.labels(outcome).inc(getattr(counts, outcome))


class Gauges(Collector):
    """Forecasts and staleness, read when they are asked for."""

    def __init__(self, engine: Callable[[], Engine], received: Callable[[], dict[str, float]]) -> None:
        self._engine, self._received = engine, received

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All gauges of the model that is served."""
        engine = self._engine()
        yield self._info(engine)
        interval_s = engine.stream.frame.interval_s
        yield _plain("metalore_interval_seconds", "Length of an interval of the model that is served.", interval_s)
        yield self._staleness(engine)
        if engine.stream.time_s is None:
            return
        yield _plain("metalore_window_newest_seconds", "Start of the newest interval.", engine.stream.time_s)
        forecast, _ = engine.forecast()
        horizons = [f"{time_s - forecast.time_s:g}" for time_s in forecast.times_s]
        for f, target in enumerate(forecast.targets):
            gauge = GaugeMetricFamily(
                f"stgnn_{target}", f"Forecast of {target}.", labels=("zone", "horizon", "quantile")
            )
            for z, zone in enumerate(forecast.zones):
                for h, horizon in enumerate(horizons):
                    for q, level in enumerate(forecast.levels):
                        value = float(forecast.quantiles[z, h, f, q])
                        if np.isfinite(value):
                            gauge.add_metric((zone, horizon, f"{level:g}"), value)
            yield gauge

    def _info(self, engine: Engine) -> GaugeMetricFamily:
        model = engine.model
        info = GaugeMetricFamily(
            "metalore_model_info", "The model that is served.", labels=("model", "forecaster", "bundled")
        )
        info.add_metric((model.fingerprint, model.forecaster.name, str(model.bundled).lower()), 1.0)
        return info

    def _staleness(self, engine: Engine) -> GaugeMetricFamily:
        now, received = time.time(), self._received()
        stale = GaugeMetricFamily(
            "metalore_staleness_seconds", "Since the last row of a zone came; +Inf: none ever did.", labels=("zone",)
        )
        for zone in engine.zones:
            stale.add_metric((zone,), max(0.0, now - received[zone]) if zone in received else float("inf"))
        return stale


def _plain(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=value)
