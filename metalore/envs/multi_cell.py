"""`metalore/MultiCell-v0`: several cells under one agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalore.envs.base import WorldEnv
from metalore.scenario import Scenario


class MultiCellEnv(WorldEnv):
    """
    ## Description
    Several base stations with their edge servers, users who walk between them, and sensors around them, all under one
    agent, which splits bandwidth and compute of every cell between requests and updates.

    ## Action Space
    `Box(0, 1, (2 * cells,), float32)`: for each cell in turn the parts of bandwidth and of compute for requests.

    ## Observation Space
    As in `metalore/SmartCity-v0`, with per-cell features one cell after the other: by default
    `Box(0, ., (2 * cells,), float32)` of queue lengths.

    ## Rewards
    As in `metalore/SmartCity-v0`, summed over cells.

    ## Starting State
    As in `metalore/SmartCity-v0`; sensor n stands around station n mod cells.

    ## Episode End
    Truncated after `max_steps` (100).

    ## Arguments
    As in `metalore/SmartCity-v0`; `scenario` defaults to `"four-cells"` and may have any number of stations.

    ## Version History
    - v0: first release.
    """

    def __init__(
        self,
        scenario: Scenario | str | Mapping[str, Any] = "four-cells",
        overrides: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(scenario, overrides, **options)
