"""Diagrams: what is read, where things lie, and what is refused."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path

import pytest
from docsite import diagrams

ROOT = Path(__file__).parents[2]
SOURCE = """
flowchart TB
  accTitle: A & B
  a[first<br/>second] --> b(round)
  b -->|label| c[(kept)]
  a -.-> c
  c --> a
  class a,c learned
"""
IN_DOCS = [
    pytest.param(match[1], id=f"{page.name}:{i}")
    for page in sorted((ROOT / "docs").rglob("*.md"))
    for i, match in enumerate(diagrams._BLOCK.finditer(page.read_text(encoding="utf-8")))
]


def test_reads_nodes_arrows_and_classes() -> None:
    chart = diagrams.parsed(SOURCE)
    assert {name: (node.lines, node.shape, node.kind) for name, node in chart.nodes.items()} == {
        "a": (["first", "second"], "[", "learned"),
        "b": (["round"], "(", ""),
        "c": (["kept"], "[(", "learned"),
    }
    assert [(arrow.tail, arrow.head, arrow.label, arrow.kind) for arrow in chart.arrows] == [
        ("a", "b", "", "-->"),
        ("b", "c", "label", "-->"),
        ("a", "c", "", "-.->"),
        ("c", "a", "", "-->"),
    ]
    assert chart.title == "A & B"


def test_ranks_follow_arrows_and_circles_are_drawn_backwards() -> None:
    chart = diagrams.parsed(SOURCE)
    diagrams.laid_out(chart)
    assert [chart.nodes[name].rank for name in "abc"] == [0, 1, 3]  # a label has a rank of its own
    assert [arrow.backwards for arrow in chart.arrows] == [False, False, False, True]
    for arrow in chart.arrows:
        ranks = [chart.nodes[name].rank for name in arrow.path]
        assert all(b - a == 1 for a, b in pairwise(ranks))


@pytest.mark.parametrize("source", IN_DOCS)
def test_boxes_and_labels_do_not_overlap(source: str) -> None:
    chart = diagrams.parsed(source)
    diagrams.laid_out(chart)
    for (_, a), (_, b) in combinations(chart.nodes.items(), 2):
        long_a, long_b = ((n.width if chart.across_page else n.height) for n in (a, b))
        broad_a, broad_b = ((n.height if chart.across_page else n.width) for n in (a, b))
        apart_along = abs(a.along - b.along) >= (long_a + long_b) / 2
        apart_across = abs(a.across - b.across) >= (broad_a + broad_b) / 2
        assert apart_along or apart_across, (a.lines or a.label, b.lines or b.label)


@pytest.mark.parametrize("source", IN_DOCS)
def test_arrows_touch_no_box_but_their_own(source: str) -> None:
    """Between two points of its way an arrow bends, so that it keeps to the rectangle of both."""
    chart = diagrams.parsed(source)
    diagrams.laid_out(chart)
    spots = {name: (n.along, n.across) if chart.across_page else (n.across, n.along) for name, n in chart.nodes.items()}
    for arrow in chart.arrows:
        way = diagrams._way(arrow, chart, spots)
        for name, node in chart.nodes.items():
            if node.lines and name not in (arrow.tail, arrow.head):
                for (x0, y0), (x1, y1) in pairwise(way):
                    apart_x = abs((x0 + x1) / 2 - spots[name][0]) >= (abs(x1 - x0) + node.width) / 2 - 0.1
                    apart_y = abs((y0 + y1) / 2 - spots[name][1]) >= (abs(y1 - y0) + node.height) / 2 - 0.1
                    assert apart_x or apart_y, (arrow.tail, arrow.head, name)


def test_a_crossing_that_need_not_be_is_undone() -> None:
    chart = diagrams.parsed(
        "flowchart LR\n a --> d\n b --> c\n a --> x\n b --> y\n x --> e\n d --> e\n c --> f\n y --> f"
    )
    ranks = diagrams.laid_out(chart)
    _, behind = diagrams._neighbours(chart)
    assert diagrams._crossings(ranks, behind) == 0


def test_markdown_keeps_everything_else() -> None:
    text = "before\n\n```mermaid\nflowchart LR\n  a[x < y] --> b\n```\n\n```python\nafter\n```\n"
    drawn = diagrams.drawn(text)
    assert drawn.startswith('before\n\n<div class="diagram"><svg')
    assert drawn.endswith("</svg></div>\n\n```python\nafter\n```\n")
    assert "x &lt; y" in drawn


@pytest.mark.parametrize("source", ["graph LR\n a --> b", "flowchart LR\n a ==> b"])
def test_what_is_not_understood_is_refused(source: str) -> None:
    with pytest.raises(diagrams.DiagramError):
        diagrams.parsed(source)


def test_drawings_are_put_in_place(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text("<svg>\n</svg>\n")
    assert diagrams.inlined("![A](a.svg)\ntext", tmp_path, "page.md") == '<div class="diagram"><svg></svg></div>\ntext'
