"""`metalore autoscale --intents`: only what is believed reaches the autoscaler."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cli.calling import call, refusal

from metalore.cli._toml import commented_toml
from metalore.scenario import load

FROM_S, UNTIL_S, TICKS = 1020, 1320, 4
TURN = re.compile(r"^\d\d:\d\d:\d\d  ")
MARKET = re.compile(r"^  market: [\d.]+ cores.* -> ([\d.]+) cores")
FAIR = {"words": "a fair on the market: music, and people who buy and sell", "changes": {"market": 0.5}}
MEETING = {"words": "office work: people sit in a meeting", "changes": {"works": 0.3}}
TOLD, OTHER = "many people buy and sell on the market", "they sit in a meeting"


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small city at noon; a fair begins on the market, and who is there asks three times as often."""
    path = tmp_path_factory.mktemp("city") / "city.toml"
    city = load("city-30", users__count=600, users__requests__probability=0.1)
    assert city.city is not None
    fair = {"zone": "market", "from_s": FROM_S, "duration_s": 600, "lead_s": 0, "pull": 1, "request_factor": 3}
    path.write_text(commented_toml(city.updated(city=city.city.model_dump() | {"events": [fair], "start_hour": 12.0})))
    return path


def turns(scenario: Path, *more: Any) -> list[list[str]]:
    """What the loop said, turn by turn; sizes follow what is wanted in one step."""
    result = call(
        "autoscale", "--actuator", "simulated", "--scenario", scenario, "--history", 900 / 86_400, "--ticks", TICKS,
        "--apply", "--forecaster", "last-value", "--safety", "step_down=0.9", "--safety", "cooldown_down_s=0", *more,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found: list[list[str]] = [[]]
    for line in result.stdout.splitlines():
        if TURN.match(line):
            found.append([])
        found[-1].append(line)
    return found


def written(folder: Path, *texts: str, **changes: Any) -> Path:
    path = folder / "intents.json"
    intents = [{"texts": [text], "policy": "fair", "from_s": FROM_S, "until_s": UNTIL_S} | changes for text in texts]
    path.write_text(json.dumps({"policies": {"fair": FAIR, "meeting": MEETING}, "intents": intents}))
    return path


def rulings(said: list[list[str]]) -> list[str]:
    return [line for turn in said for line in turn if line.startswith("intent ")]


def test_what_is_rejected_never_reaches_the_autoscaler(scenario: Path, tmp_path: Path) -> None:
    plain, said = turns(scenario), turns(scenario, "--intents", written(tmp_path, OTHER))
    (ruling,) = rulings(said)
    assert ruling.startswith("intent 0 (fair) is rejected with 0.")
    assert "what it says is not about 'a fair on the market" in ruling
    assert [[line for line in turn if line != ruling] for turn in said] == plain


def test_what_is_accepted_makes_a_zone_grow_before_its_load(scenario: Path, tmp_path: Path) -> None:
    plain, said = turns(scenario), turns(scenario, "--intents", written(tmp_path, TOLD))
    (ruling,) = rulings(said)
    assert ruling.startswith("intent 0 (fair) is accepted with 0.")
    before = next(number for number, turn in enumerate(said) if ruling in turn)  # rulings come before their turn's line
    assert said[:before] == plain[:before]
    sizes = [
        {number: float(found[1]) for number, turn in enumerate(way) for line in turn if (found := MARKET.match(line))}
        for way in (plain, said)
    ]
    assert before + 1 not in sizes[0] or sizes[0][before + 1] < 1.2 * sizes[0][1]
    assert sizes[1][before + 1] > 1.3 * sizes[0][1]
    assert sizes[0][before + 2] > 1.3 * sizes[0][1]  # the load has come


def test_what_is_refused(scenario: Path, tmp_path: Path) -> None:
    words = ("autoscale", "--actuator", "simulated", "--scenario", "four-cells", "--interval", 30, "--history",
             600 / 86_400, "--ticks", 1, "--intents")  # fmt: skip
    path = written(tmp_path, TOLD)
    assert "there are none; use --recommender forecast" in refusal(*words, path, "--recommender", "hpa")
    assert "for intent 0 (fair), the loop has no zone 'market'" in refusal(*words, path)
    assert "lasts from 1020 s until 1020 s" in refusal(*words, written(tmp_path, TOLD, until_s=FROM_S))
    assert "intents.0.policy: there is no policy 'x'" in refusal(*words, written(tmp_path, TOLD, policy="x"))
    assert "No such file" in refusal(*words, tmp_path / "missing.json")
