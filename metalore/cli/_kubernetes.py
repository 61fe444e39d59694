"""The controller on Kubernetes, as `metalore autoscale --actuator kubernetes` runs it."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import typer

from metalore.autoscale import AutoscaleError, Controller, Logic, Safety, Tick, Usage, make_recommender
from metalore.autoscale.errors import unknown
from metalore.autoscale.kubernetes import (
    Act,
    Backoff,
    Cluster,
    Election,
    KubernetesSettings,
    KubernetesZones,
    LeaseSettings,
    config_of,
)
from metalore.autoscale.kubernetes.actuator import in_a_sentence
from metalore.autoscale.kubernetes.usage import ZoneMetrics
from metalore.autoscale.metrics import LoopMetrics
from metalore.autoscale.recommenders.hpa import HorizontalRule
from metalore.autoscale.registry import read_recommender
from metalore.cli._intents import with_intents
from metalore.serve.autoscaling import StreamedForecast
from metalore.zone.server import PROMETHEUS_TEXT, Answer, Pages

if TYPE_CHECKING:
    from types import FrameType

    from metalore.autoscale import Drift

EPOCH_S = 3 * 86_400.0
"""Time of the week at time 0 of the clock, a Thursday (UTC)."""
LATE_TICKS = 3
"""A controller that has not turned for so many intervals is not well."""


class SystemClock:
    """Seconds since 1970 when it was made, and from then on without leaps."""

    def __init__(self) -> None:
        self._offset_s = time.time() - time.monotonic()

    def now(self) -> float:
        """Seconds since 1970."""
        return self._offset_s + time.monotonic()

    def sleep_until(self, time_s: float) -> None:
        """Return at that time."""
        time.sleep(max(0.0, time_s - self.now()))


@dataclass(frozen=True)
class Cast:
    """Everything that `--kubernetes` can set, and `--apply`."""

    zones: KubernetesSettings
    lease: LeaseSettings
    backoff: Backoff


def cast_of(texts: Sequence[str], apply: bool) -> Cast:
    """Settings from texts like `take_over=kubectl` or `lease_s=30`.

    Raises:
        AutoscaleError: no such setting, or a value that cannot be.
    """
    kinds = (KubernetesSettings, LeaseSettings, Backoff)
    homes = {field.name: kind for kind in kinds for field in fields(kind) if field.name != "dry_run"}
    given: dict[type, dict[str, Any]] = {kind: {} for kind in kinds}
    given[KubernetesSettings]["dry_run"] = not apply
    for text in texts:
        name, _, value = text.partition("=")
        if name not in homes:
            raise unknown("setting", name, list(homes), "kubernetes")
        given[homes[name]][name] = _value(name, value, getattr(homes[name], name))
    return Cast(
        KubernetesSettings(**given[KubernetesSettings]),
        LeaseSettings(**given[LeaseSettings]),
        Backoff(**given[Backoff]),
    )


def _value(name: str, text: str, default: object) -> Any:
    """In the type of the default."""
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[text]
        if isinstance(default, float):
            return float(text)
    except (KeyError, ValueError):
        takes = "true or false" if isinstance(default, bool) else "one number"
        raise AutoscaleError(f"kubernetes.{name} is {text!r}; it takes {takes}") from None
    return tuple(part for part in text.split(",") if part) if isinstance(default, tuple) else text


def run(
    *,
    apply: bool,
    recommender: str,
    safety: Safety,
    interval_s: float,
    usage: str,
    forecaster: str | None,
    intents: Path | None,
    settings: Sequence[str],
    namespace: str | None,
    kubeconfig: str | None,
    context: str | None,
    health: tuple[str, int] | None,
    ticks: int | None,
    drift: Drift | None,
) -> None:
    """Turn the loop for ever, or so many times."""
    cast, clock = cast_of(settings, apply), SystemClock()
    name, of_recommender = read_recommender(recommender, EPOCH_S)
    logic = Logic(make_recommender(name, **of_recommender), HorizontalRule(), safety, drift)
    config, identity = config_of(kubeconfig, context), f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
    with closing(Cluster(config, namespace)) as cluster, closing(Cluster(config, namespace)) as beside:
        election = Election(beside, identity, time.monotonic, cast.lease)
        try:
            zones = KubernetesZones(
                cluster,
                clock,
                cast.zones,
                backoff=cast.backoff,
                leads=lambda: election.leads,
                told=_tell,
                identity=identity,
                seed=uuid.uuid4().int,
            )
        except httpx2.HTTPError as error:
            raise AutoscaleError(f"the zones are not known: {in_a_sentence(error)}") from None
        pulse = _Pulse(LATE_TICKS * interval_s + cast.backoff.patience_s, election)
        metrics = LoopMetrics(safety, interval_s, leads=(lambda: election.leads) if apply else None)

        forecast = _forecast(forecaster, Usage.nothing(zones.zones, interval_s))

        def report(tick: Tick) -> None:
            metrics.report(tick)
            pulse.beat(tick)

        controller = Controller(
            logic,
            zones,
            ZoneMetrics(zones.zones, usage, clock.now, interval_s=interval_s),
            clock,
            interval_s=interval_s,
            forecast=with_intents(intents, forecast, zones.zones, metrics.intent),
            report=report,
        )
        typer.echo(f"{len(zones.zones)} zones in namespace {cluster.namespace}; {'acts' if apply else 'a dry run'}")
        with _told_to_end(), _answering(health, pulse, metrics), _leading(election if apply else None):
            controller.tick()
            controller.run(None if ticks is None else ticks - 1)


def _forecast(folder: str | None, nothing: Usage) -> StreamedForecast | None:
    if folder is None:
        return None
    from metalore.forecast.checkpoint import load_forecaster
    from metalore.forecast.stream import Stream
    from metalore.serve.autoscaling import StreamedForecast

    return StreamedForecast(Stream(load_forecaster(folder)), nothing)


def _tell(act: Act) -> None:
    typer.echo(str(act))


class _Pulse:
    """Whether the loop goes on, and what went wrong in it.

    Args:
        late_s: after which it does not.
        election: whose leader is told.
    """

    def __init__(self, late_s: float, election: Election) -> None:
        self._late_s, self._began, self._last = late_s, time.monotonic(), float("-inf")
        self._election, self._holder = election, ""

    def beat(self, tick: Tick) -> None:
        """One more turn."""
        self._last = time.monotonic()
        for problem in (*tick.problems, self._election.problem):
            if problem:
                typer.echo(f"metalore: {problem}", err=True)
        if self._election.holder != self._holder:
            self._holder = self._election.holder
            typer.echo(f"{self._holder or 'nobody'} leads")

    def health(self) -> Answer:
        """Also before the first turn."""
        late = time.monotonic() - max(self._last, self._began) > self._late_s
        return (500, "text/plain", "the loop has stopped\n") if late else (200, "text/plain", "ok\n")

    def ready(self) -> Answer:
        """After the first turn."""
        return self.health() if self._last > self._began else (503, "text/plain", "it has not turned yet\n")


@contextmanager
def _answering(address: tuple[str, int] | None, pulse: _Pulse, metrics: LoopMetrics) -> Iterator[None]:
    """Probes and Prometheus are answered meanwhile."""
    if address is None:
        yield
        return
    pages = Pages(
        *address,
        {"/healthz": pulse.health, "/readyz": pulse.ready, "/metrics": lambda: (200, PROMETHEUS_TEXT, metrics.text())},
    )
    pages.start()
    try:
        yield
    finally:
        pages.close()


@contextmanager
def _leading(election: Election | None) -> Iterator[None]:
    """The lease is held meanwhile, if it can be had, and given back."""
    if election is None:
        yield
        return
    stopped = threading.Event()
    election.step()  # so that the first turn may act already
    thread = threading.Thread(target=election.run, args=(stopped,), name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


@contextmanager
def _told_to_end() -> Iterator[None]:
    """SIGTERM ends the block like Ctrl-C, but well."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(0)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
