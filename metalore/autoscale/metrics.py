"""What Prometheus reads of a control loop: forecasts as `stgnn_*`, everything else as `metalore_*`.

Forecasts and their errors have the names and labels that the HTTP service gives them, so one rule fits both. Loaded by
those who show metrics only; the loop itself does without prometheus-client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from metalore.autoscale.announced import Ruling
from metalore.autoscale.controller import PARTS, Tick
from metalore.autoscale.drift import ALARM
from metalore.autoscale.model import RESOURCES, Decision, Forecasts, Usage
from metalore.autoscale.safety import Safety

PORT = 8082
"""Where a loop shows its metrics unless told otherwise."""
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_OUTCOMES = {True: "accepted", False: "rejected"}
_SHOWN = {"active_users": "Users in the newest interval.", "latency_ms": "Mean latency in the newest interval, ms."}


class LoopMetrics:
    """Metrics of one loop, in a registry of its own; its :meth:`report` is handed to a controller.

    Args:
        safety: of the loop's logic; its bounds are shown.
        interval_s: from decision to decision.
        target_ms: mean latency of a zone and interval that is still good.
        leads: whether this controller may act; unset: there is no election.
    """

    def __init__(
        self,
        safety: Safety,
        interval_s: float = 60.0,
        *,
        target_ms: float = 2000.0,
        leads: Callable[[], bool] | None = None,
    ) -> None:
        self.registry = registry = CollectorRegistry()
        self._decisions = Counter(
            "metalore_decisions", "Zones and turns that a reason had a part in.", ("reason",), registry=registry
        )
        self._changes = Counter(
            "metalore_changes", "Changes that were made.", ("resource", "direction"), registry=registry
        )
        self._problems = Counter("metalore_problems", "What went wrong, by part.", ("part",), registry=registry)
        self._intents = Counter("metalore_intents", "Announced intents.", ("outcome",), registry=registry)
        self._seconds = Histogram("metalore_loop_seconds", "Of one turn.", buckets=_SECONDS, registry=registry)
        self._last = Gauge(
            "metalore_loop_last_timestamp_seconds", "End of the last turn, Unix time.", registry=registry
        )
        self._alarms = Counter(
            "metalore_forecast_alarms",
            "Times that distrust of a zone's forecast rose to 0.5.",
            ("zone",),
            registry=registry,
        )
        self._alarmed: np.ndarray | None = None
        for part in PARTS:
            self._problems.labels(part)
        for outcome in _OUTCOMES.values():
            self._intents.labels(outcome)
        for resource in np.array(RESOURCES)[safety.managed].tolist():
            for direction in ("up", "down"):
                self._changes.labels(resource, direction)
        self._settings(safety, interval_s, target_ms)
        if leads is not None:
            leader = Gauge("metalore_leader", "Whether this controller may act.", registry=registry)
            leader.set_function(lambda: float(leads()))
        self._judge, self._newest = _Judge(registry), _Newest()
        registry.register(self._newest)

    def _settings(self, safety: Safety, interval_s: float, target_ms: float) -> None:
        Gauge("metalore_loop_interval_seconds", "From turn to turn.", registry=self.registry).set(interval_s)
        Gauge("metalore_latency_target_ms", "Latency that is still good.", registry=self.registry).set(target_ms)
        limit = Gauge(
            "metalore_limit", "Bounds of a zone, and the budget of all.", ("resource", "bound"), registry=self.registry
        )
        for r in np.flatnonzero(safety.managed):
            for bound in ("lower", "upper", "budget"):
                amount = getattr(safety, bound)[r]
                if np.isfinite(amount):
                    limit.labels(RESOURCES[r], bound).set(amount)

    def report(self, tick: Tick) -> None:
        """Take one turn in."""
        self._seconds.observe(tick.took_s)
        for part in tick.failed:
            self._problems.labels(part).inc()
        if tick.decision is not None:
            for code, zones in tick.decision.codes().items():
                self._decisions.labels(code).inc(zones)
        if tick.decision is not None and tick.applied is not None:
            self._count_changes(tick.decision, tick.applied.done)
        if tick.distrust is not None:
            self._count_alarms(tick.usage.zones, tick.distrust)
        self._judge.see(tick.usage)
        if tick.forecasts is not None:
            self._judge.remember(tick.forecasts)
        self._newest.see(tick)
        self._last.set_to_current_time()

    def _count_alarms(self, zones: tuple[str, ...], distrust: np.ndarray) -> None:
        alarmed = distrust >= ALARM
        for z in np.flatnonzero(alarmed & ~(np.zeros(len(zones), bool) if self._alarmed is None else self._alarmed)):
            self._alarms.labels(zones[z]).inc()
        self._alarmed = alarmed

    def intent(self, ruling: Ruling) -> None:
        """Count an announced intent."""
        self._intents.labels(_OUTCOMES[ruling.accepted]).inc()

    def _count_changes(self, decision: Decision, done: np.ndarray) -> None:
        grown = np.where(done[:, None], decision.after - decision.before, 0.0)
        for direction, made in (("up", grown > 0), ("down", grown < 0)):
            for r in np.flatnonzero(made.any(axis=0)):
                self._changes.labels(RESOURCES[r], direction).inc(int(made[:, r].sum()))

    def text(self) -> str:
        """As Prometheus reads it."""
        return generate_latest(self.registry).decode()


@contextmanager
def exposed(metrics: LoopMetrics, host: str = "127.0.0.1", port: int = PORT) -> Iterator[int]:
    """Metrics are shown over HTTP meanwhile.

    Args:
        metrics: of the loop.
        host, port: where; port 0: any that is free.

    Yields:
        The port.
    """
    server, thread = start_http_server(port, host, metrics.registry)
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Newest(Collector):
    """Of the last turn, read when it is asked for."""

    def __init__(self) -> None:
        self._tick: Tick | None = None
        self._forecast_made_at: float | None = None  # unset: the loop does without forecasts

    def see(self, tick: Tick) -> None:
        """Keep a turn."""
        wanted = "forecast" in tick.failed or (
            tick.decision is not None and "forecast-missing" in tick.decision.codes()
        )
        if tick.forecasts is not None:
            self._forecast_made_at = tick.forecasts.made_at
        elif wanted and self._forecast_made_at is None:
            self._forecast_made_at = -np.inf
        self._tick = tick

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All gauges of the last turn, if there was one."""
        tick, made_at = self._tick, self._forecast_made_at
        if tick is None:
            return
        yield from _of_usage(tick.usage, tick.time_s)
        if tick.decision is not None:
            yield from _of_decision(tick.decision, None if tick.applied is None else tick.applied.done)
        if tick.distrust is not None:
            family = GaugeMetricFamily(
                "metalore_forecast_distrust",
                "How far a zone's forecast is distrusted: 0 not, 1 fully.",
                labels=("zone",),
            )
            for zone, distrust in zip(tick.usage.zones, tick.distrust.tolist(), strict=True):
                family.add_metric((zone,), distrust)
            yield family
        if made_at is not None:
            age = "Since the newest interval that the forecast knew; +Inf: there never was one."
            yield GaugeMetricFamily("metalore_forecast_age_seconds", age, value=tick.time_s - made_at)
        if tick.forecasts is not None:
            yield from _of_forecasts(tick.forecasts, tick.usage.zones)


