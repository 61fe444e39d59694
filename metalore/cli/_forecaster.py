"""One forecaster: training it, and using one that was kept."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metalore.cli._experiment import make_ready, progress_bar
from metalore.cli._forecasting import (
    SCORES,
    SUMMARY,
    forecasts_of,
    only_panel,
    panel_of,
    rows_of,
    units_of,
    versions,
    write_page_of,
)
from metalore.forecast import (
    QUANTILES,
    Forecaster,
    ForecastError,
    Panel,
    Part,
    Protocol,
    Split,
    load_forecaster,
    read_card,
    save_forecaster,
)
from metalore.forecast import evaluate as evaluate_forecaster
from metalore.forecast.checkpoint import CARD, WEIGHTS
from metalore.forecast.diagnosis import diagnose
from metalore.forecast.protocol import inference_ms
from metalore.forecast.registry import forecaster_of
from metalore.report import clock, replacing, write_text

UNFINISHED = "training.safetensors"
"""Where :mod:`metalore.forecast.resume` keeps training."""
_JUDGED: tuple[Part, ...] = ("validation", "test")
_TABLES = (".csv", ".parquet", ".json")


@dataclass(frozen=True)
class Training:
    """What is to be trained.

    Attributes:
        source: data and how forecasts of them are judged; one panel.
        forecaster: not fitted yet.
        seed: of the fit.
    """

    source: Protocol
    forecaster: Forecaster
    seed: int

    @classmethod
    def of(cls, source: Protocol, words: str, seed: int) -> Training:
        """Of a name with settings; see :func:`metalore.forecast.registry.parse_forecaster`."""
        only_panel(source)
        return cls(source, forecaster_of(words, {"window": source.window, **source.settings}), seed)

    @property
    def panel(self) -> Panel:
        """What it is trained on."""
        return only_panel(self.source)[0]

    def check(self, folder: Path, resume: bool, force: bool) -> None:
        """Find out whether the forecaster can be kept there before it takes time to train it.

        Raises:
            ForecastError: it cannot.
            OSError: nothing can be written there.
        """
        name = self.forecaster.name
        if not self.forecaster.can_be_kept:
            raise ForecastError(f"{name} cannot be kept in a folder of plain data; `compare` can still judge it")
        there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        if there - {CARD, WEIGHTS, UNFINISHED}:
            raise ForecastError(f"{folder} is there and holds no forecaster; choose a new or empty folder")
        if resume and not self.forecaster.resumes:
            raise ForecastError(f"{name} is fitted in one go; leave out --resume")
        if resume and UNFINISHED not in there:
            raise ForecastError(f"{folder} holds no training that was cut off; start without --resume")
        if not resume and not force and UNFINISHED in there:
            raise ForecastError(f"{folder} holds a training that was cut off; --resume goes on, --force begins anew")
        if not resume and not force and there:
            raise ForecastError(f"{folder} holds a forecaster already; --force replaces it")
        make_ready(folder)
        if force and not resume:
            (folder / UNFINISHED).unlink(missing_ok=True)

    def run(self, folder: Path) -> pd.DataFrame:
        """Train, with a line for each epoch; keep it; scores on the validation and test part, in a column `part`."""
        panel, split = only_panel(self.source)
        keep = folder if self.forecaster.resumes else None
        with progress_bar() as bar:
            task = bar.add_task(self.forecaster.name, total=None)

            def progress(done: int, of: int, words: str) -> None:
                bar.update(task, completed=done, total=of)
                bar.console.print(f"{done} of {of}: {words}", markup=False, highlight=False, soft_wrap=True)

            self.forecaster.fit(panel, split, self.source.horizons, self.seed, progress, keep)
        scores = pd.concat([self._scores(part) for part in _JUDGED], ignore_index=True)
        save_forecaster(self.forecaster, folder, panel=panel, split=split, scores=scores)
        return scores

    def _scores(self, part: Part) -> pd.DataFrame:
        source, (panel, split) = self.source, only_panel(self.source)
        window = source.window if source.inside else 1
        table = evaluate_forecaster(
            self.forecaster, panel, split, part, groups=source.groups, window=window, inside=source.inside
        )
        table.insert(0, "part", part)
        return table


@dataclass(frozen=True)
class KeptForecaster:
    """A forecaster that was kept.

    Attributes:
        name: its folder's.
        forecaster: fitted.
        card: see :func:`metalore.forecast.read_card`.
    """

    name: str
    forecaster: Forecaster
    card: Mapping[str, Any]

    @classmethod
    def load(cls, folder: Path) -> KeptForecaster:
        """From its folder.

        Raises:
            ForecastError: there is none, or it is damaged.
        """
        return cls(folder.resolve().name, load_forecaster(folder), read_card(folder))

    def panel(self, source: str, data: Path | None) -> Panel:
        """Its columns of data, with its zones in its order and its graph where they have none, unless it serves any."""
        bound = self.forecaster.same_zones
        zones, frame = self.forecaster.zones if bound else None, self.forecaster.fitted_frame()
        panel = panel_of(source, data, self.forecaster.targets, self.card["inputs"], zones)
        if bound and panel.edges is None:
            return panel.updated(edges=frame.edges, positions=frame.positions)
        return panel

    def judged(self, panel: Panel) -> tuple[Split, str]:
        """What is judged of data, as the test part of a split, and in words.

        Data that begin with those it was trained on are judged from their test part on, others as a whole but for the
        first two intervals.
        """
        before, length = Split(**self.card["split"]), self.card["panel"]["intervals"]
        if length <= len(panel) and panel.until(length).fingerprint() == self.card["panel"]["fingerprint"]:
            end = before.end if length == len(panel) else len(panel)
            return Split(before.validation, before.test, end), f"the last {end - before.test:,} of its own data"
        return Split(1, 2, len(panel)), f"all {len(panel):,} of other data"

    def scores(self, panel: Panel, split: Split) -> pd.DataFrame:
        """As :func:`metalore.forecast.evaluate` gives them, with `forecaster` and `inference_ms`."""
        table = evaluate_forecaster(self.forecaster, panel, split)
        table.insert(0, "forecaster", self.name)
        first = max(split.test, self.forecaster.window - 1)
        timed = Split(split.validation, first, split.end)
        return table.assign(inference_ms=inference_ms(self.forecaster, panel, timed))

    def write(
        self, panel: Panel, split: Split, scores: pd.DataFrame, judged: str, folder: Path, command: str, plot: bool
    ) -> None:
        """`scores.csv`, `summary.json`, and with `plot` figures and `index.html`."""
        write_text(folder / SCORES, scores.to_csv(index=False))
        about = {"command": command, "versions": versions()}
        content = about | {
            "judged": judged,
            "fingerprint": panel.fingerprint(),
            "split": split.as_dict(),
            "weights_sha256": self.card["weights_sha256"],
            "results": rows_of(scores),
        }
        write_text(folder / SUMMARY, json.dumps(content, indent=1, allow_nan=False) + "\n")
        if plot:
            tables = diagnose(self.forecaster, panel, split).tables()
            named = {name: table.assign(forecaster=self.name) for name, table in tables.items()}
            run = forecasts_of(panel.name, panel, scores, named, f"Judged on {judged}.")
            write_page_of([run], f"{self.name} on {panel.name}", about, folder)

    def forecast(self, panel: Panel, row: int) -> pd.DataFrame:
        """Quantiles of every zone, horizon and target from one interval on.

        Returns:
            Columns `zone, horizon, time_s`, `time` where dates are known, `target, unit, q10, q50, q90`.

        Raises:
            ForecastError: there is less history than it looks back over.
        """
        window = self.forecaster.window
        if row < window - 1:
            raise ForecastError(f"{self.name} looks back over {window} intervals and there are {row + 1} up to then; "
                                f"the first interval to forecast from is {window - 1}")  # fmt: skip
        quantiles = self.forecaster.predict(panel.until(row + 1), [row])[0]
        zones, horizons, targets, _ = quantiles.shape
        z, h, f = (index.ravel() for index in np.indices((zones, horizons, targets)))
        ahead = np.asarray(self.forecaster.horizons)[h]
        seconds = ahead * panel.interval_s
        units = units_of(panel.targets)
        table = {"zone": np.asarray(panel.zones)[z], "horizon": ahead, "time_s": panel.times[row] + seconds}
        if panel.start is not None:
            table["time"] = date_of(panel, row) + seconds.astype("timedelta64[s]")
        table |= {"target": np.asarray(panel.targets)[f]}
        table |= {"unit": np.array([units.get(name, "") for name in panel.targets])[f]}
        table |= {f"q{round(100 * level)}": quantiles[z, h, f, q] for q, level in enumerate(QUANTILES)}
        return pd.DataFrame(table)


# -- moments -----------------------------------------------------------------------------------------------------------


def row_of(panel: Panel, at: str | None) -> int:
    """The interval that a person means: a number, seconds as in `7200s`, a date and time, or None for the last.

    Raises:
        ForecastError: it means none of the panel's.
    """
    if at is None:
        return len(panel) - 1
    if re.fullmatch(r"-?\d+", at):
        row = int(at) + (len(panel) if at.startswith("-") else 0)
        if not 0 <= row < len(panel):
            raise ForecastError(f"--at is {at}; {panel.name} has the intervals 0 to {len(panel) - 1}")
        return row
    seconds = _seconds(panel, at)
    row = int(np.abs(panel.times - seconds).argmin())
    if abs(panel.times[row] - seconds) > 1e-6 * panel.interval_s:
        raise ForecastError(f"no interval of {panel.name} begins at {at}; the nearest begins at {moment(panel, row)}")
    return row


def _seconds(panel: Panel, at: str) -> float:
    if number := re.fullmatch(r"(\d+(?:\.\d*)?)s", at):
        return float(number[1])
    try:
        wanted = np.datetime64(at, "s")
    except ValueError:
        raise ForecastError(f"--at is {at!r}; it looks like 120, 7200s or 2022-08-01T12:00") from None
    if panel.start is None:
        raise ForecastError(f"{panel.name} has no dates; name an interval, like 120, or its time, like 7200s")
    return float(panel.times[0] + (wanted - panel.start.astype("datetime64[s]")) / np.timedelta64(1, "s"))


def date_of(panel: Panel, row: int) -> np.datetime64:
    """Date and time at which an interval begins, where they are known."""
    assert panel.start is not None
    date: np.datetime64 = panel.start.astype("datetime64[s]") + np.timedelta64(round(row * panel.interval_s), "s")
    return date


def moment(panel: Panel, row: int) -> str:
    """When an interval begins, in words."""
    if panel.start is not None:
        return str(date_of(panel, row))
    return f"{panel.times[row]:g} s ({clock(float(panel.week_s(np.array(row))))})"


# -- files -------------------------------------------------------------------------------------------------------------


def checked_table_file(path: Path) -> None:
    """Find out whether a table can be written under that name.

    Raises:
        ForecastError: its ending is none that is known.
    """
    if path.suffix not in _TABLES:
        raise ForecastError(f"{path} has no known ending; a forecast is written as {', '.join(_TABLES)}")


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as its name's ending says, whole or not at all."""
    with replacing(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        elif path.suffix == ".csv":
            table.to_csv(temporary, index=False)
        else:
            table.to_json(temporary, orient="records", indent=1, date_format="iso", force_ascii=False)
