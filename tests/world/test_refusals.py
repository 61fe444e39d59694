"""What a world refuses, in one sentence that says what is wrong; nothing has happened then."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metalore.scenario import ScenarioError, load
from metalore.world import SIGNATURES, ExtensionError, World, WorldError

HALF = np.full((2, 1, 2), 0.5)


@pytest.fixture
def world() -> World:
    """Two environments after their third step of five."""
    world = World(load("smart-city", max_steps=5), 2)
    world.reset(seed=1)
    for _ in range(3):
        world.step(HALF)
    return world


def seen(world: World) -> list[bytes]:
    views = (world.t, world.shares, world.reward, world.step_totals, world.episode_totals, world.user_positions)
    return [view.tobytes() for view in (*views, world.queue_gcycle, world.devices["backlog"], world.seeds)]


def refusal(call: Callable[[], object], error: type[Exception] = WorldError) -> str:
    with pytest.raises(error) as caught:
        call()
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert len(sentence) > 20
    return sentence


# -- calls -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2,), (1, 1, 2), (2, 2, 2), (2, 1, 3), (2, 2), (2, 1, 2, 1)])
def test_shares_of_a_wrong_shape(world: World, shape: tuple[int, ...]) -> None:
    before = seen(world)
    sentence = refusal(lambda: world.step(np.full(shape, 0.5)))
    assert str(shape) in sentence
    assert "(2, 1, 2)" in sentence
    assert seen(world) == before


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, 1.1, -0.1, 1.001, -0.001])
@pytest.mark.parametrize("place", [(0, 0, 0), (1, 0, 1)])
def test_what_is_no_share(world: World, wrong: float, place: tuple[int, int, int]) -> None:
    before = seen(world)
    shares = HALF.copy()
    shares[place] = wrong
    assert "[0, 1]" in refusal(lambda: world.step(shares))
    assert seen(world) == before


@pytest.mark.parametrize(("given", "taken"), [(1 + 1e-7, 1.0), (-1e-7, 0.0)])
def test_rounding_of_a_share_is_trimmed(world: World, given: float, taken: float) -> None:
    world.step(np.full((2, 1, 2), given))
    assert (world.shares == taken).all()
    assert world.t.tolist() == [4, 4]


def test_shares_of_any_kind_of_number(world: World) -> None:
    """Lists, integers and single precision, laid out in any order, are numbers too."""
    worlds = [World(load("smart-city"), 2) for _ in range(5)]
    shares = np.array([[[0.25, 1.0]], [[0.5, 0.0]]])
    wide = np.zeros((2, 1, 4))
    wide[..., ::2] = shares
    given: list[Any] = [shares, shares.tolist(), shares.astype(np.float32), np.asfortranarray(shares), wide[..., ::2]]
    for w, one in zip(worlds, given, strict=True):
        w.reset(seed=1)
        w.step(one)
        assert (w.shares == shares).all()
        assert (w.step_totals == worlds[0].step_totals).all()
    world.step(np.ones((2, 1, 2), int))
    assert (world.shares == 1.0).all()


def test_a_step_before_the_first_reset() -> None:
    world = World("smart-city", 2)
    before = seen(world)
    assert "reset" in refusal(lambda: world.step(HALF))
    assert seen(world) == before


def test_a_step_of_a_world_that_was_left_out_of_the_first_reset() -> None:
    world = World("smart-city", 2)
    world.reset(seed=1, chosen=np.array([True, False]))
    world.step(HALF, np.array([True, False]))
    assert "reset" in refusal(lambda: world.step(HALF))


def test_a_step_after_the_end(world: World) -> None:
    for _ in range(2):
        world.step(HALF)
    assert world.ended.all()
    before = seen(world)
    sentence = refusal(lambda: world.step(HALF))
    assert "ended" in sentence
    assert "reset" in sentence
    assert seen(world) == before
    world.reset()
    world.step(HALF)


def test_one_that_has_ended_stops_the_batch_unless_it_is_left_out(world: World) -> None:
    first = np.array([True, False])
    for _ in range(2):
        world.step(HALF, first)
    assert world.ended.tolist() == [True, False]
    before = seen(world)
    assert "ended" in refusal(lambda: world.step(HALF))
    assert seen(world) == before
    world.step(HALF, ~first)
    assert world.t.tolist() == [5, 4]


@pytest.mark.parametrize("seeds", [[1], [1, 2, 3], []])
def test_wrong_number_of_seeds(world: World, seeds: list[int]) -> None:
    before = seen(world)
    assert f"{len(seeds)} seeds for 2" in refusal(lambda: world.reset(seeds))
    assert seen(world) == before


@pytest.mark.parametrize("seed", [-1, 2**64 - 1, 2**64, [0, -5], [2**64, 0]])
def test_seeds_out_of_range(world: World, seed: Any) -> None:
    """A batch of two takes seed and seed + 1."""
    before = seen(world)
    assert "2**64" in refusal(lambda: world.reset(seed))
    assert seen(world) == before


def test_wrong_number_of_flags(world: World) -> None:
    before = seen(world)
    for call in (lambda: world.step(HALF, np.ones(3, bool)), lambda: world.reset(1, np.ones(1, bool))):
        assert "2 worlds" in refusal(call)
    assert seen(world) == before


def test_sizes_of_a_batch() -> None:
    assert "num_envs is 0" in refusal(lambda: World("smart-city", 0))
    assert "num_envs is -3" in refusal(lambda: World("smart-city", -3))
    assert "threads is 0" in refusal(lambda: World("smart-city", 1, threads=0))


def test_jobs_without_a_log(world: World) -> None:
    assert "job_log=True" in refusal(world.jobs)


def test_states_of_another_scenario(world: World) -> None:
    other = World("smart-city-small", 2)
    other.reset(seed=1)
    before = seen(world)
    assert "same scenario" in refusal(lambda: world.copy_state(other, [0, 1]))
    assert seen(world) == before


def test_unknown_scenario() -> None:
    assert "'smart-city'" in refusal(lambda: World("smart-cty"), ScenarioError)


# -- traces ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("time_s,user,x_m\n0,0,1\n", "time_s,user,x_m,y_m"),
        ("time_s,user,x_m,y_m\n0,0,1,1\n", "no row for user 1"),
        ("time_s,user,x_m,y_m\n0,0,1,1\n0,1,1,300\n", "leaves the map"),
        ("time_s,user,x_m,y_m\n0,0,1,1\n0,1,1,east\n", "no number"),
        ("time_s,user,x_m,y_m\n0,0,1,1\n0,1,1\n", "cannot be read"),
    ],
)
def test_traces(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(text)
    scenario = load("smart-city", users__count=2, users__mobility={"kind": "trace", "file": str(file)})
    sentence = refusal(lambda: World(scenario), ScenarioError)
    assert words in sentence
    assert str(file) in sentence


def test_a_trace_that_is_not_there() -> None:
    scenario = load("smart-city", users__mobility={"kind": "trace", "file": "nowhere.csv"})
    assert "nowhere.csv" in refusal(lambda: World(scenario), ScenarioError)


# -- functions of the user ---------------------------------------------------------------------------------------------


def function_of(point: str, body: str) -> Callable[..., Any]:
    """A plain function with the parameters of an extension point; `body` is one expression."""
    scope: dict[str, Any] = {"math": math}
    exec(f"def mine({', '.join(SIGNATURES[point][0])}):\n    return {body}", scope)
    mine: Callable[..., Any] = scope["mine"]
    return mine


def run(point: str, body: str) -> None:
    """A world whose function is `body`; it must come through two steps."""
    world = World("smart-city", **{point: function_of(point, body)})  # type: ignore[arg-type]
    world.reset(seed=1)
    for _ in range(2):
        world.step(np.full((1, 1, 2), 0.5))


GOOD = {
    "channel": "100.0",
    "mobility": "x_m, y_m, m0, m1, m2, m3",
    "traffic": "1, 2.0, 3.0",
    "scheduler": "1.0",
}


@pytest.mark.parametrize("point", SIGNATURES)
def test_functions_that_are_fine(point: str) -> None:
    run(point, GOOD[point])


@pytest.mark.parametrize("point", SIGNATURES)
def test_functions_with_other_parameters(point: str) -> None:
    names = SIGNATURES[point][0]

    def mine(a: float, b: float) -> float:
        return a

    sentence = refusal(lambda: World("smart-city", **{point: mine}), ExtensionError)  # type: ignore[arg-type]
    for word in (point, "mine", "2 parameters", str(len(names)), *names):
        assert word in sentence


@pytest.mark.parametrize("point", SIGNATURES)
@pytest.mark.parametrize("what", [3.0, "text", math.sqrt, max])
def test_what_is_no_function(point: str, what: Any) -> None:
    sentence = refusal(lambda: World("smart-city", **{point: what}), ExtensionError)
    assert point in sentence
    assert "function" in sentence


@pytest.mark.parametrize("point", SIGNATURES)
@pytest.mark.parametrize("body", ["open('file')", "undefined_name + 1.0", "{}[1]", "'text'"])
def test_functions_that_cannot_be_compiled(point: str, body: str) -> None:
    sentence = refusal(lambda: run(point, body), ExtensionError)
    for word in (f"the {point} function mine", "cannot be compiled"):
        assert word in sentence


@pytest.mark.parametrize(("point", "body"), [("mobility", "x_m, y_m"), ("traffic", "1, 2.0"), ("traffic", "1.0")])
def test_functions_with_too_few_results(point: str, body: str) -> None:
    sentence = refusal(lambda: run(point, body), ExtensionError)
    assert f"returning {SIGNATURES[point][1]} numbers" in sentence


@pytest.mark.parametrize(
    ("point", "body"),
    [
        ("channel", "math.nan"),
        ("channel", "math.sqrt(-distance_m)"),
        ("mobility", "math.nan, y_m, m0, m1, m2, m3"),
        ("mobility", "x_m, -1.0, m0, m1, m2, m3"),
        ("mobility", "width_m + 1.0, y_m, m0, m1, m2, m3"),
        ("traffic", "1, -1.0, 3.0"),
        ("traffic", "1, 2.0, -3.0"),
        ("traffic", "1, math.nan, 3.0"),
        ("traffic", "1, 2.0, math.inf"),
        ("traffic", "2, 2.0, 3.0"),
        ("traffic", "math.nan, 2.0, 3.0"),
        ("scheduler", "-1.0"),
        ("scheduler", "math.nan"),
        ("scheduler", "math.inf"),
    ],
)
def test_functions_that_return_what_cannot_be(point: str, body: str) -> None:
    assert f"the {point} function" in refusal(lambda: run(point, body))


def test_only_one_kind_of_sensor_is_bad() -> None:
    """A mistake that one device of one environment makes, late, is found."""
    body = "1, (-1.0 if device == 20.0 and time_s == 30.0 else 2.0), 3.0"
    world = World("smart-city", 3, threads=2, traffic=function_of("traffic", body))
    world.reset(seed=1)
    for _ in range(30):
        world.step(np.full((3, 1, 2), 0.5))
    assert "Mbit >= 0" in refusal(lambda: world.step(np.full((3, 1, 2), 0.5)))
