"""What carries decisions out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from metalore.autoscale.model import Decision


@dataclass(frozen=True, eq=False)
class Applied:
    """What was done about a decision.

    Attributes:
        done: zones that got what was decided for them, or had it already [z].
        problems: in words, one for each thing that went wrong.
    """

    done: np.ndarray
    problems: tuple[str, ...] = ()


class Actuator(ABC):
    """Knows what zones have, and changes it. A call may fail with any exception; the loop goes on without it.

    Attributes:
        zones: names.
        delay_s: from a decision until it takes effect.
    """

    zones: tuple[str, ...]
    delay_s: float = 0.0

    @abstractmethod
    def allocations(self) -> np.ndarray:
        """What zones were given last [z, r], also where that has not taken effect yet."""

    def changed_at(self) -> np.ndarray:
        """When each zone was last changed, by whichever controller, s [z]; -inf: not known. As of `allocations`."""
        return np.full(len(self.zones), -np.inf)

    @abstractmethod
    def apply(self, decision: Decision) -> Applied:
        """Carry a decision out as far as possible."""
