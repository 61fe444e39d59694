"""What a forecaster has learned as arrays by name: handed over one by one, and checked on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from metalore.forecast.errors import ForecastError

if TYPE_CHECKING:
    from torch import nn

_NETWORK = "network."
_Network = TypeVar("_Network", bound="nn.Module")


class Arrays:
    """Arrays by name, each to be taken once.

    Args:
        arrays: all of them.
        where: what to call their source in errors.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], where: str) -> None:
        self._left, self._where = dict(arrays), where

    def has(self, name: str) -> bool:
        """Whether it can be taken."""
        return name in self._left

    def take(self, name: str, *shape: int) -> np.ndarray:
        """One of them, of this shape.

        Raises:
            ForecastError: it is not there, or has another shape.
        """
        if name not in self._left:
            raise ForecastError(f"{self._where} lacks the array {name!r}")
        array = self._left.pop(name)
        if array.shape != shape:
            raise ForecastError(f"{self._where} has {name!r} in the shape {array.shape}; its card wants {shape}")
        return array

    def take_network(self, make: Callable[[], _Network]) -> _Network:
        """A network of which :func:`network_state` gave the state.

        Args:
            make: makes one of the same shape; the numbers that it draws do not count.
        """
        import torch

        with torch.random.fork_rng(devices=[]), torch.no_grad():
            network = make()
            for name, tensor in network.state_dict().items():
                tensor.copy_(torch.from_numpy(self.take(_NETWORK + name, *tensor.shape)))
        return network

    def check_all_taken(self) -> None:
        """Refuse what nobody asked for."""
        if self._left:
            raise ForecastError(
                f"{self._where} has the array {next(iter(self._left))!r}, which its card has no use for"
            )


def network_state(network: nn.Module) -> dict[str, np.ndarray]:
    """Parameters and buffers of a network."""
    return {_NETWORK + name: tensor.detach().cpu().numpy() for name, tensor in network.state_dict().items()}
