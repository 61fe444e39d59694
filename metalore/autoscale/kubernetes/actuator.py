"""The Kubernetes actuator: zones are Deployments with the label `metalore.io/zone`."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import httpx2
import numpy as np
from lightkube.core.exceptions import ApiError

from metalore.autoscale.actuator import Actuator, Applied
from metalore.autoscale.controller import Clock
from metalore.autoscale.errors import AutoscaleError
from metalore.autoscale.kubernetes.amounts import Sizes
from metalore.autoscale.kubernetes.cluster import Abilities, Cluster
from metalore.autoscale.kubernetes.events import event_of
from metalore.autoscale.kubernetes.plan import (
    Step,
    deployment_patch,
    may_take_over,
    owners,
    plan,
    pod_patch,
)
from metalore.autoscale.kubernetes.retry import Backoff, Patience, code_of
from metalore.autoscale.kubernetes.settings import KubernetesSettings
from metalore.autoscale.kubernetes.zone import (
    Given,
    Zone,
    changed_at,
    container_of,
    fault,
    given_to,
    pods_to_resize,
    template_of,
    zones_of,
)
from metalore.autoscale.model import BANDWIDTH, CPU, MEMORY, RESOURCES, Decision, in_words

STALE_TRIES = 3
"""How often a patch is made anew when the Deployment has changed meanwhile."""

_REASONS = {"resize": "ResizedInPlace", "template": "Resized", "note": "BandwidthChanged"}


@dataclass(frozen=True)
class Act:
    """What was done about a zone, or would have been.

    Attributes:
        time_s: when.
        zone: its name.
        what: "resize", "template", "note" (see :data:`metalore.autoscale.kubernetes.plan.What`), "wait" or "refuse",
            or "fail" when the server said no or nothing.
        before, after: amounts in words.
        reason: of the decision.
        problem: why it waits, is refused, or failed.
        dry_run: nothing was written.
    """

    time_s: float
    zone: str
    what: str
    before: str
    after: str
    reason: str
    problem: str
    dry_run: bool

    @property
    def done(self) -> bool:
        """Whether it took place, or would have."""
        return self.what in _REASONS

    def __str__(self) -> str:
        would = "would " if self.dry_run else ""
        change = f"{self.zone}: {would}{self.what}: {self.before} -> {self.after}"
        return f"{change} ({self.reason})" + (f"; {self.problem}" if self.problem else "")


class KubernetesZones(Actuator):
    """Zones of a namespace. Which there are is settled when it is made.

    Args:
        cluster: whose zones they are.
        clock: for retries and the time of events, s since 1970.
        settings: how zones are changed.
        backoff: how long the server is tried again.
        leads: whether this controller may act now; asked before every patch.
        told: is told what is done, or would be.
        identity: of this controller, for events.
        seed: of the jitter.

    Raises:
        AutoscaleError: no zones, two Deployments for one, or one that cannot be sized.
    """

    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        settings: KubernetesSettings | None = None,
        *,
        backoff: Backoff | None = None,
        leads: Callable[[], bool] = lambda: True,
        told: Callable[[Act], None] = lambda act: None,
        identity: str = "",
        seed: int = 0,
    ) -> None:
        self._cluster, self._clock, self._settings = cluster, clock, settings or KubernetesSettings()
        self._backoff, self._leads, self._told = backoff or Backoff(), leads, told
        self._identity, self._chance = identity, random.Random(seed)
        self._abilities: Abilities | None = None
        self._waiting: dict[str, str] = {}
        zones = self._look(self._patience())
        self._check(zones)
        self.zones = tuple(sorted(zones))
        self._given = np.full((len(zones), len(RESOURCES)), np.nan)
        self._given = self._amounts(zones)
        self._changed_at = np.full(len(zones), -np.inf)

    def _check(self, zones: Mapping[str, Zone]) -> None:
        if not zones:
            raise AutoscaleError(
                f"namespace {self._cluster.namespace!r} has no Deployments with the label metalore.io/zone"
            )
        for name, zone in zones.items():
            if reason := fault(zone, self._settings):
                raise AutoscaleError(f"zone {name!r} cannot be sized: {reason}")

    def _patience(self) -> Patience:
        return Patience(self._backoff, self._clock, self._chance)

    # -- looking -------------------------------------------------------------------------------------------------------

    def allocations(self) -> np.ndarray:
        zones = self._look(self._patience())
        self._given = self._amounts(zones)
        self._changed_at = np.array([changed_at(zones[name]) if name in zones else -np.inf for name in self.zones])
        return self._given.copy()

    def changed_at(self) -> np.ndarray:
        return self._changed_at.copy()

    def _look(self, patience: Patience) -> dict[str, Zone]:
        """All zones as they are now."""
        abilities = self._abilities = self._abilities or patience(self._cluster.abilities)
        deployments = patience(self._cluster.deployments)
        zones = zones_of(
            deployments,
            patience(self._cluster.pods),
            patience(self._cluster.budgets, abilities.budgets),
            abilities.resize,
        )
        if len(zones) < len(deployments):
            raise AutoscaleError(f"{len(deployments)} Deployments are {len(zones)} zones; each needs a name of its own")
        return zones

    def _amounts(self, zones: Mapping[str, Zone]) -> np.ndarray:
        """[z, r]; of a zone that is gone, or has no sizes any more, what it had last."""
        amounts = np.array([_row(zones.get(name), self._settings) for name in self.zones])
        return np.where(np.isnan(amounts), self._given, amounts)

    # -- acting --------------------------------------------------------------------------------------------------------

    def apply(self, decision: Decision) -> Applied:
        """Carry a decision out: first what shrinks, so that there is room for what grows.

        Without the lead nothing is done, and nothing is wrong.
        """
        done: np.ndarray = ~np.any(decision.changed, axis=1)
        if not self._may_act():
            return Applied(done)
        patience = self._patience()
        zones = self._look(patience)
        problems = [
            f"zone {name!r} is new; a controller that starts again will see it"
            for name in sorted(zones.keys() - self.zones)
        ]
        grows = (decision.after > decision.before).any(axis=1)
        for z in np.argsort(grows, kind="stable").tolist():
            zone = zones.get(decision.zones[z])
            if zone is None:
                problems.append(f"zone {decision.zones[z]!r} has no Deployment any more")
                done[z] = False
                continue
            act = self._carry_out(zone, decision, z, patience)
            done[z] = act is None or (act.done and not act.dry_run)
            if act is not None:
                self._told(act)
            if act is not None and act.problem:
                problems.append(f"zone {act.zone!r}: {act.problem}")
        return Applied(done, tuple(problems))

    def _may_act(self) -> bool:
        """A dry run writes nothing, so it needs no lead."""
        return self._settings.dry_run or self._leads()

    def _carry_out(self, zone: Zone, decision: Decision, z: int, patience: Patience) -> Act | None:
        """What was done about a zone; nothing if nothing had to be."""
        after = decision.after[z]
        wanted = Given(Sizes.of(after[CPU], after[MEMORY]), float(f"{after[BANDWIDTH]:.6g}"))
        step, problem = self._attempt(zone, wanted, decision.time_s, patience)
        if step.what == "keep":
            self._waiting.pop(zone.name, None)
            return None
        what = "fail" if problem else step.what
        act = Act(
            time_s=decision.time_s,
            zone=zone.name,
            what=what,
            before=in_words(decision.before[z]),
            after=in_words(after),
            reason=decision.of(zone.name).reason,
            problem=problem or step.words,
            dry_run=self._settings.dry_run,
        )
        return replace(act, problem="; ".join(filter(None, (act.problem, self._note(zone, act)))))

    def _attempt(self, zone: Zone, wanted: Given, now_s: float, patience: Patience) -> tuple[Step, str]:
        """Plan and patch, anew if the Deployment has changed meanwhile; what was planned last, and what went wrong."""
        step, problem = plan(zone, wanted, self._settings), ""
        for _ in range(STALE_TRIES):
            if step.what in ("keep", "wait", "refuse"):
                return step, ""
            try:
                self._patch(zone, wanted, step, now_s, patience)
                return step, ""
            except _NoLeadError:
                return step, "the lead was lost"
            except httpx2.HTTPError as error:
                problem = in_a_sentence(error)
                if not _is_stale(error):
                    return step, problem
            try:
                zone = replace(zone, deployment=patience(self._cluster.deployment, _name(zone)))
            except httpx2.HTTPError as error:
                return step, in_a_sentence(error)
            step = plan(zone, wanted, self._settings)
        return step, problem

    def _patch(self, zone: Zone, wanted: Given, step: Step, now_s: float, patience: Patience) -> None:
        """Everything of a step. Raises what the server says at last, and when the lead is lost."""
        body = deployment_patch(zone, wanted, step, self._settings, now_s)
        if step.what != "resize" or given_to(zone, self._settings) != wanted:
            patience(self._apply, _name(zone), body)
        if step.what == "resize":
            assert wanted.sizes is not None
            container = container_of(template_of(zone), self._settings)
            assert container is not None
            patch = pod_patch(container.name, wanted.sizes, self._settings)
            for pod in pods_to_resize(zone, wanted.sizes, self._settings):
                patience(self._resize, (pod.metadata and pod.metadata.name) or "", patch)

    def _apply(self, name: str, body: dict[str, object]) -> None:
        manager, dry_run = self._settings.manager, self._settings.dry_run
        self._check_lead()
        try:
            self._cluster.apply(name, body, manager=manager, force=False, dry_run=dry_run)
        except ApiError as error:
            if not may_take_over(owners(causes_of(error)), self._settings):
                raise
            self._check_lead()
            self._cluster.apply(name, body, manager=manager, force=True, dry_run=dry_run)

    def _resize(self, name: str, patch: dict[str, object]) -> None:
        self._check_lead()
        self._cluster.resize(name, patch, manager=self._settings.manager, dry_run=self._settings.dry_run)

    def _check_lead(self) -> None:
        if not self._may_act():
            raise _NoLeadError

    # -- telling -------------------------------------------------------------------------------------------------------

    def _note(self, zone: Zone, act: Act) -> str:
        """Write an event, but none that says the same as the one before; what went wrong with that, in words."""
        told_before = self._waiting.pop(zone.name, "")
        if not act.done:
            self._waiting[zone.name] = act.problem
        if act.dry_run or (act.problem and act.problem == told_before) or not self._leads():
            return ""
        reason = _REASONS.get(act.what, "ResizeWaits" if act.what == "wait" else "ResizeFailed")
        words = f"{act.before} -> {act.after}: " + "; ".join(filter(None, (act.problem, act.reason)))
        event = event_of(
            zone.deployment,
            reason,
            words,
            warning=act.what in ("fail", "refuse"),
            identity=self._identity,
            now_s=self._clock.now(),
        )
        try:
            self._cluster.write(event)
        except httpx2.HTTPError as error:
            return f"its event was not written: {in_a_sentence(error)}"
        return ""


class _NoLeadError(Exception):
    """Another controller may lead by now."""


def _row(zone: Zone | None, settings: KubernetesSettings) -> list[float]:
    given = given_to(zone, settings) if zone else None
    if given is None or given.sizes is None:
        return [np.nan, np.nan, np.nan]
    return [given.sizes.cores, given.sizes.memory_mb, given.bandwidth_mbps]


def _name(zone: Zone) -> str:
    return (zone.deployment.metadata and zone.deployment.metadata.name) or ""


def causes_of(error: Exception) -> list[tuple[str, str]]:
    """Causes in a server's answer that name a field manager: field and message; a field may have several owners."""
    details = error.status.details if isinstance(error, ApiError) and error.status else None
    causes = (details.causes if details else None) or ()
    return [(c.field or "", c.message or "") for c in causes if c.reason == "FieldManagerConflict"]


def _is_stale(error: Exception) -> bool:
    """Whether the object has changed since it was read; nobody else owns its fields."""
    return code_of(error) == 409 and not causes_of(error)


def in_a_sentence(error: Exception) -> str:
    """What the server said, or that it said nothing."""
    managers = owners(causes_of(error))
    if managers:
        fields = ", ".join(dict(causes_of(error)))
        return f"{fields}: owned by {', '.join(managers)}, and taken only from managers that take_over lists"
    code = code_of(error)
    if code:
        return f"the API server says {code}: {' '.join(str(error).split())}"
    return f"the API server did not answer: {type(error).__name__}: {error}"
