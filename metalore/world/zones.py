"""Zones that live: what goes on in them, how much they pull and ask for, and whether their station is up."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from metalore.world.codes import ON_WEEKDAYS, ON_WEEKEND
from metalore.world.geometry import put
from metalore.world.jit import njit, njit_apart
from metalore.world.layout import FAILED
from metalore.world.queues import pop
from metalore.world.random import ACTIVITY, DRIFT, FAILURE, FLASH, normal_pair, philox, uniform
from metalore.world.transmit import lose

_WEEK_HOURS = 168.0
PULL, REQUESTS = range(2)


@njit
def lives(frame: Any, step: Any) -> Any:
    """Whether zones change for `step`."""
    setup = frame.setup[0]
    ticks = setup.interval_steps > 0 and step % setup.interval_steps == 0
    return ticks or setup.failures or frame.envs[0].closing


@njit_apart
def live_on(frame: Any, step: Any) -> None:
    """Change zones for `step`: at a tick what the city does, and in every step what fails."""
    setup = frame.setup[0]
    if setup.interval_steps > 0 and step % setup.interval_steps == 0:
        _tick(frame, step)
    if setup.failures or frame.envs[0].closing:
        _fail(frame, step)


# -- the city ----------------------------------------------------------------------------------------------------------


@njit
def _tick(frame: Any, step: Any) -> None:
    setup, env = frame.setup[0], frame.envs[0]
    time_s = np.float64(step * setup.step_s)
    hours = (setup.start_hours + time_s / 3600.0) % _WEEK_HOURS
    drifts = setup.drift_sd > 0.0 or setup.drift_pull_sd > 0.0
    if drifts:
        _drift(frame, step)
    pulled = 0.0
    for index in range(len(frame.zones)):
        zone = frame.zones[index]
        zone.pull = _counted_pull(frame, index, time_s) if setup.counted else _weekly(frame, index, PULL, hours)
        zone.request_factor = _weekly(frame, index, REQUESTS, hours)
        zone.data_factor = zone.compute_factor = 1.0
        if drifts:
            zone.pull *= math.exp(setup.drift_pull_sd * (zone.drift - 0.5 * setup.drift_pull_sd))
            zone.request_factor *= math.exp(setup.drift_sd * (zone.drift - 0.5 * setup.drift_sd))
        if len(frame.activities) > 0:
            _act(frame, index, step, hours)
        if setup.flash_probability > 0.0:
            _flash(frame, index, step)
    _hold_events(frame, time_s)
    for index in range(len(frame.zones)):
        zone = frame.zones[index]
        pulled += 0.0 if np.isnan(zone.pull) else zone.pull
        zone.pull_until = pulled
    if setup.outside:
        env.elsewhere = max(0.0, setup.full_pull - pulled) if setup.full_pull > 0.0 else 1.0
    else:
        env.elsewhere = 0.0


@njit
def _weekly(frame: Any, zone: Any, what: Any, hours: Any) -> Any:
    """An hourly row of a zone's kind, linear between the middles of hours."""
    row = frame.week[frame.kinds[zone], what]
    x = hours - 0.5
    i = math.floor(x)
    part = x - i
    at = np.int64(i) % 168
    return (1.0 - part) * row[at] + part * row[(at + 1) % 168]


@njit
def _counted_pull(frame: Any, zone: Any, time_s: Any) -> Any:
    """People counted in a zone, linear between the middles of hours; NaN in a gap."""
    last = len(frame.counts) - 1
    x = min(max(time_s / 3600.0 + frame.setup[0].first_hour - 0.5, 0.0), np.float64(last))
    i = math.floor(x)
    part = x - i
    value = frame.counts[i, zone]
    return value if part == 0.0 else (1.0 - part) * value + part * frame.counts[i + 1, zone]


@njit
def _drift(frame: Any, step: Any) -> None:
    """Ornstein-Uhlenbeck in time, a moving average over the nearest zones in space."""
    setup, env = frame.setup[0], frame.envs[0]
    for index in range(len(frame.zones)):
        w0, w1, _, _ = philox(env.seed, step, index, DRIFT, env.episode)
        frame.noise[index], _ = normal_pair(uniform(w0), uniform(w1))
    fresh = math.sqrt(1.0 - setup.drift_keep * setup.drift_keep)
    for index in range(len(frame.zones)):
        push = 0.0
        for i in range(frame.drift_near.shape[1]):
            push += frame.drift_weight[index, i] * frame.noise[frame.drift_near[index, i]]
        zone = frame.zones[index]
        zone.drift = push if step == 0 else setup.drift_keep * zone.drift + fresh * push


@njit
def _act(frame: Any, index: Any, step: Any, hours: Any) -> None:
    """Begin the next activity when the present one is over, and let it work."""
    zone = frame.zones[index]
    if step >= zone.activity_until:
        _next_activity(frame, index, step, hours)
    if zone.activity >= 0:
        activity = frame.activities[zone.activity]
        zone.pull *= activity.pull
        zone.request_factor *= activity.request_factor
        zone.data_factor, zone.compute_factor = activity.data_factor, activity.compute_factor


