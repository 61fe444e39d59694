"""One seed, one trajectory: alone or in a batch, on one thread or two, in any process, anew, pickled or copied."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import metalore
from metalore.scenario import Scenario, load
from metalore.world import World, totals_of
from metalore.world.layout import FIRST_OF_BATCH, Frame

STEPS = 40
VISIBLE = (
    *("t", "seeds", "episodes", "reward", "reward_terms", "step_totals", "episode_totals", "station_totals", "shares"),
    *("queue_lengths", "queue_gcycle", "attached", "user_positions", "sensor_positions", "sensor_ages"),
)
OF_DEVICES = ("backlog", "count", "completed", "attached", "present")
OF_BODIES = ("x", "y", "m0", "m1", "m2", "m3", "luck", "average_mbps", "arrived")
OF_ZONES = ("up", "pull", "request_factor", "data_factor", "compute_factor", "activity", "drift", "load")


def scenarios() -> dict[str, Scenario]:
    churn = {"kind": "churn", "mean_stay_steps": 10.0, "mean_absence_steps": 5.0}
    crowd = {
        "users__presence": churn,
        "users__mobility": {"kind": "gauss-markov", "speed_m_s": 20.0},
        "radio__scheduler": "proportional-fair",
        "buffers": {"device_jobs": 3, "station_jobs": 5},
    }
    street = {
        "radio__path_loss": "umi",
        "radio__association": "strongest",
        "radio__scheduler": "round-robin",
        "sensors__updates__timing": {"kind": "bernoulli", "probability": 0.6},
        "sensors__range_m": 40.0,
        "pairing": "completion",
        "stations.1.memory_mb": 400.0,
    }
    day = {
        "interval_s": 4.0,
        "start_hour": 17.0,
        "kinds": [{"activities": {"calm": 1.0, "rush": 1.0}}],
        "activities": [
            {"name": "calm", "mean_s": 8.0},
            {"name": "rush", "mean_s": 8.0, "pull": 3.0, "request_factor": 1.4, "data_factor": 1.5},
        ],
        "flash_crowds": {"per_day": 2000.0, "mean_s": 6.0},
        "drift": {"time_s": 20.0, "length_m": 200.0},
    }
    city = {
        "radio__path_loss": "umi",
        "radio__handover": {"margin_db": 2.0, "time_to_trigger_steps": 1},
        "radio__interference": {"kind": "co-channel", "reuse": 2},
        "users__mobility": {"kind": "attraction", "mean_stay_s": 4.0, "speed_min_m_s": 20.0, "speed_max_m_s": 60.0},
        "sensors__backhaul_steps": 2,
        "stations.2.outages_s": [(5.0, 12.0)],
        "failures": {"mean_between_s": 40.0, "mean_repair_s": 8.0},
        "city": day,
    }
    return {
        "city": load("four-cells", users__count=16, sensors__count=12, **city),
        "smart-city": load("smart-city"),
        "crowd": load("four-cells", users__count=13, sensors__count=9, **crowd),
        "street": load("four-cells", users__count=9, sensors__count=14, **street),
    }


@pytest.fixture(params=["smart-city", "crowd", "street", "city"])
def scenario(request: pytest.FixtureRequest) -> Scenario:
    return scenarios()[request.param]


Picture = dict[str, np.ndarray]


def picture(world: World) -> Picture:
    """Everything that can be seen of a batch, [e, ...] by name."""
    seen = {name: getattr(world, name).copy() for name in VISIBLE}
    seen |= {name: world.devices[name].copy() for name in OF_DEVICES}
    seen |= {name: world.bodies[name].copy() for name in OF_BODIES}
    seen |= {name: world.zones[name].copy() for name in OF_ZONES}
    here = world.devices["attached"] == 1  # what the others remember of their last station means nothing
    seen |= {name: np.where(here, world.devices[name], -1) for name in ("station", "efficiency")}
    return seen | {"device_backlog": world.device_backlog(), "waiting_age": world.waiting_age()}


def shares_for(seed: int, scenario: Scenario, steps: int = STEPS) -> np.ndarray:
    return np.random.default_rng([seed, 1]).random((steps, len(scenario.stations), 2))


def film(world: World, seeds: Sequence[int], steps: range = range(STEPS)) -> list[Picture]:
    """A picture now and after each step; environment i gets the shares that belong to `seeds[i]`."""
    shares = np.stack([shares_for(seed, world.scenario) for seed in seeds], axis=1)
    pictures = [picture(world)]
    for t in steps:
        world.step(shares[t])
        pictures.append(picture(world))
    return pictures


def episode(scenario: Scenario, seeds: Sequence[int], threads: int = 1, steps: range = range(STEPS)) -> list[Picture]:
    world = World(scenario, len(seeds), threads=threads)
    world.reset(seeds)
    return film(world, seeds, steps)


def assert_same(
    mine: list[Picture], theirs: list[Picture], at: object = slice(None), there: object = slice(None)
) -> None:
    """Bit by bit: environments `at` of one film are environments `there` of the other."""
    assert len(mine) == len(theirs)
    for t, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        for name in a:
            assert a[name][at].tobytes() == b[name][there].tobytes(), f"{name} in picture {t}"


def differ(mine: list[Picture], theirs: list[Picture]) -> bool:
    return any((a["user_positions"] != b["user_positions"]).all() for a, b in zip(mine, theirs, strict=True))


# -- batches, threads, processes ---------------------------------------------------------------------------------------


def test_alone_or_among_seven(scenario: Scenario) -> None:
    seeds = [5, 6, 7, 8, 9, 10, 2**64 - 1]
    together = episode(scenario, seeds)
    for i in (0, 3, 6):
        assert_same(episode(scenario, seeds[i : i + 1]), together, there=slice(i, i + 1))


def test_alone_or_among_4096(scenario: Scenario) -> None:
    world = World(scenario, 4096)
    world.reset(seed=100)
    assert world.seeds.tolist() == list(range(100, 4196))
    together = [picture(world)]
    shares = np.zeros((4096, world.num_stations, 2))
    chosen = [0, 1, 2047, 4095]
    for t in range(5):
        shares[chosen] = [shares_for(100 + i, scenario)[t] for i in chosen]
        world.step(shares)
        together.append(picture(world))
    for i in chosen:
        assert_same(episode(scenario, [100 + i], steps=range(5)), together, there=slice(i, i + 1))


@pytest.mark.parametrize("threads", [2, 3])
def test_threads(scenario: Scenario, threads: int) -> None:
    seeds = list(range(7))
    assert_same(episode(scenario, seeds), episode(scenario, seeds, threads))


def digest() -> str:
    """A hash over films of all scenarios; this module prints it when it is run."""
    total = hashlib.sha256()
    for scenario in scenarios().values():
        for seen in episode(scenario, [1, 2]):
            for name in sorted(seen):
                total.update(name.encode() + seen[name].tobytes())
    return total.hexdigest()


def test_processes() -> None:
    """Another process with other string hashes sees the same."""
    place = str(Path(metalore.__file__).parents[1])
    there = os.environ | {"PYTHONHASHSEED": "77", "PYTHONPATH": place}
    printed = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=True, env=there).stdout
    assert printed.strip() == digest()


# -- again, next, another ----------------------------------------------------------------------------------------------


def test_reset_again(scenario: Scenario) -> None:
    """Nothing of an episode, or of one with another seed, is left after a reset of the same instance."""
    world = World(scenario, 2)
    world.reset([3, 4])
    first = film(world, [3, 4])
    world.reset([8, 9])
    assert differ(film(world, [8, 9]), first)
    world.reset([3, 4])
    assert_same(film(world, [3, 4]), first)


def test_next_episode(scenario: Scenario) -> None:
    """Without a seed the next episode begins; the second of a seed is the same alone and in a batch, at any length."""
    world = World(scenario, 3)
    world.reset(seed=20)
    first = film(world, [20, 21, 22])
    world.reset()
    second = film(world, [20, 21, 22])
    assert world.episodes.tolist() == [1, 1, 1]
    assert world.seeds.tolist() == [20, 21, 22]
    assert differ(first, second)
    for i in range(3):
        alone = World(scenario)
        alone.reset(seed=20 + i)
        alone.step(np.zeros((1, alone.num_stations, 2)))
        alone.reset()
        assert_same(film(alone, [20 + i]), second, there=slice(i, i + 1))


def test_a_seed_starts_at_the_first_episode() -> None:
    world = World("smart-city-small")
    world.reset(seed=1)
    first = picture(world)
    world.reset()
    world.reset()
    assert world.episodes.tolist() == [2]
    world.reset(seed=1)
    assert world.episodes.tolist() == [0]
    assert_same([picture(world)], [first])


def test_seeds_differ(scenario: Scenario) -> None:
    films = [episode(scenario, [seed]) for seed in (0, 1, 2**32, 2**63)]
    for i, a in enumerate(films):
        for b in films[i + 1 :]:
            assert (a[0]["user_positions"] != b[0]["user_positions"]).all()
            assert a[-1]["episode_totals"].tolist() != b[-1]["episode_totals"].tolist()


def test_without_any_seed_worlds_differ() -> None:
    worlds = [World("smart-city-small", 2) for _ in range(2)]
    for world in worlds:
        world.reset()
    assert len({seed for world in worlds for seed in world.seeds.tolist()}) == 4


# -- pickles and copies ------------------------------------------------------------------------------------------------


def shaken(
    time_s: float, device: int, is_sensor: bool, u0: float, u1: float, u2: float, u3: float
) -> tuple[int, float, float]:
    """A user's traffic, at module level so that it can be pickled."""
    return (1 if u0 < 0.6 else 0), 60.0 * u1, 9.0 * u2


