"""Usage of zones from what they say about themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metalore.autoscale import AutoscaleError
from metalore.autoscale.kubernetes.usage import Look, ZoneMetrics, fetched, metrics_of, used
from metalore.zone import Demand, Workload
from metalore.zone.server import Pages, metrics_text

ADDRESS = "http://{zone}:8080/metrics"


def text(cpu_s: float, memory_mb: float = 100.0, users: float = 5.0) -> str:
    return (
        f'# HELP metalore_zone_cpu_seconds_total CPU.\nmetalore_zone_cpu_seconds_total{{zone="a"}} {cpu_s}\n'
        f'metalore_zone_memory_bytes{{zone="a",b="c"}} {memory_mb * 1e6}\n'
        f"metalore_zone_active_users {users} 1700000000\n"
        "metalore_zone_bandwidth_mbps 2.5\n"
    )


class Zones:
    """Two zones that say what they are told, on a clock."""

    def __init__(self) -> None:
        self.now_s, self.said = 0.0, {"a": text(0.0), "b": text(0.0)}
        self.asked: list[str] = []
        self.metrics = ZoneMetrics(("a", "b"), ADDRESS, lambda: self.now_s, fetch=self._fetch)

    def _fetch(self, address: str) -> str:
        self.asked.append(address)
        return self.said[address[len("http://")]]


def test_metrics_are_read_with_and_without_labels() -> None:
    assert metrics_of(text(12.5, 100, 5) + "broken\nworse {\nodd nothing\n\n") == {
        "metalore_zone_cpu_seconds_total": 12.5,
        "metalore_zone_memory_bytes": 1e8,
        "metalore_zone_active_users": 5.0,
        "metalore_zone_bandwidth_mbps": 2.5,
    }


def test_it_reads_what_a_zone_writes() -> None:
    found = metrics_of(metrics_text('the "old" town}', Workload(Demand(mbps_per_user=0.5), users=4)))
    assert found["metalore_zone_active_users"] == 4
    assert used(Look(0.0, {}), Look(0.0, found))[2] == 2.0


def test_cpu_is_the_growth_of_a_counter() -> None:
    before, now = Look(0.0, metrics_of(text(10.0))), Look(60.0, metrics_of(text(40.0)))
    assert used(before, now) == (0.5, 100.0, 2.5)


@pytest.mark.parametrize(
    "before", [Look(0.0, {}), Look(0.0, metrics_of(text(50.0))), Look(60.0, metrics_of(text(0.0)))]
)
def test_cpu_is_not_known_without_a_counter_that_grew(before: Look) -> None:
    cores, memory_mb, _ = used(before, Look(60.0, metrics_of(text(40.0))))
    assert np.isnan(cores)
    assert memory_mb == 100.0


def test_intervals_are_remembered_with_what_is_missing() -> None:
    zones = Zones()
    assert len(zones.metrics()) == 0
    zones.now_s, zones.said = 60.0, {"a": text(30.0), "b": ""}
    assert zones.metrics().used[0, 0].tolist() == [0.5, 100.0, 2.5]
    zones.now_s, zones.said = 120.0, {"a": text(90.0), "b": text(5.0)}
    usage = zones.metrics()
    assert usage.times.tolist() == [0.0, 60.0]
    assert usage.used[:, 0, 0].tolist() == [0.5, 1.0]
    assert np.isnan(usage.used[0, 1]).all()
    assert np.isnan(usage.used[1, 1, 0])  # its counter was not known before
    assert usage.used[1, 1, 1] == 100.0
    np.testing.assert_array_equal(usage.others["active_users"], [[5.0, np.nan], [5.0, 5.0]])
    assert set(zones.asked) == {"http://a:8080/metrics", "http://b:8080/metrics"}


def test_looking_twice_at_once_adds_nothing() -> None:
    zones = Zones()
    for zones.now_s in (50.0, 60.0, 60.0, 120.0):
        usage = zones.metrics()
    assert usage.times.tolist() == [60.0]
    assert len(zones.asked) == 2 * 2


def test_intervals_begin_at_multiples_though_clocks_are_a_little_late() -> None:
    zones = Zones()
    for zones.now_s in (600.01, 660.3, 720.002):
        usage = zones.metrics()
    assert usage.times.tolist() == [600.0, 660.0]


def test_nobody_there_is_nothing_said() -> None:
    assert fetched("http://127.0.0.1:9/metrics") == ""
    pages = Pages(
        "127.0.0.1", 0, {"/bad": lambda: (500, "text/plain", "no"), "/good": lambda: (200, "text/plain", "x 1")}
    )
    pages.start()
    try:
        assert fetched(f"http://127.0.0.1:{pages.port}/bad") == ""
        assert fetched(f"http://127.0.0.1:{pages.port}/good") == "x 1"
    finally:
        pages.close()


@pytest.mark.parametrize("address", ["ftp://{zone}/", str(Path("/etc/passwd")), "http://one-for-all/metrics"])
def test_addresses_that_cannot_be_are_refused(address: str) -> None:
    with pytest.raises(AutoscaleError, match="no address of zones"):
        ZoneMetrics(("a", "b"), address, lambda: 0.0)
