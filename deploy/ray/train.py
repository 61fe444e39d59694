"""What the RayJob runs: train the zones of a city on the cluster, and leave the agent in a folder. Change it freely."""

import argparse
import time
from pathlib import Path

from metalore.fluid import Demand
from metalore.learn.zones.rllib import RllibSettings, train_with_rllib
from metalore.learn.zones.settings import PRESETS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--city", default="city-30", help="a city of scenarios")
    parser.add_argument("--days", type=float, default=7.0, help="of its demand")
    parser.add_argument("--scale", type=float, default=0.4, help="of its people; 0.4 fits the published ranges")
    parser.add_argument("--address", help="of the Ray cluster; none: one of its own, here")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="the agent's folder; a run that was stopped goes on")
    options = parser.parse_args()

    # as many episodes for each worker as the default has, so that more workers see more in the same time
    settings = RllibSettings(workers=options.workers, iterations=options.iterations, episodes=4 * options.workers)
    result = train_with_rllib(
        Demand.drawn(options.city, days=options.days, scale=options.scale),
        PRESETS["shared"].environment,
        settings,
        options.out,
        seed=options.seed,
        resume=(options.out / "checkpoint").exists(),
        address=options.address,
        say=lambda row: print(time.strftime("%X"), {name: round(value, 4) for name, value in row.items()}, flush=True),
    )
    print(f"{result.folder}: reward {result.best:.4f} on validation days, {result.steps:,} zone-intervals")


if __name__ == "__main__":
    main()
