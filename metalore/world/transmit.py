"""Transmit: divide the bands, drain devices' queues, and let jobs arrive at their station."""

from __future__ import annotations

from typing import Any

import numpy as np

from metalore.world.codes import BAD_SCHEDULER, FINE, PROPORTIONAL_FAIR, RESOURCE_FAIR, ROUND_ROBIN
from metalore.world.extension import RESULTS, call_user
from metalore.world.jit import njit
from metalore.world.layout import (
    BUSY_HZ,
    CREATED_IN_SYSTEM,
    GCYCLE_LOST,
    LOST,
    LOST_STATION,
    MBIT_SENT,
    NOTHING,
    PER_KIND,
    REQUEST,
    SENT,
    UPDATE,
)
from metalore.world.queues import free_job, pop, push


@njit
def _weigh(frame: Any) -> Any:
    """Weights of all devices but under resource-fair, where everybody's is 1."""
    setup, users = frame.setup[0], frame.setup[0].users
    cells = frame.cells
    for station in range(len(frame.zones)):
        for kind in range(2):
            cell = cells[station, kind]
            cell.weights, cell.backlogged, cell.rank = 0.0, 0, 0
    if setup.scheduler == ROUND_ROBIN and setup.user_scheduler == 0:
        _line_up(frame)
    problem = FINE
    for index in range(len(frame.devices)):
        device = frame.devices[index]
        if not device.attached:
            continue
        cell, body = cells[device.station, REQUEST if index < users else UPDATE], frame.bodies[index]
        if setup.user_scheduler != 0:
            problem = max(problem, _weight_by_user_function(frame, device, body))
        elif setup.scheduler == PROPORTIONAL_FAIR:
            body.weight = device.efficiency / max(body.average_mbps, 1e-3) if device.count > 0 else 0.0
        else:
            body.weight = _slots_of(setup, cell, device, index)
        cell.weights += body.weight
    return problem


@njit
def _weight_by_user_function(frame: Any, device: Any, body: Any) -> Any:
    setup, scratch = frame.setup[0], frame.scratch
    scratch[0], scratch[1] = device.count, device.backlog
    scratch[2], scratch[3] = device.efficiency, body.average_mbps
    scratch[4] = frame.envs[0].t * setup.step_s
    call_user(setup.user_scheduler, scratch)
    weight = scratch[RESULTS]
    if not 0.0 <= weight <= 1e100:
        return BAD_SCHEDULER
    body.weight = weight
    return FINE


@njit
def _line_up(frame: Any) -> None:
    """Round-robin: count who waits, and how many of them come before the turn."""
    users = frame.setup[0].users
    for index in range(len(frame.devices)):
        device = frame.devices[index]
        if device.attached and device.count > 0:
            cell = frame.cells[device.station, REQUEST if index < users else UPDATE]
            cell.backlogged += 1
            cell.rank -= 1 if index < cell.turn else 0
    for station in range(len(frame.zones)):
        for kind in range(2):
            cell = frame.cells[station, kind]
            # The first backlogged device has rank `-before`, and so on, cyclically.
            cell.rank = cell.rank % cell.backlogged if cell.backlogged > 0 else 0


