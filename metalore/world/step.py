"""One step of a world: associate, act, generate, transmit, compute, age, reward, move.

Each phase is one function of a :class:`~metalore.world.layout.Frame` of a single environment, in the order and to the
letter of `docs/world.md`. `advance` and `restart` run them over a batch.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
from numba import carray

from metalore.world.extension import RESULTS, call_user
from metalore.world.fastmath import exp_each, log_each
from metalore.world.geometry import anything_within, nearest_to, put, strongest
from metalore.world.jit import cached_njit, njit, pointer
from metalore.world.layout import (
    ANCHOR,
    AOSI,
    BODY,
    BUSY_HZ,
    CELL,
    COMPLETED,
    COMPLETED_JOBS,
    CREATED_IN_SYSTEM,
    DATA_AGE,
    DEVICE,
    DEVICE_WAIT,
    ENV,
    GCYCLE_GENERATED,
    GCYCLE_LOST,
    GCYCLE_PROCESSED,
    GENERATED,
    GRID,
    JOB,
    LATE,
    LEFT,
    LINK,
    LOG,
    LOST,
    LOST_DEVICE,
    LOST_STATION,
    MBIT_GENERATED,
    MBIT_LOST,
    MBIT_SENT,
    NO_JOB,
    NO_SENSOR,
    NOTHING,
    PEAK_AGE,
    PEAKS,
    PER_KIND,
    PROCESSING,
    REQUEST,
    SENT,
    SERVER_WAIT,
    SETUP,
    SIGNED_GAP,
    STATION,
    SYNCHRONIZED,
    TRANSMISSION,
    TWIN_AGE,
    UNDECIDED,
    UPDATE,
    Frame,
)
from metalore.world.mobility import TRACE, move, start_moving
from metalore.world.queues import free_job, new_job, pop, push
from metalore.world.radio import LEAST_DISTANCE_M, OKUMURA_HATA, PER_LN2, efficiency, snr_at
from metalore.world.random import (
    ALIAS_DTYPE,
    ANOTHER,
    LUCK,
    PHASE,
    PLACEMENT,
    PRESENCE,
    SIZE_DTYPE,
    TRAFFIC,
    draw_size,
    philox,
    philox_row,
    uniform,
    unpacked,
)

NEAREST, STRONGEST = range(2)
RESOURCE_FAIR, ROUND_ROBIN, PROPORTIONAL_FAIR = range(3)
AT_CREATION, AT_START, AT_COMPLETION = range(3)
ON_RING, ANYWHERE, GIVEN = range(3)
PLACEMENT_ATTEMPTS = 100_000

# What compiled code reports; `World` turns it into a sentence.
FINE, NOT_A_SHARE, ENDED, NOT_PLACED, BAD_CHANNEL, BAD_MOBILITY, BAD_TRAFFIC, BAD_SCHEDULER = range(8)

_SHARE_SLACK = 1e-6  # float32 rounding of a share; more is a mistake

_SOURCES = sorted(Path(__file__).parent.glob("*.py"))
_DIGEST = int(hashlib.sha256(b"".join(p.read_bytes() for p in _SOURCES)).hexdigest()[:12], 16)


# -- associate ---------------------------------------------------------------------------------------------------------


@njit
def _associate(frame: Any, index: Any, kind: Any) -> Any:
    """Attach a device to its station and learn its spectral efficiency."""
    setup, device, body, scratch = frame.setup[0], frame.devices[index], frame.bodies[index], frame.scratch
    if setup.association == STRONGEST:
        station, snr = strongest(
            setup,
            frame.grids[0],
            frame.station_tiles,
            frame.stations,
            frame.links,
            kind,
            frame.kinds_of_link,
            body,
            scratch,
        )
    else:
        anchor = frame.anchors[index, 0]
        station, d2 = nearest_to(anchor, frame.grids[0], frame.station_tiles, frame.stations, 0, body.x, body.y)
        snr = snr_at(setup, frame.links[station, kind], d2, body.luck, scratch)
    device.station = station
    device.attached = 1 if snr > setup.snr_threshold else 0
    device.efficiency = efficiency(snr) if device.attached else 0.0
    frame.cells[station, kind].attached += device.attached
    return FINE if 0.0 <= snr < np.inf else BAD_CHANNEL


@njit
def _associate_all_hata(frame: Any) -> None:
    """:func:`_associate` for all users at once, under the nearest station and Okumura-Hata: loops that vectorize."""
    setup, users = frame.setup[0], frame.setup[0].users
    signal = frame.signal[:users]
    for index in range(users):
        body = frame.bodies[index]
        if len(frame.stations) == 1:
            station = np.int64(0)
            d2 = (frame.stations[0].x - body.x) ** 2 + (frame.stations[0].y - body.y) ** 2
        else:
            station, d2 = nearest_to(
                frame.anchors[index, 0], frame.grids[0], frame.station_tiles, frame.stations, 0, body.x, body.y
            )
        frame.devices[index].station = station
        signal[index] = max(d2, LEAST_DISTANCE_M)
    log_each(signal)
    for index in range(users):
        link = frame.links[frame.devices[index].station, REQUEST]
        signal[index] = link.hata_intercept - link.hata_slope * signal[index]
    exp_each(signal)
    for index in range(users):
        device = frame.devices[index]
        device.attached = np.int8(signal[index] > setup.snr_threshold) & device.present
        frame.cells[device.station, REQUEST].attached += device.attached
        signal[index] += 1.0
    log_each(signal)
    for index in range(users):
        frame.devices[index].efficiency = signal[index] * PER_LN2


@njit
def _associate_users(frame: Any) -> Any:
    setup = frame.setup[0]
    for station in range(len(frame.stations)):
        frame.cells[station, REQUEST].attached = 0
    if setup.association == NEAREST and setup.path_loss == OKUMURA_HATA and setup.user_channel == 0:
        _associate_all_hata(frame)
        return FINE
    problem = FINE
    for index in range(frame.setup[0].users):
        if frame.devices[index].present:
            problem = max(problem, _associate(frame, index, REQUEST))
        else:
            frame.devices[index].attached = 0
    return problem


@njit
def _nearest_sensor(frame: Any, user: Any) -> Any:
    """The sensor a user is paired with now, counted from 0, or NO_SENSOR."""
    setup, body = frame.setup[0], frame.bodies[user]
    if len(frame.devices) == setup.users:
        return NO_SENSOR
    anchor = frame.anchors[user, 1]
    sensor, d2 = nearest_to(anchor, frame.grids[1], frame.sensor_tiles, frame.bodies, setup.users, body.x, body.y)
    return sensor if d2 <= setup.sensor_range2 else NO_SENSOR


# -- generate ----------------------------------------------------------------------------------------------------------


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
        record.sensor = _nearest_sensor(frame, index)
        if record.sensor >= 0 and frame.devices[setup.users + record.sensor].newest >= 0:
            record.update = frame.devices[setup.users + record.sensor].newest
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
def _generate(frame: Any) -> Any:
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
    for index in range(setup.users):
        device = frame.devices[index]
        if device.present and uniform(words[0, index]) < chance:
            data = draw_size(data_size, frame.aliases, np.uint64(words[1, index]))
            compute = draw_size(compute_size, frame.aliases, np.uint64(words[2, index]))
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


# -- transmit ----------------------------------------------------------------------------------------------------------


@njit
def _weigh(frame: Any) -> Any:
    """Weights of all devices but under resource-fair, where everybody's is 1."""
    setup, users = frame.setup[0], frame.setup[0].users
    cells = frame.cells
    for station in range(len(frame.stations)):
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
    for station in range(len(frame.stations)):
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
    for station in range(len(frame.stations)):
        for kind in range(2):
            cell = frame.cells[station, kind]
            share = shares[station, 0] if kind == REQUEST else 1.0 - shares[station, 0]
            weights = np.float64(cell.attached) if fair else cell.weights
            cell.hz_per_weight = share * frame.stations[station].bandwidth_hz / weights if weights > 0.0 else 0.0


