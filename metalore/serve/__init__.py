"""Forecasts over HTTP: a window that is fed, predictions from it, metrics, and checkpoints that are swapped in use.

`uvicorn metalore.serve:app` makes the app from environment variables when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metalore.serve.errors import ServeError
from metalore.serve.settings import ServeSettings

if TYPE_CHECKING:
    from fastapi import FastAPI

    from metalore.serve.application import create_app, run

    app: FastAPI

__all__ = ["ServeError", "ServeSettings", "app", "create_app", "run"]  # what needs FastAPI is loaded on first use


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from metalore.serve import application

    if name == "app":
        globals()["app"] = made = application.create_app(ServeSettings.from_environment())
        return made
    return getattr(application, name)
