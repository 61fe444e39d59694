"""Training is reproducible, resumes exactly, learns, and keeps its policies as plain data."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from metalore.learn import PRESETS, PolicyFolderError, TrainError, TrainSettings, load_policy, train
from metalore.learn.card import CARD, CHECKPOINT, CURVE, WEIGHTS
from metalore.policies.rollout import run_episodes
from metalore.scenario import Scenario, load
from metalore.world import World

CELL = load("smart-city", max_steps=20)
OFF_POLICY = {"learning_starts": 100, "buffer_size": 500, "batch_size": 32}


def small(algorithm: str = "ppo", **changes: object) -> TrainSettings:
    """A run of a few seconds at most."""
    hyperparameters = {"ppo": {"n_steps": 20, "batch_size": 80, "n_epochs": 2}, "a2c": {"n_steps": 10}}
    values = {
        "algorithm": algorithm,
        "steps": 800,
        "num_envs": 4,
        "actions": "grid" if algorithm == "dqn" else "centred",
        "evaluate_every": 160,
        "evaluation_episodes": 4,
        "hyperparameters": hyperparameters.get(algorithm, OFF_POLICY),
    }
    return TrainSettings.model_validate(values | changes)


class CtrlCError(Exception):
    """Stands for Ctrl-C."""


def interrupt_after(steps: int):
    def progress(done: int, evaluated: dict[str, float] | None) -> None:
        if done >= steps:
            raise CtrlCError

    return progress


def weights(folder: Path) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in load_file(folder / WEIGHTS).items()}


def assert_same_policy(first: Path, second: Path) -> None:
    ours, theirs = weights(first), weights(second)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)
    cards = [json.loads((folder / CARD).read_text()) for folder in (first, second)]
    assert cards[0]["normalization"] == cards[1]["normalization"]


@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "sac", "td3", "dqn"])
def test_resuming_gives_what_an_uninterrupted_run_gives(tmp_path: Path, algorithm: str) -> None:
    settings = small(algorithm)
    whole = train(CELL, settings, tmp_path / "whole", seed=3)
    with pytest.raises(CtrlCError):
        train(CELL, settings, tmp_path / "cut", seed=3, checkpoint_every=200, progress=interrupt_after(520))
    resumed = train(CELL, settings, tmp_path / "cut", seed=3, resume=True)
    assert_same_policy(tmp_path / "whole", tmp_path / "cut")
    assert [entry["return"] for entry in whole.curve] == [entry["return"] for entry in resumed.curve]
    assert resumed.steps == whole.steps


def test_same_seed_same_policy_other_seed_another(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(CELL, small(), tmp_path / name, seed=seed)
    assert_same_policy(tmp_path / "a", tmp_path / "b")
    with pytest.raises(AssertionError):
        assert_same_policy(tmp_path / "a", tmp_path / "c")


def test_threads_do_not_matter(tmp_path: Path) -> None:
    train(CELL, small(), tmp_path / "one", seed=1)
    train(CELL, small(), tmp_path / "two", seed=1, threads=2)
    assert_same_policy(tmp_path / "one", tmp_path / "two")


def test_learns_a_trivial_task(tmp_path: Path) -> None:
    """No sensors, more requests than the server takes at half its capacity: giving requests everything is right."""
    task = load(
        "smart-city",
        max_steps=20,
        **{
            "sensors.count": 0,
            "reward.throughput": 1.0,
            "reward.delay_penalty": 0.0,
            "stations.0.compute_gcycle_s": 35.0,
        },
    )
    settings = small(steps=16_000, num_envs=16, evaluate_every=4_000)
    settings = settings.model_copy(
        update={"hyperparameters": {"n_steps": 20, "batch_size": 160, "n_epochs": 5, "learning_rate": 1e-3}}
    )
    policy = train(task, settings, tmp_path / "p", seed=0).policy
    seeds = range(500, 520)
    learned = run_episodes(task, policy, seeds).episodes["return"].mean()
    world = World(task, 1)
    world.reset(seed=0)
    from metalore.policies import Fixed

    all_of_it = run_episodes(task, Fixed(1.0, 1.0), seeds).episodes["return"].mean()
    half = run_episodes(task, Fixed(0.5, 0.5), seeds).episodes["return"].mean()
    assert learned > half + 0.8 * (all_of_it - half)


def test_a_saved_policy_acts_as_it_did(tmp_path: Path) -> None:
    result = train(CELL, small(stack=2, observation=("queue_lengths", "last_action")), tmp_path / "p", seed=1)
    best = max(entry["return"] for entry in result.curve)
    loaded = load_policy(tmp_path / "p")
    seeds = range(10**15, 10**15 + 4)
    assert run_episodes(CELL, loaded, seeds).episodes["return"].mean() == pytest.approx(best)


def test_decisions_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    train(CELL, small(stack=3), tmp_path / "p", seed=1)
    policy = load_policy(tmp_path / "p")
    alone = [run_episodes(CELL, policy, [seed]).episodes["return"][0] for seed in (1, 2, 3)]
    together = run_episodes(CELL, policy, [1, 2, 3]).episodes["return"]
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_stops_early_when_evaluation_does_not_improve(tmp_path: Path) -> None:
    settings = small(steps=100_000, patience=2, evaluate_every=80)
    settings = settings.model_copy(update={"hyperparameters": settings.hyperparameters | {"learning_rate": 1e-12}})
    result = train(CELL, settings, tmp_path / "p", seed=0)
    assert result.steps < 2_000
    assert (tmp_path / "p" / CARD).exists()


def test_interruption_leaves_a_policy_and_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CtrlCError):
        train(CELL, small(), tmp_path / "p", seed=0, checkpoint_every=160, progress=interrupt_after(400))
    assert load_policy(tmp_path / "p").name == "ppo(p)"
    assert (tmp_path / "p" / CHECKPOINT).is_dir()
    assert len((tmp_path / "p" / CURVE).read_text().splitlines()) >= 2


def test_nothing_is_pickled(tmp_path: Path) -> None:
    train(CELL, small("sac"), tmp_path / "p", seed=0, checkpoint_every=200)
    suffixes = {path.suffix for path in (tmp_path / "p").rglob("*") if path.is_file()}
    assert suffixes <= {".json", ".safetensors", ".csv"}


def test_folders_in_use_and_missing_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="no checkpoint to resume"):
        train(CELL, small(), tmp_path / "p", resume=True)
    train(CELL, small(), tmp_path / "p", seed=0)
    with pytest.raises(TrainError, match="holds a trained policy already"):
        train(CELL, small(), tmp_path / "p", seed=0)
    with pytest.raises(PolicyFolderError, match="another seed"):
        train(CELL, small(), tmp_path / "p", seed=1, resume=True)
    with pytest.raises(PolicyFolderError, match="another settings"):
        train(CELL, small(steps=900), tmp_path / "p", seed=0, resume=True)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policies") / "p"
    train(CELL, small(steps=80, evaluate_every=0), folder, seed=0)
    return folder


def copy_of(saved: Path, folder: Path) -> Path:
    folder.mkdir()
    for name in (CARD, WEIGHTS):
        (folder / name).write_bytes((saved / name).read_bytes())
    return folder


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(PolicyFolderError, match="holds no trained policy"):
        load_policy(tmp_path / "nowhere")


def test_other_spaces(saved: Path) -> None:
    with pytest.raises(PolicyFolderError, match=r"trained on 1 station.* has 4 stations"):
        load_policy(saved, load("four-cells"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("not json", "not valid JSON"),
        ('{"format": 99}', "format 99"),
        ("[]", "format None"),
        ('{"format": 1}', "damaged"),
    ],
)
def test_foreign_cards(saved: Path, tmp_path: Path, content: str, words: str) -> None:
    folder = copy_of(saved, tmp_path / "p")
    (folder / CARD).write_text(content)
    with pytest.raises(PolicyFolderError, match=words) as error:
        load_policy(folder)
    assert "\n" not in str(error.value)


def test_foreign_weights(saved: Path, tmp_path: Path) -> None:
    import pickle

    import torch

    folder = copy_of(saved, tmp_path / "p")
    (folder / WEIGHTS).write_bytes(pickle.dumps({"harm": 1}))
    with pytest.raises(PolicyFolderError, match="does not hold this policy's network"):
        load_policy(folder)
    save_file({"other": torch.zeros(3)}, folder / WEIGHTS)
    with pytest.raises(PolicyFolderError, match="does not hold this policy's network"):
        load_policy(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(PolicyFolderError, match="does not hold this policy's network"):
        load_policy(folder)


def test_policy_refuses_a_world_with_other_stations(saved: Path) -> None:
    with pytest.raises(ValueError, match="sets the shares of 1 station"):
        run_episodes(load("four-cells", max_steps=5), load_policy(saved), [0])


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_run(tmp_path: Path, name: str) -> None:
    settings = PRESETS[name].model_copy(update={"steps": 1, "evaluation_episodes": 1})
    scenario: Scenario = load("smart-city", max_steps=2)
    hyperparameters = dict(settings.hyperparameters)
    if "n_steps" in hyperparameters:
        hyperparameters |= {"n_steps": 4}
    if "batch_size" in hyperparameters:
        hyperparameters |= {"batch_size": 64}
    if settings.algorithm in ("sac", "td3", "dqn"):
        hyperparameters |= {"buffer_size": 1_000}
    if name == "published":
        hyperparameters |= {"n_steps": 64}
    train(scenario, settings.model_copy(update={"hyperparameters": hyperparameters}), tmp_path / "p")
    assert load_policy(tmp_path / "p", scenario).settings.algorithm == settings.algorithm


def test_an_algorithm_and_its_actions_must_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dqn needs actions = 'grid'"):
        train(CELL, small("dqn", actions="centred"), tmp_path / "p")
    with pytest.raises(ValueError, match="does not take these hyperparameters"):
        train(CELL, small(hyperparameters={"learning_speed": 1}), tmp_path / "q")


# -- a policy that cells share -----------------------------------------------------------------------------------------

CITY = load("four-cells", max_steps=20, **{"stations.0.outages_s": [[5, 12]]})


def shared(algorithm: str = "ppo", **changes: object) -> TrainSettings:
    view = {"agents": "shared", "num_envs": 2, "observation": ("queue_lengths", "progress"), "neighbours": 1}
    return small(algorithm, **view | {"city_part": 0.2, "stack": 2, "steps": 1_600} | changes)


@pytest.mark.parametrize("algorithm", ["ppo", "sac", "dqn"])
def test_resuming_a_shared_policy_gives_what_an_uninterrupted_run_gives(tmp_path: Path, algorithm: str) -> None:
    settings = shared(algorithm)
    whole = train(CITY, settings, tmp_path / "whole", seed=3)
    with pytest.raises(CtrlCError):
        train(CITY, settings, tmp_path / "cut", seed=3, checkpoint_every=400, progress=interrupt_after(1_000))
    resumed = train(CITY, settings, tmp_path / "cut", seed=3, resume=True)
    assert_same_policy(tmp_path / "whole", tmp_path / "cut")
    assert [entry["return"] for entry in resumed.curve] == [entry["return"] for entry in whole.curve]


@pytest.fixture(scope="module")
def saved_shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policies") / "shared"
    train(CITY, shared(), folder, seed=1)
    return folder


def test_a_shared_policy_acts_as_it_did(saved_shared: Path) -> None:
    curve = [float(row["return"]) for row in csv.DictReader((saved_shared / CURVE).read_text().splitlines())]
    seeds = range(10**15, 10**15 + 4)
    returns = run_episodes(CITY, load_policy(saved_shared), seeds).episodes["return"]
    assert returns.mean() == pytest.approx(max(curve))


def test_a_shared_policy_decides_for_each_cell_as_if_it_were_alone(saved_shared: Path) -> None:
    from metalore.envs.cells import CellObserver

    policy, world = load_policy(saved_shared), World(CITY, 3)
    observer = CellObserver(world, ("queue_lengths", "progress"), stack=2, neighbours=1)
    world.reset(5)
    shares, seen = policy(world), observer.first()
    for _ in range(8):  # station 0 is down by then
        for row, cell in zip(shares.reshape(-1, 2), seen, strict=True):
            np.testing.assert_allclose(row, policy.act(cell[None])[0], rtol=1e-5)
        world.step(shares)
        shares, seen = policy(world), observer.next()
    assert not seen[0].any()
    assert np.ptp(shares[:, 1:], axis=1).max() > 1e-4, "cells in other states are treated otherwise"


@pytest.mark.parametrize("stations", [1, 4, 30])
def test_a_shared_policy_acts_on_any_number_of_stations(saved_shared: Path, stations: int) -> None:
    places = [{"x_m": 100.0 + 200.0 * (i % 6), "y_m": 100.0 + 200.0 * (i // 6)} for i in range(stations)]
    where = {"map": {"width_m": 1200.0, "height_m": 1000.0}, "stations": places}
    city = load({"name": f"city-{stations}", "max_steps": 10, **where})
    episodes = run_episodes(city, load_policy(saved_shared, city), [1, 2]).episodes
    assert np.isfinite(episodes["return"]).all()


def test_settings_of_shared_agents_are_refused_for_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="are for agents = 'shared'"):
        train(CITY, small(neighbours=2), tmp_path / "p")


def test_a_card_that_says_otherwise_does_not_fit_its_weights(saved_shared: Path, tmp_path: Path) -> None:
    folder = copy_of(saved_shared, tmp_path / "p")
    card = json.loads((folder / CARD).read_text())
    card["settings"] |= {"neighbours": 3}
    (folder / CARD).write_text(json.dumps(card))
    with pytest.raises(PolicyFolderError, match="does not hold this policy's network") as error:
        load_policy(folder)
    assert "\n" not in str(error.value)


def test_shared_cells_learn_what_one_cell_learns(tmp_path: Path) -> None:
    """One cell under shared agents is one agent: the same policy to the last bit."""
    train(CELL, small(), tmp_path / "one", seed=1)
    train(CELL, small(agents="shared", city_part=0.5), tmp_path / "shared", seed=1)
    assert_same_policy(tmp_path / "one", tmp_path / "shared")
