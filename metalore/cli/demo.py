"""`metalore demo`: PPO on the reference cell against fixed splits, full enumeration and simple rules, as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metalore.cli._options import LookAhead, SearchGrid, StudyEpisodes, Threads, TrainSteps

Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")]
Seeds = Annotated[
    list[int] | None, typer.Option("--seed", metavar="N", help="Training seed; repeatable. Default: 111.")
]


def demo(
    out: Out = Path("results/demo"),
    seed: Seeds = None,
    steps: TrainSteps = None,
    episodes: StudyEpisodes = 100,
    grid: SearchGrid = 21,
    look_ahead: LookAhead = 10,
    threads: Threads = 2,
) -> None:
    """Train PPO on the reference cell, enumerate all fixed splits, compare.

    Writes a page, one file that works offline, and prints its path. What is
    finished is kept: the same command goes on where it was interrupted.

    [bold]Example[/bold]

        metalore demo --out results/demo
    """
    from metalore.cli._comparison import compare
    from metalore.cli._study import Budget, Study
    from metalore.scenario import load

    budget = Budget(steps, tuple(seed or [111]), episodes, grid, look_ahead, threads)
    study = Study(out, budget)
    page = compare(study, load("smart-city"), "PPO and full enumeration on one edge cell", study.command("demo"))
    typer.echo(page)
