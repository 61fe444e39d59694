"""Streams: the same forecasts as from a whole panel, however the rows come."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from forecast.synthetic import HOUR_S, panel

from metalore.forecast import (
    INTENT_SIZE,
    NAMES,
    Counts,
    Forecaster,
    ForecastError,
    Panel,
    Split,
    Stream,
    load_forecaster,
    make_forecaster,
    save_forecaster,
)

QUICK: dict[str, dict[str, Any]] = {
    "boosting": {"trees": 3, "samples": 500},
    "gru": {"window": 12, "hidden": 4, "epochs": 1, "samples": 200},
    "lstm": {"window": 12, "hidden": 4, "epochs": 1, "samples": 200},
    "graph-wavenet": {"window": 6, "channels": 4, "skip": 8, "end": 8, "epochs": 1, "steps": 2},
    "stgnn": {"hidden": 4, "recipe": {"epochs": 1}, "device": "cpu"},
}
HORIZONS = (1, 3)
MADE = panel(24 * 7 * 5, gaps=0.05)
SPLIT = Split.by_parts(MADE)
LAST = len(MADE) - 1


def fitted(name: str, made: Panel = MADE, **settings: Any) -> Forecaster:
    torch.set_num_threads(1)
    return make_forecaster(name, **{**QUICK.get(name, {}), **settings}).fit(made, SPLIT, HORIZONS, 1)


once = functools.cache(fitted)


@pytest.fixture(scope="module", params=NAMES)
def forecaster(request: pytest.FixtureRequest) -> Forecaster:
    return once(request.param)


@pytest.fixture(scope="module")
def naive() -> Forecaster:
    return once("last-value")


@pytest.fixture(scope="module")
def gru() -> Forecaster:
    return once("gru")


def rows(first: int, after: int, made: Panel = MADE) -> list[dict[str, Any]]:
    """A row for every interval and zone of which something is known; what is not is left out."""
    columns, values = [*made.targets], made.values
    if made.input_values is not None:
        columns, values = [*columns, *made.inputs], np.concatenate([values, made.input_values], axis=-1)
    found = []
    for t in range(first, after):
        for z, zone in enumerate(made.zones):
            known = {name: float(x) for name, x in zip(columns, values[t, z], strict=True) if not np.isnan(x)}
            if known:
                found.append({"time_s": float(made.times[t]), "zone": zone, **known})
    return found


def row(t: float, zone: str = "zone-0", cpu: float | None = 1.0, **more: Any) -> dict[str, Any]:
    return {"time_s": t * HOUR_S, "zone": zone, "cpu": cpu, "memory": 2.0, **more}


# -- the same forecasts ------------------------------------------------------------------------------------------------


def test_forecasts_equal_those_from_the_panel(forecaster: Forecaster) -> None:
    """Over days, with gaps; also from an interval before the newest, and after one without any row."""
    stream = Stream(forecaster)
    stream.observe(rows(0, LAST - 30))
    for t in range(LAST - 30, LAST + 1):
        stream.observe(rows(t, t + 1))
        if t % 7 == 0 or t == LAST:
            made = stream.forecast()
            np.testing.assert_array_equal(made.quantiles, forecaster.predict(MADE, [t])[0])
    assert (made.time_s, made.times_s.tolist()) == (MADE.times[-1], [839 * HOUR_S + h * HOUR_S for h in HORIZONS])
    assert (made.zones, made.targets, made.levels) == (MADE.zones, MADE.targets, (0.1, 0.5, 0.9))
    earlier = stream.forecast(MADE.times[LAST - 12]).quantiles
    np.testing.assert_array_equal(earlier, forecaster.predict(MADE, [LAST - 12])[0])
    silent = np.concatenate([MADE.values, np.full((2, 3, 2), np.nan)])
    longer = MADE.updated(times=HOUR_S * np.arange(len(silent)), values=silent)
    later = stream.forecast(MADE.times[-1] + 2 * HOUR_S).quantiles
    np.testing.assert_array_equal(later, forecaster.predict(longer, [LAST + 2])[0])


def test_order_lateness_and_repetition_change_nothing(forecaster: Forecaster) -> None:
    stream, random = Stream(forecaster), np.random.default_rng(0)
    given = rows(LAST - 23, LAST + 1)
    stream.observe(pd.DataFrame(rows(0, LAST - 23)))
    for part in np.array_split(random.permutation(len(given)), 8):
        stream.observe([{**given[i], "cpu": 77.0} for i in part[:2]])
        stream.observe([given[i] for i in part])
    if stream.length >= 24:  # else some were too late
        np.testing.assert_array_equal(stream.forecast().quantiles, forecaster.predict(MADE, [LAST])[0])
        assert stream.counts.too_late == 0
    assert stream.counts.late > 0
    assert stream.counts.repeated >= 16 - stream.counts.too_late


def test_the_newest_intervals_are_told(naive: Forecaster) -> None:
    stream = Stream(naive)
    assert np.isnan(stream.newest(2)).all()
    stream.observe(rows(0, 9))
    np.testing.assert_array_equal(stream.newest(2), MADE.values[7:9].astype(np.float32))


def test_a_stream_goes_on_where_another_was(forecaster: Forecaster) -> None:
    stream, again = Stream(forecaster), Stream(forecaster)
    stream.observe(rows(0, LAST - 20))
    again.observe([row(3)])
    again.restore(stream.state())
    assert again.counts == Counts()
    np.testing.assert_array_equal(again.forecast().quantiles, forecaster.predict(MADE, [LAST - 21])[0])
    again.observe(rows(LAST - 20, LAST + 1))
    np.testing.assert_array_equal(again.forecast().quantiles, forecaster.predict(MADE, [LAST])[0])
    assert stream.time_s == MADE.times[LAST - 21]


@pytest.mark.parametrize("name", ["stgnn", "ridge", "smoothing", "last-week"])
def test_a_folder_is_enough_to_begin(tmp_path: Path, name: str) -> None:
    whole = once(name)
    save_forecaster(whole, tmp_path, panel=MADE, split=SPLIT)
    stream = Stream(load_forecaster(tmp_path))
    stream.observe(rows(0, LAST + 1))
    np.testing.assert_array_equal(stream.forecast().quantiles, whole.predict(MADE, [LAST])[0])


def test_times_of_another_origin_have_the_same_calendar() -> None:
    whole = once("smoothing")
    moved = MADE.frame().updated(times=[1.7e9], clock_s=5 * HOUR_S)
    stream = Stream(whole, moved)
    stream.observe([{**given, "time_s": given["time_s"] + 1.7e9 - 5 * HOUR_S} for given in rows(5, LAST + 1)])
    expected = whole.predict(MADE.updated(times=MADE.times[5:], values=MADE.values[5:], clock_s=5 * HOUR_S), [LAST - 5])
    np.testing.assert_array_equal(stream.forecast().quantiles, expected[0])
    assert stream.time_s == 1.7e9 + MADE.times[LAST - 5]


def test_zones_that_were_not_seen() -> None:
    few = MADE.of_zones(["zone-0", "zone-1"])
    whole = fitted("stgnn", few, inductive=True)
    stream = Stream(whole, MADE)
    stream.observe(rows(LAST - 40, LAST + 1))
    np.testing.assert_array_equal(stream.forecast().quantiles, whole.predict(MADE, [LAST])[0])


# -- inputs, events, intent --------------------------------------------------------------------------------------------


def rich() -> Panel:
    random = np.random.default_rng(0)
    return MADE.updated(
        inputs=("users",),
        input_values=random.random((len(MADE), 3, 1)),
        events=("match", "rain"),
        event_values=(random.random((len(MADE) + 3, 3, 2)) < 0.2).astype(float),
        intent=random.standard_normal((3, INTENT_SIZE)),
    )


def announcements(made: Panel, first: int, after: int) -> list[dict[str, Any]]:
    assert made.event_values is not None
    return [
        {"time_s": t * HOUR_S, "zone": zone, **dict(zip(made.events, made.event_values[t, z].tolist(), strict=True))}
        for t in range(first, after)
        for z, zone in enumerate(made.zones)
    ]


@pytest.mark.parametrize("name", ["stgnn", "gru", "ridge"])
def test_inputs_events_and_intents_equal_those_of_the_panel(name: str) -> None:
    made = rich()
    whole = fitted(name, made)
    stream = Stream(whole)
    stream.announce(announcements(made, LAST - 400, LAST + 4))
    stream.observe(rows(LAST - 400, LAST + 1, made))
    assert made.intent is not None
    for zone, vector in zip(made.zones, made.intent, strict=True):
        stream.set_intent(zone, vector)
    expected = whole.predict(made, [LAST])[0]
    np.testing.assert_array_equal(stream.forecast().quantiles, expected)
    again = Stream(whole)
    again.restore(stream.state())
    np.testing.assert_array_equal(again.forecast().quantiles, expected)
    stream.announce(pd.DataFrame([{"time_s": (LAST + 1) * HOUR_S, "zone": "zone-0", "match": 5.0, "rain": 5.0}]))
    assert not np.array_equal(stream.forecast().quantiles, expected), "what is announced counts"
    if name == "stgnn":
        again.set_intent("zone-1", None)
        changed = again.forecast().quantiles != expected
        assert changed[1].any(), "so does the intent of a zone"


def test_what_cannot_be_announced_or_meant_is_told(gru: Forecaster) -> None:
    stream = Stream(fitted("ridge", rich()))
    event = {"time_s": 0.0, "zone": "zone-0", "match": 1.0, "rain": 0.0}
    assert stream.announce([event]) == Counts(taken=1)
    with pytest.raises(ForecastError, match="fitted to no events"):
        Stream(gru).announce([event])
    with pytest.raises(ForecastError, match="row 0 announces no number for 'rain'"):
        stream.announce([{**event, "rain": None}])
    with pytest.raises(ForecastError, match="no column 'match'"):
        stream.announce([{"time_s": 0.0, "zone": "zone-0"}])
    stream.observe([{**row(100), "users": 1.0}])
    with pytest.raises(ForecastError, match="too far after"):
        stream.announce([{**event, "time_s": 1000 * HOUR_S}])
    assert stream.announce([{**event, "time_s": -1000 * HOUR_S}]) == Counts(too_late=1)
    with pytest.raises(ForecastError, match=r"the intent of zone 'zone-0' has the shape \(3,\), not \(1024,\)"):
        stream.set_intent("zone-0", [1, 2, 3])
    with pytest.raises(ForecastError, match="has numbers that are NaN or infinite"):
        stream.set_intent("zone-0", np.full(INTENT_SIZE, np.nan))
    with pytest.raises(ForecastError, match="no zone 'zone0'; did you mean 'zone-0'"):
        stream.set_intent("zone0", None)


# -- rows that are not as they should be -------------------------------------------------------------------------------


def test_rows_are_counted(naive: Forecaster) -> None:
    stream = Stream(naive, late=2)
    assert stream.observe([]) == Counts()
    assert stream.observe([row(500), row(500, "zone-1")]) == Counts(taken=2)
    assert stream.observe([row(499), row(500, cpu=5.0), row(500, cpu=6.0)]) == Counts(taken=3, late=1, repeated=2)
    assert stream.forecast().quantiles[0, 0, 0, 1] == 6, "the last one counts"
    first = 500 - stream.length + 1
    assert stream.observe([row(first), row(first - 1)]) == Counts(taken=1, late=1, too_late=1)
    assert stream.counts == Counts(taken=6, late=2, repeated=2, too_late=1)
    assert stream.observe([row(500, cpu=None)]) == Counts(taken=1, repeated=1)
    assert stream.forecast().quantiles[0, 0, 0, 1] == 1, "a gap is a gap, and the value before it the newest"


WRONG = [
    (row(501, "zone-9"), r"has no zone 'zone-9'; did you mean", "unknown_zone"),
    (row(500.5), r"has the time 1801800 s, between two intervals; the nearest times are 1800000 s and 1803600 s",
     "off_grid"),
    (row(np.nan), "has the time nan, which is no time", "off_grid"),
    (row(1e300), r"which is no time", "off_grid"),
    (row(560), r"has the time 2016000 s, too far after 1800000 s; if it is right, clear the stream", "too_far"),
    (row(501, cpu=np.inf), r"at 1803600 s has an infinite value", "infinite"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "told", "counted"), WRONG, ids=[f"{kind}-{i}" for i, (*_, kind) in enumerate(WRONG)])
def test_a_wrong_row_is_told_or_counted(naive: Forecaster, wrong: dict[str, Any], told: str, counted: str) -> None:
    stream = Stream(naive, jump=24)
    stream.observe([row(500)])
    before = stream.forecast().quantiles
    with pytest.raises(ForecastError, match=told):
        stream.observe([row(500, cpu=9.0), wrong])
    np.testing.assert_array_equal(stream.forecast().quantiles, before, "none of them is taken")
    found = stream.observe([wrong, row(501), row(524)], strict=False)
    assert found == Counts(**{"taken": 2, counted: 1})
    assert stream.time_s == 524 * HOUR_S
    assert stream.counts == Counts(**{"taken": 3, counted: 1})


def test_a_long_catching_up_is_no_jump(naive: Forecaster) -> None:
    stream = Stream(naive, jump=24)
    stream.observe(rows(0, 5) + rows(5, 300)[::-1])
    assert stream.time_s == 299 * HOUR_S
    assert stream.counts.too_far == stream.counts.too_late == 0
    stream.clear()
    assert stream.time_s is None
    stream.observe([row(5000)])


def test_tables_and_columns(naive: Forecaster) -> None:
    stream = Stream(naive)
    stream.observe(pd.DataFrame([row(3, latency_ms="unknown"), row(4, cpu=None)]))
    assert stream.counts.taken == 2
    with pytest.raises(ForecastError, match="the rows' table has no column 'memory'"):
        stream.observe([{"time_s": 3 * HOUR_S, "zone": "zone-0", "cpu": 1.0}])
    with pytest.raises(ForecastError, match="column 'cpu' of the rows holds something that is no number"):
        stream.observe([row(5, cpu="much")])  # type: ignore[arg-type]
    with pytest.raises(ForecastError, match="has no column 'zone'"):
        stream.observe(pd.DataFrame([row(5)]).drop(columns="zone"))


def test_what_is_known_and_how_old_it_is(gru: Forecaster) -> None:
    stream = Stream(gru, jump=100)
    with pytest.raises(ForecastError, match="nothing was observed yet"):
        stream.forecast()
    assert (stream.known.tolist(), stream.ready) == ([0, 0, 0], False)
    assert np.isinf(stream.age_s()).all()
    stream.observe([row(500), row(499), row(480), row(497, "zone-1"), row(498, "zone-1", cpu=None, memory=None)])
    assert stream.known.tolist() == [2, 1, 0]
    assert not stream.ready
    assert stream.age_s().tolist() == [0, 2 * HOUR_S, np.inf]
    assert stream.age_s(501 * HOUR_S).tolist() == [HOUR_S, 3 * HOUR_S, np.inf]
    stream.observe([row(496, "zone-2")])
    assert stream.ready
    stream.observe([row(540)])
    assert stream.age_s().tolist() == [0, 42 * HOUR_S, 44 * HOUR_S], "also of what has left the window"
    assert not stream.ready


def test_a_forecast_at_a_time_that_cannot_be_is_told(naive: Forecaster) -> None:
    stream = Stream(naive, late=2, jump=24)
    stream.observe([row(500)])
    for t in (497, 525, 499.5, np.nan):
        with pytest.raises(ForecastError, match="it can be at 1792800 s to 1886400 s, every 3600 s"):
            stream.forecast(t * HOUR_S)


def test_what_cannot_be_streamed_is_told(naive: Forecaster) -> None:
    with pytest.raises(ForecastError, match="has not been fitted"):
        Stream(make_forecaster("ridge"))
    with pytest.raises(ForecastError, match="other zones"):
        Stream(naive, MADE.of_zones(["zone-1"]))
    with pytest.raises(ForecastError, match=r"to the inputs \('users',\), not to \(\)"):
        Stream(fitted("ridge", rich()), MADE)
    for settings in ({"late": -1}, {"jump": 0}):
        with pytest.raises(ForecastError, match="0 or more intervals late and 1 or more ahead"):
            Stream(naive, **settings)


# -- size, threads -----------------------------------------------------------------------------------------------------


def test_memory_does_not_grow(gru: Forecaster) -> None:
    stream = Stream(gru)
    stream.observe(rows(0, 50))
    size = stream._values.nbytes, stream._seen.nbytes
    stream.observe(rows(50, 600))
    assert (stream._values.nbytes, stream._seen.nbytes) == size
    assert stream.length == gru.window + 12


def test_any_thread_may_call(gru: Forecaster) -> None:
    stream = Stream(gru)
    stream.observe(rows(0, 20))
    errors: list[BaseException] = []

    def run(work: Any) -> None:
        try:
            for t in range(20, 60):
                work(t)
        except BaseException as error:  # told below
            errors.append(error)

    threads = [threading.Thread(target=run, args=[lambda t: stream.observe(rows(t, t + 1))])]
    threads += [threading.Thread(target=run, args=[lambda _: stream.forecast()]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    np.testing.assert_array_equal(stream.forecast().quantiles, gru.predict(MADE, [59])[0])
