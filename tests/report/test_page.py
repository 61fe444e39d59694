"""The page: whole, self-contained, readable without seeing, and right about what it says."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from report import tables

from metalore.report import (
    Cell,
    Listing,
    Page,
    Picture,
    Section,
    Table,
    course_figure,
    picture_from,
    picture_of,
    render,
    simulation_page,
)
from metalore.report.simulation import summary_table

VOID = {"meta", "img", "link", "br", "hr", "input"}


class Reader(HTMLParser):
    """Reads a page, checks that every tag is closed, and collects what the tests ask about."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in self.open:
            self.texts.setdefault(tag, []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def text(self, tag: str) -> str:
        return " ".join("".join(self.texts.get(tag, [])).split())


@pytest.fixture(scope="module")
def page() -> Page:
    picture = picture_from(np.zeros((4, 6, 3), np.uint8), "Nothing to see.", "A black picture.")
    run = tables.simulation(overrides={"users.count": 3})
    return simulation_page(run, "A <toy> & more", [Section("Cell", "", [picture])])


@pytest.fixture(scope="module")
def html(page: Page) -> str:
    return render(page)


@pytest.fixture(scope="module")
def read(html: str) -> Reader:
    return Reader(html)


def test_the_page_needs_nothing_from_outside(html: str, read: Reader) -> None:
    for _, attributes in read.tags:
        for name in ("src", "href", "srcset", "action", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert not read.all("script")
    assert not read.all("link")


def test_pictures_hold_nothing_from_outside(page: Page) -> None:
    import base64

    sources = [item.source for section in page.sections for item in section.content if isinstance(item, Picture)]
    assert len(sources) == 4
    for source in sources:
        data = base64.b64decode(source.partition(",")[2])
        if "svg" in source[:20]:
            assert not re.search(rb"(?:href|src)=\"(?!#)", data)
            assert b"<script" not in data
        else:
            assert data.startswith(b"\x89PNG")


def test_every_picture_says_what_it_shows(read: Reader) -> None:
    alts = [str(image["alt"]) for image in read.all("img")]
    assert len(alts) == 4
    assert "max-weight" in alts[1]
    assert "Share of requests answered: fixed(0.5,0.5) 100%, max-weight 60%, my <own> & only 0%" in alts[3]


def test_the_page_has_one_title_and_an_entry_for_every_section(page: Page, read: Reader) -> None:
    assert len(read.all("h1")) == 1
    assert read.text("h1") == read.text("title") == "A <toy> & more"
    assert len(read.all("h2")) == len(page.sections)
    identities = {attributes["id"] for attributes in read.all("section")}
    assert {str(link["href"])[1:] for link in read.all("a")} == identities
    assert read.all("html")[0]["lang"] == "en"


def test_figures_and_tables_are_numbered_through(read: Reader) -> None:
    figures = re.findall(r"Figure (\d+)\.", read.text("figcaption"))
    numbered = re.findall(r"Table (\d+)\.", read.text("caption"))
    assert figures == [str(i + 1) for i in range(4)]
    assert numbered == [str(i + 1) for i in range(len(read.all("table")))]


def test_tables_name_their_rows_and_columns(read: Reader) -> None:
    scopes = {attributes.get("scope") for attributes in read.all("th")}
    assert scopes == {"col", "row"}
    assert "my <own> & only" in read.text("tbody")


def test_the_page_says_what_was_run_and_how_to_run_it_again(read: Reader) -> None:
    assert "metalore simulate toy --policy 'a b'" in read.text("pre")
    for said in ("users.count = 3", "seeds, 4 to 9,", "A toy."):
        assert said in read.text("p")
    for value in ("200 m × 100 m", "2; 100 to 200 MHz and 100 Gcycle/s each", "probability 0.25 a step"):
        assert value in read.text("td")
    assert "metalore 0.0, numpy 2" in read.text("footer")


def test_the_lead_tells_the_best_of_what_is_defined(page: Page) -> None:
    assert "The highest mean return is that of my <own> & only" in page.lead
    assert "The lowest mean AoRI is that of fixed(0.5,0.5)" in page.lead
    assert "Three ways" in page.lead


def test_the_lead_admits_a_tie() -> None:
    run = tables.simulation()
    run.summary.loc[run.summary["measure"] == "return", ["mean", "low", "high"]] = [5.0, 4.0, 6.0]
    assert "with an interval that touches that of" in simulation_page(run, "tie").lead


def test_a_page_of_one_policy_and_one_episode() -> None:
    page = simulation_page(tables.simulation(("only",), count=1), "One")
    assert "The policy only ran through the same 1 episode" in page.lead
    assert Reader(render(page)).all("table")


def test_the_best_of_a_column_stands_out_and_undefined_is_a_dash() -> None:
    table = summary_table(tables.simulation().summary, ["return", "aori_s", "signed_gap_s"], "")
    assert [[cell.strong for cell in row[1:]] for row in table.cells] == [
        [False, True, False],
        [False, False, False],
        [True, False, False],
    ]
    assert table.cells[2][2] == Cell("–", "", False)


def test_sections_can_be_put_together_at_will() -> None:
    table = Table("Numbers.", ["Name", "Value"], [["a", Cell("1", "[0, 2]", strong=True)], ["b", "2"]])
    figure = picture_of(course_figure(tables.course(), ["request_queue"]), "A queue.", "Its course.")
    sections = [Section("Text", "One.\n\nTwo."), Section("All", "", [table, Listing("a < b"), figure])]
    read = Reader(render(Page("T", "L", sections)))
    assert read.text("strong") == "1"
    assert read.text("code") == "a < b"
    assert not read.all("footer")
    assert len(read.all("p")) == 3  # the lead, One, Two


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        (Picture("data:image/png;base64,", " ", "Dark."), "no alt text"),
        (Picture("https://example.org/a.png", "A.", "Far."), "outside the page"),
        (Table("Ragged.", ["a", "b"], [["1"]]), "not as long as its header"),
    ],
)
def test_what_a_page_refuses(item: Picture | Table, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        render(Page("T", "L", [Section("S", "", [item])]))
