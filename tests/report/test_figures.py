"""What figures show, and that they show it in the house style."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from report import tables

from metalore.report import (
    comparison_figure,
    course_figure,
    distribution_figure,
    overview_figure,
    save,
    styles_of,
    summarize,
)
from metalore.report.figures import COMPARED, COURSE, distribution
from metalore.report.measures import Measure, measure
from metalore.report.style import STYLES, svg


def panel(figure: Figure, title: str) -> Axes:
    (found,) = [axes for axes in figure.axes if axes.get_title(loc="left") == title]
    return found


def test_policies_look_the_same_in_every_company() -> None:
    for name, style in STYLES.items():
        assert styles_of([name, "other"])[name] == style == styles_of(["x", "y", *STYLES])[name]


def test_no_two_policies_look_alike() -> None:
    styles = styles_of([*STYLES, *(f"fixed(0.{i},0.1)" for i in range(20))])
    assert len({(style.colour, style.dashes) for style in styles.values()}) == len(styles)
    alone = styles_of(["a", "b", "c", "max-weight"])
    assert len({style.colour for style in alone.values()}) == 4


def test_a_course_has_a_line_per_policy_and_a_band_around_it() -> None:
    figure = course_figure(tables.course())
    assert [axes.get_title(loc="left") for axes in figure.axes] == [measure(name).label for name in COURSE]
    queue = panel(figure, "Request queue")
    assert [to_hex(line.get_color()).upper() for line in queue.lines] == [
        style.colour for style in styles_of(tables.POLICIES).values()
    ]
    np.testing.assert_allclose(queue.lines[1].get_xdata(), np.arange(tables.STEPS) * 0.5)
    np.testing.assert_allclose(queue.lines[1].get_ydata(), np.arange(tables.STEPS) * 2.0)
    band = queue.collections[1].get_paths()[0].vertices
    assert np.asarray(band)[:, 1].max() == pytest.approx(2 * 7 * 1.25)
    assert len(queue.collections) == 3


def test_shares_are_shown_in_percent_without_bands_in_a_crowd() -> None:
    crowd = tuple("abcd")
    shares = panel(course_figure(tables.course(crowd)), "Bandwidth for requests")
    assert len(shares.collections) == 0
    assert max(np.asarray(shares.lines[0].get_ydata())) == pytest.approx(7)
    assert shares.get_ylabel() == "%"
    assert len(panel(course_figure(tables.course(crowd)), "Request queue").collections) == 4


def test_a_comparison_shows_means_and_intervals_and_says_what_is_undefined() -> None:
    summary = summarize(tables.episodes())
    figure = comparison_figure(summary)
    assert len(figure.axes) == len(COMPARED)
    axes = panel(figure, "Return")
    rows = summary[summary["measure"] == "return"]
    drawn = [np.asarray(line.get_xdata(), float).tolist() for line in axes.lines]
    for _, row in rows.iterrows():
        assert [row["mean"]] in drawn
        assert [row["low"], row["high"]] in drawn
    assert [label.get_text() for label in axes.get_yticklabels()] == list(tables.POLICIES)
    assert [text.get_text() for text in panel(figure, "AoRI").texts] == ["undefined"]
    assert panel(figure, "AoRI").get_xlabel() == "s  (← better)"
    assert axes.get_xlabel() == "per episode  (better →)"


def test_a_distribution_ends_at_the_share_that_was_answered() -> None:
    ages = tables.ages()
    aori = ages[ages["measure"] == "aori_s"]
    ends = [distribution(aori[aori["policy"] == policy])[1][-1] for policy in tables.POLICIES]
    assert ends == pytest.approx([1.0, 0.6, 0.0])
    axes = panel(distribution_figure(ages), "Distribution of AoRI")
    np.testing.assert_allclose(axes.lines[1].get_ydata(), [0.1, 0.3, 0.6, 0.6])
    assert axes.get_xlabel() == "AoRI (s)"


def test_figures_without_a_single_value() -> None:
    episodes, course, ages = tables.episodes(("a",)), tables.course(("a",)), tables.ages(("a",))
    episodes.loc[:, COMPARED] = np.nan
    course.loc[:, ["mean", "sd"]] = np.nan
    ages = ages.assign(requests=0, generated=0, value_s=0.0).drop_duplicates(["policy", "measure"])
    assert svg(overview_figure("nothing", summarize(episodes), course, ages))


def test_the_overview_is_one_page_with_everything(tmp_path: Path) -> None:
    figure = overview_figure("toy", summarize(tables.episodes()), tables.course(), tables.ages())
    assert len(figure.axes) == 1 + 6 + 6 + 2
    save(figure, tmp_path / "overview.pdf")
    pdf = (tmp_path / "overview.pdf").read_bytes()
    assert pdf.count(b"/Type /Page ") + pdf.count(b"/Type /Page\n") == 1


def test_a_figure_comes_out_the_same_every_time(tmp_path: Path) -> None:
    first, second = (svg(course_figure(tables.course(), ["request_queue"])) for _ in range(2))
    assert first == second
    save(course_figure(tables.course(), ["request_queue"]), tmp_path / "course.svg")
    assert (tmp_path / "course.svg").read_bytes() == first
    assert b"<dc:date>" not in first


def test_measures_speak_with_their_unit() -> None:
    assert measure("twin_age_s").title == "Age at the twin (s)"
    assert measure("something_new") == Measure("something new")
