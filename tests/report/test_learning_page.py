"""The page about learning: its numbers against constructed cases, its figures, and that any part may be missing."""

from __future__ import annotations

import base64
import re
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from report import tables
from report.test_page import Reader

from metalore.report import (
    Dynamic,
    Learning,
    Page,
    Picture,
    PolicyMap,
    Table,
    adaptation_figure,
    comparison_figure,
    course_figure,
    enumeration_figure,
    learning_page,
    non_dominated,
    one_look,
    paired_differences,
    pareto_figure,
    per_run,
    policy_map_figure,
    recovery,
    render,
    styles_of,
    summarize,
    time_to_recover,
    training_figure,
    working_points,
    worst_decile,
)

POLICIES = ("ppo", "best-fixed", "tuned")


def grid(side: int = 5) -> dict[str, np.ndarray]:
    """The best split is (0.25, 0.5)."""
    bandwidth, compute = (a.ravel() for a in np.meshgrid(*[np.linspace(0, 1, side)] * 2, indexing="ij"))
    far = (bandwidth - 0.25) ** 2 + (compute - 0.5) ** 2
    ages = {"aori_s": 1 + bandwidth, "served_age_s": 2 - bandwidth, "throughput_per_s": 9 - far}
    return {"bandwidth": bandwidth, "compute": compute, "return": 100 - 200 * far, **ages}


def training(policies: tuple[str, ...] = ("ppo", "ppo (published)")) -> dict[str, np.ndarray]:
    rows = [(p, s, k * 1000.0 * (i * 50 + 1), k + s) for i, p in enumerate(policies) for s in (1, 2) for k in (1, 2, 3)]
    return dict(zip(("policy", "seed", "steps", "return"), map(np.array, zip(*rows, strict=True)), strict=True))


def policy_map(visits: bool = True) -> PolicyMap:
    queue = np.array([0.0, 1, 3, 10, 30])
    share = np.add.outer(np.linspace(0, 0.5, 5), np.linspace(0, 0.5, 5))
    return PolicyMap("ppo", queue, queue, share, 1 - share, np.eye(5) if visits else None)


def changes() -> dict[str, list[object]]:
    return {"time_s": [1.0, 2.5], "label": ["requests x 2", "as before"]}


def everything() -> Learning:
    course = tables.course(POLICIES).assign(first=1.0)
    return Learning(
        episodes=tables.episodes(POLICIES),
        enumeration=grid(),
        course=course,
        ages=tables.ages(POLICIES),
        maps=[policy_map()],
        training=training(),
        baselines={"policy": ["best-fixed"], "mean": [2.0], "low": [1.5], "high": [2.5]},
        dynamic=Dynamic(course, changes(), tables.episodes(POLICIES), hold=2),
        about=tables.about(),
    )


def pictures(page: Page) -> list[Picture]:
    return [item for section in page.sections for item in section.content if isinstance(item, Picture)]


@pytest.fixture(scope="module")
def page() -> Page:
    return learning_page(everything(), "Learned & <searched>")


# -- the page ----------------------------------------------------------------------------------------------------------


