"""Real time series: the public sets that MetaLore knows, and any table in the same form."""

from metalore.telemetry._tables import TableError
from metalore.telemetry.datasets.readers import (
    read_barcelona,
    read_barcelona_cell,
    read_cloud_trace,
    read_los_loop,
    read_melbourne_pedestrians,
    read_melbourne_sites,
)
from metalore.telemetry.datasets.registry import DATASETS, DataFile, Dataset, check, dataset, folder_of
from metalore.telemetry.datasets.series import SeriesTable, read_series

__all__ = [
    "DATASETS",
    "DataFile",
    "Dataset",
    "SeriesTable",
    "TableError",
    "check",
    "dataset",
    "folder_of",
    "read_barcelona",
    "read_barcelona_cell",
    "read_cloud_trace",
    "read_los_loop",
    "read_melbourne_pedestrians",
    "read_melbourne_sites",
    "read_series",
]
