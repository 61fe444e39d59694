"""What is done about a zone, and with which patch."""

from __future__ import annotations

import math
from typing import Any

import pytest
from autoscale.kubernetes.things import typed_budget, typed_deployment, typed_pod
from hypothesis import given
from hypothesis import strategies as st
from lightkube.models.meta_v1 import LabelSelector

from metalore.autoscale import AutoscaleError
from metalore.autoscale.kubernetes import KubernetesSettings
from metalore.autoscale.kubernetes.amounts import Sizes
from metalore.autoscale.kubernetes.plan import Step, deployment_patch, may_take_over, owners, plan, pod_patch
from metalore.autoscale.kubernetes.zone import Given, Zone, changed_at, fault, given_to, rollout, selects, zones_of

SETTINGS = KubernetesSettings()
RUNNING = {"status": {"updatedReplicas": 0}}
MINE = {
    "metadata": {
        "managedFields": [{"manager": "metalore-autoscaler", "operation": "Apply", "fieldsV1": {"f:spec": {}}}]
    }
}
NOTED = {"metadata": {"annotations": {"metalore.io/cpu": "2", "metalore.io/memory": "3G"}}}


def wanted(cores: float = 1.0, memory_mb: float = 1000.0, mbps: float = 100.0) -> Given:
    return Given(Sizes.of(cores, memory_mb), mbps)


def zone(pods: Any = (), budgets: Any = (), resizable: bool = False, **changes: Any) -> Zone:
    return Zone("a", typed_deployment(**changes), pods, budgets, resizable)


# -- amounts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cores", "memory_mb", "cpu", "memory"),
    [(1, 1000, "1", "1G"), (0.25, 256, "250m", "256M"), (1.1, 1.5, "1100m", "2M"), (2000, 5e6, "2k", "5T")],
)
def test_amounts_have_one_text(cores: float, memory_mb: float, cpu: str, memory: str) -> None:
    assert Sizes.of(cores, memory_mb) == Sizes(cpu, memory)


@given(st.floats(0.001, 1e5), st.floats(1, 1e7))
def test_amounts_are_rounded_up_and_read_back(cores: float, memory_mb: float) -> None:
    sizes = Sizes.of(cores, memory_mb)
    assert cores - 1e-6 <= sizes.cores < cores + 0.001 + 1e-6
    assert memory_mb - 1e-6 <= sizes.memory_mb < memory_mb + 1 + 1e-6
    assert Sizes.read(sizes.to_dict()) == sizes


def test_other_units_are_read() -> None:
    assert Sizes.read({"cpu": "0.5", "memory": "1Gi"}) == Sizes("500m", "1074M")
    assert Sizes.read({"cpu": "1"}) is None


# -- what is known -----------------------------------------------------------------------------------------------------


def test_zones_are_deployments_with_their_living_pods() -> None:
    pods = [
        typed_pod(name="a-1"),
        typed_pod(name="a-2", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}),
        typed_pod(name="a-3", status={"phase": "Failed"}),
        typed_pod(name="b-1", zone="b"),
    ]
    zones = zones_of([typed_deployment(name="a"), typed_deployment(name="b")], pods, [], False)
    assert {name: [pod.metadata.name for pod in zone.pods] for name, zone in zones.items()} == {
        "a": ["a-1"],
        "b": ["b-1"],
    }


def test_limits_say_what_a_zone_has_and_requests_where_those_are_controlled() -> None:
    resources = {"requests": {"cpu": "1", "memory": "1G"}, "limits": {"cpu": "4", "memory": "4G"}}
    it = zone(spec={"template": {"spec": {"containers": [{"name": "zone", "resources": resources}]}}})
    assert given_to(it, SETTINGS) == Given(Sizes("4", "4G"), 100.0)
    assert given_to(it, KubernetesSettings(controlled="requests")) == Given(Sizes("1", "1G"), 100.0)


def test_notes_say_so_where_pods_are_resized_in_place() -> None:
    assert given_to(zone(resizable=True, **NOTED), SETTINGS).sizes == Sizes("2", "3G")
    assert given_to(zone(resizable=False, **NOTED), SETTINGS).sizes == Sizes("1", "1G")
    assert given_to(zone(resizable=True, **NOTED), KubernetesSettings(in_place=False)).sizes == Sizes("1", "1G")
    assert given_to(zone(resizable=True), SETTINGS).sizes == Sizes("1", "1G")


