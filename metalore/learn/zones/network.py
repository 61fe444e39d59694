"""Networks that differ by zone: every zone its own weights, in one module.

Independent learners share nothing; as one network whose zones touch no common parameter they take the same gradients,
and one optimizer steps them all (Adam keeps its moments parameter by parameter). What is common is the clipping of the
gradient and the normalization of advantages within a minibatch.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from torch import Tensor, nn


class ZoneLinear(nn.Module):
    """A linear layer for each zone.

    Args:
        zones: how many.
        inputs, outputs: of each.
        gain: of the orthogonal weights it begins with.
    """

    def __init__(self, zones: int, inputs: int, outputs: int, gain: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(zones, outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(zones, outputs))
        for weight in self.weight:
            nn.init.orthogonal_(weight, gain)

    def forward(self, x: Tensor, zone: Tensor) -> Tensor:
        """Outputs [b, outputs] of inputs [b, inputs] of the zones [b]."""
        return torch.einsum("bi,boi->bo", x, self.weight[zone]) + self.bias[zone]


class ZoneMlp(nn.Module):
    """Layers with tanh between them, for each zone. The last ones of a row's inputs say by a one which zone it is."""

    def __init__(self, zones: int, sizes: list[int], last_gain: float) -> None:
        super().__init__()
        self.zones = zones
        gains = [math.sqrt(2)] * (len(sizes) - 2) + [last_gain]
        self.layers = nn.ModuleList(
            ZoneLinear(zones, a, b, gain) for a, b, gain in zip(sizes[:-1], sizes[1:], gains, strict=True)
        )

    def forward(self, rows: Tensor) -> Tensor:
        """Outputs [b, o] of rows [b, f + zones]."""
        x, zone = rows[:, : -self.zones], rows[:, -self.zones :].argmax(dim=1)
        for i, layer in enumerate(self.layers):
            x = layer(x if i == 0 else torch.tanh(x), zone)
        return x


class _Pass(nn.Module):
    """Rows as they are, to both heads."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.latent_dim_pi = self.latent_dim_vf = size

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x

    def forward_actor(self, x: Tensor) -> Tensor:
        return x

    def forward_critic(self, x: Tensor) -> Tensor:
        return x


class IndependentPolicy(MaskableActorCriticPolicy):
    """An actor and a critic for each zone. `zones` says how many there are, `hidden` how wide their layers are."""

    def __init__(self, *args: Any, zones: int, hidden: tuple[int, ...], **kwargs: Any) -> None:
        self._zones, self._hidden = zones, tuple(hidden)
        super().__init__(*args, **kwargs)

    def _build_mlp_extractor(self) -> None:
        self.mlp_extractor = _Pass(self.features_dim)

    def _build(self, lr_schedule: Any) -> None:
        self._build_mlp_extractor()
        own = self.features_dim - self._zones
        self.action_net = ZoneMlp(self._zones, [own, *self._hidden, self.action_space.n], 0.01)
        self.value_net = ZoneMlp(self._zones, [own, *self._hidden, 1], 1.0)
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)
