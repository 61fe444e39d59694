"""Forecasts from rows of telemetry as they come: late, twice, out of order, or not at all.

Axes: `r` intervals of the window, `z` zones, `c` columns (targets, then further inputs), `h` horizons, `f` targets,
`q` quantiles, `k` announced events. An interval is named by its number, counted from the first time of the panel.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from metalore.forecast._rows import Rows, read_rows
from metalore.forecast.errors import ForecastError, unknown
from metalore.forecast.forecaster import QUANTILES, Forecaster
from metalore.forecast.panel import DAY_S, INTENT_SIZE, WEEK_S, Panel
from metalore.forecast.weights import Arrays
from metalore.forecast.what_if import WhatIf

if TYPE_CHECKING:
    import pandas as pd

    Given: TypeAlias = pd.DataFrame | Sequence[Mapping[str, Any]]

_SLACK = 1e-6
"""Times may be off the grid by this part of an interval."""
_MOST = 2.0**52
"""Intervals from the first time, beyond which a number is no time."""
_ANNOUNCED_S = 4 * WEEK_S
"""Events are kept so far ahead."""
_NEVER = np.iinfo(np.int64).min
_INTENT, _RUNNING = "intent", "running."


@dataclass(frozen=True)
class Counts:
    """What became of rows.

    Attributes:
        taken: now in the window.
        late: of these, such as belong to an interval before the newest.
        repeated: of these, such as replace an earlier row of their interval and zone; the last one counts.
        too_late: passed over, because their interval has left the window.
        unknown_zone, off_grid, too_far, infinite: refused: a zone that there is not, a time between two intervals, a
            jump ahead that is too long, a value without bounds.
    """

    taken: int = 0
    late: int = 0
    repeated: int = 0
    too_late: int = 0
    unknown_zone: int = 0
    off_grid: int = 0
    too_far: int = 0
    infinite: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Sums."""
        return Counts(**{field.name: getattr(self, field.name) + getattr(other, field.name) for field in fields(self)})


@dataclass(frozen=True, eq=False)
class Forecast:
    """What all zones will need.

    Attributes:
        time_s: start of the last interval that it looks at.
        times_s: start of each interval that is forecast [h].
        zones, targets, levels: names of the axes z, f and q.
        quantiles: [z, h, f, q], float32; NaN where a zone was never known and the forecaster has nothing usual for it.
    """

    time_s: float
    times_s: np.ndarray
    zones: tuple[str, ...]
    targets: tuple[str, ...]
    levels: tuple[float, ...]
    quantiles: np.ndarray


@dataclass(frozen=True, eq=False)
class Present:
    """A window held still, to ask what zones would need if other values were measured in its newest interval.

    Attributes:
        time_s: start of the newest interval.
        times_s: start of each interval that is forecast [h].
        known: see :attr:`Stream.known`.
        what_if: gives the forecasts.
    """

    time_s: float
    times_s: np.ndarray
    known: np.ndarray
    what_if: WhatIf


@dataclass(frozen=True, eq=False)
class StreamState:
    """All that a stream knows, to be kept.

    Attributes:
        rows: `time_s`, `zone` and columns, as :meth:`Stream.observe` takes them.
        announced: `time_s`, `zone` and events, as :meth:`Stream.announce` takes them.
        arrays: what rows cannot say: intents [z, d], and the running state of a forecaster that has one.
    """

    rows: pd.DataFrame
    announced: pd.DataFrame
    arrays: dict[str, np.ndarray]


