"""What small encoders learn from the made library, from scratch, how long that takes, and how fast they are.

    python benchmarks/intent.py speech                             # 1,200 made items
    python benchmarks/intent.py image --items 300 --epochs 4       # quickly
    python benchmarks/intent.py motion --kept kept/motion          # an encoder that is trained already: scores, speed

Everything runs on one thread of the CPU. Seconds are the processor's own, so that other work on a shared machine counts
little. Scores are of the test part, which training does not see.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import tempfile
from pathlib import Path

import torch

MODALITIES = "speech", "image", "motion", "fusion", "verification"
"""Each has a file intent_NAME.py with `measure_NAME(items, seed, folder=, kept=, epochs=)`."""


def main() -> None:
    """Measure one modality and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modality", choices=MODALITIES)
    parser.add_argument("--items", type=int, default=1200, help="in the made library; seven tenths are for training")
    parser.add_argument("--epochs", type=int, help="unset: as many as the scores in the docs took")
    parser.add_argument("--seed", type=int, default=0, help="of library and training")
    parser.add_argument("--kept", type=Path, help="a trained encoder; unset: one is trained")
    parser.add_argument("--out", type=Path, help="where library and encoder stay; unset: nowhere")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}")
    measure = getattr(importlib.import_module(f"intent_{given.modality}"), f"measure_{given.modality}")
    epochs = {} if given.epochs is None else {"epochs": given.epochs}
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.out or Path(temporary)
        for name, value in measure(given.items, given.seed, folder=folder, kept=given.kept, **epochs).items():
            for row, number in (value if isinstance(value, dict) else {"": value}).items():
                print(f"{name + ' ' + row:28} {number:10.3f}")


if __name__ == "__main__":
    main()
