"""`metalore demo`: the reference cell under every policy of the package, as a page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metalore.cli._options import Episodes, Seed, Threads, policies_of

if TYPE_CHECKING:
    from metalore.cli._experiment import Experiment
    from metalore.report import Section

SCENARIO = "smart-city"
FIXED = ("fixed:0.5,0.5", "fixed:0.3,0.4")
SHOWN = "backlog-proportional"
"""The policy that the picture of the cell is taken under."""


def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")] = Path("results/demo"),
    episodes: Episodes = 100,
    seed: Seed = 0,
    threads: Threads = 1,
) -> None:
    """Compare all policies of the package on the reference cell and write a page about it.

    Prints the path of the page, which is one file that works offline.

    [bold]Example[/bold]

        metalore demo --out results/demo
    """
    from metalore.cli._experiment import Experiment, make_ready, run, simulation_of, write
    from metalore.policies import NAMES
    from metalore.report import simulation_page, write_page
    from metalore.scenario import load

    named = [name for name in NAMES if not name.startswith("fixed:")]
    command = ["metalore", "demo", "--out", str(out), "--episodes", str(episodes), "--seed", str(seed)]
    experiment = Experiment(
        scenario=load(SCENARIO),
        changes={},
        policies=policies_of([*FIXED, *named]),
        seed=seed,
        episodes=episodes,
        threads=threads,
        command=shlex.join(command),
    )
    make_ready(out)
    tables = run(experiment)
    page = simulation_page(simulation_of(experiment, tables), "How to share an edge cell", _cell(experiment))
    write_page(page, out / "index.html")
    write(experiment, tables, out)
    typer.echo(out / "index.html")


def _cell(experiment: Experiment) -> list[Section]:
    """A picture of the cell in the middle of an episode; none, with a note, if the render extra is missing."""
    from gymnasium.error import DependencyNotInstalled

    from metalore.cli._experiment import say
    from metalore.cli._pictures import frames
    from metalore.report import Section, picture_from

    middle = experiment.scenario.max_steps // 2
    try:
        pictures = frames(experiment.scenario, experiment.policies[SHOWN], experiment.seed)
        picture = next(frame for step, frame in enumerate(pictures) if step == middle)
    except DependencyNotInstalled as missing:
        say(f"the page has no picture of the cell: {missing}")
        return []
    s = experiment.scenario
    alt = (
        f"A map of {s.map.width_m:g} m by {s.map.height_m:g} m with {len(s.stations)} base station, {s.users.count} "
        f"users and {s.sensors.count} sensors; beside it the shares, ages and queues up to step {middle}."
    )
    caption = f"The cell after {middle} steps of the episode with seed {experiment.seed} under {SHOWN}."
    text = (
        "Users walk through the cell and send requests; sensors stand still and send the updates that keep the twin "
        "fresh. Both share one band and one server, which together cannot do all that is asked of them."
    )
    return [Section("The cell", text, [picture_from(picture, alt, caption)])]
