"""The one interface of all policies."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from metalore.world import World


class Policy(Protocol):
    """Decides on shares for a batch of worlds."""

    name: str

    def __call__(self, world: World) -> np.ndarray:
        """Shares [e, s, 2] for the next step: parts of bandwidth and compute for requests, in [0, 1]."""
        ...


def part_of(requests: np.ndarray, updates: np.ndarray) -> np.ndarray:
    """``requests / (requests + updates)``, one half where both are zero; crumbs below zero count as zero."""
    requests, updates = np.maximum(requests, 0.0), np.maximum(updates, 0.0)
    total = requests + updates
    parts: np.ndarray = np.where(total > 0, requests / np.where(total > 0, total, 1.0), 0.5)
    return parts
