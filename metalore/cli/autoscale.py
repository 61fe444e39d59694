"""`metalore autoscale`: how large zones should be."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metalore.cli._options import Override, with_settings

if TYPE_CHECKING:
    from metalore.autoscale import Drift, Forecast, Safety, Usage
    from metalore.autoscale.comparison import MakeForecast
    from metalore.cli._autoscaling import Results
    from metalore.intervals import Estimate

WITH_DRIFT = "+drift"
"""What is added to the name of a recommender that is run with a drift detector."""
COMPARED = ("forecast", "vpa", "hpa", "threshold", "static", "foresight")

app = typer.Typer(no_args_is_help=True, help="Size zones ahead of demand.")

Source = Annotated[str, typer.Argument(metavar="SCENARIO", help="A built-in name or a TOML file.")]
Recommenders = Annotated[
    list[str] | None,
    typer.Option(
        "--recommender",
        metavar="NAME",
        help=f"{', '.join(COMPARED)}, also with settings, like hpa:target=0.6; repeatable. Default: all of them.",
        show_default=False,
    ),
]
Days = Annotated[float, typer.Option("--days", metavar="D", help="Simulated days that count.")]
History = Annotated[float, typer.Option("--history", metavar="D", help="Days before them, which everybody knows.")]
Seeds = Annotated[int, typer.Option("--seeds", metavar="N", help="Cities: one for each seed.")]
FirstSeed = Annotated[int, typer.Option("--seed", metavar="S", help="Seed of the first; the next ones count up.")]
ForecasterName = Annotated[
    str,
    typer.Option(
        "--forecaster", metavar="FOLDER|NAME", help="A kept forecaster, or one that is fitted to the history."
    ),
]
PolicyName = Annotated[
    str, typer.Option("--policy", metavar="NAME", help="What splits bandwidth and compute: a rule, or a folder.")
]
Target = Annotated[float, typer.Option("--target-ms", metavar="MS", help="Mean latency that is still good.")]
Delay = Annotated[float, typer.Option("--delay", metavar="S", help="Seconds until a decision takes effect.")]
Interval = Annotated[float, typer.Option("--interval", metavar="S", help="Seconds from decision to decision.")]
SafetySettings = Annotated[
    list[str] | None,
    typer.Option("--safety", metavar="NAME=VALUE", help="Of the rules common to all, like step_down=0.5; repeatable."),
]
Breaks = Annotated[
    list[str] | None,
    typer.Option(
        "--break",
        metavar="KIND",
        help="Break the forecasts: biased, drifting, stale, frozen, missing, dying, also with settings, like "
        "biased:factor=2; repeatable.",
    ),
]
BothWays = Annotated[
    bool, typer.Option("--drift", help="Also run those that need forecasts with a drift detector, as NAME+drift.")
]
Reference = Annotated[str, typer.Option("--reference", metavar="NAME", help="Whom differences are taken to.")]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Keep tables, figures and a page, index.html, there.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on after the last finished run in --out.")]
Plot = Annotated[bool, typer.Option("--plot/--no-plot", help="With --out: draw figures and write index.html.")]

# Of a controller:
ActuatorName = Annotated[
    str | None,
    typer.Option(
        "--actuator", metavar="NAME", help="kubernetes: Deployments with a zone's label; simulated: a city's zones."
    ),
]
Apply = Annotated[bool, typer.Option("--apply", help="Act. Otherwise it is a dry run.")]
OneRecommender = Annotated[
    str, typer.Option("--recommender", metavar="NAME", help="Also with settings, like hpa:target=0.6.")
]
KeptForecaster = Annotated[
    str | None,
    typer.Option(
        "--forecaster", metavar="FOLDER", help="A kept forecaster; in the simulated city also the name of one."
    ),
]
Intents = Annotated[
    Path | None,
    typer.Option("--intents", metavar="FILE", help="Announced intents and the policies they would trigger, as JSON."),
]
ScenarioName = Annotated[
    str, typer.Option("--scenario", metavar="SCENARIO", help="Of the simulated city: a built-in name or a TOML file.")
]
UsageAddress = Annotated[
    str, typer.Option("--usage", metavar="URL", help="Metrics of a zone, in which {zone} stands for its name.")
]
WithDrift = Annotated[
    bool, typer.Option("--drift", help="Follow the reactive rule where forecasts have lately been wrong.")
]
KubernetesOverride = Annotated[
    list[str] | None,
    typer.Option("--kubernetes", metavar="NAME=VALUE", help="Like take_over=kubectl or lease_s=30; repeatable."),
]
Namespace = Annotated[str | None, typer.Option("--namespace", metavar="NAME", help="Unset: the kubeconfig's.")]
KubeConfig = Annotated[str | None, typer.Option("--kubeconfig", metavar="FILE")]
ClusterContext = Annotated[str | None, typer.Option("--context", metavar="NAME", help="Of the kubeconfig.")]
HealthHost = Annotated[
    str, typer.Option("--health-host", metavar="ADDRESS", help="Where probes and Prometheus are answered.")
]
HealthPort = Annotated[
    int | None, typer.Option("--health-port", metavar="P", help="Of /healthz, /readyz and /metrics. Unset: none.")
]
Ticks = Annotated[int | None, typer.Option("--ticks", metavar="N", help="End after so many turns.")]


@app.callback(invoke_without_command=True)
def autoscale(
    context: typer.Context,
    actuator: ActuatorName = None,
    apply: Apply = False,
    recommender: OneRecommender = "forecast",
    forecaster: KeptForecaster = None,
    intents: Intents = None,
    scenario: ScenarioName = "city-30",
    seed: FirstSeed = 0,
    history: History = 0.25,
    usage: UsageAddress = "http://{zone}:8080/metrics",
    interval: Interval = 60.0,
    safety: SafetySettings = None,
    drift: WithDrift = False,
    kubernetes: KubernetesOverride = None,
    namespace: Namespace = None,
    kubeconfig: KubeConfig = None,
    cluster_context: ClusterContext = None,
    health_host: HealthHost = "127.0.0.1",
    health_port: HealthPort = None,
    ticks: Ticks = None,
) -> None:
    """Size zones ahead of demand: compare recommenders, or run one on a cluster or in a simulated city.

    Without --apply nothing is changed: a cluster's server checks every change,
    and what would be done is printed. Of --intents only those count that fit
    their policy and the forecast; the others are printed with the reason.

    [bold]Examples[/bold]

        metalore autoscale compare city-30

        metalore autoscale --actuator simulated --recommender hpa --ticks 30 --apply

        metalore autoscale --actuator kubernetes --recommender hpa --namespace metalore

        metalore autoscale --actuator kubernetes --forecaster kept/ridge --apply
    """
    if context.invoked_subcommand is not None:
        return
    if actuator == "simulated":
        _simulate(
            scenario, seed, history, ticks or _TICKS, interval, safety, recommender, forecaster, intents, apply, drift
        )
        return
    if actuator != "kubernetes":
        raise typer.BadParameter("it is kubernetes or simulated", param_hint="--actuator")
    from metalore.cli import _kubernetes

    _kubernetes.run(
        apply=apply,
        recommender=recommender,
        safety=safety_of(safety or ()),
        interval_s=interval,
        usage=usage,
        forecaster=forecaster,
        intents=intents,
        settings=kubernetes or (),
        namespace=namespace,
        kubeconfig=kubeconfig,
        context=cluster_context,
        health=None if health_port is None else (health_host, health_port),
        ticks=ticks,
        drift=_drift(drift),
    )


_TICKS = 60
"""Turns in the simulated city, unless told otherwise."""


def _simulate(
    scenario: str,
    seed: int,
    history: float,
    ticks: int,
    interval: float,
    safety: list[str] | None,
    recommender: str,
    forecaster: str | None,
    intents: Path | None,
    apply: bool,
    drift: bool,
) -> None:
    from metalore.autoscale.comparison import DAY_S, Plan
    from metalore.cli import _simulated
    from metalore.policies import make_policy
    from metalore.scenario import load

    plan = Plan(
        scenario=load(scenario),
        days=ticks * interval / DAY_S,
        history_days=history,
        interval_s=interval,
        safety=safety_of(safety or ()),
        policy=make_policy(_POLICY),
    )
    _simulated.run(
        plan=plan,
        seed=seed,
        recommender=recommender,
        forecaster=forecaster or _FORECASTER,
        intents=intents,
        apply=apply,
        drift=_drift(drift),
    )


def _drift(wanted: bool) -> Drift | None:
    from metalore.autoscale import Drift

    return Drift() if wanted else None


_POLICY, _FORECASTER = "backlog-proportional", "last-value"


@app.command("compare")
def compare(
    scenario: Source,
    recommender: Recommenders = None,
    days: Days = 1.0,
    history: History = 1.0,
    seeds: Seeds = 3,
    seed: FirstSeed = 0,
    forecaster: ForecasterName = _FORECASTER,
    policy: PolicyName = _POLICY,
    target_ms: Target = 2000.0,
    delay: Delay = 0.0,
    interval: Interval = 60.0,
    safety: SafetySettings = None,
    breaks: Breaks = None,
    drift: BothWays = False,
    reference: Reference = "forecast",
    settings: Override = None,
    out: Out = None,
    resume: Resume = False,
    plot: Plot = True,
) -> None:
    """Compare recommenders on the same days of the same city.

    Each meets the same people and requests, with the same rules of safety.
    Prints means over seeds with 95 % intervals, and differences to the
    forecast's recommender. With --out also keeps results.csv (a row per
    recommender and seed), reasons.csv, series, summary.json, figures and a page,
    index.html. Results are written after each run; what was interrupted goes on
    with --resume.

    [bold]Examples[/bold]

        metalore autoscale compare city-30

        metalore autoscale compare city-30 --recommender hpa --recommender vpa --reference hpa

        metalore autoscale compare city-30 --recommender forecast --drift --break biased:factor=0.5

        metalore autoscale compare my-city.toml --days 7 --forecaster kept/stgnn --out results
    """
    from metalore.autoscale import AutoscaleError, Drift
    from metalore.autoscale.comparison import Plan, candidate, runs
    from metalore.cli._autoscaling import Comparison, Results
    from metalore.cli._experiment import say
    from metalore.cli._judging import contestant
    from metalore.cli.record import progress_bar
    from metalore.serve.autoscaling import forecaster_of

    city = with_settings(scenario, settings)
    plan = Plan(
        scenario=city,
        days=days,
        history_days=history,
        interval_s=interval,
        delay_s=delay,
        latency_target_ms=target_ms,
        safety=safety_of(safety or ()),
        policy=contestant(policy, [city]).policy,
    )
    candidates = {text: candidate(text, plan.scenario) for text in recommender or COMPARED}
    options = {
        "recommender": list(candidates), "days": days, "history": history, "seeds": seeds, "seed": seed,
        "forecaster": forecaster, "policy": policy, "target-ms": target_ms, "delay": delay, "interval": interval,
        "safety": safety, "break": breaks, "drift": drift or None, "reference": reference, "set": settings, "out": out,
    }  # fmt: skip
    asking = [name for name in candidates if name.partition(":")[0] in ("forecast", "agent")]  # for forecasts
    if (drift or breaks) and not asking:
        raise AutoscaleError("--drift and --break are about forecasts, and no --recommender asks for them")
    drifts = {name + WITH_DRIFT: Drift() for name in asking if drift}
    candidates |= {name + WITH_DRIFT: candidates[name] for name in asking if drift}
    comparison = Comparison(
        plan,
        candidates,
        range(seed, seed + seeds),
        forecaster,
        policy,
        reference,
        _command(scenario, options),
        tuple(breaks or ()),
    )
    forecasts = _broken(forecaster_of(forecaster, plan), comparison.breaks) if asking else None
    results = Results.begun(comparison, out, resume)
    start = time.perf_counter()
    with progress_bar("intervals") as progress:
        for run in runs(plan, candidates, comparison.seeds, forecasts, progress, results.finished, drifts):
            results.add(run)
    _show(results)
    if out is not None:
        results.write_summary()
        if plot:
            results.write_page()
    say(f"took {time.perf_counter() - start:,.0f} s" + (f"; results are in {out}" if out else ""))


def _broken(make: MakeForecast, texts: Sequence[str]) -> MakeForecast:
    """What forecasts, broken in the given ways, the first one first."""
    from metalore.autoscale.broken import break_of

    breaks = [break_of(text) for text in texts]

    def made(history: Usage) -> Forecast:
        return reduce(lambda forecast, broken: broken(forecast), breaks, make(history))

    return made


def _command(scenario: str, options: Mapping[str, Any]) -> str:
    """What to type for the same results."""
    words = ["metalore", "autoscale", "compare", scenario]
    for option, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            words += [] if one is None else [f"--{option}"] if one is True else [f"--{option}", str(one)]
    return shlex.join(words)


def _show(results: Results) -> None:
    """Print means, and differences to the reference."""
    from metalore.autoscale.comparison import summary

    plan, cities = results.comparison.plan, len({result["seed"] for result in results.results})
    title = f"{plan.scenario.name}: mean over {cities} {'cities' if cities > 1 else 'city'} of {plan.days:g} days"
    print_estimates(summary(results.results), f"{title}, and 95 % interval")
    if apart := results.differences():
        title = f"Difference to {results.comparison.reference} in the same cities"
        print_estimates(apart, title, signed=True)


def safety_of(texts: Sequence[str]) -> Safety:
    """Rules of safety from texts like `step_down=0.5` or `upper=8,4096,1000`.

    Raises:
        AutoscaleError: no such setting, or a value that cannot be.
    """
    from metalore.autoscale import Safety
    from metalore.autoscale.errors import unknown

    known = [field.name for field in fields(Safety)]
    settings: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in known:
            raise unknown("setting", name, known, "safety")
        parts = tuple(part for part in value.split(",") if part)
        settings[name] = parts if name == "fixed" else _numbers(name, parts, isinstance(getattr(Safety, name), tuple))
    return Safety(**settings)


def _numbers(name: str, parts: Sequence[str], several: bool) -> Any:
    from metalore.autoscale import AutoscaleError

    how = "numbers, separated by commas" if several else "one number"
    try:
        numbers = tuple(map(float, parts))
    except ValueError:
        numbers = ()
    if not numbers or (len(numbers) > 1 and not several):
        raise AutoscaleError(f"safety.{name} is {','.join(parts)!r}; it takes {how}")
    return numbers if several else numbers[0]


def print_estimates(table: dict[str, dict[str, Estimate]], title: str, signed: bool = False) -> None:
    """Means with their intervals below, one row per recommender; as many tables as the terminal is narrow."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from metalore.autoscale.comparison import MEASURES

    console, names = Console(), list(MEASURES)
    widest = max(len(name) for name in table)
    beside = max(1, (console.width - widest - 2) // _CELL)
    console.print(Text(title, style="bold"))
    for first in range(0, len(names), beside):
        shown = names[first : first + beside]
        part = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        part.add_column("Recommender", no_wrap=True, min_width=widest)
        for name in shown:
            part.add_column(name.replace("_", " "), justify="right", no_wrap=True, min_width=_CELL - 3)
        for recommender, row in table.items():
            part.add_row(recommender, *(_cell(row[name], signed) for name in shown))
        console.print(part)


_CELL = 18


def _cell(estimate: Estimate, signed: bool) -> str:
    value, low, high = estimate
    text = f"{value:+.4g}" if signed else f"{value:.4g}"
    return text if low != low else f"{text}\n{low:.3g} to {high:.3g}"
