"""`metalore evaluate`: trained policies and rules on the same held-out episodes, and what is kept of it."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from cli.calling import call, refusal

from metalore.learn import TrainSettings, load_policy, train
from metalore.learn.evaluation import evaluate
from metalore.learn.seeds import EVALUATION_SEEDS, HELD_OUT_SEEDS
from metalore.policies import make_policy
from metalore.scenario import load

CHANGES = ("--set", "max_steps=10", "--set", "users.count=2")
SMALL = ("--scenario", "smart-city-small", *CHANGES)
BRIEF = TrainSettings(
    steps=64,
    num_envs=4,
    evaluate_every=0,
    evaluation_episodes=2,
    hyperparameters={"n_steps": 16, "batch_size": 32, "n_epochs": 1},
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a policy that was trained on one station, for a moment."""
    folder = tmp_path_factory.mktemp("runs") / "seed-7"
    scenario = load("smart-city-small", max_steps=10, users__count=2)
    train(scenario, BRIEF, folder, seed=7, checkpoint_every=0)
    return folder


@pytest.fixture(scope="module")
def kept(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an evaluation with everything."""
    out = tmp_path_factory.mktemp("results") / "new"
    words = (trained, "uniform", "--reference", "fixed:0.3,0.4", "--scenario", "smart-city", *SMALL)
    result = call("evaluate", *words, "--episodes", 3, "--out", out, "--threads", 2)
    assert result.exit_code == 0
    assert f"results are in {out}" in result.stderr
    assert "note:" not in result.stderr
    return out


def test_everything_is_there_and_nothing_else(kept: Path) -> None:
    tables = {"evaluation.parquet", "course.parquet", "ages.parquet"}
    assert set(os.listdir(kept)) == tables | {"summary.json", "scenarios", "figures", "index.html"}
    assert set(os.listdir(kept / "scenarios")) == {"smart-city.toml", "smart-city-small.toml"}
    for name in ("smart-city", "smart-city-small"):
        figures = set(os.listdir(kept / "figures" / name))
        assert figures == {"comparison.svg", "course.svg", "distributions.svg", "overview.pdf"}


def test_the_tables_are_those_of_the_protocol(kept: Path, trained: Path) -> None:
    scenario = load("smart-city-small", max_steps=10, users__count=2)
    policies = {"ppo(seed-7)": load_policy(trained), "fixed(0.3,0.4)": make_policy("fixed:0.3,0.4")}
    seeds = range(HELD_OUT_SEEDS, HELD_OUT_SEEDS + 3)
    expected = evaluate(policies, [scenario], seeds, reference="fixed(0.3,0.4)")
    episodes = pd.read_parquet(kept / "evaluation.parquet")
    assert len(episodes) == 2 * 3 * 3
    assert set(episodes["seed"]) == set(seeds)
    summary = json.loads((kept / "summary.json").read_text())
    for name in policies:
        own = episodes[(episodes["scenario"] == "smart-city-small") & (episodes["policy"] == name)]
        returns = expected.results["smart-city-small"][name].episodes["return"]
        assert own["return"].tolist() == pytest.approx(returns.tolist())
        told = summary["results"]["smart-city-small"][name]["return"]
        assert told["low"] <= told["mean"] <= told["high"]
        assert told["mean"] == pytest.approx(returns.mean())
        worst = summary["results"]["smart-city-small"][name]["return_worst_tenth"]
        assert worst["mean"] == pytest.approx(returns.min())
    difference = summary["differences"]["smart-city-small"]["ppo(seed-7)"]["return"]
    chosen = (expected.differences["policy"] == "ppo(seed-7)") & (expected.differences["measure"] == "return")
    assert difference["mean"] == pytest.approx(expected.differences["mean"][chosen][0])
    assert "fixed(0.3,0.4)" not in summary["differences"]["smart-city"]


def test_the_summary_holds_everything_to_run_it_again(kept: Path, trained: Path) -> None:
    summary = json.loads((kept / "summary.json").read_text())
    assert summary["seeds"] == {"first": HELD_OUT_SEEDS, "count": 3}
    assert summary["reference"] == "fixed(0.3,0.4)"
    assert list(summary["policies"]) == ["ppo(seed-7)", "uniform", "fixed(0.3,0.4)"]
    assert summary["policies"]["uniform"] == {"given": "uniform", "kind": "rule"}
    ours = summary["policies"]["ppo(seed-7)"]
    assert ours["sha256"] == hashlib.sha256((trained / "weights.safetensors").read_bytes()).hexdigest()
    assert ours["folder"] == str(trained)
    assert (ours["seed"], ours["held_out"], ours["trained_on"]) == (7, True, "smart-city-small")
    assert ours["settings"] == BRIEF.model_dump(mode="json")
    assert {"metalore", "torch", "platform"} <= set(summary["versions"])
    for name in ("smart-city", "smart-city-small"):
        assert load(summary["scenarios"][name]) == load(str(kept / "scenarios" / f"{name}.toml"))
    assert summary["intervals"]["level"] == 0.95


def test_its_command_gives_the_same_again(kept: Path, tmp_path: Path) -> None:
    words = shlex.split(json.loads((kept / "summary.json").read_text())["command"])
    assert words[-2:] == ["--out", str(kept)]
    assert call(*words[1:-1], tmp_path, "--no-plot").exit_code == 0
    for name in ("evaluation", "course", "ages"):
        one, other = (pd.read_parquet(folder / f"{name}.parquet") for folder in (kept, tmp_path))
        pd.testing.assert_frame_equal(one, other)
    one, other = (json.loads((folder / "summary.json").read_text()) for folder in (kept, tmp_path))
    assert one["results"] == other["results"]
    assert "index.html" not in os.listdir(tmp_path)


def test_the_page_speaks_of_every_scenario_and_difference(kept: Path) -> None:
    page = (kept / "index.html").read_text()
    for name in ("smart-city", "smart-city-small"):
        assert f"{name}: Judgement" in page
    assert page.count("Mean difference to fixed(0.3,0.4) in the same episodes") == 4
    assert "Return, worst tenth" in page
    assert hashlib.sha256(b"").hexdigest() not in page
    assert "evaluation.parquet" in page


def test_the_screen_fits_80_columns() -> None:
    result = call("evaluate", "uniform", "max-weight-age", "backlog-proportional", *SMALL, "--episodes", 2)
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "smart-city-small: mean over 2 held-out episodes and 95 % interval" in lines
    assert "Difference to uniform in the same episodes, and 95 % interval" in lines
    assert len([line for line in lines if line.split()[:1] == ["max-weight-age"]]) == 3 + 2
    assert "Return, worst" in result.stdout


def test_the_same_policy_twice_counts_once_and_same_names_stay_apart(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "other" / trained.name
    shutil.copytree(trained, copy)
    words = (
        trained,
        f"{trained}/",
        copy,
        "fixed:.5,.50",
        "fixed:0.5,0.5",
        "look-ahead:uniform",
        "look-ahead:max-weight",
    )
    call("evaluate", *words, *SMALL, "--set", "max_steps=3", "--episodes", 1, "--no-plot", "--out", tmp_path / "out")
    told = json.loads((tmp_path / "out" / "summary.json").read_text())
    names = [f"ppo(seed-7) {trained}", f"ppo(seed-7) {copy}", "fixed(0.5,0.5)"]
    assert list(told["policies"]) == [*names, "look-ahead:uniform", "look-ahead:max-weight"]
    assert told["results"]["smart-city-small"][names[0]] == told["results"]["smart-city-small"][names[1]]


@pytest.mark.parametrize("seed", [7_000_002, EVALUATION_SEEDS + 1])
def test_seeds_that_are_not_held_out_are_told(seed: int, trained: Path, tmp_path: Path) -> None:
    result = call("evaluate", trained, *SMALL, "--episodes", 2, "--seed", seed, "--out", tmp_path)
    assert "note: ppo(seed-7) was trained or chosen on some of these seeds" in result.stderr
    assert "which flatters it" in (tmp_path / "index.html").read_text()


def test_seeds_are_held_out_by_default(tmp_path: Path) -> None:
    assert call("evaluate", "max-weight", *SMALL, "--episodes", 1, "--out", tmp_path, "--no-plot").exit_code == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["seeds"] == {"first": HELD_OUT_SEEDS, "count": 1}
    assert "torch" not in summary["versions"]  # it decides about nothing here


WITHOUT_LEARN = """
import sys

for name in ("torch", "stable_baselines3", "safetensors", "tensorboard"):
    sys.modules[name] = None  # importing it raises ModuleNotFoundError
from metalore.cli import main

main()
"""


def without_learn(*words: object) -> subprocess.CompletedProcess[str]:
    """A command in an interpreter that has nothing of the extra `learn`."""
    command = [sys.executable, "-W", "error", "-c", WITHOUT_LEARN, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_rules_are_judged_without_the_extra_that_learns(trained: Path, tmp_path: Path) -> None:
    """And a trained policy is refused in one sentence that names the extra."""
    rest = ("--scenario", "smart-city-small", "--episodes", 3, "--out", tmp_path / "out")
    done = without_learn("evaluate", "uniform", "max-weight", *rest)
    assert done.returncode == 0, done.stderr
    assert "max-weight" in done.stdout
    told = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert set(told["results"]["smart-city-small"]) == {"uniform", "max-weight"}
    assert (tmp_path / "out" / "index.html").exists()
    refused = without_learn("evaluate", "uniform", trained, "--scenario", "smart-city-small")
    assert refused.returncode == 1
    assert refused.stderr == 'metalore: torch is missing: pip install "metalore[learn]"\n'


def test_help_fits_and_shows_examples() -> None:
    result = call("evaluate", "--help")
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "metalore evaluate runs/ppo/seed-111" in result.stdout.partition("Example")[2]


def test_folders_that_hold_no_policy_of_ours(tmp_path: Path, trained: Path) -> None:
    missing = tmp_path / "missing"
    assert "holds no trained policy: policy.json is missing" in refusal("evaluate", missing, *SMALL)
    assert "holds no trained policy: policy.json is missing" in refusal("evaluate", tmp_path, *SMALL)
    foreign = tmp_path / "foreign"
    shutil.copytree(trained, foreign)
    (foreign / "weights.safetensors").write_bytes(b"\x80\x04not tensors")
    assert "does not hold this policy's network" in refusal("evaluate", foreign, *SMALL)
    (foreign / "policy.json").write_text('{"format": "theirs"}')
    assert "has format 'theirs'" in refusal("evaluate", foreign, *SMALL)
    card = json.loads((trained / "policy.json").read_text())
    (foreign / "policy.json").write_text(json.dumps(card | {"seed": None}))
    shutil.copy(trained / "weights.safetensors", foreign)
    assert "policy.json is damaged: it does not say with which seed" in refusal("evaluate", foreign, *SMALL)


def test_a_scenario_with_other_stations(trained: Path) -> None:
    sentence = refusal("evaluate", "uniform", trained, *SMALL, "--scenario", "four-cells")
    assert sentence.endswith("scenario 'four-cells' has 4 stations (only agents = 'shared' takes any number)")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["max-wait"], "unknown policy 'max-wait'; did you mean 'max-weight'? known are fixed:BANDWIDTH,COMPUTE, unif"),
        (["uniform", "--reference", "nothing"], "unknown policy 'nothing'; known are"),
        (["uniform", "--episodes", 0], "--episodes is 0; at least 1 is needed"),
        (["uniform", "--seed", -1], "--seed is -1; seeds are whole numbers from 0"),
        (["uniform", "--scenario", "smart-town"], "unknown scenario 'smart-town'; did you mean"),
        (["uniform", "--set", "users.cuont=3"], "unknown setting users.cuont; did you mean 'count'?"),
    ],
)
def test_mistakes_get_one_sentence(words: list[object], sentence: str) -> None:
    assert sentence in refusal("evaluate", *words)


def test_without_policies_it_is_a_usage_error() -> None:
    assert call("evaluate").exit_code == 2
