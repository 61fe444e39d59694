"""The public sets, if somebody downloaded them: tests that want them are skipped otherwise, and say so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REAL_DATA = Path(os.environ.get("METALORE_DATA") or Path(__file__).parents[2] / ".." / "shared" / "data")

needs_real_data = pytest.mark.skipif(
    not REAL_DATA.is_dir(), reason=f"no public data: METALORE_DATA is not set and {REAL_DATA} does not exist"
)
