"""`metalore simulate`: run policies on a scenario, compare them, keep the results."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metalore.cli._options import Episodes, Override, Seed, Threads, overrides_of, policies_of, with_settings

if TYPE_CHECKING:
    from metalore.cli._experiment import Experiment
    from metalore.report import Simulation

Source = Annotated[str, typer.Argument(metavar="SCENARIO", help="A built-in name or a TOML file.")]
Policies = Annotated[
    list[str] | None,
    typer.Option(
        "--policy",
        metavar="NAME",
        help="fixed:BANDWIDTH,COMPUTE (shares for requests), uniform, demand-proportional, backlog-proportional, "
        "max-weight or max-weight-age; repeatable. Default: fixed:0.5,0.5.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Keep tables, plots and what to run again in this folder.")
]
Plot = Annotated[bool, typer.Option("--plot/--no-plot", help="With --out: draw figures and write index.html.")]
Jobs = Annotated[bool, typer.Option("--jobs", help="With --out: keep every job of every episode (jobs.parquet).")]
Gif = Annotated[
    Path | None,
    typer.Option("--gif", metavar="FILE", help="Record the first episode of the first policy as GIF."),
]
Mp4 = Annotated[Path | None, typer.Option("--mp4", metavar="FILE", help="The same as MP4.")]
Fps = Annotated[float, typer.Option("--fps", metavar="F", help="Steps shown per second in films.")]


def simulate(
    scenario: Source = "smart-city",
    policy: Policies = None,
    episodes: Episodes = 100,
    seed: Seed = 0,
    settings: Override = None,
    threads: Threads = 1,
    out: Out = None,
    plot: Plot = True,
    jobs: Jobs = False,
    gif: Gif = None,
    mp4: Mp4 = None,
    fps: Fps = 10.0,
) -> None:
    """Simulate a scenario under one or more policies and compare them.

    All policies meet the same episodes. Prints means with 95 % intervals.
    With --out also keeps episodes.parquet, course.parquet, ages.parquet,
    summary.json, scenario.toml, figures and a page, index.html.

    [bold]Examples[/bold]

        metalore simulate

        metalore simulate --policy fixed:0.3,0.4 --policy max-weight --out out

        metalore simulate smart-city-dynamic --set users.count=20 --seed 7

        metalore simulate my-city.toml --episodes 10 --gif episode.gif
    """
    from metalore.cli._experiment import Experiment, make_ready, run, say, simulation_of, write
    from metalore.cli._pictures import Films
    from metalore.cli._tables import print_summary

    if jobs and out is None:
        raise ValueError("--jobs writes a file, so it needs --out DIR")
    policies = policies_of(policy or ["fixed:0.5,0.5"])
    experiment = Experiment(
        scenario=with_settings(scenario, settings),
        changes=overrides_of(settings),
        policies=policies,
        seed=seed,
        episodes=episodes,
        threads=threads,
        command=_command(scenario, list(policies), episodes, seed, settings or (), out),
    )
    films = Films({"--gif": gif, "--mp4": mp4}, fps)
    if out is not None:
        make_ready(out)
    tables = run(experiment, jobs)
    print_summary(tables.summary, _title(experiment))
    if out is not None:
        write(experiment, tables, out)
        if plot:
            draw(simulation_of(experiment, tables), out)
        say(f"results are in {out}")
    films.record(experiment.scenario, next(iter(policies.values())), seed)
    for path in films.paths:
        say(f"wrote {path}")


def _title(experiment: Experiment) -> str:
    plural = "s" if experiment.episodes > 1 else ""
    return f"{experiment.scenario.name}: mean over {experiment.episodes:,} episode{plural} and 95 % interval"


def _command(
    scenario: str, policies: Sequence[str], episodes: int, seed: int, settings: Sequence[str], out: Path | None
) -> str:
    """What to type for the same results; threads change nothing, so they are not in it."""
    words = ["metalore", "simulate", scenario]
    for name in policies:
        words += ["--policy", name]
    words += ["--episodes", str(episodes), "--seed", str(seed)]
    for text in settings:
        words += ["--set", text]
    if out is not None:
        words += ["--out", str(out)]
    return shlex.join(words)


def draw(simulation: Simulation, folder: Path) -> None:
    """Write the figures and the page."""
    from metalore.report import simulation_page, write_page

    draw_figures(simulation, folder / "figures")
    name = simulation.about["scenario"]["name"]
    write_page(simulation_page(simulation, f"Simulation of {name}"), folder / "index.html")


def draw_figures(simulation: Simulation, folder: Path) -> None:
    """Write the figures (SVG), and all of them on one sheet of A4 (PDF)."""
    from metalore.report import comparison_figure, course_figure, distribution_figure, overview_figure, save

    name = simulation.about["scenario"]["name"]
    summary, course, ages = simulation.summary, simulation.course, simulation.ages
    save(comparison_figure(summary), folder / "comparison.svg")
    save(course_figure(course), folder / "course.svg")
    save(distribution_figure(ages), folder / "distributions.svg")
    save(overview_figure(name, summary, course, ages), folder / "overview.pdf")
