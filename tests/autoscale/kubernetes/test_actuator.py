"""What the actuator sends to the API server, and what it makes of the answers.

The API server here is canned. In-place resize is tested here alone, since the testbed's Kubernetes 1.20 lacks it.
"""

from __future__ import annotations

import math
from typing import Any

import httpx2
import pytest
from autoscale.kubernetes.things import FakeClock, FakeServer, budget, decision, deployment, merged, pod, refusal

from metalore.autoscale import AutoscaleError
from metalore.autoscale.kubernetes import Act, KubernetesSettings, KubernetesZones

APPLY = KubernetesSettings(dry_run=False)
ONE = [[1.0, 1000.0, 100.0]]
BIG = [[2.0, 3000.0, 100.0]]
FOREIGN = (("FieldManagerConflict", ".spec.cpu", 'conflict with "vpa" using apps/v1'),)


class Zones:
    """An actuator and everything around it."""

    def __init__(self, server: FakeServer, settings: KubernetesSettings = APPLY, **rest: Any) -> None:
        self.server, self.clock, self.acts = server, FakeClock(), list[Act]()
        self.actuator = KubernetesZones(server.cluster(), self.clock, settings, told=self.acts.append, **rest)


def test_zones_come_with_what_they_have() -> None:
    zones = Zones(FakeServer(deployment("b"), deployment("a", cpu="500m", memory="512Mi")))
    assert zones.actuator.zones == ("a", "b")
    assert zones.actuator.allocations().tolist() == [[0.5, 537.0, 100.0], [1.0, 1000.0, 100.0]]


def test_a_zone_is_applied_to_its_deployment_as_its_own_field_manager() -> None:
    zones = Zones(FakeServer(deployment()))
    applied = zones.actuator.apply(decision(ONE, BIG))
    assert (applied.done.tolist(), applied.problems) == ([True], ())
    (method, path, parameters, body), _ = zones.server.requests
    assert (method, path) == ("PATCH", "/apis/apps/v1/namespaces/city/deployments/a")
    assert parameters == {"fieldManager": "metalore-autoscaler", "force": "false"} or "force" not in parameters
    (container,) = body["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"] == {"cpu": "2", "memory": "3G"}
    assert [act.what for act in zones.acts] == ["template"]


def test_what_is_done_is_written_as_an_event_with_its_reason() -> None:
    zones = Zones(FakeServer(deployment()), identity="controller-7")
    zones.clock.now_s = 1_800_000_000.0
    zones.actuator.apply(decision(ONE, BIG))
    (event,) = zones.server.events()
    assert event["message"] == "1 cores, 1000 MB, 100 Mbit/s -> 2 cores, 3000 MB, 100 Mbit/s: a expects guests"
    assert (event["reason"], event["type"]) == ("Resized", "Normal")
    assert event["involvedObject"]["name"] == "a"
    assert event["source"]["host"] == "controller-7"
    assert event["lastTimestamp"].startswith("2027-01-15T08:00:00")


def test_a_dry_run_is_the_default_and_asks_the_server_to_keep_nothing() -> None:
    zones = Zones(FakeServer(deployment()), KubernetesSettings(), leads=lambda: False)
    applied = zones.actuator.apply(decision(ONE, BIG))
    assert applied.done.tolist() == [False]
    assert [parameters["dryRun"] for _, _, parameters, _ in zones.server.requests] == ["All"]
    assert str(zones.acts[0]).startswith("a: would template: 1 cores, 1000 MB, 100 Mbit/s -> 2 cores")


def test_the_time_of_a_change_is_noted_for_whoever_leads_next() -> None:
    noted = {"metadata": {"annotations": {"metalore.io/changed": "2027-01-15T08:00:00Z"}}}
    zones = Zones(FakeServer(deployment("a", **noted), deployment("b")))
    zones.actuator.allocations()
    assert zones.actuator.changed_at().tolist() == [1_800_000_000.0, -math.inf]
    zones.actuator.apply(decision(ONE * 2, BIG * 2, ("a", "b")))
    annotations = [body["metadata"]["annotations"] for method, _, _, body in zones.server.requests if method == "PATCH"]
    assert [notes["metalore.io/changed"] for notes in annotations] == ["1970-01-01T00:01:00Z"] * 2


