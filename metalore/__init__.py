"""MetaLore: keep a digital twin in step with the physical world over scarce edge resources.

Importing it is cheap: parts are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "Scenario": ("metalore.scenario", "Scenario"),
    "load_scenario": ("metalore.scenario", "load"),
    "World": ("metalore.world", "World"),
    "sb3": ("metalore.envs.sb3", None),
}
__all__ = ["Scenario", "World", "__version__", "load_scenario", "sb3"]  # loaded on first use


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'metalore' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    loaded = import_module(module)
    return loaded if attribute is None else getattr(loaded, attribute)
