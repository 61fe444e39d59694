"""The live page without a browser: pictures, sessions, their bounds, and who is let in."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serve.serving import client_of, save_model
from starlette.testclient import TestClient

from metalore.policies import PolicyError
from metalore.scenario import Scenario, ScenarioError, load
from metalore.serve.live import session as session_module
from metalore.serve.live.application import NO_TOKEN, PROTOCOL, REFUSED, create_live_app
from metalore.serve.live.city import FEWEST, LEAD_IN, GrowingForecast, LiveCity
from metalore.serve.live.hub import LiveSettings
from metalore.serve.live.scene import HEAD, ZONE_COLUMNS, Glimpse, Picture, Viewpoint, attachment_type
from metalore.serve.live.session import MOST_MESSAGES, Viewer
from metalore.serve.live.story import CityWatch, rule_of
from metalore.serve.live.wishes import FORECASTERS, MOST_TEXT, Offer, Side, Wishes, beginning_at, read_command
from metalore.world import World

SMALL = "smart-city-small"


class Reading:
    """Reads pictures as the page does, after the description in :mod:`metalore.serve.live.scene`."""

    def __init__(self, scenario: Scenario, worlds: int = 1) -> None:
        self.users, self.sensors, self.zones = scenario.users.count, scenario.sensors.count, len(scenario.stations)
        self.type, self.worlds = attachment_type(scenario), worlds
        self.seen = [np.zeros((3, self.users), int) for _ in range(worlds)]

    def read(self, picture: bytes) -> list[dict[str, np.ndarray]]:
        """Zones' columns and sensors' bytes of each world; users are kept in `seen`."""
        version, changes, worlds, self.playing, self.number, self.time_s = HEAD.unpack_from(picture)
        assert (version, worlds) == (1, self.worlds)
        at, found = HEAD.size, []

        def take(kind: Any, count: int) -> np.ndarray:
            nonlocal at
            array = np.frombuffer(picture, kind, count, at)
            at += array.nbytes
            return array

        for users in self.seen:
            which = np.ones(self.users, bool)
            if changes:
                bits = take("u1", -(-self.users // 8))
                which = np.unpackbits(bits, bitorder="little")[: self.users].astype(bool)
            for row, kind in zip(users, ("<u2", "<u2", self.type), strict=True):
                row[which] = take(kind, which.sum())
            found.append({"sensors": take("u1", self.sensors)})
            found[-1] |= {name: take(kind, self.zones) for name, kind in ZONE_COLUMNS}
        assert at == len(picture)
        return found


def city_of(scenario: str = "city-30", **wishes: Any) -> LiveCity:
    """A city by itself, reset."""
    wished = Wishes(scenario=scenario, **wishes)
    offer = Offer()
    settings = offer.scenario(wished)
    world = World(settings)
    world.reset(wished.seed)
    return LiveCity(settings, wished, wished.side, offer, world)


# -- pictures ----------------------------------------------------------------------------------------------------------


def test_a_picture_says_where_everybody_is() -> None:
    city = city_of()
    for _ in range(30):
        city.step()
    reading = Reading(city.scenario)
    picture = Picture(7, 30.0, True, (city.glimpse(),), None)
    zones = reading.read(picture.whole)[0]
    world = city.world
    x, _, zone = reading.seen[0]
    present = world.devices[0, : len(x)]["present"] != 0
    side = city.scenario.map.width_m
    assert x[present] * side / 65535 == pytest.approx(world.user_positions[0, present, 0], abs=side / 65535)
    attached = world.devices[0, : len(x)]["attached"] != 0
    assert zone[attached & present].tolist() == world.devices[0, : len(x)]["station"][attached & present].tolist()
    assert (zone[~present] == 255).all()
    assert (zone[present & ~attached] == 254).all()
    assert zones["users"].tolist() == world.attached[0, :, 0].tolist()
    assert zones["requests"].tolist() == world.queue_lengths[0, :, 0].tolist()
    assert (reading.number, reading.time_s, reading.playing) == (7, 30.0, 1)


def test_changes_come_to_the_same_as_the_whole() -> None:
    city, other = city_of(), None
    whole, changing = Reading(load("city-30")), Reading(load("city-30"))
    for number in range(5):
        for _ in range(7):
            city.step()
        picture = Picture(number, city.time_s, True, (city.glimpse(),), other)
        whole.read(picture.whole)
        changing.read(picture.whole if number == 0 else picture.changes)
        assert (whole.seen[0] == changing.seen[0]).all()
        if number:
            assert len(picture.changes) < len(picture.whole) / 2
        other = picture.now


def test_a_sensor_is_fresh_in_the_picture_after_its_update_and_only_there() -> None:
    world = World(SMALL)
    world.reset(0)
    view, reading = Viewpoint(world.scenario), Reading(world.scenario)
    fresh = []
    for number in range(12):
        newest = world.devices[0]["newest"][world.scenario.users.count :].copy()
        world.step(np.full((1, 1, 2), 0.5))
        glimpse = view.glimpse(world, np.zeros(1), 1.0)
        sensors = reading.read(Picture(number, 0.0, True, (glimpse,), None).whole)[0]["sensors"]
        assert ((sensors & 128 > 0) == (world.devices[0]["newest"][world.scenario.users.count :] > newest)).all()
        assert ((sensors & 127) == world.sensor_ages[0]).all()
        fresh.append((sensors & 128 > 0).any())
    assert any(fresh)


# -- viewers -----------------------------------------------------------------------------------------------------------


def _picture(number: int) -> Picture:
    glimpse = Glimpse(*(np.full(2, number, "u1") for _ in range(3)), b"")
    return Picture(number, 0.0, True, (glimpse,), None if number == 0 else (_picture(0).now[0],))


def test_who_misses_a_picture_gets_a_whole_one_next() -> None:
    async def look() -> list[bytes | str]:
        viewer = Viewer()
        got = []
        for numbers in ((0,), (1,), (2, 3), (4,)):
            for number in numbers:
                viewer.show(_picture(number))
            got.append(await viewer.next())
        return got

    got = asyncio.run(look())
    assert got == [_picture(0).whole, _picture(1).changes, _picture(3).whole, _picture(4).changes]


def test_messages_come_before_pictures_and_who_does_not_read_them_is_left() -> None:
    async def look() -> None:
        viewer = Viewer()
        viewer.show(_picture(0))
        viewer.tell(b'"one"')
        assert [await viewer.next() for _ in range(2)] == ['"one"', _picture(0).whole]
        for _ in range(MOST_MESSAGES):
            viewer.tell(b"")
        assert not viewer.gone
        viewer.tell(b"")
        assert viewer.gone

    asyncio.run(look())


# -- wishes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wishes", "sentence"),
    [
        ({"scenario": "/etc/passwd"}, "the scenario '/etc/passwd' is not offered here"),
        ({"forecaster": "/tmp"}, "the forecaster '/tmp' is not offered here"),
        ({"side": {"split": "look-ahead"}}, "searches for minutes"),
        ({"side": {"split": "fixed:2,0"}}, "a fixed split looks like"),
        ({"side": {"recommender": "hpaa"}}, "did you mean 'hpa'"),
        ({"rival": {"recommender": "foresight"}}, "is handed the future"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(wishes: dict[str, Any], sentence: str) -> None:
    with pytest.raises((ValueError, PolicyError), match=sentence):
        Offer().check(Wishes(**wishes))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("nonsense", "Invalid JSON"),
        ("[]", "the message: Input should be an object"),
        ('{"do": "explode"}', "do: Input should be 'play'"),
        ('{"do": "speed"}', "the command speed needs value"),
        ('{"do": "speed", "value": 1e9}', "value: Input should be less than or equal to 600"),
        ('{"do": "crowd"}', "the command crowd needs zone"),
        ('{"do": "play", "more": 1}', "more: Extra inputs are not permitted"),
        (f'{{"do": "crowd", "zone": "{"x" * MOST_TEXT}"}}', "at most 4,096 are read"),
    ],
)
def test_a_message_that_is_no_command_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(ScenarioError, match=sentence):
        read_command(text)


def test_events_keep_their_hour_whenever_the_city_begins() -> None:
    scenario = load("city-30")
    moved = beginning_at(scenario, day=5, hour=14.0)
    assert scenario.city is not None
    assert moved.city is not None
    clock_s = 5 * 86_400 + 14 * 3600.0
    before = {event.name: event.from_s for event in scenario.city.events}
    after = {event.name: (event.from_s + clock_s) % 604_800 for event in moved.city.events}
    assert after == before
    assert all(event.from_s >= 0 for event in moved.city.events)
    assert beginning_at(load(SMALL), 5, 14.0) == load(SMALL)


# -- cities ------------------------------------------------------------------------------------------------------------


def test_a_crowd_raises_what_one_zone_asks_for_and_nothing_is_lost_of_the_rest() -> None:
    calm, crowded = city_of(), city_of()
    asked = []
    for city in (calm, crowded):
        for _ in range(90):
            city.step()
        if city is crowded:
            city.draw_crowd("arena")
        rows = [row for _ in range(330) if (row := city.step()) is not None]
        asked.append(sum(row["requests"] for row in rows[1:]))
    arena = calm.zones.index("arena")
    assert asked[1][arena] > 2 * asked[0][arena]
    others = np.arange(len(calm.zones)) != arena
    assert asked[1][others].sum() == pytest.approx(asked[0][others].sum(), rel=0.05)
    assert crowded.time_s == calm.time_s


def test_a_crowd_needs_a_zone_and_a_city() -> None:
    with pytest.raises(ScenarioError, match="there is no zone 'nowhere' in city-30"):
        city_of().draw_crowd("nowhere")
    city = city_of(SMALL)
    with pytest.raises(ScenarioError, match="has no city in which people gather"):
        city.draw_crowd(city.zones[0])


def test_a_station_that_is_taken_down_serves_nobody_until_it_comes_up() -> None:
    city = city_of()
    market = city.zones.index("market")
    watch = CityWatch(city.scenario, city.world)
    for _ in range(5):
        city.step()
    assert city.world.attached[0, market, 0] > 0
    said = []
    for closed in (True, False):
        city.close("market", closed)
        for _ in range(20):  # users come back only when the station has been heard better for a while
            city.step()
        said += list(watch.happenings(city.scenario, city.world))
        assert (city.world.attached[0, market, 0] == 0) == closed
    assert [(one["zone"], one["kind"]) for one in said] == [("market", "failure")] * 2
    assert "down" in said[0]["text"]
    assert "up again" in said[1]["text"]


def test_two_policies_meet_the_same_people_and_the_same_seed_the_same_city() -> None:
    one, other = city_of(), city_of(side=Side(split="fixed:0.9,0.9", recommender="static"))
    again, another = city_of(), city_of(seed=1)
    for city in (one, other, again, another):
        for _ in range(60):
            city.step()
    assert (one.world.user_positions == other.world.user_positions).all()
    assert (one.world.queue_lengths != other.world.queue_lengths).any()
    assert (one.world.queue_lengths == again.world.queue_lengths).all()
    assert (one.world.user_positions != another.world.user_positions).any()


def test_static_leaves_every_zone_its_size_and_others_do_not() -> None:
    sizes = {}
    for recommender in ("static", "hpa"):
        city = city_of(side=Side(recommender=recommender))
        before = city.city.allocations()
        for _ in range(420):
            if city.step() is not None:
                city.decide()
        city.step()
        sizes[recommender] = (before, city.city.allocations())
    assert np.allclose(sizes["static"][0][:, :2], sizes["static"][1][:, :2])
    assert not np.allclose(sizes["hpa"][0][:, :2], sizes["hpa"][1][:, :2])


@pytest.mark.parametrize("forecaster", FORECASTERS)
def test_forecasts_begin_when_enough_is_known_and_look_farther_as_more_is(forecaster: str) -> None:
    city = city_of()
    forecast = GrowingForecast(forecaster, city.scenario)
    looked = []
    while len(looked) < 33:
        if city.step() is not None:
            found = forecast(city.city.usage(), city.time_s)
            looked.append(0 if found is None else len(found.times))
            if found is not None:
                assert found.times[0] == city.time_s
                assert np.isfinite(found.values[:, :, :2]).all()
    assert looked[:15] == [0] * 15
    assert looked[15] == 4
    assert looked[31] == 8


def test_short_episodes_add_up_until_there_are_forecasts() -> None:
    """Episodes of 50 steps have five intervals; forecasts need sixteen."""
    city = city_of(SMALL)
    known = []
    for _ in range(4):
        while not city.ended:
            if city.step() is not None:
                known.append(city.decide().forecasts is not None)
        past = city.past()
        assert past.times[-1] == -city.interval_s
        city.world.reset()
        city = LiveCity(city.scenario, Wishes(scenario=SMALL), city.side, Offer(), city.world, past)
    assert known == [False] * 15 + [True] * 5
    assert len(city.past()) == 20


def test_a_planned_event_is_told_when_people_come_when_it_begins_and_when_it_ends() -> None:
    scenario = beginning_at(load("city-30"), day=2, hour=8.99)  # a minute before market day
    world = World(scenario)
    world.reset(0)
    watch = CityWatch(scenario, world)
    told = []
    for _ in range(120):
        world.step(np.full((1, world.num_stations, 2), 0.5))
        told += list(watch.happenings(scenario, world))
    assert [(one["zone"], one["text"]) for one in told if "market day" in one["text"]] == [
        ("market", "market day: begins")
    ]
    market = [station.name for station in scenario.stations].index("market")
    assert "market day" in watch.going_on(scenario, world)[market]


def test_every_policy_has_its_reason_in_words() -> None:
    assert rule_of("fixed:0.5,0.5") == "it is always the same"
    assert rule_of("runs/ppo") == "as the policy has learned"


# -- the page and its WebSocket ----------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No run before a city counts."""
    monkeypatch.setattr(session_module, "LEAD_IN", 0)


