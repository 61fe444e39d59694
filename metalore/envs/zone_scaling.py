"""`metalore/ZoneScaling-v0`: one zone, sized interval by interval."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from metalore.autoscale.agents.features import MOST
from metalore.autoscale.agents.ranges import MOVES, joint_mask
from metalore.autoscale.agents.reward import TERMS
from metalore.envs.zone_core import Stepped, ZoneCore, Zones, ZoneSettings
from metalore.fluid import Demand, FluidError, FluidZones, Split

Source = Demand | str
"""Where demand is from: a :class:`metalore.fluid.Demand`, the folder of a recording, or the name of a city."""
DRAWN_DAYS, DRAWN_SCALE = 7.0, 0.4
"""Of demand that is drawn from a city's settings: so long, and so many of its people, that the published ranges fit."""


class ZoneScalingEnv(gymnasium.Env[np.ndarray, Any]):
    """
    ## Description
    A zone of a city, its base station and edge server. Every interval (60 s) the agent lowers, keeps or raises what the
    zone is given of CPU, memory and bandwidth; then users ask, data cross the air, the server works, queues grow or
    shrink, for 60 steps. Too little costs latency, age and losses, too much costs money.

    Underneath is the fluid of :mod:`metalore.fluid.zones` (`engine="fluid"`), or the real world, in which every user
    walks and every job is known (`engine="world"`; a batch of the fluid is more than a hundred times faster). An
    episode is a stretch of a demand in a zone, both drawn at random.

    ## Action Space
    `Discrete(27)`: action a moves resources by `metalore.autoscale.agents.MOVES[a]` steps, each -1, 0 or 1; or, with
    `actions="multi"`, `MultiDiscrete([3, 3, 3])`: 0 lowers, 1 keeps, 2 raises cores, memory, bandwidth. Ranges and
    steps are `ranges`: 0.1 to 2 cores by 0.1, 128 to 2048 MB by 128, 5 to 200 Mbit/s by 5. What would leave the range
    keeps.
    `action_masks()` and `info["action_mask"]` are flat and boolean: 27 numbers, or 9.

    ## Observation Space
    `Box(0, 4, (f,), float32)`: blocks of `metalore.autoscale.agents.FEATURES`, scaled by the most that can be given and
    by the latency target. By default the forecast of CPU, memory, bandwidth and latency, and what is given.

    | block | numbers | what |
    |---|---|---|
    | `forecast` | 4 per horizon | medians |
    | `quantiles` | 4 per horizon | 0.9 quantiles |
    | `allocation` | 3 | given |
    | `telemetry` | 5 per recent interval | used cores, memory, bandwidth; latency; part of jobs lost |
    | `error` | 1 | recent error of forecasts one interval ahead |
    | `distrust` | 1 | of forecasts, by a drift detector (`metalore.autoscale.Drift`; some 20 us a zone) |
    | `calendar` | 3 | sine and cosine of the time of day, weekend |
    | `announced` | 1 | what a planned event multiplies requests by, as log2 / 4 |
    | `budget` | 1 | part of the city's budget that is given out |
    | `up` | 1 | whether the station works |

    ## Rewards
    Minus the weighted sum of `overload`, `latency`, `loss`, `age`, `cost`, `change`, `network`
    (:class:`metalore.autoscale.agents.Reward`); `info["reward_terms"]` holds each, not weighted.

    ## Starting State
    Empty queues, and sizes half as large again as what the zone used last; with `starts_anywhere` any. The same seed
    gives the same episode; a reset without a seed goes on to the seed's next one.

    ## Episode End
    Truncated after `intervals` (120), never terminated.

    ## Arguments
    - `demand`: a `metalore.fluid.Demand`, the folder of a recording (`metalore record`), or a city whose demand is
      drawn (default `"city-30"`: seven days, with two fifths of its people).
    - `engine`: `"fluid"` or `"world"`; then `demand` is a scenario (default `"one-zone"`).
    - `split`: how requests and updates share: `backlog-proportional` (default) or `fixed:0.5,0.5`; the world takes any
      policy over worlds too.
    - `actions`: `"discrete"` or `"multi"`.
    - everything in :class:`metalore.envs.zone_core.ZoneSettings`, say `forecast="foresight"`, `features=[...]`,
      `reward={"cost": 2.0}`, `disturbances={"crowds_per_day": 2.0}`.
    - `render_mode`: `"ansi"`: a line of text.

    What cannot be is refused with a `ValueError`.

    ## Version History
    - v0: first release.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012  # as Gymnasium declares it

    def __init__(
        self,
        demand: Source | None = None,
        *,
        engine: Literal["fluid", "world"] = "fluid",
        split: Any = "backlog-proportional",
        actions: Literal["discrete", "multi"] = "discrete",
        render_mode: Literal["ansi"] | None = None,
        **settings: Any,
    ) -> None:
        if render_mode not in (None, "ansi"):
            raise ValueError(f"render_mode is {render_mode!r}; it can be 'ansi' or unset")
        self.render_mode = render_mode
        self.core = ZoneCore(zones_of(demand, engine, split), ZoneSettings().updated(**settings))
        self._multi = _is_multi(actions)
        self.action_space = action_space(self._multi)
        self.observation_space = observation_space(self.core)
        self._last: Stepped | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode. Without a seed the next episode of the present seed begins (a fresh one the first time)."""
        super().reset(seed=seed)
        first = self.core.episodes[0] < 0
        if seed is None and first:
            seed = int(self.np_random.integers(2**31))
        seen = self.core.reset(None if seed is None else [seed])[0, 0]
        self._last = None
        zones = self.core.zones
        return seen, {
            "seed": int(self.core.seeds[0]),
            "episode_number": int(self.core.episodes[0]),
            "zone": zones.demand.zones[int(zones.zone_of[0, 0])],
            "action_mask": self.action_masks(),
        }

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Resize, run an interval, observe, reward.

        Raises:
            ValueError: an action outside of the action space.
        """
        if not self.action_space.contains(action):
            raise ValueError(f"the action is {action!r}; it must lie in {self.action_space}")
        self._last = self.core.step(moves_of(np.asarray(action)[None, None], self._multi))
        reward, truncated = float(self._last.rewards[0, 0]), bool(self._last.truncated[0])
        return self.core.observe()[0, 0], reward, False, truncated, self._info(self._last)

    def _info(self, stepped: Stepped) -> dict[str, Any]:
        happened, given = stepped.happened, self.core.given[0, 0]
        latency_ms = float(happened.latency_ms[0, 0])
        return {
            "reward_terms": dict(zip(TERMS, stepped.terms[0, 0].tolist(), strict=True)),
            "violated": bool(stepped.violated[0, 0]),
            "requests": float(happened.requests[0, 0]),
            "lost": float(happened.lost[0, 0]),
            "latency_ms": None if np.isnan(latency_ms) else latency_ms,
            "used": happened.used[0, 0].copy(),
            "given": given.copy(),
            "action_mask": self.action_masks(),
        }

    def action_masks(self) -> np.ndarray:
        """Allowed actions, flat and boolean: 27, or 9 with `actions="multi"`."""
        mask: np.ndarray = flat_mask(self.core.mask(), self._multi)[0, 0]
        return mask

    def render(self) -> str | None:  # type: ignore[override]
        """What is given, and what came of it."""
        if self.render_mode is None:
            return None
        cores, memory_mb, mbps = self.core.given[0, 0]
        text = f"given {cores:.2f} cores, {memory_mb:.0f} MB, {mbps:.0f} Mbit/s"
        if self._last is None:
            return text
        happened = self._last.happened
        return (
            f"{text}; used {happened.used[0, 0, 0]:.2f} cores, latency {happened.latency_ms[0, 0]:.0f} ms, lost "
            f"{happened.lost[0, 0]:.0f} of {happened.requests[0, 0]:.0f}; reward {self._last.rewards[0, 0]:.3f}"
        )


class ZoneScalingVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """`metalore/ZoneScaling-v0` as a native batch: `gymnasium.make_vec(..., vectorization_mode="vector_entry_point")`.

    Arguments are those of :class:`ZoneScalingEnv` with the fluid engine, and `num_envs`. A finished environment is
    reset in the step after (`NextStep`); then its action is not looked at and its reward is 0.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int = 1,
        demand: Source | None = None,
        *,
        split: str = "backlog-proportional",
        actions: Literal["discrete", "multi"] = "discrete",
        **settings: Any,
    ) -> None:
        self.num_envs = num_envs
        zones = FluidZones(demand_of(demand), num_envs, single=True, split=Split.read(split))
        self.core = ZoneCore(zones, ZoneSettings().updated(**settings))
        self._multi, self._over = _is_multi(actions), np.zeros(num_envs, bool)
        self.single_action_space = action_space(self._multi)
        self.single_observation_space = observation_space(self.core)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin all episodes. One seed counts up over the environments.

        Raises:
            ValueError: some environments have a seed, and some none.
        """
        super().reset(seed=seed if isinstance(seed, int) else None)
        if seed is None and (self.core.episodes < 0).any():
            seed = int(self.np_random.integers(2**31))
        seeds = [seed + e for e in range(self.num_envs)] if isinstance(seed, int) else seed
        if seeds is not None and None in seeds:
            raise ValueError("every environment needs a seed, or none has one")
        self._over[:] = False
        seen = self.core.reset(seeds)[:, 0]  # type: ignore[arg-type]
        return seen, {"action_mask": self.action_masks()}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Resize, run an interval, observe, reward; begin anew where an episode was over.

        Args:
            actions: [e], or [e, 3] with `actions="multi"`.

        Returns:
            Observations [e, f]; rewards, terminated and truncated [e] each; `action_mask` and `reward_terms` [e, k].

        Raises:
            ValueError: actions outside of the action space.
        """
        over, actions = self._over.copy(), np.asarray(actions)
        most = 2 if self._multi else len(MOVES) - 1
        if actions.shape != self.action_space.shape or not ((actions >= 0) & (actions <= most)).all():
            raise ValueError(f"the actions are {actions.tolist()!r}; they must lie in {self.action_space}")
        stepped = self.core.step(moves_of(actions[:, None], self._multi))
        self._over = stepped.truncated & ~over
        if over.any():
            self.core.reset(None, np.flatnonzero(over))
        rewards = np.where(over, 0.0, stepped.rewards[:, 0])
        info = {"action_mask": self.action_masks(), "reward_terms": stepped.terms[:, 0]}
        return self.core.observe()[:, 0], rewards, np.zeros(self.num_envs, bool), self._over.copy(), info

    def action_masks(self) -> np.ndarray:
        """Allowed actions of each environment, boolean [e, 27] or [e, 9]."""
        mask: np.ndarray = flat_mask(self.core.mask(), self._multi)[:, 0]
        return mask


