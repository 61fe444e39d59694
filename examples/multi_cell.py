"""One policy that all cells share: learned on four cells, used by twelve; and one agent per cell under PettingZoo.

Run: python examples/multi_cell.py [--steps 400000]      (needs the extras `learn` and `multi`)
"""

from __future__ import annotations

import argparse
import tempfile

import numpy as np

from metalore.envs import multi_cell_v0
from metalore.learn import PRESETS, LearnedPolicy, train
from metalore.learn.evaluation import evaluate
from metalore.policies import make_policy
from metalore.scenario import Scenario, load

SEEDS = range(2 * 10**15, 2 * 10**15 + 8)  # for judging; training uses others


def city(columns: int, rows: int) -> Scenario:
    """Stations 200 m apart, with as many users and sensors for each as in the built-in city of four."""
    stations = [{"x_m": 100.0 + 200.0 * x, "y_m": 100.0 + 200.0 * y} for y in range(rows) for x in range(columns)]
    return load(
        {
            "name": f"city of {len(stations)}",
            "max_steps": 100,
            "map": {"width_m": 200.0 * columns, "height_m": 200.0 * rows},
            "stations": stations,
            "users": {"count": 10 * len(stations)},
            "sensors": {"count": 15 * len(stations)},
        }
    )


def walk_through(policy: LearnedPolicy, scenario: Scenario) -> float:
    """One episode of the parallel environment with an agent per cell, all of them acting by the shared network."""
    settings = policy.settings
    env = multi_cell_v0.parallel_env(scenario, observation=settings.observation, neighbours=settings.neighbours)
    seen, _ = env.reset(seed=SEEDS.start)
    total = 0.0
    while env.agents:
        shares = policy.act(np.stack([seen[agent] for agent in env.agents]))
        seen, rewards, *_ = env.step(dict(zip(env.agents, shares, strict=True)))
        total += sum(rewards.values())
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400_000, help="steps of cells to train for")
    settings = PRESETS["multi-cell"].model_copy(update={"steps": parser.parse_args().steps, "evaluation_episodes": 20})
    with tempfile.TemporaryDirectory() as folder:
        shared = train(load("four-cells"), settings, folder, seed=1).policy
    cities = [load("four-cells"), city(4, 3)]
    judged = evaluate({"even": make_policy("fixed:0.5,0.5"), "shared": shared}, cities, SEEDS)
    for scenario in cities:
        for name, done in judged.results[scenario.name].items():
            per_cell = done.episodes["return"].mean() / len(scenario.stations)
            print(f"{scenario.name}: {name} brings each cell {per_cell:.0f} an episode")
    together = judged.results["four-cells"]["shared"].episodes["return"][0]
    print(f"the batch in the first episode: {together:.1f}")
    print(f"one agent per cell in the first episode: {walk_through(shared, cities[0]):.1f}")


if __name__ == "__main__":
    main()
