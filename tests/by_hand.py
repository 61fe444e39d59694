"""Worlds so small that what comes of them can be worked out by hand."""

from __future__ import annotations

from typing import Any

from metalore.scenario import Scenario, load


def constant(value: float) -> dict[str, Any]:
    """A size that is always the same."""
    return {"mean": value, "distribution": "constant", "minimum": 0.0}


def one_of_each(name: str = "by-hand", **changes: Any) -> Scenario:
    """A user who asks and a sensor that reports in every one of ten steps, right beside a fast station."""
    return load(
        {
            "name": name,
            "max_steps": 10,
            "stations": [{"compute_gcycle_s": 10.0}],
            "users": {
                "count": 1,
                "mobility": {"kind": "static"},
                "positions_m": [[110.0, 100.0]],
                "requests": {"probability": 1.0, "data_mbit": constant(1.0), "compute_gcycle": constant(5.0)},
            },
            "sensors": {
                "count": 1,
                "placement": {"kind": "fixed", "positions_m": [[100.0, 110.0]]},
                "updates": {"data_mbit": constant(1.0), "compute_gcycle": constant(5.0)},
            },
        },
        **changes,
    )
