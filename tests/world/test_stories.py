"""Physics that a reader can follow: who walks away gets slower, who is nearer is served, who waits is not forgotten."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from world.confidence import assert_mean

from metalore.scenario import Scenario, load
from metalore.world import World, totals_of

Point = tuple[float, float]
STILL = {"kind": "static"}
DEAF = {"radio__noise_w": 1e9}  # nobody hears anything


def constant(mean: float) -> dict[str, Any]:
    return {"mean": mean, "distribution": "constant", "minimum": 0.0}


def people(*places: Point, **changes: Any) -> Scenario:
    """Users who stand still at `places` and ask in every step; no sensors."""
    stand = {"users__count": len(places), "users__positions_m": places, "users__mobility": STILL}
    return load("smart-city", **stand, sensors__count=0, users__requests__probability=1.0).updated(**changes)


def walk(file: Path, *ways: Sequence[Point], steps: int) -> dict[str, Any]:
    """Settings of users who walk straight ways with constant speed; one point after the other."""
    rows = ["time_s,user,x_m,y_m"]
    for user, way in enumerate(ways):
        times = np.linspace(0, steps, len(way))
        rows += [f"{t},{user},{x},{y}" for t, (x, y) in zip(times, way, strict=True)]
    file.write_text("\n".join(rows) + "\n")
    motion = {"kind": "trace", "file": str(file)}
    return {"users__count": len(ways), "users__positions_m": None, "users__mobility": motion, "max_steps": steps}


def started(scenario: Scenario, seeds: Sequence[int] = (1,), **options: Any) -> World:
    world = World(scenario, len(seeds), **options)
    world.reset(seeds)
    return world


def step(world: World, share: float | Sequence[float] = 0.5) -> World:
    shares = np.empty((world.num_envs, world.num_stations, 2))
    shares[...] = np.reshape(share, (-1, 1, 1))
    world.step(shares)
    return world


def counted(world: World, name: str) -> np.ndarray:
    return totals_of(world.step_totals, name)


# -- radio -------------------------------------------------------------------------------------------------------------


def test_who_walks_away_gets_slower(tmp_path: Path) -> None:
    """And who comes back gets faster, along the same numbers."""
    busy = {"users__requests__data_mbit": constant(5000.0)}
    way = walk(tmp_path / "out.csv", [(100.0, 100.0), (190.0, 100.0), (100.0, 100.0)], steps=100)
    world = started(people((0.0, 0.0), **busy, **way))
    sent = [float(counted(step(world, 1.0), "request_mbit_sent")[0]) for _ in range(100)]
    assert (np.diff(sent[1:51]) < 0).all()
    assert (np.diff(sent[51:]) > 0).all()
    assert sent[30] == pytest.approx(sent[70])
    assert sent[50] < 0.7 * sent[1]


def away(
    x_m: float, y_m: float, m0: float, m1: float, m2: float, m3: float, step_s: float,
    width_m: float, height_m: float, u0: float, u1: float, u2: float, u3: float,
) -> tuple[float, float, float, float, float, float]:  # fmt: skip
    """Two metres a second to the east, up to the edge."""
    return min(x_m + 2.0 * step_s, width_m), y_m, m0, m1, m2, m3


def test_a_users_own_mobility_moves_people() -> None:
    world = started(people((110.0, 100.0), users__requests__data_mbit=constant(5000.0)), mobility=away)
    seen = []
    for _ in range(60):
        step(world, 1.0)
        seen.append((world.user_positions[0, 0, 0], counted(world, "request_mbit_sent")[0]))
    x, sent = np.array(seen).T
    assert x.tolist() == [min(110.0 + 2.0 * t, 200.0) for t in range(1, 61)]
    assert (np.diff(sent[:45]) < 0).all()
    assert len(set(sent[46:].tolist())) == 1


def test_more_bandwidth_sends_more() -> None:
    """The same people under five shares: more for requests sends more of them, and fewer updates."""
    shares = (0.05, 0.1, 0.2, 0.3, 0.4)
    world = started(load("smart-city"), [7] * 5)
    for _ in range(100):
        step(world, shares)
    assert (np.diff(totals_of(world.episode_totals, "requests_sent")) > 0).all()
    assert (np.diff(totals_of(world.episode_totals, "updates_sent")) < 0).all()
    assert len(set(totals_of(world.episode_totals, "requests_generated"))) == 1


def test_more_compute_completes_more() -> None:
    world = started(load("smart-city"), [7] * 4)
    for _ in range(100):
        world.step(np.array([[[0.5, c]] for c in (0.1, 0.2, 0.3, 0.4)]))
    assert (np.diff(totals_of(world.episode_totals, "requests_completed")) > 0).all()


def test_where_nobody_is_heard_jobs_wait() -> None:
    world = started(load("smart-city", **DEAF))
    for _ in range(100):
        step(world)
    assert not world.attached.any()
    for kind in ("request", "update"):
        made = totals_of(world.episode_totals, f"{kind}s_generated")
        assert made > 500
        for name in ("sent", "lost", "completed"):
            assert not totals_of(world.episode_totals, f"{kind}s_{name}")
        assert totals_of(world.episode_totals, f"{kind}_mbit_sent") == 0
    assert world.devices["count"].sum() == sum(
        totals_of(world.episode_totals, f"{k}s_generated") for k in ("request", "update")
    )


def test_more_noise_sends_less() -> None:
    sent = []
    for noise in (1e-12, 1e-11, 1e-10):
        world = started(load("smart-city", radio__noise_w=noise))
        for _ in range(50):
            step(world)
        sent.append(float(totals_of(world.episode_totals, "request_mbit_sent")[0]))
    assert sent[0] > sent[1] > sent[2] > 0


# -- several stations --------------------------------------------------------------------------------------------------

PAIR = ({"x_m": 50.0, "y_m": 100.0}, {"x_m": 150.0, "y_m": 100.0})


def test_handover_at_the_middle(tmp_path: Path) -> None:
    """From one station to the other in steps of a metre; at the very middle the first one keeps the user."""
    way = walk(tmp_path / "across.csv", [(50.0, 100.0), (150.0, 100.0)], steps=100)
    world = started(people((0.0, 0.0), stations=PAIR).updated(**way))
    for t in range(100):
        x = world.user_positions[0, 0, 0]
        assert x == pytest.approx(50.0 + t)
        step(world, 1.0)
        serving = 0 if t <= 50 else 1
        assert world.devices["station"][0, 0] == serving
        assert world.attached[0, :, 0].tolist() == [1 - serving, serving]
        sent = totals_of(world.station_totals[0], "request_mbit_sent")
        assert sent[serving] > 0
        assert sent[1 - serving] == 0


@pytest.mark.parametrize(("association", "station"), [("nearest", 0), ("strongest", 1)])
def test_the_strongest_station_is_not_the_nearest(association: str, station: int) -> None:
    """A user 40 m from a station of 1 W and 60 m from one of 100 W."""
    powers = tuple({**place, "tx_dbm": tx} for place, tx in zip(PAIR, (30.0, 50.0), strict=True))
    world = step(started(people((90.0, 100.0), stations=powers, radio__association=association)))
    assert world.devices["station"][0, 0] == station


def hata_snr(scenario: Scenario, places: np.ndarray, height_m: float) -> np.ndarray:
    """SNR [d, s] by the formula of docs/world.md."""
    radio = scenario.radio
    f = math.log10(radio.carrier_mhz)
    correction = (1.1 * f - 0.7) * height_m - (1.56 * f - 0.8)
    columns = []
    for s in scenario.stations:
        d_km = np.maximum(np.hypot(places[:, 0] - s.x_m, places[:, 1] - s.y_m), 1.0) / 1000
        h = math.log10(s.height_m)
        loss = 69.55 + 26.16 * f - 13.82 * h - correction + (44.9 - 6.55 * h) * np.log10(d_km)
        columns.append(10 ** ((s.tx_dbm - 30 - loss) / 10) / radio.noise_w)
    return np.stack(columns, axis=1)


def umi_snr(scenario: Scenario, places: np.ndarray, height_m: float) -> np.ndarray:
    """SNR [d, s] of devices that see no station (UMi without line of sight)."""
    f = scenario.radio.carrier_mhz / 1000
    columns = []
    for s in scenario.stations:
        plane = np.maximum(np.hypot(places[:, 0] - s.x_m, places[:, 1] - s.y_m), 10.0)
        d3 = np.hypot(plane, s.height_m - height_m)
        turn = 4 * (s.height_m - 1) * (height_m - 1) * f * 1e9 / 3e8
        near = 32.4 + 21 * np.log10(d3) + 20 * math.log10(f)
        far = 32.4 + 40 * np.log10(d3) + 20 * math.log10(f)
        far -= 9.5 * math.log10(turn**2 + (s.height_m - height_m) ** 2)
        seen = np.where(plane <= turn, near, far)
        unseen = 35.3 * np.log10(d3) + 22.4 + 21.3 * math.log10(f) - 0.3 * (height_m - 1.5)
        columns.append(10 ** ((s.tx_dbm - 30 - np.maximum(seen, unseen)) / 10) / scenario.radio.noise_w)
    return np.stack(columns, axis=1)


def country(association: str, path_loss: str) -> Scenario:
    """500 stations, a few much stronger than the rest, anywhere on 5 km x 3 km and crowded in a corner of it."""
    rng = np.random.default_rng(5)
    x, y = rng.uniform(0, 5000, 500), rng.uniform(0, 3000, 500)
    x[:150], y[:150] = rng.uniform(0, 300, 150), rng.uniform(0, 200, 150)
    tx, height = rng.uniform(10, 20, 500).round(1), rng.uniform(10, 60, 500).round(1)
    tx[::50] += 30.0
    stations = [{"x_m": a, "y_m": b, "tx_dbm": c, "height_m": d} for a, b, c, d in zip(x, y, tx, height, strict=True)]
    motion = {"kind": "random-waypoint", "speed_min_m_s": 5.0, "speed_max_m_s": 300.0}
    return load(
        map={"width_m": 5000.0, "height_m": 3000.0},
        stations=stations,
        radio__association=association,
        radio__path_loss=path_loss,
        radio__line_of_sight="never",
        users__count=250,
        users__mobility=motion,
        sensors__count=250,
        sensors__height_m=3.0,
        sensors__placement={"kind": "uniform"},
    )


@pytest.mark.parametrize("path_loss", ["okumura-hata", "umi"])
@pytest.mark.parametrize("association", ["nearest", "strongest"])
def test_association_among_500_stations(association: str, path_loss: str) -> None:
    """Everybody's station and spectral efficiency are those of a search through all stations, in every step."""
    scenario = country(association, path_loss)
    snr_of = hata_snr if path_loss == "okumura-hata" else umi_snr
    sites = np.array([(s.x_m, s.y_m) for s in scenario.stations])
    world = started(scenario)
    for _ in range(6):
        groups = [(world.user_positions[0], scenario.users.height_m), (world.sensor_positions[0], 3.0)]
        step(world)
        snr = np.concatenate([snr_of(scenario, places, height) for places, height in groups])
        places = np.concatenate([places for places, _ in groups])
        if association == "nearest":
            expected = ((places[:, None] - sites) ** 2).sum(axis=2).argmin(axis=1)
        else:
            expected = snr.argmax(axis=1)
        assert world.devices["station"][0].tolist() == expected.tolist()
        best = snr[np.arange(len(snr)), expected]
        assert world.devices["efficiency"][0] == pytest.approx(np.log2(1 + best), rel=1e-9)
        assert (world.devices["attached"][0] == 1).all()
    assert len(set(expected.tolist())) > 50
    if association == "strongest":
        far = np.hypot(*(places - sites[expected]).T)
        assert (far > 1000).sum() >= 10


