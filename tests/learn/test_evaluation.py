"""The evaluation protocol: intervals with known coverage, measures and differences with known answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from by_hand import one_of_each

from metalore import intervals
from metalore.intervals import Estimate, bootstrap_mean, lowest_tenth, paired_difference, worst_mean
from metalore.learn.evaluation import (
    EPISODES,
    MAIN,
    WORST,
    EvaluationError,
    evaluate,
    judged,
    stacked,
)
from metalore.learn.seeds import EVALUATION_SEEDS, HELD_OUT_SEEDS, TRAINING_SEEDS
from metalore.policies import EpisodeResults, Fixed, make_policy, run_episodes
from metalore.policies.rollout import Columns
from metalore.scenario import load

BUSY = load(
    "four-cells",
    max_steps=15,
    users__presence={"kind": "churn", "mean_stay_steps": 6, "mean_absence_steps": 3},
    **{"users.count": 12, "sensors.count": 8, "buffers.station_jobs": 2},
)


LOST = {"lost_device", "lost_station", "left"}


def rows(table: Columns, **keys: str) -> dict[str, Any]:
    """The only row with these keys."""
    chosen = np.logical_and.reduce([table[name] == value for name, value in keys.items()])
    assert chosen.sum() == 1, (keys, chosen.sum())
    return {name: column[chosen][0] for name, column in table.items()}


def estimate(table: Columns, **keys: str) -> list[float]:
    row = rows(table, **keys)
    return [float(row[name]) for name in ("mean", "low", "high")]


# -- intervals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paired", [False, True])
def test_95_percent_intervals_cover_about_95_percent(paired: bool) -> None:
    """400 sets of 80 normal samples; in pairs with a common part that is ten times as wide as what differs."""
    generator = np.random.default_rng(3)
    covered, widths = 0, []
    for _ in range(400):
        if paired:
            common = generator.normal(0.0, 10.0, 80)
            values, reference = (common + generator.normal(shift, 1.0, 80) for shift in (2.0, 1.0))
            _, low, high = paired_difference(values, reference, resamples=500)
        else:
            _, low, high = bootstrap_mean(generator.normal(1.0, 3.0, 80), resamples=500)
        covered += low <= 1.0 <= high
        widths.append(high - low)
    assert 0.92 * 400 <= covered <= 0.97 * 400
    spread = math.sqrt(2) if paired else 3.0
    assert np.mean(widths) == pytest.approx(2 * 1.96 * spread / math.sqrt(80), rel=0.05)


def test_the_interval_of_the_worst_tenth_covers_what_theory_says() -> None:
    """Of uniform numbers from 0 to 1 the lowest tenth has a mean of 1/20."""
    generator = np.random.default_rng(4)
    covered = 0
    for _ in range(200):
        _, low, high = worst_mean(generator.uniform(size=200), resamples=300)
        covered += low <= 0.05 <= high
    assert 0.86 * 200 <= covered <= 0.99 * 200


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (range(100), np.mean(range(10))),
        (range(25), (0 + 1 + 0.5 * 2) / 2.5),
        (range(10, 20), 10),
        ([5.0, 3.0, 9.0], 3),
        ([7.0], 7),
    ],
)
def test_the_worst_tenth_by_hand(values: Any, expected: float) -> None:
    shuffled = np.random.default_rng(0).permutation(np.array(values, float))
    assert lowest_tenth(np.stack([shuffled, shuffled + 1])) == pytest.approx([expected, expected + 1])
    assert worst_mean(np.append(shuffled, np.nan))[0] == pytest.approx(expected)


def test_differences_are_taken_pair_by_pair() -> None:
    values, reference = np.array([1.0, np.nan, 3.0, 8.0]), np.array([0.0, 5.0, np.nan, 7.0])
    assert paired_difference(values, reference) == (1.0, 1.0, 1.0)
    undefined = paired_difference(values[1:3], reference[1:3])
    assert all(map(math.isnan, undefined))
    with pytest.raises(ValueError, match="4 values cannot be paired with 3"):
        paired_difference(values, reference[1:])


@pytest.mark.parametrize("kind", [bootstrap_mean, worst_mean])
def test_intervals_are_the_same_every_time_and_in_any_chunk(
    kind: Callable[[np.ndarray], Estimate], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(5).normal(size=40)
    before = kind(values)
    monkeypatch.setattr(intervals, "_CHUNK", 130)
    assert kind(values) == before


# -- the protocol ------------------------------------------------------------------------------------------------------


def test_measures_and_differences_of_a_world_by_hand() -> None:
    """With an even split nine of ten requests are served a step late, with updates of their own step; with none, none.

    What each is worth is worked out in tests/policies/test_rollout.py.
    """
    scenario = one_of_each(step_s=0.5, **{"stations.0.compute_gcycle_s": 20.0})
    done = evaluate({"even": Fixed(0.5, 0.5), "none": Fixed(0.0, 0.0)}, [scenario], range(7, 11))
    expected = {
        "return": 90.0,
        WORST: 90.0,
        "aori_s": 0.5,
        "aosi_s": 0.0,
        "served_age_s": 0.5,
        "twin_age_s": 0.0,
        "request_waiting_age_s": 0.0,
        "throughput_per_s": 9 / 5,
        "requests_late_share": 0.0,
        "requests_lost_share": 0.0,
        "updates_lost_share": 0.0,
        "compute_utilisation": 19 * 5 / 100,
        "jain_fairness": 1.0,
    }
    for measure, value in expected.items():
        assert estimate(done.summary, policy="even", measure=measure) == pytest.approx([value] * 3), measure
    keys = {"policy": "none", "reference": "even"}
    assert estimate(done.differences, measure="return", **keys) == [-90.0] * 3
    assert estimate(done.differences, measure="throughput_per_s", **keys) == pytest.approx([-9 / 5] * 3)
    # Ten requests wait for 0 to 4.5 s instead of one for no time.
    assert estimate(done.differences, measure="request_waiting_age_s", **keys) == pytest.approx([2.25] * 3)
    undefined = rows(done.differences, measure="aori_s", **keys)
    assert math.isnan(undefined["mean"])
    assert undefined["episodes"] == 0
    assert set(done.differences["measure"]) == set(MAIN)
    assert set(done.differences["policy"]) == {"none"}


def test_lost_shares_by_hand() -> None:
    """Nothing is sent, and a device holds three jobs: seven of ten requests find it full."""
    scenario = one_of_each(**{"buffers.device_jobs": 3})
    done = evaluate({"none": Fixed(0.0, 1.0)}, [scenario], range(2))
    assert estimate(done.summary, measure="requests_lost_share") == pytest.approx([0.7] * 3)
    assert len(done.differences["mean"]) == 0


def test_measures_are_those_of_the_job_log() -> None:
    """Counted job by job, episode by episode, in plain Python."""
    policy, seeds = make_policy("backlog-proportional"), range(3, 9)
    log = run_episodes(BUSY, policy, seeds, job_log=True).jobs
    got = evaluate({"it": policy}, [BUSY], seeds).episodes
    assert log is not None
    assert set(log["outcome"]) >= {"lost_station", "left"}
    for i, seed in enumerate(seeds):
        jobs = [dict(zip(log, job, strict=True)) for job in zip(*log.values(), strict=True) if job[0] == seed]
        asked = [job for job in jobs if job["kind"] == "request"]
        served = [job for job in asked if job["outcome"] == "completed"]
        paired = [job for job in served if job["update_created"] >= 0]
        lost = sum(job["outcome"] in LOST for job in asked)
        late = sum(job["completed"] - job["created"] > BUSY.reward.delay_threshold_s / BUSY.step_s for job in served)
        each = [sum(job["device"] == user for job in served) for user in range(BUSY.users.count)]
        expected = {
            "aori_s": np.mean([job["completed"] - job["created"] for job in served]) * BUSY.step_s,
            "aosi_s": np.mean([abs(job["created"] - job["update_created"]) for job in paired]) * BUSY.step_s,
            "served_age_s": np.mean([job["completed"] - job["update_created"] for job in paired]) * BUSY.step_s,
            "throughput_per_s": len(served) / (15 * BUSY.step_s),
            "requests_late_share": late / len(served),
            "requests_lost_share": lost / len(asked),
            "jain_fairness": sum(each) ** 2 / (len(each) * sum(x * x for x in each)),
        }
        for measure, value in expected.items():
            assert got[measure][i] == pytest.approx(value), (seed, measure)


def hand_made(returns: list[float], seeds: list[int] | None = None) -> EpisodeResults:
    size = len(returns)
    columns = {name: np.zeros(size) for name in MAIN} | {"return": np.array(returns)}
    return EpisodeResults(BUSY, "x", {"seed": np.array(seeds or range(size), np.uint64), **columns})


def test_pairs_tell_apart_what_means_do_not() -> None:
    """One is better by 1 to 2 in each episode, while episodes differ by thousands."""
    luck = np.random.default_rng(6).normal(0, 1000, 50)
    gain = np.linspace(1, 2, 50)
    done = judged({"s": {"a": hand_made(list(luck)), "b": hand_made(list(luck + gain))}}, "a")
    a, b = (estimate(done.summary, policy=name, measure="return") for name in "ab")
    assert a[1] < b[0] < a[2]
    mean, low, high = estimate(done.differences, policy="b", measure="return")
    assert mean == pytest.approx(1.5)
    assert 1.3 < low < 1.5 < high < 1.7
    assert estimate(done.summary, policy="a", measure=WORST)[0] == pytest.approx(np.sort(luck)[:5].mean())
    with pytest.raises(EvaluationError, match="different seeds"):
        judged({"s": {"a": hand_made([1.0, 2.0]), "b": hand_made([1.0, 2.0], [0, 2])}}, "a")


def test_several_scenarios_in_one_call_give_what_each_gives_alone() -> None:
    policies = {name: make_policy(name) for name in ("uniform", "max-weight")}
    places = [one_of_each("first"), one_of_each("second", max_steps=6)]
    told: list[tuple[str, str, int]] = []
    both = evaluate(
        policies,
        [*places, places[0]],
        range(3),
        reference="max-weight",
        course=True,
        progress=lambda *what: told.append(what),
    )
    assert list(both.results) == ["first", "second"]
    assert both.reference == "max-weight"
    assert both.seeds == (0, 1, 2)
    assert set(both.differences["policy"]) == {"uniform"}
    alone = evaluate(policies, places[1:], range(3), reference="max-weight")
    for table, other in ((both.summary, alone.summary), (both.differences, alone.differences)):
        part = table["scenario"] == "second"
        for name, column in other.items():
            np.testing.assert_array_equal(table[name][part], column)
    assert both.episodes["policy"].tolist() == (["uniform"] * 3 + ["max-weight"] * 3) * 2
    assert len(stacked(both.results, "course")["mean"]) > 0
    steps = {(place, name): 0 for place in both.results for name in policies}
    for place, name, count in told:
        steps[place, name] += count
    assert list(steps.values()) == [30, 30, 18, 18]


def test_results_are_reported_on_seeds_that_nothing_was_trained_on() -> None:
    assert HELD_OUT_SEEDS > EVALUATION_SEEDS + 10**9
    assert 10**9 * TRAINING_SEEDS <= EVALUATION_SEEDS  # seeds below a billion train on other episodes than both
    done = evaluate({"even": Fixed(0.5, 0.5)}, [one_of_each()])
    assert done.seeds == tuple(range(HELD_OUT_SEEDS, HELD_OUT_SEEDS + EPISODES))


EVEN = {"even": Fixed(0.5, 0.5)}


@pytest.mark.parametrize(
    ("policies", "scenarios", "seeds", "reference", "sentence"),
    [
        ({}, [BUSY], range(2), None, "at least 1 policy"),
        (EVEN, [], range(2), None, "at least 1 scenario"),
        (EVEN, [BUSY], [], None, "at least 1 episode"),
        (EVEN, [BUSY], [4, 4], None, "seeds come more than once"),
        (EVEN, [BUSY], range(2), "odd", "the reference 'odd' is none of the policies 'even'"),
        (EVEN, [one_of_each(), one_of_each(max_steps=3)], range(2), None, "two different scenarios are called 'by-h"),
    ],
)
def test_impossible_evaluations(policies: Any, scenarios: Any, seeds: Any, reference: Any, sentence: str) -> None:
    with pytest.raises(EvaluationError, match=sentence):
        evaluate(policies, scenarios, seeds, reference=reference)
