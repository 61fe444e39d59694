"""Films of what :class:`~metalore.envs.rendering.Renderer` and others draw: GIF, MP4 or WebM."""

from __future__ import annotations

import secrets
import struct
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from gymnasium.error import DependencyNotInstalled

SUFFIXES = (".gif", ".mp4", ".webm")
CODECS = {
    ".mp4": ("libx264", ["-crf", "18", "-preset", "veryfast", "-tune", "animation", "-movflags", "+faststart"]),
    ".webm": ("libvpx-vp9", ["-crf", "30", "-b:v", "0", "-deadline", "realtime", "-cpu-used", "5", "-row-mt", "1"]),
}
"""How ffmpeg writes videos."""

_GIF_COLOURS = 255  # one more is for what has not changed
_FREQUENT_COLOURS = 64
_MANY_COLOURS = 8192


class Writer(Protocol):
    """A film in one format, on its way to a file."""

    def add(self, frame: np.ndarray) -> None:
        """Append a frame, uint8 [height, width, 3]."""

    def close(self) -> None:
        """Complete the file."""


class Recorder:
    """Collects frames into a film that appears when the `with` block ends well, and not at all otherwise.

    The file is written under another name beside `path`, and renamed at the end.

    Args:
        path: where to; its suffix says how: .gif, .mp4 (H.264, which every player reads) or .webm (VP9).
        fps: frames a second; a GIF shows at most 50.

    Raises:
        ValueError: another suffix, a folder of that name, or `fps` that is not positive.
        DependencyNotInstalled: what writes the format is missing.
    """

    def __init__(self, path: str | Path, fps: float = 30) -> None:
        self.path, self.fps = Path(path), float(fps)
        if self.path.suffix.lower() not in SUFFIXES:
            raise ValueError(f"cannot record to {self.path.name!r}: the name must end in .gif, .mp4 or .webm")
        if self.path.is_dir():
            raise ValueError(f"cannot record to {self.path}: it is a folder")
        if not self.fps > 0:
            raise ValueError(f"fps is {fps}; it must be positive")
        _require(self.path.suffix.lower())
        self.frames = 0
        self._shape: tuple[int, ...] | None = None
        self._writer: Writer | None = None
        self._part = self.path.with_name(f".{self.path.stem}.{secrets.token_hex(4)}.part{self.path.suffix.lower()}")
        self._open = False

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._part.touch()  # where nothing can be written, that is said now
        self.frames, self._shape, self._open = 0, None, True
        return self

    def add(self, frame: np.ndarray) -> None:
        """Append a frame, uint8 [height, width, 3]; all have the size of the first."""
        if not self._open:
            raise ValueError("a Recorder takes frames within its `with` block only")
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(f"a frame is uint8 [height, width, 3]; this is {frame.dtype} {list(frame.shape)}")
        if self._shape is None:
            self._shape = frame.shape
            kind = GifWriter if self._part.suffix == ".gif" else VideoWriter
            self._writer = kind(self._part, self.fps)
        if frame.shape != self._shape:
            raise ValueError(f"this frame is {list(frame.shape)}, the first one was {list(self._shape)}")
        assert self._writer is not None
        self._writer.add(frame)
        self.frames += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        writer, self._writer = self._writer, None
        try:
            if writer is not None:
                writer.close()
            if kind is None:
                if writer is None:
                    raise ValueError(f"{self.path.name} was not written: no frame was added")
                self._part.replace(self.path)
        finally:
            self._part.unlink(missing_ok=True)


def _require(suffix: str) -> None:
    try:
        if suffix == ".gif":
            import PIL  # noqa: F401
        else:
            import imageio_ffmpeg  # type: ignore[import-untyped]  # it ships no types  # noqa: F401
    except ImportError as missing:
        needed = "Pillow" if suffix == ".gif" else "imageio-ffmpeg"
        raise DependencyNotInstalled(
            f'Recording {suffix} files needs {needed}: pip install "metalore[render]".'
        ) from missing


