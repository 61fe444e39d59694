"""The city's settings as arrays: hourly rows, activities, events, drift, neighbours, interferers."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metalore.scenario import Attraction, City, CoChannel, Scenario, ScenarioError, ZoneKind, zone_names
from metalore.world import codes, layout

_DAYS = {"all": codes.ANY_DAY, "weekdays": codes.ON_WEEKDAYS, "weekend": codes.ON_WEEKEND}
_WEEK = 168
_DRIVERS = 32  # zones whose noise drives a zone's drift
_CHUNK = 256  # rows of a distance matrix at a time


@dataclass(frozen=True)
class CityArrays:
    """Fields of a frame, by their names; empty where a scenario has no city."""

    kinds: np.ndarray
    week: np.ndarray
    counts: np.ndarray
    activities: np.ndarray
    activity_weights: np.ndarray
    events: np.ndarray
    drift_near: np.ndarray
    drift_weight: np.ndarray
    usual_pull: np.ndarray
    usual_until: np.ndarray
    neighbours: np.ndarray
    full_pull: float


def city_arrays(scenario: Scenario) -> CityArrays:
    """Arrays of a scenario's city.

    Raises:
        ScenarioError: counts that cannot be read.
    """
    city = scenario.city or City()
    stations = scenario.stations
    positions = np.array([(station.x_m, station.y_m) for station in stations])
    names = [kind.name for kind in city.kinds]
    kinds = np.array([names.index(station.kind) if station.kind else 0 for station in stations], np.int32)
    week = np.array([_week_of(kind) for kind in city.kinds])
    counts = _counts(scenario, city)
    table = counts if len(counts) else week[kinds, 0].T  # [rows, s]
    sums = np.nansum(table, axis=1)
    full_pull = float(sums.max()) / city.peak_presence
    seen = np.isfinite(table)
    usual = np.where(seen.any(axis=0), np.nansum(table, axis=0) / np.maximum(seen.sum(axis=0), 1), 0.0)
    elsewhere = 0.0
    if city.outside:
        usually = float(np.maximum(0.0, full_pull - sums).mean())
        elsewhere = max(usually, full_pull * city.peak_presence / 100) if full_pull > 0 else 1.0
    usual_pull = np.append(usual, elsewhere)
    drift_near, drift_weight = _drivers(positions, city)
    return CityArrays(
        kinds=kinds,
        week=week,
        counts=counts,
        activities=_activities(city),
        activity_weights=np.array(
            [[kind.activities.get(activity.name, 0.0) for activity in city.activities] for kind in city.kinds]
        ).reshape(len(city.kinds), len(city.activities)),
        events=_events(scenario, city),
        drift_near=drift_near,
        drift_weight=drift_weight,
        usual_pull=usual_pull,
        usual_until=np.cumsum(usual_pull),
        neighbours=_neighbours(positions, scenario),
        full_pull=full_pull,
    )


def interferers_of(scenario: Scenario) -> np.ndarray:
    """Stations [s, .] that disturb each station, -1 for none."""
    interference = scenario.radio.interference
    if not isinstance(interference, CoChannel):
        return np.full((len(scenario.stations), 0), -1, np.int32)
    positions = np.array([(station.x_m, station.y_m) for station in scenario.stations])
    parts = _parts_of_band(positions, interference.reuse)
    width = max(0, min(interference.interferers, int(np.bincount(parts).max()) - 1))
    near = np.full((len(positions), width), -1, np.int32)
    for part in range(interference.reuse):
        members = np.flatnonzero(parts == part)
        for place, others in zip(members, _nearest_others(positions[members], width), strict=True):
            near[place, : len(others)] = members[others]
    return near


def _parts_of_band(positions: np.ndarray, reuse: int) -> np.ndarray:
    """Each station in turn takes the part whose nearest user so far is farthest away, the lowest on a tie."""
    parts = np.zeros(len(positions), np.int64)
    for i in range(1, len(positions)):
        d2 = ((positions[:i] - positions[i]) ** 2).sum(axis=1)
        nearest = np.full(reuse, np.inf)
        np.minimum.at(nearest, parts[:i], d2)
        parts[i] = int(np.argmax(nearest))
    return parts


def _nearest_others(positions: np.ndarray, wanted: int) -> list[np.ndarray]:
    """For each point the nearest others, nearest first, lowest index on a tie."""
    count = len(positions)
    wanted = min(wanted, count - 1)
    if wanted <= 0:
        return [np.empty(0, np.int64)] * count
    rows: list[np.ndarray] = []
    for first in range(0, count, _CHUNK):
        part = positions[first : first + _CHUNK]
        d2 = ((part[:, None, :] - positions[None, :, :]) ** 2).sum(axis=2)
        d2[np.arange(len(part)), first + np.arange(len(part))] = np.inf
        rows.extend(np.argsort(d2, axis=1, kind="stable")[:, :wanted])
    return rows


def _neighbours(positions: np.ndarray, scenario: Scenario) -> np.ndarray:
    """Zones [s, .] next to each zone in order of number, -1 for none: one is among the other's nearest."""
    mobility = scenario.users.mobility
    if not isinstance(mobility, Attraction):
        return np.full((len(positions), 0), -1, np.int32)
    sides: list[set[int]] = [set() for _ in positions]
    for zone, others in enumerate(_nearest_others(positions, mobility.neighbours)):
        for other in others:
            sides[zone].add(int(other))
            sides[int(other)].add(zone)
    out = np.full((len(positions), max(map(len, sides))), -1, np.int32)
    for zone, others_of_zone in enumerate(sides):
        out[zone, : len(others_of_zone)] = sorted(others_of_zone)
    return out


