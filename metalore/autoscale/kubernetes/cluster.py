"""Calls to the API server, one function each; what they mean is decided elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import httpx2
from lightkube import Client, KubeConfig
from lightkube.config import client_adapter
from lightkube.config.kubeconfig import SingleConfig
from lightkube.core.exceptions import ApiError, ConfigError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.coordination_v1 import LeaseSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.operators import exists
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.coordination_v1 import Lease as LeaseObject
from lightkube.resources.core_v1 import Event, Pod, PodResize
from lightkube.resources.policy_v1 import PodDisruptionBudget
from lightkube.types import PatchType

from metalore.autoscale.errors import AutoscaleError
from metalore.autoscale.kubernetes.lease import Lease
from metalore.autoscale.kubernetes.retry import code_of
from metalore.autoscale.kubernetes.settings import ZONE

TIMEOUT_S = 4.0
"""Of connecting, sending and waiting, each; shorter than the time between a leader's end and the next one's begin."""

_BUDGET_V1BETA1 = create_namespaced_resource("policy", "v1beta1", "PodDisruptionBudget", "poddisruptionbudgets")


@dataclass(frozen=True)
class Abilities:
    """What a server has.

    Attributes:
        resize: pods can be resized in place (Kubernetes 1.33 and later).
        budgets: version of the PodDisruptionBudgets; empty: it has none.
    """

    resize: bool
    budgets: str


def config_of(path: str | None = None, context: str | None = None) -> SingleConfig:
    """Where the API server is: of a kubeconfig, else the pod's own, that of `KUBECONFIG`, or of `~/.kube/config`.

    Raises:
        AutoscaleError: there is none, or it has no such context.
    """
    try:
        config = KubeConfig.from_file(path) if path else KubeConfig.from_env()
        found = config.get(context)
    except ConfigError as error:
        raise AutoscaleError(f"no cluster to connect to: {error}") from None
    assert found is not None  # it is for a default that is not given
    return found


class Cluster:
    """A namespace of a cluster.

    Args:
        config: where the API server is.
        namespace: unset: the kubeconfig's or the pod's own.
        transport: for tests.
    """

    def __init__(
        self, config: SingleConfig, namespace: str | None = None, transport: httpx2.BaseTransport | None = None
    ) -> None:
        timeout = httpx2.Timeout(TIMEOUT_S)
        self._client = Client(config, namespace=namespace, timeout=timeout, transport=transport)
        self._http = client_adapter.Client(
            config, client_adapter.ConnectionParams(timeout=timeout, transport=transport)
        )
        self.namespace: str = self._client.namespace

    def close(self) -> None:
        """End its connections."""
        self._client.close()
        self._http.close()

    def abilities(self) -> Abilities:
        """What the server has, by discovery."""
        core = self._discovered("/api/v1").get("resources") or ()
        versions = self._discovered("/apis/policy").get("versions") or ()
        known = [version["version"] for version in versions]
        budgets = next((version for version in ("v1", "v1beta1") if version in known), "")
        return Abilities(any(resource["name"] == "pods/resize" for resource in core), budgets)

    def _discovered(self, path: str) -> dict[str, Any]:
        response = self._http.get(path)
        if response.status_code == 404:
            return {}
        response.raise_for_status()
        return cast(dict[str, Any], response.json())

    # -- zones ---------------------------------------------------------------------------------------------------------

    def deployments(self) -> list[Deployment]:
        """Those of zones."""
        return list(self._client.list(Deployment, labels={ZONE: exists()}, chunk_size=500))

    def deployment(self, name: str) -> Deployment:
        """One, as it is now."""
        return self._client.get(Deployment, name)

    def pods(self) -> list[Pod]:
        """Those of zones."""
        return list(self._client.list(Pod, labels={ZONE: exists()}, chunk_size=500))

    def budgets(self, version: str) -> Sequence[PodDisruptionBudget]:
        """All of the namespace."""
        if version == "v1":
            return list(self._client.list(PodDisruptionBudget))
        if version == "v1beta1":
            found = self._client.list(_BUDGET_V1BETA1)
            return [cast(PodDisruptionBudget, PodDisruptionBudget.from_dict(_plain(budget))) for budget in found]
        return ()

    def apply(self, name: str, patch: dict[str, Any], *, manager: str, force: bool, dry_run: bool) -> Deployment:
        """Server-side apply of a Deployment."""
        return self._client.patch(
            Deployment, name, patch, patch_type=PatchType.APPLY, field_manager=manager, force=force, dry_run=dry_run
        )

    def resize(self, name: str, patch: dict[str, Any], *, manager: str, dry_run: bool) -> None:
        """Resize a pod in place."""
        self._client.patch(
            PodResize, name, patch, patch_type=PatchType.STRATEGIC, field_manager=manager, dry_run=dry_run
        )

    def write(self, event: Event) -> None:
        """Write an event."""
        self._client.create(event)

    # -- leases --------------------------------------------------------------------------------------------------------

    def get(self, name: str) -> Lease | None:
        """A lease, if there is one."""
        try:
            found = self._client.get(LeaseObject, name)
        except ApiError as error:
            if code_of(error) == 404:
                return None
            raise
        return _lease(found)

    def put(self, name: str, lease: Lease) -> Lease:
        """Create a lease, or replace the one of that version; its renewal is now."""
        now = datetime.now(UTC)
        spec = LeaseSpec(
            holderIdentity=lease.holder,
            leaseDurationSeconds=max(1, round(lease.lease_s)),
            leaseTransitions=lease.transitions,
            renewTime=now,
            acquireTime=lease.acquired or now,
        )
        meta = ObjectMeta(name=name, namespace=self.namespace, resourceVersion=lease.version or None)
        written = LeaseObject(metadata=meta, spec=spec)
        return _lease(self._client.replace(written) if lease.version else self._client.create(written))


def _plain(found: Any) -> dict[str, Any]:
    return {name: value for name, value in dict(found).items() if name in ("metadata", "spec", "status")}


def _lease(found: LeaseObject) -> Lease:
    spec, meta = found.spec or LeaseSpec(), found.metadata or ObjectMeta()
    return Lease(
        holder=spec.holderIdentity or "",
        lease_s=float(spec.leaseDurationSeconds or 0),
        renewed=str(spec.renewTime or ""),
        acquired=spec.acquireTime,
        transitions=spec.leaseTransitions or 0,
        version=meta.resourceVersion or "",
    )
