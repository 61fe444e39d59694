"""What to do about a zone, and the patches that do it. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from metalore.autoscale.kubernetes.amounts import Sizes
from metalore.autoscale.kubernetes.settings import (
    BANDWIDTH_NOTE,
    CHANGED_NOTE,
    CPU_NOTE,
    MEMORY_NOTE,
    KubernetesSettings,
)
from metalore.autoscale.kubernetes.zone import (
    Given,
    Zone,
    container_of,
    fault,
    given_to,
    guard,
    in_place,
    is_stuck,
    owns_template,
    pods_to_resize,
    rollout,
    sizes_of,
    template_of,
    time_text,
)

What = Literal["keep", "refuse", "wait", "resize", "template", "note"]
"""Nothing to do; cannot be done; not now; pods in place; the pod template; an annotation, which restarts nothing."""


@dataclass(frozen=True)
class Step:
    """What to do about a zone.

    Attributes:
        what: see :data:`What`.
        words: why it waits or is refused.
    """

    what: What
    words: str = ""


def plan(zone: Zone, wanted: Given, settings: KubernetesSettings) -> Step:
    """What to do so that a zone gets what is wanted.

    A template change replaces pods, so it waits while a rollout is running (but for urgent growth, and for one that is
    stuck) and while a PodDisruptionBudget allows no pod to go. Resizing in place replaces none and waits for nothing.
    """
    if reason := fault(zone, settings):
        return Step("refuse", reason)
    given = given_to(zone, settings)
    assert given.sizes is not None  # that would be a fault
    assert wanted.sizes is not None
    if in_place(zone, settings):
        is_so = given == wanted and not pods_to_resize(zone, wanted.sizes, settings)
        return Step("keep") if is_so else Step("resize")
    if given.sizes == wanted.sizes:
        return Step("keep") if given == wanted else Step("note")
    running = rollout(zone.deployment)
    if running and not is_stuck(zone.deployment) and not _is_urgent(given.sizes, wanted.sizes, settings):
        return Step("wait", running)
    if name := guard(zone):
        return Step("wait", f"PodDisruptionBudget {name!r} allows none of its pods to go")
    return Step("template")


def _is_urgent(given: Sizes, wanted: Sizes, settings: KubernetesSettings) -> bool:
    factor = 1 + settings.urgent
    return wanted.cores > factor * given.cores or wanted.memory_mb > factor * given.memory_mb


def deployment_patch(
    zone: Zone, wanted: Given, step: Step, settings: KubernetesSettings, now_s: float
) -> dict[str, Any]:
    """For server-side apply: everything that the field manager wants to own, since it gives up what is left out.

    The resource version is part of it, so that a patch which was made for another state is refused. `now_s`, s since
    1970, is noted as the time of the change.
    """
    assert wanted.sizes is not None
    meta = zone.deployment.metadata
    assert meta is not None
    notes = {CHANGED_NOTE: time_text(now_s)}
    if wanted.bandwidth_mbps > 0:
        notes[BANDWIDTH_NOTE] = f"{wanted.bandwidth_mbps:.6g}"
    if step.what == "resize":
        notes |= {CPU_NOTE: wanted.sizes.cpu, MEMORY_NOTE: wanted.sizes.memory}
    body: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": meta.name, "resourceVersion": meta.resourceVersion, "annotations": notes},
    }
    container = container_of(template_of(zone), settings)
    assert container is not None
    sizes = wanted.sizes if step.what == "template" else sizes_of(container, settings)
    if sizes and (step.what == "template" or owns_template(zone.deployment, settings.manager)):
        body["spec"] = {"template": {"spec": {"containers": [container_patch(container.name, sizes, settings)]}}}
    return body


def container_patch(name: str, sizes: Sizes, settings: KubernetesSettings) -> dict[str, Any]:
    """A container with nothing but its sizes."""
    parts = ("requests", "limits") if settings.controlled == "requests-and-limits" else ("requests",)
    return {"name": name, "resources": {part: sizes.to_dict() for part in parts}}


def pod_patch(name: str, sizes: Sizes, settings: KubernetesSettings) -> dict[str, Any]:
    """For the `resize` subresource of a pod, a strategic merge."""
    return {"spec": {"containers": [container_patch(name, sizes, settings)]}}


# -- conflicts ---------------------------------------------------------------------------------------------------------


def owners(causes: Sequence[tuple[str, str]]) -> list[str]:
    """Field managers in the way, from the causes of a conflict (field and message)."""
    found = [message.split('"')[1] for _, message in causes if message.count('"') >= 2]
    return list(dict.fromkeys(found))


def may_take_over(managers: list[str], settings: KubernetesSettings) -> bool:
    """Whether all of them are listed in `take_over`."""
    return bool(managers) and set(managers) <= set(settings.take_over)
