"""Figures of recommenders for the size of zones: what they cost and spoil, how they change, why, and how it looks.

Each takes plain tables and returns a figure; every recommender looks the same in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from metalore.report.forecast_figures import clock_axis
from metalore.report.style import BLACK, GREY, TEXT_WIDTH, VERMILLION, LineStyle, paper, styles_of

COSTS = (("cpu_cost", "CPU cost (static peak = 1)"), ("memory_cost", "Memory cost (static peak = 1)"))
SLACK = (("cpu_slack", "CPU slack (%)", 100.0), ("memory_slack", "Memory slack (%)", 100.0))
CHANGES = (
    ("changes", "Changes per zone and day", 1.0),
    ("change_size", "Mean size of a change (%)", 100.0),
    ("reversals", "Reversals per zone and day", 1.0),
)
AMOUNTS = (("given_cores", "cpu_cores", "CPU", "cores"), ("given_mb", "memory_mb", "memory", "MB"))
REASONS = 7
"""So many reasons, the most frequent, have a colour of their own."""
POINTS = 480
"""Of a line over time; more intervals are averaged to at most so many."""
_BESIDE = 4
_WIDE = 8.0
"""Ratio of the largest to the least cost from which their axis is logarithmic."""
_WHOLE = 104.0
"""Percent at which an axis ends that never shows more than all."""
_OTHERS = "others"
_OFTEN = 0.98
"""Of what was given, this part lies within the figure over time; what recommenders begin with may lie far outside."""


def is_foresight(name: str) -> bool:
    """Whether a recommender, with or without settings, is handed the future."""
    return name.partition(":")[0] == "foresight"


# -- cost and violations -----------------------------------------------------------------------------------------------


def cost_figure(summary: pd.DataFrame) -> Figure:
    """Violations against costs: a mark per recommender with 95 % intervals, foresight hollow; good is below and left.

    Args:
        summary: `recommender, measure, mean, low, high`, with `slo_violations`, `slo_floor` and both costs.
    """
    styles = styles_of(summary["recommender"].unique())
    with paper():
        figure = Figure(figsize=(TEXT_WIDTH, 3.0), layout="constrained")
        panels = figure.subplots(1, len(COSTS), sharey=True)
        floor = 100 * float(summary.loc[summary["measure"] == "slo_floor", "mean"].mean())
        for axes, (cost, label) in zip(panels, COSTS, strict=True):
            axes.axvline(1, color=GREY, linestyle=(0, (4, 2)), linewidth=0.8, zorder=1)
            axes.axhline(floor, color=GREY, linestyle=(0, (1, 2)), linewidth=0.8, zorder=1)
            for name, style in reversed(styles.items()):  # the first lies on top
                _placed(axes, summary[summary["recommender"] == name].set_index("measure"), cost, name, style)
            axes.set_xlabel(label)
            _cost_axis(axes, summary[summary["measure"] == cost])
            axes.set_ylim(0, min(1.1 * max(axes.dataLim.y1, 1e-3), _WHOLE))
            axes.annotate(
                "better", (0.01, 0.015), (0.09, 0.11), xycoords="axes fraction", textcoords="axes fraction",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
                color=GREY, arrowprops={"arrowstyle": "->", "color": GREY, "linewidth": 0.9},
            )  # fmt: skip
        panels[0].set_ylabel("SLO violations (% of zone-intervals)")
        handles = [Line2D([], [], label=name, **_mark(name, style)) for name, style in styles.items()]
        figure.legend(handles=handles, loc="outside upper left", ncols=_columns(list(styles)), handlelength=1.2)
    return figure


def _placed(axes: Axes, seen: pd.DataFrame, cost: str, name: str, style: LineStyle) -> None:
    x, x_low, x_high = seen.loc[cost, ["mean", "low", "high"]].to_numpy(float)
    y, y_low, y_high = 100 * seen.loc["slo_violations", ["mean", "low", "high"]].to_numpy(float)
    axes.plot([x_low, x_high], [y, y], color=style.colour, linewidth=1.2, zorder=4)
    axes.plot([x, x], [y_low, y_high], color=style.colour, linewidth=1.2, zorder=4)
    axes.plot(x, y, zorder=5, clip_on=False, **_mark(name, style))


def _cost_axis(axes: Axes, costs: pd.DataFrame) -> None:
    """From 0, or logarithmic where costs are of different orders of magnitude."""
    least, most = min(float(costs["mean"].min()), 1.0), max(float(costs[["mean", "high"]].max(axis=None)), 1.0)
    if least > 0 and most / least > _WIDE:
        axes.set_xscale("log")
        axes.set_xlim(least / 1.4, most * 1.2)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(0, 1.06 * most)


def _mark(name: str, style: LineStyle) -> dict[str, Any]:
    hollow = is_foresight(name)
    return {
        "marker": "o" if hollow else style.marker, "color": style.colour, "linestyle": "none", "markersize": 6,
        "markerfacecolor": "white" if hollow else style.colour,
        "markeredgecolor": style.colour if hollow else "white", "markeredgewidth": 1.3 if hollow else 0.6,
    }  # fmt: skip


def _columns(names: Sequence[str]) -> int:
    """Entries of a legend side by side."""
    return max(1, min(len(names), 110 // (max(map(len, names)) + 7)))


# -- in rows -----------------------------------------------------------------------------------------------------------


def rows_figure(summary: pd.DataFrame, panels: Sequence[tuple[str, str, float]]) -> Figure:
    """Measures side by side, a row for each recommender: a mark for the mean, a line for its 95 % interval.

    Args:
        summary: `recommender, measure, mean, low, high`.
        panels: measure, label and scale of each.
    """
    styles = styles_of(summary["recommender"].unique())
    with paper():
        figure = Figure(figsize=(TEXT_WIDTH, 0.6 + 0.19 * len(styles)), layout="constrained")
        for axes, (measure, label, scale) in zip(
            figure.subplots(1, len(panels), sharey=True, squeeze=False).ravel(), panels, strict=True
        ):
            own = summary[summary["measure"] == measure].set_index("recommender")[["mean", "low", "high"]] * scale
            for row, (name, style) in enumerate(styles.items()):
                mean, low, high = own.loc[name]
                axes.plot([low, high], [row, row], color=style.colour, linewidth=1.8, solid_capstyle="butt")
                axes.plot(mean, row, clip_on=False, **_mark(name, style))
            axes.set_xlabel(label)
            axes.set_xlim(min(0, 1.06 * axes.dataLim.x0), 1.06 * max(axes.dataLim.x1, 1e-9))
            axes.xaxis.set_major_locator(MaxNLocator(4))
            _name_rows(axes, list(styles))
    return figure


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(np.arange(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")


# -- reasons -----------------------------------------------------------------------------------------------------------


def reason_figure(reasons: pd.DataFrame) -> Figure:
    """How often each reason has a part in a decision, stacked; a decision may have several.

    A recommender's plain opinion, a reason called like itself, is left out: it has a part in nearly every decision.

    Args:
        reasons: `recommender, code, part` of all decisions.
    """
    names = list(reasons["recommender"].unique())
    plain = reasons["code"] == reasons["recommender"].str.partition(":")[0]
    table = reasons[~plain].pivot_table(index="recommender", columns="code", values="part", fill_value=0.0)
    table = _with_others(table.reindex(names, fill_value=0.0)) * 100
    looks = styles_of(str(code) for code in table.columns)
    with paper():
        figure = Figure(figsize=(TEXT_WIDTH, 0.95 + 0.22 * len(names)), layout="constrained")
        axes = figure.add_subplot()
        left = np.zeros(len(names))
        for code, parts in table.items():
            colour = "#C5CAD1" if code == _OTHERS else looks[str(code)].colour
            axes.barh(np.arange(len(names)), parts, left=left, height=0.7, color=colour, label=str(code), lw=0)
            left = left + parts.to_numpy(float)
        axes.set_xlim(0, 1.02 * max(float(left.max()), 1e-9))
        axes.set_xlabel("Decisions with each reason (%), added up")
        _name_rows(axes, names)
        codes = [str(code) for code in table.columns] or [""]
        figure.legend(
            handles=axes.get_legend_handles_labels()[0],
            loc="outside upper left",
            ncols=_columns(codes),
            handlelength=1.2,
        )
    return figure


def _with_others(table: pd.DataFrame) -> pd.DataFrame:
    """Columns by their sum, the largest first; the least are summed up where there are many."""
    table = table[table.sum().sort_values(ascending=False, kind="stable").index]
    if table.shape[1] <= REASONS + 1:
        return table
    return table.iloc[:, :REASONS].assign(**{_OTHERS: table.iloc[:, REASONS:].sum(axis=1)})


# -- over time ---------------------------------------------------------------------------------------------------------


def zone_figure(series: pd.DataFrame, clock_s: float = 0.0) -> Figure:
    """What a zone was given and what it used, a row for each recommender; shaded as high as the part of late intervals.

    Args:
        series: of one zone: `recommender, time_s, given_cores, cpu_cores, given_mb, memory_mb, violated`.
        clock_s: seconds since Monday 00:00 at time 0.
    """
    styles = styles_of(series["recommender"].unique())
    with paper():
        figure = Figure(figsize=(TEXT_WIDTH, 0.6 + 0.85 * len(styles)), layout="constrained")
        grid = figure.subplots(len(styles), len(AMOUNTS), sharex=True, squeeze=False)
        for axes_of_row, (name, style) in zip(grid, styles.items(), strict=True):
            own = thinned(series[series["recommender"] == name])
            for axes, (given, used, what, unit) in zip(axes_of_row, AMOUNTS, strict=True):
                _course(axes, own, given, used, style)
                axes.set_title(f"{name}: {what}")
                axes.set_ylabel(unit)
        clock_axis(grid[0, 0], float(series["time_s"].min()), float(series["time_s"].max()), clock_s)
        figure.legend(handles=_course_handles(styles), loc="outside upper left", ncols=_BESIDE)
    return figure


def _course(axes: Axes, own: pd.DataFrame, given: str, used: str, style: LineStyle) -> None:
    own = pd.concat([own, own.tail(1).assign(time_s=own["time_s"].iloc[-1] + own["time_s"].diff().median())])
    time = own["time_s"].to_numpy(float)  # with the end of the last interval
    axes.fill_between(
        time, 0, own["violated"].to_numpy(float), step="post", color=VERMILLION, alpha=0.18,
        linewidth=0, transform=axes.get_xaxis_transform(), zorder=0,
    )  # fmt: skip
    axes.step(time, own[used], where="post", color=BLACK, linewidth=0.7, zorder=3)
    axes.step(time, own[given], where="post", color=style.colour, linewidth=1.1, zorder=2)
    axes.margins(x=0)
    axes.set_ylim(0, 1.15 * max(float(own[given].quantile(_OFTEN)), float(own[used].max()), 1e-9))
    axes.yaxis.set_major_locator(MaxNLocator(3))


def _course_handles(styles: Mapping[str, LineStyle]) -> list[Line2D | Patch]:
    colour = next(iter(styles.values())).colour if len(styles) == 1 else GREY
    return [
        Line2D([], [], color=colour, linewidth=1.1, label="given" if len(styles) == 1 else "given (coloured)"),
        Line2D([], [], color=BLACK, linewidth=0.7, label="used"),
        Patch(color=VERMILLION, alpha=0.18, linewidth=0, label="violations (full height: all)"),
    ]


def thinned(series: pd.DataFrame) -> pd.DataFrame:
    """Rows of one zone in order of time, averaged over as many intervals as it takes to have at most POINTS."""
    step = -(-len(series) // POINTS)
    numbers = series.sort_values("time_s").drop(columns=["recommender", "zone"], errors="ignore").astype(float)
    block = np.arange(len(numbers)) // max(step, 1)
    return numbers.groupby(block).mean().assign(time_s=numbers.groupby(block)["time_s"].first())
