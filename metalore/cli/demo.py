"""`metalore demo`: PPO on the reference cell against fixed splits, full enumeration and simple rules, as a page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")]
Seeds = Annotated[
    list[int] | None, typer.Option("--seed", metavar="N", help="Training seed; repeatable. Default: 111.")
]
Steps = Annotated[int | None, typer.Option("--steps", metavar="N", help="Environment steps of a training run.")]
Episodes = Annotated[int, typer.Option("--episodes", metavar="N", help="Per point of the search and per policy.")]
Grid = Annotated[int, typer.Option("--grid", metavar="N", help="Side of the grid of fixed splits.")]
Ahead = Annotated[int, typer.Option("--look-ahead", metavar="N", help="Episodes for the look-ahead; 0: none.")]
Threads = Annotated[int, typer.Option("--threads", metavar="T", help="Threads that step the worlds.")]


def demo(
    out: Out = Path("results/demo"),
    seed: Seeds = None,
    steps: Steps = None,
    episodes: Episodes = 100,
    grid: Grid = 21,
    look_ahead: Ahead = 10,
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
    chosen = {"--steps": steps, "--episodes": episodes, "--grid": grid, "--look-ahead": look_ahead}
    options = [f"{name}={value}" for name, value in chosen.items() if value is not None]
    options += [f"--seed={one}" for one in budget.train_seeds]
    command = shlex.join(["metalore", "demo", "--out", str(out), *options])
    page = compare(study, load("smart-city"), "PPO and full enumeration on one edge cell", command)
    typer.echo(page)
