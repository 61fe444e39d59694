"""`metalore agents`: train agents that size zones, and judge them beside the autoscaler's rules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Train agents that size zones, and judge them beside the autoscaler's rules.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Demand = Annotated[
    str,
    typer.Argument(metavar="DEMAND", help="A recording (`metalore record`), or a city whose demand is drawn."),
]
Days = Annotated[float, typer.Option("--days", metavar="D", help="Of demand that is drawn.")]
Scale = Annotated[float, typer.Option("--scale", metavar="X", help="Of its people; 0.4 fits the published ranges.")]
Ranges = Annotated[
    str, typer.Option("--ranges", metavar="NAME", help="published (2 cores at most) or city (8 cores, wider steps).")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting of the environment, say reward.cost=2 or disturbances.failures_per_day=0.5; repeatable.",
    ),
]
Forecast = Annotated[
    str,
    typer.Option("--forecast", metavar="WHAT", help="foresight, last-value, none, or the folder of a forecaster."),
]
Hard = Annotated[bool, typer.Option("--hard", help="The complex scenario: drift, crowds, failures, bad forecasts.")]


@app.command()
def train(
    demand: Demand = "city-30",
    preset: Annotated[
        str, typer.Option("--preset", metavar="NAME", help="dqn or ppo (single zones), shared or independent (a city).")
    ] = "shared",
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where agents go, a folder seed-N for each.")
    ] = Path("runs/agent"),
    seed: Annotated[list[int] | None, typer.Option("--seed", metavar="N", help="Repeatable. Default: 1.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", metavar="N", help="Zone-intervals in all.")] = None,
    training: Annotated[
        list[str] | None,
        typer.Option(
            "--train", metavar="NAME=VALUE", help="Of the training, say hyperparameters.gamma=0.9; repeatable."
        ),
    ] = None,
    days: Days = 7.0,
    scale: Scale = 0.4,
    ranges: Ranges = "published",
    forecast: Forecast = "last-value",
    settings: Set = None,
    hard: Hard = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last finished round in --out.")] = False,
) -> None:
    """Train an agent and keep it in a folder of plain data.

    The best agent of all rounds by validation counts. Ctrl-C keeps the last
    round; the same command with --resume goes on exactly there.

    [bold]Examples[/bold]

        metalore agents train --preset dqn --out runs/dqn

        metalore agents train city-week --preset shared --ranges city --out runs/shared

        metalore autoscale compare city-30 --recommender agent:runs/shared/seed-1 --recommender hpa
    """
    from metalore.cli._agents import demand_from, environment_of, trained, training_of

    plan = training_of(preset, steps, training or [], environment_of(ranges, forecast, settings or [], hard))
    trained(demand_from(demand, days, scale), plan, out, seed or [1], resume)


@app.command()
def evaluate(
    agents: Annotated[
        list[str],
        typer.Argument(metavar="WHO...", help="Folders of agents, keep, static, or recommenders like hpa:target=0.5."),
    ],
    demand: Annotated[
        str, typer.Option("--demand", metavar="DEMAND", help="A recording, or a city whose demand is drawn.")
    ] = "city-30",
    city: Annotated[bool, typer.Option("--city", help="All zones of the city together, not one at a time.")] = False,
    episodes: Annotated[int, typer.Option("--episodes", metavar="N", help="Of zones, or of cities.")] = 64,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Of the first episode.")] = 5000,
    reference: Annotated[
        str | None,
        typer.Option("--reference", metavar="WHO", help="Whom differences are taken to. Default: the first."),
    ] = None,
    days: Days = 7.0,
    scale: Scale = 0.4,
    ranges: Ranges = "published",
    forecast: Forecast = "last-value",
    settings: Set = None,
    hard: Hard = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="A row per episode, .csv or .parquet.")
    ] = None,
) -> None:
    """Judge agents and rules on the same episodes of days that nobody learned from.

    Means with 95 % bootstrap intervals over episodes, and paired differences.

    [bold]Examples[/bold]

        metalore agents evaluate runs/dqn/seed-1 hpa hpa:target=0.5 threshold forecast static

        metalore agents evaluate runs/shared/seed-1 hpa --city --hard --episodes 8
    """
    from metalore.cli._agents import demand_from, environment_of, judged

    environment = environment_of(ranges, forecast, settings or [], hard)
    judged(agents, demand_from(demand, days, scale), environment, city, episodes, seed, reference or agents[0], out)
