"""The page about forecasts: scores side by side, and where they err.

page = forecast_page([forecasts], "Forecasts of my city", about)
write_page(page, "results/forecasts/index.html")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from metalore.report.forecast_figures import (
    Units,
    calibration_figure,
    fan_figure,
    horizon_figure,
    hour_figure,
    label_of,
    pooled,
    zone_error_figure,
)
from metalore.report.intervals import decimals_for, written
from metalore.report.page import Cell, Listing, Page, Picture, Section, Table, picture_of

DRAWN = 6
"""Forecasters, the best, in figures where lines hide each other."""

_WITH_SPREAD = (("mae", "MAE"), ("rmse", "RMSE"))
_PLAIN = (("wape", "WAPE (%)", 100.0), ("quantile_loss", "Quantile loss", 1.0))
_COSTS = (("train_s", "Fit (s)", 1.0), ("inference_ms", "Forecast (ms)", 1.0))
_COVERAGE = "coverage_"

MEANINGS = """MAE, RMSE and WAPE (sum of absolute errors over the sum of what came) judge the median. The quantile loss
is the mean over the quantiles 0.1, 0.5 and 0.9; like MAE and RMSE it is in the unit of the target, and less is better.
The column 'below' says how many percent of what came lay below each quantile; 10, 50 and 90 would be right.

A fit is training with all it takes, and a forecast is one of all zones and horizons from one moment; both on the wall
clock of the machine that made this page. Behind ± stands one standard deviation over seeds; what draws nothing at
random has one run."""


@dataclass(frozen=True)
class Forecasts:
    """Forecasts of one panel, as tables.

    Attributes:
        name: of the panel.
        text: what it is and which part was judged, in words.
        interval_s: length of an interval.
        clock_s: seconds since Monday 00:00 at time 0 of the panel.
        units: of targets, where known.
        scores: `forecaster, horizon, target, mae, mae_sd, rmse, rmse_sd, wape, quantile_loss, coverage_10` and so on,
            `train_s, inference_ms, seeds`, means over seeds.
        ranking: forecasters, the best first; of the first one zones and examples are drawn.
        by_hour, by_zone, calibration, fans, course: `forecaster` and columns as in
            :class:`metalore.forecast.diagnosis.Diagnosis`.
        zones: index `zone`; `x_m, y_m`, NaN where unknown.
        edges: `source, target, weight`.
    """

    name: str
    text: str
    interval_s: float
    clock_s: float
    units: Units
    scores: pd.DataFrame
    ranking: Sequence[str]
    by_hour: pd.DataFrame
    by_zone: pd.DataFrame
    calibration: pd.DataFrame
    fans: pd.DataFrame
    course: pd.DataFrame
    zones: pd.DataFrame
    edges: pd.DataFrame

    def of_best(self, table: pd.DataFrame) -> pd.DataFrame:
        """Rows of the best forecaster."""
        return table[table["forecaster"] == self.ranking[0]]

    def of_drawn(self, table: pd.DataFrame) -> pd.DataFrame:
        """Rows of the best few, in the order in which they were given."""
        return table[table["forecaster"].isin(list(self.ranking[:DRAWN]))]


def forecast_figures(run: Forecasts) -> dict[str, Figure]:
    """The page's figures of a panel by name."""
    return {
        "horizons": horizon_figure(run.scores, run.units, run.interval_s),
        "calibration": calibration_figure(run.of_drawn(run.calibration), run.interval_s),
        "hours": hour_figure(run.of_drawn(run.by_hour), run.units),
        "zones": zone_error_figure(run.of_best(run.by_zone), run.zones, run.edges, run.units),
        "examples": fan_figure(run.of_best(run.fans), run.of_best(run.course), run.units, run.clock_s),
    }


