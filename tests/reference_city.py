"""The city of `docs/world.md` in plain Python: zones that live, what pulls people, and where these decide to go."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass

from reference_common import (
    ACTIVITY,
    DRIFT,
    FLASH,
    Draw,
    Point,
    first_above,
    nearest_first,
    normal_pair,
    or_zero,
    squared_distance,
)

from metalore.scenario import Activity, Attraction, City, Drift, Event, Map, Scenario, Station, ZoneKind

GAP = math.nan
WEEK = 168  # hours


@dataclass(eq=False)
class Zone:
    """What a zone is like at present. `activity` counts as in `city.activities`, -1 is none."""

    name: str = ""
    kind: ZoneKind | None = None
    activity: int = -1
    activity_ends: int = 0
    crowded: bool = False
    crowd_ends: int = 0
    drift: float = 0.0
    base_pull: float = 1.0
    pull: float = 1.0
    request_factor: float = 1.0
    data_factor: float = 1.0
    compute_factor: float = 1.0


class Zones:
    """All zones of a world. `tick` brings them to a step; without a city they stay as they are."""

    def __init__(self, scenario: Scenario, draw: Draw) -> None:
        self.scenario, self.city, self.draw = scenario, scenario.city, draw
        self.zones = [Zone(station.name or f"zone-{z:03d}") for z, station in enumerate(scenario.stations)]
        self.elsewhere = 0.0
        if self.city is None:
            return
        kinds = {kind.name: kind for kind in self.city.kinds}
        for zone, station in zip(self.zones, scenario.stations, strict=True):
            zone.kind = kinds[station.kind] if station.kind else self.city.kinds[0]
        self.rows = counted_rows(self.city, [zone.name for zone in self.zones])
        self.table = self.rows or [[week_row(zone.kind, "pull", h) for zone in self.zones] for h in range(WEEK)]
        self.peak = max((row_sum(row) for row in self.table), default=0.0)
        self.means = [*(mean_pull(self.table, z) for z in range(len(self.zones))), self._mean_elsewhere()]
        self.drift_weights = drift_weights(scenario.stations, self.city.drift) if self.city.drift else []
        self.tick(0)

    def tick(self, step: int) -> None:
        """Change zones for a step, if it is one in which they change."""
        if self.city is None or step % round(self.city.interval_s / self.scenario.step_s) != 0:
            return
        self._drift(step)
        for z, zone in enumerate(self.zones):
            self._begin_activity(z, zone, step)
            self._flash(z, zone, step)
            self._put_together(z, zone, step * self.scenario.step_s)
        self.elsewhere = self._pull_elsewhere(sum(or_zero(zone.pull) for zone in self.zones), outside=self.city.outside)

    def pulls(self) -> list[float]:
        """Of all zones now, then of elsewhere."""
        return [*(zone.pull for zone in self.zones), self.elsewhere]

    # --- what pulls --------------------------------------------------------------------------------------------------

    def _pull_elsewhere(self, there: float, *, outside: bool) -> float:
        assert self.city is not None
        if not outside:
            return 0.0
        return 1.0 if self.peak == 0 else max(0.0, self.peak / self.city.peak_presence - there)

    def _mean_elsewhere(self) -> float:
        assert self.city is not None
        of_rows = [self._pull_elsewhere(row_sum(row), outside=self.city.outside) for row in self.table]
        least = self.peak / 100 if self.city.outside else 0.0
        return max(sum(of_rows) / len(of_rows), least)

    def _base_pull(self, z: int, zone: Zone, time_s: float) -> float:
        assert self.city is not None
        if self.city.counts is None:
            return in_the_week(zone.kind, "pull", hour_of_week(self.city, time_s))
        return counted(self.rows, z, time_s / 3600 + self.city.counts.first_hour - 0.5)

    # --- what goes on ------------------------------------------------------------------------------------------------

    def _begin_activity(self, z: int, zone: Zone, step: int) -> None:
        assert self.city is not None
        assert zone.kind is not None
        if not zone.kind.activities or step < zone.activity_ends:
            return
        hour = hour_of_week(self.city, step * self.scenario.step_s)
        weights = [
            zone.kind.activities.get(activity.name, 0.0) if i != zone.activity and is_allowed(activity, hour) else 0.0
            for i, activity in enumerate(self.city.activities)
        ]
        u0, u1, u2, _ = self.draw(step, z, ACTIVITY)
        following = first_above(weights, u2)
        if following is not None:
            zone.activity = following
        if zone.activity >= 0:  # one that stays for want of another has its time anew
            zone.activity_ends = step + activity_steps(
                self.city.activities[zone.activity], self.scenario.step_s, normal_pair(u0, u1)[0]
            )

    def _flash(self, z: int, zone: Zone, step: int) -> None:
        assert self.city is not None
        crowds = self.city.flash_crowds
        if crowds is None:
            return
        if zone.crowded and step >= zone.crowd_ends:
            zone.crowded = False
        u0, u1, _, _ = self.draw(step, z, FLASH)
        if not zone.crowded and u0 < crowds.per_day * self.city.interval_s / 86400:
            zone.crowded = True
            zone.crowd_ends = step + max(1, round(-crowds.mean_s * math.log(u1) / self.scenario.step_s))

    def _drift(self, step: int) -> None:
        assert self.city is not None
        if self.city.drift is None:
            return
        normals = [normal_pair(*self.draw(step, j, DRIFT)[:2])[0] for j in range(len(self.zones))]
        a = math.exp(-self.city.interval_s / self.city.drift.time_s)
        for zone, weights in zip(self.zones, self.drift_weights, strict=True):
            eta = sum(weight * normals[j] for j, weight in weights.items())
            zone.drift = eta if step == 0 else a * zone.drift + math.sqrt(1 - a * a) * eta

    def _put_together(self, z: int, zone: Zone, time_s: float) -> None:
        assert self.city is not None
        zone.base_pull = self._base_pull(z, zone, time_s)
        zone.pull = zone.base_pull
        zone.request_factor = in_the_week(zone.kind, "requests", hour_of_week(self.city, time_s))
        zone.data_factor = zone.compute_factor = 1.0
        if zone.activity >= 0:
            activity = self.city.activities[zone.activity]
            zone.pull *= activity.pull
            zone.request_factor *= activity.request_factor
            zone.data_factor, zone.compute_factor = activity.data_factor, activity.compute_factor
        if zone.crowded and self.city.flash_crowds is not None:
            zone.pull *= self.city.flash_crowds.pull
            zone.request_factor *= self.city.flash_crowds.request_factor
        for event in self.city.events:
            if event.zone == zone.name:
                draws, asks = event_now(event, time_s)
                zone.pull *= event.pull if draws else 1.0
                zone.request_factor *= event.request_factor if asks else 1.0
        if self.city.drift is not None:
            sd = self.city.drift.sd
            zone.request_factor *= math.exp(sd * zone.drift - sd * sd / 2)
            sd = self.city.drift.pull_sd
            zone.pull *= math.exp(sd * zone.drift - sd * sd / 2)


# --- hours -----------------------------------------------------------------------------------------------------------


def hour_of_week(city: City, time_s: float) -> float:
    """Hours since Monday 0:00, below 168."""
    return (24 * city.start_day + city.start_hour + time_s / 3600) % WEEK


def week_row(kind: ZoneKind | None, what: str, h: int) -> float:
    """Entry of a kind's "pull" or "requests" for hour `h` of the week."""
    assert kind is not None
    weekday, weekend = getattr(kind, what), getattr(kind, f"weekend_{what}")
    return float((weekend if h // 24 >= 5 and weekend is not None else weekday)[h % 24])


def in_the_week(kind: ZoneKind | None, what: str, hour: float) -> float:
    """A kind's hourly rows between the middles of hours, linearly."""
    x = hour - 0.5
    i = math.floor(x)
    f = x - i
    return (1 - f) * week_row(kind, what, i % WEEK) + f * week_row(kind, what, (i + 1) % WEEK)


def counted_rows(city: City, names: Sequence[str]) -> list[list[float]]:
    """People by hour and zone; an hour without a row is a gap, and a zone without any row is 0 throughout."""
    if city.counts is None:
        return []
    with open(city.counts.file, encoding="utf-8", newline="") as file:
        people = {(int(row["hour"]), row["zone"]): float(row["people"]) for row in csv.DictReader(file)}
    known = {zone for _, zone in people}
    hours = range(1 + max(hour for hour, _ in people))
    return [[people.get((h, name), GAP if name in known else 0.0) for name in names] for h in hours]


def counted(rows: list[list[float]], z: int, x: float) -> float:
    """Of zone `z` at row `x` and a fraction; NaN next to a gap."""
    x = min(max(x, 0.0), len(rows) - 1.0)
    i = math.floor(x)
    f = x - i
    return rows[i][z] if f == 0 else (1 - f) * rows[i][z] + f * rows[i + 1][z]


def row_sum(row: Sequence[float]) -> float:
    """With gaps counting 0."""
    return sum(or_zero(pull) for pull in row)


def mean_pull(rows: list[list[float]], z: int) -> float:
    """Of a zone over rows, gaps left out; 0 without any."""
    pulls = [row[z] for row in rows if not math.isnan(row[z])]
    return sum(pulls) / len(pulls) if pulls else 0.0


# --- activities, events and drift ------------------------------------------------------------------------------------


def is_allowed(activity: Activity, hour: float) -> bool:
    """Whether an activity may begin at this hour of the week."""
    weekend = math.floor(hour / 24) >= 5
    if activity.days != "all" and weekend != (activity.days == "weekend"):
        return False
    of_day = hour % 24
    if activity.to_hour < activity.from_hour:
        return not activity.to_hour <= of_day < activity.from_hour
    return activity.from_hour <= of_day < activity.to_hour


def activity_steps(activity: Activity, step_s: float, normal: float) -> int:
    """How long an activity takes; log-normal."""
    variance = math.log(1 + activity.variation**2)
    mean = math.log(activity.mean_s) - variance / 2
    return max(1, round(math.exp(mean + math.sqrt(variance) * normal) / step_s))


def event_now(event: Event, time_s: float) -> tuple[bool, bool]:
    """Whether an event draws people, and whether it makes them ask."""
    e = time_s - event.from_s
    if event.every_s is not None and e >= -event.lead_s:
        e = (e + event.lead_s) % event.every_s - event.lead_s
    return -event.lead_s <= e < event.duration_s, 0 <= e < event.duration_s


def drift_weights(stations: Sequence[Station], drift: Drift) -> list[dict[int, float]]:
    """For each zone, the weight of each zone's normal number in its own; squares add up to 1."""
    places = [(station.x_m, station.y_m) for station in stations]
    weights = []
    for z in range(len(places)):
        if drift.length_m == 0:
            weights.append({z: 1.0})
            continue
        near = nearest_first(places, z)[:32]
        raw = {j: math.exp(-squared_distance(places[z], places[j]) / drift.length_m**2) for j in near}
        norm = math.sqrt(sum(weight * weight for weight in raw.values()))
        weights.append({j: weight / norm for j, weight in raw.items()})
    return weights


# --- attraction ------------------------------------------------------------------------------------------------------


def neighbours(places: Sequence[Point], count: int) -> list[list[int]]:
    """Of each zone, those among whose nearest it is or that are among its nearest, in order of number."""
    nearest = [[j for j in nearest_first(places, z) if j != z][:count] for z in range(len(places))]
    zones = range(len(places))
    return [[b for b in zones if b in nearest[a] or a in nearest[b]] for a in zones]


def place_of_zone(station: Station, motion: Attraction, area: Map, u0: float, u1: float) -> Point:
    """Somewhere in a disc around a station, on the map."""
    radius, angle = motion.spread_m * math.sqrt(u1), 2 * math.pi * u0
    x, y = station.x_m + radius * math.cos(angle), station.y_m + radius * math.sin(angle)
    return min(max(x, 0.0), area.width_m), min(max(y, 0.0), area.height_m)


def stay_steps(motion: Attraction, step_s: float, u: float) -> int:
    """How long a user stays at a place or elsewhere."""
    return max(1, math.ceil(-motion.mean_stay_s * math.log(u) / step_s))


def decision(
    a: int,
    far_probability: float,
    now: Sequence[float],
    means: Sequence[float],
    near: Sequence[Sequence[int]],
    luck: Sequence[float],
) -> int | None:
    """The place a user at place `a` goes to, None for none. `now` and `means`: pulls with elsewhere as the last."""
    elsewhere = len(now) - 1
    u0, u1, u2 = luck[:3]
    if u0 < far_probability:
        drawn = first_above(means, u1)
        b = a if drawn is None else drawn
        h = {place: relative(now[place], means[place]) for place in (a, b)}
    else:
        slot = math.floor(u1 * max(map(len, near)))
        b = near[a][slot] if a != elsewhere and slot < len(near[a]) else a
        h = {place: now[place] for place in (a, b)}
    if b == a or math.isnan(now[a]) or math.isnan(now[b]):
        return None
    return b if now[a] == 0 or u2 * h[a] < h[b] else None


def relative(pull: float, mean: float) -> float:
    """Pull now relative to its mean; infinite for one that is never expected and there nevertheless."""
    return pull / mean if mean > 0 else math.inf
