"""Rules that look at the two queues at a station, as many numbers as a small learner sees, and the search for the best.

The share of requests is ``sigmoid(a + b * log1p(requests) - c * log1p(updates))``, in bandwidth and in compute, with
the numbers of jobs queued at the station. With b = c = 0 that is a fixed split, so the best rule is no worse than the
best split on the episodes of the search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metalore.policies.base import Policy
from metalore.policies.search import (
    OBJECTIVES,
    Progress,
    Resources,
    Searched,
    Winner,
    confirm,
    evaluate,
    known_objective,
    search_splits,
)
from metalore.scenario import Scenario, load
from metalore.world import World

PARAMETERS = 6
"""a, b, c for bandwidth, then for compute."""
SPREAD = np.array([0.5, 0.25, 0.25] * 2)
"""How far the search looks around its start at first, in standard deviations per parameter."""
WIDE = 3.0
"""How many times that for the part of the first generation that looks far."""
SMALLEST_SPREAD = 0.02
FINALISTS = 8
QUICK = Resources(threads=1)


class QueueAware(Policy):
    """The rule with these parameters: ``theta`` [6], or [e, 6] for a rule of its own in each environment.

    Raises:
        ValueError: another shape, or something that is no number.
    """

    def __init__(self, theta: Sequence[float] | np.ndarray) -> None:
        given = np.asarray(theta, float)
        if given.ndim not in (1, 2) or given.shape[-1] != PARAMETERS or np.isnan(given).any():
            raise ValueError(f"a queue-aware rule holds {PARAMETERS} numbers (a, b, c for bandwidth and for compute)")
        self.theta = given
        self._theta = np.moveaxis(given.reshape(-1, 1, 2, 3), -1, 0)  # [3, e or 1, station, share]
        one = given.ndim == 1
        self.name = f"queue-aware({','.join(f'{x:g}' for x in given)})" if one else "queue-aware rules"

    @classmethod
    def of_split(cls, bandwidth: float, compute: float) -> QueueAware:
        """The rule that is this fixed split: `bandwidth` and `compute` are parts for requests, in [0, 1]."""
        theta = np.zeros(PARAMETERS)
        with np.errstate(divide="ignore"):
            theta[[0, 3]] = [np.log(share) - np.log1p(-share) for share in (bandwidth, compute)]
        return cls(theta)

    def __call__(self, world: World) -> np.ndarray:
        a, b, c = self._theta
        requests, updates = np.moveaxis(np.log1p(world.queue_lengths), -1, 0)[..., None]
        shares: np.ndarray = 0.5 + 0.5 * np.tanh(0.5 * (a + b * requests - c * updates))  # the sigmoid, never too large
        return shares

    @property
    def text(self) -> str:
        """What :func:`metalore.policies.make_policy` makes this rule from, to the last bit."""
        return "queue-aware:" + ",".join(repr(float(x)) for x in self.theta)


@dataclass(frozen=True)
class RuleSearch:
    """What the search for a queue-aware rule found.

    Attributes:
        rule: the best of the finalists.
        winner: its value on the seeds of the search and on held-out seeds.
        finalists: the best of all generations on all seeds of the search; points are parameters [n, 6].
        history: one row per generation: `generation`, mean objective of the `best` rule and of the `elite`, both on
            the seeds that generations are judged by, and `spread`, the mean standard deviation of the next draw.
    """

    rule: QueueAware
    winner: Winner
    finalists: Searched
    history: dict[str, list[float]]


@dataclass(frozen=True)
class RuleSearchSettings:
    """Cross-entropy method (de Boer et al. 2005).

    Attributes:
        generations: rounds of drawing and judging.
        population: rules in each.
        elite: rules that the next generation is drawn around.
        episodes: of each rule in a generation: the first so many of the seeds.
        smoothing: part of the old mean and spread that is kept.
        grid: side of the grid of fixed splits whose best starts the search, if no starts are given.
        seed: of the draws.
    """

    generations: int = 20
    population: int = 64
    elite: int = 16
    episodes: int = 24
    smoothing: float = 0.2
    grid: int = 11
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.generations >= 1 and self.population >= self.elite >= 2 and self.episodes >= 1):
            raise ValueError("a search for rules needs a generation, an episode, and an elite of 2 in its population")


def search_queue_aware(
    scenario: Scenario | str,
    seeds: Sequence[int] = range(100),
    *,
    objective: str = "return",
    starts: Sequence[Sequence[float]] | None = None,
    settings: RuleSearchSettings | None = None,
    held_out: Sequence[int] | None = None,
    resources: Resources | None = None,
    progress: Progress | None = None,
    functions: Mapping[str, Any] | None = None,
) -> RuleSearch:
    """The best queue-aware rule, by the cross-entropy method from the best fixed splits.

    Args:
        scenario: a scenario, a built-in name, or a TOML file.
        seeds: episodes of the search, the same for all rules.
        objective: one of OBJECTIVES.
        starts: fixed splits to start from; unset: the best of a coarse grid. The first matters most.
        settings: of the method.
        held_out: seeds that the result is judged by; unset: :func:`metalore.policies.search.held_out_seeds`.
        resources: where it runs.
        progress: called with the number of rules judged since the last call.
        functions: user functions for the world.
    """
    scenario, how = load(scenario), settings or RuleSearchSettings()
    sign = 1.0 if OBJECTIVES[known_objective(objective)] == "more" else -1.0

    def judge(rules: np.ndarray, judges: Sequence[int]) -> Searched:
        return evaluate(scenario, QueueAware, rules, judges, resources=resources, functions=functions)

    few = seeds[: how.episodes]
    if starts is None:
        grid = search_splits(scenario, how.grid, few, resources=resources, functions=functions)
        starts = [grid.points[grid.best(objective)].tolist()]
    first = np.stack([QueueAware.of_split(*np.clip(start, 1e-3, 1 - 1e-3)).theta for start in starts])
    method = _CrossEntropy(first, how)
    for _ in range(how.generations):
        drawn = method.draw()
        means = judge(drawn, few).mean(objective)
        method.learn(drawn, np.where(np.isnan(means), -np.inf, sign * means))
        if progress:
            progress(len(drawn))
    finalists = judge(np.unique(np.concatenate([method.finalists(), first]), axis=0), seeds)
    winner = confirm(finalists, objective, QueueAware, seeds=held_out, resources=resources, functions=functions)
    history = {name: list(values) for name, values in method.history.items()}
    for name in ("best", "elite"):
        history[name] = [sign * value for value in history[name]]
    return RuleSearch(QueueAware(winner.point), winner, finalists, history)


class _CrossEntropy:
    """Draws rules around the best of the last ones; larger scores are better."""

    def __init__(self, starts: np.ndarray, settings: RuleSearchSettings) -> None:
        self._settings = settings
        self._random = np.random.default_rng(settings.seed)
        self._starts, self._mean, self._covariance = starts, starts[0].copy(), np.diag(SPREAD**2)
        self._known: list[tuple[float, tuple[float, ...]]] = []
        self.history: dict[str, list[float]] = {"generation": [], "best": [], "elite": [], "spread": []}

    def draw(self) -> np.ndarray:
        """The next generation, [population, 6]: known good rules, and rules around the mean."""
        count = self._settings.population
        away = self._random.standard_normal((count, PARAMETERS)) @ np.linalg.cholesky(self._covariance).T
        kept = self._starts[:count]
        if self._known:
            kept = np.array([self._known[0][1]])
        else:
            away[count // 2 :] *= WIDE
        drawn: np.ndarray = self._mean + away
        drawn[: len(kept)] = kept
        return drawn

    def learn(self, drawn: np.ndarray, scores: np.ndarray) -> None:
        """Move to the elite of a generation."""
        how = self._settings
        order = np.argsort(-scores, kind="stable")[: how.elite]
        elite = drawn[order]
        self._mean = how.smoothing * self._mean + (1 - how.smoothing) * elite.mean(axis=0)
        seen = np.cov(elite.T) + SMALLEST_SPREAD**2 * np.eye(PARAMETERS)
        self._covariance = how.smoothing * self._covariance + (1 - how.smoothing) * seen
        new = {(float(scores[i]), tuple(drawn[i].tolist())) for i in order}
        self._known = sorted(new | set(self._known), reverse=True)[:FINALISTS]
        spread = float(np.sqrt(np.diag(self._covariance)).mean())
        row = (len(self.history["best"]), self._known[0][0], float(scores[order].mean()), spread)
        for name, value in zip(self.history, row, strict=True):
            self.history[name].append(value)

    def finalists(self) -> np.ndarray:
        """The mean, and the best rules so far, [n, 6]."""
        return np.array([tuple(self._mean.tolist()), *(theta for _, theta in self._known)])


class SearchedQueueAware(Policy):
    """The best rule for the world it is asked about, found by a short search when it is first called."""

    name = "queue-aware"

    def __init__(self) -> None:
        self._known: tuple[Scenario, dict[str, Any]] | None = None
        self._rule = QueueAware(np.zeros(PARAMETERS))

    def __call__(self, world: World) -> np.ndarray:
        asked = (world.scenario, world.functions)
        if self._known is None or self._known != asked:
            found = search_queue_aware(
                world.scenario,
                BEFOREHAND,
                settings=RuleSearchSettings(generations=10, population=40, elite=10, episodes=len(BEFOREHAND)),
                resources=QUICK,
                functions=functions_of(world),
            )
            self._known, self._rule = asked, found.rule
        return self._rule(world)


BEFOREHAND = range(2**40, 2**40 + 16)
"""Seeds of searches that a policy makes by itself, far from those that people count up from."""


def functions_of(world: World) -> dict[str, Any]:
    """The user functions of a world."""
    return {point: function for point, function in world.functions.items() if function is not None}
