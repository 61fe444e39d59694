"""Zones on a real API server (1.20): created, patched, refused, fought over, left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kubernetes.cities import City, until
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Event, Pod
from lightkube.types import PatchType

from metalore.autoscale import Decision, Reason
from metalore.autoscale.kubernetes import KubernetesSettings
from metalore.autoscale.kubernetes.amounts import Sizes
from metalore.autoscale.kubernetes.plan import Step, container_patch, deployment_patch
from metalore.autoscale.kubernetes.zone import Given, rollout, zones_of

AS_MADE = [0.25, 256.0, 100.0]
NAMES = ("zone-000", "zone-001")
Budget = create_namespaced_resource("policy", "v1beta1", "PodDisruptionBudget", "poddisruptionbudgets")


def decision(*after: list[float], before: Any = (AS_MADE, AS_MADE)) -> Decision:
    reasons = tuple((Reason("forecast", f"{zone} expects guests"),) for zone in NAMES)
    return Decision(60.0, NAMES, np.array(before), np.array(after), reasons)


def only_first(cores: float, memory_mb: float = 256.0, mbps: float = 100.0) -> Decision:
    return decision([cores, memory_mb, mbps], AS_MADE)


def test_zones_of_the_manifests_are_found_with_their_sizes(city: City) -> None:
    zones = city.zones()
    assert zones.zones == NAMES
    assert zones.allocations().tolist() == [AS_MADE, AS_MADE]


def test_a_decision_is_applied_and_read_back(city: City) -> None:
    zones = city.zones()
    applied = zones.apply(decision([1.5, 1000.0, 50.0], AS_MADE))
    assert (applied.done.tolist(), applied.problems) == ([True, True], ())
    assert city.sizes() == {part: {"cpu": "1500m", "memory": "1G"} for part in ("requests", "limits")}
    assert zones.allocations().tolist() == [[1.5, 1000.0, 50.0], AS_MADE]
    spec = city.deployment().spec
    assert spec.template.spec.containers[0].args[0] == "zone"  # the rest is as it was
    assert (spec.replicas, spec.strategy.rollingUpdate.maxUnavailable) == (1, 0)


def test_it_owns_two_sizes_and_two_annotations_and_nothing_else(city: City) -> None:
    city.zones().apply(only_first(1.5))
    (owned,) = [e.fieldsV1 for e in city.deployment().metadata.managedFields if e.manager == "metalore-autoscaler"]
    both = {"f:cpu": {}, "f:memory": {}}
    resources = {"f:limits": both, "f:requests": both}
    container = {".": {}, "f:name": {}, "f:resources": resources}
    found = owned["f:spec"]["f:template"]["f:spec"]["f:containers"]
    assert found == {'k:{"name":"zone"}': container}
    assert list(owned) == ["f:metadata", "f:spec"]
    notes = {"f:metalore.io/bandwidth-mbps": {}, "f:metalore.io/changed": {}}
    assert owned["f:metadata"] == {"f:annotations": notes}


def test_bandwidth_alone_restarts_nothing(city: City) -> None:
    pods = [pod.metadata.name for pod in city.client.list(Pod)]
    assert city.zones().apply(only_first(0.25, mbps=40.0)).done.all()
    assert city.zones().allocations()[0].tolist() == [0.25, 256.0, 40.0]
    until(lambda: not rollout(city.deployment()), "its own change")
    assert [pod.metadata.name for pod in city.client.list(Pod)] == pods


def test_what_it_applied_stays_when_later_only_bandwidth_changes(city: City) -> None:
    zones = city.zones()
    zones.apply(only_first(1.5))
    zones.apply(decision([1.5, 256.0, 30.0], AS_MADE, before=[[1.5, 256.0, 100.0], AS_MADE]))
    assert zones.allocations()[0].tolist() == [1.5, 256.0, 30.0]


def test_a_controller_that_begins_knows_when_zones_were_changed(city: City) -> None:
    city.zones().apply(only_first(1.5))
    successor = city.zones()
    successor.allocations()
    assert successor.changed_at().tolist() == [60.0, -np.inf]


# -- waiting -----------------------------------------------------------------------------------------------------------


def test_it_waits_for_its_own_rollout_but_not_with_urgent_growth(city: City) -> None:
    zones = city.zones()
    assert zones.apply(only_first(0.5)).done.all()
    until(lambda: "rollout is running" in rollout(city.deployment()), "the rollout")
    waits = zones.apply(only_first(0.6))
    assert waits.done.tolist() == [False, True]
    assert "its rollout is running" in waits.problems[0]
    assert city.sizes()["limits"]["cpu"] == "500m"
    assert zones.apply(only_first(0.8)).done.all()
    city.finish_rollouts()
    assert zones.apply(only_first(0.7)).done.all()
    assert city.sizes()["limits"]["cpu"] == "700m"


def test_it_waits_while_a_budget_allows_no_pod_to_go(city: City) -> None:
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"metalore.io/zone": "zone-000"}}}
    city.client.create(Budget(metadata={"name": "guard", "namespace": city.namespace}, spec=spec))
    until(lambda: (city.client.get(Budget, "guard").get("status") or {}).get("expectedPods"), "the budget's status")
    applied = city.zones().apply(decision([2.0, 256.0, 100.0], [2.0, 256.0, 100.0]))
    assert applied.done.tolist() == [False, True]
    assert applied.problems == ("zone 'zone-000': PodDisruptionBudget 'guard' allows none of its pods to go",)
    assert city.sizes()["limits"]["cpu"] == "250m"


# -- conflicts ---------------------------------------------------------------------------------------------------------


def test_fields_of_others_are_not_taken(city: City) -> None:
    applied = city.zones(take_over=()).apply(only_first(2.0))
    assert applied.done.tolist() == [False, True]
    assert "zone 'zone-000': .spec.template.spec.containers" in applied.problems[0]
    assert "owned by kubectl, and" in applied.problems[0]
    assert city.sizes()["limits"]["cpu"] == "250m"


def test_who_is_not_listed_keeps_what_it_took(city: City) -> None:
    zones = city.zones()
    assert zones.apply(only_first(2.0)).done.all()
    city.finish_rollouts()
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "spec": {
            "template": {"spec": {"containers": [container_patch("zone", Sizes.of(3.0, 256.0), KubernetesSettings())]}}
        },
    }
    city.client.patch(Deployment, "zone-000", body, patch_type=PatchType.APPLY, field_manager="vpa", force=True)
    city.finish_rollouts()
    applied = zones.apply(only_first(1.0))
    assert "owned by vpa" in applied.problems[0]
    assert city.sizes()["limits"]["cpu"] == "3"


def test_a_patch_for_an_older_state_is_refused_and_made_anew(city: City) -> None:
    zones, cluster = city.zones(), city.cluster()
    old = cluster.deployments()
    city.client.patch(Deployment, "zone-000", {"metadata": {"annotations": {"a-person": "was-here"}}})
    zone = zones_of(old, (), (), False)["zone-000"]
    settings = KubernetesSettings(dry_run=False)
    patch = deployment_patch(zone, Given(Sizes.of(2.0, 256.0), 100.0), Step("template"), settings, 60.0)
    with pytest.raises(ApiError, match="the object has been modified"):
        cluster.apply("zone-000", patch, manager="metalore-autoscaler", force=True, dry_run=False)
    zones._cluster.deployments = lambda: old
    assert zones.apply(only_first(2.0)).done.all()
    assert city.sizes()["limits"]["cpu"] == "2"
    assert city.deployment().metadata.annotations["a-person"] == "was-here"


def test_requests_above_limits_are_refused_by_the_server_and_reported(city: City) -> None:
    applied = city.zones(controlled="requests").apply(decision([2.0, 256.0, 100.0], [0.2, 256.0, 100.0]))
    assert applied.done.tolist() == [False, True]
    assert "the API server says 422" in applied.problems[0]
    assert "must be less than or equal to cpu limit" in applied.problems[0]
    assert city.sizes("zone-001") == {
        "requests": {"cpu": "200m", "memory": "256M"},
        "limits": {"cpu": "250m", "memory": "256M"},
    }


# -- dry runs and events -----------------------------------------------------------------------------------------------


def test_a_dry_run_touches_nothing_and_learns_what_the_server_would_refuse(city: City) -> None:
    before = city.versions()
    zones = city.zones(dry_run=True)
    assert zones.apply(decision([2.0, 512.0, 50.0], AS_MADE)).done.tolist() == [False, True]
    problems = city.zones(dry_run=True, take_over=()).apply(only_first(2.0)).problems
    assert "owned by kubectl" in problems[0]
    assert "422" in city.zones(dry_run=True, controlled="requests").apply(only_first(2.0)).problems[0]
    assert city.versions() == before


def test_events_say_what_was_done_and_why(city: City) -> None:
    city.zones().apply(only_first(0.5))
    events = [e for e in city.client.list(Event) if e.source.component == "metalore-autoscaler"]
    (event,) = events
    assert (event.reason, event.type, event.involvedObject.name) == ("Resized", "Normal", "zone-000")
    assert event.involvedObject.uid == city.deployment().metadata.uid
    assert event.message.endswith("-> 0.5 cores, 256 MB, 100 Mbit/s: zone-000 expects guests")


def test_in_place_resize_is_not_there_and_templates_are_patched(city: City) -> None:
    abilities = city.cluster().abilities()
    assert (abilities.resize, abilities.budgets) == (False, "v1beta1")