# -- schedulers --------------------------------------------------------------------------------------------------------


def delivered(world: World, per_step: float) -> np.ndarray:
    """Mbit that each device of environment 0 has sent, where each gets `per_step` more to send in a step."""
    return world.t[0] * per_step - world.devices["backlog"][0]


def test_round_robin_is_fair_over_time() -> None:
    """Ten slots for seven people: three get two in a step, but after seven steps everybody had ten."""
    scenario = people(*[(150.0, 100.0)] * 7, radio__scheduler="round-robin", radio__round_robin_slots=10)
    world = started(scenario.updated(users__requests__data_mbit=constant(500.0)))
    before = np.zeros(7)
    slots = []
    for _ in range(70):
        step(world, 1.0)
        now = delivered(world, 500.0)
        slots.append((now - before) / (now - before).sum() * 10)
        before = now
    assert np.array(slots[:2]) == pytest.approx(np.array([[2, 2, 2, 1, 1, 1, 1], [1, 1, 1, 2, 2, 2, 1]]))
    assert np.cumsum(slots, axis=0)[6::7] == pytest.approx(10 * np.arange(1, 11)[:, None] * np.ones(7))


def test_proportional_fair_serves_good_and_bad_channels() -> None:
    """Next to the station and at the edge: equal parts of the band, so more Mbit where the channel is good."""
    scenario = people((101.0, 100.0), (199.0, 199.0), radio__scheduler="proportional-fair", max_steps=400)
    world = started(scenario.updated(users__requests__data_mbit=constant(2000.0)))
    for _ in range(100):
        step(world, 1.0)
    parts = []
    for _ in range(300):
        before = delivered(world, 2000.0)
        step(world, 1.0)
        sent = delivered(world, 2000.0) - before
        parts.append(sent / (world.devices["efficiency"][0] * 100.0))  # of 100 MHz
    parts = np.array(parts)
    assert parts.sum(axis=1) == pytest.approx(1.0)
    assert parts.min() > 0.4
    assert parts.mean(axis=0) == pytest.approx(0.5, abs=0.02)
    good, bad = world.devices["efficiency"][0]
    assert good > 3 * bad


