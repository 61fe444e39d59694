"""The Kubernetes vertical pod autoscaler's algorithm, for zones.

Source: the project's description and constants (github.com/kubernetes/autoscaler, vertical-pod-autoscaler: its FAQ's
tables of flags, and the constants of recommender and updater), written anew. Differently from the original: a zone is a
pod of one container that lives until its size changes; amounts are MB, not MiB; there is no bandwidth; and an update
that safety allows only step by step is carried through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from metalore.autoscale.model import CPU, MEMORY, RESOURCES, Reason, Seen, in_words
from metalore.autoscale.recommender import Advice, Recommender, State
from metalore.autoscale.recommenders.histogram import Buckets, Decay

DAY_S = 86_400.0
_SAMPLES_A_DAY = 1440
"""At one a minute; with fewer there is less confidence."""
_LEAST_WEIGHT = 0.1
"""Of a CPU sample, in cores requested."""
_CPU = Buckets(first=0.01, ratio=1.05, most=1000.0)
_MEMORY = Buckets(first=10.0, ratio=1.05, most=1e6)
_SIZED = [CPU, MEMORY]


@dataclass(frozen=True)
class VerticalRule(Recommender):
    """Percentiles of fading histograms with a margin; acts when what is there leaves a range.

    CPU: every interval is a sample, weighted by the cores that the zone had. Memory: the peak of each window is one;
    a zone that runs out of memory counts as having used more. The range reaches from the median to the 95th percentile,
    both with the margin, and is wide while history is short.

    Attributes:
        target, low, high: percentiles of the recommendation and of the range around it.
        margin: part that is added to all three.
        half_life_s: time in which a sample's weight halves.
        window_s: of which the memory peak is one sample.
        least_cores, least_mb: smallest recommendation.
        more_mb, more: out of memory counts as so many MB more or so many times as much, whichever is larger.
        patience_s: within the range a zone is changed only when its size has stood for so long ...
        change: ... and by at least this part, CPU and memory together.
        soon_s: out of memory so soon after a change is a reason to act at once.
    """

    name: ClassVar[str] = "vpa"

    target: float = 0.9
    low: float = 0.5
    high: float = 0.95
    margin: float = 0.15
    half_life_s: float = DAY_S
    window_s: float = DAY_S
    least_cores: float = 0.025
    least_mb: float = 250.0
    more_mb: float = 100.0
    more: float = 1.2
    patience_s: float = 43_200.0
    change: float = 0.1
    soon_s: float = 600.0

    def begin(self, zones: Sequence[str]) -> State:
        z = len(zones)
        return {
            "seen_until": np.array(-np.inf),  # starts of intervals up to here have been counted
            "reference": np.array(0.0),
            "cpu": np.zeros((z, _CPU.count)),
            "memory": np.zeros((z, _MEMORY.count)),
            "samples": np.zeros(z),
            "first": np.full(z, np.nan),  # time of the first and of the last sample
            "last": np.full(z, np.nan),
            "peak": np.full(z, np.nan),  # of the window that goes on
            "window_end": np.array(np.nan),
            "allocated": np.full((z, len(RESOURCES)), np.nan),
            "since": np.full(z, np.nan),  # the size is what it is
            "moving": np.zeros(z, bool),
        }

    def recommend(self, seen: Seen, state: State) -> Advice:
        state = self._learned(seen, state)
        target, low, high = (self._estimate(state, part) for part in (self.target, self.low, self.high))
        days = self._confidence(state)[:, None]
        with np.errstate(divide="ignore"):
            low = np.fmax(low * (1 + 0.001 / days) ** -2, self._least)
            high = np.fmax(high * (1 + 1 / days), self._least)
        target = np.fmax(target, self._least)
        codes = self._codes(seen, state, target, low, high)
        acts = codes != "vpa-hold"
        wanted = np.full(seen.allocated.shape, np.nan)
        wanted[:, _SIZED] = np.where(acts[:, None] & (state["samples"] > 0)[:, None], target, np.nan)
        reasons = tuple(
            Reason(str(code), f"{_WORDS[str(code)]}; 90th percentile and {self.margin:.0%}: {in_words(row)}")
            for code, row in zip(codes, target, strict=True)
        )
        return Advice(wanted, reasons, dict(state) | {"moving": acts & (state["samples"] > 0)})

    @property
    def _least(self) -> tuple[float, float]:
        return self.least_cores, self.least_mb

    # -- learning ------------------------------------------------------------------------------------------------------

    def _learned(self, seen: Seen, state: State) -> State:
        """The state with what has been measured since."""
        new = dict(state)
        same = (seen.allocated == state["allocated"]).all(axis=1)
        new["since"] = np.where(same, state["since"], seen.now_s)
        new["allocated"] = seen.allocated
        usage = seen.usage.since(float(np.nextafter(state["seen_until"], np.inf)))
        for i, time_s in enumerate(usage.times.tolist()):
            self._faded(new, time_s)
            self._add_cpu(new, time_s, usage.used[i, :, CPU], seen.allocated[:, CPU])
            peaks = usage.used[i, :, MEMORY]
            if usage.out_of_memory is not None:
                peaks = np.where(usage.out_of_memory[i], self._bumped(np.fmax(peaks, seen.allocated[:, MEMORY])), peaks)
            self._add_memory(new, time_s, peaks)
            new["seen_until"] = np.array(time_s)
        return new

    def _bumped(self, mb: np.ndarray) -> np.ndarray:
        """What a zone counts as having used that ran out of so much memory."""
        return np.maximum(mb + self.more_mb, mb * self.more)

    def _faded(self, state: dict[str, np.ndarray], time_s: float) -> None:
        """Count weights from a newer time on, when it is time for that."""
        decay, reference = Decay(self.half_life_s), float(state["reference"])
        if not np.isfinite(state["seen_until"]):
            state["reference"] = np.array(time_s)
        elif decay.is_far(time_s, reference):
            for name in ("cpu", "memory"):
                state[name] = state[name] / decay.factor(time_s, reference)
            state["reference"] = np.array(time_s)

    def _add_cpu(self, state: dict[str, np.ndarray], time_s: float, cores: np.ndarray, given: np.ndarray) -> None:
        weight = np.maximum(given, _LEAST_WEIGHT) * Decay(self.half_life_s).factor(time_s, float(state["reference"]))
        state["cpu"] = _CPU.added(state["cpu"], cores, weight)
        known = ~np.isnan(cores)
        state["samples"] = state["samples"] + known
        state["first"] = np.where(known & np.isnan(state["first"]), time_s, state["first"])
        state["last"] = np.where(known, time_s, state["last"])

    def _add_memory(self, state: dict[str, np.ndarray], time_s: float, mb: np.ndarray) -> None:
        """A higher peak takes the place of that of the window, which counts as of the window's end."""
        if not time_s < state["window_end"]:
            ended = state["window_end"] if np.isfinite(state["window_end"]) else time_s
            state["window_end"] = ended + self.window_s * (np.floor((time_s - ended) / self.window_s) + 1)
            state["peak"] = np.full(len(mb), np.nan)
        higher = mb > np.nan_to_num(state["peak"], nan=-np.inf)
        if not higher.any():
            return
        weight = Decay(self.half_life_s).factor(state["window_end"], float(state["reference"]))
        without = _MEMORY.added(state["memory"], np.where(higher, state["peak"], np.nan), -weight)
        state["memory"] = _MEMORY.added(without, np.where(higher, mb, np.nan), weight)
        state["peak"] = np.where(higher, mb, state["peak"])

    # -- judging -------------------------------------------------------------------------------------------------------

    def _estimate(self, state: State, part: float) -> np.ndarray:
        """A percentile with the margin, [z, 2]; NaN where nothing is known."""
        both = [_CPU.percentile(state["cpu"], part), _MEMORY.percentile(state["memory"], part)]
        return np.stack(both, axis=1) * (1 + self.margin)

    def _confidence(self, state: State) -> np.ndarray:
        """Days of history, fewer if samples are rare, [z]."""
        days: np.ndarray = np.minimum((state["last"] - state["first"]) / DAY_S, state["samples"] / _SAMPLES_A_DAY)
        known: np.ndarray = np.nan_to_num(days)
        return known

    def _codes(self, seen: Seen, state: State, target: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Whether each zone is to be changed, and why, [z]."""
        given = seen.allocated[:, _SIZED]
        difference = (np.abs(given - target) / given).sum(axis=1)
        age_s = seen.now_s - state["since"]
        newest = seen.usage.recent(1, seen.now_s).out_of_memory
        ran_out = newest.any(axis=0) if newest is not None else np.zeros(len(given), bool)
        far = difference >= self.change
        cases = {
            "vpa-range": ((given < low) | (given > high)).any(axis=1),
            "vpa-out-of-memory": ran_out & (age_s < self.soon_s) & (difference > 0),
            "vpa-moving": state["moving"] & far,
            "vpa-patience": (age_s >= self.patience_s) & far,
        }
        return np.select(list(cases.values()), list(cases), "vpa-hold")


_WORDS = {
    "vpa-range": "what is there left the range",
    "vpa-out-of-memory": "out of memory soon after a change",
    "vpa-moving": "an update goes on",
    "vpa-patience": "the size has stood for long and is far off",
    "vpa-hold": "what is there lies within the range",
}
