"""Generate: requests of users and updates of sensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from metalore.world.codes import AT_CREATION, BAD_TRAFFIC, FINE
from metalore.world.extension import RESULTS, call_user
from metalore.world.jit import njit
from metalore.world.layout import (
    CREATED_IN_SYSTEM,
    GCYCLE_GENERATED,
    GCYCLE_LOST,
    GENERATED,
    LOST,
    LOST_DEVICE,
    MBIT_GENERATED,
    MBIT_LOST,
    NO_JOB,
    PER_KIND,
    REQUEST,
    UNDECIDED,
    UPDATE,
)
from metalore.world.pairing import known_update, nearest_sensor
from metalore.world.queues import new_job, push
from metalore.world.random import ANOTHER, TRAFFIC, draw_size, philox, philox_row, uniform, unpacked


@njit
def _create(frame: Any, index: Any, kind: Any, data: Any, compute: Any) -> None:
    """A new job joins its device's queue, or is lost if that is full; the caller counts it as generated."""
    setup, env, device = frame.setup[0], frame.envs[0], frame.devices[index]
    tally = frame.tally[device.station]
    base = kind * PER_KIND
    number = env.numbered
    env.numbered += 1
    job = new_job(env, frame.jobs) if device.count < setup.device_jobs else NO_JOB
    if setup.logging:
        _log_creation(frame, number, index, kind, data, compute, job == NO_JOB)
    if job == NO_JOB:
        tally[base + LOST] += 1.0
        tally[base + MBIT_LOST] += data
        tally[base + GCYCLE_LOST] += compute
        tally[base + CREATED_IN_SYSTEM] -= env.t
        return
    record = frame.jobs[job]
    record.device, record.created = index, env.t
    record.data, record.compute = data, compute
    record.sensor = record.update = UNDECIDED
    if kind == REQUEST and setup.pairing == AT_CREATION:
        record.sensor = nearest_sensor(frame, index)
        if record.sensor >= 0:
            newest = known_update(frame, device.station, record.sensor)
            if newest >= 0:
                record.update = newest
    if setup.logging:
        frame.numbers[job] = number
    if device.count == 0:
        device.remaining, device.started = data, -1
    device.backlog += data
    push(frame.jobs, device, job)


@njit
def _count_generated(frame: Any, station: Any, kind: Any, jobs: Any, mbit: Any, gcycle: Any) -> None:
    tally, base = frame.tally[station], kind * PER_KIND
    tally[base + GENERATED] += jobs
    tally[base + MBIT_GENERATED] += mbit
    tally[base + GCYCLE_GENERATED] += gcycle


@njit
def _log_creation(frame: Any, number: Any, index: Any, kind: Any, data: Any, compute: Any, lost: Any) -> None:
    row = frame.log[number]
    row.number, row.kind, row.device, row.created = number, kind, index, frame.envs[0].t
    row.station = row.sensor = row.tx_start = row.tx_end = row.proc_start = row.completed = row.update_created = -1
    row.data_mbit, row.compute_gcycle = data, compute
    row.outcome = LOST_DEVICE if lost else 0


@njit
def _generate_by_user_function(frame: Any, index: Any, kind: Any) -> Any:
    setup, env, scratch = frame.setup[0], frame.envs[0], frame.scratch
    w0, w1, w2, w3 = philox(env.seed, env.t, index, TRAFFIC, env.episode)
    scratch[0], scratch[1], scratch[2] = env.t * setup.step_s, index, kind
    scratch[3], scratch[4], scratch[5], scratch[6] = uniform(w0), uniform(w1), uniform(w2), uniform(w3)
    call_user(setup.user_traffic, scratch)
    created = scratch[RESULTS]
    if created == 0.0:
        return FINE
    data, compute = np.float64(np.float32(scratch[RESULTS + 1])), np.float64(np.float32(scratch[RESULTS + 2]))
    if created != 1.0 or not (0.0 <= data < np.inf and 0.0 <= compute < np.inf):
        return BAD_TRAFFIC
    _count_generated(frame, frame.devices[index].station, kind, 1, data, compute)
    _create(frame, index, kind, data, compute)
    return FINE


