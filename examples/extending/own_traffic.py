"""Your own traffic: a crowd that asks in bursts, five seconds in every twenty, at the same mean rate as before.

A traffic function is called once per device and step. It says whether a job is created and how large it is, and is
compiled into the step. It replaces the built-in traffic of users and sensors.

Run: python examples/extending/own_traffic.py
"""

from __future__ import annotations

import gymnasium
import numpy as np

from metalore import World, load_scenario
from metalore.policies.rollout import measures_of
from metalore.world import totals_of

CYCLE_S, ON_S, CHANCE_ON = 20.0, 5.0, 0.8
MEAN_CHANCE = CHANCE_ON * ON_S / CYCLE_S
SPLIT = np.array([0.3, 0.3])


def bursts(
    time_s: float, device: float, is_sensor: float, u0: float, u1: float, u2: float, u3: float
) -> tuple[float, float, float]:
    """(created, Mbit, Gcycle): sensors report every second, everybody asks in the first seconds of each cycle."""
    if is_sensor == 1.0:
        return 1.0, 30.0, 3.0
    asking = time_s % CYCLE_S < ON_S and u0 < CHANCE_ON
    return (1.0 if asking else 0.0), 50.0, 5.0


def even(
    time_s: float, device: float, is_sensor: float, u0: float, u1: float, u2: float, u3: float
) -> tuple[float, float, float]:
    """The same load without bursts."""
    if is_sensor == 1.0:
        return 1.0, 30.0, 3.0
    return (1.0 if u0 < MEAN_CHANCE else 0.0), 50.0, 5.0


def main() -> None:
    scenario = load_scenario("smart-city", max_steps=400)
    shares = np.broadcast_to(SPLIT, (32, 1, 2))
    print(
        "32 cells of smart-city for 400 steps, split (0.3, 0.3); requests of 50 Mbit and 5 Gcycle, 0.2 a user and step"
    )
    print(f"{'traffic':<10}{'asked Gbit':>12}{'mean AoRI s':>13}{'late':>8}")
    for name, function in (("even", even), ("bursts", bursts)):
        world = World(scenario, num_envs=32, traffic=function)
        world.reset(seed=1)
        while not world.ended.all():
            world.step(shares)
        measures = measures_of(world)  # one number for each cell
        asked = totals_of(world.episode_totals, "request_mbit_generated").mean() / 1000
        aori_s, late = measures["aori_s"].mean(), measures["requests_late_share"].mean()
        print(f"{name:<10}{asked:>12.1f}{aori_s:>13.2f}{late:>8.1%}")

    # The same through Gymnasium: when requests are created.
    env = gymnasium.make("metalore/SmartCity-v0", traffic=bursts)
    env.reset(seed=1)
    created = []
    for _ in range(40):
        env.step(SPLIT.astype(np.float32))
        created.append(int(totals_of(env.unwrapped.world.step_totals, "requests_generated")[0]))
    print("requests in each of 40 steps:", *created)


if __name__ == "__main__":
    main()
