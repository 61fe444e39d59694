"""`metalore data`: the real data that MetaLore knows, whether yours is complete, and cities from real places."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metalore.cli._options import Override

app = typer.Typer(
    help="Name real data and its licence, check what you downloaded, and build cities from real places.",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", envvar="METALORE_DATA", help="Folder with what you downloaded."),
]
Column = "Column of --sites; found by its usual names if not given."


@app.callback()
def _data(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_sets()


@app.command("list")
def list_sets() -> None:
    """List the public sets: what they are, their licence, and how to get them.

    Nothing is downloaded: get the files yourself, and tell where they are with
    --data or in the environment variable METALORE_DATA.
    """
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    from metalore.telemetry.datasets import DATASETS

    console = Console()
    for known in DATASETS.values():
        console.print(Text(known.name, style="bold"))
        lines = (
            f"{known.what}; {known.shape}" + ("" if known.interval == "none" else f", every {known.interval}"),
            f"Licence: {known.licence}",
            f"From: {known.source}",
            f"Files: {', '.join(f'{known.folder}/{file.name}' for file in known.files)}",
        )
        for line in lines:
            console.print(Padding(Text(line), (0, 0, 0, 2)))


@app.command()
def check(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Sets; all if none is named.")] = None,
    data: Data = None,
) -> None:
    """Say whether sets are complete and readable, and if not, what is wrong (exit code 1).

    [bold]Examples[/bold]

        metalore data check --data ~/data

        metalore data check melbourne_sites melbourne_pedestrians --data ~/data
    """
    from metalore.telemetry.datasets import DATASETS, dataset
    from metalore.telemetry.datasets import check as findings_of

    folder = _given(data)
    wrong = False
    for known in [dataset(name) for name in names or DATASETS]:
        findings = findings_of(known, folder)
        wrong = wrong or bool(findings)
        typer.echo(f"{known.name}: {'complete' if not findings else f'{len(findings)} wrong'}")
        for finding in findings:
            typer.echo(f"  {finding}")
    if wrong:
        raise typer.Exit(1)


@app.command()
def city(
    place: Annotated[
        str | None, typer.Argument(metavar="[PLACE]", help="melbourne, from --data; or nothing, with --sites.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for city.toml, counts.csv and README.md.")
    ] = Path("my-city"),
    data: Data = None,
    sites: Annotated[Path | None, typer.Option("--sites", metavar="FILE", help="CSV: a row per site.")] = None,
    counts: Annotated[
        Path | None, typer.Option("--counts", metavar="FILE", help="CSV: hours down, counters across.")
    ] = None,
    counters: Annotated[
        Path | None, typer.Option("--counters", metavar="FILE", help="CSV: where the counters of --counts stand.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="First hour; default: that of the counts, or a Monday.")
    ] = None,
    days: Annotated[int, typer.Option("--days", metavar="N", min=1, help="Length of an episode.")] = 7,
    users: Annotated[int, typer.Option("--users", metavar="N", min=0, help="People, some of them elsewhere.")] = 2000,
    step_s: Annotated[float, typer.Option("--step-s", metavar="S", help="Length of a step.")] = 1.0,
    within: Annotated[
        float | None, typer.Option("--within", metavar="M", help="Leave out counters farther from every site.")
    ] = None,
    latitude: Annotated[str | None, typer.Option("--latitude", metavar="COLUMN", help=Column)] = None,
    longitude: Annotated[str | None, typer.Option("--longitude", metavar="COLUMN", help=Column)] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="COLUMN", help=Column)] = None,
    merge: Annotated[bool, typer.Option("--merge-duplicates", help="Make one site of several at one place.")] = False,
    settings: Override = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a city in --out.")] = False,
) -> None:
    """Build a city from real sites, with people who follow real counts.

    Each counter's people go to the nearest site; an hour in which a counter did
    not count is a gap and no number is made up for it. Without counts, people
    follow a daily rhythm: offices in the middle, homes around.

    [bold]Examples[/bold]

        metalore data city melbourne --data ~/data --from 2022-08-01 --out my-city

        metalore data city --sites sites.csv --users 500 --days 1

        metalore data city --sites s.csv --counts c.csv --counters where.csv
    """
    from metalore.cli._city import Sources, build, checked_place, hour_of, melbourne
    from metalore.cli._options import overrides_of
    from metalore.telemetry.places import PlacesError

    if checked_place(place, sites):
        sources = melbourne(_given(data))
    elif sites is not None:
        sources = Sources(sites, counts, counters, latitude, longitude, name)
    else:
        raise PlacesError("say melbourne, or give a table of sites with --sites")
    build(
        sources,
        out,
        start=None if start is None else hour_of(start),
        days=days,
        users=users,
        step_s=step_s,
        within_m=within,
        merge_duplicates=merge,
        changes=overrides_of(settings),
        force=force,
    )


def _given(data: Path | None) -> Path:
    from metalore.telemetry.datasets import TableError

    if data is None:
        raise TableError("say where the data is with --data DIR, or in the environment variable METALORE_DATA")
    return data