@njit
def generate(frame: Any) -> Any:
    setup, env = frame.setup[0], frame.envs[0]
    users, t = setup.users, env.t
    if setup.user_traffic != 0:
        problem = FINE
        for index in range(len(frame.devices)):
            if frame.devices[index].present:
                kind = REQUEST if index < users else UPDATE
                problem = max(problem, _generate_by_user_function(frame, index, kind))
        return problem
    philox_row(env.seed, t, TRAFFIC, env.episode, frame.words)
    _generate_requests(frame)
    _generate_updates(frame)
    return FINE


@njit
def _generate_requests(frame: Any) -> None:
    setup, t, words = frame.setup[0], frame.envs[0].t, frame.words
    chance = setup.request_probability * frame.request_factor[t]
    data_size, compute_size = unpacked(frame.sizes[REQUEST, 0]), unpacked(frame.sizes[REQUEST, 1])
    station, jobs, mbit, gcycle = np.uint32(0), 0, 0.0, 0.0  # summed in registers while the station stays the same
    lively = setup.interval_steps > 0
    for index in range(setup.users):
        device = frame.devices[index]
        asks = chance * frame.zones[device.station].request_factor if lively else chance
        if device.present and uniform(words[0, index]) < asks:
            data = draw_size(data_size, frame.aliases, np.uint64(words[1, index]))
            compute = draw_size(compute_size, frame.aliases, np.uint64(words[2, index]))
            if lively:
                zone = frame.zones[device.station]
                data = np.float64(np.float32(data * zone.data_factor))
                compute = np.float64(np.float32(compute * zone.compute_factor))
            if device.station != station:
                _count_generated(frame, station, REQUEST, jobs, mbit, gcycle)
                station, jobs, mbit, gcycle = device.station, 0, 0.0, 0.0
            jobs, mbit, gcycle = jobs + 1, mbit + data, gcycle + compute
            _create(frame, index, REQUEST, data, compute)
    _count_generated(frame, station, REQUEST, jobs, mbit, gcycle)


@njit
def _generate_updates(frame: Any) -> None:
    setup, env, t, words = frame.setup[0], frame.envs[0], frame.envs[0].t, frame.words
    chance = setup.update_probability * frame.update_factor[t]
    data_size, compute_size = unpacked(frame.sizes[UPDATE, 0]), unpacked(frame.sizes[UPDATE, 1])
    before, after = frame.update_sum[t], frame.update_sum[t + 1]
    station, jobs, mbit, gcycle = np.uint32(0), 0, 0.0, 0.0
    for index in range(setup.users, len(frame.devices)):
        device = frame.devices[index]
        updates = np.int64(1)
        if setup.periodic:
            rate = frame.rates[index - setup.users]
            updates = np.int64(math.floor(after * rate + device.phase) - math.floor(before * rate + device.phase))
        for j in range(updates):
            w0, w1, w2 = np.uint64(words[0, index]), np.uint64(words[1, index]), np.uint64(words[2, index])
            if j > 0:
                w0, w1, w2, _ = philox(env.seed, t, index, TRAFFIC + ANOTHER * j, env.episode)
            if setup.periodic or uniform(w0) < chance:
                data = draw_size(data_size, frame.aliases, w1)
                compute = draw_size(compute_size, frame.aliases, w2)
                if device.station != station:
                    _count_generated(frame, station, UPDATE, jobs, mbit, gcycle)
                    station, jobs, mbit, gcycle = device.station, 0, 0.0, 0.0
                jobs, mbit, gcycle = jobs + 1, mbit + data, gcycle + compute
                _create(frame, index, UPDATE, data, compute)
    _count_generated(frame, station, UPDATE, jobs, mbit, gcycle)