@pytest.fixture
def client(quick: None) -> Iterator[TestClient]:
    offer = Offer(wishes=Wishes(scenario="city-30", side=Side(recommender="hpa")))
    settings = LiveSettings(speed=300, max_sessions=2, max_viewers=3)
    with TestClient(create_live_app(offer, settings), base_url="http://127.0.0.1:8080") as client:
        yield client


def look(client: TestClient, session: str = "main", **options: Any) -> Any:
    """A WebSocket to a session."""
    return client.websocket_connect(f"ws://127.0.0.1:8080/live/socket?session={session}", **options)


def next_of(socket: Any, kind: str) -> Any:
    """The next message of a type, or picture."""
    while True:
        message = socket.receive()
        if message.get("bytes") is not None:
            if kind == "picture":
                return message["bytes"]
        elif "text" in message:
            content = json.loads(message["text"])
            if content["type"] == kind:
                return content
        else:
            raise AssertionError(f"closed before a {kind} came: {message}")


def test_the_page_comes_with_what_it_needs_and_asks_nobody_else(client: TestClient) -> None:
    page = client.get("/")
    assert page.url.path == "/live"
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    for word in page.text.split('"'):
        if word.startswith("/live/"):
            assert client.get(word).status_code == 200, word
    assert "<script>" not in page.text
    assert "style=" not in page.text
    for name in ("main.js", "map.js", "charts.js", "store.js", "picture.js", "record.js"):
        text = client.get(f"/live/{name}").text
        assert "http://" not in text
        assert "https://" not in text


