"""Splines, their grids, and what a Kolmogorov-Arnold network learns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline
from scipy.special import j0
from torch import Tensor

from metalore.intent.errors import IntentError
from metalore.intent.kan import KAN, KANLayer, fit, spline_bases, spread_knots

ORDERS = (1, 2, 3, 5)


@pytest.fixture(autouse=True)
def one_thread_in_double_precision() -> Iterator[None]:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
    torch.set_default_dtype(torch.float32)


def uneven_knots(order: int, grid: int = 6) -> Tensor:
    return spread_knots(torch.randn(200, 2), grid, order, uniform=0.1)


# -- splines -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("grid", [1, 4, 40])
def test_bases_are_the_b_splines_of_scipy(order: int, grid: int) -> None:
    knots = uneven_knots(order, grid)
    ends = knots[:, order], knots[:, -order - 1]
    x = ends[0] + torch.rand(50, 2) * (ends[1] - ends[0])
    found = spline_bases(x, knots, order)
    for i in range(2):
        design = BSpline.design_matrix(x[:, i].numpy(), knots[i].numpy(), order).toarray()
        np.testing.assert_allclose(found[:, i].numpy(), design, atol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
def test_bases_sum_to_one_everywhere_and_are_never_negative(order: int) -> None:
    x = torch.linspace(-9, 9, 401)[:, None].expand(-1, 2)
    bases = spline_bases(x, uneven_knots(order), order)
    torch.testing.assert_close(bases.sum(dim=-1), torch.ones(401, 2))
    assert bases.min() >= -1e-12


def test_beyond_the_grid_a_spline_keeps_its_last_value() -> None:
    knots = uneven_knots(3)
    ends = torch.stack([knots[:, 3], knots[:, -4]])
    torch.testing.assert_close(
        spline_bases(ends + torch.tensor([[-5.0], [5.0]]), knots, 3), spline_bases(ends, knots, 3)
    )


@pytest.mark.parametrize("order", ORDERS)
def test_the_gradient_is_the_slope(order: int) -> None:
    knots = uneven_knots(order)
    x = (1.5 * torch.randn(20, 2)).requires_grad_()
    assert torch.autograd.gradcheck(lambda points: spline_bases(points, knots, order), x, eps=1e-7, atol=1e-5)


def test_knots_rise_also_where_samples_repeat() -> None:
    samples = torch.cat([torch.zeros(90, 1), torch.rand(10, 1)])
    for x in (samples, torch.full((100, 1), 7.0)):
        knots = spread_knots(x, 10, 3, uniform=0.02)
        assert (knots.diff() > 0).all()
        assert knots[0, 3] < x.min()
        assert knots[0, -4] > x.max()


def test_a_grid_follows_its_samples() -> None:
    many_at_left = torch.cat([torch.rand(900, 1), 1 + 9 * torch.rand(100, 1)])
    inner = spread_knots(many_at_left, 10, 3, uniform=0.02)[0, 3:-3]
    assert (inner < 1).sum() >= 8
    even = spread_knots(many_at_left, 10, 3, uniform=1.0)[0]
    torch.testing.assert_close(even.diff(), even.diff().mean().expand(len(even) - 1))


# -- layers ------------------------------------------------------------------------------------------------------------


def test_a_layer_is_the_sum_of_its_edges() -> None:
    layer, x = KANLayer(3, 4, grid=5), torch.randn(30, 3)
    torch.testing.assert_close(layer.edges(x).sum(dim=2), layer(x))
    torch.testing.assert_close(layer(x.view(5, 6, 3)), layer(x).view(5, 6, 4))


def test_an_edge_is_a_spline_and_a_silu() -> None:
    layer, x = KANLayer(1, 1, grid=4), torch.linspace(-0.99, 0.99, 50)[:, None]
    spline = BSpline(layer.knots[0].numpy(), layer.coefficients[0, 0].detach().numpy(), 3)
    expected = spline(x[:, 0].numpy()) + layer.base.item() * (x / (1 + torch.exp(-x)))[:, 0].numpy()
    np.testing.assert_allclose(layer(x)[:, 0].detach().numpy(), expected, atol=1e-12)


def test_a_new_grid_leaves_the_outputs() -> None:
    network, x = KAN([2, 5, 1], grid=5), 2 * torch.rand(500, 2) - 1
    with torch.no_grad():
        for layer in network.layers:
            layer.coefficients.mul_(10)
    network.update_grid(x)
    before, knots = network(x), network.layers[0].knots.clone()
    network.update_grid(x, grid=60)
    assert network.layers[1].grid == 60
    assert network.layers[0].coefficients.shape == (5, 2, 63)
    assert not torch.equal(knots[0, :9], network.layers[0].knots[0, :9])
    assert (network(x) - before).square().mean().sqrt().item() < 1e-3 * before.std().item()


def test_a_grid_of_the_same_size_keeps_the_parameters_that_an_optimizer_holds() -> None:
    layer, x = KANLayer(2, 3, grid=8), torch.randn(300, 2)
    held, before = layer.coefficients, layer(x)
    layer.update_grid(x, uniform=0.5)
    assert layer.coefficients is held
    assert (layer(x) - before).square().mean().sqrt().item() < 0.2 * before.std().item()


def test_the_penalty_is_that_of_the_paper() -> None:
    layer, x = KANLayer(2, 2, grid=3), torch.randn(40, 2)
    with torch.no_grad():
        layer.coefficients.zero_()
        layer.base.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    sizes = (x / (1 + torch.exp(-x))).abs().mean(dim=0)
    share = sizes / sizes.sum()
    torch.testing.assert_close(layer.penalty(x, entropy=0.0), sizes.sum())
    torch.testing.assert_close(layer.penalty(x, entropy=2.0), sizes.sum() - 2 * (share * share.log()).sum())


def test_the_penalty_makes_edges_that_nothing_needs_small() -> None:
    x = 2 * torch.rand(300, 3) - 1
    y = torch.sin(math.pi * x[:, :1]) + 0.3 * torch.randn(300, 1)
    shares = []
    for weight in (0.0, 1e-2):
        network = KAN([3, 1], grid=5)
        fit(network, x, y, 40, weight)
        sizes = network.layers[0].edges(x).abs().mean(dim=0)[0]
        shares.append((sizes[1:].sum() / sizes.sum()).item())
    assert shares[1] < shares[0] / 3


@pytest.mark.parametrize("widths", [[2], [2, 0, 1]])
def test_a_network_needs_layers_and_nodes(widths: list[int]) -> None:
    with pytest.raises(IntentError):
        KAN(widths)


# -- the paper's functions ---------------------------------------------------------------------------------------------


def bessel(x: Tensor) -> Tensor:
    return torch.from_numpy(j0(20 * x.numpy()))


def exp_sin(x: Tensor) -> Tensor:
    return torch.exp(torch.sin(math.pi * x[:, :1]) + x[:, 1:] ** 2)


def product(x: Tensor) -> Tensor:
    return x[:, :1] * x[:, 1:]


def four(x: Tensor) -> Tensor:
    """exp((sin(pi (x1^2 + x2^2)) + sin(pi (x3^2 + x4^2))) / 2)"""
    pairs = (x**2).view(-1, 2, 2).sum(dim=2)
    return torch.exp(torch.sin(math.pi * pairs).sum(dim=1, keepdim=True) / 2)


TOYS: dict[str, tuple[list[int], Callable[[Tensor], Tensor], tuple[int, ...], int, float]] = {
    "bessel": ([1, 1], bessel, (3, 20, 50), 60, 1e-3),
    "exp_sin": ([2, 1, 1], exp_sin, (3, 5, 10), 250, 1e-2),
    "product": ([2, 2, 1], product, (3, 5, 10), 60, 1e-2),
    "four": ([4, 4, 2, 1], four, (3, 5, 10), 60, 5e-2),
}


@pytest.mark.parametrize("name", TOYS)
def test_finer_grids_learn_the_functions_of_the_paper(name: str) -> None:
    widths, function, grids, steps, least = TOYS[name]
    x, unseen = (2 * torch.rand(1000, widths[0]) - 1 for _ in range(2))
    network, errors = KAN(widths), []
    for grid in grids:
        network.update_grid(x, grid)
        fit(network, x, function(x), steps)
        with torch.no_grad():
            errors.append((network(unseen) - function(unseen)).square().mean().sqrt().item())
    print(name, errors)
    assert errors[-1] < least
    assert errors[-1] < errors[0] / 3
