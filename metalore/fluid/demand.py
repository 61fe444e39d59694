"""What zones are asked for, interval by interval: drawn from a city's settings, or read from a recording.

Axes: `t` intervals, `z` zones, `r` columns of :data:`USED`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from metalore.scenario import Scenario, load
from metalore.scenario.city import City

USED = ("cpu_cores", "memory_mb", "bandwidth_mbps", "latency_ms")
"""What forecasts are of, in the order of `Demand.used`."""
_BY_INTERVAL = ("users", "requests", "request_mbit", "request_gcycle", "floor_s", "announced", "movement", "used")
WEEK_S, DAY_S, HOUR_S = 604_800.0, 86_400.0, 3600.0


class FluidError(ValueError):
    """A demand or a model that cannot be; the message says what would be right."""


@dataclass(frozen=True, eq=False)
class Demand:
    """What a city's zones are asked for.

    Attributes:
        zones: names [z].
        positions: m [z, 2].
        interval_s: length of an interval.
        start_s: of the week, s, at which the first interval begins; 0 is Monday, 0:00.
        users: attached, mean [t, z].
        requests: expected in the interval [t, z].
        request_mbit, request_gcycle: means of one [t, z].
        updates: of sensors, per second [z].
        update_mbit, update_gcycle: means of one.
        update_period_s: from update to update of a sensor.
        floor_s: mean latency that no size avoids [t, z].
        announced: how much an event that is planned, or goes on as planned, multiplies requests; 1: none [t, z].
        used: what zones use when they have plenty [t, z, r]; latency NaN where nothing was completed.
        movement: handovers into a zone per user and minute, for forecasters [t, z]; unset: none.
        planned: how many planned events people are on their way to, and how many are on, for forecasters: [t', z, 2],
            t' >= t; unset: there is no calendar.
        base_mb, per_user_mb, per_job_mb: memory of a zone, an attached user, a job at the server.
        core_ghz: Gcycle/s of a core.
        source: where it is from, in words.

    Raises:
        FluidError: shapes that do not fit, or amounts below zero.
    """

    zones: tuple[str, ...]
    positions: np.ndarray
    interval_s: float
    start_s: float
    users: np.ndarray
    requests: np.ndarray
    request_mbit: np.ndarray
    request_gcycle: np.ndarray
    updates: np.ndarray
    update_mbit: float
    update_gcycle: float
    update_period_s: float
    floor_s: np.ndarray
    announced: np.ndarray
    used: np.ndarray
    movement: np.ndarray | None = None
    planned: np.ndarray | None = None
    base_mb: float = 128.0
    per_user_mb: float = 2.0
    per_job_mb: float = 8.0
    core_ghz: float = 3.0
    source: str = "made by hand"

    def __post_init__(self) -> None:
        shape = (len(self), len(self.zones))
        if self.movement is None:
            object.__setattr__(self, "movement", np.zeros(shape))
        for name in _BY_INTERVAL[:-1]:
            values = getattr(self, name)
            if values.shape != shape:
                raise FluidError(f"{name} of the demand has the shape {values.shape}; {shape} (intervals, zones) fits")
            if not (values >= 0).all():
                raise FluidError(f"{name} of the demand must be known and not negative everywhere")
        if self.used.shape != (*shape, len(USED)):
            raise FluidError(f"what is used has the shape {self.used.shape}; {(*shape, len(USED))} fits")

    def __len__(self) -> int:
        """Number of intervals."""
        return len(self.requests)

    @property
    def num_zones(self) -> int:
        """Number of zones."""
        return len(self.zones)

    def week_s(self, rows: np.ndarray) -> np.ndarray:
        """Time of the week at which intervals begin, s, of their numbers `rows` [...]."""
        at: np.ndarray = (self.start_s + np.asarray(rows) * self.interval_s) % WEEK_S
        return at

    def part(self, first: int, last: int) -> Demand:
        """Intervals from `first` to before `last`."""
        rows = slice(first, last)
        start_s = float((self.start_s + first * self.interval_s) % WEEK_S)
        planned = None if self.planned is None else self.planned[first:]
        return replace(
            self, start_s=start_s, planned=planned, **{name: getattr(self, name)[rows] for name in _BY_INTERVAL}
        )

    def of_zones(self, numbers: np.ndarray | list[int]) -> Demand:
        """Some zones, in that order; a zone may come more than once, under a name of its own then."""
        numbers = np.asarray(numbers)
        seen: dict[str, int] = {}
        names = []
        for z in numbers.tolist():
            count = seen[self.zones[z]] = seen.get(self.zones[z], 0) + 1
            names.append(self.zones[z] if count == 1 else f"{self.zones[z]}#{count}")
        return replace(
            self,
            zones=tuple(names),
            positions=self.positions[numbers],
            updates=self.updates[numbers],
            planned=None if self.planned is None else self.planned[:, numbers],
            **{name: getattr(self, name)[:, numbers] for name in _BY_INTERVAL},
        )

    def neighbours(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The `count` nearest zones of each [z, n] and equal parts for them [z, n]; of a single zone: zeros."""
        count = max(min(count, self.num_zones - 1), 1)
        if self.num_zones == 1:
            return np.zeros((1, 1), np.int64), np.zeros((1, 1))
        distances = np.linalg.norm(self.positions[:, None] - self.positions[None], axis=-1)
        np.fill_diagonal(distances, np.inf)
        nearest = np.argsort(distances, axis=1, kind="stable")[:, :count]
        return nearest.astype(np.int64), np.full((self.num_zones, count), 1.0 / count)

    # -- where it is from ----------------------------------------------------------------------------------------------

    @classmethod
    def drawn(
        cls, scenario: Scenario | str = "city-30", *, days: float = 7.0, seed: int = 0, scale: float = 1.0
    ) -> Demand:
        """Drawn from a city's settings, without simulating who walks where: seconds for weeks.

        People are where the zones' kinds pull them; activities come and go, and slow drift, flash crowds and planned
        events act as :class:`metalore.scenario.city.City` says, each with its own stream of random numbers.

        Args:
            scenario: a city.
            days: length.
            seed: of everything drawn.
            scale: of users, and so of requests.

        Raises:
            FluidError: no city, or no days.
        """
        from metalore.fluid.drawing import draw

        if not (days > 0 and scale > 0):
            raise FluidError(f"{days} days of {scale} times the people cannot be drawn; both must be above 0")
        return draw(load(scenario), days, seed, scale)

    @classmethod
    def recorded(cls, folder: Path | str) -> Demand:
        """From a recording of a city whose zones had plenty (`metalore record`).

        Data and work of a request, and the steady work of sensors, are what explains the recorded use best: a line
        over the requests completed, for each zone.

        Raises:
            FluidError: a recording of no city, or of zones that were too small for what was asked of them.
        """
        from metalore.fluid.recorded import read

        return read(Path(folder))


def city_of(scenario: Scenario) -> City:
    """The city's settings.

    Raises:
        FluidError: there are none.
    """
    if scenario.city is None:
        raise FluidError(f"scenario {scenario.name!r} is no city; demand is drawn from [city] settings")
    return scenario.city
