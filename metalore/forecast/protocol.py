"""How forecasters are compared: the same windows, the same gaps, several seeds, one table.

Known results on public data are met by :func:`protocol`; see `docs/forecast.md`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metalore.forecast.errors import ForecastError, unknown
from metalore.forecast.forecaster import QUANTILES, Forecaster, Progress
from metalore.forecast.metrics import score
from metalore.forecast.panel import Panel
from metalore.forecast.registry import forecaster_of
from metalore.forecast.splits import Part, Split, check_horizons
from metalore.telemetry.graph import ZoneGraph

Say = Callable[[str], None]
_REPEATS = 20
"""One forecast is timed so often; the median counts."""


def evaluate(
    forecaster: Forecaster,
    panel: Panel,
    split: Split,
    part: Part = "test",
    *,
    groups: Mapping[str, Sequence[int]] | None = None,
    window: int = 1,
    inside: bool = False,
) -> pd.DataFrame:
    """Scores of a fitted forecaster, a row for each group of horizons and target.

    Args:
        forecaster: fitted.
        panel: series; what lies behind `split.end` is not looked at.
        split: parts.
        part: which is judged.
        groups: horizons whose errors are pooled, under a name; unset: each by itself. A group's windows are those whose
            targets up to its own last horizon lie in the part.
        window: intervals up to an origin that there must be; the same for all that are compared.
        inside: whether these must lie in the part.

    Returns:
        Columns `horizon`, `target` and those of :meth:`metalore.forecast.metrics.Scores.as_row`.

    Raises:
        ForecastError: a group pools what is not forecast, or the part has no window.
    """
    pooled = groups if groups is not None else {str(h): (h,) for h in forecaster.horizons}
    for name, wanted in pooled.items():
        if not set(wanted) <= set(forecaster.horizons):
            raise ForecastError(f"the group {name} pools horizons that {forecaster.name} does not forecast")
    context = window if inside else max(window, forecaster.window)
    own = {name: split.origins(part, sorted(wanted), context, inside) for name, wanted in pooled.items()}
    origins = np.unique(np.concatenate(list(own.values())))
    quantiles, mean = in_pieces(forecaster, panel.until(split.end), origins)
    actual = panel.actual(origins, forecaster.horizons, split.rows(part).stop)
    rows = []
    for name, wanted in pooled.items():
        rows_of_group = np.isin(origins, own[name])
        at = [forecaster.horizons.index(h) for h in wanted]
        truth, guess, expected = (found[rows_of_group][:, :, at] for found in (actual, quantiles, mean))
        for f, target in enumerate(panel.targets):
            scores = score(truth[..., f], guess[..., f, :], expected[..., f])
            rows.append({"horizon": name, "target": target, **scores.as_row()})
    return pd.DataFrame(rows)


def in_pieces(
    forecaster: Forecaster, panel: Panel, origins: np.ndarray, most: int = 4_000_000
) -> tuple[np.ndarray, np.ndarray]:
    """All quantiles and means, some at a time, so that memory stays small."""
    size = len(panel.zones) * len(forecaster.horizons) * len(panel.targets) * len(QUANTILES)
    step = max(1, most // size)
    pieces = [forecaster.predict_with_mean(panel, origins[i : i + step]) for i in range(0, len(origins), step)]
    return np.concatenate([piece[0] for piece in pieces]), np.concatenate([piece[1] for piece in pieces])


def inference_ms(forecaster: Forecaster, panel: Panel, split: Split, repeats: int = _REPEATS) -> float:
    """Median time of one forecast of all zones and horizons from one origin, ms of the wall clock."""
    known = panel.until(split.end)
    origins = np.linspace(split.test, split.end - 1, repeats + 1).astype(int)
    taken = []
    for origin in origins:
        begin = time.perf_counter()
        forecaster.predict(known, [int(origin)])
        taken.append(time.perf_counter() - begin)
    return float(np.median(taken[1:]) * 1e3)  # the first warms caches


Maker = Callable[[], Forecaster]
"""Makes a new forecaster, for one seed."""
Watch = Callable[[str, int], Progress]
"""Is told that a forecaster is fitted now, with which seed, and gives what is told how that goes."""


@dataclass(frozen=True, eq=False)
class Run:
    """One fit, judged.

    Attributes:
        forecaster, seed: what was fitted; the name as it was given.
        fitted: what came out.
        table: see :func:`compare`.
    """

    forecaster: str
    seed: int
    fitted: Forecaster
    table: pd.DataFrame


def compare(
    forecasters: Sequence[str] | Mapping[str, Maker],
    panel: Panel,
    split: Split,
    horizons: Sequence[int],
    seeds: Iterable[int] = (0,),
    *,
    say: Say | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Fit each forecaster once for each seed and judge all on the same windows of the test part.

    Args:
        forecasters, panel, split, horizons, seeds, options: see :func:`runs`.
        say: is told each result in a line.

    Returns:
        Columns `forecaster, seed, horizon, target`, the scores, `train_s` (wall clock) and `inference_ms`.
    """
    tables = []
    for run in runs(forecasters, panel, split, horizons, seeds, **options):
        tables.append(run.table)
        if say:
            say(in_words(run))
    return pd.concat(tables, ignore_index=True)


