"""What recommenders look at, made up for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from metalore.autoscale import Forecasts, Seen, Usage

INTERVAL_S = 60.0
LEVELS = (0.1, 0.5, 0.9)
NAN = float("nan")


def zones_of(count: int) -> tuple[str, ...]:
    return tuple("abcdefghijklmnopqrstuvwxyz"[:count])


def usage_of(used: Any, *, start_s: float = 0.0, interval_s: float = INTERVAL_S, ran_out: Any = None) -> Usage:
    """Usage [t, z, r] of intervals from a time on."""
    values = np.array(used, float)
    times = start_s + interval_s * np.arange(len(values))
    return Usage(times, zones_of(values.shape[1]), values, interval_s, None if ran_out is None else np.array(ran_out))


def seen_of(
    used: Any,
    allocated: Any,
    *,
    now_s: float | None = None,
    forecasts: Forecasts | None = None,
    lead_s: float = INTERVAL_S,
    **rest: Any,
) -> Seen:
    """What is seen at the end of the last interval, or at another time."""
    usage = usage_of(used, **rest)
    end_s = float(usage.times[-1]) + usage.interval_s
    return Seen(end_s if now_s is None else now_s, usage, forecasts, np.array(allocated, float), lead_s)


def forecasts_of(values: Sequence[Any], made_at: float, interval_s: float = INTERVAL_S) -> Forecasts:
    """Forecasts [z, h, r, q] of the intervals from `made_at` on."""
    array = np.array(values, float)
    return Forecasts(made_at, made_at + interval_s * np.arange(array.shape[1]), interval_s, LEVELS, array)