@njit
def _slots_of(setup: Any, cell: Any, device: Any, index: Any) -> Any:
    """Round-robin: slots of the next device in order; the turn moves behind the last that got one."""
    if device.count == 0:
        return 0.0
    rank, waiting = cell.rank, cell.backlogged
    cell.rank = (rank + 1) % waiting
    if rank == (setup.slots - 1) % waiting:
        cell.turn = index + 1
    return np.float64(setup.slots // waiting + (1 if rank < setup.slots % waiting else 0))


@njit
def _divide_bands(frame: Any, shares: Any, fair: Any) -> None:
    for station in range(len(frame.zones)):
        band_hz = frame.zones[station].bandwidth_hz / frame.setup[0].reuse
        for kind in range(2):
            cell = frame.cells[station, kind]
            share = shares[station, 0] if kind == REQUEST else 1.0 - shares[station, 0]
            weights = np.float64(cell.attached) if fair else cell.weights
            cell.hz_per_weight = share * band_hz / weights if weights > 0.0 else 0.0


@njit
def transmit(frame: Any, shares: Any) -> Any:
    setup, users = frame.setup[0], frame.setup[0].users
    fair = setup.scheduler == RESOURCE_FAIR and setup.user_scheduler == 0
    problem = FINE if fair else _weigh(frame)
    _divide_bands(frame, shares, fair)
    for index in range(len(frame.devices)):
        device = frame.devices[index]
        if not device.attached or (fair and device.count == 0):
            continue
        kind = REQUEST if index < users else UPDATE
        cell = frame.cells[device.station, kind]
        part = cell.hz_per_weight if fair else cell.hz_per_weight * frame.bodies[index].weight
        budget = part * device.efficiency * 1e-6 * setup.step_s
        left = _drain(frame, index, kind, budget)
        frame.tally[device.station, BUSY_HZ] += part if left == 0.0 else part * (1.0 - left / budget)
        if not fair:
            delivered = (budget - left) / setup.step_s
            body = frame.bodies[index]
            body.average_mbps += (delivered - body.average_mbps) / setup.average_window
    return problem


@njit
def _drain(frame: Any, index: Any, kind: Any, budget: Any) -> Any:
    """Send what the budget (Mbit) allows from a device's queue; returns what is left of it."""
    device, t, jobs = frame.devices[index], frame.envs[0].t, frame.jobs
    # Kept in registers through the loop: compiled code must else reload them after every store to a job.
    remaining, started, station, sent, whole = device.remaining, device.started, device.station, 0.0, budget
    while device.count > 0 and budget > NOTHING:
        job = device.head
        if started < 0:
            started = t
            if frame.setup[0].logging:
                frame.log[frame.numbers[job]].tx_start = t
        if remaining > budget + NOTHING:
            remaining -= budget
            sent += budget
            budget = 0.0
            break
        budget -= remaining
        sent += remaining
        jobs[job].tx_start, jobs[job].tx_end = started, t
        jobs[job].tx_part = (whole - budget) / whole
        pop(jobs, device)
        remaining, started = np.float64(jobs[device.head].data) if device.count > 0 else 0.0, np.int32(-1)
        _arrive(frame, station, kind, job)
    device.remaining, device.started = remaining, started
    device.backlog -= sent
    frame.tally[station, kind * PER_KIND + MBIT_SENT] += sent
    return max(budget, 0.0)


@njit
def _arrive(frame: Any, station: Any, kind: Any, job: Any) -> None:
    """A sent job enters its station's queue, or is lost if buffer or memory is full."""
    setup, cell, record = frame.setup[0], frame.cells[station, kind], frame.jobs[job]
    tally, base = frame.tally[station], kind * PER_KIND
    tally[base + SENT] += 1.0
    if setup.logging:
        row = frame.log[frame.numbers[job]]
        row.tx_end, row.station = record.tx_end, station
    if cell.count >= setup.station_jobs or _memory_full(frame, station):
        lose(frame, station, kind, job, np.float64(record.compute), LOST_STATION)
        return
    if cell.count == 0:
        cell.remaining, cell.started = np.float64(record.compute), -1
    cell.backlog += record.compute
    push(frame.jobs, cell, job)


@njit
def _memory_full(frame: Any, station: Any) -> Any:
    """Whether one more job would exceed the station's memory."""
    limit = frame.zones[station].memory_mb
    return limit != np.inf and resident_mb(frame, station, 1) > limit


@njit
def resident_mb(frame: Any, station: Any, more_jobs: Any) -> Any:
    """Memory that the twin, attached users and queued jobs take, and would with some jobs more."""
    setup, requests, updates = frame.setup[0], frame.cells[station, REQUEST], frame.cells[station, UPDATE]
    jobs = requests.count + updates.count + more_jobs
    return setup.base_mb + setup.per_user_mb * requests.attached + setup.per_job_mb * jobs


@njit
def lose(frame: Any, station: Any, kind: Any, job: Any, unprocessed: Any, outcome: Any) -> None:
    """Count a sent job as lost, with the Gcycle nobody will spend on it, and free its place."""
    tally, base = frame.tally[station], kind * PER_KIND
    tally[base + LOST] += 1.0
    tally[base + GCYCLE_LOST] += unprocessed
    tally[base + CREATED_IN_SYSTEM] -= frame.jobs[job].created
    if frame.setup[0].logging:
        frame.log[frame.numbers[job]].outcome = outcome
    free_job(frame.envs[0], frame.jobs, job)
