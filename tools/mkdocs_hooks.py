"""What MkDocs calls while it builds the documentation site; `mkdocs.yml` names this file, `docsite` does the work."""

from __future__ import annotations

from typing import Any

from docsite import commands, diagrams, environments, links, reference, sources
from mkdocs.structure.files import File, Files

DOCS = sources.ROOT / "docs"

made: dict[str, str] = {}
"""Markdown of pages that no file holds, by path."""


def on_config(config: Any) -> Any:
    """Make the reference, and a navigation of the pages that are there; those that it does not name come last."""
    made.clear()
    made.update(commands.pages() | environments.pages() | reference.pages())
    written = {file.relative_to(DOCS).as_posix() for file in DOCS.rglob("*.md")}
    outside = {page: path for path, page in sources.PAGES.items() if page not in written}
    made.update({page: (sources.ROOT / path).read_text(encoding="utf-8") for page, path in outside.items()})
    listed: set[str] = set()
    config.nav = _present(config.nav, written | set(made), listed)
    if left := sorted(written - listed):
        config.nav.append({"More": left})
    return config


def _present(entries: list[Any], known: set[str], listed: set[str]) -> list[Any]:
    """Entries of the navigation whose page is there; `FOLDER/*` stands for all pages made in a folder but its index."""
    kept: list[Any] = []
    for entry in entries:
        title, value = next(iter(entry.items())) if isinstance(entry, dict) else (None, entry)
        if isinstance(value, list):
            if inside := _present(value, known, listed):
                kept.append({title: inside})
        elif value.endswith("/*"):
            folder = value.removesuffix("*")
            kept += sorted(page for page in made if page.startswith(folder) and page != f"{folder}index.md")
        elif value in known:
            listed.add(value)
            kept.append(entry)
    return kept


def on_files(files: Files, config: Any) -> Files:
    """Add what is made: the reference, and pages of the source files that any page links to."""
    needed: set[str] = set()
    texts = {file.relative_to(DOCS).as_posix(): file.read_text(encoding="utf-8") for file in DOCS.rglob("*.md")}
    for page, text in (texts | made).items():
        if not page.startswith("reference/"):
            sources.relinked(text, page, needed)
    for path, text in {**made, **sources.pages(needed)}.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links as the site has them, names in code that lead to the reference, and diagrams as pictures."""
    here = page.file.src_uri
    if here.startswith((f"{sources.FOLDER}/", "reference/")):
        return markdown
    return diagrams.drawn(diagrams.inlined(links.linked(sources.relinked(markdown, here, set()), here), DOCS, here))
