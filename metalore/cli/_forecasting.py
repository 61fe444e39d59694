"""What the subcommands of `metalore forecast` share: data, what is compared, and what is kept of it."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from metalore.cli._experiment import file_names
from metalore.cli._resume import goes_on
from metalore.forecast import PROTOCOLS, ForecastError, Panel, Protocol, Split, protocol, summary
from metalore.forecast.checkpoint import versions as package_versions
from metalore.forecast.diagnosis import Diagnosis, place_tables
from metalore.forecast.protocol import Run, ranked
from metalore.forecast.splits import check_horizons
from metalore.report import Forecasts, forecast_figures, forecast_page, replacing, save, write_page, write_text
from metalore.telemetry.schema import COLUMNS, column

DEFAULT_HORIZONS = "1,3,6,12"
DEFAULT_WINDOW = 12
FORECASTERS = ("last-value", "ridge", "stgnn")
"""What is compared unless something else is named."""
SCORES, SUMMARY, DIAGNOSIS = "scores.csv", "summary.json", "diagnosis"

_TEXTS = ("panel", "forecaster", "horizon", "target")
_RUN = ["panel", "forecaster", "seed"]
"""Columns that name a fit."""


@dataclass(frozen=True)
class Wanted:
    """What is to be forecast of data, and how they are divided, by option; None: the usual, or what a protocol says."""

    target: Sequence[str] | None = None
    input: Sequence[str] | None = None
    horizons: str | None = None
    window: int | None = None
    validation: float | None = None
    test: float | None = None

    def given(self) -> list[str]:
        """Options that were used."""
        return [name for name, value in vars(self).items() if value is not None]


# -- data --------------------------------------------------------------------------------------------------------------


def source_of(text: str, data: Path | None, wanted: Wanted) -> Protocol:
    """How forecasts of data are judged: a recording or a table as wanted, or a named protocol as it is.

    Raises:
        ForecastError: there is nothing of that name, or a protocol is asked for something else than it says.
    """
    if _is_protocol(text):
        if wanted.given():
            raise ForecastError(f"the protocol {text} says itself what is forecast; leave out --{wanted.given()[0]}")
        return _protocol(text, data)
    panel = panel_of(text, data, wanted.target, wanted.input or ())
    share = {"validation": wanted.validation, "test": wanted.test}
    split = Split.by_parts(panel, **{name: part for name, part in share.items() if part is not None})
    window = DEFAULT_WINDOW if wanted.window is None else wanted.window
    return Protocol(text, {text: (panel, split)}, horizons_of(wanted.horizons or DEFAULT_HORIZONS), window=window)


def panel_of(
    text: str,
    data: Path | None,
    targets: Sequence[str] | None = None,
    inputs: Sequence[str] = (),
    zones: Sequence[str] | None = None,
) -> Panel:
    """The panel of a recording, a table, or a named protocol that has one panel (`barcelona:ElBorn` is one of three).

    Raises:
        ForecastError: there is nothing of that name, or a panel refuses it.
    """
    if _is_protocol(text):
        return Panel.of(only_panel(_protocol(text, data))[0], targets, inputs=inputs, zones=zones)
    if not Path(text).exists():
        raise ForecastError(f"there is no telemetry at {text}, and no protocol of that name; protocols are {_KNOWN}")
    return Panel.of(text, targets, inputs=inputs, zones=zones)


_KNOWN = ", ".join(PROTOCOLS)


def _is_protocol(text: str) -> bool:
    return text.partition(":")[0] in PROTOCOLS and not Path(text).exists()


def _protocol(text: str, data: Path | None) -> Protocol:
    name, _, part = text.partition(":")
    if data is None:
        raise ForecastError(
            f"say where the data of {name} is with --data DIR, or in the environment variable METALORE_DATA"
        )
    found = protocol(name, data)
    if part and part not in found.panels:
        raise ForecastError(f"{name} has no panel {part!r}; it has {', '.join(found.panels)}")
    return replace(found, panels={part: found.panels[part]}) if part else found


def only_panel(source: Protocol) -> tuple[Panel, Split]:
    """The one panel.

    Raises:
        ForecastError: there are several.
    """
    if len(source.panels) > 1:
        choices = ", ".join(f"{source.name}:{name}" for name in source.panels)
        raise ForecastError(f"{source.name} has several panels; choose one: {choices}")
    return next(iter(source.panels.values()))


def horizons_of(text: str) -> tuple[int, ...]:
    """`1,3,6,12` or `1-12` as numbers of intervals.

    Raises:
        ForecastError: it is neither.
    """
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ForecastError(f"--horizons is {text!r}; it looks like 1,3,6,12 or 1-12, in intervals")
        found += range(int(first), int(last) + 1) if dash else [int(first)]
    return check_horizons(found)


def units_of(targets: Sequence[str]) -> dict[str, str]:
    """Units that telemetry's schema knows."""
    return {name: column(name).unit for name in targets if name in COLUMNS}


