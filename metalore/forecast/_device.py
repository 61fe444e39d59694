"""Where networks are computed."""

from __future__ import annotations

import torch

from metalore.forecast.errors import ForecastError


def device_of(name: str | None) -> torch.device:
    """The device of a name; unset: a GPU if there is one.

    Raises:
        ForecastError: torch knows no such device, or cannot use it here.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise ForecastError(f"torch cannot compute on {name!r} here; leave device out, or name cpu or cuda") from None
    return device
