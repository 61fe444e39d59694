"""What sizing zones costs, and how close the fluid comes to the world.

    python benchmarks/zones.py                 # both
    python benchmarks/zones.py speed
    python benchmarks/zones.py closeness --hours 6

Speed counts zone-intervals of 60 steps per second of this process' own processor time, one thread, the best of several
runs: other work on a shared machine hardly changes that. Closeness runs `one-zone` and the fluid under the demand that
this world measured, with the same people and sizes.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from metalore.envs.zone_core import ZoneCore, ZoneSettings
from metalore.envs.zone_scaling import ZoneScalingEnv, ZoneScalingVectorEnv, demand_of
from metalore.envs.zone_world import WorldZones
from metalore.fluid import FluidZones, Split
from metalore.scenario import load

KEEP = 13
SIZES = ((2.0, 2048.0, 200.0), (1.0, 1024.0, 60.0), (0.7, 1024.0, 40.0), (0.5, 512.0, 60.0), (1.0, 1024.0, 30.0))
SPLITS = ("backlog-proportional", "fixed:0.7,0.7")
COLUMNS = ("requests", "cores", "MB", "Mbit/s", "ms", "lost %", "late %")


def rate_of(step: Callable[[], object], zone_intervals: int, times: int, runs: int = 5) -> float:
    """Zone-intervals a second, in the best of several runs."""
    step()
    taken = []
    for _ in range(runs):
        begin = time.process_time()
        for _ in range(times):
            step()
        taken.append(time.process_time() - begin)
    return zone_intervals * times / min(taken)


def speed() -> None:
    """A table of rates."""
    demand = demand_of(None)
    rates = {}
    for envs in (1, 256):
        zones = FluidZones(demand, envs, single=True)
        zones.reset(np.arange(envs), 600)
        sizes = np.tile([0.8, 768.0, 60.0], (envs, 1, 1))
        rates[f"fluid, {envs} zones one by one"] = rate_of(
            lambda z=zones, s=sizes: z.advance(s), envs, 6400 // envs // 4 + 5
        )
    city = FluidZones(demand, 8)
    city.reset(np.arange(8), 600)
    sizes, offload = np.tile([0.8, 768.0, 60.0], (8, 30, 1)), np.full((8, 30), 0.2)
    rates["fluid, 8 cities of 30"] = rate_of(lambda: city.advance(sizes), 240, 10)
    rates["fluid, 8 cities of 30, offload"] = rate_of(lambda: city.advance(sizes, offload=offload), 240, 10)
    for envs in (8, 64, 256):
        batch = ZoneScalingVectorEnv(envs, demand)
        batch.reset(seed=0)
        actions = np.full(envs, KEEP)
        rates[f"ZoneScaling-v0, batch of {envs}"] = rate_of(lambda b=batch, a=actions: b.step(a), envs, 20)
    core, moves = ZoneCore(FluidZones(demand, 8), ZoneSettings(intervals=10_000)), np.zeros((8, 30, 3), int)
    core.reset(range(8))
    rates["agents of 8 cities of 30"] = rate_of(lambda: (core.step(moves), core.observe()), 240, 10)
    one = ZoneScalingEnv(demand, intervals=10_000)
    one.reset(seed=0)
    rates["ZoneScaling-v0, single"] = rate_of(lambda: one.step(KEEP), 1, 200)
    world = ZoneScalingEnv(load("one-zone", max_steps=7200), engine="world", intervals=120)
    world.reset(seed=0)
    rates["ZoneScaling-v0, world"] = rate_of(lambda: world.step(KEEP), 1, 15)
    print(f"{'':34s}{'zone-intervals/s':>18s}{'us each':>10s}{'x world':>9s}")
    for name, rate in rates.items():
        print(f"{name:34s}{rate:18,.0f}{1e6 / rate:10.1f}{rate / rates['ZoneScaling-v0, world']:9.0f}")


def closeness(hours: float, seed: int = 3) -> None:
    """The world and the fluid side by side."""
    intervals = round(60 * hours)
    scenario = load("one-zone", **{"city.start_hour": 10.0, "max_steps": 60 * (intervals + 10)})
    print(f"{'split':22s}{'sizes':20s}{'':7s}" + "".join(f"{name:>10s}" for name in COLUMNS))
    for split in SPLITS:
        for size in SIZES:
            world = WorldZones(scenario, split)
            world.reset([seed], 10)
            fluid = FluidZones(world.demand, single=True, split=Split.read(split))
            fluid.reset([seed], 10)
            for name, zones in (("world", world), ("fluid", fluid)):
                numbers = measured(zones, size, intervals)
                print(f"{split:22s}{'{:g}, {:g}, {:g}'.format(*size):20s}{name:7s}"
                      + "".join(f"{number:10,.2f}" for number in numbers), flush=True)  # fmt: skip


def measured(zones: WorldZones | FluidZones, size: tuple[float, float, float], intervals: int) -> list[float]:
    """Numbers of :data:`COLUMNS`; latency over requests, `late` are intervals with a mean above two seconds."""
    outcomes = [zones.advance(np.array([[size]])) for _ in range(intervals)]
    completed = np.array([outcome.completed[0, 0] for outcome in outcomes])
    used = np.array([outcome.used[0, 0] for outcome in outcomes])
    requests = sum(float(outcome.requests[0, 0]) for outcome in outcomes)
    lost = sum(float(outcome.lost[0, 0]) for outcome in outcomes)
    latency_ms = np.nansum(used[:, 3] * completed) / completed.sum()
    return [requests, *used[:, :3].mean(axis=0), latency_ms, 100 * lost / requests, 100 * (used[:, 3] > 2000).mean()]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("all", "speed", "closeness"), default="all")
    parser.add_argument("--hours", type=float, default=3.0)
    given = parser.parse_args()
    load_now = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    print(f"{platform.machine()}, Python {platform.python_version()}, {load_now}")
    if given.part in ("all", "speed"):
        speed()
    if given.part in ("all", "closeness"):
        closeness(given.hours)


if __name__ == "__main__":
    main()
