"""`metalore forecast`: comparisons, one forecaster from training to its forecasts, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cli.calling import call, refusal

from metalore.cli._forecasting import read_scores
from metalore.forecast import Panel, Split, compare, evaluate, load_forecaster
from metalore.forecast.training import STGNNForecaster
from metalore.scenario import load
from metalore.telemetry import read_telemetry, record

TINY = "stgnn hidden=4 recipe.epochs=1 graph=false"
TWO = ("--target", "cpu_cores", "--target", "latency_ms")
AHEAD = ("--horizons", "1,3", "--window", 4)
COMPARED = ("--forecaster", "last-value", "--forecaster", TINY, "--seeds", 2, *TWO, *AHEAD)
TRAINED = ("--set", "hidden=4", "--set", "recipe.epochs=2", *AHEAD)
SMALL = load("four-cells", step_s=10, users__count=8)
TIMES = ["train_s", "inference_ms"]


@pytest.fixture(autouse=True)
def _no_data_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METALORE_DATA", raising=False)


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a recording: four zones, 150 intervals of 10 s."""
    folder = tmp_path_factory.mktemp("recordings") / "city"
    record(SMALL, folder, duration_s=1500, interval_s=10)
    return folder


@pytest.fixture(scope="module")
def compared(city: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The folder of a comparison, and what its command printed."""
    out = tmp_path_factory.mktemp("results") / "new"
    result = call("forecast", "compare", city, *COMPARED, "--out", out)
    assert result.exit_code == 0, result.output
    return out, result


@pytest.fixture(scope="module")
def trained(city: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a forecaster."""
    out = tmp_path_factory.mktemp("forecasters") / "mine"
    result = call("forecast", "train", city, "--out", out, *TRAINED)
    assert result.exit_code == 0, result.output
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == [
        "1 of 2", "2 of 2", f"the forecaster is in {out}",
    ]  # fmt: skip
    return out


def table_at(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], city: Path) -> Path:
    """A Parquet file like a recording, changed."""
    table = read_telemetry(city).astype({"zone": str, "cpu_cores": float})
    change(table).to_parquet(path, index=False)
    return path


# -- compare -----------------------------------------------------------------------------------------------------------


def test_scores_are_those_of_the_library(compared: tuple[Path, Any], city: Path) -> None:
    panel = Panel.of(city, ["cpu_cores", "latency_ms"])
    expected = compare(["last-value", TINY], panel, Split.by_parts(panel), (1, 3), (0, 1), settings={"window": 4}).drop(
        columns=TIMES
    )
    scores = read_scores(compared[0] / "scores.csv")
    assert (scores[TIMES] > 0).all(axis=None)
    assert scores["panel"].eq(str(city)).all()
    pd.testing.assert_frame_equal(scores.drop(columns=["panel", *TIMES]), expected, check_exact=True)
    assert scores.groupby("forecaster")["seed"].nunique().to_dict() == {"last-value": 1, TINY: 2}


def test_everything_is_kept(compared: tuple[Path, Any], city: Path) -> None:
    folder, _ = compared
    assert set(os.listdir(folder)) == {"scores.csv", "summary.json", "index.html", "figures", "diagnosis"}
    (figures,) = (folder / "figures").iterdir()
    assert {path.stem for path in figures.iterdir()} == {"horizons", "calibration", "hours", "zones", "examples"}
    told = json.loads((folder / "summary.json").read_text())
    panel = Panel.of(city, ["cpu_cores", "latency_ms"])
    assert told["panels"][str(city)]["fingerprint"] == panel.fingerprint()
    assert told["forecasters"] == ["last-value", TINY]
    assert (told["finished"], told["seeds"]) == (True, [0, 1])
    assert {"metalore", "torch", "platform"} <= set(told["versions"])
    assert told["seconds"][str(city)][TINY] > 0
    assert len(told["results"]) == 2 * 2 * 2
    page = (folder / "index.html").read_text()
    for words in (TINY, "latency_ms (ms)", "cpu_cores (cores)", "30 s", told["command"].split(" --out")[0][:40]):
        assert words in page


