"""`metalore demo`: a page about PPO, the grid of fixed splits and the rules, on a small budget."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from cli.calling import call, refusal

SMALL = ("--steps", 6400, "--episodes", 4, "--grid", 3, "--look-ahead", 1, "--threads", 1)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    result = call("demo", "--out", folder, *SMALL)
    assert result.exit_code == 0
    assert result.stdout == f"{folder / 'index.html'}\n"
    return folder


def test_everything_is_compared_on_held_out_seeds(out: Path) -> None:
    episodes = pd.read_parquet(out / "episodes.parquet")
    policies = set(episodes["policy"])
    assert {"ppo", "best-fixed", "queue-aware", "demand-proportional", "backlog-proportional"} <= policies
    assert (episodes["seed"] >= 2 * 10**15).all()
    assert (episodes.groupby("policy").size() == 4).all()
    assert len(pd.read_parquet(out / "enumeration.parquet")) == 9


def test_summary_tells_how_to_run_it_again_and_what_came_out(out: Path) -> None:
    summary = json.loads((out / "summary.json").read_text())
    assert summary["command"].startswith("metalore demo --out")
    assert summary["budget"]["episodes"] == 4
    episodes = pd.read_parquet(out / "episodes.parquet")
    mean = episodes[episodes["policy"] == "queue-aware"]["return"].mean()
    assert summary["returns"]["queue-aware"][0] == pytest.approx(mean)
    assert {row["policy"] for row in summary["look_ahead"]} >= {"look-ahead", "look-ahead-sampled"}


def test_the_page_stands_alone_and_shows_the_cell(out: Path) -> None:
    html = (out / "index.html").read_text()
    assert not re.search(r"(?:src|href)=[\"'](?!#|data:)", html)
    assert "metalore demo --out" in html
    pytest.importorskip("pygame")
    assert "data:image/png;base64," in html


def test_what_is_finished_is_not_done_again(out: Path) -> None:
    weights = out / "policies" / "ppo-111" / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    result = call("demo", "--out", out, *SMALL)
    assert result.exit_code == 0
    assert "training" not in result.stderr
    assert weights.stat().st_mtime_ns == before


def test_a_folder_with_another_run_is_refused(out: Path) -> None:
    words = refusal("demo", "--out", out, "--steps", 3200, *SMALL[2:])
    assert "trained with other settings" in words


@pytest.mark.parametrize(("options", "words"), [(("--episodes", 0), "at least 1"), (("--grid", 1), "at least 2")])
def test_impossible_budgets(tmp_path: Path, options: tuple[str, int], words: str) -> None:
    assert words in refusal("demo", "--out", tmp_path, *SMALL, *options)


def test_without_the_render_extra_there_is_a_note_instead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gymnasium.error import DependencyNotInstalled

    from metalore.cli import _comparison, _pictures
    from metalore.policies import Fixed
    from metalore.scenario import load

    def missing(*_: object) -> None:
        raise DependencyNotInstalled("Rendering needs pygame.")

    monkeypatch.setattr(_pictures, "frames", missing)
    assert _comparison.picture_of_the_world(load("smart-city"), Fixed(0.5, 0.5), "half", 0) == []
