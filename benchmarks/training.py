"""Steps a second of PPO end to end, and where the time goes.

    python benchmarks/training.py [--steps 128000]

Times the parts of the default run (no evaluations): stepping the worlds, choosing actions, learning, the rest.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch

from metalore.learn import PRESETS
from metalore.learn.adapter import training_env
from metalore.learn.algorithms import make_model
from metalore.scenario import load
from metalore.world import World


class Stopwatch:
    """Adds up the time that calls take."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, timed."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - start

        return timed


def measure(steps: int, torch_threads: int) -> tuple[float, dict[str, float]]:
    """Steps a second, and the seconds of each part."""
    torch.set_num_threads(torch_threads)
    settings = PRESETS["default"]
    world = World(load("smart-city"), settings.num_envs)
    env = training_env(world, settings, seed=0)
    model = make_model(settings, env, seed=0)
    watches = {name: Stopwatch() for name in ("worlds", "batch and normalization", "actions and values", "learning")}
    world.step = watches["worlds"].around(world.step)  # type: ignore[method-assign]  # timed here only
    env.step_wait = watches["batch and normalization"].around(env.step_wait)  # type: ignore[method-assign]
    model.policy.forward = watches["actions and values"].around(model.policy.forward)
    model.train = watches["learning"].around(model.train)
    start = time.perf_counter()
    model.learn(steps)
    total = time.perf_counter() - start
    parts = {name: watch.seconds for name, watch in watches.items()}
    parts["batch and normalization"] -= parts["worlds"]
    parts["the rest"] = total - sum(parts.values())
    return model.num_timesteps / total, parts


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=128_000, help="environment steps of each run")
    steps = parser.parse_args().steps
    measure(6_400, 1)  # compile, load, warm up
    for threads in (1, torch.get_num_threads() if torch.get_num_threads() > 1 else 2):
        rate, parts = measure(steps, threads)
        print(f"PPO, default preset, {threads} torch thread(s): {rate:,.0f} environment steps/s")
        whole = sum(parts.values())
        for name, seconds in parts.items():
            print(f"  {name:26s}{100 * seconds / whole:6.1f} %")


if __name__ == "__main__":
    main()
