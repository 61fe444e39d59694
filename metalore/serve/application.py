"""The HTTP application: routes, their documentation, and what starts and stops with it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from metalore import __version__
from metalore.serve.engine import counts_of
from metalore.serve.errors import FAILED, MEDIA_TYPE, Problem
from metalore.serve.gate import OPEN, Gate, Shortcut
from metalore.serve.live.application import live_routes, running
from metalore.serve.live.calls import Calls
from metalore.serve.live.hub import Hub, LiveSettings
from metalore.serve.live.wishes import Offer
from metalore.serve.schemas import (
    QUESTION,
    QUESTIONS,
    TELEMETRY,
    About,
    Answer,
    Answers,
    Embedded,
    Health,
    Media,
    ProblemDetails,
    Question,
    Questions,
    Taken,
    Telemetry,
    Zones,
    parsed,
)
from metalore.serve.server import listening, log_to_stderr, run_server
from metalore.serve.service import Service
from metalore.serve.settings import ServeSettings

if TYPE_CHECKING:
    from metalore.serve.live.cluster import ClusterNews

_ABOUT = "Forecasts of what each zone will need, from telemetry as it comes. Errors are problem details (RFC 9457)."


class ServeApp(FastAPI):
    """FastAPI behind the gate."""

    service: Service
    gate: Gate
    hub: Hub | None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer."""
        await self.gate(scope, receive, send)

    async def behind_the_gate(self, scope: Any, receive: Any, send: Any) -> None:
        """As FastAPI answers."""
        await super().__call__(scope, receive, send)


def create_app(settings: ServeSettings | None = None) -> FastAPI:
    """An app with its model loaded and its window open.

    Args:
        settings: unset: from the environment.

    Raises:
        ServeError, ForecastError: no model can be loaded, or the window cannot be kept.
        IntentError: encoders were named and cannot be loaded.
        ScenarioError: a setting that cannot be.
        AutoscaleError: a cluster should be followed, and there is none to connect to.
    """
    settings = ServeSettings.from_environment() if settings is None else settings
    token = settings.secret()
    service = Service(settings)
    app = ServeApp(
        title="MetaLore", description=_ABOUT, version=__version__, lifespan=_lifespan, redirect_slashes=False
    )
    app.service = service
    _add_errors(app)
    _add_posts(app, service)
    _add_gets(app, service)
    app.hub, calls = None, Calls()
    if settings.live_sessions:
        bounds = LiveSettings(max_sessions=settings.live_sessions, max_viewers=settings.live_viewers)
        app.hub = calls.hub = Hub(Offer(), bounds, _cluster(settings))
        app.router.routes.extend(live_routes(app.hub, host=settings.host, token=token))
    if token is not None:
        _document_token(app)
    app.gate = Gate(
        app.behind_the_gate,
        service.metrics,
        token=token,
        most_bytes=settings.max_body_bytes,
        larger={} if settings.intent is None else {"/embed": settings.max_media_bytes},
        timeout_s=settings.request_timeout_s,
        shortcuts=_shortcuts(service),
        paths=frozenset(getattr(route, "path", "") for route in app.routes),
        told=calls.answered,
    )
    return app


def _cluster(settings: ServeSettings) -> ClusterNews | None:
    """Whose changes the page tells; only then is lightkube needed."""
    if not settings.live_cluster:
        return None
    from metalore.serve.live.cluster import follow

    return follow(settings.live_namespace, context=settings.live_context)


def run(settings: ServeSettings) -> None:
    """Serve until interrupted."""
    log_to_stderr()
    with listening(settings) as listener:
        run_server(create_app(settings), settings, listener)


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    assert isinstance(app, ServeApp)
    watching = asyncio.create_task(app.service.watch())
    async with contextlib.nullcontext() if app.hub is None else running(app.hub):
        yield
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    app.service.close()


# -- routes ------------------------------------------------------------------------------------------------------------


def _shortcuts(service: Service) -> dict[str, Shortcut]:
    async def predict(body: bytes) -> bytes:
        return await service.predict(parsed(QUESTION, body))

    async def predict_batch(body: bytes) -> bytes:
        return await service.predict_batch(parsed(QUESTIONS, body))

    async def observe(body: bytes) -> bytes:
        return to_json(counts_of(await service.observe(parsed(TELEMETRY, body))))

    return {"/predict": predict, "/predict/batch": predict_batch, "/observe": observe, "/embed": service.embed}


