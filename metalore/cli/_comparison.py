"""One scenario: PPO, the best fixed split, the best queue-aware rule, simple rules and the look-ahead, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from metalore.cli._experiment import say
from metalore.cli._study import (
    BEST_FIXED,
    Study,
    enumeration_table,
    page_tables,
    policy_map,
    rules,
    training_table,
)
from metalore.learn import PRESETS, TrainSettings
from metalore.learn.evaluation import Evaluation
from metalore.policies import Fixed, Policy, QueueAware
from metalore.report import Dynamic, Learning, Section, picture_from
from metalore.scenario import Burst, Ramp, Scenario, StepProfile

LARGEST_QUEUES = (300, 300)


def compare(
    study: Study,
    scenario: Scenario,
    title: str,
    command: str,
    settings: TrainSettings | None = None,
    published: bool = False,
) -> Path:
    """Run the whole comparison and write its page, tables and summary; returns the page's path.

    Args:
        settings: how PPO is trained; unset: the preset `default`.
        published: also train with the published settings.
    """
    ppo = study.trained("ppo", scenario, settings)
    plain = study.trained("ppo-published", scenario, PRESETS["published"]) if published else {}
    search, best = study.enumerated(scenario)
    rule = study.rule(scenario)
    policies: dict[str, Policy] = {f"ppo-{seed}": policy for seed, policy in ppo.items()}
    policies |= {f"ppo-published-{seed}": policy for seed, policy in plain.items()}
    policies |= {BEST_FIXED: best, "queue-aware": rule}
    policies |= rules()
    evaluation = study.judged(policies, scenario)
    kinds = {f"ppo-{seed}": "ppo" for seed in ppo} | {f"ppo-published-{seed}": "ppo-published" for seed in plain}
    tables = page_tables(evaluation, kinds)
    tables["enumeration"] = enumeration_table(search)
    tables["training"] = training_table(
        study.folder, ["ppo", *(["ppo-published"] if plain else [])], study.budget.train_seeds
    )
    if study.budget.look_ahead:
        tables["look_ahead"] = study.looked_ahead([best, rule], scenario)
    changes = changes_of(scenario)
    learning = Learning(
        episodes=tables["episodes"],
        enumeration=tables["enumeration"],
        course=tables["course"],
        ages=tables["ages"],
        maps=[
            policy_map("ppo", next(iter(ppo.values())), LARGEST_QUEUES),
            policy_map("queue-aware", rule, LARGEST_QUEUES),
        ],
        training=tables["training"],
        dynamic=Dynamic(tables["course"], changes, tables["episodes"]) if len(changes) else None,
        drawn=("ppo", BEST_FIXED, "queue-aware", "backlog-proportional"),
        about=about(scenario, study, command),
    )
    cell = picture_of_the_world(scenario, next(iter(ppo.values())), "ppo", study.budget.held_out[0])
    page = study.write_page(learning, title, extra=cell, lead=lead_of(evaluation, best, rule, tables.get("look_ahead")))
    study.write_tables(tables)
    study.write_summary(
        {
            "command": command,
            "scenario": scenario.model_dump(mode="json"),
            "best_fixed": [best.bandwidth, best.compute],
            "queue_aware": rule.text,
            "returns": returns_of(evaluation),
            "differences": differences_of(evaluation),
            "look_ahead": tables["look_ahead"].to_dict("records") if "look_ahead" in tables else None,
        }
    )
    return page


def picture_of_the_world(scenario: Scenario, policy: Policy, name: str, seed: int) -> list[Section]:
    """The world in the middle of an episode; none, with a note, if the render extra is missing."""
    from gymnasium.error import DependencyNotInstalled

    from metalore.cli import _pictures

    middle = scenario.max_steps // 2
    try:
        picture = next(frame for step, frame in enumerate(_pictures.frames(scenario, policy, seed)) if step == middle)
    except DependencyNotInstalled as missing:
        say(f"the page has no picture of the cell: {missing}")
        return []
    alt = (
        f"A map of {scenario.map.width_m:g} m by {scenario.map.height_m:g} m with {len(scenario.stations)} base "
        f"station(s), {scenario.users.count} users and {scenario.sensors.count} sensors; beside it the shares, ages "
        f"and queues up to step {middle}."
    )
    text = (
        "Users walk through the cell and send requests; sensors stand still and send the updates that keep the twin "
        "fresh. Both share one band and one server, which together cannot do all that is asked of them."
    )
    caption = f"The cell after {middle} steps of the episode with seed {seed} under {name}."
    return [Section("The cell", text, [picture_from(picture, alt, caption)])]


def about(scenario: Scenario, study: Study, command: str) -> dict[str, Any]:
    """What a page says about how it was made."""
    from metalore.cli._experiment import versions

    return {
        "scenario": scenario.model_dump(mode="json"),
        "seeds": {"first": study.budget.held_out[0], "count": study.budget.episodes},
        "versions": versions(),
        "command": command,
    }


def changes_of(scenario: Scenario) -> pd.DataFrame:
    """Columns `time_s, label`: when demand changes within an episode, and to what."""
    rows: list[tuple[float, str]] = []
    for kind, profile in (("requests", scenario.users.requests.profile), ("updates", scenario.sensors.updates.profile)):
        if isinstance(profile, StepProfile):
            rows.append((profile.at_s, f"{kind} x {profile.factor:g}"))
        elif isinstance(profile, Burst):
            rows += [
                (profile.from_s, f"{kind} x {profile.factor:g}"),
                (profile.from_s + profile.duration_s, f"{kind} x 1"),
            ]
        elif isinstance(profile, Ramp):
            rows += [(profile.from_s, f"{kind} ramp"), (profile.to_s, f"{kind} x {profile.factor:g}")]
    return pd.DataFrame(sorted(rows), columns=["time_s", "label"])


def returns_of(evaluation: Evaluation) -> dict[str, list[float]]:
    """Mean return and its interval of each policy."""
    rows = pd.DataFrame(evaluation.summary)
    rows = rows[rows["measure"] == "return"]
    return dict(zip(rows["policy"], rows[["mean", "low", "high"]].to_numpy().tolist(), strict=True))


def differences_of(evaluation: Evaluation, measure: str = "return") -> dict[str, list[float]]:
    """Paired difference of a measure to the reference and its interval, by policy."""
    rows = pd.DataFrame(evaluation.differences)
    rows = rows[rows["measure"] == measure]
    return dict(zip(rows["policy"], rows[["mean", "low", "high"]].to_numpy().tolist(), strict=True))


def lead_of(evaluation: Evaluation, best: Fixed, rule: QueueAware, ahead: pd.DataFrame | None) -> str:
    """What came out, in two or three sentences of numbers."""
    differences = differences_of(evaluation)
    learned = {name: row for name, row in differences.items() if name.startswith("ppo-") and "published" not in name}
    above, surely = (sum(row[i] >= 0 for row in learned.values()) for i in (0, 1))
    spread = _from_to([row[0] for row in learned.values()])
    text = (
        f"On {len(evaluation.seeds)} held-out episodes PPO's mean return is at least that of the best fixed split "
        f"({best.bandwidth:.3f}, {best.compute:.3f}) for {above} of {len(learned)} training seeds, and above it with "
        f"a paired 95 % interval that excludes zero for {surely}; the differences are {spread}. "
        f"The best queue-aware rule differs by {differences['queue-aware'][0]:+.0f}."
    )
    if ahead is not None:
        gains = [f"{row['policy']} {row['gain']:+.0f}" for _, row in ahead.iterrows() if "look-ahead" in row["policy"]]
        text += f" Looking ahead on copies of the world gains over the best of its bases: {', '.join(gains)}."
    return text


def _from_to(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:+.0f}" if len(values) == 1 else f"{low:+.0f} to {high:+.0f}"
