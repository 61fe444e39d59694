"""The start of an episode."""

from __future__ import annotations

import math
from typing import Any

from metalore.world.attraction import first_place
from metalore.world.codes import FINE, GIVEN, NOT_PLACED, ON_RING, PLACEMENT_ATTEMPTS
from metalore.world.geometry import anything_within, put
from metalore.world.jit import njit
from metalore.world.layout import NO_JOB
from metalore.world.mobility import ATTRACTION
from metalore.world.presence import come
from metalore.world.radio import OKUMURA_HATA
from metalore.world.random import ANOTHER, LUCK, PHASE, PLACEMENT, PRESENCE, philox, uniform
from metalore.world.zones import put_stations


@njit
def clear(frame: Any) -> None:
    """Empty queues and counts of the episode that `frame.envs` names by its seed and episode number."""
    setup, env = frame.setup[0], frame.envs[0]
    env.t, env.free, env.fresh, env.numbered, env.newest_sum = 0, NO_JOB, 0, 0, 0
    env.closing, env.elsewhere = 0, 0.0
    for station in range(len(frame.zones)):
        frame.zones[station] = frame.sites[station]
        for kind in range(2):
            cell = frame.cells[station, kind]
            cell.count, cell.started, cell.attached, cell.turn = 0, -1, 0, 0
            cell.backlog = cell.remaining = 0.0
    frame.sensor_tiles[:] = -1
    frame.tally[:] = 0.0
    frame.step_totals[:] = 0.0
    frame.episode_totals[:] = 0.0
    frame.terms[:] = 0.0
    frame.reward[0] = 0.0
    frame.station_rewards[:] = 0.0
    frame.history[:] = -1
    by_luck = setup.path_loss != OKUMURA_HATA or setup.user_channel != 0
    for index in range(len(frame.devices)):
        device = frame.devices[index]
        if by_luck:
            w0, _, _, _ = philox(env.seed, 0, index, LUCK, env.episode)
            frame.bodies[index].luck = uniform(w0)
        frame.bodies[index].average_mbps = 0.0
        device.completed, device.present, device.attached = 0, 1, 0
        frame.anchors[index, 0].reach2 = frame.anchors[index, 1].reach2 = 0.0
    put_stations(frame)


@njit
def place_all(frame: Any) -> Any:
    """Users and sensors where they begin."""
    setup, env = frame.setup[0], frame.envs[0]
    for index in range(setup.users):
        if setup.mobility == ATTRACTION:
            first_place(frame, index)
            continue
        come(frame, index, 0)
        if setup.churn:
            w0, _, _, _ = philox(env.seed, 0, index, PRESENCE + ANOTHER, env.episode)
            stay, absence = 1.0 / setup.leave_probability, 1.0 / setup.come_probability
            frame.devices[index].present = 1 if uniform(w0) < stay / (stay + absence) else 0
    problem = FINE
    for sensor in range(len(frame.devices) - setup.users):
        problem = max(problem, _place_sensor(frame, sensor))
    return problem


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
    return FINE


@njit
def _found_place(frame: Any, sensor: Any) -> Any:
    """Try places until one is on the map and far enough from the sensors before."""
    setup, env = frame.setup[0], frame.envs[0]
    index = setup.users + sensor
    body = frame.bodies[index]
    home = frame.sites[sensor % len(frame.sites)]
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
