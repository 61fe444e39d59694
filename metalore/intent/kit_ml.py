"""KIT Motion-Language from disk: human motions with descriptions (Plappert, Mandery and Asfour 2016).

What is read is the layout that Guo et al. 2022 made of it ("Generating Diverse and Natural 3D Human Motions from
Text"), which most work since is measured on:

==========================  ===========================================================================================
`new_joints/NNNNN.npy`      joints over time [t, 21, 3], 12.5 Hz, in the order of :data:`metalore.intent.motions.JOINTS`
`texts/NNNNN.txt`           a description in each line: `sentence#words with their classes#from#to`, in seconds; 0 and 0
                            are the whole motion
`train.txt`, ...            names of the motions in each part: `train`, `val` and `test`; mirrored ones begin with M
==========================  ===========================================================================================

The data set's own layout (`NNNNN_mmm.xml`, `NNNNN_annotations.json`) holds joint angles; positions follow from them by
the kinematics of the Master Motor Map's model alone, which is not part of MetaLore, so it is refused.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from metalore.intent.errors import IntentError
from metalore.intent.media import MOTION_HZ, read_motion
from metalore.intent.motion_training import MotionData

UNITS_PER_METRE = 640.0
"""Of the published joints, as TEMOS scales them (Petrovich, Black and Varol 2022: 480 are 0.75 m)."""

_JOINTS, _TEXTS = "new_joints", "texts"
_PARTS = {"train": "train", "validation": "val", "test": "test"}
_SHORTEST = 2


def load_kit_ml(folder: Path | str, units_per_metre: float = UNITS_PER_METRE) -> MotionData:
    """Motions and descriptions of the training, validation and test part.

    Mirrored motions are left out: training mirrors by itself. So is a description without words. A description of a
    stretch of a motion makes an item of its own, of that stretch.

    Args:
        folder: with `new_joints`, `texts`, and lists of the parts.
        units_per_metre: of the files' positions.

    Raises:
        IntentError: another layout, no motions, or a file that is missing or broken; the message names it.
    """
    folder = Path(folder)
    _check_layout(folder)
    motions, texts, parts = [], [], []
    for part, name in _PARTS.items():
        for motion_name in _listed(folder / f"{name}.txt"):
            joints = _joints(folder / _JOINTS / f"{motion_name}.npy", units_per_metre)
            for (first, last), sentences in _stretches(folder / _TEXTS / f"{motion_name}.txt").items():
                motions.append(_stretch(joints, first, last, motion_name))
                texts.append(sentences)
                parts.append(part)
    if not motions:
        raise IntentError(f"{folder} has lists of motions with no name in them; it holds no KIT-ML")
    return MotionData("KIT-ML", motions, texts, parts)


def _check_layout(folder: Path) -> None:
    if not folder.is_dir():
        raise IntentError(f"there is no folder {folder}, so no KIT-ML in it")
    missing = [name for name in (_JOINTS, _TEXTS, *(f"{part}.txt" for part in _PARTS.values()))
               if not (folder / name).exists()]  # fmt: skip
    if not missing:
        return
    if next(folder.glob("*_mmm.xml"), None) is not None:
        raise IntentError(
            f"{folder} is KIT-ML as it was first published, with joint angles; give the one that HumanML3D's authors "
            f"processed, with {_JOINTS}, {_TEXTS} and lists of parts"
        )
    raise IntentError(f"{folder} lacks {missing[0]}; the processed KIT-ML has {_JOINTS}, {_TEXTS} and lists of parts")


def _listed(path: Path) -> list[str]:
    """Names of the motions that are not mirrored."""
    names = path.read_text(encoding="utf-8").split()
    return [name for name in names if not name.startswith("M")]


def _joints(path: Path, units_per_metre: float) -> np.ndarray:
    try:
        joints = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise IntentError(f"{path} is no motion in a file of numpy ({str(error).splitlines()[0]})") from None
    if joints.dtype.kind != "f":
        raise IntentError(f"{path} holds {joints.dtype}; the joints of KIT-ML are floating-point numbers")
    return read_motion(joints / units_per_metre, name=str(path))


def _stretches(path: Path) -> dict[tuple[float, float], tuple[str, ...]]:
    """Sentences by the seconds from and to which they tell."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise IntentError(f"{path} cannot be read ({error}); each motion has a file of descriptions") from None
    found: dict[tuple[float, float], tuple[str, ...]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        sentence, stretch = _line(line, f"line {number} of {path}")
        if any(letter.isalnum() for letter in sentence):
            found[stretch] = (*found.get(stretch, ()), sentence)
    return found


def _line(line: str, where: str) -> tuple[str, tuple[float, float]]:
    fields = line.split("#")
    try:
        sentence, _, first, last = fields
        times = [0.0 if math.isnan(float(second)) else float(second) for second in (first, last)]
    except ValueError:
        raise IntentError(f"{where} is {line!r}; it should be sentence#words#from#to, with two numbers") from None
    return sentence.strip(), (times[0], times[1])


def _stretch(joints: np.ndarray, first: float, last: float, name: str) -> np.ndarray:
    if first == last == 0:
        return joints
    part = joints[int(first * MOTION_HZ) : int(last * MOTION_HZ)]
    if len(part) < _SHORTEST:
        raise IntentError(f"a description of motion {name} tells of {first:g} to {last:g} s, where it has no frames")
    return part
