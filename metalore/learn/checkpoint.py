"""The whole state of a training run as plain data: tensors and JSON, no pickles.

Saved between two rollouts: network, optimizers, counters, random generators, the batch of worlds, normalization, and
the replay buffer where there is one.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from metalore.files import replacing_folder
from metalore.learn.card import PolicyFolderError

TENSORS, VALUES = "state.safetensors", "state.json"
_COUNTERS = ("num_timesteps", "_n_updates", "_episode_num", "_num_timesteps_at_start", "_n_calls", "exploration_rate")
_BUFFER = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


class _Packer:
    """Takes arrays and tensors out of nested data, leaving names where they were."""

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}

    def pack(self, value: Any) -> Any:
        """`value` as JSON data."""
        if isinstance(value, torch.Tensor):
            return self._put(value.detach().cpu().clone().contiguous(), "tensor")
        if isinstance(value, np.ndarray):
            if value.dtype.fields is not None or value.dtype == np.uint64:  # what torch has no type for: as bytes
                raw = torch.from_numpy(np.frombuffer(value.tobytes(), np.uint8).copy())
                return self._put(raw, "bytes") | {"shape": value.shape}
            return self._put(torch.from_numpy(np.ascontiguousarray(value).copy()), "array")
        if isinstance(value, Mapping):
            return {"kind": "mapping", "items": [[self.pack(k), self.pack(v)] for k, v in value.items()]}
        if isinstance(value, list | tuple):
            return {"kind": type(value).__name__, "items": [self.pack(v) for v in value]}
        if isinstance(value, np.generic):
            return value.item()
        return value

    def _put(self, tensor: torch.Tensor, kind: str) -> dict[str, Any]:
        name = str(len(self.tensors))
        self.tensors[name] = tensor
        return {"kind": kind, "name": name}


def _unpack(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    kind = value["kind"]
    if kind == "tensor":
        return tensors[value["name"]]
    if kind == "array":
        return tensors[value["name"]].numpy().copy()
    if kind == "bytes":
        return tensors[value["name"]].numpy().tobytes()
    if kind == "mapping":
        return {_unpack(k, tensors): _unpack(v, tensors) for k, v in value["items"]}
    items = [_unpack(v, tensors) for v in value["items"]]
    return tuple(items) if kind == "tuple" else items


def save(folder: Path, model: Any, identity: Mapping[str, Any], progress: Mapping[str, Any]) -> None:
    """Write a checkpoint of a model and its batch of worlds."""
    write(folder, _state_of(model), identity, progress)


def write(folder: Path, state: Any, identity: Mapping[str, Any], progress: Mapping[str, Any]) -> None:
    """Write a state of nested arrays, tensors and plain data; an older one stays whole until the new one is."""
    packer = _Packer()
    content = {"identity": identity, "progress": dict(progress), "state": packer.pack(state)}
    with replacing_folder(folder) as fresh:
        save_file(packer.tensors, fresh / TENSORS)
        (fresh / VALUES).write_text(json.dumps(content), encoding="utf-8")


def load(folder: Path, model: Any, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Put a checkpoint's state into a fresh model of the same run; returns the run's progress.

    Raises:
        PolicyFolderError: damaged, or of a run with other settings, scenario or seed.
    """
    state, progress = read(folder, identity)
    _restore(model, state)
    return progress


def read(folder: Path, identity: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """State and progress of a checkpoint of the same run.

    Raises:
        PolicyFolderError: damaged, or of a run with another identity.
    """
    try:
        content = json.loads((folder / VALUES).read_text(encoding="utf-8"))
        tensors = load_file(folder / TENSORS)
        state = _unpack(content["state"], tensors)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise PolicyFolderError(f"checkpoint {folder} is damaged: {str(error).splitlines()[0]}") from None
    for name, value in identity.items():
        if content["identity"].get(name) != json.loads(json.dumps(value)):
            raise PolicyFolderError(f"checkpoint {folder} belongs to a run with another {name}; resume it with its own")
    return state, content["progress"]


def _state_of(model: Any) -> dict[str, Any]:
    normalizer = model.get_vec_normalize_env()
    batch = normalizer.venv.venv
    return {
        "parameters": model.get_parameters(),
        "log_ent_coef": getattr(model, "log_ent_coef", None),
        "counters": {name: getattr(model, name) for name in _COUNTERS if hasattr(model, name)},
        "last_obs": model._last_obs,
        "last_original_obs": getattr(model, "_last_original_obs", None),
        "last_episode_starts": model._last_episode_starts,
        "episodes": list(model.ep_info_buffer or []),
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(),  # noqa: NPY002  # Stable-Baselines3 draws from it
        "python": random.getstate(),
        "action_space": json.dumps(model.action_space.np_random.bit_generator.state),
        "world": batch.world.state(),
        "returns": batch._returns,
        "history": batch._observer.history,
        "normalizer": {
            "obs": _moments(getattr(normalizer, "obs_rms", None)),
            "ret": _moments(normalizer.ret_rms),
            "returns": normalizer.returns,
            "old_obs": normalizer.old_obs,
            "old_reward": normalizer.old_reward,
        },
        "buffer": buffer_of(model),
    }


def buffer_of(model: Any) -> dict[str, Any] | None:
    """What a model's replay buffer holds; None if it has none."""
    buffer = getattr(model, "replay_buffer", None)
    if buffer is None:
        return None
    return {name: getattr(buffer, name) for name in _BUFFER} | {"pos": buffer.pos, "full": buffer.full}


def restore_buffer(model: Any, kept: Mapping[str, Any] | None) -> None:
    """Put back what :func:`buffer_of` gave."""
    if kept is not None:
        buffer = model.replay_buffer
        for name in _BUFFER:
            getattr(buffer, name)[...] = kept[name]
        buffer.pos, buffer.full = kept["pos"], kept["full"]


def _moments(statistics: Any) -> tuple[Any, Any, Any] | None:
    if statistics is None:  # observations are not normalized
        return None
    return np.asarray(statistics.mean), np.asarray(statistics.var), statistics.count


def _restore(model: Any, state: dict[str, Any]) -> None:
    normalizer = model.get_vec_normalize_env()
    batch = normalizer.venv.venv
    model.set_parameters(state["parameters"], exact_match=True)
    if state["log_ent_coef"] is not None:
        model.log_ent_coef.data.copy_(state["log_ent_coef"])
    for name, value in state["counters"].items():
        setattr(model, name, value)
    from collections import deque

    model._last_obs, model._last_episode_starts = state["last_obs"], state["last_episode_starts"]
    if state["last_original_obs"] is not None:
        model._last_original_obs = state["last_original_obs"]
    model.ep_info_buffer = deque(state["episodes"], maxlen=model._stats_window_size)
    model.ep_success_buffer = deque(maxlen=model._stats_window_size)
    batch.world.restore(state["world"])
    batch._returns[...] = state["returns"]
    batch._observer.history[...] = state["history"]
    for statistics, name in ((getattr(normalizer, "obs_rms", None), "obs"), (normalizer.ret_rms, "ret")):
        if statistics is None:
            continue
        statistics.mean, statistics.var, statistics.count = state["normalizer"][name]
    normalizer.returns = state["normalizer"]["returns"]
    normalizer.old_obs, normalizer.old_reward = state["normalizer"]["old_obs"], state["normalizer"]["old_reward"]
    restore_buffer(model, state["buffer"])
    model.action_space.np_random.bit_generator.state = json.loads(state["action_space"])
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])  # noqa: NPY002
    torch.set_rng_state(state["torch"])  # last: nothing may draw after it