def test_proportional_fair_catches_up_with_the_one_left_out() -> None:
    """Who had nothing to send, and so a low average, comes first when there is something."""

    def late(
        time_s: float, device: int, is_sensor: bool, u0: float, u1: float, u2: float, u3: float
    ) -> tuple[int, float, float]:
        return (1 if device == 0 or time_s >= 50.0 else 0), 2000.0, 1.0

    scenario = people((120.0, 100.0), (80.0, 100.0), radio__scheduler="proportional-fair")
    world = started(scenario, traffic=late)
    for _ in range(50):
        step(world, 1.0)
    backlog = world.devices["backlog"][0].copy()
    step(world, 1.0)
    sent = backlog + 2000.0 - world.devices["backlog"][0]
    assert sent[1] > 0.9 * sent.sum()


def test_resource_fair_gives_equal_parts_to_all() -> None:
    """Also to a user with nothing to send."""

    def only_first(
        time_s: float, device: int, is_sensor: bool, u0: float, u1: float, u2: float, u3: float
    ) -> tuple[int, float, float]:
        return (1 if device == 0 else 0), 2000.0, 1.0

    sent = []
    for places in ([(150.0, 100.0)], [(150.0, 100.0), (50.0, 100.0)]):
        world = step(started(people(*places), traffic=only_first), 1.0)
        sent.append(counted(world, "request_mbit_sent")[0])
    assert sent[0] == pytest.approx(2 * sent[1])


