"""Scaling: from the training part, per zone or per target, without gaps."""

from __future__ import annotations

import numpy as np
import pytest
from forecast.synthetic import panel

from metalore.forecast import ForecastError, Scaler, Split

NAN = np.nan


def test_by_hand() -> None:
    values = np.array([[1.0, 10.0], [3.0, NAN], [NAN, 14.0]])[..., None]
    by_zone = Scaler.of(values)
    assert by_zone.mean.tolist() == [[2.0], [12.0]]
    assert by_zone.deviation.tolist() == [[1.0], [2.0]]
    by_target = Scaler.of(values, by="target")
    assert by_target.mean.tolist() == [[7.0]]
    assert by_target.deviation[0, 0] == pytest.approx(np.std([1, 3, 10, 14]))


def test_zones_with_nothing_or_a_constant_take_what_all_have() -> None:
    values = np.array([[1.0, NAN, 5.0], [3.0, NAN, 5.0]])[..., None]
    scaler = Scaler.of(values)
    assert scaler.mean[:, 0].tolist() == [2.0, 3.5, 5.0]
    pooled = pytest.approx(np.std([1, 3, 5, 5]))
    assert [scaler.deviation[1, 0], scaler.deviation[2, 0]] == [pooled, pooled]
    alone = Scaler.of(np.full((3, 1, 1), 4.0))
    assert (alone.mean.item(), alone.deviation.item()) == (4.0, 1.0)


def test_there_and_back() -> None:
    made = panel()
    scaler = Scaler.fit(made, Split.by_parts(made))
    scaled = scaler.scaled(made.values)
    np.testing.assert_allclose(scaler.unscaled(scaled), made.values, rtol=1e-5)
    np.testing.assert_array_equal(np.isnan(scaled), np.isnan(made.values))
    forecast = made.actual(np.array([5, 6]), (1, 2))
    scaled_forecast = (forecast - scaler.mean[:, None]) / scaler.deviation[:, None]
    np.testing.assert_allclose(scaler.unscaled_forecast(scaled_forecast), forecast, rtol=1e-5)
    with_quantiles = np.repeat(scaled_forecast[..., None], 3, axis=-1)
    np.testing.assert_allclose(scaler.unscaled_forecast(with_quantiles)[..., 1], forecast, rtol=1e-5)


def test_only_the_training_part_counts() -> None:
    made = panel()
    split = Split.by_parts(made)
    values = made.values.copy()
    values[split.validation :] *= 100
    one, other = Scaler.fit(made, split), Scaler.fit(made.updated(values=values), split)
    assert np.array_equal(one.mean, other.mean)
    assert np.array_equal(one.deviation, other.deviation)


def test_impossible_scalers_are_told() -> None:
    with pytest.raises(ForecastError, match="must be positive"):
        Scaler(np.zeros((1, 1)), np.zeros((1, 1)))
