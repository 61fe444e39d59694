"""A city with many planned events, and what people there show and say: made up, to see what intent is worth.

The city is city-30 with ten events a day at random places and times, of kinds that differ in strength and length. An
hour before an event begins, and until it ends, the zone's intent is one of many items made for its kind; at other times
an item made for what goes on there. An item is the kind's direction in 1024 dimensions, and as much noise. Those of the
test part were never seen before. With media attached to the recording, items are fused embeddings of these instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from metalore.forecast import INTENT_SIZE, MEDIAN, Forecaster, Panel, Split, score
from metalore.forecast.protocol import in_pieces
from metalore.scenario import Event, Scenario, load
from metalore.telemetry import Recording, record

DAYS, PER_DAY, SEED = 14, 10, 5
DAY_S, INTERVAL_S = 86_400.0, 60.0
ANNOUNCED_S, LEAD_S, APART_S = 3600.0, 2700.0, 7200.0
"""Before the beginning: when it is announced, when people set off; and how far apart two in a zone are."""
KINDS = {"concert": (5.0, 1.5, 10_800.0), "match": (6.0, 1.8, 7200.0), "market": (1.8, 1.3, 18_000.0),
         "rally": (3.0, 1.2, 5400.0)}  # fmt: skip
"""Factor on the zone's pull, factor on requests, and duration, s."""
ITEMS = 40
"""Made for each kind and activity; the second half only occurs in the test part."""
INPUTS = ("active_users", "requests", "movement_rate")


def scenario() -> Scenario:
    """The city, with its events."""
    city = load("city-30")
    assert city.city is not None
    zones, rng = [station.name for station in city.stations], np.random.default_rng(SEED)
    planned: list[Event] = []
    while len(planned) < DAYS * PER_DAY:
        kind, zone = str(rng.choice(list(KINDS))), str(rng.choice(zones))
        pull, requests, duration_s = KINDS[kind]
        from_s = round(rng.uniform(DAY_S / 3, DAYS * DAY_S - duration_s) / INTERVAL_S) * INTERVAL_S
        by_day = 8 <= from_s % DAY_S / 3600 <= 21
        near = any(
            event.zone == zone
            and event.from_s - APART_S < from_s + duration_s
            and from_s - APART_S < event.from_s + event.duration_s
            for event in planned
        )
        if by_day and not near:
            planned.append(Event(name=kind, zone=zone, from_s=from_s, duration_s=duration_s, lead_s=LEAD_S, pull=pull,
                                 request_factor=requests))  # fmt: skip
    planned.sort(key=lambda event: event.from_s)
    changed = city.city.model_dump() | {"events": [event.model_dump() for event in planned]}
    return city.updated(city=changed, max_steps=int(DAYS * DAY_S))


def recorded(folder: Path, say: Callable[[str], None]) -> Panel:
    """The city's panel with intent in place of a calendar of events; recorded first, if that has not been done.

    Media that were attached to the recording (`metalore intent attach`) count, else made-up directions.
    """
    if not (folder / "card.json").exists():
        say(f"recording {DAYS} days of {len(scenario().stations)} zones in {folder}; this takes minutes")
        record(scenario(), folder, duration_s=DAYS * DAY_S, interval_s=INTERVAL_S)
    recording = Recording.load(folder)
    panel = Panel.of(recording, inputs=INPUTS)
    attached = recording.intent()
    say("intent is that of attached media" if attached else "intent is made up")
    library, intent_of = attached or _intent(recording, panel, Split.by_parts(panel))
    return panel.updated(events=(), event_values=None, intent=library, intent_of=intent_of)


