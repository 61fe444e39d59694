"""Your own recommender: twice the largest use of the last ten minutes, beside the HPA's rule in the same city.

A recommender is a function of what is seen and of its state; it says what each zone should have, and why. Safety, the
loop, and the comparison are those of all others.

Run: python examples/extending/own_recommender.py
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metalore import load_scenario
from metalore.autoscale import Advice, Reason, Recommender, Safety, Seen, State
from metalore.autoscale.comparison import Plan, candidate, compare, summary

MINUTES = 1 / 1440


@dataclass(frozen=True)
class RecentPeak(Recommender):
    """The largest use of the newest intervals, times a factor; NaN, which is no opinion, where nothing is known."""

    name: ClassVar[str] = "recent-peak"

    intervals: int = 10
    factor: float = 2.0

    def recommend(self, seen: Seen, state: State) -> Advice:
        used = seen.usage.recent(self.intervals, seen.now_s).used
        nothing = np.full(seen.allocated.shape, np.nan)
        wanted = self.factor * (np.fmax.reduce(used, axis=0) if len(used) else nothing)
        words = f"{self.factor:g} times the peak of the last {self.intervals} intervals"
        return Advice(wanted, (Reason(self.name, words),) * len(wanted), state)


def main() -> None:
    """Compare the two."""
    scenario = load_scenario("four-cells", step_s=0.5, users__requests__probability=0.2)
    plan = Plan(scenario, days=20 * MINUTES, history_days=10 * MINUTES, safety=Safety(cooldown_down_s=120.0))
    candidates = {"recent-peak": lambda demand: RecentPeak(), "hpa": candidate("hpa", scenario)}
    print("recommender    late intervals    cost against the static peak")
    for name, measured in summary(compare(plan, candidates, seeds=[1])).items():
        print(f"{name:14} {measured['slo_violations'][0]:14.1%} {measured['cpu_cost'][0]:29.2f}")


if __name__ == "__main__":
    main()
