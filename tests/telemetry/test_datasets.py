"""Readers and checks of public sets: on tables written here, and against known results on the real ones."""

from __future__ import annotations

import dataclasses
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from telemetry.real_data import REAL_DATA, needs_real_data

from metalore.telemetry.datasets import (
    DATASETS,
    DataFile,
    SeriesTable,
    TableError,
    check,
    dataset,
    folder_of,
    read_barcelona,
    read_barcelona_cell,
    read_cloud_trace,
    read_los_loop,
    read_melbourne_pedestrians,
    read_melbourne_sites,
    read_series,
)
from metalore.telemetry.datasets.readers import BARCELONA_FEATURES

NAN = np.nan

# Any table

LONG = """time,zone,users,load,note
2024-01-01T00:00:00,b,1,0.5,x
2024-01-01T00:00:00,a,2,,y
2024-01-01T00:05:00,a,3,0.7,z
2024-01-01T00:15:00,b,4,0.8,
2024-01-01T00:20:00,a,5,0.9,
"""


def test_long_tables_become_regular_series_with_gaps(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text(LONG)
    table = read_series(path)
    assert (table.zones, table.features, table.interval_s) == (("a", "b"), ("users", "load"), 300.0)
    assert table.times[[0, -1]].astype(str).tolist() == ["2024-01-01T00:00:00", "2024-01-01T00:20:00"]
    np.testing.assert_array_equal(table.feature("users"), [[2, 1], [3, NAN], [NAN, NAN], [NAN, 4], [5, NAN]])
    np.testing.assert_array_equal(table.feature("load")[:2], [[NAN, 0.5], [0.7, NAN]])
    assert table.mask.sum() == 9
    with pytest.raises(TableError, match=r"has no feature 'cpu'; it has users, load"):
        table.feature("cpu")


def test_parquet_and_csv_read_the_same(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {"time_s": [60.0, 0.0, 120.0], "zone": ["a", "a", "b"], "users": [1, 2, 3], "load": [0.5, NAN, 1.5]}
    )
    rows.to_parquet(tmp_path / "table.parquet")
    rows.to_csv(tmp_path / "table.csv", index=False)
    tables = [read_series(tmp_path / name) for name in ("table.parquet", "table.csv")]
    for table in tables:
        assert table.times.tolist() == [0.0, 60.0, 120.0]
        np.testing.assert_array_equal(table.feature("users"), [[2, NAN], [1, NAN], [NAN, 3]])
    np.testing.assert_array_equal(tables[0].values, tables[1].values)
    stamped = rows.assign(time=pd.to_datetime(rows.pop("time_s"), unit="s"))
    stamped.to_parquet(tmp_path / "stamped.parquet")
    assert read_series(tmp_path / "stamped.parquet").times[0] == np.datetime64("1970-01-01T00:00:00")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("zone", "where"), "has no column zone or zone_id"),
        (("time,", "moment,"), "has no column time or timestamp"),
        (("00:15:00", "00:14:00"), "the time 2024-01-01T00:14:00 is no multiple of 300 s after the first"),
        ((",b,4", ",,4"), "row 5: zone is nothing, not a zone's name"),
        (("a,5", "a,five"), "row 6: users is 'five', not a number"),
        (("2024-01-01T00:20", "2924-01-01T00:20"), "and rows for 4 of them; is one of these times wrong?"),
        (("00:05:00,a", "00:00:00,a"), "row 4: the zone 'a' has a second row for 2024-01-01T00:00:00"),
        (("2024-01-01T00:05:00", "soon"), "row 4: time is 'soon', not a time like"),
    ],
)
def test_tables_of_another_form_are_refused_in_one_sentence(change: tuple[str, str], said: str, tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_text(LONG.replace(*change))
    with pytest.raises(TableError) as refused:
        read_series(path, interval_s=300)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_other_refusals(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("time,zone,note\n0,a,x\n60,a,y\n")
    with pytest.raises(TableError, match="a column of numbers beside time and zone"):
        read_series(path)
    path.write_text("time,zone,users\n0,a,1\n0,b,1\n")
    with pytest.raises(TableError, match="rows for 1 time only"):
        read_series(path)
    assert read_series(path, interval_s=60).values.shape == (1, 2, 1)
    (tmp_path / "table.parquet").write_bytes(b"no parquet")
    with pytest.raises(TableError, match="is no Parquet file"):
        read_series(tmp_path / "table.parquet")
    with pytest.raises(FileNotFoundError):
        read_series(tmp_path / "missing.parquet")
    with pytest.raises(TableError, match=r"x: values have the shape \(2, 1, 2\), not \(2, 1, 1\)"):
        SeriesTable("x", np.arange(2.0), ("a",), ("f",), np.zeros((2, 1, 2)), 1.0)


# The public sets, in small


def write_melbourne(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    with gzip.open(folder / "pedestrians_hourly.csv.gz", "wt") as file:
        file.write("time,1,5\n2021-01-01T00:00:00,7,\n2021-01-01T02:00:00,9,3\n")
    (folder / "sensors.csv").write_text(
        "sensor,since,lat,lon,name\n5,2009-01-01,-37.82,144.97,E\n1,2009-01-01,-37.81,144.96,A\n"
    )
    (folder / "eua_site-optus-melbCBD.csv").write_text(
        "SITE_ID,LATITUDE,LONGITUDE,NAME,STATE\r\n12,-37.81,144.96,Corner of A and B,VIC\r\n"
        "13,-37.82,144.97,Corner of A and B,VIC\r\n"
    )
    return folder


def write_cell(folder: Path, cell: str, part: str, start: str, values: list[str]) -> None:
    times = pd.date_range(start, periods=len(values), freq="2min").strftime("%Y-%m-%d %H:%M:%S")
    others = ",".join(["1"] * (len(BARCELONA_FEATURES) - 1))
    rows = [f"{time},{value},{others}" for time, value in zip(times, values, strict=True)]
    header = ",".join(("time", *BARCELONA_FEATURES))
    (folder / f"{cell}{part}.csv").write_text("\n".join([header, *rows]) + "\n")


def write_los_loop(folder: Path) -> Path:
    (folder / "los_speed.csv").write_text("773869,767541\n60,61.5\n,62\n58,63\n")
    (folder / "los_adj.csv").write_text("1,0.25\n0.5,1\n")
    return folder


def small(name: str, *files: DataFile) -> object:
    return dataclasses.replace(dataset(name), files=files)


def test_melbourne(tmp_path: Path) -> None:
    folder = write_melbourne(tmp_path / "melbourne")
    table = read_melbourne_pedestrians(folder)
    assert (table.zones, table.features, table.interval_s) == (("1", "5"), ("people",), 3600.0)
    np.testing.assert_array_equal(table.feature("people"), [[7, NAN], [NAN, NAN], [9, 3]])
    assert table.positions is not None
    assert table.positions.tolist() == [[-37.81, 144.96], [-37.82, 144.97]]
    assert read_melbourne_sites(folder).names == ("site-12", "site-13")


def test_each_cell_of_barcelona_is_a_table_with_its_test_part_behind(tmp_path: Path) -> None:
    for i, cell in enumerate(("ElBorn", "LesCorts", "PobleSec")):
        write_cell(tmp_path, cell, "", f"2018-0{i + 1}-01 10:00:00", ["1", "", "3"])
        write_cell(tmp_path, cell, "_test", f"2018-0{i + 1}-01 10:08:00", ["5", "6"])
    tables = read_barcelona(tmp_path)
    assert [table.times[0].astype(str) for table in tables.values()] == [f"2018-0{m}-01T10:00:00" for m in (1, 2, 3)]
    table = tables["LesCorts"]
    np.testing.assert_array_equal(table.feature("down")[:, 0], [1, NAN, 3, NAN, 5, 6])
    np.testing.assert_array_equal(table.feature("rb_up")[:, 0], [1, 1, 1, NAN, 1, 1])  # no row at 10:06
    assert (table.test_from, table.interval_s, table.zones) == (4, 120.0, ("LesCorts",))
    write_cell(tmp_path, "ElBorn", "_test", "2018-01-01 10:02:00", ["5", "6"])
    with pytest.raises(TableError, match=r"ElBorn_test\.csv must begin after ElBorn\.csv ends"):
        read_barcelona(tmp_path)
    with pytest.raises(TableError, match="there is no cell 'Sants'"):
        read_barcelona_cell(tmp_path, "Sants")  # type: ignore[arg-type]  # what is tested


def test_los_loop(tmp_path: Path) -> None:
    table = read_los_loop(write_los_loop(tmp_path))
    assert (table.zones, table.times.tolist()) == (("773869", "767541"), [0, 300, 600])
    np.testing.assert_array_equal(table.values[..., 0], [[60, 61.5], [NAN, 62], [58, 63]])
    assert table.adjacency is not None
    assert table.adjacency.tolist() == [[1, 0.25], [0.5, 1]]
    (tmp_path / "los_adj.csv").write_text("1,0,0\n0,1,0\n0,0,1\n")
    with pytest.raises(TableError, match="holds 3 x 3 weights for 2 detectors"):
        read_los_loop(tmp_path)
    (tmp_path / "los_adj.csv").write_text("1,0\n?,1\n")
    with pytest.raises(TableError, match=r"row 2: 0 is '\?', not a number"):
        read_los_loop(tmp_path)


def test_cluster_traces(tmp_path: Path) -> None:
    azure = tmp_path / "azure_v2_vm_cpu_mem_30d_300s.csv"
    azure.write_text("timestamp,cpu_usage,assigned_mem\n0,1,10\n300,2,20\n900,4,40\n")
    table = read_cloud_trace(tmp_path, "azure")
    np.testing.assert_array_equal(table.feature("cpu_usage")[:, 0], [1, 2, NAN, 4])
    assert table.times.tolist() == [0, 300, 600, 900]
    azure.write_text("timestamp,cpu_usage,assigned_mem\n0,1,10\n301,2,20\n")
    with pytest.raises(TableError, match=r"301\.0 is no multiple of 300 s"):
        read_cloud_trace(tmp_path, "azure")
    azure.write_text("timestamp,cpu_usage,assigned_mem\n0,1,10\n0,2,20\n")
    with pytest.raises(TableError, match="two rows for one time"):
        read_cloud_trace(tmp_path, "azure")
    alibaba = tmp_path / "alibaba2018_machine_usage_8d_300s.csv"
    alibaba.write_text("cpu_util_percent,mem_util_percent,net_in,net_out,disk_io_percent\n1,2,3,4,5\n6,7,8,9,10\n")
    table = read_cloud_trace(tmp_path, "alibaba")
    assert table.values[:, 0].tolist() == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]
    assert table.times.tolist() == [0, 300]
    with pytest.raises(TableError, match="there is no trace 'meta'"):
        read_cloud_trace(tmp_path, "meta")  # type: ignore[arg-type]  # what is tested


# The registry and its checks


def test_every_set_says_what_a_person_needs() -> None:
    assert set(DATASETS) == {
        "melbourne_sites",
        "melbourne_pedestrians",
        "barcelona_lte",
        "los_loop",
        "alibaba_2018",
        "google_2019",
        "azure_v2",
    }
    for name, known in DATASETS.items():
        assert known.name == name
        assert all((known.what, known.shape, known.interval, known.licence, known.files))
        owner_and_path = known.source.partition(": ")
        assert owner_and_path[0].count("/") == 1
        assert "://" not in known.source
    with pytest.raises(TableError, match="there is no data set 'milan'; sets are melbourne_sites"):
        dataset("milan")


def test_a_check_finds_nothing_in_a_good_set_wherever_it_lies(tmp_path: Path) -> None:
    loop = small("los_loop", DataFile("los_speed.csv", 2, 3), DataFile("los_adj.csv", 2, 2, header=False))
    for folder in (tmp_path / "flat", tmp_path / "below" / "los_loop"):
        folder.mkdir(parents=True)
        write_los_loop(folder)
    assert check(loop, tmp_path / "flat") == []  # type: ignore[arg-type]
    assert check(loop, tmp_path / "below") == []  # type: ignore[arg-type]


def test_a_check_says_what_is_wrong(tmp_path: Path) -> None:
    azure = dataset("azure_v2")
    name = azure.files[0].name
    three = dataclasses.replace(azure, files=(DataFile(name, azure.files[0].columns, 3),))
    path = tmp_path / name
    good = "timestamp,cpu_usage,assigned_mem\n0,1,10\n300,2,20\n600,4,40\n"
    assert check(three, tmp_path / "nowhere") == [f"{tmp_path / 'nowhere'} is no folder"]
    assert check(three, tmp_path) == [f"{path} is missing"]
    path.write_text(good)
    assert check(three, tmp_path) == []
    assert check(azure, tmp_path) == [f"{path} has 3 rows, not 8640"]
    path.write_text(good.replace("assigned_mem", "memory"))
    assert check(three, tmp_path) == [
        f"{path} has no column assigned_mem; its columns are timestamp, cpu_usage, memory"
    ]
    path.write_text(good.replace("20", "much"))
    assert check(three, tmp_path) == [f"{path}, row 3: assigned_mem is 'much', not a number"]
    path.write_bytes(b"\x80\x81\x82")
    (finding,) = check(three, tmp_path)
    assert "is not a table" in finding
    path.write_text("")
    assert check(three, tmp_path) == [f"{path} is empty"]


def test_a_check_counts_columns_and_reads_compressed_files(tmp_path: Path) -> None:
    folder = write_melbourne(tmp_path / "melbourne")
    people, sensors = "pedestrians_hourly.csv.gz", "sensors.csv"
    columns = dataset("melbourne_pedestrians").files[1].columns
    good = small("melbourne_pedestrians", DataFile(people, 3, 2), DataFile(sensors, columns, 2))
    assert check(good, tmp_path) == []  # type: ignore[arg-type]
    wide = small("melbourne_pedestrians", DataFile(people, 4, 2), DataFile(sensors, columns, 3))
    assert check(wide, tmp_path) == [  # type: ignore[arg-type]
        f"{folder / people} has 3 columns, not 4",
        f"{folder / sensors} has 2 rows, not 3",
    ]
    (folder / people).write_bytes((folder / people).read_bytes()[:30])  # a download that broke off
    (finding,) = check(good, tmp_path)  # type: ignore[arg-type]
    assert str(folder / people) in finding


# Known results on the real files prove that the readers read them right


def errors_of_last_value(values: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """What happened from row `first` on [n], and what the row before said [n], where both were measured."""
    now, before = values[first:], values[first - 1 : -1]
    both = ~np.isnan(now) & ~np.isnan(before)
    return now[both], before[both]


@needs_real_data
@pytest.mark.parametrize("name", DATASETS)
def test_the_real_files_are_complete(name: str) -> None:
    assert check(name, REAL_DATA) == []


@needs_real_data
def test_last_value_on_melbourne() -> None:
    values = read_melbourne_pedestrians(folder_of(dataset("melbourne_pedestrians"), REAL_DATA)).feature("people")
    assert values.shape == (16056, 55)
    assert np.isnan(values).mean() == pytest.approx(0.014, abs=5e-4)
    now, before = errors_of_last_value(values, int(0.8 * len(values)))
    assert np.abs(now - before).mean() == pytest.approx(103.9, abs=0.05)
    assert np.sqrt(((now - before) ** 2).mean()) == pytest.approx(209.6, abs=0.05)
    assert np.abs(now - before).sum() / now.sum() == pytest.approx(0.280, abs=5e-4)
    # The published figures of "same hour last week" and "mean of four past weeks" count a gap in the past as nobody.
    test = int(0.8 * len(values))
    past = np.nan_to_num(np.stack([values[test - 168 * k : len(values) - 168 * k] for k in (1, 2, 3, 4)]))
    there = ~np.isnan(values[test:])
    assert np.abs(values[test:] - past[0])[there].mean() == pytest.approx(81.8, abs=0.05)
    assert np.abs(values[test:] - past.mean(axis=0))[there].mean() == pytest.approx(76.1, abs=0.05)


@needs_real_data
@pytest.mark.parametrize(("cell", "known"), [("ElBorn", 0.8759), ("LesCorts", 0.2681), ("PobleSec", 0.8321)])
def test_last_value_on_barcelona(cell: str, known: float) -> None:
    table = read_barcelona(folder_of(dataset("barcelona_lte"), REAL_DATA))[cell]
    assert table.test_from is not None
    of_each = []
    for feature in ("rnti_count", "rb_down", "rb_up", "down", "up"):
        now, before = errors_of_last_value(table.feature(feature)[:, 0], table.test_from + 10)
        of_each.append(np.sqrt(((now - before) ** 2).mean()) / now.mean())
    assert np.mean(of_each) == pytest.approx(known, abs=5e-5)


@needs_real_data
@pytest.mark.parametrize(
    ("steps", "rmse", "mae"), [(3, 5.54, 3.16), (6, 6.70, 3.63), (9, 7.63, 4.04), (12, 8.46, 4.43)]
)
def test_last_value_on_los_loop(steps: int, rmse: float, mae: float) -> None:
    speeds = read_los_loop(folder_of(dataset("los_loop"), REAL_DATA)).values[..., 0]
    test = speeds[int(0.8 * len(speeds)) :]
    windows = range(len(test) - 12 - steps)
    errors = np.stack([test[i + 12 : i + 12 + steps] - test[i + 11] for i in windows])
    assert np.sqrt((errors**2).mean()) == pytest.approx(rmse, abs=5e-3)
    assert np.abs(errors).mean() == pytest.approx(mae, abs=5e-3)


@needs_real_data
def test_counters_and_sites_of_melbourne_cover_the_same_streets() -> None:
    from metalore.telemetry.places import distance_m

    folder = folder_of(dataset("melbourne_sites"), REAL_DATA)
    sites, counted = read_melbourne_sites(folder), read_melbourne_pedestrians(folder)
    assert len(sites) == 125
    assert counted.positions is not None
    apart = distance_m(counted.positions[:, :1], counted.positions[:, 1:], sites.lat, sites.lon).min(axis=1)
    assert np.median(apart) == pytest.approx(125, abs=1)
