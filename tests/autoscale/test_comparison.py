"""Recommenders in the same city: what is the same for all, and what is measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from autoscale.situations import LEVELS
from autoscale.test_simulated import town

from metalore.autoscale import AutoscaleError, Forecast, Forecasts, Safety, Usage
from metalore.autoscale.comparison import (
    MEASURES,
    Candidate,
    Demand,
    Plan,
    Result,
    candidate,
    compare,
    differences,
    measures,
    run,
    run_demand,
    runs,
    summary,
)
from metalore.intervals import bootstrap_mean

MINUTE = 1 / 1440
PLAN = Plan(
    town(),
    days=10 * MINUTE,
    history_days=5 * MINUTE,
    interval_s=30.0,
    latency_target_ms=1000.0,
    safety=Safety(cooldown_down_s=0.0),
)


@pytest.fixture(scope="module")
def demand() -> Demand:
    return run_demand(PLAN, 1)


def candidates(*texts: str) -> dict[str, Candidate]:
    return {text: candidate(text, PLAN.scenario) for text in texts}


def last_value(history: Usage) -> Forecast:
    """A forecaster that was fitted to the history: the newest value, half and one and a half times."""
    assert len(history) == PLAN.history

    def forecast(usage: Usage, now_s: float) -> Forecasts:
        assert len(usage) >= PLAN.history
        values = usage.used[-1][:, None, :, None] * [0.5, 1.0, 1.5]
        return Forecasts(now_s, np.array([now_s]), 30.0, LEVELS, values)

    return forecast


@pytest.fixture(scope="module")
def results() -> list[Result]:
    told: list[tuple[int, int]] = []
    names = candidates("forecast", "vpa", "hpa", "static:headroom=0.1", "foresight:headroom=0.1")
    found = compare(PLAN, names, [1, 2], last_value, lambda done, intervals: told.append((done, intervals)))
    assert [done for done, _ in told] == list(range(len(told)))
    assert told[-1] == (2 * (10 + 20 + 5 * 20),) * 2
    return found


def test_the_days_that_count_follow_the_history(demand: Demand) -> None:
    assert demand.history.times.tolist() == [30.0 * i for i in range(10)]
    assert demand.times.tolist() == [300 + 30.0 * i for i in range(20)]
    whole = run_demand(Plan(town(), days=15 * MINUTE, history_days=0, interval_s=30.0, safety=PLAN.safety), 1)
    np.testing.assert_array_equal(whole.used[10:], demand.used)
    np.testing.assert_array_equal(demand.peak, demand.used.max(axis=0))


def test_a_run_depends_on_demand_and_recommender_alone(results: list[Result], demand: Demand) -> None:
    """Not on who was run before, nor on who runs beside."""
    turns: list[Any] = []
    again = run(PLAN, demand, candidate("hpa", PLAN.scenario)(demand), told=turns.append).result
    assert [turn.time_s for turn in turns] == [300 + 30.0 * i for i in range(20)]
    mine = next(r for r in results if r["recommender"] == "hpa" and r["seed"] == 1)
    assert {name: again[name] for name in MEASURES} == {name: mine[name] for name in MEASURES}
    other = run(PLAN, demand, candidate("threshold", PLAN.scenario)(demand)).result
    assert other["core_hours"] != again["core_hours"]


def test_what_is_measured(results: list[Result]) -> None:
    assert [(r["recommender"], r["seed"]) for r in results[:2]] == [("forecast", 1), ("vpa", 1)]
    by_name = {r["recommender"]: r for r in results if r["seed"] == 1}
    for result in results:
        assert set(result) == {"recommender", "seed", "codes", *MEASURES}
        assert 0 <= result["slo_violations"] <= 1
        assert result["cpu_slack"] < 1
        assert sum(result["codes"].values()) >= 4 * 20
    assert by_name["static:headroom=0.1"]["reversals"] == 0
    foresight, static = by_name["foresight:headroom=0.1"], by_name["static:headroom=0.1"]
    assert foresight["core_hours"] < static["core_hours"]
    assert foresight["cpu_slack"] < static["cpu_slack"]
    assert foresight["changes"] > static["changes"]
    assert by_name["forecast"]["codes"]["forecast"] == 80


def test_measures_by_hand() -> None:
    """Two intervals of half a minute, two zones."""
    row = {
        "requests": [10, 0],
        "completed": [8, 0],
        "latency_ms": [1200, np.nan],
        "lost": [2.0, 0.0],
        "aori_s": [3.0, np.nan],
        "aosi_s": [1.0, np.nan],
        "cpu_cores": [1.0, 0.5],
        "memory_mb": [300.0, 200.0],
        "given_cores": [2.0, 1.0],
        "given_mb": [400.0, 400.0],
    }
    good = row | {
        "requests": [10, 5],
        "completed": [24, 0],
        "aori_s": [1.0, np.nan],
        "latency_ms": [1000, np.nan],
        "lost": [0.0, 0.0],
        "given_cores": [4.0, 1.0],
    }
    rows = [{name: np.array(values) for name, values in r.items()} for r in (row, good)]
    used = np.array([[[2.0, 500, 1], [0.5, 200, 1]], [[1.0, 300, 1], [1.0, 500, 1]]])
    found = measures(rows, PLAN, Demand(Usage.nothing(("a", "b"), 30.0), np.arange(2), used, {}, violations=0.25))
    hours = 30 / 3600
    assert found == pytest.approx(
        {
            "slo_violations": 2 / 3,  # too slow, good, and none of five completed; nobody asked in the fourth
            "slo_floor": 0.25,
            "lost_requests": 2 / 25,
            "aori_s": (8 * 3.0 + 24 * 1.0) / 32,
            "aosi_s": 1.0,
            "cpu_slack": (0.5 + 0.5 + 0.75 + 0.5) / 4,
            "memory_slack": (0.25 + 0.5 + 0.25 + 0.5) / 4,
            "core_hours": 8 * hours,
            "gb_hours": 1.6 * hours,
            "cpu_cost": 8 / (3 * 1.1 * 2),
            "memory_cost": 1600 / (1000 * 1.1 * 2),
        }
    )


def test_the_course_says_what_the_measures_say(demand: Demand) -> None:
    hpa = candidate("hpa", PLAN.scenario)(demand)
    target_ms = float(np.nanmedian(run(PLAN, demand, hpa).series["latency_ms"]))
    result, course = run(replace(PLAN, latency_target_ms=target_ms), demand, hpa)
    size = len(demand.history.zones) * 20
    assert {len(values) for values in course.values()} == {size}
    zones = np.repeat(demand.history.zones, 20)
    assert course["zone"].tolist() == zones.tolist()
    np.testing.assert_array_equal(course["time_s"][:20], demand.times)
    assert course["given_cores"].sum() * 30 / 3600 == pytest.approx(result["core_hours"], rel=1e-5)
    assert (1 - course["memory_mb"] / course["given_mb"]).mean() == pytest.approx(result["memory_slack"], rel=1e-5)
    late = course["latency_ms"] > target_ms
    assert size / 3 < course["violated"].sum() < size
    assert course["violated"][late].all()
    assert np.isnan(course["latency_ms"][course["violated"] & ~late]).all()


def test_what_is_finished_is_left_out() -> None:
    told: list[tuple[int, int]] = []
    done = [("hpa", 1), ("static", 1), ("hpa", 2)]
    found = list(runs(PLAN, candidates("hpa", "static"), [1, 2], None, lambda *now: told.append(now), done))
    assert [(one.result["recommender"], one.result["seed"]) for one in found] == [("static", 2)]
    assert told[-1] == (10 + 20 + 20,) * 2


def test_over_seeds(results: list[Result]) -> None:
    table, against = summary(results), differences(results, "hpa")
    cores = {name: [r["core_hours"] for r in results if r["recommender"] == name] for name in table}
    for name, values in cores.items():
        assert table[name]["core_hours"] == bootstrap_mean(np.array(values))
        if name != "hpa":
            apart = np.subtract(values, cores["hpa"])
            assert against[name]["core_hours"] == bootstrap_mean(apart)
    assert "hpa" not in against
    with pytest.raises(AutoscaleError, match="no recommender 'vpn'; they have forecast"):
        differences(results, "vpn")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("forcast", "no recommender 'forcast'; did you mean 'forecast'"),
        ("hpa:targt=0.5", "hpa has no setting 'targt'; did you mean 'target'"),
        ("hpa:target", "'hpa:target' sets 'target'; a setting is a name, =, and a number"),
        ("static:headrom=1", "static has no setting 'headrom'"),
    ],
)
def test_recommenders_that_cannot_be(text: str, sentence: str) -> None:
    with pytest.raises(AutoscaleError, match=sentence):
        candidate(text, PLAN.scenario)


def test_the_threshold_rule_is_scaled_to_the_largest_server(demand: Demand) -> None:
    assert candidate("threshold", PLAN.scenario)(demand).scale == pytest.approx(10 / 1.2)  # type: ignore[attr-defined]
    assert candidate("threshold:scale=1", PLAN.scenario)(demand).scale == 1  # type: ignore[attr-defined]


def test_days_that_cannot_be() -> None:
    for wrong in ({"days": 0.0}, {"days": 1.0001}, {"history_days": -1.0}):
        with pytest.raises(AutoscaleError, match="must be a multiple of the interval of 60 s"):
            Plan(town(), **wrong)
