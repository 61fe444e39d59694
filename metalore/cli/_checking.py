"""A run's numbers beside the recorded ones."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import fmean
from typing import Any

from metalore.cli._recorded import Experiment, Number, ReproduceError

SAME, INSIDE, OUTSIDE, MISSING, NOT_JUDGED = "same", "inside", "outside", "missing", "not judged"


@dataclass(frozen=True)
class Verdict:
    """What a run has in place of a recorded number.

    Attributes:
        number: the recorded one.
        found: the run's; None if it is not there.
    """

    number: Number
    found: float | None

    @property
    def word(self) -> str:
        """`same` to all published digits, `inside` the spread, `outside`, `missing`, or `not judged`."""
        if self.found is None:
            return MISSING
        number, slack = self.number, self.number.rounding * (1 + 1e-9)
        if abs(self.found - float(number.value)) <= slack:
            return SAME
        if number.bounds is None:
            return NOT_JUDGED
        low, high = number.bounds
        return INSIDE if low - slack <= self.found <= high + slack else OUTSIDE

    @property
    def fails(self) -> bool:
        """Whether the run does not bear the number out."""
        return self.word in (OUTSIDE, MISSING)

    @property
    def only_shown(self) -> bool:
        """Whether it differs, and nothing is known to judge it by."""
        return self.word == NOT_JUDGED

    @property
    def found_text(self) -> str:
        """The run's number with a digit more than was published."""
        if self.found is None:
            return ""
        digits = max(0, 1 - int(self.number.value.as_tuple().exponent))
        return f"{self.found:,.{digits}f}"

    @property
    def beyond(self) -> float:
        """How far it is outside; 0 if it is not."""
        if self.found is None or self.number.bounds is None:
            return 0.0
        low, high = self.number.bounds
        return max(low - self.found, self.found - high, 0.0)

    @property
    def text(self) -> str:
        """The verdict, and by how much the run's number differs."""
        if self.word in (SAME, MISSING):
            return self.word
        by = f" by {_short(self.beyond)}" if self.word == OUTSIDE else ""
        return f"{self.word}{by} ({self._difference})"

    @property
    def _difference(self) -> str:
        assert self.found is not None
        value = float(self.number.value)
        if not value:
            return f"{_short(self.found, '+')}"
        return f"{100 * (self.found - value) / abs(value):+.1f} %"


def check(experiment: Experiment, folder: Path) -> list[Verdict]:
    """A verdict on each recorded number.

    Raises:
        ReproduceError: there are no results.
    """
    if not folder.is_dir():
        raise ReproduceError(
            f"there is no folder {folder}; run metalore reproduce {experiment.name}, or give --results"
        )
    return [Verdict(number, found_in(folder, number)) for number in experiment.numbers]


def missing_figures(experiment: Experiment, folder: Path) -> list[str]:
    """Files with figures that are not there."""
    return [pattern for pattern in experiment.figures if not any(folder.glob(pattern))]


def found_in(folder: Path, number: Number) -> float | None:
    """The run's number, scaled; None if it is not there.

    Raises:
        ReproduceError: its file cannot be read.
    """
    found, scale = _all(folder, number.file, number.at), float(number.scale)
    if number.less is None:
        return scale * fmean(found) if found else None
    base = _all(folder, number.file, number.less)
    if not found or len(found) != len(base):
        return None
    differences = [one - other for one, other in zip(found, base, strict=True)]
    parts = [one / other for one, other in zip(differences, base, strict=True)] if number.relative else differences
    return scale * fmean(parts)


def _all(folder: Path, file: str, at: str | Sequence[Any]) -> list[float]:
    """All numbers that files have at a place."""
    return [value for path in sorted(folder.glob(file)) for value in _values(path, at)]


def _values(path: Path, at: str | Sequence[Any]) -> Iterator[float]:
    try:
        text = path.read_text(encoding="utf-8")
        if isinstance(at, str):
            yield from (float(match.replace(",", "")) for match in re.findall(at, text, re.MULTILINE))
        else:
            content = json.loads(text) if path.suffix == ".json" else list(csv.DictReader(text.splitlines()))
            found = [float(leaf) for leaf in _walk(content, at) if leaf not in (None, "")]
            yield from (value for value in found if not math.isnan(value))
    except (ValueError, TypeError, AttributeError) as error:
        raise ReproduceError(f"{path} is not what the experiment writes: {error}") from None


def _walk(content: Any, at: Sequence[Any]) -> Iterator[Any]:
    """What lies at the end of a path."""
    if not at:
        yield content
        return
    here, *rest = at
    if isinstance(here, dict):
        inner = [row for row in content if all(_fits(row.get(key), wanted) for key, wanted in here.items())]
    elif isinstance(here, int):
        inner = content[here : here + 1 or None]
    else:
        inner = [value for key, value in content.items() if fnmatchcase(key, here)]
    for part in inner:
        yield from _walk(part, rest)


def _fits(value: Any, wanted: Any) -> bool:
    """Whether a row's value is one of the wanted patterns."""
    return any(fnmatchcase(str(value), str(one)) for one in (wanted if isinstance(wanted, list) else [wanted]))


def _short(value: float, sign: str = "") -> str:
    return f"{value:{sign},.4g}" if abs(value) < 1e4 else f"{value:{sign},.0f}"
