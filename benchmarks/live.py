"""The live page: seconds to the first picture, frames a second, CPU, ten viewers, memory over time.

python benchmarks/live.py                  # all but the long run, about three minutes
python benchmarks/live.py --minutes 60     # memory of server and page, a line each minute
python benchmarks/live.py --pin            # ten viewers only, the server on core 0, and then all on core 0
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from metalore.serve.live.scene import HEAD

CHROMIUM = "/usr/bin/chromium"
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and its present children."""
    total = 0.0
    for one in (pid, *children(pid)):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def children(pid: int) -> list[int]:
    """All below a process."""
    found = []
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += [int(child), *children(int(child))]
    return found


def rss_mb(pid: int) -> float:
    """Resident memory of one process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextlib.contextmanager
def server(*options: str, core: int | None = None) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`metalore live` on a free port, on one core if that is said."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from metalore.cli import main; main()", "live", "--no-open", "--port", str(port)]
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    process = subprocess.Popen([*pinned, *command, *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process, port
    finally:
        process.terminate()
        process.wait()


def first_picture() -> None:
    """From the command to the first bytes of a picture, three times."""
    for _ in range(3):
        began = time.perf_counter()
        with server() as (process, port), connect(f"ws://127.0.0.1:{port}/live/socket") as socket_:
            while not isinstance(socket_.recv(), bytes):
                pass
            seconds, cpu = time.perf_counter() - began, cpu_s(process.pid)
        print(f"first picture after {seconds:.2f} s, of which {cpu:.2f} s are CPU")


def first_pixels() -> None:
    """From the command to the first picture of the map on the screen: a browser that is open, and one that is not."""
    from playwright.sync_api import sync_playwright

    for _ in range(3):
        with sync_playwright() as playwright:
            browser = open_browser(playwright)
            page = browser.new_page(viewport={"width": 1920, "height": 1080})
            in_open = _seconds_to_pixels(lambda: page)  # noqa: B023 - called at once
            browser.close()
            began = time.time()
            browser = open_browser(playwright)
            browser.new_page(viewport={"width": 1920, "height": 1080}).screenshot()
            alone = time.time() - began
            browser.close()
            in_new = _seconds_to_pixels(
                lambda: open_browser(playwright).new_page(viewport={"width": 1920, "height": 1080})
            )
        print(
            f"first picture painted after {in_open:.2f} s in a browser that is open, {in_new:.2f} s in one that is "
            f"started for it; starting a browser up to its first blank picture takes {alone:.2f} s"
        )


def open_browser(playwright: Any) -> Any:
    """Chromium; it leads a session of its own, and so is given this one's priority by hand."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    own = Path("/proc/self/autogroup")
    if own.exists():
        nice = own.read_text().split()[-1]
        for pid in children(os.getpid()):
            with contextlib.suppress(OSError):
                Path(f"/proc/{pid}/autogroup").write_text(nice)
    return browser


def _seconds_to_pixels(open_page: Callable[[], Any]) -> float:
    began = time.time()
    with server() as (_, port):
        page = open_page()
        page.goto(f"http://127.0.0.1:{port}/live")
        while (shown_ms := page.evaluate("window.metalore?.map.stats.shown_at ?? 0")) <= 0:
            time.sleep(0.005)
        colours = page.evaluate("""() => {
            const { canvas, context } = metalore.map;
            return new Set(new Uint32Array(context.getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size;
        }""")
        assert colours > 50, "the map is blank"
    return float(shown_ms) / 1000 - began


