"""`metalore zone`: a zone's server as a workload, and manifests of many."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Run a zone's workload, or write manifests of zones.")

Name = Annotated[str, typer.Option("--name", metavar="NAME", help="The zone's name, a label of its metrics.")]
Users = Annotated[float, typer.Option("--users", metavar="N", help="Users to begin with.")]
UsersFile = Annotated[
    Path | None, typer.Option("--users-file", metavar="FILE", help="Says how many users there are, read every second.")
]
Host = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Where it listens.")]
Port = Annotated[int, typer.Option("--port", metavar="P", help="0: any that is free.")]
BaseCores = Annotated[float, typer.Option("--base-cores", metavar="C", help="Without users.")]
BaseMb = Annotated[float, typer.Option("--base-mb", metavar="MB", help="Without users.")]
CoresPerUser = Annotated[float, typer.Option("--cores-per-user", metavar="C")]
MbPerUser = Annotated[float, typer.Option("--mb-per-user", metavar="MB")]
MbpsPerUser = Annotated[float, typer.Option("--mbps-per-user", metavar="MBPS", help="A number alone: no traffic.")]
MostCores = Annotated[float, typer.Option("--most-cores", metavar="C", help="Never takes more, whatever users need.")]
MostMb = Annotated[float, typer.Option("--most-mb", metavar="MB", help="Never holds more.")]
Zones = Annotated[int | None, typer.Option("--zones", metavar="N", help="So many equal zones.")]
From = Annotated[str | None, typer.Option("--from", metavar="SCENARIO", help="The zones of a scenario.")]
Cores = Annotated[float, typer.Option("--cores", metavar="C", help="Given to the largest zone at first.")]
MemoryMb = Annotated[float, typer.Option("--memory-mb", metavar="MB", help="Given to each zone at first.")]
Image = Annotated[str, typer.Option("--image", metavar="IMAGE")]
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Unset: print it.")]


@app.callback(invoke_without_command=True)
def zone(
    context: typer.Context,
    name: Name = "zone",
    users: Users = 0.0,
    users_file: UsersFile = None,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    base_cores: BaseCores = 0.02,
    base_mb: BaseMb = 128.0,
    cores_per_user: CoresPerUser = 0.01,
    mb_per_user: MbPerUser = 2.0,
    mbps_per_user: MbpsPerUser = 0.5,
    most_cores: MostCores = 1.0,
    most_mb: MostMb = 1024.0,
) -> None:
    """Burn the CPU and hold the memory that a zone's users would need.

    `PUT /users` with a number says how many there are; `/metrics` says what
    it uses.

    [bold]Examples[/bold]

        metalore zone --name arena --users 20

        curl -X PUT -d 50 http://127.0.0.1:8080/users

        metalore zone manifests --zones 3
    """
    if context.invoked_subcommand is not None:
        return
    from metalore.zone import Demand, Workload, ZoneServer, read_users

    demand = Demand(
        base_cores=base_cores,
        base_mb=base_mb,
        cores_per_user=cores_per_user,
        mb_per_user=mb_per_user,
        mbps_per_user=mbps_per_user,
        most_cores=most_cores,
        most_mb=most_mb,
    )
    workload = Workload(demand, read_users(str(users)))
    server = ZoneServer(name, workload, host, port, users_file)
    signal.signal(signal.SIGTERM, lambda *_: server.stop())
    typer.echo(f"zone {name} listens on http://{host}:{server.pages.port}")
    workload.start()
    try:
        server.run()
    finally:
        workload.stop()


@app.command("manifests")
def manifests(
    zones: Zones = None,
    source: From = None,
    cores: Cores = 0.25,
    memory_mb: MemoryMb = 256.0,
    image: Image = "metalore",
    out: Out = None,
) -> None:
    """Write Deployments and Services of zones as YAML.

    [bold]Examples[/bold]

        metalore zone manifests --zones 100 --out zones.yaml

        metalore zone manifests --from city-30
    """
    from metalore.autoscale.kubernetes import manifests as written
    from metalore.files import write_text
    from metalore.scenario import load

    if (zones is None) == (source is None):
        raise typer.BadParameter("give either --zones or --from")
    if source is not None:
        specs, said = written.of_scenario(load(source), cores, memory_mb), f"--from {source}"
    else:
        specs, said = written.numbered(zones or 0, cores, memory_mb), f"--zones {zones}"
    command = f"metalore zone manifests {said} --cores {cores:g} --memory-mb {memory_mb:g} --image {image}"
    text = f"# Written by: {command}\n{written.manifests(specs, image)}"
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_text(out, text)
