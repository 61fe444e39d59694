"""From what is seen to what is done: a pure function, the same for every recommender and every actuator."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from metalore.autoscale.drift import Drift
from metalore.autoscale.errors import AutoscaleError
from metalore.autoscale.model import Decision, Seen
from metalore.autoscale.recommender import Recommender, State, from_json, to_json
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
        drift: says whose forecast is distrusted, and thus left to the fallback; unset: nobody's.
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
            drift, distrusted = self._distrusted(seen, drift)
            instead = self.fallback.recommend(seen, fallback)
            fallback = instead.state
            advice, safety = self.safety.without_bad_forecasts(seen, advice, instead, safety, distrusted)
        decision = self.safety.limit(seen, advice, safety)
        return decision, Remembered(advice.state, fallback, safety, drift)

    def _distrusted(self, seen: Seen, state: State) -> tuple[State, np.ndarray | None]:
        """The detector's state, begun where there is none yet, and the zones whose forecast is distrusted, [z]."""
        if self.drift is None:
            return state, None
        state = self.drift.observed(seen, self.safety.managed, state or self.drift.begin(seen.usage.zones))
        return state, self.drift.distrusts(state)

    def applied(self, decision: Decision, done: np.ndarray, remembered: Remembered) -> Remembered:
        """What to remember after some zones [z] got what was decided."""
        return replace(remembered, safety=self.safety.applied(decision, done, remembered.safety))
