"""What `metalore agents` does: demand and settings as people write them, runs, and tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metalore.autoscale import AutoscaleError
from metalore.autoscale.agents.policy import CARD, AgentPolicy
from metalore.autoscale.registry import NAMES, make_recommender, read_recommender
from metalore.cli._experiment import progress_bar
from metalore.envs.zone_core import ZoneCore, ZoneSettings
from metalore.envs.zone_scaling import demand_of
from metalore.fluid import Demand, FluidZones
from metalore.fluid.disturbances import Disturbances
from metalore.intervals import Estimate, bootstrap_mean, paired_difference
from metalore.learn.zones.settings import CITY_RANGES, PRESETS, ZoneTraining

PUBLISHED, CITY = "published", "city"
TEST_PART = (0.75, 1.0)
"""Of the demand's time; what lies before is learned from, and the best agent chosen by."""
SHOWN = ("reward", "violations", "lost", "cost", "core_hours", "slo_cost", "changes", "aori_s", "twin_age_s")


def trained(demand: Demand, training: ZoneTraining, out: Path, seeds: Sequence[int], resume: bool) -> None:
    """Train an agent for each seed, and say how good they are on validation days."""
    from metalore.learn.zones.training import train_zones

    results = []
    for seed in seeds:
        with progress_bar() as bar:
            task = bar.add_task(f"seed {seed}", total=training.steps)

            def progress(done: int, entry: dict[str, float] | None, bar: Any = bar, task: Any = task) -> None:
                bar.update(task, completed=done)
                if entry is not None:
                    bar.console.print(
                        f"{done:,} zone-intervals: reward {entry['reward']:.4f} on validation days",
                        highlight=False,
                        soft_wrap=True,
                    )

            results.append(
                train_zones(demand, training, out / f"seed-{seed}", seed=seed, resume=resume, progress=progress)
            )
    _print_runs(results)


