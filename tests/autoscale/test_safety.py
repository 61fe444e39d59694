"""What no recommender can make happen."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from autoscale.situations import INTERVAL_S, NAN, forecasts_of, seen_of, zones_of
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from metalore.autoscale import Advice, AutoscaleError, Decision, Logic, Reason, Safety, Seen, State, make_recommender
from metalore.autoscale.fairness import fair_shares

NOW_S = 6000.0
EXACT = 1e-9
FREE = Safety(cooldown_down_s=0.0, hysteresis=0.0, fixed=())

# -- fair shares -------------------------------------------------------------------------------------------------------


def test_fair_shares_by_hand() -> None:
    nothing = np.zeros(3)
    wanted = np.array([2.0, 8, 10])
    np.testing.assert_allclose(fair_shares(wanted, nothing, nothing, 15), [2, 6.5, 6.5])
    np.testing.assert_allclose(fair_shares(wanted, nothing, nothing, 30), wanted)
    guaranteed = np.array([1.0, 5, 1])  # above them 1, 3 and 9 are wanted; 8 are there, so 1, 3 and 4
    np.testing.assert_allclose(fair_shares(wanted, guaranteed, nothing, 15), [2, 8, 5])
    least = np.array([0.0, 0, 9])  # kept, although it is more than fair
    np.testing.assert_allclose(fair_shares(wanted, nothing, least, 15), [2, 4, 9])


@given(
    numbers=arrays(float, (3, 6), elements=st.floats(0, 100)),
    part=st.floats(0, 1),
)
def test_fair_shares_are_max_min_fair(numbers: np.ndarray, part: float) -> None:
    guaranteed, wanted = numbers[0], numbers[0] + numbers[1]
    least = np.minimum(numbers[2], wanted)
    budget = least.sum() + part * (wanted.sum() - least.sum())
    shares = fair_shares(wanted, guaranteed, least, budget)
    assert (shares >= least - EXACT).all()
    assert (shares <= wanted + EXACT).all()
    assert shares.sum() == pytest.approx(budget, abs=1e-6)
    above = shares - guaranteed
    could_have_more, could_have_less = shares < wanted - 1e-6, shares > least + 1e-6
    if could_have_more.any() and could_have_less.any():
        assert above[could_have_less].max() <= above[could_have_more].min() + 1e-6


# -- every rule by hand ------------------------------------------------------------------------------------------------


def advice_of(wanted: Any) -> Advice:
    array = np.array(wanted, float)
    return Advice(array, tuple(Reason("test", "wanted") for _ in array), {})


def limited(
    safety: Safety, allocated: Any, wanted: Any, used: Any = None, changed_at: float = -np.inf
) -> tuple[Decision, list[list[str]]]:
    """A decision of safety, and the codes of its reasons."""
    allocated = np.array(allocated, float)
    seen = seen_of([allocated * 0.5 if used is None else used], allocated, start_s=NOW_S - INTERVAL_S)
    state = dict(safety.begin(seen.usage.zones)) | {"changed_at": np.full(allocated.shape, changed_at)}
    decision = safety.limit(seen, advice_of(wanted), state)
    return decision, [[reason.code for reason in reasons] for reasons in decision.reasons]


@pytest.mark.parametrize(
    ("settings", "wanted", "given", "codes"),
    [
        ({}, 6.0, 6.0, []),
        ({}, 9.0, 8.0, ["step-limit"]),
        ({}, 1.0, 3.0, ["step-limit"]),
        ({"step_up": 0.1}, 6.0, 4.4, ["step-limit"]),
        ({"upper": (5.0, 1e9, 1e9)}, 6.0, 5.0, ["bounds"]),
        ({"lower": (3.5, 1.0, 1.0)}, 1.0, 3.5, ["step-limit", "bounds"]),
        ({"hysteresis": 0.1}, 4.39, 4.0, ["hysteresis"]),
        ({"hysteresis": 0.1}, 4.41, 4.41, []),
        ({"fixed": ("cpu_cores",)}, 6.0, 4.0, []),
        ({}, NAN, 4.0, []),
    ],
)
def test_one_rule_at_a_time(settings: dict[str, Any], wanted: float, given: float, codes: list[str]) -> None:
    decision, found = limited(dataclasses.replace(FREE, **settings), [[4, 1000, 50]], [[wanted, 1000, 50]])
    assert decision.after[0, 0] == pytest.approx(given)
    assert decision.after[0, 1:].tolist() == [1000, 50]
    assert found == [["test", *codes]]


def test_a_reason_says_what_was_done() -> None:
    decision, _ = limited(FREE, [[4, 1000, 50]], [[9, 1000, 50]])
    assert decision.of("a").reason == "wanted; CPU changes by steps: 8 cores instead of 9 cores"


@pytest.mark.parametrize(("age_s", "up", "down"), [(50, 4, 4), (150, 5, 4), (350, 5, 3.5)])
def test_cooldown_is_separate_up_and_down(age_s: float, up: float, down: float) -> None:
    safety = dataclasses.replace(FREE, cooldown_up_s=100.0, cooldown_down_s=300.0)
    for wanted, expected in ((5.0, up), (3.5, down)):
        decision, codes = limited(safety, [[4, 1000, 50]], [[wanted, 1000, 50]], changed_at=NOW_S - age_s)
        assert decision.after[0, 0] == expected
        assert ("cooldown" in codes[0]) == (expected == 4)


def test_nothing_shrinks_on_missing_data() -> None:
    decision, codes = limited(FREE, [[4, 1000, 50]] * 2, [[3.5, 900, 45], [5, 900, 60]], [[NAN, 500, NAN]] * 2)
    assert decision.after.tolist() == [[4, 900, 50], [5, 900, 60]]
    assert codes == [["test", "data-missing", "data-missing"], ["test"]]


def test_a_budget_is_shared_by_what_lies_above_the_minimum() -> None:
    safety = dataclasses.replace(FREE, budget=(10.0, np.inf, np.inf), lower=(1.0, 1.0, 1.0))
    decision, codes = limited(safety, [[2, 100, 10], [4, 100, 10], [2, 100, 10]], [[4, 100, 10]] * 3)
    np.testing.assert_allclose(decision.after[:, 0], [10 / 3] * 3)  # the second one gives some away
    assert codes == [["test", "budget"]] * 3
    decision, _ = limited(
        safety, [[2, 100, 10], [5, 100, 10], [2, 100, 10]], [[4, 100, 10], [5, 100, 10], [2, 100, 10]]
    )
    np.testing.assert_allclose(decision.after[:, 0], [4, 4, 2])


def test_a_zone_in_cooldown_or_in_the_dark_gives_nothing_away() -> None:
    safety = dataclasses.replace(FREE, budget=(8.0, np.inf, np.inf), cooldown_down_s=300.0)
    for rest in ({"changed_at": NOW_S - 10}, {"used": [[NAN, 50, 5]] * 2}):
        decision, _ = limited(safety, [[2, 100, 10], [5, 100, 10]], [[4, 100, 10], [6, 100, 10]], **rest)
        assert decision.after[:, 0].tolist() == [3, 5]


def test_bounds_and_budget_go_before_everything_else() -> None:
    """What is there already exceeds them, say since somebody changed the settings."""
    safety = dataclasses.replace(FREE, upper=(5.0, 1e9, 1e9), budget=(6.0, np.inf, np.inf), cooldown_down_s=300.0)
    decision, _ = limited(safety, [[9, 500, 50]] * 2, [[9, 500, 50]] * 2, changed_at=NOW_S)
    assert decision.after[:, 0] == pytest.approx(3)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"lower": (0.0, 1.0, 1.0)}, r"safety\.lower is .* it needs 3 positive amounts"),
        ({"upper": (1.0, 1.0)}, r"safety\.upper"),
        ({"lower": (9.0, 1.0, 1.0), "upper": (8.0, 2.0, 2.0)}, "exceeds"),
        ({"step_down": 1.0}, r"safety\.step_down is 1\.0; it must lie between 0 and 1"),
        ({"cooldown_up_s": -1.0}, r"safety\.cooldown_up_s is -1\.0; it cannot be negative"),
        ({"fixed": ("cpu",)}, r"no resource 'cpu'; did you mean 'cpu_cores'"),
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AutoscaleError, match=sentence):
        Safety(**wrong)


def test_a_budget_below_the_guaranteed_minimum() -> None:
    with pytest.raises(AutoscaleError, match="budget of cpu_cores is smaller than 3 times"):
        Safety(budget=(0.2, np.inf, np.inf)).begin("abc")


# -- properties --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    safety: Safety
    seen: Seen
    advice: Advice
    state: State


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Zones whose sizes are legal, advice of any kind, some data missing, some zones changed lately."""
    zones = draw(st.integers(1, 5))
    random, shape = np.random.default_rng(draw(st.integers(0, 2**32 - 1))), (zones, 3)
    lower = random.uniform(0.01, 10, 3)
    upper = lower * random.uniform(1, 50, 3)
    allocated = np.clip(lower + (upper - lower) * random.choice([0, random.random(), 1], shape), lower, upper)
    room = random.choice([1.0, 1.1, 3.0, np.inf], 3)
    safety = Safety(
        lower=tuple(lower),
        upper=tuple(upper),
        budget=tuple(allocated.sum(axis=0) * room),
        step_up=draw(st.sampled_from([0.0, 0.3, 3.0])),
        step_down=draw(st.sampled_from([0.01, 0.3, 0.9])),
        cooldown_up_s=draw(st.sampled_from([0.0, 60.0, 600.0])),
        cooldown_down_s=draw(st.sampled_from([0.0, 60.0, 600.0])),
        hysteresis=draw(st.sampled_from([0.0, 0.05, 0.5])),
        fixed=draw(st.sampled_from([(), ("bandwidth_mbps",)])),
    )
    wishes = np.stack([allocated * random.uniform(0.3, 2, shape), *(np.full(shape, x) for x in (NAN, 0, np.inf, 1e6))])
    wanted = random.choice(wishes, p=[0.6, 0.1, 0.1, 0.1, 0.1])
    wanted = np.where(random.random(shape) < 0.3, allocated * random.uniform(0.9, 3, shape), wanted)
    used = random.choice([NAN, 0.1, 1.0], shape)
    changed_at = NOW_S - random.choice([0.0, 59.0, 60.0, 599.0, np.inf], shape)
    seen = seen_of([used], allocated, start_s=NOW_S - INTERVAL_S)
    return Case(safety, seen, advice_of(wanted), dict(safety.begin(zones_of(zones))) | {"changed_at": changed_at})


