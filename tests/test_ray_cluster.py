"""Ray as the package starts and joins it. What listens where is tested in `learn/test_rllib.py`, on a Ray at work."""

from __future__ import annotations

import os
import socket
import sys
from importlib.util import find_spec
from typing import Any

import pytest

from metalore.ray_cluster import LOOPBACK, ClusterError, cluster

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason='ray is not installed: pip install "metalore[ray]"')


class Started:
    """What `ray.init` was called with, and what a process started by it would have found."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}
        self.environment: dict[str, str | None] = {}
        self.address, self.left = "", False

    def init(self, **options: Any) -> None:
        from ray._private import services

        self.options = options
        self.environment = {name: os.environ.get(name) for name in LOOPBACK}
        self.address = services.get_node_ip_address("192.0.2.1:1")

    def shutdown(self) -> None:
        self.left = True


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    import ray

    started = Started()
    monkeypatch.setattr(ray, "init", started.init)
    monkeypatch.setattr(ray, "shutdown", started.shutdown)
    return started


@needs_ray
def test_a_cluster_of_our_own_stays_on_loopback_and_others_are_as_before(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray._private import ray_constants

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    before = {name: os.environ.get(name) for name in LOOPBACK}, ray_constants.ENABLE_RAY_CLUSTER
    with cluster(cpus=3):
        assert started.options["address"] == "local"
        assert started.options["num_cpus"] == 3
        assert started.options["include_dashboard"] is False
        assert started.environment == LOOPBACK
        assert started.address == "127.0.0.1"
        assert ({name: os.environ.get(name) for name in LOOPBACK}, ray_constants.ENABLE_RAY_CLUSTER) == before
        assert not started.left
    assert started.left


@needs_ray
def test_it_ends_with_the_block_also_after_ctrl_c(started: Started) -> None:
    with pytest.raises(KeyboardInterrupt), cluster():
        raise KeyboardInterrupt
    assert started.left


@needs_ray
def test_a_running_cluster_is_joined_as_it_is(started: Started) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with cluster(address):
            assert started.options["address"] == address
            assert "num_cpus" not in started.options
            assert started.environment != LOOPBACK


@needs_ray
def test_one_that_does_not_answer_is_named() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ClusterError, match=f"^no Ray cluster answers at {address}"), cluster(address):
            pass


def test_without_ray_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r'^ray is missing: pip install "metalore\[ray\]"$'), cluster():
        pass
