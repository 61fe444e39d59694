"""From what is seen to what is done: a pure function, the same for every recommender and every actuator."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from metalore.autoscale.drift import DISTRUSTED, Drift
from metalore.autoscale.errors import AutoscaleError
from metalore.autoscale.model import Decision, Reason, Seen
from metalore.autoscale.recommender import Advice, Recommender, State, from_json, to_json
from metalore.autoscale.safety import Safety


@dataclass(frozen=True, eq=False)
class Remembered:
    """Everything that is kept from decision to decision."""

    recommender: State
    fallback: State
    safety: State
    drift: State = field(default_factory=dict)

    def to_json(self) -> str:
        """As JSON, from which a controller that starts again goes on exactly."""
        return json.dumps({name: json.loads(to_json(getattr(self, name))) for name in _PARTS})

    @classmethod
    def from_json(cls, text: str) -> Remembered:
        """From JSON.

        Raises:
            AutoscaleError: text that :meth:`to_json` did not write.
        """
        try:
            kept = json.loads(text)
            kept = {"drift": {}} | kept  # what was written without a detector has none
            return cls(**{name: from_json(json.dumps(kept[name])) for name in _PARTS})
        except (ValueError, KeyError, TypeError) as error:
            raise AutoscaleError(f"what a controller remembered cannot be read: {error}") from None


_PARTS = ("recommender", "fallback", "safety", "drift")


@dataclass(frozen=True)
class Logic:
    """Who recommends, who steps in without a forecast, and what keeps both safe.

    Attributes:
        recommender: whose advice is followed.
        fallback: a reactive rule for zones whose forecast is stale, missing or absurd.
        safety: of both.
        drift: says how far each zone's forecast is distrusted, and the fallback followed; unset: not at all.
    """

    recommender: Recommender
    fallback: Recommender
    safety: Safety
    drift: Drift | None = None

    def begin(self, zones: Sequence[str]) -> Remembered:
        """What is remembered before the first decision."""
        return Remembered(self.recommender.begin(zones), self.fallback.begin(zones), self.safety.begin(zones))

    def decide(self, seen: Seen, remembered: Remembered) -> tuple[Decision, Remembered]:
        """What zones should have from now on, and what to remember until the next time."""
        safety = self.safety.observed(seen, remembered.safety)
        advice = self.recommender.recommend(seen, remembered.recommender)
        fallback, drift = remembered.fallback, remembered.drift
        if self.recommender.needs_forecasts:
            instead = self.fallback.recommend(seen, fallback)
            fallback = instead.state
            if self.drift is not None:
                drift = self.drift.observed(seen, self.safety.managed, drift or self.drift.begin(seen.usage.zones))
                advice = _mixed(advice, instead, drift["distrust"])
            advice, safety = self.safety.without_bad_forecasts(seen, advice, instead, safety)
        decision = self.safety.limit(seen, advice, safety)
        return decision, Remembered(advice.state, fallback, safety, drift)

    def applied(self, decision: Decision, done: np.ndarray, remembered: Remembered) -> Remembered:
        """What to remember after the zones of which `done` [z] is true got what was decided."""
        return replace(remembered, safety=self.safety.applied(decision, done, remembered.safety))


def _mixed(advice: Advice, fallback: Advice, distrust: np.ndarray) -> Advice:
    """Advice that follows the fallback as far as a zone's forecast is distrusted, [z]."""
    part = distrust[:, None]
    with np.errstate(invalid="ignore"):  # absurd forecasts may be infinite; safety does not believe them
        mixed = (1 - part) * advice.wanted + part * fallback.wanted
    wanted = np.where(part > 0, mixed, advice.wanted)
    reasons = tuple(
        _distrusted(*one) if one[2] > 0 else one[0]
        for one in zip(advice.reasons, fallback.reasons, distrust.tolist(), strict=True)
    )
    return Advice(wanted, reasons, advice.state)


def _distrusted(reason: Reason, instead: Reason, distrust: float) -> Reason:
    words = f"forecast is distrusted, so by {distrust:.0%} {instead.words}"
    return Reason(DISTRUSTED, words if distrust == 1 else f"{words}; else {reason.words}")
