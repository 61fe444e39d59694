"""Policies by what a user types: ``fixed:0.3,0.4``, ``backlog-proportional``, ..."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from metalore.policies.base import Policy
from metalore.policies.rules import BacklogProportional, DemandProportional, Fixed, MaxWeight, Uniform

_RULES: dict[str, Callable[[], Policy]] = {
    "uniform": Uniform,
    "demand-proportional": DemandProportional,
    "backlog-proportional": BacklogProportional,
    "max-weight": MaxWeight,
    "max-weight-age": lambda: MaxWeight(ages=True),
}
NAMES = ("fixed:BANDWIDTH,COMPUTE", *_RULES)
"""What :func:`make_policy` understands."""


class PolicyError(ValueError):
    """A policy that does not exist; the message names those that do."""


def make_policy(text: str) -> Policy:
    """The policy a text names.

    Raises:
        PolicyError: an unknown name, or a fixed split that is none.
    """
    name, _, arguments = text.partition(":")
    if name == "fixed":
        try:
            bandwidth, compute = (float(part) for part in arguments.split(","))
            return Fixed(bandwidth, compute)
        except ValueError:
            raise PolicyError(f"a fixed split looks like fixed:0.3,0.4 with shares in [0, 1], not {text!r}") from None
    if name not in _RULES or arguments:
        close = difflib.get_close_matches(name, _RULES, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise PolicyError(f"unknown policy {text!r}; {hint}known are {', '.join(NAMES)}")
    return _RULES[name]()
