"""The reference leaves nothing out: every public name has a docstring, every command and environment a page."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("griffe", reason="the extra `docs` is not installed")
pytest.importorskip("typer", reason="the extra `cli` is not installed")
pytest.importorskip("pettingzoo", reason="the extra `multi` is not installed")

from docsite import commands, docstrings, environments, reference
from test_readme import understood

from metalore.registration import IDS


def undocumented(path: str) -> list[str]:
    """A public name, and what is public in it, as far as a docstring is missing; constants need none."""
    found = reference.static(path)
    if found is None or found.is_attribute or found.is_module:
        return []
    without = [] if found.has_docstring else [path]
    if found.is_class:
        methods = {name: one for name, one in found.members.items() if one.is_function and not name.startswith("_")}
        without += [f"{path}.{name}" for name in methods if not inspect.getdoc(_attribute(path, name))]
    return without


def _attribute(path: str, name: str) -> object:
    """A method as it is inherited, so that an override may leave its docstring to the base."""
    return getattr(reference.runtime(path), name, None)


def test_every_public_name_has_a_docstring() -> None:
    assert [name for path in reference.public_names() for name in undocumented(path)] == []


def test_every_module_of_the_reference_has_a_docstring() -> None:
    for module in (*reference.packages(), *reference.named_modules()):
        assert inspect.cleandoc(__import__(module, fromlist=["_"]).__doc__ or ""), module


def test_each_public_name_is_described_or_led_to() -> None:
    text = "\n".join(reference.pages().values())
    for path in reference.public_names():
        described = {f"::: {place}\n" for place in (path, getattr(reference.static(path), "canonical_path", path))}
        assert any(one in text for one in described) or f"[`{path.rpartition('.')[2]}`][" in text, path


def test_settings_are_described_field_by_field() -> None:
    page = reference.pages()["reference/api/metalore.learn.md"]
    assert re.search(r"^\| `steps` \| `1500000` \| Environment steps at most. \|$", page, re.MULTILINE)


def test_every_command_has_a_section_with_its_options() -> None:
    pages = commands.pages()
    for word, command in commands.root().commands.items():
        page = pages[f"reference/commands/{word}.md"]
        for name, one in commands.leaves(command, word):
            assert f"# metalore {name} {{ #metalore-{name.replace(' ', '-')} }}" in page
            for option in one.params:
                if not option.hidden and option.param_type_name == "option":
                    assert f"`{option.opts[0]}" in page, f"{name} {option.opts[0]}"


def test_examples_of_commands_are_shown() -> None:
    assert "```bash\nmetalore evaluate runs/ppo" in commands.pages()["reference/commands/evaluate.md"]
    assert "```bash\nmetalore train smart-city" in commands.pages()["reference/commands/train.md"]


def test_examples_of_commands_can_be_typed() -> None:
    text = "\n".join(commands.pages().values())
    lines = [line for block in re.findall(r"^```bash\n(.*?)^```$", text, re.M | re.S) for line in block.splitlines()]
    assert len(lines) > len(commands.root().commands)
    for line in lines:
        assert understood(line), line


@pytest.mark.parametrize("name", sorted(environments.places()))
def test_the_first_lines_about_an_environment_run(name: str) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", environments.pages()[environments.places()[name]], re.M | re.S)
    made: dict[str, Any] = {}
    exec(code, made)
    made["env"].close()


def test_every_environment_has_a_page_with_the_sections_of_its_docstring() -> None:
    pages = environments.pages()
    for name in [*IDS, "multi_cell_v0"]:
        page = pages[environments.places()[name]]
        for section in ("Description", "Action Space", "Observation Space", "Rewards", "Arguments", "Version History"):
            assert f"## {section}\n" in page, name


def test_a_docstring_becomes_markdown() -> None:
    text = "See :func:`a.score` and :class:`~a.World`.\n\nLike this::\n\n    x = 1\n\n::\n\n    y = 2\n"
    expected = "See `a.score` and `a.World`.\n\nLike this:\n\n    x = 1\n\n\n\n    y = 2\n"
    assert docstrings.as_markdown(text) == expected


def test_the_check_sees_a_missing_docstring(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "class Told:\n    'It is.'\n    def shown(self): 'It is.'\n    def hidden(self): ...\ndef untold(): ..."
    module = pytest.importorskip("griffe").visit("made", filepath=Path("made.py"), code=code)
    program: dict[str, object] = {}
    exec(code, program)
    monkeypatch.setattr(reference, "static", lambda path: module[path.removeprefix("made.")])
    monkeypatch.setattr(reference, "runtime", lambda path: program[path.removeprefix("made.")])
    assert undocumented("made.untold") == ["made.untold"]
    assert undocumented("made.Told") == ["made.Told.hidden"]
