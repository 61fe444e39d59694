"""The reference with several stations, by hand: handover, interference, backhaul, failures and capacities.

Signals are written by hand too: a station of height 10 * (z + 1) is heard with the SNR of entry z.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from reference import ReferenceWorld, interferers_of, parts_of_the_band
from reference_cases import HALF, REQUESTS, UPDATES, Script, scripted, settings

from metalore.scenario import Scenario


class Signals(list[float]):
    """A channel under which station z is heard with the z-th SNR, by everybody."""

    def __call__(self, distance_m: float, carrier_mhz: float, station_height_m: float, *_: float) -> float:
        return 130 - 10 * math.log10(self[round(station_height_m / 10) - 1])


def stations(count: int, **changes: Any) -> list[dict[str, Any]]:
    """On a line, 50 m apart, with 10 MHz and 10 Gcycle/s each."""
    common = {"y_m": 100.0, "bandwidth_hz": 10e6, "compute_gcycle_s": 10.0, **changes}
    return [{**common, "x_m": 50.0 * z, "height_m": 10.0 * (z + 1)} for z in range(count)]


def street(script: Script, signals: Signals, users: int = 1, sensors: int = 0, **changes: Any) -> ReferenceWorld:
    """A world of as many stations as signals; users stand at station 0, sensors at station 0."""
    scenario = settings(
        users,
        sensors,
        **{
            "stations": stations(len(signals)),
            "users__positions_m": [(0.0, 100.0)] * users,
            "sensors__placement": {"kind": "fixed", "positions_m": [(0.0, 100.0)] * sensors},
            **changes,
        },
    )
    return ReferenceWorld(scenario, 0, channel=signals, traffic=scripted(script, scenario.step_s))


def step(w: ReferenceWorld, share: tuple[float, float] = HALF) -> dict[str, Any]:
    outcome = w.step([share] * len(w.stations))
    w.check_conservation()
    return outcome


# --- handover --------------------------------------------------------------------------------------------------------


def test_handover_needs_a_margin_for_some_steps_on_end() -> None:
    """3 dB are a factor of 1.995; the change comes in the third step on end."""
    handover = {"margin_db": 3.0, "time_to_trigger_steps": 2}
    w = street({}, signals := Signals([4, 1]), radio__association="strongest", radio__handover=handover)
    seen = []
    for other in (0.25, 1.9, 2, 2, 1.9, 2, 2, 2, 2):
        signals[:] = [1, other]
        outcome = step(w)
        seen.append((w.users[0].station, w.users[0].waiting, outcome["handovers"]))
    assert seen == [(0, 0, 0), (0, 0, 0), (0, 1, 0), (0, 2, 0), (0, 0, 0), (0, 1, 0), (0, 2, 0), (1, 0, 1), (1, 0, 0)]
    assert [counts["handovers"] for counts in w.by_station] == [0, 0]
    signals[:] = [1.9, 1]  # and back no sooner
    assert [step(w)["handovers"] for _ in range(4)] == [0] * 4


def test_a_handover_is_counted_at_the_new_station() -> None:
    w = street({}, signals := Signals([4, 1]), radio__association="strongest")
    step(w)
    signals[:] = [1, 4]
    assert step(w)["handovers"] == 1
    assert [counts["handovers"] for counts in w.by_station] == [0, 1]
    assert [counts["attached_users"] for counts in w.by_station] == [0, 1]


def test_a_time_to_trigger_without_a_margin_still_waits() -> None:
    handover = {"margin_db": 0.0, "time_to_trigger_steps": 1}
    w = street({}, signals := Signals([4, 1]), radio__association="strongest", radio__handover=handover)
    step(w)
    signals[:] = [1, 4]
    assert [step(w)["handovers"] for _ in range(3)] == [0, 1, 0]


def test_a_user_who_hears_its_station_no_more_changes_at_once() -> None:
    changes = {"radio__association": "strongest", "radio__snr_threshold": 1.0}
    handover = {"margin_db": 20.0, "time_to_trigger_steps": 5}
    w = street({}, signals := Signals([4, 1]), radio__handover=handover, **changes)
    step(w)
    signals[:] = [1, 2]  # the threshold must be exceeded
    assert step(w)["handovers"] == 1
    signals[:] = [0.5, 1]
    step(w)
    assert not w.users[0].attached
    signals[:] = [3, 1]  # attached to nothing before, so this is no handover
    assert step(w)["handovers"] == 0
    assert w.users[0].station == 0


def test_a_new_person_makes_no_handover() -> None:
    churn = {"kind": "churn", "mean_stay_steps": 1.0, "mean_absence_steps": 1.0}
    w = street({}, signals := Signals([4, 1]), radio__association="strongest", users__presence=churn)
    w.users[0].present = True
    for signal in ([4, 1], [1, 4], [1, 4], [4, 1], [4, 1]):
        signals[:] = signal
        assert step(w)["handovers"] == 0
    assert w.users[0].station == 0


# --- interference ----------------------------------------------------------------------------------------------------


def test_sinr_under_full_load() -> None:
    radio = {"kind": "co-channel", "load": "full"}
    w = street({}, Signals([8, 3, 2]), sensors=1, radio__interference=radio)
    step(w)
    assert w.users[0].efficiency == w.sensors[0].efficiency == pytest.approx(math.log2(1 + 8 / (1 + 3 + 2)))
    w = street({}, Signals([8, 3, 2]), radio__interference={**radio, "interferers": 1})
    step(w)
    assert w.users[0].efficiency == pytest.approx(math.log2(1 + 8 / (1 + 3)))


def test_sinr_under_observed_load() -> None:
    """Station 1 has 10 Mbit a step for updates at 1 bit/s/Hz and carries 10, then 2.5 in half of its band."""
    script = {(0, 1): (12.5, 0.0)}
    w = street(script, signals := Signals([7, 1, 1]), sensors=1, radio__interference={"kind": "co-channel"})
    w.sensors[0].station, w.sensors[0].attached = 1, True
    efficiencies, busy = [], []
    for share in (UPDATES, (0.5, 0.5), UPDATES, UPDATES):
        step(w, share)
        efficiencies.append(w.users[0].efficiency)
        busy.append(w.by_station[1]["busy_hz"])
    assert busy == pytest.approx([10e6, 2.5e6, 0, 0])
    assert efficiencies == pytest.approx([math.log2(1 + 7 / (1 + load)) for load in (0, 1, 0.25, 0)])
    assert signals == [7, 1, 1]


def test_a_station_that_is_down_disturbs_nobody() -> None:
    cut = [*stations(2), {**stations(3)[2], "outages_s": [(1.0, 2.0)]}]
    radio = {"kind": "co-channel", "load": "full"}
    w = street({}, Signals([8, 3, 2]), stations=cut, radio__interference=radio)
    efficiencies = []
    for _ in range(3):
        step(w)
        efficiencies.append(w.users[0].efficiency)
    assert efficiencies == pytest.approx([math.log2(1 + 8 / (1 + n)) for n in (5, 3, 5)])


def test_parts_of_the_band_are_far_apart() -> None:
    line = [(0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (3.0, 0.0)]
    assert parts_of_the_band(line, 1) == [0, 0, 0, 0]
    assert parts_of_the_band(line, 2) == [0, 1, 0, 1]
    # The fourth: part 0 is 3 away, part 1 is 2 away, part 2 is 1 away.
    assert parts_of_the_band(line, 3) == [0, 1, 2, 0]
    assert parts_of_the_band(line, 9) == [0, 1, 2, 3]
    assert interferers_of(line, 1, 2) == [[1, 2], [0, 2], [1, 3], [2, 1]]  # the lowest number first on a tie
    assert interferers_of(line, 2, 6) == [[2], [3], [0], [1]]


def test_reuse_divides_the_band() -> None:
    w = street({(0, 0): (50.0, 0.0)}, Signals([1, 1]), radio__interference={"kind": "co-channel", "reuse": 2})
    assert step(w, REQUESTS)["request_mbit_sent"] == pytest.approx(5)
    assert w.stations[0].load == 1


# --- backhaul --------------------------------------------------------------------------------------------------------


def answered(backhaul_steps: int, at: int, pairing: str = "start") -> tuple[int, int]:
    """Of a request of step 0 at station `at`: when it was answered, and the step of its update.

    Sensor 0 is at station 0; its updates of steps 0 and 1 are processed in the same steps.
    """
    script = {(0, 0): (0.0, 0.0), (0, 1): (0.0, 0.0), (1, 1): (0.0, 0.0)}
    changes = {"sensors__backhaul_steps": backhaul_steps, "pairing": pairing}
    w = street(script, Signals([1, 1]), sensors=1, **changes, users__positions_m=[(50.0 * at, 100.0)])
    for _ in range(8):
        step(w)
    request = w.jobs[0]
    assert (request.station, request.outcome) == (at, "completed")
    return request.completed, request.update_created


def test_backhaul_delays_what_other_stations_know() -> None:
    # Requests go first, so the update of step 0 can serve from step 1 on at home, and as well elsewhere for D = 0.
    assert answered(0, at=0) == answered(0, at=1) == answered(5, at=0) == (1, 0)
    # Known at the end of step t - 1 - D: that of step 0 from step 1 + D on.
    assert answered(1, at=1) == (2, 0)
    assert answered(2, at=1) == (3, 0)


def test_backhaul_holds_for_every_pairing() -> None:
    for pairing in ("creation", "completion"):
        assert answered(2, at=1, pairing=pairing) == (3, 0)


def test_at_creation_a_request_takes_what_its_users_station_knows() -> None:
    script = {(t, 1): (0.0, 0.0) for t in range(5)} | {(4, 0): (0.0, 0.0)}
    changes = {"sensors__backhaul_steps": 2, "pairing": "creation", "users__positions_m": [(50.0, 100.0)]}
    w = street(script, Signals([1, 1]), sensors=1, **changes)
    for _ in range(5):
        step(w)
    request = next(job for job in w.jobs if job.kind == "request")
    assert (request.created, request.update_created) == (4, 1)  # newest at the end of step 4 - 1 - 2


# --- down ------------------------------------------------------------------------------------------------------------


def test_an_outage_loses_the_queues_and_sends_users_elsewhere() -> None:
    """User 0's request is in the queue when the station goes down after step 1, user 1's second is in its device."""
    script = {(0, 0): (1.0, 50.0), (0, 1): (2.0, 3.0), (1, 1): (30.0, 0.0), (0, 2): (1.0, 20.0)}
    cut = [{**stations(2)[0], "outages_s": [(2.0, 4.0)]}, stations(2)[1]]
    w = street(script, Signals([1, 1]), users=2, sensors=1, stations=cut, reward={"loss": 2.0})
    steps = [step(w) for _ in range(5)]
    assert [job.outcome for job in w.jobs] == ["failed", "failed", "failed", "waiting"]
    assert [counts["up"] for counts in steps] == [2, 2, 1, 1, 2]
    assert [counts["attached_users"] for counts in steps] == [2] * 5
    assert [counts["handovers"] for counts in steps] == [0, 0, 2, 0, 2]
    assert [(counts["requests_lost"], counts["updates_lost"]) for counts in steps] == [(0, 0), (2, 1)] + [(0, 0)] * 3
    assert steps[1]["reward_terms"]["loss"] == -6
    # The requests wait for the update, of which 5 Gcycle are processed in each of two steps.
    assert (steps[1]["request_gcycle_lost"], steps[1]["update_gcycle_lost"]) == pytest.approx((50 + 3, 10))
    assert steps[2]["request_mbit_sent"] == pytest.approx(2.5)  # by the other station
    assert [counts["resident_mb"] for counts in (steps[1], steps[2])] == [
        2 * 128 + 2 * 8 + 3 * 4,
        128 + 2 * 8,
    ]


def test_sensors_are_associated_anew_when_a_station_goes_down_or_comes_up() -> None:
    cut = [{**stations(2)[0], "outages_s": [(1.0, 3.0)]}, stations(2)[1]]
    w = street({}, Signals([1, 1]), sensors=1, stations=cut)
    homes = []
    for _ in range(4):
        step(w)
        homes.append(w.sensors[0].station)
    assert homes == [0, 1, 1, 0]


def test_nobody_is_attached_where_no_station_is_up() -> None:
    cut = [{**stations(1)[0], "outages_s": [(0.0, 2.0)]}]
    w = street({(0, 0): (1.0, 1.0)}, Signals([1]), stations=cut)
    assert [step(w)["attached_users"] for _ in range(3)] == [0, 0, 1]
    assert w.jobs[0].tx_start == 2


def test_a_closed_station_goes_down_at_the_end_of_the_next_step() -> None:
    w = street({}, Signals([1, 1]))
    w.close_stations([True, False])
    seen = [step(w)["up"] for _ in range(2)]
    w.close_stations([False, False])
    seen += [step(w)["up"] for _ in range(2)]
    assert seen == [2, 1, 1, 2]


def test_failures_are_as_frequent_as_their_means_say() -> None:
    scenario = Scenario.model_validate(
        {
            "stations": [{"x_m": 1.0 * z} for z in range(150)],
            "users": {"count": 0},
            "sensors": {"count": 0},
            "failures": {"mean_between_s": 12.0, "mean_repair_s": 4.0},
            "step_s": 2.0,
        }
    )
    w = ReferenceWorld(scenario, 2)
    up = [step(w)["up"] for _ in range(60)]
    assert up[0] == 150
    assert up[1] == pytest.approx(125, abs=15)  # one in 6 breaks, sd 4.6
    assert sum(up[20:]) / 40 == pytest.approx(112.5, abs=5)  # 12 of 16 seconds


# --- capacities, latency and rewards of stations ---------------------------------------------------------------------


def test_capacities_change_between_steps_and_residents_stay() -> None:
    script = {(t, 0): (5.0, 20.0) for t in range(3)}
    w = street(script, Signals([1]), memory={"base_mb": 10.0, "per_user_mb": 1.0, "per_job_mb": 5.0})
    assert step(w, REQUESTS)["request_gcycle_processed"] == 10
    w.set_capacity(0, bandwidth_hz=2e6, compute_gcycle_s=1.0, memory_mb=15.0)
    outcome = step(w, REQUESTS)
    assert (outcome["request_mbit_sent"], outcome["request_gcycle_processed"]) == pytest.approx((2, 1))
    w.set_capacity(0, bandwidth_hz=10e6)
    outcome = step(w, REQUESTS)
    assert [job.outcome for job in w.jobs] == ["waiting", "lost_station", "lost_station"]
    assert outcome["resident_mb"] == 16
    w.set_capacity(0, memory_mb=math.inf)
    assert w.stations[0].compute_gcycle_s == 1


def test_latency_counts_parts_of_steps() -> None:
    """Sent with 4, then 2 of 10 Mbit, served with 5, then 3 of 10 Gcycle; the third one is sent a step before."""
    script = {(0, 0): (4.0, 5.0), (0, 1): (2.0, 3.0), (1, 0): (5.0, 10.0)}
    w = street(script, Signals([1, 1]), users=2, stations=stations(1, bandwidth_hz=20e6))
    first = step(w, REQUESTS)
    assert first["request_latency"] == pytest.approx(0.4 + 0.5 + 0.2 + 0.8)
    assert first["request_latency_squared"] == pytest.approx(0.9**2 + 1.0**2)
    step(w, (1.0, 0.0))
    assert step(w, REQUESTS)["request_latency"] == pytest.approx(1 + 1.0)


def test_rewards_of_stations_add_up_to_the_reward() -> None:
    weights = {"throughput": 0.5, "loss": 2.0, "served_age": 0.25, "twin_age": 4.0, "delay_threshold_s": 0.0}
    script = {(0, 0): (1.0, 9.0), (0, 1): (1.0, 1.0), (0, 2): (1.0, 0.0), (2, 0): (900.0, 1.0), (3, 0): (1.0, 1.0)}
    changes = {"reward": weights, "buffers__device_jobs": 1, "users__positions_m": [(0.0, 100.0), (50.0, 100.0)]}
    w = street(script, Signals([1, 1]), users=2, sensors=1, **changes)
    for _ in range(4):
        outcome = step(w)
        assert sum(w.station_rewards) == pytest.approx(outcome["reward"])
        if w.t == 2:  # user 1 is answered in step 1 with the update of step 0: 10 - 1 + 0.5 - 0.25, and half of -4
            assert w.by_station[1]["sync_value"] == 1
            assert w.station_rewards == pytest.approx([-2, 9.25 - 2])
    assert outcome["reward_terms"]["loss"] == -2