class VideoWriter:
    """H.264 or VP9 in yuv420p, which needs even sides: an odd one is padded by repeating the edge."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._pipe: Generator[None, Any, None] | None = None

    def add(self, frame: np.ndarray) -> None:
        """Append a frame, uint8 [height, width, 3]."""
        odd = [(0, side % 2) for side in frame.shape[:2]]
        even = np.ascontiguousarray(np.pad(frame, [*odd, (0, 0)], mode="edge") if any(b for _, b in odd) else frame)
        if self._pipe is None:
            self._pipe = self._opened(even.shape)
        self._pipe.send(even)

    def _opened(self, shape: tuple[int, ...]) -> Generator[None, Any, None]:
        import imageio_ffmpeg

        codec, parameters = CODECS[self._path.suffix]
        pipe: Generator[None, Any, None] = imageio_ffmpeg.write_frames(
            str(self._path),
            (shape[1], shape[0]),
            fps=self._fps,
            codec=codec,
            pix_fmt_out="yuv420p",
            macro_block_size=2,
            quality=None,
            output_params=parameters,
            ffmpeg_log_level="error",
        )
        pipe.send(None)
        return pipe

    def close(self) -> None:
        """Complete the file."""
        if self._pipe is not None:
            self._pipe.close()


class GifWriter:
    """Each frame holds what changed since the one before, in colours of its own.

    Nothing is kept but one frame, and flat drawings get small files.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._file = path.open("wb")
        self._fps = min(fps, 50.0)  # browsers slow down what is faster
        self._before: np.ndarray | None = None
        self._count = 0

    def add(self, frame: np.ndarray) -> None:
        """Append a frame, uint8 [height, width, 3]."""
        from PIL import GifImagePlugin, Image

        if self._before is None:
            self._file.write(_gif_header(frame))
            changed = np.ones(frame.shape[:2], np.bool_)
        else:
            differs = frame != self._before
            changed = differs[..., 0] | differs[..., 1] | differs[..., 2]
        top, bottom, left, right = _bounds(changed)
        part, mask = frame[top:bottom, left:right], changed[top:bottom, left:right]
        colours, which = _few_colours(part[mask])
        indices = np.full(mask.shape, _GIF_COLOURS, np.uint8)
        indices[mask] = which
        image = Image.fromarray(indices)
        image.putpalette(np.pad(colours, ((0, 256 - len(colours)), (0, 0))).tobytes())
        self._file.writelines(
            GifImagePlugin.getdata(
                image,
                (left, top),
                duration=10 * self._hundredths(),
                transparency=_GIF_COLOURS,
                disposal=1,
                include_color_table=True,
            )
        )
        self._before = frame.copy()
        self._count += 1

    def _hundredths(self) -> int:
        """How long this frame shows; whole hundredths of a second that keep the pace over many frames."""
        return round((self._count + 1) * 100 / self._fps) - round(self._count * 100 / self._fps)

    def close(self) -> None:
        """Complete the file."""
        self._file.write(b";")
        self._file.close()


def _gif_header(frame: np.ndarray) -> bytes:
    """Logical screen without a palette, and the extension that makes it play for ever (GIF89a, sections 17, 18, 26)."""
    screen = struct.pack("<HHBBB", frame.shape[1], frame.shape[0], 0x70, 0, 0)
    return b"GIF89a" + screen + b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"


def _bounds(changed: np.ndarray) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of what is set; a single pixel if nothing is."""
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    if not len(rows):
        return 0, 1, 0, 1
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _few_colours(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most _GIF_COLOURS colours for `pixels` [n, 3]: a palette uint8 [c, 3], and each pixel's place in it [n]."""
    values, which, counts = _distinct(pixels)
    if len(values) > _MANY_COLOURS:
        values, which, counts = _distinct(pixels & 0xF8 | 0x04)
    if len(values) <= _GIF_COLOURS:
        return values, which
    order = np.argsort(-counts, kind="stable")
    chosen, nearest = _far_apart(values.astype(np.int32), order[:_FREQUENT_COLOURS])
    return values[chosen], nearest[which]


def _far_apart(values: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Choose colours until there are _GIF_COLOURS, always the one farthest from all chosen: no line loses its colour.

    Args:
        values: distinct colours, int32 [c, 3].
        first: indices of those chosen to begin with.

    Returns:
        Indices of those chosen, and for each of `values` which choice is nearest, [c].
    """
    chosen = first.tolist()
    apart = ((values[:, None] - values[None, first]) ** 2).sum(axis=2)
    nearest = apart.argmin(axis=1)
    least = apart.min(axis=1)
    while len(chosen) < _GIF_COLOURS:
        farthest = int(least.argmax())
        distance = ((values - values[farthest]) ** 2).sum(axis=1)
        nearest[distance < least] = len(chosen)
        least = np.minimum(least, distance)
        chosen.append(farthest)
    return np.array(chosen), nearest


def _distinct(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct colours of `pixels` [n, 3], uint8 [c, 3]; which one each pixel has [n]; how often each occurs [c]."""
    packed = (pixels.astype(np.uint32) << np.array([16, 8, 0], np.uint32)).sum(axis=1, dtype=np.uint32)
    values, which, counts = np.unique(packed, return_inverse=True, return_counts=True)
    colours = np.stack([values >> 16, values >> 8, values], axis=1).astype(np.uint8)
    return colours, which, counts
