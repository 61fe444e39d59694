"""Recurrent networks without a graph: each zone by itself, one network for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metalore.forecast._device import device_of
from metalore.forecast.early_stopping import train_epochs
from metalore.forecast.errors import ForecastError
from metalore.forecast.forecaster import QUANTILES, Forecaster, Progress
from metalore.forecast.panel import Panel
from metalore.forecast.quantiles import ordered, quantile_loss
from metalore.forecast.scaling import Scaler
from metalore.forecast.splits import Split
from metalore.forecast.weights import Arrays, network_state

_CLOCK = 4
"""Numbers that say the time: sine and cosine of the day and of the week."""


class _Network(nn.Module):
    """Encoder of the window, and a head that also sees the zone, the time of each target, and the last values."""

    def __init__(self, kind: str, zones: int, targets: int, horizons: int, events: int, hidden: int, own: int) -> None:
        super().__init__()
        cell = nn.GRU if kind == "gru" else nn.LSTM
        self.encoder = cell(2 * targets + _CLOCK, hidden, batch_first=True)
        self.zone = nn.Embedding(zones, own)
        self.head = nn.Sequential(
            nn.Linear(hidden + own + targets + _CLOCK + events, hidden),
            nn.ReLU(),
            nn.Linear(hidden, targets * len(QUANTILES)),
        )
        self.horizons, self.targets = horizons, targets
        self.ahead = nn.Parameter(torch.zeros(horizons, hidden))

    def forward(self, past: Tensor, zone: Tensor, last: Tensor, clock: Tensor, events: Tensor) -> Tensor:
        """Scaled quantiles.

        Args:
            past: [b, window, 2 f + 4], values, where they are known, and the time.
            zone: [b].
            last: newest value, [b, f].
            clock, events: at each target, [b, h, ...].

        Returns:
            [b, h, f, q].
        """
        states, _ = self.encoder(past)
        state = states[:, -1, None] + self.ahead
        fixed = torch.cat([self.zone(zone), last], dim=-1)[:, None].expand(-1, self.horizons, -1)
        raw = self.head(torch.cat([state, fixed, clock, events], dim=-1))
        raw = raw.reshape(*raw.shape[:2], self.targets, len(QUANTILES))
        return ordered(torch.cat([raw[..., :1] + last[:, None, :, None], raw[..., 1:]], dim=-1))


class GRU(Forecaster):
    """Gated recurrent units (Cho et al. 2014) over the window, all horizons at once.

    One network for all zones, which knows a zone by an embedding and the time by sine and cosine of day and week.
    Trained with the quantile loss on scaled values; the epoch is the best on the validation part.

    Args:
        window: intervals that it sees.
        hidden: size of the state.
        own: size of a zone's embedding.
        epochs: at most.
        patience: epochs without a better one after which it stops.
        samples: series of a zone that an epoch looks at, drawn anew each time.
        batch: of these at once.
        rate: learning rate, halved after each two epochs without a better one.
        device: of torch.
    """

    name = "gru"
    kind = "gru"

    def __init__(
        self,
        window: int = 24,
        hidden: int = 48,
        own: int = 12,
        epochs: int = 30,
        patience: int = 6,
        samples: int = 60_000,
        batch: int = 512,
        rate: float = 3e-3,
        device: str = "cpu",
    ) -> None:
        if min(window, hidden, own, epochs, patience, samples, batch) < 1 or not rate > 0:
            raise ForecastError(f"{self.name} needs sizes, epochs and a rate above 0")
        self.window, self.hidden, self.own, self.epochs, self.patience = window, hidden, own, epochs, patience
        self.samples, self.batch, self.rate, self.device = samples, batch, rate, device_of(device)

    def _fit(self, panel: Panel, split: Split, seed: int, progress: Progress | None) -> None:
        self._scaler = Scaler.fit(panel, split)
        self._weekly = split.validation * panel.interval_s >= 2 * 7 * 86_400
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._network = self._made(panel)
        self._train(panel, split, np.random.default_rng(seed), progress)

    def _made(self, panel: Panel) -> _Network:
        return _Network(
            self.kind, len(panel.zones), len(panel.targets), len(self.horizons), len(panel.events), self.hidden,
            self.own,
        ).to(self.device)  # fmt: skip

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"weekly": self._weekly}, {**self._scaler.state(), **network_state(self._network)}

    def _restore(self, facts: Mapping[str, Any], arrays: Arrays) -> None:
        self._weekly = bool(facts["weekly"])
        self._scaler = Scaler.taken(arrays, len(self.zones), len(self.targets))
        self._network = arrays.take_network(lambda: self._made(self.fitted_frame()))

    def _train(self, panel: Panel, split: Split, random: np.random.Generator, progress: Progress | None) -> None:
        optimizer = torch.optim.Adam(self._network.parameters(), self.rate)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
        train = split.origins("train", self.horizons, self.window)
        validation = split.origins("validation", self.horizons, self.window)
        validation = validation[:: max(1, len(validation) * len(panel.zones) // self.samples)]

        def validate() -> float:
            loss = self._validation_loss(panel, validation)
            schedule.step(loss)
            return loss

        train_epochs(
            self._network,
            lambda: self._epoch(panel, train, random, optimizer),
            validate,
            self.epochs,
            self.patience,
            progress,
        )

    def _epoch(
        self, panel: Panel, train: np.ndarray, random: np.random.Generator, optimizer: torch.optim.Optimizer
    ) -> None:
        self._network.train()
        pairs = len(train) * len(panel.zones)
        chosen = random.permutation(pairs)[: self.samples]
        for i in range(0, len(chosen), self.batch):
            origins, zones = np.divmod(chosen[i : i + self.batch], len(panel.zones))
            origins = train[origins]
            loss = quantile_loss(
                self._network(*self._inputs(panel, origins, zones)), self._truth(panel, origins, zones)
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no types there
            nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
            optimizer.step()

    def _validation_loss(self, panel: Panel, origins: np.ndarray) -> float:
        actual = self._scaled_truth(panel, origins)
        quantiles = torch.from_numpy(self._scaled_forecast(panel, origins))
        return float(quantile_loss(quantiles, torch.from_numpy(actual)))

    def _predict(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        return self._scaler.unscaled_forecast(self._scaled_forecast(panel, origins))

    def _scaled_forecast(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        """[n, z, h, f, q]."""
        self._network.eval()
        zones = len(panel.zones)
        step = max(1, 8 * self.batch // zones)
        parts = []
        with torch.inference_mode():
            for i in range(0, len(origins), step):
                some = origins[i : i + step]
                inputs = self._inputs(panel, np.repeat(some, zones), np.tile(np.arange(zones), len(some)))
                parts.append(self._network(*inputs).cpu().numpy().reshape(len(some), zones, *self._shape))
        return np.concatenate(parts) if parts else np.zeros((0, zones, *self._shape), np.float32)

    @property
    def _shape(self) -> tuple[int, int, int]:
        return len(self.horizons), len(self.targets), len(QUANTILES)

    def _scaled_truth(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        actual = panel.actual(origins, self.horizons)
        scaled: np.ndarray = (actual - self._scaler.mean[:, None]) / self._scaler.deviation[:, None]
        return scaled

    def _truth(self, panel: Panel, origins: np.ndarray, zones: np.ndarray) -> Tensor:
        """Scaled, of pairs of an origin and a zone, [b, h, f]."""
        actual = panel.values[origins[:, None] + np.asarray(self.horizons), zones[:, None]]
        scaled = (actual - self._scaler.mean[zones, None]) / self._scaler.deviation[zones, None]
        return torch.from_numpy(scaled).to(self.device)

    def _inputs(self, panel: Panel, origins: np.ndarray, zones: np.ndarray) -> tuple[Tensor, ...]:
        """Of pairs of an origin and a zone."""
        rows = origins[:, None] + np.arange(1 - self.window, 1)
        values = (panel.values[rows, zones[:, None]] - self._scaler.mean[zones, None]) / self._scaler.deviation[
            zones, None
        ]
        known = ~np.isnan(values)
        newest = known.shape[1] - 1 - known[:, ::-1].argmax(axis=1)  # [b, f]; the last if none is known
        values = np.where(known, values, 0).astype(np.float32)
        last = np.take_along_axis(values, newest[:, None], axis=1)[:, 0]
        ahead = origins[:, None] + np.asarray(self.horizons)
        past = np.concatenate([values, known, self._clock(panel, rows)], axis=-1, dtype=np.float32)
        events = panel.events_at(ahead)[np.arange(len(ahead)), :, zones]
        arrays = (past, zones, last, self._clock(panel, ahead), events)
        return tuple(torch.from_numpy(array).to(self.device) for array in arrays)

    def _clock(self, panel: Panel, rows: np.ndarray) -> np.ndarray:
        """[*rows, 4]; of the week 0 where training saw less than two."""
        day = 2 * np.pi * panel.hour_of_day(rows) / 24
        week = 2 * np.pi * panel.week_s(rows) / 604_800
        on = float(self._weekly)
        waves = [np.sin(day), np.cos(day), on * np.sin(week), on * np.cos(week)]
        clock: np.ndarray = np.stack(waves, axis=-1).astype(np.float32)
        return clock


class LSTM(GRU):
    """Long short-term memory (Hochreiter and Schmidhuber 1997) in place of the gated units."""

    name = "lstm"
    kind = "lstm"
