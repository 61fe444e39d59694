"""Compute: work off stations' queues, pair requests with updates, and keep the twin fresh."""

from __future__ import annotations

from typing import Any

import numpy as np

from metalore.world.codes import AT_COMPLETION
from metalore.world.jit import njit
from metalore.world.layout import (
    AOSI,
    COMPLETED,
    COMPLETED_JOBS,
    DATA_AGE,
    DEVICE_WAIT,
    GCYCLE_PROCESSED,
    LATE,
    LATENCY,
    LATENCY_SQUARED,
    LEFT,
    NOTHING,
    PEAK_AGE,
    PEAKS,
    PER_KIND,
    PROCESSING,
    REQUEST,
    SERVER_WAIT,
    SIGNED_GAP,
    SYNC_VALUE,
    SYNCHRONIZED,
    TRANSMISSION,
    UPDATE,
)
from metalore.world.pairing import may_start, pair_at_completion
from metalore.world.queues import free_job, pop
from metalore.world.transmit import lose


@njit
def compute(frame: Any, station: Any, kind: Any, budget: Any) -> None:
    """Work off a station's queue with `budget` Gcycle."""
    setup, cell, t, tally = frame.setup[0], frame.cells[station, kind], frame.envs[0].t, frame.tally[station]
    # Sums are kept in registers through the loop: compiled code must else reload them after every store to a job.
    processed, worth, latency, latency_squared, whole = 0.0, 0.0, 0.0, 0.0, budget
    completed = device_wait = transmission = server_wait = processing = 0
    late = synchronized = aosi = signed_gap = data_age = 0
    while cell.count > 0 and budget > NOTHING:
        record = frame.jobs[cell.head]
        if kind == REQUEST:
            if setup.may_leave and _nobody_waits(frame, record):
                _drop_head(frame, station)
                continue
            if cell.started < 0 and not may_start(frame, station, record):
                break
        if cell.started < 0:
            cell.started = t
            if setup.logging:
                frame.log[frame.numbers[cell.head]].proc_start = t
        if cell.remaining > budget + NOTHING:
            cell.remaining -= budget
            cell.backlog -= budget
            processed += budget
            break
        budget -= cell.remaining
        processed += cell.remaining
        completed += 1
        device_wait += record.tx_start - record.created
        transmission += record.tx_end - record.tx_start
        server_wait += cell.started - record.tx_end
        processing += t - cell.started
        if kind == UPDATE:
            _refresh_twin(frame, station, record)
        else:
            if setup.pairing == AT_COMPLETION:
                pair_at_completion(frame, station, record)
            took = t - record.created + (whole - budget) / whole
            if record.tx_end == t:
                took += record.tx_part
            latency += took
            latency_squared += took * took
            late += (t - record.created) * setup.step_s > setup.delay_threshold_s
            if record.sensor >= 0:
                gap = record.created - record.update
                synchronized += 1
                aosi += abs(gap)
                signed_gap += gap
                data_age += t - record.update
                worth += _value_of_age(frame, abs(gap))
        _leave_queue(frame, cell, kind)
    base = kind * PER_KIND
    tally[base + GCYCLE_PROCESSED] += processed
    tally[base + COMPLETED_JOBS] += completed
    tally[base + DEVICE_WAIT] += device_wait
    tally[base + TRANSMISSION] += transmission
    tally[base + SERVER_WAIT] += server_wait
    tally[base + PROCESSING] += processing
    if kind == REQUEST:
        tally[LATE] += late
        tally[SYNCHRONIZED] += synchronized
        tally[AOSI] += aosi
        tally[SIGNED_GAP] += signed_gap
        tally[DATA_AGE] += data_age
        tally[SYNC_VALUE] += worth
        tally[LATENCY] += latency
        tally[LATENCY_SQUARED] += latency_squared


@njit
def _nobody_waits(frame: Any, job: Any) -> Any:
    """Whether a request's user has left since."""
    return not frame.devices[job.device].present or job.created < frame.bodies[job.device].arrived


@njit
def _next_in_queue(frame: Any, cell: Any) -> Any:
    """Take the head job out of a queue; the next one is untouched."""
    cell.backlog -= cell.remaining
    job = pop(frame.jobs, cell)
    cell.started = -1
    if cell.count > 0:
        cell.remaining = np.float64(frame.jobs[cell.head].compute)
    return job


@njit
def _drop_head(frame: Any, station: Any) -> None:
    """A request at the head that nobody waits for is lost."""
    cell = frame.cells[station, REQUEST]
    unprocessed = cell.remaining
    lose(frame, station, REQUEST, _next_in_queue(frame, cell), unprocessed, LEFT)


@njit
def _leave_queue(frame: Any, cell: Any, kind: Any) -> None:
    """A completed job leaves."""
    job = _next_in_queue(frame, cell)
    record = frame.jobs[job]
    frame.devices[record.device].completed += 1
    if frame.setup[0].logging:
        row = frame.log[frame.numbers[job]]
        row.completed, row.outcome = frame.envs[0].t, COMPLETED
        if kind == REQUEST:
            row.sensor, row.update_created = max(record.sensor, -1), max(record.update, -1)
    free_job(frame.envs[0], frame.jobs, job)


@njit
def _value_of_age(frame: Any, steps: Any) -> Any:
    """discount ** AoSI, from the table as far as it goes."""
    if steps < len(frame.value_of_age):
        return frame.value_of_age[steps]
    return frame.setup[0].discount ** (steps * frame.setup[0].step_s)


@njit
def _refresh_twin(frame: Any, station: Any, record: Any) -> None:
    """A processed update becomes its sensor's newest, unless a newer one came before."""
    sensor, t = frame.devices[record.device], frame.envs[0].t
    if record.created > sensor.newest:
        frame.tally[station, PEAKS] += 1.0
        frame.tally[station, PEAK_AGE] += t - max(sensor.newest, 0)
        frame.envs[0].newest_sum += record.created - max(sensor.newest, 0)
        sensor.newest = record.created
