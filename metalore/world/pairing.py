"""Which sensor a request is about, and which of its updates it is served with."""

from __future__ import annotations

from typing import Any

from metalore.world.codes import AT_CREATION
from metalore.world.geometry import nearest_to
from metalore.world.jit import njit
from metalore.world.layout import NO_SENSOR


@njit
def nearest_sensor(frame: Any, user: Any) -> Any:
    """The sensor a user is paired with now, counted from 0, or NO_SENSOR."""
    setup, body = frame.setup[0], frame.bodies[user]
    if len(frame.devices) == setup.users:
        return NO_SENSOR
    anchor = frame.anchors[user, 1]
    sensor, d2 = nearest_to(anchor, frame.grids[1], frame.sensor_tiles, frame.bodies, setup.users, body.x, body.y)
    return sensor if d2 <= setup.sensor_range2 else NO_SENSOR


@njit
def known_update(frame: Any, station: Any, sensor: Any) -> Any:
    """Creation step of the newest processed update of a sensor that is known at a station, -1: none."""
    setup, device = frame.setup[0], frame.devices[frame.setup[0].users + sensor]
    if setup.backhaul_steps == 0 or device.station == station:
        return device.newest
    return frame.history[sensor, frame.envs[0].t % (setup.backhaul_steps + 1)]


@njit
def may_start(frame: Any, station: Any, record: Any) -> Any:
    """Fix a request's sensor and update, if anything is known of its sensor at all."""
    sensor = record.sensor if frame.setup[0].pairing == AT_CREATION else nearest_sensor(frame, record.device)
    if sensor == NO_SENSOR:
        record.sensor = record.update = NO_SENSOR
        return True
    if record.update < 0:  # none was fixed at creation
        newest = known_update(frame, station, sensor)
        if newest < 0:
            return False
        record.update = newest
    record.sensor = sensor
    return True


@njit
def pair_at_completion(frame: Any, station: Any, record: Any) -> None:
    """A request is served with what is known of the sensor nearest now, if anything is."""
    sensor = nearest_sensor(frame, record.device)
    if sensor == NO_SENSOR:
        return
    newest = known_update(frame, station, sensor)
    if newest >= 0:
        record.sensor, record.update = sensor, newest
