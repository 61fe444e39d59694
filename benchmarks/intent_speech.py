"""Speech, for intent.py: error rates of words and characters, and seconds of audio a second."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from metalore.intent import make_library, read_audio
from metalore.intent.media import RATE_HZ
from metalore.intent.speech import SpeechEncoder, evaluate_speech, train_speech, utterances_of


def measure_speech(
    items: int, seed: int, folder: Path, kept: Path | None = None, epochs: int = 8
) -> dict[str, float | dict[str, float]]:
    """Train on a made library, unless an encoder is given; scores, seconds, and throughput.

    Args:
        items: in the library.
        seed: of library and training.
        folder: for library and encoder.
        kept: a trained encoder's folder.
        epochs: of training.
    """
    data = utterances_of(make_library(folder / "library", items, seed, modalities=("speech",)))
    sounds = {part: [read_audio(utterance.audio) for utterance in some] for part, some in data.items()}
    found: dict[str, float | dict[str, float]] = {
        f"{part}, seconds of audio": sum(map(len, some)) / RATE_HZ for part, some in sounds.items()
    }
    if kept is None:
        encoder, clock, processor = SpeechEncoder.small(seed, "cpu"), time.perf_counter(), time.process_time()

        def say(text: str) -> None:
            print(f"{time.process_time() - processor:6.1f} s of CPU  {text}", flush=True)

        train_speech(encoder, data, folder / "encoder", epochs=epochs, seed=seed, say=say)
        found |= {
            "training, seconds of CPU": time.process_time() - processor,
            "training, seconds": time.perf_counter() - clock,
        }
    else:
        encoder = SpeechEncoder.load(kept, "cpu")
    found["test"] = evaluate_speech(encoder, data["test"])
    found["audio s/s"] = throughput(encoder, sounds["test"])
    return found


def throughput(encoder: SpeechEncoder, sounds: list[np.ndarray], runs: int = 3) -> dict[str, float]:
    """Seconds of audio a second of CPU, from samples on; the best of a few runs counts."""
    sounds = sounds[:64]
    seconds, found = sum(map(len, sounds)) / RATE_HZ, {}
    for name, use in (("embed", encoder.embed), ("describe", encoder.describe)):
        for batch in (1, 16):
            best = np.inf
            for _ in range(runs):
                start = time.process_time()
                use(sounds, batch=batch)
                best = min(best, time.process_time() - start)
            found[f"{name}, batch {batch}"] = seconds / best
    return found
