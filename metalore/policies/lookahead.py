"""Receding-horizon enumeration: try splits on copies of the world, take the one that turns out best, do it again.

Every candidate is the split of the next step; after it a base policy decides to the horizon (a rollout policy:
Bertsekas, Tsitsiklis and Wu 1997). On exact copies, which meet the very random numbers that will come, it is
clairvoyant: a yardstick, not a competitor. Looking to the end of the episode it is then never below any of its bases,
in no episode, as a step's choice includes going on as planned. With other random numbers in the copies
(``clairvoyant=False``) it is a policy that one could really follow. Neither bounds what is reachable: both improve on
their base by one step at a time, and an average over futures may well choose better than a single, exact one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from metalore.policies.base import Policy
from metalore.policies.queue_aware import SearchedQueueAware, functions_of
from metalore.policies.search import CHUNK_BYTES
from metalore.scenario import Scenario
from metalore.world import World

COPIES = 128
"""Copies stepped together."""
DISTANCES = (0.05, 0.1, 0.3, 0.6)
OFFSETS = np.array([(d * x, d * y) for d in DISTANCES for x, y in product((-1, 0, 1), repeat=2) if x or y])
"""What is tried beside the base's split, as differences to it, [32, 2]; the same at all stations."""

_GOLDEN, _MIX_1, _MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class LookAhead:
    """Takes the split that does best on copies of the world.

    Args:
        base: decides after the candidate; of several, each is tried. Unset: the best queue-aware rule of a short
            search. Bases must decide by what the world shows alone, without a memory of their own.
        candidates: differences to the base's split, [c, 2]; clipped to [0, 1]. Doing as the base is always tried.
        horizon: steps to look ahead; unset: to the end of the episode.
        clairvoyant: look ahead on exact copies; if not, on copies with other random numbers to come.
        samples: futures to average over, if not clairvoyant.
        threads: that step the copies.

    Raises:
        ValueError: candidates that are no pairs of numbers, or nothing to look at.
    """

    def __init__(
        self,
        base: Policy | Sequence[Policy] | None = None,
        *,
        candidates: Sequence[Sequence[float]] | np.ndarray = OFFSETS,
        horizon: int | None = None,
        clairvoyant: bool = True,
        samples: int = 8,
        threads: int = 1,
    ) -> None:
        offsets = np.asarray(candidates, float).reshape(-1, np.shape(candidates)[-1])
        if offsets.shape[1:] != (2,) or not np.isfinite(offsets).all():
            raise ValueError("candidates are pairs of numbers: differences in bandwidth and in compute")
        for name, number in (("horizon", horizon), ("samples", samples), ("threads", threads)):
            if number is not None and number < 1:
                raise ValueError(f"{name} is {number}; looking ahead needs at least 1")
        self.bases = _bases(base)
        self._offsets = np.concatenate([np.zeros((1, 2)), offsets[(offsets != 0).any(axis=1)]])
        self._horizon, self._threads = horizon, threads
        self._samples = None if clairvoyant else samples
        self.name = "look-ahead" if clairvoyant else "look-ahead-sampled"
        self._copies: tuple[World, Scenario, dict[str, object]] | None = None

    def __call__(self, world: World) -> np.ndarray:
        """Shares [e, s, 2]."""
        tried = np.stack([self._tried(world, base) for base in self.bases], axis=1)  # [e, base, candidate, s, 2]
        values = np.stack([self._values(world, base, tried[:, i]) for i, base in enumerate(self.bases)], axis=1)
        best = values.reshape(world.num_envs, -1).argmax(axis=1)
        shares: np.ndarray = tried.reshape(world.num_envs, -1, world.num_stations, 2)[np.arange(world.num_envs), best]
        return shares

    def _tried(self, world: World, base: Policy) -> np.ndarray:
        """First splits [e, candidate, s, 2]; the base's own comes first."""
        tried: np.ndarray = np.clip(base(world)[:, None] + self._offsets[:, None, :], 0.0, 1.0)
        return tried

    def _values(self, world: World, base: Policy, tried: np.ndarray) -> np.ndarray:
        """Sum of rewards from now to the horizon of each candidate, [e, candidate]; means over the futures."""
        copies = self._world_for(world, tried.shape[0] * tried.shape[1])
        shape, flat = tried.shape[:2], tried.reshape(-1, *tried.shape[2:])
        sums = np.zeros((self._samples or 1, len(flat)))
        for sample in range(self._samples or 1):
            future = None if self._samples is None else _futures(world, sample)
            for part in _parts(len(flat), copies.num_envs):
                origin = part // shape[1]
                copies.copy_state(world, origin)
                if future is not None:
                    copies.reseed(future[origin].tolist())
                sums[sample, part] = self._play(copies, base, flat[part])
        values: np.ndarray = sums.mean(axis=0).reshape(shape)
        return values

    def _play(self, copies: World, base: Policy, first: np.ndarray) -> np.ndarray:
        """Sum of rewards to the horizon, [copy]."""
        total, steps = np.zeros(copies.num_envs), self._horizon or copies.scenario.max_steps
        for step in range(steps):
            active = ~copies.ended
            if not active.any():
                break
            copies.step(base(copies) if step else first, active)
            total += np.where(active, copies.reward, 0.0)
        return total

    def _world_for(self, world: World, wanted: int) -> World:
        """Worlds to copy to, kept from step to step."""
        size = max(1, min(wanted, COPIES, CHUNK_BYTES // world.nbytes()))
        known = self._copies
        if known is None or known[0].num_envs != size or known[1] != world.scenario or known[2] != world.functions:
            copies = World(world.scenario, size, threads=min(self._threads, size), **functions_of(world))
            self._copies = known = (copies, world.scenario, dict(world.functions))
        return known[0]

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_copies": None}


def _bases(base: Policy | Sequence[Policy] | None) -> tuple[Policy, ...]:
    if base is None:
        return (SearchedQueueAware(),)
    bases = tuple(base) if isinstance(base, Sequence) else (base,)
    if not bases:
        raise ValueError("looking ahead needs a base policy")
    return bases


def _parts(count: int, size: int) -> Iterator[np.ndarray]:
    """Indices 0 ... count - 1 in parts of `size`; the last one repeats its end to be full."""
    for first in range(0, count, size):
        yield np.minimum(np.arange(first, first + size), count - 1)


def _futures(world: World, sample: int) -> np.ndarray:
    """A seed for each environment that none of its own draws has to do with, [e], uint64.

    A function of its seed, episode and step, and of the sample: decisions do not depend on the batch.
    """
    state = np.array(world.seeds, np.uint64)
    for number in (world.episodes, world.t, np.full(world.num_envs, sample)):
        state = _mixed(state + _GOLDEN * (number.astype(np.uint64) + np.uint64(1)))
    return state


def _mixed(state: np.ndarray) -> np.ndarray:
    """SplitMix64 (Steele, Lea and Flood 2014)."""
    state = (state ^ (state >> np.uint64(30))) * _MIX_1
    state = (state ^ (state >> np.uint64(27))) * _MIX_2
    mixed: np.ndarray = state ^ (state >> np.uint64(31))
    return mixed
