"""What users need, and taking it. Units: cores, MB (10**6 bytes), Mbit/s."""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import threading
import time
from dataclasses import dataclass, fields

PERIOD_S = 0.1
"""In each, a thread burns its part and sleeps the rest; short enough for a cgroup's quota to see an even load."""
_HASHES = 400
"""Per piece of work: about 0.2 ms, in which no other thread is held up."""
_BLOCK_MB = 4


class ZoneError(ValueError):
    """A setting or input of a zone that cannot be."""


@dataclass(frozen=True)
class Demand:
    """What users need, and how much is taken at most whatever they need.

    Attributes:
        base_cores, base_mb: without users; the process itself is a part of that memory.
        cores_per_user, mb_per_user, mbps_per_user: for each.
        most_cores, most_mb: bounds of what is taken.

    Raises:
        ZoneError: a setting that is negative, infinite or no number.
    """

    base_cores: float = 0.02
    base_mb: float = 128.0
    cores_per_user: float = 0.01
    mb_per_user: float = 2.0
    mbps_per_user: float = 0.5
    most_cores: float = 1.0
    most_mb: float = 1024.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value >= 0):
                raise ZoneError(f"{field.name} is {value}; it must be a number of at least 0")

    def cores(self, users: float) -> float:
        """Cores that so many users need, bounded."""
        return min(self.base_cores + self.cores_per_user * users, self.most_cores)

    def memory_mb(self, users: float) -> float:
        """MB, bounded."""
        return min(self.base_mb + self.mb_per_user * users, self.most_mb)

    def bandwidth_mbps(self, users: float) -> float:
        """Mbit/s; a number alone, no traffic is made."""
        return self.mbps_per_user * users


def read_users(text: str | bytes) -> float:
    """Users from a request or a file: a number, or JSON with `active_users`.

    Raises:
        ZoneError: anything else, or a number that cannot be.
    """
    try:
        content = json.loads(text)
        users = float(content["active_users"] if isinstance(content, dict) else content)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ZoneError('users are a number, or JSON like {"active_users": 12}') from None
    if not (math.isfinite(users) and users >= 0):
        raise ZoneError(f"active_users is {users}; it must be a number of at least 0")
    return users


class Workload:
    """Burns CPU and holds memory for its users until it is stopped.

    Args:
        demand: of users.
        users: to begin with.

    Attributes:
        users: now.
    """

    def __init__(self, demand: Demand, users: float = 0.0) -> None:
        self.demand, self.users = demand, users
        self._stopped = threading.Event()
        self._memory = Memory()
        self._threads = [
            threading.Thread(target=self._burn, name=f"burn-{i}", daemon=True)
            for i in range(max(1, math.ceil(demand.most_cores)))
        ]
        self._threads.append(threading.Thread(target=self._hold, name="hold", daemon=True))

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, and give everything back."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        self._memory.hold(0.0)

    @property
    def is_healthy(self) -> bool:
        """Whether all its threads live."""
        return all(thread.is_alive() for thread in self._threads)

    @property
    def memory_bytes(self) -> int:
        """Resident memory of the process."""
        return resident_bytes()

    @staticmethod
    def cpu_seconds() -> float:
        """CPU time of the process so far."""
        return time.process_time()

    def _burn(self) -> None:
        """A thread's even part of the cores, never more than one."""
        threads = len(self._threads) - 1
        while not self._stopped.is_set():
            end = time.monotonic() + PERIOD_S
            spend(PERIOD_S * min(1.0, self.demand.cores(self.users) / threads), end)
            self._stopped.wait(max(0.0, end - time.monotonic()))

    def _hold(self) -> None:
        while not self._stopped.is_set():
            self._memory.hold(self.demand.memory_mb(self.users))
            self._stopped.wait(PERIOD_S)


def spend(cpu_s: float, end: float) -> None:
    """Use so much CPU time in this thread, or less if that time (monotonic) comes first."""
    begin = time.thread_time()
    while time.thread_time() - begin < cpu_s and time.monotonic() < end:
        hashlib.pbkdf2_hmac("sha256", b"a zone", b"its users", _HASHES)


class Memory:
    """Blocks of memory, written to so that they are resident, and given back to the system when they go."""

    def __init__(self) -> None:
        self._blocks: list[mmap.mmap] = []
        self._own_mb = resident_bytes() / 1e6

    def hold(self, total_mb: float) -> None:
        """Hold as much as makes the process so large; it never gets smaller than the process itself."""
        wanted = max(0, math.floor((total_mb - self._own_mb) / _BLOCK_MB))
        while len(self._blocks) > wanted:
            self._blocks.pop().close()
        while len(self._blocks) < wanted:
            self._blocks.append(_block())


def _block() -> mmap.mmap:
    size = _BLOCK_MB * 1_000_000
    block = mmap.mmap(-1, size)
    for start in range(0, size, mmap.PAGESIZE):
        block[start] = 1
    return block


def resident_bytes() -> int:
    """Resident memory of this process, as Linux counts it."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
