"""What happens: radio, mobility, demand, queues and ages; compiled and batched over environments."""

from metalore.world.extension import SIGNATURES, ExtensionError
from metalore.world.layout import KINDS, METRICS, OUTCOMES, REWARD_TERMS
from metalore.world.world import World, WorldError, terms_of, totals_of

__all__ = [
    "KINDS",
    "METRICS",
    "OUTCOMES",
    "REWARD_TERMS",
    "SIGNATURES",
    "ExtensionError",
    "World",
    "WorldError",
    "terms_of",
    "totals_of",
]
