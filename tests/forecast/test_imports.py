"""What is loaded when."""

from __future__ import annotations

import subprocess
import sys


def test_torch_and_scikit_learn_wait_until_they_are_needed() -> None:
    """Serving and autoscaling use panels and the naive forecasters without them."""
    code = (
        "import sys, metalore.forecast as f; f.make_forecaster('ridge'); f.make_forecaster('last-value'); "
        "print([name for name in ('torch', 'sklearn', 'gymnasium', 'matplotlib') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
