"""The page about an evaluation: policies compared pair by pair on the same held-out episodes of scenarios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from metalore.report.intervals import decimals_for, interval, written
from metalore.report.measures import JUDGED, measure
from metalore.report.page import Cell, Listing, Page, Section, Table
from metalore.report.simulation import (
    Simulation,
    comparison_section,
    course_section,
    detail_section,
    distribution_section,
    lead,
    meaning_section,
    setting_section,
    summary_table,
)

AGES = ("return", "aori_s", "aosi_s", "served_age_s", "twin_age_s", "request_waiting_age_s", "update_waiting_age_s")
WORK = (
    "throughput_per_s",
    "requests_late_share",
    "requests_lost_share",
    "updates_lost_share",
    "compute_utilisation",
    "band_utilisation",
    "jain_fairness",
)
TAIL = ("return", "return_worst_tenth", "requests_late_share", "requests_lost_share", "updates_lost_share")


def evaluation_page(runs: Sequence[Simulation], differences: pd.DataFrame, title: str) -> Page:
    """The page.

    Args:
        runs: one for each scenario. Beside what a simulation has, `about` may hold `judged`: by policy, where it comes
            from (`given`, and for trained ones `sha256` of the weights).
        differences: `scenario, policy, reference, measure, mean, low, high, episodes`.
        title: of the page.
    """
    sections: list[Section] = []
    leads = []
    for run in runs:
        own = _of(differences, run)
        leads.append(" ".join([lead(run), *verdicts(own)]))
        parts = [
            judgement_section(run, own),
            comparison_section(run),
            course_section(run),
            distribution_section(run),
            detail_section(run),
            setting_section(run),
        ]
        prefix = f"{run.about['scenario']['name']}: " if len(runs) > 1 else ""
        sections += [replace(part, title=prefix + part.title) for part in parts]
    about = runs[0].about
    footer = "Made with " + ", ".join(f"{name} {version}" for name, version in about["versions"].items()) + "."
    return Page(title, "\n\n".join(leads), [*sections, _meaning(), _again(about)], footer)


def verdicts(differences: pd.DataFrame) -> list[str]:
    """Who earns more than the reference, and how sure that is, in a sentence each."""
    said = []
    own = differences[differences["measure"] == "return"]
    for row in own.to_dict("records"):
        low, high, mean = (float(row[name]) for name in ("low", "high", "mean"))
        decimals = decimals_for([mean])
        span = interval(low, high, decimals)
        if low > 0 or high < 0:
            more = "more" if mean > 0 else "less"
            amount, bounds = abs(mean), span if mean > 0 else interval(-high, -low, decimals)
            said.append(
                f"Episode by episode, {row['policy']} returns {written(amount, decimals)} {bounds} {more} than "
                f"{row['reference']}."
            )
        else:
            said.append(f"The episodes leave open whether {row['policy']} or {row['reference']} returns more.")
    return said


def judgement_section(run: Simulation, differences: pd.DataFrame) -> Section:
    """Paired differences, the worst tenth, and where the policies come from."""
    text = (
        "All policies met the same episodes, so that differences are taken episode by episode: what an episode brings "
        "to all of them drops out. Nothing was trained or chosen on these episodes. The worst tenth is the mean return "
        "of the tenth of the episodes in which a policy did worst."
    )
    if not run.about.get("held_out", True):
        text = text.replace(
            "Nothing was trained or chosen on these episodes.",
            "Some of these episodes were used for training or for choosing a policy, which flatters it.",
        )
    content = []
    if len(differences):
        reference = differences["reference"].iloc[0]
        caption = (
            f"Mean difference to {reference} in the same episodes and its 95 % bootstrap interval; bold where that "
            "excludes zero, which one in twenty does by luck."
        )
        content = [difference_table(differences, names, caption) for names in (AGES, WORK)]
    content.append(summary_table(run.summary, TAIL, "The mean return, that of the worst tenth, and delayed and lost."))
    if "judged" in run.about:
        content.append(_origins(run.about["judged"]))
    return Section("Judgement", text, content)


def difference_table(differences: pd.DataFrame, measures: Sequence[str], caption: str) -> Table:
    """Policies as rows, measures as columns; each cell a paired difference with its interval."""
    policies = list(differences["policy"].unique())
    columns = []
    for name in measures:
        part = differences[differences["measure"] == name].set_index("policy").loc[policies]
        columns.append(_column(part, measure(name).scale))
    rows = [[policy, *(column[i] for column in columns)] for i, policy in enumerate(policies)]
    return Table(caption, ["Policy", *(measure(name).title for name in measures)], rows)


def _column(part: pd.DataFrame, scale: float) -> list[Cell]:
    means, lows, highs = (part[column].to_numpy(float) * scale for column in ("mean", "low", "high"))
    decimals = decimals_for(means)
    return [
        Cell(signed(mean, decimals), interval(low, high, decimals), bool(low > 0 or high < 0))
        for mean, low, high in zip(means, lows, highs, strict=True)
    ]


def signed(value: float, decimals: int) -> str:
    """A difference for people: +3.1, −0.58 or 0.00."""
    text = written(value, decimals)
    return f"+{text}" if value > 0 and text.strip("0.,") else text


def _of(differences: pd.DataFrame, run: Simulation) -> pd.DataFrame:
    return differences[differences["scenario"] == run.about["scenario"]["name"]]


def _origins(judged: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = [[name, of["given"], str(of.get("sha256", ""))[:16]] for name, of in judged.items()]
    return Table("Where the policies come from.", ["Policy", "Given as", "Weights (SHA-256)"], rows, False)


def _meaning() -> Section:
    section = meaning_section()
    (known,) = section.content
    assert isinstance(known, Table)
    rows = [*known.rows, *([measure(name).title, measure(name).meaning] for name in JUDGED)]
    return replace(section, content=[replace(known, rows=rows)])


def _again(about: Mapping[str, Any]) -> Section:
    text = (
        "The same command gives the same numbers, on any number of threads. All numbers behind this page lie beside "
        "it: evaluation.parquet (a row per scenario, policy and episode), course.parquet, ages.parquet, summary.json, "
        "and the scenarios in scenarios/."
    )
    return Section("Run it again", text, [Listing(about["command"])])
