"""Several cells, an agent for each, under PettingZoo's parallel interface.

::

    from metalore.envs import multi_cell_v0

    env = multi_cell_v0.parallel_env("four-cells", neighbours=2, city_part=0.5)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from gymnasium import spaces

from metalore.envs.base import Rendered, make_world
from metalore.envs.cells import CellObserver, cell_rewards, check_part, own_rewards
from metalore.envs.observation import DEFAULT
from metalore.scenario import Scenario, zone_names
from metalore.world import METRICS, WorldError

try:
    from pettingzoo import AECEnv, ParallelEnv
    from pettingzoo.utils import parallel_to_aec, wrappers
except ImportError as error:  # pragma: no cover - needs an install without the extra
    raise ImportError('PettingZoo is not installed; run: pip install "metalore[multi]"') from error

_SHARED = METRICS.index("twin_age")  # counted for the whole city, so it is no station's
_AORI = [METRICS.index(f"request_{part}") for part in ("device_wait", "transmission", "server_wait", "processing")]
_NAMES = (*(name for name in METRICS if name != "twin_age"), "aori")


class MultiCellParallelEnv(Rendered, ParallelEnv[str, np.ndarray, np.ndarray]):
    """
    ## Description
    Several base stations with their edge servers, users who walk between them, and sensors around them. Every station
    has an agent, called like its zone (`metalore.scenario.zone_names`), that splits bandwidth and compute of its own
    cell between requests and updates.

    **Stations that go down.** With outages or failures in the scenario agents leave and join. The agent of a station
    that goes down is terminated in that step. A terminated agent may not come back under PettingZoo's rules
    (`parallel_api_test`: "agent cannot be revived once dead"), so when the station is up again a **new** agent joins
    for it: `zone-001#2` after `zone-001`, then `zone-001#3`. `info["station"]` says whose station it is, and one policy
    for all agents does not notice. With `when_down="wait"` nobody leaves: the agent of a station that is down sees
    zeros, its action has no effect and its reward is 0, until the station is up again; this is for tools that want the
    same agents in every step.

    `possible_agents` never changes. Planned outages say exactly who will come. With random failures it holds more names
    than most episodes need (`lives` bounds them), and PettingZoo's test remarks that not all of them have lived. A
    station whose names are used up works on without an agent, with even shares. If all stations are down, `agents` is
    empty for a while; `step({})` goes on.

    ## Action Space
    For each agent `Box(0, 1, (2,), float32)`: the parts of bandwidth and of compute that go to requests; updates get
    the rest. Every agent in `agents` needs an action, and nobody else may have one.

    ## Observation Space
    For each agent `Box(0, ., (f * stack,), float32)`: features of its own cell (by default the two queue lengths:
    requests, updates); for each of the `neighbours` nearest stations 1 if it is up and its features, all zero if it is
    down or if the city has no so many; features of the city (`waiting_age`, `twin_age`, `progress`), if chosen.
    `state()` has every station's flag and features once, then those of the city.

    ## Rewards
    `(1 - city_part) * own + city_part * mean`: the cell's own part of the city's reward (`reward.*` of the scenario;
    the age at the twin is parted evenly among stations), and the mean over the stations that were up in the step. With
    all up and `city_part=0`, rewards sum to the reward of `metalore/MultiCell-v0`. What is lost at a station that is
    down belongs to nobody.

    ## Starting State
    As in `metalore/MultiCell-v0`. The same seed gives the same episode; a reset without a seed goes on to the seed's
    next episode.

    ## Episode End
    All agents are truncated after `max_steps`; an agent is terminated when its station goes down.

    ## Info
    For each agent `station` (its number), `up` (whether it is now), `own_reward`, and `counts`: what was counted in
    the step at its station (`metalore.world.METRICS` without the twin's age, and `aori`; ages in steps, summed over
    completed requests). An agent's last info also has `episode_counts`, summed over its life. After a reset `station`,
    `up`, `seed` and `episode_number`.

    ## Arguments
    - `scenario`: a built-in name, a TOML file, nested settings or a `Scenario` (default `"four-cells"`).
    - `overrides`: settings by dotted path, say `{"users.count": 20}`.
    - `observation`, `stack`: names of `metalore.envs.FEATURES`, and how many observations to show, oldest first.
    - `neighbours`: how many nearest stations to show (default 0).
    - `city_part`: how much of the reward is the city's mean (default 0).
    - `when_down`: `"leave"` (default) or `"wait"`.
    - `lives`: how many agents a station may have in an episode, one after the other (unset: as many as planned outages
      need, and under failures so many more that one in millions of episodes needs more).
    - `job_log`, `channel`, `mobility`, `traffic`, `scheduler`: as in `metalore/SmartCity-v0`.
    - `render_mode`: `"rgb_array"` or `"human"`.

    What cannot be is refused with a `ValueError`.

    ## Version History
    - v0: first release.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012  # as PettingZoo declares it
        "name": "multi_cell_v0",
        "render_modes": ["rgb_array", "human"],
        "render_fps": 30,
        "is_parallelizable": True,
    }

    def __init__(
        self,
        scenario: Scenario | str | Mapping[str, Any] = "four-cells",
        overrides: Mapping[str, Any] | None = None,
        *,
        observation: Sequence[str] = DEFAULT,
        stack: int = 1,
        neighbours: int = 0,
        city_part: float = 0.0,
        when_down: Literal["leave", "wait"] = "leave",
        lives: int | None = None,
        render_mode: Literal["rgb_array", "human"] | None = None,
        job_log: bool = False,
        channel: Callable[..., float] | None = None,
        mobility: Callable[..., tuple[float, ...]] | None = None,
        traffic: Callable[..., tuple[float, ...]] | None = None,
        scheduler: Callable[..., float] | None = None,
    ) -> None:
        self._check_render_mode(render_mode)
        if when_down not in ("leave", "wait"):
            raise ValueError(f"when_down is {when_down!r}; it can be 'leave' or 'wait'")
        if lives is not None and lives < 1:
            raise ValueError(f"lives is {lives}; a station has at least 1 agent")
        functions: dict[str, Any] = {
            "channel": channel,
            "mobility": mobility,
            "traffic": traffic,
            "scheduler": scheduler,
        }
        self.world = make_world(scenario, overrides, job_log=job_log, **functions)
        self.city_part, self.when_down, self.render_mode = check_part(city_part), when_down, render_mode
        self._observer = CellObserver(self.world, observation, stack, neighbours)
        self._max_steps = self.world.scenario.max_steps
        stations = self.world.num_stations
        self._names = _names(self.world.scenario, lives) if when_down == "leave" else _names(self.world.scenario, 1)
        longest = max(map(len, self._names))
        self.possible_agents = [names[life] for life in range(longest) for names in self._names if life < len(names)]
        space, shares = self._observer.space, spaces.Box(0.0, 1.0, (2,), np.float32)
        self.observation_spaces = {agent: _like(space) for agent in self.possible_agents}
        self.action_spaces = {agent: _like(shares) for agent in self.possible_agents}
        self.state_space = _like(space, self._observer.state().shape[1:])
        self.agents: list[str] = []
        self._agent_of: dict[int, str] = {}
        self._lived = np.zeros(stations, int)
        self._counts = np.zeros((stations, len(_NAMES)))

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """What an agent sees."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """What an agent does."""
        return self.action_spaces[agent]

    def state(self) -> np.ndarray:
        """The whole city for a central critic: for each station 1 if it is up and its features, then the city's."""
        state: np.ndarray = self._observer.state()[0]
        return state

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
        """Start an episode. Without a seed the next episode of the present seed begins (a fresh one the first time)."""
        self.world.reset(seed)
        self._agent_of.clear()
        self._lived[:] = 0
        self._join()
        seen = self._observer.first()
        self._show()
        about = {"seed": int(self.world.seeds[0]), "episode_number": int(self.world.episodes[0])}
        up = self._observer.up
        infos = {agent: {"station": z, "up": bool(up[z]), **about} for z, agent in self._agent_of.items()}
        return {agent: seen[z] for z, agent in self._agent_of.items()}, infos

    def step(
        self, actions: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Act, advance, observe, reward, leave and join; `actions` hold shares [2] of each agent."""
        self.world.step(self._shares(actions))
        ended = bool(self.world.ended[0])
        up = self._observer.up
        left = set() if ended or self.when_down == "wait" else {z for z in self._agent_of if not up[z]}
        self._count()
        if not ended:
            self._join()
        own, rewards = own_rewards(self.world)[0], cell_rewards(self.world, self.city_part)[0]
        seen, everybody = self._observer.next(), dict(self._agent_of)
        infos = {agent: self._info(z, own, up, ended or z in left) for z, agent in everybody.items()}
        for z in list(everybody) if ended else left:
            del self._agent_of[z]
        self.agents = list(self._agent_of.values())
        self._show()
        return (
            {agent: seen[z] for z, agent in everybody.items()},
            {agent: float(rewards[z]) for z, agent in everybody.items()},
            {agent: z in left for z, agent in everybody.items()},
            dict.fromkeys(everybody.values(), ended),
            infos,
        )

    def _shares(self, actions: Mapping[str, np.ndarray]) -> np.ndarray:
        """Shares [1, s, 2]; even ones where nobody decides."""
        missing, others = set(self.agents) - set(actions), set(actions) - set(self.agents)
        if missing or others:
            wrong = f"no action for {min(missing)}" if missing else f"an action for {min(others)}, who is not there"
            raise WorldError(f"{wrong}; every agent in `agents` needs one, and nobody else may have one")
        shares = np.full((1, self.world.num_stations, 2), 0.5)
        for z, agent in self._agent_of.items():
            action = np.asarray(actions[agent], np.float64)
            if action.shape != (2,):
                raise WorldError(f"the action of {agent} has shape {action.shape}; expected (2,)")
            shares[0, z] = action
        return shares

    def _join(self) -> None:
        """Let an agent come for each station that is up and has none, in order of stations."""
        up = self._observer.up
        for z, names in enumerate(self._names):
            if z not in self._agent_of and (up[z] or self.when_down == "wait") and self._lived[z] < len(names):
                self._agent_of[z] = names[self._lived[z]]
                self._lived[z] += 1
                self._counts[z] = 0.0
        self._agent_of = dict(sorted(self._agent_of.items()))
        self.agents = list(self._agent_of.values())

    def _count(self) -> None:
        totals = self.world.station_totals[0]
        self._last = np.column_stack([np.delete(totals, _SHARED, axis=1), totals[:, _AORI].sum(axis=1)])
        self._counts += self._last

    def _info(self, z: int, own: np.ndarray, up: np.ndarray, last: bool) -> dict[str, Any]:
        counts = dict(zip(_NAMES, self._last[z].tolist(), strict=True))
        info = {"station": z, "up": bool(up[z]), "own_reward": float(own[z]), "counts": counts}
        if last:
            info["episode_counts"] = dict(zip(_NAMES, self._counts[z].tolist(), strict=True))
        return info


parallel_env = MultiCellParallelEnv


def raw_env(*arguments: Any, **options: Any) -> AECEnv[str, np.ndarray, np.ndarray]:
    """The same with agents acting one after the other (PettingZoo's AEC interface); observations [f], actions [2]."""
    return parallel_to_aec(parallel_env(*arguments, **options))


def env(*arguments: Any, **options: Any) -> AECEnv[str, np.ndarray, np.ndarray]:
    """:func:`raw_env` with PettingZoo's guard against calls in the wrong order; shapes are the same, [f] and [2]."""
    return wrappers.OrderEnforcingWrapper(raw_env(*arguments, **options))


def _like(space: spaces.Box, shape: tuple[int, ...] | None = None) -> spaces.Box:
    """A space of its own, so that seeding one agent's does not seed the others'."""
    return spaces.Box(space.low.flat[0], space.high.flat[0], shape or space.shape, np.float32)


def _names(scenario: Scenario, lives: int | None) -> list[list[str]]:
    """Names of each station's agents, in the order in which they come."""
    counts = [lives] * len(scenario.stations) if lives else _lives(scenario)
    return [
        [name, *(f"{name}#{life}" for life in range(2, count + 1))][:count]
        for name, count in zip(zone_names(scenario), counts, strict=True)
    ]


def _lives(scenario: Scenario) -> list[int]:
    """How often each station is up anew: exactly by its planned outages, at most (nearly surely) under failures."""
    times = np.arange(scenario.max_steps) * scenario.step_s
    counts = []
    for station in scenario.stations:
        out = np.zeros(len(times), bool)
        for start, end in station.outages_s:
            out |= (start <= times) & (times < end)
        counts.append(int((~out & np.r_[True, out[:-1]]).sum()))
    if scenario.failures is not None:
        mean = scenario.max_steps * scenario.step_s / scenario.failures.mean_between_s
        more = math.ceil(mean + 5.0 * math.sqrt(mean) + 4.0)  # far beyond a Poisson variable of this mean
        most = math.ceil(scenario.max_steps / 2)
        counts = [min(count + more, most) if count else 0 for count in counts]
    return counts
