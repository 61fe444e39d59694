"""Summaries against answers worked out by hand, and against rhythms that were put in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from telemetry import made

from metalore.telemetry import TelemetryError, ZoneGraph, check_table
from metalore.telemetry.summary import (
    correlation,
    correlation_by_distance,
    correlation_by_hops,
    daily_profile,
    hour_of_week,
    per_zone,
    totals,
    weekly_profile,
    without_rhythm,
)


def test_means_by_zone_weigh_latencies_by_requests() -> None:
    table = check_table(
        made.table(
            2,
            active_users=[1, 2, 3, 3, np.nan, 3],
            completed=[1, 0, 2, 3, 0, 2],
            latency_ms=[100, np.nan, 50, 200, np.nan, 70],
            jitter_ms=[0, np.nan, 10, 0, np.nan, 10],
            cpu_cores=[2, 1, 0, 4, 1, 0],
            cpu_capacity_cores=[10, 10, 0, 10, 10, 0],
        )
    )
    zones = per_zone(table)
    assert zones.index.tolist() == list(made.ZONES)
    assert zones["active_users"].tolist() == [2, 2, 3]
    assert zones["most_users"].tolist() == [3, 2, 3]
    assert zones["intervals"].tolist() == [2, 1, 2]
    assert zones["latency_ms"].tolist() == pytest.approx([175, np.nan, 60], nan_ok=True)
    assert zones.loc["west", "jitter_ms"] == pytest.approx(np.std([100, 200, 200, 200]))
    assert zones.loc["east", "jitter_ms"] == pytest.approx(np.sqrt(100 + 100))
    assert zones["cpu_load"].tolist() == pytest.approx([0.3, 0.1, np.nan], nan_ok=True)


def test_a_table_of_required_columns_alone_has_a_summary() -> None:
    table = check_table(made.table(2).drop(columns=["completed", "cpu_capacity_cores", "up", "aori_s", "aosi_s"]))
    zones = per_zone(table)
    assert zones["latency_ms"].tolist() == [0.5] * 3
    assert zones["cpu_load"].isna().all()
    assert totals(table)["latency_ms"].tolist() == [0.5] * 2


def test_totals_of_the_city() -> None:
    table = check_table(
        made.table(3, active_users=[1, 2, 3, np.nan, 2, 3, *[np.nan] * 3], requests=[1800] * 9, completed=[1, 3, 0] * 3,
                   latency_ms=[1, 5, np.nan] * 3)
    )  # fmt: skip
    city = totals(table)
    assert city["active_users"].tolist() == pytest.approx([6, 5, np.nan], nan_ok=True)
    assert city["requests_per_s"].tolist() == [3, 3, 3]
    assert city["latency_ms"].tolist() == [4, 4, 4]
    assert city.index.tolist() == [0, 1800, 3600]


def test_hours_of_the_week() -> None:
    assert hour_of_week(np.array([0, 3600, 86_400.0 * 7])).tolist() == [0, 1, 0]
    assert hour_of_week(np.array([0.0]), start_day=6, start_hour=23.5).tolist() == [167.5]


def test_profiles_find_the_rhythm_that_was_put_in() -> None:
    hours = np.repeat(np.arange(14 * 48) // 2, 3)
    table = check_table(made.table(14 * 48, active_users=(hours + 6) % 24.0))  # begins at 6:00
    week = weekly_profile(table, start_hour=6)
    assert week.shape == (3, 168)
    assert week.loc["east"].tolist() == [h % 24 for h in range(168)]
    day = daily_profile(table, start_hour=6)
    assert day["weekday"].tolist() == [3 * h for h in range(24)]
    assert day["weekend"].tolist() == day["weekday"].tolist()


def test_a_short_recording_knows_some_hours_only() -> None:
    week = weekly_profile(check_table(made.table(4)), start_day=5)
    assert week.columns[week.notna().all()].tolist() == [120, 121]
    day = daily_profile(check_table(made.table(4)), start_day=5)
    assert day["weekday"].isna().all()
    assert day["weekend"].notna().sum() == 2


def waves(days: int = 6) -> pd.DataFrame:
    """All share noon; west and middle share their accidents as well, east has the opposite ones."""
    generator = np.random.default_rng(0)
    t = days * 48
    noon = 10 * np.sin(2 * np.pi * np.arange(t) / 48)
    accidents = generator.normal(size=t)
    own = generator.normal(size=t)
    users = np.stack([noon + accidents, noon + accidents + own, noon - accidents], axis=1) + 20
    return check_table(made.table(t, active_users=users.reshape(-1)))


def test_correlation_with_and_without_the_rhythm_of_the_day() -> None:
    table = waves()
    shared, bare = correlation(table, rhythm=True), correlation(table)
    assert shared.loc["west", "east"] > 0.9
    assert bare.loc["west", "east"] == pytest.approx(-1)
    assert bare.loc["west", "middle"] == pytest.approx(1 / np.sqrt(2), abs=0.1)
    np.testing.assert_allclose(np.diag(bare), 1)
    np.testing.assert_allclose(bare, bare.T)


def test_correlation_is_that_of_numpy_and_leaves_gaps_out() -> None:
    table = waves()
    values = table["active_users"].to_numpy().reshape(-1, 3)
    np.testing.assert_allclose(correlation(table, rhythm=True), np.corrcoef(values.T))
    table.loc[np.arange(0, 60, 3), "active_users"] = np.nan  # west
    known = values[20:]
    expected = np.corrcoef(known.T)[0, 1]
    assert correlation(table, rhythm=True).loc["west", "middle"] == pytest.approx(expected)
    table["active_users"] = table["active_users"].where(table["zone"] != "east", 7.0)
    assert correlation(table, rhythm=True)["east"].isna().all()


def test_without_two_days_only_the_mean_is_taken_off() -> None:
    times, values = np.arange(4) * 3600.0, np.array([[1.0], [2], [3], [6]])
    assert without_rhythm(times, values).ravel().tolist() == [-2, -1, 0, 3]


def test_weekdays_and_weekends_have_rhythms_of_their_own() -> None:
    times = np.arange(7 * 24) * 3600.0
    quiet = np.where(times < 5 * 86_400, 10.0, 3.0)[:, None] + np.sin(2 * np.pi * np.arange(168) / 24)[:, None]
    np.testing.assert_allclose(without_rhythm(times, quiet), 0, atol=1e-12)
    three = without_rhythm(times[:72], quiet[:72], start_day=3)  # Thursday, Friday, and one Saturday alone
    assert np.isnan(three[48:]).all()
    np.testing.assert_allclose(three[:48], 0, atol=1e-12)


def test_correlation_by_distance_and_hops() -> None:
    matrix = pd.DataFrame([[1, 0.8, 0.2], [0.8, 1, 0.6], [0.2, 0.6, 1]], list(made.ZONES), list(made.ZONES))
    graph = made.graph()
    far = correlation_by_distance(matrix, graph.distances_m(), bins=2)
    assert far["distance_m"].tolist() == [100, 200]
    assert far["correlation"].tolist() == pytest.approx([0.7, 0.2])
    assert far["pairs"].tolist() == [2, 1]
    hops = correlation_by_hops(matrix, graph.hops())
    assert hops["hops"].tolist() == [1, 2]
    assert hops["low"].tolist() == pytest.approx([0.65, 0.2])
    alone = ZoneGraph(made.ZONES, graph.positions_m, np.array([], int), np.array([], int), np.array([]))
    assert correlation_by_hops(matrix, alone.hops()).empty
    with pytest.raises(TelemetryError, match="they need the same zones"):
        correlation_by_distance(matrix, np.zeros((2, 2)))


def test_nothing_to_correlate() -> None:
    matrix = correlation(check_table(made.table(1)))
    assert matrix.isna().all(axis=None)
    assert correlation_by_distance(matrix, made.graph().distances_m()).empty
