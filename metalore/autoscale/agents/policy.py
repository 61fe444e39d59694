"""A trained agent: a small network in plain arrays, and the folder it is kept in. Needs no learner to act.

======================  ================================================================================================
`agent.json`            format, what it sees and does, how it was trained
`weights.safetensors`   `0.weight`, `0.bias`, `1.weight`, ...: layers as [out, in] and [out], or for zones with networks
                        of their own [z, out, in] and [z, out]
======================  ================================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from metalore.autoscale.agents.features import Observer
from metalore.autoscale.agents.ranges import MOVES, Ranges, joint_mask
from metalore.autoscale.errors import AutoscaleError
from metalore.files import replacing

FORMAT = "metalore-zone-agent-1"
CARD, WEIGHTS = "agent.json", "weights.safetensors"
_ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0.0)}
Layers = Sequence[tuple[np.ndarray, np.ndarray]]
"""Weights [out, in] and biases [out], or [z, out, in] and [z, out]."""


@dataclass(frozen=True, eq=False)
class AgentPolicy:
    """Acts greedily: the allowed move whose output is highest.

    Attributes:
        layers: from features to an output for each of the 27 moves.
        activation: between layers, `tanh` or `relu`.
        observer: what it sees.
        ranges: within which it acts.
        masked: whether moves that are not allowed are left out; else they may be chosen, and keep.
        zones: names, if each has a network of its own; empty: one for all.
        facts: how it was trained, for people.

    Raises:
        AutoscaleError: layers that do not fit each other, the features or the moves.
    """

    layers: Layers
    activation: str
    observer: Observer
    ranges: Ranges
    masked: bool = True
    zones: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.activation not in _ACTIVATIONS:
            raise AutoscaleError(f"the agent's activation is {self.activation!r}; tanh and relu are known")
        size = self.observer.size
        lead = (len(self.zones),) if self.zones else ()
        for i, (weight, bias) in enumerate(self.layers):
            if weight.shape != (*lead, bias.shape[-1], size) or bias.shape != (*lead, bias.shape[-1]):
                raise AutoscaleError(
                    f"layer {i} of the agent has weights {weight.shape} and biases {bias.shape}, which do not fit "
                    f"{size} inputs" + (f" of {len(self.zones)} zones" if self.zones else "")
                )
            size = bias.shape[-1]
        if size != len(MOVES):
            raise AutoscaleError(f"the agent has {size} outputs; there are {len(MOVES)} moves")

    def outputs(self, features: np.ndarray) -> np.ndarray:
        """Values or logits of the moves, [..., 27], of features [..., f]; [..., z, f] if zones have their own."""
        x = np.asarray(features, np.float32)
        for i, (weight, bias) in enumerate(self.layers):
            x = np.einsum("...zi,zoi->...zo", x, weight) + bias if self.zones else x @ weight.T + bias
            x = x if i == len(self.layers) - 1 else _ACTIVATIONS[self.activation](x)
        return x

    def moves(self, features: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Moves [..., r] of features [..., f]; `mask` [..., r, 3] as :meth:`Ranges.mask` gives it."""
        outputs = self.outputs(features)
        if self.masked:
            outputs = np.where(joint_mask(mask), outputs, -np.inf)
        moves: np.ndarray = MOVES[outputs.argmax(axis=-1)]
        return moves

    # -- on disk -------------------------------------------------------------------------------------------------------

    def save(self, folder: Path | str) -> None:
        """Write the folder; it appears whole.

        Raises:
            OSError: it cannot be written.
        """
        from safetensors.numpy import save_file

        arrays: dict[str, np.ndarray] = {}
        for i, (weight, bias) in enumerate(self.layers):
            arrays |= {f"{i}.weight": np.ascontiguousarray(weight), f"{i}.bias": np.ascontiguousarray(bias)}
        card = {
            "format": FORMAT,
            "activation": self.activation,
            "layers": len(self.layers),
            "masked": self.masked,
            "zones": list(self.zones),
            "ranges": {name: list(values) for name, values in vars(self.ranges).items()},
            "observer": {
                name: list(value) if isinstance(value, tuple) else value for name, value in vars(self.observer).items()
            },
            "facts": dict(self.facts),
        }
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / WEIGHTS) as temporary:
            save_file(arrays, temporary)
        with replacing(folder / CARD) as temporary:
            temporary.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | str) -> AgentPolicy:
        """From its folder.

        Raises:
            AutoscaleError: there is none, or it is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(folder)
        try:
            card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        except OSError:
            raise AutoscaleError(f"{folder} holds no trained agent: {CARD} is missing or cannot be read") from None
        except ValueError:
            raise AutoscaleError(f"{folder / CARD} is damaged: it is no JSON") from None
        if not isinstance(card, dict) or card.get("format") != FORMAT:
            raise AutoscaleError(f"{folder / CARD} is no card of the format {FORMAT}")
        try:
            arrays = load_file(folder / WEIGHTS)
            layers = [(arrays[f"{i}.weight"], arrays[f"{i}.bias"]) for i in range(int(card["layers"]))]
            ranges = Ranges(**{name: tuple(values) for name, values in card["ranges"].items()})
            observer = Observer(**{name: _tuple(value) for name, value in card["observer"].items()})
            settings = {name: card[name] for name in ("activation", "masked", "facts")}
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, AutoscaleError):
                raise
            raise AutoscaleError(f"the agent in {folder} is damaged: {str(error).splitlines()[0]}") from None
        return cls(layers, observer=observer, ranges=ranges, zones=tuple(card["zones"]), **settings)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
