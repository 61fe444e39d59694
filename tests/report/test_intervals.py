"""Means, bootstrap intervals, and numbers as they are written."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from metalore.intervals import bootstrap_mean
from metalore.report.intervals import decimals_for, interval, summarize, written


def test_the_interval_is_the_one_of_theory_for_a_normal_sample() -> None:
    values = np.random.default_rng(0).normal(5.0, 2.0, 4000)
    mean, low, high = bootstrap_mean(values)
    error = values.std() / math.sqrt(len(values))
    assert mean == values.mean()
    assert low == pytest.approx(mean - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(mean + 1.96 * error, abs=0.15 * error)


def test_the_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    intervals = [bootstrap_mean(generator.exponential(1.0, 60), resamples=400)[1:] for _ in range(300)]
    covered = sum(low <= 1.0 <= high for low, high in intervals)
    assert 0.89 * 300 < covered < 0.98 * 300


def test_the_interval_is_the_same_every_time_and_in_any_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(2).normal(size=50)
    before = bootstrap_mean(values)
    assert before == bootstrap_mean(values)
    monkeypatch.setattr("metalore.intervals._CHUNK", 120)
    assert before == bootstrap_mean(values)


def test_undefined_values_do_not_count() -> None:
    assert bootstrap_mean(np.array([1.0, np.nan, 1.0])) == (1.0, 1.0, 1.0)
    assert all(map(math.isnan, bootstrap_mean(np.array([np.nan]))))
    mean, low, _ = bootstrap_mean(np.array([3.0]))
    assert mean == 3.0
    assert math.isnan(low)


def test_a_summary_keeps_the_order_and_counts_defined_episodes() -> None:
    episodes = pd.DataFrame({"policy": ["b", "b", "a"], "seed": [1, 2, 1], "x": [1.0, np.nan, 4.0], "y": [1, 2, 3]})
    summary = summarize(episodes)
    assert summary[["policy", "measure", "episodes"]].to_numpy().tolist() == [
        ["b", "x", 1],
        ["b", "y", 2],
        ["a", "x", 1],
        ["a", "y", 1],
    ]
    assert summary["mean"].tolist() == [1.0, 1.5, 4.0, 3.0]
    assert summarize(episodes, ["y"])["measure"].tolist() == ["y", "y"]


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(1302.6, 0, "1,303"), (-0.581, 2, "−0.58"), (-0.001, 2, "0.00"), (0.0, 1, "0.0"), (math.nan, 2, "–")],
)
def test_numbers_for_people(value: float, decimals: int, text: str) -> None:
    assert written(value, decimals) == text


def test_digits_follow_the_largest_number_of_a_column() -> None:
    columns = ([1302.0, 4.0], [250.0], [28.7, 0.69], [0.05, math.nan], [0.0, 0.0], [])
    assert [decimals_for(column) for column in columns] == [0, 1, 2, 3, 0, 0]
    assert interval(0.651, 0.724, 2) == "[0.65, 0.72]"
    assert interval(math.nan, math.nan, 2) == ""
