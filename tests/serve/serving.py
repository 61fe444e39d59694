"""A service in a test: a tiny model, an app with a client, or a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from starlette.testclient import TestClient

from metalore.forecast import INTENT_SIZE, Edges, Panel, Split, make_forecaster, save_forecaster
from metalore.serve import ServeSettings, create_app

ZONES = ("north", "south", "west")
COLUMNS = ("cpu_cores", "latency_ms")
STEP_S = 60.0


def save_model(folder: Path, seed: int = 0, intent: bool = False, name: str = "stgnn", users: bool = True) -> None:
    """Fit a tiny forecaster to noise around a rhythm, and save it."""
    random = np.random.default_rng(seed)
    t = np.arange(200)
    values = 5 + np.sin(t / 9)[:, None, None] + 0.1 * random.standard_normal((200, len(ZONES), len(COLUMNS)))
    fields: dict[str, Any] = {}
    if users:
        fields = {"inputs": ("active_users",), "input_values": 10 * values[..., :1]}
    if intent:
        fields |= {"intent": random.standard_normal((len(ZONES), INTENT_SIZE))}
    panel = Panel(
        STEP_S * t, ZONES, COLUMNS, values, STEP_S, edges=Edges.of_matrix(np.ones((3, 3))), lowest=np.zeros(2),
        positions=np.arange(6).reshape(3, 2), **fields,
    )  # fmt: skip
    split = Split.by_parts(panel)
    settings: dict[str, Any] = {}
    if name == "stgnn":
        settings = {"window": 4, "hidden": 8, "hubs": 0, "past": False, "recipe": {"epochs": 1, "windows": 64}}
    forecaster = make_forecaster(name, **settings).fit(panel, split, (1, 3), seed=seed)
    save_forecaster(forecaster, folder, panel=panel, split=split)


def rows_at(time_s: float, value: float = 5.0) -> list[dict[str, Any]]:
    """A row of each zone."""
    return [{"time_s": time_s, "zone": zone, "active_users": 50, "cpu_cores": value, "latency_ms": 5.0}
            for zone in ZONES]  # fmt: skip


def settings_of(checkpoint: Path, **given: Any) -> ServeSettings:
    """That look for new checkpoints often."""
    return ServeSettings(**{"checkpoint": checkpoint, "reload_s": 0.05, **given})


@contextlib.contextmanager
def client_of(checkpoint: Path, **given: Any) -> Iterator[TestClient]:
    """A client of an app that runs; what fails in it is answered and not raised."""
    app = create_app(settings_of(checkpoint, **given))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


class Process:
    """`metalore serve` in a process of its own, on a free port."""

    def __init__(self, checkpoint: Path, **given: Any) -> None:
        environment = {f"METALORE_SERVE_{name.upper()}": str(value) for name, value in given.items()}
        command = "from metalore.cli import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", command, "serve", "--checkpoint", str(checkpoint), "--port", "0"],
            env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stderr is not None
        self.lines: list[str] = []
        for line in self.process.stderr:
            self.lines.append(line)
            if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                break
        else:
            raise AssertionError("".join(self.lines))
        self._draining = threading.Thread(target=self._drain)
        self._draining.start()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)

    def _drain(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)

    def kill(self) -> None:
        """At once, as the system does."""
        self.client.close()
        self.process.kill()
        self.process.wait(30)
        self._draining.join(30)
        assert self.process.stderr is not None
        self.process.stderr.close()


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The problem details of an answer."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    content: dict[str, Any] = json.loads(answer.content)
    assert content["status"] == status
    assert content["type"].startswith("urn:metalore:problem:")
    assert content["title"]
    assert content["detail"]
    return content
