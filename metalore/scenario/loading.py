"""Scenarios from names, TOML files and overrides, and the one sentence each mistake gets."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from metalore.scenario.errors import ScenarioError, nearest, sentence, unknown
from metalore.scenario.settings import Scenario


def builtin_names() -> list[str]:
    """Names of the scenarios that come with the package."""
    return sorted(p.name.removesuffix(".toml") for p in _builtin_folder().iterdir() if p.name.endswith(".toml"))


def load(source: str | Path | Mapping[str, Any] | Scenario = "smart-city", **changes: Any) -> Scenario:
    """A scenario from a built-in name, a TOML file, a mapping or another scenario, with overrides.

    Args:
        source: a name of :func:`builtin_names`, a path that ends in ``.toml``, nested settings, or a scenario.
        changes: overrides as of :meth:`Scenario.updated`.

    Raises:
        ScenarioError: unknown name, unreadable file, unknown key or impossible value.
    """
    if isinstance(source, Scenario):
        return source.updated(**changes)
    settings = dict(source) if isinstance(source, Mapping) else _read(str(source))
    return with_overrides(validated(settings), changes)


def validated(settings: Mapping[str, Any]) -> Scenario:
    """Check nested settings and make the scenario.

    Raises:
        ScenarioError: see :func:`load`.
    """
    try:
        # Through JSON, so that TOML's lists become tuples and nothing but plain values comes in.
        return Scenario.model_validate_json(json.dumps(settings, default=_number))
    except ValidationError as error:
        raise ScenarioError(sentence(error, Scenario)) from None
    except TypeError as error:
        raise ScenarioError(f"a scenario holds numbers, text and lists only: {error}") from None


def with_overrides(scenario: Scenario, changes: Mapping[str, Any]) -> Scenario:
    """A copy of `scenario` with each dotted path in `changes` set to its value.

    Raises:
        ScenarioError: see :func:`load`.
    """
    if not changes:
        return scenario
    settings = scenario.model_dump(mode="json")
    for path, value in changes.items():
        _assign(settings, path.replace("__", "."), _plain(value))
    return validated(settings)


def parse_override(text: str) -> tuple[str, Any]:
    """``users.count=20`` as (path, value); the value is read as TOML, and as text if it is none.

    Raises:
        ScenarioError: no ``=`` in the text.
    """
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise ScenarioError(f"an override looks like users.count=20, not {text!r}")
    try:
        return path.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return path.strip(), value.strip()


def _number(value: Any) -> Any:
    """NumPy's numbers as Python's."""
    try:
        return value.item()
    except AttributeError:
        raise TypeError(f"{value!r} is none of them") from None


def _builtin_folder() -> Any:
    return resources.files("metalore.scenario") / "builtin"


def _read(source: str) -> dict[str, Any]:
    if not source.endswith(".toml"):
        if source not in builtin_names():
            names = ", ".join(builtin_names())
            hint = nearest(source, builtin_names())
            raise ScenarioError(
                f"unknown scenario {source!r}{hint or ';'} {'Built' if hint else 'built'} in are {names}, "
                "and a file's name ends in .toml"
            )
        return tomllib.loads((_builtin_folder() / f"{source}.toml").read_text(encoding="utf-8"))
    try:
        return tomllib.loads(Path(source).read_text(encoding="utf-8"))
    except OSError as error:
        raise ScenarioError(f"cannot read scenario file {source}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioError(f"{source} is not valid TOML: {error}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return value


def _assign(settings: Any, path: str, value: Any) -> None:
    keys = path.split(".")
    here: Any = settings
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(here, list):
            if not key.isdigit() or int(key) >= len(here):
                where = ".".join(keys[:depth])
                raise ScenarioError(f"{where} has {len(here)} entries counted from 0; {key!r} is none of them")
            index: Any = int(key)
        elif isinstance(here, dict):
            # A new kind (say users.mobility.kind) brings its own keys, so those are checked on validation.
            if key not in here and "kind" not in here:
                raise ScenarioError(unknown(".".join(keys[: depth + 1]), list(here)))
            index = key
        else:
            raise ScenarioError(f"{'.'.join(keys[:depth])} holds a value, not settings, so {path} does not exist")
        if last:
            if key == "kind" and isinstance(here, dict) and here.get("kind") != value:
                here.clear()
            here[index] = value
        else:
            here = here[index] if isinstance(here, list) else here.get(key)
