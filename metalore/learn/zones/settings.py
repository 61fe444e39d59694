"""What a training of agents that size zones is made of, and named presets."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

CITY_RANGES = {
    "cpu_cores": (0.25, 8.0, 0.25),
    "memory_mb": (256.0, 4096.0, 128.0),
    "bandwidth_mbps": (10.0, 400.0, 10.0),
}
"""For `city-30` with all its people, whose zones want up to 6 cores."""
DEPLOYED = ("forecast", "quantiles", "allocation", "load", "telemetry", "error", "calendar")
"""Features that the autoscaler can show too."""


class ZoneTraining(BaseModel):
    """How to train. Frozen; kept with the agent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    algorithm: Literal["dqn", "ppo"] = Field("ppo", description="What learns; PPO leaves out moves that are masked.")
    agents: Literal["one", "shared", "independent"] = Field(
        "one",
        description="One zone in each environment; or all zones of a city, with one network for all or one for each.",
    )
    steps: int = Field(1_000_000, ge=1, description="Zone-intervals in all.")
    rounds: int = Field(20, ge=1, description="Evaluations; the best agent counts, and training resumes after any.")
    num_envs: int = Field(64, ge=1, description="Environments side by side.")
    masked: bool = Field(True, description="Leave out moves that lead out of a range or budget.")
    environment: dict[str, Any] = Field(default_factory=dict, description="See metalore.envs.zone_core.ZoneSettings.")
    train_part: tuple[float, float] = Field((0.0, 0.6), description="Of the demand's time: episodes to learn from ...")
    validation_part: tuple[float, float] = Field((0.6, 0.75), description="... and to choose the best agent by.")
    evaluation_envs: int = Field(64, ge=1, description="Episodes of an evaluation; zones of a city count each.")
    hidden: tuple[int, ...] = Field((64, 64), description="Width of the network's layers.")
    hyperparameters: dict[str, Any] = Field(default_factory=dict, description="Passed to Stable-Baselines3.")


_FEATURES = {"features": list(DEPLOYED), "horizons": [1, 5, 10], "recent": 2, "latency_ahead": False, "intervals": 120}
_PPO = {
    "n_steps": 60,
    "batch_size": 1920,
    "n_epochs": 5,
    "learning_rate": 1e-3,
    "gamma": 0.95,
    "gae_lambda": 0.9,
    "ent_coef": 0.005,
}
PRESETS: dict[str, ZoneTraining] = {
    "dqn": ZoneTraining(
        algorithm="dqn",
        steps=1_000_000,
        environment=_FEATURES,
        hyperparameters={
            "buffer_size": 200_000,
            "learning_starts": 6_400,
            "train_freq": 1,
            "gradient_steps": 4,
            "batch_size": 256,
            "learning_rate": 5e-4,
            "n_steps": 5,
            "gamma": 0.9,
            "exploration_fraction": 0.4,
            "exploration_final_eps": 0.02,
            "target_update_interval": 6_400,
        },
    ),
    "ppo": ZoneTraining(environment=_FEATURES, hyperparameters=_PPO),
    "shared": ZoneTraining(
        agents="shared", num_envs=8, steps=1_500_000, environment=_FEATURES,
        hyperparameters=_PPO,
    ),
    "independent": ZoneTraining(
        agents="independent", num_envs=8, steps=1_500_000, environment=_FEATURES,
        hyperparameters=_PPO,
    ),
}  # fmt: skip
"""`dqn` and `ppo` learn on single zones, `shared` and `independent` on a whole city."""
