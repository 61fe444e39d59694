"""What a picture shows, where, and what a film holds."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pygame
import pytest
from gymnasium.error import DependencyNotInstalled

from metalore.envs._course import COURSES, POINTS, Course, request_ages_s, user_rates
from metalore.envs._drawing import AGE_RAMP, GREY, LEVELS, RATE_RAMP, number, round_up, ticks
from metalore.envs.recording import Recorder
from metalore.envs.rendering import Renderer
from metalore.scenario import Scenario, load
from metalore.world import World

SPLIT = 0.3


def ran(world: World, renderer: Renderer | None = None, steps: int = 10, seed: int = 0) -> World:
    """An episode's first steps under a fixed split, observed by `renderer`."""
    world.reset(seed)
    if renderer:
        renderer.observe()
    for _ in range(steps):
        world.step(np.full((world.num_envs, world.num_stations, 2), SPLIT))
        if renderer:
            renderer.observe()
    return world


def picture(renderer: Renderer) -> np.ndarray:
    frame = renderer.draw()
    assert frame is not None
    return frame


def still(positions: list[tuple[float, float]], **more: object) -> Scenario:
    """Users who stay where they are, in the reference cell."""
    users = {"users.count": len(positions), "users.positions_m": positions, "users.mobility": {"kind": "static"}}
    return load("smart-city").updated(**{"sensors.count": 0, **users, **more})


def around(renderer: Renderer, x_m: float, y_m: float, reach: int = 12) -> np.ndarray:
    """The square of pixels around a place on the map, [2 reach + 1, 2 reach + 1, 3], in a picture drawn now."""
    ground = renderer._picture.map.ground
    city = renderer._watch.world.scenario.map
    x = round(ground.left + x_m / city.width_m * ground.width)
    y = round(ground.bottom - y_m / city.height_m * ground.height)
    return picture(renderer)[y - reach : y + reach + 1, x - reach : x + reach + 1]


def dot(renderer: Renderer, x_m: float, y_m: float) -> tuple[int, ...]:
    """Colour of a place on the map, in a picture drawn now."""
    return tuple(around(renderer, x_m, y_m, 0)[0, 0].tolist())


def colours(pixels: np.ndarray) -> int:
    """How many different ones there are."""
    return len(np.unique(pixels.reshape(-1, 3), axis=0))


# -- frames ------------------------------------------------------------------------------------------------------------


def test_a_frame_is_an_image_of_the_size_asked_for() -> None:
    world = World("smart-city")
    for size in ((900, 600), (641, 487)):
        renderer = Renderer(world, size=size)
        ran(world, renderer, 3)
        frame = picture(renderer)
        assert frame.shape == (size[1], size[0], 3)
        assert frame.dtype == np.uint8
        assert colours(frame) > 100


def test_an_array_needs_no_display() -> None:
    world = World("smart-city")
    renderer = Renderer(world)
    ran(world, renderer, 2)
    picture(renderer)
    assert not pygame.display.get_init()


def test_frames_are_not_views_of_each_other() -> None:
    world = World("smart-city")
    renderer = Renderer(world)
    ran(world, renderer, 1)
    first = picture(renderer)
    kept = first.copy()
    world.step(np.full((1, 1, 2), SPLIT))
    assert (picture(renderer) != first).any()
    assert (first == kept).all()


@pytest.mark.parametrize("name", ["smart-city", "four-cells", "smart-city-small", "smart-city-large"])
def test_the_same_course_gives_the_same_frame_however_often_it_was_drawn(name: str) -> None:
    world = World(name)
    often, once = Renderer(world), Renderer(world)
    world.reset(1)
    for _ in range(25):
        for renderer in (often, once):
            renderer.observe()
        often.draw()
        world.step(np.full((1, world.num_stations, 2), SPLIT))
    assert (picture(often) == picture(once)).all()
    assert (picture(often) == picture(often)).all()


def test_a_new_episode_starts_a_new_picture() -> None:
    world = World("smart-city")
    used, fresh = Renderer(world), Renderer(world)
    ran(world, used, 30, seed=4)
    picture(used)
    world.reset(5)
    for _ in range(8):
        for renderer in (used, fresh):
            renderer.observe()
        world.step(np.full((1, 1, 2), SPLIT))
    assert (picture(used) == picture(fresh)).all()


def test_every_step_changes_the_picture() -> None:
    world = World("smart-city")
    renderer = Renderer(world)
    ran(world, renderer, 0)
    frames = [picture(renderer)]
    for _ in range(5):
        world.step(np.full((1, 1, 2), SPLIT))
        frames.append(picture(renderer))
    for before, after in pairwise(frames):
        assert (before != after).any()


