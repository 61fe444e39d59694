"""The reference cell under a random agent: the Gymnasium loop, and what an episode tells.

Run: python examples/quickstart.py
"""

from __future__ import annotations

import gymnasium


def main() -> None:
    # No import of metalore: its ids are known to Gymnasium once the package is installed.
    env = gymnasium.make("metalore/SmartCity-v0")
    env.action_space.seed(1)
    observation, info = env.reset(seed=1)
    print(f"queues at the station (requests, updates): {observation}; seed {info['seed']}")

    total, done = 0.0, False
    while not done:
        action = env.action_space.sample()  # parts of bandwidth and compute for requests
        observation, reward, terminated, truncated, info = env.step(action)
        total += float(reward)
        done = terminated or truncated

    # The step that ends an episode brings its counts; ages are in steps, summed over jobs.
    counts = info["episode_metrics"]
    waits = ("device_wait", "transmission", "server_wait", "processing")
    completed = counts["requests_completed"]
    aori = sum(counts[f"request_{part}"] for part in waits) / completed
    aosi = counts["aosi"] / counts["requests_synchronized"]
    print(f"queues at the end: {observation}; return {total:.1f}")
    print(f"{completed:.0f} of {counts['requests_generated']:.0f} requests completed")
    print(f"mean AoRI {aori:.1f} steps, mean AoSI {aosi:.1f} steps")
    env.close()


if __name__ == "__main__":
    main()
