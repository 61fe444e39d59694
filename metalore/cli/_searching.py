"""A search from the command line: what to do, what came out, and how it is shown and kept."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from metalore.cli._experiment import versions
from metalore.policies.queue_aware import RuleSearch, RuleSearchSettings, search_queue_aware
from metalore.policies.search import (
    OBJECTIVES,
    Resources,
    Searched,
    Winner,
    confirm,
    grid_points,
    held_out_seeds,
    known_objective,
    refine,
    search_splits,
)
from metalore.report import replacing, write_text
from metalore.report.intervals import decimals_for, interval, written
from metalore.report.measures import Measure, measure
from metalore.scenario import Scenario

FINE = 9
LOST = Measure("Lost requests", "%", "less", scale=100.0)


@dataclass(frozen=True)
class Plan:
    """What to search.

    Attributes:
        scenario: with all changes made.
        changes: what was changed, by path.
        grid: splits along each side.
        episodes: at each split.
        seed: of the first episode.
        objectives: names in OBJECTIVES.
        rules: also search for a queue-aware rule.
        refine: also search a finer grid.
        resources: where it runs.
        command: what to type to do it again.
    """

    scenario: Scenario
    changes: Mapping[str, Any]
    grid: int
    episodes: int
    seed: int
    objectives: tuple[str, ...]
    rules: bool
    refine: bool
    resources: Resources
    command: str

    def __post_init__(self) -> None:
        grid_points(self.grid)
        for name in self.objectives:
            known_objective(name)
        if self.episodes < 1:
            raise ValueError(f"--episodes is {self.episodes}; at least 1 is needed")
        if not 0 <= self.seed <= 2**64 - self.episodes:
            raise ValueError(f"--seed is {self.seed}; seeds are whole numbers from 0 to 2**64 - 1")

    @property
    def seeds(self) -> range:
        """One for each episode."""
        return range(self.seed, self.seed + self.episodes)

    def typed(self, command: str) -> Plan:
        """With what to type to do it again."""
        return replace(self, command=command)

    def about(self) -> dict[str, Any]:
        """Everything to run it again."""
        held_out = held_out_seeds(self.seeds)
        return {
            "scenario": self.scenario.model_dump(mode="json"),
            "overrides": dict(self.changes),
            "grid": self.grid,
            "seeds": {"first": self.seed, "count": self.episodes},
            "held_out_seeds": {"first": held_out.start, "count": len(held_out)},
            "objectives": {name: OBJECTIVES[name] for name in self.objectives},
            "versions": versions(),
            "command": self.command,
        }


@dataclass(frozen=True)
class Found:
    """What came out: the grid, and by objective the finer grid, the best split and the best rule."""

    grid: Searched
    finer: dict[str, Searched]
    splits: dict[str, Winner]
    rules: dict[str, RuleSearch]


def run(plan: Plan) -> Found:
    """Search, with a progress bar if someone is watching."""
    where, few = plan.resources, min(plan.episodes, RuleSearchSettings().episodes)
    with _bar("grid", plan.grid**2 * plan.episodes) as advance:
        grid = search_splits(plan.scenario, plan.grid, plan.seeds, resources=where, progress=advance)
    finer: dict[str, Searched] = {}
    splits: dict[str, Winner] = {}
    rules: dict[str, RuleSearch] = {}
    for name in plan.objectives:
        best = grid
        if plan.refine:
            with _bar(f"finer grid, {name}", FINE**2 * plan.episodes) as advance:
                best = finer[name] = refine(grid, name, FINE, resources=where, progress=advance)
        splits[name] = confirm(best, name, resources=where)
        if plan.rules:
            settings = RuleSearchSettings(episodes=few)
            with _bar(f"rules, {name}", settings.generations * settings.population) as advance:
                rules[name] = search_queue_aware(
                    plan.scenario,
                    plan.seeds,
                    objective=name,
                    starts=[splits[name].point],
                    settings=settings,
                    resources=where,
                    progress=advance,
                )
    return Found(grid, finer, splits, rules)


@contextmanager
def _bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:22}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.advance(task, done)


def print_found(plan: Plan, found: Found) -> None:
    """The best of each objective: on the episodes it was chosen by, and on others."""
    console = Console()
    finer = " and a finer one around the best" if plan.refine else ""
    title = f"{plan.scenario.name}: {plan.grid} x {plan.grid} splits{finer}, {plan.episodes:,} episodes each"
    console.print(Text(title, style="bold"))
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("Best by", "Policy", "Chosen by\n(optimistic)", "Held out"):
        table.add_column(heading, justify="left" if heading in ("Best by", "Policy") else "right", overflow="fold")
    for name in plan.objectives:
        what = LOST if name == "requests_lost_share" else measure(name)
        bandwidth, compute = found.splits[name].point
        _add_row(table, what.title, f"fixed:{bandwidth:g},{compute:g}", found.splits[name], what.scale)
        if name in found.rules:
            numbers = ",".join(f"{x:.2f}" for x in found.rules[name].rule.theta)
            _add_row(table, "", f"queue-aware:{numbers}", found.rules[name].winner, what.scale)
    console.print(table)


def _add_row(table: Table, title: str, policy: str, winner: Winner, scale: float) -> None:
    cells = []
    for mean, low, high in (winner.chosen_by, winner.held_out):
        decimals = decimals_for([mean * scale])
        note = interval(low * scale, high * scale, decimals)
        cells.append(Text(written(mean * scale, decimals)).append(f"\n{note}", style="dim"))
    table.add_row(title, policy, *cells)


def write(plan: Plan, found: Found, folder: Path) -> None:
    """Write `search.parquet`, one row per split and episode, and `search.json`, with everything to run it again."""
    frames = [_rows(found.grid, "grid", "")]
    frames += [_rows(part, "finer", name) for name, part in found.finer.items()]
    frames += [_rows(winner.results, "held_out", name) for name, winner in found.splits.items()]
    with replacing(folder / "search.parquet") as temporary:
        pd.concat(frames, ignore_index=True).to_parquet(temporary, index=False)
    best: dict[str, Any] = {}
    for name, winner in found.splits.items():
        bandwidth, compute = winner.point
        best[name] = {"fixed": {"policy": f"fixed:{bandwidth!r},{compute!r}", **_numbers(winner)}}
        if name in found.rules:
            search = found.rules[name]
            best[name]["queue_aware"] = {
                "policy": search.rule.text,
                **_numbers(search.winner),
                "history": search.history,
            }
    text = json.dumps(plan.about() | {"best": best}, indent=2, allow_nan=False)
    write_text(folder / "search.json", text + "\n")


def _rows(search: Searched, stage: str, objective: str) -> pd.DataFrame:
    """One row per point and seed; `objective` is what a finer grid or a winner belongs to, empty for the grid."""
    points, seeds = len(search.points), len(search.seeds)
    frame = pd.DataFrame(
        {
            "stage": stage,
            "objective": objective,
            "bandwidth_share": np.repeat(search.points[:, 0], seeds),
            "compute_share": np.repeat(search.points[:, 1], seeds),
            "seed": np.tile(np.array(search.seeds, np.uint64), points),
        }
    )
    for name, values in search.values.items():
        frame[name] = values.ravel()
    return frame


def _numbers(winner: Winner) -> dict[str, Any]:
    """Means and intervals; null where undefined."""
    parts = {"chosen_by": winner.chosen_by, "held_out": winner.held_out}
    return {
        part: {key: x if math.isfinite(x) else None for key, x in zip(("mean", "low", "high"), values, strict=True)}
        for part, values in parts.items()
    }
