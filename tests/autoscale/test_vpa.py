"""The VPA's algorithm against its published constants and numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from autoscale.situations import NAN, seen_of

from metalore.autoscale import Advice, State, make_recommender
from metalore.autoscale.recommenders import vpa as module
from metalore.autoscale.recommenders.histogram import Buckets, Decay
from metalore.autoscale.recommenders.vpa import VerticalRule

DAY = 86_400.0

# -- histograms --------------------------------------------------------------------------------------------------------


def test_buckets_are_those_that_are_published() -> None:
    for buckets, first, most in ((module._CPU, 0.01, 1000.0), (module._MEMORY, 10.0, 1e6)):
        starts = buckets.starts
        assert starts[:3] == pytest.approx([0, first, first * 2.05])
        np.testing.assert_allclose(np.diff(starts)[1:] / np.diff(starts)[:-1], 1.05)
        assert starts[-2] < most <= starts[-1]
        assert buckets.count == 176


def test_a_percentile_is_the_end_of_its_bucket() -> None:
    buckets = Buckets(first=1.0, ratio=2.0, most=7.0)  # begin at 0, 1, 3, 7
    assert buckets.starts.tolist() == [0, 1, 3, 7]
    weights = buckets.added(np.zeros((2, 4)), np.array([0.5, NAN]), 1.0)
    weights = buckets.added(weights, np.array([3.0, NAN]), 3.0)
    assert weights.tolist() == [[1, 0, 3, 0], [0, 0, 0, 0]]
    for part, end in ((0.25, 1), (0.26, 7), (1.0, 7)):
        assert buckets.percentile(weights, part)[0] == end
        assert np.isnan(buckets.percentile(weights, part)[1])
    beyond = buckets.added(weights, np.array([1e9, NAN]), 100.0)
    assert buckets.percentile(beyond, 0.9)[0] == 7  # the last bucket has no end


def test_weights_halve_in_a_half_life() -> None:
    decay = Decay(DAY)
    assert decay.factor(DAY, 0.0) == 2
    assert decay.factor(2.5 * DAY, DAY) == pytest.approx(2**1.5)
    assert not decay.is_far(100 * DAY, 0.0)
    assert decay.is_far(101 * DAY, 0.0)


# -- recommendations ---------------------------------------------------------------------------------------------------


def learned(
    cores: list[float], allocated: float = 1.0, mb: float = 500.0, **rest: object
) -> tuple[VerticalRule, State]:
    """A rule that has seen so many minutes of one zone."""
    rule = VerticalRule()
    seen = seen_of([[[c, mb, 0]] for c in cores], [[allocated, 600, 10]], **rest)  # type: ignore[arg-type]
    return rule, rule.recommend(seen, rule.begin("a")).state


def bucket_end(value: float, first: float) -> float:
    """End of the bucket that holds a value: first * (1.05 ** (b + 1) - 1) / 0.05."""
    b = math.floor(math.log(value * 0.05 / first + 1, 1.05))
    return first * (1.05 ** (b + 1) - 1) / 0.05


def test_the_target_is_the_ninetieth_percentile_and_fifteen_percent() -> None:
    rule, state = learned([0.2] * 89 + [0.8] * 2 + [0.4] * 9)
    target, low, high = (rule._estimate(state, part)[0] for part in (rule.target, rule.low, rule.high))
    assert target[0] == pytest.approx(1.15 * bucket_end(0.4, 0.01), rel=1e-9)
    assert low[0] == pytest.approx(1.15 * bucket_end(0.2, 0.01), rel=1e-9)
    assert high[0] == pytest.approx(1.15 * bucket_end(0.4, 0.01), rel=1e-9)
    for estimate in (target, low, high):  # one window, one peak
        assert estimate[1] == pytest.approx(1.15 * bucket_end(500, 10), rel=1e-9)


def test_old_samples_fade() -> None:
    """A day ago counts half: 100 at 0.2 against 60 at 0.8, so the median is 0.8."""
    rule, state = learned([0.2] * 100)
    assert rule._estimate(state, 0.5)[0, 0] == pytest.approx(1.15 * bucket_end(0.2, 0.01))
    later = rule.recommend(seen_of([[[0.8, 500, 0]]] * 60, [[1, 600, 10]], start_s=DAY), state).state
    assert rule._estimate(later, 0.5)[0, 0] == pytest.approx(1.15 * bucket_end(0.8, 0.01))


def test_cpu_samples_weigh_what_was_requested() -> None:
    """40 at 0.2 under 3 cores outweigh 100 at 0.8 under 1; below 0.1 cores weigh 0.1."""
    rule, state = learned([0.8] * 100, allocated=1.0)
    state = rule.recommend(seen_of([[[0.2, 500, 0]]] * 40, [[3, 600, 10]], start_s=6000), state).state
    assert rule._estimate(state, 0.5)[0, 0] == pytest.approx(1.15 * bucket_end(0.2, 0.01))
    assert state["samples"][0] == 140
    _, state = learned([0.01], allocated=0.001)
    assert state["cpu"].sum() == pytest.approx(0.1)


def test_memory_counts_the_peak_of_each_day() -> None:
    rule = VerticalRule()
    state = rule.begin("a")
    for day, peak in enumerate((300.0, 900.0, 400.0)):
        used = [[[0.1, peak - 100, 0]], [[0.1, peak, 0]], [[0.1, peak - 50, 0]]]
        state = rule.recommend(seen_of(used, [[1, 1000, 10]], start_s=day * DAY), state).state
    held = np.flatnonzero(state["memory"][0] > 1e-9)
    ends = [bucket_end(peak, 10) for peak in (300.0, 400.0, 900.0)]
    np.testing.assert_allclose(module._MEMORY.starts[held + 1], ends)
    # At the ends of their windows, after 1, 2 and 3 days: 2, 4 and 8.
    np.testing.assert_allclose(state["memory"][0][held], [2, 8, 4])
    assert rule._estimate(state, 0.5)[0, 1] == pytest.approx(1.15 * ends[1])


def test_out_of_memory_counts_as_a_hundred_more_or_a_fifth() -> None:
    for mb, counted in ((400.0, 500.0), (1000.0, 1200.0)):
        rule = VerticalRule()
        seen = seen_of([[[0.1, mb - 50, 0]]], [[1, mb, 10]], ran_out=[[True]])
        state = rule.recommend(seen, rule.begin("a")).state
        assert rule._estimate(state, 0.9)[0, 1] == pytest.approx(1.15 * bucket_end(counted, 10))


def test_confidence_is_days_of_history_at_a_sample_a_minute() -> None:
    rule, state = learned([0.2] * 721)
    assert rule._confidence(state)[0] == pytest.approx(0.5)
    sparse = VerticalRule()
    seen = seen_of([[[0.2, 500, 0]]] * 24, [[1, 600, 10]], interval_s=3600)
    assert sparse._confidence(sparse.recommend(seen, sparse.begin("a")).state)[0] == pytest.approx(24 / 1440)


def judged(allocated: tuple[float, float], minutes: int = 1441, cores: float = 1.0, mb: float = 1000.0) -> Advice:
    """Advice to a zone that has used the same for so long; the first look is at the beginning."""
    rule = VerticalRule()
    given = [[*allocated, 10]]
    state = rule.recommend(seen_of([[[cores, mb, 0]]], given), rule.begin("a")).state
    used = [[[cores, mb, 0]]] * minutes
    return rule.recommend(seen_of(used, given, now_s=3600 if minutes > 61 else None), state)


def test_it_acts_when_the_range_is_left() -> None:
    """After a day the upper bound is twice the 95th percentile, the lower one nearly the median."""
    cores, mb = 1.15 * bucket_end(1.0, 0.01), 1.15 * bucket_end(1000, 10)
    days = 1440 / 1440
    lower, upper = (1 + 0.001 / days) ** -2, 1 + 1 / days
    for part, acts in ((0.999 * lower, True), (1.001 * lower, False), (0.999 * upper, False), (1.001 * upper, True)):
        advice = judged((part * cores, mb))
        assert (advice.reasons[0].code == "vpa-range") == acts, part
        if acts:
            np.testing.assert_allclose(advice.wanted[0], [cores, mb, NAN])
        else:
            assert np.isnan(advice.wanted).all()


def test_without_much_history_nothing_is_out_of_range_above() -> None:
    assert judged((50.0, 50_000.0), minutes=30).reasons[0].code == "vpa-hold"
    assert judged((0.5, 1200.0), minutes=30).reasons[0].code == "vpa-range"


def test_within_the_range_it_waits_twelve_hours_and_for_ten_percent() -> None:
    rule = VerticalRule()
    cores, mb = 1.15 * bucket_end(1.0, 0.01), 1.15 * bucket_end(1000, 10)
    used = [[[1.0, 1000, 0]]] * 1500
    for part, hours, acts in ((1.5, 11.9, False), (1.5, 12.0, True), (1.05, 12.0, False)):
        given = [[part * cores, mb, 10]]
        state = rule.recommend(seen_of(used, given), rule.begin("a")).state
        end_s = 1500 * 60
        advice = rule.recommend(seen_of(used, given, now_s=end_s + 3600 * hours), state)
        assert (advice.reasons[0].code == "vpa-patience") == acts, (part, hours)


def test_out_of_memory_soon_after_a_change_is_acted_upon() -> None:
    """With a history of minutes the size still lies in the range."""
    for intervals, code in ((2, "vpa-out-of-memory"), (7, "vpa-hold")):
        rule = VerticalRule()
        state = rule.recommend(seen_of([[[1, 1000, 0]]], [[1.2, 1400, 10]], interval_s=120), rule.begin("a")).state
        ran_out = [[i == intervals - 1] for i in range(intervals)]
        later = seen_of([[[1, 1000, 0]]] * intervals, [[1.2, 1400, 10]], interval_s=120, ran_out=ran_out)
        assert rule.recommend(later, state).reasons[0].code == code


def test_an_update_that_was_begun_is_finished() -> None:
    """Safety may let a zone move step by step; once it lies in the range it would have to wait twelve hours."""
    rule = VerticalRule()
    used = [[[1, 1000, 0]]] * 1441
    state, given = rule.begin("a"), [4.0, 1200.0, 10.0]
    codes = []
    for minute in range(4):
        advice = rule.recommend(seen_of(used, [given], now_s=1441 * 60 + 60 * minute), state)
        state = advice.state
        codes.append(advice.reasons[0].code)
        if not np.isnan(advice.wanted[0, 0]):
            given = [max(advice.wanted[0, 0], 0.6 * given[0]), *given[1:]]
    assert codes == ["vpa-range", "vpa-range", "vpa-moving", "vpa-hold"]


def test_small_zones_get_the_least() -> None:
    advice = judged((10.0, 10_000.0), cores=0.001, mb=1.0)
    np.testing.assert_allclose(advice.wanted[0, :2], [0.025, 250])


def test_nothing_is_said_about_a_zone_of_which_nothing_is_known() -> None:
    rule = VerticalRule()
    advice = rule.recommend(seen_of([[[NAN, NAN, NAN]]] * 3, [[1, 600, 10]]), rule.begin("a"))
    assert np.isnan(advice.wanted).all()


def test_weights_stay_finite_for_years() -> None:
    rule, state = learned([0.2] * 10)
    for years in (1, 2, 3):
        start = years * 365 * DAY
        state = rule.recommend(seen_of([[[0.8, 500, 0]]] * 10, [[1, 600, 10]], start_s=start), state).state
        assert np.isfinite(state["cpu"]).all()
        assert np.isfinite(state["memory"]).all()
        assert rule._estimate(state, 0.01)[0, 0] == pytest.approx(1.15 * bucket_end(0.8, 0.01))


def test_published_constants() -> None:
    rule = make_recommender("vpa")
    assert isinstance(rule, VerticalRule)
    assert (rule.target, rule.low, rule.high, rule.margin) == (0.9, 0.5, 0.95, 0.15)
    assert (rule.half_life_s, rule.window_s, rule.patience_s) == (DAY, DAY, DAY / 2)
    assert (rule.least_cores, rule.least_mb, rule.more_mb, rule.more, rule.change) == (0.025, 250, 100, 1.2, 0.1)
