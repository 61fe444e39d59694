"""What is known of a zone in the cluster: its Deployment, its pods, and what guards them. No I/O.

Everything is read from what the API server answered; functions return words where something stands in the way, and
nothing where nothing does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lightkube.models.core_v1 import Container
from lightkube.models.meta_v1 import LabelSelector, ManagedFieldsEntry
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Pod
from lightkube.resources.policy_v1 import PodDisruptionBudget

from metalore.autoscale.kubernetes.amounts import Sizes
from metalore.autoscale.kubernetes.settings import (
    BANDWIDTH_NOTE,
    CHANGED_NOTE,
    CPU_NOTE,
    MEMORY_NOTE,
    ZONE,
    KubernetesSettings,
)

_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, eq=False)
class Zone:
    """A zone as it is now.

    Attributes:
        name: value of its label.
        deployment: its server.
        pods: that live.
        budgets: PodDisruptionBudgets of the namespace.
        resizable: whether pods can be resized in place.
    """

    name: str
    deployment: Deployment
    pods: Sequence[Pod] = ()
    budgets: Sequence[PodDisruptionBudget] = ()
    resizable: bool = False


@dataclass(frozen=True)
class Given:
    """What a zone was given last; sizes are unset where the container has none."""

    sizes: Sizes | None
    bandwidth_mbps: float


def zones_of(
    deployments: Sequence[Deployment],
    pods: Sequence[Pod],
    budgets: Sequence[PodDisruptionBudget],
    resizable: bool,
) -> dict[str, Zone]:
    """Zones by name. Of two Deployments with the same zone the first counts, and :func:`fault` says so of neither."""
    living: dict[str, list[Pod]] = {}
    for pod in pods:
        if is_alive(pod):
            living.setdefault(labels_of(pod)[ZONE], []).append(pod)
    zones: dict[str, Zone] = {}
    for deployment in deployments:
        name = labels_of(deployment)[ZONE]
        zones.setdefault(name, Zone(name, deployment, tuple(living.get(name, ())), tuple(budgets), resizable))
    return zones


def labels_of(thing: Deployment | Pod) -> Mapping[str, str]:
    """Labels of an object."""
    return (thing.metadata and thing.metadata.labels) or {}


def notes_of(deployment: Deployment) -> Mapping[str, str]:
    """Annotations of a Deployment."""
    return (deployment.metadata and deployment.metadata.annotations) or {}


def is_alive(pod: Pod) -> bool:
    """Whether a pod is neither over nor about to go."""
    going = pod.metadata is not None and pod.metadata.deletionTimestamp is not None
    over = pod.status is not None and pod.status.phase in ("Succeeded", "Failed")
    return not (going or over)


# -- sizes -------------------------------------------------------------------------------------------------------------


def container_of(containers: Sequence[Container], settings: KubernetesSettings) -> Container | None:
    """The zone's server among containers; None if that is not clear."""
    if settings.container:
        return next((container for container in containers if container.name == settings.container), None)
    return containers[0] if len(containers) == 1 else None


def template_of(zone: Zone) -> Sequence[Container]:
    """Containers of the pod template."""
    spec = zone.deployment.spec
    return (spec.template.spec.containers if spec and spec.template.spec else None) or ()


def sizes_of(container: Container, settings: KubernetesSettings) -> Sizes | None:
    """What a container may use: its limits where they are controlled and there, else its requests."""
    resources = container.resources
    if resources is None:
        return None
    limits = Sizes.read(resources.limits or {}) if settings.controlled == "requests-and-limits" else None
    return limits or Sizes.read(resources.requests or {})


def given_to(zone: Zone, settings: KubernetesSettings) -> Given:
    """What a zone was given last: where pods are resized in place that is noted beside the template."""
    container = container_of(template_of(zone), settings)
    notes = notes_of(zone.deployment)
    noted = Sizes.read({"cpu": notes.get(CPU_NOTE, "0"), "memory": notes.get(MEMORY_NOTE, "0")})
    is_noted = in_place(zone, settings) and CPU_NOTE in notes and MEMORY_NOTE in notes
    of_template = sizes_of(container, settings) if container else None
    return Given(noted if is_noted else of_template, _number(notes.get(BANDWIDTH_NOTE, "0")))


