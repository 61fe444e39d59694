"""How soon a drift detector distrusts forecasts that have gone wrong, how soon it trusts them again, and false alarms.

    python benchmarks/distrust.py --seed 7 --forecaster last-value

The simulated city runs half a day under the forecast's recommender. Its forecasts and use are then replayed with the
forecasts broken for two hours in the middle, so what the loop would have done differently plays no role. Beside the
detector stands a running mean of the same errors, which distrusts from the same mean on. Then a turn is timed.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

from metalore.autoscale import Safety
from metalore.autoscale.comparison import Plan, candidate, run, run_demand
from metalore.autoscale.controller import Tick
from metalore.autoscale.drift import ALARM, Drift
from metalore.policies import make_policy
from metalore.scenario import load
from metalore.serve.autoscaling import forecaster_of

DRIFT = Drift()
BROKEN = slice(240, 360)
"""Intervals of the half day in which forecasts are broken."""
RUNNING = 12.0
"""Intervals over which the running mean forgets; with fewer it is false more often."""


def recorded(seed: int, forecaster: str) -> tuple[np.ndarray, ...]:
    """What was used, and what median and 0.9 quantile an interval ahead had been, and sizes, [t, z, r] each."""
    plan = Plan(
        load("city-30"),
        days=0.5,
        history_days=0.25,
        latency_target_ms=3000.0,
        safety=Safety(lower=(0.5, 256.0, 1.0)),
        policy=make_policy("backlog-proportional"),
    )
    demand, ticks = run_demand(plan, seed), list[Tick]()
    forecast = forecaster_of(forecaster, plan)(demand.history)
    run(plan, demand, candidate("forecast", plan.scenario)(demand), forecast, ticks.append)
    used = np.array([tick.usage.used[-1] for tick in ticks[1:]])
    given = np.array([tick.decision.before for tick in ticks[1:] if tick.decision])
    median, p90 = (
        np.array([tick.forecasts.quantile(level)[:, 0] for tick in ticks[:-1] if tick.forecasts])
        for level in (0.5, 0.9)
    )
    return used, median, p90, given


def errors_of(used: np.ndarray, median: np.ndarray, p90: np.ndarray, given: np.ndarray) -> np.ndarray:
    """[t, z]"""
    return np.array([DRIFT.error(*one) for one in zip(used, median, p90, given, strict=True)])


def by_detector(errors: np.ndarray) -> np.ndarray:
    """Where zones are distrusted, [t, z]."""
    kept, found = np.full((DRIFT.window, errors.shape[1]), np.nan), []
    for new in errors:
        kept = DRIFT.kept(kept, new)
        found.append(DRIFT.distrust(kept) >= ALARM)
    return np.array(found)


def by_running_mean(errors: np.ndarray) -> np.ndarray:
    """Likewise."""
    mean, found = np.ones(errors.shape[1]), []
    for new in errors:
        mean = mean + np.where(np.isfinite(new), new - mean, 0.0) / RUNNING
        found.append(mean >= DRIFT.good + ALARM * (DRIFT.bad - DRIFT.good))
    return np.array(found)


def say_false(name: str, found: np.ndarray) -> None:
    """How often zones are distrusted although nothing is broken."""
    alarms = (found[1:] & ~found[:-1]).sum() / found.shape[1] / len(found) * 1440
    print(f"  {name:27} {alarms:.2f} alarms per zone and day, {found.mean():.2%} of zone-intervals", flush=True)


def say(name: str, found: np.ndarray) -> None:
    """How many zones are found during the break, how soon, and how soon they are trusted again."""
    during, after = found[BROKEN], found[BROKEN.stop :]
    meant = during.any(axis=0)
    parts = [f"{name:27} {meant.mean():4.0%} of zones are found"]
    for what, intervals in (("after", during.argmax(axis=0) + 1), ("trusted again after", (~after).argmax(axis=0))):
        parts.append(f"{what} {np.median(intervals[meant]):.0f} (90 %: {np.quantile(intervals[meant], 0.9):.0f})")
    print("  " + ", ".join(parts), flush=True)


def breaks() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """What happens to quantiles [t, z, r] during the break."""
    scaled = {f"times {factor:g}": _scaled(factor) for factor in (0.5, 0.7, 1.5, 2.0)}
    return scaled | {"frozen": _frozen}


def _scaled(factor: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda values: np.concatenate(
        [values[: BROKEN.start], factor * values[BROKEN], values[BROKEN.stop :]],
    )


def _frozen(values: np.ndarray) -> np.ndarray:
    held = np.broadcast_to(values[BROKEN.start - 1], values[BROKEN].shape)
    return np.concatenate([values[: BROKEN.start], held, values[BROKEN.stop :]])


def time_a_turn(zones: int) -> None:
    """With all errors kept, the most there is to do."""
    kept = np.random.default_rng(0).uniform(0.5, 0.6, (DRIFT.window, zones))
    took = []
    for _ in range(10):
        start = time.perf_counter()
        DRIFT.distrust(DRIFT.kept(kept, kept[0]))
        took.append(time.perf_counter() - start)
    print(f"  a turn of {zones} zones: {1e3 * min(took):.2f} ms")


def main() -> None:
    """Everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--forecaster", default="last-value")
    options = parser.parse_args()
    used, median, p90, given = recorded(options.seed, options.forecaster)
    used[..., 2] = np.nan  # bandwidth stays as it is
    healthy = errors_of(used, median, p90, given)
    print(f"  mean error {np.nanmean(healthy):.2f}")
    say_false("nothing, detector", by_detector(healthy))
    say_false("nothing, running mean", by_running_mean(healthy))
    for name, broken in breaks().items():
        errors = errors_of(used, broken(median), broken(p90), given)
        say(f"{name}, detector", by_detector(errors))
        say(f"{name}, running mean", by_running_mean(errors))
    for zones in (30, 1000):
        time_a_turn(zones)


if __name__ == "__main__":
    main()
