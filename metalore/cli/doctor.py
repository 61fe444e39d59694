"""`metalore doctor`: what is installed, what is missing for which command, and how to get it."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="For machines: every finding with its state.")]


def doctor(as_json: Json = False) -> None:
    """Say what is installed, what is missing for which command, and how to get it.

    Looks and imports nothing, so it answers at once, also in an install
    without any extra. The exit code is 1 if something is broken: a package
    too old or damaged, a folder that cannot be used. What is merely absent
    is not broken.

    [bold]Example[/bold]

        metalore doctor
    """
    from metalore.cli._doctor import main

    raise typer.Exit(main(["--json"] if as_json else []))