def changed_at(zone: Zone) -> float:
    """When a controller changed the zone last, s since 1970; -inf: it is not known."""
    try:
        noted = datetime.strptime(notes_of(zone.deployment).get(CHANGED_NOTE, ""), _TIME)
    except ValueError:
        return -math.inf
    return noted.replace(tzinfo=UTC).timestamp()


def time_text(time_s: float) -> str:
    """s since 1970 as the API server writes times: UTC, whole seconds, rounded down."""
    return datetime.fromtimestamp(math.floor(time_s), UTC).strftime(_TIME)


def in_place(zone: Zone, settings: KubernetesSettings) -> bool:
    """Whether the zone's pods are resized rather than replaced."""
    return zone.resizable and settings.in_place


def pods_to_resize(zone: Zone, sizes: Sizes, settings: KubernetesSettings) -> list[Pod]:
    """Living pods that have other sizes."""
    different = []
    for pod in zone.pods:
        container = container_of((pod.spec and pod.spec.containers) or (), settings)
        if container is not None and sizes_of(container, settings) != sizes:
            different.append(pod)
    return different


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


# -- what stands in the way --------------------------------------------------------------------------------------------


def fault(zone: Zone, settings: KubernetesSettings) -> str:
    """Why the zone cannot be sized at all."""
    spec = zone.deployment.spec
    replicas = 1 if spec is None or spec.replicas is None else spec.replicas
    if replicas > 1:
        return f"it has {replicas} replicas; a zone is one server"
    containers = template_of(zone)
    container = container_of(containers, settings)
    names = ", ".join(container.name for container in containers)
    if container is None and settings.container:
        return f"it has no container {settings.container!r}; it has {names}"
    if container is None:
        return f"it has the containers {names}; say which one is the zone's server"
    if sizes_of(container, settings) is None:
        return f"container {container.name!r} has no {settings.controlled.replace('-', ' ')} for both cpu and memory"
    return ""


def rollout(deployment: Deployment) -> str:
    """Why a rollout is not complete, by the rules of `kubectl rollout status`."""
    meta, spec, status = deployment.metadata, deployment.spec, deployment.status
    if meta is None or spec is None or status is None:
        return "its status is not known yet"
    if spec.paused:
        return "its rollout is paused"
    if (status.observedGeneration or 0) < (meta.generation or 0):
        return "its last change has not been seen by the deployment controller yet"
    wanted = 1 if spec.replicas is None else spec.replicas
    updated, replicas, available = status.updatedReplicas or 0, status.replicas or 0, status.availableReplicas or 0
    if updated < wanted:
        return f"its rollout is running: {updated} of {wanted} pods are new"
    if replicas > updated:
        return f"its rollout is running: {replicas - updated} old pods still live"
    if available < updated:
        return f"its rollout is running: {available} of {updated} pods are available"
    return ""


def is_stuck(deployment: Deployment) -> bool:
    """Whether the deployment controller has given up on a rollout: another size may be the way out."""
    conditions = (deployment.status and deployment.status.conditions) or []
    return any(c.type == "Progressing" and c.reason == "ProgressDeadlineExceeded" for c in conditions)


def guard(zone: Zone) -> str:
    """Name of a budget that allows no pod of the zone to go; none if it has no pods."""
    for budget in zone.budgets:
        selector = budget.spec.selector if budget.spec else None
        allowed = (budget.status.disruptionsAllowed if budget.status else 0) or 0
        if allowed < 1 and selector and any(selects(selector, labels_of(pod)) for pod in zone.pods):
            return (budget.metadata and budget.metadata.name) or "?"
    return ""


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether a label selector means an object with these labels."""
    if any(labels.get(key) != value for key, value in (selector.matchLabels or {}).items()):
        return False
    for rule in selector.matchExpressions or ():
        listed = labels.get(rule.key) in (rule.values or ())
        met = {
            "In": listed,
            "NotIn": not listed,
            "Exists": rule.key in labels,
            "DoesNotExist": rule.key not in labels,
        }
        if not met[rule.operator]:
            return False
    return True


def owns_template(deployment: Deployment, manager: str) -> bool:
    """Whether a field manager has applied sizes to the template before."""
    entries: Sequence[ManagedFieldsEntry] = (deployment.metadata and deployment.metadata.managedFields) or ()
    return any(
        entry.manager == manager and entry.operation == "Apply" and "f:spec" in (entry.fieldsV1 or {})
        for entry in entries
    )
