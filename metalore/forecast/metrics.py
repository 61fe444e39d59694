"""How good forecasts are. Only what was measured counts; a score over nothing is NaN.

With errors e = actual - forecast over all measured entries (windows, zones, and the horizons and targets asked for):

=================  ===================================================================================================
MAE                mean of |e|, of the middle quantile
RMSE               root of the mean of e^2, of the mean where it is forecast, else of the middle quantile
WAPE               sum of |e| over sum of |actual|
NRMSE              RMSE over the mean of the actual values
quantile loss      max(p e, (p - 1) e), mean over entries and the levels p (Koenker and Bassett 1978)
coverage at p      part of the actual values that are not above the quantile p; ideal is p
=================  ===================================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metalore.forecast.errors import ForecastError
from metalore.forecast.forecaster import MEDIAN, QUANTILES


@dataclass(frozen=True)
class Scores:
    """What :func:`score` finds.

    Attributes:
        count: measured entries.
        mae: mean absolute error of the median, in the target's unit.
        rmse: root of the mean squared error of the expected value, in the target's unit.
        wape, nrmse: `mae` over the mean absolute measured value, and `rmse` over the mean measured value.
        quantile_loss: mean pinball loss over all quantiles, in the target's unit.
        coverage: at each of :data:`metalore.forecast.forecaster.QUANTILES`.
    """

    count: int
    mae: float
    rmse: float
    wape: float
    nrmse: float
    quantile_loss: float
    coverage: tuple[float, ...]

    def as_row(self) -> dict[str, float]:
        """Named numbers, for a table: coverages are `coverage_10` and so on."""
        names = ("count", "mae", "rmse", "wape", "nrmse", "quantile_loss")
        covered = {f"coverage_{round(100 * p)}": part for p, part in zip(QUANTILES, self.coverage, strict=True)}
        return {name: getattr(self, name) for name in names} | covered


def score(actual: np.ndarray, quantiles: np.ndarray, mean: np.ndarray | None = None) -> Scores:
    """Scores pooled over all entries.

    Args:
        actual: any shape [...]; NaN where nothing was measured.
        quantiles: the same shape and one axis more, the quantiles: [..., q].
        mean: expected values, the same shape as `actual`; unset: the middle quantile.

    Raises:
        ForecastError: shapes differ, or a forecast is missing where something was measured.
    """
    if quantiles.shape != (*actual.shape, len(QUANTILES)):
        raise ForecastError(f"forecasts of shape {quantiles.shape} do not belong to values of shape {actual.shape}")
    known = ~np.isnan(actual)
    truth, forecast = actual[known].astype(np.float64), quantiles[known].astype(np.float64)
    if not np.isfinite(forecast).all():
        raise ForecastError(f"{int((~np.isfinite(forecast)).any(axis=-1).sum())} forecasts are no numbers although "
                            "something was measured there")  # fmt: skip
    if len(truth) == 0:
        nothing = float("nan")
        return Scores(0, nothing, nothing, nothing, nothing, nothing, (nothing,) * len(QUANTILES))
    errors = truth[:, None] - forecast
    middle = np.abs(errors[:, MEDIAN])
    off = middle if mean is None else truth - mean[known]
    rmse = float(np.sqrt((off**2).mean()))
    return Scores(
        count=len(truth),
        mae=float(middle.mean()),
        rmse=rmse,
        wape=_ratio(float(middle.sum()), float(np.abs(truth).sum())),
        nrmse=_ratio(rmse, float(truth.mean())),
        quantile_loss=float(pinball(errors).mean()),
        coverage=tuple(float(part) for part in (errors <= 0).mean(axis=0)),
    )


def pinball(errors: np.ndarray) -> np.ndarray:
    """Quantile loss of errors [..., q], actual less forecast."""
    levels = np.asarray(QUANTILES)
    loss: np.ndarray = np.maximum(levels * errors, (levels - 1) * errors)
    return loss


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