def containers(*names: str, **rest: Any) -> dict[str, Any]:
    return {"template": {"spec": {"containers": [{"name": name} | rest for name in names]}}}


@pytest.mark.parametrize(
    ("changes", "settings", "words"),
    [
        ({"spec": {"replicas": 2}}, {}, "it has 2 replicas; a zone is one server"),
        ({"spec": containers("zone", "proxy")}, {}, "containers zone, proxy; say which one"),
        ({}, {"container": "server"}, "no container 'server'; it has zone"),
        ({"spec": containers("zone")}, {}, "'zone' has no requests and limits for both cpu and memory"),
        ({"spec": containers("zone", resources={"limits": {"cpu": "1"}})}, {}, "for both cpu and memory"),
    ],
)
def test_what_cannot_be_sized_is_refused(changes: Any, settings: Any, words: str) -> None:
    settings = KubernetesSettings(**settings)
    assert words in fault(zone(**changes), settings)
    step = plan(zone(**changes), wanted(2.0), settings)
    assert (step.what, words in step.words) == ("refuse", True)


def test_a_container_is_chosen_by_name() -> None:
    resources = {"limits": {"cpu": "1", "memory": "1G"}}
    spec = containers("proxy", "zone", resources=resources)
    assert fault(zone(spec=spec), KubernetesSettings(container="zone")) == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"spec": {"paused": True}}, "paused"),
        ({"metadata": {"generation": 2}}, "not been seen"),
        ({"status": {"updatedReplicas": 0}}, "0 of 1 pods are new"),
        ({"status": {"replicas": 2}}, "1 old pods still live"),
        ({"status": {"availableReplicas": 0}}, "0 of 1 pods are available"),
        ({"status": None}, "not known yet"),
        ({"spec": {"replicas": 0}, "status": {"replicas": 0, "updatedReplicas": 0, "availableReplicas": 0}}, ""),
    ],
)
def test_a_rollout_is_complete_by_the_rules_of_kubectl(changes: Any, words: str) -> None:
    found = rollout(typed_deployment(**changes))
    assert words in found
    assert bool(words) == bool(found)


