"""What our own trainings keep after each epoch, so that they go on exactly; and their learning rate."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from metalore.files import replacing
from metalore.intent.errors import IntentError

Tensors = Mapping[str, Tensor]


def learning_rate(done: float) -> float:
    """Part of the highest one, when so much of the training is done: up over a tenth, then down along a cosine."""
    return done / 0.1 if done < 0.1 else (1 + math.cos(math.pi * (done - 0.1) / 0.9)) / 2


def part(tensors: Tensors, prefix: str) -> dict[str, Tensor]:
    """Those whose names begin so, without that."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def write_epoch(
    path: Path,
    format_name: str,
    facts: Mapping[str, Any],
    tensors: Tensors,
    optimizer: torch.optim.Optimizer,
    generator: np.random.Generator,
) -> None:
    """Keep everything that changes, whole or not at all; an older epoch is replaced.

    Args:
        path: of the file.
        format_name: of what is kept.
        facts: `identity`, by which the training is known, and what else :func:`read_epoch` shall give back.
        tensors: of the networks.
        optimizer, generator: as they are now.
    """
    state = optimizer.state_dict()
    moments = {f"optimizer.{n}.{name}": x for n, some in state["state"].items() for name, x in some.items()}
    content = {name: x.detach().cpu().contiguous().clone() for name, x in {**tensors, **moments}.items()}
    known = {"format": format_name, "groups": state["param_groups"], "generator": generator.bit_generator.state}
    with replacing(path) as temporary:
        save_file(content, temporary, {"facts": json.dumps({**known, **facts})})


def read_epoch(
    path: Path,
    format_name: str,
    identity: Mapping[str, Any],
    restore: Callable[[Mapping[str, Any], Tensors], None],
    instead: str,
) -> None:
    """Go back to what :func:`write_epoch` kept.

    Args:
        path: of the file.
        format_name: that it must have.
        identity: of the training that goes on.
        restore: is handed facts and tensors; what it raises over them is a damage.
        instead: what to do if it cannot go on.

    Raises:
        IntentError: damaged, or of another training.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads(file.metadata()["facts"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
        if facts["format"] != format_name:
            raise ValueError(f"its format is {facts['format']!r}, not {format_name!r}")
        for name, value in identity.items():
            if facts["identity"][name] != value:
                raise IntentError(
                    f"the training in {path} differs in its {name} ({facts['identity'][name]}, now {value}); "
                    f"go on as it began, or {instead}"
                )
        restore(facts, tensors)
    except IntentError:
        raise
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise IntentError(f"the training in {path} is damaged ({reason}); {instead}") from None


def restore_optimizer(
    optimizer: torch.optim.Optimizer, generator: np.random.Generator, facts: Mapping[str, Any], tensors: Tensors
) -> None:
    """As they were when the epoch was kept."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in part(tensors, "optimizer.").items():
        number, _, moment = name.partition(".")
        state.setdefault(int(number), {})[moment] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": facts["groups"]})
    generator.bit_generator.state = facts["generator"]