def test_the_page_needs_nothing_from_outside(page: Page) -> None:
    html = render(page)
    read = Reader(html)
    for _, attributes in read.tags:
        for name in ("src", "href", "srcset", "action", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert "@import" not in html
    assert not read.all("script")
    assert not read.all("link")
    for picture in pictures(page):
        data = base64.b64decode(picture.source.partition(",")[2])
        assert not re.search(rb"(?:href|src)=\"(?!#|data:)", data)


def test_every_picture_says_what_it_shows(page: Page) -> None:
    shown = pictures(page)
    assert len(shown) == 8
    assert all(len(picture.alt) > 30 and "ppo" in picture.alt and picture.caption for picture in shown)
    assert "ppo gives requests 0% to 100% of the bandwidth" in "".join(picture.alt for picture in shown)


def test_the_lead_is_the_paired_verdict(page: Page) -> None:
    assert page.lead.startswith("By mean return, ppo (10.26) is worse than best-fixed (19.77) on the same 6 seeds:")
    assert "Under changing traffic, by mean return, ppo" in page.lead
    swapped = learning_page(replace(everything(), learned="best-fixed", reference="ppo", dynamic=None), "T")
    assert "is better than ppo" in swapped.lead
    assert "Under changing" not in swapped.lead
    assert learning_page(everything(), "T", lead="Mine.").lead == "Mine."


def test_a_tie_is_called_one() -> None:
    episodes = tables.episodes(POLICIES)
    episodes["return"] = np.tile([-1.0, 1, -2, 2, -3, 3], 3) * np.repeat([1, -1, 1], 6)
    assert "cannot be told from" in learning_page(replace(everything(), episodes=episodes), "T").lead


def several_runs() -> pd.DataFrame:
    """Two runs of ppo that differ by 4 in everything, and one of the others."""
    once = tables.episodes(POLICIES)
    again = once[once["policy"] == "ppo"].copy()
    numbers = again.columns.difference(["policy", "seed"])
    again[numbers] += 4.0
    return pd.concat([once, again], ignore_index=True)


def test_training_runs_are_told_apart() -> None:
    runs = per_run(several_runs(), ["return"])
    assert runs[["policy", "run", "measure"]].to_numpy().tolist() == [["ppo", 0, "return"], ["ppo", 1, "return"]]
    assert np.diff(runs["mean"]).tolist() == pytest.approx([4.0])
    assert per_run(tables.episodes(POLICIES)).empty


def test_each_training_run_is_drawn_beside_the_mean() -> None:
    episodes = several_runs()
    summary, runs = summarize(episodes.groupby(["policy", "seed"], sort=False).mean().reset_index()), per_run(episodes)
    values = runs.pivot(index="run", columns="measure", values="mean")
    scatter = pareto_figure(summary.dropna(), grid(), runs=runs).axes[0]
    dots = [line for line in scatter.lines if line.get_marker() == "." and line.get_markersize() == 5]
    assert [np.asarray(line.get_xydata()).tolist() for line in dots] == [
        values[["aori_s", "throughput_per_s"]].to_numpy().tolist()
    ]
    low, high = scatter.get_ylim()
    assert (values["throughput_per_s"].between(low, high)).all()
    ticks = [line for line in comparison_figure(summary, runs=runs).axes[0].lines if line.get_marker() == "|"]
    assert [np.asarray(line.get_xdata()).tolist() for line in ticks] == [values["return"].tolist()]


def test_the_page_says_what_is_a_mean_over_runs_and_what_is_one_run() -> None:
    one, several = (render(learning_page(replace(everything(), episodes=e), "T")) for e in (None, several_runs()))
    assert several.count("this is the run of the first") == 5
    assert "this is the run of the first" not in one
    assert "this is the run of the first" not in render(learning_page(everything(), "T"))
    assert "each training run by itself" in several


def test_without_enumeration_nothing_is_said_of_splits() -> None:
    assert "plits far worse" not in render(learning_page(replace(everything(), enumeration=None), "T"))


PARTS = {
    "episodes": "Comparison",
    "enumeration": "Full enumeration",
    "course": "One episode",
    "ages": "Distribution of ages",
    "maps": "What the policy does",
    "training": "Training",
    "dynamic": "Changing traffic",
    "about": "What was run",
}


@pytest.mark.parametrize("part", PARTS)
def test_what_is_missing_is_left_out(part: str) -> None:
    (default,) = [field for field in fields(Learning) if field.name == part]
    absent = {"maps": (), "about": {}}.get(part, default.default)
    left = learning_page(replace(everything(), **{part: absent}), "T")
    titles = [section.title for section in left.sections]
    assert titles
    assert not set(titles) & {PARTS[part]}
    assert set(PARTS.values()) - {PARTS[part]} <= set(titles)
    render(left)


@pytest.mark.parametrize("part", set(PARTS) - {"about"})
def test_each_part_stands_alone(part: str) -> None:
    alone = learning_page(Learning(**{part: getattr(everything(), part)}), "T")
    assert PARTS[part] in [section.title for section in alone.sections]
    Reader(render(alone))


def test_nothing_at_all_is_a_page() -> None:
    assert render(learning_page(Learning(), "T"))


def test_tables_have_intervals_differences_and_the_worst_decile(page: Page) -> None:
    (comparison,) = [section for section in page.sections if section.title == "Comparison"]
    means, paired, worst = [item for item in comparison.content if isinstance(item, Table)]
    assert [row[0].text for row in means.cells] == list(POLICIES)
    assert means.cells[0][1].note.startswith("[")
    assert [row[0].text for row in paired.cells] == ["ppo", "tuned"]
    assert [row[1].text[0] for row in paired.cells] == ["−", "+"]
    assert all(row[1].strong and row[1].note for row in paired.cells)
    assert "worst tenth" in worst.caption


# -- numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("maximize", [(True, False), (False, False), (True, True, False)])
def test_non_dominated_is_what_comparing_all_pairs_finds(maximize: tuple[bool, ...]) -> None:
    points = np.random.default_rng(5).integers(0, 7, (120, len(maximize))).astype(float)
    points[::17, 0] = np.nan
    sign = [1 if more else -1 for more in maximize]

    def beats(a: np.ndarray, b: np.ndarray) -> bool:
        pairs = [(s * x, s * y) for s, x, y in zip(sign, a, b, strict=True)]
        return all(x >= y for x, y in pairs) and any(x > y for x, y in pairs)

    expected = [not np.isnan(p).any() and not any(beats(q, p) for q in points) for p in points]
    assert non_dominated(points, maximize).tolist() == expected
    assert 0 < sum(expected) < len(points)


def test_non_dominated_keeps_equal_points_and_checks_its_directions() -> None:
    assert non_dominated(np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 1.0]]), [True, True]).tolist() == [True, True, False]
    with pytest.raises(ValueError, match="2 directions"):
        non_dominated(np.zeros((3, 3)), [True, True])