def test_nothing_is_sent_for_a_zone_that_has_what_it_should() -> None:
    zones = Zones(FakeServer(deployment()))
    assert zones.actuator.apply(decision(ONE, ONE)).done.tolist() == [True]
    assert zones.actuator.apply(decision([[0.9995, 999.5, 100]], ONE)).done.tolist() == [True]
    assert zones.server.requests == []


def test_what_shrinks_comes_first() -> None:
    zones = Zones(FakeServer(deployment("a"), deployment("b"), deployment("c")))
    zones.actuator.apply(decision(ONE * 3, [BIG[0], [0.5, 500, 100], ONE[0]], ("a", "b", "c")))
    assert zones.server.patched() == ["deployments/b", "deployments/a"]


# -- waiting -----------------------------------------------------------------------------------------------------------


def test_it_waits_for_a_rollout_and_says_so_once() -> None:
    zones = Zones(FakeServer(deployment(status={"updatedReplicas": 0})))
    small = decision(ONE, [[0.9, 1000, 100]])
    for _ in range(3):
        applied = zones.actuator.apply(small)
    assert applied.done.tolist() == [False]
    assert applied.problems == ("zone 'a': its rollout is running: 0 of 1 pods are new",)
    assert zones.server.patched() == []
    (event,) = zones.server.events()
    assert (event["reason"], event["type"]) == ("ResizeWaits", "Normal")


def test_it_waits_for_a_budget() -> None:
    server = FakeServer(deployment())
    server.objects |= {"pods": [pod()], "poddisruptionbudgets": [budget(0)]}
    zones = Zones(server)
    assert "PodDisruptionBudget 'guard'" in zones.actuator.apply(decision(ONE, BIG)).problems[0]
    assert server.patched() == []


# -- resizing in place (canned) ----------------------------------------------------------------------------------------


def resizable(**changes: Any) -> FakeServer:
    server = FakeServer(deployment(**changes), resize=True)
    server.objects |= {"pods": [pod(), pod(name="a-2", metadata={"labels": {"metalore.io/zone": "a"}})]}
    server.objects["poddisruptionbudgets"] = [budget(0)]
    return server


def test_pods_are_resized_in_place_where_the_server_can() -> None:
    zones = Zones(resizable())
    assert zones.actuator.apply(decision(ONE, BIG)).done.tolist() == [True]
    assert zones.server.patched() == ["deployments/a", "pods/a-1/resize", "pods/a-2/resize"]
    (_, _, _, deployed), (_, path, parameters, body), *_ = zones.server.requests
    assert "spec" not in deployed
    assert deployed["metadata"]["annotations"]["metalore.io/cpu"] == "2"
    sizes = {"cpu": "2", "memory": "3G"}
    assert path == "/api/v1/namespaces/city/pods/a-1/resize"
    assert parameters["fieldManager"] == "metalore-autoscaler"
    assert body == {"spec": {"containers": [{"name": "zone", "resources": {"requests": sizes, "limits": sizes}}]}}


def test_a_pod_that_came_later_gets_what_its_zone_was_given() -> None:
    noted = {"annotations": {"metalore.io/cpu": "2", "metalore.io/memory": "3G"}}
    server = resizable(metadata=noted)
    server.objects["pods"] = [pod(cpu="2", memory="3G"), pod(name="a-2")]
    zones = Zones(server)
    assert zones.actuator.allocations().tolist() == BIG
    assert zones.actuator.apply(decision(BIG, BIG)).done.tolist() == [True]
    assert server.patched() == ["pods/a-2/resize"]


def test_a_node_without_room_is_reported_and_nothing_restarts() -> None:
    zones = Zones(resizable())
    zones.server.trouble = [None, refusal(422, "Pod a-1 is invalid: QoS class may not change")]
    applied = zones.actuator.apply(decision(ONE, BIG))
    assert applied.done.tolist() == [False]
    assert "422: Pod a-1 is invalid: QoS class may not change" in applied.problems[0]
    assert "deployments/a" not in zones.server.patched()[1:]


