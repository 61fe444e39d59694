"""The `metalore` command. Each subcommand lives in a file of its own; :mod:`metalore.cli.application` lists them."""

from __future__ import annotations

import sys

from metalore.cli._errors import sentence_of


def main() -> None:
    """Run the command line and leave with its exit code: 0 done, 1 refused, 2 misspelt, 130 interrupted."""
    try:
        from metalore.cli.application import app
    except ModuleNotFoundError as missing:
        if sys.argv[1:2] == ["doctor"]:  # which needs none of what is missing
            from metalore.cli._doctor import main as diagnose

            sys.exit(diagnose(sys.argv[2:]))
        sentence = sentence_of(missing)
        if sentence is None:
            raise
        print(f"metalore: {sentence}", file=sys.stderr)
        sys.exit(1)
    app(prog_name="metalore")
