"""README and docs: Python blocks run, scenarios load, commands exist, links lead somewhere, nothing hides."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from metalore.scenario import validated

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
TIMEOUT_S = 300  # the first run on a machine compiles the simulator
LANGUAGES = {"python", "bash", "toml", "json", "text", "mermaid"}
"""Of blocks; text is what something prints."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SKIP = re.compile(r"<!-- skip: (.+?) -->\n$")
_IN_TEXT = re.compile(r"`(metalore [^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def walks() -> list[Path]:
    """Pages whose blocks build on each other; tests/test_walk.py runs them in order."""
    return [ROOT / "docs" / "tutorial.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]


class Block(NamedTuple):
    """A fenced block: where it begins, its language, its text, and why it is not to be run."""

    line: int
    language: str
    text: str
    skip: str | None


def blocks_of(text: str) -> Iterator[Block]:
    """Fenced blocks of a page; one with ``<!-- skip: reason -->`` in the line before it is not to be run."""
    for match in _FENCE.finditer(text):
        skip = _SKIP.search(text[: match.start()])
        line = text.count("\n", 0, match.start()) + 2
        yield Block(line, match[1], match[2], skip[1] if skip else None)


def anchor_of(heading: str) -> str:
    """A heading's anchor as code hosts make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def broken_links(page: Path, text: str) -> list[str]:
    """Relative links of a page that lead to no file, or to no heading of one."""
    prose, broken = _FENCE.sub("", text), []
    for link in _LINK.findall(prose):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            broken.append(link)
        elif anchor and target.suffix == ".md":
            there = text if target == page else target.read_text(encoding="utf-8")
            if anchor not in map(anchor_of, _HEADING.findall(_FENCE.sub("", there))):
                broken.append(link)
    return broken


def all_blocks(*languages: str, but: Collection[Path] = ()) -> list[object]:
    """Blocks of all pages in one of the languages, as parameters named by page and line."""
    return [
        pytest.param(block, id=f"{page.relative_to(ROOT)}:{block.line}")
        for page in PAGES
        if page not in but
        for block in blocks_of(page.read_text(encoding="utf-8"))
        if block.language in languages
    ]


@pytest.mark.parametrize("block", all_blocks("python", but=walks()))
def test_python_block_runs(block: Block, tmp_path: Path) -> None:
    """As a reader would run it: alone, in a fresh interpreter; and no warning."""
    if block.skip:
        pytest.skip(block.skip)
    script = tmp_path / "block.py"
    script.write_text(block.text, encoding="utf-8")
    command = [sys.executable, "-W", "error", script.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("block", all_blocks("toml"))
def test_scenario_is_valid(block: Block) -> None:
    validated(tomllib.loads(block.text))


def understood(line: str) -> bool:
    """Whether command and options of a line `metalore ...` exist; asking for help besides keeps it from running."""
    arguments = shlex.split(line, comments=True)[1:]
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()), pytest.raises(SystemExit) as ended:
        _command_line().main([*arguments, "--help"])
    return ended.value.code == 0


@cache
def _command_line() -> Any:
    """Put together once, which takes longer than reading a line."""
    typer = pytest.importorskip("typer", reason="the extra `cli` is not installed")
    from metalore.cli.application import app

    return typer.main.get_command(app)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_block_hides(page: Path) -> None:
    """Each fence has a language that some test looks at; blocks of shell run in tests/test_walk.py, or say why not."""
    text = page.read_text(encoding="utf-8")
    blocks = list(blocks_of(text))
    assert {block.language for block in blocks} <= LANGUAGES
    assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * len(blocks)


@pytest.mark.parametrize("block", all_blocks("bash"))
def test_metalore_commands_exist(block: Block) -> None:
    for line in block.text.splitlines():
        if line.startswith("metalore "):
            assert understood(line), line


@pytest.mark.parametrize("block", all_blocks("bash"))
def test_scripts_exist(block: Block) -> None:
    for script in re.findall(r"(?:benchmarks|deploy|examples|tools)/[\w./-]+", block.text):
        assert (ROOT / script).exists(), script


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_metalore_commands_in_prose_exist(page: Path) -> None:
    for line in _IN_TEXT.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        line = re.sub(r"[][]", "", line)  # around what may be left out
        assert understood(line) or understood(f"{line} VALUE"), line  # an option may be named without its value


@pytest.mark.parametrize("block", all_blocks("bash"))
def test_make_targets_exist(block: Block) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for target in re.findall(r"^make (\w+)", block.text, re.MULTILINE):
        assert target in targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page, page.read_text(encoding="utf-8")) == []


def test_every_page_is_on_the_map() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    linked = set(_LINK.findall(index))
    docs = ROOT / "docs"
    assert {page.relative_to(docs).as_posix() for page in docs.rglob("*.md")} - {"index.md"} <= linked


def test_tables_of_training_settings_are_true() -> None:
    """Each setting, its values and its meaning, and what each preset sets, as the code has them."""
    pytest.importorskip("stable_baselines3", reason="the extra `learn` is not installed")
    from metalore.learn import PRESETS, TrainSettings

    page = (ROOT / "docs" / "learning.md").read_text(encoding="utf-8")
    unset, default = TrainSettings().model_dump(mode="json"), PRESETS["default"].model_dump(mode="json")
    for name, of in TrainSettings.model_fields.items():
        own = "" if default[name] == unset[name] else f"`{json.dumps(default[name])}` "
        assert f"| `{name}` | `{json.dumps(unset[name])}` | {own}| {of.description} |" in page
    assert len(re.findall(r"^\| `", page.split("All settings are")[1].split("\n**")[0], re.MULTILINE)) == len(unset)
    for name, preset in PRESETS.items():
        values = preset.model_dump(mode="json", exclude_defaults=True, exclude={"algorithm"})
        (row,) = re.findall(rf"^\| `{name}` \|.*", page, re.MULTILINE)
        assert row.endswith("| " + ", ".join(f"`{key}={json.dumps(value)}`" for key, value in values.items()) + " |")


def test_blocks_are_found_with_their_reason_to_skip() -> None:
    text = "# A\n\n```python\nx = 1\n```\n\n<!-- skip: needs a cluster -->\n```python\ny\n```\n```toml\nz = 1\n```\n"
    assert list(blocks_of(text)) == [
        Block(4, "python", "x = 1\n", None),
        Block(9, "python", "y\n", "needs a cluster"),
        Block(12, "toml", "z = 1\n", None),
    ]


def test_the_link_check_sees_broken_links(tmp_path: Path) -> None:
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    other.write_text("# There it is\n", encoding="utf-8")
    text = (
        "# Here\n[a](other.md#there-it-is) [b](other.md#nowhere) [c](gone.md) [d](#here) [e](#there)\n"
        "[f](https://example.org/x)\n```\n[g](in-code.md)\n```\n"
    )
    page.write_text(text, encoding="utf-8")
    assert broken_links(page, text) == ["other.md#nowhere", "gone.md", "#there"]


def test_the_command_check_sees_unknown_commands_and_options() -> None:
    assert understood("metalore simulate --episodes 3  # a comment")
    for line in ("metalore simulat", "metalore simulate --episode-count 3", "metalore scenarios lst"):
        assert not understood(line), line
