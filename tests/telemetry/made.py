"""A table made up: three zones over some days, with a rhythm that neighbours share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from metalore.telemetry import QUANTITIES, ZoneGraph

ZONES = ("west", "middle", "east")


def graph() -> ZoneGraph:
    """Zones in a row, 100 m apart."""
    return ZoneGraph.from_distances(np.array([(0.0, 0.0), (100.0, 0.0), (200.0, 0.0)]), ZONES, neighbours=1)


def table(intervals: int = 48, interval_s: float = 1800.0, **columns: Any) -> pd.DataFrame:
    """Rows in order; every quantity 0.5 unless `columns` say otherwise ([t * z] or one value)."""
    rows = {
        "time_s": np.repeat(np.arange(intervals) * interval_s, len(ZONES)),
        "zone": list(ZONES) * intervals,
        **dict.fromkeys(QUANTITIES, 0.5),
        **columns,
    }
    return pd.DataFrame(rows)
