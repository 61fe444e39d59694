"""Native batches: all environments in one compiled call, for `gymnasium.make_vec(..., "vector_entry_point")`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from metalore.envs.base import make_world, require_one_cell, share_space
from metalore.envs.observation import DEFAULT, Observer
from metalore.scenario import Scenario
from metalore.world import METRICS, REWARD_TERMS, WorldError


class WorldVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """`num_envs` environments stepped together; environment i is the single environment with seed ``seed + i``.

    Args:
        scenario, overrides, observation, stack: as of :class:`metalore.envs.SmartCityEnv`.
        num_envs: size of the batch.
        threads: how many threads step it; results do not depend on it.
        autoreset_mode: what happens at an episode's end (`AutoresetMode` or its value). ``NextStep``: the step after
            the end resets, its reward is 0. ``SameStep``: the ending step resets, `info["final_obs"]` holds the last
            observation. ``Disabled``: call ``reset(options={"reset_mask": ...})``.
        options: further ones of :class:`metalore.world.World`.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012  # as Gymnasium declares it

    def __init__(
        self,
        scenario: Scenario | str | Mapping[str, Any],
        overrides: Mapping[str, Any] | None = None,
        *,
        num_envs: int = 1,
        threads: int = 1,
        observation: Sequence[str] = DEFAULT,
        stack: int = 1,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **options: Any,
    ) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode is {render_mode!r}; a batch renders its environments as 'rgb_array' only")
        self.world = make_world(scenario, overrides, num_envs, threads=threads, **options)
        self.num_envs, self.render_mode = num_envs, render_mode
        self._observer = Observer(self.world, observation, stack)
        self._mode = AutoresetMode(autoreset_mode)
        self.metadata = {**type(self).metadata, "autoreset_mode": self._mode}
        self.single_observation_space, self.single_action_space = self._observer.space, share_space(self.world)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._shares_shape = (num_envs, self.world.num_stations, 2)
        self._no = np.zeros(num_envs, np.bool_)
        self._over = self._no.copy()
        self._renderers: list[Any] = []

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start episodes: all, or those of ``options["reset_mask"]`` (boolean [e])."""
        chosen = None if options is None else options.get("reset_mask")
        if isinstance(seed, int | np.integer):
            super().reset(seed=int(seed))
        elif seed is not None and any(s is None for s in seed):
            raise WorldError("give every environment a seed, or one number for all, or none")
        self.world.reset(seed, chosen)  # type: ignore[arg-type]  # checked above: no None in it
        self._over[slice(None) if chosen is None else chosen] = False
        return self._observer.first(chosen), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Act [e, 2 * s], advance, observe, reward, end; and reset what the autoreset mode says."""
        if np.shape(actions) != self.action_space.shape:
            raise WorldError(f"actions have shape {np.shape(actions)}; expected {self.action_space.shape}")
        shares = np.asarray(actions).reshape(self._shares_shape)
        if self._mode == AutoresetMode.NEXT_STEP and self._over.any():
            return self._step_and_reset(shares)
        self.world.step(shares)
        observations, reward = self._observer.next(), self.world.reward.copy()
        truncated = self.world.ended
        info = self._info(~self._no)
        self._over = truncated.copy()
        if truncated.any():
            self._tell_end(info, truncated)
            if self._mode == AutoresetMode.SAME_STEP:
                observations = self._reset_ended(info, observations, truncated)
        return observations, reward, self._no.copy(), truncated, info

    def _step_and_reset(
        self, shares: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Reset what is over, step the rest."""
        over = self._over.copy()
        if over.all():
            self.world.reset()
            reward, truncated = np.zeros(self.num_envs), self._no.copy()
            observations = self._observer.first()
        else:
            self.world.step(shares, ~over)
            reward = np.where(over, 0.0, self.world.reward)
            truncated = self.world.ended & ~over
            self.world.reset(chosen=over)
            observations = self._observer.next()
            observations[over] = self._observer.first(over)[over]
        info = self._info(~over)
        self._over = truncated.copy()
        if truncated.any():
            self._tell_end(info, truncated)
        return observations, reward, self._no.copy(), truncated, info

    def _info(self, stepped: np.ndarray) -> dict[str, Any]:
        terms = np.where(stepped[:, None], self.world.reward_terms, 0.0)
        return {
            "reward_terms": {name: terms[:, i] for i, name in enumerate(REWARD_TERMS)},
            "_reward_terms": stepped,
        }

    def _tell_end(self, info: dict[str, Any], ended: np.ndarray) -> None:
        totals = np.where(ended[:, None], self.world.episode_totals, 0.0)
        info["episode_metrics"] = {name: totals[:, i] for i, name in enumerate(METRICS)}
        info["_episode_metrics"] = ended.copy()

    def _reset_ended(self, info: dict[str, Any], observations: np.ndarray, ended: np.ndarray) -> np.ndarray:
        final = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(ended):
            final[i] = observations[i]
        info["final_obs"], info["_final_obs"] = final, ended.copy()
        self.world.reset(chosen=ended)
        self._over[:] = False
        return self._observer.first(ended)

    def render(self) -> tuple[Any, ...] | None:
        """A frame [height, width, 3] of each environment."""
        if self.render_mode is None:
            return None
        if not self._renderers:
            from metalore.envs.rendering import Renderer

            self._renderers = [Renderer(self.world, env=i, mode="rgb_array") for i in range(self.num_envs)]
        for renderer in self._renderers:
            renderer.observe()
        return tuple(renderer.draw() for renderer in self._renderers)

    def close_extras(self, **kwargs: Any) -> None:
        """Let go of the renderers."""
        for renderer in self._renderers:
            renderer.close()


class SmartCityVectorEnv(WorldVectorEnv):
    """A batch of `metalore/SmartCity-v0`."""

    def __init__(
        self,
        scenario: Scenario | str | Mapping[str, Any] = "smart-city",
        overrides: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(scenario, overrides, **options)
        require_one_cell(self.world)


class MultiCellVectorEnv(WorldVectorEnv):
    """A batch of `metalore/MultiCell-v0`."""

    def __init__(
        self,
        scenario: Scenario | str | Mapping[str, Any] = "four-cells",
        overrides: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(scenario, overrides, **options)
