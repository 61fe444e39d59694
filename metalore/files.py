"""Files that are whole or not there; below everything else."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A path to write to beside `path`, that takes its place if the block ends well and vanishes if not.

    Folders above are made. The file has the ending of `path`, as writers like to know it.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp lets nobody else read
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Write a text file whole (UTF-8)."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_document(path: Path, format_name: str, what: str, error: type[Exception]) -> dict[str, Any]:
    """A JSON object that names its own format, as cards and indexes do.

    Args:
        path: of the file.
        format_name: that it must have.
        what: lies in its folder, for the message.
        error: raised in one sentence if it cannot be read, is no JSON, or has another format.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as cause:
        raise error(f"{path.parent} holds no {what}: {path.name} cannot be read ({cause.strerror})") from None
    except ValueError:
        raise error(f"{path} is no JSON, so {path.parent} holds no {what} that metalore wrote") from None
    found = document.get("format") if isinstance(document, dict) else None
    if found != format_name:
        raise error(f"{path} has the format {found!r}; this version of metalore reads {format_name!r} here")
    checked: dict[str, Any] = document
    return checked


@contextmanager
def replacing_folder(folder: Path | str) -> Iterator[Path]:
    """An empty folder beside `folder`, that takes its place with all that is in it if the block ends well.

    What was there goes as a whole. A process that is killed between the two moves leaves it beside, as `.NAME.old`.

    Raises:
        OSError: the folder cannot be made or written to.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    old = folder.with_name(f".{folder.name}.old")
    try:
        yield fresh
        fresh.chmod(0o777 & ~_umask())  # mkdtemp lets nobody else in
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        fresh.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
