"""`metalore autoscale --actuator kubernetes` and `metalore zone`: options, refusals, files."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from autoscale.kubernetes.things import FakeServer, deployment
from cli.calling import call, refusal

from metalore.autoscale import AutoscaleError
from metalore.cli import _kubernetes
from metalore.cli._kubernetes import cast_of
from metalore.forecast import Panel, Split, make_forecaster, save_forecaster

RUN = ("autoscale", "--actuator", "kubernetes")
NOWHERE = """
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: u, user: {token: t}}]
"""


def test_settings_are_read_in_the_type_that_they_have() -> None:
    cast = cast_of(["take_over=kubectl,helm", "in_place=false", "urgent=1", "lease_s=30", "patience_s=5"], apply=True)
    assert (cast.zones.take_over, cast.zones.in_place, cast.zones.urgent) == (("kubectl", "helm"), False, 1.0)
    assert (cast.lease.lease_s, cast.backoff.patience_s) == (30.0, 5.0)
    assert not cast.zones.dry_run
    assert cast_of([], apply=False).zones.dry_run


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dry_run=false", "kubernetes has no setting 'dry_run'"),
        ("takeover=kubectl", "did you mean 'take_over'"),
        ("in_place=maybe", "it takes true or false"),
        ("lease_s=long", "it takes one number"),
        ("lease_s=5", "each must be longer than the next"),
        ("controlled=all", "it must be one of requests-and-limits, requests"),
    ],
)
def test_settings_that_cannot_be_are_refused(text: str, words: str) -> None:
    with pytest.raises(AutoscaleError, match=re.escape(words)):
        cast_of([text], apply=False)


def test_a_cluster_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(NOWHERE)
    said = refusal(*RUN, "--kubeconfig", tmp_path / "config", "--kubernetes", "patience_s=0")
    assert said.startswith("the zones are not known: the API server did not answer: ConnectError")
    assert "no cluster to connect to" in refusal(*RUN, "--kubeconfig", tmp_path / "none")
    assert "no cluster to connect to" in refusal(*RUN, "--kubeconfig", tmp_path / "config", "--context", "d")


@pytest.mark.parametrize("apply", [False, True])
def test_the_loop_shows_its_metrics_beside_its_probes(
    apply: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(NOWHERE)
    server, said = FakeServer(deployment("arena")), dict[str, str]()
    monkeypatch.setattr(_kubernetes, "Cluster", lambda config, namespace: server.cluster())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def look() -> None:
        """In the middle of a turn; the first looks come before anybody answers."""
        for page in ("healthz", "readyz", "metrics"):
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=10) as answer:
                said[page] = answer.read().decode()

    server.before_read = look
    rest = ("--recommender", "hpa", "--interval", 1, "--ticks", 2, "--usage", "http://127.0.0.1:9/{zone}")
    call(*RUN, "--kubeconfig", tmp_path / "config", "--health-port", port, *rest, *(["--apply"] if apply else []))
    assert (said["healthz"], said["readyz"]) == ("ok\n", "ok\n")
    assert 'metalore_allocation{resource="cpu_cores",zone="arena"} 1.0\n' in said["metrics"]
    assert 'metalore_decisions_total{reason="hpa"} 1.0\n' in said["metrics"]
    assert "metalore_loop_seconds_count 1.0\n" in said["metrics"]
    assert ("metalore_leader 0.0\n" in said["metrics"]) is apply  # there is no lease on that server


def test_intents_are_judged_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text(NOWHERE)
    server, said = FakeServer(deployment("arena")), dict[str, str]()
    monkeypatch.setattr(_kubernetes, "Cluster", lambda config, namespace: server.cluster())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def look() -> None:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            said["metrics"] = answer.read().decode()

    server.before_read = look
    values = 1 + 0.1 * np.random.default_rng(0).random((60, 1, 1))
    panel = Panel(np.arange(60.0), ("arena",), ("cpu_cores",), values, 1.0, lowest=np.zeros(1))
    split = Split.by_parts(panel)
    save_forecaster(make_forecaster("last-value").fit(panel, split, (1,)), tmp_path / "kept", panel=panel, split=split)
    intents = tmp_path / "intents.json"
    policies = {"fair": {"words": "a fair: people buy and sell", "changes": {"arena": 0.5}}}
    past = {"texts": ["people buy"], "policy": "fair", "from_s": 0, "until_s": 60}  # in 1970
    intents.write_text(json.dumps({"policies": policies, "intents": [past]}))
    rest = ("--interval", 1, "--ticks", 2, "--usage", "http://127.0.0.1:9/{zone}", "--health-port", port)
    words = (*RUN, "--kubeconfig", tmp_path / "config", *rest, "--intents", intents)
    result = call(*words, "--forecaster", tmp_path / "kept")
    ruling = "intent 0 (fair) is rejected: its time was over before a forecast reached it\n"
    assert result.stdout.count(ruling) == 1
    assert 'metalore_intents_total{outcome="rejected"} 1.0\n' in said["metrics"]
    assert 'metalore_intents_total{outcome="accepted"} 0.0\n' in said["metrics"]
    assert "there are none; use" in refusal(*words)


@pytest.mark.parametrize("words", [("autoscale",), ("autoscale", "--actuator", "nomad"), ("zone", "manifests")])
def test_what_is_missing_is_asked_for(words: tuple[str, ...]) -> None:
    assert call(*words).exit_code == 2


def test_manifests_go_to_a_file(tmp_path: Path) -> None:
    call("zone", "manifests", "--zones", 2, "--out", tmp_path / "zones.yaml")
    text = (tmp_path / "zones.yaml").read_text()
    assert text == call("zone", "manifests", "--zones", 2).stdout
    assert text.startswith("# Written by: metalore zone manifests --zones 2 --cores 0.25")
    assert refusal("zone", "manifests", "--zones", 0) == "0 zones cannot be; at least 1"


def test_a_zone_serves_until_it_is_told_to_end() -> None:
    metalore = Path(sys.executable).parent / "metalore"
    command = [metalore, "zone", "--port", "0", "--users", "2", "--name", "arena"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as zone:
        try:
            assert zone.stdout is not None
            address = zone.stdout.readline().split()[-1]
            with urllib.request.urlopen(address + "/metrics", timeout=30) as answer:
                assert 'metalore_zone_active_users{zone="arena"} 2.0' in answer.read().decode()
        finally:
            zone.terminate()
        assert zone.wait(timeout=30) == 0
