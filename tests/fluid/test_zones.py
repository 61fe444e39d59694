"""The fluid: closed forms, nothing created or lost, a slow reference, and the same alone as in a batch."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from fluid.by_hand import SlowZones, demand
from hypothesis import given, settings
from hypothesis import strategies as st

from metalore.fluid import FluidError, FluidZones, Split

PLENTY = np.array([[[50.0, 4096.0, 5000.0]]])
ALL = Split(1.0, 1.0)


def run(zones: FluidZones, sizes: np.ndarray, intervals: int, **how: object) -> list:
    return [zones.advance(sizes, **how) for _ in range(intervals)]


def total(outcomes: list, name: str) -> float:
    return float(sum(getattr(outcome, name).sum() for outcome in outcomes))


# -- closed forms ------------------------------------------------------------------------------------------------------


def test_with_plenty_everything_is_done_at_once() -> None:
    zones = FluidZones(demand(300.0, 1.0, floor_s=0.1))
    zones.reset([1])
    for outcome in run(zones, PLENTY, 4):
        assert outcome.completed == pytest.approx(outcome.requests)
        assert outcome.lost[0, 0] == outcome.waiting[0, 0] == 0
        assert 100 < outcome.latency_ms[0, 0] < 200
        assert outcome.aori_s[0, 0] == pytest.approx(0.1)


def test_updates_alone_are_steady() -> None:
    zones = FluidZones(demand(0.0, 2.0))
    zones.reset([1])
    run(zones, PLENTY, 1)
    outcome = zones.advance(PLENTY)
    cores, memory_mb, mbps, latency_ms = outcome.used[0, 0]
    assert cores == pytest.approx(2.0 * 0.3 / 3.0)
    assert memory_mb == pytest.approx(128 + 2 * 10)
    assert mbps == pytest.approx(2.0 * 3.0)
    assert np.isnan(latency_ms)
    assert outcome.twin_age_s[0, 0] == pytest.approx(4.5)  # half a period of ten steps, less the half of one


def test_work_above_capacity_waits() -> None:
    """Five requests a step of a Gcycle each, where three can be done."""
    zones = FluidZones(demand(300.0, mbit=0.001, gcycle=1.0), 40, split=ALL)
    zones.reset(np.arange(40))
    outcomes = run(zones, np.tile([1.0, 1e6, 1e6], (40, 1, 1)), 3)
    assert total(outcomes, "completed") == pytest.approx(40 * 3 * 60 * 3, rel=0.02)
    np.testing.assert_allclose(outcomes[-1].used[..., 0], 1.0)
    assert outcomes[-1].waiting.sum() == pytest.approx(total(outcomes, "requests") - total(outcomes, "completed"))


def test_twin_ages_as_updates_fall_behind() -> None:
    """D/D/1: of 2 x 0.3 Gcycle a step only half is done, so the newest update done is half as old as the episode."""
    zones = FluidZones(demand(0.0, 2.0), split=Split(0.0, 0.0))
    zones.reset([1])
    outcomes = run(zones, np.array([[[0.1, 1e6, 1e6]]]), 3)
    np.testing.assert_allclose([o.used[0, 0, 0] for o in outcomes], 0.1)
    for t, outcome in enumerate(outcomes):
        assert outcome.twin_age_s[0, 0] == pytest.approx(4.5 + 0.5 * (60 * t + 29.5), abs=1.0)


@pytest.mark.parametrize("load", [0.3, 0.6])
def test_sojourn_is_that_of_mm1(load: float) -> None:
    """Jobs of 6 steps on average, which come rarely against a step: 6 / (1 - load) steps."""
    zones = FluidZones(demand(60 * load / 6, mbit=1e-9, gcycle=18.0, intervals=300), 64, single=True, split=ALL)
    zones.reset(np.arange(64))
    outcomes = run(zones, np.tile([1.0, 1e6, 1e6], (64, 1, 1)), 300)[10:]
    weighted = sum(np.nansum(outcome.latency_ms * outcome.completed) for outcome in outcomes)
    assert weighted / total(outcomes, "completed") / 1000 == pytest.approx(6 / (1 - load), rel=0.08)


def test_what_waits_too_long_is_given_up() -> None:
    zones = FluidZones(demand(60.0, mbit=100.0, intervals=8), split=ALL)
    zones.reset([1])
    outcomes = run(zones, np.array([[[1.0, 4096.0, 5.0]]]), 8)
    assert total(outcomes[:4], "lost") == 0
    assert total(outcomes[4:], "lost") > 100
    assert all(o.waiting[0, 0] < 256 * 3 for o in outcomes)


# -- properties --------------------------------------------------------------------------------------------------------

CITY = st.fixed_dictionaries({
    "seed": st.integers(0, 2**32), "zones": st.integers(1, 4),
    "rate": st.floats(0.0, 400.0), "updates": st.floats(0.0, 4.0),
    "mbit": st.floats(0.1, 20.0), "gcycle": st.floats(0.05, 3.0), "users": st.floats(0.0, 60.0),
    "cores": st.floats(0.1, 2.0), "memory": st.floats(128.0, 1024.0), "mbps": st.floats(5.0, 100.0),
    "down": st.integers(0, 15), "offload": st.sampled_from([0.0, 0.0, 0.2, 0.5]),
    "band": st.sampled_from([None, 0.0, 0.3, 1.0]), "compute": st.sampled_from([None, 0.5, 1.0]),
})  # fmt: skip


@given(CITY)
@settings(max_examples=20, deadline=None)
def test_slow_reference_and_conservation(case: dict) -> None:
    z = case["zones"]
    asked = demand(
        case["rate"] * np.linspace(0.2, 1.0, 6)[:, None], case["updates"], zones=z, intervals=6, interval_s=20.0,
        mbit=case["mbit"], gcycle=case["gcycle"], users=case["users"],
    )  # fmt: skip
    split = Split(case["band"], case["compute"])
    fast, slow = FluidZones(asked, split=split), SlowZones(asked, (case["band"], case["compute"]), 0.05, case["seed"])
    fast.reset([case["seed"]])
    sizes = np.array([case["cores"], case["memory"], case["mbps"]]) * np.linspace(1.0, 0.6, z)[:, None]
    offload, factor = np.full(z, case["offload"]), np.linspace(1.0, 2.0, z)
    asked_for = done = lost = 0.0
    for t in range(6):
        up = np.array([not (case["down"] >> n & 1 and t in (2, 3)) for n in range(z)])
        ours = fast.advance(sizes[None], up=up[None], factor=factor, offload=offload[None])
        theirs = slow.advance(t, sizes, up, factor, offload)
        for name in ("requests", "completed", "lost", "offloaded", "waiting"):
            np.testing.assert_allclose(getattr(ours, name)[0], theirs[name], rtol=1e-6, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(ours.used[0, :, 0] * 20 * 3.0, theirs["gcycle"], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(ours.used[0, :, 2] * 20, theirs["mbit"], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(ours.used[0, :, 1] * 20, theirs["resident"], rtol=1e-6)
        np.testing.assert_allclose(ours.twin_age_s[0] * 20, theirs["twin"], rtol=1e-6)
        some = theirs["completed"] > 1e-6
        for name, per_s in (("latency_ms", 1000.0), ("aori_s", 1.0), ("aosi_s", 1.0)):
            mean = per_s * theirs[name.split("_")[0]][some] / theirs["completed"][some]
            np.testing.assert_allclose(getattr(ours, name)[0, some], mean, rtol=1e-5, atol=1e-5, err_msg=name)
            assert (getattr(ours, name)[0, some] >= 0).all()
        asked_for, done, lost = asked_for + ours.requests.sum(), done + ours.completed.sum(), lost + ours.lost.sum()
        assert asked_for == pytest.approx(done + lost + ours.waiting.sum(), rel=1e-9, abs=1e-6)
        capacity = sizes * [1.0, np.inf, 1.0]
        assert (ours.used[0, :, [0, 2]] <= capacity[:, [0, 2]].T * (1 + 1e-9)).all()
        users_mb = 128 + 2.0 * case["users"]
        assert (ours.used[0, :, 1] <= np.maximum(sizes[:, 1], users_mb) * (1 + 1e-9)).all()


def test_work_and_data_balance() -> None:
    """What is used is what was asked for, once everything is done."""
    asked = demand(np.array([[300.0]] * 3 + [[0.0]] * 5), mbit=5.0, gcycle=1.0, intervals=8)
    zones = FluidZones(asked, 50, single=True)
    zones.reset(np.arange(50))
    outcomes = run(zones, np.tile([2.5, 2048.0, 60.0], (50, 1, 1)), 8)
    assert total(outcomes, "lost") == 0
    assert outcomes[-1].waiting.sum() == pytest.approx(0, abs=1e-6)
    requests = total(outcomes, "requests")
    work = sum(o.used[..., 0].sum() for o in outcomes) * 60 * 3.0
    data = sum(o.used[..., 2].sum() for o in outcomes) * 60
    assert work == pytest.approx(1.0 * requests, rel=0.02)
    assert data == pytest.approx(5.0 * requests, rel=0.01)


# -- randomness --------------------------------------------------------------------------------------------------------


def outcomes_of(zones: FluidZones, sizes: np.ndarray, **how: object) -> np.ndarray:
    return np.stack(
        [np.concatenate([o.used, o.requests[..., None], o.lost[..., None]], -1) for o in run(zones, sizes, 3, **how)]
    )


@pytest.mark.parametrize("offload", [None, 0.3])
def test_alone_as_in_a_batch(offload: float | None) -> None:
    asked = demand(200.0, 1.0, zones=3)
    sizes, how = np.tile([0.6, 256.0, 30.0], (4, 3, 1)), {}
    many = FluidZones(asked, 4)
    many.reset([5, 6, 7, 8])
    if offload:
        how["offload"] = np.full((4, 3), offload)
    together = outcomes_of(many, sizes, **how)
    for e, seed in enumerate([5, 6, 7, 8]):
        one = FluidZones(asked)
        one.reset([seed])
        alone = outcomes_of(one, sizes[:1], **{name: value[:1] for name, value in how.items()})
        np.testing.assert_array_equal(alone[:, 0], together[:, e])


def test_single_zone_is_that_of_its_city_without_neighbours() -> None:
    asked = demand(200.0, 1.0, zones=3)
    city, one = FluidZones(asked), FluidZones(asked, single=True)
    city.reset([9])
    one.reset([9], zones=np.array([2]))
    sizes = np.tile([0.6, 256.0, 30.0], (1, 3, 1))
    np.testing.assert_array_equal(outcomes_of(city, sizes)[:, 0, 2], outcomes_of(one, sizes[:, :1])[:, 0, 0])


def test_seeds_episodes_and_resets() -> None:
    zones, sizes = FluidZones(demand(200.0, 1.0)), np.array([[[0.6, 512.0, 30.0]]])

    def played(seed: int, episode: int = 0) -> np.ndarray:
        zones.reset([seed], episodes=episode)
        return outcomes_of(zones, sizes)

    first = played(1)
    assert not np.array_equal(first, played(2))
    assert not np.array_equal(first, played(1, 1))
    np.testing.assert_array_equal(first, played(1))
    zones.reset([1])
    zones.advance(sizes)
    twin = pickle.loads(pickle.dumps(zones))
    np.testing.assert_array_equal(outcomes_of(zones, sizes), outcomes_of(twin, sizes))


@pytest.mark.parametrize("rate", [0.3, 5.0, 80.0])
def test_requests_are_poisson(rate: float) -> None:
    zones = FluidZones(demand(rate, interval_s=1.0, intervals=200), 500, single=True)
    zones.reset(np.arange(500))
    counts = np.concatenate([o.requests.ravel() for o in run(zones, np.tile(PLENTY, (500, 1, 1)), 200)])
    assert counts.mean() == pytest.approx(rate, rel=0.02)
    assert counts.var() == pytest.approx(rate, rel=0.03)


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_one_sentence_each() -> None:
    with pytest.raises(FluidError, match="num_envs is 0"):
        FluidZones(demand(), 0)
    with pytest.raises(FluidError, match=r"bandwidth is 1.5; it is a share"):
        Split(1.5)
    with pytest.raises(FluidError, match="the world takes any"):
        Split.read("max-weight")
    with pytest.raises(FluidError, match="must be known and not negative"):
        demand(-1.0)
    with pytest.raises(FluidError, match="has the shape"):
        demand(used=np.zeros((2, 1, 4)))
    assert Split.read("fixed:0.2,0.7") == Split(0.2, 0.7)
