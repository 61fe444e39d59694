"""A service in use: checkpoints swapped under load, restarts, kills, hostile clients, and memory."""

from __future__ import annotations

import gc
import http.client
import json
import shutil
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from serve.serving import STEP_S, Process, client_of, rows_at, save_model

from metalore.serve import ServeError, ServeSettings, create_app
from metalore.serve.window import WindowFile

QUESTION = {"zone_name": "north", "active_users": 50}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two forecasters."""
    folder = tmp_path_factory.mktemp("models")
    for seed in (0, 1):
        save_model(folder / str(seed), seed=seed)
    return folder / "0", folder / "1"


def soon(what: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether something comes true in time."""
    end = time.monotonic() + seconds
    while not (there := what()) and time.monotonic() < end:
        time.sleep(0.02)
    return there


def put(model: Path, place: Path) -> None:
    """As save_forecaster does: the folder is replaced whole."""
    shutil.copytree(model, place.with_name("fresh"))
    if place.exists():
        place.rename(place.with_name("old"))
    place.with_name("fresh").rename(place)
    shutil.rmtree(place.with_name("old"), ignore_errors=True)


def test_a_new_checkpoint_is_taken_without_dropping_a_request(models: tuple[Path, Path], tmp_path: Path) -> None:
    place = tmp_path / "served"
    put(models[0], place)
    with client_of(place) as client:
        client.post("/observe", json={"rows": rows_at(0)})
        first = client.get("/model").json()["model"]
        seen, stop = [], threading.Event()

        def ask() -> None:
            while not stop.is_set():
                answer = client.post("/predict", json=QUESTION)
                seen.append((answer.status_code, answer.json().get("model"), answer.json().get("fallback")))

        asking = threading.Thread(target=ask)
        asking.start()
        put(models[1], place)
        assert soon(lambda: client.get("/model").json()["model"] != first)
        count = len(seen)
        assert soon(lambda: len(seen) > count + 3)
        stop.set()
        asking.join()
        second = client.get("/model").json()["model"]
        assert {code for code, _, _ in seen} == {200}
        assert {model for _, model, _ in seen} == {first, second}
        assert {fallback for _, _, fallback in seen} == {False}  # the window came along
        assert 'metalore_reloads_total{outcome="taken"} 1.0' in client.get("/metrics").text


