"""Whether the parts of a scenario can be together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from metalore.scenario.base import Point
from metalore.scenario.devices import Attraction, Bernoulli, Churn, Daily, Fixed, Ring, Uniform

if TYPE_CHECKING:
    from metalore.scenario.settings import Map, Scenario, Station

PACKING_LIMIT = 0.45
"""Part of an area that discs placed one after the other surely fill; random placement jams at 0.547."""


def _largest_factor(profile: Any) -> float:
    if isinstance(profile, Daily):
        return 1 + profile.amplitude
    return float(max(1.0, getattr(profile, "factor", 1.0)))


def check_profiles(scenario: Scenario) -> None:
    """Refuse a probability that a profile raises above 1."""
    demands = [("users.requests", scenario.users.requests.probability, scenario.users.requests.profile)]
    timing = scenario.sensors.updates.timing
    if isinstance(timing, Bernoulli):
        demands.append(("sensors.updates", timing.probability, scenario.sensors.updates.profile))
    for where, probability, profile in demands:
        peak = probability * _largest_factor(profile)
        if peak > 1 + 1e-12:
            raise ValueError(
                f"{where}.profile raises the probability {probability} to {peak:.4g}; at most one job a step "
                "can be created, so probability times the largest factor must not exceed 1"
            )


def check_on_map(scenario: Scenario) -> None:
    """Refuse places outside the map."""

    def inside(point: Point) -> bool:
        return 0 <= point[0] <= scenario.map.width_m and 0 <= point[1] <= scenario.map.height_m

    places = [(f"stations.{i}", (s.x_m, s.y_m)) for i, s in enumerate(scenario.stations)]
    places += [(f"users.positions_m.{i}", p) for i, p in enumerate(scenario.users.positions_m or ())]
    if isinstance(scenario.sensors.placement, Fixed):
        points = scenario.sensors.placement.positions_m
        places += [(f"sensors.placement.positions_m.{i}", p) for i, p in enumerate(points)]
    for where, point in places:
        if not inside(point):
            raise ValueError(
                f"{where} lies at {point}, outside the map of {scenario.map.width_m} m x {scenario.map.height_m} m"
            )


def check_placement(scenario: Scenario) -> None:
    """Refuse sensors that could not be placed: a ring off the map, or more discs than fit."""
    placement, count = scenario.sensors.placement, scenario.sensors.count
    if isinstance(placement, Fixed) or count == 0:
        return
    if isinstance(placement, Uniform):
        areas = [scenario.map.width_m * scenario.map.height_m]
        counts = [count]
    else:
        stations = scenario.stations[:count]
        areas = [_ring_area_on_map(placement, station, scenario.map) for station in stations]
        counts = [len(range(i, count, len(scenario.stations))) for i in range(len(stations))]
        # Rings of neighbouring stations may overlap, so the whole map bounds them together.
        areas.append(scenario.map.width_m * scenario.map.height_m)
        counts.append(count)
    disc = math.pi * (placement.spacing_m / 2) ** 2
    for area, wanted in zip(areas, counts, strict=True):
        if area <= 0:
            raise ValueError(
                f"sensors.placement asks for a ring of {placement.min_distance_m} to {placement.max_distance_m} m "
                "that lies outside the map"
                if isinstance(placement, Ring)
                else "sensors.placement has no area"
            )
        fits = PACKING_LIMIT * area / disc if disc > 0 else math.inf
        if wanted > max(fits, 1):
            raise ValueError(
                f"sensors.placement.spacing_m is {placement.spacing_m}, which leaves room for about {int(fits)} "
                f"sensors where {wanted} are to stand; lower sensors.count or spacing_m"
            )


def _ring_area_on_map(ring: Ring, station: Station, area: Map) -> float:
    """Area of a ring that lies on the map, in square metres (sum over 4096 equal-area sample points)."""
    total = math.pi * (ring.max_distance_m**2 - ring.min_distance_m**2)
    side, inside = 64, 0
    for i in range(side):
        part = (i + 0.5) / side
        radius = math.sqrt(ring.min_distance_m**2 + part * (ring.max_distance_m**2 - ring.min_distance_m**2))
        for j in range(side):
            angle = 2 * math.pi * (j + 0.5) / side
            x, y = station.x_m + radius * math.cos(angle), station.y_m + radius * math.sin(angle)
            inside += 0 <= x <= area.width_m and 0 <= y <= area.height_m
    return total * inside / side**2


def check_stations(scenario: Scenario) -> None:
    """Refuse a memory without room, an outage that ends before it begins, and a name that two zones have."""
    least_mb = scenario.memory.base_mb + scenario.memory.per_job_mb
    names: dict[str, int] = {}
    for i, station in enumerate(scenario.stations):
        if station.memory_mb is not None and station.memory_mb < least_mb:
            raise ValueError(f"stations.{i}.memory_mb is {station.memory_mb}, but base and one job take {least_mb} MB")
        for start, end in station.outages_s:
            if end <= start:
                raise ValueError(f"stations.{i}.outages_s holds ({start}, {end}); an outage must end after it begins")
        if station.name and names.setdefault(station.name, i) != i:
            raise ValueError(f"stations.{i}.name is {station.name!r}, as is that of station {names[station.name]}")


def check_city(scenario: Scenario) -> None:
    """Refuse attraction without a city, kinds and activities that are not there, and events in no zone."""
    city, users = scenario.city, scenario.users
    if isinstance(users.mobility, Attraction):
        if city is None:
            raise ValueError("users.mobility.kind 'attraction' needs a city that says what pulls; set city")
        if isinstance(users.presence, Churn) or users.positions_m is not None:
            raise ValueError(
                "users.mobility.kind 'attraction' decides who is there and where; leave out users.presence and "
                "users.positions_m"
            )
    if city is None:
        return
    ticks = city.interval_s / scenario.step_s
    if abs(ticks - round(ticks)) > 1e-9 or ticks < 0.5:
        raise ValueError(f"city.interval_s is {city.interval_s}, which is no multiple of step_s {scenario.step_s}")
    kinds, activities = [kind.name for kind in city.kinds], [activity.name for activity in city.activities]
    for i, station in enumerate(scenario.stations):
        if station.kind and station.kind not in kinds:
            raise ValueError(f"stations.{i}.kind is {station.kind!r}; the city's kinds are {', '.join(kinds)}")
    for k, kind in enumerate(city.kinds):
        for name in kind.activities:
            if name not in activities:
                raise ValueError(
                    f"city.kinds.{k}.activities names {name!r}; the city's activities are {', '.join(activities)}"
                )
    names = zone_names(scenario)
    for i, event in enumerate(city.events):
        if event.zone not in names:
            raise ValueError(f"city.events.{i}.zone is {event.zone!r}, which is no zone's name")


def zone_names(scenario: Scenario) -> list[str]:
    """What zones are called in results: their own names, or zone-000 and so on."""
    return [station.name or f"zone-{i:03d}" for i, station in enumerate(scenario.stations)]
