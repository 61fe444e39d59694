"""Many environments in one compiled call: a native batch through Gymnasium.

Run: python examples/batch.py
"""

from __future__ import annotations

import time

import gymnasium
import numpy as np

NUM_ENVS, EPISODES = 256, 5


def main() -> None:
    envs = gymnasium.make_vec("metalore/SmartCity-v0", num_envs=NUM_ENVS, vectorization_mode="vector_entry_point")
    envs.action_space.seed(1)
    envs.reset(seed=1)  # environment i is the single environment with seed 1 + i
    print(f"{envs.num_envs} environments, actions {envs.action_space.shape}, {envs.metadata['autoreset_mode']}")

    # One split per environment, kept for all its episodes, so that returns can be compared.
    actions = envs.action_space.sample()
    returns, ended, steps, start = np.zeros(NUM_ENVS), 0, 0, time.perf_counter()
    while ended < EPISODES * NUM_ENVS:
        # The step after an episode's end resets that environment and its reward is 0 (autoreset mode NextStep).
        _, rewards, terminated, truncated, _ = envs.step(actions)
        returns += rewards
        ended += int((terminated | truncated).sum())
        steps += NUM_ENVS
    elapsed = time.perf_counter() - start

    means = returns / EPISODES
    best, worst = means.argmax(), means.argmin()
    print(f"{ended} episodes in {elapsed:.2f} s ({steps / elapsed:,.0f} environment steps a second, here and now)")
    print(f"best split  {actions[best].round(2)}: mean return {means[best]:.1f}")
    print(f"worst split {actions[worst].round(2)}: mean return {means[worst]:.1f}")
    envs.close()


if __name__ == "__main__":
    main()