# -- what environments of zones share ----------------------------------------------------------------------------------


def demand_of(source: Source | None) -> Demand:
    """A demand from what users pass to an environment.

    Raises:
        FluidError: neither a recording nor a city.
    """
    if isinstance(source, Demand):
        return source
    source = source or "city-30"
    if Path(source).is_dir():
        return Demand.recorded(source)
    return _drawn(source)


@lru_cache(maxsize=4)
def _drawn(name: str) -> Demand:
    return Demand.drawn(name, days=DRAWN_DAYS, scale=DRAWN_SCALE)


def zones_of(demand: Source | None, engine: str, split: Any) -> Zones:
    """What runs a single zone.

    Raises:
        FluidError: another engine, or a demand that it cannot run.
    """
    if engine == "world":
        from metalore.envs.zone_world import WorldZones

        if isinstance(demand, Demand):
            raise FluidError("the world makes its own demand; name a scenario, or take the fluid")
        world = WorldZones("one-zone" if demand is None else demand, split)
        if world.num_zones > 1:
            raise FluidError(
                f"scenario {world.scenario.name!r} has {world.num_zones} zones and this environment one; "
                "take zone_scaling_v0.parallel_env"
            )
        return world
    if engine != "fluid":
        raise FluidError(f"engine is {engine!r}; it can be 'fluid' or 'world'")
    return FluidZones(demand_of(demand), single=True, split=Split.read(split))


def _is_multi(actions: str) -> bool:
    if actions not in ("discrete", "multi"):
        raise ValueError(f"actions is {actions!r}; it can be 'discrete' or 'multi'")
    return actions == "multi"


def action_space(multi: bool) -> spaces.Discrete[Any] | spaces.MultiDiscrete:
    """Of one zone."""
    return spaces.MultiDiscrete([3, 3, 3]) if multi else spaces.Discrete(len(MOVES))


def observation_space(core: ZoneCore) -> spaces.Box:
    """Of one zone."""
    return spaces.Box(0.0, MOST, (core.observer.size,), np.float32)


def moves_of(actions: np.ndarray, multi: bool) -> np.ndarray:
    """Moves [..., r] of actions: numbers [...], or [..., r] if multi."""
    moves: np.ndarray = actions - 1 if multi else MOVES[actions]
    return moves


def flat_mask(mask: np.ndarray, multi: bool) -> np.ndarray:
    """Flat masks [..., 27], or [..., 9] if multi, of :meth:`ZoneCore.mask`."""
    return mask.reshape(*mask.shape[:-2], -1) if multi else joint_mask(mask)