# -- demand, motion, presence ------------------------------------------------------------------------------------------


def test_a_burst_brings_requests() -> None:
    """Twice as many in seconds 20 to 40, and as many after as before."""
    burst = {"kind": "burst", "from_s": 20.0, "duration_s": 20.0, "factor": 2.0}
    scenario = load(users__requests__probability=0.3, users__requests__profile=burst, max_steps=60)
    world = started(scenario, range(500))
    requests = [counted(step(world), "requests_generated").copy() for _ in range(60)]
    before, during, after = np.split(np.array(requests), 3)
    for part, probability in ((before, 0.3), (during, 0.6), (after, 0.3)):
        assert_mean(part.mean(axis=0), 10 * probability, 0.01)
        assert np.abs(part.mean(axis=1) - 10 * probability).max() < 6 * math.sqrt(10 * 0.25 / 500)


def test_a_jump_brings_updates() -> None:
    """From one update in two steps to one in each, for each of 15 sensors."""
    jump = {"kind": "step", "at_s": 30.0, "factor": 2.0}
    timing = {"kind": "periodic", "period_steps": 2.0, "phase": "random"}
    world = started(load(sensors__updates__timing=timing, sensors__updates__profile=jump))
    updates = [int(counted(step(world), "updates_generated")[0]) for _ in range(60)]
    assert all(a + b == 15 for a, b in zip(updates[:30:2], updates[1:30:2], strict=True))
    assert updates[30:] == [15] * 30