@njit
def _transmit(frame: Any, shares: Any) -> Any:
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
    remaining, started, station, sent = device.remaining, device.started, device.station, 0.0
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
        _lose(frame, station, kind, job, np.float64(record.compute), LOST_STATION)
        return
    if cell.count == 0:
        cell.remaining, cell.started = np.float64(record.compute), -1
    cell.backlog += record.compute
    push(frame.jobs, cell, job)


@njit
def _memory_full(frame: Any, station: Any) -> Any:
    """Whether one more job would exceed the station's memory."""
    limit = frame.stations[station].memory_mb
    if limit == np.inf:
        return False
    setup, requests, updates = frame.setup[0], frame.cells[station, REQUEST], frame.cells[station, UPDATE]
    jobs = requests.count + updates.count + 1
    return setup.base_mb + setup.per_user_mb * requests.attached + setup.per_job_mb * jobs > limit


@njit
def _lose(frame: Any, station: Any, kind: Any, job: Any, unprocessed: Any, outcome: Any) -> None:
    """Count a sent job as lost, with the Gcycle nobody will spend on it, and free its place."""
    tally, base = frame.tally[station], kind * PER_KIND
    tally[base + LOST] += 1.0
    tally[base + GCYCLE_LOST] += unprocessed
    tally[base + CREATED_IN_SYSTEM] -= frame.jobs[job].created
    if frame.setup[0].logging:
        frame.log[frame.numbers[job]].outcome = outcome
    free_job(frame.envs[0], frame.jobs, job)


