"""Perfect foresight: what no forecast can beat, to measure how much there is to gain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metalore.autoscale.model import Reason, Seen, in_words, touched
from metalore.autoscale.recommender import Advice, Recommender, State
from metalore.autoscale.recommenders._margin import Margin


@dataclass(frozen=True, eq=False)
class Foresight(Margin, Recommender):
    """Is handed the future, and gives what will be used until the next change can take effect, and a margin.

    Attributes:
        times: starts of intervals [t], s.
        demand: what will be used in them [t, z, r].
    """

    name: ClassVar[str] = "foresight"

    times: np.ndarray
    demand: np.ndarray

    def recommend(self, seen: Seen, state: State) -> Advice:
        ahead = self.demand[touched(self.times, seen.usage.interval_s, seen.now_s, seen.lead_s)]
        known = len(ahead) > 0
        wanted = self.beyond(ahead.max(axis=0)) if known else np.full(seen.allocated.shape, np.nan)
        what = f"the next {seen.lead_s:g} s, {self.words}" if known else "the future ends here"
        return Advice(wanted, tuple(Reason(self.name, f"{what}: {in_words(row)}") for row in wanted), state)
