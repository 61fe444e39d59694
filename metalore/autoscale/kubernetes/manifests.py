"""Manifests of zones: a Deployment and a Service for each, which runs `metalore zone`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lightkube import codecs

from metalore.autoscale.errors import AutoscaleError
from metalore.autoscale.kubernetes.amounts import Sizes
from metalore.autoscale.kubernetes.settings import BANDWIDTH_NOTE, ZONE
from metalore.autoscale.simulated import ASSUMED_EFFICIENCY
from metalore.scenario import Scenario, zone_names

PORT = 8080
USER_ID = 10001
"""Of the container; anything but root."""

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class ZoneServerSpec:
    """A zone's server.

    Attributes:
        name: of the zone, its Deployment and its Service.
        cores, memory_mb, bandwidth_mbps: given at first.

    Raises:
        AutoscaleError: a name that a Service cannot have, or sizes that are not positive.
    """

    name: str
    cores: float
    memory_mb: float
    bandwidth_mbps: float

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise AutoscaleError(
                f"zone {self.name!r} cannot be a Service; names are a-z, 0-9 and '-', begin with a letter, and have at"
                " most 63 characters"
            )
        if not (self.cores > 0 and self.memory_mb > 0 and self.bandwidth_mbps > 0):
            raise AutoscaleError(f"zone {self.name!r} needs positive sizes")


def numbered(count: int, cores: float, memory_mb: float, bandwidth_mbps: float = 100.0) -> list[ZoneServerSpec]:
    """Any number of equal zones: zone-000 and so on.

    Raises:
        AutoscaleError: fewer than one.
    """
    if count < 1:
        raise AutoscaleError(f"{count} zones cannot be; at least 1")
    return [ZoneServerSpec(f"zone-{i:03d}", cores, memory_mb, bandwidth_mbps) for i in range(count)]


def of_scenario(scenario: Scenario, cores: float, memory_mb: float) -> list[ZoneServerSpec]:
    """A scenario's zones: the largest server gets these cores, the others as many in proportion."""
    most = max(station.compute_gcycle_s for station in scenario.stations)
    return [
        ZoneServerSpec(
            name,
            cores * station.compute_gcycle_s / most,
            memory_mb,
            station.bandwidth_hz * ASSUMED_EFFICIENCY / 1e6,
        )
        for name, station in zip(zone_names(scenario), scenario.stations, strict=True)
    ]


def manifests(zones: Sequence[ZoneServerSpec], image: str = "metalore", most: float = 4.0) -> str:
    """YAML of all zones.

    Args:
        zones: with names of their own.
        image: of the container.
        most: a zone's workload takes at most so many times what it is given at first.

    Raises:
        AutoscaleError: two zones of one name.
    """
    names = [zone.name for zone in zones]
    for name in names:
        if names.count(name) > 1:
            raise AutoscaleError(f"two zones are called {name!r}; each needs a name of its own")
    objects = [
        codecs.from_dict(manifest) for zone in zones for manifest in (_deployment(zone, image, most), _service(zone))
    ]
    return str(codecs.dump_all_yaml(objects))


def _labels(zone: ZoneServerSpec) -> dict[str, str]:
    return {"app.kubernetes.io/name": "metalore-zone", "app.kubernetes.io/part-of": "metalore", ZONE: zone.name}


def _deployment(zone: ZoneServerSpec, image: str, most: float) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": zone.name,
            "labels": _labels(zone),
            "annotations": {BANDWIDTH_NOTE: f"{zone.bandwidth_mbps:.6g}"},
        },
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {ZONE: zone.name}},
            # the new pod is there before the old one goes
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {
                    "labels": _labels(zone),
                    "annotations": {
                        "prometheus.io/scrape": "true",
                        "prometheus.io/port": str(PORT),
                        "prometheus.io/path": "/metrics",
                    },
                },
                "spec": {
                    "automountServiceAccountToken": False,
                    "securityContext": pod_security(),
                    "terminationGracePeriodSeconds": 5,
                    "containers": [_container(zone, image, most)],
                },
            },
        },
    }


def _container(zone: ZoneServerSpec, image: str, most: float) -> dict[str, Any]:
    sizes = Sizes.of(zone.cores, zone.memory_mb).to_dict()
    health = {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10, "timeoutSeconds": 5}
    arguments = {
        "name": zone.name,
        "host": "0.0.0.0",
        "port": PORT,
        "most-cores": f"{most * zone.cores:.4g}",
        "most-mb": f"{most * zone.memory_mb:.6g}",
    }
    return {
        "name": "zone",
        "image": image,
        "args": ["zone", *(f"--{name}={value}" for name, value in arguments.items())],
        "ports": [{"name": "http", "protocol": "TCP", "containerPort": PORT}],
        "resources": {"requests": sizes, "limits": sizes},
        "securityContext": container_security(),
        "startupProbe": health | {"failureThreshold": 30, "periodSeconds": 2},
        "readinessProbe": health,
        "livenessProbe": health | {"failureThreshold": 6},
    }


def _service(zone: ZoneServerSpec) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": zone.name, "labels": _labels(zone)},
        "spec": {
            "selector": {ZONE: zone.name},
            "ports": [{"name": "http", "protocol": "TCP", "port": PORT, "targetPort": "http"}],
        },
    }


def pod_security() -> dict[str, Any]:
    """No root in a pod."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER_ID,
        "runAsGroup": USER_ID,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> dict[str, Any]:
    """Nothing that a container here needs."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
