"""Demand drawn from a city's settings: the world's own zones live on, and people are where these pull them."""

from __future__ import annotations

import math

import numpy as np

from metalore.fluid.demand import DAY_S, HOUR_S, Demand, FluidError, city_of
from metalore.fluid.plenty import with_plenty
from metalore.scenario import Bernoulli, Scenario, Size, period_steps_of, zone_names
from metalore.scenario.city import Event
from metalore.world import World

_FACTORS = ("request_factor", "data_factor", "compute_factor")
_FLOOR_S = 0.13
"""Mean latency of `one-zone` with plenty, s."""


def draw(scenario: Scenario, days: float, seed: int, scale: float) -> Demand:
    """See :meth:`Demand.drawn`.

    A zone's users follow its part of all that pulls with the time constant of a stay. Requests are users times the
    scenario's probability and the zone's factor; rates of sensors are even over zones.

    Raises:
        FluidError: less than an interval.
    """
    city = city_of(scenario)
    intervals = round(days * DAY_S / city.interval_s)
    if intervals < 1:
        raise FluidError(f"{days:g} days hold no interval of {city.interval_s:g} s")
    pulls, elsewhere, factors = _rhythm(scenario, intervals, seed)
    requests, updates = scenario.users.requests, scenario.sensors.updates
    users = scale * scenario.users.count * _followed(pulls, elsewhere, _stay_s(scenario), city.interval_s)
    rate = requests.probability * city.interval_s / scenario.step_s
    zones, shape = tuple(zone_names(scenario)), pulls.shape
    reports = float(reports_per_s(scenario).sum())
    demand = Demand(
        zones=zones,
        positions=np.array([(station.x_m, station.y_m) for station in scenario.stations]),
        interval_s=city.interval_s,
        start_s=city.start_day * DAY_S + city.start_hour * HOUR_S,
        users=users,
        requests=users * rate * factors["request_factor"],
        request_mbit=mean_of(requests.data_mbit) * factors["data_factor"],
        request_gcycle=mean_of(requests.compute_gcycle) * factors["compute_factor"],
        updates=np.full(len(zones), reports / len(zones)) * min(scale, 1.0),
        update_mbit=mean_of(updates.data_mbit),
        update_gcycle=mean_of(updates.compute_gcycle),
        update_period_s=period_s_of(scenario),
        floor_s=np.full(shape, _FLOOR_S),
        announced=announced_in(scenario, intervals, city.interval_s),
        used=np.full((*shape, 4), np.nan),
        planned=planned_in(scenario, intervals, city.interval_s),
        base_mb=scenario.memory.base_mb,
        per_user_mb=scenario.memory.per_user_mb,
        per_job_mb=scenario.memory.per_job_mb,
        core_ghz=scenario.core_ghz,
        source=f"drawn from {scenario.name}, seed {seed}",
    )
    return with_plenty(demand, seed)


def _rhythm(scenario: Scenario, intervals: int, seed: int) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Pulls [t, z], pull of elsewhere [t], and factors [t, z] each: a world of one user, a step an interval."""
    interval_s = city_of(scenario).interval_s
    world = World(
        scenario.updated(**{"step_s": interval_s, "max_steps": intervals + 1, "users.count": 1, "sensors.count": 0})
    )
    world.reset(seed)
    pulls = np.empty((intervals, world.num_stations))
    elsewhere, factors = np.empty(intervals), {name: np.empty_like(pulls) for name in _FACTORS}
    halves = np.full((1, world.num_stations, 2), 0.5)
    for t in range(intervals):
        zones = world.zones[0]
        pulls[t], elsewhere[t] = np.nan_to_num(zones["pull"]), world.elsewhere[0]
        for name, values in factors.items():
            values[t] = zones[name]
        world.step(halves)
    return pulls, elsewhere, factors


def _stay_s(scenario: Scenario) -> float:
    return float(getattr(scenario.users.mobility, "mean_stay_s", 0.0))


def _followed(pulls: np.ndarray, elsewhere: np.ndarray, stay_s: float, interval_s: float) -> np.ndarray:
    """Part of all people in each zone [t, z], who follow the pulls with the delay of a stay."""
    parts: np.ndarray = pulls / np.maximum(pulls.sum(axis=1) + elsewhere, 1e-12)[:, None]
    keep = math.exp(-interval_s / stay_s) if stay_s > 0 else 0.0
    for t in range(1, len(parts)):
        parts[t] = keep * parts[t - 1] + (1.0 - keep) * parts[t]
    return parts


def reports_per_s(scenario: Scenario) -> np.ndarray:
    """Updates of each sensor per second."""
    timing = scenario.sensors.updates.timing
    if isinstance(timing, Bernoulli):
        return np.full(scenario.sensors.count, timing.probability / scenario.step_s)
    return 1.0 / (np.array(period_steps_of(scenario)) * scenario.step_s)


def period_s_of(scenario: Scenario) -> float:
    """Mean time from update to update of a sensor; without sensors a step."""
    rates = reports_per_s(scenario)
    return float(1.0 / rates.mean()) if len(rates) and rates.mean() > 0 else scenario.step_s


def mean_of(size: Size) -> float:
    """Of data or work, nearly: smaller draws than the minimum are raised to it."""
    return max(size.mean, size.minimum)


def planned_in(scenario: Scenario, intervals: int, interval_s: float) -> np.ndarray:
    """Planned events that people are on their way to, and that are on, [t', z, 2]; known for a day beyond the end."""
    names = zone_names(scenario)
    times = np.arange(intervals + round(DAY_S / interval_s)) * interval_s
    planned = np.zeros((len(times), len(names), 2))
    for event in city_of(scenario).events:
        since = _since(event, times)
        near, on = (since >= 0) & (since < event.lead_s), (since >= event.lead_s) & _goes_on(event, since)
        planned[:, names.index(event.zone)] += np.stack([near, on], axis=-1)
    return planned


def _since(event: Event, times: np.ndarray) -> np.ndarray:
    """Seconds since people began to come to an event, or to its last repetition; below 0: before the first time."""
    since = times - (event.from_s - event.lead_s)
    if event.every_s is None:
        return since
    repeated: np.ndarray = np.where(since >= 0, since % event.every_s, since)
    return repeated


def _goes_on(event: Event, since: np.ndarray) -> np.ndarray:
    goes_on: np.ndarray = (since >= 0) & (since < event.lead_s + event.duration_s)
    return goes_on


def announced_in(scenario: Scenario, intervals: int, interval_s: float) -> np.ndarray:
    """What planned events multiply requests by, from their lead on, [t, z]."""
    city, names = city_of(scenario), zone_names(scenario)
    times = np.arange(intervals) * interval_s
    announced = np.ones((intervals, len(names)))
    for event in city.events:
        z = names.index(event.zone)
        on = _goes_on(event, _since(event, times))
        announced[on, z] = np.maximum(announced[on, z], event.request_factor * event.pull)
    return announced
