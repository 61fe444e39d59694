"""Intents from a file, and which of them are believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metalore.intent import IntentError
from metalore.intent.gate import Gate, expected_change

FAIR = {"words": "a fair on the market: people who buy and sell", "changes": {"market": 0.5}}
MEETING = {"words": "office work: people sit in a meeting", "changes": {"works": 0.3}}
INTENT = {"texts": ["many people buy on the market"], "policy": "fair", "from_s": 0, "until_s": 60}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "intents.json"
    path.write_text(json.dumps({"policies": {"fair": FAIR, "meeting": MEETING}, "intents": [INTENT]} | changes))
    return path


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate.read(written(tmp_path))[0]


def score(gate: Gate, low: float, high: float, **others: tuple[float, float]) -> float:
    return gate.judge("fair", INTENT["texts"], {"market": (low, high)} | others, {}).structural  # type: ignore[arg-type]


def test_a_policy_within_what_the_forecast_holds_possible_agrees_wholly(gate: Gate) -> None:
    assert score(gate, -0.1, 0.6) == 1
    assert score(gate, 0.5, 0.6) == 1


def test_what_the_forecast_does_not_show_counts_half(gate: Gate) -> None:
    assert score(gate, -0.1, 0.4) == pytest.approx(0.8)
    assert score(gate, -0.1, 0.25) == score(gate, -0.1, 0.02) == score(gate, -0.2, -0.04) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("wanted", "low", "high", "expected"),
    [(-0.4, -0.3, 0.1, -0.3), (-0.4, -0.1, 0.1, -0.2), (-0.4, 0.1, 0.2, 0.1), (0.08, 0, 0, 0.05), (0.02, 0, 0, 0.02),
     (0.0, -0.1, 0.1, 0.0), (0.0, 0.2, 0.3, 0.2)],
)  # fmt: skip
def test_what_is_expected_beside_a_policy(wanted: float, low: float, high: float, expected: float) -> None:
    assert expected_change(wanted, low, high) == pytest.approx(expected)


def test_one_that_goes_against_the_whole_range_is_rejected(gate: Gate) -> None:
    verdict = gate.judge("fair", ["many people buy on the market"], {"market": (-0.3, -0.1)}, {})
    assert not verdict.accepted
    assert "the policy goes against the forecast in market" in verdict.reason


def test_zones_that_the_policy_does_not_name_say_nothing_against_it(gate: Gate) -> None:
    assert score(gate, 0.4, 0.6, works=(2.0, 3.0)) == 1


def test_words_of_another_policy_are_rejected(gate: Gate) -> None:
    possible = {"market": (-0.1, 0.6)}
    assert gate.judge("fair", ["many people buy on the market"], possible, {}).accepted
    verdict = gate.judge("fair", ["they sit in a meeting"], possible, {})
    assert not verdict.accepted
    assert "what it says is not about" in verdict.reason


def test_the_threshold_is_the_files(tmp_path: Path) -> None:
    strict, _ = Gate.read(written(tmp_path, threshold=0.99))
    assert not strict.judge("fair", ["many people buy on the market"], {"market": (0.4, 0.6)}, {}).accepted


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"policies": {}}, "policies: dictionary should have at least 1 item"),
        ({"policies": {"fair": FAIR | {"changes": {}}}}, r"policies\.fair\.changes: dictionary should have at least 1"),
        ({"policies": {"fair": FAIR | {"changes": {"market": -2}}}}, r"policies\.fair: .* 'market' by -2"),
        ({"policies": {"fair": FAIR | {"words": "!"}}}, r"policies\.fair: the policy's words are '!'"),
        ({"policies": {"fair": FAIR | {"colour": "red"}}}, r"policies\.fair\.colour: extra inputs are not permitted"),
        ({"intents": [INTENT | {"policy": "fare"}]}, r"intents\.0\.policy: there is no policy 'fare'; there are fair"),
        ({"intents": [INTENT | {"texts": []}]}, r"intents\.0\.texts: tuple should have at least 1 item"),
        ({"intents": [INTENT | {"until_s": None}]}, r"intents\.0\.until_s: input should be a valid number"),
        ({"threshold": 2}, "threshold: input should be less than or equal to 1"),
        ({"sentence_encoder": "none/such"}, "asks for the sentence encoder none/such; install|cannot be loaded"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(IntentError, match=sentence):
        Gate.read(written(tmp_path, **changes))


def test_the_file_in_the_docs_can_be_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "autoscale.md").read_text(encoding="utf-8")
    (tmp_path / "intents.json").write_text(page.partition("```json\n")[2].partition("```")[0])
    gate, (intent,) = Gate.read(tmp_path / "intents.json")
    assert gate.judge(intent.policy, intent.texts, {"arena": (-0.2, 0.3)}, {}).accepted


def test_what_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "intents.json"
    path.write_text("{")
    with pytest.raises(IntentError, match="the file: invalid JSON"):
        Gate.read(path)
