"""Random numbers: the generator's known answers, the distributions drawn from it, and that nothing shares a number."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numba
import numpy as np
import pytest
from scipy import stats
from world.confidence import LEAST_P, assert_mean

from metalore.scenario import Size, load
from metalore.world import World
from metalore.world.random import (
    ANOTHER,
    DEPARTURE,
    LUCK,
    MOBILITY,
    PHASE,
    PLACEMENT,
    PRESENCE,
    TRAFFIC,
    draw_size,
    normal_pair,
    philox_row,
    poisson_table,
    size_tables,
    uniform,
    unpacked,
    words,
)

STREAMS = (TRAFFIC, MOBILITY, PRESENCE, PLACEMENT, DEPARTURE, LUCK, PHASE, TRAFFIC + ANOTHER, PRESENCE + ANOTHER)
SIDE = 8


def row(seed: int = 3, step: int = 0, stream: int = TRAFFIC, episode: int = 0, devices: int = 20_000) -> np.ndarray:
    """Words 0 to 2 of devices 0, 1, ... as numbers in (0, 1), [3, d]."""
    out = np.empty((3, devices), np.uint32)
    philox_row(np.uint64(seed), step, stream, episode, out)
    return (out + 0.5) / 2**32


def assert_independent(a: np.ndarray, b: np.ndarray) -> None:
    """Uniform pairs show no dependence, by a chi-square test on an 8 x 8 table and by correlation."""
    table = np.histogram2d(a, b, bins=SIDE, range=[[0, 1], [0, 1]])[0]
    assert stats.chisquare(table.ravel()).pvalue > LEAST_P
    assert stats.pearsonr(a, b).pvalue > LEAST_P


def assert_unrelated(a: np.ndarray, b: np.ndarray, bins: int = 4) -> None:
    """Pairs of any distribution show no dependence."""
    table = np.histogram2d(stats.rankdata(a), stats.rankdata(b), bins=bins)[0]
    assert stats.chi2_contingency(table).pvalue > LEAST_P


# -- the generator -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_known_answers(counter: tuple[int, ...], key: tuple[int, int], answer: tuple[int, ...]) -> None:
    """Those that come with the authors' Random123 (kat_vectors, philox4x32 10)."""
    step, device, stream, episode = counter
    assert words(key[0] | key[1] << 32, step, device, stream, episode) == answer


def test_a_row_holds_the_words_of_each_device() -> None:
    seed = 0x123456789ABCDEF0
    out = np.empty((3, 9), np.uint32)
    philox_row(np.uint64(seed), 4, MOBILITY, 2, out)
    assert [tuple(column) for column in out.T.tolist()] == [words(seed, 4, d, MOBILITY, 2)[:3] for d in range(9)]


def test_uniform_is_strictly_between_0_and_1() -> None:
    assert 0 < uniform(np.uint64(0)) < 2**-32
    assert 1 - 2**-32 < uniform(np.uint64(2**32 - 1)) < 1


@pytest.mark.parametrize("stream", STREAMS)
def test_uniform(stream: int) -> None:
    for word in row(stream=stream, devices=50_000):
        assert stats.kstest(word, "uniform").pvalue > LEAST_P


def test_words_of_a_block_are_independent() -> None:
    for a, b in itertools.combinations(row(), 2):
        assert_independent(a, b)


def test_streams_are_independent() -> None:
    """No two purposes share a number, whichever words they use."""
    for a, b in itertools.combinations(STREAMS, 2):
        for u, v in itertools.product(row(stream=a)[:2], row(stream=b)[:2]):
            assert_independent(u, v)


@pytest.mark.parametrize("step", [0, 1, 99, 2**31])
def test_steps_are_independent(step: int) -> None:
    for later in (1, 2, 7):
        assert_independent(row(step=step)[0], row(step=step + later)[0])


@pytest.mark.parametrize("distance", [1, 2, 10])
def test_devices_are_independent(distance: int) -> None:
    u = row(devices=40_000)[0]
    first = np.arange(len(u)) // distance % 2 == 0  # pairs without overlap
    first[-distance:] = False
    at = np.flatnonzero(first)
    assert_independent(u[at], u[at + distance])


@pytest.mark.parametrize("seed", [0, 1, 7, 2**32 - 1, 2**63])
def test_seeds_are_independent(seed: int) -> None:
    """Neighbours in particular: a batch takes seed, seed + 1, ...; and high halves count."""
    for other in (1, 2, 3, 2**31, 2**32):
        assert_independent(row(seed=seed)[0], row(seed=seed + other)[0])


