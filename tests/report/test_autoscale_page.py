"""The page about recommenders: right about who violates least, with figures that show what their tables say."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from report.test_page import Reader

from metalore.report import (
    Autoscaling,
    autoscale_figures,
    autoscale_page,
    cost_figure,
    reason_figure,
    render,
    rows_figure,
    styles_of,
    zone_figure,
)
from metalore.report.autoscale_figures import CHANGES, POINTS, thinned
from metalore.report.style import svg

NAMES = ("forecast:headroom=0.3", "hpa", "foresight")
MEASURES = (
    "slo_violations", "slo_floor", "lost_requests", "cpu_slack", "memory_slack", "core_hours", "gb_hours", "cpu_cost",
    "memory_cost", "changes", "change_size", "reversals",
)  # fmt: skip
ZONES = ("quay <1>", "park", "station")
TIMES = np.arange(7200.0, 7800.0, 60.0)


def estimates(values: dict[str, list[float]], names: tuple[str, ...] = NAMES) -> pd.DataFrame:
    """Means of some measures for each recommender, of the others 0.5; intervals of a tenth to each side."""
    rows = [
        (name, measure, mean, 0.9 * mean, 1.1 * mean)
        for i, name in enumerate(names)
        for measure in MEASURES
        for mean in [values.get(measure, [0.5] * len(names))[i]]
    ]
    return pd.DataFrame(rows, columns=["recommender", "measure", "mean", "low", "high"])


def series(names: tuple[str, ...] = NAMES) -> pd.DataFrame:
    """Ten minutes; the station is always late, the park in the first minute under the first recommender."""
    table = pd.DataFrame(itertools.product(names, ZONES, TIMES), columns=["recommender", "zone", "time_s"])
    first = (table["recommender"] == names[0]) & (table["zone"] == "park") & (table["time_s"] == TIMES[0])
    return table.assign(
        given_cores=2.0, cpu_cores=1.0, given_mb=1000.0, memory_mb=table["time_s"] / 60, latency_ms=100.0,
        violated=(table["zone"] == "station") | first,
    )  # fmt: skip


def compared(**changes: Any) -> Autoscaling:
    values = {
        "slo_violations": [0.01, 0.04, 0.02],
        "slo_floor": [0.01] * 3,
        "cpu_cost": [0.8, 1.2, 0.6],
        "memory_cost": [1.5, 2.0, 1.25],
    }
    apart = estimates({"slo_violations": [-0.03, 0, -0.02]})
    reasons = [("forecast:headroom=0.3", "forecast", 1.0), ("forecast:headroom=0.3", "bounds", 0.25), ("hpa", "hpa", 1)]
    facts = {
        "city": "toy <town>", "text": "Three recommenders.", "cities": 2, "target_ms": 2000.0, "clock_s": 86_400.0,
        "reference": "hpa", "meanings": {"cpu_slack": "idle"}, "summary": estimates(values),
        "differences": apart[apart["recommender"] != "hpa"],
        "reasons": pd.DataFrame([*reasons, ("foresight", "foresight", 1.0)], columns=["recommender", "code", "part"]),
        "series": series(),
    }  # fmt: skip
    return Autoscaling(**facts | changes)


def test_the_page_says_who_violates_least_and_needs_nothing_from_outside() -> None:
    page = autoscale_page(compared(), {"command": "metalore autoscale compare toy", "versions": {"x": 1}})
    assert page.lead == (
        "Three recommenders. forecast:headroom=0.3 violates the latency target of 2000 ms least: 1.0% of "
        "zone-intervals, at 0.80 times the static peak's CPU and 1.50 its memory. With hpa it is 4.0% of "
        "zone-intervals, at 1.20 times the static peak's CPU and 2.00 its memory. With foresight it is 2.0% of "
        "zone-intervals, at 0.60 times the static peak's CPU and 1.25 its memory. With as much as safety allows it is "
        "1.0%: no size avoids these."
    )
    text = render(page)
    Reader(text)
    assert "toy &lt;town&gt;" in text
    assert "<town>" not in text
    assert "metalore autoscale compare toy" in text
    assert "−3.00" in text  # percent, difference to the reference


def test_foresight_never_counts_as_best() -> None:
    ahead = estimates({"slo_violations": [0.03, 0.04, 0.0]})
    page = autoscale_page(compared(summary=ahead), {})
    assert page.lead.startswith("Three recommenders. forecast:headroom=0.3 violates")


def test_without_intervals_and_differences() -> None:
    """One city: means alone."""
    one = compared()
    bare = replace(one, summary=one.summary.assign(low=np.nan, high=np.nan), differences=one.differences[:0], cities=1)
    text = render(autoscale_page(bare, {}))
    assert "nan" not in text.split("<body>")[1].split("data:image")[0]
    assert "Mean difference" not in text


def test_costs_and_violations_are_where_the_table_says() -> None:
    figure = cost_figure(compared().summary)
    cpu, memory = figure.axes
    marks = [line for line in cpu.lines if line.get_linestyle() == "None"]
    places = sorted((float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in marks)
    np.testing.assert_allclose(places, [(0.6, 2.0), (0.8, 1.0), (1.2, 4.0)])
    hollow = [line for line in marks if to_hex(line.get_markerfacecolor()) == "#ffffff"]
    assert [line.get_xdata()[0] for line in hollow] == [0.6]  # foresight
    bars = [tuple(np.ravel(line.get_xydata())) for line in cpu.lines]
    assert any(bar == pytest.approx((0.72, 1.0, 0.88, 1.0)) for bar in bars)
    assert cpu.get_xlim()[0] == memory.get_xlim()[0] == cpu.get_ylim()[0] == 0
    assert [text.get_text() for text in cpu.texts] == ["better"]
    far = cost_figure(estimates({"cpu_cost": [0.5, 30.0, 1.0]})).axes[0]
    assert far.get_xscale() == "log"
    assert far.get_xlim()[0] < 0.5 < 33 < far.get_xlim()[1]


def test_measures_stand_in_rows() -> None:
    figure = rows_figure(estimates({"changes": [10, 20, 30], "change_size": [0.1, 0.2, 0.3]}), CHANGES)
    assert [axes.get_xlabel() for axes in figure.axes] == [label for _, label, _ in CHANGES]
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == list(NAMES)
    marks = [line for line in figure.axes[1].lines if line.get_linestyle() == "None"]
    assert [float(line.get_xdata()[0]) for line in marks] == pytest.approx([10, 20, 30])


def test_reasons_are_stacked_without_plain_opinions() -> None:
    codes = [("hpa:target=0.6", code, part) for code, part in (("hpa", 1.0), ("bounds", 0.5), ("cooldown", 0.75))]
    table = pd.DataFrame([*codes, ("static", "static", 1.0)], columns=["recommender", "code", "part"])
    figure = reason_figure(table)
    bars = [(bar.get_x(), bar.get_width()) for bar in figure.axes[0].patches]
    np.testing.assert_allclose(bars, [(0, 75), (0, 0), (75, 50), (0, 0)])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["cooldown", "bounds"]
    many = pd.DataFrame([("vpa", f"code-{i}", 1 - i / 20) for i in range(12)], columns=table.columns)
    words = [text.get_text() for text in reason_figure(many).legends[0].get_texts()]
    assert words == [*(f"code-{i}" for i in range(7)), "others"]
    assert sum(bar.get_width() for bar in reason_figure(many).axes[0].patches) == pytest.approx(
        100 * many["part"].sum()
    )


def test_zones_with_most_and_with_median_violations_are_shown() -> None:
    run = compared()
    assert run.shown_zones() == {"most": "station", "median": "park"}
    assert list(autoscale_figures(run)) == ["cost", "slack", "changes", "reasons", "zone-most", "zone-median"]
    alone = run.series[run.series["zone"] == "park"]
    assert replace(run, series=alone).shown_zones() == {"most": "park"}


def test_a_zone_over_time() -> None:
    run = compared()
    figure = zone_figure(run.of_zone("park"), run.clock_s)
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == [f"{NAMES[0]}: CPU", f"{NAMES[0]}: memory"]
    used, given = figure.axes[0].lines
    assert set(np.asarray(used.get_ydata())) == {1.0}
    assert set(np.asarray(given.get_ydata())) == {2.0}
    assert given.get_color() == styles_of(NAMES)[NAMES[0]].colour
    late, calm = (figure.axes[i].collections[0].get_paths()[0].vertices for i in (0, 2))
    shaded = late[late[:, 1] == 1, 0]
    assert (shaded.min(), shaded.max()) == (TIMES[0], TIMES[1]), "the first minute, in full height"
    assert set(late[late[:, 0] > TIMES[1], 1]) == set(calm[:, 1]) == {0.0}
    figure.canvas.draw()
    ticks = [tick.get_text() for tick in figure.axes[-1].get_xticklabels() if tick.get_text()]
    assert ticks
    assert all(tick.startswith("Tue 02:0") for tick in ticks)


def test_long_runs_are_averaged() -> None:
    n = 2 * POINTS + 2
    table = pd.DataFrame(
        {"time_s": 60.0 * np.arange(n), "violated": np.arange(n) < 4, "given_cores": np.arange(n) * 1.0}
    )
    thin = thinned(table)
    assert len(thin) == n // 3 + 1
    assert thin["given_cores"].tolist()[:2] == [1, 4]
    assert thin["time_s"].tolist()[:2] == [0, 180]
    assert thin["violated"].tolist()[:3] == pytest.approx([1, 1 / 3, 0])


def test_figures_come_out_the_same_every_time() -> None:
    one, other = (cost_figure(compared().summary) for _ in range(2))
    assert svg(one) == svg(other)
