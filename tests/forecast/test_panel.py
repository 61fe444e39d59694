"""Panels: what they are made from, what they refuse, and that they cannot change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from forecast.synthetic import HOUR_S, panel
from telemetry.made import ZONES, graph, table

from metalore.forecast import INTENT_SIZE, Edges, ForecastError, Panel
from metalore.scenario import City, Event, load
from metalore.telemetry import record
from metalore.telemetry.datasets import SeriesTable

NAN = np.nan


def series(**fields: object) -> SeriesTable:
    """Two zones, two features, three hours from a Wednesday morning on."""
    given = {
        "name": "a series",
        "times": np.array(["2024-05-01T06", "2024-05-01T07", "2024-05-01T08"], "datetime64[s]"),
        "zones": ("a", "b"),
        "features": ("users", "load"),
        "values": np.arange(12.0).reshape(3, 2, 2),
        "interval_s": 3600.0,
        "adjacency": np.array([[1.0, 2.0], [0.0, 1.0]]),
        "positions": np.array([[0.0, 1.0], [2.0, 3.0]]),
    }
    return SeriesTable(**{**given, **fields})  # type: ignore[arg-type]


# Where panels come from


def test_a_series_becomes_a_panel_with_its_calendar_and_edges() -> None:
    made = Panel.of(series(), ["load"], inputs=["users"])
    assert (made.zones, made.targets, made.inputs) == (("a", "b"), ("load",), ("users",))
    np.testing.assert_array_equal(made.values[..., 0], [[1, 3], [5, 7], [9, 11]])
    assert made.input_values is not None
    assert made.input_values[2, 0, 0] == 8
    assert made.day_of_week(np.array([0, 18])).tolist() == [2, 3]  # Wednesday; 18 hours on, Thursday begins
    assert made.hour_of_day(np.array([0, 18])).tolist() == [6.0, 0.0]
    assert made.edges is not None
    assert (made.edges.source.tolist(), made.edges.target.tolist(), made.edges.weight.tolist()) == ([0], [1], [2.0])


def test_zones_are_taken_in_the_order_asked_for_with_their_edges() -> None:
    made = Panel.of(series(), ["users"], zones=["b", "a"])
    np.testing.assert_array_equal(made.values[0, :, 0], [2, 0])
    assert made.edges is not None
    assert (made.edges.source.tolist(), made.edges.target.tolist()) == ([1], [0])
    assert made.positions is not None
    degree_m = 111_195  # of latitude; b lies two degrees north and two east of a, around the equator
    np.testing.assert_allclose(made.positions, [[2 * degree_m, 2 * degree_m], [0, 0]], rtol=1e-3)


def test_a_table_of_telemetry_becomes_a_panel_in_which_a_missing_row_is_a_gap() -> None:
    rows = table(intervals=5, cpu_cores=np.arange(15.0)).drop(index=4)  # zone middle at the second interval
    made = Panel.of(rows, ["cpu_cores", "latency_ms"], graph=graph())
    assert made.zones == ZONES
    assert made.values.shape == (5, 3, 2)
    assert np.isnan(made.values[1, 1]).all()
    assert made.values[1, 2, 0] == 5
    assert made.lowest is not None
    assert made.lowest.tolist() == [0, 0]
    assert made.edges is not None
    assert len(made.edges) == 4


def test_an_interval_without_any_row_is_a_gap() -> None:
    rows = table(intervals=5)
    made = Panel.of(rows[rows["time_s"] != 3600.0], ["cpu_cores"])
    assert len(made) == 5
    assert np.isnan(made.values[2]).all()


def test_a_recording_brings_what_its_city_plans(tmp_path: Path) -> None:
    zone = "zone-001"
    planned = (
        Event(name="fair", zone=zone, from_s=300, duration_s=120, lead_s=90),
        Event(name="train", zone=zone, from_s=60, duration_s=60, lead_s=0, every_s=240),
    )
    scenario = load("four-cells").updated(city=City(events=planned), max_steps=600)
    made = Panel.of(record(scenario, tmp_path / "run", duration_s=600, interval_s=60))
    assert len(made.event_values) == len(made) + 24 * 60
    near, on = made.event_values[:12, made.zones.index(zone)].T
    np.testing.assert_array_equal(near, [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])  # an interval counts as it begins
    np.testing.assert_array_equal(on, [0, 1, 0, 0, 0, 2, 1, 0, 0, 1, 0, 0])
    assert made.event_values.sum() == 3 + 363  # the train comes once in 4 of 1450 intervals


def test_a_recording_becomes_a_panel(tmp_path: Path) -> None:
    recording = record("four-cells", tmp_path / "run", duration_s=600, interval_s=60)
    made = Panel.of(tmp_path / "run")
    assert made.targets == ("cpu_cores", "memory_mb", "bandwidth_mbps", "latency_ms")
    assert made.values.shape == (10, 4, 4)
    assert made.zones == recording.graph().zones
    assert made.edges is not None
    np.testing.assert_allclose(made.edges.matrix(), recording.graph().adjacency(), rtol=1e-6)
    assert Panel.of(recording).fingerprint() == made.fingerprint()


def test_other_columns_of_a_panel_can_be_chosen() -> None:
    again = Panel.of(Panel.of(series()), ["load"], inputs=["users"])
    assert again.fingerprint() == Panel.of(series(), ["load"], inputs=["users"]).fingerprint()


# What they refuse


def test_an_unknown_column_is_told_with_the_nearest() -> None:
    with pytest.raises(ForecastError, match=r"the table has no column 'cpu_core'; did you mean 'cpu_cores'\?"):
        Panel.of(table(), ["cpu_core"])
    with pytest.raises(ForecastError, match=r"a series has no column 'laod'; did you mean 'load'\?"):
        Panel.of(series(), ["laod"])
    with pytest.raises(ForecastError, match="a series has no zone 'c'; it has a, b"):
        Panel.of(series(), zones=["c"])


def test_a_zone_that_the_graph_lacks_is_told() -> None:
    rows = table()
    rows["zone"] = rows["zone"].replace("east", "eastern")
    with pytest.raises(ForecastError, match=r"the graph has no zone 'eastern'; did you mean 'east'\?"):
        Panel.of(rows, ["cpu_cores"], graph=graph())


@pytest.mark.parametrize(
    ("times", "sentence"),
    [
        ([0.0, 60.0, 30.0], "time does not go forward: 60 s is followed by 30 s"),
        ([0.0, 60.0, 60.0], "time does not go forward"),
        ([0.0, 60.0, 180.0], "times are irregular: 60 s is followed by 180 s, where the interval is 60 s"),
        ([0.0, 60.0, NAN], "a time that is no number"),
    ],
)
def test_times_go_forward_by_one_interval(times: list[float], sentence: str) -> None:
    with pytest.raises(ForecastError, match=sentence):
        Panel(np.array(times), ("a",), ("x",), np.zeros((3, 1, 1)), 60.0)


def test_an_infinite_number_is_refused_and_nan_is_a_gap() -> None:
    values = np.zeros((3, 1, 1))
    values[1] = NAN
    assert Panel(np.arange(3.0), ("a",), ("x",), values, 1.0).mask.sum() == 2
    values[2] = -np.inf
    with pytest.raises(ForecastError, match=r"infinite number among its values at \(2, 0, 0\); NaN stands for a gap"):
        Panel(np.arange(3.0), ("a",), ("x",), values, 1.0)


def test_a_zone_without_any_value_is_refused_by_name_unless_allowed() -> None:
    values = np.zeros((3, 2, 2))
    values[:, 1, 0] = NAN
    Panel(np.arange(3.0), ("a", "b"), ("x", "y"), values, 1.0)  # one target is still known
    values[:, 1] = NAN
    with pytest.raises(ForecastError, match="zone 'b' of the panel has no values at all"):
        Panel(np.arange(3.0), ("a", "b"), ("x", "y"), values, 1.0)
    Panel(np.arange(3.0), ("a", "b"), ("x", "y"), values, 1.0, allow_empty=True)


def test_shapes_and_names_must_fit() -> None:
    with pytest.raises(ForecastError, match=r"values have the shape \(3, 1, 1\), not \(3, 2, 1\)"):
        Panel(np.arange(3.0), ("a", "b"), ("x",), np.zeros((3, 1, 1)), 1.0)
    with pytest.raises(ForecastError, match="the zone 'a' twice"):
        Panel(np.arange(3.0), ("a", "a"), ("x",), np.zeros((3, 2, 1)), 1.0)
    with pytest.raises(ForecastError, match=r"intent has the shape \(3, 5\)"):
        panel(intent=np.zeros((3, 5)))
    with pytest.raises(ForecastError, match="5 embeddings and 3 zones"):
        panel(intent=np.zeros((5, INTENT_SIZE)))
    with pytest.raises(ForecastError, match=r"whole numbers \[3\]"):
        panel(intent=np.zeros((5, INTENT_SIZE)), intent_of=np.zeros(2, int))
    with pytest.raises(ForecastError, match="can be -1 to 4"):
        panel(intent=np.zeros((5, INTENT_SIZE)), intent_of=np.array([-1, 0, 5]))
    with pytest.raises(ForecastError, match="which intent a zone has, and has none"):
        panel(intent_of=np.array([-1, 0, 1]))
    with pytest.raises(ForecastError, match="event_values have the shape"):
        panel(events=("fair",), event_values=np.zeros((5, 3, 1)))
    with pytest.raises(ForecastError, match="3 zones, its graph 2"):
        panel(edges=Edges.of_matrix(np.ones((2, 2))))
    with pytest.raises(ForecastError, match="weights of edges must be positive"):
        Edges.of_matrix(np.array([[0, -1], [0, 0]]))


# What they are


def test_a_panel_cannot_be_changed_and_does_not_follow_its_source() -> None:
    source = np.zeros((3, 1, 1), np.float32)
    made = Panel(np.arange(3.0), ("a",), ("x",), source, 1.0)
    source[...] = 7
    assert made.values.max() == 0
    with pytest.raises(ValueError, match="read-only"):
        made.values[0] = 1


def test_the_fingerprint_changes_with_everything_that_counts_and_nothing_else() -> None:
    one = panel()
    assert one.fingerprint() == panel(name="another name").fingerprint()
    values = one.values.copy()
    values[3, 1, 1] += 1
    others = [
        one.updated(values=values),
        one.updated(clock_s=3600.0),
        one.updated(edges=None),
        one.updated(targets=("memory", "cpu")),
        one.updated(intent=np.zeros((3, INTENT_SIZE))),
        one.updated(intent=np.zeros((3, INTENT_SIZE)), intent_of=np.array([2, 1, 0])),
        one.updated(events=("fair",), event_values=np.zeros((len(one), 3, 1))),
    ]
    assert len({made.fingerprint() for made in [one, *others]}) == 8


def test_intent_is_a_library_and_who_has_what_of_it() -> None:
    library = np.zeros((4, INTENT_SIZE), np.float32)
    library[2, 7] = np.nan
    still = panel(intent=library, intent_of=np.array([3, 2, -1]))
    np.testing.assert_array_equal(still.intent_at(np.array([0, 5])), [[3, -1, -1]] * 2)
    moving = np.zeros((len(still), 3), int)
    moving[10:] = [1, 2, 3]
    made = still.updated(intent_of=moving)
    np.testing.assert_array_equal(made.intent_at(np.array([9, 10])), [[0, 0, 0], [1, -1, 3]])
    np.testing.assert_array_equal(made.until(11).of_zones(["zone-2", "zone-0"]).intent_at(np.array([10])), [[3, 1]])
    np.testing.assert_array_equal(panel().intent_at(np.array([4])), [[-1, -1, -1]])


def test_events_are_known_ahead_and_nothing_is_announced_beyond() -> None:
    announced = np.zeros((len(panel()) + 2, 3, 1))
    announced[-1, 2] = 1
    made = panel(events=("fair",), event_values=announced)
    rows = np.array([[len(made), len(made) + 1, len(made) + 2]])
    np.testing.assert_array_equal(made.events_at(rows)[0, :, 2, 0], [0, 1, 0])
    assert made.until(10).events_at(rows)[0, 1, 2, 0] == 1
    assert panel().events_at(rows).shape == (1, 3, 3, 0)


def test_what_happened_is_nan_where_it_is_not_known_or_not_asked_for() -> None:
    made = Panel(np.arange(5.0), ("a",), ("x",), np.arange(5.0).reshape(5, 1, 1), 1.0)
    np.testing.assert_array_equal(made.actual(np.array([1, 3]), (1, 2))[:, 0, :, 0], [[2, 3], [4, NAN]])
    np.testing.assert_array_equal(made.actual(np.array([1, 3]), (1, 2), end=3)[:, 0, :, 0], [[2, NAN], [NAN, NAN]])


def test_parts_of_tables_do_not_matter() -> None:
    rows = table(intervals=4, cpu_cores=np.arange(12.0))
    shuffled = pd.concat([rows.iloc[6:], rows.iloc[:6]])
    assert Panel.of(shuffled, ["cpu_cores"]).values[:, 0, 0].tolist() == [0, 3, 6, 9]
    assert panel().times[1] == HOUR_S


def test_edges_by_the_names_of_their_ends() -> None:
    assert Edges.of_matrix(np.array([[0, 2], [3, 0]])).named(("a", "b")) == {("a", "b"): 2, ("b", "a"): 3}
