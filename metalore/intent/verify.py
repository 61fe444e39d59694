"""Whether what is seen, said and done fits the policy that it would trigger.

An intent is believed if its texts speak of what the policy is for, and if the policy changes what the forecast expects
to change. What falls short is rejected with its reason, and should never reach the autoscaler.

Pure functions of their arguments. Axes: `n` texts, `f` features, `z` zones.
"""

from __future__ import annotations

import importlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metalore.intent.errors import IntentError

SENTENCE_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
THRESHOLD = 0.3
"""Chosen on made texts; see docs/intent.md. A sentence encoder may need another."""
N_GRAMS = "character n-grams"
LEAST_CHANGE = 0.05
"""Of a zone, as a part; smaller ones do not count."""

_SIZES = 3, 4, 5
_EDGES = 0.3
_FEW = 3
_SHORT = 3

Encoder = Callable[[Sequence[str]], np.ndarray]
"""Texts to vectors [n, f]."""
Edges = Mapping[tuple[str, str], float]
"""How strongly two zones belong together, above 0."""


@dataclass(frozen=True)
class Policy:
    """What would be done.

    Attributes:
        words: what it is for, in a sentence or some words: "a concert: music and a crowd before the stage".
        changes: of what each zone gets, as parts of what it has: 0.5 is half as much again, -0.2 a fifth less; zones
            that are not named stay as they are.
    """

    words: str
    changes: Mapping[str, float]

    def __post_init__(self) -> None:
        if not _grams(self.words):
            raise IntentError(f"the policy's words are {self.words!r}; say in some words what it is for")
        _check_changes(self.changes, "the policy")


@dataclass(frozen=True)
class Verdict:
    """What was found.

    Attributes:
        score: geometric mean of both, 0 to 1; low if one of them is.
        semantic: how near the intent's texts come to the policy's words, 0 to 1.
        structural: how far policy and forecast change the same, 0 to 1.
        accepted: whether the score reaches the threshold.
        reason: in words.
        compared_by: what compared the words.
    """

    score: float
    semantic: float
    structural: float
    accepted: bool
    reason: str
    compared_by: str


def verify(
    texts: Sequence[str],
    policy: Policy,
    expected: Mapping[str, float],
    edges: Edges | None = None,
    *,
    threshold: float = THRESHOLD,
    others: Sequence[str] = (),
    encoder: Encoder | None = None,
    encoder_name: str = "sentence encoder",
) -> Verdict:
    """Judge an intent by the policy it would trigger and by the forecast.

    Args:
        texts: captions, transcripts and descriptions of the intent.
        policy: that it would trigger.
        expected: change of each zone's demand in the forecast, as parts of what it is now; zones that are not named do
            not change.
        edges: of the zone graph, in one direction or both.
        threshold: score from which an intent is accepted, 0 to 1.
        others: words of other policies, so that what all of them say counts little; only for character n-grams.
        encoder: of sentences; see :func:`sentence_encoder`. Unset: character n-grams.
        encoder_name: what to call it.

    Raises:
        IntentError: a threshold, change or edge that cannot be.
    """
    if not 0 <= threshold <= 1:
        raise IntentError(f"the threshold is {threshold}; it must be from 0 to 1")
    semantic = semantic_similarity(texts, policy.words, others, encoder)
    structural = structural_consistency(policy.changes, expected, edges or {})
    score = math.sqrt(semantic * structural)
    accepted = score >= threshold
    found = f"its texts and the policy's words agree by {semantic:.2f}, the policy and the forecast by {structural:.2f}"
    if accepted:
        reason = f"accepted with {score:.2f}: {found}"
    else:
        why = _why_not(semantic, structural, texts, policy, expected)
        reason = f"rejected with {score:.2f}, below {threshold:g}: {why}; {found}"
    return Verdict(score, semantic, structural, accepted, reason, N_GRAMS if encoder is None else encoder_name)


def _why_not(
    semantic: float, structural: float, texts: Sequence[str], policy: Policy, expected: Mapping[str, float]
) -> str:
    """The weaker of both sides, in words."""
    if not any(map(_grams, texts)):
        return "it says nothing"
    if semantic <= structural:
        return f"what it says is not about {policy.words!r}"
    planned, seen = _marked(policy.changes), _marked(expected)
    against = sorted(zone for zone in planned.keys() & seen.keys() if planned[zone] * seen[zone] < 0)
    alone, lacking = sorted(planned.keys() - seen.keys()), sorted(seen.keys() - planned.keys())
    for zones, words in (
        (against, "the policy goes against the forecast in"),
        (alone, "the policy changes what no forecast expects to change in"),
        (lacking, "the policy leaves out what the forecast expects to change in"),
    ):
        if zones:
            return f"{words} {_listed(zones)}"
    return "the policy changes zones by other amounts than the forecast expects"


def _listed(zones: Sequence[str]) -> str:
    more = len(zones) - _FEW
    return ", ".join(zones[:_FEW]) + (f" and {more} more" if more > 0 else "")


# -- words -------------------------------------------------------------------------------------------------------------


def semantic_similarity(
    texts: Sequence[str], words: str, others: Sequence[str] = (), encoder: Encoder | None = None
) -> float:
    """Cosine of the nearest text to a policy's words, 0 to 1; 0 without texts.

    The nearest, since what is seen, said and done each tells another side of it.

    Without an encoder, texts are counts of the character n-grams (3 to 5) of their words, weighted by how rare they
    are (TF-IDF) among all that is given.

    Args:
        texts: of the intent.
        words: of the policy.
        others: words of other policies.
        encoder: texts to vectors.
    """
    telling = [text for text in texts if _grams(text)]
    if not telling:
        return 0.0
    if encoder is None:
        vectors = _weighted([words, *telling, *others])[: len(telling) + 1]
    else:
        vectors = np.asarray(encoder([words, *telling]), np.float64)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return float(np.clip((vectors[1:] @ vectors[0]).max(), 0.0, 1.0))


