"""Ridge regression for each zone, target and horizon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from metalore.forecast.errors import ForecastError
from metalore.forecast.features import Features
from metalore.forecast.forecaster import PointForecaster, Progress
from metalore.forecast.panel import Panel
from metalore.forecast.scaling import Scaler
from metalore.forecast.splits import Part, Split
from metalore.forecast.weights import Arrays

PENALTIES = (1.0, 10.0, 100.0, 1000.0, 10_000.0)
_PARTS: tuple[Part, ...] = ("train", "validation")
_NEVER = 1e12
"""A penalty that no feature survives."""
_MOST = 30_000_000
"""Numbers in a matrix of features at a time."""


class Ridge(PointForecaster):
    """Linear in recent values, the same time on earlier days and weeks, the calendar, announced events and inputs.

    Normal equations with a penalty on squared coefficients (Hoerl and Kennard 1970), in units of each zone's deviation.
    What is fitted is the change from the last value, so that a large penalty means the last value. The penalty, and
    whether anything but recent values is used at all, are chosen for each target and horizon by the squared error on
    the validation part; quantiles are measured there too, and only then coefficients are fitted again to both parts.

    Args:
        window: recent values that it sees, of its target; of the other targets and of inputs it sees the newest.
        penalties: to choose from; one is taken as it is.
        refit: whether to fit again.
    """

    name = "ridge"
    seeded = False

    def __init__(self, window: int = 24, penalties: tuple[float, ...] = PENALTIES, refit: bool = True) -> None:
        if window < 1 or not penalties or min(penalties) <= 0:
            raise ForecastError(f"ridge needs a window of at least 1 and positive penalties, not {window}, {penalties}")
        self.window, self.penalties, self.refit = window, tuple(penalties), refit

    def _fit_point(self, panel: Panel, split: Split, seed: int, progress: Progress | None) -> None:
        self._scaler = Scaler.fit(panel, split)
        self._features = Features.fit(panel, split.rows("train"), self.window)
        train, validation = (self._origins_of(split, part) for part in _PARTS)
        self._coefficients: dict[tuple[int, int], np.ndarray] = {}
        self._choice: dict[tuple[int, int], tuple[float, bool]] = {}
        choices = [(penalty, whole) for whole in (True, False) for penalty in self.penalties]
        pairs = [(h, f) for h in range(len(self.horizons)) for f in range(len(self.targets))]
        for done, (h, f) in enumerate(pairs):
            gram, moment = self._moments(panel, train, h, f)
            tried = [_solve(gram, moment, penalty, self._left_out(gram, whole)) for penalty, whole in choices]
            best = int(np.argmin(self._errors(panel, validation, h, f, tried)))
            self._choice[h, f], self._coefficients[h, f] = choices[best], tried[best]
            if progress:
                progress(done + 1, len(pairs), f"penalty {choices[best][0]:g}")

    def _refit(self, panel: Panel, split: Split, seed: int) -> None:
        if not self.refit:
            return
        both = np.concatenate([self._origins_of(split, part) for part in _PARTS])
        for h, f in self._coefficients:
            gram, moment = self._moments(panel, np.unique(both), h, f)
            penalty, whole = self._choice[h, f]
            self._coefficients[h, f] = _solve(gram, moment, penalty, self._left_out(gram, whole))

    def _point_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        coefficients = {f"coefficients.{h}.{f}": array for (h, f), array in self._coefficients.items()}
        choice = [[h, f, penalty, whole] for (h, f), (penalty, whole) in self._choice.items()]
        features, arrays = self._features.state()
        return {"features": features, "choice": choice}, {**coefficients, **self._scaler.state(), **arrays}

    def _restore_point(self, facts: Mapping[str, Any], arrays: Arrays) -> None:
        zones, targets = len(self.zones), len(self.targets)
        self._scaler = Scaler.taken(arrays, zones, targets)
        self._features = Features.taken(self.window, facts["features"], arrays, self.fitted_frame())
        self._choice = {(h, f): (penalty, whole) for h, f, penalty, whole in facts["choice"]}
        numbers = self._design(self.fitted_frame(), np.zeros(1, np.int64), 0, 0).shape[-1]
        self._coefficients = {
            (h, f): arrays.take(f"coefficients.{h}.{f}", zones, numbers)
            for h in range(len(self.horizons))
            for f in range(targets)
        }

    @property
    def reach(self) -> int:
        """The window, or the earliest of the earlier days and weeks."""
        return self._features.reach(self.fitted_frame(), self.horizons)

    def _left_out(self, gram: np.ndarray, whole: bool) -> slice:
        """Features that are not used: none, or all but recent values and the one."""
        return slice(0, 0) if whole else slice(self.window, gram.shape[-1] - 1)

    def _origins_of(self, split: Split, part: Part) -> np.ndarray:
        return split.origins(part, self.horizons, self.window)

    def _point(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        point = np.empty((len(origins), len(self.zones), len(self.horizons), len(self.targets)), np.float32)
        for h, f in self._coefficients:
            for rows in self._pieces(len(origins)):
                design = self._design(panel, origins[rows], h, f)
                change = np.einsum("nzp,zp->nz", design, self._coefficients[h, f])
                point[rows, :, h, f] = design[..., self.window - 1] + change
        return self._scaler.unscaled_forecast(point)

    def _pieces(self, windows: int) -> list[slice]:
        step = max(1, _MOST // (len(self.zones) * (self.window + 80)))
        return [slice(i, i + step) for i in range(0, windows, step)]

    def _design(self, panel: Panel, origins: np.ndarray, h: int, f: int) -> np.ndarray:
        """[n, z, p]; a one comes last."""
        horizon, zones = self.horizons[h], len(self.zones)
        series = self._features.series(panel, origins, horizon, f)
        others = [g for g in range(len(self.targets)) if g != f]
        own = series.shape[-1] - len(others)
        order = np.array([f] * own + others)
        series = (series - self._scaler.mean[:, order]) / self._scaler.deviation[:, order]
        calendar = self._features.calendar(panel, origins, horizon)
        shared = np.broadcast_to(calendar[:, None], (len(origins), zones, calendar.shape[1]))
        ones = np.ones((len(origins), zones, 1), np.float32)
        further = self._features.further(panel, origins, horizon)
        return np.concatenate([series, shared, further, ones], axis=-1, dtype=np.float32)

    def _windows(self, panel: Panel, origins: np.ndarray, h: int, f: int) -> tuple[np.ndarray, np.ndarray]:
        """Features [n, z, p] and scaled changes from the last value [n, z]."""
        design = self._design(panel, origins, h, f)
        actual = panel.actual(origins, (self.horizons[h],))[:, :, 0, f]
        scaled: np.ndarray = (actual - self._scaler.mean[:, f]) / self._scaler.deviation[:, f]
        return design, scaled - design[..., self.window - 1]

    def _moments(self, panel: Panel, origins: np.ndarray, h: int, f: int) -> tuple[np.ndarray, np.ndarray]:
        """Of the windows with a known target, for each zone: [z, p, p], [z, p]."""
        gram: np.ndarray | float = 0.0
        moment: np.ndarray | float = 0.0
        for rows in self._pieces(len(origins)):
            design, truth = self._windows(panel, origins[rows], h, f)
            known = ~np.isnan(truth)
            design = (design * known[..., None]).transpose(1, 0, 2)  # [z, n, p]
            gram = gram + np.matmul(design.transpose(0, 2, 1), design).astype(np.float64)
            moment = moment + np.matmul(design.transpose(0, 2, 1), np.nan_to_num(truth).T[..., None])[..., 0]
        return np.asarray(gram), np.asarray(moment)

    def _errors(self, panel: Panel, origins: np.ndarray, h: int, f: int, tried: list[np.ndarray]) -> np.ndarray:
        """Sum of squared errors of each set of coefficients."""
        sums = np.zeros(len(tried))
        for rows in self._pieces(len(origins)):
            design, truth = self._windows(panel, origins[rows], h, f)
            for i, coefficients in enumerate(tried):
                sums[i] += np.nansum((np.einsum("nzp,zp->nz", design, coefficients) - truth) ** 2, dtype=np.float64)
        return sums


def _solve(gram: np.ndarray, moment: np.ndarray, penalty: float, left_out: slice) -> np.ndarray:
    """Coefficients [z, p]; the last, of the one, is not penalized (but kept from being undetermined)."""
    weight = np.full(gram.shape[-1], penalty)
    weight[-1] = 1e-3
    weight[left_out] = _NEVER
    coefficients: np.ndarray = np.linalg.solve(gram + np.diag(weight), moment[..., None])[..., 0]
    return coefficients.astype(np.float32)