def step_course(back: int, points: int = 100, after: float = 10.0) -> dict[str, np.ndarray]:
    """1 until the change at 10 s, then 30 until `back` points later, then `after`; a point every 0.5 s."""
    values = np.concatenate([np.ones(20), np.full(back, 30.0), np.full(points - back, after)])
    return {"time_s": np.arange(len(values)) * 0.5, "mean": values}


@pytest.mark.parametrize("back", [0, 1, 12, 40])
def test_the_time_to_recover_of_a_step_is_its_length(back: int) -> None:
    assert time_to_recover(step_course(back), 10.0, smoothing=1) == back * 0.5


def test_smoothing_sees_nothing_of_before_the_change() -> None:
    assert time_to_recover(step_course(0), 10.0, smoothing=9) == 0
    assert time_to_recover(step_course(12), 10.0, smoothing=9) == (12 + 4) * 0.5  # half the window sees the step


def test_the_time_to_recover_of_an_exponential_is_known() -> None:
    time = np.arange(0, 400, 0.1)
    course = {"time_s": time, "mean": 5 + np.where(time < 50, 0, 5 * np.exp(-(time - 50) / 10))}
    assert time_to_recover(course, 50.0, tolerance=0.1, smoothing=1) == pytest.approx(10 * np.log(10), abs=0.11)
    assert time_to_recover(course, 50.0, tolerance=0.01, smoothing=1) == pytest.approx(10 * np.log(100), abs=0.11)


def test_a_short_visit_is_no_recovery() -> None:
    course = step_course(40)
    course["mean"][25:30] = 10.0
    assert time_to_recover(course, 10.0, smoothing=1, hold=6) == 20
    assert time_to_recover(course, 10.0, smoothing=1, hold=5) == 2.5


def test_what_does_not_settle_does_not_recover() -> None:
    growing = {"time_s": np.arange(200.0), "mean": np.arange(200.0) ** 2}
    assert np.isnan(time_to_recover(growing, 10.0))
    assert np.isnan(time_to_recover(step_course(95), 10.0, smoothing=1, hold=10))
    assert np.isnan(time_to_recover(step_course(0), 10.0, until=12.0))
    assert np.isnan(time_to_recover({"time_s": [1.0], "mean": [np.nan]}, 0.0))


