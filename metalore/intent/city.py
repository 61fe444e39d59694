"""Media for a city that is simulated: which made item each zone shows, by what goes on there or is announced.

Axes: `t` intervals, `z` zones, `n` items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metalore.intent.errors import IntentError


@dataclass(frozen=True)
class Announcement:
    """What people in a zone already see, say and do because of something to come.

    Attributes:
        zone: where.
        activity: which.
        from_s, until_s: from when to when it shows, s; usually from before it begins until it ends.
    """

    zone: str
    activity: str
    from_s: float
    until_s: float


def with_announcements(
    going_on: Any, times: Sequence[float], zones: Sequence[str], announcements: Sequence[Announcement]
) -> np.ndarray:
    """What goes on, with what is announced in its place; of two announcements the later one counts.

    Args:
        going_on: the activity of each zone in each interval, [t, z] names; None or NaN: nothing.
        times: at which intervals begin, s [t].
        zones: names [z].
        announcements: what is announced.

    Returns:
        Names or None [t, z].

    Raises:
        IntentError: another shape, or a zone that is not there.
    """
    shown, began = _names(going_on), np.asarray(times, float)
    if shown.shape != (len(began), len(zones)):
        raise IntentError(f"what goes on has the shape {shown.shape}; there are {len(began)} times, {len(zones)} zones")
    places = {zone: place for place, zone in enumerate(zones)}
    for one in announcements:
        if one.zone not in places:
            raise IntentError(
                f"there is no zone {one.zone!r} to announce {one.activity} in; it must be among the zones"
            )
        shown[(began >= one.from_s) & (began < one.until_s), places[one.zone]] = one.activity
    return shown


def draw_items(
    shown: Any, activities: Sequence[str], parts: Sequence[str], unseen_from: int | None = None, seed: int = 0
) -> np.ndarray:
    """An item for each zone and interval, drawn from those of the same activity.

    What forecasters are tested on should show media that nothing was trained on: from interval `unseen_from` on, items
    of the test part are drawn, before it of the training part.

    Args:
        shown: the activity of each zone in each interval, [t, z] names; None or NaN: nothing.
        activities: of the items [n].
        parts: of the items [n]: train, validation or test.
        unseen_from: number of an interval; unset: items of the training part everywhere.
        seed: of the draw; what is drawn for an interval does not depend on how many come later.

    Returns:
        Numbers of items, int64 [t, z]; -1 where nothing goes on, or nothing that an item shows. With the items' fused
        embeddings, these are `intent_of` and `intent` of a panel.

    Raises:
        IntentError: another shape, or no item in a part that is needed.
    """
    names = _names(shown)
    first = len(names) if unseen_from is None else unseen_from
    return _drawn(names, activities, parts, {"train": slice(0, first), "test": slice(first, None)}, seed)


def demand_of_items(
    shown: Any, demand: np.ndarray, activities: Sequence[str], parts: Sequence[str], ahead: int, seed: int = 0
) -> np.ndarray:
    """What zones need some intervals after they show an item, for a fusion to expect.

    Items are drawn as by :func:`draw_items`: those of the training part in the first 70 % of the intervals, of the
    validation part in the next 15 %, of the test part in the rest.

    Args:
        shown: the activity of each zone in each interval, [t, z] names; None or NaN: nothing.
        demand: of each zone in each interval, in any unit [t, z]; NaN where it is not known.
        activities: of the items [n].
        parts: of the items [n].
        ahead: so many intervals later.
        seed: of the draw.

    Returns:
        For each item the mean over where and when it is shown, as a part of the zone's mean in the first 70 % [n, 1];
        NaN for items that no zone shows.

    Raises:
        IntentError: another shape, no item in a part, fewer than 1 interval later, or no item of the training or
            the validation part with a demand.
    """
    names, count = _names(shown), len(demand)
    if ahead < 1 or names.shape != demand.shape:
        raise IntentError(
            f"demand of the shape {demand.shape} is asked for {ahead} intervals after what is shown, {names.shape}; "
            "both have one shape, and it is 1 interval or more"
        )
    train, validation = round(_TRAIN * count), round((_TRAIN + _VALIDATION) * count)
    spans = {"train": slice(0, train), "validation": slice(train, validation), "test": slice(validation, None)}
    drawn = _drawn(names, activities, parts, spans, seed)[: max(0, count - ahead)]
    usual = np.nansum(demand[:train], axis=0) / np.maximum((~np.isnan(demand[:train])).sum(axis=0), 1)
    later = (demand / np.where(usual > 0, usual, np.nan))[ahead:]
    known = (drawn >= 0) & ~np.isnan(later)
    sums, counts = (np.bincount(drawn[known], weights, len(parts)) for weights in (later[known], None))
    found = np.full((len(parts), 1), np.nan)
    found[counts > 0, 0] = sums[counts > 0] / counts[counts > 0]
    for name in ("train", "validation"):
        if np.isnan(found[[part == name for part in parts]]).all():
            raise IntentError(
                f"no zone needs anything {ahead} intervals after it shows an item of the part {name!r}; take a longer "
                "recording of a city"
            )
    return found


_TRAIN, _VALIDATION = 0.7, 0.15


def _drawn(
    names: np.ndarray, activities: Sequence[str], parts: Sequence[str], spans: Mapping[str, slice], seed: int
) -> np.ndarray:
    """Numbers of items [t, z], those of each part in its span of intervals; -1 is none."""
    if names.ndim != 2 or len(activities) != len(parts):
        raise IntentError(
            f"what zones show has the shape {names.shape}, and there are {len(activities)} activities and {len(parts)} "
            "parts; it must be [t, z], and each item has one of both"
        )
    lots = np.random.default_rng(seed).random(names.shape)
    found = np.full(names.shape, -1, np.int64)
    for part, rows in spans.items():
        if names[rows].size and part not in parts:
            raise IntentError(f"no item is in the part {part!r}; draw from a library that has some")
        for activity in sorted(set(activities)):
            own = [number for number, of in enumerate(zip(activities, parts, strict=True)) if of == (activity, part)]
            where = names[rows] == activity
            if own:
                found[rows][where] = np.array(own)[(lots[rows][where] * len(own)).astype(int)]
    return found


def _names(given: Any) -> np.ndarray:
    """Texts, and None for all else, as an array of its own."""
    names = np.array(given, dtype=object)
    names[np.array([not isinstance(name, str) for name in names.ravel()], bool).reshape(names.shape)] = None
    return names
