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
from metalore.intent import _hub
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
        facts: `identity`, by which the training is known, and what else :func:`begin` shall give back.
        tensors: of the networks.
        optimizer, generator: as they are now.
    """
    state = optimizer.state_dict()
    moments = {f"optimizer.{n}.{name}": x for n, some in state["state"].items() for name, x in some.items()}
    content = {name: x.detach().cpu().contiguous().clone() for name, x in {**tensors, **moments}.items()}
    known = {"format": format_name, "groups": state["param_groups"], "generator": generator.bit_generator.state}
    with replacing(path) as temporary:
        save_file(content, temporary, {"facts": json.dumps({**known, **facts})})


def begin(
    out: Path | None,
    file: str,
    resume: bool,
    format_name: str,
    identity: Mapping[str, Any],
    restore: Callable[[Mapping[str, Any], Tensors], None],
) -> Path | None:
    """Go back to what :func:`write_epoch` kept, or forget it.

    Args:
        out: folder of the encoder; None: nothing is kept.
        file: its name for epochs.
        resume: whether to go back.
        format_name: that the epoch must have.
        identity: of the training that goes on.
        restore: is handed facts and tensors; what it raises over them is a damage.

    Returns:
        Where epochs are to be kept.

    Raises:
        IntentError: nothing to go back to, damaged, of another training, or `out` holds something else.
    """
    if out is None:
        if resume:
            raise IntentError("there is no folder with a training to go on with; name it as out")
        return None
    _hub.check_ours(out)
    path = out / _hub.TRAINING / file
    if not resume:
        path.unlink(missing_ok=True)
    elif path.exists():
        _read_epoch(path, format_name, identity, restore)
    else:
        raise IntentError(f"{out} holds no epoch to go on from; train without resume")
    return path


def _read_epoch(
    path: Path,
    format_name: str,
    identity: Mapping[str, Any],
    restore: Callable[[Mapping[str, Any], Tensors], None],
) -> None:
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
                    "go on as it began, or train without resume"
                )
        restore(facts, tensors)
    except IntentError:
        raise
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise IntentError(f"the training in {path} is damaged ({reason}); train without resume") from None


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
