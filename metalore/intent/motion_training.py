"""Motions and their descriptions: how an encoder learns that they belong together, and how well it does."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from metalore.intent import _epochs
from metalore.intent.errors import IntentError
from metalore.intent.media import read_motion
from metalore.intent.motion import (
    FEWEST_FRAMES,
    MotionEncoder,
    features,
    joined,
    mirrored,
    mirrored_words,
    words_of,
)

if TYPE_CHECKING:
    from metalore.intent.library import Library

POOL = 32

_FORMAT = "metalore-motion-training-1"
_STATE = "motion.safetensors"
_HOTTEST = math.log(100.0)
_GRID_ROWS = 1024
_PENALTY_MOTIONS = 4

Say = Callable[[str], None]


# -- data --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MotionData:
    """Motions with descriptions.

    Attributes:
        name: what to call them.
        motions: each [t, 21, 3] in metres at 12.5 Hz.
        descriptions: of each, one or more.
        parts: of each: train, validation or test.
    """

    name: str
    motions: Sequence[np.ndarray]
    descriptions: Sequence[Sequence[str]]
    parts: Sequence[str]

    def __post_init__(self) -> None:
        if not len(self.motions) == len(self.descriptions) == len(self.parts):
            raise IntentError(
                f"{self.name} has {len(self.motions)} motions, {len(self.descriptions)} descriptions and "
                f"{len(self.parts)} parts; there must be as many of each"
            )
        for number, texts in enumerate(self.descriptions):
            if isinstance(texts, str) or not texts or not all(words_of(text) for text in texts):
                raise IntentError(f"motion {number} of {self.name} has no description; give each a list of sentences")

    @classmethod
    def of(cls, library: Library) -> MotionData:
        """The motions of a media library.

        Raises:
            IntentError: it has none, or a file is no motion.
        """
        items = [item for item in library.items if item.motion is not None and item.description is not None]
        if not items:
            raise IntentError(f"the library {library.folder} has no motions; make it with the modality motion")
        motions = [read_motion(item.motion) for item in items if item.motion is not None]
        texts = [(item.description,) for item in items if item.description is not None]
        return cls(library.folder.name, motions, texts, [item.part for item in items])

    def part(self, name: str) -> MotionData:
        """Those of the train, validation or test part.

        Raises:
            IntentError: there are none.
        """
        chosen = [number for number, part in enumerate(self.parts) if part == name]
        if not chosen:
            raise IntentError(f"{self.name} has no motions in the part {name!r}")
        columns = (self.motions, self.descriptions, self.parts)
        motions, texts, parts = ([column[number] for number in chosen] for column in columns)
        return MotionData(f"{self.name} ({name})", motions, texts, parts)  # type: ignore[arg-type]  # columns are mixed


# -- learning ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        batch: motions in a step; each is to be told from all others by its description.
        learning_rate: the highest; it rises over the first tenth and falls to 0 along a cosine.
        weight_decay: of AdamW (Loshchilov and Hutter 2019).
        frames: of a motion, at most; a longer one is seen in part, another part in each epoch.
        least_part: of a motion that is seen at least.
        mirror: chance that a motion and its description are seen in a mirror.
        words_left_out: part of words and pairs that is not seen.
        noise: added to each number of each frame, in deviations of that feature.
        offset: likewise, the same for all frames of a motion: other bodies, other habits.
        grid_updates: so often splines are laid anew where samples are, in the first half of training.
        uniform: part of equal intervals in these grids; the paper's 0.02 makes some very narrow.
        penalty: weight of the paper's regularization of edges.
        clip: largest norm of a gradient.
    """

    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    frames: int = 128
    least_part: float = 0.75
    mirror: float = 0.5
    words_left_out: float = 0.2
    noise: float = 0.1
    offset: float = 0.2
    grid_updates: int = 3
    uniform: float = 0.5
    penalty: float = 0.0
    clip: float = 1.0

    def __post_init__(self) -> None:
        if self.batch < 2 or self.frames < FEWEST_FRAMES:
            raise IntentError(f"the recipe needs batches of 2 motions or more, and {FEWEST_FRAMES} frames or more")
        for name in (field.name for field in fields(self)):
            if getattr(self, name) < 0:
                raise IntentError(f"the recipe's {name} is {getattr(self, name)}; a number from 0 on is needed")


