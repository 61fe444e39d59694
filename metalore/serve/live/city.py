"""A city that lives: a world, what splits and scales it, and what is done to it from outside."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from metalore.scenario import Event, Scenario, ScenarioError, zone_names
from metalore.serve.live.scene import Glimpse, Viewpoint
from metalore.serve.live.wishes import Offer, Side, Wishes
from metalore.world import World, totals_of

if TYPE_CHECKING:
    from metalore.autoscale import Forecasts, Tick, Usage
    from metalore.autoscale.simulated import Row, SimulatedCity

LEAD_IN = 20
"""Intervals that a city runs as fast as it can before it counts, so that forecasters have something to begin with."""
CROWD_S, CROWD_PULL, CROWD_REQUESTS = 1800.0, 8.0, 3.0
"""How long a crowd stays, how much more the zone pulls meanwhile, and how much more often users ask there."""
MOST_CROWDS = 16
FEWEST = 16
"""Intervals from which on a forecaster is fitted."""
_MOST_FITTED = 1440
_MOST_HORIZONS = 10


class LiveCity:
    """One world and its policies, stepped one step at a time.

    Args:
        scenario: as :meth:`Offer.scenario` says.
        wishes: of the session.
        side: which of its policies.
        offer: what makes them.
        world: that has been reset.
        past: usage before, on the world's clock, that forecasters may learn from.
    """

    def __init__(
        self, scenario: Scenario, wishes: Wishes, side: Side, offer: Offer, world: World, past: Usage | None = None
    ) -> None:
        from metalore.autoscale import Controller, Logic, Safety
        from metalore.autoscale.comparison import settings_for
        from metalore.autoscale.recommenders.hpa import HorizontalRule
        from metalore.autoscale.registry import make_recommender
        from metalore.autoscale.simulated import SimulatedCity, begin_with

        self.scenario, self.side, self.zones = scenario, side, zone_names(scenario)
        self.interval_s = interval_of(scenario)
        safety = Safety()
        begin_with(world, safety, _MEMORY_MB)
        self.world, self.policy = world, offer.policy(side.split, scenario)
        self.city: SimulatedCity = SimulatedCity(world, self.policy, interval_s=self.interval_s, history=past)
        name, settings = settings_for(side.recommender, scenario)
        if name == "static":
            settings = {"amounts": self.city.allocations(), "headroom": 0.0} | settings
        self.forecast = GrowingForecast(offer.forecasters[wishes.forecaster], scenario)
        self.controller = Controller(
            Logic(make_recommender(name, **settings), HorizontalRule(), safety),
            self.city,
            self.city.usage,
            self.city,
            interval_s=self.interval_s,
            forecast=self.forecast,
        )
        self._closed = np.zeros(len(self.zones), bool)
        self._viewpoint = Viewpoint(scenario)
        self._gcycle, self._seconds = np.zeros(len(self.zones)), 0.0

    # -- time ----------------------------------------------------------------------------------------------------------

    def step(self) -> Row | None:
        """Run one step; what the interval that ends with it says."""
        row = self.city.step()
        self._gcycle += totals_of(tally := self.world.station_totals[0], "request_gcycle_processed")
        self._gcycle += totals_of(tally, "update_gcycle_processed")
        self._seconds += self.scenario.step_s
        del self.city.rows[:-1]  # nobody else asks for older ones, and a page may run for days
        return row

    def decide(self) -> Tick:
        """Look, forecast and size zones, as a controller does at the end of an interval."""
        return self.controller.tick()

    @property
    def time_s(self) -> float:
        """Since the episode began."""
        return self.city.now()

    @property
    def ended(self) -> bool:
        """Whether the episode has no further step."""
        return bool(self.world.ended[0])

    def past(self) -> Usage:
        """What zones used of late, on the clock of the episode that comes next."""
        usage = self.city.usage().recent(_MOST_FITTED, self.time_s)
        return replace(usage, times=usage.times - self.time_s)

    def glimpse(self) -> Glimpse:
        """What there is to see now."""
        glimpse = self._viewpoint.glimpse(self.world, self._gcycle, max(self._seconds, self.scenario.step_s))
        self._gcycle[:], self._seconds = 0.0, 0.0
        return glimpse

    # -- from outside --------------------------------------------------------------------------------------------------

    def draw_crowd(self, zone: str) -> None:
        """Let something unannounced begin in a zone, with the next change of the city.

        Raises:
            ScenarioError: no such zone, no city, or too many crowds at once.
        """
        self._number_of(zone)
        city = self.scenario.city
        if city is None:
            raise ScenarioError(f"{self.scenario.name} has no city in which people gather; choose city-30 for that")
        begins_s = self.time_s + self.scenario.step_s
        there = [event for event in city.events if event.name != _CROWD or event.from_s + CROWD_S > self.time_s]
        if sum(event.name == _CROWD for event in there) >= MOST_CROWDS:
            raise ScenarioError(f"there are {MOST_CROWDS} crowds already; wait until one is gone")
        crowd = Event(
            name=_CROWD, zone=zone, from_s=begins_s, duration_s=CROWD_S, lead_s=0.0,
            pull=CROWD_PULL, request_factor=CROWD_REQUESTS,
        )  # fmt: skip
        self.scenario = self.scenario.model_copy(update={"city": city.model_copy(update={"events": (*there, crowd)})})
        self.world = self.city.go_on_in(self.scenario)

    def close(self, zone: str, closed: bool) -> None:
        """Take a station down, or let it come up again, with the next step.

        Raises:
            ScenarioError: no such zone.
        """
        self._closed[self._number_of(zone)] = closed
        self.world.close_stations(self._closed)

    def _number_of(self, zone: str) -> int:
        if zone not in self.zones:
            raise ScenarioError(f"there is no zone {zone!r} in {self.scenario.name}")
        return self.zones.index(zone)


_CROWD = "crowd"
_MEMORY_MB = 4096.0
"""Of zones that have memory without a bound."""


def interval_of(scenario: Scenario) -> float:
    """Seconds from decision to decision: a city's own, else ten steps."""
    return 10 * scenario.step_s if scenario.city is None else scenario.city.interval_s


class GrowingForecast:
    """A forecaster that is fitted anew whenever twice as much has been seen, or a kept one.

    Args:
        source: a name, or the folder of a kept one.
        scenario: of the city.

    Attributes:
        took_s: of the newest forecast.
    """

    def __init__(self, source: str, scenario: Scenario) -> None:
        self._source, self._scenario = source, scenario
        self._streamed: Any = None
        self._due = FEWEST
        self.took_s = 0.0

    def __call__(self, usage: Usage, now_s: float) -> Forecasts | None:
        """What is expected; None before enough has been seen."""
        began = time.perf_counter()
        if len(usage) >= self._due:
            self._fit(usage)
        found: Forecasts | None = None if self._streamed is None else self._streamed(usage, now_s)
        self.took_s = time.perf_counter() - began
        return found

    def _fit(self, usage: Usage) -> None:
        from pathlib import Path

        from metalore.serve.autoscaling import StreamedForecast, fitted, loaded

        self._due = 2 * len(usage) if len(usage) < _MOST_FITTED else 10**9
        if Path(self._source).is_dir():
            stream, self._due = loaded(self._source), 10**9
        else:
            horizons = range(1, min(_MOST_HORIZONS, len(usage) // 4) + 1)
            stream = fitted(self._source, usage, horizons, self._scenario)
        self._streamed = StreamedForecast(stream, usage)
