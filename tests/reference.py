"""The world of `docs/world.md` a second time: one environment of plain Python objects, slow and obvious.

Written from that page alone; it shares nothing with the compiled world but the random words, the Poisson tables
(whose look-up is its own) and the settings. Numbers of steps are ints, -1 where something has not happened.
Zones and what pulls people to them are in `reference_city`.
"""

from __future__ import annotations

import csv
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

from reference_city import Zones, decision, neighbours, place_of_zone, stay_steps
from reference_common import FAILURE, first_above, nearest_first, normal_pair, single, squared_distance, uniform

from metalore.scenario import (
    Attraction,
    Bernoulli,
    Burst,
    Churn,
    CoChannel,
    Daily,
    Fixed,
    GaussMarkov,
    Radio,
    Ramp,
    RandomWaypoint,
    Ring,
    Scenario,
    Size,
    StepProfile,
    Trace,
    period_steps_of,
)
from metalore.scenario import Station as StationSettings
from metalore.world.random import (
    ANOTHER,
    DEPARTURE,
    LUCK,
    MOBILITY,
    PHASE,
    PLACEMENT,
    PRESENCE,
    SETTING_OUT,
    TRAFFIC,
    poisson_table,
    words,
)

EPS = 1e-9
KINDS = ("request", "update")
OUTCOMES = ("waiting", "completed", "lost_device", "lost_station", "left", "failed")
REWARD_TERMS = ("synchronization", "delay", "throughput", "loss", "served_age", "twin_age")

_OF_A_KIND = (
    "{}s_generated {}s_sent {}s_completed {}s_lost {}_mbit_generated {}_mbit_sent {}_mbit_lost {}_gcycle_generated "
    "{}_gcycle_processed {}_gcycle_lost {}_device_wait {}_transmission {}_server_wait {}_processing"
)
METRICS = (
    *(name.format(kind) for kind in KINDS for name in _OF_A_KIND.split()),
    *("requests_late", "requests_synchronized", "aosi", "signed_gap", "data_age", "peaks", "peak_age", "busy_hz"),
    *("attached_users", "handovers", "resident_mb", "up", "request_latency", "request_latency_squared", "sync_value"),
    "twin_age",
)
"""What is counted in every step, by station and in sum; `twin_age` only in sum."""


@dataclass(eq=False)
class Job:
    """A request or an update, with the step of everything that happened to it."""

    number: int
    kind: str
    device: int
    created: int
    data_mbit: float
    compute_gcycle: float
    data_left: float = field(init=False)
    compute_left: float = field(init=False)
    tx_start: int = -1
    tx_end: int = -1
    station: int = -1
    spent_of_device: float = 0.0  # part of its device's budget that was spent when it left (f_tx)
    proc_start: int = -1
    completed: int = -1
    sensor: int = -1
    update_created: int = -1
    outcome: str = "waiting"

    def __post_init__(self) -> None:
        self.data_left, self.compute_left = self.data_mbit, self.compute_gcycle


@dataclass(eq=False)
class Device:
    """What users and sensors have in common: a place, a radio and a queue."""

    kind: str
    index: int
    height_m: float
    x: float = 0.0
    y: float = 0.0
    luck: float = 0.5
    station: int = 0
    attached: bool = False
    efficiency: float = 0.0
    average_mbps: float = 0.0
    delivered_mbit: float = 0.0
    queue: deque[Job] = field(default_factory=deque)


@dataclass(eq=False)
class User(Device):
    """Someone who asks. `memory` is what a mobility function of the caller keeps, `place` is for attraction."""

    present: bool = True
    arrived: int = 0
    waiting: int = 0  # steps for which another station has been better
    place: int = 0  # zone, or the number of zones for elsewhere
    on_the_way: bool = False
    stay_left: int = 0
    target: tuple[float, float] = (0.0, 0.0)
    speed: float = 0.0
    pause_left: int = 0
    heading: float = 0.0
    mean_heading: float = 0.0
    memory: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


@dataclass(eq=False)
class Sensor(Device):
    """Something that reports. `newest` is the creation step of its newest processed update; `past` at ends of steps."""

    period: float = 1.0
    phase: float = 0.0
    newest: int = -1
    past: list[int] = field(default_factory=list)


@dataclass(eq=False)
class Station:
    """A base station and its server. Without a bound, memory is infinite."""

    settings: StationSettings
    bandwidth_hz: float = field(init=False)
    compute_gcycle_s: float = field(init=False)
    memory_mb: float = field(init=False)
    up: bool = True
    broken: bool = False
    closed: bool = False
    load: float = 0.0  # part of the band that carried data in the step before
    interferers: list[int] = field(default_factory=list)
    queues: dict[str, deque[Job]] = field(default_factory=lambda: {kind: deque() for kind in KINDS})
    attached: dict[str, list[Device]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    pointers: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))

    def __post_init__(self) -> None:
        self.bandwidth_hz, self.compute_gcycle_s = self.settings.bandwidth_hz, self.settings.compute_gcycle_s
        self.memory_mb = math.inf if self.settings.memory_mb is None else self.settings.memory_mb

    @property
    def place(self) -> tuple[float, float]:
        return self.settings.x_m, self.settings.y_m


# --- radio -----------------------------------------------------------------------------------------------------------


def hata_db(distance_m: float, carrier_mhz: float, station_height_m: float, device_height_m: float) -> float:
    """Okumura-Hata, small city, in dB."""
    f = math.log10(carrier_mhz)
    h = math.log10(station_height_m)
    a = (1.1 * f - 0.7) * device_height_m - (1.56 * f - 0.8)
    return 69.55 + 26.16 * f - 13.82 * h - a + (44.9 - 6.55 * h) * math.log10(distance_m / 1000)


def breakpoint_m(carrier_ghz: float, station_height_m: float, device_height_m: float) -> float:
    """Where the slope of UMi and UMa changes; 0 where a height is below 1 m."""
    return 4 * max(station_height_m - 1, 0) * max(device_height_m - 1, 0) * carrier_ghz * 1e9 / 3e8