# -- compute -----------------------------------------------------------------------------------------------------------


@njit
def _compute(frame: Any, station: Any, kind: Any, budget: Any) -> None:
    """Work off a station's queue with `budget` Gcycle."""
    setup, cell, t, tally = frame.setup[0], frame.cells[station, kind], frame.envs[0].t, frame.tally[station]
    # Sums are kept in registers through the loop: compiled code must else reload them after every store to a job.
    processed, worth = 0.0, 0.0
    completed = device_wait = transmission = server_wait = processing = 0
    late = synchronized = aosi = signed_gap = data_age = 0
    while cell.count > 0 and budget > NOTHING:
        record = frame.jobs[cell.head]
        if kind == REQUEST:
            if setup.churn and _nobody_waits(frame, record):
                _drop_head(frame, station)
                continue
            if cell.started < 0 and not _may_start(frame, record):
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
                _pair_at_completion(frame, record)
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
        frame.terms[0] += setup.sync_reward * worth


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
    _lose(frame, station, REQUEST, _next_in_queue(frame, cell), unprocessed, LEFT)


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
def _may_start(frame: Any, record: Any) -> Any:
    """Fix a request's sensor and update, if its sensor has one at all."""
    users = frame.setup[0].users
    sensor = record.sensor if frame.setup[0].pairing == AT_CREATION else _nearest_sensor(frame, record.device)
    if sensor == NO_SENSOR:
        record.sensor = record.update = NO_SENSOR
        return True
    newest = frame.devices[users + sensor].newest
    if newest < 0:
        return False
    record.sensor = sensor
    if record.update < 0:
        record.update = newest
    return True


@njit
def _pair_at_completion(frame: Any, record: Any) -> None:
    """A request is served with what the sensor nearest now reported last, if it did."""
    sensor, users = _nearest_sensor(frame, record.device), frame.setup[0].users
    if sensor != NO_SENSOR and frame.devices[users + sensor].newest >= 0:
        record.sensor, record.update = sensor, frame.devices[users + sensor].newest


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


# -- age, reward -------------------------------------------------------------------------------------------------------


@njit
def _settle(frame: Any) -> None:
    """Sum the step's counts over stations, age the twin, and add up the reward."""
    setup, env = frame.setup[0], frame.envs[0]
    step, episode, tally = frame.step_totals, frame.episode_totals, frame.tally
    sensors = len(frame.devices) - setup.users
    twin_age = sensors * env.t - env.newest_sum
    tally[0, TWIN_AGE] = twin_age
    for station in range(len(tally)):
        for base in (0, PER_KIND):
            spent = tally[station, base + DEVICE_WAIT] + tally[station, base + TRANSMISSION]
            spent += tally[station, base + SERVER_WAIT] + tally[station, base + PROCESSING]
            came, went = tally[station, base + GENERATED] * env.t, tally[station, base + COMPLETED_JOBS] * env.t - spent
            tally[station, base + CREATED_IN_SYSTEM] += came - went
    for m in range(len(step)):
        step[m] = tally[0, m]
    for station in range(1, len(tally)):
        for m in range(len(step)):
            step[m] += tally[station, m]
    for m in range(len(step)):
        episode[m] += step[m]
    terms = frame.terms
    terms[1] = -setup.delay_penalty * step[LATE]
    terms[2] = setup.throughput_weight * step[COMPLETED_JOBS]
    terms[3] = -setup.loss_weight * (step[LOST] + step[PER_KIND + LOST])
    terms[4] = -setup.served_age_weight * setup.step_s * step[DATA_AGE]
    if sensors > 0:
        terms[5] = -setup.twin_age_weight * setup.step_s * twin_age / sensors
    frame.reward[0] = frame.terms.sum()