def forecast_page(
    runs: Sequence[Forecasts],
    title: str,
    about: Mapping[str, Any],
    figures: Sequence[Mapping[str, Figure]] | None = None,
) -> Page:
    """The page.

    Args:
        runs: one for each panel.
        title: of the page.
        about: `command` and `versions`, each of which may be missing.
        figures: those of :func:`forecast_figures` for each run, if they are drawn already.
    """
    drawn = figures or [forecast_figures(run) for run in runs]
    sections = [_section(run, own) for run, own in zip(runs, drawn, strict=True)]
    sections.append(Section("What the numbers mean", MEANINGS))
    if about.get("command"):
        sections.append(Section("Run it again", "", [Listing(str(about["command"]))]))
    versions = ", ".join(f"{name} {version}" for name, version in about.get("versions", {}).items())
    return Page(title, " ".join(map(lead, runs)), sections, f"Made with {versions}." if versions else "")


def lead(run: Forecasts) -> str:
    """Who forecasts best, by how much."""
    best, others = run.ranking[0], run.ranking[1:]
    if not others:
        return f"Forecasts of {run.name} by {best}."
    losses = run.scores.pivot_table(index="forecaster", columns=["target", "horizon"], values="quantile_loss")
    ratio = float((losses.loc[best] / losses.loc[others[0]].replace(0, np.nan)).mean())
    return (
        f"Of {len(run.ranking)} forecasters of {run.name}, {best} has the least quantile loss; over all targets and "
        f"horizons it is {ratio:.0%} of that of the next, {others[0]}."
    )


def _section(run: Forecasts, figures: Mapping[str, Figure]) -> Section:
    tables = [
        score_table(own, str(target), run.units, run.interval_s)
        for target, own in run.scores.groupby("target", sort=False)
    ]
    pictures = [picture_of(figures[name], *words) for name, words in _words(run).items()]
    content: list[Picture | Table | Listing] = [*tables, *pictures]
    return Section(run.name, run.text, content)


def _words(run: Forecasts) -> dict[str, tuple[str, str]]:
    """Alternative text and caption of each figure."""
    best, some = run.ranking[0], "" if len(run.ranking) <= DRAWN else f" of the {DRAWN} best"
    means = run.scores.groupby(["target", "forecaster"], sort=False)["mae"].mean()
    by_zone = run.of_best(run.by_zone).groupby("target", sort=False)
    worst = ", ".join(f"{target} in {pooled(own, 'zone').idxmax()}" for target, own in by_zone if own["count"].any())
    return {
        "horizons": (
            f"Errors by horizon. Mean over horizons: {_listed(means)}.",
            "How far off forecasts are, by how far ahead they look; bars are one standard deviation over seeds.",
        ),
        "calibration": (
            f"Observed coverage{some}. {_coverages(run)}",
            f"How much of what came lay below each quantile{some}; dashed lines are where it should be.",
        ),
        "hours": (
            f"Error by hour of the day{some}. Hardest: {_hardest(run)}.",
            f"At which hours of the day forecasts{some} are far off, over all horizons.",
        ),
        "zones": (
            f"Error of {best} in {len(run.zones):,} zones. The largest: {worst}.",
            f"Where forecasts of {best} are far off, over all horizons.",
        ),
        "examples": (
            f"Forecasts of {best} beside what came, for zones with the largest and the median error: "
            f"{', '.join(map(str, run.of_best(run.course)['zone'].unique()))}.",
            f"What {best} forecast and what came, at the end of the data, in the zones where its error is the largest "
            "and the median one.",
        ),
    }


def _listed(means: pd.Series) -> str:
    return "; ".join(
        f"{target}: " + ", ".join(f"{name} {_short(value)}" for (_, name), value in own.items())
        for target, own in means.groupby(level=0, sort=False)
    )


def _short(value: float) -> str:
    return written(float(value), decimals_for([float(value)]))


def _coverages(run: Forecasts) -> str:
    means = run.of_drawn(run.calibration).groupby(["level", "forecaster"], sort=False)["observed"].mean()
    return " ".join(
        f"Below {level:g}: " + ", ".join(f"{name} {part:.0%}" for (_, name), part in own.items()) + "."
        for level, own in means.groupby(level=0)
    )


def _hardest(run: Forecasts) -> str:
    best = run.of_best(run.by_hour)
    hours = {target: pooled(own, "hour") for target, own in best.groupby("target", sort=False)}
    return ", ".join(f"{target} at {int(errors.idxmax())} h" for target, errors in hours.items() if len(errors))


# -- the table ---------------------------------------------------------------------------------------------------------