@pytest.mark.parametrize(
    "path", ["/live/nothing.js", "/live/../application.py", "/live/%2e%2e/hub.py", "/live/vendor/"]
)
def test_nothing_else_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_viewer_is_told_everything_then_sees_the_city_move(client: TestClient) -> None:
    with look(client) as socket:
        hello = next_of(socket, "hello")
        assert len(hello["zones"]) == 30
        assert hello["users"] == 3000
        assert len(hello["sensors"]) == 300
        assert hello["sides"] == [
            {"split": "backlog-proportional", "rule": rule_of("backlog-proportional"), "recommender": "hpa"}
        ]
        reading = Reading(load("city-30"))
        times = []
        for _ in range(4):
            reading.read(next_of(socket, "picture"))
            times.append(reading.time_s)
        assert times == sorted(times)
        assert times[-1] > times[0]
        interval = next_of(socket, "interval")
        assert [len(interval["worlds"][0][name]) for name in ("cpu_cores", "aori_s", "queues")] == [30] * 3
        happenings = next_of(socket, "happenings")["happenings"]
        assert any(one["kind"] == "scale" and "replicas" in one["text"] for one in happenings)


def test_ten_who_look_share_one_city(quick: None) -> None:
    app = create_live_app(Offer(wishes=Wishes(scenario=SMALL)), LiveSettings(max_viewers=10))
    with TestClient(app, base_url="http://127.0.0.1:8080") as client, contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(look(client)) for _ in range(10)]
        for socket in sockets:
            next_of(socket, "hello")
        assert app.state.hub.sessions == ["main"]
        assert app.state.hub.viewers == 10
        sockets[3].send_text('{"do": "speed", "value": 5}')
        for socket in sockets:
            assert next_of(socket, "state")["speed"] == 5
        with look(client) as eleventh:
            assert "10 pages look already" in next_of(eleventh, "refused")["text"]


