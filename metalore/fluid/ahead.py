"""Forecasts of a demand: perfect foresight, the last value, or a forecaster that was kept.

Axes: `e` environments, `z` zones, `h` horizons (1 is the interval that comes next), `r` columns of
:data:`metalore.fluid.USED`, `q` the quantiles 0.5 and 0.9.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import numpy as np

from metalore.fluid.demand import Demand, FluidError

Ahead = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From the rows that come next [e] and the zones' numbers [e, z] to forecasts [e, z, h, r, q], NaN where there are none.

Nothing but what lies before those rows may be looked at, but for foresight."""

NAMES = ("foresight", "last-value", "none")
_KEPT = "metalore.forecast.ahead"
"""Answers for folders; by name, since forecasters lie above environments in the house and need torch."""
LEVELS = (0.5, 0.9)


def forecasts_of(name: str, demand: Demand, horizons: Sequence[int]) -> Ahead:
    """What forecasts a demand.

    Args:
        name: one of :data:`NAMES`, or the folder of a kept forecaster (`metalore forecast train`).
        demand: of which forecasts are made.
        horizons: intervals ahead.

    Raises:
        FluidError: no such name or folder.
    """
    if name == "foresight":
        return _Foresight(demand, horizons)
    if name == "last-value":
        return _LastValue(demand, horizons)
    if name == "none":
        return _nothing(len(horizons))
    if not Path(name).is_dir():
        raise FluidError(
            f"forecast is {name!r}; it can be {', '.join(NAMES)}, or a folder of `metalore forecast train`"
        )
    made: Ahead = import_module(_KEPT).forecasts_of_demand(Path(name), demand, tuple(horizons))
    return made


def _nothing(horizons: int) -> Ahead:
    def nothing(rows: np.ndarray, zone_of: np.ndarray) -> np.ndarray:
        return np.full((*zone_of.shape, horizons, 4, len(LEVELS)), np.nan)

    return nothing


class _Foresight:
    """What zones will use; both quantiles are the truth."""

    def __init__(self, demand: Demand, horizons: Sequence[int]) -> None:
        self._used, self._horizons = demand.used, np.asarray(horizons)

    def __call__(self, rows: np.ndarray, zone_of: np.ndarray) -> np.ndarray:
        at = np.clip(rows[:, None] + self._horizons - 1, 0, len(self._used) - 1)
        values = self._used[at[:, None, :], zone_of[:, :, None]]
        return np.repeat(values[..., None], len(LEVELS), axis=-1)


class _LastValue:
    """What zones used last, and for the 0.9 quantile what that was exceeded by in nine of ten intervals before.

    These offsets are taken from the first seventh of the demand, or its first day if that is more.
    """

    def __init__(self, demand: Demand, horizons: Sequence[int]) -> None:
        self._used = demand.used
        known = max(len(demand) // 7, min(len(demand), round(86_400 / demand.interval_s)))
        offsets = []
        for h in horizons:
            rises = demand.used[h:known] - demand.used[: max(known - h, 0)]
            empty = np.zeros(demand.used.shape[1:])
            offsets.append(np.fmax(np.nanquantile(rises, LEVELS[1], axis=0), 0.0) if len(rises) else empty)
        self._offsets = np.nan_to_num(np.stack(offsets))  # [h, z, r]

    def __call__(self, rows: np.ndarray, zone_of: np.ndarray) -> np.ndarray:
        last = self._used[np.maximum(rows - 1, 0)[:, None], zone_of]  # [e, z, r]
        median = np.repeat(last[:, :, None], len(self._offsets), axis=2)
        upper = median + self._offsets[:, zone_of].transpose(1, 2, 0, 3)
        return np.stack([median, upper], axis=-1)
