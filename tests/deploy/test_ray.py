"""The RayJob in `deploy/ray` fits the published CRD, keeps to what its namespace demands, and runs what it says.

No operator runs here. The schema is written by hand after `ray.io/v1` of KubeRay 1.5.1, with the fields that are used
and no others: a misspelt field, which a server would drop in silence, fails.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
RAY = ROOT / "deploy" / "ray"


def document(name: str) -> dict[str, Any]:
    return yaml.safe_load((RAY / name).read_text(encoding="utf-8"))


JOB = document("rayjob.yaml")
CLUSTER = JOB["spec"]["rayClusterSpec"]
HEAD, WORKERS = CLUSTER["headGroupSpec"]["template"], CLUSTER["workerGroupSpecs"][0]["template"]
SUBMITTER = JOB["spec"]["submitterPodTemplate"]
PODS = {"head": HEAD, "workers": WORKERS, "submitter": SUBMITTER}


def record(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties, "additionalProperties": False}


TEXT, FLAG = {"type": "string", "minLength": 1}, {"type": "boolean"}
COUNT, POSITIVE = {"type": "integer", "minimum": 0}, {"type": "integer", "minimum": 1}
TEXTS = {"type": "object", "additionalProperties": TEXT}
QUANTITY = {"type": "string", "pattern": r"^\d+(m|k|M|G|Ki|Mi|Gi)?$"}
AMOUNTS = record(("cpu", "memory"), cpu=QUANTITY, memory=QUANTITY)
PROBE = record(
    ("exec",),
    exec=record(("command",), command={"type": "array", "items": TEXT, "minItems": 1}),
    periodSeconds=POSITIVE,
    timeoutSeconds=POSITIVE,
    failureThreshold=POSITIVE,
)
CONTAINER = record(
    ("name", "image", "resources", "securityContext"),
    name=TEXT,
    image=TEXT,
    env={"type": "array", "items": record(("name", "value"), name=TEXT, value=TEXT)},
    ports={
        "type": "array",
        "items": record(("containerPort",), name=TEXT, containerPort=POSITIVE, protocol={"enum": ["TCP", "UDP"]}),
    },
    resources=record(("requests", "limits"), requests=AMOUNTS, limits=AMOUNTS),
    securityContext=record(
        allowPrivilegeEscalation=FLAG,
        readOnlyRootFilesystem=FLAG,
        capabilities=record(drop={"type": "array", "items": TEXT}),
    ),
    startupProbe=PROBE,
    readinessProbe=PROBE,
    livenessProbe=PROBE,
    volumeMounts={
        "type": "array",
        "items": record(("name", "mountPath"), name=TEXT, mountPath=TEXT, readOnly=FLAG),
    },
)
POD = record(
    ("metadata", "spec"),
    metadata=record(labels=TEXTS),
    spec=record(
        ("containers",),
        restartPolicy={"enum": ["Never", "OnFailure"]},
        automountServiceAccountToken=FLAG,
        enableServiceLinks=FLAG,
        securityContext=record(
            runAsNonRoot=FLAG,
            runAsUser=POSITIVE,
            runAsGroup=POSITIVE,
            fsGroup=POSITIVE,
            seccompProfile=record(type={"enum": ["RuntimeDefault", "Localhost"]}),
        ),
        containers={"type": "array", "items": CONTAINER, "minItems": 1},
        volumes={
            "type": "array",
            "items": record(
                ("name",),
                name=TEXT,
                emptyDir=record(sizeLimit=QUANTITY),
                configMap=record(("name",), name=TEXT),
                persistentVolumeClaim=record(("claimName",), claimName=TEXT),
            ),
        },
    ),
)
RAYJOB = record(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=record(("name",), name=TEXT, labels=TEXTS),
    spec=record(
        ("entrypoint", "rayClusterSpec"),
        entrypoint=TEXT,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        shutdownAfterJobFinishes=FLAG,
        ttlSecondsAfterFinished=COUNT,
        activeDeadlineSeconds=POSITIVE,
        backoffLimit=COUNT,
        submitterPodTemplate=POD,
        rayClusterSpec=record(
            ("headGroupSpec",),
            rayVersion=TEXT,
            authOptions=record(mode={"enum": ["disabled", "token"]}),
            headGroupSpec=record(("rayStartParams", "template"), rayStartParams=TEXTS, template=POD),
            workerGroupSpecs={
                "type": "array",
                "items": record(
                    ("groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"),
                    groupName=TEXT,
                    replicas=COUNT,
                    minReplicas=COUNT,
                    maxReplicas=COUNT,
                    rayStartParams=TEXTS,
                    template=POD,
                ),
            },
        ),
    ),
)


def containers() -> Iterator[dict[str, Any]]:
    for pod in PODS.values():
        yield from pod["spec"]["containers"]


def test_the_job_fits_the_crd() -> None:
    jsonschema.validate(JOB, RAYJOB)


def test_the_schema_refuses_what_is_misspelt() -> None:
    wrong = {**JOB, "spec": {**JOB["spec"], "backofLimit": 1}}
    with pytest.raises(jsonschema.ValidationError, match="backofLimit"):
        jsonschema.validate(wrong, RAYJOB)


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS.keys())
def test_pods_keep_to_the_restricted_standard(pod: dict[str, Any]) -> None:
    """As `deploy/base/namespace.yaml` enforces it."""
    assert pod["spec"]["securityContext"]["runAsNonRoot"]
    assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["spec"]["automountServiceAccountToken"] is False
    for container in pod["spec"]["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["spec"]["volumes"]}
        assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_only_rays_own_pods_reach_ray() -> None:
    policy = document("network.yaml")["spec"]
    (selected,) = policy["podSelector"]["matchLabels"].items()
    assert all(selected in pod["metadata"]["labels"].items() for pod in PODS.values())
    own, operator = policy["ingress"]
    assert own["from"] == [{"podSelector": policy["podSelector"]}]
    assert operator["ports"] == [{"protocol": "TCP", "port": 8265}]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert CLUSTER["authOptions"] == {"mode": "token"}


def test_there_is_a_cpu_for_every_worker() -> None:
    asked = int(re.search(r"--workers (\d+)", JOB["spec"]["entrypoint"]).group(1))
    (group,) = CLUSTER["workerGroupSpecs"]
    assert asked == group["replicas"] * int(group["rayStartParams"]["num-cpus"])
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["cpu"] == group["rayStartParams"]["num-cpus"]


def test_ray_is_the_version_that_is_tested() -> None:
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert CLUSTER["rayVersion"] == pins["ray"]


def test_kustomize_finds_every_name() -> None:
    kustomization = document("kustomization.yaml")
    assert {container["image"] for container in containers()} == {one["name"] for one in kustomization["images"]}
    (generated,) = kustomization["configMapGenerator"]
    volumes = {key: value for one in HEAD["spec"]["volumes"] for key, value in one.items() if key != "name"}
    assert volumes["configMap"]["name"] == generated["name"]
    assert volumes["persistentVolumeClaim"]["claimName"] == document("volume.yaml")["metadata"]["name"]
    for name in (*kustomization["resources"], *generated["files"], *kustomization["configurations"]):
        assert (RAY / name).is_file()


def test_the_job_runs_the_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The script that the entrypoint names takes its options, and trains with what they say."""
    import runpy

    from metalore.fluid import Demand
    from metalore.learn.zones import rllib

    called: dict[str, Any] = {}

    def training(*arguments: Any, **options: Any) -> Any:
        called.update(options, settings=arguments[2], folder=arguments[3])
        return rllib.ZoneResult(arguments[3], None, 1, -0.5, 1.0)

    monkeypatch.setattr(rllib, "train_with_rllib", training)
    monkeypatch.setattr(Demand, "drawn", lambda *_, **__: None)
    python, script, *options = shlex.split(JOB["spec"]["entrypoint"])
    (mount,) = (one for one in HEAD["spec"]["containers"][0]["volumeMounts"] if one["name"] == "train")
    assert (python, script) == ("python", f"{mount['mountPath']}/train.py")
    monkeypatch.setattr(sys, "argv", [script, *options])
    runpy.run_path(str(RAY / "train.py"), run_name="__main__")
    assert called["address"] == "auto"
    assert called["settings"].workers == 8
    assert str(called["folder"]).startswith("/results/")
    assert called["resume"] is False


@pytest.mark.parametrize("pod", ["head", "workers"])
def test_probes_tell_a_ray_that_lives_from_one_that_does_not(pod: str) -> None:
    """What the probe runs, against a server that answers as Ray's agents do."""
    import io
    import urllib.request

    (container,) = PODS[pod]["spec"]["containers"]
    python, flag, code = container["startupProbe"]["exec"]["command"]
    assert (python, flag) == ("python", "-c")
    asked: list[str] = []

    def answering(text: bytes) -> Any:
        def urlopen(url: str, timeout: float) -> Any:
            asked.append(url)
            return io.BytesIO(text)

        return urlopen

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(urllib.request, "urlopen", answering(b"success"))
        exec(code, {})
        patch.setattr(urllib.request, "urlopen", answering(b"Local Raylet failed"))
        with pytest.raises(AssertionError):
            exec(code, {})
    assert "http://localhost:52365/api/local_raylet_healthz" in asked
