"""A film of the live page, taken in a Chromium without a window; needs the film extra.

Film time is not the machine's: for each frame the session's clock and the page's go on by one frame, and then the page
is looked at. So frames are even, and the same seed gives the same film, however slow the machine is.
"""

from __future__ import annotations

import base64
import io
import math
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metalore.serve.live.clock import FilmClock

if TYPE_CHECKING:
    from metalore.serve.live.hub import LiveSettings
    from metalore.serve.live.session import Session
    from metalore.serve.live.wishes import Offer

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LEAST, MOST = (640, 360), (3840, 2160)
MOST_SECONDS, MOST_FPS = 3600.0, 60.0
_PATIENCE_S = 30.0
_LOOK_S = 0.002


@dataclass(frozen=True)
class Take:
    """How the page is filmed.

    Attributes:
        path: where to; .gif, .mp4 or .webm.
        seconds: of the film.
        fps: frames a second.
        size: width and height in pixels.
        theme: dark or light.

    Raises:
        ValueError: one of them cannot be.
    """

    path: Path
    seconds: float = 20.0
    fps: float = 20.0
    size: tuple[int, int] = (1280, 720)
    theme: str = "dark"

    def __post_init__(self) -> None:
        for name, value, most in (("seconds", self.seconds, MOST_SECONDS), ("fps", self.fps, MOST_FPS)):
            if not 0 < value <= most:
                raise ValueError(f"--{name} is {value:g}; it must be above 0 and at most {most:g}")
        if not all(least <= side <= most for least, side, most in zip(LEAST, self.size, MOST, strict=True)):
            raise ValueError(f"--size is {self.pixels}; it must be from {_in_pixels(LEAST)} to {_in_pixels(MOST)}")
        if self.theme not in ("dark", "light"):
            raise ValueError(f"--theme is {self.theme!r}; there are dark and light")

    @property
    def pixels(self) -> str:
        """The size, as it is given."""
        return _in_pixels(self.size)

    @property
    def frames(self) -> int:
        """How many, one at least."""
        return max(1, round(self.seconds * self.fps))


def size_of(text: str) -> tuple[int, int]:
    """Width and height from a text like 1280x720.

    Raises:
        ValueError: it is none.
    """
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if found is None:
        raise ValueError(f"--size is {text!r}; write width and height in pixels, like 1280x720")
    return int(found[1]), int(found[2])


def _in_pixels(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def film(offer: Offer, settings: LiveSettings, take: Take, progress: Callable[[int, int], None]) -> None:
    """Run the page at an address of this machine, and film it.

    Args:
        offer: what the page begins with.
        settings: of the page; it must play.
        take: how it is filmed.
        progress: is told frames done, and all there will be.

    Raises:
        ValueError: the page does not play, or there is no Chromium, or it or the city fails.
        DependencyNotInstalled: what writes the file is missing.
        ModuleNotFoundError: playwright is missing.
    """
    from metalore.envs.recording import Recorder
    from metalore.serve.live.application import PATH, create_live_app
    from metalore.serve.live.hub import MAIN
    from metalore.serve.server import log_to_stderr, serving
    from metalore.serve.settings import ServeSettings

    if not settings.playing:
        raise ValueError("a city that waits for the play button cannot be filmed; leave --paused out")
    log_to_stderr("WARNING")
    with Recorder(take.path, take.fps) as recorder, _browser() as browser:
        app = create_live_app(offer, settings, clock=(clock := FilmClock()))
        with serving(app, ServeSettings(port=0)) as port, closing(app.state.hub), closing(clock):
            page = _page(browser, f"http://127.0.0.1:{port}{PATH}?theme={take.theme}", take.size)
            for i, frame in enumerate(_frames(page, clock, app.state.hub.session(MAIN), take)):
                recorder.add(frame)
                progress(i + 1, take.frames)
            page.close()


def _frames(page: Any, clock: FilmClock, session: Session, take: Take) -> Iterator[np.ndarray]:
    """The page from frame to frame, uint8 [height, width, 3] each."""
    devtools = page.context.new_cdp_session(page)
    for i in range(take.frames):
        clock.advance_to(i / take.fps, lambda: _check(page))
        _await_picture(page, session.pictures)
        page.clock.run_for(_ms(i + 1, take) - _ms(i, take))
        yield _look(devtools)


def _ms(frame: int, take: Take) -> int:
    """When a frame begins; in whole ms, as the page counts."""
    return round(1000 * frame / take.fps)


@contextmanager
def _browser() -> Iterator[Any]:
    """Chromium without a window; what it or playwright complains of becomes one sentence."""
    from playwright.sync_api import Error, sync_playwright

    try:
        with sync_playwright() as playwright:
            path = next(filter(None, map(shutil.which, BROWSERS)), None) or playwright.chromium.executable_path
            if not Path(path).exists():
                raise ValueError("no Chromium is installed: apt-get install chromium, or playwright install chromium")
            browser = playwright.chromium.launch(executable_path=path, handle_sigint=False)
            yield browser
            browser.close()
    except Error as error:
        raise ValueError(f"Chromium has failed: {error.message.splitlines()[0]}") from None


def _page(browser: Any, address: str, size: tuple[int, int]) -> Any:
    """The page with its first picture, its time standing still."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.clock.install(time=0)
    page.clock.pause_at(1000)
    page.goto(address)
    _await_picture(page, 1, patience_s=math.inf)  # the simulator may have to be compiled first
    return page


def _check(page: Any) -> None:
    """Say what the page says, if anything is wrong."""
    said = page.locator("#notice").text_content()
    if said:
        raise ValueError(said)


def _await_picture(page: Any, number: int, patience_s: float = _PATIENCE_S) -> None:
    """Wait until the page has a picture."""
    until = time.monotonic() + patience_s
    while page.evaluate("window.metalore?.newest?.number ?? 0") < number:
        _check(page)
        if time.monotonic() > until:
            raise ValueError(f"Chromium has not shown a picture in {patience_s:g} s; try a smaller --size")
        time.sleep(_LOOK_S)


def _look(devtools: Any) -> np.ndarray:
    """What the page shows, uint8 [height, width, 3]."""
    from PIL import Image

    taken = devtools.send("Page.captureScreenshot", {"format": "png", "optimizeForSpeed": True})
    with Image.open(io.BytesIO(base64.b64decode(taken["data"]))) as image:
        return np.asarray(image.convert("RGB"))
