"""Users and sensors: where they are, how they move, and what they send when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from metalore.scenario.base import NonNegative, Point, Positive, Probability, Settings

if TYPE_CHECKING:
    from metalore.scenario.settings import Scenario


def _check_speeds(mobility: RandomWaypoint | Attraction) -> None:
    if mobility.speed_max_m_s < mobility.speed_min_m_s:
        raise ValueError(f"speed_max_m_s {mobility.speed_max_m_s} is below speed_min_m_s {mobility.speed_min_m_s}")


class RandomWaypoint(Settings):
    """Walk straight to a uniformly drawn point, wait, draw the next."""

    kind: Literal["random-waypoint"] = "random-waypoint"
    speed_min_m_s: Positive = Field(1.5, description="Slowest leg; a walking pace.")
    speed_max_m_s: Positive = Field(1.5, description="Fastest leg; drawn uniformly per leg.")
    pause_steps: int = Field(0, ge=0, description="Steps to wait at each point.")

    @model_validator(mode="after")
    def _ordered(self) -> RandomWaypoint:
        _check_speeds(self)
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


class Attraction(Settings):
    """Stay for a while, then go to another place; zones that pull more people are chosen more often.

    Needs `city`, which says what pulls how much and when; who is elsewhere is absent. A Metropolis walk over zones, so
    that with pulls that stand still the mean number of people in each zone is in proportion to its pull.
    """

    kind: Literal["attraction"] = "attraction"
    speed_min_m_s: Positive = Field(1.0, description="Slowest way; drawn uniformly per way.")
    speed_max_m_s: Positive = Field(6.0, description="Fastest way; from walking to a tram in the city.")
    mean_stay_s: Positive = Field(900.0, description="Mean stay at a place, exponential.")
    far_probability: Probability = Field(
        0.5, description="Chance that the next zone is proposed from the whole city and elsewhere, not from neighbours."
    )
    neighbours: int = Field(6, ge=1, le=64, description="Zones next to a zone that are proposed otherwise.")
    spread_m: NonNegative = Field(120.0, description="Places lie uniformly in a disc of this radius around a station.")

    @model_validator(mode="after")
    def _ordered(self) -> Attraction:
        _check_speeds(self)
        return self


Mobility = Annotated[RandomWaypoint | GaussMarkov | Static | Trace | Attraction, Field(discriminator="kind")]


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
    backhaul_steps: int = Field(
        0, ge=0, le=10_000, description="Steps by which a processed update is known later at other stations."
    )
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


def period_steps_of(scenario: Scenario) -> list[float]:
    """Update period of every sensor, in steps; 0 where updates are not periodic."""
    timing = scenario.sensors.updates.timing
    count = scenario.sensors.count
    if not isinstance(timing, Periodic):
        return [0.0] * count
    if isinstance(timing.period_steps, tuple):
        return list(timing.period_steps)
    return [timing.period_steps] * count
