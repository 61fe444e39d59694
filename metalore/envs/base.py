"""What all environments share: a world, an observer, and how steps and episodes are told to Gymnasium."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces

from metalore.envs.observation import DEFAULT, Observer
from metalore.scenario import Scenario, load
from metalore.world import METRICS, REWARD_TERMS, World, WorldError


def make_world(
    scenario: Scenario | str | Mapping[str, Any],
    overrides: Mapping[str, Any] | None,
    num_envs: int = 1,
    **options: Any,
) -> World:
    """A batch of worlds from what users pass to an environment. `options` are those of :class:`World`."""
    return World(load(scenario).updated(**(overrides or {})), num_envs, **options)


def share_space(world: World) -> spaces.Box:
    """Two shares for each station: bandwidth, compute."""
    return spaces.Box(0.0, 1.0, (2 * world.num_stations,), np.float32)


def require_one_cell(world: World) -> None:
    """Refuse a world of several cells where an environment has one.

    Raises:
        ValueError: several cells.
    """
    if world.num_stations != 1:
        raise ValueError(
            f"SmartCity-v0 has one cell, scenario {world.scenario.name!r} has {world.num_stations}; "
            "use metalore/MultiCell-v0"
        )


class Rendered:
    """What environments over a world of one share about pictures: :meth:`render`, :meth:`close`, and pickling without.

    `metadata` names modes and pictures a second, `render_mode` the chosen one.
    """

    metadata: dict[str, Any]
    world: World
    render_mode: str | None
    _renderer: Any = None

    def _check_render_mode(self, render_mode: str | None) -> None:
        known = self.metadata["render_modes"]
        if render_mode is not None and render_mode not in known:
            raise ValueError(f"render_mode is {render_mode!r}; it can be {' or '.join(map(repr, known))}")

    def render(self) -> Any:
        """A frame of uint8 [height, width, 3] in mode rgb_array; in mode human frames show as steps happen."""
        if self.render_mode == "rgb_array":
            return self._ready_renderer().draw()
        return None

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _show(self) -> None:
        if self.render_mode is None:
            return
        self._ready_renderer().observe()
        if self.render_mode == "human":
            self._renderer.draw()

    def _ready_renderer(self) -> Any:
        if self._renderer is None:
            from metalore.envs.rendering import Renderer

            mode: Literal["rgb_array", "human"] = "human" if self.render_mode == "human" else "rgb_array"
            self._renderer = Renderer(self.world, mode=mode, fps=self.metadata["render_fps"])
        return self._renderer

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_renderer": None}


class WorldEnv(Rendered, gymnasium.Env[np.ndarray, np.ndarray]):
    """One environment over a world of one; see its subclasses for what is registered."""

    metadata: dict[str, Any] = {  # noqa: RUF012  # as Gymnasium declares it
        "render_modes": ["rgb_array", "human"],
        "render_fps": 30,
    }

    def __init__(
        self,
        scenario: Scenario | str | Mapping[str, Any],
        overrides: Mapping[str, Any] | None = None,
        *,
        observation: Sequence[str] = DEFAULT,
        stack: int = 1,
        render_mode: Literal["rgb_array", "human"] | None = None,
        job_log: bool = False,
        channel: Callable[..., float] | None = None,
        mobility: Callable[..., tuple[float, ...]] | None = None,
        traffic: Callable[..., tuple[float, ...]] | None = None,
        scheduler: Callable[..., float] | None = None,
    ) -> None:
        self._check_render_mode(render_mode)
        self.world = make_world(
            scenario,
            overrides,
            job_log=job_log,
            channel=channel,
            mobility=mobility,
            traffic=traffic,
            scheduler=scheduler,
        )
        self.render_mode = render_mode
        self._observer = Observer(self.world, observation, stack)
        self.observation_space = self._observer.space
        self.action_space = share_space(self.world)
        self._action_shape = self.action_space.shape
        self._shares_shape = (1, self.world.num_stations, 2)
        self._max_steps = self.world.scenario.max_steps
        self._begun = False
        self._reward, self._terms, self._t = self.world.reward, self.world.reward_terms[0], self.world.t

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode. Without a seed the next episode of the present seed begins (a fresh one the first time)."""
        super().reset(seed=seed)
        if seed is None and not self._begun:
            seed = int(self.np_random.integers(2**63))  # Gymnasium's SyncVectorEnv keeps infos in signed numbers
        self.world.reset(seed)
        self._begun = True
        observation = self._observer.first()[0]
        self._show()
        return observation, {"seed": int(self.world.seeds[0]), "episode_number": int(self.world.episodes[0])}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Act, advance, observe, reward, end."""
        shares = np.asarray(action, np.float64)
        if shares.shape != self._action_shape:
            raise WorldError(f"the action has shape {shares.shape}; expected {self._action_shape}")
        self.world.step(shares.reshape(self._shares_shape))
        truncated = self._t.item() >= self._max_steps
        info: dict[str, Any] = {"reward_terms": dict(zip(REWARD_TERMS, self._terms.tolist()))}  # noqa: B905  # the hot path
        if truncated:
            info["episode_metrics"] = dict(zip(METRICS, self.world.episode_totals[0].tolist(), strict=True))
        if self.render_mode is not None:
            self._show()
        return self._observer.next()[0], self._reward.item(), False, truncated, info

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        # Views into the world's arrays do not survive pickling as views.
        self._reward, self._terms, self._t = self.world.reward, self.world.reward_terms[0], self.world.t
