# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # For researchers: what does a reward buy?
#
# One cell, overloaded on purpose. Every fixed split of bandwidth and compute in the same episodes shows where the
# return is highest, where the twin is freshest, and that these are two places. Below a minute on two cores.

# %%
import matplotlib.pyplot as plt
import numpy as np

from metalore.learn.evaluation import evaluate
from metalore.policies import confirm, make_policy, search_splits

# %% [markdown]
# ## The landscape of fixed splits
#
# 11 x 11 splits, 20 episodes each, all in compiled batches.

# %%
objectives = {"return": "return", "aori_s": "AoRI, s", "twin_age_s": "age at the twin, s"}
found = search_splits("smart-city", grid=11, seeds=range(20))
figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
for axis, (name, label) in zip(axes, objectives.items(), strict=True):
    best = found.points[found.best(name)]
    image = axis.imshow(found.mean(name).reshape(11, 11).T, origin="lower", extent=(0, 1, 0, 1))
    axis.plot(*best, "r+", markersize=12)
    axis.set(title=f"{label}; best at ({best[0]:.1f}, {best[1]:.1f})", xlabel="bandwidth", ylabel="compute")
    figure.colorbar(image, ax=axis)
plt.show()

# %% [markdown]
# The best of 121 splits is better on its own episodes than it will ever be again. Held-out episodes tell:

# %%
for name in ("return", "twin_age_s"):
    winner = confirm(found, name)
    mean, low, high = winner.held_out
    print(f"{name}: split {np.round(winner.point, 2)}, chosen by {winner.chosen_by[0]:.1f}", end="; ")
    print(f"held out {mean:.1f} [{low:.1f}, {high:.1f}]")

# %% [markdown]
# ## A rule of your own, judged fairly
#
# A policy is a callable from a world to shares. All meet the same held-out episodes, so differences are paired.


# %%
class LongestWait:
    """Shares by the mean age of what waits: requests against updates."""

    name = "longest-wait"

    def __call__(self, world):
        """Shares [e, s, 2]."""
        ages = world.waiting_age() + 1e-9  # [e, k]
        part = (ages[:, 0] / ages.sum(axis=1)).clip(0.05, 0.95)
        return np.repeat(part[:, None, None], 2, axis=2)


policies = {
    "best split": make_policy("fixed:{:g},{:g}".format(*found.points[found.best("return")])),
    "even": make_policy("fixed:0.5,0.5"),
    "longest-wait": LongestWait(),
}
judged = evaluate(policies, ["smart-city"], range(2 * 10**15, 2 * 10**15 + 50), reference="best split")
rows = judged.differences
for row, measure in enumerate(rows["measure"]):
    if measure in ("return", "aori_s", "served_age_s", "twin_age_s"):
        policy, mean, low, high = (rows[name][row] for name in ("policy", "mean", "low", "high"))
        print(f"{policy:12} {measure:12} {mean:+9.2f} [{low:.2f}, {high:.2f}]")

# %% [markdown]
# The highest return is neither the fastest service nor the freshest twin: the published reward pays for requests and
# updates that are *equally* late. Pages on ages and on limits say more.
