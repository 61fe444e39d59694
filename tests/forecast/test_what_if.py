"""Single zones under other present values: as if they had been measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from forecast.synthetic import panel

from metalore.forecast import INTENT_SIZE, Edges, Forecaster, Panel, Split, Stream, make_forecaster
from metalore.forecast.what_if import OneByOne

HORIZONS = (1, 3)
ZONES = 7


def small_panel(intents: bool = False) -> Panel:
    """A ring of zones with a further input, and some embeddings; it ends with gaps."""
    random = np.random.default_rng(3)
    whole = panel(zones=ZONES, hours=24 * 7 * 3)
    values = whole.values.copy()
    values[-3:, 1] = np.nan
    values[:, 4] = np.where(np.arange(len(values))[:, None] > len(values) - 30, np.nan, values[:, 4])
    fields: dict[str, Any] = {"values": values, "lowest": np.zeros(2)}
    if intents:
        fields |= {"intent": random.standard_normal((3, INTENT_SIZE)), "intent_of": np.arange(ZONES) % 4 - 1}
    ring = np.roll(np.eye(ZONES), 1, axis=1) * random.uniform(0.5, 2, (ZONES, 1))
    users = random.uniform(0, 9, (len(values), ZONES, 1))
    return whole.updated(
        edges=Edges.of_matrix(ring), inputs=("active_users",), input_values=users, event_values=None, **fields
    )


def fitted(name: str, data: Panel, **settings: Any) -> Forecaster:
    split = Split.by_parts(data)
    if name == "stgnn":
        settings = {"hidden": 8, "window": 6, "recipe": {"epochs": 1, "windows": 64}, **settings}
    return make_forecaster(name, **settings).fit(data, split, HORIZONS)


def questions(data: Panel) -> tuple[np.ndarray, np.ndarray]:
    """Each zone twice, some columns given."""
    random = np.random.default_rng(5)
    zones = np.array([*range(ZONES), *range(ZONES)])
    values = random.uniform(0, 300, (len(zones), 3)).astype(np.float32)
    values[random.random(values.shape) < 0.3] = np.nan
    values[0] = np.nan
    return zones, values


@pytest.mark.parametrize(
    ("settings", "intents"),
    [
        ({"hubs": 0}, False),
        ({"hubs": 0, "layers": 1}, False),
        ({"hubs": 0, "layers": 3}, True),
        ({"hubs": 0, "layers": 4}, False),
        ({"hubs": 3}, True),
        ({"graph": False, "hubs": 0}, True),
        ({"inductive": True}, False),
        ({"relative": True}, False),
    ],
)
def test_the_network_forecasts_the_same_as_from_the_changed_panel(settings: dict[str, Any], intents: bool) -> None:
    data = small_panel(intents)
    forecaster = fitted("stgnn", data, **settings)
    given = forecaster.what_if(data)
    assert isinstance(given, OneByOne) == bool(settings.get("relative"))
    zones, values = questions(data)
    embeddings = {3: np.random.default_rng(0).standard_normal(INTENT_SIZE).astype(np.float32)} if intents else {}
    slow = OneByOne(forecaster, data).forecast(zones, values, embeddings)
    np.testing.assert_allclose(given.forecast(zones, values, embeddings), slow, rtol=2e-5, atol=2e-4)
    plain = forecaster.predict(data, [len(data) - 1])[0]
    np.testing.assert_allclose(given.forecast(zones[:1], values[:1], {})[0], plain[0], rtol=2e-5, atol=2e-4)
    assert np.abs(slow[1:7] - plain[1:7]).max() > 0.1  # what is given matters
    if intents:
        assert np.abs(given.forecast(zones, values, {})[3] - slow[3]).max() > 1e-3


def test_a_large_graph_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    """Edges instead of a matrix, and few cells at once."""
    import metalore.forecast.stgnn as stgnn
    import metalore.forecast.what_if_network as module

    monkeypatch.setattr(stgnn, "_DENSE", 2)
    monkeypatch.setattr(module, "_MOST_CELLS", 12)
    data = small_panel()
    forecaster = fitted("stgnn", data, hubs=0)
    zones, values = questions(data)
    given = forecaster.what_if(data)
    assert given.quick
    np.testing.assert_allclose(
        given.forecast(zones, values, {}), OneByOne(forecaster, data).forecast(zones, values, {}), rtol=2e-5, atol=2e-4
    )
    assert given.forecast(zones[:0], values[:0], {}).shape == (0, len(HORIZONS), 2, 3)


@pytest.mark.parametrize("name", ["last-value", "ridge", "smoothing"])
def test_any_forecaster(name: str) -> None:
    data = small_panel()
    forecaster = fitted(name, data)
    changed = data.values.copy()
    changed[-1, 2, 0] = 123.0
    expected = forecaster.predict(data.updated(values=changed), [len(data) - 1])[0, 2]
    values = np.full((1, 3), np.nan, np.float32)
    values[0, 0] = 123.0
    np.testing.assert_array_equal(forecaster.what_if(data).forecast(np.array([2]), values, {})[0], expected)


def test_a_stream_holds_still() -> None:
    data = small_panel()
    forecaster = fitted("stgnn", data, hubs=0)
    stream = Stream(forecaster)
    nothing = np.full((1, 3), np.nan, np.float32)
    before = stream.present()
    assert before.time_s == 0.0
    assert not before.known.any()
    assert np.isfinite(before.what_if.forecast(np.array([0]), nothing, {})).all()
    for t in range(stream.length + 5):
        cells = dict(zip(stream.columns, (1.0 + t, 2.0, 3.0), strict=True))
        stream.observe([{"time_s": data.times[t], "zone": zone, **cells} for zone in data.zones])
    present = stream.present()
    assert present.time_s == stream.time_s
    asked = present.what_if.forecast(np.array([2]), nothing, {})
    np.testing.assert_allclose(asked[0], stream.forecast().quantiles[2], rtol=2e-5, atol=2e-4)
    np.testing.assert_array_equal(present.times_s, stream.forecast().times_s)
    row = {"time_s": stream.time_s, "zone": data.zones[2], stream.columns[0]: 77.0, stream.columns[1]: 2.0}
    values = np.array([[77.0, np.nan, 9.0]], np.float32)
    stream.observe([row | {"active_users": 9.0}])
    np.testing.assert_allclose(present.what_if.forecast(np.array([2]), nothing, {}), asked)
    np.testing.assert_allclose(
        present.what_if.forecast(np.array([2]), values, {})[0], stream.forecast().quantiles[2], rtol=2e-5, atol=2e-4
    )
