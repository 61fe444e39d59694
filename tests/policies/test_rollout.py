"""Episodes run in batches, and what is read from them, against numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from by_hand import constant, one_of_each

from metalore.policies import Fixed, make_policy, rollout
from metalore.policies.rollout import COURSES, EpisodeResults, lost_share, run_episodes
from metalore.scenario import load
from metalore.world import REWARD_TERMS


def row(results: EpisodeResults) -> dict[str, float]:
    """The first episode."""
    return {name: float(column[0]) for name, column in results.episodes.items()}


def test_requests_that_are_served_a_step_later_by_hand() -> None:
    """Request 0 waits for the first processed update; every request is served with the update of its own step."""
    scenario = one_of_each(step_s=0.5, **{"stations.0.compute_gcycle_s": 20.0})
    channel = {"channel": loss_of_100_db}
    got = row(run_episodes(scenario, Fixed(0.5, 0.5), [3], functions=channel))
    assert got["requests_generated"] == got["updates_generated"] == got["updates_completed"] == 10
    assert got["requests_completed"] == 9
    assert got["aori_s"] == got["served_age_s"] == got["request_server_queue_s"] == pytest.approx(0.5)
    assert got["aosi_s"] == got["signed_gap_s"] == got["twin_age_s"] == 0
    assert got["peak_age_s"] == pytest.approx(0.5 * 9 / 10)  # 0 in step 0, then 1 step each
    assert got["request_waiting_age_s"] == 0  # created in the last step
    assert math.isnan(got["update_waiting_age_s"])  # none waits
    assert got["return"] == got["reward_synchronization"] == pytest.approx(90)
    assert got["requests_late_share"] == got["requests_lost"] == got["updates_lost"] == 0
    assert got["throughput_per_s"] == pytest.approx(9 / 5)
    assert got["compute_utilisation"] == pytest.approx(19 * 5 / 100)
    # 100 dB of loss: 10 W / 1e10 = 1e-9 W over 1e-12 W, so log2(1001) bit/s/Hz carry 2 Mbit in 0.5 s.
    assert got["band_utilisation"] == pytest.approx(2e6 / 0.5 / math.log2(1001) / 100e6)
    assert got["jain_fairness"] == 1


def loss_of_100_db(
    distance_m: float, carrier_mhz: float, station_height_m: float, device_height_m: float, luck: float
) -> float:
    return 100.0


def test_requests_that_fall_behind_by_hand() -> None:
    """15 Gcycle at 5 a step: requests 0, 1, 2 start in steps 1, 4, 7 with updates 0, 3, 6 and end in 3, 6, 9."""
    scenario = one_of_each(users__requests__compute_gcycle=constant(15.0))
    got = row(run_episodes(scenario, Fixed(0.5, 0.5), [0]))
    assert got["requests_completed"] == 3
    assert got["aori_s"] == pytest.approx((3 + 5 + 7) / 3)
    assert got["aosi_s"] == pytest.approx((0 + 2 + 4) / 3)
    assert got["signed_gap_s"] == pytest.approx(-(0 + 2 + 4) / 3)
    assert got["served_age_s"] == pytest.approx(3)
    assert got["request_server_queue_s"] == pytest.approx((1 + 3 + 5) / 3)
    assert got["request_processing_s"] == pytest.approx(2)
    assert got["request_device_queue_s"] == got["request_transmission_s"] == 0
    assert got["request_waiting_age_s"] == pytest.approx((6 + 5 + 4 + 3 + 2 + 1 + 0) / 7)
    assert got["requests_late_share"] == 1
    assert got["reward_synchronization"] == pytest.approx(10 * (1 + 0.9**2 + 0.9**4))
    assert got["reward_delay"] == -3
    assert got["return"] == pytest.approx(sum(got[f"reward_{term}"] for term in REWARD_TERMS))


def only_the_first(
    time_s: float, device: float, is_sensor: float, u0: float, u1: float, u2: float, u3: float
) -> tuple[float, float, float]:
    return (1.0 if is_sensor == 1.0 or device == 0.0 else 0.0), 1.0, 1.0


def test_fairness_between_two_users_by_hand() -> None:
    settings = one_of_each().model_dump(mode="json")
    settings["users"] |= {"count": 2, "positions_m": [[110.0, 100.0], [90.0, 100.0]]}
    scenario = load(settings)
    # 5 Gcycle a step for two requests of 5 each: the nine that complete are of user 0 and user 1 in turn.
    in_turn = row(run_episodes(scenario, Fixed(0.5, 0.5), [0]))
    assert in_turn["jain_fairness"] == pytest.approx((5 + 4) ** 2 / (2 * (5**2 + 4**2)))
    alone = run_episodes(scenario, Fixed(0.5, 0.5), [0], functions={"traffic": only_the_first})
    assert row(alone)["jain_fairness"] == pytest.approx(0.5)


def test_what_nothing_defines_is_nan() -> None:
    got = row(run_episodes(one_of_each(), Fixed(0.0, 0.0), [0]))
    undefined = ("aori_s", "aosi_s", "signed_gap_s", "served_age_s", "requests_late_share", "jain_fairness")
    assert all(math.isnan(got[name]) for name in (*undefined, "request_processing_s"))
    assert got["requests_completed"] == got["throughput_per_s"] == got["return"] == 0
    assert got["request_waiting_age_s"] == pytest.approx(4.5)


def test_lost_shares_by_hand() -> None:
    """Nothing is sent, and a device holds three jobs: seven of ten find it full. Of nothing, no part is lost."""
    full = one_of_each(**{"buffers.device_jobs": 3})
    episodes = run_episodes(full, Fixed(0.0, 0.0), range(2)).episodes
    assert lost_share(episodes, "requests").tolist() == [0.7, 0.7]
    empty = load("smart-city-small", max_steps=3, **{"users.count": 0})
    without_users = run_episodes(empty, Fixed(0.0, 0.0), range(2)).episodes
    assert np.isnan(lost_share(without_users, "requests")).all()
    assert (lost_share(without_users, "updates") == 0).all()


@pytest.mark.parametrize("count", ["users.count", "sensors.count"])
def test_worlds_without_users_or_sensors(count: str) -> None:
    scenario = load("smart-city-small", max_steps=5, **{count: 0})
    results = run_episodes(scenario, Fixed(0.5, 0.5), range(2), course=True, ages=True)
    missing = "aori_s" if count == "users.count" else "twin_age_s"
    assert np.isnan(results.episodes[missing]).all()
    assert results.ages is not None
    assert results.ages["requests"][0] == 0 or count == "sensors.count"


BUSY = load(
    "four-cells",
    max_steps=12,
    users__presence={"kind": "churn", "mean_stay_steps": 6, "mean_absence_steps": 3},
    **{"users.count": 12, "sensors.count": 8},
)


@pytest.mark.parametrize("policy", ["uniform", "max-weight-age"])
def test_results_do_not_depend_on_batch_or_threads(policy: str) -> None:
    """To the last bit, in all tables."""

    def tables(**how: Any) -> dict[str, np.ndarray]:
        done = run_episodes(BUSY, make_policy(policy), range(7, 14), course=True, ages=True, job_log=True, **how)
        parts = {"episodes": done.episodes, "course": done.course, "ages": done.ages, "jobs": done.jobs}
        return {f"{part}.{name}": column for part, columns in parts.items() for name, column in (columns or {}).items()}

    whole = tables()
    for how in ({"batch": 1}, {"batch": 3}, {"batch": 4, "threads": 2}):
        other = tables(**how)
        assert whole.keys() == other.keys()
        for name, column in whole.items():
            np.testing.assert_array_equal(column, other[name], err_msg=f"{name} with {how}")


def test_rows_follow_the_seeds() -> None:
    policy = Fixed(0.5, 0.5)
    together = run_episodes(BUSY, policy, [5, 2**63, 2], batch=2).episodes
    assert together["seed"].tolist() == [5, 2**63, 2]
    alone = run_episodes(BUSY, policy, [2]).episodes
    assert together["return"][2] == alone["return"][0]
    assert len(set(together["return"].tolist())) == 3


def columns_of(table: dict[str, np.ndarray] | None, measure: str) -> dict[str, np.ndarray]:
    assert table is not None
    chosen = table["measure"] == measure
    return {name: column[chosen] for name, column in table.items()}


def test_the_course_agrees_with_the_episodes() -> None:
    done = run_episodes(BUSY, Fixed(0.4, 0.6), range(5), course=True)
    assert set((done.course or {})["measure"]) == set(COURSES)
    reward = columns_of(done.course, "reward")
    assert reward["step"].tolist() == list(range(12))
    assert reward["mean"].sum() == pytest.approx(done.episodes["return"].mean())
    assert reward["first"].sum() == pytest.approx(done.episodes["return"][0])
    assert (columns_of(done.course, "bandwidth_share")["mean"] == 0.4).all()
    assert (columns_of(done.course, "compute_share")["sd"] == 0).all()
    assert columns_of(done.course, "twin_age_s")["mean"].mean() == pytest.approx(done.episodes["twin_age_s"].mean())


def test_the_spread_of_a_course_is_the_standard_deviation_over_seeds() -> None:
    seeds = [run_episodes(BUSY, Fixed(0.4, 0.6), [seed], course=True).course for seed in range(4)]
    together = run_episodes(BUSY, Fixed(0.4, 0.6), range(4), course=True).course
    for measure in ("update_queue", "aori_s"):
        each = np.array([columns_of(course, measure)["first"] for course in seeds])
        known = (~np.isnan(each)).sum(axis=0)
        got = columns_of(together, measure)
        assert got["episodes"].tolist() == known.tolist()
        enough = known > 1
        np.testing.assert_allclose(got["mean"][enough], np.nanmean(each[:, enough], axis=0), rtol=1e-12)
        np.testing.assert_allclose(got["sd"][enough], np.nanstd(each[:, enough], axis=0, ddof=1), rtol=1e-9)
        assert np.isnan(got["sd"][~enough]).all()


def test_a_long_course_is_kept_with_few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = columns_of(run_episodes(BUSY, Fixed(0.4, 0.6), range(3), course=True).course, "update_queue")
    monkeypatch.setattr(rollout, "COURSE_POINTS", 4)
    coarse = columns_of(run_episodes(BUSY, Fixed(0.4, 0.6), range(3), course=True).course, "update_queue")
    assert coarse["step"].tolist() == [1, 4, 7, 10]
    np.testing.assert_allclose(coarse["mean"], fine["mean"].reshape(4, 3).mean(axis=1))


def test_ages_are_those_of_the_jobs() -> None:
    done = run_episodes(BUSY, Fixed(0.5, 0.5), range(4), batch=3, ages=True, job_log=True)
    assert done.jobs is not None
    request = done.jobs["kind"] == "request"
    completed = request & (done.jobs["outcome"] == "completed")
    paired = completed & (done.jobs["update_created"] >= 0)
    aori = (done.jobs["completed"] - done.jobs["created"])[completed]
    aosi = np.abs(done.jobs["created"] - done.jobs["update_created"])[paired]
    for measure, ages in (("aori_s", aori), ("aosi_s", aosi)):
        counted = columns_of(done.ages, measure)
        assert set(counted["generated"].tolist()) == {int(request.sum())}
        assert dict(zip(counted["value_s"], counted["requests"], strict=True)) == {0.0: 0} | {
            float(age): int((ages == age).sum()) for age in ages
        }
    assert request.sum() == done.episodes["requests_generated"].sum()


def test_the_log_can_be_limited_to_some_episodes() -> None:
    done = run_episodes(BUSY, Fixed(0.5, 0.5), range(10, 15), batch=2, job_log=3)
    assert done.jobs is not None
    assert np.unique(done.jobs["seed"]).tolist() == [10, 11, 12]
    assert run_episodes(BUSY, Fixed(0.5, 0.5), [0]).jobs is None


def test_progress_adds_up() -> None:
    told: list[int] = []
    run_episodes(BUSY, Fixed(0.5, 0.5), range(5), batch=2, progress=told.append)
    assert sum(told) == 5 * 12
    assert len(told) == 3 * 12


@pytest.mark.parametrize(("seeds", "batch", "sentence"), [([], None, "no seeds"), ([1], 0, "batch is 0")])
def test_impossible_calls(seeds: list[int], batch: int | None, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        run_episodes(BUSY, Fixed(0.5, 0.5), seeds, batch=batch)
