"""A demand of three zones made by hand, small enough to train on in a second."""

from __future__ import annotations

import numpy as np
import pytest

from metalore.fluid import Demand
from metalore.fluid.plenty import with_plenty


def small_demand(intervals: int = 400, zones: int = 3) -> Demand:
    """Zones whose requests rise and fall by the hour, each with its own phase."""
    hours = np.arange(intervals)[:, None] / 60.0
    requests = 60.0 * (1.2 + np.sin(2 * np.pi * (hours + np.arange(zones))))
    shape = requests.shape
    demand = Demand(
        zones=tuple(f"zone-{z}" for z in range(zones)),
        positions=np.stack([100.0 * np.arange(zones), np.zeros(zones)], axis=1),
        interval_s=60.0,
        start_s=0.0,
        users=np.full(shape, 20.0),
        requests=requests,
        request_mbit=np.full(shape, 4.0),
        request_gcycle=np.full(shape, 0.6),
        updates=np.full(zones, 0.5),
        update_mbit=4.0,
        update_gcycle=0.3,
        update_period_s=10.0,
        floor_s=np.full(shape, 0.2),
        announced=np.ones(shape),
        used=np.full((*shape, 4), np.nan),
    )
    return with_plenty(demand)


@pytest.fixture(scope="session")
def demand() -> Demand:
    return small_demand()
