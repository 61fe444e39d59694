"""A control plane and namespaces with zones, for tests."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Protocol, TypeVar

from lightkube import Client, KubeConfig, codecs
from lightkube.config.kubeconfig import SingleConfig
from lightkube.core.exceptions import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment, ReplicaSet
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import Event, Namespace, Pod, Service, ServiceAccount
from lightkube.types import PatchType

from metalore.autoscale.kubernetes import Backoff, Cluster, KubernetesSettings, KubernetesZones
from metalore.autoscale.kubernetes.retry import code_of
from metalore.autoscale.kubernetes.zone import rollout

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "kube-testbed"
HOME = Path(os.environ.get("KUBE_TESTBED", Path.home() / ".cache/metalore/kube-testbed"))
IMPATIENT = Backoff(first_s=0.05, most_s=0.2, patience_s=0.5)


def until(condition: Callable[[], Any], what: str, within_s: float = 60.0) -> None:
    """Wait for something to be so."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"{what} did not come about in {within_s:g} s"
        time.sleep(0.1)


class Closable(Protocol):
    """Something with connections."""

    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


class SystemClock:
    """The machine's."""

    def now(self) -> float:
        return time.time()

    def sleep_until(self, time_s: float) -> None:
        time.sleep(max(0.0, time_s - time.time()))


class Testbed:
    """A running control plane."""

    __test__ = False

    def __init__(self, run: Path) -> None:
        self._environment = os.environ | {"KUBE_RUN": str(run), "KUBE_PORT": str(_free_ports())}
        self.kubeconfig = run / "kubeconfig"

    def do(self, *words: str) -> None:
        subprocess.run([SCRIPT, *words], env=self._environment, check=True, stdout=subprocess.DEVNULL)

    def config(self) -> SingleConfig:
        found = KubeConfig.from_file(self.kubeconfig).get()
        assert found is not None
        return found


def _free_ports() -> int:
    """The first of five that nobody listens on."""
    for first in range(17_000 + os.getpid() % 2000 * 5, 32_000, 5):
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", first))
                other.bind(("127.0.0.1", first + 1))
            except OSError:
                continue
            return first
    raise RuntimeError("no free ports")


class City:
    """A namespace with zones, and what a test does with it.

    Attributes:
        client: with all rights.
    """

    def __init__(self, testbed: Testbed, namespace: str) -> None:
        self.testbed, self.namespace, self._connected = testbed, namespace, ExitStack()
        self.client = self.closing(Client(testbed.config(), namespace=namespace))
        self.client.create(Namespace(metadata=ObjectMeta(name=namespace)))
        until(lambda: list(self.client.list(ServiceAccount)), "the service account")

    def closing(self, client: C) -> C:
        """The same, to be closed after the test."""
        return self._connected.enter_context(closing(client))

    def close(self) -> None:
        """End all connections."""
        self._connected.close()

    def create(self, text: str, manager: str = "kubectl") -> None:
        """Apply manifests as a person does."""
        for thing in codecs.load_all_yaml(text):
            self.client.apply(thing, field_manager=manager)

    def cluster(self) -> Cluster:
        return self.closing(Cluster(self.testbed.config(), self.namespace))

    def zones(self, *, backoff: Backoff = IMPATIENT, **settings: Any) -> KubernetesZones:
        """An actuator that acts and may take over from kubectl, unless told otherwise."""
        chosen = KubernetesSettings(**{"dry_run": False, "take_over": ("kubectl",)} | settings)
        return KubernetesZones(self.cluster(), SystemClock(), chosen, backoff=backoff, identity="test")

    def deployment(self, name: str = "zone-000") -> Deployment:
        return self.client.get(Deployment, name)

    def sizes(self, name: str = "zone-000") -> dict[str, dict[str, str]]:
        """Requests and limits of a zone's template."""
        (container,) = self.deployment(name).spec.template.spec.containers
        return {"requests": container.resources.requests, "limits": container.resources.limits}

    def finish_rollouts(self) -> None:
        """Play the kubelet until all Deployments are complete: every pod runs and is ready."""

        def complete() -> bool:
            for pod in self.client.list(Pod):
                if pod.status.phase == "Pending":
                    self._start(pod.metadata.name)
            return not any(rollout(deployment) for deployment in self.client.list(Deployment))

        until(complete, "the rollout")

    def _start(self, pod: str) -> None:
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        try:
            self.client.patch(Pod.Status, pod, {"status": status}, patch_type=PatchType.MERGE)
        except ApiError as error:
            if code_of(error) != 404:  # it was replaced meanwhile
                raise

    def versions(self) -> dict[tuple[str, str], str]:
        """Resource versions of everything that a controller could touch."""
        return {
            (kind.__name__, thing.metadata.name): thing.metadata.resourceVersion
            for kind in (Deployment, ReplicaSet, Pod, Event, Service, Lease)
            for thing in self.client.list(kind)
        }