@settings(max_examples=200, deadline=None)
@given(case=cases())
def test_whatever_is_wanted_the_rules_hold(case: Case) -> None:
    safety, before, missing = case.safety, case.seen.allocated, case.seen.missing
    decision = safety.limit(case.seen, case.advice, case.state)
    after, changed = decision.after, decision.changed
    event(f"{changed.sum() > 0} changed")

    assert (after >= np.array(safety.lower) * (1 - EXACT)).all()
    assert (after <= np.array(safety.upper) * (1 + EXACT)).all()
    assert (after.sum(axis=0) <= np.array(safety.budget) * (1 + EXACT)).all()
    assert (after[missing] >= before[missing]).all()
    assert (after <= before * (1 + safety.step_up) * (1 + EXACT)).all()
    assert (after >= before * (1 - safety.step_down) * (1 - EXACT)).all()
    age_s = NOW_S - case.state["changed_at"]
    assert (after[age_s < safety.cooldown_up_s] <= before[age_s < safety.cooldown_up_s]).all()
    assert (after[age_s < safety.cooldown_down_s] >= before[age_s < safety.cooldown_down_s]).all()
    assert not changed[:, ~safety.managed].any()
    for z, reasons in enumerate(decision.reasons):
        asked = case.advice.wanted[z][safety.managed]
        as_asked = np.isnan(asked) | (asked == after[z][safety.managed])
        assert as_asked.all() or len(reasons) > 1


