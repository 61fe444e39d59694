"""Users drawn to zones: a Metropolis walk over places, the zones and elsewhere, by how much each pulls.

N. Metropolis et al., "Equation of state calculations by fast computing machines", J. Chem. Phys. 21, 1953; proposals
from the whole city are corrected as by W. K. Hastings, Biometrika 57, 1970. Both kinds of proposal leave the
distribution in proportion to the pulls unchanged.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from metalore.world.jit import njit, njit_apart
from metalore.world.mobility import walk
from metalore.world.presence import arrive, leave
from metalore.world.random import ANOTHER, DEPARTURE, MOBILITY, PRESENCE, SETTING_OUT, philox, uniform

# Memory: m0, m1 target, m2 speed, m3 steps left to stay, 0 on the way.


@njit
def first_place(frame: Any, index: Any) -> None:
    """Where a user is when an episode begins: in proportion to pulls."""
    setup, env, body = frame.setup[0], frame.envs[0], frame.bodies[index]
    zones = len(frame.zones)
    w0, _, _, w3 = philox(env.seed, 0, index, PRESENCE + ANOTHER, env.episode)
    in_zones = frame.zones[zones - 1].pull_until
    total = in_zones + env.elsewhere
    sought = uniform(w0) * total
    if total > 0.0 and not in_zones > sought:
        arrive(frame, index, 0)  # in name only: queue and memory of the episode before are cleared
        frame.devices[index].present = 0
        body.x = body.y = body.m0 = body.m1 = body.m2 = 0.0
        body.place, body.m3 = zones, _stay(setup, w3)
        return
    low, high = 0, zones - 1  # the first zone whose running sum exceeds what is sought
    while low < high:
        middle = (low + high) // 2
        if frame.zones[middle].pull_until > sought:
            high = middle
        else:
            low = middle + 1
    _arrive_in(frame, index, low if total > 0.0 else 0, 0)


@njit_apart
def follow_all(frame: Any) -> None:
    """A step of all users."""
    for index in range(frame.setup[0].users):
        _follow(frame, index)


@njit
def _follow(frame: Any, index: Any) -> None:
    """A step of a user, present or elsewhere."""
    setup, env, body = frame.setup[0], frame.envs[0], frame.bodies[index]
    if frame.devices[index].present and body.m3 <= 0.0:
        if walk(setup, body):
            _, _, _, w3 = philox(env.seed, env.t, index, MOBILITY, env.episode)
            body.m3 = _stay(setup, w3)
        return
    body.m3 -= 1.0
    if body.m3 <= 0.0:
        _decide(frame, index)


@njit
def _stay(setup: Any, word: Any) -> Any:
    """Steps of a stay."""
    return max(1.0, math.ceil(-setup.mean_stay_s * math.log(uniform(word)) / setup.step_s))


@njit
def _decide(frame: Any, index: Any) -> None:
    setup, env, body = frame.setup[0], frame.envs[0], frame.bodies[index]
    w0, w1, w2, w3 = philox(env.seed, env.t, index, MOBILITY, env.episode)
    here, elsewhere = np.int64(body.place), len(frame.zones)
    there = _accepted(frame, here, uniform(w0), uniform(w1), uniform(w2))
    body.place = there
    if there == elsewhere:
        if here != elsewhere:
            leave(frame, index)
        body.m3 = _stay(setup, w3)
    elif here == elsewhere:
        _arrive_in(frame, index, there, env.t + 1)
    else:
        w0, w1, w2, _ = philox(env.seed, env.t, index, SETTING_OUT, env.episode)
        body.m0, body.m1 = _place_in(frame, there, uniform(w0), uniform(w1))
        body.m2 = setup.speed_min + uniform(w2) * (setup.speed_max - setup.speed_min)


@njit
def _accepted(frame: Any, here: Any, u0: Any, u1: Any, u2: Any) -> Any:
    """The place to go to next, which may be the one where one is."""
    setup, zones = frame.setup[0], len(frame.zones)
    far = u0 < setup.far_probability
    there = here
    if far:
        total = frame.usual_until[zones]
        if total > 0.0:
            there = np.searchsorted(frame.usual_until, u1 * total, side="right")
    elif here < zones:
        slot = np.int64(u1 * frame.neighbours.shape[1])
        if frame.neighbours.shape[1] > 0 and frame.neighbours[here, slot] >= 0:
            there = np.int64(frame.neighbours[here, slot])
    from_pull, to_pull = _pull(frame, here), _pull(frame, there)
    if there == here or np.isnan(from_pull) or np.isnan(to_pull):
        return here
    if from_pull == 0.0:
        return there
    if far:
        from_pull, to_pull = from_pull / frame.usual_pull[here], to_pull / frame.usual_pull[there]
    return there if u2 * from_pull < to_pull else here


@njit
def _pull(frame: Any, place: Any) -> Any:
    return frame.zones[place].pull if place < len(frame.zones) else frame.envs[0].elsewhere


@njit
def _place_in(frame: Any, zone: Any, u0: Any, u1: Any) -> Any:
    """A place around a station, on the map."""
    setup, centre = frame.setup[0], frame.zones[zone]
    radius, angle = setup.spread_m * math.sqrt(u1), 2.0 * math.pi * u0
    x, y = centre.x + radius * math.cos(angle), centre.y + radius * math.sin(angle)
    return min(max(x, 0.0), setup.width_m), min(max(y, 0.0), setup.height_m)


@njit
def _arrive_in(frame: Any, index: Any, zone: Any, step: Any) -> None:
    """A user comes into the city at `step`."""
    env, body = frame.envs[0], frame.bodies[index]
    arrive(frame, index, step)
    w0, w1, _, w3 = philox(env.seed, step, index, DEPARTURE, env.episode)
    body.x, body.y = _place_in(frame, zone, uniform(w0), uniform(w1))
    body.m0 = body.m1 = body.m2 = 0.0
    body.place, body.m3 = zone, _stay(frame.setup[0], w3)
