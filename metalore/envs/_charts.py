"""Figures beside the map: tiles with a number, bars, lines over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import pygame

from metalore.envs._course import Course
from metalore.envs._drawing import GRID, INK, MUTED, PAPER, RULE, Canvas, Colour, Text, label, panel, round_up, ticks


class Tile(NamedTuple):
    """A number with what it is and what to compare it with."""

    title: str
    value: str
    below: str
    accent: Colour


def draw_tile(surface: pygame.Surface, area: pygame.Rect, tile: Tile, text: Text, unit: float) -> None:
    """A tile's two numbers; its frame and title are drawn by :func:`draw_tile_frame`."""
    x = area.left + round(10 * unit)
    text.draw(surface, tile.value, (x, area.top + round(34 * unit)), round(18 * unit))
    text.draw(surface, tile.below, (x, area.top + round(53 * unit)), round(11 * unit), MUTED)


def draw_tile_frame(surface: pygame.Surface, area: pygame.Rect, tile: Tile, text: Text, unit: float) -> None:
    """What of a tile does not change."""
    surface.blit(panel(area.size, 5 * unit, PAPER, RULE, tile.accent, 4 * unit), area)
    at = (area.left + round(10 * unit), area.top + round(14 * unit))
    text.draw(surface, tile.title, at, round(11 * unit), MUTED)


class Series(NamedTuple):
    """A line of a chart: what it shows and how."""

    course: str
    colour: Colour
    width: float = 2.2


class Key(NamedTuple):
    """An entry of a chart's legend: a name for one line, or for several of one kind."""

    name: str
    series: tuple[Series, ...]