def test_the_next_change_ends_the_search_and_gaps_are_skipped() -> None:
    course = step_course(12)
    course["mean"][80:] = 99.0
    course["mean"][50] = np.nan
    assert time_to_recover(course, 10.0, until=40.0, smoothing=1) == 6
    order = np.random.default_rng(0).permutation(len(course["mean"]))
    shuffled = {name: values[order] for name, values in course.items()}
    assert time_to_recover(shuffled, 10.0, until=40.0, smoothing=1) == 6


def test_means_near_zero_have_a_floor() -> None:
    course = step_course(12, after=0.0)
    course["mean"][32:] += np.tile([0.0, 0.05], 44)
    assert np.isnan(time_to_recover(course, 10.0, smoothing=1))
    assert time_to_recover(course, 10.0, smoothing=1, floor=1.0) == 6


def test_recovery_lists_every_change_policy_and_measure() -> None:
    course = pd.DataFrame({"policy": "ppo", "measure": "request_queue", **step_course(12)})
    found = recovery(Dynamic(course, {"time_s": [10.0], "label": ["more"]}, smoothing=1))
    assert found.to_dict("records") == [
        {"policy": "ppo", "measure": "request_queue", "change": "more", "time_s": 10.0, "recovery_s": 6.0}
    ]


def test_differences_are_paired_by_seed_and_averaged_over_training_seeds() -> None:
    episodes = {
        "policy": ["a", "a", "b", "b", "b", "b"],
        "seed": [1, 2, 2, 1, 2, 1],
        "return": [10.0, 20.0, 25.0, 14.0, 27.0, 12.0],
    }
    (row,) = paired_differences(episodes, "a", ["return"]).to_dict("records")
    assert (row["policy"], row["mean"], row["episodes"]) == ("b", 4.5, 2)
    assert (row["low"], row["high"]) == (3.0, 6.0)
    with pytest.raises(ValueError, match="no episodes of c; there are a, b"):
        paired_differences(episodes, "c", ["return"])
    with pytest.raises(ValueError, match="no seed in common"):
        paired_differences({**episodes, "seed": [1, 2, 3, 4, 3, 4]}, "a", ["return"])


def test_the_worst_decile_is_at_the_bad_end() -> None:
    values = np.arange(20.0)
    worst = worst_decile({"policy": ["a"] * 20, "return": values, "aori_s": values}, ["return", "aori_s"])
    assert worst["mean"].tolist() == [0.5, 18.5]
    assert (worst["low"] <= worst["mean"]).all()
    assert (worst["mean"] <= worst["high"]).all()


def test_working_points_spread_over_time_and_seeds() -> None:
    rows = [
        ("a", f"{n}_share", t, m, s) for n, s in (("bandwidth", 0.0), ("compute", 0.3)) for t, m in ((0, 0.2), (1, 0.4))
    ]
    course = pd.DataFrame(rows, columns=["policy", "measure", "time_s", "mean", "sd"])
    (row,) = working_points(course).to_dict("records")
    assert row["bandwidth_share"] == pytest.approx(0.3)
    assert row["bandwidth_sd"] == pytest.approx(0.1)
    assert row["compute_sd"] == pytest.approx(np.hypot(0.1, 0.3))


# -- figures -----------------------------------------------------------------------------------------------------------


def colours_of(figure: Figure) -> dict[str, str]:
    """Colours by the names in the legend of a figure."""
    (legend,) = figure.legends
    names = [text.get_text().partition(" (top")[0] for text in legend.get_texts()]
    handles = legend.legend_handles
    colours = [to_hex(handle.get_color()).upper() for handle in handles]  # type: ignore[union-attr]
    return dict(zip(names, colours, strict=True))


