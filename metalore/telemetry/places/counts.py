"""People counted per hour, and which site they belong to."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metalore.telemetry._tables import (
    TIME_COLUMNS,
    numbers,
    on_grid,
    read_table,
    required_column,
    row_of,
    shortened,
    times_of,
)
from metalore.telemetry.places.sites import (
    LATITUDE,
    LONGITUDE,
    PlacesError,
    Sites,
    checked,
    distance_m,
)

HOUR_S = 3600


@dataclass(frozen=True, eq=False)
class PeopleCounts:
    """People counted at places in consecutive hours.

    `hours` [t] are the beginnings (datetime64[s]), `people` [t, p] the counts, NaN where nobody counted.
    """

    hours: np.ndarray
    places: tuple[str, ...]
    people: np.ndarray

    def between(self, start: np.datetime64, hours: int) -> PeopleCounts:
        """The counts of so many hours from a time on.

        Raises:
            PlacesError: they are not all in the table.
        """
        first = int(np.searchsorted(self.hours, np.array(start, dtype="datetime64[s]")))
        if first + hours > len(self.hours) or self.hours[first] != start:
            raise PlacesError(
                f"{hours} hours from {start} are not all counted: the table goes from {self.hours[0]} to "
                f"{self.hours[-1] + np.timedelta64(HOUR_S, 's')}"
            )
        part = slice(first, first + hours)
        return PeopleCounts(self.hours[part], self.places, self.people[part])

    def without_silent(self) -> tuple[PeopleCounts, tuple[str, ...]]:
        """The counts without places that never counted, and the names of those."""
        heard = ~np.isnan(self.people).all(axis=0)
        names = np.array(self.places, dtype=object)
        return PeopleCounts(self.hours, tuple(names[heard]), self.people[:, heard]), tuple(names[~heard])


def read_counts(path: Path | str) -> PeopleCounts:
    """Counts from a CSV with a column of times (whole hours) and a column for each place; an empty entry is a gap.

    Hours without a row are gaps too. Times with a zone are turned into UTC, others are kept as they are.

    Raises:
        OSError: the file cannot be opened.
        PlacesError: no column of times, an entry that cannot be, a time that is no whole hour or comes twice.
    """
    frame = read_table(path, PlacesError)
    column = required_column(path, list(frame.columns), None, TIME_COLUMNS, PlacesError)
    places = tuple(name for name in frame.columns if name != column)
    if not places or frame.empty:
        raise PlacesError(f"{path} holds no counts; it needs a column for each place and a row for each hour")
    times = times_of(path, frame, column, PlacesError)
    if not np.issubdtype(times.dtype, np.datetime64):
        raise PlacesError(f"{path}: {column} holds numbers, not times like 2022-08-01T13:00:00")
    odd = times.astype("datetime64[h]") != times
    if odd.any():
        at = int(np.argmax(odd))
        raise PlacesError(f"{path}, row {row_of(frame, at)}: {times[at]} is no whole hour, and counts are per hour")
    hours, at_hour, _ = on_grid(path, times, HOUR_S, PlacesError)
    _, first = np.unique(at_hour, return_index=True)
    if len(first) < len(times):
        again = int(np.setdiff1d(np.arange(len(times)), first)[0])
        raise PlacesError(f"{path}, row {row_of(frame, again)}: the hour {times[again]} comes a second time")
    people = np.full((len(hours), len(places)), np.nan)
    for p, name in enumerate(places):
        values = numbers(path, frame, name, PlacesError)
        if (values < 0).any():
            at = int(np.argmax(values < 0))
            raise PlacesError(f"{path}, row {row_of(frame, at)}: {name} counted {values[at]:g} people")
        people[at_hour, p] = values
    return PeopleCounts(hours, places, people)


def read_counters(path: Path | str, places: tuple[str, ...]) -> Sites:
    """Where the counters of a table of counts stand, in its order.

    Args:
        path: a CSV with latitude and longitude (named as in :func:`read_sites`), and a column with the counters' names.
        places: the counters' names, as in the table of counts; the column that has them all is found by itself.

    Raises:
        OSError: the file cannot be opened.
        PlacesError: see :func:`read_sites`, or a counter is missing.
    """
    frame = read_table(path, PlacesError)
    columns = list(frame.columns)
    lat_column = required_column(path, columns, None, LATITUDE, PlacesError)
    lon_column = required_column(path, columns, None, LONGITUDE, PlacesError)
    missing = {name: set(places) - set(frame[name].dropna().str.strip()) for name in columns}
    best = min(columns, key=lambda name: len(missing[name]))
    if missing[best]:
        wanted = shortened([name for name in places if name in missing[best]])
        raise PlacesError(f"{path} does not say where the counters {wanted} stand: no column names all of the counts'")
    own = frame[frame[best].str.strip().isin(places)]
    names = [name.strip() for name in own[best]]
    sites = checked(
        str(path),
        names,
        numbers(path, own, lat_column, PlacesError, missing=False),
        numbers(path, own, lon_column, PlacesError, missing=False),
        rows=[row_of(own, at) for at in range(len(own))],
        allow_duplicates=True,
    )
    order = [names.index(place) for place in places]
    return Sites(places, sites.lat[order], sites.lon[order])


@dataclass(frozen=True, eq=False)
class AssignedCounts:
    """People counted per site.

    `hours` [t] are the beginnings (datetime64[s]), `people` [t, z] the counts, NaN for gaps and where no counter is.
    `site` [p] is the number of each counter's site, -1 if it was left out, and `distance_m` [p] the way to the nearest.
    """

    hours: np.ndarray
    people: np.ndarray
    site: np.ndarray
    distance_m: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        """Where there is a count, [t, z]."""
        there: np.ndarray = ~np.isnan(self.people)
        return there

    @property
    def counted(self) -> np.ndarray:
        """Sites with at least one counter, [z]."""
        return np.isin(np.arange(self.people.shape[1]), self.site)


def assign_counts(sites: Sites, counters: Sites, counts: PeopleCounts, within_m: float | None = None) -> AssignedCounts:
    """Give each counter's people to the site nearest to it.

    Several counters of one site add up; where one of them has a gap, the sum has one.

    Args:
        sites: the city's.
        counters: where the counts' places are, in their order.
        counts: people per hour and place.
        within_m: leave out counters that are farther from every site; unset: none.

    Raises:
        PlacesError: counters and counts name different places, or no counter is near enough.
    """
    if counters.names != counts.places:
        raise PlacesError("counters must have the names of the counts' places, in their order")
    apart = distance_m(counters.lat[:, None], counters.lon[:, None], sites.lat, sites.lon)
    site, nearest = apart.argmin(axis=1), apart.min(axis=1)
    if within_m is not None:
        site = np.where(nearest <= within_m, site, -1)
        if (site < 0).all():
            raise PlacesError(
                f"no counter lies within {within_m:g} m of a site; the nearest is {nearest.min():,.0f} m away"
            )
    people = np.full((len(counts.hours), len(sites)), np.nan)
    for z in np.unique(site[site >= 0]):
        people[:, z] = counts.people[:, site == z].sum(axis=1)  # NaN if one of them is
    return AssignedCounts(counts.hours, people, site, nearest)


def write_counts(path: Path | str, sites: Sites, assigned: AssignedCounts) -> int:
    """Write `hour,zone,people` as `city.counts.file` takes it, a row for each count and none for gaps.

    Hours count from the first of the table, zones have the names of the sites. Returns the number of rows.

    Raises:
        OSError: the file cannot be written.
    """
    hours, zones = np.nonzero(assigned.mask)
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("hour", "zone", "people"))
        for hour, zone in zip(hours, zones, strict=True):
            rows.writerow((hour, sites.names[zone], f"{assigned.people[hour, zone]:.10g}"))
    return len(hours)
