"""What experiments gave, and where that is written: the file behind `metalore reproduce`."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("recorded.toml")
EXACT = "exact"
WORDS = (EXACT, "one seed", "none recorded", "speed")
"""Spreads that are no numbers. What is exact has nothing random in it; the others are shown and not judged."""


class ReproduceError(ValueError):
    """An experiment that does not exist or cannot be run, or results that cannot be compared."""


@dataclass(frozen=True)
class Number:
    """A recorded number and where a run has it.

    Attributes:
        name: what it is, with its unit.
        value: as published, with as many digits.
        spread: [least, most]; a standard deviation, of which two to each side count; or one of WORDS.
        at: where in the file: of text a regular expression with one group; of JSON and CSV a path of keys, which may
            be patterns like `ppo-*`, indices, and tables that pick rows. The mean of all that is found counts.
        file: below the results' folder; a pattern may match several.
        less: where in the file what is subtracted lies; None: nothing is.
        relative: whether each difference is divided by what was subtracted.
        scale: what the run's number is multiplied by, say 100 for percent.
    """

    name: str
    value: Decimal
    spread: Sequence[Decimal] | Decimal | str
    at: str | Sequence[Any]
    file: str
    less: str | Sequence[Any] | None = None
    relative: bool = False
    scale: Decimal = Decimal(1)

    @property
    def rounding(self) -> float:
        """Half a unit of the last published digit."""
        return 0.5 * 10.0 ** int(self.value.as_tuple().exponent)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """What is inside, rounding not counted; None if nothing is known."""
        value = float(self.value)
        if isinstance(self.spread, str):
            return (value, value) if self.spread == EXACT else None
        if isinstance(self.spread, Decimal):
            return value - 2 * float(self.spread), value + 2 * float(self.spread)
        low, high = self.spread
        return float(low), float(high)

    @property
    def spread_text(self) -> str:
        """The spread in words."""
        if isinstance(self.spread, str):
            return self.spread
        return f"± {self.spread:,}" if isinstance(self.spread, Decimal) else "{:,} to {:,}".format(*self.spread)


@dataclass(frozen=True)
class Experiment:
    """A recorded experiment.

    Attributes:
        name: what to type.
        shows: one line about it.
        commands: what to run, in this order; `{out}` stands for the results' folder, `{data}` for METALORE_DATA.
        docs: page and heading below docs/.
        seeds: which, and of what.
        time: that it took on 2 cores.
        gpu: that it took on a GPU; empty: not measured.
        checked: how many numbers of a whole run were the same or inside; empty: none was checked.
        spread: what the spreads of its numbers are.
        before: what has to be done once before it.
        figures: files with figures, below the results' folder.
        study: settings of an experiment that runs within `metalore reproduce` (train_seeds, look_ahead).
        numbers: what came out.
    """

    name: str
    shows: str
    commands: tuple[str, ...]
    docs: str
    seeds: str
    time: str
    gpu: str = ""
    checked: str = ""
    spread: str = ""
    before: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    study: dict[str, Any] | None = None
    numbers: tuple[Number, ...] = ()


def recorded(file: Path = FILE) -> dict[str, Experiment]:
    """Experiments by name, in the file's order."""
    with file.open("rb") as stream:
        tables = tomllib.load(stream, parse_float=Decimal)["experiment"]
    return {table["name"]: _experiment(table) for table in tables}


def known(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        ReproduceError: there is none.
    """
    experiments = recorded()
    if name not in experiments:
        raise ReproduceError(f"unknown experiment {name!r}; known are {', '.join(experiments)}")
    return experiments[name]


def _experiment(table: dict[str, Any]) -> Experiment:
    """One as the file has it: `file` is that of all numbers that name none."""
    file, numbers = table.pop("file", "output.txt"), table.pop("numbers", [])
    for key in table.keys() & {"commands", "before", "figures"}:
        table[key] = tuple(table[key])
    return Experiment(**table, numbers=tuple(_number({"file": file} | number) for number in numbers))


def _number(table: dict[str, Any]) -> Number:
    spread = table.pop("spread")
    if isinstance(spread, list):
        spread = tuple(map(Decimal, spread))
    elif not isinstance(spread, str):
        spread = Decimal(spread)
    elif spread not in WORDS:
        raise ValueError(f"the spread of {table['name']!r} is {spread!r}; words are {', '.join(WORDS)}")
    return Number(**table | {"spread": spread, "value": Decimal(table["value"])})
