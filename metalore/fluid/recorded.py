"""Demand read from a recording of a city whose zones had plenty."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metalore.fluid.demand import DAY_S, HOUR_S, USED, Demand, FluidError
from metalore.fluid.drawing import announced_in, reports_per_s
from metalore.scenario import Scenario
from metalore.telemetry import Recording

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
        return table[name].to_numpy(np.float64).reshape(intervals, len(graph.zones))

    _check_plenty(folder, column("cpu_cores"), column("cpu_capacity_cores"))
    completed, interval_s = column("completed"), float(recording.card["interval_s"])
    requests, updates = scenario.users.requests, scenario.sensors.updates
    work, steady_work = _explained(column("cpu_cores") * scenario.core_ghz * interval_s, completed)
    data, _ = _explained(column("bandwidth_mbps") * interval_s, completed)
    latency_s = column("latency_ms") / 1000.0
    rates = steady_work / interval_s / updates.compute_gcycle.mean
    return Demand(
        zones=tuple(graph.zones),
        positions=np.asarray(graph.positions_m, np.float64),
        interval_s=interval_s,
        start_s=scenario.city.start_day * DAY_S + scenario.city.start_hour * HOUR_S,
        users=np.nan_to_num(column("active_users")),
        requests=column("requests"),
        request_mbit=_or(data, requests.data_mbit.mean),
        request_gcycle=_or(work, requests.compute_gcycle.mean),
        updates=rates,
        update_mbit=updates.data_mbit.mean,
        update_gcycle=updates.compute_gcycle.mean,
        update_period_s=_period_s(scenario),
        floor_s=_or(latency_s, float(np.nanmedian(latency_s))),
        announced=announced_in(scenario, intervals, interval_s),
        used=np.stack([column(name) for name in USED], axis=-1),
        base_mb=scenario.memory.base_mb,
        per_user_mb=scenario.memory.per_user_mb,
        per_job_mb=scenario.memory.per_job_mb,
        core_ghz=scenario.core_ghz,
        source=f"recorded in {folder}",
    )


def _check_plenty(folder: Path, used: np.ndarray, had: np.ndarray) -> None:
    busy = float((used > _BUSY * had).mean())
    if busy > 0.01:
        raise FluidError(
            f"zones of {folder} used more than {100 * _BUSY:.0f} % of their cores in {100 * busy:.0f} % of all "
            "intervals, so it shows what they had; record the city with larger stations"
        )


def _explained(amounts: np.ndarray, completed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a completed request takes [t, z], NaN where few were, and what is there without any [z].

    The latter is the intercept of a line through the zone's intervals, by least squares.
    """
    dx = completed - completed.mean(axis=0)
    slope = (dx * (amounts - amounts.mean(axis=0))).sum(axis=0) / np.maximum((dx**2).sum(axis=0), 1e-12)
    steady = np.maximum(amounts.mean(axis=0) - slope * completed.mean(axis=0), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.maximum(amounts - steady, 0.0) / completed
    return np.where(completed >= _LEAST_COMPLETED, each, np.nan), steady


def _or(values: np.ndarray, usual: float) -> np.ndarray:
    filled: np.ndarray = np.where(np.isnan(values), usual, values)
    return filled


def _period_s(scenario: Scenario) -> float:
    reports = reports_per_s(scenario)
    return scenario.sensors.count / reports if reports else scenario.step_s
