"""The page about forecasts: right about who is best, with figures that show what their tables say."""

from __future__ import annotations

import base64
import itertools
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
    Forecasts,
    Picture,
    calibration_figure,
    clock,
    fan_figure,
    forecast_figures,
    forecast_page,
    horizon_figure,
    horizon_in_words,
    hour_figure,
    kept_table,
    render,
    score_table,
    zone_error_figure,
)
from metalore.report.style import svg

ZONES = ("quay <1>", "park", "station")
NAMES = ("last-value", "stgnn hubs=0")
TARGETS = ("cpu_cores", "latency_ms")
UNITS = {"cpu_cores": "cores", "latency_ms": "ms"}
HORIZONS = (1, 12)


def crossed(**columns: Any) -> pd.DataFrame:
    """A row for each combination."""
    return pd.DataFrame(list(itertools.product(*columns.values())), columns=list(columns))


def forecasts(horizons: tuple[int, ...] = HORIZONS, names: tuple[str, ...] = NAMES, **changes: Any) -> Forecasts:
    """Two forecasters of two targets in three zones, every minute; the second one errs half as much."""
    scores = crossed(forecaster=names, horizon=tuple(map(str, horizons)), target=TARGETS)
    mae = scores["horizon"].astype(float) / (1 + scores["forecaster"].map(names.index))
    scores = scores.assign(
        count=9, mae=mae, mae_sd=np.where(scores["forecaster"] == names[-1], 0.25, np.nan), rmse=2 * mae,
        rmse_sd=np.nan, wape=mae / 100, nrmse=0.1, quantile_loss=mae / 4, coverage_10=0.12, coverage_50=0.5,
        coverage_90=0.87, train_s=1.5, inference_ms=0.25, seeds=3,
    )  # fmt: skip
    by_hour = crossed(forecaster=names, target=TARGETS, horizon=horizons, hour=range(24))
    by_hour = by_hour.assign(mae=1.0 + by_hour["hour"], count=np.where(by_hour["horizon"] == 1, 3, 1))
    by_zone = crossed(forecaster=names, target=TARGETS, horizon=horizons, zone=ZONES)
    by_zone = by_zone.assign(mae=1.0 + by_zone["zone"].map(ZONES.index), mean=5.0, count=4)
    calibration = crossed(forecaster=names, target=TARGETS, horizon=horizons, level=(0.1, 0.5, 0.9))
    calibration = calibration.assign(observed=calibration["level"] * 0.95, count=9)
    origins = (7200.0, 7800.0, 8400.0)
    fans = crossed(forecaster=names, target=TARGETS, zone=ZONES[:2], origin_s=origins, horizon=horizons)
    time_s = fans["origin_s"] + 60.0 * fans["horizon"]
    fans = fans.assign(time_s=time_s, q10=time_s / 60 - 2, q50=time_s / 60 + 1, q90=time_s / 60 + 4)
    course = crossed(forecaster=names, target=TARGETS, zone=ZONES[:2], time_s=np.arange(6600.0, 9200.0, 60.0).tolist())
    course = course.assign(which=np.where(course["zone"] == ZONES[0], "worst", "median"), value=course["time_s"] / 60)
    facts = {
        "name": "toy", "text": "Three zones.", "interval_s": 60.0, "clock_s": 0.0, "units": UNITS, "scores": scores,
        "ranking": names[::-1], "by_hour": by_hour, "by_zone": by_zone, "calibration": calibration, "fans": fans,
        "course": course,
        "zones": pd.DataFrame({"x_m": [0.0, 100, 50], "y_m": [0.0, 0, 80]}, index=pd.Index(ZONES, name="zone")),
        "edges": pd.DataFrame({"source": [0, 1], "target": [1, 0], "weight": [0.5, 0.5]}),
    }  # fmt: skip
    return Forecasts(**facts | changes)


def panel(figure: Figure, title: str) -> Axes:
    (found,) = [axes for axes in figure.axes if axes.get_title(loc="left") == title]
    return found


