"""Images, for intent.py: how good captions are, how well embeddings tell activities apart, and images a second."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metalore.intent import make_library
from metalore.intent.image import ImageEncoder, Picture, evaluate_image, pictures_of, train_image


def measure_image(
    items: int, seed: int, folder: Path, kept: Path | None = None, epochs: int = 16
) -> dict[str, float | dict[str, float]]:
    """Train on a made library, unless an encoder is given; scores, seconds, and throughput.

    Args:
        items: in the library.
        seed: of library and training.
        folder: for library and encoder.
        kept: a trained encoder's folder.
        epochs: of training.
    """
    data = pictures_of(make_library(folder / "library", items, seed, modalities=("image",)))
    found: dict[str, float | dict[str, float]] = {}
    if kept is None:
        encoder, clock, processor = ImageEncoder.small(seed, device="cpu"), time.perf_counter(), time.process_time()

        def say(text: str) -> None:
            print(f"{time.process_time() - processor:6.1f} s of CPU  {text}", flush=True)

        train_image(encoder, data, folder / "encoder", epochs=epochs, seed=seed, say=say)
        found |= {
            "training, seconds of CPU": time.process_time() - processor,
            "training, seconds": time.perf_counter() - clock,
        }
    else:
        encoder = ImageEncoder.load(kept, device="cpu")
    found["test"] = evaluate_image(encoder, data["test"])
    found["nearest neighbour"] = nearest(encoder, data["train"], data["test"])
    found["images/s"] = throughput(encoder, data["test"])
    return found


def nearest(encoder: ImageEncoder, train: Sequence[Picture], test: Sequence[Picture]) -> float:
    """Part of test images whose nearest training image, by their embeddings, shows the same activity."""
    known, asked = (encoder.embed([picture.image for picture in part]) for part in (train, test))
    places = (asked @ known.T).argmax(axis=1)
    return float(np.mean([train[i].activity == one.activity for i, one in zip(places, test, strict=True)]))


def throughput(encoder: ImageEncoder, pictures: Sequence[Picture], runs: int = 3) -> dict[str, float]:
    """Images a second of CPU, from encoded files on; the best of a few runs counts."""
    images = ([picture.image for picture in pictures] * 64)[:64]
    found = {}
    for name, run in (("embed", encoder.embed), ("describe", encoder.describe)):
        for batch in (1, 8, 32):
            best = np.inf
            for _ in range(runs):
                start = time.process_time()
                run(images, batch=batch)
                best = min(best, time.process_time() - start)
            found[f"{name}, batch {batch}"] = len(images) / best
    return found
