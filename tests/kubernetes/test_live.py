"""The live page on a real API server: it tells what the controller does, outlives the server, and needs few rights."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from kubernetes.cities import ROOT, City
from lightkube import codecs
from lightkube.config import client_adapter
from lightkube.config.kubeconfig import SingleConfig
from lightkube.config.models import User
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ServiceAccount
from lightkube.types import PatchType
from starlette.testclient import TestClient

from metalore.autoscale import Decision, Reason
from metalore.autoscale.kubernetes.watch import DEPLOYMENTS, Hindrance, Kind, Object, Watch, What, connected
from metalore.serve.live import session as session_module
from metalore.serve.live.application import create_live_app
from metalore.serve.live.cluster import ClusterNews
from metalore.serve.live.wishes import Offer, Side, Wishes

RIGHTS = ROOT / "deploy/overlays/live/rbac.yaml"
NAMES = ("zone-000", "zone-001")
AS_MADE = [0.25, 256.0, 100.0]


def give_rights(city: City) -> None:
    """Those of deploy/."""
    for thing in codecs.load_all_yaml(RIGHTS.read_text(encoding="utf-8")):
        if thing.kind == "RoleBinding":
            thing.subjects[0].namespace = city.namespace
        city.client.apply(thing, field_manager="kubectl")


def as_service(city: City) -> SingleConfig:
    """The identity of the service, without any rights yet."""
    account = ServiceAccount(metadata=ObjectMeta(name="metalore-service"))
    city.client.apply(account, field_manager="kubectl")
    config = city.testbed.config()
    with client_adapter.Client(config, client_adapter.ConnectionParams()) as http:
        answer = http.post(
            f"/api/v1/namespaces/{city.namespace}/serviceaccounts/metalore-service/token",
            json={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
        )
    answer.raise_for_status()
    return config._replace(user=User(token=answer.json()["status"]["token"]))


def grow(city: City, cores: float) -> None:
    """The controller's actuator gives the first zone so many cores."""
    zones = city.zones()
    before = zones.allocations()
    after = np.array([[cores, *AS_MADE[1:]], before[1]])
    reasons = tuple((Reason("forecast", f"{zone} expects guests <b>"),) for zone in NAMES)
    applied = zones.apply(Decision(60.0, NAMES, before, after, reasons))
    assert applied.problems == ()


class Lists:
    """Notes what is listed, and when it is followed."""

    def __init__(self) -> None:
        self.names: list[list[str]] = []
        self.followed = asyncio.Event()

    def listed(self, kind: Kind, objects: Sequence[Object]) -> None:
        self.names.append([thing["metadata"]["name"] for thing in objects])

    def changed(self, kind: Kind, what: What, thing: Object) -> None:
        pass

    def hindered(self, kind: Kind, hindrance: Hindrance | None) -> None:
        assert hindrance is None
        if self.names:
            self.followed.set()


def test_a_version_that_the_server_has_forgotten_is_listed_anew(city: City) -> None:
    for word in ("stop", "start"):  # it remembers no version from before its start
        city.testbed.do(word, "apiserver")

    async def follow() -> list[list[str]]:
        lists = Lists()
        async with connected(city.testbed.config()) as http:
            watch = Watch(http, city.namespace, DEPLOYMENTS, lists)
            watch._version = "1"
            task = asyncio.create_task(watch.run())
            await asyncio.wait_for(lists.followed.wait(), 30)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return lists.names

    assert asyncio.run(follow()) == [list(NAMES)]


def test_the_page_tells_what_is_done_outlives_the_server_and_says_which_rights_it_lacks(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "LEAD_IN", 0)
    news = ClusterNews(connected(as_service(city)), city.namespace)
    offer = Offer(wishes=Wishes(scenario="city-30", side=Side(recommender="static")))
    told: list[str] = []
    with (
        TestClient(create_live_app(offer, cluster=news), base_url="http://127.0.0.1:8080") as client,
        client.websocket_connect("ws://127.0.0.1:8080/live/socket") as socket,
    ):
        state = ""

        def read() -> None:
            nonlocal state
            message: Any = socket.receive()
            content = json.loads(message["text"]) if message.get("text") else {"type": "picture"}
            if content["type"] == "happenings":
                told.extend(one["text"] for one in content["happenings"] if one["kind"] == "cluster")
            elif content["type"] == "cluster":
                state = content["state"]

        def hear(*texts: str) -> None:
            while not any(all(text in one for text in texts) for one in told):
                read()

        while state.count("the right to list and watch them is missing") < 3:  # each kind by itself
            read()
        give_rights(city)
        while "is followed, 2 zones" not in state:
            read()

        grow(city, 0.5)
        hear("zone-000: requests and limits 250m CPU, 256M memory → 500m CPU, 256M memory, by metalore-autoscaler")
        hear("zone-000: Resized: 0.25 cores", "-> 0.5 cores", "zone-000 expects guests <b>")
        patch = {"metadata": {"annotations": {"metalore.io/bandwidth-mbps": "70"}}}
        city.client.patch(Deployment, "zone-001", patch, patch_type=PatchType.MERGE, field_manager="somebody")
        hear("zone-001: bandwidth 100 Mbit/s → 70 Mbit/s, by somebody")

        city.testbed.do("stop", "apiserver")
        while "the API server does not answer" not in state:
            read()
        city.testbed.do("start", "apiserver")
        hear("the API server answers again")
        grow(city, 2.0)
        hear("500m CPU, 256M memory → 2 CPU, 256M memory, by metalore-autoscaler")
        hear("Resized: 0.5 cores", "-> 2 cores")
    assert sum("does not answer" in one for one in told) == sum("answers again" in one for one in told) == 1
    assert sum("Resized" in one for one in told) == 2  # nothing is told twice, although all was listed anew
