"""The Kubernetes horizontal pod autoscaler's rule, for the size of zones.

Source: "Horizontal Pod Autoscaling", Kubernetes documentation (algorithm details, configurable scaling behaviour), and
the defaults of its API `autoscaling/v2`. Differently from the original: a replica is a unit of size, a zone has as many
of each resource as it needs, and each resource is scaled on its own, since a zone may get CPU without memory. What may
be missing are intervals of the zone's metric, not pods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metalore.autoscale.model import RESOURCES, Amounts, Reason, Seen, title
from metalore.autoscale.recommender import Advice, Recommender, State

_CRUMB = 1e-9
"""Of a replica; sums of units may be off by this."""


@dataclass(frozen=True)
class HorizontalRule(Recommender):
    """Replicas = ceil(replicas * use / target), held for a while on the way down, limited on the way up.

    Attributes:
        target: part of what a zone has that is to be used.
        unit: what one replica is, in cores, MB and Mbit/s.
        tolerance: by how much use / target may be off 1 without a change.
        intervals: newest ones that the use is the mean of. Missing ones count as not used at all before growing, and as
            fully used before shrinking; if all are missing, nothing changes.
        stabilisation_s: replicas go down to the most that was recommended in this time.
        growth, pods, period_s: in each period replicas grow by this part or by so many, whichever is more.
        least: replicas.
    """

    name: ClassVar[str] = "hpa"

    target: float = 0.7
    unit: Amounts = (0.25, 128.0, 10.0)
    tolerance: float = 0.1
    intervals: int = 1
    stabilisation_s: float = 300.0
    growth: float = 1.0
    pods: int = 4
    period_s: float = 15.0
    least: int = 1

    def recommend(self, seen: Seen, state: State) -> Advice:
        replicas = np.ceil(seen.allocated / self.unit - _CRUMB)
        use, desired = self._desired(seen, replicas)
        state = self._remembered(seen.now_s, replicas, desired, state)
        stable = np.clip(replicas, desired, state["desired"].max(axis=0))
        began = state["period_replicas"]
        grown = np.minimum(stable, np.maximum(np.floor(began * (1 + self.growth)), began + self.pods))
        given = np.maximum(np.where(stable > replicas, grown, stable), self.least)
        wanted = np.where(np.isnan(use), np.nan, given * self.unit)
        return Advice(wanted, tuple(self._reason(*rows) for rows in zip(use, replicas, given, strict=True)), state)

    def _desired(self, seen: Seen, replicas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean use [z, r], NaN if not known, and the replicas that it asks for."""
        usage, shape = seen.usage, replicas.shape
        recent = usage.recent(self.intervals, seen.now_s).used / seen.allocated
        known = (~np.isnan(recent)).sum(axis=0)
        total = np.nansum(recent, axis=0)
        use = np.divide(total, known, out=np.full(shape, np.nan), where=known > 0)
        missing = np.where(use > self.target, 0.0, self.intervals - known)  # not used, or fully used
        ratio = (total + missing) / self.intervals / self.target
        stays = np.isnan(use) | (np.abs(ratio - 1) <= self.tolerance) | ((ratio > 1) != (use > self.target))
        return use, np.where(stays, replicas, np.ceil(replicas * ratio - _CRUMB))

    def _remembered(self, now_s: float, replicas: np.ndarray, desired: np.ndarray, state: State) -> State:
        """What was desired within the stabilisation window, now included, and how the period began."""
        if not state:
            state = {
                "desired_at": np.array([now_s]),
                "desired": replicas[None],
                "period_at": np.array(now_s),
                "period_replicas": replicas,
            }
        kept = state["desired_at"] > now_s - self.stabilisation_s
        fresh = now_s - state["period_at"] >= self.period_s
        return {
            "desired_at": np.append(state["desired_at"][kept], now_s),
            "desired": np.concatenate([state["desired"][kept], desired[None]]),
            "period_at": np.array(now_s) if fresh else state["period_at"],
            "period_replicas": replicas if fresh else state["period_replicas"],
        }

    def _reason(self, use: np.ndarray, replicas: np.ndarray, given: np.ndarray) -> Reason:
        parts = [
            f"{title(r)} use {use[r]:.0%} of {replicas[r]:.0f} replicas, so {given[r]:.0f}"
            for r in range(len(RESOURCES))
            if given[r] != replicas[r] and use[r] == use[r]
        ]
        return Reason(self.name, ", ".join(parts) or f"use near {self.target:.0%}, or just lower, or not known")
