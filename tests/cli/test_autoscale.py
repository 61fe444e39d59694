"""`metalore autoscale compare`: recommenders in the same city, on screen and on disk."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from cli.calling import call, refusal

from metalore.autoscale import comparison
from metalore.autoscale.comparison import MEASURES, Plan, Run, candidate, compare, run_demand
from metalore.cli.autoscale import safety_of
from metalore.forecast import Panel, Split, make_forecaster
from metalore.forecast.checkpoint import save_forecaster
from metalore.policies import make_policy
from metalore.scenario import load
from metalore.serve.autoscaling import _panel, forecaster_of
from metalore.telemetry import record

DAYS = 600 / 86_400
SMALL = (
    "autoscale",
    "compare",
    "four-cells",
    "--days",
    DAYS,
    "--history",
    DAYS,
    "--interval",
    30,
    "--set",
    "users.count=8",
)
SAFETY = ("--safety", "cooldown_down_s=0", "--safety", "upper=40,4096,1000")


def test_a_comparison_is_that_of_the_library(tmp_path: Path) -> None:
    names = ("forecast:headroom=0.2", "hpa")
    words = [word for name in names for word in ("--recommender", name)]
    out = tmp_path / "new"
    result = call(*SMALL, *SAFETY, *words, "--seeds", 2, "--seed", 5, "--reference", "hpa", "--out", out)
    assert result.exit_code == 0, result.output
    plan = Plan(
        load("four-cells", users__count=8),
        days=DAYS,
        history_days=DAYS,
        interval_s=30.0,
        safety=safety_of(["cooldown_down_s=0", "upper=40,4096,1000"]),
        policy=make_policy("backlog-proportional"),
    )
    candidates = {name: candidate(name, plan.scenario) for name in names}
    there = pd.DataFrame(compare(plan, candidates, [5, 6], forecaster_of("last-value", plan)))
    pd.testing.assert_frame_equal(pd.read_csv(out / "results.csv"), there.drop(columns="codes"))
    assert set(os.listdir(out)) == {
        "results.csv", "reasons.csv", "series", "summary.json", "index.html", "figures",
    }  # fmt: skip
    reasons = pd.read_csv(out / "reasons.csv")
    last = reasons[(reasons["recommender"] == "hpa") & (reasons["seed"] == 6)]
    assert dict(zip(last["code"], last["decisions"], strict=True)) == there["codes"].iloc[-1]
    assert set(os.listdir(out / "series")) == {"forecast-headroom-0-2.parquet", "hpa.parquet"}
    course = pd.read_parquet(out / "series" / "hpa.parquet")
    assert course["given_cores"].sum() * 30 / 3600 == pytest.approx(there["core_hours"][1], rel=1e-5)  # of seed 5
    assert {path.stem for path in (out / "figures").iterdir()} == {
        "cost", "slack", "changes", "reasons", "zone-most", "zone-median",
    }  # fmt: skip
    page = (out / "index.html").read_text()
    assert "2 recommenders in 2 cities of 4 zones" in page
    assert "Mean difference to hpa" in page
    content = json.loads((out / "summary.json").read_text())
    assert (content["finished"], content["seeds"]) == (True, [5, 6])
    assert content["summary"]["hpa"]["core_hours"][0] == pytest.approx(
        there.loc[there["recommender"] == "hpa", "core_hours"].mean()
    )
    assert content["safety"]["upper"] == [40, 4096, 1000]
    assert content["safety"]["budget"] == [None] * 3
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "four-cells: mean over 2 cities of 0.00694444 days, and 95 % interval" in lines
    assert "Difference to hpa in the same cities" in lines
    for measure in MEASURES:
        assert measure.replace("_", " ") in result.stdout


def test_broken_forecasts_are_compared_with_and_without_a_drift_detector(tmp_path: Path) -> None:
    pytest.importorskip("river", reason="river is not installed")
    words = ("--recommender", "forecast", "--recommender", "hpa", "--drift", "--no-plot", "--seeds", 1)
    broken = ("--break", "biased:factor=0.05", "--break", "missing:every=9,lasts=2")
    cores, codes = {}, {}
    for name, breaks in (("healthy", ()), ("broken", broken)):
        out = tmp_path / name
        result = call(*SMALL, *SAFETY, *words, *breaks, "--out", out)
        assert result.exit_code == 0, result.output
        cores[name] = pd.read_csv(out / "results.csv").set_index("recommender")["core_hours"]
        reasons = pd.read_csv(out / "reasons.csv")
        codes[name] = {who: set(rows["code"]) for who, rows in reasons.groupby("recommender")}
    assert list(cores["broken"].index) == ["forecast", "hpa", "forecast+drift"]
    assert cores["broken"]["hpa"] == cores["healthy"]["hpa"]
    assert cores["broken"]["forecast"] < cores["healthy"]["forecast"]
    assert cores["broken"]["forecast+drift"] > cores["broken"]["forecast"]
    assert "forecast-distrusted" in codes["broken"]["forecast+drift"] - codes["broken"]["forecast"]
    assert "forecast-missing" in codes["broken"]["forecast"]
    content = json.loads((tmp_path / "broken" / "summary.json").read_text())
    assert content["breaks"] == ["biased:factor=0.05", "missing:every=9,lasts=2"]
    assert "--break biased:factor=0.05 --break missing:every=9,lasts=2 --drift --reference" in content["command"]
    assert "no break 'bias'; did you mean 'biased'" in refusal(*SMALL, "--break", "bias")
    assert "no --recommender asks for them" in refusal(*SMALL, "--recommender", "hpa", "--drift")


CHEAP = (*SMALL, *SAFETY, "--recommender", "static", "--recommender", "hpa", "--no-plot")


def test_an_interrupted_comparison_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert call(*CHEAP, "--seeds", 2, "--out", whole).exit_code == 0
    really, begun = comparison.run, []

    def run(*arguments: Any) -> Run:
        begun.append(arguments)
        if len(begun) == 4:
            raise KeyboardInterrupt
        return really(*arguments)

    monkeypatch.setattr(comparison, "run", run)
    words = (*CHEAP, "--seeds", 2, "--out", cut)
    result = call(*words)
    assert result.exit_code == 130
    assert result.stderr.endswith("metalore: interrupted; files that were complete are kept\n")
    assert pd.read_csv(cut / "results.csv")["seed"].tolist() == [0, 0, 1]
    assert json.loads((cut / "summary.json").read_text())["finished"] is False
    assert not list(cut.rglob(".*"))
    assert "holds results already; go on with --resume" in refusal(*words)
    assert call(*words, "--resume").exit_code == 0
    assert len(begun) == 5  # one more, that of hpa and seed 1
    for name in ("results.csv", "reasons.csv", "series/hpa.parquet", "series/static.parquet"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()
    told = [json.loads((folder / "summary.json").read_text()) for folder in (whole, cut)]
    assert told[0]["summary"] == told[1]["summary"]
    assert told[0]["reasons"] == told[1]["reasons"]
    again = shlex.split(told[1]["command"])
    assert again[0] == "metalore"
    assert call(*again[1:], "--resume", "--no-plot").exit_code == 0
    assert len(begun) == 5


def test_only_the_same_comparison_goes_on(tmp_path: Path) -> None:
    words = (*CHEAP, "--seeds", 1, "--out", tmp_path)
    assert call(*words).exit_code == 0
    assert call(*CHEAP, "--seeds", 2, "--out", tmp_path, "--resume").exit_code == 0  # more cities
    assert pd.read_csv(tmp_path / "results.csv")["seed"].tolist() == [0, 0, 1, 1]
    begun = "go on as it began (metalore autoscale compare four-cells"
    assert f"a comparison with other recommenders; {begun}" in refusal(*words, "--recommender", "vpa", "--resume")
    assert f"a comparison with other first_seed; {begun}" in refusal(*words, "--seed", 3, "--resume")
    assert "a comparison with other safety" in refusal(*words, "--safety", "step_down=0.5", "--resume")
    (tmp_path / "summary.json").write_text("[]")
    assert "something else than a comparison of recommenders" in refusal(*words, "--resume")


def test_one_recommender_in_one_city_has_a_page(tmp_path: Path) -> None:
    result = call(*SMALL, "--recommender", "static", "--seeds", 1, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "1 recommender in 1 city of 4 zones" in (tmp_path / "index.html").read_text()


def test_a_kept_forecaster_is_asked(tmp_path: Path) -> None:
    scenario = load("four-cells", users__count=8)
    recording = record(scenario, tmp_path / "run", duration_s=1800, interval_s=30, seed=1)
    panel = Panel.of(recording)
    split = Split.by_parts(panel)
    forecaster = make_forecaster("last-value").fit(panel, split, (1, 2))
    save_forecaster(forecaster, tmp_path / "kept", panel=panel, split=split)
    words = ("--recommender", "forecast", "--seeds", 1, "--forecaster", tmp_path / "kept", "--out", tmp_path / "out")
    result = call(*SMALL, *SAFETY, *words)
    assert result.exit_code == 0, result.output
    codes = json.loads((tmp_path / "out" / "summary.json").read_text())["reasons"]["forecast, seed 0"]
    assert codes["forecast"] == 4 * 20
    assert "forecast-missing" not in codes


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--recommender", "hpo"], "no recommender 'hpo'; did you mean 'hpa'?"),
        (["--safety", "step=1"], "safety has no setting 'step'; did you mean 'step_up'?"),
        (["--safety", "step_up=fast"], "safety.step_up is 'fast'; it takes one number"),
        (["--safety", "step_up=1,2"], "safety.step_up is '1,2'; it takes one number"),
        (["--safety", "lower=1"], "safety.lower is (1.0,); it needs 3 positive amounts"),
        (["--forecaster", "last-valu"], "no forecaster 'last-valu'; did you mean 'last-value'?"),
        (["--seeds", 0], "--seeds is 0; at least 1 is needed"),
        (["--resume"], "--resume goes on with what is in --out"),
        (["--history", 0], "a history of 0 intervals is too short to fit last-value to"),
        (["--days", 0], "days is 0; it must be a multiple of the interval of 30 s"),
        (["--delay", 0.5], "the delay of 0.5 s is no multiple of the scenario's step of 1 s"),
        (["--policy", "max-wait"], "unknown policy 'max-wait'"),
    ],
)
def test_mistakes_get_one_sentence(words: list[object], sentence: str) -> None:
    assert sentence in refusal(*SMALL, "--seeds", 1, *words)


def test_a_forecaster_learns_from_users_and_neighbours_too() -> None:
    scenario = load("four-cells", users__count=8)
    plan = Plan(scenario, days=DAYS, history_days=DAYS, interval_s=30.0, policy=make_policy("backlog-proportional"))
    panel = _panel(run_demand(plan, 0).history, scenario)
    assert panel.inputs == ("active_users", "requests", "movement_rate")
    assert panel.input_values is not None
    assert panel.input_values.shape == (20, 4, 3)
    assert panel.edges is not None
    assert len(panel.edges) == 12, "each of four zones is a neighbour of all others"
