"""Manifests: of any number of zones, and those that are committed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli.calling import call

from metalore.autoscale import AutoscaleError
from metalore.autoscale.kubernetes.manifests import ZoneServerSpec, manifests, numbered, of_scenario
from metalore.scenario import load, zone_names
from metalore.serve import ServeSettings

DEPLOY = Path(__file__).parents[3] / "deploy"


def objects(text: str) -> dict[tuple[str, str], Any]:
    return {(part["kind"], part["metadata"]["name"]): part for part in yaml.safe_load_all(text)}


def containers_of(text: str) -> list[tuple[Any, Any]]:
    """Pod and container of every Deployment."""
    pods = [part["spec"]["template"]["spec"] for part in yaml.safe_load_all(text) if part["kind"] == "Deployment"]
    return [(pod, container) for pod in pods for container in pod["containers"]]


def test_any_number_of_zones_with_a_service_each() -> None:
    found = objects(manifests(numbered(250, 0.5, 300)))
    assert len(found) == 500
    deployment, service = found["Deployment", "zone-249"], found["Service", "zone-249"]
    assert deployment["metadata"]["labels"]["metalore.io/zone"] == "zone-249"
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": "500m", "memory": "300M"} == container["resources"]["requests"]
    assert "--most-cores=2" in container["args"]
    assert "--most-mb=1200" in container["args"]


def test_zones_of_a_scenario_are_as_large_as_their_servers() -> None:
    city = load("city-30")
    specs = of_scenario(city, cores=0.25, memory_mb=256)
    assert [spec.name for spec in specs] == zone_names(city)
    assert max(spec.cores for spec in specs) == 0.25
    first = city.stations[0].compute_gcycle_s / max(station.compute_gcycle_s for station in city.stations)
    assert specs[0].cores == 0.25 * first


@pytest.mark.parametrize("name", ["", "Upper", "1st", "a_b", "a" * 64, "ends-", "ends\n"])
def test_names_that_a_service_cannot_have_are_refused(name: str) -> None:
    with pytest.raises(AutoscaleError, match="cannot be a Service"):
        ZoneServerSpec(name, 1.0, 1.0, 1.0)


def test_other_zones_that_cannot_be_are_refused() -> None:
    with pytest.raises(AutoscaleError, match="at least 1"):
        numbered(0, 1.0, 1.0)
    with pytest.raises(AutoscaleError, match="positive sizes"):
        numbered(1, 0.0, 1.0)
    with pytest.raises(AutoscaleError, match="two zones are called 'zone-000'"):
        manifests(numbered(1, 1.0, 1.0) * 2)


def test_the_committed_zones_are_what_the_command_writes() -> None:
    committed = (DEPLOY / "base/zones/stgnn-zones.yaml").read_text(encoding="utf-8")
    assert call("zone", "manifests", "--from", "city-30").stdout == committed


@pytest.mark.parametrize(
    "path", ["base/zones/stgnn-zones.yaml", "base/autoscaler/deployment.yaml", "base/service/deployment.yaml"]
)
def test_no_container_has_more_than_it_needs(path: str) -> None:
    found = containers_of((DEPLOY / path).read_text(encoding="utf-8"))
    assert found
    for pod, container in found:
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for each in (container, *pod.get("initContainers", ())):
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert set(each["resources"]["limits"]) == {"cpu", "memory"}
        assert {"livenessProbe", "readinessProbe", "startupProbe"} <= set(container)


@pytest.mark.parametrize("path", ["base/zones/stgnn-zones.yaml", "base/service/deployment.yaml"])
def test_who_does_not_speak_to_the_api_server_has_no_token_for_it(path: str) -> None:
    text = (DEPLOY / path).read_text(encoding="utf-8")
    assert all(pod["automountServiceAccountToken"] is False for pod, _ in containers_of(text))


def test_the_role_is_narrow() -> None:
    parts = objects((DEPLOY / "base/autoscaler/rbac.yaml").read_text(encoding="utf-8"))
    assert {kind for kind, _ in parts} == {"ServiceAccount", "Role", "RoleBinding"}
    for rule in parts["Role", "metalore-autoscaler"]["rules"]:
        assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
        assert "delete" not in rule["verbs"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl, which has kustomize, is not installed")
def test_the_service_follows_the_cluster_in_one_overlay_only_and_reads_there() -> None:
    for overlay, follows in (("base", False), ("overlays/live", True)):
        built = subprocess.run(["kubectl", "kustomize", DEPLOY / overlay], capture_output=True, check=True, text=True)
        found = objects(built.stdout)
        pod = found["Deployment", "metalore-service"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        given = {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}
        settings = ServeSettings.from_environment(given)
        assert (settings.live_cluster, pod["automountServiceAccountToken"]) == (follows, follows)
    assert pod["serviceAccountName"] == "metalore-service"
    (subject,) = found["RoleBinding", "metalore-service"]["subjects"]
    assert (subject["name"], subject["namespace"]) == ("metalore-service", "metalore")
    for rule in found["Role", "metalore-service"]["rules"]:
        assert rule["verbs"] == ["list", "watch"]
        assert set(rule["resources"]) <= {"deployments", "pods", "events"}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl, which has kustomize, is not installed")
@pytest.mark.parametrize(("overlay", "acts"), [("base", False), ("overlays/act", True)])
def test_kustomize_builds_everything(overlay: str, acts: bool) -> None:
    built = subprocess.run(["kubectl", "kustomize", DEPLOY / overlay], capture_output=True, check=True, text=True)
    found = objects(built.stdout)
    (container,) = found["Deployment", "metalore-autoscaler"]["spec"]["template"]["spec"]["containers"]
    assert ("--apply" in container["args"]) is acts
    assert container["image"] == "metalore:dev"
    assert {part["metadata"].get("namespace", "metalore") for part in found.values()} == {"metalore"}
    (subject,) = found["RoleBinding", "metalore-autoscaler"]["subjects"]
    assert subject["namespace"] == "metalore"
    assert {kind for kind, name in found if name == "metalore-service"} == {
        "Deployment",
        "PersistentVolumeClaim",
        "Service",
    }
    assert len(found) == 2 * 30 + 5 + 3


def test_the_service_is_reached_before_it_is_ready_and_keeps_its_state() -> None:
    found = objects((DEPLOY / "base/service/deployment.yaml").read_text(encoding="utf-8"))
    assert found["Service", "metalore-service"]["spec"]["publishNotReadyAddresses"]  # else no row would ever come
    spec = found["Deployment", "metalore-service"]["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")  # a window has one writer
    pod = spec["template"]["spec"]
    (container,), (model,) = pod["containers"], pod["initContainers"]
    options = dict(option.removeprefix("--").split("=") for option in container["args"][1:])
    settings = ServeSettings.from_environment({}, **options)
    assert str(settings.checkpoint) in model["command"][-1]
    places = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "state"]
    assert [settings.checkpoint.parent, settings.window.parent] == [Path(place) for place in 2 * places]
    (token,) = [variable for variable in container["env"] if variable["name"] == "METALORE_SERVE_TOKEN"]
    assert token["valueFrom"]["secretKeyRef"]["optional"]
    assert (settings.port, settings.secret()) == (container["ports"][0]["containerPort"], None)


def test_the_containerfile_runs_as_nobody_in_particular() -> None:
    lines = (DEPLOY / "Containerfile").read_text(encoding="utf-8").splitlines()
    words = [line.split()[0] for line in lines if line and not line.startswith("#")]
    user = next(line for line in lines if line.startswith("USER"))
    assert user == "USER 10001:10001"
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert words.count("FROM") == 2
