"""A panel made up: rhythms of the day that differ between zones and on weekends, noise, and gaps."""

from __future__ import annotations

from typing import Any

import numpy as np

from metalore.forecast import Edges, Panel

HOUR_S = 3600.0


def panel(
    hours: int = 24 * 7 * 6, zones: int = 3, targets: int = 2, gaps: float = 0.02, seed: int = 0, **fields: Any
) -> Panel:
    """Hourly from a Monday on, six weeks of three zones with two targets."""
    random = np.random.default_rng(seed)
    t = np.arange(hours)
    weekend = (t // 24) % 7 >= 5
    values = np.empty((hours, zones, targets))
    for z in range(zones):
        rhythm = np.sin(2 * np.pi * (t - 3 * z) / 24) * np.where(weekend, 0.3, 1.0)
        for f in range(targets):
            values[:, z, f] = 10.0 ** (f + 1) * (2 + z + rhythm + 0.1 * random.standard_normal(hours))
    values[random.random(values.shape) < gaps] = np.nan
    return Panel(**{
        "times": t * HOUR_S,
        "zones": tuple(f"zone-{z}" for z in range(zones)),
        "targets": ("cpu", "memory")[:targets] if targets <= 2 else tuple(f"target-{f}" for f in range(targets)),
        "values": values,
        "interval_s": HOUR_S,
        "edges": Edges.of_matrix(np.eye(zones, k=1)),
        "name": "the made panel",
        **fields,
    })  # fmt: skip
