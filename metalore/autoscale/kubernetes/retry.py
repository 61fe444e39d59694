"""Trying again what fails for a while: exponential backoff with jitter, on a clock that is handed in, and bounded."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import httpx2
from lightkube.core.exceptions import ApiError

from metalore.autoscale.controller import Clock
from metalore.autoscale.errors import AutoscaleError

P = ParamSpec("P")
T = TypeVar("T")

_BUSY = (429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Backoff:
    """How long to wait between tries.

    Attributes:
        first_s: before the second try, at most; half of it at least, by chance.
        factor: by which that grows from try to try.
        most_s: where it stops growing.
        patience_s: after which nothing is tried again, counted over all that belongs to one decision. It should be well
            below the interval between decisions.

    Raises:
        AutoscaleError: a setting that cannot be.
    """

    first_s: float = 0.5
    factor: float = 2.0
    most_s: float = 8.0
    patience_s: float = 20.0

    def __post_init__(self) -> None:
        if not (0 < self.first_s <= self.most_s and self.factor >= 1 and self.patience_s >= 0):
            raise AutoscaleError(f"{self} cannot be: 0 < first_s <= most_s, factor >= 1 and patience_s >= 0 fit")

    def pause_s(self, tries: int, asked_s: float, chance: float) -> float:
        """Seconds until the next try.

        Args:
            tries: made so far, at least 1.
            asked_s: what the server asked for (Retry-After); it is never undercut.
            chance: in [0, 1).
        """
        grown = min(self.first_s * self.factor ** min(tries - 1, 64), self.most_s)
        return max(grown * (0.5 + 0.5 * chance), asked_s)


def may_pass(error: Exception) -> bool:
    """Whether trying again may help: the server is throttling, overloaded, starting, or not reached."""
    if isinstance(error, httpx2.HTTPStatusError):
        return code_of(error) in _BUSY
    return isinstance(error, httpx2.TransportError)


def code_of(error: Exception) -> int:
    """HTTP status of an error; 0 if there was no answer."""
    if isinstance(error, ApiError) and error.status is not None and error.status.code:
        return int(error.status.code)
    return error.response.status_code if isinstance(error, httpx2.HTTPStatusError) else 0


def asked_for_s(error: Exception) -> float:
    """Seconds that the server asks to wait; 0 if it does not."""
    response = error.response if isinstance(error, httpx2.HTTPStatusError) else None
    try:
        return max(0.0, float(response.headers.get("Retry-After", 0))) if response is not None else 0.0
    except ValueError:  # a date, which the API server does not send
        return 0.0


class Patience:
    """Tries again until it runs out; one for each decision.

    Args:
        backoff: how long to wait.
        clock: on which.
        chance: where jitter comes from.
    """

    def __init__(self, backoff: Backoff, clock: Clock, chance: random.Random) -> None:
        self._backoff, self._clock, self._chance = backoff, clock, chance
        self._end_s = clock.now() + backoff.patience_s

    def __call__(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a call gives at last. Raises what it raised last."""
        tries = 0
        while True:
            try:
                return call(*args, **kwargs)
            except httpx2.HTTPError as error:
                tries += 1
                pause_s = self._backoff.pause_s(tries, asked_for_s(error), self._chance.random())
                if not may_pass(error) or self._clock.now() + pause_s > self._end_s:
                    raise
                self._clock.sleep_until(self._clock.now() + pause_s)
