"""Rules that see the queues: what they compute, that fixed splits are among them, and the search for the best."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from metalore.policies import Fixed, PolicyError, QueueAware, make_policy
from metalore.policies.queue_aware import RuleSearchSettings, SearchedQueueAware, search_queue_aware
from metalore.policies.rollout import run_episodes
from metalore.policies.search import evaluate, grid_points, search_splits
from metalore.scenario import Scenario, load
from metalore.world import World

THETA = [-1.2, -0.1, 0.4, 0.3, 0.2, 0.7]
SETTINGS = RuleSearchSettings(generations=4, population=16, elite=4, episodes=6, grid=4)


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load("smart-city", max_steps=20)


@pytest.fixture(scope="module")
def busy(scenario: Scenario) -> World:
    """Worlds with queues of different lengths."""
    world = World(scenario, 3)
    world.reset(0)
    shares = np.array([[[0.9, 0.1]], [[0.1, 0.9]], [[0.5, 0.3]]])
    for _ in range(10):
        world.step(shares)
    assert len(np.unique(world.queue_lengths)) > 3
    return world


def test_a_share_by_hand(busy: World) -> None:
    shares = QueueAware(THETA)(busy)
    for e in range(3):
        requests, updates = (math.log(1 + int(n)) for n in busy.queue_lengths[e, 0])
        for axis, (a, b, c) in enumerate([THETA[:3], THETA[3:]]):
            expected = 1 / (1 + math.exp(-(a + b * requests - c * updates)))
            assert shares[e, 0, axis] == pytest.approx(expected)


def test_each_environment_can_have_its_own_rule(busy: World) -> None:
    thetas = np.random.default_rng(0).normal(size=(3, 6))
    together = QueueAware(thetas)(busy)
    for e, theta in enumerate(thetas):
        np.testing.assert_array_equal(QueueAware(theta)(busy)[e], together[e])


def test_shares_stay_shares_however_large_the_parameters(busy: World) -> None:
    for theta in ([1e9, 1e9, -1e9, -1e9, -1e9, 1e9], [800.0, 0, 0, -800.0, 0, 0]):
        shares = QueueAware(theta)(busy)
        assert ((shares >= 0) & (shares <= 1)).all()


@pytest.mark.parametrize("split", [(0.25, 0.3), (0.0, 1.0), (1.0, 0.0), (0.5, 0.5)])
def test_fixed_splits_are_among_the_rules(busy: World, split: tuple[float, float]) -> None:
    np.testing.assert_allclose(QueueAware.of_split(*split)(busy), Fixed(*split)(busy), atol=1e-15)


def test_a_fixed_split_as_a_rule_earns_the_same(scenario: Scenario) -> None:
    rule = run_episodes(scenario, QueueAware.of_split(0.25, 0.3), range(4)).episodes["return"]
    split = run_episodes(scenario, Fixed(0.25, 0.3), range(4)).episodes["return"]
    np.testing.assert_allclose(rule, split)


def test_a_batch_of_rules_is_worth_what_each_is_alone(scenario: Scenario) -> None:
    thetas = np.random.default_rng(1).normal(size=(3, 6))
    together = evaluate(scenario, QueueAware, thetas, range(4)).values["return"]
    for theta, returns in zip(thetas, together, strict=True):
        np.testing.assert_array_equal(run_episodes(scenario, QueueAware(theta), range(4)).episodes["return"], returns)


def test_the_search_is_no_worse_than_its_start_and_seeded(scenario: Scenario) -> None:
    seeds = range(12)
    grid = search_splits(scenario, 4, seeds)
    start = grid.points[grid.best("return")]
    found = search_queue_aware(scenario, seeds, starts=[start.tolist()], settings=SETTINGS)
    # the search keeps away from shares of exactly 0 and 1, by a thousandth
    inside = evaluate(scenario, QueueAware, QueueAware.of_split(*np.clip(start, 1e-3, 1 - 1e-3)).theta[None], seeds)
    assert found.winner.chosen_by[0] >= inside.mean("return")[0]
    assert np.all(np.diff(found.history["best"]) >= 0)
    assert len(found.history["generation"]) == SETTINGS.generations
    assert not set(found.winner.results.seeds) & set(seeds)
    again = search_queue_aware(scenario, seeds, starts=[start.tolist()], settings=SETTINGS)
    np.testing.assert_array_equal(found.rule.theta, again.rule.theta)


def test_the_search_finds_what_small_values_are_best_at(scenario: Scenario) -> None:
    found = search_queue_aware(scenario, range(6), objective="aori_s", settings=SETTINGS)
    assert np.all(np.diff(found.history["best"]) <= 0)
    assert found.winner.chosen_by[0] == pytest.approx(found.finalists.mean("aori_s").min())


def test_the_queues_are_used_where_they_help() -> None:
    """Sixty steps of the reference cell: the best rule beats the best of 121 splits on held-out episodes."""
    scenario = load("smart-city", max_steps=60)
    grid = search_splits(scenario, 11, range(16))
    start = grid.points[grid.best("return")]
    settings = RuleSearchSettings(generations=10, population=40, elite=10, episodes=16)
    found = search_queue_aware(scenario, range(16), starts=[start.tolist()], settings=settings, held_out=range(50, 90))
    split = run_episodes(scenario, Fixed(*start), range(50, 90)).episodes["return"]
    assert found.winner.held_out[0] > split.mean()


def test_the_rule_that_searches_by_itself_searches_once(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    from metalore.policies import queue_aware

    calls = []
    real = queue_aware.search_queue_aware

    def counted(*arguments: object, **options: object) -> object:
        calls.append(arguments)
        return real(*arguments, **(options | {"settings": SETTINGS}))  # type: ignore[arg-type]

    monkeypatch.setattr(queue_aware, "search_queue_aware", counted)
    policy = SearchedQueueAware()
    run_episodes(scenario, policy, range(3), batch=1)
    assert len(calls) == 1
    run_episodes(load(scenario, max_steps=10), policy, [0])
    assert len(calls) == 2


def test_by_name() -> None:
    rule = make_policy("queue-aware:-1.2,-0.1,0.4,0.3,0.2,0.7")
    assert isinstance(rule, QueueAware)
    np.testing.assert_array_equal(rule.theta, THETA)
    assert make_policy("queue-aware").name == "queue-aware"
    rough = QueueAware(np.random.default_rng(3).normal(size=6))
    again = make_policy(rough.text)
    assert isinstance(again, QueueAware)
    np.testing.assert_array_equal(again.theta, rough.theta)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(rough)).theta, rough.theta)


@pytest.mark.parametrize("text", ["queue-aware:1,2", "queue-aware:a,b,c,d,e,f", "queue-aware:nan,0,0,0,0,0"])
def test_no_rule(text: str) -> None:
    with pytest.raises(PolicyError, match="six numbers"):
        make_policy(text)


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="elite of 2"):
        RuleSearchSettings(elite=1)
    with pytest.raises(ValueError, match="6 numbers"):
        QueueAware([1.0, 2.0])
    assert len(grid_points(2)) == 4
