"""Docstrings of public names say what types do not: shapes of arrays, units of numbers, and errors."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

pytest.importorskip("griffe", reason="the extra `docs` is not installed")
pytest.importorskip("pettingzoo", reason="the extra `multi` is not installed")

from docsite import reference

SHAPE = re.compile(r"\[[^\]\n]*\]|scalar")
RAISED = re.compile(r"\braise (\w+)\(")
NUMBER = re.compile(r"\b(float|int|np\.ndarray)\b")
WITH_UNIT = re.compile(
    r"_(s|ms|m|m_s|hz|ghz|db|dbm|dbi|w|mb|mbit|mbps|cores|gcycle|gcycle_s|gcycle_per_mbit|minutes|seconds|bytes)$"
)
"""Names that end with their unit."""
COUNTS = {"seed", "seeds", "num_envs", "workers", "threads", "port", "batch", "resamples"}
"""Names that need no word: they mean the same everywhere."""

INTERNAL = {"NotImplementedError", "AssertionError"}
"""Errors that a caller is not meant to see."""


class Public(NamedTuple):
    """A public function or method, with its docstring and that of its class."""

    path: str
    function: Any
    text: str


def public_functions() -> Iterator[Public]:
    """Each once, in the order of the reference; inherited docstrings count."""
    seen = set()
    for path in reference.public_names():
        found = reference.static(path)
        if found is None or found.is_module or found.is_attribute:
            continue
        found = found.final_target if found.is_alias else found
        for one in _functions(path, found):
            if one.function.canonical_path not in seen:
                seen.add(one.function.canonical_path)
                yield one


def _functions(path: str, found: Any) -> Iterator[Public]:
    if found.is_function:
        yield Public(path, found, _text(found))
    for name, one in found.members.items() if found.is_class else ():
        if one.is_function and not one.is_alias and (not name.startswith("_") or name in ("__init__", "__call__")):
            inherited = inspect.getdoc(getattr(reference.runtime(path), name, None)) or ""
            fields = " ".join(f"{field}: {_text(other)}" for field, other in found.members.items() if _text(other))
            yield Public(f"{path}.{name}", one, "\n".join((_text(found), fields, _text(one), inherited)))


def _text(found: Any) -> str:
    return found.docstring.value if found.docstring else ""


PUBLIC = list(public_functions())


def test_there_is_something_to_look_at() -> None:
    assert len(PUBLIC) > 500


def test_arrays_have_shapes() -> None:
    def without(one: Public) -> bool:
        types = f"{' '.join(str(parameter.annotation) for parameter in one.function.parameters)} {one.function.returns}"
        return bool(re.search(r"ndarray|Tensor", types)) and not SHAPE.search(one.text)

    assert [one.path for one in PUBLIC if without(one)] == []


def test_numbers_have_a_unit_in_their_name_or_a_word() -> None:
    def without(one: Public) -> list[str]:
        numbers = [parameter.name for parameter in one.function.parameters if NUMBER.search(str(parameter.annotation))]
        words = set(re.findall(r"\w+", one.text))
        return [name for name in numbers if not WITH_UNIT.search(name) and name not in words | COUNTS]

    assert {one.path: names for one in PUBLIC if (names := without(one))} == {}


def test_errors_are_named() -> None:
    def unnamed(one: Public) -> set[str]:
        raised = {error for error in RAISED.findall("\n".join(one.function.lines)) if error.endswith("Error")}
        return {error for error in raised - INTERNAL if not re.search(rf"{error}\b[:`]", one.text)}

    assert {one.path: errors for one in PUBLIC if (errors := unnamed(one))} == {}
