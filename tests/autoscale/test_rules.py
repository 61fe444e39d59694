"""What each rule but the VPA's recommends, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from autoscale.situations import NAN, forecasts_of, seen_of

from metalore.autoscale import Advice, Recommender, State, make_recommender


def advice(recommender: Recommender, used: object, allocated: object, **rest: object) -> Advice:
    return recommender.recommend(seen_of(used, allocated, **rest), {})  # type: ignore[arg-type]


# -- forecast, foresight, static ---------------------------------------------------------------------------------------


def test_the_forecasts_quantile_with_headroom() -> None:
    quantiles = [[[1, 2, 3], [100, 200, 300], [5, 6, 7]], [[2, 3, 4], [50, 60, 70], [5, 6, 7]]]
    seen = seen_of([[[1, 1, 1]]], [[1, 1, 1]], forecasts=forecasts_of([quantiles], 60), lead_s=120)
    wanted = make_recommender("forecast", headroom=0.5, burst=0).recommend(seen, {})
    np.testing.assert_allclose(wanted.wanted, [[6, 450, 10.5]])
    assert wanted.reasons[0].words == "0.9 quantile of the next 120 s, 50%: 6 cores, 450 MB, 10.5 Mbit/s"
    median = make_recommender("forecast", level=0.5, headroom=0, burst=0).recommend(seen, {})
    np.testing.assert_allclose(median.wanted, [[3, 200, 6]])


def test_small_zones_get_more_room_for_bursts_than_large_ones() -> None:
    """Use of 1 and of 4 cores, of 100 and 400 MB: twice the deviation, not four times."""
    quantiles = [[[1, 1, 1], [100, 100, 100], [0, 0, 0]], [[4, 4, 4], [400, 400, 400], [0, 0, 0]]]
    seen = seen_of([[[1, 1, 1]] * 2], [[9, 900, 9]] * 2, forecasts=forecasts_of([[zone] for zone in quantiles], 60))
    found = make_recommender("forecast", headroom=0, burst=2, piece=(0.25, 25, 1)).recommend(seen, {})
    np.testing.assert_allclose(found.wanted, [[1 + 1, 100 + 100, 0], [4 + 2, 400 + 200, 0]])
    assert found.reasons[0].words == "0.9 quantile of the next 60 s, 0% and 2 deviations: 2 cores, 200 MB, 0 Mbit/s"


def test_a_full_zone_gets_more_than_its_forecast() -> None:
    """Use of 91 % of the CPU and 89 % of the memory."""
    quantiles = [[[1, 2, 3], [100, 200, 300], [5, 6, 7]]]
    seen = seen_of([[[3.64, 890, 5]]], [[4, 1000, 10]], forecasts=forecasts_of([quantiles], 60))
    found = make_recommender("forecast", headroom=0, burst=0).recommend(seen, {})
    np.testing.assert_allclose(found.wanted, [[5.46, 300, 7]])
    assert "50% more than was used where it was full" in found.reasons[0].words
    higher = forecasts_of([[[[1, 2, 9], [100, 200, 300], [5, 6, 7]]]], 60)
    seen = seen_of([[[3.64, 890, 5]]], [[4, 1000, 10]], forecasts=higher)
    np.testing.assert_allclose(
        make_recommender("forecast", headroom=0, burst=0).recommend(seen, {}).wanted, [[9, 300, 7]]
    )


def test_foresight_gives_what_will_be_used() -> None:
    demand = np.array([[[1, 10, 5]], [[2, 5, 5]], [[9, 9, 9]]], float)  # from 60, 120 and 180 s on
    foresight = make_recommender("foresight", times=np.array([60.0, 120, 180]), demand=demand, headroom=0.0, burst=0)
    np.testing.assert_array_equal(advice(foresight, [[[0, 0, 0]]], [[1, 1, 1]], lead_s=120).wanted, [[2, 10, 5]])
    assert np.isnan(advice(foresight, [[[0, 0, 0]]], [[1, 1, 1]], now_s=240).wanted).all()


def test_static_is_the_peak_of_the_history_for_ever() -> None:
    static = make_recommender("static", headroom=0.1)
    first = advice(static, [[[1, 300, 5]], [[4, NAN, 2]], [[NAN, NAN, 3]]], [[1, 1, 1]])
    np.testing.assert_allclose(first.wanted, [[4.4, 330, 5.5]])
    later = static.recommend(seen_of([[[9, 900, 90]]], [[1, 1, 1]]), first.state)
    np.testing.assert_allclose(later.wanted, first.wanted)
    given = make_recommender("static", amounts=np.array([[2.0, 100, 10]]), headroom=0)
    np.testing.assert_array_equal(advice(given, [[[9, 900, 90]]], [[1, 1, 1]]).wanted, [[2, 100, 10]])


# -- threshold ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("used", "given", "wanted"),
    [
        (0.76, 1.0, 1.15),  # above 75 %: 150 m more
        (0.75, 1.0, 1.0),
        (0.25, 1.0, 1.0),
        (0.24, 1.0, 0.9),  # below 25 %: 100 m less
        (1.1, 1.15, 1.2),  # at most 1200 m
        (0.01, 0.15, 0.1),  # at least 100 m
    ],
)
def test_the_published_threshold_rule(used: float, given: float, wanted: float) -> None:
    found = advice(make_recommender("threshold"), [[[used, NAN, NAN]]], [[given, 500, 50]])
    assert found.wanted[0, 0] == pytest.approx(wanted)
    assert np.isnan(found.wanted[0, 1:]).all()
    if wanted == 1.15:
        assert found.reasons[0].words == "CPU use 76%: 0.15 cores more"


def test_the_threshold_rule_for_larger_zones() -> None:
    found = advice(make_recommender("threshold", scale=4), [[[4.0, 100, 50]]], [[4.5, 4000, 100]])
    np.testing.assert_allclose(found.wanted, [[4.8, 3600, 100]])  # 4.5 + 0.6 is above 4 x 1.2


# -- HPA ---------------------------------------------------------------------------------------------------------------

UNIT = {"unit": (1.0, 100.0, 10.0), "target": 0.5}


def replicas(use: float, given: int, state: State | None = None, now_s: float = 60, **settings: object) -> int:
    """CPU replicas that a zone gets of so many that are used to a part."""
    hpa = make_recommender("hpa", **({**UNIT, "stabilisation_s": 0.0} | settings))
    seen = seen_of([[[use * given, 50, 5]]], [[given, 100, 10]], start_s=now_s - 60)
    return int(hpa.recommend(seen, state or {}).wanted[0, 0])


@pytest.mark.parametrize(
    ("use", "given", "wanted"),
    [
        (0.90, 4, 8),  # ceil(4 * 0.9 / 0.5) = ceil(7.2)
        (0.54, 4, 4),  # 1.08 is within the tolerance of 0.1
        (0.56, 4, 5),  # ceil(4.48)
        (0.46, 4, 4),
        (0.40, 10, 8),
        (0.31, 10, 7),  # ceil(6.2)
        (0.00, 3, 1),  # never none
        (1.00, 5, 10),
    ],
)
def test_replicas_follow_the_ratio_of_use_and_target(use: float, given: int, wanted: int) -> None:
    assert replicas(use, given) == wanted


@pytest.mark.parametrize(("given", "wanted"), [(1, 5), (2, 6), (4, 8), (5, 10), (10, 20)])
def test_growth_in_a_period_is_the_double_or_four_pods(given: int, wanted: int) -> None:
    assert replicas(5.0, given) == wanted


def test_growth_counts_from_the_beginning_of_the_period() -> None:
    hpa = make_recommender("hpa", **UNIT)
    first = hpa.recommend(seen_of([[[4, 50, 5]]], [[4, 100, 10]], start_s=0), {})
    assert first.wanted[0, 0] == 8
    soon = hpa.recommend(seen_of([[[8, 50, 5]]], [[8, 100, 10]], start_s=10), first.state)
    assert soon.wanted[0, 0] == 8  # 4 at the beginning of these 15 s allow no more
    later = hpa.recommend(seen_of([[[8, 50, 5]]], [[8, 100, 10]], start_s=15), soon.state)
    assert later.wanted[0, 0] == 16


def test_replicas_go_down_to_the_most_recommended_within_the_window() -> None:
    hpa, state, found = make_recommender("hpa", **UNIT), {}, []
    for now_s, use in ((60, 0.5), (120, 0.3), (180, 0.2), (300, 0.1), (360, 0.1), (420, 0.1), (480, 0.1)):
        result = hpa.recommend(seen_of([[[use * 10, 50, 5]]], [[10, 100, 10]], start_s=now_s - 60), state)
        found.append(int(result.wanted[0, 0]))
        state = result.state
    # Desired: 10, 6, 4, 2, 2, 2, 2; each counts for 300 s.
    assert found == [10, 10, 10, 10, 6, 4, 2]


def test_what_was_recommended_once_does_not_make_replicas_grow_again() -> None:
    hpa = make_recommender("hpa", **UNIT)
    first = hpa.recommend(seen_of([[[9, 50, 5]]], [[10, 100, 10]], start_s=0), {})
    assert first.wanted[0, 0] == 18
    second = hpa.recommend(seen_of([[[4.8, 50, 5]]], [[10, 100, 10]], start_s=60), first.state)
    assert second.wanted[0, 0] == 10


@pytest.mark.parametrize(
    ("uses", "wanted"),
    [
        ([0.9, NAN], 4),  # growing, the missing one counts 0: 0.45 / 0.5 is within the tolerance
        ([1.4, NAN], 6),  # ceil(4 * 0.7 / 0.5)
        ([0.3, NAN], 4),  # shrinking, it counts 1: 0.65 would grow, so nothing
        ([NAN, NAN], None),
        ([0.9, 0.5], 6),  # nothing is missing: ceil(4 * 0.7 / 0.5)
    ],
)
def test_missing_metrics_never_make_a_change_larger(uses: list[float], wanted: int | None) -> None:
    hpa = make_recommender("hpa", **UNIT, intervals=2, stabilisation_s=0.0)
    found = advice(hpa, [[[4 * use, 50, 5]] for use in uses], [[4, 100, 10]]).wanted[0, 0]
    assert np.isnan(found) if wanted is None else found == wanted


def test_a_missing_metric_may_slow_a_shrinking_down() -> None:
    hpa = make_recommender("hpa", unit=(1.0, 100.0, 10.0), target=0.9, intervals=4, stabilisation_s=0.0)
    uses = [0.2, 0.2, 0.2, NAN]  # (0.6 + 1) / 4 / 0.9 of 10
    assert advice(hpa, [[[10 * use, 50, 5]] for use in uses], [[10, 100, 10]]).wanted[0, 0] == 5
