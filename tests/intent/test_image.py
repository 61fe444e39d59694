"""The image encoder: BLIP in small, on a handful of drawn scenes; and a tiny checkpoint in the hub's format."""

from __future__ import annotations

import io
import json
import shutil

import numpy as np
import pytest
import torch
from intent.hub import image_on_hub
from PIL import Image

from metalore.intent.errors import IntentError
from metalore.intent.image import EMBEDDING, ImageEncoder, Picture, _to_embedding, evaluate_image, train_image
from metalore.intent.scenes import Scene

ACTIVITIES = ("quiet", "concert", "sport")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def scene(number: int) -> Scene:
    return Scene.of(ACTIVITIES[number % len(ACTIVITIES)], np.random.default_rng(number))


def pictures(numbers: range, size: int = 48) -> list[Picture]:
    made = []
    for number in numbers:
        content = io.BytesIO()
        scene(number).draw(size).save(content, "PNG")
        made.append(Picture(content.getvalue(), (scene(number).caption(),), scene(number).activity))
    return made


@pytest.fixture(scope="module")
def data():
    return {"train": pictures(range(6)), "validation": pictures(range(6, 9))}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    return image_on_hub(tmp_path_factory.mktemp("hub"))


def tiny(hub) -> ImageEncoder:
    return ImageEncoder.pretrained(hub, device="cpu")


def train_tiny(encoder, data, out, **changes):
    return train_image(encoder, data, out, **{"epochs": 3, "batch": 3, "learning_rate": 3e-3, "seed": 5, **changes})


def same_weights(one, other) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True))


# -- embeddings and captions -------------------------------------------------------------------------------------------


