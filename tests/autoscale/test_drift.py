"""Whose forecasts are distrusted, when, and until when."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from autoscale.situations import INTERVAL_S, NAN, forecasts_of, usage_of

from metalore.autoscale import (
    Advice,
    AutoscaleError,
    Logic,
    Reason,
    Remembered,
    Safety,
    Seen,
    State,
    Usage,
    make_recommender,
)
from metalore.autoscale.logic import _mixed
from metalore.autoscale.recommender import from_json, to_json

pytest.importorskip("river", reason="river is not installed")

from metalore.autoscale.drift import ALARM, Drift

MANAGED = np.array([True, True, False])
GIVEN = np.array([4.0, 800.0, 80.0])
TRUE_MEDIAN, TRUE_P90 = np.array([2.0, 400.0, 40.0]), np.array([2.5, 450.0, 45.0])  # of what zones use
SIGMA = (TRUE_P90 - TRUE_MEDIAN) / 1.2816
"""Use is normal, and a forecast that is right knows it: so an error has the mean 0.8 / 1.28 of one resource."""


class Days:
    """Zones that use what is drawn, forecasts by a factor wrong, and a detector that looks on."""

    def __init__(self, zones: int = 30, seed: int = 0, drift: Drift | None = None) -> None:
        self.drift = drift or Drift()
        self.random, self.now_s = np.random.default_rng(seed), 0.0
        self.names = tuple(f"z{z}" for z in range(zones))
        self.state: State = self.drift.begin(self.names)
        self.factor, self.demand = np.ones(zones), np.ones(zones)
        self.forecast = True

    def turn(self) -> np.ndarray:
        """An interval; the zones that are distrusted after it, [z]."""
        self.now_s += INTERVAL_S
        used = self.demand[:, None] * TRUE_MEDIAN + SIGMA * self.random.standard_normal((len(self.names), 3))
        self.state = self.drift.observed(self._seen(used), MANAGED, self.state)
        return self.state["distrust"] >= ALARM

    def turns(self, times: int) -> np.ndarray:
        """[t, z]"""
        return np.array([self.turn() for _ in range(times)])

    def _seen(self, used: np.ndarray) -> Seen:
        right = np.stack([2 * TRUE_MEDIAN - TRUE_P90, TRUE_MEDIAN, TRUE_P90], axis=-1)
        values = self.factor[:, None, None, None] * right[None, None]
        usage = Usage(np.array([self.now_s - INTERVAL_S]), self.names, used[None], INTERVAL_S)
        forecasts = forecasts_of(values, self.now_s) if self.forecast else None
        return Seen(self.now_s, usage, forecasts, np.tile(GIVEN, (len(used), 1)), INTERVAL_S)


# -- what is found, and how fast ---------------------------------------------------------------------------------------


def test_forecasts_that_are_right_are_hardly_ever_distrusted() -> None:
    days = Days()
    found = days.turns(720)
    alarms = (found[1:] & ~found[:-1]).sum() / len(days.names)
    assert alarms <= 0.1  # of a zone in half a day
    assert found.mean() < 0.002


@pytest.mark.parametrize(("factor", "intervals"), [(0.5, 10), (0.7, 16), (1.5, 16), (2.0, 10)])
def test_a_bias_is_found_and_forgiven_within_some_intervals(factor: float, intervals: int) -> None:
    days = Days()
    days.turns(200)
    days.factor[:10] = factor
    found = days.turns(60)
    assert found[intervals:, :10].all()
    assert not found[:, 10:].any()
    assert (days.state["distrust"][:10] > 0.8).all()
    days.factor[:10] = 1.0
    assert not days.turns(30)[intervals:].any()


def test_a_bias_that_was_there_from_the_beginning_is_found() -> None:
    """Nothing changes then: it is the size of the errors that tells."""
    days = Days()
    days.factor[:] = 0.5
    found = days.turns(20)
    assert not found[: days.drift.least].any()
    assert found[days.drift.least :].all()


@pytest.mark.parametrize("demand", [0.5, 1.6, 0.0])  # a drift of demand, a crowd that stays, a zone that fails
def test_demand_that_forecasts_do_not_follow_is_found(demand: float) -> None:
    days = Days()
    days.turns(100)
    days.demand[3] = demand
    assert days.turns(20)[10:, 3].all()


def test_one_flash_crowd_of_an_interval_is_no_drift() -> None:
    days = Days()
    days.turns(100)
    days.demand[:] = 3.0
    days.turn()
    days.demand[:] = 1.0
    assert not days.turns(20).any()


def test_a_detector_that_fires_since_errors_shrink_raises_nothing() -> None:
    days = Days(drift=Drift(good=3.5, bad=4.0))
    days.factor[:] = 0.7
    days.turns(100)
    assert np.isfinite(days.state["errors"]).all()
    days.factor[:] = 1.0
    for _ in range(20):
        days.turn()
        assert not days.state["distrust"].any()
    assert np.isnan(days.state["errors"]).any(axis=0).all()  # it has fired for every zone


# -- errors ------------------------------------------------------------------------------------------------------------


def errors_of(used: Any, values: Any, given: Any = GIVEN) -> float:
    """The error of one zone, for which `values` [r, q] were forecast and which then used something [r]."""
    drift, names = Drift(), ("a",)
    seen = Seen(60.0, usage_of([[TRUE_MEDIAN]]), forecasts_of([[values]], 60.0), np.array([given]), 60.0)
    state = drift.observed(seen, MANAGED, drift.begin(names))
    later = Seen(120.0, usage_of([[used]], start_s=60.0), None, np.array([given]), 60.0)
    return float(drift.observed(later, MANAGED, state)["errors"][-1, 0])


def test_an_error_by_hand() -> None:
    values = [[1, 2, 2.5], [300, 400, 450], [10, 20, 30]]
    assert errors_of([2.5, 400, 99], values) == 1  # as far as the 0.9 quantile; bandwidth does not count
    assert errors_of([1.5, 400, 20], values) == 1
    assert errors_of([2.0, 500, 20], values) == 2
    assert errors_of([2.5, NAN, 20], values) == 1
    assert errors_of([9.9, 400, 20], values) == 5
    assert np.isnan(errors_of([NAN, NAN, 20], values))
    exact = [[2, 2, 2], [400, 400, 400], [20, 20, 20]]
    assert errors_of([2.4, 400, 20], exact) == pytest.approx(2)  # 0.2 cores are 5 % of what it has
    assert errors_of([2.4, 400, 20], [[0, np.inf, np.inf], *values[1:]]) == 0  # absurd, which safety says


def test_forecasts_are_judged_once_however_late_usage_comes() -> None:
    drift = Drift()
    state, counts = drift.begin(("a",)), []
    for minute, known in ((1, 1), (2, 1), (3, 3), (4, 3), (5, 5)):  # an interval is not known, but with the next one
        usage = usage_of([[TRUE_MEDIAN]] * known)
        values = [[[1, 2, 2.5], [300, 400, 450], [10, 20, 30]]] * 9
        seen = Seen(60.0 * minute, usage, forecasts_of([values], 60.0 * known), GIVEN[None], 60.0)
        state = drift.observed(seen, MANAGED, state)
        counts.append(int(np.isfinite(state["errors"]).sum()))
    assert counts == [0, 0, 1, 1, 2]


def test_an_old_forecast_is_judged_by_what_it_said_of_the_interval() -> None:
    """Made once for nine intervals, and given again."""
    drift = Drift()
    state = drift.begin(("a",))
    values = [[[[c - 1, c, c + 1], [300, 400, 500], [10, 20, 30]] for c in range(9)]]
    for minute in range(1, 6):
        used = [minute - 2.0, 400, 20]  # as it was forecast at minute 1, of the intervals from there on
        seen = Seen(60.0 * minute, usage_of([[used]], start_s=60.0 * (minute - 1)), forecasts_of(values, 60.0),
            GIVEN[None], 60.0)  # fmt: skip
        state = drift.observed(seen, MANAGED, state)
    assert state["errors"][-4:, 0].tolist() == [0, 0, 0, 0]


def test_without_forecasts_nothing_is_learned() -> None:
    days = Days()
    days.turns(20)
    days.factor[:] = 0.1
    days.turns(10)
    days.forecast = False
    days.turn()
    before = days.state["errors"]
    days.turns(5)
    np.testing.assert_array_equal(days.state["errors"], before)
    assert (days.state["distrust"] >= ALARM).all()


# -- what is remembered ------------------------------------------------------------------------------------------------


def test_a_detector_that_starts_again_in_every_turn_goes_on_where_it_was() -> None:
    straight, restarted = Days(seed=3), Days(seed=3)
    for turn in range(300):
        for days in (straight, restarted):
            days.factor[:10] = 0.6 if 100 <= turn < 150 or turn > 220 else 1.0
            days.turn()
        restarted.state, restarted.drift = from_json(to_json(restarted.state)), Drift()
        for name, values in straight.state.items():
            np.testing.assert_array_equal(values, restarted.state[name])
    assert straight.state["distrust"][:10].min() > 0.5


def test_zones_do_not_touch_each_other() -> None:
    alone, beside = Days(seed=5), Days(seed=5)
    beside.factor[1:] = 0.5
    for days in (alone, beside):
        days.turns(80)
    np.testing.assert_array_equal(alone.state["errors"][:, 0], beside.state["errors"][:, 0])


# -- in the logic ------------------------------------------------------------------------------------------------------


def decided(drift: Drift | None, factor: float, turns: int = 40) -> tuple[list[str], Remembered]:
    """First codes of a zone whose forecasts are wrong from turn 20 on, and what is remembered in the end."""
    hpa = make_recommender("hpa", unit=(1.0, 100.0, 10.0))
    logic = Logic(make_recommender("forecast"), hpa, Safety(), drift)
    remembered, codes = logic.begin(("a",)), []
    for turn in range(turns):
        now_s = INTERVAL_S * (turn + 1)
        right = np.stack([2 * TRUE_MEDIAN - TRUE_P90, TRUE_MEDIAN, TRUE_P90], axis=-1)
        values = right[None, None] * (factor if turn >= 20 else 1.0)
        usage = usage_of([[TRUE_MEDIAN]], start_s=now_s - INTERVAL_S)
        decision, remembered = logic.decide(
            Seen(now_s, usage, forecasts_of(values, now_s), GIVEN[None], INTERVAL_S), remembered
        )
        codes.append(decision.reasons[0][0].code)
        remembered = Remembered.from_json(remembered.to_json())
    return codes, remembered


def test_zones_whose_forecast_is_distrusted_are_left_to_the_fallback() -> None:
    codes, remembered = decided(Drift(), 0.5)
    first = codes.index("forecast-distrusted")
    assert 20 < first <= 31
    assert set(codes[:first]) == {"forecast"}
    assert set(codes[first:]) == {"forecast-distrusted"}
    assert remembered.drift["distrust"] == 1
    assert set(decided(Drift(), 1.0)[0]) == {"forecast"}


def test_the_fallback_is_followed_as_far_as_a_forecast_is_distrusted() -> None:
    """It wants 4 cores, the forecast 2; three zones, trusted, half and not at all."""
    forecast, fallback = (
        Advice(np.full((3, 3), cores), tuple(Reason(code, f"{cores:g}") for _ in range(3)), {})
        for code, cores in (("forecast", 2.0), ("hpa", 4.0))
    )
    found = _mixed(forecast, fallback, np.array([0.0, 0.5, 1.0]))
    assert found.wanted[:, 0].tolist() == [2, 3, 4]
    assert [reason.code for reason in found.reasons] == ["forecast", "forecast-distrusted", "forecast-distrusted"]
    assert [reason.words for reason in found.reasons] == [
        "2",
        "forecast is distrusted, so by 50% 4; else 2",
        "forecast is distrusted, so by 100% 4",
    ]


def test_without_a_detector_nobody_is_distrusted() -> None:
    codes, remembered = decided(None, 0.5)
    assert set(codes) == {"forecast"}
    assert remembered.drift == {}


def test_what_was_remembered_without_a_detector_can_be_gone_on_from_with_one() -> None:
    old = '{"recommender": {}, "fallback": {}, "safety": {}}'
    assert Remembered.from_json(old).drift == {}


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"good": 3.0}, r"drift\.good 3\.0, drift\.bad 2\.5 and drift\.largest 5\.0 must rise"),
        ({"delta": 1.5}, r"drift\.delta is 1\.5; it cannot be above 1"),
        ({"delta": 0.0}, r"drift\.delta is 0\.0; it must be positive"),
        ({"window": 9}, r"drift\.window 9 is smaller than twice drift\.least 5"),
    ],
)
def test_settings_that_cannot_be(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AutoscaleError, match=sentence):
        Drift(**wrong)


def test_without_river(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "river.drift", None)
    with pytest.raises(AutoscaleError, match=r'needs river, which is missing: pip install "metalore\[drift\]"'):
        Drift()
