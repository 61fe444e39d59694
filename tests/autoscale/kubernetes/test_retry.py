"""Trying again: how long, how often, and what not."""

from __future__ import annotations

import random

import httpx2
import pytest
from autoscale.kubernetes.things import FakeClock, refusal
from lightkube.core.exceptions import ApiError

from metalore.autoscale import AutoscaleError
from metalore.autoscale.kubernetes.retry import Backoff, Patience, asked_for_s, may_pass

REQUEST = httpx2.Request("GET", "http://127.0.0.1/")


def error(code: int, **headers: str) -> ApiError:
    return ApiError(
        request=REQUEST, response=refusal(code, "no", headers={n.replace("_", "-"): v for n, v in headers.items()})
    )


class Failing:
    """Fails in turn, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.calls = list(errors), 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "well"


def patience(clock: FakeClock, **settings: float) -> Patience:
    return Patience(Backoff(**settings), clock, random.Random(0))


def test_pauses_grow_to_a_bound_and_vary_by_half() -> None:
    backoff = Backoff(first_s=1.0, factor=2.0, most_s=5.0)
    assert [backoff.pause_s(tries, 0.0, 1.0) for tries in range(1, 6)] == [1, 2, 4, 5, 5]
    assert backoff.pause_s(3, 0.0, 0.0) == 2
    assert backoff.pause_s(10_000, 0.0, 0.0) == 2.5


def test_what_the_server_asks_for_is_never_undercut() -> None:
    assert Backoff().pause_s(1, 7.0, 0.0) == 7.0
    assert asked_for_s(error(429, Retry_After="3")) == 3.0
    assert asked_for_s(error(429, Retry_After="Wed, 21 Oct")) == 0.0


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_trouble_that_passes_is_tried_again(code: int) -> None:
    clock, call = FakeClock(), Failing(error(code), httpx2.ConnectError("no"), httpx2.ReadTimeout("late"))
    assert patience(clock)(call) == "well"
    assert call.calls == 4
    assert [0.25 <= clock.slept[0] < 0.5, 0.5 <= clock.slept[1] < 1, 1 <= clock.slept[2] < 2] == [True] * 3


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 422])
def test_a_refusal_is_not(code: int) -> None:
    clock, call = FakeClock(), Failing(error(code))
    with pytest.raises(ApiError):
        patience(clock)(call)
    assert (call.calls, clock.slept) == (1, [])
    assert not may_pass(error(code))


def test_patience_ends_and_is_shared_by_all_calls() -> None:
    clock = FakeClock()
    tried = patience(clock, patience_s=20.0)
    with pytest.raises(httpx2.ConnectError):
        tried(Failing(*[httpx2.ConnectError("no")] * 100))
    assert 10.0 < clock.now_s <= 20.0
    clock.now_s = 20.0
    call = Failing(httpx2.ConnectError("no"))
    with pytest.raises(httpx2.ConnectError):
        tried(call)
    assert call.calls == 1


def test_nobody_waits_longer_than_patience_for_a_server_that_asks_for_more() -> None:
    clock = FakeClock()
    with pytest.raises(ApiError):
        patience(clock, patience_s=20.0)(Failing(error(429, Retry_After="3600")))
    assert clock.slept == []


@pytest.mark.parametrize("settings", [{"first_s": 0.0}, {"factor": 0.5}, {"first_s": 9.0}, {"patience_s": -1.0}])
def test_settings_that_cannot_be_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(AutoscaleError, match="cannot be"):
        Backoff(**settings)
