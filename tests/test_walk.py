"""A newcomer's walk: the tutorial and every how-to, block by block, exactly as written, in an empty folder."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from test_readme import ROOT, Block, blocks_of, walks

pytest.importorskip("stable_baselines3", reason="the extra `learn` is not installed")
pytest.importorskip("typer", reason="the extra `cli` is not installed")

TIMEOUT_S = 300  # the first run on a machine compiles the simulator
LESS = {
    "metalore simulate": "--episodes 5 --no-plot",
    "metalore search": "--grid 3 --episodes 3 --no-refine",
    "metalore train": "--steps 6400 --train evaluation_episodes=5",
    "metalore evaluate": "--episodes 5 --no-plot",
    "metalore telemetry": "--no-plot",
}
"""Options added to commands, which do the same for less time."""


def shortened(line: str) -> str:
    """A command line that does the same for less time."""
    return next((f"{line} {less}" for command, less in LESS.items() if line.startswith(f"{command} ")), line)


def script_of(block: Block) -> list[str]:
    """How a block is run: Python as a file, lines of a shell one after the other until one fails."""
    if block.language == "python":
        return [sys.executable, "-W", "error", "-c", block.text]
    lines = [shortened(line.partition("  #")[0].strip()) for line in block.text.splitlines()]
    return ["bash", "-euc", "\n".join(lines)]


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


def test_walks_are_the_tutorial_and_all_how_tos() -> None:
    named = {page.relative_to(ROOT / "docs").as_posix() for page in walks()}
    assert {"tutorial.md", "how-to/own-channel.md", "how-to/deploy.md"} <= named


def test_a_command_that_fails_stops_the_walk(tmp_path: Path, environment: dict[str, str]) -> None:
    block = Block(1, "bash", "metalore simulate no-such-city\necho on > went\n", None)
    done = subprocess.run(script_of(block), cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 1
    assert not (tmp_path / "went").exists()
