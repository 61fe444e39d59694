"""Scenarios from names, TOML files and overrides, and the one sentence each mistake gets."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from metalore.scenario.settings import Scenario


class ScenarioError(ValueError):
    """A scenario that cannot be; the message is one sentence: what is wrong, where, what would be right."""


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
        return Scenario.model_validate_json(json.dumps(settings))
    except ValidationError as error:
        raise ScenarioError(_sentence(error)) from None
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


def _builtin_folder() -> Any:
    return resources.files("metalore.scenario") / "builtin"


def _read(source: str) -> dict[str, Any]:
    if not source.endswith(".toml"):
        if source not in builtin_names():
            names = ", ".join(builtin_names())
            hint = _nearest(source, builtin_names())
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
                raise ScenarioError(_unknown(".".join(keys[: depth + 1]), list(here)))
            index = key
        else:
            raise ScenarioError(f"{'.'.join(keys[:depth])} holds a value, not settings, so {path} does not exist")
        if last:
            if key == "kind" and isinstance(here, dict) and here.get("kind") != value:
                here.clear()
            here[index] = value
        else:
            here = here[index] if isinstance(here, list) else here.get(key)


def _nearest(word: str, options: list[str]) -> str:
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _unknown(path: str, options: list[str]) -> str:
    parent, _, key = path.rpartition(".")
    hint = _nearest(key, options) or f"; known here are {', '.join(options)}"
    return f"unknown setting {path}{hint}" if parent else f"unknown setting {key}{hint}"


def _sentence(error: ValidationError) -> str:
    """The first mistake of a pydantic error as one sentence with path, value and what is allowed."""
    problem = error.errors(include_url=False)[0]
    # pydantic puts the kind of a tagged union into the location; a person does not write it in the path.
    location = _without_tags(problem["loc"])
    path = ".".join(map(str, location)) or "scenario"
    if problem["type"] == "extra_forbidden":
        return _unknown(path, _fields_beside(problem["loc"]))
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return message if message.startswith(path) or path == "scenario" else f"{path}: {message}"
    if problem["type"] == "union_tag_invalid":
        return f"{path}.kind is {problem['ctx']['tag']!r}; it can be {problem['ctx']['expected_tags']}"
    if problem["type"] == "missing":
        return f"{path} is missing; it has no default"
    return f"{path} is {problem['input']!r}, but {message[0].lower()}{message[1:]}"


def _walk(location: tuple[int | str, ...]) -> list[tuple[int | str, Any]]:
    """Pairs of location part and the JSON schema node it leads to (None after a union's tag)."""
    schema = Scenario.model_json_schema()
    node: Any = schema
    parts: list[tuple[int | str, Any]] = []
    for part in location:
        node = _resolve(schema, node)
        tags = node.get("discriminator", {}).get("mapping", {})
        if part in tags:
            node = _resolve(schema, {"$ref": tags[part]})
            parts.append((part, None))
            continue
        if isinstance(part, int):
            node = node.get("items", {})
        else:
            node = node.get("properties", {}).get(part, {})
        parts.append((part, node))
    return parts


def _resolve(schema: Mapping[str, Any], node: Any) -> Any:
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return node


def _without_tags(location: tuple[int | str, ...]) -> list[int | str]:
    return [part for part, node in _walk(location) if node is not None]


def _fields_beside(location: tuple[int | str, ...]) -> list[str]:
    schema = Scenario.model_json_schema()
    node: Any = schema
    for part in location[:-1]:
        node = _resolve(schema, node)
        tags = node.get("discriminator", {}).get("mapping", {})
        if part in tags:
            node = {"$ref": tags[part]}
        elif isinstance(part, int):
            node = node.get("items", {})
        else:
            node = node.get("properties", {}).get(part, {})
    return list(_resolve(schema, node).get("properties", {}))