def test_the_screen_has_a_table_for_each_target(compared: tuple[Path, Any], city: Path) -> None:
    folder, result = compared
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if "latency_ms" in line] == [f"{city}: latency_ms (ms)"]
    row = next(line.split() for line in lines if line.split()[:3] == ["last-value", "10", "s"])
    scores = pd.read_csv(folder / "scores.csv")
    assert float(row[3]) == pytest.approx(scores["mae"][0], abs=1e-2)
    assert float(row[-1]) == pytest.approx(scores["inference_ms"][0], abs=6e-3)  # the last column, not cut off
    assert any("±" in line for line in lines)
    said = result.stderr.splitlines()
    assert len([line for line in said if f"{TINY}, seed" in line]) == 2
    assert said[-1] == f"results are in {folder}"


def test_its_command_can_be_typed_again(compared: tuple[Path, Any]) -> None:
    folder, _ = compared
    words = shlex.split(json.loads((folder / "summary.json").read_text())["command"])
    assert words[0] == "metalore"
    before = (folder / "scores.csv").read_bytes()
    assert call(*words[1:], "--resume", "--no-plot").exit_code == 0
    assert (folder / "scores.csv").read_bytes() == before


def test_an_interrupted_comparison_goes_on(
    compared: tuple[Path, Any], city: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, fitted = STGNNForecaster.fit, []

    def fit(self: Any, panel: Panel, split: Split, horizons: Any, seed: int = 0, *rest: Any) -> Any:
        fitted.append(seed)
        if fitted == [0, 1]:
            raise KeyboardInterrupt
        return really(self, panel, split, horizons, seed, *rest)

    monkeypatch.setattr(STGNNForecaster, "fit", fit)
    words = ("forecast", "compare", city, *COMPARED, "--no-plot", "--out", tmp_path)
    result = call(*words)
    assert result.exit_code == 130
    assert result.stderr.endswith("metalore: interrupted; files that were complete are kept\n")
    assert set(pd.read_csv(tmp_path / "scores.csv")["seed"]) == {0}
    assert json.loads((tmp_path / "summary.json").read_text())["finished"] is False
    assert "holds results already; go on with --resume" in refusal(*words)
    assert call(*words, "--resume").exit_code == 0
    assert fitted == [0, 1, 1]
    whole, again = (pd.read_csv(folder / "scores.csv").drop(columns=TIMES) for folder in (compared[0], tmp_path))
    pd.testing.assert_frame_equal(whole, again)


def test_only_the_same_comparison_goes_on(compared: tuple[Path, Any], city: Path) -> None:
    rest = ("--out", compared[0], "--resume")
    assert "a comparison of other forecasters; go on as it began (metalore forecast compare" in refusal(
        "forecast", "compare", city, "--forecaster", "last-value", *TWO, *AHEAD, *rest
    )
    assert "a comparison of other panels" in refusal("forecast", "compare", city, *COMPARED[:6], *AHEAD, *rest)


# -- train, card, evaluate, predict ------------------------------------------------------------------------------------


def test_a_card_has_the_scores(trained: Path, city: Path) -> None:
    assert set(os.listdir(trained)) == {"card.json", "weights.safetensors"}
    result = call("forecast", "card", trained, "--json")
    card = json.loads(result.stdout)
    assert card == json.loads((trained / "card.json").read_text())
    panel = Panel.of(city)
    expected = evaluate(load_forecaster(trained), panel, Split.by_parts(panel), window=1)
    scores = pd.DataFrame(card["scores"])
    assert set(scores["part"]) == {"validation", "test"}
    test = scores[scores["part"] == "test"].drop(columns="part").reset_index(drop=True)
    pd.testing.assert_frame_equal(test, expected)
    words = call("forecast", "card", trained).stdout
    assert max(map(len, words.splitlines())) <= 80
    for known in ("stgnn", "hidden=4", "10 s, 30 s", "12 edges", "2 epochs", "bandwidth_mbps (Mbit/s)"):
        assert known in words


def test_a_forecaster_is_not_overwritten(trained: Path, city: Path, tmp_path: Path) -> None:
    words = ("forecast", "train", city, *AHEAD, "--forecaster", "last-value", "--out")
    assert refusal(*words, trained) == f"{trained} holds a forecaster already; --force replaces it"
    assert "there and holds no forecaster; choose a new or empty folder" in refusal(*words, city, "--force")
    copy = shutil.copytree(trained, tmp_path / "copy")
    assert call(*words, copy, "--force").exit_code == 0
    assert json.loads((copy / "card.json").read_text())["forecaster"] == "last-value"
    assert "holds no training that was cut off" in refusal("forecast", "train", city, "--resume", "--out", copy)
    assert "last-value is fitted in one go; leave out --resume" in refusal(*words, tmp_path / "new", "--resume")
    assert "boosting cannot be kept" in refusal(*words[:5], "--forecaster", "boosting", "--out", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_training_that_was_cut_off_ends_as_it_would_have(
    trained: Path, city: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, epochs = STGNNForecaster._validate, []

    def validate(self: Any, *rest: Any) -> float:
        epochs.append(len(epochs))
        if len(epochs) == 2:
            raise KeyboardInterrupt
        return really(self, *rest)

    monkeypatch.setattr(STGNNForecaster, "_validate", validate)
    words = ("forecast", "train", city, "--out", tmp_path / "new", *TRAINED)
    assert call(*words).exit_code == 130
    assert os.listdir(tmp_path / "new") == ["training.safetensors"]
    assert "--resume goes on, --force begins anew" in refusal(*words)
    result = call(*words, "--resume")
    assert result.stderr.startswith("2 of 2: ")
    assert len(epochs) == 3
    assert set(os.listdir(tmp_path / "new")) == {"card.json", "weights.safetensors"}
    one, other = (hashlib.sha256((f / "weights.safetensors").read_bytes()) for f in (trained, tmp_path / "new"))
    assert one.hexdigest() == other.hexdigest()


def test_its_own_data_are_judged_from_the_test_part_on(trained: Path, city: Path, tmp_path: Path) -> None:
    result = call("forecast", "evaluate", trained, city, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "mine on the last 30 of its own data" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    scores = read_scores(tmp_path / "scores.csv")
    card = json.loads((trained / "card.json").read_text())
    test = pd.DataFrame([row for row in card["scores"] if row["part"] == "test"])
    assert scores["mae"].tolist() == test["mae"].tolist()
    told = json.loads((tmp_path / "summary.json").read_text())
    assert told["weights_sha256"] == card["weights_sha256"]
    page = (tmp_path / "index.html").read_text()
    assert "Judged on the last 30 of its own data." in page
    assert "metalore forecast evaluate" in page


def test_more_of_its_own_data_and_other_data(trained: Path, city: Path, tmp_path: Path) -> None:
    longer = record(SMALL, tmp_path / "longer", duration_s=1800, interval_s=10)
    other = record(SMALL, tmp_path / "other", duration_s=600, interval_s=10, seed=3)
    result = call("forecast", "evaluate", trained, longer.folder, "--no-plot", "--out", tmp_path / "out")
    assert "mine on the last 60 of its own data" in result.stdout
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["split"]["test"] == 120
    assert set(os.listdir(tmp_path / "out")) == {"scores.csv", "summary.json"}
    assert "mine on all 60 of other data" in call("forecast", "evaluate", trained, other.folder).stdout
    # A bare table has no graph: the forecaster's own serves.
    table = table_at(tmp_path / "bare.parquet", lambda rows: rows, other.folder)
    assert "mine on all 60 of other data" in call("forecast", "evaluate", trained, table).stdout


@pytest.mark.parametrize(("at", "row"), [(None, 149), ("100", 100), ("-2", 148), ("500s", 50)])
def test_forecasts_are_those_of_the_library(
    at: str | None, row: int, trained: Path, city: Path, tmp_path: Path
) -> None:
    panel = Panel.of(city)
    expected = load_forecaster(trained).predict(panel.until(row + 1), [row])[0]
    words = [] if at is None else ["--at", at]
    for ending, read in (("csv", pd.read_csv), ("parquet", pd.read_parquet), ("json", pd.read_json)):
        file = tmp_path / f"forecast.{ending}"
        result = call("forecast", "predict", trained, city, *words, "--out", file)
        assert result.exit_code == 0, result.output
        table = read(file)
        assert table.columns.tolist() == ["zone", "horizon", "time_s", "target", "unit", "q10", "q50", "q90"]
        np.testing.assert_allclose(table[["q10", "q50", "q90"]].to_numpy().reshape(expected.shape), expected, rtol=1e-5)
    assert table["time_s"].tolist()[::4][:2] == [10 * row + 10, 10 * row + 30]
    assert table["zone"].unique().tolist() == list(panel.zones)
    assert set(table[table["target"] == "bandwidth_mbps"]["unit"]) == {"Mbit/s"}
    assert f"Forecast from {10 * row} s (Mon 00:" in result.stdout
    assert "3 of 4 zones; --out FILE has all of them" in result.stdout


# -- what is refused ---------------------------------------------------------------------------------------------------

BASE = ("--forecaster", "last-value", "--target", "cpu_cores", "--horizons", "1,3")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda rows: rows.assign(cpu_cores=rows["cpu_cores"].where(rows.index != 3, np.inf)),
            "cpu_cores inf in row 3",
        ),
        (
            lambda rows: rows.assign(cpu_cores=rows["cpu_cores"].where(rows["zone"] != "zone-001")),
            "zone 'zone-001' of {} has no values at all",
        ),
        (
            lambda rows: rows.assign(time_s=rows["time_s"] + np.where(rows["time_s"] > 1000, 5, 0)),
            "{} has an irregular interval: 1000 s is followed by 1015 s",
        ),
        (
            lambda rows: rows.assign(time_s=rows["time_s"].where(rows["time_s"] != 500, 400)),
            "{} has zone 'zone-000' at time_s 400 twice",
        ),
        (lambda rows: rows.assign(cpu_cores="a"), "it must hold numbers"),
    ],
)
def test_data_that_are_refused(
    change: Callable[[pd.DataFrame], pd.DataFrame], sentence: str, city: Path, trained: Path, tmp_path: Path
) -> None:
    path = table_at(tmp_path / "table.parquet", change, city)
    assert sentence.format(path) in refusal("forecast", "compare", path, *BASE)
    if "no values" not in sentence:  # a zone that is silent in one target only can be forecast
        assert sentence.format(path) in refusal("forecast", "predict", trained, path)


def test_gaps_are_no_mistake(city: Path, tmp_path: Path) -> None:
    path = table_at(tmp_path / "gaps.parquet", lambda rows: rows[rows["time_s"] % 70 != 0], city)
    assert call("forecast", "compare", path, *BASE).exit_code == 0


def test_a_zone_that_the_graph_lacks(city: Path, tmp_path: Path, trained: Path) -> None:
    copy = shutil.copytree(city, tmp_path / "copy")
    graph = json.loads((copy / "graph.json").read_text())
    (copy / "graph.json").write_text(json.dumps(graph | {"zones": ["park", *graph["zones"][1:]]}))
    assert f"the graph of {copy} has no zone 'zone-000'" in refusal("forecast", "predict", trained, copy)
    assert f"{copy} has no zone 'park'" in refusal("forecast", "compare", copy, *BASE)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--target", "cpu"], "has no column 'cpu'; did you mean 'cpu_cores'?"),
        (["--input", "weather"], "has no column 'weather'"),
        (["--target", "zone"], "column 'zone' holds category, no numbers"),
        (["--window", 200, "--forecaster", "ridge"], "too few for a window of 200 and a forecast of 12 intervals"),
        (["--window", 0, "--forecaster", "stgnn"], "the network's window is 0; at least one interval is needed"),
        (["--horizons", "500", "--forecaster", "last-value"], "too few for a window of 1 and a forecast of 500"),
        (["--horizons", "3,1"], "they must be rising whole numbers from 1 on"),
        (["--horizons", "soon"], "--horizons is 'soon'; it looks like 1,3,6,12 or 1-12"),
        (["--forecaster", "sgtnn"], "no forecaster 'sgtnn'; did you mean 'stgnn'?"),
        (["--forecaster", "gru hiden=3"], "gru has no setting 'hiden'; did you mean 'hidden'?"),
        (["--forecaster", "stgnn recipe.epochs=few"], "the recipe's epochs is 'few'; a whole number"),
        (["--forecaster", "ridge", "--forecaster", "ridge"], "ridge is there twice"),
        (["--validation", 0.5, "--test", 0.5], "parts of 0.5 and 0.5 leave nothing to train or to judge"),
        (["--seeds", 0], "--seeds is 0; at least 1 is needed"),
        (["--resume"], "--resume goes on with what is in --out"),
    ],
)
def test_comparisons_that_are_refused(words: list[object], sentence: str, city: Path) -> None:
    assert sentence in refusal("forecast", "compare", city, *words)


