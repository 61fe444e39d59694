"""`metalore live`: what it offers, what it refuses, and where it says the city is."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from cli.calling import call, refusal
from websockets.sync.client import connect

from metalore.cli.live import offer_of
from metalore.scenario import Scenario, ScenarioError, load
from metalore.serve.live.wishes import Wishes


def test_files_and_folders_can_be_named_on_the_command_line_only(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[users]\ncount = 4\n")
    path = str(tmp_path / "mine.toml")
    offer = offer_of(path, "last-value", "uniform", None, wishes={"seed": 3})
    assert offer.scenario(offer.wishes).users.count == 4
    assert offer.described()["scenarios"][0] == path
    with pytest.raises(ScenarioError, match="is not offered here"):
        offer.check(Wishes(scenario=str(tmp_path / "other.toml")))


def test_a_trained_policy_is_offered_by_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Scenario]] = []
    monkeypatch.setattr("metalore.learn.load_policy", lambda folder, scenario: asked.append((folder, scenario)))
    offer = offer_of("smart-city", "last-value", str(tmp_path), None, wishes={"side": {"split": str(tmp_path)}})
    assert asked == [(str(tmp_path), load("smart-city"))]
    assert offer.described()["splits"][0] == str(tmp_path)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--scenario", "city-31"], "city-31"),
        (["--split", "max-wait"], "did you mean 'max-weight'"),
        (["--recommender", "vpaa"], "did you mean 'vpa'"),
        (["--rival-recommender", "foresight"], "is handed the future"),
        (["--forecaster", "last-valu"], "did you mean 'last-value'"),
        (["--hour", "25"], "hour is 25"),
        (["--speed", "0"], "speed is 0"),
        (["--port", "70000"], "port is 70000"),
        (["--cluster", "--kubeconfig", "/nowhere/config"], "no cluster to connect to: "),
        (["--cluster", "--context", "moon"], "no cluster to connect to: "),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(options: list[str], sentence: str) -> None:
    assert sentence in refusal("live", "--no-open", *options)


@pytest.mark.parametrize("option", ["--namespace", "--kubeconfig", "--context"])
def test_which_cluster_without_a_cluster_is_refused(option: str) -> None:
    result = call("live", "--no-open", option, "city")
    assert result.exit_code == 2
    assert "add --cluster" in " ".join(result.output.replace("│", " ").split())


def test_how_a_film_is_taken_without_a_film_is_refused() -> None:
    result = call("live", "--no-open", "--fps", 10)
    assert result.exit_code == 2
    assert "add --record FILE" in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_port_in_use_is_refused_in_one_sentence(host: str) -> None:
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as other:
        port = other.getsockname()[1]
        sentence = refusal("live", "--no-open", "--host", host, "--port", port)
    assert sentence.startswith(f"nobody can listen at port {port} of {host} (Address already in use")


def test_the_address_leads_to_a_city_that_ends_with_the_command() -> None:
    command = "from metalore.cli import main; main()"
    options = ["live", "--no-open", "--port", "0", "--scenario", "smart-city-small", "--paused"]
    process = subprocess.Popen(
        [sys.executable, "-c", command, *options], stdout=subprocess.PIPE, text=True, env=os.environ.copy()
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"http://(127\.0\.0\.1:\d+)/live ", said)
        assert found, said
        assert "MetaLore live" in httpx.get(f"http://{found[1]}/live").text
        with connect(f"ws://{found[1]}/live/socket", origin=f"http://{found[1]}") as socket:
            while not isinstance(message := socket.recv(timeout=60), bytes):
                pass
            assert message[3] == 0  # it does not play yet
            process.terminate()
            process.wait(timeout=10)  # although somebody still looks
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
