"""Graph WaveNet: the graph network that others are measured against.

Axes: `b` windows, `t` intervals, `z` zones, `c` numbers known of a zone in an interval, `d` channels, `h` horizons,
`f` targets, `q` quantiles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, pad, relu

from metalore.forecast._device import device_of
from metalore.forecast.early_stopping import train_epochs
from metalore.forecast.errors import ForecastError
from metalore.forecast.forecaster import QUANTILES, Forecaster, Progress
from metalore.forecast.panel import DAY_S, WEEK_S, Edges, Panel
from metalore.forecast.quantiles import ordered, quantile_loss
from metalore.forecast.scaling import Scaler, inputs_state, inputs_taken
from metalore.forecast.splits import Split
from metalore.forecast.weights import Arrays, network_state
from metalore.forecast.windows import Layout, Windows

_DILATIONS = (1, 2)
"""Of the layers of a block."""
_ORDER = 2
"""Steps of the diffusion in a layer."""
_MOST_ZONES = 16_384
"""Windows times zones in a batch, so that memory stays small with many zones."""


@dataclass(frozen=True)
class Shape:
    """What the network takes and gives, beside its graphs.

    Attributes:
        known: numbers known of a zone in an interval.
        horizons, targets: of the forecast.
        window, channels, skip, end, embedding, dropout: see :class:`GraphWaveNet`.
    """

    known: int
    horizons: int
    targets: int
    window: int
    channels: int
    skip: int
    end: int
    embedding: int
    dropout: float


def transitions(edges: Edges | None, zones: int) -> Tensor:
    """Transition matrices of a random walk along the edges and against them, [2, z, z], or [0, z, z] without edges."""
    if edges is None or len(edges) == 0:
        return torch.zeros(0, zones, zones)
    weights = torch.from_numpy(edges.matrix())
    both = torch.stack([weights, weights.T])
    return both / both.sum(dim=2, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)


class GatedConvolution(nn.Module):
    """A causal convolution of kernel 2 through a gate, `tanh(filter) * sigmoid(gate)`; shorter by its dilation."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.both = nn.Linear(2 * channels, 2 * channels)

    def forward(self, hidden: Tensor) -> Tensor:
        """Of [z, b, t, d]."""
        pairs = torch.cat([hidden[:, :, : -self.dilation], hidden[:, :, self.dilation :]], dim=-1)
        kept, gate = self.both(pairs).chunk(2, dim=-1)
        return torch.tanh(kept) * torch.sigmoid(gate)


class DiffusionConvolution(nn.Module):
    """What reaches a zone in up to two steps over each graph, `X W_0 + sum_k (P_k X W_k1 + P_k^2 X W_k2)`."""

    def __init__(self, channels: int, graphs: int, left_out: float) -> None:
        super().__init__()
        self.mix = nn.Linear(channels * (1 + _ORDER * graphs), channels)
        self.left_out = left_out

    def forward(self, hidden: Tensor, graphs: list[Tensor]) -> Tensor:
        """Of [z, b, t, d] and matrices [z, z] whose rows sum to 1."""
        seen = [hidden]
        for matrix in graphs:
            reached = hidden
            for _ in range(_ORDER):
                reached = torch.matmul(matrix, reached.flatten(1)).view_as(hidden)
                seen.append(reached)
        return dropout(self.mix(torch.cat(seen, dim=-1)), self.left_out, self.training)


class ChannelNorm(nn.BatchNorm1d):
    """Batch normalization (Ioffe and Szegedy 2015) of channels that come last."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Of [..., d]."""
        return super().forward(hidden.flatten(0, -2)).view_as(hidden)