def test_data_that_are_not_there(city: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert f"there is no telemetry at {missing}, and no protocol of that name" in refusal(
        "forecast", "compare", missing
    )
    assert "say where the data of melbourne is with --data DIR" in refusal("forecast", "compare", "melbourne")
    assert "leave out --horizons" in refusal("forecast", "compare", "melbourne", "--horizons", 1, "--data", tmp_path)
    assert f"{city} is there twice" in refusal("forecast", "compare", city, city)


def test_forecasters_that_are_refused(trained: Path, city: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    for words in (["evaluate", missing, city], ["predict", missing, city], ["card", missing]):
        assert f"there is no folder {missing}" in refusal("forecast", *words)
    assert "has the format 'metalore-telemetry-1'" in refusal("forecast", "card", city)
    tampered = shutil.copytree(trained, tmp_path / "tampered")
    weights = bytearray((tampered / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (tampered / "weights.safetensors").write_bytes(weights)
    assert "is not what its card was written for" in refusal("forecast", "predict", tampered, city)
    shape = shutil.copytree(trained, tmp_path / "shape")
    card = json.loads((shape / "card.json").read_text())
    (shape / "card.json").write_text(json.dumps(card | {"settings": card["settings"] | {"hidden": 5}}))
    assert str(shape) in refusal("forecast", "predict", shape, city)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--at", 999], "--at is 999; "),
        (["--at", 2], "mine looks back over 4 intervals and there are 3 up to then"),
        (["--at", "7s"], "begins at 7s; the nearest begins at 10 s"),
        (["--at", "2022-08-01T12:00"], "has no dates; name an interval"),
        (["--at", "noon"], "--at is 'noon'; it looks like 120, 7200s or 2022-08-01T12:00"),
        (["--out", "forecast.xls"], "forecast.xls has no known ending; a forecast is written as .csv, .parquet, .json"),
    ],
)
def test_forecasts_that_are_refused(words: list[object], sentence: str, trained: Path, city: Path) -> None:
    assert sentence in refusal("forecast", "predict", trained, city, *words)


def test_other_intervals_are_refused(trained: Path, tmp_path: Path) -> None:
    other = record(SMALL, tmp_path / "other", duration_s=600, interval_s=20)
    assert "was fitted to intervals of 10 s, not of 20 s" in refusal("forecast", "predict", trained, other.folder)
