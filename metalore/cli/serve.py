"""`metalore serve`: forecasts over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Checkpoint = Annotated[
    Path | None, typer.Option("--checkpoint", metavar="DIR", help="A saved forecaster; unset: the bundled one.")
]
Window = Annotated[
    Path | None, typer.Option("--window", metavar="FILE", help="Keeps the window over restarts; unset: in memory.")
]
Intent = Annotated[
    Path | None, typer.Option("--intent", metavar="DIR", help="Encoders and their fusion, for /embed; unset: none.")
]
Policies = Annotated[
    Path | None, typer.Option("--policies", metavar="FILE", help="Policies that media must fit, as JSON; unset: none.")
]
Host = Annotated[str | None, typer.Option("--host", help="Address to listen on; unset: 127.0.0.1.")]
Port = Annotated[int | None, typer.Option("--port", help="Port to listen on; unset: 8000; 0: a free one.")]
Clock = Annotated[str | None, typer.Option("--clock", metavar="model|unix", help="What time_s of rows counts from.")]
TokenFile = Annotated[
    Path | None, typer.Option("--token-file", metavar="FILE", help="Holds the token that requests must carry.")
]


def serve(
    checkpoint: Checkpoint = None,
    window: Window = None,
    intent: Intent = None,
    policies: Policies = None,
    host: Host = None,
    port: Port = None,
    clock: Clock = None,
    token_file: TokenFile = None,
) -> None:
    """Serve forecasts over HTTP, from telemetry as it is posted.

    Documentation of all paths is at /docs. Every setting can be given as an
    environment variable METALORE_SERVE_NAME; the token only so, or in a file.

    [bold]Examples[/bold]

        metalore serve

        metalore serve --checkpoint kept --window window.sqlite --port 8080
    """
    from metalore.serve import ServeSettings, run

    settings = ServeSettings.from_environment(
        checkpoint=checkpoint,
        window=window,
        intent=intent,
        policies=policies,
        host=host,
        port=port,
        clock=clock,
        token_file=token_file,
    )
    run(settings)
