"""What `metalore demo` and `metalore reproduce` share: train, search, judge on held-out seeds, write it down."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metalore.cli._experiment import make_ready, progress_bar, say, versions
from metalore.learn import PRESETS, LearnedPolicy, TrainSettings, load_policy, train
from metalore.learn.card import CARD, CHECKPOINT, CURVE, PolicyFolderError, read_card
from metalore.learn.evaluation import Evaluation, evaluate, stacked
from metalore.learn.seeds import HELD_OUT_SEEDS
from metalore.policies import Fixed, Policy, QueueAware, make_policy
from metalore.policies.queue_aware import search_queue_aware
from metalore.policies.search import Resources, Searched, refine, search_splits
from metalore.report import Learning, PolicyMap, Section, learning_page, replacing, write_page, write_text
from metalore.scenario import Scenario

BEST_FIXED = "best-fixed"
RULES = ("demand-proportional", "backlog-proportional", "max-weight-age", "fixed:0.5,0.5")
CURVE_MEASURES = ("return", "aori_s", "aosi_s", "served_age_s", "twin_age_s", "throughput_per_s")


@dataclass(frozen=True)
class Budget:
    """How much is spent; everything else follows from it and the seeds.

    Attributes:
        steps: environment steps of a training run; None: the preset's.
        train_seeds: one training run for each.
        episodes: per point of a search and per policy of an evaluation.
        grid: side of the grid of fixed splits.
        look_ahead: episodes that the look-ahead is run on (it costs thousands of times what a rule costs); 0: none.
        threads: that step the worlds.
    """

    steps: int | None = None
    train_seeds: tuple[int, ...] = (111,)
    episodes: int = 100
    grid: int = 21
    look_ahead: int = 20
    threads: int = 2

    def __post_init__(self) -> None:
        if self.episodes < 1:
            raise ValueError(f"--episodes is {self.episodes}; at least 1 is needed")
        if self.grid < 2:
            raise ValueError(f"--grid is {self.grid}; a grid needs at least 2 points a side")
        if self.look_ahead < 0:
            raise ValueError(f"--look-ahead is {self.look_ahead}; it is a number of episodes, 0 for none")
        if not self.train_seeds:
            raise ValueError("at least one --seed is needed")

    @property
    def held_out(self) -> range:
        """Seeds of evaluations: on none of them anything was trained, chosen or searched."""
        return range(HELD_OUT_SEEDS, HELD_OUT_SEEDS + self.episodes)


@dataclass
class Study:
    """Work that goes into one folder, with what it took.

    Attributes:
        folder: where policies, tables and pages go.
        budget: how much is spent.
        seconds: wall time by part.
    """

    folder: Path
    budget: Budget
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        make_ready(self.folder)

    def command(self, *words: str) -> str:
        """What to type to do this study again, after `metalore`: the subcommand's words, the folder and the budget."""
        budget = self.budget
        chosen = {"steps": budget.steps, "episodes": budget.episodes, "grid": budget.grid}
        options = [f"--{name}={value}" for name, value in chosen.items() if value is not None]
        options += [f"--look-ahead={budget.look_ahead}", *(f"--seed={seed}" for seed in budget.train_seeds)]
        return shlex.join(["metalore", *words, "--out", str(self.folder), *options])

    # -- parts ---------------------------------------------------------------------------------------------------------

    def trained(self, name: str, scenario: Scenario, settings: TrainSettings | None = None) -> dict[int, LearnedPolicy]:
        """A policy for each training seed; finished ones are taken from the folder, cut ones are taken up again."""
        chosen = settings or PRESETS["default"]
        if self.budget.steps is not None:
            chosen = chosen.model_copy(update={"steps": min(chosen.steps, self.budget.steps)})
        return {seed: self._trained(name, scenario, chosen, seed) for seed in self.budget.train_seeds}

    def _trained(self, name: str, scenario: Scenario, settings: TrainSettings, seed: int) -> LearnedPolicy:
        folder = self.folder / "policies" / f"{name}-{seed}"
        if _is_finished(folder, scenario, settings):
            return load_policy(folder)
        with self._timed(f"training {name}-{seed}", settings.steps) as update:
            train(
                scenario,
                settings,
                folder,
                seed=seed,
                resume=(folder / CHECKPOINT).exists(),
                threads=1,  # the network takes most of the time
                progress=lambda done, _: update(completed=done),
            )
        write_text(folder / "finished", "")
        return load_policy(folder)

    def enumerated(self, scenario: Scenario, objective: str = "return") -> tuple[Searched, Fixed]:
        """The grid of fixed splits, and the best split of the finer grid around its best."""
        where = Resources(threads=self.budget.threads)
        grid, seeds = self.budget.grid, range(self.budget.episodes)
        part = f"enumeration of {grid} x {grid} splits, {scenario.name}"
        with self._timed(part, grid**2 * len(seeds)) as update:
            search = search_splits(scenario, grid, seeds, resources=where, progress=lambda n: update(advance=n))
        with self._timed(f"refinement, {scenario.name}"):
            finer = refine(search, objective, resources=where)
        bandwidth, compute = finer.points[finer.best(objective)]
        return search, Fixed(float(bandwidth), float(compute))

    def rule(self, scenario: Scenario) -> QueueAware:
        """The best queue-aware rule."""
        with self._timed(f"search for a queue-aware rule, {scenario.name}"):
            found = search_queue_aware(
                scenario, range(self.budget.episodes), resources=Resources(threads=self.budget.threads)
            )
        return found.rule

    def judged(self, policies: Mapping[str, Policy], scenario: Scenario, reference: str = BEST_FIXED) -> Evaluation:
        """All policies on the held-out seeds."""
        total = len(policies) * self.budget.episodes * scenario.max_steps
        with self._timed(f"evaluation, {scenario.name}", total) as update:
            return evaluate(
                policies,
                [scenario],
                self.budget.held_out,
                reference=reference,
                threads=self.budget.threads,
                course=True,
                ages=True,
                progress=lambda _, name, steps: update(advance=steps, description=f"evaluation of {name}"),
            )

    def looked_ahead(self, bases: Sequence[Policy], scenario: Scenario) -> pd.DataFrame:
        """Look-ahead and its bases on the first held-out seeds: mean returns and gains over the best base, paired."""
        from metalore.intervals import bootstrap_mean, paired_difference
        from metalore.policies import LookAhead, run_episodes

        seeds = self.budget.held_out[: self.budget.look_ahead]
        returns = {base.name: run_episodes(scenario, base, seeds).episodes["return"] for base in bases}
        strongest = max(returns, key=lambda name: float(returns[name].mean()))
        total = 2 * len(seeds) * scenario.max_steps
        with self._timed(f"look-ahead on {len(seeds)} episodes, {scenario.name}", total) as update:
            for clairvoyant in (True, False):
                policy = LookAhead(list(bases), clairvoyant=clairvoyant, samples=4, threads=self.budget.threads)
                run = run_episodes(scenario, policy, seeds, progress=lambda steps: update(advance=steps))
                returns[policy.name] = run.episodes["return"]
        rows = []
        for name, values in returns.items():
            mean, gain = bootstrap_mean(values), paired_difference(values, returns[strongest])
            rows.append((name, *mean, strongest, *gain, len(seeds)))
        columns = ["policy", "mean", "low", "high", "over", "gain", "gain_low", "gain_high", "episodes"]
        return pd.DataFrame(rows, columns=columns)

    # -- results -------------------------------------------------------------------------------------------------------

    def write_tables(self, tables: Mapping[str, pd.DataFrame]) -> None:
        """Each table as Parquet, whole or not at all."""
        for name, table in tables.items():
            with replacing(self.folder / f"{name}.parquet") as temporary:
                table.to_parquet(temporary, index=False)

    def write_summary(self, about: Mapping[str, Any]) -> None:
        """`summary.json`, written last: what was run, how long it took, what came out."""
        content = {
            "versions": versions(),
            "budget": {**vars(self.budget), "train_seeds": list(self.budget.train_seeds)},
            "held_out_seeds": {"first": HELD_OUT_SEEDS, "count": self.budget.episodes},
            "seconds": {name: round(value, 1) for name, value in self.seconds.items()},
            **about,
        }
        write_text(self.folder / "summary.json", json.dumps(content, indent=1, default=_plain) + "\n")

    def write_page(self, learning: Learning, title: str, extra: Sequence[Section] = (), lead: str = "") -> Path:
        """`index.html`; returns its path."""
        with self._timed("page"):
            write_page(learning_page(learning, title, extra, lead), self.folder / "index.html")
        return self.folder / "index.html"

    @contextmanager
    def _timed(self, part: str, total: int | None = None) -> Iterator[Callable[..., None]]:
        """Shows a part of the study while somebody watches, and says how long it took; yields what updates the bar."""
        start = time.perf_counter()
        with progress_bar() as bar:
            yield partial(bar.update, bar.add_task(part, total=total))
        self.seconds[part] = time.perf_counter() - start
        say(f"  {part}: {self.seconds[part]:.1f} s")


