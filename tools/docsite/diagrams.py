"""Diagrams drawn from their source: Mermaid flowcharts in pages become SVG that follows the site's colours.

Code hosts draw the same source by themselves. The part of Mermaid that is understood::

    flowchart LR                     or TB
      accTitle: What the picture shows
      a[a box<br/>of two lines] --> b(rounded)
      b -->|a label| c[(stored)]
      c -.-> a                       dotted; an arrow backwards is drawn backwards
      b <--> c                       with two heads
      class a,b learned              a class of site.css

Layout in layers, as Sugiyama et al. 1981 do it: nodes are ranked by the longest way to them, ordered within a rank by
the mean place of their neighbours, and long arrows lead through places kept free for them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from pathlib import Path

LINE, LETTER, SMALL, PAD_X, PAD_Y = 18.0, 7.4, 6.7, 12.0, 9.0  # pixels, for text of 13 px, labels of 12 px
BETWEEN_RANKS, BETWEEN_NODES, FREE = 30.0, 18.0, 14.0
SWEEPS = 12  # that sort
PULLS = 240  # that straighten

_BLOCK = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_IMAGE = re.compile(r"^!\[[^\]]*\]\(([^)]+\.svg)\)$", re.MULTILINE)
_NODE = r"(\w+)(?:(\[\(|\[|\()(.+?)(\)\]|\]|\)))?"
_ARROW = re.compile(rf"^{_NODE}\s*(-->|-\.->|<-->)(?:\|([^|]+)\|)?\s*{_NODE}$")
_ALONE = re.compile(rf"^{_NODE}$")


class DiagramError(ValueError):
    """A line of a diagram that is not understood."""


@dataclass
class Node:
    """A box with its text, or a place kept free for a long arrow (no lines), which may hold the arrow's label."""

    lines: list[str] = field(default_factory=list)
    label: str = ""
    shape: str = "["
    kind: str = ""
    rank: int = 0
    along: float = 0.0
    across: float = 0.0

    @property
    def width(self) -> float:
        """Pixels."""
        return max(map(len, self.lines)) * LETTER + 2 * PAD_X if self.lines else max(FREE, len(self.label) * SMALL)

    @property
    def height(self) -> float:
        """Pixels."""
        return len(self.lines) * LINE + 2 * PAD_Y if self.lines else FREE


@dataclass
class Arrow:
    """From one node to another, through the places in between."""

    tail: str
    head: str
    label: str = ""
    kind: str = "-->"
    backwards: bool = False
    path: list[str] = field(default_factory=list)


@dataclass
class Chart:
    """A diagram as it is written."""

    nodes: dict[str, Node]
    arrows: list[Arrow]
    title: str = ""
    across_page: bool = True  # LR, not TB


def drawn(markdown: str) -> str:
    """Markdown with its diagrams as SVG."""
    return _BLOCK.sub(lambda match: f'<div class="diagram">{svg(parsed(match[1]))}</div>', markdown)


def inlined(markdown: str, docs: Path, here: str) -> str:
    """Markdown with its SVG files in place, so that they too follow the site's colours."""

    def replace(image: re.Match[str]) -> str:
        drawing = (docs / here).parent / image[1]
        return '<div class="diagram">' + drawing.read_text(encoding="utf-8").replace("\n", "") + "</div>"

    return _IMAGE.sub(replace, markdown)


def parsed(source: str) -> Chart:
    """A diagram from its source.

    Raises:
        DiagramError: a line that is not understood.
    """
    head, *lines = [line.strip() for line in source.strip().splitlines() if line.strip()]
    if head not in ("flowchart LR", "flowchart TB"):
        raise DiagramError(f"a diagram begins with 'flowchart LR' or 'flowchart TB', not with {head!r}")
    chart = Chart({}, [], across_page=head.endswith("LR"))
    for line in lines:
        _read(line, chart)
    return chart


