"""A real Prometheus scrapes a real `metalore serve` and a loop, with the real rules on a clock sixty times as fast."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from monitoring.files import DASHBOARDS, MONITORING, PROMETHEUS, needs_prometheus, queries, rules

pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")
pytest.importorskip("fastapi", reason="fastapi is not installed")

from metalore.autoscale import (
    Actuator,
    Applied,
    Controller,
    Decision,
    Drift,
    Forecasts,
    Logic,
    Safety,
    Usage,
    make_recommender,
)
from metalore.autoscale.metrics import LoopMetrics, exposed
from metalore.forecast import Panel, Split, make_forecaster, save_forecaster

pytestmark = needs_prometheus

ZONES = ("north", "south")
COLUMNS = ("cpu_cores", "memory_mb", "bandwidth_mbps", "latency_ms")
USUAL = (1.0, 500.0, 20.0, 900.0)
FASTER = 60
SETTLED_S = 30.0
"""Within which every query has series, from the first scrape on."""


def save_model(folder: Path) -> None:
    """A forecaster with intervals of 1 s."""
    random, t = np.random.default_rng(0), np.arange(200.0)
    values = np.array(USUAL) * (1 + 0.1 * random.random((200, len(ZONES), len(COLUMNS))))
    panel = Panel(t, ZONES, COLUMNS, values, 1.0, lowest=np.zeros(len(COLUMNS)))
    split = Split.by_parts(panel)
    save_forecaster(make_forecaster("last-value").fit(panel, split, (1, 3), seed=0), folder, panel=panel, split=split)


def repeatedly(work: Callable[[], object], every_s: float, stopped: threading.Event) -> threading.Thread:
    """Do something again and again in a thread."""

    def run() -> None:
        while not stopped.wait(every_s):
            work()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


class Zones(Actuator):
    """Zones that take what they are told."""

    zones = ZONES

    def __init__(self) -> None:
        self.given = np.array([[2.0, 1000.0, 100.0]] * len(ZONES))

    def allocations(self) -> np.ndarray:
        return self.given

    def apply(self, decision: Decision) -> Applied:
        self.given = decision.after
        return Applied(np.ones(len(ZONES), bool))


class SystemClock:
    """Unix time."""

    def now(self) -> float:
        return time.time()

    def sleep_until(self, time_s: float) -> None:
        time.sleep(max(0.0, time_s - time.time()))


class Loop:
    """A controller that turns every second, and its forecaster, which can fall silent."""

    def __init__(self) -> None:
        safety = Safety(upper=(8.0, 4096.0, 1000.0))
        self.metrics = LoopMetrics(safety, 1.0, leads=lambda: True)
        self._random, self._forecasts, self.silent = np.random.default_rng(1), None, False
        rule = make_recommender("hpa")
        controller = Controller(
            Logic(make_recommender("forecast"), rule, safety, Drift()), Zones(), self._observe, SystemClock(),
            interval_s=1.0, forecast=self._forecast, report=self.metrics.report,
        )  # fmt: skip
        self.turn = controller.tick

    def _observe(self) -> Usage:
        times = np.floor(time.time()) - np.arange(10.0, 0, -1)
        noise = 1 + 0.1 * self._random.random((len(times), len(ZONES), 1))
        latency = 900.0 * noise[..., 0]
        others = {"active_users": 20 * noise[..., 0], "latency_ms": latency}
        return Usage(times, ZONES, np.array(USUAL[:3]) * noise, 1.0, None, others)

    def _forecast(self, usage: Usage, now_s: float) -> Forecasts | None:
        if not self.silent:
            made_at = float(usage.times[-1]) + 1.0
            values = np.array(USUAL[:3])[None, None, :, None] * np.array([1.0, 1.1])
            self._forecasts = Forecasts(
                made_at, made_at + np.arange(30.0), 1.0, (0.5, 0.9), np.tile(values, (2, 30, 1, 1))
            )
        return self._forecasts


class Service:
    """`metalore serve` in a process of its own."""

    def __init__(self, checkpoint: Path) -> None:
        command = [
            sys.executable,
            "-c",
            "from metalore.cli import main; main()",
            "serve",
            "--port",
            "0",
            "--checkpoint",
        ]
        self.process = subprocess.Popen([*command, str(checkpoint)], stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        said = ""
        for line in self.process.stderr:
            said += line
            if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                break
        else:
            raise AssertionError(said)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10)

    def stop(self) -> None:
        """End."""
        self.client.close()
        self.process.terminate()
        self.process.communicate(timeout=30)


class Prometheus:
    """A server of its own, with its storage in a folder of the test."""

    def __init__(self, folder: Path, service: int, controller: int) -> None:
        config = yaml.safe_load((MONITORING / "local.yml").read_text())
        config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
        ports = {"metalore-service": service, "metalore-controller": controller}
        jobs = [job for job in config["scrape_configs"] if job["job_name"] in ports]
        for job in jobs:
            job["static_configs"] = [{"targets": [f"127.0.0.1:{ports[job['job_name']]}"]}]
        config["scrape_configs"] = jobs
        config["rule_files"] = [f"{path.name}" for path in PROMETHEUS.glob("*.rules.yml")]
        for name in config["rule_files"]:
            (folder / name).write_text(faster((PROMETHEUS / name).read_text()))
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self._log = (folder / "log").open("w")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address={self.address}"], stdout=self._log, stderr=self._log,
        )  # fmt: skip

    def get(self, path: str, **asked: str) -> Any:
        """What the API answers."""
        address = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(asked)}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            return json.load(answer)["data"]

    def values(self, query: str) -> list[float]:
        """Newest values of a query that are numbers."""
        found = [float(series["value"][1]) for series in self.get("query", query=query)["result"]]
        return [value for value in found if value == value]

    def firing(self) -> set[tuple[str, str]]:
        """Alerts that fire, each with the job it is about."""
        found = self.get("alerts")["alerts"]
        return {(a["labels"]["alertname"], a["labels"].get("job", "")) for a in found if a["state"] == "firing"}

    def stop(self) -> None:
        """End."""
        self.process.terminate()
        self.process.wait(20)
        self._log.close()


def faster(text: str) -> str:
    """Rules whose durations are sixty times shorter."""
    seconds = {"m": 60, "h": 3600, "d": 86_400}
    return re.sub(
        r"(for: |\[)(\d+)([mhd])", lambda found: f"{found[1]}{int(found[2]) * seconds[found[3]] // FASTER}s", text
    )


class Watched:
    """Everything that runs."""

    def __init__(self, prometheus: Prometheus, loop: Loop, feeding: threading.Event) -> None:
        self.prometheus, self.loop, self.feeding = prometheus, loop, feeding


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("monitoring")
    save_model(folder / "model")
    service, loop, stopped, fed = Service(folder / "model"), Loop(), threading.Event(), threading.Event()
    began = time.time()

    def feed() -> None:
        time_s = 200 + float(int(time.time() - began))
        rows = [{"time_s": time_s, "zone": zone, **dict(zip(COLUMNS, USUAL, strict=True))} for zone in ZONES]
        service.client.post("/observe", json={"rows": rows}).raise_for_status()
        service.client.post("/predict", json={"zone_name": "north", "active_users": 5})
        service.client.get("/nothing")

    with exposed(loop.metrics, port=0) as port:
        prometheus = Prometheus(folder, service.port, port)
        threads = [repeatedly(loop.turn, 1.0, stopped), repeatedly(feed, 0.5, fed)]
        try:
            yield Watched(prometheus, loop, fed)
        finally:
            prometheus.stop()
            stopped.set()
            fed.set()
            for thread in threads:
                thread.join()
            service.stop()


def eventually(check: Callable[[], bool], within_s: float) -> bool:
    """Whether something comes true in time."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            if check():
                return True
        except OSError:  # not up yet
            pass
        time.sleep(0.25)
    return False


