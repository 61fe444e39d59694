"""KIT Motion-Language in the layout that Guo et al. 2022 made of it, written here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metalore.intent.errors import IntentError
from metalore.intent.kit_ml import load_kit_ml
from metalore.intent.motions import Movement, perform

TEXTS = {
    "00001": "a person walks forward.#a/DET person/NOUN walk/VERB forward/ADV#0.0#0.0\nsomeone walks#x#0.0#0.0\n",
    "00002": "a person waves#a/DET person/NOUN wave/VERB#0.0#0.0\nthe end of it#the/DET end/NOUN#1.0#2.0\n\n",
    "00003": "a person claps#a/DET#nan#nan\n",
    "00004": "..#./PUNCT#0.0#0.0\nsits#sit/VERB#0#0\n",
}
PARTS = {"train": ["00001", "M00001", "00002"], "val": ["00003"], "test": ["00004"]}


def motion(seed: int) -> np.ndarray:
    """2 s at least."""
    return perform(Movement("walk"), np.random.default_rng(seed))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("new_joints", "texts"):
        (tmp_path / name).mkdir()
    for number, (name, text) in enumerate(TEXTS.items()):
        np.save(tmp_path / "new_joints" / f"{name}.npy", 640 * motion(number))
        (tmp_path / "texts" / f"{name}.txt").write_text(text)
    for part, names in PARTS.items():
        (tmp_path / f"{part}.txt").write_text("\n".join(names) + "\n")
    return tmp_path


def test_motions_are_in_metres_with_all_their_descriptions(folder: Path) -> None:
    data = load_kit_ml(folder)
    assert list(data.parts) == ["train", "train", "train", "validation", "test"]  # mirrored ones are left out
    assert list(data.descriptions) == [
        ("a person walks forward.", "someone walks"), ("a person waves",), ("the end of it",), ("a person claps",),
        ("sits",),
    ]  # fmt: skip
    np.testing.assert_allclose(data.motions[0], motion(0), atol=1e-5)
    assert data.motions[0].dtype == np.float32


def test_a_description_of_a_stretch_comes_with_that_stretch(folder: Path) -> None:
    data = load_kit_ml(folder)
    np.testing.assert_allclose(data.motions[1], motion(1), atol=1e-5)
    np.testing.assert_allclose(data.motions[2], motion(1)[12:25], atol=1e-5)


def test_another_unit_can_be_given(folder: Path) -> None:
    np.testing.assert_allclose(load_kit_ml(folder, units_per_metre=1280.0).motions[0], motion(0) / 2, atol=1e-5)


def test_the_layout_with_joint_angles_is_refused(tmp_path: Path) -> None:
    (tmp_path / "00001_mmm.xml").touch()
    with pytest.raises(IntentError, match=r"as it was first published, with joint angles; give the one .* new_joints"):
        load_kit_ml(tmp_path)


@pytest.mark.parametrize("name", ["val.txt", "texts", "new_joints"])
def test_what_is_missing_is_named(folder: Path, name: str) -> None:
    (folder / name).rename(folder / "elsewhere")
    with pytest.raises(IntentError, match=f"lacks {name}; the processed KIT-ML has"):
        load_kit_ml(folder)
    with pytest.raises(IntentError, match="there is no folder"):
        load_kit_ml(folder / "nowhere")


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("texts/00003.txt", b"a person claps\n", r"line 1 of .*00003.txt is 'a person claps'; it should be sentence#"),
        ("texts/00003.txt", b"claps#x#0#late\n", "with two numbers"),
        ("texts/00003.txt", b"claps#x#90#95\n", "tells of 90 to 95 s, where it has no frames"),
        ("texts/00003.txt", b"\xff\xfe", r"00003.txt cannot be read"),
        ("new_joints/00003.npy", b"\x93NUMPY half", r"00003.npy is no motion in a file of numpy"),
        ("new_joints/00003.npy", b"", r"00003.npy is no motion in a file of numpy"),
    ],
)
def test_a_broken_file_is_named(folder: Path, file: str, content: bytes, words: str) -> None:
    (folder / file).write_bytes(content)
    with pytest.raises(IntentError, match=words):
        load_kit_ml(folder)


def test_joints_of_another_skeleton_or_none_are_refused(folder: Path) -> None:
    np.save(folder / "new_joints" / "00003.npy", np.zeros((50, 22, 3)))
    with pytest.raises(IntentError, match=r"00003.npy has the shape \(50, 22, 3\)"):
        load_kit_ml(folder)
    (folder / "new_joints" / "00003.npy").unlink()
    with pytest.raises(IntentError, match=r"00003\.npy is no motion"):
        load_kit_ml(folder)


def test_lists_without_names_are_refused(folder: Path) -> None:
    for part in PARTS:
        (folder / f"{part}.txt").write_text("\n")
    with pytest.raises(IntentError, match="lists of motions with no name in them"):
        load_kit_ml(folder)
