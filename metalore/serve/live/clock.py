"""Time as a session goes by: the machine's, or that of a film, which goes on when the next frame is wanted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

_LOOK_S = 0.5


class Clock(Protocol):
    """What a session needs of the module :mod:`time`."""

    def monotonic(self) -> float:
        """Seconds since some moment."""

    def sleep(self, seconds: float, /) -> None:
        """Let so much time pass."""


MACHINE: Clock = time
"""The machine's own."""


class FilmClock:
    """Stands still while its one sleeper works, so a film's time is even however long its frames take.

    One thread sleeps by it; another one lets it go on.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._wakes: float | None = None  # when the sleeper wants to; None: it is awake
        self._changed = threading.Condition()
        self._over = False

    def monotonic(self) -> float:
        """Seconds of the film."""
        return self._now

    def sleep(self, seconds: float, /) -> None:
        """Wait until the film is so far."""
        with self._changed:
            self._wakes = self._now + seconds
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._over or self._wakes is None)
            self._wakes = None

    def advance_to(self, time_s: float, waiting: Callable[[], None] = lambda: None) -> None:
        """Let all pass that happens up to a time, each thing at its own.

        Args:
            time_s: not before the present one.
            waiting: called twice a second while the sleeper works; what it raises ends the waiting.
        """
        with self._changed:
            while (wakes := self._asleep(waiting)) <= time_s:
                self._now, self._wakes = wakes, None
                self._changed.notify_all()
            self._now = time_s

    def _asleep(self, waiting: Callable[[], None]) -> float:
        """Wait for the sleeper to sleep; when it wants to be woken."""
        while self._wakes is None:
            if not self._changed.wait(_LOOK_S):
                waiting()
        return self._wakes

    def close(self) -> None:
        """Let the sleeper go, and nobody sleep again."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
