"""Stable-Baselines3's PPO on a native batch of the reference cell, against a fixed split.

Run: python examples/train_ppo.py [--steps 300000]      (needs the extra `learn`)
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecNormalize

import metalore

SEEDS = range(1000, 1032)  # for judging; training uses others


def mean_return(agent: PPO | np.ndarray) -> float:
    """Mean return over one episode for each of SEEDS; `agent` is a trained one, or one split for all steps."""
    envs = metalore.sb3.make_vec_env("smart-city", num_envs=len(SEEDS), seed=SEEDS.start)
    observations, returns = envs.reset(), np.zeros(len(SEEDS))
    done = np.zeros(len(SEEDS), bool)
    while not done.any():
        if isinstance(agent, PPO):
            actions, _ = agent.predict(observations, deterministic=True)
        else:
            actions = np.tile(agent, (len(SEEDS), 1))
        observations, rewards, done, _ = envs.step(actions)
        returns += rewards
    return float(returns.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300_000, help="environment steps to train for")
    steps = parser.parse_args().steps

    torch.set_num_threads(1)  # networks this small are slower on more
    envs = metalore.sb3.make_vec_env("smart-city", num_envs=64, seed=1)
    scaled = VecNormalize(envs, norm_obs=False)  # rewards of some tens a step are large for a network
    model = PPO("MlpPolicy", scaled, n_steps=100, batch_size=640, learning_rate=1e-3, device="cpu", seed=1)
    print(f"fixed split (0.5, 0.5): {mean_return(np.array([0.5, 0.5])):.1f}")
    print(f"PPO before training:    {mean_return(model):.1f}")
    model.learn(steps)
    print(f"PPO after {model.num_timesteps} steps: {mean_return(model):.1f}")


if __name__ == "__main__":
    main()
