"""`metalore evaluate`: judge trained policies and rules on the same held-out episodes."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metalore.cli._options import Episodes, Override, Seed, Threads, with_settings
from metalore.learn.seeds import HELD_OUT_SEEDS

if TYPE_CHECKING:
    from metalore.cli._judging import Judging
    from metalore.learn.evaluation import Evaluation

SHOWN = (
    "return",
    "return_worst_tenth",
    "aori_s",
    "aosi_s",
    "served_age_s",
    "twin_age_s",
    "request_waiting_age_s",
    "throughput_per_s",
    "requests_late_share",
)

Policies = Annotated[
    list[str],
    typer.Argument(
        metavar="POLICY...",
        help="A rule, like fixed:0.3,0.4 or max-weight, or the folder of a trained policy.",
    ),
]
Scenarios = Annotated[
    list[str] | None,
    typer.Option(
        "--scenario",
        metavar="NAME",
        help="A built-in name or a TOML file; repeatable. Default: smart-city.",
        show_default=False,
    ),
]
Reference = Annotated[
    str | None,
    typer.Option(
        "--reference",
        metavar="POLICY",
        help="The policy that the others are compared with. Default: the first.",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Keep tables, plots and what to run again in this folder.")
]
Plot = Annotated[bool, typer.Option("--plot/--no-plot", help="With --out: draw figures and write index.html.")]


def evaluate(
    policies: Policies,
    scenario: Scenarios = None,
    episodes: Episodes = 100,
    seed: Seed = HELD_OUT_SEEDS,
    settings: Override = None,
    threads: Threads = 1,
    reference: Reference = None,
    out: Out = None,
    plot: Plot = True,
) -> None:
    """Judge policies on the same held-out episodes of one or more scenarios.

    Prints means with 95 % intervals, the mean of the worst tenth, and paired
    differences to a reference. With --out also keeps evaluation.parquet,
    summary.json, scenarios, figures and a page, index.html.

    [bold]Examples[/bold]

        metalore evaluate runs/ppo/seed-111 fixed:0.25,0.3 max-weight

        metalore evaluate runs/ppo/seed-111 --reference fixed:0.25,0.3 --out out

        metalore evaluate max-weight uniform --scenario smart-city-dynamic
    """
    from metalore.cli._experiment import make_ready, say
    from metalore.cli._judging import Judging, judge, write

    names = list(dict.fromkeys(scenario or ["smart-city"]))
    judging = Judging.of(
        policies,
        reference,
        [with_settings(name, settings) for name in names],
        settings=settings or (),
        seed=seed,
        episodes=episodes,
        threads=threads,
        command=_command(policies, names, episodes, seed, settings or (), reference, out),
    )
    for policy in judging.seen_before:
        say(f"note: {policy} was trained or chosen on some of these seeds, which flatters it")
    if out is not None:
        make_ready(out)
    evaluation = judge(judging, keep=out is not None)
    show(evaluation)
    if out is not None:
        write(judging, evaluation, out)
        if plot:
            draw(judging, evaluation, out)
        say(f"results are in {out}")


def _command(
    policies: Sequence[str],
    scenarios: Sequence[str],
    episodes: int,
    seed: int,
    settings: Sequence[str],
    reference: str | None,
    out: Path | None,
) -> str:
    """What to type for the same results; threads change nothing, so they are not in it."""
    words = ["metalore", "evaluate", *policies]
    for name in scenarios:
        words += ["--scenario", name]
    words += ["--episodes", str(episodes), "--seed", str(seed)]
    for text in settings:
        words += ["--set", text]
    if reference is not None:
        words += ["--reference", reference]
    if out is not None:
        words += ["--out", str(out)]
    return shlex.join(words)


def show(evaluation: Evaluation) -> None:
    """Print, for each scenario, the means and the paired differences."""
    import pandas as pd

    from metalore.cli._tables import print_differences, print_summary

    count = len(evaluation.seeds)
    summary, differences = pd.DataFrame(evaluation.summary), pd.DataFrame(evaluation.differences)
    for name in evaluation.results:
        title = f"{name}: mean over {count:,} held-out episode{'s' if count > 1 else ''} and 95 % interval"
        print_summary(summary[summary["scenario"] == name], title, SHOWN)
        own = differences[differences["scenario"] == name]
        if len(own):
            print_differences(own, evaluation.reference)


def draw(judging: Judging, evaluation: Evaluation, folder: Path) -> None:
    """Write figures for each scenario, and the page about all."""
    import pandas as pd

    from metalore.cli._experiment import file_names
    from metalore.cli._judging import simulations
    from metalore.cli.simulate import draw_figures
    from metalore.report import evaluation_page, write_page

    runs = simulations(judging, evaluation)
    for run, name in zip(runs, file_names(evaluation.results), strict=True):
        draw_figures(run, folder / "figures" / name)
    title = "Evaluation in " + ", ".join(evaluation.results)
    write_page(evaluation_page(runs, pd.DataFrame(evaluation.differences), title), folder / "index.html")
