"""The one sentence that a mistake in a scenario gets: what is wrong, where, and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError


class ScenarioError(ValueError):
    """A scenario that cannot be; the message is one sentence: what is wrong, where, what would be right."""


def nearest(word: str, options: list[str]) -> str:
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def unknown(path: str, options: list[str]) -> str:
    parent, _, key = path.rpartition(".")
    hint = nearest(key, options) or f"; known here are {', '.join(options)}"
    return f"unknown setting {path}{hint}" if parent else f"unknown setting {key}{hint}"


def sentence(error: ValidationError, model: type[BaseModel]) -> str:
    """The first mistake of a pydantic error as one sentence with path, value and what is allowed."""
    # Where a setting may be one of several things, the deepest complaint is the one that helps.
    problem = max(error.errors(include_url=False), key=lambda p: len(p["loc"]))
    # pydantic puts the kind of a tagged union into the location; a person does not write it in the path.
    location = _without_tags(model, problem["loc"])
    path = ".".join(map(str, location)) or "scenario"
    if problem["type"] == "extra_forbidden":
        return unknown(path, _fields_beside(model, problem["loc"]))
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return message if message.startswith(path) or path == "scenario" else f"{path}: {message}"
    if problem["type"] == "union_tag_invalid":
        return f"{path}.kind is {problem['ctx']['tag']!r}; it can be {problem['ctx']['expected_tags']}"
    if problem["type"] == "union_tag_not_found":
        kinds = ", ".join(repr(kind) for kind in _walk(model, problem["loc"])[-1][1]["discriminator"]["mapping"])
        return f"{path}.kind is missing; it can be {kinds}"
    if problem["type"] == "missing":
        return f"{path} is missing; it has no default"
    return f"{path} is {problem['input']!r}, but {message[0].lower()}{message[1:]}"


def _walk(model: type[BaseModel], location: tuple[int | str, ...]) -> list[tuple[int | str, Any]]:
    """Pairs of location part and the JSON schema node it leads to.

    None for parts that pydantic adds: a union's tag, or the name of one of its types.
    """
    schema = model.model_json_schema()
    node: Any = schema
    parts: list[tuple[int | str, Any]] = []
    for part in location:
        node = _resolve(schema, node)
        tags = node.get("discriminator", {}).get("mapping", {})
        if part in tags:
            node, added = {"$ref": tags[part]}, True
        elif isinstance(part, int):
            arrays = [option for option in node.get("anyOf", [node]) if "items" in option]
            node, added = (arrays[0]["items"] if arrays else {}), False
        else:
            added = "anyOf" in node and part not in node.get("properties", {})
            node = node if added else node.get("properties", {}).get(part, {})
        parts.append((part, None if added else node))
    return parts


def _resolve(schema: Mapping[str, Any], node: Any) -> Any:
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return node


def _without_tags(model: type[BaseModel], location: tuple[int | str, ...]) -> list[int | str]:
    return [part for part, node in _walk(model, location) if node is not None]


def _fields_beside(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names of the settings where one of an unknown name was given."""
    schema = model.model_json_schema()
    node: Any = schema
    for part, found in _walk(model, location[:-1]):
        node = _resolve(schema, node)
        tags = node.get("discriminator", {}).get("mapping", {})
        node = {"$ref": tags[part]} if part in tags else (node if found is None else found)
    return list(_resolve(schema, node).get("properties", {}))
