"""What a table says in numbers: zones, days, and how zones go together. Missing values (NaN) are left out throughout.

Axes: `t` intervals, `z` zones.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from metalore.telemetry.errors import TelemetryError
from metalore.telemetry.schema import QUANTITIES, as_array, interval_of

HOUR_S, DAY_S = 3600.0, 86_400.0
HOURS_OF_WEEK = 168
WEEKEND = 5
"""Saturday, counted from Monday."""
WEIGHTED = ("latency_ms", "jitter_ms", "aori_s", "aosi_s")
"""Means over requests, which weigh by how many requests they are means of."""


def per_zone(table: pd.DataFrame) -> pd.DataFrame:
    """A row per zone: the mean of each quantity, the largest number of users, and how busy server and band were.

    Latencies and ages are means over requests, with `completed` as weight where the table has it; `jitter_ms` is the
    standard deviation over all of a zone's requests (without weights: the mean of the intervals').

    Returns:
        Index `zone`; the quantities, `most_users`, `cpu_load` (cores used over cores there; NaN if unknown),
        `intervals` (rows with users known).
    """
    names = [name for name in QUANTITIES if name in table.columns]
    _, zones, values = as_array(table, names)
    weights = values[..., names.index("completed")] if "completed" in names else np.ones(values.shape[:2])
    columns = {}
    for f, name in enumerate(names):
        columns[name] = _mean(values[..., f], weights if name in WEIGHTED else None)
    if {"completed", "latency_ms", "jitter_ms"} <= set(names):
        squares = values[..., names.index("latency_ms")] ** 2 + values[..., names.index("jitter_ms")] ** 2
        variance = _mean(squares, weights) - columns["latency_ms"] ** 2
        columns["jitter_ms"] = np.sqrt(np.maximum(variance, 0))
    users = values[..., names.index("active_users")]
    known = np.isfinite(users)
    columns["most_users"] = np.where(known.any(axis=0), np.where(known, users, -np.inf).max(axis=0), np.nan)
    columns["cpu_load"] = _ratio(columns["cpu_cores"], columns.get("cpu_capacity_cores"))
    columns["intervals"] = known.sum(axis=0)
    return pd.DataFrame(columns, index=pd.Index(zones, name="zone"))


def _mean(values: np.ndarray, weights: np.ndarray | None = None, axis: int = 0) -> np.ndarray:
    """Over known values; NaN where there are none, or none with a weight."""
    known = np.isfinite(values)
    if weights is not None:
        known &= weights > 0
    weight = np.where(known, 1.0 if weights is None else weights, 0.0)
    sums: np.ndarray = (np.where(known, values, 0.0) * weight).sum(axis)
    return _ratio(sums, weight.sum(axis))


def _ratio(above: np.ndarray, below: np.ndarray | None) -> np.ndarray:
    if below is None:
        return np.full(above.shape, np.nan)
    ratio: np.ndarray = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    return ratio


def totals(table: pd.DataFrame) -> pd.DataFrame:
    """The city over time: a row per interval.

    Returns:
        Index `time_s`; users, requests a second, cores, Mbit/s, MB and requests lost in sum, latency as a mean over
        requests; NaN where no zone is known.
    """
    names = ["active_users", "requests", "cpu_cores", "bandwidth_mbps", "memory_mb"]
    times, _, values = as_array(table, [*names, "latency_ms"])
    weights = as_array(table, ["completed"])[2][..., 0] if "completed" in table.columns else None
    known = np.isfinite(values[..., :-1])
    sums = np.where(known.any(axis=1), np.where(known, values[..., :-1], 0.0).sum(axis=1), np.nan)
    frame = pd.DataFrame(sums, columns=names, index=pd.Index(times, name="time_s"))
    frame["requests"] /= interval_of(table) or 1.0
    frame["latency_ms"] = _mean(values[..., -1], weights, axis=1)
    return frame.rename(columns={"requests": "requests_per_s"})


def hour_of_week(times_s: np.ndarray, start_day: int = 0, start_hour: float = 0.0) -> np.ndarray:
    """Hours since Monday 0:00, in [0, 168), of times [...] from a start at `start_hour` of `start_day` (0: Monday)."""
    return np.mod(24.0 * start_day + start_hour + np.asarray(times_s, float) / HOUR_S, HOURS_OF_WEEK)


def weekly_profile(
    table: pd.DataFrame, column: str = "active_users", start_day: int = 0, start_hour: float = 0.0
) -> pd.DataFrame:
    """Mean of a column by zone (rows) and hour of the week (columns 0 to 167, 0 is Monday 0:00 to 1:00).

    Args:
        table: of :func:`metalore.telemetry.schema.read_telemetry`.
        column: which.
        start_day, start_hour: when time 0 was; 0 is Monday.
    """
    times, zones, values = as_array(table, [column])
    hours = hour_of_week(times, start_day, start_hour).astype(int)
    return pd.DataFrame(_means_by(values[..., 0], hours, HOURS_OF_WEEK).T, index=pd.Index(zones, name="zone"))


def daily_profile(
    table: pd.DataFrame, column: str = "active_users", start_day: int = 0, start_hour: float = 0.0
) -> pd.DataFrame:
    """Mean of a column, summed over zones, by hour of the day: columns `weekday` and `weekend`, NaN if never there.

    Arguments are those of :func:`weekly_profile`: `start_day` and `start_hour` say when time 0 was.
    """
    week = weekly_profile(table, column, start_day, start_hour).sum(axis=0, min_count=1).to_numpy(float).reshape(7, 24)
    parts = {"weekday": _mean(week[:WEEKEND]), "weekend": _mean(week[WEEKEND:])}
    return pd.DataFrame(parts, index=pd.Index(range(24), name="hour"))


def _means_by(values: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """Mean over the rows of each group, [count, z]; NaN for what never was."""
    known = np.isfinite(values)
    sums, numbers = np.zeros((count, values.shape[1])), np.zeros((count, values.shape[1]))
    np.add.at(sums, groups, np.where(known, values, 0.0))
    np.add.at(numbers, groups, known)
    return _ratio(sums, numbers)


def without_rhythm(times_s: np.ndarray, values: np.ndarray, start_day: int = 0, start_hour: float = 0.0) -> np.ndarray:
    """`values` [t, z] less each zone's mean at that time of weekdays or weekends (from two weeks on: of the week).

    What all zones share because it is noon falls out; what is left is what happened on that day. Times that came once
    say nothing about it and are left out (NaN). A recording of less than two days loses its mean only.
    Time 0 was at `start_hour` of `start_day`; 0 is Monday.
    """
    seconds = DAY_S * start_day + HOUR_S * start_hour + np.asarray(times_s, float)
    span = float(times_s[-1] - times_s[0]) if len(times_s) > 1 else 0.0
    interval = span / max(len(times_s) - 1, 1)
    if span + interval < 2 * DAY_S:
        return np.asarray(values - _mean(values))
    slot = interval if abs(DAY_S / interval - round(DAY_S / interval)) < 1e-6 else HOUR_S
    of_day, day = np.floor(seconds % DAY_S / slot + 1e-6).astype(int), (seconds // DAY_S).astype(int) % 7
    slots = int(of_day.max()) + 1
    groups = of_day + slots * (day if span + interval >= 14 * DAY_S else (day >= WEEKEND).astype(int))
    rest: np.ndarray = values - _means_by(values, groups, 7 * slots)[groups]
    rest[np.bincount(groups)[groups] == 1] = np.nan
    return rest


def correlation(
    table: pd.DataFrame,
    column: str = "active_users",
    rhythm: bool = False,
    start_day: int = 0,
    start_hour: float = 0.0,
) -> pd.DataFrame:
    """Pearson correlation of a column between zones [z, z], over the intervals that both know.

    Args:
        table: of :func:`metalore.telemetry.schema.read_telemetry`.
        column: which.
        rhythm: leave in what zones share because of the time of the day; unset: it is taken off first
            (:func:`without_rhythm`).
        start_day, start_hour: when time 0 was; 0 is Monday.

    Returns:
        NaN where a zone never changes, or two have fewer than three intervals in common.
    """
    times, zones, values = as_array(table, [column])
    series = values[..., 0] if rhythm else without_rhythm(times, values[..., 0], start_day, start_hour)
    return pd.DataFrame(_correlations(series), index=zones, columns=zones)


def _correlations(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    centred = values - _mean(values)  # keeps the sums small
    x, n = np.where(known, centred, 0.0), known.astype(float)
    count = n.T @ n
    means = _ratio(x.T @ n, count)  # of the row's zone over what both know
    squares = _ratio((x**2).T @ n, count)
    covariance = _ratio(x.T @ x, count) - means * means.T
    variance = squares - means**2
    variance = np.where(variance > 1e-12 * np.maximum(squares, 1e-300), variance, 0.0)
    result = _ratio(covariance, np.sqrt(variance * variance.T))
    return np.where(count >= 3, np.clip(result, -1, 1), np.nan)


def correlation_by_distance(matrix: pd.DataFrame, distances_m: np.ndarray, bins: int = 12) -> pd.DataFrame:
    """How correlation falls with distance: pairs of zones in bins of the same width.

    They reach from the nearest pair to the distance that 95 % of the pairs keep below; the last takes the rest as well.

    Args:
        matrix: of :func:`correlation`.
        distances_m: [z, z], in the same order (:meth:`metalore.telemetry.graph.ZoneGraph.distances_m`).
        bins: at most.

    Returns:
        `distance_m` (mean), `correlation` (mean), `low`, `high` (quartiles), `pairs`.
    """
    distance, value = _pairs(matrix, distances_m)
    rows = []
    if len(value):
        begins = np.linspace(distance.min(), np.quantile(distance, 0.95), bins + 1)[:-1]
        place = np.searchsorted(begins, distance, side="right")
        rows = [_spread(distance[place == i].mean(), value[place == i]) for i in np.unique(place)]
    return pd.DataFrame(rows, columns=["distance_m", "correlation", "low", "high", "pairs"])


def correlation_by_hops(matrix: pd.DataFrame, hops: np.ndarray) -> pd.DataFrame:
    """The same by edges on the shortest way, `hops` [z, z], -1 for none: `hops, correlation, low, high, pairs`."""
    hop, value = _pairs(matrix, np.where(hops < 0, np.nan, hops))
    rows = [_spread(h, value[hop == h]) for h in np.unique(hop)]
    return pd.DataFrame(rows, columns=["hops", "correlation", "low", "high", "pairs"]).astype({"hops": int})


def _pairs(matrix: pd.DataFrame, far: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far apart and how correlated, for every pair of zones where both is known."""
    values = matrix.to_numpy(float)
    if far.shape != values.shape:
        raise TelemetryError(f"distances have shape {far.shape}, correlations {values.shape}; they need the same zones")
    upper = np.triu_indices(len(values), 1)
    known = np.isfinite(values[upper]) & np.isfinite(far[upper])
    return np.asarray(far, float)[upper][known], values[upper][known]


def _spread(where: float, values: np.ndarray) -> tuple[float, float, float, float, int]:
    low, high = np.quantile(values, [0.25, 0.75])
    return float(where), float(values.mean()), float(low), float(high), len(values)
