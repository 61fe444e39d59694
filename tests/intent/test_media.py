"""What is read of media files, and the one sentence told of each that cannot be."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from intent.bad_media import half, npy, picture, png, wav
from PIL import Image

from metalore.intent import IntentError, Limits, read_audio, read_each, read_image, read_motion

# -- what is read ------------------------------------------------------------------------------------------------------


def test_an_image_is_rgb_and_upright(tmp_path: Path) -> None:
    image = Image.new("RGBA", (4, 2), (255, 0, 0, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by a quarter
    image.save(tmp_path / "photo.png", exif=exif)
    for source in (tmp_path / "photo.png", str(tmp_path / "photo.png"), (tmp_path / "photo.png").read_bytes()):
        found = read_image(source)
        assert (found.mode, found.size, found.getpixel((0, 0))) == ("RGB", (2, 4), (255, 0, 0))


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100])
@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_audio_comes_at_16_khz_in_one_channel(tmp_path: Path, rate: int, ending: str) -> None:
    time_s = np.arange(rate) / rate
    left, right = (np.sin(2 * np.pi * hertz * time_s) for hertz in (300, 500))
    path = tmp_path / f"tones.{ending}"
    soundfile.write(path, 0.5 * np.stack([left, right], axis=1), rate)
    found = read_audio(path)
    assert (found.dtype, found.shape) == (np.float32, (16000,))
    spectrum = np.abs(np.fft.rfft(found)) / 8000  # one bin a hertz
    np.testing.assert_allclose(spectrum[[300, 500]], 0.25, atol=0.01)
    assert np.delete(spectrum, np.r_[290:311, 490:511]).max() < 0.01
    np.testing.assert_array_equal(read_audio(path.read_bytes()), found)


def test_a_motion_is_metres_in_float32(tmp_path: Path) -> None:
    motion = np.random.default_rng(0).random((5, 21, 3))
    np.save(tmp_path / "walk.npy", motion)
    for source in (tmp_path / "walk.npy", (tmp_path / "walk.npy").read_bytes(), motion):
        found = read_motion(source)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, motion.astype(np.float32))


# -- what is refused ---------------------------------------------------------------------------------------------------


SECOND, STILL = np.zeros(16000), np.zeros((4, 21, 3))
BROKEN: list[tuple[Callable[..., Any], bytes, str]] = [
    (read_image, b"", "is empty; it must hold an image"),
    (read_image, b"GIF89a rubbish", "is no image that can be read .*; it must be PNG"),
    (read_image, half(picture()), "is no image that can be read .*; it must be PNG, .* and whole"),
    (read_image, half(picture("JPEG")), "is no image that can be read"),
    (read_image, picture("TIFF"), "is no image that can be read"),
    (read_image, png(8000, 8000), "has 8000 x 8000 pixels; at most 40,000,000 in all are read"),
    (read_image, png(12000, 12000), "has far more than the 40,000,000 pixels that are read"),
    (read_image, png(60000, 60000), "has far more than the 40,000,000 pixels that are read"),
    (read_audio, b"", "is empty; it must hold audio"),
    (read_audio, b"RIFF rubbish", "is no audio that can be read .*; it must be WAV or FLAC, and whole"),
    (read_audio, wav(np.zeros(0)), "has 0 s of audio; it must have at least 0.1 s"),
    (read_audio, wav(np.zeros(61 * 4000), 4000), "has 61 s of audio; at most 60 s are read, so cut it"),
    (read_audio, wav(np.zeros((16000, 7))), "has 7 channels; at most 2 are read"),
    (read_audio, wav(np.full(16000, np.nan), subtype="FLOAT"), "has samples that are no numbers"),
    (read_audio, wav(SECOND, 1000), "has 1000 samples a second; it must have 4000 to 192000"),
    (read_audio, wav(SECOND, 2_000_000_011), "has 2000000011 samples a second"),
    (read_audio, wav(SECOND, format="OGG"), "is OGG audio; it must be WAV or FLAC"),
    (read_motion, b"", "is empty; it must hold a motion"),
    (read_motion, b"\x93NUMPY rubbish", "is no motion that can be read .*; it must be a NumPy array"),
    (read_motion, half(npy(STILL)), "is no motion that can be read"),
    (read_motion, npy(np.array([{}])), "is no motion that can be read .*allow_pickle"),
    (read_motion, npy(np.array(["walk"])), "holds no array of numbers; a motion is one array"),
    (read_motion, npy(np.zeros((4, 22, 3))), r"has the shape \(4, 22, 3\); a motion has \[frames, 21 joints, 3\]"),
    (read_motion, npy(np.zeros((4, 63))), r"has the shape \(4, 63\)"),
    (read_motion, npy(np.zeros((0, 21, 3))), "has 0 frames; a motion has 1 to 3000"),
    (read_motion, npy(np.zeros((3001, 21, 3))), "has 3001 frames; a motion has 1 to 3000"),
    (read_motion, npy(STILL + np.nan), "has positions that are no numbers"),
    (read_motion, npy(STILL + 1700), "has a joint 1700 m from the origin, .*; positions must be in metres"),
]  # fmt: skip


@pytest.mark.parametrize(("read", "content", "told"), BROKEN, ids=range(len(BROKEN)))
def test_what_cannot_be_read_is_told_in_one_sentence(
    tmp_path: Path, read: Callable[..., Any], content: bytes, told: str
) -> None:
    path = tmp_path / "upload"
    path.write_bytes(content)
    for source, named in ((path, str(path)), (content, "the 3rd upload")):
        with pytest.raises(IntentError, match=told) as raised:
            read(source, name=None if source is path else named)
        assert str(raised.value).startswith(named)
        assert "\n" not in str(raised.value)


def flac_that_claims(seconds: int) -> bytes:
    """One second at 16 kHz under a header with another number of samples (36 bits from byte 21 on)."""
    content = bytearray(wav(0.1 * np.random.default_rng(0).standard_normal(16000), format="FLAC"))
    content[21] = content[21] & 0xF0 | (16000 * seconds) >> 32
    content[22:26] = struct.pack(">I", (16000 * seconds) & 0xFFFFFFFF)
    return bytes(content)


def test_eight_hours_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    with pytest.raises(IntentError, match="the audio has 28800 s of audio; at most 60 s are read, so cut it"):
        read_audio(flac_that_claims(8 * 3600))
    with (tmp_path / "night.wav").open("wb") as file:
        file.truncate(8 * 3600 * 32000)  # zeros that take no room
    with pytest.raises(IntentError, match=r"night\.wav has 878\.9 MiB; at most 64 MiB are read"):
        read_audio(tmp_path / "night.wav")


def test_a_header_may_claim_too_much_or_nothing() -> None:
    assert len(read_audio(flac_that_claims(1))) == 16000
    with pytest.raises(IntentError, match=r"is no audio that can be read .*; it must be WAV or FLAC, and whole"):
        read_audio(flac_that_claims(30))
    with pytest.raises(IntentError, match="does not say how long it is; write it again as a whole file"):
        read_audio(flac_that_claims(0))


def test_samples_are_checked_as_files_are() -> None:
    samples = np.linspace(-1, 1, 16000)
    found = read_audio(samples)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, samples, atol=1e-7)
    for wrong, told in (
        (samples[:100], "the audio has 0.00625 s of audio; it must have at least 0.1 s"),
        (np.zeros(61 * 16000), "has 61 s of audio; at most 60 s are read"),
        (samples + np.inf, "has samples that are no numbers"),
        (np.zeros((2, 16000)), r"is float64 of the shape \(2, 16000\); samples are one row of floats"),
        (np.zeros(16000, np.int16), "is int16 of the shape"),
    ):
        with pytest.raises(IntentError, match=told):
            read_audio(wrong)


@pytest.mark.parametrize("read", [read_image, read_audio, read_motion])
def test_no_file_and_a_folder(tmp_path: Path, read: Callable[..., Any]) -> None:
    with pytest.raises(IntentError, match=r"gone cannot be read \(No such file or directory\); name a file with"):
        read(tmp_path / "gone")
    with pytest.raises(IntentError, match=r"cannot be read \(Is a directory\)"):
        read(tmp_path)


def test_limits_are_settings() -> None:
    with pytest.raises(IntentError, match="the image has 64 x 64 pixels; at most 100 in all are read"):
        read_image(picture(), Limits(most_pixels=100))
    with pytest.raises(IntentError, match=r"the audio has 1 s of audio; at most 0\.5 s are read"):
        read_audio(wav(SECOND), limits=Limits(most_seconds=0.5))
    assert read_audio(wav(np.zeros((16000, 7))), limits=Limits(most_channels=8)).shape == (16000,)
    with pytest.raises(IntentError, match="the motion has 4 frames; a motion has 1 to 3"):
        read_motion(STILL, Limits(most_frames=3))


def test_one_bad_file_does_not_stop_the_rest() -> None:
    positions, found, errors = read_each([picture(), b"rubbish", picture()], read_image)
    assert positions == [0, 2]
    assert [image.size for image in found] == [(64, 64), (64, 64)]
    assert [type(error) for error in errors] == [IntentError]
