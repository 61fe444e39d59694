"""Users who come and go."""

from __future__ import annotations

from typing import Any

import numpy as np

from metalore.world.jit import njit
from metalore.world.layout import CREATED_IN_SYSTEM, GCYCLE_LOST, LEFT, LOST, MBIT_LOST
from metalore.world.mobility import TRACE, start_moving
from metalore.world.queues import free_job, pop
from metalore.world.random import PLACEMENT, PRESENCE, philox, uniform


@njit
def come_and_go(frame: Any) -> None:
    """Churn: present users leave, absent ones come."""
    setup, env = frame.setup[0], frame.envs[0]
    for index in range(setup.users):
        user = frame.devices[index]
        w0, _, _, _ = philox(env.seed, env.t, index, PRESENCE, env.episode)
        if user.present:
            if uniform(w0) < setup.leave_probability:
                leave(frame, index)
        elif uniform(w0) < setup.come_probability:
            come(frame, index, env.t + 1)


@njit
def leave(frame: Any, index: Any) -> None:
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
def arrive(frame: Any, index: Any, step: Any) -> None:
    """Somebody is there in a user's place from `step` on, with nothing to send yet."""
    user, body = frame.devices[index], frame.bodies[index]
    user.present, user.attached, body.arrived, body.waiting = 1, 0, step, 0
    user.count, user.started, user.backlog, body.average_mbps = 0, -1, 0.0, 0.0
    body.seen_x = np.nan  # to be associated


@njit
def come(frame: Any, index: Any, step: Any) -> None:
    """Somebody arrives at a place of the mobility model's choice."""
    setup, env, body = frame.setup[0], frame.envs[0], frame.bodies[index]
    arrive(frame, index, step)
    if setup.mobility == TRACE and setup.user_mobility == 0:
        body.x, body.y = frame.trace[step, index, 0], frame.trace[step, index, 1]
    elif len(frame.user_positions) > 0:
        body.x, body.y = frame.user_positions[index, 0], frame.user_positions[index, 1]
    else:
        w0, w1, _, _ = philox(env.seed, step, index, PLACEMENT, env.episode)
        body.x, body.y = uniform(w0) * setup.width_m, uniform(w1) * setup.height_m
    start_moving(setup, env, body, index, step)
