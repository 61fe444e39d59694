"""When a random result agrees with theory: within what chance allows, and with a sample large enough to tell."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

SIGMA = 4.5
"""Standard errors a mean may be off; by chance alone about one test in 150,000 is."""

LEAST_P = 1e-6
"""A test of a distribution or of independence fails below this p-value."""


def assert_mean(samples: ArrayLike, expected: float, precision: float) -> None:
    """Independent `samples` have the mean `expected`; their standard error is at most the part `precision` of it.

    The second condition keeps the test sharp: it fails on a true error of about `2 * SIGMA * precision`.
    """
    values = np.asarray(samples, float)
    error = values.std(ddof=1) / np.sqrt(len(values))
    assert error <= precision * abs(expected), f"standard error {error:.3g} is too large to tell"
    off = abs(values.mean() - expected)
    assert off <= SIGMA * error, f"the mean is {values.mean():.5g}, not {expected:.5g} +- {SIGMA * error:.2g}"
