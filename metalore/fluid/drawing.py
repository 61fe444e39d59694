"""Demand drawn from a city's settings: the world's own zones live on, and people are where these pull them."""

from __future__ import annotations

import math

import numpy as np

from metalore.fluid.demand import DAY_S, HOUR_S, Demand, FluidError, city_of
from metalore.fluid.plenty import with_plenty
from metalore.scenario import Scenario, period_steps_of, zone_names
from metalore.world import World

_FACTORS = ("request_factor", "data_factor", "compute_factor")
_CHUNK_S = 86_400.0  # a world of a day a step a minute is small


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
    reports = reports_per_s(scenario)
    zones, shape = tuple(zone_names(scenario)), pulls.shape
    period_s = scenario.sensors.count / reports if reports else scenario.step_s
    demand = Demand(
        zones=zones,
        positions=np.array([(station.x_m, station.y_m) for station in scenario.stations]),
        interval_s=city.interval_s,
        start_s=city.start_day * DAY_S + city.start_hour * HOUR_S,
        users=users,
        requests=users * rate * factors["request_factor"],
        request_mbit=max(requests.data_mbit.mean, requests.data_mbit.minimum) * factors["data_factor"],
        request_gcycle=max(requests.compute_gcycle.mean, requests.compute_gcycle.minimum) * factors["compute_factor"],
        updates=np.full(len(zones), reports / len(zones)) * min(scale, 1.0),
        update_mbit=updates.data_mbit.mean,
        update_gcycle=updates.compute_gcycle.mean,
        update_period_s=period_s,
        floor_s=np.full(shape, 0.3),
        announced=announced_in(scenario, intervals, city.interval_s),
        used=np.full((*shape, 4), np.nan),
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
    parts = pulls / np.maximum(pulls.sum(axis=1) + elsewhere, 1e-12)[:, None]
    keep = math.exp(-interval_s / stay_s) if stay_s > 0 else 0.0
    for t in range(1, len(parts)):
        parts[t] = keep * parts[t - 1] + (1.0 - keep) * parts[t]
    return parts


def reports_per_s(scenario: Scenario) -> float:
    """Updates of all sensors together."""
    if scenario.sensors.count == 0:
        return 0.0
    return float(sum(1.0 / period for period in period_steps_of(scenario))) / scenario.step_s


def announced_in(scenario: Scenario, intervals: int, interval_s: float) -> np.ndarray:
    """What planned events multiply requests by, from their lead on, [t, z]."""
    city, names = city_of(scenario), zone_names(scenario)
    times = np.arange(intervals) * interval_s
    announced = np.ones((intervals, len(names)))
    for event in city.events:
        z = names.index(event.zone)
        since = times - (event.from_s - event.lead_s)
        if event.every_s is not None:
            since = np.where(since >= 0, since % event.every_s, since)
        on = (since >= 0) & (since < event.lead_s + event.duration_s)
        announced[on, z] = np.maximum(announced[on, z], event.request_factor * event.pull)
    return announced
