"""Policies by what a user types: ``fixed:0.3,0.4``, ``backlog-proportional``, ...

``queue-aware`` searches for its six numbers at its first call, ``queue-aware:A,B,C,A,B,C`` has them. ``look-ahead``
starts from that rule, ``look-ahead:POLICY`` from another; ``look-ahead-sampled`` does not know the future.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable

from metalore.policies.base import Policy
from metalore.policies.lookahead import LookAhead
from metalore.policies.queue_aware import QueueAware, SearchedQueueAware
from metalore.policies.rules import BacklogProportional, DemandProportional, Fixed, MaxWeight, Uniform

_RULES: dict[str, Callable[[], Policy]] = {
    "uniform": Uniform,
    "demand-proportional": DemandProportional,
    "backlog-proportional": BacklogProportional,
    "max-weight": MaxWeight,
    "max-weight-age": lambda: MaxWeight(ages=True),
}
NAMES = ("fixed:BANDWIDTH,COMPUTE", *_RULES, "queue-aware", "look-ahead")
"""What :func:`make_policy` understands."""
KNOWN = (*NAMES, "queue-aware:A,B,C,A,B,C", "look-ahead:POLICY", "look-ahead-sampled", "look-ahead-sampled:POLICY")
"""With what takes arguments or hours."""


class PolicyError(ValueError):
    """A policy that does not exist; the message names those that do."""


def make_policy(text: str) -> Policy:
    """The policy a text names.

    Raises:
        PolicyError: an unknown name, or arguments that are none.
    """
    name, _, arguments = text.partition(":")
    if name == "fixed":
        return _fixed(text, arguments)
    if name == "queue-aware":
        return _queue_aware(text, arguments)
    if name in ("look-ahead", "look-ahead-sampled"):
        return LookAhead(make_policy(arguments) if arguments else None, clairvoyant=name == "look-ahead")
    if name not in _RULES or arguments:
        close = difflib.get_close_matches(name, [*_RULES, *NAMES, "look-ahead-sampled"], n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise PolicyError(f"unknown policy {text!r}; {hint}known are {', '.join(KNOWN)}")
    return _RULES[name]()


def _fixed(text: str, arguments: str) -> Policy:
    try:
        bandwidth, compute = (float(part) for part in arguments.split(","))
        return Fixed(bandwidth, compute)
    except ValueError:
        raise PolicyError(f"a fixed split looks like fixed:0.3,0.4 with shares in [0, 1], not {text!r}") from None


def _queue_aware(text: str, arguments: str) -> Policy:
    if not arguments:
        return SearchedQueueAware()
    try:
        return QueueAware([float(part) for part in arguments.split(",")])
    except ValueError:
        raise PolicyError(
            f"a queue-aware rule looks like queue-aware:-1.2,-0.1,-0.2,-1.2,0.3,0.2 with six numbers, not {text!r}"
        ) from None
