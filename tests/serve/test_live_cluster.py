"""A cluster's changes on the live page, without a browser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from autoscale.kubernetes.things import deployment, pod
from autoscale.kubernetes.watched import WatchedServer, event, until, watched_server
from serve.serving import client_of, save_model
from starlette.testclient import TestClient

from metalore.autoscale import AutoscaleError
from metalore.autoscale.kubernetes import Backoff, watch
from metalore.autoscale.kubernetes.changes import Change
from metalore.serve.live import cluster as cluster_module
from metalore.serve.live import session as session_module
from metalore.serve.live.application import create_live_app
from metalore.serve.live.cluster import MOST_AT_ONCE, ClusterNews
from metalore.serve.live.wishes import Offer, Side, Wishes

ADDRESS = "ws://127.0.0.1:8080/live/socket"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "LEAD_IN", 0)
    monkeypatch.setattr(cluster_module, "EVERY_S", 0.02)
    monkeypatch.setattr(watch, "Backoff", lambda: Backoff(first_s=0.02, most_s=0.05))


@pytest.fixture
def server() -> Iterator[WatchedServer]:
    with watched_server() as found:
        found.objects["deployments"] = [deployment("market"), deployment("elsewhere")]
        found.objects["pods"] = [pod("market", "market-1")]
        yield found


def news(server: WatchedServer) -> ClusterNews:
    return ClusterNews(watch.connected(server.config()), "city")


class Page:
    """What a page of the live city is told about the cluster."""

    def __init__(self, socket: Any) -> None:
        self._socket, self.told = socket, list[dict[str, Any]]()
        self.state, self.zones = "", dict[str, str]()
        self.begun = False

    def sees_the_city(self) -> None:
        """Wait for it; what happens before it is there is not kept."""
        while not self.begun:
            self._read()

    def hears(self, text: str) -> dict[str, Any]:
        """The happening with a text, as soon as it comes."""
        while not (found := [one for one in self.told if text in one["text"]]):
            self._read()
        return found[-1]

    def sees(self, state: str) -> None:
        """Wait for a state."""
        while state not in self.state:
            self._read()

    def _read(self) -> None:
        message = self._socket.receive()
        content = json.loads(message["text"]) if message.get("text") else {"type": "picture"}
        if content["type"] == "happenings":
            self.told += [one for one in content["happenings"] if one["kind"] == "cluster"]
        elif content["type"] == "hello":
            self.begun = True
        elif content["type"] == "cluster":
            self.state = content["state"]
            for name, held in content["zones"].items():
                self.zones.pop(name, None) if held is None else self.zones.update({name: held})
        assert message["type"] != "websocket.close"

    def count(self, text: str) -> int:
        return sum(text in one["text"] for one in self.told)


@pytest.fixture
def page(server: WatchedServer) -> Iterator[Page]:
    offer = Offer(wishes=Wishes(scenario="city-30", side=Side(recommender="static")))
    app = create_live_app(offer, cluster=news(server))
    with TestClient(app, base_url="http://127.0.0.1:8080") as client, client.websocket_connect(ADDRESS) as socket:
        found = Page(socket)
        found.sees_the_city()
        found.sees("namespace 'city' is followed, 2 zones in it")
        until(lambda: server.open_streams() == 3, "three watches", 120.0)  # the first run compiles the simulator
        yield found


def test_what_the_controller_says_and_what_changes_is_told_as_it_occurs(server: WatchedServer, page: Page) -> None:
    assert page.zones["market"] == "requests and limits 1 CPU, 1G memory; bandwidth 100 Mbit/s"
    server.emit("deployments", "MODIFIED", deployment("market", cpu="2"))
    told = page.hears("1 CPU, 1G memory → 2 CPU")
    assert told["zone"] == "market"
    assert set(told) == {"time_s", "kind", "text", "zone"}
    server.emit("events", "ADDED", event("e", "1 cores -> 2 cores: guests are expected", about="market"))
    assert page.hears("Resized: 1 cores -> 2 cores: guests are expected")["zone"] == "market"
    server.emit("pods", "MODIFIED", pod("market", "market-1", cpu="2"))
    page.hears("pod market-1: requests and limits 1 CPU, 1G memory → 2 CPU, 1G memory")
    assert page.zones["market"].startswith("requests and limits 2 CPU")


def test_a_zone_of_another_city_is_named_in_the_text(server: WatchedServer, page: Page) -> None:
    server.emit("deployments", "DELETED", deployment("elsewhere"))
    told = page.hears("its Deployment is gone")
    assert told["text"] == "elsewhere: its Deployment is gone"
    assert "zone" not in told
    page.sees("1 zone in it")
    assert set(page.zones) == {"market"}


def test_a_server_that_goes_away_is_told_once_and_once_when_it_is_back(server: WatchedServer, page: Page) -> None:
    server.stop()
    page.sees("the API server does not answer")
    server.objects["deployments"][0] = deployment("market", cpu="3")
    server.start()
    page.hears("the API server answers again")
    page.hears("→ 3 CPU")  # what was missed
    page.sees("is followed, 2 zones")
    assert page.count("does not answer") == page.count("answers again") == 1


def test_what_the_rights_do_not_allow_is_said_in_one_sentence_and_the_rest_is_followed(server: WatchedServer) -> None:
    server.codes["events"] = 403
    app = create_live_app(Offer(wishes=Wishes(side=Side(recommender="static"))), cluster=news(server))
    with TestClient(app, base_url="http://127.0.0.1:8080") as client, client.websocket_connect(ADDRESS) as socket:
        page = Page(socket)
        page.sees_the_city()
        page.sees(
            "namespace 'city'; events in namespace 'city' cannot be followed: the API server denies it (403), "
            "the right to list and watch them is missing"
        )
        server.emit("deployments", "MODIFIED", deployment("market", cpu="2"))
        page.hears("→ 2 CPU")
        server.codes.clear()
        page.hears("events in namespace 'city' can be followed now")
        page.sees("is followed, 2 zones")


def test_the_city_lives_and_ends_while_the_cluster_is_away(server: WatchedServer) -> None:
    server.stop()
    app = create_live_app(Offer(wishes=Wishes(side=Side(recommender="static"))), cluster=news(server))
    with TestClient(app, base_url="http://127.0.0.1:8080") as client, client.websocket_connect(ADDRESS) as socket:
        page = Page(socket)
        page.sees("does not answer")
        kinds = set()
        while "interval" not in kinds:
            message = socket.receive()
            kinds.add(json.loads(message["text"])["type"] if message.get("text") else "picture")
        assert "picture" in kinds


def test_a_fault_in_following_ends_it_and_nothing_else(
    server: WatchedServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(cluster_module.Ledger, "listed", fail)
    app = create_live_app(Offer(wishes=Wishes(side=Side(recommender="static"))), cluster=news(server))
    with TestClient(app, base_url="http://127.0.0.1:8080") as client, client.websocket_connect(ADDRESS) as socket:
        Page(socket).sees("namespace 'city' is not followed any more; see the service's log")
    assert "following namespace city has failed" in caplog.text


class Hub:
    """Notes what it should tell."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, str]] = []

    def happened(self, kind: str, *notes: tuple[str, str]) -> None:
        self.notes += notes

    def tell(self, message: dict[str, Any]) -> None:
        pass


