"""Motions, for intent.py: how well motions and descriptions find each other, KAN beside MLP, and motions a second.

python benchmarks/intent.py motion --items 1200 --seed 0
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.special import j0
from torch import Tensor

from metalore.intent import make_library
from metalore.intent.kan import KAN, fit
from metalore.intent.motion import CORES, MotionEncoder
from metalore.intent.motion_training import MotionData, evaluate_motion, train_motion
from metalore.intent.motions import Movement

TOYS: dict[str, tuple[list[int], Callable[[Tensor], Tensor]]] = {
    "J0(20 x)": ([1, 1], lambda x: torch.from_numpy(j0(20 * x.numpy()))),
    "exp(sin(pi x) + y^2)": ([2, 1, 1], lambda x: torch.exp(torch.sin(math.pi * x[:, :1]) + x[:, 1:] ** 2)),
    "x y": ([2, 2, 1], lambda x: x[:, :1] * x[:, 1:]),
    "exp((sin(pi (a^2 + b^2)) + sin(pi (c^2 + d^2))) / 2)": (
        [4, 4, 2, 1],
        lambda x: torch.exp(torch.sin(math.pi * (x**2).view(-1, 2, 2).sum(dim=2)).sum(dim=1, keepdim=True) / 2),
    ),
}
GRIDS = 3, 5, 10, 20, 50

Found = dict[str, float | dict[str, float]]


def measure_motion(items: int, seed: int, folder: Path, kept: Path | None = None, epochs: int = 40) -> Found:
    """Train both cores on a made library, unless an encoder is given; scores, seconds, and throughput.

    Args:
        items: in the library.
        seed: of library and training.
        folder: for library and encoders.
        kept: a trained encoder's folder.
        epochs: of training.
    """
    data = MotionData.of(make_library(folder / "library", items, seed, modalities=("motion",)))
    if kept is not None:
        return judged(MotionEncoder.load(kept, device="cpu"), data.part("test"))
    found: Found = {}
    for core in CORES:
        encoder, clock, processor = MotionEncoder.small(seed, core, "cpu"), time.perf_counter(), time.process_time()

        def say(text: str, core: str = core, began: float = processor) -> None:
            print(f"{time.process_time() - began:6.1f} s of CPU  {core}, {text}", flush=True)

        train_motion(encoder, data, folder / core, epochs, seed, say=say)
        found[core] = {
            "parameters": encoder.parameters,
            "training, s of CPU": time.process_time() - processor,
            "training, s": time.perf_counter() - clock,
        }
        found |= {f"{core}: {name}": value for name, value in judged(encoder, data.part("test")).items()}
    return found


def judged(encoder: MotionEncoder, test: MotionData) -> Found:
    """Scores under three notions of a right description, what is said of motions, and throughput."""
    told = [Movement.told(texts[0]) for texts in test.descriptions]
    said = [Movement.told(text) for text in encoder.describe(test.motions)]
    pairs = list(zip(told, said, strict=True))
    return {
        "same letters": evaluate_motion(encoder, test),
        "same meaning": evaluate_motion(encoder, test, same=Movement.told),
        "another kind each": evaluate_motion(encoder, test, same=_kind, distinct=True, draws=100),
        "described": {
            "activity": float(np.mean([one.activity == other.activity for one, other in pairs])),
            "kind": float(np.mean([one.kind == other.kind for one, other in pairs])),
            "everything": float(np.mean([one == other for one, other in pairs])),
        },
        "motions/s": throughput(encoder, test.motions),
    }


def _kind(text: str) -> str:
    return Movement.told(text).kind


def throughput(encoder: MotionEncoder, motions: Sequence[np.ndarray], runs: int = 3) -> dict[str, float]:
    """Motions a second of CPU, from arrays on; the best of a few runs counts."""
    some, found = (list(motions) * 64)[:64], {}
    for batch in (1, 8, 64):
        seconds = []
        for _ in range(runs):
            began = time.process_time()
            for first in range(0, len(some), batch):
                encoder.embed(some[first : first + batch])
            seconds.append(time.process_time() - began)
        found[f"in batches of {batch}"] = len(some) / min(seconds)
    return found


def toys(samples: int = 1000, steps: int = 200) -> None:
    """Root mean squared errors on unseen samples, as grids are refined."""
    torch.set_default_dtype(torch.float64)
    for name, (widths, function) in TOYS.items():
        torch.manual_seed(0)
        x, unseen = (2 * torch.rand(samples, widths[0]) - 1 for _ in range(2))
        network, began = KAN(widths), time.process_time()
        for grid in GRIDS:
            network.update_grid(x, grid)
            fit(network, x, function(x), steps)
            with torch.no_grad():
                error = (network(unseen) - function(unseen)).square().mean().sqrt().item()
            print(f"{name}, {widths}, grid {grid:3}: {error:.1e}, {time.process_time() - began:.1f} s", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    toys()
