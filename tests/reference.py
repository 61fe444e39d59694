"""The world of `docs/world.md` a second time: one environment of plain Python objects, slow and obvious.

Written from that page alone; it shares nothing with the compiled world but the random words, the Poisson tables
(whose look-up is its own) and the settings. Numbers of steps are ints, -1 where something has not happened.
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

import numpy as np

from metalore.scenario import (
    Bernoulli,
    Burst,
    Churn,
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
    TRAFFIC,
    poisson_table,
    words,
)

EPS = 1e-9
KINDS = ("request", "update")
OUTCOMES = ("waiting", "completed", "lost_device", "lost_station", "left")
REWARD_TERMS = ("synchronization", "delay", "throughput", "loss", "served_age", "twin_age")

_OF_A_KIND = (
    "{}s_generated {}s_sent {}s_completed {}s_lost {}_mbit_generated {}_mbit_sent {}_mbit_lost {}_gcycle_generated "
    "{}_gcycle_processed {}_gcycle_lost {}_device_wait {}_transmission {}_server_wait {}_processing"
)
METRICS = (
    *(name.format(kind) for kind in KINDS for name in _OF_A_KIND.split()),
    *("requests_late", "requests_synchronized", "aosi", "signed_gap", "data_age", "peaks", "peak_age", "twin_age"),
)


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
    station: int = -1
    efficiency: float = 0.0
    average_mbps: float = 0.0
    delivered_mbit: float = 0.0
    queue: deque[Job] = field(default_factory=deque)


@dataclass(eq=False)
class User(Device):
    """Someone who asks. `memory` is what a mobility function of the caller keeps."""

    present: bool = True
    arrived: int = 0
    target: tuple[float, float] = (0.0, 0.0)
    speed: float = 0.0
    pause_left: int = 0
    heading: float = 0.0
    mean_heading: float = 0.0
    memory: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


@dataclass(eq=False)
class Sensor(Device):
    """Something that reports. `newest` is the creation step of its newest processed update."""

    period: float = 1.0
    phase: float = 0.0
    newest: int = -1


@dataclass(eq=False)
class Station:
    """A base station and its server."""

    settings: StationSettings
    queues: dict[str, deque[Job]] = field(default_factory=lambda: {kind: deque() for kind in KINDS})
    attached: dict[str, list[Device]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    pointers: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))


def uniform(word: int) -> float:
    """A 32-bit word as a number in (0, 1)."""
    return (word + 0.5) / 2**32


def normal_pair(u0: float, u1: float) -> tuple[float, float]:
    """Two standard normal numbers (Box-Muller)."""
    radius = math.sqrt(-2 * math.log(u0))
    return radius * math.cos(2 * math.pi * u1), radius * math.sin(2 * math.pi * u1)


def squared_distance(a: tuple[float, float], b: tuple[float, float]) -> float:
    """In the plane, in square metres."""
    return (a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1])


def single(value: float) -> float:
    """Rounded to single precision."""
    return float(np.float32(value))


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


def draw_size(size: Size, word: int) -> float:
    """A job's size, rounded to single precision."""
    if size.distribution == "poisson":
        value = float(poisson_draw(size.mean, word))
    elif size.distribution == "constant":
        value = size.mean
    else:
        value = -size.mean * math.log(uniform(word))
    return single(max(value, size.minimum))


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
        self.totals = dict.fromkeys(METRICS, 0.0)
        self.history = dict.fromkeys(METRICS, 0.0)
        self.terms = dict.fromkeys(REWARD_TERMS, 0.0)
        self.stations = [Station(settings) for settings in scenario.stations]
        motion = scenario.users.mobility
        self.trace = read_trace(motion.file) if isinstance(motion, Trace) else {}
        self.users = [self._new_user(k) for k in range(scenario.users.count)]
        self.sensors: list[Sensor] = []
        for n in range(scenario.sensors.count):
            self.sensors.append(self._new_sensor(n))

    def step(self, shares: Sequence[Sequence[float]]) -> dict[str, Any]:
        """Advance by one step. `shares`: (bandwidth_share, compute_share) of requests, per station."""
        self.totals = dict.fromkeys(METRICS, 0.0)
        self.terms = dict.fromkeys(REWARD_TERMS, 0.0)
        self._associate()
        self._generate()
        self._transmit([bandwidth for bandwidth, _ in shares])
        self._compute([compute for _, compute in shares])
        self._age()
        self._move()
        self._reward()
        self.t += 1
        for name, value in self.totals.items():
            self.history[name] += value
        return {**self.totals, "reward": sum(self.terms.values()), "reward_terms": dict(self.terms)}

    def queue_lengths(self) -> list[tuple[int, int]]:
        """(requests, updates) waiting at each station."""
        return [(len(station.queues["request"]), len(station.queues["update"])) for station in self.stations]

    # --- reset -------------------------------------------------------------------------------------------------------

    def _uniforms(self, step: int, device: int, stream: int) -> tuple[float, float, float, float]:
        w0, w1, w2, w3 = words(self.seed, step, device, stream, self.episode)
        return uniform(w0), uniform(w1), uniform(w2), uniform(w3)

    def _new_user(self, k: int) -> User:
        settings = self.scenario.users
        user = User("request", k, settings.height_m, luck=self._uniforms(0, k, LUCK)[0])
        self._arrive(user, 0)
        if isinstance(settings.presence, Churn):
            stay, absence = settings.presence.mean_stay_steps, settings.presence.mean_absence_steps
            user.present = self._uniforms(0, k, PRESENCE + ANOTHER)[0] < stay / (stay + absence)
        return user

    def _arrive(self, user: User, step: int) -> None:
        """A new person with a new place, and the first leg of a walk."""
        user.present, user.arrived = True, step
        user.x, user.y = self._arrival_place(user.index, step)
        user.memory = (0.0, 0.0, 0.0, 0.0)
        user.average_mbps = 0.0
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
        self._attach(sensor)
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
        for station in self.stations:
            station.attached = {kind: [] for kind in KINDS}
        for user in self.users:
            user.station = -1
            if user.present:
                self._attach(user)
        for device in [*self.users, *self.sensors]:
            if device.station >= 0:
                self.stations[device.station].attached[device.kind].append(device)

    def _attach(self, device: Device) -> None:
        indices = range(len(self.stations))
        places = [(station.settings.x_m, station.settings.y_m) for station in self.stations]
        if self.scenario.radio.association == "nearest":
            best = min(indices, key=lambda i: squared_distance(places[i], (device.x, device.y)))
        else:
            best = max(indices, key=lambda i: self._snr(device, self.stations[i].settings))
        snr = self._snr(device, self.stations[best].settings)
        device.station = best if snr > self.scenario.radio.snr_threshold else -1
        device.efficiency = math.log2(1 + snr)

    def _snr(self, device: Device, station: StationSettings) -> float:
        radio = self.scenario.radio
        distance = max(1.0, math.sqrt(squared_distance((station.x_m, station.y_m), (device.x, device.y))))
        if self.channel is not None:
            loss = self.channel(distance, radio.carrier_mhz, station.height_m, device.height_m, device.luck)
        else:
            loss = path_loss_db(radio, distance, station.height_m, device.height_m, device.luck)
        return float(10 ** ((station.tx_dbm - 30 - loss) / 10) / radio.noise_w)

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
        if uniform(w0) < requests.probability * factor(requests.profile, self.t * self.scenario.step_s):
            self._create(user, draw_size(requests.data_mbit, w1), draw_size(requests.compute_gcycle, w2))

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
        self.totals[f"{job.kind}s_generated"] += 1
        self.totals[f"{job.kind}_mbit_generated"] += data_mbit
        self.totals[f"{job.kind}_gcycle_generated"] += compute_gcycle
        limit = self.scenario.buffers.device_jobs
        if limit is not None and len(device.queue) >= limit:
            self._lose(job, "lost_device")
            return
        if job.kind == "request" and self.scenario.pairing == "creation":
            job.sensor = self._nearest_sensor(device)
            job.update_created = self.sensors[job.sensor].newest if job.sensor >= 0 else -1
        device.queue.append(job)

    def _lose(self, job: Job, outcome: str) -> None:
        job.outcome = outcome
        self.totals[f"{job.kind}s_lost"] += 1
        self.totals[f"{job.kind}_mbit_lost"] += job.data_left
        self.totals[f"{job.kind}_gcycle_lost"] += job.compute_left

    def _nearest_sensor(self, user: Device) -> int:
        """Number of the sensor nearest to a user among those in reach, -1 if there is none."""
        reach = self.scenario.sensors.range_m
        distances = [squared_distance((s.x, s.y), (user.x, user.y)) for s in self.sensors]
        near = [n for n, d in enumerate(distances) if reach is None or d <= reach * reach]
        return min(near, key=lambda n: distances[n], default=-1)

    # --- 4. transmit -------------------------------------------------------------------------------------------------

    def _transmit(self, shares: list[float]) -> None:
        parts: dict[int, float] = {}
        for station, share in zip(self.stations, shares, strict=True):
            for kind, part in (("request", share), ("update", 1 - share)):
                parts |= self._divide(station, kind, part * station.settings.bandwidth_hz)
        step_s, window = self.scenario.step_s, self.scenario.radio.average_window_steps
        for device in [*self.users, *self.sensors]:
            if device.station >= 0:
                device.delivered_mbit = 0.0
                self._send(device, parts[device.index] * device.efficiency / 1e6 * step_s)
                device.average_mbps += (device.delivered_mbit / step_s - device.average_mbps) / window

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
        while device.queue and budget > EPS:
            job = device.queue[0]
            if job.tx_start < 0:
                job.tx_start = self.t
            done = job.data_left <= budget + EPS
            sent = job.data_left if done else budget
            budget = budget - sent if done else 0.0
            job.data_left = 0.0 if done else job.data_left - sent
            device.delivered_mbit += sent
            self.totals[f"{job.kind}_mbit_sent"] += sent
            if done:
                device.queue.popleft()
                self._enter(job, device.station)

    def _enter(self, job: Job, index: int) -> None:
        """A job has left its device; it joins the station's queue if there is room."""
        job.tx_end = self.t
        self.totals[f"{job.kind}s_sent"] += 1
        job.station = index
        if self._has_room(self.stations[index], job.kind):
            self.stations[index].queues[job.kind].append(job)
        else:
            self._lose(job, "lost_station")

    def _has_room(self, station: Station, kind: str) -> bool:
        limit, memory = self.scenario.buffers.station_jobs, self.scenario.memory
        if limit is not None and len(station.queues[kind]) >= limit:
            return False
        jobs, users = sum(map(len, station.queues.values())), len(station.attached["request"])
        needed = memory.base_mb + memory.per_user_mb * users + memory.per_job_mb * (jobs + 1)
        return station.settings.memory_mb is None or needed <= station.settings.memory_mb

    # --- 5. compute --------------------------------------------------------------------------------------------------

    def _compute(self, shares: list[float]) -> None:
        step_s = self.scenario.step_s
        for station, share in zip(self.stations, shares, strict=True):
            self._serve(station.queues["request"], share * station.settings.compute_gcycle_s * step_s)
        for station, share in zip(self.stations, shares, strict=True):
            self._serve(station.queues["update"], (1 - share) * station.settings.compute_gcycle_s * step_s)

    def _serve(self, queue: deque[Job], budget: float) -> None:
        while queue and budget > EPS:
            job = queue[0]
            if self._nobody_waits(job):
                self._lose(queue.popleft(), "left")
                continue
            if job.proc_start < 0 and not self._start(job):
                return
            done = job.compute_left <= budget + EPS
            work = job.compute_left if done else budget
            budget = budget - work if done else 0.0
            job.compute_left = 0.0 if done else job.compute_left - work
            self.totals[f"{job.kind}_gcycle_processed"] += work
            if done:
                self._complete(queue.popleft())

    def _nobody_waits(self, job: Job) -> bool:
        if job.kind == "update":
            return False
        user = self.users[job.device]
        return not user.present or user.arrived > job.created

    def _start(self, job: Job) -> bool:
        """Begin to process a job; False if it blocks, as its sensor has no processed update yet."""
        if job.kind == "request":
            fixed = self.scenario.pairing == "creation"
            sensor = job.sensor if fixed else self._nearest_sensor(self.users[job.device])
            update = job.update_created
            if sensor >= 0 and update < 0:
                update = self.sensors[sensor].newest
                if update < 0:
                    return False
            job.sensor, job.update_created = sensor, update
        job.proc_start = self.t
        return True

    def _complete(self, job: Job) -> None:
        job.completed, job.outcome = self.t, "completed"
        self.totals[f"{job.kind}s_completed"] += 1
        self.totals[f"{job.kind}_device_wait"] += job.tx_start - job.created
        self.totals[f"{job.kind}_transmission"] += job.tx_end - job.tx_start
        self.totals[f"{job.kind}_server_wait"] += job.proc_start - job.tx_end
        self.totals[f"{job.kind}_processing"] += job.completed - job.proc_start
        if job.kind == "request":
            self._answer(job)
        else:
            self._refresh(self.sensors[job.device - len(self.users)], job)

    def _refresh(self, sensor: Sensor, update: Job) -> None:
        """A processed update becomes its sensor's newest, if it is newer."""
        if update.created > sensor.newest:
            self.totals["peaks"] += 1
            self.totals["peak_age"] += self.t - max(sensor.newest, 0)
            sensor.newest = update.created

    # --- 6. ages and 7. reward ---------------------------------------------------------------------------------------

    def _answer(self, job: Job) -> None:
        """A completed request: the last word on its sensor, its ages, and what it earns."""
        reward, step_s = self.scenario.reward, self.scenario.step_s
        if self.scenario.pairing == "completion":
            nearest = self._nearest_sensor(self.users[job.device])
            if nearest >= 0 and self.sensors[nearest].newest >= 0:
                job.sensor, job.update_created = nearest, self.sensors[nearest].newest
        self.terms["throughput"] += reward.throughput
        if (job.completed - job.created) * step_s > reward.delay_threshold_s:
            self.totals["requests_late"] += 1
            self.terms["delay"] -= reward.delay_penalty
        if job.sensor >= 0:
            gap, data_age = job.created - job.update_created, job.completed - job.update_created
            self.totals["requests_synchronized"] += 1
            self.totals["aosi"] += abs(gap)
            self.totals["signed_gap"] += gap
            self.totals["data_age"] += data_age
            self.terms["synchronization"] += reward.sync_reward * reward.discount ** (abs(gap) * step_s)
            self.terms["served_age"] -= reward.served_age * data_age * step_s

    def _age(self) -> None:
        """Age at the twin at the end of the step; before its first update, a sensor's twin is of step 0."""
        self.totals["twin_age"] = float(sum(self.t - max(sensor.newest, 0) for sensor in self.sensors))

    def _reward(self) -> None:
        """The terms that are known only when all of the step has happened."""
        reward = self.scenario.reward
        self.terms["loss"] = -reward.loss * (self.totals["requests_lost"] + self.totals["updates_lost"])
        if self.sensors:
            mean_age = self.totals["twin_age"] / len(self.sensors)
            self.terms["twin_age"] = -reward.twin_age * mean_age * self.scenario.step_s

    # --- 8. move -----------------------------------------------------------------------------------------------------

    def _move(self) -> None:
        for user in self.users:
            if user.present:
                self._walk(user)
        presence = self.scenario.users.presence
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
        reach = user.speed * self.scenario.step_s
        distance = math.sqrt(squared_distance(user.target, (user.x, user.y)))
        if distance <= reach:
            user.x, user.y = user.target
            self._new_leg(user, *luck[:3])
            user.pause_left = motion.pause_steps
        else:
            user.x += (user.target[0] - user.x) * reach / distance
            user.y += (user.target[1] - user.y) * reach / distance

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
            user.present = False
            while user.queue:
                self._lose(user.queue.popleft(), "left")
        elif not user.present and u < 1 / churn.mean_absence_steps:
            self._arrive(user, self.t + 1)

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
