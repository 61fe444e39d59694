"""Pages of the repository's own files, so that links to them lead somewhere without a code host."""

from __future__ import annotations

import os
import posixpath
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = "source"
MOST_BYTES = 100_000  # larger files are named and not shown

PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "README.md": "index.md"}
"""Markdown outside `docs/` that is a page of the site; or whose place a page of `docs/` takes."""

_LINK = re.compile(r"(\]\()([^)\s]+)(\))")
_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_LANGUAGES = {".py": "python", ".toml": "toml", ".yml": "yaml", ".yaml": "yaml", ".json": "json", ".sh": "bash"}


@cache
def tracked() -> tuple[str, ...]:
    """All files of the repository, without those that git ignores; without git, all that are not hidden."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    listed = asked.stdout.splitlines() if asked.returncode == 0 else map(str, _unhidden(ROOT))
    return tuple(sorted(one for one in listed if (ROOT / one).is_file()))


def _unhidden(folder: Path) -> Iterator[Path]:
    for top, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        yield from (Path(top, name).relative_to(folder) for name in files)


def page_of(path: str) -> str | None:
    """The site's page of a file or folder of the repository, or None if it has none."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path in PAGES:
        return PAGES[path]
    if (ROOT / path).is_dir():
        return f"{FOLDER}/{path}/index.md"
    return f"{FOLDER}/{path}.md" if path in tracked() else None


def path_of(page: str) -> str:
    """Where a page of the site lies in the repository."""
    own = {one: path for path, one in PAGES.items() if not (ROOT / "docs" / one).exists()}
    return own.get(page, f"docs/{page}")


def relinked(text: str, page: str, needed: set[str]) -> str:
    """Markdown with links as the site has them.

    Args:
        text: Markdown, with links relative to where it lies in the repository.
        page: where it lies in the site.
        needed: files and folders outside `docs/` that are linked to; added to.
    """
    parts = _FENCE.split(text)
    parts[::2] = [
        _LINK.sub(lambda link: link[1] + _leading(link[2], page, needed) + link[3], part) for part in parts[::2]
    ]
    return "".join(parts)


def _leading(link: str, page: str, needed: set[str]) -> str:
    if "://" in link or link.startswith(("#", "mailto:")):
        return link
    target, mark, anchor = link.partition("#")
    there = posixpath.normpath(posixpath.join(posixpath.dirname(path_of(page)), target))
    new = page_of(there)
    if new is None:
        return link  # the strict build says that it leads nowhere
    if new.startswith(FOLDER):
        needed.add(there)
    if there == "README.md":  # the page that takes its place has other headings
        mark = anchor = ""
    return posixpath.relpath(new, posixpath.dirname(page) or ".") + mark + anchor


def pages(needed: set[str]) -> dict[str, str]:
    """Markdown by path of the files and folders that are linked to, and of all that these folders hold."""
    made: dict[str, str] = {}
    for path in sorted(needed):
        if (ROOT / path).is_dir():
            inside = [one for one in tracked() if one.startswith(f"{path}/") and _is_text(ROOT / one)]
            made[f"{FOLDER}/{path}/index.md"] = _listing(path, inside)
            made |= {f"{FOLDER}/{one}.md": _shown(one) for one in inside}
        else:
            made[f"{FOLDER}/{path}.md"] = _shown(path)
    return made


def _is_text(file: Path) -> bool:
    return b"\0" not in file.read_bytes()[:4096]


def _listing(path: str, inside: list[str]) -> str:
    rows = [f"- [{one.removeprefix(path + '/')}]({one.removeprefix(path + '/')}.md)" for one in inside]
    return f"# {path}/\n\n" + "\n".join(rows) + "\n"


def _shown(path: str) -> str:
    file = ROOT / path
    if file.stat().st_size > MOST_BYTES:
        return f"# {path}\n\n{file.stat().st_size:,} bytes; open it in the repository.\n"
    text = file.read_text(encoding="utf-8", errors="replace")
    if file.suffix == ".md":
        text = re.sub(r"^", "    ", text, flags=re.MULTILINE)
        return f"# {path}\n\n{text}\n"
    return f"# {path}\n\n````{_LANGUAGES.get(file.suffix, 'text')}\n{text.rstrip()}\n````\n"
