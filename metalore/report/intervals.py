"""Tables of means with bootstrap intervals, and how to write them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from metalore.intervals import bootstrap_mean

__all__ = ["bootstrap_mean", "decimals_for", "interval", "summarize", "written"]


def summarize(episodes: pd.DataFrame, measures: Sequence[str] | None = None) -> pd.DataFrame:
    """Mean and interval of each measure under each policy.

    Args:
        episodes: one row per episode, with a column `policy`; other columns are measures, but for `seed`.
        measures: which; unset: all.

    Returns:
        Rows in the order of the policies and measures: `policy, measure, mean, low, high, episodes`, the last the
        number of episodes in which the measure was defined.
    """
    names = list(measures) if measures is not None else [c for c in episodes.columns if c not in ("policy", "seed")]
    rows = []
    for policy, part in episodes.groupby("policy", sort=False, observed=True):
        for name in names:
            values = part[name].to_numpy(float)
            mean, low, high = bootstrap_mean(values)
            rows.append((policy, name, mean, low, high, int((~np.isnan(values)).sum())))
    return pd.DataFrame(rows, columns=["policy", "measure", "mean", "low", "high", "episodes"])


def decimals_for(values: Sequence[float] | np.ndarray) -> int:
    """Decimals that a column of numbers is written with: three or four digits of the largest."""
    sizes = [abs(float(v)) for v in values if math.isfinite(v)]
    largest = max(sizes, default=0.0)
    if largest >= 1000 or largest == 0:
        return 0
    return 1 if largest >= 100 else 2 if largest >= 0.995 else 3


def written(value: float, decimals: int) -> str:
    """A number for people: 1,303 or −0.58; a dash for none."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:,.{decimals}f}"
    if text.strip("-0.,") == "":
        text = text.lstrip("-")
    return text.replace("-", "−")


def interval(low: float, high: float, decimals: int) -> str:
    """``[low, high]``; nothing where there is none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"[{written(low, decimals)}, {written(high, decimals)}]"
