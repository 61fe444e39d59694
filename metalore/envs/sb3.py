"""Stable-Baselines3's `VecEnv` over the native batch: a whole city for one agent, or a cell for each.

``PPO("MlpPolicy", metalore.sb3.make_vec_env("smart-city", num_envs=64)).learn(1_000_000)`` just works, and so does
``make_cell_vec_env("four-cells")``, where all cells share the policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from metalore.envs.base import make_world, share_space
from metalore.envs.cells import CellObserver, cell_rewards, check_part
from metalore.envs.observation import DEFAULT, Observer
from metalore.scenario import Scenario
from metalore.world import METRICS, REWARD_TERMS, World

try:
    from stable_baselines3.common.vec_env import VecEnv
except ImportError as error:  # pragma: no cover - needs an install without the extra
    raise ImportError('Stable-Baselines3 is not installed; run: pip install "metalore[learn]"') from error


class WorldVecEnv(VecEnv):
    """Environments that reset themselves at an episode's end, as Stable-Baselines3 wants them.

    The info of an ending step holds ``terminal_observation``, ``TimeLimit.truncated``, ``episode`` (return ``r``,
    length ``l``, as of Stable-Baselines3's monitor; no wall time), ``episode_metrics`` and ``reward_terms`` (sums over
    the episode). Other steps' infos are empty, which keeps them free.
    """

    def __init__(self, world: World, observation: Sequence[str] = DEFAULT, stack: int = 1) -> None:
        self.world = world
        self.render_mode = None
        self._observer = Observer(world, observation, stack)
        super().__init__(world.num_envs, self._observer.space, share_space(world))
        self._shares_shape = (world.num_envs, world.num_stations, 2)
        self._shares = np.zeros(self._shares_shape)
        self._returns: np.ndarray = np.zeros((world.num_envs, len(REWARD_TERMS)))  # by what a row of it is about

    def reset(self) -> np.ndarray:
        """Start episodes everywhere, with the seeds of :meth:`seed` if it was called."""
        seeds = [seed for seed in self._seeds[: self.world.num_envs] if seed is not None]
        self.world.reset(seeds or None)
        self._reset_seeds()
        self._returns[:] = 0.0
        self.reset_infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        return self._observer.first()

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions [e, 2 * s]."""
        self._shares = np.asarray(actions).reshape(self._shares_shape)

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Step with the kept actions; environments whose episode ends start the next one."""
        self.world.step(self._shares)
        observations = self._observer.next()
        rewards = self.world.reward.astype(np.float32)
        self._returns += self.world.reward_terms
        done = self.world.ended
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if done.any():
            for i in np.flatnonzero(done):
                infos[i] = self._ending(int(i), observations[i])
            self.world.reset(chosen=done)
            self._returns[done] = 0.0
            observations = self._observer.first(done)
        return observations, rewards, done, infos

    def _ending(self, env: int, observation: np.ndarray) -> dict[str, Any]:
        terms = self._returns[env].tolist()
        return {
            "terminal_observation": observation.copy(),
            "TimeLimit.truncated": True,
            "episode": {"r": sum(terms), "l": self.world.scenario.max_steps},
            "episode_metrics": dict(zip(METRICS, self.world.episode_totals[env].tolist(), strict=True)),
            "reward_terms": dict(zip(REWARD_TERMS, terms, strict=True)),
        }

    def close(self) -> None:
        """Nothing to let go of."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The batch's attribute, once for each asked environment."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set the batch's attribute; single environments have none of their own."""
        if len(list(self._get_indices(indices))) != self.num_envs:
            raise ValueError("environments of a batch have no attributes of their own; set it for all")
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Call the batch's method once; its result stands for each asked environment."""
        result = getattr(self, method_name)(*args, **kwargs)
        return [result for _ in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """Environments of a batch are not wrapped one by one."""
        return [False for _ in self._get_indices(indices)]


class CellVecEnv(WorldVecEnv):
    """One environment for each cell of each world, so that all cells share what is learned.

    Environment ``i * stations + s`` is station s of world i. It sees its own cell, acts for it alone, and gets
    ``(1 - city_part) * own + city_part * mean`` (see :func:`metalore.envs.cells.cell_rewards`). Cells of a world begin
    and end their episodes together. A station that is down stays in its place: it sees zeros, its action has no effect
    and its reward is 0, until it is up again.

    Ending infos hold ``terminal_observation``, ``TimeLimit.truncated`` and ``episode``; ``r`` is the cell's own sum.

    Args:
        world: the batch.
        observation, stack, neighbours: see :class:`metalore.envs.cells.CellObserver`.
        city_part: how much of the reward is the mean over cells, from 0 (selfish) to 1.
    """

    def __init__(
        self,
        world: World,
        observation: Sequence[str] = DEFAULT,
        stack: int = 1,
        neighbours: int = 0,
        city_part: float = 0.0,
    ) -> None:
        self.world, self.city_part = world, check_part(city_part)
        self.render_mode = None
        self._observer = CellObserver(world, observation, stack, neighbours)
        cells = world.num_envs * world.num_stations
        VecEnv.__init__(self, cells, self._observer.space, spaces.Box(0.0, 1.0, (2,), np.float32))
        self._shares_shape = (world.num_envs, world.num_stations, 2)
        self._shares = np.zeros(self._shares_shape)
        self._returns = np.zeros(cells)

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Step with the kept actions; environments whose episode ends start the next one."""
        self.world.step(self._shares)
        observations = self._observer.next()
        rewards = cell_rewards(self.world, self.city_part).reshape(-1)
        self._returns += rewards
        ended = self.world.ended
        done = np.repeat(ended, self.world.num_stations)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if ended.any():
            for i in np.flatnonzero(done):
                infos[i] = self._ending(int(i), observations[i])
            self.world.reset(chosen=ended)
            self._returns[done] = 0.0
            observations = self._observer.first(ended)
        return observations, rewards.astype(np.float32), done, infos

    def _ending(self, env: int, observation: np.ndarray) -> dict[str, Any]:
        return {
            "terminal_observation": observation.copy(),
            "TimeLimit.truncated": True,
            "episode": {"r": float(self._returns[env]), "l": self.world.scenario.max_steps},
        }


def make_vec_env(
    scenario: Scenario | str | Mapping[str, Any] = "smart-city",
    num_envs: int = 64,
    *,
    seed: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    observation: Sequence[str] = DEFAULT,
    stack: int = 1,
    **options: Any,
) -> WorldVecEnv:
    """A batch for Stable-Baselines3's algorithms.

    Args:
        scenario, overrides, observation, stack: as of :class:`metalore.envs.SmartCityEnv`.
        num_envs: size of the batch.
        seed: environment i starts with ``seed + i``; unset: fresh seeds.
        options: further ones of :class:`metalore.world.World`, say ``threads``.
    """
    env = WorldVecEnv(make_world(scenario, overrides, num_envs, **options), observation, stack)
    if seed is not None:
        env.seed(seed)
    return env


def make_cell_vec_env(
    scenario: Scenario | str | Mapping[str, Any] = "four-cells",
    num_envs: int = 16,
    *,
    seed: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    observation: Sequence[str] = DEFAULT,
    stack: int = 1,
    neighbours: int = 0,
    city_part: float = 0.0,
    **options: Any,
) -> CellVecEnv:
    """A batch for Stable-Baselines3's algorithms in which every cell is an environment.

    Args:
        scenario, overrides, observation, stack: as of :class:`metalore.envs.MultiCellEnv`.
        num_envs: number of worlds; Stable-Baselines3 sees as many environments for each as there are stations.
        seed: world i starts with ``seed + i``; unset: fresh seeds.
        neighbours, city_part: see :class:`CellVecEnv`.
        options: further ones of :class:`metalore.world.World`, say ``threads``.
    """
    world = make_world(scenario, overrides, num_envs, **options)
    env = CellVecEnv(world, observation, stack, neighbours, city_part)
    if seed is not None:
        env.seed(seed)
    return env
