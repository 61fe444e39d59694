"""What is simulated: every setting of a world, with its unit, meaning and reason.

A :class:`Scenario` is frozen and checked when it is made: a scenario that cannot be is refused with
one sentence (:class:`ScenarioError`). Defaults are the reference workload of the published work.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from metalore.scenario.errors import ScenarioError, sentence

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass as _ModelMetaclass
else:  # it has no public name
    _ModelMetaclass = type(BaseModel)

NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Point = tuple[float, float]

PACKING_LIMIT = 0.45
"""Part of an area that discs placed one after the other surely fill; random placement jams at 0.547."""


class _OneSentence(_ModelMetaclass):
    """Turns the errors of a settings class that is called into one sentence; those of nested ones come with it."""

    def __call__(cls, *arguments: Any, **settings: Any) -> Any:  # noqa: N805  # a metaclass
        try:
            return super().__call__(*arguments, **settings)
        except ValidationError as error:
            raise ScenarioError(sentence(error, cls)) from None  # type: ignore[arg-type]  # a class of this metaclass


class Settings(BaseModel, metaclass=_OneSentence):
    """Base of all settings: frozen, typed, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Map(Settings):
    """The rectangle users walk in, with its corner at (0, 0)."""

    width_m: Positive = Field(200.0, description="East-west extent.")
    height_m: Positive = Field(200.0, description="North-south extent.")


class Station(Settings):
    """A base station with its edge server: one zone of the city."""

    x_m: NonNegative = Field(100.0, description="Position on the map.")
    y_m: NonNegative = Field(100.0, description="Position on the map.")
    height_m: Positive = Field(40.0, description="Antenna height (published value).")
    tx_dbm: float = Field(40.0, ge=-100, le=100, description="Transmit power, used for both directions.")
    bandwidth_hz: Positive = Field(100e6, description="Band shared by requests and updates.")
    compute_gcycle_s: Positive = Field(100.0, description="Capacity of the edge server.")
    memory_mb: Positive | None = Field(None, description="Memory that bounds resident jobs; unset: no bound.")


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
    scheduler: Literal["resource-fair", "round-robin", "proportional-fair"] = Field(
        "resource-fair",
        description="resource-fair gives every attached device an equal part, also with nothing to send.",
    )
    round_robin_slots: int = Field(10, ge=1, le=10_000, description="Slots a step is cut into for round-robin.")
    average_window_steps: float = Field(
        20.0, ge=1, description="Memory of the average rate that proportional-fair divides by."
    )


class RandomWaypoint(Settings):
    """Walk straight to a uniformly drawn point, wait, draw the next."""

    kind: Literal["random-waypoint"] = "random-waypoint"
    speed_min_m_s: Positive = Field(1.5, description="Slowest leg; a walking pace.")
    speed_max_m_s: Positive = Field(1.5, description="Fastest leg; drawn uniformly per leg.")
    pause_steps: int = Field(0, ge=0, description="Steps to wait at each point.")

    @model_validator(mode="after")
    def _ordered(self) -> RandomWaypoint:
        if self.speed_max_m_s < self.speed_min_m_s:
            raise ValueError(f"speed_max_m_s {self.speed_max_m_s} is below speed_min_m_s {self.speed_min_m_s}")
        return self


class GaussMarkov(Settings):
    """Speed and heading with memory; reflected at the edge of the map (Liang and Haas 1999)."""

    kind: Literal["gauss-markov"] = "gauss-markov"
    memory: float = Field(0.85, ge=0, le=1, description="1 keeps the course, 0 forgets it each step.")
    speed_m_s: NonNegative = Field(1.5, description="Mean speed.")
    speed_sd_m_s: NonNegative = Field(0.5, description="Stationary spread of the speed.")
    heading_sd_rad: NonNegative = Field(0.8, description="Stationary spread of the heading around its mean.")


class Static(Settings):
    """Stay where one was put."""

    kind: Literal["static"] = "static"


class Trace(Settings):
    """Follow recorded positions, interpolated between their times, held after the last."""

    kind: Literal["trace"] = "trace"
    file: str = Field(description="CSV with columns time_s,user,x_m,y_m; user counts from 0.")


Mobility = Annotated[RandomWaypoint | GaussMarkov | Static | Trace, Field(discriminator="kind")]


