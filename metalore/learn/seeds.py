"""Ranges of seeds that do not meet: what a policy learned from, what chose it, and what it is judged on."""

TRAINING_SEEDS = 1_000_000
"""Run with seed s trains on environments from s * TRAINING_SEEDS on (and later episodes of theirs)."""
EVALUATION_SEEDS = 10**15
"""Where evaluations during training begin."""
HELD_OUT_SEEDS = 2 * 10**15
"""Where the seeds begin that results are reported on."""