def versions() -> dict[str, str]:
    """What made the numbers."""
    return package_versions() | {"platform": f"{platform.system()} {platform.machine()}"}


# -- comparisons -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """What is compared.

    Attributes:
        sources: data, and how forecasts of them are judged.
        forecasters: names, with settings if wished.
        seeds: of the fits.
        command: what to type to do it again.
    """

    sources: Sequence[Protocol]
    forecasters: Sequence[str]
    seeds: Sequence[int]
    command: str

    def __post_init__(self) -> None:
        names = [name for source in self.sources for name in source.panels]
        for given in (names, self.forecasters):
            twice = next((name for name in given if list(given).count(name) > 1), None)
            if twice is not None:
                raise ForecastError(f"{twice} is there twice; name it once")
        self.fits()  # makes each forecaster once, which refuses what there is not

    def fits(self) -> int:
        """How many there are."""
        return sum(source.fits(self.forecasters, self.seeds) for source in self.sources)

    @property
    def panels(self) -> dict[str, tuple[Protocol, Panel, Split]]:
        """All panels by name, each with what it comes from and its split."""
        return {name: (source, *both) for source in self.sources for name, both in source.panels.items()}

    def identity(self) -> dict[str, Any]:
        """What must be the same for results to go together."""
        panels = {
            name: {
                "fingerprint": panel.fingerprint(),
                "intervals": len(panel),
                "interval_s": panel.interval_s,
                "zones": len(panel.zones),
                "targets": list(panel.targets),
                "inputs": list(panel.inputs),
                "split": split.as_dict(),
                "horizons": list(source.horizons),
                "window": source.window,
            }
            for name, (source, panel, split) in self.panels.items()
        }
        return {"panels": panels, "forecasters": list(self.forecasters)}


FORMAT = "metalore-forecast-comparison-1"


@dataclass
class Results:
    """What came out so far, and where it is kept.

    Attributes:
        folder: where; None: nowhere.
        scores: `panel, forecaster, seed, horizon, target` and all scores, a row per seed.
        diagnosis: tables of :class:`metalore.forecast.diagnosis.Diagnosis` by name, with `panel, forecaster` before,
            of the first seed.
    """

    folder: Path | None
    scores: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=_RUN))
    diagnosis: dict[str, pd.DataFrame] = field(default_factory=dict)

    @classmethod
    def begun(cls, comparison: Comparison, folder: Path | None, resume: bool) -> Results:
        """Empty ones, or those in the folder if it is to go on.

        Raises:
            ForecastError: the folder holds results and shall not go on, or those of another comparison.
            OSError: nothing can be written there.
        """
        there = goes_on(
            folder, resume, SUMMARY, FORMAT, comparison.identity(), ForecastError, holds="a comparison of forecasts",
            other="a comparison of other",
        )  # fmt: skip
        if there and folder is not None:
            return cls._read(folder)
        results = cls(folder)
        if folder is not None:
            results.write_summary(comparison, finished=False)
        return results

    @classmethod
    def _read(cls, folder: Path) -> Results:
        if not (folder / SCORES).exists():
            return cls(folder)
        scores = read_scores(folder / SCORES)
        tables = {path.stem: pd.read_parquet(path) for path in sorted((folder / DIAGNOSIS).glob("*.parquet"))}
        done = set(scores[["panel", "forecaster"]].itertuples(index=False, name=None))
        whole = {  # what was diagnosed and not scored before an interruption comes again
            name: table[[pair in done for pair in zip(table["panel"], table["forecaster"], strict=True)]]
            for name, table in tables.items()
        }
        return cls(folder, scores, whole)

    @property
    def finished(self) -> set[tuple[str, str, int]]:
        """Panel, forecaster and seed of what is there."""
        return set(self.scores[_RUN].itertuples(index=False, name=None))

    def add(self, panel: str, run: Run, diagnosis: Diagnosis | None) -> None:
        """Take up a run, and write everything; the scores as the last, since they are what counts as finished."""
        if diagnosis is not None:
            for name, table in diagnosis.tables().items():
                named = table.assign(panel=panel, forecaster=run.forecaster)
                self.diagnosis[name] = _below(self.diagnosis.get(name), named)
        self.scores = _below(self.scores, run.table)
        if self.folder is not None:
            for name, table in self.diagnosis.items():
                with replacing(self.folder / DIAGNOSIS / f"{name}.parquet") as temporary:
                    table.to_parquet(temporary, index=False)
            write_text(self.folder / SCORES, self.scores.to_csv(index=False))

    def has_diagnosis(self, panel: str, forecaster: str) -> bool:
        """Whether a forecaster was looked at closely."""
        table = self.diagnosis.get("calibration")
        return table is not None and bool(((table["panel"] == panel) & (table["forecaster"] == forecaster)).any())

    def write_summary(self, comparison: Comparison, finished: bool = True) -> None:
        """`summary.json`: what was compared, with what, and what came out."""
        assert self.folder is not None
        content = {
            "format": FORMAT,
            "finished": finished,
            "command": comparison.command,
            **comparison.identity(),
            "seeds": list(comparison.seeds),
            "versions": versions(),
            "seconds": self._seconds(),
            "results": rows_of(summary(self.scores)) if len(self.scores) else [],
        }
        write_text(self.folder / SUMMARY, json.dumps(content, indent=1, allow_nan=False) + "\n")

    def _seconds(self) -> dict[str, dict[str, float]]:
        """Of all fits, by panel and forecaster."""
        if self.scores.empty:
            return {}
        total = self.scores.drop_duplicates(_RUN).groupby(_RUN[:2], sort=False)["train_s"].sum()
        return {
            panel: {name: round(seconds, 3) for (_, name), seconds in own.items()}
            for panel, own in total.groupby(level=0, sort=False)
        }


def read_scores(path: Path) -> pd.DataFrame:
    """A table of scores as it was written: numbers to the last bit, and texts such as NA as texts."""
    scores = pd.read_csv(path, dtype=str, keep_default_na=False)
    numbers = [name for name in scores.columns if name not in _TEXTS]
    scores[numbers] = scores[numbers].replace("", "nan").astype(float)
    return scores.astype({name: int for name in ("seed", "count") if name in numbers})


def _below(above: pd.DataFrame | None, table: pd.DataFrame) -> pd.DataFrame:
    if above is None or above.empty:
        return table.reset_index(drop=True)
    return pd.concat([above, table], ignore_index=True)


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """As JSON has it: a score over nothing is null."""
    return [
        {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()}
        for row in table.to_dict("records")
    ]


# -- for the page ------------------------------------------------------------------------------------------------------


def forecasts_of(
    name: str, panel: Panel, scores: pd.DataFrame, diagnosis: Mapping[str, pd.DataFrame], judged: str
) -> Forecasts:
    """What the report needs of a panel.

    Args:
        name, panel: which.
        scores: as :func:`metalore.forecast.summary` gives them.
        diagnosis: tables of it by name, with `forecaster`.
        judged: what was done with it, in a sentence.
    """
    zones, edges = place_tables(panel)
    own = {table: rows[rows["panel"] == name] if "panel" in rows else rows for table, rows in diagnosis.items()}
    return Forecasts(
        name=name,
        text=f"{len(panel.zones):,} zones, {len(panel):,} intervals of {panel.interval_s:g} s. {judged}",
        interval_s=panel.interval_s,
        clock_s=panel.clock_s - float(panel.times[0]),
        units=units_of(panel.targets),
        scores=scores,
        ranking=ranked(scores),
        zones=zones,
        edges=edges,
        **own,
    )


def in_words(split: Split) -> str:
    """How data were divided."""
    return (
        f"Learned from the first {split.validation:,}, chosen by the next {split.test - split.validation:,}, judged on "
        f"the last {split.end - split.test:,}."
    )


def write_page_of(runs: Sequence[Forecasts], title: str, about: Mapping[str, Any], folder: Path) -> None:
    """`index.html`, and the figures of each panel below `figures`."""
    figures = [forecast_figures(run) for run in runs]
    for own, name in zip(figures, file_names([run.name for run in runs]), strict=True):
        for figure_name, figure in own.items():
            save(figure, folder / "figures" / name / f"{figure_name}.svg")
    write_page(forecast_page(runs, title, about, figures), folder / "index.html")
