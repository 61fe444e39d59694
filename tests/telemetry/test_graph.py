"""The graph of zones: edges from distances and handovers, kept exactly."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from telemetry import made

from metalore.telemetry import TelemetryError, ZoneGraph


def test_near_zones_are_joined_both_ways_with_gaussian_weights() -> None:
    graph = ZoneGraph.from_distances(np.array([(0, 0), (30, 40), (300, 0)]), ["a", "b", "c"], 1, sigma_m=100)
    edges = dict(zip(zip(graph.source.tolist(), graph.target.tolist(), strict=True), graph.weight, strict=True))
    near, far = np.exp(-0.25), np.exp(-((np.hypot(270, 40) / 100) ** 2))
    assert edges == pytest.approx({(0, 1): near, (1, 0): near, (1, 2): far, (2, 1): far})
    np.testing.assert_array_equal(graph.adjacency(), graph.adjacency().T)
    index, weight = graph.coo()
    assert index.shape == (2, 4)
    np.testing.assert_array_equal(graph.adjacency()[index[0], index[1]], weight)


def test_without_a_length_it_is_the_mean_edge() -> None:
    graph = made.graph()
    assert graph.weight.tolist() == pytest.approx([np.exp(-1)] * 4)
    assert graph.hops().tolist() == [[0, 1, 2], [1, 0, 1], [2, 1, 0]]
    assert graph.distances_m()[0].tolist() == [0, 100, 200]


def test_zones_that_no_way_joins() -> None:
    graph = replace(made.graph(), source=np.array([0]), target=np.array([1]), weight=np.array([1.0]))
    assert graph.hops().tolist() == [[0, 1, -1], [-1, 0, -1], [-1, -1, 0]]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_few_zones_and_zones_in_one_place(count: int) -> None:
    names = [f"z{i}" for i in range(count)]
    graph = ZoneGraph.from_distances(np.zeros((count, 2)), names)
    assert len(graph.source) == count * (count - 1)
    assert (graph.weight == 1).all()


def test_from_handovers() -> None:
    counts, places = np.array([[9, 3, 1], [5, 0, 0], [0, 0, 0]]), made.graph().positions_m
    rows = ZoneGraph.from_handovers(counts, made.ZONES, places)
    np.testing.assert_allclose(rows.adjacency(), [[0, 0.75, 0.25], [1, 0, 0], [0, 0, 0]])
    both = ZoneGraph.from_handovers(counts, made.ZONES, places, "symmetric", least=0.5)
    np.testing.assert_allclose(both.adjacency(), [[0, 1, 0.125], [1, 0, 0], [0.125, 0, 0]])
    often = ZoneGraph.from_handovers(counts, made.ZONES, places, "none", least=2)
    np.testing.assert_allclose(often.adjacency(), [[0, 3, 0], [5, 0, 0], [0, 0, 0]])
    assert ZoneGraph.from_handovers(np.zeros((3, 3)), made.ZONES, places).weight.size == 0


@given(arrays(float, st.tuples(st.integers(1, 12), st.just(2)), elements=st.floats(-1e7, 1e7)))
def test_kept_exactly(tmp_path_factory: pytest.TempPathFactory, positions: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("graph") / "graph.json"
    graph = ZoneGraph.from_distances(positions, [f"zone {i}" for i in range(len(positions))], 3)
    graph.save(path)
    assert ZoneGraph.load(path) == graph


def test_equal_only_if_all_is() -> None:
    graph = made.graph()
    assert graph == made.graph()
    assert graph != replace(graph, zones=("west", "middle", "north"))
    assert graph != replace(graph, weight=graph.weight * 1.0000001)
    assert graph != replace(graph, positions_m=graph.positions_m + 1)
    assert graph != "graph"
    with pytest.raises(TypeError):
        hash(graph)


def test_edges_come_in_order_and_nobody_changes_them() -> None:
    graph = ZoneGraph(("a", "b", "c"), np.zeros((3, 2)), np.array([2, 0]), np.array([0, 1]), np.array([3.0, 4.0]))
    assert graph.source.tolist() == [0, 2]
    assert graph.weight.tolist() == [4, 3]
    with pytest.raises(ValueError, match="read-only"):
        graph.weight[0] = 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"zones": ("a", "b", "a")}, "has the zone 'a' twice"),
        ({"positions_m": np.zeros((2, 2))}, "positions_m have shape (2, 2); 3 zones need (3, 2)"),
        ({"positions_m": np.full((3, 2), np.nan)}, "positions_m must be finite"),
        ({"target": np.array([1, 3])}, "edges lead to zones 0 to 2, not to 3"),
        ({"target": np.array([0, 2])}, "an edge from a zone to itself"),
        ({"source": np.array([0, 0]), "target": np.array([1, 1])}, "the edge from 0 to 1 twice"),
        ({"weight": np.array([1.0, -1.0])}, "weights must be positive"),
        ({"weight": np.array([1.0])}, "have 2, 2 and 1 entries"),
        ({"zones": (), "positions_m": np.zeros((0, 2))}, "at least one zone"),
    ],
)
def test_graphs_that_cannot_be(changes: dict[str, object], sentence: str) -> None:
    edges = {"source": np.array([0, 1]), "target": np.array([1, 2]), "weight": np.ones(2)}
    fields = {"zones": ("a", "b", "c"), "positions_m": np.zeros((3, 2)), **edges, **changes}
    with pytest.raises(TelemetryError) as refused:
        ZoneGraph(**fields)  # type: ignore[arg-type]
    assert sentence in str(refused.value)


def test_making_refuses_what_cannot_be() -> None:
    places = np.zeros((3, 2))
    for make, sentence in (
        (lambda: ZoneGraph.from_distances(places, made.ZONES, 0), "neighbours is 0"),
        (lambda: ZoneGraph.from_distances(places, made.ZONES, sigma_m=0), "sigma_m is 0"),
        (lambda: ZoneGraph.from_handovers(np.zeros((2, 2)), made.ZONES, places), "counts have shape"),
        (lambda: ZoneGraph.from_handovers(-np.ones((3, 3)), made.ZONES, places), "cannot be negative"),
        (lambda: ZoneGraph.from_handovers(np.zeros((3, 3)), made.ZONES, places, "columns"), "normalise is"),
    ):
        with pytest.raises(TelemetryError, match=sentence):
            make()


def test_files_that_hold_no_graph(tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    with pytest.raises(TelemetryError, match="No such file"):
        ZoneGraph.load(path)
    made.graph().save(path)
    whole = json.loads(path.read_text())
    for text, sentence in (
        ("{", "is no JSON"),
        ("[]", "holds no graph"),
        (json.dumps(whole | {"format": "theirs"}), "holds no graph of the format"),
        (json.dumps({k: v for k, v in whole.items() if k != "edges"}), "without zones, positions_m or edges"),
        (json.dumps(whole | {"edges": [[0, 0.5, 1]]}), "without zones, positions_m or edges"),
        (json.dumps(whole | {"edges": [[0, 9, 1]]}), "edges lead to zones 0 to 2, not to 9"),
    ):
        path.write_text(text)
        with pytest.raises(TelemetryError, match=sentence):
            ZoneGraph.load(path)
