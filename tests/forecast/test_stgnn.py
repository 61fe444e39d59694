"""The graph network: its quantiles, its graph, its gaps, and the zones that it has not seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from forecast.synthetic import error_of, follower
from forecast.synthetic import panel as made_panel

from metalore.forecast import Edges, ForecastError, Panel, Split, evaluate
from metalore.forecast import stgnn as module
from metalore.forecast.stgnn import STGNN, Hubs, Neighbours, Shape
from metalore.forecast.training import STGNNForecaster, loss_of
from metalore.forecast.windows import Layout, Windows

QUICK: dict[str, Any] = {"window": 4, "hidden": 16, "recipe": {"epochs": 4}, "device": "cpu"}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def random_network(seed: int = 0, **fields: Any) -> STGNN:
    """With large random weights everywhere, so that quantiles are anywhere."""
    torch.manual_seed(seed)
    network = STGNN(Shape(**{"known": 6, "horizons": 3, "targets": 2, "zones": 5, "hubs": 3, **fields})).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 1)
    return network


RING = Edges(np.arange(5), (np.arange(5) + 1) % 5, np.ones(5), 5)
KNOWN, LAST = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(1)), torch.zeros(4, 5, 2)


def test_quantiles_never_cross_and_never_lie_below_the_least_value() -> None:
    least = torch.full((5, 2), -0.5)
    quantiles = random_network()(KNOWN, LAST, Neighbours(RING), least=least)
    assert quantiles.shape == (4, 5, 3, 2, 4), "the mean comes last"
    assert (quantiles[..., :3].diff(dim=-1) >= 0).all()
    assert quantiles.min() == -0.5
    free = random_network()(KNOWN, LAST, Neighbours(RING))
    assert free.min() < -0.5
    torch.testing.assert_close(quantiles, free.clamp(min=-0.5))


def test_a_forecast_at_the_bound_can_leave_it() -> None:
    network = STGNN(Shape(known=6, horizons=1, targets=1, graph=False))
    with torch.no_grad():
        network.head.bias[0] = -10.0
    network(KNOWN, torch.zeros(4, 5, 1), least=torch.zeros(5, 1))[..., 1].sum().backward()
    assert network.head.bias.grad is not None
    assert network.head.bias.grad[0] > 0


def test_an_untrained_network_says_the_last_value() -> None:
    last = torch.arange(40.0).view(4, 5, 2)
    quantiles = STGNN(Shape(known=6, horizons=3, targets=2, zones=5))(KNOWN, last, Neighbours(RING))
    for which in (1, 3):  # median and mean
        torch.testing.assert_close(quantiles[..., which], last[:, :, None].expand(-1, -1, 3, -1))


def test_neighbours_are_weighted_means_in_both_directions() -> None:
    edges = Edges([0, 1, 2], [2, 2, 0], [1.0, 3.0, 5.0], 4)  # 0 -> 2 <- 1, 2 -> 0; zone 3 is alone
    onward, backward = Neighbours(edges)(torch.tensor([[[10.0], [20.0], [30.0], [40.0]]]))
    assert onward[0, :, 0].tolist() == [30.0, 0.0, pytest.approx(0.25 * 10 + 0.75 * 20), 0.0]
    assert backward[0, :, 0].tolist() == [30.0, 30.0, 10.0, 0.0]


def test_edges_one_by_one_and_as_a_matrix_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    matrix = random.random((30, 30)) * (random.random((30, 30)) < 0.2)
    edges, hidden = Edges.of_matrix(matrix), torch.randn(3, 30, 8)
    dense = Neighbours(edges)(hidden)
    monkeypatch.setattr(module, "_DENSE", 10)
    for one, other in zip(dense, Neighbours(edges)(hidden), strict=True):
        torch.testing.assert_close(one, other)


def test_hubs_are_a_row_stochastic_adjacency() -> None:
    hubs = Hubs(7, 3)
    adjacency = hubs(torch.eye(7)[None])[0]
    assert (adjacency > 0).all()
    torch.testing.assert_close(adjacency.sum(dim=1), torch.ones(7))


def test_intent_counts_where_it_is_there() -> None:
    network = random_network(intent=True, graph=False, hubs=0)
    intent = torch.randn(5, 1024)
    intent_of = torch.tensor([0, 1, 2, -1, -1]).expand(len(KNOWN), -1)
    with_intent, without = network(KNOWN, LAST, intent=intent, intent_of=intent_of), network(KNOWN, LAST)
    assert not torch.isnan(with_intent).any()
    torch.testing.assert_close(with_intent[:, 3:], without[:, 3:])
    assert ((with_intent[:, :3] - without[:, :3]).abs().amax(dim=(0, 2, 3, 4)) > 0.1).all()


def test_loss_is_over_what_was_measured() -> None:
    forecast = torch.zeros(2, 3, 1, 1, 4, requires_grad=True)
    actual = torch.full((2, 3, 1, 1), torch.nan)
    actual[0, 1] = 2.0
    loss = loss_of(forecast, actual, torch.ones(3, 1), squared=0.5)
    assert loss.item() == pytest.approx(2 * (0.1 + 0.5 + 0.9) * 2 / 3 + 0.5 * 4)
    loss.backward()
    assert forecast.grad is not None
    assert torch.isfinite(forecast.grad).all()
    assert forecast.grad.abs().sum(dim=(2, 3, 4)).nonzero().tolist() == [[0, 1]]
    assert loss_of(forecast, torch.full_like(actual, torch.nan), torch.ones(3, 1), 0.5).item() == 0


def gradient_of_the_mean(passed: float) -> dict[str, torch.Tensor]:
    network = random_network()
    network.passed = passed
    network(KNOWN, LAST, Neighbours(RING))[..., -1].sum().backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}


def test_a_part_of_the_means_gradient_reaches_what_is_shared() -> None:
    none, tenth, all_of_it = (gradient_of_the_mean(passed) for passed in (0.0, 0.1, 1.0))
    assert set(none) == {"mean.weight", "mean.bias"}
    assert set(tenth) == set(all_of_it) > {"window.weight", "head.weight", "straight.weight"}
    for name, whole in all_of_it.items():
        expected = whole if name.startswith("mean.") else 0.1 * whole
        torch.testing.assert_close(tenth[name], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dense", [True, False])
def test_half_precision_gives_nearly_the_same(dense: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, where training and forecasting run under autocast; the processor knows the same type."""
    if not dense:
        monkeypatch.setattr(module, "_DENSE", 1)
    torch.manual_seed(0)
    network, near = STGNN(Shape(known=6, horizons=3, targets=2, zones=5, hubs=3, intent=True)).eval(), Neighbours(RING)
    torch.nn.init.normal_(network.head.weight, std=0.3)
    torch.nn.init.normal_(network.mean.weight, std=0.3)
    given = {"intent": torch.randn(2, 1024), "intent_of": torch.tensor([0, 1, -1, -1, 0]).expand(len(KNOWN), -1)}
    exact = network(KNOWN, LAST, near, **given)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(KNOWN, LAST, near, **given)
    assert half.dtype == torch.float32, "the last sums are exact"
    assert 0 < (half - exact).abs().max() < 0.03 * exact.abs().max()
    half.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


