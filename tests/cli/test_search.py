"""`metalore search`: what it prints and keeps, and what it refuses."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli.calling import call, refusal

from metalore.policies import make_policy
from metalore.policies.rollout import run_episodes
from metalore.policies.search import OBJECTIVES, search_splits
from metalore.scenario import load

SMALL = ("search", "smart-city-small", "--set", "max_steps=10", "--grid", 3, "--episodes", 4, "--seed", 6)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search") / "new"
    result = call(*SMALL, "--objective", "return", "--objective", "aori_s", "--out", folder)
    assert result.exit_code == 0
    assert "3 x 3 splits and a finer one around the best, 4 episodes each" in result.stdout
    for text in ("Return", "AoRI (s)", "fixed:", "queue-aware:", "Held out"):
        assert text in result.stdout
    assert f"results are in {folder}" in result.stderr
    return folder


def test_the_table_holds_every_episode_of_every_split(out: Path) -> None:
    table = pd.read_parquet(out / "search.parquet")
    grid = table[table["stage"] == "grid"]
    expected = search_splits(load("smart-city-small", max_steps=10), 3, range(6, 10))
    for name in OBJECTIVES:
        np.testing.assert_array_equal(grid[name], expected.values[name].ravel())
    assert grid["seed"].tolist() == [6, 7, 8, 9] * 9
    assert set(table["stage"]) == {"grid", "finer", "held_out"}
    assert set(table[table["stage"] == "finer"]["objective"]) == {"return", "aori_s"}


def test_the_best_can_be_typed_and_is_worth_what_is_written(out: Path) -> None:
    kept = json.loads((out / "search.json").read_text())
    scenario = load(kept["scenario"])
    held_out = kept["held_out_seeds"]
    for judged, seeds in (
        ("chosen_by", range(6, 10)),
        ("held_out", range(held_out["first"], held_out["first"] + held_out["count"])),
    ):
        for kind in ("fixed", "queue_aware"):
            best = kept["best"]["return"][kind]
            rows = run_episodes(scenario, make_policy(best["policy"]), seeds).episodes
            assert best[judged]["mean"] == pytest.approx(rows["return"].mean())
            assert best[judged]["low"] <= best[judged]["mean"] <= best[judged]["high"]


def test_the_command_gives_the_same_again(out: Path, tmp_path: Path) -> None:
    kept = json.loads((out / "search.json").read_text())
    words = shlex.split(kept["command"])[1:]
    words[words.index("--out") + 1] = str(tmp_path)
    assert call(*words, "--threads", 1).exit_code == 0
    again = json.loads((tmp_path / "search.json").read_text())
    assert again["best"] == kept["best"]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "search.parquet"), pd.read_parquet(out / "search.parquet"))


def test_only_the_grid() -> None:
    result = call(*SMALL, "--no-rules", "--no-refine")
    assert result.exit_code == 0
    assert "finer" not in result.stdout
    assert "queue-aware" not in result.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--grid", 1), "needs at least 2"),
        (("--episodes", 0), "--episodes is 0; at least 1 is needed"),
        (("--seed", -1), "seeds are whole numbers"),
        (("--objective", "speed"), "unknown objective 'speed'; known are return, aori_s, aosi_s, served_age_s"),
        (("--engine", "spark"), "unknown engine 'spark'; known are local and ray"),
        (("--address", "here:1"), "needs the engine ray"),
        (("--threads", 0), "at least 1 thread"),
    ],
)
def test_refusals(words: tuple[object, ...], sentence: str) -> None:
    assert sentence in refusal("search", "smart-city-small", *words)


def test_ray_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert refusal(*SMALL, "--engine", "ray") == 'ray is missing: pip install "metalore[ray]"'
