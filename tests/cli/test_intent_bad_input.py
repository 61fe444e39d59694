"""`metalore intent` with bad media, data and weights: a sentence each, and the rest is done."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from cli.calling import call, refusal
from intent.bad_media import BAD, GOOD, eight_hours_of_wav
from intent.hub import image_on_hub, speech_on_hub

from metalore.intent.image import ImageEncoder
from metalore.intent.motion import MotionEncoder
from metalore.intent.speech import SpeechEncoder

KINDS = {"image": ImageEncoder, "speech": SpeechEncoder, "motion": MotionEncoder}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoders")
    for name, kind in KINDS.items():
        kind.small(device="cpu").save(folder / name)  # type: ignore[attr-defined]  # all of them have it
    return folder


@pytest.mark.parametrize("modality", list(KINDS))
def test_of_each_bad_file_one_sentence_is_said_and_the_rest_is_done(
    modality: str, encoders: Path, tmp_path: Path
) -> None:
    files, out = tmp_path / "files", tmp_path / "out.parquet"
    files.mkdir()
    told = {name: sentence for name, (_, sentence) in BAD[modality].items()}
    for name, content in (*((name, bad) for name, (bad, _) in BAD[modality].items()), GOOD[modality]):
        (files / name).write_bytes(content)
    if modality == "speech":
        eight_hours_of_wav(files / "whole.wav")
        told["whole.wav"] = "has 878.9 MiB; at most 64 MiB are read"
    result = call("intent", "encode", files, "--encoder", encoders / modality, "--out", out, "--no-texts")
    assert result.exit_code == 1
    *lines, done = result.stderr.splitlines()
    assert done == f"1 rows are in {out}"
    assert len(lines) == len(told)
    for line, name in zip(lines, sorted(told), strict=True):
        assert line.startswith(f"metalore: {files / name} {told[name]}")
    assert list(pd.read_parquet(out)["file"]) == [str(files / GOOD[modality][0])]


def test_half_downloaded_weights(encoders: Path, tmp_path: Path) -> None:
    file = tmp_path / GOOD["image"][0]
    file.write_bytes(GOOD["image"][1])
    for modality in KINDS:
        folder = tmp_path / modality
        shutil.copytree(encoders / modality, folder)
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1000])
        told = refusal("intent", "encode", file, "--encoder", folder, "--out", tmp_path / "out.csv")
        assert told.startswith(f"{weights} is not what its card was written for")


def utterance(root: Path, number: str, transcript: str | None) -> None:
    """In LibriSpeech's layout; None: it is not written down."""
    subset, _, name = number.partition("/")
    speaker, chapter, _ = name.split("-")
    folder = root / subset / speaker / chapter
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / f"{name}.flac", 0.1 * np.random.default_rng(0).standard_normal(8000), 16_000)
    with (folder / f"{speaker}-{chapter}.trans.txt").open("a") as file:
        file.write("" if transcript is None else f"{name} {transcript}\n")


@pytest.fixture
def librispeech(tmp_path: Path) -> Path:
    root = tmp_path / "LibriSpeech"
    for number, transcript in (("train-clean-100/1-1-0000", "SO"), ("train-clean-100/1-1-0001", None),
                               ("dev-clean/2-1-0000", "NO"), ("test-clean/3-1-0000", "GO")):  # fmt: skip
        utterance(root, number, transcript)
    return root


def test_audio_without_a_transcript_is_named_and_the_rest_is_learned(librispeech: Path, tmp_path: Path) -> None:
    """From a checkpoint in the hub's format, as `--from` takes it."""
    start = speech_on_hub(tmp_path / "wav2vec2-base")
    words = ("intent", "train", "speech", "--data", librispeech, "--epochs", 1, "--from", start)
    result = call(*words, "--out", tmp_path / "kept")
    assert result.exit_code == 0, result.output
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("metalore: "))
    assert "1-1-0001.flac has no transcript in 1-1.trans.txt, so it is left out" in line
    assert SpeechEncoder.load(tmp_path / "kept").facts["training"]["utterances"] == {
        "train": 1,
        "validation": 1,
        "test": 1,
    }
    weights = start / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    told = call(*words, "--out", tmp_path / "other")
    assert told.exit_code == 1
    assert f"the weights of {start} are damaged or half downloaded" in told.stderr.splitlines()[-1]


def test_images_are_learned_from_a_checkpoint_in_the_hubs_format(tmp_path: Path) -> None:
    library, start = tmp_path / "media", image_on_hub(tmp_path / "blip")
    assert call("intent", "library", library, "--items", 12, "--modality", "image").exit_code == 0
    words = ("intent", "train", "image", "--data", library, "--epochs", 1, "--from", start)
    result = call(*words, "--out", tmp_path / "kept")
    assert result.exit_code == 0, result.output
    encoder = ImageEncoder.load(tmp_path / "kept")
    assert encoder.facts["base"] == str(start)
    assert encoder.model.config.vision_config.hidden_size == 24
    weights = start / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert f"the weights of {start} are damaged or half downloaded" in refusal(*words, "--out", tmp_path / "other")
