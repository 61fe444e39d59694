"""What keeps every recommender from doing harm: bounds, steps, cooldown, hysteresis, a budget, bad forecasts.

Axes: `z` zones, `r` resources. Rules are applied in the order of the list in `docs/autoscale.md`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from metalore.autoscale.errors import AutoscaleError, unknown
from metalore.autoscale.fairness import fair_shares
from metalore.autoscale.model import RESOURCES, Amounts, Decision, Reason, Seen, amount, title
from metalore.autoscale.recommender import Advice, State

INFINITE: Amounts = (math.inf, math.inf, math.inf)


@dataclass(frozen=True)
class Safety:
    """Settings of the rules, the same for all zones. Amounts are in cores, MB and Mbit/s.

    Attributes:
        lower: guaranteed minimum of a zone, also of its share of the budget.
        upper: most that a zone may have.
        budget: for all zones together.
        step_up: a decision adds at most this part of what a zone has; 1 doubles it.
        step_down: a decision takes at most this part; a wrong one is then soon mended.
        cooldown_up_s: time after a change in which there is no growth; 0, since too little hurts at once.
        cooldown_down_s: likewise for shrinking; 5 min, as too much only costs.
        hysteresis: changes by a smaller part are not made.
        stale_intervals: a forecast is stale when it was made longer ago than this.
        hold_intervals: zones without a good forecast stay as they are for so long, then the fallback decides.
        absurd_factor: a forecast beyond so many times the most ever used, or given now, is not believed.
        fixed: names of resources that are never changed.

    Raises:
        AutoscaleError: a setting that cannot be.
    """

    lower: Amounts = (0.1, 256.0, 1.0)
    upper: Amounts = (64.0, 65_536.0, 10_000.0)
    budget: Amounts = INFINITE
    step_up: float = 1.0
    step_down: float = 0.25
    cooldown_up_s: float = 0.0
    cooldown_down_s: float = 300.0
    hysteresis: float = 0.05
    stale_intervals: float = 3.0
    hold_intervals: float = 3.0
    absurd_factor: float = 10.0
    fixed: tuple[str, ...] = ("bandwidth_mbps",)

    def __post_init__(self) -> None:
        for name in ("lower", "upper", "budget"):
            values = getattr(self, name)
            if len(values) != len(RESOURCES) or not all(value > 0 for value in values):
                raise AutoscaleError(f"safety.{name} is {values}; it needs {len(RESOURCES)} positive amounts")
        if not np.less_equal(self.lower, self.upper).all():
            raise AutoscaleError(f"safety.lower {self.lower} exceeds safety.upper {self.upper}")
        if not 0 < self.step_down < 1:
            raise AutoscaleError(f"safety.step_down is {self.step_down}; it must lie between 0 and 1")
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, float | int) and not value >= 0:
                raise AutoscaleError(f"safety.{field.name} is {value}; it cannot be negative")
        for name in self.fixed:
            if name not in RESOURCES:
                raise unknown("resource", name, RESOURCES, "safety.fixed")

    @property
    def managed(self) -> np.ndarray:
        """Which resources may change, [r]."""
        return np.array([name not in self.fixed for name in RESOURCES])

    # -- state ---------------------------------------------------------------------------------------------------------

    def begin(self, zones: Sequence[str]) -> State:
        """Nothing has changed, nothing has been used.

        Raises:
            AutoscaleError: a budget that does not reach for the guaranteed minimum of so many zones.
        """
        z, r = len(zones), len(RESOURCES)
        short = self.managed & (np.multiply(z, self.lower) > self.budget)
        if short.any():
            name = RESOURCES[int(short.argmax())]
            raise AutoscaleError(f"safety.budget of {name} is smaller than {z} times safety.lower")
        return {
            "changed_at": np.full((z, r), -np.inf),
            "largest": np.zeros((z, r)),  # ever used
            "seen_until": np.array(-np.inf),  # beginning of the newest interval that is counted there
            "good_at": np.full(z, np.nan),  # newest good forecast; before the first: when one was first missed
        }

    def observed(self, seen: Seen, state: State) -> State:
        """The state with what others have changed and what has been used since."""
        state = _with_changes_of_others(seen, state)
        new = seen.usage.since(float(np.nextafter(state["seen_until"], np.inf)))
        if len(new) == 0:
            return state
        largest = np.fmax(state["largest"], np.fmax.reduce(new.used, axis=0))
        return dict(state) | {"largest": largest, "seen_until": new.times[-1:].reshape(())}

    def applied(self, decision: Decision, done: np.ndarray, state: State) -> State:
        """The state after some zones [z] got what was decided; cooldown begins for them."""
        changed = decision.changed & done[:, None]
        return dict(state) | {"changed_at": np.where(changed, decision.time_s, state["changed_at"])}

    # -- forecasts -----------------------------------------------------------------------------------------------------

    def faults(self, seen: Seen, state: State) -> np.ndarray:
        """What is wrong with each zone's forecast, as a code, [z]; nothing: an empty one."""
        zones = len(seen.allocated)
        forecasts = seen.forecasts
        if forecasts is None or len(forecasts.values) != zones or forecasts.ended(seen.now_s):
            return np.full(zones, "forecast-missing")
        if seen.now_s - forecasts.made_at > self.stale_intervals * seen.usage.interval_s:
            return np.full(zones, "forecast-stale")
        values = forecasts.values[:, :, self.managed]
        believable = self.absurd_factor * np.maximum(state["largest"], seen.allocated)[:, self.managed]
        with np.errstate(invalid="ignore"):
            good = (values >= 0) & (values <= believable[:, None, :, None])
            ordered = np.diff(values, axis=-1) >= 0
        right = good.all(axis=(1, 2, 3)) & ordered.all(axis=(1, 2, 3))
        return np.where(right, "", "forecast-absurd")

    def without_bad_forecasts(self, seen: Seen, advice: Advice, fallback: Advice, state: State) -> tuple[Advice, State]:
        """Advice in which zones with a bad forecast are held for a while, then left to the fallback."""
        faults = self.faults(seen, state)
        bad = faults != ""
        good_at = np.where(bad & ~np.isnan(state["good_at"]), state["good_at"], seen.now_s)
        held = seen.now_s - good_at < self.hold_intervals * seen.usage.interval_s
        instead = np.where(held[:, None], np.nan, fallback.wanted)
        wanted = np.where(bad[:, None], instead, advice.wanted)
        reasons = tuple(
            _without_forecast(str(faults[z]), bool(held[z]), fallback.reasons[z]) if bad[z] else advice.reasons[z]
            for z in range(len(bad))
        )
        return Advice(wanted, reasons, advice.state), dict(state) | {"good_at": good_at}

    # -- limits --------------------------------------------------------------------------------------------------------

    def limit(self, seen: Seen, advice: Advice, state: State) -> Decision:
        """What is done of what a recommender wants."""
        given, notes = seen.allocated, _Notes(advice.reasons)
        least, most = self._range(seen, state)
        wanted = np.where(np.isnan(advice.wanted) | ~self.managed, given, advice.wanted)
        kept = np.where(seen.missing, given, 0.0)
        wanted = notes.of("data-missing", wanted, np.maximum(wanted, kept))
        small = np.abs(wanted - given) < self.hysteresis * given
        wanted = notes.of("hysteresis", wanted, np.where(small, given, wanted))
        wanted = notes.of("cooldown", wanted, np.clip(wanted, least, most))
        steps = given * (1 - self.step_down), given * (1 + self.step_up)
        wanted = notes.of("step-limit", wanted, np.clip(wanted, *steps))
        wanted = notes.of("bounds", wanted, np.where(self.managed, np.clip(wanted, self.lower, self.upper), given))
        floor = np.clip(np.maximum(least, steps[0]), self.lower, self.upper)
        wanted = notes.of("budget", wanted, self._shared(wanted, floor))
        return Decision(seen.now_s, seen.usage.zones, given, wanted, notes.reasons())

    def _range(self, seen: Seen, state: State) -> tuple[np.ndarray, np.ndarray]:
        """Between which amounts cooldown and what is not known let zones move, [z, r] each."""
        age_s = seen.now_s - state["changed_at"]
        least = np.where((age_s < self.cooldown_down_s) | seen.missing, seen.allocated, 0.0)
        return least, np.where(age_s < self.cooldown_up_s, seen.allocated, np.inf)

    def _shared(self, wanted: np.ndarray, floor: np.ndarray) -> np.ndarray:
        """Within the budget: fair above the guaranteed minimum, as far as the other rules let zones shrink."""
        shared = wanted.copy()
        for r in np.flatnonzero(self.managed & np.isfinite(self.budget)):
            asked, budget = wanted[:, r], self.budget[r]
            guaranteed = np.full(len(asked), self.lower[r])
            least = np.minimum(floor[:, r], asked)
            if least.sum() > budget:  # what is there is too much already: then the budget goes first
                least = guaranteed
            shared[:, r] = fair_shares(asked, guaranteed, least, budget)
        return shared