def umi_db(distance_m: float, carrier_mhz: float, station_height_m: float, device_height_m: float, sees: bool) -> float:
    """3GPP TR 38.901 UMi street canyon, in dB."""
    d, f, rise = max(distance_m, 10.0), carrier_mhz / 1000, station_height_m - device_height_m
    d3 = math.sqrt(d * d + rise * rise)
    d_bp = breakpoint_m(f, station_height_m, device_height_m)
    if d <= d_bp:
        los = 32.4 + 21 * math.log10(d3) + 20 * math.log10(f)
    else:
        los = 32.4 + 40 * math.log10(d3) + 20 * math.log10(f) - 9.5 * math.log10(d_bp**2 + rise**2)
    if sees:
        return los
    return max(los, 35.3 * math.log10(d3) + 22.4 + 21.3 * math.log10(f) - 0.3 * (device_height_m - 1.5))


def uma_db(distance_m: float, carrier_mhz: float, station_height_m: float, device_height_m: float, sees: bool) -> float:
    """3GPP TR 38.901 UMa, in dB."""
    d, f, rise = max(distance_m, 10.0), carrier_mhz / 1000, station_height_m - device_height_m
    d3 = math.sqrt(d * d + rise * rise)
    d_bp = breakpoint_m(f, station_height_m, device_height_m)
    if d <= d_bp:
        los = 28 + 22 * math.log10(d3) + 20 * math.log10(f)
    else:
        los = 28 + 40 * math.log10(d3) + 20 * math.log10(f) - 9 * math.log10(d_bp**2 + rise**2)
    if sees:
        return los
    return max(los, 13.54 + 39.08 * math.log10(d3) + 20 * math.log10(f) - 0.6 * (device_height_m - 1.5))


def los_probability(path_loss: str, distance_m: float) -> float:
    """Chance that a device at a plane distance sees its station, for "umi" or "uma"."""
    if distance_m <= 18:
        return 1.0
    reach = {"umi": 36.0, "uma": 63.0}[path_loss]
    return 18 / distance_m + math.exp(-distance_m / reach) * (1 - 18 / distance_m)


def path_loss_db(
    radio: Radio, distance_m: float, station_height_m: float, device_height_m: float, luck: float
) -> float:
    """Loss of the scenario's path loss model at a plane distance of at least 1 m."""
    if radio.path_loss == "okumura-hata":
        return hata_db(distance_m, radio.carrier_mhz, station_height_m, device_height_m)
    sees = radio.line_of_sight == "always" or (
        radio.line_of_sight == "probability" and luck < los_probability(radio.path_loss, distance_m)
    )
    model = umi_db if radio.path_loss == "umi" else uma_db
    return model(distance_m, radio.carrier_mhz, station_height_m, device_height_m, sees)


def round_robin(devices: list[Device], pointer: int, slots: int) -> tuple[dict[int, int], int]:
    """Slots of each backlogged device (by index) and the group's next pointer. `devices` is in device order."""
    if not devices:
        return {}, pointer
    turn = [d for d in devices if d.index >= pointer] + [d for d in devices if d.index < pointer]
    each, more = divmod(slots, len(turn))
    given = {device.index: each + (1 if j < more else 0) for j, device in enumerate(turn)}
    return given, 1 + turn[(slots - 1) % len(turn)].index


def parts_of_the_band(places: Sequence[tuple[float, float]], reuse: int) -> list[int]:
    """The part of each station, in order: that whose nearest station so far is farthest away."""
    parts: list[int] = []
    for z, place in enumerate(places):
        clear = [
            min((squared_distance(place, places[j]) for j in range(z) if parts[j] == part), default=math.inf)
            for part in range(reuse)
        ]
        parts.append(clear.index(max(clear)))
    return parts


def interferers_of(places: Sequence[tuple[float, float]], reuse: int, count: int) -> list[list[int]]:
    """The nearest other stations on each one's part of the band."""
    parts = parts_of_the_band(places, reuse)
    zones = range(len(places))
    return [[j for j in nearest_first(places, z) if j != z and parts[j] == parts[z]][:count] for z in zones]


# --- demand ----------------------------------------------------------------------------------------------------------


def factor(profile: Any, time_s: float) -> float:
    """Demand relative to the profile's base."""
    if isinstance(profile, StepProfile):
        return profile.factor if time_s >= profile.at_s else 1.0
    if isinstance(profile, Ramp):
        done = (time_s - profile.from_s) / (profile.to_s - profile.from_s)
        return 1 + min(max(done, 0.0), 1.0) * (profile.factor - 1)
    if isinstance(profile, Burst):
        return profile.factor if profile.from_s <= time_s < profile.from_s + profile.duration_s else 1.0
    if isinstance(profile, Daily):
        return 1 + profile.amplitude * math.cos(2 * math.pi * (time_s - profile.peak_s) / profile.period_s)
    return 1.0


@cache
def poisson_entries(mean: float) -> tuple[list[tuple[int, int]], int, int]:
    """(threshold, alias) of each column, the bits that choose one, and the lowest value."""
    table, bits, lowest = poisson_table(mean)
    return [(int(entry["threshold"]), int(entry["alias"])) for entry in table], bits, lowest


def poisson_draw(mean: float, word: int) -> int:
    """Walker's alias method: upper bits choose a column, lower bits are compared with its threshold."""
    entries, bits, lowest = poisson_entries(mean)
    column, low = divmod(word, 1 << (32 - bits))
    threshold, alias = entries[column]
    return lowest + (column if low < threshold else alias)


def draw_size(size: Size, word: int, of_zone: float = 1.0) -> float:
    """A job's size, rounded to single precision before and after it is multiplied by the factor of its zone."""
    if size.distribution == "poisson":
        value = float(poisson_draw(size.mean, word))
    elif size.distribution == "constant":
        value = size.mean
    else:
        value = -size.mean * math.log(uniform(word))
    return single(single(max(value, size.minimum)) * of_zone)


