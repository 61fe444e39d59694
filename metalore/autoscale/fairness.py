"""How a budget that is too small is shared."""

from __future__ import annotations

import numpy as np


def fair_shares(wanted: np.ndarray, guaranteed: np.ndarray, least: np.ndarray, budget: float) -> np.ndarray:
    """Max-min fair shares of what lies above a guaranteed minimum (Bertsekas and Gallager 1992, section 6.5).

    Everybody gets the guaranteed minimum and the same more, up to what is wanted: nobody can get more without somebody
    who has less above the minimum getting less. `least` is kept even where that is more than fair.

    Args:
        wanted: [z].
        guaranteed: [z].
        least: [z], no more than wanted; their sum must not exceed the budget.
        budget: for all together; infinite: there is none.

    Returns:
        [z], between least and wanted. The sum is the budget if more is wanted.
    """
    if wanted.sum() <= budget:
        return wanted

    def shares(level: float) -> np.ndarray:
        return np.clip(guaranteed + level, least, wanted)

    # The sum is linear between the levels at which somebody's share begins or ends to rise.
    levels = np.unique(np.concatenate([least - guaranteed, wanted - guaranteed]))
    low, high = 0, len(levels) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if shares(levels[middle]).sum() <= budget else (low, middle)
    below, above = shares(levels[low]).sum(), shares(levels[high]).sum()
    part = (budget - below) / (above - below) if above > below else 0.0
    return shares(levels[low] + np.clip(part, 0.0, 1.0) * (levels[high] - levels[low]))
