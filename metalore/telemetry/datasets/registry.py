"""The public sets: what they are, under which licence, where to get them, and whether a download is what it should be.

Nothing is downloaded here, and no file of theirs comes with the package.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metalore.telemetry._tables import TableError, read_table, shortened
from metalore.telemetry.datasets import readers
from metalore.telemetry.datasets.readers import BARCELONA_FEATURES, CLOUD_FILES


@dataclass(frozen=True)
class DataFile:
    """A file that belongs to a set: its name, its columns (or how many, without a header) and how many rows it has."""

    name: str
    columns: tuple[str, ...] | int
    rows: int
    header: bool = True


@dataclass(frozen=True)
class Dataset:
    """A public set.

    Attributes:
        name: what to call it.
        what: one line.
        shape: rows, zones, features.
        interval: between rows.
        licence: what the publisher says.
        source: repository (owner/name) and path in it.
        folder: where its files lie below the folder of all data, or else in that folder itself.
        files: what must be there.
        read: from the folder of the files.
    """

    name: str
    what: str
    shape: str
    interval: str
    licence: str
    source: str
    folder: str
    files: tuple[DataFile, ...]
    read: Callable[[Path], Any]


_NO_LICENCE = "none in the repository: use locally, do not redistribute"


def _cloud(name: str, cluster: readers.CloudTrace, what: str, shape: str, rows: int, path: str) -> Dataset:
    file, time, features = CLOUD_FILES[cluster]
    return Dataset(
        name=name,
        what=what,
        shape=shape,
        interval="5 min",
        licence="CC BY 4.0",
        source=f"alejandrofdez-us/DataCenter-Traces-Datasets: {path}, saved as {file}",
        folder="cloud_traces",
        files=(DataFile(file, (*([time] if time else []), *features), rows),),
        read=lambda folder: readers.read_cloud_trace(folder, cluster),
    )


DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            name="melbourne_sites",
            what="Cellular base-station sites in central Melbourne",
            shape="125 sites",
            interval="none",
            licence="MIT (data under the terms of ACMA, the Australian regulator)",
            source=f"swinedge/eua-dataset: edge-servers/site-optus-melbCBD.csv, saved as {readers.SITES_FILE}",
            folder="melbourne",
            files=(DataFile(readers.SITES_FILE, ("SITE_ID", "LATITUDE", "LONGITUDE", "NAME"), 125),),
            read=readers.read_melbourne_sites,
        ),
        Dataset(
            name="melbourne_pedestrians",
            what="People counted in the streets of Melbourne, 2021 and 2022",
            shape="16056 hours x 55 counters",
            interval="1 h",
            licence=f"{_NO_LICENCE} (open data of the City of Melbourne)",
            source=(
                "uctb/Urban-Dataset: Public_Datasets/Pedestrian/60_minutes/, a zipped pickle to be written as "
                f"{readers.PEDESTRIANS_FILE} (time and a column per counter) and {readers.SENSORS_FILE} "
                "(sensor, since, lat, lon, name)"
            ),
            folder="melbourne",
            files=(
                DataFile(readers.PEDESTRIANS_FILE, 56, 16056),
                DataFile(readers.SENSORS_FILE, ("sensor", "since", "lat", "lon", "name"), 55),
            ),
            read=readers.read_melbourne_pedestrians,
        ),
        Dataset(
            name="barcelona_lte",
            what="Control channel of three LTE cells in Barcelona, 2018 and 2019, each with dates of its own",
            shape="5241, 8615 and 19909 rows x 11 features",
            interval="2 min",
            licence=_NO_LICENCE,
            source="vperifan/Federated-Time-Series-Forecasting: dataset/",
            folder="barcelona_lte",
            files=tuple(
                DataFile(f"{cell}{part}.csv", ("time", *BARCELONA_FEATURES), rows)
                for cell, lengths in (("ElBorn", (4192, 1049)), ("LesCorts", (6892, 1723)), ("PobleSec", (15927, 3982)))
                for part, rows in zip(("", "_test"), lengths, strict=True)
            ),
            read=readers.read_barcelona,
        ),
        Dataset(
            name="los_loop",
            what="Speeds on motorways of Los Angeles with a graph of detectors; a benchmark of traffic forecasting",
            shape="2016 rows x 207 detectors, 207 x 207 weights",
            interval="5 min",
            licence=_NO_LICENCE,
            source="lehaifeng/T-GCN: data/",
            folder="los_loop",
            files=(
                DataFile(readers.SPEEDS_FILE, 207, 2016),
                DataFile(readers.ADJACENCY_FILE, 207, 207, header=False),
            ),
            read=readers.read_los_loop,
        ),
        _cloud(
            "alibaba_2018",
            "alibaba",
            "Means over the machines of an Alibaba cluster, 8 days",
            "2243 rows x 5 features",
            2243,
            "alibaba2018/, days 1 to 8 grouped by 300 seconds",
        ),
        _cloud(
            "google_2019",
            "google",
            "Means over the instances of a Google cluster, 28 days",
            "8064 rows x 4 features",
            8064,
            "google2019/instance_usage_grouped_300_seconds_month.csv",
        ),
        _cloud(
            "azure_v2",
            "azure",
            "Sums over virtual machines of Azure, 30 days",
            "8640 rows x 2 features",
            8640,
            "azure_v2/vm_cpu_readings_month_aggregated_cpu_mem.csv",
        ),
    )
}
"""Public sets by name."""


def dataset(name: str) -> Dataset:
    """A public set by its name.

    Raises:
        TableError: there is none of this name.
    """
    if name not in DATASETS:
        raise TableError(f"there is no data set {name!r}; sets are {', '.join(DATASETS)}")
    return DATASETS[name]


def folder_of(wanted: Dataset, data: Path | str) -> Path:
    """Where a set's files lie: in its own folder below `data`, or in `data` itself."""
    own = Path(data) / wanted.folder
    return own if own.is_dir() else Path(data)


def check(wanted: Dataset | str, data: Path | str) -> list[str]:
    """What is wrong with a downloaded set, one sentence each; nothing if it can be used.

    Args:
        wanted: the set or its name.
        data: folder with the set's files, or with a folder of them.
    """
    if isinstance(wanted, str):
        wanted = dataset(wanted)
    if not Path(data).is_dir():
        return [f"{data} is no folder"]
    folder = folder_of(wanted, data)
    findings = [sentence for file in wanted.files for sentence in _check_file(folder, file)]
    if not findings:
        try:
            wanted.read(folder)
        except (TableError, OSError) as error:
            findings.append(_sentence(error))
    return findings


def _check_file(folder: Path, file: DataFile) -> list[str]:
    path = folder / file.name
    if not path.is_file():
        return [f"{path} is missing"]
    try:
        frame = read_table(path, header=file.header)
    except (TableError, OSError) as error:
        return [_sentence(error)]
    columns = list(frame.columns)
    findings = []
    if isinstance(file.columns, int):
        if len(columns) != file.columns:
            findings.append(f"{path} has {len(columns)} columns, not {file.columns}")
    elif missing := [name for name in file.columns if name not in columns]:
        findings.append(f"{path} has no column {' and no '.join(missing)}; its columns are {shortened(columns)}")
    if len(frame) != file.rows:
        findings.append(f"{path} has {len(frame)} rows, not {file.rows}")
    return findings


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return str(error)
