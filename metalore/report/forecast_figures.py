"""Figures of forecasts: how far off they are, when and where, how often their quantiles hold, and what they look like.

Each takes plain tables and returns a figure, with a panel for each target. Units are given by target.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, PercentFormatter

from metalore.report.style import BLACK, BLUE, GREY, TEXT_WIDTH, LineStyle, paper, styles_of
from metalore.report.telemetry_figures import DAYS, PLAIN_COLOURS

Units = Mapping[str, str]

LISTED = 20
"""Zones in a bar list, where there is no map."""
_DAY_S, _WEEK_S = 86_400.0, 604_800.0
_STEPS_S = (60.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 10_800.0, 21_600.0, 43_200.0, _DAY_S, 2 * _DAY_S)
_TICKS = 5
_LINE = 115
"""Characters that fit above a figure."""
_FEW = 12
"""Up to so many zones are named on the map."""


def label_of(name: str, units: Units) -> str:
    """A target and its unit, as on an axis."""
    return f"{name} ({units[name]})" if units.get(name) else name


def error_label(target: str, units: Units) -> str:
    """The axis of errors of a target."""
    return f"Mean absolute error ({units[target]})" if units.get(target) else "Mean absolute error"


# -- by horizon --------------------------------------------------------------------------------------------------------


def horizon_figure(scores: pd.DataFrame, units: Units, interval_s: float) -> Figure:
    """Error by horizon: a line per forecaster, bars of one standard deviation over seeds; dots for a single horizon.

    Args:
        scores: `forecaster, horizon, target, mae, mae_sd`; horizons are numbers of intervals, or names of groups.
        units: of targets.
        interval_s: length of an interval.
    """
    styles = styles_of(scores["forecaster"].unique())
    one = scores["horizon"].nunique() == 1
    with paper():
        figure = Figure(figsize=_size(scores, 0.17 * len(styles) + 0.95 if one else 2.1), layout="constrained")
        for axes, target, part in _panels(figure, scores, one):
            (_dots if one else _lines_ahead)(axes, part, styles, "mae", interval_s)
            (axes.set_xlabel if one else axes.set_ylabel)(error_label(target, units))
            (axes.set_xlim if one else axes.set_ylim)(0, None)
        if not one:
            _legend(figure, styles)
    return figure


def _lines_ahead(axes: Axes, part: pd.DataFrame, styles: Mapping[str, LineStyle], name: str, interval_s: float) -> None:
    places, label = ahead(part["horizon"].unique(), interval_s)
    for forecaster, line in part.groupby("forecaster", sort=False):
        style = styles[str(forecaster)]
        x, y = [places[horizon] for horizon in line["horizon"]], line[name].to_numpy(float)
        spread = line[f"{name}_sd"].fillna(0).to_numpy(float) if f"{name}_sd" in line else 0 * y
        axes.plot(x, y, color=style.colour, linestyle=style.dashes, marker=style.marker, markersize=3.5)
        axes.errorbar(x, y, spread, fmt="none", ecolor=style.colour, elinewidth=0.9, capsize=2)
    _name_horizons(axes, places, label)


def ahead(horizons: Sequence[str] | np.ndarray, interval_s: float) -> tuple[dict[str, float], str]:
    """Where horizons lie on an axis, and its label: a time, or the names of groups in a row."""
    names = [str(horizon) for horizon in horizons]
    if not all(name.isdecimal() for name in names):
        return {name: float(i) for i, name in enumerate(names)}, "Horizon"
    farthest = max(int(name) for name in names) * interval_s
    unit, length = next((u, s) for u, s in (("h", 3600.0), ("min", 60.0), ("s", 1.0)) if farthest >= 2 * s or s == 1)
    return {name: int(name) * interval_s / length for name in names}, f"Time ahead ({unit})"


def _name_horizons(axes: Axes, places: Mapping[str, float], label: str) -> None:
    axes.set_xlabel(label)
    if label == "Horizon":
        axes.set_xticks(list(places.values()), list(places))
    else:
        axes.set_xlim(0, max(places.values()) * 1.04)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=max(places.values()) > _TICKS))


def _dots(axes: Axes, part: pd.DataFrame, styles: Mapping[str, LineStyle], name: str, _interval_s: float) -> None:
    for row, (forecaster, style) in enumerate(styles.items()):
        own = part[part["forecaster"] == forecaster]
        if len(own):
            spread = float(own[f"{name}_sd"].fillna(0).iloc[0]) if f"{name}_sd" in own else 0.0
            axes.errorbar(
                own[name].iloc[0], row, xerr=spread, fmt=style.marker, color=style.colour, capsize=2, elinewidth=0.9
            )
    _name_forecasters(axes, list(styles))


def _name_forecasters(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(np.arange(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(False, axis="y")


# -- by hour -----------------------------------------------------------------------------------------------------------


def hour_figure(by_hour: pd.DataFrame, units: Units) -> Figure:
    """Error by the hour of day that is forecast, over all horizons: a line per forecaster.

    Args:
        by_hour: `forecaster, target, horizon, hour, mae, count`.
        units: of targets.
    """
    styles = styles_of(by_hour["forecaster"].unique())
    with paper():
        figure = Figure(figsize=_size(by_hour, 1.9), layout="constrained")
        for axes, target, part in _panels(figure, by_hour):
            for forecaster, own in part.groupby("forecaster", sort=False):
                style, line = styles[str(forecaster)], pooled(own, "hour").reindex(range(24))
                marker = style.marker if line.notna().sum() < _TICKS else ""
                axes.plot(
                    line.index + 0.5, line, color=style.colour, linestyle=style.dashes, marker=marker, markersize=3
                )
            axes.set(xlabel="Hour of the day", ylabel=error_label(target, units), ylim=(0, None))
            _hours(axes, by_hour["hour"].to_numpy())
        _legend(figure, styles)
    return figure


def _hours(axes: Axes, seen: np.ndarray) -> None:
    """The parts of a day, of six hours each, in which there is something."""
    first, last = 6 * (int(seen.min()) // 6), 6 * (int(seen.max()) // 6 + 1)
    axes.set_xlim(first, last)
    axes.xaxis.set_major_locator(FixedLocator(range(first, last + 1, max(1, (last - first) // 6))))


def pooled(table: pd.DataFrame, by: str, value: str = "mae") -> pd.Series:
    """Means over horizons, each horizon counting as much as was measured at it; in the order of the table."""
    known = table[table["count"] > 0]
    total = (known[value] * known["count"]).groupby(known[by], sort=False).sum()
    return total / known.groupby(by, sort=False)["count"].sum()


# -- by zone -----------------------------------------------------------------------------------------------------------


def zone_error_figure(by_zone: pd.DataFrame, zones: pd.DataFrame, edges: pd.DataFrame, units: Units) -> Figure:
    """Error by zone, over all horizons: on the map, or as a list of the worst where zones have no places.

    Args:
        by_zone: `target, horizon, zone, mae, count`, of one forecaster.
        zones: index `zone`; `x_m, y_m`.
        edges: `source, target` (numbers of rows of `zones`), `weight`.
        units: of targets.
    """
    mapped = bool(zones[["x_m", "y_m"]].notna().all(axis=None)) and len(zones) > 1
    targets = list(by_zone["target"].unique())
    listed = 0.14 * min(LISTED, len(zones)) + 0.75
    height = max(_map_height(zones), listed * (len(targets) == 1)) if mapped else listed
    with paper():
        figure = Figure(figsize=_size(by_zone, height), layout="constrained")
        panels = figure.subplots(-(-len(targets) // 2), 2 if mapped or len(targets) > 1 else 1, squeeze=False).ravel()
        for axes, target in zip(panels, targets, strict=False):
            errors, label = pooled(by_zone[by_zone["target"] == target], "zone"), error_label(target, units)
            axes.set_title(target)
            if mapped:
                _error_map(figure, axes, errors, zones, edges, label)
            else:
                _error_bars(axes, errors, label)
        if mapped and len(targets) == 1:
            _error_bars(panels[1], errors, label)
        elif len(panels) > len(targets):
            panels[-1].set_visible(False)
    return figure


def _map_height(zones: pd.DataFrame) -> float:
    wide, high = (max(float(np.ptp(zones[name])), 1.0) for name in ("x_m", "y_m"))
    return float(np.clip(2.4 * high / wide, 1.7, 3.6)) + 0.5


def _error_map(
    figure: Figure, axes: Axes, errors: pd.Series, zones: pd.DataFrame, edges: pd.DataFrame, label: str
) -> None:
    places = zones[["x_m", "y_m"]].to_numpy(float)
    ends = edges[["source", "target"]].to_numpy(int)
    width = float(np.clip(40 / max(len(edges), 1), 0.15, 0.7))
    axes.add_collection(LineCollection(list(places[ends]), linewidths=width, colors="#C5CAD1", zorder=1))
    size = float(np.clip(3000 / len(zones), 14, 90))
    drawn = axes.scatter(
        places[:, 0], places[:, 1], c=errors.reindex(zones.index).to_numpy(float), s=size,
        cmap=f"{PLAIN_COLOURS}_r", vmin=0, edgecolors="white", linewidths=0.5, zorder=3, plotnonfinite=True,
    )  # fmt: skip
    if len(zones) <= _FEW:
        for name, place in zip(zones.index, places, strict=True):
            axes.annotate(str(name), place, (0, -7), textcoords="offset points", ha="center", va="top", fontsize=5.5)
    bar = figure.colorbar(drawn, ax=axes, label=label, pad=0.02, shrink=0.85)
    bar.outline.set_visible(False)
    far = max(float(np.ptp(places[:, 0])), float(np.ptp(places[:, 1])))
    scale, unit = (1000.0, "km") if far >= 3000 else (1.0, "m")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / scale:g}"))
    axes.set(xlabel=f"East ({unit})", ylabel=f"North ({unit})")
    axes.set_aspect("equal")
    axes.grid(False)
    axes.margins(0.14)


def _error_bars(axes: Axes, errors: pd.Series, label: str) -> None:
    worst = errors.sort_values(ascending=False, kind="stable")[:LISTED]
    axes.barh(np.arange(len(worst)), worst, color=BLUE, height=0.7)
    _name_forecasters(axes, [str(zone) for zone in worst.index])
    axes.tick_params(axis="y", length=0, labelsize=6)
    axes.set_xlabel(label)
    if len(worst) < len(errors):
        axes.set_ylabel(f"the worst {len(worst)} of {len(errors):,} zones")


# -- calibration -------------------------------------------------------------------------------------------------------


def calibration_figure(calibration: pd.DataFrame, interval_s: float) -> Figure:
    """Part of what came that lay below each quantile, by horizon; dashed where it should be.

    Args:
        calibration: `forecaster, target, horizon, level, observed`.
        interval_s: length of an interval.
    """
    styles = styles_of(calibration["forecaster"].unique())
    one = calibration["horizon"].nunique() == 1
    levels = sorted(calibration["level"].unique())
    with paper():
        figure = Figure(figsize=_size(calibration, 0.17 * len(styles) + 0.95 if one else 2.1), layout="constrained")
        for axes, _target, part in _panels(figure, calibration, one):
            for level in levels:
                (axes.axvline if one else axes.axhline)(level, color=GREY, linestyle=(0, (4, 2)), linewidth=0.8)
                own = part[part["level"] == level].astype({"horizon": str})
                (_dots if one else _lines_ahead)(axes, own, styles, "observed", interval_s)
            (axes.set_xlabel if one else axes.set_ylabel)("Part that came below the quantile")
            (axes.set_xlim if one else axes.set_ylim)(0, 1)
            axis = axes.xaxis if one else axes.yaxis
            axis.set_major_locator(FixedLocator(levels))
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        if not one:
            _legend(figure, styles)
    return figure


# -- what forecasts look like ------------------------------------------------------------------------------------------


def fan_figure(
    fans: pd.DataFrame, course: pd.DataFrame, units: Units, clock_s: float = 0.0, band: tuple[str, str] = ("q10", "q90")
) -> Figure:
    """Forecasts beside what came, for the zones with the largest and with the median error.

    With several horizons each forecast is a fan that begins at its origin; with one, forecasts are joined to a line.

    Args:
        fans: `target, zone, origin_s, horizon, time_s`, `q50` and the quantiles of the band; of one forecaster.
        course: `target, which, zone, time_s, value`.
        units: of targets.
        clock_s: seconds since Monday 00:00 at time 0.
        band: names of its quantiles.
    """
    shown = course.drop_duplicates(["target", "zone"])
    columns = 1 if len(shown) == shown["target"].nunique() else 2
    rows = list(shown["target"].unique())
    with paper():
        figure = Figure(figsize=(TEXT_WIDTH, 1.55 * len(rows) + 0.5), layout="constrained")
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for axes_of_row, target in zip(grid, rows, strict=True):
            own = shown[shown["target"] == target]
            for axes in axes_of_row[len(own) :]:
                axes.set_visible(False)
            for axes, (which, zone) in zip(axes_of_row, own[["which", "zone"]].to_numpy(), strict=False):
                of_zone = {"target": target, "zone": zone}
                _fans(axes, _rows(fans, of_zone), _rows(course, of_zone), clock_s, band)
                axes.set_title(f"{zone} ({which} error)")
            axes_of_row[0].set_ylabel(label_of(target, units))
        figure.legend(handles=_fan_handles(fans["horizon"].nunique() == 1), loc="outside upper left", ncols=4)
    return figure


def _rows(table: pd.DataFrame, where: Mapping[str, str]) -> pd.DataFrame:
    return table[(table[list(where)] == pd.Series(where)).all(axis=1)]


def _fans(axes: Axes, fans: pd.DataFrame, course: pd.DataFrame, clock_s: float, band: tuple[str, str]) -> None:
    times, values = course["time_s"].to_numpy(float), course["value"].to_numpy(float)
    axes.plot(times, values, color=BLACK, linewidth=0.9, zorder=3)
    if fans["horizon"].nunique() == 1:
        _fan(axes, fans["time_s"], fans["q50"], fans[list(band)])
    else:
        known = dict(zip(times, values, strict=True))
        for origin, fan in fans.groupby("origin_s"):
            last = known.get(float(str(origin)), np.nan)
            begin = pd.DataFrame({"time_s": [origin], "q50": [last], **{name: [last] for name in band}})
            whole = pd.concat([begin, fan]) if np.isfinite(last) else fan
            _fan(axes, whole["time_s"], whole["q50"], whole[list(band)])
            axes.plot(origin, last, "o", color=BLUE, markersize=2.5, zorder=5)
    axes.set_xlim(times[0], times[-1])
    axes.yaxis.set_major_locator(MaxNLocator(4))
    clock_axis(axes, times[0], times[-1], clock_s)


def _fan(axes: Axes, times: pd.Series, median: pd.Series, band: pd.DataFrame) -> None:
    axes.fill_between(times, band.iloc[:, 0], band.iloc[:, 1], color=BLUE, alpha=0.22, linewidth=0, zorder=2)
    axes.plot(times, median, color=BLUE, linewidth=1.0, marker=".", markersize=2.5, zorder=4)


def _fan_handles(joined: bool) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=BLACK, linewidth=0.9, label="what came"),
        Line2D([], [], color=BLUE, linewidth=1.0, label="median forecast"),
        Patch(color=BLUE, alpha=0.22, linewidth=0, label="from quantile 0.1 to 0.9"),
    ]
    origin = Line2D([], [], color=BLUE, marker="o", linestyle="none", markersize=2.5, label="made here")
    return handles if joined else [*handles, origin]


def clock_axis(axes: Axes, first: float, last: float, clock_s: float) -> None:
    """Days and hours, at times that are round."""
    step = next((s for s in _STEPS_S if (last - first) / s <= _TICKS), float(last - first))
    begin = np.ceil((first + clock_s) / step) * step - clock_s
    axes.xaxis.set_major_locator(FixedLocator(list(np.arange(begin, last + 1e-6, step))))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda time, _: clock(time + clock_s)))


def clock(seconds: float) -> str:
    """Day and time of day of seconds since Monday 00:00."""
    whole = round(seconds) % round(_WEEK_S)
    text = f"{DAYS[whole // 86_400]} {whole // 3600 % 24:02d}:{whole // 60 % 60:02d}"
    return f"{text}:{whole % 60:02d}" if whole % 60 else text


# -- what they share ---------------------------------------------------------------------------------------------------


def _size(table: pd.DataFrame, height: float) -> tuple[float, float]:
    """Of a figure with a panel of that height for each target, two side by side."""
    rows = -(-table["target"].nunique() // 2)
    return TEXT_WIDTH, height * rows + 0.35


def _panels(figure: Figure, table: pd.DataFrame, shared: bool = False) -> Iterator[tuple[Axes, str, pd.DataFrame]]:
    """Axes, target and its rows; with `shared`, panels side by side name their rows once."""
    targets = list(table["target"].unique())
    columns = min(2, len(targets))
    grid = figure.subplots(-(-len(targets) // columns), columns, squeeze=False, sharey="row" if shared else "none")
    for axes in grid.flat[len(targets) :]:
        axes.set_visible(False)
    for axes, target in zip(grid.flat, targets, strict=False):
        axes.set_title(target)
        yield axes, str(target), table[table["target"] == target]


def _legend(figure: Figure, styles: Mapping[str, LineStyle]) -> None:
    handles = [
        Line2D([], [], color=s.colour, linestyle=s.dashes, marker=s.marker, markersize=3.5, label=name)
        for name, s in styles.items()
    ]
    beside = _LINE // (max(map(len, styles)) + 8)
    columns = len(styles) if sum(len(name) + 8 for name in styles) <= _LINE else max(1, beside)
    figure.legend(handles=handles, loc="outside upper left", ncols=columns)
