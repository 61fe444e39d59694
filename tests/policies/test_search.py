"""Search over fixed splits: the same numbers as single runs, however it is cut up, and the right winner."""

from __future__ import annotations

import importlib.util
import socket
import sys

import numpy as np
import pytest

from metalore.intervals import bootstrap_intervals
from metalore.policies import Fixed
from metalore.policies.rollout import run_episodes
from metalore.policies.search import (
    OBJECTIVES,
    Resources,
    Searched,
    SearchError,
    Splits,
    confirm,
    evaluate,
    grid_points,
    held_out_seeds,
    refine,
    search_splits,
)
from metalore.scenario import Scenario, load

SEEDS = (3, 11, 4, 8, 5)


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load("smart-city", max_steps=15)


@pytest.fixture(scope="module")
def grid(scenario: Scenario) -> Searched:
    return search_splits(scenario, 5, SEEDS)


def made(means: list[list[float]], objective: str = "return", points: np.ndarray | None = None) -> Searched:
    """A search with these values."""
    places = grid_points(2) if points is None else points
    return Searched(load("smart-city", max_steps=15), places, tuple(range(len(means[0]))), {objective: np.array(means)})


def same(one: Searched, other: Searched) -> None:
    for name in OBJECTIVES:
        np.testing.assert_array_equal(one.values[name], other.values[name], err_msg=name)


def test_the_grid_covers_all_shares() -> None:
    points = grid_points(21)
    assert points.shape == (441, 2)
    assert points[0].tolist() == [0, 0]
    assert points[1].tolist() == [0, 0.05]
    assert points[-1].tolist() == [1, 1]
    assert len(np.unique(points, axis=0)) == 441


def test_values_are_those_of_single_runs(grid: Searched) -> None:
    for i, (bandwidth, compute) in enumerate(grid.points):
        rows = run_episodes(grid.scenario, Fixed(bandwidth, compute), SEEDS).episodes
        rows["requests_lost_share"] = rows["requests_lost"] / rows["requests_generated"]
        for name in OBJECTIVES:
            np.testing.assert_array_equal(grid.values[name][i], rows[name], err_msg=name)


def test_points_differ(grid: Searched) -> None:
    assert len(np.unique(grid.mean("return"))) > 5


@pytest.mark.parametrize("chunk", [1, 7, 125])
@pytest.mark.parametrize("threads", [1, 3])
def test_results_do_not_depend_on_chunks_or_threads(grid: Searched, chunk: int, threads: int) -> None:
    same(search_splits(grid.scenario, 5, SEEDS, resources=Resources(chunk=chunk, threads=threads)), grid)


def test_progress_adds_up(scenario: Scenario) -> None:
    done: list[int] = []
    search_splits(scenario, 2, SEEDS, resources=Resources(chunk=1), progress=done.append)
    assert sum(done) == 4 * len(SEEDS)
    assert len(done) > 1


def test_where_only_requests_need_compute_all_of_it_is_best() -> None:
    """Updates are nearly free, so the more compute for requests the more of them are done; bandwidth suffices."""
    cheap = {"mean": 1e-6, "distribution": "constant", "minimum": 0.0}
    scenario = load(
        "smart-city",
        max_steps=15,
        **{
            "users.requests.compute_gcycle.mean": 40.0,
            "users.requests.data_mbit": cheap,
            "sensors.updates.compute_gcycle": cheap,
            "sensors.updates.data_mbit": cheap,
        },
    )
    points = np.array([(0.5, compute) for compute in (0.1, 0.5, 0.9, 0.3)])
    search = evaluate(scenario, Splits, points, range(4))
    assert search.best("throughput_per_s") == 2
    assert np.argsort(search.mean("throughput_per_s")).tolist() == [0, 3, 1, 2]


def test_the_best_is_the_largest_or_the_smallest_as_the_objective_says() -> None:
    values = [[1.0, 2.0], [5.0, 5.0], [9.0, -1.0], [0.0, 0.0]]
    assert made(values).best("return") == 1
    assert made(values, "aori_s").best("aori_s") == 3


def test_a_point_that_rarely_defines_an_objective_does_not_win() -> None:
    nan = np.nan
    search = made([[nan, nan, 0.1], [3.0, 3.0, 3.0], [2.0, 2.0, 2.0], [nan, nan, nan]], "aori_s")
    assert search.best("aori_s") == 2
    assert search.mean("aori_s")[0] == pytest.approx(0.1)
    assert np.isnan(search.mean("aori_s")[3])
    assert np.isnan(search.interval("aori_s")[[0, 3]]).all()


