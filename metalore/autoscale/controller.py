"""The loop: inputs -> model -> logic -> actuator, on a clock that is handed in."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from metalore.autoscale.actuator import Actuator, Applied
from metalore.autoscale.logic import Logic, Remembered
from metalore.autoscale.model import Decision, Forecasts, Seen, Usage

T = TypeVar("T")


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> float:
        """Seconds; never goes back."""

    def sleep_until(self, time_s: float) -> None:
        """Return at that time, or later."""


Observe = Callable[[], Usage]
"""Usage up to now. It may be late, or raise any exception; then what was known before counts."""
Forecast = Callable[[Usage, float], Forecasts | None]
"""What is expected after a time, from usage up to it; likewise."""


PARTS = {
    "usage": "usage",
    "forecast": "the forecast",
    "allocations": "what zones have",
    "actuator": "the actuator",
}
"""What a turn depends on, and its name in a sentence."""


@dataclass(frozen=True, eq=False)
class Tick:
    """One turn of the loop.

    Attributes:
        time_s: when.
        decision: unset: none could be taken, since what zones have is not known.
        applied: what the actuator did about it.
        usage, forecasts: what the decision looked at.
        problems: in words, one for each thing that went wrong.
        failed: which part each problem is of, one of :data:`PARTS`.
        took_s: how long the turn took on the loop's clock.
        distrust: how far each zone's forecast is distrusted, [z]; unset: nobody looks.
    """

    time_s: float
    decision: Decision | None
    applied: Applied | None
    usage: Usage
    forecasts: Forecasts | None
    problems: tuple[str, ...]
    failed: tuple[str, ...]
    took_s: float
    distrust: np.ndarray | None = None


def _no_forecast(usage: Usage, now_s: float) -> None:
    return None


class Controller:
    """Decides in every interval, and outlives what it depends on.

    Args:
        logic: what decides.
        actuator: what carries it out.
        observe: where usage comes from.
        clock: where time comes from.
        interval_s: time from decision to decision.
        forecast: where forecasts come from, if from anywhere.
        remembered: what an earlier controller remembered (:attr:`remembered`).
        report: is told about every turn.
    """

    def __init__(
        self,
        logic: Logic,
        actuator: Actuator,
        observe: Observe,
        clock: Clock,
        *,
        interval_s: float = 60.0,
        forecast: Forecast | None = None,
        remembered: Remembered | None = None,
        report: Callable[[Tick], None] | None = None,
    ) -> None:
        self._logic, self._actuator, self._observe, self._clock = logic, actuator, observe, clock
        self._interval_s, self._forecast, self._report = interval_s, forecast or _no_forecast, report
        self._usage = Usage.nothing(actuator.zones, interval_s)
        self._problems: list[tuple[str, str]] = []
        self.remembered = remembered or logic.begin(actuator.zones)

    def run(self, ticks: int | None = None) -> None:
        """Turn once in every interval, at multiples of it; turns that come too late are left out.

        Args:
            ticks: how many turns; unset: for ever.
        """
        done = 0
        while ticks is None or done < ticks:
            due = self._interval_s * (math.floor(self._clock.now() / self._interval_s) + 1)
            self._clock.sleep_until(due)
            self.tick()
            done += 1

    def tick(self) -> Tick:
        """One turn: look, decide, act."""
        self._problems = []
        now = self._clock.now()
        usage = self._tried("usage", self._observe)
        self._usage = self._usage if usage is None else usage
        forecasts = self._tried("forecast", lambda: self._forecast(self._usage, now))
        looked = self._tried("allocations", lambda: (self._actuator.allocations(), self._actuator.changed_at()))
        decision = applied = None
        if looked is not None:
            allocated, changed_at = looked
            decision = self._decide(Seen(now, self._usage, forecasts, allocated, self._lead_s, changed_at))
            applied = self._act(decision)
        failed = tuple(part for part, _ in self._problems)
        problems = tuple(words for _, words in self._problems)
        took_s, distrust = self._clock.now() - now, self.remembered.drift.get("distrust")
        tick = Tick(now, decision, applied, self._usage, forecasts, problems, failed, took_s, distrust)
        if self._report:
            self._report(tick)
        return tick

    @property
    def _lead_s(self) -> float:
        """From now until the decision after this one can take effect."""
        return self._interval_s + self._actuator.delay_s + self._logic.safety.cooldown_up_s

    def _decide(self, seen: Seen) -> Decision:
        decision, self.remembered = self._logic.decide(seen, self.remembered)
        return decision

    def _act(self, decision: Decision) -> Applied:
        applied = self._tried("actuator", lambda: self._actuator.apply(decision))
        applied = applied or Applied(np.zeros(len(decision.zones), bool))
        self._problems.extend(("actuator", problem) for problem in applied.problems)
        self.remembered = self._logic.applied(decision, applied.done, self.remembered)
        return applied

    def _tried(self, part: str, call: Callable[[], T]) -> T | None:
        """What a call gives; nothing, and a problem noted, if it fails."""
        try:
            return call()
        except Exception as error:  # whatever the other side raises, the loop goes on
            self._problems.append((part, f"{PARTS[part]} failed: {type(error).__name__}: {error}"))
            return None
