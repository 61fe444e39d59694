"""The compiled world and the reference agree: job by job, in every metric, reward term, position and queue."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_city import Change, attractions, cities, failures, handovers, interferences, one_of, outages, plan_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import KINDS, METRICS, OUTCOMES, REWARD_TERMS, ReferenceWorld

from metalore.scenario import Scenario, load

world = pytest.importorskip("metalore.world", reason="the compiled world is not there")

FLOATS = ("mbit", "gcycle", "_mb", "sync_value")  # metrics whose names hold one of these are sums of floats
COARSE = {"busy_hz": 1e-2, "latency": 1e-5}  # and of these: of large numbers, and of parts in single precision
ZONE_FIELDS = ("up", "pull", "request_factor", "data_factor", "compute_factor", "activity")
COUNTED_ONCE = ("twin_age",)  # per world, not by station
STAMPS = (
    "device",
    "station",
    "created",
    "tx_start",
    "tx_end",
    "proc_start",
    "completed",
    "data_mbit",
    "compute_gcycle",
)

# --- scenarios across all settings -----------------------------------------------------------------------------------

Settings = dict[str, Any]


sizes = st.fixed_dictionaries(
    {
        "mean": one_of(2.0, 0.0, 0.3, 7.0, 12.5, 60.0),
        "distribution": one_of("poisson", "constant", "exponential"),
        "minimum": one_of(0.0, 0.5, 1.0, 4.0),
    }
)

profiles = st.one_of(
    st.just({"kind": "constant"}),
    st.fixed_dictionaries({"kind": st.just("step"), "at_s": one_of(0.0, 4.0, 9.5), "factor": one_of(0.0, 0.3, 2.5)}),
    st.fixed_dictionaries(
        {
            "kind": st.just("ramp"),
            "from_s": one_of(0.0, 3.0),
            "to_s": one_of(5.0, 12.5),
            "factor": one_of(0.0, 1.7, 3.0),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("burst"),
            "from_s": one_of(0.0, 2.5),
            "duration_s": one_of(1.0, 6.0),
            "factor": one_of(0.0, 0.5, 3.0),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("daily"),
            "period_s": one_of(7.0, 24.0),
            "peak_s": one_of(0.0, 5.0),
            "amplitude": one_of(0.3, 1.0),
        }
    ),
)


def largest_factor(profile: Settings) -> float:
    return float(max(1.0, profile.get("factor", 1.0), 1.0 + profile.get("amplitude", 0.0)))


@st.composite
def demands(draw: st.DrawFn) -> Settings:
    """A probability and a profile that can be together."""
    profile = draw(profiles)
    part = draw(one_of(0.8, 1.0, 0.3, 0.6, 1.0, 0.9, 0.0))
    return {"probability": part / largest_factor(profile), "profile": profile}


def points(area: Settings, count: int) -> st.SearchStrategy[list[tuple[float, float]]]:
    def along(length: float) -> st.SearchStrategy[float]:
        return st.one_of(one_of(0.0, length / 4, length / 2, length), st.floats(0.0, length, width=32))

    return st.lists(st.tuples(along(area["width_m"]), along(area["height_m"])), min_size=count, max_size=count)


@st.composite
def stations(draw: st.DrawFn, area: Settings, least_mb: float, step_s: float, in_city: bool) -> list[Settings]:
    """In long steps, stations have less of everything, so that queues do not always run empty."""
    places = draw(points(area, draw(st.integers(1, 5))))
    scale = 1 / max(1.0, step_s)
    return [
        {
            "x_m": x,
            "y_m": y,
            "height_m": draw(one_of(10.0, 25.0, 40.0, 200.0)),
            "tx_dbm": draw(one_of(20.0, 40.0, 40.0, 46.0)),
            "bandwidth_hz": scale * draw(one_of(100e6, 20e6, 5e6, 1e6, 50e6)),
            "compute_gcycle_s": scale * draw(one_of(100.0, 20.0, 3.0, 50.0, 1000.0, 1000.0)),
            "memory_mb": draw(st.none() | one_of(least_mb, least_mb + 13.0, least_mb + 40.0)),
            "outages_s": draw(outages(step_s)),
            "kind": draw(one_of("", "a")) if in_city else "",
        }
        for x, y in places
    ]


radios = st.fixed_dictionaries(
    {
        "path_loss": one_of("okumura-hata", "umi", "uma"),
        "line_of_sight": one_of("always", "never", "probability"),
        "carrier_mhz": one_of(700.0, 3500.0, 28_000.0),
        "snr_threshold": one_of(2e-8, 0.0, 2e-8, 0.1, 1.0, 30.0, 3000.0),
        "association": one_of("nearest", "strongest"),
        "handover": handovers,
        "interference": interferences,
        "scheduler": one_of("resource-fair", "round-robin", "proportional-fair"),
        "round_robin_slots": one_of(1, 2, 7, 10),
        "average_window_steps": one_of(1.0, 4.5, 20.0),
    }
)

mobilities = st.one_of(
    st.just({"kind": "static"}),
    st.fixed_dictionaries(
        {
            "kind": st.just("random-waypoint"),
            "speed_min_m_s": one_of(0.5, 1.5, 40.0),
            "speed_max_m_s": one_of(40.0, 90.0),
            "pause_steps": one_of(0, 1, 4),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("gauss-markov"),
            "memory": one_of(0.0, 0.5, 0.85, 1.0),
            "speed_m_s": one_of(0.0, 1.5, 60.0, 400.0),
            "speed_sd_m_s": one_of(0.0, 0.5, 30.0),
            "heading_sd_rad": one_of(0.0, 0.8),
        }
    ),
)

presences = st.just({"kind": "always"}) | st.fixed_dictionaries(
    {
        "kind": st.just("churn"),
        "mean_stay_steps": one_of(1.0, 3.0, 8.0, 60.0),
        "mean_absence_steps": one_of(1.0, 2.5, 20.0),
    }
)


@st.composite
def users(draw: st.DrawFn, area: Settings, step_s: float, in_city: bool) -> Settings:
    count = draw(one_of(4, 1, 2, 3, 5, 6, 6, 6, 5, 0))
    attracted = in_city and draw(one_of(True, True, True, False))
    return {
        "count": count,
        "height_m": draw(one_of(0.8, 1.5, 10.0)),
        "mobility": draw(attractions(step_s) if attracted else mobilities),
        "presence": {"kind": "always"} if attracted else draw(presences),
        "positions_m": None if attracted else draw(st.none() | points(area, count)),
        "requests": {**draw(demands()), "data_mbit": draw(sizes), "compute_gcycle": draw(sizes)},
    }


@st.composite
def updates(draw: st.DrawFn, count: int) -> Settings:
    period = one_of(0.3, 0.5, 1.0, 1.0, 2.0, 3.7, 1 / 3)
    if draw(st.booleans()) or draw(st.booleans()):
        periods = draw(period | st.lists(period, min_size=count, max_size=count))
        timing = {"kind": "periodic", "period_steps": periods, "phase": draw(one_of("zero", "random"))}
        profile = draw(profiles)
    else:
        demand = draw(demands())
        timing = {"kind": "bernoulli", "probability": demand["probability"]}
        profile = demand["profile"]
    return {"timing": timing, "profile": profile, "data_mbit": draw(sizes), "compute_gcycle": draw(sizes)}


@st.composite
def sensors(draw: st.DrawFn, area: Settings) -> Settings:
    count = draw(one_of(1, 2, 3, 4, 5, 6, 7, 8, 8, 0))
    ring = {
        "kind": st.just("ring"),
        "min_distance_m": one_of(0.0, 20.0),
        "max_distance_m": one_of(40.0, 90.0),
        "spacing_m": one_of(0.0, 4.0),
    }
    placements = st.one_of(
        st.fixed_dictionaries(ring),
        st.fixed_dictionaries({"kind": st.just("uniform"), "spacing_m": one_of(0.0, 10.0)}),
        st.fixed_dictionaries({"kind": st.just("fixed"), "positions_m": points(area, count)}),
    )
    return {
        "count": count,
        "height_m": draw(one_of(0.8, 1.5, 10.0)),
        "range_m": draw(st.none() | one_of(15.0, 60.0, 150.0)),
        "backhaul_steps": draw(one_of(0, 1, 2, 3)),
        "placement": draw(placements),
        "updates": draw(updates(count)),
    }


rewards = st.fixed_dictionaries(
    {
        "sync_reward": one_of(10.0, -2.5),
        "discount": one_of(0.9, 0.5, 1.0),
        "delay_penalty": one_of(1.0, 0.0),
        "delay_threshold_s": one_of(0.0, 1.0, 2.0),
        "throughput": one_of(0.0, 0.5),
        "loss": one_of(0.0, 2.0),
        "served_age": one_of(0.0, 0.25),
        "twin_age": one_of(0.0, 0.125),
    }
)

buffer_limits = st.none() | one_of(1, 2, 5)


@st.composite
def scenarios(draw: st.DrawFn, steps: int, folder: Path) -> Scenario:
    """Any scenario with few devices; devices see much and little of the band, servers stall and keep up."""
    area = {"width_m": draw(one_of(100.0, 200.0, 1500.0)), "height_m": draw(one_of(100.0, 200.0))}
    memory = {
        "base_mb": draw(one_of(0.0, 128.0)),
        "per_user_mb": draw(one_of(0.0, 8.0)),
        "per_job_mb": draw(one_of(0.0, 4.0)),
    }
    in_city = draw(st.booleans())
    step_s = draw(one_of(60.0, 600.0, 600.0, 3600.0, 1.0) if in_city else one_of(0.1, 0.5, 1.0, 1.0, 2.0))
    towers = draw(stations(area, memory["base_mb"] + memory["per_job_mb"] + 1.0, step_s, in_city))
    zones = [f"zone-{z:03d}" for z in range(len(towers))]
    return Scenario.model_validate(
        {
            "step_s": step_s,
            "max_steps": steps + draw(one_of(0, 5)),
            "map": area,
            "stations": towers,
            "failures": draw(failures(step_s)),
            "city": draw(cities(step_s, zones, folder)) if in_city else None,
            "radio": draw(radios),
            "users": draw(users(area, step_s, in_city)),
            "sensors": draw(sensors(area)),
            "buffers": {"device_jobs": draw(buffer_limits), "station_jobs": draw(buffer_limits)},
            "memory": memory,
            "pairing": draw(one_of("creation", "start", "completion")),
            "reward": draw(rewards),
        }
    )


@st.composite
def runs(draw: st.DrawFn, folder: Path) -> tuple[Scenario, int, np.ndarray, list[Change]]:
    """A scenario, a seed, the shares of an episode [t, s, 2], and what a planner does before its steps."""
    steps = draw(st.integers(5, 40))
    scenario = draw(scenarios(steps, folder))
    shares = shares_of(scenario, steps, draw(st.integers(0, 2**32 - 1)))
    plan = draw(st.just([]) | st.integers(0, 2**32 - 1).map(lambda seed: plan_of(scenario, steps, seed)))
    return scenario, draw(st.integers(0, 2**64 - 1)), shares, plan


def shares_of(scenario: Scenario, steps: int, seed: int) -> np.ndarray:
    """Random shares; some stations get all, nothing or half in a step, and some keep theirs."""
    rng = np.random.default_rng(seed)
    shape = (steps, len(scenario.stations), 2)
    simple = rng.choice([0.0, 0.5, 1.0], shape)
    return np.where(rng.random(shape) < 0.4, simple, rng.random(shape))


# --- comparison ------------------------------------------------------------------------------------------------------


def near(name: str, expected: float) -> Any:
    """What a metric is to be: counts exactly, sums of floats as far as their rounding allows."""
    for part, tolerance in COARSE.items():
        if part in name:
            return pytest.approx(expected, rel=1e-6 if part == "latency" else 1e-9, abs=tolerance)
    return pytest.approx(expected, rel=1e-9, abs=1e-6) if any(part in name for part in FLOATS) else expected


def assert_equal_counts(totals: Sequence[float], expected: dict[str, Any], where: str, names: Sequence[str]) -> None:
    there = dict(zip(world.METRICS, totals, strict=True))
    for name in names:
        assert there[name] == near(name, expected[name]), f"{name} in {where}"


def assert_equal_steps(compiled: Any, reference: ReferenceWorld, outcome: Settings, env: int = 0) -> None:
    """Metrics, reward and its terms, queues, zones, and where the present users are after a step."""
    where = f"step {reference.t - 1}"
    assert_equal_counts(compiled.step_totals[env].tolist(), outcome, where, METRICS)
    of_stations = [name for name in METRICS if name not in COUNTED_ONCE]
    for z, totals in enumerate(compiled.station_totals[env].tolist()):
        assert_equal_counts(totals, reference.by_station[z], f"station {z} in {where}", of_stations)
    terms = dict(zip(world.REWARD_TERMS, compiled.reward_terms[env].tolist(), strict=True))
    assert terms == pytest.approx(outcome["reward_terms"], rel=1e-9, abs=1e-6), f"reward terms in {where}"
    assert compiled.reward[env] == pytest.approx(outcome["reward"], rel=1e-9, abs=1e-6), f"reward in {where}"
    rewards_of_stations = pytest.approx(reference.station_rewards, rel=1e-9, abs=1e-6)
    assert compiled.station_rewards[env].tolist() == rewards_of_stations, f"rewards of stations in {where}"
    assert [tuple(row) for row in compiled.queue_lengths[env].tolist()] == reference.queue_lengths(), where
    assert_equal_places(compiled, reference, env)


def assert_equal_places(compiled: Any, reference: ReferenceWorld, env: int = 0) -> None:
    """Zones, and where users are, at the end of a step or after a reset."""
    where = f"before step {reference.t}"
    for z, zone in enumerate(reference.zones):
        for name in ZONE_FIELDS:
            if name == "pull" and reference.scenario.city is None:
                continue  # nobody asks what pulls then
            there = compiled.zones[env, z][name].item()
            expected = pytest.approx(zone[name], rel=1e-9, abs=1e-9, nan_ok=True)
            assert there == expected, f"{name} of zone {z} {where}"
    attracted = reference.scenario.users.mobility.kind == "attraction"
    for user in reference.users:
        if attracted:
            assert compiled.bodies["place"][env, user.index] == user.place, f"place of user {user.index} {where}"
        if user.present:
            place = compiled.user_positions[env][user.index].tolist()
            assert place == pytest.approx([user.x, user.y], rel=0, abs=1e-6), f"user {user.index} {where}"


def assert_equal_jobs(compiled: Any, reference: ReferenceWorld, env: int = 0) -> None:
    """Every job ever created, with all that happened to it; sensor and update are known once it is served."""
    rows = np.sort(compiled.jobs(env), order="number")
    assert rows["number"].tolist() == [job.number for job in reference.jobs]
    for row, job in zip(rows, reference.jobs, strict=True):
        there: Settings = {name: row[name].item() for name in STAMPS}
        here: Settings = {name: getattr(job, name) for name in STAMPS}
        there |= {"kind": KINDS[row["kind"]], "outcome": world.OUTCOMES[row["outcome"]]}
        here |= {"kind": job.kind, "outcome": job.outcome}
        if job.kind == "request" and job.outcome == "completed":
            there |= {name: row[name].item() for name in ("sensor", "update_created")}
            here |= {"sensor": job.sensor, "update_created": job.update_created}
        assert there == here, f"job {job.number}"


def change_reference(reference: ReferenceWorld, change: Change) -> None:
    """What the planner does before a step."""
    closed, capacities = change
    if closed is not None:
        reference.close_stations(closed.tolist())
    for z in range(len(reference.stations)):
        reference.set_capacity(z, **{name: float(values[z]) for name, values in capacities.items()})


def change_compiled(compiled: Any, change: Change) -> None:
    """The same in the compiled world."""
    closed, capacities = change
    if closed is not None:
        compiled.close_stations(closed[None])
    if capacities:
        compiled.set_capacity(**{name: values[None] for name, values in capacities.items()})


def assert_parity(
    scenario: Scenario, seed: int, shares: np.ndarray, plan: Sequence[Change] = (), **functions: Any
) -> ReferenceWorld:
    """Both worlds through one episode; returns the reference at its end."""
    reference = ReferenceWorld(scenario, seed, **functions)
    compiled = world.World(scenario, num_envs=1, threads=1, job_log=True, **functions)
    compiled.reset(seed=[seed])
    assert_equal_places(compiled, reference)
    for t, step_shares in enumerate(shares):
        if plan:
            change_reference(reference, plan[t])
            change_compiled(compiled, plan[t])
        outcome = reference.step(step_shares.tolist())
        reference.check_conservation()
        compiled.step(step_shares[None])
        assert_equal_steps(compiled, reference, outcome)
    assert_equal_jobs(compiled, reference)
    return reference


def completed(reference: ReferenceWorld) -> int:
    return sum(job.outcome == "completed" for job in reference.jobs)


# --- tests -----------------------------------------------------------------------------------------------------------


def test_names() -> None:
    assert set(METRICS) <= set(world.METRICS)
    assert set(world.REWARD_TERMS) == set(REWARD_TERMS)
    assert tuple(world.OUTCOMES) == OUTCOMES


FOLDER = tempfile.TemporaryDirectory(prefix="metalore-parity-")  # for files of counts, as long as the tests run


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(runs(Path(FOLDER.name)))
def test_random_scenarios(run: tuple[Scenario, int, np.ndarray, list[Change]]) -> None:
    assert_parity(*run)


def test_smart_city() -> None:
    scenario = load("smart-city", max_steps=400)
    reference = assert_parity(scenario, 1, shares_of(scenario, 400, 1))
    assert completed(reference) > 3000


def test_four_cells() -> None:
    scenario = load("four-cells")
    reference = assert_parity(scenario, 2, shares_of(scenario, 100, 2))
    assert completed(reference) > 3000


def test_trace(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    rng = np.random.default_rng(0)
    times = [(k % 3, t) for k in range(3) for t in (0.0, 2.5, 6.0, 6.5, 20.0)][1:]  # user 0 starts at 2.5 s
    rows = [f"{t},{k},{x:.3f},{y:.3f}" for (k, t), (x, y) in zip(times, rng.uniform(0, 200, (14, 2)), strict=True)]
    file.write_text("\n".join(["time_s,user,x_m,y_m", *rows]) + "\n")
    for presence in ({"kind": "always"}, {"kind": "churn", "mean_stay_steps": 4.0, "mean_absence_steps": 2.0}):
        motion = {"kind": "trace", "file": str(file)}
        scenario = load(step_s=0.7, users__count=3, users__mobility=motion, users__presence=presence)
        reference = assert_parity(scenario, 3, shares_of(scenario, 40, 3))
        assert completed(reference) > 30


@pytest.mark.parametrize("pairing", ["creation", "start", "completion"])
def test_pairing_of_long_requests(pairing: str) -> None:
    """Requests that take several steps, of users who pass many sensors meanwhile."""
    walk = {"kind": "random-waypoint", "speed_min_m_s": 20.0, "speed_max_m_s": 60.0}
    scenario = load(
        pairing=pairing,
        users__mobility=walk,
        users__requests__probability=0.1,
        users__requests__compute_gcycle__mean=120.0,
        sensors__updates__data_mbit__mean=10.0,
        sensors__updates__compute_gcycle__mean=2.0,
    )
    shares = np.full((100, 1, 2), 0.5)
    reference = assert_parity(scenario, 6, shares)
    served = [job for job in reference.jobs if job.kind == "request" and job.outcome == "completed"]
    replaced = [job for job in served if job.update_created >= job.proc_start]
    assert len(served) > 20
    assert len(replaced) > 10 if pairing == "completion" else not replaced


def test_later_episodes() -> None:
    """A reset without a seed goes on to the next episode of the same seed."""
    scenario = load("smart-city-small")
    compiled = world.World(scenario, num_envs=1, threads=1, job_log=True)
    compiled.reset(seed=11)
    for episode in range(3):
        reference = ReferenceWorld(scenario, 11, episode)
        for step_shares in shares_of(scenario, 20, episode):
            outcome = reference.step(step_shares.tolist())
            compiled.step(step_shares[None])
            assert_equal_steps(compiled, reference, outcome)
        assert_equal_jobs(compiled, reference)
        compiled.reset()


@pytest.mark.parametrize("threads", [1, 2])
def test_many_environments(threads: int) -> None:
    """Env i of a world seeded with s is the world seeded with s + i."""
    scenario = load("four-cells", users__count=7, sensors__count=9, users__presence={"kind": "churn"})
    compiled = world.World(scenario, num_envs=5, threads=threads, job_log=True)
    compiled.reset(seed=20)
    references = [ReferenceWorld(scenario, 20 + env) for env in range(5)]
    shares = np.stack([shares_of(scenario, 30, env) for env in range(5)], axis=1)  # [t, e, s, 2]
    for step_shares in shares:
        compiled.step(step_shares)
        for env, reference in enumerate(references):
            outcome = reference.step(step_shares[env].tolist())
            assert_equal_steps(compiled, reference, outcome, env)
    for env, reference in enumerate(references):
        assert_equal_jobs(compiled, reference, env)


# --- functions of the caller -----------------------------------------------------------------------------------------


def shadowed(
    distance_m: float, carrier_mhz: float, station_height_m: float, device_height_m: float, luck: float
) -> float:
    """Log-distance loss with a shadow that stays with the device."""
    rise = station_height_m - device_height_m
    distance = math.sqrt(distance_m * distance_m + rise * rise)
    return 20.0 * math.log10(carrier_mhz) + 35.0 * math.log10(distance) - 30.0 + 12.0 * (luck - 0.5)


def drift(
    x_m: float,
    y_m: float,
    m0: float,
    m1: float,
    m2: float,
    m3: float,
    step_s: float,
    width_m: float,
    height_m: float,
    u0: float,
    u1: float,
    u2: float,
    u3: float,
) -> tuple[float, float, float, float, float, float]:
    """A walk with inertia that comes in again on the other side; it counts its steps."""
    m0 = 0.8 * m0 + 6.0 * (u0 - 0.5)
    m1 = 0.8 * m1 + 6.0 * (u1 - 0.5)
    x, y = (x_m + m0 * step_s + 3.0 * u2) % width_m, (y_m + m1 * step_s + 0.1 * m2 * u3) % height_m
    return x, y, m0, m1, m2 + 1.0, m3 - u3


def commuters(
    time_s: float, device: int, is_sensor: bool, u0: float, u1: float, u2: float, u3: float
) -> tuple[int, float, float]:
    """Requests come in waves; sensors report in turn, and now and then in between."""
    if is_sensor:
        due = int(time_s) % 3 == device % 3 or u3 < 0.05
        return (1 if due else 0), 30.0 * u1, 0.1 + 6.0 * u2
    busy = 0.5 + 0.4 * math.sin(time_s / 4.0)
    return (1 if u0 < busy else 0), 80.0 * u1 * u1, 4.0 * u2


def max_weight(
    jobs_in_device: int, backlog_mbit: float, spectral_efficiency: float, average_mbps: float, time_s: float
) -> float:
    """Queue length times rate, softened by the past and swinging in time."""
    if jobs_in_device == 0:
        return 0.0
    return (jobs_in_device + backlog_mbit) * spectral_efficiency / (1.0 + average_mbps) * (1.5 + math.cos(time_s))


FUNCTIONS = {"channel": shadowed, "mobility": drift, "traffic": commuters, "scheduler": max_weight}


@pytest.mark.parametrize("names", [*((name,) for name in FUNCTIONS), tuple(FUNCTIONS)], ids="-".join)
def test_functions(names: Sequence[str]) -> None:
    """One of the caller's functions, then all: same world, and not the world without."""
    presence = {"kind": "churn", "mean_stay_steps": 10.0, "mean_absence_steps": 3.0}
    scenario = load("four-cells", step_s=0.5, users__count=6, sensors__count=8, users__presence=presence)
    scenario = scenario.updated(**{f"stations.{i}.bandwidth_hz": 12e6 for i in range(4)})
    shares = shares_of(scenario, 60, 4)
    reference = assert_parity(scenario, 5, shares, **{name: FUNCTIONS[name] for name in names})
    plain = ReferenceWorld(scenario, 5)
    for step_shares in shares:
        plain.step(step_shares.tolist())
    stamps = [[(job.created, job.tx_end, job.completed) for job in w.jobs] for w in (reference, plain)]
    assert completed(reference) > 30
    assert stamps[0] != stamps[1]
