"""`metalore record`: run a city for days and keep what its zones say."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metalore.cli._options import Override, with_settings

if TYPE_CHECKING:
    from metalore.telemetry.recording import Progress

DAY_S = 86_400.0

Source = Annotated[str, typer.Argument(metavar="SCENARIO", help="A built-in name or a TOML file.")]
Days = Annotated[float, typer.Option("--days", metavar="D", help="Simulated time in days.")]
Interval = Annotated[float, typer.Option("--interval", metavar="S", help="Seconds that a row stands for.")]
PolicyName = Annotated[str, typer.Option("--policy", metavar="NAME", help="What splits bandwidth and compute.")]
WorldSeed = Annotated[int, typer.Option("--seed", metavar="S", help="Seed of the world.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to; made if it is not there.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the recording in that folder.")]


def record(
    scenario: Source,
    out: Out,
    days: Days = 7.0,
    interval: Interval = 60.0,
    policy: PolicyName = "fixed:0.5,0.5",
    seed: WorldSeed = 0,
    resume: Resume = False,
    settings: Override = None,
) -> None:
    """Record a city: a row per zone and interval, for days.

    The folder gets telemetry-*.parquet, graph.json, handovers.npz and
    card.json. It can be read at any time; a recording that was interrupted
    goes on with --resume and gives the same values as one that was not.

    [bold]Examples[/bold]

        metalore record four-cells --days 0.01 --out run

        metalore record my-city.toml --policy max-weight --seed 7 --out run

        metalore record my-city.toml --policy max-weight --seed 7 --out run --resume
    """
    from metalore.cli._experiment import say
    from metalore.policies import make_policy
    from metalore.telemetry import record as record_world

    start = time.perf_counter()
    with progress_bar() as progress:
        recording = record_world(
            with_settings(scenario, settings),
            out,
            make_policy(policy),
            duration_s=round(days * DAY_S, 6),
            interval_s=interval,
            seed=seed,
            resume=resume,
            progress=progress,
        )
    seconds = time.perf_counter() - start
    say(f"{recording.rows:,} rows, {recording.nbytes / 1e6:,.1f} MB, in {seconds:,.1f} s; the recording is in {out}")


@contextmanager
def progress_bar(unit: str = "steps") -> Iterator[Progress]:
    """A bar with what is done, speed and what is left, if someone is watching."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        began: list[tuple[float, int]] = []

        def show(done: int, steps: int) -> None:
            now = time.monotonic()
            if not began:  # what was done before does not count for the speed
                began.append((now, done))
                bar.reset(task, total=steps - done)
            passed, fresh = now - began[0][0], done - began[0][1]
            rate = f"{fresh / passed:,.0f} {unit}/s" if fresh and passed > 0 else "starting"
            bar.update(task, completed=fresh, description=f"{done:,} of {steps:,} {unit}, {rate}")

        yield show
