"""The published rule: a step up above one part of use, a step down below another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metalore.autoscale.model import Amounts, Reason, Seen, amount, title
from metalore.autoscale.recommender import Advice, Recommender, State


@dataclass(frozen=True)
class Threshold(Recommender):
    """Steps of a fixed size between two bounds, by how much of what a zone has was used in the newest interval.

    The published numbers are those of the CPU: 150 m more above 75 %, 100 m less below 25 %, between 100 m and 1200 m.
    Those of memory and bandwidth are ours, in about the same proportion to what a zone uses.

    Attributes:
        above, below: parts of use beyond which a step is taken.
        more, less: the steps, in cores, MB and Mbit/s.
        least, most: between which it moves.
        scale: factor on all amounts, for zones larger than those it was published for.
    """

    name: ClassVar[str] = "threshold"

    above: float = 0.75
    below: float = 0.25
    more: Amounts = (0.150, 150.0, 15.0)
    less: Amounts = (0.100, 100.0, 10.0)
    least: Amounts = (0.100, 100.0, 10.0)
    most: Amounts = (1.200, 1200.0, 120.0)
    scale: float = 1.0

    def recommend(self, seen: Seen, state: State) -> Advice:
        use = seen.usage.latest(seen.now_s) / seen.allocated
        step = np.where(use > self.above, self.more, np.where(use < self.below, np.negative(self.less), 0.0))
        bounded = np.clip(seen.allocated + self.scale * step, np.multiply(self.scale, self.least), self._most())
        wanted = np.where(np.isnan(use), np.nan, bounded)
        return Advice(wanted, tuple(self._reason(*rows) for rows in zip(use, step, strict=True)), state)

    def _most(self) -> np.ndarray:
        return np.multiply(self.scale, self.most)

    def _reason(self, use: np.ndarray, step: np.ndarray) -> Reason:
        parts = [
            f"{title(r)} use {use[r]:.0%}: {amount(r, self.scale * abs(step[r]))} {'more' if step[r] > 0 else 'less'}"
            for r in np.flatnonzero(step).tolist()
        ]
        quiet = "use is not known" if np.isnan(use).all() else f"use between {self.below:.0%} and {self.above:.0%}"
        return Reason(self.name, ", ".join(parts) or quiet)
