"""First-in-first-out queues of jobs as linked lists through one pool per environment.

A queue is any record with `head`, `tail` and `count`. Ended jobs go to a free list that is used before fresh places, so
memory grows with the most jobs ever waiting at once, not with jobs created.
"""

from __future__ import annotations

from typing import Any

from metalore.world.jit import njit
from metalore.world.layout import NO_JOB


@njit
def new_job(env: Any, jobs: Any) -> Any:
    """A free place in the pool, or NO_JOB."""
    job = env.free
    if job != NO_JOB:
        env.free = jobs[job].next
        return job
    job = env.fresh
    if job >= len(jobs):
        return NO_JOB
    env.fresh = job + 1
    return job


@njit
def free_job(env: Any, jobs: Any, job: Any) -> None:
    jobs[job].next = env.free
    env.free = job


@njit
def push(jobs: Any, queue: Any, job: Any) -> None:
    jobs[job].next = NO_JOB
    if queue.count == 0:
        queue.head = job
    else:
        jobs[queue.tail].next = job
    queue.tail = job
    queue.count += 1


@njit
def pop(jobs: Any, queue: Any) -> Any:
    job = queue.head
    queue.head = jobs[job].next
    queue.count -= 1
    return job
