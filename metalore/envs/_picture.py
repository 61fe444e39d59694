"""How a picture is laid out: header, map, and the figures beside it."""

from __future__ import annotations

import math

import numpy as np
import pygame

from metalore.envs._charts import BarChart, BarRow, Key, LineChart, Series, Tile, draw_tile, draw_tile_frame
from metalore.envs._course import Watch, request_ages_s, twin_age_s
from metalore.envs._drawing import (
    BANDWIDTH,
    COMPUTE,
    INK,
    MUTED,
    PAGE,
    PAPER,
    REQUESTS,
    RULE,
    UPDATES,
    Canvas,
    Text,
    label,
    mixed,
    number,
)
from metalore.envs._map import CityMap, map_width

DESIGN = (900, 600)
"""Pixels the layout is designed for; other sizes scale it."""
STATIONS_SHOWN = 6
_MAP_WIDTH = 488
_WIDTH = 380
"""What the legend of the map and the figures need at least."""


class Picture:
    """Draws what a :class:`Watch` has seen onto a canvas of `size` (width, height) pixels."""

    def __init__(self, watch: Watch, size: tuple[int, int]) -> None:
        self.watch, self.size = watch, size
        self.canvas, self._ground = Canvas(size), Canvas(size)
        self.unit = min(size[0] / DESIGN[0], size[1] / DESIGN[1])
        self.text = Text()
        self._episode = -1
        self._largest_bar = 0.0
        top, margin = self._px(56), self._px(16)
        room = pygame.Rect(margin, top, size[0] - 2 * margin, size[1] - top - self._px(8))
        left = max(self._px(_MAP_WIDTH), min(map_width(watch, room.height, self.unit), room.width - self._px(_WIDTH)))
        self.map = CityMap(watch, pygame.Rect(room.left, top, left, room.height), self.text, self.unit)
        right = room.left + left + margin
        self._lay_out_figures(pygame.Rect(right, top, room.right - right, room.height))

    def _px(self, length: float) -> int:
        return max(1, round(length * self.unit))

    def _lay_out_figures(self, area: pygame.Rect) -> None:
        gap = self._px(8)
        width = (area.width - 3 * gap) // 4
        self._tiles = [pygame.Rect(area.left + i * (width + gap), area.top, width, self._px(64)) for i in range(4)]
        top = area.top + self._px(64) + self._px(14)
        rows = len(self._rows())
        height = self._px(20 + rows * (24 if rows <= 2 else 20 if rows <= 5 else 16))
        self._bars = BarChart(
            pygame.Rect(area.left, top, area.width, height),
            "Jobs waiting now",
            ("requests", "updates"),
            (REQUESTS, UPDATES),
            self.text,
            self.unit,
        )
        top += height + self._px(12)
        self._charts = self._make_charts(pygame.Rect(area.left, top, area.width, area.bottom - top))

    def _make_charts(self, area: pygame.Rect) -> list[LineChart]:
        stations = self.watch.world.num_stations
        shares = "Share for requests" if stations == 1 else "Mean share for requests"
        # The first of two lines is the wider one, so that it shows where they coincide.
        waiting = [Series("device_requests", mixed(REQUESTS, PAPER, 0.45), 2.4)]
        waiting += [Series("device_updates", mixed(UPDATES, PAPER, 0.4), 1.2)]
        plans: tuple[tuple[str, list[Key], float | None], ...] = (
            (
                shares,
                [
                    Key("bandwidth", (Series("bandwidth", BANDWIDTH, 5.0),)),
                    Key("compute", (Series("compute", COMPUTE, 2.0),)),
                ],
                1.0,
            ),
            (
                "Age in s",
                [Key("AoRI", (Series("aori", REQUESTS, 3.4),)), Key("AoSI", (Series("aosi", UPDATES, 2.0),))],
                None,
            ),
            (
                "Jobs waiting",
                [
                    Key("in devices", tuple(waiting)),
                    Key("at stations", (Series("requests", REQUESTS, 3.4), Series("updates", UPDATES, 2.0))),
                ],
                None,
            ),
        )
        times = self._px(14)
        height = (area.height - times) // 3
        charts = []
        for i, (title, keys, fixed) in enumerate(plans):
            last = i == len(plans) - 1
            place = pygame.Rect(area.left, area.top + i * height, area.width, height + (times if last else 0))
            step_s = self.watch.world.scenario.step_s
            charts.append(LineChart(place, title, keys, self.text, self.unit, step_s, fixed, last))
        return charts

    # -- drawing -----------------------------------------------------------------------------------------------------

    def draw(self) -> None:
        """Draw the state of the world and its course onto the canvas."""
        watch, surface = self.watch, self.canvas.surface
        if watch.episode != self._episode:
            self._episode, self._largest_bar = watch.episode, 0.0
            self._draw_ground()
        surface.blit(self._ground.surface, (0, 0))
        self._draw_clock(surface)
        self.map.draw(self.canvas)
        for area, tile in zip(self._tiles, self._numbers(), strict=True):
            draw_tile(surface, area, tile, self.text, self.unit)
        rows = self._rows()
        self._largest_bar = max(self._largest_bar, *(value for row in rows for value in row.values))
        self._bars.draw(surface, rows, self._largest_bar)
        for chart in self._charts:
            chart.draw(surface, watch.course, watch.episode)

    def _draw_ground(self) -> None:
        surface, scenario = self._ground.surface, self.watch.world.scenario
        surface.fill(PAGE)
        x, y = self._px(16), self._px(22)
        x += self.text.draw(surface, self.text.fitted(scenario.name, self._px(18), self._px(300)), (x, y), self._px(18))
        x += self._px(12)
        room = self.size[0] - x - self._px(230)
        about = self.text.fitted(scenario.description, self._px(11), room) if room > self._px(60) else ""
        self.text.draw(surface, about, (x, y + self._px(2)), self._px(11), MUTED)
        self.map.draw_ground(surface)
        for area, tile in zip(self._tiles, self._numbers(), strict=True):
            draw_tile_frame(surface, area, tile, self.text, self.unit)
        self._bars.draw_frame(surface)
        for chart in self._charts:
            chart.draw_frame(surface)

    def _draw_clock(self, surface: pygame.Surface) -> None:
        world, margin = self.watch.world, self._px(16)
        t, steps = int(world.t[self.watch.env]), world.scenario.max_steps
        right, y = self.size[0] - margin, self._px(22)
        width = self.text.draw(surface, f"{label(t * world.scenario.step_s)} s", (right, y), self._px(18), INK, "rm")
        at = (right - width - self._px(12), y + self._px(2))
        self.text.draw(surface, f"step {t} of {steps}", at, self._px(11), MUTED, "rm")
        line = pygame.Rect(margin, self._px(40), self.size[0] - 2 * margin, self._px(3))
        pygame.draw.rect(surface, RULE, line)
        pygame.draw.rect(surface, INK, (line.left, line.top, round(line.width * t / steps), line.height))

    def _numbers(self) -> tuple[Tile, Tile, Tile, Tile]:
        world, env = self.watch.world, self.watch.env
        t, step_s = int(world.t[env]), world.scenario.step_s
        step, episode = world.step_totals[env], world.episode_totals[env]
        now, mean = request_ages_s(step, step_s), request_ages_s(episode, step_s)
        twin_now, twin_mean = twin_age_s(world, step, 1), twin_age_s(world, episode, t)
        reward = float(world.reward[env]) if t else math.nan
        return (
            Tile("AoRI", seconds(now[0]), f"mean {seconds(mean[0])}", REQUESTS),
            Tile("AoSI", seconds(now[1]), f"mean {seconds(mean[1])}", UPDATES),
            Tile("Age at twin", seconds(twin_now), f"mean {seconds(twin_mean)}", INK),
            Tile("Reward", number(reward, signed=True), f"sum {number(self.watch.reward_sum)}", MUTED),
        )

    def _rows(self) -> list[BarRow]:
        """Devices together, then each station, or all of them and the fullest."""
        queues = self.watch.world.queue_lengths[self.watch.env]
        devices = self.watch.device_jobs()
        rows = [BarRow("In devices", (devices[0], devices[1]))]
        count = len(queues)
        if count > STATIONS_SHOWN:
            fullest = int(np.argmax(queues.sum(axis=1)))
            totals = queues.sum(axis=0).tolist()
            most = queues[fullest].tolist()
            rows.append(BarRow(f"{label(count)} stations", (totals[0], totals[1])))
            rows.append(BarRow(f"Fullest: {fullest}", (most[0], most[1])))
            return rows
        for i, (requests, updates) in enumerate(queues.tolist()):
            rows.append(BarRow("At station" if count == 1 else f"At station {i}", (requests, updates)))
        return rows


def seconds(value: float) -> str:
    """A duration for a tile: 7.3 s, or a dash."""
    return f"{number(value)} s" if math.isfinite(value) else "–"