def test_a_broken_checkpoint_is_refused(
    models: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "served"
    put(models[0], place)
    with client_of(place) as client:
        first = client.get("/model").json()["model"]
        weights = bytearray((place / "weights.safetensors").read_bytes())
        weights[-1] ^= 1
        (place / "weights.safetensors").write_bytes(weights)
        refused = 'metalore_reloads_total{outcome="refused"} 1.0'
        assert soon(lambda: refused in client.get("/metrics").text)
        assert "the new checkpoint is refused, the old one goes on" in caplog.text
        assert client.get("/model").json()["model"] == first
        assert client.post("/predict", json=QUESTION).status_code == 200
        shutil.rmtree(place)
        time.sleep(0.2)
        assert client.post("/predict", json=QUESTION).json()["model"] == first
        put(models[1], place)
        assert soon(lambda: client.get("/model").json()["model"] != first)


def test_the_window_survives_a_restart(models: tuple[Path, Path], tmp_path: Path) -> None:
    kept = {"window": tmp_path / "new" / "window.sqlite"}
    rows = [row for t in range(40) for row in rows_at(STEP_S * t, 5 + t % 3)]
    with client_of(models[0], **kept) as client:
        for row in rows:
            assert client.post("/observe", json={"rows": [row]}).status_code == 200
        before, zones = client.get("/forecasts").content, client.get("/zones").json()
        length = zones["window_intervals"]
        assert len(client.app.service.window.rows()) == 3 * length  # what has left the window is dropped
    with client_of(models[0], **kept) as client:
        assert client.get("/forecasts").content == before
        after = client.get("/zones").json()["zones"]
        assert all(0 <= zone["received_ago_s"] < 60 for zone in after)


def test_a_window_that_cannot_be_kept(models: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as file:
        file.execute("CREATE TABLE theirs (x)")
    file.close()
    (tmp_path / "text").write_text("x" * 5000)
    for path, words in ((other, "something else"), (tmp_path / "text", "name another file")):
        with pytest.raises(ServeError, match=words):
            create_app(ServeSettings(checkpoint=models[0], window=path))
    with client_of(models[0], window=tmp_path / "w.sqlite") as client:
        client.app.service.window._file.execute("PRAGMA query_only = 1")
        answer = client.post("/observe", json={"rows": rows_at(0)})
        assert answer.status_code == 503
        assert "send them again" in answer.json()["detail"]
        client.app.service.window._file.execute("PRAGMA query_only = 0")
        assert client.post("/observe", json={"rows": rows_at(0)}).json()["repeated"] == 3
        assert len(client.app.service.window.rows()) == 3


def test_kill_while_writing_leaves_the_window_whole(models: tuple[Path, Path], tmp_path: Path) -> None:
    """Whatever was answered is there, call by call."""
    path = tmp_path / "window.sqlite"
    server = Process(models[0], window=path, reload_s=0)
    answered = [-1]

    def feed() -> None:
        try:
            for t in range(100_000):
                if server.client.post("/observe", json={"rows": rows_at(STEP_S * t)}).status_code == 200:
                    answered[0] = t
        except Exception:  # the server is gone
            pass

    feeding = threading.Thread(target=feed)
    feeding.start()
    assert soon(lambda: answered[0] >= 20)
    server.process.send_signal(signal.SIGKILL)
    feeding.join(30)
    server.kill()
    window = WindowFile(path)
    rows = window.rows()
    assert window._file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    window.close()
    times = sorted({row["time_s"] for row in rows})
    assert times[-1] >= STEP_S * answered[0]
    assert len(rows) == 3 * len(times)  # whole calls only
    assert all(row["cpu_cores"] == 5.0 for row in rows)
    with client_of(models[0], window=path) as client:
        assert client.get("/forecasts").json()["made_at_s"] == times[-1]


def test_half_open_connections_do_not_stop_others(models: tuple[Path, Path]) -> None:
    server = Process(models[0], max_connections=60, header_timeout_s=2, reload_s=0)
    held = []
    try:
        for i in range(300):
            one = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            if i % 2:
                one.sendall(b"POST /predict HTTP/1.1\r\nhost: x\r\n")
            held.append(one)
        for _ in range(20):
            assert server.client.post("/predict", json=QUESTION).status_code == 200
        fresh = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        fresh.request("GET", "/healthz")
        assert fresh.getresponse().status == 200
        fresh.close()
        assert held[-1].recv(100) == b""  # closed when its time was over
        long = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        long.sendall(b"GET /healthz HTTP/1.1\r\nx: " + b"y" * 200_000)
        assert _closed(long)
        wrong = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        wrong.sendall(b"\x16\x03\x01 what\r\n\r\n")
        answer = wrong.recv(1000)
        assert answer.startswith(b"HTTP/1.1 400")
        assert b"application/problem+json" in answer
        for one in (long, wrong):
            one.close()
        assert server.client.get("/healthz").status_code == 200
    finally:
        for one in held:
            one.close()
        server.kill()


def _closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(100) == b""
    except ConnectionResetError:
        return True


def test_memory_does_not_grow(models: tuple[Path, Path]) -> None:
    import tracemalloc

    body = json.dumps({**QUESTION, "embedding": [0.25] * 1024})
    with client_of(models[0], reload_s=0) as client:
        step = iter(range(1_000_000))

        def load(count: int) -> int:
            for _ in range(count):
                assert client.post("/predict", content=body).status_code == 200
                client.post("/predict", content=b"{")
                client.get("/nowhere/" + str(next(step)))
                client.post("/observe", json={"rows": rows_at(STEP_S * next(step))})
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        load(30)
        tracemalloc.start()
        before = load(10)
        after = load(60)
        tracemalloc.stop()
        assert after - before < 150_000  # bytes; a body that stayed would be 6,000 a request
