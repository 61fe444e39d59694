"""Trained encoders from their folders, and media of any kind to embeddings, so that one bad item does not stop others.

A folder of encoders has some of these: `image`, `speech`, `motion` and `fusion`, each as its `save` wrote it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metalore.intent.errors import IntentError
from metalore.intent.library import MODALITIES, Library
from metalore.intent.media import LIMITS, Limits, Source, read_audio, read_image, read_motion

FUSION = "fusion"
ENDINGS = {
    "image": (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"),
    "speech": (".wav", ".flac"),
    "motion": (".npy",),
}
"""Of files of each modality, in small letters."""

_READERS: Mapping[str, Callable[..., Any]] = {"image": read_image, "speech": read_audio, "motion": read_motion}


def load_encoder(folder: Path | str, device: str | None = None) -> tuple[str, Any]:
    """An encoder of whichever kind its card says.

    Returns:
        image, speech, motion or fusion; and an `ImageEncoder`, `SpeechEncoder`, `MotionEncoder` or `Fusion`.

    Raises:
        IntentError: no encoder there, of another format, or damaged.
    """
    from metalore.intent import fusion, image, motion, speech

    kinds: dict[str, tuple[str, Any]] = {
        image.FORMAT: ("image", image.ImageEncoder),
        speech.FORMAT: ("speech", speech.SpeechEncoder),
        motion.FORMAT: ("motion", motion.MotionEncoder),
        fusion.FORMAT: (FUSION, fusion.Fusion),
    }
    name, kind = kinds.get(_format_of(Path(folder)), ("", None))
    if kind is None:
        raise IntentError(
            f"{folder} holds an encoder of a format that is not known; the formats are {', '.join(kinds)}"
        )
    loaded: Any = kind.load(folder, device)
    return name, loaded


def _format_of(folder: Path) -> str:
    path = folder / "card.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        return str(card["format"])
    except OSError as error:
        raise IntentError(f"{folder} holds no encoder: {path.name} cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError):
        raise IntentError(f"{path} is no card of an encoder that metalore saved; name an encoder's folder") from None


@dataclass(frozen=True)
class Encoders:
    """Encoders that belong together.

    Attributes:
        by_modality: image, speech and motion, or some of them.
        fusion: of what they give; None: there is none.
    """

    by_modality: Mapping[str, Any]
    fusion: Any = None

    @classmethod
    def load(cls, folder: Path | str, device: str | None = None) -> Encoders:
        """Those in a folder of encoders.

        Raises:
            IntentError: there is none, one is damaged, or one lies under the name of another.
        """
        found = {}
        for name in (*MODALITIES, FUSION):
            own = Path(folder) / name
            if own.is_dir():
                kind, found[name] = load_encoder(own, device)
                if kind != name:
                    raise IntentError(f"{own} holds an encoder of {kind}; a folder of encoders has each under its name")
        fusion = found.pop(FUSION, None)
        if not found:
            raise IntentError(f"{folder} has no encoders; it must hold folders named image, speech or motion")
        return cls(found, fusion)


@dataclass(frozen=True)
class Embeddings:
    """What became of media.

    Attributes:
        positions: of those that could be read, in what was given.
        vectors: of these [n, f], each of length 1.
        texts: of these: captions, transcripts or descriptions; empty if none were asked for.
        errors: of the others, by position.
    """

    positions: list[int]
    vectors: np.ndarray
    texts: list[str]
    errors: dict[int, IntentError]


def embed_each(
    modality: str,
    encoder: Any,
    sources: Sequence[Source],
    names: Sequence[str] | None = None,
    texts: bool = True,
    limits: Limits = LIMITS,
    progress: Callable[[int], None] | None = None,
    at_once: int = 64,
) -> Embeddings:
    """Embed what can be read.

    Args:
        modality: image, speech or motion.
        encoder: of that.
        sources: paths or contents.
        names: what errors call each; unset: its path.
        texts: whether it is described as well.
        limits: on each.
        progress: told how many are done.
        at_once: how many are held in memory.
    """
    positions: list[int] = []
    described: list[str] = []
    errors: dict[int, IntentError] = {}
    vectors = [encoder.embed([])]
    for first in range(0, len(sources), at_once):
        media = {}
        for place in range(first, min(first + at_once, len(sources))):
            try:
                name = None if names is None else names[place]
                media[place] = _READERS[modality](sources[place], limits=limits, name=name)
            except IntentError as error:
                errors[place] = error
        if media:
            positions += media
            vectors.append(encoder.embed(list(media.values())))
            described += encoder.describe(list(media.values())) if texts else []
        if progress:
            progress(min(first + at_once, len(sources)))
    return Embeddings(positions, np.concatenate(vectors), described, errors)


def embed_library(library: Library, encoders: Encoders) -> Any:
    """A library's items, embedded, for training or judging a fusion.

    Args:
        library: of media.
        encoders: what has no encoder is missing.

    Returns:
        :class:`metalore.intent.fusion.Embedded`.

    Raises:
        IntentError: a file that cannot be read, or nothing that can be embedded.
    """
    from metalore.intent.fusion import WIDTHS, Embedded

    fields = {"image": "image", "speech": "audio", "motion": "motion"}
    vectors = {}
    for modality, encoder in encoders.by_modality.items():
        files = {place: getattr(item, fields[modality]) for place, item in enumerate(library.items)}
        there = {place: file for place, file in files.items() if file is not None}
        found = embed_each(modality, encoder, list(there.values()), texts=False)
        for error in found.errors.values():
            raise error
        rows = np.full((len(files), WIDTHS[modality]), np.nan, np.float32)
        rows[list(there)] = found.vectors
        vectors[modality] = rows
    return Embedded(vectors, [item.activity for item in library.items], [item.part for item in library.items])
