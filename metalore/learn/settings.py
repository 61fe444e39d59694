"""What a training run is made of, and named presets."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ALGORITHMS = ("ppo", "a2c", "sac", "td3", "dqn")
"""Stable-Baselines3's algorithms by name; DQN acts on a grid of splits."""


class TrainSettings(BaseModel):
    """How to train. Frozen; saved with the policy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    algorithm: Literal["ppo", "a2c", "sac", "td3", "dqn"] = Field("ppo", description="What learns.")
    steps: int = Field(1_500_000, ge=1, description="Environment steps at most.")
    num_envs: int = Field(64, ge=1, description="Environments side by side.")
    agents: Literal["one", "shared"] = Field(
        "one",
        description="Who decides: one network for the whole city, or one that every cell uses for itself; then each "
        "cell's step counts.",
    )
    neighbours: int = Field(0, ge=0, description="Under agents = 'shared': how many nearest cells are shown too.")
    city_part: float = Field(
        0.0, ge=0, le=1, description="Under agents = 'shared': part of a cell's reward that is the mean over cells."
    )
    observation: tuple[str, ...] = Field(("queue_lengths",), description="Features, see metalore.envs.FEATURES.")
    stack: int = Field(1, ge=1, description="Observations shown at once.")
    compress: bool = Field(True, description="Show log(1 + x): queues grow by orders of magnitude.")
    normalize: bool = Field(True, description="Show features with mean 0 and variance 1, and scale rewards.")
    actions: Literal["centred", "shares", "grid"] = Field(
        "centred",
        description="What the network puts out: [-1, 1] around an even split, shares as they are, or a grid point.",
    )
    grid: int = Field(11, ge=2, le=101, description="Points per share under actions = 'grid'.")
    bootstrap_at_end: bool = Field(
        False,
        description="Whether an episode's end is a cut in something longer (the value of its last state is added) or "
        "the end of what counts, as it is when returns are compared.",
    )
    hyperparameters: dict[str, Any] = Field(default_factory=dict, description="Passed to Stable-Baselines3.")
    policy_kwargs: dict[str, Any] = Field(default_factory=dict, description="Likewise, for the network.")
    evaluate_every: int = Field(64_000, ge=0, description="Steps between evaluations; 0: only at the end.")
    evaluation_episodes: int = Field(64, ge=1, description="Episodes of an evaluation, on seeds of their own.")
    patience: int = Field(0, ge=0, description="Stop after this many evaluations without a better one; 0: never.")
    keep_best: bool = Field(True, description="Keep the policy of the best evaluation, not the last.")


_WIDE = {"log_std_init": 0.0, "net_arch": [64, 64]}
_DEFAULT = TrainSettings(
    steps=1_024_000,
    evaluate_every=32_000,
    evaluation_episodes=100,
    hyperparameters={
        "n_steps": 100,
        "batch_size": 1600,
        "n_epochs": 10,
        "learning_rate": 1e-3,
        "gamma": 1.0,
        "gae_lambda": 0.99,
    },
    policy_kwargs=_WIDE,
)
PRESETS: dict[str, TrainSettings] = {
    "default": _DEFAULT,
    "long-episodes": _DEFAULT.model_copy(
        update={
            "bootstrap_at_end": True,
            "hyperparameters": {**_DEFAULT.hyperparameters, "gamma": 0.995, "gae_lambda": 0.98},
        }
    ),
    "multi-cell": _DEFAULT.model_copy(
        update={
            "num_envs": 16,
            "agents": "shared",
            "observation": ("queue_lengths", "backlog_mbit", "backlog_gcycle", "progress"),
        }
    ),
    "published": TrainSettings(
        steps=10_000,
        num_envs=1,
        compress=False,
        normalize=False,
        actions="shares",
        bootstrap_at_end=True,
        evaluate_every=0,
        evaluation_episodes=100,
        keep_best=False,
    ),
    "a2c": TrainSettings(
        algorithm="a2c", hyperparameters={"n_steps": 25, "gamma": 1.0, "gae_lambda": 0.99}, policy_kwargs=_WIDE
    ),
    "sac": TrainSettings(
        algorithm="sac",
        steps=100_000,
        num_envs=16,
        evaluate_every=10_000,
        hyperparameters={"train_freq": 1, "gradient_steps": 1, "batch_size": 256, "learning_starts": 3_200},
    ),
    "td3": TrainSettings(
        algorithm="td3",
        steps=100_000,
        num_envs=16,
        evaluate_every=10_000,
        hyperparameters={"train_freq": 1, "gradient_steps": 1, "batch_size": 256, "learning_starts": 3_200},
    ),
    "dqn": TrainSettings(
        algorithm="dqn",
        steps=300_000,
        num_envs=16,
        actions="grid",
        evaluate_every=20_000,
        hyperparameters={
            "train_freq": 1,
            "gradient_steps": 1,
            "learning_starts": 3_200,
            "exploration_fraction": 0.3,
            "target_update_interval": 500,
        },
    ),
}
"""`default` is PPO as it trains well on the reference cell: no discount and no value beyond the episode's end, because
what is compared is the plain sum over an episode. `long-episodes` looks some 200 steps ahead and past the end instead:
the sum of all that is left is a noisy verdict on one decision, and two queues do not tell how much is left.
`multi-cell` is `default` for cells that share a network, which sees more. `published` is Stable-Baselines3's defaults
and 10,000 steps."""

PUBLISHED_SEEDS = (111, 222, 333, 444, 555)
