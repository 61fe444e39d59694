"""What every request passes: its token, limits of size and time, problem details, and counting.

The requests that come in thousands take a short cut: they are parsed and answered here, by the same functions that
FastAPI's routes call. FastAPI's and Starlette's layers between cost more than the forecast itself.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from metalore.serve.errors import FAILED, MEDIA_TYPE, Problem
from metalore.serve.metrics import Metrics

LOG = logging.getLogger("metalore.serve")

OPEN = frozenset({"/healthz", "/readyz"})
"""Paths that need no token: who asks whether a service lives has none."""
OPEN_BELOW = "/live"
"""Likewise whatever lies below: a browser sends no token with a page; what the page shows, it asks for with one."""
_CLOSE_BEYOND = 8
"""A connection on which so many times the limit is still to come is closed."""

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Shortcut = Callable[[bytes], Awaitable[bytes]]


class _GoneError(Exception):
    """The client has left."""


class Gate:
    """An ASGI application around another.

    Args:
        app: inside.
        metrics: that count.
        token: that requests must carry; None: none.
        most_bytes: of a body.
        larger: the same of paths where it is another.
        timeout_s: for reading and answering a request.
        shortcuts: from path to what answers a POST with its body, in JSON.
        paths: that are counted by name.
        told: is told about every answer: method, path, status and seconds.
    """

    def __init__(
        self,
        app: App,
        metrics: Metrics,
        *,
        token: str | None,
        most_bytes: int,
        larger: dict[str, int],
        timeout_s: float,
        shortcuts: dict[str, Shortcut],
        paths: frozenset[str],
        told: Callable[[str, str, int, float], None] = lambda *answer: None,
    ) -> None:
        self._app, self._metrics, self._paths, self._shortcuts = app, metrics, paths, shortcuts
        self._told = told
        self._expected = None if token is None else b"Bearer " + token.encode()
        self._most_bytes, self._larger, self._timeout_s = most_bytes, larger, timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send)
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout_s):
                most = self._larger.get(scope["path"], self._most_bytes)
                await self._pass(scope, _Body(scope, receive, most), answer)
        except _GoneError:
            return
        except Problem as problem:
            await answer.problem(problem)
        except TimeoutError:
            sentence = f"the request was not read and answered in {self._timeout_s:g} s"
            await answer.problem(Problem(408, sentence, headers={"connection": "close"}))
        except Exception:
            LOG.exception("%s %s failed", scope["method"], scope["path"])
            await answer.problem(Problem(500, FAILED))
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            method = scope["method"] if scope["method"] in ("GET", "POST") else "other"
            seconds = time.perf_counter() - began
            self._metrics.answered(method, path, answer.status, seconds)
            self._told(method, path, answer.status, seconds)

    async def _pass(self, scope: Scope, body: _Body, answer: _Answer) -> None:
        self._check_token(scope)
        shortcut = self._shortcuts.get(scope["path"]) if scope["method"] == "POST" else None
        if shortcut is None:
            await self._app(scope, body.receive, answer.send)
        else:
            await answer.json(await shortcut(await body.whole()))

    def _check_token(self, scope: Scope) -> None:
        path = scope["path"]
        if self._expected is None or path in OPEN or path == OPEN_BELOW or path.startswith(f"{OPEN_BELOW}/"):
            return
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        if not hmac.compare_digest(given, self._expected):
            sentence = "the request carries no token" if not given else "the request's token is another"
            raise Problem(401, f"{sentence}; send Authorization: Bearer TOKEN", headers={"www-authenticate": "Bearer"})


class _Body:
    """The body of a request, counted as it is read."""

    def __init__(self, scope: Scope, receive: Receive, most: int) -> None:
        self._receive, self._most, self._read = receive, most, 0
        length = next((value for name, value in scope["headers"] if name == b"content-length"), None)
        self._length = int(length) if length is not None and length.isdigit() else None

    async def receive(self) -> dict[str, Any]:
        """The next part."""
        if self._length is not None and self._length > self._most:
            raise self._too_large()
        message = await self._receive()
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            if self._read > self._most:
                raise self._too_large()
        return message

    async def whole(self) -> bytes:
        """All parts."""
        parts: list[bytes] = []
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise _GoneError
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_large(self) -> Problem:
        endless = self._length is None or self._length > _CLOSE_BEYOND * self._most
        sentence = f"the body is larger than {self._most:,} bytes; send it in parts"
        return Problem(413, sentence, headers={"connection": "close"} if endless else {})


class _Answer:
    """An answer, and what was sent of it."""

    def __init__(self, send: Send) -> None:
        self._send, self.status, self._started = send, 499, False

    async def send(self, message: dict[str, Any]) -> None:
        """Pass on."""
        if message["type"] == "http.response.start":
            self.status, self._started = message["status"], True
        await self._send(message)

    async def json(self, body: bytes) -> None:
        """Send JSON."""
        await self._whole(200, b"application/json", body, [])

    async def problem(self, problem: Problem) -> None:
        """Send problem details, if nothing was sent yet."""
        if not self._started:
            headers = [(name.encode(), value.encode()) for name, value in problem.headers.items()]
            await self._whole(problem.status, MEDIA_TYPE.encode(), problem.body(), headers)

    async def _whole(self, status: int, kind: bytes, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        length = str(len(body)).encode()
        head = [(b"content-type", kind), (b"content-length", length), *headers]
        await self.send({"type": "http.response.start", "status": status, "headers": head})
        await self.send({"type": "http.response.body", "body": body})
