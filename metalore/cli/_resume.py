"""Going on with what was interrupted: only if it is the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metalore.cli._experiment import make_ready


def goes_on(
    folder: Path | None,
    resume: bool,
    summary: str,
    form: str,
    identity: Mapping[str, Any],
    error: type[Exception],
    *,
    holds: str,
    other: str,
) -> bool:
    """Whether there is something in a folder to go on with; the folder is made.

    Args:
        folder: where results go; None: nowhere.
        resume: whether to go on with what is there.
        summary: name of a JSON file with `format`, `command` and what the thing is known by.
        form: the format that it must have.
        identity: by which this run is known.
        error: raised, with one sentence, if there is something else, nothing to be named, or no wish to go on.
        holds: what the folder should hold, as in "a comparison of forecasts".
        other: the same if it is another one, up to its name, as in "a comparison of other".

    Raises:
        OSError: nothing can be written there.
    """
    if folder is None:
        if resume:
            raise error("--resume goes on with what is in --out; name that folder")
        return False
    make_ready(folder)
    if not (folder / summary).exists():
        return False
    if not resume:
        raise error(f"{folder} holds results already; go on with --resume, or choose another --out")
    _check_same(folder / summary, form, identity, error, holds, other)
    return True


def _check_same(
    summary: Path, form: str, identity: Mapping[str, Any], error: type[Exception], holds: str, other: str
) -> None:
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
