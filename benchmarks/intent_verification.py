"""Verification, for intent.py: how many made intents are accepted under their own policy, and under another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metalore.intent import ACTIVITIES
from metalore.intent.motions import description
from metalore.intent.scenes import caption
from metalore.intent.spoken import sentence
from metalore.intent.verify import Policy, verify

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
    """Accepted parts by threshold, where the forecast agrees with the policy.

    Args:
        items: made intents, each with a caption, a sentence and a description.
        seed: of them.
        folder, kept, epochs: not used.
    """
    rng = np.random.default_rng(seed)
    own, other = [], []
    for number in range(items):
        activity = ACTIVITIES[number % len(ACTIVITIES)]
        texts = [make(activity, rng) for make in (caption, sentence, description)]
        for policy in ACTIVITIES:
            others = [words for name, words in WORDS.items() if name != policy]
            score = verify(texts, Policy(WORDS[policy], CHANGES), CHANGES, others=others).score
            (own if policy == activity else other).append(score)
    return {
        f"accepted at {threshold}": {
            "own policy": float(np.mean(np.array(own) >= threshold)),
            "another policy": float(np.mean(np.array(other) >= threshold)),
        }
        for threshold in (0.25, 0.3, 0.35, 0.4)
    }
