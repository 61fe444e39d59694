"""The real world of zones, sized interval by interval: every user walks, every job is known.

Axes: `t` intervals, `z` zones, `r` resources (cores, MB, Mbit/s).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from metalore.autoscale.model import MEMORY, Decision
from metalore.autoscale.simulated import SimulatedCity
from metalore.fluid import USED, Demand, FluidError, Outcome
from metalore.fluid.recorded import measured, reports_of
from metalore.scenario import Scenario, load
from metalore.telemetry.recording import half, quantities_of
from metalore.world import METRICS, World, totals_of

Policy = Callable[[World], np.ndarray]
_PLENTY, _PLENTY_MB = 4.0, 1e6
"""What zones have while their demand is measured: so many times what the scenario gives them, and that memory."""
_INTERVAL_S = 60.0  # of scenarios that are no city
_COLUMNS = (*USED, "active_users", "requests", "completed", "movement_rate")


class WorldZones:
    """One city, or one zone, simulated by :class:`metalore.world.World`; for :class:`metalore.envs.zone_core.ZoneCore`.

    A reset first runs the world through the whole of its scenario's time with plenty of everything: that is its demand.
    An episode then begins in the middle of that run, with whoever is there and whatever waits. Users walk and ask as
    they did; what they get is another matter. A day of one zone takes seconds.

    Args:
        scenario: what is simulated.
        split: between requests and updates: a policy over worlds, what `metalore simulate --policy` takes, or the
            folder of a trained one.

    Attributes:
        demand: of the episode; nothing is asked for before the first reset.
        row: the interval that comes next, [1].
        zone_of: numbers of zones, [1, z].

    Raises:
        FluidError: a scenario shorter than an interval.
    """

    own_demand = True
    num_envs = 1

    def __init__(self, scenario: Scenario | str = "one-zone", split: Policy | str = "backlog-proportional") -> None:
        self.scenario, self._split = load(scenario), split
        policy_of(split, self.scenario)  # refuses what is none
        city = self.scenario.city
        self._interval_s = city.interval_s if city else _INTERVAL_S
        self._steps = round(self._interval_s / self.scenario.step_s)
        self._intervals = self.scenario.max_steps // max(self._steps, 1)
        if self._steps < 1 or self._intervals < 1:
            raise FluidError(
                f"an episode of {self.scenario.name!r} has {self.scenario.max_steps} steps of "
                f"{self.scenario.step_s:g} s, which make no interval of {self._interval_s:g} s"
            )
        self.num_zones = len(self.scenario.stations)
        self._world = World(self.scenario)
        self._city: SimulatedCity | None = None
        self._ages = _TwinAges(half)
        nothing = {name: np.zeros((self._intervals, self.num_zones)) for name in _COLUMNS}
        self.demand = self._measured(nothing, np.zeros(self.num_zones))
        self.row = np.zeros(1, np.int64)
        self.zone_of = np.arange(self.num_zones)[None]
        self._left = np.zeros(self.num_zones)

    # -- episodes ------------------------------------------------------------------------------------------------------

    def reset(
        self,
        seeds: Sequence[int] | np.ndarray,
        rows: np.ndarray | int = 0,
        zones: np.ndarray | None = None,
        chosen: np.ndarray | None = None,
        episodes: np.ndarray | int = 0,
    ) -> None:
        """Begin an episode; see :meth:`metalore.fluid.FluidZones.reset`. `zones` and `chosen` leave no choice here."""
        if chosen is not None and len(chosen) == 0:
            return
        seed, row = int(np.ravel(seeds)[0]), int(np.ravel(rows)[0])
        entropy = np.random.SeedSequence([seed, int(np.ravel(episodes)[0])])
        self._world.reset(int(entropy.generate_state(1, np.uint64)[0]))
        totals, state = self._with_plenty(row)
        columns = quantities_of(totals, self._steps, self.scenario.step_s, self.scenario.core_ghz)
        self.demand = self._measured(columns, reports_of(self._world))
        self._world.restore(state)
        self._ages = _TwinAges(policy_of(self._split, self.scenario))
        whole = totals.sum(axis=0)
        sent = totals_of(whole, "request_mbit_sent") + totals_of(whole, "update_mbit_sent")
        busy = totals_of(whole, "busy_hz") * self.scenario.step_s
        self._city = SimulatedCity(
            self._world,
            self._ages,
            interval_s=self._interval_s,
            efficiency=np.divide(1e6 * sent, busy, out=np.zeros(self.num_zones), where=busy > 0),
        )
        before = totals[:row].sum(axis=0)
        ended = totals_of(before, "requests_completed") + totals_of(before, "requests_lost")
        self.row[:], self._left = row, totals_of(before, "requests_generated") - ended

    def _with_plenty(self, row: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """What was counted [t, z, METRICS] by a world that lacks nothing, and its state before an interval."""
        world, stations = self._world, self.scenario.stations
        world.set_capacity(
            compute_gcycle_s=[_PLENTY * station.compute_gcycle_s for station in stations],
            bandwidth_hz=[_PLENTY * station.bandwidth_hz for station in stations],
            memory_mb=_PLENTY_MB,
        )
        totals, halves = np.zeros((self._intervals, self.num_zones, len(METRICS))), half(world)
        state = {}
        for t in range(self._intervals):
            if t == row:
                state = world.state()
            for _ in range(self._steps):
                world.step(halves)
                totals[t] += world.station_totals[0]
        return totals, state

    def _measured(self, columns: dict[str, np.ndarray], reports: np.ndarray) -> Demand:
        source = f"the world of {self.scenario.name}"
        return measured(self.scenario, columns.__getitem__, reports, self._interval_s, source)

    # -- intervals -----------------------------------------------------------------------------------------------------

    def advance(
        self,
        given: np.ndarray,
        *,
        up: np.ndarray | None = None,
        factor: np.ndarray | float = 1.0,
        offload: np.ndarray | None = None,
    ) -> Outcome:
        """Run the next interval.

        Args:
            given: cores, MB, Mbit/s, [1, z, r]; a zone has no less memory than the twin and one job take.
            up: zones that work, [1, z]; unset: all.
            factor, offload: nothing but 1, and nothing; the scenario says who asks, and where.

        Raises:
            FluidError: requests are to be multiplied or handed over, or no episode has begun.
        """
        if self._city is None:
            raise FluidError("call reset before the first interval")
        if not np.all(np.asarray(factor) == 1.0) or (offload is not None and np.any(offload)):
            raise FluidError("the world draws its own requests, where they are asked; take the fluid for other ones")
        closed = np.zeros(self.num_zones, bool) if up is None else ~np.asarray(up)[0]
        if (closed != self._world.zones["closed"][0].astype(bool)).any():
            self._world.close_stations(closed)
        self._resize(np.array(given[0], np.float64))
        self._ages.begin()
        row = self._city.advance()
        self.row += 1
        return self._outcome(row)

    def _resize(self, amounts: np.ndarray) -> None:
        assert self._city is not None
        memory = self.scenario.memory
        amounts[:, MEMORY] = np.maximum(amounts[:, MEMORY], memory.base_mb + memory.per_job_mb)
        nothing = np.full_like(amounts, np.nan)  # so that everything counts as changed: a Mbit/s takes other Hz by now
        self._city.apply(Decision(self._city.now(), self._city.zones, nothing, amounts, ((),) * self.num_zones))

    def _outcome(self, row: dict[str, np.ndarray]) -> Outcome:
        completed, lost = row["completed"].astype(np.float64), np.asarray(row["lost"], np.float64)
        requests = row["requests"].astype(np.float64)
        self._left = self._left + requests - completed - lost
        values: dict[str, Any] = {
            "requests": requests,
            "completed": completed,
            "lost": lost,
            "offloaded": np.zeros(self.num_zones),
            "latency_ms": row["latency_ms"],
            "aori_s": row["aori_s"],
            "aosi_s": row["aosi_s"],
            "twin_age_s": self._ages.mean() * self.scenario.step_s,
            "waiting": np.maximum(self._left, 0.0),
            "users": row["active_users"],
            "used": np.stack([row[name] for name in USED], axis=-1),
        }
        return Outcome(**{name: value[None] for name, value in values.items()})


class _TwinAges:
    """A policy that notes how old the twin's sensors are, zone by zone, whenever it is asked."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._sum = self._count = np.zeros(1)
        self.begin()

    def begin(self) -> None:
        """An interval."""
        self._sum, self._count = np.zeros(1), np.zeros(1)

    def __call__(self, world: World) -> np.ndarray:
        """What the policy says."""
        stations, zones = world.devices["station"][0, world.scenario.users.count :], world.num_stations
        known = stations >= 0
        self._sum = self._sum + np.bincount(stations[known], world.sensor_ages[0, known], zones)
        self._count = self._count + np.bincount(stations[known], minlength=zones)
        return self._policy(world)

    def mean(self) -> np.ndarray:
        """Of the interval in steps, [z]; NaN for zones without sensors."""
        means: np.ndarray = np.divide(
            self._sum, self._count, out=np.full(self._sum.shape, np.nan), where=self._count > 0
        )
        return means


def policy_of(split: Policy | str, scenario: Scenario) -> Policy:
    """A policy from what users say; by name, since policies and learners lie above environments in the house.

    Raises:
        ValueError: no such policy, or a trained one that does not fit the scenario.
    """
    if not isinstance(split, str):
        return split
    if Path(split).is_dir():
        trained: Policy = import_module("metalore.learn").load_policy(split, scenario)
        return trained
    made: Policy = import_module("metalore.policies").make_policy(split)
    return made