class Always(Settings):
    """Every user is present throughout."""

    kind: Literal["always"] = "always"


class Churn(Settings):
    """Users leave and others come: both times are geometric with the given means."""

    kind: Literal["churn"] = "churn"
    mean_stay_steps: float = Field(60.0, ge=1, description="Mean steps a user stays.")
    mean_absence_steps: float = Field(20.0, ge=1, description="Mean steps until the next one takes the place.")


Presence = Annotated[Always | Churn, Field(discriminator="kind")]


class Constant(Settings):
    """Demand does not change."""

    kind: Literal["constant"] = "constant"


class StepProfile(Settings):
    """Demand jumps to `factor` at `at_s` and stays."""

    kind: Literal["step"] = "step"
    at_s: NonNegative = Field(description="When.")
    factor: NonNegative = Field(description="Demand afterwards, relative to before.")


class Ramp(Settings):
    """Demand goes linearly from 1 to `factor` between two times and stays."""

    kind: Literal["ramp"] = "ramp"
    from_s: NonNegative = Field(description="Start of the change.")
    to_s: NonNegative = Field(description="End of the change.")
    factor: NonNegative = Field(description="Demand afterwards, relative to before.")

    @model_validator(mode="after")
    def _ordered(self) -> Ramp:
        if self.to_s <= self.from_s:
            raise ValueError(f"to_s {self.to_s} must come after from_s {self.from_s}")
        return self


class Burst(Settings):
    """Demand is `factor` for a while, 1 otherwise."""

    kind: Literal["burst"] = "burst"
    from_s: NonNegative = Field(description="Start of the burst.")
    duration_s: Positive = Field(description="Its length.")
    factor: NonNegative = Field(description="Demand meanwhile.")


class Daily(Settings):
    """Demand swings as 1 + amplitude * cos(2 pi (t - peak_s) / period_s)."""

    kind: Literal["daily"] = "daily"
    period_s: Positive = Field(86400.0, description="Length of the day.")
    peak_s: NonNegative = Field(64800.0, description="When demand is highest; six in the evening.")
    amplitude: Probability = Field(0.5, description="Swing around the mean.")


Profile = Annotated[Constant | StepProfile | Ramp | Burst | Daily, Field(discriminator="kind")]


class Size(Settings):
    """The size of a job: how it is drawn, and the least it can be."""

    mean: NonNegative = Field(description="Mean before the minimum is applied.", le=1e7)
    distribution: Literal["poisson", "constant", "exponential"] = Field("poisson", description="How it is drawn.")
    minimum: NonNegative = Field(1.0, description="Smaller draws are raised to this; the published work uses 1.")


class Requests(Settings):
    """What users ask for."""

    probability: Probability = Field(0.7, description="Chance that a user creates a request in a step.")
    data_mbit: Size = Field(Size(mean=50.0), description="Data to send over the radio.")
    compute_gcycle: Size = Field(Size(mean=5.0), description="Work for the server.")
    profile: Profile = Field(Constant(), description="How the probability changes within the episode.")


class Periodic(Settings):
    """Sensor n sends an update every T_n steps."""

    kind: Literal["periodic"] = "periodic"
    period_steps: Annotated[float, Field(ge=0.01)] | tuple[Annotated[float, Field(ge=0.01)], ...] = Field(
        1.0, description="One period for all sensors, or one for each."
    )
    phase: Literal["zero", "random"] = Field("zero", description="First update at step 0, or at a random step.")


class Bernoulli(Settings):
    """A sensor sends an update with a given chance in each step."""

    kind: Literal["bernoulli"] = "bernoulli"
    probability: Probability = Field(description="Chance that a sensor creates an update in a step.")


class Updates(Settings):
    """What sensors report."""

    timing: Annotated[Periodic | Bernoulli, Field(discriminator="kind")] = Field(
        Periodic(), description="When updates are created."
    )
    data_mbit: Size = Field(Size(mean=70.0), description="Data to send over the radio.")
    compute_gcycle: Size = Field(Size(mean=7.0), description="Work for the server.")
    profile: Profile = Field(Constant(), description="How the rate changes within the episode.")