def _read(line: str, chart: Chart) -> None:
    if line.startswith("accTitle:"):
        chart.title = line.partition(":")[2].strip()
    elif line.startswith("class "):
        _, names, kind = line.split()
        for name in names.split(","):
            chart.nodes[name].kind = kind
    elif match := _ARROW.match(line):
        tail, head = _node(match.groups()[:4], chart), _node(match.groups()[6:], chart)
        chart.arrows.append(Arrow(tail, head, match[6] or "", match[5]))
    elif match := _ALONE.match(line):
        _node(match.groups(), chart)
    else:
        raise DiagramError(f"a diagram's line is a node or an arrow like 'a[text] --> b', not {line!r}")


def _node(groups: tuple[str | None, ...], chart: Chart) -> str:
    name, shape, text, _ = groups
    assert name is not None
    node = chart.nodes.setdefault(name, Node([name]))
    if text:
        node.lines, node.shape = re.split(r"<br ?/?>", text.strip('"')), shape or "["
    return name


def laid_out(chart: Chart) -> list[list[str]]:
    """Rank, order and place all nodes; the ranks, each with its nodes in order."""
    _turn_backward_arrows(chart)
    _rank(chart)
    ranks = _with_free_places(chart)
    _order(chart, ranks)
    _place(chart, ranks)
    return ranks


def _turn_backward_arrows(chart: Chart) -> None:
    """Mark arrows that close a circle, found depth first in the order of writing."""
    out: dict[str, list[Arrow]] = {name: [] for name in chart.nodes}
    for arrow in chart.arrows:
        out[arrow.tail].append(arrow)
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        for arrow in out[name]:
            arrow.backwards = arrow.head in (*above, name)
            if not arrow.backwards and arrow.head not in done:
                visit(arrow.head, (*above, name))
        done.add(name)

    for name in chart.nodes:
        if name not in done:
            visit(name, ())


def _ends(arrow: Arrow) -> tuple[str, str]:
    """Where it begins and ends in the order of ranks."""
    return (arrow.head, arrow.tail) if arrow.backwards else (arrow.tail, arrow.head)


def _rank(chart: Chart) -> None:
    """Longest way from a beginning, labels being steps; what begins a way moves next to what it leads to."""
    for _ in chart.nodes:
        for arrow in chart.arrows:
            tail, head = (chart.nodes[one] for one in _ends(arrow))
            head.rank = max(head.rank, tail.rank + _least(arrow))
    into = {_ends(arrow)[1] for arrow in chart.arrows}
    for name in chart.nodes.keys() - into:
        ways = [arrow for arrow in chart.arrows if _ends(arrow)[0] == name]
        if ways:
            chart.nodes[name].rank = min(chart.nodes[_ends(arrow)[1]].rank - _least(arrow) for arrow in ways)


def _least(arrow: Arrow) -> int:
    """Ranks from its tail to its head at least."""
    return 2 if arrow.label else 1


