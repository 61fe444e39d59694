"""PASCAL VOC 2012 (Everingham et al. 2010) in its own layout, with captions of yours or made from its boxes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from metalore.intent.errors import IntentError
from metalore.intent.image import Picture, Pictures

WORDS: dict[str, tuple[str, str]] = {
    "aeroplane": ("an aeroplane", "aeroplanes"),
    "bicycle": ("a bicycle", "bicycles"),
    "bird": ("a bird", "birds"),
    "boat": ("a boat", "boats"),
    "bottle": ("a bottle", "bottles"),
    "bus": ("a bus", "buses"),
    "car": ("a car", "cars"),
    "cat": ("a cat", "cats"),
    "chair": ("a chair", "chairs"),
    "cow": ("a cow", "cows"),
    "diningtable": ("a dining table", "dining tables"),
    "dog": ("a dog", "dogs"),
    "horse": ("a horse", "horses"),
    "motorbike": ("a motorbike", "motorbikes"),
    "person": ("a person", "people"),
    "pottedplant": ("a potted plant", "potted plants"),
    "sheep": ("a sheep", "sheep"),
    "sofa": ("a sofa", "sofas"),
    "train": ("a train", "trains"),
    "tvmonitor": ("a television", "televisions"),
}
"""What one and several of each class are called."""

_NUMBERS = {2: "two", 3: "three", 4: "four"}
_MANY = "several"


def load_voc(folder: Path | str, captions: Path | str | None = None) -> Pictures:
    """Images and captions of PASCAL VOC 2012.

    VOC's own test part has no annotations, so its validation part is halved: every other image is for testing.

    Args:
        folder: VOC2012, with JPEGImages, Annotations and ImageSets/Main; or one above it (VOCdevkit).
        captions: a JSON file with a sentence, or several, of each image: {"2007_000027": ["a person rides ..."]}. An
            image that it does not name gets a sentence made from its boxes.

    Raises:
        IntentError: a folder, list, image or annotation that is missing or damaged; the sentence names the file.
    """
    root = _root(Path(folder))
    given = {} if captions is None else _read_captions(Path(captions))
    validation = _names(root, "val")
    parts = {"train": _names(root, "train"), "validation": validation[0::2], "test": validation[1::2]}
    return {part: [_picture(root, name, given) for name in names] for part, names in parts.items()}


def caption_of(objects: Sequence[tuple[str, float]]) -> str:
    """A sentence that counts what is there, what takes up most of the image first: "two people and a dog".

    Args:
        objects: class and area of each box.

    Raises:
        IntentError: a class that VOC does not have.
    """
    areas: dict[str, float] = {}
    numbers: dict[str, int] = {}
    for name, area in objects:
        if name not in WORDS:
            raise IntentError(f"VOC has no class {name!r}; it has {', '.join(WORDS)}")
        areas[name] = areas.get(name, 0.0) + area
        numbers[name] = numbers.get(name, 0) + 1
    phrases = [_counted(name, numbers[name]) for name in sorted(areas, key=lambda name: -areas[name])]
    return " and ".join([", ".join(phrases[:-1]), phrases[-1]] if len(phrases) > 1 else phrases)


def _counted(name: str, number: int) -> str:
    one, several = WORDS[name]
    return one if number == 1 else f"{_NUMBERS.get(number, _MANY)} {several}"


def _root(folder: Path) -> Path:
    for root in (folder, folder / "VOC2012", folder / "VOCdevkit" / "VOC2012"):
        if (root / "JPEGImages").is_dir():
            return root
    raise IntentError(f"{folder} holds no PASCAL VOC: there is no JPEGImages in it; name the folder VOC2012")


def _names(root: Path, part: str) -> list[str]:
    path = root / "ImageSets" / "Main" / f"{part}.txt"
    try:
        names = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise IntentError(f"the list {path} cannot be read ({error}); unpack all of VOC 2012") from None
    if not names:
        raise IntentError(f"the list {path} is empty; unpack all of VOC 2012")
    return names


def _picture(root: Path, name: str, given: Mapping[str, tuple[str, ...]]) -> Picture:
    image = root / "JPEGImages" / f"{name}.jpg"
    if not image.is_file():
        raise IntentError(f"{image} is listed and not there; unpack all of VOC 2012")
    return Picture(image, given.get(name) or (caption_of(_objects(root / "Annotations" / f"{name}.xml")),))


def _objects(path: Path) -> list[tuple[str, float]]:
    """Class and area of each box; those marked as difficult only if there are no others."""
    try:
        found = [(_box(entry), entry.findtext("difficult") == "1") for entry in ElementTree.parse(path).iter("object")]
    except (OSError, ElementTree.ParseError, TypeError, ValueError) as error:
        raise IntentError(f"the annotation {path} cannot be read ({error}); unpack VOC 2012 again") from None
    if not found:
        raise IntentError(f"the annotation {path} has no object; give this image a caption, or leave it out")
    return [box for box, difficult in found if not difficult] or [box for box, _ in found]


def _box(entry: ElementTree.Element) -> tuple[str, float]:
    left, top, right, bottom = (
        float(entry.findtext(f"bndbox/{edge}", "")) for edge in ("xmin", "ymin", "xmax", "ymax")
    )
    return entry.findtext("name", ""), (right - left) * (bottom - top)


def _read_captions(path: Path) -> dict[str, tuple[str, ...]]:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IntentError(f"the captions {path} cannot be read ({error}); they must be JSON") from None
    if not isinstance(content, dict):
        raise IntentError(f"the captions {path} are no JSON object; they must map images to sentences")
    return {Path(name).stem: _sentences(path, name, value) for name, value in content.items()}


def _sentences(path: Path, name: str, value: Any) -> tuple[str, ...]:
    sentences = [value] if isinstance(value, str) else value
    if isinstance(sentences, list) and sentences and all(isinstance(one, str) and one.strip() for one in sentences):
        return tuple(sentence.strip() for sentence in sentences)
    raise IntentError(f"the captions {path} have no sentence for {name!r}; give it one, or a list of them")
