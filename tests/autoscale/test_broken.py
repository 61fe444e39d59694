"""Forecasts broken on purpose: what is wrong, for whom, and from when."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from autoscale.situations import INTERVAL_S, forecasts_of, usage_of

from metalore.autoscale import AutoscaleError, Forecasts, Usage
from metalore.autoscale.broken import KINDS, ForecasterDiedError, break_of

USAGE = usage_of([[[1, 2, 3]] * 20])


def good(usage: Usage, now_s: float) -> Forecasts:
    """The time as what is expected of 20 zones."""
    return forecasts_of(np.full((20, 2, 3, 3), now_s), now_s)


def told(text: str, turns: int = 600) -> list[Forecasts | None]:
    """What is forecast in each turn, minute by minute."""
    forecast = break_of(text)(good)
    return [forecast(USAGE, INTERVAL_S * turn) for turn in range(1, turns + 1)]


def values(found: Sequence[Forecasts | None]) -> np.ndarray:
    """Median of CPU an interval ahead, [t, z]; NaN without a forecast."""
    return np.array([np.full(20, np.nan) if one is None else one.values[:, 0, 0, 1] for one in found])


TIMES = INTERVAL_S * np.arange(1, 601)


def test_biased_is_by_a_factor_for_a_part_of_the_zones() -> None:
    np.testing.assert_allclose(values(told("biased:factor=2")), 2 * np.tile(TIMES[:, None], 20))
    ratios = values(told("biased:factor=0.5,part=0.5,seed=1", 5)) / TIMES[:5, None]
    assert set(np.unique(ratios)) == {0.5, 1.0}
    assert (ratios == ratios[0]).all()
    assert 4 <= (ratios[0] == 0.5).sum() <= 16


def test_drifting_begins_right_and_changes_hour_by_hour() -> None:
    ratios = values(told("drifting:per_hour=0.5")) / TIMES[:, None]
    np.testing.assert_allclose(ratios[[0, 60, 120]], [[1.0] * 20, [0.5] * 20, [0.25] * 20])


def outages(found: Sequence[Forecasts | None]) -> np.ndarray:
    """Where nothing new is said, [t]."""
    return values(found)[:, 0] != TIMES


@pytest.mark.parametrize("kind", ["stale", "frozen", "missing"])
def test_outages_come_now_and_then_and_last(kind: str) -> None:
    found = told(f"{kind}:every=100,lasts=10,seed=4")
    out = outages(found)
    begins = np.flatnonzero(out & ~np.roll(out, 1))
    assert 1 <= len(begins) <= 15
    assert all(out[begin : begin + 10].all() for begin in begins)
    assert 0.02 < out.mean() < 0.3
    other = outages(told(f"{kind}:every=100,lasts=10,seed=5"))
    assert (out != other).any()
    np.testing.assert_array_equal(out, outages(told(f"{kind}:every=100,lasts=10,seed=4")))


def test_stale_says_how_old_it_is_and_frozen_does_not() -> None:
    stale, frozen = (told(f"{kind}:every=100,lasts=10,seed=4") for kind in ("stale", "frozen"))
    np.testing.assert_array_equal(values(stale), values(frozen))
    for turn in np.flatnonzero(outages(stale)):
        one, other = stale[turn], frozen[turn]
        assert one is not None
        assert other is not None
        assert one.made_at == one.values[0, 0, 0, 0] < TIMES[turn]
        assert other.made_at == TIMES[turn]
        assert other.times.tolist() == [TIMES[turn], TIMES[turn] + INTERVAL_S]


def test_missing_is_nothing() -> None:
    found = told("missing:every=100,lasts=10,seed=4")
    assert {found[turn] for turn in np.flatnonzero(outages(found))} == {None}


def test_dying_is_an_error_for_ever() -> None:
    forecast = break_of("dying:after=3")(good)
    for turn in (7, 8, 9):
        assert forecast(USAGE, INTERVAL_S * turn) is not None
    for turn in (10, 11, 100):
        with pytest.raises(ForecasterDiedError, match="died after 3 intervals"):
            forecast(USAGE, INTERVAL_S * turn)


def test_breaks_can_be_put_on_top_of_each_other() -> None:
    both = break_of("biased:factor=3")(break_of("biased:factor=0.5")(good))
    found = both(USAGE, 60.0)
    assert found is not None
    assert (found.values == 90).all()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_missing_stays_missing(kind: str) -> None:
    assert break_of(kind)(lambda usage, now_s: None)(USAGE, 60.0) is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("bias", "no break 'bias'; did you mean 'biased'"),
        ("biased:factr=2", "biased has no setting 'factr'; did you mean 'factor'"),
        ("biased:factor=1/2/3", "factor of biased is one number, not 1/2/3"),
        ("biased:factor=-1", "factor of biased is -1; it cannot be negative"),
        ("biased:part=2", "part of biased is 2; it must lie between 0 and 1"),
        ("frozen:lasts=-1", "lasts of frozen is -1; it cannot be negative"),
        ("dying:after", "a setting is a name, =, and a number"),
    ],
)
def test_breaks_that_cannot_be(text: str, sentence: str) -> None:
    with pytest.raises(AutoscaleError, match=sentence):
        break_of(text)
