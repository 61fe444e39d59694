"""Run a policy over many episodes and collect what came of them.

One row per episode in the order of the seeds; beside it, as wished, the course of an episode step by step, how often
each age occurred, and the jobs themselves. Results do not depend on the size of the batch or the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metalore.policies.base import Policy
from metalore.scenario import Scenario, load
from metalore.world import KINDS, METRICS, OUTCOMES, REWARD_TERMS, World
from metalore.world.layout import LOG

BATCH = 64
"""Worlds stepped together; beyond this a reference cell gains nothing."""
BATCH_BYTES = 512 * 2**20
"""Memory that a batch may take before it is made smaller."""
COURSE_POINTS = 1000
"""Points a course is kept with; in a longer episode each stands for several steps."""

TIME_PARTS = {
    "device_queue": "device_wait",
    "transmission": "transmission",
    "server_queue": "server_wait",
    "processing": "processing",
}
"""Where a job's time goes: our column and the world's metric."""
COURSES = (
    "request_queue",
    "update_queue",
    "request_device_jobs",
    "update_device_jobs",
    "aori_s",
    "aosi_s",
    "twin_age_s",
    "bandwidth_share",
    "compute_share",
    "reward",
)
"""What a course follows: jobs queued at all stations and in all devices, ages in s, shares as means over stations."""

Columns = dict[str, np.ndarray]
"""A table: every column has the same length."""


@dataclass(frozen=True)
class EpisodeResults:
    """What a policy did in a scenario.

    Attributes:
        scenario: what was simulated.
        policy: its name.
        episodes: one row per seed, see :func:`measures_of`; `return` and `reward_TERM` are sums over the episode.
        course: one row per point in time and measure of COURSES: `measure`, `step`, `time_s`, and over all seeds
            `mean`, `sd`, `episodes` (with a value there), and `first`, the value of the first seed.
        ages: how often requests had each age: `measure` ("aori_s" or "aosi_s"), `value_s`, `requests`, and
            `generated`, the number of all requests, also of those that never completed.
        jobs: one row per job: `seed` and the fields of :data:`metalore.world.layout.LOG`, with names for kinds and
            outcomes; times in steps, -1 for what has not happened.
    """

    scenario: Scenario
    policy: str
    episodes: Columns
    course: Columns | None = None
    ages: Columns | None = None
    jobs: Columns | None = None


def run_episodes(
    scenario: Scenario | str,
    policy: Policy,
    seeds: Sequence[int],
    *,
    batch: int | None = None,
    threads: int = 1,
    progress: Callable[[int], None] | None = None,
    course: bool = False,
    ages: bool = False,
    job_log: bool | int = False,
    functions: Mapping[str, Callable[..., Any]] | None = None,
) -> EpisodeResults:
    """Run one episode per seed.

    Args:
        scenario: a scenario, a built-in name, or a TOML file.
        policy: what decides, see :class:`metalore.policies.Policy`.
        seeds: one for each episode, in any number.
        batch: worlds stepped together; unset: as many as are of use and fit into memory.
        threads: how many threads step a batch.
        progress: called after each step of a batch with the number of steps done since the last call;
            they add up to ``len(seeds) * scenario.max_steps``.
        course: keep the course of the measures in COURSES.
        ages: count how often each AoRI and AoSI occurred.
        job_log: keep the jobs of all episodes, or of the first so many.
        functions: user functions for the world: channel, mobility, traffic, scheduler.

    Raises:
        ScenarioError, WorldError, ExtensionError: see :class:`metalore.world.World`.
        ValueError: no seeds, or a batch of none.
    """
    scenario, functions = load(scenario), functions or {}
    if len(seeds) == 0:
        raise ValueError("there are no seeds; give one for each episode")
    if batch is not None and batch < 1:
        raise ValueError(f"batch is {batch}; a batch needs at least 1 world")
    logged = len(seeds) if job_log is True else min(int(job_log), len(seeds))
    size = batch or _batch_size(scenario, len(seeds), ages or logged > 0)
    collected = _Collected(scenario, course, ages, logged)
    for first in range(0, len(seeds), size):
        part = [int(seed) for seed in seeds[first : first + size]]
        world = collected.world_for(len(part), first, threads, functions)
        collected.add(world, policy, first, part, progress)
    return collected.results(policy.name)


def measures_of(world: World) -> Columns:
    """What an episode came to so far, [e] each; ages in seconds, NaN where nothing defines a value.

    ======================================  ==========================================================================
    `aori_s`                                mean AoRI of completed requests
    `aosi_s`, `signed_gap_s`,               mean \\|g - s\\|, g - s and c - s of completed requests with a sensor
    `served_age_s`
    `twin_age_s`, `peak_age_s`              mean age at the twin over sensors and steps; mean of its peaks
    `KIND_waiting_age_s`                    mean age of the jobs that are still in the system
    `KINDs_generated`, `_completed`,        numbers of jobs
    `_lost`
    `requests_late_share`                   part of completed requests that are late
    `throughput_per_s`                      completed requests per second
    `compute_utilisation`,                  part of the servers' capacity and of the band that was used
    `band_utilisation`
    `KIND_device_queue_s`, `_transmission_  mean time that completed jobs spent there
    s`, `_server_queue_s`, `_processing_s`
    `jain_fairness`                         Jain's index of the users' completed requests: 1/users (one gets all) to 1
    ======================================  ==========================================================================
    """
    total = {name: world.episode_totals[:, i] for i, name in enumerate(METRICS)}
    step_s = world.scenario.step_s
    duration_s = world.t * step_s
    synchronized = total["requests_synchronized"]
    columns: Columns = {"aori_s": _latency(total) * step_s}
    for ours, theirs in (("aosi_s", "aosi"), ("signed_gap_s", "signed_gap"), ("served_age_s", "data_age")):
        columns[ours] = _ratio(total[theirs], synchronized) * step_s
    columns["twin_age_s"] = _ratio(total["twin_age"], world.t * world.scenario.sensors.count) * step_s
    columns["peak_age_s"] = _ratio(total["peak_age"], total["peaks"]) * step_s
    for kind, waiting in zip(KINDS, world.waiting_age().T, strict=True):
        left = total[f"{kind}s_generated"] - total[f"{kind}s_completed"] - total[f"{kind}s_lost"]
        columns[f"{kind}_waiting_age_s"] = np.where(left > 0, waiting * step_s, np.nan)
    for kind in KINDS:
        for outcome in ("generated", "completed", "lost"):
            columns[f"{kind}s_{outcome}"] = total[f"{kind}s_{outcome}"].copy()
    completed = total["requests_completed"]
    columns["requests_late_share"] = _ratio(total["requests_late"], completed)
    columns["throughput_per_s"] = _ratio(completed, duration_s)
    columns |= _utilisation(world, total, duration_s)
    for kind in KINDS:
        for ours, theirs in TIME_PARTS.items():
            columns[f"{kind}_{ours}_s"] = _ratio(total[f"{kind}_{theirs}"], total[f"{kind}s_completed"]) * step_s
    columns["jain_fairness"] = _jain(world.devices["completed"][:, : world.scenario.users.count].astype(float))
    return columns


def _utilisation(world: World, total: Columns, duration_s: np.ndarray) -> Columns:
    stations = world.scenario.stations
    gcycle = total["request_gcycle_processed"] + total["update_gcycle_processed"]
    return {
        "compute_utilisation": _ratio(gcycle, duration_s * sum(s.compute_gcycle_s for s in stations)),
        "band_utilisation": _ratio(total["busy_hz"], world.t * sum(s.bandwidth_hz for s in stations)),
    }


def lost_share(episodes: Columns, kind: str) -> np.ndarray:
    """Part of the created "requests" or "updates" that was lost in each episode, [n]; NaN where none was created."""
    return _ratio(episodes[f"{kind}_lost"], episodes[f"{kind}_generated"])


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """``part / whole``, NaN where whole is zero."""
    ratio = np.full(part.shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole != 0)
    return ratio


def _latency(total: Columns) -> np.ndarray:
    """Mean steps from creation to completion of the requests that `total` counts."""
    steps = np.sum([total[f"request_{part}"] for part in TIME_PARTS.values()], axis=0)
    return _ratio(steps, total["requests_completed"])


def _jain(amounts: np.ndarray) -> np.ndarray:
    """Jain's fairness index of each row: (sum x)^2 / (n sum x^2)."""
    return _ratio(amounts.sum(axis=1) ** 2, (amounts**2).sum(axis=1) * amounts.shape[1])


