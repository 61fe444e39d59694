"""Your own channel: free-space path loss in place of Okumura-Hata.

A channel is a plain function of numbers that returns a loss in dB. It is compiled into the step.

Run: python examples/extending/own_channel.py
"""

from __future__ import annotations

import math

import gymnasium
import numpy as np

from metalore import World
from metalore.world import totals_of

SPLIT = np.array([0.5, 0.5])


def free_space(
    distance_m: float, carrier_mhz: float, station_height_m: float, device_height_m: float, luck: float
) -> float:
    """Friis 1946: 20 log10(4 pi d f / c), with d the distance in space and `distance_m` the one in the plane."""
    rise = station_height_m - device_height_m
    d = math.sqrt(distance_m * distance_m + rise * rise)
    return 20.0 * math.log10(4.0 * math.pi * d * carrier_mhz * 1e6 / 299_792_458.0)


def episode(world: World) -> tuple[float, float]:
    """Mean spectral efficiency of the users in bit/s/Hz, and Gbit of updates sent, in the episode of seed 1."""
    world.reset(seed=1)
    users, efficiencies = world.scenario.users.count, []
    while not world.ended.all():
        world.step(np.broadcast_to(SPLIT, (1, 1, 2)))
        efficiencies.append(world.devices["efficiency"][0, :users].mean())
    return float(np.mean(efficiencies)), float(totals_of(world.episode_totals, "update_mbit_sent")[0]) / 1000


def main() -> None:
    print("smart-city, seed 1, split (0.5, 0.5): the same people, walks and jobs in both rows")
    print(f"{'channel':<14}{'bit/s/Hz of users':>19}{'updates sent, Gbit':>20}")
    for name, function in (("Okumura-Hata", None), ("free space", free_space)):
        efficiency, updates = episode(World("smart-city", channel=function))
        print(f"{name:<14}{efficiency:>19.2f}{updates:>20.1f}")

    # The same through Gymnasium.
    env = gymnasium.make("metalore/SmartCity-v0", channel=free_space)
    env.reset(seed=1)
    truncated = False
    while not truncated:
        _, _, _, truncated, info = env.step(SPLIT.astype(np.float32))
    sent = info["episode_metrics"]["update_mbit_sent"] / 1000
    print(f"through gymnasium.make: {sent:.1f} Gbit of updates sent in free space")


if __name__ == "__main__":
    main()