def test_each_environment_of_a_batch_has_its_own_picture() -> None:
    world = World("smart-city", 3)
    renderers = [Renderer(world, env=i) for i in range(3)]
    world.reset(7)
    for _ in range(5):
        for renderer in renderers:
            renderer.observe()
        world.step(np.full((3, 1, 2), SPLIT))
    alone = World("smart-city")
    single = Renderer(alone)
    ran(alone, single, 5, seed=8)
    assert (picture(renderers[1]) == picture(single)).all()
    assert (picture(renderers[0]) != picture(single)).any()


# -- the map -----------------------------------------------------------------------------------------------------------


def test_users_stand_where_they_are_in_the_colour_of_their_rate() -> None:
    places = [(115.0, 100.0), (20.0, 180.0), (150.0, 10.0)]
    world = World(still(places))
    renderer = Renderer(world)
    ran(world, renderer, 1)
    rates = user_rates(world, 0)
    assert rates[0] > rates[1] > 0
    top = round_up(float(np.sort(rates)[-1]))
    for place, rate in zip(places, rates.tolist(), strict=True):
        assert dot(renderer, *place) == RATE_RAMP[round(rate / top * (LEVELS - 1))]


def test_where_a_user_is_not_there_is_no_dot() -> None:
    here, there = World(still([(30.0, 40.0)])), World(still([(90.0, 140.0)]))
    for world, at, away in ((here, (30.0, 40.0), (90.0, 140.0)), (there, (90.0, 140.0), (30.0, 40.0))):
        renderer = Renderer(world)
        ran(world, renderer, 1)
        assert dot(renderer, *at) in RATE_RAMP
        assert dot(renderer, *away) not in RATE_RAMP


def test_unattached_users_are_hollow() -> None:
    world = World(still([(60.0, 40.0)], **{"radio.snr_threshold": 1e30}))
    renderer = Renderer(world)
    ran(world, renderer, 2)
    assert min(dot(renderer, 60.0, 40.0)) > 240  # paper shows through
    ring = np.abs(around(renderer, 60.0, 40.0).astype(int) - GREY).max(axis=2) < 12
    assert ring.sum() > 10


def test_absent_users_are_not_drawn() -> None:
    gone = {"users.presence": {"kind": "churn", "mean_stay_steps": 1, "mean_absence_steps": 1e9}}
    seen = []
    for scenario in (still([(60.0, 40.0)]), still([(60.0, 40.0)], **gone)):
        world = World(scenario)
        renderer = Renderer(world)
        ran(world, renderer, 1)
        seen.append(colours(around(renderer, 60.0, 40.0)))
    assert not world.devices["present"].any()
    assert seen[0] > 10
    assert seen[1] == 1  # paper


def test_sensors_get_the_colour_of_their_age() -> None:
    places = [(40.0, 40.0), (160.0, 160.0)]
    change = {"users.count": 0, "sensors.count": 2, "sensors.placement": {"kind": "fixed", "positions_m": places}}
    world = World(load("smart-city").updated(**change))
    renderer = Renderer(world)
    world.reset(0)
    for _ in range(7):
        world.step(np.ones((1, 1, 2)))  # nothing for updates: the twin ages
        renderer.observe()
    assert (world.sensor_ages == 6).all()
    colour = AGE_RAMP[round(6 / round_up(6) * (LEVELS - 1))]
    for place in places:
        beside_the_number = around(renderer, *place)[12, 12 + 6]
        assert tuple(beside_the_number.tolist()) == colour


@pytest.mark.parametrize(
    "changes",
    [{"users.count": 0}, {"sensors.count": 0}, {"users.count": 0, "sensors.count": 0}, {"map.height_m": 900.0}],
)
def test_sparse_worlds_can_be_drawn(changes: dict[str, object]) -> None:
    world = World(load("smart-city").updated(**changes))
    renderer = Renderer(world)
    world.reset(0)
    picture(renderer)
    ran(world, renderer, 3)
    assert picture(renderer).shape == (600, 900, 3)


@pytest.mark.parametrize(("stations", "users", "sensors"), [(200, 400, 300), (7, 4000, 3500)])
def test_crowded_worlds_can_be_drawn(stations: int, users: int, sensors: int) -> None:
    places = np.random.default_rng(0).uniform(0, 1000, (stations, 2)).tolist()
    scenario = Scenario.model_validate(
        {
            "map": {"width_m": 1000, "height_m": 1000},
            "stations": [{"x_m": x, "y_m": y} for x, y in places],
            "users": {"count": users},
            "sensors": {"count": sensors, "placement": {"kind": "uniform"}},
        }
    )
    world = World(scenario)
    renderer = Renderer(world)
    ran(world, renderer, 2)
    frame = picture(renderer)
    x, y = world.user_positions[0, -1]
    assert dot(renderer, x, y) in RATE_RAMP
    rows = {row.name: row.values for row in renderer._picture._rows()}
    assert rows[f"{stations} stations"] == tuple(world.queue_lengths[0].sum(axis=0))
    assert frame.shape == (600, 900, 3)


