"""`metalore scenarios`: what can be simulated, and files to say it in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from metalore.cli._options import Override, with_settings
from metalore.scenario import Scenario, ScenarioError, builtin_names, load

app = typer.Typer(
    no_args_is_help=True,
    help="List, show and check scenarios, and write templates for your own.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_HEADING = """A scenario of MetaLore, with the meaning of every setting.
Check it with: metalore scenarios check {file}
Simulate it:   metalore simulate {file}"""


@app.command("list")
def list_scenarios() -> None:
    """List the scenarios that come with the package."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("Scenario", no_wrap=True)
    for heading in ("Stations", "Users", "Sensors", "Steps"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("What it is", ratio=1)
    for name in builtin_names():
        s = load(name)
        sizes = (len(s.stations), s.users.count, s.sensors.count, s.max_steps)
        table.add_row(name, *(f"{size:,}" for size in sizes), s.description)
    Console().print(table)


@app.command()
def show(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="A built-in name or a TOML file.")] = "smart-city",
    settings: Override = None,
) -> None:
    """Print a scenario as TOML, with the meaning of every setting.

    [bold]Examples[/bold]

        metalore scenarios show smart-city-dynamic

        metalore scenarios show smart-city --set users.count=20
    """
    from metalore.cli._toml import commented_toml

    typer.echo(commented_toml(with_settings(scenario, settings)), nl=False)


@app.command()
def check(file: Annotated[str, typer.Argument(metavar="FILE", help="A TOML file.")]) -> None:
    """Say whether a file is a valid scenario, and if not, what is wrong with it (exit code 1)."""
    scenario = load(file)
    if scenario.users.mobility.kind == "trace":
        from metalore.world import World

        World(scenario)  # reads the trace
    typer.echo(f"{file} is a valid scenario")


@app.command()
def template(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; the name ends in .toml.")],
    source: Annotated[str, typer.Option("--from", metavar="SCENARIO", help="What to start from.")] = "smart-city",
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")] = False,
) -> None:
    """Write a scenario file with the meaning of every setting, to be edited.

    [bold]Examples[/bold]

        metalore scenarios template my-city.toml

        metalore scenarios template four.toml --from four-cells
    """
    from metalore.cli._toml import commented_toml
    from metalore.files import write_text

    if file.suffix != ".toml":
        raise ScenarioError(f"a scenario file's name ends in .toml, which {file} does not")
    if file.exists() and not force:
        raise ScenarioError(f"{file} exists; --force overwrites it")
    write_text(file, commented_toml(load(source), _HEADING.format(file=file)))
    typer.echo(f"wrote {file}")


@app.command()
def schema() -> None:
    """Print the JSON schema of scenarios, for editors and validators."""
    typer.echo(json.dumps(Scenario.model_json_schema(), indent=2))