class Users(Settings):
    """People with devices."""

    count: int = Field(10, ge=0, le=1_000_000, description="Number of users; 0 is a legal world.")
    height_m: Positive = Field(1.5, description="Height of the device.")
    mobility: Mobility = Field(RandomWaypoint(), description="How users move.")
    presence: Presence = Field(Always(), description="Who is there when.")
    positions_m: tuple[Point, ...] | None = Field(None, description="Where users start; unset: uniform on the map.")
    requests: Requests = Field(Requests(), description="What they ask for.")

    @model_validator(mode="after")
    def _one_position_each(self) -> Users:
        if self.positions_m is not None and len(self.positions_m) != self.count:
            raise ValueError(f"positions_m holds {len(self.positions_m)} points for {self.count} users; give one each")
        return self


class Ring(Settings):
    """Uniform on a ring around a station (sensor n around station n mod stations)."""

    kind: Literal["ring"] = "ring"
    min_distance_m: NonNegative = Field(20.0, description="Inner radius.")
    max_distance_m: Positive = Field(90.0, description="Outer radius.")
    spacing_m: NonNegative = Field(20.0, description="Least distance between two sensors.")

    @model_validator(mode="after")
    def _ordered(self) -> Ring:
        if self.max_distance_m <= self.min_distance_m:
            raise ValueError(f"max_distance_m {self.max_distance_m} must exceed min_distance_m {self.min_distance_m}")
        return self


class Uniform(Settings):
    """Uniform on the map."""

    kind: Literal["uniform"] = "uniform"
    spacing_m: NonNegative = Field(0.0, description="Least distance between two sensors.")


class Fixed(Settings):
    """Where you say."""

    kind: Literal["fixed"] = "fixed"
    positions_m: tuple[Point, ...] = Field(description="One point per sensor.")


class Sensors(Settings):
    """Devices that stand still and keep the twin fresh."""

    count: int = Field(15, ge=0, le=1_000_000, description="Number of sensors; 0 is a legal world.")
    height_m: Positive = Field(1.5, description="Height of the device.")
    range_m: Positive | None = Field(None, description="How far a sensor sees; unset: the whole map.")
    placement: Annotated[Ring | Uniform | Fixed, Field(discriminator="kind")] = Field(
        Ring(), description="Where they stand."
    )
    updates: Updates = Field(Updates(), description="What they report.")

    @model_validator(mode="after")
    def _one_of_each(self) -> Sensors:
        if isinstance(self.placement, Fixed) and len(self.placement.positions_m) != self.count:
            given = len(self.placement.positions_m)
            raise ValueError(f"placement.positions_m holds {given} points for {self.count} sensors; give one each")
        timing = self.updates.timing
        if isinstance(timing, Periodic) and isinstance(timing.period_steps, tuple):
            given = len(timing.period_steps)
            if given != self.count:
                raise ValueError(
                    f"updates.timing.period_steps holds {given} periods for {self.count} sensors; "
                    "give one number for all or one each"
                )
        return self


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
        _check_on_map(self)
        _check_placement(self)
        _check_profiles(self)
        for i, station in enumerate(self.stations):
            if station.memory_mb is not None and station.memory_mb < self.memory.base_mb + self.memory.per_job_mb:
                raise ValueError(
                    f"stations.{i}.memory_mb is {station.memory_mb}, but base and one job take "
                    f"{self.memory.base_mb + self.memory.per_job_mb} MB"
                )
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


def profile_factors(profile: Any, times_s: Any) -> Any:
    """Demand factor at each time. `times_s`: array [t] in seconds; returns array [t]."""
    import numpy as np

    t = np.asarray(times_s, dtype=float)
    match profile:
        case StepProfile():
            return np.where(t >= profile.at_s, profile.factor, 1.0)
        case Ramp():
            done = np.clip((t - profile.from_s) / (profile.to_s - profile.from_s), 0, 1)
            return 1 + done * (profile.factor - 1)
        case Burst():
            inside = (t >= profile.from_s) & (t < profile.from_s + profile.duration_s)
            return np.where(inside, profile.factor, 1.0)
        case Daily():
            return 1 + profile.amplitude * np.cos(2 * np.pi * (t - profile.peak_s) / profile.period_s)
        case _:
            return np.ones_like(t)


