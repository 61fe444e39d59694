"""How fast the simulator is: every figure the docs quote, each with its ratio to a plain-Python simulator in one run.

    make bench            # or: python benchmarks/simulator.py [--quick]

The plain-Python simulator is `tests/reference.py`, which does the same step, job by job, with objects and loops. Each
figure is the best of several rounds, because other work on the machine only ever slows a round down.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import gymnasium
import numpy as np

from metalore.scenario import Scenario, load
from metalore.world import World

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from reference import ReferenceWorld

ACTIONS = 16  # different sets of shares, used in turn: no step repeats the one before


def best(rounds: int, run: Callable[[], float]) -> float:
    """Largest of several rates."""
    return max(run() for _ in range(rounds))


def batch_rate(num_envs: int, threads: int, steps: int, scenario: Scenario | str = "smart-city") -> float:
    """Environment steps a second in a batch, resets included, fresh uniform shares every step."""
    world = World(scenario, num_envs, threads=threads)
    shares = np.random.default_rng(0).random((ACTIONS, num_envs, world.num_stations, 2))
    world.reset(seed=0)
    length = world.scenario.max_steps
    start = time.perf_counter()
    for t in range(steps):
        if t % length == 0 and t:
            world.reset()
        world.step(shares[t % ACTIONS])
    return steps * num_envs / (time.perf_counter() - start)


def single_rate(env: gymnasium.Env, steps: int) -> float:
    """Steps a second of one environment, resets included."""
    actions = np.random.default_rng(0).random((ACTIONS, *env.action_space.shape)).astype(np.float32)
    env.reset(seed=0)
    start = time.perf_counter()
    for t in range(steps):
        if env.step(actions[t % ACTIONS])[3]:
            env.reset()
    return steps / (time.perf_counter() - start)


def reference_rate(episodes: int) -> float:
    """Steps a second of the plain-Python simulator on the reference workload."""
    scenario = load("smart-city")
    shares = np.random.default_rng(0).random((ACTIONS, 2))
    start = time.perf_counter()
    for episode in range(episodes):
        world = ReferenceWorld(scenario, seed=episode)
        for t in range(scenario.max_steps):
            world.step([(float(shares[t % ACTIONS, 0]), float(shares[t % ACTIONS, 1]))])
    return episodes * scenario.max_steps / (time.perf_counter() - start)


def city(stations: int, users: int, sensors: int) -> Scenario:
    """A city with the reference's density of devices around each station."""
    side = int(np.ceil(np.sqrt(stations)))
    width = 200.0 * side
    places = [(100.0 + 200.0 * (i % side), 100.0 + 200.0 * (i // side)) for i in range(stations)]
    return load(
        {
            "max_steps": 20,
            "map": {"width_m": width, "height_m": width},
            "stations": [{"x_m": x, "y_m": y} for x, y in places],
            "users": {"count": users},
            "sensors": {"count": sensors, "placement": {"kind": "uniform", "spacing_m": 2.0}},
        }
    )


def seconds_of(program: str, **environment: str) -> float:
    """Wall time of a fresh interpreter running `program`."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", program], check=True, env={**os.environ, **environment}, stderr=subprocess.DEVNULL
    )
    return time.perf_counter() - start


def frame_rate(frames: int) -> float:
    """Frames a second of one environment stepped and drawn into an array of 900 x 600 pixels."""
    env = gymnasium.make("metalore/SmartCity-v0", render_mode="rgb_array")
    env.reset(seed=0)
    env.render()
    action = np.full(2, 0.3, np.float32)
    start = time.perf_counter()
    for _ in range(frames):
        if env.step(action)[3]:
            env.reset()
        env.render()
    return frames / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round of each")
    quick = parser.parse_args().quick
    rounds, steps = (1, 300) if quick else (7, 1500)
    processor = platform.processor() or platform.machine()
    print(f"machine: {processor}, {os.cpu_count()} cores, Python {platform.python_version()}")
    plain = best(2, lambda: reference_rate(2))
    print(f"\n{'reference workload (10 users, 15 sensors)':52s}{'steps/s':>14s}{'ratio':>10s}")

    def line(what: str, rate: float) -> None:
        print(f"{what:52s}{rate:14,.0f}{rate / plain:10,.0f}", flush=True)

    line("plain Python (tests/reference.py)", plain)
    for size in (16, 32, 64, 256, 1024):
        line(
            f"batch of {size}, one thread",
            best(rounds, lambda size=size: batch_rate(size, 1, max(100, steps * 16 // size))),
        )
    line("batch of 256, two threads", best(rounds, lambda: batch_rate(256, 2, steps // 8)))
    env = gymnasium.make("metalore/SmartCity-v0")
    line("one environment, unwrapped", best(rounds, lambda: single_rate(env.unwrapped, steps * 10)))
    line("one environment, gymnasium.make", best(rounds, lambda: single_rate(env, steps * 10)))

    drawn = best(rounds, lambda: frame_rate(200))
    print(f"{'one environment, stepped and drawn (frames/s)':52s}{drawn:14,.0f}")

    print(f"\n{'one world of a growing city':52s}{'ms/step':>14s}{'ns/device':>10s}")
    for stations in (10, 100, 250, 500, 1_000):
        users = sensors = 50 * stations
        rate = batch_rate(1, 1, 20, city(stations, users, sensors))
        devices = users + sensors
        print(
            f"{f'{users:,} users, {sensors:,} sensors, {stations:,} stations':52s}"
            f"{1e3 / rate:14,.2f}{1e9 / rate / devices:10,.0f}",
            flush=True,
        )

    print(f"\nmemory of one environment of the batch: {World('smart-city', 16).nbytes():,} bytes")
    first = "import numpy as np, metalore; w = metalore.World(); w.reset(seed=0); w.step(np.full((1, 1, 2), .5))"
    print(f"import and first step, compiled before: {min(seconds_of(first) for _ in range(3)):.2f} s")
    if not quick:
        with tempfile.TemporaryDirectory() as cache:
            print(f"import and first step, first time ever: {seconds_of(first, NUMBA_CACHE_DIR=cache):.1f} s")


if __name__ == "__main__":
    main()