class GraphWaveNetwork(nn.Module):
    """The network of :class:`GraphWaveNet`.

    Zones come first in hidden states, [z, b, t, d], so that a step over a graph is one product of two matrices.

    Args:
        shape: what goes in and out, and how large it is.
        given: transition matrices [k, z, z]; k may be 0.
    """

    given: Tensor

    def __init__(self, shape: Shape, given: Tensor) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("given", given, persistent=False)
        self.reads, self.is_read = (nn.Parameter(torch.randn(given.shape[1], shape.embedding)) for _ in range(2))
        channels, blocks = shape.channels, max(1, math.ceil((shape.window - 1) / sum(_DILATIONS)))
        dilations = _DILATIONS * blocks
        self.receptive_field = 1 + sum(dilations)
        self.first = nn.Linear(shape.known, channels)
        self.gated = nn.ModuleList(GatedConvolution(channels, dilation) for dilation in dilations)
        self.skips = nn.ModuleList(nn.Linear(channels, shape.skip) for _ in dilations)
        # The last layer speaks through its skip connection only, which leaves before the graphs.
        self.diffusions = nn.ModuleList(
            DiffusionConvolution(channels, len(given) + 1, shape.dropout) for _ in dilations[:-1]
        )
        self.norms = nn.ModuleList(ChannelNorm(channels) for _ in dilations[:-1])
        self.end = nn.Sequential(
            nn.ReLU(),
            nn.Linear(shape.skip, shape.end),
            nn.ReLU(),
            nn.Linear(shape.end, shape.horizons * shape.targets * len(QUANTILES)),
        )

    def adaptive(self) -> Tensor:
        """The learned adjacency `softmax(relu(E1 E2^T))`, [z, z]; rows sum to 1."""
        return torch.softmax(relu(self.reads @ self.is_read.T), dim=1)

    def forward(self, past: Tensor, last: Tensor) -> Tensor:
        """Scaled quantiles.

        Args:
            past: what is known of the window, [b, t, z, c].
            last: the last known values, to which the forecast is relative, [b, z, f].

        Returns:
            [b, z, h, f, q].
        """
        graphs = [*self.given, self.adaptive()]
        hidden = self.first(past.permute(2, 0, 1, 3))
        hidden = pad(hidden, (0, 0, self.receptive_field - hidden.shape[2], 0))
        skipped = torch.zeros(())
        for i, (convolution, skip) in enumerate(zip(self.gated, self.skips, strict=True)):
            gated = convolution(hidden)
            skipped = skipped + skip(gated[:, :, -1])
            if i < len(self.diffusions):
                spread = self.diffusions[i](gated, graphs)
                hidden = self.norms[i](spread + hidden[:, :, -spread.shape[2] :])
        raw = self.end(skipped).transpose(0, 1)
        raw = raw.reshape(*raw.shape[:2], self.shape.horizons, self.shape.targets, len(QUANTILES))
        return ordered(torch.cat([raw[..., :1] + last[:, :, None, :, None], raw[..., 1:]], dim=-1))