def test_the_page_says_who_is_best_and_needs_nothing_from_outside() -> None:
    run = forecasts()
    page = forecast_page(
        [run], "Forecasts of <toy>", {"command": "metalore forecast compare 'a b'", "versions": {"x": 1}}
    )
    assert page.lead == (
        "Of 2 forecasters of toy, stgnn hubs=0 has the least quantile loss; over all targets and horizons it is 50% of "
        "that of the next, last-value."
    )
    html = render(page)
    read = Reader(html)
    assert not read.all("script")
    pictures = [item for section in page.sections for item in section.content if isinstance(item, Picture)]
    assert len(pictures) == 5
    for picture in pictures:
        assert picture.caption.count(".") == 1  # one sentence
        assert not re.search(rb"(?:href|src)=\"(?!#|data:)", base64.b64decode(picture.source.partition(",")[2]))
    words = " ".join(picture.alt for picture in pictures)
    assert "The largest: cpu_cores in station, latency_ms in station." in words
    assert "cpu_cores at 23 h" in words
    assert "Below 0.9: last-value 86%, stgnn hubs=0 86%." in words.replace("85%", "86%")
    assert "Forecasts of &lt;toy&gt;" in html
    assert "metalore forecast compare" in html


def test_a_table_has_units_times_and_spread() -> None:
    run = forecasts()
    table = score_table(run.scores[run.scores["target"] == "latency_ms"], "latency_ms", UNITS, 60.0)
    assert table.caption.startswith("latency_ms (ms):")
    rows = [[cell.text for cell in row] for row in table.cells]
    assert [row[:3] for row in rows] == [
        ["last-value", "1 min", "1.00"],
        ["stgnn hubs=0", "1 min", "0.50"],
        ["last-value", "12 min", "12.00"],
        ["stgnn hubs=0", "12 min", "6.00"],
    ]
    assert [cell.note for cell in table.cells[1]][2:4] == ["± 0.25", ""]
    assert [cell.strong for cell in table.cells[1]][:6] == [False, False, True, True, True, True]
    assert not any(cell.strong for cell in table.cells[0])
    assert rows[0][6:] == ["12 50 87", "1.50", "0.250"]
    alone = kept_table(run.scores[run.scores["forecaster"] == "last-value"], UNITS, 60.0, "Scores.")
    assert [[cell.text for cell in row][:3] for row in alone.cells][:2] == [
        ["cpu_cores (cores)", "1 min", "1.00"],
        ["cpu_cores (cores)", "12 min", "12.00"],
    ]


@pytest.mark.parametrize(
    ("horizon", "words"), [("1", "1 min"), ("90", "90 min"), ("120", "2 h"), ("2880", "2 d"), ("15 min", "15 min")]
)
def test_horizons_in_words(horizon: str, words: str) -> None:
    assert horizon_in_words(horizon, 60.0) == words


def test_time_of_day() -> None:
    assert clock(0) == "Mon 00:00"
    assert clock(6 * 86_400 + 13 * 3600 + 5 * 60 + 7) == "Sun 13:05:07"
    assert clock(7 * 86_400) == "Mon 00:00"


def test_errors_by_horizon_are_drawn_with_their_spread() -> None:
    figure = horizon_figure(forecasts().scores, UNITS, 60.0)
    axes = panel(figure, "cpu_cores")
    assert axes.get_ylabel() == "Mean absolute error (cores)"
    assert axes.get_xlabel() == "Time ahead (min)"
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[1, 1], [12, 12]])
    bars = [segments for c in axes.collections for segments in c.get_segments()]
    assert any(np.allclose(bar[:, 1], [0.25, 0.75]) for bar in bars)
    named = forecasts().scores.replace({"horizon": {"1": "15 min", "12": "60 min"}})
    ticks = panel(horizon_figure(named, UNITS, 60.0), "cpu_cores").get_xticklabels()
    assert [tick.get_text() for tick in ticks] == ["15 min", "60 min"]


