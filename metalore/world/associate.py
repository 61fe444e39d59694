"""Associate: who is attached to which station, and how well they hear each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from metalore.world.codes import BAD_CHANNEL, FINE, NO_INTERFERENCE, OBSERVED_LOAD, STRONGEST
from metalore.world.fastmath import exp_each, log_each
from metalore.world.geometry import nearest_to, strongest
from metalore.world.jit import njit, njit_apart
from metalore.world.layout import HANDOVERS, REQUEST, UPDATE
from metalore.world.radio import LEAST_DISTANCE_M, PER_LN2, efficiency, snr_at


@njit
def is_plain(frame: Any) -> Any:
    """Whether :func:`associate_by_hata` is all there is to do."""
    env = frame.envs[0]
    return frame.setup[0].plain_radio and not env.changed and env.stations_up > 0


@njit_apart
def associate_all(frame: Any) -> Any:
    """Users, and sensors if a station has gone down or come up since; then what interference leaves of the signals."""
    setup, env = frame.setup[0], frame.envs[0]
    problem = FINE
    if env.changed:
        for station in range(len(frame.zones)):
            frame.cells[station, UPDATE].attached = 0
        for index in range(setup.users, len(frame.devices)):
            problem = max(problem, _associate(frame, index, UPDATE))
    problem = max(problem, _associate_users(frame))
    if setup.interference != NO_INTERFERENCE:
        for index in range(len(frame.devices)):
            if frame.devices[index].attached:
                _interfere(frame, index)
    env.changed = 0
    return problem


@njit
def _associate(frame: Any, index: Any, kind: Any) -> Any:
    """Attach a device to its station and learn its spectral efficiency."""
    setup, device, body, scratch = frame.setup[0], frame.devices[index], frame.bodies[index], frame.scratch
    if setup.association == STRONGEST:
        station, snr = strongest(
            setup,
            frame.grids[0],
            frame.station_tiles,
            frame.zones,
            frame.links,
            kind,
            frame.kinds_of_link,
            body,
            scratch,
        )
    else:
        anchor = frame.anchors[index, 0]
        station, d2 = nearest_to(anchor, frame.grids[0], frame.station_tiles, frame.zones, 0, body.x, body.y)
        snr = snr_at(setup, frame.links[station, kind], d2, body.luck, scratch) if station >= 0 else 0.0
    if station < 0:
        device.attached = 0
        return BAD_CHANNEL if np.isnan(snr) else FINE
    if kind == REQUEST and setup.sticky:
        station, snr = _hand_over(frame, index, station, snr)
    attached = 1 if snr > setup.snr_threshold else 0
    if kind == REQUEST and attached and device.attached and station != device.station:
        frame.tally[station, HANDOVERS] += 1.0
    device.station, device.attached = station, attached
    device.efficiency = efficiency(snr) if attached else 0.0
    if setup.interference != NO_INTERFERENCE and attached:
        _listen(frame, index, kind, snr)
    frame.cells[station, kind].attached += attached
    return FINE if 0.0 <= snr < np.inf else BAD_CHANNEL


@njit
def _snr(frame: Any, index: Any, kind: Any, station: Any) -> Any:
    """Linear SNR of a device at a station, 0 if that is down."""
    zone, body = frame.zones[station], frame.bodies[index]
    if not zone.up:
        return 0.0
    d2 = (zone.x - body.x) ** 2 + (zone.y - body.y) ** 2
    return snr_at(frame.setup[0], frame.links[station, kind], d2, body.luck, frame.scratch)


@njit
def _hand_over(frame: Any, index: Any, candidate: Any, snr: Any) -> Any:
    """Station and SNR of a user who keeps the present station until the candidate has been better for long enough."""
    setup, device, body = frame.setup[0], frame.devices[index], frame.bodies[index]
    present = np.int64(device.station)
    if not device.attached or present == candidate:
        body.waiting = 0
        return candidate, snr
    kept = _snr(frame, index, REQUEST, present)
    if not kept > setup.snr_threshold:
        body.waiting = 0
        return candidate, snr
    body.waiting = body.waiting + 1 if snr >= setup.handover_ratio * kept else 0
    if body.waiting > setup.handover_waits:
        body.waiting = 0
        return candidate, snr
    return present, kept


@njit
def associate_by_hata(frame: Any) -> None:
    """:func:`_associate` for all users at once, under the nearest station and Okumura-Hata: loops that vectorize."""
    setup, users = frame.setup[0], frame.setup[0].users
    for station in range(len(frame.zones)):
        frame.cells[station, REQUEST].attached = 0
    signal = frame.signal[:users]
    one = len(frame.zones) == 1
    for index in range(users):
        body = frame.bodies[index]
        if one:
            station = np.int64(0)  # type: ignore[assignment]  # numbers of compiled code
            d2 = (frame.zones[0].x - body.x) ** 2 + (frame.zones[0].y - body.y) ** 2
        else:
            station, d2 = nearest_to(
                frame.anchors[index, 0], frame.grids[0], frame.station_tiles, frame.zones, 0, body.x, body.y
            )
            if station != frame.devices[index].station and frame.devices[index].present:
                frame.devices[index].moved = frame.devices[index].attached
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
    if not one:
        for index in range(users):
            device = frame.devices[index]
            frame.tally[device.station, HANDOVERS] += device.moved & device.attached
            device.moved = 0


@njit
def _associate_users(frame: Any) -> Any:
    setup = frame.setup[0]
    for station in range(len(frame.zones)):
        frame.cells[station, REQUEST].attached = 0
    problem = FINE
    for index in range(setup.users):
        device, body = frame.devices[index], frame.bodies[index]
        if not device.present:
            device.attached = 0
        elif body.x == body.seen_x and body.y == body.seen_y and body.waiting == 0 and not frame.envs[0].changed:
            frame.cells[device.station, REQUEST].attached += device.attached  # nothing has changed for this user
        else:
            problem = max(problem, _associate(frame, index, REQUEST))
            body.seen_x, body.seen_y = body.x, body.y
    return problem


@njit
def _listen(frame: Any, index: Any, kind: Any, snr: Any) -> None:
    """Note how loud a device's station and its interferers are, were they up."""
    body, station = frame.bodies[index], np.int64(frame.devices[index].station)
    for i in range(frame.interferers.shape[1]):
        other = np.int64(frame.interferers[station, i])
        if other >= 0:
            zone = frame.zones[other]
            d2 = (zone.x - body.x) ** 2 + (zone.y - body.y) ** 2
            frame.heard[index, i] = snr_at(frame.setup[0], frame.links[other, kind], d2, body.luck, frame.scratch)
    frame.heard[index, frame.interferers.shape[1]] = snr


@njit
def _interfere(frame: Any, index: Any) -> None:
    """Spectral efficiency of an attached device among the signals of stations on the same part of the band."""
    setup, device = frame.setup[0], frame.devices[index]
    disturbance = 1.0
    for i in range(frame.interferers.shape[1]):
        other = frame.interferers[device.station, i]
        if other >= 0:
            zone = frame.zones[other]
            load = zone.load if setup.interference == OBSERVED_LOAD else np.float64(zone.up)
            disturbance += load * frame.heard[index, i]
    device.efficiency = efficiency(frame.heard[index, frame.interferers.shape[1]] / disturbance)
