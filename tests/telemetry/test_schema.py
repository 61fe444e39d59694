"""The table: read as it was written, refused in one sentence where it is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from telemetry import made

from metalore.telemetry import (
    COLUMNS,
    QUANTITIES,
    REQUIRED,
    TelemetryError,
    as_array,
    check_table,
    interval_of,
    read_telemetry,
    zones_of,
)

DOCS = Path(__file__).parents[2] / "docs" / "telemetry.md"


def test_the_designs_columns_come_first() -> None:
    assert COLUMNS[:11] == (
        "time_s", "zone", "active_users", "requests", "movement_rate", "latency_ms", "jitter_ms", "packet_loss",
        "cpu_cores", "memory_mb", "bandwidth_mbps",
    )  # fmt: skip
    assert COLUMNS[:11] == REQUIRED
    assert "activity" not in QUANTITIES


def test_the_docs_say_what_the_schema_says() -> None:
    from metalore.telemetry.schema import schema_rows

    text = DOCS.read_text(encoding="utf-8")
    for name, unit, meaning in schema_rows():
        assert f"| `{name}` | {unit} | {meaning} |" in text


def test_a_file_and_a_folder_of_parts_read_the_same(tmp_path: Path) -> None:
    table = made.table(requests=np.arange(48 * 3))
    table.to_parquet(tmp_path / "one.parquet", index=False)
    folder = tmp_path / "parts"
    folder.mkdir()
    for i, rows in enumerate((slice(0, 30), slice(30, None))):
        table[rows].to_parquet(folder / f"telemetry-{i:05d}.parquet", index=False)
    (folder / ".telemetry-00002-half.parquet").write_bytes(b"half")
    whole = read_telemetry(tmp_path / "one.parquet")
    pd.testing.assert_frame_equal(whole, read_telemetry(folder))
    assert zones_of(whole) == list(made.ZONES)
    assert whole["requests"].tolist() == list(range(48 * 3))
    assert interval_of(whole) == 1800
    few = read_telemetry(folder, ["requests"])
    assert few.columns.tolist() == ["time_s", "zone", "requests"]


def test_rows_are_put_in_order_and_zones_stay_in_theirs(tmp_path: Path) -> None:
    table = made.table().sort_values("time_s", ascending=False, kind="stable")
    read = check_table(table)
    assert read["time_s"].is_monotonic_increasing
    assert read["zone"].tolist()[:3] == list(made.ZONES)


def test_as_an_array_what_is_missing_is_nan() -> None:
    table = check_table(made.table(4, requests=np.arange(12.0)).drop(index=[4, 6, 7, 8]))
    times, zones, values = as_array(table, ["requests", "up"])
    assert times.tolist() == [0, 1800, 3600, 5400]
    assert zones == list(made.ZONES)
    nan = np.nan
    np.testing.assert_array_equal(values[..., 0], [[0, 1, 2], [3, nan, 5], [nan, nan, nan], [9, 10, 11]])
    _, _, some = as_array(table, ["requests"], ["east", "west"])
    np.testing.assert_array_equal(some[..., 0], [[2, 0], [5, 3], [nan, nan], [11, 9]])


def test_one_time_alone_has_no_interval() -> None:
    table = check_table(made.table(1))
    assert interval_of(table) is None
    assert as_array(table, ["requests"])[2].shape == (1, 3, 1)


def with_value(name: str, value: object, row: int = 5) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table[name] = table[name].astype(object) if isinstance(value, str) else table[name].astype(float)
        table.loc[row, name] = value
        return table

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.drop(columns=["jitter_ms", "zone"]), "has no column 'zone', 'jitter_ms'; telemetry has time_s"),
        (lambda t: t.iloc[:0], "has no rows"),
        (lambda t: pd.concat([t, t.iloc[[7]]]), "has zone 'middle' at time_s 3600 twice"),
        (lambda t: t[t["time_s"] != 1800].replace({"time_s": {5400.0: 5401.0}}), "has an irregular interval"),
        (with_value("requests", -1), "has requests -1 in row 5; it cannot be negative"),
        (with_value("packet_loss", 1.5), "has packet_loss 1.5 in row 5; it cannot be above 1"),
        (with_value("memory_mb", np.inf), "has memory_mb inf in row 5; it must be finite"),
        (with_value("time_s", np.nan), "has time_s nan in row 5; it must be finite"),
        (with_value("cpu_cores", "many"), "has a column 'cpu_cores' of type object; it must hold numbers"),
        (lambda t: t.assign(up=True), "has a column 'up' of type bool; it must hold numbers"),
        (lambda t: t.assign(latency_ms=pd.Timestamp(0)), "has a column 'latency_ms' of type datetime64"),
        (lambda t: t.assign(zone=7), "has a column 'zone' of type int64; it must hold text"),
        (lambda t: t.assign(zone=t["zone"].where(t["time_s"] > 0)), "has rows without 'zone'"),
    ],
)
def test_a_wrong_table_is_refused(change: Callable[[pd.DataFrame], pd.DataFrame], sentence: str) -> None:
    with pytest.raises(TelemetryError) as refused:
        check_table(change(made.table()), "t.parquet")
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_numbers_may_be_missing_anywhere() -> None:
    table = check_table(made.table(latency_ms=np.nan, active_users=[np.nan, 1.0, 2.0] * 48))
    assert table["latency_ms"].isna().all()


def test_files_that_hold_no_table(tmp_path: Path) -> None:
    other = tmp_path / "notes.parquet"
    other.write_text("no Parquet")
    with pytest.raises(TelemetryError, match=r"notes\.parquet cannot be read as Parquet"):
        read_telemetry(other)
    with pytest.raises(TelemetryError, match=r"no telemetry at .*missing"):
        read_telemetry(tmp_path / "missing")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(TelemetryError, match="holds no telemetry"):
        read_telemetry(empty)
    made.table().to_parquet(empty / "telemetry-00000.parquet")
    whole = (empty / "telemetry-00000.parquet").read_bytes()
    (empty / "telemetry-00001.parquet").write_bytes(whole[:-9])
    with pytest.raises(TelemetryError, match=r"telemetry-00001\.parquet cannot be read as Parquet"):
        read_telemetry(empty)
    made.table().drop(columns="up").to_parquet(empty / "telemetry-00001.parquet")
    with pytest.raises(TelemetryError, match="has other columns than"):
        read_telemetry(empty)
    with pytest.raises(TelemetryError, match="has no column 'latncy_ms'"):
        read_telemetry(empty, ["latncy_ms"])


def test_arrays_of_what_is_not_there() -> None:
    table = check_table(made.table(activity="game"))
    for columns, zones, sentence in (
        (["latency"], None, "has no column 'latency'"),
        (["up"], ["north"], "has no zone 'north'"),
        (["activity"], None, "'activity' holds"),
    ):
        with pytest.raises(TelemetryError, match=sentence):
            as_array(table, columns, zones)