def test_gauss_markov_stays_on_the_map_at_its_speed() -> None:
    """Speed 4 +- 0.5 m/s in a small yard, so that edges are met often."""
    motion = {"kind": "gauss-markov", "memory": 0.8, "speed_m_s": 4.0, "speed_sd_m_s": 0.5, "heading_sd_rad": 0.7}
    yard = {"map": {"width_m": 40.0, "height_m": 30.0}, "stations": [{"x_m": 20.0, "y_m": 15.0}]}
    world = started(load(users__mobility=motion, sensors__count=0, **yard), range(100))
    speeds, longest, at = [], 0.0, world.user_positions
    for _ in range(100):
        step(world)
        before, at = at, world.user_positions
        assert (at >= 0).all()
        assert (at <= [40.0, 30.0]).all()
        moved = np.hypot(*np.moveaxis(at - before, -1, 0))
        inside = ((before > 8) & (before < [32.0, 22.0])).all(axis=-1)  # too far from any edge to meet it
        speeds.append(np.where(inside, moved, np.nan))
        longest = max(longest, float(moved.max()))
    walked = np.array(speeds)
    assert np.isfinite(walked).sum() > 10_000
    assert_mean(np.nanmean(walked, axis=(0, 2)), 4.0, 0.01)
    assert np.nanstd(walked) == pytest.approx(0.5, rel=0.1)
    assert longest < 4.0 + 6 * 0.5


def test_waypoint_walkers_keep_their_pace() -> None:
    """1.5 m a second and never more; less only where a point is reached."""
    world = started(load("smart-city"), range(50))
    short = 0
    for _ in range(100):
        before = world.user_positions
        step(world)
        moved = np.hypot(*np.moveaxis(world.user_positions - before, -1, 0))
        assert moved.max() <= 1.5 + 1e-9
        short += int((moved < 1.5 - 1e-9).sum())
    assert 0 < short < 0.05 * 100 * 50 * 10


def test_churn_keeps_its_part_present() -> None:
    """Stays of 30 and absences of 10 steps leave three quarters present, from the first step on."""
    churn = {"kind": "churn", "mean_stay_steps": 30.0, "mean_absence_steps": 10.0}
    world = started(load(users__presence=churn, max_steps=200), range(300))
    seen = [world.devices["present"][:, :10].mean(axis=1)]
    for _ in range(200):
        step(world)
        seen.append(world.devices["present"][:, :10].mean(axis=1))
    present = np.array(seen)
    for part in (present[:1], present[50:51], present):
        assert_mean(part.mean(axis=0), 0.75, 0.02)