@pytest.mark.parametrize("threads", [1, 2])
def test_pickle_in_the_middle(scenario: Scenario, threads: int) -> None:
    world = World(scenario, 3, threads=threads, job_log=True, traffic=shaken)
    world.reset(seed=6)
    film(world, [6, 7, 8], range(20))
    again: World = pickle.loads(pickle.dumps(world))
    rest = range(20, STEPS)
    assert_same(film(again, [6, 7, 8], rest), film(world, [6, 7, 8], rest))
    for env in range(3):
        assert again.jobs(env).tobytes() == world.jobs(env).tobytes()
    for w in (world, again):
        w.reset()
    assert_same(film(again, [6, 7, 8]), film(world, [6, 7, 8]))


def test_pickle_before_the_first_reset() -> None:
    again: World = pickle.loads(pickle.dumps(World("smart-city-small")))
    with pytest.raises(ValueError, match="reset"):
        again.step(np.full((1, 1, 2), 0.5))


def test_copied_states_continue_as_their_origins(scenario: Scenario) -> None:
    """Into a batch of another size, over an episode that is under way, twice from one origin."""
    source, copy = World(scenario, 3), World(scenario, 4)
    source.reset(seed=30)
    film(source, [30, 31, 32], range(20))
    copy.reset(seed=99)
    film(copy, [99, 98, 97, 96], range(33))
    origin = [2, 0, 2, 1]
    copy.copy_state(source, origin)
    rest, seeds = range(20, STEPS), [30, 31, 32]
    copied = film(copy, [seeds[i] for i in origin], rest)
    assert_same(copied, film(source, seeds, rest), there=origin)
    copy.reset()
    source.reset()
    assert_same([picture(copy)], [picture(source)], there=origin)