@pytest.mark.parametrize(
    ("selector", "is_meant"),
    [
        ({}, True),
        ({"matchLabels": {"x": "1"}}, True),
        ({"matchLabels": {"x": "2"}}, False),
        ({"matchLabels": {"y": "1"}}, False),
        ({"matchExpressions": [{"key": "x", "operator": "In", "values": ["1", "2"]}]}, True),
        ({"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "y", "operator": "NotIn", "values": ["1"]}]}, True),
        ({"matchExpressions": [{"key": "x", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}, False),
        ({"matchLabels": {"x": "1"}, "matchExpressions": [{"key": "y", "operator": "Exists"}]}, False),
    ],
)
def test_label_selectors(selector: Any, is_meant: bool) -> None:
    assert selects(LabelSelector.from_dict(selector), {"x": "1"}) is is_meant


# -- what is done ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("it", "sizes", "what"),
    [
        (zone(), wanted(), "keep"),
        (zone(), wanted(mbps=50.0), "note"),
        (zone(), wanted(2.0), "template"),
        (zone(), wanted(0.5), "template"),
        (zone(**RUNNING), wanted(1.2), "wait"),
        (zone(**RUNNING), wanted(0.5), "wait"),
        (zone(**RUNNING), wanted(1.6), "template"),  # urgent: more than half as much again
        (zone(**RUNNING), wanted(memory_mb=1600.0), "template"),
        (zone(**RUNNING), wanted(mbps=50.0), "note"),  # restarts nothing
        (zone([typed_pod()], [typed_budget(0)]), wanted(5.0), "wait"),
        (zone([typed_pod()], [typed_budget(0)]), wanted(mbps=1.0), "note"),
        (zone([typed_pod()], [typed_budget(1)]), wanted(5.0), "template"),
        (zone([], [typed_budget(0)]), wanted(5.0), "template"),  # nobody there to go
        (zone([typed_pod()], [typed_budget(0, matchLabels={"x": "y"})]), wanted(5.0), "template"),
        (zone([typed_pod()], resizable=True), wanted(), "keep"),
        (zone([typed_pod()], [typed_budget(0)], True, **RUNNING), wanted(0.5), "resize"),
        (zone([typed_pod(cpu="2")], resizable=True), wanted(), "resize"),  # a pod that missed the last one
        (zone([typed_pod()], resizable=True), wanted(mbps=5.0), "resize"),
    ],
)
def test_what_is_done(it: Zone, sizes: Given, what: str) -> None:
    step = plan(it, sizes, SETTINGS)
    assert step.what == what
    assert bool(step.words) == (what == "wait")


def test_a_stuck_rollout_may_be_ended_by_another_size() -> None:
    stuck = RUNNING["status"] | {
        "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]
    }
    assert plan(zone(status=stuck), wanted(0.5), SETTINGS) == Step("template")


def test_a_template_patch_has_sizes_bandwidth_and_its_time_and_nothing_else() -> None:
    body = deployment_patch(zone(), wanted(1.5, 2000, 50), Step("template"), SETTINGS, 60.9)
    sizes = {"cpu": "1500m", "memory": "2G"}
    assert body == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "a",
            "resourceVersion": "1",
            "annotations": {"metalore.io/bandwidth-mbps": "50", "metalore.io/changed": "1970-01-01T00:01:00Z"},
        },
        "spec": {
            "template": {"spec": {"containers": [{"name": "zone", "resources": {"requests": sizes, "limits": sizes}}]}}
        },
    }


def test_requests_alone_leave_limits_to_others() -> None:
    settings = KubernetesSettings(controlled="requests")
    body = deployment_patch(zone(), wanted(2.0), Step("template"), settings, 60.9)
    (container,) = body["spec"]["template"]["spec"]["containers"]
    assert list(container["resources"]) == ["requests"]


@pytest.mark.parametrize("what", ["resize", "note"])
def test_what_was_applied_before_is_applied_again_since_the_server_would_remove_it(what: Any) -> None:
    body = deployment_patch(zone(**MINE), wanted(2.0), Step(what), SETTINGS, 60.9)
    (container,) = body["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": "1", "memory": "1G"}  # as it is, so that nothing restarts
    assert "spec" not in deployment_patch(zone(), wanted(2.0), Step(what), SETTINGS, 60.9)


def test_resizing_in_place_notes_what_was_given_beside_the_template() -> None:
    body = deployment_patch(zone(resizable=True), wanted(2.0, 3000), Step("resize"), SETTINGS, 60.9)
    assert body["metadata"]["annotations"] == {
        "metalore.io/bandwidth-mbps": "100",
        "metalore.io/changed": "1970-01-01T00:01:00Z",
        "metalore.io/cpu": "2",
        "metalore.io/memory": "3G",
    }
    assert pod_patch("zone", Sizes("2", "3G"), KubernetesSettings(controlled="requests")) == {
        "spec": {"containers": [{"name": "zone", "resources": {"requests": {"cpu": "2", "memory": "3G"}}}]}
    }


@pytest.mark.parametrize(
    ("noted", "time_s"),
    [("1970-01-01T00:01:00Z", 60.0), ("yesterday", -math.inf), ("", -math.inf), ("0001-01-01", -math.inf)],
)
def test_the_time_of_the_last_change_is_read_back_if_it_can_be(noted: str, time_s: float) -> None:
    assert changed_at(zone(metadata={"annotations": {"metalore.io/changed": noted}})) == time_s
    assert changed_at(zone()) == -math.inf


# -- conflicts and settings --------------------------------------------------------------------------------------------


def test_fields_are_taken_only_from_managers_that_are_listed() -> None:
    causes = [(".a", 'conflict with "vpa" using apps/v1'), (".a", 'conflict with "kubectl" using apps/v1')]
    assert owners([*causes, *causes]) == ["vpa", "kubectl"]
    settings = KubernetesSettings(take_over=("kubectl",))
    assert may_take_over(["kubectl"], settings)
    assert not may_take_over(["kubectl", "vpa"], settings)
    assert not may_take_over([], settings)
    assert not may_take_over(["kubectl"], SETTINGS)


@pytest.mark.parametrize("settings", [{"controlled": "limits"}, {"manager": ""}, {"urgent": -1.0}])
def test_settings_that_cannot_be_are_refused(settings: Any) -> None:
    with pytest.raises(AutoscaleError, match=next(iter(settings))):
        KubernetesSettings(**settings)
