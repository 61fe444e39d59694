"""An API server whose lists and streams a test writes, on 127.0.0.1, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lightkube.config.kubeconfig import SingleConfig
from lightkube.config.models import Cluster, Context, User

PLURALS = ("deployments", "pods", "events")


def until(condition: Callable[[], Any], what: str, within_s: float = 10.0) -> None:
    """Wait for something to be so."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, f"{what} did not come about in {within_s:g} s"
        time.sleep(0.01)


class WatchedServer:
    """Lists what it holds, and streams what it is told to.

    Attributes:
        objects: by plural, as lists answer.
        codes: by plural, or by plural and "watch": an HTTP status instead of an answer.
        asked: parameters of each request, with its plural as `plural`.
    """

    def __init__(self) -> None:
        self.objects: dict[str, list[dict[str, Any]]] = {plural: [] for plural in PLURALS}
        self.codes: dict[str, int] = {}
        self.asked: list[dict[str, str]] = []
        self.version = 10
        self._streams: dict[str, list[asyncio.StreamWriter]] = {plural: [] for plural in PLURALS}
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = 0
        self.start()

    def config(self) -> SingleConfig:
        return SingleConfig(
            context_name="test",
            context=Context(cluster="test", user="test", namespace="city"),
            cluster=Cluster(server=f"http://127.0.0.1:{self.port}"),
            user=User(token="secret"),
        )

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    def start(self) -> None:
        """Listen, the second time on the same port."""

        async def listen() -> None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

        self._do(listen())

    def stop(self) -> None:
        """Die: all connections break."""

        async def die() -> None:
            assert self._server is not None
            self._server.close()
            self._abort()

        self._do(die())

    def close(self) -> None:
        """For good."""
        self.stop()
        self._do(asyncio.sleep(0.01))  # what was aborted ends
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def break_streams(self) -> None:
        """End connections in the middle of their answers; new ones are taken."""

        async def abort() -> None:
            self._abort()

        self._do(abort())

    def _abort(self) -> None:
        for writers in self._streams.values():
            for writer in writers:
                writer.transport.abort()
            writers.clear()

    def open_streams(self) -> int:
        return sum(map(len, self._streams.values()))

    def emit(self, plural: str, what: str, thing: dict[str, Any]) -> None:
        """A change, in the next version."""
        self.version += 1
        thing = {**thing, "metadata": {**thing.get("metadata", {}), "resourceVersion": str(self.version)}}
        self.emit_raw(plural, json.dumps({"type": what, "object": thing}, ensure_ascii=False).encode() + b"\n")

    def emit_raw(self, plural: str, data: bytes) -> None:
        """Anything, to all who watch."""
        until(lambda: self._streams[plural], f"a watch of {plural}")

        async def write() -> None:
            for writer in self._streams[plural]:
                writer.write(b"%x\r\n%s\r\n" % (len(data), data))

        self._do(write())

    def end_streams(self, plural: str) -> None:
        """As a server does after `timeoutSeconds`."""

        async def end() -> None:
            for writer in self._streams[plural]:
                writer.write(b"0\r\n\r\n")
            self._streams[plural].clear()

        self._do(end())

    # -- answers -------------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, target, _ = head.split(" ", 2)
                assert method == "GET"
                assert "authorization: bearer secret" in head.lower()
                address = urlsplit(target)
                _, plural = address.path.rsplit("/", 1)
                asked = {name: values[-1] for name, values in parse_qs(address.query).items()}
                self.asked.append({"plural": plural, "path": address.path, **asked})
                self._answer(writer, plural, asked)
        writer.close()

    def _answer(self, writer: asyncio.StreamWriter, plural: str, asked: dict[str, str]) -> None:
        watches = asked.get("watch") == "true"
        code = self.codes.get(f"{plural} watch" if watches else plural, 200)
        if code == 200 and watches:
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            self._streams[plural].append(writer)
            return
        body = self._page(plural, asked) if code == 200 else {"kind": "Status", "code": code, "message": "no"}
        text = json.dumps(body).encode()
        writer.write(b"HTTP/1.1 %d OK\r\ncontent-length: %d\r\n\r\n%s" % (code, len(text), text))

    def _page(self, plural: str, asked: dict[str, str]) -> dict[str, Any]:
        begin, limit = int(asked.get("continue", 0)), int(asked["limit"])
        rest = len(self.objects[plural]) > begin + limit
        meta = {"resourceVersion": str(self.version)} | ({"continue": str(begin + limit)} if rest else {})
        return {"metadata": meta, "items": self.objects[plural][begin : begin + limit]}


@contextlib.contextmanager
def watched_server() -> Iterator[WatchedServer]:
    server = WatchedServer()
    try:
        yield server
    finally:
        server.close()


def event(name: str, message: str, reason: str = "Resized", about: str = "a") -> dict[str, Any]:
    """Of the controller, about a Deployment."""
    return {
        "metadata": {"name": name, "uid": name, "resourceVersion": "5"},
        "involvedObject": {"kind": "Deployment", "name": about},
        "reason": reason,
        "message": message,
    }
