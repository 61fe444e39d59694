"""Figures of what zones said over time; each takes plain tables and returns a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, MultipleLocator, PercentFormatter

from metalore.report.style import BLACK, BLUE, GREY, ORANGE, TEXT_WIDTH, paper, styles_of

LOAD_COLOURS, PLAIN_COLOURS, SIGNED_COLOURS = "cividis", "cividis", "PuOr"
"""Two that lie the same to every kind of colour vision, and one from purple through white to orange."""
CITY = (
    ("active_users", "Users in the city", "users"),
    ("requests_per_s", "Requests", "1/s"),
    ("cpu_cores", "Work done", "cores"),
    ("bandwidth_mbps", "Data sent", "Mbit/s"),
    ("latency_ms", "Mean latency of requests", "ms"),
)
DAY_H = 24.0
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SHOWN = 5
"""Zones that get a line of their own."""
NAMED = 40
"""Up to so many zones are named on axes and on the map."""
_POINTS = 1200
"""Points of a line; more are averaged to so many."""
_DOTS = 20_000
"""Pairs that are drawn; of more, every so-many-th."""
_NIGHT = ((0.0, 6.0), (22.0, 24.0))


def zone_map_figure(zones: pd.DataFrame, edges: pd.DataFrame) -> Figure:
    """The city from above: a circle per zone, its area the mean number of users, its colour the load of the server.

    Args:
        zones: index `zone`; `x_m, y_m, active_users, cpu_load` (unknown loads are white).
        edges: `source, target` (indices of rows of `zones`), `weight`.
    """
    x, y = zones["x_m"].to_numpy(float), zones["y_m"].to_numpy(float)
    wide, high = max(float(np.ptp(x)), 1.0), max(float(np.ptp(y)), 1.0)
    with paper():
        height = float(np.clip(TEXT_WIDTH * 0.8 * high / wide, 2.6, 6.5)) + 0.5
        figure = Figure(figsize=(TEXT_WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        _draw_edges(axes, np.stack([x, y], axis=1), edges)
        users = np.nan_to_num(zones["active_users"].to_numpy(float))
        most = max(float(users.max(initial=0.0)), 1e-9)
        biggest = float(np.clip(14_000 / max(len(zones), 1), 12, 900))
        loads = zones["cpu_load"].to_numpy(float) * 100
        heaviest = float(np.nanmax(loads)) if np.isfinite(loads).any() else 100.0
        top = float(np.clip(10 * np.ceil(heaviest / 10), 10, 100))
        drawn = axes.scatter(
            x, y, s=6 + biggest * users / most, c=loads, cmap=LOAD_COLOURS, vmin=0, vmax=top, edgecolors="white",
            linewidths=0.8, zorder=3, plotnonfinite=True,
        )  # fmt: skip
        if len(zones) <= NAMED:
            for name, left, up in zip(zones.index, x, y, strict=True):
                halo = [withStroke(linewidth=1.6, foreground="white")]
                axes.annotate(
                    str(name), (left, up), (0, -3 - (biggest**0.5) / 2), textcoords="offset points", ha="center",
                    va="top", fontsize=5.5, color=GREY, zorder=4, path_effects=halo,
                )  # fmt: skip
        bar = figure.colorbar(drawn, ax=axes, label="Mean load of the server (%)", pad=0.02, shrink=0.7)
        bar.outline.set_visible(False)
        _legend_of_sizes(figure, most, biggest)
        axes.set(xlabel="East (m)", ylabel="North (m)")
        axes.set_aspect("equal")
        axes.margins(0.12)
    return figure


def _draw_edges(axes: Axes, places: np.ndarray, edges: pd.DataFrame) -> None:
    if edges.empty:
        return
    ends = edges[["source", "target"]].to_numpy(int)
    weight = edges["weight"].to_numpy(float)
    widths = 0.3 + 1.7 * weight / weight.max()
    axes.add_collection(LineCollection(list(places[ends]), linewidths=widths, colors="#C5CAD1", zorder=1))


def _legend_of_sizes(figure: Figure, most: float, biggest: float) -> None:
    handles = [
        Line2D([], [], marker="o", color="none", markerfacecolor=GREY, markeredgecolor="white",
               markersize=(6 + biggest * size / most) ** 0.5, label=f"{size:,.{0 if size >= 10 else 1}f} users")
        for size in (most / 4, most)
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside upper left", ncols=2, handletextpad=1.2, borderpad=0.8)


# -- days --------------------------------------------------------------------------------------------------------------


def days_figure(
    totals: pd.DataFrame,
    some: pd.DataFrame,
    start_hour_of_week: float = 0.0,
    events: Sequence[Mapping[str, Any]] = (),
) -> Figure:
    """The city over time, and the users of some zones: nights are grey, weekends blue, events orange.

    Args:
        totals: index `time_s`; a panel for each column of CITY that is there.
        some: index `time_s`, a column of users per zone.
        start_hour_of_week: when time 0 was, hours since Monday 0:00.
        events: `name, zone, from_s, to_s`.
    """
    panels = [panel for panel in CITY if panel[0] in totals.columns]
    styles = styles_of(map(str, some.columns))
    with paper():
        figure = Figure(figsize=(TEXT_WIDTH, 1.15 * (len(panels) + 1.4) + 0.4), layout="constrained")
        grid = figure.add_gridspec(len(panels) + 1, 1, height_ratios=[1] * len(panels) + [1.4])
        first: Axes | None = None
        for i, (name, label, unit) in enumerate(panels):
            axes = figure.add_subplot(grid[i], sharex=first)
            first = first or axes
            hours, values = _thinned(totals.index.to_numpy(float), totals[name].to_numpy(float))
            axes.plot(hours, values, color=BLACK, linewidth=0.9)
            axes.set(title=label, ylabel=unit)
            _time_axis(axes, hours, start_hour_of_week, last=False)
        axes = figure.add_subplot(grid[len(panels)], sharex=first)
        hours = np.zeros(1)
        for name in some.columns:
            hours, values = _thinned(some.index.to_numpy(float), some[name].to_numpy(float))
            style = styles[str(name)]
            axes.plot(hours, values, color=style.colour, linestyle=style.dashes, linewidth=0.9, label=str(name))
        axes.set(title="Users in some zones", ylabel="users")
        for event in events:
            axes.axvspan(event["from_s"] / 3600, event["to_s"] / 3600, color=ORANGE, alpha=0.22, linewidth=0)
        _time_axis(axes, hours, start_hour_of_week, last=True)
        if len(some.columns):
            figure.align_ylabels()
            axes.legend(loc="upper left", bbox_to_anchor=(0, -0.38), ncols=min(SHOWN, len(some.columns)))
    return figure


def _thinned(times_s: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hours and values, averaged over as many intervals as it takes; a mean over gaps is one over what is known."""
    step = -(-len(times_s) // _POINTS)
    if step > 1:
        starts = np.arange(0, len(times_s), step)
        known = np.isfinite(values)
        count = np.add.reduceat(known.astype(float), starts)
        sums = np.add.reduceat(np.where(known, values, 0.0), starts)
        values = np.divide(sums, count, out=np.full(len(starts), np.nan), where=count > 0)
        times_s = times_s[starts]
    return times_s / 3600, values


def _time_axis(axes: Axes, hours: np.ndarray, start: float, last: bool) -> None:
    end = float(hours[-1]) if len(hours) > 1 else 1.0
    first_day = -(start % DAY_H)
    for day in range(int((end - first_day) // DAY_H) + 1):
        midnight = first_day + DAY_H * day
        weekend = int((start + midnight) // DAY_H) % 7 >= 5
        if weekend:
            axes.axvspan(midnight, midnight + DAY_H, color="#E8F1F8", linewidth=0, zorder=0)
        for begins, ends in _NIGHT:
            axes.axvspan(midnight + begins, midnight + ends, color="#000000", alpha=0.05, linewidth=0, zorder=0)
    axes.set_xlim(0, max(end, 1e-9))
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    if end > 1.5 * DAY_H:
        middays = np.arange(first_day, end, DAY_H)
        labels = [DAYS[int((start + m) // DAY_H) % 7] if 0 <= m < end else "" for m in middays]
        axes.set_xticks(middays, labels, ha="left")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(8))
    axes.tick_params(labelbottom=last)
    if last:
        axes.set_xlabel("Day, from midnight" if end > 1.5 * DAY_H else "Hours since the start")


def week_figure(week: pd.DataFrame, label: str = "Users") -> Figure:
    """Zones by hour of the week: how full each is, relative to its own mean.

    Args:
        week: index `zone`; columns 0 to 167, hour of the week.
        label: what the numbers are.
    """
    values = week.to_numpy(float)
    known = np.isfinite(values)
    means = np.divide(
        np.where(known, values, 0).sum(1), known.sum(1), out=np.full(len(values), np.nan), where=known.any(1)
    )
    relative = np.divide(values, means[:, None], out=np.full(values.shape, np.nan), where=means[:, None] > 0)
    shown = relative[np.isfinite(relative)]
    with paper():
        height = float(np.clip(0.11 * len(week), 1.2, 6.0)) + 0.7
        figure = Figure(figsize=(TEXT_WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        top = float(np.quantile(shown, 0.99)) if len(shown) else 2.0
        mesh = axes.pcolormesh(
            np.arange(169), np.arange(len(week) + 1), relative, cmap=PLAIN_COLOURS, vmin=0, vmax=max(top, 1e-9),
            rasterized=True,
        )  # fmt: skip
        axes.set_facecolor("#F0F1F3")
        axes.invert_yaxis()
        axes.set_xticks(np.arange(0, 168, 24), DAYS, ha="left")
        axes.xaxis.set_minor_locator(MultipleLocator(6))
        axes.grid(False)
        for midnight in range(24, 168, 24):
            axes.axvline(midnight, color="white", linewidth=0.6)
        _name_rows(axes, list(map(str, week.index)))
        axes.set_xlabel("Hour of the week")
        bar = figure.colorbar(mesh, ax=axes, label=f"{label}, relative to the zone's mean", pad=0.02)
        bar.outline.set_visible(False)
    return figure


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    if len(names) <= NAMED:
        axes.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=5.5)
        axes.tick_params(axis="y", length=0)
    else:
        axes.set_ylabel(f"{len(names):,} zones")
        axes.set_yticks([])


# -- together ----------------------------------------------------------------------------------------------------------


def correlation_figure(
    matrix: pd.DataFrame, distances_m: np.ndarray, by_distance: pd.DataFrame, label: str = "users"
) -> Figure:
    """How zones go together: all pairs as a matrix, and against the distance between them.

    Args:
        matrix: zones by zones.
        distances_m: [z, z], in the same order.
        by_distance: `distance_m, correlation, low, high`.
        label: of what.
    """
    with paper():
        figure = Figure(figsize=(TEXT_WIDTH, 3.1), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
        values = matrix.to_numpy(float)
        mesh = left.pcolormesh(values, cmap=SIGNED_COLOURS, vmin=-1, vmax=1, rasterized=True)
        left.invert_yaxis()
        left.set_aspect("equal")
        left.set_title(f"Correlation of {label} between zones")
        left.set_facecolor("#F0F1F3")
        left.grid(False)
        _name_rows(left, list(map(str, matrix.index)))
        left.set_xticks([])
        bar = figure.colorbar(mesh, ax=left, pad=0.02, shrink=0.85)
        bar.outline.set_visible(False)
        _against_distance(right, values, distances_m, by_distance)
    return figure


def _against_distance(axes: Axes, values: np.ndarray, distances_m: np.ndarray, by_distance: pd.DataFrame) -> None:
    upper = np.triu_indices(len(values), 1)
    far, r = distances_m[upper], values[upper]
    every = -(-len(r) // _DOTS) or 1
    axes.plot(far[::every], r[::every], ".", color="#AEB6C2", markersize=2, rasterized=True, zorder=1)
    x = by_distance["distance_m"].to_numpy(float)
    low, high, mean = (by_distance[name].to_numpy(float) for name in ("low", "high", "correlation"))
    axes.fill_between(x, low, high, color=BLUE, alpha=0.18, linewidth=0)
    axes.plot(x, mean, color=BLUE, marker="o", markersize=3.5)
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.set(title="Against distance", xlabel="Distance between zones (m)", ylabel="correlation")
    axes.set_xlim(left=0)


def latency_figure(latency: pd.DataFrame, some: Sequence[str]) -> Figure:
    """Distributions over the requests of all intervals: mean latency of the interval, its jitter, and loss.

    Args:
        latency: `zone, latency_ms, jitter_ms, packet_loss, weight`, a row per zone and interval.
        some: zones that get a line of their own.
    """
    styles = styles_of(some)
    columns = (("latency_ms", "Latency", "ms"), ("jitter_ms", "Jitter", "ms"), ("packet_loss", "Loss", "%"))
    with paper():
        figure = Figure(figsize=(TEXT_WIDTH, 2.5), layout="constrained")
        for axes, (name, label, unit) in zip(figure.subplots(1, len(columns)), columns, strict=True):
            scale = 100.0 if unit == "%" else 1.0
            weight = "weight" if name != "packet_loss" else None
            for zone in some:
                part, style = latency[latency["zone"] == zone], styles[zone]
                x, y = _distribution(part, name, weight)
                axes.step(x * scale, y, where="post", color=style.colour, linestyle=style.dashes, linewidth=0.9)
            x, y = _distribution(latency, name, weight)
            axes.step(x * scale, y, where="post", color=BLACK, linewidth=1.6)
            axes.set(title=label, xlabel=f"{label} in an interval ({unit})", ylim=(0, 1.02))
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
            positive = x[x > 0]
            if unit == "ms" and len(positive) and positive[-1] > 10 * max(float(np.median(positive)), 1e-9):
                axes.set_xscale("log")
            else:
                axes.set_xlim(left=0)
        handles = [Line2D([], [], color=BLACK, linewidth=1.6, label="all zones")]
        handles += [
            Line2D([], [], color=style.colour, linestyle=style.dashes, label=zone) for zone, style in styles.items()
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=6)
    return figure


def _distribution(part: pd.DataFrame, name: str, weight: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Values and the share of requests (of intervals, without weights) at or below; at most _POINTS of them."""
    values = part[name].to_numpy(float)
    weights = part[weight].to_numpy(float) if weight else np.ones(len(values))
    known = np.isfinite(values) & (weights > 0)
    order = np.argsort(values[known], kind="stable")
    values, weights = values[known][order], weights[known][order]
    if not len(values):
        return np.zeros(1), np.full(1, np.nan)
    shares = np.cumsum(weights) / weights.sum()
    kept = np.unique(np.linspace(0, len(values) - 1, min(_POINTS, len(values))).astype(int))
    return values[kept], shares[kept]
