"""What the network is shown of a panel: windows as tensors, scaled, with gaps filled and told.

Axes: `b` windows, `z` zones, `r` intervals, `c` columns (targets, then further inputs), `p` numbers known of a zone,
`h` horizons, `f` targets, `k` events.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from metalore.forecast.panel import DAY_S, WEEK_S, Panel
from metalore.forecast.scaling import Scaler

_PERIODS_S = (DAY_S, WEEK_S, 2 * WEEK_S, 3 * WEEK_S, 4 * WEEK_S)
_AROUND = 1
"""Intervals around the same time of an earlier day that are shown too: what happens then need not be punctual."""
_OFTEN = 8
"""So many times an earlier time must fit into the training part."""
_DAY_PARTS = 24
"""A day has at most so many embeddings: with more of them, a few days are learned by heart."""
_LEAST_SPREAD = 0.01
"""Of a window, in deviations of the training part: a flat window must not blow up what is relative to it."""


@dataclass(frozen=True)
class Layout:
    """Which numbers of the past, and how they are shown; fixed when fitting.

    Attributes:
        window: recent intervals.
        horizons: of the forecast.
        targets, inputs, events: how many columns of each kind.
        lags: how many intervals before the forecast ones the same time of earlier days and weeks lies.
        day, week: parts of a day, days of a week; 0 if the calendar is not used.
        intent: whether intent is shown.
        relative: whether values are shown as changes from the last one in units of the window's spread. The forecast
            then follows a level that was never seen, and forgets what it learned of the usual one (Kim et al. 2022,
            reversible instance normalization; here the last value takes the place of the mean).
    """

    window: int
    horizons: tuple[int, ...]
    targets: int
    inputs: int = 0
    events: int = 0
    lags: tuple[int, ...] = ()
    day: int = 0
    week: int = 0
    intent: bool = False
    relative: bool = False

    @classmethod
    def of(
        cls,
        panel: Panel,
        train: int,
        window: int,
        horizons: tuple[int, ...],
        *,
        calendar: bool = True,
        past: bool = True,
        intent: bool = True,
        relative: bool = False,
    ) -> Layout:
        """What a training part of `train` intervals gives.

        The calendar counts if its period fits into it twice; the same time of earlier days only if that lies back less
        than an eighth of it: learned from a few days only, it makes forecasts worse.
        """
        twice = train // 2
        day, week = panel.steps(DAY_S), panel.steps(WEEK_S)
        periods = [panel.steps(period) for period in _PERIODS_S] if past else []
        # Behind the farthest horizon, or what is "around" would lie in the future.
        lags = tuple(lag for lag in periods if horizons[-1] + _AROUND <= lag <= train // _OFTEN)
        return cls(
            window,
            horizons,
            len(panel.targets),
            len(panel.inputs),
            len(panel.events),
            lags,
            min(day, _DAY_PARTS) if calendar and 0 < day <= twice else 0,
            7 if calendar and 0 < week <= twice else 0,
            intent and panel.intent is not None,
            relative,
        )

    @property
    def recent(self) -> np.ndarray:
        """Intervals of the window, counted from the origin."""
        return np.arange(1 - self.window, 1)

    @property
    def earlier(self) -> np.ndarray:
        """Intervals around the same time on earlier days, counted from the origin."""
        around = sorted({h + step for h in self.horizons for step in range(-_AROUND, _AROUND + 1)})
        return np.array([step - lag for lag in self.lags for step in around], np.int64)

    @property
    def known(self) -> int:
        """Numbers known of a zone: values, whether each is missing, and announced events."""
        values = self.window * (self.targets + self.inputs) + len(self.earlier) * self.targets
        return 2 * values + (1 + len(self.horizons)) * self.events


@dataclass(frozen=True, eq=False)
class Batch:
    """What :meth:`metalore.forecast.stgnn.STGNN.forward` takes, under its names."""

    known: Tensor
    last: Tensor
    day: Tensor | None
    week: Tensor | None
    intent: Tensor | None
    intent_of: Tensor | None
    scale: Tensor | None


class Windows:
    """Windows of a panel as tensors.

    Only the intervals that some window shows are scaled and kept, so that one forecast from a long history is cheap.

    Args:
        panel: series.
        layout: what to show.
        scaler: of targets.
        input_scaler: of further inputs.
        origins: of all windows that will be asked for.
        device: where tensors go.
    """

    def __init__(
        self,
        panel: Panel,
        layout: Layout,
        scaler: Scaler,
        input_scaler: Scaler | None,
        origins: np.ndarray,
        device: torch.device | Literal["cpu"] = "cpu",
    ) -> None:
        self.panel, self.layout, self.device = panel, layout, device
        shown = np.concatenate([layout.recent, layout.earlier])
        wanted = (np.asarray(origins)[:, None] + shown).ravel()
        self._rows = np.unique(np.clip(wanted, 0, len(panel) - 1))
        columns = [scaler.scaled(panel.values[self._rows])]
        if input_scaler is not None and panel.input_values is not None:
            columns.append(input_scaler.scaled(panel.input_values[self._rows]))
        self._scaled = torch.from_numpy(np.concatenate(columns, axis=-1)).to(device)
        self._gaps = bool(torch.isnan(self._scaled).any()) or bool((wanted < 0).any())
        self._intent = None
        if layout.intent and panel.intent is not None:
            self._intent = torch.from_numpy(np.nan_to_num(panel.intent)).to(device)

    def batch(self, origins: np.ndarray) -> Batch:
        """Windows with these origins."""
        layout = self.layout
        recent, recent_gaps = self.recent(origins)
        last = recent[:, -1, :, : layout.targets]
        scale = None
        earlier = self._at(origins, layout.earlier)[..., : layout.targets]
        if layout.relative:
            recent, scale = _relative(recent)
            earlier = (earlier - last[:, None]) / scale[:, None, :, : layout.targets]
        parts = [recent, recent_gaps]
        if len(layout.earlier):
            parts += [torch.nan_to_num(earlier), torch.isnan(earlier).to(recent.dtype)]
        if layout.events:
            parts.append(self._events(origins))
        known = torch.cat([part.transpose(1, 2).flatten(2) for part in parts], dim=-1)
        return Batch(
            known,
            last,
            self._calendar(self.panel.week_s(origins + layout.horizons[0]) % DAY_S, DAY_S, layout.day),
            self._calendar(self.panel.week_s(origins + layout.horizons[0]), WEEK_S, layout.week),
            self._intent,
            self._intent_at(origins),
            None if scale is None else scale[..., : layout.targets],
        )

    def recent(self, origins: np.ndarray) -> tuple[Tensor, Tensor]:
        """Values of the window with gaps filled, and where these were, as 1; both [b, r, z, c]."""
        return self._filled(self._at(origins, self.layout.recent))

    def _at(self, origins: np.ndarray, steps: np.ndarray) -> Tensor:
        """Scaled values [b, r, z, c]; NaN for gaps and before the panel begins."""
        rows = origins[:, None] + steps
        place = np.searchsorted(self._rows, np.clip(rows, 0, len(self.panel) - 1))
        found = self._scaled[torch.from_numpy(place).to(self.device)]
        before = rows < 0
        if before.any():
            found[torch.from_numpy(before).to(self.device)] = torch.nan
        return found

    def _filled(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Gaps filled with the newest value before, or with the mean, which is 0; and where they were, as 0 and 1."""
        if not self._gaps:
            return values, torch.zeros_like(values)
        there = ~torch.isnan(values)
        step = torch.arange(values.shape[1], device=values.device)[:, None, None]
        newest = torch.where(there, step, 0).cummax(dim=1).values
        return torch.nan_to_num(values.gather(1, newest)), (~there).to(values.dtype)

    def _events(self, origins: np.ndarray) -> Tensor:
        rows = origins[:, None] + np.array([0, *self.layout.horizons])
        return torch.from_numpy(np.ascontiguousarray(self.panel.events_at(rows), np.float32)).to(self.device)

    def _calendar(self, seconds: np.ndarray, period_s: float, parts: int) -> Tensor | None:
        if not parts:
            return None
        return torch.from_numpy((seconds / period_s * parts + 1e-6).astype(np.int64) % parts).to(self.device)

    def _intent_at(self, origins: np.ndarray) -> Tensor | None:
        if self._intent is None:
            return None
        return torch.from_numpy(np.array(self.panel.intent_at(origins), np.int64)).to(self.device)


def _relative(recent: Tensor) -> tuple[Tensor, Tensor]:
    """Changes from the last of [b, r, z, c] in units of the spread, and that spread [b, z, c]."""
    spread = (recent.var(dim=1, correction=0) + _LEAST_SPREAD**2).sqrt()
    return (recent - recent[:, -1:]) / spread[:, None], spread
