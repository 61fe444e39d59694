"""Metrics against numbers worked out by hand, and with nothing to judge."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metalore.forecast import ForecastError, score
from metalore.forecast.metrics import pinball

NAN = np.nan


def test_by_hand() -> None:
    actual = np.array([10.0, 20.0, NAN])
    quantiles = np.array([[8.0, 11.0, 12.0], [21.0, 24.0, 30.0], [NAN, NAN, NAN]])
    found = score(actual, quantiles)
    assert found.count == 2
    assert found.mae == 2.5  # 1 and 4
    assert found.rmse == pytest.approx(math.sqrt((1 + 16) / 2))
    assert found.wape == pytest.approx(5 / 30)
    assert found.nrmse == pytest.approx(math.sqrt(8.5) / 15)
    # at 0.1: 0.1 * 2 and 0.9 * 1; at 0.5: 0.5 * 1 and 0.5 * 4; at 0.9: 0.1 * 2 and 0.1 * 10
    assert found.quantile_loss == pytest.approx((0.2 + 0.9 + 0.5 + 2.0 + 0.2 + 1.0) / 6)
    assert found.coverage == (0.5, 1.0, 1.0)  # 20 lies below 21, 10 above 8
    assert found.as_row()["coverage_90"] == 1.0


def test_a_perfect_forecast() -> None:
    actual = np.arange(12.0).reshape(3, 4)
    found = score(actual, np.repeat(actual[..., None], 3, axis=-1))
    assert (found.mae, found.rmse, found.wape, found.quantile_loss) == (0, 0, 0, 0)


def test_nothing_measured_has_no_score() -> None:
    found = score(np.full((2, 3), NAN), np.zeros((2, 3, 3)))
    assert found.count == 0
    numbers = [found.mae, found.rmse, found.wape, found.nrmse, found.quantile_loss, *found.coverage]
    assert np.isnan(numbers).all()


def test_parts_of_nothing_are_no_number() -> None:
    assert math.isnan(score(np.zeros(2), np.ones((2, 3))).wape)


def test_a_forecast_cannot_be_withheld() -> None:
    quantiles = np.zeros((2, 3))
    quantiles[1, 0] = NAN
    with pytest.raises(ForecastError, match="1 forecasts are no numbers although something was measured"):
        score(np.zeros(2), quantiles)
    with pytest.raises(ForecastError, match="do not belong to values of shape"):
        score(np.zeros(2), np.zeros((3, 3)))


def test_the_true_quantile_has_the_least_loss() -> None:
    draws = np.random.default_rng(0).exponential(size=20_000)
    truth = -np.log(1 - np.array([0.1, 0.5, 0.9]))
    least = pinball(draws[:, None] - truth).mean(axis=0)
    for change in (0.9, 1.1):
        assert (pinball(draws[:, None] - change * truth).mean(axis=0) > least).all()
    found = score(draws, np.broadcast_to(truth, (len(draws), 3)))
    np.testing.assert_allclose(found.coverage, [0.1, 0.5, 0.9], atol=0.01)