def test_in_place_can_be_switched_off() -> None:
    server = resizable()
    server.objects["poddisruptionbudgets"] = []
    Zones(server, KubernetesSettings(dry_run=False, in_place=False)).actuator.apply(decision(ONE, BIG))
    assert server.patched() == ["deployments/a"]


def test_a_dry_run_resizes_nothing() -> None:
    zones = Zones(resizable(), KubernetesSettings())
    zones.actuator.apply(decision(ONE, BIG))
    assert [parameters["dryRun"] for _, _, parameters, _ in zones.server.requests] == ["All"] * 3


# -- trouble -----------------------------------------------------------------------------------------------------------


def test_throttling_and_disconnection_are_retried() -> None:
    zones = Zones(FakeServer(deployment()))
    zones.server.trouble = [refusal(429, "slow down", headers={"Retry-After": "3"}), httpx2.ConnectError("gone")]
    zones.server.read_trouble = [httpx2.ReadTimeout("late")]
    assert zones.actuator.apply(decision(ONE, BIG)).done.tolist() == [True]
    assert zones.server.patched() == ["deployments/a"] * 3
    assert len(zones.clock.slept) == 3
    assert zones.clock.slept[1] == 3.0


def test_a_server_that_stays_away_costs_no_more_than_patience() -> None:
    zones = Zones(FakeServer(*map(deployment, "abcdef")))
    zones.server.trouble = [httpx2.ConnectError("gone")] * 1000
    applied = zones.actuator.apply(decision(ONE * 6, BIG * 6, tuple("abcdef")))
    assert not applied.done.any()
    assert "the API server did not answer: ConnectError: gone" in applied.problems[0]
    assert zones.clock.now_s <= 20.0


def test_anothers_fields_are_not_taken() -> None:
    zones = Zones(FakeServer(deployment()))
    zones.server.trouble = [refusal(409, "Apply failed", causes=FOREIGN)]
    applied = zones.actuator.apply(decision(ONE, BIG))
    assert applied.done.tolist() == [False]
    assert applied.problems == ("zone 'a': .spec.cpu: owned by vpa, and taken only from managers that take_over lists",)
    assert zones.server.patched() == ["deployments/a"]
    (event,) = zones.server.events()
    assert (event["reason"], event["type"]) == ("ResizeFailed", "Warning")


def test_a_field_with_several_owners_is_not_taken_if_one_of_them_is_not_listed() -> None:
    zones = Zones(FakeServer(deployment()), KubernetesSettings(dry_run=False, take_over=("kubectl",)))
    shared = (*FOREIGN, ("FieldManagerConflict", ".spec.cpu", 'conflict with "kubectl" using apps/v1'))
    zones.server.trouble = [refusal(409, "Apply failed", causes=shared)]
    assert ".spec.cpu: owned by vpa, kubectl, and" in zones.actuator.apply(decision(ONE, BIG)).problems[0]
    assert zones.server.patched() == ["deployments/a"]


def test_unless_a_setting_says_so() -> None:
    zones = Zones(FakeServer(deployment()), KubernetesSettings(dry_run=False, take_over=("vpa",)))
    zones.server.trouble = [refusal(409, "Apply failed", causes=FOREIGN)]
    assert zones.actuator.apply(decision(ONE, BIG)).done.tolist() == [True]
    forced = [parameters.get("force") for method, _, parameters, _ in zones.server.requests if method == "PATCH"]
    assert forced[-1] == "true"
    assert forced[0] != "true"


def test_a_deployment_that_changed_meanwhile_is_read_again() -> None:
    zones = Zones(FakeServer(deployment()))
    zones.server.trouble = [refusal(409, "the object has been modified")]
    reads = 0

    def change() -> None:
        nonlocal reads
        reads += 1
        if reads == 4:  # after deployments, pods and budgets
            zones.server.objects["deployments"] = [deployment(metadata={"resourceVersion": "2"})]

    zones.server.before_read = change
    assert zones.actuator.apply(decision(ONE, BIG)).done.tolist() == [True]
    versions = [
        body["metadata"]["resourceVersion"] for method, _, _, body in zones.server.requests if method == "PATCH"
    ]
    assert versions == ["1", "2"]


