"""What is simulated: every setting of a world, with its unit, meaning and reason.

A :class:`Scenario` is frozen and checked when it is made: a scenario that cannot be is refused with
one sentence (:class:`ScenarioError`). Defaults are the reference workload of the published work.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from metalore.scenario import checks
from metalore.scenario.base import NonNegative, Positive, Settings
from metalore.scenario.city import City
from metalore.scenario.devices import Sensors, Users


class Map(Settings):
    """The rectangle users walk in, with its corner at (0, 0)."""

    width_m: Positive = Field(200.0, description="East-west extent.")
    height_m: Positive = Field(200.0, description="North-south extent.")


Outage = tuple[NonNegative, Positive]


class Station(Settings):
    """A base station with its edge server: one zone of the city."""

    name: str = Field("", description="What to call the zone in results; unset: zone-000 and so on.")
    kind: str = Field("", description="Which of the city's kinds of zone this is; unset: the first.")
    x_m: NonNegative = Field(100.0, description="Position on the map.")
    y_m: NonNegative = Field(100.0, description="Position on the map.")
    height_m: Positive = Field(40.0, description="Antenna height (published value).")
    tx_dbm: float = Field(40.0, ge=-100, le=100, description="Transmit power, used for both directions.")
    bandwidth_hz: Positive = Field(100e6, description="Band shared by requests and updates.")
    compute_gcycle_s: Positive = Field(100.0, description="Capacity of the edge server.")
    memory_mb: Positive | None = Field(None, description="Memory that bounds resident jobs; unset: no bound.")
    outages_s: tuple[Outage, ...] = Field((), description="Times (from, to) at which the station is down.")


class Handover(Settings):
    """When a user changes stations: the new one must be better by a margin, for some steps on end (3GPP's event A3)."""

    margin_db: NonNegative = Field(0.0, description="By how much the new station must be heard better.")
    time_to_trigger_steps: int = Field(0, ge=0, le=10_000, description="Steps on end before the change.")


class NoInterference(Settings):
    """Stations do not disturb each other."""

    kind: Literal["none"] = "none"


class CoChannel(Settings):
    """Stations on the same part of the band disturb each other, as far as they are busy."""

    kind: Literal["co-channel"] = "co-channel"
    reuse: int = Field(1, ge=1, le=64, description="Parts the band is cut into; each station has one of them.")
    interferers: int = Field(6, ge=1, le=64, description="Nearest stations on the same part that are counted.")
    load: Literal["observed", "full"] = Field(
        "observed", description="How busy a station's band is: what it carried in the step before, or always full."
    )


class Failures(Settings):
    """Stations break and are repaired; both times are geometric with the given means."""

    mean_between_s: Positive = Field(description="Mean time to a failure of a station that works.")
    mean_repair_s: Positive = Field(600.0, description="Mean time until it works again.")


class Radio(Settings):
    """How strong a signal arrives and how the band is divided among devices."""

    path_loss: Literal["okumura-hata", "umi", "uma"] = Field(
        "okumura-hata",
        description="Okumura-Hata (published choice), 3GPP TR 38.901 UMi street canyon or UMa.",
    )
    line_of_sight: Literal["always", "never", "probability"] = Field(
        "probability", description="For UMi and UMa: whether a device sees its station."
    )
    carrier_mhz: float = Field(3500.0, ge=100, le=100_000, description="Carrier frequency.")
    noise_w: Positive = Field(1e-12, description="Noise power over the band (published value).")
    snr_threshold: NonNegative = Field(2e-8, description="Linear SNR that a device must exceed to be attached.")
    association: Literal["nearest", "strongest"] = Field("nearest", description="Which station a device attaches to.")
    handover: Handover = Field(Handover(), description="When a user changes stations.")
    interference: Annotated[NoInterference | CoChannel, Field(discriminator="kind")] = Field(
        NoInterference(), description="Whether stations disturb each other."
    )
    scheduler: Literal["resource-fair", "round-robin", "proportional-fair"] = Field(
        "resource-fair",
        description="resource-fair gives every attached device an equal part, also with nothing to send.",
    )
    round_robin_slots: int = Field(10, ge=1, le=10_000, description="Slots a step is cut into for round-robin.")
    average_window_steps: float = Field(
        20.0, ge=1, description="Memory of the average rate that proportional-fair divides by."
    )


class Buffers(Settings):
    """How many jobs fit; a job that finds its buffer full is lost and counted."""

    device_jobs: int | None = Field(None, ge=1, description="Per device; unset: a whole episode fits.")
    station_jobs: int | None = Field(None, ge=1, description="Per station queue; unset: a whole episode fits.")


class Memory(Settings):
    """What occupies a server's memory; it bounds resident jobs where a station sets `memory_mb`."""

    base_mb: NonNegative = Field(128.0, description="The twin itself.")
    per_user_mb: NonNegative = Field(8.0, description="Per attached user.")
    per_job_mb: NonNegative = Field(4.0, description="Per queued job.")


class Reward(Settings):
    """Weights of the reward's named terms; ages in seconds."""

    sync_reward: float = Field(10.0, description="Per completed request, times discount ** AoSI.")
    discount: float = Field(0.9, gt=0, le=1, description="Loss of value per second of AoSI.")
    delay_penalty: float = Field(1.0, description="Per completed request later than the threshold.")
    delay_threshold_s: NonNegative = Field(2.0, description="AoRI above which a request is late.")
    throughput: float = Field(0.0, description="Per completed request.")
    loss: float = Field(0.0, description="Taken off per lost job.")
    served_age: float = Field(0.0, description="Taken off per completed request and second of its data's age.")
    twin_age: float = Field(0.0, description="Taken off per step and second of the sensors' mean age at the twin.")


class Scenario(Settings):
    """Everything a world is made from. See `docs/world.md` for what the settings do."""

    name: str = Field("smart-city", description="What to call it in results.", min_length=1)
    description: str = Field("", description="One line for people.")
    step_s: Positive = Field(1.0, description="Length of a step.")
    max_steps: int = Field(100, ge=1, le=100_000_000, description="Steps in an episode.")
    map: Map = Field(Map(), description="Where.")
    stations: tuple[Station, ...] = Field((Station(),), description="Base stations with their servers.")
    core_ghz: Positive = Field(3.0, description="Gcycle/s of one core: turns compute into cpu_cores.")
    failures: Failures | None = Field(None, description="Whether stations break by chance; unset: they do not.")
    city: City | None = Field(None, description="Rhythm, activities and events of the zones; unset: none.")
    radio: Radio = Field(Radio(), description="The channel.")
    users: Users = Field(Users(), description="People with devices.")
    sensors: Sensors = Field(Sensors(), description="Sensors.")
    buffers: Buffers = Field(Buffers(), description="How many jobs fit where.")
    memory: Memory = Field(Memory(), description="What fills a server's memory.")
    pairing: Literal["creation", "start", "completion"] = Field(
        "start", description="When a request's sensor and update are fixed; 'start' of processing is published."
    )
    reward: Reward = Field(Reward(), description="What is worth what.")

    @field_validator("stations")
    @classmethod
    def _some_station(cls, stations: tuple[Station, ...]) -> tuple[Station, ...]:
        if not stations:
            raise ValueError("a world needs at least one station")
        return stations

    @model_validator(mode="after")
    def _can_be(self) -> Scenario:
        checks.check_on_map(self)
        checks.check_placement(self)
        checks.check_profiles(self)
        checks.check_stations(self)
        checks.check_city(self)
        return self

    def updated(self, **changes: Any) -> Scenario:
        """A copy with settings changed by dotted path or keyword, checked again.

        ``scenario.updated(max_steps=50, **{"users.count": 20, "stations.0.tx_dbm": 30})``;
        a keyword spells the dots as double underscores: ``users__count=20``.

        Raises:
            ScenarioError: an unknown path (with the nearest valid one) or a value that cannot be.
        """
        from metalore.scenario.loading import with_overrides

        return with_overrides(self, changes)
