"""What makes a scenario hard: demand that drifts, crowds that nobody expects, stations that fail, forecasts that err.

Axes: `t` intervals of an episode, `z` zones.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from metalore.fluid.demand import DAY_S, FluidError


@dataclass(frozen=True)
class Disturbances:
    """Of an episode, drawn anew for each; all 0: none.

    Attributes:
        drift_sd: by the end of an episode requests have become more or fewer by a factor exp(N(0, sd^2)), zone by zone,
            steadily.
        crowds_per_day: sudden crowds, of a zone and day.
        crowd_factor: on requests meanwhile.
        crowd_s: mean duration, exponential.
        announced_part: of crowds that are announced, `lead_s` before they begin.
        lead_s: see above.
        failures_per_day: of a zone's station, of a zone and day.
        failure_s: mean duration, exponential.
        stale_per_day: times a day that forecasts stop being renewed, for all zones.
        stale_s: mean duration, exponential.
        bias_sd: forecasts are off by a factor exp(N(0, sd^2)) all the episode long, zone by zone.

    Raises:
        FluidError: a setting below 0, or a part above 1.
    """

    drift_sd: float = 0.0
    crowds_per_day: float = 0.0
    crowd_factor: float = 3.0
    crowd_s: float = 1500.0
    announced_part: float = 0.0
    lead_s: float = 1800.0
    failures_per_day: float = 0.0
    failure_s: float = 900.0
    stale_per_day: float = 0.0
    stale_s: float = 1200.0
    bias_sd: float = 0.0

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            if not value >= 0 or (setting.name == "announced_part" and value > 1):
                raise FluidError(f"disturbances.{setting.name} is {value}; it cannot be negative, nor a part above 1")

    @classmethod
    def hard(cls) -> Disturbances:
        """The complex scenario: everything at once."""
        return cls(
            drift_sd=0.3, crowds_per_day=1.0, announced_part=0.5, failures_per_day=0.2, stale_per_day=4.0, bias_sd=0.3
        )

    def draw(self, rng: np.random.Generator, intervals: int, zones: int, interval_s: float) -> Course:
        """The course of an episode of so many `intervals` [t] and `zones` [z]."""
        shape = (intervals, zones)
        ramp = np.linspace(0.0, 1.0, intervals)[:, None]
        factor = np.exp(ramp * self.drift_sd * rng.standard_normal(zones))
        announced = np.ones(shape)
        for z, first, last in self._spells(rng, self.crowds_per_day, self.crowd_s, shape, interval_s):
            factor[first:last, z] *= self.crowd_factor
            if rng.random() < self.announced_part:
                begin = max(first - round(self.lead_s / interval_s), 0)
                announced[begin:last, z] = np.maximum(announced[begin:last, z], self.crowd_factor)
        up = np.ones(shape, bool)
        for z, first, last in self._spells(rng, self.failures_per_day, self.failure_s, shape, interval_s):
            up[first:last, z] = False
        known = np.arange(intervals)
        for _, first, last in self._spells(rng, self.stale_per_day, self.stale_s, (intervals, 1), interval_s):
            known[first:last] = np.minimum(known[first:last], first)
        bias = np.exp(self.bias_sd * rng.standard_normal(zones))
        return Course(factor, up, announced, np.arange(intervals) - known, bias)

    def _spells(
        self, rng: np.random.Generator, per_day: float, mean_s: float, shape: tuple[int, int], interval_s: float
    ) -> list[tuple[int, int, int]]:
        """Zone, first interval and the one after the last, of spells that begin at random."""
        if per_day == 0:
            return []
        begins = np.argwhere(rng.random(shape) < per_day * interval_s / DAY_S)
        lengths = np.maximum(np.rint(rng.exponential(mean_s, len(begins)) / interval_s), 1).astype(int)
        return [(int(z), int(t), int(t + n)) for (t, z), n in zip(begins, lengths, strict=True)]


@dataclass(frozen=True, eq=False)
class Course:
    """Of an episode.

    Attributes:
        factor: on requests, [t, z].
        up: zones that work, boolean [t, z].
        announced: factor on requests that is announced, now or soon; 1: none, [t, z].
        age: how many intervals old forecasts are, [t].
        bias: factor on forecasts, [z].
    """

    factor: np.ndarray
    up: np.ndarray
    announced: np.ndarray
    age: np.ndarray
    bias: np.ndarray
