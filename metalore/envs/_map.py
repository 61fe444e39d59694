"""The map of a picture: stations, users and sensors where they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pygame

from metalore.envs._course import Watch
from metalore.envs._drawing import (
    AGE_RAMP,
    GREY,
    GRID,
    INK,
    LEVELS,
    MUTED,
    PAPER,
    RATE_RAMP,
    REQUESTS,
    RULE,
    UPDATES,
    Canvas,
    Colour,
    Text,
    disc,
    label,
    mast,
    mixed,
    peak,
    readable_on,
    round_up,
    ticks,
    tile,
)

LINES_UP_TO = 300
"""With more users than this, lines would hide what they connect."""
_PAIRS_UP_TO = 200_000
_REACHES_UP_TO = 60
_AGES_UP_TO = 64
_SYMBOLS_UP_TO = 3000
_NAMES_UP_TO = 6
_MASTS_UP_TO = 60

_ATTACHED_LINE = mixed(REQUESTS, PAPER, 0.6)
_PAIRED_LINE = mixed(UPDATES, PAPER, 0.45)
_FADED = 0.35
_FADED_FROM = 60


_LEFT, _BELOW = 34, 74
"""Room for ticks, and for ticks and the legend."""


def map_width(watch: Watch, height: int, unit: float) -> int:
    """Pixels that a map of the given height with its surroundings is wide."""
    city = watch.world.scenario.map
    return round((height - _BELOW * unit) * city.width_m / city.height_m + _LEFT * unit)


class CityMap:
    """Draws one environment to scale into `area`; north is up.

    Args:
        watch: what is drawn.
        area: pixels on the picture that map, ticks and legend may take.
        text: what draws text.
        unit: pixels that a length of 1 in the design takes.
    """

    def __init__(self, watch: Watch, area: pygame.Rect, text: Text, unit: float) -> None:
        self.watch, self.area, self.text, self.unit = watch, area, text, unit
        self.scenario = watch.world.scenario
        city = self.scenario.map
        left, below = self._px(_LEFT), self._px(_BELOW)
        self.scale = min((area.width - left) / city.width_m, (area.height - below) / city.height_m)
        width, height = max(2, round(city.width_m * self.scale)), max(2, round(city.height_m * self.scale))
        spare = area.height - below - height
        top = area.top + (spare // 2 if spare > self._px(40) else 0)
        self.ground = pygame.Rect(area.left + left + (area.width - left - width) // 2, top, width, height)
        self._legend_top = self.ground.bottom + self._px(30)
        self._stations = self.at(np.array([(s.x_m, s.y_m) for s in self.scenario.stations]))
        self._make_symbols()

    def _px(self, length: float) -> int:
        return max(1, round(length * self.unit))

    def _make_symbols(self) -> None:
        users, sensors = self.scenario.users.count, self.scenario.sensors.count
        radius = (6.5 if users <= 60 else 4.5 if users <= LINES_UP_TO else 2.5) * self.unit
        side = self._px(17 if sensors <= _AGES_UP_TO else 9 if sensors <= 300 else 5)
        edge = mixed(INK, PAPER, 0.1)
        self._user_symbols = [disc(radius, colour, 255, edge, 255, 1.1 * self.unit) for colour in RATE_RAMP]
        self._unattached = disc(radius, PAPER, 200, GREY, 255, 1.8 * self.unit)
        self._sensor_symbols = [tile(side, colour, mixed(colour, INK, 0.55)) for colour in AGE_RAMP]
        faded = _FADED if users > _FADED_FROM else 0.0
        self._attached_line, self._paired_line = mixed(_ATTACHED_LINE, PAPER, faded), mixed(_PAIRED_LINE, PAPER, faded)
        self._station = self._station_symbol(len(self.scenario.stations))

    def _station_symbol(self, stations: int) -> pygame.Surface:
        if stations <= _MASTS_UP_TO:
            return mast(self._px(34 if stations <= _NAMES_UP_TO else 22))
        return peak(self._px(11 if stations <= 300 else 8))

    # -- where -------------------------------------------------------------------------------------------------------

    def at(self, places_m: np.ndarray) -> np.ndarray:
        """Pixels [n, 2], whole numbers, of places on the map, metres [n, 2]."""
        corner = np.array([self.ground.left, self.ground.bottom])
        pixels: np.ndarray = np.rint(corner + places_m * (self.scale, -self.scale)).astype(np.int64)
        return pixels

    # -- what stays --------------------------------------------------------------------------------------------------

    def draw_ground(self, surface: pygame.Surface) -> None:
        """What does not change in an episode: the sheet, its scale, how far sensors see, the legend."""
        pygame.draw.rect(surface, PAPER, self.ground)
        self._draw_scale(surface)
        self._draw_reaches(surface)
        pygame.draw.rect(surface, RULE, self.ground, 1)
        self._draw_legend(surface)

    def _draw_scale(self, surface: pygame.Surface) -> None:
        city, ground, size = self.scenario.map, self.ground, self._px(11)
        shown = _shared_ticks(city.width_m, city.height_m)
        for x_m in shown:
            x = ground.left + round(x_m * self.scale)
            pygame.draw.line(surface, GRID, (x, ground.top), (x, ground.bottom - 1))
            self._draw_tick(surface, x, label(x_m) + (" m" if x_m == shown[-1] else ""))
        for y_m in _shared_ticks(city.height_m, city.width_m):
            y = ground.bottom - round(y_m * self.scale)
            pygame.draw.line(surface, GRID, (ground.left, y), (ground.right - 1, y))
            y = max(y, ground.top + self._px(5))
            if y_m > 0:
                self.text.draw(surface, label(y_m), (ground.left - self._px(6), y), size, MUTED, "rm")

    def _draw_tick(self, surface: pygame.Surface, x: int, name: str) -> None:
        half = self.text.width(name, self._px(11)) / 2
        x_text = min(x, self.ground.right - half)
        self.text.draw(surface, name, (x_text, self.ground.bottom + self._px(4)), self._px(11), MUTED, "mt")

    def _draw_reaches(self, surface: pygame.Surface) -> None:
        reach_m = self.scenario.sensors.range_m
        if reach_m is None or self.scenario.sensors.count > _REACHES_UP_TO:
            return
        ring = disc(reach_m * self.scale, UPDATES, 14, mixed(UPDATES, PAPER, 0.25), 150, 1.2 * self.unit)
        middle = ring.get_width() // 2
        surface.set_clip(self.ground)
        for x, y in self.at(self.watch.world.sensor_positions[self.watch.env]).tolist():
            surface.blit(ring, (x - middle, y - middle))
        surface.set_clip(None)

    def _draw_legend(self, surface: pygame.Surface) -> None:
        row, size = self._legend_top, self._px(11)
        half = (self.area.right - self.area.left) // 2
        self._bars = (
            self._draw_ramp(surface, self.area.left, row, "User: Mbit/s", RATE_RAMP, self._user_symbols),
            self._draw_ramp(surface, self.area.left + half, row, "Sensor: age in s", AGE_RAMP, self._sensor_symbols),
        )
        row += self._px(22)
        x = self.area.left + self._px(10)
        station = mast(self._px(20)) if len(self.scenario.stations) <= _MASTS_UP_TO else self._station
        for symbol, name in ((station, "station"), (self._unattached, "unattached user")):
            surface.blit(symbol, symbol.get_rect(center=(x, row)))
            x += self._px(14)
            x += self.text.draw(surface, name, (x, row), size, MUTED) + self._px(22)
        if self._lines():
            x = self._draw_line_key(surface, x, row, self._attached_line, "attached to")
        if self._pairs():
            x = self._draw_line_key(surface, x, row, self._paired_line, "nearest sensor")
        elif self.scenario.sensors.range_m is not None and self.scenario.sensors.count <= _REACHES_UP_TO:
            ring = disc(6 * self.unit, UPDATES, 30, mixed(UPDATES, PAPER, 0.25), 200, 1.2 * self.unit)
            surface.blit(ring, ring.get_rect(center=(x, row)))
            self.text.draw(surface, "reach of a sensor", (x + self._px(12), row), size, MUTED)

    def _draw_line_key(self, surface: pygame.Surface, x: int, y: int, colour: Colour, name: str) -> int:
        length = self._px(20)
        x -= self._px(6)
        pygame.draw.line(surface, colour, (x, y), (x + length, y), self._px(2))
        x += length + self._px(6)
        return x + self.text.draw(surface, name, (x, y), self._px(11), MUTED) + self._px(22)

    def _draw_ramp(
        self, surface: pygame.Surface, x: int, y: int, name: str, ramp: Sequence[Colour], symbols: list[pygame.Surface]
    ) -> pygame.Rect:
        symbol = symbols[LEVELS * 5 // 8]
        surface.blit(symbol, symbol.get_rect(center=(x + self._px(9), y)))
        x += self._px(22)
        x += self.text.draw(surface, name, (x, y), self._px(11), MUTED) + self._px(20)
        bar = pygame.Rect(x, y - self._px(5), self._px(72), self._px(10))
        for i in range(bar.width):
            colour = ramp[i * (LEVELS - 1) // max(1, bar.width - 1)]
            pygame.draw.line(surface, colour, (bar.left + i, bar.top), (bar.left + i, bar.bottom - 1))
        self.text.draw(surface, "0", (bar.left - self._px(4), y), self._px(11), MUTED, "rm")
        return bar

    # -- what moves --------------------------------------------------------------------------------------------------

    def _lines(self) -> bool:
        return 0 < self.scenario.users.count <= LINES_UP_TO

    def _pairs(self) -> bool:
        count = self.scenario.users.count * self.scenario.sensors.count
        return self._lines() and self.scenario.sensors.range_m is None and 0 < count <= _PAIRS_UP_TO

    def draw(self, canvas: Canvas) -> None:
        """Lines, sensors, stations, then users, over the ground."""
        world, env = self.watch.world, self.watch.env
        users = world.devices[env, : self.scenario.users.count]
        here = np.flatnonzero(users["present"])
        users, places, sensors = users[here], world.user_positions[env][here], world.sensor_positions[env]
        points = self.at(places)
        surface = canvas.surface
        self._draw_scales(surface)
        if self._pairs():
            apart = ((places[:, None] - sensors) ** 2).sum(axis=2)
            _draw_lines(surface, self._paired_line, points, self.at(sensors[apart.argmin(axis=1)]))
        if self._lines():
            attached = users["attached"] != 0
            stations = self._stations[users["station"][attached]]
            _draw_lines(surface, self._attached_line, points[attached], stations)
        self._draw_sensors(canvas, self.at(sensors))
        self._draw_stations(surface)
        self._draw_users(canvas, users["attached"] != 0, self.watch.rates[here], points)

    def _draw_scales(self, surface: pygame.Surface) -> None:
        usual, most = self.watch.rate_scale
        rate = round_up(usual)
        names = (label(rate) + ("+" if most > rate else ""), label(round_up(self.watch.largest_age)))
        for bar, name in zip(self._bars, names, strict=True):
            self.text.draw(surface, name, (bar.right + self._px(4), bar.centery), self._px(11), MUTED)

    def _draw_sensors(self, canvas: Canvas, points: np.ndarray) -> None:
        ages = self.watch.ages_s
        levels = _levels(ages, self.watch.largest_age)
        if len(points) > _SYMBOLS_UP_TO:
            _draw_dots(canvas, points, np.array(AGE_RAMP, np.uint8)[levels], self.ground)
            return
        _draw_symbols(canvas.surface, self._sensor_symbols, levels, points)
        if len(points) > _AGES_UP_TO:
            return
        for (x, y), level, age in zip(points.tolist(), levels.tolist(), ages.tolist(), strict=True):
            if age < 99.5:
                at = (x + 0.5, y + 0.5)
                colour = readable_on(AGE_RAMP[level])
                self.text.draw(canvas.surface, f"{age:.0f}", at, self._px(9), colour, "mm")

    def _draw_stations(self, surface: pygame.Surface) -> None:
        points = self._stations.tolist()
        width, height = self._station.get_size()
        surface.blits([(self._station, (x - width // 2, y - height // 2)) for x, y in points], False)
        if 1 < len(points) <= _NAMES_UP_TO:
            for i, (x, y) in enumerate(points):
                self.text.draw(surface, str(i), (x, y + height // 2 + self._px(6)), self._px(12), INK, "mm")

    def _draw_users(self, canvas: Canvas, attached: np.ndarray, rates: np.ndarray, points: np.ndarray) -> None:
        levels = np.where(attached, _levels(rates, self.watch.rate_scale[0]), LEVELS)
        if len(points) > _SYMBOLS_UP_TO:
            _draw_dots(canvas, points, np.array([*RATE_RAMP, GREY], np.uint8)[levels], self.ground)
            return
        _draw_symbols(canvas.surface, [*self._user_symbols, self._unattached], levels, points)


def _shared_ticks(extent: float, other: float) -> list[float]:
    """Ticks along one side of a map, as far apart as along the other."""
    step = ticks(max(extent, other))[1]
    return [i * step for i in range(int(extent / step + 1e-9) + 1)]


def _levels(values: np.ndarray, largest: float) -> np.ndarray:
    """Which colour of a ramp from 0 to the rounded largest value, for each."""
    levels = np.clip(values / round_up(largest), 0.0, 1.0) * (LEVELS - 1)
    return np.rint(levels).astype(np.int64)


def _draw_lines(surface: pygame.Surface, colour: Colour, starts: np.ndarray, ends: np.ndarray) -> None:
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        pygame.draw.aaline(surface, colour, start, end)


def _draw_symbols(
    surface: pygame.Surface, symbols: list[pygame.Surface], which: np.ndarray, points: np.ndarray
) -> None:
    width, height = symbols[0].get_size()
    corners = (points - (width // 2, height // 2)).tolist()
    surface.blits([(symbols[i], corner) for i, corner in zip(which.tolist(), corners, strict=True)], False)


def _draw_dots(canvas: Canvas, points: np.ndarray, colours: np.ndarray, within: pygame.Rect) -> None:
    """Squares of three pixels straight into the array: a symbol each would take too long."""
    xs = np.clip(points[:, 0], within.left + 1, within.right - 2)
    ys = np.clip(points[:, 1], within.top + 1, within.bottom - 2)
    for dx in (-1, 0, 1):
        for dy in (-1, 0, 1):
            canvas.pixels[ys + dy, xs + dx, :3] = colours
