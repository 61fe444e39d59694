"""Forecasts and their scores as tables in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from metalore.cli._forecaster import moment
from metalore.cli._forecasting import units_of
from metalore.cli._tables import print_table
from metalore.forecast import Panel
from metalore.report import Cell, Table, horizon_in_words, kept_table, label_of, score_table
from metalore.report.intervals import decimals_for, written

FEW = 3
"""Zones of a forecast that are printed."""


def print_scores(name: str, scores: pd.DataFrame, panel: Panel) -> None:
    """A table for each target: a row per horizon and forecaster.

    Args:
        name: of the panel.
        scores: as :func:`metalore.forecast.summary` gives them.
        panel: whose targets these are.
    """
    units = units_of(panel.targets)
    for target in panel.targets:
        own = scores[scores["target"] == target]
        print_table(score_table(own, target, units, panel.interval_s), f"{name}: {label_of(target, units)}")


def print_kept(scores: pd.DataFrame, panel: Panel, title: str) -> None:
    """Scores of one forecaster: a row per target and horizon."""
    print_table(kept_table(scores, units_of(panel.targets), panel.interval_s, title), title)


def print_forecast(table: pd.DataFrame, panel: Panel, row: int) -> None:
    """Medians of the first few zones with the outer quantiles below them, a column per target."""
    shown = list(panel.zones[:FEW])
    units = units_of(panel.targets)
    rows = [
        [str(zone), horizon_in_words(str(horizon), panel.interval_s), *_medians(own, panel.targets)]
        for (zone, horizon), own in table[table["zone"].isin(shown)].groupby(["zone", "horizon"], sort=False)
    ]
    header = ["Zone", "Ahead", *(label_of(target, units) for target in panel.targets)]
    title = f"Forecast from {moment(panel, row)}: median, and quantiles 0.1 and 0.9"
    print_table(Table(title, header, rows), title)
    if len(shown) < len(panel.zones):
        print(f"{len(shown)} of {len(panel.zones):,} zones; --out FILE has all of them")


def _medians(forecast: pd.DataFrame, targets: tuple[str, ...]) -> list[str | Cell]:
    by_target = forecast.set_index("target")[["q10", "q50", "q90"]]
    cells: list[str | Cell] = []
    for target in targets:
        low, median, high = by_target.loc[target].to_numpy(np.float64)
        decimals = decimals_for([low, median, high])
        cells.append(Cell(written(median, decimals), f"{written(low, decimals)} {written(high, decimals)}"))
    return cells


def print_card(card: Mapping[str, Any], folder: str) -> None:
    """What a card says, and its scores."""
    print_table(Table("", ["What", "It is"], card_rows(card), numeric=False), folder)
    units = units_of(card["targets"])
    scores = pd.DataFrame(card["scores"])
    if scores.empty:
        return
    scores = scores.astype({name: float for name in scores.columns if name not in ("part", "target", "horizon")})
    for part, own in scores.groupby("part", sort=False) if "part" in scores else [("", scores)]:
        title = f"Scores on the {part} part" if part else "Scores"
        print_table(kept_table(own, units, card["interval_s"], title), title)


def card_rows(card: Mapping[str, Any]) -> list[list[str]]:
    """What a card says, in words."""
    interval_s, training, split = card["interval_s"], card["training"], card["split"]
    units = units_of(card["targets"])
    ahead = ", ".join(horizon_in_words(str(horizon), interval_s) for horizon in card["horizons"])
    zones, graph, best = card["zones"], card["graph"], training["best_epoch"]
    epochs = f", {len(training['history'])} epochs, the best the {best}." if best else ""
    panel = card["panel"]
    return [
        ["forecaster", card["forecaster"]],
        ["settings", ", ".join(f"{name}={value}" for name, value in card["settings"].items()) or "none"],
        ["forecasts", ", ".join(label_of(target, units) for target in card["targets"])],
        ["ahead", ahead],
        ["quantiles", ", ".join(f"{level:g}" for level in card["quantiles"])],
        ["looks back", f"{horizon_in_words(str(card['window']), interval_s)} ({card['window']} intervals)"],
        ["looks also at", ", ".join([*card["inputs"], *card["events"]]) or "nothing else"],
        ["zones", f"{len(zones):,}: {', '.join(zones[:FEW])}{' ...' if len(zones) > FEW else ''}"],
        ["graph", "none" if graph is None else f"{graph['edges']:,} edges"],
        ["trained on", f"{panel['name']}, {panel['intervals']:,} intervals of {interval_s:g} s"],
        ["fingerprint", panel["fingerprint"][:16]],
        ["parts", f"training 0 to {split['validation'] - 1}, validation to {split['test'] - 1}, "
                  f"test to {split['end'] - 1}"],
        ["training", f"{training['seconds']:.1f} s, seed {training['seed']}{epochs}"],
        ["made with", ", ".join(f"{name} {version}" for name, version in card["versions"].items())],
    ]  # fmt: skip
