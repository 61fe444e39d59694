"""Agents and rules on the same episodes: the same demand for all, measures by hand, and one view in both worlds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from metalore.autoscale import Advice, Recommender, Seen, Usage, make_recommender
from metalore.autoscale.agents.policy import AgentPolicy
from metalore.autoscale.agents.ranges import MOVES
from metalore.autoscale.recommenders.agent import TrainedAgent
from metalore.envs.zone_core import ZoneCore, ZoneSettings
from metalore.fluid import Demand, FluidZones
from metalore.learn.zones.evaluation import agent_decides, evaluate_zones, holds, keeps, recommends, run_zones

SEEN = ("forecast", "quantiles", "allocation", "load", "telemetry", "error", "distrust")


def core_of(demand: Demand, num_envs: int = 4, single: bool = True, **settings: Any) -> ZoneCore:
    made = ZoneSettings().updated(intervals=15, **settings)
    return ZoneCore(FluidZones(demand, num_envs, single=single), made)


def random_agent(core: ZoneCore, seed: int = 0) -> AgentPolicy:
    rng = np.random.default_rng(seed)
    layers = [
        (rng.standard_normal((8, core.observer.size)).astype(np.float32), np.zeros(8, np.float32)),
        (rng.standard_normal((len(MOVES), 8)).astype(np.float32), np.zeros(len(MOVES), np.float32)),
    ]
    return AgentPolicy(layers, "tanh", core.observer, core.ranges)


def test_all_meet_the_same_requests(demand: Demand) -> None:
    core = core_of(demand)
    table = evaluate_zones(
        {"keep": keeps, "most": holds(np.full((3, 3), 1e6)), "hpa": recommends(lambda: make_recommender("hpa"))},
        core, [1, 100],
    )  # fmt: skip
    assert len(table) == 3 * 2 * 4
    again = evaluate_zones({"keep": keeps}, core, [1, 100])
    np.testing.assert_array_equal(
        table[table["candidate"] == "keep"].drop(columns="candidate").to_numpy(float),
        again.drop(columns="candidate").to_numpy(float),
    )


def test_more_costs_more_and_is_late_less(demand: Demand) -> None:
    core = core_of(demand, 8)
    table = evaluate_zones({"least": holds(np.zeros((3, 3))), "most": holds(np.full((3, 3), 1e6))}, core, [1])
    mean = table.groupby("candidate").mean()
    assert mean.loc["most", "cost"] > mean.loc["least", "cost"]
    assert mean.loc["most", "violations"] < mean.loc["least", "violations"]


def test_measures_are_those_of_the_steps(demand: Demand) -> None:
    core = core_of(demand, 1)
    (row,) = run_zones(keeps(), core, 3)
    core.reset([3])
    steps = [core.step(np.zeros((1, 1, 3), np.int64)) for _ in range(15)]
    assert row["reward"] == pytest.approx(np.mean([step.rewards[0, 0] for step in steps]))
    asked = [step.happened.requests[0, 0] > 0 for step in steps]
    assert row["violations"] == pytest.approx(sum(step.violated[0, 0] for step in steps) / sum(asked))
    assert row["core_hours"] == pytest.approx(24 * core.given[0, 0, 0])
    assert row["slo_cost"] == pytest.approx(row["cost"] + row["violations"])


@dataclass(frozen=True)
class Spy(Recommender):
    """An agent whose advice is written down."""

    name: ClassVar[str] = "spy"
    agent: TrainedAgent
    said: list[np.ndarray] = field(default_factory=list)

    def recommend(self, seen: Seen, state: Any) -> Advice:
        advice = self.agent.recommend(seen, state)
        self.said.append(advice.wanted)
        return advice


def test_the_autoscaler_sees_what_the_environment_shows(demand: Demand, tmp_path: Path) -> None:
    """The same agent, once in the environment and once as a recommender, wants the same in every turn."""
    broken = {"bias_sd": 1.5}  # so that there is something to distrust
    core = core_of(demand, 1, single=False, features=SEEN, horizons=(1, 3), recent=2, latency_ahead=False,
                   disturbances=broken)  # fmt: skip
    agent = random_agent(core)
    agent.save(tmp_path)
    spy = Spy(TrainedAgent(str(tmp_path)))
    decide, seen = recommends(lambda: spy)(), core.reset([5])
    for _ in range(10):
        moves = decide(core, seen)
        expected = core.ranges.amounts(core.levels + agent.moves(core.observe(), core.mask()))[0]
        np.testing.assert_allclose(spy.said[-1], expected)
        core.step(moves)
        seen = core.observe()
    assert len({tuple(wanted.ravel()) for wanted in spy.said}) > 1
    assert core.distrust().max() > 0


def test_an_agent_moves_by_a_step_within_its_range(demand: Demand) -> None:
    core = core_of(demand, 2, single=False, features=SEEN, latency_ahead=False)
    decide, seen = agent_decides(random_agent(core))(), core.reset([1, 2])
    for _ in range(15):
        moves = decide(core, seen)
        assert set(np.unique(moves)) <= {-1, 0, 1}
        before = core.levels.copy()
        core.step(moves)
        np.testing.assert_array_equal(core.levels, before + moves)  # nothing was refused
        seen = core.observe()


def test_sizes_beyond_its_range_are_brought_to_its_end(demand: Demand, tmp_path: Path) -> None:
    core = core_of(demand, 1, single=False, features=SEEN, latency_ahead=False)
    layers = [(np.zeros((len(MOVES), core.observer.size), np.float32), np.eye(len(MOVES), dtype=np.float32)[13])]
    AgentPolicy(layers, "tanh", core.observer, core.ranges).save(tmp_path)  # keeps whatever it sees
    usage = Usage(np.array([0.0]), ("a", "b"), np.ones((1, 2, 3)), 60.0)
    allocated = np.array([[33.0, 1e5, 100.0], [0.01, 512.0, 100.0]])
    wanted = TrainedAgent(str(tmp_path)).recommend(Seen(60.0, usage, None, allocated, 60.0), {}).wanted
    np.testing.assert_allclose(wanted, [[2.0, 2048.0, 100.0], [0.1, 512.0, 100.0]])