def test_pause_step_and_play_do_what_they_say(client: TestClient) -> None:
    with look(client) as socket:
        next_of(socket, "picture")
        socket.send_text('{"do": "pause"}')
        assert next_of(socket, "state")["playing"] is False
        reading, times = Reading(load("city-30")), []
        for _ in range(3):
            socket.send_text('{"do": "step"}')
            reading.read(next_of(socket, "picture"))
            while reading.playing:  # one of before the pause
                reading.read(next_of(socket, "picture"))
            times.append(reading.time_s)
        assert np.diff(times).tolist() == [1, 1]
        socket.send_text('{"do": "play"}')
        while not next_of(socket, "state")["playing"]:
            pass


def test_another_city_begins_for_everybody_who_looks(client: TestClient) -> None:
    with look(client) as one, look(client) as other:
        for socket in (one, other):
            next_of(socket, "hello")
        wishes = Wishes(scenario=SMALL, seed=5, side=Side(split="max-weight"), rival=Side(recommender="vpa"))
        begin(one, wishes)
        for socket in (one, other):
            hello = next_of(socket, "hello")
            assert hello["wishes"]["seed"] == 5
            assert [side["split"] for side in hello["sides"]] == ["max-weight", "backlog-proportional"]
            picture = next_of(socket, "picture")
            while HEAD.unpack_from(picture)[2] != 2:
                picture = next_of(socket, "picture")


