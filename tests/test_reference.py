"""The reference itself does what `docs/world.md` says, on cases small enough to work out by hand.

Unless a test says otherwise, a channel of 130 dB gives every device an SNR of 1, so 1 bit/s/Hz: the whole band of
10 MHz sends 10 Mbit a step, and the whole server does 10 Gcycle a step.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from reference import (
    METRICS,
    ReferenceWorld,
    draw_size,
    factor,
    hata_db,
    los_probability,
    path_loss_db,
    poisson_draw,
    reflected,
    trace_position,
    uma_db,
    umi_db,
    uniform,
)
from reference_cases import HALF, REQUESTS, UPDATES, flat_channel, run, scripted, settings, stamps, world

from metalore.scenario import Burst, Constant, Daily, Radio, Ramp, Scenario, Size, StepProfile

# --- transmit and compute --------------------------------------------------------------------------------------------


def test_a_job_larger_than_a_steps_band_takes_several_steps() -> None:
    w = world({(1, 0): (25.0, 0.0)})
    sent = [step["request_mbit_sent"] for step in run(w, REQUESTS, REQUESTS, REQUESTS, REQUESTS)]
    assert sent == pytest.approx([0, 10, 10, 5])
    assert stamps(w.jobs[0]) == (1, 1, 3, 3, 3)


def test_a_job_that_needs_exactly_the_budget_leaves() -> None:
    w = world({(0, 0): (20.0, 10.0)})
    run(w, REQUESTS, REQUESTS, REQUESTS)
    assert stamps(w.jobs[0]) == (0, 0, 1, 1, 1)


def test_several_jobs_leave_in_one_step_and_the_next_starts_with_what_is_left() -> None:
    w = world({(t, 0): (4.0, 1.0) for t in range(3)})
    steps = run(w, UPDATES, UPDATES, REQUESTS, REQUESTS)
    assert [stamps(job) for job in w.jobs] == [(0, 2, 2, 2, 2), (1, 2, 2, 2, 2), (2, 2, 3, 3, 3)]
    assert [step["requests_completed"] for step in steps] == [0, 0, 2, 1]
    assert steps[2]["request_mbit_sent"] == pytest.approx(10)
    assert steps[2]["request_device_wait"] == 3
    assert steps[3]["request_transmission"] == 1


def test_a_server_works_first_come_first_served_over_steps() -> None:
    w = world({(0, 1): (1.0, 14.0), (1, 0): (0.0, 1.0)}, users=2)
    steps = run(w, REQUESTS, REQUESTS, REQUESTS)
    assert [stamps(job) for job in w.jobs] == [(0, 0, 0, 0, 1), (1, 1, 1, 1, 1)]
    assert [step["request_gcycle_processed"] for step in steps] == pytest.approx([10, 5, 0])
    assert steps[1]["request_processing"] == 1


def test_users_enter_a_server_in_device_order() -> None:
    w = world({(0, 0): (1.0, 10.0), (0, 1): (1.0, 10.0)}, users=2)
    run(w, REQUESTS, REQUESTS)
    assert [job.completed for job in w.jobs] == [0, 1]


def test_shares_divide_band_and_server_between_requests_and_updates() -> None:
    w = world({(0, 0): (20.0, 20.0), (0, 1): (20.0, 20.0)}, users=1, sensors=1)
    step = run(w, (0.3, 0.5))[0]
    assert (step["request_mbit_sent"], step["update_mbit_sent"]) == pytest.approx((3, 7))


def test_the_times_of_a_job_add_up_to_its_age() -> None:
    w = world({(0, 0): (15.0, 25.0), (0, 1): (1.0, 1.0)}, sensors=1)
    steps = run(w, UPDATES, *[HALF] * 10)
    parts = ("device_wait", "transmission", "server_wait", "processing")
    job = w.jobs[0]
    total = sum(step[f"request_{part}"] for step in steps for part in parts)
    assert stamps(job) == (0, 1, 3, 3, 7)
    assert total == job.completed - job.created


def test_an_unattached_device_keeps_its_jobs() -> None:
    w = world({(0, 0): (1.0, 1.0)}, radio__snr_threshold=1.5)
    run(w, REQUESTS, REQUESTS)
    assert not w.users[0].attached
    assert stamps(w.jobs[0]) == (0, -1, -1, -1, -1)


# --- schedulers ------------------------------------------------------------------------------------------------------


def test_resource_fair_gives_a_part_to_devices_with_nothing_to_send() -> None:
    w = world({(0, 0): (50.0, 1.0)}, users=4)
    assert run(w, REQUESTS)[0]["request_mbit_sent"] == pytest.approx(2.5)


def test_round_robin_gives_the_odd_slot_in_turn() -> None:
    script = {(0, k): (100.0, 1.0) for k in range(3)}
    w = world(script, users=3, radio__scheduler="round-robin", radio__round_robin_slots=4)
    sent = []
    for _ in range(4):
        run(w, REQUESTS)
        sent.append([user.delivered_mbit for user in w.users])
    # 4 slots of 2.5 Mbit among 3: the first in turn gets two, and the turn goes on after it.
    assert sent == [pytest.approx(row) for row in ([5, 2.5, 2.5], [2.5, 5, 2.5], [2.5, 2.5, 5], [5, 2.5, 2.5])]


def test_round_robin_skips_devices_without_jobs() -> None:
    script = {(0, 1): (100.0, 1.0), (0, 3): (100.0, 1.0)}
    w = world(script, users=4, radio__scheduler="round-robin", radio__round_robin_slots=3)
    run(w, REQUESTS)
    assert [user.delivered_mbit for user in w.users] == pytest.approx([0, 20 / 3, 0, 10 / 3])
    assert w.stations[0].pointers["request"] == 2  # 3 slots: users 1, 3, 1; the turn goes on after user 1
    run(w, REQUESTS)
    assert [user.delivered_mbit for user in w.users] == pytest.approx([0, 10 / 3, 0, 20 / 3])


def test_proportional_fair_divides_by_the_average_rate() -> None:
    script = {(0, 0): (100.0, 1.0), (1, 1): (100.0, 1.0)}
    w = world(
        script, users=2, radio__scheduler="proportional-fair", radio__average_window_steps=10, stations__0__tx_dbm=40
    )
    run(w, REQUESTS)
    assert w.users[0].average_mbps == pytest.approx(1.0)  # 0 + (10 - 0) / 10
    run(w, REQUESTS)
    # Weights 1 / 1 and 1 / 0.001.
    assert w.users[0].delivered_mbit == pytest.approx(10 / 1001)
    assert w.users[1].average_mbps == pytest.approx(1000 / 1001)


def test_a_scheduler_function_replaces_the_weights() -> None:
    seen = []

    def scheduler(jobs: int, backlog: float, efficiency: float, average: float, time_s: float) -> float:
        seen.append((jobs, backlog, efficiency, average, time_s))
        return backlog

    scenario = settings(users=2, step_s=0.5)
    script = {(0, 0): (30.0, 1.0), (0, 1): (10.0, 1.0), (1, 1): (2.0, 1.0)}
    w = ReferenceWorld(scenario, 0, channel=flat_channel, traffic=scripted(script, 0.5), scheduler=scheduler)
    run(w, REQUESTS)
    assert [user.delivered_mbit for user in w.users] == pytest.approx([3.75, 1.25])
    run(w, REQUESTS)
    assert seen[-1] == pytest.approx((2, 10.75, 1.0, 2.5 / 20, 0.5))


# --- buffers and memory ----------------------------------------------------------------------------------------------


def test_a_job_that_finds_its_device_full_is_lost() -> None:
    w = world({(0, 0): (30.0, 3.0), (1, 0): (7.0, 2.0)}, buffers__device_jobs=1)
    steps = run(w, REQUESTS, REQUESTS)
    assert [job.outcome for job in w.jobs] == ["waiting", "lost_device"]
    assert (steps[1]["requests_generated"], steps[1]["requests_lost"]) == (1, 1)
    assert (steps[1]["request_mbit_lost"], steps[1]["request_gcycle_lost"]) == (7, 2)


def test_a_job_that_finds_its_station_full_is_lost_after_being_sent() -> None:
    w = world({(0, 0): (1.0, 30.0), (1, 0): (7.0, 2.0)}, buffers__station_jobs=1)
    steps = run(w, REQUESTS, REQUESTS)
    lost = w.jobs[1]
    assert (lost.outcome, lost.tx_end, lost.station) == ("lost_station", 1, 0)
    assert (steps[1]["requests_sent"], steps[1]["request_mbit_lost"], steps[1]["request_gcycle_lost"]) == (1, 0, 2)


def test_memory_counts_base_users_and_jobs_of_both_queues() -> None:
    # 100 + 10 a user + 5 a job: with two users, 130 MB hold two jobs and not a third.
    script = {(0, k): (0.5, 100.0) for k in range(3)}
    memory = {"base_mb": 100.0, "per_user_mb": 10.0, "per_job_mb": 5.0}
    for memory_mb, outcomes in ((130.0, ["waiting", "waiting", "lost_station"]), (135.0, ["waiting"] * 3)):
        w = world(script, users=2, sensors=1, memory=memory, stations__0__memory_mb=memory_mb)
        run(w, HALF)
        assert [job.outcome for job in w.jobs] == outcomes


# --- synchronization -------------------------------------------------------------------------------------------------


def test_a_request_blocks_until_an_update_of_its_sensor_is_processed() -> None:
    # The update takes 12 of 5 Gcycle a step, so it is done in step 2; requests go first, so the answer comes in 3.
    script = {(0, 0): (1.0, 1.0), (1, 0): (1.0, 1.0), (0, 1): (1.0, 12.0)}
    w = world(script, sensors=1)
    steps = run(w, HALF, HALF, HALF, HALF)
    assert [stamps(job) for job in w.jobs] == [(0, 0, 0, 3, 3), (0, 0, 0, 0, 2), (1, 1, 1, 3, 3)]
    assert [job.update_created for job in w.jobs if job.kind == "request"] == [0, 0]
    last = steps[3]
    assert (last["aosi"], last["signed_gap"], last["data_age"]) == (0 + 1, 0 + 1, 3 + 3)
    assert last["requests_late"] == 1  # AoRI 3 s and 2 s, late above 2 s
    assert last["reward_terms"]["synchronization"] == pytest.approx(10 * (1 + 0.9))
    assert last["reward_terms"]["delay"] == -1
    assert last["reward"] == pytest.approx(18)


def test_ages_are_in_seconds_where_the_reward_needs_them() -> None:
    script = {(0, 1): (0.0, 0.0), (2, 0): (0.0, 0.0)}
    changes = {"throughput": 3.0, "served_age": 2.0, "twin_age": 4.0, "delay_threshold_s": 0.0}
    w = world(script, sensors=1, step_s=0.5, reward=changes)
    run(w, HALF, HALF)
    step = run(w, UPDATES, HALF)[1]
    # Created in step 2, answered in step 3 with the update of step 0: AoSI 1 s, data age 1.5 s, twin age 1.5 s.
    assert step["reward_terms"] == pytest.approx(
        {"synchronization": 9, "delay": -1, "throughput": 3, "loss": 0, "served_age": -3, "twin_age": -6}
    )


def test_a_loss_costs() -> None:
    w = world({(t, 0): (30.0, 1.0) for t in range(2)}, buffers__device_jobs=1, reward__loss=5.0)
    assert [step["reward_terms"]["loss"] for step in run(w, REQUESTS, REQUESTS)] == [0, -5]


def test_without_a_sensor_in_reach_a_request_is_served_without() -> None:
    for sensors, reach in ((0, None), (1, 19.9)):
        w = world({(0, 0): (1.0, 1.0)}, sensors=sensors, sensors__range_m=reach)
        step = run(w, REQUESTS)[0]
        assert w.jobs[0].outcome == "completed"
        assert w.jobs[0].sensor == -1
        assert step["requests_synchronized"] == 0
        assert step["reward_terms"]["synchronization"] == 0


def test_a_sensor_exactly_in_reach_counts_and_the_lowest_wins_a_tie() -> None:
    w = world({(0, 0): (1.0, 1.0), (0, 1): (0.0, 0.0), (0, 2): (0.0, 0.0)}, sensors=2, sensors__range_m=20.0)
    w.sensors[0].x = 80.0  # sensors at (80, 120) and (120, 120), the user at (100, 120)
    w.users[0].x, w.users[0].y = 100.0, 120.0
    run(w, HALF, HALF)
    assert w.jobs[0].sensor == 0


@pytest.mark.parametrize(("pairing", "sensor", "update"), [("creation", 0, 0), ("start", 1, 2), ("completion", 2, 3)])
def test_pairing_says_when_sensor_and_update_are_fixed(pairing: str, sensor: int, update: int) -> None:
    # Sensor 0 reports in step 0, sensor 1 in step 2, sensor 2 in step 3. The request of step 1 is sent and started in
    # step 3 and, at 5 of 15 Gcycle a step, answered in step 5, while its user walks from sensor 0 to 1 to 2.
    script = {(0, 1): (0.0, 0.0), (1, 0): (0.0, 15.0), (2, 2): (0.0, 0.0), (3, 3): (0.0, 0.0)}
    w = world(script, sensors=3, pairing=pairing)
    for x, share in ((100, HALF), (100, UPDATES), (120, UPDATES), (120, HALF), (140, HALF), (140, HALF)):
        w.users[0].x = x
        run(w, share)
    job = next(job for job in w.jobs if job.kind == "request")
    assert stamps(job) == (1, 3, 3, 3, 5)
    assert (job.sensor, job.update_created) == (sensor, update)


def test_at_completion_a_silent_sensor_replaces_nothing() -> None:
    w = world({(0, 1): (0.0, 0.0), (1, 0): (0.0, 8.0)}, sensors=2, pairing="completion")
    run(w, HALF, HALF)
    w.users[0].x = 120.0
    run(w, HALF)
    assert (w.jobs[1].completed, w.jobs[1].sensor, w.jobs[1].update_created) == (2, 0, 0)


def test_a_request_paired_at_creation_with_a_silent_sensor_waits_for_that_one() -> None:
    w = world({(0, 0): (0.0, 0.0), (0, 2): (0.0, 0.0), (3, 1): (0.0, 0.0)}, sensors=2, pairing="creation")
    run(w, HALF)
    w.users[0].x = 120.0  # now next to sensor 1, which has reported
    run(w, HALF, HALF, HALF, HALF)
    assert (w.jobs[0].proc_start, w.jobs[0].sensor, w.jobs[0].update_created) == (4, 0, 3)


def test_age_at_the_twin_and_its_peaks() -> None:
    w = world({(1, 0): (0.0, 0.0), (3, 0): (0.0, 0.0)}, users=0, sensors=1)
    steps = run(w, HALF, REQUESTS, REQUESTS, REQUESTS, HALF, HALF)
    assert [step["twin_age"] for step in steps] == [0, 1, 2, 3, 1, 2]
    # Both updates are processed in step 4: the first replaces the copy of step 0, the second that of step 1.
    assert [step["peaks"] for step in steps] == [0, 0, 0, 0, 2, 0]
    assert steps[4]["peak_age"] == 4 + 3


def test_a_second_update_of_the_same_step_is_not_newer() -> None:
    timing = {"kind": "periodic", "period_steps": 0.5}
    size = {"mean": 0.0, "distribution": "constant", "minimum": 0.0}
    scenario = settings(
        users=0, sensors=1, sensors__updates={"timing": timing, "data_mbit": size, "compute_gcycle": size}
    )
    w = ReferenceWorld(scenario, 0, channel=flat_channel)
    step = run(w, UPDATES, UPDATES)[1]
    assert step["updates_sent"] == 2
    assert step["peaks"] == 1


def test_updates_of_one_step_are_drawn_apart() -> None:
    timing = {"kind": "periodic", "period_steps": 0.25}
    w = ReferenceWorld(settings(users=0, sensors=1, sensors__updates__timing=timing), 0)
    run(w, UPDATES)
    assert len({(job.data_mbit, job.compute_gcycle) for job in w.jobs}) == 4


# --- presence --------------------------------------------------------------------------------------------------------

CHURN = {"kind": "churn", "mean_stay_steps": 1.0, "mean_absence_steps": 1.0}


def test_who_leaves_loses_the_jobs_in_the_device() -> None:
    w = world({(t, 0): (25.0, 3.0) for t in range(9)}, users__presence=CHURN)  # in and out, one step each
    w.users[0].present = True
    step = run(w, REQUESTS)[0]
    assert not w.users[0].present
    assert w.jobs[0].outcome == "left"
    assert step["requests_lost"] == 1
    assert (step["request_mbit_sent"], step["request_mbit_lost"], step["request_gcycle_lost"]) == (10, 15, 3)
    assert w.users[0].average_mbps == 0.5  # of 10 Mbit/s over 20 steps
    run(w, REQUESTS)
    assert w.users[0].present
    assert w.users[0].arrived == 2
    assert len(w.jobs) == 1
    assert w.users[0].average_mbps == 0


@pytest.mark.parametrize("back", [False, True])
def test_a_request_is_dropped_at_the_head_when_its_user_has_gone(back: bool) -> None:
    w = world({(0, 0): (1.0, 25.0)}, users__presence=CHURN)
    w.users[0].present = True
    run(w, REQUESTS, *[UPDATES] * back)
    assert w.jobs[0].outcome == "waiting"
    assert w.jobs[0].proc_start == 0
    step = run(w, REQUESTS)[0]
    assert w.jobs[0].outcome == "left"
    assert step["requests_lost"] == 1
    assert step["request_gcycle_lost"] == pytest.approx(15)


def test_without_server_time_nothing_is_dropped() -> None:
    w = world({(0, 0): (1.0, 25.0)}, users__presence=CHURN)
    w.users[0].present = True
    run(w, (1.0, 0.0), (1.0, 0.0))
    assert w.jobs[0].outcome == "waiting"


def test_presence_is_as_frequent_as_its_means_say() -> None:
    churn = {"kind": "churn", "mean_stay_steps": 6.0, "mean_absence_steps": 2.0}
    scenario = settings(users=400, users__presence=churn)
    w = ReferenceWorld(scenario, 3, channel=flat_channel)
    at_reset = [user.present for user in w.users]
    run(w, REQUESTS)
    later = [user.present for user in w.users]
    # Binomial(400, 3/4): mean 300, standard deviation 8.7; 50 leave and 50 come, give or take 7.
    assert abs(sum(at_reset) - 300) < 35
    assert abs(sum(later) - 300) < 35
    changes = Counter(zip(at_reset, later, strict=True))
    assert 20 < changes[True, False] < 80
    assert 20 < changes[False, True] < 80


# --- association and path loss ---------------------------------------------------------------------------------------

TWO_STATIONS = [{"x_m": 0.0, "y_m": 0.0, "tx_dbm": 10.0}, {"x_m": 200.0, "y_m": 0.0, "tx_dbm": 40.0}]


@pytest.mark.parametrize(("association", "station"), [("nearest", 0), ("strongest", 1)])
def test_association(association: str, station: int) -> None:
    scenario = settings(stations=TWO_STATIONS, radio__association=association, users__positions_m=[(90.0, 0.0)])
    w = ReferenceWorld(scenario, 0)
    w.step([REQUESTS, REQUESTS])
    assert w.users[0].station == station


@pytest.mark.parametrize("association", ["nearest", "strongest"])
def test_the_lowest_station_wins_a_tie(association: str) -> None:
    stations = [{**TWO_STATIONS[1], "x_m": x} for x in (0.0, 200.0, 0.0)]
    scenario = settings(stations=stations, radio__association=association, users__positions_m=[(100.0, 0.0)])
    w = ReferenceWorld(scenario, 0)
    w.step([REQUESTS] * 3)
    assert w.users[0].station == 0


def test_okumura_hata() -> None:
    # f = 1000 MHz, 100 m, 1.5 m: a = 2.6 * 1.5 - 3.88 = 0.02; 69.55 + 78.48 - 27.64 - 0.02 = 120.37 at 1 km.
    assert hata_db(1000, 1000, 100, 1.5) == pytest.approx(120.37)
    assert hata_db(10_000, 1000, 100, 1.5) == pytest.approx(120.37 + 44.9 - 13.1)


def test_umi_and_uma_before_the_breakpoint() -> None:
    # 40 m away and 30 m up is 50 m, log10 = 1.69897; 10 GHz; the breakpoint lies at 2033 m.
    at = (40.0, 10_000.0, 31.5, 1.5)
    assert umi_db(*at, sees=True) == pytest.approx(32.4 + 21 * 1.69897 + 20, abs=1e-4)
    assert umi_db(*at, sees=False) == pytest.approx(35.3 * 1.69897 + 22.4 + 21.3, abs=1e-4)
    assert uma_db(*at, sees=True) == pytest.approx(28 + 22 * 1.69897 + 20, abs=1e-4)
    assert uma_db(*at, sees=False) == pytest.approx(13.54 + 39.08 * 1.69897 + 20, abs=1e-4)


def test_umi_and_uma_beyond_the_breakpoint() -> None:
    # 3 GHz, 11 m: the breakpoint is 4 * 10 * 0.5 * 10 = 200 m; 1000 m away is 1000.045 m, and
    # log10(200^2 + 9.5^2) = 4.603039.
    at = (1000.0, 3000.0, 11.0, 1.5)
    assert umi_db(*at, sees=True) == pytest.approx(32.4 + 120.000784 + 9.542425 - 43.728871, abs=1e-4)
    assert uma_db(*at, sees=True) == pytest.approx(28 + 120.000784 + 9.542425 - 41.427351, abs=1e-4)


def test_umi_and_uma_hold_within_10_m_and_nlos_is_never_less_than_los() -> None:
    for model in (umi_db, uma_db):
        assert model(1.0, 3500, 40, 1.5, True) == model(10.0, 3500, 40, 1.5, True) < model(11.0, 3500, 40, 1.5, True)
        assert all(model(d, 3500, 40, 1.5, False) >= model(d, 3500, 40, 1.5, True) for d in (10, 50, 500, 5000))
    # A breakpoint of 0: the steep slope from the start.
    assert umi_db(100, 1000, 1.5, 0.5, True) == pytest.approx(32.4 + 40 * 2.0000217 - 0, abs=1e-3)


def test_line_of_sight() -> None:
    assert los_probability("umi", 18) == los_probability("uma", 1) == 1
    assert los_probability("umi", 36) == pytest.approx(0.5 + 0.5 * 0.367879, abs=1e-6)
    assert los_probability("uma", 63) == pytest.approx(2 / 7 + 5 / 7 * 0.367879, abs=1e-6)
    for sight, luck, sees in (("always", 0.99, True), ("never", 0.01, False)):
        radio = Radio.model_validate({"path_loss": "umi", "line_of_sight": sight})
        assert path_loss_db(radio, 36, 10, 1.5, luck) == umi_db(36, 3500, 10, 1.5, sees)
    radio = Radio.model_validate({"path_loss": "umi", "line_of_sight": "probability"})
    for luck, sees in ((0.68, True), (0.69, False)):
        assert path_loss_db(radio, 36, 10, 1.5, luck) == umi_db(36, 3500, 10, 1.5, sees)


def test_snr_of_the_published_cell() -> None:
    """40 dBm at 100 m from a 40 m antenna: 105.65 dB by hand, so an SNR of 10 ** (1 - 10.565 + 12)."""
    scenario = settings(users__positions_m=[(100.0, 0.0)])
    w = ReferenceWorld(scenario, 0)
    w.step([REQUESTS])
    loss = hata_db(100, 3500, 40, 1.5)
    # log10 3500 = 3.544068, log10 40 = 1.602060; a = 3.198475 * 1.5 - 4.728746 = 0.068967;
    # 69.55 + 92.712820 - 22.140469 - 0.068967 - 34.406507 = 105.646877
    assert loss == pytest.approx(105.646877, abs=1e-4)
    assert w.users[0].efficiency == pytest.approx(math.log2(1 + 10 ** (13 - 10.5646877)), rel=1e-5)


# --- demand ----------------------------------------------------------------------------------------------------------


def updates_created(steps: int, **timing: Any) -> list[int]:
    profile = timing.pop("profile", {"kind": "constant"})
    scenario = settings(users=0, sensors=1, sensors__updates={"timing": timing, "profile": profile})
    w = ReferenceWorld(scenario, 7)
    return [int(step["updates_generated"]) for step in run(w, *[HALF] * steps)]


def test_periods() -> None:
    assert updates_created(5, kind="periodic", period_steps=1.0) == [1, 1, 1, 1, 1]
    assert updates_created(7, kind="periodic", period_steps=3.0) == [1, 0, 0, 1, 0, 0, 1]
    assert updates_created(6, kind="periodic", period_steps=2.5) == [1, 0, 1, 0, 0, 1]
    assert updates_created(4, kind="periodic", period_steps=0.4) == [3, 2, 3, 2]


def test_a_random_phase_keeps_the_period() -> None:
    created = updates_created(12, kind="periodic", period_steps=4.0, phase="random")
    assert sum(created) == 3
    assert created[:4] == created[4:8] == created[8:]


def test_a_profile_speeds_up_updates() -> None:
    profile = {"kind": "step", "at_s": 4.0, "factor": 2.0}
    assert updates_created(8, kind="periodic", period_steps=2.0, profile=profile) == [1, 0, 1, 0, 1, 1, 1, 1]


def test_bernoulli_updates() -> None:
    assert updates_created(4, kind="bernoulli", probability=1.0) == [1] * 4
    assert updates_created(4, kind="bernoulli", probability=0.0) == [0] * 4
    assert 60 < sum(updates_created(200, kind="bernoulli", probability=0.4)) < 100  # mean 80, sd 6.9


def test_request_probability_follows_the_profile() -> None:
    requests = {"probability": 0.5, "profile": {"kind": "burst", "from_s": 2.0, "duration_s": 2.0, "factor": 2.0}}
    scenario = settings(users=200, users__requests=requests)
    w = ReferenceWorld(scenario, 1)
    created = [step["requests_generated"] for step in run(w, *[REQUESTS] * 5)]
    assert created[2:4] == [200, 200]
    assert all(65 < n < 135 for n in created[:2] + created[4:])  # mean 100, sd 7.1


def test_profiles() -> None:
    assert factor(Constant(), 5) == 1
    assert [factor(StepProfile(at_s=3, factor=2), t) for t in (2.9, 3)] == [1, 2]
    assert [factor(Ramp(from_s=2, to_s=4, factor=3), t) for t in (0, 2, 3, 4, 9)] == [1, 1, 2, 3, 3]
    assert [factor(Burst(from_s=2, duration_s=2, factor=0), t) for t in (1.9, 2, 3.9, 4)] == [1, 0, 0, 1]
    daily = Daily(period_s=8, peak_s=2, amplitude=0.5)
    assert [factor(daily, t) for t in (2, 4, 6)] == pytest.approx([1.5, 1, 0.5])


def test_sizes() -> None:
    word = 1 << 31
    assert draw_size(Size(mean=0.1, distribution="constant", minimum=0), word) == 0.10000000149011612  # float32
    assert draw_size(Size(mean=0.1, distribution="constant", minimum=1), word) == 1
    exponential = draw_size(Size(mean=2, distribution="exponential", minimum=0), word)
    assert exponential == pytest.approx(2 * math.log(2), rel=1e-6)
    for distribution in ("poisson", "constant", "exponential"):
        assert draw_size(Size.model_validate({"mean": 0, "distribution": distribution, "minimum": 0.5}), word) == 0.5


def test_poisson_draws_over_all_words_have_the_poisson_probabilities() -> None:
    words, mean = range(0, 2**32, 2**32 // 100_000), 3.0
    counts = Counter(poisson_draw(mean, word) for word in words)
    for k in range(12):
        chance = math.exp(-mean) * mean**k / math.factorial(k)
        assert counts[k] / len(words) == pytest.approx(chance, abs=3e-4)


# --- movement and placement ------------------------------------------------------------------------------------------


def test_random_waypoint_walks_reaches_and_pauses() -> None:
    walk = {"kind": "random-waypoint", "speed_min_m_s": 2.0, "speed_max_m_s": 2.0, "pause_steps": 2}
    scenario = settings(users__mobility=walk)
    w = ReferenceWorld(scenario, 0)
    user = w.users[0]
    user.target = (103.0, 104.0)  # 5 m away, 2 m a step
    places = []
    for _ in range(6):
        w.step([REQUESTS])
        places.append((user.x, user.y))
    assert places[0] == pytest.approx((101.2, 101.6))
    assert places[1] == pytest.approx((102.4, 103.2))
    assert places[2] == places[3] == places[4] == (103.0, 104.0) != places[5]
    assert 0 <= user.target[0] <= 200
    assert user.target != (103.0, 104.0)


def test_gauss_markov_without_noise_walks_straight_and_is_reflected() -> None:
    walk = {"kind": "gauss-markov", "memory": 0.5, "speed_m_s": 4.0, "speed_sd_m_s": 0.0, "heading_sd_rad": 0.0}
    scenario = settings(users__mobility=walk, users__positions_m=[(199.0, 50.0)])
    w = ReferenceWorld(scenario, 0)
    user = w.users[0]
    assert user.speed == 4.0
    user.heading = user.mean_heading = 0.0
    w.step([REQUESTS])
    assert (user.x, user.y) == pytest.approx((197.0, 50.0))
    assert (math.cos(user.heading), math.cos(user.mean_heading)) == pytest.approx((-1, -1))
    w.step([REQUESTS])
    assert (user.x, user.y) == pytest.approx((193.0, 50.0))


def test_reflection() -> None:
    assert reflected(-3, 10) == (3, True)
    assert reflected(12, 10) == (8, True)
    assert reflected(10, 10) == (10, False)
    assert reflected(25, 10) == (0, True)  # still outside at -5, so clipped


def test_gauss_markov_remembers_as_much_as_it_should() -> None:
    walk = {"kind": "gauss-markov", "memory": 0.6, "speed_m_s": 50.0, "speed_sd_m_s": 2.0}
    scenario = settings(users=300, users__mobility=walk)
    w = ReferenceWorld(scenario, 5)
    before = [user.speed - 50 for user in w.users]
    w.step([REQUESTS])
    after = [user.speed - 50 for user in w.users]
    spread = sum(v * v for v in after) / 300
    correlation = sum(a * b for a, b in zip(before, after, strict=True)) / 300 / 4
    assert spread == pytest.approx(4, rel=0.35)
    assert correlation == pytest.approx(0.6, abs=0.2)


def test_a_trace_is_interpolated_and_held(tmp_path: Path) -> None:
    rows = [(2.0, 10.0, 20.0), (4.0, 20.0, 0.0)]
    assert trace_position(rows, 0) == (10, 20)
    assert trace_position(rows, 2.5) == (12.5, 15)
    assert trace_position(rows, 9) == (20, 0)
    file = tmp_path / "trace.csv"
    file.write_text("time_s,user,x_m,y_m\n2,0,10,20\n4,0,20,0\n0,1,5,5\n")
    motion = {"kind": "trace", "file": str(file)}
    scenario = settings(users=2, users__positions_m=None, users__mobility=motion, step_s=1.5)
    w = ReferenceWorld(scenario, 0)
    assert (w.users[0].x, w.users[0].y) == (10, 20)
    w.step([REQUESTS])
    w.step([REQUESTS])
    assert (w.users[0].x, w.users[0].y) == (15, 10)
    assert (w.users[1].x, w.users[1].y) == (5, 5)


def test_a_mobility_function_keeps_four_numbers() -> None:
    def mobility(x: float, y: float, m0: float, m1: float, m2: float, m3: float, *rest: float) -> tuple[float, ...]:
        step_s, width, height, *luck = rest
        assert (step_s, width, height, len(luck)) == (1.0, 200.0, 200.0, 4)
        assert all(0 < u < 1 for u in luck)
        return x + m0, y, m0 + 1, m1 - 1, m2, m3

    w = ReferenceWorld(settings(), 0, mobility=mobility)  # type: ignore[arg-type]
    for _ in range(3):
        w.step([REQUESTS])
    assert w.users[0].x == 100 + 0 + 1 + 2
    assert w.users[0].memory == (3, -3, 0, 0)


def test_sensors_stand_on_their_rings_on_the_map_and_apart() -> None:
    placement = {"kind": "ring", "min_distance_m": 20.0, "max_distance_m": 60.0, "spacing_m": 10.0}
    stations = [{"x_m": 30.0, "y_m": 30.0}, {"x_m": 150.0, "y_m": 150.0}]
    w = ReferenceWorld(settings(stations=stations, sensors__placement=placement, sensors__count=12), 4)
    for n, sensor in enumerate(w.sensors):
        station = w.scenario.stations[n % 2]
        assert 20 <= math.hypot(sensor.x - station.x_m, sensor.y - station.y_m) <= 60
        assert 0 <= sensor.x <= 200
        assert 0 <= sensor.y <= 200
        assert all(math.hypot(sensor.x - s.x, sensor.y - s.y) >= 10 for s in w.sensors[:n])


def test_seed_and_episode_decide_everything() -> None:
    def total(seed: int, episode: int) -> tuple[float, ...]:
        w = ReferenceWorld(Scenario.model_validate({}), seed, episode)
        outcome = run(w, HALF, HALF, HALF)[2]
        return tuple(outcome[name] for name in METRICS)

    assert total(1, 0) == total(1, 0)
    assert len({total(1, 0), total(2, 0), total(1, 1), total(1 + 2**40, 0)}) == 4


def test_uniform_is_never_0_or_1() -> None:
    assert 0 < uniform(0) < uniform(2**32 - 1) < 1


# --- the check of what is conserved ----------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["drop", "shrink", "forget", "duplicate", "finish"])
def test_the_conservation_check_sees_damage(damage: str) -> None:
    w = world({(t, k): (8.0, 8.0) for t in range(4) for k in range(2)}, users=2)
    run(w, REQUESTS, REQUESTS, REQUESTS)
    queue = w.users[0].queue
    if damage == "drop":
        queue.popleft()
    elif damage == "shrink":
        queue[0].data_left -= 1e-3
    elif damage == "forget":
        w.history["request_gcycle_processed"] -= 1e-3
    elif damage == "duplicate":
        queue.append(queue[0])
    else:
        queue[0].outcome = "completed"
    with pytest.raises(AssertionError):
        w.check_conservation()
