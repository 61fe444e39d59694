"""A namespace as it changes: each kind of object is listed, then watched, for ever.

A stream that ends well is opened anew where it ended. After anything else, a version that is too old (410) included,
the kind is listed anew; who listens compares that with what was known. Nothing is ever written.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from urllib.parse import quote

import httpx2
from lightkube.config import client_adapter
from lightkube.config.kubeconfig import SingleConfig
from lightkube.core.exceptions import ConfigError

from metalore.autoscale.errors import AutoscaleError
from metalore.autoscale.kubernetes.cluster import TIMEOUT_S
from metalore.autoscale.kubernetes.events import COMPONENT
from metalore.autoscale.kubernetes.retry import Backoff, asked_for_s, code_of
from metalore.autoscale.kubernetes.settings import ZONE

WATCH_S = 60
"""After which the server ends a stream, and it is opened anew."""
SILENT_S = WATCH_S + 15.0
"""A server that has said nothing for so long is gone."""
STEADY_S = 5.0
"""What has lasted so long is begun again without a pause."""
_GONE = 410
"""The version that was asked for is too old."""
MOST_OBJECTS, MOST_BYTES, PAGE = 2000, 16_000_000, 100
"""Objects of a kind that are listed; bytes of an answer, or of one line of a stream; objects in an answer."""

Object = dict[str, Any]
"""As the server says it, which is not trusted to have any particular form."""
What = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True)
class Kind:
    """What is watched.

    Attributes:
        plural: name in addresses.
        api: where they begin.
        selector: which objects; as parameters.
    """

    plural: str
    api: str
    selector: tuple[tuple[str, str], ...]


DEPLOYMENTS = Kind("deployments", "/apis/apps/v1", (("labelSelector", ZONE),))
PODS = Kind("pods", "/api/v1", (("labelSelector", ZONE),))
EVENTS = Kind("events", "/api/v1", (("fieldSelector", f"source={COMPONENT}"),))
KINDS = (DEPLOYMENTS, PODS, EVENTS)


@dataclass(frozen=True)
class Hindrance:
    """Why a kind is not followed at the moment.

    Attributes:
        words: what is wrong.
        over: what will be said when it is over; the same for all that ends together.
    """

    words: str
    over: str


class Listener(Protocol):
    """Who is told."""

    def listed(self, kind: Kind, objects: Sequence[Object]) -> None:
        """All there are, at most :data:`MOST_OBJECTS`."""

    def changed(self, kind: Kind, what: What, thing: Object) -> None:
        """One has."""

    def hindered(self, kind: Kind, hindrance: Hindrance | None) -> None:
        """It cannot be followed, said as often as that is found; None: it is followed."""


class _LostError(Exception):
    """A stream has ended in a way that what it would have said is not known."""


class Watch:
    """Follows one kind in one namespace.

    Args:
        http: to the API server; see :func:`connected`.
        namespace: where.
        kind: of objects.
        listener: is told, in the event loop.
        backoff: between tries; there is no end to them.
    """

    def __init__(
        self, http: httpx2.AsyncClient, namespace: str, kind: Kind, listener: Listener, backoff: Backoff | None = None
    ) -> None:
        self._http, self._kind, self._listener = http, kind, listener
        self._address = f"{kind.api}/namespaces/{quote(namespace, safe='')}/{kind.plural}"
        self._where, self._backoff = f"{kind.plural} in namespace {namespace!r}", backoff or Backoff()
        self._version = ""

    async def run(self) -> None:
        """Until it is cancelled."""
        tries = 0
        while True:
            began, asked_s = time.monotonic(), 0.0
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except _LostError:
                self._version = ""
            except (httpx2.HTTPError, httpx2.InvalidURL, ConfigError, OSError, ValueError, RecursionError) as error:
                self._version, asked_s = "", asked_for_s(error)
                if code_of(error) != _GONE:
                    self._listener.hindered(self._kind, self._hindrance(error))
            tries = 0 if time.monotonic() - began >= STEADY_S else tries + 1
            if tries:
                await asyncio.sleep(self._backoff.pause_s(tries, min(asked_s, WATCH_S), random.random()))

    def _hindrance(self, error: Exception) -> Hindrance:
        code = code_of(error)
        if code in (401, 403):
            return Hindrance(
                f"{self._where} cannot be followed: the API server denies it ({code}), the right to list and watch "
                "them is missing",
                f"{self._where} can be followed now",
            )
        said = f"says {code}" if code else f"does not answer ({type(error).__name__}: {error})"
        return Hindrance(f"the API server {said}; it is tried again", "the API server answers again")

    # -- listing -------------------------------------------------------------------------------------------------------

    async def _list(self) -> None:
        found: list[Object] = []
        version = more = ""
        while len(found) < MOST_OBJECTS:
            answer = _parsed(await self._answer({"limit": str(PAGE)} | ({"continue": more} if more else {})))
            meta, items = answer.get("metadata"), answer.get("items")
            if not isinstance(meta, dict) or not isinstance(items, list | None):
                raise ValueError("what it says is no list")
            found += [item for item in items or () if isinstance(item, dict)]
            version, more = str(meta.get("resourceVersion") or ""), str(meta.get("continue") or "")
            if not more:
                break
        self._listener.listed(self._kind, found[:MOST_OBJECTS])
        self._version = version or "0"

    async def _answer(self, parameters: dict[str, str]) -> bytes:
        body = bytearray()
        async with self._http.stream("GET", self._address, params={**dict(self._kind.selector), **parameters}) as got:
            got.raise_for_status()
            async for part in got.aiter_bytes():
                body += part
                if len(body) > MOST_BYTES:
                    raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
        return bytes(body)

    # -- watching ------------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Until the server ends the stream; then it can be opened anew with the version that was kept."""
        parameters = {
            **dict(self._kind.selector),
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_S),
            "resourceVersion": self._version,
        }
        timeout = httpx2.Timeout(TIMEOUT_S, read=SILENT_S)
        async with self._http.stream("GET", self._address, params=parameters, timeout=timeout) as stream:
            stream.raise_for_status()
            self._listener.hindered(self._kind, None)
            try:
                async for line in _lines(stream):
                    self._take(_parsed(line))
            except (httpx2.TransportError, ValueError, RecursionError):
                raise _LostError from None

    def _take(self, line: Object) -> None:
        what, thing = line.get("type"), line.get("object")
        if not isinstance(thing, dict) or what not in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"):
            raise _LostError  # ERROR, most often because the version is too old
        meta = thing.get("metadata")
        self._version = str((meta.get("resourceVersion") if isinstance(meta, dict) else "") or self._version)
        if what != "BOOKMARK":
            self._listener.changed(self._kind, what, thing)


async def _lines(stream: httpx2.Response) -> AsyncIterator[bytes]:
    """Lines end where the server ends them; httpx would also end them at characters that JSON may contain."""
    rest = b""
    async for part in stream.aiter_bytes():
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            if line.strip():
                yield line
        if len(rest) > MOST_BYTES:
            raise ValueError(f"a line has more than {MOST_BYTES:,} bytes")


def _parsed(text: bytes) -> Object:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("it is no object")
    return found


def connected(config: SingleConfig) -> httpx2.AsyncClient:
    """To an API server, as lightkube does it.

    Raises:
        AutoscaleError: its certificates cannot be read, or there is no way to authenticate.
    """
    try:
        return client_adapter.AsyncClient(config, client_adapter.ConnectionParams(timeout=httpx2.Timeout(TIMEOUT_S)))
    except (ConfigError, OSError) as error:
        raise AutoscaleError(f"no cluster to connect to: {error}") from None
