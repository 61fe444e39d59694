"""Stable-Baselines3's algorithms by name."""

from __future__ import annotations

from typing import Any

from stable_baselines3 import A2C, DQN, PPO, SAC, TD3

from metalore.learn.settings import TrainSettings

_CLASSES: dict[str, Any] = {"ppo": PPO, "a2c": A2C, "sac": SAC, "td3": TD3, "dqn": DQN}


def make_network(settings: TrainSettings, observation_space: Any, action_space: Any) -> Any:
    """The untrained network of an algorithm, without what trains it."""
    network = _CLASSES[settings.algorithm].policy_aliases["MlpPolicy"]
    return network(observation_space, action_space, lambda _: 0.0, **settings.policy_kwargs)


def make_model(settings: TrainSettings, env: Any, seed: int, tensorboard: str | None = None) -> Any:
    """An untrained model on the CPU, where networks of this size train fastest.

    Raises:
        ValueError: an action form the algorithm cannot put out, or hyperparameters it does not know.
    """
    if (settings.algorithm == "dqn") != (settings.actions == "grid"):
        needed = "grid" if settings.algorithm == "dqn" else "centred' or 'shares"
        raise ValueError(f"{settings.algorithm} needs actions = '{needed}', not {settings.actions!r}")
    algorithm = _CLASSES[settings.algorithm]
    try:
        return algorithm(
            "MlpPolicy",
            env,
            seed=seed,
            device="cpu",
            tensorboard_log=tensorboard,
            policy_kwargs=dict(settings.policy_kwargs),
            **settings.hyperparameters,
        )
    except TypeError as error:
        raise ValueError(f"{settings.algorithm} does not take these hyperparameters: {error}") from None
