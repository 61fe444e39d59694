"""The page about a recording: self-contained, right about what it says, and able to cope with little data."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from report.test_page import Reader

from metalore.report import (
    Page,
    Picture,
    Table,
    Telemetry,
    busiest,
    correlation_figure,
    days_figure,
    latency_figure,
    render,
    telemetry_figures,
    telemetry_page,
    week_figure,
    zone_map_figure,
    zone_table,
)
from metalore.report.style import svg

ZONES = ("market <1>", "park & lake", "station")
USERS = np.array([30.0, 10.0, 20.0])


def telemetry(days: int = 3, **changes: Any) -> Telemetry:
    """Three zones, an hour a row; users follow the sun, from a Friday on."""
    times = np.arange(24 * days) * 3600.0
    sun = 1 + np.sin(2 * np.pi * times / 86_400)
    users = pd.DataFrame(sun[:, None] * USERS, index=pd.Index(times, name="time_s"), columns=list(ZONES))
    zones = pd.DataFrame(
        {
            "x_m": [0.0, 100, 50], "y_m": [0.0, 0, 80], "active_users": USERS, "most_users": 2 * USERS,
            "movement_rate": 0.5, "latency_ms": [120.0, np.nan, 80.0], "jitter_ms": 3.0, "packet_loss": 0.01,
            "cpu_cores": 2.0, "cpu_load": [0.5, np.nan, 0.25], "memory_mb": 300.0, "bandwidth_mbps": 12.0,
        },
        index=pd.Index(ZONES, name="zone"),
    )  # fmt: skip
    matrix = pd.DataFrame([[1, 0.9, -0.5], [0.9, 1, np.nan], [-0.5, np.nan, 1]], list(ZONES), list(ZONES))
    week = np.full((3, 168), np.nan)
    week[:, 96 : 96 + 24 * min(days, 3)] = USERS[:, None]
    totals = pd.DataFrame({"active_users": users.sum(axis=1), "latency_ms": 100.0}, index=users.index)
    rows = len(times) * 3
    facts = {
        "about": {"name": "toy", "description": "A toy.", "duration_s": 86_400.0 * days, "interval_s": 3600.0,
                  "start_hour_of_week": 96.0, "seed": 4, "policy": "half", "versions": {"metalore": "0.0"},
                  "command": "metalore telemetry 'a b'"},
        "zones": zones,
        "edges": pd.DataFrame({"source": [0, 1], "target": [1, 0], "weight": [0.5, 0.5]}),
        "totals": totals,
        "users": users,
        "week": pd.DataFrame(week, index=pd.Index(ZONES, name="zone")),
        "correlation": matrix,
        "distances_m": np.array([[0, 100, 94], [100, 0, 94], [94, 94, 0.0]]),
        "by_distance": pd.DataFrame({"distance_m": [94.0, 100], "correlation": [-0.5, 0.9], "low": [-0.6, 0.8],
                                     "high": [-0.4, 1.0], "pairs": [1, 1]}),
        "by_hops": pd.DataFrame({"hops": [1], "correlation": [-0.25], "low": [0.9], "high": [0.9], "pairs": [1]}),
        "latency": pd.DataFrame({"zone": list(ZONES) * len(times), "latency_ms": [120.0, np.nan, 80.0] * len(times),
                                 "jitter_ms": np.arange(rows), "packet_loss": 0.01, "weight": [3, 0, 1] * len(times)}),
        "columns": [("latency_ms", "ms", "How long a request takes."), ("up", "", "Part of the time.")],
        "events": [{"name": "fair", "zone": "station", "from_s": 7200.0, "to_s": 10_800.0}],
    }  # fmt: skip
    return Telemetry(**facts | changes)


def pictures(page: Page) -> list[Picture]:
    return [item for section in page.sections for item in section.content if isinstance(item, Picture)]


def panel(figure: Figure, title: str) -> Axes:
    (found,) = [axes for axes in figure.axes if axes.get_title(loc="left") == title]
    return found


@pytest.fixture(scope="module")
def page() -> Page:
    return telemetry_page(telemetry(), "Telemetry of <toy>")


def test_the_page_needs_nothing_from_outside(page: Page) -> None:
    read = Reader(render(page))
    for _, attributes in read.tags:
        for name in ("src", "href", "srcset", "action", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert not read.all("script")
    assert not read.all("link")
    for picture in pictures(page):
        data = base64.b64decode(picture.source.partition(",")[2])
        assert not re.search(rb"(?:href|src)=\"(?!#|data:)", data)


def test_what_the_page_says(page: Page) -> None:
    assert page.lead == (
        "3 days of toy: 3 zones, a row every 3600 s. There were 60.00 users in the city on average, at most 120.0 at "
        "once. A request took 110.0 ms on average."
    )
    words = " ".join(picture.alt for picture in pictures(page))
    assert "Most users on average: market <1> (30.00), station (20.00), park & lake (10.00)." in words
    assert "most users 120.0 after 6.0 hours" in words
    assert "Mean correlation -0.50 at 94 m and 0.90 at 100 m." in words.replace("−", "-")
    assert [section.title for section in page.sections] == [
        "Map", "Days", "Zones together", "Service", "Zones", "Columns", "Run it again",
    ]  # fmt: skip
    html = render(page)
    assert "Telemetry of &lt;toy&gt;" in html
    assert "How long a request takes." in html
    assert "fair" in html
    assert "metalore telemetry" in html


def test_the_table_of_zones() -> None:
    table = zone_table(telemetry().zones, "Zones.")
    assert isinstance(table, Table)
    assert [cell.text for cell in table.cells[1]][:5] == ["park & lake", "10.00", "20.00", "30.00", "–"]
    assert table.header[3] == "Handovers per user and hour"
    assert busiest(telemetry().zones, 2) == ["market <1>", "station"]


def test_the_map_shows_users_as_areas_and_load_as_colour() -> None:
    figure = zone_map_figure(telemetry().zones, telemetry().edges)
    circles = figure.axes[0].collections[-1]
    sizes = circles.get_sizes() - 6
    np.testing.assert_allclose(sizes / sizes.max(), USERS / 30)
    np.testing.assert_allclose(np.ma.filled(circles.get_array(), np.nan), [50, np.nan, 25])
    assert len(figure.axes[0].collections[0].get_segments()) == 2
    assert {text.get_text() for text in figure.axes[0].texts} == set(ZONES)


def test_days_are_shaded_and_named() -> None:
    run = telemetry()
    figure = days_figure(run.totals, run.users, 96.0, run.events)
    users = panel(figure, "Users in the city")
    np.testing.assert_allclose(users.lines[0].get_ydata(), run.totals["active_users"])
    zones = panel(figure, "Users in some zones")
    assert len(zones.lines) == 3
    assert [tick.get_text() for tick in zones.get_xticklabels()] == ["Fri", "Sat", "Sun"]
    events = [p for p in zones.patches if p.get_x() == 2 and p.get_width() == 1]
    assert len(events) == 1
    weekends = [p.get_x() for p in users.patches if p.get_width() == 24]
    assert weekends == [24, 48]


def test_a_recording_that_begins_at_noon_has_its_days_at_midnight() -> None:
    run = telemetry()
    axes = panel(days_figure(run.totals, run.users, 96.0 + 12), "Users in some zones")
    assert axes.get_xticks().tolist()[1:3] == [12, 36]
    assert [tick.get_text() for tick in axes.get_xticklabels()][1:3] == ["Sat", "Sun"]


def test_long_recordings_are_averaged_over_what_is_known() -> None:
    times = np.arange(4800) * 60.0
    values = np.tile([1.0, 3.0, np.nan, 5.0], 1200)
    totals = pd.DataFrame({"active_users": values}, index=times)
    line = panel(days_figure(totals, totals[[]]), "Users in the city").lines[0]
    assert len(line.get_ydata()) == 1200
    np.testing.assert_allclose(line.get_ydata(), 3)


def test_the_week_is_relative_to_each_zone() -> None:
    mesh = week_figure(telemetry().week).axes[0].collections[0]
    values = np.ma.filled(mesh.get_array(), np.nan)
    assert np.isnan(values[:, :96]).all()
    np.testing.assert_allclose(values[:, 96:], 1)


def test_correlations_are_drawn_for_pairs_that_have_one() -> None:
    run = telemetry()
    figure = correlation_figure(run.correlation, run.distances_m, run.by_distance)
    dots = panel(figure, "Against distance").lines[0]
    np.testing.assert_allclose(np.asarray(dots.get_ydata()), [0.9, -0.5, np.nan])
    np.testing.assert_allclose(panel(figure, "Against distance").lines[1].get_ydata(), [-0.5, 0.9])


def test_latencies_weigh_by_requests() -> None:
    figure = latency_figure(telemetry().latency, ["station"])
    every = panel(figure, "Latency").lines[-1]
    x, y = np.asarray(every.get_xdata()), np.asarray(every.get_ydata())
    assert y[x <= 80].max() == pytest.approx(0.25)
    assert y[-1] == pytest.approx(1)
    loss = panel(figure, "Loss").lines[0]
    assert np.asarray(loss.get_xdata()).tolist()[-1] == pytest.approx(1)


def test_figures_come_out_the_same_every_time() -> None:
    one, other = (telemetry_figures(telemetry()) for _ in range(2))
    assert list(one) == ["map", "days", "week", "correlation", "latency"]
    for name in one:
        assert svg(one[name]) == svg(other[name])


def test_little_is_known() -> None:
    run = telemetry()
    empty = run.by_distance.iloc[:0]
    unknown = run.zones.assign(active_users=np.nan, latency_ms=np.nan, cpu_load=np.nan)
    bare = replace(
        run,
        about={"name": "bare", "duration_s": 60.0, "interval_s": 60.0},
        zones=unknown,
        edges=run.edges.iloc[:0],
        totals=run.totals.iloc[:1] * np.nan,
        users=run.users.iloc[:1] * np.nan,
        week=run.week * np.nan,
        correlation=run.correlation * np.nan,
        by_distance=empty,
        by_hops=run.by_hops.iloc[:0],
        latency=run.latency.iloc[:3].assign(latency_ms=np.nan, weight=0),
        columns=(),
        events=(),
    )
    page = telemetry_page(bare, "Bare")
    assert "60 seconds of bare" in page.lead
    assert "No two zones can be compared." in "".join(picture.alt for picture in pictures(page))
    Reader(render(page))
