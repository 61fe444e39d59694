"""Demands made by hand, and a slow, obvious fluid: lists of what waits, gone through step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from metalore.fluid import Demand
from metalore.fluid._step import _ask

GIVEN_UP = 256


def demand(
    requests: float | np.ndarray = 0.0,
    updates: float = 0.0,
    *,
    intervals: int = 4,
    zones: int = 1,
    interval_s: float = 60.0,
    mbit: float = 4.0,
    gcycle: float = 0.6,
    users: float = 10.0,
    floor_s: float = 0.0,
    **more: Any,
) -> Demand:
    """The same in every interval and zone."""
    shape = (intervals, zones)
    filled = {
        name: np.broadcast_to(np.asarray(value, float), shape).copy()
        for name, value in {
            "users": users, "requests": requests, "request_mbit": mbit, "request_gcycle": gcycle, "floor_s": floor_s,
            "announced": 1.0,
        }.items()
    }  # fmt: skip
    return Demand(
        zones=tuple(f"zone-{z}" for z in range(zones)),
        positions=np.arange(zones)[:, None] * np.array([[100.0, 0.0]]),
        interval_s=interval_s,
        start_s=0.0,
        updates=np.full(zones, updates),
        update_mbit=3.0,
        update_gcycle=0.3,
        update_period_s=10.0,
        **{"used": np.full((*shape, 4), 1.0), **filled, **more},
    )


@dataclass
class Jobs:
    """Those of a zone and a step."""

    created: int
    at_devices: float = 0.0
    mbit: float = 0.0
    gcycle_at_devices: float = 0.0
    at_server: float = 0.0
    gcycle: float = 0.0

    @property
    def number(self) -> float:
        return self.at_devices + self.at_server


class SlowZones:
    """One environment of :class:`metalore.fluid.FluidZones`."""

    def __init__(self, demand: Demand, split: tuple[float | None, float | None], network_s: float, seed: int) -> None:
        self.demand, self.split, self.network_s, self.seed = demand, split, network_s, seed
        zones = range(demand.num_zones)
        self.requests: list[list[Jobs]] = [[] for _ in zones]
        self.updates: list[list[Jobs]] = [[] for _ in zones]
        self.fresh = [0 for _ in zones]
        self.t = 0

    def advance(self, row: int, given: np.ndarray, up: np.ndarray, factor: np.ndarray, offload: np.ndarray) -> dict:
        demand, zones = self.demand, range(self.demand.num_zones)
        names = "requests completed lost offloaded latency aori aosi gcycle mbit resident twin"
        out = {name: np.zeros(len(zones)) for name in names.split()}
        for z in zones:
            if not up[z]:
                out["lost"][z] += sum(jobs.number for jobs in self.requests[z])
                self.requests[z], self.updates[z] = [], []
        steps = round(demand.interval_s)
        for _ in range(steps):
            shares = [self._begin(z, out) for z in zones]
            for z in zones:
                self._ask(z, row, steps, up, factor, offload, out)
            for z in zones:
                if up[z]:
                    self._serve(z, row, given[z], shares[z], out)
                out["twin"][z] += self.t - self.fresh[z] + 4.5
            self.t += 1
        out["waiting"] = np.array([sum(jobs.number for jobs in self.requests[z]) for z in zones])
        return out

    def _begin(self, z: int, out: dict) -> tuple[float, float]:
        for queue in (self.requests, self.updates):
            old = [jobs for jobs in queue[z] if jobs.created == self.t - GIVEN_UP]
            if queue is self.requests:
                out["lost"][z] += sum(jobs.number for jobs in old)
            queue[z] = [jobs for jobs in queue[z] if jobs.created > self.t - GIVEN_UP]
        band = share(self.split[0], sum(j.mbit for j in self.requests[z]), sum(j.mbit for j in self.updates[z]))
        compute = share(self.split[1], sum(j.gcycle for j in self.requests[z]), sum(j.gcycle for j in self.updates[z]))
        return band, compute

    def _new(self, z: int) -> Jobs:
        if not self.requests[z] or self.requests[z][-1].created != self.t:
            self.requests[z].append(Jobs(self.t))
        return self.requests[z][-1]

    def _ask(self, z: int, row: int, steps: int, up: Any, factor: Any, offload: Any, out: dict) -> None:
        demand = self.demand
        jobs, mbit, gcycle = _ask(
            self.t, demand.requests[row, z] * factor[z] / steps, demand.request_mbit[row, z],
            demand.request_gcycle[row, z], np.uint64(self.seed), z, 0,
        )  # fmt: skip
        out["requests"][z] += jobs
        if not up[z]:
            out["lost"][z] += jobs
            return
        stays = 1.0
        if offload[z] > 0 and jobs > 0:
            neighbours, weights = demand.neighbours(3)
            for other, weight in zip(neighbours[z], weights[z], strict=True):
                if up[other] and weight > 0:
                    part = offload[z] * weight
                    there = self._new(other)
                    there.at_devices += part * jobs
                    there.gcycle_at_devices += part * gcycle
                    out["latency"][other] += part * jobs * self.network_s
                    out["offloaded"][z] += part * jobs
                    stays -= part
        here = self._new(z)
        here.at_devices += stays * jobs
        here.gcycle_at_devices += stays * gcycle
        here.mbit += mbit

    def _serve(self, z: int, row: int, given: np.ndarray, shares: tuple[float, float], out: dict) -> None:
        demand = self.demand
        rate = demand.updates[z]
        self.updates[z].append(Jobs(self.t, rate, rate * demand.update_mbit, rate * demand.update_gcycle))
        users_mb = demand.base_mb + demand.per_user_mb * demand.users[row, z]
        already = sum(jobs.at_server for jobs in self.requests[z])
        on_air = 0.0
        for queue, part in ((self.requests[z], shares[0]), (self.updates[z], 1 - shares[0])):
            budget = whole = part * given[2]
            arrived = parts = 0.0
            for jobs in queue:
                done = part_of(jobs.mbit, budget)
                here = sum(j.at_server for j in self.requests[z]) + sum(j.at_server for j in self.updates[z])
                coming = done * jobs.at_devices
                room = (given[1] - users_mb) / demand.per_job_mb - here
                kept = min(coming, room) if room > 1e-9 else 0.0
                budget = max(budget - done * jobs.mbit, 0.0)
                out["mbit"][z] += done * jobs.mbit
                if coming > 0:
                    jobs.gcycle += done * jobs.gcycle_at_devices * kept / coming
                    jobs.at_server += kept
                    parts += kept * (whole - budget) / whole if whole > 0 else 0.0
                if queue is self.requests[z]:
                    out["lost"][z] += coming - kept
                arrived += kept
                jobs.mbit *= 1 - done
                jobs.at_devices *= 1 - done
                jobs.gcycle_at_devices *= 1 - done
                if done < 1:
                    break
            if queue is self.requests[z] and arrived > 0:
                on_air = parts / arrived
        for queue, part in ((self.requests[z], shares[1]), (self.updates[z], 1 - shares[1])):
            self._process(z, row, queue, part * given[0] * demand.core_ghz, already, on_air, out)
        self.requests[z] = [jobs for jobs in self.requests[z] if jobs.number > 0]
        self.updates[z] = [jobs for jobs in self.updates[z] if jobs.number > 0]
        here = sum(j.at_server for j in self.requests[z]) + sum(j.at_server for j in self.updates[z])
        out["resident"][z] += users_mb + demand.per_job_mb * here

    def _process(self, z: int, row: int, queue: Any, budget: float, already: float, on_air: float, out: dict) -> None:
        done = number = latency = ages = 0.0
        newest = self.fresh[z]
        for jobs in queue:
            if jobs.at_server > 0:
                part = part_of(jobs.gcycle, budget - done)
                if part <= 0:
                    break
                until = done + 0.5 * part * jobs.gcycle + 0.5 * jobs.gcycle / jobs.at_server
                number += part * jobs.at_server
                ages += part * jobs.at_server * (self.t - jobs.created)
                latency += part * jobs.at_server * (self.t - jobs.created + (until / budget if budget > 0 else 1.0))
                done += part * jobs.gcycle
                newest = max(newest, jobs.created) if part == 1 else newest
                jobs.at_server *= 1 - part
                jobs.gcycle *= 1 - part
                if part < 1:
                    break
            if jobs.at_devices > 0:
                break
        out["gcycle"][z] += done
        if queue is self.updates[z]:
            self.fresh[z] = newest
        elif number > 0:
            latency += max(number - already, 0.0) * on_air
            out["completed"][z] += number
            out["latency"][z] += latency + number * self.demand.floor_s[row, z]
            out["aori"][z] += ages + number * self.demand.floor_s[row, z]
            out["aosi"][z] += number * abs(self.t - ages / number - self.fresh[z] + 4.5)


def part_of(waiting: float, budget: float) -> float:
    """That a budget is enough for."""
    if waiting <= budget + 1e-9:
        return 1.0
    return budget / waiting if budget > 1e-9 else 0.0


def share(fixed: float | None, requests: float, updates: float) -> float:
    """Of requests."""
    if fixed is not None:
        return fixed
    return requests / (requests + updates) if requests + updates > 1e-9 else 0.5
