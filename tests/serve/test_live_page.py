"""The live page in Chromium: controls do what they say, by mouse and by keyboard, dark and light, without an error."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from autoscale.kubernetes.things import deployment
from autoscale.kubernetes.watched import event, watched_server

from metalore.autoscale.kubernetes.watch import connected
from metalore.serve.live import session
from metalore.serve.live.application import create_live_app
from metalore.serve.live.cluster import ClusterNews
from metalore.serve.live.hub import LiveSettings
from metalore.serve.live.wishes import Offer, Side, Wishes

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install metalore[dev]")
CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("Chromium is not installed: tools/install-chromium", allow_module_level=True)
WAIT_MS = 60_000


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A city that runs fast, and counts from its first interval on, on a free port."""
    lead_in, session.LEAD_IN = session.LEAD_IN, 0
    offer = Offer(wishes=Wishes(side=Side(recommender="hpa")))
    with served(create_live_app(offer, LiveSettings(speed=120, max_sessions=20, idle_s=60))) as found:
        yield found
    session.LEAD_IN = lead_in


@contextlib.contextmanager
def served(app: Any) -> Iterator[str]:
    """On a free port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, ws="websockets-sansio", log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/live"
    server.should_exit = True
    thread.join(timeout=10)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any, address: str, request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Opens the page in the session that all share, or in the test's own; what its console says fails the test."""
    said: list[str] = []
    contexts = []

    def open_page(query: str = "", size: tuple[int, int] = (1280, 720), own: bool = False, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda asked: said.append(asked.url) if not asked.url.startswith(address) else None)
        name = "".join(c if c.isalnum() else "-" for c in request.node.name)[:32] if own else "main"
        page.goto(f"{address}?session={name}{query}")
        page.wait_for_selector("body[data-pictures]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [one for one in said if not one.startswith("blob:")] == []


def clock(page: Any) -> str:
    """What the clock shows."""
    return str(page.locator("#clock").text_content())


def becomes(page: Any, selector: str, text: str) -> None:
    """Wait until an element says it."""
    sync_api.expect(page.locator(selector)).to_contain_text(text, timeout=WAIT_MS)


def test_the_city_moves_and_its_figures_charts_and_happenings_fill(opened: Any) -> None:
    page = opened()
    becomes(page, "#scenario", "city-30, seed 0")
    becomes(page, "#figures", "cores used")
    before = page.evaluate("[...metalore.map.worlds[0].toX]")
    sync_api.expect(page.locator("#feed li")).not_to_have_count(0)
    moved = page.evaluate("(before) => metalore.map.worlds[0].toX.filter((x, u) => x !== before[u]).length", before)
    assert moved > 50
    given = page.evaluate("metalore.charts.data('cores').given")
    assert max(given) == pytest.approx(150, rel=0.01)
    assert page.evaluate("metalore.map.stats.frames") > 10


def test_the_map_is_drawn_where_users_are(opened: Any) -> None:
    page = opened(own=True)
    page.click("#play")
    becomes(page, "#play", "Play")
    page.wait_for_timeout(1500)  # all have come to rest
    drawn = page.evaluate("""() => {
        const { map } = metalore, world = map.worlds[0], place = map.places[0];
        const user = world.zone.findIndex((zone, u) => zone < map.reader.lone && Math.min(...map.stations.map(
            ([x, y]) => Math.hypot(x - world.toX[u] * place.width, y - world.toY[u] * place.height))) > 40);
        const x = Math.round(place.left) + world.toX[user] * place.width;
        const y = Math.round(place.top) + world.toY[user] * place.height;
        const probe = document.createElement("canvas").getContext("2d");
        probe.fillStyle = map.colours[world.zone[user]];
        probe.fillRect(0, 0, 1, 1);
        return [[...map.context.getImageData(x, y, 1, 1).data], [...probe.getImageData(0, 0, 1, 1).data]];
    }""")
    assert drawn[0] == pytest.approx(drawn[1], abs=60)


def test_pause_step_and_speed(opened: Any) -> None:
    page = opened(own=True)
    page.click("#play")
    becomes(page, "#play", "Play")
    becomes(page, "#pace", "paused")
    page.wait_for_timeout(300)
    stopped = clock(page)
    page.wait_for_timeout(700)
    assert clock(page) == stopped
    page.click("#step")
    sync_api.expect(page.locator("#clock")).not_to_have_text(stopped)
    seconds = [int(text[-2:]) for text in (stopped, clock(page))]
    assert (seconds[1] - seconds[0]) % 60 == 1
    page.select_option("#speed", "10")
    page.click("#play")
    becomes(page, "#play", "Pause")
    assert page.input_value("#speed") == "10"


def test_a_zone_is_chosen_by_click_and_tells_its_story(opened: Any) -> None:
    page = opened()
    becomes(page, "#figures", "users")
    x, y = page.evaluate("""() => {
        const { map } = metalore, z = map.hello.zones.findIndex((zone) => zone.name === "arena");
        const { left, top } = map.places[0], [x, y] = map.stations[z];
        return [(left + x) / map.ratio, (top + y) / map.ratio];
    }""")
    page.click("#map", position={"x": x, "y": y})
    becomes(page, "#scope", "arena (arena)")
    becomes(page, "#why", "of the band and")
    becomes(page, "#why", "in proportion to what waits of each")
    assert page.locator("#zone").evaluate("(select) => select.selectedOptions[0].text") == "arena"
    page.keyboard.press("Escape")
    becomes(page, "#scope", "The whole city")


def test_a_crowd_and_a_failure_act_on_the_city_and_are_told(opened: Any) -> None:
    page = opened("&zone=market", own=True)
    becomes(page, "#scope", "market")
    page.click("#fail")
    becomes(page, "#feed", "the station is taken down by hand")
    becomes(page, "#feed", "the station is down; its jobs are lost")
    becomes(page, "#fail", "Bring up")
    becomes(page, "#now", "down")
    page.click("#fail")
    becomes(page, "#feed", "the station is up again")
    becomes(page, "#fail", "Take down")
    page.click("#crowd")
    becomes(page, "#feed", "a crowd is asked for")
    becomes(page, "#feed", "crowd: begins")
    becomes(page, "#spoken", "market")


def test_settings_begin_another_city_with_two_policies_side_by_side(opened: Any) -> None:
    page = opened(own=True)
    page.click("#settings")
    assert page.locator("#settings-dialog").is_visible()
    assert page.input_value("#speed") == "120"
    page.fill("[name=seed]", "7")
    page.fill("[name=hour]", "17.5")
    page.fill("[name=split]", "fixed:0.7,0.7")
    page.check("[name=compare]")
    page.fill("[name=rival-recommender]", "threshold")
    page.click("#settings-dialog button[type=submit]")
    becomes(page, "#scenario", "seed 7")
    becomes(page, "#clock", "17:")
    becomes(page, "#figures", "A")
    assert page.evaluate("metalore.map.worlds.length") == 2
    sides = page.evaluate("metalore.map.hello.sides.map((s) => [s.split, s.recommender])")
    assert sides == [["fixed:0.7,0.7", "hpa"], ["backlog-proportional", "threshold"]]
    labels = page.evaluate("Object.keys(metalore.charts.data('ages'))")
    assert labels == ["AoRI A", "AoSI A", "AoRI B", "AoSI B"]
    assert len(page.locator("#figures tr").nth(1).locator("td").all()) == 2
    page.keyboard.press("]")
    becomes(page, "#why", "B: Requests get")
    check_boxes(page, 1280, 720)


def test_what_cannot_be_is_said_and_the_city_goes_on(opened: Any) -> None:
    page = opened()
    page.keyboard.press("s")
    page.fill("[name=recommender]", "hpaa")
    page.click("#settings-dialog button[type=submit]")
    becomes(page, "#notice", "did you mean 'hpa'")
    now = clock(page)
    sync_api.expect(page.locator("#clock")).not_to_have_text(now)


def test_keys_do_what_help_says(opened: Any) -> None:
    page = opened(own=True)
    page.keyboard.press("Space")
    becomes(page, "#play", "Play")
    page.keyboard.press("Space")
    becomes(page, "#play", "Pause")
    page.keyboard.press("+")
    sync_api.expect(page.locator("#speed")).to_have_value("300")
    page.keyboard.press("-")
    sync_api.expect(page.locator("#speed")).to_have_value("120")
    page.keyboard.press("]")
    becomes(page, "#scope", "garden-suburb")
    page.keyboard.press("[")
    becomes(page, "#scope", "lakeside")
    page.focus("#map")
    page.keyboard.press("ArrowLeft")
    becomes(page, "#scope", "stadium")
    page.keyboard.press("ArrowDown")
    becomes(page, "#scope", "north-gate")
    page.keyboard.press("c")
    becomes(page, "#feed", "a crowd is asked for")
    page.keyboard.press("f")
    becomes(page, "#feed", "taken down by hand")
    page.keyboard.press("?")
    assert page.locator("#help-dialog").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#help-dialog").is_visible()
    becomes(page, "#scope", "north-gate")  # Escape closed the dialog and nothing else


def test_every_control_has_a_name_and_is_reached_by_tab(opened: Any) -> None:
    page = opened()
    nameless = page.evaluate("""() => [...document.querySelectorAll("button, select, input, canvas, [role=img]")]
        .filter((one) => !(one.labels?.length || one.ariaLabel || one.textContent.trim() || one.closest("[role=img]")))
        .map((one) => one.outerHTML)""")
    assert nameless == []
    page.select_option("#zone", label="market")
    reached = set()
    page.locator("body").focus()
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert {"play", "step", "speed", "settings", "record", "theme", "help", "map", "zone", "crowd", "fail"} <= reached


def _luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in colour[4:-1].split(",")]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_both_themes_are_readable(opened: Any, theme: str, tmp_path: Path) -> None:
    page = opened(color_scheme=theme)
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    becomes(page, "#figures", "users")
    for selector in ("#clock", "#figures td", "#figures th", "figcaption", ".legend li", "#play", "#settings", "#feed"):
        ink, paper = page.evaluate("""(selector) => {
            let one = document.querySelector(selector);
            const ink = getComputedStyle(one).color;
            while (getComputedStyle(one).backgroundColor === "rgba(0, 0, 0, 0)") one = one.parentElement;
            return [ink, getComputedStyle(one).backgroundColor];
        }""", selector)  # fmt: skip
        light, dark = sorted((_luminance(ink), _luminance(paper)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, selector  # WCAG 2.2, 1.4.3
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") != theme
    page.screenshot(path=tmp_path / "page.png")


def check_boxes(page: Any, width: int, height: int) -> None:
    """Everything has room, and lies on the screen where the page does not scroll."""
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = page.evaluate("""() => ["play", "map", "zone", "story", "cores", "ages", "queues", "feed"].map((id) => {
        const { left, top, right, bottom } = document.getElementById(id).getBoundingClientRect();
        return [id, left, top, right, bottom];
    })""")
    for name, left, top, right, bottom in boxes:
        assert right - left > 40, name
        assert bottom - top > 25, name
        assert left >= 0, name
        assert right <= width, name
        if width > 960:
            assert top >= 0, name
            assert bottom <= height, name


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080), (700, 900)])
def test_nothing_lies_outside_the_page(opened: Any, size: tuple[int, int]) -> None:
    page = opened(size=size)
    becomes(page, "#figures", "users")
    check_boxes(page, *size)
    page.keyboard.press("]")
    becomes(page, "#why", "of the band")
    check_boxes(page, *size)


