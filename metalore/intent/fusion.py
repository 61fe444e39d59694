"""What is seen, said and done as one embedding of 1024 numbers, whichever of the three is there.

Axes: `n` items, `m` modalities (image, speech, motion), `f` numbers of an embedding, `k` demands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import normalize

from metalore.intent import _hub
from metalore.intent.errors import IntentError
from metalore.intent.library import MODALITIES, PARTS

EMBEDDING = 1024
WIDTHS = {"image": 768, "speech": 768, "motion": 128}
FORMAT = "metalore-fusion-1"

Vectors = Mapping[str, np.ndarray]
"""Of each modality [n, f]; a row of NaN is missing."""
Scores = dict[str, dict[str, float]]
"""Of each way to embed, by measure."""


# -- data --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Embedded:
    """Items whose modalities are embedded already.

    Attributes:
        vectors: image [n, 768], speech [n, 768] and motion [n, 128], or some of them; a row of NaN is missing.
        activities: what each item shows.
        parts: of each: train, validation or test.
        demand: of the zone some intervals later [n, k], in any unit; NaN where it is not known; None: of none.
    """

    vectors: Vectors
    activities: Sequence[str]
    parts: Sequence[str]
    demand: np.ndarray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "vectors", checked(self.vectors))
        count = len(next(iter(self.vectors.values())))
        if not len(self.activities) == len(self.parts) == count:
            raise IntentError(
                f"there are {count} embeddings, {len(self.activities)} activities and {len(self.parts)} parts; "
                "there must be as many of each"
            )
        if unknown := set(self.parts) - set(PARTS):
            raise IntentError(f"an item is in the part {min(unknown)!r}; the parts are {', '.join(PARTS)}")
        if self.demand is not None and (self.demand.ndim != 2 or len(self.demand) != count):
            raise IntentError(f"the demand has the shape {self.demand.shape}; it must be [{count}, k]")

    def part(self, name: str) -> Embedded:
        """Items of one part.

        Raises:
            IntentError: there are none.
        """
        chosen = [number for number, part in enumerate(self.parts) if part == name]
        if not chosen:
            raise IntentError(f"no item is in the part {name!r}; fusion needs some in {', '.join(PARTS)}")
        return self._chosen(chosen)

    def without(self, *missing: str) -> Embedded:
        """Items that have another modality than these, as if these were missing."""
        vectors = {name: np.full_like(rows, np.nan) if name in missing else rows for name, rows in self.vectors.items()}
        there = np.any([~np.isnan(rows[:, 0]) for rows in vectors.values()], axis=0)
        return replace(self, vectors=vectors)._chosen(np.flatnonzero(there).tolist())

    def _chosen(self, numbers: list[int]) -> Embedded:
        return Embedded(
            {name: rows[numbers] for name, rows in self.vectors.items()},
            [self.activities[number] for number in numbers],
            [self.parts[number] for number in numbers],
            None if self.demand is None else self.demand[numbers],
        )


def checked(vectors: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Embeddings of all three modalities, float32 [n, f]; a row of NaN is missing.

    Raises:
        IntentError: none, of another shape, half a row of NaN, infinite, or not as many of each.
    """
    given = {name: rows for name, rows in vectors.items() if rows is not None}
    if not given or set(given) - set(MODALITIES):
        raise IntentError(
            f"embeddings of {', '.join(given) or 'nothing'} were given; give some of image, speech, motion"
        )
    rows_of = {name: _checked_rows(name, rows) for name, rows in given.items()}
    counts = {len(rows) for rows in rows_of.values()}
    if len(counts) > 1:
        numbers = ", ".join(f"{len(rows)} of {name}" for name, rows in rows_of.items())
        raise IntentError(f"there are {numbers}; give a row of each item, NaN where it is missing")
    missing = np.full((counts.pop(), 1), np.nan, np.float32)
    return {name: rows_of.get(name, np.repeat(missing, WIDTHS[name], axis=1)) for name in MODALITIES}


def _checked_rows(name: str, given: Any) -> np.ndarray:
    rows = np.asarray(given)
    if rows.dtype.kind not in "fiu" or rows.ndim != 2 or rows.shape[1] != WIDTHS[name]:
        raise IntentError(f"embeddings of {name} are {rows.dtype} {list(rows.shape)}; they must be [n, {WIDTHS[name]}]")
    gaps = np.isnan(rows)
    wrong = np.flatnonzero((gaps.any(axis=1) & ~gaps.all(axis=1)) | np.isinf(rows).any(axis=1))
    if len(wrong):
        raise IntentError(f"row {wrong[0]} of {name} has some numbers that are none; a missing row is NaN as a whole")
    return np.asarray(rows, np.float32)


