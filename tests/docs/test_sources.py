"""Links of the documentation, as the site has them."""

from __future__ import annotations

from pathlib import Path

import pytest
from docsite import sources


@pytest.mark.parametrize(
    ("page", "link", "there"),
    [
        ("extend.md", "autoscale.md#recommenders", "autoscale.md#recommenders"),
        ("how-to/own-channel.md", "../extend.md#channel", "../extend.md#channel"),
        ("extend.md", "../examples/quickstart.py", "source/examples/quickstart.py.md"),
        ("how-to/own-channel.md", "../../examples/quickstart.py", "../source/examples/quickstart.py.md"),
        ("index.md", "../examples", "source/examples/index.md"),
        ("index.md", "../CHANGELOG.md", "changelog.md"),
        ("contributing.md", "docs/world.md", "world.md"),
        ("extend.md", "https://example.org/a.py", "https://example.org/a.py"),
        ("extend.md", "#policy", "#policy"),
        ("extend.md", "../gone.py", "../gone.py"),
    ],
)
def test_a_link_leads_to_the_page_of_what_it_names(page: str, link: str, there: str) -> None:
    assert sources.relinked(f"see [it]({link}).", page, set()) == f"see [it]({there})."


def test_links_in_blocks_of_code_stay() -> None:
    text = "```text\n[a](../examples)\n```\n"
    assert sources.relinked(text, "index.md", set()) == text


def test_a_folder_brings_the_pages_of_all_its_files() -> None:
    needed: set[str] = set()
    sources.relinked("[all](../examples/extending)", "extend.md", needed)
    pages = sources.pages(needed)
    assert needed == {"examples/extending"}
    assert "[own_channel.py](own_channel.py.md)" in pages["source/examples/extending/index.md"]
    assert "def free_space" in pages["source/examples/extending/own_channel.py.md"]


def test_files_are_found_without_git_too(tmp_path: Path) -> None:
    for name in ("a.py", "b/c.md", ".hidden/d.py", "b/__pycache__/e.pyc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert {path.as_posix() for path in sources._unhidden(tmp_path)} == {"a.py", "b/c.md"}
