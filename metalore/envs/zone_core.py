"""What environments of zone sizing share: a batch of cities or single zones, their sizes, and what agents see of them.

Axes: `e` environments, `z` zones, `r` resources, `f` features, `h` horizons, `q` quantiles 0.5 and 0.9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, Protocol

import numpy as np

from metalore.autoscale.agents.features import DEFAULT, RECENT, Look, Observer, smoothed_error
from metalore.autoscale.agents.ranges import Ranges
from metalore.autoscale.agents.reward import Happened, Reward
from metalore.autoscale.drift import Drift
from metalore.fluid import Demand, FluidError, Outcome
from metalore.fluid.ahead import Ahead, forecasts_of
from metalore.fluid.disturbances import Course, Disturbances

OFFLOAD_STEP, OFFLOAD_MOST = 0.1, 0.5
"""Part of its requests that a zone may hand to neighbours, and by how much it changes in an interval."""
_ROOM = 1.5
"""Zones begin with so many times what they would use."""


@dataclass(frozen=True)
class ZoneSettings:
    """What agents see and do, and what they are rewarded for.

    Attributes:
        ranges: least, most and step of each resource.
        reward: weights of the terms.
        features: blocks of :data:`metalore.autoscale.agents.FEATURES`.
        horizons: intervals ahead of the forecasts shown; 1 is the interval that an action is for.
        recent: intervals of telemetry shown.
        latency_ahead: show forecasts of latency too; the autoscaler has none.
        forecast: `foresight`, `last-value`, `none`, or the folder of a kept forecaster.
        intervals: of an episode.
        part: of the demand's time from which episodes are taken, as two parts of it.
        disturbances: what makes it hard.
        city_part: of a zone's reward that is the mean over the city.
        budget: of cores, MB, Mbit/s that the zones of a city have together; infinite: no budget.
        offload: whether zones may hand requests to neighbours.
        starts_anywhere: begin with sizes at random, so that training sees all of them.

    Raises:
        FluidError: a setting that cannot be.
    """

    ranges: Ranges = field(default_factory=Ranges)
    reward: Reward = field(default_factory=Reward)
    features: tuple[str, ...] = DEFAULT
    horizons: tuple[int, ...] = (1,)
    recent: int = 1
    latency_ahead: bool = True
    forecast: str = "last-value"
    intervals: int = 120
    part: tuple[float, float] = (0.0, 1.0)
    disturbances: Disturbances = field(default_factory=Disturbances)
    city_part: float = 0.0
    budget: tuple[float, float, float] = (np.inf, np.inf, np.inf)
    offload: bool = False
    starts_anywhere: bool = False

    def __post_init__(self) -> None:
        if self.intervals < 1:
            raise FluidError(f"an episode of {self.intervals} intervals is none; at least 1 is needed")
        if not 0 <= self.part[0] < self.part[1] <= 1:
            raise FluidError(f"part is {self.part}; it needs 0 <= first < last <= 1")
        if not 0 <= self.city_part <= 1:
            raise FluidError(f"city_part is {self.city_part}; it is a part of the reward, in [0, 1]")
        self.observer()  # refuses features that do not exist

    def observer(self) -> Observer:
        """What puts features together."""
        return Observer.of(
            self.ranges,
            features=self.features,
            horizons=self.horizons,
            recent=self.recent,
            latency_target_ms=self.reward.latency_target_ms,
            latency_ahead=self.latency_ahead,
        )

    def updated(self, **settings: Any) -> ZoneSettings:
        """The same with other settings; parts of `ranges`, `reward` and `disturbances` may be given as mappings.

        Raises:
            FluidError: no such setting.
        """
        known = [one.name for one in fields(self)]
        for name in settings:
            if name not in known:
                raise FluidError(f"zones have no setting {name!r}; there are {', '.join(known)}")
        made = {name: _made(getattr(self, name), value) for name, value in settings.items()}
        return replace(self, **made)


def _made(before: Any, value: Any) -> Any:
    """A setting as users write it: parts of a group as a mapping, sequences as tuples."""
    if isinstance(before, Ranges | Reward | Disturbances) and isinstance(value, Mapping):
        known = [one.name for one in fields(before)]
        for name in value:
            if name not in known:
                raise FluidError(f"{type(before).__name__.lower()} has no {name!r}; there are {', '.join(known)}")
        return replace(before, **{name: _made(None, part) for name, part in value.items()})
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(value)
    return value


class Zones(Protocol):
    """What runs zones through intervals: :class:`metalore.fluid.FluidZones`, or a real world.

    `own_demand`: each reset brings a demand of its own, which can be neither multiplied nor handed over.
    """

    own_demand: bool
    demand: Demand
    num_envs: int
    num_zones: int
    row: np.ndarray
    zone_of: np.ndarray

    def reset(
        self,
        seeds: Sequence[int] | np.ndarray,
        rows: np.ndarray | int = 0,
        zones: np.ndarray | None = None,
        chosen: np.ndarray | None = None,
        episodes: np.ndarray | int = 0,
    ) -> None:
        """Begin episodes."""

    def advance(
        self,
        given: np.ndarray,
        *,
        up: np.ndarray | None = None,
        factor: np.ndarray | float = 1.0,
        offload: np.ndarray | None = None,
    ) -> Outcome:
        """Run an interval."""


class Stepped(NamedTuple):
    """What a step gives: rewards and terms [e, z, ...], what happened, and whether episodes are over [e]."""

    rewards: np.ndarray
    terms: np.ndarray
    happened: Happened
    violated: np.ndarray
    truncated: np.ndarray


class ZoneCore:
    """A batch of cities whose zones are sized interval by interval.

    Args:
        zones: what runs them.
        settings: what is seen, done and rewarded.

    Raises:
        FluidError: a demand shorter than an episode, or a budget that is not enough for the least sizes.
    """

    def __init__(self, zones: Zones, settings: ZoneSettings) -> None:
        self.zones, self.settings, self.ranges = zones, settings, settings.ranges
        self.observer = settings.observer()
        self._check()
        e, z = zones.num_envs, zones.num_zones
        self.shape = (e, z)
        self.levels = np.zeros((e, z, 3), np.int64)
        self.offload = np.zeros((e, z))
        self.t = np.zeros(e, np.int64)
        self.seeds, self.episodes = np.zeros(e, np.int64), np.full(e, -1)
        self._recent = np.full((e, z, settings.recent, len(RECENT)), np.nan)
        self._error = np.zeros((e, z))
        self._drift = Drift() if "distrust" in settings.features else None
        self._errors = np.full((self._drift.window if self._drift else 0, e, z), np.nan)
        n = settings.intervals
        self._factor, self._up = np.ones((n, e, z)), np.ones((n, e, z), bool)
        self._announced, self._age, self._bias = np.ones((n, e, z)), np.zeros((n, e), np.int64), np.ones((e, z))
        self._ahead: Ahead = forecasts_of(settings.forecast, zones.demand, settings.horizons)
        self._forecast = np.full((e, z, len(settings.horizons), 4, 2), np.nan)

    def _check(self) -> None:
        demand, settings = self.zones.demand, self.settings
        first, last = self._rows()
        if last - first < settings.intervals:
            raise FluidError(
                f"part {settings.part} of a demand of {len(demand)} intervals is shorter than an episode of "
                f"{settings.intervals}"
            )
        disturbed = settings.disturbances.drift_sd or settings.disturbances.crowds_per_day
        if self.zones.own_demand and (disturbed or settings.offload):
            raise FluidError(
                "the world draws its own requests, where they are asked: drift and crowds are settings of its scenario "
                "(city.drift, city.flash_crowds); take the fluid for disturbances and offload"
            )
        if len(settings.budget) != 3:
            raise FluidError(f"the budget {settings.budget} must have three numbers: cores, MB, Mbit/s")
        least = self.ranges.least * self.zones.num_zones
        if (least > settings.budget).any():
            raise FluidError(
                f"the budget {settings.budget} is less than the least sizes of {self.zones.num_zones} zones together, "
                f"{tuple(least.round(3).tolist())}"
            )

    def _rows(self) -> tuple[int, int]:
        length, (first, last) = len(self.zones.demand), self.settings.part
        return round(first * length), round(last * length)

    # -- episodes ------------------------------------------------------------------------------------------------------

    def reset(self, seeds: Sequence[int] | None = None, chosen: np.ndarray | None = None) -> np.ndarray:
        """Begin episodes; without seeds the next ones of the present seeds. Features [c, z, f] of those chosen."""
        chosen = np.arange(len(self.t)) if chosen is None else np.asarray(chosen)
        if seeds is None:
            self.episodes[chosen] += 1
        else:
            self.seeds[chosen], self.episodes[chosen] = seeds, 0
        rows, zones = np.empty(len(chosen), np.int64), np.zeros(len(chosen), np.int64)
        rngs = [np.random.default_rng([int(self.seeds[e]), int(self.episodes[e]), 8]) for e in chosen]
        first, last = self._rows()
        for i, rng in enumerate(rngs):
            rows[i] = rng.integers(first, last - self.settings.intervals + 1)
            zones[i] = rng.integers(self.zones.demand.num_zones)
        single = self.shape[1] == 1
        self.zones.reset(self.seeds[chosen], rows, zones if single else None, chosen, self.episodes[chosen])
        if self.zones.own_demand:
            self._ahead = forecasts_of(self.settings.forecast, self.zones.demand, self.settings.horizons)
        for i, e in enumerate(chosen):
            self._begin(int(e), rngs[i])
        self.t[chosen], self._error[chosen], self._recent[chosen], self.offload[chosen] = 0, 0.0, np.nan, 0.0
        self._errors[:, chosen] = np.nan
        self._look_ahead(chosen)
        return self.observe()[chosen]

    def _begin(self, e: int, rng: np.random.Generator) -> None:
        settings, z = self.settings, self.shape[1]
        course: Course = settings.disturbances.draw(rng, settings.intervals, z, self.zones.demand.interval_s)
        self._factor[:, e], self._up[:, e], self._announced[:, e] = course.factor, course.up, course.announced
        self._age[:, e], self._bias[e] = course.age, course.bias
        if settings.starts_anywhere:
            self.levels[e] = rng.integers(0, self.ranges.top + 1, (z, 3))
        else:
            row, of = max(int(self.zones.row[e]) - 1, 0), self.zones.zone_of[e]
            self.levels[e] = self.ranges.levels(np.nan_to_num(_ROOM * self.zones.demand.used[row, of, :3]))
        if np.isfinite(settings.budget).any():  # as much as there is, in equal parts at most
            fair = np.floor((np.array(settings.budget) / z - self.ranges.least) / self.ranges.step + 1e-9)
            self.levels[e] = np.minimum(self.levels[e], np.minimum(fair, self.ranges.top).astype(np.int64))

    # -- steps ---------------------------------------------------------------------------------------------------------

    def mask(self) -> np.ndarray:
        """Moves that are allowed, boolean [e, z, r, 3]: within ranges and budget; zones that are down keep."""
        mask = self.ranges.mask(self.levels)
        given = self.ranges.amounts(self.levels).sum(axis=1)
        mask[..., 2] &= (given + self.ranges.step <= np.array(self.settings.budget) + 1e-9)[:, None]
        up = self.up
        mask[..., 0] &= up[..., None]
        mask[..., 2] &= up[..., None]
        return mask

    def offload_mask(self) -> np.ndarray:
        """Less, as much, more for neighbours: what is allowed, boolean [e, z, 3]."""
        return np.stack([self.offload > 1e-9, np.ones(self.shape, bool), self.offload < OFFLOAD_MOST - 1e-9], axis=-1)

    @property
    def up(self) -> np.ndarray:
        """Zones that work in the interval that comes next, [e, z]."""
        return self._up[np.minimum(self.t, self.settings.intervals - 1), np.arange(self.shape[0])]

    @property
    def given(self) -> np.ndarray:
        """Cores, MB, Mbit/s, [e, z, r]."""
        return self.ranges.amounts(self.levels)

    def step(self, moves: np.ndarray, offload: np.ndarray | None = None) -> Stepped:
        """Move sizes, run an interval, reward.

        Args:
            moves: -1, 0 or 1 for each resource, [e, z, r]; what is not allowed counts as 0.
            offload: -1, 0 or 1: less, as much, or more is handed to neighbours, [e, z].
        """
        before = self.levels.copy()
        self.levels += self._granted(
            np.where(np.take_along_axis(self.mask(), moves[..., None] + 1, -1)[..., 0], moves, 0)
        )
        if offload is not None and self.settings.offload:
            self.offload = np.clip(self.offload + OFFLOAD_STEP * offload, 0.0, OFFLOAD_MOST)
        now = np.minimum(self.t, self.settings.intervals - 1), np.arange(self.shape[0])
        outcome = self.zones.advance(
            self.given,
            up=self._up[now],
            factor=self._factor[now],
            offload=self.offload if self.settings.offload else None,
        )
        happened = _happened(outcome, self.given, (self.levels != before).sum(axis=-1))
        terms = self.settings.reward.terms(happened, self.ranges)
        rewards = self.settings.reward.of(terms)
        city = self.settings.city_part
        rewards = (1.0 - city) * rewards + city * rewards.mean(axis=1, keepdims=True)
        self._remember(outcome)
        self.t += 1
        self._look_ahead(np.arange(self.shape[0]))
        return Stepped(
            rewards, terms, happened, self.settings.reward.violated(happened), self.t >= self.settings.intervals
        )

    def _granted(self, moves: np.ndarray) -> np.ndarray:
        """Moves within the budget: where all raises together are too many, the fullest zones come first."""
        budget = np.array(self.settings.budget)
        if not np.isfinite(budget).any():
            return moves
        full = np.nan_to_num(self._recent[:, :, -1, :3]) / self.given
        for e, r in np.argwhere(self.ranges.amounts(self.levels + moves).sum(axis=1) > budget + 1e-9).tolist():
            lowered = np.minimum(moves[e, :, r], 0)
            left = budget[r] - self.ranges.amounts(self.levels[e] + np.stack([lowered] * 3, -1))[:, r].sum()
            raises = np.flatnonzero(moves[e, :, r] > 0)
            order = raises[np.argsort(-full[e, raises, r], kind="stable")]
            moves[e, order[max(int(left / self.ranges.step[r] + 1e-9), 0) :], r] = 0
        return moves

    def _remember(self, outcome: Outcome) -> None:
        ended = outcome.completed + outcome.lost
        loss = np.divide(outcome.lost, ended, out=np.zeros(self.shape), where=ended > 0)
        late = np.where(np.isnan(outcome.latency_ms) & (outcome.requests > 0), np.inf, outcome.latency_ms)
        row = np.concatenate(
            [outcome.used[..., :3], np.nan_to_num(late, nan=0.0, posinf=1e9)[..., None], loss[..., None]], -1
        )
        self._recent = np.concatenate([self._recent[:, :, 1:], row[:, :, None]], axis=2)
        expected = self._forecast[:, :, 0, :3, 0]
        self._error = smoothed_error(self._error, outcome.used[..., :3], expected, self.observer.most)
        if self._drift is not None:
            rows = (outcome.used[..., :3], expected, self._forecast[:, :, 0, :3, 1], self.given)
            new = self._drift.error(*(values.reshape(-1, 3) for values in rows))
            errors = self._drift.kept(self._errors.reshape(len(self._errors), -1), new)
            self._errors = errors.reshape(self._errors.shape)

    def _look_ahead(self, chosen: np.ndarray) -> None:
        at = np.minimum(self.t[chosen], self.settings.intervals - 1)
        rows = np.maximum(self.zones.row[chosen] - self._age[at, chosen], 0)
        try:
            ahead = self._ahead(rows, self.zones.zone_of[chosen])
        except Exception as error:
            reason = str(error) or type(error).__name__
            raise FluidError(f"the forecasts of {self.settings.forecast!r} failed: {reason}") from error
        self._forecast[chosen] = ahead * self._bias[chosen][:, :, None, None, None]

    # -- seeing --------------------------------------------------------------------------------------------------------

    @property
    def forecast(self) -> np.ndarray:
        """Of what zones use, [e, z, h, 4, q]."""
        return self._forecast

    @property
    def recent(self) -> np.ndarray:
        """Recent telemetry, newest last, [e, z, k, 5]; NaN before the first interval."""
        return self._recent

    def distrust(self) -> np.ndarray | None:
        """Of the zones' forecasts, [e, z], if agents are shown it."""
        if self._drift is None:
            return None
        return self._drift.distrust(self._errors.reshape(len(self._errors), -1)).reshape(self.shape)

    def observe(self) -> np.ndarray:
        """Features, float32 [e, z, f]."""
        at = np.minimum(self.t, self.settings.intervals - 1), np.arange(self.shape[0])
        rows = np.minimum(self.zones.row, len(self.zones.demand) - 1)
        planned = self.zones.demand.announced[rows[:, None], self.zones.zone_of]
        budget = np.array(self.settings.budget)
        part = (self.given.sum(axis=1) / budget).max(axis=-1)
        look = Look(
            given=self.given,
            forecast=self._forecast,
            recent=self._recent,
            error=self._error,
            distrust=self.distrust(),
            week_s=np.broadcast_to(self.zones.demand.week_s(rows)[:, None], self.shape),
            announced=np.maximum(planned, self._announced[at]),
            budget=np.broadcast_to(part[:, None], self.shape),
            up=self._up[at],
        )
        return self.observer(look)


def _happened(outcome: Outcome, given: np.ndarray, moved: np.ndarray) -> Happened:
    return Happened(
        requests=outcome.requests,
        completed=outcome.completed,
        lost=outcome.lost,
        offloaded=outcome.offloaded,
        latency_ms=outcome.latency_ms,
        aori_s=outcome.aori_s,
        twin_age_s=outcome.twin_age_s,
        used=outcome.used[..., :3],
        given=given,
        moved=moved,
    )
