"""Zones as queues of work instead of jobs: an interval of a zone in microseconds.

A zone is what :mod:`metalore.world` says, with sums in place of devices: all requests of a step share one slot, which
crosses the air and then the server, first in, first out, in fractions. What a zone has, asks and loses follows the
order of the world's step: arrive, transmit, admit by memory, compute, age. Differently from the world:

- Users are a number. Radio is a rate in Mbit/s that all share; what radio costs an idle zone is the demand's `floor_s`.
- Requests of a step are Poisson, their work exponential and their data Poisson (sums of more than four: normal).
- Updates are a steady stream; the newest of a sensor is on average half its period older than the newest of all.
- What waits for 256 steps is given up and counts as lost.
- Requests that a neighbour serves cross the air in their own zone, and reach the other server at once.

How close it comes is measured by `benchmarks/zones.py` and tested in `tests/fluid/test_against_world.py`.

Axes: `e` environments, `z` zones, `r` resources (cores, MB, Mbit/s).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from metalore.fluid._step import LOAD, OUTCOMES, SIZES, SLOTS, run
from metalore.fluid.demand import Demand, FluidError

STEP_S = 1.0
_COLUMN = {name: i for i, name in enumerate(OUTCOMES)}


@dataclass(frozen=True)
class Split:
    """How bandwidth and compute are split between requests and updates in every step.

    Attributes:
        bandwidth, compute: parts for requests; unset: in proportion to what waits.
    """

    bandwidth: float | None = None
    compute: float | None = None

    def __post_init__(self) -> None:
        for name in ("bandwidth", "compute"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise FluidError(f"the split's {name} is {value}; it is a share in [0, 1], or unset")

    @classmethod
    def read(cls, text: str) -> Split:
        """`backlog-proportional`, or `fixed:0.5,0.5`, as policies are written elsewhere.

        Raises:
            FluidError: another policy; the real world takes any.
        """
        name, _, rest = text.partition(":")
        if text == "backlog-proportional":
            return cls()
        try:
            shares = [float(part) for part in rest.split(",")] if name == "fixed" else []
        except ValueError:
            shares = []
        if len(shares) == 2:
            return cls(*shares)
        raise FluidError(f"the fluid splits by backlog-proportional or fixed:B,C, not {text!r}; the world takes any")


class Outcome(NamedTuple):
    """What came of an interval, [e, z] each; means are NaN where nothing was completed.

    `requests`, `completed`, `lost`, `offloaded` count requests, `waiting` those not done at its end; `latency_ms`,
    `aori_s`, `aosi_s` are means over those completed, `twin_age_s` over steps; `used` [e, z, 4] has the columns of
    :data:`metalore.fluid.USED`; `users` are attached.
    """

    requests: np.ndarray
    completed: np.ndarray
    lost: np.ndarray
    offloaded: np.ndarray
    latency_ms: np.ndarray
    aori_s: np.ndarray
    aosi_s: np.ndarray
    twin_age_s: np.ndarray
    waiting: np.ndarray
    users: np.ndarray
    used: np.ndarray


class FluidZones:
    """A batch of cities, or of single zones, under one demand.

    Args:
        demand: what is asked for.
        num_envs: cities side by side.
        single: each environment is one zone of the demand, chosen at reset, and not all of them.
        split: between requests and updates.
        network_s: what a request's latency grows by if a neighbour serves it.
        neighbours: how many zones a zone may hand requests to.

    Raises:
        FluidError: no environment.

    Attributes:
        row: the interval that comes next, [e].
        zone_of: number in the demand of each environment's zones, [e, z].
    """

    own_demand = False

    def __init__(
        self,
        demand: Demand,
        num_envs: int = 1,
        *,
        single: bool = False,
        split: Split | None = None,
        network_s: float = 0.05,
        neighbours: int = 3,
    ) -> None:
        if num_envs < 1:
            raise FluidError(f"num_envs is {num_envs}; at least 1 is needed")
        self.demand, self.num_envs, self.single, self.network_s = demand, num_envs, single, network_s
        self.num_zones = 1 if single else demand.num_zones
        self.steps = round(demand.interval_s / STEP_S)
        split = split or Split()
        shares = [-1.0 if share is None else share for share in (split.bandwidth, split.compute)]
        self._sizes = np.array(
            [
                demand.update_mbit, demand.update_gcycle, demand.base_mb, demand.per_user_mb, demand.per_job_mb,
                demand.update_period_s / STEP_S, *shares, STEP_S,
            ]
        )  # fmt: skip
        assert len(self._sizes) == len(SIZES)
        self._neighbours, self._weights = np.zeros((1, 1), np.int64), np.zeros((1, 1))
        if not single:
            self._neighbours, self._weights = demand.neighbours(neighbours)
        e, z = num_envs, self.num_zones
        self._rings, self._heads = np.zeros((e, z, 2, SLOTS, 5)), np.zeros((e, z, 2, 2), np.int64)
        self._backlog, self._fresh = np.zeros((e, z, 2, 3)), np.zeros((e, z), np.int64)
        self._t, self._seeds, self._episodes = np.zeros(e, np.int64), np.zeros(e, np.uint64), np.zeros(e, np.int64)
        self._load, self._out = np.zeros((e, z, len(LOAD))), np.zeros((e, z, len(OUTCOMES)))
        self._up, self._nobody = np.ones((e, z), bool), np.zeros((e, z))
        self.row = np.zeros(e, np.int64)
        self.zone_of = np.broadcast_to(np.arange(z), (e, z)).copy()

    def reset(
        self,
        seeds: Sequence[int] | np.ndarray,
        rows: np.ndarray | int = 0,
        zones: np.ndarray | None = None,
        chosen: np.ndarray | None = None,
        episodes: np.ndarray | int = 0,
    ) -> None:
        """Empty zones at the beginning of an interval.

        Args:
            seeds: of the requests drawn, [c], one for each environment that is chosen.
            rows: intervals to begin with, [c] or one for all.
            zones: of single ones, their number in the demand, [c].
            chosen: environments [c]; unset: all.
            episodes: numbers below 2**32 that tell episodes of a seed apart, [c].
        """
        chosen = np.arange(self.num_envs) if chosen is None else np.asarray(chosen)
        for array in (self._rings, self._heads, self._backlog, self._fresh, self._t):
            array[chosen] = 0
        self._seeds[chosen], self._episodes[chosen] = np.asarray(seeds, np.uint64), episodes
        self.row[chosen] = rows
        if zones is not None:
            self.zone_of[chosen] = np.asarray(zones)[:, None]

    def advance(
        self,
        given: np.ndarray,
        *,
        up: np.ndarray | None = None,
        factor: np.ndarray | float = 1.0,
        offload: np.ndarray | None = None,
    ) -> Outcome:
        """Run the next interval of all environments.

        Args:
            given: cores, MB, Mbit/s, [e, z, r].
            up: zones that work, [e, z]; unset: all.
            factor: on requests, [e, z].
            offload: part of new requests that neighbours serve, in [0, 1], [e, z].
        """
        demand, rows = self.demand, np.minimum(self.row, len(self.demand) - 1)[:, None]
        load, where = self._load, (rows, self.zone_of)
        load[..., 0] = demand.requests[where] * factor / self.steps
        load[..., 1], load[..., 2] = demand.request_mbit[where], demand.request_gcycle[where]
        load[..., 3] = demand.updates[self.zone_of] * STEP_S
        load[..., 4], load[..., 5] = demand.users[where], demand.floor_s[where]
        load[..., 6] = self.network_s
        amounts = np.array(given, np.float64)
        amounts[..., 0] *= demand.core_ghz
        up = self._up if up is None else np.ascontiguousarray(up, bool)
        offload = self._nobody if offload is None else np.ascontiguousarray(offload, np.float64)
        self._out[:] = 0.0
        run(
            self._rings.reshape(-1, 5), self._heads.reshape(-1, 2), self._backlog.reshape(-1, 3), _flat(self._fresh),
            self._t, self.steps, _rows(load), self._sizes, _rows(amounts), _flat(up), _flat(offload),
            self._neighbours, self._weights, self._seeds, self._episodes, _flat(self.zone_of), _rows(self._out),
        )  # fmt: skip
        self.row += 1
        return self._outcome(load[..., 4])

    def _outcome(self, users: np.ndarray) -> Outcome:
        out, seconds = self._out, self.demand.interval_s

        def total(name: str) -> np.ndarray:
            return out[..., _COLUMN[name]].copy()

        completed = total("completed")
        done = completed > 1e-9

        def mean(name: str) -> np.ndarray:
            means: np.ndarray = np.divide(total(name), completed, out=np.full(completed.shape, np.nan), where=done)
            return means

        latency_ms = 1000.0 * mean("latency_s")
        used = np.stack(
            [
                total("gcycle") / seconds / self.demand.core_ghz,
                total("resident_mb") / self.steps,
                total("mbit") / seconds,
                latency_ms,
            ],
            axis=-1,
        )
        return Outcome(
            requests=total("requests"),
            completed=completed,
            lost=total("lost"),
            offloaded=total("offloaded"),
            latency_ms=latency_ms,
            aori_s=mean("aori_s"),
            aosi_s=mean("aosi_s"),
            twin_age_s=total("twin_age_s") / self.steps,
            waiting=total("waiting"),
            users=users.copy(),
            used=used,
        )


def _flat(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1)


def _rows(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, array.shape[-1])
