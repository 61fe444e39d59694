"""The simulated actuator: a city whose zones change size while it runs.

Units: a core is `core_ghz` Gcycle/s. A band in Hz is worth, in Mbit/s, what the zone's data took of it so far: its
measured spectral efficiency (Mbit sent over Hz and seconds that carried them), before the first data
:data:`ASSUMED_EFFICIENCY`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from metalore.autoscale.actuator import Actuator, Applied
from metalore.autoscale.errors import AutoscaleError
from metalore.autoscale.model import BANDWIDTH, CPU, MEMORY, RESOURCES, Decision, Usage
from metalore.autoscale.safety import Safety
from metalore.scenario import CoChannel, Scenario, zone_names
from metalore.telemetry.recording import half, quantities_of
from metalore.world import METRICS, World, totals_of

ASSUMED_EFFICIENCY = 2.0
"""bit/s/Hz of a zone that has sent nothing yet."""

OTHERS = ("active_users", "requests", "movement_rate", "latency_ms", "jitter_ms", "packet_loss")
"""Columns that are kept for forecasters beside the resources."""

Policy = Callable[[World], np.ndarray]
Row = dict[str, np.ndarray]
"""A row of telemetry for each zone: the columns of :func:`metalore.telemetry.recording.quantities_of`, [z] each, and
`time_s`, the interval's beginning; `given_cores` and `given_mb`, what zones had on average; `lost`, requests; and
`out_of_memory`."""


class _Interval:
    """Sums over the steps of an interval that has not ended."""

    def __init__(self, began_s: float, zones: int) -> None:
        self.began_s, self.steps = began_s, 0
        self.totals = np.zeros((zones, len(METRICS)))
        self.compute, self.memory_mb = np.zeros((2, zones))
        self.out_of_memory = np.zeros(zones, bool)


class SimulatedCity(Actuator):
    """A world run interval by interval; it is its own clock.

    Args:
        world: one environment, which has been reset.
        policy: shares for every step; unset: half of everything for requests.
        interval_s: a multiple of the scenario's `step_s`.
        delay_s: from a decision until the zones have what it says; a multiple of `step_s`.
        history: usage before the world's present step, on its clock.
        efficiency: spectral efficiency of zones that have sent nothing yet, bit/s/Hz, [z] or one for all; 0: not known.

    Attributes:
        rows: telemetry of the intervals run so far.

    Raises:
        AutoscaleError: a batch of worlds, a zone without a bound on its memory, or times that do not fit.
    """

    def __init__(
        self,
        world: World,
        policy: Policy = half,
        *,
        interval_s: float = 60.0,
        delay_s: float = 0.0,
        history: Usage | None = None,
        efficiency: np.ndarray | float = ASSUMED_EFFICIENCY,
    ) -> None:
        scenario = world.scenario
        if world.num_envs != 1:
            raise AutoscaleError(f"the simulated city is one world, not a batch of {world.num_envs}")
        self.zones = tuple(zone_names(scenario))
        self.delay_s, self.interval_s, self.step_s = float(delay_s), float(interval_s), scenario.step_s
        self._steps = _steps(interval_s, self.step_s, "interval")
        self._delay_steps = _steps(delay_s, self.step_s, "delay")
        self._world, self._policy = world, policy
        self._reuse = interference.reuse if isinstance(interference := scenario.radio.interference, CoChannel) else 1
        self._waiting: deque[tuple[int, np.ndarray, np.ndarray]] = deque()  # step, what changes, amounts
        self._sent, self._busy = np.zeros((2, len(self.zones)))
        self._assumed = np.where(np.asarray(efficiency) > 0, efficiency, ASSUMED_EFFICIENCY)
        self._interval: _Interval | None = None
        self._check_memory()
        self._given = self._in_effect()  # with what waits
        self.rows: list[Row] = []
        self._remember(Usage.nothing(self.zones, interval_s) if history is None else history)

    def _check_memory(self) -> None:
        endless = np.isinf(self._world.zones["memory_mb"][0])
        if endless.any():
            name = self.zones[int(endless.argmax())]
            raise AutoscaleError(f"zone {name!r} has memory without a bound; give it one with World.set_capacity")

    # -- time ----------------------------------------------------------------------------------------------------------

    def now(self) -> float:
        """Simulated time, s."""
        return float(self._world.t[0]) * self.step_s

    def sleep_until(self, time_s: float) -> None:
        """Run whole intervals until a time."""
        while self.now() < time_s - 1e-9:
            self.advance()

    def advance(self) -> Row:
        """Run to the end of an interval; what it says about each zone."""
        row = self.step()
        while row is None:
            row = self.step()
        return row

    def step(self) -> Row | None:
        """Run one step; what the interval that ends with it says about each zone."""
        if self._interval is None:
            self._interval = _Interval(self.now(), len(self.zones))
        interval, zones = self._interval, self._world.zones[0]
        self._settle()
        self._world.step(self._policy(self._world))
        tally = self._world.station_totals[0]
        interval.steps += 1
        interval.totals += tally
        interval.compute += zones["compute"]
        interval.memory_mb += zones["memory_mb"]
        interval.out_of_memory |= self._ran_out(tally)
        return self._end(interval) if interval.steps == self._steps else None

    def _end(self, interval: _Interval) -> Row:
        core_ghz, totals = self._world.scenario.core_ghz, interval.totals
        row = quantities_of(totals, self._steps, self.step_s, core_ghz) | {
            "time_s": np.array(interval.began_s),
            "given_cores": interval.compute / self._steps / core_ghz,
            "given_mb": interval.memory_mb / self._steps,
            "lost": totals_of(totals, "requests_lost").copy(),
            "out_of_memory": interval.out_of_memory,
        }
        self._sent += totals_of(totals, "request_mbit_sent") + totals_of(totals, "update_mbit_sent")
        self._busy += totals_of(totals, "busy_hz") * self.step_s
        self._interval = None
        self.rows.append(row)
        self._note(row)
        return row

    def go_on_in(self, scenario: Scenario) -> World:
        """Go on in a world of another scenario, with everything as it is in this one: another event, for example.

        Args:
            scenario: whose world has the same stations and as many devices.

        Returns:
            The world, from now on the city's.
        """
        world = World(scenario)
        world.restore(self._world.state())
        self._world = world
        return world

    def _ran_out(self, tally: np.ndarray) -> np.ndarray:
        """Zones that lost jobs in a step at whose end there was no room for one more."""
        lost = totals_of(tally, "requests_lost") + totals_of(tally, "updates_lost") > 0
        full = (
            totals_of(tally, "resident_mb") + self._world.scenario.memory.per_job_mb > self._world.zones["memory_mb"][0]
        )
        ran_out: np.ndarray = lost & full
        return ran_out

    # -- what is known -------------------------------------------------------------------------------------------------

    def usage(self) -> Usage:
        """History and what has been run since."""
        n = self._known
        others = {name: values[:n] for name, values in self._others.items()}
        return Usage(self._times[:n], self.zones, self._used[:n], self.interval_s, self._out_of_memory[:n], others)

    def _remember(self, history: Usage) -> None:
        """Room for the history and for all intervals until the episode ends."""
        self._known, zones = len(history), len(self.zones)
        room = self._known + (self._world.scenario.max_steps - int(self._world.t[0])) // self._steps
        self._times, self._used = np.empty(room), np.empty((room, zones, len(RESOURCES)))
        self._out_of_memory = np.zeros((room, zones), bool)
        self._times[: self._known], self._used[: self._known] = history.times, history.used
        if history.out_of_memory is not None:
            self._out_of_memory[: self._known] = history.out_of_memory
        self._others = {name: np.full((room, zones), np.nan) for name in OTHERS}
        for name in OTHERS:
            self._others[name][: self._known] = history.others.get(name, np.nan)

    def _note(self, row: Row) -> None:
        n = self._known
        self._times[n], self._out_of_memory[n] = row["time_s"], row["out_of_memory"]
        for r, name in enumerate(RESOURCES):
            self._used[n, :, r] = row[name]
        for name, values in self._others.items():
            values[n] = row[name]
        self._known += 1

    @property
    def efficiency(self) -> np.ndarray:
        """Measured spectral efficiency of each zone, bit/s/Hz, [z]."""
        measured = np.divide(1e6 * self._sent, self._busy, out=np.zeros(len(self.zones)), where=self._busy > 0)
        return np.where(measured > 0, measured, self._assumed)

    # -- sizes ---------------------------------------------------------------------------------------------------------

    def allocations(self) -> np.ndarray:
        given = self._given.copy()
        given[:, BANDWIDTH] /= self._hz_per_mbps
        return given

    def apply(self, decision: Decision) -> Applied:
        amounts = decision.after.copy()
        amounts[:, BANDWIDTH] *= self._hz_per_mbps
        self._given = np.where(decision.changed, amounts, self._given)
        self._waiting.append((int(self._world.t[0]) + self._delay_steps, decision.changed, amounts))
        return Applied(np.ones(len(self.zones), bool))

    def _settle(self) -> None:
        """Let what is due take effect."""
        while self._waiting and self._waiting[0][0] <= self._world.t[0]:
            _, changed, amounts = self._waiting.popleft()
            now = np.where(changed, amounts, self._in_effect())
            self._world.set_capacity(
                compute_gcycle_s=now[:, CPU] * self._world.scenario.core_ghz,
                memory_mb=now[:, MEMORY],
                bandwidth_hz=now[:, BANDWIDTH],
            )

    def _in_effect(self) -> np.ndarray:
        """What zones have now: cores, MB, and the band in Hz, [z, r]."""
        zones = self._world.zones[0]
        cores = zones["compute"] / self._world.scenario.core_ghz
        return np.stack([cores, zones["memory_mb"], zones["bandwidth_hz"]], axis=1)

    @property
    def _hz_per_mbps(self) -> np.ndarray:
        """Band that carries a Mbit/s in each zone, counted before it is cut into parts, [z]."""
        return 1e6 * self._reuse / self.efficiency


def begin_with(world: World, safety: Safety, otherwise_mb: np.ndarray | float) -> None:
    """The scenario's sizes, as far as safety allows them.

    Args:
        world: that has been reset.
        safety: whose bounds count.
        otherwise_mb: memory of zones that have it without a bound, [z] or one for all.
    """
    stations, core_ghz = world.scenario.stations, world.scenario.core_ghz
    cores = np.array([station.compute_gcycle_s for station in stations]) / core_ghz
    bounds = np.array([station.memory_mb or np.inf for station in stations])
    memory_mb = np.where(np.isinf(bounds), otherwise_mb, bounds)
    world.set_capacity(
        compute_gcycle_s=np.clip(cores, safety.lower[CPU], safety.upper[CPU]) * core_ghz,
        memory_mb=np.clip(memory_mb, safety.lower[MEMORY], safety.upper[MEMORY]),
    )


def _steps(seconds: float, step_s: float, what: str) -> int:
    steps = round(seconds / step_s)
    if seconds < 0 or abs(seconds / step_s - steps) > 1e-9 * max(steps, 1) or (what == "interval" and steps < 1):
        raise AutoscaleError(f"the {what} of {seconds:g} s is no multiple of the scenario's step of {step_s:g} s")
    return steps
