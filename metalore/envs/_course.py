"""What a picture tells about a world: the present, read from it, and the course of the episode, collected."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from metalore.world import METRICS, World

POINTS = 256
"""Points a course is drawn with; a longer episode is averaged over bins of steps."""
_FIRST_STRIDE = 16

COURSES = ("bandwidth", "compute", "aori", "aosi", "requests", "updates", "device_requests", "device_updates")

_COLUMN = {name: i for i, name in enumerate(METRICS)}
_LATENCY = [_COLUMN[f"request_{part}"] for part in ("device_wait", "transmission", "server_wait", "processing")]


class Course:
    """Means over bins of steps, for each name in COURSES; as long an episode as you like in the same memory.

    With up to POINTS steps in an episode, a bin is a step. What is NaN in a step does not count in its bin.
    """

    def __init__(self, max_steps: int) -> None:
        self.max_steps = max_steps
        self._sums = np.zeros((len(COURSES), POINTS))
        self._counts = np.zeros((len(COURSES), POINTS), np.int64)
        self.clear()

    def clear(self) -> None:
        """Forget everything: a new episode."""
        self._sums[:] = 0.0
        self._counts[:] = 0
        self.stride = min(max(1, math.ceil(self.max_steps / POINTS)), _FIRST_STRIDE)
        self.t = 0
        self.peaks = dict.fromkeys(COURSES, 0.0)

    @property
    def span(self) -> int:
        """Steps that the time axis covers."""
        return min(self.stride * POINTS, self.max_steps)

    @property
    def bins(self) -> int:
        """Bins that are complete."""
        return self.t // self.stride

    def add(self, t: int, values: Sequence[float]) -> None:
        """Add what step `t` (counted from 1) brought; `values` in the order of COURSES."""
        while t > self.stride * POINTS:
            self._halve()
        self.t = t
        at = (t - 1) // self.stride
        for i, (name, value) in enumerate(zip(COURSES, values, strict=True)):
            if value == value:  # not NaN
                self._sums[i, at] += value
                self._counts[i, at] += 1
                self.peaks[name] = max(self.peaks[name], value)

    def _halve(self) -> None:
        """Join bins in pairs, which makes room for as many again."""
        self.stride *= 2
        for array in (self._sums, self._counts):
            array[:, : POINTS // 2] = array.reshape(len(COURSES), POINTS // 2, 2).sum(axis=2)
            array[:, POINTS // 2 :] = 0

    def value(self, name: str, at: int) -> float:
        """Mean of a course in bin `at`; NaN if it had no value there."""
        i = COURSES.index(name)
        count = self._counts[i, at]
        return float(self._sums[i, at] / count) if count else math.nan


class Watch:
    """Follows one environment of a world through its episodes."""

    def __init__(self, world: World, env: int) -> None:
        self.world, self.env = world, env
        self.course = Course(world.scenario.max_steps)
        self.episode = 0
        self.reward_sum = 0.0  # of the steps looked at
        self.rate_scale = (0.0, 0.0)
        self.largest_age = 0.0
        self._seen: tuple[int, int, int] | None = None

    def look(self) -> None:
        """Take in the present state; looking twice at the same step changes nothing."""
        world, env = self.world, self.env
        now = (int(world.seeds[env]), int(world.episodes[env]), int(world.t[env]))
        if now == self._seen:
            return
        if self._seen is None or now[:2] != self._seen[:2] or now[2] <= self._seen[2]:
            self._begin()
        self._seen = now
        if now[2] == 1:
            self.rate_scale = (0.0, 0.0)  # rates before the first step are a guess
        self.rates = user_rates(world, env)
        self.ages_s = world.sensor_ages[env] * world.scenario.step_s
        self.rate_scale = _extended(self.rate_scale, self.rates)
        self.largest_age = max(self.largest_age, float(self.ages_s.max(initial=0.0)))
        if now[2] > 0:
            self.reward_sum += float(world.reward[env])
            self.course.add(now[2], self._step())

    def _begin(self) -> None:
        self.course.clear()
        self.episode += 1
        self.reward_sum = self.largest_age = 0.0
        self.rate_scale = (0.0, 0.0)

    def _step(self) -> list[float]:
        world, env = self.world, self.env
        shares = world.shares[env].mean(axis=0).tolist()
        queues = world.queue_lengths[env].sum(axis=0).tolist()
        return [*shares, *request_ages_s(world.step_totals[env], world.scenario.step_s), *queues, *self.device_jobs()]

    def device_jobs(self) -> list[int]:
        """Jobs waiting in users' devices and in sensors."""
        counts, users = self.world.devices[self.env]["count"], self.world.scenario.users.count
        return [int(counts[:users].sum()), int(counts[users:].sum())]


def _extended(scale: tuple[float, float], values: np.ndarray) -> tuple[float, float]:
    """The most that nine in ten had in a step, and the most that anyone had: outliers must leave others a colour."""
    if not len(values):
        return scale
    ordered = np.sort(values)
    usual = float(ordered[math.ceil(0.9 * len(ordered)) - 1])
    return max(scale[0], usual), max(scale[1], float(ordered[-1]))


def request_ages_s(totals: np.ndarray, step_s: float) -> tuple[float, float]:
    """Mean AoRI and AoSI in seconds of what `totals` [metrics] counted; NaN where nothing did."""
    completed, synchronized = totals[_COLUMN["requests_completed"]], totals[_COLUMN["requests_synchronized"]]
    aori = float(totals[_LATENCY].sum() / completed * step_s) if completed else math.nan
    aosi = float(totals[_COLUMN["aosi"]] / synchronized * step_s) if synchronized else math.nan
    return aori, aosi


def twin_age_s(world: World, totals: np.ndarray, steps: int) -> float:
    """Mean age at the twin in seconds over sensors and `steps` steps that `totals` [metrics] counted."""
    counted = world.scenario.sensors.count * steps
    return float(totals[_COLUMN["twin_age"]]) / counted * world.scenario.step_s if counted else math.nan


def user_rates(world: World, env: int) -> np.ndarray:
    """Mbit/s that each user could send at in the last step, [users]; 0 for the unattached.

    Spectral efficiency times the user's part of the band for requests. Before the first step: with half of the band
    for requests, divided equally.
    """
    users = world.devices[env, : world.scenario.users.count]
    weight = (users["attached"] != 0).astype(np.float64)
    equal = world.scenario.radio.scheduler == "resource-fair" and world.functions["scheduler"] is None
    if not equal and world.t[env] > 0:
        weight *= world.bodies["weight"][env, : len(users)]
    total = np.bincount(users["station"], weight, world.num_stations)
    band_mhz = world.shares[env, :, 0] * np.array([s.bandwidth_hz for s in world.scenario.stations]) / 1e6
    per_weight = np.divide(band_mhz, total, out=np.zeros(world.num_stations), where=total > 0)
    rates: np.ndarray = weight * per_weight[users["station"]] * users["efficiency"]
    return rates
