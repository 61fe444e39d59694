"""The documentation site builds without a warning, leads nowhere dead, and needs nothing from elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

pytest.importorskip("material", reason="the extra `docs` is not installed")
pytest.importorskip("mkdocstrings", reason="the extra `docs` is not installed")
pytest.importorskip("typer", reason="the extra `cli` is not installed")

import mkdocs_hooks

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 600


class Page(HTMLParser):
    """Links, anchors and assets of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.assets: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        of = dict(attributes)
        self.anchors |= {name for name in (of.get("id"), of.get("name")) if name}
        if tag == "a" and of.get("href"):
            self.links.append(str(of["href"]))
        elif tag == "link" and of.get("rel") != "canonical" and of.get("href"):
            self.assets.append(str(of["href"]))
        elif of.get("src"):
            self.assets.append(str(of["src"]))


def dead_links(site: Path) -> list[str]:
    """Links and assets of all pages that lead to no file, or to no anchor of one, or, of assets, elsewhere."""
    pages = {file: Page(file.read_text(encoding="utf-8")) for file in site.rglob("*.html") if file.name != "404.html"}
    dead = []
    for file, page in pages.items():
        for link in page.links:
            path, _, anchor = link.partition("#")
            if "://" in link or link.startswith("mailto:"):
                continue
            there = (file.parent / unquote(path)).resolve() if path else file
            if not there.is_file() or (anchor and there in pages and unquote(anchor) not in pages[there].anchors):
                dead.append(f"{file.relative_to(site)}: {link}")
        for asset in page.assets:
            if "//" in asset or not (file.parent / asset.partition("?")[0]).is_file():
                dead.append(f"{file.relative_to(site)}: {asset}")
    return dead


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_builds_strictly_with_all_pages(site: Path) -> None:
    written = {page.relative_to(ROOT / "docs").with_suffix(".html") for page in (ROOT / "docs").rglob("*.md")}
    built = {page.relative_to(site) for page in site.rglob("*.html")}
    assert written <= built


def test_no_link_is_dead_and_nothing_comes_from_elsewhere(site: Path) -> None:
    assert dead_links(site) == []


def test_every_page_of_docs_is_in_the_navigation(site: Path) -> None:
    index = Page((site / "index.html").read_text(encoding="utf-8"))
    for page in (ROOT / "docs").rglob("*.md"):
        assert page.relative_to(ROOT / "docs").with_suffix(".html").as_posix() in index.links


def test_diagrams_are_pictures(site: Path) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        drawn = page.read_text(encoding="utf-8").count("```mermaid")
        built = (site / page.relative_to(ROOT / "docs").with_suffix(".html")).read_text(encoding="utf-8")
        assert built.count('<div class="diagram"><svg') >= drawn
        assert "accTitle" not in built


def test_code_in_pages_leads_to_the_reference(site: Path) -> None:
    links = Page((site / "learning.html").read_text(encoding="utf-8")).links
    assert "reference/commands/evaluate.html#metalore-evaluate" in links
    assert "reference/api/metalore.learn.html#metalore.learn.TrainSettings" in links
    assert any(
        link.startswith("reference/environments/") for link in Page((site / "environments.html").read_text()).links
    )


def test_search_knows_the_reference(site: Path) -> None:
    assert "run_episodes" in (site / "search" / "search_index.js").read_text(encoding="utf-8")


def test_navigation_leaves_out_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mkdocs_hooks, "made", {"api/a.md": "", "api/index.md": "", "api/b.md": ""})
    listed: set[str] = set()
    nav = [{"One": ["here.md", {"Gone": "gone.md"}]}, {"Two": ["gone.md"]}, {"Three": ["api/index.md", "api/*"]}]
    present = mkdocs_hooks._present(nav, {"here.md", "api/index.md"}, listed)
    assert present == [{"One": ["here.md"]}, {"Three": ["api/index.md", "api/a.md", "api/b.md"]}]
    assert listed == {"here.md", "api/index.md"}


def test_the_check_sees_dead_links(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<h1 id="here"></h1><a href="b.html#there"></a><a href="#here"></a><a href="#gone"></a><a href="c.html"></a>'
        '<a href="b.html#nowhere"></a><a href="https://example.org"></a><script src="//elsewhere/x.js"></script>'
        '<img src="missing.png">'
    )
    (tmp_path / "b.html").write_text('<h1 id="there"></h1>')
    found = ["#gone", "c.html", "b.html#nowhere", "//elsewhere/x.js", "missing.png"]
    assert dead_links(tmp_path) == [f"a.html: {link}" for link in found]
