"""What moves, as bytes: users, sensors and zones of one instant.

A picture is little-endian. Its head: version (u8), whether users are given as changes (u8), number of worlds (u8),
whether it plays (u8), number of the picture (u32), simulated time in s (f64). Then, for each world:

- users: x and y as parts of the map's sides (u16 each, 65535 the whole side), then the zone they are attached to (u8,
  or u16 where there are more than 250 zones; the largest value: absent, the one below: attached to none). Given as
  changes, a bit for each user comes first (lowest bit first), and only those whose bit is set follow;
- sensors: age at the twin in s, at most 127, plus 128 if an update was processed since the last picture (u8);
- zones: for each the columns of :data:`ZONE_COLUMNS` (u16 or u8), column by column.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from metalore.scenario import Scenario
from metalore.world import World

VERSION = 1
HEAD = struct.Struct("<BBBBId")
MOST_USERS = 20_000
"""Users beyond these are simulated and not shown."""
MOST_NARROW = 250
"""Zones up to which one byte says where a user is attached."""
ZONE_COLUMNS = (
    ("users", "<u2"),
    ("requests", "<u2"),  # jobs in the station's queue
    ("updates", "<u2"),
    ("band_share", "u1"),  # part for requests, of 255
    ("compute_share", "u1"),
    ("load", "u1"),  # part of the band that carried data in the last step, of 255
    ("busy", "u1"),  # part of the compute that worked since the last picture, of 255
    ("up", "u1"),
)


def attachment_type(scenario: Scenario) -> np.dtype:
    """Of a user's zone in a picture."""
    return np.dtype("u1" if len(scenario.stations) <= MOST_NARROW else "<u2")


@dataclass(frozen=True, eq=False)
class Glimpse:
    """One world at one instant: users [3, u] as unsigned numbers, sensors and zones as bytes."""

    x: np.ndarray
    y: np.ndarray
    zone: np.ndarray
    rest: bytes

    def whole(self) -> bytes:
        """All users."""
        return self.x.tobytes() + self.y.tobytes() + self.zone.tobytes() + self.rest

    def since(self, before: Glimpse) -> bytes:
        """Users that have changed."""
        changed = (self.x != before.x) | (self.y != before.y) | (self.zone != before.zone)
        bits = np.packbits(changed, bitorder="little").tobytes()
        return bits + b"".join(part[changed].tobytes() for part in (self.x, self.y, self.zone)) + self.rest


@dataclass(frozen=True, eq=False)
class Picture:
    """What all viewers are sent: as changes, or whole to whom the picture before is missing."""

    number: int
    time_s: float
    playing: bool
    now: tuple[Glimpse, ...]
    before: tuple[Glimpse, ...] | None

    @cached_property
    def whole(self) -> bytes:
        """For somebody who has not seen the one before."""
        return self._head(0) + b"".join(glimpse.whole() for glimpse in self.now)

    @cached_property
    def changes(self) -> bytes:
        """For everybody else."""
        if self.before is None:
            return self.whole
        return self._head(1) + b"".join(now.since(then) for now, then in zip(self.now, self.before, strict=True))

    def _head(self, changes: int) -> bytes:
        return HEAD.pack(VERSION, changes, len(self.now), self.playing, self.number & 0xFFFFFFFF, self.time_s)


class Viewpoint:
    """Takes glimpses of a world.

    Args:
        scenario: of the world.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._type = scenario, attachment_type(scenario)
        self._users = min(scenario.users.count, MOST_USERS)
        self._none = np.iinfo(self._type).max - 1
        self._newest = np.full(scenario.sensors.count, -1)

    def glimpse(self, world: World, gcycle: np.ndarray, seconds: float) -> Glimpse:
        """The world now.

        Args:
            world: one environment.
            gcycle: processed in each zone since the last glimpse [z] ...
            seconds: ... in so much simulated time.
        """
        city, n = self._scenario.map, self._users
        bodies, devices = world.bodies[0], world.devices[0]
        here = devices["station"][:n].astype(self._type)
        here[devices["attached"][:n] == 0] = self._none
        here[devices["present"][:n] == 0] = self._none + 1
        x, y = (
            np.clip(bodies[axis][:n] * (65535 / side), 0, 65535).astype("<u2")
            for axis, side in (("x", city.width_m), ("y", city.height_m))
        )
        return Glimpse(x, y, here, self._sensors(world) + self._zones(world, gcycle, seconds))

    def _sensors(self, world: World) -> bytes:
        newest = world.devices[0]["newest"][self._scenario.users.count :]
        fresh = newest > self._newest
        self._newest = newest.copy()
        ages = np.minimum(world.sensor_ages[0] * self._scenario.step_s, 127)
        return bytes((ages + 128 * fresh).astype("u1").tobytes())

    def _zones(self, world: World, gcycle: np.ndarray, seconds: float) -> bytes:
        zones, queues, shares = world.zones[0], world.queue_lengths[0], world.shares[0]
        busy = np.divide(gcycle, zones["compute"] * seconds, out=np.zeros(len(zones)), where=zones["compute"] > 0)
        columns = {
            "users": world.attached[0, :, 0],
            "requests": queues[:, 0],
            "updates": queues[:, 1],
            "band_share": 255 * shares[:, 0],
            "compute_share": 255 * shares[:, 1],
            "load": 255 * zones["load"],
            "busy": 255 * busy,
            "up": zones["up"],
        }
        return b"".join(
            np.clip(np.rint(columns[name]), 0, np.iinfo(kind).max).astype(kind).tobytes() for name, kind in ZONE_COLUMNS
        )
