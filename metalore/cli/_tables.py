"""Results as tables in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from metalore.report.figures import COMPARED
from metalore.report.measures import measure
from metalore.report.simulation import summary_table

_CELL = 17
"""Columns that an interval and the space around it take."""


def print_summary(summary: pd.DataFrame, title: str, measures: Sequence[str] = COMPARED) -> None:
    """Means with their intervals below, one row per policy; as many tables as the terminal is narrow."""
    console = Console()
    widest = max(len(policy) for policy in summary["policy"])
    beside = max(1, (console.width - widest - 2) // _CELL)
    console.print(Text(title, style="bold"))
    for first in range(0, len(measures), beside):
        console.print(_table(summary, measures[first : first + beside], widest))


def _table(summary: pd.DataFrame, measures: Sequence[str], widest: int) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("Policy", no_wrap=True, min_width=widest)
    for name in measures:
        what = measure(name)
        heading = what.title if len(what.title) < _CELL - 2 else f"{what.label}\n({what.unit})"
        table.add_column(heading, justify="right", no_wrap=True, min_width=_CELL - 3)
    for policy, *cells in summary_table(summary, measures, "").cells:
        texts = [
            Text(cell.text, style="bold" if cell.strong else "").append(f"\n{cell.note}".rstrip(), style="dim not bold")
            for cell in cells
        ]
        table.add_row(policy.text, *texts)
    return table