@settings(max_examples=100, deadline=None)
@given(case=cases())
def test_the_same_again_changes_nothing(case: Case) -> None:
    """What was decided, once applied, is decided again as it is: cooldown holds it, and nothing else has moved."""
    assume(case.safety.cooldown_up_s > 0 and case.safety.cooldown_down_s > 0)
    safety = case.safety
    first = safety.limit(case.seen, case.advice, case.state)
    state = safety.applied(first, np.ones(len(first.zones), bool), case.state)
    second = safety.limit(dataclasses.replace(case.seen, allocated=first.after), case.advice, state)
    np.testing.assert_allclose(second.after, first.after, rtol=1e-7)


@settings(max_examples=50, deadline=None)
@given(case=cases())
def test_who_wants_what_there_is_keeps_it(case: Case) -> None:
    decision = case.safety.limit(case.seen, advice_of(case.seen.allocated), case.state)
    np.testing.assert_allclose(decision.after, case.seen.allocated, rtol=1e-7)


# -- forecasts ---------------------------------------------------------------------------------------------------------


def good(cpu: float = 2.0) -> list[list[list[float]]]:
    """One zone's forecast of one interval."""
    return [[[0.5 * cpu, cpu, 1.5 * cpu], [200, 400, 500], [10, 20, 30]]]


