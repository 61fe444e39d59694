"""`metalore reproduce` and `metalore train` on small budgets."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from cli.calling import call, refusal

SMALL = ("--steps", 3200, "--episodes", 3, "--grid", 3, "--look-ahead", 0, "--seed", 1, "--seed", 2, "--threads", 1)


def test_unknown_experiment() -> None:
    assert refusal("reproduce", "statik").startswith("unknown experiment 'statik'; known are demo, static, pareto, ")


@pytest.mark.parametrize("name", ["pareto", "small-observation", "objective", "multi-cell", "seeds"])
def test_experiments_leave_a_page_tables_and_a_summary(tmp_path: Path, name: str) -> None:
    result = call("reproduce", name, "--out", tmp_path, *SMALL)
    assert result.exit_code == 0
    assert result.stdout == f"{tmp_path / 'index.html'}\n"
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["budget"]["train_seeds"] == [1, 2]
    assert json.loads((tmp_path / "reproduced.json").read_text())["commands"] == [summary["command"]]
    episodes = pd.read_parquet(tmp_path / "episodes.parquet")
    runs = {row[: -len("-1")] for row in summary["returns"] if row.endswith("-1")}
    assert runs <= set(episodes["policy"])
    for kind in runs:
        means = [summary["returns"][f"{kind}-{seed}"][0] for seed in (1, 2)]
        assert episodes[episodes["policy"] == kind]["return"].mean() == pytest.approx(sum(means) / 2)


def test_dynamic_marks_the_changes(tmp_path: Path) -> None:
    call("reproduce", "dynamic", "--out", tmp_path, *SMALL)
    html = (tmp_path / "index.html").read_text()
    card = json.loads((tmp_path / "policies" / "ppo-1" / "policy.json").read_text())
    assert card["settings"]["hyperparameters"]["gamma"] < 1  # the preset for long episodes
    assert "requests x 2" in html
    assert "updates x 2" in html


def test_train_resume_and_refusals(tmp_path: Path) -> None:
    options = ("--steps", 6400, "--train", "evaluate_every=3200", "--train", "evaluation_episodes=2", "--out", tmp_path)
    first = call("train", "smart-city", *options, "--seed", 5)
    assert first.exit_code == 0
    assert "6,400" in first.stdout
    assert (tmp_path / "seed-5" / "policy.json").exists()
    assert "holds a trained policy already" in refusal("train", "smart-city", *options, "--seed", 5)
    assert "no checkpoint to resume" in refusal("train", "smart-city", *options, "--seed", 6, "--resume")
    assert "unknown preset 'ppoo'; known are default" in refusal("train", "--preset", "ppoo", "--out", tmp_path / "x")
    assert "stepz" in refusal("train", "--train", "stepz=3", "--out", tmp_path / "x")


def test_a_shared_policy_is_trained_and_judged_in_cities_of_other_sizes(tmp_path: Path) -> None:
    small = ("--steps", 3200, "--train", "evaluation_episodes=2", "--train", "neighbours=1", "--set", "max_steps=20")
    for preset in ("multi-cell", "default"):
        options = small if preset == "multi-cell" else (*small[:4], *small[6:])
        assert call("train", "four-cells", "--preset", preset, *options, "--out", tmp_path / preset).exit_code == 0
    shared, central = (str(tmp_path / preset / "seed-111") for preset in ("multi-cell", "default"))
    judge = ("--scenario", "four-cells", "--scenario", "smart-city", "--episodes", 2, "--set", "max_steps=20")
    result = call("evaluate", shared, "fixed:0.5,0.5", *judge, "--out", tmp_path / "judged", "--no-plot")
    assert result.exit_code == 0
    summary = json.loads((tmp_path / "judged" / "summary.json").read_text())
    assert set(summary["results"]) == {"four-cells", "smart-city"}
    assert summary["policies"]["ppo(seed-111)"]["settings"]["agents"] == "shared"
    words = refusal("evaluate", central, *judge)
    assert "was trained on 4 station(s)" in words
    assert "only agents = 'shared' takes any number" in words
    wrong = refusal("train", "four-cells", "--train", "city_part=0.5", "--out", tmp_path / "wrong")
    assert wrong == "neighbours and city_part are for agents = 'shared'; one agent sees and earns everything"
