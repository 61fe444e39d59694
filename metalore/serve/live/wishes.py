"""What a session may be asked for, and the choices that a page offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field, ValidationError

from metalore.scenario import City, Scenario, ScenarioError, builtin_names, load
from metalore.scenario.base import Settings

HOUR_S, DAY_S, WEEK_S = 3600.0, 86_400.0, 604_800.0
SPEEDS = (1, 5, 10, 30, 60, 120, 300, 600)
"""Simulated seconds in a second, as the page offers them."""
MOST_TEXT = 4096
"""Characters in a message from a viewer."""

SPLITS = (
    "backlog-proportional", "max-weight", "max-weight-age", "demand-proportional", "uniform", "fixed:0.5,0.5",
    "fixed:0.8,0.8", "fixed:0.2,0.2",
)  # fmt: skip
RECOMMENDERS = ("forecast", "hpa", "vpa", "threshold", "static")
FORECASTERS = ("last-value", "smoothing", "ridge", "boosting")
"""Those that are fitted in a moment to what a city has shown so far."""


class Side(Settings):
    """How one city is run."""

    split: str = Field("backlog-proportional", max_length=100, description="Policy that splits bandwidth and compute.")
    recommender: str = Field(
        "forecast", max_length=100, description="What sizes zones; `static`: the scenario's sizes."
    )


class Wishes(Settings):
    """What a session shows."""

    scenario: str = Field("city-30", max_length=100, description="One of those that are offered.")
    seed: int = Field(0, ge=0, lt=2**53, description="Of everything random.")
    day: int = Field(0, ge=0, le=6, description="Day on which a city begins; 0 is Monday.")
    hour: float = Field(8.0, ge=0, lt=24, description="Hour of that day.")
    forecaster: str = Field("last-value", max_length=100, description="Whose forecasts are shown and decided by.")
    side: Side = Field(default_factory=Side, description="The city that is shown.")
    rival: Side | None = Field(None, description="The same city beside it, run otherwise; unset: none.")

    @property
    def sides(self) -> tuple[Side, ...]:
        """One or two."""
        return (self.side,) if self.rival is None else (self.side, self.rival)


class Command(Settings):
    """What a viewer asks for."""

    do: Literal["play", "pause", "step", "speed", "begin", "crowd", "fail", "mend"]
    zone: str | None = Field(None, max_length=200, description="Of crowd, fail and mend.")
    value: float | None = Field(None, ge=SPEEDS[0], le=SPEEDS[-1], description="Of speed, simulated s per s.")
    wishes: Wishes | None = Field(None, description="Of begin.")


def read_command(text: str) -> Command:
    """A command from JSON.

    Raises:
        ScenarioError: it is none, in one sentence.
    """
    if len(text) > MOST_TEXT:
        raise ScenarioError(f"the message has {len(text):,} characters; at most {MOST_TEXT:,} are read")
    try:
        command = Command.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the message"
        raise ScenarioError(f"{where}: {first['msg']}") from None
    needed = {"speed": "value", "begin": "wishes", "crowd": "zone", "fail": "zone", "mend": "zone"}.get(command.do)
    if needed is not None and getattr(command, needed) is None:
        raise ScenarioError(f"the command {command.do} needs {needed}")
    return command


@dataclass(frozen=True)
class Offer:
    """What may be chosen: names that are built in, and what the one who started the page has added.

    A browser never names a file: what is not offered is refused.

    Attributes:
        scenarios: by name; values are what :func:`metalore.scenario.load` takes.
        forecasters: by name; values are names, or folders of kept ones.
        splits: what makes further policies for a scenario, by name.
        wishes: what a session begins with.
    """

    scenarios: Mapping[str, str] = field(default_factory=lambda: {name: name for name in builtin_names()})
    forecasters: Mapping[str, str] = field(default_factory=lambda: {name: name for name in FORECASTERS})
    splits: Mapping[str, Callable[[Scenario], Any]] = field(default_factory=dict)
    wishes: Wishes = field(default_factory=Wishes)

    def check(self, wishes: Wishes) -> None:
        """Refuse what is not offered or cannot be, before anything is run.

        Raises:
            ValueError: of scenario, policy, recommender or forecaster, in one sentence.
        """
        for what, name, known in (
            ("scenario", wishes.scenario, self.scenarios),
            ("forecaster", wishes.forecaster, self.forecasters),
        ):
            if name not in known:
                raise ScenarioError(f"the {what} {name!r} is not offered here; there are {', '.join(known)}")
        scenario = self.scenario(wishes)
        for side in wishes.sides:
            self.policy(side.split, scenario)
            check_recommender(side.recommender)

    def scenario(self, wishes: Wishes) -> Scenario:
        """The scenario that is wished for, as long as a session may run."""
        return beginning_at(load(self.scenarios[wishes.scenario]), wishes.day, wishes.hour)

    def policy(self, name: str, scenario: Scenario) -> Any:
        """What splits.

        Raises:
            ValueError: no such policy, or one that takes too long for a page.
        """
        from metalore.policies import PolicyError, make_policy

        if name in self.splits:
            return self.splits[name](scenario)
        if name.startswith("look-ahead") or name == "queue-aware":
            raise PolicyError(
                f"{name} searches for minutes; give queue-aware its six numbers, or choose another policy"
            )
        return make_policy(name)

    def described(self) -> dict[str, Any]:
        """For the page."""
        return {
            "scenarios": list(self.scenarios),
            "splits": [*self.splits, *SPLITS],
            "recommenders": list(RECOMMENDERS),
            "forecasters": list(self.forecasters),
            "speeds": list(SPEEDS),
        }


def check_recommender(text: str) -> None:
    """Refuse what a session cannot run.

    Raises:
        ValueError: there is no such recommender or setting, or it knows the future.
    """
    from metalore.autoscale.errors import AutoscaleError
    from metalore.autoscale.registry import read_recommender

    if read_recommender(text)[0] == "foresight":
        raise AutoscaleError("foresight is handed the future, which only `metalore autoscale compare` knows")


def beginning_at(scenario: Scenario, day: int, hour: float) -> Scenario:
    """A city that begins at an hour of the week and runs for a week; its events keep their hours.

    A scenario without a city stays as it is, and one with people as counted begins when the counts do.
    """
    city = scenario.city
    if city is None or city.counts is not None:
        return scenario
    began_s, begins_s = (DAY_S * d + HOUR_S * h for d, h in ((city.start_day, city.start_hour), (day, hour)))
    moved = city.model_copy(
        update={"start_day": day, "start_hour": hour, "events": _moved_events(city, (begins_s - began_s) % WEEK_S)}
    )
    return scenario.model_copy(update={"city": moved, "max_steps": round(WEEK_S / scenario.step_s)})


def _moved_events(city: City, by_s: float) -> tuple[Any, ...]:
    """Events as many seconds nearer; those that are over by then and do not come again are left out."""
    moved = []
    for event in city.events:
        from_s = event.from_s - by_s
        if from_s < 0 and event.every_s is not None:
            from_s %= event.every_s
        if from_s >= 0:
            moved.append(event.model_copy(update={"from_s": from_s}))
    return tuple(moved)