def test_an_episode_that_is_over_is_followed_by_the_next(quick: None) -> None:
    offer = Offer(wishes=Wishes(scenario=SMALL))
    with (
        TestClient(create_live_app(offer, LiveSettings(speed=600)), base_url="http://127.0.0.1:8080") as client,
        look(client) as socket,
    ):
        places = [next_of(socket, "hello")["sensors"] for _ in range(3)]
        assert places[0] != places[1] != places[2] != places[0]  # each episode has its own
        assert "the next one of this seed begins" in next_of(socket, "happenings")["happenings"][-1]["text"]
    world = World(SMALL)
    world.reset(0)
    for place in places:
        assert world.sensor_positions[0].round(1).tolist() == place
        world.reset()


def test_a_wrong_command_is_answered_in_one_sentence_and_nothing_stops(client: TestClient) -> None:
    with look(client) as socket:
        for text, sentence in (
            ("{}", "do: Field required"),
            ('{"do": "begin", "wishes": {"scenario": "my.toml"}}', "the scenario 'my.toml' is not offered here"),
            ('{"do": "fail", "zone": "nowhere"}', "there is no zone 'nowhere'"),
        ):
            socket.send_text(text)
            assert sentence in next_of(socket, "error")["text"]
        socket.send_text('{"do": "fail", "zone": "market"}')
        while not any("taken down by hand" in one["text"] for one in next_of(socket, "happenings")["happenings"]):
            pass


def begin(socket: Any, wishes: Wishes) -> None:
    """Ask for another city."""
    socket.send_text(json.dumps({"do": "begin", "wishes": wishes.model_dump()}))


def test_a_city_that_cannot_go_on_is_held_and_another_one_can_begin(client: TestClient) -> None:
    with look(client) as socket:
        next_of(socket, "hello")
        begin(socket, Wishes(side=Side(recommender="forecast:level=0.77")))
        socket.send_text('{"do": "speed", "value": 600}')
        assert "the city is held: the level 0.77 is not forecast" in next_of(socket, "error")["text"]
        assert next_of(socket, "state")["playing"] is False
        begin(socket, Wishes(scenario=SMALL, seed=3))
        while next_of(socket, "hello")["wishes"]["seed"] != 3:
            pass
        socket.send_text('{"do": "play"}')
        next_of(socket, "interval")


