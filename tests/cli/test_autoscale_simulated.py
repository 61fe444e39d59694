"""`metalore autoscale --actuator simulated`: the loop turn by turn, in words."""

from __future__ import annotations

import re

import pytest
from cli.calling import call, refusal

WORDS = (
    "autoscale", "--actuator", "simulated", "--scenario", "four-cells", "--history", 600 / 86_400, "--interval", 30,
)  # fmt: skip
GIVEN = re.compile(r"^00:\d\d:\d\d  [\d.]+ of ([\d.]+) cores, [\d.]+ of [\d.]+ GB; \d of 4 zones late; ")


def given(output: str) -> list[float]:
    return [float(found[1]) for line in output.splitlines() if (found := GIVEN.match(line))]


def test_what_is_decided_is_done() -> None:
    result = call(*WORDS, "--recommender", "hpa", "--ticks", 3, "--apply")
    assert result.exit_code == 0, result.output
    first, *lines = result.stdout.splitlines()
    assert first == "4 zones of four-cells; acts; 20 intervals of history first"
    assert [line[:8] for line in lines if GIVEN.match(line)] == ["00:09:30", "00:10:00", "00:10:30", "00:11:00"]
    assert any(re.match(r"  zone-000: 33.33 cores -> \d+ cores \(CPU use \d+% of 134 replicas", line) for line in lines)
    sizes = given(result.stdout)
    assert len(set(sizes)) > 1


def test_without_apply_nothing_changes() -> None:
    result = call(*WORDS, "--recommender", "hpa", "--ticks", 3)
    assert "; a dry run; " in result.stdout
    assert "zone-000: would be 33.33 cores -> " in result.stdout
    assert given(result.stdout) == pytest.approx([400 / 3] * 4, abs=0.05)


def test_a_forecaster_is_fitted_to_the_history() -> None:
    result = call(*WORDS, "--forecaster", "ridge window=3", "--ticks", 2, "--apply")
    assert result.exit_code == 0, result.output
    assert "metalore: the forecast failed" not in result.stderr
    assert "0.9 quantile of the next 30 s, 10% and 1.5 deviations, or 50% more" in result.stdout


def test_with_a_drift_detector_it_runs_as_well() -> None:
    pytest.importorskip("river", reason="river is not installed")
    result = call(*WORDS, "--drift", "--ticks", 3, "--apply")
    assert result.exit_code == 0, result.output
    assert len(given(result.stdout)) == 4


def test_bad_input() -> None:
    assert "foresight is handed the future" in refusal(*WORDS, "--recommender", "foresight")
    assert "no forecaster 'crystal'" in refusal(*WORDS, "--forecaster", "crystal")
    assert "no recommender 'hpb'" in refusal(*WORDS, "--recommender", "hpb")
    assert "history_days is 0.01; it must be a multiple of the interval of 30 s" in refusal(*WORDS[:5], "--history",
        0.01, "--interval", 30)  # fmt: skip
