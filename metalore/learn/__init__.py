"""Learning to split: algorithms by name, training that can be interrupted and resumed, policies kept in folders.

What needs torch is loaded when it is first used, so that rules can be judged (:mod:`metalore.learn.evaluation`)
without the extra `learn`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metalore.learn.card import PolicyFolderError
    from metalore.learn.folder import load_policy
    from metalore.learn.policy import LearnedPolicy
    from metalore.learn.settings import ALGORITHMS, PRESETS, TrainSettings
    from metalore.learn.training import TrainError, TrainResult, train
else:  # out of a type checker's sight, which would take every misspelt name for one of these
    _WHERE = {
        "ALGORITHMS": "settings",
        "PRESETS": "settings",
        "LearnedPolicy": "policy",
        "PolicyFolderError": "card",
        "TrainError": "training",
        "TrainResult": "training",
        "TrainSettings": "settings",
        "load_policy": "folder",
        "train": "training",
    }

    def __getattr__(name: str) -> Any:
        if name not in _WHERE:
            raise AttributeError(f"module 'metalore.learn' has no attribute {name!r}")
        return getattr(import_module(f"metalore.learn.{_WHERE[name]}"), name)


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
