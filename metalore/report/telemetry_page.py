"""The page about a recording: where zones lie, their days, how they go together, and how well they were served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from metalore.report.intervals import decimals_for, written
from metalore.report.page import Listing, Page, Section, Table, picture_of
from metalore.report.telemetry_figures import (
    SHOWN,
    correlation_figure,
    days_figure,
    latency_figure,
    week_figure,
    zone_map_figure,
)

LISTED = 40
"""Zones that get a row in the table of zones."""

ZONE_TABLE = (
    ("active_users", "Users", 1.0),
    ("most_users", "Most users", 1.0),
    ("movement_rate", "Handovers per user and hour", 60.0),
    ("latency_ms", "Latency (ms)", 1.0),
    ("jitter_ms", "Jitter (ms)", 1.0),
    ("packet_loss", "Loss (%)", 100.0),
    ("cpu_cores", "CPU (cores)", 1.0),
    ("cpu_load", "CPU load (%)", 100.0),
    ("memory_mb", "Memory (MB)", 1.0),
    ("bandwidth_mbps", "Data (Mbit/s)", 1.0),
)
"""Column, heading and factor."""


@dataclass(frozen=True)
class Telemetry:
    """What a recording says, as tables.

    Attributes:
        about: `name`, `description`, `duration_s`, `interval_s`, `start_hour_of_week`, and where known `seed`,
            `policy`, `versions`, `command`.
        zones: index `zone`: means, `most_users`, `cpu_load`, `x_m`, `y_m`.
        edges: `source, target, weight`.
        totals: the city over time, index `time_s`.
        users: users over time, index `time_s`, a column per zone.
        week: users by zone and hour of the week.
        correlation: of users between zones, without the rhythm of the day.
        distances_m: between zones, [z, z].
        by_distance: correlation against distance, `by_hops` against edges on the way.
        by_hops: see there.
        latency: `zone, latency_ms, jitter_ms, packet_loss, weight`, a row per zone and interval.
        columns: name, unit and meaning of the table's columns.
        events: `name, zone, from_s, to_s`.
    """

    about: Mapping[str, Any]
    zones: pd.DataFrame
    edges: pd.DataFrame
    totals: pd.DataFrame
    users: pd.DataFrame
    week: pd.DataFrame
    correlation: pd.DataFrame
    distances_m: np.ndarray
    by_distance: pd.DataFrame
    by_hops: pd.DataFrame
    latency: pd.DataFrame
    columns: Sequence[tuple[str, str, str]] = ()
    events: Sequence[Mapping[str, Any]] = field(default_factory=tuple)

    @property
    def some(self) -> list[str]:
        """Zones to look at more closely: those with the most users."""
        return busiest(self.zones, SHOWN)


def busiest(zones: pd.DataFrame, count: int) -> list[str]:
    """Names of the `count` zones with the most users on average, the fullest first."""
    return [str(name) for name in zones["active_users"].sort_values(ascending=False, kind="stable").index[:count]]


def telemetry_page(run: Telemetry, title: str, figures: Mapping[str, Figure] | None = None) -> Page:
    """The page; `figures` are those of :func:`telemetry_figures` if they are drawn already."""
    drawn = figures or telemetry_figures(run)
    sections = [
        map_section(run, drawn["map"]),
        days_section(run, drawn["days"], drawn["week"]),
        together_section(run, drawn["correlation"]),
        service_section(run, drawn["latency"]),
        zones_section(run),
        columns_section(run),
        again_section(run),
    ]
    versions = run.about.get("versions", {})
    footer = "Made with " + ", ".join(f"{name} {version}" for name, version in versions.items()) + "."
    return Page(title, lead(run), sections, footer if versions else "")


def telemetry_figures(run: Telemetry) -> dict[str, Figure]:
    """The page's figures by name."""
    start = float(run.about.get("start_hour_of_week", 0.0))
    return {
        "map": zone_map_figure(run.zones, run.edges),
        "days": days_figure(run.totals, run.users[run.some], start, run.events),
        "week": week_figure(run.week),
        "correlation": correlation_figure(run.correlation, run.distances_m, run.by_distance),
        "latency": latency_figure(run.latency, run.some),
    }


def lead(run: Telemetry) -> str:
    """What was recorded and what it comes to."""
    about, users = run.about, run.totals["active_users"]
    peak = f"at most {number(users.max())} " if users.notna().any() else ""
    text = (
        f"{_time(about['duration_s'])} of {about['name']}: {len(run.zones):,} zones, a row every "
        f"{about['interval_s']:g} s. There were {number(users.mean())} users in the city on average, {peak}at once."
    )
    latency = run.latency.dropna(subset=["latency_ms"])
    if latency["weight"].sum() > 0:
        mean = float(np.average(latency["latency_ms"], weights=latency["weight"]))
        text += f" A request took {number(mean)} ms on average."
    return text


def number(value: float) -> str:
    """With three digits or so."""
    return written(float(value), decimals_for([float(value)]))


def _time(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} seconds"