@pytest.mark.parametrize("episode", [0, 1, 1000])
def test_episodes_are_independent(episode: int) -> None:
    for later in (1, 2, 5):
        assert_independent(row(episode=episode)[0], row(episode=episode + later)[0])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"seed": 1, "step": 2}, {"seed": 2, "step": 1}),
        ({"step": 1, "stream": MOBILITY}, {"step": 1, "episode": 1}),
        ({"step": 1}, {"episode": 1}),
        ({"seed": 1}, {"seed": 2**32}),
    ],
)
def test_coordinates_are_not_interchangeable(one: dict[str, int], other: dict[str, int]) -> None:
    assert_independent(row(**one)[0], row(**other)[0])


# -- distributions -----------------------------------------------------------------------------------------------------


def test_normal() -> None:
    u0, u1, _ = row(devices=50_000)
    pairs = np.array([normal_pair(a, b) for a, b in zip(u0, u1, strict=True)])
    for numbers in pairs.T:
        assert stats.kstest(numbers, "norm").pvalue > LEAST_P
    assert_independent(stats.norm.cdf(pairs[:, 0]), stats.norm.cdf(pairs[:, 1]))


@numba.njit
def _draw(size: np.void, aliases: np.ndarray, draws: np.ndarray, out: np.ndarray) -> None:
    for i in range(len(draws)):
        out[i] = draw_size(unpacked(size), aliases, np.uint64(draws[i]))


def sizes_of(size: Size, count: int = 200_000) -> np.ndarray:
    """Sizes as a job would get them, from as many different words."""
    records, aliases = size_tables([Size(mean=2.0), size])  # another one before it, so that offsets count
    draws, out = np.empty((3, count), np.uint32), np.empty(count)
    philox_row(np.uint64(11), 5, TRAFFIC, 0, draws)
    _draw(records[1], aliases, draws[1], out)
    return out


def poisson_probabilities(mean: float) -> tuple[np.ndarray, np.ndarray]:
    """Values that a table can give, and how many of the 2**32 words give each."""
    table, bits, lowest = poisson_table(mean)
    assert len(table) == 2**bits
    capacity = 2 ** (32 - bits)
    columns = np.arange(len(table))
    counts = np.bincount(columns, table["threshold"], len(table))
    counts += np.bincount(table["alias"], capacity - table["threshold"].astype(float), len(table))
    assert counts.sum() == 2**32
    kept = np.flatnonzero(counts)
    return lowest + kept, counts[kept]


@pytest.mark.parametrize("mean", [0.3, 5.0, 50.0, 1000.0])
def test_poisson_table_is_exact(mean: float) -> None:
    """Every value's share of the words is its probability, rounded; one takes what rounding leaves."""
    values, counts = poisson_probabilities(mean)
    off = np.sort(np.abs(counts - stats.poisson.pmf(values, mean) * 2**32))
    assert off[-2] <= 0.51
    assert off[-1] <= len(values)
    assert stats.poisson.cdf(values[0] - 1, mean) + stats.poisson.sf(values[-1], mean) < 1e-8
    # What rounding can do to the first two moments:
    reach = np.abs(values - mean).max()
    mean_of_table = values @ counts / 2**32
    variance = (values - mean_of_table) ** 2 @ counts / 2**32
    assert abs(mean_of_table - mean) <= len(values) * reach / 2**32
    assert abs(variance - mean) <= len(values) * reach**2 / 2**32


@pytest.mark.parametrize("mean", [0.3, 5.0, 50.0, 1000.0])
def test_poisson_draws(mean: float) -> None:
    drawn = sizes_of(Size(mean=mean, minimum=0.0))
    assert (drawn == np.floor(drawn)).all()
    edges = np.unique(stats.poisson.ppf(np.linspace(0.01, 0.99, 40), mean))  # classes of about 5000 draws
    classes = np.concatenate([edges, [np.inf]])
    expected = np.diff(stats.poisson.cdf(classes, mean), prepend=0.0) * len(drawn)
    observed = np.bincount(np.searchsorted(classes, drawn), minlength=len(classes))
    large = expected >= 5
    assert (
        stats.chisquare(observed[large], expected[large] / expected[large].sum() * observed[large].sum()).pvalue
        > LEAST_P
    )
    assert_mean(drawn, mean, 0.01)


def test_exponential_draws() -> None:
    drawn = sizes_of(Size(mean=7.0, distribution="exponential", minimum=0.0))
    assert stats.kstest(drawn, stats.expon(scale=7.0).cdf).pvalue > LEAST_P


def test_constant_draws_and_minimum() -> None:
    assert set(sizes_of(Size(mean=0.3, distribution="constant", minimum=0.0), 10)) == {float(np.float32(0.3))}
    assert set(sizes_of(Size(mean=0.0, minimum=0.0), 10)) == {0.0}
    raised = sizes_of(Size(mean=1.0, minimum=2.0))
    assert raised.min() == 2.0
    plain = sizes_of(Size(mean=1.0, minimum=0.0))
    assert (raised == np.maximum(plain, 2.0)).all()


# -- what other simulators got wrong: one purpose's numbers turn up in another -----------------------------------------

ENVS = 2000
WIDTH = 200.0


