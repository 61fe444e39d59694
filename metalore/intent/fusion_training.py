"""How a fusion is trained: by contrast of activities, with noise and missing modalities, resumable.

Axes are those of :mod:`metalore.intent.fusion`.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metalore.intent import _epochs
from metalore.intent.errors import IntentError
from metalore.intent.fusion import Embedded, Fusion, Scores
from metalore.intent.fusion_judging import evaluate_fusion, mean_precision
from metalore.intent.library import MODALITIES, PARTS

_TRAINING_FORMAT = "metalore-fusion-training-1"
_STATE = "fusion.safetensors"
_LEAST_DEVIATION = 1e-6

Say = Callable[[str], None]


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
        self.labels = np.unique(list(self.train.activities), return_inverse=True)[1]
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
            judged = mean_precision(self.fusion, self.validation)
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
            rows[name] = self.fusion.tensor(np.where(seen[:, [column]], own, np.nan))
        return rows

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


def _fingerprint(data: Embedded) -> str:
    digest = hashlib.sha256(json.dumps([list(data.activities), list(data.parts)]).encode())
    for rows in (*data.vectors.values(), *([] if data.demand is None else [data.demand])):
        digest.update(np.ascontiguousarray(rows).tobytes())
    return digest.hexdigest()[:16]
