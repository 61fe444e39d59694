"""Policies of all kinds judged on the same episodes: finding them, running them, and keeping what came out."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from metalore import intervals
from metalore.cli._experiment import Experiment, file_names, progress_bar
from metalore.cli._options import overrides_of
from metalore.cli._toml import commented_toml
from metalore.learn.card import CARD, WEIGHTS, PolicyFolderError, read_card
from metalore.learn.evaluation import Evaluation, evaluate, stacked
from metalore.learn.seeds import EVALUATION_SEEDS, TRAINING_SEEDS
from metalore.learn.settings import TrainSettings
from metalore.policies import NAMES, Policy, make_policy
from metalore.report import Simulation, replacing, write_text
from metalore.scenario import Scenario


@dataclass(frozen=True)
class Contestant:
    """A policy and where it comes from.

    Attributes:
        given: what a person typed.
        policy: what decides.
        folder: of a trained policy.
        card: what the folder says of it.
    """

    given: str
    policy: Policy
    folder: Path | None = None
    card: Mapping[str, Any] | None = None

    @property
    def label(self) -> str:
        """What to call it in results: its name, or what was typed where the name leaves out what follows a colon."""
        return self.given if self.policy.name == self.given.partition(":")[0] else self.policy.name

    @property
    def identity(self) -> str:
        """Two with the same are one."""
        return self.label if self.folder is None else str(self.folder.resolve())

    def has_seen(self, seeds: range) -> bool:
        """Whether it was trained or chosen on some of the seeds."""
        if self.card is None:
            return False
        first, settings = self.card["seed"] * TRAINING_SEEDS, TrainSettings.model_validate(self.card["settings"])
        used = ((first, settings.num_envs), (EVALUATION_SEEDS, settings.evaluation_episodes))
        return any(begin < seeds.stop and seeds.start < begin + count for begin, count in used)

    def about(self, seeds: range) -> dict[str, Any]:
        """What is needed to find the same policy again."""
        if self.folder is None or self.card is None:
            return {"given": self.given, "kind": "rule"}
        return {
            "given": self.given,
            "kind": "trained",
            "folder": str(self.folder.resolve()),
            "sha256": _sha256(self.folder / WEIGHTS),
            "card_sha256": _sha256(self.folder / CARD),
            "held_out": not self.has_seen(seeds),
            "trained_on": self.card["scenario"]["name"],
            **{name: self.card.get(name) for name in ("seed", "settings", "versions")},
        }


def contestant(text: str, scenarios: Sequence[Scenario]) -> Contestant:
    """The policy that a text names: a rule, or a folder if there is such a path or it contains a slash.

    Raises:
        PolicyError: no rule is called so.
        PolicyFolderError: the folder holds no policy, or one that cannot act on one of the scenarios.
    """
    if "/" not in text and (text in NAMES or not Path(text).exists()):
        return Contestant(text, make_policy(text))
    from metalore.learn import load_policy  # here, since rules need no torch

    folder = Path(text) if Path(text).name else Path(text).resolve()
    policies = [load_policy(folder, scenario) for scenario in scenarios]
    card = read_card(folder)
    if not isinstance(card.get("seed"), int):
        raise PolicyFolderError(f"{folder / CARD} is damaged: it does not say with which seed the policy was trained")
    _calm_torch()
    return Contestant(text, policies[0], folder, card)


def labelled(contestants: Iterable[Contestant]) -> dict[str, Contestant]:
    """Policies by what to call them; what is the same twice comes once."""
    found: dict[str, Contestant] = {}
    for one in contestants:
        found.setdefault(one.identity, one)
    often = Counter(one.label for one in found.values())
    return {one.label if often[one.label] == 1 else f"{one.label} {one.given}": one for one in found.values()}


def _calm_torch() -> None:
    import torch

    torch.set_num_threads(1)  # networks this small lose time to threads


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Judging:
    """What to judge.

    Attributes:
        experiments: one for each scenario; all with the same policies and seeds.
        contestants: by what to call them.
        reference: the one that the others are compared with.
    """

    experiments: tuple[Experiment, ...]
    contestants: Mapping[str, Contestant]
    reference: str

    @classmethod
    def of(
        cls,
        policies: Sequence[str],
        reference: str | None,
        scenarios: Sequence[Scenario],
        *,
        settings: Sequence[str] = (),
        seed: int,
        episodes: int,
        threads: int = 1,
        command: str,
    ) -> Judging:
        """What a person asked for; a reference that is not among the policies is judged with them."""
        changes = overrides_of(settings)
        # Made first, since they refuse impossible numbers, which takes no time.
        bare = [Experiment(scenario, changes, {}, seed, episodes, threads, command) for scenario in scenarios]
        found = [contestant(text, scenarios) for text in (*policies, *([reference] if reference else []))]
        known = labelled(found)
        wanted = found[-1 if reference else 0].identity
        chosen = next(name for name, one in known.items() if one.identity == wanted)
        by_name = {name: one.policy for name, one in known.items()}
        return cls(tuple(replace(one, policies=by_name) for one in bare), known, chosen)

    @property
    def seeds(self) -> range:
        """One for each episode."""
        return self.experiments[0].seeds

    @property
    def seen_before(self) -> list[str]:
        """Policies that were trained or chosen on some of the seeds."""
        return [name for name, one in self.contestants.items() if one.has_seen(self.seeds)]

    def about(self) -> dict[str, Any]:
        """Everything to run it again."""
        one = self.experiments[0].about()
        return {
            "command": one["command"],
            "seeds": one["seeds"],
            "overrides": one["overrides"],
            "reference": self.reference,
            "policies": {name: of.about(self.seeds) for name, of in self.contestants.items()},
            "scenarios": {of.scenario.name: of.about()["scenario"] for of in self.experiments},
            "intervals": {"level": intervals.LEVEL, "resamples": intervals.RESAMPLES, "seed": intervals.SEED},
            "versions": one["versions"] | self._versions(),
        }

    def _versions(self) -> dict[str, str]:
        """Of what decides about the numbers of trained policies, if there are any."""
        if all(one.folder is None for one in self.contestants.values()):
            return {}
        from metalore.learn.folder import versions

        return versions()


def judge(judging: Judging, keep: bool) -> Evaluation:
    """Run it, with a progress bar if someone is watching; `keep` also what only files and figures need."""
    first = judging.experiments[0]
    with progress_bar() as progress:
        task = progress.add_task("", total=sum(one.steps for one in judging.experiments))
        return evaluate(
            first.policies,
            [one.scenario for one in judging.experiments],
            first.seeds,
            reference=judging.reference,
            threads=first.threads,
            course=keep,
            ages=keep,
            progress=lambda _, name, steps: progress.update(task, advance=steps, description=name),
        )


def simulations(judging: Judging, evaluation: Evaluation) -> list[Simulation]:
    """What the report needs, for each scenario."""
    course, ages = (pd.DataFrame(stacked(evaluation.results, part)) for part in ("course", "ages"))
    summary, about = pd.DataFrame(evaluation.summary), judging.about()
    extra = {"judged": about["policies"], "versions": about["versions"], "held_out": not judging.seen_before}
    runs = []
    for name, scenario in about["scenarios"].items():
        own = (table[table["scenario"] == name] for table in (summary, course, ages))
        runs.append(Simulation(judging.experiments[0].about() | {"scenario": scenario} | extra, *own))
    return runs


def write(judging: Judging, evaluation: Evaluation, folder: Path) -> None:
    """Write the tables and everything to run it again; each file appears whole, `summary.json` as the last."""
    tables = {"evaluation": evaluation.episodes}
    tables |= {part: stacked(evaluation.results, part) for part in ("course", "ages")}
    for name, table in tables.items():
        with replacing(folder / f"{name}.parquet") as temporary:
            pd.DataFrame(table).to_parquet(temporary, index=False)
    scenarios = {one.scenario.name: one.scenario for one in judging.experiments}
    for name, file_name in zip(scenarios, file_names(scenarios), strict=True):
        write_text(folder / "scenarios" / f"{file_name}.toml", commented_toml(scenarios[name]))
    content = judging.about() | {
        "results": _nested(evaluation.summary),
        "differences": _nested(evaluation.differences),
    }
    write_text(folder / "summary.json", json.dumps(content, indent=2, allow_nan=False) + "\n")


def _nested(table: Mapping[str, Any]) -> dict[str, dict[str, dict[str, dict[str, float | None]]]]:
    """By scenario, policy and measure: mean, low, high and number of episodes; null where undefined."""
    nested: dict[str, dict[str, dict[str, dict[str, float | None]]]] = {}
    for row in pd.DataFrame(table).to_dict("records"):
        numbers = {name: row[name] if math.isfinite(row[name]) else None for name in ("mean", "low", "high")}
        of = nested.setdefault(row["scenario"], {}).setdefault(row["policy"], {})
        of[row["measure"]] = numbers | {"episodes": row["episodes"]}
    return nested
