"""The compiled part: zones as two queues in a row, for requests and for updates, step by step.

The jobs of a step share a slot of a ring. It holds what they still have before them, as sums; jobs leave it in
fractions. Arrays are flat, and what belongs to a zone is found by its number among all zones of all environments, `n`;
to a kind of jobs (:data:`REQUEST`, :data:`UPDATE`) of a zone by its queue, `q` = 2 n + kind; to the step `t` of a queue
by its slot. Compiled code then takes no slices, each of which would count references.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np

from metalore.world.jit import cached_njit, njit
from metalore.world.random import normal_pair, philox, uniform

REQUEST, UPDATE = range(2)
AIR_JOBS, AIR_MBIT, AIR_GCYCLE, IN_JOBS, IN_GCYCLE = range(5)
"""Of a slot: jobs at devices, their data and work; jobs at the server, their work."""
SLOTS = 256
"""Steps after which what still waits is given up."""
AIR_HEAD, IN_HEAD = range(2)
MBIT, GCYCLE, JOBS = range(3)
"""Of a queue's backlog: data in the air, work and jobs at the server."""

CPU, MEMORY, BANDWIDTH = range(3)
OUTCOMES = (
    "requests",
    "completed",
    "lost",
    "latency_s",
    "aori_s",
    "aosi_s",
    "gcycle",
    "mbit",
    "resident_mb",
    "twin_age_s",
    "offloaded",
)
"""Sums over an interval's steps; latency and ages over completed requests."""
_REQUESTS, _COMPLETED, _LOST, _LATENCY, _AORI, _AOSI, _GCYCLE, _MBIT, _RESIDENT, _TWIN, _OFFLOADED = range(
    len(OUTCOMES)
)

LOAD = ("requests", "request_mbit", "request_gcycle", "updates", "users", "floor_s", "network_s")
"""Of a zone in an interval: requests per step, data and work of one, updates per step, attached users, the latency that
no size avoids, and what a request adds that a neighbour serves."""
_RATE, _DATA, _WORK, _UPDATES, _USERS, _FLOOR, _NETWORK = range(len(LOAD))

SIZES = ("update_mbit", "update_gcycle", "base_mb", "per_user_mb", "per_job_mb", "period_steps", "bandwidth_share",
         "compute_share", "step_s")  # fmt: skip
"""The same for all zones; shares below 0: in proportion to what waits."""
_U_DATA, _U_WORK, _BASE, _PER_USER, _PER_JOB, _PERIOD, _BAND_SHARE, _COMPUTE_SHARE, _STEP = range(len(SIZES))

_STREAM = 64  # far from the streams of the world
_EXACT = 4  # so many exponential sizes are drawn one by one; more are nearly normal
_SOURCES = [Path(__file__), *sorted((Path(__file__).parents[1] / "world").glob("random.py"))]
_DIGEST = int(hashlib.sha256(b"".join(p.read_bytes() for p in _SOURCES)).hexdigest()[:12], 16)


@njit
def _poisson(mean: Any, u: Any) -> Any:
    """By inversion; above 30 as a rounded normal number."""
    if mean <= 0.0:
        return 0.0
    if mean > 30.0:
        # the quantile of a logistic distribution of that variance: close, and in one line
        return max(0.0, np.rint(mean + math.sqrt(3.0 * mean) / math.pi * math.log(u / (1.0 - u))))
    term = math.exp(-mean)
    total, n = term, 0.0
    while u > total and n < 200.0:
        n += 1.0
        term *= mean / n
        total += term
    return n


@njit
def _work(jobs: Any, mean: Any, normal: Any, seed: Any, step: Any, zone: Any, episode: Any) -> Any:
    """Sum of so many exponential sizes."""
    if jobs > _EXACT:
        return max(0.1 * jobs, jobs + math.sqrt(jobs) * normal) * mean
    w0, w1, w2, w3 = philox(seed, step, zone, _STREAM + 1, episode)
    total = -math.log(uniform(w0))
    if jobs > 1.0:
        total -= math.log(uniform(w1))
    if jobs > 2.0:
        total -= math.log(uniform(w2))
    if jobs > 3.0:
        total -= math.log(uniform(w3))
    return total * mean


@njit
def _slot(q: Any, t: Any) -> Any:
    return q * SLOTS + t % SLOTS


