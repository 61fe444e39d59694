"""What zones use, read from the `/metrics` of `metalore zone` or of anything that says the same.

CPU is the growth of a counter between two looks, divided by the time between them; memory, bandwidth and users are as
they are at the second look. A zone that does not answer is not known for that interval.
"""

from __future__ import annotations

import urllib.request
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from metalore.autoscale.errors import AutoscaleError
from metalore.autoscale.model import Usage

CPU_SECONDS = "metalore_zone_cpu_seconds_total"
MEMORY_BYTES = "metalore_zone_memory_bytes"
BANDWIDTH_MBPS = "metalore_zone_bandwidth_mbps"
USERS = "metalore_zone_active_users"

_TIMEOUT_S = 2.0
_AT_ONCE = 16
_LARGEST = 1_000_000


@dataclass(frozen=True)
class Look:
    """What a zone said, and when.

    Attributes:
        time_s: when it was asked.
        values: by name of the metric; empty: it did not answer.
    """

    time_s: float
    values: Mapping[str, float]


def metrics_of(text: str) -> dict[str, float]:
    """Values by name from Prometheus' text format; of several series of one name the last counts."""
    values = {}
    for line in text.splitlines():
        name, _, rest = line.partition("{") if "{" in line else line.partition(" ")
        parts = rest.rpartition("}")[2].split()
        if not line.startswith("#") and parts:
            try:
                values[name] = float(parts[0])
            except ValueError:
                continue
    return values


def used(before: Look, now: Look) -> tuple[float, float, float]:
    """Cores, MB and Mbit/s between two looks; NaN where not known, also after a counter began anew."""
    memory = now.values.get(MEMORY_BYTES, np.nan) / 1e6
    cores = np.nan
    if now.time_s > before.time_s:
        spent = now.values.get(CPU_SECONDS, np.nan) - before.values.get(CPU_SECONDS, np.nan)
        cores = spent / (now.time_s - before.time_s) if spent >= 0 else np.nan
    return cores, memory, now.values.get(BANDWIDTH_MBPS, np.nan)


def fetched(address: str) -> str:
    """What an HTTP server says; empty if it does not."""
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer:
            return str(answer.read(_LARGEST).decode("utf-8", "replace"))
    except (OSError, ValueError):  # no answer, or none that is HTTP
        return ""


class ZoneMetrics:
    """Usage of zones that are asked once in every interval, to be handed to a controller as what observes.

    Args:
        zones: names.
        address: of a zone's metrics, in which `{zone}` stands for its name.
        now: clock of the controller.
        interval_s: of the controller.
        kept: how many intervals are remembered; 8 days of minutes, as the VPA looks at.
        fetch: for tests.

    Raises:
        AutoscaleError: an address that is the same for several zones, or not HTTP.
    """

    def __init__(
        self,
        zones: Sequence[str],
        address: str,
        now: Callable[[], float],
        *,
        interval_s: float = 60.0,
        kept: int = 11_520,
        fetch: Callable[[str], str] = fetched,
    ) -> None:
        if not address.startswith(("http://", "https://")) or ("{zone}" not in address and len(zones) > 1):
            raise AutoscaleError(f"{address!r} is no address of zones; http://zone-{{zone}}:8080/metrics would be one")
        self._zones, self._now, self._interval_s, self._fetch = tuple(zones), now, interval_s, fetch
        self._addresses = [address.replace("{zone}", zone) for zone in zones]
        self._last: list[Look] = []
        self._looked_s = -np.inf
        self._times: deque[float] = deque(maxlen=kept)
        self._used: deque[np.ndarray] = deque(maxlen=kept)
        self._users: deque[np.ndarray] = deque(maxlen=kept)

    def __call__(self) -> Usage:
        """Ask all zones; usage up to now."""
        now_s = self._now()
        if now_s - self._looked_s >= self._interval_s / 2:  # a shorter one would say little about CPU
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                looks = [Look(now_s, metrics_of(text)) for text in pool.map(self._fetch, self._addresses)]
            self._remember(looks)
            self._last, self._looked_s = looks, now_s
        if not self._times:
            return Usage.nothing(self._zones, self._interval_s)
        others = {"active_users": np.stack(self._users)}
        return Usage(np.array(self._times), self._zones, np.stack(self._used), self._interval_s, None, others)

    def _remember(self, looks: Sequence[Look]) -> None:
        """The interval between the looks before and these; it begins at a multiple of its length."""
        start_s = self._interval_s * round((looks[0].time_s - self._interval_s) / self._interval_s)
        if not self._last or (self._times and start_s <= self._times[-1]):
            return
        self._times.append(start_s)
        self._used.append(np.array([used(before, look) for before, look in zip(self._last, looks, strict=True)]))
        self._users.append(np.array([look.values.get(USERS, np.nan) for look in looks]))
