"""The motion encoder: what it sees, how it learns, what it keeps, and how it is judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metalore.intent.errors import IntentError
from metalore.intent.kan import KANLayer
from metalore.intent.motion import (
    FEATURES,
    MotionEncoder,
    MotionNetwork,
    Shape,
    features,
    joined,
    mirrored,
    mirrored_words,
    words_of,
)
from metalore.intent.motion_training import MotionData, Recipe, evaluate_motion, train_motion
from metalore.intent.motions import JOINTS, Movement, describe, perform

KINDS = ("walk", "clap", "sit", "kick", "type", "jump")
SMALL = Shape(frame=6, hidden=8, words=8)
EPOCHS = 4
OTHER = [JOINTS.index(name.replace("left", "?").replace("right", "left").replace("?", "right")) for name in JOINTS]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def made(number: int, parts: tuple[str, ...] = ("train", "train", "validation", "test")) -> MotionData:
    """So many motions of six kinds, dealt to parts in turn."""
    rng = np.random.default_rng(0)
    movements = [Movement(KINDS[i % 6], side="left" if KINDS[i % 6] == "kick" else "") for i in range(number)]
    motions = [perform(movement, rng) for movement in movements]
    texts = [(describe(movement, rng),) for movement in movements]
    return MotionData("made", motions, texts, [parts[i // 6 % len(parts)] for i in range(number)])


DATA = made(48)


def small(core: str = "kan", seed: int = 0) -> MotionEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MotionEncoder(Shape(**{**vars(SMALL), "core": core}), device="cpu")


def trained(out: Path | None = None, resume: bool = False, stop: int = 0, **how: Any) -> MotionEncoder:
    """Interrupted once so many epochs are done, if `stop` says so."""

    def say(text: str) -> None:
        if text.startswith(f"epoch {stop} of"):
            raise KeyboardInterrupt

    encoder = small()
    train_motion(encoder, DATA, out, EPOCHS, 5, resume, say, Recipe(**{"batch": 12, "penalty": 1e-4, **how}))
    return encoder


@pytest.fixture(scope="module")
def uninterrupted() -> MotionEncoder:
    torch.set_num_threads(1)
    return trained()


def turned(motion: np.ndarray, angle: float) -> np.ndarray:
    about_y = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    return motion @ about_y.T.astype(np.float32)


# -- features ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", [0.5, 2.0, -3.0])
def test_it_does_not_matter_where_a_motion_is_and_where_it_heads(angle: float) -> None:
    motion = DATA.motions[0]
    moved = turned(motion, angle) + np.array([5, 0, -8], np.float32)
    np.testing.assert_allclose(features(moved), features(motion), atol=1e-3)
    assert features(motion).shape == (len(motion), FEATURES)


def test_features_say_how_high_how_fast_and_which_way() -> None:
    body = np.zeros((20, len(JOINTS), 3), np.float32)
    body[:, :, 1] = 1.0
    body[:, [11, 5], 0], body[:, [16, 8], 0] = 0.2, -0.2  # left at x, so it looks along z
    body[:, :, 2] += (0.1 * np.arange(20))[:, None]  # 1.25 m/s ahead
    rows = features(body)
    np.testing.assert_allclose(rows[:, 0], 1.0)
    np.testing.assert_allclose(rows[:, 1], 0.0, atol=1e-6)
    np.testing.assert_allclose(rows[:, 62:65], [[0, 0, 1.25]] * 20, atol=1e-4)  # of the root
    backwards = features(turned(body, np.pi) + body - turned(body, np.pi))
    np.testing.assert_allclose(backwards, rows, atol=1e-4)


def test_a_body_that_turns_left_turns_at_a_positive_rate() -> None:
    still = np.repeat(DATA.motions[0][:1], 26, axis=0)
    spinning = np.stack([turned(frame, 0.1 * number) for number, frame in enumerate(still)])
    np.testing.assert_allclose(features(spinning)[:, 1], 0.1 * 12.5, rtol=1e-3)


def test_mirrored_features_are_those_of_the_mirrored_motion() -> None:
    for motion in DATA.motions[:6]:
        in_mirror = motion[:, OTHER] * np.array([-1, 1, 1], np.float32)
        np.testing.assert_allclose(features(in_mirror), mirrored(features(motion)), atol=1e-3)


def test_mirrored_words_change_sides() -> None:
    assert mirrored_words("Kicks with the left leg, turns right") == "kicks with the right leg, turns left"
    assert mirrored_words("right-handed, goes leftwards, brightly") == "left-handed, goes rightwards, brightly"


def test_words_are_known_with_their_neighbours() -> None:
    assert words_of("A man's Left hand!") == ["a", "man's", "left", "hand", "a man's", "man's left", "left hand"]


# -- network -----------------------------------------------------------------------------------------------------------


def test_both_cores_have_as_many_parameters() -> None:
    kan, mlp = MotionEncoder.small(core="kan", device="cpu"), MotionEncoder.small(core="mlp", device="cpu")
    assert abs(kan.parameters / mlp.parameters - 1) < 0.01
    assert sum(isinstance(layer, KANLayer) for layer in kan.network.modules()) == 4
    assert not any(isinstance(layer, KANLayer) for layer in mlp.network.modules())


@pytest.mark.parametrize("core", ["kan", "mlp"])
def test_embeddings_have_length_one_and_do_not_depend_on_the_batch(core: str) -> None:
    encoder = small(core)
    together = encoder.embed(DATA.motions[:7])
    assert together.shape == (7, 128)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, rtol=1e-5)
    alone = np.concatenate([encoder.embed([motion]) for motion in DATA.motions[:7]])
    np.testing.assert_allclose(alone, together, atol=1e-5)
    assert encoder.embed([]).shape == encoder.embed_text([]).shape == (0, 128)
    assert np.abs(together[0] - together[1]).max() > 1e-3


@pytest.mark.parametrize("frames", [1, 2, 15, 16, 17, 300])
def test_a_motion_may_be_short_or_long(frames: int) -> None:
    motion = np.resize(DATA.motions[0], (frames, len(JOINTS), 3))
    assert np.isfinite(small().embed([motion])).all()


def test_order_in_time_matters() -> None:
    sits_down = perform(Movement("sit down"), np.random.default_rng(0))
    first, backwards = small().embed([sits_down, sits_down[::-1]])
    assert np.abs(first - backwards).max() > 1e-3


def test_a_gradient_reaches_every_parameter() -> None:
    network = MotionNetwork(SMALL)
    embedded = network(*joined([features(motion) for motion in DATA.motions[:6]]))
    (embedded * torch.randn(128)).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("core", ["kan", "mlp"])
def test_half_precision_gives_nearly_the_same(core: str) -> None:
    network, batch = small(core).network, joined([features(motion) for motion in DATA.motions[:6]])
    whole = network(*batch)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(*batch).float()
    torch.testing.assert_close(half, whole, atol=0.05, rtol=0)
    half.square().sum().backward()


@pytest.mark.parametrize(
    ("motion", "words"),
    [
        (np.zeros((30, 22, 3)), r"motion 1 has the shape \(30, 22, 3\)"),
        (np.full((30, 21, 3), np.nan), "motion 1 has positions that are no numbers"),
        (np.zeros((0, 21, 3)), "motion 1 has 0 frames"),
    ],
)
def test_what_is_no_motion_is_refused_in_a_sentence(motion: np.ndarray, words: str) -> None:
    with pytest.raises(IntentError, match=words):
        small().embed([DATA.motions[0], motion])


def test_an_unknown_core_is_refused() -> None:
    with pytest.raises(IntentError, match="no core 'cnn'; it has kan or mlp"):
        MotionEncoder.small(core="cnn")


# -- learning ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("core", ["kan", "mlp"])
def test_it_learns_a_few_motions_by_heart(core: str) -> None:
    few = MotionData("few", DATA.motions[:6] * 2, DATA.descriptions[:6] * 2, ["train"] * 6 + ["validation"] * 6)
    encoder = small(core)
    before = evaluate_motion(encoder, few.part("validation"), pool=6)
    recipe = Recipe(batch=6, mirror=0, noise=0, offset=0, words_left_out=0, least_part=1, learning_rate=1e-2)
    scores = train_motion(encoder, few, epochs=25, recipe=recipe)
    assert scores["r_precision_1"] == 1
    assert scores["multimodal_distance"] < before["multimodal_distance"] - 0.3
    assert encoder.describe(few.motions[:6]) == [texts[0] for texts in few.descriptions[:6]]


def test_the_same_seed_learns_the_same_and_another_one_something_else(uninterrupted: MotionEncoder) -> None:
    again = trained()
    assert all(torch.equal(tensor, again.state()[name]) for name, tensor in uninterrupted.state().items())
    other = small()
    train_motion(other, DATA, epochs=EPOCHS, seed=6, recipe=Recipe(batch=12, penalty=1e-4))
    assert not torch.equal(other.network.out.base, uninterrupted.network.out.base)


def test_a_trained_encoder_keeps_its_words_and_scaling_when_it_learns_more(uninterrupted: MotionEncoder) -> None:
    encoder = trained()
    train_motion(encoder, MotionData("more", DATA.motions, [("other words",)] * 48, DATA.parts), epochs=1)
    assert encoder.words == uninterrupted.words
    assert torch.equal(encoder.network.mean, uninterrupted.network.mean)
    assert encoder.gallery == ("other words",)


def test_training_that_diverges_says_so(tmp_path: Path) -> None:
    with pytest.raises(IntentError, match=r"diverged in epoch 1; lower the learning rate"):
        trained(tmp_path / "out", learning_rate=1e30, clip=1e30, weight_decay=1e10)
    assert not (tmp_path / "out").exists()


def test_training_lays_grids_where_samples_are(uninterrupted: MotionEncoder) -> None:
    knots = uninterrupted.network.frame.knots
    assert not torch.allclose(knots.diff(), knots.diff()[:1, :1], atol=1e-3)


@pytest.mark.parametrize("stop", [1, 3])
def test_resumed_training_ends_as_if_it_had_not_been_interrupted(
    uninterrupted: MotionEncoder, tmp_path: Path, stop: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "out", stop=stop)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["training"]
    resumed = trained(tmp_path / "out", resume=True)
    assert all(torch.equal(tensor, resumed.state()[name]) for name, tensor in uninterrupted.state().items())
    assert resumed.training["scores"] == uninterrupted.training["scores"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"card.json", "model.safetensors"}


def test_others_with_the_same_description_do_not_count_as_others() -> None:
    said: list[str] = []
    for texts in ([("A person moves",)] * 48, DATA.descriptions):
        train_motion(small(), MotionData("some", DATA.motions, texts, DATA.parts), epochs=1, say=said.append)
    assert "loss 0.0000" in said[0]
    assert "loss 0.0000" not in said[1]


def test_motions_of_a_few_frames_can_be_learned_from() -> None:
    few = MotionData("few", [motion[:2] for motion in DATA.motions], DATA.descriptions, DATA.parts)
    train_motion(small(), few, epochs=1)


def test_another_training_is_not_resumed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, stop=1)
    with pytest.raises(IntentError, match="differs in its recipe"):
        trained(tmp_path, resume=True, clip=2.0)
    (tmp_path / "training" / "motion.safetensors").write_bytes(b"half")
    with pytest.raises(IntentError, match=r"is damaged .* train without resume"):
        trained(tmp_path, resume=True)
    assert trained(tmp_path).training["seed"] == 5  # without resume it begins anew


def test_nothing_to_resume_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntentError, match="holds no epoch to go on from; train without resume"):
        trained(tmp_path, resume=True)
    with pytest.raises(IntentError, match="there is no folder with a training to go on with"):
        train_motion(small(), DATA, resume=True)


def test_data_without_a_part_or_description_are_refused() -> None:
    with pytest.raises(IntentError, match="has no motions in the part 'validation'"):
        train_motion(small(), made(12, ("train",)))
    with pytest.raises(IntentError, match="made has a part with one motion only"):
        train_motion(small(), made(13, ("train", "train", "validation")))
    with pytest.raises(IntentError, match="motion 0 of bad has no description"):
        MotionData("bad", DATA.motions[:1], [()], ["train"])
    with pytest.raises(IntentError, match="2 motions, 1 descriptions and 1 parts"):
        MotionData("bad", DATA.motions[:2], [("a",)], ["train"])


# -- on disk -----------------------------------------------------------------------------------------------------------


def test_what_is_loaded_gives_the_same_to_the_last_bit(uninterrupted: MotionEncoder, tmp_path: Path) -> None:
    uninterrupted.save(tmp_path / "encoder")
    loaded = MotionEncoder.pretrained(tmp_path / "encoder", device="cpu")
    np.testing.assert_array_equal(loaded.embed(DATA.motions), uninterrupted.embed(DATA.motions))
    np.testing.assert_array_equal(loaded.embed_text(["a person claps"]), uninterrupted.embed_text(["a person claps"]))
    assert loaded.describe(DATA.motions[:9]) == uninterrupted.describe(DATA.motions[:9])
    assert loaded.training == json.loads(json.dumps(uninterrupted.training))
    loaded.save(tmp_path / "encoder")
    card = json.loads((tmp_path / "encoder" / "card.json").read_text())
    assert card["parameters"] == uninterrupted.parameters
    assert card["data"] == {"name": "made", "train": 24, "validation": 12}


def test_broken_folders_are_refused_in_a_sentence(tmp_path: Path) -> None:
    encoder = small()
    encoder.save(tmp_path / "one")
    weights, card = tmp_path / "one" / "model.safetensors", tmp_path / "one" / "card.json"
    content, written = weights.read_bytes(), json.loads(card.read_text())
    weights.write_bytes(content[:-100])
    with pytest.raises(IntentError, match=r"SHA-256 differs.*copied in part"):
        MotionEncoder.load(tmp_path / "one")
    weights.unlink()
    with pytest.raises(IntentError, match="has a card and no weights"):
        MotionEncoder.load(tmp_path / "one")
    weights.write_bytes(content)
    card.write_text(json.dumps({**written, "shape": {**written["shape"], "hidden": 9}}))
    with pytest.raises(IntentError, match="is damaged"):
        MotionEncoder.load(tmp_path / "one")
    card.write_text(json.dumps({**written, "format": "other"}))
    with pytest.raises(IntentError, match="has the format 'other'"):
        MotionEncoder.load(tmp_path / "one")
    card.write_text("{")
    with pytest.raises(IntentError, match="is no JSON"):
        MotionEncoder.load(tmp_path / "one")
    with pytest.raises(IntentError, match="holds no encoder"):
        MotionEncoder.pretrained(tmp_path / "nowhere")


def test_a_folder_with_something_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(IntentError, match="holds no encoder; choose a new or empty folder"):
        small().save(tmp_path)
    with pytest.raises(IntentError, match="holds no encoder; choose a new or empty folder"):
        trained(tmp_path)  # before it trains
    assert (tmp_path / "thesis.tex").exists()


def test_an_untrained_encoder_describes_nothing() -> None:
    with pytest.raises(IntentError, match="knows no descriptions yet; train it"):
        small().describe(DATA.motions[:1])


# -- judging -----------------------------------------------------------------------------------------------------------


class Told:
    """Stands for an encoder: a motion's place is its first coordinate, a text's is its number."""

    def embed(self, batch: list[np.ndarray]) -> np.ndarray:
        return np.stack([_at(motion.flat[0]) for motion in batch])

    def embed_text(self, texts: list[str]) -> np.ndarray:
        return np.stack([_at(float(text.split()[-1])) for text in texts])


def _at(place: float) -> np.ndarray:
    angle = np.pi * place / 200
    return np.array([np.cos(angle), np.sin(angle)])


def placed(places: list[float], texts: list[str]) -> MotionData:
    motions = [np.full((30, 21, 3), place, np.float32) for place in places]
    return MotionData("placed", motions, [(text,) for text in texts], ["test"] * len(places))


def judged(data: MotionData, **how: Any) -> dict[str, float]:
    return evaluate_motion(Told(), data, **how)  # type: ignore[arg-type]  # it stands for an encoder


def test_r_precision_counts_the_nearest_descriptions() -> None:
    right = judged(placed([0, 10, 20, 30], ["at 0", "at 10", "at 20", "at 30"]), pool=4)
    assert [right[f"r_precision_{k}"] for k in (1, 2, 3)] == [1, 1, 1]
    assert right["multimodal_distance"] == pytest.approx(0, abs=1e-6)
    second = judged(placed([9, 19, 29, 39], ["at 0", "at 10", "at 20", "at 30"]), pool=4)
    assert [second[f"r_precision_{k}"] for k in (1, 2, 3)] == [0.25, 1, 1]  # the last one has none beyond it
    assert second["multimodal_distance"] == pytest.approx(2 * np.sin(np.pi * 9 / 400), abs=1e-6)


def test_a_random_encoder_is_right_as_often_as_chance_has_it() -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 100, 320)
    scores = judged(placed(list(places), [f"at {place}" for place in rng.permutation(places)]))
    assert scores["r_precision_1"] == pytest.approx(1 / 32, abs=0.02)
    assert scores["r_precision_3"] == pytest.approx(3 / 32, abs=0.03)
    assert scores["pools"] == 200


def test_a_description_that_tells_the_same_is_as_right() -> None:
    data = placed([10, 10, 30, 30], ["At 10", "at 10", "b 30", "c 30"])
    assert judged(data, pool=4)["r_precision_1"] == pytest.approx(0.75)  # b and c differ in a letter: the first wins
    assert judged(data, pool=4, same=lambda text: text.split()[-1])["r_precision_1"] == 1


def test_no_two_of_a_distinct_pool_tell_the_same() -> None:
    wrong = placed([50, 50, 50, 10], ["at 10", "at 10", "at 10", "at 50"])
    assert judged(wrong, pool=2, distinct=True)["r_precision_1"] == 0
    assert judged(wrong, pool=2)["r_precision_1"] > 0.3  # where both are told the same, both are right
    data = placed([9, 9, 9, 19, 29], ["at 10", "at 10", "at 10", "at 20", "at 30"])
    with pytest.raises(IntentError, match="has 3 different descriptions; pools of 4 need 4 or more"):
        judged(data, pool=4, distinct=True)
    with pytest.raises(IntentError, match="has 5 motions; pools of 32 need 32 or more"):
        judged(data)


# -- libraries ---------------------------------------------------------------------------------------------------------


def test_the_motions_of_a_library_are_data(tmp_path: Path) -> None:
    from metalore.intent.library import Item, Library

    np.save(tmp_path / "0.npy", DATA.motions[0])
    items = (
        Item("0", "sport", "train", motion=tmp_path / "0.npy", description="a person walks"),
        Item("1", "sport", "test", caption="no motion"),
    )
    data = MotionData.of(Library(tmp_path, 0, items))
    assert data.descriptions == [("a person walks",)]
    assert data.parts == ["train"]
    np.testing.assert_array_equal(data.motions[0], DATA.motions[0])
    with pytest.raises(IntentError, match="has no motions"):
        MotionData.of(Library(tmp_path, 0, items[1:]))