@njit
def _clear(ring: Any, slot: Any) -> Any:
    """Empty a slot; jobs that still were in it."""
    left = ring[slot, AIR_JOBS] + ring[slot, IN_JOBS]
    for i in range(5):
        ring[slot, i] = 0.0
    return left


@njit
def _send(ring: Any, head: Any, q: Any, t: Any, budget: Any, room: Any) -> Any:
    """Data over the air, oldest first; Mbit sent, jobs that arrived, those that found no room, and the work brought."""
    sent, arrived, refused, brought = 0.0, 0.0, 0.0, 0.0
    while head[q, AIR_HEAD] <= t:
        slot = _slot(q, head[q, AIR_HEAD])
        waiting, jobs = ring[slot, AIR_MBIT], ring[slot, AIR_JOBS]
        part = 1.0 if waiting <= budget else budget / waiting
        if jobs > 0.0:
            jobs *= part
            admitted = min(jobs, max(room - arrived, 0.0))
            work = part * ring[slot, AIR_GCYCLE]
            kept = work * (admitted / jobs) if jobs > 0.0 else 0.0
            ring[slot, IN_JOBS] += admitted
            ring[slot, IN_GCYCLE] += kept
            ring[slot, AIR_JOBS] -= jobs
            ring[slot, AIR_GCYCLE] -= work
            brought += kept
            arrived += admitted
            refused += jobs - admitted
        sent += part * waiting
        budget -= part * waiting
        if part < 1.0:
            ring[slot, AIR_MBIT] -= part * waiting
            break
        ring[slot, AIR_JOBS] = ring[slot, AIR_MBIT] = ring[slot, AIR_GCYCLE] = 0.0
        head[q, AIR_HEAD] += 1
    return sent, arrived, refused, brought


@njit
def _process(ring: Any, head: Any, q: Any, t: Any, budget: Any) -> Any:
    """Work at the server, oldest first.

    Gcycle and jobs done; these jobs' latencies in steps, with the part of the step in which they are done, and their
    ages in whole steps, both summed; and the step in which the newest of them were created.
    """
    done, jobs_done, latencies, ages, newest = 0.0, 0.0, 0.0, 0.0, -1
    while head[q, IN_HEAD] <= t:
        created = head[q, IN_HEAD]
        slot = _slot(q, created)
        jobs = ring[slot, IN_JOBS]
        if jobs > 0.0:
            waiting, left = ring[slot, IN_GCYCLE], budget - done
            part = 1.0 if waiting <= left else left / waiting
            if part <= 0.0:
                break
            jobs *= part
            work = part * waiting
            ages += jobs * (t - created)
            latencies += jobs * (t - created + ((done + 0.5 * work) / budget if budget > 0.0 else 1.0))
            ring[slot, IN_JOBS] -= jobs
            ring[slot, IN_GCYCLE] -= work
            done += work
            jobs_done += jobs
            newest = created
            if part < 1.0:
                break
            ring[slot, IN_JOBS] = ring[slot, IN_GCYCLE] = 0.0
        if created >= head[q, AIR_HEAD]:
            break  # the rest of it is still in the air
        head[q, IN_HEAD] += 1
    return done, jobs_done, latencies, ages, newest


@njit
def _share(fixed: Any, requests: Any, updates: Any) -> Any:
    if fixed >= 0.0:
        return fixed
    waiting = requests + updates
    return requests / waiting if waiting > 0.0 else 0.5


@njit
def _turn(ring: Any, head: Any, backlog: Any, n: Any, t: Any, sizes: Any, out: Any) -> Any:
    """Give up what waited since the slot of this step was last used; the share of the band for requests."""
    for kind in range(2):
        q = 2 * n + kind
        slot = _slot(q, t)
        backlog[q, MBIT] -= ring[slot, AIR_MBIT]
        backlog[q, GCYCLE] -= ring[slot, IN_GCYCLE]
        backlog[q, JOBS] -= ring[slot, IN_JOBS]
        left = _clear(ring, slot)
        out[n, _LOST] += left if kind == REQUEST else 0.0
        for h in range(2):
            head[q, h] = max(head[q, h], t - SLOTS + 1)
    return _share(sizes[_BAND_SHARE], backlog[2 * n, MBIT], backlog[2 * n + 1, MBIT])


