"""`metalore agents`: as a person types it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from metalore.cli.application import app

DRAWN = ["--days", "0.5"]
QUICK = [
    "--steps", "200", "--train", "rounds=1", "--train", "num_envs=2", "--train", "evaluation_envs=2",
    "--train", "hyperparameters.n_steps=20", "--train", "hyperparameters.batch_size=20", "--set", "intervals=20",
]  # fmt: skip


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["agents", *arguments])
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("agents")
    code, text = run("train", "city-30", *DRAWN, "--preset", "ppo", *QUICK, "--out", str(folder))
    assert code == 0, text
    return folder / "seed-1"


def test_train_then_judge_beside_rules(agent: Path, tmp_path: Path) -> None:
    out = tmp_path / "episodes.csv"
    code, text = run(
        "evaluate", str(agent), "keep", "static:headroom=0.5", "hpa:target=0.5", *DRAWN, "--episodes", "2",
        "--set", "intervals=20", "--out", str(out),
    )  # fmt: skip
    assert code == 0, text
    assert "Differences to" in text
    assert set(pd.read_csv(out)["candidate"]) == {str(agent), "keep", "static:headroom=0.5", "hpa:target=0.5"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["evaluate", "nobody"], "'nobody' is neither a folder of an agent"),
        (["evaluate", "keep", "--reference", "hpa"], "--reference is 'hpa', who is not judged"),
        (["evaluate", "foresight"], "foresight is a forecast here"),
        (["evaluate", "keep", "--set", "pace=3"], "zones have no setting 'pace'"),
        (["evaluate", "keep", "--set", "budget=[0.01, 1, 1]"], "the budget"),
        (["evaluate", "keep", "--forecast", "oracle"], "forecast is 'oracle'"),
        (["evaluate", "keep", "--ranges", "huge"], "--ranges is 'huge'"),
        (["train", "--preset", "sarsa"], "--preset is 'sarsa'"),
        (["train", "--train", "speed=9"], "speed of the training"),
        (["train", "smart-city"], "is no city"),
    ],
)
def test_mistakes_are_one_sentence(arguments: list[str], said: str) -> None:
    code, text = run(*arguments, *DRAWN)
    assert code == 1
    assert said in " ".join(text.split())
    assert "Traceback" not in text


def test_an_agent_for_other_ranges_is_refused(agent: Path) -> None:
    code, text = run("evaluate", str(agent), *DRAWN, "--ranges", "city", "--set", "intervals=20")
    assert code == 1
    assert "was trained for" in " ".join(text.split())
