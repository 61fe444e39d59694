"""The command reference: a page for each subcommand of `metalore`, from the command line's own description."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import typer

FOLDER = "reference/commands"

_EXAMPLES = re.compile(r"^(?:\[bold\])?Examples?:?(?:\[/bold\])?$", re.MULTILINE)
_MARKUP = re.compile(r"\[/?(?:bold|italic|dim)\]")


@cache
def root() -> Any:
    """The command line as one group of commands."""
    from metalore.cli.application import app

    return typer.main.get_command(app)


def leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """A command, or a group that does something by itself and all commands in it, by the words that call them."""
    if not hasattr(command, "commands"):
        yield name, command
        return
    if command.invoke_without_command:
        yield name, command
    for word, one in command.commands.items():
        if not one.hidden:
            yield from leaves(one, f"{name} {word}")


def pages() -> dict[str, str]:
    """Markdown by path: an overview, and a page for each word after `metalore`."""
    made, rows = {}, []
    for word, command in root().commands.items():
        made[f"{FOLDER}/{word}.md"] = _page(word, command)
        rows += [f"| [`{name}`]({word}.md#{anchor(name)}) | {_first(one)} |" for name, one in leaves(command, word)]
    overview = [
        "# Commands",
        "Generated from the command line itself. `metalore COMMAND --help` prints the same.",
        "\n".join(["| `metalore` | what it does |", "|---|---|", *rows]),
        "Exit codes: 0 done, 1 refused (one sentence on standard error says why), 2 misspelt, 130 interrupted.",
    ]
    return {f"{FOLDER}/index.md": "\n\n".join(overview) + "\n", **made}


def anchor(name: str) -> str:
    """Anchor of the section on a command, given its words after `metalore`."""
    return "metalore-" + name.replace(" ", "-")


@cache
def places() -> dict[str, str]:
    """Where each command is described, by its words: a page and an anchor."""
    return {
        f"metalore {name}": f"{FOLDER}/{word}.md#{anchor(name)}"
        for word, command in root().commands.items()
        for name, _ in [(word, command), *leaves(command, word)]
    }


def _page(word: str, command: Any) -> str:
    parts = [f"# metalore {word} {{ #{anchor(word)} }}"]
    every = dict(leaves(command, word))
    parts += _described(word, every.pop(word)) if word in every else [_text(command.help)]
    for name, one in every.items():
        parts += [f"## metalore {name} {{ #{anchor(name)} }}", *_described(name, one)]
    return "\n\n".join(parts) + "\n"


def _described(name: str, command: Any) -> list[str]:
    """What a command is for, how it is called, with what, and examples."""
    text, *examples = _EXAMPLES.split(command.help or "", maxsplit=1)
    shown = [one for one in command.params if not one.hidden]
    arguments = [one for one in shown if one.param_type_name == "argument"]
    options = [one for one in shown if one.param_type_name == "option"]
    usage = " ".join(["metalore", name, *(["[OPTIONS]"] if options else []), *map(_argument, arguments)])
    parts = [_text(text), f"```text\n{usage}\n```"]
    if shown:
        rows = [f"| `{_spelt(one)}` | {_meaning(one)} |" for one in [*arguments, *options]]
        parts.append("\n".join(["| | |", "|---|---|", *rows]))
    if examples:
        parts.append("```bash\n" + "\n".join(_unwrapped(examples[0])) + "\n```")
    return parts


def _unwrapped(examples: str) -> list[str]:
    """Commands, each on one line, so that it can be copied; help wraps long ones."""
    lines: list[str] = []
    for line in filter(None, map(str.strip, examples.splitlines())):
        if line.startswith("metalore"):
            lines.append(line)
        else:
            lines[-1] += f" {line}"
    return lines


def _first(command: Any) -> str:
    return _text(command.help).split("\n")[0].replace("|", "\\|")


def _text(help_: str | None) -> str:
    return _MARKUP.sub("", help_ or "").strip()


def _argument(parameter: Any) -> str:
    word = _metavar(parameter)
    return word if parameter.required else f"[{word}]"


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _spelt(parameter: Any) -> str:
    """How a parameter is typed."""
    if parameter.param_type_name == "argument":
        return _argument(parameter)
    both = "/".join([*parameter.opts, *parameter.secondary_opts])
    return both if parameter.is_flag else f"{both} {_metavar(parameter)}"


def _meaning(parameter: Any) -> str:
    """Its help, and what it is if it is left out."""
    text = (parameter.help or "").replace("|", "\\|").replace("<", "&lt;").strip()
    default = parameter.default
    if parameter.required and parameter.param_type_name == "option":
        return f"{text} Required."
    if default in (None, False, (), []) or not parameter.show_default or callable(default):
        return text
    if getattr(parameter, "is_flag", False):
        return f"{text} Default: `{parameter.opts[0]}`."
    return f"{text} Default: `{getattr(default, 'value', default)}`."
