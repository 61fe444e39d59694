"""Docstrings as Markdown: roles become links, and the mark of a literal block goes."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:mod|class|func|meth|data|attr|exc|obj):`~?([^`]+)`")


def as_markdown(text: str) -> str:
    """A docstring without reStructuredText: `:func:`runs`` is `runs`, `like this::` ends with one colon."""
    text = _ROLE.sub(r"`\1`", text)
    return re.sub(
        r"::$", lambda match: "" if match.start() == 0 or text[match.start() - 1] == "\n" else ":", text, flags=re.M
    )


class Markdown(griffe.Extension):
    """Applies it to every docstring that is read; its headings follow that of its name without a gap."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Called by griffe for every object with members read."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^#(?=#+ )", "", as_markdown(obj.docstring.value), flags=re.M)
