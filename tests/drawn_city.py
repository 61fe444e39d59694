"""Hypothesis strategies for cities, and drawn plans of what a planner does between steps."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from metalore.scenario import Scenario

Settings = dict[str, Any]
Change = tuple[np.ndarray | None, dict[str, np.ndarray]]
"""Which stations to close (None: no word about it), and the capacities to set, each [s]."""

_file_numbers = itertools.count()


def one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


def hourly(*values: float) -> st.SearchStrategy[list[float]]:
    """A row in which every hour differs, or none does; the last value only occurs among others."""
    varied = st.lists(one_of(*values), min_size=24, max_size=24)
    return varied | one_of(*values[:-1]).map(lambda value: [value] * 24)


@st.composite
def kinds(draw: st.DrawFn, activities: list[str]) -> list[Settings]:
    return [
        {
            "name": name,
            "pull": draw(hourly(1.0, 0.2, 3.0, 40.0, 0.0)),
            "weekend_pull": draw(st.none() | hourly(1.0, 2.0, 0.0)),
            "requests": draw(hourly(1.0, 2.0, 0.3, 5.0, 0.0)),
            "weekend_requests": draw(st.none() | hourly(1.0, 2.0, 0.0)),
            "activities": draw(st.dictionaries(one_of(*activities), one_of(1.0, 0.0, 2.5))) if activities else {},
        }
        for name in draw(one_of(["a"], ["a", "b"], ["b", "a"]))
    ]


@st.composite
def activities(draw: st.DrawFn, step_s: float) -> list[Settings]:
    return [
        {
            "name": f"activity-{i}",
            "mean_s": step_s * draw(one_of(3.0, 0.4, 1.0, 6.5)),
            "variation": draw(one_of(0.5, 0.0, 2.0)),
            "from_hour": draw(one_of(0.0, 0.0, 6.5, 22.0)),
            "to_hour": draw(one_of(24.0, 24.0, 7.0, 0.5)),
            "days": draw(one_of("all", "all", "weekdays", "weekend")),
            "pull": draw(one_of(1.0, 0.0, 0.5, 6.0)),
            "request_factor": draw(one_of(1.0, 2.0, 0.3, 5.0, 0.0)),
            "data_factor": draw(one_of(1.0, 0.0, 0.3, 4.0)),
            "compute_factor": draw(one_of(1.0, 0.0, 0.7, 3.0)),
        }
        for i in range(draw(st.integers(0, 4)))
    ]


@st.composite
def events(draw: st.DrawFn, step_s: float, zones: list[str]) -> list[Settings]:
    found = []
    for _ in range(draw(st.integers(0, 3))):
        lead_s, duration_s = step_s * draw(one_of(2.0, 0.0, 0.5)), step_s * draw(one_of(3.0, 1.0, 0.7))
        again = draw(st.none() | one_of(0.0, step_s, 2.5 * step_s))
        found.append(
            {
                "zone": draw(one_of(*zones)),
                "from_s": step_s * draw(one_of(4.0, 0.0, 1.5, 11.0)),
                "lead_s": lead_s,
                "duration_s": duration_s,
                "every_s": None if again is None else lead_s + duration_s + again,
                "pull": draw(one_of(5.0, 0.0, 1.0)),
                "request_factor": draw(one_of(1.5, 0.0, 4.0)),
            }
        )
    return found


@st.composite
def counts(draw: st.DrawFn, folder: Path, zones: list[str]) -> Settings:
    """A file with gaps; some zones may have no row."""
    hours = draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    there = draw(one_of(1.0, 0.8, 0.4))
    rows = [
        f"{hour},{zone},{rng.integers(0, 50) * rng.choice([1, 1, 1, 0])}"
        for hour in range(hours)
        for zone in zones
        if rng.random() < there
    ] or [f"0,{zones[0]},3"]
    rng.shuffle(rows)
    file = folder / f"counts-{next(_file_numbers)}.csv"
    file.write_text("\n".join(["hour,zone,people", *rows]) + "\n", encoding="utf-8")
    return {"file": str(file), "first_hour": draw(st.integers(0, 3))}


@st.composite
def cities(draw: st.DrawFn, step_s: float, zones: list[str], folder: Path) -> Settings:
    interval_s = step_s * draw(one_of(1, 2, 3))
    found = draw(activities(step_s))
    per_tick = 86400 / interval_s
    return {
        "interval_s": interval_s,
        "start_day": draw(one_of(0, 4, 5, 6)),
        "start_hour": draw(one_of(0.0, 6.25, 21.5, 23.5)),
        "kinds": draw(kinds([activity["name"] for activity in found])),
        "activities": found,
        "counts": draw(st.none() | st.none() | counts(folder, zones)),
        "outside": draw(st.booleans()),
        "peak_presence": draw(one_of(0.9, 0.6, 0.9, 1.0, 0.3)),
        "drift": draw(
            st.none()
            | st.fixed_dictionaries(
                {
                    "sd": one_of(0.2, 0.0, 1.5),
                    "pull_sd": one_of(0.0, 0.3, 0.8),
                    "time_s": one_of(0.5 * step_s, 5 * step_s),
                    "length_m": one_of(0.0, 80.0, 500.0),
                }
            )
        ),
        "flash_crowds": draw(
            st.none()
            | st.fixed_dictionaries(
                {
                    "per_day": one_of(0.3 * per_tick, 0.05 * per_tick, 2 * per_tick, 0.0),
                    "mean_s": one_of(2 * step_s, 0.3 * step_s, 5 * step_s),
                    "pull": one_of(1.5, 0.0, 9.0),
                    "request_factor": one_of(3.0, 0.0, 1.0),
                }
            )
        ),
        "events": draw(events(step_s, zones)),
    }


def attractions(step_s: float) -> st.SearchStrategy[Settings]:
    """Stays of a few steps; ways of one step and of many."""
    return st.fixed_dictionaries(
        {
            "kind": st.just("attraction"),
            "speed_min_m_s": one_of(3.0 / step_s, 20.0 / step_s),
            "speed_max_m_s": one_of(30.0 / step_s, 500.0 / step_s),
            "mean_stay_s": one_of(2.0 * step_s, 0.2 * step_s, 5.0 * step_s),
            "far_probability": one_of(0.5, 0.0, 1.0),
            "neighbours": one_of(1, 2, 6),
            "spread_m": one_of(40.0, 0.0, 300.0),
        }
    )


def failures(step_s: float) -> st.SearchStrategy[Settings | None]:
    return (
        st.none()
        | st.none()
        | st.fixed_dictionaries(
            {
                "mean_between_s": one_of(20.0 * step_s, 3.0 * step_s, 60.0 * step_s),
                "mean_repair_s": one_of(3.0 * step_s, step_s),
            }
        )
    )


def outages(step_s: float) -> st.SearchStrategy[list[tuple[float, float]]]:
    times = one_of((0.0, 2.0), (3.0, 4.0), (4.5, 9.0), (7.0, 7.5))
    some = st.lists(times, min_size=1, max_size=2).map(lambda found: [(a * step_s, b * step_s) for a, b in found])
    return st.just([]) | st.just([]) | st.just([]) | some


handovers = st.fixed_dictionaries(
    {"margin_db": one_of(0.0, 1.0, 3.0, 20.0), "time_to_trigger_steps": one_of(0, 1, 2, 4)}
) | st.just({})

interferences = st.just({"kind": "none"}) | st.fixed_dictionaries(
    {
        "kind": st.just("co-channel"),
        "reuse": one_of(1, 2, 3),
        "interferers": one_of(1, 2, 6),
        "load": one_of("observed", "full"),
    }
)


def plan_of(scenario: Scenario, steps: int, seed: int) -> list[Change]:
    """What a planner does before each step: mostly nothing, else closes, opens and sets capacities at random."""
    rng, count = np.random.default_rng(seed), len(scenario.stations)
    least_mb = scenario.memory.base_mb + scenario.memory.per_job_mb
    plan: list[Change] = []
    for _ in range(steps):
        closed = rng.random(count) < 0.4 if rng.random() < 0.15 else None
        capacities: dict[str, np.ndarray] = {}
        if rng.random() < 0.2:
            scales = rng.choice([0.1, 0.5, 1.0, 3.0], count)
            capacities["bandwidth_hz"] = scales * [station.bandwidth_hz for station in scenario.stations]
        if rng.random() < 0.2:
            scales = rng.choice([0.1, 0.5, 1.0, 3.0], count)
            capacities["compute_gcycle_s"] = scales * [station.compute_gcycle_s for station in scenario.stations]
        if rng.random() < 0.15:
            capacities["memory_mb"] = least_mb + rng.choice([1.0, 9.0, 30.0, 500.0], count)
        plan.append((closed, capacities))
    return plan