def viewers(count: int, seconds: float, core: int | None = None) -> None:
    """Many who look at once: CPU of the server, by wish on one core, and what each is sent."""
    pictures, sizes, clocks, stop = [0] * count, [0] * count, [0.0] * count, threading.Event()

    def look(i: int, port: int) -> None:
        with contextlib.suppress(ConnectionClosed), connect(f"ws://127.0.0.1:{port}/live/socket") as socket_:
            while not stop.is_set():
                message = socket_.recv()
                if isinstance(message, bytes):
                    pictures[i] += 1
                    clocks[i] = HEAD.unpack_from(message)[-1]
                sizes[i] += len(message)

    with server("--speed", "60", core=core) as (process, port):
        time.sleep(15)
        looking = [threading.Thread(target=look, args=(i, port), daemon=True) for i in range(count)]
        for thread in looking:
            thread.start()
        time.sleep(5)
        before, clock, cpu, began = (list(pictures), list(sizes)), clocks[0], cpu_s(process.pid), time.perf_counter()
        time.sleep(seconds)
        took, used = time.perf_counter() - began, cpu_s(process.pid) - cpu
        simulated = clocks[0] - clock
        stop.set()
        rates = [(now - then) / took for now, then in zip(pictures, before[0], strict=True)]
        kib = (sum(sizes) - sum(before[1])) / took / count / 1024
    print(
        f"{count} viewers at {simulated / took:.0f}x: server {100 * used / took:.0f} % of one core, "
        f"{min(rates):.1f} to {max(rates):.1f} pictures/s and {kib:.0f} KiB/s each"
    )


@contextlib.contextmanager
def page_of(port: int) -> Iterator[tuple[object, int]]:
    """The page in Chromium, and the browser's process."""
    from playwright.sync_api import sync_playwright

    before = set(children(os.getpid()))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        page.goto(f"http://127.0.0.1:{port}/live")
        page.wait_for_selector("body[data-pictures]")
        new = [pid for pid in children(os.getpid()) if pid not in before]
        yield page, next(pid for pid in new if "chromium" in Path(f"/proc/{pid}/comm").read_text())
        browser.close()


def browser(seconds: float, *options: str) -> None:
    """Frames a second in Chromium without a GPU, and what they cost."""
    with server("--speed", "30", *options) as (process, port), page_of(port) as (page, chromium):
        time.sleep(15)
        stats, cpu, began = _stats(page), (cpu_s(process.pid), cpu_s(chromium)), time.perf_counter()
        time.sleep(seconds)
        took, after = time.perf_counter() - began, _stats(page)
        frames, pictures, drawing = ((after[k] - stats[k]) / took for k in ("frames", "pictures", "drawing_ms"))
        used = [100 * (now - then) / took for now, then in zip((cpu_s(process.pid), cpu_s(chromium)), cpu, strict=True)]
    print(
        f"page 1920x1080 at 30x {' '.join(options)}: {frames:.1f} frames/s from {pictures:.1f} pictures/s, "
        f"{drawing / frames:.1f} ms of script a frame; server {used[0]:.0f} %, browser {used[1]:.0f} % of one core"
    )


def _stats(page: object) -> dict[str, float]:
    return page.evaluate("({...window.metalore.map.stats})")  # type: ignore[attr-defined]


def memory(minutes: int) -> None:
    """A line each minute: memory of the server, and of the page's script."""
    with server("--speed", "120") as (process, port), page_of(port) as (page, _):
        devtools = page.context.new_cdp_session(page)  # type: ignore[attr-defined]
        for minute in range(minutes + 1):
            devtools.send("HeapProfiler.collectGarbage")
            heap = devtools.send("Runtime.getHeapUsage")["usedSize"] / 1e6
            clock = page.locator("#clock").text_content()  # type: ignore[attr-defined]
            print(f"{minute:3} min  {clock:20} server {rss_mb(process.pid):6.1f} MB  page {heap:5.1f} MB", flush=True)
            time.sleep(60 if minute < minutes else 0)


def pinned(count: int, seconds: float) -> None:
    """Many who look: the server on core 0 and they on the others, then all on core 0."""
    cores = os.sched_getaffinity(0)
    for of_viewers in (cores - {0} or cores, {0}):
        os.sched_setaffinity(0, of_viewers)
        print(f"server on core 0, viewers on {sorted(of_viewers)}: ", end="")
        viewers(count, seconds, core=0)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=0, help="only watch memory, for so long")
    parser.add_argument("--pin", action="store_true", help="only ten viewers, pinned to cores")
    parser.add_argument("--seconds", type=float, default=20, help="of each other measurement")
    options = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if options.minutes:
        memory(options.minutes)
        return
    if options.pin:
        pinned(10, options.seconds)
        return
    first_picture()
    viewers(10, options.seconds)
    with contextlib.suppress(ModuleNotFoundError):
        first_pixels()
        browser(options.seconds)
        browser(options.seconds, "--rival-recommender", "hpa")


if __name__ == "__main__":
    main()
