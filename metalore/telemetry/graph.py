"""How zones lie to each other: positions and weighted edges."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from metalore.files import write_text
from metalore.telemetry.errors import TelemetryError

FORMAT = "metalore-graph-1"


@dataclass(frozen=True, eq=False)
class ZoneGraph:
    """Zones, where they are, and which of them belong together how much.

    Attributes:
        zones: names, all different.
        positions_m: [z, 2], metres east and north of some corner.
        source, target: indices of zones, one entry per edge; no edge is there twice, and none leads back to its zone.
        weight: positive, one entry per edge.

    Edges are directed; where neither direction is special both are there. They are sorted by source, then target.

    Raises:
        TelemetryError: something else than that.
    """

    zones: tuple[str, ...]
    positions_m: np.ndarray
    source: np.ndarray
    target: np.ndarray
    weight: np.ndarray

    def __post_init__(self) -> None:
        source, target = (np.asarray(ends).astype(np.int64).reshape(-1) for ends in (self.source, self.target))
        weight = np.asarray(self.weight, float).reshape(-1)
        if not len(source) == len(target) == len(weight):
            raise TelemetryError(
                f"a graph's source, target and weight have {len(source)}, {len(target)} and {len(weight)} entries; "
                "each edge has one of each"
            )
        order = np.lexsort((target, source))
        fields = {
            "zones": tuple(self.zones),
            "positions_m": _positions(self.positions_m, len(self.zones)),
            "source": source[order],
            "target": target[order],
            "weight": weight[order],
        }
        for name, value in fields.items():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        if len(set(self.zones)) < len(self.zones):
            twice = next(name for name in self.zones if self.zones.count(name) > 1)
            raise TelemetryError(f"a graph has the zone {twice!r} twice")
        ends = np.concatenate([self.source, self.target])
        if len(ends) and not (ends.min() >= 0 and ends.max() < len(self.zones)):
            raise TelemetryError(f"a graph's edges lead to zones 0 to {len(self.zones) - 1}, not to {ends.max()}")
        if (self.source == self.target).any():
            raise TelemetryError("a graph has an edge from a zone to itself")
        pairs = self.source * len(self.zones) + self.target
        if (np.diff(pairs) == 0).any():
            i = int((np.diff(pairs) == 0).argmax())
            raise TelemetryError(f"a graph has the edge from {self.source[i]} to {self.target[i]} twice")
        if not (np.isfinite(self.weight).all() and (self.weight > 0).all()):
            raise TelemetryError("a graph's weights must be positive and finite")

    # -- making --------------------------------------------------------------------------------------------------------

    @classmethod
    def from_distances(
        cls,
        positions_m: np.ndarray,
        zones: Sequence[str],
        neighbours: int = 6,
        sigma_m: float | None = None,
    ) -> ZoneGraph:
        """Edges between near zones: weight = exp(-(distance / sigma_m)^2), in both directions.

        The Gaussian kernel of road networks in forecasting (Shuman et al. 2013; Li et al. 2018, DCRNN), here on
        neighbours instead of above a threshold, so that no zone is left alone.

        Args:
            positions_m: [z, 2].
            zones: names.
            neighbours: two zones are joined if one is among so many nearest of the other (lowest number on a tie).
            sigma_m: where the weight has fallen to 1/e; unset: the mean length of the edges.
        """
        if neighbours < 1:
            raise TelemetryError(f"neighbours is {neighbours}; at least 1 is needed")
        if sigma_m is not None and not sigma_m > 0:
            raise TelemetryError(f"sigma_m is {sigma_m}; it must be positive")
        positions = _positions(positions_m, len(zones))
        near = min(neighbours, len(positions) - 1)
        pairs = set()
        for z, place in enumerate(positions):
            distances = np.hypot(*(positions - place).T)
            distances[z] = np.inf
            for other in np.argsort(distances, kind="stable")[:near].tolist():
                pairs |= {(z, other), (other, z)}
        source, target = np.array(sorted(pairs), np.int64).reshape(-1, 2).T
        lengths = np.hypot(*(positions[source] - positions[target]).T)
        sigma = sigma_m or (float(lengths.mean()) if len(lengths) else 1.0) or 1.0
        weight = np.maximum(np.exp(-((lengths / sigma) ** 2)), np.finfo(float).tiny)
        return cls(tuple(zones), positions, source, target, weight)

    @classmethod
    def from_handovers(
        cls,
        counts: np.ndarray,
        zones: Sequence[str],
        positions_m: np.ndarray,
        normalise: Literal["rows", "symmetric", "none"] = "rows",
        least: float = 1,
    ) -> ZoneGraph:
        """Edges between zones that users walk between.

        Args:
            counts: [z, z], handovers from zone to zone.
            zones: names.
            positions_m: [z, 2].
            normalise: "rows": an edge's part of the handovers out of its source, so that they sum to 1;
                "symmetric": the mean of both directions over the largest such mean; "none": the counts.
            least: pairs with fewer handovers have no edge.
        """
        if normalise not in ("rows", "symmetric", "none"):
            raise TelemetryError(f"normalise is {normalise!r}; it can be 'rows', 'symmetric' or 'none'")
        flows = np.array(counts, float)
        if flows.shape != (len(zones), len(zones)):
            raise TelemetryError(f"counts have shape {flows.shape}; {len(zones)} zones need {(len(zones),) * 2}")
        if not (np.isfinite(flows).all() and (flows >= 0).all()):
            raise TelemetryError("counts of handovers cannot be negative or missing")
        np.fill_diagonal(flows, 0)
        if normalise == "symmetric":
            flows = (flows + flows.T) / 2
        flows[flows < least] = 0
        if normalise == "rows":
            flows = flows / np.maximum(flows.sum(axis=1, keepdims=True), np.finfo(float).tiny)
        elif normalise == "symmetric":
            flows = flows / max(flows.max(initial=0.0), np.finfo(float).tiny)
        source, target = np.nonzero(flows)
        return cls(tuple(zones), np.asarray(positions_m), source, target, flows[source, target])

    # -- using ---------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Number of zones."""
        return len(self.zones)

    def __eq__(self, other: object) -> bool:
        """Whether all is the same, weights and positions to the last bit."""
        return (
            isinstance(other, ZoneGraph)
            and self.zones == other.zones
            and all(
                np.array_equal(getattr(self, name), getattr(other, name))
                for name in ("positions_m", "source", "target", "weight")
            )
        )

    __hash__ = None  # type: ignore[assignment]  # it holds arrays

    def adjacency(self) -> np.ndarray:
        """Weights as a matrix [z, z], from row to column; 0 where there is no edge."""
        matrix = np.zeros((len(self), len(self)))
        matrix[self.source, self.target] = self.weight
        return matrix

    def coo(self) -> tuple[np.ndarray, np.ndarray]:
        """Edges as [2, edges] (source, target) and their weights, as sparse matrices and graph networks take them."""
        return np.stack([self.source, self.target]), self.weight.copy()

    def distances_m(self) -> np.ndarray:
        """Metres between zones, [z, z]."""
        steps = self.positions_m[:, None] - self.positions_m[None]
        distances: np.ndarray = np.hypot(steps[..., 0], steps[..., 1])
        return distances

    def hops(self) -> np.ndarray:
        """Least number of edges from zone to zone, [z, z]; -1 where no way leads."""
        hops = np.full((len(self), len(self)), -1)
        np.fill_diagonal(hops, 0)
        leads = self.adjacency() > 0
        frontier, depth = np.eye(len(self), dtype=bool), 0
        while frontier.any():
            depth += 1
            frontier = ((frontier.astype(np.float32) @ leads.astype(np.float32)) > 0) & (hops < 0)
            hops[frontier] = depth
        return hops

    # -- keeping -------------------------------------------------------------------------------------------------------

    def save(self, path: Path | str) -> None:
        """Write it as JSON, whole or not at all."""
        edges = zip(self.source.tolist(), self.target.tolist(), self.weight.tolist(), strict=True)
        content = {
            "format": FORMAT,
            "zones": self.zones,
            "positions_m": self.positions_m.tolist(),
            "edges": [list(edge) for edge in edges],
        }
        write_text(path, json.dumps(content, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: Path | str) -> ZoneGraph:
        """Read what :meth:`save` wrote.

        Raises:
            TelemetryError: no such file, or another one.
        """
        try:
            content: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise TelemetryError(f"cannot read the graph {path}: {error.strerror}") from None
        except ValueError:
            raise TelemetryError(f"{path} is no JSON, so it holds no graph") from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise TelemetryError(f"{path} holds no graph of the format {FORMAT}")
        try:
            zones = [str(name) for name in content["zones"]]
            edges = _edges_of(content["edges"])
            positions = np.array(content["positions_m"], float).reshape(-1, 2)
        except (KeyError, TypeError, ValueError):
            raise TelemetryError(
                f"{path} holds a graph without zones, positions_m or edges (source, target, weight)"
            ) from None
        try:
            return cls(tuple(zones), positions, edges[:, 0], edges[:, 1], edges[:, 2])
        except TelemetryError as error:
            raise TelemetryError(f"{path}: {error}") from None


def _edges_of(listed: Any) -> np.ndarray:
    """Source, target and weight of edges as :meth:`ZoneGraph.save` writes them, [e, 3]."""
    edges = np.array(listed, float).reshape(-1, 3)
    if (edges[:, :2] % 1 != 0).any():
        raise ValueError("an edge's ends are whole numbers")
    return edges


def _positions(positions_m: np.ndarray, zones: int) -> np.ndarray:
    positions = np.array(positions_m, float)
    if positions.size == 0 and zones == 0:
        raise TelemetryError("a graph has at least one zone")
    if positions.shape != (zones, 2):
        raise TelemetryError(f"positions_m have shape {positions.shape}; {zones} zones need {(zones, 2)}")
    if not np.isfinite(positions).all():
        raise TelemetryError("positions_m must be finite numbers")
    return positions
