"""What forecasting refuses."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


class ForecastError(ValueError):
    """A forecast that cannot be; the message is one sentence: what is wrong, where, and what would be right."""


def unknown(kind: str, name: str, known: Sequence[str], where: str) -> ForecastError:
    """That `where` has no `kind` of that name; with the nearest that it has, or with a list."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    few = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
    hint = f"did you mean {close[0]!r}?" if close else f"it has {few}"
    return ForecastError(f"{where} has no {kind} {name!r}; {hint}")
