"""Recording: the table is what the world counted, and an interruption changes nothing."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from metalore.scenario import Scenario, ScenarioError, load
from metalore.telemetry import Recording, TelemetryError, read_telemetry, record
from metalore.telemetry import recording as recording_module
from metalore.telemetry.recording import CARD, CHECKPOINT, HANDOVERS, MOST_ROWS, Crossings, quantities_of
from metalore.telemetry.schema import PARTS
from metalore.world import METRICS, World, WorldError, totals_of

DURATION_S, INTERVAL_S, PART_S, SEED = 240.0, 20.0, 60.0, 3
FACTS = {"duration_s": DURATION_S, "interval_s": INTERVAL_S, "part_s": PART_S, "seed": SEED}


def lively() -> Scenario:
    """Four cells with everything that can happen to a job: handovers, losses, failures, people who come and go."""
    return load(
        "four-cells",
        **{
            "step_s": 0.5,
            "users.mobility": {"kind": "random-waypoint", "speed_min_m_s": 5, "speed_max_m_s": 20},
            "users.presence": {"kind": "churn", "mean_stay_steps": 50, "mean_absence_steps": 5},
            "buffers": {"device_jobs": 6, "station_jobs": 12},
            "failures": {"mean_between_s": 60, "mean_repair_s": 6},
            "radio.handover": {"margin_db": 1, "time_to_trigger_steps": 1},
        },
    )


def by_step(world: World) -> np.ndarray:
    """A policy that gives other shares in every step."""
    shares = np.empty((1, world.num_stations, 2))
    shares[...] = 0.3 + 0.4 * (world.t[0] % 7) / 7
    return shares


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return record(lively(), tmp_path_factory.mktemp("recording") / "new" / "run", by_step, **FACTS)


def world_of(steps: int) -> World:
    """The same world, run without a recorder."""
    world = World(lively().updated(max_steps=steps))
    world.reset(SEED)
    for _step in range(steps):
        world.step(by_step(world))
    return world


# -- the table is what the world did -----------------------------------------------------------------------------------


def test_sums_over_intervals_and_zones_are_the_worlds_totals(recording: Recording) -> None:
    table, world = recording.table(), world_of(480)
    total = {name: float(totals_of(world.episode_totals, name)[0]) for name in METRICS}
    assert table["requests"].sum() == total["requests_generated"]
    assert table["completed"].sum() == total["requests_completed"]
    minutes = INTERVAL_S / 60
    assert (table["movement_rate"] * table["active_users"] * minutes).sum() == pytest.approx(total["handovers"])
    for column, amount, scale in (
        ("bandwidth_mbps", total["request_mbit_sent"] + total["update_mbit_sent"], INTERVAL_S),
        ("cpu_cores", total["request_gcycle_processed"] + total["update_gcycle_processed"], INTERVAL_S * 3),
        ("active_users", total["attached_users"], 40),
        ("memory_mb", total["resident_mb"], 40),
        ("up", total["up"], 40),
    ):
        assert table[column].sum() * scale == pytest.approx(amount, rel=1e-12), column
    weighted = (table["latency_ms"] * table["completed"]).sum()
    assert weighted == pytest.approx(500 * total["request_latency"], rel=1e-12)
    squares = ((table["latency_ms"] ** 2 + table["jitter_ms"] ** 2) * table["completed"]).sum()
    assert squares == pytest.approx(500**2 * total["request_latency_squared"], rel=1e-9)
    done = table[table["completed"] > 0]
    assert (done["aori_s"] < done["latency_ms"] / 1000).all()
    assert table.loc[table["completed"] == 0, "latency_ms"].isna().all()


def test_losses_are_parts_of_what_ended(recording: Recording) -> None:
    table, world = recording.table(), World(lively().updated(max_steps=480))
    world.reset(SEED)
    counted = np.zeros((12, 4, len(METRICS)))
    for t in range(480):
        world.step(by_step(world))
        counted[t // 40] += world.station_totals[0]
    lost = sum(totals_of(counted, f"{kind}s_lost") for kind in ("request", "update"))
    ended = lost + sum(totals_of(counted, f"{kind}s_completed") for kind in ("request", "update"))
    assert np.quantile(lost, 0.3) > 0
    np.testing.assert_allclose(table["packet_loss"], (lost / ended).reshape(-1))


def test_pairs_of_zones_are_the_handovers_that_the_world_counts(recording: Recording) -> None:
    pairs, world = recording.handovers(), World(lively().updated(max_steps=480))
    world.reset(SEED)
    into, crossings = np.zeros(4), Crossings(world)
    for _step in range(480):
        world.step(by_step(world))
        crossings.observe()
        into += totals_of(world.station_totals[0], "handovers")
    assert pairs.sum() > 50
    np.testing.assert_array_equal(pairs.sum(axis=0), into)
    np.testing.assert_array_equal(pairs, crossings.counts)
    assert np.trace(pairs) == 0


def test_known_answers() -> None:
    totals = np.zeros((2, len(METRICS)))
    facts = {
        "attached_users": 40.0, "requests_generated": 7.0, "handovers": 6.0, "requests_completed": 4.0,
        "updates_completed": 5.0, "request_latency": 10.0, "request_latency_squared": 29.0, "requests_lost": 1.0,
        "updates_lost": 2.0, "request_gcycle_processed": 50.0, "update_gcycle_processed": 10.0, "resident_mb": 1000.0,
        "request_mbit_sent": 30.0, "update_mbit_sent": 50.0, "up": 5.0, "request_device_wait": 1.0,
        "request_transmission": 2.0, "request_server_wait": 3.0, "request_processing": 2.0, "aosi": 9.0,
        "requests_synchronized": 3.0,
    }  # fmt: skip
    for name, value in facts.items():
        totals[0, METRICS.index(name)] = value
    columns = quantities_of(totals, steps=10, step_s=2.0, core_ghz=3.0)
    expected = {
        "active_users": 4.0, "requests": 7, "movement_rate": 6 / 4 * 3, "latency_ms": 2000 * 2.5,
        "jitter_ms": 2000 * 1.0, "packet_loss": 3 / 12, "cpu_cores": 1.0, "memory_mb": 100.0, "bandwidth_mbps": 4.0,
        "up": 0.5, "completed": 4, "aori_s": 4.0, "aosi_s": 6.0,
    }  # fmt: skip
    assert {name: values[0] for name, values in columns.items()} == pytest.approx(expected)
    nothing = {name: values[1] for name, values in columns.items()}
    missing = {name for name, value in nothing.items() if np.isnan(value)}
    assert missing == {"latency_ms", "jitter_ms", "aori_s", "aosi_s"}
    assert all(value == 0 for name, value in nothing.items() if name not in missing)


def test_what_lies_in_the_folder(recording: Recording) -> None:
    names = {file.name for file in recording.folder.iterdir()}
    assert names == {f"telemetry-{i:05d}.parquet" for i in range(4)} | {CARD, HANDOVERS, "graph.json"}
    assert recording.finished
    assert recording.rows == len(recording.table()) == 12 * 4
    assert recording.nbytes > 0
    assert recording.scenario == lively().updated(max_steps=480)
    assert recording.card["policy"] == "by_step"
    assert recording.card["seed"] == SEED
    assert recording.card["columns"]["latency_ms"]["unit"] == "ms"
    assert recording.graph().zones == tuple(recording.card["zones"]) == ("zone-000", "zone-001", "zone-002", "zone-003")
    part = pq.read_table(recording.folder / "telemetry-00001.parquet")
    assert part.column("time_s").to_pylist()[::4] == [60, 80, 100]
    assert part.schema.field("time_s").type == "double"


def test_a_zone_that_completes_nothing_has_no_latency(tmp_path: Path) -> None:
    scenario = load("four-cells", users__requests__probability=0)
    table = record(scenario, tmp_path, duration_s=20, interval_s=10).table()
    assert table["latency_ms"].isna().all()
    assert table["aosi_s"].isna().all()
    assert (table["requests"] == 0).all()
    assert (table["packet_loss"] == 0).all()
    part = pq.read_table(next(tmp_path.glob(PARTS)))
    assert part.column("latency_ms").null_count == len(part)  # not NaN


def test_activities_and_outages_are_in_the_table(tmp_path: Path) -> None:
    activities = [{"name": name, "mean_s": 30, "variation": 0} for name in ("game", "rest")]
    kinds = [{"name": "mixed", "activities": {"game": 1, "rest": 1}}]
    scenario = load("four-cells", city={"interval_s": 10, "kinds": kinds, "activities": activities})
    scenario = scenario.updated(**{"stations.1.outages_s": [(20, 50)], "stations.2.compute_gcycle_s": 30})
    table = record(scenario, tmp_path, duration_s=120, interval_s=10).table()
    down = (table["zone"] == "zone-001") & table["time_s"].between(20, 40)
    assert (table["up"] == np.where(down, 0.0, 1.0)).all()
    assert (table.loc[down, "active_users"] == 0).all()
    assert (table.loc[~down, "active_users"] > 0).all()
    for _zone, part in table.groupby("zone", observed=True):
        going_on = part["activity"].tolist()
        assert set(going_on) == {"game", "rest"}
        changes = [i for i in range(1, 12) if going_on[i] != going_on[i - 1]]
        assert changes == [3, 6, 9]  # they last 30 s, and never come twice on end
    assert sorted(table["cpu_capacity_cores"].unique()) == pytest.approx([10, 100 / 3])
    assert (table["bandwidth_capacity_mhz"] == 100).all()


def test_a_worlds_own_functions_are_recorded(tmp_path: Path) -> None:
    def deaf(
        distance_m: float, carrier_mhz: float, station_height_m: float, device_height_m: float, luck: float
    ) -> float:
        return 400.0

    world = World("four-cells", channel=deaf)
    recording = record(world, tmp_path, duration_s=20, interval_s=10)
    assert recording.table()["active_users"].max() == 0
    assert recording.card["functions"] == {"channel": deaf.__qualname__}


# -- going on ----------------------------------------------------------------------------------------------------------


class PowerError(Exception):
    """It goes off."""


def stopping_after(steps: int) -> Callable[[World], np.ndarray]:
    def policy(world: World) -> np.ndarray:
        if world.t[0] == steps:
            raise PowerError
        return by_step(world)

    policy.__qualname__ = "by_step"
    return policy


@pytest.mark.parametrize("steps", [0, 60, 120, 300, 479])
def test_going_on_gives_the_same_values(recording: Recording, tmp_path: Path, steps: int) -> None:
    with pytest.raises(PowerError):
        record(lively(), tmp_path, stopping_after(steps), **FACTS)
    before = Recording.load(tmp_path)
    assert not before.finished
    assert before.rows == steps // 120 * 12
    if before.rows:
        pd.testing.assert_frame_equal(before.table(), recording.table().iloc[: before.rows])
    seen: list[tuple[int, int]] = []
    again = record(lively(), tmp_path, by_step, resume=True, progress=lambda *at: seen.append(at), **FACTS)
    assert_same(again, recording)
    assert seen[0] == (steps // 120 * 120, 480)
    assert seen[-1] == (480, 480)


def assert_same(one: Recording, other: Recording) -> None:
    assert {file.name for file in one.folder.iterdir()} == {file.name for file in other.folder.iterdir()}
    for file in other.folder.glob(PARTS):
        assert (one.folder / file.name).read_bytes() == file.read_bytes()
    np.testing.assert_array_equal(one.handovers(), other.handovers())
    assert one.card == other.card


def test_interrupted_twice_and_between_a_part_and_its_checkpoint(recording: Recording, tmp_path: Path) -> None:
    with pytest.raises(PowerError):
        record(lively(), tmp_path, stopping_after(200), **FACTS)
    kept = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(PowerError):
        record(lively(), tmp_path, stopping_after(300), resume=True, **FACTS)
    (tmp_path / CHECKPOINT).write_bytes(kept)  # as if the second part were there and its checkpoint not
    (tmp_path / ".telemetry-00002-x.parquet").write_bytes(b"half")
    assert len(read_telemetry(tmp_path)) == 24
    assert_same(record(lively(), tmp_path, by_step, resume=True, **FACTS), recording)


def test_a_checkpoint_that_is_gone_means_from_the_beginning(recording: Recording, tmp_path: Path) -> None:
    with pytest.raises(PowerError):
        record(lively(), tmp_path, stopping_after(300), **FACTS)
    (tmp_path / CHECKPOINT).unlink()
    assert_same(record(lively(), tmp_path, by_step, resume=True, **FACTS), recording)


def test_resume_begins_what_is_not_there_and_leaves_what_is_finished(recording: Recording, tmp_path: Path) -> None:
    assert_same(record(lively(), tmp_path, by_step, resume=True, **FACTS), recording)
    times = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    assert_same(record(lively(), tmp_path, by_step, resume=True, **FACTS), recording)
    assert times == {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("failing", ["telemetry-00002.parquet", HANDOVERS, CHECKPOINT, CARD])
def test_a_disk_that_fills_loses_nothing(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, error: BaseException
) -> None:
    import pathlib

    real, moves = pathlib.Path.replace, {"count": 0}

    def replace(self: Path, target: Any) -> Path:
        """Fails when the third of such files, or the third part, is to be moved to its place."""
        if Path(target).name == failing:
            moves["count"] += 1
            if moves["count"] == (1 if failing.endswith("parquet") else 3):
                raise error
        return real(self, target)

    monkeypatch.setattr(pathlib.Path, "replace", replace)
    with pytest.raises(type(error)) as failed:
        record(lively(), tmp_path, by_step, **FACTS)
    if isinstance(error, OSError):
        assert failed.value.errno == errno.ENOSPC  # type: ignore[attr-defined]
        assert Path(failed.value.filename).name == failing  # type: ignore[attr-defined]
        assert "cannot be written (No space left on device); 120 s are recorded, can be read" in str(
            failed.value
        ) or "60 s are recorded" in str(failed.value)
    monkeypatch.undo()
    assert not list(tmp_path.glob(".*"))
    kept = read_telemetry(tmp_path)
    assert len(kept) >= 12
    pd.testing.assert_frame_equal(kept, recording.table().iloc[: len(kept)])
    assert_same(record(lively(), tmp_path, by_step, resume=True, **FACTS), recording)


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"interval_s": 20.3}, "the interval of 20.3 s is no multiple of the step_s of 0.5 s"),
        ({"interval_s": 0.2}, "the interval of 0.2 s is no multiple of the step_s"),
        ({"duration_s": 250}, "the duration of 250 s is no multiple of the interval of 20 s"),
        ({"duration_s": 0}, "the duration is 0 s; it must be positive"),
        ({"duration_s": float("nan")}, "the duration is nan s; it must be positive"),
        ({"interval_s": -1}, "the interval is -1 s; it must be positive"),
        ({"part_s": 0}, "the part is 0 s; it must be positive"),
    ],
)
def test_times_that_cannot_be(tmp_path: Path, changes: dict[str, float], sentence: str) -> None:
    with pytest.raises(TelemetryError) as refused:
        record(lively(), tmp_path / "new", by_step, **FACTS | changes)
    assert sentence in str(refused.value)
    assert not (tmp_path / "new").exists()


def test_nothing_is_left_by_a_wrong_scenario_or_seed(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="unknown scenario"):
        record("four-sells", tmp_path / "new", **FACTS)
    with pytest.raises(WorldError, match="seeds are whole numbers"):
        record(lively(), tmp_path / "new", **FACTS | {"seed": -1})
    assert not (tmp_path / "new").exists()


def test_a_folder_with_another_recording(recording: Recording, tmp_path: Path) -> None:
    before = {file.name: file.read_bytes() for file in recording.folder.iterdir()}
    with pytest.raises(TelemetryError, match="holds a recording already; go on with it"):
        record(lively(), recording.folder, by_step, **FACTS)
    for changes, sentence in (
        ({"seed": 4}, r"another seed \(3 there, 4 here\)"),
        ({"interval_s": 10}, r"another interval_s \(20.0 there, 10.0 here\)"),
        ({"duration_s": 300}, "another scenario"),
        ({"part_s": 120}, "another part_intervals"),
    ):
        with pytest.raises(TelemetryError, match=sentence):
            record(lively(), recording.folder, by_step, resume=True, **FACTS | changes)
    with pytest.raises(TelemetryError, match=r"another policy \(by_step there, half here\)"):
        record(lively(), recording.folder, resume=True, **FACTS)
    assert before == {file.name: file.read_bytes() for file in recording.folder.iterdir()}
    (tmp_path / "telemetry-00000.parquet").touch()
    with pytest.raises(TelemetryError, match=r"holds telemetry without card\.json"):
        record(lively(), tmp_path, by_step, **FACTS)


def test_a_damaged_folder(tmp_path: Path) -> None:
    with pytest.raises(PowerError):
        record(lively(), tmp_path, stopping_after(300), **FACTS)
    checkpoint, card = (tmp_path / CHECKPOINT).read_bytes(), (tmp_path / CARD).read_text()

    def refusal() -> str:
        with pytest.raises(TelemetryError) as refused:
            record(lively(), tmp_path, by_step, resume=True, **FACTS)
        return str(refused.value)

    (tmp_path / CHECKPOINT).write_bytes(checkpoint[: len(checkpoint) // 2])
    assert "checkpoint.npz is damaged" in refusal()
    np.savez(tmp_path / CHECKPOINT, parts=np.array(1))
    assert "is no checkpoint of this recording" in refusal()
    (tmp_path / CHECKPOINT).write_bytes(checkpoint)
    for text, sentence in (
        ("{", "card.json is damaged: it is no JSON"),
        ("{}", "is no card of a recording"),
        (json.dumps({"format": json.loads(card)["format"]}), "is damaged: it says nothing about"),
    ):
        (tmp_path / CARD).write_text(text)
        assert sentence in refusal()
    (tmp_path / CARD).write_text(card)
    (tmp_path / HANDOVERS).write_bytes(b"PK")
    with pytest.raises(TelemetryError, match=r"handovers\.npz"):
        Recording.load(tmp_path).handovers()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="cannot be written"):
        record(lively(), tmp_path / "file" / "below", by_step, **FACTS)


def test_a_world_that_takes_all_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_module, "MOST_BYTES", 1000)
    with pytest.raises(TelemetryError, match=r"GiB; buffers hold a whole episode unless buffers\.device_jobs"):
        record("four-cells", tmp_path, **FACTS)


def test_parts_of_many_zones_are_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_ROWS >= 1000
    monkeypatch.setattr(recording_module, "MOST_ROWS", 8)
    recording = record(lively(), tmp_path, by_step, **FACTS)
    assert recording.card["parts"] == 6
    assert recording.rows == 48
