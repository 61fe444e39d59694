"""How good embeddings are: retrieval, a linear probe, and how much of a demand they explain.

Axes are those of :mod:`metalore.intent.fusion`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metalore.intent.errors import IntentError
from metalore.intent.fusion import Embedded, Fusion, Scores
from metalore.intent.library import MODALITIES

_PROBE_PENALTY = 1.0


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
    numbers = np.unique(list(labels), return_inverse=True)[1]
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


def mean_precision(fusion: Fusion, data: Embedded) -> float:
    """Mean average precision, see :func:`retrieval`, with all modalities and without each, averaged."""
    return float(np.mean([retrieval(*_fused(fusion, own))["map"] for own in _cases(data).values()]))


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
