"""Learning to split: algorithms by name, training that can be interrupted and resumed, policies kept in folders."""

from metalore.learn.folder import PolicyFolderError, load_policy
from metalore.learn.policy import LearnedPolicy
from metalore.learn.settings import ALGORITHMS, PRESETS, TrainSettings
from metalore.learn.training import TrainError, TrainResult, train

__all__ = [
    "ALGORITHMS",
    "PRESETS",
    "LearnedPolicy",
    "PolicyFolderError",
    "TrainError",
    "TrainResult",
    "TrainSettings",
    "load_policy",
    "train",
]
