"""Policies on the same episodes of a scenario: running them, and keeping what came out."""

from __future__ import annotations

import json
import math
import platform
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from metalore import __version__
from metalore.cli._toml import commented_toml
from metalore.policies import Policy
from metalore.policies.rollout import EpisodeResults, run_episodes
from metalore.report import Simulation, replacing, summarize, write_text
from metalore.scenario import Scenario


@dataclass(frozen=True)
class Experiment:
    """What to run.

    Attributes:
        scenario: with all changes made.
        changes: what was changed, by path.
        policies: what decides, by what a person calls it.
        seed: of the first episode.
        episodes: under each policy.
        threads: that step the worlds.
        command: what to type to do it again.
    """

    scenario: Scenario
    changes: Mapping[str, Any]
    policies: Mapping[str, Policy]
    seed: int
    episodes: int
    threads: int
    command: str

    def __post_init__(self) -> None:
        if self.episodes < 1:
            raise ValueError(f"--episodes is {self.episodes}; at least 1 is needed")
        if not 0 <= self.seed <= 2**64 - self.episodes:
            raise ValueError(f"--seed is {self.seed}; seeds are whole numbers from 0 to 2**64 - 1")
        if self.threads < 1:
            raise ValueError(f"--threads is {self.threads}; at least 1 is needed")

    @property
    def seeds(self) -> range:
        """One for each episode."""
        return range(self.seed, self.seed + self.episodes)

    @property
    def steps(self) -> int:
        """Of all policies and episodes."""
        return len(self.policies) * self.episodes * self.scenario.max_steps

    def about(self) -> dict[str, Any]:
        """Everything to run it again."""
        return {
            "scenario": self.scenario.model_dump(mode="json"),
            "overrides": dict(self.changes),
            "seeds": {"first": self.seed, "count": self.episodes},
            "policies": list(self.policies),
            "versions": versions(),
            "command": self.command,
        }


def versions() -> dict[str, str]:
    """What made the numbers."""
    return {
        "metalore": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
    }


@dataclass(frozen=True)
class Tables:
    """What came out, all policies below each other; see :class:`metalore.policies.rollout.EpisodeResults`."""

    episodes: pd.DataFrame
    summary: pd.DataFrame
    course: pd.DataFrame
    ages: pd.DataFrame
    jobs: pd.DataFrame | None


def run(experiment: Experiment, jobs: bool = False) -> Tables:
    """Run it, with a progress bar if someone is watching; `jobs` keeps every job."""
    results = []
    with progress_bar() as progress:
        task = progress.add_task("", total=experiment.steps)
        for name, policy in experiment.policies.items():
            progress.update(task, description=name)
            results.append(
                run_episodes(
                    experiment.scenario,
                    policy,
                    experiment.seeds,
                    threads=experiment.threads,
                    progress=lambda steps: progress.advance(task, steps),
                    course=True,
                    ages=True,
                    job_log=jobs,
                )
            )
    return _tables(results)


def progress_bar() -> Progress:
    """One that shows if someone is watching."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:22}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _tables(results: Sequence[EpisodeResults]) -> Tables:
    episodes = _stacked(results, "episodes")
    jobs = _stacked(results, "jobs") if results[0].jobs is not None else None
    return Tables(episodes, summarize(episodes), _stacked(results, "course"), _stacked(results, "ages"), jobs)


def _stacked(results: Sequence[EpisodeResults], part: str) -> pd.DataFrame:
    frames = []
    for result in results:
        frame = pd.DataFrame(getattr(result, part))
        frame.insert(0, "policy", result.policy)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def simulation_of(experiment: Experiment, tables: Tables) -> Simulation:
    """What the report needs."""
    return Simulation(experiment.about(), tables.summary, tables.course, tables.ages)


def make_ready(folder: Path) -> None:
    """Find out whether results can be written before there are any.

    Raises:
        OSError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(error.errno, f"results cannot be written there ({error.strerror})", str(folder)) from None


def write(experiment: Experiment, tables: Tables, folder: Path) -> None:
    """Write the tables and everything to run it again; each file appears whole, `summary.json` as the last."""
    frames = {"episodes": tables.episodes, "course": tables.course, "ages": tables.ages, "jobs": tables.jobs}
    for name, frame in frames.items():
        if frame is not None:
            with replacing(folder / f"{name}.parquet") as temporary:
                frame.to_parquet(temporary, index=False)
    write_text(folder / "scenario.toml", commented_toml(experiment.scenario))
    summary = experiment.about() | {"results": _nested(tables.summary)}
    write_text(folder / "summary.json", json.dumps(summary, indent=2, allow_nan=False) + "\n")


def _nested(summary: pd.DataFrame) -> dict[str, dict[str, dict[str, float | None]]]:
    """By policy and measure: mean, low, high and number of episodes; null where undefined."""
    nested: dict[str, dict[str, dict[str, float | None]]] = {}
    for row in summary.to_dict("records"):
        policy, name = row.pop("policy"), row.pop("measure")
        numbers = {key: value if math.isfinite(value) else None for key, value in row.items()}
        nested.setdefault(policy, {})[name] = numbers
    return nested


def file_names(names: Iterable[str]) -> list[str]:
    """A name for files about each, without what files cannot be called."""
    plain = [re.sub(r"[^\w-]+", "-", name).strip("-") for name in names]
    return [text if text and plain.count(text) == 1 else f"{text}-{i}" for i, text in enumerate(plain)]


def say(text: str) -> None:
    """Tell the person something that is no result."""
    print(text, file=sys.stderr)