def test_one_horizon_is_a_list_of_forecasters() -> None:
    run = forecasts((1,))
    axes = panel(horizon_figure(run.scores, UNITS, 60.0), "cpu_cores")
    assert [tick.get_text() for tick in axes.get_yticklabels()] == list(NAMES)
    assert axes.get_xlabel() == "Mean absolute error (cores)"
    axes = panel(calibration_figure(run.calibration, 60.0), "latency_ms")
    assert [line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1][:1] == [0.1]


def test_hours_pool_horizons_by_what_was_measured() -> None:
    table = forecasts().by_hour
    table = table.assign(mae=np.where(table["horizon"] == 1, 2.0, 6.0))
    line = panel(hour_figure(table, UNITS), "cpu_cores").lines[0]
    np.testing.assert_allclose(line.get_ydata(), 3.0)  # counts 3 and 1
    morning = table[table["hour"].between(7, 9)]
    assert panel(hour_figure(morning, UNITS), "cpu_cores").get_xlim() == (6, 12)


def test_zones_lie_on_the_map_or_in_a_list() -> None:
    run = forecasts()
    own = run.of_best(run.by_zone)
    axes = panel(zone_error_figure(own, run.zones, run.edges, UNITS), "cpu_cores")
    np.testing.assert_allclose(axes.collections[-1].get_array(), [1, 2, 3])
    assert len(axes.collections[0].get_segments()) == 2
    assert axes.get_xlabel() == "East (m)"
    axes = panel(zone_error_figure(own, run.zones * np.nan, run.edges, UNITS), "cpu_cores")
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["station", "park", "quay <1>"]
    assert [bar.get_width() for bar in axes.patches] == [3, 2, 1]


def test_calibration_stands_beside_what_it_should_be() -> None:
    axes = panel(calibration_figure(forecasts().calibration, 60.0), "cpu_cores")
    levels = {float(np.asarray(line.get_ydata())[0]) for line in axes.lines}
    assert {0.1, 0.5, 0.9} < levels
    assert any(np.allclose(line.get_ydata(), 0.9 * 0.95) for line in axes.lines)


def test_fans_begin_at_what_was_known() -> None:
    run = forecasts()
    figure = fan_figure(run.of_best(run.fans), run.of_best(run.course), UNITS, clock_s=86_400.0)
    first = figure.axes[0]
    assert first.get_title(loc="left") == "quay <1> (worst error)"
    assert first.get_ylabel() == "cpu_cores (cores)"
    fan = first.lines[1]
    np.testing.assert_allclose(fan.get_xydata(), [[7200, 120], [7260, 122], [7920, 133]])
    figure.canvas.draw()
    assert all(tick.get_text().startswith("Tue 0") for tick in first.get_xticklabels() if tick.get_text())
    joined = forecasts((1,))
    lines = fan_figure(joined.of_best(joined.fans), joined.of_best(joined.course), UNITS).axes[0].lines
    assert len(lines) == 2
    assert len(np.asarray(lines[1].get_xdata())) == 3


def test_figures_come_out_the_same_every_time() -> None:
    one, other = (forecast_figures(forecasts()) for _ in range(2))
    assert list(one) == ["horizons", "calibration", "hours", "zones", "examples"]
    for name in one:
        assert svg(one[name]) == svg(other[name])


def test_one_forecaster_of_one_target_in_one_zone() -> None:
    run = forecasts((1,), NAMES[:1])
    tables = {name: getattr(run, name) for name in ("scores", "by_hour", "by_zone", "calibration", "fans", "course")}
    small = {name: table[table["target"] == "cpu_cores"] for name, table in tables.items()}
    small["by_zone"] = small["by_zone"][small["by_zone"]["zone"] == ZONES[0]]
    run = replace(run, zones=run.zones[:1], edges=run.edges[:0], ranking=NAMES[:1], **small)
    page = forecast_page([run], "Small", {})
    assert page.lead == "Forecasts of toy by last-value."
    Reader(render(page))
