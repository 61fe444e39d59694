"""Which intervals are learned from, which choose, which judge; and the windows in each.

A window is named by its origin, the last interval that is known. Its targets lie `horizons` intervals later. Windows
may look back over a border, as a running forecast does; their targets never cross one.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from metalore.forecast.errors import ForecastError
from metalore.forecast.panel import Panel

Part = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Split:
    """Three parts of a panel, one after the other.

    Attributes:
        validation: number of the first interval that chooses (epochs, regularization, residuals).
        test: number of the first interval that judges.
        end: number after the last one.
    """

    validation: int
    test: int
    end: int

    def __post_init__(self) -> None:
        if not 0 < self.validation < self.test < self.end:
            raise ForecastError(
                f"training, validation and test must follow each other and not be empty; they would begin at 0, "
                f"{self.validation} and {self.test}, and end at {self.end}"
            )

    @classmethod
    def by_parts(cls, panel: Panel, validation: float = 0.1, test: float = 0.2) -> Split:
        """The last part of all intervals to test, and before it a part of all to validate."""
        if not (validation > 0 and test > 0 and validation + test < 1):
            raise ForecastError(f"parts of {validation:g} and {test:g} leave nothing to train or to judge")
        first = int((1 - test) * len(panel) + 1e-9)
        return cls(first - max(1, round(validation * len(panel))), first, len(panel))

    @classmethod
    def at_times(cls, panel: Panel, validation_s: float, test_s: float) -> Split:
        """Borders at times of the panel, s; an interval belongs where it begins."""
        first, second = np.searchsorted(panel.times, np.array([validation_s, test_s]) - 1e-6 * panel.interval_s)
        return cls(int(first), int(second), len(panel))

    def rows(self, part: Part) -> slice:
        """Intervals of a part."""
        return slice(*self._borders(part))

    def _borders(self, part: Part) -> tuple[int, int]:
        return {
            "train": (0, self.validation),
            "validation": (self.validation, self.test),
            "test": (self.test, self.end),
        }[part]

    def origins(
        self, part: Part, horizons: Sequence[int], window: int = 1, inside: bool = False, stride: int = 1
    ) -> np.ndarray:
        """Origins of all windows whose targets lie in a part, in order.

        Args:
            part: which.
            horizons: intervals after the origin.
            window: intervals up to the origin that there must be.
            inside: whether these must lie in the part too, as some published protocols have it; else in the panel.
            stride: take every so many.

        Returns:
            Rows of the panel, [n].

        Raises:
            ForecastError: there is no such window.
        """
        check_horizons(horizons)
        first, after = self._borders(part)
        begin = max(first - min(horizons), window - 1) if not inside else first + window - 1
        origins = np.arange(begin, after - max(horizons), stride)
        if len(origins) == 0:
            raise ForecastError(
                f"the {part} part has {after - first} intervals, too few for a window of {window} and a forecast of "
                f"{max(horizons)} intervals"
            )
        return origins

    def as_dict(self) -> dict[str, int]:
        """For a card."""
        return asdict(self)


def check_horizons(horizons: Sequence[int]) -> tuple[int, ...]:
    """Horizons as whole numbers, from 1 on, rising.

    Raises:
        ForecastError: they are not.
    """
    whole = tuple(int(h) for h in horizons)
    if not whole or whole[0] < 1 or any(b <= a for a, b in itertools.pairwise(whole)):
        raise ForecastError(f"horizons are {list(horizons)}; they must be rising whole numbers from 1 on")
    return whole
