"""What may be changed in a cluster, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metalore.autoscale.errors import AutoscaleError

ZONE = "metalore.io/zone"
"""Label of a zone's Deployment and of its pods; its value is the zone's name."""
CPU_NOTE, MEMORY_NOTE = "metalore.io/cpu", "metalore.io/memory"
"""Annotations of a Deployment whose pods were resized in place: what they were given."""
BANDWIDTH_NOTE = "metalore.io/bandwidth-mbps"
"""Annotation of a Deployment: the zone's bandwidth. On the pods it would restart them."""
CHANGED_NOTE = "metalore.io/changed"
"""Annotation of a Deployment: when a controller changed it last, in UTC."""

CONTROLLED = ("requests-and-limits", "requests")


@dataclass(frozen=True)
class KubernetesSettings:
    """How zones are changed.

    Attributes:
        dry_run: the server checks every patch and keeps none (`dryRun=All`); nothing else is written either.
        manager: field manager of the patches.
        take_over: field managers from whom fields are taken; with anybody else's a conflict is reported.
        controlled: what is set; limits are as high as requests, so that a zone has what it is given, and no more.
        container: which container is the zone's server; empty: the only one.
        in_place: resize pods where the server can; without, or where it cannot, the template changes and pods restart.
        urgent: growth by a larger part than this does not wait for a rollout that is running.

    Raises:
        AutoscaleError: a setting that cannot be.
    """

    dry_run: bool = True
    manager: str = "metalore-autoscaler"
    take_over: tuple[str, ...] = ()
    controlled: Literal["requests-and-limits", "requests"] = "requests-and-limits"
    container: str = ""
    in_place: bool = True
    urgent: float = 0.5

    def __post_init__(self) -> None:
        if self.controlled not in CONTROLLED:
            raise AutoscaleError(f"controlled is {self.controlled!r}; it must be one of {', '.join(CONTROLLED)}")
        if not self.manager:
            raise AutoscaleError("manager is empty; patches need the name of a field manager")
        if not self.urgent >= 0:
            raise AutoscaleError(f"urgent is {self.urgent}; it cannot be negative")