def _week_of(kind: ZoneKind) -> np.ndarray:
    """Rows [2, 168]: pull and request factor by hour of the week."""
    weeks = ((kind.pull, kind.weekend_pull), (kind.requests, kind.weekend_requests))
    return np.array([list(weekday) * 5 + list(weekend or weekday) * 2 for weekday, weekend in weeks])


def _counts(scenario: Scenario, city: City) -> np.ndarray:
    """People [hours, s], NaN in gaps, 0 for a zone without any row; empty if nothing was counted."""
    if city.counts is None:
        return np.zeros((0, len(scenario.stations)))
    file, where = city.counts.file, f"city.counts.file {city.counts.file}"
    try:
        # Not NumPy's reader: it knows no quotes, takes # for a comment, and makes a number of the name 007.
        with Path(file).open(encoding="utf-8-sig", newline="") as text:
            reader = csv.DictReader(text)
            rows = list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise ScenarioError(f"{where} cannot be read as counts: {str(error).splitlines()[0]}") from None
    wanted = ("hour", "zone", "people")
    if any(name not in (reader.fieldnames or ()) for name in wanted):
        raise ScenarioError(f"{where} needs the columns {','.join(wanted)}")
    try:
        hours = np.array([float(row["hour"]) for row in rows]).astype(np.int64)
        people = np.array([float(row["people"]) for row in rows])
    except (TypeError, ValueError):
        raise ScenarioError(f"{where} holds an hour or a count that is no number") from None
    if len(rows) == 0 or hours.min() < 0 or not (np.isfinite(people) & (people >= 0)).all():
        raise ScenarioError(f"{where} needs hours from 0 on and counts from 0 on; leave out the rows of gaps")
    number = {name: i for i, name in enumerate(zone_names(scenario))}
    unknown = sorted({str(row["zone"]) for row in rows} - set(number))
    if unknown:
        raise ScenarioError(f"{where} counts people in {unknown[0]!r}, which is no zone's name")
    zones = np.array([number[row["zone"]] for row in rows])
    table = np.full((int(hours.max()) + 1, len(number)), np.nan)
    if len(np.unique(hours * len(number) + zones)) < len(rows):
        raise ScenarioError(f"{where} counts the same zone and hour twice")
    table[hours, zones] = people
    table[:, ~np.isin(np.arange(len(number)), zones)] = 0.0
    return table


def _activities(city: City) -> np.ndarray:
    rows = np.zeros(len(city.activities), layout.ACTIVITY)
    for row, activity in zip(rows, city.activities, strict=True):
        variance = math.log1p(activity.variation**2)
        row["log_mean"], row["log_sd"] = math.log(activity.mean_s) - variance / 2, math.sqrt(variance)
        row["days"] = _DAYS[activity.days]
        for name in ("from_hour", "to_hour", "pull", "request_factor", "data_factor", "compute_factor"):
            row[name] = getattr(activity, name)
    return rows


def _events(scenario: Scenario, city: City) -> np.ndarray:
    names = zone_names(scenario)
    rows = np.zeros(len(city.events), layout.EVENT)
    for row, event in zip(rows, city.events, strict=True):
        row["zone"], row["every_s"] = names.index(event.zone), event.every_s or 0.0
        for name in ("from_s", "duration_s", "lead_s", "pull", "request_factor"):
            row[name] = getattr(event, name)
    return rows


def _drivers(positions: np.ndarray, city: City) -> tuple[np.ndarray, np.ndarray]:
    """Zones [s, .] whose noise drives a zone's drift, itself first, and with which weight."""
    if city.drift is None or city.drift.length_m == 0:
        return np.arange(len(positions), dtype=np.int32)[:, None], np.ones((len(positions), 1))
    near = np.column_stack([np.arange(len(positions)), np.array(_nearest_others(positions, _DRIVERS - 1), int)])
    d2 = ((positions[near] - positions[:, None, :]) ** 2).sum(axis=2)
    weight = np.exp(-d2 / city.drift.length_m**2)
    return near.astype(np.int32), weight / np.sqrt((weight**2).sum(axis=1, keepdims=True))


def city_setup(scenario: Scenario, arrays: CityArrays) -> dict[str, Any]:
    """The city's numbers of a setup record."""
    city, mobility = scenario.city or City(), scenario.users.mobility
    drift, flash, counts = city.drift, city.flash_crowds, city.counts
    return {
        "interval_steps": round(city.interval_s / scenario.step_s) if scenario.city else 0,
        "start_hours": 24.0 * city.start_day + city.start_hour,
        "first_hour": counts.first_hour if counts else 0,
        "counted": counts is not None,
        "outside": city.outside,
        "full_pull": arrays.full_pull,
        "far_probability": getattr(mobility, "far_probability", 0.0),
        "mean_stay_s": getattr(mobility, "mean_stay_s", 0.0),
        "spread_m": getattr(mobility, "spread_m", 0.0),
        "drift_sd": drift.sd if drift else 0.0,
        "drift_pull_sd": drift.pull_sd if drift else 0.0,
        "drift_keep": math.exp(-city.interval_s / drift.time_s) if drift else 0.0,
        "flash_probability": flash.per_day * city.interval_s / 86_400 if flash else 0.0,
        "flash_mean_s": flash.mean_s if flash else 0.0,
        "flash_pull": flash.pull if flash else 1.0,
        "flash_requests": flash.request_factor if flash else 1.0,
    }
