"""What recording costs: time and memory as users and zones double, and a week of a city.

    python benchmarks/recording.py [--quick]             # users and zones double, up to 100,000 and 1,000
    python benchmarks/recording.py --week city-30        # 7 simulated days, in this process, on one core
    python benchmarks/recording.py --week city-30 --days 0.5

Each size runs in a process of its own, so that its peak memory is its own; times are the processor's, since other work
on a shared machine is not what is measured. Cost grows linearly where cost per step of a user and of a zone stay level
as users and zones double together; they rise once where the city leaves the processor's caches.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from metalore.policies import Policy, make_policy
from metalore.scenario import Scenario, load
from metalore.telemetry import record
from metalore.telemetry.recording import Crossings
from metalore.world import World

POLICY = "fixed:0.5,0.5"
SIZES = ((8, 800), (16, 1_600), (31, 3_125), (62, 6_250), (125, 12_500), (250, 25_000), (500, 50_000), (1_000, 100_000))
"""Zones and users, doubling."""
QUICK = SIZES[:4]


def city(zones: int, users: int, steps: int) -> Scenario:
    """A grid of zones, walkers, half as many sensors, and work that the servers can do."""
    side = int(np.ceil(np.sqrt(zones)))
    places = [(250.0 + 500.0 * (i % side), 250.0 + 500.0 * (i // side)) for i in range(zones)]
    return load(
        {
            "name": f"grid-{zones}",
            "max_steps": steps,
            "map": {"width_m": 500.0 * side, "height_m": 500.0 * side},
            "stations": [{"x_m": x, "y_m": y} for x, y in places],
            "users": {
                "count": users,
                "requests": {"probability": 0.05, "data_mbit": {"mean": 5}, "compute_gcycle": {"mean": 5}},
            },
            "sensors": {
                "count": users // 2,
                "placement": {"kind": "uniform", "spacing_m": 1.0},
                "updates": {"timing": {"kind": "periodic", "period_steps": 20}, "data_mbit": {"mean": 5},
                            "compute_gcycle": {"mean": 5}},
            },
            "buffers": {"device_jobs": 8, "station_jobs": 512},
        }
    )  # fmt: skip


def one_size(zones: int, users: int, steps: int) -> dict[str, float]:
    """Seconds of a step, of the recorder's part of it, and of making the world; peak memory of the process in MB."""
    scenario, policy = city(zones, users, steps), make_policy(POLICY)
    World(scenario)  # compiles, or reads what is compiled
    start = time.process_time()
    world = World(scenario.updated(max_steps=10 * steps))
    world.reset(0)
    made = time.process_time() - start
    with tempfile.TemporaryDirectory() as folder:
        record(scenario, folder, policy, duration_s=steps, interval_s=steps / 2)  # its memory counts
    step, recorder = np.median([timed_steps(world, policy, steps) for _ in range(3)], axis=0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"made_s": made, "step_s": step, "recorder_s": recorder, "peak_mb": peak}


def timed_steps(world: World, policy: Policy, steps: int) -> tuple[float, float]:
    """Seconds of a step with its policy, and of what the recorder does after it, means."""
    crossings, tally = Crossings(world), world.station_totals[0]
    total = np.zeros_like(tally)
    inside = 0.0
    start = time.process_time()
    for _ in range(steps):
        world.step(policy(world))
        before = time.process_time()
        np.add(total, tally, out=total)
        crossings.observe()
        inside += time.process_time() - before
    whole = time.process_time() - start
    return (whole - inside) / steps, inside / steps


def sizes(quick: bool) -> None:
    """A line for each size."""
    print(
        f"{'zones':>6s}{'users':>9s}{'ms/step':>10s}{'of which recorder us':>22s}"
        f"{'ns/user-step':>14s}{'us/zone-step':>14s}{'setup s':>9s}{'peak MB':>9s}"
    )
    for zones, users in QUICK if quick else SIZES:
        steps = int(np.clip(2_000_000 // users, 40, 400)) // 2 * 2
        words = [sys.executable, __file__, "--one", str(zones), str(users), str(steps)]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        cost = json.loads(done.stdout.splitlines()[-1])
        step = cost["step_s"] + cost["recorder_s"]
        print(
            f"{zones:6,d}{users:9,d}{1e3 * step:10.3f}{1e6 * cost['recorder_s']:22.1f}{1e9 * step / users:14.0f}"
            f"{1e6 * step / zones:14.1f}{cost['made_s']:9.2f}{cost['peak_mb']:9.0f}",
            flush=True,
        )


def week(name: str, days: float, interval_s: float) -> None:
    """Record a built-in city, or a file, and say what it took."""
    scenario = load(name)
    print(f"{scenario.name}: {len(scenario.stations)} zones, {scenario.users.count:,} users, "
          f"{scenario.sensors.count:,} sensors; {days:g} days in steps of {scenario.step_s:g} s")  # fmt: skip
    duration_s = interval_s * max(1, round(days * 86_400 / interval_s))
    with tempfile.TemporaryDirectory() as folder:
        start, processor = time.perf_counter(), time.process_time()
        recording = record(
            scenario, Path(folder) / "run", make_policy(POLICY), duration_s=duration_s, interval_s=interval_s
        )
        seconds, busy = time.perf_counter() - start, time.process_time() - processor
        steps, rows, size = recording.card["steps"], recording.rows, recording.nbytes / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{steps:,} steps in {seconds:,.1f} s ({busy:,.1f} s of processor): {1e6 * seconds / steps:,.0f} us a step")
    print(f"{rows:,} rows, {size:,.1f} MB on disk; peak memory {peak:,.0f} MB")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes only")
    parser.add_argument("--week", metavar="SCENARIO", help="record this scenario for 7 days instead")
    parser.add_argument("--days", type=float, default=7.0, help="with --week: so many days instead")
    parser.add_argument("--interval", type=float, default=60.0, help="with --week: seconds of a row")
    parser.add_argument("--one", nargs=3, type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one_size(*given.one)))
        return
    processor = platform.processor() or platform.machine()
    print(f"machine: {processor}, {os.cpu_count()} cores, Python {platform.python_version()}")
    if given.week:
        week(given.week, given.days, given.interval)
    else:
        sizes(given.quick)


if __name__ == "__main__":
    main()
