"""What has changed in a namespace, in words."""

from __future__ import annotations

from typing import Any

import pytest
from autoscale.kubernetes.things import deployment, merged, pod, resources
from autoscale.kubernetes.watched import event

from metalore.autoscale.kubernetes.changes import LONGEST, Change, Ledger, plain
from metalore.autoscale.kubernetes.watch import DEPLOYMENTS, EVENTS, MOST_OBJECTS, PODS


def by(manager: str, time: str = "2026-01-01T00:00:00Z", fields: Any = None) -> dict[str, Any]:
    owned = {"f:spec": {"f:resources": {}}} if fields is None else fields
    return {"manager": manager, "time": time, "operation": "Apply", "fieldsV1": owned}


@pytest.fixture
def ledger() -> Ledger:
    """That knows zones a and b, a pod of each, and no event."""
    found = Ledger()
    first = [
        found.listed(DEPLOYMENTS, [deployment("a"), deployment("b")]),
        found.listed(PODS, [pod("a", "a-1"), pod("b", "b-1")]),
        found.listed(EVENTS, []),
    ]
    assert first == [[], [], []]
    return found


def test_a_deployment_that_is_sized_anew_is_told_with_who_did_it(ledger: Ledger) -> None:
    managers = [by("kubectl"), by("metalore-autoscaler", "2026-01-01T00:00:09Z"), by("later", "2027", {"f:status": {}})]
    sized = deployment("a", "1500m", "1G", metadata={"managedFields": managers})
    assert ledger.changed(DEPLOYMENTS, "MODIFIED", sized) == Change(
        "a", "requests and limits 1 CPU, 1G memory → 1500m CPU, 1G memory, by metalore-autoscaler"
    )
    assert ledger.changed(DEPLOYMENTS, "MODIFIED", merged(sized, {"status": {"replicas": 2}})) is None
    assert ledger.allocations()["a"] == "requests and limits 1500m CPU, 1G memory; bandwidth 100 Mbit/s"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"metadata": {"annotations": {"metalore.io/bandwidth-mbps": "40"}}}, "bandwidth 100 Mbit/s → 40 Mbit/s"),
        (
            {"metadata": {"annotations": {"metalore.io/cpu": "2", "metalore.io/memory": "3G"}}},
            "given in place nothing → 2 CPU, 3G memory",
        ),
        (
            {"spec": {"template": {"spec": {"containers": [{"name": "zone", "resources": {"limits": {"cpu": "1"}}}]}}}},
            "requests 1 CPU, 1G memory → nothing; limits 1 CPU, 1G memory → 1 CPU",
        ),
    ],
)
def test_every_amount_that_the_actuator_patches_is_told(ledger: Ledger, changes: Any, text: str) -> None:
    assert ledger.changed(DEPLOYMENTS, "MODIFIED", deployment("a", **changes)) == Change("a", text)


def test_containers_are_told_apart(ledger: Ledger) -> None:
    def two(cpu: str) -> Any:
        containers = [{"name": name, "resources": resources(cpu, "1G")} for name in ("zone", "proxy")]
        containers[1]["resources"] = resources("1", "1G")
        return pod("a", "a-2", spec={"containers": containers})

    assert ledger.changed(PODS, "ADDED", two("1")) is None
    assert ledger.changed(PODS, "MODIFIED", two("2")) == Change(
        "a", "pod a-2: requests of zone and limits of zone 1 CPU, 1G memory → 2 CPU, 1G memory"
    )


def test_a_pod_that_is_resized_is_told_and_one_that_comes_or_goes_is_not(ledger: Ledger) -> None:
    assert ledger.changed(PODS, "MODIFIED", pod("b", "b-1", cpu="2")) == Change(
        "b", "pod b-1: requests and limits 1 CPU, 1G memory → 2 CPU, 1G memory"
    )
    assert ledger.changed(PODS, "ADDED", pod("b", "b-2", cpu="3")) is None
    assert ledger.changed(PODS, "DELETED", pod("b", "b-1")) is None


def test_zones_that_come_and_go_are_told(ledger: Ledger) -> None:
    assert ledger.changed(DEPLOYMENTS, "ADDED", deployment("c")) == Change(
        "c", "it has a Deployment now: requests and limits 1 CPU, 1G memory; bandwidth 100 Mbit/s"
    )
    assert ledger.changed(DEPLOYMENTS, "DELETED", deployment("a")) == Change("a", "its Deployment is gone")
    assert ledger.changed(DEPLOYMENTS, "DELETED", deployment("a")) is None
    assert set(ledger.allocations()) == {"b", "c"}


def test_an_event_is_told_once_with_its_reason_in_full(ledger: Ledger) -> None:
    ledger.listed(DEPLOYMENTS, [merged(deployment("server-a"), {"metadata": {"labels": {"metalore.io/zone": "a"}}})])
    said = event("e1", "1 cores -> 2 cores: guests are expected", about="server-a")
    assert ledger.changed(EVENTS, "ADDED", said) == Change("a", "Resized: 1 cores -> 2 cores: guests are expected")
    assert ledger.changed(EVENTS, "ADDED", said) is None
    assert ledger.changed(EVENTS, "DELETED", event("e2", "old")) is None
    assert ledger.listed(EVENTS, [said, event("e3", "more", about="b")]) == [Change("b", "Resized: more")]


def test_what_was_there_before_is_no_news() -> None:
    ledger = Ledger()
    assert ledger.listed(EVENTS, [event("e1", "yesterday")]) == []
    assert ledger.changed(EVENTS, "ADDED", event("e1", "yesterday")) is None


def test_a_second_list_tells_what_was_missed(ledger: Ledger) -> None:
    changes = ledger.listed(DEPLOYMENTS, [deployment("b", "2"), deployment("c")])
    assert [(change.zone, change.text.split(":")[0]) for change in changes] == [
        ("a", "its Deployment is gone"),
        ("b", "requests and limits 1 CPU, 1G memory → 2 CPU, 1G memory"),
        ("c", "it has a Deployment now"),
    ]


@pytest.mark.parametrize(
    "thing",
    [
        {},
        {"metadata": None, "spec": []},
        {"metadata": {"name": 7, "labels": "x", "managedFields": [3, {"fieldsV1": "f:resources", "manager": []}]}},
        {"spec": {"template": {"spec": {"containers": [1, {"name": {}, "resources": {"requests": {"cpu": [[]]}}}]}}}},
        {"involvedObject": 3, "reason": None, "message": {"a": 1}},
    ],
)
def test_objects_of_any_form_are_survived(ledger: Ledger, thing: Any) -> None:
    for kind in (DEPLOYMENTS, PODS, EVENTS):
        ledger.changed(kind, "MODIFIED", thing)
        ledger.listed(kind, [thing])
    assert all(isinstance(text, str) for text in ledger.allocations().values())


def test_what_is_known_is_bounded(ledger: Ledger) -> None:
    for i in range(MOST_OBJECTS + 50):
        ledger.changed(DEPLOYMENTS, "ADDED", deployment(f"d{i}"))
        ledger.changed(EVENTS, "ADDED", event(f"e{i}", "x"))
    assert len(ledger.allocations()) == MOST_OBJECTS
    assert len(ledger._told) == MOST_OBJECTS


def test_texts_are_one_plain_line_of_bounded_length() -> None:
    assert plain("a\nb\x00c\u202ed\u2028e\ud800 <b>") == "a b c d e <b>"
    assert plain(None) == ""
    assert plain("x" * 9999) == "x" * (LONGEST - 1) + "…"
    assert plain("\x00" * 10**6 + "y") == ""
