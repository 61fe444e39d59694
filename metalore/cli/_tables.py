"""Results as tables in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from textwrap import wrap

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from metalore.report.evaluation import difference_table
from metalore.report.figures import COMPARED
from metalore.report.measures import measure
from metalore.report.page import Cell
from metalore.report.page import Table as Cells
from metalore.report.simulation import summary_table

_HEADING = 7
"""Columns that a line of a heading takes."""
_NAME = 14
"""Columns for the names of rows; longer ones take several lines."""
_CELL = 17
"""Columns that an interval and the space around it take."""


def print_summary(summary: pd.DataFrame, title: str, measures: Sequence[str] = COMPARED) -> None:
    """Means with their intervals below, one row per policy; as many tables as the terminal is narrow."""
    print_cells(lambda shown: summary_table(summary, shown, ""), title, measures, list(summary["policy"]))


def print_differences(differences: pd.DataFrame, reference: str, measures: Sequence[str] = COMPARED) -> None:
    """Paired differences with their intervals below, likewise; bold where the interval excludes zero."""
    title = f"Difference to {reference} in the same episodes, and 95 % interval"
    rows = list(differences["policy"])
    print_cells(lambda shown: difference_table(differences, shown, ""), title, measures, rows)


def print_cells(
    table_of: Callable[[Sequence[str]], Cells], title: str, measures: Sequence[str], policies: Sequence[str]
) -> None:
    """A report's table of policies and measures, cut into as many as the terminal is narrow."""
    console = Console()
    widest = max(len(policy) for policy in policies)
    longest = max(len(text) for row in table_of(measures).cells for cell in row[1:] for text in (cell.text, cell.note))
    beside = max(1, (console.width - widest - 2) // max(_CELL, longest + 1))
    console.print(Text(title, style="bold"))
    for first in range(0, len(measures), beside):
        shown = measures[first : first + beside]
        console.print(_table(table_of(shown), shown, widest))


def _table(content: Cells, measures: Sequence[str], widest: int) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("Policy", no_wrap=True, min_width=widest)
    for name in measures:
        heading = "\n".join(wrap(measure(name).title, _CELL - 2))
        table.add_column(heading, justify="right", no_wrap=True, min_width=_CELL - 3)
    for policy, *cells in content.cells:
        table.add_row(policy.text, *map(_cell, cells))
    return table


def print_table(content: Cells, title: str = "") -> None:
    """A report's table as it is; where the terminal is narrow, names of rows take several lines."""
    console = Console()
    if title:
        console.print(Text(title, style="bold"))
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0)
    longest = max((len(row[0].text) for row in content.cells), default=0)
    table.add_column(content.header[0], no_wrap=longest <= _NAME, min_width=min(longest, _NAME))
    for heading in content.header[1:]:
        text = "\n".join(wrap(heading, _HEADING, break_long_words=False))
        table.add_column(text, justify="right" if content.numeric else "left", no_wrap=content.numeric)
    for row in content.cells:
        table.add_row(*map(_cell, row))
    console.print(table)


def _cell(cell: Cell) -> Text:
    return Text(cell.text, style="bold" if cell.strong else "").append(f"\n{cell.note}".rstrip(), style="dim not bold")