def test_copied_states_keep_their_job_log() -> None:
    source, copy = World("smart-city", job_log=True), World("smart-city", job_log=True)
    source.reset(seed=1)
    copy.reset(seed=2)
    film(source, [1], range(20))
    film(copy, [2], range(10))
    copy.copy_state(source, [0])
    for world in (source, copy):
        film(world, [1], range(20, STEPS))
    assert copy.jobs().tobytes() == source.jobs().tobytes()


def test_a_world_can_be_shuffled(scenario: Scenario) -> None:
    world = World(scenario, 3, job_log=True)
    world.reset(seed=40)
    before = film(world, [40, 41, 42], range(20))[-1:]
    world.copy_state(world, [2, 0, 1])
    assert_same([picture(world)], before, there=[2, 0, 1])


def test_a_copy_is_no_view() -> None:
    source, copy = World("smart-city-small"), World("smart-city-small")
    source.reset(seed=1)
    copy.copy_state(source, [0])
    before = picture(source)
    copy.step(np.full((1, 1, 2), 0.5))
    assert_same([picture(source)], [before])


# -- some of a batch ---------------------------------------------------------------------------------------------------

CHOSEN = np.array([True, False, False, True, False])


def memory_of(world: World) -> dict[str, bytes]:
    """All memory of the environments that are not chosen, by array and field."""
    kept: dict[str, bytes] = {}
    for name in Frame._fields[Frame._fields.index(FIRST_OF_BATCH) :]:
        array = getattr(world._frame, name)
        if len(array) == len(CHOSEN):  # anything else is room that environments share
            for field in array.dtype.names or ("",):  # by field, without the padding between
                kept[f"{name}.{field}"] = (array[field] if field else array)[~CHOSEN].tobytes()
    assert len(kept) > 50
    return kept


