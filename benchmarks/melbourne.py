"""Do people in a recorded city follow the counts it was made from?

    metalore data city melbourne --data DIR --from 2022-08-01 --days 7 --users 2000 --out melbourne
    metalore record melbourne/city.toml --days 7 --interval 300 --out melbourne/week
    python benchmarks/melbourne.py melbourne melbourne/week

Prints correlations between people counted and users recorded, by zone and hour. Hours that nobody counted are left
out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from metalore.telemetry import as_array, read_telemetry

HOUR_S = 3600.0


def hourly_users(recording: Path) -> tuple[list[str], np.ndarray]:
    """Names of zones, and their users [hours, z]."""
    times, zones, values = as_array(read_telemetry(recording), ["active_users"])
    users = values[:, :, 0]
    hours = (times // HOUR_S).astype(int)
    return list(zones), np.array([users[hours == hour].mean(axis=0) for hour in range(hours.max() + 1)])


def counted_people(file: Path, zones: list[str], hours: int) -> np.ndarray:
    """People [hours, z], NaN where nobody counted."""
    rows = pd.read_csv(file)
    table = rows.pivot(index="hour", columns="zone", values="people")
    return table.reindex(index=range(hours), columns=zones).to_numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("city", type=Path, help="folder of metalore data city")
    parser.add_argument("recording", type=Path, help="folder of metalore record")
    chosen = parser.parse_args()
    zones, users = hourly_users(chosen.recording)
    people = counted_people(chosen.city / "counts.csv", zones, len(users))
    counted = np.isfinite(people).any(axis=0)
    known = np.isfinite(people)
    print(f"{len(users)} hours, {len(zones)} zones, {counted.sum()} of them with a counter")
    print(f"zones and hours together: correlation {np.corrcoef(people[known], users[known])[0, 1]:.3f}")
    means = np.nanmean(people[:, counted], axis=0), users[:, counted].mean(axis=0)
    print(f"means of zones: correlation {np.corrcoef(*means)[0, 1]:.3f}")
    everywhere = known[:, counted].all(axis=1)
    total = people[everywhere][:, counted].sum(axis=1), users[everywhere].sum(axis=1)
    print(f"the city's total by hour: correlation {np.corrcoef(*total)[0, 1]:.3f}")
    each = np.array([np.corrcoef(people[known[:, z], z], users[known[:, z], z])[0, 1] for z in np.flatnonzero(counted)])
    print(f"each zone by hour: correlation {each.min():.2f} to {each.max():.2f}, median {np.median(each):.2f}")
    print(f"users in zones with a counter: {users[:, counted].sum() / users.sum():.3f}")


if __name__ == "__main__":
    main()
