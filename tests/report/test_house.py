"""The report's place in the house: it reads tables and knows every column of them."""

from __future__ import annotations

import subprocess
import sys

from metalore.policies import Fixed
from metalore.policies.rollout import COURSES as FOLLOWED
from metalore.policies.rollout import run_episodes
from metalore.report import COURSES, MEASURES


def test_the_report_knows_no_world() -> None:
    rooms = ("world", "envs", "policies", "learn", "scenario")
    code = (
        "import sys, metalore.report\n"
        f"above = [m for m in sys.modules if m.startswith(tuple('metalore.' + room for room in {rooms}))]\n"
        "assert not above and 'torch' not in sys.modules and 'matplotlib.pyplot' not in sys.modules, above"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_the_report_has_words_for_every_column_of_a_run() -> None:
    results = run_episodes("smart-city-small", Fixed(0.5, 0.5), [0])
    assert set(results.episodes) - {"seed"} == set(MEASURES)
    assert set(FOLLOWED) == set(COURSES)
    assert all(what.meaning for what in MEASURES.values())
