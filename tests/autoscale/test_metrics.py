"""What a control loop tells Prometheus, read back from its page."""

from __future__ import annotations

import urllib.request

import numpy as np
import pytest
from autoscale.situations import NAN, forecasts_of, usage_of
from autoscale.test_controller import FREE, FakeClock, FakeZones

pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")

from metalore.autoscale import (
    RESOURCES,
    Controller,
    Drift,
    Forecasts,
    Logic,
    Ruling,
    Safety,
    Tick,
    Usage,
    make_recommender,
)
from metalore.autoscale.metrics import LoopMetrics, exposed

HPA = make_recommender("hpa", unit=(1.0, 100.0, 10.0), target=0.5)


class Loop:
    """A controller of two zones, its metrics, and what it is told."""

    def __init__(self, safety: Safety = FREE, drift: Drift | None = None, **given: object) -> None:
        self.clock, self.zones = FakeClock(60.0), FakeZones()
        self.metrics = LoopMetrics(safety, 60.0, **given)  # type: ignore[arg-type]  # each test knows what it gives
        self.used = np.array([[3.6, 360.0, 36.0], [0.4, 40.0, 4.0]])
        self.usage: Usage | None = None
        self.forecasts: Forecasts | None = None
        self.broken = False
        logic = Logic(HPA if drift is None else make_recommender("forecast"), HPA, safety, drift)
        self.controller = Controller(
            logic, self.zones, self._observe, self.clock, forecast=self._forecast, report=self.metrics.report
        )

    def _observe(self) -> Usage:
        if self.broken:
            raise ConnectionError("nobody answers")
        return self.usage or usage_of([self.used], start_s=self.clock.now_s - 60)

    def _forecast(self, usage: Usage, now_s: float) -> Forecasts | None:
        return self.forecasts

    def turn(self, times: int = 1) -> Tick:
        for _ in range(times):
            tick = self.controller.tick()
            self.clock.now_s += 60
        return tick

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


def of(zone: str, resource: str = "cpu_cores") -> dict[str, str]:
    return {"zone": zone, "resource": resource}


def test_allocation_use_and_changes_are_those_of_the_turn() -> None:
    loop = Loop()
    tick = loop.turn()
    assert tick.decision is not None
    for z, zone in enumerate(loop.zones.zones):
        assert loop.value("metalore_usage", **of(zone)) == loop.used[z, 0]
        assert loop.value("metalore_allocation", **of(zone)) == loop.zones.given[z, 0] == tick.decision.after[z, 0]
    assert loop.value("metalore_decisions_total", reason="hpa") == 2
    assert loop.value("metalore_loop_seconds_count") == 1


def test_changes_are_counted_by_resource_and_direction() -> None:
    loop = Loop()
    loop.turn(10)
    grown = np.array([decision.after - decision.before for decision in loop.zones.decisions])
    for r, resource in enumerate(RESOURCES):
        up, down = (grown[..., r] > 0).sum(), (grown[..., r] < 0).sum()
        assert up > 0
        assert down > 0
        assert loop.value("metalore_changes_total", resource=resource, direction="up") == up
        assert loop.value("metalore_changes_total", resource=resource, direction="down") == down


def test_what_was_not_done_is_recommended_but_neither_allocated_nor_counted() -> None:
    loop = Loop()
    loop.zones.takes = np.array([False, True])
    loop.turn()
    assert loop.value("metalore_allocation", **of("a")) == 4.0
    assert loop.value("metalore_recommendation", **of("a")) == 8.0
    assert loop.value("metalore_changes_total", resource="cpu_cores", direction="up") == 0
    assert loop.value("metalore_problems_total", part="actuator") == 1


def test_usage_that_is_missing_ages_and_is_a_problem_of_its_part() -> None:
    loop = Loop()
    loop.turn()
    assert loop.value("metalore_usage_age_seconds", zone="a") == 0
    loop.broken = True
    loop.turn(2)
    assert loop.value("metalore_usage_age_seconds", zone="a") == 120
    assert loop.value("metalore_usage", **of("a")) is None
    assert loop.value("metalore_problems_total", part="usage") == 2
    assert loop.value("metalore_problems_total", part="forecast") == 0


def test_one_zone_that_says_nothing_ages_alone() -> None:
    loop = Loop()
    loop.usage = usage_of([loop.used, np.array([[NAN] * 3, loop.used[1]])], start_s=-60.0)
    loop.turn()
    assert loop.value("metalore_usage_age_seconds", zone="a") == 60
    assert loop.value("metalore_usage_age_seconds", zone="b") == 0
    assert loop.value("metalore_usage", **of("a")) is None


def test_before_any_usage_its_age_is_infinite() -> None:
    loop = Loop()
    loop.broken = True
    loop.turn()
    assert loop.value("metalore_usage_age_seconds", zone="a") == np.inf


def test_forecasts_are_shown_under_the_names_of_the_service_and_age() -> None:
    loop = Loop()
    loop.forecasts = forecasts_of([[[[1, 2, 3]] * 3, [[4, 5, 6]] * 3]] * 2, made_at=60.0)
    loop.turn()
    assert loop.value("stgnn_cpu_cores", zone="a", horizon="60", quantile="0.5") == 2
    assert loop.value("stgnn_memory_mb", zone="b", horizon="120", quantile="0.9") == 6
    assert loop.value("metalore_forecast_age_seconds") == 0
    loop.forecasts = None
    loop.turn()
    assert loop.value("metalore_forecast_age_seconds") == 60
    assert loop.value("stgnn_cpu_cores", zone="a", horizon="60", quantile="0.5") is None


