"""Training by epochs until the validation loss stops falling."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

from torch import nn

from metalore.forecast.errors import ForecastError
from metalore.forecast.forecaster import Progress


def train_epochs(
    network: nn.Module,
    train: Callable[[], None],
    validate: Callable[[], float],
    epochs: int,
    patience: int,
    progress: Progress | None = None,
) -> None:
    """Train a network and leave it as it was after its best epoch.

    Args:
        network: changed by `train`.
        train: one epoch.
        validate: loss on the validation part.
        epochs: at most.
        patience: epochs without a better one after which it stops.
        progress: is told after each epoch.

    Raises:
        ForecastError: no epoch has a finite loss.
    """
    best, best_epoch, kept = math.inf, 0, network.state_dict()
    for epoch in range(1, epochs + 1):
        train()
        loss = validate()
        if loss < best:
            best, best_epoch, kept = loss, epoch, copy.deepcopy(network.state_dict())
        if progress:
            progress(epoch, epochs, f"validation loss {loss:.4f}, best {best:.4f}")
        if epoch - best_epoch >= patience:
            break
    if not math.isfinite(best):
        raise ForecastError("training diverged: no epoch has a finite validation loss; lower the learning rate")
    network.load_state_dict(kept)
