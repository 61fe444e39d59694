"""Fusion: what it takes, what it learns, what it keeps, and how it is judged."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metalore.intent.errors import IntentError
from metalore.intent.fusion import WIDTHS, Embedded, Fusion
from metalore.intent.fusion_judging import evaluate_fusion, linear_probe, retrieval
from metalore.intent.fusion_training import Recipe, contrast, train_fusion

SEEN_AS = {
    "image": {"work": 0, "school": 0, "game": 1, "concert": 2, "sport": 3, "quiet": 4},
    "speech": {"work": 0, "school": 1, "game": 2, "concert": 2, "sport": 3, "quiet": 4},
    "motion": {"work": 0, "school": 1, "game": 2, "concert": 3, "sport": 4, "quiet": 4},
}
"""Each modality takes two activities for one."""
ACTIVITIES = tuple(SEEN_AS["image"])
RECIPE = Recipe(batch=24, learning_rate=3e-3)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def made(count: int = 120, noise: float = 0.6, gaps: float = 0.0, seed: int = 0) -> Embedded:
    """Places of what each modality takes an activity for, with noise and much that tells nothing in 8 directions."""
    rng = np.random.default_rng(seed)
    activities = [ACTIVITIES[number % len(ACTIVITIES)] for number in range(count)]
    vectors = {}
    for name, width in WIDTHS.items():
        places, besides = np.split(np.random.default_rng(width).standard_normal((13, width)) / math.sqrt(width), [5])
        rows = places[[SEEN_AS[name][activity] for activity in activities]] + rng.standard_normal((count, 8)) @ besides
        rows = rows + noise * rng.standard_normal(rows.shape) / math.sqrt(width)
        vectors[name] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    for name in ("image", "motion"):
        vectors[name][rng.random(count) < gaps] = np.nan
    parts = [("train", "train", "validation", "test")[number // len(ACTIVITIES) % 4] for number in range(count)]
    demand = np.array([[100.0 * ACTIVITIES.index(activity)] for activity in activities])
    return Embedded(vectors, activities, parts, demand)


DATA = made()


def small(**how: Any) -> Fusion:
    return Fusion.small(hidden=16, device="cpu", **how)


def trained(out: Path | None = None, resume: bool = False, stop: int = 0) -> Fusion:
    """Interrupted once so many epochs are done, if `stop` says so."""

    def say(text: str) -> None:
        if text.startswith(f"epoch {stop} of"):
            raise KeyboardInterrupt

    fusion = small()
    train_fusion(fusion, DATA, out, 8, 3, resume, say, RECIPE)
    return fusion


@pytest.fixture(scope="module")
def uninterrupted() -> Fusion:
    torch.set_num_threads(1)
    return trained()


# -- what goes in and out ----------------------------------------------------------------------------------------------


def test_any_modality_may_be_missing() -> None:
    fusion, rows = small(), {name: some[:5] for name, some in DATA.vectors.items()}
    whole = fusion.fuse(**rows)
    assert whole.shape == (5, 1024)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, rtol=1e-5)
    without = fusion.fuse(image=rows["image"], motion=rows["motion"])
    assert np.abs(without - whole).max(axis=1).min() > 1e-3
    gaps = {**rows, "speech": np.where(np.arange(5)[:, None] == 2, np.nan, rows["speech"])}
    mixed = fusion.fuse(**gaps)
    np.testing.assert_allclose(mixed, np.where(np.arange(5)[:, None] == 2, without, whole), atol=1e-6)
    for name, some in rows.items():
        assert np.isfinite(fusion.fuse(**{name: some})).all()
    with torch.no_grad():
        fusion.network.stand_ins["speech"] += 1
    np.testing.assert_array_equal(fusion.fuse(**rows), whole)
    assert np.abs(fusion.fuse(**gaps) - mixed).max(axis=1).argmax() == 2
    assert fusion.fuse(image=np.zeros((0, 768))).shape == (0, 1024)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ({}, "embeddings of nothing were given"),
        ({"image": np.zeros((2, 128))}, r"embeddings of image are float64 \[2, 128\]; they must be \[n, 768\]"),
        ({"image": np.zeros((2, 768)), "motion": np.zeros((3, 128))}, "there are 2 of image, 3 of motion"),
        ({"motion": np.where(np.arange(128) == 5, np.nan, np.zeros((2, 128)))}, "row 0 of motion has some numbers"),
        ({"motion": np.full((1, 128), np.inf)}, "row 0 of motion has some numbers that are none"),
        ({"motion": np.full((1, 128), np.nan)}, "item 0 has neither image, speech nor motion"),
        ({"speech": np.full((1, 768), "a")}, "embeddings of speech are <U1"),
    ],
)
def test_what_is_no_embedding_is_refused(rows: dict[str, np.ndarray], sentence: str) -> None:
    with pytest.raises(IntentError, match=sentence):
        small().fuse(**rows)


def test_items_must_fit_together() -> None:
    motion = np.zeros((2, 128))
    with pytest.raises(IntentError, match="2 embeddings, 1 activities and 2 parts"):
        Embedded({"motion": motion}, ["work"], ["train", "test"])
    with pytest.raises(IntentError, match="in the part 'later'"):
        Embedded({"motion": motion}, ["work", "work"], ["train", "later"])
    with pytest.raises(IntentError, match=r"the demand has the shape \(3, 1\)"):
        Embedded({"motion": motion}, ["work", "work"], ["train", "test"], np.zeros((3, 1)))
    with pytest.raises(IntentError, match="no item is in the part 'validation'"):
        train_fusion(small(), Embedded({"motion": motion}, ["work", "quiet"], ["train", "test"]))
    with pytest.raises(IntentError, match="shows one activity"):
        train_fusion(small(), Embedded({"motion": motion}, ["work", "quiet"], ["train", "validation"]))


# -- measures ----------------------------------------------------------------------------------------------------------


def test_retrieval_by_hand() -> None:
    angles = np.array([0.0, 10.0, 25.0, 90.0, 5000.0])  # the last is alone with its label
    vectors = np.stack([np.cos(np.radians(angles)), np.sin(np.radians(angles))], axis=1)
    scores = retrieval(vectors, ["a", "a", "b", "b", "c"])
    # a finds a first; so does the other a; 25 degrees finds b third, after both a; 90 degrees finds b second or third
    order = np.argsort(-(vectors @ vectors[3]))
    place = [number for number in order if number != 3].index(2) + 1
    assert scores["precision_1"] == pytest.approx((2 + (place == 1)) / 4)
    assert scores["map"] == pytest.approx((1 + 1 + 1 / 3 + 1 / place) / 4)
    with pytest.raises(IntentError, match="no two items"):
        retrieval(vectors[:2], ["a", "b"])


def test_a_probe_finds_what_is_linear() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((200, 6))
    labels = ["up" if row[2] > 0 else "down" for row in rows]
    assert linear_probe(rows[:150], labels[:150], rows[150:], labels[150:]) > 0.9
    ring = ["in" if row @ row < 5 else "out" for row in rows]
    assert linear_probe(rows[:150], ring[:150], rows[150:], ring[150:]) < 0.8


def test_the_contrast_is_that_of_the_paper() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    labels, temperature, expected = [0, 0, 1, 1, 0], 0.2, []
    near = (vectors @ vectors.T / temperature).exp().numpy()
    for i in range(5):
        others = [j for j in range(5) if j != i]
        same = [j for j in others if labels[j] == labels[i]]
        expected.append(-np.mean([math.log(near[i, j] / near[i, others].sum()) for j in same]))
    assert float(contrast(vectors, torch.tensor(labels), temperature)) == pytest.approx(np.mean(expected), rel=1e-5)


# -- learning ----------------------------------------------------------------------------------------------------------


def test_only_fusion_tells_all_activities_apart(uninterrupted: Fusion) -> None:
    scores = evaluate_fusion(uninterrupted, DATA)
    best = max(scores[name]["precision_1"] for name in WIDTHS)
    assert best < 0.95  # each takes two for one
    assert scores["fused"]["precision_1"] > best
    assert scores["fused"]["map"] > scores["concatenation"]["map"]
    assert scores["fused"]["probe"] > max(scores[name]["probe"] for name in WIDTHS)
    for name in WIDTHS:
        assert scores[f"fused without {name}"]["map"] > max(scores[other]["map"] for other in WIDTHS if other != name)
        assert scores[name]["items"] == scores["fused"]["items"] == 30


def test_it_learns_from_items_with_gaps() -> None:
    data = made(gaps=0.3, seed=1)
    fusion = small()
    stand_in = fusion.state()["stand_ins.speech"]
    scores = train_fusion(fusion, data, epochs=6, recipe=RECIPE)
    assert scores["image"]["items"] < scores["speech"]["items"]
    assert (fusion.state()["stand_ins.speech"] - stand_in).abs().max() > 1e-3  # speech is always there, but for dropout
    assert evaluate_fusion(fusion, data)["fused"]["map"] > evaluate_fusion(small(), data)["fused"]["map"] + 0.1


def test_it_can_expect_demand() -> None:
    fusion = small(demands=1)
    data = Embedded(
        DATA.vectors, DATA.activities, DATA.parts, np.where(np.arange(120)[:, None] == 0, np.nan, DATA.demand)
    )
    scores = train_fusion(fusion, data, epochs=10, recipe=Recipe(batch=24, learning_rate=3e-3, demand=1.0))
    assert scores["demand"]["r2"] > 0.5
    expected = fusion.expect(fusion.fuse(**data.part("test").vectors))
    assert np.abs(expected - data.part("test").demand).mean() < 100
    with pytest.raises(IntentError, match="the fusion expects 2 demands"):
        train_fusion(small(demands=2), data, recipe=Recipe(demand=1.0))


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path, uninterrupted: Fusion) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "kept", stop=3)
    resumed = trained(tmp_path / "kept", resume=True)
    for name, value in uninterrupted.state().items():
        assert torch.equal(value, resumed.state()[name]), name
    assert not (tmp_path / "kept" / "training").exists()


def test_another_training_is_not_gone_on_with(tmp_path: Path) -> None:
    out = tmp_path / "kept"
    with pytest.raises(IntentError, match="holds no epoch to go on from"):
        trained(out, resume=True)
    with pytest.raises(KeyboardInterrupt):
        trained(out, stop=1)
    with pytest.raises(IntentError, match=r"differs in its seed \(3, now 4\)"):
        train_fusion(small(), DATA, out, 8, 4, True, recipe=RECIPE)
    with pytest.raises(IntentError, match="differs in its shape"):
        train_fusion(Fusion.small(hidden=4, device="cpu"), DATA, out, 8, 3, True, recipe=RECIPE)
    state = out / "training" / "fusion.safetensors"
    state.write_bytes(state.read_bytes()[:500])
    with pytest.raises(IntentError, match="is damaged"):
        trained(out, resume=True)
    with pytest.raises(IntentError, match="name it as out"):
        trained(resume=True)


@pytest.mark.parametrize("how", [{"batch": 1}, {"temperature": 0.0}, {"missing": 1.0}, {"noise": -1.0}])
def test_recipes_that_cannot_be(how: dict[str, float]) -> None:
    with pytest.raises(IntentError, match="need"):
        Recipe(**how)  # type: ignore[arg-type]  # one of them is whole
    with pytest.raises(IntentError, match="above 0"):
        Fusion.small(hidden=0)
    with pytest.raises(IntentError, match="0 epochs"):
        train_fusion(small(), DATA, epochs=0)


# -- on disk -----------------------------------------------------------------------------------------------------------


def test_what_is_saved_gives_the_same(tmp_path: Path, uninterrupted: Fusion) -> None:
    uninterrupted.save(tmp_path / "fusion")
    card = json.loads((tmp_path / "fusion" / "card.json").read_text())
    assert card["shape"] == {"hidden": 16, "demands": 0}
    assert card["training"]["items"] == {"train": 60, "validation": 30, "test": 30}
    loaded = Fusion.load(tmp_path / "fusion", device="cpu")
    np.testing.assert_array_equal(loaded.fuse(**DATA.vectors), uninterrupted.fuse(**DATA.vectors))
    loaded.save(tmp_path / "again")
    assert json.loads((tmp_path / "again" / "card.json").read_text()) == card


def test_what_is_no_fusion_is_refused(tmp_path: Path) -> None:
    small().save(tmp_path / "fusion")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(IntentError, match="holds no encoder"):
        Fusion.load(tmp_path / "other")
    with pytest.raises(IntentError, match="is there and holds no encoder"):
        small().save(tmp_path / "other")
    weights = tmp_path / "fusion" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(IntentError, match="SHA-256 differs"):
        Fusion.load(tmp_path / "fusion")
