"""`metalore search`: every fixed split of a grid on the same episodes, and the best rule that sees the queues."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metalore.cli._options import Override, Seed, Threads, overrides_of, with_settings

if TYPE_CHECKING:
    from metalore.cli._searching import Plan

Source = Annotated[str, typer.Argument(metavar="SCENARIO", help="A built-in name or a TOML file.")]
Grid = Annotated[int, typer.Option("--grid", metavar="N", help="N x N splits over all shares.")]
Episodes = Annotated[int, typer.Option("--episodes", metavar="N", help="Episodes at each split, the same for all.")]
Objectives = Annotated[
    list[str] | None,
    typer.Option(
        "--objective",
        metavar="NAME",
        help="return, aori_s, aosi_s, served_age_s, twin_age_s, throughput_per_s, requests_late_share or "
        "requests_lost_share; repeatable. Default: return.",
        show_default=False,
    ),
]
Rules = Annotated[bool, typer.Option("--rules/--no-rules", help="Also search for the best rule that sees the queues.")]
Refine = Annotated[bool, typer.Option("--refine/--no-refine", help="Then search a finer grid around the best split.")]
Engine = Annotated[str, typer.Option("--engine", metavar="local|ray", help="Threads here, or a Ray cluster.")]
Address = Annotated[
    str | None, typer.Option("--address", metavar="HOST:PORT", help="Of a running Ray cluster; else a local one.")
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Keep search.parquet and search.json in this folder.")
]


def search(
    scenario: Source = "smart-city",
    grid: Grid = 21,
    episodes: Episodes = 100,
    seed: Seed = 0,
    objective: Objectives = None,
    rules: Rules = True,
    refine: Refine = True,
    engine: Engine = "local",
    address: Address = None,
    settings: Override = None,
    threads: Threads = 2,
    out: Out = None,
) -> None:
    """Find the best fixed split by trying them all.

    All splits meet the same episodes. The best of many looks better than it is
    on the episodes it was chosen by, so it is judged again on held-out ones.
    Prints means with 95 % intervals.

    [bold]Examples[/bold]

        metalore search

        metalore search --objective return --objective twin_age_s --out out

        metalore search my-city.toml --grid 11 --episodes 20 --no-rules

        metalore search --engine ray --address 10.0.0.1:6379
    """
    from metalore.cli._experiment import make_ready, say
    from metalore.cli._searching import Plan, print_found, run, write
    from metalore.policies import Resources

    plan = Plan(
        scenario=with_settings(scenario, settings),
        changes=overrides_of(settings),
        grid=grid,
        episodes=episodes,
        seed=seed,
        objectives=tuple(dict.fromkeys(objective or ["return"])),
        rules=rules,
        refine=refine,
        resources=Resources(engine, threads, address),
        command="",
    )
    plan = plan.typed(_command(scenario, plan, settings or [], out))
    if out is not None:
        make_ready(out)
    found = run(plan)
    print_found(plan, found)
    if out is not None:
        write(plan, found, out)
        say(f"results are in {out}")


def _command(scenario: str, plan: Plan, settings: list[str], out: Path | None) -> str:
    """What to type for the same results; threads and engine change nothing, so they are not in it."""
    words = ["metalore", "search", scenario, "--grid", str(plan.grid)]
    words += ["--episodes", str(plan.episodes), "--seed", str(plan.seed)]
    for name in plan.objectives:
        words += ["--objective", name]
    words += ["--rules" if plan.rules else "--no-rules", "--refine" if plan.refine else "--no-refine"]
    for text in settings:
        words += ["--set", text]
    if out is not None:
        words += ["--out", str(out)]
    return shlex.join(words)
