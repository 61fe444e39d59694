"""`metalore reproduce`: the published experiments as named, saved commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metalore.cli._options import LookAhead, SearchGrid, StudyEpisodes, Threads, TrainSteps

Name = Annotated[str | None, typer.Argument(metavar="EXPERIMENT", help="One of those that --list shows.")]
List = Annotated[bool, typer.Option("--list", help="Show the experiments and leave.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Default: results/EXPERIMENT.")]
Seeds = Annotated[
    list[int] | None,
    typer.Option("--seed", metavar="N", help="Training seed; repeatable. Default: the published five."),
]


def reproduce(
    experiment: Name = None,
    show: List = False,
    out: Out = None,
    seed: Seeds = None,
    steps: TrainSteps = None,
    episodes: StudyEpisodes = 100,
    grid: SearchGrid = 21,
    look_ahead: LookAhead = 20,
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
    typer.echo(EXPERIMENTS[experiment].run(study, study.command("reproduce", experiment)))
