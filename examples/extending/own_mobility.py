"""Your own mobility: people who gather at a square in the south-west and mill about there.

A mobility is a plain function of a person's position, four numbers of memory and four random numbers; it returns the
next position and memory. It is compiled into the step.

Run: python examples/extending/own_mobility.py
"""

from __future__ import annotations

import math

import gymnasium
import numpy as np

from metalore import World, load_scenario

SQUARE = (40.0, 40.0)  # its middle; constants are taken in when the function is compiled
SIDE_M = 20.0
SPLIT = np.array([0.5, 0.5])


def gather(
    x_m: float,
    y_m: float,
    m0: float,
    m1: float,
    m2: float,
    m3: float,
    step_s: float,
    width_m: float,
    height_m: float,
    u0: float,
    u1: float,
    u2: float,
    u3: float,
) -> tuple[float, float, float, float, float, float]:
    """Walk straight to a random spot on the square, then to another one.

    Memory is all zeros when somebody arrives; here m0 and m1 hold the spot, m2 the walking speed in m/s.
    """
    if m2 == 0.0:
        m0, m1 = SQUARE[0] + (u0 - 0.5) * SIDE_M, SQUARE[1] + (u1 - 0.5) * SIDE_M
        m2 = 1.0 + u2
    dx, dy = m0 - x_m, m1 - y_m
    distance, reach = math.sqrt(dx * dx + dy * dy), m2 * step_s
    if distance <= reach:
        return m0, m1, 0.0, 0.0, 0.0, 0.0  # there; the next step draws another spot
    return x_m + dx / distance * reach, y_m + dy / distance * reach, m0, m1, m2, m3


def to_square_m(positions: np.ndarray) -> float:
    """Mean distance to the square's middle of `positions` [e, users, 2]."""
    return float(np.linalg.norm(positions - SQUARE, axis=-1).mean())


def main() -> None:
    scenario = load_scenario("smart-city", max_steps=200)
    shares = np.broadcast_to(SPLIT, (64, 1, 2))
    print("64 cities, 10 people each; the station stands in the middle of the map, 85 m from the square")
    print(f"{'':<18}{'':>6}{'metres to the square':>22}{'bit/s/Hz of users':>20}")
    for name, function in (("random waypoint", None), ("gathering", gather)):
        world = World(scenario, num_envs=64, mobility=function)
        world.reset(seed=1)
        for t in range(1, 201):
            world.step(shares)
            if t in (1, 100, 200):
                efficiency = world.devices["efficiency"][:, : scenario.users.count].mean()
                print(f"{name:<18}t={t:<4}{to_square_m(world.user_positions):>22.1f}{efficiency:>20.2f}")

    # The same through Gymnasium.
    env = gymnasium.make("metalore/SmartCity-v0", scenario=scenario, mobility=gather)
    env.reset(seed=1)
    truncated = False
    while not truncated:
        _, _, _, truncated, _ = env.step(SPLIT.astype(np.float32))
    print(f"through gymnasium.make: {to_square_m(env.unwrapped.world.user_positions):.1f} m at the end")


if __name__ == "__main__":
    main()