def in_words(run: Run) -> str:
    """A run in a line: how long it took, and its first score."""
    first = run.table.iloc[0]
    return (
        f"{run.forecaster}, seed {run.seed}: {first['train_s']:.1f} s; {first['target']} at {first['horizon']}: MAE "
        f"{first['mae']:.4g}, RMSE {first['rmse']:.4g}"
    )


def runs(
    forecasters: Sequence[str] | Mapping[str, Maker],
    panel: Panel,
    split: Split,
    horizons: Sequence[int],
    seeds: Iterable[int] = (0,),
    *,
    groups: Mapping[str, Sequence[int]] | None = None,
    window: int = 1,
    inside: bool = False,
    settings: Mapping[str, Any] | None = None,
    finished: Collection[tuple[str, int]] = (),
    watch: Watch | None = None,
) -> Iterator[Run]:
    """The runs of :func:`compare`, one by one.

    Args:
        forecasters: names of :data:`metalore.forecast.registry.NAMES`, with settings if wished, as in `gru hidden=32`;
            or names and what makes them.
        panel, split, horizons, groups, window, inside: see :func:`evaluate`.
        seeds: of the fits; what does not draw at random takes the first only.
        settings: for all that are made by name, such as `window`; what stands beside a name goes before.
        finished: forecasters and seeds to leave out.
        watch: see :data:`Watch`.
    """
    ahead, makers = check_horizons(horizons), _makers(forecasters, settings)
    context = window if inside else max([window, *(make().window for make in makers.values())])
    for name, seed in planned(makers, seeds):
        if (name, seed) in finished:
            continue
        begin = time.perf_counter()
        fitted = makers[name]().fit(panel, split, ahead, seed, watch and watch(name, seed))
        taken = time.perf_counter() - begin
        table = evaluate(fitted, panel, split, groups=groups, window=context, inside=inside)
        table.insert(0, "forecaster", name)
        table.insert(1, "seed", seed)
        table = table.assign(train_s=taken, inference_ms=inference_ms(fitted, panel, split))
        yield Run(name, seed, fitted, table)


def planned(makers: Mapping[str, Maker], seeds: Iterable[int]) -> list[tuple[str, int]]:
    """Which forecaster is fitted with which seeds, in order."""
    every = list(seeds)
    return [(name, seed) for name, make in makers.items() for seed in (every if make().seeded else every[:1])]


