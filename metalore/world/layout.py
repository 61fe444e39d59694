"""How a batch of worlds lies in memory, and what is counted.

Axes: `e` environments, `s` stations (zones), `k` kinds of job (0 request, 1 update), `d` devices (users, then sensors).
Records keep together what is touched together; shapes are no part of a type, so one compilation serves all sizes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

REQUEST, UPDATE = 0, 1
KINDS = ("request", "update")
OUTCOMES = ("waiting", "completed", "lost_device", "lost_station", "left", "failed")
WAITING, COMPLETED, LOST_DEVICE, LOST_STATION, LEFT, FAILED = range(6)

NO_JOB = np.uint32(0xFFFFFFFF)
"""Ends the list of free places. Indices are unsigned where that spares compiled code the look for negative ones."""

NOTHING = 1e-9
"""Less Mbit or Gcycle than this counts as none, so that sums of shares do not leave crumbs behind."""

BY_KIND = (
    "generated",  # jobs created
    "sent",  # jobs that left their device
    "completed",
    "lost",
    "mbit_generated",
    "mbit_sent",
    "mbit_lost",
    "gcycle_generated",
    "gcycle_processed",
    "gcycle_lost",
    "device_wait",  # the next four: steps, summed over jobs completed in this step
    "transmission",
    "server_wait",
    "processing",
    "created_in_system",  # creation steps of jobs that came, minus those of jobs that ended
)
COUNTED_JOBS = 4


def _metric(kind: str, name: str) -> str:
    return f"{kind}s_{name}" if name in BY_KIND[:COUNTED_JOBS] else f"{kind}_{name}"


METRICS = (
    *(_metric(kind, name) for kind in KINDS for name in BY_KIND),
    "requests_late",
    "requests_synchronized",  # served with a sensor's update
    "aosi",  # this and the next two: steps, summed over synchronized requests
    "signed_gap",
    "data_age",
    "peaks",
    "peak_age",  # steps, summed over peaks
    "busy_hz",  # part of the band that carried data
    "twin_age",  # steps, summed over sensors
    "sync_value",  # discount ** AoSI, summed over synchronized requests
    "attached_users",
    "handovers",  # into the station
    "resident_mb",  # memory in use after the compute phase
    "up",  # 1 if the station was up
    "request_latency",  # steps with their parts, summed over completed requests
    "request_latency_squared",
)
"""What is counted in every step, by station. Ages are in steps. `twin_age` is counted once per world."""

REWARD_TERMS = ("synchronization", "delay", "throughput", "loss", "served_age", "twin_age")

# Columns of the tally. Those of a kind are `kind * len(BY_KIND) + column`.
(
    GENERATED,
    SENT,
    COMPLETED_JOBS,
    LOST,
    MBIT_GENERATED,
    MBIT_SENT,
    MBIT_LOST,
    GCYCLE_GENERATED,
    GCYCLE_PROCESSED,
    GCYCLE_LOST,
    DEVICE_WAIT,
    TRANSMISSION,
    SERVER_WAIT,
    PROCESSING,
    CREATED_IN_SYSTEM,
) = range(len(BY_KIND))
PER_KIND = len(BY_KIND)
(
    LATE,
    SYNCHRONIZED,
    AOSI,
    SIGNED_GAP,
    DATA_AGE,
    PEAKS,
    PEAK_AGE,
    BUSY_HZ,
    TWIN_AGE,
    SYNC_VALUE,
    ATTACHED_USERS,
    HANDOVERS,
    RESIDENT_MB,
    UP,
    LATENCY,
    LATENCY_SQUARED,
) = range(2 * PER_KIND, len(METRICS))

SETUP = np.dtype(
    [
        ("step_s", "f8"),
        ("width_m", "f8"),
        ("height_m", "f8"),
        ("carrier_mhz", "f8"),
        ("noise_w", "f8"),
        ("snr_threshold", "f8"),
        ("average_window", "f8"),
        ("sensor_range2", "f8"),  # squared metres; infinite: the whole map
        ("ring_min_m", "f8"),
        ("ring_max_m", "f8"),
        ("spacing_m", "f8"),
        ("speed_min", "f8"),
        ("speed_max", "f8"),
        ("speed_sd", "f8"),
        ("heading_sd", "f8"),
        ("course_memory", "f8"),
        ("leave_probability", "f8"),
        ("come_probability", "f8"),
        ("request_probability", "f8"),
        ("update_probability", "f8"),
        ("base_mb", "f8"),
        ("per_user_mb", "f8"),
        ("per_job_mb", "f8"),
        ("sync_reward", "f8"),
        ("discount", "f8"),
        ("delay_penalty", "f8"),
        ("delay_threshold_s", "f8"),
        ("throughput_weight", "f8"),
        ("loss_weight", "f8"),
        ("served_age_weight", "f8"),
        ("twin_age_weight", "f8"),
        ("handover_ratio", "f8"),  # by which a new station must be heard better
        ("reuse", "f8"),  # parts the band is cut into
        ("break_probability", "f8"),
        ("repair_probability", "f8"),
        ("start_hours", "f8"),  # since Monday's midnight
        ("first_hour", "f8"),  # of the counts
        ("full_pull", "f8"),  # of the city and elsewhere together; 0: nothing pulls
        ("far_probability", "f8"),
        ("mean_stay_s", "f8"),
        ("spread_m", "f8"),
        ("drift_keep", "f8"),
        ("drift_sd", "f8"),  # of the logarithm of the request factor
        ("drift_pull_sd", "f8"),
        ("flash_probability", "f8"),  # at a tick
        ("flash_mean_s", "f8"),
        ("flash_pull", "f8"),
        ("flash_requests", "f8"),
        ("user_channel", "i8"),  # addresses of compiled user functions; 0: built-in
        ("user_mobility", "i8"),
        ("user_traffic", "i8"),
        ("user_scheduler", "i8"),
        ("max_steps", "i4"),
        ("users", "i4"),
        ("path_loss", "i4"),
        ("line_of_sight", "i4"),
        ("association", "i4"),
        ("plain_radio", "i4"),  # nearest station by Okumura-Hata, and nothing more
        ("scheduler", "i4"),
        ("slots", "i4"),
        ("mobility", "i4"),
        ("pause_steps", "i4"),
        ("churn", "i4"),
        ("may_leave", "i4"),
        ("placement", "i4"),
        ("periodic", "i4"),
        ("random_phase", "i4"),
        ("pairing", "i4"),
        ("device_jobs", "i4"),
        ("station_jobs", "i4"),
        ("logging", "i4"),
        ("handover_waits", "i4"),  # steps before a change of station
        ("sticky", "i4"),  # whether a user may keep a station that is not the candidate
        ("interference", "i4"),
        ("backhaul_steps", "i4"),
        ("failures", "i4"),
        ("interval_steps", "i4"),  # between ticks of the city; 0: no city
        ("counted", "i4"),  # whether counts pull, not the kinds' weeks
        ("outside", "i4"),
    ],
    align=True,
)
GRID = np.dtype(
    [("nx", "i4"), ("ny", "i4"), ("tile_w", "f8"), ("tile_h", "f8"), ("per_m_x", "f8"), ("per_m_y", "f8")],  # tiles
    align=True,
)
ZONE = np.dtype(
    [
        ("x", "f8"),
        ("y", "f8"),
        ("bandwidth_hz", "f8"),
        ("compute", "f8"),  # Gcycle/s
        ("memory_mb", "f8"),
        ("load", "f8"),  # part of the band that carried data in the last step
        ("pull", "f8"),  # people, relative to other zones; NaN: not known
        ("pull_until", "f8"),  # running sum of pulls over zones up to this one
        ("request_factor", "f8"),
        ("data_factor", "f8"),
        ("compute_factor", "f8"),
        ("drift", "f8"),  # standard normal
        ("next", "i4"),  # in the same tile
        ("activity", "i4"),  # -1: none
        ("activity_until", "i4"),  # step
        ("flash_until", "i4"),  # step
        ("up", "i1"),
        ("broken", "i1"),
        ("closed", "i1"),  # from outside
        ("out", "i1"),  # planned
    ],
    align=True,
)
ACTIVITY = np.dtype(
    [
        ("log_mean", "f8"),  # of the duration in seconds
        ("log_sd", "f8"),
        ("from_hour", "f8"),
        ("to_hour", "f8"),
        ("pull", "f8"),
        ("request_factor", "f8"),
        ("data_factor", "f8"),
        ("compute_factor", "f8"),
        ("days", "i4"),
    ],
    align=True,
)
EVENT = np.dtype(
    [
        ("from_s", "f8"),
        ("duration_s", "f8"),
        ("lead_s", "f8"),
        ("every_s", "f8"),  # 0: once
        ("pull", "f8"),
        ("request_factor", "f8"),
        ("zone", "i4"),
    ],
    align=True,
)
OUTAGE = np.dtype([("from_s", "f8"), ("to_s", "f8"), ("zone", "i4")], align=True)
LINK = np.dtype(
    [
        ("station_height", "f8"),
        ("device_height", "f8"),
        ("tx_dbw", "f8"),
        ("hata_intercept", "f8"),  # under Okumura-Hata, ln SNR = intercept - slope * ln(squared metres)
        ("hata_slope", "f8"),
    ],
    align=True,
)
ENV = np.dtype(
    [
        ("seed", "u8"),
        ("episode", "u4"),
        ("t", "i4"),
        ("free", "u4"),
        ("fresh", "u4"),
        ("numbered", "i4"),
        ("closing", "i4"),  # whether stations were ever closed from outside
        ("changed", "i4"),  # whether a station went down or came up since sensors were associated
        ("stations_up", "i4"),
        ("newest_sum", "i8"),
        ("elsewhere", "f8"),  # pull of what is not the city
    ],
    align=True,
)
CELL = np.dtype(
    [
        ("remaining", "f8"),  # Gcycle left of the head job
        ("backlog", "f8"),  # Gcycle left of all jobs
        ("weights", "f8"),
        ("hz_per_weight", "f8"),
        ("head", "u4"),
        ("tail", "u4"),
        ("count", "i4"),
        ("started", "i4"),  # step in which the head job's processing began, -1: not yet
        ("attached", "i4"),
        ("backlogged", "i4"),
        ("turn", "i4"),  # round-robin: device index from which the next turn starts
        ("rank", "i4"),
    ],
    align=True,
)
ANCHOR = np.dtype([("x", "f8"), ("y", "f8"), ("reach2", "f8"), ("nearest", "i4"), ("second", "i4")], align=True)
DEVICE = np.dtype(
    [  # what every step touches: one cache line of 64 bytes
        ("efficiency", "f8"),  # bit/s/Hz
        ("remaining", "f8"),  # Mbit left of the head job
        ("backlog", "f8"),  # Mbit left of all jobs
        ("phase", "f8"),  # sensors: part of a period that has passed at the start
        ("head", "u4"),
        ("tail", "u4"),
        ("count", "i4"),
        ("started", "i4"),  # step in which the head job's transmission began, -1: not yet
        ("station", "u4"),
        ("completed", "i4"),  # requests of this user, or updates of this sensor
        ("newest", "i4"),  # sensors: creation step of the newest processed update, -1: none
        ("attached", "i1"),
        ("present", "i1"),
        ("moved", "i1"),  # room to compute in: attached elsewhere a step before
    ],
    align=True,
)
BODY = np.dtype(
    [
        ("x", "f8"),
        ("y", "f8"),
        ("m0", "f8"),  # memory of the mobility model
        ("m1", "f8"),
        ("m2", "f8"),
        ("m3", "f8"),
        ("luck", "f8"),
        ("average_mbps", "f8"),
        ("weight", "f8"),
        ("seen_x", "f8"),  # where one was when associated last
        ("seen_y", "f8"),
        ("arrived", "i4"),
        ("next", "i4"),  # sensors: next in the same tile
        ("place", "i4"),  # attraction: the zone one is in or on the way to; number of zones: elsewhere
        ("waiting", "i4"),  # steps for which another station has been better
    ],
    align=True,
)
JOB = np.dtype(
    [
        ("next", "u4"),
        ("device", "u4"),
        ("created", "i4"),
        ("tx_start", "i4"),
        ("tx_end", "i4"),
        ("sensor", "i4"),
        ("update", "i4"),  # creation step of the update the request is served with
        ("data", "f4"),
        ("compute", "f4"),
        ("tx_part", "f4"),  # of its device's budget that was spent when the job left
    ]
)
LOG = np.dtype(
    [
        ("number", "i4"),
        ("kind", "i4"),
        ("device", "i4"),
        ("station", "i4"),
        ("sensor", "i4"),
        ("created", "i4"),
        ("tx_start", "i4"),
        ("tx_end", "i4"),
        ("proc_start", "i4"),
        ("completed", "i4"),
        ("update_created", "i4"),
        ("outcome", "i4"),
        ("data_mbit", "f4"),
        ("compute_gcycle", "f4"),
    ]
)

NO_SENSOR = -1  # served without
UNDECIDED = -2  # to be fixed when processing starts


FIRST_OF_BATCH, FIRST_OF_THREAD = "envs", "words"
"""Fields of a frame from the first on have an axis for environments, from the second on one for threads."""


class Frame(NamedTuple):
    """Everything compiled code works on. What does not change, what does, and what comes out.

    Within a step the axis `e` is gone (`envs` and `reward` hold one entry): the frame of one environment.
    """

    # fixed for a scenario
    setup: np.ndarray  # [1]
    sites: np.ndarray  # [s]: zones as an episode finds them
    links: np.ndarray  # [s, k]
    kinds_of_link: np.ndarray  # distinct links, bounds for the strongest-SNR search: [., k]
    interferers: np.ndarray  # [s, .]: stations on the same part of the band, -1: none
    grids: np.ndarray  # [2]: of stations, of sensors
    sizes: np.ndarray  # [k, 2]: data, compute
    aliases: np.ndarray
    request_factor: np.ndarray  # [t]
    update_factor: np.ndarray  # [t]
    update_sum: np.ndarray  # [t + 1]
    rates: np.ndarray  # [sensors], updates a step
    user_positions: np.ndarray  # [users, 2] or empty
    sensor_positions: np.ndarray  # [sensors, 2] or empty
    trace: np.ndarray  # [t + 1, users, 2] or empty
    value_of_age: np.ndarray  # discount ** AoSI by steps
    outages: np.ndarray
    kinds: np.ndarray  # [s]: row of a zone's kind, in the next two and in activity_weights
    week: np.ndarray  # [kinds, 2, 168]: hourly pull and request factor
    counts: np.ndarray  # [hours, s] or empty
    activities: np.ndarray
    activity_weights: np.ndarray  # [kinds, activities]
    events: np.ndarray
    drift_near: np.ndarray  # [s, .]: zones whose noise drives a zone's drift
    drift_weight: np.ndarray  # [s, .]
    usual_pull: np.ndarray  # [s + 1]: means over the table of zones and elsewhere
    usual_until: np.ndarray  # [s + 1]: their running sum
    neighbours: np.ndarray  # [s, .]: -1: none
    # state, by environment
    envs: np.ndarray  # [e]
    zones: np.ndarray  # [e, s]
    station_tiles: np.ndarray  # [e, tiles]: first station that is up in each tile
    cells: np.ndarray  # [e, s, k]
    devices: np.ndarray  # [e, d]: queues and radio
    bodies: np.ndarray  # [e, d]: place, motion, and what is seldom needed
    anchors: np.ndarray  # [e, d, 2]: of the nearest station, of the nearest sensor
    heard: np.ndarray  # [e, d, interferers + 1] or empty: SNR at a station's interferers and at itself
    history: np.ndarray  # [e, sensors, backhaul + 1] or empty: newest at the end of the last steps
    jobs: np.ndarray  # [e, pool]
    sensor_tiles: np.ndarray  # [e, tiles]
    # results, by environment
    tally: np.ndarray  # [e, s, metrics], of this step
    step_totals: np.ndarray  # [e, metrics]
    episode_totals: np.ndarray  # [e, metrics]
    terms: np.ndarray  # [e, reward terms]
    reward: np.ndarray  # [e]
    station_rewards: np.ndarray  # [e, s]
    numbers: np.ndarray  # [e, pool], or [e, 0] without a log
    log: np.ndarray  # [e, jobs], or [e, 0]
    # room to compute in, by thread
    words: np.ndarray  # [threads, 3, d]: the step's random words of all devices
    signal: np.ndarray  # [threads, d]: spectral efficiencies in the making
    noise: np.ndarray  # [threads, s]: normal numbers of zones
    scratch: np.ndarray  # [threads, 32]: passed to user functions