def test_a_city_that_cannot_begin_leaves_the_one_before(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(scenario: Scenario, wishes: Wishes, side: Side, *rest: Any) -> LiveCity:
        if wishes.seed == 9:
            raise ScenarioError("this cannot be")
        return LiveCity(scenario, wishes, side, *rest)

    monkeypatch.setattr(session_module, "LiveCity", refuse)
    with look(client) as socket:
        next_of(socket, "hello")
        begin(socket, Wishes(scenario=SMALL, seed=9))
        assert next_of(socket, "hello")["wishes"]["seed"] == 9
        assert next_of(socket, "hello")["wishes"]["seed"] == 0
        assert next_of(socket, "error")["text"] == "this cannot be"
        next_of(socket, "interval")


@pytest.mark.parametrize(
    "headers",
    [{"origin": "http://evil.example"}, {"origin": "http://127.0.0.1:9"}, {"origin": "null"}, {"host": "evil.example"}],
)
def test_pages_of_other_sites_are_refused(client: TestClient, headers: dict[str, str]) -> None:
    with look(client, headers=headers) as socket:
        assert next_of(socket, "refused")["code"] == REFUSED


def test_the_own_page_is_let_in(client: TestClient) -> None:
    with look(client, headers={"origin": "http://127.0.0.1:8080"}) as socket:
        next_of(socket, "hello")


def test_sessions_are_bounded_and_have_plain_names(client: TestClient) -> None:
    with look(client) as first, look(client, "mine") as second:
        next_of(first, "hello")
        next_of(second, "hello")
        with look(client, "third") as socket:
            assert "2 sessions run already; join one (main, mine)" in next_of(socket, "refused")["text"]
        with look(client, "../x") as socket:
            assert "up to 32 of the characters" in next_of(socket, "refused")["text"]


def test_a_session_that_nobody_looks_at_ends(client: TestClient) -> None:
    hub = client.app.state.hub
    with look(client, "mine") as socket:
        next_of(socket, "hello")
        hub.settings = LiveSettings(max_sessions=2, idle_s=1e-6)
        hub.tidy()
        assert "mine" in hub.sessions
    hub.tidy()
    assert "mine" not in hub.sessions


# -- at /live of the service -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("live") / "model"
    save_model(folder, name="last-value")
    return folder


def test_the_service_has_the_page_and_tells_what_it_is_asked(model: Path, quick: None) -> None:
    with client_of(model) as client:
        client.base_url = "http://127.0.0.1:8000"
        assert client.get("/live").status_code == 200
        with client.websocket_connect("ws://127.0.0.1:8000/live/socket") as socket:
            next_of(socket, "hello")
            client.post("/predict", json={"zone_name": "north", "active_users": 3})
            told: list[str] = []
            while not any("POST /predict 200" in text for text in told):
                told += [one["text"] for one in next_of(socket, "happenings")["happenings"]]


def test_with_a_token_the_page_asks_for_it(model: Path, quick: None) -> None:
    with client_of(model, token="secret") as client:
        assert client.get("/live").status_code == 200
        assert client.get("/live/main.js").status_code == 200
        assert client.get("/livestock").status_code == 401
        address = "ws://127.0.0.1:8000/live/socket"
        for protocols in ([PROTOCOL], [PROTOCOL, "token.d3Jvbmc"], [PROTOCOL, "token.???"]):
            with client.websocket_connect(address, subprotocols=protocols) as socket:
                assert next_of(socket, "refused")["code"] == NO_TOKEN
        known = base64.urlsafe_b64encode(b"secret").decode().rstrip("=")
        with client.websocket_connect(address, subprotocols=[PROTOCOL, f"token.{known}"]) as socket:
            assert socket.accepted_subprotocol == PROTOCOL
            next_of(socket, "hello")


def test_the_page_can_be_left_out(model: Path) -> None:
    with client_of(model, live_sessions=0) as client:
        assert client.get("/live").status_code == 404


def test_a_city_runs_before_it_counts() -> None:
    assert LEAD_IN >= FEWEST  # so that a forecaster can be fitted when it begins to count
