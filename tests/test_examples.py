"""Every script under examples/ runs without a warning and shows what it is there to show."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples"
TIMEOUT_S = 300  # the first run on a machine compiles the simulator


def run(example: str, *arguments: str) -> str:
    """What an example prints, in an interpreter of its own where any warning is an error."""
    command = [sys.executable, "-W", "error", str(FOLDER / example), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, f"{example} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def row(output: str, name: str) -> list[float]:
    """Numbers of the last line that begins with `name`, in order; percent signs are dropped."""
    lines = [line for line in output.splitlines() if line.startswith(name)]
    assert lines, f"no line begins with {name!r} in:\n{output}"
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", lines[-1].removeprefix(name))]


def check_quickstart(output: str) -> None:
    completed, generated = map(int, re.findall(r"(\d+) of (\d+) requests completed", output)[0])
    assert 0 < completed <= generated <= 1000  # ten users, a hundred steps
    aori, aosi = map(float, re.findall(r"mean AoRI (\S+) steps, mean AoSI (\S+) steps", output)[0])
    assert 0 <= aori < 100
    assert 0 <= aosi < 100


def check_batch(output: str) -> None:
    assert "256 environments, actions (256, 2)" in output
    assert row(output, "1280 episodes in")[0] > 0
    assert row(output, "best split")[-1] > row(output, "worst split")[-1]


def check_train_ppo(output: str) -> None:
    assert row(output, "fixed split (0.5, 0.5):")[0] > 0
    assert re.search(r"^PPO before training: +-?\d", output, re.MULTILINE)
    assert re.search(r"^PPO after 6400 steps: -?\d", output, re.MULTILINE)


def check_multi_cell(output: str) -> None:
    for place in ("four-cells", "city of 12"):
        even, shared = (row(output, f"{place}: {name} brings each cell")[0] for name in ("even", "shared"))
        assert shared != even
    in_turn, together = (row(output, f"{how} in the first episode:")[0] for how in ("one agent per cell", "the batch"))
    assert in_turn == together


def check_own_channel(output: str) -> None:
    hata, free = row(output, "Okumura-Hata"), row(output, "free space")
    assert free[0] > hata[0]  # nothing is in the way
    assert free[1] > hata[1]
    assert row(output, "through gymnasium.make:")[0] == free[1]


def check_own_mobility(output: str) -> None:
    def metres(name: str, t: int) -> float:
        return row(output, f"{name:<18}t={t:<4}")[0]

    # The square is 20 m wide, so its corners are 14 m from its middle; people walk 1 to 2 m/s.
    assert metres("gathering", 200) < 14.2
    assert metres("gathering", 1) > metres("gathering", 100) > metres("gathering", 200)
    assert metres("random waypoint", 200) > 50
    assert row(output, "gathering")[1] < row(output, "random waypoint")[1]  # farther from the station
    assert row(output, "through gymnasium.make:")[0] < 14.2


def check_own_traffic(output: str) -> None:
    even, bursts = row(output, "even"), row(output, "bursts")
    assert bursts[0] == pytest.approx(even[0], rel=0.03)  # the same load ...
    assert bursts[1] > even[1]  # ... in bursts waits longer
    assert bursts[2] > even[2]
    created = row(output, "requests in each of 40 steps:")
    assert len(created) == 40
    assert all((number > 0) == (step % 20 < 5) for step, number in enumerate(created))


def check_own_scheduler(output: str) -> None:
    equal, longest = row(output, "equal parts"), row(output, "longest queue")
    sent, largest = 0, -1
    assert longest[largest] < equal[largest]  # whoever waits most is served most
    assert longest[sent] > equal[sent]  # and the idle get nothing
    assert row(output, "through gymnasium.make:")[0] > 0


def check_own_policy(output: str) -> None:
    fixed, demand, own = (row(output, name) for name in ("fixed(0.5,0.5)", "demand-proportional", "longest-wait"))
    assert fixed[0] < own[0] < demand[0]  # requests are faster than by demand alone
    assert demand[2] < own[2] < fixed[2]  # the twin is fresher than under the even split
    assert row(output, "through gymnasium.make: return")[0] > 0


def check_own_recommender(output: str) -> None:
    own, hpa = row(output, "recent-peak"), row(output, "hpa")
    assert own[1] > hpa[1]  # twice the peak costs more than use of 70 % ...
    assert own[0] <= hpa[0]  # ... and is late no more often


CHECKS: dict[str, tuple[Callable[[str], None], tuple[str, ...]]] = {
    "quickstart.py": (check_quickstart, ()),
    "batch.py": (check_batch, ()),
    "train_ppo.py": (check_train_ppo, ("--steps", "6400")),
    "multi_cell.py": (check_multi_cell, ("--steps", "6400")),
    "extending/own_channel.py": (check_own_channel, ()),
    "extending/own_mobility.py": (check_own_mobility, ()),
    "extending/own_traffic.py": (check_own_traffic, ()),
    "extending/own_scheduler.py": (check_own_scheduler, ()),
    "extending/own_policy.py": (check_own_policy, ()),
    "extending/own_recommender.py": (check_own_recommender, ()),
}


@pytest.mark.parametrize("example", CHECKS)
def test_example(example: str) -> None:
    if example in ("train_ppo.py", "multi_cell.py"):
        pytest.importorskip("stable_baselines3", reason="the extra `learn` is not installed")
    if example == "multi_cell.py":
        pytest.importorskip("pettingzoo", reason="the extra `multi` is not installed")
    check, arguments = CHECKS[example]
    check(run(example, *arguments))


def test_no_example_is_left_out() -> None:
    scripts = [path.relative_to(FOLDER) for path in FOLDER.rglob("*.py")]
    assert {path.as_posix() for path in scripts if path.parts[0] != "notebooks"} == set(CHECKS)


def test_a_check_sees_the_wrong_way_round() -> None:
    with pytest.raises(AssertionError):
        check_own_channel("Okumura-Hata 16.51 81.5\nfree space 11.15 51.5\nthrough gymnasium.make: 51.5 Gbit")
    with pytest.raises(AssertionError, match="no line begins with"):
        row("nothing of the kind", "free space")