def test_embeddings_are_of_length_one_and_do_not_depend_on_the_batch(hub, data):
    images = [picture.image for picture in data["train"]]
    found = tiny(hub).embed(images)
    assert (found.shape, found.dtype) == ((6, EMBEDDING), np.float32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(tiny(hub).embed(images, batch=4), found, atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-4


def test_pictures_and_files_and_their_content_are_the_same(hub, data, tmp_path):
    content = data["train"][0].image
    path = tmp_path / "scene.png"
    path.write_bytes(content)
    found = tiny(hub).embed([content, path, str(path), Image.open(path)])
    np.testing.assert_allclose(found[1:], found[[0, 0, 0]], atol=1e-5)


def test_no_images_give_no_embeddings_and_no_captions(hub):
    assert tiny(hub).embed([]).shape == (0, EMBEDDING)
    assert tiny(hub).describe([]) == []


@pytest.mark.parametrize("width", [24, 128, 768])
def test_what_is_narrower_keeps_its_angles(width):
    to = _to_embedding(width)
    np.testing.assert_allclose(to @ to.T, np.eye(width), atol=1e-5)


def test_what_is_wider_is_cut_to_the_embedding():
    assert np.linalg.matrix_rank(_to_embedding(800)) == EMBEDDING


def test_a_small_encoder_is_drawn_by_its_seed_and_leaves_the_generator_alone(data):
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = ImageEncoder.small(seed=1)
    assert torch.equal(before, torch.random.get_rng_state())
    assert same_weights(first, ImageEncoder.small(seed=1))
    assert not same_weights(first, ImageEncoder.small(seed=2))
    assert first.embed([data["train"][0].image]).shape == (1, EMBEDDING)


def test_a_small_encoder_says_the_words_that_it_is_given():
    tokenizer = ImageEncoder.small(texts=["a dog and", "A Cat"]).processor.tokenizer
    tokens = tokenizer("a cat and a mouse")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(tokens) == ["[CLS]", "a", "cat", "and", "a", "[UNK]", "[SEP]"]


def test_captions_begin_with_the_decoders_own_token_and_their_filling_costs_nothing(hub):
    encoder = tiny(hub)
    tokens = encoder._tokens(["a concert at night", "a match"])
    assert set(tokens["input_ids"][:, 0].tolist()) == {encoder.processor.tokenizer.convert_tokens_to_ids("[DEC]")}
    assert (tokens["labels"] == -100).sum(dim=1).tolist() == [0, 2]


# -- training ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learned(tmp_path_factory, data):
    """A small encoder that has learned three pictures by heart, where it is kept, and what was said."""
    out, said = tmp_path_factory.mktemp("learned") / "image", []
    few = {"train": data["train"][:3] * 24, "validation": data["train"][:3]}
    encoder = ImageEncoder.small(seed=0)
    scores = train_image(encoder, few, out, epochs=3, batch=3, seed=0, say=said.append)
    return encoder, out, said, scores, few


def test_it_learns_a_few_pictures_by_heart(learned):
    encoder, _, said, scores, few = learned
    assert encoder.describe([picture.image for picture in few["validation"]]) == [
        one.captions[0] for one in few["validation"]
    ]
    assert (scores["images"], scores["activity"]) == (3, 1.0)
    assert scores["bleu"] == pytest.approx(100)
    assert scores["chrf"] == pytest.approx(100)
    assert scores["loss"] < 0.5
    assert len(said) == 3
    assert said[0].startswith("epoch 1 of 3: loss ")


def test_what_was_kept_gives_the_same_output(learned):
    encoder, out, _, scores, few = learned
    kept = ImageEncoder.load(out, device="cpu")
    images = [picture.image for picture in few["validation"]]
    assert np.array_equal(kept.embed(images), encoder.embed(images))
    assert kept.describe(images) == encoder.describe(images)
    card = json.loads((out / "card.json").read_text())
    assert card["scores"] == scores
    assert card["training"]["images"] == {"train": 72, "validation": 3}
    assert card["base"] == "small"
    assert not (out / "training").exists()


def test_a_kept_encoder_is_a_model_in_the_hubs_format(learned):
    encoder, out, _, _, few = learned
    images = [picture.image for picture in few["validation"]]
    assert np.array_equal(ImageEncoder.pretrained(out, device="cpu").embed(images), encoder.embed(images))


def test_resumed_training_ends_as_training_without_a_break(hub, data, tmp_path):
    whole, broken = tiny(hub), tiny(hub)
    scores = train_tiny(whole, data, tmp_path / "whole")

    def stop(said: str) -> None:
        if said.startswith("epoch 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_tiny(broken, data, tmp_path / "broken", say=stop)
    resumed, said = tiny(hub), []
    assert train_tiny(resumed, data, tmp_path / "broken", resume=True, say=said.append) == scores
    assert len(said) == 1
    assert same_weights(resumed, whole)
    assert not same_weights(resumed, tiny(hub))


def test_another_run_is_not_taken_up(hub, data, tmp_path):
    with pytest.raises(IntentError, match="no epoch to go on from; train without resume"):
        train_tiny(tiny(hub), data, tmp_path / "out", resume=True)

    def stop(said: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_tiny(tiny(hub), data, tmp_path / "out", say=stop)
    with pytest.raises(IntentError, match=r"differs in its epochs \(3, now 9\)"):
        train_tiny(tiny(hub), data, tmp_path / "out", epochs=9, resume=True)
    other = data | {"train": [Picture(one.image, ("a dog",)) for one in data["train"]]}
    with pytest.raises(IntentError, match="differs in its data"):
        train_tiny(tiny(hub), other, tmp_path / "out", resume=True)


def test_training_needs_pictures_and_a_folder_of_its_own(hub, data, tmp_path):
    with pytest.raises(IntentError, match="the part 'validation' has no pictures"):
        train_tiny(tiny(hub), {"train": data["train"]}, tmp_path / "out")
    (tmp_path / "letters.txt").write_text("keep me")
    with pytest.raises(IntentError, match="is there and holds no encoder"):
        train_tiny(tiny(hub), data, tmp_path)
    assert (tmp_path / "letters.txt").read_text() == "keep me"


def test_scores_take_the_nearest_of_several_captions(hub, data):
    encoder = tiny(hub)
    encoder.describe = lambda images, batch=32: ["Two people at a concert at night"] * len(images)
    image = data["train"][0].image
    near = Picture(image, ("a dog", "two people at a concert at night"), "concert")
    far = Picture(image, ("a dog on a sofa in a room",), "sport")
    assert evaluate_image(encoder, [near])["bleu"] == pytest.approx(100)
    both = evaluate_image(encoder, [near, far])
    assert both["bleu"] < 70
    assert both["activity"] == 0.5
    assert "activity" not in evaluate_image(encoder, [Picture(image, ("a dog",))])
    with pytest.raises(IntentError, match="no pictures to evaluate on"):
        evaluate_image(encoder, [])


# -- what is refused ---------------------------------------------------------------------------------------------------


def copied(hub, tmp_path):
    return shutil.copytree(hub, tmp_path / "copy")


def test_a_broken_image_is_named(hub, tmp_path):
    path = tmp_path / "torn.png"
    path.write_bytes(b"\x89PNG nonsense")
    with pytest.raises(IntentError, match=r"torn.png"):
        tiny(hub).embed([path])


def test_half_downloaded_weights_are_refused(hub, tmp_path):
    folder = copied(hub, tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(IntentError, match=r"copy are damaged or half downloaded .* download them again"):
        ImageEncoder.pretrained(folder)
    weights.unlink()
    with pytest.raises(IntentError, match=r"copy cannot be loaded .*model.safetensors"):
        ImageEncoder.pretrained(folder)


def test_weights_of_another_shape_are_refused(hub, tmp_path):
    folder = copied(hub, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["num_hidden_layers"] = 2
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(IntentError, match=r"lacks \d+ of the weights of BlipForConditionalGeneration"):
        ImageEncoder.pretrained(folder)


def test_names_that_lead_nowhere_are_refused_without_a_network(tmp_path):
    with pytest.raises(IntentError, match="there is no folder"):
        ImageEncoder.pretrained(tmp_path / "none")
    with pytest.raises(IntentError, match="nobody/nothing cannot be loaded"):
        ImageEncoder.pretrained("nobody/nothing", offline=True)


def test_a_kept_encoder_that_was_changed_is_refused(hub, tmp_path):
    folder = tmp_path / "kept"
    tiny(hub).save(folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"abcd")
    with pytest.raises(IntentError, match="is not what its card was written for"):
        ImageEncoder.load(folder)
    weights.unlink()
    with pytest.raises(IntentError, match="a card and no weights"):
        ImageEncoder.load(folder)
    (folder / "card.json").write_text('{"format": "metalore-forecaster-1"}')
    with pytest.raises(IntentError, match="has the format 'metalore-forecaster-1'"):
        ImageEncoder.load(folder)
    with pytest.raises(IntentError, match=r"holds no encoder: card.json cannot be read"):
        ImageEncoder.load(hub)


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(IntentError, match="torch cannot compute on 'abacus' here"):
        ImageEncoder.small(device="abacus")
