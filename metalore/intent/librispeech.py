"""LibriSpeech (Panayotov et al. 2015) in its own layout: SUBSET/SPEAKER/CHAPTER/ID.flac beside their transcripts."""

from __future__ import annotations

from pathlib import Path

from metalore.intent.errors import IntentError
from metalore.intent.speech import Utterance, Utterances

_NAME = "LibriSpeech"


def load_librispeech(
    folder: Path | str, train: str = "train-clean-100", validation: str = "dev-clean", test: str = "test-clean"
) -> tuple[Utterances, list[IntentError]]:
    """Utterances of LibriSpeech, and what is wrong with those that are left out.

    Audio is not opened yet.

    Args:
        folder: with the subsets, or the one above it.
        train, validation, test: the subset of each part.

    Returns:
        The utterances of each part, none for a subset that is not there; and one error for each subset that is not
        there, each chapter without its transcripts, and each utterance without audio or transcript.

    Raises:
        IntentError: none of the subsets is there.
    """
    root, subsets = Path(folder), {"train": train, "validation": validation, "test": test}
    if (root / _NAME).is_dir():
        root = root / _NAME
    if not any((root / subset).is_dir() for subset in subsets.values()):
        raise IntentError(f"{root} holds none of {', '.join(subsets.values())}; name the folder {_NAME}")
    errors: list[IntentError] = []
    return {part: _subset(root / subset, errors) for part, subset in subsets.items()}, errors


def _subset(folder: Path, errors: list[IntentError]) -> list[Utterance]:
    if not folder.is_dir():
        errors.append(IntentError(f"there is no folder {folder}, so none of its utterances"))
        return []
    chapters = sorted({path.parent for path in folder.glob("*/*/*") if path.suffix in (".flac", ".txt")})
    return [utterance for chapter in chapters for utterance in _chapter(chapter, errors)]


def _chapter(folder: Path, errors: list[IntentError]) -> list[Utterance]:
    """Utterances with audio and transcript, in the order of their numbers."""
    path = folder / f"{folder.parent.name}-{folder.name}.trans.txt"
    audio = {file.stem: file for file in folder.glob("*.flac")}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        errors.append(IntentError(f"{path} cannot be read ({reason}), so its chapter is left out"))
        return []
    words = dict(line.strip().partition(" ")[::2] for line in lines if line.strip())
    for name in sorted(audio.keys() | words.keys()):
        if name not in audio:
            errors.append(IntentError(f"{folder / name}.flac is missing, so its transcript is left out"))
        elif not words.get(name):
            errors.append(IntentError(f"{audio[name]} has no transcript in {path.name}, so it is left out"))
    return [Utterance(audio[name], words[name]) for name in sorted(audio) if words.get(name)]
