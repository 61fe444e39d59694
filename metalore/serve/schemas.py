"""What requests and answers look like. Requests are parsed by these classes; of answers they are the documentation."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.config import JsonDict

from metalore.forecast import INTENT_SIZE
from metalore.serve.errors import Problem

Name = Annotated[str, Field(min_length=1, max_length=200)]
Number = Annotated[float, Field(ge=-1e12, le=1e12)]
Count = Annotated[float, Field(ge=0, le=1e12)]
"""Nothing that is measured is larger, and sums of squares stay finite."""
Coordinate = Annotated[float, Field(ge=-1e6, le=1e6)]
_EXAMPLE_ZONE: JsonDict = {"zone_name": "arena", "active_users": 140, "zone_features": {"cpu_cores": 2.5}}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class Question(_Strict):
    """A zone's present."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE_ZONE]})

    zone_name: Name = Field(description="Name of the zone.")
    active_users: Count = Field(description="Mean number of users in the newest interval.")
    embedding: Annotated[list[Coordinate], Field(min_length=INTENT_SIZE, max_length=INTENT_SIZE)] | None = Field(
        None, description="What goes on there, as 1024 numbers; unset: what was known before."
    )
    zone_features: dict[Name, Number] = Field(
        {}, description="Further columns of the newest interval, under their names in telemetry."
    )


class Questions(_Strict):
    """Many zones. Each is answered as if it had been asked alone."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"zones": [_EXAMPLE_ZONE]}]})

    zones: Annotated[list[Question], Field(min_length=1)]


class TelemetryRow(BaseModel):
    """One zone in one interval. Further columns are numbers too; null is a gap."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, frozen=True)
    __pydantic_extra__: dict[str, Number | None]

    time_s: float = Field(description="Start of the interval, s.")
    zone: Name
    active_users: Count | None = None
    requests: Count | None = None
    movement_rate: Count | None = None
    latency_ms: Count | None = None
    jitter_ms: Count | None = None
    packet_loss: Count | None = None
    cpu_cores: Count | None = None
    memory_mb: Count | None = None
    bandwidth_mbps: Count | None = None


_EXAMPLE_ROW: JsonDict = {
    "time_s": 0, "zone": "arena", "active_users": 12.4, "latency_ms": 497.7, "cpu_cores": 0.19, "memory_mb": 153.1,
    "bandwidth_mbps": 5.1,
}  # fmt: skip


class Telemetry(_Strict):
    """Rows in any order; late and repeated ones too."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"rows": [_EXAMPLE_ROW]}]})

    rows: list[TelemetryRow]
    strict: bool = Field(
        True, description="Whether a wrong row is an error, and then none is taken; else it is counted and passed over."
    )


Base64 = Annotated[str, Field(min_length=1, json_schema_extra={"contentEncoding": "base64"})]


class MediaItem(_Strict):
    """What is seen, said and done in one place; what is not there is left out."""

    name: Name | None = Field(None, description="Comes back with the embedding; a zone, say.")
    image: Base64 | None = Field(None, description="Base64 of a PNG, JPEG, WebP, GIF or BMP.")
    speech: Base64 | None = Field(None, description="Base64 of a WAV or FLAC.")
    motion: Base64 | None = Field(None, description="Base64 of a NumPy file (.npy): joints in metres [t, 21, 3].")
    policy: Name | None = Field(
        None, description="That it would trigger; it is judged by this policy's words and zones."
    )


class Media(_Strict):
    """Several items."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [{"name": "arena", "image": "iVBORw0KGgo="}]}]})

    items: Annotated[list[MediaItem], Field(min_length=1)]
    describe: bool = Field(False, description="Whether captions, transcripts and descriptions are wanted too.")


class ProblemDetails(BaseModel):
    """RFC 9457."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"type": "urn:metalore:problem:unknown-zone", "title": "Unprocessable Entity", "status": 422,
                 "detail": "the model has no zone 'arean'; did you mean 'arena'?", "where": "zone_name"}
            ]
        }
    )  # fmt: skip

    type: str
    title: str
    status: int
    detail: str
    where: str | None = None


class Verdict(BaseModel):
    """Whether an item is believed."""

    accepted: bool
    score: float
    reason: str


class EmbeddedItem(BaseModel):
    """Of one item."""

    name: str | None
    embedding: list[float] | None = Field(
        description="1024 numbers, as `/predict` takes them; null: nothing was read, or it was rejected."
    )
    texts: dict[str, str] = Field(
        description="Of each modality that was read, if they were asked for, or an item is judged."
    )
    problems: list[ProblemDetails] = Field(description="Of each modality that was not; the others are fused.")
    verdict: Verdict | None = Field(description="By the policy that the item names; null: it names none.")


class Embedded(BaseModel):
    """Of several items, in their order."""

    items: list[EmbeddedItem]
    model: str = Field(description="Fingerprint of the encoders.")


class Taken(BaseModel):
    """What became of rows."""

    taken: int
    late: int = Field(description="Of these, such as belong to an interval before the newest.")
    repeated: int = Field(description="Of these, such as replace an earlier row.")
    too_late: int = Field(description="Passed over, because their interval has left the window.")
    unknown_zone: int
    off_grid: int
    too_far: int
    infinite: int


class Quantiles(BaseModel):
    """Three quantiles; null where a zone was never known and the model has nothing usual for it."""

    p10: float | None
    p50: float | None
    p90: float | None


class Horizon(BaseModel):
    """One interval to come: its start, and quantiles of each target under its name."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Quantiles]

    time_s: float
    horizon_s: float


class ZoneForecast(BaseModel):
    """What a zone will need."""

    zone: str
    forecasts: list[Horizon]
    fallback: bool = Field(description="Whether nothing is known of the zone in the window: usual values stand in.")
    unused: list[str] = Field([], description="What was given and the model does not look at.")


class Answer(ZoneForecast):
    """Of one zone."""

    made_at_s: float = Field(description="Start of the newest interval of the window.")
    units: dict[str, str]
    model: str = Field(description="Fingerprint of the model.")
    bundled: bool


class Answers(BaseModel):
    """Of several zones."""

    made_at_s: float
    units: dict[str, str]
    model: str
    bundled: bool
    zones: list[ZoneForecast]


class Zone(BaseModel):
    """What the window knows of a zone."""

    zone: str
    known_intervals: int = Field(description="Of the model's window, those in which something is known.")
    age_s: float | None = Field(description="From its newest row to the newest of all, by their times; null: none.")
    received_ago_s: float | None = Field(description="Since its last row came, by the clock of the service.")
    x: float | None
    y: float | None


class Zones(BaseModel):
    """All zones of the model."""

    newest_s: float | None
    interval_s: float
    window_intervals: int
    zones: list[Zone]


class About(BaseModel):
    """The model that is served."""

    model: str
    bundled: bool
    note: str
    card: dict[str, Any]


class Health(BaseModel):
    """A word."""

    status: str


QUESTION, QUESTIONS, TELEMETRY, MEDIA = (TypeAdapter(kind) for kind in (Question, Questions, Telemetry, Media))


def parsed(adapter: TypeAdapter[Any], body: bytes) -> Any:
    """A request's body.

    Raises:
        Problem: 400 for what is no JSON, 422 for what it should not hold.
    """
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"])) or None
    if first["type"] == "json_invalid":
        raise Problem(400, f"the body is no JSON: {first['msg'].removeprefix('Invalid JSON: ')}", "invalid-json")
    message = first["msg"][0].lower() + first["msg"][1:]
    raise Problem(422, f"{where or 'the body'}: {message}", where=where)
