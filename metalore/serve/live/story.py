"""What zones say, and what happens, in numbers and words, once for every interval."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from metalore.scenario import Scenario, zone_names
from metalore.world import World

if TYPE_CHECKING:
    from metalore.autoscale import Forecasts, Tick
    from metalore.autoscale.simulated import Row

Happening = dict[str, Any]
"""Something that happens: `time_s`, `kind` (one of :data:`KINDS`), `text`, and `zone` and `world` where it has one."""
KINDS = ("city", "failure", "scale", "forecast", "service", "cluster", "session")

SHOWN = {
    "active_users": 1, "requests": 0, "completed": 0, "lost": 0, "cpu_cores": 3, "given_cores": 3, "memory_mb": 0,
    "given_mb": 0, "bandwidth_mbps": 2, "latency_ms": 0, "aori_s": 3, "aosi_s": 3,
}  # fmt: skip
"""Columns of an interval that are sent, and to how many digits."""

RULES = {
    "fixed": "it is always the same",
    "uniform": "it is drawn anew in every step",
    "demand-proportional": "in proportion to what requests and updates ask for on average at this hour",
    "backlog-proportional": "in proportion to what waits of each",
    "max-weight": "everything to the kind of which more waits",
    "max-weight-age": "everything to the kind of which more waits, old jobs counting more",
    "queue-aware": "by a rule over the lengths of both queues",
}
"""Why a policy splits as it does."""


def rule_of(split: str) -> str:
    """In words."""
    return RULES.get(split.partition(":")[0], "as the policy has learned")


def interval_of_zones(row: Row, world: World, forecasts: Forecasts | None) -> dict[str, Any]:
    """Numbers of an interval, zone by zone.

    Returns:
        The columns of :data:`SHOWN`, [z] each; `queues`, jobs at the station, `waiting_mbit` in devices and
        `waiting_gcycle` at the server, [z, k]; `shares` for requests [z, 2]; `forecast`, if there is one.
    """
    numbers: dict[str, Any] = {name: np.round(row[name], digits).tolist() for name, digits in SHOWN.items()}
    numbers["queues"] = world.queue_lengths[0].tolist()
    numbers["waiting_mbit"] = np.round(np.maximum(world.device_backlog()[0], 0), 1).tolist()
    numbers["waiting_gcycle"] = np.round(np.maximum(world.queue_gcycle[0], 0), 1).tolist()
    numbers["shares"] = np.round(world.shares[0], 2).tolist()
    if forecasts is not None:
        numbers["forecast"] = forecast_of(forecasts)
    return numbers


def forecast_of(forecasts: Forecasts) -> dict[str, Any]:
    """Median and 0.9 quantile of cores and MB, [z, h] each, and when."""
    found: dict[str, Any] = {"times_s": np.round(forecasts.times, 1).tolist()}
    for name, level in (("p50", 0.5), ("p90", 0.9)):
        if level in forecasts.levels:
            values = forecasts.values[..., forecasts.levels.index(level)]
            found[f"cores_{name}"] = np.round(values[:, :, 0], 3).tolist()
            found[f"mb_{name}"] = np.round(values[:, :, 1], 0).tolist()
    return found


def scaled(tick: Tick, world: int) -> Iterator[Happening]:
    """Sizes that change, and why; and what went wrong in the turn."""
    from metalore.autoscale.model import BANDWIDTH, in_words

    for problem in tick.problems:
        yield {"time_s": tick.time_s, "kind": "scale", "world": world, "text": problem}
    decision = tick.decision
    if decision is None:
        return
    done = "applied" if tick.applied is not None else "not applied"
    for z in np.flatnonzero(decision.changed[:, :BANDWIDTH].any(axis=1)):
        changed = decision.changed[z]
        before, after = (np.where(changed, amounts[z], np.nan) for amounts in (decision.before, decision.after))
        zone = decision.zones[z]
        yield {
            "time_s": tick.time_s, "kind": "scale", "world": world, "zone": zone,
            "up": bool((after > before)[:BANDWIDTH].any()),
            "text": f"{in_words(before)} → {in_words(after)}, {done}: {decision.of(zone).reason}",
        }  # fmt: skip


def forecasted(forecasts: Forecasts | None, before: Forecasts | None, took_s: float, source: str) -> Iterator[str]:
    """A call for forecasts, as far as it is worth a word: the first one, and one that looks further."""
    if forecasts is not None and (before is None or len(before.times) != len(forecasts.times)):
        yield (
            f"{source} forecasts {len(forecasts.values)} zones for {len(forecasts.times)} intervals "
            f"(took {1000 * took_s:.0f} ms)"
        )


class CityWatch:
    """Notices what goes on in a city: activities, flash crowds, planned events, stations that go down or come up.

    Args:
        scenario: of the city.
        world: as it begins.
    """

    def __init__(self, scenario: Scenario, world: World) -> None:
        self._names = zone_names(scenario)
        self._activities = [] if scenario.city is None else [activity.name for activity in scenario.city.activities]
        self._told_s = float(world.t[0]) * scenario.step_s
        self._look(world)

    def _look(self, world: World) -> None:
        zones = world.zones[0]
        self._activity, self._up = zones["activity"].copy(), zones["up"].copy()
        self._flashing = zones["flash_until"] > world.t[0]

    def happenings(self, scenario: Scenario, world: World) -> Iterator[Happening]:
        """Since the last time, in the order of zones.

        Args:
            scenario: of the world now, with crowds from outside.
            world: now.
        """
        now_s = float(world.t[0]) * scenario.step_s
        activity, up, flashing = self._activity, self._up, self._flashing
        self._look(world)
        for z in np.flatnonzero((self._up != up) | (self._activity != activity) | (self._flashing & ~flashing)):
            zone = self._names[z]
            if self._up[z] != up[z]:
                text = "the station is up again" if self._up[z] else "the station is down; its jobs are lost"
                yield {"time_s": now_s, "kind": "failure", "zone": zone, "text": text}
            if self._activity[z] != activity[z] and (name := self._name_of(self._activity[z])) not in (None, "quiet"):
                yield {"time_s": now_s, "kind": "city", "zone": zone, "text": f"{name} begins"}
            if self._flashing[z] and not flashing[z]:
                yield {"time_s": now_s, "kind": "city", "zone": zone, "text": "a crowd gathers without warning"}
        yield from self._planned(scenario, now_s)
        self._told_s = now_s

    def _name_of(self, activity: int) -> str | None:
        return self._activities[activity] if 0 <= activity < len(self._activities) else None

    def _planned(self, scenario: Scenario, now_s: float) -> Iterator[Happening]:
        for event in scenario.city.events if scenario.city else ():
            stages = (-event.lead_s, "people come for it"), (0.0, "begins"), (event.duration_s, "is over")
            for after_s, text in stages[0 if event.lead_s else 1 :]:
                if self._came(event.from_s + after_s, event.every_s, now_s):
                    yield {"time_s": now_s, "kind": "city", "zone": event.zone, "text": f"{event.name}: {text}"}

    def _came(self, time_s: float, every_s: float | None, now_s: float) -> bool:
        """Whether a time, or one of its repetitions, has come since the last look."""
        if every_s is not None and now_s > time_s:
            time_s += every_s * ((now_s - time_s) // every_s)
        return self._told_s < time_s <= now_s

    def going_on(self, scenario: Scenario, world: World) -> list[str]:
        """What goes on in each zone now, in words; empty where nothing does."""
        zones, now_s = world.zones[0], float(world.t[0]) * scenario.step_s
        words: list[list[str]] = [[name] if (name := self._name_of(a)) else [] for a in zones["activity"]]
        for z in np.flatnonzero(zones["flash_until"] > world.t[0]):
            words[z].append("a flash crowd")
        for event in scenario.city.events if scenario.city else ():
            since = now_s - event.from_s
            if event.every_s is not None and since >= -event.lead_s:
                since = (since + event.lead_s) % event.every_s - event.lead_s
            if -event.lead_s <= since < event.duration_s:
                words[self._names.index(event.zone)].append(event.name if since >= 0 else f"{event.name} soon")
        for z in np.flatnonzero(zones["up"] == 0):
            words[z].append("down")
        return [", ".join(one) for one in words]
