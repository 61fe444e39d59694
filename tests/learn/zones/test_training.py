"""Agents that size zones: they learn, training can stop and go on, and what is kept acts as what was trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from metalore.autoscale.agents.policy import CARD, WEIGHTS, AgentPolicy
from metalore.envs.zone_core import ZoneCore, ZoneSettings
from metalore.fluid import Demand, FluidZones
from metalore.learn.card import PolicyFolderError
from metalore.learn.training import TrainError
from metalore.learn.zones.evaluation import agent_decides, evaluate_zones, keeps
from metalore.learn.zones.settings import PRESETS, ZoneTraining
from metalore.learn.zones.training import _Run, layers_of, train_zones

ENVIRONMENT = {"intervals": 20, "features": ["forecast", "allocation", "telemetry"]}
PPO = {"n_steps": 20, "batch_size": 64, "n_epochs": 2, "learning_rate": 1e-3, "gamma": 0.9}
DQN = {"learning_starts": 50, "train_freq": 1, "gradient_steps": 1, "batch_size": 32, "buffer_size": 500}


def training(**changes: Any) -> ZoneTraining:
    values = {
        "steps": 640, "rounds": 2, "num_envs": 8, "evaluation_envs": 6, "hidden": (16,), "environment": ENVIRONMENT,
        "hyperparameters": PPO,
    }  # fmt: skip
    return ZoneTraining.model_validate(values | changes)


KINDS = {
    "dqn": training(algorithm="dqn", hyperparameters=DQN, steps=320),
    "ppo": training(),
    "shared": training(agents="shared", num_envs=2),
    "independent": training(agents="independent", num_envs=2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_agent_and_a_stopped_run_goes_on_exactly(kind: str, demand: Demand, tmp_path: Path) -> None:
    whole = train_zones(demand, KINDS[kind], tmp_path / "whole", seed=3)
    stop = _Stop(after=1)
    with pytest.raises(KeyboardInterrupt):
        train_zones(demand, KINDS[kind], tmp_path / "cut", seed=3, progress=stop)
    resumed = train_zones(demand, KINDS[kind], tmp_path / "cut", seed=3, resume=True)
    strip = [{k: v for k, v in entry.items() if k != "wall_s"} for entry in whole.curve]
    assert strip == [{k: v for k, v in entry.items() if k != "wall_s"} for entry in resumed.curve]
    ours, theirs = (load_file(tmp_path / name / WEIGHTS) for name in ("whole", "cut"))
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


class _Stop:
    """Interrupts a run after so many rounds."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, done: int, entry: dict[str, float] | None) -> None:
        self.left -= entry is not None
        if self.left == 0 and entry is None:
            raise KeyboardInterrupt


@pytest.mark.parametrize("kind", KINDS)
def test_the_kept_agent_acts_as_the_trained_network(kind: str, demand: Demand, tmp_path: Path) -> None:
    run = _Run(demand, KINDS[kind], tmp_path, 1, "backlog-proportional", lambda done, entry: None)
    run.round()
    agent = AgentPolicy.load(tmp_path)
    seen = run.env.reset()
    masks = run.env.action_masks()
    shape = run.env.core.shape
    moves = agent.moves(run.env.core.observe(), run.env.core.mask())
    if kind == "dqn":
        with torch.no_grad():
            outputs = run.model.policy.q_net(torch.as_tensor(seen)).numpy()
        expected = np.where(masks, outputs, -np.inf).argmax(axis=1)
    else:
        expected, _ = run.model.predict(seen, deterministic=True, action_masks=masks)
    from metalore.autoscale.agents.ranges import MOVES

    np.testing.assert_array_equal(moves.reshape(-1, 3), MOVES[expected])
    assert shape == moves.shape[:2]


