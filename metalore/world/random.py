"""Random numbers without state: counter-based blocks and exact Poisson tables.

A draw is a function of (seed, episode, stream, step, device) alone, so a trajectory does not depend
on how many environments run beside it, on which thread, or in which order devices are visited.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from metalore.scenario import Size
from metalore.world.jit import njit

# Streams: one per purpose, so that no two purposes ever share a number.
TRAFFIC, MOBILITY, PRESENCE, PLACEMENT, DEPARTURE, LUCK, PHASE, ACTIVITY, DRIFT, FLASH, FAILURE, SETTING_OUT = range(12)
ANOTHER = 256
"""Added to a stream for the j-th further draw of the same purpose, device and step."""

POISSON, CONSTANT, EXPONENTIAL = range(3)

_MASK = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL_0, _WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)

ALIAS_DTYPE = np.dtype([("threshold", "u4"), ("alias", "i4")])
SIZE_DTYPE = np.dtype(
    [("mean", "f8"), ("minimum", "f8"), ("distribution", "i4"), ("bits", "i4"), ("offset", "i4"), ("lowest", "i4")],
    align=True,
)


@njit
def philox(seed: Any, step: Any, device: Any, stream: Any, episode: Any) -> Any:
    """Four 32-bit words of Philox4x32-10 (Salmon et al., SC 2011, "Parallel random numbers: as easy as 1, 2, 3").

    Key: the halves of `seed` (uint64); counter: (step, device, stream, episode), each below 2**32.
    """
    c0, c1, c2, c3 = np.uint64(step), np.uint64(device), np.uint64(stream), np.uint64(episode)
    k0, k1 = seed & _MASK, seed >> _32
    for _ in range(10):
        p0, p1 = _MULTIPLIER_0 * c0, _MULTIPLIER_1 * c2
        c0, c1, c2, c3 = (p1 >> _32) ^ c1 ^ k0, p1 & _MASK, (p0 >> _32) ^ c3 ^ k1, p0 & _MASK
        k0, k1 = (k0 + _WEYL_0) & _MASK, (k1 + _WEYL_1) & _MASK
    return c0, c1, c2, c3


@njit
def philox_row(seed: Any, step: Any, stream: Any, episode: Any, out: Any) -> None:
    """Words 0 to 2 of :func:`philox` for devices 0, 1, ... into `out` [3, d]: a loop that vectorizes."""
    for device in range(out.shape[1]):
        w0, w1, w2, _ = philox(seed, step, device, stream, episode)
        out[0, device], out[1, device], out[2, device] = np.uint32(w0), np.uint32(w1), np.uint32(w2)


@njit
def uniform(word: Any) -> Any:
    """A 32-bit word as a number strictly between 0 and 1."""
    return (np.float64(word) + 0.5) * (1.0 / 4294967296.0)


@njit
def normal_pair(u0: Any, u1: Any) -> Any:
    """Two independent standard normal numbers from two uniform ones (Box and Muller 1958)."""
    radius, angle = math.sqrt(-2.0 * math.log(u0)), 2.0 * math.pi * u1
    return radius * math.cos(angle), radius * math.sin(angle)


@njit
def unpacked(size: Any) -> Any:
    """A record of SIZE_DTYPE as numbers for :func:`draw_size`, to be read once and not for every draw."""
    rest = np.uint64(32 - size.bits)
    mask = (np.uint64(1) << rest) - np.uint64(1)
    return size.distribution, size.mean, size.minimum, rest, mask, np.uint64(size.offset), size.lowest


@njit
def draw_size(size: Any, aliases: Any, word: Any) -> Any:
    """A job's size from one word (uint64). `size`: as :func:`unpacked`; `aliases`: array of ALIAS_DTYPE."""
    distribution, mean, minimum, rest, mask, offset, lowest = size
    if distribution == POISSON:
        column = word >> rest
        entry = aliases[offset + column]
        other, column = np.int64(entry.alias), np.int64(column)
        # Without a branch: which of the two is drawn cannot be predicted.
        value = np.float64(lowest + other + (column - other) * np.int64((word & mask) < np.uint64(entry.threshold)))
    elif distribution == CONSTANT:
        value = mean
    else:
        value = -mean * math.log(uniform(word))
    return np.float64(np.float32(max(value, minimum)))


def poisson_table(mean: float) -> tuple[np.ndarray, int, int]:
    """Alias table (Walker 1977, Vose 1991) of a Poisson distribution, exact to 2**-32 per value.

    Args:
        mean: of the distribution.

    Returns:
        entries of ALIAS_DTYPE [n] (n a power of two), the number of bits that choose one, and the value of
        the first.
    """
    lowest, counts = _poisson_counts(mean)
    bits = max(1, math.ceil(math.log2(len(counts))))
    columns, capacity = 2**bits, 2 ** (32 - bits)
    left = counts + [0] * (columns - len(counts))
    table = np.zeros(columns, ALIAS_DTYPE)
    small = [c for c in range(columns) if left[c] < capacity]
    large = [c for c in range(columns) if left[c] >= capacity]
    while small:
        column = small.pop()
        if not large:
            raise AssertionError("counts do not add up to 2**32")
        donor = large[-1]
        table[column] = (left[column], donor)
        left[donor] -= capacity - left[column]
        if left[donor] < capacity:
            small.append(large.pop())
    for column in large:
        table[column] = (capacity, column)
    return table, bits, lowest


def _poisson_counts(mean: float) -> tuple[int, list[int]]:
    """Lowest value and, for it and each next one, its probability in units of 2**-32 (they add up exactly)."""
    if mean == 0:
        return 0, [2**32]
    reach = 10.0 * math.sqrt(mean) + 30.0  # beyond it less than 2**-33 lies
    values = range(max(0, math.floor(mean - reach)), math.ceil(mean + reach))
    log_mean = math.log(mean)
    counts = [round(math.exp(k * log_mean - mean - math.lgamma(k + 1)) * 2**32) for k in values]
    first = next(i for i, c in enumerate(counts) if c)
    last = len(counts) - next(i for i, c in enumerate(reversed(counts)) if c)
    kept = counts[first:last]
    mode = max(range(len(kept)), key=kept.__getitem__)
    kept[mode] += 2**32 - sum(kept)
    return values[first], kept


def size_tables(sizes: list[Size]) -> tuple[np.ndarray, np.ndarray]:
    """Records of SIZE_DTYPE for each size [n], and the alias entries they point into [a]."""
    records = np.zeros(len(sizes), SIZE_DTYPE)
    tables: list[np.ndarray] = [np.zeros(1, ALIAS_DTYPE)]
    kinds = {"poisson": POISSON, "constant": CONSTANT, "exponential": EXPONENTIAL}
    for record, size in zip(records, sizes, strict=True):
        record["mean"], record["minimum"] = size.mean, size.minimum
        record["distribution"] = kinds[size.distribution]
        if size.distribution == "poisson":
            table, record["bits"], record["lowest"] = poisson_table(size.mean)
            record["offset"] = sum(map(len, tables))
            tables.append(table)
    return records, np.concatenate(tables)


def words(seed: int, step: int, device: int, stream: int, episode: int) -> tuple[int, int, int, int]:
    """The four words of :func:`philox` at `step`, `device`, `stream` and `episode`, outside compiled code."""
    w0, w1, w2, w3 = philox(np.uint64(seed), step, device, stream, episode)
    return int(w0), int(w1), int(w2), int(w3)
