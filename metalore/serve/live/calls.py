"""Calls that the service around the page answers, told once a second at most."""

from __future__ import annotations

import time
from collections import Counter

from metalore.serve.live.hub import Hub

_EVERY_S = 1.0
SHOWN = frozenset({"/predict", "/predict/batch", "/forecasts", "/observe", "/embed"})


class Calls:
    """Counts answers and tells those who look.

    Attributes:
        hub: whose sessions are told; None: nobody.
    """

    def __init__(self) -> None:
        self.hub: Hub | None = None
        self._counts: Counter[tuple[str, str, int]] = Counter()
        self._seconds = self._told_at = 0.0

    def answered(self, method: str, path: str, status: int, seconds: float) -> None:
        """One more; those after the last telling are told with the next one."""
        if self.hub is None or not self.hub.viewers or path not in SHOWN:
            return
        self._counts[method, path, status] += 1
        self._seconds += seconds
        now = time.monotonic()
        if now - self._told_at >= _EVERY_S:
            self.hub.happened("service", self._in_words())
            self._counts.clear()
            self._seconds, self._told_at = 0.0, now

    def _in_words(self) -> str:
        calls = ", ".join(
            f"{method} {path} {status}" + (f" ({count} times)" if count > 1 else "")
            for (method, path, status), count in self._counts.items()
        )
        return f"{calls}; {1000 * self._seconds / self._counts.total():.1f} ms each"
