"""Graph WaveNet: what it looks back over, its graphs, its gaps, and that it learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from forecast.synthetic import error_of, follower
from forecast.synthetic import panel as made_panel

from metalore.forecast import Edges, ForecastError, Panel, Split, make_forecaster
from metalore.forecast.baselines.graph_wavenet import (
    DiffusionConvolution,
    GatedConvolution,
    GraphWaveNet,
    GraphWaveNetwork,
    Shape,
    transitions,
)

QUICK: dict[str, Any] = {"window": 4, "channels": 8, "skip": 16, "end": 16, "device": "cpu"}
LEARNING: dict[str, Any] = {**QUICK, "channels": 16, "epochs": 12, "batch": 16, "rate": 5e-3, "dropout": 0.0}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def random_network(window: int = 4, zones: int = 3) -> GraphWaveNetwork:
    torch.manual_seed(0)
    shape = Shape(known=3, horizons=5, targets=2, window=window, channels=8, skip=8, end=8, embedding=4, dropout=0.3)
    return GraphWaveNetwork(shape, torch.eye(zones)[None]).eval()


# -- layers ------------------------------------------------------------------------------------------------------------


def test_quantiles_are_in_order_and_relative_to_the_last_value() -> None:
    network = random_network()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 1)
    past, last = torch.randn(6, 4, 3, 3), torch.randn(6, 3, 2)
    quantiles = network(past, last)
    assert quantiles.shape == (6, 3, 5, 2, 3)
    assert (quantiles.diff(dim=-1) >= 0).all()
    torch.testing.assert_close(network(past, last + 1), quantiles + 1)


@pytest.mark.parametrize("window", [1, 2, 4, 5, 12, 13, 24])
def test_the_whole_window_is_seen(window: int) -> None:
    past = torch.randn(2, window, 3, 3, requires_grad=True)
    random_network(window)(past, torch.zeros(2, 3, 2)).sum().backward()
    assert past.grad is not None
    assert (past.grad.abs().sum(dim=(0, 2, 3)) > 0).all()


def test_a_window_of_12_takes_four_blocks_as_in_the_paper() -> None:
    network = random_network(12)
    assert network.receptive_field == 13
    assert [layer.dilation for layer in network.gated if isinstance(layer, GatedConvolution)] == [1, 2] * 4


def test_a_convolution_looks_back_only() -> None:
    convolution = GatedConvolution(2, dilation=2)
    hidden = torch.randn(1, 1, 6, 2)
    later = hidden.clone()
    later[:, :, 4:] += 1
    before, after = convolution(hidden), convolution(later)
    assert before.shape == (1, 1, 4, 2)
    changed = (before != after).any(dim=-1)[0, 0].tolist()
    assert changed == [False, False, True, True], "numbers 2 to 5 of the input, each with that two before it"


def test_a_random_walk_in_both_directions() -> None:
    along, against = transitions(Edges([0, 1], [2, 2], [1.0, 3.0], 3), 3)
    assert along.tolist() == [[0, 0, 1], [0, 0, 1], [0, 0, 0]]
    assert against.tolist() == [[0, 0, 0], [0, 0, 0], [0.25, 0.75, 0]]
    assert transitions(None, 4).shape == (0, 4, 4)


def test_diffusion_reaches_two_steps_far() -> None:
    chain = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    convolution = DiffusionConvolution(1, graphs=2, left_out=0.0)
    with torch.no_grad():
        convolution.mix.weight.copy_(torch.tensor([[1.0, 10.0, 100.0, 0.0, 1000.0]]))
        convolution.mix.bias.zero_()
    hidden = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1, 1).expand(3, 2, 4, 1)
    found = convolution(hidden, [chain, chain.T])
    assert found[:, 1, 2, 0].tolist() == [1 + 20 + 300, 2 + 30, 3 + 1000]


def test_the_learned_adjacency() -> None:
    network = random_network()
    with torch.no_grad():
        network.reads.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, -1.0, 0]]))
        network.is_read.copy_(torch.eye(3, 4))
    e, e2 = np.e, np.e**2
    expected = [[e / (e + 2), 1 / (e + 2), 1 / (e + 2)], [1 / (e2 + 2), e2 / (e2 + 2), 1 / (e2 + 2)], [1 / 3] * 3]
    torch.testing.assert_close(network.adaptive(), torch.tensor(expected))


# -- as a forecaster ---------------------------------------------------------------------------------------------------


def fitted(made: Panel, **settings: Any) -> GraphWaveNet:
    forecaster = GraphWaveNet(**{**QUICK, "epochs": 1, "steps": 3, **settings})
    return forecaster.fit(made, Split.by_parts(made), (1, 2), seed=3)


def test_the_window_and_nothing_after_it_counts() -> None:
    made = follower()
    forecaster = fitted(made, window=7)
    before = forecaster.predict(made, [1000])
    for row, counts in ((993, False), (994, True), (1000, True), (1001, False)):
        values = made.values.copy()
        values[row] += 1
        assert np.array_equal(forecaster.predict(made.updated(values=values), [1000]), before) != counts, row


def test_a_gap_is_told_from_a_value() -> None:
    made = follower()
    forecaster = fitted(made)
    gap, filled = made.values.copy(), made.values.copy()
    gap[1000] = np.nan
    filled[1000] = filled[999]
    forecasts = [forecaster.predict(made.updated(values=values), [1000]) for values in (gap, filled)]
    assert np.isfinite(forecasts[0]).all()
    assert not np.array_equal(*forecasts)


def test_gaps_in_training_are_no_obstacle() -> None:
    made = made_panel(24 * 20, gaps=0.4)
    assert np.isfinite(fitted(made).predict(made, [400, 401])).all()


def test_without_edges_and_for_one_zone() -> None:
    made = made_panel(24 * 20, zones=1, edges=None)
    forecaster = fitted(made)
    assert forecaster.predict(made, [400]).shape == (1, 1, 2, 2, 3)
    assert np.isfinite(forecaster.predict(made, [400])).all()


def test_the_graph_is_that_of_the_fit() -> None:
    made = follower()
    forecaster = fitted(made)
    expected = forecaster.predict(made, [1000])
    np.testing.assert_array_equal(forecaster.predict(made.updated(edges=None), [1000]), expected)
    assert not np.array_equal(fitted(made.updated(edges=None)).predict(made, [1000]), expected)


def test_the_day_of_the_week_counts_after_two_weeks() -> None:
    made = made_panel(24 * 30, targets=1)
    for validation, known in ((24 * 14 - 1, 3), (24 * 14, 10)):
        split = Split(validation, 24 * 20, 24 * 30)
        forecaster = GraphWaveNet(**QUICK, epochs=1, steps=1).fit(made, split, (1,))
        assert forecaster._network.first.in_features == known
    origins = np.array([24 * 8 + 6])  # Tuesday, 6 o'clock
    time = forecaster._time(made, origins)
    assert time[0, -1].tolist() == [0.25, 0, 1, 0, 0, 0, 0, 0]
    assert time[0, 0, 0] == 0.125


def test_the_same_seed_gives_the_same_and_leaves_the_global_generator_alone() -> None:
    made = follower()
    split = Split.by_parts(made)
    forecasts = []
    for before, seed in ((0, 3), (1, 3), (2, 4)):
        torch.manual_seed(before)
        state = torch.random.get_rng_state()
        forecasts.append(GraphWaveNet(**QUICK, epochs=2, steps=3).fit(made, split, (1, 2), seed).predict(made, [1000]))
        assert torch.equal(state, torch.random.get_rng_state())
    one, again, other = forecasts
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_settings_that_cannot_be_are_told() -> None:
    for settings in ({"channels": 0}, {"steps": 0}, {"rate": 0.0}):
        with pytest.raises(ForecastError, match="needs sizes, epochs, steps and a rate above 0"):
            GraphWaveNet(**settings)
    with pytest.raises(ForecastError, match="needs a dropout from 0 to below 1"):
        GraphWaveNet(dropout=1.0)


# -- learning ----------------------------------------------------------------------------------------------------------


def test_a_zone_that_repeats_its_neighbour_is_found_through_the_graph() -> None:
    made = follower(3)
    split = Split.by_parts(made)
    found = error_of(GraphWaveNet(**LEARNING).fit(made, split, (1,)), made, split)
    alone = error_of(make_forecaster("gru", window=4, hidden=16, epochs=4).fit(made, split, (1,)), made, split)
    assert (found[1:] < 0.4).all(), found
    assert found[0] > 0.9, "nobody can foresee noise"
    assert (alone > 0.9).all(), alone


def test_the_learned_adjacency_finds_the_neighbour_without_a_graph() -> None:
    made = follower(3).updated(edges=None)
    split = Split.by_parts(made)
    found = error_of(GraphWaveNet(**LEARNING).fit(made, split, (1,)), made, split)
    assert (found[1:] < 0.6).all(), found


def test_further_inputs_are_used() -> None:
    """The target repeats an input, one interval later."""
    random = np.random.default_rng(0)
    first = random.standard_normal((1200, 2, 1))
    values = 5 + np.concatenate([first[:1], first[:-1]])
    made = Panel(np.arange(1200) * 60.0, ("a", "b"), ("x",), values, 60.0, inputs=("y",), input_values=first)
    split = Split.by_parts(made)
    found = error_of(GraphWaveNet(**LEARNING).fit(made, split, (1,)), made, split)
    assert (found < 0.4).all(), found
