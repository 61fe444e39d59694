"""A scenario from real sites: a station at each, people who follow counts or a daily rhythm."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metalore.scenario import (
    Attraction,
    Buffers,
    City,
    Counts,
    Handover,
    Map,
    Periodic,
    Radio,
    Requests,
    Scenario,
    Sensors,
    Size,
    Station,
    Uniform,
    Updates,
    Users,
    ZoneKind,
)
from metalore.telemetry.places.sites import PlacesError, Sites, project

URBAN_STATION = Station(height_m=10.0, tx_dbm=30.0, bandwidth_hz=20e6, compute_gcycle_s=100.0, memory_mb=8192.0)
"""A small cell at street level (3GPP TR 38.901, UMi: 10 m), one carrier of LTE, and a server of 33 cores at 3 GHz."""

URBAN_RADIO = Radio(
    path_loss="umi",
    line_of_sight="probability",
    noise_w=6.3e-13,
    snr_threshold=0.25,
    scheduler="round-robin",
    handover=Handover(margin_db=3.0, time_to_trigger_steps=2),
)
"""Street canyon; noise of 20 MHz with a noise figure of 9 dB; detached below -6 dB; the idle get no band."""

URBAN_REQUESTS = Requests(probability=0.05, data_mbit=Size(mean=4.0), compute_gcycle=Size(mean=5.0))
"""A request every 20 s and user."""

URBAN_UPDATES = Updates(
    timing=Periodic(period_steps=10.0, phase="random"), data_mbit=Size(mean=4.0), compute_gcycle=Size(mean=5.0)
)
"""An update every ten steps and sensor."""

URBAN_BUFFERS = Buffers(device_jobs=20, station_jobs=500)
"""Bounded, so that a long run needs bounded memory."""

_SPREAD_M = (10.0, 120.0)
"""Bounds of the radius in which people of a zone are."""

_LEAST_EXTENT_M = 1.0

OFFICE = ZoneKind(
    name="office",
    pull=(2, 1, 1, 1, 1, 2, 5, 12, 22, 26, 27, 28, 30, 29, 27, 26, 25, 22, 16, 12, 9, 7, 5, 3),
    weekend_pull=(5, 4, 3, 2, 1, 1, 2, 3, 5, 8, 11, 14, 16, 17, 17, 16, 15, 14, 13, 13, 12, 11, 9, 7),
    requests=(0.3, 0.2, 0.2, 0.2, 0.2, 0.3, 0.6, 0.9, 1, 1, 1, 1, 1.1, 1, 1, 1, 1, 1.1, 1, 0.9, 0.8, 0.7, 0.6, 0.4),
)
MIXED = ZoneKind(
    name="mixed",
    pull=(7, 6, 6, 6, 6, 7, 9, 11, 12, 12, 12, 13, 14, 13, 13, 13, 14, 16, 17, 16, 15, 13, 11, 9),
    weekend_pull=(9, 8, 7, 6, 6, 6, 7, 8, 9, 11, 12, 13, 14, 14, 14, 14, 14, 15, 16, 16, 15, 14, 13, 11),
    requests=(0.3, 0.2, 0.2, 0.2, 0.2, 0.3, 0.5, 0.8, 0.9, 0.9, 0.9, 1, 1, 1, 1, 1, 1, 1.1, 1.2, 1.2, 1.1, 1, 0.8, 0.5),
)
HOME = ZoneKind(
    name="home",
    pull=(20, 20, 20, 20, 20, 20, 18, 14, 10, 8, 8, 8, 8, 8, 8, 9, 11, 13, 16, 18, 19, 20, 20, 20),
    weekend_pull=(19, 20, 20, 20, 20, 20, 20, 19, 18, 16, 15, 14, 14, 13, 13, 13, 13, 14, 15, 16, 17, 18, 18, 19),
    requests=(
        0.2,
        0.1,
        0.1,
        0.1,
        0.1,
        0.2,
        0.5,
        0.7,
        0.7,
        0.6,
        0.6,
        0.6,
        0.7,
        0.7,
        0.7,
        0.8,
        0.9,
        1,
        1.1,
        1.2,
        1.2,
        1.1,
        0.8,
        0.4,
    ),
)
"""Rhythms for a city without counts; made up, in the shape of what is seen in cities."""


def city_from_sites(
    sites: Sites,
    *,
    users: int = 2000,
    name: str = "city",
    description: str = "",
    counts_file: Path | str | None = None,
    start: np.datetime64 | str = "2024-01-01T00",
    step_s: float = 1.0,
    max_steps: int = 86_400,
    margin_m: float = 200.0,
    spread_m: float | None = None,
    sensors_per_site: int = 4,
    station: Station = URBAN_STATION,
    radio: Radio = URBAN_RADIO,
    requests: Requests = URBAN_REQUESTS,
    updates: Updates = URBAN_UPDATES,
    buffers: Buffers = URBAN_BUFFERS,
) -> Scenario:
    """A city with a station at each site, on a map of their extent and a margin.

    People are drawn to zones (:class:`metalore.scenario.Attraction`): by counts, if there is a file of them, or else
    by a daily rhythm, with offices in the third of sites nearest to the centre, homes in the farthest, and both in
    between. Sensors stand uniformly on the map.

    Args:
        sites: where the stations stand; zones have their names.
        users: number of people, some of whom may be elsewhere.
        name: of the scenario.
        description: of the scenario.
        counts_file: CSV `hour,zone,people`, as :func:`metalore.telemetry.places.write_counts` writes it. A relative
            path is made absolute, since a scenario resolves it where the program runs and not where its TOML lies.
        start: date and hour at which an episode, and the file of counts, begins. 1 January 2024 was a Monday.
        step_s: length of a step; zones change once a minute, or at the nearest multiple of it.
        max_steps: steps in an episode.
        margin_m: map around the outermost sites.
        spread_m: radius around a station in which people of its zone are; unset: half the median distance from a site
            to the next (10 to 120 m), so that nearly all people are nearest to their own station.
        sensors_per_site: how many sensors there are for each site.
        station: bandwidth, compute, memory, height and power of every station.
        radio: the channel. Okumura-Hata is not for this: it holds beyond 1 km.
        requests: what people ask for.
        updates: what sensors report.
        buffers: how many jobs fit where.

    Raises:
        PlacesError: the margin or number of sensors cannot be.
        ScenarioError: a setting cannot be.
    """
    if margin_m < 0 or sensors_per_site < 0:
        raise PlacesError(f"margin_m {margin_m:g} and sensors_per_site {sensors_per_site} must not be negative")
    metres = np.round(project(sites.lat, sites.lon, margin_m), 2)
    extent = np.maximum(np.ceil(metres.max(axis=0) + margin_m), _LEAST_EXTENT_M)
    begin = np.array(start, dtype="datetime64[s]")
    counts = None if counts_file is None else Counts(file=str(Path(counts_file).resolve()))
    kinds = _kinds_by_distance(metres) if counts is None else [""] * len(sites)
    stations = tuple(
        station.model_copy(update={"name": site, "kind": kind, "x_m": float(x), "y_m": float(y)})
        for site, kind, (x, y) in zip(sites.names, kinds, metres, strict=True)
    )
    return Scenario(
        name=name,
        description=description,
        step_s=step_s,
        max_steps=max_steps,
        map=Map(width_m=float(extent[0]), height_m=float(extent[1])),
        stations=stations,
        radio=radio,
        city=City(
            interval_s=step_s * max(1, round(60 / step_s)),
            start_day=int(begin.astype("datetime64[D]").astype(int) + 3) % 7,  # day 0, in 1970, was a Thursday
            start_hour=_hour_of_day(begin),
            kinds=(OFFICE, MIXED, HOME) if counts is None else (ZoneKind(),),
            counts=counts,
        ),
        users=Users(
            count=users,
            mobility=Attraction(spread_m=_spread_m(metres) if spread_m is None else spread_m),
            requests=requests,
        ),
        sensors=Sensors(count=sensors_per_site * len(sites), placement=Uniform(), updates=updates),
        buffers=buffers,
    )


def _hour_of_day(time: np.ndarray) -> float:
    return float((time - time.astype("datetime64[D]")) / np.timedelta64(3600, "s"))


def _kinds_by_distance(metres: np.ndarray) -> list[str]:
    """Office, mixed or home, a third of the sites each, by distance from the median site."""
    away = np.hypot(*(metres - np.median(metres, axis=0)).T)
    rank = np.argsort(np.argsort(away, kind="stable"), kind="stable")
    return [(OFFICE, MIXED, HOME)[3 * int(r) // len(metres)].name for r in rank]


def _spread_m(metres: np.ndarray) -> float:
    """Half the median distance from a site to the next, within bounds."""
    if len(metres) == 1:
        return _SPREAD_M[1]
    apart = np.hypot(*(metres[:, None] - metres).T)
    np.fill_diagonal(apart, np.inf)
    return round(float(np.clip(np.median(apart.min(axis=1)) / 2, *_SPREAD_M)), 1)
