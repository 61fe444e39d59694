"""The reference's city by hand: hours, counts, activities, flash crowds, drift, events, and where people go."""

from __future__ import annotations

import json
import math
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from reference import ReferenceWorld
from reference_cases import HALF, flat_channel
from reference_city import (
    Zones,
    activity_steps,
    counted,
    decision,
    drift_weights,
    event_now,
    hour_of_week,
    in_the_week,
    is_allowed,
    neighbours,
)
from reference_common import first_above, nearest_first

from metalore.scenario import Activity, City, Drift, Event, Scenario, Station, ZoneKind

DAY = 24
ASCENDING = [float(h) for h in range(DAY)]
ATTRACTION = {"kind": "attraction"}
NAN = math.nan


def line(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [{"x_m": 100.0 * z, "y_m": 0.0, **changes} for z in range(count)]


def scenario(zones: int = 1, people: int = 0, **changes: Any) -> Scenario:
    """A city with `zones` stations 100 m apart and as many `people`; a step of an hour unless told."""
    settings: dict[str, Any] = {
        "step_s": 3600.0,
        "map": {"width_m": 1000.0},
        "stations": line(zones),
        "users": {"count": people, "mobility": ATTRACTION, "requests": {"probability": 0.0}},
        "sensors": {"count": 0},
        "city": {"interval_s": 3600.0},
    }
    for key, value in changes.items():
        old = settings.get(key)
        settings[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
    return Scenario.model_validate_json(json.dumps(settings))


def zones_of(some: Scenario, seed: int = 0) -> Zones:
    return ReferenceWorld(some, seed).city


def pulls(zones: Zones, steps: int) -> list[float]:
    """Of zone 0 in each step."""
    seen = [zones.zones[0].pull]
    for step in range(1, steps):
        zones.tick(step)
        seen.append(zones.zones[0].pull)
    return seen


# --- hours -----------------------------------------------------------------------------------------------------------


def test_rows_stand_for_the_middles_of_hours() -> None:
    kind = ZoneKind(pull=ASCENDING)
    assert [in_the_week(kind, "pull", h) for h in (0.5, 1.0, 1.25, 23.5)] == [0, 0.5, 0.75, 23]
    assert in_the_week(kind, "pull", 0.25) == pytest.approx(0.25 * 23)  # a quarter of the hour before midnight
    assert in_the_week(kind, "pull", 23.75) == pytest.approx(0.75 * 23)


def test_the_weekend_has_rows_of_its_own_and_runs_into_the_week() -> None:
    kind = ZoneKind(pull=[1.0] * DAY, weekend_pull=[3.0] * DAY, requests=[2.0] * DAY)
    friday, sunday = 4 * DAY, 6 * DAY
    assert [in_the_week(kind, "pull", friday + h) for h in (23.5, 24, 24.5)] == [1, 2, 3]
    assert [in_the_week(kind, "pull", h % 168) for h in (sunday + 23.5, sunday + 24, sunday + 24.5)] == [3, 2, 1]
    assert in_the_week(kind, "requests", friday + 24) == 2


def test_hours_of_the_week_go_round() -> None:
    city = City(start_day=6, start_hour=23.0)
    assert [hour_of_week(city, 3600.0 * h) for h in (0, 0.5, 1, 25)] == [167, 167.5, 0, 24]


def test_zones_change_at_ticks_only() -> None:
    """Ticks are 3 h apart and come first at 6:00, between the middles of hours 5 and 6."""
    some = scenario(city={"interval_s": 3 * 3600.0, "start_hour": 6.0, "kinds": [{"pull": ASCENDING}]})
    assert pulls(zones_of(some), 7) == [5.5, 5.5, 5.5, 8.5, 8.5, 8.5, 11.5]


# --- counts ----------------------------------------------------------------------------------------------------------


def test_counts_with_a_gap() -> None:
    rows = [[10.0], [20.0], [NAN], [40.0], [60.0]]
    assert [counted(rows, 0, x) for x in (-3, 0, 0.5, 1, 3, 3.25, 4, 9)] == [10, 10, 15, 20, 40, 45, 60, 60]
    assert all(math.isnan(counted(rows, 0, x)) for x in (1.01, 2, 2.99))
    assert counted([[7.0]], 0, 5.0) == 7


def test_counts_from_a_file(tmp_path: Path) -> None:
    """Zone-000 has a gap in hour 2, b is there only in hour 0, the third zone is nowhere."""
    file = tmp_path / "counts.csv"
    file.write_text("hour,zone,people\n1,zone-000,20\n0,zone-000,10\n3,zone-000,40\n4,zone-000,60\n0,b,8\n")
    stations = line(3)
    stations[1]["name"] = "b"
    counts = {"file": str(file), "first_hour": 1}
    some = scenario(stations=stations, city={"counts": counts, "interval_s": 1800.0}, step_s=1800.0)
    zones = zones_of(some)
    assert pulls(zones, 6)[:2] == [15, 20]
    assert all(math.isnan(pull) for pull in pulls(zones, 5)[2:])
    assert [zone.pull for zone in zones.zones][2] == 0
    zones.tick(5)
    assert zones.zones[0].pull == 40
    assert math.isnan(zones.zones[1].pull)
    assert zones.peak == 60
    assert zones.means == pytest.approx([130 / 4, 8, 0, sum(60 / 0.9 - n for n in (18, 20, 0, 40, 60)) / 5])
    assert zones.elsewhere == pytest.approx(60 / 0.9 - 40)  # the gap counts 0


def test_the_rhythm_of_requests_holds_under_counts(tmp_path: Path) -> None:
    file = tmp_path / "counts.csv"
    file.write_text("hour,zone,people\n0,zone-000,10\n")
    kind = {"pull": [7.0] * DAY, "requests": ASCENDING}
    zone = zones_of(scenario(city={"counts": {"file": str(file)}, "kinds": [kind], "start_hour": 12.0})).zones[0]
    assert (zone.pull, zone.request_factor) == (10, 11.5)


# --- elsewhere -------------------------------------------------------------------------------------------------------


def test_elsewhere_pulls_what_the_peak_leaves() -> None:
    kinds = [{"name": "a", "pull": ASCENDING}, {"name": "b", "pull": [7.0] * DAY}]
    stations = [{**station, "kind": kind} for station, kind in zip(line(2), "ab", strict=True)]
    city = {"kinds": kinds, "peak_presence": 0.5, "start_hour": 2.5}
    zones = zones_of(scenario(stations=stations, city=city))
    assert (zones.peak, zones.pulls()) == (30, [2, 7, 60 - 9])
    assert zones.means == pytest.approx([11.5, 7, 60 - 18.5])
    assert zones_of(scenario(stations=stations, city={**city, "outside": False})).elsewhere == 0
    nobody = zones_of(scenario(city={"kinds": [{"pull": [0.0] * DAY}]}))
    assert (nobody.pulls(), nobody.means) == ([0, 1], [0, 1])


# --- activities ------------------------------------------------------------------------------------------------------


def test_hours_in_which_an_activity_is_allowed() -> None:
    lunch = Activity(name="lunch", from_hour=11.0, to_hour=14.0)
    assert [is_allowed(lunch, h) for h in (10.99, 11, 13.99, 14, 24 + 11)] == [False, True, True, False, True]
    bars = Activity(name="bars", from_hour=22.0, to_hour=4.0)
    assert [is_allowed(bars, h) for h in (21.9, 22, 23.9, 24, 24 + 3.9, 24 + 4)] == [
        False,
        True,
        True,
        True,
        True,
        False,
    ]
    for days, monday, saturday in (("weekdays", True, False), ("weekend", False, True), ("all", True, True)):
        activity = Activity(name="x", days=days)
        assert (is_allowed(activity, 12), is_allowed(activity, 5 * DAY)) == (monday, saturday)
        assert (is_allowed(activity, 5 * DAY - 0.1), is_allowed(activity, 7 * DAY - 0.1)) == (monday, saturday)


def test_the_duration_of_an_activity() -> None:
    steady = Activity(name="x", mean_s=90.0, variation=0.0)
    assert [activity_steps(steady, step_s, 1.0) for step_s in (1.0, 60.0, 36.0, 1000.0)] == [90, 2, 2, 1]  # 2.5 to 2
    # ln 2 is the variance under a variation of 1, so the median is the mean by the root of 2.
    varied = Activity(name="x", mean_s=1000.0, variation=1.0)
    assert activity_steps(varied, 1.0, 0.0) == 707
    assert activity_steps(varied, 1.0, 1.0) == round(1000 * math.exp(-math.log(2) / 2 + math.sqrt(math.log(2))))


def lively(**changes: Any) -> Scenario:
    """Three activities, of which the third weighs nothing; of 2 h, at every hour."""
    activities = [
        {"name": name, "mean_s": 7200.0, "variation": 0.0, "pull": pull, "request_factor": 2.0, "data_factor": 3.0}
        for name, pull in (("work", 10.0), ("rest", 0.5), ("never", 1.0))
    ]
    kinds = [{"activities": {"never": 0.0, "rest": 1.0, "work": 2.0}}]
    return scenario(city={"activities": activities, "kinds": kinds, **changes}, zones=1)


def test_an_activity_follows_another() -> None:
    """Only two weigh something, so they take turns, and each lasts two ticks."""
    zones = zones_of(lively())
    seen = pulls(zones, 9)
    assert seen in ([10.0, 10.0, 0.5, 0.5] * 2 + [10.0], [0.5, 0.5, 10.0, 10.0] * 2 + [0.5])
    assert zones.zones[0].request_factor == 2
    assert (zones.zones[0].data_factor, zones.zones[0].compute_factor) == (3, 1)


def test_the_first_activity_is_drawn_by_weight() -> None:
    first = Counter(zones_of(lively(), seed).zones[0].activity for seed in range(300))
    assert first[0] == pytest.approx(200, abs=30)  # 2 of 3, sd 8.2
    assert first[0] + first[1] == 300


def test_without_an_allowed_activity_there_is_none_and_then_the_present_one_stays() -> None:
    lunch = {"name": "lunch", "mean_s": 3600.0, "variation": 0.0, "from_hour": 2.0, "to_hour": 4.0, "pull": 5.0}
    some = scenario(city={"activities": [lunch], "kinds": [{"activities": {"lunch": 1.0}}]})
    zones = zones_of(some)
    assert pulls(zones, 8) == [1, 1, 5, 5, 5, 5, 5, 5]
    assert zones_of(scenario(city={"activities": [lunch]})).zones[0].activity == -1


# --- flash crowds, drift and events ----------------------------------------------------------------------------------


def test_flash_crowds_are_as_frequent_and_long_as_said() -> None:
    crowds = {"per_day": 4.0, "mean_s": 7200.0, "pull": 2.0, "request_factor": 3.0}
    some = scenario(zones=9, city={"flash_crowds": crowds, "interval_s": 900.0}, step_s=900.0)
    zones, began, crowded = zones_of(some), 0, 0
    before = [False] * 9
    for step in range(1, 2001):
        zones.tick(step)
        now = [zone.crowded for zone in zones.zones]
        began += sum(b and not a for a, b in zip(before, now, strict=True))
        crowded += sum(now)
        before = now
        assert all((zone.pull, zone.request_factor) == ((2, 3) if zone.crowded else (1, 1)) for zone in zones.zones)
    ends_to_begin = 24.0  # ticks, at 1 in 24 a tick
    assert crowded / 18_000 == pytest.approx(8 / (8 + ends_to_begin), abs=0.05)
    assert began == pytest.approx(18_000 / (8 + ends_to_begin), rel=0.2)


def test_a_flash_crowd_for_every_tick() -> None:
    crowds = {"per_day": 24.0, "mean_s": 1e-9, "pull": 2.0}
    assert pulls(zones_of(scenario(city={"flash_crowds": crowds})), 4) == [2, 2, 2, 2]


def test_drift_weights_have_norm_1() -> None:
    stations = [Station(x_m=100.0 * z) for z in range(40)]
    for z, weights in enumerate(drift_weights(stations, Drift(length_m=150.0))):
        assert len(weights) == 32
        assert sum(weight * weight for weight in weights.values()) == pytest.approx(1)
        assert max(weights, key=lambda j: weights[j]) == z
    first = drift_weights(stations, Drift(length_m=100.0))[0]
    assert first[1] / first[0] == pytest.approx(math.exp(-1))
    assert first[2] / first[0] == pytest.approx(math.exp(-4))
    assert drift_weights(stations[:2], Drift(length_m=0.0)) == [{0: 1.0}, {1: 1.0}]


def test_drift_has_mean_1_and_forgets_in_time() -> None:
    some = scenario(zones=9, city={"drift": {"sd": 0.5, "time_s": 7200.0, "length_m": 100.0}})
    zones, xs, factors = zones_of(some), [], []
    for step in range(1, 3000):
        zones.tick(step)
        xs.append([zone.drift for zone in zones.zones])
        factors += [zone.request_factor for zone in zones.zones]
        assert zones.zones[0].pull == 1
    assert sum(factors) / len(factors) == pytest.approx(1, abs=0.05)

    def mean_product(pairs: Any) -> float:
        products = [a * b for a, b in pairs]
        return sum(products) / len(products)

    assert mean_product((x[0], x[0]) for x in xs) == pytest.approx(1, abs=0.15)
    assert mean_product((a[0], b[0]) for a, b in pairwise(xs)) == pytest.approx(math.exp(-0.5), abs=0.15)
    assert mean_product((x[4], x[5]) for x in xs) == pytest.approx(math.exp(-0.5), abs=0.12)  # inner neighbours


def test_event_windows() -> None:
    once = Event(zone="zone-000", from_s=100.0, duration_s=50.0, lead_s=20.0)
    windows = {t: event_now(once, t) for t in (79.9, 80, 99.9, 100, 149.9, 150)}
    assert list(windows.values()) == [
        (False, False),
        (True, False),
        (True, False),
        (True, True),
        (True, True),
        (False, False),
    ]
    daily = Event(zone="zone-000", from_s=100.0, duration_s=50.0, lead_s=20.0, every_s=200.0)
    assert [event_now(daily, t) for t in (-120, 79.9)] == [(False, False)] * 2  # not before it begins at all
    for later in (0, 200, 1000):
        assert [event_now(daily, t + later) for t in (80, 99, 100, 149, 150, 279)] == [
            (True, False),
            (True, False),
            (True, True),
            (True, True),
            (False, False),
            (False, False),
        ]


def test_events_multiply_in_their_zone() -> None:
    event = {"zone": "zone-001", "from_s": 7200.0, "duration_s": 3600.0, "lead_s": 3600.0}
    events = [{**event, "pull": 2.0, "request_factor": 3.0}, {**event, "pull": 5.0, "request_factor": 7.0}]
    zones = zones_of(scenario(zones=2, city={"events": events}))
    seen = []
    for step in range(4):
        zones.tick(step)
        seen.append((zones.zones[1].pull, zones.zones[1].request_factor))
        assert (zones.zones[0].pull, zones.zones[0].request_factor) == (1, 1)
    assert seen == [(1, 1), (10, 1), (10, 21), (1, 1)]


# --- where people go -------------------------------------------------------------------------------------------------


def test_neighbours_are_symmetric() -> None:
    places = [(0.0, 0.0), (1.0, 0.0), (10.0, 0.0), (12.0, 0.0)]
    assert neighbours(places, 1) == [[1], [0], [3], [2]]
    star = [(0.0, 0.0), (5.0, 0.0), (-5.0, 0.0), (0.0, 5.0)]
    assert neighbours(star, 1) == [[1, 2, 3], [0], [0], [0]]
    for count in (1, 2, 3, 9):
        near = neighbours([(float(z * z % 17), float(z * 7 % 11)) for z in range(12)], count)
        assert all(a in near[b] for a in range(12) for b in near[a])
        assert all(a not in near[a] and near[a] == sorted(near[a]) and len(near[a]) >= count for a in range(12))
    assert neighbours([(0.0, 0.0)], 3) == [[]]


def test_nearest_first_and_first_above() -> None:
    assert nearest_first([(0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (1.0, 0.0)], 1) == [1, 3, 0, 2]
    weights = [0.0, 2.0, NAN, 1.0, 1.0]
    assert [first_above(weights, part) for part in (0.01, 0.49, 0.51, 0.74, 0.76)] == [1, 1, 3, 3, 4]
    assert first_above([0.0, NAN], 0.5) is None


def test_decisions() -> None:
    """Three zones on a line and elsewhere; far proposals by means, near ones by neighbour."""
    near, means = [[1], [0, 2], [1]], [1.0, 1.0, 2.0, 4.0]

    def decide(a: int, now: list[float], *luck: float, far: float = 0.5) -> int | None:
        return decision(a, far, now, means, near, luck)

    even = [1.0, 1.0, 1.0, 1.0]
    assert [decide(1, even, 0.9, u1, 0.5) for u1 in (0.1, 0.6)] == [0, 2]
    assert [decide(0, even, 0.9, u1, 0.5) for u1 in (0.1, 0.6)] == [1, None]  # zone 0 has one neighbour, two slots
    assert decide(3, even, 0.9, 0.1, 0.5) is None  # elsewhere has none
    assert [decide(0, means, 0.1, u1, 0.99) for u1 in (0.1, 0.2, 0.3, 0.6)] == [None, 1, 2, 3]
    assert [decide(0, [2.0, 1.0, 1.0, 1.0], 0.9, 0.1, u2) for u2 in (0.49, 0.51)] == [1, None]  # u2 * 2 < 1
    assert [decide(0, [1.0, 1.0, 1.0, 4.0], 0.1, 0.3, u2) for u2 in (0.49, 0.51)] == [2, None]  # 1 / 2 against 1
    assert decide(0, [0.0, 0.0, 1.0, 1.0], 0.9, 0.1, 0.5) == 1  # nothing holds
    assert decide(0, [1.0, 0.0, 1.0, 1.0], 0.9, 0.1, 0.01) is None
    assert decide(0, [NAN, 1.0, 1.0, 1.0], 0.9, 0.1, 0.01) is None
    assert decide(0, [1.0, NAN, 1.0, 1.0], 0.9, 0.1, 0.01) is None


def attracted(zones: int, users: int, *, step_s: float = 60.0, city: Any = None, **mobility: Any) -> ReferenceWorld:
    some = scenario(
        zones,
        users,
        step_s=step_s,
        users={"mobility": {**ATTRACTION, "mean_stay_s": 300.0, "spread_m": 30.0, **mobility}},
        city={"interval_s": 60.0, **(city or {})},
        max_steps=100_000,
    )
    return ReferenceWorld(some, 1, channel=flat_channel)


def live(w: ReferenceWorld) -> None:
    w.step([HALF] * len(w.stations))
    w.check_conservation()


def test_users_are_where_their_place_says() -> None:
    w = attracted(3, 60, speed_min_m_s=0.2, speed_max_m_s=0.4)
    for _ in range(60):
        for user in w.users:
            assert user.present == (user.place < 3)
            if user.present and not user.on_the_way:
                assert math.hypot(user.x - 100 * user.place, user.y) <= 30 + 1e-9
                assert user.stay_left >= 1
            assert user.x >= 0
            assert user.y >= 0
        live(w)


def test_a_way_takes_as_long_as_its_speed_says() -> None:
    w = attracted(2, 1, speed_min_m_s=0.5, speed_max_m_s=0.5, city={"outside": False})
    user = w.users[0]
    user.x, user.y, user.target, user.speed, user.on_the_way = 0.0, 0.0, (100.0, 0.0), 0.5, True
    seen = []
    for _ in range(5):
        live(w)
        seen.append(user.x)
    assert seen[:4] == [30, 60, 90, 100]
    assert not user.on_the_way or user.stay_left == 0


def test_at_reset_people_are_where_zones_pull() -> None:
    kinds = [{"name": "a"}, {"name": "b", "pull": [3.0] * DAY}]
    stations = [{**station, "kind": kind} for station, kind in zip(line(2), "ab", strict=True)]
    some = scenario(people=600, stations=stations, city={"kinds": kinds, "peak_presence": 0.5})
    places = Counter(user.place for user in ReferenceWorld(some, 3).users)
    # Pulls 1 and 3, and elsewhere 4: of 600, 75, 225 and 300, sd at most 12.3.
    assert [places[z] for z in range(3)] == [pytest.approx(n, abs=40) for n in (75, 225, 300)]


@pytest.mark.parametrize("far_probability", [0.0, 0.5, 1.0])
def test_mean_numbers_of_people_stay_in_proportion_to_pulls(far_probability: float) -> None:
    kinds = [{"name": "a"}, {"name": "b", "pull": [4.0] * DAY}]
    stations = [{**station, "kind": kind} for station, kind in zip(line(3), "aba", strict=True)]
    some = scenario(
        stations=stations,
        users={
            "count": 150,
            "mobility": {
                **ATTRACTION,
                "mean_stay_s": 600.0,  # ways take a step and count as time in a zone, so stays must be much longer
                "far_probability": far_probability,
                "speed_min_m_s": 900.0,
                "speed_max_m_s": 900.0,
            },
        },
        city={"kinds": kinds, "peak_presence": 0.75, "interval_s": 60.0},
        step_s=60.0,
        max_steps=1000,
    )
    w = ReferenceWorld(some, 4, channel=flat_channel)
    at_start = Counter(user.place for user in w.users)
    seen: Counter[int] = Counter()
    for step in range(600):
        live(w)
        seen.update(user.place for user in w.users if step >= 200)
    part = [seen[z] / 400 / 150 for z in range(4)]
    if far_probability == 0:  # nobody can go elsewhere or come from there
        assert part[3] * 150 == pytest.approx(at_start[3])
        assert part[1] / part[0] == pytest.approx(4, rel=0.25)
    else:
        assert part == [pytest.approx(n, abs=0.04) for n in (1 / 8, 4 / 8, 1 / 8, 2 / 8)]


def test_nobody_decides_during_a_gap(tmp_path: Path) -> None:
    file = tmp_path / "counts.csv"
    file.write_text("hour,zone,people\n0,zone-000,5\n0,zone-001,5\n2,zone-000,5\n2,zone-001,5\n")
    w = attracted(2, 40, city={"counts": {"file": str(file)}, "outside": False}, speed_min_m_s=50.0, speed_max_m_s=50.0)
    places = []
    for _ in range(150):
        places.append([user.place for user in w.users])
        live(w)
    changes = [sum(a != b for a, b in zip(before, after, strict=True)) for before, after in pairwise(places)]
    # Row 1 is a gap, so there are pulls until half past 0, and none until half past 2, from one tick on.
    assert sum(changes[:30]) > 20
    assert sum(changes[32:149]) == 0


def test_who_goes_elsewhere_loses_the_jobs_in_the_device_and_comes_back_as_a_new_person() -> None:
    some = scenario(
        1,
        30,
        step_s=60.0,
        stations=line(1, bandwidth_hz=1.0),
        users={
            "mobility": {**ATTRACTION, "mean_stay_s": 120.0, "far_probability": 1.0},
            "requests": {"probability": 1.0},
        },
        city={"interval_s": 60.0, "peak_presence": 0.5},
    )
    w = ReferenceWorld(some, 1, channel=flat_channel)
    came = 0
    for _ in range(30):
        before = {user.index: user.present for user in w.users}
        live(w)
        for user in w.users:
            assert user.present or not user.queue
            if user.present and not before[user.index]:
                came += 1
                assert user.arrived == w.t
                assert not user.queue
    assert came > 20
    assert {job.outcome for job in w.jobs} == {"waiting", "left"}


def test_factors_of_a_zone_change_what_users_ask() -> None:
    busy = {"name": "busy", "request_factor": 5.0, "data_factor": 10.0, "compute_factor": 0.5}
    size = {"mean": 3.0, "distribution": "constant", "minimum": 1.0}
    stations = [{**station, "kind": kind} for station, kind in zip(line(2), ("calm", "lively"), strict=True)]
    some = scenario(
        stations=stations,
        users={
            "count": 200,
            "mobility": {"kind": "static"},
            "positions_m": [(100.0 * (k % 2), 0.0) for k in range(200)],
            "requests": {"probability": 0.3, "data_mbit": size, "compute_gcycle": size},
        },
        city={
            "activities": [busy],
            "kinds": [{"name": "calm"}, {"name": "lively", "activities": {"busy": 1.0}}],
        },
    )
    w = ReferenceWorld(some, 2, channel=flat_channel)
    live(w)
    lively = [job for job in w.jobs if job.device % 2 == 1]
    assert len(lively) == 100  # 0.3 times 5 is at most 1
    assert 15 < len(w.jobs) - 100 < 45  # 30, sd 4.6
    assert {(job.data_mbit, job.compute_gcycle) for job in lively} == {(30.0, 1.5)}
    assert {(job.data_mbit, job.compute_gcycle) for job in w.jobs if job.device % 2 == 0} == {(3.0, 3.0)}