@pytest.mark.parametrize("scheduler", ["resource-fair", "round-robin", "proportional-fair"])
def test_rates_are_those_the_world_transmitted_at(scheduler: str) -> None:
    world = ran(World(load("four-cells").updated(**{"radio.scheduler": scheduler})), steps=12)
    users = world.devices[0, :40]
    hz = world._frame.cells["hz_per_weight"][0, users["station"], 0]
    weight = np.ones(40) if scheduler == "resource-fair" else world.bodies["weight"][0, :40]
    rates = user_rates(world, 0)
    assert rates.max() > 0
    np.testing.assert_allclose(rates, hz * weight * users["efficiency"] / 1e6)


# -- the figures -------------------------------------------------------------------------------------------------------


def test_ages_are_those_of_the_jobs() -> None:
    world = ran(World("smart-city", job_log=True), steps=60)
    jobs = world.jobs()
    served = jobs[(jobs["kind"] == 0) & (jobs["completed"] >= 0)]
    aori, aosi = request_ages_s(world.episode_totals[0], 1.0)
    assert len(served) > 100
    assert aori == pytest.approx((served["completed"] - served["created"]).mean())
    assert aosi == pytest.approx(np.abs(served["created"] - served["update_created"]).mean())
    assert math.isnan(request_ages_s(np.zeros_like(world.step_totals[0]), 1.0)[0])


def test_the_course_holds_what_was_observed() -> None:
    world = World("smart-city")
    renderer = Renderer(world)
    world.reset(0)
    rewards, shares = [], []
    for i in range(20):
        world.step(np.full((1, 1, 2), i / 20))
        renderer.observe()
        renderer.observe()  # once more changes nothing
        rewards.append(float(world.reward[0]))
        shares.append(i / 20)
    watch = renderer._watch
    assert watch.reward_sum == pytest.approx(sum(rewards))
    assert [watch.course.value("compute", i) for i in range(20)] == pytest.approx(shares)
    assert watch.course.value("updates", 19) == world.queue_lengths[0, 0, 1]
    assert watch.course.bins == 20


def test_a_long_course_is_averaged() -> None:
    course = Course(1_000_000)
    row = [math.nan] * len(COURSES)
    for t in range(1, 40_001):
        row[0], row[2] = float(t), (1.0 if t % 2 else math.nan)
        course.add(t, row)
    assert course.span >= 40_000
    assert course.bins <= POINTS
    middles = [course.value("bandwidth", i) for i in range(course.bins)]
    expected = [i * course.stride + (course.stride + 1) / 2 for i in range(course.bins)]
    assert middles == pytest.approx(expected)
    assert course.value("aori", 3) == 1.0
    assert math.isnan(course.value("aosi", 3))


def test_numbers_are_short() -> None:
    shown = [number(v) for v in (0.0, -0.04, 7.26, -12.0, 99.96, 1234.0, 15_300.0, 2.5e6, math.nan)]
    assert shown == ["0.0", "0.0", "7.3", "−12.0", "100", "1234", "15.3k", "2.5M", "–"]
    assert number(3.0, signed=True) == "+3.0"
    assert [round_up(v) for v in (0.0, 0.3, 1.0, 3.0, 9.0, 11.0, 101.0)] == [1.0, 0.4, 1.0, 4.0, 10.0, 20.0, 200.0]
    assert ticks(200.0) == [0.0, 50.0, 100.0, 150.0, 200.0]


# -- a window ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    yield
    pygame.display.quit()


@pytest.mark.usefixtures("no_screen")
def test_a_window_shows_the_picture() -> None:
    world = World("smart-city")
    window, array = Renderer(world, mode="human", fps=1000), Renderer(world)
    ran(world, window, 0)
    for _ in range(3):
        world.step(np.full((1, 1, 2), SPLIT))
        array.observe()
        assert window.draw() is None
    shown = pygame.display.get_surface()
    assert shown is not None
    assert shown.get_size() == (900, 600)
    assert (pygame.surfarray.array3d(shown).swapaxes(0, 1) == picture(array)).all()
    window.close()
    window.close()
    assert not pygame.display.get_init()


@pytest.mark.usefixtures("no_screen")
def test_closing_the_window_ends_nothing_but_the_window() -> None:
    world = World("smart-city")
    renderer = Renderer(world, mode="human", fps=1000)
    ran(world, renderer, 0)
    renderer.draw()
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    for _ in range(3):
        world.step(np.full((1, 1, 2), SPLIT))
        assert renderer.draw() is None
    assert not pygame.display.get_init()
    renderer.close()


