"""One step of a world: associate, act, generate, transmit, compute, age, reward, move.

Each phase is one function of a :class:`~metalore.world.layout.Frame` of a single environment, in the order and to the
letter of `docs/world.md`. `advance` and `restart` run them over a batch.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from metalore.world.associate import associate_all, associate_by_hata, is_plain
from metalore.world.attraction import follow_all
from metalore.world.codes import ENDED, FINE, NOT_A_SHARE
from metalore.world.compute import compute
from metalore.world.frame import frame_of
from metalore.world.generate import generate
from metalore.world.jit import cached_njit, njit
from metalore.world.layout import REQUEST, UPDATE
from metalore.world.mobility import ATTRACTION
from metalore.world.motion import move_users
from metalore.world.restart import clear, place_all
from metalore.world.settle import settle, take_stock
from metalore.world.transmit import transmit
from metalore.world.zones import live_on, lives

_SHARE_SLACK = 1e-6  # float32 rounding of a share; more is a mistake

_SOURCES = sorted(Path(__file__).parent.glob("*.py"))
_DIGEST = int(hashlib.sha256(b"".join(p.read_bytes() for p in _SOURCES)).hexdigest()[:12], 16)


@njit
def _step(frame: Any, shares: Any) -> Any:
    setup, env = frame.setup[0], frame.envs[0]
    frame.tally[:] = 0.0
    problem = FINE
    if is_plain(frame):
        associate_by_hata(frame)
    else:
        problem = associate_all(frame)
    problem = max(problem, generate(frame))
    problem = max(problem, transmit(frame, shares))
    for station in range(len(frame.zones)):
        compute(frame, station, REQUEST, shares[station, 1] * (frame.zones[station].compute * setup.step_s))
    for station in range(len(frame.zones)):
        compute(frame, station, UPDATE, (1.0 - shares[station, 1]) * (frame.zones[station].compute * setup.step_s))
    take_stock(frame)
    if setup.mobility == ATTRACTION:
        follow_all(frame)
    else:
        problem = max(problem, move_users(frame))
    if lives(frame, env.t + 1):
        live_on(frame, env.t + 1)
    settle(frame)  # at the end, so that what leaving users and failing stations lose counts in this step
    env.t += 1
    return problem


@njit
def _begin(frame: Any) -> Any:
    clear(frame)
    if lives(frame, 0):
        live_on(frame, 0)
    problem = place_all(frame)
    return max(problem, associate_all(frame))


def _batched() -> tuple[Any, Any]:
    # The digest is part of what the disk cache is keyed by: editing any file of this package compiles anew.
    digest = _DIGEST

    @cached_njit
    def advance(table: Any, shares: Any, chosen: Any, first: Any, last: Any) -> Any:
        """Step those environments of first..last-1 that are chosen [e] with `shares` [e, s, 2].

        Returns the worst problem.
        """
        _ = digest
        problem = FINE
        for e in range(first, last):
            if chosen[e]:
                problem = max(problem, _step(frame_of(table, e), shares[e]))
        return problem

    @cached_njit
    def restart(table: Any, chosen: Any, first: Any, last: Any) -> Any:
        """Reset those environments of first..last-1 that are chosen [e]; returns the worst problem."""
        _ = digest
        problem = FINE
        for e in range(first, last):
            if chosen[e]:
                problem = max(problem, _begin(frame_of(table, e)))
        return problem

    return advance, restart


advance, restart = _batched()


def _checked() -> Any:
    digest = _DIGEST

    @cached_njit
    def check(given: Any, table: Any, chosen: Any, max_steps: Any, shares: Any) -> Any:
        """Copy `given` of those chosen [e] into `shares` [e, s, 2], trimming what rounding put outside [0, 1].

        Refuses what is no share, and stepping after the end; `shares` is untouched then.
        """
        _ = digest
        for e in range(len(chosen)):
            if chosen[e] and frame_of(table, e).envs[0].t >= max_steps:
                return ENDED
        source = given.reshape(-1)
        for i in range(len(source)):
            if not (-_SHARE_SLACK <= source[i] <= 1.0 + _SHARE_SLACK):
                return NOT_A_SHARE
        for e in range(len(chosen)):
            if chosen[e]:
                for station in range(shares.shape[1]):
                    for share in range(2):
                        shares[e, station, share] = min(max(given[e, station, share], 0.0), 1.0)
        return FINE

    return check


check = _checked()
