"""uvicorn, and what it leaves open: connections that never say anything."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from metalore.serve.errors import MEDIA_TYPE, Problem
from metalore.serve.settings import ServeSettings

_MOST_HEAD_BYTES = 65_536
_MOST_MESSAGE_BYTES = 16_384
"""Of what a page sends over its WebSocket."""
_NOT_STARTED = 3
_PATIENCE_S = 2.0
"""For connections to be closed, where the whole program is about to end."""
_LOG = logging.getLogger("uvicorn.error")  # beside what uvicorn itself says


class CarefulProtocol(HttpToolsProtocol):
    """A connection that must send the head of a request in time and in few bytes.

    Where too many are open, the oldest that has not sent one goes; if all have, the new one.
    """

    header_timeout_s: float
    most: int
    silent: dict[CarefulProtocol, None]
    """Connections without a whole head, oldest first; shared by all."""

    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a head, and make room."""
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > self.most:
            next(iter(self.silent)).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass on, and close where a head has no end."""
        super().data_received(data)
        if self._timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > _MOST_HEAD_BYTES:
                self.transport.close()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        if self._timer is None:
            self._wait()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._arrived()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """As problem details."""
        body = Problem(400, "this is no HTTP request").body()
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.close()

    def _wait(self) -> None:
        self._head_bytes, self.silent[self] = 0, None
        self._timer = self.loop.call_later(self.header_timeout_s, self._late)

    def _arrived(self) -> None:
        self.silent.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


def protocol_of(settings: ServeSettings) -> type[CarefulProtocol]:
    """The protocol with the limits of a service."""
    limits = {"header_timeout_s": settings.header_timeout_s, "most": settings.max_connections, "silent": {}}
    return type("LimitedProtocol", (CarefulProtocol,), limits)


def log_to_stderr(uvicorn_level: str = "INFO") -> None:
    """What the service and uvicorn say; uvicorn's line for each request is left out.

    Not by `logging.config`, which closes the handlers of everybody else in the process.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for name, level in (("uvicorn", uvicorn_level), ("metalore", "INFO")):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)


def run_server(
    app: Any, settings: ServeSettings, listener: socket.socket, ready: Callable[[int], None] = lambda port: None
) -> None:
    """Serve an app until interrupted.

    Args:
        app: what is served.
        settings: limits and address.
        listener: of :func:`listening`, at this address.
        ready: is told the port as soon as the app can be reached.
    """
    _allow_connections(settings.max_connections)
    gc.freeze()  # what was loaded stays; looking through it again and again would hold requests up
    server = _TellingServer(_config(app, settings), ready)
    with contextlib.suppress(KeyboardInterrupt):
        server.run([listener])
    if not server.started:
        sys.exit(_NOT_STARTED)


@contextlib.contextmanager
def serving(app: Any, settings: ServeSettings) -> Iterator[int]:
    """Serve an app in a thread while a block runs.

    Args:
        app: what is served.
        settings: limits and address.

    Yields:
        The port.

    Raises:
        OSError: nobody can listen there.
    """
    server = _TellingServer(_config(app, settings))
    with listening(settings) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), name="metalore-server", daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]  # who connects before the app is ready waits in the socket's queue
        finally:
            server.should_exit = True
            thread.join(_PATIENCE_S)
            server.force_exit = True  # a page that has been interrupted does not say goodbye
            thread.join(_PATIENCE_S)


def listening(settings: ServeSettings) -> socket.socket:
    """The socket of an address, before what is served there begins to load.

    Raises:
        OSError: nobody can listen there.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise OSError(
            f"nobody can listen at port {settings.port} of {settings.host} ({error.strerror}); "
            "choose another, or port 0 for a free one"
        ) from None


def _config(app: Any, settings: ServeSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=protocol_of(settings),
        ws="websockets-sansio",
        ws_max_size=_MOST_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        access_log=False,
        server_header=False,
        timeout_keep_alive=max(1, round(settings.keep_alive_s)),
        timeout_graceful_shutdown=max(1, round(settings.request_timeout_s)),
        log_config=None,
    )


class _TellingServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[int], None] = lambda port: None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and tell where."""
        await super().startup(sockets)
        if self.started:
            host, port = self.config.host, self.servers[0].sockets[0].getsockname()[1]
            _LOG.info("running on http://%s:%d (Ctrl-C ends it)", f"[{host}]" if ":" in host else host, port)
            self._ready(port)


def _allow_connections(count: int) -> None:
    """Ask the system for so many open files, as far as it lets us."""
    try:
        import resource
    except ModuleNotFoundError:  # not on Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 256
    if soft < wanted:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )
