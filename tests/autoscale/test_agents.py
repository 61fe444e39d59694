"""What agents may do, see and earn: by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metalore.autoscale.agents import FEATURES, MOVES, TERMS, Happened, Look, Observer, Ranges, Reward
from metalore.autoscale.agents.features import smoothed_error
from metalore.autoscale.agents.ranges import joint_mask, number_of
from metalore.autoscale.errors import AutoscaleError

# -- ranges ------------------------------------------------------------------------------------------------------------


def test_published_ranges() -> None:
    ranges = Ranges()
    assert ranges.top.tolist() == [19, 15, 39]
    np.testing.assert_allclose(ranges.amounts(np.zeros(3)), [0.1, 128, 5])
    np.testing.assert_allclose(ranges.amounts(ranges.top), [2.0, 2048, 200])


def test_levels_are_the_least_that_are_enough() -> None:
    ranges = Ranges()
    rng = np.random.default_rng(0)
    for amounts in rng.uniform(0, 1.1, (200, 3)) * ranges.most:
        levels = ranges.levels(amounts)
        given = ranges.amounts(levels)
        enough = amounts <= ranges.most
        assert (given[enough] >= amounts[enough] - 1e-9).all()
        assert ((levels == 0) | (given - ranges.step < amounts)).all()
    levels = rng.integers(0, ranges.top + 1, (200, 3))
    np.testing.assert_array_equal(ranges.levels(ranges.amounts(levels)), levels)


def test_joint_moves_and_masks() -> None:
    assert MOVES.shape == (27, 3)
    assert MOVES[13].tolist() == [0, 0, 0]
    np.testing.assert_array_equal(number_of(MOVES), np.arange(27))
    mask = Ranges().mask(np.array([0, 3, 39]))
    allowed = joint_mask(mask)
    for number, move in enumerate(MOVES):
        assert allowed[number] == (move[0] != -1 and move[2] != 1)
    many = joint_mask(Ranges().mask(np.zeros((4, 5, 3), int)))
    assert many.shape == (4, 5, 27)
    assert many.sum() == 4 * 5 * 8


@pytest.mark.parametrize("row", [(0.0, 1.0, 0.1), (1.0, 0.5, 0.1), (0.1, 1.0, 0.0), (0.1, 1.0, 0.35), (0.1, 1.0)])
def test_impossible_ranges(row: Any) -> None:
    with pytest.raises(AutoscaleError, match="the range of cpu_cores"):
        Ranges(cpu_cores=row)


# -- reward ------------------------------------------------------------------------------------------------------------


def happened(**other: Any) -> Happened:
    numbers = {
        "requests": 100.0, "completed": 100.0, "lost": 0.0, "offloaded": 0.0, "latency_ms": 500.0, "aori_s": 0.5,
        "twin_age_s": 5.0, "used": [0.5, 512.0, 50.0], "given": [1.0, 1024.0, 100.0], "moved": 0.0, **other,
    }  # fmt: skip
    return Happened(**{name: np.asarray(value, float) for name, value in numbers.items()})


@pytest.mark.parametrize(
    ("what", "term", "cost"),
    [
        ({}, "cost", 0.5),
        ({}, "overload", 0.0),
        ({"used": [0.95, 512.0, 50.0]}, "overload", 0.5),
        ({"used": [0.5, 1100.0, 50.0]}, "overload", 1.0),
        ({}, "latency", 0.0),
        ({"latency_ms": 2001.0}, "latency", 1.00025),
        ({"latency_ms": 4000.0}, "latency", 1.5),
        ({"latency_ms": 60_000.0}, "latency", 2.0),
        ({"latency_ms": np.nan, "completed": 0.0}, "latency", 2.0),
        ({"latency_ms": np.nan, "completed": 0.0, "requests": 0.0}, "latency", 0.0),
        ({"lost": 25.0}, "loss", 0.5),
        ({"lost": 400.0}, "loss", 1.0),
        ({"aori_s": 15.0}, "age", 0.25),
        ({"aori_s": 99.0, "twin_age_s": 99.0}, "age", 1.0),
        ({"aori_s": np.nan, "twin_age_s": 20.0}, "age", 0.5),
        ({"moved": 2.0}, "change", 2 / 3),
        ({"offloaded": 30.0}, "network", 0.3),
    ],
)
def test_terms_by_hand(what: dict, term: str, cost: float) -> None:
    terms = Reward().terms(happened(**what), Ranges())
    assert terms[TERMS.index(term)] == pytest.approx(cost)
    assert Reward().violated(happened(**what)) == (term == "latency" and cost > 0)


def test_reward_weighs() -> None:
    reward = Reward(overload=1, latency=2, loss=3, age=4, cost=5, change=6, network=7)
    assert reward.of(np.arange(7.0)) == -(0 * 1 + 1 * 2 + 2 * 3 + 3 * 4 + 4 * 5 + 5 * 6 + 6 * 7)


@pytest.mark.parametrize(
    "wrong", [{"cost": -1.0}, {"busy": 1.0}, {"prices": (0.0, 0.0, 0.0)}, {"latency_target_ms": 0.0}]
)
def test_impossible_rewards(wrong: dict) -> None:
    with pytest.raises(AutoscaleError):
        Reward(**wrong)


# -- features ----------------------------------------------------------------------------------------------------------


def look() -> Look:
    forecast = np.stack([np.array([[1.0, 1024.0, 50.0, 500.0], [2.0, 2048.0, 100.0, 4000.0]])] * 2, axis=-1)
    forecast[..., 1] *= 1.5
    return Look(
        given=np.array([0.5, 512.0, 20.0]),
        forecast=forecast,
        recent=np.array([[np.nan] * 5, [0.2, 256.0, 10.0, 1e9, 0.25]]),
        error=np.array(0.3),
        distrust=np.array(0.6),
        week_s=np.array(5 * 86_400.0 + 6 * 3600.0),
        announced=np.array(4.0),
        budget=np.array(0.8),
        up=np.array(True),
    )


def test_features_by_hand() -> None:
    observer = Observer(features=FEATURES, horizons=(1, 3), recent=2)
    seen = observer(look())
    assert seen.dtype == np.float32
    assert len(seen) == observer.size == len(observer.names())
    expected = [
        *(0.5, 0.5, 0.25, 0.25, 1.0, 1.0, 0.5, 2.0),
        *(0.25, 0.25, 0.1),
        *(0.4, 0.5, 0.5, 3.0, 3.0, 3.75),  # used and expected, as parts of what is given
        *(0.75, 0.75, 0.375, 0.375, 1.5, 1.5, 0.75, 3.0),
        *(0, 0, 0, 0, 0, 0.1, 0.125, 0.05, 4.0, 0.25),
        0.3,
        0.6,
        *(1.0, 0.5, 1.0),
        0.5,
        0.8,
        1.0,
    ]
    np.testing.assert_allclose(seen, expected, atol=1e-6)


def test_what_is_not_known_is_told() -> None:
    with pytest.raises(AutoscaleError, match="looks at the forecast, which is not known here"):
        Observer()(Look(given=np.ones(3)))
    with pytest.raises(AutoscaleError, match="did you mean 'calendar'"):
        Observer(features=("calender",))
    with pytest.raises(AutoscaleError, match="numbers from 1 on"):
        Observer(horizons=(0,))
    with pytest.raises(AutoscaleError, match="each named once"):
        Observer(features=("up", "up"))


def test_error_of_forecasts_is_smoothed_and_keeps_where_there_is_none() -> None:
    most, used = (2.0, 2048.0, 200.0), np.array([[1.0, 512.0, 50.0]] * 2)
    expected = np.array([[0.5, 512.0, 40.0], [np.nan] * 3])
    np.testing.assert_allclose(
        smoothed_error(np.array([0.1, 0.1]), used, expected, most), [0.8 * 0.1 + 0.2 * 0.25, 0.1]
    )
