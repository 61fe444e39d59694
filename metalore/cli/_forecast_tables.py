"""Forecasts and their scores as tables in the terminal."""

from __future__ import annotations

import pandas as pd

from metalore.cli._forecasting import units_of
from metalore.cli._tables import print_table
from metalore.forecast import Panel
from metalore.report import label_of, score_table


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
