"""Decisions that need no training. A policy is called with a world and returns its shares.

``policy(world) -> array [e, s, 2]``: for every environment and station the parts of bandwidth and compute that go to
requests. A policy may look at everything the world shows and must not change it.
"""

from metalore.policies.base import Policy
from metalore.policies.lookahead import LookAhead
from metalore.policies.queue_aware import QueueAware, search_queue_aware
from metalore.policies.rollout import EpisodeResults, run_episodes
from metalore.policies.rules import BacklogProportional, DemandProportional, Fixed, MaxWeight, Uniform
from metalore.policies.search import OBJECTIVES, Resources, SearchError, confirm, held_out_seeds, refine, search_splits
from metalore.policies.spec import NAMES, PolicyError, make_policy

__all__ = [
    "NAMES",
    "OBJECTIVES",
    "BacklogProportional",
    "DemandProportional",
    "EpisodeResults",
    "Fixed",
    "LookAhead",
    "MaxWeight",
    "Policy",
    "PolicyError",
    "QueueAware",
    "Resources",
    "SearchError",
    "Uniform",
    "confirm",
    "held_out_seeds",
    "make_policy",
    "refine",
    "run_episodes",
    "search_queue_aware",
    "search_splits",
]
