"""Queues and ages of information have the means that theory says.

Independent environments of a batch are the replicas from which confidence intervals come. Everything starts empty, so a
run's beginning is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq
from world.confidence import assert_mean

from metalore.scenario import Scenario, load
from metalore.world import World, totals_of

NOTHING = {"mean": 0.0, "distribution": "constant", "minimum": 0.0}
BUFFERS = {"device_jobs": 100, "station_jobs": 500}  # never full; they keep the batch small in memory


def constant(mean: float) -> dict[str, Any]:
    return {"mean": mean, "distribution": "constant", "minimum": 0.0}


def cell(gcycle_s: float, **changes: Any) -> Scenario:
    """A station that is heard by everybody and whose radio takes no time."""
    jobs = {"users__requests__data_mbit": NOTHING, "sensors__updates__data_mbit": NOTHING}
    server = {"stations__0__compute_gcycle_s": gcycle_s, "buffers": BUFFERS}
    return load("smart-city", **(jobs | server | changes))


def run(world: World, share: float, steps: int) -> None:
    shares = np.full((world.num_envs, 1, 2), share)
    for _ in range(steps):
        world.step(shares)


def totals_after(world: World, share: float, warm_up: int, steps: int) -> dict[str, np.ndarray]:
    """What is counted in `steps` steps after the warm-up, [e] by name."""
    world.reset(seed=1)
    run(world, share, warm_up)
    before = world.episode_totals.copy()
    run(world, share, steps)
    counted = world.episode_totals - before
    assert not totals_of(world.episode_totals, "requests_lost").any()
    assert not totals_of(world.episode_totals, "updates_lost").any()
    names = ("requests_completed", "request_server_wait", "request_processing", "twin_age", "peaks", "peak_age")
    return {name: totals_of(counted, name) for name in names}


# -- queues ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("p", "d", "expected"), [(0.1, 5, 2.0), (0.18, 5, 18.0), (0.3, 3, 9.0)])
def test_wait_in_a_geo_d_1_queue(p: float, d: int, expected: float) -> None:
    """Requests come with probability p in a step and take d steps: they wait rho (d - 1) / (2 (1 - rho)), rho = p d."""
    rho = p * d
    assert expected == pytest.approx(rho * (d - 1) / (2 * (1 - rho)))
    scenario = cell(
        1.0,
        max_steps=24_000,
        users__count=1,
        users__requests__probability=p,
        users__requests__compute_gcycle=constant(d),
        sensors__count=0,
    )
    totals = totals_after(World(scenario, 256), 1.0, 4000, 20_000)
    assert_mean(totals["request_server_wait"] / totals["requests_completed"], expected, 0.015)
    assert (totals["request_processing"] == (d - 1) * totals["requests_completed"]).all()


@pytest.mark.parametrize(
    ("mean", "capacity", "expected"), [(0.7, 1, 0.8167), (3.5, 5, 0.4743), (8, 10, 0.8786), (45, 50, 1.7787)]
)
def test_backlog_of_a_queue_served_in_bulk(mean: float, capacity: int, expected: float) -> None:
    """Q <- max(Q + A - c, 0) with Poisson A: in every step, and its stationary mean."""
    work = {"mean": mean, "distribution": "poisson", "minimum": 0.0}
    scenario = cell(capacity, max_steps=12_000, users__count=0, sensors__count=1, sensors__updates__compute_gcycle=work)
    world = World(scenario, 256)
    world.reset(seed=2)
    total, before = np.zeros(256), np.zeros(256)
    for t in range(scenario.max_steps):
        run(world, 0.0, 1)
        arrived = totals_of(world.step_totals, "update_gcycle_generated")
        backlog = world.queue_gcycle[:, 0, 1].copy()
        assert (backlog == np.maximum(before + arrived - capacity, 0.0)).all()
        before = backlog
        if t >= 2000:
            total += backlog
    assert_mean(total / 10_000, expected, 0.005)


# -- age at the twin, in steps -----------------------------------------------------------------------------------------


def sampling(timing: dict[str, Any], **changes: Any) -> Scenario:
    """One sensor whose updates are processed in the step they are created in."""
    updates = {"sensors__updates__compute_gcycle": constant(1.0), "sensors__updates__timing": timing}
    return cell(100.0, users__count=0, sensors__count=1, max_steps=20_000, **(updates | changes))


@pytest.mark.parametrize("period", [1, 2, 3, 7])
def test_age_of_periodic_updates(period: int) -> None:
    """Ages run 0, 1, ..., T - 1, so their mean is (T - 1) / 2 and a peak is T, exactly."""
    world = World(sampling({"kind": "periodic", "period_steps": period}))
    totals = totals_after(world, 0.0, period, 30 * period)
    assert totals["twin_age"][0] / (30 * period) == (period - 1) / 2
    assert (totals["peaks"][0], totals["peak_age"][0]) == (30, 30 * period)
    ages = []
    for _ in range(period):
        run(world, 0.0, 1)
        ages.append(world.sensor_ages[0, 0])
    assert ages == list(range(period))


def test_age_of_updates_with_a_broken_period() -> None:
    """A period of 2.5 steps means gaps of 2 and 3 in turn: a mean age of (1 + 3) / 5 and peaks of 2.5 on average."""
    world = World(sampling({"kind": "periodic", "period_steps": 2.5}))
    totals = totals_after(world, 0.0, 5, 500)
    assert totals["twin_age"][0] / 500 == 0.8
    assert totals["peak_age"][0] / totals["peaks"][0] == 2.5


@pytest.mark.parametrize("p", [0.05, 0.3, 0.9])
def test_age_of_bernoulli_updates(p: float) -> None:
    """The last update lies geometrically far back: (1 - p) / p on average; peaks are 1 / p apart."""
    world = World(sampling({"kind": "bernoulli", "probability": p}), 64)
    totals = totals_after(world, 0.0, 1000, 10_000)
    assert_mean(totals["twin_age"] / 10_000, (1 - p) / p, 0.01)
    assert_mean(totals["peak_age"] / totals["peaks"], 1 / p, 0.01)


# -- age behind a queue, in units of the mean service time -------------------------------------------------------------
#
# Theory has continuous time; here updates come at the starts of steps of dt service times, and the age is read once a
# step. Both change the mean by O(dt), so it is compared with the exact mean on the grid, derived as in continuous time
# (Kaul, Yates and Gruteser, "Real-time status: how often should one update?", INFOCOM 2012): with X steps between two
# updates and the second one known T steps after its creation, the ages of a cycle sum to X (X - 1) / 2 + X T. Reading
# at the end of a step, as `docs/world.md` has it, counts the step of completion as one less.

DT = 1 / 8
RATES = (0.2, 0.5, 0.8)


def geometric(rate: float, dt: float) -> np.ndarray:
    """Probabilities of 0, 1, ... steps between two updates."""
    p = rate * dt
    steps = np.arange(1, math.ceil(40 / p))
    return np.concatenate([[0.0], p * (1 - p) ** (steps - 1)])


def fixed(rate: float, dt: float) -> np.ndarray:
    probabilities = np.zeros(round(1 / (rate * dt)) + 1)
    probabilities[-1] = 1.0
    return probabilities


def mean_age(probabilities: np.ndarray, known_after: np.ndarray, dt: float) -> float:
    """Mean age on the grid. `known_after`: mean of T [x] by the steps since the update before."""
    x = np.arange(len(probabilities))
    cycle = probabilities @ (x * (x - 1) / 2 + x * known_after)
    return float(cycle / (probabilities @ x) - 1) * dt


def age_with_exponential_service(probabilities: np.ndarray, dt: float) -> float:
    """GI/M/1: an update's time in the system is exponential with the rate `a` that solves E exp(-a X) = 1 - a."""
    x = np.arange(len(probabilities)) * dt
    a = brentq(lambda a: probabilities @ np.exp(-a * x) - (1 - a), 1e-9, 1 - 1e-9, xtol=1e-14)
    finds_one = np.exp(-a * x)  # the one before is still there, and will be for an exponential time of rate a
    served, waited = 1 / (1 - math.exp(-dt)), 1 / (1 - math.exp(-a * dt))  # sums of P(time > k dt) over k
    known_after = (1 - finds_one) * served + finds_one * (waited - a * served) / (1 - a)
    return mean_age(probabilities, known_after, dt)


