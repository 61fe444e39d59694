"""When forecasts are to be distrusted: their errors, zone by zone, under river's ADWIN.

After each interval what was used is compared with what the newest forecast before it said. The detector keeps, for each
zone, the errors since they last changed, and their mean says how far the zone's forecast is to be distrusted.

Axes: `w` errors, oldest first, `z` zones, `r` resources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from metalore.autoscale.errors import AutoscaleError
from metalore.autoscale.model import RESOURCES, Seen
from metalore.autoscale.recommender import State

DISTRUSTED = "forecast-distrusted"
"""Code of a forecast that looks right and has lately been wrong."""
ALARM = 0.5
"""Distrust from which there is said to be an alarm."""


@dataclass(frozen=True)
class Drift:
    """How far each zone's forecast is to be distrusted: a pure function of what is seen and what is remembered.

    The error of a zone in an interval is `|used - median| / max(0.9 quantile - median, floor * given)`, of the resource
    of which it is largest, and at most `largest`. It has no unit: 1 is as far off as the 0.9 quantile. What is small
    beside the zone's size does not count.

    The last errors of a zone are kept, `window` at most. When river's ADWIN (Bifet and Gavalda 2007) finds that they
    have changed, to larger or smaller ones, only the newest `least` are. Distrust is their mean, on a scale from `good`
    (0) to `bad` (1): it rises soon after errors grow and falls soon after they are small again. A zone with fewer
    errors than `least` is trusted. In each turn a new ADWIN is told all that is kept, so nothing else is remembered.

    Differently from the original: ADWIN keeps what lies after its own cut. With so few errors that cut is cautious and
    would leave most of the old ones in.

    Attributes:
        good: mean error up to which a forecast is trusted.
        bad: mean error from which it is not trusted at all.
        delta: ADWIN's significance; proven for values within [0, 1], so here it is a mere setting: smaller is later.
        window: most errors that are kept of a zone, intervals.
        least: errors before there is any distrust; ADWIN compares so many with so many others at least.
        largest: an error counts as so much at most, so that one flash crowd is no drift.
        floor: part of what a zone has that is the least spread.

    Raises:
        AutoscaleError: a setting that cannot be, or river is not installed.
    """

    good: float = 1.5
    bad: float = 2.5
    delta: float = 0.05
    window: int = 64
    least: int = 5
    largest: float = 5.0
    floor: float = 0.05

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise AutoscaleError(f"drift.{field.name} is {getattr(self, field.name)}; it must be positive")
        if not self.good < self.bad < self.largest:
            raise AutoscaleError(
                f"drift.good {self.good}, drift.bad {self.bad} and drift.largest {self.largest} must rise in this order"
            )
        if self.delta > 1:
            raise AutoscaleError(f"drift.delta is {self.delta}; it cannot be above 1")
        if self.window < 2 * self.least:
            raise AutoscaleError(f"drift.window {self.window} is smaller than twice drift.least {self.least}")
        self._detector()

    def begin(self, zones: Sequence[str]) -> State:
        """Nothing has been forecast, everybody is trusted."""
        z = len(zones)
        return _nothing(z) | {"errors": np.full((self.window, z), np.nan), "distrust": np.zeros(z)}

    def observed(self, seen: Seen, managed: np.ndarray, state: State) -> State:
        """The state with the errors of what has been used since, and with what is now forecast of the next interval.

        Args:
            seen: with the newest usage and forecasts.
            managed: which resources count, [r].
            state: of the turn before.
        """
        errors = self.kept(state["errors"], self._error(seen, managed, state))
        return self._forecast(seen) | {"errors": errors, "distrust": self.distrust(errors)}

    # -- parts, for those who have forecasts and use as arrays ---------------------------------------------------------

    def error(self, used: np.ndarray, median: np.ndarray, p90: np.ndarray, given: np.ndarray) -> np.ndarray:
        """How far forecasts were off, in their own spreads: of each zone [z]; NaN where nothing is known.

        Args:
            used: what was measured, [z, r].
            median, p90: quantiles of what was forecast of it, [z, r].
            given: what zones had, [z, r].
        """
        with np.errstate(invalid="ignore"):  # absurd forecasts may be infinite
            errors = np.abs(used - median) / np.maximum(p90 - median, self.floor * given)
        capped: np.ndarray = np.minimum(np.fmax.reduce(errors, axis=1), self.largest)
        return capped

    def kept(self, errors: np.ndarray, new: np.ndarray) -> np.ndarray:
        """Errors [w, z] with a new one of each zone [z], without those before the last change; NaN: none."""
        known = np.flatnonzero(np.isfinite(new))
        kept = errors.copy()
        kept[:-1, known], kept[-1, known] = errors[1:, known], new[known]
        for z in known.tolist():
            if self._fires(kept[:, z]):
                kept[: -self.least, z] = np.nan
        return kept

    def distrust(self, errors: np.ndarray) -> np.ndarray:
        """Of each zone, [z], from the errors that are kept [w, z]."""
        known = np.isfinite(errors)
        count = known.sum(axis=0)
        mean = np.where(known, errors, 0.0).sum(axis=0) / np.maximum(count, 1)
        distrust: np.ndarray = np.clip((mean - self.good) / (self.bad - self.good), 0.0, 1.0)
        distrust[count < self.least] = 0.0
        return distrust

    # -- within --------------------------------------------------------------------------------------------------------

    def _error(self, seen: Seen, managed: np.ndarray, state: State) -> np.ndarray:
        """Of each zone in the interval that was forecast, [z]; NaN where it, or its use, is not known."""
        usage = seen.usage
        there = np.flatnonzero(np.abs(usage.times - state["due"]) < usage.interval_s / 2)
        if len(there) == 0:
            return np.full(len(seen.allocated), np.nan)
        used = np.where(managed, usage.used[there[0]], np.nan)
        return self.error(used, state["median"], state["p90"], seen.allocated)

    def _forecast(self, seen: Seen) -> dict[str, np.ndarray]:
        """What is forecast of the first interval after the newest that is known; NaN if nothing is."""
        forecasts, usage = seen.forecasts, seen.usage
        known = float(usage.times[-1]) if len(usage) else -np.inf
        first = 0 if forecasts is None else int(np.searchsorted(forecasts.times, known + usage.interval_s / 2))
        if forecasts is None or first == len(forecasts.times) or len(forecasts.values) != len(seen.allocated):
            return _nothing(len(seen.allocated))
        median, p90 = (forecasts.quantile(level)[:, first] for level in (0.5, 0.9))
        return {"due": np.array(forecasts.times[first]), "median": median, "p90": p90}

    def _fires(self, errors: np.ndarray) -> bool:
        """Whether ADWIN finds that the errors [w] of a zone have changed."""
        detector = self._detector()
        for error in errors[np.isfinite(errors)].tolist():
            detector.update(error)
            if detector.drift_detected:
                return True
        return False

    def _detector(self) -> Any:
        try:
            from river.drift import ADWIN
        except ImportError:
            raise AutoscaleError(
                'drift detection needs river, which is missing: pip install "metalore[drift]"'
            ) from None
        return ADWIN(delta=self.delta, clock=1, min_window_length=self.least, grace_period=2 * self.least)


def _nothing(zones: int) -> dict[str, np.ndarray]:
    """No forecast: when the interval begins that is forecast [s], and median and 0.9 quantile of its use [z, r]."""
    unknown = np.full((zones, len(RESOURCES)), np.nan)
    return {"due": np.array(np.nan), "median": unknown, "p90": unknown}
