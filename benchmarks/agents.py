"""Agents that size zones beside the rules of the autoscaler: one zone, a city, a hard city, zones that are new.

    metalore record city-30 --days 28 --interval 60 --out city
    metalore forecast train city --horizons 1,5,10 --validation 0.15 --test 0.25 --input active_users --input requests \
        --input movement_rate --out forecaster
    python benchmarks/agents.py train --recording city --forecaster forecaster --agents runs
    python benchmarks/agents.py judge --recording city --forecaster forecaster --agents runs --out results

`--elsewhere` and `--elsewhere-forecaster` name another recorded city and a forecaster of it, for zones that are new.
Everybody meets the same episodes, from days that nobody learned from. Differences are paired, with 95 % intervals.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from metalore.autoscale.agents.policy import CARD, AgentPolicy
from metalore.autoscale.recommenders.agent import TrainedAgent
from metalore.cli._agents import TEST_PART, decider_of
from metalore.envs.zone_core import ZoneCore, ZoneSettings
from metalore.fluid import Demand, FluidZones
from metalore.fluid.disturbances import Disturbances
from metalore.intervals import bootstrap_mean, paired_difference
from metalore.learn.zones import PRESETS, train_zones
from metalore.learn.zones.evaluation import MakeDecider, evaluate_zones, recommends
from metalore.learn.zones.settings import CITY_RANGES, ZoneTraining

CITY: dict[str, Any] = {"ranges": CITY_RANGES, "reward": {"latency_target_ms": 3000.0}}
MIXED = 0.3
"""Part of a zone's reward that is the city's mean."""
SHOWN = ("reward", "slo_cost", "violations", "lost", "cost", "core_hours", "changes", "aori_s")
RULES = ("hpa", "hpa:target=0.5", "hpa:target=0.4", "threshold", "forecast", "forecast:burst=2.5", "vpa", "keep")
SEED = 5000


def plans(forecaster: Path) -> dict[str, ZoneTraining]:
    """Trainings on the city: the agent, and the same, shorter, without each of its parts."""

    def plan(
        preset: str = "shared", masked: bool = True, forecast: str = str(forecaster), **changes: Any
    ) -> ZoneTraining:
        known = PRESETS[preset]
        environment = known.environment | CITY | {"forecast": forecast, "city_part": MIXED}
        environment |= {name: changes.pop(name) for name in ("city_part",) if name in changes}
        values = {"steps": 600_000, "rounds": 10, "train_part": (0.35, 0.6)} | changes
        return known.model_copy(update={"masked": masked, "environment": environment} | values)

    return {
        "shared": plan(steps=1_000_000, rounds=14),
        "mixed": plan(),
        "noforecast": plan(forecast="none"),
        "local": plan(city_part=0.0),
        "global": plan(city_part=1.0),
        "nomask": plan(masked=False),
        "independent": plan("independent"),
    }


def train(args: argparse.Namespace) -> None:
    """Everything that is judged, unless it is there."""
    drawn, recorded = one_zone(), Demand.recorded(args.recording)
    dqn = PRESETS["dqn"].model_copy(update={"steps": 700_000})
    runs = [(f"dqn/seed-{seed}", drawn, dqn, seed) for seed in (1, 2, 3)]
    runs += [(f"{name}/seed-1", recorded, plan, 1) for name, plan in plans(args.forecaster).items()]
    for name, demand, plan, seed in runs:
        if not (args.agents / name / CARD).exists():
            result = train_zones(demand, plan, args.agents / name, seed=seed)
            print(f"{name}: {result.best:.4f} on validation days, {result.wall_s:.0f} s", flush=True)


def one_zone() -> Demand:
    """What the published ranges fit."""
    return Demand.drawn("city-30", days=7, scale=0.4)


def judge(args: argparse.Namespace) -> None:
    """All tables."""
    dqn = sorted(str(path) for path in (args.agents / "dqn").glob("seed-*"))
    shared = str(args.agents / "shared" / "seed-1")
    band, wide = "+band=60", "+band=100"
    statics = ["static", "static:quantile=0.99,headroom=0.2"]
    with_bands = [rule + b for rule in ("hpa:target=0.4", "threshold", "forecast") for b in (band, wide)]
    seen = ZoneSettings().updated(**PRESETS["dqn"].environment, part=TEST_PART)
    core = ZoneCore(FluidZones(one_zone(), 64, single=True), seen)
    if "one-zone" in args.what:
        compare("one-zone", core, [*dqn, *RULES, *statics, *with_bands], dqn[0], args)
    recorded = Demand.recorded(args.recording)
    settings = ZoneSettings().updated(
        **PRESETS["shared"].environment | CITY, forecast=str(args.forecaster), part=TEST_PART
    )
    core = ZoneCore(FluidZones(recorded, args.episodes), settings)
    if "city" in args.what:
        compare("city", core, [shared, *RULES, *with_bands], shared, args)
    if "parts" in args.what:
        parts = [str(args.agents / name / "seed-1") for name in ("mixed", "local", "global", "nomask", "independent")]
        blind = str(args.agents / "noforecast" / "seed-1")
        table = run(core, parts) + run(
            ZoneCore(FluidZones(recorded, args.episodes), settings.updated(forecast="none")), [blind]
        )
        show("parts", pd.concat(table, ignore_index=True), parts[0], args)
    if "hard" in args.what:
        zone = ZoneCore(FluidZones(one_zone(), 64, single=True), seen.updated(disturbances=vars(Disturbances.hard())))
        compare(
            "hard-zone", zone, [*(f"safe {one}" for one in dqn), dqn[0], *RULES, *with_bands], f"safe {dqn[0]}", args
        )
        hard = settings.updated(disturbances=vars(Disturbances.hard()))
        core = ZoneCore(FluidZones(recorded, args.episodes), hard)
        compare("hard", core, [shared, f"safe {shared}", *RULES, *with_bands], f"safe {shared}", args)
    if "elsewhere" in args.what and args.elsewhere:
        new = settings.updated(forecast=str(args.elsewhere_forecaster))
        core = ZoneCore(FluidZones(Demand.recorded(args.elsewhere), max(args.episodes // 4, 2)), new)
        compare("elsewhere", core, [shared, *RULES, *with_bands], shared, args)


def compare(name: str, core: ZoneCore, who: Sequence[str], reference: str, args: argparse.Namespace) -> None:
    """One table."""
    show(name, pd.concat(run(core, who), ignore_index=True), reference, args)


def run(core: ZoneCore, who: Sequence[str]) -> list[pd.DataFrame]:
    """Everybody on the same episodes."""
    tables = []
    for one in who:
        began = time.process_time()
        tables.append(evaluate_zones({one: decider(one, core)}, core, [SEED]))
        print(f"  {one}: {time.process_time() - began:.0f} s", flush=True)
    return tables


def decider(name: str, core: ZoneCore) -> MakeDecider:
    """An agent by its folder, `safe FOLDER` for one behind the autoscaler's safety, or a rule."""
    if name.startswith("safe "):
        return recommends(lambda: TrainedAgent(name.removeprefix("safe ")))
    agent = AgentPolicy.load(name) if (Path(name) / CARD).exists() else None
    return decider_of(name, agent, core)


