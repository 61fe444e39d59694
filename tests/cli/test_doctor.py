"""`metalore doctor`: with everything, with next to nothing, and with what is broken."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cli.calling import call

from metalore.cli import _doctor, _install
from metalore.cli._doctor import ABSENT, BROKEN, FINE, NEEDS, NOTE, Finding, commands, compiled, data, machine, packages
from metalore.cli._errors import sentence_of
from metalore.cli._install import CORE, Requirement, extra_of, pinned, requirements
from metalore.cli.application import app

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "pandas", "numba", "matplotlib", "transformers", "stable_baselines3", "ray", "fastapi")


def only(findings: Any) -> Finding:
    (one,) = findings
    assert isinstance(one, Finding)
    return one


def test_it_answers_in_this_environment() -> None:
    result = call("doctor")
    assert result.exit_code == 0, result.stdout
    assert "Nothing is broken." in result.stdout
    assert "ok simulate" in result.stdout
    report = json.loads(call("doctor", "--json").stdout)
    assert report["broken"] == []
    for extras in re.findall(r"for (.+?) \(needs", result.stdout):
        assert len(set(extras.split(", "))) == len(extras.split(", ")), extras
    assert {one["part"] for one in report["findings"]} == set(_doctor.TITLES)


def test_nothing_heavy_is_imported_and_nothing_else_is_needed() -> None:
    """Neither the command line's own packages nor any other: with an empty path for packages it still answers."""
    program = (
        "import sys; from metalore.cli import main\n"
        f"try: main()\nfinally: print([name for name in {HEAVY} if name in sys.modules])"
    )
    words = [sys.executable, "-S", "-c", program, "doctor"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": os.environ.get("HOME", "/")}
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=environment, check=False)
    assert done.returncode == 1, done.stderr
    assert "Broken: gymnasium, numba, numpy, pydantic." in done.stdout
    assert '-> pip install "metalore[cli,learn]"' in done.stdout
    assert done.stdout.endswith("\n[]\n")


def test_every_command_is_looked_at() -> None:
    names = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    assert names == {name.partition(" ")[0] for name in NEEDS}
    assert {extra for extras in NEEDS.values() for extra in extras} <= requirements().keys()


@pytest.mark.parametrize(
    ("one", "version", "pin", "state", "advice"),
    [
        (Requirement("numpy", "2.0"), "2.4.6", "2.4.6", FINE, ""),
        (Requirement("numpy", "2.0"), "2.5", "2.4.6", NOTE, "another version is tested: pip install numpy==2.4.6"),
        (Requirement("numpy", "2.10"), "2.9", None, BROKEN, 'pip install --upgrade "numpy>=2.10"'),
        (Requirement("numpy", "2.0", exact=True), "2.1", None, BROKEN, 'pip install --upgrade "numpy==2.0"'),
        (Requirement("not-here-at-all", "1"), "1.2", None, BROKEN, "its module cannot be found; "),
        (Requirement("numpy", "2.0"), None, "2.4.6", ABSENT, 'pip install "metalore[cli]"'),
    ],
)
def test_a_package(one: Requirement, version: str | None, pin: str | None, state: str, advice: str) -> None:
    pins = {one.name: pin} if pin else {}
    *_, found = packages({CORE: (), "cli": (one,)}, pins, {one.name: version})
    assert (found.state, found.advice[: len(advice)]) == (state, advice)
    assert found.name == one.name


def test_what_a_command_lacks() -> None:
    needed = {CORE: (), **{extra: (Requirement(f"{extra}-package"),) for extras in NEEDS.values() for extra in extras}}
    versions = {one.name: None if one.name == "learn-package" else "1" for of in needed.values() for one in of}
    found = {one.name: one for one in commands(needed, versions)}
    assert found["simulate"].state == FINE
    assert found["train"] == Finding(
        "commands", "train", ABSENT, "lacks learn-package", 'pip install "metalore[learn]"'
    )


def test_threads() -> None:
    def advice(**environment: str) -> list[str]:
        return [one.name for one in machine(environment) if one.state == NOTE]

    if _doctor._cores() > 1:
        assert advice() == ["OMP_NUM_THREADS", "OMP_WAIT_POLICY"]
        assert advice(OMP_NUM_THREADS="2") == ["OMP_WAIT_POLICY"]
    assert advice(OMP_NUM_THREADS="2", OMP_WAIT_POLICY="passive") == []
    assert advice(OMP_NUM_THREADS="1") == []


