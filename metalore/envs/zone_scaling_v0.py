"""A city's zones as agents that size themselves, under PettingZoo's parallel interface.

::

    from metalore.envs import zone_scaling_v0

    env = zone_scaling_v0.parallel_env("city-30", city_part=0.5)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from gymnasium import spaces

from metalore.autoscale.agents.reward import TERMS
from metalore.envs.zone_core import ZoneCore, ZoneSettings
from metalore.envs.zone_scaling import (
    Source,
    _is_multi,
    action_space,
    demand_of,
    flat_mask,
    moves_of,
    observation_space,
)
from metalore.fluid import FluidZones, Split

try:
    from pettingzoo import AECEnv, ParallelEnv
    from pettingzoo.utils import parallel_to_aec, wrappers
except ImportError as error:  # pragma: no cover - needs an install without the extra
    raise ImportError('PettingZoo is not installed; run: pip install "metalore[multi]"') from error


class ZoneScalingParallelEnv(ParallelEnv[str, np.ndarray, Any]):
    """
    ## Description
    The zones of a city, an agent for each, called like its zone. Every interval (60 s) each agent lowers, keeps or
    raises what its zone is given of CPU, memory and bandwidth. Sizes may share a budget, and zones may hand requests to
    their neighbours' servers, at a network cost. Everything else is as in `metalore/ZoneScaling-v0`.

    Agents stay for the whole episode; the agent of a zone whose station is down can only keep, which its mask says.

    ## Action Space
    For each agent `Discrete(27)`, or `MultiDiscrete([3, 3, 3])` with `actions="multi"`; with `offload` always
    `MultiDiscrete([3, 3, 3, 3])`, whose last number hands less, as much, or more requests to the three nearest zones
    (by a tenth of all, at most half).

    ## Observation Space
    For each agent as in `metalore/ZoneScaling-v0`; with `budget` set, the block `budget` shows how much of it is given
    out. `state()` has all agents' rows one after the other.

    ## Rewards
    `(1 - city_part) * own + city_part * mean over the city`.

    ## Starting State
    As in `metalore/ZoneScaling-v0`; with a budget no zone begins with more than its equal part.

    ## Episode End
    All agents are truncated after `intervals`.

    ## Info
    For each agent `action_mask` (flat, boolean), and after a step `reward_terms`, `own_reward`, `violated`.

    ## Arguments
    `demand`, `split`, `actions` and settings as in `metalore/ZoneScaling-v0` with the fluid engine; `city_part`,
    `budget` (cores, MB, Mbit/s), `offload`.

    ## Version History
    - v0: first release.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  # as PettingZoo declares it
        "name": "zone_scaling_v0",
        "render_modes": [],
        "is_parallelizable": True,
    }
    render_mode = None

    def __init__(
        self,
        demand: Source | None = None,
        *,
        split: str = "backlog-proportional",
        actions: Literal["discrete", "multi"] = "discrete",
        **settings: Any,
    ) -> None:
        demand = demand_of(demand)
        made = ZoneSettings().updated(**settings)
        self.core = ZoneCore(FluidZones(demand, split=Split.read(split)), made)
        self._multi = _is_multi(actions) or made.offload
        self.possible_agents = list(demand.zones)
        self.observation_spaces = {agent: observation_space(self.core) for agent in self.possible_agents}
        self.action_spaces = {agent: self._action_space() for agent in self.possible_agents}
        self.state_space = spaces.Box(
            0.0, float(self.observation_spaces[self.possible_agents[0]].high[0]),
            (len(self.possible_agents) * self.core.observer.size,), np.float32,
        )  # fmt: skip
        self.agents: list[str] = []

    def _action_space(self) -> spaces.Space[Any]:
        return spaces.MultiDiscrete([3, 3, 3, 3]) if self.core.settings.offload else action_space(self._multi)

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """What an agent sees."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """What an agent does."""
        return self.action_spaces[agent]

    def state(self) -> np.ndarray:
        """The whole city for a central critic: all agents' rows."""
        state: np.ndarray = self.core.observe()[0].reshape(-1)
        return state

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
        """Begin an episode. Without a seed the next episode of the present seed begins (a fresh one the first time)."""
        if seed is None and self.core.episodes[0] < 0:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        seen = self.core.reset(None if seed is None else [seed])[0]
        self.agents = list(self.possible_agents)
        masks = self._masks()
        return self._by_agent(seen), {agent: {"action_mask": masks[z]} for z, agent in enumerate(self.agents)}

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[dict[str, np.ndarray], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Resize, run an interval, observe, reward."""
        everybody = self.agents
        missing, others = set(everybody) - set(actions), set(actions) - set(everybody)
        if missing or others:
            wrong = f"no action for {min(missing)}" if missing else f"an action for {min(others)}, who is not there"
            raise ValueError(f"{wrong}; every agent in `agents` needs one, and nobody else may have one")
        if not everybody:
            return {}, {}, {}, {}, {}
        rows = np.stack([np.asarray(actions[agent]) for agent in everybody])[None]
        moves = moves_of(rows[..., :3] if self._multi else rows, self._multi)
        offload = rows[..., 3] - 1 if self.core.settings.offload else None
        stepped = self.core.step(moves, offload)
        own, masks = self.core.settings.reward.of(stepped.terms)[0], self._masks()
        over = bool(stepped.truncated[0])
        infos = {
            agent: {
                "action_mask": masks[z],
                "own_reward": float(own[z]),
                "violated": bool(stepped.violated[0, z]),
                "reward_terms": dict(zip(TERMS, stepped.terms[0, z].tolist(), strict=True)),
            }
            for z, agent in enumerate(everybody)
        }
        seen = self._by_agent(self.core.observe()[0])
        self.agents = [] if over else self.agents
        return (
            seen,
            {agent: float(stepped.rewards[0, z]) for z, agent in enumerate(everybody)},
            dict.fromkeys(everybody, False),
            dict.fromkeys(everybody, over),
            infos,
        )

    def _by_agent(self, seen: np.ndarray) -> dict[str, np.ndarray]:
        return {agent: seen[z] for z, agent in enumerate(self.possible_agents)}

    def _masks(self) -> np.ndarray:
        mask = flat_mask(self.core.mask(), self._multi)[0]
        if not self.core.settings.offload:
            return mask
        offload = self.core.offload[0]
        more_or_less = np.stack([offload > 0, np.ones(len(offload), bool), offload < 0.5], axis=-1)
        return np.concatenate([mask, more_or_less], axis=-1)

    def render(self) -> None:
        """Nothing is drawn."""

    def close(self) -> None:
        """Nothing is open."""


parallel_env = ZoneScalingParallelEnv


def raw_env(*arguments: Any, **options: Any) -> AECEnv[str, np.ndarray, Any]:
    """The same with agents acting one after the other (PettingZoo's AEC interface)."""
    return parallel_to_aec(parallel_env(*arguments, **options))


def env(*arguments: Any, **options: Any) -> AECEnv[str, np.ndarray, Any]:
    """:func:`raw_env` with PettingZoo's guard against calls in the wrong order."""
    return wrappers.OrderEnforcingWrapper(raw_env(*arguments, **options))
