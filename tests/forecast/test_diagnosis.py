"""Where a forecaster errs: tables that say just what a forecaster of known errors gets wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from forecast.synthetic import panel

from metalore.forecast import Forecaster, ForecastError, Panel, Progress, Split, evaluate, make_forecaster
from metalore.forecast.diagnosis import diagnose, place_tables, typical_zones


class Off(Forecaster):
    """Knows what comes, and is off by the hour of the day it forecasts, times one more than the number of the zone."""

    name = "off"

    def __init__(self, known: Panel) -> None:
        self.known = known

    def _fit(self, panel: Panel, split: Split, seed: int, progress: Progress | None) -> None:
        pass

    def _predict(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        truth = np.nan_to_num(self.known.actual(origins, self.horizons))
        hours = (origins[:, None] + np.asarray(self.horizons)) % 24
        zones = 1 + np.arange(len(panel.zones))
        middle = truth + (hours[:, None] * zones[:, None])[..., None]
        return np.stack([middle - 1e3, middle, middle + 1e3], axis=-1)


def judged(horizons: tuple[int, ...], **fields: Any) -> tuple[Panel, Split, Forecaster]:
    made = panel(hours=24 * 20, gaps=0.0, **fields)
    split = Split.by_parts(made)
    return made, split, Off(made).fit(made, split, horizons)


def test_errors_by_hour_and_zone() -> None:
    made, split, forecaster = judged((1, 6))
    found = diagnose(forecaster, made, split)
    hours = found.by_hour
    np.testing.assert_allclose(hours["mae"], 2 * hours["hour"], atol=1e-3)  # zones are off by 1, 2 and 3 times the hour
    assert hours.groupby(["target", "horizon"]).size().tolist() == [24] * 4
    zones = found.by_zone[(found.by_zone["target"] == "memory") & (found.by_zone["horizon"] == 6)]
    assert zones["zone"].tolist() == list(made.zones)
    np.testing.assert_allclose(zones["mae"] / zones["mae"].iloc[0], [1, 2, 3], rtol=1e-3)
    origins = split.origins("test", (1, 6))
    np.testing.assert_allclose(zones["mean"], made.actual(origins, (6,))[:, :, 0, 1].mean(axis=0), rtol=1e-5)


def test_tables_agree_with_the_scores() -> None:
    made = panel(hours=24 * 20)
    split = Split.by_parts(made)
    forecaster = make_forecaster("last-value").fit(made, split, (1,))
    scores, found = evaluate(forecaster, made, split), diagnose(forecaster, made, split)
    for table in (found.by_hour, found.by_zone):
        for target, own in table.groupby("target"):
            row = scores[scores["target"] == target].iloc[0]
            assert own["count"].sum() == row["count"]
            assert np.average(own["mae"], weights=own["count"]) == pytest.approx(row["mae"])
    for level in (10, 50, 90):
        covered = found.calibration[found.calibration["level"] == level / 100]
        assert covered["observed"].tolist() == scores[f"coverage_{level}"].tolist()


def test_examples_are_the_forecasts_of_the_worst_and_the_median_zone() -> None:
    made, split, forecaster = judged((1, 3, 6))
    found = diagnose(forecaster, made, split)
    shown = found.course.drop_duplicates(["target", "which"])
    assert shown[["target", "which", "zone"]].to_numpy().tolist() == [
        ["cpu", "worst", "zone-2"],
        ["cpu", "median", "zone-1"],
        ["memory", "worst", "zone-2"],
        ["memory", "median", "zone-1"],
    ]
    fans = found.fans[(found.fans["target"] == "cpu") & (found.fans["zone"] == "zone-2")]
    starts = fans["origin_s"].unique() / 3600
    assert len(starts) == 3  # a day with room for forecasts of six hours
    assert (np.diff(starts) >= 6).all()
    for origin, fan in fans.groupby("origin_s"):
        row = round(float(str(origin)) / 3600)
        assert fan["time_s"].tolist() == [3600.0 * (row + h) for h in (1, 3, 6)]
        expected = forecaster.predict(made, [row])[0, 2, :, 0]
        np.testing.assert_array_equal(fan[["q10", "q50", "q90"]].to_numpy(np.float32), expected)
    course = found.course[(found.course["target"] == "cpu") & (found.course["which"] == "worst")]
    rows = (course["time_s"] / 3600).astype(int)
    np.testing.assert_array_equal(course["value"].to_numpy(np.float32), made.values[rows, 2, 0])
    assert rows.min() == starts.min() - 6
    assert rows.max() == len(made) - 1


def test_with_one_horizon_every_interval_of_a_day_is_shown() -> None:
    made, split, forecaster = judged((2,))
    fans = diagnose(forecaster, made, split).fans
    own = fans[(fans["target"] == "cpu") & (fans["zone"] == "zone-2")]
    assert np.diff(own["time_s"]).tolist() == [3600.0] * (len(own) - 1)
    assert len(own) == 24 - 2


def test_a_zone_without_values_at_the_end_is_shown_where_it_has_some() -> None:
    made = panel(hours=24 * 20, gaps=0.0)
    values = made.values.copy()
    values[-30:, 2] = np.nan
    made = made.updated(values=values)
    split = Split.by_parts(made)
    course = diagnose(Off(made).fit(made, split, (1, 3)), made, split).course
    worst = course[(course["target"] == "cpu") & (course["which"] == "worst")]
    assert worst["value"].notna().mean() > 0.5


def test_a_target_that_was_not_measured_has_nothing_to_show() -> None:
    made = panel(hours=24 * 20, gaps=0.0)
    values = made.values.copy()
    values[Split.by_parts(made).test :, :, 1] = np.nan
    made = made.updated(values=values)
    split = Split.by_parts(made)
    found = diagnose(make_forecaster("last-value").fit(made, split, (1,)), made, split)
    assert set(found.course["target"]) == {"cpu"}
    silent = found.calibration[found.calibration["target"] == "memory"]
    assert silent["observed"].isna().all()
    assert silent["count"].eq(0).all()


def test_nothing_measured_is_nothing_to_judge_by() -> None:
    made = panel(hours=24 * 20)
    split = Split.by_parts(made)
    values = made.values.copy()
    values[split.test :] = np.nan
    fitted = make_forecaster("last-value").fit(made, split, (1,))
    with pytest.raises(ForecastError, match="has no value in the test part"):
        diagnose(fitted, made.updated(values=values), split)


def test_typical_zones_of_few() -> None:
    table = pd.DataFrame({"zone": ["a", "b"], "mae": [1.0, np.nan], "count": [3, 0]})
    assert typical_zones(table) == {"worst": "a"}
    assert typical_zones(table.assign(count=0)) == {}


def test_places() -> None:
    made = panel(positions=np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]))
    zones, edges = place_tables(made)
    assert zones.loc["zone-1"].tolist() == [2, 3]
    assert edges[["source", "target"]].to_numpy().tolist() == [[0, 1], [1, 2]]
    zones, edges = place_tables(made.updated(positions=None, edges=None))
    assert zones.isna().all(axis=None)
    assert edges.empty
