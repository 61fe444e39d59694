"""Running a recorded experiment: its commands one after the other, and what they print kept."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TextIO

import metalore
from metalore.cli._experiment import make_ready, versions
from metalore.cli._recorded import Experiment, ReproduceError
from metalore.report import write_text

OUTPUT, ABOUT = "output.txt", "reproduced.json"
ROOT = Path(metalore.__file__).parents[1]
CHECKOUT = ("benchmarks/", "examples/", "tests/")
"""What is no part of the installed package."""
CALM = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1"}
"""As the recorded numbers were made, unless the environment says otherwise; and lines come when they are printed."""
DECIDING = ("torch", "scikit-learn", "stable-baselines3", "transformers")
"""Packages beside those of :func:`versions` whose versions decide about numbers."""


def run(experiment: Experiment, folder: Path) -> None:
    """Run all commands; their output goes to the terminal and to `output.txt`.

    Raises:
        ReproduceError: a command needs what is no part of the installed package, or data that are not there; or fails.
        OSError: nothing can be written there.
    """
    commands = [_words(experiment, command, folder) for command in experiment.commands]
    make_ready(folder)
    begin = time.perf_counter()
    with (folder / OUTPUT).open("w", encoding="utf-8") as kept:
        for words, command in zip(commands, experiment.commands, strict=True):
            code = _run(words, kept)
            if code:
                raise ReproduceError(f"{command} ended with exit code {code}")
    write_about(experiment.name, experiment.commands, folder, time.perf_counter() - begin, CALM | dict(os.environ))


def write_about(
    name: str, commands: Sequence[str], folder: Path, seconds: float, environment: Mapping[str, str] = os.environ
) -> None:
    """`reproduced.json`: what was run, with what, and how long it took."""
    about = {
        "experiment": name,
        "commands": list(commands),
        "seconds": round(seconds, 1),
        "cores": os.cpu_count(),
        "OMP_NUM_THREADS": environment.get("OMP_NUM_THREADS"),
        "versions": versions() | dict(_deciding()),
    }
    write_text(folder / ABOUT, json.dumps(about, indent=1) + "\n")


def _words(experiment: Experiment, command: str, folder: Path) -> list[str]:
    """A command as this interpreter runs it."""
    program, *words = shlex.split(command)
    parts = [word for word in words if word.startswith(CHECKOUT)]
    missing = [word for word in parts if not (ROOT / word).exists()]
    if missing:
        raise ReproduceError(
            f"{experiment.name} runs {missing[0]}, which is no part of the installed package; run it in a checkout"
        )
    words = [str(ROOT / word) if word in parts else word.replace("{out}", str(folder.resolve())) for word in words]
    if any("{data}" in word for word in words):
        words = [word.replace("{data}", _data(experiment)) for word in words]
    own = ["-c", "from metalore.cli import main; main()"] if program == "metalore" else []
    return [sys.executable, *own, *words]


def _data(experiment: Experiment) -> str:
    """The folder of data sets and recordings."""
    named = os.environ.get("METALORE_DATA", "")
    if not (named and Path(named).is_dir()):
        raise ReproduceError(
            f"{experiment.name} reads data; METALORE_DATA must name their folder, and is {named or 'unset'}"
        )
    return named


def _run(words: list[str], kept: TextIO) -> int:
    """Run a command, show and keep what it prints; its exit code."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=CALM | dict(os.environ)) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            kept.write(line)
            kept.flush()
    return process.returncode


def _deciding() -> Iterator[tuple[str, str]]:
    for name in DECIDING:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
