"""What the service does, whatever carries it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from prometheus_client import generate_latest

from metalore.forecast import Counts, ForecastError
from metalore.serve.engine import Engine
from metalore.serve.errors import Problem, ServeError
from metalore.serve.metrics import Gauges, Metrics
from metalore.serve.model import Model, folder_of, load_model, signature
from metalore.serve.schemas import MEDIA, Question, Questions, Telemetry, parsed
from metalore.serve.settings import ServeSettings
from metalore.serve.window import Row, WindowFile

if TYPE_CHECKING:
    from metalore.serve.media import Embedder

LOG = logging.getLogger("metalore.serve")


def _embedder_of(settings: ServeSettings) -> Embedder | None:
    """What embeds media, if encoders are named; only then are their libraries needed."""
    if settings.intent is None:
        if settings.policies is not None:
            raise ServeError("policies judge media of /embed, which needs encoders; name them with --intent, too")
        return None
    from metalore.serve.media import Embedder

    return Embedder(settings.intent, settings)


class Service:
    """A model, its window on disk, and its metrics.

    Args:
        settings: of the service.

    Raises:
        ServeError, ForecastError: no model can be loaded, or the window cannot be kept.
        IntentError: encoders were named and cannot be loaded.
    """

    def __init__(self, settings: ServeSettings) -> None:
        import torch

        torch.set_num_threads(settings.threads)
        self.settings, self.metrics = settings, Metrics()
        self._pool = ThreadPoolExecutor(settings.threads + 1, "metalore-serve")
        self._embedding = ThreadPoolExecutor(1, "metalore-embed")  # of its own, so that forecasts need not wait
        self._embedder = _embedder_of(settings)
        self._writing = threading.Lock()
        self._folder = folder_of(settings)
        self._signature = signature(self._folder)
        model = load_model(settings)
        self.window = WindowFile(settings.window)
        self._received = self.window.received()
        self.engine = self._engine_of(model)
        self.metrics.registry.register(Gauges(lambda: self.engine, lambda: self._received))
        if model.bundled:
            LOG.warning("serving the bundled small model in %s; name your own with --checkpoint", self._folder)
        LOG.info("model %s (%s), %d zones", model.fingerprint, model.forecaster.name, len(self.engine.zones))

    def close(self) -> None:
        """Stop; what was answered is on disk already."""
        self._embedding.shutdown(cancel_futures=True)
        self._pool.shutdown()
        self.window.close()

    def _engine_of(self, model: Model) -> Engine:
        """With all rows that fit it."""
        engine = Engine(model, self.settings, self.metrics.judge, self._pool)
        self.metrics.judge.clear()
        counts = engine.observe(self.window.rows(), strict=False)
        if counts.taken:
            LOG.info("the window has %d rows", counts.taken)
        return engine

    # -- requests ------------------------------------------------------------------------------------------------------

    async def predict(self, question: Question) -> bytes:
        """See :class:`metalore.serve.schemas.Answer`."""
        engine = self.engine
        return await engine.ask(engine.asked(question))

    async def predict_batch(self, questions: Questions) -> bytes:
        """See :class:`metalore.serve.schemas.Answers`."""
        engine, most = self.engine, self.settings.max_batch_zones
        if len(questions.zones) > most:
            raise Problem(
                422,
                f"there are {len(questions.zones)} zones in the request; at most {most} are answered",
                where="zones",
            )

        def work() -> bytes:
            asked = [engine.asked(question, f"zones.{i}.") for i, question in enumerate(questions.zones)]
            return engine.answer_together(asked)

        answer: bytes = await self._aside(work)
        return answer

    async def observe(self, telemetry: Telemetry) -> Counts:
        """Take rows and keep them."""
        rows = [row.model_dump(exclude_none=True) for row in telemetry.rows]
        counts: Counts = await self._aside(self._observe, rows, telemetry.strict)
        return counts

    def _observe(self, rows: Sequence[Row], strict: bool) -> Counts:
        with self._writing:
            engine = self.engine
            try:
                counts = engine.observe(rows, strict)
            except ForecastError as error:
                raise Problem(422, str(error), "refused-rows", "rows") from None
            now = time.time()
            taken = self._taken(rows, engine)
            newest = engine.stream.time_s
            if taken and newest is not None:
                try:
                    self.window.write(taken, now, newest - engine.keep_s + engine.stream.frame.interval_s / 2)
                except ServeError as error:
                    raise Problem(
                        503, f"{error}; the rows count until a restart, send them again", "not-kept"
                    ) from None
            self._received = {**self._received, **{row["zone"]: now for row in taken}}
        self.metrics.rows(counts)
        return counts

    def _taken(self, rows: Sequence[Row], engine: Engine) -> list[Row]:
        """Those that are in the window, with times on its grid."""
        newest, frame = engine.stream.time_s, engine.stream.frame
        if newest is None:
            return []
        known, taken = set(engine.zones), []
        for row in rows:
            exact = (row["time_s"] - frame.times[0]) / frame.interval_s
            step = np.rint(exact)
            time_s = float(frame.times[0] + step * frame.interval_s)
            if row["zone"] in known and abs(exact - step) < 1e-6 and newest - engine.keep_s < time_s <= newest:
                taken.append({**row, "time_s": time_s})
        return taken

    async def embed(self, body: bytes) -> bytes:
        """Of a :class:`metalore.serve.schemas.Media`; see :class:`metalore.serve.schemas.Embedded`."""
        embedder = self._embedder
        if embedder is None:
            sentence = "this service was started without encoders; start it with --intent FOLDER to embed media"
            raise Problem(404, sentence, "no-intent")

        def work() -> bytes:
            return bytes(embedder.embed(parsed(MEDIA, body), self.engine))

        return await asyncio.get_running_loop().run_in_executor(self._embedding, work)

    async def forecasts(self) -> bytes:
        """Of all zones."""
        engine = self.engine
        _, answer = await self._aside(engine.forecast)
        return bytes(answer)

    async def zones(self) -> dict[str, Any]:
        """See :class:`metalore.serve.schemas.Zones`."""
        found: dict[str, Any] = await self._aside(self.engine.about_zones, self._received)
        return found

    async def page_of_metrics(self) -> bytes:
        """As Prometheus reads it."""
        page: bytes = await self._aside(generate_latest, self.metrics.registry)
        return page

    async def _aside(self, work: Any, *arguments: Any) -> Any:
        """What takes longer is done in a thread, while the loop answers others."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    # -- new checkpoints -----------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Take new checkpoints as they come, for ever."""
        while self.settings.reload_s:
            await asyncio.sleep(self.settings.reload_s)
            try:
                await self._aside(self.reload)
            except Exception:
                LOG.exception("looking for a new checkpoint failed; the old one goes on")

    def reload(self) -> bool:
        """Load the checkpoint if its folder has changed, try it, and swap it in; a broken one is refused.

        Returns:
            Whether there is a new one.
        """
        found = signature(self._folder)
        if found is None or found == self._signature:
            return False
        self._signature = found
        try:
            model = load_model(self.settings)
            with self._writing:
                self.engine = self._engine_of(model)
        except (ServeError, ForecastError, OSError) as error:
            self.metrics.reloads.labels("refused").inc()
            LOG.error("the new checkpoint is refused, the old one goes on: %s", error)
            return False
        self.metrics.reloads.labels("taken").inc()
        LOG.info("model %s is served now", model.fingerprint)
        return True
