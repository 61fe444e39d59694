"""Numbers of comparisons: paired differences, tails, fronts, working points, times to recover; tables in, tables out.

A table is a pandas data frame or a mapping of equally long arrays; columns beyond those named are ignored.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from metalore.intervals import paired_difference, worst_mean
from metalore.report.figures import COMPARED
from metalore.report.measures import measure

AnyTable: TypeAlias = "pd.DataFrame | Mapping[str, Any]"

RECOVERED = ("request_queue", "update_queue", "twin_age_s")


def frame(table: AnyTable) -> pd.DataFrame:
    """A table as a data frame."""
    return table if isinstance(table, pd.DataFrame) else pd.DataFrame(dict(table))


# -- on the same seeds -------------------------------------------------------------------------------------------------


def per_seed(episodes: AnyTable) -> pd.DataFrame:
    """One row per policy and seed: means over rows that share both, such as one for each training seed."""
    rows = frame(episodes)
    numbers = rows.select_dtypes("number").columns.union(["policy", "seed"], sort=False)
    return rows[numbers].groupby(["policy", "seed"], sort=False, observed=True).mean().reset_index()


def per_run(episodes: AnyTable, measures: Sequence[str] = COMPARED) -> pd.DataFrame:
    """Means of each training run of the policies that have several: `policy, run, measure, mean`.

    The n-th row of a policy with one seed is of its n-th run; runs are counted from 0.
    """
    rows = frame(episodes)
    run = rows.groupby(["policy", "seed"], sort=False, observed=True).cumcount().rename("run")
    several = rows["policy"].isin(rows.loc[run > 0, "policy"])
    names = [name for name in measures if name in rows]
    means = rows[several].groupby(["policy", run[several]], sort=False, observed=True)[names].mean().reset_index()
    return means.melt(["policy", "run"], names, "measure", "mean")


def paired_differences(episodes: AnyTable, reference: str, measures: Sequence[str] = COMPARED) -> pd.DataFrame:
    """Differences of each policy to a reference on the same seeds: `policy, measure, mean, low, high, episodes`.

    Args:
        episodes: `policy, seed` and the measures.
        reference: the policy that is subtracted.
        measures: which.

    Raises:
        ValueError: the reference has no episodes, or a policy shares no seed with it.
    """
    rows = per_seed(episodes)
    base = rows[rows["policy"] == reference].set_index("seed")
    if base.empty:
        raise ValueError(f"no episodes of {reference}; there are {', '.join(rows['policy'].unique())}")
    found = []
    for policy, part in rows[rows["policy"] != reference].groupby("policy", sort=False, observed=True):
        own = part.set_index("seed")
        seeds = own.index.intersection(base.index)
        if not len(seeds):
            raise ValueError(f"{policy} and {reference} have no seed in common, so their episodes are no pairs")
        for name in measures:
            pairs = [part.loc[seeds, name].to_numpy(float) for part in (own, base)]
            both = int((~np.isnan(pairs[0] - pairs[1])).sum())
            found.append((policy, name, *paired_difference(*pairs), both))
    return pd.DataFrame(found, columns=["policy", "measure", "mean", "low", "high", "episodes"])


def worst_decile(episodes: AnyTable, measures: Sequence[str] = COMPARED) -> pd.DataFrame:
    """Mean of the worst tenth of a policy's episodes in each measure: `policy, measure, mean, low, high`.

    Which way is worse is that of :data:`metalore.report.MEASURES`; a measure without one is left out.
    """
    found = []
    for policy, part in frame(episodes).groupby("policy", sort=False, observed=True):
        for name in measures:
            values = part[name].to_numpy(float)
            if measure(name).better == "more":
                found.append((policy, name, *worst_mean(values)))
            elif measure(name).better == "less":
                value, low, high = worst_mean(-values)
                found.append((policy, name, -value, -high, -low))
    return pd.DataFrame(found, columns=["policy", "measure", "mean", "low", "high"])


# -- fixed splits ------------------------------------------------------------------------------------------------------


def best_split(enumeration: AnyTable, objective: str = "return") -> int:
    """Row of the best fixed split."""
    values = frame(enumeration)[objective].to_numpy(float)
    return int(np.nanargmin(values) if measure(objective).better == "less" else np.nanargmax(values))


def working_points(course: AnyTable) -> pd.DataFrame:
    """Where policies work: mean shares over an episode, and their spread over time and seeds together.

    Args:
        course: `policy, measure, time_s, mean, sd`, with the measures bandwidth_share and compute_share.

    Returns:
        `policy, bandwidth_share, compute_share, bandwidth_sd, compute_sd`, shares in [0, 1].
    """
    rows = []
    for policy, part in frame(course).groupby("policy", sort=False, observed=True):
        row: dict[str, Any] = {"policy": policy}
        for name in ("bandwidth", "compute"):
            seen = part[part["measure"] == f"{name}_share"]
            mean, sd = seen["mean"].to_numpy(float), np.nan_to_num(seen["sd"].to_numpy(float))
            row[f"{name}_share"] = float(mean.mean())
            row[f"{name}_sd"] = float(np.sqrt(mean.var() + (sd**2).mean()))
        rows.append(row)
    return pd.DataFrame(rows)


def non_dominated(points: np.ndarray, maximize: Sequence[bool]) -> np.ndarray:
    """Which points no other point dominates: is at least as good in every column, and better in one.

    Args:
        points: [n, k]; a point with a NaN is on no front and dominates nothing.
        maximize: for each column whether more is better.

    Returns:
        [n] of bool; of equal points all or none.

    Raises:
        ValueError: the points have more or fewer columns than there are directions.
    """
    if np.ndim(points) != 2 or np.shape(points)[1] != len(maximize):
        raise ValueError(f"points of shape {np.shape(points)} do not go with {len(maximize)} directions")
    values = np.where(np.asarray(maximize, bool), 1.0, -1.0) * np.asarray(points, float)
    known = np.isfinite(values).all(axis=1)
    front, others = known.copy(), values[known]
    for i in np.flatnonzero(known):
        front[i] = not ((others >= values[i]).all(axis=1) & (others > values[i]).any(axis=1)).any()
    return np.asarray(front, bool)


# -- changing traffic --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dynamic:
    """What came of traffic that changes within the episode.

    Attributes:
        course: `policy, measure, time_s, mean, sd`, means over episodes.
        changes: `time_s, label`: when the traffic changed and to what.
        episodes: `policy, seed` and measures, as in :class:`Learning`; None if not known.
        tolerance, hold, smoothing: see :func:`time_to_recover`.
    """

    course: AnyTable
    changes: AnyTable
    episodes: AnyTable | None = None
    tolerance: float = 0.1
    hold: int = 20
    smoothing: int = 9


def time_to_recover(
    course: AnyTable,
    change_time: float,
    *,
    until: float = math.inf,
    tolerance: float = 0.1,
    hold: int = 20,
    smoothing: int = 9,
    floor: float = 0.0,
) -> float:
    """Seconds from a change until a measure is back at its new steady mean and stays there.

    Points with ``change_time <= time_s < until`` are smoothed with a centred running mean, cut short at both ends so
    that nothing from before the change leaks in. The new steady mean is that of their last quarter. The measure is back
    where the smoothed value is within ``tolerance * max(|steady mean|, floor)`` of it, and has recovered at the first
    point from which it is back for `hold` points.

    Args:
        course: `time_s, mean` of one policy and one measure; points without a value are skipped.
        change_time, until: when the traffic changed, and when it changed again.
        tolerance: part of the steady mean.
        hold, smoothing: points that it has to stay, and points of the running mean (odd).
        floor: the least size that the tolerance is a part of, for means near zero.

    Returns:
        0 if it never left; NaN if it did not come back for `hold` points, or has no steady mean: the halves of the last
        quarter differ by more than the tolerance, as in a queue that grows without end.
    """
    seen = frame(course)[["time_s", "mean"]].dropna().sort_values("time_s", kind="stable")
    time, values = seen[(seen["time_s"] >= change_time) & (seen["time_s"] < until)].to_numpy(float).T
    last = values[-(len(values) // 4) :]
    if len(values) < max(hold, 8):
        return math.nan
    allowed = tolerance * max(abs(float(last.mean())), floor)
    if abs(np.subtract(*(half.mean() for half in np.array_split(last, 2)))) > allowed:
        return math.nan
    back = np.abs(_running_mean(values, smoothing) - last.mean()) <= allowed
    stays = np.convolve(back, np.ones(hold), "valid") > hold - 0.5
    return float(time[np.argmax(stays)] - change_time) if stays.any() else math.nan


def _running_mean(values: np.ndarray, points: int) -> np.ndarray:
    """Centred, over fewer points near both ends."""
    kernel = np.ones(min(points, len(values)))
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(len(values)), kernel, "same")


def recovery(dynamic: Dynamic, measures: Sequence[str] = RECOVERED) -> pd.DataFrame:
    """How long policies take after each change: `policy, measure, change, time_s, recovery_s`; NaN: not recovered."""
    course, changes = frame(dynamic.course), frame(dynamic.changes).sort_values("time_s")
    times = [*changes["time_s"].to_list(), math.inf]
    found = []
    for (policy, name), part in course.groupby(["policy", "measure"], sort=False, observed=True):
        if name not in measures:
            continue
        for i, label in enumerate(changes["label"]):
            took = time_to_recover(
                part, times[i], until=times[i + 1], tolerance=dynamic.tolerance, hold=dynamic.hold,
                smoothing=dynamic.smoothing, floor=1.0 if measure(name).unit == "jobs" else 0.0,
            )  # fmt: skip
            found.append((policy, name, label, times[i], took))
    return pd.DataFrame(found, columns=["policy", "measure", "change", "time_s", "recovery_s"])