def show(name: str, table: pd.DataFrame, reference: str, args: argparse.Namespace) -> None:
    """Means, differences to the reference, and a file with a row per episode. Agents are called by their folders."""
    table["candidate"] = table["candidate"].str.replace(f"{args.agents}/", "")
    reference = reference.replace(f"{args.agents}/", "")
    print(f"\n{name}: means over {table['environment'].nunique()} episodes")
    known = {who: rows.sort_values("environment") for who, rows in table.groupby("candidate", sort=False)}
    means = {who: {m: bootstrap_mean(rows[m].to_numpy())[0] for m in SHOWN} for who, rows in known.items()}
    print(pd.DataFrame(means).T.round(4).to_string())
    print(f"\nless {reference}")
    for who, rows in known.items():
        if who != reference:
            found = {m: paired_difference(rows[m].to_numpy(), known[reference][m].to_numpy()) for m in SHOWN[:6]}
            print(
                f"  {who:40s} " + "  ".join(f"{m} {v:+.4f} [{lo:+.4f}, {hi:+.4f}]" for m, (v, lo, hi) in found.items())
            )
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        table.to_csv(args.out / f"{name}.csv", index=False)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("job", choices=("train", "judge"))
    parser.add_argument("what", nargs="*", default=["one-zone", "city", "parts", "hard", "elsewhere"])
    parser.add_argument("--recording", type=Path, required=True)
    parser.add_argument("--forecaster", type=Path, required=True)
    parser.add_argument("--agents", type=Path, required=True)
    parser.add_argument("--episodes", type=int, default=16, help="of cities")
    parser.add_argument("--elsewhere", type=Path)
    parser.add_argument("--elsewhere-forecaster", type=Path)
    parser.add_argument("--out", type=Path, help="folder for a CSV of each table")
    args = parser.parse_args()
    train(args) if args.job == "train" else judge(args)


if __name__ == "__main__":
    main()
