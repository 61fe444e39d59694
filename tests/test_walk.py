"""A newcomer's walk: every page, block by block, in an empty folder; shell runs, or is marked with why not."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from cli.calling import call
from test_readme import PAGES, ROOT, Block, blocks_of, walks

pytest.importorskip("stable_baselines3", reason="the extra `learn` is not installed")
pytest.importorskip("typer", reason="the extra `cli` is not installed")

TIMEOUT_S = 300  # the first run on a machine compiles the simulator
LESS = {
    "simulate": "--episodes 5 --no-plot",
    "search": "--grid 3 --episodes 3 --no-refine",
    "train": "--steps 6400 --train evaluation_episodes=5",
    "evaluate": "--episodes 5 --no-plot",
    "reproduce static": "--steps 3200 --episodes 3 --grid 3 --look-ahead 0 --seed 1 --threads 1",
    "record city-30": "--days 0.1 --set step_s=10",
    "telemetry": "--no-plot",
    "forecast compare week": "--seeds 1 --forecaster last-value --no-plot",
    "forecast train": "--set hidden=8 --set recipe.epochs=1",
    "autoscale compare": "--days 0.0125 --history 0.0125 --seeds 1 --recommender threshold --no-plot",
    "autoscale --actuator simulated": "--history 0.05 --ticks 3",
    "agents train": "--days 0.5 --steps 200 --train rounds=1 --train num_envs=2 --set intervals=20",
    "agents evaluate": "--days 0.5 --episodes 2 --set intervals=20",
}
"""Options added to commands of `metalore`, which do the same for less time; the last one given counts."""


def shortened(line: str) -> str:
    """A command line that does the same for less time."""
    less = [less for command, less in LESS.items() if f"{line} ".startswith(f"metalore {command} ")]
    return " ".join([line, *less])


def script_of(block: Block) -> list[str]:
    """How a block is run: Python as a file, lines of a shell one after the other until one fails."""
    if block.language == "python":
        return [sys.executable, "-W", "error", "-c", block.text]
    return ["bash", "-euc", "\n".join(map(shortened, lines_of(block)))]


def lines_of(block: Block) -> list[str]:
    """Commands of a block of shell, without what is said about them."""
    return [re.sub(r"\s+# .*", "", line) for line in block.text.splitlines()]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """With `metalore` on the path, as an installation has it."""
    command = tmp_path / "bin" / "metalore"
    command.parent.mkdir()
    code = "from metalore.cli import main; main()"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c "{code}" "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    python = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": python}


@pytest.mark.parametrize("page", walks(), ids=lambda page: page.stem)
def test_page_can_be_walked(page: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    for block in blocks_of(page.read_text(encoding="utf-8")):
        if block.skip or block.language not in ("python", "bash"):
            continue
        done = subprocess.run(
            script_of(block),
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"{page.name}:{block.line}\n{block.text}\n{done.stdout}\n{done.stderr}"


def told(page: Path) -> list[str]:
    """Commands of a page that are to be run."""
    blocks = blocks_of(page.read_text(encoding="utf-8"))
    return [line for block in blocks if block.language == "bash" and not block.skip for line in lines_of(block)]


@pytest.mark.parametrize("page", [page for page in PAGES if page not in walks() and told(page)], ids=lambda p: p.stem)
def test_commands_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, in an empty folder; within this process, which saves the start, so commands of ours only."""
    monkeypatch.chdir(tmp_path)
    for line in told(page):
        program, *words = shlex.split(shortened(line))
        assert program == "metalore", f"{line!r} is not run here: mark its block with <!-- skip: reason -->"
        result = call(*words)
        assert result.exit_code == 0, f"{line}\n{result.output}"


def test_what_is_not_run_must_be_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, block = tmp_path / "page.md", "```bash\nkubectl get pods  # all of them\n```\n"
    page.write_text(block, encoding="utf-8")
    with pytest.raises(AssertionError, match="'kubectl get pods' is not run here: mark its block"):
        test_commands_of_a_page_run(page, tmp_path, monkeypatch)
    page.write_text(f"<!-- skip: needs a cluster -->\n{block}", encoding="utf-8")
    assert told(page) == []


def test_walks_are_the_tutorial_and_all_how_tos() -> None:
    named = {page.relative_to(ROOT / "docs").as_posix() for page in walks()}
    assert {"tutorial.md", "how-to/own-channel.md", "how-to/deploy.md"} <= named


def test_a_command_that_fails_stops_the_walk(tmp_path: Path, environment: dict[str, str]) -> None:
    block = Block(1, "bash", "metalore simulate no-such-city\necho on > went\n", None)
    done = subprocess.run(script_of(block), cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 1
    assert not (tmp_path / "went").exists()