def _batch_size(scenario: Scenario, wanted: int, log: bool) -> int:
    return max(1, min(wanted, BATCH, BATCH_BYTES // World(scenario, job_log=log).nbytes()))


def play(world: World, policy: Policy, seeds: Sequence[int], look: Callable[[], None] | None = None) -> Columns:
    """One episode of every world in the batch, in one row each: `seed`, `return`, `reward_TERM` and `measures_of`.

    Args:
        world: of as many environments as there are seeds.
        policy: what decides.
        seeds: one for each environment.
        look: called after each step.
    """
    terms = np.zeros((world.num_envs, len(REWARD_TERMS)))
    returns = np.zeros(world.num_envs)
    world.reset(seeds)
    for _ in range(world.scenario.max_steps):
        world.step(policy(world))
        terms += world.reward_terms
        returns += world.reward
        if look:
            look()
    rewards = {f"reward_{name}": terms[:, i] for i, name in enumerate(REWARD_TERMS)}
    return {"seed": np.array(seeds, np.uint64), "return": returns, **rewards, **measures_of(world)}


class _Collected:
    """What a run has brought so far."""

    def __init__(self, scenario: Scenario, course: bool, ages: bool, logged: int) -> None:
        self._scenario, self._logged = scenario, logged
        self._course = _Course(scenario) if course else None
        self._ages = _Ages(scenario.step_s) if ages else None
        self._episodes: list[Columns] = []
        self._jobs: list[Columns] = []

    def world_for(self, size: int, first: int, threads: int, functions: Mapping[str, Callable[..., Any]]) -> World:
        """A batch for the episodes from number `first` on, with a log if one is asked of it."""
        log = self._ages is not None or first < self._logged
        return World(self._scenario, size, threads=threads, job_log=log, **functions)

    def add(
        self,
        world: World,
        policy: Policy,
        first: int,
        seeds: Sequence[int],
        progress: Callable[[int], None] | None,
    ) -> None:
        """Let the batch play its episodes and collect them."""

        def look() -> None:
            if self._course:
                self._course.look(world)
            if progress:
                progress(world.num_envs)

        if self._course:
            self._course.begin(world.num_envs)
        self._episodes.append(play(world, policy, seeds, look))
        if self._course:
            self._course.end()
        self._read_log(world, first, seeds)

    def _read_log(self, world: World, first: int, seeds: Sequence[int]) -> None:
        for e, seed in enumerate(seeds):
            kept = first + e < self._logged
            if not (kept or self._ages):
                return
            jobs = world.jobs(e)
            if self._ages:
                self._ages.add(jobs)
            if kept:
                self._jobs.append({"seed": np.full(len(jobs), seed, np.uint64), **_named(jobs)})

    def results(self, policy: str) -> EpisodeResults:
        return EpisodeResults(
            scenario=self._scenario,
            policy=policy,
            episodes=_joined(self._episodes),
            course=self._course.columns() if self._course else None,
            ages=self._ages.columns() if self._ages else None,
            jobs=_joined(self._jobs) if self._jobs else None,
        )


def _joined(parts: Sequence[Columns]) -> Columns:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _named(jobs: np.ndarray) -> Columns:
    """The fields of a job log as columns, kinds and outcomes in words."""
    words = {"kind": KINDS, "outcome": OUTCOMES}
    return {name: np.array(words[name])[jobs[name]] if name in words else jobs[name] for name in LOG.names or ()}


class _Ages:
    """How many requests had each age, counted in whole steps."""

    def __init__(self, step_s: float) -> None:
        self._step_s = step_s
        self._counts = {"aori_s": np.zeros(1, np.int64), "aosi_s": np.zeros(1, np.int64)}
        self._generated = 0

    def add(self, jobs: np.ndarray) -> None:
        requests = jobs[jobs["kind"] == KINDS.index("request")]
        done = requests[requests["outcome"] == OUTCOMES.index("completed")]
        paired = done[done["update_created"] >= 0]
        self._generated += len(requests)
        self._count("aori_s", done["completed"] - done["created"])
        self._count("aosi_s", np.abs(paired["created"] - paired["update_created"]))

    def _count(self, measure: str, steps: np.ndarray) -> None:
        before = self._counts[measure]
        counts = np.bincount(steps, minlength=len(before))
        counts[: len(before)] += before
        self._counts[measure] = counts

    def columns(self) -> Columns:
        # An age of 0 is always listed, so that a run in which nothing was answered has a row that says so.
        seen = {measure: np.union1d([0], np.flatnonzero(counts)) for measure, counts in self._counts.items()}
        return {
            "measure": np.repeat(list(seen), [len(steps) for steps in seen.values()]),
            "value_s": np.concatenate(list(seen.values())) * self._step_s,
            "requests": np.concatenate([self._counts[measure][steps] for measure, steps in seen.items()]),
            "generated": np.full(sum(map(len, seen.values())), self._generated),
        }


class _Course:
    """Means and spread over seeds at each point in time.

    Sums run over the seeds in their order, one by one, so that the last bit does not depend on the batch either.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        points = min(scenario.max_steps, COURSE_POINTS)
        self._bin = np.arange(scenario.max_steps) * points // scenario.max_steps
        self._shape = (points, len(COURSES))
        self._first: np.ndarray | None = None
        self._sums = np.zeros((3, *self._shape))  # of one, of the difference to the first seed, of its square

    def begin(self, num_envs: int) -> None:
        self._values = np.zeros((num_envs, *self._shape))
        self._counts = np.zeros((num_envs, *self._shape))

    def look(self, world: World) -> None:
        """Take in the step just done."""
        seen = _present(world)
        at, known = self._bin[int(world.t[0]) - 1], ~np.isnan(seen)
        self._values[:, at] += np.where(known, seen, 0.0)
        self._counts[:, at] += known

    def end(self) -> None:
        """Take in the batch."""
        values = _ratio(self._values, self._counts)
        if self._first is None:
            self._first = values[0].copy()
        known = ~np.isnan(values)
        off = np.where(known, values - np.nan_to_num(self._first), 0.0)
        for sums, amounts in zip(self._sums, (known.astype(float), off, off**2), strict=True):
            sums[...] = np.cumsum(np.concatenate([sums[None], amounts]), axis=0)[-1]

    def columns(self) -> Columns:
        assert self._first is not None
        count, off, square = self._sums
        mean_off = _ratio(off, count)
        variance = _ratio(square - off * np.nan_to_num(mean_off), np.maximum(count - 1, 0))
        steps = np.bincount(self._bin, np.arange(len(self._bin))) / np.bincount(self._bin)
        points, measures = self._shape
        return {
            "measure": np.repeat(COURSES, points),
            "step": np.tile(steps, measures),
            "time_s": np.tile(steps * self._scenario.step_s, measures),
            "mean": (np.nan_to_num(self._first) + mean_off).T.ravel(),
            "sd": np.sqrt(np.maximum(variance, 0.0)).T.ravel(),
            "episodes": count.T.ravel().astype(np.int64),
            "first": self._first.T.ravel(),
        }


def _present(world: World) -> np.ndarray:
    """The measures of COURSES in the step just done, [e, measure]; ages NaN where no request completed."""
    total = {name: world.step_totals[:, i] for i, name in enumerate(METRICS)}
    users, step_s = world.scenario.users.count, world.scenario.step_s
    queues, shares, jobs = world.queue_lengths.sum(axis=1), world.shares.mean(axis=1), world.devices["count"]
    sensors = np.full(world.num_envs, world.scenario.sensors.count)
    return np.stack(
        [
            queues[:, 0].astype(float),
            queues[:, 1].astype(float),
            jobs[:, :users].sum(axis=1).astype(float),
            jobs[:, users:].sum(axis=1).astype(float),
            _latency(total) * step_s,
            _ratio(total["aosi"], total["requests_synchronized"]) * step_s,
            _ratio(total["twin_age"], sensors) * step_s,
            shares[:, 0],
            shares[:, 1],
            world.reward,
        ],
        axis=1,
    )
