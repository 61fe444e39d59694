"""Decisions that need no training. A policy is called with a world and returns its shares.

``policy(world) -> array [e, s, 2]``: for every environment and station the parts of bandwidth and compute that go to
requests. A policy may look at everything the world shows and must not change it.
"""

from metalore.policies.base import Policy
from metalore.policies.rules import BacklogProportional, DemandProportional, Fixed, MaxWeight, Uniform
from metalore.policies.spec import NAMES, PolicyError, make_policy

__all__ = [
    "NAMES",
    "BacklogProportional",
    "DemandProportional",
    "Fixed",
    "MaxWeight",
    "Policy",
    "PolicyError",
    "Uniform",
    "make_policy",
]
