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


@dataclass(frozen=True)
class Drift:
    """How far each zone's forecast is to be distrusted: a pure function of what is seen and what is remembered.

    The error of a zone in an interval is `|used - median| / max(0.9 quantile - median, floor * given)`, of the resource
    of which it is largest, and at most `largest`. So it has no unit; it is below 1 about as often as the forecast's own
    spread promises, and what is small beside the zone's size does not count.

    ADWIN (Bifet and Gavalda 2007) drops the older errors as soon as the newer ones differ, in either direction. With
    the mean of those it keeps, distrust is `(mean - good) / (bad - good)` within [0, 1]: it rises when errors grow and
    falls when they have been small again for some time; a zone with fewer than `least` errors is trusted.

    Attributes:
        good: mean error up to which a forecast is trusted.
        bad: mean error from which it is not trusted at all.
        limit: distrust from which a zone's forecast is not used.
        delta: ADWIN's significance; it is proven for values within [0, 1], and is a mere setting here.
        window: most errors that are kept of a zone, intervals.
        least: errors of a zone before there is any distrust.
        largest: an error counts as so much at most, so that one flash crowd is no drift.
        floor: part of what a zone has that is the least spread.

    Raises:
        AutoscaleError: a setting that cannot be, or river is not installed.
    """

    good: float = 1.5
    bad: float = 2.5
    limit: float = 0.5
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
        for name in ("limit", "delta"):
            if getattr(self, name) > 1:
                raise AutoscaleError(f"drift.{name} is {getattr(self, name)}; it cannot be above 1")
        if self.window < self.least:
            raise AutoscaleError(f"drift.window {self.window} is smaller than drift.least {self.least}")
        self._detector()

    def begin(self, zones: Sequence[str]) -> State:
        """Nothing has been forecast, everybody is trusted."""
        z, r = len(zones), len(RESOURCES)
        return {
            "due": np.array(np.nan),  # beginning of the interval that was forecast, s
            "median": np.full((z, r), np.nan),  # of it
            "spread": np.full((z, r), np.nan),  # from the median to the 0.9 quantile
            "errors": np.full((self.window, z), np.nan),  # alike, oldest first; NaN: fewer are
            "distrust": np.zeros(z),
        }

    def observed(self, seen: Seen, managed: np.ndarray, state: State) -> State:
        """The state with the errors of what has been used since, and with what is now forecast of the next interval.

        Args:
            seen: with the newest usage and forecasts.
            managed: which resources count, [r].
            state: of the turn before.
        """
        errors = self._with(state["errors"], self._error(seen, managed, state))
        return self._forecast(seen) | {"errors": errors, "distrust": self._distrust(errors)}

    def distrusts(self, state: State) -> np.ndarray:
        """Zones whose forecast is not used, [z]."""
        distrusted: np.ndarray = state["distrust"] >= self.limit
        return distrusted

    # -- errors --------------------------------------------------------------------------------------------------------

    def _error(self, seen: Seen, managed: np.ndarray, state: State) -> np.ndarray:
        """Of each zone in the interval that was forecast, [z]; NaN where it, or its use, is not known."""
        usage = seen.usage
        there = np.flatnonzero(np.abs(usage.times - state["due"]) < usage.interval_s / 2)
        if len(there) == 0:
            return np.full(len(seen.allocated), np.nan)
        spread = np.maximum(state["spread"], self.floor * seen.allocated)
        with np.errstate(invalid="ignore"):  # absurd forecasts may be infinite
            errors = np.abs(usage.used[there[0]] - state["median"]) / spread
        largest = np.fmax.reduce(np.where(managed, errors, np.nan), axis=1)
        capped: np.ndarray = np.minimum(largest, self.largest)
        return capped

    def _forecast(self, seen: Seen) -> dict[str, np.ndarray]:
        """What is forecast of the first interval after the newest that is known; NaN if nothing is."""
        forecasts, usage = seen.forecasts, seen.usage
        known = float(usage.times[-1]) if len(usage) else -np.inf
        first = 0 if forecasts is None else int(np.searchsorted(forecasts.times, known + usage.interval_s / 2))
        if forecasts is None or first == len(forecasts.times) or len(forecasts.values) != len(seen.allocated):
            nothing = np.full(seen.allocated.shape, np.nan)
            return {"due": np.array(np.nan), "median": nothing, "spread": nothing}
        median, high = (forecasts.quantile(level)[:, first] for level in (0.5, 0.9))
        with np.errstate(invalid="ignore"):
            return {"due": np.array(forecasts.times[first]), "median": median, "spread": high - median}

    # -- detection -----------------------------------------------------------------------------------------------------

    def _with(self, errors: np.ndarray, new: np.ndarray) -> np.ndarray:
        """Errors [w, z] of each zone with a new one [z], without those before the last change."""
        known = np.flatnonzero(np.isfinite(new))
        kept = errors.copy()
        kept[:-1, known], kept[-1, known] = errors[1:, known], new[known]
        for z in known.tolist():
            if self._fires(kept[:, z]):
                kept[: -self.least, z] = np.nan
        return kept

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

    def _distrust(self, errors: np.ndarray) -> np.ndarray:
        known = np.isfinite(errors)
        count = known.sum(axis=0)
        mean = np.where(known, errors, 0.0).sum(axis=0) / np.maximum(count, 1)
        distrust: np.ndarray = np.clip((mean - self.good) / (self.bad - self.good), 0.0, 1.0)
        distrust[count < self.least] = 0.0
        return distrust
