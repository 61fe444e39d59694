"""The loop on a real API server: it outlives it, and of two controllers one acts."""

from __future__ import annotations

import math
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from cli.calling import call
from kubernetes.cities import City, SystemClock, until

from metalore.autoscale import Controller, Logic, Safety, Tick, Usage, make_recommender
from metalore.autoscale.kubernetes import Backoff, Election, KubernetesSettings, KubernetesZones, LeaseSettings

SAFETY = Safety(cooldown_down_s=0.0, lower=(0.05, 64.0, 1.0))
FAST = LeaseSettings(lease_s=3.0, renew_deadline_s=2.0, retry_s=0.3)


def controller(city: City, zones: KubernetesZones, cores: float) -> Controller:
    """One that gives all zones so many cores."""
    amounts = np.array([[cores, 256.0, 100.0]] * len(zones.zones))
    rule = make_recommender("static", amounts=amounts, headroom=0.0)
    clock = SystemClock()

    def observe() -> Usage:
        return Usage(np.array([clock.now() - 60]), zones.zones, amounts[None] / 2, 60.0)

    return Controller(Logic(rule, rule, SAFETY), zones, observe, clock)


def test_the_loop_outlives_an_api_server_that_is_killed(city: City) -> None:
    zones = city.zones()
    loop = controller(city, zones, 0.5)
    assert loop.tick().problems == ()
    city.finish_rollouts()
    city.testbed.do("stop", "apiserver")
    tick = loop.tick()
    assert tick.decision is None
    assert "what zones have failed: ConnectError" in tick.problems[0]
    city.testbed.do("start", "apiserver")
    loop = controller(city, zones, 0.9)
    tick = loop.tick()
    assert (tick.problems, tick.applied.done.tolist() if tick.applied else None) == ((), [True, True])
    assert city.sizes()["limits"]["cpu"] == "900m"
    until(lambda: not city.zones().apply(tick.decision).problems, "an API server that is well")  # type: ignore[arg-type]


def test_one_that_is_away_for_a_moment_is_waited_for(city: City) -> None:
    zones = city.zones(backoff=Backoff(first_s=0.2, patience_s=120.0))
    loop = controller(city, zones, 0.5)
    city.testbed.do("stop", "apiserver")
    start = threading.Timer(1.0, city.testbed.do, ("start", "apiserver"))
    start.start()
    tick = loop.tick()
    start.join()
    assert (tick.problems, tick.applied.done.tolist() if tick.applied else None) == ((), [True, True])


@contextmanager
def candidate(city: City, identity: str) -> Iterator[tuple[Election, threading.Event, KubernetesZones]]:
    """A controller's lease and actuator; the lease is no longer renewed once the event is set."""
    election, dead = Election(city.cluster(), identity, time.monotonic, FAST), threading.Event()

    def renew() -> None:
        while not dead.wait(FAST.retry_s):
            election.step()

    thread = threading.Thread(target=renew)
    thread.start()
    settings = KubernetesSettings(dry_run=False, take_over=("kubectl",))
    zones = KubernetesZones(
        city.cluster(), SystemClock(), settings, leads=lambda: election.leads, identity=identity, told=lambda act: None
    )
    try:
        yield election, dead, zones
    finally:
        dead.set()
        thread.join()


def test_of_two_controllers_one_leads_and_the_other_takes_over_when_it_dies(city: City) -> None:
    with (
        candidate(city, "first") as (first, first_dead, of_first),
        candidate(city, "second") as (second, second_dead, of_second),
    ):
        until(lambda: first.leads or second.leads, "a leader")
        if second.leads:
            first, second, of_first, of_second = second, first, of_second, of_first
            first_dead = second_dead
        overlap, stopped = list[float](), threading.Event()

        def watch() -> None:
            while not stopped.wait(0.02):
                if first.leads and second.leads:
                    overlap.append(time.monotonic())

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        ticks = [controller(city, zones, 0.5).tick() for zones in (of_second, of_first)]
        assert [done(tick) for tick in ticks] == [[False, False], [True, True]]
        assert ticks[0].problems == ()
        city.finish_rollouts()

        first_dead.set()  # it renews no more, as if its machine were gone
        until(lambda: second.leads, "another leader")
        assert not first.leads
        ticks = [controller(city, zones, 0.9).tick() for zones in (of_first, of_second)]
        assert [done(tick) for tick in ticks] == [[False, False], [True, True]]
        stopped.set()
        watcher.join()
        assert overlap == []


def done(tick: Tick) -> list[bool]:
    assert tick.applied is not None
    return [bool(value) for value in tick.applied.done]


def test_a_leader_without_an_api_server_stops_acting(city: City) -> None:
    with candidate(city, "only") as (election, _, _zones):
        until(lambda: election.leads, "a leader")
        city.testbed.do("stop", "apiserver")
        until(lambda: not election.leads, "the end of the lead", 10.0)
        city.testbed.do("start", "apiserver")
        until(lambda: election.leads, "a leader again")


class Command:
    """`metalore autoscale --apply` in a process of its own."""

    def __init__(self, city: City) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        metalore = Path(sys.executable).parent / "metalore"
        words = (
            "--actuator=kubernetes", "--apply", "--recommender=threshold", "--interval=1", "--usage=http://127.0.0.1:9/{zone}",
            f"--kubeconfig={city.testbed.kubeconfig}", f"--namespace={city.namespace}", f"--health-port={self.port}",
            "--kubernetes=lease_s=3", "--kubernetes=renew_deadline_s=2", "--kubernetes=retry_s=0.3",
        )  # fmt: skip
        self.process = subprocess.Popen([metalore, "autoscale", *words], stdout=subprocess.DEVNULL)

    def metric(self, line: str) -> float:
        """A value of its `/metrics`; NaN if it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
                found = re.search(rf"^{re.escape(line)} (.+)$", answer.read().decode(), re.MULTILINE)
        except OSError:
            return math.nan
        return float(found[1]) if found else math.nan


def test_of_two_commands_one_leads_and_the_other_follows_and_their_metrics_say_so(city: City) -> None:
    both = [Command(city), Command(city)]
    try:
        until(lambda: sorted(one.metric("metalore_leader") for one in both) == [0.0, 1.0], "a leader and a follower")
        leader, follower = sorted(both, key=lambda one: -one.metric("metalore_leader"))
        for one in both:
            until(lambda one=one: one.metric("metalore_loop_seconds_count") > 1, "two turns")
            assert one.metric('metalore_allocation{resource="cpu_cores",zone="zone-000"}') == 0.25
        leader.process.kill()
        until(lambda: follower.metric("metalore_leader") == 1.0, "another leader")
    finally:
        for one in both:
            one.process.terminate()
            one.process.wait(timeout=30)


def test_the_command_turns_once_without_and_with_apply(city: City) -> None:
    words = ("autoscale", "--actuator", "kubernetes", "--kubeconfig", city.testbed.kubeconfig, "--namespace")
    rest = ("--recommender", "threshold", "--ticks", 1, "--usage", "http://127.0.0.1:9/{zone}")
    before = city.versions()
    told = call(*words, city.namespace, *rest).stdout
    assert "2 zones in namespace" in told
    assert "a dry run" in told
    assert city.versions() == before
    told = call(*words, city.namespace, *rest, "--apply", "--kubernetes", "take_over=kubectl").stdout
    assert "acts" in told
    assert "leads" in told
    lease = city.cluster().get("metalore-autoscaler")
    assert lease is not None
    assert lease.holder == ""  # given back
