"""A Kolmogorov-Arnold network: learned functions on edges, sums at nodes.

Axes: `n` samples, `i` inputs of a layer, `o` its outputs, `c` basis functions of a spline. A grid of `g` intervals and
order `k` has `g + 2 k + 1` knots and `g + k` basis functions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from metalore.intent.errors import IntentError

_NARROWEST = 1e-3
"""Least width of a grid, so that one can be laid over an input that never changes."""


def spline_bases(x: Tensor, knots: Tensor, order: int) -> Tensor:
    """All B-splines of an order at given points; they are at least 0 and sum to 1.

    Cox-de Boor recursion (de Boor 1978, "A Practical Guide to Splines"), over the `k + 1` splines that are not 0 at a
    point (Piegl and Tiller 1997, "The NURBS Book", algorithm A2.2). Beyond the grid they are what they are at its end.

    Args:
        x: points [n, i].
        knots: of each input, rising [i, g + 2 k + 1]; the grid lies between knot k and knot g + k.
        order: k, the degree of the polynomials, from 1 on.

    Returns:
        [n, i, g + k]; differentiable once in `x`.
    """
    precise = x.to(knots.dtype)  # under autocast points may come in half precision
    bases: Tensor = _Bases.apply(precise, knots, order)  # type: ignore[no-untyped-call]  # torch has no type for it
    return bases


class _Bases(torch.autograd.Function):
    """See :func:`spline_bases`. Its own gradient costs a fifth of what torch would record for the recursion."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, knots: Tensor, order: int) -> Tensor:
        count = knots.shape[1] - 1 - order
        inside = x.clamp(knots[:, order], knots[:, count])
        first = _first(inside, knots[:, order + 1 : count])
        values, slopes = _nonzero(inside, knots, order, first)
        places = first[..., None] + torch.arange(order + 1, device=x.device)
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(places, slopes * (inside == x)[..., None])
        return x.new_zeros(*x.shape, count).scatter_(-1, places, values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        places, slopes = ctx.saved_tensors
        return (gradients[0].gather(-1, places) * slopes).sum(dim=-1), None, None


def _first(x: Tensor, borders: Tensor) -> Tensor:
    """Number of the first spline that is not 0: so many inner borders lie at or below each point."""
    if borders.shape[1] > 8:
        return torch.searchsorted(borders.contiguous(), x.T.contiguous(), right=True).T
    first = torch.zeros(x.shape, dtype=torch.int8, device=x.device)
    for border in borders.T:
        first += (x >= border).view(torch.int8)
    return first.long()


def _nonzero(x: Tensor, knots: Tensor, order: int, first: Tensor) -> tuple[Tensor, Tensor]:
    """Values and derivatives of the splines that are not 0, each [n, i, k + 1]."""
    row = torch.arange(len(knots), device=x.device) * knots.shape[1]
    at = first + order + row  # of the knot below each point
    below = [x - knots.take(at + 1 - j) for j in range(1, order + 1)]
    above = [knots.take(at + j) - x for j in range(1, order + 1)]
    values, parts = [torch.ones_like(x)], [torch.zeros_like(x)]
    for j in range(1, order + 1):
        parts = [value / (above[r] + below[j - 1 - r]) for r, value in enumerate(values)]
        fall = [above[r] * part for r, part in enumerate(parts)]
        rise = [below[j - 1 - r] * part for r, part in enumerate(parts)]
        values = [fall[0], *(up + down for up, down in zip(rise[:-1], fall[1:], strict=True)), rise[-1]]
    slopes = [-parts[0], *(left - right for left, right in pairwise(parts)), parts[-1]]
    return torch.stack(values, dim=-1), order * torch.stack(slopes, dim=-1)


def spread_knots(x: Tensor, grid: int, order: int, uniform: float) -> Tensor:
    """Knots for samples: a mixture of their quantiles and of equal intervals.

    Args:
        x: samples [n, i].
        grid: intervals.
        order: of the splines; as many knots lie beyond each end, as far apart as equal intervals are.
        uniform: part of equal intervals, from above 0 to 1.

    Returns:
        [i, grid + 2 order + 1].
    """
    low, high = x.amin(dim=0), x.amax(dim=0)
    margin = (_NARROWEST - (high - low)).clamp_min(0) / 2 + _NARROWEST / 2 * (high - low)
    low, high = low - margin, high + margin
    parts = torch.linspace(0, 1, grid + 1, dtype=x.dtype, device=x.device)[:, None]
    equal = low + parts * (high - low)
    ranks = (parts[:, 0] * (len(x) - 1)).round().long()
    quantiles = x.sort(dim=0).values[ranks]
    quantiles[0], quantiles[-1] = low, high
    inner = uniform * equal + (1 - uniform) * quantiles
    beyond = torch.arange(1, order + 1, dtype=x.dtype, device=x.device)[:, None] * (high - low) / grid
    return torch.cat([low - beyond.flip(0), inner, high + beyond]).T.contiguous()


class KANLayer(nn.Module):
    """Sums of learned functions of one input each: `y_o = sum_i b_oi silu(x_i) + sum_c w_oic B_ic(x_i)`.

    Follows Liu, Wang, Vaidya, Ruehle, Halverson, Soljačić, Hou and Tegmark 2024, "KAN: Kolmogorov-Arnold Networks".
    Differently from the original: the factor of each spline is part of its coefficients; and beyond its grid a spline
    keeps the value of its end, where theirs falls to 0.

    Args:
        inputs, outputs: nodes before and after.
        grid: intervals of each spline.
        order: degree of its polynomials.
        reach: the first grid goes from minus this to this.

    Raises:
        IntentError: one of them is not above 0.
    """

    knots: Tensor

    def __init__(self, inputs: int, outputs: int, grid: int = 5, order: int = 3, reach: float = 1.0) -> None:
        super().__init__()
        if min(inputs, outputs, grid, order) < 1 or reach <= 0:
            raise IntentError(
                f"a KAN layer of {inputs} inputs, {outputs} outputs, {grid} intervals, order {order} and reach {reach} "
                "cannot be; each must be above 0"
            )
        self.order = order
        knots = torch.arange(-order, grid + order + 1) * (2 * reach / grid) - reach
        self.register_buffer("knots", knots.expand(inputs, -1).contiguous())
        self.base = nn.Parameter((2 * torch.rand(outputs, inputs) - 1) / math.sqrt(inputs))
        self.coefficients = nn.Parameter(torch.randn(outputs, inputs, grid + order) * 0.1 / math.sqrt(inputs))

    @property
    def grid(self) -> int:
        """Intervals of each spline."""
        return self.knots.shape[1] - 1 - 2 * self.order

    def forward(self, x: Tensor) -> Tensor:
        """Of [..., i], [..., o]."""
        rows = x.reshape(-1, x.shape[-1])
        bases = spline_bases(rows, self.knots, self.order).flatten(1)
        out = torch.addmm(silu(rows) @ self.base.T, bases, self.coefficients.flatten(1).T)
        return out.view(*x.shape[:-1], -1)

    def edges(self, x: Tensor) -> Tensor:
        """What each edge adds [n, o, i], of [n, i]; their sum over i is :meth:`forward`."""
        return silu(x)[:, None] * self.base + self._splines(x).movedim(0, 2)

    def penalty(self, x: Tensor, entropy: float = 1.0) -> Tensor:
        """The paper's regularization: mean size of all edges over samples [n, i], and the entropy of these sizes.

        The first makes edges small, the second makes few of them large.

        Args:
            x: samples [n, i].
            entropy: weight of the second.
        """
        size = self.edges(x).abs().mean(dim=0)
        share = size / size.sum().clamp_min(1e-12)
        return size.sum() - entropy * (share * share.clamp_min(1e-12).log()).sum()

    @torch.no_grad()
    def update_grid(self, x: Tensor, grid: int | None = None, uniform: float = 0.02) -> None:
        """Lay the grid where samples are, and fit the coefficients so that the outputs on them stay.

        They stay as far as the new splines can follow the old ones there: best with a finer grid. Coefficients are
        replaced when `grid` changes, so an optimizer must then be made anew.

        Args:
            x: samples [n, i].
            grid: intervals of the new grid; unset: as many as now.
            uniform: see :func:`spread_knots`.
        """
        curves = self._splines(x)
        self.knots = spread_knots(x, grid or self.grid, self.order, uniform)
        bases = spline_bases(x, self.knots, self.order).movedim(1, 0)
        # An input may have fewer distinct samples than splines; gelsd then takes the smallest coefficients.
        solved = torch.linalg.lstsq(bases.double().cpu(), curves.double().cpu(), driver="gelsd").solution
        found = solved.permute(2, 0, 1).to(self.coefficients).contiguous()
        if found.shape == self.coefficients.shape:
            self.coefficients.copy_(found)
        else:
            self.coefficients = nn.Parameter(found)

    def _splines(self, x: Tensor) -> Tensor:
        """The spline part of each edge [i, n, o]."""
        return spline_bases(x, self.knots, self.order).movedim(1, 0) @ self.coefficients.permute(1, 2, 0)


class KAN(nn.Module):
    """Layers of learned functions, one after the other.

    Args:
        widths: nodes of each layer, inputs first.
        grid, order, reach: see :class:`KANLayer`.

    Raises:
        IntentError: fewer than two widths.
    """

    def __init__(self, widths: Sequence[int], grid: int = 3, order: int = 3, reach: float = 1.0) -> None:
        super().__init__()
        if len(widths) < 2:
            raise IntentError(f"a KAN of the widths {list(widths)} has no layer; give inputs and outputs at least")
        self.layers = nn.ModuleList(KANLayer(before, after, grid, order, reach) for before, after in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """Of [..., widths[0]], [..., widths[-1]]."""
        for layer in self.layers:
            x = layer(x)
        return x

    def walk(self, x: Tensor) -> Iterator[tuple[KANLayer, Tensor]]:
        """Each layer with what enters it; a layer that is changed on the way hands on what it gave before."""
        for layer in self.layers:
            assert isinstance(layer, KANLayer)
            after = layer(x)
            yield layer, x
            x = after

    def update_grid(self, x: Tensor, grid: int | None = None, uniform: float = 0.02) -> None:
        """See :meth:`KANLayer.update_grid`; of every layer, from samples `x` [n, widths[0]]; `uniform` as there.

        With a larger `grid` this is the paper's grid extension: a finer network that begins where the coarse one was.
        """
        with torch.no_grad():
            for layer, entering in self.walk(x):
                layer.update_grid(entering, grid, uniform)

    def penalty(self, x: Tensor, entropy: float = 1.0) -> Tensor:
        """See :meth:`KANLayer.penalty`, also for `entropy`; the sum over all layers, scalar."""
        return torch.stack([layer.penalty(entering, entropy) for layer, entering in self.walk(x)]).sum()


def fit(network: KAN, x: Tensor, y: Tensor, steps: int, penalty: float = 0.0) -> float:
    """Fit a small network to samples by L-BFGS, as the paper fits its toy functions.

    Args:
        network: changed in place.
        x, y: samples [n, inputs] and what they should give [n, outputs].
        steps: of L-BFGS, at most.
        penalty: weight of :meth:`KAN.penalty` beside the mean squared error.

    Returns:
        The root of the mean squared error on the samples.
    """
    optimizer = torch.optim.LBFGS(
        network.parameters(), max_iter=steps, history_size=10, line_search_fn="strong_wolfe", tolerance_grad=1e-32,
        tolerance_change=1e-32,
    )  # fmt: skip

    def loss() -> Tensor:
        optimizer.zero_grad()
        value: Tensor = (network(x) - y).square().mean()
        if penalty:
            value = value + penalty * network.penalty(x)
        value.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]  # torch has no type for it
    with torch.no_grad():
        return float((network(x) - y).square().mean().sqrt())
