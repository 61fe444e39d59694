"""The page, what belongs to it, and its WebSocket."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hmac
from collections.abc import AsyncIterator, Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from metalore.serve.live.clock import MACHINE, Clock
from metalore.serve.live.hub import MAIN, Hub, LiveSettings, RefusedError
from metalore.serve.live.wishes import Offer, read_command

if TYPE_CHECKING:
    from metalore.serve.live.cluster import ClusterNews
    from metalore.serve.live.session import Session, Viewer

PATH = "/live"
PROTOCOL = "metalore-live"
_TOKEN = "token."
"""A browser cannot send a header with a WebSocket; the token comes as a subprotocol of this beginning, base64url."""
REFUSED, NO_TOKEN, TOO_SLOW = 4403, 4401, 4408
"""Codes with which the WebSocket is closed."""
TIDY_S = 5.0

_STATIC = Path(__file__).parent / "static"
_KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".txt": "text/plain",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})

Allowed = Callable[[WebSocket], str | None]


def create_live_app(
    offer: Offer | None = None,
    settings: LiveSettings | None = None,
    host: str = "127.0.0.1",
    cluster: ClusterNews | None = None,
    *,
    clock: Clock = MACHINE,
) -> Starlette:
    """The live page by itself, with its main session begun.

    Args:
        offer: what may be chosen; unset: what is built in.
        settings: bounds.
        host: address that is listened on; at a local one, pages of other hosts are refused.
        cluster: whose changes are told; unset: none.
        clock: that sessions go by.
    """
    hub = Hub(offer or Offer(), settings or LiveSettings(), cluster, clock=clock)
    hub.begin()

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with running(hub):
            yield

    async def home(_: Request) -> Response:
        return RedirectResponse(PATH)

    app = Starlette(routes=[Route("/", home), *live_routes(hub, host=host)], lifespan=lifespan)
    app.state.hub = hub
    return app


@contextlib.asynccontextmanager
async def running(hub: Hub) -> AsyncIterator[None]:
    """Follow the cluster, if there is one, and end idle sessions meanwhile; end all of them at the end."""

    async def tidy() -> None:
        while True:
            await asyncio.sleep(TIDY_S)
            await asyncio.to_thread(hub.tidy)

    tasks = [asyncio.create_task(tidy())]
    if hub.cluster is not None:
        tasks.append(asyncio.create_task(hub.cluster.run(hub)))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(hub.close)


def live_routes(hub: Hub, *, host: str = "127.0.0.1", token: str | None = None) -> list[BaseRoute]:
    """Routes at /live.

    Args:
        hub: of sessions.
        host: address that is listened on.
        token: that a WebSocket must bring; unset: none. The page itself holds nothing secret.
    """

    async def page(_: Request) -> Response:
        return _file("index.html")

    async def static(request: Request) -> Response:
        return _file(request.path_params["file"])

    async def socket(websocket: WebSocket) -> None:
        await _serve(websocket, hub, host, token)

    return [
        Route(PATH, page),
        WebSocketRoute(f"{PATH}/socket", socket),
        Route(f"{PATH}/{{file:path}}", static),
    ]


# -- files -------------------------------------------------------------------------------------------------------------


def _file(name: str) -> Response:
    found = _files().get(name)
    if found is None:
        return Response("there is nothing here; the page is at /live", 404, _HEADERS, "text/plain")
    return Response(found, 200, _HEADERS, _KINDS[Path(name).suffix])


@cache
def _files() -> dict[str, bytes]:
    """All there is by name, so that no path from outside is ever opened."""
    found = (path for path in _STATIC.rglob("*") if path.suffix in _KINDS)
    return {path.relative_to(_STATIC).as_posix(): path.read_bytes() for path in found}


# -- the WebSocket -----------------------------------------------------------------------------------------------------


async def _serve(websocket: WebSocket, hub: Hub, host: str, token: str | None) -> None:
    problem = _foreign(websocket, host)
    await websocket.accept(subprotocol=PROTOCOL if PROTOCOL in websocket.scope["subprotocols"] else None)
    if problem is not None:
        await _refuse(websocket, REFUSED, problem)
    elif token is not None and not _knows(websocket, token):
        await _refuse(websocket, NO_TOKEN, "this service asks for its token")
    else:
        try:
            session, viewer = await hub.join(websocket.query_params.get("session", MAIN))
        except RefusedError as refused:
            await _refuse(websocket, REFUSED, str(refused))
            return
        try:
            await _look(websocket, session, viewer)
        finally:
            session.leave(viewer)


async def _look(websocket: WebSocket, session: Session, viewer: Viewer) -> None:
    """Send what is to be seen and take commands until one side ends."""
    sending = asyncio.create_task(_send(websocket, viewer))
    listening = asyncio.create_task(_listen(websocket, session, viewer))
    done, open_still = await asyncio.wait({sending, listening}, return_when=asyncio.FIRST_COMPLETED)
    for task in open_still:
        task.cancel()
    for task in (*done, *open_still):
        with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
            await task


async def _send(websocket: WebSocket, viewer: Viewer) -> None:
    while not viewer.gone:
        what = await viewer.next()
        if isinstance(what, str):
            await websocket.send_text(what)
        else:
            await websocket.send_bytes(what)
    await websocket.close(TOO_SLOW, "the page is too far behind; load it again")


async def _listen(websocket: WebSocket, session: Session, viewer: Viewer) -> None:
    while True:
        text = await websocket.receive_text()
        try:
            command = read_command(text)
            await asyncio.to_thread(session.do, command)
        except ValueError as error:
            viewer.tell(to_json({"type": "error", "text": " ".join(str(error).split())}))


async def _refuse(websocket: WebSocket, code: int, sentence: str) -> None:
    await websocket.send_text(to_json({"type": "refused", "code": code, "text": sentence}).decode())
    await websocket.close(code, sentence[:120])


def _foreign(websocket: WebSocket, host: str) -> str | None:
    """Why a page is refused: another site's page must not steer this one's cities."""
    asked = _name_of(f"//{websocket.headers.get('host', '')}")
    if host in _LOCAL and asked not in _LOCAL:
        return f"this page is served to this machine only, not as {asked!r}"
    origin = websocket.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != websocket.headers.get("host"):
        return "a page of another site asks; open the page that this service has at /live"
    return None


def _name_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _knows(websocket: WebSocket, token: str) -> bool:
    given = next((p.removeprefix(_TOKEN) for p in websocket.scope["subprotocols"] if p.startswith(_TOKEN)), "")
    try:
        text = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4))
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(text, token.encode())