def train_motion(
    encoder: MotionEncoder,
    data: MotionData | Library,
    out: Path | str | None = None,
    epochs: int = 40,
    seed: int = 0,
    resume: bool = False,
    say: Say | None = None,
    recipe: Recipe | None = None,
) -> dict[str, float]:
    """Train on the training part; the weights of the epoch that is best on the validation part remain.

    The best, and of equals the last, is that with the highest mean reciprocal rank of a motion's own description among
    all of that part.

    Motions and descriptions are pulled together, and apart from those of others, by InfoNCE in both directions (van den
    Oord, Li and Vinyals 2018; Radford et al. 2021, "CLIP") at a learned temperature. Others with the same description
    do not count as others.

    Args:
        encoder: changed in place; a new one takes words and scaling from the training part, a trained one keeps them.
        data: with a training and a validation part.
        out: folder for the trained encoder, and for its training after each epoch.
        epochs: passes over the training part.
        seed: of everything drawn at random.
        resume: whether to go on with the training in `out`; it ends as if it had not been interrupted.
        say: told how it goes, after each epoch.
        recipe: how to train.

    Returns:
        Scores on the validation part; see :func:`evaluate_motion`.

    Raises:
        IntentError: no such data, nothing to resume, another training or something else in `out`, or training diverged.
    """
    data = data if isinstance(data, MotionData) else MotionData.of(data)
    recipe = recipe or Recipe()
    if epochs < 1:
        raise IntentError(f"training over {epochs} epochs learns nothing; give 1 or more")
    training = _Training(encoder, data, recipe, epochs, seed, None if out is None else Path(out))
    training.run(resume, say)
    scores = evaluate_motion(encoder, data.part("validation"), pool=min(POOL, data.parts.count("validation")))
    encoder.training = {
        "data": {"name": data.name, "train": data.parts.count("train"), "validation": data.parts.count("validation")},
        "recipe": {"epochs": epochs, **asdict(recipe)},
        "seed": seed,
        "seconds": round(training.seconds, 1),
        "scores": {"validation": scores},
    }
    if out is not None:
        encoder.save(out)
    return scores


