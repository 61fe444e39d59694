"""Figures from result tables. Each function returns a figure; :mod:`metalore.report.style` saves and embeds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec, SubplotSpec
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from metalore.report.measures import measure
from metalore.report.style import TEXT_WIDTH, LineStyle, paper, styles_of

QUEUES = ("request_queue", "update_queue", "request_device_jobs", "update_device_jobs")
AGES = ("aori_s", "aosi_s", "twin_age_s")
SHARES = ("bandwidth_share", "compute_share")
COURSE = ("request_queue", "update_queue", "twin_age_s", "aori_s", "aosi_s", "reward", *SHARES)
COMPARED = ("return", "aori_s", "aosi_s", "served_age_s", "twin_age_s", "throughput_per_s")

CROWDED = 4
"""From so many policies on, bands are drawn for queues and ages only."""

_PANEL_HEIGHT = 1.55
_ROW_HEIGHT = 0.19


def course_figure(course: pd.DataFrame, measures: Sequence[str] = COURSE, columns: int = 2) -> Figure:
    """How measures develop over an episode: a line per policy (mean over seeds), a band of one standard deviation.

    With CROWDED policies and more, shares and rewards have no bands.

    Args:
        course: `policy, measure, time_s, mean, sd`.
        measures: a panel for each.
        columns: panels side by side.
    """
    rows = -(-len(measures) // columns)
    with paper():
        figure = Figure(figsize=(TEXT_WIDTH, rows * _PANEL_HEIGHT + 0.55), layout="constrained")
        draw_course(figure, figure.add_gridspec(rows, columns), course, measures)
        _legend_above(figure, styles_of(course["policy"].unique()))
    return figure


def draw_course(figure: Figure, grid: GridSpec | Any, course: pd.DataFrame, measures: Sequence[str]) -> None:
    """The panels of :func:`course_figure`, in a grid of somebody's figure."""
    styles = styles_of(course["policy"].unique())
    calm = len(styles) < CROWDED
    first: Axes | None = None
    for i, name in enumerate(measures):
        row, column = divmod(i, grid.ncols)
        axes = figure.add_subplot(grid[row, column], sharex=first)
        first = first or axes
        part = course[course["measure"] == name]
        for policy, line in part.groupby("policy", sort=False, observed=True):
            _line_with_band(axes, line, measure(name).scale, styles[str(policy)], calm or name in (*QUEUES, *AGES))
        _course_axes(axes, name, last=i + grid.ncols >= len(measures))


def _line_with_band(axes: Axes, line: pd.DataFrame, scale: float, style: LineStyle, band: bool) -> None:
    time = line["time_s"].to_numpy(float)
    mean, sd = (line[column].to_numpy(float) * scale for column in ("mean", "sd"))
    axes.plot(time, mean, color=style.colour, linestyle=style.dashes, linewidth=1.2)
    if band:
        axes.fill_between(time, mean - sd, mean + sd, color=style.colour, alpha=0.10, linewidth=0)


def _course_axes(axes: Axes, name: str, last: bool) -> None:
    what = measure(name)
    axes.set_title(what.label)
    axes.set_ylabel(what.unit or "per step")
    axes.margins(x=0)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=what.unit == "jobs"))
    if name in SHARES:
        axes.set_ylim(-3, 103)
    elif name != "reward":
        axes.set_ylim(bottom=0)
    axes.tick_params(labelbottom=last)
    if last:
        axes.set_xlabel("Time in the episode (s)")


def comparison_figure(
    summary: pd.DataFrame, measures: Sequence[str] = COMPARED, columns: int = 3, runs: pd.DataFrame | None = None
) -> Figure:
    """Policies side by side: a point for the mean of each measure, a line for its 95 % bootstrap interval.

    Args:
        summary: `policy, measure, mean, low, high`.
        measures: a panel for each.
        columns: panels side by side.
        runs: `policy, measure, mean` of single training runs: ticks below the mean.
    """
    policies = list(summary["policy"].unique())
    rows = -(-len(measures) // columns)
    with paper():
        height = rows * (0.62 + _ROW_HEIGHT * len(policies)) + 0.1
        figure = Figure(figsize=(TEXT_WIDTH, height), layout="constrained")
        draw_comparison(figure, figure.add_gridspec(rows, columns), summary, measures, runs)
    return figure


def draw_comparison(
    figure: Figure,
    grid: GridSpec | Any,
    summary: pd.DataFrame,
    measures: Sequence[str],
    runs: pd.DataFrame | None = None,
) -> None:
    """The panels of :func:`comparison_figure`, in a grid of somebody's figure."""
    policies = list(summary["policy"].unique())
    for i, name in enumerate(measures):
        row, column = divmod(i, grid.ncols)
        axes = figure.add_subplot(grid[row, column])
        values = summary[summary["measure"] == name].set_index("policy").loc[policies, ["mean", "low", "high"]]
        if runs is not None:
            _runs_in_rows(axes, runs[runs["measure"] == name], policies)
        _points_with_intervals(axes, values * measure(name).scale, styles_of(policies))
        what = measure(name)
        way = {"more": "  (better →)", "less": "  (← better)", None: ""}[what.better]
        axes.set_title(what.label)
        axes.set_xlabel(f"{what.unit or 'per episode'}{way}")
        axes.set_yticks(range(len(policies)), policies if column == 0 else [""] * len(policies))
        axes.set_ylim(len(policies) - 0.4, -0.6)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)


