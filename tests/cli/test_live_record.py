"""`metalore live --record`: a film that moves, evenly and each time the same; and everything that it refuses."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cli.calling import call, refusal

from metalore.cli import _film
from metalore.serve.live.clock import FilmClock
from metalore.serve.server import log_to_stderr

imageio = pytest.importorskip("imageio.v2", reason='imageio is not installed: pip install "metalore[film]"')
pytest.importorskip("playwright", reason='playwright is not installed: pip install "metalore[film]"')
needs_chromium = pytest.mark.skipif(
    not any(map(shutil.which, _film.BROWSERS)), reason="Chromium is not installed: tools/install-chromium"
)
SMALL = ("live", "--scenario", "smart-city-small", "--speed", "10", "--size", "640x360", "--fps", "5")


@pytest.fixture(autouse=True)
def loggers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's handlers go with the stream that they write to."""
    for name in ("metalore", "uvicorn"):
        monkeypatch.setattr(logging.getLogger(name), "handlers", [])


# The reader leaves its pipe open.
@needs_chromium
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("ending", ["gif", "mp4", "webm"])
def test_a_film_has_all_frames_in_its_size_and_moves(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "new" / f"live.{ending}"
    said = call(*SMALL, "--seconds", "1", "--theme", "light", "--record", path).stderr
    assert "5 frames of 640x360" in said
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    with closing(imageio.get_reader(path)) as reader:
        frames = [frame[..., :3].astype(int) for frame in reader]
    assert [frame.shape for frame in frames] == [(360, 640, 3)] * 5
    assert frames[0].mean() > 200  # light
    for before, after in pairwise(frames):
        assert (abs(after - before).max(axis=2) > 30).sum() > 20


@needs_chromium
def test_the_same_seed_gives_the_same_film(tmp_path: Path) -> None:
    films = [tmp_path / name for name in ("a.gif", "b.gif", "c.gif")]
    for path, seed in zip(films, (3, 3, 4), strict=True):
        call(*SMALL, "--seconds", "0.6", "--seed", seed, "--record", path)
    a, b, c = (path.read_bytes() for path in films)
    assert a == b
    assert a != c


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--record", "film.avi"], "the name must end in .gif, .mp4 or .webm"),
        (["--record", "a.gif", "--seconds", "0"], "--seconds is 0; it must be above 0 and at most 3600"),
        (["--record", "a.gif", "--fps", "61"], "--fps is 61; it must be above 0 and at most 60"),
        (["--record", "a.gif", "--size", "large"], "--size is 'large'; write width and height in pixels"),
        (["--record", "a.gif", "--size", "100x100"], "--size is 100x100; it must be from 640x360 to 3840x2160"),
        (["--record", "a.gif", "--theme", "blue"], "--theme is 'blue'; there are dark and light"),
        (["--record", "a.gif", "--paused"], "leave --paused out"),
        (["--record", "folder.mp4"], "it is a folder"),
        (["--record", "file/a.mp4"], "file: File exists"),
    ],
)
def test_what_cannot_be_filmed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.mp4").mkdir()
    Path("file").touch()
    assert sentence in refusal("live", *options)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "folder.mp4"]


def test_what_is_missing_is_named_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_film, "BROWSERS", ("no-such-browser",))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "none"))
    assert "no Chromium is installed: apt-get install chromium" in refusal("live", "--record", tmp_path / "a.gif")
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    monkeypatch.setitem(sys.modules, "playwright", None)
    assert 'playwright is missing: pip install "metalore[film]"' in refusal("live", "--record", tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []


def test_handlers_of_others_stay_open(tmp_path: Path) -> None:
    """As those of absl, which close the stream that they were made with, even if it is the process's own."""
    with closing(logging.FileHandler(tmp_path / "other.log")) as other:
        log_to_stderr()
        assert other.stream is not None


@needs_chromium
def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    words = [sys.executable, "-c", "from metalore.cli import main; main()", *SMALL, "--seconds", "600"]
    process = subprocess.Popen(
        [*words, "--record", str(tmp_path / "a.mp4")], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        until = time.monotonic() + 60
        while not any(one.stat().st_size for one in tmp_path.iterdir()) and time.monotonic() < until:
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the process and all its children
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert said == "metalore: interrupted; files that were complete are kept\n"
    assert list(tmp_path.iterdir()) == []


def test_a_film_clock_wakes_its_sleeper_at_each_time() -> None:
    clock, woke = FilmClock(), list[float]()

    def work() -> None:
        while len(woke) < 5:
            time.sleep(0.01)  # as long as it takes
            clock.sleep(0.1)
            woke.append(clock.monotonic())

    thread = threading.Thread(target=work)
    thread.start()
    for now, count in ((0.05, 0), (0.25, 2), (0.25, 2), (0.31, 3)):
        clock.advance_to(now)
        assert len(woke) == count
    assert woke == pytest.approx([0.1, 0.2, 0.3])
    clock.close()
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_who_waits_for_a_film_clock_can_give_up() -> None:
    def give_up() -> Any:
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        FilmClock().advance_to(1.0, give_up)
