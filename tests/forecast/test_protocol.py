"""Comparisons: the same windows for everybody, tables that say what was asked, and known results on real data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from forecast.synthetic import panel
from telemetry.real_data import REAL_DATA, needs_real_data

from metalore.forecast import (
    ForecastError,
    Panel,
    PointForecaster,
    Progress,
    Split,
    compare,
    evaluate,
    make_forecaster,
    protocol,
    score,
    summary,
)

MADE = panel()
SPLIT = Split.by_parts(MADE)


class Constant(PointForecaster):
    """Forecasts its seed."""

    name = "constant"

    def _fit_point(self, panel: Panel, split: Split, seed: int, progress: Progress | None) -> None:
        self.seed = seed

    def _point(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        shape = (len(origins), len(panel.zones), len(self.horizons), len(panel.targets))
        return np.full(shape, self.seed, np.float32)


def test_a_table_has_a_row_for_each_forecaster_seed_horizon_and_target() -> None:
    said: list[str] = []
    table = compare({"constant": Constant, "again": Constant}, MADE, SPLIT, (1, 2), (0, 10), say=said.append)
    keys = table[["forecaster", "seed", "horizon", "target"]].to_numpy().tolist()
    assert keys[:5] == [
        ["constant", 0, "1", "cpu"],
        ["constant", 0, "1", "memory"],
        ["constant", 0, "2", "cpu"],
        ["constant", 0, "2", "memory"],
        ["constant", 10, "1", "cpu"],
    ]
    assert len(table) == 16
    assert len(said) == 4
    assert (table[["train_s", "inference_ms"]] > 0).all(axis=None)
    values = MADE.values[SPLIT.test :, :, 0]
    assert table["mae"][0] == pytest.approx(np.nanmean(np.abs(values)))
    assert table["mae"][4] == pytest.approx(np.nanmean(np.abs(values - 10)))
    assert table["count"][0] == (~np.isnan(values)).sum()
    means = summary(table)
    assert means["mae"][0] == pytest.approx(table["mae"][[0, 4]].mean())
    assert means["mae_sd"][0] == pytest.approx(table["mae"][[0, 4]].std())
    assert means["seeds"].eq(2).all()


def test_groups_pool_errors_over_horizons_of_their_own_windows() -> None:
    forecaster = make_forecaster("last-value").fit(MADE, SPLIT, (1, 2, 3))
    table = evaluate(forecaster, MADE, SPLIT, groups={"near": (1, 2), "far": (1, 2, 3)}, window=5, inside=True)
    for name, most in (("near", 2), ("far", 3)):
        origins = np.arange(SPLIT.test + 4, SPLIT.end - most)
        at = slice(0, most)
        wanted = score(
            MADE.actual(origins, (1, 2, 3))[:, :, at, 0], forecaster.predict(MADE, origins)[:, :, at, 0]
        ).as_row()
        row = table[(table["horizon"] == name) & (table["target"] == "cpu")].iloc[0]
        assert row["count"] == wanted["count"]
        assert row["rmse"] == pytest.approx(wanted["rmse"])
    with pytest.raises(ForecastError, match="pools horizons that last-value does not forecast"):
        evaluate(forecaster, MADE, SPLIT, groups={"beyond": (4,)})


def test_everybody_is_judged_on_the_same_entries() -> None:
    split = Split(20, 40, 60)  # so early that windows shorten the test part
    table = compare(["last-value", "ridge"], MADE, split, (1,), settings={"window": 12})
    assert table["count"].nunique() == 1 or set(table["count"]) == set(
        (~np.isnan(MADE.values[40:60])).sum(axis=(0, 1)).tolist()
    )
    by_target = table.groupby("target")["count"].nunique()
    assert (by_target == 1).all()


def test_what_lies_behind_the_end_does_not_count() -> None:
    split = Split(SPLIT.validation, SPLIT.test, SPLIT.end - 50)
    values = MADE.values.copy()
    values[split.end :] = 1e6
    tables = [compare(["last-value"], made, split, (1, 4)) for made in (MADE, MADE.updated(values=values))]
    scores = [table.drop(columns=["train_s", "inference_ms"]) for table in tables]
    pd.testing.assert_frame_equal(*scores)


def test_an_unknown_protocol_is_told() -> None:
    with pytest.raises(ForecastError, match=r"has no protocol 'melborne'; did you mean 'melbourne'\?"):
        protocol("melborne", REAL_DATA)


# Known results


def table_of(name: str, forecasters: Sequence[str]) -> pd.DataFrame:
    return protocol(name, REAL_DATA).compare(forecasters)


@needs_real_data
def test_known_results_on_melbourne() -> None:
    table = table_of("melbourne", ["last-value", "last-week", "weeks-mean", "ridge"]).set_index("forecaster")
    last = table.loc["last-value"]
    assert [last["mae"], last["rmse"]] == pytest.approx([103.9, 209.6], abs=0.05)
    assert last["wape"] == pytest.approx(0.280, abs=5e-4)
    # Published with gaps in the past counted as nobody: 81.8 / 217.4 and 76.1 / 187.9. With gaps left out they are
    # 79.98 / 213.89 and 73.2 / 184.1; here a gap is replaced by the week before it.
    assert [table.loc["last-week", "mae"], table.loc["last-week", "rmse"]] == pytest.approx([80.0, 213.9], rel=5e-3)
    assert [table.loc["weeks-mean", "mae"], table.loc["weeks-mean", "rmse"]] == pytest.approx([73.2, 184.1], rel=5e-3)
    assert table.loc["ridge", "mae"] < 55.9
    assert table.loc["ridge", "rmse"] < 122.2
    assert table["count"].nunique() == 1


@needs_real_data
def test_known_results_on_los_loop() -> None:
    table = table_of("los-loop", ["last-value"]).set_index("horizon")
    assert table["rmse"].tolist() == pytest.approx([5.54, 6.70, 7.63, 8.46], abs=5e-3)
    assert table["mae"].tolist() == pytest.approx([3.16, 3.63, 4.04, 4.43], abs=5e-3)
    assert table.loc["15 min", "count"] == 389 * 3 * 207


@needs_real_data
def test_known_results_on_barcelona() -> None:
    table = table_of("barcelona", ["last-value"])
    found = table.groupby("panel")["nrmse"].mean()
    assert found.to_dict() == pytest.approx({"ElBorn": 0.8759, "LesCorts": 0.2681, "PobleSec": 0.8321}, abs=5e-5)
