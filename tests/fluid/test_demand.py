"""Where demand is from, and what disturbs it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fluid.by_hand import demand

from metalore.fluid import Demand, FluidError
from metalore.fluid.ahead import forecasts_of
from metalore.fluid.disturbances import Disturbances
from metalore.fluid.drawing import announced_in, planned_in
from metalore.scenario import load
from metalore.telemetry import record

PLENTY = {
    "stations.0.compute_gcycle_s": 24.0, "stations.0.bandwidth_hz": 400e6, "stations.0.memory_mb": 65536.0,
    "city.start_hour": 10.0, "max_steps": 3600,
}  # fmt: skip


def test_recorded_demand_is_what_was_asked(tmp_path: Path) -> None:
    scenario = load("one-zone", **PLENTY)
    recording = record(scenario, tmp_path / "there", duration_s=3600, interval_s=60.0, seed=3)
    read, table = Demand.recorded(tmp_path / "there"), recording.table()
    assert (len(read), read.zones, read.interval_s, read.start_s) == (60, ("square",), 60.0, 10 * 3600.0)
    np.testing.assert_array_equal(read.requests[:, 0], table["requests"])
    np.testing.assert_array_equal(read.used[:, 0, 0], table["cpu_cores"])
    assert read.updates[0] == pytest.approx(1.0), "ten sensors, every ten seconds"
    work = (read.requests * read.request_gcycle).sum() + 3600 * 0.3
    assert work == pytest.approx(table["cpu_cores"].sum() * 60 * 3.0, rel=0.02)
    assert 0.05 < read.floor_s.mean() < 0.5


def test_a_recording_of_zones_that_were_too_small_is_refused(tmp_path: Path) -> None:
    scenario = load("one-zone", **{**PLENTY, "stations.0.compute_gcycle_s": 0.6, "max_steps": 600})
    record(scenario, tmp_path / "there", duration_s=600, interval_s=60.0, seed=3)
    with pytest.raises(FluidError, match="record the city with larger stations"):
        Demand.recorded(tmp_path / "there")


def test_drawn_demand_has_the_citys_rhythm() -> None:
    drawn = Demand.drawn("city-30", days=1.0, seed=1)
    again, other = Demand.drawn("city-30", days=1.0, seed=1), Demand.drawn("city-30", days=1.0, seed=2)
    np.testing.assert_array_equal(drawn.used, again.used)
    assert not np.array_equal(drawn.requests, other.requests)
    office = drawn.zones.index("exchange")
    assert drawn.users[10 * 60, office] > 3 * drawn.users[3 * 60, office]
    assert (drawn.users.sum(axis=1) <= 3000 + 1e-6).all()
    half = Demand.drawn("city-30", days=1.0, seed=1, scale=0.5)
    np.testing.assert_allclose(half.requests, drawn.requests / 2)


def test_parts_and_zones_of_a_demand() -> None:
    drawn = Demand.drawn("city-30", days=0.2)
    part = drawn.part(100, 200).of_zones([3, 1, 3])
    assert part.zones == (drawn.zones[3], drawn.zones[1], f"{drawn.zones[3]}#2")
    np.testing.assert_array_equal(part.used, drawn.used[100:200][:, [3, 1, 3]])
    assert part.week_s(np.array([0]))[0] == drawn.week_s(np.array([100]))[0]
    assert part.planned is not None
    assert len(part.planned) == len(drawn.planned) - 100


def test_calendar_of_events() -> None:
    times = {"from_s": 3600, "duration_s": 600, "lead_s": 300, "every_s": 7200}
    scenario = load("one-zone", **{"city.events": [{"zone": "square", "pull": 2, "request_factor": 3, **times}]})
    announced, planned = announced_in(scenario, 240, 60.0)[:, 0], planned_in(scenario, 240, 60.0)[:, 0]
    assert np.flatnonzero(announced > 1).tolist() == [*range(55, 70), *range(175, 190)]
    assert set(announced) == {1.0, 6.0}
    assert np.flatnonzero(planned[:240, 0]).tolist() == [*range(55, 60), *range(175, 180)]
    assert np.flatnonzero(planned[:240, 1]).tolist() == [*range(60, 70), *range(180, 190)]


def test_foresight_looks_ahead_and_nothing_else_does() -> None:
    used = np.random.default_rng(1).random((70, 2, 4))
    asked = demand(intervals=70, zones=2, used=used)
    later = used.copy()
    later[40:] = 5.0
    other = replace(asked, used=later)
    at, zones = np.array([40]), np.array([[0, 1]])
    for name, same in (("last-value", True), ("none", True), ("foresight", False)):
        ours, theirs = (forecasts_of(name, one, (1, 3))(at, zones) for one in (asked, other))
        assert ours.shape == (1, 2, 2, 4, 2)
        assert np.array_equal(ours, theirs, equal_nan=True) == same
    np.testing.assert_array_equal(forecasts_of("foresight", asked, (3,))(at, zones)[0, :, 0, :, 0], used[42])


# -- disturbances ------------------------------------------------------------------------------------------------------


def test_all_zero_disturbs_nothing() -> None:
    course = Disturbances().draw(np.random.default_rng(0), 50, 4, 60.0)
    assert (course.factor == 1).all()
    assert course.up.all()
    assert (course.announced == 1).all()
    assert (course.age == 0).all()
    assert (course.bias == 1).all()


def test_disturbances_are_as_often_as_they_say() -> None:
    made = Disturbances(
        drift_sd=0.2, crowds_per_day=2.0, crowd_factor=4.0, crowd_s=600.0, announced_part=0.5, failures_per_day=1.0,
        failure_s=1200.0, stale_per_day=10.0, stale_s=600.0, bias_sd=0.3,
    )  # fmt: skip
    course = made.draw(np.random.default_rng(0), 14_400, 200, 60.0)
    assert np.log(course.bias).std() == pytest.approx(0.3, rel=0.15)
    assert (~course.up).mean() == pytest.approx(1200 / 86_400, rel=0.1)
    calm = replace(made, drift_sd=0.0).draw(np.random.default_rng(0), 14_400, 200, 60.0)
    assert (calm.factor > 1).mean() == pytest.approx(2 * 600 / 86_400, rel=0.1)
    assert set(np.unique(calm.announced)) == {1.0, 4.0}
    announced = ((calm.announced > 1) & (calm.factor > 1)).sum() / (calm.factor > 1).sum()
    assert announced == pytest.approx(0.5, abs=0.05)
    assert (calm.announced[:-30] > 1)[(calm.factor[30:] > 1) & (calm.announced[30:] > 1)].mean() > 0.9, (
        "30 minutes before"
    )
    last = np.log(made.draw(np.random.default_rng(1), 3, 5000, 60.0).factor[-1])
    assert np.median(np.abs(last)) == pytest.approx(0.2 * 0.6745, rel=0.1)
    assert course.age.max() >= 5


@pytest.mark.parametrize(("name", "value"), [("drift_sd", -1.0), ("announced_part", 1.5), ("failure_s", float("nan"))])
def test_impossible_disturbances(name: str, value: float) -> None:
    with pytest.raises(FluidError, match=f"disturbances.{name}"):
        Disturbances(**{name: value})