class GraphWaveNet(Forecaster):
    """Dilated causal convolutions over time and diffusion over graphs, given and learned.

    Follows Wu, Pan, Long, Jiang and Zhang 2019, "Graph WaveNet for Deep Spatial-Temporal Graph Modeling": blocks of
    gated convolutions of kernel 2 with dilations 1 and 2, as many as it takes to see the whole window; after each a
    diffusion of order 2 along the edges, against them, and over the adaptive adjacency `softmax(relu(E1 E2^T))`;
    residual and skip connections; batch normalization; all horizons at once; Adam.

    Differently from the original: quantiles with their loss, of which the median's part is the original's absolute
    error; values are scaled zone by zone; the forecast is the change from the last known value; a gap is filled with
    the value before it and told by a mask; the day of the week is shown as one of 7 numbers where training saw two
    weeks. Sizes and epochs are chosen so that five days of 207 zones every 5 minutes (Los-loop) take about 10 minutes
    of one CPU core: the paper has 32, 256 and 512 channels, which take almost three times as long, and 100 epochs.
    Announced events and intent are not used. Memory grows with the square of zones.

    Args:
        window: intervals that it sees.
        channels: of the convolutions.
        skip: of the skip connections.
        end: between the two last layers.
        embedding: numbers per zone from which the adjacency is learned, twice.
        dropout: part of the numbers after each diffusion that are left out in training.
        epochs: at most.
        patience: epochs without a better one on the validation part after which it stops.
        steps: batches that an epoch looks at, at most, drawn anew each time.
        batch: windows at once.
        rate: learning rate.
        weight_decay: of Adam.
        device: of torch; unset: a GPU if there is one.
    """

    name = "graph-wavenet"

    def __init__(
        self,
        window: int = 12,
        channels: int = 16,
        skip: int = 64,
        end: int = 128,
        embedding: int = 10,
        dropout: float = 0.3,
        epochs: int = 15,
        patience: int = 8,
        steps: int = 40,
        batch: int = 64,
        rate: float = 1e-3,
        weight_decay: float = 1e-4,
        device: str | None = None,
    ) -> None:
        if min(window, channels, skip, end, embedding, epochs, patience, steps, batch) < 1 or not rate > 0:
            raise ForecastError(f"{self.name} needs sizes, epochs, steps and a rate above 0")
        if not (0 <= dropout < 1 and weight_decay >= 0):
            raise ForecastError(f"{self.name} needs a dropout from 0 to below 1 and a weight decay of at least 0")
        self.window, self.epochs, self.patience, self.steps, self.batch = window, epochs, patience, steps, batch
        self.channels, self.skip, self.end, self.embedding, self.dropout = channels, skip, end, embedding, dropout
        self.rate, self.weight_decay = rate, weight_decay
        self.device = device_of(device)

    def _fit(self, panel: Panel, split: Split, seed: int, progress: Progress | None) -> None:
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            self._prepare(panel, split)
            self._train(panel, split, np.random.default_rng(seed), progress)

    def _prepare(self, panel: Panel, split: Split) -> None:
        train = split.rows("train")
        self._scaler = Scaler.fit(panel, split)
        self._input_scaler = None if panel.input_values is None else Scaler.of(panel.input_values[train])
        self._weekly = split.validation * panel.interval_s >= 2 * WEEK_S
        self._layout = Layout(self.window, self.horizons, len(panel.targets), len(panel.inputs))
        self._network = self._made(panel)

    def _made(self, panel: Panel) -> GraphWaveNetwork:
        """An untrained network for a panel."""
        shape = Shape(
            known=2 * (len(panel.targets) + len(panel.inputs)) + 1 + 7 * self._weekly, horizons=len(self.horizons),
            targets=len(self.targets), window=self.window, channels=self.channels, skip=self.skip, end=self.end,
            embedding=self.embedding, dropout=self.dropout,
        )  # fmt: skip
        return GraphWaveNetwork(shape, transitions(panel.edges, len(panel.zones))).to(self.device)

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"weekly": self._weekly}, {
            **self._scaler.state(),
            **inputs_state(self._input_scaler),
            **network_state(self._network),
        }

    def _restore(self, facts: Mapping[str, Any], arrays: Arrays) -> None:
        frame = self.fitted_frame()
        zones, inputs = len(self.zones), len(frame.inputs)
        self._weekly = bool(facts["weekly"])
        self._layout = Layout(self.window, self.horizons, len(self.targets), inputs)
        self._scaler = Scaler.taken(arrays, zones, len(self.targets))
        self._input_scaler = inputs_taken(arrays, zones, inputs)
        self._network = arrays.take_network(lambda: self._made(frame))

    def _train(self, panel: Panel, split: Split, random: np.random.Generator, progress: Progress | None) -> None:
        parameters = self._network.parameters()
        optimizer = torch.optim.Adam(parameters, self.rate, weight_decay=self.weight_decay)
        train, validation = (split.origins(part, self.horizons, self.window) for part in ("train", "validation"))
        windows = self._windows(panel, np.concatenate([train, validation]))
        train_epochs(
            self._network,
            lambda: self._epoch(windows, random.permutation(train), optimizer),
            lambda: self._validation_loss(windows, validation),
            self.epochs,
            self.patience,
            progress,
        )

    def _epoch(self, windows: Windows, origins: np.ndarray, optimizer: torch.optim.Optimizer) -> None:
        self._network.train()
        for some in self._pieces(origins)[: self.steps]:
            loss = quantile_loss(self._forward(windows, some), self._truth(windows.panel, some))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no types there
            nn.utils.clip_grad_norm_(self._network.parameters(), 5.0)
            optimizer.step()

    @torch.no_grad()
    def _validation_loss(self, windows: Windows, origins: np.ndarray) -> float:
        self._network.eval()
        pieces = self._pieces(origins)
        losses = [float(quantile_loss(self._forward(windows, x), self._truth(windows.panel, x))) for x in pieces]
        return float(np.average(losses, weights=[len(some) for some in pieces]))

    @torch.no_grad()
    def _predict(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        self._network.eval()
        windows = self._windows(panel, origins)
        scaled = [self._forward(windows, some).cpu().numpy() for some in self._pieces(origins)]
        return self._scaler.unscaled_forecast(np.concatenate(scaled))

    def _windows(self, panel: Panel, origins: np.ndarray) -> Windows:
        return Windows(panel, self._layout, self._scaler, self._input_scaler, origins, self.device)

    def _pieces(self, origins: np.ndarray) -> list[np.ndarray]:
        """Batches of equal size, nearly."""
        size = max(1, min(self.batch, _MOST_ZONES // len(self.zones)))
        return np.array_split(origins, math.ceil(len(origins) / size))

    def _forward(self, windows: Windows, origins: np.ndarray) -> Tensor:
        """[b, z, h, f, q]."""
        values, gaps = windows.recent(origins)
        time = self._time(windows.panel, origins)[:, :, None].expand(-1, -1, len(self.zones), -1)
        quantiles: Tensor = self._network(
            torch.cat([values, 1 - gaps, time], dim=-1), values[:, -1, :, : len(self.targets)]
        )
        return quantiles

    def _time(self, panel: Panel, origins: np.ndarray) -> Tensor:
        """Part of the day that has passed, and the day of the week as one of 7 if it counts, [b, t, 1 or 8]."""
        rows = origins[:, None] + self._layout.recent
        time = [panel.week_s(rows)[..., None] % DAY_S / DAY_S]
        if self._weekly:
            time.append(np.eye(7)[panel.day_of_week(rows)])
        return torch.from_numpy(np.concatenate(time, axis=-1, dtype=np.float32)).to(self.device)

    def _truth(self, panel: Panel, origins: np.ndarray) -> Tensor:
        """Scaled, [b, z, h, f]."""
        actual = panel.actual(origins, self.horizons)
        scaled = (actual - self._scaler.mean[:, None]) / self._scaler.deviation[:, None]
        return torch.from_numpy(scaled).to(self.device)