class Stream:
    """A window of the newest intervals of all zones, and forecasts from it.

    It holds as many intervals as the forecaster looks back, and `late` more, so memory does not grow. On the same data
    forecasts equal those of :meth:`metalore.forecast.forecaster.Forecaster.predict` from the whole panel.

    Any thread may call any method; they take turns. Streams that share a forecaster must not forecast at the same time.

    Args:
        forecaster: fitted or loaded.
        panel: zones, graph, bounds and clock; its data do not count. Unset: those that the forecaster was fitted to. A
            service whose times begin elsewhere gives `forecaster.frame.updated(times=[...], clock_s=...)`.
        late: a row may be so many intervals late, at least; and forecasts can be had from that many before the newest.
        jump: intervals without any row after which a later one is refused; unset: a day or the window, whichever is
            longer.

    Raises:
        ForecastError: not fitted, or fitted to another kind of panel.
    """

    def __init__(
        self, forecaster: Forecaster, panel: Panel | None = None, *, late: int = 12, jump: int | None = None
    ) -> None:
        fitted = forecaster.fitted_frame()
        frame = fitted if panel is None else panel.frame()
        forecaster.predict(frame, [])  # refuses another kind of panel
        for what in ("inputs", "events"):
            if getattr(frame, what) != getattr(fitted, what):
                raise ForecastError(f"{forecaster.name} was fitted to the {what} {getattr(fitted, what)}, not to "
                                    f"{getattr(frame, what)}")  # fmt: skip
        if late < 0 or (jump is not None and jump < 1):
            raise ForecastError(f"rows may be 0 or more intervals late and 1 or more ahead, not {late} and {jump}")
        self.forecaster, self.frame, self.late = forecaster, frame, late
        self.length = forecaster.reach + late
        self.jump = max(self.length, frame.steps(DAY_S)) if jump is None else jump
        self.columns = (*frame.targets, *frame.inputs)
        self._place = {name: z for z, name in enumerate(frame.zones)}
        self._lock = threading.RLock()
        self.clear()

    def clear(self) -> None:
        """Forget all rows, announcements, intents and counts."""
        with self._lock:
            zones = len(self.frame.zones)
            self._after = self.forecaster
            self._values = np.full((self.length, zones, len(self.columns)), np.nan, np.float32)
            self._seen = np.zeros((self.length, zones), bool)
            self._newest: int | None = None
            self._newest_of = np.full(zones, _NEVER)
            self._events: dict[int, np.ndarray] = {}
            self._intent: np.ndarray | None = None
            self.counts = Counts()

    # -- what comes in -------------------------------------------------------------------------------------------------

    def observe(self, rows: Given, strict: bool = True) -> Counts:
        """Take rows of telemetry, in any order.

        Args:
            rows: a table, or a list of mappings, with `time_s`, `zone` and the columns; what else they have is passed
                over, and a missing value is a gap.
            strict: whether a wrong row is an error, and then none is taken; else it is counted and passed over.

        Returns:
            What became of them; :attr:`counts` has the sums.

        Raises:
            ForecastError: a column that is missing or holds no numbers; if strict, a row that is refused, see
                :class:`Counts`.
        """
        with self._lock:
            read = read_rows(rows, self.columns)
            steps, counts = self._checked(read, strict, self._too_far)
            good = steps != _NEVER
            order = np.flatnonzero(good)[np.argsort(steps[good], kind="stable")]
            read, steps = read.at(order), steps[order]
            newest = self._newest
            at = 0
            while at < len(steps):  # a part at a time, so that none leaves the window before it was in it
                last = max(int(steps[at]), _NEVER if self._newest is None else self._newest) + self.late
                after = int(np.searchsorted(steps, last, side="right"))
                counts += self._write(read.at(np.arange(at, after)), steps[at:after], newest)
                at = after
            self.counts += counts
            return counts

    def announce(self, rows: Given, strict: bool = True) -> Counts:
        """Take what is known in advance.

        Args:
            rows: with `time_s`, `zone` and all events of the panel; an earlier announcement for the same interval and
                zone is replaced. What is not announced is 0.
            strict: see :meth:`observe`.

        Raises:
            ForecastError: as for :meth:`observe`; and a value that is missing, or a time more than four weeks ahead.
        """
        with self._lock:
            if not self.frame.events:
                raise ForecastError(f"{self.forecaster.name} was fitted to no events, so none can be announced")
            read = read_rows(rows, self.frame.events)
            if np.isnan(read.values).any():
                row, column = np.argwhere(np.isnan(read.values))[0]
                raise ForecastError(f"row {row} announces no number for {self.frame.events[column]!r}; 0 is none")
            steps, counts = self._checked(read, strict, self._too_far_to_announce)
            first = _NEVER if self._newest is None else self._newest - self.length + 1
            taken = (steps != _NEVER) & (steps >= first)
            for i in np.flatnonzero(taken):
                step = int(steps[i])
                if step not in self._events:
                    self._events[step] = np.zeros((len(self.frame.zones), len(self.frame.events)), np.float32)
                self._events[step][self._place[read.zones[i]]] = read.values[i]
            too_late = int((steps != _NEVER).sum() - taken.sum())
            return counts + Counts(taken=int(taken.sum()), too_late=too_late)

    def set_intent(self, zone: str, vector: np.ndarray | Sequence[float] | None) -> None:
        """Set the embedding of a zone's intent from now on; None takes it back.

        Raises:
            ForecastError: no such zone, or a vector that has not 1024 finite numbers.
        """
        place = self.frame.zone_number(zone)
        numbers = np.full(INTENT_SIZE, np.nan) if vector is None else np.asarray(vector, np.float32)
        if numbers.shape != (INTENT_SIZE,):
            raise ForecastError(f"the intent of zone {zone!r} has the shape {numbers.shape}, not ({INTENT_SIZE},)")
        if vector is not None and not np.isfinite(numbers).all():
            raise ForecastError(
                f"the intent of zone {zone!r} has numbers that are NaN or infinite; None is for no intent"
            )
        with self._lock:
            if self._intent is None:
                self._intent = np.full((len(self._place), INTENT_SIZE), np.nan, np.float32)
            self._intent[place] = numbers

    def _checked(self, rows: Rows, strict: bool, too_far: Any) -> tuple[np.ndarray, Counts]:
        """Interval of each row, :data:`_NEVER` for those refused, and how many these are."""
        frame = self.frame
        exact = (rows.times - frame.times[0]) / frame.interval_s
        steps = np.rint(exact)
        no_time = ~(np.abs(steps) < _MOST)
        off = no_time | (np.abs(exact - steps) > _SLACK)
        strange = np.array([name not in self._place for name in rows.zones], bool)
        infinite = np.isinf(rows.values).any(axis=1)
        steps = np.where(off | strange | infinite, _NEVER, np.where(no_time, 0, steps)).astype(np.int64)
        far = too_far(steps)
        if strict:
            self._refuse(rows, strange, no_time, off, infinite, far)
        counts = Counts(
            unknown_zone=int(strange.sum()),
            off_grid=int((off & ~strange).sum()),
            infinite=int((infinite & ~off & ~strange).sum()),
            too_far=int(far.sum()),
        )
        return np.where(far, _NEVER, steps), counts

    def _too_far(self, steps: np.ndarray) -> np.ndarray:
        """Which come after too long a time without any row."""
        there = np.unique(steps[steps != _NEVER])
        if self._newest is not None:
            there = np.concatenate([[self._newest], there[there > self._newest]])
        jumps = np.flatnonzero(np.diff(there) > self.jump)
        if not len(jumps):
            return np.zeros(len(steps), bool)
        far: np.ndarray = steps > there[jumps[0]]
        return far

    def _too_far_to_announce(self, steps: np.ndarray) -> np.ndarray:
        if self._newest is None:
            return np.zeros(len(steps), bool)
        far: np.ndarray = steps > self._newest + _ANNOUNCED_S / self.frame.interval_s
        return far

    def _refuse(
        self,
        rows: Rows,
        strange: np.ndarray,
        no_time: np.ndarray,
        off: np.ndarray,
        infinite: np.ndarray,
        far: np.ndarray,
    ) -> None:
        """Raise what is wrong with the first row that is."""
        wrong = strange | off | infinite | far
        if not wrong.any():
            return
        i = int(wrong.argmax())
        zone, time = rows.zones[i], float(rows.times[i])
        if strange[i]:
            raise unknown("zone", zone, self.frame.zones, self.frame.name)
        if no_time[i]:
            raise ForecastError(f"a row of zone {zone!r} has the time {time}, which is no time in seconds")
        if off[i]:
            below = np.floor((time - self.frame.times[0]) / self.frame.interval_s)
            nearest = " and ".join(_seconds(self._time_of(below + more)) for more in (0, 1))
            raise ForecastError(
                f"a row of zone {zone!r} has the time {_seconds(time)}, between two intervals; the nearest times are "
                f"{nearest}"
            )
        if infinite[i]:
            raise ForecastError(f"a row of zone {zone!r} at {_seconds(time)} has an infinite value; leave out what is "
                                "not known")  # fmt: skip
        newest = "the rows before it" if self._newest is None else _seconds(self._time_of(self._newest))
        raise ForecastError(
            f"a row of zone {zone!r} has the time {_seconds(time)}, too far after {newest}; if it is right, clear the "
            "stream and begin anew"
        )

    def _write(self, rows: Rows, steps: np.ndarray, newest: int | None) -> Counts:
        """Put rows, sorted by interval, in the window; `newest` is the newest interval before all that came along."""
        if self._newest is None or steps[-1] > self._newest:
            self._advance(int(steps[-1]))
        assert self._newest is not None
        row = steps - (self._newest - self.length + 1)
        zone = np.array([self._place[name] for name in rows.zones], np.int64)
        inside = row >= 0
        row, zone, values = row[inside], zone[inside], rows.values[inside]
        _, last = np.unique((row * len(self._place) + zone)[::-1], return_index=True)
        keep = len(row) - 1 - last
        repeated = len(row) - len(keep) + int(self._seen[row[keep], zone[keep]].sum())
        self._values[row[keep], zone[keep]] = values[keep]
        self._seen[row[keep], zone[keep]] = True
        np.maximum.at(self._newest_of, zone, steps[inside])
        late = 0 if newest is None else int((steps[inside] < newest).sum())
        return Counts(taken=len(row), late=late, repeated=repeated, too_late=int((~inside).sum()))

    def _advance(self, newest: int) -> None:
        """Move the window on; what leaves it goes into the forecaster's running state, if it has one."""
        if self._newest is not None:
            by = min(newest - self._newest, self.length)
            self._after = self._after.after(self._panel(self._values[:by]))
            for array, empty in ((self._values, np.nan), (self._seen, False)):
                array[: self.length - by] = array[by:]
                array[self.length - by :] = empty
        self._newest = newest
        self._events = {step: event for step, event in self._events.items() if step > newest - self.length}

    # -- what is known -------------------------------------------------------------------------------------------------

    @property
    def time_s(self) -> float | None:
        """Start of the newest interval; None if nothing was observed."""
        return None if self._newest is None else self._time_of(self._newest)

    @property
    def known(self) -> np.ndarray:
        """In how many of the forecaster's `window` newest intervals something of a zone's targets is known, [z]."""
        with self._lock:
            newest = self._values[-self.forecaster.window :, :, : len(self.frame.targets)]
            count: np.ndarray = (~np.isnan(newest)).any(axis=2).sum(axis=0)
            return count

    def newest(self, intervals: int) -> np.ndarray:
        """Targets in the newest intervals of the window, so many at most [r, z, f]; NaN where not known."""
        with self._lock:
            return self._values[-intervals:, :, : len(self.frame.targets)].copy()

    @property
    def ready(self) -> bool:
        """Whether something is known of every zone."""
        return bool((self.known > 0).all())

    def age_s(self, now_s: float | None = None) -> np.ndarray:
        """Seconds since the newest interval of which a row came, [z]; inf for a zone without any.

        Args:
            now_s: counted to when; unset: to the newest interval of all.
        """
        with self._lock:
            if self._newest is None:
                return np.full(len(self._place), np.inf)
            until = self._time_of(self._newest) if now_s is None else now_s
            never = self._newest_of == _NEVER
            steps = np.where(never, 0, self._newest_of)
            age: np.ndarray = np.where(never, np.inf, until - self.frame.times[0] - steps * self.frame.interval_s)
            return age

    def _time_of(self, step: float) -> float:
        return float(self.frame.times[0] + step * self.frame.interval_s)

    # -- what goes out -------------------------------------------------------------------------------------------------

    def forecast(self, at: float | None = None) -> Forecast:
        """Forecast all zones in one batch.

        Args:
            at: start of the last interval to look at; unset: the newest. It may lie `late` intervals before the newest,
                and as far after it as a row may, in which case there are gaps up to it.

        Raises:
            ForecastError: nothing was observed, or `at` lies elsewhere or between two intervals.
        """
        with self._lock:
            if self._newest is None:
                raise ForecastError("nothing was observed yet, so there is nothing to forecast from")
            step = self._newest if at is None else self._step_of(at)
            ahead = step - self._newest
            gaps = np.full((max(0, ahead), *self._values.shape[1:]), np.nan, np.float32)
            values = self._values[: self.length + min(0, ahead)]
            panel = self._panel(np.concatenate([values, gaps]) if len(gaps) else values)
            quantiles = self._after.predict(panel, [len(panel) - 1])[0]
            horizons = np.asarray(self.forecaster.horizons)
            return Forecast(
                self._time_of(step),
                self.frame.times[0] + (step + horizons) * self.frame.interval_s,
                self.frame.zones,
                self.frame.targets,
                QUANTILES,
                quantiles,
            )

    def present(self) -> Present:
        """What :meth:`forecast` looks at, held still.

        If nothing was observed, it is the first interval of the panel, of which nothing is known.
        """
        with self._lock:
            step = 0 if self._newest is None else self._newest
            what_if = self._after.what_if(self._panel(self._values.copy(), step))
            horizons = np.asarray(self.forecaster.horizons)
            times = self.frame.times[0] + (step + horizons) * self.frame.interval_s
            return Present(self._time_of(step), times, self.known, what_if)

    def _step_of(self, at: float) -> int:
        assert self._newest is not None
        first, last = self._newest - self.late, self._newest + self.jump
        exact = float((at - self.frame.times[0]) / self.frame.interval_s)
        if not (first - _SLACK <= exact <= last + _SLACK and abs(exact - round(exact)) <= _SLACK):
            raise ForecastError(
                f"a forecast at {_seconds(at)} cannot be had; it can be at {_seconds(self._time_of(first))} to "
                f"{_seconds(self._time_of(last))}, every {_seconds(self.frame.interval_s)}"
            )
        return round(exact)

    def _panel(self, values: np.ndarray, newest: int | None = None) -> Panel:
        """A panel that begins with the window and has these values [r, z, c]."""
        newest = self._newest if newest is None else newest
        assert newest is not None
        first = newest - self.length + 1
        values, targets = _read_only(values), len(self.frame.targets)
        return self.frame.updated(
            times=self.frame.interval_s * np.arange(len(values)),
            clock_s=(self.frame.clock_s + first * self.frame.interval_s) % WEEK_S,
            values=values[..., :targets],
            input_values=values[..., targets:] if self.frame.inputs else None,
            event_values=self._events_from(first, len(values)) if self.frame.events else None,
            intent=None if self._intent is None else _read_only(self._intent),
        )

    def _events_from(self, first: int, intervals: int) -> np.ndarray:
        """Of so many intervals and of those that are forecast, [r, z, k]."""
        rows = intervals + self.forecaster.horizons[-1]
        events = np.zeros((rows, len(self.frame.zones), len(self.frame.events)), np.float32)
        for step, event in self._events.items():
            if 0 <= step - first < rows:
                events[step - first] = event
        return events

    # -- keeping -------------------------------------------------------------------------------------------------------

    def state(self) -> StreamState:
        """All that it knows; :meth:`restore` of another stream of the same forecaster takes it."""
        import pandas as pd

        with self._lock:
            first = 0 if self._newest is None else self._newest - self.length + 1
            row, zone = np.nonzero(self._seen)
            rows = self._table(first + row, zone)
            for c, name in enumerate(self.columns):
                rows[name] = self._values[row, zone, c]
            steps = sorted(self._events)
            zones = np.arange(len(self._place))
            announced = self._table(np.repeat(np.array(steps, np.int64), len(zones)), np.tile(zones, len(steps)))
            for k, name in enumerate(self.frame.events):
                announced[name] = [float(value) for step in steps for value in self._events[step][:, k]]
            arrays = {} if self._intent is None else {_INTENT: self._intent.copy()}
            if self._after is not self.forecaster:
                arrays |= {_RUNNING + name: array for name, array in self._after._state()[1].items()}
            return StreamState(pd.DataFrame(rows), pd.DataFrame(announced), arrays)

    def _table(self, steps: np.ndarray, zones: np.ndarray) -> dict[str, Any]:
        times = self.frame.times[0] + steps * self.frame.interval_s
        return {"time_s": times, "zone": [self.frame.zones[z] for z in zones]}

    def restore(self, state: StreamState) -> None:
        """Forget everything and know what another stream of the same forecaster knew.

        Raises:
            ForecastError: it does not fit.
        """
        with self._lock:
            self.clear()
            arrays = dict(state.arrays)
            intents = arrays.pop(_INTENT, None)
            self._intent = None if intents is None else np.array(intents, np.float32)
            if running := {name.removeprefix(_RUNNING): array for name, array in arrays.items()}:
                self._after = copy.copy(self.forecaster)
                self._after._restore(self.forecaster._state()[0], Arrays(running, "the state"))
            self.observe(state.rows)
            if self.frame.events:
                self.announce(state.announced)
            self.counts = Counts()


def _read_only(array: np.ndarray) -> np.ndarray:
    """A view that a panel need not copy; nobody writes while it is in use."""
    view = array.view()
    view.setflags(write=False)
    return view


def _seconds(time_s: float) -> str:
    return f"{time_s:.12g} s"