def test_policies_look_alike_in_all_figures() -> None:
    names = ["first", "ppo", "tuned", "best-fixed", "last"]
    summary, course = summarize(tables.episodes(("last", "tuned", "ppo"))), tables.course(("tuned", "last"))
    lines = {"policy": ["best-fixed"], "mean": [2.0], "low": [1.5], "high": [2.5]}
    with one_look(names) as styles:
        figures = [
            enumeration_figure(grid(), working_points(tables.course(("last", "ppo")))),
            pareto_figure(summary.dropna(), grid()),
            course_figure(course),
            training_figure(training(("tuned", "ppo")), lines),
            adaptation_figure(course, changes()),
        ]
    for figure in figures:
        seen = colours_of(figure)
        assert {name: styles[name].colour for name in seen if name in styles} == {
            name: colour for name, colour in seen.items() if name in styles
        }
    assert len({style.marker for style in styles.values()}) == len({style.colour for style in styles.values()}) == 5
    assert styles_of(["tuned"])["tuned"] != styles["tuned"]  # and nothing of it stays


def test_the_landscape_marks_the_best_split_and_the_policies() -> None:
    points = {
        "policy": ["ppo"],
        "bandwidth_share": [0.3],
        "compute_share": [0.6],
        "bandwidth_sd": [0.5],
        "compute_sd": [0.1],
    }
    axes = enumeration_figure(grid(), points).axes[0]
    drawn = [(np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()) for line in axes.lines]
    assert drawn == [
        ([25.0], [50.0]),
        ([0.0, 80.0], [60.0, 60.0]),
        ([30.0, 30.0], [50.0, pytest.approx(70.0)]),
        ([30.0], [60.0]),
    ]


def test_a_landscape_of_ages_has_its_top_where_they_are_low() -> None:
    axes = enumeration_figure(grid(), objective="aori_s").axes[0]
    assert np.asarray(axes.lines[0].get_xdata()).tolist() == [0.0]


def test_the_front_of_the_splits_is_drawn() -> None:
    figure = pareto_figure(summarize(tables.episodes(("ppo",))), grid())
    front = figure.axes[1].lines[0]
    np.testing.assert_allclose(front.get_xdata(), np.repeat(np.linspace(1, 2, 5), 5))
    np.testing.assert_allclose(front.get_ydata(), np.repeat(np.linspace(2, 1, 5), 5))
    assert "← better" in figure.axes[0].get_xlabel()
    assert "↑ better" in figure.axes[0].get_ylabel()


def test_maps_have_queues_from_zero_on_logarithmic_axes() -> None:
    axes = policy_map_figure([policy_map(), policy_map(visits=False)]).axes[0]
    assert axes.get_xlabel() == "Request queue (jobs)"
    assert axes.get_xlim() == pytest.approx((0, 30))
    assert axes.get_xticks().tolist() == [0, 1, 3, 10, 30]


def test_training_has_a_line_per_seed_and_their_mean() -> None:
    axes = training_figure(training(("ppo",))).axes[0]
    assert [np.asarray(line.get_ydata()).tolist() for line in axes.lines] == [[2, 3, 4], [3, 4, 5], [2.5, 3.5, 4.5]]
    assert axes.get_xscale() == "linear"
    assert training_figure(training()).axes[0].get_xscale() == "log"


def test_a_run_with_one_evaluation_is_seen() -> None:
    once = pd.DataFrame(training(("ppo",))).query("steps == 1000")
    *seeds, mean = training_figure(once).axes[0].lines
    assert [line.get_marker() for line in (*seeds, mean)] == ["o"] * 3
    assert seeds[0].get_markersize() < mean.get_markersize()


def test_changes_are_lines_in_every_panel_with_labels_above_the_first() -> None:
    figure = adaptation_figure(tables.course(POLICIES), changes())
    for axes in figure.axes:
        assert [np.asarray(line.get_xdata()).tolist() for line in axes.lines[-2:]] == [[1.0, 1.0], [2.5, 2.5]]
    assert [text.get_text() for text in figure.axes[0].texts] == ["requests x 2", "as before"]
    assert not figure.axes[2].texts
