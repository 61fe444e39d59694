"""What makes a city of many stations: the rhythm of its zones, what goes on in them, and events that draw a crowd."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from metalore.scenario.base import NonNegative, Positive, Probability, Settings

HOURS = 24
Hourly = Annotated[tuple[NonNegative, ...], Field(min_length=HOURS, max_length=HOURS)]
_FLAT: Hourly = (1.0,) * HOURS


class Activity(Settings):
    """Something that goes on in a zone for a while."""

    name: str = Field(description="What kinds of zone call it.", min_length=1)
    mean_s: Positive = Field(3600.0, description="Mean duration; log-normal.")
    variation: NonNegative = Field(0.5, le=5, description="Standard deviation of the duration, relative to the mean.")
    from_hour: float = Field(0.0, ge=0, lt=24, description="It begins from this hour of the day on ...")
    to_hour: float = Field(24.0, gt=0, le=24, description="... and before this one; smaller than from_hour: overnight.")
    days: Literal["all", "weekdays", "weekend"] = Field("all", description="Days on which it begins.")
    pull: NonNegative = Field(1.0, description="What it does to the zone's pull on people, as a factor.")
    request_factor: NonNegative = Field(1.0, description="... to how often users ask.")
    data_factor: NonNegative = Field(1.0, le=1e4, description="... to the data of a request.")
    compute_factor: NonNegative = Field(1.0, le=1e4, description="... to the work of a request.")


class ZoneKind(Settings):
    """Zones of one kind: how many people they pull in each hour, how often these ask, and what goes on there.

    Entry h of an hourly row stands for the middle of hour h; between middles values run linearly.
    """

    name: str = Field("mixed", description="What stations call it.", min_length=1)
    pull: Hourly = Field(_FLAT, description="People that a zone pulls on a weekday, by hour; relative to other zones.")
    weekend_pull: Hourly | None = Field(None, description="The same on Saturday and Sunday; unset: as on weekdays.")
    requests: Hourly = Field(_FLAT, description="Factor on how often users ask on a weekday, by hour.")
    weekend_requests: Hourly | None = Field(None, description="The same at the weekend; unset: as on weekdays.")
    activities: dict[str, NonNegative] = Field(
        default_factory=dict, description="Weight of each activity when the next one is chosen; others do not occur."
    )


class Drift(Settings):
    """Slow change that near zones share: log-normal factors of mean 1 over an Ornstein-Uhlenbeck process."""

    sd: NonNegative = Field(0.2, le=3, description="Of how often users ask: standard deviation of the logarithm.")
    pull_sd: NonNegative = Field(0.0, le=3, description="Likewise of the pull on people, from the same process.")
    time_s: Positive = Field(21_600.0, description="Time in which the correlation falls to 1/e.")
    length_m: NonNegative = Field(500.0, description="Distance at which that of two zones falls to exp(-1/2); 0: none.")


class FlashCrowds(Settings):
    """Demand that jumps in a zone without a warning."""

    per_day: NonNegative = Field(0.1, description="Mean number per zone and day.")
    mean_s: Positive = Field(1200.0, description="Mean duration, exponential.")
    pull: NonNegative = Field(1.5, description="Factor on the zone's pull on people meanwhile.")
    request_factor: NonNegative = Field(3.0, description="Factor on how often users ask meanwhile.")


class Event(Settings):
    """Something planned in one zone: people come before it begins, ask while it lasts, and leave when it ends."""

    name: str = Field("event", description="What to call it.")
    zone: str = Field(description="Name of the zone (zone-000 and so on where a station has none).")
    from_s: NonNegative = Field(description="Beginning.")
    duration_s: Positive = Field(description="Length.")
    lead_s: NonNegative = Field(1800.0, description="People come from this long before on.")
    every_s: Positive | None = Field(None, description="It takes place again and again after this time; unset: once.")
    pull: NonNegative = Field(5.0, description="Factor on the zone's pull on people, with the lead.")
    request_factor: NonNegative = Field(1.5, description="Factor on how often users ask while it lasts.")

    @model_validator(mode="after")
    def _apart(self) -> Event:
        if self.every_s is not None and self.every_s < self.lead_s + self.duration_s:
            raise ValueError(f"every_s {self.every_s} is shorter than lead and duration together")
        return self


class Counts(Settings):
    """People counted per zone and hour, which pull instead of the kinds' hourly rows.

    A count stands for the middle of its hour, hour 0 being the first of the episode. An hour without a row is a gap:
    while it lasts nobody decides to come or go. A zone without any row pulls nobody.
    """

    file: str = Field(description="CSV with columns hour,zone,people; hour counts from 0, zone is a zone's name.")
    first_hour: int = Field(0, ge=0, description="Hour of the file with which the episode begins.")


class City(Settings):
    """Rhythm, activities and events of zones. Everything here changes every `interval_s`."""

    interval_s: Positive = Field(60.0, description="How often zones change; a multiple of step_s.")
    start_day: int = Field(0, ge=0, le=6, description="Day on which an episode begins; 0 is Monday.")
    start_hour: float = Field(0.0, ge=0, lt=24, description="Hour of that day.")
    kinds: tuple[ZoneKind, ...] = Field((ZoneKind(),), description="Kinds of zones.", min_length=1)
    activities: tuple[Activity, ...] = Field((), description="What may go on in zones.")
    counts: Counts | None = Field(None, description="People counted; unset: kinds say what pulls.")
    outside: bool = Field(True, description="Whether people can be elsewhere, absent from the city.")
    peak_presence: Probability = Field(
        0.9, gt=0, description="Part of the users who are in the city in the hour that pulls most."
    )
    drift: Drift | None = Field(None, description="Slow change of demand; unset: none.")
    flash_crowds: FlashCrowds | None = Field(None, description="Sudden demand; unset: none.")
    events: tuple[Event, ...] = Field((), description="What is planned.")

    @field_validator("kinds", "activities")
    @classmethod
    def _named_apart(cls, entries: tuple[ZoneKind | Activity, ...]) -> tuple[ZoneKind | Activity, ...]:
        names = [entry.name for entry in entries]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the name {name!r} is given twice")
        return entries
