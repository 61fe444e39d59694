"""Names in code lead to where they are described: public names of Python, commands, and environments."""

from __future__ import annotations

import posixpath
import re

from docsite import commands, environments, reference

_CODE = re.compile(r"(?<![`\[])`([^`\n]+)`(?![`\]])")
_BLOCK = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)


def linked(markdown: str, here: str) -> str:
    """Markdown of the page at `here`, in which code of text and tables leads to the reference."""
    parts = _BLOCK.split(markdown)
    parts[::2] = [_in_text(part, here) for part in parts[::2]]
    return "".join(parts)


def _in_text(text: str, here: str) -> str:
    lines = text.split("\n")
    return "\n".join(
        line if line.startswith("#") else _CODE.sub(lambda code: _link(code, here), line) for line in lines
    )


def _link(code: re.Match[str], here: str) -> str:
    text = code[1]
    name = text.removesuffix("()")
    if name in reference.public_names() and reference.static(name) is not None:
        return f"[`{text}`][{name}]"
    place = environments.places().get(text) or _command(text)
    return f"[`{text}`]({posixpath.relpath(place, posixpath.dirname(here) or '.')})" if place else code[0]


def _command(text: str) -> str | None:
    """Where the longest command is described that a line begins with, if it is one."""
    words = text.split()
    sizes = [size for size in (3, 2) if " ".join(words[:size]) in commands.places()]
    return commands.places()[" ".join(words[: sizes[0]])] if sizes else None
