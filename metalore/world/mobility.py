"""How users move. Positions in metres, headings in radians, one call per user and step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from metalore.world.extension import RESULTS, call_user
from metalore.world.jit import njit
from metalore.world.random import DEPARTURE, MOBILITY, normal_pair, philox, uniform

RANDOM_WAYPOINT, GAUSS_MARKOV, STATIC, TRACE, ATTRACTION = range(5)
# Memory of the models: random-waypoint m0, m1 target, m2 speed, m3 pause steps left;
# Gauss-Markov m0 speed, m1 heading, m2 mean heading.


@njit
def start_moving(setup: Any, env: Any, user: Any, index: Any, step: Any) -> None:
    """Give a user who has just arrived a first leg or course."""
    user.m0 = user.m1 = user.m2 = user.m3 = 0.0
    if setup.user_mobility != 0:
        return
    w0, w1, w2, _ = philox(env.seed, step, index, DEPARTURE, env.episode)
    if setup.mobility == RANDOM_WAYPOINT:
        _new_leg(setup, user, uniform(w0), uniform(w1), uniform(w2))
    elif setup.mobility == GAUSS_MARKOV:
        n0, _ = normal_pair(uniform(w0), uniform(w1))
        user.m0 = max(0.0, setup.speed_min + setup.speed_sd * n0)
        user.m1 = user.m2 = 2.0 * math.pi * uniform(w2)


@njit
def move(setup: Any, env: Any, user: Any, index: Any, scratch: Any) -> Any:
    """Move a present user by one step; true if the user's function gave a position on the map."""
    if setup.user_mobility != 0:
        return _user_move(setup, env, user, index, scratch)
    if setup.mobility == RANDOM_WAYPOINT:
        _random_waypoint(setup, env, user, index)
    elif setup.mobility == GAUSS_MARKOV:
        _gauss_markov(setup, env, user, index)
    return True


@njit
def _new_leg(setup: Any, user: Any, u0: Any, u1: Any, u2: Any) -> None:
    user.m0, user.m1 = u0 * setup.width_m, u1 * setup.height_m
    user.m2 = setup.speed_min + u2 * (setup.speed_max - setup.speed_min)


@njit
def walk(setup: Any, user: Any) -> Any:
    """Towards the target (m0, m1) at speed m2; true if it is reached."""
    reach = user.m2 * setup.step_s
    dx, dy = user.m0 - user.x, user.m1 - user.y
    distance = math.sqrt(dx * dx + dy * dy)
    if distance <= reach:
        user.x, user.y = user.m0, user.m1
        return True
    user.x += dx / distance * reach
    user.y += dy / distance * reach
    return False


@njit
def _random_waypoint(setup: Any, env: Any, user: Any, index: Any) -> None:
    if user.m3 > 0.0:
        user.m3 -= 1.0
        return
    if walk(setup, user):
        w0, w1, w2, _ = philox(env.seed, env.t, index, MOBILITY, env.episode)
        _new_leg(setup, user, uniform(w0), uniform(w1), uniform(w2))
        user.m3 = setup.pause_steps


@njit
def _gauss_markov(setup: Any, env: Any, user: Any, index: Any) -> None:
    w0, w1, _, _ = philox(env.seed, env.t, index, MOBILITY, env.episode)
    n0, n1 = normal_pair(uniform(w0), uniform(w1))
    keep = setup.course_memory
    fresh = math.sqrt(1.0 - keep * keep)
    user.m0 = max(0.0, keep * user.m0 + (1.0 - keep) * setup.speed_min + fresh * setup.speed_sd * n0)
    user.m1 = keep * user.m1 + (1.0 - keep) * user.m2 + fresh * setup.heading_sd * n1
    user.x += user.m0 * setup.step_s * math.cos(user.m1)
    user.y += user.m0 * setup.step_s * math.sin(user.m1)
    if user.x < 0.0 or user.x > setup.width_m:
        user.x = _reflected(user.x, setup.width_m)
        user.m1, user.m2 = math.pi - user.m1, math.pi - user.m2
    if user.y < 0.0 or user.y > setup.height_m:
        user.y = _reflected(user.y, setup.height_m)
        user.m1, user.m2 = -user.m1, -user.m2


@njit
def _reflected(x: Any, edge: Any) -> Any:
    mirrored = -x if x < 0.0 else 2.0 * edge - x
    return min(max(mirrored, 0.0), edge)


@njit
def _user_move(setup: Any, env: Any, user: Any, index: Any, scratch: Any) -> Any:
    w0, w1, w2, w3 = philox(env.seed, env.t, index, MOBILITY, env.episode)
    scratch[0], scratch[1] = user.x, user.y
    scratch[2], scratch[3], scratch[4], scratch[5] = user.m0, user.m1, user.m2, user.m3
    scratch[6], scratch[7], scratch[8] = setup.step_s, setup.width_m, setup.height_m
    scratch[9], scratch[10], scratch[11], scratch[12] = uniform(w0), uniform(w1), uniform(w2), uniform(w3)
    call_user(setup.user_mobility, scratch)
    x, y = scratch[RESULTS], scratch[RESULTS + 1]
    user.x, user.y = x, y
    user.m0, user.m1 = scratch[RESULTS + 2], scratch[RESULTS + 3]
    user.m2, user.m3 = scratch[RESULTS + 4], scratch[RESULTS + 5]
    return 0.0 <= x <= setup.width_m and 0.0 <= y <= setup.height_m


def trace_positions(file: str, users: int, steps: int, step_s: float) -> np.ndarray:
    """Positions [t, users, 2] at each step from a CSV of time_s,user,x_m,y_m, linear between its rows.

    Raises:
        ValueError: unreadable file, missing columns, or a user without rows.
    """
    try:
        rows = np.genfromtxt(file, delimiter=",", names=True, dtype=float, encoding="utf-8", ndmin=1)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"users.mobility.file {file} cannot be read as a trace: {str(error).splitlines()[0]}"
        ) from None
    wanted = ("time_s", "user", "x_m", "y_m")
    if rows.dtype.names is None or any(name not in rows.dtype.names for name in wanted):
        raise ValueError(f"users.mobility.file {file} needs the columns {','.join(wanted)}")
    if any(not np.isfinite(rows[name]).all() for name in wanted):
        raise ValueError(f"users.mobility.file {file} holds an entry that is no number")
    times = np.arange(steps + 1) * step_s
    positions = np.empty((steps + 1, users, 2))
    for user in range(users):
        own = rows[rows["user"] == user]
        if len(own) == 0:
            raise ValueError(f"users.mobility.file {file} has no row for user {user}; users.count is {users}")
        own = own[np.argsort(own["time_s"], kind="stable")]
        for axis, name in enumerate(("x_m", "y_m")):
            positions[:, user, axis] = np.interp(times, own["time_s"], own[name])
    return positions
