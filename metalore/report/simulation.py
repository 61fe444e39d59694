"""The page about a simulation: policies compared on the same episodes of one scenario."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from metalore.report.figures import (
    COMPARED,
    CROWDED,
    comparison_figure,
    course_figure,
    distribution,
    distribution_figure,
)
from metalore.report.intervals import decimals_for, interval, written
from metalore.report.measures import MEASURES, measure
from metalore.report.page import Cell, Listing, Page, Section, Table, picture_of

AGES = ("aori_s", "aosi_s", "signed_gap_s", "served_age_s", "twin_age_s", "peak_age_s")
WORK = (
    "requests_completed",
    "requests_late_share",
    "requests_lost",
    "updates_completed",
    "updates_lost",
    "compute_utilisation",
    "band_utilisation",
)
LEFT = ("request_waiting_age_s", "update_waiting_age_s", "jain_fairness")
TIMES = tuple(
    f"{kind}_{part}_s"
    for kind in ("request", "update")
    for part in ("device_queue", "transmission", "server_queue", "processing")
)


@dataclass(frozen=True)
class Simulation:
    """The result tables of a simulation and what it was.

    Attributes:
        about: what was run: `scenario` (nested settings), `overrides`, `seeds` (`first`, `count`), `policies`,
            `versions`, `command`.
        summary: see :func:`metalore.report.intervals.summarize`.
        course: `policy, measure, step, time_s, mean, sd, episodes, first`.
        ages: `policy, measure, value_s, requests, generated`.
    """

    about: Mapping[str, Any]
    summary: pd.DataFrame
    course: pd.DataFrame
    ages: pd.DataFrame

    @property
    def policies(self) -> list[str]:
        """Names in the order they were given."""
        return list(self.summary["policy"].unique())


def simulation_page(run: Simulation, title: str, extra: Sequence[Section] = ()) -> Page:
    """The page; `extra` sections come after what was run."""
    sections = [
        setting_section(run),
        *extra,
        comparison_section(run),
        course_section(run),
        distribution_section(run),
        detail_section(run),
        meaning_section(),
        again_section(run),
    ]
    return Page(title, lead(run), sections, _footer(run))


def lead(run: Simulation) -> str:
    """What was done and what came out, in a few sentences."""
    scenario, seeds = run.about["scenario"], run.about["seeds"]
    count = len(run.policies)
    episodes = f"{seeds['count']:,} episode{'s' if seeds['count'] != 1 else ''} of {scenario['max_steps']:,} steps"
    done = (
        f"{_counted(count)} ways of sharing an edge cell" if count > 1 else f"The policy {run.policies[0]}"
    ) + f" ran through the same {episodes} of the scenario {scenario['name']}."
    return " ".join([done, *(_winner(run.summary, name) for name in ("return", "aori_s", "twin_age_s") if count > 1)])


def _counted(count: int) -> str:
    words = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")
    return words[count] if count < len(words) else str(count)


def _winner(summary: pd.DataFrame, name: str) -> str:
    """Who did best in a measure, and how sure that is."""
    what = measure(name)
    known = summary[(summary["measure"] == name) & summary["mean"].notna()]
    ranked = known.sort_values("mean", ascending=what.better == "less", kind="stable")
    if len(ranked) < 2:
        return ""
    best, second = ranked.iloc[0], ranked.iloc[1]
    decimals = decimals_for(ranked["mean"].to_numpy())
    unit = f" {what.unit}" if what.unit else ""
    clear = best["low"] > second["high"] if what.better == "more" else best["high"] < second["low"]
    extreme = "highest" if what.better == "more" else "lowest"
    label = what.label if what.label.isupper() or what.label.startswith("Ao") else what.label.lower()
    sentence = f"The {extreme} mean {label} is that of {best['policy']}, {written(best['mean'], decimals)}{unit}"
    return sentence + ("." if clear else f", with an interval that touches that of {second['policy']}.")


def setting_section(run: Simulation) -> Section:
    """What was simulated."""
    s, seeds = run.about["scenario"], run.about["seeds"]
    last = seeds["first"] + seeds["count"] - 1
    numbers = f"seeds, {seeds['first']} to {last}," if seeds["count"] > 1 else f"seed, {last},"
    text = (
        f"{s['description']} Every policy met the same {numbers} and so the same demand, places and walks; they "
        "differ in nothing but the shares of bandwidth and compute that they give to requests in each step. Updates "
        "get the rest."
    )
    if run.about["overrides"]:
        changed = ", ".join(f"{path} = {value}" for path, value in run.about["overrides"].items())
        text += f"\n\nChanged from the scenario as it comes: {changed}."
    rows = [[name, value] for name, value in _settings(s)]
    return Section("What was run", text, [Table(f"The scenario {s['name']}.", ["Setting", "Value"], rows, False)])


def _settings(s: Mapping[str, Any]) -> list[tuple[str, str]]:
    stations, users, sensors, reward = s["stations"], s["users"], s["sensors"], s["reward"]
    band = sorted({station["bandwidth_hz"] / 1e6 for station in stations})
    compute = sorted({station["compute_gcycle_s"] for station in stations})
    requests, updates = users["requests"], sensors["updates"]
    each = " each" if len(stations) > 1 else ""
    return [
        ("Map", f"{s['map']['width_m']:g} m × {s['map']['height_m']:g} m"),
        ("Time", f"{s['max_steps']:,} steps of {s['step_s']:g} s"),
        ("Stations", f"{len(stations)}; {_range(band)} MHz and {_range(compute)} Gcycle/s{each}"),
        ("Radio", f"{s['radio']['path_loss']} at {s['radio']['carrier_mhz']:g} MHz, {s['radio']['scheduler']}"),
        ("Users", f"{users['count']:,}, {users['mobility']['kind']}; a request with probability "
         f"{requests['probability']:g} a step, {_size(requests)}"),
        ("Sensors", f"{sensors['count']:,}; {_timing(updates['timing'])}, {_size(updates)}"),
        ("Demand", f"requests {requests['profile']['kind']}, updates {updates['profile']['kind']}"),
        ("Reward", f"{reward['sync_reward']:g} · {reward['discount']:g}^AoSI a request, "
         f"−{reward['delay_penalty']:g} if its AoRI exceeds {reward['delay_threshold_s']:g} s"),
    ]  # fmt: skip


def _range(values: Sequence[float]) -> str:
    return f"{values[0]:g}" if len(values) == 1 else f"{values[0]:g} to {values[-1]:g}"


def _size(job: Mapping[str, Any]) -> str:
    return f"{job['data_mbit']['mean']:g} Mbit and {job['compute_gcycle']['mean']:g} Gcycle on average"


def _timing(timing: Mapping[str, Any]) -> str:
    if timing["kind"] != "periodic":
        return f"an update with probability {timing['probability']:g} a step"
    period = timing["period_steps"]
    values = sorted(set(period)) if isinstance(period, list) else [period]
    return "an update every step" if values == [1] else f"an update every {_range(values)} steps"


def comparison_section(run: Simulation) -> Section:
    """Who does how well."""
    text = (
        "Means over episodes with 95 % bootstrap intervals. The published AoSI is small also when request and update "
        "are equally late, so the age of served data and the age at the twin stand beside it. Ages of requests "
        "count completed ones only; the distribution functions below count all."
    )
    caption = "Mean per episode and its 95 % bootstrap interval; the best mean of each column is bold."
    table = summary_table(run.summary, COMPARED, caption)
    picture = picture_of(
        comparison_figure(run.summary),
        _comparison_in_words(run.summary),
        "Means (marks) with 95 % bootstrap intervals (lines, where they are wider than the mark). "
        "The arrow says which way is better.",
    )
    return Section("Comparison", text, [table, picture])


def _comparison_in_words(summary: pd.DataFrame) -> str:
    said = []
    for name in COMPARED:
        part = summary[summary["measure"] == name]
        decimals = decimals_for(part["mean"].to_numpy())
        values = ", ".join(f"{p} {written(m, decimals)}" for p, m in zip(part["policy"], part["mean"], strict=True))
        said.append(f"{measure(name).title}: {values}.")
    return "Means of each policy. " + " ".join(said)


def summary_table(summary: pd.DataFrame, measures: Sequence[str], caption: str) -> Table:
    """Policies as rows, measures as columns; each cell a mean with its interval."""
    columns = [_column(summary[summary["measure"] == name], name) for name in measures]
    policies = list(summary["policy"].unique())
    rows = [[policy, *(column[i] for column in columns)] for i, policy in enumerate(policies)]
    return Table(caption, ["Policy", *(measure(name).title for name in measures)], rows)


def _column(part: pd.DataFrame, name: str) -> list[Cell]:
    better, scale = measure(name).better, measure(name).scale
    means, lows, highs = (part[column].to_numpy(float) * scale for column in ("mean", "low", "high"))
    decimals = decimals_for(means)
    texts = [written(mean, decimals) for mean in means]
    known = means[~np.isnan(means)]
    best = written(float(known.max() if better == "more" else known.min()), decimals) if better and len(known) else None
    if len(set(texts)) < 2:
        best = None
    notes = [interval(low, high, decimals) for low, high in zip(lows, highs, strict=True)]
    return [Cell(text, note, text == best) for text, note in zip(texts, notes, strict=True)]


def course_section(run: Simulation) -> Section:
    """What happens within an episode."""
    where = "for queues and ages " if len(run.policies) >= CROWDED else ""
    caption = (
        f"The course of an episode: mean over episodes (lines) and {where}one standard "
        " deviation to both sides (bands). "
        "Queues are those at the stations; AoRI and AoSI are means over the requests completed in a step."
    )
    return Section(
        "Course of an episode",
        "A queue or an age that still grows at the end says that the cell is overloaded for that kind of job.",
        [picture_of(course_figure(run.course), _course_in_words(run.course), caption)],
    )


def _course_in_words(course: pd.DataFrame) -> str:
    said = []
    for name in ("request_queue", "update_queue", "twin_age_s"):
        last = course[course["measure"] == name].groupby("policy", sort=False, observed=True)["mean"].last()
        said.append(f"{measure(name).title}: {', '.join(f'{p} {written(v, 1)}' for p, v in last.items())}.")
    return "Queues, ages, reward and shares over an episode, a line per policy. At its end: " + " ".join(said)


def distribution_section(run: Simulation) -> Section:
    """How ages are spread."""
    said = []
    for policy, seen in run.ages[run.ages["measure"] == "aori_s"].groupby("policy", sort=False, observed=True):
        said.append(f"{policy} {distribution(seen)[1][-1]:.0%}")
    return Section(
        "Distribution of ages",
        "Each curve gives the share of all requests that were answered with at most that age. It ends at the share "
        "that was answered within the episode, so a policy that starves requests cannot hide it.",
        [
            picture_of(
                distribution_figure(run.ages),
                f"Distribution functions of AoRI and AoSI. Share of requests answered: {', '.join(said) or 'none'}.",
                "Distribution functions of AoRI and AoSI over all requests of all episodes.",
            )
        ],
    )


def detail_section(run: Simulation) -> Section:
    """All other measures."""
    summary = run.summary
    tables = [
        summary_table(summary, AGES, "Ages of what was served, and of what the twin knows."),
        summary_table(summary, WORK, "Work done per episode, and what was used for it."),
        summary_table(summary, LEFT, "Ages of the jobs still in the system at the end, and fairness between users."),
        summary_table(summary, TIMES[:4], "Where the time of completed requests went."),
        summary_table(summary, TIMES[4:], "Where the time of completed updates went."),
    ]
    return Section("In detail", _undefined(run), tables)


def _undefined(run: Simulation) -> str:
    count = run.about["seeds"]["count"]
    short = run.summary[(run.summary["measure"] == "aori_s") & (run.summary["episodes"] < count)]
    text = "Means with 95 % bootstrap intervals, over the episodes in which a measure is defined."
    for policy, episodes in zip(short["policy"], short["episodes"], strict=True):
        text += f" Under {policy}, requests were completed in {episodes} of {count} episodes."
    return text


def meaning_section() -> Section:
    """What the measures are."""
    shown = [*COMPARED, *AGES, *LEFT, "requests_late_share", "compute_utilisation", "band_utilisation"]
    rows = [[MEASURES[name].title, MEASURES[name].meaning] for name in dict.fromkeys(shown)]
    return Section("Measures", "", [Table("What the measures mean.", ["Measure", "Meaning"], rows, False)])


def again_section(run: Simulation) -> Section:
    """How to run it again."""
    text = (
        "The same command gives the same numbers, on any number of threads. All numbers behind this page lie beside "
        "it: episodes.parquet (a row per episode), course.parquet, ages.parquet, summary.json and scenario.toml."
    )
    return Section("Run it again", text, [Listing(run.about["command"])])


def _footer(run: Simulation) -> str:
    return "Made with " + ", ".join(f"{name} {version}" for name, version in run.about["versions"].items()) + "."
