"""Tools to draw with: pygame without a window, colours, sharp text, symbols.

Positions and lengths on a picture are pixels, from the upper left corner.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pygame
import pygame.font

Colour = tuple[int, int, int]
Point = tuple[float, float]

# Okabe and Ito, "Color Universal Design" (2008): told apart with every kind of colour vision.
REQUESTS: Colour = (0, 114, 178)
UPDATES: Colour = (230, 159, 0)
BANDWIDTH: Colour = (0, 158, 115)
COMPUTE: Colour = (204, 121, 167)

PAPER: Colour = (255, 255, 255)
PAGE: Colour = (246, 247, 249)
INK: Colour = (28, 36, 48)
MUTED: Colour = (96, 106, 120)
GREY: Colour = (150, 158, 168)
RULE: Colour = (205, 211, 218)
GRID: Colour = (233, 236, 240)

LEVELS = 64
"""Colours that a ramp is cut into."""

_SUPERSAMPLING = 4
_TEXTS_KEPT = 4096


def mixed(colour: Colour, other: Colour, part: float) -> Colour:
    """`part` of `other` in `colour`."""
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(colour, other, strict=True))
    return red, green, blue


def _ramp(stops: str) -> tuple[Colour, ...]:
    rgb = np.array([list(bytes.fromhex(stop)) for stop in stops.split()])
    at = np.linspace(0, len(rgb) - 1, LEVELS)
    columns = [np.interp(at, np.arange(len(rgb)), rgb[:, i]).round().astype(int).tolist() for i in range(3)]
    return tuple(zip(*columns, strict=True))


# Sampled from matplotlib's viridis (CC0): lightness rises evenly, also to the colour-blind.
RATE_RAMP = _ramp(
    "440154 481a6c 472f7d 414487 39568c 31688e 2a788e 23888e 1f988b 22a884 35b779 54c568 7ad151 a5db36 d2e21b fde725"
)
AGE_RAMP = _ramp("fff3d6 fcd27f e69f00 b26d00 5c3300")
"""From fresh to stale: the colour of updates, darkening."""


class Canvas:
    """A pygame surface over the bytes of an array uint8 [height, width, 4]: red, green, blue and nothing.

    Four bytes a pixel, because pygame's smooth lines go wrong on three.
    """

    def __init__(self, size: tuple[int, int], colour: Colour = PAPER) -> None:
        self.pixels = np.zeros((size[1], size[0], 4), np.uint8)
        self.surface = pygame.image.frombuffer(self.pixels.reshape(-1).data, size, "RGBX")
        self.surface.fill(colour)

    def rgb(self) -> np.ndarray:
        """A copy, uint8 [height, width, 3]."""
        height, width, _ = self.pixels.shape
        out = np.empty((height, width, 3), np.uint8)
        pygame.image.frombuffer(out.reshape(-1).data, (width, height), "RGB").blit(self.surface, (0, 0))
        return out

    def stroke(self, colour: Colour, start: Point, end: Point, width: float) -> None:
        """A smooth line with round ends: every pixel by its distance from the line."""
        reach = width / 2 + 1
        left, right = math.floor(min(start[0], end[0]) - reach), math.ceil(max(start[0], end[0]) + reach)
        top, bottom = math.floor(min(start[1], end[1]) - reach), math.ceil(max(start[1], end[1]) + reach)
        left, top = max(left, 0), max(top, 0)
        part = self.pixels[top : bottom + 1, left : right + 1, :3]
        y, x = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
        along_x, along_y = end[0] - start[0], end[1] - start[1]
        length2 = max(along_x**2 + along_y**2, 1e-12)
        at = np.clip(((x - start[0]) * along_x + (y - start[1]) * along_y) / length2, 0.0, 1.0)
        apart = np.hypot(x - start[0] - at * along_x, y - start[1] - at * along_y)
        cover = np.clip(width / 2 + 0.5 - apart, 0.0, 1.0)[..., None]
        part[...] = np.rint(part + (np.array(colour) - part) * cover)


class Text:
    """Text of the font that comes with pygame, drawn large and scaled down, and remembered."""

    def __init__(self) -> None:
        pygame.font.init()
        self._fonts: dict[int, pygame.font.Font] = {}
        self._drawn: dict[tuple[str, int, Colour], pygame.Surface] = {}

    def image(self, text: str, size: int, colour: Colour) -> pygame.Surface:
        """The text as a surface with a transparent ground; `size` is the height of the font in pixels."""
        key = (text, size, colour)
        found = self._drawn.get(key)
        if found is None:
            if len(self._drawn) >= _TEXTS_KEPT:
                self._drawn.clear()
            found = self._drawn[key] = self._rendered(text, size, colour)
        return found

    def _rendered(self, text: str, size: int, colour: Colour) -> pygame.Surface:
        if size not in self._fonts:
            self._fonts[size] = pygame.font.Font(pygame.font.get_default_font(), size * _SUPERSAMPLING)
        large = self._fonts[size].render(text, True, colour)
        width, height = (max(1, math.ceil(n / _SUPERSAMPLING)) for n in large.get_size())
        padded = pygame.Surface((width * _SUPERSAMPLING, height * _SUPERSAMPLING), pygame.SRCALPHA)
        padded.fill((*colour, 0))
        padded.blit(large, (0, 0), special_flags=pygame.BLEND_RGBA_MAX)
        return pygame.transform.smoothscale(padded, (width, height))

    def width(self, text: str, size: int) -> int:
        """Pixels a text takes."""
        return self.image(text, size, INK).get_width()

    def draw(
        self, surface: pygame.Surface, text: str, at: Point, size: int, colour: Colour = INK, anchor: str = "lm"
    ) -> int:
        """Draw a text and return its width.

        `anchor` says which of its points lies `at`: l, m or r (left, middle, right), then t, m or b (top, middle,
        bottom).
        """
        image = self.image(text, size, colour)
        width, height = image.get_size()
        x = at[0] - {"l": 0.0, "m": width / 2, "r": float(width)}[anchor[0]]
        y = at[1] - {"t": 0.0, "m": height / 2, "b": float(height)}[anchor[1]]
        surface.blit(image, (round(x), round(y)))
        return width

    def fitted(self, text: str, size: int, width: int) -> str:
        """The text, shortened with an ellipsis if it is wider than `width`."""
        if self.width(text, size) <= width:
            return text
        while text and self.width(text + "…", size) > width:
            text = text[:-1]
        return text.rstrip() + "…" if text else ""


def supersampled(size: tuple[int, int], ground: Colour, paint: Callable[[pygame.Surface], None]) -> pygame.Surface:
    """Something with smooth edges: `paint(surface)` draws it _SUPERSAMPLING times as large."""
    large = pygame.Surface((size[0] * _SUPERSAMPLING, size[1] * _SUPERSAMPLING), pygame.SRCALPHA)
    large.fill((*ground, 0))
    paint(large)
    return pygame.transform.smoothscale(large, size)


def disc(radius: float, fill: Colour, fill_alpha: int, edge: Colour, edge_alpha: int, edge_px: float) -> pygame.Surface:
    """A disc with an edge, its centre in the middle pixel; alphas from 0 to 255."""
    reach = math.ceil(radius) + 1
    axis = np.arange(-reach, reach + 1)
    distance = np.hypot(axis[:, None], axis[None, :])
    whole = np.clip(radius + 0.5 - distance, 0, 1)
    inner = np.clip(radius - edge_px + 0.5 - distance, 0, 1) * fill_alpha
    outer = whole * edge_alpha - np.clip(radius - edge_px + 0.5 - distance, 0, 1) * edge_alpha
    alpha = inner + outer
    weight = (inner / np.maximum(alpha, 1e-9))[..., None]
    rgba = np.empty((*distance.shape, 4), np.uint8)
    rgba[..., :3] = (np.array(fill) * weight + np.array(edge) * (1 - weight)).round()
    rgba[..., 3] = alpha.round()
    return pygame.image.frombuffer(rgba.tobytes(), distance.shape, "RGBA")


def tile(size: int, fill: Colour, edge: Colour) -> pygame.Surface:
    """A square with rounded corners and an edge."""
    return panel((size, size), size * 0.22, fill, edge)


def panel(
    size: tuple[int, int], radius: float, fill: Colour, edge: Colour, accent: Colour | None = None, accent_px: float = 0
) -> pygame.Surface:
    """A sheet with rounded corners, an edge of one pixel, and a stripe of `accent` at its left."""

    def paint(surface: pygame.Surface) -> None:
        edge_px, curve = _SUPERSAMPLING, round(radius * _SUPERSAMPLING)
        sheet = surface.get_rect()
        left = curve
        if accent is not None:
            pygame.draw.rect(surface, accent, sheet, border_radius=curve)
            stripe, left = round(accent_px * _SUPERSAMPLING), 0
            sheet.left, sheet.width = stripe, sheet.width - stripe
        pygame.draw.rect(surface, edge, sheet, 0, 0, left, curve, left, curve)
        inside, curve = sheet.inflate(-2 * edge_px, -2 * edge_px), max(1, curve - edge_px)
        pygame.draw.rect(surface, fill, inside, 0, 0, min(left, curve), curve, min(left, curve), curve)

    return supersampled(size, edge, paint)


def mast(size: int) -> pygame.Surface:
    """A base station: a mast that radiates to both sides, on a halo of paper."""

    def stroke(surface: pygame.Surface, points: Sequence[Point], width: float, colour: Colour) -> None:
        for a, b in pairwise(points):
            pygame.draw.line(surface, colour, a, b, round(width))
        for point in points:
            pygame.draw.circle(surface, colour, point, width / 2)

    def shape(surface: pygame.Surface, unit: float, extra: float, colour: Colour) -> None:
        head = (12 * unit, 8 * unit)
        thick = (2.2 + extra) * unit
        stroke(surface, [(6.5 * unit, 22 * unit), head, (17.5 * unit, 22 * unit)], thick, colour)
        stroke(surface, [(8.7 * unit, 16.5 * unit), (15.3 * unit, 16.5 * unit)], thick, colour)
        pygame.draw.circle(surface, colour, head, (2.8 + extra / 2) * unit)
        for radius in (6.0, 10.0):
            for side in (0.0, math.pi):
                angles = np.linspace(side - 0.75, side + 0.75, 13)
                arc = [(head[0] + radius * unit * math.cos(a), head[1] + radius * unit * math.sin(a)) for a in angles]
                stroke(surface, arc, (1.9 + extra) * unit, colour)

    def paint(surface: pygame.Surface) -> None:
        unit = surface.get_width() / 24
        shape(surface, unit, 2.4, PAPER)
        shape(surface, unit, 0.0, INK)

    return supersampled((size, size), PAPER, paint)


def peak(size: int) -> pygame.Surface:
    """A base station where there is no room for a mast: a dark triangle on a halo of paper."""

    def paint(surface: pygame.Surface) -> None:
        side = surface.get_width()
        for inset, colour in ((0.0, PAPER), (0.14, INK)):
            points = [(side / 2, side * inset * 1.6), (side * inset, side * (1 - inset)), (side * (1 - inset),) * 2]
            pygame.draw.polygon(surface, colour, points)

    return supersampled((size, size), PAPER, paint)


def readable_on(colour: Colour) -> Colour:
    """Ink or paper, whichever stands out (by relative luminance)."""
    red, green, blue = colour
    return INK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 120 else PAPER


def round_up(value: float) -> float:
    """The least of 1, 2, 4, 6, 8, 10 times a power of ten that is not below `value`; 1 for nothing."""
    if not 0.0 < value < math.inf:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(float(n * power) for n in (1, 2, 4, 6, 8, 10, 20) if n * power >= value * (1 - 1e-12))


def ticks(end: float, most: int = 5) -> list[float]:
    """Round numbers from 0 to `end`, at most `most` steps of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(end / most))
    step = next(n * power for n in (1, 2, 5, 10, 20) if n * power * most >= end * (1 - 1e-9))
    return [i * step for i in range(int(end / step + 1e-9) + 1)]


def number(value: float, signed: bool = False) -> str:
    """A number short enough for a label: 0.25, 7.5, 43, 1.2k, 15M; a dash for none."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    for limit, divisor, unit in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if size >= limit:
            return _digits(value / divisor, signed) + unit
    return _digits(value, signed)


def _digits(value: float, signed: bool) -> str:
    decimals = 0 if abs(value) >= 99.95 else 1
    text = f"{value:{'+' if signed else ''}.{decimals}f}"
    if text.strip("+-0.") == "":
        text = "0" if decimals == 0 else "0.0"
    return text.replace("-", "−")


def label(value: float) -> str:
    """A number on an axis: no more digits than it needs."""
    for limit, divisor, unit in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= limit:
            return f"{value / divisor:.4g}{unit}"
    return f"{value:.4g}"
