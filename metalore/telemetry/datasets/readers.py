"""Readers of the public sets. Each takes the folder with the set's files and gives them in the common form."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np

from metalore.telemetry._tables import TableError, numbers, on_grid, read_table
from metalore.telemetry.datasets.series import SeriesTable, series_of_rows
from metalore.telemetry.places.counts import read_counters, read_counts
from metalore.telemetry.places.sites import Sites, read_sites

Cell = Literal["ElBorn", "LesCorts", "PobleSec"]
CloudTrace = Literal["alibaba", "google", "azure"]

BARCELONA_FEATURES = (
    "down",
    "up",
    "rnti_count",
    "mcs_down",
    "mcs_down_var",
    "mcs_up",
    "mcs_up_var",
    "rb_down",
    "rb_down_var",
    "rb_up",
    "rb_up_var",
)
CLOUD_FILES: dict[CloudTrace, tuple[str, str | None, tuple[str, ...]]] = {
    "alibaba": (
        "alibaba2018_machine_usage_8d_300s.csv",
        None,
        ("cpu_util_percent", "mem_util_percent", "net_in", "net_out", "disk_io_percent"),
    ),
    "google": (
        "google2019_instance_usage_28d_300s.csv",
        None,
        ("avg_cpu", "avg_mem", "avg_assigned_mem", "avg_cycles_per_instruction"),
    ),
    "azure": ("azure_v2_vm_cpu_mem_30d_300s.csv", "timestamp", ("cpu_usage", "assigned_mem")),
}
"""File, column of times and features of each cluster trace."""

SITES_FILE = "eua_site-optus-melbCBD.csv"
PEDESTRIANS_FILE, SENSORS_FILE = "pedestrians_hourly.csv.gz", "sensors.csv"
SPEEDS_FILE, ADJACENCY_FILE = "los_speed.csv", "los_adj.csv"


def read_melbourne_sites(folder: Path | str) -> Sites:
    """Cellular base-station sites in central Melbourne, called site- and their SITE_ID.

    Raises:
        OSError: a file cannot be opened.
        PlacesError: a file has another form.
    """
    return read_sites(Path(folder) / SITES_FILE, name="SITE_ID")


def read_melbourne_pedestrians(folder: Path | str) -> SeriesTable:
    """People who passed each of Melbourne's pedestrian counters, by hour; one feature, `people`; with positions.

    Times are the file's; it has an hour for every hour of the year, also where the clock changed.

    Raises:
        OSError: a file cannot be opened.
        PlacesError: a file has another form.
    """
    counts = read_counts(Path(folder) / PEDESTRIANS_FILE)
    counters = read_counters(Path(folder) / SENSORS_FILE, counts.places)
    return SeriesTable(
        "melbourne_pedestrians",
        counts.hours,
        counts.places,
        ("people",),
        counts.people[..., None],
        3600.0,
        positions=np.stack([counters.lat, counters.lon], axis=1),
    )


def read_barcelona_cell(folder: Path | str, cell: Cell) -> SeriesTable:
    """One LTE cell in Barcelona every two minutes; its test file follows its training file in time (`test_from`).

    Features are those of the control channel: `down` and `up` in bits, `rnti_count` of users, `rb_*` the share of
    resource blocks, `mcs_*` the index of modulation and coding, and variances.

    Raises:
        OSError: a file cannot be opened.
        TableError: a file has another form, or there is no such cell.
    """
    if cell not in get_args(Cell):
        raise TableError(f"there is no cell {cell!r}; cells are {', '.join(get_args(Cell))}")
    parts = [
        series_of_rows(cell, Path(folder) / f"{cell}{part}.csv", BARCELONA_FEATURES, cell, 120.0, "time")
        for part in ("", "_test")
    ]
    times, at, _ = on_grid(folder, np.concatenate([part.times for part in parts]), 120.0, TableError)
    if len(np.unique(at)) < len(at) or (np.diff(at) <= 0).any():
        raise TableError(f"{cell}_test.csv must begin after {cell}.csv ends")
    values = np.full((len(times), 1, len(BARCELONA_FEATURES)), np.nan)
    values[at] = np.concatenate([part.values for part in parts])
    test_from = int(at[len(parts[0].times)])
    return SeriesTable(f"barcelona_lte {cell}", times, (cell,), BARCELONA_FEATURES, values, 120.0, test_from=test_from)


def read_barcelona(folder: Path | str) -> dict[str, SeriesTable]:
    """All three cells, each a table of its own, since their dates differ.

    Raises:
        OSError: a file cannot be opened.
        TableError: a file has another form.
    """
    return {cell: read_barcelona_cell(folder, cell) for cell in get_args(Cell)}


def read_los_loop(folder: Path | str) -> SeriesTable:
    """Speeds in miles per hour at loop detectors on motorways of Los Angeles, every 5 minutes of a week; with edges.

    The file has no times: they are seconds from the first row.

    Raises:
        OSError: a file cannot be opened.
        TableError: a file has another form.
    """
    path = Path(folder) / SPEEDS_FILE
    frame = read_table(path)
    detectors = tuple(frame.columns)
    values = np.stack([numbers(path, frame, name, TableError) for name in detectors], axis=1)
    edges_path = Path(folder) / ADJACENCY_FILE
    edges = read_table(edges_path, header=False)
    adjacency = np.stack(
        [numbers(edges_path, edges, name, TableError, missing=False) for name in edges.columns], axis=1
    )
    if adjacency.shape != (len(detectors), len(detectors)):
        raise TableError(
            f"{edges_path} holds {adjacency.shape[0]} x {adjacency.shape[1]} weights for {len(detectors)} detectors"
        )
    times = np.arange(len(values)) * 300.0
    return SeriesTable("los_loop", times, detectors, ("speed_mph",), values[..., None], 300.0, adjacency=adjacency)


def read_cloud_trace(folder: Path | str, cluster: CloudTrace) -> SeriesTable:
    """Means over the machines of a data centre every 300 s, as one zone; seconds from the first row.

    Raises:
        OSError: a file cannot be opened.
        TableError: a file has another form, or there is no such trace.
    """
    if cluster not in CLOUD_FILES:
        raise TableError(f"there is no trace {cluster!r}; traces are {', '.join(CLOUD_FILES)}")
    file, time, features = CLOUD_FILES[cluster]
    return series_of_rows(f"cloud_traces {cluster}", Path(folder) / file, features, cluster, 300.0, time)
