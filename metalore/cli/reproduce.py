"""`metalore reproduce`: the recorded experiments as named commands, and a run's numbers beside the recorded ones."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metalore.cli._options import SearchGrid, StudyEpisodes, Threads, TrainSteps

if TYPE_CHECKING:
    from metalore.cli._checking import Verdict
    from metalore.cli._recorded import Experiment
    from metalore.cli._study import Budget

Name = Annotated[str | None, typer.Argument(metavar="EXPERIMENT", help="One of those that --list shows.")]
List = Annotated[bool, typer.Option("--list", help="Show the experiments, or the named one with all its numbers.")]
Check = Annotated[bool, typer.Option("--check", help="Run nothing; compare a run's numbers with the recorded ones.")]
Results = Annotated[Path | None, typer.Option("--results", metavar="DIR", help="Of --check. Default: that of --out.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Default: results/EXPERIMENT.")]
Seeds = Annotated[
    list[int] | None,
    typer.Option("--seed", metavar="N", help="Training seed; repeatable. Default: the recorded ones."),
]
LookAhead = Annotated[
    int | None,
    typer.Option("--look-ahead", metavar="N", help="Episodes for the look-ahead; 0: none. Default: as recorded."),
]
OF_STUDIES = ("seed", "steps", "episodes", "grid", "look_ahead", "threads")
"""Options of experiments that train here; others run the commands that --list shows."""


def reproduce(
    context: typer.Context,
    experiment: Name = None,
    show: List = False,
    check: Check = False,
    results: Results = None,
    out: Out = None,
    seed: Seeds = None,
    steps: TrainSteps = None,
    episodes: StudyEpisodes = 100,
    grid: SearchGrid = 21,
    look_ahead: LookAhead = None,
    threads: Threads = 2,
) -> None:
    """Run a recorded experiment, or compare a run with what is recorded.

    `--check` says of each number whether it is inside the recorded spread,
    and by how much it is not; the exit code is 1 if one is outside or
    missing, or a figure is. Experiments that train here go on where they were
    interrupted.

    [bold]Examples[/bold]

        metalore reproduce --list

        metalore reproduce static --out results/static

        metalore reproduce --check static --results results/static
    """
    from metalore.cli._guide import SHOWN, listing
    from metalore.cli._recorded import known, recorded

    if (check and experiment is None) or (results and not check):
        raise typer.BadParameter("--check takes the name of an experiment, and --results goes with it")
    if experiment is None:
        typer.echo("\n\n".join(listing(one, SHOWN) for one in recorded().values()))
        return
    chosen = known(experiment)
    folder = out or Path("results") / experiment
    if show:
        typer.echo(listing(chosen))
    elif check:
        _check(chosen, results or folder)
    elif chosen.study is None:
        _refuse_options(context, chosen)
        _run(chosen, folder)
    else:
        from metalore.cli._study import Budget

        seeds, ahead = tuple(seed or chosen.study["train_seeds"]), chosen.study.get("look_ahead", 0)
        ahead = ahead if look_ahead is None else look_ahead
        _study(chosen, folder, Budget(steps, seeds, episodes, grid, ahead, threads))


def _refuse_options(context: typer.Context, chosen: Experiment) -> None:
    from metalore.cli._recorded import ReproduceError

    for name in OF_STUDIES:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = f"--{name.replace('_', '-')}"
            raise ReproduceError(f"{chosen.name} runs commands that are fixed; {option} is for those that train here")


def _run(chosen: Experiment, folder: Path) -> None:
    from metalore.cli._experiment import say
    from metalore.cli._running import run

    run(chosen, folder)
    say(f"to compare: metalore reproduce --check {chosen.name} --results {folder}")


def _study(chosen: Experiment, folder: Path, budget: Budget) -> None:
    from metalore.cli._experiments import STUDIES
    from metalore.cli._running import write_about
    from metalore.cli._study import Study

    begin, study = time.perf_counter(), Study(folder, budget)
    command = study.command("reproduce", chosen.name)
    page = STUDIES[chosen.name](study, command)
    write_about(chosen.name, [command], folder, time.perf_counter() - begin)
    typer.echo(page)


def _check(chosen: Experiment, folder: Path) -> None:
    from metalore.cli._checking import check, missing_figures

    verdicts, missing = check(chosen, folder), missing_figures(chosen, folder)
    if verdicts:
        _show(verdicts, f"{chosen.name}: {folder} beside what is recorded")
    failed, only_shown = (sum(getattr(one, of) for one in verdicts) for of in ("fails", "only_shown"))
    fine = len(verdicts) - failed - only_shown
    typer.echo(f"{fine} of {len(verdicts)} numbers are the same or inside, {failed} outside or missing, "
               f"{only_shown} not judged")  # fmt: skip
    if chosen.figures:
        typer.echo(f"figures missing: {', '.join(missing)}" if missing else "all figures are there")
    if failed or missing:
        typer.echo("what to look at when it differs: docs/reproduce.md")
        raise typer.Exit(1)


def _show(verdicts: list[Verdict], title: str) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("number")
    for heading in ("recorded", "spread", "here"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict")
    for one in verdicts:
        style = "bold red" if one.fails else "dim" if one.only_shown else ""
        number = one.number
        table.add_row(number.name, f"{number.value:,}", number.spread_text, one.found_text, one.text, style=style)
    Console().print(table)
