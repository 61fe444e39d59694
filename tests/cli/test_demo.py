"""`metalore demo`: a page about all policies."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cli.calling import call

from metalore.policies import NAMES


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    result = call("demo", "--out", folder, "--episodes", 2)
    assert result.exit_code == 0
    assert result.stdout == f"{folder / 'index.html'}\n"
    return folder


def test_all_policies_are_compared(out: Path) -> None:
    summary = json.loads((out / "summary.json").read_text())
    named = [name for name in NAMES if not name.startswith("fixed:")]
    assert summary["policies"] == ["fixed:0.5,0.5", "fixed:0.3,0.4", *named]
    assert summary["scenario"]["name"] == "smart-city"
    assert set(named) < set(summary["results"])


def test_the_page_stands_alone(out: Path) -> None:
    html = (out / "index.html").read_text()
    assert not re.search(r"(?:src|href)=[\"'](?!#|data:)", html)
    assert f"metalore demo --out {out}" in html


def test_the_page_shows_the_cell(out: Path) -> None:
    pytest.importorskip("pygame")
    assert "data:image/png;base64," in (out / "index.html").read_text()


def test_without_the_render_extra_there_is_a_note_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gymnasium.error import DependencyNotInstalled

    from metalore.cli import _pictures

    def missing(*_: object) -> None:
        raise DependencyNotInstalled("Rendering needs pygame.")

    monkeypatch.setattr(_pictures, "frames", missing)
    result = call("demo", "--out", tmp_path, "--episodes", 1)
    assert result.exit_code == 0
    assert "the page has no picture of the cell: Rendering needs pygame." in result.stderr
    assert "data:image/png" not in (tmp_path / "index.html").read_text()
