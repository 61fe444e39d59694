"""Demand read from a recording of a city whose zones had plenty."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from metalore.fluid.demand import DAY_S, HOUR_S, USED, Demand, FluidError
from metalore.fluid.drawing import announced_in, mean_of, period_s_of, planned_in, reports_per_s
from metalore.scenario import Scenario, zone_names
from metalore.telemetry import Recording
from metalore.world import World

_LEAST_COMPLETED = 20
"""Requests of an interval from which their mean size is told; with fewer the zone's usual one counts."""
_BUSY = 0.9
"""Use of its own capacity from which a zone's recording tells what it had, not what it was asked for."""


def read(folder: Path) -> Demand:
    """See :meth:`Demand.recorded`."""
    recording = Recording.load(folder)
    scenario, table = recording.scenario, recording.table()
    if scenario.city is None:
        raise FluidError(f"{folder} is the recording of {scenario.name!r}, which is no city")
    graph = recording.graph()
    intervals = len(table) // len(graph.zones)

    def column(name: str) -> np.ndarray:
        values: np.ndarray = table[name].to_numpy(np.float64)
        return values.reshape(intervals, len(graph.zones))

    _check_plenty(folder, column("cpu_cores"), column("cpu_capacity_cores"))
    world = World(scenario)
    world.reset(int(recording.card["seed"]))
    return measured(scenario, column, reports_of(world), float(recording.card["interval_s"]), f"recorded in {folder}")


def measured(
    scenario: Scenario, column: Callable[[str], np.ndarray], reports: np.ndarray, interval_s: float, source: str
) -> Demand:
    """Demand of zones that had plenty.

    What a request takes is what was used, less what updates took, for each one completed.

    Args:
        scenario: what was simulated.
        column: telemetry by its column's name, [t, z].
        reports: updates of each zone's sensors per second, [z].
        interval_s: length of an interval.
        source: where it is from.
    """
    city, requests, updates = scenario.city, scenario.users.requests, scenario.sensors.updates
    completed, latency_s = column("completed"), column("latency_ms") / 1000.0
    update_mbit, update_gcycle = mean_of(updates.data_mbit), mean_of(updates.compute_gcycle)
    work = _each(interval_s * (scenario.core_ghz * column("cpu_cores") - reports * update_gcycle), completed)
    data = _each(interval_s * (column("bandwidth_mbps") - reports * update_mbit), completed)
    told = latency_s[~np.isnan(latency_s)]
    return Demand(
        zones=tuple(zone_names(scenario)),
        positions=np.array([(station.x_m, station.y_m) for station in scenario.stations]),
        interval_s=interval_s,
        start_s=city.start_day * DAY_S + city.start_hour * HOUR_S if city else 0.0,
        users=np.nan_to_num(column("active_users")),
        requests=column("requests").astype(np.float64),
        request_mbit=_or(data, mean_of(requests.data_mbit)),
        request_gcycle=_or(work, mean_of(requests.compute_gcycle)),
        updates=reports,
        update_mbit=update_mbit,
        update_gcycle=update_gcycle,
        update_period_s=period_s_of(scenario),
        floor_s=_or(latency_s, float(np.median(told)) if len(told) else 0.0),
        announced=announced_in(scenario, len(completed), interval_s) if city else np.ones(completed.shape),
        used=np.stack([column(name) for name in USED], axis=-1),
        movement=np.nan_to_num(column("movement_rate")),
        planned=planned_in(scenario, len(completed), interval_s) if city else None,
        base_mb=scenario.memory.base_mb,
        per_user_mb=scenario.memory.per_user_mb,
        per_job_mb=scenario.memory.per_job_mb,
        core_ghz=scenario.core_ghz,
        source=source,
    )


def reports_of(world: World) -> np.ndarray:
    """Updates of each zone's sensors per second, [z], in a world that has been reset."""
    stations = world.devices["station"][0, world.scenario.users.count :]
    there = stations >= 0
    rates: np.ndarray = np.bincount(stations[there], reports_per_s(world.scenario)[there], world.num_stations)
    return rates


def _check_plenty(folder: Path, used: np.ndarray, had: np.ndarray) -> None:
    busy = float((used > _BUSY * had).mean())
    if busy > 0.01:
        raise FluidError(
            f"zones of {folder} used more than {100 * _BUSY:.0f} % of their cores in {100 * busy:.0f} % of all "
            "intervals, so it shows what they had; record the city with larger stations"
        )


def _each(taken: np.ndarray, completed: np.ndarray) -> np.ndarray:
    """What a completed request took, from what all of them took [t, z]; NaN where few were."""
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.maximum(taken, 0.0) / completed
    return np.where(completed >= _LEAST_COMPLETED, each, np.nan)


def _or(values: np.ndarray, usual: float) -> np.ndarray:
    filled: np.ndarray = np.where(np.isnan(values), usual, values)
    return filled