def _largest_factor(profile: Any) -> float:
    if isinstance(profile, Daily):
        return 1 + profile.amplitude
    return float(max(1.0, getattr(profile, "factor", 1.0)))


def _check_profiles(scenario: Scenario) -> None:
    demands = [("users.requests", scenario.users.requests.probability, scenario.users.requests.profile)]
    timing = scenario.sensors.updates.timing
    if isinstance(timing, Bernoulli):
        demands.append(("sensors.updates", timing.probability, scenario.sensors.updates.profile))
    for where, probability, profile in demands:
        peak = probability * _largest_factor(profile)
        if peak > 1 + 1e-12:
            raise ValueError(
                f"{where}.profile raises the probability {probability} to {peak:.4g}; at most one job a step "
                "can be created, so probability times the largest factor must not exceed 1"
            )


def _check_on_map(scenario: Scenario) -> None:
    def inside(point: Point) -> bool:
        return 0 <= point[0] <= scenario.map.width_m and 0 <= point[1] <= scenario.map.height_m

    places = [(f"stations.{i}", (s.x_m, s.y_m)) for i, s in enumerate(scenario.stations)]
    places += [(f"users.positions_m.{i}", p) for i, p in enumerate(scenario.users.positions_m or ())]
    if isinstance(scenario.sensors.placement, Fixed):
        points = scenario.sensors.placement.positions_m
        places += [(f"sensors.placement.positions_m.{i}", p) for i, p in enumerate(points)]
    for where, point in places:
        if not inside(point):
            raise ValueError(
                f"{where} lies at {point}, outside the map of {scenario.map.width_m} m x {scenario.map.height_m} m"
            )


def _check_placement(scenario: Scenario) -> None:
    """Refuse sensors that could not be placed: a ring off the map, or more discs than fit."""
    placement, count = scenario.sensors.placement, scenario.sensors.count
    if isinstance(placement, Fixed) or count == 0:
        return
    if isinstance(placement, Uniform):
        areas = [scenario.map.width_m * scenario.map.height_m]
        counts = [count]
    else:
        stations = scenario.stations[:count]
        areas = [_ring_area_on_map(placement, station, scenario.map) for station in stations]
        counts = [len(range(i, count, len(scenario.stations))) for i in range(len(stations))]
        # Rings of neighbouring stations may overlap, so the whole map bounds them together.
        areas.append(scenario.map.width_m * scenario.map.height_m)
        counts.append(count)
    disc = math.pi * (placement.spacing_m / 2) ** 2
    for area, wanted in zip(areas, counts, strict=True):
        if area <= 0:
            raise ValueError(
                f"sensors.placement asks for a ring of {placement.min_distance_m} to {placement.max_distance_m} m "
                "that lies outside the map"
                if isinstance(placement, Ring)
                else "sensors.placement has no area"
            )
        fits = PACKING_LIMIT * area / disc if disc > 0 else math.inf
        if wanted > max(fits, 1):
            raise ValueError(
                f"sensors.placement.spacing_m is {placement.spacing_m}, which leaves room for about {int(fits)} "
                f"sensors where {wanted} are to stand; lower sensors.count or spacing_m"
            )


def _ring_area_on_map(ring: Ring, station: Station, area: Map) -> float:
    """Area of a ring that lies on the map, in square metres (sum over 4096 equal-area sample points)."""
    total = math.pi * (ring.max_distance_m**2 - ring.min_distance_m**2)
    side, inside = 64, 0
    for i in range(side):
        part = (i + 0.5) / side
        radius = math.sqrt(ring.min_distance_m**2 + part * (ring.max_distance_m**2 - ring.min_distance_m**2))
        for j in range(side):
            angle = 2 * math.pi * (j + 0.5) / side
            x, y = station.x_m + radius * math.cos(angle), station.y_m + radius * math.sin(angle)
            inside += 0 <= x <= area.width_m and 0 <= y <= area.height_m
    return total * inside / side**2


def period_steps_of(scenario: Scenario) -> list[float]:
    """Update period of every sensor, in steps; 0 where updates are not periodic."""
    timing = scenario.sensors.updates.timing
    count = scenario.sensors.count
    if not isinstance(timing, Periodic):
        return [0.0] * count
    if isinstance(timing.period_steps, tuple):
        return list(timing.period_steps)
    return [timing.period_steps] * count