_PHRASES = {
    "data-missing": "use is not known",
    "hysteresis": "would hardly change",
    "cooldown": "changed a short while ago",
    "step-limit": "changes by steps",
    "bounds": "is bounded",
    "budget": "shares a budget",
}


def _with_changes_of_others(seen: Seen, state: State) -> State:
    """The state with cooldown, of all resources, where a zone was changed later than is remembered.

    A time in the future is from a clock that is fast; it counts once it has passed.
    """
    if seen.changed_at is None:
        return state
    at = seen.changed_at[:, None]
    later = (at > state["changed_at"].max(axis=1, keepdims=True)) & (at <= seen.now_s)
    return dict(state) | {"changed_at": np.where(later, at, state["changed_at"])}


class _Notes:
    """Reasons of each zone, of which safety adds its own where it changes something."""

    def __init__(self, reasons: Sequence[Reason]) -> None:
        self._reasons = [[reason] for reason in reasons]

    def of(self, code: str, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """Note where a rule changed amounts [z, r], which are returned."""
        for z, r in np.argwhere(after != before).tolist():
            change = f"{amount(r, after[z, r])} instead of {amount(r, before[z, r])}"
            self._reasons[z].append(Reason(code, f"{title(r)} {_PHRASES[code]}: {change}"))
        return after

    def reasons(self) -> tuple[tuple[Reason, ...], ...]:
        return tuple(map(tuple, self._reasons))


def _without_forecast(fault: str, held: bool, instead: Reason) -> Reason:
    what = fault.replace("-", " is ")
    return Reason(fault, f"{what}, so nothing changes for a while" if held else f"{what}, so {instead.words}")