class _Training:
    """One training of an encoder, epoch by epoch."""

    def __init__(
        self, encoder: MotionEncoder, data: MotionData, recipe: Recipe, epochs: int, seed: int, out: Path | None
    ) -> None:
        self.encoder, self.recipe, self.epochs, self.out = encoder, recipe, epochs, out
        self.rng = np.random.default_rng(seed)
        self.train, self.validation = data.part("train"), data.part("validation")
        self.rows, self.rows_validation = (
            [features(read_motion(motion, name=f"a motion of {part.name}")) for motion in part.motions]
            for part in (self.train, self.validation)
        )
        if min(len(self.rows), len(self.rows_validation)) < 2:
            raise IntentError(f"{data.name} has a part with one motion only; training and validation need 2 or more")
        self._prepare(seed)
        self.scale = torch.nn.Parameter(torch.tensor(math.log(1 / 0.07), device=encoder.device))
        parameters = [*encoder.network.parameters(), *encoder.text.parameters(), self.scale]
        self.optimizer = torch.optim.AdamW(parameters, weight_decay=recipe.weight_decay)
        self.steps = max(1, len(self.rows) // recipe.batch)
        self.identity = {"data": _fingerprint(data), "recipe": {"epochs": epochs, **asdict(recipe)}, "seed": seed,
                         "shape": asdict(encoder.shape)}  # fmt: skip
        self.epoch, self.best, self.seconds = 0, 0.0, 0.0
        self.kept = encoder.state()

    def _prepare(self, seed: int) -> None:
        """Words and scaling of the training part for an encoder that has none; the gallery for any."""
        encoder, texts = self.encoder, [text for texts in self.train.descriptions for text in texts]
        if not encoder.words:
            known = [*texts, *map(mirrored_words, texts)] if self.recipe.mirror else texts
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                encoder.learn_words(sorted({word for text in known for word in words_of(text)}))
            frames = torch.from_numpy(np.concatenate(self.rows)).to(encoder.device)
            encoder.network.mean.copy_(frames.mean(dim=0))
            encoder.network.deviation.copy_(frames.std(dim=0).clamp_min(1e-3))
        encoder.gallery = tuple(sorted(set(texts)))

    def run(self, resume: bool, say: Say | None) -> None:
        self.path = _epochs.begin(self.out, _STATE, resume, _FORMAT, self.identity, self._restore)
        while self.epoch < self.epochs:
            started = time.perf_counter()
            self._update_grids()
            order = self.rng.permutation(len(self.rows))
            losses = [self._step(part, step) for step, part in enumerate(np.array_split(order, self.steps))]
            judged = self._validate()
            self.epoch += 1
            if not np.isfinite([*losses, judged]).all():
                raise IntentError(f"training diverged in epoch {self.epoch}; lower the learning rate")
            if judged >= self.best:
                self.best, self.kept = judged, self.encoder.state()
            self.seconds += time.perf_counter() - started
            self._save()
            if say:
                of = f"epoch {self.epoch} of {self.epochs}"
                say(f"{of}: loss {np.mean(losses):.4f}, reciprocal rank {judged:.4f}")
        self.encoder.restore(self.kept)
        self.encoder.network.eval()

    def _step(self, chosen: np.ndarray, step: int) -> float:
        rate = _epochs.learning_rate((self.epoch * self.steps + step) / (self.epochs * self.steps))
        for group in self.optimizer.param_groups:
            group["lr"] = rate * self.recipe.learning_rate
        self.encoder.network.train()
        seen, texts = zip(*(self._seen(number) for number in chosen), strict=True)
        frames, lengths = self._batch(seen)
        words = [self._some(words_of(text)) for text in texts]
        with torch.autocast(self.encoder.device.type, torch.bfloat16, enabled=self.encoder.device.type == "cuda"):
            motions, told = self.encoder.network(frames, lengths), self.encoder.text(words)
        loss = _contrast(motions.float(), told.float(), self.scale, _same(texts))
        if self.recipe.penalty:
            loss = loss + self.recipe.penalty * self._penalty(seen[:_PENALTY_MOTIONS])
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
        torch.nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], self.recipe.clip)
        self.optimizer.step()
        with torch.no_grad():
            self.scale.clamp_(max=_HOTTEST)
        return float(loss.detach())

    def _seen(self, number: int) -> tuple[np.ndarray, str]:
        """A motion and one of its descriptions, as they are shown this time."""
        rows, texts = self.rows[number], self.train.descriptions[number]
        text, recipe = texts[int(self.rng.integers(len(texts)))], self.recipe
        part = min(recipe.frames, math.ceil(len(rows) * self.rng.uniform(recipe.least_part, 1)))
        part = max(part, FEWEST_FRAMES)
        first = self.rng.integers(len(rows) - part + 1)
        rows = rows[first : first + part]
        if self.rng.random() < recipe.mirror:
            rows, text = mirrored(rows), mirrored_words(text)
        return rows, text

    def _some(self, words: list[str]) -> list[str]:
        kept = self.rng.random(len(words)) >= self.recipe.words_left_out
        return [word for word, keep in zip(words, kept, strict=True) if keep]

    def _batch(self, seen: Sequence[np.ndarray]) -> tuple[Tensor, np.ndarray]:
        """Features of several motions, noisy."""
        frames, lengths = joined(seen)
        noise = self.recipe.noise * self.rng.standard_normal(frames.shape, np.float32)
        offset = self.recipe.offset * self.rng.standard_normal((len(seen), frames.shape[1]), np.float32)
        more = torch.from_numpy(noise + np.repeat(offset, lengths, axis=0)).to(self.encoder.device)
        return frames.to(more.device) + self.encoder.network.deviation * more, lengths

    def _penalty(self, seen: Sequence[np.ndarray]) -> Tensor:
        frames, lengths = self._batch(seen)
        layers = self.encoder.network.kan_layers(frames, lengths)
        return sum((layer.penalty(entering) for layer, entering in layers), torch.zeros((), device=frames.device))

    def _update_grids(self) -> None:
        """At the beginning, and at equal distances up to the middle."""
        every = max(1, self.epochs // (2 * max(1, self.recipe.grid_updates)))
        number, left_over = divmod(self.epoch, every)
        if left_over or number >= self.recipe.grid_updates:
            return
        chosen = self.rng.permutation(len(self.rows))[: 2 * self.recipe.batch]
        frames, lengths = self._batch([self.rows[number] for number in chosen])
        with torch.no_grad():
            for layer, entering in self.encoder.network.kan_layers(frames, lengths):
                some = torch.from_numpy(self.rng.permutation(len(entering))[:_GRID_ROWS]).to(entering.device)
                layer.update_grid(entering[some], uniform=self.recipe.uniform)

    def _validate(self) -> float:
        """Mean reciprocal rank of a motion's description among all of the validation part; NaN after divergence."""
        texts = [each[0] for each in self.validation.descriptions]
        near = self.encoder.embed_features(self.rows_validation) @ self.encoder.embed_text(texts).T
        if not np.isfinite(near).all():
            return math.nan
        return float(np.mean(1 / (1 + _ranks(near, _numbered(texts)))))

    def _save(self) -> None:
        if self.path is None:
            return
        tensors = {f"network.{name}": tensor for name, tensor in self.encoder.state().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.kept.items()} | {"scale": self.scale}
        facts = {"identity": self.identity, "epoch": self.epoch, "best": self.best, "seconds": self.seconds}
        _epochs.write_epoch(self.path, _FORMAT, facts, tensors, self.optimizer, self.rng)

    def _restore(self, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self.encoder.restore(_epochs.part(tensors, "network."))
        self.kept = _epochs.part(tensors, "best.")
        _epochs.restore_optimizer(self.optimizer, self.rng, facts, tensors)
        with torch.no_grad():
            self.scale.copy_(tensors["scale"])
        self.epoch, self.best, self.seconds = facts["epoch"], facts["best"], facts["seconds"]


def _fingerprint(data: MotionData) -> str:
    digest = hashlib.sha256(json.dumps([list(map(list, data.descriptions)), list(data.parts)]).encode())
    for motion in data.motions:
        digest.update(np.ascontiguousarray(motion).tobytes())
    return digest.hexdigest()[:16]


def _same(texts: Sequence[str]) -> Tensor:
    """Pairs of others that are told the same [n, n]."""
    numbers = _numbered([text.lower() for text in texts])
    return torch.from_numpy((numbers[:, None] == numbers) & ~np.eye(len(texts), dtype=bool))


def _numbered(things: Sequence[object]) -> np.ndarray:
    """A number for each; equal things have the same."""
    numbers = {thing: number for number, thing in enumerate(dict.fromkeys(things))}
    return np.array([numbers[thing] for thing in things])


def _ranks(near: np.ndarray, tells: np.ndarray) -> np.ndarray:
    """How many descriptions that tell something else are nearer to each motion than the first right one [m].

    Args:
        near: how near each motion (row) is to each description.
        tells: what each description tells, as numbers.
    """
    order = np.argsort(-near, axis=1, kind="stable")
    return np.asarray(np.argmax(tells[order] == tells[:, None], axis=1))


def _contrast(motions: Tensor, told: Tensor, scale: Tensor, same: Tensor) -> Tensor:
    """InfoNCE in both directions; `same` are pairs that do not count as different."""
    logits = (scale.exp() * motions @ told.T).masked_fill(same.to(motions.device), -math.inf)
    own = torch.arange(len(logits), device=logits.device)
    return (cross_entropy(logits, own) + cross_entropy(logits.T, own)) / 2


# -- judging -----------------------------------------------------------------------------------------------------------


def evaluate_motion(
    encoder: MotionEncoder,
    data: MotionData | Library,
    pool: int = POOL,
    same: Callable[[str], object] = str.lower,
    distinct: bool = False,
    draws: int = 20,
    seed: int = 0,
) -> dict[str, float]:
    """R-precision and multimodal distance, as Guo et al. 2022 measure them.

    Each motion is compared with its own description and with those of the others in its pool; R-precision at k is how
    often its own is among the k nearest. Of a motion with several descriptions the first counts.

    Ties: a description that tells the same as a motion's own is as right as it, so a pool with several of them is
    easier. With `distinct` no two in a pool tell the same.

    Args:
        encoder: that is judged.
        data: all of it; or a library, of which the test part.
        pool: motions in a pool.
        same: what a description tells; two that tell equal things are the same. Usually letter for letter.
        distinct: whether the motions of a pool must tell different things.
        draws: how often motions are dealt into pools at random; the scores are means.
        seed: of the dealing.

    Returns:
        `r_precision_1`, `r_precision_2`, `r_precision_3` (0 to 1), `multimodal_distance` (mean Euclidean distance of a
        motion's and its description's embedding, 0 to 2), `motions`, and `pools`: how many were dealt in all.

    Raises:
        IntentError: fewer motions than a pool has, or fewer different ones.
    """
    data = data if isinstance(data, MotionData) else MotionData.of(data).part("test")
    texts = [each[0] for each in data.descriptions]
    motions, told = encoder.embed(data.motions), encoder.embed_text(texts)
    tells = _numbered([same(text) for text in texts])
    different = len(np.unique(tells))
    if pool < 2 or (different if distinct else len(texts)) < pool:
        what = f"{different} different descriptions" if distinct else f"{len(texts)} motions"
        raise IntentError(f"{data.name} has {what}; pools of {pool} need {max(2, pool)} or more")
    rng, ranks = np.random.default_rng(seed), []
    for _ in range(draws):
        for dealt in _pools(tells, pool, distinct, rng):
            ranks.append(_ranks(motions[dealt] @ told[dealt].T, tells[dealt]))
    rank = np.concatenate(ranks)
    scores = {f"r_precision_{k}": float(np.mean(rank < k)) for k in (1, 2, 3)}
    distance = float(np.linalg.norm(motions - told, axis=1).mean())
    return {**scores, "multimodal_distance": distance, "motions": len(texts), "pools": len(ranks)}


def _pools(tells: np.ndarray, size: int, distinct: bool, rng: np.random.Generator) -> list[np.ndarray]:
    """Motions dealt into full pools; some are left over."""
    order = rng.permutation(len(tells))
    if not distinct:
        return [order[first : first + size] for first in range(0, len(order) - size + 1, size)]
    firsts = np.unique(tells[order], return_index=True)[1]  # one of each, in a random order
    return [order[rng.permutation(firsts)[:size]]]
