"""Announcements raise forecasts once they are accepted, and change nothing before and otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
from autoscale.situations import NAN, forecasts_of, usage_of

from metalore.autoscale import Announced, AutoscaleError, Forecasts, RaisedForecast, Ruling, Usage
from metalore.autoscale.announced import Span, possible_changes

USED = [2.0, 300.0, 40.0]
EXPECTED = [[[1.8, 2.0, 2.4], [290, 300, 310], [30, 40, 50]]] * 2
"""The same two intervals of each zone, [h, r, q]."""
NOW = 300.0
FIRST = Announced("a fair", {"a": 0.5}, NOW, NOW + 60)


@dataclass
class Court:
    """Gives one ruling, and remembers what it was asked and who was told."""

    accepts: bool = True
    asked: list[Mapping[str, Span]] = field(default_factory=list)
    told: list[tuple[str, Ruling]] = field(default_factory=list)

    def judge(self, one: Announced, possible: Mapping[str, Span]) -> Ruling:
        self.asked.append(possible)
        return Ruling(self.accepts, "because")

    def tell(self, one: Announced, ruling: Ruling) -> None:
        self.told.append((one.name, ruling))

    def forecast(self, *announced: Announced, of: Forecasts | None) -> RaisedForecast:
        return RaisedForecast(lambda usage, now_s: of, announced, ("a", "b"), self.judge, self.tell)


def usage() -> Usage:
    return usage_of([[USED, USED]] * 5)


def values(forecasts: Forecasts | None) -> np.ndarray:
    assert forecasts is not None
    return forecasts.values


def test_what_is_accepted_moves_all_quantiles_of_its_zone_and_time() -> None:
    court, plain = Court(), forecasts_of([EXPECTED] * 2, NOW)
    raised = values(court.forecast(FIRST, of=plain)(usage(), NOW))
    np.testing.assert_allclose(raised[0, 0], plain.values[0, 0] + np.array([[1.0], [150], [20]]))
    np.testing.assert_array_equal(raised[0, 1], plain.values[0, 1])  # its time is over then
    np.testing.assert_array_equal(raised[1], plain.values[1])
    assert court.told == [("a fair", Ruling(True, "because"))]


def test_what_the_forecast_knows_already_is_not_counted_twice() -> None:
    knows = forecasts_of([[[[2.6, 2.8, 3.2], [480, 500, 520], [50, 60, 70]]]] * 2, NOW)
    raised = values(Court().forecast(FIRST, of=knows)(usage(), NOW))
    assert raised[0, 0, 0, 1] == pytest.approx(3.0)
    np.testing.assert_array_equal(raised[0, 0, 1:], knows.values[0, 0, 1:])


def test_what_is_rejected_changes_nothing() -> None:
    court, plain = Court(accepts=False), forecasts_of([EXPECTED] * 2, NOW)
    forecast = court.forecast(FIRST, of=plain)
    np.testing.assert_array_equal(values(forecast(usage(), NOW)), plain.values)
    forecast(usage(), NOW)
    assert len(court.asked) == len(court.told) == 1


def test_it_is_judged_by_what_the_forecast_holds_possible_in_its_time() -> None:
    court = Court()
    court.forecast(FIRST, of=forecasts_of([EXPECTED] * 2, NOW))(usage(), NOW)
    assert court.asked == [{"a": (pytest.approx(-0.1), pytest.approx(0.2))}]


def test_it_waits_until_the_forecast_reaches_its_time_and_use_is_known() -> None:
    court, plain = Court(), forecasts_of([EXPECTED] * 2, NOW)
    later = Announced("later", {"a": 0.5}, NOW + 120, NOW + 180)
    forecast = court.forecast(later, of=plain)
    assert values(forecast(usage(), NOW)) is plain.values
    unknown = Court().forecast(FIRST, of=plain)
    assert values(unknown(usage_of([[[NAN] * 3, USED]] * 5), NOW)) is plain.values
    assert not court.told


def test_what_no_forecast_reaches_in_time_is_rejected() -> None:
    court = Court()
    forecast = court.forecast(FIRST, of=None)
    assert forecast(usage(), NOW) is None
    assert not court.told
    assert forecast(usage(), NOW + 60) is None
    ((_, ruling),) = court.told
    assert ruling == Ruling(False, "rejected: its time was over before a forecast reached it")


def test_nothing_is_lowered() -> None:
    plain, less = forecasts_of([EXPECTED] * 2, NOW), Announced("less", {"a": -0.5}, NOW, NOW + 60)
    np.testing.assert_array_equal(values(Court().forecast(less, of=plain)(usage(), NOW)), plain.values)


def test_what_a_zone_used_before_is_held_while_load_comes() -> None:
    court, plain = Court(), forecasts_of([EXPECTED] * 2, NOW)
    forecast = court.forecast(Announced("a fair", {"a": 0.5}, NOW, NOW + 600), of=plain)
    forecast(usage(), NOW)
    doubled = usage_of([[[4.0, 600, 80]] * 2] * 6)
    assert values(forecast(doubled, NOW + 60))[0, 0, 0, 1] == pytest.approx(3.0)


def test_changes_where_nothing_was_used_or_is_known() -> None:
    expected = np.array([[[1.0, 2.0]], [[1.0, 2.0]], [[NAN, NAN]]])
    found = possible_changes(expected, np.array([0.0, 2.0, 1.0]))
    np.testing.assert_array_equal(found, [[0, 0], [-0.5, 0], [NAN, NAN]])


def test_bad_announcements() -> None:
    with pytest.raises(AutoscaleError, match="a fair lasts from 60 s until 60 s; it must end later"):
        Announced("a fair", {"a": 0.5}, 60, 60)
    with pytest.raises(AutoscaleError, match="for a fair, the loop has no zone 'c'"):
        Court().forecast(Announced("a fair", {"c": 0.5}, 0, 60), of=None)
