"""A batch of worlds of one scenario, stepped together."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Any

import numba
import numpy as np
from numpy.typing import ArrayLike

from metalore.scenario import Attraction, Scenario, load
from metalore.world import codes
from metalore.world import step as compiled_step
from metalore.world.build import build_frame, table_of
from metalore.world.extension import SIGNATURES, compiled
from metalore.world.layout import FIRST_OF_BATCH, FIRST_OF_THREAD, KINDS, LOG, METRICS, REWARD_TERMS, Frame

_PROBLEMS = {
    codes.NOT_A_SHARE: "shares must be numbers in [0, 1] (bandwidth and compute for requests at each station)",
    codes.ENDED: "the episode has ended; call reset before the next step",
    codes.NOT_PLACED: "sensors.placement found no place for a sensor; lower sensors.count or spacing_m",
    codes.BAD_CHANNEL: "the channel function failed; it must return a loss in dB, a number or +infinity",
    codes.BAD_MOBILITY: "the mobility function failed or left the map; it must return "
    "(x_m, y_m, m0, m1, m2, m3) with the point on the map",
    codes.BAD_TRAFFIC: "the traffic function failed; it must return (0 or 1, Mbit >= 0, Gcycle >= 0)",
    codes.BAD_SCHEDULER: "the scheduler function failed; it must return a weight from 0 to 1e100",
}
_COMPILE_NOTICE_S = 2.0
_BATCH = Frame._fields[Frame._fields.index(FIRST_OF_BATCH) : Frame._fields.index(FIRST_OF_THREAD)]


class WorldError(ValueError):
    """A call the world refuses; the message says what is wrong and what would be right."""


class World:
    """`num_envs` independent worlds of one scenario; see `docs/world.md` for what a step does.

    Axes: `e` environments, `s` stations, `k` kinds (0 request, 1 update). Arrays that properties return are views into
    the state: they change with the next step and must not be written to.

    Args:
        scenario: a scenario, a built-in name, or a TOML file.
        num_envs: size of the batch.
        threads: how many threads step the batch; results do not depend on it.
        job_log: keep every job's time stamps (see :meth:`jobs`).
        channel, mobility, traffic, scheduler: plain scalar Python functions that replace the built-in ones, with
            the parameters of :data:`metalore.world.SIGNATURES`; see `docs/extend.md`.

    Raises:
        ScenarioError: a scenario that cannot be.
        ExtensionError: a function that cannot be compiled.
    """

    def __init__(
        self,
        scenario: Scenario | str = "smart-city",
        num_envs: int = 1,
        *,
        threads: int = 1,
        job_log: bool = False,
        channel: Callable[..., float] | None = None,
        mobility: Callable[..., tuple[float, ...]] | None = None,
        traffic: Callable[..., tuple[float, ...]] | None = None,
        scheduler: Callable[..., float] | None = None,
    ) -> None:
        for name, value in (("num_envs", num_envs), ("threads", threads)):
            if not isinstance(value, int | np.integer) or value < 1:
                raise WorldError(f"{name} is {value!r}; it must be a whole number from 1 on")
        self.scenario = load(scenario)
        self.num_envs = int(num_envs)
        self.num_stations = len(self.scenario.stations)
        if mobility is not None and isinstance(self.scenario.users.mobility, Attraction):
            raise WorldError(
                "users.mobility.kind is 'attraction', which takes no mobility function; choose another kind"
            )
        self.functions = {"channel": channel, "mobility": mobility, "traffic": traffic, "scheduler": scheduler}
        self._threads = min(threads, num_envs)
        self._job_log = job_log
        self._pool: ThreadPoolExecutor | None = None
        self._make()

    def _make(self) -> None:
        self._functions = {point: compiled(point, f) for point, f in self.functions.items() if f is not None}
        addresses = {point: self._functions[point].address if point in self._functions else 0 for point in SIGNATURES}
        self._frame: Frame = build_frame(self.scenario, self.num_envs, self._threads, self._job_log, addresses)
        self._tables = [table_of(self._frame, thread) for thread in range(self._threads)]
        self._shares = np.full((self.num_envs, self.num_stations, 2), 0.5)
        self._everyone = np.ones(self.num_envs, np.bool_)
        self._max_steps = self.scenario.max_steps
        self._advance, self._restart, self._check = _entry_points()
        self._queue_lengths = self._frame.cells["count"]  # a field's view takes its time, and everybody wants this one
        self._seeded = np.zeros(self.num_envs, np.bool_)
        self._all_seeded = False

    # -- running -------------------------------------------------------------------------------------------------------

    def reset(self, seed: int | Sequence[int] | None = None, chosen: np.ndarray | None = None) -> None:
        """Start new episodes.

        Args:
            seed: environment i gets ``seed + i``, or its entry of a sequence; each in [0, 2**64). Without a seed, an
                environment goes on to the next episode of the seed it has (a fresh one the first time).
            chosen: boolean [e], which environments to reset; unset: all.
        """
        envs, mask = self._frame.envs, self._mask(chosen)
        if seed is not None:
            envs["seed"][mask] = self._seeds(seed)[mask]
            envs["episode"][mask] = 0
        else:
            envs["episode"][mask] += 1
            if not self._all_seeded and (fresh := mask & ~self._seeded).any():
                envs["seed"][fresh] = np.random.SeedSequence().generate_state(self.num_envs, np.uint64)[fresh]
                envs["episode"][fresh] = 0
        self._mark_seeded(mask)
        self._shares[mask] = 0.5
        self._run(self._restart, mask)

    def step(self, shares: np.ndarray, chosen: np.ndarray | None = None) -> None:
        """Advance the worlds by one step.

        Args:
            shares: [e, s, 2], the parts of bandwidth and compute for requests, in [0, 1].
            chosen: boolean [e], which environments to advance; unset: all.

        Raises:
            WorldError: wrong shape, no share, or an episode that has ended; nothing has happened then.
        """
        given = np.asarray(shares, np.float64, order="C")
        if given.shape != self._shares.shape:
            raise WorldError(
                f"shares have shape {given.shape}; expected {self._shares.shape} (environments, stations, 2)"
            )
        mask = self._mask(chosen)
        if not self._all_seeded and not self._seeded[mask].all():
            raise WorldError("call reset before the first step")
        problem = self._check(given, self._tables[0], mask, self._max_steps, self._shares)
        if problem:
            raise WorldError(_PROBLEMS[problem])
        self._run(self._advance, self._shares, mask)

    def _mark_seeded(self, mask: np.ndarray) -> None:
        self._seeded |= mask
        self._all_seeded = bool(self._seeded.all())

    def _mask(self, chosen: np.ndarray | None) -> np.ndarray:
        if chosen is None:
            return self._everyone
        mask = np.ascontiguousarray(chosen, np.bool_)
        if mask.shape != self._everyone.shape:
            raise WorldError(f"chosen has shape {mask.shape}; it takes one flag for each of {self.num_envs} worlds")
        return mask

    def _run(self, kernel: Callable[..., int], *arguments: np.ndarray) -> None:
        if self._threads == 1:
            problem = kernel(self._tables[0], *arguments, 0, self.num_envs)
        else:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="metalore-world")
            cuts = np.linspace(0, self.num_envs, self._threads + 1).astype(int).tolist()
            tasks = [
                self._pool.submit(kernel, table, *arguments, first, last)
                for table, (first, last) in zip(self._tables, pairwise(cuts), strict=True)
            ]
            problem = max(task.result() for task in tasks)
        if problem:
            raise WorldError(_PROBLEMS[problem])

    def _seeds(self, seed: int | Sequence[int]) -> np.ndarray:
        one = isinstance(seed, int | np.integer)
        try:
            given = [int(seed) + i for i in range(self.num_envs)] if one else list(seed)  # type: ignore[arg-type]
        except TypeError:
            raise WorldError(f"seed is {seed!r}; give a whole number, or one for each world") from None
        if any(not isinstance(s, int | np.integer) or not 0 <= int(s) < 2**64 for s in given):
            raise WorldError("seeds are whole numbers from 0 to 2**64 - 1")
        if len(given) != self.num_envs:
            raise WorldError(f"{len(given)} seeds for {self.num_envs} worlds; give one number, or one each")
        return np.array([int(s) for s in given], np.uint64)

    # -- zones ---------------------------------------------------------------------------------------------------------

    def set_capacity(
        self,
        *,
        bandwidth_hz: ArrayLike | None = None,
        compute_gcycle_s: ArrayLike | None = None,
        memory_mb: ArrayLike | None = None,
    ) -> None:
        """Change what stations have, from the next step to the episode's end; a reset brings the scenario's back.

        Each is broadcast to [e, s]. Jobs that are resident stay when memory shrinks; new ones are lost.

        Raises:
            WorldError: no number, a bandwidth not above 0, a negative compute, or memory without room for one job.
        """
        memory = self.scenario.memory
        bounds = (
            ("bandwidth_hz", "bandwidth_hz", bandwidth_hz, np.nextafter(0.0, 1.0)),
            ("compute_gcycle_s", "compute", compute_gcycle_s, 0.0),
            ("memory_mb", "memory_mb", memory_mb, memory.base_mb + memory.per_job_mb),
        )
        checked = []
        for name, field, values, least in bounds:
            if values is not None:
                try:
                    array = np.broadcast_to(np.asarray(values, float), self._frame.zones.shape)
                except ValueError:
                    raise WorldError(
                        f"{name} has shape {np.shape(values)}, which does not fit "
                        f"{self._frame.zones.shape} (environments, stations)"
                    ) from None
                if not (array >= least).all() or (field != "memory_mb" and np.isinf(array).any()):
                    raise WorldError(f"{name} must be numbers of at least {least:g}")
                checked.append((field, array))
        for field, array in checked:
            self._frame.zones[field] = array

    def close_stations(self, closed: ArrayLike) -> None:
        """Take stations down, or let them come up again, at the end of the next step; a reset opens all.

        Args:
            closed: flags, broadcast to [e, s].
        """
        self._frame.zones["closed"] = np.asarray(closed, np.bool_)
        self._frame.envs["closing"] = 1

    # -- copies --------------------------------------------------------------------------------------------------------

    def copy_state(self, source: World, origin: Sequence[int] | np.ndarray) -> None:
        """Make environment i a copy of environment ``origin[i]`` of `source`, which has the same scenario.

        What follows is identical to what the source would do under the same shares, random numbers included.
        """
        if source.scenario != self.scenario or source.functions != self.functions:
            raise WorldError("states can be copied only between worlds of the same scenario and user functions")
        index = np.asarray(origin)
        if index.shape != (self.num_envs,) or index.min() < 0 or index.max() >= source.num_envs:
            raise WorldError(
                f"origin takes one environment of the source, 0 to {source.num_envs - 1}, for each of ours"
            )
        for name in _BATCH:
            mine, theirs = getattr(self._frame, name), getattr(source._frame, name)
            if mine.shape[1:] == theirs.shape[1:]:  # they differ where only one of the two keeps a job log
                np.take(theirs, index, axis=0, out=mine, mode="clip")  # `clip` copies straight into `mine`
        self._shares[...] = source._shares[index]
        self._mark_seeded(source._seeded[index])

    def state(self) -> dict[str, np.ndarray]:
        """Everything that changes, by name: copies of the batch's arrays and the last shares."""
        return {name: getattr(self._frame, name).copy() for name in _BATCH} | {"shares": self._shares.copy()}

    def restore(self, state: Mapping[str, np.ndarray | bytes]) -> None:
        """Take over a :meth:`state` of a world of the same scenario and size; arrays may come as their bytes.

        Raises:
            WorldError: a state of another size.
        """
        for name in (*_BATCH, "shares"):
            mine = self._shares if name == "shares" else getattr(self._frame, name)
            given = state[name]
            array = np.frombuffer(given, mine.dtype) if isinstance(given, bytes) else given
            if array.size != mine.size:
                raise WorldError(f"the state's {name} holds {array.size} entries, this world's {mine.size}")
            mine[...] = array.reshape(mine.shape)
        self._mark_seeded(self._everyone)

    def reseed(self, seeds: Sequence[int]) -> None:
        """Let environment i go on with the random numbers of ``seeds[i]``; what has happened in the episode stays."""
        if not np.all(self._seeded):
            raise WorldError("call reset before reseed")
        self._frame.envs["seed"] = self._seeds(seeds)

    def __getstate__(self) -> dict[str, Any]:
        kept = ("scenario", "num_envs", "num_stations", "functions", "_threads", "_job_log", "_seeded")
        return {"state": self.state()} | {name: getattr(self, name) for name in kept}

    def __setstate__(self, pickled: dict[str, Any]) -> None:
        state, seeded = pickled.pop("state"), pickled.pop("_seeded")
        self.__dict__.update(pickled)
        self._pool = None
        self._make()
        self.restore(state)
        self._seeded, self._all_seeded = seeded, bool(seeded.all())

    # -- what can be seen ----------------------------------------------------------------------------------------------

    @property
    def t(self) -> np.ndarray:
        """Steps done in the episode, [e]."""
        return self._frame.envs["t"]

    @property
    def seeds(self) -> np.ndarray:
        """Seed of each environment, [e], uint64."""
        return self._frame.envs["seed"]

    @property
    def episodes(self) -> np.ndarray:
        """Number of the episode within its seed, [e]."""
        return self._frame.envs["episode"]

    @property
    def ended(self) -> np.ndarray:
        """Whether an episode is over, boolean [e]."""
        return self._frame.envs["t"] >= self._max_steps

    @property
    def reward(self) -> np.ndarray:
        """Reward of the last step, [e]."""
        return self._frame.reward

    @property
    def reward_terms(self) -> np.ndarray:
        """Its terms, [e, len(REWARD_TERMS)]."""
        return self._frame.terms

    @property
    def step_totals(self) -> np.ndarray:
        """Counts of the last step, [e, len(METRICS)]."""
        return self._frame.step_totals

    @property
    def episode_totals(self) -> np.ndarray:
        """Counts of the episode so far, [e, len(METRICS)]."""
        return self._frame.episode_totals

    @property
    def station_totals(self) -> np.ndarray:
        """Counts of the last step by station, [e, s, len(METRICS)]."""
        return self._frame.tally

    @property
    def shares(self) -> np.ndarray:
        """Shares of the last step (0.5 after a reset), [e, s, 2]."""
        return self._shares

    @property
    def queue_lengths(self) -> np.ndarray:
        """Jobs in the stations' queues, [e, s, k]."""
        return self._queue_lengths

    @property
    def queue_gcycle(self) -> np.ndarray:
        """Work left in the stations' queues in Gcycle, [e, s, k]."""
        return self._frame.cells["backlog"]

    @property
    def attached(self) -> np.ndarray:
        """Attached devices, [e, s, k]."""
        return self._frame.cells["attached"]

    @property
    def station_rewards(self) -> np.ndarray:
        """Each station's part of the last step's reward, [e, s]; that of the age at the twin is parted evenly."""
        return self._frame.station_rewards

    @property
    def zones(self) -> np.ndarray:
        """Zones now: records of :data:`metalore.world.layout.ZONE`, [e, s]."""
        return self._frame.zones

    @property
    def elsewhere(self) -> np.ndarray:
        """Pull of what is not the city, [e]; users are where zones and elsewhere pull them."""
        return self._frame.envs["elsewhere"]

    @property
    def devices(self) -> np.ndarray:
        """Queues and radio: records of :data:`metalore.world.layout.DEVICE`, [e, d]; users first."""
        return self._frame.devices

    @property
    def bodies(self) -> np.ndarray:
        """Place and motion: records of :data:`metalore.world.layout.BODY`, [e, d]; users first."""
        return self._frame.bodies

    @property
    def user_positions(self) -> np.ndarray:
        """Metres, [e, users, 2]."""
        users = self._frame.bodies[:, : self.scenario.users.count]
        return np.stack([users["x"], users["y"]], axis=-1)

    @property
    def sensor_positions(self) -> np.ndarray:
        """Metres, [e, sensors, 2]."""
        sensors = self._frame.bodies[:, self.scenario.users.count :]
        return np.stack([sensors["x"], sensors["y"]], axis=-1)

    @property
    def sensor_ages(self) -> np.ndarray:
        """Age of each sensor at the twin in steps, [e, sensors]."""
        newest = self._frame.devices["newest"][:, self.scenario.users.count :]
        ages: np.ndarray = np.maximum(self.t - 1, 0)[:, None] - np.maximum(newest, 0)
        return ages

    def device_backlog(self) -> np.ndarray:
        """Mbit waiting in devices, by the station they belong to, [e, s, k]."""
        out = np.zeros((self.num_envs, self.num_stations, len(KINDS)))
        users = self.scenario.users.count
        environment = np.arange(self.num_envs)[:, None]
        for kind, part in enumerate((slice(0, users), slice(users, None))):
            devices = self._frame.devices[:, part]
            np.add.at(out[..., kind], (environment, devices["station"]), devices["backlog"])
        return out

    def waiting_age(self) -> np.ndarray:
        """Mean age in steps of jobs in the system, [e, k]; 0 where none waits."""
        totals = self._frame.episode_totals
        out = np.zeros((self.num_envs, len(KINDS)))
        for k, kind in enumerate(KINDS):
            names = (f"{kind}s_generated", f"{kind}s_completed", f"{kind}s_lost", f"{kind}_created_in_system")
            generated, done, lost, created = (totals[:, METRICS.index(n)] for n in names)
            waiting = generated - done - lost
            now = np.maximum(self.t - 1, 0)
            out[:, k] = np.where(waiting > 0, now - created / np.maximum(waiting, 1), 0.0)
        return out

    def nbytes(self) -> int:
        """Bytes that one environment of the batch holds."""
        total: int = sum(getattr(self._frame, name).nbytes for name in _BATCH)
        return total // self.num_envs

    def jobs(self, env: int = 0) -> np.ndarray:
        """All jobs of the current episode of the environment `env`, as records in order of creation.

        Fields are those of :data:`metalore.world.layout.LOG`: steps, -1 for what has not happened; `kind` and `outcome`
        are indices into KINDS and OUTCOMES.

        Raises:
            WorldError: the world keeps no log.
        """
        if not self._job_log:
            raise WorldError("this world keeps no job log; make it with job_log=True")
        count = int(self._frame.envs["numbered"][env])
        rows: np.ndarray = np.array(self._frame.log[env, :count], LOG)
        return rows


