"""Agents and rules on the same episodes: who decides, what it came to, and differences with intervals.

Axes: `e` environments, `z` zones, `r` resources.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from metalore.autoscale import RESOURCES, Forecasts, Logic, Recommender, Safety, Seen, Usage
from metalore.autoscale.agents.features import RECENT
from metalore.autoscale.agents.policy import AgentPolicy
from metalore.autoscale.agents.reward import TERMS
from metalore.autoscale.recommenders.hpa import HorizontalRule
from metalore.envs.zone_core import ZoneCore
from metalore.fluid.ahead import LEVELS

Decider = Callable[[ZoneCore, np.ndarray], np.ndarray]
"""Moves [e, z, r] for a batch and what is seen of it [e, z, f]. It is made anew for every run."""
MakeDecider = Callable[[], Decider]

MEASURES = {
    "reward": "mean reward of a zone and interval",
    "violations": "part of zone-intervals with requests whose mean latency is above the target, or none completed",
    "lost": "part of all requests that was lost",
    "cost": "what was given, as a part of the most that can be, by the reward's prices",
    "core_hours": "cores given, per zone and day",
    "slo_cost": "cost and violations together",
    "changes": "resources changed per zone and hour",
    "aori_s": "mean age of request information",
    "twin_age_s": "mean age of what the twin shows",
}
"""What is measured, in the order of tables."""


def evaluate_zones(
    candidates: Mapping[str, MakeDecider],
    core: ZoneCore,
    seeds: Sequence[int],
    progress: Callable[[], None] | None = None,
) -> pd.DataFrame:
    """Run every candidate on the same episodes.

    Args:
        candidates: by name.
        core: the batch; its environments get the seeds that follow each given one.
        seeds: of runs, apart by at least the batch's size.
        progress: is called after every run of a candidate.

    Returns:
        A row for each candidate, seed and environment: `candidate`, `seed`, `environment`, the measures, and the terms
        of the reward, not weighted, as `term_...`.
    """
    rows = []
    for seed in seeds:
        for name, make in candidates.items():
            rows += [{"candidate": name, "seed": seed} | row for row in run_zones(make(), core, seed)]
            if progress:
                progress()
    return pd.DataFrame(rows)


def run_zones(decide: Decider, core: ZoneCore, seed: int) -> list[dict[str, Any]]:
    """An episode of every environment under one decider: measures of each environment."""
    seen = core.reset([seed + e for e in range(core.shape[0])])
    sums: dict[str, np.ndarray] = {}
    for _ in range(core.settings.intervals):
        stepped = core.step(decide(core, seen))
        seen, happened = core.observe(), stepped.happened
        now = {
            "reward": core.settings.reward.of(stepped.terms),
            "asked": ((happened.requests > 0) | (happened.completed > 0)).astype(float),
            "violated": stepped.violated.astype(float),
            "requests": happened.requests,
            "lost": happened.lost,
            "completed": happened.completed,
            "cores": happened.given[..., 0],
            "moved": happened.moved.astype(float),
            "aori": np.nan_to_num(happened.aori_s) * happened.completed,
            "twin": happened.twin_age_s,
        } | {f"term_{name}": stepped.terms[..., i] for i, name in enumerate(TERMS)}
        for name, values in now.items():
            sums[name] = sums.get(name, 0.0) + values.sum(axis=1)
    return [_measured({name: float(values[e]) for name, values in sums.items()}, core, e) for e in range(core.shape[0])]


def _measured(total: Mapping[str, float], core: ZoneCore, e: int) -> dict[str, Any]:
    intervals = core.settings.intervals * core.shape[1]
    hours = intervals * core.zones.demand.interval_s / 3600.0
    violations = _ratio(total["violated"], total["asked"])
    cost = total["term_cost"] / intervals
    return {
        "environment": e,
        "reward": total["reward"] / intervals,
        "violations": violations,
        "lost": _ratio(total["lost"], total["requests"]),
        "cost": cost,
        "core_hours": 24.0 * total["cores"] / intervals,
        "slo_cost": cost + violations,
        "changes": total["moved"] / hours,
        "aori_s": _ratio(total["aori"], total["completed"]),
        "twin_age_s": total["twin"] / intervals,
    } | {name: value / intervals for name, value in total.items() if name.startswith("term_")}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


# -- who decides -------------------------------------------------------------------------------------------------------


def agent_decides(agent: AgentPolicy) -> MakeDecider:
    """A trained agent, acting greedily."""

    def decide(core: ZoneCore, seen: np.ndarray) -> np.ndarray:
        return agent.moves(seen, core.mask())

    return lambda: decide


def keeps() -> Decider:
    """Everything stays as it began."""
    return lambda core, seen: np.zeros((*core.shape, 3), np.int64)


def holds(amounts: np.ndarray) -> MakeDecider:
    """The same amounts all the time, of each zone of the demand [zones, r]."""

    def decide(core: ZoneCore, seen: np.ndarray) -> np.ndarray:
        return _towards(core, amounts[core.zones.zone_of])

    return lambda: decide


def recommends(make: Callable[[], Recommender]) -> MakeDecider:
    """A recommender of the autoscaler behind its safety, who moves sizes towards what it wants by a step an interval.

    It sees usage and forecasts as the autoscaler shows them.
    """
    return lambda: _Recommends(make)


class _Recommends:
    """A controller's logic for each environment, and the usage that each has seen."""

    def __init__(self, make: Callable[[], Recommender]) -> None:
        self._make = make
        self._logics: list[Logic] = []

    def __call__(self, core: ZoneCore, seen: np.ndarray) -> np.ndarray:
        if not self._logics:
            self._begin(core)
        t = int(core.t[0])
        if t > 0:
            self._history[t - 1] = core.recent[:, :, -1]
        wanted = core.given.copy()
        for e, logic in enumerate(self._logics):
            decision, remembered = logic.decide(self._seen(core, e, t), self._remembered[e])
            self._remembered[e] = logic.applied(decision, np.ones(core.shape[1], bool), remembered)
            wanted[e] = decision.after
        return _towards(core, wanted)

    def _begin(self, core: ZoneCore) -> None:
        lower, upper = (tuple(amounts.tolist()) for amounts in (core.ranges.least, core.ranges.most))
        safety = Safety(lower=lower, upper=upper, budget=core.settings.budget, fixed=())
        self._names = tuple(f"zone-{z:03d}" for z in range(core.shape[1]))
        self._logics = [Logic(self._make(), HorizontalRule(), safety) for _ in range(core.shape[0])]
        self._remembered = [logic.begin(self._names) for logic in self._logics]
        self._history = np.full((core.settings.intervals, *core.shape, len(RECENT)), np.nan)

    def _seen(self, core: ZoneCore, e: int, t: int) -> Seen:
        """What a controller of an environment would see now."""
        interval_s = core.zones.demand.interval_s
        known, now_s = self._history[:t, e], interval_s * t
        others = {name: known[..., i] for i, name in enumerate(RECENT) if i >= len(RESOURCES)}
        usage = Usage(interval_s * np.arange(t), self._names, known[..., : len(RESOURCES)], interval_s, others=others)
        ahead_s = now_s + interval_s * (np.asarray(core.settings.horizons) - 1)
        forecasts = Forecasts(now_s, ahead_s, interval_s, LEVELS, core.forecast[e, :, :, : len(RESOURCES)])
        return Seen(now_s, usage, forecasts, core.given[e], interval_s)


def _towards(core: ZoneCore, amounts: np.ndarray) -> np.ndarray:
    """Moves by at most a step towards amounts [e, z, r]."""
    moves: np.ndarray = np.sign(core.ranges.levels(amounts) - core.levels)
    return moves
