"""The graph network under other present values: what a change reaches is computed anew, for many questions at once.

What is given changes one zone's hidden state. A layer carries the change one edge farther; and of all zones that it
has reached, only those count from which the remaining layers lead back. With L layers these lie within L // 2 edges of
the zone: its cells. If hubs connect all zones, all are. Results are those of the whole network, to rounding.

Axes: `n` questions, `z` zones, `s` cells of a zone (itself first), `d` hidden, `p` numbers known of a zone,
`c` columns, `h` horizons, `f` targets, `q` quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import relu

from metalore.forecast.forecaster import QUANTILES
from metalore.forecast.panel import Panel
from metalore.forecast.scaling import Scaler
from metalore.forecast.stgnn import STGNN, Layer, Neighbours
from metalore.forecast.what_if import WhatIf
from metalore.forecast.windows import Batch, Layout

_MOST_CELLS = 32_768
"""Computed at once, so that memory stays small and in the processor's caches."""
_QUICK_CELLS = 64
"""Up to so many cells a question costs a fraction of a millisecond."""


@dataclass(frozen=True, eq=False)
class Reach:
    """Which zones count for which, and how they see each other.

    Attributes:
        neighbours: that it was made of.
        cells: numbers of zones [z, s]; where a zone has fewer than others, itself again.
        weights: of the means over neighbours, along the edges and against them, from cell to cell [z, s, s]; 0 for what
            was filled up. Empty without a graph.
    """

    neighbours: Neighbours | None
    cells: Tensor
    weights: tuple[Tensor, ...]

    @classmethod
    def of(cls, network: STGNN, neighbours: Neighbours | None, zones: int) -> Reach:
        """Of a network on a graph."""
        links = [] if neighbours is None else _links(neighbours)
        near: list[set[int]] = [{zone} for zone in range(zones)]
        for to, of, _ in links:
            for a, b in zip(to.tolist(), of.tolist(), strict=True):
                near[a].add(b)
                near[b].add(a)
        sets = [{zone} for zone in range(zones)]
        for _ in range(len(network.layers) // 2):
            sets = [set().union(*(near[cell] for cell in cells)) for cells in sets]
        if network.hubs is not None:
            sets = [set(range(zones))] * zones
        size = max(map(len, sets))
        cells = np.repeat(np.arange(zones)[:, None], size, axis=1)
        for zone, others in enumerate(sets):
            rest = sorted(others - {zone})
            cells[zone, 1 : 1 + len(rest)] = rest
        weights = tuple(_local(link, sets, cells) for link in links)
        return cls(neighbours, torch.from_numpy(cells), weights)


class _Link(NamedTuple):
    to: np.ndarray
    of: np.ndarray
    share: np.ndarray


def _links(neighbours: Neighbours) -> list[_Link]:
    """What each zone takes from which, along the edges and against them."""
    found = []
    buffers = {name: buffer.cpu().numpy() for name, buffer in neighbours.named_buffers(remove_duplicate=False)}
    for way in ("onward", "backward"):
        if f"{way}_matrix" in buffers:
            matrix = buffers[f"{way}_matrix"]
            to, of = np.nonzero(matrix)
            found.append(_Link(to, of, matrix[to, of]))
        else:
            found.append(_Link(buffers[f"{way}_to"], buffers[f"{way}_of"], buffers[f"{way}_share"][:, 0]))
    return found


def _local(link: _Link, sets: list[set[int]], cells: np.ndarray) -> Tensor:
    """Weights [z, s, s] between cells."""
    takes: list[list[tuple[int, float]]] = [[] for _ in sets]
    for to, of, share in zip(link.to.tolist(), link.of.tolist(), link.share.tolist(), strict=True):
        takes[to].append((of, share))
    weights = np.zeros((*cells.shape, cells.shape[1]), np.float32)
    for zone, members in enumerate(sets):
        place = {int(cell): i for i, cell in enumerate(cells[zone][: len(members)])}
        for cell, i in place.items():
            for of, share in takes[cell]:
                if of in place:
                    weights[zone, i, place[of]] = share
    return torch.from_numpy(weights)


@dataclass(frozen=True, eq=False)
class _Level:
    """What a layer sees if nothing is changed: hidden states, these normed, and the means over surroundings; [z, d]."""

    hidden: Tensor
    normed: Tensor
    means: tuple[Tensor, ...]
    hub: Tensor | None


class NetworkWhatIf(WhatIf):
    """See the module.

    Args:
        network: in evaluation mode.
        reach: of it on the panel's graph.
        batch: the panel's last window.
        layout, scalers: by which it was made; the second is of further inputs.
        panel: zones and bounds.
    """

    def __init__(
        self,
        network: STGNN,
        reach: Reach,
        batch: Batch,
        layout: Layout,
        scalers: tuple[Scaler, Scaler | None],
        panel: Panel,
    ) -> None:
        self._network, self._reach, self._layout = network, reach, layout
        self._device = batch.known.device
        self._cells = reach.cells.to(self._device)
        self._weights = tuple(weight.to(self._device) for weight in reach.weights)
        self._known, self._last = batch.known[0], batch.last[0]
        self._mean, self._deviation = _moments(*scalers, len(panel.zones))
        assert panel.lowest is not None  # set by the panel
        self._targets, self._lowest = len(panel.targets), panel.lowest
        self._least = (self._lowest - self._mean[:, : self._targets]) / self._deviation[:, : self._targets]
        self._fixed, self._own_intent = self._constants(batch)
        self._levels = self._unchanged()
        self.takes_intent = network.intent is not None
        self.quick = self._cells.shape[1] <= _QUICK_CELLS

    def _constants(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What is added to a zone's window, but for its intent; and that; [z, d]."""
        network, zones = self._network, len(self._known)
        zero = torch.zeros(zones, network.shape.hidden, device=self._device)
        fixed = zero if network.zone is None else zero + network.zone
        for table, at in ((network.day, batch.day), (network.week, batch.week)):
            if table is not None and at is not None:
                fixed = fixed + table[at]
        own = network._with_intent(zero[None], batch.intent, batch.intent_of)[0]
        return fixed, own

    def _unchanged(self) -> list[_Level]:
        """What each layer sees."""
        network, levels = self._network, []
        hidden = network.window(self._known) + self._fixed + self._own_intent
        for layer in network.layers:
            assert isinstance(layer, Layer)
            normed = layer.norm(hidden)
            neighbours = self._reach.neighbours
            means = () if neighbours is None else tuple(mean[0] for mean in neighbours(normed[None]))
            levels.append(_Level(hidden, normed, means, None if network.hubs is None else network.hubs(normed)))
            hidden = layer(hidden[None], neighbours, network.hubs)[0]
        return levels

    @torch.inference_mode()
    def forecast(self, zones: np.ndarray, values: np.ndarray, intents: dict[int, np.ndarray]) -> np.ndarray:
        """See the base class."""
        step = max(1, _MOST_CELLS // self._cells.shape[1])
        pieces = [
            self._piece(zones[i : i + step], values[i : i + step], intents, i) for i in range(0, len(zones), step)
        ]
        shape = self._network.shape
        if not pieces:
            return np.empty((0, shape.horizons, shape.targets, len(QUANTILES)), np.float32)
        scaled = np.concatenate(pieces)
        deviation, mean = (of[zones, None, : self._targets, None] for of in (self._deviation, self._mean))
        quantiles = np.sort(scaled * deviation + mean, axis=-1)
        floored: np.ndarray = np.maximum(quantiles, self._lowest[:, None]).astype(np.float32)
        return floored

    def _piece(self, zones: np.ndarray, values: np.ndarray, intents: dict[int, np.ndarray], first: int) -> np.ndarray:
        at = torch.from_numpy(zones).to(self._device)
        known, last = self._shown(at, zones, values)
        network = self._network
        own = network.window(known) + self._fixed[at] + self._meaning(at, intents, first)
        hidden = self._through_layers(own, at)
        least = torch.from_numpy(self._least[zones]).to(self._device)
        forecast = network.read_out(hidden[None], known[None], last[None], least)[0]
        scaled: np.ndarray = forecast[..., : len(QUANTILES)].cpu().numpy()
        return scaled

    def _shown(self, at: Tensor, zones: np.ndarray, values: np.ndarray) -> tuple[Tensor, Tensor]:
        """Numbers known of each question's zone [n, p], with the given ones in their place; and its last values."""
        layout, columns = self._layout, values.shape[1]
        known, last = self._known[at], self._last[at]
        given = ~np.isnan(values)
        if given.any():
            there = torch.from_numpy(given).to(self._device)
            scaled = torch.from_numpy(np.nan_to_num((values - self._mean[zones]) / self._deviation[zones]))
            scaled = scaled.float().to(self._device)
            newest, gap = (layout.window - 1) * columns, (2 * layout.window - 1) * columns
            shown, gaps = known[:, newest : newest + columns], known[:, gap : gap + columns]
            shown.copy_(torch.where(there, scaled, shown))
            gaps.masked_fill_(there, 0.0)
            last = torch.where(there[:, : self._targets], scaled[:, : self._targets], last)
        return known, last

    def _meaning(self, at: Tensor, intents: dict[int, np.ndarray], first: int) -> Tensor:
        meaning = self._own_intent[at]
        wanted = [i for i in intents if first <= i < first + len(at)]
        if self._network.intent is not None and wanted:
            embeddings = torch.from_numpy(np.stack([intents[i] for i in wanted])).to(self._device)
            meaning[torch.tensor(wanted, device=self._device) - first] = self._network.intent(embeddings)
        return meaning

    def _through_layers(self, own: Tensor, at: Tensor) -> Tensor:
        """The zone's own hidden state after all layers, [n, d]."""
        cells = self._cells[at]
        layers = list(self._network.layers)
        hidden = own[:, None]
        for number, (layer, level) in enumerate(zip(layers, self._levels, strict=True)):
            assert isinstance(layer, Layer)
            if number == 0:
                hidden = torch.cat([hidden, level.hidden[cells[:, 1:]]], dim=1)
            wanted = 1 if number == len(layers) - 1 else cells.shape[1]
            hidden = self._layer(layer, level, hidden, cells, at, wanted)
        return hidden[:, 0]

    def _layer(self, layer: Layer, level: _Level, hidden: Tensor, cells: Tensor, at: Tensor, wanted: int) -> Tensor:
        """What a layer makes of the first `wanted` cells of hidden states [n, s, d]."""
        normed = layer.norm(hidden)
        change = normed - level.normed[cells]
        seen = [normed[:, :wanted]]
        for weight, mean in zip(self._weights, level.means, strict=True):
            seen.append(mean[cells[:, :wanted]] + torch.bmm(weight[at, :wanted], change))
        if level.hub is not None:
            seen.append(level.hub[cells[:, :wanted]] + self._through_hubs(change, cells, wanted))
        mixed = relu(layer.mix(torch.cat(seen, dim=-1)))
        changed: Tensor = hidden[:, :wanted] + layer.out(mixed)
        return changed

    def _through_hubs(self, change: Tensor, cells: Tensor, wanted: int) -> Tensor:
        hubs = self._network.hubs
        assert hubs is not None
        gathers, reads = torch.softmax(hubs.gathers, dim=0), torch.softmax(hubs.reads, dim=1)
        gathered = torch.bmm(gathers[cells].transpose(1, 2), change)
        return torch.bmm(reads[cells[:, :wanted]], gathered)


def _moments(scaler: Scaler, inputs: Scaler | None, zones: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each zone and column [z, c]."""
    both = [scaler] if inputs is None else [scaler, inputs]
    return (
        np.concatenate([np.broadcast_to(of.mean, (zones, of.mean.shape[1])) for of in both], axis=1),
        np.concatenate([np.broadcast_to(of.deviation, (zones, of.deviation.shape[1])) for of in both], axis=1),
    )
