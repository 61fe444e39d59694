"""Exhaustive search over fixed splits, and what every search here shares: many decisions on the same episodes.

A *point* is a row of numbers that a *family* turns into decisions; all points meet the same seeds (common random
numbers), in compiled batches. What comes out depends neither on the size of a batch, nor on threads, nor on where it
ran: in this process or on a Ray cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, Literal

import numpy as np

from metalore.intervals import bootstrap_intervals
from metalore.policies.base import Policy
from metalore.policies.rollout import Columns, lost_share, play
from metalore.ray_cluster import ClusterError, cluster
from metalore.scenario import Scenario, load
from metalore.world import World

CHUNK = 128
"""Worlds stepped together; larger batches leave the caches."""
CHUNK_BYTES = 128 * 2**20
"""Memory that one batch may take before it is made smaller."""
SPAN = 8
"""Batches that make up one piece of work."""
HELD_OUT_GAP = 1_000_000
"""How far held-out seeds lie behind those of a search."""

Family = Callable[[np.ndarray], Policy]
"""Turns points [e, p], one for each environment, into a policy for that batch."""
Better = Literal["more", "less"]
Progress = Callable[[int], None]

OBJECTIVES: dict[str, Better] = {
    "return": "more",
    "aori_s": "less",
    "aosi_s": "less",
    "served_age_s": "less",
    "twin_age_s": "less",
    "throughput_per_s": "more",
    "requests_late_share": "less",
    "requests_lost_share": "less",
}
"""What a search can be after, and which way is better. Ages in seconds, throughput in completed requests per second,
late requests as part of the completed ones, lost requests as part of those created."""


class SearchError(ValueError):
    """A search that cannot be; the message says what would be right."""


class Splits:
    """A fixed split for each environment: points [e, 2] are the parts of bandwidth and compute for requests."""

    name = "splits"

    def __init__(self, points: np.ndarray) -> None:
        self._points = points

    def __call__(self, world: World) -> np.ndarray:
        shape = (world.num_envs, world.num_stations, 2)
        return np.ascontiguousarray(np.broadcast_to(self._points[:, None, :], shape))


@dataclass(frozen=True)
class Resources:
    """Where a search runs; numbers do not depend on it.

    Attributes:
        engine: "local" (threads of this process) or "ray".
        threads: of this process; with Ray, CPUs of a local cluster.
        address: of a running Ray cluster; None starts a local one.
        chunk: worlds stepped together; None: as many as are of use and fit into memory.
    """

    engine: Literal["local", "ray"] | str = "local"
    threads: int = 2
    address: str | None = None
    chunk: int | None = None

    def __post_init__(self) -> None:
        if self.engine not in ("local", "ray"):
            raise SearchError(f"unknown engine {self.engine!r}; known are local and ray")
        if self.address is not None and self.engine != "ray":
            raise SearchError("an address is that of a Ray cluster, so it needs the engine ray")
        if self.threads < 1 or (self.chunk is not None and self.chunk < 1):
            raise SearchError("a search needs at least 1 thread and batches of at least 1 world")


@dataclass(frozen=True)
class Searched:
    """What points came to.

    Attributes:
        scenario: what was simulated.
        points: [n, p]; of fixed splits p = 2, the parts of bandwidth and compute for requests.
        seeds: one for each episode, the same for all points.
        values: by the names of OBJECTIVES: [n, seeds], NaN where an episode defines no value.
    """

    scenario: Scenario
    points: np.ndarray
    seeds: tuple[int, ...]
    values: Mapping[str, np.ndarray]

    def mean(self, objective: str) -> np.ndarray:
        """Mean over the episodes that define the objective, [n]; NaN for points without any."""
        values = self.values[known_objective(objective)]
        count = (~np.isnan(values)).sum(axis=1)
        return np.where(count > 0, np.nansum(values, axis=1) / np.maximum(count, 1), np.nan)

    def best(self, objective: str) -> int:
        """Index of the best point, among those that define the objective in the most episodes."""
        means, defined = self.mean(objective), (~np.isnan(self.values[objective])).sum(axis=1)
        if not defined.any():
            raise SearchError(f"no episode defines {objective}: no request was completed at any point")
        eligible = np.where(defined == defined.max(), means, np.nan)
        return int(np.nanargmax(eligible) if OBJECTIVES[objective] == "more" else np.nanargmin(eligible))

    def interval(self, objective: str) -> np.ndarray:
        """Percentile bootstrap interval of the mean (95 %), [n, 2]; NaN where there are no two episodes."""
        values = self.values[known_objective(objective)]
        return bootstrap_intervals(values)


@dataclass(frozen=True)
class Winner:
    """The best of many, which looks better than it is on the episodes it was chosen by.

    Attributes:
        objective: what it is best at.
        point: [p].
        chosen_by: (mean, low, high) on the seeds of the search: optimistic.
        held_out: the same on seeds that the search has not seen: what to expect.
        results: every objective on the held-out seeds.
    """

    objective: str
    point: tuple[float, ...]
    chosen_by: tuple[float, float, float]
    held_out: tuple[float, float, float]
    results: Searched


def known_objective(name: str) -> str:
    """The name, if it is one of OBJECTIVES."""
    if name not in OBJECTIVES:
        raise SearchError(f"unknown objective {name!r}; known are {', '.join(OBJECTIVES)}")
    return name


def grid_points(grid: int, low: Sequence[float] = (0.0, 0.0), high: Sequence[float] = (1.0, 1.0)) -> np.ndarray:
    """`grid` x `grid` splits with equal distances between two corners, [grid ** 2, 2]; bandwidth varies slowest."""
    if grid < 2:
        raise SearchError(f"a grid of {grid} point(s) a side compares nothing; it needs at least 2")
    axes = [np.linspace(a, b, grid) for a, b in zip(low, high, strict=True)]
    return np.array(list(product(*axes)))


def search_splits(
    scenario: Scenario | str,
    grid: int = 21,
    seeds: Sequence[int] = range(100),
    *,
    resources: Resources | None = None,
    progress: Progress | None = None,
    functions: Mapping[str, Any] | None = None,
) -> Searched:
    """Every split of a grid over [0, 1] x [0, 1], on the same episodes; arguments as in :func:`evaluate`."""
    return evaluate(
        scenario, Splits, grid_points(grid), seeds, resources=resources, progress=progress, functions=functions
    )


def refine(
    search: Searched,
    objective: str = "return",
    grid: int = 9,
    *,
    resources: Resources | None = None,
    progress: Progress | None = None,
    functions: Mapping[str, Any] | None = None,
) -> Searched:
    """A finer grid, one cell to each side of the best split, on the same episodes.

    Its best is no worse than that of the search if `grid` is odd and the best split is not at the edge. The more
    points, the more the best of them owes to luck: see :func:`confirm`.
    """
    best = search.points[search.best(objective)]
    cell = 1.0 / (len(np.unique(search.points[:, 0])) - 1)
    points = grid_points(grid, np.clip(best - cell, 0, 1).tolist(), np.clip(best + cell, 0, 1).tolist())
    if not (points == best).all(axis=1).any():
        points = np.concatenate([points, best[None]])
    return evaluate(
        search.scenario, Splits, points, search.seeds, resources=resources, progress=progress, functions=functions
    )


def held_out_seeds(seeds: Sequence[int], count: int | None = None) -> range:
    """As many seeds again (or `count`), none of which is in `seeds`."""
    number = len(seeds) if count is None else count
    first = max(seeds) + HELD_OUT_GAP
    if first + number > 2**64:
        first = 0
        while any(first <= seed < first + number for seed in seeds):
            first += number
    return range(first, first + number)


def confirm(
    search: Searched,
    objective: str = "return",
    family: Family = Splits,
    *,
    seeds: Sequence[int] | None = None,
    resources: Resources | None = None,
    functions: Mapping[str, Any] | None = None,
) -> Winner:
    """The best point of a search, once more on held-out seeds (unset: :func:`held_out_seeds`)."""
    index = search.best(objective)
    chosen = held_out_seeds(search.seeds) if seeds is None else seeds
    again = evaluate(
        search.scenario, family, search.points[index : index + 1], chosen, resources=resources, functions=functions
    )
    return Winner(
        objective=objective,
        point=tuple(search.points[index].tolist()),
        chosen_by=_summary(search, objective, index),
        held_out=_summary(again, objective, 0),
        results=again,
    )


def _summary(search: Searched, objective: str, index: int) -> tuple[float, float, float]:
    low, high = bootstrap_intervals(search.values[objective][index : index + 1])[0]
    return float(search.mean(objective)[index]), float(low), float(high)


# -- many points on the same episodes ----------------------------------------------------------------------------------


def evaluate(
    scenario: Scenario | str,
    family: Family,
    points: np.ndarray,
    seeds: Sequence[int],
    *,
    resources: Resources | None = None,
    progress: Progress | None = None,
    functions: Mapping[str, Any] | None = None,
) -> Searched:
    """One episode for every point and seed.

    Args:
        scenario: a scenario, a built-in name, or a TOML file.
        family: makes the points of a batch into a policy.
        points: [n, p].
        seeds: the same for all points.
        resources: where it runs.
        progress: called with the number of episodes done since the last call; they add up to ``n * len(seeds)``.
        functions: user functions for the world: channel, mobility, traffic, scheduler.

    Raises:
        ScenarioError, WorldError, ExtensionError: see :class:`metalore.world.World`.
        SearchError: no points or no seeds, or Ray is missing.
    """
    scenario, where = load(scenario), resources or Resources()
    points = np.asarray(points, float)
    if len(points) == 0 or len(seeds) == 0:
        raise SearchError("a search needs at least 1 point and 1 episode for each")
    chunk = where.chunk or _chunk_of(scenario, functions or {})
    work = partial(_piece, scenario, family, points, tuple(int(s) for s in seeds), chunk, dict(functions or {}))
    total, size = len(points) * len(seeds), chunk * SPAN
    spans = [(first, min(first + size, total)) for first in range(0, total, size)]
    parts: list[Columns] = []
    for (first, last), part in zip(spans, _engine(where)(work, spans, where), strict=True):
        parts.append(part)
        if progress:
            progress(last - first)
    shape = (len(points), len(seeds))
    values = {name: np.concatenate([part[name] for part in parts]).reshape(shape) for name in OBJECTIVES}
    return Searched(scenario, points, tuple(int(s) for s in seeds), values)


def _chunk_of(scenario: Scenario, functions: Mapping[str, Any]) -> int:
    """Worlds that are of use and fit; makes one, so that the simulator is compiled before there are threads."""
    return max(1, min(CHUNK, CHUNK_BYTES // World(scenario, **functions).nbytes()))


def _piece(
    scenario: Scenario,
    family: Family,
    points: np.ndarray,
    seeds: Sequence[int],
    chunk: int,
    functions: Mapping[str, Any],
    span: tuple[int, int],
) -> Columns:
    """Objectives of episodes ``span[0] <= i < span[1]``, where episode i is point i // seeds on seed i % seeds."""
    parts, worlds = [], dict[int, World]()
    for first in range(*span, chunk):
        episodes = np.arange(first, min(first + chunk, span[1]))
        size = len(episodes)
        if size not in worlds:
            worlds[size] = World(scenario, size, **functions)
        policy = family(points[episodes // len(seeds)])
        rows = play(worlds[size], policy, [seeds[i] for i in (episodes % len(seeds)).tolist()])
        parts.append({**rows, "requests_lost_share": lost_share(rows, "requests")})
    return {name: np.concatenate([part[name] for part in parts]) for name in OBJECTIVES}


Work = Callable[[tuple[int, int]], Columns]


def _engine(where: Resources) -> Callable[[Work, Sequence[tuple[int, int]], Resources], Iterator[Columns]]:
    return _on_ray if where.engine == "ray" else _in_threads


def _in_threads(work: Work, spans: Sequence[tuple[int, int]], where: Resources) -> Iterator[Columns]:
    """Compiled code does not hold the interpreter's lock, so threads suffice."""
    if where.threads == 1 or len(spans) == 1:
        yield from map(work, spans)
        return
    pool = ThreadPoolExecutor(where.threads, thread_name_prefix="metalore-search")
    try:
        yield from pool.map(work, spans)
    finally:
        pool.shutdown(cancel_futures=True)


def _on_ray(work: Work, spans: Sequence[tuple[int, int]], where: Resources) -> Iterator[Columns]:
    """A task for each span, on the cluster at the address, or on a local one that ends with the search."""
    try:
        with cluster(where.address, where.threads) as ray:
            task, shared = ray.remote(_on_worker), ray.put(work)
            for waiting in [task.remote(shared, span) for span in spans]:
                yield ray.get(waiting)
    except ClusterError as error:
        raise SearchError(str(error)) from error


def _on_worker(work: Work, span: tuple[int, int]) -> Columns:
    return work(span)
