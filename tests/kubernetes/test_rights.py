"""The Role of deploy/ is enough for everything that the controller does, and for nothing else; all of it is valid."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import httpx2
import numpy as np
import pytest
import yaml
from kubernetes.cities import IMPATIENT, ROOT, City, SystemClock, Testbed, until
from lightkube import Client, codecs
from lightkube.config import client_adapter
from lightkube.config.kubeconfig import SingleConfig
from lightkube.config.models import User
from lightkube.core.exceptions import ApiError
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.coordination_v1 import Lease
from lightkube.resources.core_v1 import Namespace, Pod, Secret
from lightkube.resources.rbac_authorization_v1 import Role
from lightkube.types import PatchType

from metalore.autoscale import Decision, Reason
from metalore.autoscale.kubernetes import Cluster, Election, KubernetesSettings, KubernetesZones, LeaseSettings

DEPLOY = ROOT / "deploy"
RIGHTS = DEPLOY / "base/autoscaler/rbac.yaml"
ONLY_NEWER = {("pods/resize", "patch")}
"""What Kubernetes 1.20 has no use for."""
BEFORE = np.array([[0.25, 256.0, 100.0]] * 2)


class Recorder(httpx2.BaseTransport):
    """Passes requests on and notes what was asked for."""

    def __init__(self, config: SingleConfig) -> None:
        assert config.user is not None
        verify = client_adapter.verify_cluster(config.cluster, config.user, config.abs_file)
        self._inner, self.used = httpx2.HTTPTransport(verify=verify), set[tuple[str, str]]()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        _, found, rest = request.url.path.partition("/namespaces/")
        if found:
            _, plural, *name = rest.split("/")
            verb = {"GET": "get" if name else "list", "POST": "create", "PUT": "update", "PATCH": "patch"}
            self.used.add((plural, verb[request.method]))
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


def as_service_account(city: City) -> SingleConfig:
    """The controller's identity, with the Role of deploy/."""
    for thing in codecs.load_all_yaml(RIGHTS.read_text(encoding="utf-8")):
        if thing.kind == "RoleBinding":
            thing.subjects[0].namespace = city.namespace
        city.client.apply(thing, field_manager="kubectl")
    config = city.testbed.config()
    with client_adapter.Client(config, client_adapter.ConnectionParams()) as http:
        answer = http.post(
            f"/api/v1/namespaces/{city.namespace}/serviceaccounts/metalore-autoscaler/token",
            json={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
        )
    answer.raise_for_status()
    return config._replace(user=User(token=answer.json()["status"]["token"]))


def test_the_role_is_enough_and_every_part_of_it_is_used(city: City) -> None:
    config = as_service_account(city)
    recorder = Recorder(config)
    cluster = city.closing(Cluster(config, city.namespace, transport=recorder))
    election = Election(cluster, "me", SystemClock().now, LeaseSettings())
    election.step()
    election.step()
    assert (election.leads, election.problem) == (True, "")
    settings = KubernetesSettings(dry_run=False, take_over=("kubectl",))
    zones = KubernetesZones(cluster, SystemClock(), settings, backoff=IMPATIENT, leads=lambda: election.leads)
    old = cluster.deployments()
    city.client.patch(Deployment, "zone-000", {"metadata": {"annotations": {"changed": "meanwhile"}}})
    cluster.deployments = lambda: old  # type: ignore[method-assign]  # so that it has to look again
    after = np.array([[1.25, 256.0, 100.0], [0.25, 256.0, 100.0]])
    applied = zones.apply(Decision(0.0, zones.zones, BEFORE, after, ((Reason("x", "y"),),) * 2))
    assert (applied.done.tolist(), applied.problems) == ([True, True], ())

    (role,) = [part for part in yaml.safe_load_all(RIGHTS.read_text(encoding="utf-8")) if part["kind"] == "Role"]
    granted = {(what, verb) for rule in role["rules"] for what in rule["resources"] for verb in rule["verbs"]}
    assert granted == recorder.used | ONLY_NEWER


@pytest.mark.parametrize(
    "forbidden",
    [
        lambda client: client.delete(Deployment, "zone-000"),
        lambda client: list(client.list(Secret)),
        lambda client: client.get(Pod, "any"),
        lambda client: client.delete(Lease, "metalore-autoscaler"),
        lambda client: client.get(Lease, "another"),
        lambda client: list(client.list(Deployment, namespace="default")),
        lambda client: list(client.list(Deployment, namespace="*")),
        lambda client: client.patch(Deployment.Scale, "zone-000", {"spec": {"replicas": 9}}),
        lambda client: client.patch(Deployment.Status, "zone-000", {"status": {"replicas": 9}}),
        lambda client: client.patch(Deployment, "zone-000", {"spec": {"replicas": 9}}, namespace="default"),
    ],
)
def test_nothing_else_is_allowed(city: City, forbidden: Any) -> None:
    client = city.closing(Client(as_service_account(city), namespace=city.namespace))
    with pytest.raises(ApiError) as caught:
        forbidden(client)
    assert caught.value.status.code == 403


def test_without_rights_it_says_which_are_missing_and_changes_nothing(city: City) -> None:
    cluster = city.closing(Cluster(as_service_account(city), city.namespace))
    acting, watching = (
        KubernetesZones(cluster, SystemClock(), KubernetesSettings(dry_run, take_over=("kubectl",)), backoff=IMPATIENT)
        for dry_run in (False, True)
    )
    reads = [{"apiGroups": ["", "apps", "policy"], "resources": ["*"], "verbs": ["list"]}]
    city.client.patch(Role, "metalore-autoscaler", {"rules": reads}, patch_type=PatchType.MERGE)
    grown = Decision(0.0, acting.zones, BEFORE, 2 * BEFORE, ((Reason("x", "y"),),) * 2)
    until(lambda: "cannot patch resource" in str(watching.apply(grown).problems), "the loss of rights")
    applied = acting.apply(grown)
    assert applied.done.tolist() == [False, False]
    for zone, problem in zip(acting.zones, applied.problems, strict=True):
        assert problem.startswith(f"zone '{zone}': the API server says 403: deployments.apps \"{zone}\" is forbidden")
        assert 'cannot patch resource "deployments"' in problem
        assert city.sizes(zone)["limits"]["cpu"] == "250m"


def files() -> list[Any]:
    """All objects in the files of deploy/, without what kustomize does to them but for the namespace."""
    paths = [*(DEPLOY / "base").rglob("*.yaml"), *(DEPLOY / "monitoring").glob("*.yaml")]
    texts = [path.read_text(encoding="utf-8") for path in sorted(paths) if path.name != "kustomization.yaml"]
    things = [thing for text in texts for thing in codecs.load_all_yaml(text)]
    for thing in things:
        if thing.kind == "RoleBinding":
            thing.subjects[0].namespace = "metalore"
    return things


def built(folder: str) -> list[Any]:
    """All objects that kustomize makes."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl, which has kustomize, is not installed")
    command = ["kubectl", "kustomize", DEPLOY / folder]
    return codecs.load_all_yaml(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


@pytest.mark.parametrize("folder", ["", "base", "overlays/act", "overlays/live", "monitoring"])
def test_the_server_takes_all_that_is_in_deploy(testbed: Testbed, folder: str) -> None:
    things = built(folder) if folder else files()
    with Client(testbed.config(), namespace="metalore") as client:
        client.apply(Namespace(metadata=ObjectMeta(name="metalore")), field_manager="test")
        for thing in things:
            client.apply(thing, field_manager="kubectl", dry_run=True)
        broken = next(thing for thing in things if thing.kind == "Deployment")
        broken.spec.template.spec.containers[0].name = "no_name"
        with pytest.raises(ApiError, match="Invalid value"):
            client.apply(broken, field_manager="kubectl", dry_run=True)
