"""What people see, say and do, as embeddings: readers of media, encoders, and a made library to train them on."""

from __future__ import annotations

from metalore.intent.errors import IntentError
from metalore.intent.library import ACTIVITIES, Item, Library, load_library, make_library
from metalore.intent.media import LIMITS, Limits, read_audio, read_each, read_image, read_motion

__all__ = [
    "ACTIVITIES",
    "LIMITS",
    "IntentError",
    "Item",
    "Library",
    "Limits",
    "load_library",
    "make_library",
    "read_audio",
    "read_each",
    "read_image",
    "read_motion",
]
