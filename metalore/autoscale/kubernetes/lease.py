"""Leader election by a Lease, so that of several controllers one acts.

The rules are those of client-go. Clocks of two machines are never compared: whoever does not lead watches the lease
and counts, on its own clock, how long it has not changed; when that is longer than its duration, it may be taken. The
leader counts from the moment before it sent its last renewal that succeeded, and stops acting `renew_deadline_s` later,
whether or not anything told it so. Since that is shorter than the lease, the old leader stops before a new one begins,
as long as no clock runs faster than the other by half (15 s against 10 s).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from metalore.autoscale.errors import AutoscaleError


@dataclass(frozen=True)
class LeaseSettings:
    """Times of an election.

    Attributes:
        name: of the Lease.
        lease_s: without a renewal for so long it may be taken.
        renew_deadline_s: without a renewal for so long its holder stops acting.
        retry_s: from try to try.

    Raises:
        AutoscaleError: times that make two leaders possible.
    """

    name: str = "metalore-autoscaler"
    lease_s: float = 15.0
    renew_deadline_s: float = 10.0
    retry_s: float = 2.0

    def __post_init__(self) -> None:
        if not self.lease_s > self.renew_deadline_s > self.retry_s > 0:
            raise AutoscaleError(
                f"lease_s is {self.lease_s:g}, renew_deadline_s {self.renew_deadline_s:g} and retry_s {self.retry_s:g};"
                " each must be longer than the next"
            )


@dataclass(frozen=True)
class Lease:
    """What a Lease says.

    Attributes:
        holder: identity; empty: nobody.
        lease_s: how long its holder said that it lasts.
        renewed: time of the last renewal on the holder's clock, which is looked at for nothing but a difference.
        acquired: time on the holder's clock when it became the holder.
        transitions: how often the holder changed.
        version: resource version, which an update must name.
    """

    holder: str
    lease_s: float
    renewed: str = ""
    acquired: datetime | None = None
    transitions: int = 0
    version: str = ""


@dataclass(frozen=True)
class Sight:
    """A lease and since when it has looked like that, on the watcher's own clock."""

    lease: Lease
    since_s: float


def seen(before: Sight | None, lease: Lease, now_s: float) -> Sight:
    """What is known after looking again."""
    if before is not None and before.lease == lease:
        return before
    return Sight(lease, now_s)


def may_take(sight: Sight, identity: str, now_s: float, settings: LeaseSettings) -> bool:
    """Whether a lease may be taken or renewed: it is ours, nobody's, or has not changed for its whole duration."""
    lease = sight.lease
    if lease.holder in ("", identity):
        return True
    return now_s - sight.since_s > max(lease.lease_s, settings.lease_s)


def taken(lease: Lease | None, identity: str, settings: LeaseSettings) -> Lease:
    """The lease as its new or old holder writes it; times that are not known are added in writing."""
    if lease is None:
        return Lease(identity, settings.lease_s)
    if lease.holder == identity:
        return replace(lease, lease_s=settings.lease_s)
    return Lease(identity, settings.lease_s, transitions=lease.transitions + 1, version=lease.version)


class Leases(Protocol):
    """Where leases are kept. Calls raise any exception, also when another was faster."""

    def get(self, name: str) -> Lease | None:
        """The lease, if there is one."""

    def put(self, name: str, lease: Lease) -> Lease:
        """Create it (no version) or replace it (that version); as it is now."""


class Election:
    """One candidate. Whether it leads is asked just before acting.

    Args:
        leases: where they are kept.
        identity: that no other candidate has, not even this one's successor after a restart.
        now: seconds on a clock that never goes back.
        settings: times.

    Attributes:
        problem: why the last try failed, in words.
    """

    def __init__(
        self, leases: Leases, identity: str, now: Callable[[], float], settings: LeaseSettings | None = None
    ) -> None:
        self._leases, self.identity, self._now = leases, identity, now
        self.settings = settings or LeaseSettings()
        self._sight: Sight | None = None
        self._renewed_s: float | None = None
        self.problem = ""

    @property
    def leads(self) -> bool:
        """Whether acting is safe at this moment."""
        renewed_s = self._renewed_s
        return renewed_s is not None and self._now() - renewed_s < self.settings.renew_deadline_s

    @property
    def holder(self) -> str:
        """Who led when the lease was last looked at."""
        return self._sight.lease.holder if self._sight else ""

    def step(self) -> None:
        """One try to take or renew the lease."""
        try:
            self._try()
            self.problem = ""
        except Exception as error:  # whatever fails: the lease runs out by itself
            self.problem = f"the lease failed: {type(error).__name__}: {error}"

    def _try(self) -> None:
        now_s = self._now()
        lease = self._leases.get(self.settings.name)
        if lease is not None:
            self._sight = seen(self._sight, lease, self._now())
            if lease.holder != self.identity:
                self._renewed_s = None
            if not may_take(self._sight, self.identity, now_s, self.settings):
                return
        kept = self._leases.put(self.settings.name, taken(lease, self.identity, self.settings))
        self._sight, self._renewed_s = Sight(kept, now_s), now_s

    def release(self) -> None:
        """Give the lease back, so that the next leader need not wait."""
        if not self.leads or self._sight is None:
            return
        self._renewed_s = None
        try:
            self._leases.put(self.settings.name, replace(self._sight.lease, holder=""))
        except Exception as error:  # then it runs out
            self.problem = f"the lease was not given back: {type(error).__name__}: {error}"

    def run(self, stopped: threading.Event) -> None:
        """Try again and again until told to stop, then give the lease back; for a thread of its own."""
        while not stopped.is_set():
            self.step()
            stopped.wait(self.settings.retry_s)
        self.release()
