"""Forecasts of public data: everybody under the same protocol, beside the known results.

    python benchmarks/forecasting.py melbourne los-loop barcelona --data ~/data
    python benchmarks/forecasting.py melbourne --only ridge "stgnn graph=false hubs=0" --out results/forecasting

The data are not part of the project: `metalore data` says where they come from. METALORE_DATA stands for --data. What
does not draw at random runs once, whatever --seeds says. Times are of the wall clock, in one process with one thread
unless OMP_NUM_THREADS says otherwise. `metalore forecast compare` does the same and makes a page of it.
"""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pandas as pd

from metalore.forecast import NAMES, PROTOCOLS, protocol, summary

LEFT_OUT = {"los-loop": ("last-week", "weeks-mean"), "barcelona": ("last-week", "weeks-mean")}
"""Data shorter than two weeks have no week before."""
SHOWN = ["panel", "forecaster", "horizon", "target", "mae", "mae_sd", "rmse", "rmse_sd", "wape", "nrmse",
         "quantile_loss", "coverage_10", "coverage_90", "train_s", "inference_ms", "seeds"]  # fmt: skip


def one_protocol(name: str, data: Path, only: list[str], seeds: int) -> pd.DataFrame:
    """The table of a protocol, over seeds where they matter."""
    judged = protocol(name, data)
    print(f"\n{name}: known: {judged.known}", flush=True)
    wanted = [text for text in only or NAMES if text not in LEFT_OUT.get(name, ())]
    return judged.compare(wanted, range(seeds), say=lambda line: print("  " + line, flush=True))


def show(name: str, table: pd.DataFrame) -> None:
    """Print means over seeds; for Barcelona also the mean over targets that is published."""
    means = summary(table)
    columns = [column for column in SHOWN if column in means and means[column].notna().any()]
    with pd.option_context("display.width", 250, "display.max_columns", 30, "display.max_rows", 500):
        print(means[columns].to_string(index=False, float_format=lambda x: f"{x:.4g}"))
        if name == "barcelona":
            print("\nmean NRMSE of the five targets")
            print(means.pivot_table(index="forecaster", columns="panel", values="nrmse", sort=False).round(4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("protocols", nargs="*", default=list(PROTOCOLS), help=", ".join(PROTOCOLS))
    parser.add_argument("--data", type=Path, default=os.environ.get("METALORE_DATA"), help="folder with the data")
    parser.add_argument("--only", nargs="+", default=[], help=f"{', '.join(NAMES)}; settings after a name")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="folder for a CSV of each protocol, a row per seed")
    given = parser.parse_args()
    if given.data is None:
        parser.error("where is the data? Give --data or set METALORE_DATA")
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, "
          f"{os.environ['OMP_NUM_THREADS']} thread(s), {os.cpu_count()} cores")  # fmt: skip
    for name in given.protocols:
        table = one_protocol(name, given.data, given.only, given.seeds)
        show(name, table)
        if given.out:
            given.out.mkdir(parents=True, exist_ok=True)
            table.to_csv(given.out / f"{name}.csv", index=False)


if __name__ == "__main__":
    main()
