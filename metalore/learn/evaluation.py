"""The evaluation protocol: any number of policies on the same held-out episodes, judged with intervals.

evaluation = evaluate({"even": make_policy("uniform"), "ppo": load_policy("runs/ppo")}, ["smart-city"])

Training with seed s runs on environments from ``s * 10**6`` on and chooses its best policy on ``10**15`` and what
follows; results come from ``HELD_OUT_SEEDS`` and what follows, which no run has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metalore.intervals import Estimate, bootstrap_mean, paired_difference, worst_mean
from metalore.learn.seeds import HELD_OUT_SEEDS
from metalore.policies.base import Policy
from metalore.policies.rollout import Columns, EpisodeResults, lost_share, run_episodes
from metalore.scenario import Scenario, load

EPISODES = 100

MAIN = (
    "return",
    "aori_s",
    "aosi_s",
    "served_age_s",
    "twin_age_s",
    "request_waiting_age_s",
    "update_waiting_age_s",
    "throughput_per_s",
    "requests_late_share",
    "requests_lost_share",
    "updates_lost_share",
    "compute_utilisation",
    "band_utilisation",
    "jain_fairness",
)
"""Measures that policies are compared by, pair by pair. Those of :func:`metalore.policies.rollout.measures_of`, and the
parts of requests and updates that were lost."""
WORST = "return_worst_tenth"
"""Beside the mean return: the mean over the worst tenth of the episodes."""


class EvaluationError(ValueError):
    """An evaluation that cannot be; the message says what would be right."""


@dataclass(frozen=True)
class Evaluation:
    """What policies did on the same episodes of scenarios.

    Attributes:
        seeds: of the episodes, in their order.
        reference: the policy that the others are compared with.
        results: by the scenario's name and the policy's: what was run, see
            :class:`metalore.policies.rollout.EpisodeResults`.
        summary: a row per scenario, policy and measure: `scenario, policy, measure, mean, low, high, episodes`, the
            last the number of episodes in which the measure is defined; for WORST, `mean` is that of the worst tenth.
        differences: a row per scenario, policy but the reference, and measure of MAIN: `scenario, policy, reference,
            measure, mean, low, high, episodes`: policy minus reference over the episodes that define both.
    """

    seeds: tuple[int, ...]
    reference: str
    results: Mapping[str, Mapping[str, EpisodeResults]]
    summary: Columns
    differences: Columns

    @property
    def episodes(self) -> Columns:
        """A row per scenario, policy and episode."""
        return stacked(self.results, "episodes")


def evaluate(
    policies: Mapping[str, Policy],
    scenarios: Sequence[Scenario | str],
    seeds: Sequence[int] = range(HELD_OUT_SEEDS, HELD_OUT_SEEDS + EPISODES),
    *,
    reference: str | None = None,
    threads: int = 1,
    course: bool = False,
    ages: bool = False,
    progress: Callable[[str, str, int], None] | None = None,
    functions: Mapping[str, Callable[..., Any]] | None = None,
) -> Evaluation:
    """Run every policy on the same episodes of every scenario, and compare.

    Args:
        policies: what decides, by what to call it in results.
        scenarios: scenarios, built-in names, or TOML files.
        seeds: one for each episode; the same for all.
        reference: the policy that the others are compared with; unset: the first.
        threads: that step the worlds.
        course: keep the course of episodes, see :func:`metalore.policies.rollout.run_episodes`.
        ages: count how often each age occurred, likewise.
        progress: called with the scenario's and the policy's name and the number of steps done since the last call.
        functions: user functions for the world: channel, mobility, traffic, scheduler.

    Raises:
        EvaluationError: no policies, scenarios or seeds, what comes twice, an unknown reference.
        ScenarioError, WorldError, ExtensionError: see :class:`metalore.world.World`.
    """
    worlds = _named([load(scenario) for scenario in scenarios])
    chosen = _checked(policies, worlds, seeds, reference)
    results: dict[str, dict[str, EpisodeResults]] = {}
    for place, scenario in worlds.items():
        for name, policy in policies.items():
            told = _teller(progress, place, name)
            done = run_episodes(
                scenario, policy, seeds, threads=threads, progress=told, course=course, ages=ages, functions=functions
            )
            results.setdefault(place, {})[name] = with_shares(done)
    return judged(results, chosen)


def judged(results: Mapping[str, Mapping[str, EpisodeResults]], reference: str) -> Evaluation:
    """Intervals and paired differences of what was run; all with the same seeds in the same order.

    Raises:
        EvaluationError: policies ran on different seeds.
    """
    first = next(iter(next(iter(results.values())).values())).episodes["seed"]
    if any((done.episodes["seed"] != first).any() for of in results.values() for done in of.values()):
        raise EvaluationError("policies ran on different seeds, so they cannot be compared pair by pair")
    summary, differences = _Rows("scenario", "policy", "measure"), _Rows("scenario", "policy", "reference", "measure")
    for place, of in results.items():
        base = of[reference].episodes
        for name, done in of.items():
            for measure, values in done.episodes.items():
                if measure != "seed":
                    summary.add((place, name, measure), bootstrap_mean(values), values)
            returns = done.episodes["return"]
            summary.add((place, name, WORST), worst_mean(returns), returns)
            for measure in MAIN if name != reference else ():
                values = done.episodes[measure]
                pairs = values - base[measure]
                differences.add((place, name, reference, measure), paired_difference(values, base[measure]), pairs)
    seeds = tuple(int(seed) for seed in first)
    return Evaluation(seeds, reference, results, summary.columns(), differences.columns())


def with_shares(done: EpisodeResults) -> EpisodeResults:
    """The same with the parts of created requests and updates that were lost, as a column each."""
    shares = {f"{kind}_lost_share": lost_share(done.episodes, kind) for kind in ("requests", "updates")}
    return replace(done, episodes={**done.episodes, **shares})


def stacked(results: Mapping[str, Mapping[str, EpisodeResults]], part: str) -> Columns:
    """A table of all results (`episodes`, `course`, `ages`, `jobs`) below each other, by `scenario` and `policy`."""
    tables: list[Columns] = []
    for place, of in results.items():
        for name, done in of.items():
            table: Columns = getattr(done, part)
            size = len(next(iter(table.values())))
            tables.append({"scenario": np.full(size, place), "policy": np.full(size, name), **table})
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


class _Rows:
    """A table of estimates that grows."""

    def __init__(self, *keys: str) -> None:
        self._names = (*keys, "mean", "low", "high", "episodes")
        self._rows: list[tuple[Any, ...]] = []

    def add(self, key: tuple[str, ...], estimate: Estimate, values: np.ndarray) -> None:
        self._rows.append((*key, *estimate, int((~np.isnan(values)).sum())))

    def columns(self) -> Columns:
        columns = list(zip(*self._rows, strict=True)) or [()] * len(self._names)
        return {name: np.array(column) for name, column in zip(self._names, columns, strict=True)}


def _named(scenarios: Sequence[Scenario]) -> dict[str, Scenario]:
    """Scenarios by name; what is the same twice comes once."""
    named: dict[str, Scenario] = {}
    for scenario in scenarios:
        if named.setdefault(scenario.name, scenario) != scenario:
            raise EvaluationError(f"two different scenarios are called {scenario.name!r}; give one another name")
    return named


def _checked(
    policies: Mapping[str, Policy], worlds: Mapping[str, Scenario], seeds: Sequence[int], reference: str | None
) -> str:
    """The name of the reference."""
    for what, given in (("policy", policies), ("scenario", worlds), ("episode", seeds)):
        if len(given) == 0:
            raise EvaluationError(f"an evaluation needs at least 1 {what}")
    if len(set(seeds)) < len(seeds):
        raise EvaluationError("seeds come more than once; the same episode twice tells nothing new")
    chosen = next(iter(policies)) if reference is None else reference
    if chosen not in policies:
        raise EvaluationError(f"the reference {chosen!r} is none of the policies {', '.join(map(repr, policies))}")
    return chosen


def _teller(progress: Callable[[str, str, int], None] | None, place: str, name: str) -> Callable[[int], None] | None:
    return None if progress is None else lambda steps: progress(place, name, steps)
