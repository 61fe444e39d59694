"""What intent refuses."""

from __future__ import annotations


class IntentError(ValueError):
    """Media, data or weights that cannot be; the message is one sentence: what is wrong, where, what would be right."""
