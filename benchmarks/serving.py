"""What serving costs: single predictions and batches over loopback, and whether memory grows.

    python benchmarks/serving.py                          # the bundled model (make model)
    python benchmarks/serving.py --checkpoint kept
    python benchmarks/serving.py --minutes 10             # a load test: errors and memory

The server is one process with one thread of torch on one core; wrk, with one thread, runs on another. Each measurement
is repeated, and the best counts: other work on a shared machine is not what is measured. `CPU us` is the server's own
processor time per zone, which other work hardly changes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

SIZE, CONNECTIONS, BATCH = 1024, 32, 1000


def body_of(zones: list[str], embedding: bool) -> str:
    """A question about a zone, or about as many as there are names."""
    questions = []
    for zone in zones:
        question: dict[str, object] = {"zone_name": zone, "active_users": random.randrange(200)}
        if embedding:
            question["embedding"] = [random.gauss(0, 1) for _ in range(SIZE)]
        questions.append(question)
    return json.dumps(questions[0] if len(questions) == 1 else {"zones": questions})


def script_of(folder: Path, path: str, bodies: list[str]) -> Path:
    """A Lua script that posts them in turn."""
    names = []
    for i, body in enumerate(bodies):
        (folder / f"{i}.json").write_text(body)
        names.append(f'"{folder / f"{i}.json"}"')
    script = folder / "post.lua"
    script.write_text(
        "local bodies, i = {}, 0\n"
        f"for k, name in ipairs({{{', '.join(names)}}}) do\n"
        "  local f = io.open(name); bodies[k] = f:read('*a'); f:close()\n"
        "end\n"
        "local head = {['content-type'] = 'application/json'}\n"
        f"request = function() i = i % #bodies + 1; return wrk.format('POST', '{path}', head, bodies[i]) end\n"
        "done = function(s, l, r) io.write(string.format('RESULT %d %d %d %d %d\\n', s.requests, s.duration,\n"
        "  l:percentile(99), s.errors.status,\n"
        "  s.errors.connect + s.errors.read + s.errors.write + s.errors.timeout)) end\n"
    )
    return script


class Server:
    """`metalore serve` on a free port, on one core."""

    def __init__(self, checkpoint: str | None, core: int) -> None:
        words = [sys.executable, "-c", "from metalore.cli import main; main()", "serve", "--port", "0"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        if checkpoint:
            words += ["--checkpoint", checkpoint]
        self.process = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        said = ""
        for line in self.process.stderr:
            if found := re.search(r"running on (http://\S+)", line):
                self.address = found[1]
                break
            said = line.strip() or said
        else:
            raise SystemExit(f"the server did not start: {said}")
        os.sched_setaffinity(self.process.pid, {core})

    def get(self, path: str) -> bytes:
        """Content of a path."""
        with urllib.request.urlopen(self.address + path, timeout=60) as answer:
            return bytes(answer.read())

    def cpu_s(self) -> float:
        """Processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        """Resident."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(server: Server, wrk: str, script: Path, seconds: float, connections: int, core: int) -> dict[str, float]:
    """One run of wrk."""
    words = [
        "taskset",
        "-c",
        str(core),
        wrk,
        "-t1",
        f"-c{connections}",
        f"-d{seconds:g}s",
        "-s",
        str(script),
        server.address,
    ]
    before = server.cpu_s()
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    requests, duration, p99, status, socket = map(int, found.groups())
    return {
        "rate": requests / (duration / 1e6),
        "p99_ms": p99 / 1e3,
        "cpu_us": 1e6 * (server.cpu_s() - before) / max(1, requests),
        "errors": status + socket,
        "requests": requests,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", help="a forecaster's folder; unset: the bundled model")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--minutes", type=float, help="load for so long instead")
    given = parser.parse_args()
    wrk = shutil.which("wrk") or sys.exit("wrk is missing: apt install wrk")
    cores = sorted(os.sched_getaffinity(0))
    server_core, client_core = cores[0], cores[-1]
    processor = platform.processor() or platform.machine()
    load = os.getloadavg()[0]
    print(f"machine: {processor}, {len(cores)} cores, Python {platform.python_version()}, load {load:.1f}")
    server = Server(given.checkpoint, server_core)
    try:
        zones = [zone["zone"] for zone in json.loads(server.get("/zones"))["zones"]]
        model = json.loads(server.get("/model"))
        print(f"model {model['model']}, {len(zones)} zones, bundled: {model['bundled']}")
        cases = (
            (
                "single, 1024-D embedding",
                "/predict",
                [body_of([random.choice(zones)], True) for _ in range(64)],
                CONNECTIONS,
                1,
            ),
            (
                "single, no embedding",
                "/predict",
                [body_of([random.choice(zones)], False) for _ in range(64)],
                CONNECTIONS,
                1,
            ),
            (f"batch of {BATCH}", "/predict/batch", [body_of(random.choices(zones, k=BATCH), False)], 2, BATCH),
        )
        if given.minutes:
            cases = cases[:1]
        print(f"{'':28s}{'zones/s':>10s}{'p99 ms':>9s}{'CPU us/zone':>13s}{'errors':>8s}{'load':>7s}")
        for name, path, bodies, connections, size in cases:
            with tempfile.TemporaryDirectory() as folder:
                script = script_of(Path(folder), path, bodies)
                measure(server, wrk, script, 1, connections, client_core)
                memory, begin = server.memory_mb(), time.monotonic()
                runs = []
                while len(runs) < given.runs or (given.minutes and time.monotonic() - begin < 60 * given.minutes):
                    runs.append(measure(server, wrk, script, given.seconds, connections, client_core))
            best = max(runs, key=lambda run: run["rate"])
            print(f"{name:28s}{size * best['rate']:10,.0f}{best['p99_ms']:9.1f}{best['cpu_us'] / size:13.1f}"
                  f"{sum(run['errors'] for run in runs):8.0f}{os.getloadavg()[0]:7.1f}", flush=True)  # fmt: skip
            if given.minutes:
                total = sum(run["requests"] for run in runs)
                print(f"{total:,.0f} requests; memory {memory:,.0f} MB, then {server.memory_mb():,.0f} MB")
    finally:
        server.process.terminate()
        server.process.wait(60)


if __name__ == "__main__":
    main()
