"""The page about recommenders for the size of zones: what they cost, what they spoil, how they change and why.

page = autoscale_page(compared, about)
write_page(page, "results/autoscale/index.html")
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from metalore.report.autoscale_figures import (
    CHANGES,
    SLACK,
    cost_figure,
    is_foresight,
    reason_figure,
    rows_figure,
    zone_figure,
)
from metalore.report.evaluation import signed
from metalore.report.intervals import decimals_for, interval, written
from metalore.report.page import Cell, Listing, Page, Section, Table, picture_of

SPOILED = (("slo_violations", "SLO violations (%)", 100.0), ("lost_requests", "Lost requests (%)", 100.0))
PAID = (
    ("cpu_cost", "CPU cost", 1.0),
    ("memory_cost", "Memory cost", 1.0),
    ("core_hours", "Core-hours", 1.0),
    ("gb_hours", "GB-hours", 1.0),
)
_AGAIN = """The same command gives the same numbers. What is behind this page lies beside it: results.csv (a row per
recommender and seed), reasons.csv, series/ (what zones had, used and how late they were, of the first seed) and
summary.json."""


@dataclass(frozen=True)
class Autoscaling:
    """Recommenders in the same cities, as tables.

    Attributes:
        city: its name.
        text: what was run, in words.
        cities: how many, one for each seed.
        target_ms: mean latency of a zone and interval that is still good.
        clock_s: seconds since Monday 00:00 at time 0.
        reference: whom differences are taken to.
        meanings: of measures, in words.
        summary: `recommender, measure, mean, low, high`.
        differences: likewise, to the reference in the same cities; empty where there are none.
        reasons: `recommender, code, part` of all decisions.
        series: `recommender` and the columns of :data:`metalore.autoscale.comparison.Series`, of the first seed.
    """

    city: str
    text: str
    cities: int
    target_ms: float
    clock_s: float
    reference: str
    meanings: Mapping[str, str]
    summary: pd.DataFrame
    differences: pd.DataFrame
    reasons: pd.DataFrame
    series: pd.DataFrame

    def mean(self, recommender: str, measure: str) -> float:
        """Of a recommender over the cities."""
        row = (self.summary["recommender"] == recommender) & (self.summary["measure"] == measure)
        return float(self.summary.loc[row, "mean"].iloc[0])

    @property
    def recommenders(self) -> list[str]:
        """In the order in which they were given."""
        return list(self.summary["recommender"].unique())

    def shown_zones(self) -> dict[str, str]:
        """The zones with the most violations and with the median number, over all recommenders: by which they are."""
        counts = self.series.groupby("zone", sort=False)["violated"].sum().sort_values(ascending=False, kind="stable")
        zones = {"most": str(counts.index[0]), "median": str(counts.index[len(counts) // 2])}
        return zones if len(counts) > 1 else {"most": zones["most"]}

    def of_zone(self, zone: str) -> pd.DataFrame:
        """Its rows of the series."""
        return self.series[self.series["zone"] == zone]


def autoscale_figures(compared: Autoscaling) -> dict[str, Figure]:
    """The page's figures by name."""
    zones = {
        f"zone-{which}": zone_figure(compared.of_zone(zone), compared.clock_s)
        for which, zone in compared.shown_zones().items()
    }
    return {
        "cost": cost_figure(compared.summary),
        "slack": rows_figure(compared.summary, SLACK),
        "changes": rows_figure(compared.summary, CHANGES),
        "reasons": reason_figure(compared.reasons),
        **zones,
    }


def autoscale_page(
    compared: Autoscaling, about: Mapping[str, Any], figures: Mapping[str, Figure] | None = None
) -> Page:
    """The page.

    Args:
        compared: what came out.
        about: `command` and `versions`, each of which may be missing.
        figures: those of :func:`autoscale_figures`, if they are drawn already.
    """
    drawn = figures or autoscale_figures(compared)
    sections = [
        _cost_section(compared, drawn["cost"]),
        _slack_section(compared, drawn["slack"]),
        _change_section(compared, drawn["changes"], drawn["reasons"]),
        _zone_section(compared, drawn),
        Section("What the numbers mean", "", [_meaning_table(compared)]),
    ]
    if about.get("command"):
        sections.append(Section("Run it again", _AGAIN, [Listing(str(about["command"]))]))
    versions = ", ".join(f"{name} {version}" for name, version in about.get("versions", {}).items())
    title = f"Recommenders in {compared.city}"
    return Page(title, lead(compared), sections, f"Made with {versions}." if versions else "")


def lead(compared: Autoscaling) -> str:
    """Who violates the target least, at which cost, and where the reference and foresight stand."""
    real = [name for name in compared.recommenders if not is_foresight(name)] or compared.recommenders
    best = min(real, key=lambda name: (compared.mean(name, "slo_violations"), compared.mean(name, "cpu_cost")))
    others = [
        name for name in compared.recommenders if name != best and (name == compared.reference or name not in real)
    ]
    said = [f"{best} violates the latency target of {compared.target_ms:g} ms least: {_standing(compared, best)}."]
    said += [f"With {name} it is {_standing(compared, name)}." for name in others]
    said.append(f"With as much as safety allows it is {compared.mean(best, 'slo_floor'):.1%}: no size avoids these.")
    return f"{compared.text} {' '.join(said)}"


