"""Transcripts and embeddings of speech by Wav2Vec2, fine-tuned or trained from scratch."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metalore.intent import _hub
from metalore.intent.errors import IntentError
from metalore.intent.library import PARTS, Library
from metalore.intent.media import RATE_HZ, Source, read_audio

HUB = "facebook/wav2vec2-base"
EMBEDDING = 768
FORMAT = "metalore-speech-encoder-1"

_LEARNING_RATES = {"small": 1.5e-3, "pretrained": 1e-4}
_FRESH = ("lm_head.", "wav2vec2.masked_spec_embed")
"""Weights that pretraining without transcripts does not give."""
_TOKENS = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ")
"""Of facebook/wav2vec2-base, in its order."""
_BATCHES_SORTED = 16
"""By length, so that little is filled; more would hold more audio at once."""
_BAND_HZ = 80.0, 6500.0


@dataclass(frozen=True)
class Utterance:
    """Speech and its words.

    Attributes:
        audio: a WAV or FLAC file, or its content.
        transcript: what is said, in letters, apostrophes and spaces.
    """

    audio: Source
    transcript: str


Utterances = Mapping[str, Sequence[Utterance]]
"""Of the parts train, validation and test."""


def utterances_of(library: Library) -> Utterances:
    """The speech of a library and its transcripts."""
    return {
        part: [
            Utterance(item.audio, item.transcript)
            for item in library.items
            if item.part == part and item.audio is not None and item.transcript is not None
        ]
        for part in PARTS
    }


class SpeechEncoder(_hub.Encoder):
    """Wav2Vec2 (Baevski, Zhou, Mohamed and Auli 2020) with a layer that spells, trained by CTC (Graves et al. 2006).

    The embedding is the mean of the network's last hidden states over time, normalized to length 1.

    Differently from the original: transcripts are the likeliest letter of each frame, without a language model.

    Args:
        model: a `Wav2Vec2ForCTC` whose hidden states have 768 numbers.
        processor: its `Wav2Vec2Processor`.
        facts: for the card.
        device: of torch; unset: a GPU if there is one.

    Raises:
        IntentError: hidden states of another size.
    """

    _classes = ("Wav2Vec2ForCTC", "Wav2Vec2Processor")
    _format = FORMAT

    def __init__(self, model: Any, processor: Any, facts: Mapping[str, Any], device: str | None = None) -> None:
        if (width := model.lm_head.in_features) != EMBEDDING:
            raise IntentError(
                f"{facts['base']} gives embeddings of {width} numbers, not {EMBEDDING}; choose a model of base size"
            )
        super().__init__(model, processor, facts, device)

    @classmethod
    def pretrained(
        cls,
        name: str | Path = HUB,
        device: str | None = None,
        revision: str | None = None,
        offline: bool = False,
        seed: int = 0,
    ) -> SpeechEncoder:
        """Weights of the hub, or of a folder in its format; without a layer that spells, a fresh one is drawn.

        Args:
            name: owner/name, or the folder.
            device: see the class.
            revision: branch, tag or commit of the hub; unset: the newest.
            offline: whether only what is downloaded already is used.
            seed: of the fresh layer.

        Raises:
            IntentError: not there, without safetensors, half downloaded, or no Wav2Vec2 of this size.
        """
        import torch
        from transformers import Wav2Vec2ForCTC, Wav2Vec2Processor

        settings = {"ctc_loss_reduction": "mean", "ctc_zero_infinity": True}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model, processor = _hub.from_hub(
                Wav2Vec2ForCTC, Wav2Vec2Processor, name, revision, offline, fresh=_FRESH, settings=settings
            )
        return cls(model, processor, {"base": str(name)}, device)

    @classmethod
    def small(cls, seed: int = 0, device: str | None = None) -> SpeechEncoder:
        """The same classes with one million weights, drawn at random but for the first layer: see :func:`_hear_bands`.

        Args:
            seed: of the weights.
            device: see the class.
        """
        import torch
        from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = Wav2Vec2ForCTC(Wav2Vec2Config(**_SMALL_SETTINGS))
        _hear_bands(model.wav2vec2.feature_extractor.conv_layers[0].conv)
        return cls(model, _small_processor(), {"base": _hub.SMALL, "seed": seed}, device)

    def embed(self, audio: Sequence[np.ndarray | Source], batch: int = 16) -> np.ndarray:
        """Embeddings, float32 [n, 768], each of length 1.

        Args:
            audio: samples at 16 kHz [n], files, or their content.
            batch: how many are computed at once; those of like length go together.

        Raises:
            IntentError: audio that cannot be read.
        """
        import torch

        vectors = np.zeros((len(audio), EMBEDDING), np.float32)
        with torch.inference_mode():
            for places, inputs, frames in self._batches(audio, batch):
                hidden = self.model.wav2vec2(**inputs).last_hidden_state.float()
                heard = torch.arange(hidden.shape[1], device=hidden.device) < frames[:, None]
                mean = (hidden * heard[:, :, None]).sum(dim=1) / frames[:, None]
                vectors[places] = torch.nn.functional.normalize(mean, dim=1).cpu().numpy()
        return vectors

    def describe(self, audio: Sequence[np.ndarray | Source], batch: int = 16) -> list[str]:
        """The transcript of each, in small letters; empty where nothing is heard.

        Args:
            audio: samples at 16 kHz [n], files, or their content.
            batch: how many are computed at once; those of like length go together.

        Raises:
            IntentError: audio that cannot be read.
        """
        import torch

        transcripts = [""] * len(audio)
        with torch.inference_mode():
            for places, inputs, frames in self._batches(audio, batch):
                logits = self.model(**inputs).logits
                logits[:, :, self._unspoken()] = -torch.inf
                for place, row, length in zip(places, logits.argmax(dim=-1).cpu(), frames.tolist(), strict=True):
                    text = self.processor.tokenizer.decode(row[:length])
                    transcripts[place] = " ".join(text.lower().split())
        return transcripts

    def _unspoken(self) -> list[int]:
        """Tokens that are neither letter, space nor blank; the tokenizer's own way to skip them merges doubles."""
        tokenizer = self.processor.tokenizer
        return sorted({*tokenizer.all_special_ids} - {tokenizer.pad_token_id, tokenizer.word_delimiter_token_id})

    def _batches(
        self, audio: Sequence[np.ndarray | Source], batch: int
    ) -> Iterator[tuple[list[int], dict[str, Any], Any]]:
        """Places in `audio`, what the model hears [b, n], and how many frames each has [b]."""
        for first in range(0, len(audio), _BATCHES_SORTED * batch):
            sounds = [read_audio(sound) for sound in audio[first : first + _BATCHES_SORTED * batch]]
            order = sorted(range(len(sounds)), key=lambda place: len(sounds[place]))
            for start in range(0, len(order), batch):
                places = order[start : start + batch]
                inputs, frames = self._heard([sounds[place] for place in places])
                inputs = {name: tensor.to(self.model.device) for name, tensor in inputs.items()}
                yield [first + place for place in places], inputs, frames

    def _heard(self, samples: Sequence[np.ndarray]) -> tuple[dict[str, Any], Any]:
        """Samples of one length as the model takes them, and frames of each that are not filling."""
        import torch

        prepared = self.processor.feature_extractor(
            list(samples), sampling_rate=RATE_HZ, padding=True, return_tensors="pt"
        )
        lengths = torch.tensor([len(sound) for sound in samples])
        frames = self.model._get_feat_extract_output_lengths(lengths).to(self.model.device)
        return dict(prepared), frames

    def _spelled(self, transcript: str) -> list[int]:
        """Letters of a transcript by number.

        Raises:
            IntentError: it is empty, or has characters that the encoder cannot spell.
        """
        letters = self.processor.tokenizer.encoder
        text = " ".join((transcript.upper() if "A" in letters else transcript.lower()).split()).replace(" ", "|")
        if not text:
            raise IntentError("a transcript is empty; leave its audio out")
        for letter in text:
            if letter not in letters:
                raise IntentError(
                    f"the transcript {transcript!r} has {letter!r}, which cannot be spelled; write it in letters"
                )
        return [letters[letter] for letter in text]