@pytest.mark.parametrize("threads", [1, 2])
def test_steps_of_some_leave_the_others_alone(scenario: Scenario, threads: int) -> None:
    seeds = [1, 2, 3, 4, 5]
    world = World(scenario, 5, threads=threads, job_log=True)
    world.reset(seeds)
    film(world, seeds, range(10))
    before = memory_of(world)
    chosen = World(scenario, 2, job_log=True)
    chosen.copy_state(world, [0, 3])
    ahead = film(chosen, [1, 4], range(10, 20))
    shares = np.stack([shares_for(seed, scenario) for seed in seeds], axis=1)
    for t in range(10, 20):
        world.step(shares[t], CHOSEN)
    assert memory_of(world) == before
    assert_same([picture(world)], ahead[-1:], at=CHOSEN)
    assert world.t.tolist() == [20, 10, 10, 20, 10]
    rest = film(world, seeds, range(10, 11))[1:]
    others = World(scenario, 5)
    others.reset(seeds)
    assert_same(rest, film(others, seeds, range(11))[-1:], at=~CHOSEN, there=~CHOSEN)


def test_shares_of_the_others_stay() -> None:
    """`shares` are those of an environment's last step, also when others have stepped since."""
    world = World("smart-city", 2)
    world.reset(seed=1)
    world.step(np.full((2, 1, 2), 0.25))
    world.step(np.full((2, 1, 2), 0.75), np.array([True, False]))
    assert world.shares[:, 0].tolist() == [[0.75, 0.75], [0.25, 0.25]]


@pytest.mark.parametrize("threads", [1, 2])
def test_resets_of_some_leave_the_others_alone(scenario: Scenario, threads: int) -> None:
    seeds = [1, 2, 3, 4, 5]
    world = World(scenario, 5, threads=threads)
    world.reset(seeds)
    film(world, seeds, range(10))
    before, kept = memory_of(world), picture(world)
    world.reset(chosen=CHOSEN)
    assert world.episodes.tolist() == [1, 0, 0, 1, 0]
    world.reset([11, 12, 13, 14, 15], chosen=CHOSEN)
    assert world.seeds.tolist() == [11, 2, 3, 14, 5]
    assert memory_of(world) == before
    assert_same([picture(world)], [kept], at=~CHOSEN, there=~CHOSEN)
    fresh = World(scenario, 2)
    fresh.reset([11, 14])
    assert_same([picture(world)], [picture(fresh)], at=CHOSEN)


def test_nobody_is_chosen() -> None:
    world = World("smart-city-small", 2)
    world.reset(seed=1)
    before = picture(world)
    world.step(np.full((2, 1, 2), 0.5), np.zeros(2, bool))
    world.reset(chosen=np.zeros(2, bool))
    assert_same([picture(world)], [before])


def test_every_kind_of_thing_happens() -> None:
    """The scenarios above are not empty: jobs of both kinds complete, some are lost, people come and go."""
    films = {name: episode(s, [1, 2]) for name, s in scenarios().items()}
    for seen in films.values():
        for name in ("requests_completed", "updates_completed"):
            assert (totals_of(seen[-1]["episode_totals"], name) > 30).all()
    assert (totals_of(films["crowd"][-1]["episode_totals"], "requests_lost") > 0).all()
    assert len({p["present"].sum() for p in films["crowd"]}) > 3


if __name__ == "__main__":
    print(digest())
