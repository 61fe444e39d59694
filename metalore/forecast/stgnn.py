"""A compact spatio-temporal graph network.

Axes: `b` windows, `z` zones, `p` numbers known of a zone, `d` hidden, `h` horizons, `f` targets, `q` quantiles,
`e` edges, `k` hubs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, relu

from metalore.forecast.forecaster import MEDIAN, QUANTILES
from metalore.forecast.panel import INTENT_SIZE, Edges
from metalore.forecast.quantiles import ordered

_DENSE = 512
"""Up to so many zones a graph is kept as a matrix, which is faster for few; edges take memory as there are edges."""
_EMBEDDING_SCALE = 0.1


@dataclass(frozen=True)
class Shape:
    """What a network takes and gives.

    Attributes:
        known: numbers known of each zone at an origin.
        horizons, targets: of the forecast.
        zones: that have an embedding of their own; 0 for a network that also serves zones it has not seen.
        day, week: parts of a day, and days of a week, that have an embedding; 0 for none.
        graph: whether hidden states spread over the given edges, in both directions.
        hubs: of the learned adjacency; 0 for none. It needs embedded zones.
        intent: whether the embedding of each zone's intent is taken.
        straight: whether a linear forecast, the same for all zones, is added.
        hidden: width.
        layers: each looks one edge farther.
        dropout: part of hidden numbers that are left out in training.
    """

    known: int
    horizons: int
    targets: int
    zones: int = 0
    day: int = 0
    week: int = 0
    graph: bool = True
    hubs: int = 0
    intent: bool = False
    straight: bool = True
    hidden: int = 64
    layers: int = 2
    dropout: float = 0.1


class Neighbours(nn.Module):
    """Mean over neighbours, weighted: along the edges, and against them.

    The transition matrices of a random walk in both directions (Li et al. 2018, DCRNN; Wu et al. 2019, Graph WaveNet).
    A zone without neighbours gets 0. Holds no parameters, so that one network serves any graph.

    Args:
        edges: of the graph, directed.
    """

    def __init__(self, edges: Edges) -> None:
        super().__init__()
        source, target = (torch.from_numpy(ends.copy()) for ends in (edges.source, edges.target))
        weight = torch.from_numpy(edges.weight.copy())
        self.zones = edges.zones
        for name, to, of in (("onward", target, source), ("backward", source, target)):
            total = torch.zeros(edges.zones).index_add_(0, to, weight)
            share = weight / total[to]
            if edges.zones <= _DENSE:
                matrix = torch.zeros(edges.zones, edges.zones).index_put_((to, of), share, accumulate=True)
                self.register_buffer(f"{name}_matrix", matrix, persistent=False)
            else:
                self.register_buffer(f"{name}_to", to, persistent=False)
                self.register_buffer(f"{name}_of", of, persistent=False)
                self.register_buffer(f"{name}_share", share[:, None], persistent=False)

    def forward(self, hidden: Tensor) -> list[Tensor]:
        """Of [b, z, d], one such of what comes along the edges and one of what comes against them."""
        return [self._mean(name, hidden) for name in ("onward", "backward")]

    def _mean(self, name: str, hidden: Tensor) -> Tensor:
        if self.zones <= _DENSE:
            return torch.matmul(self.get_buffer(f"{name}_matrix").to(hidden.dtype), hidden)
        to, of = self.get_buffer(f"{name}_to"), self.get_buffer(f"{name}_of")
        messages = hidden[:, of] * self.get_buffer(f"{name}_share").to(hidden.dtype)
        return torch.zeros_like(hidden).index_add_(1, to, messages)


class Hubs(nn.Module):
    """A learned adjacency: zones are gathered in hubs, and each zone reads from hubs.

    `A = softmax_hubs(E1) softmax_zones(E2)^T`, [z, z], rows sum to 1, never written out.

    Differently from the original (the adaptive adjacency of Graph WaveNet, Wu et al. 2019,
    `softmax(relu(E1 E2^T))`): of rank `hubs`, so that cost grows with zones and not with their square.
    """

    def __init__(self, zones: int, hubs: int) -> None:
        super().__init__()
        self.reads = nn.Parameter(torch.randn(zones, hubs))
        self.gathers = nn.Parameter(torch.randn(zones, hubs))

    def forward(self, hidden: Tensor) -> Tensor:
        """Of [b, z, d], the mean of those zones that each reads."""
        gathered = torch.matmul(torch.softmax(self.gathers, dim=0).T.to(hidden.dtype), hidden)
        return torch.matmul(torch.softmax(self.reads, dim=1).to(hidden.dtype), gathered)


class Layer(nn.Module):
    """A zone's hidden state and those of its surroundings, through an MLP, added to the state."""

    def __init__(self, hidden: int, surroundings: int, left_out: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.mix = nn.Linear(hidden * (1 + surroundings), hidden)
        self.out = nn.Linear(hidden, hidden)
        self.left_out = left_out

    def forward(self, hidden: Tensor, neighbours: Neighbours | None, hubs: Hubs | None) -> Tensor:
        normed = self.norm(hidden)
        seen = [normed]
        if neighbours is not None:
            seen += neighbours(normed)
        if hubs is not None:
            seen.append(hubs(normed))
        mixed = dropout(relu(self.mix(torch.cat(seen, dim=-1))), self.left_out, self.training)
        added: Tensor = hidden + self.out(mixed)
        return added


class STGNN(nn.Module):
    """Quantiles and mean of targets at several horizons for every zone, from its own past and that of its neighbours.

    Follows STID (Shao, Zhang, Wang, Wei and Xu 2022, "Spatial-Temporal Identity: A Simple yet Effective Baseline for
    Multivariate Time Series Forecasting") in its core: the window of each zone, read whole by a linear layer, plus
    learned embeddings of the zone, the time of day and the day of the week, through residual MLPs. And Graph WaveNet
    (Wu, Pan, Long, Jiang and Zhang 2019, "Graph WaveNet for Deep Spatial-Temporal Graph Modeling") in how zones see
    each other: diffusion over the given graph in both directions, and over a learned one.

    Differently from the original STID: hidden states spread over the graphs in every layer; embeddings are added to the
    projected window instead of appended, which is the same with one linear layer fewer; layers are normalized; the
    forecast is the change from the last known value; and it consists of quantiles and a mean. Differently from Graph
    WaveNet: no dilated convolutions, a learned adjacency of low rank (see :class:`Hubs`), and only direct neighbours in
    each layer.

    Quantiles cannot cross: the outer ones are the median less and plus a softplus. Where a target has a least value no
    quantile lies below it; gradients pass there as if there were none, so that a forecast at the bound can leave it.

    Args:
        shape: what goes in and out, and how large it is.
        passed: part of the mean's gradient that passes on to what the quantiles are made of too, from 0 to 1.
    """

    def __init__(self, shape: Shape, passed: float = 0.0) -> None:
        super().__init__()
        self.shape, self.passed = shape, passed
        hidden = shape.hidden
        self.window = nn.Linear(shape.known, hidden)
        self.straight = nn.Linear(shape.known, shape.horizons * shape.targets, bias=False) if shape.straight else None
        if self.straight is not None:
            nn.init.zeros_(self.straight.weight)
        self.mean = nn.Linear(hidden, shape.horizons * shape.targets)
        self.zone = _embedding(shape.zones, hidden)
        self.day, self.week = _embedding(shape.day, hidden), _embedding(shape.week, hidden)
        self.intent = nn.Linear(INTENT_SIZE, hidden, bias=False) if shape.intent else None
        self.no_intent = _embedding(1 if shape.intent else 0, hidden)
        self.hubs = Hubs(shape.zones, shape.hubs) if shape.hubs and shape.zones else None
        surroundings = 2 * shape.graph + (self.hubs is not None)
        self.layers = nn.ModuleList(Layer(hidden, surroundings, shape.dropout) for _ in range(shape.layers))
        self.head = nn.Linear(hidden, shape.horizons * shape.targets * len(QUANTILES))
        # The first forecast is the last known value, with a width of about half a deviation.
        for layer in (self.head, self.mean):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.constant_(self.head.bias, -0.5)
        with torch.no_grad():
            self.head.bias.view(-1, len(QUANTILES))[:, 0] = 0.0

    def forward(
        self,
        known: Tensor,
        last: Tensor,
        neighbours: Neighbours | None = None,
        day: Tensor | None = None,
        week: Tensor | None = None,
        intent: Tensor | None = None,
        intent_of: Tensor | None = None,
        least: Tensor | None = None,
        scale: Tensor | None = None,
    ) -> Tensor:
        """Forecast.

        Args:
            known: of each zone [b, z, p]; 0 where something is missing, which a mask among the numbers should say.
            last: the last known values [b, z, f], to which the forecast is relative.
            neighbours: the graph; needed if the network was made for one.
            day, week: part of the day and day of the week [b], where embedded.
            intent: embeddings [k, 1024]; unset: no zone has one.
            intent_of: which of them each zone has [b, z]; -1 is none.
            least: bound of each zone and target [z, f]; -inf where there is none.
            scale: in what unit changes from `last` are, [b, z, f]; unset: 1.

        Returns:
            [b, z, h, f, q + 1] in the unit of `last`: the quantiles, then the mean.
        """
        shape = self.shape
        if shape.graph and neighbours is None:
            raise ValueError("a network made for a graph needs one")
        hidden: Tensor = self.window(known)
        if self.zone is not None:
            hidden = hidden + self.zone
        for table, at in ((self.day, day), (self.week, week)):
            if table is not None and at is not None:
                hidden = hidden + table[at][:, None]
        hidden = self._with_intent(hidden, intent, intent_of)
        for layer in self.layers:
            hidden = layer(hidden, neighbours if shape.graph else None, self.hubs)
        return self.read_out(hidden, known, last, least, scale)

    def read_out(
        self, hidden: Tensor, known: Tensor, last: Tensor, least: Tensor | None = None, scale: Tensor | None = None
    ) -> Tensor:
        """Forecasts from hidden states [b, z, d]; else as :meth:`forward`."""
        hidden, shape = relu(hidden), self.shape
        ahead = (*hidden.shape[:2], shape.horizons, shape.targets)
        change = ordered(self.head(hidden).float().view(*ahead, len(QUANTILES)))
        if self.straight is not None:
            change = change + self.straight(known).float().view(*ahead, 1)
        # The mean is the median and what squared errors add to it; these pull little at what both are made of.
        more = self.mean(_passing(hidden, self.passed)).float().view(*ahead, 1)
        change = torch.cat([change, _passing(change[..., MEDIAN, None], self.passed) + more], dim=-1)
        if scale is not None:
            change = change * scale[:, :, None, :, None]
        forecast = last[:, :, None, :, None] + change
        if least is not None:
            bounded = torch.maximum(forecast, least[:, None, :, None])
            forecast = forecast + (bounded - forecast).detach()
        return forecast

    def shared(self) -> list[nn.Parameter]:
        """All parameters but those of the mean."""
        return [parameter for name, parameter in self.named_parameters() if not name.startswith("mean.")]

    def _with_intent(self, hidden: Tensor, intent: Tensor | None, intent_of: Tensor | None) -> Tensor:
        if self.intent is None or self.no_intent is None:
            return hidden
        if intent is None or intent_of is None:
            return hidden + self.no_intent
        meanings = torch.cat([self.intent(intent), self.no_intent])  # number -1 is the last
        return hidden + meanings[intent_of]


def _passing(x: Tensor, part: float) -> Tensor:
    """The same, through which only a part of the gradient passes."""
    fixed = x.detach()
    return fixed + part * (x - fixed) if part else fixed


def _embedding(rows: int, width: int) -> nn.Parameter | None:
    return nn.Parameter(torch.randn(rows, width) * _EMBEDDING_SCALE) if rows else None