def _points_with_intervals(axes: Axes, part: pd.DataFrame, styles: dict[str, LineStyle]) -> None:
    for y, (policy, row) in enumerate(part.iterrows()):
        style = styles[str(policy)]
        axes.axhline(y, color="#E9ECF0", linewidth=0.6, zorder=0)
        if np.isnan(row["mean"]):
            axes.text(0.02, y, "undefined", transform=axes.get_yaxis_transform(), va="center", color="#5F6670")
            continue
        if np.isfinite(row["low"]):
            axes.plot([row["low"], row["high"]], [y, y], color=style.colour, linewidth=1.8, solid_capstyle="butt")
        size = 6 if style.marker in "XP*" else 4.5
        axes.plot(row["mean"], y, style.marker, color=style.colour, markersize=size, mec="white", mew=0.5)


def _runs_in_rows(axes: Axes, runs: pd.DataFrame, policies: Sequence[str]) -> None:
    """A tick for each training run, just below the mean of them all."""
    styles = styles_of(policies)
    for policy, part in runs.groupby("policy", sort=False, observed=True):
        values = part["mean"].to_numpy(float) * measure(str(part["measure"].iloc[0])).scale
        colour, y = styles[str(policy)].colour, policies.index(str(policy)) + 0.3
        axes.plot(values, np.full(len(values), y), "|", color=colour, markersize=4, markeredgewidth=0.9)


def distribution_figure(ages: pd.DataFrame, measures: Sequence[str] = ("aori_s", "aosi_s")) -> Figure:
    """Distribution functions of ages over all requests: the share answered with an age of at most x.

    A curve ends below 1 where requests were never answered, so that starving requests does not look good.

    Args:
        ages: `policy, measure, value_s, requests, generated`.
        measures: a panel for each.
    """
    styles = styles_of(ages["policy"].unique())
    with paper():
        figure = Figure(figsize=(TEXT_WIDTH, 2.6), layout="constrained")
        draw_distributions(figure, figure.add_gridspec(1, len(measures)), ages, measures)
        _legend_above(figure, styles)
    return figure


def draw_distributions(figure: Figure, grid: GridSpec | Any, ages: pd.DataFrame, measures: Sequence[str]) -> None:
    """The panels of :func:`distribution_figure`, in a grid of somebody's figure."""
    styles = styles_of(ages["policy"].unique())
    for i, name in enumerate(measures):
        axes = figure.add_subplot(grid[0, i])
        part = ages[ages["measure"] == name]
        longest = float(part["value_s"].max()) if len(part) else 1.0
        for policy, seen in part.groupby("policy", sort=False, observed=True):
            style = styles[str(policy)]
            x, y = distribution(seen)
            axes.step(
                np.append(x, longest), np.append(y, y[-1]), where="post", color=style.colour, linestyle=style.dashes
            )
        axes.set_title(f"Distribution of {measure(name).label}")
        axes.set_xlabel(f"{measure(name).label} (s)")
        axes.set_ylabel("share of all requests" if i == 0 else "")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_ylim(0, 1.02)
        axes.set_xlim(0, max(longest, 1e-9))


def distribution(seen: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Ages and the share of all generated requests that had at most that age."""
    ordered = seen.sort_values("value_s")
    share = ordered["requests"].cumsum() / ordered["generated"]
    return ordered["value_s"].to_numpy(float), share.to_numpy(float)


def overview_figure(title: str, summary: pd.DataFrame, course: pd.DataFrame, ages: pd.DataFrame) -> Figure:
    """Everything on one page (A4, upright): the comparison, the course of an episode, the distributions."""
    policies = list(summary["policy"].unique())
    with paper():
        figure = Figure(figsize=(8.27, 11.69), layout=ConstrainedLayoutEngine(rect=(0.05, 0.03, 0.9, 0.94), w_pad=0.09))
        compare = 0.62 + _ROW_HEIGHT * len(policies)
        outer = figure.add_gridspec(4, 1, height_ratios=[0.3, 2 * compare, 4.6, 2.0])
        _heading(figure, outer[0], title, styles_of(policies))
        draw_comparison(figure, outer[1].subgridspec(2, 3), summary, COMPARED)
        draw_course(figure, outer[2].subgridspec(3, 2), course, COURSE[:6])
        draw_distributions(figure, outer[3].subgridspec(1, 2), ages, ("aori_s", "aosi_s"))
    return figure


def _heading(figure: Figure, place: SubplotSpec, title: str, styles: dict[str, LineStyle]) -> None:
    axes = figure.add_subplot(place)
    axes.set_axis_off()
    axes.set_title(title, fontsize=11)
    axes.legend(handles=_handles(styles), loc="upper left", ncols=4, borderaxespad=0)


def _handles(styles: dict[str, LineStyle]) -> list[Line2D]:
    return [
        Line2D([], [], color=style.colour, linestyle=style.dashes, label=policy) for policy, style in styles.items()
    ]


def _legend_above(figure: Figure, styles: dict[str, LineStyle]) -> None:
    figure.legend(handles=_handles(styles), loc="outside upper left", ncols=min(4, len(styles)))