def test_churn_has_geometric_stays() -> None:
    """A stay lasts 5 steps on average, an absence 4."""
    churn = {"kind": "churn", "mean_stay_steps": 5.0, "mean_absence_steps": 4.0}
    world = started(load(users__presence=churn, max_steps=100), range(300))
    before = world.devices["present"][:, :10] == 1
    left, came, stays, absences = (np.zeros(300) for _ in range(4))
    for _ in range(100):
        step(world)
        now = world.devices["present"][:, :10] == 1
        left += (before & ~now).sum(axis=1)
        came += (~before & now).sum(axis=1)
        stays += before.sum(axis=1)
        absences += (~before).sum(axis=1)
        before = now
    assert_mean(left / stays, 1 / 5, 0.01)
    assert_mean(came / absences, 1 / 4, 0.01)


def test_who_leaves_takes_the_jobs_along() -> None:
    """What an absent user had asked for is lost, and a newcomer starts with nothing."""
    churn = {"kind": "churn", "mean_stay_steps": 3.0, "mean_absence_steps": 3.0}
    world = started(load("smart-city", users__presence=churn, **DEAF))
    for _ in range(100):
        step(world)
        gone = world.devices["present"][0, :10] == 0
        assert not world.devices["count"][0, :10][gone].any()
    assert totals_of(world.episode_totals, "requests_lost") > 100


def test_no_users() -> None:
    world = started(load("smart-city", users__count=0))
    for _ in range(100):
        step(world)
    assert world.user_positions.shape == (1, 0, 2)
    assert totals_of(world.episode_totals, "updates_completed") > 100
    assert totals_of(world.episode_totals, "requests_generated") == 0


def test_no_sensors() -> None:
    """Requests are served without an update: they are late or not, but never synchronized."""
    world = started(load("smart-city", sensors__count=0))
    for _ in range(100):
        step(world)
    assert world.sensor_ages.shape == (1, 0)
    assert totals_of(world.episode_totals, "requests_completed") > 100
    for name in ("updates_generated", "requests_synchronized", "aosi", "twin_age"):
        assert totals_of(world.episode_totals, name) == 0


# -- pairing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reach", [None, 12.0])
@pytest.mark.parametrize("pairing", ["creation", "start", "completion"])
def test_requests_are_paired_with_the_nearest_of_2000_sensors(pairing: str, reach: float | None) -> None:
    """With capacity to spare a request is created and served in one step; its sensor is the nearest at that place."""
    motion = {"kind": "random-waypoint", "speed_min_m_s": 1.0, "speed_max_m_s": 120.0}
    scenario = load(
        map={"width_m": 1000.0, "height_m": 600.0},
        stations=[{"x_m": 500.0, "y_m": 300.0, "bandwidth_hz": 1e13, "compute_gcycle_s": 1e9}],
        users__count=100,
        users__mobility=motion,
        users__requests__probability=1.0,
        sensors__count=2000,
        sensors__placement={"kind": "uniform"},
        sensors__range_m=reach,
        pairing=pairing,
        max_steps=12,
    )
    world = started(scenario, job_log=True)
    sensors = world.sensor_positions[0]
    expected = []
    for _ in range(12):
        places = world.user_positions[0]
        step(world)
        d2 = ((places[:, None] - sensors) ** 2).sum(axis=2)
        nearest = d2.argmin(axis=1)
        near_enough = d2.min(axis=1) <= (math.inf if reach is None else reach**2)
        expected.append(np.where(near_enough, nearest, -1))
    jobs = world.jobs()
    requests = jobs[jobs["kind"] == 0]
    assert len(requests) == 1200
    first_step = requests["created"] == 0
    assert (requests["completed"] == np.where(first_step & (requests["completed"] > 0), 1, requests["created"])).all()
    later = requests[~first_step]
    assert later["sensor"].tolist() == np.array(expected)[later["created"], later["device"]].tolist()
    if reach is not None:
        assert 0.1 < (later["sensor"] < 0).mean() < 0.9
    assert (later["update_created"][later["sensor"] >= 0] == later["created"][later["sensor"] >= 0] - 1).all()