def faults(values: Any, made_at: float = NOW_S, used: Any = ((4.0, 400.0, 40.0),), **rest: Any) -> list[str]:
    seen = seen_of([used], [[4.0, 500, 50]] * len(used), start_s=NOW_S - INTERVAL_S, **rest)
    seen = dataclasses.replace(seen, forecasts=None if values is None else forecasts_of(values, made_at))
    safety = Safety()
    return safety.faults(seen, safety.observed(seen, safety.begin(seen.usage.zones))).tolist()


def test_forecasts_that_are_not_believed() -> None:
    assert faults([good()]) == [""]
    assert faults(None) == ["forecast-missing"]
    assert faults([good()], made_at=NOW_S - 60) == ["forecast-missing"]  # it ends now
    assert faults([good() * 9], made_at=NOW_S - 180) == [""]
    assert faults([good() * 9], made_at=NOW_S - 181) == ["forecast-stale"]
    assert faults([good(NAN)]) == ["forecast-absurd"]
    assert faults([good(-1.0)]) == ["forecast-absurd"]
    assert faults([good(26.0)]) == [""]  # 39 is below ten times the 4 that were used
    assert faults([good(27.0)]) == ["forecast-absurd"]
    crossed = [[[3.0, 2.0, 4.0], [200, 400, 500], [10, 20, 30]]]
    assert faults([crossed]) == ["forecast-absurd"]
    unmanaged = [[[1.0, 2.0, 3.0], [200, 400, 500], [NAN, NAN, NAN]]]
    assert faults([unmanaged]) == [""]
    assert faults([good(), good(NAN)], used=[[4.0, 400, 40]] * 2) == ["", "forecast-absurd"]
    assert faults([good()], used=[[4.0, 400, 40]] * 2) == ["forecast-missing"] * 2  # of other zones


def test_without_a_forecast_zones_are_held_and_then_left_to_the_fallback() -> None:
    """Good for two turns, absurd for one zone from then on, good again in the end."""
    logic = Logic(make_recommender("forecast", burst=0), make_recommender("hpa", unit=(1.0, 100.0, 10.0)), FREE)
    remembered = logic.begin("ab")
    allocated = np.array([[4.0, 400, 40]] * 2)
    found = []
    for turn in range(9):
        now_s = 60.0 * (turn + 1)
        values = [good(), good(NAN if 2 <= turn < 7 else 2.0)]
        seen = seen_of([[[3.5, 300, 30]] * 2], allocated, start_s=now_s - 60, forecasts=forecasts_of(values, now_s))
        decision, remembered = logic.decide(seen, remembered)
        found.append((decision.reasons[1][0].code, float(decision.after[1, 0])))
        assert decision.reasons[0][0].code == "forecast"
    forecast, held, instead = ("forecast", pytest.approx(3.3)), ("forecast-absurd", 4.0), ("forecast-absurd", 5.0)
    assert found == [forecast] * 2 + [held] * 2 + [instead] * 3 + [forecast] * 2


def test_a_forecast_that_never_came() -> None:
    logic = Logic(make_recommender("forecast", burst=0), make_recommender("hpa", unit=(1.0, 100.0, 10.0)), FREE)
    remembered, found = logic.begin("a"), []
    for turn in range(5):
        seen = seen_of([[[3.9, 300, 30]]], [[4.0, 400, 40]], start_s=60.0 * turn)
        decision, remembered = logic.decide(seen, remembered)
        found.append(float(decision.after[0, 0]))
    assert found == [4, 4, 4, 6, 6]
    assert decision.of("a").reason.startswith("forecast is missing, so CPU use 98% of 4 replicas, so 6")
