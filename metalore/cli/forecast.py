"""`metalore forecast`: compare, train, judge and use what forecasts the need of zones."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from metalore.cli._forecasting import Comparison, Results

app = typer.Typer(
    help="Forecast what each zone will need: compare forecasters, train one, judge it, and use it.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_SOURCE = "A recording, a Parquet file of telemetry, or a protocol: melbourne, los-loop or barcelona, with --data."
Source = Annotated[str, typer.Argument(metavar="DATA", help=_SOURCE)]
Sources = Annotated[list[str], typer.Argument(metavar="DATA...", help=_SOURCE)]
Kept = Annotated[Path, typer.Argument(metavar="FOLDER", help="A forecaster that `metalore forecast train` kept.")]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", envvar="METALORE_DATA", help="Folder with downloaded data of protocols."),
]
Target = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="COLUMN",
        help="What to forecast; repeatable. Default: cpu_cores, memory_mb, bandwidth_mbps, latency_ms.",
        show_default=False,
    ),
]
Input = Annotated[
    list[str] | None, typer.Option("--input", metavar="COLUMN", help="A further column to look at; repeatable.")
]
Horizons = Annotated[
    str | None, typer.Option("--horizons", metavar="H", help="Intervals ahead, 1,3,6,12 or 1-12. Default: 1,3,6,12.")
]
Window = Annotated[int | None, typer.Option("--window", metavar="N", help="Intervals that are seen. Default: 12.")]
Validation = Annotated[
    float | None, typer.Option("--validation", metavar="PART", help="Part of the data that chooses. Default: 0.1.")
]
Test = Annotated[float | None, typer.Option("--test", metavar="PART", help="Part that judges, the last. Default: 0.2.")]
Page = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Keep tables, figures and a page, index.html, there.")
]
Plot = Annotated[bool, typer.Option("--plot/--no-plot", help="With --out: draw figures and write index.html.")]


@app.command()
def compare(
    sources: Sources,
    forecaster: Annotated[
        list[str] | None,
        typer.Option(
            "--forecaster",
            metavar="NAME",
            help="A forecaster, with settings if wished: 'stgnn graph=false hubs=0'; repeatable. Default: last-value, "
            "ridge, stgnn.",
            show_default=False,
        ),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", help="Fits of what draws at random.")] = 1,
    horizons: Horizons = None,
    window: Window = None,
    target: Target = None,
    inputs: Input = None,
    validation: Validation = None,
    test: Test = None,
    data: Data = None,
    out: Page = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last finished fit in --out.")] = False,
    plot: Plot = True,
) -> None:
    """Compare forecasters on the same windows of the last part of data.

    Prints errors, quantile losses and coverage for each target and horizon,
    means over seeds. With --out also keeps scores.csv (a row per seed),
    summary.json, diagnosis, figures and a page, index.html. Results are written
    after each fit; what was interrupted goes on with --resume.

    [bold]Examples[/bold]

        metalore forecast compare run --forecaster ridge --forecaster gru

        metalore forecast compare run --forecaster stgnn --forecaster
        "stgnn graph=false hubs=0" --seeds 3 --out out

        metalore forecast compare melbourne --data ~/data --out out
    """
    from metalore.cli._experiment import say
    from metalore.cli._forecasting import FORECASTERS, Comparison, Results, Wanted, source_of
    from metalore.forecast import ForecastError

    if seeds < 1:
        raise ForecastError(f"--seeds is {seeds}; at least 1 is needed")
    wanted = Wanted(target, inputs, horizons, window, validation, test)
    names = tuple(" ".join(text.split()) for text in forecaster or FORECASTERS)
    comparison = Comparison(
        [source_of(text, data, wanted) for text in sources],
        names,
        range(seeds),
        _command(sources, names, seeds, wanted, data, out),
    )
    results = Results.begun(comparison, out, resume)
    _fit_all(comparison, results)
    _show(comparison, results)
    if out is not None:
        results.write_summary(comparison)
        if plot:
            _write_page(comparison, results, out)
        say(f"results are in {out}")


def _command(
    sources: Sequence[str],
    forecasters: Sequence[str],
    seeds: int,
    wanted: object,
    data: Path | None,
    out: Path | None,
) -> str:
    """What to type for the same results."""
    words = ["metalore", "forecast", "compare", *sources]
    for name in forecasters:
        words += ["--forecaster", name]
    words += ["--seeds", str(seeds)]
    for option, value in vars(wanted).items():
        for one in value if isinstance(value, list) else [value]:
            words += [] if one is None else [f"--{option}", str(one)]
    words += [] if data is None else ["--data", str(data)]
    words += [] if out is None else ["--out", str(out)]
    return shlex.join(words)


def _fit_all(comparison: Comparison, results: Results) -> None:
    """Fit what is not there yet; a bar if someone is watching, and a line for each fit."""
    from metalore.cli._experiment import progress_bar
    from metalore.forecast import Progress
    from metalore.forecast.diagnosis import diagnose
    from metalore.forecast.protocol import in_words

    with progress_bar() as bar:
        task = bar.add_task("", total=comparison.fits(), completed=len(results.finished))

        def watch(name: str, seed: int) -> Progress:
            before = len(results.finished)
            bar.update(task, completed=before, description=f"{name}, seed {seed}")

            def progress(done: int, of: int, words: str) -> None:
                bar.update(task, completed=before + done / of, description=f"{name}, seed {seed}: {words}")

            return progress

        for source in comparison.sources:
            for name, run in source.runs(comparison.forecasters, comparison.seeds, results.finished, watch):
                panel, split = source.panels[name]
                close = results.folder is not None and not results.has_diagnosis(name, run.forecaster)
                look = partial(diagnose, window=source.window if source.inside else 1, inside=source.inside)
                results.add(name, run, look(run.fitted, panel, split) if close else None)
                bar.console.print(f"{name}: {in_words(run)}", markup=False, highlight=False, soft_wrap=True)


def _show(comparison: Comparison, results: Results) -> None:
    """Print a table for each panel and target."""
    from metalore.cli._forecast_tables import print_scores
    from metalore.forecast import summary

    scores = summary(results.scores)
    for name, (_, panel, _) in comparison.panels.items():
        print_scores(name, scores[scores["panel"] == name], panel)


def _write_page(comparison: Comparison, results: Results, folder: Path) -> None:
    from metalore.cli._forecasting import forecasts_of, in_words, versions, write_page_of
    from metalore.forecast import summary

    scores = summary(results.scores)
    runs = [
        forecasts_of(name, panel, scores[scores["panel"] == name], results.diagnosis, in_words(split))
        for name, (_, panel, split) in comparison.panels.items()
    ]
    about = {"command": comparison.command, "versions": versions()}
    write_page_of(runs, f"Forecasts of {', '.join(comparison.panels)}", about, folder)


@app.command()
def train(
    source: Source,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the forecaster goes.")],
    forecaster: Annotated[str, typer.Option("--forecaster", metavar="NAME", help="Which.")] = "stgnn",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting, like hidden=32 or recipe.epochs=5; repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Of everything that is drawn at random.")] = 0,
    horizons: Horizons = None,
    window: Window = None,
    target: Target = None,
    inputs: Input = None,
    validation: Validation = None,
    test: Test = None,
    data: Data = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training that was cut off there.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the forecaster in --out.")] = False,
) -> None:
    """Train a forecaster and keep it in a folder of plain data.

    The folder gets a card with scores on the validation and test part. Ctrl-C
    keeps the last finished epoch of stgnn; the same command with --resume goes
    on exactly there.

    [bold]Examples[/bold]

        metalore forecast train run --out forecaster

        metalore forecast train run --set hidden=32 --set recipe.epochs=5
        --horizons 1-12 --target cpu_cores --out forecaster

        metalore forecast train melbourne --data ~/data --out forecaster
    """
    from metalore.cli._experiment import say
    from metalore.cli._forecast_tables import print_kept
    from metalore.cli._forecaster import Training
    from metalore.cli._forecasting import Wanted, source_of

    words = " ".join([forecaster, *(settings or [])])
    wanted = Wanted(target, inputs, horizons, window, validation, test)
    training = Training.of(source_of(source, data, wanted), words, seed)
    training.check(out, resume, force)
    scores = training.run(out)
    for part, own in scores.groupby("part", sort=False):
        print_kept(own, training.panel, f"{out}: the {part} part")
    say(f"the forecaster is in {out}")


@app.command()
def evaluate(
    folder: Kept,
    source: Source,
    data: Data = None,
    out: Page = None,
    plot: Plot = True,
) -> None:
    """Judge a kept forecaster: on the test part of its own data, or on all of other data.

    Data that begin with what it was trained on count as its own, and are judged
    from its test part on.

    [bold]Examples[/bold]

        metalore forecast evaluate forecaster run

        metalore forecast evaluate forecaster another-run --out out
    """
    from metalore.cli._experiment import make_ready, say
    from metalore.cli._forecast_tables import print_kept
    from metalore.cli._forecaster import KeptForecaster

    kept = KeptForecaster.load(folder)
    panel = kept.panel(source, data)
    split, judged = kept.judged(panel)
    if out is not None:
        make_ready(out)
    scores = kept.scores(panel, split)
    print_kept(scores, panel, f"{kept.name} on {judged}")
    if out is not None:
        words = ["metalore", "forecast", "evaluate", str(folder), source]
        words += [*(["--data", str(data)] if data else []), "--out", str(out)]
        kept.write(panel, split, scores, judged, out, shlex.join(words), plot)
        say(f"results are in {out}")


@app.command()
def predict(
    folder: Kept,
    source: Source,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="ROW|TIME",
            help="The last interval that is known: its number, its time in seconds (7200s), or its date and time where "
            "they are known (2022-08-01T12:00). Default: the last.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write all zones as .csv, .parquet or .json.")
    ] = None,
    data: Data = None,
) -> None:
    """Forecast every zone, horizon and target from one moment.

    Prints the median and the quantiles 0.1 and 0.9 for the first few zones;
    --out has all of them.

    [bold]Examples[/bold]

        metalore forecast predict forecaster run

        metalore forecast predict forecaster run --at 7200s --out forecast.csv
    """
    from metalore.cli._experiment import say
    from metalore.cli._forecast_tables import print_forecast
    from metalore.cli._forecaster import KeptForecaster, checked_table_file, row_of, write_table

    if out is not None:
        checked_table_file(out)
    kept = KeptForecaster.load(folder)
    panel = kept.panel(source, data)
    row = row_of(panel, at)
    table = kept.forecast(panel, row)
    print_forecast(table, panel, row)
    if out is not None:
        write_table(table, out)
        say(f"{len(table):,} rows are in {out}")


@app.command()
def card(
    folder: Kept,
    as_json: Annotated[bool, typer.Option("--json", help="The card as it is kept.")] = False,
) -> None:
    """Say what a kept forecaster is: what it forecasts, from what, how it was trained and how good it is.

    [bold]Examples[/bold]

        metalore forecast card forecaster

        metalore forecast card forecaster --json
    """
    import json

    from metalore.cli._forecast_tables import print_card
    from metalore.forecast import read_card

    content = read_card(folder)
    if as_json:
        typer.echo(json.dumps(content, indent=1, ensure_ascii=False))
    else:
        print_card(content, str(folder))