def test_one_that_always_changes_is_given_up() -> None:
    zones = Zones(FakeServer(deployment()))
    zones.server.trouble = [refusal(409, "the object has been modified")] * 100
    assert "has been modified" in zones.actuator.apply(decision(ONE, BIG)).problems[0]
    assert len(zones.server.patched()) == 3


def test_one_zone_that_is_refused_does_not_stop_the_others() -> None:
    zones = Zones(FakeServer(deployment("a"), deployment("b")))
    zones.server.trouble = [refusal(422, "requests must be less than or equal to limits")]
    applied = zones.actuator.apply(decision(ONE * 2, BIG * 2, ("a", "b")))
    assert applied.done.tolist() == [False, True]
    assert "422: requests must be" in applied.problems[0]


def test_an_event_that_cannot_be_written_is_a_problem_and_the_zone_is_done() -> None:
    zones = Zones(FakeServer(deployment()))
    zones.server.trouble = [None, refusal(403, "events is forbidden")]
    applied = zones.actuator.apply(decision(ONE, BIG))
    assert applied.done.tolist() == [True]
    assert "its event was not written: the API server says 403" in applied.problems[0]


def test_a_zone_that_is_gone_keeps_its_last_sizes_and_is_reported() -> None:
    zones = Zones(FakeServer(deployment("a"), deployment("b", cpu="3")))
    zones.server.objects["deployments"] = [deployment("a"), deployment("c")]
    assert zones.actuator.allocations().tolist() == [ONE[0], [3.0, 1000.0, 100.0]]
    applied = zones.actuator.apply(decision(ONE * 2, ONE * 2, ("a", "b")))
    assert applied.done.tolist() == [True, False]
    assert applied.problems == (
        "zone 'c' is new; a controller that starts again will see it",
        "zone 'b' has no Deployment any more",
    )


@pytest.mark.parametrize(
    ("deployments", "words"),
    [
        ([], "no Deployments with the label"),
        ([deployment("a"), merged(deployment("b"), {"metadata": {"labels": {"metalore.io/zone": "a"}}})], "2 Deploy"),
        ([deployment("a", spec={"replicas": 3})], "zone 'a' cannot be sized: it has 3 replicas"),
    ],
)
def test_zones_that_cannot_be_are_refused_at_the_start(deployments: Any, words: str) -> None:
    with pytest.raises(AutoscaleError, match=words):
        Zones(FakeServer(*deployments))


# -- leading -----------------------------------------------------------------------------------------------------------


def test_without_the_lead_nothing_is_done_and_nothing_is_wrong() -> None:
    zones = Zones(FakeServer(deployment("a"), deployment("b")), leads=lambda: False)
    applied = zones.actuator.apply(decision(ONE * 2, [BIG[0], ONE[0]], ("a", "b")))
    assert (applied.done.tolist(), applied.problems) == ([False, True], ())
    assert zones.server.requests == []


def test_it_stops_in_the_middle_when_the_lead_is_lost() -> None:
    server = FakeServer(deployment("a"), deployment("b"))
    zones = Zones(server, leads=lambda: len(server.patched()) < 1)
    applied = zones.actuator.apply(decision(ONE * 2, BIG * 2, ("a", "b")))
    assert server.patched() == ["deployments/a"]
    assert applied.done.tolist() == [True, False]
    assert applied.problems[-1] == "zone 'b': the lead was lost"


def test_it_does_not_retry_after_the_lead_is_lost() -> None:
    server, clocks = FakeServer(deployment()), list[FakeClock]()
    zones = Zones(server, leads=lambda: clocks[0].now_s < 0.1)
    clocks.append(zones.clock)
    server.trouble = [httpx2.ConnectError("gone")] * 10
    applied = zones.actuator.apply(decision(ONE, BIG))
    assert server.patched() == ["deployments/a"]
    assert not applied.done.any()
