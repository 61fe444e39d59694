"""Cores and MB as Kubernetes writes them. MB are 10**6 bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lightkube.utils.quantity import parse_quantity

_SUFFIXES = ("m", "", "k", "M", "G", "T", "P")


@dataclass(frozen=True)
class Sizes:
    """CPU and memory of a container, as text that Kubernetes would keep as it is.

    Two texts of one quantity would be two values to whoever compares fields, so there is one text for each.
    """

    cpu: str
    memory: str

    @classmethod
    def of(cls, cores: float, memory_mb: float) -> Sizes:
        """From numbers, rounded up to a thousandth of a core and to whole MB."""
        return cls(_text(_up(1000 * cores), "m"), _text(_up(memory_mb), "M"))

    @classmethod
    def read(cls, quantities: Mapping[str, str]) -> Sizes | None:
        """From a container's requests or limits; None if one of the two is missing."""
        if "cpu" not in quantities or "memory" not in quantities:
            return None
        return cls.of(_number(quantities["cpu"]), _number(quantities["memory"]) / 1e6)

    @property
    def cores(self) -> float:
        """Cores."""
        return _number(self.cpu)

    @property
    def memory_mb(self) -> float:
        """MB."""
        return _number(self.memory) / 1e6

    def to_dict(self) -> dict[str, str]:
        """As requests or limits."""
        return {"cpu": self.cpu, "memory": self.memory}

    def __str__(self) -> str:
        return f"{self.cpu} CPU, {self.memory} memory"


def _up(value: float) -> int:
    return math.ceil(round(value, 6))  # 1000 * 1.1 is a little more than 1100


def _text(count: int, suffix: str) -> str:
    """With the largest suffix that leaves a whole number."""
    place = _SUFFIXES.index(suffix)
    while count and count % 1000 == 0 and place + 1 < len(_SUFFIXES):
        count, place = count // 1000, place + 1
    return f"{count}{_SUFFIXES[place]}"


def _number(quantity: str) -> float:
    value = parse_quantity(str(quantity))
    assert value is not None  # it is of None alone
    return float(value)
