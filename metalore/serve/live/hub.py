"""All sessions of a service, and the bounds on them."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from typing import TYPE_CHECKING, Any

from pydantic import Field
from pydantic_core import to_json

from metalore.scenario.base import Positive, Settings
from metalore.serve.live.clock import MACHINE, Clock
from metalore.serve.live.wishes import SPEEDS, Offer

if TYPE_CHECKING:  # the simulator takes a second to load, which a service that shows nothing can do without
    from metalore.serve.live.cluster import ClusterNews
    from metalore.serve.live.session import Session, Viewer

MAIN = "main"
"""The session of who names none."""
_NAME = re.compile(r"[a-z0-9-]{1,32}")


class LiveSettings(Settings):
    """Bounds of the live page."""

    speed: float = Field(30.0, ge=SPEEDS[0], le=SPEEDS[-1], description="Simulated s per s that sessions begin with.")
    playing: bool = Field(True, description="Whether sessions run as soon as they begin.")
    max_sessions: int = Field(4, ge=1, description="Cities that run at once; each takes a share of one core.")
    max_viewers: int = Field(64, ge=1, description="Pages that look at them, all together.")
    idle_s: Positive = Field(120.0, description="A session that nobody has looked at for so long ends.")


class RefusedError(Exception):
    """Nobody else can look; the message is one sentence."""


class Hub:
    """Sessions by name, made when somebody looks for them and ended when nobody does.

    Args:
        offer: what may be chosen.
        settings: bounds.
        cluster: whose changes are told; None: there is none.
        clock: that sessions go by.
    """

    def __init__(
        self,
        offer: Offer,
        settings: LiveSettings,
        cluster: ClusterNews | None = None,
        *,
        clock: Clock = MACHINE,
    ) -> None:
        self.offer, self.settings, self.cluster, self.clock = offer, settings, cluster, clock
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Make the main session before anybody looks, so that its first picture is there sooner."""
        threading.Thread(target=self.session, args=(MAIN,), name="metalore-live-begin", daemon=True).start()

    async def join(self, name: str) -> tuple[Session, Viewer]:
        """Look at a session.

        Raises:
            RefusedError: a name that cannot be, or a bound is reached.
        """
        if not _NAME.fullmatch(name):
            raise RefusedError("a session's name has up to 32 of the characters a-z, 0-9 and -")
        self._check_room()
        session = await asyncio.to_thread(self.session, name)
        self._check_room()  # others may have come meanwhile
        viewer = session.join()
        if self.cluster is not None:
            viewer.tell(to_json(self.cluster.so_far()))
        return session, viewer

    def _check_room(self) -> None:
        if self.viewers >= self.settings.max_viewers:
            raise RefusedError(f"{self.settings.max_viewers} pages look already; close one, or raise max_viewers")

    def session(self, name: str) -> Session:
        """The session of a name, made if it does not run.

        Raises:
            RefusedError: as many as are allowed run already.
        """
        from metalore.serve.live.session import Session

        with self._lock:
            session = self._sessions.get(name)
            if session is not None and session.alive:
                return session
            others = {other: s for other, s in self._sessions.items() if s.alive and other != name}
            if len(others) >= self.settings.max_sessions:
                raise RefusedError(
                    f"{self.settings.max_sessions} sessions run already; join one ({', '.join(sorted(others))}), "
                    "or raise max_sessions"
                )
            speed, playing = self.settings.speed, self.settings.playing
            made = Session(name, self.offer, speed=speed, playing=playing, clock=self.clock)
            self._sessions = {**others, name: made}
            return made

    @property
    def viewers(self) -> int:
        """Pages that look, all together."""
        return sum(session.viewers for session in self._sessions.values())

    @property
    def sessions(self) -> list[str]:
        """Names of those that run."""
        return [name for name, session in self._sessions.items() if session.alive]

    def tidy(self) -> None:
        """End sessions that nobody has looked at for too long."""
        now = time.monotonic()
        with self._lock:
            idle = [s for s in self._sessions.values() if not s.viewers and now - s.left_at > self.settings.idle_s]
            self._sessions = {name: s for name, s in self._sessions.items() if s not in idle}
        for session in idle:
            session.stop()

    def happened(self, kind: str, *texts: str | tuple[str, str]) -> None:
        """Tell everybody what the service around does: texts, or zones with texts."""
        notes = [("", one) if isinstance(one, str) else one for one in texts]
        for session in list(self._sessions.values()):
            session.notes(kind, notes)

    def tell(self, message: dict[str, Any]) -> None:
        """Tell all pages something that is no part of any city's story."""
        for session in list(self._sessions.values()):
            session.tell(message)

    def close(self) -> None:
        """End all sessions."""
        for session in self._sessions.values():
            session.stop()
        self._sessions = {}
