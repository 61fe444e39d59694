"""The simulated city as an actuator: sizes change the world, and the world says what it used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metalore.autoscale import RESOURCES, AutoscaleError, Decision, Reason, Usage
from metalore.autoscale.simulated import ASSUMED_EFFICIENCY, SimulatedCity
from metalore.scenario import Event, Scenario, load
from metalore.telemetry import as_array, record
from metalore.world import World

SEED = 3


def town(**changes: Any) -> Scenario:
    """Four stations of 10 cores and 1000 MB, hardly loaded; two parts of the band."""
    settings = {
        "max_steps": 600,
        "users.requests.probability": 0.1,
        "radio.interference": {"kind": "co-channel", "reuse": 2},
        "stations": [
            {"x_m": x, "y_m": y, "compute_gcycle_s": 30.0, "memory_mb": 1000.0}
            for x in (100.0, 300.0)
            for y in (100.0, 300.0)
        ],
    }
    return load("four-cells", **(settings | changes))


def city_of(scenario: Scenario | None = None, **settings: Any) -> tuple[SimulatedCity, World]:
    world = World(scenario or town())
    world.reset(SEED)
    return SimulatedCity(world, **({"interval_s": 20.0} | settings)), world


def resized(city: SimulatedCity, zone: int, **amounts: float) -> Decision:
    """A decision that gives one zone other amounts."""
    before = city.allocations()
    after = before.copy()
    for name, value in amounts.items():
        after[zone, RESOURCES.index(name)] = value
    reasons = ((Reason("test", "wanted"),),) * len(before)
    return Decision(city.now(), city.zones, before, after, reasons)


def test_rows_are_those_of_a_recording(tmp_path: Path) -> None:
    city, _ = city_of()
    rows = [city.advance() for _ in range(5)]
    table = record(town(), tmp_path, duration_s=100, interval_s=20, seed=SEED).table()
    names = ["requests", "latency_ms", "cpu_cores", "memory_mb", "bandwidth_mbps", "cpu_capacity_cores"]
    values = as_array(table, names)[2]
    for f, name in enumerate(names):
        ours = np.stack([row["given_cores" if name == "cpu_capacity_cores" else name] for row in rows])
        np.testing.assert_allclose(ours, values[..., f])
    usage = city.usage()
    np.testing.assert_array_equal(usage.used[..., 0], values[..., 2])
    np.testing.assert_array_equal(usage.others["latency_ms"], values[..., 1])
    assert usage.times.tolist() == [0, 20, 40, 60, 80]
    assert city.now() == 100


def test_an_interval_can_be_run_step_by_step() -> None:
    whole, stepwise = city_of()[0], city_of()[0]
    row = whole.advance()
    stepped = [stepwise.step() for _ in range(20)]
    assert stepped[:-1] == [None] * 19
    assert stepped[-1] is not None
    for name, values in row.items():
        np.testing.assert_array_equal(stepped[-1][name], values)
    assert stepwise.usage().used.tolist() == whole.usage().used.tolist()


def test_it_goes_on_in_another_scenario_as_if_nothing_had_happened_but_what_is_new_there() -> None:
    scenario = load("city-30", max_steps=400)
    assert scenario.city is not None
    crowd = Event(name="crowd", zone="arena", from_s=130.0, duration_s=200.0, lead_s=0.0, pull=1.0, request_factor=9.0)
    other = scenario.model_copy(
        update={"city": scenario.city.model_copy(update={"events": (*scenario.city.events, crowd)})}
    )
    (same, _), (calm, _), (crowded, _) = (city_of(scenario, interval_s=60.0) for _ in range(3))
    for city in (same, calm, crowded):
        for _ in range(90):  # in the middle of an interval
            city.step()
    calm.go_on_in(scenario)
    world = crowded.go_on_in(other)
    rows = [[city.advance() for _ in range(4)] for city in (same, calm, crowded)]
    for name, values in rows[0][-1].items():
        np.testing.assert_array_equal(rows[1][-1][name], values)
    arena = same.zones.index("arena")
    np.testing.assert_array_equal(rows[2][0]["requests"], rows[0][0]["requests"])  # before it begins
    assert rows[2][2]["requests"][arena] > 3 * rows[0][2]["requests"][arena]
    assert float(world.t[0]) == crowded.now()


def test_sizes_take_effect_in_the_world() -> None:
    city, world = city_of()
    assert city.allocations()[:, :2].tolist() == [[10, 1000]] * 4
    applied = city.apply(resized(city, 1, cpu_cores=2.0, memory_mb=600.0))
    assert applied.done.all()
    assert city.allocations()[1, :2].tolist() == [2, 600]
    row = city.advance()
    assert world.zones["compute"][0].tolist() == [30, 6, 30, 30]
    assert world.zones["memory_mb"][0].tolist() == [1000, 600, 1000, 1000]
    assert row["given_cores"].tolist() == [10, 2, 10, 10]


def test_a_delay_lies_between_a_decision_and_its_effect() -> None:
    city, _ = city_of(delay_s=30.0)
    city.apply(resized(city, 0, cpu_cores=4.0))
    assert city.allocations()[0, 0] == 4  # what is asked for
    assert [city.advance()["given_cores"][0] for _ in range(3)] == [10, 7, 4]  # on average
    city.apply(resized(city, 0, cpu_cores=6.0))
    city.advance()
    city.apply(resized(city, 2, cpu_cores=8.0))
    rows = [city.advance()["given_cores"] for _ in range(2)]
    assert [row[0] for row in rows] == [5, 6]
    assert [row[2] for row in rows] == [10, 9]


def test_too_small_a_zone_is_slow_and_people_ask_as_before() -> None:
    large, small = (city_of()[0] for _ in range(2))
    small.apply(resized(small, 0, cpu_cores=0.2))
    for _ in range(10):
        large.advance(), small.advance()
    asked = [np.stack([row["requests"] for row in city.rows]) for city in (large, small)]
    np.testing.assert_array_equal(*asked)
    latency = [np.stack([row["latency_ms"] for row in city.rows]) for city in (large, small)]
    assert np.nanmean(latency[1][5:, 0]) > 5 * np.nanmean(latency[0][5:, 0])


def test_bandwidth_is_worth_what_the_data_took_of_it() -> None:
    city, world = city_of()
    np.testing.assert_allclose(city.allocations()[:, 2], 100 / 2 * ASSUMED_EFFICIENCY)  # of 100 MHz, in two parts
    for _ in range(3):
        city.advance()
    efficiency = city.efficiency
    assert (efficiency > 0.5).all()
    np.testing.assert_allclose(city.allocations()[:, 2], 50 * efficiency)
    city.apply(resized(city, 1, bandwidth_mbps=25 * efficiency[1]))
    row = city.advance()
    np.testing.assert_allclose(world.zones["bandwidth_hz"][0], [100e6, 50e6, 100e6, 100e6])
    assert row["bandwidth_mbps"][1] <= 25 * city.efficiency[1] * 1.01


def test_out_of_memory_is_noticed() -> None:
    scenario = town(memory={"base_mb": 100.0, "per_user_mb": 0.0, "per_job_mb": 50.0})
    city, _ = city_of(scenario)
    assert not city.advance()["out_of_memory"].any()
    city.apply(resized(city, 0, memory_mb=160.0, cpu_cores=0.1))
    for _ in range(5):
        row = city.advance()
    assert row["out_of_memory"].tolist() == [True, False, False, False]
    assert row["lost"][0] > 0
    ran_out = city.usage().out_of_memory
    assert ran_out is not None
    assert ran_out[-1].tolist() == [True, False, False, False]


def test_history_goes_before_what_is_run() -> None:
    first, _ = city_of()
    first.advance(), first.advance()
    world = World(town())
    world.reset(SEED)
    history = first.usage()
    moved = Usage(history.times - 40, history.zones, history.used, 20.0, history.out_of_memory, history.others)
    city = SimulatedCity(world, interval_s=20.0, history=moved)
    city.advance()
    usage = city.usage()
    assert usage.times.tolist() == [-40, -20, 0]
    np.testing.assert_array_equal(usage.used[:2], history.used)
    np.testing.assert_array_equal(usage.used[2], history.used[0])


def test_what_cannot_be() -> None:
    with pytest.raises(AutoscaleError, match=r"the interval of 0\.5 s is no multiple of the scenario's step of 1 s"):
        city_of(interval_s=0.5)
    with pytest.raises(AutoscaleError, match=r"the delay of 1\.5 s is no multiple"):
        city_of(delay_s=1.5)
    with pytest.raises(AutoscaleError, match="'zone-000' has memory without a bound"):
        city_of(load("four-cells"))
    with pytest.raises(AutoscaleError, match="not a batch of 2"):
        SimulatedCity(World(town(), num_envs=2))