@njit
def _ask(t: Any, rate: Any, data_mean: Any, work_mean: Any, seed: Any, zone: Any, episode: Any) -> Any:
    """New requests of a zone, their data and work."""
    w0, w1, w2, _ = philox(seed, t, zone, _STREAM, episode)
    jobs = _poisson(rate, uniform(w0))
    if jobs == 0.0:
        return 0.0, 0.0, 0.0
    data, work = normal_pair(uniform(w1), uniform(w2))
    mbit = max(0.1 * jobs, jobs + math.sqrt(jobs / max(data_mean, 1e-9)) * data) * data_mean
    return jobs, mbit, _work(jobs, work_mean, work, seed, t, zone, episode)


@njit
def _take(ring: Any, backlog: Any, n: Any, t: Any, jobs: Any, mbit: Any, gcycle: Any, up: Any, out: Any) -> None:
    """New requests wait at their devices, or are lost where the station is down."""
    if not up:
        out[n, _LOST] += jobs
        return
    slot = _slot(2 * n, t)
    ring[slot, AIR_JOBS] += jobs
    ring[slot, AIR_GCYCLE] += gcycle
    ring[slot, AIR_MBIT] += mbit
    backlog[2 * n, MBIT] += mbit


@njit
def _serve(ring: Any, head: Any, backlog: Any, fresh: Any, n: Any, t: Any, load: Any, sizes: Any, given: Any, up: Any,
           share: Any, out: Any) -> None:  # fmt: skip
    """One step of a zone after requests have come."""
    step_s, half_period = sizes[_STEP], 0.5 * (sizes[_PERIOD] - 1.0)
    r, u = 2 * n, 2 * n + 1
    if not up:
        for h in range(2):
            head[r, h] = head[u, h] = t + 1
        out[n, _TWIN] += step_s * (t - fresh[n] + half_period)
        return
    _report(ring, backlog, u, t, load[n, _UPDATES], sizes)
    users_mb = sizes[_BASE] + sizes[_PER_USER] * load[n, _USERS]
    for q in range(r, u + 1):
        budget = (share if q == r else 1.0 - share) * given[n, BANDWIDTH] * step_s
        room = max((given[n, MEMORY] - users_mb) / sizes[_PER_JOB] - backlog[r, JOBS] - backlog[u, JOBS], 0.0)
        sent, arrived, refused, brought = _send(ring, head, q, t, budget, room)
        backlog[q, MBIT] = max(backlog[q, MBIT] - sent, 0.0)
        backlog[q, GCYCLE] += brought
        backlog[q, JOBS] += arrived
        out[n, _MBIT] += sent
        out[n, _LOST] += refused if q == r else 0.0
    out[n, _RESIDENT] += users_mb + sizes[_PER_JOB] * (backlog[r, JOBS] + backlog[u, JOBS])
    part = _share(sizes[_COMPUTE_SHARE], backlog[r, GCYCLE], backlog[u, GCYCLE])
    for q in range(r, u + 1):
        budget = (part if q == r else 1.0 - part) * given[n, CPU] * step_s
        done, jobs, latencies, ages, newest = _process(ring, head, q, t, budget)
        backlog[q, GCYCLE] = max(backlog[q, GCYCLE] - done, 0.0)
        backlog[q, JOBS] = max(backlog[q, JOBS] - jobs, 0.0)
        out[n, _GCYCLE] += done
        if q == u:
            fresh[n] = max(fresh[n], newest)
        elif jobs > 0.0:
            out[n, _COMPLETED] += jobs
            out[n, _LATENCY] += latencies * step_s + jobs * load[n, _FLOOR]
            out[n, _AORI] += ages * step_s + jobs * load[n, _FLOOR]
            out[n, _AOSI] += jobs * step_s * abs(t - ages / jobs - fresh[n] + half_period)
    out[n, _TWIN] += step_s * (t - fresh[n] + half_period)


