"""The controller in the simulated city, as `metalore autoscale --actuator simulated` runs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import typer

from metalore.autoscale import (
    Actuator,
    Applied,
    AutoscaleError,
    Controller,
    Decision,
    Logic,
    Tick,
    make_recommender,
)
from metalore.autoscale.comparison import DAY_S, Plan, clock_s_of, world_of
from metalore.autoscale.model import MEMORY, in_words
from metalore.autoscale.recommenders.hpa import HorizontalRule
from metalore.autoscale.registry import read_recommender
from metalore.autoscale.simulated import Row, SimulatedCity, begin_with
from metalore.cli._intents import with_intents
from metalore.serve.autoscaling import forecaster_of

if TYPE_CHECKING:
    from metalore.autoscale import Drift
    from metalore.autoscale.recommender import Recommender


class Watched(Actuator):
    """What zones have, and nothing else: a dry run."""

    def __init__(self, actuator: Actuator) -> None:
        self.zones, self.delay_s, self._actuator = actuator.zones, actuator.delay_s, actuator

    def allocations(self) -> np.ndarray:
        """See :class:`Actuator`."""
        return self._actuator.allocations()

    def apply(self, decision: Decision) -> Applied:
        """Nothing is done."""
        return Applied(np.zeros(len(self.zones), bool))


def run(
    *,
    plan: Plan,
    seed: int,
    recommender: str,
    forecaster: str,
    intents: Path | None,
    apply: bool,
    drift: Drift | None,
) -> None:
    """Turn the loop for the days of a plan, and say what was done, why, and how the city fared."""
    rule = _recommender(recommender, plan)
    forecasts = forecaster_of(forecaster, plan) if rule.needs_forecasts else None
    world = world_of(plan)
    world.reset(seed)
    begin_with(world, plan.safety, plan.safety.upper[MEMORY])
    city = SimulatedCity(world, plan.policy, interval_s=plan.interval_s, delay_s=plan.delay_s)
    typer.echo(
        f"{len(city.zones)} zones of {plan.scenario.name}; {'acts' if apply else 'a dry run'}; "
        f"{plan.history} intervals of history first"
    )
    for _ in range(plan.history):
        city.advance()
    diary = _Diary(city, clock_s_of(plan.scenario), plan.latency_target_ms, apply)
    forecast = with_intents(intents, forecasts(city.usage()) if forecasts else None, city.zones)
    controller = Controller(
        Logic(rule, HorizontalRule(), plan.safety, drift),
        city if apply else Watched(city),
        city.usage,
        city,
        interval_s=plan.interval_s,
        forecast=forecast,
        report=diary.note,
    )
    controller.tick()
    controller.run(plan.intervals - 1)
    diary.end(city.advance())


def _recommender(text: str, plan: Plan) -> Recommender:
    name, settings = read_recommender(text, clock_s_of(plan.scenario))
    if name == "foresight":
        raise AutoscaleError("foresight is handed the future, which only `metalore autoscale compare` knows")
    return make_recommender(name, **settings)


@dataclass
class _Diary:
    """Prints turn by turn: how the interval before it went, and what is changed.

    Attributes:
        city: that is told about.
        clock_s: of the week, at time 0.
        target_ms: mean latency that is still good.
        acts: whether what is decided is done.
    """

    city: SimulatedCity
    clock_s: float
    target_ms: float
    acts: bool

    def note(self, tick: Tick) -> None:
        """One more turn."""
        if self.city.rows:
            self._say(self.city.rows[-1])
        for problem in tick.problems:
            typer.echo(f"metalore: {problem}", err=True)
        decision = tick.decision
        if decision is None:
            return
        for zone in np.flatnonzero(decision.changed.any(axis=1)):
            changed = decision.changed[zone]
            before, after = (np.where(changed, amounts[zone], np.nan) for amounts in (decision.before, decision.after))
            would = "" if self.acts else "would be "
            reason = decision.of(decision.zones[zone]).reason
            typer.echo(f"  {decision.zones[zone]}: {would}{in_words(before)} -> {in_words(after)} ({reason})")

    def end(self, row: Row) -> None:
        """After the last turn."""
        self._say(row)

    def _say(self, row: Row) -> None:
        seconds = (self.clock_s + float(row["time_s"])) % DAY_S
        asked = row["requests"] + row["completed"] > 0
        late = int((asked & ~(row["latency_ms"] <= self.target_ms)).sum())
        typer.echo(
            f"{int(seconds // 3600):02}:{int(seconds % 3600 // 60):02}:{int(seconds % 60):02}  "
            f"{row['cpu_cores'].sum():.1f} of {row['given_cores'].sum():.1f} cores, "
            f"{row['memory_mb'].sum() / 1000:.1f} of {row['given_mb'].sum() / 1000:.1f} GB; "
            f"{late} of {asked.sum()} zones late; {row['lost'].sum():.0f} of {row['requests'].sum():.0f} requests lost"
        )
