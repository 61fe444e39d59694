"""The forecast's quantile with headroom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metalore.autoscale.model import Reason, Seen, in_words
from metalore.autoscale.recommender import Advice, Recommender, State


@dataclass(frozen=True)
class ForecastQuantile(Recommender):
    """What is expected until the next change can take effect, at its highest, and some more.

    Attributes:
        level: quantile, one of those forecast; at 0.9 one interval in ten is expected to use more.
        headroom: part that is added, so that a server that is used as expected is not full.
    """

    name: ClassVar[str] = "forecast"
    needs_forecasts: ClassVar[bool] = True

    level: float = 0.9
    headroom: float = 0.1

    def recommend(self, seen: Seen, state: State) -> Advice:
        if seen.forecasts is None:
            wanted = np.full(seen.allocated.shape, np.nan)
        else:
            wanted = seen.forecasts.highest(self.level, seen.now_s, seen.lead_s) * (1 + self.headroom)
        what = f"{self.level:g} quantile of the next {seen.lead_s:g} s and {self.headroom:.0%}"
        return Advice(wanted, tuple(Reason(self.name, f"{what}: {in_words(row)}") for row in wanted), state)
