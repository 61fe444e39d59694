"""Rules: fixed, uniformly random, demand-proportional, backlog-proportional, max-weight."""

from __future__ import annotations

import numpy as np

from metalore.policies.base import Policy, part_of
from metalore.scenario import Bernoulli, Scenario, period_steps_of, profile_factors
from metalore.world import World, totals_of


class Fixed(Policy):
    """The same split at every station and step.

    Args:
        bandwidth, compute: parts for requests, in [0, 1].

    Raises:
        ValueError: a part outside.
    """

    def __init__(self, bandwidth: float, compute: float) -> None:
        if not (0 <= bandwidth <= 1 and 0 <= compute <= 1):
            raise ValueError(f"a fixed split holds two shares in [0, 1], not {bandwidth} and {compute}")
        self.bandwidth, self.compute = bandwidth, compute
        self.name = f"fixed({bandwidth:g},{compute:g})"

    def __call__(self, world: World) -> np.ndarray:
        shares = np.empty((world.num_envs, world.num_stations, 2))
        shares[...] = self.bandwidth, self.compute
        return shares


class Uniform(Policy):
    """Shares drawn uniformly in every step, the floor every other policy should clear.

    A draw depends on the environment's seed, episode and step only, so it is the same in every batch.
    """

    name = "uniform"

    def __call__(self, world: World) -> np.ndarray:
        shares = np.empty((world.num_envs, world.num_stations, 2))
        for e, (seed, episode, t) in enumerate(zip(world.seeds, world.episodes, world.t, strict=True)):
            generator = np.random.default_rng([int(seed), int(episode), int(t)])
            shares[e] = generator.random((world.num_stations, 2))
        return shares


class DemandProportional(Policy):
    """Splits in proportion to the load that requests and updates offer on average at this time of the episode.

    Offered Mbit/s for bandwidth, Gcycle/s for compute, from the scenario's probabilities, periods, sizes and profiles;
    knows the demand's schedule but not its state.
    """

    name = "demand-proportional"

    def __init__(self) -> None:
        self._splits: tuple[Scenario, np.ndarray] | None = None

    def __call__(self, world: World) -> np.ndarray:
        if self._splits is None or self._splits[0] is not world.scenario:
            self._splits = (world.scenario, offered_split(world.scenario))
        t = np.minimum(world.t, world.scenario.max_steps - 1)
        return np.repeat(self._splits[1][t][:, None, :], world.num_stations, axis=1)


def offered_split(scenario: Scenario) -> np.ndarray:
    """Part of the offered load that requests make up at each step: [t, 2], Mbit and Gcycle."""
    times = np.arange(scenario.max_steps) * scenario.step_s
    requests, updates = scenario.users.requests, scenario.sensors.updates
    asked = scenario.users.count * requests.probability * profile_factors(requests.profile, times)
    if isinstance(updates.timing, Bernoulli):
        rate = scenario.sensors.count * updates.timing.probability
    else:
        rate = sum(1.0 / period for period in period_steps_of(scenario))
    reported = rate * profile_factors(updates.profile, times)
    split = np.empty((scenario.max_steps, 2))
    for axis, (asks, reports) in enumerate(
        [(requests.data_mbit, updates.data_mbit), (requests.compute_gcycle, updates.compute_gcycle)]
    ):
        split[:, axis] = part_of(asked * max(asks.mean, asks.minimum), reported * max(reports.mean, reports.minimum))
    return split


class BacklogProportional(Policy):
    """Splits in proportion to what waits: Mbit in devices for bandwidth, Gcycle at the station for compute."""

    name = "backlog-proportional"

    def __call__(self, world: World) -> np.ndarray:
        radio, server = world.device_backlog(), world.queue_gcycle
        return np.stack([part_of(radio[..., 0], radio[..., 1]), part_of(server[..., 0], server[..., 1])], axis=-1)


class MaxWeight(Policy):
    """Everything to the kind with the larger weight, as max-weight scheduling does (Tassiulas and Ephremides 1992).

    The weight of a kind is its backlog, by wish times (1 + mean age of what waits, in steps), so that old jobs count
    more. Both kinds are worked off at the same rate, so weights need no rates but one: requests whose first waits for
    an update have none. A queue of them that was given compute and could not use it gets none for a step; else, where
    requests have the larger backlog, the update that they wait for would never be processed. A tie splits evenly.
    """

    def __init__(self, ages: bool = False) -> None:
        self.ages = ages
        self.name = "max-weight-age" if ages else "max-weight"

    def __call__(self, world: World) -> np.ndarray:
        urgency = 1.0 + world.waiting_age()[:, None, :] if self.ages else 1.0
        shares = np.empty((world.num_envs, world.num_stations, 2))
        for axis, backlog in enumerate((world.device_backlog(), world.queue_gcycle)):
            weight = backlog * urgency
            shares[..., axis] = 0.5 + 0.5 * np.sign(weight[..., 0] - weight[..., 1])
        shares[_blocked(world), 1] = 0.0
        return shares


def _blocked(world: World) -> np.ndarray:
    """Where requests wait that were given compute in the last step and used none of it, [e, s]."""
    used = totals_of(world.station_totals, "request_gcycle_processed")
    blocked: np.ndarray = (world.queue_gcycle[..., 0] > 0) & (world.shares[..., 1] > 0) & (used <= 0)
    return blocked