# -- training ----------------------------------------------------------------------------------------------------------


def train_speech(
    encoder: SpeechEncoder,
    data: Utterances,
    out: Path | str,
    epochs: int = 10,
    seed: int = 0,
    resume: bool = False,
    say: Callable[[str], None] | None = None,
    batch: int = 16,
    learning_rate: float | None = None,
    workers: int = 0,
) -> dict[str, float]:
    """Train an encoder on speech and transcripts, and keep it.

    Transcripts of like length go into a batch together. The first layers of a pretrained encoder, which hear, are not
    changed. The weights of the epoch with the lowest validation loss are kept.

    Args:
        encoder: is changed.
        data: parts train and validation.
        out: where it is kept, and each epoch before; it is made.
        epochs: passes over the training part.
        seed: of everything that is drawn.
        resume: whether to go on from the last epoch kept in `out`.
        say: told after each epoch.
        batch: utterances in a step.
        learning_rate: the highest; unset: 0.0015 for a small encoder, 0.0001 for a pretrained one.
        workers: processes that read audio.

    Returns:
        Scores on the validation part, as :func:`evaluate_speech` gives them.

    Raises:
        IntentError: an empty part, audio that cannot be read, a transcript that cannot be spelled, nothing to resume or
            another run, or `out` holds something else.
    """
    for part in ("train", "validation"):
        if not data.get(part):
            raise IntentError(f"the part {part!r} has no utterances; training needs some in train and validation")
    if encoder.facts["base"] != _hub.SMALL:
        encoder.model.freeze_feature_encoder()
    items = [(utterance.audio, [utterance.transcript]) for part in ("train", "validation") for utterance in data[part]]
    identity = _hub.identity(encoder.facts["base"], _LEARNING_RATES, epochs, batch, learning_rate, seed, items)
    seconds = _hub.train(
        encoder.model,
        _Examples(encoder, data["train"]),
        _Examples(encoder, data["validation"]),
        lambda examples: _collated(encoder, examples),
        out,
        identity,
        resume,
        say,
        workers,
        lengths=[len(utterance.transcript) for utterance in data["train"]],
    )
    scores = evaluate_speech(encoder, data["validation"], batch)
    utterances = {part: len(some) for part, some in data.items()}
    encoder.facts |= {"training": identity | {"utterances": utterances, "seconds": round(seconds, 1)}, "scores": scores}
    encoder.save(out)
    return scores