def test_both_are_scraped_and_all_rules_are_loaded_and_well(watched: Watched) -> None:
    prometheus = watched.prometheus
    assert eventually(lambda: prometheus.values("sum(up)") == [2.0], SETTLED_S)
    count = len(rules("alert")) + len(rules("record"))
    loaded: list[dict[str, Any]] = []

    def evaluated() -> bool:
        loaded[:] = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
        return len(loaded) == count and all(rule["health"] != "unknown" for rule in loaded)

    assert eventually(evaluated, SETTLED_S)
    assert [rule["name"] for rule in loaded if rule["health"] != "ok"] == []


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
@pytest.mark.parametrize("forecaster", ["metalore-service", "metalore-controller"])
def test_every_query_of_every_dashboard_returns_series(watched: Watched, path: Path, forecaster: str) -> None:
    missing: list[tuple[str, str]] = queries(path, interval="5s", horizon="1", forecaster=forecaster)

    def answered() -> bool:
        missing[:] = [(title, query) for title, query in missing if not watched.prometheus.values(query)]
        return not missing

    eventually(answered, SETTLED_S)
    assert missing == []


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_variables_have_values(watched: Watched, path: Path) -> None:
    for variable in json.loads(path.read_text())["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"])
            assert found is not None
            names = watched.prometheus.get(f"label/{found[2]}/values", **{"match[]": found[1]})
            assert names, variable["name"]


def test_an_alert_fires_when_the_forecaster_of_either_goes_stale_and_not_before(watched: Watched) -> None:
    prometheus, alert = watched.prometheus, "MetaloreForecasterStale"
    assert prometheus.values("min(metalore_staleness_seconds)")
    both = {(alert, "metalore-service"), (alert, "metalore-controller")}
    assert eventually(lambda: not both & prometheus.firing(), SETTLED_S)
    watched.loop.silent = True
    watched.feeding.set()
    assert eventually(lambda: both <= prometheus.firing(), SETTLED_S), prometheus.firing()
