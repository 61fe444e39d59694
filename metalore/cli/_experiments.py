"""The published experiments: what each compares, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metalore.cli._comparison import about, compare, differences_of, returns_of
from metalore.cli._study import BEST_FIXED, Study, enumeration_table, page_tables, rules, training_table
from metalore.learn import PRESETS, TrainSettings
from metalore.learn.evaluation import Evaluation, judged
from metalore.policies import Policy
from metalore.report import Learning
from metalore.scenario import Scenario, load

OBJECTIVES: dict[str, dict[str, float]] = {
    "gap": {},
    "served-age": {"reward.sync_reward": 0.0, "reward.throughput": 10.0, "reward.served_age": 0.5},
    "twin-age": {"reward.sync_reward": 0.0, "reward.throughput": 1.0, "reward.twin_age": 5.0},
}
"""Rewards: the published one; completed requests less the age of what they were served with; less the twin's age."""

OBSERVATIONS: dict[str, tuple[str, ...]] = {
    "queues": ("queue_lengths",),
    "queues-and-backlogs": ("queue_lengths", "backlog_mbit", "backlog_gcycle"),
    "everything": ("queue_lengths", "backlog_mbit", "backlog_gcycle", "waiting_age", "twin_age", "progress"),
}
DELAY_PENALTIES = (0.0, 1.0, 3.0, 10.0, 30.0)
EVEN = "fixed:0.5,0.5"
MEASURES = ("return", "aori_s", "aosi_s", "served_age_s", "twin_age_s", "throughput_per_s", "requests_late_share")


def _static(study: Study, command: str) -> Path:
    return compare(study, load("smart-city"), "Reference cell: PPO and full enumeration", command, published=True)


def _dynamic(study: Study, command: str) -> Path:
    title = "Traffic that changes within the episode"
    return compare(study, load("smart-city-dynamic"), title, command, PRESETS["long-episodes"])


def _seeds(study: Study, command: str) -> Path:
    """Defaults and published settings, every training seed by itself."""
    scenario = load("smart-city")
    _, best = study.enumerated(scenario)
    policies: dict[str, Policy] = {BEST_FIXED: best}
    for name in ("default", "published"):
        trained = study.trained(name, scenario, PRESETS[name])
        policies |= {f"{name}-{seed}": policy for seed, policy in trained.items()}
    evaluation = study.judged(policies, scenario)
    curves = training_table(study.folder, ["default", "published"], study.budget.train_seeds)
    returns = returns_of(evaluation)
    spread = {
        kind: _spread([row[0] for name, row in returns.items() if name.startswith(f"{kind}-")])
        for kind in ("default", "published")
    }
    return _finish(study, command, scenario, evaluation, "Spread over training seeds", {"spread": spread}, curves)


def _small_observation(study: Study, command: str) -> Path:
    scenario = load("smart-city")
    _, best = study.enumerated(scenario)
    policies: dict[str, Policy] = {BEST_FIXED: best}
    for name, features in OBSERVATIONS.items():
        settings = PRESETS["default"].model_copy(update={"observation": features})
        policies |= _named(name, study, scenario, settings)
    evaluation = study.judged(policies, scenario)
    returns = returns_of(evaluation)
    spread = {
        name: _spread([row[0] for run, row in returns.items() if run.rpartition("-")[0] == name])
        for name in OBSERVATIONS
    }
    curves = training_table(study.folder, list(OBSERVATIONS), study.budget.train_seeds)
    title = "Two queue lengths against fuller observations"
    return _finish(study, command, scenario, evaluation, title, {"spread": spread}, curves)


def _objective(study: Study, command: str) -> Path:
    """For each reward the best split and PPO under it, all judged by all measures in the published world."""
    published = load("smart-city")
    policies: dict[str, Policy] = {}
    for name, weights in OBJECTIVES.items():
        scenario = published.updated(**weights)
        _, best = study.enumerated(scenario)
        policies[f"fixed-for-{name}"] = best
        policies |= _named(f"ppo-for-{name}", study, scenario, PRESETS["default"])
    evaluation = study.judged(policies, published, reference="fixed-for-gap")
    title = "What each objective costs in the other"
    return _finish(study, command, published, evaluation, title, {"objectives": OBJECTIVES})


