"""What is seen, said and done as one embedding of 1024 numbers, whichever of the three is there.

Axes: `n` items, `m` modalities (image, speech, motion), `f` numbers of an embedding, `k` demands.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import normalize

from metalore.intent import _epochs, _hub
from metalore.intent.errors import IntentError
from metalore.intent.library import MODALITIES, PARTS

EMBEDDING = 1024
WIDTHS = {"image": 768, "speech": 768, "motion": 128}
FORMAT = "metalore-fusion-1"

_TRAINING_FORMAT = "metalore-fusion-training-1"
_STATE = "fusion.safetensors"
_PROBE_PENALTY = 1.0
_LEAST_DEVIATION = 1e-6

Say = Callable[[str], None]
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
        fused: np.ndarray = self.network({name: self._tensor(some) for name, some in rows.items()}).cpu().numpy()
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
        demand = network.demand(self._tensor(fused)) * network.demand_deviation + network.demand_mean
        return np.asarray(demand.cpu().numpy())

    def _tensor(self, rows: np.ndarray) -> Tensor:
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


# -- training ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        batch: items in a step; each is seen twice, with other modalities missing.
        learning_rate: the highest; it rises over the first tenth and falls to 0 along a cosine.
        weight_decay: of AdamW (Loshchilov and Hutter 2019).
        temperature: of the contrast.
        missing: chance that a modality is left out, as long as another one is there.
        noise: added to each number, in deviations.
        demand: weight of the squared error of the expected demand, in deviations of it.
    """

    batch: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    temperature: float = 0.1
    missing: float = 0.3
    noise: float = 0.3
    demand: float = 0.0

    def __post_init__(self) -> None:
        if self.batch < 2 or self.temperature <= 0 or not 0 <= self.missing < 1:
            raise IntentError("a fusion needs batches of 2 or more, a temperature above 0, and missing below 1")
        for name in (field.name for field in fields(self)):
            if getattr(self, name) < 0:
                raise IntentError(f"the recipe's {name} is {getattr(self, name)}; a number from 0 on is needed")


def train_fusion(
    fusion: Fusion,
    data: Embedded,
    out: Path | str | None = None,
    epochs: int = 30,
    seed: int = 0,
    resume: bool = False,
    say: Say | None = None,
    recipe: Recipe | None = None,
) -> Scores:
    """Train on the training part; the weights of the epoch that is best on the validation part remain.

    What shows the same activity is pulled together, and apart from the rest, by the supervised contrastive loss (Khosla
    et al. 2020). The best epoch has the highest mean average precision, averaged over all modalities and each missing.

    Differently from the original: the loss acts on the embedding itself, without a head that is thrown away, and the
    two views of an item are itself with other modalities missing and other noise.

    Args:
        fusion: changed in place.
        data: with a training and a validation part.
        out: folder for the trained fusion, and for its training after each epoch.
        epochs: passes over the training part.
        seed: of everything drawn at random.
        resume: whether to go on with the training in `out`; it ends as if it had not been interrupted.
        say: told how it goes, after each epoch.
        recipe: how to train.

    Returns:
        Scores on the validation part; see :func:`evaluate_fusion`.

    Raises:
        IntentError: no such data, nothing to resume or another training in `out`, or training diverged.
    """
    recipe = recipe or Recipe()
    if epochs < 1:
        raise IntentError(f"training over {epochs} epochs learns nothing; give 1 or more")
    training = _Training(fusion, data, recipe, epochs, seed, None if out is None else Path(out))
    training.run(resume, say)
    scores = evaluate_fusion(fusion, data, "validation")
    items = {part: data.parts.count(part) for part in PARTS}
    fusion.facts = {
        "training": {**training.identity, "items": items, "seconds": round(training.seconds, 1)},
        "scores": scores,
    }
    if out is not None:
        fusion.save(out)
    return scores


