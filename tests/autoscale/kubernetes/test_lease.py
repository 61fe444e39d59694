"""Elections on fake clocks: at no time do two lead."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalore.autoscale import AutoscaleError
from metalore.autoscale.kubernetes.lease import Election, Lease, LeaseSettings, Sight, may_take, seen, taken

SETTINGS = LeaseSettings()


class Store:
    """A lease that is replaced by whoever names its version."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.version, self.down = 0, False

    def get(self, name: str) -> Lease | None:
        if self.down:
            raise ConnectionError("nobody there")
        return self.lease

    def put(self, name: str, lease: Lease) -> Lease:
        if self.down:
            raise ConnectionError("nobody there")
        if lease.version != (self.lease.version if self.lease else ""):
            raise RuntimeError("409: the object has been modified")
        self.version += 1
        self.lease = replace(lease, version=str(self.version), renewed=str(self.version))
        return self.lease


class Watch:
    """A clock of its own, ahead by as much as one likes."""

    def __init__(self, ahead_s: float = 0.0) -> None:
        self.now_s = ahead_s

    def __call__(self) -> float:
        return self.now_s


class Candidates:
    """Several, whose clocks differ but go equally fast."""

    def __init__(self, *ahead_s: float) -> None:
        self.store = Store()
        self.clocks = [Watch(ahead) for ahead in ahead_s]
        self.all = [Election(self.store, f"c{i}", clock, SETTINGS) for i, clock in enumerate(self.clocks)]

    def wait(self, seconds: float) -> None:
        for clock in self.clocks:
            clock.now_s += seconds

    @property
    def leaders(self) -> list[str]:
        return [election.identity for election in self.all if election.leads]


def test_the_first_takes_it_and_the_second_waits() -> None:
    both = Candidates(0.0, 1000.0)
    for election in both.all:
        election.step()
    assert both.leaders == ["c0"]
    assert both.all[1].holder == "c0"


def test_a_leader_that_renews_keeps_it() -> None:
    both = Candidates(0.0, 1000.0)
    for _ in range(100):
        both.wait(2.0)
        for election in both.all:
            election.step()
        assert both.leaders == ["c0"]
    assert both.store.lease is not None
    assert both.store.lease.transitions == 0


def test_when_the_leader_dies_another_takes_over_after_the_lease() -> None:
    both = Candidates(0.0, -500.0)
    first, second = both.all
    first.step()
    waited_s = 0.0
    while not second.leads and waited_s < 60.0:
        second.step()
        both.wait(2.0)
        waited_s += 2.0
    assert 15.0 < waited_s <= 20.0
    assert both.leaders == ["c1"]
    assert both.store.lease is not None
    assert both.store.lease.transitions == 1


def test_a_leader_that_cannot_renew_stops_before_another_begins() -> None:
    both = Candidates(0.0, 0.0)
    first, second = both.all
    first.step()
    second.step()
    both.store.down = True
    both.wait(9.9)
    first.step()
    assert first.leads
    assert "nobody there" in first.problem
    both.wait(0.1)
    assert not first.leads  # nothing told it so but its clock
    both.store.down = False
    second.step()
    assert not second.leads
    both.wait(5.1)
    second.step()
    assert both.leaders == ["c1"]


def test_the_old_leader_learns_that_it_lost() -> None:
    both = Candidates(0.0, 0.0)
    first, second = both.all
    first.step()
    second.step()
    both.wait(16.0)
    second.step()
    first.step()
    assert both.leaders == ["c1"]
    assert first.holder == "c1"


def test_an_answer_that_came_late_does_not_lengthen_the_lead() -> None:
    both = Candidates(0.0)
    (first,) = both.all
    put = both.store.put

    def slow(name: str, lease: Lease) -> Lease:
        both.wait(7.0)
        return put(name, lease)

    both.store.put = slow  # type: ignore[method-assign]
    first.step()
    assert first.leads
    both.wait(3.0)
    assert not first.leads


def test_of_two_that_take_it_at_once_one_wins() -> None:
    both = Candidates(0.0, 0.0)
    first, second = both.all
    get = both.store.get

    def raced(name: str) -> Lease | None:
        both.store.get = get  # type: ignore[method-assign]
        found = get(name)
        first.step()
        return found

    both.store.get = raced  # type: ignore[method-assign]
    second.step()
    assert both.leaders == ["c0"]
    assert "409" in second.problem


def test_a_lease_given_back_is_free_at_once() -> None:
    both = Candidates(0.0, 0.0)
    first, second = both.all
    first.step()
    second.step()
    first.release()
    assert both.leaders == []
    second.step()
    assert both.leaders == ["c1"]


def test_who_does_not_lead_gives_nothing_back() -> None:
    both = Candidates(0.0, 0.0)
    first, second = both.all
    first.step()
    second.step()
    second.release()
    assert both.store.lease is not None
    assert both.store.lease.holder == "c0"


def test_a_holders_longer_lease_counts() -> None:
    sight = seen(None, Lease("other", 60.0), 0.0)
    assert not may_take(sight, "me", 59.0, SETTINGS)
    assert may_take(sight, "me", 61.0, SETTINGS)


def test_a_renewal_is_any_change() -> None:
    sight = Sight(Lease("other", 15.0, renewed="1", version="1"), 0.0)
    assert seen(sight, sight.lease, 14.0) is sight
    assert seen(sight, replace(sight.lease, version="2"), 14.0).since_s == 14.0


def test_transitions_count_holders() -> None:
    lease = Lease("other", 15.0, transitions=3)
    assert taken(lease, "me", SETTINGS).transitions == 4
    assert taken(lease, "other", SETTINGS).transitions == 3


@pytest.mark.parametrize("times", [(10, 10, 2), (15, 10, 10), (15, 10, 0), (5, 10, 2)])
def test_times_that_allow_two_leaders_are_refused(times: tuple[float, float, float]) -> None:
    with pytest.raises(AutoscaleError, match="must be longer than the next"):
        LeaseSettings("l", *times)


@given(st.lists(st.tuples(st.sampled_from(["0", "1", "2", "down", "up"]), st.floats(0.0, 8.0)), max_size=60))
def test_never_two_leaders(story: list[tuple[str, float]]) -> None:
    all_ = Candidates(0.0, 123.0, -77.0)
    for what, wait_s in story:
        if what in ("down", "up"):
            all_.store.down = what == "down"
        else:
            all_.all[int(what)].step()
        assert len(all_.leaders) <= 1
        all_.wait(wait_s)
        assert len(all_.leaders) <= 1