def evaluate_speech(encoder: SpeechEncoder, utterances: Sequence[Utterance], batch: int = 16) -> dict[str, float]:
    """How good its transcripts are.

    Returns:
        utterances: how many; wer, cer: words and characters that are wrong, missing or too many, over those that are
        said (0 is best), small and capital letters alike.

    Raises:
        IntentError: no utterances, or audio that cannot be read.
    """
    import jiwer

    if not utterances:
        raise IntentError("there are no utterances to evaluate on; name a part that has some")
    found = encoder.describe([utterance.audio for utterance in utterances], batch)
    said = [" ".join(utterance.transcript.lower().split()) for utterance in utterances]
    return {"utterances": len(said), "wer": float(jiwer.wer(said, found)), "cer": float(jiwer.cer(said, found))}


class _Examples:
    """Samples and letters by number, for the Trainer."""

    def __init__(self, encoder: SpeechEncoder, utterances: Sequence[Utterance]) -> None:
        self._audio = [utterance.audio for utterance in utterances]
        self._letters = [encoder._spelled(utterance.transcript) for utterance in utterances]

    def __len__(self) -> int:
        return len(self._audio)

    def __getitem__(self, number: int) -> tuple[np.ndarray, list[int]]:
        return read_audio(self._audio[number]), self._letters[number]


def _collated(encoder: SpeechEncoder, examples: list[tuple[np.ndarray, list[int]]]) -> dict[str, Any]:
    import torch
    from torch.nn.utils.rnn import pad_sequence

    samples, letters = zip(*examples, strict=True)
    labels = pad_sequence([torch.tensor(row) for row in letters], batch_first=True, padding_value=-100)
    return encoder._heard(samples)[0] | {"labels": labels}


# -- what a small encoder is made of -----------------------------------------------------------------------------------

_SMALL_SETTINGS: dict[str, Any] = {
    "vocab_size": len(_TOKENS),
    "pad_token_id": _TOKENS.index("<pad>"),
    "hidden_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "conv_dim": (96, 128, 128),
    "conv_kernel": (160, 8, 4),
    "conv_stride": (40, 4, 2),  # 320 samples in all: 50 frames a second, as the large ones
    "conv_bias": True,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,  # learns from scratch without falling back
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "add_adapter": True,  # a linear layer to the embedding's size, and no more
    "num_adapter_layers": 0,
    "output_hidden_size": EMBEDDING,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "layerdrop": 0.0,
    "apply_spec_augment": False,
    "ctc_loss_reduction": "mean",
    "ctc_zero_infinity": True,
}


def _hear_bands(layer: Any) -> None:
    """Begin with filters of bands as far apart as the ear hears them (mel scale), each in two phases.

    A network that begins so need not find out first what a spectrum is. The filters are cosines and sines under a Hann
    window that is the shorter the wider the band, of norm 1; training changes them.
    """
    import torch

    filters, _, taps = layer.weight.shape
    low, high = (np.log10(1 + hertz / 700) for hertz in _BAND_HZ)
    edges = 700 * (10 ** np.linspace(low, high, filters // 2 + 2) - 1)
    centre, width_hz = edges[1:-1, None], (edges[2:] - edges[:-2])[:, None] / 2
    time_s = (np.arange(taps) - (taps - 1) / 2) / RATE_HZ
    length_s = np.clip(2 / width_hz, 0.002, taps / RATE_HZ)
    window = np.where(np.abs(time_s) < length_s / 2, np.cos(np.pi * time_s / length_s) ** 2, 0)
    phase = 2 * np.pi * centre * time_s
    bands = np.stack([window * np.cos(phase), window * np.sin(phase)], axis=1).reshape(filters, taps)
    bands /= np.linalg.norm(bands, axis=1, keepdims=True)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(bands)[:, None])
        layer.bias.zero_()


def _small_processor() -> Any:
    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2Processor

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.json"
        path.write_text(json.dumps({token: number for number, token in enumerate(_TOKENS)}), encoding="utf-8")
        tokenizer = Wav2Vec2CTCTokenizer(str(path))
    return Wav2Vec2Processor(Wav2Vec2FeatureExtractor(return_attention_mask=True), tokenizer)