class _Training:
    """One training of a fusion, epoch by epoch."""

    def __init__(
        self, fusion: Fusion, data: Embedded, recipe: Recipe, epochs: int, seed: int, out: Path | None
    ) -> None:
        self.fusion, self.recipe, self.epochs, self.out = fusion, recipe, epochs, out
        self.rng = np.random.default_rng(seed)
        self.train, self.validation = data.part("train").without(), data.part("validation").without()
        self.labels = _numbered(self.train.activities)
        if len(set(self.labels.tolist())) < 2:
            raise IntentError("the training part shows one activity; contrast needs 2 or more")
        self.steps = max(1, len(self.labels) // recipe.batch)
        self.demand = self._fit_scaling()
        self.optimizer = torch.optim.AdamW(fusion.network.parameters(), weight_decay=recipe.weight_decay)
        self.identity = {
            "data": _fingerprint(data),
            "recipe": {"epochs": epochs, **asdict(recipe)},
            "seed": seed,
            "shape": asdict(fusion.shape),
        }
        self.epoch, self.best, self.seconds = 0, -1.0, 0.0
        self.kept = fusion.state()

    def _fit_scaling(self) -> Tensor | None:
        """Means and deviations of the training part, and its demand in them [n, k]."""
        network = self.fusion.network
        for name, rows in self.train.vectors.items():
            there = rows[~np.isnan(rows[:, 0])]
            if len(there):
                network.get_buffer(f"mean_{name}").copy_(torch.from_numpy(there.mean(axis=0)))
                network.get_buffer(f"deviation_{name}").fill_(max(float(there.std(axis=0).mean()), _LEAST_DEVIATION))
        if not self.recipe.demand:
            return None
        demand = self.train.demand
        if demand is None or demand.shape[1] != self.fusion.shape.demands or np.isnan(demand).all(axis=0).any():
            raise IntentError(
                f"the fusion expects {self.fusion.shape.demands} demands; give data with as many in its training part, "
                "or the recipe no weight for them"
            )
        network.demand_mean.copy_(torch.from_numpy(np.nanmean(demand, axis=0)))
        deviation = np.maximum(np.nanstd(demand, axis=0), _LEAST_DEVIATION)
        network.demand_deviation.copy_(torch.from_numpy(deviation))
        return (
            torch.from_numpy(demand).float().to(self.fusion.device) - network.demand_mean
        ) / network.demand_deviation

    def run(self, resume: bool, say: Say | None) -> None:
        self.path = _epochs.begin(self.out, _STATE, resume, _TRAINING_FORMAT, self.identity, self._restore)
        while self.epoch < self.epochs:
            started = time.perf_counter()
            order = self.rng.permutation(len(self.labels))
            losses = [self._step(part, step) for step, part in enumerate(np.array_split(order, self.steps))]
            if not math.isfinite(losses[-1]):
                raise IntentError(f"training diverged in epoch {self.epoch + 1}; lower the learning rate")
            judged = self._validate()
            self.epoch += 1
            if judged >= self.best:
                self.best, self.kept = judged, self.fusion.state()
            self.seconds += time.perf_counter() - started
            self._save()
            if say:
                say(f"epoch {self.epoch} of {self.epochs}: loss {np.mean(losses):.3f}, validation mAP {judged:.3f}")
        self.fusion.network.load_state_dict(self.kept)
        self.fusion.network.eval()

    def _step(self, chosen: np.ndarray, step: int) -> float:
        rate = _epochs.learning_rate((self.epoch * self.steps + step) / (self.epochs * self.steps))
        for group in self.optimizer.param_groups:
            group["lr"] = rate * self.recipe.learning_rate
        fused = self.fusion.network(self._seen(np.tile(chosen, 2)))
        loss = contrast(fused, torch.from_numpy(np.tile(self.labels[chosen], 2)), self.recipe.temperature)
        if self.demand is not None:
            loss = loss + self.recipe.demand * self._demand_error(fused, self.demand[np.tile(chosen, 2)])
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
        self.optimizer.step()
        return float(loss.detach())

    def _demand_error(self, fused: Tensor, wanted: Tensor) -> Tensor:
        assert self.fusion.network.demand is not None
        known = ~torch.isnan(wanted)
        error: Tensor = (self.fusion.network.demand(fused) - wanted)[known]
        return (error**2).sum() / known.sum().clamp_min(1)

    def _seen(self, chosen: np.ndarray) -> dict[str, Tensor]:
        """Noisy rows, of which some modalities are left out."""
        there = np.stack([~np.isnan(self.train.vectors[name][chosen, 0]) for name in MODALITIES], axis=1)
        seen = there & (self.rng.random(there.shape) >= self.recipe.missing)
        spared = np.argmax(self.rng.random(there.shape) * there, axis=1)  # one that is there
        seen[np.arange(len(seen)), spared] |= ~seen.any(axis=1)
        rows = {}
        for column, name in enumerate(MODALITIES):
            own = self.train.vectors[name][chosen]
            deviation = float(self.fusion.network.get_buffer(f"deviation_{name}"))
            own = own + self.recipe.noise * deviation * self.rng.standard_normal(own.shape, np.float32)
            rows[name] = self.fusion._tensor(np.where(seen[:, [column]], own, np.nan))
        return rows

    def _validate(self) -> float:
        """Mean average precision with all modalities, and without each, averaged."""
        found = [retrieval(*_fused(self.fusion, own))["map"] for own in _cases(self.validation).values()]
        return float(np.mean(found))

    # -- what is kept after each epoch -----------------------------------------------------------------------------

    def _save(self) -> None:
        if self.path is None:
            return
        tensors = {f"network.{name}": tensor for name, tensor in self.fusion.state().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.kept.items()}
        facts = {"identity": self.identity, "epoch": self.epoch, "best": self.best, "seconds": self.seconds}
        _epochs.write_epoch(self.path, _TRAINING_FORMAT, facts, tensors, self.optimizer, self.rng)

    def _restore(self, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self.fusion.network.load_state_dict(_epochs.part(tensors, "network."))
        self.kept = _epochs.part(tensors, "best.")
        _epochs.restore_optimizer(self.optimizer, self.rng, facts, tensors)
        self.epoch, self.best, self.seconds = facts["epoch"], facts["best"], facts["seconds"]


def contrast(vectors: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """The supervised contrastive loss (Khosla et al. 2020, L_out), in nats.

    Args:
        vectors: of length 1 [n, f].
        labels: those with the same attract each other [n].
        temperature: by which similarities are divided.
    """
    labels = labels.to(vectors.device)
    own = torch.eye(len(labels), dtype=torch.bool, device=vectors.device)
    logits = (vectors @ vectors.T / temperature).masked_fill(own, -math.inf)
    likely = (logits - logits.logsumexp(dim=1, keepdim=True)).masked_fill(own, 0.0)
    same = (labels[:, None] == labels) & ~own
    counts = same.sum(dim=1)
    return -((likely * same).sum(dim=1) / counts.clamp_min(1))[counts > 0].mean()


def _numbered(labels: Sequence[str]) -> np.ndarray:
    return np.unique(list(labels), return_inverse=True)[1]


def _fingerprint(data: Embedded) -> str:
    digest = hashlib.sha256(json.dumps([list(data.activities), list(data.parts)]).encode())
    for rows in (*data.vectors.values(), *([] if data.demand is None else [data.demand])):
        digest.update(np.ascontiguousarray(rows).tobytes())
    return digest.hexdigest()[:16]


# -- judging -----------------------------------------------------------------------------------------------------------


def evaluate_fusion(fusion: Fusion, data: Embedded, part: str = "test") -> Scores:
    """How well activities are told apart by fused embeddings, by concatenated ones, and by each modality alone.

    Args:
        fusion: that is judged.
        data: with the training part, from which the probes learn.
        part: that is judged.

    Returns:
        `fused`, `concatenation`, `image`, `speech`, `motion`; and, if there are two modalities or more, `fused without
        image`, `concatenation without image` and so on. Of each `items`, `precision_1` and `map` as
        :func:`retrieval` gives them, and `probe` as :func:`linear_probe`. `demand` has the part of the demand's
        variance that is explained (`r2`), if the fusion expects one that is known.

    Raises:
        IntentError: an empty part.
    """
    train, judged = data.part("train"), data.part(part)
    scores: Scores = {}
    for embed, word in ((_fused, "fused"), (_concatenated, "concatenation")):
        for missing, own in _cases(judged).items():
            seen = _cases(train)[missing]
            scores[word + missing] = _scores(embed(fusion, seen), embed(fusion, own))
    for name in _present(judged):
        others = [other for other in MODALITIES if other != name]
        scores[name] = _scores(*(_concatenated(fusion, own.without(*others)) for own in (train, judged)))
    if fusion.shape.demands and judged.demand is not None:
        scores["demand"] = {"r2": _explained(fusion, judged.without())}
    return scores


def retrieval(vectors: np.ndarray, labels: Sequence[str]) -> dict[str, float]:
    """Each item is looked for among all others by its cosine.

    Args:
        vectors: of length 1 [n, f].
        labels: items with the same belong together; one that is alone is not asked for.

    Returns:
        `precision_1`: how often the nearest has the same label; `map`: the mean average precision. 0 to 1.

    Raises:
        IntentError: no two have the same label.
    """
    numbers = _numbered(labels)
    near = vectors @ vectors.T
    np.fill_diagonal(near, -np.inf)
    order = np.argsort(-near, axis=1, kind="stable")[:, :-1]
    right = numbers[order] == numbers[:, None]
    right = right[right.any(axis=1)]
    if not len(right):
        raise IntentError("no two items show the same activity, so none can be looked for; take more items")
    precision = np.cumsum(right, axis=1) / np.arange(1, right.shape[1] + 1)
    average = (precision * right).sum(axis=1) / right.sum(axis=1)
    return {"precision_1": float(right[:, 0].mean()), "map": float(average.mean())}


def linear_probe(train: np.ndarray, train_labels: Sequence[str], test: np.ndarray, test_labels: Sequence[str]) -> float:
    """Part of the test items whose label a linear map finds: ridge regression on which label it is.

    Vectors `train` and `test` [n, d] are centred and scaled to a mean squared length of 1; the penalty is 1.
    """
    names = sorted(set(train_labels))
    wanted = np.array([[label == name for name in names] for label in train_labels], np.float64)
    mean = train.mean(axis=0, dtype=np.float64)
    spread = np.sqrt(((train - mean) ** 2).sum(axis=1).mean()) or 1.0
    rows, asked = (train - mean) / spread, (test - mean) / spread
    # As many equations as items, not as numbers of an embedding: the dual form.
    weights = rows.T @ np.linalg.solve(rows @ rows.T + _PROBE_PENALTY * np.eye(len(rows)), wanted - wanted.mean(axis=0))
    found = (asked @ weights + wanted.mean(axis=0)).argmax(axis=1)
    return float(np.mean([names[number] == label for number, label in zip(found, test_labels, strict=True)]))


def _present(data: Embedded) -> list[str]:
    """Modalities that some items have."""
    return [name for name, rows in data.vectors.items() if not np.isnan(rows[:, 0]).all()]


def _cases(data: Embedded) -> dict[str, Embedded]:
    """All modalities, and each missing, by what to say of them."""
    present = _present(data)
    missing = present if len(present) > 1 else []
    return {"": data.without()} | {f" without {name}": data.without(name) for name in missing}


def _fused(fusion: Fusion, data: Embedded) -> tuple[np.ndarray, Sequence[str]]:
    return fusion.fuse(**data.vectors), data.activities


def _concatenated(fusion: Fusion, data: Embedded) -> tuple[np.ndarray, Sequence[str]]:
    """Each normalized, 0 where it is missing; no fusion is used."""
    rows = [some / np.maximum(np.linalg.norm(some, axis=1, keepdims=True), 1e-12) for some in data.vectors.values()]
    joined = np.nan_to_num(np.concatenate(rows, axis=1))
    return joined / np.linalg.norm(joined, axis=1, keepdims=True), data.activities


def _scores(train: tuple[np.ndarray, Sequence[str]], judged: tuple[np.ndarray, Sequence[str]]) -> dict[str, float]:
    return {"items": len(judged[0]), **retrieval(*judged), "probe": linear_probe(*train, *judged)}


def _explained(fusion: Fusion, data: Embedded) -> float:
    """Part of the demand's variance that is expected, averaged over demands."""
    assert data.demand is not None
    error = fusion.expect(_fused(fusion, data)[0]) - data.demand
    spread = data.demand - np.nanmean(data.demand, axis=0)
    return float(np.mean(1 - np.nansum(error**2, axis=0) / np.maximum(np.nansum(spread**2, axis=0), 1e-12)))
