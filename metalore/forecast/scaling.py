"""Values of mean 0 and deviation 1, as networks want them; measured on the training part and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from metalore.forecast.errors import ForecastError
from metalore.forecast.panel import Panel
from metalore.forecast.splits import Split
from metalore.forecast.weights import Arrays


@dataclass(frozen=True, eq=False)
class Scaler:
    """(values - mean) / deviation; gaps stay gaps.

    Attributes:
        mean, deviation: float32 [z, f], or [1, f] if all zones share them.
    """

    mean: np.ndarray
    deviation: np.ndarray

    def __post_init__(self) -> None:
        if self.mean.shape != self.deviation.shape or self.mean.ndim != 2:
            raise ForecastError(f"a scaler's mean and deviation have shapes {self.mean.shape}, {self.deviation.shape}")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.deviation).all() and (self.deviation > 0).all()):
            raise ForecastError("a scaler's deviations must be positive, and all its numbers finite")

    @classmethod
    def fit(cls, panel: Panel, split: Split, by: Literal["zone", "target"] = "zone") -> Self:
        """From the training part of a panel.

        Args:
            panel: series.
            split: its parts.
            by: for each zone and target, or for each target over all zones. A zone with fewer than two values takes the
                mean and deviation of all zones, one that never changes their deviation.
        """
        return cls.of(panel.values[split.rows("train")], by)

    @classmethod
    def of(cls, values: np.ndarray, by: Literal["zone", "target"] = "zone") -> Self:
        """From values [t, z, f], all of which count."""
        whole = values.astype(np.float64)
        mean, deviation, _ = _moments(whole.reshape(1, -1, values.shape[-1]).transpose(1, 0, 2))
        mean = np.nan_to_num(mean)
        deviation = np.where(deviation > 0, deviation, 1.0)
        if by == "zone":
            own_mean, own_deviation, count = _moments(whole)
            enough = count > 1
            least = 1e-6 * np.maximum(np.abs(own_mean), 1e-30)  # rounding of a constant is no deviation
            mean = np.where(enough, own_mean, mean)
            deviation = np.where(enough & (own_deviation > least), own_deviation, deviation)
        return cls(mean.astype(np.float32), deviation.astype(np.float32))

    def state(self, name: str = "scaler") -> dict[str, np.ndarray]:
        """Its arrays, to be kept under a name."""
        return {f"{name}.mean": self.mean, f"{name}.deviation": self.deviation}

    @classmethod
    def taken(cls, arrays: Arrays, zones: int, columns: int, name: str = "scaler") -> Self:
        """What :meth:`state` gave, of so many zones (1 if all share) and columns."""
        return cls(arrays.take(f"{name}.mean", zones, columns), arrays.take(f"{name}.deviation", zones, columns))

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Of values [..., z, f]."""
        result: np.ndarray = ((values - self.mean) / self.deviation).astype(np.float32)
        return result

    def unscaled(self, values: np.ndarray) -> np.ndarray:
        """Back again, of [..., z, f]."""
        result: np.ndarray = (values * self.deviation + self.mean).astype(np.float32)
        return result

    def unscaled_forecast(self, forecast: np.ndarray) -> np.ndarray:
        """A `forecast` back again: [n, z, h, f] or, with quantiles, [n, z, h, f, q]."""
        mean, deviation = self.mean[:, None], self.deviation[:, None]
        if forecast.ndim == 5:
            mean, deviation = mean[..., None], deviation[..., None]
        result: np.ndarray = (forecast * deviation + mean).astype(np.float32)
        return result


_INPUTS = "input_scaler"


def inputs_state(scaler: Scaler | None) -> dict[str, np.ndarray]:
    """Of the scaler of further inputs, if there are any; see :meth:`Scaler.state`."""
    return {} if scaler is None else scaler.state(_INPUTS)


def inputs_taken(arrays: Arrays, zones: int, columns: int) -> Scaler | None:
    """What :func:`inputs_state` gave; none without columns."""
    return Scaler.taken(arrays, zones, columns, _INPUTS) if columns else None


def _moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, deviation and count of what is known along the first axis; NaN and 0 where nothing is."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    some = np.maximum(count, 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / some
    deviation = np.sqrt((np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / some)
    return np.where(count > 0, mean, np.nan), deviation, count
