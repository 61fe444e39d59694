"""What RLlib trains: a city as its multi-agent environment, and the network that all zones share. Needs Ray.

Axes: `b` batch, `z` zones, `f` features of a zone, `a` the 27 joint moves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium import spaces
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module import MultiRLModuleSpec, RLModuleSpec
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, ValueFunctionAPI
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from torch import Tensor, nn

from metalore.envs.zone_scaling_v0 import parallel_env
from metalore.learn.seeds import TRAINING_SEEDS

if TYPE_CHECKING:
    from metalore.learn.zones.rllib import RllibSettings

POLICY = "zone"
ROW, CITY, MASK = "row", "city", "mask"
"""Parts of an observation: the zone's own features [f], the city's [3 f], allowed moves [a]."""
MOST_WORKERS = 1000
"""So many seeds are kept for the workers of one start."""
FORBIDDEN = -1e30
"""Logit of a move that is not allowed. Not minus infinity, whose entropy is not a number."""
ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}


def city_of(rows: np.ndarray) -> np.ndarray:
    """Mean, least and most of each feature over zones, however many there are, [3 f] of rows [z, f]."""
    return np.concatenate([rows.mean(axis=0), rows.min(axis=0), rows.max(axis=0)])


class CityEnv(MultiAgentEnv):
    """:func:`metalore.envs.zone_scaling_v0.parallel_env` as RLlib wants it.

    Args:
        config: `env`, keyword arguments of the parallel environment; `seed` and `start`, from which a worker's seed is
            made. RLlib adds `worker_index`.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self._city = parallel_env(**config["env"])
        worker = getattr(config, "worker_index", 0)
        self._seed: int | None = worker_seed(config["seed"], config["start"], worker)
        self.agents = self.possible_agents = list(self._city.possible_agents)
        agent = self.agents[0]
        row: Any = self._city.observation_space(agent)
        moves: Any = self._city.action_space(agent)
        self.observation_spaces = dict.fromkeys(self.agents, observation_space(row, int(moves.n)))
        self.action_spaces = dict.fromkeys(self.agents, moves)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        """Begin the seed's next episode. RLlib's own seed is not taken: ranges of seeds here do not meet."""
        rows, infos = self._city.reset(seed=self._seed)
        self._seed = None
        return _seen(rows, infos), {}

    def step(self, action_dict: Mapping[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        """Resize, run an interval, observe, reward."""
        rows, rewards, terminated, truncated, infos = self._city.step(action_dict)
        over = all(truncated.values())
        return _seen(rows, infos), rewards, {**terminated, "__all__": False}, {**truncated, "__all__": over}, {}


def worker_seed(seed: int, start: int, worker: int) -> int:
    """The first seed of a worker's environment: of the run's range, and another for each start of the run."""
    return seed * TRAINING_SEEDS + (start * MOST_WORKERS + worker) % TRAINING_SEEDS


def observation_space(row: spaces.Box, moves: int) -> spaces.Dict:
    """Of one zone."""
    return spaces.Dict(
        {
            ROW: row,
            CITY: spaces.Box(float(row.low.min()), float(row.high.max()), (3 * row.shape[0],), np.float32),
            MASK: spaces.Box(0.0, 1.0, (moves,), np.float32),
        }
    )


def _seen(rows: Mapping[str, np.ndarray], infos: Mapping[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    city = city_of(np.stack(list(rows.values())))
    return {
        agent: {ROW: row, CITY: city, MASK: infos[agent]["action_mask"].astype(np.float32)}
        for agent, row in rows.items()
    }


class ActorCritic(TorchRLModule, ValueFunctionAPI, InferenceOnlyAPI):
    """One actor for all zones, each of which it sees alone, and a critic that sees the city while they train.

    MAPPO (Yu et al. 2022, https://arxiv.org/abs/2103.01955). Differently from the original: the critic sees the city as
    mean, least and most over zones, beside the zone's own row, and not all rows one after the other; so neither network
    depends on how many zones there are. No recurrence, and values are not normalized.

    `model_config` holds `hidden` (widths) and `activation` (of :data:`ACTIVATIONS`).
    """

    def setup(self) -> None:
        """Build both networks; linear layers with an activation between, so that the actor can be written down."""
        row, city = self.observation_space[ROW].shape[0], self.observation_space[CITY].shape[0]
        hidden, activation = self.model_config["hidden"], ACTIVATIONS[self.model_config["activation"]]
        self.actor = perceptron([row, *hidden, int(self.action_space.n)], activation, last_gain=0.01)
        self.critic = perceptron([row + city, *hidden, 1], activation, last_gain=1.0)

    def get_non_inference_attributes(self) -> list[str]:
        """Workers act, so the critic's weights are not sent to them."""
        return ["critic"]

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        seen = batch[Columns.OBS]
        return {Columns.ACTION_DIST_INPUTS: masked(self.actor(seen[ROW]), seen[MASK])}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Tensor:
        """Values [b] of zones in their cities."""
        seen = batch[Columns.OBS]
        values: Tensor = self.critic(torch.cat([seen[ROW], seen[CITY]], dim=-1)).squeeze(-1)
        return values


def masked(logits: Tensor, mask: Tensor) -> Tensor:
    """Logits [b, a] under which what is not allowed never happens."""
    return torch.where(mask > 0, logits, FORBIDDEN)


def perceptron(sizes: list[int], activation: type[nn.Module], last_gain: float) -> nn.Sequential:
    """Linear layers with orthogonal weights, as PPO likes to begin with; a small last gain makes all moves alike."""
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise(sizes)):
        last = i == len(sizes) - 2
        linear = nn.Linear(before, after)
        nn.init.orthogonal_(linear.weight, last_gain if last else math.sqrt(2))
        nn.init.zeros_(linear.bias)
        layers += [linear] if last else [linear, activation()]
    return nn.Sequential(*layers)


def configured(settings: RllibSettings, env: Mapping[str, Any], rows: int, seed: int, start: int) -> PPOConfig:
    """RLlib's PPO for a run.

    Args:
        settings: of the training.
        env: see :class:`CityEnv`.
        rows: intervals of cities in a round.
        seed: of the run.
        start: iterations that are done already.
    """
    spec = RLModuleSpec(
        module_class=ActorCritic,
        model_config={"hidden": list(settings.hidden), "activation": settings.activation},
    )
    return (
        PPOConfig()
        .environment(CityEnv, env_config={"env": {**env}, "seed": seed, "start": start}, disable_env_checking=True)
        .env_runners(num_env_runners=settings.workers, rollout_fragment_length=rows // settings.workers)
        .learners(num_learners=0)
        .multi_agent(policies={POLICY}, policy_mapping_fn=_shared)
        .rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs={POLICY: spec}))
        .training(
            lr=settings.learning_rate,
            gamma=settings.gamma,
            lambda_=settings.gae_lambda,
            clip_param=settings.clip,
            entropy_coeff=settings.entropy,
            num_epochs=settings.epochs,
            minibatch_size=settings.minibatch,
            train_batch_size_per_learner=rows,
            use_kl_loss=False,
            vf_loss_coeff=0.5,
            vf_clip_param=math.inf,
            grad_clip=settings.gradient,
            grad_clip_by="norm",
        )
        .reporting(metrics_num_episodes_for_smoothing=settings.episodes)
        .debugging(seed=seed, log_level="ERROR")
    )


def _shared(*_: Any, **__: Any) -> str:
    """All zones have one policy."""
    return POLICY
