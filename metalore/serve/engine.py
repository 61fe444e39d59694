"""A model at work: its window, forecasts from it, and answers as bytes.

Axes: `n` questions, `z` zones, `c` columns, `h` horizons, `f` targets, `q` quantiles.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import numpy as np

from metalore.autoscale.announced import BEFORE, possible_changes, usual
from metalore.forecast import Counts, Forecast, Present
from metalore.forecast.errors import unknown
from metalore.serve.errors import Problem
from metalore.serve.judge import Judge
from metalore.serve.model import UNITS, Model
from metalore.serve.schemas import Question
from metalore.serve.settings import ServeSettings
from metalore.serve.window import Row

COLUMNS = (
    "active_users", "requests", "movement_rate", "latency_ms", "jitter_ms", "packet_loss", "cpu_cores", "memory_mb",
    "bandwidth_mbps",
)  # fmt: skip
"""Of telemetry: none is below 0, and a model need not look at all of them."""
_MOST_AT_ONCE = 256
"""Questions in one forward pass of the event loop."""


class Engine:
    """One model and its window. Any thread may call any method but :meth:`ask`, which belongs to the event loop.

    Args:
        model: loaded.
        settings: of the service.
        judge: is told of forecasts and of what happened.
        pool: where slow work is done.
    """

    def __init__(self, model: Model, settings: ServeSettings, judge: Judge, pool: ThreadPoolExecutor) -> None:
        self.model, self.stream = model, model.stream(settings)
        self._judge, self._pool, self._lock = judge, pool, threading.RLock()
        frame = self.stream.frame
        self.zones, self.targets = frame.zones, frame.targets
        self.edges = {} if frame.edges is None else frame.edges.named(frame.zones)
        self._words = [json.dumps(name) for name in frame.zones]
        self._place = {name: z for z, name in enumerate(frame.zones)}
        self._column = {name: c for c, name in enumerate(self.stream.columns)}
        self._bound = np.full(len(self.stream.columns), -np.inf)
        assert frame.lowest is not None  # set by the panel
        self._bound[: len(frame.targets)] = frame.lowest
        self._answers = Writer(model, self.stream.frame.interval_s, frame.targets)
        self.takes_intent = bool(model.forecaster.settings.get("intent")) and _learned_intent(model)
        self._present: Present | None = None
        self._forecast: tuple[Forecast, bytes] | None = None
        self._waiting: list[tuple[Asked, asyncio.Future[bytes]]] = []
        self._busy = False

    # -- what comes in -------------------------------------------------------------------------------------------------

    @property
    def keep_s(self) -> float:
        """Length of the window."""
        return self.stream.length * self.stream.frame.interval_s

    def observe(self, rows: Sequence[Row], strict: bool) -> Counts:
        """Take rows; what was forecast is judged by them.

        Raises:
            ForecastError: a row that is refused.
        """
        if not rows:
            return Counts()
        with self._lock:
            newest = self.stream.time_s
            if newest is not None and self._forecast is None and any(row["time_s"] > newest for row in rows):
                self.forecast()  # each interval is forecast from once it is over, to be judged
            gaps: Row = dict.fromkeys(self.stream.columns)
            counts = self.stream.observe([gaps | row for row in rows], strict)
            self._present = self._forecast = None
            self._judge.see(rows, self)
            return counts

    # -- all zones -----------------------------------------------------------------------------------------------------

    def forecast(self) -> tuple[Forecast, bytes]:
        """Of all zones, also as an answer; computed once until something is observed.

        Raises:
            Problem: nothing was observed.
        """
        with self._lock:
            if self._forecast is None:
                if self.stream.time_s is None:
                    raise Problem(503, "nothing was observed yet, so there is nothing to forecast from; POST /observe")
                forecast = self.stream.forecast()
                pieces = self._answers.zones(self._words, forecast.quantiles, forecast.times_s, self.stream.known == 0)
                self._forecast = forecast, self._answers.many(pieces, forecast.time_s)
                self._judge.remember(forecast)
            return self._forecast

    def possible_changes(self) -> dict[str, tuple[float, float]]:
        """By how much the forecast changes each zone's CPU at least and at most, as parts of what it used before.

        Of a model without CPU, its first target. Zones of which that is not known are left out.

        Raises:
            Problem: nothing was observed.
        """
        quantiles, target = self.forecast()[0].quantiles, "cpu_cores"
        f = self.targets.index(target) if target in self.targets else 0
        found = possible_changes(quantiles[:, :, f], usual(self.stream.newest(BEFORE)[..., f]))
        spans = zip(self.zones, found.tolist(), strict=True)
        return {zone: (low, high) for zone, (low, high) in spans if low <= high}

    # -- single zones --------------------------------------------------------------------------------------------------

    def asked(self, question: Question, where: str = "") -> Asked:
        """A question in numbers.

        Raises:
            Problem: an unknown zone or feature, or a value that cannot be.
        """
        zone = self._place.get(question.zone_name)
        if zone is None:
            raise Problem(
                422, str(unknown("zone", question.zone_name, self.zones, "the model")), "unknown-zone",
                f"{where}zone_name",
            )  # fmt: skip
        given = {"active_users": question.active_users, **question.zone_features}
        columns, unused = [], []
        for name, value in given.items():
            column = self._column.get(name)
            if column is not None:
                columns.append((column, value))
            elif name in COLUMNS:
                unused.append(name)
            else:
                raise Problem(
                    422, str(unknown("feature", name, (*self._column, *COLUMNS), "telemetry")), "unknown-feature",
                    f"{where}zone_features.{name}",
                )  # fmt: skip
            if value < (0.0 if name in COLUMNS else self._bound[column or 0]):
                raise Problem(422, f"{name} is {value:g}; it cannot be negative", where=f"{where}zone_features.{name}")
        if question.embedding is not None and not self.takes_intent:
            unused.append("embedding")
        return Asked(zone, columns, question.embedding if self.takes_intent else None, unused)

    async def ask(self, question: Asked) -> bytes:
        """The answer about one zone; who asks at the same time shares a forward pass."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bytes] = loop.create_future()
        self._waiting.append((question, future))
        if not self._busy:
            self._busy = True
            loop.call_soon(self._begin, loop)
        return await future

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answer who waits: at once if that is quick, else in the pool, while others gather."""
        present = self._present
        waiting, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
        if present is not None and present.what_if.quick:
            self._finish(loop, waiting, _outcome(self.answer, [asked for asked, _ in waiting]))
            return
        work = loop.run_in_executor(self._pool, _outcome, self.answer, [asked for asked, _ in waiting])
        work.add_done_callback(lambda done: self._finish(loop, waiting, done.result()))

    def _finish(
        self,
        loop: asyncio.AbstractEventLoop,
        waiting: list[tuple[Asked, asyncio.Future[bytes]]],
        outcome: list[bytes] | Exception,
    ) -> None:
        for i, (_, future) in enumerate(waiting):
            if future.done():  # who asked has gone
                continue
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome[i])
        if self._waiting:
            loop.call_soon(self._begin, loop)
        else:
            self._busy = False

    def answer(self, asked: Sequence[Asked]) -> list[bytes]:
        """Answers about single zones."""
        present, pieces = self._pieces(asked)
        return [self._answers.one(piece, present.time_s) for piece in pieces]

    def answer_together(self, asked: Sequence[Asked]) -> bytes:
        """One answer about many."""
        present, pieces = self._pieces(asked)
        return self._answers.many(pieces, present.time_s)

    def _pieces(self, asked: Sequence[Asked]) -> tuple[Present, list[str]]:
        present = self.present()
        zones = np.array([one.zone for one in asked], np.int64)
        values = np.full((len(asked), len(self._column)), np.nan, np.float32)
        for i, one in enumerate(asked):
            for column, value in one.values:
                values[i, column] = value
        intents = {i: np.array(one.embedding, np.float32) for i, one in enumerate(asked) if one.embedding is not None}
        with nullcontext() if present.what_if.quick else self._lock:  # other forecasters are not made for threads
            quantiles = present.what_if.forecast(zones, values, intents)
        words = [self._words[one.zone] for one in asked]
        unused = [one.unused for one in asked]
        return present, self._answers.zones(words, quantiles, present.times_s, present.known[zones] == 0, unused)

    def present(self) -> Present:
        """The window held still until something is observed."""
        present = self._present
        if present is None:
            with self._lock:
                present = self._present = self._present or self.stream.present()
        return present

    # -- what is known -------------------------------------------------------------------------------------------------

    def about_zones(self, received: dict[str, float]) -> dict[str, Any]:
        """See :class:`metalore.serve.schemas.Zones`."""
        now, stream = time.time(), self.stream
        ages, known, positions = stream.age_s(), stream.known, stream.frame.positions
        zones = []
        for z, name in enumerate(self.zones):
            x, y = (None, None) if positions is None else map(float, positions[z])
            zones.append({
                "zone": name,
                "known_intervals": int(known[z]),
                "age_s": float(ages[z]) if np.isfinite(ages[z]) else None,
                "received_ago_s": max(0.0, now - received[name]) if name in received else None,
                "x": x,
                "y": y,
            })  # fmt: skip
        return {
            "newest_s": stream.time_s,
            "interval_s": stream.frame.interval_s,
            "window_intervals": stream.length,
            "zones": zones,
        }


class Asked:
    """A question in numbers: zone, pairs of column and value, embedding, and names of what the model does not see."""

    __slots__ = ("embedding", "unused", "values", "zone")

    def __init__(
        self, zone: int, values: list[tuple[int, float]], embedding: list[float] | None, unused: list[str]
    ) -> None:
        self.zone, self.values, self.embedding, self.unused = zone, values, embedding, unused


class Writer:
    """Answers as JSON, from templates: a thousand times as many numbers as words make them."""

    def __init__(self, model: Model, interval_s: float, targets: Sequence[str]) -> None:
        self._horizons_s = [horizon * interval_s for horizon in model.forecaster.horizons]
        units = json.dumps({target: UNITS.get(target, "as measured") for target in targets})
        self._tail = f'"units":{units},"model":"{model.fingerprint}","bundled":{json.dumps(model.bundled)}'
        self._targets = targets

    def zones(
        self,
        words: Sequence[str],
        quantiles: np.ndarray,
        times_s: np.ndarray,
        fallback: np.ndarray,
        unused: Sequence[Sequence[str]] | None = None,
    ) -> list[str]:
        """An object without its closing brace for each zone, of names in JSON and quantiles [n, h, f, q]."""
        template = self._template(times_s)
        numbers = quantiles.reshape(len(words), -1)
        finite, stands_in = np.isfinite(numbers).all(axis=1).tolist(), fallback.tolist()
        pieces = []
        for i, row in enumerate(numbers.tolist()):
            text = template % tuple(row)
            if not finite[i]:
                text = text.replace(":nan", ":null")
            left = json.dumps(unused[i]) if unused is not None and unused[i] else "[]"
            pieces.append(
                f'{{"zone":{words[i]},"forecasts":[{text}],"fallback":{"true" if stands_in[i] else "false"},'
                f'"unused":{left}'
            )
        return pieces

    def _template(self, times_s: np.ndarray) -> str:
        """Of all horizons of a zone; numbers have 7 digits, as many as are known of them."""
        targets = ",".join(
            f'{json.dumps(target).replace("%", "%%")}:{{"p10":%.7g,"p50":%.7g,"p90":%.7g}}' for target in self._targets
        )
        return ",".join(
            f'{{"time_s":{json.dumps(float(time_s))},"horizon_s":{json.dumps(horizon_s)},{targets}}}'
            for time_s, horizon_s in zip(times_s, self._horizons_s, strict=True)
        )

    def one(self, piece: str, made_at_s: float) -> bytes:
        """An answer about one zone."""
        return f'{piece},"made_at_s":{json.dumps(made_at_s)},{self._tail}}}'.encode()

    def many(self, pieces: Sequence[str], made_at_s: float) -> bytes:
        """An answer about several."""
        zones = "},".join(pieces)
        return f'{{"made_at_s":{json.dumps(made_at_s)},{self._tail},"zones":[{zones}}}]}}'.encode()


def _outcome(work: Callable[[Sequence[Asked]], list[bytes]], asked: Sequence[Asked]) -> list[bytes] | Exception:
    try:
        return work(asked)
    except Exception as error:
        return error


def _learned_intent(model: Model) -> bool:
    """Whether the network was shown embeddings when it was fitted."""
    layout = model.card.get("learned", {}).get("layout", {})
    return bool(layout.get("intent", False))


def counts_of(counts: Counts) -> dict[str, int]:
    """As JSON has it."""
    return asdict(counts)