def _pareto(study: Study, command: str) -> Path:
    """The delay penalty swept, one policy per weight and seed; the grid of fixed splits as the cloud behind."""
    published = load("smart-city")
    search, best = study.enumerated(published)
    policies: dict[str, Policy] = {BEST_FIXED: best}
    for weight in DELAY_PENALTIES:
        scenario = published.updated(**{"reward.delay_penalty": weight})
        policies |= _named(f"ppo-delay-{weight:g}", study, scenario, PRESETS["default"])
    evaluation = study.judged(policies | rules(), published)
    extra = {"weights": list(DELAY_PENALTIES)}
    return _finish(study, command, published, evaluation, "Trade-offs", extra, None, enumeration_table(search))


def _multi_cell(study: Study, command: str) -> Path:
    """One network for every cell against one for the whole city, with few and with the same features, and rules."""
    scenario, shared = load("four-cells"), PRESETS["multi-cell"]
    search, best = study.enumerated(scenario)
    policies = _named("shared", study, scenario, shared)
    policies |= _named("central", study, scenario, PRESETS["default"])
    seeing_as_much = PRESETS["default"].model_copy(update={"observation": shared.observation})
    policies |= _named("central-full", study, scenario, seeing_as_much)
    policies |= {BEST_FIXED: best, "queue-aware": study.rule(scenario)}
    policies |= rules()
    evaluation = study.judged(policies, scenario)
    curves = training_table(study.folder, ["shared", "central", "central-full"], study.budget.train_seeds)
    extra = {
        "best_fixed": [best.bandwidth, best.compute],
        "differences_to_even": differences_of(judged(evaluation.results, EVEN)),
    }
    title = "A network that all cells share"
    return _finish(study, command, scenario, evaluation, title, extra, curves, enumeration_table(search))


def _named(name: str, study: Study, scenario: Scenario, settings: TrainSettings) -> dict[str, Policy]:
    return {f"{name}-{seed}": policy for seed, policy in study.trained(name, scenario, settings).items()}


def _spread(values: list[float]) -> dict[str, float]:
    """Of one number per training seed."""
    numbers = np.array(values)
    return {
        "seeds": len(numbers),
        "mean": float(numbers.mean()),
        "sd": float(numbers.std(ddof=1)) if len(numbers) > 1 else 0.0,
        "least": float(numbers.min()),
        "most": float(numbers.max()),
    }


def _finish(
    study: Study,
    command: str,
    scenario: Scenario,
    evaluation: Evaluation,
    title: str,
    extra: Mapping[str, Any],
    curves: pd.DataFrame | None = None,
    enumeration: pd.DataFrame | None = None,
) -> Path:
    """Page, tables and summary of an evaluation."""
    runs = {name: name.rpartition("-")[0] for name in evaluation.results[scenario.name] if _is_run(study, name)}
    tables = page_tables(evaluation, runs)
    if curves is not None:
        tables["training"] = curves
    if enumeration is not None:
        tables["enumeration"] = enumeration
    learning = Learning(
        episodes=tables["episodes"],
        enumeration=tables.get("enumeration"),
        course=tables["course"],
        ages=tables["ages"],
        training=curves,
        learned=next(iter(runs.values())),
        reference=evaluation.reference,
        about=about(scenario, study, command),
    )
    page = study.write_page(learning, title)
    study.write_tables(tables)
    measures = pd.DataFrame(evaluation.summary)
    measures = measures[measures["measure"].isin(MEASURES)]
    study.write_summary(
        {
            "command": command,
            "scenario": scenario.model_dump(mode="json"),
            "returns": returns_of(evaluation),
            "differences": differences_of(evaluation),
            "measures": measures.drop(columns="scenario").to_dict("records"),
            **extra,
        }
    )
    return page


def _is_run(study: Study, name: str) -> bool:
    return name.rpartition("-")[2] in {str(seed) for seed in study.budget.train_seeds}


STUDIES: dict[str, Callable[[Study, str], Path]] = {
    "static": _static,
    "pareto": _pareto,
    "dynamic": _dynamic,
    "small-observation": _small_observation,
    "objective": _objective,
    "multi-cell": _multi_cell,
    "seeds": _seeds,
}
"""What runs an experiment in a study and returns the page's path; what they show is in recorded.toml."""