@njit
def _next_activity(frame: Any, index: Any, step: Any, hours: Any) -> None:
    setup, env, zone = frame.setup[0], frame.envs[0], frame.zones[index]
    w0, w1, w2, _ = philox(env.seed, step, index, ACTIVITY, env.episode)
    total = 0.0
    for a in range(len(frame.activities)):
        total += _weight(frame, index, a, hours)
    if total > 0.0:
        sought, reached, chosen = uniform(w2) * total, 0.0, -1
        for a in range(len(frame.activities)):
            reached += _weight(frame, index, a, hours)
            if reached > sought:
                chosen = a
                break
        zone.activity = chosen
    if zone.activity < 0:
        return  # none is allowed yet; asked again at the next tick
    activity = frame.activities[zone.activity]
    normal, _ = normal_pair(uniform(w0), uniform(w1))
    seconds = math.exp(activity.log_mean + activity.log_sd * normal)
    zone.activity_until = step + np.int64(max(1.0, min(np.round(seconds / setup.step_s), 1e9)))


@njit
def _weight(frame: Any, index: Any, a: Any, hours: Any) -> Any:
    """Of an activity in a zone now; 0 if it may not begin, or is going on."""
    if a == frame.zones[index].activity:
        return 0.0
    activity = frame.activities[a]
    weekend = hours >= 5 * 24.0
    if (activity.days == ON_WEEKDAYS and weekend) or (activity.days == ON_WEEKEND and not weekend):
        return 0.0
    hour = hours % 24.0
    if activity.to_hour >= activity.from_hour:
        fits = activity.from_hour <= hour < activity.to_hour
    else:
        fits = hour >= activity.from_hour or hour < activity.to_hour
    return frame.activity_weights[frame.kinds[index], a] if fits else 0.0


@njit
def _flash(frame: Any, index: Any, step: Any) -> None:
    """A flash crowd begins, or goes on."""
    setup, env, zone = frame.setup[0], frame.envs[0], frame.zones[index]
    if step >= zone.flash_until:
        w0, w1, _, _ = philox(env.seed, step, index, FLASH, env.episode)
        if not uniform(w0) < setup.flash_probability:
            return
        steps = np.round(-setup.flash_mean_s * math.log(uniform(w1)) / setup.step_s)
        zone.flash_until = step + np.int64(max(1.0, min(steps, 1e9)))
    zone.pull *= setup.flash_pull
    zone.request_factor *= setup.flash_requests


@njit
def _hold_events(frame: Any, time_s: Any) -> None:
    for i in range(len(frame.events)):
        event = frame.events[i]
        zone, since = frame.zones[event.zone], time_s - event.from_s
        if event.every_s > 0.0 and since >= -event.lead_s:
            since = (since + event.lead_s) % event.every_s - event.lead_s
        if -event.lead_s <= since < event.duration_s:
            zone.pull *= event.pull
        if 0.0 <= since < event.duration_s:
            zone.request_factor *= event.request_factor


# -- failures ----------------------------------------------------------------------------------------------------------


@njit
def _fail(frame: Any, step: Any) -> None:
    """Stations go down and come up."""
    setup, env, zones = frame.setup[0], frame.envs[0], frame.zones
    by_chance = step > 0 and setup.break_probability > 0.0
    for station in range(len(zones)):
        zones[station].out = 0
        if by_chance:
            w0, _, _, _ = philox(env.seed, step, station, FAILURE, env.episode)
            limit = setup.repair_probability if zones[station].broken else setup.break_probability
            if uniform(w0) < limit:
                zones[station].broken = 1 - zones[station].broken
    for i in range(len(frame.outages)):
        outage = frame.outages[i]
        if outage.from_s <= step * setup.step_s < outage.to_s:
            zones[outage.zone].out = 1
    changed = False
    for station in range(len(zones)):
        zone = zones[station]
        up = not (zone.broken or zone.closed or zone.out)
        if up != zone.up:
            changed = True
            zone.up = up
            if not up:
                _go_down(frame, station)
    if changed:
        put_stations(frame)


@njit
def _go_down(frame: Any, station: Any) -> None:
    """All jobs at the station are lost; what users and sensors have not sent yet waits."""
    frame.zones[station].load = 0.0
    for kind in range(2):
        cell = frame.cells[station, kind]
        unprocessed = cell.remaining
        while cell.count > 0:
            lose(frame, station, kind, pop(frame.jobs, cell), unprocessed, FAILED)
            unprocessed = np.float64(frame.jobs[cell.head].compute) if cell.count > 0 else 0.0
        cell.backlog, cell.started = 0.0, -1


@njit
def put_stations(frame: Any) -> None:
    """Put the stations that are up into their tiles, and let everybody ask anew which is nearest."""
    frame.station_tiles[:] = -1
    frame.envs[0].stations_up = 0
    for station in range(len(frame.zones)):
        if frame.zones[station].up:
            frame.envs[0].stations_up += 1
            put(frame.grids[0], frame.station_tiles, frame.zones, 0, station)
    for index in range(len(frame.anchors)):
        frame.anchors[index, 0].reach2 = 0.0
    frame.envs[0].changed = 1