def map_section(run: Telemetry, figure: Figure) -> Section:
    """Where zones lie."""
    full = busiest(run.zones, 3)
    means = ", ".join(f"{name} ({number(run.zones.loc[name, 'active_users'])})" for name in full)
    picture = picture_of(
        figure,
        f"Map of {len(run.zones)} zones and {len(run.edges)} edges between them. Most users on average: {means}.",
        "Zones as circles: area is the mean number of users, colour the mean load of the server. Lines join zones of "
        "the graph; the wider, the heavier the edge.",
    )
    return Section("Map", str(run.about.get("description", "")), [picture])


def days_section(run: Telemetry, days: Figure, week: Figure) -> Section:
    """How it went over time."""
    users = run.totals["active_users"].dropna()
    when = (
        f"most users {number(users.max())} after {users.idxmax() / 3600:.1f} hours" if len(users) else "no users known"
    )
    shown = ", ".join(run.some)
    pictures = [
        picture_of(
            days,
            f"Users, requests, work, data and latency of the city over time, {when}; and users of the zones {shown}.",
            "The city in sum, and the zones with the most users. Nights (22 to 6) are grey, weekends blue"
            + ("; times of events are orange." if run.events else "."),
        ),
        picture_of(
            week,
            f"Users of {len(run.week)} zones by hour of the week, relative to each zone's mean.",
            "Users by hour of the week, relative to the mean of each zone: a zone of offices is bright by day, one of "
            "homes by night. Hours that were not recorded are light grey.",
        ),
    ]
    if not run.events:
        return Section("Days", "", pictures)
    rows = [
        [str(e["name"]), str(e["zone"]), f"{e['from_s'] / 3600:.1f}", f"{(e['to_s'] - e['from_s']) / 3600:.1f}"]
        for e in run.events[:LISTED]
    ]
    header = ["Event", "Zone", "Begins after (h)", "Lasts (h)"]
    table = Table("What was planned in the time recorded.", header, rows, numeric=False)
    return Section("Days", "", [*pictures, table])


def together_section(run: Telemetry, figure: Figure) -> Section:
    """How zones go together."""
    text = (
        "Correlation of users between zones, after taking off what each zone has at that time of such a day: what is "
        "left is what happened on that day, and people who walk from zone to zone carry it along."
    )
    by = run.by_distance
    said = "No two zones can be compared."
    if len(by):
        near, far = by.iloc[0], by.iloc[-1]
        said = (
            f"Mean correlation {near['correlation']:.2f} at {near['distance_m']:,.0f} m and "
            f"{far['correlation']:.2f} at {far['distance_m']:,.0f} m."
        )
    picture = picture_of(
        figure,
        f"Correlations of users between {len(run.correlation)} zones, as a matrix and against distance. {said}",
        "Left: all pairs of zones, in the table's order. Right: pairs (dots), means (line) and quartiles (band).",
    )
    rows = [
        [f"{row.hops}", f"{row.correlation:.2f}".replace("-", "−"), f"{row.pairs:,}"]
        for row in run.by_hops.itertuples(index=False)
    ]
    table = Table("Mean correlation by edges between two zones.", ["Edges", "Correlation", "Pairs"], rows)
    return Section("Zones together", text, [picture, table] if rows else [picture])


def service_section(run: Telemetry, figure: Figure) -> Section:
    """How well requests were served."""
    text = (
        "Distributions over intervals: latency and jitter weigh by the requests completed in them, loss by intervals. "
        "A curve gives the share at or below a value."
    )
    means = ", ".join(f"{zone} {number(run.zones.loc[zone, 'latency_ms'])} ms" for zone in run.some)
    picture = picture_of(
        figure,
        f"Distribution functions of latency, jitter and loss. Mean latency: {means}.",
        "Distribution functions of latency, jitter and loss in an interval, over all zones and for the fullest ones.",
    )
    return Section("Service", text, [picture])


def zone_table(zones: pd.DataFrame, caption: str) -> Table:
    """A row per zone, means over the recording."""
    shown = [(name, heading, scale) for name, heading, scale in ZONE_TABLE if name in zones.columns]
    columns = []
    for name, _heading, scale in shown:
        values = zones[name].to_numpy(float) * scale
        decimals = decimals_for(values)
        columns.append([written(value, decimals) for value in values])
    rows = [[str(zone), *(column[i] for column in columns)] for i, zone in enumerate(zones.index)]
    return Table(caption, ["Zone", *(heading for _, heading, _ in shown)], rows)


def zones_section(run: Telemetry) -> Section:
    """Zones in numbers."""
    names = set(busiest(run.zones, LISTED))
    listed = run.zones[[str(name) in names for name in run.zones.index]]
    what = "All zones" if len(listed) == len(run.zones) else f"The {LISTED} zones with the most users"
    return Section("Zones", "", [zone_table(listed, f"{what}: means over the recording, latencies over requests.")])


def columns_section(run: Telemetry) -> Section:
    """What the table's columns are."""
    rows = [[name, unit or "–", meaning] for name, unit, meaning in run.columns]
    table = Table("Columns of the table, over one zone and interval.", ["Column", "Unit", "Meaning"], rows, False)
    return Section("Columns", "", [table] if rows else [])


def again_section(run: Telemetry) -> Section:
    """How to get it again."""
    about = run.about
    said = [f"{name} {about[name]}" for name in ("policy", "seed") if name in about]
    text = f"Recorded with {' and '.join(said)}; the same gives the same table." if said else ""
    return Section("Run it again", text, [Listing(str(about["command"]))] if about.get("command") else [])
