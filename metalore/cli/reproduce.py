"""`metalore reproduce`: the published experiments as named, saved commands."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

Name = Annotated[str | None, typer.Argument(metavar="EXPERIMENT", help="One of those that --list shows.")]
List = Annotated[bool, typer.Option("--list", help="Show the experiments and leave.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Default: results/EXPERIMENT.")]
Seeds = Annotated[
    list[int] | None,
    typer.Option("--seed", metavar="N", help="Training seed; repeatable. Default: the published five."),
]
Steps = Annotated[int | None, typer.Option("--steps", metavar="N", help="At most so many steps of a training run.")]
Episodes = Annotated[int, typer.Option("--episodes", metavar="N", help="Per point of a search and per policy.")]
Grid = Annotated[int, typer.Option("--grid", metavar="N", help="Side of the grid of fixed splits.")]
Ahead = Annotated[int, typer.Option("--look-ahead", metavar="N", help="Episodes for the look-ahead; 0: none.")]
Threads = Annotated[int, typer.Option("--threads", metavar="T", help="Threads that step the worlds.")]


def reproduce(
    experiment: Name = None,
    show: List = False,
    out: Out = None,
    seed: Seeds = None,
    steps: Steps = None,
    episodes: Episodes = 100,
    grid: Grid = 21,
    look_ahead: Ahead = 20,
    threads: Threads = 2,
) -> None:
    """Run a published experiment and write its tables, page and summary.

    What is finished is kept: the same command goes on where it was
    interrupted.

    [bold]Examples[/bold]

        metalore reproduce --list

        metalore reproduce static --out results/static
    """
    from metalore.cli._experiments import EXPERIMENTS, ReproduceError

    if show or experiment is None:
        for name, known in EXPERIMENTS.items():
            typer.echo(f"{name:18s} {known.about}")
        return
    if experiment not in EXPERIMENTS:
        raise ReproduceError(f"unknown experiment {experiment!r}; known are {', '.join(EXPERIMENTS)}")
    from metalore.cli._study import Budget, Study
    from metalore.learn.settings import PUBLISHED_SEEDS

    folder = out or Path("results") / experiment
    study = Study(folder, Budget(steps, tuple(seed or PUBLISHED_SEEDS), episodes, grid, look_ahead, threads))
    chosen = {"--steps": steps, "--episodes": episodes, "--grid": grid, "--look-ahead": look_ahead}
    options = [f"{name}={value}" for name, value in chosen.items() if value is not None]
    options += [f"--seed={one}" for one in study.budget.train_seeds]
    command = shlex.join(["metalore", "reproduce", experiment, "--out", str(folder), *options])
    typer.echo(EXPERIMENTS[experiment].run(study, command))
