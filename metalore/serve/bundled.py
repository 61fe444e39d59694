"""The small model that is served if none is named: a graph network on a day of the built-in city.

`make model`, or `python -m metalore.serve.bundled [FOLDER]`, records the city and trains; together less than a minute
on an idle core, once the simulator is compiled. It is there to try the service out, and knows one day only.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from metalore.forecast import Panel, Split, evaluate, make_forecaster, save_forecaster
from metalore.serve.settings import BUNDLED

CITY, DAY_S, INTERVAL_S = "city-30", 86_400.0, 60.0
HORIZONS = (1, 5, 15)
"""Minutes ahead."""


def make_bundled(folder: Path, duration_s: float = DAY_S, epochs: int = 6) -> None:
    """Record, train, and save.

    Args:
        folder: where to; a forecaster that was there is replaced.
        duration_s: of the recording.
        epochs: of training, at most.
    """
    from metalore.policies import make_policy
    from metalore.scenario import load
    from metalore.telemetry import record

    with tempfile.TemporaryDirectory() as run:
        recording = record(
            load(CITY), Path(run) / "run", make_policy("fixed:0.5,0.5"), duration_s=duration_s, interval_s=INTERVAL_S
        )
        panel = Panel.of(recording, inputs=("active_users",), events=(), event_values=None)
    split = Split.by_parts(panel)
    # Without hubs a zone's forecast looks at its surroundings only, so that single zones are forecast fast.
    forecaster = make_forecaster(
        "stgnn", window=12, hidden=32, hubs=0, calendar=False, past=False, recipe={"epochs": epochs}, device="cpu"
    ).fit(panel, split, HORIZONS)
    save_forecaster(forecaster, folder, panel=panel, split=split, scores=evaluate(forecaster, panel, split))


if __name__ == "__main__":
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else BUNDLED
    print(f"recording a day of {CITY} and training on it: less than a minute on an idle core ...", flush=True)
    make_bundled(where)
    print(f"the model is in {where}")
