"""`metalore scenarios`: what is listed and shown, and files that can be read again."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cli.calling import call, refusal

from metalore.cli._toml import commented_toml
from metalore.scenario import Scenario, builtin_names, load

UNUSUAL: dict[str, dict[str, Any]] = {
    "everything moves": {
        "users.mobility.kind": "gauss-markov",
        "users.presence": {"kind": "churn", "mean_stay_steps": 7.5},
        "users.requests.profile": {"kind": "daily", "amplitude": 0.2},
        "users.requests.data_mbit.distribution": "exponential",
    },
    "everything stands": {
        "users.count": 6,
        "users.positions_m": [[1.5, i] for i in range(6)],
        "users.mobility": {"kind": "static"},
        "sensors.count": 2,
        "sensors.placement": {"kind": "fixed", "positions_m": [[1, 2], [3, 4]]},
        "sensors.updates.timing": {"kind": "periodic", "period_steps": [1, 2.5]},
    },
    "everything is bounded": {
        "stations.0.memory_mb": 512,
        "buffers": {"device_jobs": 3, "station_jobs": 4},
        "sensors.range_m": 12.5,
        "sensors.updates.timing": {"kind": "bernoulli", "probability": 0.25},
        "radio.noise_w": 1e-300,
        "name": 'a "quoted"\nname # with = everything',
    },
    "nobody is there": {"users.count": 0, "sensors.count": 0, "users.positions_m": []},
    "a trace": {"users.mobility": {"kind": "trace", "file": "C:\\walks\\a.csv"}},
}


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(load(name), id=name) for name in builtin_names()]
    + [pytest.param(load("smart-city", **changes), id=what) for what, changes in UNUSUAL.items()],
)
def test_what_is_written_reads_as_the_same_scenario(scenario: Scenario, tmp_path: Path) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text(commented_toml(scenario, "A heading\nof two lines"), encoding="utf-8")
    assert load(str(file)) == scenario


def test_every_setting_is_explained_once() -> None:
    text = commented_toml(load("four-cells"))
    for said in (
        "# Number of users; 0 is a legal world.",
        '# How users move. One of "random-waypoint", "gauss-markov", "static", "trace", "attraction".',
        "# memory_mb is not set. Memory that bounds resident jobs; unset: no bound.",
        "# What they report.",
    ):
        assert text.count(said) == 1
    assert text.count("compute_gcycle_s = ") == 4
    assert "kind = " in text
    assert max(map(len, text.splitlines())) <= 130


def test_the_list_names_every_scenario_in_80_columns() -> None:
    result = call("scenarios", "list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    first_words = [line.split()[0] for line in lines if line.strip()]
    assert [word for word in first_words if word in builtin_names()] == builtin_names()
    (large,) = [line for line in lines if line.split()[:1] == ["smart-city-large"]]
    assert large.split()[1:5] == ["1", "100", "150", "100"]


def test_show_prints_toml_with_changes() -> None:
    result = call("scenarios", "show", "smart-city-small", "--set", "users.count=7", "--set", "radio.path_loss=umi")
    assert result.exit_code == 0
    shown = tomllib.loads(result.stdout)
    assert shown["users"]["count"] == 7
    assert shown["radio"]["path_loss"] == "umi"
    assert shown["sensors"]["count"] == 4


def test_a_template_can_be_checked_and_is_never_overwritten_unasked(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    assert call("scenarios", "template", file, "--from", "four-cells").exit_code == 0
    assert load(str(file)) == load("four-cells")
    assert call("scenarios", "check", file).stdout == f"{file} is a valid scenario\n"
    assert f"simulate {file}" in file.read_text()
    assert refusal("scenarios", "template", file) == f"{file} exists; --force overwrites it"
    assert load(str(file)) == load("four-cells")
    assert call("scenarios", "template", file, "--force").exit_code == 0
    assert load(str(file)) == load("smart-city")


def test_check_says_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text("[users]\ncuont = 3\n")
    assert refusal("scenarios", "check", file) == "unknown setting users.cuont; did you mean 'count'?"
    file.write_text("[users\n")
    assert "is not valid TOML" in refusal("scenarios", "check", file)
    assert "No such file" in refusal("scenarios", "check", tmp_path / "missing.toml")
    file.write_text('[users.mobility]\nkind = "trace"\nfile = "missing.csv"\n')
    assert "missing.csv" in refusal("scenarios", "check", file)


def test_other_refusals(tmp_path: Path) -> None:
    assert "ends in .toml" in refusal("scenarios", "template", tmp_path / "mine.yaml")
    assert "unknown scenario 'smart-town'; did you mean" in refusal("scenarios", "show", "smart-town")
    assert "an override looks like" in refusal("scenarios", "show", "--set", "users.count")


def test_the_schema_is_that_of_scenarios() -> None:
    schema = json.loads(call("scenarios", "schema").stdout)
    assert schema == Scenario.model_json_schema()