def test_it_learns_what_keeping_everything_does_not_know(demand: Demand, tmp_path: Path) -> None:
    """Zones begin with far too much; whoever lowers it is better off."""
    reward = {"latency": 0.0, "overload": 0.0, "loss": 0.0, "age": 0.0, "change": 0.0, "cost": 1.0}
    settings = ENVIRONMENT | {"reward": reward, "starts_anywhere": True}
    result = train_zones(
        demand, training(steps=6_400, environment=settings, num_envs=32, hyperparameters=PPO | {"batch_size": 128, "n_epochs": 4}),
        tmp_path / "agent", seed=1,
    )  # fmt: skip
    core = ZoneCore(FluidZones(demand, 16, single=True), ZoneSettings().updated(**settings))
    table = evaluate_zones({"agent": agent_decides(result.agent), "keep": keeps}, core, [7])
    mean = table.groupby("candidate")["cost"].mean()
    assert mean["agent"] < 0.8 * mean["keep"]


def test_independent_zones_share_nothing(demand: Demand, tmp_path: Path) -> None:
    run = _Run(demand, KINDS["independent"], tmp_path, 1, "backlog-proportional", lambda done, entry: None)
    rows = torch.as_tensor(run.env.reset())
    logits = run.model.policy.action_net(rows)
    logits[0].sum().backward()  # row 0 is of zone 0
    for layer in run.model.policy.action_net.layers:
        assert layer.weight.grad[0].abs().sum() > 0
        assert layer.weight.grad[1:].abs().sum() == 0
    assert layers_of(run.model)[0][0][0].shape == (3, 16, run.env.core.observer.size)


def test_a_shared_agent_acts_on_any_number_of_zones(demand: Demand, tmp_path: Path) -> None:
    result = train_zones(demand, KINDS["shared"], tmp_path / "agent", seed=1)
    many = demand.of_zones([0, 1, 2] * 5)
    core = ZoneCore(FluidZones(many), ZoneSettings().updated(**ENVIRONMENT))
    table = evaluate_zones({"agent": agent_decides(result.agent)}, core, [1])
    assert np.isfinite(table["reward"]).all()


def test_folders_in_use_and_other_runs_are_refused(demand: Demand, tmp_path: Path) -> None:
    train_zones(demand, KINDS["ppo"], tmp_path / "agent", seed=1)
    with pytest.raises(TrainError, match="holds a trained agent already"):
        train_zones(demand, KINDS["ppo"], tmp_path / "agent", seed=1)
    with pytest.raises(TrainError, match="no checkpoint to resume"):
        train_zones(demand, KINDS["ppo"], tmp_path / "none", seed=1, resume=True)
    with pytest.raises(PolicyFolderError, match="another seed"):
        train_zones(demand, KINDS["ppo"], tmp_path / "agent", seed=2, resume=True)
    with pytest.raises(TrainError, match="hyperparameters"):
        train_zones(demand, training(hyperparameters={"speed": 3}), tmp_path / "new", seed=1)


def test_presets_are_for_what_they_say() -> None:
    assert PRESETS["dqn"].algorithm == "dqn"
    assert PRESETS["shared"].agents == "shared"
    with pytest.raises(ValueError, match="Extra inputs"):
        ZoneTraining.model_validate({"pace": 3})


def test_a_damaged_agent_is_one_sentence(demand: Demand, tmp_path: Path) -> None:
    from metalore.autoscale import AutoscaleError

    train_zones(demand, KINDS["ppo"], tmp_path / "agent", seed=1)
    weights = (tmp_path / "agent" / WEIGHTS).read_bytes()
    (tmp_path / "agent" / WEIGHTS).write_bytes(weights[: len(weights) // 2])
    with pytest.raises(AutoscaleError, match="is damaged"):
        AgentPolicy.load(tmp_path / "agent")
    (tmp_path / "agent" / WEIGHTS).write_bytes(weights)
    card = json.loads((tmp_path / "agent" / CARD).read_text())
    (tmp_path / "agent" / CARD).write_text(json.dumps(card | {"observer": card["observer"] | {"recent": 5}}))
    with pytest.raises(AutoscaleError, match="do not fit"):
        AgentPolicy.load(tmp_path / "agent")
    (tmp_path / "agent" / CARD).write_text("{}")
    with pytest.raises(AutoscaleError, match="no card of the format"):
        AgentPolicy.load(tmp_path / "agent")
    with pytest.raises(AutoscaleError, match="holds no trained agent"):
        AgentPolicy.load(tmp_path / "nobody")
