"""Forecasts of a demand by a kept forecaster: the forecaster's own, without looking ahead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from metalore.fluid import Demand, FluidZones
from metalore.fluid.ahead import forecasts_of
from metalore.forecast import ForecastError, Split, make_forecaster, save_forecaster
from metalore.forecast.ahead import panel_of

HORIZONS = (1, 3)


def demand() -> Demand:
    drawn = Demand.drawn("city-30", days=0.5, scale=0.4)
    return drawn.of_zones([0, 8, 14])


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    panel = panel_of(demand())
    split = Split.by_parts(panel)
    recipe = {"epochs": 1}
    network = make_forecaster("stgnn", window=6, hidden=8, recipe=recipe, device="cpu").fit(panel, split, HORIZONS)
    folder = tmp_path_factory.mktemp("kept") / "forecaster"
    save_forecaster(network, folder, panel=panel, split=split)
    return folder


def test_they_are_the_forecasters_own(kept: Path) -> None:
    from metalore.forecast import load_forecaster

    asked = demand()
    ahead = forecasts_of(str(kept), asked, (3,))
    rows, zone_of = np.array([6, 300, 720]), np.array([[2], [0], [1]])
    found = ahead(rows, zone_of)
    assert found.shape == (3, 1, 1, 4, 2)
    expected = load_forecaster(kept).predict(panel_of(asked), rows - 1)
    for e in range(3):
        np.testing.assert_allclose(found[e, 0, 0], expected[e, zone_of[e, 0], 1, :, 1:], rtol=1e-5)
    assert np.isnan(ahead(np.array([5]), np.array([[0]]))).all(), "six intervals are looked at, and five are known"


def test_no_look_ahead(kept: Path) -> None:
    asked, row, zones = demand(), 400, np.array([[0, 1, 2]])
    used, requests, users = asked.used.copy(), asked.requests.copy(), asked.users.copy()
    used[row:], requests[row:], users[row:] = 77.0, 999.0, 999.0
    other = replace(asked, used=used, requests=requests, users=users)
    ours, theirs = (forecasts_of(str(kept), one, HORIZONS) for one in (asked, other))
    np.testing.assert_array_equal(ours(np.array([row]), zones), theirs(np.array([row]), zones))
    assert not np.array_equal(ours(np.array([row + 1]), zones), theirs(np.array([row + 1]), zones))


def test_an_environment_shows_them(kept: Path) -> None:
    from metalore.envs.zone_core import ZoneCore, ZoneSettings

    core = ZoneCore(FluidZones(demand(), 2), ZoneSettings(forecast=str(kept), horizons=HORIZONS, intervals=20))
    seen = core.reset([1, 2])
    np.testing.assert_allclose(seen[0, 0, 0], core.forecast[0, 0, 0, 0, 0] / 2.0, rtol=1e-5)
    assert np.isfinite(seen).all()


def test_one_sentence_each(kept: Path) -> None:
    asked = demand()
    with pytest.raises(ForecastError, match="forecasts 1, 3 intervals ahead, not 2"):
        forecasts_of(str(kept), asked, (1, 2))
    with pytest.raises(ForecastError, match="intervals of 60 s, not of 30 s"):
        forecasts_of(str(kept), replace(asked, interval_s=30.0), (1,))
    with pytest.raises(ForecastError, match="no column 'rain'"):
        panel_of(asked, ["rain"])
    with pytest.raises(ForecastError, match="no calendar"):
        panel_of(replace(asked, planned=None), events=("event_near", "event_on"))