def _makers(
    forecasters: Sequence[str] | Mapping[str, Maker], settings: Mapping[str, Any] | None
) -> Mapping[str, Maker]:
    if isinstance(forecasters, Mapping):
        return forecasters
    return {text: partial(forecaster_of, text, settings) for text in forecasters}


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds, and the spread of MAE and RMSE (standard deviation; NaN for one seed).

    Returns:
        Columns `forecaster, horizon, target`, the scores, `mae_sd`, `rmse_sd`, `train_s`, `inference_ms`, `seeds`; in
        the order of the table.
    """
    keys = [name for name in ("panel", "forecaster", "horizon", "target") if name in table.columns]
    groups = table.drop(columns="seed").groupby(keys, sort=False)
    means = groups.mean()
    for name in ("mae", "rmse"):
        means[f"{name}_sd"] = groups[name].std()
    return means.assign(seeds=groups.size()).reset_index()


def ranked(means: pd.DataFrame) -> list[str]:
    """Forecasters of a summary of one panel, the best first.

    By the quantile loss relative to the least one, mean over horizons and targets, so that each counts the same.
    """
    loss = means.pivot_table(index="forecaster", columns=["target", "horizon"], values="quantile_loss", sort=False)
    relative = loss / loss.min().clip(lower=np.finfo(float).tiny)
    return [str(name) for name in relative.mean(axis=1).sort_values(kind="stable").index]


_NEAREST = 6
"""Neighbours of a pedestrian counter: those that are nearest."""

# -- named protocols ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Protocol:
    """A comparison as others have made it.

    Attributes:
        name: of the protocol.
        panels: panels and their splits, under a name; compared one by one.
        horizons, groups, inside: see :func:`evaluate`.
        window: intervals that learners see.
        known: published and measured results, in words.
    """

    name: str
    panels: Mapping[str, tuple[Panel, Split]]
    horizons: tuple[int, ...]
    groups: Mapping[str, tuple[int, ...]] | None = None
    inside: bool = False
    window: int = 1
    known: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def compare(
        self,
        forecasters: Sequence[str] | Mapping[str, Maker],
        seeds: Iterable[int] = (0,),
        say: Say | None = None,
    ) -> pd.DataFrame:
        """The table of :func:`compare` with a column `panel` before it."""
        tables = []
        for name, run in self.runs(forecasters, tuple(seeds)):
            tables.append(run.table)
            if say:
                say(f"{name}: {in_words(run)}")
        return pd.concat(tables, ignore_index=True)

    def fits(self, forecasters: Sequence[str] | Mapping[str, Maker], seeds: Sequence[int]) -> int:
        """How many runs there are."""
        return len(self.panels) * len(planned(_makers(forecasters, self._settings), seeds))

    @property
    def _settings(self) -> dict[str, Any]:
        return {"window": self.window, **self.settings}

    def runs(
        self,
        forecasters: Sequence[str] | Mapping[str, Maker],
        seeds: Sequence[int] = (0,),
        finished: Collection[tuple[str, str, int]] = (),
        watch: Watch | None = None,
    ) -> Iterator[tuple[str, Run]]:
        """Panels' names and their :func:`runs`, one by one; tables have a column `panel` before the others.

        Args:
            forecasters, seeds, watch: see :func:`runs`.
            finished: panels, forecasters and seeds to leave out.
        """
        for name, (panel, split) in self.panels.items():
            done = {(forecaster, seed) for known, forecaster, seed in finished if known == name}
            for run in runs(
                forecasters, panel, split, self.horizons, seeds, groups=self.groups,
                window=self.window if self.inside else 1, inside=self.inside,
                settings=self._settings, finished=done, watch=watch,
            ):  # fmt: skip
                run.table.insert(0, "panel", name)
                yield name, run


def protocol(name: str, data: Path | str) -> Protocol:
    """A named protocol on downloaded data.

    Args:
        name: one of :data:`PROTOCOLS`.
        data: the folder that `metalore data` speaks of.

    Raises:
        ForecastError: no such protocol.
        TableError: the data cannot be read.
    """
    if name not in PROTOCOLS:
        raise unknown("protocol", name, list(PROTOCOLS), "MetaLore")
    return PROTOCOLS[name](Path(data))


def _melbourne(data: Path) -> Protocol:
    from metalore.telemetry.datasets import dataset, folder_of, read_melbourne_pedestrians

    table = read_melbourne_pedestrians(folder_of(dataset("melbourne_pedestrians"), data))
    panel = Panel.of(table, lowest=np.zeros(1))
    assert panel.positions is not None
    panel = Panel.of(panel, graph=ZoneGraph.from_distances(panel.positions, panel.zones, _NEAREST))
    split = Split.by_parts(panel, validation=0.1, test=0.2)
    return Protocol("melbourne", {"melbourne": (panel, split)}, (1,), window=24, known=(
        "one hour ahead, MAE / RMSE / WAPE: last value 103.9 / 209.6 / 28.0 %, ridge per sensor 55.9 / 122.2 / 15.1 %"
    ))  # fmt: skip


def _los_loop(data: Path) -> Protocol:
    from metalore.telemetry.datasets import dataset, folder_of, read_los_loop

    panel = Panel.of(read_los_loop(folder_of(dataset("los_loop"), data)), lowest=np.zeros(1))
    parts = Split.by_parts(panel, validation=0.1, test=0.2)
    split = Split(parts.validation, parts.test, len(panel) - 1)  # the published windows stop one short of the end
    groups = {f"{5 * steps} min": tuple(range(1, steps + 1)) for steps in (3, 6, 9, 12)}
    return Protocol("los-loop", {"los-loop": (panel, split)}, tuple(range(1, 13)), groups, True, 12, known=(
        "errors pooled up to 15 / 30 / 45 / 60 min, RMSE: last value 5.54 / 6.70 / 7.63 / 8.46, T-GCN 5.1264 at 15 min"
    ))  # fmt: skip


BARCELONA_TARGETS = ("rnti_count", "rb_down", "rb_up", "down", "up")


def _barcelona(data: Path) -> Protocol:
    from metalore.telemetry.datasets import dataset, folder_of, read_barcelona

    panels = {}
    for cell, table in read_barcelona(folder_of(dataset("barcelona_lte"), data)).items():
        panel = Panel.of(table, BARCELONA_TARGETS, inputs=[x for x in table.features if x not in BARCELONA_TARGETS],
                         lowest=np.zeros(len(BARCELONA_TARGETS)))  # fmt: skip
        assert table.test_from is not None
        panels[cell] = (panel, Split(table.test_from - round(0.1 * len(panel)), table.test_from, len(panel)))
    return Protocol("barcelona", panels, (1,), None, True, 10, known=(
        "one step ahead, mean NRMSE of five targets: last value 0.8759 / 0.2681 / 0.8321"
    ))  # fmt: skip


def _city(data: Path) -> Protocol:
    folder = data / CITY
    if not (folder / "card.json").is_file():
        raise ForecastError(f"{folder} holds no recording; make one: metalore record {CITY} --days 28 --out {folder}")
    panel = Panel.of(folder, inputs=("active_users", "requests", "movement_rate"))
    return Protocol("city", {CITY: (panel, Split.by_parts(panel))}, tuple(range(1, 13)), window=12, known=(
        "recorded in the built-in city, 1 to 12 intervals ahead; nobody else has results"
    ))  # fmt: skip


CITY = "city-30"
"""The built-in city; its recording lies under this name."""

PROTOCOLS: dict[str, Callable[[Path], Protocol]] = {
    "melbourne": _melbourne,
    "los-loop": _los_loop,
    "barcelona": _barcelona,
    "city": _city,
}
