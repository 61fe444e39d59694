"""Stable-Baselines3's `VecEnv` over a batch of zones: a row for each zone of each environment.

::

    from stable_baselines3 import DQN

    from metalore.learn.zones.batch import ZoneVecEnv

    DQN("MlpPolicy", ZoneVecEnv.make(num_envs=16)).learn(100_000)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

from metalore.autoscale.agents.features import MOST
from metalore.autoscale.agents.ranges import MOVES, joint_mask
from metalore.envs.zone_core import ZoneCore, ZoneSettings
from metalore.envs.zone_scaling import Source, demand_of
from metalore.fluid import FluidZones, Split


class ZoneVecEnv(VecEnv):
    """Rows of a batch as environments that reset themselves, as Stable-Baselines3 wants them.

    Row `e * zones + z` is zone z of environment e. All zones of an environment begin and end together.

    Args:
        core: the batch.
        told_apart: show each zone which one it is: a one at its number behind its features.
    """

    def __init__(self, core: ZoneCore, told_apart: bool = False) -> None:
        self.core, self.told_apart, self.render_mode = core, told_apart, None
        e, z = core.shape
        size = core.observer.size + (z if told_apart else 0)
        super().__init__(e * z, spaces.Box(0.0, MOST, (size,), np.float32), spaces.Discrete(len(MOVES)))
        self._moves = np.zeros((e, z, 3), np.int64)
        self._returns = np.zeros((e, z))
        self._seed = 0

    @classmethod
    def make(
        cls,
        demand: Source | None = None,
        *,
        num_envs: int = 16,
        city: bool = False,
        split: str = "backlog-proportional",
        **settings: Any,
    ) -> ZoneVecEnv:
        """From what users pass to an environment; `city`: all zones of the demand in each environment, else one."""
        zones = FluidZones(demand_of(demand), num_envs, single=not city, split=Split.read(split))
        return cls(ZoneCore(zones, ZoneSettings().updated(**settings)))

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Of the episodes that the next reset begins; it counts up over environments."""
        self._seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        return [self._seed + row // self.core.shape[1] for row in range(self.num_envs)]

    def reset(self) -> np.ndarray:
        """Begin all episodes."""
        self._returns[:] = 0.0
        self.reset_infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        return self._rows(self.core.reset([self._seed + e for e in range(self.core.shape[0])]))

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions."""
        self._moves = MOVES[np.asarray(actions)].reshape(*self.core.shape, 3)

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Step with them; environments whose episode ends begin the next one."""
        stepped = self.core.step(self._moves)
        self._returns += stepped.rewards
        seen = self._rows(self.core.observe())
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        over = np.flatnonzero(stepped.truncated)
        zones = self.core.shape[1]
        for row in (over[:, None] * zones + np.arange(zones)).ravel():
            infos[row] = {
                "terminal_observation": seen[row].copy(),
                "TimeLimit.truncated": True,
                "episode": {"r": float(self._returns.ravel()[row]), "l": self.core.settings.intervals},
            }
        if len(over):
            self._returns[over] = 0.0
            self.core.reset(None, over)
            seen = self._rows(self.core.observe())
        return seen, stepped.rewards.astype(np.float32).ravel(), np.repeat(stepped.truncated, zones), infos

    def action_masks(self) -> np.ndarray:
        """Moves that are allowed, boolean [row, 27]."""
        masks: np.ndarray = joint_mask(self.core.mask()).reshape(self.num_envs, len(MOVES))
        return masks

    def _rows(self, seen: np.ndarray) -> np.ndarray:
        if self.told_apart:
            which = np.broadcast_to(np.eye(seen.shape[1], dtype=np.float32), (*seen.shape[:2], seen.shape[1]))
            seen = np.concatenate([seen, which], axis=-1)
        return seen.reshape(-1, seen.shape[-1])

    # -- what the interface asks for besides ---------------------------------------------------------------------------

    def close(self) -> None:
        """Nothing to let go of."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """The batch's attribute, once for each asked row."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set the batch's attribute; rows have none of their own."""
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Call the batch's method once; a row of its result for each asked row."""
        result = getattr(self, method_name)(*args, **kwargs)
        return [result[i] for i in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """Rows are not wrapped one by one."""
        return [False for _ in self._get_indices(indices)]