def age_with_constant_service(rate: float, dt: float) -> float:
    """Geo/D/1 with n = 1 / dt steps of service, p = rate dt and q = 1 - p.

    The work V found by an update has the generating function (1 - rho) (1 - z) / (q + p z^n - z), so T' = V + n of the
    update before has E q^T' = 1 - rho and E T' q^T' = (1 - rho) (q^(1-n) - q) / p, and X is memoryless where it
    exceeds T'.
    """
    p, n, rho = rate * dt, round(1 / dt), rate
    q, x, x2 = 1 - p, 1 / p, (2 - p) / p**2
    before = n + rho * (n - 1) / (2 * (1 - rho))
    wait_times_x = x * before - x2 + x * (1 - rho) * (q ** (1 - n) - q) / p + x2 * (1 - rho)
    return (((x2 - x) / 2 + wait_times_x + x * n) / x - 1) * dt


def age_on_grid(queue: str, rate: float, dt: float) -> float:
    match queue:
        case "M/M/1":
            return age_with_exponential_service(geometric(rate, dt), dt)
        case "D/M/1":
            return age_with_exponential_service(fixed(rate, dt), dt)
        case _:
            return age_with_constant_service(rate, dt)


def updates(queue: str, rate: float) -> Callable[..., tuple[int, float, float]]:
    """A sensor's traffic. Work is in service times; data takes no time."""
    chance, period = rate * DT, round(1 / (rate * DT))

    def poisson_exponential(
        time_s: float, device: int, is_sensor: bool, u0: float, u1: float, u2: float, u3: float
    ) -> tuple[int, float, float]:
        return (1 if u0 < chance else 0), 0.0, -math.log(u1)

    def poisson_constant(
        time_s: float, device: int, is_sensor: bool, u0: float, u1: float, u2: float, u3: float
    ) -> tuple[int, float, float]:
        return (1 if u0 < chance else 0), 0.0, 1.0

    def periodic_exponential(
        time_s: float, device: int, is_sensor: bool, u0: float, u1: float, u2: float, u3: float
    ) -> tuple[int, float, float]:
        return (1 if round(time_s / DT) % period == 0 else 0), 0.0, -math.log(u1)

    return {"M/M/1": poisson_exponential, "M/D/1": poisson_constant, "D/M/1": periodic_exponential}[queue]


AGES = [
    *(("M/M/1", rate, age) for rate, age in zip(RATES, (6.05, 3.50, 5.45), strict=True)),
    *(("M/D/1", rate, age) for rate, age in zip(RATES, (6.011, 3.149, 3.556), strict=True)),
    *(("D/M/1", rate, age) for rate, age in zip(RATES, (3.507, 2.255, 3.318), strict=True)),
]


@pytest.mark.parametrize(("queue", "rate", "age"), AGES)
def test_age_behind_a_queue(queue: str, rate: float, age: float) -> None:
    assert age_on_grid(queue, rate, 2e-4) == pytest.approx(age, abs=1.5e-3)  # the grid's formula has the right limit
    scenario = cell(1.0, step_s=DT, max_steps=25_000, users__count=0, sensors__count=1)
    world = World(scenario, 512, traffic=updates(queue, rate))
    totals = totals_after(world, 0.0, 4000, 21_000)
    assert_mean(totals["twin_age"] / 21_000 * DT, age_on_grid(queue, rate, DT), 0.008)
