"""The one interface of everything that forecasts.

Axes: `n` windows, `z` zones, `h` horizons, `f` targets, `q` quantiles.
"""

from __future__ import annotations

import inspect
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from metalore.forecast.errors import ForecastError
from metalore.forecast.panel import Panel
from metalore.forecast.splits import Part, Split, check_horizons
from metalore.forecast.weights import Arrays

QUANTILES = (0.1, 0.5, 0.9)
"""What every forecast consists of; the middle one is the forecast where one number is wanted."""
MEDIAN = QUANTILES.index(0.5)

_LEARNED: tuple[Part, ...] = ("train", "validation")

Progress = Callable[[int, int, str], None]
"""Is told while training: how much is done, of how much, and how it stands, in words."""


class Forecaster(ABC):
    """Learns from a panel and forecasts its targets for every zone, several horizons at once.

    A new one needs a name, :meth:`_fit` and :meth:`_predict`; what is asked of them is checked here. To be kept on disk
    it needs :meth:`_state` and :meth:`_restore` besides.

    Attributes:
        name: short, for tables.
        window: intervals up to the origin that it wants to see; fewer are refused.
        same_zones: whether it forecasts only the zones that it was fitted on.
        seeded: whether another seed gives another forecast.
        can_be_kept: whether it can be kept on disk as plain data.
        resumes: whether its training can be kept after each epoch and taken up again.
        frame: of the panel that it was fitted to: zones, graph, bounds, clock, and no data.
        seed, trained_s: of the fit; its duration on the wall clock, s.
        history: how training went, an entry for each epoch, if there were any.
    """

    name: str
    window: int = 1
    same_zones: bool = True
    seeded: bool = True
    can_be_kept: bool = True
    resumes: bool = False

    horizons: tuple[int, ...] = ()
    targets: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    interval_s: float = 0.0
    frame: Panel | None = None
    seed: int = 0
    trained_s: float = 0.0
    history: Sequence[Mapping[str, float]] = ()
    _keep: Path | None = None

    def fit(
        self,
        panel: Panel,
        split: Split,
        horizons: Sequence[int],
        seed: int = 0,
        progress: Progress | None = None,
        keep: Path | str | None = None,
    ) -> Self:
        """Learn from the training part, choose by the validation part; the test part is not looked at.

        Args:
            panel: series; what lies from `split.test` on is cut off before anything sees it.
            split: parts.
            horizons: intervals ahead, rising.
            seed: the same gives the same forecasts.
            progress: see :data:`Progress`.
            keep: a folder in which training is kept after each epoch, if the forecaster :attr:`resumes`. One that
                was interrupted there goes on, and ends as it would have; at the end nothing of it is left.

        Raises:
            ForecastError: the history is shorter than the window and horizons need, nothing of a target is known, or
                what is kept belongs to another training.
        """
        if keep is not None and not self.resumes:
            raise ForecastError(f"training of {self.name} cannot be kept and taken up again; leave `keep` out")
        self._keep = None if keep is None else Path(keep)
        self.horizons = check_horizons(horizons)
        self.zones, self.targets, self.interval_s = panel.zones, panel.targets, panel.interval_s
        if split.end > len(panel):
            raise ForecastError(f"the split ends at {split.end}, and {panel.name} has {len(panel)} intervals")
        for part in _LEARNED:
            split.origins(part, self.horizons, self.window)
            empty = np.isnan(panel.values[split.rows(part)]).all(axis=(0, 1))
            if empty.any():
                target = panel.targets[int(empty.argmax())]
                raise ForecastError(f"{panel.name} has no value of {target!r} in the {part} part")
        begin = time.perf_counter()
        self._fit(panel.until(split.test), split, seed, progress)
        self.frame, self.seed, self.trained_s = panel.frame(), seed, time.perf_counter() - begin
        return self

    def predict(self, panel: Panel, origins: Sequence[int] | np.ndarray) -> np.ndarray:
        """Forecast from what is known up to and including each origin, and from what is announced.

        Args:
            panel: series with the targets and interval it was fitted on; it may end at an origin.
            origins: numbers of intervals [n].

        Returns:
            [n, z, h, f, q], float32, with quantiles in order and none below `panel.lowest`. Where a zone has never been
            known at all it may be NaN; else it is a number.

        Raises:
            ForecastError: not fitted, another panel, or an origin with less history than the window.
        """
        rows = self._checked(panel, origins)
        expected = (len(rows), len(panel.zones), len(self.horizons), len(self.targets), len(QUANTILES))
        quantiles = np.asarray(self._predict(panel, rows) if len(rows) else np.empty(expected), np.float32)
        assert quantiles.shape == expected, f"{self.name}: {quantiles.shape} instead of {expected}"
        quantiles = np.sort(quantiles, axis=-1)  # NaN, of which all are one, stay together
        floored: np.ndarray = np.maximum(quantiles, np.asarray(panel.lowest)[:, None])
        return floored

    def fitted_frame(self) -> Panel:
        """The frame, which is there.

        Raises:
            ForecastError: not fitted.
        """
        if self.frame is None:
            raise self._not_fitted()
        return self.frame

    def _not_fitted(self) -> ForecastError:
        return ForecastError(f"{self.name} has not been fitted; call fit first, or load one that was")

    def _checked(self, panel: Panel, origins: Sequence[int] | np.ndarray) -> np.ndarray:
        if not self.horizons:
            raise self._not_fitted()
        if panel.targets != self.targets:
            raise ForecastError(
                f"{self.name} was fitted to {', '.join(self.targets)}, not to {', '.join(panel.targets)}"
            )
        if panel.interval_s != self.interval_s:
            raise ForecastError(
                f"{self.name} was fitted to intervals of {self.interval_s:g} s, not of {panel.interval_s:g} s"
            )
        if self.same_zones and panel.zones != self.zones:
            raise ForecastError(f"{self.name} was fitted to other zones, or to these in another order")
        rows = np.asarray(origins)
        if rows.ndim != 1 or (len(rows) and rows.dtype.kind not in "iu"):
            raise ForecastError("origins are numbers of intervals in a row")
        if len(rows) and not (rows.min() >= self.window - 1 and rows.max() < len(panel)):
            raise ForecastError(
                f"{self.name} looks back over {self.window} intervals and {panel.name} has {len(panel)}; origins can "
                f"be {self.window - 1} to {len(panel) - 1}, not {rows.min()} to {rows.max()}"
            )
        return rows.astype(np.int64)

    @property
    def reach(self) -> int:
        """Intervals up to the origin on which a forecast can depend; a panel may begin with the first of them.

        Of a forecaster with a running state (see :meth:`after`) what lies before must have gone into that.
        """
        return self.window

    @property
    def settings(self) -> dict[str, Any]:
        """What it was made with, but for the device, as JSON data; the same name and settings make it again."""
        return self._settings_in(vars(self))

    def _settings_in(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: values[name] for name in inspect.signature(type(self)).parameters if name != "device"}

    def after(self, panel: Panel) -> Self:
        """One for a panel that begins where this one ends: with another running state, or itself if it has none."""
        return self

    @abstractmethod
    def _fit(self, panel: Panel, split: Split, seed: int, progress: Progress | None) -> None:
        """Learn; `panel` ends where the test part begins."""

    @abstractmethod
    def _predict(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        """[n, z, h, f, q]; nothing after an origin may be used for its forecast."""

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What was learned: facts that JSON can hold, and finite arrays by name.

        Raises:
            ForecastError: it cannot be kept.
        """
        raise ForecastError(f"{self.name} cannot be kept; its class needs _state and _restore for that")

    def _restore(self, facts: Mapping[str, Any], arrays: Arrays) -> None:
        """Take what :meth:`_state` gave; settings, horizons, targets, zones, interval and frame are there already."""
        raise NotImplementedError


class PointForecaster(Forecaster):
    """Forecasts one number; its quantiles come from its errors on validation data.

    Split conformal intervals (Papadopoulos et al. 2002; Lei et al. 2018), with the sign kept: a quantile of the errors
    (actual less forecast) of each zone, horizon and target is added to the forecast. With n errors the quantile at
    level p is the one of rank ceil((n + 1) p), counted towards its tail, which covers p of what comes if the future is
    like the validation part. Zones with fewer than :data:`LEAST` errors take those of all zones. The middle quantile
    is the forecast itself.
    """

    LEAST = 30

    _offsets: np.ndarray  # [z, h, f, 2]

    def _state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        facts, arrays = self._point_state()
        return facts, {"offsets": self._offsets, **arrays}

    def _restore(self, facts: Mapping[str, Any], arrays: Arrays) -> None:
        self._offsets = arrays.take("offsets", len(self.zones), len(self.horizons), len(self.targets), 2)
        self._restore_point(facts, arrays)

    def _fit(self, panel: Panel, split: Split, seed: int, progress: Progress | None) -> None:
        self._fit_point(panel, split, seed, progress)
        origins = split.origins("validation", self.horizons, self.window)
        errors = panel.actual(origins, self.horizons) - self._point(panel, origins)
        self._offsets = residual_offsets(errors, self.LEAST)
        self._refit(panel, split, seed)

    def _predict(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        point = self._point(panel, origins)
        low, high = self._offsets[..., 0], self._offsets[..., 1]
        return np.stack([point + np.minimum(low, 0), point, point + np.maximum(high, 0)], axis=-1)

    @abstractmethod
    def _fit_point(self, panel: Panel, split: Split, seed: int, progress: Progress | None) -> None:
        """Learn from the training part, choose by the validation part."""

    def _refit(self, panel: Panel, split: Split, seed: int) -> None:
        """Learn once more from training and validation part together, if that is done; choices are made."""

    @abstractmethod
    def _point(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        """[n, z, h, f]."""

    def _point_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """See :meth:`_state`; without what belongs to the quantiles."""
        return super()._state()

    def _restore_point(self, facts: Mapping[str, Any], arrays: Arrays) -> None:
        """Take what :meth:`_point_state` gave."""
        raise NotImplementedError


def residual_offsets(errors: np.ndarray, least: int = 30) -> np.ndarray:
    """Quantiles of errors [n, z, h, f] at the outer levels of :data:`QUANTILES`, as [z, h, f, 2]; see above."""
    zones = errors.shape[1]
    ranked = np.sort(errors, axis=0)  # NaN last
    count = (~np.isnan(errors)).sum(axis=0)
    own = _tails(ranked, count)
    pooled = np.sort(errors.reshape(-1, *errors.shape[2:]), axis=0)
    of_all = np.broadcast_to(_tails(pooled, count.sum(axis=0)), (zones, *own.shape[1:]))
    offsets: np.ndarray = np.where((count >= least)[..., None], own, of_all)
    return offsets


def _tails(ranked: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Lower and upper quantile of sorted columns with so many numbers each; 0 where there are none."""
    rank = np.ceil((count + 1) * QUANTILES[-1]).astype(np.int64)
    upper = np.clip(rank - 1, 0, np.maximum(count - 1, 0))
    lower = np.maximum(count - 1, 0) - upper
    both = [np.take_along_axis(ranked, place[None], axis=0)[0] for place in (lower, upper)]
    tails: np.ndarray = np.nan_to_num(np.stack(both, axis=-1))
    return tails