# -- windows -----------------------------------------------------------------------------------------------------------


def test_a_window_is_what_it_says() -> None:
    made = made_panel(gaps=0.0, targets=1)
    split = Split.by_parts(made)
    layout = Layout.of(made, split.validation, 3, (1, 2))
    assert layout.lags == (24,)
    assert (layout.day, layout.week) == (24, 7)
    from metalore.forecast.scaling import Scaler

    scaler = Scaler(np.zeros((3, 1), np.float32), np.ones((3, 1), np.float32))
    batch = Windows(made, layout, scaler, None, np.array([700])).batch(np.array([700]))
    values = made.values[:, 1, 0]
    expected = [*values[698:701]] + [0] * 3
    expected += [values[700 + step - lag] for lag in layout.lags for step in (0, 1, 2, 3)] + [0] * 4
    np.testing.assert_allclose(batch.known[0, 1].numpy(), expected)
    assert batch.known.shape == (1, 3, layout.known)
    assert batch.last[0, 1, 0] == values[700]
    assert batch.day is not None
    assert batch.week is not None
    assert (int(batch.day), int(batch.week)) == (701 % 24, 701 // 24 % 7)


def test_gaps_are_filled_with_the_last_value_and_told() -> None:
    values = np.arange(20.0).reshape(10, 2, 1)
    values[4:6, 0] = np.nan
    values[:, 1] = np.nan
    made = Panel(np.arange(10) * 60.0, ("a", "b"), ("x",), values, 60.0, allow_empty=True)
    from metalore.forecast.scaling import Scaler

    scaler = Scaler(np.zeros((2, 1), np.float32), np.ones((2, 1), np.float32))
    batch = Windows(made, Layout(4, (1,), 1), scaler, None, np.array([5, 1])).batch(np.array([5, 1]))
    assert batch.known[0, 0].tolist() == [4, 6, 6, 6, 0, 0, 1, 1]
    assert batch.known[0, 1].tolist() == [0] * 4 + [1] * 4
    assert batch.known[1, 0].tolist() == [0, 0, 0, 2, 1, 1, 0, 0], "before the panel begins nothing is known"
    assert batch.last[:, 0, 0].tolist() == [6, 2]


# -- learning ----------------------------------------------------------------------------------------------------------


def test_a_zone_that_repeats_its_neighbour_is_found_through_the_graph_only() -> None:
    made = follower()
    split = Split.by_parts(made)
    settings: dict[str, Any] = {**QUICK, "recipe": {"epochs": 12}, "hubs": 0}
    with_graph = error_of(STGNNForecaster(**settings).fit(made, split, (1,)), made, split)
    without = error_of(STGNNForecaster(**settings, graph=False).fit(made, split, (1,)), made, split)
    assert (with_graph[1:] < 0.3).all(), with_graph
    assert (without > 0.9).all(), without
    assert with_graph[0] > 0.9, "nobody can foresee noise"


def test_a_learned_adjacency_finds_the_neighbour_without_a_graph() -> None:
    made = follower(3).updated(edges=None)
    split = Split.by_parts(made)
    found = error_of(STGNNForecaster(**{**QUICK, "recipe": {"epochs": 25}}, hubs=4).fit(made, split, (1,)), made, split)
    assert (found[1:] < 0.6).all(), found


def test_zones_that_were_not_seen() -> None:
    """A network of three zones forecasts six, through the place of each in the graph."""
    few, many = follower(3), follower(6, seed=1)
    split = Split.by_parts(few)
    forecaster = STGNNForecaster(**{**QUICK, "recipe": {"epochs": 12}}, inductive=True).fit(few, split, (1,))
    assert (error_of(forecaster, many, split)[1:] < 0.4).all()
    order = [3, 1, 0, 5, 4, 2]
    moved = many.of_zones([many.zones[z] for z in order])
    np.testing.assert_allclose(
        forecaster.predict(moved, [99]), forecaster.predict(many, [99])[:, order], rtol=1e-4, atol=1e-4
    )
    with pytest.raises(ForecastError, match="has none"):
        forecaster.predict(many.updated(edges=None), [99])
    with pytest.raises(ForecastError, match="other zones"):
        STGNNForecaster(**QUICK).fit(few, split, (1,)).predict(many, [99])


def test_the_same_seed_gives_the_same_and_leaves_the_global_generator_alone() -> None:
    made = made_panel(24 * 20)
    split = Split.by_parts(made)
    state = torch.random.get_rng_state()
    one, again, other = (
        STGNNForecaster(**QUICK).fit(made, split, (1, 2), seed).predict(made, [400]) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert torch.equal(state, torch.random.get_rng_state())


def test_median_and_mean_are_what_they_say_of_skewed_values() -> None:
    """Of exponential noise, whose median is ln 2 of its mean; RMSE judges the mean, MAE the median."""
    values = np.random.default_rng(0).exponential(1.0, (2000, 4, 1))
    made = Panel(60.0 * np.arange(2000), tuple("abcd"), ("x",), values, 60.0, lowest=np.zeros(1))
    split = Split.by_parts(made)
    fitted = STGNNForecaster(**{**QUICK, "hubs": 0, "recipe": {"epochs": 12}}).fit(made, split, (1,))
    quantiles, mean = fitted.predict_with_mean(made, split.origins("test", (1,), fitted.window))
    assert np.median(quantiles[..., 1]) == pytest.approx(np.log(2), abs=0.12)
    assert np.median(mean) == pytest.approx(1.0, abs=0.12)
    scores = evaluate(fitted, made, split).iloc[0]
    assert scores["rmse"] == pytest.approx(1.0, abs=0.08), "the deviation; the median would give 1.05"


def test_announced_events_and_intent_are_used() -> None:
    """What an event does is known before it begins; what an intent means, as soon as it is there."""
    random = np.random.default_rng(0)
    rows, zones = 1200, 3
    event = (random.random((rows, zones, 1)) < 0.2).astype(float)
    meaning, wants = random.standard_normal((rows, zones)), random.standard_normal(1024)
    intent = (meaning.reshape(-1, 1) * wants).astype(np.float32)
    later = np.concatenate([np.zeros((1, zones)), meaning[:-1]])
    values = 0.1 * random.standard_normal((rows, zones, 1)) + 2 * event + later[..., None]
    made = Panel(np.arange(rows) * 60.0, ("a", "b", "c"), ("x",), values, 60.0, events=("match",), event_values=event,
                 intent=intent, intent_of=np.arange(rows * zones).reshape(rows, zones))  # fmt: skip
    split = Split.by_parts(made)
    settings: dict[str, Any] = {**QUICK, "recipe": {"epochs": 12}}
    both = error_of(STGNNForecaster(**settings).fit(made, split, (1,)), made, split)
    blind = made.updated(intent=None, intent_of=None)
    events = error_of(STGNNForecaster(**settings).fit(blind, split, (1,)), blind, split)
    assert (both < 0.4).all(), both
    assert (events > 0.8).all(), events
    assert (events < 1.15).all(), events


def test_a_network_that_diverges_says_so() -> None:
    made = made_panel(24 * 20)
    with pytest.raises(ForecastError, match="diverged"):
        STGNNForecaster(**{**QUICK, "recipe": {"learning_rate": 1e30}}).fit(made, Split.by_parts(made), (1,))