@njit
def _hand_over(ring: Any, up: Any, n: Any, first: Any, zone: Any, t: Any, jobs: Any, gcycle: Any, part: Any,
               network_s: Any, neighbours: Any, weights: Any, out: Any) -> Any:  # fmt: skip
    """Give part of a zone's new requests to its neighbours' servers; the part that somebody took."""
    moved = 0.0
    for i in range(neighbours.shape[1]):
        other, share = first + neighbours[zone, i], part * weights[zone, i]
        if share > 0.0 and up[other]:
            slot = _slot(2 * other, t)
            ring[slot, AIR_JOBS] += share * jobs
            ring[slot, AIR_GCYCLE] += share * gcycle
            out[other, _LATENCY] += share * jobs * network_s
            moved += share
    out[n, _OFFLOADED] += moved * jobs
    return moved


@njit
def _report(ring: Any, backlog: Any, q: Any, t: Any, updates: Any, sizes: Any) -> None:
    """New updates of a zone's sensors: a steady stream."""
    slot = _slot(q, t)
    ring[slot, AIR_JOBS] = updates
    ring[slot, AIR_MBIT] = updates * sizes[_U_DATA]
    ring[slot, AIR_GCYCLE] = updates * sizes[_U_WORK]
    backlog[q, MBIT] += updates * sizes[_U_DATA]


@njit
def _lose_all(ring: Any, head: Any, backlog: Any, n: Any, t: Any, out: Any) -> None:
    """What a station has that is down is lost."""
    for kind in range(2):
        q = 2 * n + kind
        for slot in range(q * SLOTS, (q + 1) * SLOTS):
            left = _clear(ring, slot)
            out[n, _LOST] += left if kind == REQUEST else 0.0
        head[q, AIR_HEAD] = head[q, IN_HEAD] = t
        backlog[q, MBIT] = backlog[q, GCYCLE] = backlog[q, JOBS] = 0.0


@njit
def _run_together(ring: Any, head: Any, backlog: Any, fresh: Any, t0: Any, steps: Any, load: Any, sizes: Any,
                  given: Any, up: Any, offload: Any, neighbours: Any, weights: Any, seed: Any, episode: Any, zone_of: Any,
                  first: Any, some: Any, last: Any, shares: Any, out: Any) -> None:  # fmt: skip
    """An interval of the zones `some` to `last`; `first` is the first one of their environment."""
    for t in range(t0, t0 + steps):
        for n in range(some, last):
            shares[n - some] = _turn(ring, head, backlog, n, t, sizes, out)
        for n in range(some, last):
            jobs, mbit, gcycle = _ask(t, load[n, _RATE], load[n, _DATA], load[n, _WORK], seed, zone_of[n], episode)
            out[n, _REQUESTS] += jobs
            if offload[n] > 0.0 and up[n] and jobs > 0.0:
                moved = _hand_over(ring, up, n, first, n - first, t, jobs, gcycle, offload[n], load[n, _NETWORK],
                                   neighbours, weights, out)  # fmt: skip
                jobs, gcycle = (1.0 - moved) * jobs, (1.0 - moved) * gcycle
            _take(ring, backlog, n, t, jobs, mbit, gcycle, up[n], out)
        for n in range(some, last):
            _serve(ring, head, backlog, fresh, n, t, load, sizes, given, up[n], shares[n - some], out)


def _compiled() -> Any:
    digest = _DIGEST  # part of what the cache on disk is keyed by

    @cached_njit
    def run(ring, head, backlog, fresh, t, steps, load, sizes, given, up, offload, neighbours, weights, seeds,  # type: ignore[no-untyped-def]
            episodes, zone_of, out):  # fmt: skip
        _ = digest
        zones = len(given) // len(t)
        shares = np.empty(zones)
        for e in range(len(t)):
            first = e * zones
            together = 1  # one after the other, since each fits into the fastest memory ...
            for n in range(first, first + zones):
                if not up[n]:
                    _lose_all(ring, head, backlog, n, t[e], out)
                if offload[n] > 0.0:
                    together = zones  # ... unless they serve each other's requests
            for some in range(first, first + zones, together):
                _run_together(
                    ring, head, backlog, fresh, t[e], steps, load, sizes, given, up, offload, neighbours, weights,
                    seeds[e], episodes[e], zone_of, first, some, some + together, shares, out,
                )  # fmt: skip
            t[e] += steps

    return run


run = _compiled()
"""All environments through an interval, one after the other; `out` [n, OUTCOMES] is added to, `t` [e] goes on."""
