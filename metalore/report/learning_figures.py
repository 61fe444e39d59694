"""Figures of learned policies beside enumeration and simple rules; each takes plain tables and returns a figure.

Tables are those of :mod:`metalore.report.learning_numbers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from metalore.report.figures import _legend_above, draw_course
from metalore.report.learning_numbers import AnyTable, best_split, frame, non_dominated
from metalore.report.measures import measure
from metalore.report.style import GREY, STYLES, TEXT_WIDTH, LineStyle, paper, styles_of

COLOURS = "cividis"
"""Perceptually uniform, and the same to every kind of colour vision (Nuñez, Anderton and Renslow 2018)."""
ADAPTATION = ("bandwidth_share", "compute_share", "request_queue", "update_queue", "aori_s", "twin_age_s")
PARETO = ("throughput_per_s", "served_age_s")

_MARKERS = "osD^vPXph*<>dH8"
_WIDE = 15.0
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""


@contextmanager
def one_look(policies: Iterable[str]) -> Iterator[dict[str, LineStyle]]:
    """Within it, every figure draws these policies alike, also one that shows only some of them.

    Marks differ as well as colours, since a scatter has no dashes.
    """
    before = dict(STYLES)
    styles = styles_of(policies)
    worn = {style.marker for name, style in styles.items() if name in before}
    free = [marker for marker in _MARKERS if marker not in worn]
    for i, name in enumerate(name for name in styles if name not in before):
        styles[name] = replace(styles[name], marker=free[i % len(free)])
    STYLES.update(styles)
    try:
        yield styles
    finally:
        STYLES.clear()
        STYLES.update(before)


def _marks(styles: Mapping[str, LineStyle], **looks: Any) -> list[Line2D]:
    return [Line2D([], [], label=name, **_mark(style), **looks) for name, style in styles.items()]


def _mark(style: LineStyle) -> dict[str, Any]:
    size = 9.5 if style.marker == "*" else 7 if style.marker in "XPp" else 5.8
    return {
        "marker": style.marker, "color": style.colour, "linestyle": "none",
        "markersize": size, "markeredgecolor": "white", "markeredgewidth": 0.7,
    }  # fmt: skip


def _ring(style: LineStyle) -> dict[str, Any]:
    looks = {"markerfacecolor": "none", "markeredgecolor": style.colour, "markersize": 10.5, "markeredgewidth": 1.7}
    return _mark(style) | looks | {"path_effects": [withStroke(linewidth=3.2, foreground="white")]}


# -- the enumeration ---------------------------------------------------------------------------------------------------


def enumeration_figure(
    enumeration: AnyTable,
    points: AnyTable | None = None,
    *,
    objective: str = "return",
    best: str = "best-fixed",
    spread: Sequence[str] = ("ppo",),
) -> Figure:
    """The landscape of fixed splits with what policies do on it, and how sharp its top is.

    Args:
        enumeration: `bandwidth, compute` (parts for requests in [0, 1]) and `objective`, one row per split of a grid.
        points: where policies work on average, see :func:`working_points`.
        objective: the column that is shown.
        best: the name that the best split of the grid goes by.
        spread: policies whose standard deviations are drawn as well.
    """
    grid = frame(enumeration)
    where = frame(points) if points is not None else pd.DataFrame({"policy": []})
    where = where[where["policy"] != best]
    styles = styles_of([best, *where["policy"]])
    low = _colour_floor(grid[objective].to_numpy(float), objective)
    with paper():
        figure = Figure(figsize=(TEXT_WIDTH, 3.5), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1.45, 1])
        _landscape(figure, left, grid, objective, low)
        top = grid.iloc[best_split(grid, objective)]
        ring = _ring(styles[best])
        left.plot(top["bandwidth"] * 100, top["compute"] * 100, zorder=6, clip_on=False, **ring)
        for _, row in where.iterrows():
            _working_point(left, row, styles[row["policy"]], row["policy"] in spread)
        _profiles(right, grid, objective, low)
        handles = _marks({name: styles[name] for name in where["policy"]})
        figure.legend(
            handles=[Line2D([], [], label=f"{best} (top of the grid)", **ring), *handles],
            loc="outside upper left", ncols=4, handlelength=1.2,
        )  # fmt: skip
    return figure


def _colour_floor(values: np.ndarray, objective: str) -> tuple[float, float]:
    """Limits of the colours; the far end of a long tail is cut off, since it would hide the shape of the top."""
    known = values[np.isfinite(values)]
    low, middle, high = float(known.min()), float(np.median(known)), float(known.max())
    if measure(objective).better == "less":
        return low, max(min(high, low + 2.5 * (middle - low)), low + 1e-9)
    return min(max(low, high - 2.5 * (high - middle)), high - 1e-9), high


def _landscape(figure: Figure, axes: Axes, grid: pd.DataFrame, objective: str, limits: tuple[float, float]) -> None:
    what = measure(objective)
    table = grid.pivot_table(index="compute", columns="bandwidth", values=objective, dropna=False)
    x, y = (index.to_numpy(float) * 100 for index in (table.columns, table.index))
    values, (low, high) = table.to_numpy(float) * what.scale, (limit * what.scale for limit in limits)
    colours = COLOURS + ("_r" if what.better == "less" else "")
    mesh = axes.pcolormesh(x, y, values, cmap=colours, vmin=low, vmax=high, shading="nearest", rasterized=True)
    top = float(np.nanmin(values) if what.better == "less" else np.nanmax(values))
    sign = 1 if what.better == "less" else -1
    levels = sorted({top + sign * part * abs(top) for part in (0.05, 0.1)})
    styles = ["solid", "dotted"] if what.better == "less" else ["dotted", "solid"]
    if len(levels) == 2 and min(values.shape) > 2:
        axes.contour(x, y, values, levels=levels, colors="#1C2430", linewidths=0.8, linestyles=styles)
    cut = np.nanmin(values) < low or np.nanmax(values) > high
    end = "neither" if not cut else "max" if what.better == "less" else "min"
    bar = figure.colorbar(mesh, ax=axes, label=what.title + ("" if what.unit else " per episode"), extend=end, pad=0.02)
    bar.outline.set_visible(False)
    axes.set(xlabel=measure("bandwidth_share").title, ylabel=measure("compute_share").title)
    axes.set_title("Fixed splits")
    axes.set_aspect("equal")
    axes.grid(False)


def _working_point(axes: Axes, row: Mapping[str, Any], style: LineStyle, spread: bool) -> None:
    x, y = row["bandwidth_share"] * 100, row["compute_share"] * 100
    if spread:
        halo = [withStroke(linewidth=2.6, foreground="white")]
        looks: dict[str, Any] = {"color": style.colour, "linewidth": 1.3, "zorder": 7, "path_effects": halo}
        dx, dy = row.get("bandwidth_sd", 0.0) * 100, row.get("compute_sd", 0.0) * 100
        axes.plot(np.clip([x - dx, x + dx], 0, 100), [y, y], **looks)
        axes.plot([x, x], np.clip([y - dy, y + dy], 0, 100), **looks)
    axes.plot(x, y, zorder=8 if spread else 7, clip_on=False, **_mark(style))


def _profiles(axes: Axes, grid: pd.DataFrame, objective: str, limits: tuple[float, float]) -> None:
    """The best that is reached for each share, whatever the other share is."""
    what = measure(objective)
    for name, colour, dashes in (("bandwidth", "black", "-"), ("compute", GREY, (0, (4.5, 1.5)))):
        groups = grid.groupby(name)[objective]
        line = (groups.min() if what.better == "less" else groups.max()) * what.scale
        axes.plot(line.index.to_numpy(float) * 100, line.to_numpy(float), color=colour, linestyle=dashes,
                  label=f"share of {name}")  # fmt: skip
    span = limits[1] - limits[0]
    axes.set_ylim((limits[0] - 0.03 * span) * what.scale, (limits[1] + 0.24 * span) * what.scale)
    axes.set_xlim(0, 100)
    axes.set(xlabel="Share for requests (%)", ylabel=what.title + ("" if what.unit else " per episode"))
    axes.set_title("How sharp the top is")
    axes.legend(loc="upper right")


# -- trade-offs --------------------------------------------------------------------------------------------------------


def pareto_figure(
    summary: pd.DataFrame,
    enumeration: AnyTable | None = None,
    *,
    x: str = "aori_s",
    ys: Sequence[str] = PARETO,
    runs: pd.DataFrame | None = None,
) -> Figure:
    """What is traded against what: policies (marks with 95 % intervals) over all fixed splits (dots) and their front.

    Args:
        summary: `policy, measure, mean, low, high` with x and ys among the measures.
        enumeration: columns x and ys, one row per split.
        x: the measure on the shared axis.
        ys: a panel for each.
        runs: `policy, run, measure, mean` of single training runs: small dots. Their mean may lie where no run is.
    """
    means = summary[summary["measure"].isin([x, *ys])].pivot(index="policy", columns="measure", values="mean")
    styles = styles_of(summary["policy"].unique())
    cloud = frame(enumeration)[[x, *ys]].dropna() if enumeration is not None else means[[x, *ys]].dropna()
    with paper():
        figure = Figure(figsize=(TEXT_WIDTH, 3.35), layout="constrained")
        panels = np.atleast_1d(figure.subplots(1, len(ys)))
        for axes, y in zip(panels, ys, strict=True):
            _cloud(axes, cloud, x, y, faint=enumeration is not None)
            for policy, style in reversed(styles.items()):  # the first lies on top
                _placed(axes, summary[summary["policy"] == policy].set_index("measure"), x, y, style)
                if runs is not None:
                    _placed_runs(axes, runs[runs["policy"] == policy], x, y, style)
            _trade_axes(axes, x, y, cloud, summary if runs is None else pd.concat([summary, runs]))
        extra = [Line2D([], [], color="#3A4250", linewidth=1, marker=".", markersize=4, label="front of fixed splits")]
        handles = [*_marks(styles), *(extra if enumeration is not None else [])]
        figure.legend(handles=handles, loc="outside upper left", ncols=4, handlelength=1.2)
    return figure


def _cloud(axes: Axes, cloud: pd.DataFrame, x: str, y: str, faint: bool) -> None:
    points = cloud[[x, y]].to_numpy(float) * [measure(x).scale, measure(y).scale]
    front = points[non_dominated(points, [measure(name).better == "more" for name in (x, y)])]
    front = front[np.argsort(front[:, 0] * (-1 if measure(x).better == "more" else 1), kind="stable")]
    if faint:
        axes.scatter(points[:, 0], points[:, 1], s=6, color="#A9B0BA", linewidths=0, alpha=0.7, zorder=1)
    axes.step(*front.T, where="post", color="#3A4250", linewidth=1.0, marker="." if faint else "", ms=3.5, zorder=2)


def _placed(axes: Axes, seen: pd.DataFrame, x: str, y: str, style: LineStyle) -> None:
    if not {x, y} <= set(seen.index) or seen.loc[[x, y], "mean"].isna().any():
        return
    (px, xl, xh), (py, yl, yh) = (
        seen.loc[name, ["mean", "low", "high"]].to_numpy(float) * measure(name).scale for name in (x, y)
    )
    axes.plot([xl, xh], [py, py], color=style.colour, linewidth=1.2, zorder=5)
    axes.plot([px, px], [yl, yh], color=style.colour, linewidth=1.2, zorder=5)
    axes.plot(px, py, zorder=6, **_mark(style))


def _placed_runs(axes: Axes, runs: pd.DataFrame, x: str, y: str, style: LineStyle) -> None:
    if runs.empty:
        return
    seen = runs.pivot(index="run", columns="measure", values="mean")
    points = seen[[x, y]].to_numpy(float) * [measure(x).scale, measure(y).scale]
    axes.plot(*points.T, ".", color=style.colour, markersize=5, markeredgewidth=0, zorder=6.5)


def _trade_axes(axes: Axes, x: str, y: str, cloud: pd.DataFrame, summary: pd.DataFrame) -> None:
    for axis, name, arrows in ((axes.xaxis, x, ("→", "←")), (axes.yaxis, y, ("↑", "↓"))):
        what = measure(name)
        axis.set_label_text(f"{what.title}   {arrows[what.better != 'more']} better")
        marks = summary.loc[summary["measure"] == name, ["mean", "low", "high"]].to_numpy(float).ravel() * what.scale
        low, high = _view(cloud[name].to_numpy(float) * what.scale, marks, what.better == "more")
        logarithmic = what.unit == "s" and low > 0 and high / low > _WIDE
        margin = (high / low) ** 0.06 if logarithmic else 0.06 * (high - low)
        limits = (low / margin, high * margin) if logarithmic else (low - margin, high + margin)
        if logarithmic:
            (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 300 else (1,)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
        (axes.set_xlim if axis is axes.xaxis else axes.set_ylim)(*limits)
    axes.set_title(f"{measure(y).label} and {measure(x).label}")


def _view(cloud: np.ndarray, policies: np.ndarray, more: bool) -> tuple[float, float]:
    """From the best of all to somewhat beyond the worst policy; splits far worse than every policy lie outside."""
    both = np.concatenate([cloud, policies])
    best, worst = (np.nanmax(both), np.nanmin(policies)) if more else (np.nanmin(both), np.nanmax(policies))
    end = worst + 0.2 * (worst - best)
    end = max(end, np.nanmin(both)) if more else min(end, np.nanmax(both))
    low, high = sorted((float(best), float(end)))
    return (low, high) if high > low else (low - 0.05 * abs(low) - 1e-9, high + 0.05 * abs(high) + 1e-9)


# -- what a policy does ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PolicyMap:
    """What a policy does as a function of its two observations.

    Attributes:
        policy: its name.
        request_queue: [m], increasing, jobs.
        update_queue: [n], increasing, jobs.
        bandwidth_share: [m, n], part for requests in [0, 1].
        compute_share: [m, n], part for requests in [0, 1].
        visits: [m, n], how often the policy was there; None if not known.
    """

    policy: str
    request_queue: np.ndarray
    update_queue: np.ndarray
    bandwidth_share: np.ndarray
    compute_share: np.ndarray
    visits: np.ndarray | None = None


def policy_map_figure(maps: Sequence[PolicyMap]) -> Figure:
    """Two heat maps per policy, a row for each: shares for requests over both queues, on logarithmic axes from zero."""
    with paper():
        figure = Figure(figsize=(TEXT_WIDTH, 2.75 * len(maps) + 0.15), layout="constrained")
        panels = figure.subplots(len(maps), 2, squeeze=False)
        for row, seen in zip(panels, maps, strict=True):
            for axes, name in zip(row, ("bandwidth_share", "compute_share"), strict=True):
                mesh = _policy_map(axes, seen, getattr(seen, name))
                axes.set_title(f"{seen.policy}: {measure(name).label.lower()}")
        bar = figure.colorbar(mesh, ax=panels, label="Share for requests (%)", pad=0.02, aspect=24 * len(maps))
        bar.outline.set_visible(False)
    return figure


def _policy_map(axes: Axes, seen: PolicyMap, shares: np.ndarray) -> Any:
    for set_scale in (axes.set_xscale, axes.set_yscale):
        set_scale("function", functions=(np.log1p, np.expm1))
    x, y = np.asarray(seen.request_queue, float), np.asarray(seen.update_queue, float)
    edges = (_log_edges(x), _log_edges(y))
    mesh = axes.pcolormesh(*edges, np.asarray(shares).T * 100, cmap=COLOURS, vmin=0, vmax=100, rasterized=True)
    lines = axes.contour(x, y, np.asarray(shares).T * 100, levels=[25, 50, 75], colors="white", linewidths=0.5)
    axes.clabel(lines, fmt="%g %%", fontsize=6)
    if seen.visits is not None and np.sum(seen.visits) > 0:
        outline = axes.contour(x, y, _densest(seen.visits).T, levels=[0.9], colors="#D55E00", linewidths=1.4)
        outline.set_path_effects([withStroke(linewidth=2.6, foreground="white")])
    for axis, values, kind in ((axes.xaxis, x, "request"), (axes.yaxis, y, "update")):
        ticks = [0, 1, 3, *(m * 10.0**p for p in range(1, 7) for m in (1, 3))]
        axis.set_major_locator(FixedLocator([t for t in ticks if values.min() <= t <= values.max()]))
        axis.set_minor_locator(FixedLocator([]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axis.set_label_text(measure(f"{kind}_queue").title)
    axes.grid(False)
    return mesh


def _log_edges(values: np.ndarray) -> np.ndarray:
    """Edges of the cells around values, half way between them on the axis."""
    at = np.log1p(values)
    middle = (at[1:] + at[:-1]) / 2
    edges: np.ndarray = np.expm1(np.concatenate([at[:1], middle, at[-1:]]))
    return edges


def _densest(visits: np.ndarray) -> np.ndarray:
    """For each cell the part of all visits in cells that are visited more often: below 0.9 lie the densest 90 %."""
    flat = np.asarray(visits, float).ravel()
    order = np.argsort(-flat, kind="stable")
    before = np.empty(len(flat))
    before[order] = np.concatenate([[0.0], np.cumsum(flat[order])[:-1]]) / flat.sum()
    return np.where(flat > 0, before, 1.0).reshape(np.shape(visits))


# -- training ----------------------------------------------------------------------------------------------------------


def training_figure(training: AnyTable, baselines: AnyTable | None = None) -> Figure:
    """Return over training: a faint line per seed, their mean and its spread (one standard deviation over seeds).

    A seed that stopped early keeps its last value in the mean.

    Args:
        training: `policy, seed, steps, return`, one row per evaluation; runs with the published settings are a policy
            of their own.
        baselines: `policy, mean, low, high`: dashed lines with their intervals, such as the best fixed split.
    """
    runs = frame(training)
    lines = frame(baselines) if baselines is not None else pd.DataFrame({"policy": []})
    styles = styles_of([*runs["policy"].unique(), *lines["policy"]])
    ends = runs.groupby("policy", observed=True)["steps"].max()
    with paper():
        figure = Figure(figsize=(TEXT_WIDTH, 2.9), layout="constrained")
        axes = figure.subplots()
        for _, row in lines.iterrows():
            style = styles[row["policy"]]
            axes.axhspan(row["low"], row["high"], color=style.colour, alpha=0.15, linewidth=0)
            axes.axhline(row["mean"], color=style.colour, linestyle=(0, (4.5, 1.5)), linewidth=1.1)
        for policy, part in runs.groupby("policy", sort=False, observed=True):
            _training_lines(axes, part, styles[str(policy)])
        if ends.max() > _WIDE * ends.min():
            axes.set_xscale("log")
        else:
            axes.set_xlim(0, ends.max() * 1.01)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _counted(value)))
        axes.set(xlabel="Steps of training", ylabel="Return per episode")
        axes.yaxis.set_major_locator(MaxNLocator(6))
        _legend_above(figure, styles | {p: replace(styles[p], dashes=(0, (4.5, 1.5))) for p in lines["policy"]})
    return figure


def _training_lines(axes: Axes, part: pd.DataFrame, style: LineStyle) -> None:
    curves = [run.sort_values("steps")[["steps", "return"]].to_numpy(float).T for _, run in part.groupby("seed")]
    for steps, values in curves:
        axes.plot(steps, values, color=style.colour, linewidth=0.6, alpha=0.45, **_few(steps, 2))
    steps = np.unique(np.concatenate([curve[0] for curve in curves]))
    steps = steps[steps >= max(curve[0][0] for curve in curves)]
    values = np.stack([np.interp(steps, *curve) for curve in curves])
    mean, sd = values.mean(axis=0), values.std(axis=0, ddof=1) if len(curves) > 1 else np.zeros(len(steps))
    axes.fill_between(steps, mean - sd, mean + sd, color=style.colour, alpha=0.15, linewidth=0)
    axes.plot(steps, mean, color=style.colour, linestyle=style.dashes, linewidth=1.6, **_few(steps, 4))


def _few(steps: np.ndarray, size: float) -> dict[str, Any]:
    """Marks for a curve of one or two points, of which a line shows nothing or hardly anything."""
    return {"marker": "o", "markersize": size} if len(steps) < 3 else {}


def _counted(value: float) -> str:
    """1,500,000 as 1.5M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