def score_table(scores: pd.DataFrame, target: str, units: Units, interval_s: float) -> Table:
    """Scores of a target: a row for each horizon and forecaster, the least of errors and losses bold.

    Args:
        scores: see :class:`Forecasts`; of this target.
        target: its name.
        units: of targets.
        interval_s: length of an interval.
    """
    names = list(dict.fromkeys(scores["horizon"]))
    order = scores["horizon"].map(names.index).sort_values(kind="stable").index
    scores = scores.loc[order].reset_index(drop=True)
    columns: list[list[Cell]] = [_spread_column(scores, name) for name, _ in _WITH_SPREAD]
    columns += [_column(scores, name, scale, best=True) for name, _, scale in _PLAIN]
    covers = [name for name in scores.columns if name.startswith(_COVERAGE)]
    columns.append([Cell(" ".join(map(_percent, parts))) for parts in scores[covers].to_numpy(float)])
    costs = [cost for cost in _COSTS if cost[0] in scores]
    columns += [_column(scores, name, scale) for name, _, scale in costs]
    header = ["Forecaster", "Ahead", *(heading for _, heading in _WITH_SPREAD), *(heading for _, heading, _ in _PLAIN)]
    header += ["Below (%)", *(heading for _, heading, _ in costs)]
    columns = [[Cell(horizon_in_words(name, interval_s)) for name in scores["horizon"]], *columns]
    rows = [[Cell(str(name)), *cells] for name, *cells in zip(scores["forecaster"], *columns, strict=True)]
    return Table(f"{label_of(target, units)}: scores on what was not learned from.", header, rows)


def kept_table(scores: pd.DataFrame, units: Units, interval_s: float, caption: str) -> Table:
    """Scores of one forecaster: a row for each target and horizon.

    Args:
        scores: `target, horizon` and scores.
        units: of targets.
        interval_s: length of an interval.
        caption: of the table.
    """
    covers = [name for name in scores.columns if name.startswith(_COVERAGE)]
    targets = list(dict.fromkeys(scores["target"]))
    scores = scores.loc[scores["target"].map(targets.index).sort_values(kind="stable").index]
    rows = [
        [
            label_of(row["target"], units),
            horizon_in_words(row["horizon"], interval_s),
            *(_short(row[name]) for name, _ in _WITH_SPREAD),
            *(_short(row[name] * scale) for name, _, scale in _PLAIN),
            " ".join(_percent(row[name]) for name in covers),
        ]
        for row in scores.to_dict("records")
    ]
    header = ["Target", "Ahead", *(heading for _, heading in _WITH_SPREAD), *(heading for _, heading, _ in _PLAIN)]
    return Table(caption, [*header, "Below (%)"], rows)


def _percent(part: float) -> str:
    return f"{100 * part:.0f}" if np.isfinite(part) else "–"


def _spread_column(scores: pd.DataFrame, name: str) -> list[Cell]:
    cells = _column(scores, name, best=True)
    decimals = decimals_for(scores[name].to_numpy(float))
    spread = scores.get(f"{name}_sd", pd.Series(np.nan, scores.index))
    return [
        Cell(cell.text, f"± {written(float(sd), decimals)}" if np.isfinite(sd) else "", cell.strong)
        for cell, sd in zip(cells, spread, strict=True)
    ]


def _column(scores: pd.DataFrame, name: str, scale: float = 1.0, best: bool = False) -> list[Cell]:
    """Numbers; with `best`, the least of each horizon is bold, if it has rivals."""
    values = scores[name].to_numpy(float) * scale
    least = scores.groupby("horizon")[name].transform("min").to_numpy(float) * scale
    rivals = scores.groupby("horizon")[name].transform("size").to_numpy() > 1
    decimals = decimals_for(values)
    return [
        Cell(written(float(value), decimals), strong=bool(best and alone and value == low))
        for value, low, alone in zip(values, least, rivals, strict=True)
    ]


def horizon_in_words(horizon: str, interval_s: float) -> str:
    """A number of intervals as a time; the name of a group as it is."""
    if not str(horizon).isdecimal():
        return str(horizon)
    seconds = int(horizon) * interval_s
    for unit, length in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= length and (seconds / length).is_integer():
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"
