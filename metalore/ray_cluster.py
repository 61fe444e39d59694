"""A Ray cluster for as long as it is needed: one of our own that nobody else can reach, or one that runs already."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

CONNECT_S = 5.0
LOOPBACK = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""What the processes of our own cluster find in their environment. The first is how Ray is told, on any system, that
there will be no second machine: then this node's address is 127.0.0.1, and all of Ray's servers (object store, gRPC,
metrics, agents) listen there alone. Otherwise they listen on all interfaces. The second keeps Ray from calling home."""


class ClusterError(ValueError):
    """A Ray cluster that cannot be had; the message says what would be right."""


@contextmanager
def cluster(address: str | None = None, cpus: int = 2) -> Iterator[Any]:
    """Ray, connected; what was started or joined here is left at the end, whatever happened.

    Args:
        address: of a running cluster, HOST:PORT or `auto`; None starts one that listens on loopback only.
        cpus: of a cluster of our own, as tasks and actors count them.

    Raises:
        ClusterError: Ray is missing, or no cluster answers at the address.
    """
    try:
        ray: Any = import_module("ray")
    except ModuleNotFoundError as missing:
        raise ClusterError('ray is missing: pip install "metalore[ray]"') from missing
    if ray.is_initialized():
        yield ray
        return
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or Ray warns of a change to come
    if address is None:
        _start(ray, cpus)
    else:
        _join(ray, address)
    try:
        yield ray
    finally:
        ray.shutdown()


_QUIET = {"log_to_driver": False, "logging_level": "ERROR"}


def _start(ray: Any, cpus: int) -> None:
    with _on_loopback():
        ray.init(address="local", num_cpus=cpus, include_dashboard=False, **_QUIET)


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Processes that are started in here listen on loopback; later ones as before."""
    constants: Any = import_module("ray._private.ray_constants")  # has read the environment already
    before, enabled = {name: os.environ.get(name) for name in LOOPBACK}, constants.ENABLE_RAY_CLUSTER
    os.environ.update(LOOPBACK)
    constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = enabled
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _join(ray: Any, address: str) -> None:
    try:
        host, _, port = address.rpartition("://")[2].rpartition(":")
        if port.isdecimal():  # Ray would knock for minutes
            socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
        ray.init(address=address, **_QUIET)
    except (OSError, RuntimeError, ValueError) as error:
        raise ClusterError(f"no Ray cluster answers at {address}: {error}") from error
