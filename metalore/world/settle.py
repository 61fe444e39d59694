"""What a step came to: counts, ages, rewards."""

from __future__ import annotations

from typing import Any

from metalore.world.codes import OBSERVED_LOAD
from metalore.world.jit import njit
from metalore.world.layout import (
    ATTACHED_USERS,
    BUSY_HZ,
    COMPLETED_JOBS,
    CREATED_IN_SYSTEM,
    DATA_AGE,
    DEVICE_WAIT,
    GENERATED,
    LATE,
    LOST,
    PER_KIND,
    PROCESSING,
    REQUEST,
    RESIDENT_MB,
    SERVER_WAIT,
    SYNC_VALUE,
    TRANSMISSION,
    TWIN_AGE,
    UP,
)
from metalore.world.transmit import resident_mb


@njit
def take_stock(frame: Any) -> None:
    """What stands at the stations after the compute phase, and what sensors' newest updates are."""
    setup, t = frame.setup[0], frame.envs[0].t
    for station in range(len(frame.zones)):
        zone, tally = frame.zones[station], frame.tally[station]
        tally[ATTACHED_USERS] = frame.cells[station, REQUEST].attached
        if zone.up:
            tally[UP] = 1.0
            tally[RESIDENT_MB] = resident_mb(frame, station, 0)
        if setup.interference == OBSERVED_LOAD:
            zone.load = min(1.0, tally[BUSY_HZ] * setup.reuse / zone.bandwidth_hz)
    for sensor in range(len(frame.history)):
        frame.history[sensor, t % (setup.backhaul_steps + 1)] = frame.devices[setup.users + sensor].newest


@njit
def settle(frame: Any) -> None:
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
    _reward(frame, setup.step_s * twin_age / sensors if sensors > 0 else 0.0)


@njit
def _reward(frame: Any, twin_age_s: Any) -> None:
    """The world's terms and reward, and each station's part. The age at the twin is parted evenly."""
    setup, step, terms, tally = frame.setup[0], frame.step_totals, frame.terms, frame.tally
    terms[0] = setup.sync_reward * step[SYNC_VALUE]
    terms[1] = -setup.delay_penalty * step[LATE]
    terms[2] = setup.throughput_weight * step[COMPLETED_JOBS]
    terms[3] = -setup.loss_weight * (step[LOST] + step[PER_KIND + LOST])
    terms[4] = -setup.served_age_weight * setup.step_s * step[DATA_AGE]
    terms[5] = -setup.twin_age_weight * twin_age_s
    frame.reward[0] = terms.sum()
    stations = len(tally)
    for station in range(stations):
        own = tally[station]
        reward = setup.sync_reward * own[SYNC_VALUE] - setup.delay_penalty * own[LATE]
        reward += setup.throughput_weight * own[COMPLETED_JOBS]
        reward -= setup.loss_weight * (own[LOST] + own[PER_KIND + LOST])
        reward -= setup.served_age_weight * setup.step_s * own[DATA_AGE] + setup.twin_age_weight * twin_age_s / stations
        frame.station_rewards[station] = reward
