"""A zone's workload takes what its users need and never more than it was told."""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from metalore.zone import Demand, Workload, ZoneError, ZoneServer, read_users
from metalore.zone.server import LONGEST, MOST_CONNECTIONS
from metalore.zone.workload import Memory, resident_bytes, spend

DEMAND = Demand(base_cores=0.0, cores_per_user=0.1, most_cores=0.3, base_mb=10.0, mb_per_user=10.0, most_mb=50.0)


def test_demand_grows_with_users_up_to_its_bounds() -> None:
    demand = Demand(
        base_cores=0.1, cores_per_user=0.2, most_cores=1.0, base_mb=100, mb_per_user=50, most_mb=300, mbps_per_user=3
    )
    assert [demand.cores(users) for users in (0, 2, 100)] == pytest.approx([0.1, 0.5, 1.0])
    assert [demand.memory_mb(users) for users in (0, 2, 100)] == [100, 200, 300]
    assert demand.bandwidth_mbps(4) == 12


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_settings_that_cannot_be_are_refused(value: float) -> None:
    with pytest.raises(ZoneError, match="mb_per_user is"):
        Demand(mb_per_user=value)


@pytest.mark.parametrize(("text", "users"), [("12", 12), ('{"active_users": 3.5}', 3.5), (b" 0\n", 0)])
def test_users_are_read(text: str | bytes, users: float) -> None:
    assert read_users(text) == users


@pytest.mark.parametrize("text", ["", "many", "-1", "NaN", "Infinity", "[]", '{"users": 1}', "null", "[" * 900])
def test_other_users_are_refused(text: str) -> None:
    with pytest.raises(ZoneError):
        read_users(text)


def test_it_spends_the_cpu_time_that_it_is_told() -> None:
    begin = time.thread_time()
    spend(0.05, time.monotonic() + 60)
    assert 0.05 <= time.thread_time() - begin < 0.08


def test_it_stops_spending_when_time_is_up() -> None:
    begin = time.monotonic()
    spend(60.0, begin + 0.05)
    assert time.monotonic() - begin < 2.0


def test_memory_is_resident_and_given_back() -> None:
    memory, before = Memory(), resident_bytes()
    memory.hold(before / 1e6 + 64)
    assert 50e6 < resident_bytes() - before < 70e6
    memory.hold(0.0)
    assert resident_bytes() - before < 10e6


def test_the_workload_uses_what_its_users_need_and_no_more_than_its_most() -> None:
    workload = Workload(DEMAND, users=1000)
    workload.start()
    try:
        begin, cpu = time.monotonic(), workload.cpu_seconds()
        time.sleep(1.5)
        cores = (workload.cpu_seconds() - cpu) / (time.monotonic() - begin)
        assert workload.is_healthy
    finally:
        workload.stop()
    assert 0.05 < cores < 0.4  # 0.3 and what else this process does; less on a busy machine
    assert not workload.is_healthy


# -- HTTP --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[tuple[str, Workload, Path]]:
    workload = Workload(DEMAND)
    workload.start()
    server = ZoneServer('the "old" town', workload, port=0, users_file=tmp_path / "users")
    thread = threading.Thread(target=server.run)
    thread.start()
    yield f"http://127.0.0.1:{server.pages.port}", workload, tmp_path / "users"
    server.stop()
    thread.join()
    workload.stop()


def ask(address: str, body: bytes | None = None) -> tuple[int, str]:
    request = urllib.request.Request(address, body, method="PUT" if body is not None else "GET")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_users_come_over_http_and_are_seen_in_the_metrics(zone: tuple[str, Workload, Path]) -> None:
    address, workload, _ = zone
    assert ask(address + "/healthz") == (200, "ok\n")
    assert json.loads(ask(address + "/users", b'{"active_users": 2}')[1]) == {"active_users": 2}
    assert workload.users == 2
    text = ask(address + "/metrics")[1]
    assert r'metalore_zone_active_users{zone="the \"old\" town"} 2.0' in text
    assert r'metalore_zone_cpu_wanted_cores{zone="the \"old\" town"} 0.2' in text
    assert "# TYPE metalore_zone_cpu_seconds_total counter" in text


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [("/users", b"-3", 422), ("/users", b"x" * (LONGEST + 1), 413), ("/nothing", b"1", 404), ("/nothing", None, 404)],
)
def test_what_it_refuses(zone: tuple[str, Workload, Path], path: str, body: bytes | None, status: int) -> None:
    address, workload, _ = zone
    assert ask(address + path, body)[0] == status
    assert workload.users == 0
    assert ask(address + "/healthz")[0] == 200


def test_whoever_holds_connections_open_keeps_nobody_out(zone: tuple[str, Workload, Path]) -> None:
    address, _, _ = zone
    place = ("127.0.0.1", int(address.rpartition(":")[2]))
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(place, timeout=10)) for _ in range(MOST_CONNECTIONS)]
        assert ask(address + "/healthz") == (200, "ok\n")
        held[0].settimeout(2)  # well before it would go by itself, as nothing comes
        assert held[0].recv(1) == b""
        held[-1].sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert held[-1].recv(15) == b"HTTP/1.1 200 OK"


def test_a_body_that_nobody_asked_for_is_no_second_request(zone: tuple[str, Workload, Path]) -> None:
    address, _, _ = zone
    with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=10) as connection:
        second = b"GET /users HTTP/1.1\r\n\r\n"
        connection.sendall(b"GET /healthz HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(second), second))
        assert connection.makefile("rb").read().count(b"HTTP/1.1") == 1


def test_a_file_says_how_many_users_there_are(zone: tuple[str, Workload, Path]) -> None:
    address, workload, file = zone
    file.write_text("7\n")
    end = time.monotonic() + 10
    while workload.users != 7 and time.monotonic() < end:
        time.sleep(0.05)
    assert json.loads(ask(address + "/users")[1]) == {"active_users": 7}
    file.write_text("half a num")
    time.sleep(1.1)
    assert workload.users == 7


def test_a_dead_thread_is_unhealthy(zone: tuple[str, Workload, Path]) -> None:
    address, workload, _ = zone
    workload.stop()
    assert ask(address + "/healthz")[0] == 500