def test_the_map_is_recorded_as_a_video(opened: Any) -> None:
    page = opened()
    page.click("#record")
    becomes(page, "#record", "End recording")
    page.wait_for_timeout(1500)
    with page.expect_download() as download:
        page.click("#record")
    path = download.value.path()
    assert download.value.suggested_filename == "metalore-city-30.webm"
    assert Path(path).read_bytes()[:4] == b"\x1aE\xdf\xa3"  # of Matroska and WebM
    assert Path(path).stat().st_size > 20_000
    becomes(page, "#record", "Record")


def test_who_comes_later_sees_what_has_happened(opened: Any) -> None:
    first = opened(own=True)
    first.select_option("#zone", label="market")
    first.click("#fail")
    becomes(first, "#feed", "taken down by hand")
    becomes(first, "#figures", "users")
    later = opened("&zone=market", own=True)
    becomes(later, "#feed", "taken down by hand")
    assert later.evaluate("metalore.store.intervals.length") > 0


def test_what_changes_in_a_cluster_is_shown_as_text(browser: Any) -> None:
    said: list[str] = []
    with watched_server() as server:
        server.objects["deployments"] = [deployment("market")]
        app = create_live_app(cluster=ClusterNews(connected(server.config()), "city"))
        with served(app) as address, browser.new_context() as context:
            page = context.new_page()
            page.on("console", lambda message: said.append(message.text))
            page.goto(f"{address}?zone=market")
            becomes(
                page, "#cluster", "In the cluster it has requests and limits 1 CPU, 1G memory; bandwidth 100 Mbit/s."
            )
            server.emit("deployments", "MODIFIED", deployment("market", cpu="1500m"))
            becomes(page, "#feed", "requests and limits 1 CPU, 1G memory → 1500m CPU, 1G memory")
            becomes(page, "#cluster", "In the cluster it has requests and limits 1500m CPU, 1G memory")
            server.emit("events", "ADDED", event("e", '<img src="x" onerror="alert(1)"> are expected', about="market"))
            becomes(page, "#feed", 'Resized: <img src="x" onerror="alert(1)"> are expected')
            assert page.locator("#feed img").count() == 0
            assert page.locator("#feed .cluster").first.text_content() == "cluster"
            page.keyboard.press("Escape")
            becomes(page, "#cluster", "Cluster: namespace 'city' is followed, 1 zone in it.")
            page.locator("#feed li", has_text="are expected").get_by_role("button", name="market").click()
            becomes(page, "#scope", "market")
            server.stop()
            becomes(page, "#cluster", "the API server does not answer")
            server.start()
            sync_api.expect(page.locator("#cluster")).not_to_contain_text("Cluster:", timeout=WAIT_MS)
    assert said == []
