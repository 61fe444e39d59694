"""A library of images, speech and motions made by MetaLore: each item shows one activity of the built-in city.

=================  ====================================================================================================
`library.json`     seed, and of each item: id, activity, part, and for each modality its file and its text
`images/ID.png`    a drawn scene; its text is a caption
`audio/ID.wav`     a spoken sentence; its text is the transcript
`motions/ID.npy`   joints over time; its text is a description
=================  ====================================================================================================

It needs no data set and no licence. What is measured on it is how well training works, not how well real media are
understood.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from metalore.files import read_document, replacing_folder, write_text
from metalore.intent.errors import IntentError

ACTIVITIES = ("quiet", "work", "school", "game", "concert", "sport")
"""Of the built-in city (city-30); item i shows activity i modulo 6."""
PARTS = ("train", "validation", "test")
MODALITIES = ("image", "speech", "motion")
FORMAT = "metalore-media-1"
INDEX = "library.json"

Part = Literal["train", "validation", "test"]

_SHARES = 0.70, 0.15  # of training and validation; the rest is for testing
_FIELDS = {"image": ("image", "caption"), "speech": ("audio", "transcript"), "motion": ("motion", "description")}
_FILES = {"image": "images/{}.png", "speech": "audio/{}.wav", "motion": "motions/{}.npy"}
_TRIES = 1000


@dataclass(frozen=True)
class Item:
    """One thing that goes on, as it looks, sounds and moves; what a library lacks is None."""

    id: str
    activity: str
    part: str
    image: Path | None = None
    caption: str | None = None
    audio: Path | None = None
    transcript: str | None = None
    motion: Path | None = None
    description: str | None = None


@dataclass(frozen=True)
class Library:
    """Items on disk; files are read when they are needed."""

    folder: Path
    seed: int
    items: tuple[Item, ...]

    def part(self, name: Part) -> tuple[Item, ...]:
        """Items of the training, validation or test part."""
        return tuple(item for item in self.items if item.part == name)


def make_library(
    folder: Path | str,
    items: int = 1200,
    seed: int = 0,
    modalities: Sequence[str] = MODALITIES,
    progress: Callable[[int, int], None] | None = None,
) -> Library:
    """Draw, speak and move a library, whole or not at all; a library that was there is replaced.

    The same seed gives the same library; of a modality also if others are left out. Speech needs espeak-ng.

    Args:
        folder: where to; it is made.
        items: how many, in equal parts of each activity.
        seed: of everything drawn at random.
        modalities: which are made: image, speech, motion.
        progress: told how many items are made, and of how many.

    Raises:
        IntentError: another modality, no items, espeak-ng missing, or the folder holds something else.
        OSError: it cannot be written.
    """
    folder = Path(folder)
    for modality in modalities:
        if modality not in MODALITIES:
            raise IntentError(f"a library has no modality {modality!r}; it has {', '.join(MODALITIES)}")
    if items < 1:
        raise IntentError(f"a library of {items} items cannot be made; ask for 1 or more")
    if folder.exists() and not (folder / INDEX).is_file() and any(folder.iterdir()):
        raise IntentError(f"{folder} is there and holds no library; choose a new or empty folder")
    rows = _rows(items, seed, modalities)
    with replacing_folder(folder) as fresh:
        for number, row in enumerate(rows):
            _make_files(fresh, row, seed, number)
            if progress:
                progress(number + 1, items)
        index = {"format": FORMAT, "seed": seed, "items": rows}
        write_text(fresh / INDEX, json.dumps(index, indent=1) + "\n")
    return load_library(folder)


def load_library(folder: Path | str) -> Library:
    """Read what :func:`make_library` wrote, or anything in its form.

    Raises:
        IntentError: no library there, of another format, or damaged.
    """
    folder = Path(folder)
    index = read_document(folder / INDEX, FORMAT, "library", IntentError)
    try:
        items = tuple(_item(folder, row) for row in index["items"])
        return Library(folder, int(index["seed"]), items)
    except (KeyError, TypeError, ValueError) as error:
        raise IntentError(f"{folder / INDEX} is damaged: {type(error).__name__}: {error}") from None


def _rows(items: int, seed: int, modalities: Sequence[str]) -> list[dict[str, Any]]:
    """Activity, part and texts of each item."""
    parts = _parts(items, seed)
    activities = [ACTIVITIES[number % len(ACTIVITIES)] for number in range(items)]
    rows: list[dict[str, Any]] = [
        {"id": f"{number:05d}", "activity": activity, "part": part}
        for number, (activity, part) in enumerate(zip(activities, parts, strict=True))
    ]
    for modality in (name for name in MODALITIES if name in modalities):
        file, text = _FIELDS[modality]
        for row, words in zip(rows, _texts(modality, rows, seed), strict=True):
            row |= {file: _FILES[modality].format(row["id"]), text: words}
    return rows


def _parts(items: int, seed: int) -> list[str]:
    """Of each item: 70, 15 and 15 percent of each activity."""
    rng = np.random.default_rng([seed, len(MODALITIES)])
    parts = [""] * items
    for first in range(min(items, len(ACTIVITIES))):
        own = rng.permutation(np.arange(first, items, len(ACTIVITIES)))
        bounds = np.round(np.cumsum(_SHARES) * len(own)).astype(int)
        for part, numbers in zip(PARTS, np.split(own, bounds), strict=True):
            for number in numbers:
                parts[number] = part
    return parts


def _texts(modality: str, rows: Sequence[Mapping[str, Any]], seed: int) -> list[str]:
    """What is said of each item; no spoken sentence is in two parts."""
    part_of: dict[str, str] = {}
    texts = []
    for number, row in enumerate(rows):
        rng = _generator(seed, modality, number, 0)
        text = _text(modality, row["activity"], rng)
        if modality == "speech":
            tries = iter(range(_TRIES))
            while part_of.setdefault(text, row["part"]) != row["part"]:
                if next(tries, None) is None:
                    raise IntentError(f"there are too few sentences for {len(rows)} items; ask for fewer")
                text = _text(modality, row["activity"], rng)
        texts.append(text)
    return texts


def _text(modality: str, activity: str, rng: np.random.Generator) -> str:
    if modality == "image":
        from metalore.intent import scenes

        return scenes.caption(activity, rng)
    if modality == "motion":
        from metalore.intent import motions

        return motions.description(activity, rng)
    from metalore.intent import spoken

    return spoken.sentence(activity, rng)


def _make_files(folder: Path, row: Mapping[str, Any], seed: int, number: int) -> None:
    """The files that a row names."""
    for modality, (file, _) in _FIELDS.items():
        if file in row:
            path = folder / row[file]
            path.parent.mkdir(exist_ok=True)
            use = 0 if modality == "image" else 1  # a picture is of the scene that its caption was drawn for
            _make_file(modality, path, row, _generator(seed, modality, number, use))


def _make_file(modality: str, path: Path, row: Mapping[str, Any], rng: np.random.Generator) -> None:
    if modality == "image":
        from metalore.intent import scenes

        scenes.draw(row["activity"], rng).save(path)
    elif modality == "motion":
        from metalore.intent import motions

        np.save(path, motions.perform(row["description"], rng))
    else:
        from metalore.intent import spoken

        spoken.say(row["transcript"], path, rng)


def _generator(seed: int, modality: str, number: int, use: int) -> np.random.Generator:
    """Of an item's text (use 0) or file (use 1); independent of all others."""
    return np.random.default_rng([seed, MODALITIES.index(modality), number, use])


def _item(folder: Path, row: Mapping[str, Any]) -> Item:
    if row["part"] not in PARTS:
        raise ValueError(f"item {row['id']} is in the part {row['part']!r}, not in {', '.join(PARTS)}")
    files = {name: folder / row[name] for name in ("image", "audio", "motion") if row.get(name)}
    texts = {name: row[name] for name in ("caption", "transcript", "description") if row.get(name)}
    return Item(row["id"], row["activity"], row["part"], **files, **texts)
