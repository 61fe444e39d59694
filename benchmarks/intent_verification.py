"""Verification, for intent.py: how many made intents are accepted under their own policy, and under another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metalore.autoscale.announced import BEFORE, possible_changes, usual
from metalore.forecast import Panel, Split, make_forecaster
from metalore.intent import ACTIVITIES
from metalore.intent.gate import Gate
from metalore.intent.motions import description
from metalore.intent.scenes import caption
from metalore.intent.spoken import sentence
from metalore.intent.verify import Policy, verify
from metalore.scenario import load
from metalore.telemetry import record

WORDS = {
    "quiet": "a quiet street: empty, sleeping and resting at home",
    "work": "work in an office: desks, meetings, planning and typing",
    "school": "school: a class, a teacher, pupils who learn, read and write in the library",
    "game": "a game: gamers who play and build, screens and a board",
    "concert": "a concert: a band on a stage, music, singing, dancing and clapping",
    "sport": "sport: a match on the field, running, kicking a ball, squats, cheering",
}
CHANGES = {"arena": 0.5, "park": 0.2}


def measure_verification(
    items: int, seed: int, folder: Path, kept: Path | None = None, epochs: int = 0
) -> dict[str, float | dict[str, float]]:
    """Accepted parts by threshold where the forecast agrees with the policy; and at the gate of a city.

    Args:
        items: made intents, each with a caption, a sentence and a description.
        seed: of them.
        folder: where a city is recorded.
        kept, epochs: not used.
    """
    rng = np.random.default_rng(seed)
    own, other, intents = [], [], []
    for number in range(items):
        activity = ACTIVITIES[number % len(ACTIVITIES)]
        texts = [make(activity, rng) for make in (caption, sentence, description)]
        intents.append((activity, texts))
        for policy in ACTIVITIES:
            others = [words for name, words in WORDS.items() if name != policy]
            score = verify(texts, Policy(WORDS[policy], CHANGES), CHANGES, others=others).score
            (own if policy == activity else other).append(score)
    found = {
        f"accepted at {threshold}": {
            "own policy": float(np.mean(np.array(own) >= threshold)),
            "another policy": float(np.mean(np.array(other) >= threshold)),
        }
        for threshold in (0.25, 0.3, 0.35, 0.4)
    }
    return found | gate(intents, possible_in_a_city(folder / "city", seed), rng)


def possible_in_a_city(folder: Path, seed: int, hours: float = 12.0) -> dict[str, np.ndarray]:
    """What forecasts of a minute ahead hold possible in zones of `city-30`, by forecaster [n, 2].

    They are fitted to the first half of the recording; the zones and minutes of the second half count.
    """
    record(load("city-30"), folder, duration_s=3600 * hours, interval_s=60, seed=seed)
    panel = Panel.of(folder, targets=("cpu_cores",))
    half = len(panel) // 2
    split, found = Split(round(0.75 * half), half, len(panel)), {}
    for name in ("last-value", "ridge"):
        quantiles = make_forecaster(name).fit(panel, split, (1,)).predict(panel, range(half, len(panel) - 1))
        spans = [
            possible_changes(own[:, :, 0], usual(panel.values[step - BEFORE + 1 : step + 1, :, 0]))
            for step, own in enumerate(quantiles, start=half)
        ]
        found[name] = np.concatenate(spans)
    return found


def gate(
    intents: list[tuple[str, list[str]]], possible: dict[str, np.ndarray], rng: np.random.Generator
) -> dict[str, dict[str, float]]:
    """Accepted parts of intents that announce more or less, each in a zone and minute drawn at random."""
    found: dict[str, dict[str, float]] = {}
    for change in (0.1, 0.2, 0.5, 1.0):
        judge = Gate({name: Policy(words, {"zone": change}) for name, words in WORDS.items()}).judge
        for name, spans in possible.items():
            own, other = [], []
            for activity, texts in intents:
                low, high = spans[rng.integers(len(spans))].tolist()
                for policy in ACTIVITIES:
                    accepted = judge(policy, texts, {"zone": (low, high)}, {}).accepted
                    (own if policy == activity else other).append(accepted)
            found[f"+{change:g}, {name}"] = {"own": float(np.mean(own)), "another": float(np.mean(other))}
    found["highest possible change"] = {name: float(np.median(spans[:, 1])) for name, spans in possible.items()}
    return found
