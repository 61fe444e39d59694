"""Learning to size zones: DQN on one, PPO on many, and the evaluation of agents beside rules."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metalore.learn.zones.evaluation import evaluate_zones
    from metalore.learn.zones.settings import PRESETS, ZoneTraining
    from metalore.learn.zones.training import train_zones
else:  # what needs torch is loaded when it is first used
    _WHERE = {
        "PRESETS": "settings",
        "ZoneTraining": "settings",
        "evaluate_zones": "evaluation",
        "train_zones": "training",
    }

    def __getattr__(name: str) -> Any:
        if name not in _WHERE:
            raise AttributeError(f"module 'metalore.learn.zones' has no attribute {name!r}")
        return getattr(import_module(f"metalore.learn.zones.{_WHERE[name]}"), name)


__all__ = ["PRESETS", "ZoneTraining", "evaluate_zones", "train_zones"]
