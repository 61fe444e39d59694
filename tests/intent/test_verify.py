"""Verification: what words and changes agree, and what is rejected why."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import numpy as np
import pytest

from metalore.intent.errors import IntentError
from metalore.intent.verify import (
    N_GRAMS,
    Policy,
    semantic_similarity,
    sentence_encoder,
    structural_consistency,
    verify,
)

CONCERT = "a concert: a band on a stage, music, singing, dancing and clapping"
OTHERS = ("sport: a match on the field, running, kicking a ball, cheering", "work in an office: desks and meetings")
TEXTS = ("in the dark there is a band on a stage with many people", "let us hear music in the hall")
GROWS = {"arena": 0.5, "park": 0.25}
EDGES = {("arena", "park"): 1.0, ("arena", "mall"): 0.5}


# -- words -------------------------------------------------------------------------------------------------------------


def test_texts_are_nearest_to_the_policy_that_they_speak_of() -> None:
    own = semantic_similarity(TEXTS, CONCERT, OTHERS)
    assert own > 0.15
    assert max(semantic_similarity(TEXTS, words, OTHERS) for words in OTHERS) < own / 3


def test_one_text_that_fits_is_enough() -> None:
    assert semantic_similarity([*TEXTS, "somebody does squats"], CONCERT) == pytest.approx(
        semantic_similarity(TEXTS, CONCERT), rel=0.1
    )


def test_equal_texts_agree_wholly_and_strange_ones_not_at_all() -> None:
    assert semantic_similarity(["Music, on a STAGE!"], "music on a stage") == pytest.approx(1)
    assert semantic_similarity(["zzzz"], "music on a stage") == 0
    assert semantic_similarity(["", " ... "], "music") == semantic_similarity([], "music") == 0
    assert semantic_similarity(["go up"], "go up") == pytest.approx(1)  # short words, if there are no others


def test_words_are_known_in_other_forms_and_what_all_say_counts_little() -> None:
    assert 0.15 < semantic_similarity(["they are singing"], "singers") < 1
    alone = semantic_similarity(["more servers now"], "more servers for music")
    assert semantic_similarity(["more servers now"], "more servers for music", ["more servers for sport"] * 5) < alone


def test_an_encoder_of_sentences_takes_the_place_of_n_grams() -> None:
    asked: list[str] = []

    def encoder(texts: Sequence[str]) -> np.ndarray:
        asked.extend(texts)
        return np.array([[3.0, 4.0], [0.0, 2.0], [-1.0, 0.0]])

    verdict = verify(["one", "two"], Policy("policy", GROWS), GROWS, EDGES, encoder=encoder, encoder_name="mine")
    assert asked == ["policy", "one", "two"]
    assert verdict.semantic == pytest.approx(0.8)
    assert verdict.compared_by == "mine"
    assert verify(TEXTS, Policy(CONCERT, GROWS), GROWS).compared_by == N_GRAMS


def test_there_is_no_encoder_of_sentences_where_none_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    assert sentence_encoder() is None


def test_an_encoder_that_cannot_be_loaded_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Module:
        @staticmethod
        def SentenceTransformer(name: str) -> object:  # noqa: N802  # as it is called there
            raise OSError(f"no {name}\n here")

    monkeypatch.setitem(sys.modules, "sentence_transformers", Module)
    with pytest.raises(IntentError, match=r"the sentence encoder mine cannot be loaded \(no mine here\)"):
        sentence_encoder("mine")


# -- changes -----------------------------------------------------------------------------------------------------------


def test_equal_changes_agree_wholly_and_opposite_ones_not_at_all() -> None:
    assert structural_consistency(GROWS, GROWS, EDGES) == pytest.approx(1)
    assert structural_consistency(GROWS, {zone: -change for zone, change in GROWS.items()}, EDGES) == 0
    assert structural_consistency(GROWS, {}, EDGES) == structural_consistency({}, GROWS, EDGES) == 0
    assert structural_consistency({}, {"arena": 0.049}, EDGES) == 1  # too little to count


def test_the_measure_by_hand() -> None:
    seen = {"arena": 0.25, "mall": 0.25}
    nodes = 0.25 / (0.5 + 0.25 + 0.25)  # arena in common; park and mall on one side each
    assert structural_consistency(GROWS, seen, {}) == pytest.approx(nodes)
    assert structural_consistency(GROWS, seen, EDGES) == pytest.approx(0.7 * nodes)  # no edge in common
    more = {"arena": 0.5, "park": 0.0625}
    ours, theirs = math.sqrt(0.5 * 0.25), math.sqrt(0.5 * 0.0625)
    expected = 0.7 * (0.5625 / 0.75) + 0.3 * theirs / ours
    assert structural_consistency(GROWS, more, EDGES) == pytest.approx(expected)
    both = {**EDGES, ("park", "arena"): 1.0}  # the other direction adds nothing
    assert structural_consistency(more, GROWS, both) == pytest.approx(expected)


def test_zones_that_change_together_must_do_so_in_the_same_direction() -> None:
    away = {"arena": 0.5, "park": -0.25}
    assert structural_consistency(GROWS, away, EDGES) == pytest.approx(0.7 * 0.5 / 1.0)


@pytest.mark.parametrize(
    ("changes", "expected", "edges", "sentence"),
    [
        ({}, {"arena": math.nan}, {}, "the forecast changes zone 'arena' by nan"),
        ({}, {"arena": -1.5}, {}, "a change is a part, from -1"),
        ({}, {}, {("a", "a"): 1.0}, "edges join two zones"),
        ({}, {}, {("a", "b"): 0.0}, "from 'a' to 'b' weighs 0.0"),
    ],
)
def test_changes_that_cannot_be(
    changes: dict[str, float], expected: dict[str, float], edges: dict[tuple[str, str], float], sentence: str
) -> None:
    with pytest.raises(IntentError, match=sentence):
        structural_consistency(changes, expected, edges)


def test_policies_that_cannot_be() -> None:
    with pytest.raises(IntentError, match=r"the policy's words are ' \.\.\. '"):
        Policy(" ... ", GROWS)
    with pytest.raises(IntentError, match="the policy changes zone 'arena' by inf"):
        Policy(CONCERT, {"arena": math.inf})
    with pytest.raises(IntentError, match=r"the threshold is 1\.5"):
        verify(TEXTS, Policy(CONCERT, GROWS), GROWS, threshold=1.5)


# -- verdicts ----------------------------------------------------------------------------------------------------------


def test_what_fits_is_accepted() -> None:
    verdict = verify(TEXTS, Policy(CONCERT, GROWS), GROWS, EDGES, others=OTHERS)
    assert verdict.accepted
    assert verdict.structural == pytest.approx(1)
    assert verdict.score == pytest.approx(math.sqrt(verdict.semantic))
    assert verdict.reason.startswith(f"accepted with {verdict.score:.2f}: ")
    assert not verify(TEXTS, Policy(CONCERT, GROWS), GROWS, EDGES, others=OTHERS, threshold=0.99).accepted


@pytest.mark.parametrize(
    ("texts", "expected", "why"),
    [
        (("a match on the field", "they kick a ball"), GROWS, "what it says is not about 'a concert"),
        ((), GROWS, "it says nothing"),
        (TEXTS, {"arena": -0.5}, "the policy goes against the forecast in arena;"),
        (TEXTS, {"mall": 0.5}, "the policy changes what no forecast expects to change in arena, park;"),
        (TEXTS, GROWS | {f"zone {i}": 1.0 for i in range(9)}, "leaves out what the forecast expects to change in "
         "zone 0, zone 1, zone 2 and 6 more"),
        (TEXTS, {"arena": 6.0, "park": 5.0}, "by other amounts than the forecast expects"),
    ],
)  # fmt: skip
def test_what_falls_short_is_rejected_with_its_reason(
    texts: tuple[str, ...], expected: dict[str, float], why: str
) -> None:
    verdict = verify(texts, Policy(CONCERT, GROWS), expected, others=OTHERS)
    assert not verdict.accepted
    assert verdict.score < 0.3
    assert verdict.reason.startswith(f"rejected with {verdict.score:.2f}, below 0.3: ")
    assert why in verdict.reason