def _of_usage(usage: Usage, now_s: float) -> Iterator[GaugeMetricFamily]:
    age = GaugeMetricFamily(
        "metalore_usage_age_seconds", "Since the newest known interval of a zone; +Inf: none.", labels=("zone",)
    )
    for zone, newest in zip(usage.zones, _newest_known(usage), strict=True):
        age.add_metric((zone,), max(0.0, now_s - newest - usage.interval_s))
    yield age
    yield _per_resource("metalore_usage", "Used in the newest interval.", usage.zones, usage.latest(now_s))
    others = usage.recent(1, now_s).others
    for name, about in _SHOWN.items():
        if name in others and len(others[name]):
            family = GaugeMetricFamily(f"metalore_{name}", about, labels=("zone",))
            for z in np.flatnonzero(np.isfinite(others[name][-1])):
                family.add_metric((usage.zones[z],), float(others[name][-1, z]))
            yield family


def _newest_known(usage: Usage) -> np.ndarray:
    """Start of the newest interval in which anything is known of each zone, [z]; -inf: there is none."""
    known = ~np.isnan(usage.used).all(axis=2)
    if len(known) == 0:
        return np.full(len(usage.zones), -np.inf)
    newest: np.ndarray = np.where(known.any(axis=0), usage.times[len(known) - 1 - known[::-1].argmax(axis=0)], -np.inf)
    return newest


