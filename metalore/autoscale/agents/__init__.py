"""Zones sized step by step: what an agent may do, what it sees, what it is rewarded for. Plain arrays, no learner."""

from metalore.autoscale.agents.features import FEATURES, Look, Observer
from metalore.autoscale.agents.ranges import MOVES, Ranges
from metalore.autoscale.agents.reward import TERMS, Happened, Reward

__all__ = ["FEATURES", "MOVES", "TERMS", "Happened", "Look", "Observer", "Ranges", "Reward"]
