"""Fusion, for intent.py: retrieval and a linear probe on fused embeddings, beside concatenation and each alone."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from metalore.intent import load_library, make_library
from metalore.intent.encoders import Encoders, embed_library
from metalore.intent.fusion import Embedded, Fusion
from metalore.intent.fusion_judging import evaluate_fusion
from metalore.intent.fusion_training import train_fusion


def measure_fusion(
    items: int, seed: int, folder: Path, kept: Path | None = None, epochs: int = 30
) -> dict[str, float | dict[str, float]]:
    """Embed a made library, fuse it, and judge that on its test part.

    Args:
        items: in the library, if it must be made.
        seed: of library and training.
        folder: with a library, or for one.
        kept: trained encoders, in folders image, speech and motion.
        epochs: of training.
    """
    if kept is None:
        raise SystemExit("fusion needs --kept FOLDER, with trained encoders image, speech and motion")
    library = folder / "library"
    made = load_library(library) if library.is_dir() else make_library(library, items, seed)
    processor = time.process_time()
    data: Embedded = embed_library(made, Encoders.load(kept, "cpu"))
    found: dict[str, float | dict[str, float]] = {"embedding, seconds of CPU": time.process_time() - processor}
    processor = time.process_time()
    fusion = Fusion.small(seed, device="cpu")
    train_fusion(fusion, data, folder / "fusion", epochs, seed, say=print)
    found["training, seconds of CPU"] = time.process_time() - processor
    found |= evaluate_fusion(fusion, data)
    found["items/s"] = throughput(fusion, data.part("test"))
    return found


def throughput(fusion: Fusion, data: Embedded, runs: int = 5) -> float:
    """Items a second of CPU, from embeddings on; the best of a few runs counts."""
    best = np.inf
    for _ in range(runs):
        start = time.process_time()
        fusion.fuse(**data.vectors)
        best = min(best, time.process_time() - start)
    return len(data.activities) / best
