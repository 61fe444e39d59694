"""Small worlds whose jobs, signals and shares a test writes by hand, for the tests of the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reference import Job, ReferenceWorld

from metalore.scenario import Scenario

REQUESTS, HALF, UPDATES = (1.0, 1.0), (0.5, 0.5), (0.0, 0.0)  # who gets the band and the server
Script = dict[tuple[int, int], tuple[float, float]]


def flat_channel(*_: float) -> float:
    return 130.0


def scripted(script: Script, step_s: float = 1.0) -> Callable[..., tuple[int, float, float]]:
    """Traffic that creates a job of (data, compute) where (step, device) is in the script."""

    def traffic(time_s: float, device: int, is_sensor: bool, *_: float) -> tuple[int, float, float]:
        job = script.get((round(time_s / step_s), device))
        return (1, *job) if job else (0, 0.0, 0.0)

    return traffic


def settings(users: int = 1, sensors: int = 0, **changes: Any) -> Scenario:
    """Still users and sensors around one station; keyword arguments as of `Scenario.updated`."""
    return Scenario.model_validate(
        {
            "stations": [{"bandwidth_hz": 10e6, "compute_gcycle_s": 10.0}],
            "users": {
                "count": users,
                "mobility": {"kind": "static"},
                "positions_m": [(100 + k % 10, 100) for k in range(users)],
            },
            "sensors": {
                "count": sensors,
                "placement": {"kind": "fixed", "positions_m": [(100 + 20 * n, 120) for n in range(sensors)]},
            },
        }
    ).updated(**changes)


def world(script: Script, users: int = 1, sensors: int = 0, **changes: Any) -> ReferenceWorld:
    scenario = settings(users, sensors, **changes)
    return ReferenceWorld(scenario, 0, channel=flat_channel, traffic=scripted(script, scenario.step_s))


def run(reference: ReferenceWorld, *shares: tuple[float, float]) -> list[dict[str, Any]]:
    """Outcomes of steps with one share each; at one station."""
    outcomes = []
    for share in shares:
        outcomes.append(reference.step([share]))
        reference.check_conservation()
    return outcomes


def stamps(job: Job) -> tuple[int, int, int, int, int]:
    return job.created, job.tx_start, job.tx_end, job.proc_start, job.completed
