"""Where base stations (or counters) stand: read, checked, projected to metres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metalore.telemetry._tables import TableError, column_of, numbers, read_table, required_column, row_of

EARTH_RADIUS_M = 6_371_008.8
"""Mean radius of the Earth (IUGG)."""

REGION_M = 100_000.0
"""A site farther than this from the median of all is taken for a mistake."""

LATITUDE = ("lat", "latitude")
LONGITUDE = ("lon", "lng", "long", "longitude")
NAME = ("name", "site_id", "id", "site", "station", "cell")
"""Usual names of columns, in small letters and in order of preference."""

_SAME_DEGREES = 6
"""Decimals of a degree that are compared: coordinates closer than about 0.1 m are the same."""


class PlacesError(TableError):
    """Sites, counters or counts that cannot be; the message is one sentence."""


@dataclass(frozen=True, eq=False)
class Sites:
    """Places on the Earth: their `names`, and `lat` and `lon`, latitude and longitude in degrees (WGS 84), [z] each."""

    names: tuple[str, ...]
    lat: np.ndarray
    lon: np.ndarray

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.lat) == len(self.lon):
            raise PlacesError(
                f"sites need one latitude and longitude each, not {len(self.lat)} and {len(self.lon)} "
                f"for {len(self.names)} names"
            )

    def __len__(self) -> int:
        return len(self.names)


def read_sites(
    path: Path | str,
    *,
    latitude: str | None = None,
    longitude: str | None = None,
    name: str | None = None,
    merge_duplicates: bool = False,
) -> Sites:
    """Sites from a CSV with a row for each.

    Args:
        path: the file.
        latitude: column of the latitude in degrees; unset: lat or latitude, in any case.
        longitude: likewise; unset: lon, lng, long or longitude.
        name: likewise; unset: name, site_id, id, site, station or cell, or else sites are called site-000 and so on.
            Names that are all numbers become site-10 and the like, so that no reader of a table takes them for numbers.
        merge_duplicates: make one site, called as the first, of several at one place, instead of refusing them.

    Raises:
        OSError: the file cannot be opened.
        PlacesError: a column is missing, a coordinate cannot be, two sites have the same place or name, a site lies
            far from all others, or there is none.
    """
    frame = read_table(path, PlacesError)
    columns = list(frame.columns)
    lat_column = required_column(path, columns, latitude, LATITUDE, PlacesError)
    lon_column = required_column(path, columns, longitude, LONGITUDE, PlacesError)
    if name is not None:
        name = required_column(path, columns, name, (), PlacesError)
    else:
        name = column_of(columns, NAME)
    if frame.empty:
        raise PlacesError(f"{path} has a header and no rows; it needs a row for each site")
    lat = numbers(path, frame, lat_column, PlacesError, missing=False)
    lon = numbers(path, frame, lon_column, PlacesError, missing=False)
    rows = [row_of(frame, at) for at in range(len(frame))]
    if name is None:
        names = [f"site-{at:03d}" for at in range(len(frame))]
    else:
        names = [" ".join(str(text).split()) if text == text else "" for text in frame[name]]  # NaN is not itself
        if all(text.isdecimal() for text in names):
            names = [f"site-{text}" for text in names]
    return checked(str(path), names, lat, lon, rows=rows, merge_duplicates=merge_duplicates)


def checked(
    source: str,
    names: Sequence[str],
    lat: np.ndarray,
    lon: np.ndarray,
    *,
    rows: Sequence[int] | None = None,
    merge_duplicates: bool = False,
    allow_duplicates: bool = False,
) -> Sites:
    """Sites that can be.

    Args:
        source: what to call the table in a message.
        names: one for each.
        lat: degrees [z].
        lon: degrees [z].
        rows: what to call them in a message; unset: from 1.
        merge_duplicates: make one site of several at one place.
        allow_duplicates: leave several sites at one place as they are; counters may share a post.

    Raises:
        PlacesError: see :func:`read_sites`.
    """
    rows = range(1, len(names) + 1) if rows is None else rows
    lat, lon = np.asarray(lat, dtype=float), np.asarray(lon, dtype=float)
    if len(names) == 0:
        raise PlacesError(f"{source} holds no site")
    _check_range(source, rows, lat, lon)
    _check_names(source, rows, names)
    _check_region(source, rows, names, lat, lon)
    kept = _first_at_each_place(lat, lon)
    if len(kept) < len(names) and not allow_duplicates:
        if not merge_duplicates:
            first, second = _same_place(lat, lon, kept)
            raise PlacesError(
                f"{source}, rows {rows[first]} and {rows[second]}: {names[first]!r} and {names[second]!r} both lie at "
                f"({lat[first]:g}, {lon[first]:g}), and {len(names) - len(kept)} sites in all lie where another "
                "does; remove them, or merge them with merge_duplicates (--merge-duplicates)"
            )
        return Sites(tuple(names[i] for i in kept), lat[kept], lon[kept])
    return Sites(tuple(names), lat, lon)


def _check_range(source: str, rows: Sequence[int], lat: np.ndarray, lon: np.ndarray) -> None:
    for what, values, limit, other in (("latitude", lat, 90.0, lon), ("longitude", lon, 180.0, lat)):
        wrong = ~(np.abs(values) <= limit)
        if wrong.any():
            at = int(np.argmax(wrong))
            hint = ""
            if what == "latitude" and np.all(np.abs(values) <= 180) and np.all(np.abs(other) <= 90):
                hint = "; are latitude and longitude exchanged?"
            raise PlacesError(
                f"{source}, row {rows[at]}: {what} {values[at]:g} is not between -{limit:g} and {limit:g} degrees{hint}"
            )
    zero = (lat == 0) & (lon == 0)
    if zero.any():
        raise PlacesError(
            f"{source}, row {rows[int(np.argmax(zero))]} lies at (0, 0), which is in the sea and what an unknown "
            "coordinate often becomes; fill it in or remove the row"
        )


def _check_names(source: str, rows: Sequence[int], names: Sequence[str]) -> None:
    known: dict[str, int] = {}
    for row, name in zip(rows, names, strict=True):
        if not name:
            raise PlacesError(f"{source}, row {row} has no name")
        if known.setdefault(name, row) != row:
            raise PlacesError(
                f"{source}, rows {known[name]} and {row} are both called {name!r}; choose a column of names that "
                "differ (name=, --name)"
            )


def _check_region(source: str, rows: Sequence[int], names: Sequence[str], lat: np.ndarray, lon: np.ndarray) -> None:
    lon = _unwrapped(lon)
    far = distance_m(lat, lon, np.median(lat), np.median(lon))
    if far.max() > REGION_M:
        at = int(np.argmax(far))
        raise PlacesError(
            f"{source}, row {rows[at]}: {names[at]!r} at ({lat[at]:g}, {lon[at]:g}) lies {far[at] / 1000:,.0f} km from "
            f"the median of all sites, and a city is taken to end at {REGION_M / 1000:.0f} km; correct or remove it"
        )


def _first_at_each_place(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    _, first = np.unique(np.round(np.stack([lat, lon]), _SAME_DEGREES), axis=1, return_index=True)
    return np.sort(first)


def _same_place(lat: np.ndarray, lon: np.ndarray, kept: np.ndarray) -> tuple[int, int]:
    second = int(np.setdiff1d(np.arange(len(lat)), kept)[0])
    there = np.round(np.stack([lat, lon], axis=1), _SAME_DEGREES)
    first = int(np.argmax((there == there[second]).all(axis=1)))
    return first, second


def distance_m(lat: np.ndarray, lon: np.ndarray, to_lat: np.ndarray, to_lon: np.ndarray) -> np.ndarray:
    """Great-circle distance (haversine) in metres [...] from `lat`, `lon` to `to_lat`, `to_lon` in degrees [...]."""
    lat, lon, to_lat, to_lon = map(np.radians, (lat, lon, to_lat, to_lon))
    half = np.sin((to_lat - lat) / 2) ** 2 + np.cos(lat) * np.cos(to_lat) * np.sin((to_lon - lon) / 2) ** 2
    metres: np.ndarray = 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.minimum(half, 1)))
    return metres


def project(lat: np.ndarray, lon: np.ndarray, margin_m: float = 0.0) -> np.ndarray:
    """Metres east and north [n, 2] of places in degrees [n] (local equirectangular projection).

    With the centre (lat0, lon0) in the middle of the extent and R the Earth's radius,

        x = R cos(lat0) (lon - lon0),    y = R (lat - lat0),

    angles in radians; then shifted so that the smallest x and y are `margin_m`. Longitudes may cross 180 degrees.

    North-south distances are exact on the sphere. East-west ones are too long or too short by the ratio of cosines, so
    that no distance in an extent of height H is off by more than about tan|lat0| H / (2 R), relative: 0.02 % in central
    Melbourne (H = 3 km), 0.1 % at 45 degrees for H = 13 km. From the centre to a place 20 km away it is less than 0.1 %
    up to 58 degrees of latitude.
    """
    lat, lon = np.asarray(lat, dtype=float), _unwrapped(np.asarray(lon, dtype=float))
    lat0, lon0 = (lat.min() + lat.max()) / 2, (lon.min() + lon.max()) / 2
    x = EARTH_RADIUS_M * np.cos(np.radians(lat0)) * np.radians(lon - lon0)
    y = EARTH_RADIUS_M * np.radians(lat - lat0)
    metres = np.stack([x, y], axis=1)
    shifted: np.ndarray = metres - metres.min(axis=0) + margin_m
    return shifted


def _unwrapped(lon: np.ndarray) -> np.ndarray:
    """Longitudes within 180 degrees of the first, so that those on both sides of the date line are neighbours."""
    near: np.ndarray = lon[0] + (lon - lon[0] + 180) % 360 - 180
    return near
