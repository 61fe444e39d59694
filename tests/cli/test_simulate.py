"""`metalore simulate`: results on screen and disk, and what is needed to get them again."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from cli.calling import call, refusal

from metalore import __version__
from metalore.cli import _experiment
from metalore.policies import make_policy
from metalore.policies.rollout import run_episodes
from metalore.scenario import load

SMALL = ("simulate", "smart-city-small", "--set", "max_steps=10", "--set", "users.count=2")
TWO = ("--policy", "fixed:0.3,0.4", "--policy", "backlog-proportional")
FILES = {"ages.parquet", "course.parquet", "episodes.parquet", "scenario.toml", "summary.json"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with everything."""
    out = tmp_path_factory.mktemp("results") / "new" / "run"
    result = call(*SMALL, *TWO, "--episodes", 3, "--seed", 5, "--out", out, "--jobs", "--threads", 2)
    assert result.exit_code == 0
    assert f"results are in {out}" in result.stderr
    return out


def test_everything_is_there_and_nothing_else(run: Path) -> None:
    assert set(os.listdir(run)) == FILES | {"jobs.parquet", "figures", "index.html"}
    assert set(os.listdir(run / "figures")) == {"comparison.svg", "course.svg", "distributions.svg", "overview.pdf"}


def test_the_tables_are_those_of_the_rollout(run: Path) -> None:
    episodes = pd.read_parquet(run / "episodes.parquet")
    assert episodes["policy"].tolist() == ["fixed(0.3,0.4)"] * 3 + ["backlog-proportional"] * 3
    scenario = load("smart-city-small", max_steps=10, users__count=2)
    expected = run_episodes(scenario, make_policy("backlog-proportional"), range(5, 8), job_log=True)
    for name, column in expected.episodes.items():
        assert episodes[name].tolist()[3:] == pytest.approx(column.tolist(), nan_ok=True)
    jobs = pd.read_parquet(run / "jobs.parquet")
    assert expected.jobs is not None
    assert len(jobs[jobs["policy"] == "backlog-proportional"]) == len(expected.jobs["seed"])
    assert set(jobs["kind"]) == {"request", "update"}
    assert set(pd.read_parquet(run / "course.parquet")["policy"]) == set(episodes["policy"])


