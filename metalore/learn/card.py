"""What a policy's folder holds, and what its card says; read without loading what learns."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FORMAT = 1
CARD, WEIGHTS, CURVE, CHECKPOINT = "policy.json", "weights.safetensors", "curve.csv", "checkpoint"


class PolicyFolderError(ValueError):
    """A folder that holds no policy of ours, or one for other worlds; the message says which."""


def write_json(path: Path, content: Any) -> None:
    """Write in one move: readers see the old file or the new one, never half of it."""
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(content, indent=1), encoding="utf-8"))


def write_curve(folder: Path, columns: Sequence[str], curve: Sequence[Mapping[str, float]]) -> None:
    """Write a training curve into a folder, a row per evaluation, likewise in one move."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(curve)
    write_atomically(folder / CURVE, lambda temporary: temporary.write_text(text.getvalue(), encoding="utf-8"))


def write_atomically(path: Path, write: Any) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_card(folder: str | Path) -> dict[str, Any]:
    """The checked content of `policy.json`.

    Raises:
        PolicyFolderError: no such folder, or not a policy of ours.
    """
    path = Path(folder) / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise PolicyFolderError(f"{folder} holds no trained policy: {CARD} is missing or cannot be read") from None
    except (ValueError, UnicodeDecodeError):
        raise PolicyFolderError(f"{path} is not valid JSON, so {folder} is no policy that metalore saved") from None
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        found = card.get("format") if isinstance(card, dict) else None
        raise PolicyFolderError(f"{path} has format {found!r}; this version of metalore reads format {FORMAT}")
    return card
