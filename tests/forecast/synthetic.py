"""Panels made up: rhythms of the day that differ between zones and on weekends; zones that follow each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from metalore.forecast import Edges, Forecaster, Panel, Split

HOUR_S = 3600.0


def panel(
    hours: int = 24 * 7 * 6, zones: int = 3, targets: int = 2, gaps: float = 0.02, seed: int = 0, **fields: Any
) -> Panel:
    """Hourly from a Monday on, six weeks of three zones with two targets, noise, and gaps."""
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


def follower(zones: int = 4, rows: int = 1500, seed: int = 0) -> Panel:
    """Nobody can foresee zone 0; every other zone repeats the one before it, two intervals later."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal(rows + 2 * zones)
    values = np.stack([noise[2 * (zones - z) :][:rows] for z in range(zones)], axis=1)[..., None]
    names = tuple(f"zone-{z}" for z in range(zones))
    edges = Edges(np.arange(zones - 1), np.arange(1, zones), np.ones(zones - 1), zones)
    return Panel(np.arange(rows) * 60.0, names, ("x",), 5 + values, 60.0, edges=edges)


def error_of(forecaster: Forecaster, made: Panel, split: Split) -> np.ndarray:
    """RMSE of each zone on the test part, over all horizons and targets."""
    origins = split.origins("test", forecaster.horizons, forecaster.window)
    errors = forecaster.predict(made, origins)[..., 1] - made.actual(origins, forecaster.horizons)
    rmse: np.ndarray = np.sqrt((errors**2).mean(axis=(0, 2, 3)))
    return rmse