def test_the_summary_holds_everything_to_run_it_again(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    assert summary["overrides"] == {"max_steps": 10, "users.count": 2}
    assert summary["seeds"] == {"first": 5, "count": 3}
    assert summary["policies"] == ["fixed:0.3,0.4", "backlog-proportional"]
    assert summary["versions"]["metalore"] == __version__
    scenario = load(summary["scenario"])
    assert scenario == load(str(run / "scenario.toml")) == load("smart-city-small", max_steps=10, users__count=2)
    returns = summary["results"]["backlog-proportional"]["return"]
    assert returns["low"] <= returns["mean"] <= returns["high"]
    assert returns["episodes"] == 3
    assert summary["results"]["backlog-proportional"]["reward_loss"]["mean"] == 0


def test_its_command_gives_the_same_again(run: Path, tmp_path: Path) -> None:
    words = shlex.split(json.loads((run / "summary.json").read_text())["command"])
    assert words[-2:] == ["--out", str(run)]
    again = tmp_path / "again"
    assert call(*words[1:-1], again).exit_code == 0
    for name in ("episodes.parquet", "course.parquet", "ages.parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(run / name), pd.read_parquet(again / name))
    one, other = ((folder / "index.html").read_text().replace(str(folder), "") for folder in (run, again))
    assert one == other


def test_the_screen_shows_every_policy_and_measure_in_80_columns() -> None:
    result = call(*SMALL, *TWO, "--policy", "max-weight-age", "--episodes", 2)
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "mean over 2 episodes and 95 % interval" in lines[0]
    for name in ("fixed(0.3,0.4)", "backlog-proportional", "max-weight-age"):
        rows = [line for line in lines if line.split()[:1] == [name]]
        assert len(rows) == 2  # of two tables
        assert all(len(row.split()) == 4 for row in rows)
    assert all(heading in result.stdout for heading in ("Return", "AoRI (s)", "AoSI (s)", "Age at the twin"))


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(*SMALL, "--episodes", 1).exit_code == 0
    assert os.listdir(tmp_path) == []


def test_without_plots_there_is_no_page(tmp_path: Path) -> None:
    assert call(*SMALL, "--episodes", 1, "--out", tmp_path, "--no-plot").exit_code == 0
    assert set(os.listdir(tmp_path)) == FILES


def test_the_same_policy_twice_counts_once(tmp_path: Path) -> None:
    twice = ("--policy", "max-weight", "--policy", "fixed:0.5,0.5", "--policy", "fixed:.5,.50")
    assert call(*SMALL, *twice, "--episodes", 1, "--out", tmp_path, "--no-plot").exit_code == 0
    assert json.loads((tmp_path / "summary.json").read_text())["policies"] == ["max-weight", "fixed:0.5,0.5"]


def test_films_of_the_first_episode(tmp_path: Path) -> None:
    pytest.importorskip("pygame")
    image = pytest.importorskip("PIL.Image")
    film = tmp_path / "films" / "episode.gif"
    result = call(*SMALL, "--episodes", 1, "--gif", film, "--fps", 20)
    assert f"wrote {film}" in result.stderr
    with image.open(film) as gif:
        assert gif.n_frames == 11  # the start and ten steps


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["simulate", "smart-town"], "unknown scenario 'smart-town'; did you mean"),
        (["simulate", "missing.toml"], "cannot read scenario file missing.toml: No such file or directory"),
        (["simulate", "--policy", "max-wait"], "unknown policy 'max-wait'; did you mean 'max-weight'?"),
        (["simulate", "--policy", "fixed:2,0"], "a fixed split looks like fixed:0.3,0.4"),
        (["simulate", "--set", "users.cuont=3"], "unknown setting users.cuont; did you mean 'count'?"),
        (["simulate", "--set", "users.count=few"], "users.count is 'few', but"),
        (["simulate", "--episodes", 0], "--episodes is 0; at least 1 is needed"),
        (["simulate", "--seed", -1], "--seed is -1; seeds are whole numbers from 0"),
        (["simulate", "--seed", 2**64], "seeds are whole numbers from 0 to 2**64 - 1"),
        (["simulate", "--threads", 0], "--threads is 0; at least 1 is needed"),
        (["simulate", "--jobs"], "--jobs writes a file, so it needs --out DIR"),
        (["simulate", "--gif", "film.mp4"], "--gif writes a file whose name ends in .gif, not film.mp4"),
        (["simulate", "--mp4", "film.mp4", "--fps", 0], "fps is 0.0; it must be positive"),
    ],
)
def test_mistakes_get_one_sentence(words: list[object], sentence: str) -> None:
    assert sentence in refusal(*words)


def test_a_folder_that_cannot_be_written_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unexpected(*_: object) -> None:
        raise AssertionError("simulated although the results cannot be kept")

    monkeypatch.setattr(_experiment, "run", unexpected)
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        assert f"{folder}: results cannot be written there" in refusal(*SMALL, "--out", folder)


def test_an_interruption_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(*SMALL, "--episodes", 1, "--out", tmp_path, "--no-plot").exit_code == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def interrupted(self: pd.DataFrame, path: Path, **_: object) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(pd.DataFrame, "to_parquet", interrupted)
    result = call(*SMALL, "--episodes", 2, "--out", tmp_path, "--no-plot")
    assert result.exit_code == 130
    assert result.stderr == "metalore: interrupted; files that were complete are kept\n"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_installed_command() -> None:
    command = Path(sys.executable).parent / "metalore"
    if not command.exists():
        pytest.skip("metalore is not installed beside this Python")
    environment = os.environ | {"PYTHONWARNINGS": "error", "COLUMNS": "80"}
    words = [str(command), *SMALL, "--episodes", "1"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "fixed(0.5,0.5)" in done.stdout
    refused = subprocess.run([str(command), "simulate", "x"], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
