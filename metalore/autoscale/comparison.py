"""Every recommender on the same days of the same city: what it cost, and what it cost the users.

For each seed the city runs once with as much as safety allows (the demand run): its first days are the history that
recommenders begin with; the rest is the demand that perfect foresight is handed, and the static peak is taken from it.
Then each recommender gets the city as it was at the end of those first days. People, walks and requests are the same
for all, since random numbers depend on nothing but the seed.

Axes: `t` intervals, `z` zones, `r` resources.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from metalore.autoscale.controller import Controller, Forecast, Tick
from metalore.autoscale.drift import Drift
from metalore.autoscale.errors import AutoscaleError
from metalore.autoscale.logic import Logic
from metalore.autoscale.model import CPU, MEMORY, Usage
from metalore.autoscale.recommender import Recommender
from metalore.autoscale.recommenders.hpa import HorizontalRule
from metalore.autoscale.recommenders.threshold import Threshold
from metalore.autoscale.registry import make_recommender, read_recommender
from metalore.autoscale.safety import Safety
from metalore.autoscale.simulated import Policy, Row, SimulatedCity, begin_with
from metalore.intervals import Estimate, bootstrap_mean, paired_difference
from metalore.scenario import Scenario
from metalore.telemetry.recording import half
from metalore.world import World

DAY_S, HOUR_S = 86_400.0, 3600.0
MEASURES = {
    "slo_violations": "part of zone-intervals with requests whose mean latency is above the target, or none completed",
    "slo_floor": "the same with as much as safety allows all the time: what no size avoids",
    "lost_requests": "part of all requests that was lost",
    "aori_s": "mean age of request information, over completed requests, s",
    "aosi_s": "mean age of sensor information, over completed requests that a sensor's update served, s",
    "cpu_slack": "mean of (given - used) / given",
    "memory_slack": "the same of memory",
    "core_hours": "cores given, times hours, all zones",
    "gb_hours": "GB of memory given, times hours",
    "cpu_cost": "core-hours as a part of those of the static peak",
    "memory_cost": "GB-hours likewise",
    "changes": "changes of CPU or memory per zone and day",
    "change_size": "mean size of a change, as a part of what the zone had",
    "reversals": "changes up after one down, or down after one up, per zone and day",
}
"""What is measured, in the order of tables."""

Result = dict[str, Any]
"""Of one recommender and seed: `recommender`, `seed`, the measures, and `codes`, how often each reason had a part."""
Series = dict[str, np.ndarray]
"""A row per zone and interval, zone by zone: `zone`, `time_s` (its beginning), `given_cores, cpu_cores, given_mb,
memory_mb, latency_ms`, and `violated`, whether the mean latency was above the target or nothing was completed."""
Progress = Callable[[int, int], None]
"""Is told the intervals done and those in all."""


@dataclass(frozen=True)
class Plan:
    """What is run.

    Attributes:
        scenario: the city.
        days: that count.
        history_days: before them, which all recommenders know.
        interval_s: of telemetry, and from decision to decision.
        delay_s: from a decision until it takes effect; resizing a pod in place takes seconds.
        latency_target_ms: mean latency of a zone's requests in an interval that is still good; the radio alone takes
            about a second in `city-30`.
        safety: common to all recommenders.
        headroom: of the static peak that costs are compared with.
        policy: splits bandwidth and compute.

    Raises:
        AutoscaleError: days that are no positive multiple of the interval.
    """

    scenario: Scenario
    days: float = 1.0
    history_days: float = 1.0
    interval_s: float = 60.0
    delay_s: float = 0.0
    latency_target_ms: float = 2000.0
    safety: Safety = field(default_factory=Safety)
    headroom: float = 0.1
    policy: Policy = half

    def __post_init__(self) -> None:
        for name, least in (("days", 1), ("history_days", 0)):
            intervals = getattr(self, name) * DAY_S / self.interval_s
            if round(intervals) < least or abs(intervals - round(intervals)) > 1e-6:
                raise AutoscaleError(
                    f"{name} is {getattr(self, name):g}; it must be a multiple of the interval of {self.interval_s:g} s"
                )

    @property
    def intervals(self) -> int:
        """That count."""
        return round(self.days * DAY_S / self.interval_s)

    @property
    def history(self) -> int:
        """Intervals before them."""
        return round(self.history_days * DAY_S / self.interval_s)


class Run(NamedTuple):
    """What one recommender came to on one seed, and its course."""

    result: Result
    series: Series


@dataclass(frozen=True, eq=False)
class Demand:
    """What a city needs when it has plenty.

    Attributes:
        history: before the days that count.
        times, used: beginnings of the intervals that count [t] and what they use [t, z, r].
        state: of the world when they begin.
        violations: part of zone-intervals that are late nevertheless.
    """

    history: Usage
    times: np.ndarray
    used: np.ndarray
    state: Mapping[str, np.ndarray]
    violations: float

    @property
    def peak(self) -> np.ndarray:
        """The most that is used, [z, r]."""
        peak: np.ndarray = self.used.max(axis=0)
        return peak


Candidate = Callable[[Demand], Recommender]
"""Makes a recommender for a demand, most without looking at it."""
MakeForecast = Callable[[Usage], Forecast]
"""Makes what forecasts from the history."""


def clock_s_of(scenario: Scenario) -> float:
    """Seconds since Monday 00:00 at time 0."""
    city = scenario.city
    return 0.0 if city is None else DAY_S * city.start_day + HOUR_S * city.start_hour


def candidate(text: str, scenario: Scenario) -> Candidate:
    """A recommender as a person writes it: a name, or a name with settings like `forecast:headroom=0.2,level=0.9`.

    `static` is given the peak of the days that count, `foresight` their demand, and `threshold` the published numbers
    scaled from the published 1.2 cores to those of the scenario's largest server, unless `scale` is set.

    Raises:
        AutoscaleError: no such recommender or setting.
    """
    name, settings = settings_for(text, scenario)

    def make(demand: Demand) -> Recommender:
        given: dict[str, Any] = {
            "static": {"amounts": demand.peak},
            "foresight": {"times": demand.times, "demand": demand.used},
        }.get(name, {})
        return make_recommender(name, **given, **settings)

    return make


def settings_for(text: str, scenario: Scenario) -> tuple[str, dict[str, Any]]:
    """Name and settings of a recommender for a scenario, `threshold` scaled to its servers.

    Raises:
        AutoscaleError: no such recommender or setting.
    """
    name, settings = read_recommender(text, clock_s_of(scenario))
    if name == Threshold.name:
        cores = max(station.compute_gcycle_s for station in scenario.stations) / scenario.core_ghz
        settings = {"scale": cores / Threshold.most[CPU]} | settings
    return name, settings


# -- running -----------------------------------------------------------------------------------------------------------


def compare(
    plan: Plan,
    candidates: Mapping[str, Candidate],
    seeds: Sequence[int],
    forecaster: MakeForecast | None = None,
    progress: Progress | None = None,
) -> list[Result]:
    """Run every candidate on every seed; see :func:`runs`."""
    return [one.result for one in runs(plan, candidates, seeds, forecaster, progress)]


def runs(
    plan: Plan,
    candidates: Mapping[str, Candidate],
    seeds: Sequence[int],
    forecaster: MakeForecast | None = None,
    progress: Progress | None = None,
    finished: Collection[tuple[str, int]] = (),
    drifts: Mapping[str, Drift] | None = None,
) -> Iterator[Run]:
    """Every candidate on every seed, one after the other.

    Args:
        plan: what is run.
        candidates: by what they are called.
        seeds: of worlds.
        forecaster: for candidates that need forecasts; unset: there are none, and the fallback decides.
        progress: see :data:`Progress`.
        finished: candidates and seeds that are left out.
        drifts: says whose forecasts are distrusted, by candidate; those that are not named trust them.
    """
    wanted = {seed: [name for name in candidates if (name, seed) not in finished] for seed in seeds}
    wanted = {seed: names for seed, names in wanted.items() if names}
    whole = plan.history + plan.intervals
    told = _Progress(progress, sum(whole + plan.intervals * len(names) for names in wanted.values()))
    for seed, names in wanted.items():
        demand = run_demand(plan, seed, told.interval)
        for name in names:
            recommender = candidates[name](demand)
            forecast = forecaster(demand.history) if forecaster and recommender.needs_forecasts else None
            result, series = run(plan, demand, recommender, forecast, told.interval, (drifts or {}).get(name))
            yield Run({"recommender": name, "seed": int(seed)} | result, series)


class _Progress:
    def __init__(self, tell: Progress | None, intervals: int) -> None:
        self._tell, self._done, self._intervals = tell or (lambda done, intervals: None), 0, intervals
        self._tell(0, intervals)

    def interval(self, _: Any) -> None:
        """One more."""
        self._done += 1
        self._tell(self._done, self._intervals)


def run_demand(plan: Plan, seed: int, told: Callable[[Row], None] = lambda row: None) -> Demand:
    """The city with plenty of everything."""
    world = world_of(plan)
    world.reset(seed)
    most = plan.safety.upper
    world.set_capacity(compute_gcycle_s=most[CPU] * plan.scenario.core_ghz, memory_mb=most[MEMORY])
    city = SimulatedCity(world, plan.policy, interval_s=plan.interval_s)
    for _ in range(plan.history):
        told(city.advance())
    history, state = city.usage(), world.state()
    for _ in range(plan.intervals):
        told(city.advance())
    coming = city.usage().since(city.now() - (plan.intervals + 0.5) * plan.interval_s)
    return Demand(history, coming.times, coming.used, state, _violations(_columns(city.rows[plan.history :]), plan))


def run(
    plan: Plan,
    demand: Demand,
    recommender: Recommender,
    forecast: Forecast | None = None,
    told: Callable[[Tick], None] = lambda tick: None,
    drift: Drift | None = None,
) -> Run:
    """The days that count under one recommender, measured."""
    world = world_of(plan)
    world.restore(demand.state)
    begin_with(world, plan.safety, demand.peak[:, MEMORY] * (1 + plan.headroom))
    city = SimulatedCity(world, plan.policy, interval_s=plan.interval_s, delay_s=plan.delay_s, history=demand.history)
    changes = _Changes()

    def report(tick: Tick) -> None:
        changes.note(tick)
        told(tick)

    controller = Controller(
        Logic(recommender, HorizontalRule(), plan.safety, drift),
        city,
        city.usage,
        city,
        interval_s=plan.interval_s,
        forecast=forecast,
        report=report,
    )
    controller.tick()
    controller.run(plan.intervals - 1)
    city.advance()
    result = measures(city.rows, plan, demand) | changes.measures(len(city.zones) * plan.days)
    return Run(result, series(city.rows, city.zones, plan))


def world_of(plan: Plan) -> World:
    """The city, for as long as history and the days that count take together; not reset."""
    steps = round((plan.history + plan.intervals) * plan.interval_s / plan.scenario.step_s)
    return World(plan.scenario.updated(max_steps=steps))


# -- measuring ---------------------------------------------------------------------------------------------------------


def measures(rows: Sequence[Row], plan: Plan, demand: Demand) -> Result:
    """What a run came to, but for its changes.

    Args:
        rows: of all intervals.
        plan: that was run.
        demand: that was met.
    """
    column = _columns(rows)
    hours = plan.interval_s / HOUR_S
    core_hours, gb_hours = column["given_cores"].sum() * hours, column["given_mb"].sum() * hours / 1000
    most = demand.peak.sum(axis=0) * (1 + plan.headroom) * len(rows) * hours
    return {
        "slo_violations": _violations(column, plan),
        "slo_floor": demand.violations,
        "lost_requests": _ratio(column["lost"].sum(), column["requests"].sum()),
        "aori_s": _weighted(column, "aori_s"),
        "aosi_s": _weighted(column, "aosi_s"),
        "cpu_slack": float((1 - column["cpu_cores"] / column["given_cores"]).mean()),
        "memory_slack": float((1 - column["memory_mb"] / column["given_mb"]).mean()),
        "core_hours": float(core_hours),
        "gb_hours": float(gb_hours),
        "cpu_cost": _ratio(core_hours, most[CPU]),
        "memory_cost": _ratio(gb_hours, most[MEMORY] / 1000),
    }


def series(rows: Sequence[Row], zones: Sequence[str], plan: Plan) -> Series:
    """The course of a run, for figures: in single precision."""
    column = _columns(rows)
    times = np.array([float(row["time_s"]) for row in rows])
    shown = {name: column[name].T.ravel().astype(np.float32) for name in _SHOWN}
    return {
        "zone": np.repeat(np.array(zones, object), len(rows)),
        "time_s": np.tile(times, len(zones)),
        **shown,
        "violated": _judged(column, plan)[1].T.ravel(),
    }


def _columns(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """[t, z] each."""
    return {name: np.stack([row[name] for row in rows]) for name in _COLUMNS}


def _violations(column: Mapping[str, np.ndarray], plan: Plan) -> float:
    asked, late = _judged(column, plan)
    return _ratio(late.sum(), asked.sum())


def _weighted(column: Mapping[str, np.ndarray], name: str) -> float:
    """Mean of a column over completed requests."""
    weights = np.where(np.isnan(column[name]), 0.0, column["completed"])
    return _ratio((np.nan_to_num(column[name]) * weights).sum(), weights.sum())


def _judged(column: Mapping[str, np.ndarray], plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Where there were requests, and where they were late, [t, z]."""
    asked = (column["requests"] > 0) | (column["completed"] > 0)
    return asked, asked & ~(column["latency_ms"] <= plan.latency_target_ms)  # NaN: nothing was completed