# -- move --------------------------------------------------------------------------------------------------------------


@njit
def _move(frame: Any) -> Any:
    setup, env = frame.setup[0], frame.envs[0]
    fine = True
    for index in range(setup.users):
        if frame.devices[index].present:
            body = frame.bodies[index]
            if setup.mobility == TRACE and setup.user_mobility == 0:
                body.x, body.y = frame.trace[env.t + 1, index, 0], frame.trace[env.t + 1, index, 1]
            else:
                fine = move(setup, env, body, index, frame.scratch) and fine
    if setup.churn:
        _come_and_go(frame)
    return FINE if fine else BAD_MOBILITY


@njit
def _come_and_go(frame: Any) -> None:
    setup, env = frame.setup[0], frame.envs[0]
    for index in range(setup.users):
        user = frame.devices[index]
        w0, _, _, _ = philox(env.seed, env.t, index, PRESENCE, env.episode)
        if user.present:
            if uniform(w0) < setup.leave_probability:
                _leave(frame, index)
        elif uniform(w0) < setup.come_probability:
            _come(frame, index, env.t + 1)


@njit
def _leave(frame: Any, index: Any) -> None:
    """A user leaves; what waits in the device is lost."""
    user = frame.devices[index]
    user.present = 0
    while user.count > 0:
        job, tally = frame.jobs[user.head], frame.tally[user.station]
        tally[LOST] += 1.0
        tally[MBIT_LOST] += user.remaining
        tally[GCYCLE_LOST] += job.compute
        tally[CREATED_IN_SYSTEM] -= job.created
        if frame.setup[0].logging:
            frame.log[frame.numbers[user.head]].outcome = LEFT
        free_job(frame.envs[0], frame.jobs, pop(frame.jobs, user))
        if user.count > 0:
            user.remaining = np.float64(frame.jobs[user.head].data)
    user.backlog = 0.0


@njit
def _come(frame: Any, index: Any, step: Any) -> None:
    """Somebody arrives in a user's place at `step`, with nothing to send yet."""
    setup, env, user, body = frame.setup[0], frame.envs[0], frame.devices[index], frame.bodies[index]
    user.present, body.arrived = 1, step
    user.count, user.started, user.backlog, body.average_mbps = 0, -1, 0.0, 0.0
    if setup.mobility == TRACE and setup.user_mobility == 0:
        body.x, body.y = frame.trace[step, index, 0], frame.trace[step, index, 1]
    elif len(frame.user_positions) > 0:
        body.x, body.y = frame.user_positions[index, 0], frame.user_positions[index, 1]
    else:
        w0, w1, _, _ = philox(env.seed, step, index, PLACEMENT, env.episode)
        body.x, body.y = uniform(w0) * setup.width_m, uniform(w1) * setup.height_m
    start_moving(setup, env, body, index, step)


# -- reset -------------------------------------------------------------------------------------------------------------


@njit
def _restart(frame: Any) -> Any:
    """Start the episode that `frame.envs` names by its seed and episode number."""
    setup, env = frame.setup[0], frame.envs[0]
    env.t, env.free, env.fresh, env.numbered, env.newest_sum = 0, NO_JOB, 0, 0, 0
    for station in range(len(frame.stations)):
        for kind in range(2):
            cell = frame.cells[station, kind]
            cell.count, cell.started, cell.attached, cell.turn = 0, -1, 0, 0
            cell.backlog = 0.0
    frame.sensor_tiles[:] = -1
    frame.tally[:] = 0.0
    frame.step_totals[:] = 0.0
    frame.episode_totals[:] = 0.0
    frame.terms[:] = 0.0
    frame.reward[0] = 0.0
    by_luck = setup.path_loss != OKUMURA_HATA or setup.user_channel != 0
    for index in range(len(frame.devices)):
        device = frame.devices[index]
        if by_luck:
            w0, _, _, _ = philox(env.seed, 0, index, LUCK, env.episode)
            frame.bodies[index].luck = uniform(w0)
        frame.bodies[index].average_mbps = 0.0
        device.completed, device.present, device.attached = 0, 1, 0
        frame.anchors[index, 0].reach2 = frame.anchors[index, 1].reach2 = 0.0
    for index in range(setup.users):
        _come(frame, index, 0)
        if setup.churn:
            w0, _, _, _ = philox(env.seed, 0, index, PRESENCE + ANOTHER, env.episode)
            stay, absence = 1.0 / setup.leave_probability, 1.0 / setup.come_probability
            frame.devices[index].present = 1 if uniform(w0) < stay / (stay + absence) else 0
    problem = FINE
    for sensor in range(len(frame.devices) - setup.users):
        problem = max(problem, _place_sensor(frame, sensor))
    return max(problem, _associate_users(frame))