def test_of_very_many_changes_at_once_the_number_is_told(server: WatchedServer) -> None:
    found, hub = news(server), Hub()
    found._note(Change("market", str(i)) for i in range(100_000))
    assert len(found._waiting) == MOST_AT_ONCE
    found._tell_now(hub)  # type: ignore[arg-type]
    assert hub.notes[-2:] == [("market", str(MOST_AT_ONCE - 1)), ("", "and 99,950 further changes at once")]
    asyncio.run(found._http.aclose())


# -- at /live of the service -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("live") / "model"
    save_model(folder, name="last-value")
    return folder


def kubeconfig(server: WatchedServer, folder: Path) -> Path:
    text = json.dumps({
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.port}"}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [{"name": name, "context": {"cluster": "c", "user": "u", "namespace": name}} for name in "xy"],
        "current-context": "x",
    })  # fmt: skip
    (folder / "kubeconfig").write_text(text)
    return folder / "kubeconfig"


@pytest.mark.parametrize(
    ("settings", "namespace"),
    [({}, "x"), ({"live_context": "y"}, "y"), ({"live_namespace": "z"}, "z")],
)
def test_the_service_follows_the_namespace_that_is_set(
    server: WatchedServer, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any, namespace: str
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(server, tmp_path)))
    with client_of(model, live_cluster=True, **settings):
        until(lambda: server.open_streams() == 3, "three watches")
    assert {asked["path"].split("/")[-2] for asked in server.asked} == {namespace}


def test_by_default_the_service_follows_nothing(
    server: WatchedServer, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(server, tmp_path)))
    with client_of(model) as client:
        assert client.get("/live").status_code == 200
    assert server.asked == []


def test_a_service_without_a_cluster_to_follow_does_not_begin(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(AutoscaleError, match="no cluster to connect to"), client_of(model, live_cluster=True):
        pass
