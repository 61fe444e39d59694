"""Images, speech and motions from files or memory, within limits.

What is too large is refused before it is unpacked: the size is read from the header first.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageOps

from metalore.intent.errors import IntentError

RATE_HZ = 16000
"""Of all audio after reading; what speech models are trained on."""
JOINTS = 21
"""Of a motion, in the layout of KIT Motion-Language."""
MOTION_HZ = 12.5
"""Frames of a motion per second, as in KIT Motion-Language."""

Source = Path | str | bytes
T = TypeVar("T")

_IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
_AUDIO_FORMATS = ("WAV", "WAVEX", "FLAC")
_RATES_HZ = 4000, 192000
_UNKNOWN_FRAMES = 2**60
"""As many or more, libsndfile says, if a FLAC stream does not say how many."""


@dataclass(frozen=True)
class Limits:
    """What is read at most; defaults hold everything in the public data sets and keep one file below a gigabyte.

    Attributes:
        most_bytes: of a file.
        most_pixels: of an image: those of a large photograph, 120 MB unpacked.
        least_seconds: of audio; shorter has no frame in a speech model.
        most_seconds: of audio; LibriSpeech's longest utterance has 35 s.
        most_channels: of audio.
        most_frames: of a motion: 4 minutes.
        most_metres: of a joint from the origin; files in millimetres are beyond it.
    """

    most_bytes: int = 64 * 2**20
    most_pixels: int = 40_000_000
    least_seconds: float = 0.1
    most_seconds: float = 60.0
    most_channels: int = 2
    most_frames: int = 3000
    most_metres: float = 100.0


LIMITS = Limits()


def read_image(source: Source, limits: Limits = LIMITS, name: str | None = None) -> Image.Image:
    """An image as RGB, turned upright.

    Args:
        source: path or content of a PNG, JPEG, WebP, GIF (its first picture) or BMP.
        limits: on bytes and pixels.
        name: what errors call it; unset: its path.

    Raises:
        IntentError: not there, too large, of another format, or broken.
    """
    content, name = _content(source, limits, name, "image")
    try:
        image = Image.open(io.BytesIO(content), formats=_IMAGE_FORMATS)
        _check_pixels(image, limits, name)
        return ImageOps.exif_transpose(image).convert("RGB")
    except IntentError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise IntentError(f"{name} has far more than the {limits.most_pixels:,} pixels that are read") from None
    except Exception as error:  # decoders of broken files raise almost anything
        raise _broken(name, "image", "PNG, JPEG, WebP, GIF or BMP", error) from None


def read_audio(
    source: Source | np.ndarray, rate: int = RATE_HZ, limits: Limits = LIMITS, name: str | None = None
) -> np.ndarray:
    """Audio as one channel at one rate; several channels are averaged.

    Args:
        source: path or content of a WAV or FLAC file, or samples [n] at `rate`, which are only checked.
        rate: Hz of what is returned.
        limits: on bytes, seconds and channels.
        name: what errors call it; unset: its path.

    Returns:
        float32 [n], from -1 to 1.

    Raises:
        IntentError: not there, too large, too short or long, with too many channels, of another format, or broken.
    """
    if isinstance(source, np.ndarray):
        samples, found, name = source, rate, name or "the audio"
        if samples.ndim != 1 or samples.dtype.kind != "f":
            raise IntentError(f"{name} is {samples.dtype} of the shape {samples.shape}; samples are one row of floats")
    else:
        samples, found, name = _samples(source, limits, name)
    _check_seconds(len(samples) / found, limits, name)
    if not np.isfinite(samples).all():
        raise IntentError(f"{name} has samples that are no numbers; write it again from its source")
    return _resampled(samples, found, rate)


def read_motion(source: Source | np.ndarray, limits: Limits = LIMITS, name: str | None = None) -> np.ndarray:
    """Positions of a body's joints over time.

    Args:
        source: path or content of a NumPy file (.npy), or the array itself.
        limits: on bytes, frames and distances.
        name: what errors call it; unset: its path.

    Returns:
        float32 [t, 21, 3]: metres, y upwards, 12.5 frames a second.

    Raises:
        IntentError: not there, too large, of another shape, in another unit, with positions that are no numbers, or
            broken.
    """
    if isinstance(source, np.ndarray):
        motion, name = source, name or "the motion"
    else:
        content, name = _content(source, limits, name, "motion")
        try:
            motion = np.load(io.BytesIO(content), allow_pickle=False)
        except Exception as error:  # broken headers raise almost anything
            raise _broken(name, "motion", "a NumPy array (.npy)", error) from None
    _check_motion(motion, limits, name)
    return np.ascontiguousarray(motion, np.float32)


def read_each(sources: Sequence[Any], read: Callable[[Any], T]) -> tuple[list[int], list[T], list[IntentError]]:
    """Read what can be read, so that one bad file does not stop the rest.

    Args:
        sources: each is given to `read`.
        read: one of the readers here.

    Returns:
        Positions in `sources` of what was read, what was read, and the error of each other.
    """
    positions, found, errors = [], [], []
    for position, source in enumerate(sources):
        try:
            found.append(read(source))
            positions.append(position)
        except IntentError as error:
            errors.append(error)
    return positions, found, errors


def _content(source: Source, limits: Limits, name: str | None, kind: str) -> tuple[bytes, str]:
    """Bytes of a source, and what to call it."""
    name = name or (f"the {kind}" if isinstance(source, bytes) else str(source))
    try:
        size = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
        if size > limits.most_bytes:
            raise IntentError(f"{name} has {size / 2**20:.1f} MiB; at most {limits.most_bytes / 2**20:g} MiB are read")
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise IntentError(f"{name} cannot be read ({error.strerror}); name a file with {_a(kind)}") from None
    if not content:
        raise IntentError(f"{name} is empty; it must hold {_a(kind)}")
    return content, name


def _a(kind: str) -> str:
    return {"image": "an image", "audio": "audio"}.get(kind, f"a {kind}")


def _broken(name: str, kind: str, formats: str, error: Exception) -> IntentError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return IntentError(f"{name} is no {kind} that can be read ({reason}); it must be {formats}, and whole")


def _check_pixels(image: Image.Image, limits: Limits, name: str) -> None:
    if image.width * image.height > limits.most_pixels:
        raise IntentError(
            f"{name} has {image.width} x {image.height} pixels; at most {limits.most_pixels:,} in all are read"
        )


def _samples(source: Source, limits: Limits, name: str | None) -> tuple[np.ndarray, int, str]:
    """Of a file: mean over its channels [n], samples a second, and what to call it."""
    import soundfile

    content, name = _content(source, limits, name, "audio")
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            _check_audio(file, limits, name)
            most = math.ceil(limits.most_seconds * file.samplerate)
            return file.read(most, dtype="float32", always_2d=True).mean(axis=1), file.samplerate, name
    except IntentError:
        raise
    except (soundfile.SoundFileError, RuntimeError, ValueError) as error:
        raise _broken(name, "audio", "WAV or FLAC", error) from None


def _check_audio(file: Any, limits: Limits, name: str) -> None:
    if file.format not in _AUDIO_FORMATS:
        raise IntentError(f"{name} is {file.format} audio; it must be WAV or FLAC")
    if file.channels > limits.most_channels:
        raise IntentError(f"{name} has {file.channels} channels; at most {limits.most_channels} are read")
    if not _RATES_HZ[0] <= file.samplerate <= _RATES_HZ[1]:
        raise IntentError(
            f"{name} has {file.samplerate} samples a second; it must have {_RATES_HZ[0]} to {_RATES_HZ[1]}"
        )
    if file.frames >= _UNKNOWN_FRAMES:
        raise IntentError(f"{name} does not say how long it is; write it again as a whole file, not as a stream")
    _check_seconds(file.frames / file.samplerate, limits, name)


def _check_seconds(seconds: float, limits: Limits, name: str) -> None:
    if seconds < limits.least_seconds:
        raise IntentError(f"{name} has {seconds:g} s of audio; it must have at least {limits.least_seconds:g} s")
    if seconds > limits.most_seconds:
        raise IntentError(f"{name} has {seconds:g} s of audio; at most {limits.most_seconds:g} s are read, so cut it")


def _check_motion(motion: Any, limits: Limits, name: str) -> None:
    if not isinstance(motion, np.ndarray) or motion.dtype.kind not in "fiu":
        raise IntentError(f"{name} holds no array of numbers; a motion is one array [frames, {JOINTS} joints, 3]")
    if motion.ndim != 3 or motion.shape[1:] != (JOINTS, 3):
        raise IntentError(f"{name} has the shape {motion.shape}; a motion has [frames, {JOINTS} joints, 3]")
    if not 1 <= len(motion) <= limits.most_frames:
        raise IntentError(f"{name} has {len(motion)} frames; a motion has 1 to {limits.most_frames}")
    if not np.isfinite(motion).all():
        raise IntentError(f"{name} has positions that are no numbers; fill the gaps or leave those frames out")
    if (farthest := float(np.abs(motion).max())) > limits.most_metres:
        raise IntentError(
            f"{name} has a joint {farthest:g} m from the origin, farther than {limits.most_metres:g} m; "
            "positions must be in metres"
        )


def _resampled(samples: np.ndarray, found: int, rate: int) -> np.ndarray:
    if found == rate:
        return np.ascontiguousarray(samples, np.float32)
    from scipy.signal import resample_poly

    common = math.gcd(found, rate)
    return np.asarray(resample_poly(samples, rate // common, found // common), np.float32)