def sentence_encoder(name: str = SENTENCE_ENCODER) -> Encoder | None:
    """A model of sentence-transformers; None if that is not installed.

    Args:
        name: of the hub (it is downloaded once), or a folder.

    Raises:
        IntentError: the model cannot be loaded.
    """
    try:
        library = importlib.import_module("sentence_transformers")
    except ModuleNotFoundError:
        return None
    try:
        model = library.SentenceTransformer(name)
    except Exception as error:  # the hub, torch and safetensors each raise their own
        reason = " ".join(str(error).split()) or type(error).__name__
        raise IntentError(
            f"the sentence encoder {name} cannot be loaded ({reason}); download it, or use none"
        ) from None
    return lambda texts: np.asarray(model.encode(list(texts)))


def _grams(text: str) -> list[str]:
    """N-grams within words, which begin and end with a space.

    Words of up to three letters, most of which join others and tell nothing, count only where there are no others.
    """
    words = "".join(letter if letter.isalnum() else " " for letter in text.lower()).split()
    padded = [f" {word} " for word in words if len(word) > _SHORT] or [f" {word} " for word in words]
    return [word[first : first + size] for word in padded for size in _SIZES for first in range(len(word) - size + 1)]


def _weighted(texts: Sequence[str]) -> np.ndarray:
    """TF-IDF of n-grams [n, f], with 1 added to all counts of texts, as if one text had everything."""
    counts = [Counter(_grams(text)) for text in texts]
    places = {gram: place for place, gram in enumerate(sorted(set().union(*counts)))}
    vectors = np.zeros((len(texts), len(places)))
    for row, count in zip(vectors, counts, strict=True):
        for gram, number in count.items():
            row[places[gram]] = number
    rare = np.log((1 + len(texts)) / (1 + (vectors > 0).sum(axis=0))) + 1
    return np.asarray(vectors * rare)


# -- changes of zones --------------------------------------------------------------------------------------------------


def structural_consistency(changes: Mapping[str, float], expected: Mapping[str, float], edges: Edges) -> float:
    """How far two graphs of change are the same, 0 to 1: 1 for equal ones, 0 for such that have nothing in common.

    A graph of change has a node for each zone that rises or falls by 0.05 or more, as heavy as its change. Where two
    such zones are neighbours it has an edge, as heavy as the zones' edge times the geometric mean of their changes; it
    says which end rises and which falls. Nodes that rise are other nodes than those that fall, and so with edges.

    Two graphs agree by the weighted Jaccard similarity (Ruzicka 1958): the sum of the smaller weights over that of the
    larger ones. The result is 0.7 times the agreement of nodes and 0.3 times that of edges; if neither graph has an
    edge, that of nodes. Two graphs without nodes are equal.

    Args:
        changes: of what each zone gets, as parts of what it has.
        expected: changes of demand, likewise.
        edges: of the zone graph; of the two directions of one the heavier counts.

    Raises:
        IntentError: a change that is no number, or an edge that is not above 0.
    """
    _check_changes(expected, "the forecast")
    for (one, other), weight in edges.items():
        if one == other or not (math.isfinite(weight) and weight > 0):
            raise IntentError(
                f"the edge from {one!r} to {other!r} weighs {weight}; edges join two zones by more than 0"
            )
    ours, theirs = _marked(changes), _marked(expected)
    nodes = _agreement(_nodes(ours), _nodes(theirs))
    joined = {tuple(sorted(pair)): 0.0 for pair in edges}
    for pair, weight in edges.items():
        joined[tuple(sorted(pair))] = max(joined[tuple(sorted(pair))], weight)
    our_edges, their_edges = _edges(ours, joined), _edges(theirs, joined)
    if not our_edges and not their_edges:
        return nodes
    return (1 - _EDGES) * nodes + _EDGES * _agreement(our_edges, their_edges)


def _check_changes(changes: Mapping[str, float], whose: str) -> None:
    for zone, change in changes.items():
        if not (math.isfinite(change) and change >= -1):
            raise IntentError(f"{whose} changes zone {zone!r} by {change}; a change is a part, from -1 (to nothing) on")


def _marked(changes: Mapping[str, float]) -> dict[str, float]:
    """Zones that change enough to count."""
    return {zone: change for zone, change in changes.items() if abs(change) >= LEAST_CHANGE}


def _nodes(changes: Mapping[str, float]) -> dict[object, float]:
    return {(zone, change > 0): abs(change) for zone, change in changes.items()}


def _edges(changes: Mapping[str, float], joined: Mapping[tuple[str, ...], float]) -> dict[object, float]:
    return {
        (pair, *(changes[zone] > 0 for zone in pair)): weight * math.sqrt(abs(changes[pair[0]] * changes[pair[1]]))
        for pair, weight in joined.items()
        if all(zone in changes for zone in pair)
    }


def _agreement(one: Mapping[object, float], other: Mapping[object, float]) -> float:
    """Weighted Jaccard similarity."""
    keys = one.keys() | other.keys()
    larger = sum(max(one.get(key, 0.0), other.get(key, 0.0)) for key in sorted(keys, key=repr))
    smaller = sum(min(one.get(key, 0.0), other.get(key, 0.0)) for key in sorted(keys, key=repr))
    return smaller / larger if larger else 1.0
