"""Training that is interrupted, goes on, and ends as it would have."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forecast.synthetic import panel
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from metalore.forecast import ForecastError, Split, make_forecaster
from metalore.forecast.training import STGNNForecaster

MADE = panel(24 * 10, zones=2, targets=1)
SPLIT = Split.by_parts(MADE)
HORIZONS = (1, 2)
EPOCHS = 3
SETTINGS: dict[str, Any] = {"window": 4, "hidden": 8, "device": "cpu"}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def network(**recipe: Any) -> STGNNForecaster:
    return STGNNForecaster(**SETTINGS, recipe={"epochs": EPOCHS, **recipe})


def fitted(keep: Path | None = None, stop: int = 0, **recipe: Any) -> STGNNForecaster:
    """Interrupted once so many epochs are done, if `stop` says so."""

    def progress(done: int, of: int, words: str) -> None:
        if done == stop:
            raise KeyboardInterrupt

    return network(**recipe).fit(MADE, SPLIT, HORIZONS, 3, progress, keep)


@pytest.fixture(scope="module")
def uninterrupted() -> STGNNForecaster:
    torch.set_num_threads(1)
    return fitted()


def assert_same(one: STGNNForecaster, other: STGNNForecaster) -> None:
    for name, tensor in one.network.state_dict().items():
        assert torch.equal(tensor, other.network.state_dict()[name]), name
    assert one.history == other.history


@pytest.mark.parametrize("stop", [1, EPOCHS])
def test_it_ends_as_if_it_had_not_been_interrupted(uninterrupted: STGNNForecaster, tmp_path: Path, stop: int) -> None:
    keep = tmp_path / "keep"
    with pytest.raises(KeyboardInterrupt):
        fitted(keep, stop)
    assert os.listdir(keep) == ["training.safetensors"]
    assert_same(fitted(keep), uninterrupted)
    assert not keep.exists()


def test_it_can_be_interrupted_twice_and_in_the_middle_of_an_epoch(
    uninterrupted: STGNNForecaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").touch()
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, 1)
    whole, calls = STGNNForecaster._loss, []

    def interrupted(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 60:
            raise KeyboardInterrupt
        return whole(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(STGNNForecaster, "_loss", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fitted(tmp_path)
    epochs: list[int] = []
    again = network().fit(MADE, SPLIT, HORIZONS, 3, lambda done, *_: epochs.append(done), tmp_path)
    assert epochs == [3], "two epochs were done before, and the interrupted one was not"
    assert_same(again, uninterrupted)
    assert os.listdir(tmp_path) == ["other"]


def test_a_run_out_of_patience_does_not_go_on(tmp_path: Path) -> None:
    recipe = {"patience": 0, "learning_rate": 0.5, "epochs": 8}
    whole = fitted(**recipe)
    assert len(whole.history) < 8
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "keep", len(whole.history), **recipe)
    assert_same(fitted(tmp_path / "keep", **recipe), whole)


def test_a_killed_process_can_be_taken_up(uninterrupted: STGNNForecaster, tmp_path: Path) -> None:
    """For real: killed without any chance to tidy up, once an epoch is done."""
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from forecast import test_resume as t; t.torch.set_num_threads(1)\n"
        "wait = lambda done, *_: time.sleep(100 * (done == 2))\n"
        "t.network().fit(t.MADE, t.SPLIT, t.HORIZONS, 3, wait, Path(sys.argv[2]))"
    )
    tests = str(Path(__file__).parents[1])
    with subprocess.Popen([sys.executable, "-c", code, tests, str(tmp_path)]) as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and epochs_in(tmp_path) < 2:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert epochs_in(tmp_path) == 2
    assert_same(fitted(tmp_path), uninterrupted)


def epochs_in(folder: Path) -> int:
    path = folder / "training.safetensors"
    if not path.exists():
        return 0
    with safe_open(path, framework="pt") as file:
        return len(json.loads(file.metadata()["facts"])["progress"]["history"])


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("interrupted")
    with pytest.raises(KeyboardInterrupt):
        fitted(folder, 1)
    return folder


@pytest.fixture
def kept(interrupted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(interrupted, tmp_path / "kept"))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"seed": 4}, r"differs in its seed \(3, now 4\)"),
        ({"horizons": (1, 3)}, r"differs in its horizons \(\[1, 2\], now \[1, 3\]\)"),
        ({"split": Split(150, 200, 240)}, r"differs in its split \(validation: 168, now 150\)"),
        ({"panel": MADE.updated(values=MADE.values * 2)}, r"differs in its data \(\w+, now \w+\)"),
    ],
)
def test_another_training_is_refused(kept: Path, changed: dict[str, Any], told: str) -> None:
    given = {"panel": MADE, "split": SPLIT, "horizons": HORIZONS, "seed": 3, "keep": kept}
    with pytest.raises(ForecastError, match=told):
        network().fit(**{**given, **changed})
    assert (kept / "training.safetensors").exists()


def test_other_settings_are_refused(kept: Path) -> None:
    with pytest.raises(ForecastError, match=r"in its settings \(recipe: learning_rate: 0.004, now 0.001\); go on as"):
        fitted(kept, learning_rate=1e-3)
    with pytest.raises(ForecastError, match=r"in its settings \(hidden: 8, now 9\)"):
        STGNNForecaster(**{**SETTINGS, "hidden": 9}, recipe={"epochs": EPOCHS}).fit(MADE, SPLIT, HORIZONS, 3, keep=kept)


def test_damage_is_told(kept: Path) -> None:
    path = kept / "training.safetensors"
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"rubbish"):
        path.write_bytes(damaged)
        with pytest.raises(ForecastError, match=r"is damaged .*; delete it to begin anew"):
            fitted(kept)
    path.write_bytes(content)
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    tensors = load_file(path)
    del tensors["network.head.bias"]
    save_file(tensors, path, header)
    with pytest.raises(ForecastError, match=r"is damaged .*; delete it to begin anew"):
        fitted(kept)


def test_what_is_left_of_a_diverged_training_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(ForecastError, match="diverged"):
        fitted(tmp_path / "keep", learning_rate=1e30)
    assert not (tmp_path / "keep").exists()


def test_others_cannot_be_taken_up(tmp_path: Path) -> None:
    with pytest.raises(ForecastError, match="training of ridge cannot be kept and taken up again"):
        make_forecaster("ridge").fit(MADE, SPLIT, (1,), keep=tmp_path)


def test_numbers_are_those_of_a_training_that_keeps_nothing(uninterrupted: STGNNForecaster, tmp_path: Path) -> None:
    one = fitted(tmp_path / "keep")
    assert_same(one, uninterrupted)
    assert np.isfinite(one.predict(MADE, [200])).all()
