"""`metalore/SmartCity-v0`: one cell, one agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalore.envs.base import WorldEnv, require_one_cell
from metalore.scenario import Scenario


class SmartCityEnv(WorldEnv):
    """
    ## Description
    A base station with an edge server serves mobile users and keeps a digital twin fresh from sensors. Users send
    requests, sensors send updates; both share one radio band and one server. Every step (1 s) the agent splits both
    between the two. The reference workload is overloaded on purpose: 140 Gcycle/s are asked of 100.

    ## Action Space
    `Box(0, 1, (2,), float32)`: the parts of bandwidth and of compute that go to requests; updates get the rest.

    ## Observation Space
    `Box(0, ., (f * stack,), float32)`. By default the two queue lengths at the station: requests, updates.
    `observation` chooses other features (`metalore.envs.FEATURES`), `stack` shows the last few.

    ## Rewards
    Per completed request `sync_reward * discount ** AoSI`, minus `delay_penalty` if it took longer than
    `delay_threshold_s`; other terms by weight (`reward.*` of the scenario). `info["reward_terms"]` holds each.

    ## Starting State
    Users uniform on the map, sensors on a ring around the station, queues empty. The same seed gives the same
    episode; a reset without a seed goes on to the seed's next episode.

    ## Episode End
    Truncated after `max_steps` (100), never terminated. `info["episode_metrics"]` then holds the episode's counts.

    ## Arguments
    - `scenario`: a built-in name, a TOML file, nested settings or a `Scenario` (default `"smart-city"`).
    - `overrides`: settings by dotted path, say `{"users.count": 20}`.
    - `observation`, `stack`: see above.
    - `job_log`: keep all jobs' time stamps, read by `env.unwrapped.world.jobs()`.
    - `channel`, `mobility`, `traffic`, `scheduler`: your own scalar functions (docs/extend.md).
    - `render_mode`: `"rgb_array"` or `"human"`.

    ## Version History
    - v0: first release.
    """

    def __init__(
        self,
        scenario: Scenario | str | Mapping[str, Any] = "smart-city",
        overrides: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(scenario, overrides, **options)
        require_one_cell(self.world)
