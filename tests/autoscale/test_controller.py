"""The loop on a clock of its own: when it looks, what it survives, what it remembers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from autoscale.situations import NAN, forecasts_of, usage_of

from metalore.autoscale import (
    Actuator,
    Applied,
    AutoscaleError,
    Controller,
    Decision,
    Forecasts,
    Logic,
    Remembered,
    Safety,
    Tick,
    Usage,
    make_recommender,
)

FREE = Safety(cooldown_down_s=0.0, hysteresis=0.0, fixed=())
HPA = make_recommender("hpa", unit=(1.0, 100.0, 10.0), target=0.5)


class FakeClock:
    """Time that goes on by as much as one says, and by what everything takes."""

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s, self.slept = now_s, []

    def now(self) -> float:
        return self.now_s

    def sleep_until(self, time_s: float) -> None:
        assert time_s > self.now_s
        self.slept.append(time_s)
        self.now_s = time_s


class FakeZones(Actuator):
    """Two zones that take what they are told, but for those that refuse."""

    zones = ("a", "b")

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self.given = np.array([[4.0, 400, 40]] * 2)
        self.takes = np.array([True, True])
        self.decisions: list[Decision] = []

    def allocations(self) -> np.ndarray:
        return self.given.copy()

    def apply(self, decision: Decision) -> Applied:
        self.decisions.append(decision)
        self.given = np.where(self.takes[:, None], decision.after, self.given)
        problems = tuple(f"{zone} does not answer" for zone in np.array(self.zones)[~self.takes])
        return Applied(self.takes.copy(), problems)


class Zones:
    """Everything around a controller."""

    def __init__(self, recommender: str = "hpa", safety: Safety = FREE, delay_s: float = 0.0) -> None:
        self.clock, self.actuator = FakeClock(), FakeZones(delay_s)
        self.logic = Logic(make_recommender(recommender) if recommender != "hpa" else HPA, HPA, safety)
        self.part, self.ticks, self.problem = 0.9, list[Tick](), ""

    def observe(self) -> Usage:
        if self.problem:
            raise ConnectionError(self.problem)
        return usage_of([self.actuator.given * self.part], start_s=self.clock.now_s - 60)

    def controller(self, forecast: Callable[[Usage, float], Forecasts | None] | None = None) -> Controller:
        return Controller(
            self.logic, self.actuator, self.observe, self.clock, forecast=forecast, report=self.ticks.append
        )


def test_it_turns_at_multiples_of_the_interval_and_leaves_out_what_is_too_late() -> None:
    zones = Zones()
    zones.clock.now_s = 59.0
    slow = zones.actuator.apply

    def apply(decision: Decision) -> Applied:
        zones.clock.now_s += 130 if decision.time_s == 120 else 1
        return slow(decision)

    zones.actuator.apply = apply  # type: ignore[method-assign]
    zones.controller().run(4)
    assert [tick.time_s for tick in zones.ticks] == [60, 120, 300, 360]


def test_it_reads_decides_and_acts() -> None:
    zones = Zones()
    tick = zones.controller().tick()
    assert tick.decision is zones.actuator.decisions[0]
    assert zones.actuator.given.tolist() == [[8, 800, 80]] * 2  # ceil(4 * 0.9 / 0.5)
    assert tick.problems == ()
    assert zones.ticks == [tick]


def test_cooldown_begins_only_where_something_was_done() -> None:
    zones = Zones(safety=Safety(cooldown_up_s=600.0, hysteresis=0.0, fixed=()))
    zones.actuator.takes = np.array([True, False])
    controller = zones.controller()
    first = controller.tick()
    assert first.problems == ("b does not answer",)
    zones.actuator.takes[:] = True
    zones.clock.now_s = 60
    controller.tick()
    assert zones.actuator.given[:, 0].tolist() == [8, 8]
    codes = [[reason.code for reason in reasons] for reasons in zones.actuator.decisions[1].reasons]
    assert "cooldown" in codes[0]
    assert "cooldown" not in codes[1]


@pytest.mark.parametrize(("age_s", "grows"), [(299.0, False), (300.0, True), (-60.0, True), (np.inf, True)])
def test_cooldown_counts_from_what_another_controller_changed(age_s: float, grows: bool) -> None:
    zones = Zones(safety=Safety(cooldown_up_s=300.0, hysteresis=0.0, fixed=()))
    zones.clock.now_s = 3600.0
    zones.actuator.changed_at = lambda: np.array([3600.0 - age_s, -np.inf])  # type: ignore[method-assign]
    zones.controller().tick()
    assert zones.actuator.given[:, 0].tolist() == [8 if grows else 4, 8]


def test_its_own_change_is_not_taken_for_one_of_another() -> None:
    zones = Zones(safety=Safety(cooldown_down_s=300.0, hysteresis=0.0))  # bandwidth is fixed
    zones.clock.now_s = 3600.5
    controller = zones.controller()
    controller.tick()
    zones.actuator.changed_at = lambda: np.array([3600.0, 3600.0])  # type: ignore[method-assign]  # whole seconds
    zones.clock.now_s = 3660.5
    controller.tick()
    assert np.isinf(controller.remembered.safety["changed_at"]).tolist() == [[False, False, True]] * 2


def test_nothing_changes_for_the_worse_while_telemetry_fails() -> None:
    zones = Zones("static")
    controller = zones.controller()
    zones.part = 0.1
    zones.problem = "no route to host"
    for minute in range(5):
        zones.clock.now_s = 60.0 * minute
        tick = controller.tick()
        assert tick.problems == ("usage failed: ConnectionError: no route to host",)
        assert zones.actuator.given.tolist() == [[4, 400, 40]] * 2
    zones.problem = ""
    controller.tick()
    assert (zones.actuator.given < [[4, 400, 40]]).all()


def test_old_telemetry_is_missing_telemetry() -> None:
    """A source that answers and says nothing new."""
    zones = Zones("threshold")
    controller = zones.controller()
    zones.part = 0.1
    zones.clock.now_s = 60
    old = zones.observe()
    zones.observe = lambda: old  # type: ignore[method-assign]
    controller = zones.controller()
    for now_s, shrinks in ((119, True), (120, False), (180, False)):
        before = zones.actuator.given.copy()
        zones.clock.now_s = now_s
        controller.tick()
        assert (zones.actuator.given < before).all() == shrinks


def test_a_forecaster_that_fails_is_a_missing_forecast() -> None:
    zones = Zones("forecast")

    def broken(usage: Usage, now_s: float) -> Forecasts:
        raise ZeroDivisionError("epochs")

    controller = zones.controller(broken)
    given = []
    for minute in range(5):
        zones.clock.now_s = 60.0 * minute
        tick = controller.tick()
        assert tick.problems == ("the forecast failed: ZeroDivisionError: epochs",)
        given.append(zones.actuator.given[0, 0])
    assert given == [4, 4, 4, 8, 15]  # held for three intervals, then the HPA's rule: ceil(8 * 0.9 / 0.5)
    assert tick.decision is not None
    assert tick.decision.codes()["forecast-missing"] == 2


def test_an_actuator_that_fails_stops_a_turn_and_not_the_loop() -> None:
    zones = Zones()
    controller = zones.controller()
    working = zones.actuator.allocations

    def unreachable() -> np.ndarray:
        raise TimeoutError("api server")

    zones.actuator.allocations = unreachable  # type: ignore[method-assign]
    tick = controller.tick()
    assert (tick.decision, tick.applied) == (None, None)
    assert tick.problems == ("what zones have failed: TimeoutError: api server",)
    zones.actuator.allocations = working  # type: ignore[method-assign]
    assert controller.tick().decision is not None


def test_the_forecast_reaches_until_the_next_change_can_take_effect() -> None:
    """60 s to the next decision, 30 s until it is there, 60 s in which it may be barred: intervals from 0 to 120."""
    zones = Zones("forecast", Safety(cooldown_up_s=60.0, cooldown_down_s=0.0, hysteresis=0.0, fixed=()), delay_s=30.0)
    cpu = [3.0, 4.0, 5.0, 99.0]

    def forecast(usage: Usage, now_s: float) -> Forecasts:
        return forecasts_of([[[[c] * 3, [400] * 3, [40] * 3] for c in cpu[:4]]] * 2, now_s)

    zones.logic = Logic(make_recommender("forecast", headroom=0.0, burst=0.0), HPA, zones.logic.safety)
    cpu[3] = 6.0
    zones.controller(forecast).tick()
    assert zones.actuator.given[0, 0] == 5


def test_a_controller_that_starts_again_goes_on_where_it_was() -> None:
    safety = Safety(cooldown_up_s=150.0, hysteresis=0.0, fixed=())
    straight, restarted = Zones(safety=safety), Zones(safety=safety)
    one, other = straight.controller(), restarted.controller()
    for minute in range(10):
        for zones in (straight, restarted):
            zones.clock.now_s, zones.part = 60.0 * minute, 0.9 if minute in (0, 1, 4) else 0.2
        one.tick()
        other.tick()
        kept = other.remembered.to_json()
        other = restarted.controller()
        other.remembered = Remembered.from_json(kept)
        np.testing.assert_array_equal(straight.actuator.given, restarted.actuator.given)
    assert len({tuple(d.after[:, 0]) for d in straight.actuator.decisions}) > 2
    for broken in ("{", "{}", '{"recommender": 1, "fallback": {}, "safety": {}}'):
        with pytest.raises(AutoscaleError, match="cannot be read"):
            Remembered.from_json(broken)


def test_a_zone_of_which_nothing_is_known_keeps_what_it_has() -> None:
    zones = Zones()
    zones.observe = lambda: usage_of([[[NAN] * 3, [0.1, 10, 1]]], start_s=zones.clock.now_s - 60)  # type: ignore[method-assign]
    controller = zones.controller()
    for minute in range(8):
        zones.clock.now_s = 60.0 * minute
        controller.tick()
    assert zones.actuator.given[0].tolist() == [4, 400, 40]
    assert (zones.actuator.given[1] < [4, 400, 40]).any()
