"""Typing a command in a test."""

from __future__ import annotations

from typing import Any

from typer.testing import CliRunner

from metalore.cli.application import app


def call(*words: Any) -> Any:
    """What a command printed (`stdout`, `stderr`) and its `exit_code`, in a terminal of 80 columns."""
    result = CliRunner(env={"COLUMNS": "80", "TERM": "dumb", "NO_COLOR": "1"}).invoke(
        app, [str(word) for word in words]
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def refusal(*words: Any) -> str:
    """The one sentence that a command refuses with."""
    result = call(*words)
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("metalore: ")
    assert result.stderr.count("\n") == 1
    return str(result.stderr.removeprefix("metalore: ").strip())
