"""Policies on disk: one folder of plain data. Nothing in it is ever unpickled.

======================  ================================================================================================
`policy.json`           format, settings, scenario, spaces, normalization, seed, versions, how training went
`weights.safetensors`   the network
`curve.csv`             the training curve
`checkpoint/`           where training can be taken up again
======================  ================================================================================================
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import metalore
from metalore.learn.adapter import training_env
from metalore.learn.algorithms import make_network
from metalore.learn.card import CARD, FORMAT, WEIGHTS, PolicyFolderError, read_card, write_atomically, write_json
from metalore.learn.policy import LearnedPolicy, Normalization
from metalore.learn.settings import TrainSettings
from metalore.scenario import Scenario, ScenarioError, validated
from metalore.world import World


def versions() -> dict[str, str]:
    """Of everything that decides about numbers."""
    import numba
    import stable_baselines3

    return {
        "metalore": metalore.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "torch": torch.__version__,
        "stable_baselines3": stable_baselines3.__version__,
    }


def save_policy(
    folder: Path,
    network: torch.nn.Module,
    settings: TrainSettings,
    scenario: Scenario,
    seed: int,
    normalization: Normalization | None,
    summary: dict[str, Any],
) -> None:
    """Write `policy.json` and the weights."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_atomically(folder / WEIGHTS, lambda path: save_file(weights, path))
    card = {
        "format": FORMAT,
        "settings": settings.model_dump(mode="json"),
        "scenario": scenario.model_dump(mode="json"),
        "stations": len(scenario.stations),
        "observation_size": int(network.observation_space.shape[0]),  # type: ignore[index]
        "seed": seed,
        "normalization": None
        if normalization is None
        else {
            "mean": normalization.mean.tolist(),
            "variance": normalization.variance.tolist(),
            "clip": normalization.clip,
            "epsilon": normalization.epsilon,
        },
        "versions": versions(),
        "training": summary,
    }
    write_json(folder / CARD, card)


def load_policy(folder: str | Path, scenario: Scenario | None = None) -> LearnedPolicy:
    """Load a trained policy.

    Args:
        folder: where it was saved.
        scenario: the worlds it is to act on; unset: those it was trained on.

    Raises:
        PolicyFolderError: no policy there, damaged or foreign files, or a scenario with other spaces.
    """
    folder = Path(folder)
    card = read_card(folder)
    try:
        settings = TrainSettings.model_validate_json(json.dumps(card["settings"]))
        trained_on = validated(card["scenario"])
        normalization = _normalization(card["normalization"])
    except (KeyError, TypeError, ValueError, ScenarioError) as error:
        reason = str(error).splitlines()[0]
        raise PolicyFolderError(f"{folder / CARD} is damaged: {reason}") from None
    _check_spaces(folder, card, settings, trained_on, scenario)
    world = World(trained_on, 1)
    env = training_env(world, settings, 0)
    network = make_network(settings, env.observation_space, env.action_space)
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise PolicyFolderError(f"{folder / WEIGHTS} does not hold this policy's network: {reason}") from None
    network.set_training_mode(False)
    name = f"{settings.algorithm}({folder.name})"
    return LearnedPolicy(network, settings, world.num_stations, normalization, name)


def _normalization(card: dict[str, Any] | None) -> Normalization | None:
    if card is None:
        return None
    mean, variance = (np.asarray(card[name], np.float64) for name in ("mean", "variance"))
    return Normalization(mean, variance, float(card["clip"]), float(card["epsilon"]))


def _check_spaces(
    folder: Path, card: dict[str, Any], settings: TrainSettings, trained_on: Scenario, scenario: Scenario | None
) -> None:
    if scenario is None or settings.agents == "shared" or len(scenario.stations) == len(trained_on.stations):
        return
    raise PolicyFolderError(
        f"{folder} was trained on {len(trained_on.stations)} station(s) and sees {card['observation_size']} numbers; "
        f"scenario {scenario.name!r} has {len(scenario.stations)} stations (only agents = 'shared' takes any number)"
    )
