"""Nothing is created or lost, nothing exceeds what there is: in every step of any scenario."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from metalore.scenario import Ring, Scenario, load
from metalore.world import KINDS, METRICS, OUTCOMES, World, totals_of

WAITING, COMPLETED = OUTCOMES.index("waiting"), OUTCOMES.index("completed")
ONE_OF = st.sampled_from
MAP = {"width_m": 300.0, "height_m": 200.0}


# -- scenarios ---------------------------------------------------------------------------------------------------------


def point() -> st.SearchStrategy[tuple[float, float]]:
    return st.tuples(st.floats(0.0, MAP["width_m"]), st.floats(0.0, MAP["height_m"]))


stations = st.builds(
    lambda place, **rest: {"x_m": place[0], "y_m": place[1], **rest},
    place=point(),
    tx_dbm=ONE_OF([20.0, 40.0]),
    bandwidth_hz=ONE_OF([2e6, 20e6, 100e6]),
    compute_gcycle_s=ONE_OF([2.0, 20.0, 100.0]),
    memory_mb=ONE_OF([None, 30.0, 60.0]),
    outages_s=ONE_OF([(), (), ((3.0, 9.0),), ((0.0, 4.0), (10.0, 30.0))]),
)
sizes = st.fixed_dictionaries(
    {
        "mean": ONE_OF([0.0, 0.4, 5.0, 40.0]),
        "distribution": ONE_OF(["poisson", "constant", "exponential"]),
        "minimum": ONE_OF([0.0, 1.0]),
    }
)
radios = st.fixed_dictionaries(
    {
        "path_loss": ONE_OF(["okumura-hata", "umi", "uma"]),
        "snr_threshold": ONE_OF([2e-8, 1.0, 100.0]),
        "association": ONE_OF(["nearest", "strongest"]),
        "scheduler": ONE_OF(["resource-fair", "round-robin", "proportional-fair"]),
        "round_robin_slots": ONE_OF([1, 10]),
        "handover": ONE_OF([{}, {"margin_db": 3.0, "time_to_trigger_steps": 1}]),
        "interference": ONE_OF([{"kind": "none"}, {"kind": "co-channel", "reuse": 2}, {"kind": "co-channel"}]),
    }
)
users = st.fixed_dictionaries(
    {
        "count": st.integers(0, 6),
        "mobility": ONE_OF(
            [
                {"kind": "static"},
                {"kind": "random-waypoint", "speed_min_m_s": 1.0, "speed_max_m_s": 50.0, "pause_steps": 2},
                {"kind": "gauss-markov", "speed_m_s": 40.0, "speed_sd_m_s": 40.0},
            ]
        ),
        "presence": ONE_OF(
            [
                {"kind": "always"},
                {"kind": "churn", "mean_stay_steps": 4.0, "mean_absence_steps": 2.0},
                {"kind": "churn", "mean_stay_steps": 1.0, "mean_absence_steps": 1.0},
            ]
        ),
        "requests": st.fixed_dictionaries(
            {"probability": ONE_OF([0.3, 1.0]), "data_mbit": sizes, "compute_gcycle": sizes}
        ),
    }
)
timings = ONE_OF(
    [
        {"kind": "periodic", "period_steps": 1.0},
        {"kind": "periodic", "period_steps": 0.3, "phase": "random"},
        {"kind": "periodic", "period_steps": 3.7},
        {"kind": "bernoulli", "probability": 0.5},
    ]
)
sensors = st.fixed_dictionaries(
    {
        "count": st.integers(0, 8),
        "range_m": ONE_OF([None, 60.0]),
        "backhaul_steps": ONE_OF([0, 2]),
        "placement": ONE_OF(
            [
                {"kind": "ring", "min_distance_m": 20.0, "max_distance_m": 90.0, "spacing_m": 15.0},
                {"kind": "uniform", "spacing_m": 25.0},
            ]
        ),
        "updates": st.fixed_dictionaries({"timing": timings, "data_mbit": sizes, "compute_gcycle": sizes}),
    }
)
CITY = {
    "interval_s": 2.0,
    "kinds": [{"name": "a", "activities": {"calm": 1.0, "rush": 1.0}}],
    "activities": [
        {"name": "calm", "mean_s": 4.0},
        {"name": "rush", "mean_s": 4.0, "pull": 3.0, "request_factor": 2.0, "data_factor": 1.7, "compute_factor": 0.3},
    ],
    "flash_crowds": {"per_day": 4000.0, "mean_s": 3.0},
    "drift": {"sd": 0.5, "time_s": 10.0},
    "events": [{"zone": "zone-000", "from_s": 8.0, "duration_s": 6.0, "lead_s": 4.0, "every_s": 12.0}],
}
ATTRACTION = {"kind": "attraction", "mean_stay_s": 3.0, "speed_min_m_s": 30.0, "speed_max_m_s": 90.0}


def in_a_city(scenario: Scenario, lively: bool) -> Scenario:
    """The same with zones that live and people drawn to them, now and then out of the city."""
    if not lively:
        return scenario
    drawn = {"users.mobility": ATTRACTION, "users.presence": {"kind": "always"}}
    return scenario.updated(city=CITY, **drawn)


scenarios = st.builds(
    Scenario,
    step_s=ONE_OF([0.5, 1.0]),
    max_steps=st.just(30),
    map=st.just(MAP),
    stations=st.lists(stations, min_size=1, max_size=3),
    radio=radios,
    users=users,
    sensors=sensors,
    buffers=st.fixed_dictionaries({"device_jobs": ONE_OF([None, 1, 3]), "station_jobs": ONE_OF([None, 1, 4])}),
    memory=st.just({"base_mb": 10.0, "per_user_mb": 5.0, "per_job_mb": 4.0}),
    pairing=ONE_OF(["creation", "start", "completion"]),
    failures=ONE_OF([None, None, {"mean_between_s": 10.0, "mean_repair_s": 4.0}]),
)
cities = st.builds(in_a_city, scenarios, st.booleans())


def random_shares(stations: int, seed: int, steps: int = 30) -> np.ndarray:
    """Shares [t, s, 2]; about a third of them are 0 or 1."""
    rng = np.random.default_rng(seed)
    return np.clip(rng.uniform(-0.25, 1.25, (steps, stations, 2)), 0.0, 1.0)


# -- what must hold after each step ------------------------------------------------------------------------------------


@dataclass
class Inventory:
    """Environment 0, counted job by job from its log; `unsent` and `undone` take the heads' remainders."""

    world: World

    def __post_init__(self) -> None:
        self.log = self.world.jobs()
        self.now = int(self.world.t[0]) - 1
        self.devices = self.world.devices[0]
        self.cells = self.world._frame.cells[0]
        here = self.log["outcome"] == WAITING
        self.in_device, self.in_station = here & (self.log["tx_end"] < 0), here & (self.log["tx_end"] >= 0)

    def total(self, name: str) -> float:
        return float(totals_of(self.world.episode_totals[0], name))

    def of(self, name: str, kind: str) -> float:
        return self.total(f"{kind}{name}")

    def unsent(self, device: int) -> float:
        sizes = self.log["data_mbit"][self.in_device & (self.log["device"] == device)].astype(float)
        return float(self.devices["remaining"][device] + sizes[1:].sum()) if len(sizes) else 0.0

    def undone(self, station: int, kind: int) -> float:
        there = self.in_station & (self.log["station"] == station) & (self.log["kind"] == kind)
        rows = self.log[there]
        started = rows["proc_start"] >= 0
        assert started.sum() <= 1  # the head of the queue
        untouched = rows["compute_gcycle"][~started].sum(dtype=float)
        return float(untouched + (self.cells["remaining"][station, kind] if started.any() else 0.0))

    def check(self) -> None:
        self.check_jobs()
        self.check_mbit_and_gcycle()
        self.check_stamps_and_ages()
        self.check_totals_of_completed()

    def check_jobs(self) -> None:
        """generated = completed + lost + in the system, and the queues hold exactly those that wait."""
        for k, kind in enumerate(KINDS):
            own = self.log["kind"] == k
            waiting = own & (self.log["outcome"] == WAITING)
            lost = own & (self.log["outcome"] != WAITING) & (self.log["outcome"] != COMPLETED)
            assert self.of("s_generated", kind) == own.sum()
            assert self.of("s_completed", kind) == (own & (self.log["outcome"] == COMPLETED)).sum()
            assert self.of("s_lost", kind) == lost.sum()
            in_queues = self.queued(kind)
            assert in_queues == waiting.sum()
            assert self.of("s_generated", kind) == self.of("s_completed", kind) + self.of("s_lost", kind) + in_queues
            assert self.of("s_sent", kind) == (own & (self.log["tx_end"] >= 0)).sum()
        for d, count in enumerate(self.devices["count"]):
            assert count == (self.in_device & (self.log["device"] == d)).sum()
        for (s, k), count in np.ndenumerate(self.world.queue_lengths[0]):
            there = (self.log["station"] == s) & (self.log["kind"] == k)
            assert count == (self.in_station & there).sum()

    def queued(self, kind: str) -> int:
        people = self.world.scenario.users.count
        part = slice(None, people) if kind == "request" else slice(people, None)
        stations = self.world.queue_lengths[0, :, KINDS.index(kind)]
        return int(self.devices["count"][part].sum() + stations.sum())

    def check_mbit_and_gcycle(self) -> None:
        people = self.world.scenario.users.count
        for k, kind in enumerate(KINDS):
            mine = range(people) if kind == "request" else range(people, len(self.devices))
            own = self.log["kind"] == k
            unsent = {d: self.unsent(d) for d in mine}
            undone = [self.undone(s, k) for s in range(self.world.num_stations)]
            in_devices = self.log["compute_gcycle"][own & self.in_device].sum(dtype=float)
            for d, amount in unsent.items():
                assert self.devices["backlog"][d] == pytest.approx(amount, abs=1e-6)
            assert self.world.queue_gcycle[0, :, k] == pytest.approx(undone, abs=1e-6)
            assert self.of("_mbit_generated", kind) == pytest.approx(self.log["data_mbit"][own].sum(dtype=float))
            balance = self.of("_mbit_sent", kind) + self.of("_mbit_lost", kind) + sum(unsent.values())
            assert self.of("_mbit_generated", kind) == pytest.approx(balance, abs=1e-6)
            balance = self.of("_gcycle_processed", kind) + self.of("_gcycle_lost", kind) + sum(undone) + in_devices
            assert self.of("_gcycle_generated", kind) == pytest.approx(balance, abs=1e-6)
            assert self.of("_gcycle_generated", kind) == pytest.approx(self.log["compute_gcycle"][own].sum(dtype=float))

    def check_stamps_and_ages(self) -> None:
        """What happened to a job happened in order, and no age is negative."""
        done = self.log[self.log["outcome"] == COMPLETED]
        stamps = np.stack([done[n] for n in ("created", "tx_start", "tx_end", "proc_start", "completed")])
        assert (np.diff(stamps, axis=0) >= 0).all()
        assert (stamps[0] >= 0).all()
        assert (stamps[-1] <= self.now).all()
        served = done[(done["kind"] == 0) & (done["sensor"] >= 0)]
        assert (served["update_created"] >= 0).all()
        assert (served["completed"] >= served["update_created"]).all()
        assert self.total("requests_synchronized") == len(served)
        assert self.total("aosi") == np.abs(served["created"] - served["update_created"]).sum()
        assert self.total("data_age") == (served["completed"] - served["update_created"]).sum()

    def check_totals_of_completed(self) -> None:
        """The four parts of a job's time add up to completion minus creation."""
        for k, kind in enumerate(KINDS):
            done = self.log[(self.log["kind"] == k) & (self.log["outcome"] == COMPLETED)]
            parts = [
                ("device_wait", "created", "tx_start"),
                ("transmission", "tx_start", "tx_end"),
                ("server_wait", "tx_end", "proc_start"),
                ("processing", "proc_start", "completed"),
            ]
            for name, start, end in parts:
                assert self.of(f"_{name}", kind) == (done[end] - done[start]).sum()
            total = sum(self.of(f"_{name}", kind) for name, _, _ in parts)
            assert total == (done["completed"] - done["created"]).sum()


