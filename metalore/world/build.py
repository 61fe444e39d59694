"""From a scenario to the arrays that compiled code works on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from metalore.scenario import (
    Attraction,
    Bernoulli,
    Churn,
    CoChannel,
    Fixed,
    GaussMarkov,
    Periodic,
    RandomWaypoint,
    Ring,
    Scenario,
    ScenarioError,
    Static,
    Trace,
    Uniform,
    period_steps_of,
    profile_factors,
)
from metalore.world import codes, layout, radio
from metalore.world.build_city import CityArrays, city_arrays, city_setup, interferers_of
from metalore.world.frame import TABLE_COLUMNS
from metalore.world.geometry import grid_for
from metalore.world.mobility import ATTRACTION, GAUSS_MARKOV, RANDOM_WAYPOINT, STATIC, TRACE, trace_positions
from metalore.world.random import size_tables

_UNBOUNDED = 2**31 - 1
_LARGEST_TABLE = 4096  # entries of the discount table; older ages are computed
_PATH_LOSS = {"okumura-hata": radio.OKUMURA_HATA, "umi": radio.UMI, "uma": radio.UMA}
_SIGHT = {"always": radio.SEEN_ALWAYS, "never": radio.SEEN_NEVER, "probability": radio.SEEN_BY_CHANCE}
_ASSOCIATION = {"nearest": codes.NEAREST, "strongest": codes.STRONGEST}
_SCHEDULER = {
    "resource-fair": codes.RESOURCE_FAIR,
    "round-robin": codes.ROUND_ROBIN,
    "proportional-fair": codes.PROPORTIONAL_FAIR,
}
_LOAD = {"observed": codes.OBSERVED_LOAD, "full": codes.FULL_LOAD}
_PAIRING = {"creation": codes.AT_CREATION, "start": codes.AT_START, "completion": codes.AT_COMPLETION}
_MOBILITY = {
    RandomWaypoint: RANDOM_WAYPOINT,
    GaussMarkov: GAUSS_MARKOV,
    Static: STATIC,
    Trace: TRACE,
    Attraction: ATTRACTION,
}
_PLACEMENT = {Ring: codes.ON_RING, Uniform: codes.ANYWHERE, Fixed: codes.GIVEN}


def build_frame(
    scenario: Scenario, num_envs: int, threads: int, job_log: bool, functions: dict[str, int]
) -> layout.Frame:
    """Arrays of `num_envs` environments, not yet reset.

    Args:
        functions: address of the compiled user function for each extension point, 0 for the built-in one.
    """
    grid = grid_for(scenario.map.width_m, scenario.map.height_m, len(scenario.stations))
    city, interferers = city_arrays(scenario), interferers_of(scenario)
    links, distinct = _links(scenario)
    sizes, aliases = _sizes(scenario)
    times = np.arange(scenario.max_steps) * scenario.step_s
    update_factor = profile_factors(scenario.sensors.updates.profile, times)
    sensor_grid = grid_for(scenario.map.width_m, scenario.map.height_m, scenario.sensors.count)
    most_jobs = _most_jobs(scenario, update_factor, by_function=functions["traffic"] != 0)
    pool = min(most_jobs, _buffered_jobs(scenario))
    logged = most_jobs if job_log else 0
    devices = scenario.users.count + scenario.sensors.count
    stations, metrics = len(scenario.stations), len(layout.METRICS)
    history = scenario.sensors.count if scenario.sensors.backhaul_steps else 0
    e = num_envs
    return layout.Frame(
        setup=_setup(scenario, functions, job_log, city, disturbed=interferers.shape[1] > 0),
        sites=_sites(scenario),
        links=links,
        kinds_of_link=distinct,
        interferers=interferers,
        grids=np.concatenate([grid, sensor_grid]),
        sizes=sizes,
        aliases=aliases,
        request_factor=profile_factors(scenario.users.requests.profile, times),
        update_factor=update_factor,
        update_sum=np.concatenate([[0.0], np.cumsum(update_factor)]),
        rates=np.array([1.0 / period if period else 0.0 for period in period_steps_of(scenario)]),
        user_positions=_points(scenario.users.positions_m),
        sensor_positions=_points(getattr(scenario.sensors.placement, "positions_m", None)),
        trace=_trace(scenario),
        value_of_age=_value_of_age(scenario),
        outages=_outages(scenario),
        kinds=city.kinds,
        week=city.week,
        counts=city.counts,
        activities=city.activities,
        activity_weights=city.activity_weights,
        events=city.events,
        drift_near=city.drift_near,
        drift_weight=city.drift_weight,
        usual_pull=city.usual_pull,
        usual_until=city.usual_until,
        neighbours=city.neighbours,
        envs=np.zeros(e, layout.ENV),
        zones=np.zeros((e, stations), layout.ZONE),
        station_tiles=np.zeros((e, int(grid["nx"][0] * grid["ny"][0])), np.int32),
        cells=np.zeros((e, stations, 2), layout.CELL),
        devices=np.zeros((e, devices), layout.DEVICE),
        bodies=np.zeros((e, devices), layout.BODY),
        anchors=np.zeros((e, devices, 2), layout.ANCHOR),
        heard=np.zeros((e, devices if interferers.shape[1] else 0, interferers.shape[1] + 1)),
        history=np.zeros((e, history, scenario.sensors.backhaul_steps + 1), np.int32),
        jobs=np.zeros((e, pool), layout.JOB),
        sensor_tiles=np.zeros((e, int(sensor_grid["nx"][0] * sensor_grid["ny"][0])), np.int32),
        tally=np.zeros((e, stations, metrics)),
        step_totals=np.zeros((e, metrics)),
        episode_totals=np.zeros((e, metrics)),
        terms=np.zeros((e, len(layout.REWARD_TERMS))),
        reward=np.zeros(e),
        station_rewards=np.zeros((e, stations)),
        numbers=np.zeros((e, pool if job_log else 0), np.int32),
        log=np.zeros((e, logged), layout.LOG),
        words=np.zeros((threads, 3, devices), np.uint32),
        signal=np.zeros((threads, devices)),
        noise=np.zeros((threads, stations)),
        scratch=np.zeros((threads, 32)),
    )


def table_of(frame: layout.Frame, thread: int) -> np.ndarray:
    """Where a thread finds the arrays: for each field address, bytes per environment, and shape without `e`.

    The frame must outlive the table.
    """
    table = np.zeros((len(frame), TABLE_COLUMNS), np.int64)
    first_of_batch, first_of_thread = (
        frame._fields.index(name) for name in (layout.FIRST_OF_BATCH, layout.FIRST_OF_THREAD)
    )
    for i, array in enumerate(frame):
        if not array.flags.c_contiguous:
            raise AssertionError(f"{frame._fields[i]} is not contiguous")
        shape = array.shape[1:] if i >= first_of_batch else array.shape
        by_thread = i >= first_of_thread
        table[i, 0] = array.ctypes.data + (thread * array.strides[0] if by_thread else 0)
        table[i, 1] = array.strides[0] if i >= first_of_batch and not by_thread else 0
        shape = shape or (1,)  # one entry per environment
        table[i, 2 : 2 + len(shape)] = shape
    return table


def _sites(scenario: Scenario) -> np.ndarray:
    """Zones as an episode finds them."""
    sites = np.zeros(len(scenario.stations), layout.ZONE)
    for site, station in zip(sites, scenario.stations, strict=True):
        site["x"], site["y"] = station.x_m, station.y_m
        site["bandwidth_hz"], site["compute"] = station.bandwidth_hz, station.compute_gcycle_s
        site["memory_mb"] = math.inf if station.memory_mb is None else station.memory_mb
    for factor in ("request_factor", "data_factor", "compute_factor"):
        sites[factor] = 1.0
    sites["activity"], sites["next"], sites["up"] = -1, -1, 1
    return sites


def _outages(scenario: Scenario) -> np.ndarray:
    rows = [(start, end, i) for i, station in enumerate(scenario.stations) for start, end in station.outages_s]
    return np.array(rows, layout.OUTAGE)


def _links(scenario: Scenario) -> tuple[np.ndarray, np.ndarray]:
    """Records [s, k] of what the path loss needs, and the distinct ones among the stations."""
    links = np.zeros((len(scenario.stations), 2), layout.LINK)
    carrier = scenario.radio.carrier_mhz
    for i, station in enumerate(scenario.stations):
        for kind, height in enumerate((scenario.users.height_m, scenario.sensors.height_m)):
            tx_dbw = station.tx_dbm - 30.0
            hata = radio.okumura_hata_constants(carrier, station.height_m, height, tx_dbw, scenario.radio.noise_w)
            links[i, kind] = (station.height_m, height, tx_dbw, *hata)
    return links, np.unique(links, axis=0)


def _sizes(scenario: Scenario) -> tuple[np.ndarray, np.ndarray]:
    requests, updates = scenario.users.requests, scenario.sensors.updates
    sizes = [requests.data_mbit, requests.compute_gcycle, updates.data_mbit, updates.compute_gcycle]
    records, aliases = size_tables(sizes)
    return records.reshape(2, 2), aliases


def _most_jobs(scenario: Scenario, update_factor: np.ndarray, by_function: bool) -> int:
    """The most jobs that can be created in an episode."""
    steps, sensors = scenario.max_steps, scenario.sensors.count
    updates = steps * sensors
    if isinstance(scenario.sensors.updates.timing, Periodic) and not by_function:
        total = float(update_factor.sum())
        updates = sum(math.ceil(total / period) + 1 for period in period_steps_of(scenario))
    return max(1, steps * scenario.users.count + updates)


def _buffered_jobs(scenario: Scenario) -> int:
    """The most jobs that buffers hold."""
    buffers = scenario.buffers
    if buffers.device_jobs is None or buffers.station_jobs is None:
        return _UNBOUNDED
    devices = scenario.users.count + scenario.sensors.count
    return devices * buffers.device_jobs + 2 * len(scenario.stations) * buffers.station_jobs


def _points(points: tuple[tuple[float, float], ...] | None) -> np.ndarray:
    return np.array(points or (), float).reshape(-1, 2)


def _trace(scenario: Scenario) -> np.ndarray:
    mobility = scenario.users.mobility
    if not isinstance(mobility, Trace):
        return np.zeros((0, 0, 2))
    try:
        positions = trace_positions(mobility.file, scenario.users.count, scenario.max_steps, scenario.step_s)
    except ValueError as error:
        raise ScenarioError(str(error)) from None
    x, y = positions[..., 0], positions[..., 1]
    if x.size and (x.min() < 0 or y.min() < 0 or x.max() > scenario.map.width_m or y.max() > scenario.map.height_m):
        raise ScenarioError(
            f"users.mobility.file {mobility.file} leaves the map "
            f"of {scenario.map.width_m} m x {scenario.map.height_m} m"
        )
    return positions


def _value_of_age(scenario: Scenario) -> np.ndarray:
    steps = np.arange(min(scenario.max_steps + 1, _LARGEST_TABLE))
    values: np.ndarray = scenario.reward.discount ** (steps * scenario.step_s)
    return values


def _setup(
    scenario: Scenario, functions: dict[str, int], job_log: bool, city: CityArrays, disturbed: bool
) -> np.ndarray:
    handover, interference, failures = scenario.radio.handover, scenario.radio.interference, scenario.failures
    radio_settings, mobility, presence = scenario.radio, scenario.users.mobility, scenario.users.presence
    placement, timing = scenario.sensors.placement, scenario.sensors.updates.timing
    reach, buffers, memory, reward = scenario.sensors.range_m, scenario.buffers, scenario.memory, scenario.reward
    values: dict[str, Any] = {
        "step_s": scenario.step_s,
        "width_m": scenario.map.width_m,
        "height_m": scenario.map.height_m,
        "carrier_mhz": radio_settings.carrier_mhz,
        "noise_w": radio_settings.noise_w,
        "snr_threshold": radio_settings.snr_threshold,
        "average_window": radio_settings.average_window_steps,
        "sensor_range2": math.inf if reach is None else reach**2,
        "ring_min_m": getattr(placement, "min_distance_m", 0.0),
        "ring_max_m": getattr(placement, "max_distance_m", 0.0),
        "spacing_m": getattr(placement, "spacing_m", 0.0),
        "speed_min": getattr(mobility, "speed_min_m_s", getattr(mobility, "speed_m_s", 0.0)),
        "speed_max": getattr(mobility, "speed_max_m_s", 0.0),
        "speed_sd": getattr(mobility, "speed_sd_m_s", 0.0),
        "heading_sd": getattr(mobility, "heading_sd_rad", 0.0),
        "course_memory": getattr(mobility, "memory", 0.0),
        "leave_probability": 1 / presence.mean_stay_steps if isinstance(presence, Churn) else 0.0,
        "come_probability": 1 / presence.mean_absence_steps if isinstance(presence, Churn) else 0.0,
        "request_probability": scenario.users.requests.probability,
        "update_probability": timing.probability if isinstance(timing, Bernoulli) else 0.0,
        "base_mb": memory.base_mb,
        "per_user_mb": memory.per_user_mb,
        "per_job_mb": memory.per_job_mb,
        "sync_reward": reward.sync_reward,
        "discount": reward.discount,
        "delay_penalty": reward.delay_penalty,
        "delay_threshold_s": reward.delay_threshold_s,
        "throughput_weight": reward.throughput,
        "loss_weight": reward.loss,
        "served_age_weight": reward.served_age,
        "twin_age_weight": reward.twin_age,
        "user_channel": functions["channel"],
        "user_mobility": functions["mobility"],
        "user_traffic": functions["traffic"],
        "user_scheduler": functions["scheduler"],
        "max_steps": scenario.max_steps,
        "users": scenario.users.count,
        "path_loss": _PATH_LOSS[radio_settings.path_loss],
        "line_of_sight": _SIGHT[radio_settings.line_of_sight],
        "plain_radio": radio_settings.association == "nearest"
        and radio_settings.path_loss == "okumura-hata"
        and functions["channel"] == 0
        and radio_settings.interference.kind == "none"
        and handover.margin_db == handover.time_to_trigger_steps == 0,
        "association": _ASSOCIATION[radio_settings.association],
        "scheduler": _SCHEDULER[radio_settings.scheduler],
        "slots": radio_settings.round_robin_slots,
        "mobility": _MOBILITY[type(mobility)],
        "pause_steps": getattr(mobility, "pause_steps", 0),
        "churn": isinstance(presence, Churn),
        "may_leave": isinstance(presence, Churn) or isinstance(mobility, Attraction),
        "placement": _PLACEMENT[type(placement)],
        "periodic": isinstance(timing, Periodic),
        "random_phase": getattr(timing, "phase", "zero") == "random",
        "pairing": _PAIRING[scenario.pairing],
        "device_jobs": buffers.device_jobs or _UNBOUNDED,
        "station_jobs": buffers.station_jobs or _UNBOUNDED,
        "logging": job_log,
        "handover_ratio": 10 ** (handover.margin_db / 10),
        "handover_waits": handover.time_to_trigger_steps,
        "sticky": handover.margin_db > 0 or handover.time_to_trigger_steps > 0,
        "interference": _LOAD[interference.load]
        if isinstance(interference, CoChannel) and disturbed
        else codes.NO_INTERFERENCE,
        "reuse": interference.reuse if isinstance(interference, CoChannel) else 1,
        "backhaul_steps": scenario.sensors.backhaul_steps,
        "failures": failures is not None or any(station.outages_s for station in scenario.stations),
        "break_probability": min(1.0, scenario.step_s / failures.mean_between_s) if failures else 0.0,
        "repair_probability": min(1.0, scenario.step_s / failures.mean_repair_s) if failures else 0.0,
        **city_setup(scenario, city),
    }
    setup = np.zeros(1, layout.SETUP)
    for name in layout.SETUP.names or ():
        setup[name] = values[name]
    return setup
