"""What is installed, what is missing for which command, and how to get it.

Only the standard library is imported, so that it answers at once and in an install that lacks everything else.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from metalore import __version__
from metalore.cli._install import CORE, Requirement, how_to_get, importable, installed, pinned, requirements

FINE, ABSENT, NOTE, BROKEN = "fine", "absent", "note", "broken"
MARKS = {FINE: "ok", ABSENT: "--", NOTE: "!", BROKEN: "XX"}

NEEDS: dict[str, tuple[str, ...]] = {
    "agents": ("cli", "learn"),
    "agents train --engine rllib": ("cli", "learn", "multi", "ray"),
    "autoscale": ("cli",),
    "autoscale --actuator kubernetes": ("cli", "kubernetes"),
    "autoscale --drift": ("cli", "drift"),
    "autoscale --forecaster stgnn": ("cli", "forecast"),
    "data": ("cli",),
    "demo": ("cli", "learn"),
    "doctor": (),
    "evaluate": ("cli",),
    "evaluate FOLDER": ("cli", "learn"),
    "forecast": ("cli", "forecast"),
    "intent": ("cli", "intent"),
    "live": ("cli", "serve"),
    "live --cluster": ("cli", "kubernetes", "serve"),
    "live --record": ("cli", "serve", "film"),
    "record": ("cli",),
    "reproduce": ("cli", "learn"),
    "scenarios": ("cli",),
    "search": ("cli",),
    "search --engine ray": ("cli", "ray"),
    "serve": ("cli", "serve"),
    "simulate": ("cli",),
    "simulate --gif": ("cli", "render"),
    "telemetry": ("cli",),
    "train": ("cli", "learn"),
    "zone": ("cli",),
    "zone manifests": ("cli", "kubernetes"),
}
"""Extras that commands, and options of some, need beside the core."""

PROGRAMS = {
    "espeak-ng": ("speaks the sentences of made media", "tools/install-espeak, or apt-get install espeak-ng"),
    "prometheus": ("tests of monitoring", "tools/install-prometheus, or apt-get install prometheus"),
    "promtool": ("tests of monitoring", "comes with prometheus"),
    "chromium": ("live --record, and tests of the live page", "tools/install-chromium, or apt-get install chromium"),
    "ffmpeg": ("films; imageio-ffmpeg brings one of its own", "apt-get install ffmpeg"),
    "wrk": ("benchmarks/serving.py", "apt-get install wrk"),
}
"""What each is for, and how to get it."""
MOST = 3
"""Packages that are named of those that a command lacks."""
TESTBED = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
RECORDINGS = {"city-30": "metalore record city-30 --days 28 --interval 60 --out {data}/city-30"}
"""Recordings that benchmarks look for beside the public data."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        part: what it belongs to.
        name: of it.
        state: FINE, ABSENT, NOTE (works, but better otherwise) or BROKEN.
        found: what is there.
        advice: how to get or mend it; empty if it is fine.
    """

    part: str
    name: str
    state: str
    found: str = ""
    advice: str = ""


def main(arguments: Sequence[str] = ()) -> int:
    """Print the report, with `--json` for machines; 1 if something is broken, else 0."""
    if set(arguments) - {"--json"}:
        print(f"metalore: doctor has only the option --json, not {' '.join(arguments)}", file=sys.stderr)
        return 2
    findings = examine()
    print(as_json(findings) if "--json" in arguments else as_text(findings))
    return int(any(one.state == BROKEN for one in findings))


def examine() -> list[Finding]:
    """Everything that can be said without importing what is looked at."""
    needed = requirements()
    versions = {one.name: installed(one.name) for of in needed.values() for one in of}
    parts = (python(), packages(needed, pinned(), versions), programs(), gpu(), machine(os.environ),
             compiled(os.environ), data(os.environ), commands(needed, versions))  # fmt: skip
    return [one for part in parts for one in part]


# -- Python and packages -----------------------------------------------------------------------------------------------


def python() -> Iterator[Finding]:
    """The interpreter."""
    yield Finding("python", "metalore", FINE, f"{__version__} in {Path(__file__).parents[1]}")
    yield Finding("python", "python", FINE, f"{platform.python_version()} in {sys.executable}")


Versions = Mapping[str, str | None]
"""Of packages by name; None where one is not installed."""


def packages(
    needed: Mapping[str, Sequence[Requirement]], pins: Mapping[str, str], versions: Versions
) -> Iterator[Finding]:
    """Each required package once, with the extras that bring it."""
    if not needed[CORE]:
        yield Finding("packages", "metalore", BROKEN, "no metadata", "install it: pip install metalore")
    brought: dict[Requirement, list[str]] = {}
    for extra, of in needed.items():
        for one in dict.fromkeys(of):  # an extra may bring it by several others
            brought.setdefault(one, []).append(extra)
    for one, extras in brought.items():
        yield _package(one, versions[one.name], extras, pins.get(one.name))


def _package(one: Requirement, version: str | None, extras: list[str], pin: str | None) -> Finding:
    brings = ", ".join(extras)
    if version is None:
        state = BROKEN if CORE in extras else ABSENT
        return Finding("packages", one.name, state, f"for {brings}", how_to_get(extras[0]))
    if not one.allows(version):
        state, advice = BROKEN, f'pip install --upgrade "{one.name}{one}"'
    elif not importable(one.name):
        state, advice = BROKEN, f"its module cannot be found; pip install --force-reinstall {one.name}"
    elif pin and version.partition("+")[0] != pin:
        state, advice = NOTE, f"another version is tested: pip install {one.name}=={pin}"
    else:
        state, advice = FINE, ""
    text = f"{version} for {brings} (needs {one}{f', tested {pin}' if pin else ''})"
    return Finding("packages", one.name, state, text, advice)


# -- the machine -------------------------------------------------------------------------------------------------------


def programs() -> Iterator[Finding]:
    """System programs, none of which the package itself needs to start."""
    for name, (use, get) in PROGRAMS.items():
        path = shutil.which(name)
        yield Finding("programs", name, FINE, path) if path else Finding("programs", name, ABSENT, f"for {use}", get)
    home = Path(os.environ.get("KUBE_TESTBED") or Path.home() / ".cache" / "metalore" / "kube-testbed")
    missing = [name for name in TESTBED if not os.access(home / "bin" / name, os.X_OK)]
    if not missing:
        yield Finding("programs", "kube-testbed", FINE, str(home))
    elif len(missing) < len(TESTBED):
        yield Finding(
            "programs", "kube-testbed", BROKEN, f"{home} lacks {', '.join(missing)}", "tools/kube-testbed build"
        )
    else:
        yield Finding("programs", "kube-testbed", ABSENT, "for tests on a real API server", "tools/kube-testbed build")


def gpu() -> Iterator[Finding]:
    """NVIDIA's, as its own program tells, and whether the installed torch can use it."""
    names = _gpu_names()
    if not names:
        yield Finding("machine", "GPU", ABSENT, "none", "nothing needs one; pretrained encoders are slow without")
        return
    torch, text = installed("torch"), ", ".join(names)
    if torch and torch.endswith("+cpu"):
        yield Finding("machine", "GPU", NOTE, text, f"torch {torch} is built for the CPU; install a build with CUDA")
    else:
        yield Finding("machine", "GPU", FINE, text)