# -- what cannot be ----------------------------------------------------------------------------------------------------


def test_what_cannot_be_is_refused() -> None:
    world = World("smart-city")
    with pytest.raises(ValueError, match="rgb_array"):
        Renderer(world, mode="ansi")  # type: ignore[arg-type]  # the point of it
    with pytest.raises(ValueError, match="size is 20 x 20"):
        Renderer(world, size=(20, 20))
    with pytest.raises(ValueError, match="environments 0 to 0"):
        Renderer(world, env=1)


def test_a_missing_pygame_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygame", None)
    for name in ("_drawing", "_picture", "_map", "_charts"):
        monkeypatch.delitem(sys.modules, f"metalore.envs.{name}")
    with pytest.raises(DependencyNotInstalled, match=r"metalore\[render\]"):
        Renderer(World("smart-city"))


# -- films -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    world = World("smart-city")
    renderer = Renderer(world, size=(451, 301))
    ran(world, renderer, 0)
    out = [picture(renderer)]
    for _ in range(11):
        world.step(np.full((1, 1, 2), SPLIT))
        out.append(picture(renderer))
    return [*out, out[-1]]  # one that changes nothing counts as well


def films(path: Path) -> list[np.ndarray]:
    with closing(imageio.get_reader(path)) as reader:
        return [np.asarray(frame)[..., :3] for frame in reader]


# The reader leaves its pipe open.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("suffix", "tolerance"), [(".gif", 1.0), (".mp4", 6.0), (".webm", 6.0)])
def test_films_hold_every_frame(frames: list[np.ndarray], tmp_path: Path, suffix: str, tolerance: float) -> None:
    path = tmp_path / "new" / f"film{suffix}"
    with Recorder(path, fps=30) as film:
        for frame in frames:
            film.add(frame)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    read = films(path)
    assert len(read) == len(frames) == film.frames
    for was, now in zip(frames, read, strict=True):
        assert np.abs(was.astype(int) - now[:301, :451]).mean() < tolerance
    assert path.stat().st_size < 25_000 * len(frames)


def test_a_film_of_noise_survives(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 120, 160, 3)).astype(np.uint8)
    with Recorder(tmp_path / "noise.gif", fps=10) as film:
        for frame in noise:
            film.add(frame)
    for was, now in zip(noise, films(tmp_path / "noise.gif"), strict=True):
        assert np.abs(was.astype(int) - now).max() < 48


def test_a_gif_keeps_the_pace(frames: list[np.ndarray], tmp_path: Path) -> None:
    with Recorder(tmp_path / "film.gif", fps=30) as film:
        for frame in frames[:12]:
            film.add(frame)
    with closing(imageio.get_reader(tmp_path / "film.gif")) as reader:
        durations = [reader.get_meta_data(i)["duration"] for i in range(12)]
    assert sum(durations) == pytest.approx(400, abs=10)  # ms


@pytest.mark.parametrize("suffix", [".gif", ".mp4", ".webm"])
def test_an_interrupted_film_leaves_nothing(frames: list[np.ndarray], tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"film{suffix}"
    path.write_bytes(b"an older one")

    def interrupted() -> None:
        with Recorder(path) as film:
            for frame in frames:
                film.add(frame)
            raise KeyError("oops")

    with pytest.raises(KeyError, match="oops"):
        interrupted()
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"an older one"]


def test_a_recorder_refuses_what_cannot_be(frames: list[np.ndarray], tmp_path: Path) -> None:
    for name in ("film.avi", "film"):
        with pytest.raises(ValueError, match=r"\.gif, \.mp4 or \.webm"):
            Recorder(tmp_path / name)
    with pytest.raises(ValueError, match="positive"):
        Recorder(tmp_path / "film.gif", fps=0)
    with pytest.raises(ValueError, match="within its `with` block"):
        Recorder(tmp_path / "film.gif").add(frames[0])
    with pytest.raises(ValueError, match="no frame was added"), Recorder(tmp_path / "film.gif"):
        pass
    with Recorder(tmp_path / "film.mp4") as film:
        with pytest.raises(ValueError, match="float64"):
            film.add(frames[0] / 2)
        film.add(frames[0])
        with pytest.raises(ValueError, match="the first one was"):
            film.add(frames[0][1:])
    (tmp_path / "film.mp4").unlink()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("suffix", "module"), [(".gif", "PIL"), (".mp4", "imageio_ffmpeg")])
def test_a_missing_writer_is_named(monkeypatch: pytest.MonkeyPatch, suffix: str, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DependencyNotInstalled, match=r"metalore\[render\]"):
        Recorder(f"film{suffix}")
