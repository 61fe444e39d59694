"""The fluid against the world: the same people in `one-zone`, the same sizes, three hours at noon."""

from __future__ import annotations

import numpy as np
import pytest

from metalore.envs.zone_world import WorldZones
from metalore.fluid import FluidZones, Split
from metalore.scenario import load

INTERVALS, WARM = 120, 10
NOON = load("one-zone", **{"city.start_hour": 11.0, "max_steps": 60 * (INTERVALS + WARM)})
SIZES = {"large": (2.0, 2048.0, 200.0), "fitting": (1.0, 1024.0, 60.0), "little-memory": (0.5, 512.0, 60.0)}


def means(zones: WorldZones | FluidZones, size: tuple[float, float, float]) -> dict[str, float]:
    outcomes = [zones.advance(np.array([[size]])) for _ in range(INTERVALS)]
    completed = np.array([o.completed[0, 0] for o in outcomes])
    requests = sum(o.requests[0, 0] for o in outcomes)
    used = np.array([o.used[0, 0] for o in outcomes])
    return {
        "requests": requests,
        "cores": used[:, 0].mean(),
        "memory_mb": used[:, 1].mean(),
        "mbps": used[:, 2].mean(),
        "latency_ms": float(np.nansum(used[:, 3] * completed) / completed.sum()),
        "lost": sum(o.lost[0, 0] for o in outcomes) / requests,
    }


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("split", ["backlog-proportional", "fixed:0.7,0.7"])
def test_same_people_same_sizes(split: str, name: str) -> None:
    world = WorldZones(NOON, split)
    world.reset([3], WARM)
    fluid = FluidZones(world.demand, single=True, split=Split.read(split))
    fluid.reset([3], WARM)
    truth, ours = means(world, SIZES[name]), means(fluid, SIZES[name])
    for column in ("requests", "cores", "mbps"):
        assert ours[column] == pytest.approx(truth[column], rel=0.05), column
    assert ours["memory_mb"] == pytest.approx(truth["memory_mb"], rel=0.1)
    assert ours["latency_ms"] == pytest.approx(truth["latency_ms"], rel=0.3)
    assert ours["lost"] == pytest.approx(truth["lost"], abs=0.05)
