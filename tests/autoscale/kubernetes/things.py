"""Objects of a cluster, and an API server that answers as it is told."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import httpx2
import numpy as np
from lightkube.config.kubeconfig import SingleConfig
from lightkube.config.models import Cluster as ClusterEntry
from lightkube.config.models import Context, User
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Pod
from lightkube.resources.policy_v1 import PodDisruptionBudget

from metalore.autoscale import Decision, Reason
from metalore.autoscale.kubernetes import Cluster

CONFIG = SingleConfig(
    context_name="test",
    context=Context(cluster="test", user="test", namespace="city"),
    cluster=ClusterEntry(server="http://127.0.0.1:1"),
    user=User(token="secret"),
)


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Both, the second over the first."""
    found = copy.deepcopy(base)
    for name, value in changes.items():
        both = isinstance(value, dict) and isinstance(found.get(name), dict)
        found[name] = merged(found[name], value) if both else value
    return found


def resources(cpu: str, memory: str) -> dict[str, Any]:
    return {part: {"cpu": cpu, "memory": memory} for part in ("requests", "limits")}


def deployment(name: str = "a", cpu: str = "1", memory: str = "1G", **changes: Any) -> dict[str, Any]:
    """A zone whose rollout is complete."""
    base = {
        "metadata": {
            "name": name,
            "namespace": "city",
            "generation": 1,
            "resourceVersion": "1",
            "labels": {"metalore.io/zone": name},
            "annotations": {"metalore.io/bandwidth-mbps": "100"},
        },
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"metalore.io/zone": name}},
            "template": {"spec": {"containers": [{"name": "zone", "resources": resources(cpu, memory)}]}},
        },
        "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
    }
    return merged(base, changes)


def pod(zone: str = "a", name: str = "a-1", cpu: str = "1", memory: str = "1G", **changes: Any) -> dict[str, Any]:
    base = {
        "metadata": {"name": name, "namespace": "city", "labels": {"metalore.io/zone": zone}},
        "spec": {"containers": [{"name": "zone", "resources": resources(cpu, memory)}]},
        "status": {"phase": "Running"},
    }
    return merged(base, changes)


def budget(allowed: int, **selector: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "guard", "namespace": "city"},
        "spec": {"selector": selector or {"matchLabels": {"metalore.io/zone": "a"}}},
        "status": {"disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1},
    }


def typed_deployment(**changes: Any) -> Deployment:
    return Deployment.from_dict(deployment(**changes))


def typed_pod(**changes: Any) -> Pod:
    return Pod.from_dict(pod(**changes))


def typed_budget(allowed: int, **selector: Any) -> PodDisruptionBudget:
    return PodDisruptionBudget.from_dict(budget(allowed, **selector))


def decision(before: Any, after: Any, zones: tuple[str, ...] = ("a",)) -> Decision:
    reasons = tuple((Reason("forecast", f"{zone} expects guests"),) for zone in zones)
    return Decision(60.0, zones, np.array(before, float), np.array(after, float), reasons)


class FakeClock:
    """Time that goes on when somebody sleeps."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s, self.slept = now_s, list[float]()

    def now(self) -> float:
        return self.now_s

    def sleep_until(self, time_s: float) -> None:
        self.slept.append(time_s - self.now_s)
        self.now_s = time_s


class FakeServer:
    """Answers lists from what it holds, and everything else from `answers` or with the request's own body.

    Attributes:
        objects: by plural.
        resize: whether it has pods/resize.
        trouble: what the next writes meet, in turn: an answer, or an exception. None: nothing.
        requests: that came, but for reads: method, path, parameters, body.
    """

    def __init__(self, *deployments: dict[str, Any], resize: bool = False) -> None:
        self.objects: dict[str, list[dict[str, Any]]] = {
            "deployments": list(deployments),
            "pods": [],
            "poddisruptionbudgets": [],
        }
        self.resize = resize
        self.trouble: list[httpx2.Response | Exception | None] = []
        self.read_trouble: list[httpx2.Response | Exception | None] = []
        self.requests: list[tuple[str, str, dict[str, str], dict[str, Any]]] = []
        self.before_read: Callable[[], None] = lambda: None

    def cluster(self) -> Cluster:
        return Cluster(CONFIG, transport=httpx2.MockTransport(self._answer))

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if request.method == "GET":
            self.before_read()
            _meet(self.read_trouble)
            return self._read(path)
        body = json.loads(request.content)
        self.requests.append((request.method, path, dict(request.url.params), body))
        return _meet(self.trouble) or httpx2.Response(200, json=self._written(path, body))

    def _written(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What the server would say; it keeps nothing."""
        named = [
            thing for thing in self.objects["deployments"] if path.endswith("/deployments/" + thing["metadata"]["name"])
        ]
        return named[0] if named else body

    def _read(self, path: str) -> httpx2.Response:
        if path == "/api/v1":
            names = ["pods", "pods/resize"] if self.resize else ["pods"]
            return httpx2.Response(200, json={"resources": [{"name": name} for name in names]})
        if path == "/apis/policy":
            return httpx2.Response(200, json={"versions": [{"version": "v1"}]})
        *_, plural, name = path.split("/")
        if plural == "deployments":
            found = [thing for thing in self.objects[plural] if thing["metadata"]["name"] == name]
            return httpx2.Response(200, json=found[0])
        return httpx2.Response(200, json={"metadata": {}, "items": self.objects[name]})

    def patched(self) -> list[str]:
        """Last parts of the paths that were patched."""
        return [path.partition("/city/")[2] for method, path, _, _ in self.requests if method == "PATCH"]

    def events(self) -> list[dict[str, Any]]:
        return [body for method, _, _, body in self.requests if method == "POST"]


def _meet(trouble: list[httpx2.Response | Exception | None]) -> httpx2.Response | None:
    met = trouble.pop(0) if trouble else None
    if isinstance(met, Exception):
        raise met
    return met


def refusal(code: int, message: str, *, causes: Any = (), headers: dict[str, str] | None = None) -> httpx2.Response:
    status = {
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "message": message,
        "details": {"causes": [dict(zip(("reason", "field", "message"), cause, strict=True)) for cause in causes]},
    }
    return httpx2.Response(code, json=status, headers=headers)
