"""What changes in a Kubernetes namespace, told to all who look at the page as it occurs. Nothing is written there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Any

import httpx2

from metalore.autoscale.kubernetes import config_of
from metalore.autoscale.kubernetes.changes import Change, Ledger, plain
from metalore.autoscale.kubernetes.watch import KINDS, Hindrance, Kind, Object, Watch, What, connected
from metalore.serve.live.hub import Hub

LOG = logging.getLogger("metalore.live")

EVERY_S, MOST_AT_ONCE = 0.5, 50
"""How often changes are told, and how many at once; of more, their number is."""
_LONGEST_HINDRANCE = 300


class ClusterNews:
    """Follows Deployments, pods and the controller's events of a namespace.

    Args:
        http: to the API server; it is closed when the page ends.
        namespace: of zones.
    """

    def __init__(self, http: httpx2.AsyncClient, namespace: str) -> None:
        self._http, self.namespace = http, namespace
        self._ledger = Ledger()
        self._followed: set[Kind] = set()
        self._hindrances: dict[Kind, Hindrance] = {}
        self._waiting: list[tuple[str, str]] = []
        self._left_out = 0
        self._told = self._message({})

    async def run(self, hub: Hub) -> None:
        """Tell a hub's sessions until it is cancelled."""
        try:
            async with self._http, asyncio.TaskGroup() as group:
                for kind in KINDS:
                    group.create_task(Watch(self._http, self.namespace, kind, self).run())
                group.create_task(self._tell(hub))
        except Exception:
            LOG.exception("following namespace %s has failed", self.namespace)
            state = f"namespace {self.namespace!r} is not followed any more; see the service's log"
            self._told = self._told | {"state": state, "well": False}
            hub.tell(self._told)

    def so_far(self) -> dict[str, Any]:
        """For a page that comes: the state, and what each zone has."""
        return self._told

    # -- what the watch finds ------------------------------------------------------------------------------------------

    def listed(self, kind: Kind, objects: Sequence[Object]) -> None:
        """See :class:`metalore.autoscale.kubernetes.watch.Listener`, as for the next two."""
        self._note(self._ledger.listed(kind, objects))

    def changed(self, kind: Kind, what: What, thing: Object) -> None:
        """One object has."""
        change = self._ledger.changed(kind, what, thing)
        self._note([] if change is None else [change])

    def hindered(self, kind: Kind, hindrance: Hindrance | None) -> None:
        """Say what is new: a hindrance that no kind had before, one that is over for all, and that all are followed."""
        before = {one.over: one.words for one in self._hindrances.values()}
        if hindrance is None:
            self._hindrances.pop(kind, None)
        else:
            self._hindrances[kind] = hindrance
        now = {one.over: one.words for one in self._hindrances.values()}
        self._note(Change("", plain(words, _LONGEST_HINDRANCE)) for over, words in now.items() if over not in before)
        self._note(Change("", over) for over in before if over not in now)
        if hindrance is None and kind not in self._followed:
            self._followed.add(kind)
            if len(self._followed) == len(KINDS):
                self._note([Change("", self._state())])

    def _note(self, changes: Iterable[Change]) -> None:
        for change in changes:
            if len(self._waiting) < MOST_AT_ONCE:
                self._waiting.append((change.zone, change.text))
            else:
                self._left_out += 1

    # -- what pages are told -------------------------------------------------------------------------------------------

    async def _tell(self, hub: Hub) -> None:
        while True:
            self._tell_now(hub)
            await asyncio.sleep(EVERY_S)

    def _tell_now(self, hub: Hub) -> None:
        notes, self._waiting = self._waiting, []
        if self._left_out:
            notes.append(("", f"and {self._left_out:,} further changes at once"))
            self._left_out = 0
        if notes:
            hub.happened("cluster", *notes)
        zones, before = self._ledger.allocations(), self._told["zones"]
        told = self._message(zones)
        if told != self._told:
            changed = {name: held for name, held in zones.items() if before.get(name) != held}
            hub.tell(told | {"zones": changed | {name: None for name in before if name not in zones}})
            self._told = told

    def _message(self, zones: dict[str, str]) -> dict[str, Any]:
        well = len(self._followed) == len(KINDS) and not self._hindrances
        return {"type": "cluster", "state": self._state(), "well": well, "zones": zones}

    def _state(self) -> str:
        """In words, after "Cluster:"."""
        where = f"namespace {self.namespace!r}"
        if self._hindrances:
            return f"{where}; " + "; ".join(
                {one.over: plain(one.words, _LONGEST_HINDRANCE) for one in self._hindrances.values()}.values()
            )
        if len(self._followed) < len(KINDS):
            return f"{where}, not yet connected"
        count = len(self._ledger.allocations())
        return f"{where} is followed, {count} zone{'' if count == 1 else 's'} in it"


def follow(namespace: str | None = None, kubeconfig: str | None = None, context: str | None = None) -> ClusterNews:
    """A namespace that will be followed as soon as the page runs.

    Args:
        namespace: unset: the kubeconfig's, or the pod's own.
        kubeconfig: file; unset: the pod's own rights, `KUBECONFIG`, or `~/.kube/config`.
        context: of the kubeconfig; unset: its current one.

    Raises:
        AutoscaleError: there is no cluster to connect to; whether it answers is seen later, and shown on the page.
    """
    config = config_of(kubeconfig, context)
    return ClusterNews(connected(config), namespace or config.namespace)
