"""Options that several subcommands share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metalore.scenario import Scenario, load, parse_override

if TYPE_CHECKING:
    from metalore.policies import Policy

Override = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change a setting, like users.count=20; repeatable."),
]
Threads = Annotated[int, typer.Option("--threads", metavar="T", help="Threads that step the worlds.")]
Seed = Annotated[int, typer.Option("--seed", metavar="S", help="Seed of the first episode; the next ones count up.")]
Episodes = Annotated[int, typer.Option("--episodes", metavar="N", help="Episodes under each policy.")]

# Of `metalore demo` and `metalore reproduce`:
TrainSteps = Annotated[
    int | None, typer.Option("--steps", metavar="N", help="At most so many steps of a training run.")
]
StudyEpisodes = Annotated[int, typer.Option("--episodes", metavar="N", help="Per point of a search and per policy.")]
SearchGrid = Annotated[int, typer.Option("--grid", metavar="N", help="Side of the grid of fixed splits.")]
LookAhead = Annotated[int, typer.Option("--look-ahead", metavar="N", help="Episodes for the look-ahead; 0: none.")]


def policies_of(texts: Sequence[str]) -> dict[str, Policy]:
    """Policies by what a person calls them; what is the same twice comes once."""
    from metalore.policies import make_policy

    policies: dict[str, Policy] = {}
    for text in texts:
        policy = make_policy(text)
        if policy.name not in {known.name for known in policies.values()}:
            policies[text] = policy
    return policies


def overrides_of(texts: Sequence[str] | None) -> dict[str, Any]:
    """What `--set` said, by path; of two for the same path the last counts."""
    return dict(parse_override(text) for text in texts or ())


def with_settings(scenario: str, texts: Sequence[str] | None) -> Scenario:
    """A scenario with what `--set` said."""
    return load(scenario, **overrides_of(texts))
