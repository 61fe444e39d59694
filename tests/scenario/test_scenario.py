"""Settings: what the built-in scenarios hold, how they are changed, and the one sentence each mistake gets."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomlkit
from pydantic import ValidationError

from metalore.scenario import (
    Burst,
    Constant,
    Daily,
    GaussMarkov,
    Ramp,
    RandomWaypoint,
    Scenario,
    ScenarioError,
    StepProfile,
    builtin_names,
    load,
    parse_override,
    period_steps_of,
    profile_factors,
    validated,
)

BUILT_IN = [
    "city-30",
    "four-cells",
    "one-zone",
    "smart-city",
    "smart-city-dynamic",
    "smart-city-large",
    "smart-city-small",
]


def poisson(mean: float) -> dict[str, Any]:
    return {"mean": mean, "distribution": "poisson", "minimum": 1.0}


REFERENCE_WORKLOAD = {
    "step_s": 1.0,
    "max_steps": 100,
    "map": {"width_m": 200.0, "height_m": 200.0},
    "stations": [
        {
            "x_m": 100.0,
            "y_m": 100.0,
            "height_m": 40.0,
            "tx_dbm": 40.0,
            "bandwidth_hz": 100e6,
            "compute_gcycle_s": 100.0,
            "memory_mb": None,
        }
    ],
    "radio": {
        "path_loss": "okumura-hata",
        "carrier_mhz": 3500.0,
        "noise_w": 1e-12,
        "snr_threshold": 2e-8,
        "association": "nearest",
        "scheduler": "resource-fair",
    },
    "users": {
        "count": 10,
        "height_m": 1.5,
        "mobility": {"kind": "random-waypoint", "speed_min_m_s": 1.5, "speed_max_m_s": 1.5, "pause_steps": 0},
        "presence": {"kind": "always"},
        "positions_m": None,
        "requests": {
            "probability": 0.7,
            "data_mbit": poisson(50.0),
            "compute_gcycle": poisson(5.0),
            "profile": {"kind": "constant"},
        },
    },
    "sensors": {
        "count": 15,
        "height_m": 1.5,
        "range_m": None,
        "placement": {"kind": "ring", "min_distance_m": 20.0, "max_distance_m": 90.0, "spacing_m": 20.0},
        "updates": {
            "timing": {"kind": "periodic", "period_steps": 1.0, "phase": "zero"},
            "data_mbit": poisson(70.0),
            "compute_gcycle": poisson(7.0),
            "profile": {"kind": "constant"},
        },
    },
    "buffers": {"device_jobs": None, "station_jobs": None},
    "pairing": "start",
    "reward": {
        "sync_reward": 10.0,
        "discount": 0.9,
        "delay_penalty": 1.0,
        "delay_threshold_s": 2.0,
        "throughput": 0.0,
        "loss": 0.0,
        "served_age": 0.0,
        "twin_age": 0.0,
    },
}
"""The published work's cell as the design states it."""


def part_of(whole: Any, pattern: Any) -> Any:
    """What a dump holds where the pattern asks."""
    if isinstance(pattern, Mapping):
        return {key: part_of(whole[key], value) for key, value in pattern.items()}
    if isinstance(pattern, list) and len(pattern) == len(whole):
        return [part_of(entry, wanted) for entry, wanted in zip(whole, pattern, strict=True)]
    return whole


# -- built in ----------------------------------------------------------------------------------------------------------


def test_built_in_names() -> None:
    assert builtin_names() == BUILT_IN


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_scenarios_load(name: str) -> None:
    scenario = load(name)
    assert scenario.name == name
    assert scenario.description.endswith(".")


def test_smart_city_is_the_published_cell() -> None:
    assert part_of(load("smart-city").model_dump(mode="json"), REFERENCE_WORKLOAD) == REFERENCE_WORKLOAD
    assert load() == load("smart-city")


def test_the_defaults_are_the_published_cell() -> None:
    assert part_of(Scenario().model_dump(mode="json"), REFERENCE_WORKLOAD) == REFERENCE_WORKLOAD


def test_smart_city_is_overloaded() -> None:
    """140 Gcycle/s are asked of 100."""
    scenario = load("smart-city")
    requests, updates = scenario.users.requests, scenario.sensors.updates
    asked = scenario.users.count * requests.probability * requests.compute_gcycle.mean
    asked += sum(1 / period for period in period_steps_of(scenario)) * updates.compute_gcycle.mean
    assert asked == pytest.approx(140.0)
    assert scenario.stations[0].compute_gcycle_s == 100.0


# -- overrides ---------------------------------------------------------------------------------------------------------


