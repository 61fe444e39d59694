"""The API reference: a page for each public package, listed from `__all__` and from what the documentation imports.

Public are the names in `__all__` of a package, and those of the modules that README, docs or examples name; a module's
own names without an underscore count where it has no `__all__`. A test checks that all have docstrings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from inspect import getattr_static
from pathlib import Path
from types import ModuleType
from typing import Any

import griffe
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

ROOT = Path(__file__).parents[2]
FOLDER = "reference/api"

_NAMED = re.compile(r"\bmetalore(?:\.[A-Za-z_]\w*)+")


@cache
def tree() -> Any:
    """The package as griffe reads it, with imports resolved."""
    return griffe.load("metalore", search_paths=[ROOT], resolve_aliases=True, resolve_external=False)


def packages() -> list[str]:
    """Public packages: folders without an underscore; the command line has a reference of its own."""
    return sorted(_packages(tree()))


def _packages(module: Any) -> Iterator[str]:
    yield module.path
    for name, one in module.modules.items():
        if one.is_init_module and not name.startswith("_") and one.path != "metalore.cli":
            yield from _packages(one)


@cache
def named_modules() -> tuple[str, ...]:
    """Modules, no packages, that README, docs and examples name."""
    files = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.py")]
    named = {name for file in files for name in _NAMED.findall(file.read_text(encoding="utf-8"))}
    found = {module for name in named for module in _prefixes(name) if _is_module(module)}
    return tuple(sorted(found - set(packages())))


def _prefixes(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:size]) for size in range(2, len(parts) + 1))


def _is_module(path: str) -> bool:
    if "._" in path or path.startswith("metalore.cli"):
        return False
    try:
        return bool(tree()[path.removeprefix("metalore.")].is_module)
    except KeyError:
        return False


def names_of(module: str) -> list[str]:
    """Public names of a module: its `__all__`, else its own names without an underscore."""
    listed = getattr(import_module(module), "__all__", None)
    if listed is not None:
        return [name for name in listed if not name.startswith("_")]
    found = tree()[module.removeprefix("metalore.")] if module != "metalore" else tree()
    return [name for name, one in found.members.items() if _own(name, one)]


def _own(name: str, one: Any) -> bool:
    """Functions, classes and constants that a module defines itself."""
    if name.startswith("_") or one.is_alias or one.is_module:
        return False
    return bool(one.is_class or one.is_function or name.isupper())


@cache
def public_names() -> dict[str, str]:
    """Each public name's path, by its module: what the reference shows, `metalore.world.World` by `metalore.world`."""
    return {f"{module}.{name}": module for module in (*packages(), *named_modules()) for name in names_of(module)}


def runtime(path: str) -> Any:
    """The object behind a path, found without calling what makes it on first use; None if that is not to be had."""
    written = _written(path)
    for place in (path, written.canonical_path if written else path):
        module, _, name = place.rpartition(".")
        try:
            return getattr_static(import_module(module), name)
        except AttributeError:
            continue
    return None


@cache
def static(path: str) -> Any:
    """The object behind a path as it is written; None where only the running program knows it."""
    found, made = _written(path), runtime(path)
    if found is not None and found.is_module and made is not None and not isinstance(made, ModuleType):
        return found.members.get(made.__name__)  # a function called like its module
    return found


def _written(path: str) -> Any:
    try:
        found = tree()[path.removeprefix("metalore.")]
        return found.final_target if found.is_alias else found
    except (KeyError, griffe.AliasResolutionError):
        return None


def pages() -> dict[str, str]:
    """Markdown by path: an overview, and a page for each package with the modules in it that are named."""
    shown: set[str] = set()
    made = {}
    for package in sorted(packages(), key=lambda name: (name == "metalore", name)):  # the root repeats others' names
        made[f"{FOLDER}/{package}.md"] = _page(package, shown)
    rows = [f"| [`{package}`]({package}.md) | {_first(package)} |" for package in packages()]
    overview = (
        "# Python\n\nGenerated from the docstrings, a page for each package.\n\n| package | what it is |\n|---|---|\n"
    )
    return {f"{FOLDER}/index.md": overview + "\n".join(rows) + "\n", **made}


def _first(module: str) -> str:
    return (import_module(module).__doc__ or "").strip().split("\n")[0]


def _page(package: str, shown: set[str]) -> str:
    parts = [f"# {package}", _directive(package, members=False), *_entries(package, shown, heading=2)]
    for module in named_modules():
        if module.rpartition(".")[0] == package:
            parts += [f"## {module}", _directive(module, members=False), *_entries(module, shown, heading=3)]
    return "\n\n".join(parts) + "\n"


def _entries(module: str, shown: set[str], heading: int) -> list[str]:
    """Each public name of a module: described, or a link to where it was."""
    made, elsewhere = [], []
    for name in names_of(module):
        path = f"{module}.{name}"
        found = static(path)
        if found is None or found.is_module or found.canonical_path in shown:
            elsewhere.append(f"[`{name}`][{_home(path)}]")
            continue
        shown.add(found.canonical_path)
        in_place = tree()[path.removeprefix("metalore.")].is_module  # hidden by the module of the same name
        made.append(_directive(found.canonical_path if in_place else path, heading=heading, settings=_model(path)))
    if elsewhere:
        made.insert(0, f"From elsewhere: {', '.join(elsewhere)}.")
    return made


def _home(path: str) -> str:
    """Where a name that is made on first use, or a module, is described."""
    found = static(path)
    if found is not None:
        return str(found.canonical_path)
    module, _, name = path.rpartition(".")
    made = getattr(import_module(module), name)
    return made.__name__ if not hasattr(made, "__module__") else f"{made.__module__}.{made.__qualname__}"


def _directive(path: str, members: bool = True, heading: int = 2, settings: type[BaseModel] | None = None) -> str:
    options = {"heading_level": str(heading)}
    if not members:
        options |= dict.fromkeys(("show_root_heading", "show_root_toc_entry", "members"), "false")
    elif settings is not None:
        options["members"] = "false"
    text = f"::: {path}\n    options:" + "".join(f"\n      {name}: {value}" for name, value in options.items())
    return text if settings is None else f"{text}\n\n{_table(settings)}"


def _model(path: str) -> type[BaseModel] | None:
    """The class of settings behind a path, if it is one."""
    made = runtime(path)
    return made if isinstance(made, type) and issubclass(made, BaseModel) and made.model_fields else None


def _table(settings: type[BaseModel]) -> str:
    """Fields of settings: name, what it is if unset, meaning."""
    rows = [
        f"| `{name}` | {_unset(field)} | {(field.description or '').replace('|', chr(92) + '|')} |"
        for name, field in settings.model_fields.items()
    ]
    return "\n".join(["| setting | if unset | meaning |", "|---|---|---|", *rows])


def _unset(field: Any) -> str:
    if field.is_required():
        return "required"
    made = field.get_default(call_default_factory=True)
    if made is PydanticUndefined or made is None:
        return ""
    text = repr(made)
    return f"`{text}`".replace("|", "\\|") if len(text) <= 40 else f"`{type(made).__name__}(...)`"
