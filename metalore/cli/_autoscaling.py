"""What `metalore autoscale compare` runs, what it keeps of it, and its page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pandas as pd

from metalore.autoscale import AutoscaleError
from metalore.autoscale.comparison import MEASURES, Candidate, Plan, Result, Run, differences, summary
from metalore.cli._experiment import file_names, versions
from metalore.cli._resume import goes_on
from metalore.intervals import Estimate
from metalore.report import Autoscaling, autoscale_figures, autoscale_page, replacing, save, write_page, write_text
from metalore.serve.autoscaling import clock_s_of

RESULTS, REASONS, SUMMARY, SERIES = "results.csv", "reasons.csv", "summary.json", "series"
FORMAT = "metalore-autoscale-comparison-1"


@dataclass(frozen=True)
class Comparison:
    """What is compared.

    Attributes:
        plan: what is run.
        candidates: by what they are called.
        seeds: of cities.
        forecaster, policy: as a person names them.
        reference: whom differences are taken to.
        command: what to type to do it again.

    Raises:
        AutoscaleError: no seed.
    """

    plan: Plan
    candidates: Mapping[str, Candidate]
    seeds: range
    forecaster: str
    policy: str
    reference: str
    command: str

    def __post_init__(self) -> None:
        if not self.seeds:
            raise AutoscaleError(f"--seeds is {len(self.seeds)}; at least 1 is needed")

    def identity(self) -> dict[str, Any]:
        """What must be the same for results to go together."""
        plan = self.plan
        return {
            "scenario": plan.scenario.model_dump(mode="json"),
            "days": plan.days,
            "history_days": plan.history_days,
            "interval_s": plan.interval_s,
            "delay_s": plan.delay_s,
            "latency_target_ms": plan.latency_target_ms,
            "safety": {one.name: _plain(getattr(plan.safety, one.name)) for one in fields(plan.safety)},
            "policy": self.policy,
            "forecaster": self.forecaster,
            "recommenders": list(self.candidates),
            "first_seed": self.seeds[0],
        }


@dataclass
class Results:
    """What came out so far, and where it is kept.

    Attributes:
        comparison: what is compared.
        folder: where; None: nowhere.
        results: of the runs so far.
    """

    comparison: Comparison
    folder: Path | None
    results: list[Result] = field(default_factory=list)

    @classmethod
    def begun(cls, comparison: Comparison, folder: Path | None, resume: bool) -> Results:
        """Empty ones, or those in the folder if it is to go on.

        Raises:
            AutoscaleError: the folder holds results and shall not go on, or those of another comparison.
            OSError: nothing can be written there.
        """
        there = goes_on(
            folder, resume, SUMMARY, FORMAT, comparison.identity(), AutoscaleError,
            holds="a comparison of recommenders", other="a comparison with other",
        )  # fmt: skip
        if there and folder is not None:
            return cls(comparison, folder, _read(folder))
        results = cls(comparison, folder)
        if folder is not None:
            results.write_summary(finished=False)
        return results

    @property
    def finished(self) -> set[tuple[str, int]]:
        """Recommender and seed of what is there."""
        return {(result["recommender"], result["seed"]) for result in self.results}

    def add(self, run: Run) -> None:
        """Take up a run, and write everything; the results as the last, since they are what counts as finished."""
        self.results.append(run.result)
        if self.folder is None:
            return
        if run.result["seed"] == self.comparison.seeds[0]:
            with replacing(self._series()[run.result["recommender"]]) as temporary:
                pd.DataFrame(run.series).to_parquet(temporary, index=False)
        write_text(self.folder / REASONS, _reasons(self.results).to_csv(index=False))
        measured = [{name: value for name, value in one.items() if name != "codes"} for one in self.results]
        write_text(self.folder / RESULTS, pd.DataFrame(measured).to_csv(index=False))

    def _series(self) -> dict[str, Path]:
        """Where the series of each recommender is."""
        assert self.folder is not None
        names = list(self.comparison.candidates)
        files = [self.folder / SERIES / f"{name}.parquet" for name in file_names(names)]
        return dict(zip(names, files, strict=True))

    def write_summary(self, finished: bool = True) -> None:
        """`summary.json`: what was compared, with what, and what came out."""
        assert self.folder is not None
        means = summary(self.results)
        content = {
            "format": FORMAT,
            "finished": finished,
            "command": self.comparison.command,
            **self.comparison.identity(),
            "seeds": sorted({result["seed"] for result in self.results}),
            "versions": versions(),
            "measures": MEASURES,
            "summary": {name: {measure: _plain(row[measure]) for measure in MEASURES} for name, row in means.items()},
            "reasons": {f"{one['recommender']}, seed {one['seed']}": one["codes"] for one in self.results},
        }
        write_text(self.folder / SUMMARY, json.dumps(content, indent=1, allow_nan=False) + "\n")

    def differences(self) -> dict[str, dict[str, Estimate]]:
        """To the reference; nothing where it was not run, where nobody else was, or with one seed."""
        names, seeds = ({result[of] for result in self.results} for of in ("recommender", "seed"))
        reference = self.comparison.reference
        return differences(self.results, reference) if reference in names and len(names) > 1 < len(seeds) else {}

    def write_page(self) -> None:
        """`index.html`, and its figures below `figures`."""
        assert self.folder is not None
        compared = self._compared()
        figures = autoscale_figures(compared)
        for name, figure in figures.items():
            save(figure, self.folder / "figures" / f"{name}.svg")
        about = {"command": self.comparison.command, "versions": versions()}
        write_page(autoscale_page(compared, about, figures), self.folder / "index.html")

    def _compared(self) -> Autoscaling:
        plan, cities = self.comparison.plan, len({result["seed"] for result in self.results})
        series = {name: pd.read_parquet(path) for name, path in self._series().items()}
        stacked = pd.concat([table.assign(recommender=name) for name, table in series.items()], ignore_index=True)
        zones = stacked["zone"].nunique()
        return Autoscaling(
            city=plan.scenario.name,
            text=f"{len(series)} {'recommenders' if len(series) > 1 else 'recommender'} in {cities} "
            f"{'cities' if cities > 1 else 'city'} of {zones:,} zones, for {plan.days:g} days each, "
            f"after a history of {plan.history_days:g} days.",
            cities=cities,
            target_ms=plan.latency_target_ms,
            clock_s=clock_s_of(plan.scenario),
            reference=self.comparison.reference,
            meanings=MEASURES,
            summary=_stacked(summary(self.results)),
            differences=_stacked(self.differences()),
            reasons=_parts(_reasons(self.results), zones * plan.intervals * cities),
            series=stacked,
        )


def _read(folder: Path) -> list[Result]:
    if not (folder / RESULTS).exists():
        return []
    measured = pd.read_csv(folder / RESULTS, dtype=str)
    measured = measured.astype({"seed": int} | dict.fromkeys(MEASURES, float))  # to the last bit
    counted = pd.read_csv(folder / REASONS, dtype={"recommender": str, "code": str})
    codes: dict[tuple[str, int], dict[str, int]] = {}
    for recommender, seed, code, decisions in counted.itertuples(index=False):
        codes.setdefault((recommender, seed), {})[code] = decisions
    return [row | {"codes": codes.get((row["recommender"], row["seed"]), {})} for row in measured.to_dict("records")]


def _reasons(results: Sequence[Result]) -> pd.DataFrame:
    """How many decisions about a zone each reason had a part in: `recommender, seed, code, decisions`."""
    rows = [(one["recommender"], one["seed"], code, n) for one in results for code, n in one["codes"].items()]
    return pd.DataFrame(rows, columns=["recommender", "seed", "code", "decisions"])


def _parts(reasons: pd.DataFrame, decisions: int) -> pd.DataFrame:
    """Parts of all decisions: `recommender, code, part`."""
    parts = reasons.groupby(["recommender", "code"], sort=False)["decisions"].sum() / decisions
    return parts.rename("part").reset_index()


def _stacked(table: Mapping[str, Mapping[str, Estimate]]) -> pd.DataFrame:
    rows = [(name, measure, *estimate) for name, row in table.items() for measure, estimate in row.items()]
    return pd.DataFrame(rows, columns=["recommender", "measure", "mean", "low", "high"])


def _plain(value: Any) -> Any:
    """As JSON has it: what is no number, or has no bound, is null."""
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value