# -- adaptation --------------------------------------------------------------------------------------------------------


def adaptation_figure(course: AnyTable, changes: AnyTable, measures: Sequence[str] = ADAPTATION) -> Figure:
    """How shares, queues and ages follow changing traffic: a line per policy, a band of one standard deviation.

    Args:
        course: `policy, measure, time_s, mean, sd`.
        changes: `time_s, label`: when the traffic changed and to what; drawn as vertical lines.
        measures: a panel for each, two side by side.
    """
    seen, marks = frame(course), frame(changes)
    rows = -(-len(measures) // 2)
    with paper():
        figure = Figure(figsize=(TEXT_WIDTH, rows * 1.6 + 0.75), layout="constrained")
        draw_course(figure, figure.add_gridspec(rows, 2), seen, measures)
        for i, axes in enumerate(figure.axes):
            for time in marks["time_s"]:
                axes.axvline(time, color="#1C2430", linewidth=0.8, linestyle=(0, (2, 1.5)), zorder=1)
            if i < 2:
                _name_changes(axes, marks)
        _legend_above(figure, styles_of(seen["policy"].unique()))
    return figure


def _name_changes(axes: Axes, marks: pd.DataFrame) -> None:
    """Labels above the lines, in two rows where they would run into each other."""
    span = axes.get_xlim()[1] - axes.get_xlim()[0]
    close = len(marks) > 1 and float(np.diff(np.sort(marks["time_s"])).min()) < 0.25 * span
    axes.set_title(axes.get_title(loc="left"), pad=22 if close else 14)
    for i, (time, label) in enumerate(zip(marks["time_s"], marks["label"], strict=True)):
        axes.annotate(
            label, (time, 1), (0, 10 if close and i % 2 else 2), xycoords=("data", "axes fraction"),
            textcoords="offset points", fontsize=6, color="#3A4250", ha="center", va="bottom",
        )  # fmt: skip