def _of_decision(decision: Decision, done: np.ndarray | None) -> Iterator[GaugeMetricFamily]:
    given = decision.before if done is None else np.where(done[:, None], decision.after, decision.before)
    yield _per_resource("metalore_allocation", "What a zone has: cores, MB, Mbit/s.", decision.zones, given)
    about = "What a zone should have; another than its allocation in a dry run, or if it cannot be had."
    yield _per_resource("metalore_recommendation", about, decision.zones, decision.after)


def _per_resource(name: str, about: str, zones: tuple[str, ...], amounts: np.ndarray) -> GaugeMetricFamily:
    """A gauge of amounts [z, r], those that are not known left out."""
    family = GaugeMetricFamily(name, about, labels=("zone", "resource"))
    for z, r in np.argwhere(np.isfinite(amounts)).tolist():
        family.add_metric((zones[z], RESOURCES[r]), float(amounts[z, r]))
    return family


def _of_forecasts(forecasts: Forecasts, zones: tuple[str, ...]) -> Iterator[GaugeMetricFamily]:
    horizons = _horizons(forecasts)
    for r, resource in enumerate(RESOURCES):
        family = GaugeMetricFamily(
            f"stgnn_{resource}", f"Forecast of {resource}.", labels=("zone", "horizon", "quantile")
        )
        for z, h, q in np.argwhere(np.isfinite(forecasts.values[:, :, r])).tolist():
            labels = (zones[z], horizons[h], f"{forecasts.levels[q]:g}")
            family.add_metric(labels, float(forecasts.values[z, h, r, q]))
        yield family


def _horizons(forecasts: Forecasts) -> list[str]:
    """Whole intervals, in seconds, from the newest interval that was known to each that is forecast, [h]."""
    steps = np.rint((forecasts.times - forecasts.made_at) / forecasts.interval_s) + 1
    return [f"{step * forecasts.interval_s:g}" for step in steps.tolist()]


class ForecastErrors:
    """How forecasts turn out, as sums by target and horizon."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("target", "horizon")
        self._errors = Counter(
            "metalore_forecast_absolute_error",
            "Sum of |measured - median forecast|, in the unit of the target.", labels, registry=registry,
        )  # fmt: skip
        self._above = Counter(
            "metalore_forecast_above_p90", "Measured values above the 0.9 quantile.", labels, registry=registry
        )
        self._judged = Counter(
            "metalore_forecast_judged", "Measured values that a forecast was compared with.", labels, registry=registry
        )

    def count(
        self, target: str, horizon: str, measured: np.ndarray, median: np.ndarray | None, p90: np.ndarray | None
    ) -> None:
        """Take in what was `measured`, and its `median` and `p90` as forecast, [n] each; NaN where one is not known."""
        if median is not None:
            errors = np.abs(measured - median)
            self._errors.labels(target, horizon).inc(float(np.nansum(errors)))
            self._judged.labels(target, horizon).inc(int(np.isfinite(errors).sum()))
        if p90 is not None:
            self._above.labels(target, horizon).inc(int((measured > p90).sum()))


class _Judge:
    """Remembers forecasts until their time has come; each is judged once, by what was used then."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._errors = ForecastErrors(registry)
        self._pending: dict[int, dict[str, tuple[Forecasts, int]]] = {}  # by number of the interval and by horizon
        self._until = -np.inf

    def remember(self, forecasts: Forecasts) -> None:
        """What is forecast; a later forecast of the same interval and horizon counts instead."""
        for h, (time_s, horizon) in enumerate(zip(forecasts.times.tolist(), _horizons(forecasts), strict=True)):
            self._pending.setdefault(round(time_s / forecasts.interval_s), {})[horizon] = (forecasts, h)

    def see(self, usage: Usage) -> None:
        """What was used since."""
        new = usage.since(float(np.nextafter(self._until, np.inf)))
        for time_s, used in zip(new.times.tolist(), new.used, strict=True):
            for horizon, (forecasts, h) in self._pending.pop(round(time_s / usage.interval_s), {}).items():
                self._compare(used, forecasts, h, horizon)
        if len(new):
            self._until = float(new.times[-1])
            newest = round(self._until / usage.interval_s)
            self._pending = {number: kept for number, kept in self._pending.items() if number > newest}

    def _compare(self, used: np.ndarray, forecasts: Forecasts, h: int, horizon: str) -> None:
        for r, target in enumerate(RESOURCES):
            median, p90 = (
                forecasts.values[:, h, r, forecasts.levels.index(level)] if level in forecasts.levels else None
                for level in (0.5, 0.9)
            )
            self._errors.count(target, horizon, used[:, r], median, p90)
