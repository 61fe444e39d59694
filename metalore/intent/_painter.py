"""Drawing on a unit square with Pillow: shapes, people, houses, rooms, and the light they are seen in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]

TINTS: dict[str, tuple[float, float, float]] = {
    "day": (1.0, 1.0, 1.0),
    "evening": (0.92, 0.68, 0.56),
    "night": (0.5, 0.54, 0.74),
}
"""What is left of red, green and blue in each light."""

_SKIN: Sequence[Colour] = ((255, 219, 172), (224, 172, 105), (198, 134, 66), (141, 85, 36), (92, 58, 33))
_FINER = 3
"""Pictures are drawn so many times larger and made smaller, so that edges are soft."""


class Painter:
    """One picture in the making. Places and lengths are parts of its edge: x to the right, y down, from 0 to 1.

    Args:
        size: pixels along an edge.
        light: one of :data:`TINTS`.
        rng: draws whatever is left open.
    """

    def __init__(self, size: int, light: str, rng: np.random.Generator) -> None:
        self.size, self.light, self.rng = size, light, rng
        self._image = Image.new("RGB", (size * _FINER, size * _FINER))
        self._pen = ImageDraw.Draw(self._image)
        self._glows: list[tuple[float, float, float, Colour]] = []

    def photograph(self) -> Image.Image:
        """As a camera would see it: light, exposure, a tilt, blur and grain."""
        image = self._image.resize((self.size, self.size), Image.Resampling.BOX)
        image = image.rotate(self.between(-4, 4), Image.Resampling.BILINEAR, fillcolor=image.getpixel((1, 1)))
        if self.chance(0.3):
            image = image.filter(ImageFilter.GaussianBlur(self.between(0.3, 0.8)))
        pixels = np.asarray(image, float) * TINTS[self.light] * self.between(0.85, 1.12)
        pixels += self._glowing()
        pixels += self.rng.normal(0, self.between(1, 6), pixels.shape)
        return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))

    def _glowing(self) -> np.ndarray:
        """Light that is added by what glows itself [y, x, 3]."""
        rows, columns = np.mgrid[: self.size, : self.size] / self.size
        added = np.zeros((self.size, self.size, 3))
        for x, y, radius, colour in self._glows:
            near = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * radius**2))
            added += 0.75 * near[..., None] * np.array(colour)
        return added

    # -- chance --------------------------------------------------------------------------------------------------------

    def between(self, least: float, most: float) -> float:
        return float(self.rng.uniform(least, most))

    def chance(self, part: float) -> bool:
        return bool(self.rng.random() < part)

    def colour(self, least: int = 40, most: int = 230) -> Colour:
        red, green, blue = (int(value) for value in self.rng.integers(least, most + 1, 3))
        return red, green, blue

    def near(self, colour: Colour, by: int = 18) -> Colour:
        """A colour much like another."""
        red, green, blue = (int(value) for value in np.clip(colour + self.rng.integers(-by, by + 1, 3), 0, 255))
        return red, green, blue

    # -- shapes --------------------------------------------------------------------------------------------------------

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        self._pen.rectangle(self._scaled(left, top, right, bottom), fill=colour)

    def oval(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        self._pen.ellipse(self._scaled(left, top, right, bottom), fill=colour)

    def shape(self, corners: Sequence[tuple[float, float]], colour: Colour) -> None:
        self._pen.polygon([self._scaled(x, y) for x, y in corners], fill=colour)

    def line(self, points: Sequence[tuple[float, float]], colour: Colour, width: float = 0.012) -> None:
        at = [self._scaled(x, y) for x, y in points]
        self._pen.line(at, fill=colour, width=max(1, round(width * self._image.width)))

    def glow(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """A light that the night does not darken."""
        self._glows.append((x, y, radius, colour))

    def _scaled(self, *lengths: float) -> tuple[float, ...]:
        return tuple(length * self._image.width for length in lengths)

    # -- what any scene is made of -------------------------------------------------------------------------------------

    def person(self, x: float, feet: float, tall: float, shirt: Colour | None = None) -> None:
        """Someone who stands at x with the feet at that height of the picture."""
        skin, wide = _SKIN[int(self.rng.integers(len(_SKIN)))], 0.3 * tall
        legs = self.colour(20, 110)
        self.box(x - 0.3 * wide, feet - 0.45 * tall, x - 0.05 * wide, feet, legs)
        self.box(x + 0.05 * wide, feet - 0.45 * tall, x + 0.3 * wide, feet, legs)
        self.box(x - 0.42 * wide, feet - 0.8 * tall, x + 0.42 * wide, feet - 0.4 * tall, shirt or self.colour())
        self.oval(x - 0.33 * wide, feet - tall, x + 0.33 * wide, feet - 0.79 * tall, skin)

    def crowd(self, people: int, top: float, bottom: float, tall: float, shirts: Sequence[Colour] = ()) -> None:
        """So many people with their feet between two heights, the nearer ones lower and taller."""
        for feet in sorted(self.rng.uniform(top, bottom, people)):
            nearer = 0.75 + 0.5 * (feet - top) / (bottom - top)
            shirt = shirts[int(self.rng.integers(len(shirts)))] if shirts else None
            self.person(self.between(0.05, 0.95), feet, tall * nearer, shirt)

    def outdoors(self, horizon: float, ground: Colour) -> None:
        """Sky with sun or moon, houses and trees, and the ground."""
        self.box(0, 0, 1, 1, self.near((150, 195, 235), 25))
        x, y, radius = self.between(0.1, 0.9), self.between(0.05, 0.2), self.between(0.03, 0.06)
        self.oval(x - radius, y - radius, x + radius, y + radius, (255, 244, 190))
        for _ in range(self.rng.integers(0, 5)):
            self._house(self.between(-0.1, 0.95), horizon)
        for _ in range(self.rng.integers(0, 4)):
            self.tree(self.between(0.02, 0.98), horizon + 0.02, self.between(0.15, 0.32))
        self.box(0, horizon, 1, 1, self.near(ground))

    def _house(self, left: float, ground: float) -> None:
        wide, high = self.between(0.12, 0.3), self.between(0.12, 0.34)
        top, right = ground - high, left + wide
        self.box(left, top, right, ground, self.colour(90, 210))
        if self.chance(0.6):
            self.shape([(left, top), (left + wide / 2, top - 0.35 * high), (right, top)], self.colour(60, 170))
        pane = (255, 228, 150) if self.light != "day" and self.chance(0.7) else (110, 130, 150)
        for row in np.arange(top + 0.04, ground - 0.06, 0.075):
            for x in np.arange(left + 0.03, right - 0.04, 0.07):
                self.box(x, row, x + 0.03, row + 0.035, pane)

    def tree(self, x: float, ground: float, tall: float) -> None:
        self.box(x - 0.05 * tall, ground - 0.5 * tall, x + 0.05 * tall, ground, self.near((95, 65, 40)))
        self.oval(x - 0.3 * tall, ground - tall, x + 0.3 * tall, ground - 0.35 * tall, self.near((60, 125, 55), 35))

    def indoors(self, floor: float) -> None:
        """A wall, at times with a window, and a floor."""
        self.box(0, 0, 1, floor, self.colour(130, 235))
        self.box(0, floor, 1, 1, self.colour(70, 180))
        if self.chance(0.5):
            left = self.between(0.02, 0.8)
            self.box(left, 0.06, left + self.between(0.1, 0.2), 0.26, self.near((165, 205, 235), 20))
