"""Which epoch is kept, and when training stops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from metalore.forecast import ForecastError
from metalore.forecast.early_stopping import train_epochs


class Trained:
    """A network whose one weight is the number of its epoch, judged by given losses."""

    def __init__(self, losses: list[float], patience: int) -> None:
        self.network = nn.Linear(1, 1)
        self.losses, self.epochs = losses, 0
        self.said: list[str] = []
        train_epochs(
            self.network, self.train, lambda: losses[self.epochs - 1], len(losses), patience,
            lambda done, of, words: self.said.append(f"{done} of {of}: {words}"),
        )  # fmt: skip

    def train(self) -> None:
        self.epochs += 1
        with torch.no_grad():
            self.network.weight.fill_(self.epochs)


def test_the_best_epoch_is_kept() -> None:
    trained = Trained([3.0, 1.0, 2.0, 1.5], patience=9)
    assert trained.epochs == 4
    assert trained.network.weight.item() == 2
    assert trained.said[2] == "3 of 4: validation loss 2.0000, best 1.0000"


def test_it_stops_when_nothing_gets_better() -> None:
    trained = Trained([3.0, 2.0, 2.5, 2.2, 1.0], patience=2)
    assert trained.epochs == 4
    assert trained.network.weight.item() == 2


def test_training_that_diverges_says_so() -> None:
    with pytest.raises(ForecastError, match="training diverged"):
        Trained([math.nan, math.inf], patience=5)
    assert Trained([math.nan, 1.0], patience=5).network.weight.item() == 2
