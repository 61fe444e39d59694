"""How a service is run: one frozen class, from environment variables or options."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr

from metalore.scenario.base import NonNegative, Positive, Settings
from metalore.serve.errors import ServeError

PREFIX = "METALORE_SERVE_"
BUNDLED = Path("results/model")
"""Where `make model` puts the model that is served if none is named."""


class ServeSettings(Settings):
    """Settings of a service. Each can be given as an environment variable METALORE_SERVE_NAME.

    The token is taken from the environment or from a file, never from the command line, where every process can see it.
    """

    checkpoint: Path | None = Field(
        None, description="Folder of a forecaster, as save_forecaster writes it; unset: the bundled model."
    )
    window: Path | None = Field(
        None, description="File that keeps the window (SQLite); unset: memory only, and a restart begins empty."
    )
    intent: Path | None = Field(
        None, description="Folder of encoders and their fusion, for `/embed`; unset: nothing is embedded."
    )
    policies: Path | None = Field(
        None, description="File of policies by which items of `/embed` are judged; unset: none is judged."
    )
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 is every one of this machine.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    clock: Literal["model", "unix"] = Field(
        "model",
        description="What time_s of rows counts from: `model`, the start of what the model was fitted to; `unix`, 1970 "
        "(UTC), so that hours and weekdays are those of UTC.",
    )
    token: SecretStr | None = Field(None, description="Bearer token that requests must carry; unset: none.")
    token_file: Path | None = Field(None, description="File that holds the token; for mounted secrets.")
    late_intervals: int = Field(12, ge=0, description="A row may be so many intervals late.")
    max_body_bytes: int = Field(4 * 2**20, ge=1024, description="Largest body of a request.")
    max_media_bytes: int = Field(32 * 2**20, ge=1024, description="Largest body of a request to `/embed`.")
    max_media_items: int = Field(32, ge=1, description="Most items in one request to `/embed`.")
    max_batch_zones: int = Field(10_000, ge=1, description="Most zones in one request.")
    max_connections: int = Field(1024, ge=1, description="Open connections beyond which new ones are closed.")
    header_timeout_s: Positive = Field(10.0, description="A connection must send the head of a request in so many s.")
    request_timeout_s: Positive = Field(30.0, description="A request must be read and answered in so many s.")
    keep_alive_s: Positive = Field(15.0, description="An idle connection is closed after so many s.")
    reload_s: NonNegative = Field(2.0, description="How often the checkpoint is looked at, s; 0: never.")
    threads: int = Field(1, ge=1, description="Threads of torch.")
    live_sessions: int = Field(2, ge=0, description="Cities that the page at `/live` may run at once; 0: no such page.")
    live_viewers: int = Field(32, ge=1, description="Pages that may look at them.")
    live_cluster: bool = Field(
        False, description="Whether the page tells what changes in a Kubernetes namespace; read only."
    )
    live_namespace: str | None = Field(None, description="Which one; unset: the pod's own, or the kubeconfig's.")
    live_context: str | None = Field(None, description="Of the kubeconfig; unset: its current one.")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None, **given: Any) -> Self:
        """From variables METALORE_SERVE_*; what is given and not None counts before them.

        Raises:
            ScenarioError: a variable of an unknown name, or a value that cannot be.
        """
        environment = os.environ if environment is None else environment
        found = {name.removeprefix(PREFIX).lower(): value for name, value in environment.items()
                 if name.startswith(PREFIX) and value}  # fmt: skip
        return cls(**(found | {name: value for name, value in given.items() if value is not None}))

    def secret(self) -> str | None:
        """The token, if there is one.

        Raises:
            ServeError: the file cannot be read, or is empty.
        """
        if self.token_file is None:
            return None if self.token is None else self.token.get_secret_value()
        try:
            token = self.token_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ServeError(f"the token file {self.token_file} cannot be read ({error.strerror})") from None
        if not token:
            raise ServeError(f"the token file {self.token_file} is empty; it must hold the token")
        return token
