"""Spoken sentences of the made library: what people say before and while something goes on, by espeak-ng."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np

from metalore.files import replacing
from metalore.intent.errors import IntentError
from metalore.intent.media import RATE_HZ, read_audio

PROGRAM = "espeak-ng"

_OPENINGS = ("we will", "we can", "they will", "they must", "you can", "let us", "come and", "please")
_DOING = {
    "quiet": ("rest", "sleep", "read", "sit down"),
    "work": ("work", "write", "plan", "call back"),
    "school": ("learn", "study", "teach", "think"),
    "game": ("play", "win", "build", "go online"),
    "concert": ("sing", "dance", "clap", "hear music"),
    "sport": ("run", "jump", "cheer", "kick a ball"),
}
_PLACES = {
    "quiet": ("at home", "in the garden", "in my room"),
    "work": ("at the office", "at my desk", "in a meeting"),
    "school": ("at school", "in class", "in the library"),
    "game": ("in a game", "on the screen", "on a new level"),
    "concert": ("at the concert", "by the stage", "in the hall"),
    "sport": ("at the match", "in the stadium", "on the field"),
}
_COMPANY = ("", "", "", "with friends", "with my team", "with you")
_TIMES = ("now", "today", "tonight", "soon", "at noon", "at six", "at nine", "after two")

VOCABULARY = tuple(
    sorted(
        {
            word
            for phrases in (_OPENINGS, *_DOING.values(), *_PLACES.values(), _COMPANY, _TIMES)
            for phrase in phrases
            for word in phrase.split()
        }
    )
)

_VOICES = ("en-us+m1", "en-us+m3", "en-us+m7", "en-us+f2", "en-us+f3", "en-us+f4")
_WORDS_PER_MINUTE = 160, 200
_PITCHES = 35, 65
_LEVELS = 0.3, 0.9  # of the loudest sample
_NOISE = 0.001, 0.01  # of the loudest sample
_TIMEOUT_S = 60.0


def sentence(activity: str, rng: np.random.Generator) -> str:
    """A sentence of 4 to 11 words that tells an activity; each activity has 3,072."""
    parts = (_OPENINGS, _DOING[activity], _PLACES[activity], _COMPANY, _TIMES)
    return " ".join(phrase for phrase in (str(rng.choice(phrases)) for phrases in parts) if phrase)


def say(text: str, path: Path | str, rng: np.random.Generator) -> None:
    """Speak a text into a WAV file of 16 kHz, in a voice, speed, pitch, loudness and noise drawn at random.

    Raises:
        IntentError: espeak-ng is not installed, or fails.
        OSError: the file cannot be written.
    """
    import soundfile

    if shutil.which(PROGRAM) is None:
        raise IntentError("making speech needs espeak-ng; install it (Debian, Ubuntu: apt-get install espeak-ng)")
    speed, pitch = (str(rng.integers(*bounds)) for bounds in (_WORDS_PER_MINUTE, _PITCHES))
    words = [PROGRAM, "-v", str(rng.choice(_VOICES)), "-s", speed, "-p", pitch, "--stdout", "--stdin"]
    try:
        done = subprocess.run(words, input=text.encode(), capture_output=True, timeout=_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise IntentError(f"{PROGRAM} cannot speak {text!r}: {error}") from None
    samples = read_audio(done.stdout, name=f"what {PROGRAM} spoke")
    samples = samples / np.abs(samples).max() + rng.uniform(*_NOISE) * rng.standard_normal(len(samples))
    samples = samples / np.abs(samples).max() * rng.uniform(*_LEVELS)
    content = io.BytesIO()
    soundfile.write(content, samples, RATE_HZ, format="WAV", subtype="PCM_16")
    with replacing(path) as temporary:
        temporary.write_bytes(content.getvalue())
