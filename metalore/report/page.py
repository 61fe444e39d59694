"""A page: sections of text, figures, tables and listings in one HTML file that needs nothing else.

page = Page("Splitting a cell", "What was compared.", [Section("Result", "Read this.", [table, figure])])
write_page(page, "results/index.html")
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import numpy as np
from matplotlib.figure import Figure

from metalore.files import write_text
from metalore.report.style import data_uri, png, svg


@dataclass(frozen=True)
class Picture:
    """A picture within the page.

    Attributes:
        source: an address that holds the picture, see :func:`metalore.report.style.data_uri`.
        alt: what it shows, in words, for those who cannot see it.
        caption: what it is and how to read it.
    """

    source: str
    alt: str
    caption: str


@dataclass(frozen=True)
class Cell:
    """A cell of a table: a text, a smaller one below it, and whether it stands out."""

    text: str
    note: str = ""
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """A table; the first column names the rows.

    Attributes:
        caption: what it is and how to read it.
        header: one text per column.
        rows: a text or :class:`Cell` per column.
        numeric: whether columns but the first hold numbers, which stand flush right.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    numeric: bool = True

    @property
    def cells(self) -> list[list[Cell]]:
        """The rows as cells."""
        return [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in self.rows]


@dataclass(frozen=True)
class Listing:
    """Commands or a file, as they are typed."""

    text: str


@dataclass(frozen=True)
class Section:
    """A part of a page: a title, paragraphs (an empty line between them), and what belongs to them, in order."""

    title: str
    text: str = ""
    content: Sequence[Picture | Table | Listing] = field(default_factory=tuple)


@dataclass(frozen=True)
class Page:
    """A page of a report.

    Attributes:
        title: what it is about.
        lead: one paragraph that says what was done and what came out.
        sections: its parts.
        footer: one line at its end.
    """

    title: str
    lead: str
    sections: Sequence[Section]
    footer: str = ""


def picture_of(figure: Figure, alt: str, caption: str) -> Picture:
    """A figure as a picture of a page, sharp at any size."""
    return Picture(data_uri(svg(figure), "svg+xml"), alt, caption)


def picture_from(pixels: np.ndarray, alt: str, caption: str) -> Picture:
    """An array `pixels`, uint8 [height, width, 3], as a picture of a page."""
    return Picture(data_uri(png(pixels), "png"), alt, caption)


def render(page: Page) -> str:
    """The page as HTML.

    Raises:
        ValueError: a picture without words for those who cannot see it, or from outside the page; a ragged table.
    """
    for section in page.sections:
        for item in section.content:
            _check(item)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["paragraphs"] = _paragraphs
    environment.tests |= {kind.__name__.lower(): _is(kind) for kind in (Picture, Table, Listing)}
    return environment.get_template("page.html.jinja").render(page=page)


def write_page(page: Page, path: Path | str) -> None:
    """Write the page to a file, whole or not at all."""
    write_text(path, render(page))


def _check(item: Picture | Table | Listing) -> None:
    if isinstance(item, Picture):
        if not item.alt.strip():
            raise ValueError(f"the picture {item.caption!r} has no alt text; say in words what it shows")
        if not item.source.startswith("data:"):
            raise ValueError(f"the picture {item.caption!r} lies outside the page; embed it with data_uri")
    if isinstance(item, Table) and any(len(row) != len(item.header) for row in item.rows):
        raise ValueError(f"the table {item.caption!r} has rows that are not as long as its header")


def _is(kind: type) -> Callable[[object], bool]:
    return lambda item: isinstance(item, kind)


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]
