"""What decisions are made from, and how it is kept."""

from __future__ import annotations

import numpy as np
import pytest
from autoscale.situations import LEVELS, NAN, forecasts_of, seen_of, usage_of

from metalore.autoscale import AutoscaleError, Decision, Forecasts, Reason, Usage, make_recommender
from metalore.autoscale.recommender import from_json, to_json
from metalore.autoscale.registry import read_recommender


def test_the_newest_interval_counts_until_the_next_one_should_be_there() -> None:
    usage = usage_of([[[1, 2, 3]], [[4, 5, 6]]])  # ends at 120 s
    np.testing.assert_array_equal(usage.latest(120), [[4, 5, 6]])
    np.testing.assert_array_equal(usage.latest(179), [[4, 5, 6]])
    assert np.isnan(usage.latest(180)).all()
    assert np.isnan(Usage.nothing("ab", 60).latest(0)).all()
    assert usage.recent(1, 179).times.tolist() == [60]
    assert usage.recent(5, 179).times.tolist() == [0, 60]
    assert usage.recent(5, 180).times.tolist() == []


def test_usage_since_a_time() -> None:
    usage = usage_of([[[1, 1, 1]], [[2, 2, 2]], [[3, 3, 3]]], ran_out=[[False], [True], [False]])
    later = usage.since(60)
    assert later.times.tolist() == [60, 120]
    assert later.used[:, 0, 0].tolist() == [2, 3]
    assert later.out_of_memory is not None
    assert later.out_of_memory[:, 0].tolist() == [True, False]


@pytest.mark.parametrize(
    ("times", "used", "sentence"),
    [
        ([0.0, 60.0], np.zeros((2, 1, 2)), "usage has the shape"),
        ([60.0, 0.0], np.zeros((2, 1, 3)), "the times of usage must rise"),
    ],
)
def test_usage_that_cannot_be(times: list[float], used: np.ndarray, sentence: str) -> None:
    with pytest.raises(AutoscaleError, match=sentence):
        Usage(np.array(times), ("a",), used, 60.0)


def test_the_highest_quantile_until_a_change_can_take_effect() -> None:
    cpu = [[1, 2, 3], [2, 4, 6], [9, 10, 11]]  # by horizon
    forecasts = forecasts_of([[[row, [0, 0, 0], [0, 0, 0]] for row in cpu]], made_at=600)
    assert forecasts.highest(0.9, 600, 60)[0, 0] == 3
    assert forecasts.highest(0.9, 600, 120)[0, 0] == 6
    assert forecasts.highest(0.9, 600, 121)[0, 0] == 11
    assert forecasts.highest(0.9, 601, 60)[0, 0] == 6  # a second into the first one
    assert forecasts.highest(0.9, 400, 60)[0, 0] == 3  # the next interval, as it touches none
    assert forecasts.highest(0.9, 779, 60)[0, 0] == 11
    assert not forecasts.ended(779)
    assert np.isnan(forecasts.highest(0.9, 780, 60)).all()  # it ends now
    assert forecasts.ended(780)
    with pytest.raises(AutoscaleError, match=r"the level 0\.8 is not forecast; there are 0\.1, 0\.5, 0\.9"):
        forecasts.highest(0.8, 600, 60)
    with pytest.raises(AutoscaleError, match="forecasts have the shape"):
        Forecasts(0.0, np.zeros(2), 60.0, LEVELS, np.zeros((1, 1, 3, 3)))


def test_a_decision_in_words() -> None:
    reasons = ((Reason("hpa", "CPU use 90%"), Reason("bounds", "CPU is bounded")), (Reason("hpa", "use near 70%"),))
    decision = Decision(60.0, ("a", "b"), np.ones((2, 3)), np.array([[2.0, 1, 1], [1, 1, 1]]), reasons)
    recommendation = decision.of("a")
    assert (recommendation.cpu_cores, recommendation.memory_mb, recommendation.bandwidth_mbps) == (2, 1, 1)
    assert recommendation.reason == "CPU use 90%; CPU is bounded"
    assert decision.codes() == {"hpa": 2, "bounds": 1}
    assert decision.changed.sum() == 1
    with pytest.raises(AutoscaleError, match="the decision has no zone 'c'"):
        decision.of("c")


def test_state_comes_back_exactly() -> None:
    state = {"numbers": np.array([[0.1, NAN], [np.inf, -np.inf]]), "flag": np.array(True), "none": np.zeros((0, 2))}
    text = to_json(state)
    assert "NaN" not in text
    back = from_json(text)
    for name, array in state.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == array.dtype
    for broken in ("{", "[]", '{"a": {"dtype": "<f8"}}', '{"a": {"dtype": "<f8", "shape": [2], "values": [1]}}'):
        with pytest.raises(AutoscaleError, match="cannot be read"):
            from_json(broken)


def test_recommenders_by_name() -> None:
    with pytest.raises(AutoscaleError, match="no recommender 'hpo'; did you mean 'hpa'"):
        make_recommender("hpo")
    with pytest.raises(AutoscaleError, match="forecast has no setting 'headrom'; did you mean 'headroom'"):
        make_recommender("forecast", headrom=0.2)


def test_recommenders_as_a_person_writes_them() -> None:
    assert read_recommender("hpa") == ("hpa", {})
    name, settings = read_recommender("forecast:burst=2,piece=0.1/20/1")
    assert (name, settings) == ("forecast", {"burst": 2.0, "piece": (0.1, 20.0, 1.0)})
    with pytest.raises(AutoscaleError, match="sets 'piece=1/2'; a setting is a name, =, and a number, or three like"):
        read_recommender("forecast:piece=1/2")
    with pytest.raises(AutoscaleError, match="burst of forecast is one number, not 1/2/3"):
        read_recommender("forecast:burst=1/2/3")


@pytest.mark.parametrize("name", ["forecast", "vpa", "hpa", "threshold", "static"])
def test_every_recommender_goes_on_after_its_state_was_written_down(name: str) -> None:
    """Also with what it knows nothing about, without touching what it is handed."""
    recommender = make_recommender(name)
    used = np.random.default_rng(0).uniform(0.1, 2.0, (30, 2, 3)) * [1, 300, 20]
    used[10:13, 1] = NAN
    straight = written = recommender.begin("ab")
    for until in range(1, 31):
        allocated = [[2.0, 600, 40], [1.0, 300, 20]]
        forecasts = forecasts_of(np.sort(used[:1].repeat(3, 0).reshape(2, 1, 3, 3)), 60.0 * until)
        seen = seen_of(used[:until], allocated, forecasts=forecasts)
        kept = to_json(straight)
        advice = recommender.recommend(seen, straight)
        assert to_json(straight) == kept
        again = recommender.recommend(seen, from_json(to_json(written)))
        np.testing.assert_array_equal(advice.wanted, again.wanted)
        assert advice.reasons == again.reasons
        assert all(reason.code and reason.words for reason in advice.reasons)
        straight, written = advice.state, again.state