def check_limits(world: World) -> None:
    """Of every environment: what is used is there, queues keep to their buffers, and everybody is on the map."""
    scenario = world.scenario
    band = np.array([s.bandwidth_hz for s in scenario.stations])
    compute = np.array([s.compute_gcycle_s for s in scenario.stations]) * scenario.step_s
    totals = world.station_totals
    assert (totals_of(totals, "busy_hz") <= band * (1 + 1e-9)).all()
    sent = totals_of(totals, "request_mbit_sent"), totals_of(totals, "update_mbit_sent")
    processed = totals_of(totals, "request_gcycle_processed"), totals_of(totals, "update_gcycle_processed")
    bandwidth, for_requests = world.shares[..., 0], world.shares[..., 1]
    assert (processed[0] <= for_requests * compute + 1e-6).all()
    assert (processed[1] <= (1 - for_requests) * compute + 1e-6).all()
    assert not sent[0][bandwidth == 0].any()
    assert not sent[1][bandwidth == 1].any()
    attached = world.devices["attached"] == 1
    best = np.max(world.devices["efficiency"], initial=0.0, where=attached)
    assert (sum(sent) <= band * best * 1e-6 * scenario.step_s * (1 + 1e-9) + 1e-6).all()
    counts, people = world.devices["count"], scenario.users.count
    if scenario.buffers.device_jobs is not None:
        assert counts.max(initial=0) <= scenario.buffers.device_jobs
    if scenario.buffers.station_jobs is not None:
        assert world.queue_lengths.max() <= scenario.buffers.station_jobs
    assert (world.sensor_ages >= 0).all()
    assert (world.waiting_age() >= 0).all()
    positions = world.user_positions
    assert (positions >= 0).all()
    assert (positions <= [scenario.map.width_m, scenario.map.height_m]).all()
    assert not counts[:, :people][world.devices["present"][:, :people] == 0].any()