def _with_free_places(chart: Chart) -> list[list[str]]:
    """Nodes by rank, with a free place in each rank that an arrow passes."""
    ranks: list[list[str]] = [[] for _ in range(1 + max(node.rank for node in chart.nodes.values()))]
    for name, node in chart.nodes.items():
        ranks[node.rank].append(name)
    for number, arrow in enumerate(chart.arrows):
        tail, head = _ends(arrow)
        between = range(chart.nodes[tail].rank + 1, chart.nodes[head].rank)
        free = [f"{number}:{rank}" for rank in between]
        for name, rank in zip(free, between, strict=True):
            chart.nodes[name] = Node(rank=rank, label=arrow.label if rank == between[len(between) // 2] else "")
            ranks[rank].append(name)
        arrow.path = [tail, *free, head]
    return ranks


def _neighbours(chart: Chart) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Of each node those one rank before, and one rank behind."""
    before: dict[str, list[str]] = {name: [] for name in chart.nodes}
    behind: dict[str, list[str]] = {name: [] for name in chart.nodes}
    for arrow in chart.arrows:
        for a, b in pairwise(arrow.path):
            before[b].append(a)
            behind[a].append(b)
    return before, behind


def _order(chart: Chart, ranks: list[list[str]]) -> None:
    """Sort each rank by the mean place of neighbours, forwards and backwards; the order with fewest crossings stays."""
    before, behind = _neighbours(chart)
    best, fewest = [list(rank) for rank in ranks], _crossings(ranks, behind)
    for sweep in range(SWEEPS):
        near = behind if sweep % 2 else before
        for rank in ranks[::-1] if sweep % 2 else ranks:
            place = {name: i for other in ranks for i, name in enumerate(other)}
            mean = {n: sum(place[o] for o in near[n]) / len(near[n]) if near[n] else place[n] for n in rank}
            rank.sort(key=lambda name: mean[name])
        count = _crossings(ranks, behind)
        if count < fewest:
            best, fewest = [list(rank) for rank in ranks], count
    for rank, order in zip(ranks, best, strict=True):
        rank[:] = order


def _crossings(ranks: list[list[str]], behind: dict[str, list[str]]) -> int:
    """How many pairs of arrows between neighbouring ranks cross."""
    total = 0
    for rank, following in pairwise(ranks):
        place = {name: i for i, name in enumerate(following)}
        ends = [(i, place[head]) for i, name in enumerate(rank) for head in behind[name]]
        total += sum(a < c and b > d for a, b in ends for c, d in ends)
    return total


def _place(chart: Chart, ranks: list[list[str]]) -> None:
    """Coordinates: along the ranks by size, across them near the mean of the neighbours and never overlapping."""
    nodes, lr = chart.nodes, chart.across_page
    long = {name: node.width if lr else node.height for name, node in nodes.items()}
    broad = {name: node.height if lr else node.width for name, node in nodes.items()}
    at = 0.0
    for rank in ranks:
        size = max(long[name] for name in rank)
        for name in rank:
            nodes[name].along = at + size / 2
        at += size + BETWEEN_RANKS
    for rank in ranks:
        _spread(rank, {name: float(i) for i, name in enumerate(rank)}, broad, nodes)
    before, behind = _neighbours(chart)
    for sweep in range(PULLS):
        for rank in ranks[:: -1 if sweep % 2 else 1]:
            wanted = {}
            for name in rank:
                near = (before[name] + behind[name]) or [name]
                wanted[name] = sum(nodes[other].across for other in near) / len(near)
            _spread(rank, wanted, broad, nodes)
    least = min(node.across - broad[name] / 2 for name, node in nodes.items())
    for node in nodes.values():
        node.across -= least


def _spread(rank: list[str], wanted: dict[str, float], broad: dict[str, float], nodes: dict[str, Node]) -> None:
    """Places in the given order, as near to where they are wanted as the gaps allow (pool adjacent violators)."""
    offset, offsets = 0.0, []
    for name, following in zip(rank, [*rank[1:], None], strict=True):
        offsets.append(offset)
        if following is not None:
            offset += (broad[name] + broad[following]) / 2 + BETWEEN_NODES
    pools: list[list[float]] = []  # sum of wanted less offset, and how many
    for name, own in zip(rank, offsets, strict=True):
        pools.append([wanted[name] - own, 1.0])
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] > pools[-1][0] / pools[-1][1]:
            total, count = pools.pop()
            pools[-1][0] += total
            pools[-1][1] += count
    level = [total / count for total, count in pools for _ in range(int(count))]
    for name, own, base in zip(rank, offsets, level, strict=True):
        nodes[name].across = own + base


def svg(chart: Chart) -> str:
    """The picture, in one line so that Markdown leaves it alone."""
    laid_out(chart)
    spots = {name: (n.along, n.across) if chart.across_page else (n.across, n.along) for name, n in chart.nodes.items()}
    boxes = {name: (node.width, node.height) for name, node in chart.nodes.items()}
    left = min(spots[name][0] - boxes[name][0] / 2 for name in spots) - 6
    top = min(spots[name][1] - boxes[name][1] / 2 for name in spots) - 6
    width = max(spots[name][0] + boxes[name][0] / 2 for name in spots) + 6 - left
    height = max(spots[name][1] + boxes[name][1] / 2 for name in spots) + 6 - top
    parts = [_arrow(arrow, chart, spots) for arrow in chart.arrows]
    parts += [_box(node, *spots[name]) for name, node in chart.nodes.items() if node.lines]
    title = escape(chart.title, quote=True)
    marker = (
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto-start-reverse"><path d="M0,0L8,4L0,8z"/></marker></defs>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" aria-label="{title}" '
        f'style="width:{width:.0f}px" viewBox="{left:.0f} {top:.0f} {width:.0f} {height:.0f}">'
        f"{marker}{''.join(parts)}</svg>"
    )


def _box(node: Node, x: float, y: float) -> str:
    w, h = node.width, node.height
    round_ = {"[": 4, "(": h / 2, "[(": 4}[node.shape]
    shape = f'<rect x="{x - w / 2:.1f}" y="{y - h / 2:.1f}" width="{w:.1f}" height="{h:.1f}" rx="{round_:.1f}"/>'
    if node.shape == "[(":  # a store: a second line at its left
        shape += f'<path d="M{x - w / 2 + 6:.1f},{y - h / 2:.1f}v{h:.1f}"/>'
    first = y - (len(node.lines) - 1) * LINE / 2 + 4.5
    text = "".join(
        f'<text x="{x:.1f}" y="{first + i * LINE:.1f}"{"" if i else weight}>{escape(line)}</text>'
        for i, line in enumerate(node.lines)
        for weight in [' class="first"' if len(node.lines) > 1 else ""]
    )
    return f'<g class="box {node.kind}">{shape}{text}</g>'


def _way(arrow: Arrow, chart: Chart, spots: dict[str, tuple[float, float]]) -> list[tuple[float, float]]:
    """Points of an arrow: it bends between ranks, and passes each rank straight on, so that it touches no box there."""
    deep: dict[int, float] = {}
    for node in chart.nodes.values():
        size = node.width if chart.across_page else node.height
        deep[node.rank] = max(deep.get(node.rank, 0.0), size)
    points: list[tuple[float, float]] = []
    for place, name in enumerate(arrow.path):
        node, (x, y) = chart.nodes[name], spots[name]
        own = (node.width if chart.across_page else node.height) / 2
        half = deep[node.rank] / 2
        along = [-half, half]
        if place == 0:
            along = [own, half]
        elif place == len(arrow.path) - 1:
            along = [-half, -own]
        points += [(x + step, y) if chart.across_page else (x, y + step) for step in along]
    return list(dict.fromkeys(points))  # a line of no length would turn its arrowhead anywhere


def _arrow(arrow: Arrow, chart: Chart, spots: dict[str, tuple[float, float]]) -> str:
    """A smooth line through its places, from the border of one box to that of the other."""
    lr = chart.across_page
    points = _way(arrow, chart, spots)
    path = "M{:.1f},{:.1f}".format(*points[0])
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = ((x0 + x1) / 2, (y0 + y1) / 2)
        bend = (
            f"{middle[0]:.1f},{y0:.1f} {middle[0]:.1f},{y1:.1f}"
            if lr
            else f"{x0:.1f},{middle[1]:.1f} {x1:.1f},{middle[1]:.1f}"
        )
        path += f"C{bend} {x1:.1f},{y1:.1f}"
    ends = ["marker-start"] * (arrow.backwards or arrow.kind == "<-->") + ["marker-end"] * (not arrow.backwards)
    heads = " ".join(f'{end}="url(#arrow)"' for end in ends)
    line = f'<path class="arrow{" dotted" if arrow.kind == "-.->" else ""}" d="{path}" {heads}/>'
    labels = [(chart.nodes[name].label, *spots[name]) for name in arrow.path if chart.nodes[name].label]
    return line + "".join(_label(*label) for label in labels)


def _label(text: str, x: float, y: float) -> str:
    """An arrow's label, on a piece of paper that hides the arrow."""
    width = len(text) * SMALL
    paper = f'<rect class="paper" x="{x - width / 2:.1f}" y="{y - 8:.1f}" width="{width:.1f}" height="16"/>'
    return f'{paper}<text class="label" x="{x:.1f}" y="{y + 4:.1f}">{escape(text)}</text>'
