"""What is given beyond what is used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metalore.autoscale.model import Amounts


@dataclass(frozen=True, kw_only=True)
class Margin:
    """A part of use, and room for bursts.

    Use is a mean over an interval, and demand comes in bursts within it. If demand is made of pieces that come and go
    independently, its deviation is sqrt(use * piece): a small zone needs more beyond its mean than a large one, as a
    part of it. This is the square-root rule of staffing (Halfin and Whitt 1981).

    Attributes:
        headroom: part that is added.
        burst: so many deviations are added; 0 for a headroom in proportion alone.
        piece: of demand, in each resource: what a request takes of it, over the time that it may wait.
    """

    headroom: float = 0.1
    burst: float = 1.5
    piece: Amounts = (0.0625, 32.0, 0.5)

    def beyond(self, used: np.ndarray) -> np.ndarray:
        """Amounts [z, r] with the margin on top."""
        deviation = np.sqrt(np.maximum(used, 0.0) * self.piece)
        enough: np.ndarray = used * (1 + self.headroom) + self.burst * deviation
        return enough

    @property
    def words(self) -> str:
        """`10% and 1.5 deviations`."""
        return f"{self.headroom:.0%}" + (f" and {self.burst:g} deviations" if self.burst else "")
