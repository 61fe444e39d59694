"""Training that can be taken up again after its last finished epoch: one file of plain data, no pickles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from metalore.files import replacing
from metalore.forecast.errors import ForecastError

FILE = "training.safetensors"
"""Arrays, and JSON in its header, so that both are always of the same epoch."""
FORMAT = "metalore-training-1"

State = dict[str, Tensor]


class Run:
    """What changes as a network is trained, and where it is kept after each epoch.

    The run goes on with the same numbers on the same machine: network, optimizer, schedule, the best weights so far,
    and all generators that training draws from.

    Args:
        folder: where; unset: nothing is kept.
        identity: by which a run is known: JSON data in words that a person understands.
        network, optimizer, schedule: that are trained.
        generator: numpy's, that draws the batches.
    """

    def __init__(
        self,
        folder: Path | None,
        identity: Mapping[str, Any],
        network: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        generator: np.random.Generator,
    ) -> None:
        self._path = None if folder is None else Path(folder) / FILE
        self._identity = json.loads(json.dumps(dict(identity)))
        self._network, self._optimizer, self._schedule = network, optimizer, schedule
        self._generator, self._device = generator, next(network.parameters()).device

    def save(self, best: State, progress: Mapping[str, Any]) -> None:
        """Keep everything, whole or not at all; an older epoch is replaced.

        Args:
            best: weights of the best epoch.
            progress: numbers of the loop, as JSON data.
        """
        if self._path is None:
            return
        optimizer = self._optimizer.state_dict()
        tensors = {f"network.{name}": tensor for name, tensor in self._network.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in best.items()}
        for number, moments in optimizer["state"].items():
            tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in moments.items()}
        tensors |= {f"generator.{device}": state for device, state in self._torch_generators().items()}
        facts = {
            "format": FORMAT,
            "identity": self._identity,
            "progress": dict(progress),
            "groups": optimizer["param_groups"],
            "schedule": self._schedule.state_dict(),
            "generator": self._generator.bit_generator.state,
        }
        with replacing(self._path) as temporary:
            content = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
            save_file(content, temporary, {"facts": json.dumps(facts)})

    def load(self) -> tuple[State, dict[str, Any]] | None:
        """Go back to where an interrupted run was, if there is one.

        Returns:
            What :meth:`save` was given, or None.

        Raises:
            ForecastError: the file is damaged, or of another run.
        """
        if self._path is None or not self._path.exists():
            return None
        try:
            with safe_open(self._path, framework="pt") as file:
                facts = json.loads(file.metadata()["facts"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
            if facts["format"] != FORMAT:
                raise ValueError(f"its format is {facts['format']!r}, not {FORMAT!r}")
            self._check_identity(facts["identity"])
            self._restore(tensors, facts)
            progress: dict[str, Any] = facts["progress"]
        except ForecastError:
            raise
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ForecastError(
                f"the training kept in {self._path} is damaged ({reason}); delete it to begin anew"
            ) from None
        return _part(tensors, "best."), progress

    def done(self) -> None:
        """Remove what was kept, and the folder if nothing else is in it."""
        if self._path is None:
            return
        self._path.unlink(missing_ok=True)
        if self._path.parent.is_dir() and not any(self._path.parent.iterdir()):
            self._path.parent.rmdir()

    def _check_identity(self, kept: Mapping[str, Any]) -> None:
        for name, value in self._identity.items():
            if kept.get(name) != value:
                raise ForecastError(
                    f"the training kept in {self._path} differs in its {name} ({_difference(kept.get(name), value)}); "
                    "go on as it began, or delete it to begin anew"
                )

    def _restore(self, tensors: State, facts: Mapping[str, Any]) -> None:
        self._network.load_state_dict(_part(tensors, "network."))
        state: dict[int, State] = {}
        for name, tensor in _part(tensors, "optimizer.").items():
            number, _, moment = name.partition(".")
            state.setdefault(int(number), {})[moment] = tensor
        self._optimizer.load_state_dict({"state": state, "param_groups": facts["groups"]})
        self._schedule.load_state_dict(facts["schedule"])
        self._generator.bit_generator.state = facts["generator"]
        generators = _part(tensors, "generator.")
        torch.set_rng_state(generators["cpu"])
        if "cuda" in generators:
            torch.cuda.set_rng_state(generators["cuda"], self._device)

    def _torch_generators(self) -> State:
        states = {"cpu": torch.get_rng_state()}
        if self._device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self._device)
        return states


def _part(tensors: State, prefix: str) -> State:
    """Those whose names begin so, without that."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _difference(kept: Any, asked: Any) -> str:
    """In words; of mappings the first entry that differs."""
    if isinstance(kept, dict) and isinstance(asked, dict):
        name = next(name for name in {**kept, **asked} if kept.get(name) != asked.get(name))
        return f"{name}: {_difference(kept.get(name), asked.get(name))}"
    return f"{kept}, now {asked}"