@njit
def _place_sensor(frame: Any, sensor: Any) -> Any:
    setup, env = frame.setup[0], frame.envs[0]
    index = setup.users + sensor
    device, body = frame.devices[index], frame.bodies[index]
    device.count, device.started, device.backlog, device.newest, body.arrived = 0, -1, 0.0, -1, 0
    device.phase = 1.0 - 1e-9
    if setup.random_phase:
        w0, _, _, _ = philox(env.seed, 0, index, PHASE, env.episode)
        device.phase -= uniform(w0)
    if setup.placement == GIVEN:
        body.x, body.y = frame.sensor_positions[sensor, 0], frame.sensor_positions[sensor, 1]
    elif not _found_place(frame, sensor):
        return NOT_PLACED
    put(frame.grids[1], frame.sensor_tiles, frame.bodies, setup.users, sensor)
    return _associate(frame, index, UPDATE)


@njit
def _found_place(frame: Any, sensor: Any) -> Any:
    """Try places until one is on the map and far enough from the sensors before."""
    setup, env = frame.setup[0], frame.envs[0]
    index = setup.users + sensor
    body = frame.bodies[index]
    home = frame.stations[sensor % len(frame.stations)]
    inner2, outer2 = setup.ring_min_m**2, setup.ring_max_m**2
    for attempt in range(PLACEMENT_ATTEMPTS):
        w0, w1, _, _ = philox(env.seed, attempt, index, PLACEMENT, env.episode)
        if setup.placement == ON_RING:
            angle = 2.0 * math.pi * uniform(w0)
            radius = math.sqrt(inner2 + uniform(w1) * (outer2 - inner2))
            x, y = home.x + radius * math.cos(angle), home.y + radius * math.sin(angle)
            if x < 0.0 or y < 0.0 or x > setup.width_m or y > setup.height_m:
                continue
        else:
            x, y = uniform(w0) * setup.width_m, uniform(w1) * setup.height_m
        crowded = setup.spacing_m > 0.0 and anything_within(
            frame.grids[1], frame.sensor_tiles, frame.bodies, setup.users, x, y, setup.spacing_m
        )
        if not crowded:
            body.x, body.y = x, y
            return True
    return False


# -- batch -------------------------------------------------------------------------------------------------------------


@njit
def _vector(table: Any, field: Any, e: Any, dtype: Any) -> Any:
    return carray(pointer(table[field, 0] + e * table[field, 1]), (table[field, 2],), dtype)


@njit
def _matrix(table: Any, field: Any, e: Any, dtype: Any) -> Any:
    shape = (table[field, 2], table[field, 3])
    return carray(pointer(table[field, 0] + e * table[field, 1]), shape, dtype)


@njit
def _cube(table: Any, field: Any, e: Any, dtype: Any) -> Any:
    shape = (table[field, 2], table[field, 3], table[field, 4])
    return carray(pointer(table[field, 0] + e * table[field, 1]), shape, dtype)


