"""Who is near whom, in constant time: points in tiles, searched ring by ring.

Tiles hold linked lists: `tiles[i]` is the first point in tile i, `points[j].next` the one after j, -1 ends. Points
are counted from `first`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from metalore.world.jit import njit
from metalore.world.layout import GRID
from metalore.world.radio import snr_at

POINTS_PER_TILE = 8


def grid_for(width_m: float, height_m: float, points: int) -> np.ndarray:
    """A grid record for `points` points spread over the map: about eight to a tile, tiles nearly square."""
    tiles = max(1.0, points / POINTS_PER_TILE)
    side = math.sqrt(width_m * height_m / tiles)
    grid = np.zeros(1, GRID)
    grid["nx"] = max(1, round(width_m / side)) if points > POINTS_PER_TILE * 2 else 1
    grid["ny"] = max(1, round(height_m / side)) if points > POINTS_PER_TILE * 2 else 1
    grid["tile_w"], grid["tile_h"] = width_m / grid["nx"], height_m / grid["ny"]
    grid["per_m_x"], grid["per_m_y"] = grid["nx"] / width_m, grid["ny"] / height_m
    return grid


@njit
def column_of(grid: Any, x: Any) -> Any:
    return max(0, min(grid.nx - 1, np.int64(x * grid.per_m_x)))


@njit
def row_of(grid: Any, y: Any) -> Any:
    return max(0, min(grid.ny - 1, np.int64(y * grid.per_m_y)))


@njit
def put(grid: Any, tiles: Any, points: Any, first: Any, index: Any) -> None:
    """Put a point into its tile."""
    point = points[first + index]
    tile = row_of(grid, point.y) * grid.nx + column_of(grid, point.x)
    point.next = tiles[tile]
    tiles[tile] = index


@njit
def _tile_on_ring(grid: Any, column: Any, row: Any, ring: Any, i: Any) -> Any:
    """The i-th of the 8 * ring tiles at (Chebyshev) distance `ring`, or -1 if it is off the map."""
    if ring == 0:
        return row * grid.nx + column
    side, along = i // (2 * ring), i % (2 * ring)
    if side == 0:
        x, y = column - ring + along, row - ring
    elif side == 1:
        x, y = column + ring, row - ring + along
    elif side == 2:
        x, y = column + ring - along, row + ring
    else:
        x, y = column - ring, row + ring - along
    if x < 0 or y < 0 or x >= grid.nx or y >= grid.ny:
        return -1
    return y * grid.nx + x


@njit
def _beyond_ring(grid: Any, column: Any, row: Any, ring: Any, x: Any, y: Any) -> Any:
    """No point outside the rings up to `ring` is nearer than this; infinite if nothing is outside."""
    least = np.inf
    if column - ring > 0:
        least = min(least, x - (column - ring) * grid.tile_w)
    if column + ring < grid.nx - 1:
        least = min(least, (column + ring + 1) * grid.tile_w - x)
    if row - ring > 0:
        least = min(least, y - (row - ring) * grid.tile_h)
    if row + ring < grid.ny - 1:
        least = min(least, (row + ring + 1) * grid.tile_h - y)
    return least - 1e-9  # rounding of tile borders


@njit
def nearest(grid: Any, tiles: Any, points: Any, first: Any, x: Any, y: Any) -> Any:
    """The two nearest points, and how far all others are at least.

    Returns:
        index and squared distance of the first (lowest index on a tie), index of the second, lower bound of the
        squared distance of the rest; -1 and infinite where there is no point.
    """
    column, row = column_of(grid, x), row_of(grid, y)
    best, second = np.int64(-1), np.int64(-1)
    best_d2 = second_d2 = third_d2 = np.inf
    for ring in range(max(grid.nx, grid.ny)):
        for i in range(max(1, 8 * ring)):
            tile = _tile_on_ring(grid, column, row, ring, i)
            j = tiles[tile] if tile >= 0 else -1
            while j >= 0:
                point = points[first + j]
                d2 = (point.x - x) ** 2 + (point.y - y) ** 2
                # Selections, not branches: which point wins cannot be predicted.
                wins = (d2 < best_d2) | ((d2 == best_d2) & (j < best))
                loser, loser_d2 = np.int64(best if wins else j), max(d2, best_d2)
                best, best_d2 = np.int64(j if wins else best), min(d2, best_d2)
                third_d2 = min(third_d2, max(loser_d2, second_d2))
                second = np.int64(loser if loser_d2 < second_d2 else second)
                second_d2 = min(loser_d2, second_d2)
                j = point.next
        bound = _beyond_ring(grid, column, row, ring, x, y)
        if bound > 0.0 and best_d2 < bound * bound:
            if second_d2 > bound * bound:
                second = np.int64(-1)
            third_d2 = min(third_d2, bound * bound)
            break
    return best, best_d2, second, third_d2


@njit
def nearest_to(anchor: Any, grid: Any, tiles: Any, points: Any, first: Any, x: Any, y: Any) -> Any:
    """Index and squared distance of the nearest point, remembering in `anchor` how far one may move before asking anew.

    If all but two points are farther than the nearest by a margin m, the nearest is one of the two while one moves by
    less than m / 2 (triangle inequality). An anchor with a `reach2` of 0 remembers nothing.
    """
    if (x - anchor.x) ** 2 + (y - anchor.y) ** 2 < anchor.reach2:
        best, other = np.int64(anchor.nearest), np.int64(anchor.second)
        point = points[first + best]
        best_d2 = (point.x - x) ** 2 + (point.y - y) ** 2
        if other < 0:
            return best, best_d2
        point = points[first + other]
        d2 = (point.x - x) ** 2 + (point.y - y) ** 2
        wins = (d2 < best_d2) | ((d2 == best_d2) & (other < best))
        return np.int64(other if wins else best), min(d2, best_d2)
    best, best_d2, second, third_d2 = nearest(grid, tiles, points, first, x, y)
    anchor.nearest, anchor.second, anchor.x, anchor.y = best, second, x, y
    margin = math.sqrt(third_d2) - math.sqrt(best_d2) if best >= 0 else 0.0
    anchor.reach2 = max(0.5 * margin - 1e-9, 0.0) ** 2
    return best, best_d2


@njit
def anything_within(grid: Any, tiles: Any, points: Any, first: Any, x: Any, y: Any, radius: Any) -> Any:
    """Whether a point lies nearer than `radius`."""
    for row in range(row_of(grid, max(0.0, y - radius)), row_of(grid, y + radius) + 1):
        for column in range(column_of(grid, max(0.0, x - radius)), column_of(grid, x + radius) + 1):
            j = tiles[row * grid.nx + column]
            while j >= 0:
                point = points[first + j]
                if (point.x - x) ** 2 + (point.y - y) ** 2 < radius * radius:
                    return True
                j = point.next
    return False


@njit
def strongest(
    setup: Any, grid: Any, tiles: Any, stations: Any, links: Any, kind: Any, bounds: Any, body: Any, scratch: Any
) -> Any:
    """Index and SNR of the station heard best (lowest index on a tie); -1 without any, NaN if a channel gave no number.

    The search goes outward and stops where even the strongest kind of station could not be heard better, so a user's
    channel must not get better with distance.
    """
    column, row = column_of(grid, body.x), row_of(grid, body.y)
    best, best_snr, valid = np.int64(-1), -1.0, True
    for ring in range(max(grid.nx, grid.ny)):
        for i in range(max(1, 8 * ring)):
            tile = _tile_on_ring(grid, column, row, ring, i)
            j = tiles[tile] if tile >= 0 else -1
            while j >= 0:
                d2 = (stations[j].x - body.x) ** 2 + (stations[j].y - body.y) ** 2
                snr = snr_at(setup, links[j, kind], d2, body.luck, scratch)
                valid = valid and 0.0 <= snr < np.inf
                if snr > best_snr or (snr == best_snr and j < best):
                    best, best_snr = np.int64(j), snr
                j = stations[j].next
        beyond = _beyond_ring(grid, column, row, ring, body.x, body.y)
        if beyond == np.inf:
            break
        reachable = 0.0
        for b in range(len(bounds)):
            reachable = max(reachable, snr_at(setup, bounds[b, kind], beyond * beyond, body.luck, scratch))
        if best_snr > reachable:
            break
    return best, best_snr if valid else np.nan
