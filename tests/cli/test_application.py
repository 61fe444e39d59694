"""The command as a whole: help, version, missing extras, bugs."""

from __future__ import annotations

import sys

import pytest
from cli.calling import call, refusal

from metalore import __version__
from metalore.cli import main, simulate


def test_the_version() -> None:
    assert call("--version").stdout == f"metalore {__version__}\n"


def test_help_fits_and_shows_examples() -> None:
    for words in ([], ["simulate"], ["demo"], ["scenarios"], ["scenarios", "show"], ["scenarios", "template"]):
        result = call(*words, "--help")
        assert result.exit_code == 0
        assert max(map(len, result.stdout.splitlines())) <= 80
        if words in (["simulate"], ["demo"], ["scenarios", "show"], ["scenarios", "template"]):
            assert f"metalore {' '.join(words)} " in result.stdout.partition("Example")[2]


def test_a_misspelt_command_is_a_usage_error() -> None:
    assert call("simluate").exit_code == 2
    assert call("simulate", "--episode-count", "3").exit_code == 2


@pytest.mark.parametrize("module", ["typer", "rich"])
def test_without_the_cli_extra_the_command_says_what_to_install(
    module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("metalore.cli.") and not name.endswith("_errors")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.split(".")[0] in (module, "typer")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(sys, "argv", ["metalore", "scenarios", "list"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    assert capsys.readouterr().err == f'metalore: {module} is missing: pip install "metalore[cli]"\n'


def test_a_part_of_the_extra_that_is_missing_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'pyarrow'", name="pyarrow.lib")

    monkeypatch.setattr(simulate, "with_settings", missing)
    assert refusal("simulate") == 'pyarrow is missing: pip install "metalore[cli]"'


@pytest.mark.parametrize(
    "bug", [TypeError("a bug"), ValueError("from somewhere else"), ModuleNotFoundError("x", name="metalore.nothing")]
)
def test_a_bug_keeps_its_traceback(bug: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise bug

    monkeypatch.setattr(simulate, "with_settings", broken)
    with pytest.raises(type(bug), match=str(bug)):
        call("simulate")
