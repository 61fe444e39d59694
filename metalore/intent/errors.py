"""What intent refuses."""

from __future__ import annotations


class IntentError(ValueError):
    """An intent that cannot be; the message is one sentence: what is wrong, where, and what would be right."""
