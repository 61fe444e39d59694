"""`metalore record` and `metalore telemetry`: recordings on disk, tables on screen, a page."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pandas as pd
import pytest
from cli.calling import call, refusal

from metalore.policies import make_policy
from metalore.scenario import load
from metalore.telemetry import Recording, read_telemetry
from metalore.telemetry import record as record_world

FOLDER = {"telemetry-00000.parquet", "card.json", "graph.json", "handovers.npz"}
DAYS = 0.25 / 24  # 900 s
SMALL = ("record", "four-cells", "--days", DAYS, "--interval", 100, "--set", "step_s=10", "--set", "users.count=8")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a recording."""
    out = tmp_path_factory.mktemp("recording") / "new" / "run"
    result = call(*SMALL, "--policy", "max-weight", "--seed", 5, "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("36 rows, 0.0 MB, in ")
    assert result.stderr.endswith(f" s; the recording is in {out}\n")
    return out


def test_the_recording_is_that_of_the_library(run: Path, tmp_path: Path) -> None:
    assert set(os.listdir(run)) == FOLDER
    scenario = load("four-cells", step_s=10, users__count=8)
    there = record_world(scenario, tmp_path, make_policy("max-weight"), duration_s=900, interval_s=100, seed=5)
    pd.testing.assert_frame_equal(read_telemetry(run), there.table())
    assert Recording.load(run).card == there.card
    assert there.card["policy"] == "max-weight"


def test_resume_leaves_what_is_finished_and_begins_what_is_not_there(run: Path, tmp_path: Path) -> None:
    rest = ("--policy", "max-weight", "--seed", 5, "--resume", "--out")
    before = (run / "telemetry-00000.parquet").read_bytes()
    for out in (run, tmp_path):
        assert call(*SMALL, *rest, out).exit_code == 0
        assert (out / "telemetry-00000.parquet").read_bytes() == before


def test_a_summary_and_a_page(run: Path, tmp_path: Path) -> None:
    result = call("telemetry", run, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    table = read_telemetry(run)
    for zone, part in table.groupby("zone", observed=True):
        (row,) = [line.split() for line in lines if line.split()[:1] == [zone]]
        assert float(row[1]) == pytest.approx(part["active_users"].mean(), abs=0.01)
    assert set(os.listdir(tmp_path)) == {"index.html", "figures"}
    assert set(os.listdir(tmp_path / "figures")) == {
        f"{n}.svg" for n in ("map", "days", "week", "correlation", "latency")
    }
    html = (tmp_path / "index.html").read_text()
    assert "Telemetry of four-cells" in html
    assert "max-weight" in html
    assert set(os.listdir(run)) == FOLDER
    quiet = call("telemetry", run, "--no-plot")
    assert quiet.stdout == result.stdout
    assert quiet.stderr == ""


def test_a_table_from_elsewhere(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.parquet"
    read_telemetry(run)[["time_s", "zone", *read_telemetry(run).columns[2:11]]].to_parquet(path, index=False)
    assert "give --graph FILE" in call("telemetry", path).stderr
    result = call("telemetry", path, "--graph", run / "graph.json")
    assert f"the page is {tmp_path / 'index.html'}" in result.stderr
    assert "Telemetry of mine" in (tmp_path / "index.html").read_text()
    other = json.loads((run / "graph.json").read_text())
    (tmp_path / "graph.json").write_text(json.dumps(other | {"zones": ["a", "b", "c", "d"]}))
    assert "the graph knows no zone 'zone-000'" in refusal("telemetry", path, "--graph", tmp_path / "graph.json")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--interval", 15], "the interval of 15 s is no multiple of the step_s of 10 s"),
        (["--days", 0], "the duration is 0 s; it must be positive"),
        (["--days", 1.5 / 24 / 60], "the duration of 90 s is no multiple of the interval of 100 s"),
        (["--policy", "max-wait"], "unknown policy 'max-wait'; did you mean 'max-weight'?"),
        (["--set", "users.cuont=3"], "unknown setting users.cuont; did you mean 'count'?"),
        (["--seed", -1], "seeds are whole numbers from 0"),
    ],
)
def test_mistakes_get_one_sentence(tmp_path: Path, words: list[object], sentence: str) -> None:
    assert sentence in refusal(*SMALL, *words, "--out", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_another_recording_is_not_overwritten(run: Path) -> None:
    assert "holds a recording already; go on with it (resume)" in refusal(*SMALL, "--out", run)
    assert "holds a recording with another seed (5 there, 6 here)" in refusal(
        *SMALL, "--policy", "max-weight", "--seed", 6, "--resume", "--out", run
    )


def test_no_recording(tmp_path: Path) -> None:
    assert f"there is no telemetry at {tmp_path / 'missing'}" in refusal("telemetry", tmp_path / "missing")
    assert "holds no telemetry" in refusal("telemetry", tmp_path)
    (tmp_path / "telemetry-00000.parquet").write_text("none")
    assert "cannot be read as Parquet" in refusal("telemetry", tmp_path)


def test_a_full_disk_and_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for number, (fail, code, words) in enumerate(
        ((full, 1, "cannot be written (No space left on device); 0 s are recorded"), (interrupted, 130, "interrupted"))
    ):
        monkeypatch.setattr(pq, "write_table", fail)
        result = call(*SMALL, "--out", tmp_path / str(number))
        assert result.exit_code == code
        assert words in result.stderr
        assert result.stderr.count("\n") == 1
        monkeypatch.undo()
        assert call(*SMALL, "--resume", "--out", tmp_path / str(number)).exit_code == 0
        assert len(read_telemetry(tmp_path / str(number))) == 36