# -- network -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """What a fusion network is made of.

    Attributes:
        hidden: width of each modality's projection.
        demands: numbers of the zone's demand that it expects; 0: none.
    """

    hidden: int = 128
    demands: int = 0

    def __post_init__(self) -> None:
        if self.hidden < 1 or self.demands < 0:
            raise IntentError("a fusion's hidden width must be above 0, and its number of demands not below")


class FusionNetwork(nn.Module):
    """Late fusion: each modality is projected, a learned vector stands in for a missing one, and a layer joins all.

    Args:
        shape: of what size.
    """

    demand_mean: Tensor
    demand_deviation: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.projections = nn.ModuleDict({name: nn.Linear(WIDTHS[name], shape.hidden) for name in MODALITIES})
        self.stand_ins = nn.ParameterDict({name: nn.Parameter(0.1 * torch.randn(shape.hidden)) for name in MODALITIES})
        for name in MODALITIES:
            self.register_buffer(f"mean_{name}", torch.zeros(WIDTHS[name]))
            self.register_buffer(f"deviation_{name}", torch.tensor(1.0))
        joined = len(MODALITIES) * shape.hidden
        self.join = nn.Sequential(nn.LayerNorm(joined), nn.Linear(joined, 2 * joined), nn.SiLU())
        self.out = nn.Linear(2 * joined, EMBEDDING)
        self.demand = nn.Linear(EMBEDDING, shape.demands) if shape.demands else None
        self.register_buffer("demand_mean", torch.zeros(shape.demands))
        self.register_buffer("demand_deviation", torch.ones(shape.demands))

    def forward(self, rows: Mapping[str, Tensor]) -> Tensor:
        """Embeddings [n, 1024] of length 1, of each modality's [n, f]; a row of NaN is missing."""
        parts = []
        for name in MODALITIES:
            missing = torch.isnan(rows[name][:, :1])
            scaled = (rows[name] - self.get_buffer(f"mean_{name}")) / self.get_buffer(f"deviation_{name}")
            projected = torch.nn.functional.silu(self.projections[name](scaled.masked_fill(missing, 0.0)))
            parts.append(torch.where(missing, self.stand_ins[name], projected))
        return normalize(self.out(self.join(torch.cat(parts, dim=1))))


class Fusion:
    """Image, speech and motion embeddings to one of 1024 numbers, close for what announces the same activity.

    Args:
        shape: of the network; or its fields as a dictionary.
        facts: for the card.
        device: of torch; unset: a GPU if there is one.
    """

    def __init__(
        self,
        shape: Shape | Mapping[str, Any] | None = None,
        facts: Mapping[str, Any] | None = None,
        device: str | None = None,
    ) -> None:
        self.shape = shape if isinstance(shape, Shape) else Shape(**(shape or {}))
        self.device = torch.device(_hub.device_of(device))
        self.network = FusionNetwork(self.shape).to(self.device).eval()
        self.facts = dict(facts or {})

    @classmethod
    def small(cls, seed: int = 0, hidden: int = 128, demands: int = 0, device: str | None = None) -> Fusion:
        """An untrained one.

        Args:
            seed: of its first weights.
            hidden, demands: see :class:`Shape`.
            device: of torch.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(Shape(hidden, demands), device=device)

    @torch.inference_mode()
    def fuse(
        self,
        image: np.ndarray | None = None,
        speech: np.ndarray | None = None,
        motion: np.ndarray | None = None,
    ) -> np.ndarray:
        """Embeddings, float32 [n, 1024], each of length 1.

        Args:
            image: [n, 768]; a row of NaN is missing, None: all are.
            speech: [n, 768], likewise.
            motion: [n, 128], likewise.

        Raises:
            IntentError: of another shape, not as many of each, or an item of which nothing is there.
        """
        rows = checked({"image": image, "speech": speech, "motion": motion})
        empty = np.flatnonzero(np.all([np.isnan(some[:, 0]) for some in rows.values()], axis=0))
        if len(empty):
            raise IntentError(f"item {empty[0]} has neither image, speech nor motion; leave it out")
        fused: np.ndarray = self.network({name: self.tensor(some) for name, some in rows.items()}).cpu().numpy()
        return fused

    @torch.inference_mode()
    def expect(self, fused: np.ndarray) -> np.ndarray:
        """The zone's demand [n, k] that embeddings `fused` [n, 1024] announce, in the unit of the training data.

        Raises:
            IntentError: it expects none.
        """
        network = self.network
        if network.demand is None:
            raise IntentError(
                "this fusion expects no demand; make it with demands, and train it with a weight for them"
            )
        demand = network.demand(self.tensor(fused)) * network.demand_deviation + network.demand_mean
        return np.asarray(demand.cpu().numpy())

    def tensor(self, rows: np.ndarray) -> Tensor:
        """Embeddings `rows` [n, f] on the device of the network."""
        return torch.from_numpy(np.ascontiguousarray(rows, np.float32)).to(self.device)

    def state(self) -> dict[str, Tensor]:
        """Weights by name, as they are now."""
        return {name: value.detach().cpu().clone().contiguous() for name, value in self.network.state_dict().items()}

    def save(self, folder: Path | str) -> None:
        """Weights (safetensors) and `card.json`; a fusion that was there is replaced.

        Raises:
            IntentError: the folder holds something else.
            OSError: it cannot be written.
        """
        _hub.save_tensors(folder, self.state(), FORMAT, {"shape": asdict(self.shape), **self.facts})

    @classmethod
    def load(cls, folder: Path | str, device: str | None = None) -> Fusion:
        """What :meth:`save` wrote; it gives the same output on the same machine.

        Raises:
            IntentError: no fusion there, of another format, or damaged.
        """
        card = _hub.read_card(folder, FORMAT)
        try:
            with torch.random.fork_rng(devices=[]):
                fusion = cls(card["shape"], device=device)
            fusion.network.load_state_dict(load_file(Path(folder) / _hub.WEIGHTS))
        except (KeyError, TypeError, RuntimeError, SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise IntentError(f"{folder} is damaged ({type(error).__name__}: {reason}); save it again") from None
        fusion.facts = {name: card[name] for name in ("training", "scores") if name in card}
        return fusion