def read_trace(path: str) -> dict[int, list[tuple[float, float, float]]]:
    """Rows (time_s, x_m, y_m) of each user, in order of time."""
    rows: dict[int, list[tuple[float, float, float]]] = {}
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rows.setdefault(int(row["user"]), []).append((float(row["time_s"]), float(row["x_m"]), float(row["y_m"])))
    return {user: sorted(points) for user, points in rows.items()}


def trace_position(rows: list[tuple[float, float, float]], time_s: float) -> tuple[float, float]:
    """Between rows by linear interpolation; held before the first and after the last."""
    if time_s <= rows[0][0]:
        return rows[0][1:]
    for (t0, x0, y0), (t1, x1, y1) in pairwise(rows):
        if t0 <= time_s < t1:
            part = (time_s - t0) / (t1 - t0)
            return x0 + part * (x1 - x0), y0 + part * (y1 - y0)
    return rows[-1][1:]


def reflected(value: float, limit: float) -> tuple[float, bool]:
    """A coordinate put back between 0 and `limit`, and whether it had left."""
    if 0 <= value <= limit:
        return value, False
    mirrored = -value if value < 0 else 2 * limit - value
    return min(max(mirrored, 0.0), limit), True


class ReferenceWorld:
    """One episode of one environment; making it is the reset."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        episode: int = 0,
        *,
        channel: Callable[..., float] | None = None,
        mobility: Callable[..., tuple[float, float, float, float, float, float]] | None = None,
        traffic: Callable[..., tuple[int, float, float]] | None = None,
        scheduler: Callable[..., float] | None = None,
    ) -> None:
        self.scenario, self.seed, self.episode = scenario, seed, episode
        self.channel, self.mobility, self.traffic, self.scheduler = channel, mobility, traffic, scheduler
        self.t = 0
        self.jobs: list[Job] = []
        self.generated_so_far = 0.0  # F(t): the sum of the update profile's factors of steps before t
        self.history = dict.fromkeys(METRICS, 0.0)
        self.stations = [Station(settings) for settings in scenario.stations]
        self._clear_counts()
        self.places = [station.place for station in self.stations]
        if isinstance(radio := scenario.radio.interference, CoChannel):
            for station, near in zip(
                self.stations, interferers_of(self.places, radio.reuse, radio.interferers), strict=True
            ):
                station.interferers = near
        self.city = Zones(scenario, self._uniforms)
        self._update_stations(0)
        motion = scenario.users.mobility
        self.trace = read_trace(motion.file) if isinstance(motion, Trace) else {}
        self.neighbours = neighbours(self.places, motion.neighbours) if isinstance(motion, Attraction) else []
        self.users = [self._new_user(k) for k in range(scenario.users.count)]
        self.sensors: list[Sensor] = []
        for n in range(scenario.sensors.count):
            self.sensors.append(self._new_sensor(n))
        self.up_for_sensors = [station.up for station in self.stations]

    def step(self, shares: Sequence[Sequence[float]]) -> dict[str, Any]:
        """Advance by one step. `shares`: (bandwidth_share, compute_share) of requests, per station."""
        self._clear_counts()
        self._associate()
        self._generate()
        self._transmit([bandwidth for bandwidth, _ in shares])
        self._compute([compute for _, compute in shares])
        self._age()
        self._move()
        self.city.tick(self.t + 1)
        self._update_stations(self.t + 1)
        self._reward()
        self.t += 1
        for name, value in self.totals.items():
            self.history[name] += value
        return {**self.totals, "reward": sum(self.terms.values()), "reward_terms": dict(self.terms)}

    def queue_lengths(self) -> list[tuple[int, int]]:
        """(requests, updates) waiting at each station."""
        return [(len(station.queues["request"]), len(station.queues["update"])) for station in self.stations]

    @property
    def zones(self) -> list[dict[str, float]]:
        """How each zone is for the next step: up, pull, request_factor, data_factor, compute_factor, activity."""
        fields = ("pull", "request_factor", "data_factor", "compute_factor", "activity")
        return [
            {"up": int(station.up), **{name: getattr(zone, name) for name in fields}}
            for station, zone in zip(self.stations, self.city.zones, strict=True)
        ]

    # --- what a planner may do ---------------------------------------------------------------------------------------

    def close_stations(self, flags: Sequence[bool]) -> None:
        """Close stations or open them again, from the end of the next step on."""
        for station, closed in zip(self.stations, flags, strict=True):
            station.closed = bool(closed)

    def set_capacity(
        self,
        station: int,
        bandwidth_hz: float | None = None,
        compute_gcycle_s: float | None = None,
        memory_mb: float | None = None,
    ) -> None:
        """Set capacities of a station; infinite memory is no bound."""
        here = self.stations[station]
        here.bandwidth_hz = here.bandwidth_hz if bandwidth_hz is None else bandwidth_hz
        here.compute_gcycle_s = here.compute_gcycle_s if compute_gcycle_s is None else compute_gcycle_s
        here.memory_mb = here.memory_mb if memory_mb is None else memory_mb

    # --- counting ----------------------------------------------------------------------------------------------------

    def _clear_counts(self) -> None:
        self.totals = dict.fromkeys(METRICS, 0.0)
        self.by_station = [dict.fromkeys(METRICS, 0.0) for _ in self.stations]
        self.station_rewards = [0.0] * len(self.stations)
        self.terms = dict.fromkeys(REWARD_TERMS, 0.0)

    def _count(self, name: str, station: int, amount: float = 1.0) -> None:
        self.totals[name] += amount
        self.by_station[station][name] += amount

    # --- reset -------------------------------------------------------------------------------------------------------

    def _uniforms(self, step: int, device: int, stream: int) -> tuple[float, float, float, float]:
        w0, w1, w2, w3 = words(self.seed, step, device, stream, self.episode)
        return uniform(w0), uniform(w1), uniform(w2), uniform(w3)

    def _new_user(self, k: int) -> User:
        settings = self.scenario.users
        user = User("request", k, settings.height_m, luck=self._uniforms(0, k, LUCK)[0])
        self._arrive(user, 0)
        if isinstance(settings.mobility, Attraction):
            self._begin_in_the_city(user, settings.mobility)
        elif isinstance(settings.presence, Churn):
            stay, absence = settings.presence.mean_stay_steps, settings.presence.mean_absence_steps
            user.present = self._uniforms(0, k, PRESENCE + ANOTHER)[0] < stay / (stay + absence)
        return user

    def _arrive(self, user: User, step: int) -> None:
        """A new person with a new place, and the first leg of a walk."""
        user.present, user.arrived = True, step
        user.x, user.y = self._arrival_place(user.index, step)
        user.memory = (0.0, 0.0, 0.0, 0.0)
        user.average_mbps = 0.0
        user.attached, user.waiting = False, 0
        u0, u1, u2, _ = self._uniforms(step, user.index, DEPARTURE)
        motion = self.scenario.users.mobility
        if isinstance(motion, RandomWaypoint):
            self._new_leg(user, u0, u1, u2)
            user.pause_left = 0
        elif isinstance(motion, GaussMarkov):
            user.speed = max(0.0, motion.speed_m_s + motion.speed_sd_m_s * normal_pair(u0, u1)[0])
            user.heading = user.mean_heading = 2 * math.pi * u2

    def _arrival_place(self, k: int, step: int) -> tuple[float, float]:
        if self.trace:
            return trace_position(self.trace[k], step * self.scenario.step_s)
        if self.scenario.users.positions_m is not None:
            return self.scenario.users.positions_m[k]
        u0, u1, _, _ = self._uniforms(step, k, PLACEMENT)
        return u0 * self.scenario.map.width_m, u1 * self.scenario.map.height_m

    def _new_leg(self, user: User, u0: float, u1: float, u2: float) -> None:
        motion = self.scenario.users.mobility
        assert isinstance(motion, RandomWaypoint)
        user.target = (u0 * self.scenario.map.width_m, u1 * self.scenario.map.height_m)
        user.speed = motion.speed_min_m_s + u2 * (motion.speed_max_m_s - motion.speed_min_m_s)

    def _new_sensor(self, n: int) -> Sensor:
        settings, index = self.scenario.sensors, self.scenario.users.count + n
        sensor = Sensor("update", index, settings.height_m, luck=self._uniforms(0, index, LUCK)[0])
        sensor.x, sensor.y = self._sensor_place(n)
        sensor.period = period_steps_of(self.scenario)[n]
        random_phase = getattr(settings.updates.timing, "phase", "zero") == "random"
        sensor.phase = 1 - 1e-9 - (self._uniforms(0, index, PHASE)[0] if random_phase else 0.0)
        self._attach(sensor, self._candidate(sensor))
        return sensor

    def _sensor_place(self, n: int) -> tuple[float, float]:
        placement, area = self.scenario.sensors.placement, self.scenario.map
        if isinstance(placement, Fixed):
            return placement.positions_m[n]
        for attempt in range(1_000_000):
            x, y = self._sensor_attempt(n, attempt)
            on_map = 0 <= x <= area.width_m and 0 <= y <= area.height_m
            if on_map and all(squared_distance((x, y), (s.x, s.y)) >= placement.spacing_m**2 for s in self.sensors):
                return x, y
        raise RuntimeError(f"sensor {n} found no place")

    def _sensor_attempt(self, n: int, attempt: int) -> tuple[float, float]:
        placement, area = self.scenario.sensors.placement, self.scenario.map
        u0, u1, _, _ = self._uniforms(attempt, self.scenario.users.count + n, PLACEMENT)
        if not isinstance(placement, Ring):
            return u0 * area.width_m, u1 * area.height_m
        station = self.scenario.stations[n % len(self.stations)]
        inner, outer = placement.min_distance_m**2, placement.max_distance_m**2
        radius, angle = math.sqrt(inner + u1 * (outer - inner)), 2 * math.pi * u0
        return station.x_m + radius * math.cos(angle), station.y_m + radius * math.sin(angle)

    # --- 1. associate ------------------------------------------------------------------------------------------------

    def _associate(self) -> None:
        up = [station.up for station in self.stations]
        if up != self.up_for_sensors:
            self.up_for_sensors = up
            for sensor in self.sensors:
                self._attach(sensor, self._candidate(sensor))
        for user in self.users:
            if user.present:
                self._attach_user(user)
            else:
                user.attached = False
        for station in self.stations:
            station.attached = {kind: [] for kind in KINDS}
        for device in [*self.users, *self.sensors]:
            if device.attached:
                self.stations[device.station].attached[device.kind].append(device)
                device.efficiency = math.log2(1 + self._sinr(device))
        for z, station in enumerate(self.stations):
            self._count("up", z, float(station.up))
            self._count("attached_users", z, len(station.attached["request"]))

    def _candidate(self, device: Device) -> int:
        """The station up that is nearest or strongest, -1 if there is none."""
        up = [z for z, station in enumerate(self.stations) if station.up]
        if self.scenario.radio.association == "nearest":
            return min(up, key=lambda z: squared_distance(self.places[z], (device.x, device.y)), default=-1)
        return max(up, key=lambda z: self._snr(device, z), default=-1)

    def _attach(self, device: Device, z: int) -> None:
        """A device's station becomes `z`, where it is attached if heard well enough; -1: it has none."""
        if z >= 0:
            device.station = z
        device.attached = z >= 0 and self._snr(device, z) > self.scenario.radio.snr_threshold

    def _attach_user(self, user: User) -> None:
        before = user.station if user.attached else -1
        candidate = self._candidate(user)
        self._attach(user, user.station if self._keeps_station(user, candidate) else candidate)
        if user.attached and before >= 0 and user.station != before:
            self._count("handovers", user.station)

    def _keeps_station(self, user: User, candidate: int) -> bool:
        """Whether a user stays although the candidate is another; counts the steps for which that one is better."""
        handover, before, waited = self.scenario.radio.handover, user.station, user.waiting
        user.waiting = 0
        if not user.attached or candidate in (before, -1) or not self.stations[before].up:
            return False
        snr = self._snr(user, before)
        if snr <= self.scenario.radio.snr_threshold or handover.margin_db == handover.time_to_trigger_steps == 0:
            return False
        if self._snr(user, candidate) < 10 ** (handover.margin_db / 10) * snr:
            return True
        if waited + 1 > handover.time_to_trigger_steps:
            return False
        user.waiting = waited + 1
        return True

    def _snr(self, device: Device, z: int) -> float:
        """Of a device at a station, 0 at one that is down."""
        radio, station = self.scenario.radio, self.stations[z].settings
        if not self.stations[z].up:
            return 0.0
        distance = max(1.0, math.sqrt(squared_distance(self.places[z], (device.x, device.y))))
        if self.channel is not None:
            loss = self.channel(distance, radio.carrier_mhz, station.height_m, device.height_m, device.luck)
        else:
            loss = path_loss_db(radio, distance, station.height_m, device.height_m, device.luck)
        return float(10 ** ((station.tx_dbm - 30 - loss) / 10) / radio.noise_w)

    def _sinr(self, device: Device) -> float:
        """Of a device at its station, among the stations on the same part of the band."""
        disturbed = 0.0
        for j in self.stations[device.station].interferers:
            full = getattr(self.scenario.radio.interference, "load", "full") == "full"
            disturbed += (1.0 if full else self.stations[j].load) * self._snr(device, j)
        return self._snr(device, device.station) / (1 + disturbed)

    def _width_hz(self, station: Station) -> float:
        """The part of the band that a station has."""
        return station.bandwidth_hz / getattr(self.scenario.radio.interference, "reuse", 1)

    # --- 3. generate -------------------------------------------------------------------------------------------------

    def _generate(self) -> None:
        for user in self.users:
            if user.present and self.traffic is not None:
                self._ask_function(user)
            elif user.present:
                self._ask(user)
        before = self.generated_so_far
        profile = self.scenario.sensors.updates.profile
        self.generated_so_far += factor(profile, self.t * self.scenario.step_s)
        for sensor in self.sensors:
            if self.traffic is not None:
                self._ask_function(sensor)
            else:
                self._report(sensor, before)

    def _ask(self, user: User) -> None:
        requests = self.scenario.users.requests
        w0, w1, w2, _ = words(self.seed, self.t, user.index, TRAFFIC, self.episode)
        zone = self.city.zones[user.station]
        demand = factor(requests.profile, self.t * self.scenario.step_s) * zone.request_factor
        if uniform(w0) < min(1.0, requests.probability * demand):
            data_mbit = draw_size(requests.data_mbit, w1, zone.data_factor)
            self._create(user, data_mbit, draw_size(requests.compute_gcycle, w2, zone.compute_factor))

    def _report(self, sensor: Sensor, before: float) -> None:
        updates = self.scenario.sensors.updates
        for j in range(self._updates_due(sensor, before)):
            _, w1, w2, _ = words(self.seed, self.t, sensor.index, TRAFFIC + ANOTHER * j, self.episode)
            self._create(sensor, draw_size(updates.data_mbit, w1), draw_size(updates.compute_gcycle, w2))

    def _updates_due(self, sensor: Sensor, before: float) -> int:
        updates = self.scenario.sensors.updates
        if isinstance(updates.timing, Bernoulli):
            chance = updates.timing.probability * factor(updates.profile, self.t * self.scenario.step_s)
            return 1 if self._uniforms(self.t, sensor.index, TRAFFIC)[0] < chance else 0
        after = self.generated_so_far
        return math.floor(after / sensor.period + sensor.phase) - math.floor(before / sensor.period + sensor.phase)

    def _ask_function(self, device: Device) -> None:
        assert self.traffic is not None
        is_sensor = device.kind == "update"
        luck = self._uniforms(self.t, device.index, TRAFFIC)
        created, data, compute = self.traffic(self.t * self.scenario.step_s, device.index, is_sensor, *luck)
        if created:
            self._create(device, single(data), single(compute))

    def _create(self, device: Device, data_mbit: float, compute_gcycle: float) -> None:
        job = Job(len(self.jobs), device.kind, device.index, self.t, data_mbit, compute_gcycle)
        self.jobs.append(job)
        self._count(f"{job.kind}s_generated", device.station)
        self._count(f"{job.kind}_mbit_generated", device.station, data_mbit)
        self._count(f"{job.kind}_gcycle_generated", device.station, compute_gcycle)
        limit = self.scenario.buffers.device_jobs
        if limit is not None and len(device.queue) >= limit:
            self._lose(job, "lost_device", device.station)
            return
        if job.kind == "request" and self.scenario.pairing == "creation":
            job.sensor = self._nearest_sensor(device)
            job.update_created = self._known(job.sensor, device.station) if job.sensor >= 0 else -1
        device.queue.append(job)

    def _lose(self, job: Job, outcome: str, station: int) -> None:
        job.outcome = outcome
        self._count(f"{job.kind}s_lost", station)
        self._count(f"{job.kind}_mbit_lost", station, job.data_left)
        self._count(f"{job.kind}_gcycle_lost", station, job.compute_left)

    def _nearest_sensor(self, user: Device) -> int:
        """Number of the sensor nearest to a user among those in reach, -1 if there is none."""
        reach = self.scenario.sensors.range_m
        distances = [squared_distance((s.x, s.y), (user.x, user.y)) for s in self.sensors]
        near = [n for n, d in enumerate(distances) if reach is None or d <= reach * reach]
        return min(near, key=lambda n: distances[n], default=-1)

    def _known(self, n: int, z: int) -> int:
        """Creation step of the newest update of a sensor that a station knows of, -1 if there is none."""
        sensor, delay = self.sensors[n], self.scenario.sensors.backhaul_steps
        if sensor.station == z or delay == 0:
            return sensor.newest
        then = self.t - 1 - delay
        return sensor.past[then] if then >= 0 else -1

    # --- 4. transmit -------------------------------------------------------------------------------------------------

    def _transmit(self, shares: list[float]) -> None:
        parts: dict[int, float] = {}
        busy_hz = [0.0] * len(self.stations)
        for station, share in zip(self.stations, shares, strict=True):
            for kind, part in (("request", share), ("update", 1 - share)):
                parts |= self._divide(station, kind, part * self._width_hz(station))
        step_s, window = self.scenario.step_s, self.scenario.radio.average_window_steps
        for device in [*self.users, *self.sensors]:
            if device.attached:
                device.delivered_mbit = 0.0
                budget = parts[device.index] * device.efficiency / 1e6 * step_s
                self._send(device, budget)
                if budget > 0:
                    busy_hz[device.station] += parts[device.index] * device.delivered_mbit / budget
                device.average_mbps += (device.delivered_mbit / step_s - device.average_mbps) / window
        for z, station in enumerate(self.stations):
            station.load = min(1.0, busy_hz[z] / self._width_hz(station))
            self._count("busy_hz", z, busy_hz[z])

    def _divide(self, station: Station, kind: str, band_hz: float) -> dict[int, float]:
        """Band of each attached device of a kind, by device index."""
        weights = self._weights(station, kind)
        total = sum(weights.values())
        return {index: band_hz * weight / total if total > 0 else 0.0 for index, weight in weights.items()}

    def _weights(self, station: Station, kind: str) -> dict[int, float]:
        attached, radio = station.attached[kind], self.scenario.radio
        if self.scheduler is not None:
            return {device.index: self._scheduler_weight(device) for device in attached}
        if radio.scheduler == "resource-fair":
            return {device.index: 1.0 for device in attached}
        weights = {device.index: 0.0 for device in attached}
        backlogged = [device for device in attached if device.queue]
        if radio.scheduler == "proportional-fair":
            return weights | {d.index: d.efficiency / max(d.average_mbps, 1e-3) for d in backlogged}
        slots, station.pointers[kind] = round_robin(backlogged, station.pointers[kind], radio.round_robin_slots)
        return weights | slots

    def _scheduler_weight(self, device: Device) -> float:
        assert self.scheduler is not None
        backlog = sum(job.data_left for job in device.queue)
        time_s = self.t * self.scenario.step_s
        return self.scheduler(len(device.queue), backlog, device.efficiency, device.average_mbps, time_s)

    def _send(self, device: Device, budget: float) -> None:
        full = budget
        while device.queue and budget > EPS:
            job = device.queue[0]
            if job.tx_start < 0:
                job.tx_start = self.t
            done = job.data_left <= budget + EPS
            sent = job.data_left if done else budget
            budget = budget - sent if done else 0.0
            job.data_left = 0.0 if done else job.data_left - sent
            device.delivered_mbit += sent
            self._count(f"{job.kind}_mbit_sent", device.station, sent)
            if done:
                job.spent_of_device = single((full - budget) / full)
                device.queue.popleft()
                self._enter(job, device.station)

    def _enter(self, job: Job, index: int) -> None:
        """A job has left its device; it joins the station's queue if there is room."""
        job.tx_end = self.t
        self._count(f"{job.kind}s_sent", index)
        job.station = index
        if self._has_room(self.stations[index], job.kind):
            self.stations[index].queues[job.kind].append(job)
        else:
            self._lose(job, "lost_station", index)

    def _has_room(self, station: Station, kind: str) -> bool:
        limit = self.scenario.buffers.station_jobs
        if limit is not None and len(station.queues[kind]) >= limit:
            return False
        return self._resident_mb(station, 1) <= station.memory_mb

    def _resident_mb(self, station: Station, more_jobs: int = 0) -> float:
        """Memory that the twin, attached users and queued jobs take."""
        memory = self.scenario.memory
        jobs, users = sum(map(len, station.queues.values())), len(station.attached["request"])
        return memory.base_mb + memory.per_user_mb * users + memory.per_job_mb * (jobs + more_jobs)

    # --- 5. compute --------------------------------------------------------------------------------------------------

    def _compute(self, shares: list[float]) -> None:
        step_s = self.scenario.step_s
        for kind in KINDS:
            for station, share in zip(self.stations, shares, strict=True):
                if station.up:
                    part = share if kind == "request" else 1 - share
                    self._serve(station.queues[kind], part * station.compute_gcycle_s * step_s)
        for z, station in enumerate(self.stations):
            self._count("resident_mb", z, self._resident_mb(station) if station.up else 0.0)

    def _serve(self, queue: deque[Job], budget: float) -> None:
        full = budget
        while queue and budget > EPS:
            job = queue[0]
            if self._nobody_waits(job):
                self._lose(queue.popleft(), "left", job.station)
                continue
            if job.proc_start < 0 and not self._start(job):
                return
            done = job.compute_left <= budget + EPS
            work = job.compute_left if done else budget
            budget = budget - work if done else 0.0
            job.compute_left = 0.0 if done else job.compute_left - work
            self._count(f"{job.kind}_gcycle_processed", job.station, work)
            if done:
                self._complete(queue.popleft(), (full - budget) / full)

    def _nobody_waits(self, job: Job) -> bool:
        if job.kind == "update":
            return False
        user = self.users[job.device]
        return not user.present or user.arrived > job.created

    def _start(self, job: Job) -> bool:
        """Begin to process a job; False if it blocks, as no update of its sensor is known here yet."""
        if job.kind == "request":
            fixed = self.scenario.pairing == "creation"
            sensor = job.sensor if fixed else self._nearest_sensor(self.users[job.device])
            update = job.update_created
            if sensor >= 0 and update < 0:
                update = self._known(sensor, job.station)
                if update < 0:
                    return False
            job.sensor, job.update_created = sensor, update
        job.proc_start = self.t
        return True

    def _complete(self, job: Job, spent_of_server: float) -> None:
        """`spent_of_server`: part of the queue's budget that has been spent by now (f_cpu)."""
        job.completed, job.outcome = self.t, "completed"
        self._count(f"{job.kind}s_completed", job.station)
        self._count(f"{job.kind}_device_wait", job.station, job.tx_start - job.created)
        self._count(f"{job.kind}_transmission", job.station, job.tx_end - job.tx_start)
        self._count(f"{job.kind}_server_wait", job.station, job.proc_start - job.tx_end)
        self._count(f"{job.kind}_processing", job.station, job.completed - job.proc_start)
        if job.kind == "request":
            latency = job.completed - job.created + spent_of_server
            latency += job.spent_of_device if job.tx_end == self.t else 0.0
            self._count("request_latency", job.station, latency)
            self._count("request_latency_squared", job.station, latency * latency)
            self._answer(job)
        else:
            self._refresh(self.sensors[job.device - len(self.users)], job)

    def _refresh(self, sensor: Sensor, update: Job) -> None:
        """A processed update becomes its sensor's newest, if it is newer."""
        if update.created > sensor.newest:
            self._count("peaks", update.station)
            self._count("peak_age", update.station, self.t - max(sensor.newest, 0))
            sensor.newest = update.created

    # --- 6. ages and 7. reward ---------------------------------------------------------------------------------------

    def _answer(self, job: Job) -> None:
        """A completed request: the last word on its sensor, its ages, and what it earns."""
        reward, step_s, z = self.scenario.reward, self.scenario.step_s, job.station
        if self.scenario.pairing == "completion":
            nearest = self._nearest_sensor(self.users[job.device])
            if nearest >= 0 and (newest := self._known(nearest, z)) >= 0:
                job.sensor, job.update_created = nearest, newest
        self.terms["throughput"] += reward.throughput
        if (job.completed - job.created) * step_s > reward.delay_threshold_s:
            self._count("requests_late", z)
            self.terms["delay"] -= reward.delay_penalty
        if job.sensor >= 0:
            gap, data_age = job.created - job.update_created, job.completed - job.update_created
            self._count("requests_synchronized", z)
            self._count("aosi", z, abs(gap))
            self._count("signed_gap", z, gap)
            self._count("data_age", z, data_age)
            self._count("sync_value", z, reward.discount ** (abs(gap) * step_s))
            self.terms["synchronization"] += reward.sync_reward * reward.discount ** (abs(gap) * step_s)
            self.terms["served_age"] -= reward.served_age * data_age * step_s

    def _age(self) -> None:
        """Age at the twin at the end of the step; before its first update, a sensor's twin is of step 0."""
        self.totals["twin_age"] = float(sum(self.t - max(sensor.newest, 0) for sensor in self.sensors))
        for sensor in self.sensors:
            sensor.past.append(sensor.newest)

    def _reward(self) -> None:
        """The terms that are known only when all of the step has happened."""
        reward = self.scenario.reward
        self.terms["loss"] = -reward.loss * (self.totals["requests_lost"] + self.totals["updates_lost"])
        if self.sensors:
            mean_age = self.totals["twin_age"] / len(self.sensors)
            self.terms["twin_age"] = -reward.twin_age * mean_age * self.scenario.step_s
        self.station_rewards = [self._reward_of(counts) for counts in self.by_station]

    def _reward_of(self, counts: dict[str, float]) -> float:
        """What a station has earned; all have an equal part in the twin's age."""
        reward = self.scenario.reward
        return (
            reward.sync_reward * counts["sync_value"]
            - reward.delay_penalty * counts["requests_late"]
            + reward.throughput * counts["requests_completed"]
            - reward.loss * (counts["requests_lost"] + counts["updates_lost"])
            - reward.served_age * self.scenario.step_s * counts["data_age"]
            + self.terms["twin_age"] / len(self.stations)
        )

    # --- 8. move -----------------------------------------------------------------------------------------------------

    def _move(self) -> None:
        motion, presence = self.scenario.users.mobility, self.scenario.users.presence
        for user in self.users:
            if isinstance(motion, Attraction) and self.mobility is None:
                self._live_in_the_city(user, motion)
            elif user.present:
                self._walk(user)
        if isinstance(presence, Churn):
            for user in self.users:
                self._come_or_go(user, presence)

    def _walk(self, user: User) -> None:
        motion, area, step_s = self.scenario.users.mobility, self.scenario.map, self.scenario.step_s
        luck = self._uniforms(self.t, user.index, MOBILITY)
        if self.mobility is not None:
            user.x, user.y, *memory = self.mobility(
                user.x, user.y, *user.memory, step_s, area.width_m, area.height_m, *luck
            )
            user.memory = (memory[0], memory[1], memory[2], memory[3])
        elif isinstance(motion, RandomWaypoint):
            self._walk_to_waypoint(user, motion, luck)
        elif isinstance(motion, GaussMarkov):
            self._walk_gauss_markov(user, motion, luck)
        elif isinstance(motion, Trace):
            user.x, user.y = trace_position(self.trace[user.index], (self.t + 1) * step_s)

    def _walk_to_waypoint(self, user: User, motion: RandomWaypoint, luck: tuple[float, ...]) -> None:
        if user.pause_left > 0:
            user.pause_left -= 1
            return
        if self._reaches_target(user):
            self._new_leg(user, *luck[:3])
            user.pause_left = motion.pause_steps

    def _reaches_target(self, user: User) -> bool:
        """A step towards the target, which is reached exactly."""
        reach = user.speed * self.scenario.step_s
        distance = math.sqrt(squared_distance(user.target, (user.x, user.y)))
        if distance <= reach:
            user.x, user.y = user.target
            return True
        user.x += (user.target[0] - user.x) * reach / distance
        user.y += (user.target[1] - user.y) * reach / distance
        return False

    def _walk_gauss_markov(self, user: User, motion: GaussMarkov, luck: tuple[float, ...]) -> None:
        n0, n1 = normal_pair(luck[0], luck[1])
        a, noise, step_s = motion.memory, math.sqrt(1 - motion.memory**2), self.scenario.step_s
        user.speed = max(0.0, a * user.speed + (1 - a) * motion.speed_m_s + noise * motion.speed_sd_m_s * n0)
        user.heading = a * user.heading + (1 - a) * user.mean_heading + noise * motion.heading_sd_rad * n1
        x = user.x + user.speed * step_s * math.cos(user.heading)
        y = user.y + user.speed * step_s * math.sin(user.heading)
        user.x, turned_x = reflected(x, self.scenario.map.width_m)
        user.y, turned_y = reflected(y, self.scenario.map.height_m)
        if turned_x:
            user.heading, user.mean_heading = math.pi - user.heading, math.pi - user.mean_heading
        if turned_y:
            user.heading, user.mean_heading = -user.heading, -user.mean_heading

    def _come_or_go(self, user: User, churn: Churn) -> None:
        u = self._uniforms(self.t, user.index, PRESENCE)[0]
        if user.present and u < 1 / churn.mean_stay_steps:
            self._leave(user)
        elif not user.present and u < 1 / churn.mean_absence_steps:
            self._arrive(user, self.t + 1)

    def _leave(self, user: User) -> None:
        user.present = False
        while user.queue:
            self._lose(user.queue.popleft(), "left", user.station)

    # --- attraction --------------------------------------------------------------------------------------------------

    def _begin_in_the_city(self, user: User, motion: Attraction) -> None:
        """At reset, a user is in a zone or elsewhere."""
        u0, _, _, u3 = self._uniforms(0, user.index, PRESENCE + ANOTHER)
        chosen = first_above(self.city.pulls(), u0)
        user.place = 0 if chosen is None else chosen
        if user.place < len(self.stations):
            self._arrive_in_zone(user, motion, 0)
        else:
            user.present = False
            user.stay_left = self._stay(motion, u3)

    def _arrive_in_zone(self, user: User, motion: Attraction, step: int) -> None:
        self._arrive(user, step)
        u0, u1, _, u3 = self._uniforms(step, user.index, DEPARTURE)
        user.x, user.y = place_of_zone(self.scenario.stations[user.place], motion, self.scenario.map, u0, u1)
        user.on_the_way, user.stay_left = False, self._stay(motion, u3)

    def _stay(self, motion: Attraction, u: float) -> int:
        return stay_steps(motion, self.scenario.step_s, u)

    def _live_in_the_city(self, user: User, motion: Attraction) -> None:
        luck = self._uniforms(self.t, user.index, MOBILITY)
        if user.on_the_way:
            if self._reaches_target(user):
                user.on_the_way, user.stay_left = False, self._stay(motion, luck[3])
            return
        user.stay_left -= 1
        if user.stay_left == 0:
            self._decide(user, motion, luck)

    def _decide(self, user: User, motion: Attraction, luck: Sequence[float]) -> None:
        here, elsewhere = user.place, len(self.stations)
        going = decision(here, motion.far_probability, self.city.pulls(), self.city.means, self.neighbours, luck)
        user.place = here if going is None else going
        if user.place == elsewhere:
            if user.present:
                self._leave(user)
            user.stay_left = self._stay(motion, luck[3])
        elif here == elsewhere:
            self._arrive_in_zone(user, motion, self.t + 1)
        else:
            u0, u1, u2, _ = self._uniforms(self.t, user.index, SETTING_OUT)
            user.target = place_of_zone(self.scenario.stations[user.place], motion, self.scenario.map, u0, u1)
            user.speed = motion.speed_min_m_s + u2 * (motion.speed_max_m_s - motion.speed_min_m_s)
            user.on_the_way = True

    # --- failures ----------------------------------------------------------------------------------------------------

    def _update_stations(self, step: int) -> None:
        """Which stations are up in a step; the queues of those that go down are lost."""
        for z, station in enumerate(self.stations):
            if step > 0:
                self._break_or_repair(z, station, step)
            time_s = step * self.scenario.step_s
            out = any(start <= time_s < end for start, end in station.settings.outages_s)
            was_up, station.up = station.up, not (station.broken or station.closed or out)
            if was_up and not station.up:
                for queue in station.queues.values():
                    while queue:
                        self._lose(queue.popleft(), "failed", z)

    def _break_or_repair(self, z: int, station: Station, step: int) -> None:
        failures = self.scenario.failures
        if failures is not None:
            mean_s = failures.mean_repair_s if station.broken else failures.mean_between_s
            if self._uniforms(step, z, FAILURE)[0] < self.scenario.step_s / mean_s:
                station.broken = not station.broken

    # --- what is conserved -------------------------------------------------------------------------------------------

    def check_conservation(self) -> None:
        """Walk all queues and assert that jobs, Mbit and Gcycle generated so far are all accounted for."""
        queues = [d.queue for d in [*self.users, *self.sensors]]
        queues += [station.queues[kind] for station in self.stations for kind in KINDS]
        waiting = sorted((job for queue in queues for job in queue), key=lambda job: job.number)
        assert [job.number for job in waiting] == [job.number for job in self.jobs if job.outcome == "waiting"]
        for kind in KINDS:
            self._check_kind(kind, [job for job in waiting if job.kind == kind])

    def _check_kind(self, kind: str, waiting: list[Job]) -> None:
        past = self.history
        ever = [job for job in self.jobs if job.kind == kind]
        done, lost = past[f"{kind}s_completed"], past[f"{kind}s_lost"]
        assert past[f"{kind}s_generated"] == len(ever) == done + lost + len(waiting), f"{kind}s"
        for unit, size, left, through in (
            ("mbit", "data_mbit", "data_left", "sent"),
            ("gcycle", "compute_gcycle", "compute_left", "processed"),
        ):
            generated, unserved = past[f"{kind}_{unit}_generated"], sum(getattr(job, left) for job in waiting)
            served, gone = past[f"{kind}_{unit}_{through}"], past[f"{kind}_{unit}_lost"]
            assert abs(generated - sum(getattr(job, size) for job in ever)) < 1e-6, f"{unit} of {kind}s generated"
            assert abs(generated - served - gone - unserved) < 1e-6, f"{unit} of {kind}s"
