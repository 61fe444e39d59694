"""A city does what its settings say: people follow pulls, activities last as they claim, neighbours go together.

Whether the compiled city is the one of `docs/world.md` is for `tests/test_parity.py`; here are its statistics.
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from world.confidence import LEAST_P, assert_mean

from metalore.scenario import Scenario, load
from metalore.world import METRICS, World, WorldError, totals_of


def row_of(zones: int, spacing_m: float = 400.0, **changes: Any) -> Scenario:
    """Zones in a row and a city without rhythm; a step is a minute, nobody asks unless `changes` say so."""
    settings: dict[str, Any] = {
        "step_s": 60.0,
        "max_steps": 100_000,
        "map": {"width_m": spacing_m * zones, "height_m": 400.0},
        "stations": [{"x_m": spacing_m * (i + 0.5), "y_m": 200.0} for i in range(zones)],
        "users": {"count": 0, "requests": {"probability": 0.0}},
        "sensors": {"count": 0},
        "buffers": {"device_jobs": 4, "station_jobs": 50},
        "city": {"interval_s": 60.0, "outside": False},
    }
    return load(settings).updated(**changes)


def run(scenario: Scenario, steps: int, seeds: int = 1, every: int = 1) -> tuple[World, np.ndarray]:
    """A world after some steps, and its zones [t, e, s] after every so many."""
    world = World(scenario, seeds)
    world.reset(seed=1)
    shares = np.full((seeds, world.num_stations, 2), 0.5)
    zones = []
    for t in range(steps):
        if t % every == 0:
            zones.append(world.zones.copy())
        world.step(shares)
    return world, np.array(zones)


# -- people ------------------------------------------------------------------------------------------------------------


def crowd(pulls: list[float], far: float, outside: bool, **city: Any) -> Scenario:
    kinds = [{"name": f"k{i}", "pull": [pull] * 24} for i, pull in enumerate(pulls)]
    scenario = row_of(len(pulls)).updated(**{f"stations.{i}.kind": "" for i in range(len(pulls))})
    settings = scenario.model_dump(mode="json", exclude_none=True)
    for station, kind in zip(settings["stations"], kinds, strict=True):
        station["kind"] = kind["name"]
    settings["city"] = {"interval_s": 60.0, "outside": outside, "kinds": kinds, **city}
    fast = {"speed_min_m_s": 1000.0, "speed_max_m_s": 1000.0}  # ways take one step of a hundred
    settings["users"]["count"] = 600
    settings["users"]["mobility"] = {
        "kind": "attraction",
        "mean_stay_s": 6000.0,
        "far_probability": far,
        "neighbours": 2,
        **fast,
    }
    return load(settings)


@pytest.mark.parametrize(("far", "outside"), [(0.0, False), (1.0, True), (0.5, True)])
def test_people_are_spread_as_zones_pull(far: float, outside: bool) -> None:
    """The Metropolis walk keeps its distribution, whichever way zones are proposed."""
    pulls = [1.0, 2.0, 4.0, 1.0, 0.0]
    scenario = crowd(pulls, far, outside)
    elsewhere = sum(pulls) / scenario.city.peak_presence - sum(pulls) if outside and scenario.city else 0.0
    expected = np.array([*pulls, elsewhere]) / (sum(pulls) + elsewhere)
    world = World(scenario, 20)
    world.reset(seed=1)
    shares = np.full((20, len(pulls), 2), 0.5)

    def parts() -> np.ndarray:
        places = world.bodies["place"][:, :600]
        return np.array([[(row == place).mean() for place in range(len(pulls) + 1)] for row in places])

    for moment in range(3):
        now = parts()
        for place, part in enumerate(expected):
            if part == 0.0:
                assert not now[:, place].any()
            else:  # a stay ends with probability 1/100 a step, so 300 steps forget where people began
                assert_mean(now[:, place], part, 0.04)
        for _ in range(300 if moment < 2 else 0):
            world.step(shares)
    absent = world.devices["present"][:, :600] == 0
    assert np.array_equal(absent, world.bodies["place"][:, :600] == len(pulls))


def test_a_crowd_comes_for_an_event_and_leaves() -> None:
    event = {"zone": "zone-003", "from_s": 36_000.0, "duration_s": 18_000.0, "lead_s": 9_000.0, "pull": 5.0}
    scenario = crowd([1.0] * 6, 0.7, False, events=[event])
    world = World(scenario.updated(users__mobility__mean_stay_s=900.0), 10)
    world.reset(seed=3)
    there = []
    for _ in range(1500):
        world.step(np.full((10, 6, 2), 0.5))
        there.append((world.bodies["place"][:, :600] == 3).mean())
    before, during, after = np.mean(there[100:440]), np.mean(there[700:890]), np.mean(there[1200:])
    assert before == pytest.approx(1 / 6, rel=0.05)
    assert during == pytest.approx(5 / 10, rel=0.05)
    assert after == pytest.approx(1 / 6, rel=0.05)
    assert np.mean(there[560:600]) > 1.5 * before  # they come before it begins


def test_counts_are_followed_and_gaps_freeze(tmp_path: Path) -> None:
    """People follow counts; in a gap nobody decides to come to the zone or to leave it."""
    file = tmp_path / "counts.csv"
    rows = [f"{h},zone-000,{100 if h < 10 else 300}\n{h},zone-001,{300 if h < 10 else 100}" for h in range(30)]
    rows += [f"{h},zone-002,200" for h in range(30) if not 12 <= h < 18]
    file.write_text("hour,zone,people\n" + "\n".join(rows) + "\n")
    scenario = crowd([1.0] * 3, 0.8, False, counts={"file": str(file)})
    world = World(scenario.updated(users__mobility__mean_stay_s=600.0), 10)
    world.reset(seed=4)
    places = []
    for _ in range(29 * 60):
        world.step(np.full((10, 3, 2), 0.5))
        places.append(world.bodies["place"][:, :600].copy())
    part = np.array([[(p == z).mean() for z in range(3)] for p in places])
    assert part[5 * 60 : 9 * 60].mean(axis=0) == pytest.approx([1 / 6, 3 / 6, 2 / 6], abs=0.02)
    assert part[24 * 60 : 28 * 60].mean(axis=0) == pytest.approx([3 / 6, 1 / 6, 2 / 6], abs=0.02)
    # From the middle of the last hour that was counted to that of the next one the zone is closed to decisions.
    still = np.array([p == 2 for p in places[12 * 60 : 17 * 60]])
    assert (still == still[0]).all()
    assert np.isnan(run(scenario, 14 * 60, every=14 * 60 - 1)[1][-1]["pull"][0, 2])


def test_handover_at_the_border_needs_the_margin() -> None:
    """Along a straight way the station changes once, and later with a margin than without."""
    base = row_of(2, step_s=1.0, users__count=1, users__requests__probability=0.0, city=None)
    walk = {"kind": "random-waypoint", "speed_min_m_s": 1.5, "speed_max_m_s": 1.5}
    moving = base.updated(users__mobility=walk, radio__snr_threshold=0.0, max_steps=3000)
    changes, handovers = {}, {}
    for margin, wait in ((0.0, 0), (3.0, 0), (3.0, 20)):
        handover = {"margin_db": margin, "time_to_trigger_steps": wait}
        world = World(moving.updated(radio__handover=handover), 40)
        world.reset(seed=5)
        stations = []
        for _ in range(2500):
            world.step(np.full((40, 2, 2), 0.5))
            stations.append(world.devices["station"][:, 0].copy())
        changed = np.diff(np.array(stations).astype(int), axis=0) != 0
        changes[margin, wait] = changed.sum()
        handovers[margin, wait] = totals_of(world.episode_totals, "handovers").sum()
    assert changes == handovers
    assert changes[0.0, 0] > changes[3.0, 0] > changes[3.0, 20] > 0


# -- what goes on ------------------------------------------------------------------------------------------------------


def test_activities_last_as_long_as_they_claim() -> None:
    kinds = [{"activities": {"short": 1.0, "long": 1.0, "rare": 0.25}}]
    activities = [
        {"name": "short", "mean_s": 20 * 60.0, "variation": 0.3},
        {"name": "long", "mean_s": 90 * 60.0, "variation": 0.8},
        {"name": "rare", "mean_s": 40 * 60.0, "variation": 0.0},
    ]
    scenario = row_of(20, city={"interval_s": 60.0, "kinds": kinds, "activities": activities})
    _, zones = run(scenario, 6000)
    stays: dict[int, list[int]] = {0: [], 1: [], 2: []}
    followed = np.zeros((3, 3))
    for z in range(20):
        activity = zones["activity"][:, 0, z]
        cuts = np.flatnonzero(np.diff(activity)) + 1
        for start, end in pairwise(cuts):  # whole stays only
            stays[int(activity[start])].append(int(end - start))
            followed[activity[start], activity[end]] += 1
    assert_mean(stays[0], 20.0, 0.02)
    assert_mean(stays[1], 90.0, 0.05)
    assert set(stays[2]) == {40}
    # log-normal: the logarithm is normal
    logs = np.log(np.array(stays[1], float))
    assert logs.std() == pytest.approx(math.sqrt(math.log1p(0.8**2)), rel=0.1)
    assert not followed.diagonal().any()
    after_short = followed[0, 1:]
    assert stats.binomtest(int(after_short[0]), int(after_short.sum()), 1.0 / 1.25).pvalue > LEAST_P


def test_activities_begin_in_their_hours() -> None:
    activities = [
        {"name": "quiet", "mean_s": 900.0},
        {"name": "night", "mean_s": 900.0, "from_hour": 22.0, "to_hour": 4.0, "days": "weekend"},
    ]
    kinds = [{"activities": {"quiet": 1.0, "night": 5.0}}]
    scenario = row_of(6, city={"interval_s": 60.0, "kinds": kinds, "activities": activities})
    _, zones = run(scenario, 7 * 24 * 60)
    begun = np.argwhere(np.diff((zones["activity"][:, 0] == 1).astype(int), axis=0) == 1)[:, 0] + 1
    hours = begun / 60.0
    assert len(begun) > 20
    assert ((hours // 24) >= 5).all()
    assert ((hours % 24 >= 22) | (hours % 24 < 4)).all()


def test_requests_follow_the_day() -> None:
    """The number of requests in each hour has the mean that row, activity and probability say."""
    rhythm = [0.2 + 0.1 * h for h in range(24)]
    city = {"interval_s": 60.0, "outside": False, "kinds": [{"requests": rhythm}]}
    light = {"mean": 1.0, "distribution": "constant", "minimum": 0.0}
    asked = {"probability": 0.2, "data_mbit": light, "compute_gcycle": light}
    scenario = row_of(1, city=city, users__count=200, users__requests=asked)
    world = World(scenario, 30)
    world.reset(seed=7)
    hourly = np.zeros((24, 30))
    for t in range(24 * 60):
        world.step(np.full((30, 1, 2), 0.5))
        hourly[t // 60] += totals_of(world.step_totals, "requests_generated")
    for h in range(1, 23):  # where the row is straight over the hour, its mean is the entry
        assert_mean(hourly[h], 200 * 60 * 0.2 * rhythm[h], 0.02)


def test_flash_crowds_come_as_often_and_stay_as_long_as_they_claim() -> None:
    flash = {"per_day": 4.0, "mean_s": 1800.0, "request_factor": 3.0, "pull": 2.0}
    scenario = row_of(40, city={"interval_s": 60.0, "flash_crowds": flash})
    _, zones = run(scenario, 10 * 24 * 60)
    on = zones["request_factor"][:, 0] == 3.0
    assert (zones["pull"][:, 0][on] == 2.0 * zones["pull"][:, 0][~on].max()).all()
    begun = (np.diff(on.astype(int), axis=0) == 1).sum(axis=0)
    quiet = (~on).sum(axis=0) * 60.0 / 86_400
    # One that begins where another ends is not seen as new: in a minute 4 / 1440 of them.
    assert_mean(begun / quiet, 4.0, 0.05)
    lengths = [len(part) for z in range(40) for part in runs_of(on[:, z])]
    assert_mean(lengths, 30.5 / (1 - 4 / 1440), 0.03)  # whole minutes, rounded, at least one


def runs_of(flags: np.ndarray) -> list[np.ndarray]:
    """Stretches of true, without those cut by beginning or end."""
    parts = np.split(flags, np.flatnonzero(np.diff(flags.astype(int))) + 1)
    return [part for part in parts[1:-1] if part[0]]


def test_drift_is_slow_and_shared_by_neighbours() -> None:
    """The logarithm is normal with the given spread, forgets exponentially, and falls off with distance."""
    drift = {"sd": 0.3, "time_s": 3600.0, "length_m": 500.0}
    scenario = row_of(12, spacing_m=250.0, city={"interval_s": 60.0, "drift": drift})
    _, zones = run(scenario, 6000, seeds=20, every=20)
    x = zones["drift"]  # [t, e, s]
    assert_mean(1.0 + x[:, :, 5].mean(axis=0), 1.0, 0.05)
    assert_mean((x[:, :, 5] ** 2).mean(axis=0), 1.0, 0.05)
    assert_mean(zones["request_factor"][:, :, 5].mean(axis=0), 1.0, 0.05)
    lagged = (x[:-3, :, 5] * x[3:, :, 5]).mean(axis=0)  # 60 minutes apart
    assert_mean(lagged, math.exp(-1.0), 0.1)
    near = World(scenario)._frame.drift_near, World(scenario)._frame.drift_weight
    together = [(x[:, :, 5] * x[:, :, 5 + k]).mean(axis=0) for k in range(1, 5)]
    full = np.zeros((12, 12))
    for z in range(12):
        full[z, near[0][z]] = near[1][z]
    for k, products in enumerate(together, 1):
        assert_mean(products, float(full[5] @ full[5 + k]), 0.3)
    means = [float(np.mean(p)) for p in together]
    assert means == sorted(means, reverse=True)
    assert means[1] == pytest.approx(math.exp(-0.5), abs=0.08)  # 500 m apart


def test_neighbours_have_many_or_few_people_together() -> None:
    """People follow a drift that near zones share, so near zones are full together, and far ones are not."""
    drift = {"sd": 0.0, "pull_sd": 0.5, "time_s": 36_000.0, "length_m": 500.0}
    scenario = crowd([1.0] * 10, 0.7, True, drift=drift).updated(
        **{"users.count": 1000, "users.mobility.mean_stay_s": 1200.0, "city.peak_presence": 0.5}
    )
    world = World(scenario, 12)
    world.reset(seed=6)
    people = []
    for t in range(8000):
        world.step(np.full((12, 10, 2), 0.5))
        if t % 40 == 0:
            people.append([np.bincount(row, minlength=11)[:10] for row in world.bodies["place"][:, :1000]])
    counts = np.array(people, float)  # [t, e, s]
    off = counts - counts.mean(axis=(0, 1))
    spread = off.std(axis=(0, 1))

    def together(apart: int) -> float:
        pairs = [
            (off[:, :, z] * off[:, :, z + apart]).mean() / (spread[z] * spread[z + apart]) for z in range(10 - apart)
        ]
        return float(np.mean(pairs))

    near, further, far = together(1), together(2), together(6)
    assert near > 0.4
    assert near > further > far
    assert abs(far) < 0.25


# -- stations ----------------------------------------------------------------------------------------------------------


def test_failures_are_as_frequent_and_long_as_they_claim() -> None:
    scenario = row_of(30, city=None, failures={"mean_between_s": 6000.0, "mean_repair_s": 1200.0})
    _, zones = run(scenario, 6000, every=1)
    up = zones["up"][:, 0] == 1
    assert_mean(up.mean(axis=0), 100 / 120, 0.02)
    lengths = [len(part) for z in range(30) for part in runs_of(~up[:, z])]
    assert_mean(lengths, 20.0, 0.05)


def test_a_closed_station_sends_its_people_next_door() -> None:
    scenario = load("four-cells", max_steps=40)
    world = World(scenario, 1, job_log=True)
    world.reset(seed=1)
    half = np.full((1, 4, 2), 0.5)
    for _ in range(10):
        world.step(half)
    world.set_capacity(compute_gcycle_s=10.0)
    for _ in range(5):
        world.step(half)
    here, waiting = int(world.attached[0, 0, 0]), int(world.queue_lengths[0, 0].sum())
    assert here > 0
    assert waiting > 0
    world.close_stations([True, False, False, False])
    world.step(half)
    assert world.zones["up"][0].tolist() == [0, 1, 1, 1]
    assert world.queue_lengths[0, 0].sum() == 0
    world.step(half)
    assert world.attached[0, 0].tolist() == [0, 0]
    assert world.attached[0].sum() == 100
    assert totals_of(world.station_totals[0], "up").tolist() == [0, 1, 1, 1]
    assert (world.jobs()["outcome"] == 5).sum() >= waiting
    world.close_stations(False)
    world.step(half)
    world.step(half)
    assert world.zones["up"][0].all()
    assert world.attached[0, 0, 0] > 0


def test_all_stations_closed_is_a_world_that_waits() -> None:
    world = World("four-cells")
    world.reset(seed=1)
    world.close_stations(True)
    for _ in range(20):
        world.step(np.full((1, 4, 2), 0.5))
    assert world.attached.sum() == 0
    assert world.device_backlog().sum() > 0
    assert totals_of(world.step_totals, "requests_completed")[0] == 0


def test_capacities_can_change_and_a_reset_brings_them_back() -> None:
    world = World("smart-city", 2)
    world.reset(seed=1)
    world.set_capacity(compute_gcycle_s=[[0.0], [100.0]], bandwidth_hz=50e6)
    for _ in range(50):
        world.step(np.full((2, 1, 2), 0.5))
    done = totals_of(world.episode_totals, "requests_completed")
    assert done[0] == 0 < done[1]
    world.reset(seed=1)
    assert (world.zones["compute"] == 100.0).all()
    assert (world.zones["bandwidth_hz"] == 100e6).all()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"compute_gcycle_s": -1.0}, "compute_gcycle_s"),
        ({"bandwidth_hz": 0.0}, "bandwidth_hz"),
        ({"memory_mb": 1.0}, "at least 132"),
        ({"compute_gcycle_s": math.nan}, "compute_gcycle_s"),
        ({"compute_gcycle_s": [1.0, 2.0, 3.0]}, "shape (3,)"),
    ],
)
def test_capacities_that_cannot_be(change: dict[str, Any], word: str) -> None:
    world = World("smart-city", 2)
    world.reset(seed=1)
    before = world.zones.copy()
    with pytest.raises(WorldError, match=word.replace("(", r"\(").replace(")", r"\)")):
        world.set_capacity(**change)
    assert world.zones.tobytes() == before.tobytes()


def test_interference_slows_down_who_is_far_from_the_station() -> None:
    alone = load("four-cells", radio__path_loss="umi", users__mobility={"kind": "static"})
    rates = []
    for interference in (
        {"kind": "none"},
        {"kind": "co-channel", "load": "observed"},
        {"kind": "co-channel", "load": "full"},
    ):
        world = World(alone.updated(radio__interference=interference), 8)
        world.reset(seed=1)
        for _ in range(30):
            world.step(np.full((8, 4, 2), 0.5))
        rates.append(world.devices["efficiency"].copy())
    free, observed, full = rates
    assert (observed <= free + 1e-12).all()
    assert (full <= observed + 1e-12).all()
    assert full.mean() < 0.8 * free.mean()


def test_one_cell_is_untouched_by_what_many_cells_have() -> None:
    """With one station handover, interference and backhaul change nothing, to the last bit."""
    many = {
        "radio__handover": {"margin_db": 3.0, "time_to_trigger_steps": 3},
        "radio__interference": {"kind": "co-channel"},
        "sensors__backhaul_steps": 5,
        "city": {},
    }
    plain, rich = World("smart-city", 3), World(load("smart-city", **many), 3)
    for world in (plain, rich):
        world.reset(seed=9)
    shares = np.random.default_rng(1).random((100, 3, 1, 2))
    for t in range(100):
        plain.step(shares[t])
        rich.step(shares[t])
        assert np.array_equal(plain.queue_lengths, rich.queue_lengths)
    assert plain.episode_totals == pytest.approx(rich.episode_totals, rel=1e-12)
    counts = [i for i, name in enumerate(METRICS) if "gcycle" not in name and "mbit" not in name and "_hz" not in name]
    assert np.array_equal(plain.episode_totals[:, counts[:20]], rich.episode_totals[:, counts[:20]])


def test_updates_from_next_door_are_older() -> None:
    """With a backhaul delay requests are served with older data, where sensor and user are at different stations."""
    ages = []
    for delay in (0, 6):
        world = World(load("four-cells", sensors__backhaul_steps=delay, users__requests__probability=0.1), 10)
        world.reset(seed=2)
        for _ in range(100):
            world.step(np.full((10, 4, 2), 0.3))
        total = world.episode_totals
        ages.append(totals_of(total, "data_age").sum() / totals_of(total, "requests_synchronized").sum())
    assert ages[0] < ages[1] < ages[0] + 6