def check_memory(inventory: Inventory) -> None:
    """Where a job came in during the step, memory suffices for all that are there."""
    world, log = inventory.world, inventory.log
    memory = world.scenario.memory
    for s, station in enumerate(world.scenario.stations):
        came = (log["station"] == s) & (log["tx_end"] == inventory.now)
        if station.memory_mb is not None and (came & (log["outcome"] != OUTCOMES.index("lost_station"))).any():
            people, jobs = world.attached[0, s, 0], world.queue_lengths[0, s].sum()
            assert memory.base_mb + memory.per_user_mb * people + memory.per_job_mb * jobs <= station.memory_mb


def check_placement(world: World) -> None:
    scenario = world.scenario
    placement = scenario.sensors.placement
    for positions in world.sensor_positions:
        assert (positions >= 0).all()
        assert (positions <= [scenario.map.width_m, scenario.map.height_m]).all()
        for a, b in combinations(positions, 2):
            assert np.hypot(*(a - b)) >= placement.spacing_m
        if isinstance(placement, Ring):
            for n, place in enumerate(positions):
                home = scenario.stations[n % len(scenario.stations)]
                distance = np.hypot(place[0] - home.x_m, place[1] - home.y_m)
                assert placement.min_distance_m - 1e-9 <= distance <= placement.max_distance_m + 1e-9