def _standing(compared: Autoscaling, name: str) -> str:
    violations, cpu, memory = (compared.mean(name, what) for what in ("slo_violations", "cpu_cost", "memory_cost"))
    return f"{violations:.1%} of zone-intervals, at {cpu:.2f} times the static peak's CPU and {memory:.2f} its memory"


# -- sections ----------------------------------------------------------------------------------------------------------


def _cost_section(compared: Autoscaling, figure: Figure) -> Section:
    marks = "; ".join(f"{name}: {_standing(compared, name)}" for name in compared.recommenders)
    hollow = " The hollow mark knows the future." if any(map(is_foresight, compared.recommenders)) else ""
    picture = picture_of(
        figure,
        f"SLO violations against cost. {marks}.",
        "What a recommender costs and what it costs the users, with 95 % intervals over cities; the dashed line is the "
        f"static peak of demand, the dotted one what no size avoids.{hollow}",
    )
    tables = [_table(compared.summary, [*SPOILED, *PAID], "Means over cities and 95 % intervals.")]
    if len(compared.differences):
        caption = (
            f"Mean difference to {compared.reference} in the same cities and its 95 % bootstrap interval; bold where "
            "that excludes zero, which one in twenty does by luck."
        )
        tables.append(_table(compared.differences, [*SPOILED, *PAID], caption, signs=True))
    text = "A zone-interval violates the target if its mean latency is above it, or if none of its requests completed."
    return Section("Violations and cost", text, [picture, *tables])


def _slack_section(compared: Autoscaling, figure: Figure) -> Section:
    alt = f"Slack of CPU and memory. {_listed(compared, SLACK)}"
    return Section("Slack", "", [picture_of(figure, alt, "How much of what zones have lies idle, on average.")])


def _change_section(compared: Autoscaling, changes: Figure, reasons: Figure) -> Section:
    parts = compared.reasons.groupby("recommender", sort=False)[["code", "part"]]
    often = "; ".join(
        f"{name}: " + ", ".join(f"{code} {part:.0%}" for code, part in own.to_numpy()) for name, own in parts
    )
    return Section(
        "Changes",
        "",
        [
            picture_of(
                changes,
                f"Changes of CPU and memory. {_listed(compared, CHANGES)}",
                "How often sizes change, by how much of what there was, and how often a change takes back the last "
                "one's direction.",
            ),
            picture_of(
                reasons,
                f"Decisions by reason. {often}.",
                "Why decisions are what they are: what the recommender says beyond its usual rule, and what safety "
                "adds. A decision may have several reasons, so that bars may be longer than 100 %.",
            ),
        ],
    )


def _zone_section(compared: Autoscaling, figures: Mapping[str, Figure]) -> Section:
    words = {"most": "the most violations", "median": "the median number of violations"}
    pictures = []
    for which, zone in compared.shown_zones().items():
        late = compared.of_zone(zone).groupby("recommender", sort=False)["violated"].mean()
        parts = ", ".join(f"{name} {part:.0%}" for name, part in late.items())
        pictures.append(
            picture_of(
                figures[f"zone-{which}"],
                f"Given and used in {zone}. Part of intervals in which the target is violated: {parts}.",
                f"What {zone}, the zone with {words[which]}, was given and used; shading is as high as the part "
                "of its intervals that were late. Axes differ; what the zone begins with may lie above them, and long "
                "runs are averaged.",
            )
        )
    text = "Both zones are chosen by the violations under all recommenders together, in the city of the first seed."
    return Section("Zones", text, pictures)


def _meaning_table(compared: Autoscaling) -> Table:
    rows = [[name.replace("_", " "), meaning] for name, meaning in compared.meanings.items()]
    return Table("What is measured.", ["Measure", "Meaning"], rows, False)


def _listed(compared: Autoscaling, panels: tuple[tuple[str, str, float], ...]) -> str:
    said = []
    for measure, label, scale in panels:
        values = [compared.mean(name, measure) * scale for name in compared.recommenders]
        decimals = decimals_for(values)
        pairs = zip(compared.recommenders, values, strict=True)
        said.append(f"{label}: " + ", ".join(f"{name} {written(value, decimals)}" for name, value in pairs) + ".")
    return " ".join(said)


def _table(table: pd.DataFrame, panels: list[tuple[str, str, float]], caption: str, signs: bool = False) -> Table:
    """Recommenders as rows, measures as columns; with `signs`, differences, bold where they are none by chance."""
    names = list(table["recommender"].unique())
    columns = []
    for measure, _, scale in panels:
        own = table[table["measure"] == measure].set_index("recommender").loc[names, ["mean", "low", "high"]] * scale
        decimals = decimals_for(own["mean"].to_numpy(float))
        columns.append(
            [
                Cell(
                    (signed if signs else written)(mean, decimals),
                    interval(low, high, decimals),
                    bool(signs and (low > 0 or high < 0)),
                )
                for mean, low, high in own.to_numpy(float)
            ]
        )
    rows = [[name, *cells] for name, *cells in zip(names, *columns, strict=True)]
    return Table(caption, ["Recommender", *(label for _, label, _ in panels)], rows)