def test_overrides_by_keyword_and_by_path() -> None:
    expected = load("smart-city").model_dump(mode="json")
    expected["max_steps"] = 7
    expected["users"]["count"] = 3
    expected["stations"][0]["tx_dbm"] = 30.0
    expected["users"]["requests"]["data_mbit"]["mean"] = 5.0
    changes = {"stations.0.tx_dbm": 30, "users.requests.data_mbit.mean": 5.0}
    scenario = load("smart-city", max_steps=7, users__count=3, **changes)
    assert scenario.model_dump(mode="json") == expected
    assert load("smart-city").updated(max_steps=7, users__count=3, **changes) == scenario
    assert load(load("smart-city"), max_steps=7, users__count=3, **changes) == scenario
    keywords = {"stations__0__tx_dbm": 30, "users__requests__data_mbit__mean": 5.0}
    assert load(max_steps=7, users__count=3, **keywords) == scenario


def test_the_original_stays_as_it_was() -> None:
    scenario = load("smart-city")
    scenario.updated(max_steps=7, users__requests__data_mbit__mean=1.0)
    assert scenario == load("smart-city")


def test_a_section_can_be_replaced() -> None:
    course = GaussMarkov(memory=0.5)
    for value in (course, {"kind": "gauss-markov", "memory": 0.5}):
        assert load(users__mobility=value).users.mobility == course


def test_a_new_kind_brings_its_own_settings() -> None:
    scenario = load(**{"users.mobility.kind": "gauss-markov", "users.mobility.memory": 0.25})
    assert scenario.users.mobility == GaussMarkov(memory=0.25)
    kept = load(users__mobility__pause_steps=4).updated(**{"users.mobility.kind": "random-waypoint"})
    assert kept.users.mobility == RandomWaypoint(pause_steps=4)


def test_settings_do_not_change() -> None:
    scenario = load("smart-city")
    for part, field in ((scenario, "max_steps"), (scenario.users, "count"), (scenario.stations[0], "tx_dbm")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, field, 1)
    assert isinstance(scenario.stations, tuple)


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("users.count=20", "users.count", 20),
        ("radio.noise_w=1e-9", "radio.noise_w", 1e-9),
        (" max_steps = 7", "max_steps", 7),
        ("name=city", "name", "city"),
        ("name = a city ", "name", "a city"),
        ('name="20"', "name", "20"),
        ("description=a=b", "description", "a=b"),
        ("pairing=completion", "pairing", "completion"),
        ("users.positions_m=[[1, 2], [3, 4]]", "users.positions_m", [[1, 2], [3, 4]]),
        ('users.mobility={kind = "static"}', "users.mobility", {"kind": "static"}),
        ("name=", "name", ""),
    ],
)
def test_parse_override(text: str, path: str, value: Any) -> None:
    assert parse_override(text) == (path, value)
    assert type(parse_override(text)[1]) is type(value)


