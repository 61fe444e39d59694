"""Your own policy: split band and server by how long requests and updates have been waiting.

A policy is a callable that is given a world (a batch of cities) and returns shares [e, s, 2]: for every city and
station the parts of bandwidth and of compute for requests. It is plain Python on arrays; nothing is compiled.

Run: python examples/extending/own_policy.py
"""

from __future__ import annotations

import gymnasium
import numpy as np

from metalore import World
from metalore.policies import DemandProportional, Fixed, Policy
from metalore.policies.rollout import run_episodes


class LongestWait:
    """The kind that has waited longer gets more.

    One step is added to both ages, so that nobody is left with nothing: requests are served with an update's data, and
    without any processed update they would wait for ever.
    """

    name = "longest-wait"

    def __call__(self, world: World) -> np.ndarray:
        waited = 1.0 + world.waiting_age()  # [e, k]: requests, updates
        part = waited[:, 0] / waited.sum(axis=1)
        return np.broadcast_to(part[:, None, None], (world.num_envs, world.num_stations, 2))


def main() -> None:
    print("64 reference cells for 100 steps; ages in seconds")
    print(f"{'policy':<21}{'AoRI':>7}{'age of served data':>20}{'age at the twin':>17}{'return':>9}")
    policies: list[Policy] = [Fixed(0.5, 0.5), DemandProportional(), LongestWait()]
    for policy in policies:
        episodes = run_episodes("smart-city", policy, range(1, 65)).episodes
        row = {name: np.nanmean(episodes[name]) for name in ("aori_s", "served_age_s", "twin_age_s", "return")}
        print(
            f"{policy.name:<21}{row['aori_s']:>7.2f}{row['served_age_s']:>20.2f}"
            f"{row['twin_age_s']:>17.2f}{row['return']:>9.1f}"
        )

    # The same in a Gymnasium loop: a policy looks at the world behind the environment.
    env, policy = gymnasium.make("metalore/SmartCity-v0"), LongestWait()
    env.reset(seed=1)
    total, truncated = 0.0, False
    while not truncated:
        shares = policy(env.unwrapped.world)
        _, reward, _, truncated, _ = env.step(shares.reshape(-1).astype(np.float32))
        total += float(reward)
    print(f"through gymnasium.make: return {total:.1f}")


if __name__ == "__main__":
    main()