def test_a_loop_that_does_without_forecasts_has_no_old_ones() -> None:
    loop = Loop()
    loop.turn()
    assert loop.value("metalore_forecast_age_seconds") is None


def test_each_forecast_is_judged_once_by_what_came() -> None:
    loop = Loop()
    loop.forecasts = forecasts_of([[[[1, 2, 3]] * 3, [[4, 5, 6]] * 3]] * 2, made_at=60.0)  # of [60, 180)
    loop.turn(4)  # the same forecast all the time; intervals from 0, 60, 120 and 180 on are seen
    first = abs(loop.used[:, 0] - 2).sum()
    second = abs(loop.used[:, 0] - 5).sum()
    for horizon, error in (("60", first), ("120", second)):
        labels = {"target": "cpu_cores", "horizon": horizon}
        assert loop.value("metalore_forecast_absolute_error_total", **labels) == pytest.approx(error)
        assert loop.value("metalore_forecast_judged_total", **labels) == 2
    assert loop.value("metalore_forecast_above_p90_total", target="cpu_cores", horizon="60") == 1  # 3.6 > 3


def test_what_is_not_known_is_not_judged() -> None:
    loop = Loop()
    loop.forecasts = forecasts_of([[[[1, 2, 3]] * 3]] * 2, made_at=60.0)
    loop.turn()
    loop.used[0] = NAN
    loop.turn()
    labels = {"target": "cpu_cores", "horizon": "60"}
    assert loop.value("metalore_forecast_judged_total", **labels) == 1
    assert loop.value("metalore_forecast_absolute_error_total", **labels) == pytest.approx(1.6)


def test_distrust_is_shown_and_alarms_are_counted_once_each() -> None:
    pytest.importorskip("river", reason="river is not installed")
    loop = Loop(drift=Drift())
    right = np.stack([loop.used * 0.9, loop.used, loop.used * 1.1], axis=-1)[:, None]
    for wrong, turns in ((1.0, 20), (0.5, 20), (1.0, 20), (0.5, 20)):
        for _ in range(turns):
            values = np.concatenate([right[:1] * wrong, right[1:]])
            loop.forecasts = forecasts_of(np.broadcast_to(values, (2, 2, 3, 3)), made_at=loop.clock.now_s)
            loop.turn()
    assert loop.value("metalore_forecast_distrust", zone="a") == 1
    assert loop.value("metalore_forecast_distrust", zone="b") == 0
    assert loop.value("metalore_forecast_alarms_total", zone="a") == 2
    assert loop.value("metalore_forecast_alarms_total", zone="b") is None
    assert Loop().value("metalore_forecast_distrust", zone="a") is None


def test_bounds_are_of_resources_that_may_change() -> None:
    loop = Loop(Safety(upper=(8.0, 4096.0, 100.0), budget=(10.0, float("inf"), float("inf"))))
    assert loop.value("metalore_limit", resource="cpu_cores", bound="upper") == 8
    assert loop.value("metalore_limit", resource="cpu_cores", bound="budget") == 10
    assert loop.value("metalore_limit", resource="memory_mb", bound="budget") is None
    assert loop.value("metalore_limit", resource="bandwidth_mbps", bound="upper") is None


def test_who_leads_is_asked_when_it_is_read() -> None:
    leads = [True]
    loop = Loop(leads=lambda: leads[0])
    assert loop.value("metalore_leader") == 1
    leads[0] = False
    assert loop.value("metalore_leader") == 0
    assert Loop().value("metalore_leader") is None


def test_latency_is_shown_where_it_is_measured() -> None:
    loop = Loop()
    usage = usage_of([loop.used])
    others = {"latency_ms": np.array([[1500.0, NAN]])}
    loop.usage = Usage(usage.times, usage.zones, usage.used, 60.0, None, others)
    loop.turn()
    assert loop.value("metalore_latency_ms", zone="a") == 1500
    assert loop.value("metalore_latency_ms", zone="b") is None


def test_the_page_is_served_on_loopback() -> None:
    loop = Loop()
    loop.turn()
    with exposed(loop.metrics, port=0) as port, urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        page = answer.read().decode()
    assert 'metalore_allocation{resource="cpu_cores",zone="a"} 8.0' in page
    assert page.count("\n") == loop.metrics.text().count("\n")


@pytest.mark.parametrize("name", ["forecast", "hpa"])
def test_a_forecaster_that_never_answered_is_missed_by_those_who_need_it(name: str) -> None:
    loop = Loop()
    rule = make_recommender(name)
    Controller(Logic(rule, HPA, FREE), loop.zones, loop._observe, loop.clock, report=loop.metrics.report).tick()
    assert loop.value("metalore_forecast_age_seconds") == (np.inf if name == "forecast" else None)


def test_intents_are_counted_by_what_became_of_them() -> None:
    loop = Loop()
    assert loop.value("metalore_intents_total", outcome="accepted") == 0
    for accepted in (False, True, False):
        loop.metrics.intent(Ruling(accepted, "because"))
    assert loop.value("metalore_intents_total", outcome="accepted") == 1
    assert loop.value("metalore_intents_total", outcome="rejected") == 2