def _print_runs(results: Sequence[Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("agent", "zone-intervals", "best reward, validation", "seconds")
    for one in results:
        table.add_row(str(one.folder), f"{one.steps:,}", f"{one.best:.4f}", f"{one.wall_s:.0f}")
    Console().print(table)


def demand_from(source: str, days: float, scale: float) -> Demand:
    """A recording, or a city's demand drawn."""
    return demand_of(source) if Path(source).is_dir() else Demand.drawn(source, days=days, scale=scale)


def environment_of(ranges: str, forecast: str, settings: Sequence[str], hard: bool) -> dict[str, Any]:
    """Settings of the environment from options.

    Raises:
        AutoscaleError: other ranges, or a setting that is no NAME=VALUE.
    """
    from metalore.scenario import parse_override

    if ranges not in (PUBLISHED, CITY):
        raise AutoscaleError(f"--ranges is {ranges!r}; it can be {PUBLISHED} or {CITY}")
    made: dict[str, Any] = {"forecast": forecast}
    if ranges == CITY:
        made |= {"ranges": CITY_RANGES, "reward": {"latency_target_ms": 3000.0}}
    if hard:
        made["disturbances"] = vars(Disturbances.hard())
    for text in settings:
        path, value = parse_override(text)
        group, _, name = path.partition(".")
        made[group] = {**made.get(group, {}), name: value} if name else value
    return made


def training_of(preset: str, steps: int | None, changes: Sequence[str], environment: dict[str, Any]) -> ZoneTraining:
    """A preset with what was changed.

    Raises:
        AutoscaleError: no such preset or setting.
    """
    from pydantic import ValidationError

    from metalore.scenario import parse_override

    if preset not in PRESETS:
        raise AutoscaleError(f"--preset is {preset!r}; there are {', '.join(PRESETS)}")
    values = PRESETS[preset].model_dump()
    values["environment"] = values["environment"] | environment
    if steps is not None:
        values["steps"] = steps
    for text in changes:
        path, value = parse_override(text)
        group, _, name = path.partition(".")
        values[group] = {**values.get(group, {}), name: value} if name else value
    try:
        return ZoneTraining.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"])) or "training"
        raise AutoscaleError(f"{where} of the training is {problem['input']!r}: {problem['msg'].lower()}") from None


# -- judging -----------------------------------------------------------------------------------------------------------


def judged(
    who: Sequence[str],
    demand: Demand,
    environment: dict[str, Any],
    city: bool,
    episodes: int,
    seed: int,
    reference: str,
    out: Path | None,
) -> None:
    """Run everybody on the same episodes and print means and paired differences.

    Raises:
        AutoscaleError: nobody of a name, or an agent for other ranges.
    """
    from metalore.learn.zones.evaluation import evaluate_zones

    if reference not in who:
        raise AutoscaleError(f"--reference is {reference!r}, who is not judged; there are {', '.join(who)}")
    agents = {name: AgentPolicy.load(name) for name in who if (Path(name) / CARD).is_file()}
    made = ZoneSettings().updated(**_seen_by(agents) | environment, part=TEST_PART)
    core = ZoneCore(FluidZones(demand, episodes, single=not city), made)
    candidates = {name: decider_of(name, agents.get(name), core) for name in who}
    with progress_bar() as bar:
        task = bar.add_task("judging", total=len(candidates))
        table = evaluate_zones(candidates, core, [seed], lambda: bar.advance(task))
    if out is not None:
        _write(table, out)
    _print(table, reference)


def _seen_by(agents: dict[str, AgentPolicy]) -> dict[str, Any]:
    """Settings of the environment that agents look through; without agents the rules' plain ones.

    Raises:
        AutoscaleError: agents that see differently.
    """
    if not agents:
        return {}
    names = ("features", "horizons", "recent", "latency_ahead")
    views = {who: {name: getattr(agent.observer, name) for name in names} for who, agent in agents.items()}
    (first, view), *others = views.items()
    for other, its in others:
        if its != view:
            raise AutoscaleError(f"{first} and {other} look at different features; judge them one by one")
    return view


def decider_of(name: str, agent: AgentPolicy | None, core: ZoneCore) -> Callable[[], Any]:
    """Who decides: an agent, `keep`, `static` (the zone's highest use of the days before), or a recommender.

    Raises:
        AutoscaleError: nobody of that name, or an agent for other ranges or zones.
    """
    from metalore.learn.zones.evaluation import agent_decides, holds, keeps, recommends

    if agent is not None:
        check_agent(name, agent, core)
        return agent_decides(agent)
    if name == "keep":
        return keeps
    kind, _, rest = name.partition(":")
    if kind == "static":
        return holds(_peak(core, rest))
    if kind not in NAMES:
        raise AutoscaleError(f"{name!r} is neither a folder of an agent nor one of keep, static, {', '.join(NAMES)}")
    if kind == "foresight":
        raise AutoscaleError("foresight is a forecast here: --forecast foresight, with the recommender forecast")
    known, of_rule = read_recommender(name)
    if known == "hpa" and "unit" not in of_rule:
        of_rule = {"unit": tuple(core.ranges.step.tolist())} | of_rule
    if known == "threshold" and "scale" not in of_rule:
        of_rule = {"scale": float(core.ranges.most[0] / 1.2)} | of_rule
    return recommends(lambda: make_recommender(known, **of_rule))


def check_agent(name: str, agent: AgentPolicy, core: ZoneCore) -> None:
    """Refuse an agent for something else.

    Raises:
        AutoscaleError: other ranges, features or zones.
    """
    if agent.ranges != core.ranges:
        raise AutoscaleError(f"{name} was trained for {agent.ranges}, and the environment has {core.ranges}")
    if agent.observer != core.observer:
        raise AutoscaleError(f"{name} sees {agent.observer}, and the environment shows {core.observer}")
    if agent.zones and agent.zones != core.zones.demand.zones:
        raise AutoscaleError(f"{name} has a network for each of its {len(agent.zones)} zones, which are others")


def _peak(core: ZoneCore, rest: str) -> np.ndarray:
    """A quantile of what zones used before the test part, and some more: `static:quantile=0.99,headroom=0.2`."""
    settings = {"quantile": 1.0, "headroom": 0.1}
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition("=")
        if key not in settings:
            raise AutoscaleError(f"static has no setting {key!r}; it has {', '.join(settings)}")
        settings[key] = float(value)
    demand = core.zones.demand
    used = demand.used[: round(TEST_PART[0] * len(demand)), :, :3]
    amounts: np.ndarray = np.nanquantile(used, settings["quantile"], axis=0) * (1 + settings["headroom"])
    return amounts


def _write(table: pd.DataFrame, out: Path) -> None:
    from metalore.files import replacing

    with replacing(out) as temporary:
        table.to_csv(temporary, index=False) if out.suffix == ".csv" else table.to_parquet(temporary, index=False)


def _print(table: pd.DataFrame, reference: str) -> None:
    """Means with intervals, and differences to the reference in the same episodes: a row per measure."""
    from rich.console import Console
    from rich.table import Table

    names = list(dict.fromkeys(table["candidate"]))
    values = {name: table[table["candidate"] == name] for name in names}
    means = Table("", *names, title="Means over episodes, and 95 % intervals")
    others = [name for name in names if name != reference]
    differences = Table("", *others, title=f"Differences to {reference} in the same episodes")
    for measure in SHOWN:
        own = {name: values[name][measure].to_numpy() for name in names}
        means.add_row(measure, *(_of(bootstrap_mean(own[name])) for name in names))
        differences.add_row(measure, *(_of(paired_difference(own[name], own[reference])) for name in others))
    console = Console()
    console.print(means)
    if others:
        console.print(differences)


def _of(estimate: Estimate) -> str:
    value, low, high = estimate
    return f"{value:.4f}\n[{low:.4f}, {high:.4f}]"