def test_an_objective_that_nothing_defines_has_no_best() -> None:
    with pytest.raises(SearchError, match="no episode defines aori_s"):
        made([[np.nan]] * 4, "aori_s").best("aori_s")


def test_intervals_cover_the_mean_as_often_as_they_say() -> None:
    values = np.random.default_rng(0).normal(7.0, 2.0, (400, 60))
    low, high = bootstrap_intervals(values).T
    assert 0.90 < np.mean((low < 7) & (high > 7)) < 0.98
    assert np.mean(high - low) == pytest.approx(2 * 1.96 * 2 / np.sqrt(60), rel=0.1)


def test_refinement_looks_around_the_best_and_keeps_it(grid: Searched) -> None:
    finer = refine(grid, "return", 5)
    best = grid.points[grid.best("return")]
    assert finer.seeds == grid.seeds
    assert np.abs(finer.points - best).max() <= 0.25
    assert (finer.points == best).all(axis=1).any()
    assert finer.mean("return").max() >= grid.mean("return").max()


@pytest.mark.parametrize("best", range(4))
def test_refinement_at_the_edge_stays_within_the_shares(best: int) -> None:
    means = [[0.0, 0.0] for _ in range(4)]
    means[best] = [1.0, 1.0]
    finer = refine(made(means), "return", 2)
    assert finer.points.min() >= 0
    assert finer.points.max() <= 1
    assert (finer.points == grid_points(2)[best]).all(axis=1).any()


def test_the_winner_is_judged_on_other_episodes(grid: Searched) -> None:
    winner = confirm(grid, "return")
    index = grid.best("return")
    assert winner.point == tuple(grid.points[index])
    assert winner.chosen_by[0] == pytest.approx(grid.mean("return")[index])
    assert winner.chosen_by[1] < winner.chosen_by[0] < winner.chosen_by[2]
    assert not set(winner.results.seeds) & set(SEEDS)
    rows = run_episodes(grid.scenario, Fixed(*winner.point), winner.results.seeds).episodes
    assert winner.held_out[0] == pytest.approx(rows["return"].mean())


@pytest.mark.parametrize("seeds", [[0, 1, 2], [2**64 - 1], [2**64 - 5, 7]])
def test_held_out_seeds_are_others(seeds: list[int]) -> None:
    others = held_out_seeds(seeds, 50)
    assert len(others) == 50
    assert not set(seeds) & set(others)
    assert others[0] >= 0
    assert others[-1] < 2**64


def test_ray_gives_the_same_numbers(grid: Searched) -> None:
    pytest.importorskip("ray", reason='ray is not installed: pip install "metalore[ray]"')
    same(search_splits(grid.scenario, 5, SEEDS, resources=Resources("ray", threads=1, chunk=2)), grid)


def test_a_cluster_that_does_not_answer_is_named(scenario: Scenario) -> None:
    pytest.importorskip("ray", reason='ray is not installed: pip install "metalore[ray]"')
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(SearchError, match=f"no Ray cluster answers at {address}"):
            search_splits(scenario, 2, [0], resources=Resources("ray", address=address))


def test_without_ray_one_sentence_says_how_to_get_it(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SearchError, match=r'^ray is missing: pip install "metalore\[ray\]"$'):
        search_splits(scenario, 2, [0], resources=Resources("ray"))


def test_ray_is_not_imported_by_the_package() -> None:
    assert importlib.util.find_spec("metalore.policies.search") is not None
    assert "ray" not in vars(sys.modules["metalore.policies.search"])


def test_errors(scenario: Scenario, grid: Searched) -> None:
    with pytest.raises(SearchError, match="at least 2"):
        search_splits(scenario, 1, SEEDS)
    with pytest.raises(SearchError, match="1 episode"):
        search_splits(scenario, 2, [])
    with pytest.raises(SearchError, match="unknown objective 'speed'; known are return, aori_s"):
        grid.best("speed")
    with pytest.raises(SearchError, match="known are local and ray"):
        Resources("spark")
    with pytest.raises(SearchError, match="needs the engine ray"):
        Resources(address="here:1")
    with pytest.raises(SearchError, match="at least 1 thread"):
        Resources(threads=0)
