"""HTTP of a zone: `PUT /users`, `GET /users`, `/metrics`, `/healthz`."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from metalore.zone.workload import Workload, ZoneError, read_users

LONGEST = 1024
"""Bytes of a request's body."""
_TIMEOUT_S = 5.0

MOST_CONNECTIONS = 64
"""Open at once. For one more the oldest is closed, so that nobody who holds connections open can keep probes out."""
PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"
"""Media type of metrics."""

Answer = tuple[int, str, str]
"""Status, media type, text."""
Page = Callable[[], Answer]
"""What a path answers."""


class Pages(ThreadingHTTPServer):
    """A small HTTP server: pages by path.

    Args:
        host, port: where it listens; port 0: any that is free.
        pages: by path.
        put: paths that take a body, and what they do with it.
    """

    daemon_threads = True
    request_queue_size = MOST_CONNECTIONS

    def __init__(
        self,
        host: str,
        port: int,
        pages: Mapping[str, Page],
        put: Mapping[str, Callable[[bytes], Answer]] | None = None,
    ) -> None:
        self.pages, self.put = dict(pages), dict(put or {})
        self._open: dict[Any, None] = {}
        self._lock = threading.Lock()
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection in a thread of its own, and make room for it."""
        with self._lock:
            self._open[request] = None
            if len(self._open) > MOST_CONNECTIONS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                with suppress(OSError):  # it has just ended
                    oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """A connection ends."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about who left; the rest is a bug."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def start(self) -> None:
        """Answer in a thread of its own until it is closed."""
        threading.Thread(target=self.serve_forever, name="http", daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Pages
    timeout = _TIMEOUT_S
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # the base class calls it so
        """Answer a page; a body is not read, and would be taken for the next request."""
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self.close_connection = True
        page = self.server.pages.get(self.path.partition("?")[0])
        self._answer(page() if page else (404, "text/plain", "there is no such page\n"))

    def do_PUT(self) -> None:
        """Take a body."""
        take = self.server.put.get(self.path)
        length = self.headers.get("Content-Length", "")
        if take is None or not length.isdecimal() or int(length) > LONGEST:
            self.close_connection = True  # its body is not read
            allowed = f"a body of known length, at most {LONGEST} bytes\n"
            self._answer(
                (404, "text/plain", "there is no such page\n") if take is None else (413, "text/plain", allowed)
            )
            return
        self._answer(take(self.rfile.read(int(length))))

    def _answer(self, answer: Answer) -> None:
        status, media, text = answer
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: probes come every few seconds."""


class ZoneServer:
    """A workload that is told its users over HTTP, and by a file if there is one.

    Args:
        zone: its name, a label of the metrics.
        workload: that has been started.
        host, port: where it listens.
        users_file: read every second; a mounted ConfigMap, say. While it can be read, it decides.
    """

    def __init__(
        self, zone: str, workload: Workload, host: str = "127.0.0.1", port: int = 8080, users_file: Path | None = None
    ) -> None:
        self._zone, self._workload, self._file = zone, workload, users_file
        self._stopped = threading.Event()
        self.pages = Pages(
            host,
            port,
            {"/metrics": self._metrics, "/healthz": self._health, "/users": self._users},
            {"/users": self._take},
        )

    def run(self) -> None:
        """Serve until :meth:`stop`."""
        self.pages.start()
        while not self._stopped.is_set():
            self._read_file()
            self._stopped.wait(1.0)
        self.pages.close()

    def stop(self) -> None:
        """Let :meth:`run` return."""
        self._stopped.set()

    def _read_file(self) -> None:
        if self._file is None:
            return
        try:
            self._workload.users = read_users(self._file.read_bytes()[:LONGEST])
        except (OSError, ZoneError):  # not there, or half written: what was known before counts
            return

    # -- pages ---------------------------------------------------------------------------------------------------------

    def _health(self) -> Answer:
        return (200, "text/plain", "ok\n") if self._workload.is_healthy else (500, "text/plain", "a thread has ended\n")

    def _users(self) -> Answer:
        return 200, "application/json", json.dumps({"active_users": self._workload.users}) + "\n"

    def _take(self, body: bytes) -> Answer:
        try:
            self._workload.users = read_users(body)
        except ZoneError as error:
            return 422, "text/plain", f"{error}\n"
        return self._users()

    def _metrics(self) -> Answer:
        return 200, PROMETHEUS_TEXT, metrics_text(self._zone, self._workload)


def metrics_text(zone: str, workload: Workload) -> str:
    """What a zone says, in Prometheus' text format."""
    users, demand = workload.users, workload.demand
    rows = (
        ("active_users", "gauge", "Users now.", users),
        ("cpu_seconds_total", "counter", "CPU time used.", workload.cpu_seconds()),
        ("cpu_wanted_cores", "gauge", "Cores that the users need.", demand.cores(users)),
        ("memory_bytes", "gauge", "Resident memory.", workload.memory_bytes),
        ("memory_wanted_bytes", "gauge", "Memory that the users need.", 1e6 * demand.memory_mb(users)),
        ("bandwidth_mbps", "gauge", "Bandwidth that the users need, Mbit/s.", demand.bandwidth_mbps(users)),
    )
    label = '{zone="' + zone.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"}'
    lines = []
    for name, kind, words, value in rows:
        metric = f"metalore_zone_{name}"
        lines += [f"# HELP {metric} {words}", f"# TYPE {metric} {kind}", f"{metric}{label} {float(value)!r}"]
    return "\n".join(lines) + "\n"
