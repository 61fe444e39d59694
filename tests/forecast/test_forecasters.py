"""Every forecaster by name: nobody sees the future, gaps are no obstacle, and the same seed gives the same."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from forecast.synthetic import panel

from metalore.forecast import NAMES, Forecaster, ForecastError, Panel, Split, make_forecaster
from metalore.forecast.forecaster import residual_offsets

HORIZONS = (1, 3, 30)
QUICK: dict[str, dict[str, Any]] = {
    "boosting": {"trees": 10, "samples": 3000},
    "gru": {"window": 12, "hidden": 8, "epochs": 2, "samples": 1000},
    "lstm": {"window": 12, "hidden": 8, "epochs": 2, "samples": 1000},
    "graph-wavenet": {"window": 6, "channels": 4, "skip": 8, "end": 8, "epochs": 2, "steps": 4},
    "stgnn": {"hidden": 8, "recipe": {"epochs": 2}},
}
MADE = panel()
SPLIT = Split.by_parts(MADE)
ORIGINS = SPLIT.origins("test", HORIZONS)[::7]


def fitted(name: str, made: Panel = MADE, seed: int = 1) -> Forecaster:
    return make_forecaster(name, **QUICK.get(name, {})).fit(made, SPLIT, HORIZONS, seed)


@pytest.fixture(scope="module", params=NAMES)
def forecaster(request: pytest.FixtureRequest) -> Forecaster:
    return fitted(request.param)


def test_shape_order_and_numbers(forecaster: Forecaster) -> None:
    quantiles = forecaster.predict(MADE, ORIGINS)
    assert quantiles.shape == (len(ORIGINS), 3, 3, 2, 3)
    assert quantiles.dtype == np.float32
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=-1) >= 0).all()


def test_what_comes_after_an_origin_is_not_seen(forecaster: Forecaster) -> None:
    """Neither in fitting, from the test part on, nor in forecasting, from the origin on."""
    before = forecaster.predict(MADE, ORIGINS[:3])
    values = MADE.values.copy()
    values[SPLIT.test :] = -1000 - 7 * np.arange(len(values) - SPLIT.test)[:, None, None]
    refitted = fitted(forecaster.name, MADE.updated(values=values))
    np.testing.assert_array_equal(refitted.predict(MADE, ORIGINS[:3]), before)
    for i, origin in enumerate(ORIGINS[:3]):
        changed = MADE.values.copy()
        changed[origin + 1 :] *= -3
        after = forecaster.predict(MADE.updated(values=changed), [origin])
        np.testing.assert_allclose(after[0], before[i], rtol=1e-4, atol=1e-4)
        alone = forecaster.predict(MADE.until(int(origin) + 1), [origin])
        np.testing.assert_allclose(alone[0], before[i], rtol=1e-4, atol=1e-4)


def test_scaling_and_usual_values_do_not_see_the_validation_part() -> None:
    values = MADE.values.copy()
    values[SPLIT.validation : SPLIT.test] *= 5
    for name in ("ridge", "boosting"):
        one, other = fitted(name), fitted(name, MADE.updated(values=values))
        np.testing.assert_array_equal(one._scaler.mean, other._scaler.mean)  # type: ignore[attr-defined]
        np.testing.assert_array_equal(
            one._features.usual.of_hour,  # type: ignore[attr-defined]
            other._features.usual.of_hour,  # type: ignore[attr-defined]
        )


def test_gaps_are_no_obstacle(forecaster: Forecaster) -> None:
    values = MADE.values.copy()
    values[ORIGINS[0] - 400 : ORIGINS[0] + 1, 0] = np.nan  # a zone that has been silent for more than two weeks
    values[ORIGINS[0], 1] = np.nan
    values[ORIGINS[0] - 30 : ORIGINS[0] + 1, 2, 1] = np.nan
    assert np.isfinite(forecaster.predict(MADE.updated(values=values), ORIGINS[:1])).all()


def test_the_same_seed_gives_the_same(forecaster: Forecaster) -> None:
    again = fitted(forecaster.name)
    np.testing.assert_array_equal(again.predict(MADE, ORIGINS[:4]), forecaster.predict(MADE, ORIGINS[:4]))


def test_windows_do_not_influence_each_other(forecaster: Forecaster) -> None:
    together = forecaster.predict(MADE, ORIGINS[:5])
    backwards = forecaster.predict(MADE, ORIGINS[:5][::-1])
    np.testing.assert_allclose(backwards[::-1], together, rtol=1e-4, atol=1e-4)
    assert forecaster.predict(MADE, ORIGINS[:0]).shape == (0, 3, 3, 2, 3)


def test_no_forecast_below_what_can_be(forecaster: Forecaster) -> None:
    floor = MADE.updated(lowest=np.array([25.0, -np.inf]))
    quantiles = forecaster.predict(floor, ORIGINS[:4])
    assert quantiles[..., 0, :].min() >= 25
    assert quantiles[..., 0, 2].max() > 25


def test_a_zone_that_nobody_has_seen_is_forecast_all_the_same() -> None:
    values = MADE.values.copy()
    values[: SPLIT.test, 2] = np.nan
    made = MADE.updated(values=values)
    for name in NAMES:
        assert np.isfinite(fitted(name, made).predict(made, ORIGINS[-2:])).all(), name


def test_what_cannot_be_forecast_is_told(forecaster: Forecaster) -> None:
    with pytest.raises(ForecastError, match="has not been fitted"):
        make_forecaster(forecaster.name).predict(MADE, ORIGINS)
    with pytest.raises(ForecastError, match="was fitted to cpu, memory, not to cpu"):
        forecaster.predict(Panel.of(MADE, ["cpu"]), ORIGINS)
    with pytest.raises(ForecastError, match="was fitted to other zones"):
        forecaster.predict(MADE.of_zones(["zone-1", "zone-0", "zone-2"]), ORIGINS)
    with pytest.raises(ForecastError, match=r"was fitted to intervals of 3600 s, not of 60 s"):
        forecaster.predict(MADE.updated(interval_s=60.0, times=60.0 * np.arange(len(MADE))), ORIGINS)
    with pytest.raises(ForecastError, match=r"origins can be \d+ to 1007, not 5 to 1008"):
        forecaster.predict(MADE, [5, 1008])


def test_it_can_be_pickled(forecaster: Forecaster) -> None:
    again = pickle.loads(pickle.dumps(forecaster))
    np.testing.assert_array_equal(again.predict(MADE, ORIGINS[:2]), forecaster.predict(MADE, ORIGINS[:2]))


# By hand


def counting(hours: int = 24 * 7 * 6) -> Panel:
    """One zone whose value is the number of the interval."""
    return Panel(3600.0 * np.arange(hours), ("a",), ("x",), np.arange(hours, dtype=float).reshape(-1, 1, 1), 3600.0)


@pytest.mark.parametrize(
    ("name", "back"),
    [("last-value", (0, 0, 0)), ("yesterday", (23, 21, 18)), ("last-week", (167, 165, 138))],
)
def test_naive_forecasts_by_hand(name: str, back: tuple[int, int, int]) -> None:
    made = counting()
    middle = make_forecaster(name).fit(made, SPLIT, HORIZONS).predict(made, [900])[0, 0, :, 0, 1]
    assert middle.tolist() == [900 - b for b in back]


def test_the_mean_of_weeks_by_hand() -> None:
    made = counting()
    middle = make_forecaster("weeks-mean", weeks=2).fit(made, SPLIT, (1,)).predict(made, [900])[0, 0, 0, 0, 1]
    assert middle == 901 - 1.5 * 168
    values = made.values.copy()
    values[901 - 168] = np.nan
    middle = make_forecaster("weeks-mean", weeks=2).fit(made, SPLIT, (1,)).predict(made.updated(values=values), [900])
    assert middle[0, 0, 0, 0, 1] == 901 - 2 * 168


def test_gaps_fall_back_by_hand() -> None:
    values = counting().values.copy()
    values[890:901] = np.nan
    values[901 - 24] = np.nan
    made = counting().updated(values=values)
    assert make_forecaster("last-value").fit(made, SPLIT, (1,)).predict(made, [900])[0, 0, 0, 0, 1] == 889
    assert make_forecaster("yesterday").fit(made, SPLIT, (1,)).predict(made, [900])[0, 0, 0, 0, 1] == 901 - 48


def test_learners_find_what_is_there_to_find() -> None:
    """The rhythm explains all but noise of 0.1 per zone; a forecast of the last value misses it."""
    made = panel(gaps=0.0)
    origins = SPLIT.origins("test", HORIZONS)
    actual = made.actual(origins, HORIZONS)[..., 0]
    kinds: dict[str, dict[str, Any]] = {name: {} for name in ("last-value", "weeks-mean", "smoothing", "ridge")}
    kinds["boosting"] = {"trees": 60}
    mean_errors = {
        name: np.abs(
            make_forecaster(name, **settings).fit(made, SPLIT, HORIZONS).predict(made, origins)[:, :, :, 0, 1] - actual
        )[:, 2].mean()
        for name, settings in kinds.items()
    }
    assert mean_errors["last-value"] > 4
    assert mean_errors["ridge"] < 1.2  # noise alone: 10 * 0.1 * sqrt(2 / pi) = 0.8
    assert mean_errors["weeks-mean"] < 1.2
    assert mean_errors["smoothing"] < 3.5
    assert mean_errors["boosting"] < 1.5


def test_a_network_learns() -> None:
    made = panel(gaps=0.0)
    origins = SPLIT.origins("test", (6,), 24)
    quick = make_forecaster("gru", hidden=24, epochs=12, samples=4000, batch=128).fit(made, SPLIT, (6,))
    naive = make_forecaster("last-value").fit(made, SPLIT, (6,))
    actual = made.actual(origins, (6,))
    errors = [np.abs(f.predict(made, origins)[..., 1] - actual).mean() for f in (quick, naive)]
    assert errors[0] < 0.5 * errors[1]


# Quantiles of point forecasts


def test_offsets_by_hand() -> None:
    errors = np.arange(1.0, 100.0).reshape(99, 1, 1, 1)  # with 99 errors the rank of 0.9 is 90, of 0.1 it is 10
    assert residual_offsets(errors)[0, 0, 0].tolist() == [10.0, 90.0]
    few = np.concatenate([errors, np.full((99, 1, 1, 1), np.nan)], axis=1)
    assert residual_offsets(few)[1, 0, 0].tolist() == [10.0, 90.0]  # nothing of its own: those of all
    assert residual_offsets(np.full((5, 1, 1, 1), np.nan))[0, 0, 0].tolist() == [0.0, 0.0]


def test_offsets_cover_what_they_say() -> None:
    random = np.random.default_rng(0)
    errors = random.standard_normal((400, 50, 1, 1))
    fresh = random.standard_normal((4000, 50))
    low, high = residual_offsets(errors)[:, 0, 0].T
    assert (fresh <= high).mean() == pytest.approx(0.9, abs=0.01)
    assert (fresh <= low).mean() == pytest.approx(0.1, abs=0.01)


# Names


def test_unknown_names_and_settings_are_told() -> None:
    with pytest.raises(ForecastError, match=r"has no forecaster 'rigde'; did you mean 'ridge'\?"):
        make_forecaster("rigde")
    with pytest.raises(ForecastError, match=r"weeks-mean has no setting 'week'; did you mean 'weeks'\?"):
        make_forecaster("weeks-mean", week=3)
    assert make_forecaster("last-value", window=12).window == 1
    assert make_forecaster("ridge", window=12).window == 12
    for name, settings in (("weeks-mean", {"weeks": 0}), ("ridge", {"window": 0}), ("gru", {"rate": 0.0})):
        with pytest.raises(ForecastError):
            make_forecaster(name, **settings)


def test_a_target_with_nothing_to_learn_from_is_told() -> None:
    values = MADE.values.copy()
    values[: SPLIT.validation, :, 1] = np.nan
    with pytest.raises(ForecastError, match="has no value of 'memory' in the train part"):
        make_forecaster("ridge").fit(MADE.updated(values=values), SPLIT, (1,))


def test_a_window_longer_than_the_history_is_told() -> None:
    with pytest.raises(ForecastError, match="too few for a window of 2000"):
        make_forecaster("ridge", window=2000).fit(MADE, SPLIT, (1,))