@njit
def _view(table: Any, e: Any) -> Any:
    """The frame of environment `e` from the table of :func:`metalore.world.build.table_of`."""
    return Frame(
        _vector(table, 0, e, SETUP),  # setup
        _vector(table, 1, e, STATION),  # stations
        _matrix(table, 2, e, LINK),  # links
        _matrix(table, 3, e, LINK),  # kinds_of_link
        _vector(table, 4, e, GRID),  # grids
        _vector(table, 5, e, np.int32),  # station_tiles
        _matrix(table, 6, e, SIZE_DTYPE),  # sizes
        _vector(table, 7, e, ALIAS_DTYPE),  # aliases
        _vector(table, 8, e, np.float64),  # request_factor
        _vector(table, 9, e, np.float64),  # update_factor
        _vector(table, 10, e, np.float64),  # update_sum
        _vector(table, 11, e, np.float64),  # rates
        _matrix(table, 12, e, np.float64),  # user_positions
        _matrix(table, 13, e, np.float64),  # sensor_positions
        _cube(table, 14, e, np.float64),  # trace
        _vector(table, 15, e, np.float64),  # value_of_age
        _vector(table, 16, e, ENV),  # envs
        _matrix(table, 17, e, CELL),  # cells
        _vector(table, 18, e, DEVICE),  # devices
        _vector(table, 19, e, BODY),  # bodies
        _matrix(table, 20, e, ANCHOR),  # anchors
        _vector(table, 21, e, JOB),  # jobs
        _vector(table, 22, e, np.int32),  # sensor_tiles
        _matrix(table, 23, e, np.float64),  # tally
        _vector(table, 24, e, np.float64),  # step_totals
        _vector(table, 25, e, np.float64),  # episode_totals
        _vector(table, 26, e, np.float64),  # terms
        _vector(table, 27, e, np.float64),  # reward
        _vector(table, 28, e, np.int32),  # numbers
        _vector(table, 29, e, LOG),  # log
        _matrix(table, 30, e, np.uint32),  # words
        _vector(table, 31, e, np.float64),  # signal
        _vector(table, 32, e, np.float64),  # scratch
    )


@njit
def _step(frame: Any, shares: Any) -> Any:
    setup = frame.setup[0]
    frame.tally[:] = 0.0
    frame.terms[:] = 0.0
    problem = _associate_users(frame)
    problem = max(problem, _generate(frame))
    problem = max(problem, _transmit(frame, shares))
    for station in range(len(frame.stations)):
        capacity = frame.stations[station].compute * setup.step_s
        _compute(frame, station, REQUEST, shares[station, 1] * capacity)
    for station in range(len(frame.stations)):
        capacity = frame.stations[station].compute * setup.step_s
        _compute(frame, station, UPDATE, (1.0 - shares[station, 1]) * capacity)
    problem = max(problem, _move(frame))
    _settle(frame)  # after the move, so that what leaving users lose counts in this step
    frame.envs[0].t += 1
    return problem


def _batched() -> tuple[Any, Any]:
    # The digest is part of what the disk cache is keyed by: editing any file of this package compiles anew.
    digest = _DIGEST

    @cached_njit
    def advance(table: Any, shares: Any, chosen: Any, first: Any, last: Any) -> Any:
        """Step those environments of first..last-1 that are chosen [e] with `shares` [e, s, 2].

        Returns the worst problem.
        """
        _ = digest
        problem = FINE
        for e in range(first, last):
            if chosen[e]:
                problem = max(problem, _step(_view(table, e), shares[e]))
        return problem

    @cached_njit
    def restart(table: Any, chosen: Any, first: Any, last: Any) -> Any:
        """Reset those environments of first..last-1 that are chosen [e]; returns the worst problem."""
        _ = digest
        problem = FINE
        for e in range(first, last):
            if chosen[e]:
                problem = max(problem, _restart(_view(table, e)))
        return problem

    return advance, restart


advance, restart = _batched()


def _checked() -> Any:
    digest = _DIGEST

    @cached_njit
    def check(given: Any, table: Any, chosen: Any, max_steps: Any, shares: Any) -> Any:
        """Copy `given` of those chosen [e] into `shares` [e, s, 2], trimming what rounding put outside [0, 1].

        Refuses what is no share, and stepping after the end; `shares` is untouched then.
        """
        _ = digest
        for e in range(len(chosen)):
            if chosen[e] and _view(table, e).envs[0].t >= max_steps:
                return ENDED
        source = given.reshape(-1)
        for i in range(len(source)):
            if not (-_SHARE_SLACK <= source[i] <= 1.0 + _SHARE_SLACK):
                return NOT_A_SHARE
        for e in range(len(chosen)):
            if chosen[e]:
                for station in range(shares.shape[1]):
                    for share in range(2):
                        shares[e, station, share] = min(max(given[e, station, share], 0.0), 1.0)
        return FINE

    return check


check = _checked()