# -- tests -------------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(cities, st.integers(0, 2**32 - 1))
def test_any_scenario(scenario: Scenario, seed: int) -> None:
    world = World(scenario, 2, job_log=True)
    world.reset(seed=seed)
    check_placement(world)
    for shares in random_shares(len(scenario.stations), seed):
        world.step(np.stack([shares, 1.0 - shares]))
        inventory = Inventory(world)
        inventory.check()
        check_limits(world)
        check_memory(inventory)
    outcomes = set(np.unique(world.jobs()["outcome"]))
    for outcome in outcomes:
        event(OUTCOMES[outcome])


def test_all_outcomes() -> None:
    """A cell in which jobs are lost everywhere; what would pass empty-handed above is not empty here."""
    scenario = load(
        "four-cells",
        max_steps=30,
        users__count=20,
        users__presence={"kind": "churn", "mean_stay_steps": 4.0, "mean_absence_steps": 2.0},
        sensors__count=20,
        buffers={"device_jobs": 3, "station_jobs": 4},
        **{"stations.0.bandwidth_hz": 5e6, "stations.1.compute_gcycle_s": 10.0, "stations.2.memory_mb": 160.0},
        stations__3__outages_s=[(4.0, 9.0), (25.0, 40.0)],
    )
    world = World(scenario, 2, job_log=True)
    world.reset(seed=1)
    for shares in random_shares(4, 1):
        world.step(np.stack([shares, shares]))
        Inventory(world).check()
        check_limits(world)
        check_memory(Inventory(world))
    assert set(np.unique(world.jobs()["outcome"])) == set(range(len(OUTCOMES)))


def test_memory_bounds_jobs() -> None:
    """128 MB for the twin and 8 for each of 10 users leave 208 - 208 = 0 over for a job; 24 MB more hold 6 jobs."""
    for extra, jobs in ((4.0, 1), (24.0, 6), (26.0, 6)):
        scenario = load("smart-city", users__mobility={"kind": "static"}, stations__0__memory_mb=208.0 + extra)
        scenario = scenario.updated(stations__0__compute_gcycle_s=0.5)
        world = World(scenario)
        world.reset(seed=1)
        for _ in range(50):
            world.step(np.full((1, 1, 2), 0.5))
            assert world.queue_lengths.sum() <= jobs
        assert world.queue_lengths.sum() == jobs
        assert totals_of(world.episode_totals, "updates_lost") > 0


def test_nobody_and_nothing() -> None:
    """Zero users and zero sensors are a world too; nothing ever happens in it."""
    world = World(load("smart-city", users__count=0, sensors__count=0), 2, job_log=True)
    world.reset(seed=1)
    for _ in range(100):
        world.step(np.full((2, 1, 2), 0.5))
    Inventory(world).check()
    counted = [i for i, name in enumerate(METRICS) if name not in ("up", "resident_mb")]
    assert not world.episode_totals[:, counted].any()
    assert not world.reward.any()
