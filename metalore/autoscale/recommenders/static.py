"""The same all the time: given, or the peak of the history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metalore.autoscale.model import RESOURCES, Reason, Seen, in_words
from metalore.autoscale.recommender import Advice, Recommender, State


@dataclass(frozen=True, eq=False)
class Static(Recommender):
    """What is given, or the highest use of the history that is there when a zone is first seen, and some more.

    Attributes:
        amounts: [z, r]; unset: the peak of the history.
        headroom: part that is added.
    """

    name: ClassVar[str] = "static"

    amounts: np.ndarray | None = None
    headroom: float = 0.1

    def recommend(self, seen: Seen, state: State) -> Advice:
        peak = self.amounts if self.amounts is not None else _peak(seen, state)
        wanted = peak * (1 + self.headroom)
        what = "a fixed amount" if self.amounts is not None else "the peak of the history"
        reasons = tuple(Reason(self.name, f"{what} and {self.headroom:.0%}: {in_words(row)}") for row in wanted)
        return Advice(wanted, reasons, {"peak": peak})


def _peak(seen: Seen, state: State) -> np.ndarray:
    """What was found before, else the highest use that is known, [z, r]; NaN where nothing is."""
    before = state.get("peak", np.full((len(seen.usage.zones), len(RESOURCES)), np.nan))
    if len(seen.usage) == 0 or not np.isnan(before).any():
        return before
    return np.where(np.isnan(before), np.fmax.reduce(seen.usage.used, axis=0), before)
