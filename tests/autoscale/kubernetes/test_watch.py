"""Following a namespace on an API server that goes away, forgets, denies and talks nonsense."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from autoscale.kubernetes.things import deployment
from autoscale.kubernetes.watched import WatchedServer, event, until, watched_server

from metalore.autoscale import AutoscaleError
from metalore.autoscale.kubernetes import Backoff, watch
from metalore.autoscale.kubernetes.watch import (
    DEPLOYMENTS,
    EVENTS,
    KINDS,
    MOST_OBJECTS,
    Hindrance,
    Kind,
    Object,
    Watch,
    What,
    connected,
)

QUICK = Backoff(first_s=0.02, most_s=0.05)


class Notes:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.lists: list[tuple[str, list[str]]] = []
        self.changes: list[tuple[str, str]] = []
        self.hindrances: list[Hindrance | None] = []

    def listed(self, kind: Kind, objects: Sequence[Object]) -> None:
        self.lists.append((kind.plural, [thing["metadata"]["name"] for thing in objects]))

    def changed(self, kind: Kind, what: What, thing: Object) -> None:
        self.changes.append((what, thing["metadata"]["name"]))

    def hindered(self, kind: Kind, hindrance: Hindrance | None) -> None:
        self.hindrances.append(hindrance)


class Following:
    """One kind, followed in a thread."""

    def __init__(self, server: WatchedServer, kind: Kind) -> None:
        self.notes, self._loop = Notes(), asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None

        async def follow() -> None:
            self._task = asyncio.current_task()
            async with connected(server.config()) as http:
                await Watch(http, "city", kind, self.notes, QUICK).run()

        def run() -> None:
            with pytest.raises(asyncio.CancelledError):
                self._loop.run_until_complete(follow())
            self._loop.close()

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def end(self) -> None:
        """It must end at once, whatever it is waiting for."""
        assert self._task is not None
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(timeout=5)
        assert not self._thread.is_alive()


@pytest.fixture
def server() -> Iterator[WatchedServer]:
    with watched_server() as found:
        found.objects["deployments"] = [deployment("a")]
        yield found


@pytest.fixture
def notes(server: WatchedServer) -> Iterator[Notes]:
    following = Following(server, DEPLOYMENTS)
    until(server.open_streams, "a watch")
    yield following.notes
    following.end()


def test_it_lists_then_watches_and_hears_of_every_change(server: WatchedServer, notes: Notes) -> None:
    server.emit("deployments", "MODIFIED", deployment("a"))
    server.emit("deployments", "DELETED", deployment("b"))
    until(lambda: notes.changes == [("MODIFIED", "a"), ("DELETED", "b")], "two changes")
    assert notes.lists == [("deployments", ["a"])]
    listing, watching = server.asked
    assert listing["path"] == "/apis/apps/v1/namespaces/city/deployments"
    assert listing["labelSelector"] == watching["labelSelector"] == "metalore.io/zone"
    assert watching["resourceVersion"] == "10"


def test_of_events_only_the_controllers_are_asked_for(server: WatchedServer) -> None:
    following = Following(server, EVENTS)
    server.emit("events", "ADDED", event("e", "x"))
    until(lambda: following.notes.changes, "the event")
    following.end()
    assert [asked["fieldSelector"] for asked in server.asked] == ["source=metalore-autoscaler"] * 2


def test_a_stream_that_ends_well_goes_on_from_its_version(server: WatchedServer, notes: Notes) -> None:
    server.emit("deployments", "MODIFIED", deployment("a"))
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "77"}}}
    server.emit_raw("deployments", json.dumps(bookmark).encode() + b"\n")
    server.end_streams("deployments")
    until(lambda: len(notes.hindrances) == 2, "another watch")
    assert [asked.get("resourceVersion") for asked in server.asked] == [None, "10", "77"]
    assert notes.changes == [("MODIFIED", "a")]
    assert notes.hindrances == [None, None]


GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old resource version"}}


@pytest.mark.parametrize(
    "said",
    [
        json.dumps(GONE).encode() + b"\n",
        b"nonsense\n",
        b"[]\n",
        b"\xff\xfe\n",
        b'{"type": "MODIFIED"}\n',
        b'{"type": "UNHEARD", "object": {}}\n',
        b"[" * 200_000 + b"\n",
    ],
)
def test_after_what_it_cannot_use_it_lists_anew_and_says_nothing(
    server: WatchedServer, notes: Notes, said: bytes
) -> None:
    server.objects["deployments"].append(deployment("b"))
    server.emit_raw("deployments", said)
    until(lambda: notes.lists[1:] == [("deployments", ["a", "b"])], "a second list")
    until(lambda: len(notes.hindrances) == 2, "a second watch")
    assert notes.hindrances == [None, None]


def test_410_instead_of_a_stream_lists_anew_too(server: WatchedServer, notes: Notes) -> None:
    server.codes["deployments watch"] = 410
    server.end_streams("deployments")
    until(lambda: len(notes.lists) > 1, "a second list")
    server.codes.clear()
    until(server.open_streams, "a watch")
    assert set(notes.hindrances) == {None}


def test_characters_at_which_python_breaks_lines_break_none(server: WatchedServer, notes: Notes) -> None:
    """Go's encoder leaves U+0085 in its JSON."""
    server.emit("deployments", "MODIFIED", {"metadata": {"name": "a\x85b"}})
    until(lambda: notes.changes == [("MODIFIED", "a\x85b")], "the change")
    assert len(notes.lists) == 1


