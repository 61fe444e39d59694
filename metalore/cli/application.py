"""The subcommands of `metalore`, and what they have in common."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from metalore import __version__
from metalore.cli import (
    agents,
    autoscale,
    data,
    demo,
    doctor,
    evaluate,
    forecast,
    intent,
    live,
    record,
    reproduce,
    scenarios,
    search,
    serve,
    simulate,
    telemetry,
    train,
    zone,
)
from metalore.cli._errors import sentence_of


class Commands(TyperGroup):
    """Subcommands whose expected errors are one sentence and exit code 1, and Ctrl-C exit code 130."""

    def invoke(self, ctx: Any) -> Any:
        """Run the subcommand."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("metalore: interrupted; files that were complete are kept", err=True)
            raise typer.Exit(130) from None
        except Exception as error:
            sentence = sentence_of(error)
            if sentence is None:
                raise
            typer.echo(f"metalore: {sentence}", err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"metalore {__version__}")
        raise typer.Exit


@app.callback()
def _metalore(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Keep a digital twin in step with the physical world over scarce edge resources."""


app.command("simulate")(simulate.simulate)
app.add_typer(scenarios.app, name="scenarios")
app.add_typer(data.app, name="data")
app.command("search")(search.search)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("reproduce")(reproduce.reproduce)
app.command("record")(record.record)
app.command("telemetry")(telemetry.telemetry)
app.add_typer(forecast.app, name="forecast")
app.add_typer(intent.app, name="intent")
app.add_typer(autoscale.app, name="autoscale")
app.add_typer(agents.app, name="agents")
app.command("serve")(serve.serve)
app.command("live")(live.live)
app.add_typer(zone.app, name="zone")
