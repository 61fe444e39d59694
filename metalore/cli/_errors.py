"""Which errors are a person's mistake or a machine's refusal, and the one sentence they get."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType

CLI_EXTRA = frozenset({"jinja2", "matplotlib", "pandas", "pyarrow", "rich", "tomlkit", "typer"})
INTENT_EXTRA = frozenset({"PIL", "accelerate", "jiwer", "sacrebleu", "soundfile", "transformers"})
KUBERNETES_EXTRA = frozenset({"httpx2", "lightkube"})
LEARN_EXTRA = frozenset({"safetensors", "sb3_contrib", "stable_baselines3", "tensorboard", "torch"})
SERVE_EXTRA = frozenset({"fastapi", "prometheus_client", "starlette", "uvicorn"})
"""Modules that come with the extras of these names."""

_PACKAGE = Path(__file__).parents[1]


def sentence_of(error: BaseException) -> str | None:
    """What to tell about an error, in one sentence; None for a bug, which deserves its traceback."""
    if isinstance(error, ModuleNotFoundError):
        module = (error.name or "").partition(".")[0]
        extras = {
            "cli": CLI_EXTRA,
            "intent": INTENT_EXTRA,
            "kubernetes": KUBERNETES_EXTRA,
            "learn": LEARN_EXTRA,
            "serve": SERVE_EXTRA,
        }
        for extra, modules in extras.items():
            if module in modules:
                return f'{module} is missing: pip install "metalore[{extra}]"'
        return None
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        return _of_file(error)
    if _is_expected(error):
        return " ".join(str(error).split())
    return None


def _of_file(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return where + (error.strerror or str(error) or type(error).__name__)


def _is_expected(error: BaseException) -> bool:
    """Whether the package raised it to tell a person something; such errors come from its own lines."""
    from metalore.world import ExtensionError

    if isinstance(error, ExtensionError):
        return True
    if isinstance(error, ValueError):
        return _raised_here(error.__traceback__)
    gymnasium = sys.modules.get("gymnasium.error")
    return gymnasium is not None and isinstance(error, gymnasium.DependencyNotInstalled)


def _raised_here(traceback: TracebackType | None) -> bool:
    if traceback is None:
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return Path(traceback.tb_frame.f_code.co_filename).is_relative_to(_PACKAGE)