def test_a_line_without_end_is_given_up(server: WatchedServer, notes: Notes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "MOST_BYTES", 10_000)
    server.emit_raw("deployments", b"x" * 20_000)
    until(lambda: len(notes.lists) > 1, "a second list")


def test_a_server_that_dies_is_tried_until_it_is_back(server: WatchedServer, notes: Notes) -> None:
    server.stop()
    until(lambda: len(notes.hindrances) > 3, "some tries")
    hindrance = notes.hindrances[1]
    assert hindrance is not None
    assert hindrance.words.startswith("the API server does not answer (ConnectError: ")
    assert hindrance.over == "the API server answers again"
    assert len(notes.lists) == 1
    server.objects["deployments"].append(deployment("b"))
    server.start()
    until(lambda: notes.hindrances[-1] is None, "the server")
    assert notes.lists[-1] == ("deployments", ["a", "b"])


def test_a_connection_that_breaks_is_no_hindrance(server: WatchedServer, notes: Notes) -> None:
    server.break_streams()
    until(lambda: len(notes.hindrances) == 2, "a second watch")
    assert len(notes.lists) == 2
    assert notes.hindrances == [None, None]


def test_a_server_that_says_nothing_is_gone(
    server: WatchedServer, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SILENT_S", 0.2)
    server.end_streams("deployments")
    until(lambda: len(notes.lists) > 1, "a second list")


@pytest.mark.parametrize(
    ("code", "what", "words"),
    [
        (403, "deployments", "deployments in namespace 'city' cannot be followed: the API server denies it (403)"),
        (403, "deployments watch", "the right to list and watch them is missing"),
        (401, "deployments", "denies it (401)"),
        (503, "deployments", "the API server says 503; it is tried again"),
    ],
)
def test_what_is_denied_is_said_and_tried_again(server: WatchedServer, code: int, what: str, words: str) -> None:
    server.codes[what] = code
    following = Following(server, DEPLOYMENTS)
    until(lambda: len(following.notes.hindrances) > 1, "two refusals")
    first, second = following.notes.hindrances[:2]
    assert first is not None
    assert words in first.words
    assert first == second
    server.codes.clear()
    until(lambda: following.notes.hindrances[-1] is None, "the end of it")
    following.end()


def test_a_long_list_comes_in_pages_and_is_bounded(server: WatchedServer) -> None:
    server.objects["deployments"] = [{"metadata": {"name": f"d{i}"}} for i in range(MOST_OBJECTS + 250)]
    following = Following(server, DEPLOYMENTS)
    until(server.open_streams, "a watch")
    following.end()
    ((_, names),) = following.notes.lists
    assert names == [f"d{i}" for i in range(MOST_OBJECTS)]


def test_it_pauses_between_tries(server: WatchedServer) -> None:
    server.codes["deployments"] = 500
    following = Following(server, DEPLOYMENTS)
    until(lambda: len(following.notes.hindrances) > 5, "some tries")
    before = len(server.asked)
    threading.Event().wait(0.5)
    following.end()
    assert len(server.asked) - before < 25  # 0.5 s / 0.025 s, and some


@pytest.mark.parametrize("kind", KINDS)
def test_it_ends_while_the_server_is_away(server: WatchedServer, kind: Kind) -> None:
    server.stop()
    following = Following(server, kind)
    until(lambda: following.notes.hindrances, "a try")
    following.end()


def test_certificates_that_cannot_be_read_are_said(server: WatchedServer) -> None:
    config: Any = server.config()
    config.cluster.certificate_auth = "/nowhere/ca.crt"
    with pytest.raises(AutoscaleError, match=r"no cluster to connect to: .*No such file"):
        connected(config._replace(fname=None))
