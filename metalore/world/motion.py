"""Users move, come and go; those drawn to zones do so in `attraction.py`."""

from __future__ import annotations

from typing import Any

from metalore.world.codes import BAD_MOBILITY, FINE
from metalore.world.jit import njit
from metalore.world.mobility import TRACE, move
from metalore.world.presence import come_and_go


@njit
def move_users(frame: Any) -> Any:
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
        come_and_go(frame)
    return FINE if fine else BAD_MOBILITY