@pytest.mark.parametrize("text", ["users.count", "", "=3", " =3"])
def test_what_is_no_override(text: str) -> None:
    sentence = refusal(lambda: parse_override(text))
    assert "users.count=20" in sentence
    assert repr(text) in sentence


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_scenario_survives_a_toml_file(name: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    odd = {
        "buffers.device_jobs": 4,
        "sensors.range_m": 33.3,
        "sensors.updates.timing": {"kind": "bernoulli", "probability": 0.2},
    }
    for scenario in (load(name), load(name, **odd)):
        file.write_text(tomlkit.dumps(scenario.model_dump(mode="json", exclude_none=True)), encoding="utf-8")
        assert load(file) == load(str(file)) == scenario
    assert load(file, max_steps=3).max_steps == 3


def test_a_scenario_survives_json() -> None:
    scenario = load("four-cells", users__count=2, users__positions_m=[(1, 2), (3, 4.5)])
    assert validated(json.loads(scenario.model_dump_json())) == scenario
    assert scenario.users.positions_m == ((1.0, 2.0), (3.0, 4.5))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "nowhere.toml" in refusal(lambda: load("nowhere.toml"))
    broken = tmp_path / "broken.toml"
    broken.write_text("users = [")
    assert "not valid TOML" in refusal(lambda: load(broken))
    broken.write_bytes(b"\xff\xfe")
    assert "not valid TOML" in refusal(lambda: load(broken))
    broken.write_text("[users]\ncuont = 3\n")
    assert "did you mean 'count'" in refusal(lambda: load(broken))


def test_unknown_scenario() -> None:
    sentence = refusal(lambda: load("smart-cty"))
    assert "did you mean 'smart-city'" in sentence
    for name in (*BUILT_IN, ".toml"):
        assert name in sentence


# -- refusals ----------------------------------------------------------------------------------------------------------


def refusal(call: Any) -> str:
    with pytest.raises(ScenarioError) as caught:
        call()
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert len(sentence) > 15
    return sentence


@pytest.mark.parametrize(
    ("path", "value", "unknown", "meant"),
    [
        ("max_stepz", 3, "max_stepz", "max_steps"),
        ("users.cuont", 3, "users.cuont", "count"),
        ("users.requests.data_mbit.maen", 3.0, "users.requests.data_mbit.maen", "mean"),
        ("users.mobility.sped_min_m_s", 3.0, "users.mobility.sped_min_m_s", "speed_min_m_s"),
        ("users.mobility", {"kind": "gauss-markov", "memroy": 0.1}, "users.mobility.memroy", "memory"),
        ("sensors.updates.timing.perod_steps", 2.0, "sensors.updates.timing.perod_steps", "period_steps"),
        ("stations.0.tx_dmb", 30.0, "stations.0.tx_dmb", "tx_dbm"),
        ("stations", [{"x_m": 1.0}, {"compute_gcycles": 1.0}], "stations.1.compute_gcycles", "compute_gcycle_s"),
    ],
)
def test_unknown_settings(path: str, value: Any, unknown: str, meant: str) -> None:
    """By override and in a file: the setting, and the nearest one that exists."""
    for call in (lambda: load(**{path: value}), lambda: validated(nested(path, value))):
        sentence = refusal(call)
        assert f"unknown setting {unknown}" in sentence
        assert f"did you mean {meant!r}" in sentence


def nested(path: str, value: Any) -> dict[str, Any]:
    """Settings of the reference cell with one value put in, known or not."""
    settings = load("smart-city").model_dump(mode="json")
    *parents, last = path.split(".")
    here: Any = settings
    for key in parents:
        here = here[int(key) if key.isdigit() else key]
    here[last] = value
    return settings


def test_unknown_settings_with_nothing_near() -> None:
    sentence = refusal(lambda: load(users__xyz="red"))
    assert "unknown setting users.xyz" in sentence
    for name in ("count", "mobility", "requests"):
        assert name in sentence


def test_paths_that_lead_nowhere() -> None:
    assert "max_steps holds a value" in refusal(lambda: load(max_steps__more=1))
    for station in ("1", "x", "-1"):
        sentence = refusal(lambda station=station: load(**{f"stations.{station}.x_m": 1.0}))
        assert "stations has 1" in sentence
        assert repr(station) in sentence


RING = {"kind": "ring", "min_distance_m": 20.0, "max_distance_m": 90.0, "spacing_m": 20.0}
DOUBLED = {"kind": "burst", "from_s": 10.0, "duration_s": 5.0, "factor": 2.0}

REFUSALS = {
    # values out of range: field, value, what is allowed
    "negative size": ({"users.requests.data_mbit.mean": -1.5}, ["users.requests.data_mbit.mean", "-1.5", "0"]),
    "negative minimum": (
        {"sensors.updates.compute_gcycle.minimum": -2.0},
        ["sensors.updates.compute_gcycle.minimum", "-2.0", "0"],
    ),
    "huge size": ({"users.requests.data_mbit.mean": 2e7}, ["users.requests.data_mbit.mean", "20000000", "10000000"]),
    "probability above 1": ({"users.requests.probability": 1.25}, ["users.requests.probability", "1.25", "1"]),
    "negative probability": ({"users.requests.probability": -0.25}, ["users.requests.probability", "-0.25", "0"]),
    "Bernoulli above 1": (
        {"sensors.updates.timing": {"kind": "bernoulli", "probability": 1.5}},
        ["sensors.updates.timing.probability", "1.5", "1"],
    ),
    "memory above 1": (
        {"users.mobility": {"kind": "gauss-markov", "memory": 1.5}},
        ["users.mobility.memory", "1.5", "1"],
    ),
    "discount above 1": ({"reward.discount": 1.5}, ["reward.discount", "1.5", "1"]),
    "discount of zero": ({"reward.discount": 0.0}, ["reward.discount", "0.0", "greater than 0"]),
    "no noise": ({"radio.noise_w": 0.0}, ["radio.noise_w", "0.0", "greater than 0"]),
    "NaN": ({"radio.noise_w": math.nan}, ["radio.noise_w", "nan", "finite"]),
    "infinity": ({"stations.0.bandwidth_hz": math.inf}, ["stations.0.bandwidth_hz", "inf", "finite"]),
    "NaN in a position": ({"users.count": 1, "users.positions_m": [[math.nan, 1.0]]}, ["users.positions_m.0.0", "nan"]),
    "no steps": ({"max_steps": 0}, ["max_steps", "0", "1"]),
    "negative users": ({"users.count": -1}, ["users.count", "-1", "0"]),
    "half a user": ({"users.count": 2.5}, ["users.count", "2.5", "integer"]),
    "text for a number": ({"users.count": "many"}, ["users.count", "'many'", "integer"]),
    "nothing": ({"users.count": None}, ["users.count", "None", "integer"]),
    "no slots": ({"radio.round_robin_slots": 0}, ["radio.round_robin_slots", "0", "1"]),
    "short stay": (
        {"users.presence": {"kind": "churn", "mean_stay_steps": 0.5}},
        ["users.presence.mean_stay_steps", "0.5", "1"],
    ),
    "buffer of zero in devices": ({"buffers.device_jobs": 0}, ["buffers.device_jobs", "0", "1"]),
    "buffer of zero at stations": ({"buffers.station_jobs": 0}, ["buffers.station_jobs", "0", "1"]),
    "unknown choice": ({"radio.path_loss": "hata"}, ["radio.path_loss", "'hata'", "okumura-hata", "umi", "uma"]),
    "unknown kind": (
        {"users.mobility": {"kind": "teleport"}},
        ["users.mobility", "teleport", "random-waypoint", "gauss-markov", "static", "trace"],
    ),
    "missing kind": ({"users.mobility": {"memory": 0.5}}, ["users.mobility", "kind", "gauss-markov", "static"]),
    "missing value": (
        {"sensors.updates.timing": {"kind": "bernoulli"}},
        ["sensors.updates.timing.probability", "missing"],
    ),
    "value for a section": ({"users": 3}, ["users", "3"]),
    # together impossible
    "no station": ({"stations": []}, ["stations", "at least one"]),
    "station off the map": ({"stations.0.x_m": 300.0}, ["stations.0", "300.0", "200.0 m x 200.0 m"]),
    "station at a negative place": ({"stations.0.y_m": -1.0}, ["stations.0.y_m", "-1.0", "0"]),
    "user off the map": (
        {"users.count": 2, "users.positions_m": [[1.0, 1.0], [1.0, 201.0]]},
        ["users.positions_m.1", "201.0", "200.0 m x 200.0 m"],
    ),
    "sensor off the map": (
        {"sensors.count": 1, "sensors.placement": {"kind": "fixed", "positions_m": [[-1.0, 1.0]]}},
        ["sensors.placement.positions_m.0", "-1.0", "200.0 m x 200.0 m"],
    ),
    "positions of users": ({"users.positions_m": [[1.0, 1.0]]}, ["positions_m", "1 points for 10 users", "one each"]),
    "positions of sensors": (
        {"sensors.placement": {"kind": "fixed", "positions_m": [[1.0, 1.0]]}},
        ["placement.positions_m", "1 points for 15 sensors", "one each"],
    ),
    "periods": (
        {"sensors.updates.timing.period_steps": [1.0, 2.0]},
        ["updates.timing.period_steps", "2 periods for 15 sensors", "one each"],
    ),
    "period of zero": (
        {"sensors.updates.timing.period_steps": 0.0},
        ["sensors.updates.timing.period_steps is 0.0", "0.01"],
    ),
    "period of zero among others": (
        {"sensors.count": 2, "sensors.updates.timing.period_steps": [1.0, 0.0]},
        ["sensors.updates.timing.period_steps.1 is 0.0", "0.01"],
    ),
    "slowest above fastest": ({"users.mobility.speed_min_m_s": 2.0}, ["speed_max_m_s 1.5", "speed_min_m_s 2.0"]),
    "ring inside out": (
        {"sensors.placement": {**RING, "min_distance_m": 90.0, "max_distance_m": 30.0}},
        ["sensors.placement", "max_distance_m 30.0", "min_distance_m 90.0"],
    ),
    "ring off the map": (
        {"sensors.placement": {**RING, "min_distance_m": 300.0, "max_distance_m": 400.0}},
        ["sensors.placement", "300.0 to 400.0 m", "outside the map"],
    ),
    "ring too crowded": ({"sensors.count": 60}, ["sensors.placement.spacing_m is 20.0", "60", "sensors.count"]),
    "map too crowded": (
        {"sensors.placement": {"kind": "uniform", "spacing_m": 100.0}},
        ["sensors.placement.spacing_m is 100.0", "15", "sensors.count"],
    ),
    "ramp backwards": (
        {"users.requests.profile": {"kind": "ramp", "from_s": 9.0, "to_s": 4.0, "factor": 0.5}},
        ["users.requests.profile", "to_s 4.0", "from_s 9.0"],
    ),
    "burst above 1": ({"users.requests.profile": DOUBLED}, ["users.requests.profile", "0.7", "1.4", "not exceed 1"]),
    "day above 1": (
        {"users.requests.profile": {"kind": "daily", "amplitude": 0.5}},
        ["users.requests.profile", "0.7", "1.05", "not exceed 1"],
    ),
    "Bernoulli updates above 1": (
        {"sensors.updates.timing": {"kind": "bernoulli", "probability": 0.6}, "sensors.updates.profile": DOUBLED},
        ["sensors.updates.profile", "0.6", "1.2", "not exceed 1"],
    ),
    "memory too small for a job": ({"stations.0.memory_mb": 130.0}, ["stations.0.memory_mb is 130.0", "132.0 MB"]),
}


@pytest.mark.parametrize(("changes", "words"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(changes: dict[str, Any], words: list[str]) -> None:
    """The sentence names the field, the value and what is allowed; a file gets the same as an override."""
    sentence = refusal(lambda: load("smart-city", **changes))
    for word in words:
        assert word in sentence
    settings = load("smart-city").model_dump(mode="json")
    for path, value in changes.items():
        *parents, last = path.split(".")
        here: Any = settings
        for key in parents:
            here = here[int(key) if key.isdigit() else key]
        here[last] = value
    assert refusal(lambda: validated(settings)) == sentence


def test_what_is_just_possible() -> None:
    """The limits themselves are allowed."""
    load(users__requests__probability=1.0)
    load(users__requests__probability=0.5, users__requests__profile=DOUBLED)
    load(users__count=0, sensors__count=0)
    load(sensors__count=2, sensors__updates__timing__period_steps=[0.01, 3.0])
    load(stations__0__x_m=200.0, stations__0__y_m=0.0, sensors__count=0)
    load(stations__0__memory_mb=132.0)
    load(users__requests__data_mbit={"mean": 0.0, "minimum": 0.0})
    load(sensors__updates__profile={**DOUBLED, "factor": 50.0})  # periodic updates may come many in a step


def test_what_no_file_can_hold() -> None:
    assert "numbers, text and lists" in refusal(lambda: load(name=object()))


# -- derived -----------------------------------------------------------------------------------------------------------


def test_json_schema_describes_everything() -> None:
    """For editors: every setting but the tag of a kind says what it is, itself or by the section it holds."""
    schema = Scenario.model_json_schema()
    json.dumps(schema)
    fields = list(fields_of(schema))
    assert len(fields) > 90
    assert [path for path, field in fields if not field.get("description")] == []
    assert {"Scenario.max_steps", "Station.tx_dbm", "Burst.factor", "Reward.twin_age"} <= {path for path, _ in fields}


def fields_of(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, section in (("Scenario", schema), *schema["$defs"].items()):
        assert section.get("description"), name
        for key, field in section["properties"].items():
            if "const" not in field:
                target = schema["$defs"][field["$ref"].rpartition("/")[2]] if "$ref" in field else {}
                yield f"{name}.{key}", {**target, **field}


@pytest.mark.parametrize(
    ("profile", "factors"),
    [
        (Constant(), [1, 1, 1, 1, 1, 1]),
        (StepProfile(at_s=4, factor=3), [1, 1, 3, 3, 3, 3]),
        (Ramp(from_s=2, to_s=6, factor=2), [1, 1, 1.5, 2, 2, 2]),
        (Burst(from_s=2, duration_s=4, factor=0.5), [1, 0.5, 0.5, 1, 1, 1]),
        (Daily(period_s=8, peak_s=2, amplitude=0.5), [1, 1.5, 1, 0.5, 1, 1.5]),
    ],
)
def test_profile_factors(profile: Any, factors: list[float]) -> None:
    assert profile_factors(profile, np.arange(0, 12, 2)) == pytest.approx(factors)


def test_periods() -> None:
    assert period_steps_of(load(sensors__count=3, sensors__updates__timing__period_steps=2.0)) == [2.0] * 3
    each = [1.0, 0.5, 3.0]
    assert period_steps_of(load(sensors__count=3, sensors__updates__timing__period_steps=each)) == each
    chance = {"kind": "bernoulli", "probability": 0.5}
    assert period_steps_of(load(sensors__count=2, sensors__updates__timing=chance)) == [0.0, 0.0]
