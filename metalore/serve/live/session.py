"""A session: one city, or two side by side, run in a thread and shown to all its viewers.

What is to be seen is encoded once, whoever looks: pictures as bytes (:mod:`metalore.serve.live.scene`), and messages as
JSON. A viewer who is slow misses pictures and gets a whole one next; one who does not even read messages is left.
A city rests while nobody looks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic_core import to_json

from metalore.scenario import Scenario, ScenarioError, zone_names
from metalore.serve.live.city import LEAD_IN, LiveCity, interval_of
from metalore.serve.live.clock import MACHINE, Clock
from metalore.serve.live.scene import MOST_USERS, ZONE_COLUMNS, Glimpse, Picture, Viewpoint, attachment_type
from metalore.serve.live.story import (
    CityWatch,
    Happening,
    forecasted,
    interval_of_zones,
    rule_of,
    scaled,
)
from metalore.serve.live.wishes import Command, Offer, Wishes
from metalore.world import World

LOG = logging.getLogger("metalore.live")

PICTURES_PER_S = 10
_TICK_S = 1 / PICTURES_PER_S
_BUSY = 0.7
"""Part of a tick that may go to simulating, so that others get their turn where the speed asked for cannot be had."""
_LEAD_IN_PICTURE_S = 0.5
MOST_MESSAGES = 512
"""Messages that a viewer may be behind before being left."""
HISTORY_INTERVALS, HISTORY_BYTES = 180, 2_000_000
_HAPPENINGS_KEPT = 100
_COMMANDS = 256


class Viewer:
    """What waits to be sent to one who looks. Lives in the event loop.

    Attributes:
        gone: too far behind; the connection should be closed.
    """

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._picture: Picture | None = None
        self._missed = True
        self._something = asyncio.Event()
        self.gone = False

    def tell(self, message: bytes) -> None:
        """Queue a message."""
        if len(self._messages) >= MOST_MESSAGES:
            self.gone = True
        else:
            self._messages.append(message)
        self._something.set()

    def show(self, picture: Picture) -> None:
        """Replace the picture that waits, if one does."""
        self._missed |= self._picture is not None
        self._picture = picture
        self._something.set()

    async def next(self) -> str | bytes:
        """The next message as text, or picture as bytes."""
        await self._something.wait()
        if self._messages:
            message = self._messages.popleft().decode()
            self._settle()
            return message
        picture, self._picture = self._picture, None
        self._settle()
        if picture is None:
            return await self.next()
        whole, self._missed = self._missed, False
        return picture.whole if whole else picture.changes

    def _settle(self) -> None:
        if not self._messages and self._picture is None:
            self._something.clear()


class Session:
    """See the module.

    Args:
        name: by which viewers find it.
        offer: what may be chosen.
        speed: simulated s per s.
        playing: whether it runs at once.
        clock: that it goes by.
    """

    def __init__(
        self, name: str, offer: Offer, *, speed: float = 30.0, playing: bool = True, clock: Clock = MACHINE
    ) -> None:
        self.name, self.offer, self._clock = name, offer, clock
        self._speed, self._playing = float(speed), playing
        self._commands: queue.Queue[Command | None] = queue.Queue(_COMMANDS)
        self._viewers: dict[Viewer, asyncio.AbstractEventLoop] = {}
        self._lock = threading.Lock()  # of what a joining viewer is told
        self._told: dict[str, Any] = {}
        self._history: deque[bytes] = deque(maxlen=HISTORY_INTERVALS)
        self._happened: deque[Happening] = deque(maxlen=_HAPPENINGS_KEPT)
        self._picture: Picture | None = None
        self._wishes = offer.wishes
        self._number, self._steps_owed, self._lead_in = 0, 0.0, 0
        self._cities: list[LiveCity] = []
        self.left_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"metalore-live-{name}", daemon=True)
        self._thread.start()

    # -- viewers, in the event loop ------------------------------------------------------------------------------------

    @property
    def viewers(self) -> int:
        """How many look."""
        return len(self._viewers)

    @property
    def pictures(self) -> int:
        """Number of the newest picture."""
        return self._number

    def join(self) -> Viewer:
        """One more looks; they are told what has happened so far."""
        viewer = Viewer()
        with self._lock:
            for message in self._so_far():
                viewer.tell(message)
            if self._picture is not None:
                viewer.show(self._picture)
            self._viewers[viewer] = asyncio.get_running_loop()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """One looks no longer."""
        with self._lock:
            self._viewers.pop(viewer, None)
            self.left_at = time.monotonic()

    def do(self, command: Command) -> None:
        """Ask for something; it is checked here and done in the session's thread.

        Raises:
            ValueError: it cannot be, in one sentence.
        """
        if command.wishes is not None:
            self.offer.check(command.wishes)
        try:
            self._commands.put_nowait(command)
        except queue.Full:
            raise ScenarioError("the session has too much to do; try again in a moment") from None

    def stop(self) -> None:
        """End the thread."""
        self._playing = False
        self._commands.put(None)
        self._thread.join(timeout=10)

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def tell(self, message: dict[str, Any]) -> None:
        """Tell all viewers; from any thread."""
        self._send(_json(message))

    def happened(self, happenings: list[Happening]) -> None:
        """Tell all viewers what happens, and keep it for those who come; from any thread."""
        if happenings:
            with self._lock:
                self._happened.extend(happenings)
            self.tell({"type": "happenings", "happenings": happenings})

    def _so_far(self) -> list[bytes]:
        if not self._told:
            return []
        history = b'{"type":"history","intervals":[' + b",".join(self._history) + b"]}"
        happened = _json({"type": "happenings", "happenings": list(self._happened), "past": True})
        return [_json(self._told | self._state()), history, happened]

    def _state(self) -> dict[str, Any]:
        return {"playing": self._playing, "speed": self._speed}

    def _send(self, message: bytes) -> None:
        with self._lock:
            for viewer, loop in self._viewers.items():
                _in(loop, viewer.tell, message)

    # -- the thread ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._begin(self.offer.wishes)
            while self._turn():
                pass
        except Exception:
            LOG.exception("session %s has failed", self.name)
            self.tell({"type": "error", "text": "the session has failed; see the log of the service"})

    def _turn(self) -> bool:
        """One tick: do what was asked, run what is due if somebody looks, show it. Whether to go on."""
        began = self._clock.monotonic()
        if not self._obey(wait_s=0.0 if self._runs else _TICK_S):
            return False
        if self._runs:
            self._advance_or_hold(began)
            self._clock.sleep(max(0.002, began + _TICK_S - self._clock.monotonic()))
        return True

    @property
    def _runs(self) -> bool:
        return self._playing and bool(self._viewers)

    def _obey(self, wait_s: float) -> bool:
        """Do what was asked; False: to end."""
        while True:
            try:
                command = self._commands.get(block=wait_s > 0, timeout=wait_s)
            except queue.Empty:
                return True
            if command is None:
                return False
            wait_s = 0.0
            try:
                self._carry_out(command)
            except ValueError as error:
                self.tell({"type": "error", "text": str(error)})

    def _carry_out(self, command: Command) -> None:
        zone = command.zone or ""
        match command.do:
            case "play" | "pause":
                self._playing = command.do == "play"
            case "speed":
                self._speed = float(command.value or 1)
            case "step":
                self._playing = False
                self._step()
                self._show()
            case "begin":
                self._begin_or_go_back(command.wishes or self._wishes)
            case "crowd":
                for city in self._cities:
                    city.draw_crowd(zone)
                self.note("session", "a crowd is asked for; it gathers from the next interval on", zone)
            case "fail" | "mend":
                for city in self._cities:
                    city.close(zone, command.do == "fail")
                down = "taken down" if command.do == "fail" else "let up again"
                self.note("session", f"the station is {down} by hand", zone)
        self.tell({"type": "state"} | self._state())

    def _begin_or_go_back(self, wishes: Wishes) -> None:
        before = self._wishes
        try:
            self._begin(wishes)
        except ValueError:  # a setting that only what is built with it can judge
            self._begin(before)
            raise

    def note(self, kind: str, text: str, zone: str | None = None) -> None:
        """Tell something that happens now; from any thread."""
        self.notes(kind, [(zone or "", text)])

    def notes(self, kind: str, notes: Sequence[tuple[str, str]]) -> None:
        """Tell several things that happen now, zone and text each; a zone that is not of this city joins the text."""
        time_s = self._cities[0].time_s if self._cities else 0.0
        known = {zone["name"] for zone in self._told.get("zones", ())}
        self.happened([
            {"time_s": time_s, "kind": kind, "text": text, "zone": zone} if zone in known
            else {"time_s": time_s, "kind": kind, "text": f"{zone}: {text}" if zone else text}
            for zone, text in notes
        ])  # fmt: skip

    def _begin(self, wishes: Wishes, go_on: bool = False) -> None:
        """Start cities anew, by wish with the next episode: a picture first, then what decides and loads longer."""
        scenario = self.offer.scenario(wishes)
        worlds = [World(scenario) for _ in wishes.sides]
        for i, world in enumerate(worlds):
            if go_on:
                world.restore(self._cities[i].world.state())
            world.reset(None if go_on else wishes.seed)
        self._wishes = wishes
        self._steps_owed, self._lead_in = 0.0, LEAD_IN if scenario.city is not None else 0
        with self._lock:
            self._told = self._about(scenario, wishes, worlds[0])
            self._picture = None
            self._history.clear()
            self._happened.clear()
        self.tell(self._told | self._state())
        nothing = np.zeros(len(scenario.stations))
        self._publish(tuple(Viewpoint(scenario).glimpse(world, nothing, 1.0) for world in worlds), 0.0)
        pasts = [city.past() for city in self._cities] if go_on else [None] * len(worlds)
        self._cities = [
            LiveCity(scenario, wishes, side, self.offer, world, past)
            for side, world, past in zip(wishes.sides, worlds, pasts, strict=True)
        ]
        self._watch = CityWatch(scenario, worlds[0])
        self._forecasts: list[Any] = [None] * len(worlds)

    def _about(self, scenario: Scenario, wishes: Wishes, world: World) -> dict[str, Any]:
        """What does not change while cities run."""
        city = scenario.city
        return {
            "type": "hello",
            "session": self.name,
            "wishes": wishes.model_dump(),
            "offer": self.offer.described(),
            "sides": [{"split": s.split, "rule": rule_of(s.split), "recommender": s.recommender} for s in wishes.sides],
            "map": {"width_m": scenario.map.width_m, "height_m": scenario.map.height_m},
            "zones": [
                {"name": name, "kind": getattr(station, "kind", ""), "x": station.x_m, "y": station.y_m}
                for name, station in zip(zone_names(scenario), scenario.stations, strict=True)
            ],
            "sensors": np.round(world.sensor_positions[0], 1).tolist(),
            "users": min(scenario.users.count, MOST_USERS),
            "wide": attachment_type(scenario).itemsize > 1,
            "columns": [[name, np.dtype(kind).itemsize] for name, kind in ZONE_COLUMNS],
            "clock_s": 0.0 if city is None else 86_400.0 * city.start_day + 3600.0 * city.start_hour,
            "city": city is not None,
            "interval_s": interval_of(scenario),
            "lead_in_s": self._lead_in * interval_of(scenario),
        }

    def _advance_or_hold(self, began: float) -> None:
        """Advance; what cannot go on is held, and said."""
        try:
            self._advance(began)
        except ValueError as error:
            self._playing = False
            self.tell({"type": "error", "text": f"the city is held: {error}"})
            self.tell({"type": "state"} | self._state())

    def _advance(self, began: float) -> None:
        """Run the steps that are due, as far as the time allows."""
        if self._cities[0].ended:
            self._begin(self._wishes, go_on=True)
            self.note("session", "the episode was over; the next one of this seed begins")
            return
        step_s = self._cities[0].scenario.step_s
        hurries = self._lead_in > 0
        self._steps_owed = np.inf if hurries else min(self._steps_owed + self._speed * _TICK_S / step_s, 10_000)
        until = began + (_LEAD_IN_PICTURE_S if hurries else _BUSY * _TICK_S)
        ran = False
        while self._steps_owed >= 1 and self._clock.monotonic() < until and not self._cities[0].ended:
            self._step()
            self._steps_owed -= 1
            ran = True
            if hurries and self._lead_in == 0:
                break
        self._steps_owed = 0.0 if hurries else min(self._steps_owed, 1.0 + self._speed * _TICK_S / step_s)
        if ran:
            self._show()

    def _step(self) -> None:
        """One step of all cities; at the end of an interval sizes are decided and told."""
        rows = [city.step() for city in self._cities]
        if rows[0] is None:
            return
        self._lead_in = max(0, self._lead_in - 1)
        worlds: list[dict[str, Any]] = []
        happenings: list[Happening] = []
        for i, (city, row) in enumerate(zip(self._cities, rows, strict=True)):
            forecasts = None
            if not self._lead_in and not city.ended:
                tick = city.decide()
                forecasts = tick.forecasts
                happenings += scaled(tick, i)
                if i == 0:
                    for text in forecasted(
                        forecasts, self._forecasts[0], city.forecast.took_s, self._wishes.forecaster
                    ):
                        happenings.append({"time_s": tick.time_s, "kind": "forecast", "text": text})
                self._forecasts[i] = forecasts
            assert row is not None
            worlds.append(interval_of_zones(row, city.world, forecasts))
        city = self._cities[0]
        message = _json({
            "type": "interval",
            "time_s": float(rows[0]["time_s"]),
            "going_on": self._watch.going_on(city.scenario, city.world),
            "worlds": worlds,
        })  # fmt: skip
        with self._lock:
            self._history.append(message)
            while sum(map(len, self._history)) > HISTORY_BYTES:
                self._history.popleft()
        self._send(message)
        self.happened(happenings)

    def _show(self) -> None:
        city = self._cities[0]
        self.happened(list(self._watch.happenings(city.scenario, city.world)))
        self._publish(tuple(city.glimpse() for city in self._cities), city.time_s)

    def _publish(self, glimpses: tuple[Glimpse, ...], time_s: float) -> None:
        self._number += 1
        with self._lock:
            before = self._picture.now if self._picture is not None else None
            self._picture = Picture(self._number, time_s, self._playing, glimpses, before)
            for viewer, loop in self._viewers.items():
                _in(loop, viewer.show, self._picture)


def _in(loop: asyncio.AbstractEventLoop, call: Any, argument: Any) -> None:
    """Call in a loop that may be closing."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call, argument)


def _json(message: dict[str, Any]) -> bytes:
    """Strict JSON: what is no number is null."""
    return to_json(message, inf_nan_mode="null")
