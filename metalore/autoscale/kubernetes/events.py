"""What is written about a Deployment for `kubectl describe`. No I/O."""

from __future__ import annotations

from datetime import UTC, datetime

from lightkube.models.core_v1 import EventSource, ObjectReference
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Event

COMPONENT = "metalore-autoscaler"
_LONGEST = 1024


def event_of(deployment: Deployment, reason: str, words: str, *, warning: bool, identity: str, now_s: float) -> Event:
    """An event on a Deployment.

    Args:
        deployment: it is about.
        reason: one word in CamelCase.
        words: for people; what is longer than the server takes is cut.
        warning: whether something went wrong.
        identity: of the controller.
        now_s: s since 1970.
    """
    meta = deployment.metadata
    assert meta is not None
    time = datetime.fromtimestamp(now_s, UTC)
    return Event(
        metadata=ObjectMeta(generateName=f"{meta.name}.", namespace=meta.namespace),
        involvedObject=ObjectReference(
            apiVersion="apps/v1",
            kind="Deployment",
            name=meta.name,
            namespace=meta.namespace,
            uid=meta.uid,
            resourceVersion=meta.resourceVersion,
        ),
        reason=reason,
        message=words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…",
        type="Warning" if warning else "Normal",
        source=EventSource(component=COMPONENT, host=identity),
        count=1,
        firstTimestamp=time,
        lastTimestamp=time,
    )
