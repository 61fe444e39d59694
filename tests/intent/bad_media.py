"""Media that must not be read, made up for tests."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image


def wav(samples: np.ndarray, rate: int = 16000, **settings: Any) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, **{"format": "WAV", **settings})
    return stream.getvalue()


def png(width: int, height: int) -> bytes:
    """Of a size that only its header claims."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def picture(format: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(stream, format)
    return stream.getvalue()


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def eight_hours() -> bytes:
    """FLAC whose header claims 8 hours: 36 bits of STREAMINFO hold the number of samples."""
    content = bytearray(wav(0.1 * np.sin(np.arange(8000)), format="FLAC"))
    samples = 8 * 3600 * 16_000
    content[21] = (content[21] & 0xF0) | samples >> 32
    content[22:26] = struct.pack(">I", samples & 0xFFFFFFFF)
    return bytes(content)


def eight_hours_of_wav(path: Path) -> None:
    """A file of 8 hours that takes no room on the disk."""
    data = 8 * 3600 * 16_000 * 2
    shape = struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
    with path.open("wb") as file:
        file.write(b"RIFF" + struct.pack("<I", data + 36) + b"WAVEfmt " + shape + b"data" + struct.pack("<I", data))
        file.truncate(data + 44)


BOMB = png(60_000, 60_000)
BAD: dict[str, dict[str, tuple[bytes, str]]] = {
    "image": {
        "broken.png": (half(picture()), "is no image that can be read"),
        "bomb.png": (BOMB, "has far more than the"),
    },
    "speech": {
        "silent.wav": (wav(np.zeros(0)), "has 0 s of audio; it must have at least 0.1 s"),
        "long.flac": (eight_hours(), "has 28800 s of audio; at most 60 s are read, so cut it"),
        "seven.wav": (wav(np.zeros((16_000, 7))), "has 7 channels; at most 2 are read"),
    },
    "motion": {
        "joints.npy": (npy(np.zeros((4, 22, 3))), "has the shape (4, 22, 3); a motion has [frames, 21 joints, 3]")
    },
}
"""Files of each modality, by name, and what is said of each."""
GOOD = {
    "image": ("fine.png", picture()),
    "speech": ("fine.wav", wav(0.1 * np.sin(np.arange(16_000)))),
    "motion": ("fine.npy", npy(np.random.default_rng(0).random((20, 21, 3)))),
}
