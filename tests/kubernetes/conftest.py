"""A real API server for each session of tests, and a namespace with zones for each test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from kubernetes.cities import HOME, City, Testbed

from metalore.autoscale.kubernetes.manifests import manifests, numbered


@pytest.fixture(scope="session")
def testbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbed]:
    if not (HOME / "bin" / "kube-scheduler").exists():
        pytest.skip(f"there is no Kubernetes testbed in {HOME}: `make test-kubernetes` builds it")
    found = Testbed(tmp_path_factory.mktemp("kube") / "run")
    try:
        found.do("up")
        yield found
    finally:
        found.do("down")


@pytest.fixture
def city(testbed: Testbed) -> Iterator[City]:
    """Two zones, complete."""
    found = City(testbed, f"city-{uuid.uuid4().hex[:8]}")
    found.create(manifests(numbered(2, cores=0.25, memory_mb=256)))
    found.finish_rollouts()
    yield found
    found.close()
