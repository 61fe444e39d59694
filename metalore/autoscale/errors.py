"""What autoscaling refuses."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


class AutoscaleError(ValueError):
    """A setting or input that cannot be; the message is one sentence: what is wrong, where, what would be right."""


def unknown(kind: str, name: str, known: Sequence[str], where: str) -> AutoscaleError:
    """That `where` has no `kind` of that name; with the nearest that it has, or with a list."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(known)}"
    return AutoscaleError(f"{where} has no {kind} {name!r}; {hint}")
