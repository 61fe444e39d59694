"""Your own scheduler: longest queue first, against equal parts.

A scheduler is a plain function that gives one attached device a weight; the band of its kind (requests or updates) is
divided in proportion to the weights at its station. It is compiled into the step.

Run: python examples/extending/own_scheduler.py
"""

from __future__ import annotations

import gymnasium
import numpy as np

from metalore import World, load_scenario
from metalore.world import totals_of

SPLIT = np.array([0.4, 0.5])


def longest_queue(
    jobs: float, backlog_mbit: float, spectral_efficiency: float, average_mbps: float, time_s: float
) -> float:
    """Most to whoever has most to send, nothing to whoever has nothing.

    A function sees one device, so a power stands for "the longest". A higher one comes closer, but weights hold for a
    whole step: what a device cannot use of its part before its queue is empty is not passed on.
    """
    return backlog_mbit**4


def main() -> None:
    # Users stand still, so that near and far ones stay what they are; the band is scarce.
    scenario = load_scenario("smart-city", users__mobility={"kind": "static"}, stations__0__bandwidth_hz=80e6)
    shares = np.broadcast_to(SPLIT, (32, 1, 2))
    print("32 cells of smart-city with 80 MHz and users at rest, split (0.4, 0.5); requests only, at the episode's end")
    print(f"{'scheduler':<16}{'Gbit sent':>11}{'bit/s/Hz':>10}{'mean backlog Mbit':>19}{'largest of 10':>15}")
    for name, function in (("equal parts", None), ("longest queue", longest_queue)):
        world = World(scenario, num_envs=32, scheduler=function)
        world.reset(seed=1)
        while not world.ended.all():
            world.step(shares)
        users = world.scenario.users.count
        sent = totals_of(world.episode_totals, "request_mbit_sent").mean()
        hertz = SPLIT[0] * scenario.stations[0].bandwidth_hz * scenario.max_steps * scenario.step_s
        backlog = world.devices["backlog"][:, :users]
        row = (
            f"{sent / 1e3:>11.2f}{sent * 1e6 / hertz:>10.2f}{backlog.mean():>19.1f}{backlog.max(axis=1).mean():>15.1f}"
        )
        print(f"{name:<16}{row}")

    # The same through Gymnasium.
    env = gymnasium.make("metalore/SmartCity-v0", scenario=scenario, scheduler=longest_queue)
    env.reset(seed=1)
    truncated = False
    while not truncated:
        _, _, _, truncated, info = env.step(SPLIT.astype(np.float32))
    print(f"through gymnasium.make: {info['episode_metrics']['requests_completed']:.0f} requests completed")


if __name__ == "__main__":
    main()
