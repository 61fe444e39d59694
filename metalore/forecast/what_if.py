"""Forecasts of single zones as if other values had been measured in the newest interval.

Axes: `n` questions, `z` zones, `c` columns (targets, then further inputs), `h` horizons, `f` targets, `q` quantiles.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from metalore.forecast.forecaster import Forecaster
    from metalore.forecast.panel import Panel


class WhatIf(ABC):
    """A panel held still, and forecasts from it under other values. Questions have nothing to do with each other.

    Attributes:
        quick: whether hundreds of questions take a few milliseconds.
        takes_intent: whether an embedding makes a difference.
    """

    quick: bool = False
    takes_intent: bool = False

    @abstractmethod
    def forecast(self, zones: np.ndarray, values: np.ndarray, intents: dict[int, np.ndarray]) -> np.ndarray:
        """Of each question's zone, [n, h, f, q], as :meth:`metalore.forecast.forecaster.Forecaster.predict` gives it.

        Args:
            zones: number of each question's zone [n].
            values: that take the place of what the zone's last interval has [n, c]; NaN leaves it as it is.
            intents: number of a question to the embedding [1024] that the zone has instead of its own.
        """


class OneByOne(WhatIf):
    """For any forecaster: the changed panel is forecast once for each question."""

    def __init__(self, forecaster: Forecaster, panel: Panel) -> None:
        self._forecaster, self._panel = forecaster, panel
        self.takes_intent = bool(forecaster.settings.get("intent", False))

    def forecast(self, zones: np.ndarray, values: np.ndarray, intents: dict[int, np.ndarray]) -> np.ndarray:
        """See the base class."""
        shape = (len(zones), len(self._forecaster.horizons), len(self._forecaster.targets), 3)
        quantiles = np.empty(shape, np.float32)
        last = [len(self._panel) - 1]
        for i, zone in enumerate(zones):
            changed = self._changed(int(zone), values[i], intents.get(i))
            quantiles[i] = self._forecaster.predict(changed, last)[0, zone]
        return quantiles

    def _changed(self, zone: int, values: np.ndarray, intent: np.ndarray | None) -> Panel:
        panel, targets = self._panel, len(self._panel.targets)
        given = ~np.isnan(values)
        fields: dict[str, np.ndarray] = {}
        if given[:targets].any():
            fields["values"] = _replaced(panel.values, zone, values[:targets])
        if panel.input_values is not None and given[targets:].any():
            fields["input_values"] = _replaced(panel.input_values, zone, values[targets:])
        if intent is not None and self.takes_intent:
            own = panel.intent_at(np.array([len(panel) - 1]))[0].copy()
            library = np.empty((0, len(intent)), np.float32) if panel.intent is None else panel.intent
            own[zone] = len(library)
            fields |= {"intent": np.concatenate([library, intent[None]]), "intent_of": own}
        return panel.updated(**fields) if fields else panel


def _replaced(array: np.ndarray, zone: int, values: np.ndarray) -> np.ndarray:
    changed = array.copy()
    there = ~np.isnan(values)
    changed[-1, zone, there] = values[there]
    return changed
