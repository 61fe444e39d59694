"""The made library: its form, its parts, and that a seed says all of it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metalore.intent import ACTIVITIES, IntentError, Library, load_library, make_library, read_audio, spoken
from metalore.intent.library import PARTS
from metalore.scenario import load

needs_espeak = pytest.mark.skipif(shutil.which(spoken.PROGRAM) is None, reason="espeak-ng is not installed")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Library:
    if shutil.which(spoken.PROGRAM) is None:
        pytest.skip("espeak-ng is not installed")
    return make_library(tmp_path_factory.mktemp("made") / "library", 12, seed=1, modalities=["speech"])


def test_activities_are_those_of_the_built_in_city() -> None:
    city = load("city-30").city
    assert city is not None
    assert set(ACTIVITIES) == {activity.name for activity in city.activities}


# -- sentences ---------------------------------------------------------------------------------------------------------


def test_sentences_have_a_small_vocabulary_and_tell_their_activity() -> None:
    rng = np.random.default_rng(0)
    said = {activity: {spoken.sentence(activity, rng) for _ in range(300)} for activity in ACTIVITIES}
    assert {word for sentences in said.values() for text in sentences for word in text.split()} == set(
        spoken.VOCABULARY
    )
    assert len(spoken.VOCABULARY) < 80
    assert sum(map(len, said.values())) == len(set.union(*said.values()))
    assert all(len(sentences) > 250 for sentences in said.values())


# -- made --------------------------------------------------------------------------------------------------------------


def test_items_are_spread_over_activities_and_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(spoken, "say", lambda text, path, rng: Path(path).touch())
    library = make_library(tmp_path / "library", 240, modalities=["speech"])
    assert Counter(item.activity for item in library.items) == dict.fromkeys(ACTIVITIES, 40)
    assert Counter((item.activity, item.part) for item in library.items) == {
        (activity, part): count for activity in ACTIVITIES for part, count in zip(PARTS, (28, 6, 6), strict=True)
    }
    words = {part: {word for item in library.part(part) for word in str(item.transcript).split()} for part in PARTS}
    assert words["test"] <= words["train"]


def test_no_sentence_is_in_two_parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(spoken, "say", lambda text, path, rng: Path(path).touch())
    monkeypatch.setattr(spoken, "sentence", lambda activity, rng: f"{activity} at {rng.integers(40)}")
    library = make_library(tmp_path / "library", 240, modalities=["speech"])
    said = {part: {item.transcript for item in library.part(part)} for part in PARTS}
    assert sum(map(len, said.values())) == len(set.union(*said.values()))
    assert len(said["train"]) < 168  # some came twice


def test_a_library_says_what_it_has(made: Library) -> None:
    index = json.loads((made.folder / "library.json").read_text())
    assert (index["format"], index["seed"], len(index["items"])) == ("metalore-media-1", 1, 12)
    assert set(index["items"][0]) == {"id", "activity", "part", "audio", "transcript"}
    assert [item.id for item in made.items[:2]] == ["00000", "00001"]
    assert made.items[0].audio == made.folder / "audio" / "00000.wav"
    assert made.items[0].image is None
    assert load_library(made.folder) == made


def test_speech_is_16_khz_and_as_long_as_its_text(made: Library) -> None:
    for item in made.items:
        assert item.audio is not None
        assert item.transcript is not None
        samples = read_audio(item.audio)
        assert 0.025 < len(samples) / 16000 / len(item.transcript) < 0.15  # seconds a character
        assert 0.29 < np.abs(samples).max() < 0.91


@needs_espeak
def test_a_seed_says_everything(made: Library, tmp_path: Path) -> None:
    again, other = (make_library(tmp_path / str(seed), 12, seed=seed, modalities=["speech"]) for seed in (1, 2))
    for item, same, different in zip(made.items, again.items, other.items, strict=True):
        assert item.audio is not None
        assert same.audio is not None
        assert different.audio is not None
        assert (item.part, item.transcript) == (same.part, same.transcript)
        assert item.audio.read_bytes() == same.audio.read_bytes() != different.audio.read_bytes()


def test_progress_and_other_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(spoken, "say", lambda text, path, rng: Path(path).touch())
    told: list[tuple[int, int]] = []
    make_library(tmp_path / "mine", 3, modalities=["speech"], progress=lambda *numbers: told.append(numbers))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert len(make_library(tmp_path / "mine", 4, modalities=["speech"]).items) == 4  # one that was there is replaced
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").touch()
    with pytest.raises(IntentError, match="thesis is there and holds no library; choose a new or empty folder"):
        make_library(tmp_path / "thesis", 1, modalities=["speech"])
    with pytest.raises(IntentError, match="has no modality 'smell'; it has image, speech, motion"):
        make_library(tmp_path / "new", 1, modalities=["smell"])
    with pytest.raises(IntentError, match="a library of 0 items cannot be made"):
        make_library(tmp_path / "new", 0, modalities=["speech"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "thesis"]


def test_too_few_sentences(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(spoken, "sentence", lambda activity, rng: "again")
    with pytest.raises(IntentError, match="there are too few sentences for 20 items; ask for fewer"):
        make_library(tmp_path / "library", 20, modalities=["speech"])


def test_without_espeak(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(IntentError, match="making speech needs espeak-ng; install it"):
        make_library(tmp_path / "library", 1, modalities=["speech"])
    assert not (tmp_path / "library").exists()


# -- what is no library ------------------------------------------------------------------------------------------------


def changed(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    index = json.loads((folder / "library.json").read_text())
    change(index)
    (folder / "library.json").write_text(json.dumps(index))


DAMAGES: list[tuple[Callable[[Path], object], str]] = [
    (lambda folder: (folder / "library.json").unlink(), "holds no library: library.json cannot be read"),
    (lambda folder: (folder / "library.json").write_text("{"), "is no JSON"),
    (lambda folder: (folder / "library.json").write_text("[]"), "has the format None; this version of metalore reads"),
    (lambda folder: changed(folder, lambda index: index.update(format="other")), "has the format 'other'"),
    (lambda folder: changed(folder, lambda index: index.pop("items")), "is damaged: KeyError: 'items'"),
    (lambda folder: changed(folder, lambda index: index.update(items=[1])), "is damaged: TypeError"),
    (lambda folder: changed(folder, lambda index: index["items"][0].update(part="exam")),  # type: ignore[index]
     "item 00000 is in the part 'exam', not in train, validation, test"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "told"), DAMAGES, ids=range(len(DAMAGES)))
def test_damage_is_told(made: Library, tmp_path: Path, damage: Callable[[Path], object], told: str) -> None:
    folder = Path(shutil.copytree(made.folder, tmp_path / "copy"))
    load_library(folder)
    damage(folder)
    with pytest.raises(IntentError, match=told):
        load_library(folder)