class LineChart:
    """Lines over the time of an episode, drawn on as it goes.

    Args:
        area: pixels on the picture, with title and axis labels.
        title: what is shown, with its unit.
        keys: its lines by name, later ones drawn over earlier ones.
        fixed: upper end of the axis; unset: grows with what is shown.
        with_times: whether the time axis is labelled.
    """

    def __init__(
        self,
        area: pygame.Rect,
        title: str,
        keys: Sequence[Key],
        text: Text,
        unit: float,
        step_s: float,
        fixed: float | None = None,
        with_times: bool = False,
    ) -> None:
        self.title, self.keys, self.text, self.unit = title, keys, text, unit
        self.series = [series for key in keys for series in key.series]
        self.step_s, self.fixed, self.with_times = step_s, fixed, with_times
        left, top, below = round(30 * unit), round(20 * unit), round((18 if with_times else 4) * unit)
        self.area = area
        self.plot = pygame.Rect(area.left + left, area.top + top, area.width - left, area.height - top - below)
        self._layer = Canvas(self.plot.size)
        self._key: tuple[int, int, float] | None = None
        self._drawn = 0

    def draw_frame(self, surface: pygame.Surface) -> None:
        """What does not change: title, names of the lines."""
        size, y = round(11 * self.unit), self.area.top + round(9 * self.unit)
        self.text.draw(surface, self.title, (self.area.left, y), round(12 * self.unit), INK)
        x = self.area.right
        for key in reversed(self.keys):
            x -= self.text.draw(surface, key.name, (x, y), size, MUTED, "rm") + round(5 * self.unit)
            for series in reversed(key.series):
                piece = round((16 if len(key.series) == 1 else 10) * self.unit)
                width = max(1, round(series.width * self.unit))
                pygame.draw.rect(surface, series.colour, (x - piece, y - width // 2, piece, width))
                x -= piece
            x -= round(12 * self.unit)

    def draw(self, surface: pygame.Surface, course: Course, episode: int) -> None:
        """Bring the lines up to the last step and show them."""
        top = self.fixed or round_up(max(course.peaks[series.course] for series in self.series))
        key = (episode, course.stride, top)
        if key != self._key or course.bins < self._drawn:
            self._key, self._drawn = key, 0
            self._draw_grid(course)
        for at in range(self._drawn, course.bins):
            for i, series in enumerate(self.series):
                if i > 0 and at > 0:  # again, because the piece before of an earlier series ends on it
                    self._draw_piece(course, series, at - 1, top)
                self._draw_piece(course, series, at, top)
        self._drawn = course.bins
        surface.blit(self._layer.surface, self.plot)
        pygame.draw.rect(surface, RULE, self.plot, 1)
        self._draw_labels(surface, course, top)

    def _draw_grid(self, course: Course) -> None:
        surface, (width, height) = self._layer.surface, self.plot.size
        surface.fill(PAPER)
        for time_s in ticks(course.span * self.step_s):
            x = round(time_s / (course.span * self.step_s) * (width - 1))
            pygame.draw.line(surface, GRID, (x, 0), (x, height))
        pygame.draw.line(surface, GRID, (0, height // 2), (width, height // 2))

    def _draw_labels(self, surface: pygame.Surface, course: Course, top: float) -> None:
        size, x = round(10 * self.unit), self.plot.left - round(5 * self.unit)
        for part, anchor in ((0.0, "rb"), (0.5, "rm"), (1.0, "rt")):
            y = self.plot.bottom - part * self.plot.height
            self.text.draw(surface, label(part * top), (x, y), size, MUTED, anchor)
        if self.with_times:
            self._draw_times(surface, course, size)

    def _draw_times(self, surface: pygame.Surface, course: Course, size: int) -> None:
        end = course.span * self.step_s
        shown = ticks(end)
        for time_s in shown:
            name = label(time_s) + (" s" if time_s == shown[-1] else "")
            x = self.plot.left + time_s / end * (self.plot.width - 1)
            x = min(x, self.plot.right - self.text.width(name, size) / 2)
            self.text.draw(surface, name, (x, self.plot.bottom + round(4 * self.unit)), size, MUTED, "mt")

    def _place(self, course: Course, at: int, value: float, top: float) -> tuple[float, float]:
        x = min((at + 1) * course.stride, course.span) / course.span * (self.plot.width - 1)
        margin = 2.0 * self.unit
        return x, (self.plot.height - 1 - margin) - min(value / top, 1.0) * (self.plot.height - 1 - 2 * margin)

    def _draw_piece(self, course: Course, series: Series, at: int, top: float) -> None:
        """The line from the bin before to bin `at`; a dot where there is nothing before."""
        value = course.value(series.course, at)
        if value != value:
            return
        end = self._place(course, at, value, top)
        before = course.value(series.course, at - 1) if at > 0 else math.nan
        start = end if before != before else self._place(course, at - 1, before, top)
        self._layer.stroke(series.colour, start, end, series.width * self.unit)


class BarRow(NamedTuple):
    """Two bars at a place."""

    name: str
    values: tuple[int, int]


class BarChart:
    """Two bars for each of a few places, with their numbers.

    Args:
        area: pixels on the picture.
        title: what is shown.
        names: of the two bars.
        colours: of the two bars.
    """

    def __init__(
        self,
        area: pygame.Rect,
        title: str,
        names: tuple[str, str],
        colours: tuple[Colour, Colour],
        text: Text,
        unit: float,
    ) -> None:
        self.area, self.title, self.names, self.colours, self.text, self.unit = area, title, names, colours, text, unit
        self._columns = (area.right - round(62 * unit), area.right)
        self._bars = pygame.Rect(area.left + round(88 * unit), area.top + round(20 * unit), 0, 0)
        self._bars.width = self._columns[0] - round(44 * unit) - self._bars.left
        self._bars.height = area.bottom - self._bars.top

    def draw_frame(self, surface: pygame.Surface) -> None:
        """What does not change: title and names."""
        y = self.area.top + round(9 * self.unit)
        self.text.draw(surface, self.title, (self.area.left, y), round(12 * self.unit), INK)
        for x, name, colour in zip(self._columns, self.names, self.colours, strict=True):
            width = self.text.draw(surface, name, (x, y), round(11 * self.unit), MUTED, "rm")
            side = round(8 * self.unit)
            pygame.draw.rect(surface, colour, (x - width - side - round(4 * self.unit), y - side // 2, side, side))

    def draw(self, surface: pygame.Surface, rows: Sequence[BarRow], largest: float) -> None:
        """Bars on a scale that ends at the rounded `largest`."""
        pitch = self._bars.height / len(rows)
        thick = max(2, round(min(pitch * 0.36, 10 * self.unit)))
        size, full = round(11 * self.unit), round_up(largest)
        for i, row in enumerate(rows):
            middle = self._bars.top + round((i + 0.5) * pitch)
            self.text.draw(surface, row.name, (self.area.left, middle), size, MUTED)
            for side, (value, colour, x) in enumerate(zip(row.values, self.colours, self._columns, strict=True)):
                width = round(min(value / full, 1.0) * self._bars.width)
                top = middle - thick if side == 0 else middle
                pygame.draw.rect(surface, GRID, (self._bars.left, top, self._bars.width, thick - 1))
                pygame.draw.rect(surface, colour, (self._bars.left, top, width, thick - 1))
                self.text.draw(surface, label(value), (x, middle), size, INK, "rm")
