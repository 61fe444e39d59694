"""The forecast's quantile with headroom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metalore.autoscale.model import Reason, Seen, in_words
from metalore.autoscale.recommender import Advice, Recommender, State
from metalore.autoscale.recommenders._margin import Margin


@dataclass(frozen=True)
class ForecastQuantile(Margin, Recommender):
    """What is expected until the next change can take effect, at its highest, and some more.

    A zone that is full uses what it has, whatever it would need, and a forecast made from its use expects no more. So
    it gets a part more than it uses, until it is full no longer. The margin is that of :class:`Margin`.

    Attributes:
        level: quantile, one of those forecast; at 0.9 one interval in ten is expected to use more.
        full: part of what a zone has beyond which its use does not show its demand.
        relief: part of its use that such a zone gets more, at least.
    """

    name: ClassVar[str] = "forecast"
    needs_forecasts: ClassVar[bool] = True

    level: float = 0.9
    full: float = 0.9
    relief: float = 0.5

    def recommend(self, seen: Seen, state: State) -> Advice:
        if seen.forecasts is None:
            return Advice(np.full(seen.allocated.shape, np.nan), (_NOTHING,) * len(seen.allocated), state)
        expected = self.beyond(seen.forecasts.highest(self.level, seen.now_s, seen.lead_s))
        used = seen.usage.latest(seen.now_s)
        full = used > self.full * seen.allocated
        wanted = np.where(full, np.fmax(expected, used * (1 + self.relief)), expected)
        what = f"{self.level:g} quantile of the next {seen.lead_s:g} s, {self.words}"
        reasons = tuple(self._reason(what, *rows) for rows in zip(wanted, wanted > expected, strict=True))
        return Advice(wanted, reasons, state)

    def _reason(self, what: str, wanted: np.ndarray, relieved: np.ndarray) -> Reason:
        also = f", or {self.relief:.0%} more than was used where it was full" if relieved.any() else ""
        return Reason(self.name, f"{what}{also}: {in_words(wanted)}")


_NOTHING = Reason("forecast-missing", "forecast is missing")