def totals_of(totals: np.ndarray, name: str) -> np.ndarray:
    """Column [...] of `totals` [..., m] (`step_totals`, `episode_totals`, `station_totals`), by its name in METRICS."""
    return totals[..., METRICS.index(name)]


def terms_of(terms: np.ndarray, name: str) -> np.ndarray:
    """A column [...] of `terms` [..., k], a world's `reward_terms`, by its name in REWARD_TERMS."""
    return terms[..., REWARD_TERMS.index(name)]


@cache
def _entry_points() -> tuple[Any, Any, Any]:
    """Compiled functions, called directly: no type inspection in every call."""
    table, shares = numba.int64[:, ::1], numba.float64[:, :, ::1]
    chosen, integer = numba.boolean[::1], numba.int64
    with _word_about_compiling():
        return (
            compiled_step.advance.compile((table, shares, chosen, integer, integer)),
            compiled_step.restart.compile((table, chosen, integer, integer)),
            compiled_step.check.compile((shares, table, chosen, integer, shares)),
        )


@contextmanager
def _word_about_compiling() -> Iterator[None]:
    def say() -> None:
        print("metalore: compiling the simulator for this machine; once, about half a minute ...", file=sys.stderr)

    timer = threading.Timer(_COMPILE_NOTICE_S, say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
