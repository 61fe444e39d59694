"""LibriSpeech in its own layout, whole and with gaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from metalore.intent import IntentError, read_audio
from metalore.intent.librispeech import load_librispeech


def write(root: Path, name: str, transcript: str | None, seconds: float = 0.5) -> Path:
    """An utterance SUBSET/SPEAKER-CHAPTER-NUMBER."""
    subset, _, number = name.partition("/")
    speaker, chapter, _ = number.split("-")
    folder = root / subset / speaker / chapter
    folder.mkdir(parents=True, exist_ok=True)
    noise = 0.1 * np.random.default_rng(0).standard_normal(round(16000 * seconds))
    soundfile.write(folder / f"{number}.flac", noise, 16000)
    if transcript is not None:
        with (folder / f"{speaker}-{chapter}.trans.txt").open("a") as file:
            file.write(f"{number} {transcript}\n")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "LibriSpeech"
    write(root, "train-clean-100/103-1240-0001", "THAT HAD ITS SOURCE AWAY BACK", 0.7)
    write(root, "train-clean-100/103-1240-0000", "CHAPTER ONE", 0.6)
    write(root, "train-clean-100/19-198-0000", "NORTHANGER ABBEY")
    write(root, "dev-clean/84-121123-0000", "GO DO YOU HEAR")
    write(root, "test-clean/61-70968-0000", "HE BEGAN A CONFUSED COMPLAINT")
    return root


def test_parts_utterances_and_audio(root: Path) -> None:
    for folder in (root, root.parent):
        parts, errors = load_librispeech(folder)
        assert errors == []
        assert {part: [utterance.transcript for utterance in some] for part, some in parts.items()} == {
            "train": ["CHAPTER ONE", "THAT HAD ITS SOURCE AWAY BACK", "NORTHANGER ABBEY"],
            "validation": ["GO DO YOU HEAR"],
            "test": ["HE BEGAN A CONFUSED COMPLAINT"],
        }
    assert [len(read_audio(utterance.audio)) for utterance in parts["train"]] == [9600, 11200, 8000]


def test_gaps_are_told_and_the_rest_goes_on(root: Path) -> None:
    folder = write(root, "train-clean-100/103-1240-0002", None)
    with (folder / "103-1240.trans.txt").open("a") as file:
        file.write("103-1240-0003 NOBODY SAYS IT\n103-1240-0004\n\n")
    write(root, "train-clean-100/26-495-0000", None)
    write(root, "train-clean-100/27-123-0000", None).joinpath("27-123.trans.txt").write_bytes(b"\xff\xfe")
    (root / "dev-clean").rename(root / "dev-other")
    parts, errors = load_librispeech(root)
    assert [len(parts[part]) for part in ("train", "validation", "test")] == [3, 0, 1]
    train = root / "train-clean-100"
    assert [str(error).replace(str(train), "") for error in errors] == [
        "/103/1240/103-1240-0002.flac has no transcript in 103-1240.trans.txt, so it is left out",
        "/103/1240/103-1240-0003.flac is missing, so its transcript is left out",
        "/103/1240/103-1240-0004.flac is missing, so its transcript is left out",
        "/26/495/26-495.trans.txt cannot be read (No such file or directory), so its chapter is left out",
        "/27/123/27-123.trans.txt cannot be read (it is no text), so its chapter is left out",
        f"there is no folder {root / 'dev-clean'}, so none of its utterances",
    ]


def test_other_subsets_and_other_folders(root: Path, tmp_path: Path) -> None:
    parts, errors = load_librispeech(root, train="dev-clean", validation="test-clean")
    assert ([len(parts[part]) for part in ("train", "validation", "test")], errors) == ([1, 1, 1], [])
    with pytest.raises(IntentError, match="holds none of train-clean-100, dev-clean, test-clean; name the folder"):
        load_librispeech(tmp_path / "elsewhere")