def city(**changes: object) -> World:
    """Many seeds of the reference cell, in which nothing is sent: what is created stays in its device."""
    world = World(load("smart-city", **({"radio__noise_w": 1e9} | changes)), ENVS)
    world.reset(seed=0)
    return world


def users_of(world: World) -> np.ndarray:
    return world.bodies[:, : world.scenario.users.count].copy()


def sensors_of(world: World) -> np.ndarray:
    return world.bodies[:, world.scenario.users.count :].copy()


def test_requests_do_not_depend_on_where_users_are() -> None:
    """With one generator for everything a user at x < 0.7 of the width asked at t = 0, and nobody else."""
    world = city()
    before = users_of(world)
    world.step(np.full((ENVS, 1, 2), 0.5))
    asked = world.devices["count"][:, : before.shape[1]] == 1
    for place in (before["x"], before["y"]):
        assert_2x2(place < 0.7 * WIDTH, asked)
    assert_mean(asked.ravel(), 0.7, 0.01)


def assert_2x2(a: np.ndarray, b: np.ndarray) -> None:
    table = [[np.sum(i & j) for j in (b, ~b)] for i in (a, ~a)]
    assert np.min(table) > 1000
    assert stats.chi2_contingency(table).pvalue > LEAST_P


def test_first_waypoints_are_not_where_users_start() -> None:
    users = users_of(city())
    assert (np.hypot(users["m0"] - users["x"], users["m1"] - users["y"]) > 1e-6).all()
    for place, target in itertools.product((users["x"], users["y"]), (users["m0"], users["m1"])):
        assert_unrelated(place.ravel(), target.ravel())


def test_later_waypoints_are_not_where_users_have_been() -> None:
    """With a step longer than the map's diagonal every step ends at a waypoint."""
    fast = {"kind": "random-waypoint", "speed_min_m_s": 300.0, "speed_max_m_s": 300.0}
    world = city(users__mobility=fast)
    visited = [users_of(world)]
    for _ in range(4):
        world.step(np.full((ENVS, 1, 2), 0.5))
        visited.append(users_of(world))
    for a, b in itertools.combinations(visited, 2):
        assert_unrelated(a["x"].ravel(), b["x"].ravel())
        assert_unrelated(a["x"].ravel(), b["y"].ravel())


def test_sensors_do_not_sit_where_users_start_or_walk() -> None:
    """User k and sensor k of a seed, as components with equal seeds would be paired."""
    world = city(sensors__count=10, sensors__placement={"kind": "uniform"})
    users, sensors = users_of(world), sensors_of(world)
    for x, y in ((users["x"], users["y"]), (users["m0"], users["m1"])):
        assert (np.hypot(x - sensors["x"], y - sensors["y"]) > 1e-6).all()
        assert_unrelated(x.ravel(), sensors["x"].ravel())
        assert_unrelated(y.ravel(), sensors["y"].ravel())


def test_neighbouring_seeds_share_no_stream() -> None:
    """Placement of one seed was mobility of the next but one."""
    users = users_of(city())
    for apart in (1, 2, 3):
        for name in ("x", "m0"):
            assert_unrelated(users["x"][:-apart].ravel(), users[name][apart:].ravel())
            assert not np.isclose(users["x"][:-apart], users[name][apart:], rtol=0, atol=1e-9).any()


@pytest.mark.parametrize(("pick", "name"), [(users_of, "x"), (users_of, "y"), (sensors_of, "x"), (sensors_of, "y")])
def test_first_positions_are_uniform(pick: Callable[[World], np.ndarray], name: str) -> None:
    places = pick(city(sensors__placement={"kind": "uniform"}))[name] / WIDTH
    assert stats.kstest(places.ravel(), "uniform").pvalue > LEAST_P
    assert_mean(places.mean(axis=1), 0.5, 0.01)


def test_ring_is_filled_uniformly() -> None:
    """Area, not radius, is uniform: squared distances are."""
    ring = {"kind": "ring", "min_distance_m": 20.0, "max_distance_m": 90.0, "spacing_m": 0.0}
    sensors = sensors_of(city(sensors__placement=ring))
    dx, dy = sensors["x"].ravel() - 100.0, sensors["y"].ravel() - 100.0
    area = (dx**2 + dy**2 - 20.0**2) / (90.0**2 - 20.0**2)
    angle = np.arctan2(dy, dx) / (2 * math.pi) % 1.0
    assert stats.kstest(area, "uniform").pvalue > LEAST_P
    assert stats.kstest(angle, "uniform").pvalue > LEAST_P
    assert_independent(area, angle)


def test_seeds_differ() -> None:
    """No two of 2000 seeds put anybody at the same place."""
    for places in (users_of(city())["x"], sensors_of(city())["x"]):
        assert len(np.unique(places)) > 0.999 * places.size  # 32 bits: few chance hits among 30,000
        assert len(np.unique(places, axis=0)) == ENVS
