"""What a cell sees and earns by itself: one row for each station of each environment, without loops over them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metalore.envs.observation import DEFAULT, FEATURES, PER_CELL, Observer
from metalore.world import World, totals_of


def nearest_stations(world: World, count: int) -> np.ndarray:
    """The `count` nearest other stations of each, nearest first, lowest number on a tie: [s, count].

    Where a city has fewer, the number of stations stands for nobody.
    """
    places = np.array([(station.x_m, station.y_m) for station in world.scenario.stations])
    squared = ((places[:, None] - places[None]) ** 2).sum(axis=-1)
    np.fill_diagonal(squared, np.inf)
    order = np.argsort(squared, axis=1, kind="stable")[:, :-1]  # without itself, which is infinitely far
    nearest = np.full((len(places), count), len(places))
    known = min(count, order.shape[1])
    nearest[:, :known] = order[:, :known]
    return nearest


def check_part(city_part: float) -> float:
    """`city_part` if it is one.

    Raises:
        ValueError: not in [0, 1].
    """
    if not 0.0 <= city_part <= 1.0:
        raise ValueError(f"city_part is {city_part}; it is a part, from 0 (own reward only) to 1 (the mean over cells)")
    return city_part


def own_rewards(world: World) -> np.ndarray:
    """Each station's part of the last step's reward, [e, s]; 0 for those that were down in it."""
    return np.where(_worked(world), world.station_rewards, 0.0)


def cell_rewards(world: World, city_part: float) -> np.ndarray:
    """What each cell gets for the last step, [e, s]: its own part of the reward mixed with the mean over cells.

    ``(1 - city_part) * own + city_part * mean``, the mean over the stations that were up in that step; 0 for those that
    were not.
    """
    own, worked = own_rewards(world), _worked(world)
    mean = own.sum(axis=1, keepdims=True) / np.maximum(worked.sum(axis=1, keepdims=True), 1)
    return np.where(worked, own + city_part * (mean - own), 0.0)  # exactly `own` where there is one cell


def _worked(world: World) -> np.ndarray:
    worked: np.ndarray = totals_of(world.station_totals, "up") > 0
    return worked


class CellObserver(Observer):
    """Turns worlds into one observation for each cell: [e * s, f] of float32, cells of an environment in a row.

    A cell sees its own features, then for each neighbour whether it is up and its features, then those of the city. All
    of a neighbour is zero if it is down, or if the city has no so many. A cell that is down sees zeros only.

    Args:
        world: the batch to look at.
        features: names of :data:`metalore.envs.FEATURES`; those of one cell come before those of the city.
        stack: how many observations to show, oldest first.
        neighbours: of how many of the nearest stations the features are shown too.

    Raises:
        ValueError: an unknown feature, a stack below 1, or a negative number of neighbours.
    """

    def __init__(self, world: World, features: Sequence[str] = DEFAULT, stack: int = 1, neighbours: int = 0) -> None:
        if neighbours < 0:
            raise ValueError(f"neighbours is {neighbours}; it is a number of stations, 0 for none")
        self.neighbours = neighbours
        self._nearest = nearest_stations(world, neighbours)
        super().__init__(world, features, stack)

    @property
    def up(self) -> np.ndarray:
        """Whether each cell's station is up now, boolean [e * s]."""
        flags: np.ndarray = self._world.zones["up"].reshape(-1) > 0
        return flags

    def first(self, chosen: np.ndarray | None = None) -> np.ndarray:
        """Observations after a reset of the chosen environments (boolean [e]; unset: all)."""
        return super().first(None if chosen is None else np.repeat(chosen, self._world.num_stations))

    def state(self) -> np.ndarray:
        """All that cells see of themselves and of the city, once: [e, s * (1 + own) + city]."""
        envs = self._world.num_envs
        return np.concatenate([self._own().reshape(envs, -1), self._city()], axis=1, dtype=np.float32)

    def _flat(self) -> np.ndarray:
        shown = super()._flat()
        shown[~self.up] = 0.0  # history of a station that is down is not shown either
        return shown

    def _now(self) -> np.ndarray:
        world, own = self._world, self._own()
        envs, stations, width = own.shape
        parts = [own[..., 1:]]
        if self.neighbours:
            nobody = np.zeros((envs, 1, width))
            seen = np.concatenate([own, nobody], axis=1)[:, self._nearest]
            parts.append(seen.reshape(envs, stations, -1))
        parts.append(self._city()[:, None] * world.zones["up"][..., None])
        return np.concatenate(parts, axis=-1, dtype=np.float32).reshape(envs * stations, -1)

    def _own(self) -> np.ndarray:
        """Whether each station is up, and its features; zeros if not: [e, s, 1 + own]."""
        up = (self._world.zones["up"] > 0)[..., None]
        parts = [FEATURES[name](self._world) for name in self.features if name in PER_CELL]
        seen: np.ndarray = np.concatenate([up, *parts], axis=-1, dtype=np.float64) * up
        return seen

    def _city(self) -> np.ndarray:
        world = self._world
        parts = [FEATURES[name](world).reshape(world.num_envs, -1) for name in self.features if name not in PER_CELL]
        return np.concatenate([np.zeros((world.num_envs, 0)), *parts], axis=1)