def test_compiled_code_is_warm_when_it_is_newer_than_its_sources(tmp_path: Path) -> None:
    world, cache = tmp_path / "world", tmp_path / "cache"
    world.mkdir()
    cache.mkdir()
    (world / "step.py").write_text("")
    environment = {"NUMBA_CACHE_DIR": str(cache)}
    assert only(compiled(environment, world)).found == f"cold, in {cache}"
    index = cache / f"step._batched.locals.advance-9.py{sys.version_info.major}{sys.version_info.minor}.nbi"
    index.write_text("")
    assert only(compiled(environment, world)) == Finding("machine", "compiled code", FINE, f"warm, in {cache}")
    os.utime(world / "step.py", (time.time() + 9, time.time() + 9))
    assert only(compiled(environment, world)).state == NOTE
    refused = only(compiled({"NUMBA_CACHE_DIR": str(index / "below")}, world))
    assert refused.state == BROKEN
    assert "export NUMBA_CACHE_DIR" in refused.advice


def test_data(tmp_path: Path) -> None:
    assert only(data({})).state == ABSENT
    assert only(data({"METALORE_DATA": str(tmp_path / "no")})).state == BROKEN
    (tmp_path / "los_loop").mkdir()
    (tmp_path / "los_loop" / "los_speed.csv").write_text("")
    found = {one.name: one for one in data({"METALORE_DATA": str(tmp_path)})}
    assert found["los_loop"].state == BROKEN
    assert found["los_loop"].found == f"{tmp_path / 'los_loop'} lacks los_adj.csv"
    assert found["azure_v2"].state == ABSENT
    assert found["city-30"].advice.endswith(f"--out {tmp_path}/city-30")
    (tmp_path / "los_loop" / "los_adj.csv").write_text("")
    assert {one.name: one.state for one in data({"METALORE_DATA": str(tmp_path)})}["los_loop"] == FINE


def test_a_gpu_and_a_torch_that_cannot_use_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H200, 143771 MiB'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(_doctor, "installed", lambda name: "2.13.0+cpu")
    found = only(_doctor.gpu())
    assert (found.state, found.found) == (NOTE, "NVIDIA H200, 143771 MiB")
    monkeypatch.setattr(_doctor, "installed", lambda name: "2.13.0+cu130")
    assert only(_doctor.gpu()).state == FINE
    program.write_text("#!/bin/sh\nexit 9\n")
    assert only(_doctor.gpu()).state == ABSENT


def test_an_install_without_a_checkout_is_read_from_its_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["numba>=0.61", "pandas>=2.2; extra == 'cli'", "rich>=13; extra == 'cli'", "mypy>=1; extra == 'dev'"]
    monkeypatch.setattr(_install.metadata, "requires", lambda name: texts)
    assert requirements(tmp_path) == {
        CORE: (Requirement("numba", "0.61"),),
        "cli": (Requirement("pandas", "2.2"), Requirement("rich", "13")),
    }
    assert pinned(tmp_path) == {}
    (tmp_path / "constraints.txt").write_text("# tested\ntorch==2.13.0\n")
    assert pinned(tmp_path) == {"torch": "2.13.0"}


@pytest.mark.parametrize(
    ("module", "get"),
    [
        ("numba.core", "numba is missing: pip install metalore"),
        ("sklearn", 'sklearn is missing: pip install "metalore[forecast]"'),
        ("tensorboard", 'tensorboard is missing: pip install "metalore[learn]"'),
        ("PIL.Image", 'PIL is missing: pip install "metalore[intent]"'),
        ("starlette", 'starlette is missing: pip install "metalore[serve]"'),
        ("httpx2", 'httpx2 is missing: pip install "metalore[kubernetes]"'),
        ("pettingzoo", 'pettingzoo is missing: pip install "metalore[multi]"'),
        ("pygame", 'pygame is missing: pip install "metalore[render]"'),
        ("stable_baselines3", 'stable_baselines3 is missing: pip install "metalore[learn]"'),
        ("no_such_module", None),
    ],
)
def test_whatever_is_missing_is_one_sentence(module: str, get: str | None) -> None:
    assert sentence_of(ModuleNotFoundError("x", name=module)) == get


def test_modules_that_come_along_belong_to_a_required_package() -> None:
    for module in (*_install.BROUGHT, *_install.MODULES.values()):
        assert extra_of(module) is not None, module


def test_a_wrong_option() -> None:
    assert call("doctor", "--jsn").exit_code == 2
    assert _doctor.main(["--jsn"]) == 2
