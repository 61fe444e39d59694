"""Gradient boosting, one model for all zones and horizons."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from metalore.forecast.errors import ForecastError
from metalore.forecast.features import Features
from metalore.forecast.forecaster import PointForecaster, Progress
from metalore.forecast.panel import DAY_S, WEEK_S, Panel
from metalore.forecast.scaling import Scaler
from metalore.forecast.splits import Part, Split


class Boosting(PointForecaster):
    """Histogram gradient boosting (Friedman 2001; Ke et al. 2017, LightGBM; here scikit-learn's) for each target.

    All zones and horizons are pooled: values are scaled by the zone's mean and deviation, and what is learned is the
    change from the last value. Beside the features of :class:`metalore.forecast.features.Features` it sees the horizon,
    the hour, the day of the week, what is announced, and each zone's scale. The number of trees is chosen by the
    squared error on the validation part.

    Args:
        window: recent values that it sees.
        trees: at most.
        leaves: of a tree.
        rate: learning rate.
        samples: windows times zones times horizons that it learns from at most, drawn by the seed.
    """

    name = "boosting"
    can_be_kept = False

    def __init__(
        self, window: int = 12, trees: int = 400, leaves: int = 31, rate: float = 0.08, samples: int = 300_000
    ) -> None:
        if min(window, trees, samples) < 1 or leaves < 2 or not rate > 0:
            raise ForecastError("boosting needs a window, trees, samples and a rate above 0, and leaves of at least 2")
        self.window, self.trees, self.leaves, self.rate, self.samples = window, trees, leaves, rate, samples

    def _fit_point(self, panel: Panel, split: Split, seed: int, progress: Progress | None) -> None:
        self._scaler = Scaler.fit(panel, split)
        self._features = Features.fit(panel, split.rows("train"), self.window)
        self._models = []
        for f in range(len(self.targets)):
            random = np.random.default_rng([seed, f])
            x, y = self._sample(panel, split, "train", f, self.samples, random)
            x_choose, y_choose = self._sample(panel, split, "validation", f, self.samples // 5, random)
            model = HistGradientBoostingRegressor(
                learning_rate=self.rate,
                max_iter=self.trees,
                max_leaf_nodes=self.leaves,
                early_stopping=True,
                n_iter_no_change=20,
                random_state=int(random.integers(2**31)),
            )
            self._models.append(model.fit(x, y, X_val=x_choose, y_val=y_choose))
            if progress:
                progress(f + 1, len(self.targets), f"{self.targets[f]}: {model.n_iter_} trees")

    def _point_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        raise ForecastError(
            f"{self.name} cannot be kept, because scikit-learn's trees are written with pickle only, which can run any "
            "code when it is read; fit it anew instead"
        )

    @property
    def reach(self) -> int:
        """The window, or the earliest of the earlier days and weeks."""
        return self._features.reach(self.fitted_frame(), self.horizons)

    def _sample(
        self, panel: Panel, split: Split, part: Part, f: int, most: int, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Features [n, p] and scaled changes [n] of so many windows, zones and horizons."""
        origins = split.origins(part, self.horizons, self.window)
        per_horizon = max(1, most // (len(self.horizons) * len(self.zones)))
        xs, ys = [], []
        for h in range(len(self.horizons)):
            chosen = np.sort(random.permutation(origins)[:per_horizon])
            truth = panel.actual(chosen, (self.horizons[h],))[:, :, 0, f]
            x = self._design(panel, chosen, h, f)
            y = (truth - self._scaler.mean[:, f]) / self._scaler.deviation[:, f] - x[..., 0]
            known = ~np.isnan(y)
            xs.append(x[known])
            ys.append(y[known])
        return np.concatenate(xs), np.concatenate(ys)

    def _point(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        point = np.empty((len(origins), len(self.zones), len(self.horizons), len(self.targets)), np.float32)
        for f, model in enumerate(self._models):  # all horizons in one call, which costs much however little it asks
            x = np.stack([self._design(panel, origins, h, f) for h in range(len(self.horizons))], axis=2)
            change = model.predict(x.reshape(-1, x.shape[-1])).reshape(x.shape[:3])
            point[..., f] = x[..., 0] + change
        return self._scaler.unscaled_forecast(point)

    def _design(self, panel: Panel, origins: np.ndarray, h: int, f: int) -> np.ndarray:
        """[n, z, p]; the last value comes first."""
        horizon, shape = self.horizons[h], (len(origins), len(self.zones))
        series = self._features.series(panel, origins, horizon, f)
        others = [g for g in range(len(self.targets)) if g != f]
        order = np.array([f] * (series.shape[-1] - len(others)) + others)
        series = (series - self._scaler.mean[:, order]) / self._scaler.deviation[:, order]
        rows = origins + horizon
        week = panel.week_s(rows) / WEEK_S * 7 if self._features.weekdays else np.zeros(len(rows))
        times = np.stack([np.full(len(rows), horizon), panel.week_s(rows) % DAY_S, week // 1], axis=1)
        zones = np.stack([self._scaler.mean[:, f], self._scaler.deviation[:, f]], axis=1)
        parts = [
            series[..., self.window - 1 :: -1][..., : self.window],
            series[..., self.window :],
            np.broadcast_to(times[:, None], (*shape, times.shape[1])),
            np.broadcast_to(zones[None], (*shape, zones.shape[1])),
            self._features.further(panel, origins, horizon),
        ]
        return np.concatenate(parts, axis=-1, dtype=np.float32)
