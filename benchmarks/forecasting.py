"""Forecasts of public data and of the built-in city: everybody under the same protocol, beside the known results.

    python benchmarks/forecasting.py melbourne los-loop barcelona city --data ~/data
    python benchmarks/forecasting.py melbourne --only ridge "stgnn graph=false hubs=0" --out results/forecasting
    python benchmarks/forecasting.py barcelona --choose --data ~/data
    python benchmarks/forecasting.py los-loop --ablate --data ~/data
    python benchmarks/forecasting.py intent speed --data ~/data

Public data are not part of the project: `metalore data` says where they come from. METALORE_DATA stands for --data.
`city` is a recording in that folder (`metalore record city-30 --days 28 --out ~/data/city-30`, about 12 minutes);
`intent` records its own there. What does not draw at random runs once, whatever --seeds says. Times are of the wall
clock, in one process with one thread unless OMP_NUM_THREADS says otherwise. `metalore forecast compare` does the same
and makes a page of it.

The settings of `stgnn` are one of a short list for each protocol, chosen on the validation part (`--choose`).
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import festival
import numpy as np
import pandas as pd

from metalore.forecast import NAMES, PROTOCOLS, Edges, Panel, Split, evaluate, make_forecaster, protocol, summary
from metalore.forecast.protocol import Protocol
from metalore.forecast.registry import forecaster_of

LEFT_OUT = {"los-loop": ("last-week", "weeks-mean"), "barcelona": ("last-week", "weeks-mean")}
"""Data shorter than two weeks have no week before."""
CHOICES = (
    "stgnn",
    "stgnn recipe.passed=0",
    "stgnn hidden=128 dropout=0.3 recipe.epochs=16",
    "stgnn hidden=128 dropout=0.3 recipe.epochs=16 calendar=false",
    "stgnn hidden=128 dropout=0.3 recipe.epochs=16 calendar=false recipe.passed=0",
    "stgnn relative=true calendar=false straight=false",
)
CHOSEN = {"melbourne": CHOICES[0], "los-loop": CHOICES[2], "barcelona": CHOICES[5], "city": CHOICES[4]}
"""The best on the validation part (`--choose`); the defaults where nothing is better by a hundredth."""
ABLATIONS = ("graph=false hubs=0", "graph=false", "hubs=0", "calendar=false", "past=false", "inductive=true",
             "straight=false", "window={half}", "window={twice}")  # fmt: skip
SHOWN = ["panel", "forecaster", "horizon", "target", "mae", "mae_sd", "rmse", "rmse_sd", "wape", "nrmse",
         "quantile_loss", "coverage_10", "coverage_90", "train_s", "inference_ms", "seeds"]  # fmt: skip


def say(line: str) -> None:
    """At once, also into a file."""
    print("  " + line, flush=True)


def show(table: pd.DataFrame) -> None:
    """Print the columns that say something."""
    columns = [column for column in table if table[column].notna().any()]
    with pd.option_context("display.width", 250, "display.max_columns", 30, "display.max_rows", 1000):
        print(table[columns].to_string(index=False, float_format=lambda x: f"{x:.4g}"), flush=True)


# -- protocols ---------------------------------------------------------------------------------------------------------


def compared(judged: Protocol, only: list[str], seeds: int) -> pd.DataFrame:
    """The table of a protocol, over seeds where they matter."""
    wanted = [text for text in only or NAMES if text not in LEFT_OUT.get(judged.name, ())]
    wanted = [CHOSEN[judged.name] if text == "stgnn" and not only else text for text in wanted]
    table = judged.compare(wanted, range(seeds), say=say)
    means = summary(table)
    show(means[[column for column in SHOWN if column in means]])
    if judged.name == "barcelona":
        print("\nmean NRMSE of the five targets")
        print(means.pivot_table(index="forecaster", columns="panel", values="nrmse", sort=False).round(4))
    return table


def chosen(judged: Protocol) -> pd.DataFrame:
    """Each of the choices on the validation part: MAE and RMSE over those of the last value, mean over all."""
    rows = []
    for text in CHOICES:
        for name, (panel, split) in judged.panels.items():
            both = [
                evaluate(
                    forecaster_of(each, {"window": judged.window}).fit(panel, split, judged.horizons, 0),
                    panel, split, "validation", groups=judged.groups, window=judged.window,
                )[["mae", "rmse"]].to_numpy()
                for each in (text, "last-value")
            ]  # fmt: skip
            rows.append({"forecaster": text, "panel": name, "of the last value": float((both[0] / both[1]).mean())})
            say(f"{text}, {name}: {rows[-1]['of the last value']:.4f}")
    table = pd.DataFrame(rows)
    show(table.groupby("forecaster", sort=False, as_index=False)["of the last value"].mean())
    return table


def ablated(judged: Protocol, whole: str, seeds: int) -> pd.DataFrame:
    """What each part of the network is worth: it, and it without the part."""
    sizes = {"half": judged.window // 2, "twice": 2 * judged.window}
    wanted = [whole, *(f"{whole} {change.format(**sizes)}" for change in ABLATIONS)]
    if judged.inside:  # the published windows lie in the test part, and a longer one has fewer
        wanted = [text for text in wanted if f"window={sizes['twice']}" not in text]
    table = judged.compare(wanted, range(seeds), say=say)
    means = summary(table)
    show(means[[column for column in SHOWN if column in means]])
    few = [h for h in judged.horizons if h <= max(judged.horizons) // 4]
    if few:
        for name, (panel, split) in judged.panels.items():
            near = [near_only(whole, judged, panel, split, few, seed) for seed in range(seeds)]
            say(f"{name}, made for {few[0]} to {few[-1]} ahead only: MAE, RMSE {np.mean(near, axis=0).round(4)}")
    return table


def near_only(text: str, judged: Protocol, panel: Panel, split: Split, horizons: list[int], seed: int) -> np.ndarray:
    """MAE and RMSE of each target over a few horizons, by a network that was made for them only."""
    fitted = forecaster_of(text, {"window": judged.window}).fit(panel, split, horizons, seed)
    scores = evaluate(fitted, panel, split, groups={"near": horizons}, window=judged.window, inside=judged.inside)
    return scores[["mae", "rmse"]].to_numpy()


# -- intent ------------------------------------------------------------------------------------------------------------


def intent(data: Path, seeds: int) -> pd.DataFrame:
    """Forecasts with and without intent, where nothing else announces events."""
    panel = festival.recorded(data / "festival", say)
    split, scenario = Split.by_parts(panel), festival.scenario()
    assert scenario.city is not None
    judged = [e for e in scenario.city.events if panel.times[split.test] + 7200 < e.from_s < panel.times[-1] - 7200]
    tables = []
    for seed in range(seeds):
        for name, setting in (("with intent", "true"), ("without", "false")):
            fitted = forecaster_of(f"stgnn intent={setting}").fit(panel, split, range(1, 13), seed)
            table = festival.verdict(fitted, panel, split, judged)
            early = {target: festival.warning_minutes(fitted, panel, judged, target) for target in panel.targets}
            table["early_min"] = table["target"].map({target: np.nanmedian(of) for target, of in early.items()})
            tables.append(table.assign(forecaster=name, seed=seed))
            say(f"{name}, seed {seed}: demand at half of its rise is forecast {early['cpu_cores'][:8]} min early")
    table = pd.concat(tables, ignore_index=True)
    of_all = table[table["horizon"].isin([1, 3, 6, 12])].groupby(["target", "when", "horizon", "forecaster"])
    means = of_all[["mae", "rmse", "early_min"]].mean().join(of_all["mae"].std().rename("mae_sd")).reset_index()
    print(f"\n{len(judged)} events in the test part")
    show(means)
    return table


# -- speed -------------------------------------------------------------------------------------------------------------


def speed() -> pd.DataFrame:
    """One forecast of so many zones: time and memory."""
    rows = []
    for zones in (30, 10_000):
        rng = np.random.default_rng(0)
        near = np.arange(zones)[:, None] + np.arange(1, 7)
        edges = Edges(np.repeat(np.arange(zones), 6), (near % zones).ravel(), np.ones(6 * zones), zones)
        panel = Panel(60.0 * np.arange(120), [f"zone-{z}" for z in range(zones)],
                      ("cpu_cores", "memory_mb", "bandwidth_mbps", "latency_ms"),
                      rng.standard_normal((120, zones, 4)), 60.0, edges=edges)  # fmt: skip
        quick = {"epochs": 1, "windows": 1}
        fitted = make_forecaster("stgnn", recipe=quick).fit(panel, Split(60, 90, 120), range(1, 13))
        took = []
        for _ in range(30 if zones < 1000 else 5):
            begin = time.perf_counter()
            fitted.predict(panel, [119])
            took.append(time.perf_counter() - begin)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rows.append({"zones": zones, "forecast_ms": 1e3 * statistics.median(took), "peak_mb_of_the_process": peak})
    table = pd.DataFrame(rows)
    show(table)
    return table


# -- command -----------------------------------------------------------------------------------------------------------


def main() -> None:
    others = ("intent", "speed")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", nargs="*", default=list(PROTOCOLS), help=", ".join((*PROTOCOLS, *others)))
    parser.add_argument("--data", type=Path, default=os.environ.get("METALORE_DATA"), help="folder with the data")
    parser.add_argument("--only", nargs="+", default=[], help=f"{', '.join(NAMES)}; settings after a name")
    parser.add_argument("--choose", action="store_true", help="settings of stgnn, on the validation part")
    parser.add_argument("--ablate", action="store_true", help="stgnn, or what --only says, without each of its parts")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="folder for a CSV of each, a row per seed")
    given = parser.parse_args()
    if given.data is None and given.what != ["speed"]:
        parser.error("where is the data? Give --data or set METALORE_DATA")
    data, seeds = Path(given.data or "."), given.seeds
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, "
          f"{os.environ['OMP_NUM_THREADS']} thread(s), {os.cpu_count()} cores")  # fmt: skip
    for name in given.what:
        print(f"\n{name}", flush=True)
        if name in others:
            table = intent(data, seeds) if name == "intent" else speed()
        else:
            judged = protocol(name, data)
            print(f"known: {judged.known}", flush=True)
            if given.choose:
                table = chosen(judged)
            elif given.ablate:
                table = ablated(judged, (given.only or [CHOSEN[name]])[0], seeds)
            else:
                table = compared(judged, given.only, seeds)
        if given.out:
            given.out.mkdir(parents=True, exist_ok=True)
            kind = "-chosen" if given.choose else "-ablated" if given.ablate else ""
            table.to_csv(given.out / f"{name}{kind}.csv", index=False)


if __name__ == "__main__":
    main()