def _intent(recording: Recording, panel: Panel, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Items [k, 1024], and which of them a zone shows in each interval [t, z]."""
    city, rng = recording.scenario.city, np.random.default_rng([SEED, 1])
    assert city is not None
    meanings = [*KINDS, *(activity.name for activity in city.activities if activity.name not in KINDS)]
    directions = rng.standard_normal((len(meanings), 1, INTENT_SIZE))
    library = (directions + rng.standard_normal((len(meanings), ITEMS, INTENT_SIZE))) / np.sqrt(2 * INTENT_SIZE)
    going_on = recording.table().pivot(index="time_s", columns="zone", values="activity")[list(panel.zones)]
    meaning = going_on.apply(lambda column: column.map({name: i for i, name in enumerate(meanings)})).to_numpy(float)
    for event in city.events:
        rows = (panel.times >= event.from_s - ANNOUNCED_S) & (panel.times < event.from_s + event.duration_s)
        meaning[rows, panel.zones.index(event.zone)] = meanings.index(event.name)
    half = ITEMS // 2
    item = rng.integers(0, half, meaning.shape)
    item[split.test :] += half
    of = np.where(np.isnan(meaning), -1, np.nan_to_num(meaning) * ITEMS + item)
    return library.reshape(-1, INTENT_SIZE).astype(np.float32), of.astype(np.int64)


# -- what intent is worth ----------------------------------------------------------------------------------------------


def verdict(forecaster: Forecaster, panel: Panel, split: Split, events: Sequence[Event]) -> pd.DataFrame:
    """Errors of a fitted forecaster while events begin, and at all other times, by horizon and target.

    An event begins from when people set off until an hour after its beginning; what is judged is the forecast for an
    interval of that time in its zone.
    """
    origins = split.origins("test", forecaster.horizons, forecaster.window)
    (quantiles, mean), actual = in_pieces(forecaster, panel, origins), panel.actual(origins, forecaster.horizons)
    begins = np.zeros((len(panel), len(panel.zones)), bool)
    for event in events:
        rows = (panel.times >= event.from_s - event.lead_s) & (panel.times < event.from_s + 3600.0)
        begins[rows, panel.zones.index(event.zone)] = True
    when = begins[origins[:, None] + np.asarray(forecaster.horizons)].transpose(0, 2, 1)  # [n, z, h]
    rows_out = []
    for h, horizon in enumerate(forecaster.horizons):
        for f, target in enumerate(panel.targets):
            for name, mask in (("as events begin", when[..., h]), ("else", ~when[..., h])):
                of = (actual[:, :, h, f], quantiles[:, :, h, f], mean[:, :, h, f])
                scores = score(*(found[mask] for found in of))
                rows_out.append({"horizon": horizon, "target": target, "when": name, **scores.as_row()})
    return pd.DataFrame(rows_out)


def warning_minutes(forecaster: Forecaster, panel: Panel, events: Sequence[Event], target: str) -> np.ndarray:
    """How long before demand reaches half of its rise the farthest forecast says so, for each event, minutes.

    The rise is from the mean of the half hour before people set off to the highest in the hour after the beginning,
    of the series smoothed over five intervals. NaN for an event without a rise of a deviation, and where the forecast
    never says so.
    """
    f, far = panel.targets.index(target), len(forecaster.horizons) - 1
    found = np.full(len(events), np.nan)
    for i, event in enumerate(events):
        z = panel.zones.index(event.zone)
        first = round((event.from_s - ANNOUNCED_S) / INTERVAL_S)
        rows = np.arange(first, min(first + round(2 * 3600 / INTERVAL_S), len(panel)))
        series = np.convolve(np.nan_to_num(panel.values[rows, z, f]), np.ones(5) / 5, "same")
        before = panel.values[first - 30 : first, z, f].mean()
        rise = series.max() - before
        if rise < np.nanstd(panel.values[:, z, f]):
            continue
        half = before + rise / 2
        forecast = forecaster.predict(panel, rows)[:, z, far, f, MEDIAN]
        if (forecast >= half).any():
            found[i] = (rows[(series >= half).argmax()] - rows[(forecast >= half).argmax()]) * INTERVAL_S / 60
    return found
