"""Quantiles as networks learn them: heads that cannot cross, and the loss that makes them quantiles."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from metalore.forecast.forecaster import MEDIAN, QUANTILES


def ordered(raw: Tensor) -> Tensor:
    """Quantiles [..., q] that rise, from free numbers [..., q]: the middle one, and steps of softplus down and up."""
    middle, below, above = raw[..., :1], softplus(raw[..., 1 : MEDIAN + 1]), softplus(raw[..., MEDIAN + 1 :])
    lower = middle - below.flip(-1).cumsum(-1).flip(-1)
    return torch.cat([lower, middle, middle + above.cumsum(-1)], dim=-1)


def quantile_loss(quantiles: Tensor, actual: Tensor) -> Tensor:
    """Mean of the quantile loss over what was measured; 0 if nothing was.

    Args:
        quantiles: [..., q].
        actual: [...], NaN for gaps.
    """
    known = ~actual.isnan()
    errors = torch.where(known, actual, 0.0).unsqueeze(-1) - quantiles
    levels = torch.tensor(QUANTILES, device=errors.device, dtype=errors.dtype)
    loss = torch.maximum(levels * errors, (levels - 1) * errors).mean(dim=-1)
    return (loss * known).sum() / known.sum().clamp(min=1)