def _is_finished(folder: Path, scenario: Scenario, settings: TrainSettings) -> bool:
    """Whether the folder holds the end of just this run.

    Raises:
        PolicyFolderError: it holds another run.
    """
    if not (folder / CARD).exists():
        return False
    card = read_card(folder)
    ours = (settings.model_dump(mode="json"), scenario.model_dump(mode="json"))
    if (card["settings"], card["scenario"]) != ours:
        raise PolicyFolderError(f"{folder} holds a policy trained with other settings; choose another --out")
    return (folder / "finished").exists()


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)


# -- tables ------------------------------------------------------------------------------------------------------------


def enumeration_table(search: Searched) -> pd.DataFrame:
    """Columns `bandwidth, compute` and the mean of each measure of CURVE_MEASURES."""
    means = {name: search.mean(name) for name in CURVE_MEASURES}
    return pd.DataFrame({"bandwidth": search.points[:, 0], "compute": search.points[:, 1]} | means)


def training_table(folder: Path, names: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """Columns `policy, seed, steps, wall_s, return, return_sd` of the training curves below a study's folder."""
    curves = []
    for name in names:
        for seed in seeds:
            curve = pd.read_csv(folder / "policies" / f"{name}-{seed}" / CURVE)
            curves.append(curve.assign(policy=name, seed=seed))
    return pd.concat(curves, ignore_index=True)


def page_tables(evaluation: Evaluation, learned: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """Tables of an evaluation for the page.

    Args:
        learned: runs of one kind by what the page calls them all; over time only the first of a kind is drawn.
    """
    episodes = pd.DataFrame(evaluation.episodes)
    episodes["policy"] = episodes["policy"].replace(dict(learned))
    first = {kind: run for run, kind in reversed(list(learned.items()))}
    tables = {"episodes": episodes}
    for part in ("course", "ages"):
        table = pd.DataFrame(stacked(evaluation.results, part))
        table = table[~table["policy"].isin(set(learned) - set(first.values()))]
        tables[part] = table.assign(policy=table["policy"].replace({run: kind for kind, run in first.items()}))
    return tables


def policy_map(name: str, policy: LearnedPolicy | QueueAware, largest: tuple[int, int]) -> PolicyMap:
    """What a policy that sees the two queue lengths does with them, on a grid that is even in log(1 + x)."""
    axes = [np.unique(np.round(np.expm1(np.linspace(0, np.log1p(top), 40)))) for top in largest]
    queues = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    if isinstance(policy, LearnedPolicy):
        shares = policy.act(queues.astype(np.float32))
    else:
        a, b, c = np.moveaxis(policy.theta.reshape(1, 2, 3), -1, 0)
        shares = 1 / (1 + np.exp(-(a + b * np.log1p(queues[:, :1]) - c * np.log1p(queues[:, 1:]))))
    shape = (len(axes[0]), len(axes[1]))
    return PolicyMap(name, axes[0], axes[1], shares[:, 0].reshape(shape), shares[:, 1].reshape(shape))


def rules() -> dict[str, Policy]:
    """The simple policies beside which learning is shown."""
    return {name: make_policy(name) for name in RULES}