def _gpu_names() -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    words = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.strip().splitlines()


def machine(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Cores, memory, and how threads of torch and NumPy are told to behave."""
    cores, memory = _cores(), _memory_gb()
    yield Finding("machine", "cores", FINE, f"{cores:g}")
    if memory is not None:
        yield Finding("machine", "memory", FINE, f"{memory:.1f} GB")
    threads, waiting = environment.get("OMP_NUM_THREADS"), environment.get("OMP_WAIT_POLICY")
    if threads or cores <= 1:
        yield Finding("machine", "OMP_NUM_THREADS", FINE, threads or "unset")
    else:
        advice = "small networks lose time to threads, more so on shared cores: export OMP_NUM_THREADS=1"
        yield Finding("machine", "OMP_NUM_THREADS", NOTE, "unset", advice)
    if (waiting or "").upper() == "PASSIVE" or threads == "1" or cores <= 1:
        yield Finding("machine", "OMP_WAIT_POLICY", FINE, waiting or "unset")
    else:
        advice = "threads that wait keep their cores busy: export OMP_WAIT_POLICY=PASSIVE"
        yield Finding("machine", "OMP_WAIT_POLICY", NOTE, waiting or "unset", advice)


def _cores() -> float:
    """Cores that this process may use, whether by affinity or by a container's limit."""
    of_process = getattr(os, "sched_getaffinity", None)
    cores = float(len(of_process(0)) if of_process else os.cpu_count() or 1)
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").partition(" ")
    return min(cores, int(quota) / int(period)) if quota.isdigit() and period.strip().isdigit() else cores


def _memory_gb() -> float | None:
    """Memory of the machine, or of the container if that has less; None where the system does not say."""
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
    limit = _read("/sys/fs/cgroup/memory.max")
    return min(size, int(limit) if limit.isdigit() else size) / 1e9


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def compiled(environment: Mapping[str, str], world: Path | None = None) -> Iterator[Finding]:
    """Where the compiled simulator is kept, and whether it is there; by the times of files.

    Args:
        environment: variables.
        world: folder of the simulator's sources; unset: this package's.
    """
    world = world or Path(__file__).parents[1] / "world"
    own, named = world / "__pycache__", environment.get("NUMBA_CACHE_DIR")
    places = [Path(named)] if named else [own, Path.home() / ".cache" / "numba"]
    place = next((one for one in places if _writable(one)), None)
    if place is None:
        advice = "each start compiles for half a minute; export NUMBA_CACHE_DIR=FOLDER, one that can be written to"
        yield Finding("machine", "compiled code", BROKEN, f"{places[0]} cannot be written to", advice)
        return
    newest = max(file.stat().st_mtime for file in world.glob("*.py"))
    pattern = f"step.*advance*.py{sys.version_info.major}{sys.version_info.minor}.nbi"
    if any(file.stat().st_mtime >= newest for file in place.rglob(pattern)):
        yield Finding("machine", "compiled code", FINE, f"warm, in {place}")
    else:
        yield Finding(
            "machine", "compiled code", NOTE, f"cold, in {place}", "the first simulation takes half a minute more"
        )


def _writable(folder: Path) -> bool:
    """Whether files can be made in a folder, or the folder itself."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


# -- data --------------------------------------------------------------------------------------------------------------


def data(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Which of the public sets and recordings lie in METALORE_DATA, by their files' names."""
    named = environment.get("METALORE_DATA")
    if not named:
        yield Finding(
            "data", "METALORE_DATA", ABSENT, "unset", "export METALORE_DATA=FOLDER; metalore data says what for"
        )
        return
    folder = Path(named).expanduser()
    if not folder.is_dir():
        yield Finding("data", "METALORE_DATA", BROKEN, f"{folder} is no folder", "export METALORE_DATA=FOLDER")
        return
    yield Finding("data", "METALORE_DATA", FINE, str(folder))
    yield from _sets(folder)
    for name, command in RECORDINGS.items():
        if (folder / name / "card.json").is_file():
            yield Finding("data", name, FINE, str(folder / name))
        else:
            yield Finding("data", name, ABSENT, "a recording", command.format(data=folder))


def _sets(folder: Path) -> Iterator[Finding]:
    try:
        from metalore.telemetry.datasets import DATASETS, folder_of  # here, since it needs the core's packages
    except ImportError as error:
        yield Finding("data", "public sets", BROKEN, "cannot be looked for", str(error))
        return
    for known in DATASETS.values():
        place = folder_of(known, folder)
        missing = [file.name for file in known.files if not (place / file.name).is_file()]
        if not missing:
            yield Finding("data", known.name, FINE, str(place))
        elif len(missing) < len(known.files):
            yield Finding("data", known.name, BROKEN, f"{place} lacks {', '.join(missing)}", "metalore data check")
        else:
            yield Finding("data", known.name, ABSENT, known.what, "metalore data says where it comes from")


# -- commands ----------------------------------------------------------------------------------------------------------


def commands(needed: Mapping[str, Sequence[Requirement]], versions: Versions) -> Iterator[Finding]:
    """Which commands are ready; of others, which packages they lack."""
    for name, extras in NEEDS.items():
        wanted = {one.name: extra for extra in (CORE, *extras) for one in needed[extra] if versions[one.name] is None}
        if not wanted:
            yield Finding("commands", name, FINE, "ready")
            continue
        lacking = [extra for extra in extras if extra in wanted.values()]
        names = ", ".join(list(wanted)[:MOST]) + (f" and {len(wanted) - MOST} more" if len(wanted) > MOST else "")
        yield Finding("commands", name, ABSENT, f"lacks {names}", how_to_get(",".join(lacking) or CORE))


# -- what is shown -----------------------------------------------------------------------------------------------------

TITLES: dict[str, Callable[[Sequence[Finding]], str]] = {
    "python": lambda of: "Python",
    "packages": lambda of: f"Packages: {sum(one.state != ABSENT for one in of)} of {len(of)} are there",
    "programs": lambda of: "Programs",
    "machine": lambda of: "Machine",
    "data": lambda of: "Data",
    "commands": lambda of: f"Commands: {sum(one.state == FINE for one in of)} of {len(of)} are ready",
}


def as_text(findings: Sequence[Finding]) -> str:
    """A table for people."""
    lines = []
    for part, title in TITLES.items():
        of = [one for one in findings if one.part == part]
        width = max(len(one.name) for one in of)
        lines += ["", title(of)]
        for one in of:
            lines.append(f"  {MARKS[one.state]:2} {one.name:{width}}  {one.found}")
            lines += [f"     {'':{width}}  -> {one.advice}"] if one.advice else []
    broken = [one.name for one in findings if one.state == BROKEN]
    lines += ["", f"Broken: {', '.join(broken)}." if broken else "Nothing is broken."]
    return "\n".join(lines).lstrip()


def as_json(findings: Sequence[Finding]) -> str:
    """The same for machines."""
    content = {
        "metalore": __version__,
        "broken": [one.name for one in findings if one.state == BROKEN],
        "findings": [asdict(one) for one in findings],
    }
    return json.dumps(content, indent=1)
