"""Environment pages from class docstrings: of what Gymnasium knows, and of parallel environments of PettingZoo."""

from __future__ import annotations

import inspect
import re
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import NamedTuple

import metalore.envs
from metalore.registration import IDS

FOLDER = "reference/environments"


class Environment(NamedTuple):
    """A class with the names that make it, the first of them as title, and how to make it."""

    names: tuple[str, ...]
    described: type
    code: str

    @property
    def file(self) -> str:
        """The page's path."""
        return f"{FOLDER}/{re.sub(r'^metalore/', '', self.names[0])}.md"


def registered() -> list[Environment]:
    """Environments by Gymnasium's ids; ids of the same class belong together."""
    classes = list(dict.fromkeys(IDS.values()))
    return [_registered([name for name, one in IDS.items() if one == place], place) for place in classes]


def _registered(names: list[str], place: str) -> Environment:
    module, _, name = place.partition(":")
    code = f'import gymnasium\n\nenv = gymnasium.make("{names[0]}")\nobservation, info = env.reset(seed=1)'
    return Environment(tuple(names), getattr(import_module(module), name), code)


def parallel() -> list[Environment]:
    """Modules of `metalore.envs` that are PettingZoo's: those with a `parallel_env`."""
    found = []
    for module in iter_modules(metalore.envs.__path__, "metalore.envs."):
        if re.search(r"_v\d+$", module.name):
            made = import_module(module.name)
            short = module.name.rpartition(".")[2]
            make = f"env = {short}.parallel_env()\nobservations, infos = env.reset(seed=1)"
            code = f"from metalore.envs import {short}\n\n{make}"
            found.append(Environment((short,), _class_of(made), code))
    return found


def _class_of(module: object) -> type:
    """The parallel environment's class."""
    own = [one for _, one in inspect.getmembers(module, inspect.isclass) if one.__module__ == module.__name__]  # type: ignore[attr-defined]
    return next(one for one in own if hasattr(one, "possible_agents") or "## Description" in (one.__doc__ or ""))


def pages() -> dict[str, str]:
    """Markdown by path: an overview and a page for each environment."""
    every = registered() + parallel()
    rows = [f"| [`{one.names[0]}`]({one.file.rpartition('/')[2]}) | {_first(one)} |" for one in every]
    overview = (
        "# Environments\n\nGenerated from the docstrings of the classes. What they have in common (observations, "
        "rewards, info, batches, Stable-Baselines3) is in [Environments](../../environments.md).\n\n"
        "| environment | what it is |\n|---|---|\n" + "\n".join(rows) + "\n"
    )
    return {f"{FOLDER}/index.md": overview, **{one.file: _page(one) for one in every}}


@cache
def places() -> dict[str, str]:
    """Where each environment is described, by each of its names."""
    return {name: one.file for one in registered() + parallel() for name in one.names}


def _first(environment: Environment) -> str:
    text = inspect.getdoc(environment.described) or ""
    paragraph = text.split("## Description", 1)[-1].strip().split("\n\n")[0]
    return re.split(r"(?<=\.)\s", " ".join(paragraph.split()))[0]


def _page(environment: Environment) -> str:
    others = f"Also `{'`, `'.join(environment.names[1:])}`. " if environment.names[1:] else ""
    described = environment.described
    path = f"{described.__module__}.{described.__qualname__}"
    where = f"{others}Class [`{path}`][{path}]."
    return "\n\n".join(
        [f"# {environment.names[0]}", where, f"```python\n{environment.code}\n```", inspect.getdoc(described) or ""]
    )
