"""Going on with what was interrupted: only if it is the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def check_same(
    summary: Path, form: str, identity: Mapping[str, Any], error: type[Exception], *, holds: str, other: str
) -> None:
    """Refuse to go on with something else.

    Args:
        summary: JSON file with `format`, `command` and what the thing is known by.
        form: the format that it must have.
        identity: by which this run is known.
        error: raised, with one sentence.
        holds: what the folder should hold, as in "a comparison of forecasts".
        other: the same if it is another one, up to its name, as in "a comparison of other".
    """
    folder = summary.parent
    try:
        before = json.loads(summary.read_text(encoding="utf-8"))
    except ValueError:
        raise error(f"{summary} is no JSON; choose another --out") from None
    if not isinstance(before, dict) or before.get("format") != form:
        raise error(f"{folder} holds something else than {holds}; choose another --out")
    for name, wanted in json.loads(json.dumps(dict(identity))).items():
        if before.get(name) != wanted:
            raise error(
                f"{folder} holds {other} {name}; go on as it began ({before.get('command')}), or choose another --out"
            )
