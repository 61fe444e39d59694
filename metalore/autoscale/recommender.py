"""The one interface of everything that recommends sizes, and how its state is kept.

What a recommender remembers is a mapping of named arrays that goes in and comes out, so it can be written down, and a
controller that starts again goes on where it was.
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from metalore.autoscale.errors import AutoscaleError
from metalore.autoscale.model import Reason, Seen

State = Mapping[str, np.ndarray]
"""What is remembered, by name. Arrays are replaced and never written to."""


@dataclass(frozen=True, eq=False)
class Advice:
    """What a recommender would give.

    Attributes:
        wanted: [z, r]; NaN: it has no opinion, so what is there stays.
        reasons: one for each zone.
        state: to be handed in the next time.
    """

    wanted: np.ndarray
    reasons: tuple[Reason, ...]
    state: State


class Recommender(ABC):
    """Says what zones should have. A pure function of what is seen, its state, and its own frozen settings.

    Attributes:
        name: short, for tables.
        needs_forecasts: whether zones without a good forecast are left to the fallback.
    """

    name: ClassVar[str]
    needs_forecasts: ClassVar[bool] = False

    def begin(self, zones: Sequence[str]) -> State:
        """What is remembered before anything has been seen."""
        return {}

    @abstractmethod
    def recommend(self, seen: Seen, state: State) -> Advice:
        """What zones should have now."""


def to_json(state: State) -> str:
    """State as strict JSON; numbers come back exactly."""
    return json.dumps({name: _plain(array) for name, array in state.items()}, allow_nan=False)


def from_json(text: str) -> State:
    """State from JSON.

    Raises:
        AutoscaleError: text that :func:`to_json` did not write.
    """
    try:
        return {name: _array(**kept) for name, kept in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise AutoscaleError(f"the state of a recommender cannot be read: {error}") from None


def _plain(array: np.ndarray) -> dict[str, Any]:
    values = array.ravel().tolist()
    if array.dtype.kind == "f":
        values = [value if math.isfinite(value) else str(value) for value in values]  # JSON knows neither NaN nor inf
    return {"dtype": array.dtype.str, "shape": array.shape, "values": values}


def _array(dtype: str, shape: Sequence[int], values: Sequence[Any]) -> np.ndarray:
    return np.array(values, dtype).reshape(shape)
