"""Zones on Kubernetes: their Deployments are sized by server-side apply or in place; see docs/kubernetes.md."""

from metalore.autoscale.kubernetes.actuator import Act, KubernetesZones
from metalore.autoscale.kubernetes.cluster import Cluster, config_of
from metalore.autoscale.kubernetes.lease import Election, LeaseSettings
from metalore.autoscale.kubernetes.retry import Backoff
from metalore.autoscale.kubernetes.settings import KubernetesSettings

__all__ = [
    "Act",
    "Backoff",
    "Cluster",
    "Election",
    "KubernetesSettings",
    "KubernetesZones",
    "LeaseSettings",
    "config_of",
]