def _add_posts(app: FastAPI, service: Service) -> None:
    posted = _problems(400, 401, 405, 408, 413, 422, 500)

    @app.post("/predict", response_model=Answer, responses=posted, tags=["forecasts"])
    async def predict(question: Question) -> Response:
        """Forecast one zone, as if what is given had been measured in the newest interval of the window.

        What is not given is as in the window. If the window has nothing of the zone, the model's usual values stand in
        and `fallback` is true. What the model does not look at is named in `unused`.
        """
        return _json(await service.predict(question))

    @app.post("/predict/batch", response_model=Answers, responses=posted, tags=["forecasts"])
    async def predict_batch(questions: Questions) -> Response:
        """Forecast many zones; each is answered as if it had been asked alone, so a zone may come more than once."""
        return _json(await service.predict_batch(questions))

    @app.post("/observe", response_model=Taken, responses=posted | _problems(503), tags=["window"])
    async def observe(telemetry: Telemetry) -> Response:
        """Feed rows of telemetry into the window; they are on disk when this answers."""
        return _json(to_json(counts_of(await service.observe(telemetry))))

    @app.post("/embed", response_model=Embedded, responses=posted | _problems(404), tags=["intent"])
    async def embed(media: Media) -> Response:
        """Embed images, speech and motions for `/predict`; what cannot be read is said, and the rest is done.

        Of each item, what is there is fused into one embedding. One that names a policy is judged by it, and has an
        embedding only if it is accepted. Only where the service was started with `--intent`.
        """
        return _json(await service.embed(to_json(media)))


def _add_gets(app: FastAPI, service: Service) -> None:
    got = _problems(401, 405, 408, 500)

    @app.get("/forecasts", response_model=Answers, responses=got | _problems(503), tags=["forecasts"])
    async def forecasts() -> Response:
        """Forecast all zones from the window; computed once until something is observed."""
        return _json(await service.forecasts())

    @app.get("/zones", response_model=Zones, responses=got, tags=["window"])
    async def zones() -> Response:
        """Say what the window knows of each zone, and how old that is."""
        return _json(to_json(await service.zones()))

    @app.get("/model", response_model=About, responses=got, tags=["model"])
    async def model() -> Response:
        """Show the card of the model that is served."""
        return _json(to_json(service.engine.model.about()))

    @app.get("/healthz", response_model=Health, responses=_problems(405, 408, 500), tags=["service"])
    async def healthz() -> Response:
        """Say that the service lives."""
        return _json(b'{"status":"alive"}')

    @app.get("/readyz", response_model=Health, responses=_problems(405, 408, 500, 503), tags=["service"])
    async def readyz() -> Response:
        """Say whether forecasts of all zones can be had: something was observed."""
        if service.engine.stream.time_s is None:
            raise Problem(503, "nothing was observed yet; POST /observe")
        return _json(b'{"status":"ready"}')

    @app.get("/metrics", response_class=Response, responses=got | _METRICS, tags=["service"])
    async def metrics() -> Response:
        """Show forecasts and counters to Prometheus."""
        return Response(await service.page_of_metrics(), media_type=None, headers={"content-type": CONTENT_TYPE_LATEST})


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")


# -- errors and documentation ------------------------------------------------------------------------------------------

_SENTENCES = {404: "there is nothing here; GET /docs lists what there is", 405: "this path takes another method"}
_METRICS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    return {
        status: {"description": "Problem details.", "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses
    }


def _add_errors(app: FastAPI) -> None:
    """Everything that goes wrong becomes problem details."""

    async def answer(_: Request, error: Exception) -> Response:
        problem = _problem_of(error)
        return Response(problem.body(), problem.status, problem.headers, MEDIA_TYPE)

    for kind in (Problem, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, answer)
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas["ProblemDetails"] = ProblemDetails.model_json_schema()
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation does it


def _problem_of(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        sentence = _SENTENCES.get(error.status_code, str(error.detail))
        return Problem(error.status_code, sentence, headers=dict(error.headers or {}))
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        return Problem(422, first["msg"], where=".".join(map(str, first["loc"])))
    return Problem(500, FAILED)


def _document_token(app: FastAPI) -> None:
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, methods in document["paths"].items():
            if path not in OPEN:
                for operation in methods.values():
                    operation["security"] = [{"token": []}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # as above
