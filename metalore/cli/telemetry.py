"""`metalore telemetry`: what a recording says, on screen and as a page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

    from metalore.report import Telemetry
    from metalore.scenario import Scenario
    from metalore.telemetry import Recording, ZoneGraph

Source = Annotated[Path, typer.Argument(metavar="DIR", help="A recording, or a Parquet file of the same form.")]
GraphFile = Annotated[
    Path | None, typer.Option("--graph", metavar="FILE", help="The graph of zones, if it is no recording.")
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Where the page and figures go; unset: into the recording.")
]
Plot = Annotated[bool, typer.Option("--plot/--no-plot", help="Draw figures and write index.html.")]

_PRINTED = ("active_users", "latency_ms", "packet_loss", "cpu_cores", "cpu_load", "memory_mb", "bandwidth_mbps")


def telemetry(source: Source, graph: GraphFile = None, out: Out = None, plot: Plot = True) -> None:
    """Summarize a recording: a table of zones, and a page with plots.

    Reads what `metalore record` wrote, finished or not, or any table of the
    same form. The page, index.html, shows map, days, weeks, how zones go
    together, and latencies.

    [bold]Examples[/bold]

        metalore telemetry run

        metalore telemetry run --out report

        metalore telemetry counts.parquet --graph graph.json --out report
    """
    from metalore.cli._experiment import say
    from metalore.telemetry import Recording, ZoneGraph, read_telemetry
    from metalore.telemetry.recording import CARD, GRAPH
    from metalore.telemetry.summary import per_zone

    recording = Recording.load(source) if (source / CARD).exists() else None
    table = read_telemetry(source)
    zones = per_zone(table)
    _print_zones(zones, f"{source}: means over {_span(table)}")
    if not plot:
        return
    place = graph or (source / GRAPH if source.is_dir() else None)
    if place is None:
        say("a page needs to know where zones lie: give --graph FILE")
        return
    folder = out or (source if source.is_dir() else source.parent)
    about = _about(recording, source, table, folder)
    _write(_tables(recording, table, zones, ZoneGraph.load(place), about), folder)
    say(f"the page is {folder / 'index.html'}")


def _span(table: pd.DataFrame) -> str:
    intervals, zones = table["time_s"].nunique(), table["zone"].nunique()
    return f"{intervals:,} intervals of {zones:,} zones"


def _print_zones(zones: pd.DataFrame, title: str) -> None:
    from metalore.cli._tables import print_table
    from metalore.report import busiest, zone_table
    from metalore.report.telemetry_page import LISTED

    names = set(busiest(zones, LISTED))
    shown = zones.loc[[zone in names for zone in zones.index], list(_PRINTED)]
    print_table(zone_table(shown, title), title)
    if len(shown) < len(zones):
        typer.echo(f"the {len(shown)} zones with the most users of {len(zones):,}")


def _about(recording: Recording | None, source: Path, table: pd.DataFrame, folder: Path) -> dict[str, Any]:
    from metalore.telemetry import interval_of

    interval = interval_of(table) or 0.0
    about: dict[str, Any] = {
        "name": source.stem,
        "duration_s": float(table["time_s"].max() - table["time_s"].min()) + interval,
        "interval_s": interval,
        "start_hour_of_week": 0.0,
    }
    if recording is None:
        return about
    scenario, card = recording.scenario, recording.card
    if scenario.city is not None:
        about["start_hour_of_week"] = 24.0 * scenario.city.start_day + scenario.city.start_hour
    return about | {
        "name": scenario.name,
        "description": scenario.description,
        "interval_s": card["interval_s"],
        "seed": card["seed"],
        "policy": card["policy"],
        "versions": card["versions"],
        "command": shlex.join(["metalore", "telemetry", str(source), "--out", str(folder)]),
    }


def _tables(
    recording: Recording | None, table: pd.DataFrame, zones: pd.DataFrame, graph: ZoneGraph, about: dict[str, Any]
) -> Telemetry:
    """Everything that the page shows."""
    import pandas as pd

    from metalore.report import Telemetry
    from metalore.telemetry import as_array
    from metalore.telemetry.schema import schema_rows
    from metalore.telemetry.summary import (
        correlation,
        correlation_by_distance,
        correlation_by_hops,
        totals,
        weekly_profile,
    )

    known = {name: i for i, name in enumerate(graph.zones)}
    missing = [name for name in zones.index if name not in known]
    if missing:
        raise ValueError(f"the graph knows no zone {missing[0]!r}")
    order = [known[name] for name in zones.index]
    places, distances, hops = graph.positions_m[order], graph.distances_m(), graph.hops()
    row = {old: new for new, old in enumerate(order)}
    edges = [
        (row[s], row[t], w)
        for s, t, w in zip(graph.source.tolist(), graph.target.tolist(), graph.weight.tolist(), strict=True)
        if s in row and t in row
    ]
    start = about["start_hour_of_week"]
    day, hour = int(start // 24), start % 24
    together = correlation(table, start_day=day, start_hour=hour)
    times, names, users = as_array(table, ["active_users"])
    weight = "completed" if "completed" in table.columns else "requests"
    square = (slice(None), order)
    return Telemetry(
        about=about,
        zones=zones.assign(x_m=places[:, 0], y_m=places[:, 1]),
        edges=pd.DataFrame(edges, columns=["source", "target", "weight"]),
        totals=totals(table),
        users=pd.DataFrame(users[..., 0], index=times, columns=names),
        week=weekly_profile(table, "active_users", day, hour),
        correlation=together,
        distances_m=distances[order][square],
        by_distance=correlation_by_distance(together, distances[order][square]),
        by_hops=correlation_by_hops(together, hops[order][square]),
        latency=table[["zone", "latency_ms", "jitter_ms", "packet_loss", weight]].rename(columns={weight: "weight"}),
        columns=[column for column in schema_rows() if column[0] in table.columns],
        events=_events(recording.scenario, about["duration_s"]) if recording else (),
    )


def _events(scenario: Scenario, duration_s: float) -> list[dict[str, Any]]:
    """Times of planned events within the recording, in order."""
    found = []
    for event in scenario.city.events if scenario.city else ():
        begins = event.from_s
        while begins < duration_s:
            end = begins + event.duration_s
            found.append({"name": event.name, "zone": event.zone, "from_s": begins, "to_s": end})
            if event.every_s is None:
                break
            begins += event.every_s
    return sorted(found, key=lambda event: (event["from_s"], event["zone"]))


def _write(run: Telemetry, folder: Path) -> None:
    from metalore.report import save, telemetry_figures, telemetry_page, write_page

    figures = telemetry_figures(run)
    for name, figure in figures.items():
        save(figure, folder / "figures" / f"{name}.svg")
    write_page(telemetry_page(run, f"Telemetry of {run.about['name']}", figures), folder / "index.html")
