"""A trained agent as a recommender: it moves sizes by a step, as it did in training."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from metalore.autoscale.agents.features import RECENT, Look, smoothed_error
from metalore.autoscale.agents.policy import AgentPolicy
from metalore.autoscale.drift import Drift
from metalore.autoscale.errors import AutoscaleError
from metalore.autoscale.model import RESOURCES, Reason, Seen, amount, title
from metalore.autoscale.recommender import Advice, Recommender, State

LEAST_CHANGE = 0.05
"""Part of what there is by which sizes change at least: safety does not make smaller changes."""
_DRIFT = "drift/"
LEVELS = (0.5, 0.9)
"""Of forecasts that agents look at."""


@dataclass(frozen=True, eq=False)
class TrainedAgent(Recommender):
    """Each zone's sizes moved by at most a step, as a trained agent wants it.

    Sizes between levels count as the next higher one. Those beyond the agent's range, where it never was, are brought
    to its end. A move is by as many levels as make :data:`LEAST_CHANGE`, mostly one. What the agent looks at and nobody
    knows here is shown as zeros.

    Attributes:
        folder: of `metalore agents train`.
        clock_s: time of the week at time 0, s.
    """

    name: ClassVar[str] = "agent"
    needs_forecasts: ClassVar[bool] = True

    folder: str
    clock_s: float = 0.0

    def __post_init__(self) -> None:
        _ = self.policy  # refuses now what is no agent

    @cached_property
    def policy(self) -> AgentPolicy:
        """The agent.

        Raises:
            AutoscaleError: the folder holds none.
        """
        return AgentPolicy.load(Path(self.folder))

    def recommend(self, seen: Seen, state: State) -> Advice:
        policy = self.policy
        if policy.zones and policy.zones != tuple(seen.usage.zones):
            raise AutoscaleError(
                f"the agent in {self.folder} has a network for each of its {len(policy.zones)} zones, which are others"
            )
        forecast = self._forecast(seen)
        state = self._compared(seen, state)
        drift = self._drifted(seen, state)
        look = Look(
            given=np.clip(seen.allocated, policy.ranges.least, policy.ranges.most),
            forecast=forecast,
            recent=self._recent(seen),
            error=state["error"],
            distrust=drift.get("distrust", np.zeros(len(seen.allocated))),
            week_s=np.full(len(seen.allocated), self.clock_s + seen.now_s),
            announced=np.ones(len(seen.allocated)),
            budget=np.zeros(len(seen.allocated)),
            up=np.ones(len(seen.allocated), bool),
        )
        levels = policy.ranges.levels(seen.allocated)
        moves = policy.moves(policy.observer(look), policy.ranges.mask(levels))
        by = np.maximum(np.ceil(LEAST_CHANGE * seen.allocated / policy.ranges.step - 1e-9), 1).astype(np.int64)
        inside = np.clip(levels + by * moves, 0, policy.ranges.top)
        beyond = (seen.allocated < policy.ranges.least) | (seen.allocated > policy.ranges.most)
        wanted = np.where((moves == 0) & ~beyond, seen.allocated, policy.ranges.amounts(inside))
        expected = forecast[:, 0, : len(RESOURCES), 0]
        reasons = tuple(_reason(*row) for row in zip(moves, wanted, strict=True))
        kept = {"expected": expected, "expected_at": np.array(seen.now_s)}
        return Advice(wanted, reasons, dict(state) | kept | {_DRIFT + name: array for name, array in drift.items()})

    def _drifted(self, seen: Seen, state: State) -> State:
        """What the drift detector knows now, if the agent is shown its distrust."""
        if "distrust" not in self.policy.observer.features:
            return {}
        known = {name.removeprefix(_DRIFT): array for name, array in state.items() if name.startswith(_DRIFT)}
        managed = np.ones(len(RESOURCES), bool)
        return Drift().observed(seen, managed, known or Drift().begin(seen.usage.zones))

    def _forecast(self, seen: Seen) -> np.ndarray:
        """[z, h, 4, q], NaN where there is none; latency is not forecast for autoscaling."""
        horizons = self.policy.observer.horizons
        values = np.full((len(seen.allocated), len(horizons), 4, len(LEVELS)), np.nan)
        forecasts = seen.forecasts
        if forecasts is None or forecasts.ended(seen.now_s):
            return values
        for i, horizon in enumerate(horizons):
            at_s = seen.now_s + (horizon - 1) * seen.usage.interval_s
            row = int(np.searchsorted(forecasts.times, at_s - 0.5 * seen.usage.interval_s))
            row = min(row, len(forecasts.times) - 1)
            for q, level in enumerate(LEVELS):
                if level in forecasts.levels:
                    values[:, i, :3, q] = forecasts.values[:, row, :, forecasts.levels.index(level)]
        return values

    def _recent(self, seen: Seen) -> np.ndarray:
        """[z, k, 5], NaN where not known, newest last."""
        count, zones = self.policy.observer.recent, len(seen.allocated)
        recent = np.full((zones, count, len(RECENT)), np.nan)
        known = seen.usage.recent(count, seen.now_s)
        if len(known):
            n = min(count, len(known))
            recent[:, -n:, :3] = known.used[-n:].swapaxes(0, 1)
            for i, name in enumerate(RECENT[3:], start=3):
                if name in known.others:
                    recent[:, -n:, i] = known.others[name][-n:].T
        return recent

    def _compared(self, seen: Seen, state: State) -> State:
        """The state with the error of the forecast made an interval ago."""
        zones = len(seen.allocated)
        if "error" not in state:
            return {"error": np.zeros(zones)}
        error = state["error"]
        if 0 < seen.now_s - float(state["expected_at"]) < 1.5 * seen.usage.interval_s:
            used = seen.usage.latest(seen.now_s)
            error = smoothed_error(error, used, state["expected"], self.policy.observer.most)
        return dict(state) | {"error": error}


def _reason(moves: np.ndarray, wanted: np.ndarray) -> Reason:
    parts = [
        f"{'raises' if moves[r] > 0 else 'lowers'} {title(r)} to {amount(r, wanted[r])}"
        for r in range(len(RESOURCES))
        if moves[r]
    ]
    return Reason("agent", f"the agent {', '.join(parts)}" if parts else "the agent keeps what there is")
