"""What MkDocs calls while it builds the documentation site; `mkdocs.yml` names this file, `docsite` does the work."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docsite import commands, diagrams, environments, reference, sources
from mkdocs.structure.files import File, Files

DOCS = sources.ROOT / "docs"
_CODE = re.compile(r"(?<![`\[])`([^`\n]+)`(?![`\]])")
_FENCE = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)

made: dict[str, str] = {}
needed: set[str] = set()


def on_config(config: Any) -> Any:
    """Make the reference, and a navigation of the pages that there are; pages that nobody listed come last."""
    made.clear()
    needed.clear()
    made.update(commands.pages() | environments.pages() | reference.pages())
    for path, page in sources.PAGES.items():
        if page != "index.md":
            made[page] = (sources.ROOT / path).read_text(encoding="utf-8")
    written = {file.relative_to(DOCS).as_posix() for file in DOCS.rglob("*.md")}
    listed: set[str] = set()
    config.nav = _there(config.nav, written | set(made), listed)
    if left := sorted(written - listed):
        config.nav.append({"More": left})
    return config


def _there(entries: list[Any], known: set[str], listed: set[str]) -> list[Any]:
    """Entries whose page is there; `FOLDER/*` stands for all pages made in a folder."""
    kept: list[Any] = []
    for entry in entries:
        title, value = next(iter(entry.items())) if isinstance(entry, dict) else (None, entry)
        if isinstance(value, list):
            if inside := _there(value, known, listed):
                kept.append({title: inside})
        elif value.endswith("/*"):
            folder = value[:-1]
            kept += sorted(page for page in made if page.startswith(folder) and page != f"{folder}index.md")
        elif value in known:
            listed.add(value)
            kept.append(entry)
    return kept


def on_files(files: Files, config: Any) -> Files:
    """Add what is made: the reference, and pages of the source files that any page links to."""
    for file in DOCS.rglob("*.md"):
        path = file.relative_to(sources.ROOT).as_posix()
        sources.relinked(file.read_text(encoding="utf-8"), path, path.removeprefix("docs/"), needed)
    for path, page in sources.PAGES.items():
        sources.relinked((sources.ROOT / path).read_text(encoding="utf-8"), path, page, needed)
    for path, text in {**made, **sources.pages(needed)}.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links as the site has them, diagrams as pictures, and names in code that lead to the reference."""
    here = page.file.src_uri
    if here.startswith(f"{sources.FOLDER}/"):
        return markdown
    if not here.startswith("reference/"):
        at = {one: path for path, one in sources.PAGES.items()}.get(here, f"docs/{here}") if here != "index.md" else None
        markdown = sources.relinked(markdown, at or "docs/index.md", here, needed)
        markdown = _linked(markdown, here)
    return diagrams.drawn(markdown)


def _linked(markdown: str, here: str) -> str:
    """Markdown in which public names, commands and environments in code lead to where they are described."""
    parts = _FENCE.split(markdown)
    parts[::2] = ["\n".join(map(lambda line: _CODE.sub(lambda m: _link(m, here), line) if not line.startswith("#") else line, part.split("\n"))) for part in parts[::2]]
    return "".join(parts)


def _link(match: re.Match[str], here: str) -> str:
    up = "../" * here.count("/")
    text = match[1]
    name = text.removesuffix("()")
    if name in reference.public_names() and reference.static(name) is not None:
        return f"[`{text}`][{name}]"
    if text in environments.places():
        return f"[`{text}`]({up}{environments.places()[text]})"
    words = text.split()
    for size in (3, 2):
        if len(words) >= size and (place := _commands().get(" ".join(words[:size]))):
            return f"[`{text}`]({up}{place})"
    return match[0]


_PLACES: dict[str, str] = {}


def _commands() -> dict[str, str]:
    if not _PLACES:
        _PLACES.update(commands.places())
    return _PLACES
