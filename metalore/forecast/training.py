"""How the graph network is trained, and how it forecasts."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from metalore.forecast._device import device_of
from metalore.forecast.errors import ForecastError, unknown
from metalore.forecast.forecaster import QUANTILES, Forecaster, Progress
from metalore.forecast.panel import Edges, Panel
from metalore.forecast.resume import Run
from metalore.forecast.scaling import Scaler, inputs_state, inputs_taken
from metalore.forecast.splits import Split
from metalore.forecast.stgnn import STGNN, Neighbours, Shape
from metalore.forecast.weights import Arrays, network_state
from metalore.forecast.what_if import WhatIf
from metalore.forecast.windows import Batch, Layout, Windows

if TYPE_CHECKING:
    from metalore.forecast.what_if_network import Reach

_LEAST_STEPS = 40
"""An epoch has at least so many steps, with smaller batches if it must."""
_MOST_ZONES = 65_536
"""Windows times zones in a batch, so that memory stays small with many zones."""


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        epochs: passes over the training windows; the learning rate rises and falls once over all of them
            (Smith and Topin 2019), so that the last ones are usually the best.
        patience: epochs without a better validation loss after which it stops.
        learning_rate: the highest.
        batch: windows in a step, at most.
        windows: in an epoch, at most, drawn anew for each: neighbouring windows of a long recording are much alike.
        weight_decay: of AdamW (Loshchilov and Hutter 2019).
        squared: weight of the mean's squared error beside the quantile loss.
        passed: part of its gradient that reaches what the quantiles are made of too, from 0 to 1; with 0 only the
            mean's own layer learns from it. More steadies the training of small data, and bends the median.
        clip: largest norm of a gradient.
    """

    epochs: int = 12
    patience: int = 8
    learning_rate: float = 4e-3
    batch: int = 64
    windows: int = 8192
    weight_decay: float = 1e-4
    squared: float = 0.5
    passed: float = 0.1
    clip: float = 1.0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("patience", 1), ("batch", 1)):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= least):
                raise ForecastError(f"the recipe's {name} is {value!r}; a whole number from {least} on is needed")
        for name in ("learning_rate", "weight_decay", "squared", "passed", "clip"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and value >= 0):
                raise ForecastError(f"the recipe's {name} is {value!r}; a number from 0 on is needed")
        if self.passed > 1:
            raise ForecastError(f"the recipe's passed is {self.passed!r}; a number from 0 to 1 is needed")

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Recipe:
        """The usual one, changed.

        Raises:
            ForecastError: no such field, or a value it cannot have.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in fields:
            if name not in known:
                raise unknown("setting", name, known, "the recipe")
        return cls(**fields)


def loss_of(forecast: Tensor, actual: Tensor, weight: Tensor, squared: float) -> Tensor:
    """Quantile loss (Koenker and Bassett 1978) over what was measured, plus a part of the mean's squared error.

    Args:
        forecast: quantiles, then the mean [b, z, h, f, q + 1].
        actual: [b, z, h, f], NaN where nothing was measured.
        weight: of each zone and target [z, f].
        squared: that part.
    """
    there = (~torch.isnan(actual)) * weight[:, None]
    errors = torch.nan_to_num(actual)[..., None] - forecast
    levels, of_quantiles = torch.tensor(QUANTILES, device=errors.device), errors[..., : len(QUANTILES)]
    pinball = 2 * torch.maximum(levels * of_quantiles, (levels - 1) * of_quantiles).mean(dim=-1)
    # Weights count twice in the square, as deviations do.
    heavy = there * weight[:, None]
    square = (errors[..., -1] ** 2 * heavy).sum() / heavy.sum().clamp_min(1e-9)
    loss: Tensor = (pinball * there).sum() / there.sum().clamp_min(1e-9) + squared * square
    return loss


class STGNNForecaster(Forecaster):
    """The graph network (:class:`metalore.forecast.stgnn.STGNN`) as a forecaster.

    Args:
        window: intervals that it sees.
        hidden, layers, dropout: size of the network.
        graph: whether zones see their neighbours; a panel without edges has none.
        hubs: size of the learned adjacency; 0 for none.
        calendar: whether time of day and day of week have embeddings.
        past: whether the same time of earlier days and weeks is shown.
        intent: whether intent is shown, where the panel has it.
        relative: see :class:`metalore.forecast.windows.Layout`.
        straight: whether a linear forecast is added, the same for all zones.
        inductive: without anything that belongs to a certain zone, so that it forecasts zones that it has not seen from
            their history and their place in the graph.
        recipe: how to train; or its fields as a dictionary.
        device: where; unset: a GPU if there is one.
    """

    name = "stgnn"
    resumes = True

    def __init__(
        self,
        window: int = 12,
        hidden: int = 64,
        layers: int = 2,
        dropout: float = 0.1,
        graph: bool = True,
        hubs: int = 10,
        calendar: bool = True,
        past: bool = True,
        intent: bool = True,
        relative: bool = False,
        straight: bool = True,
        inductive: bool = False,
        recipe: Recipe | dict[str, Any] | None = None,
        device: str | None = None,
    ) -> None:
        if window < 1:
            raise ForecastError(f"the network's window is {window}; at least one interval is needed")
        if hidden < 1 or min(layers, hubs) < 0 or not 0 <= dropout < 1:
            raise ForecastError("the network needs a width above 0, no negative numbers, and a dropout below 1")
        self.window, self.same_zones = window, not inductive
        self.hidden, self.layers, self.dropout, self.hubs = hidden, layers, dropout, hubs
        self.graph, self.straight, self.inductive = graph, straight, inductive
        self.shows = {"calendar": calendar, "past": past, "intent": intent, "relative": relative}
        self.recipe = recipe if isinstance(recipe, Recipe) else Recipe.of(recipe or {})
        self.device = device_of(device)
        self.history: list[dict[str, float]] = []
        self._reach: Reach | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """See :attr:`metalore.forecast.forecaster.Forecaster.settings`."""
        return self._settings_in(vars(self) | self.shows | {"recipe": asdict(self.recipe)})

    @property
    def reach(self) -> int:
        """The window, or the earliest of the earlier days and weeks."""
        return int(max(self.window, 1 - self._layout.earlier.min(initial=0)))

    # -- learning ------------------------------------------------------------------------------------------------------

    def _fit(self, panel: Panel, split: Split, seed: int, progress: Progress | None) -> None:
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            self._prepare(panel, split)
            self._train(panel, split, seed, progress)

    def _prepare(self, panel: Panel, split: Split) -> None:
        train = split.rows("train")
        self._layout = Layout.of(panel, split.validation, self.window, self.horizons, **self.shows)
        by: Any = "target" if self.inductive else "zone"
        self._scaler = Scaler.fit(panel, split, by)
        self._input_scaler = None if panel.input_values is None else Scaler.of(panel.input_values[train], by)
        self.network, self._reach = self._made(panel), None
        self._edges: Edges | None = None

    def _made(self, panel: Panel) -> STGNN:
        """An untrained network for a panel, once the layout is known."""
        graph = self.graph and panel.edges is not None and len(panel.edges) > 0
        zones = 0 if self.inductive or len(panel.zones) == 1 else len(panel.zones)
        shape = Shape(
            known=self._layout.known, horizons=len(self.horizons), targets=len(self.targets), zones=zones,
            day=self._layout.day, week=self._layout.week, graph=graph, hubs=self.hubs, intent=self._layout.intent,
            straight=self.straight, hidden=self.hidden, layers=self.layers, dropout=self.dropout,
        )  # fmt: skip
        return STGNN(shape, self.recipe.passed).to(self.device)

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        arrays = {**self._scaler.state(), **inputs_state(self._input_scaler), **network_state(self.network)}
        return {"layout": asdict(self._layout)}, arrays

    def _restore(self, facts: Mapping[str, Any], arrays: Arrays) -> None:
        frame = self.fitted_frame()
        self._layout = Layout(**{**facts["layout"], "horizons": self.horizons, "lags": tuple(facts["layout"]["lags"])})
        zones, inputs = 1 if self.inductive else len(self.zones), len(frame.inputs)
        self._scaler = Scaler.taken(arrays, zones, len(self.targets))
        self._input_scaler = inputs_taken(arrays, zones, inputs)
        self.network, self._edges, self._reach = arrays.take_network(lambda: self._made(frame)), None, None

    def _train(self, panel: Panel, split: Split, seed: int, progress: Progress | None) -> None:
        recipe, rng = self.recipe, np.random.default_rng(seed)
        train, validation = (split.origins(part, self.horizons, self.window) for part in ("train", "validation"))
        windows = self._windows(panel, np.concatenate([train, validation]))
        weight = self._weight()
        size = max(1, min(recipe.batch, len(train) // _LEAST_STEPS, _MOST_ZONES // len(panel.zones)))
        seen = min(len(train), recipe.windows)
        steps = math.ceil(seen / size)
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, recipe.learning_rate, total_steps=recipe.epochs * steps, pct_start=0.1, cycle_momentum=False
        )
        parts = self.network.shared(), list(self.network.mean.parameters())
        best, best_epoch, kept = math.inf, 0, copy.deepcopy(self.network.state_dict())
        self.history = []
        run = Run(self._keep, self._identity(panel, split, seed), self.network, optimizer, schedule, rng)
        if (before := run.load()) is not None:
            kept, self.history = before[0], before[1]["history"]
            best, best_epoch = before[1]["best"], before[1]["best_epoch"]
        for epoch in range(len(self.history), recipe.epochs):
            if epoch - best_epoch > recipe.patience:
                break
            total = 0.0
            self.network.train()
            for origins in np.array_split(rng.permutation(train)[:seen], steps):
                loss = self._loss(windows, panel, origins, weight)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
                for part in parts:
                    torch.nn.utils.clip_grad_norm_(part, recipe.clip)
                optimizer.step()
                schedule.step()
                total += float(loss.detach())
            judged = self._validate(windows, panel, validation, weight, size)
            self.history.append({"epoch": epoch + 1, "train": total / steps, "validation": judged})
            if judged < best:
                best, best_epoch, kept = judged, epoch, copy.deepcopy(self.network.state_dict())
            run.save(kept, {"best": best, "best_epoch": best_epoch, "history": self.history})
            if progress:
                progress(epoch + 1, recipe.epochs, f"loss {total / steps:.4f}, validation {judged:.4f}")
        run.done()
        if not math.isfinite(best):
            raise ForecastError("training diverged: no epoch has a finite validation loss; lower the learning rate")
        self.network.load_state_dict(kept)

    def _identity(self, panel: Panel, split: Split, seed: int) -> dict[str, Any]:
        """By which an interrupted training is known."""
        return {
            "seed": seed,
            "horizons": self.horizons,
            "split": split.as_dict(),
            "settings": self.settings,
            "device": self.device.type,
            "data": panel.fingerprint()[:16] if self._keep else None,
        }

    def _weight(self) -> Tensor:
        """Deviation of each zone over the mean one: an error counts in the unit of its target, not of its zone."""
        deviation = self._scaler.deviation
        share = np.broadcast_to(deviation / deviation.mean(axis=0), (len(self.zones), len(self.targets)))
        return torch.from_numpy(share.copy()).to(self.device)

    def _loss(self, windows: Windows, panel: Panel, origins: np.ndarray, weight: Tensor) -> Tensor:
        actual = panel.actual(origins, self.horizons)
        scaled = (actual - self._scaler.mean[:, None]) / self._scaler.deviation[:, None]
        truth = torch.from_numpy(scaled.astype(np.float32)).to(self.device)
        forecast = self._forward(panel, windows.batch(origins))
        return loss_of(forecast, truth, weight, self.recipe.squared)

    @torch.no_grad()
    def _validate(self, windows: Windows, panel: Panel, origins: np.ndarray, weight: Tensor, size: int) -> float:
        self.network.eval()
        pieces = np.array_split(origins, math.ceil(len(origins) / size))
        losses = [float(self._loss(windows, panel, piece, weight)) * len(piece) for piece in pieces]
        return sum(losses) / len(origins)

    # -- forecasting ---------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _predict(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        self.network.eval()
        step = max(1, min(256, _MOST_ZONES // len(panel.zones)))
        pieces = [origins[i : i + step] for i in range(0, len(origins), step)]
        windows = self._windows(panel, origins)
        scaled = [self._forward(panel, windows.batch(piece)).cpu().numpy() for piece in pieces]
        if not scaled:
            return np.empty(
                (0, len(panel.zones), len(self.horizons), len(self.targets), len(QUANTILES) + 1), np.float32
            )
        return self._scaler.unscaled_forecast(np.concatenate(scaled))

    def what_if(self, panel: Panel) -> WhatIf:
        """See :meth:`metalore.forecast.forecaster.Forecaster.what_if`; only what a change reaches is computed anew."""
        from metalore.forecast.what_if_network import NetworkWhatIf, Reach

        if self._layout.relative or (self._layout.earlier >= 0).any():  # more of what is shown changes with the last
            return super().what_if(panel)
        self._checked(panel, [len(panel) - 1])
        neighbours = self._neighbours_of(panel)
        if self._reach is None or self._reach.neighbours is not neighbours:
            self._reach = Reach.of(self.network, neighbours, len(panel.zones))
        with torch.inference_mode():
            self.network.eval()
            origin = np.array([len(panel) - 1])
            batch = self._windows(panel, origin).batch(origin)
            scalers = self._scaler, self._input_scaler
            return NetworkWhatIf(self.network, self._reach, batch, self._layout, scalers, panel)

    def _windows(self, panel: Panel, origins: np.ndarray) -> Windows:
        return Windows(panel, self._layout, self._scaler, self._input_scaler, origins, self.device)

    def _forward(self, panel: Panel, batch: Batch) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            quantiles: Tensor = self.network(
                batch.known, batch.last, self._neighbours_of(panel), batch.day, batch.week, batch.intent,
                batch.intent_of, self._least(panel), batch.scale,
            )  # fmt: skip
        return quantiles

    def _neighbours_of(self, panel: Panel) -> Neighbours | None:
        if not self.network.shape.graph:
            return None
        if panel.edges is None:
            raise ForecastError(f"{self.name} was fitted with a graph, and {panel.name} has none")
        if panel.edges is not self._edges:
            self._edges, self._neighbours = panel.edges, Neighbours(panel.edges).to(self.device)
        return self._neighbours

    def _least(self, panel: Panel) -> Tensor:
        assert panel.lowest is not None  # set by the panel
        bound = (panel.lowest - self._scaler.mean) / self._scaler.deviation
        return torch.from_numpy(bound.astype(np.float32)).to(self.device)
