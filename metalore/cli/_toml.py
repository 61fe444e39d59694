"""Scenarios as TOML that explains itself: every setting with its description."""

from __future__ import annotations

import json
import textwrap
from typing import Any, Literal, get_args, get_origin

import tomlkit
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from tomlkit.container import Container
from tomlkit.items import AoT, Item, Table

from metalore.scenario import Scenario

WIDTH = 100
"""Columns that a setting and its comment may take together; a longer comment stands above."""

_POINTS_IN_A_LINE = 4


def commented_toml(scenario: Scenario, heading: str = "") -> str:
    """The scenario as TOML; reading it gives the same scenario.

    Args:
        scenario: what is written.
        heading: lines of a comment at the top.
    """
    document = tomlkit.document()
    for line in heading.splitlines():
        document.add(tomlkit.comment(line))
    if heading:
        document.add(tomlkit.nl())
    _fill(document, scenario, explained=True)
    return tomlkit.dumps(document)


def _fill(place: Container | Table, model: BaseModel, explained: bool) -> None:
    """Write the settings of `model`: values first, as TOML wants it, then tables."""
    fields = type(model).model_fields
    values = {name: getattr(model, name) for name in fields}
    tables = {name: value for name, value in values.items() if _is_table(value)}
    for name, value in values.items():
        if name not in tables:
            _add_value(place, name, value, _explanation(fields[name]) if explained else "")
    for name, value in tables.items():
        place.add(name, _table(value, _explanation(fields[name]) if explained else ""))


def _is_table(value: Any) -> bool:
    return isinstance(value, BaseModel) or (isinstance(value, tuple) and isinstance(next(iter(value), None), BaseModel))


def _table(value: Any, comment: str) -> Table | AoT:
    if isinstance(value, BaseModel):
        table = tomlkit.table(is_super_table=False)  # with a header of its own, also where it holds tables only
        _comment(table, comment)
        if all(_is_table(getattr(value, name)) for name in type(value).model_fields):
            table.add(tomlkit.nl())
        _fill(table, value, explained=bool(comment))
        return table
    tables = tomlkit.aot()
    for i, entry in enumerate(value):
        tables.append(_table(entry, comment if i == 0 else ""))
    return tables


def _add_value(place: Container | Table, name: str, value: Any, comment: str) -> None:
    if value is None:  # TOML has no word for it
        if comment:
            place.add(tomlkit.comment(f"{name} is not set. {comment}"))
        return
    item = _item(value)
    fits = len(f"{name} = {item.as_string()}  # {comment}") <= WIDTH
    if comment and fits:
        _comment(item, comment)
    elif comment:
        for line in textwrap.wrap(comment, WIDTH - 2):
            place.add(tomlkit.comment(line))
    place.add(name, item)


def _comment(item: Item, comment: str) -> None:
    if comment:
        item.comment(comment)
        item.trivia.comment_ws = "  "


def _item(value: Any) -> Item:
    if isinstance(value, tuple):
        array = tomlkit.array()
        array.extend([list(entry) if isinstance(entry, tuple) else entry for entry in value])
        array.multiline(len(value) > _POINTS_IN_A_LINE and isinstance(value[0], tuple))
        return array
    item: Item = tomlkit.item(value)
    return item


def _explanation(field: FieldInfo) -> str:
    """A setting's description and, where there is a choice, what can be chosen."""
    choices = _choices(field.annotation)
    one_of = f"One of {', '.join(map(json.dumps, choices))}." if len(choices) > 1 else ""
    return " ".join(part for part in (field.description, one_of) if part)


def _choices(annotation: Any) -> list[str]:
    """The words a setting can be, or the kinds its table can be of."""
    if get_origin(annotation) is Literal:
        return [str(choice) for choice in get_args(annotation)]
    kinds = [part for part in get_args(annotation) if isinstance(part, type) and issubclass(part, BaseModel)]
    named = [kind.model_fields["kind"] for kind in kinds if "kind" in kind.model_fields]
    return [choice for field in named for choice in _choices(field.annotation)]