_COLUMNS = (
    "requests", "completed", "latency_ms", "lost", "aori_s", "aosi_s", "cpu_cores", "memory_mb", "given_cores",
    "given_mb",
)  # fmt: skip
_SHOWN = ("given_cores", "cpu_cores", "given_mb", "memory_mb", "latency_ms")


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")


class _Changes:
    """Changes of CPU and memory, counted decision by decision."""

    def __init__(self) -> None:
        self._count, self._size, self._reversals = 0, 0.0, 0
        self._direction: np.ndarray | None = None
        self._codes: Counter[str] = Counter()

    def note(self, tick: Tick) -> None:
        """One more turn of the loop."""
        decision = tick.decision
        if decision is None:
            return
        before, after = decision.before[:, : MEMORY + 1], decision.after[:, : MEMORY + 1]
        direction = np.sign(after - before)
        last = np.zeros(direction.shape) if self._direction is None else self._direction
        self._count += int((direction != 0).sum())
        self._size += float((np.abs(after - before) / before).sum())
        self._reversals += int((direction * last < 0).sum())
        self._direction = np.where(direction != 0, direction, last)
        self._codes += decision.codes()

    def measures(self, zone_days: float) -> Result:
        """What they came to."""
        return {
            "changes": self._count / zone_days,
            "change_size": _ratio(self._size, self._count),
            "reversals": self._reversals / zone_days,
            "codes": dict(self._codes),
        }


# -- over seeds --------------------------------------------------------------------------------------------------------


def summary(results: Sequence[Result]) -> dict[str, dict[str, Estimate]]:
    """Mean over seeds with its 95 % bootstrap interval, by recommender and measure."""
    return {
        name: {measure: bootstrap_mean(_values(results, name, measure)) for measure in MEASURES}
        for name in _names(results)
    }


def differences(results: Sequence[Result], reference: str) -> dict[str, dict[str, Estimate]]:
    """Mean difference to a reference on the same seeds with its interval, by recommender and measure.

    Raises:
        AutoscaleError: the reference was not run.
    """
    if reference not in _names(results):
        raise AutoscaleError(f"the results have no recommender {reference!r}; they have {', '.join(_names(results))}")
    return {
        name: {
            measure: paired_difference(_values(results, name, measure), _values(results, reference, measure))
            for measure in MEASURES
        }
        for name in _names(results)
        if name != reference
    }


def _names(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(result["recommender"] for result in results))


def _values(results: Sequence[Result], name: str, measure: str) -> np.ndarray:
    return np.array([result[measure] for result in results if result["recommender"] == name])
