"""The speech encoder: the same in all its forms, trained by the library's Trainer, clear about what is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from intent.hub import speech_on_hub
from safetensors.torch import load_file

from metalore.intent import IntentError, Item, Library
from metalore.intent.speech import SpeechEncoder, Utterance, evaluate_speech, train_speech, utterances_of

ONE_THREAD = torch.set_num_threads(1)
WORDS = ("we sing", "i run", "you read", "let us play")


def sound(text: str, seed: int = 0) -> np.ndarray:
    """A tone for each letter, and a little noise."""
    time_s = np.arange(1600) / 16000
    tones = [0.3 * np.sin(2 * np.pi * (200 + 90 * (ord(letter) - 96)) * time_s) * (letter != " ") for letter in text]
    noise = 0.01 * np.random.default_rng(seed).standard_normal(1600 * len(text))
    return np.asarray(np.concatenate(tones) + noise, np.float32)


@pytest.fixture(scope="module")
def encoder() -> SpeechEncoder:
    return SpeechEncoder.small(seed=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Utterance]]:
    folder = tmp_path_factory.mktemp("tones")
    utterances = []
    for number, text in enumerate(WORDS):
        path = folder / f"{number}.wav"
        soundfile.write(path, sound(text), 16000)
        utterances.append(Utterance(path, text))
    return {"train": utterances, "validation": utterances[:2]}


# -- what comes out ----------------------------------------------------------------------------------------------------


def test_embeddings_have_768_numbers_and_length_1(encoder: SpeechEncoder) -> None:
    found = encoder.embed([sound(text) for text in WORDS])
    assert (found.shape, found.dtype) == ((4, 768), np.float32)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(found, encoder.embed([sound(text) for text in WORDS]))
    assert np.linalg.norm(found[0] - found[1]) > 1e-3
    assert encoder.embed([]).shape == (0, 768)
    assert encoder.describe([]) == []


def test_neither_company_nor_order_matters(encoder: SpeechEncoder) -> None:
    sounds = [sound(text) for text in WORDS]
    alone = np.concatenate([encoder.embed([one]) for one in sounds])
    np.testing.assert_allclose(encoder.embed(sounds), alone, atol=1e-5)
    np.testing.assert_allclose(encoder.embed(sounds[::-1], batch=2), alone[::-1], atol=1e-5)
    assert encoder.describe(sounds) == [encoder.describe([one])[0] for one in sounds]


def test_samples_files_and_their_content_are_the_same(encoder: SpeechEncoder, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "said.wav", sound("we sing"), 16000, subtype="FLOAT")
    path = tmp_path / "said.wav"
    found = encoder.embed([sound("we sing"), path, str(path), path.read_bytes()])
    assert (found == found[0]).all()


def test_letters_of_frames_become_words(encoder: SpeechEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = ["<s>", "W", "W", "I", "L", "<pad>", "L", "L", "|", "|", "<unk>", "B", "A", "L", "L", "</s>", "|"]
    letters = [encoder.processor.tokenizer.encoder[token] for token in tokens]
    logits = torch.zeros(1, 49, 32)
    logits[0, :, encoder.processor.tokenizer.pad_token_id] = 1
    logits[0, range(len(letters)), letters] = 2
    monkeypatch.setattr(encoder.model, "forward", lambda **inputs: SimpleNamespace(logits=logits.clone()))
    assert encoder.describe([np.zeros(16000, np.float32)]) == ["will bal"]  # twice with nothing between is once


def test_seeds_and_the_global_generator() -> None:
    state = torch.random.get_rng_state()
    weights = [SpeechEncoder.small(seed=seed).model.lm_head.weight for seed in (1, 1, 2)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_fresh_small_encoder_hears_bands() -> None:
    layer = SpeechEncoder.small().model.wav2vec2.feature_extractor.conv_layers[0].conv
    time_s = np.arange(16000) / 16000
    loudest = []
    for hertz in (200, 1000, 4000):
        heard = layer(torch.from_numpy(np.sin(2 * np.pi * hertz * time_s)).float()[None, None]).detach()[0]
        bands = heard.reshape(48, 2, -1).norm(dim=1)  # cosine and sine: the same loudness at any time
        band = int(bands.mean(dim=1).argmax())
        assert bands[band].std() < 0.15 * bands[band].mean()
        loudest.append(band)
    assert loudest == sorted(loudest)
    assert loudest[0] < 10 < loudest[1] < 30 < loudest[2]


# -- kept --------------------------------------------------------------------------------------------------------------


def test_a_loaded_encoder_gives_the_same(encoder: SpeechEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "kept")
    loaded = SpeechEncoder.load(tmp_path / "kept")
    sounds = [sound(text) for text in WORDS]
    np.testing.assert_array_equal(loaded.embed(sounds), encoder.embed(sounds))
    assert loaded.describe(sounds) == encoder.describe(sounds)
    assert loaded.facts == encoder.facts == {"base": "small", "seed": 1}
    card = json.loads((tmp_path / "kept" / "card.json").read_text())
    assert card["format"] == "metalore-speech-encoder-1"
    assert {"metalore", "torch", "transformers"} <= set(card["versions"])
    files = {path.name for path in (tmp_path / "kept").iterdir()}
    assert {"card.json", "config.json", "model.safetensors", "vocab.json"} <= files
    assert not [name for name in files if name.endswith((".bin", ".pt", ".pkl"))]


def test_a_damaged_folder_is_told(encoder: SpeechEncoder, tmp_path: Path) -> None:
    with pytest.raises(IntentError, match="holds no encoder"):
        SpeechEncoder.load(tmp_path / "gone")
    encoder.save(tmp_path / "kept")
    weights = tmp_path / "kept" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(IntentError, match=r"is not what its card was written for \(its SHA-256 differs\)"):
        SpeechEncoder.load(tmp_path / "kept")


# -- weights in the hub's format ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return speech_on_hub(tmp_path_factory.mktemp("hub") / "wav2vec2-base")


def test_pretrained_weights_are_taken_over(hub: Path) -> None:
    encoders = [SpeechEncoder.pretrained(hub, seed=seed) for seed in (1, 1, 2)]
    there, found = load_file(hub / "model.safetensors"), encoders[0].model.state_dict()
    shared = [name for name in there if name.startswith("wav2vec2.")]
    assert len(shared) > 20
    assert all(torch.equal(there[name], found[name]) for name in shared)
    assert {name for name in found if name not in there} == {"lm_head.weight", "lm_head.bias"}
    heads = [encoder.model.lm_head.weight for encoder in encoders]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    assert encoders[0].model.config.ctc_loss_reduction == "mean"
    assert encoders[0].embed([sound("we"), sound("sing")]).shape == (2, 768)
    assert len(encoders[0].describe([sound("we"), sound("sing")])) == 2


def test_what_is_fine_tuned_keeps_how_it_hears(hub: Path, data: dict[str, list[Utterance]], tmp_path: Path) -> None:
    encoder = SpeechEncoder.pretrained(hub)
    before = {name: tensor.clone() for name, tensor in encoder.model.state_dict().items()}
    train_speech(encoder, data, tmp_path / "tuned", epochs=1, batch=4)
    changed = {name for name, tensor in encoder.model.state_dict().items() if not torch.equal(before[name], tensor)}
    assert {"lm_head.weight", "wav2vec2.feature_projection.projection.weight"} <= changed
    assert not [name for name in changed if name.startswith("wav2vec2.feature_extractor.")]
    loaded = SpeechEncoder.load(tmp_path / "tuned")
    assert loaded.facts["base"] == str(hub)
    np.testing.assert_array_equal(loaded.embed([sound("we")]), encoder.embed([sound("we")]))


def half(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])


def as_another_model(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    from safetensors.torch import save_file

    others = {f"other.{name}": tensor for name, tensor in weights.items()}
    save_file(others, folder / "model.safetensors", {"format": "pt"})


INCOMPLETE: list[tuple[Callable[[Path], Any], str]] = [
    (half, "are damaged or half downloaded"),
    (lambda folder: (folder / "model.safetensors").unlink(), "cannot be loaded .*; it must be a whole model"),
    (lambda folder: (folder / "preprocessor_config.json").unlink(missing_ok=True)
     or (folder / "processor_config.json").unlink(missing_ok=True), "cannot be loaded"),
    (as_another_model, r"lacks \d+ of the weights of Wav2Vec2ForCTC"),
    (shutil.rmtree, "there is no folder"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "told"), INCOMPLETE, ids=range(len(INCOMPLETE)))
def test_incomplete_weights_are_told(hub: Path, tmp_path: Path, damage: Callable[[Path], Any], told: str) -> None:
    folder = Path(shutil.copytree(hub, tmp_path / "copy"))
    damage(folder)
    with pytest.raises(IntentError, match=told) as raised:
        SpeechEncoder.pretrained(folder, offline=True)
    assert "\n" not in str(raised.value)


def test_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntentError, match="gives embeddings of 16 numbers, not 768; choose a model of base size"):
        SpeechEncoder.pretrained(speech_on_hub(tmp_path / "tiny", hidden=16))


# -- training ----------------------------------------------------------------------------------------------------------


def loss(encoder: SpeechEncoder, data: dict[str, list[Utterance]]) -> float:
    from metalore.intent.speech import _collated, _Examples

    with torch.inference_mode():
        return float(encoder.model(**_collated(encoder, list(_Examples(encoder, data["train"])))).loss)


def test_training_learns_keeps_and_tells(data: dict[str, list[Utterance]], tmp_path: Path) -> None:
    encoder, told = SpeechEncoder.small(), list[str]()
    before = loss(encoder, data)
    scores = train_speech(encoder, data, tmp_path / "kept", epochs=6, batch=4, say=told.append)
    assert loss(encoder, data) < 0.6 * before
    assert len(told) == 6
    assert told[0].startswith("epoch 1 of 6: loss ")
    assert scores == evaluate_speech(encoder, data["validation"])
    loaded = SpeechEncoder.load(tmp_path / "kept")
    assert loaded.facts["scores"] == scores
    assert loaded.facts["training"]["utterances"] == {"train": 4, "validation": 2}
    assert loaded.facts["training"]["seconds"] > 0
    assert not (tmp_path / "kept" / "training").exists()


def test_an_interrupted_training_goes_on_with_the_same_numbers(
    data: dict[str, list[Utterance]], tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"epochs": 3, "batch": 2, "seed": 3}
    whole, parts = (SpeechEncoder.small() for _ in range(2))
    train_speech(whole, data, tmp_path / "whole", **settings)

    def stop(text: str) -> None:
        if text.startswith("epoch 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_speech(parts, data, tmp_path / "parts", say=stop, **settings)
    again = SpeechEncoder.small()
    with pytest.raises(IntentError, match=r"differs in its batch \(2, now 4\)"):
        train_speech(again, data, tmp_path / "parts", resume=True, **settings | {"batch": 4})
    told: list[str] = []
    train_speech(again, data, tmp_path / "parts", resume=True, say=told.append, **settings)
    assert [text.split(":")[0] for text in told] == ["epoch 3 of 3"]
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name
    with pytest.raises(IntentError, match="holds no epoch to go on from"):
        train_speech(again, data, tmp_path / "new", resume=True, **settings)


def test_what_cannot_be_learned_from_is_told(
    encoder: SpeechEncoder, data: dict[str, list[Utterance]], tmp_path: Path
) -> None:
    path = data["train"][0].audio
    wrong = [
        ({"train": data["train"]}, "the part 'validation' has no utterances"),
        (data | {"train": [Utterance(path, "room 7")]}, "the transcript 'room 7' has '7', which cannot be spelled"),
        (data | {"train": [Utterance(path, " ")]}, "a transcript is empty; leave its audio out"),
        (data | {"train": [Utterance(tmp_path / "gone.flac", "we")]}, r"gone\.flac cannot be read"),
    ]
    for parts, told in wrong:
        with pytest.raises(IntentError, match=told):
            train_speech(encoder, parts, tmp_path / "out", epochs=1)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").touch()
    with pytest.raises(IntentError, match="thesis is there and holds no encoder"):
        train_speech(encoder, data, tmp_path / "thesis", epochs=1)


# -- evaluation --------------------------------------------------------------------------------------------------------


def test_error_rates_count_words_and_characters(encoder: SpeechEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    utterances = [Utterance(b"", "WE  SING NOW"), Utterance(b"", "go")]
    for found, wer, cer in ((["we sing now", "go"], 0, 0), (["we song", ""], 3 / 4, 7 / 13)):
        monkeypatch.setattr(encoder, "describe", lambda audio, batch, found=found: found)
        assert evaluate_speech(encoder, utterances) == pytest.approx({"utterances": 2, "wer": wer, "cer": cer})
    with pytest.raises(IntentError, match="there are no utterances to evaluate on"):
        evaluate_speech(encoder, [])


def test_the_speech_of_a_library() -> None:
    items = (
        Item("0", "sport", "train", audio=Path("0.wav"), transcript="we run"),
        Item("1", "sport", "test", audio=Path("1.wav"), transcript="they run"),
        Item("2", "sport", "train", image=Path("2.png"), caption="a match"),
    )
    assert utterances_of(Library(Path(), 0, items)) == {
        "train": [Utterance(Path("0.wav"), "we run")],
        "validation": [],
        "test": [Utterance(Path("1.wav"), "they run")],
    }
