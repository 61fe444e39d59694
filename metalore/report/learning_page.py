"""The page about learning: a learned policy beside full enumeration of fixed splits and simple rules.

page = learning_page(Learning(episodes=episodes, enumeration=enumeration, course=course), "PPO and the grid")
write_page(page, "results/demo/index.html")
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from metalore.report.evaluation import difference_table, signed
from metalore.report.figures import AGES, COMPARED, COURSE, comparison_figure, course_figure
from metalore.report.intervals import decimals_for, interval, summarize, written
from metalore.report.learning_figures import (
    PARETO,
    PolicyMap,
    adaptation_figure,
    enumeration_figure,
    one_look,
    pareto_figure,
    policy_map_figure,
    training_figure,
)
from metalore.report.learning_numbers import (
    RECOVERED,
    AnyTable,
    Dynamic,
    best_split,
    frame,
    paired_differences,
    per_run,
    per_seed,
    recovery,
    working_points,
    worst_decile,
)
from metalore.report.measures import MEASURES, measure
from metalore.report.page import Listing, Page, Picture, Section, Table, picture_of
from metalore.report.simulation import (
    LEFT,
    WORK,
    Simulation,
    _course_in_words,
    distribution_section,
    setting_section,
    summary_table,
)

MORE_AGES = ("signed_gap_s", "peak_age_s", *LEFT)
FIRST_RUN = "Of a policy trained with several seeds, this is the run of the first."


@dataclass(frozen=True)
class Learning:
    """The tables of a comparison; what is None or empty is left out of the page.

    Attributes:
        episodes: `policy, seed` and a column per measure (see :data:`metalore.report.MEASURES`), one row per episode,
            on the same seeds for every policy, held out from training and search (the page says so).
            Several rows of a policy with one seed, as of PPO with five training seeds, are averaged first, with each
            run shown beside the average; `points`, `course`, `ages` and `maps` are then of the first run.
        enumeration: `bandwidth, compute` (parts for requests in [0, 1]), `objective`, and for the trade-offs `aori_s`,
            `throughput_per_s`, `served_age_s`: means over the episodes of the search, one row per split of a full grid.
        points: where policies work: `policy, bandwidth_share, compute_share` in [0, 1] and optionally `bandwidth_sd,
            compute_sd`; None: from `course`.
        course: `policy, measure, time_s, mean, sd, first`; `first` is the episode that is drawn.
        ages: `policy, measure, value_s, requests, generated`: how often requests had each age.
        maps: what policies do as a function of both queues.
        training: `policy, seed, steps, return`, one row per evaluation; runs with the published settings under a
            `policy` of their own.
        baselines: `policy, mean, low, high` of returns to compare training with, on the same seeds as its evaluation.
        dynamic: changing traffic.
        learned, reference: the policy in question and the one it is judged by.
        objective: the measure that `enumeration` is about.
        drawn: policies in the figures over time, where many lines hide each other; empty: all.
        about: as in :class:`metalore.report.Simulation`: `scenario`, `overrides`, `seeds`, `versions`, `command`,
            each of which may be missing.
    """

    episodes: AnyTable | None = None
    enumeration: AnyTable | None = None
    points: AnyTable | None = None
    course: AnyTable | None = None
    ages: AnyTable | None = None
    maps: Sequence[PolicyMap] = ()
    training: AnyTable | None = None
    baselines: AnyTable | None = None
    dynamic: Dynamic | None = None
    learned: str = "ppo"
    reference: str = "best-fixed"
    objective: str = "return"
    drawn: Sequence[str] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def runs(self) -> pd.DataFrame | None:
        """Means of single training runs, see :func:`per_run`; None if no policy has several."""
        runs = None if self.episodes is None else per_run(self.episodes)
        return runs if runs is not None and len(runs) else None

    def note(self, text: str) -> str:
        """A caption about what is drawn of one run only; says so if there are others."""
        return text if self.runs is None else f"{text} {FIRST_RUN}"

    @property
    def policies(self) -> list[str]:
        """Every policy that is on the page, in the order of the tables."""
        dynamic = [self.dynamic.episodes, self.dynamic.course] if self.dynamic else []
        tables = [self.episodes, self.course, self.ages, self.points, *dynamic, self.training, self.baselines]
        names = [name for table in tables if table is not None for name in frame(table)["policy"].unique()]
        split = [self.reference] if self.enumeration is not None else []
        return list(dict.fromkeys([*names, *split, *(seen.policy for seen in self.maps)]))

    def of_drawn(self, table: AnyTable) -> pd.DataFrame:
        """The rows of the policies in `drawn`."""
        rows = frame(table)
        return rows[rows["policy"].isin(list(self.drawn))] if self.drawn else rows


def learning_page(learning: Learning, title: str, extra: Sequence[Section] = (), lead: str = "") -> Page:
    """The page.

    Args:
        learning: what is known.
        title: its title.
        extra: sections before what was run again.
        lead: its first paragraphs; empty: the comparison in words.
    """
    summary = None if learning.episodes is None else summarize(per_seed(learning.episodes))
    with one_look(learning.policies):
        parts = [
            _setting(learning),
            _comparison(learning, summary),
            _enumeration(learning),
            _trade_offs(learning, summary),
            _distributions(learning),
            _one_episode(learning),
            _decisions(learning),
            _training(learning),
            _adaptation(learning),
            _details(summary),
            *extra,
            _again(learning),
        ]
    versions = ", ".join(f"{name} {version}" for name, version in learning.about.get("versions", {}).items())
    sections = [part for part in parts if part is not None]
    return Page(title, lead or _lead(learning), sections, f"Made with {versions}." if versions else "")


# -- sections ----------------------------------------------------------------------------------------------------------


def _known(table: pd.DataFrame, measures: Sequence[str]) -> list[str]:
    """Those measures that a long table has."""
    there = set(table["measure"])
    return [name for name in measures if name in there]


def _lead(learning: Learning) -> str:
    said = []
    if learning.episodes is not None:
        said.append(_verdict(learning, learning.episodes, "B"))
    if learning.dynamic is not None and learning.dynamic.episodes is not None:
        said.append(_verdict(learning, learning.dynamic.episodes, "Under changing traffic, b"))
    return " ".join(said) or "Fixed splits, simple rules and learned policies of sharing an edge cell."


def _verdict(learning: Learning, episodes: AnyTable, where: str) -> str:
    """How the policy in question fares against the reference, with numbers."""
    rows, name = per_seed(episodes), learning.objective
    ours, theirs = (rows[rows["policy"] == policy] for policy in (learning.learned, learning.reference))
    if name not in rows or ours.empty or theirs.empty:
        return ""
    means = [float(part[name].mean()) for part in (ours, theirs)]
    difference = paired_differences(rows, learning.reference, [name]).set_index("policy").loc[learning.learned]
    low, high = float(difference["low"]), float(difference["high"])
    better = measure(name).better
    gain = 0 if low <= 0 <= high or math.isnan(low) else 1 if (low > 0) == (better != "less") else -1
    decimals = decimals_for(means)
    outcome = {1: "is better than", 0: "cannot be told from", -1: "is worse than"}[gain]
    return (
        f"{where}y mean {measure(name).label.lower()}, {learning.learned} ({written(means[0], decimals)}) {outcome} "
        f"{learning.reference} ({written(means[1], decimals)}) on the same {int(difference['episodes']):,} seeds: "
        f"paired difference {signed(float(difference['mean']), decimals)}, 95 % interval "
        f"{interval(low, high, decimals)}."
    )


def _setting(learning: Learning) -> Section | None:
    if not {"scenario", "overrides", "seeds"} <= set(learning.about):
        return None
    nothing = pd.DataFrame()
    return setting_section(Simulation(learning.about, nothing, nothing, nothing))


def _comparison(learning: Learning, summary: pd.DataFrame | None) -> Section | None:
    if learning.episodes is None or summary is None:
        return None
    shown = _known(summary, COMPARED)
    text = (
        "Every policy met the same episodes, on seeds that neither training nor search had seen. Differences are taken "
        "episode by episode, so that the luck of an episode cancels. The published AoSI is small also when request and "
        "update are equally late, so the age of served data and the age at the twin stand beside it."
    )
    runs = learning.runs
    caption = "Mean per episode and its 95 % bootstrap interval; the best mean is bold."
    marks = "Means (marks) with 95 % bootstrap intervals (lines, where they are wider than the mark)."
    if runs is not None:
        caption += " Of a policy trained with several seeds, the mean over them; its interval is over episodes only."
        marks += " Ticks below a mark: each training run by itself."
    means = summary_table(summary, shown, caption)
    worst = worst_decile(learning.episodes, shown)
    caption = "Mean of the worst tenth of episodes, for each measure by itself, and its interval; the best is bold."
    content: list[Picture | Table | Listing] = [
        means,
        picture_of(
            comparison_figure(summary, shown, runs=runs), _means_in_words(summary, shown), marks,
        ),
        *_paired_table(learning.episodes, learning.reference, shown),
        summary_table(worst, _known(worst, shown), caption),
    ]  # fmt: skip
    return Section("Comparison", text, content)


def _means_in_words(summary: pd.DataFrame, measures: Sequence[str]) -> str:
    said = []
    for name in measures:
        part = summary[summary["measure"] == name]
        means = part["mean"].to_numpy(float) * measure(name).scale
        decimals = decimals_for(means)
        values = ", ".join(f"{p} {written(m, decimals)}" for p, m in zip(part["policy"], means, strict=True))
        said.append(f"{measure(name).title}: {values}.")
    return "Means of each policy. " + " ".join(said)


def _paired_table(episodes: AnyTable, reference: str, measures: Sequence[str]) -> list[Table]:
    """The table of paired differences; none where nothing can be paired."""
    names = list(frame(episodes)["policy"].unique())
    if reference not in names or len(names) < 2:
        return []
    found = paired_differences(episodes, reference, measures)
    caption = (
        f"Paired differences to {reference}, and their 95 % bootstrap intervals; bold where zero lies outside. "
        "More return and throughput are better, and lower ages."
    )
    return [difference_table(found, measures, caption)]


def _enumeration(learning: Learning) -> Section | None:
    if learning.enumeration is None:
        return None
    grid, name = frame(learning.enumeration), learning.objective
    points = learning.points
    if points is None and learning.course is not None:
        points = working_points(learning.course)
    top = grid.iloc[best_split(grid, name)]
    values, what = grid[name].to_numpy(float), measure(name)
    near = int((np.abs(values - top[name]) <= 0.05 * abs(top[name])).sum())
    decimals = decimals_for([top[name] * what.scale])
    text = (
        f"All {len(grid):,} splits of a grid ran through the same episodes. The best one gives requests "
        f"{top['bandwidth'] * 100:.3g} % of the bandwidth and {top['compute'] * 100:.3g} % of the compute, with a mean "
        f"{what.label.lower()} of {written(top[name] * what.scale, decimals)}{f' {what.unit}' if what.unit else ''}; "
        f"{near} of {len(grid):,} splits are within 5 % of that. The best of many looks better than it is on the "
        "episodes it was chosen by; the comparison above is on others."
    )
    seen = [] if points is None else [
        f"{row['policy']} at {row['bandwidth_share']:.0%} of bandwidth and {row['compute_share']:.0%} of compute"
        for _, row in frame(points).iterrows()
    ]  # fmt: skip
    figure = enumeration_figure(grid, points, objective=name, best=learning.reference, spread=(learning.learned,))
    caption = (
        f"Left: mean {what.label.lower()} of each fixed split (colour), the lines within 5 % (solid) and 10 % (dotted) "
        "of the top, the best split (ring), and the mean shares that other policies chose (marks); the cross is one "
        f"standard deviation of {learning.learned} over time and seeds. Where the colour bar ends in a point, a long "
        "tail is cut off. Right: the best that can be reached for each share."
    )
    alt = f"Heat map of {what.label.lower()} over both shares, with its top. Policies: {'; '.join(seen) or 'none'}."
    return Section("Full enumeration", text, [picture_of(figure, alt, learning.note(caption))])


def _trade_offs(learning: Learning, summary: pd.DataFrame | None) -> Section | None:
    wanted = ("aori_s", *PARETO)
    if summary is None or set(_known(summary, wanted)) != set(wanted):
        return None
    grid = frame(learning.enumeration) if learning.enumeration is not None else None
    cloud = grid if grid is not None and set(wanted) <= set(grid) else None
    dots = "every fixed split of the grid (dots) and their front (line)" if cloud is not None else "their front (line)"
    caption = (
        f"Throughput and freshness against delay: policies (marks, with 95 % intervals), {dots}. The front joins "
        "those that no other one beats in both measures of a panel."
    )
    text = ""
    if cloud is not None:
        caption += (
            " Splits far worse than every policy lie outside. Splits met the seeds of the search, and policies others."
        )
        text = "A mark clearly beyond the front of the fixed splits is a policy that does what none of them does."
    if (runs := learning.runs) is not None:
        caption += (
            " Small dots: each training run by itself; a mean of runs that differ much may lie where none of them is."
        )
    picture = picture_of(pareto_figure(summary, cloud, runs=runs), _means_in_words(summary, wanted), caption)
    return Section("Throughput, delay and freshness", text, [picture])


def _distributions(learning: Learning) -> Section | None:
    if learning.ages is None:
        return None
    nothing = pd.DataFrame()
    section = distribution_section(Simulation(learning.about, nothing, nothing, frame(learning.ages)))
    return replace(section, text=learning.note(section.text))


def _one_episode(learning: Learning) -> Section | None:
    if learning.course is None:
        return None
    course = learning.of_drawn(learning.course)
    one = course.assign(mean=course["first"] if "first" in course else course["mean"], sd=math.nan)
    one = one[one["mean"].notna()]
    shown = _known(one, COURSE)
    noisy = [*AGES, "reward"]
    window = max(1, len(one["time_s"].unique()) // 40)
    smooth = one.groupby(["policy", "measure"], sort=False, observed=True)["mean"].transform(
        lambda values: values.rolling(window, center=True, min_periods=1).mean()
    )
    one = one.assign(mean=one["mean"].where(~one["measure"].isin(noisy), smooth))
    caption = "One episode, the same for all policies. AoRI and AoSI are those of the requests completed then."
    if window > 1:
        caption += f" Ages and rewards are running means over {window} points."
    text = "A queue or an age that still grows at the end says that the cell is overloaded for that kind of job."
    picture = picture_of(course_figure(one, shown), _course_in_words(one), learning.note(caption))
    return Section("One episode", text, [picture])


def _decisions(learning: Learning) -> Section | None:
    if not learning.maps:
        return None
    visits = any(seen.visits is not None for seen in learning.maps)
    caption = (
        "Shares for requests as a function of both queues (axes logarithmic, from zero; white lines at 25, 50 and "
        "75 %)." + (" Nine of ten decisions were taken within the red line." if visits else "")
    )
    said = [
        f"{seen.policy} gives requests {np.min(seen.bandwidth_share):.0%} to {np.max(seen.bandwidth_share):.0%} of the "
        f"bandwidth and {np.min(seen.compute_share):.0%} to {np.max(seen.compute_share):.0%} of the compute"
        for seen in learning.maps
    ]
    text = "A policy that sees nothing but the two queue lengths is a pair of surfaces, so all of it can be drawn. " + (
        "Outside the red line it hardly ever was, so that little can be read from what it does there." if visits else ""
    )
    picture = picture_of(policy_map_figure(learning.maps), f"Heat maps: {'; '.join(said)}.", learning.note(caption))
    return Section("What the policy does", text, [picture])


def _training(learning: Learning) -> Section | None:
    if learning.training is None:
        return None
    runs = frame(learning.training)
    last = runs.sort_values("steps").groupby(["policy", "seed"], sort=False, observed=True)["return"].last()
    said = [
        f"{policy} ends at {written(float(ends.mean()), decimals_for(ends.to_numpy(float)))} over {len(ends)} seed"
        f"{'s' if len(ends) > 1 else ''}"
        for policy, ends in last.groupby(level="policy", sort=False)
    ]
    caption = (
        "Return of the deterministic policy over training: one faint line per seed, their mean (bold) and one standard "
        "deviation over seeds (band); a seed that stopped early keeps its last value."
    ) + (" Dashed: policies that need no training, with 95 % intervals." if learning.baselines is not None else "")
    picture = picture_of(training_figure(runs, learning.baselines), f"Training curves: {'; '.join(said)}.", caption)
    return Section("Training", "", [picture])


def _adaptation(learning: Learning) -> Section | None:
    dynamic = learning.dynamic
    if dynamic is None:
        return None
    course = learning.of_drawn(dynamic.course)
    took = recovery(Dynamic(course, dynamic.changes, None, dynamic.tolerance, dynamic.hold, dynamic.smoothing))
    labels = list(dict.fromkeys(zip(took["time_s"], took["change"], strict=True)))
    header = ["Policy", *(f"{label}, at {time:g} s" for time, label in labels)]
    caption = (
        f"seconds after each change until the mean over episodes, smoothed over {dynamic.smoothing} points, is within "
        f"{dynamic.tolerance * 100:.3g} % of its new steady mean (that of the last quarter before the next change; "
        f"of a queue, at least of one job) and stays for {dynamic.hold} points. A dash: not before the next change."
    )
    tables = []
    for name in _known(took, RECOVERED):
        part = took[took["measure"] == name].groupby("policy", sort=False, observed=True)["recovery_s"]
        rows = [[str(policy), *(written(value, 1) for value in values)] for policy, values in part]
        tables.append(Table(f"Time to recover, {measure(name).label.lower()}: {caption}", header, rows))
        caption = "the same definition."
    pairs = [] if dynamic.episodes is None else _paired_table(dynamic.episodes, learning.reference, COMPARED)
    figure = adaptation_figure(course, dynamic.changes)
    note = "Means over episodes (lines) and one standard deviation (bands); vertical lines: the traffic changes."
    text = "A fixed split keeps its shares when the traffic changes; a policy that sees the queues can follow them."
    picture = picture_of(figure, _course_in_words(course), learning.note(note))
    return Section("Changing traffic", text, [picture, *pairs, *tables])


def _details(summary: pd.DataFrame | None) -> Section | None:
    if summary is None:
        return None
    rows = [[MEASURES[name].title, MEASURES[name].meaning] for name in _known(summary, (*COMPARED, *MORE_AGES, *WORK))]
    tables = [Table("What the measures mean.", ["Measure", "Meaning"], rows, False)]
    if other := _known(summary, MORE_AGES):
        tables.append(summary_table(summary, other, "Other ages, what still waits at the end, and fairness."))
    if work := _known(summary, WORK):
        tables.append(summary_table(summary, work, "Work done per episode."))
    return Section("In detail", "Means with 95 % bootstrap intervals.", tables)


def _again(learning: Learning) -> Section | None:
    if not learning.about.get("command"):
        return None
    text = "The same command gives the same numbers, on any number of threads."
    return Section("Run it again", text, [Listing(learning.about["command"])])
