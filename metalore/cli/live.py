"""`metalore live`: a city in the browser."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from metalore.serve.live.cluster import ClusterNews
    from metalore.serve.live.hub import LiveSettings
    from metalore.serve.live.wishes import Offer

ScenarioName = Annotated[str, typer.Option("--scenario", metavar="SCENARIO", help="A built-in name or a TOML file.")]
Split = Annotated[
    str, typer.Option("--split", metavar="NAME|DIR", help="Splits bandwidth and compute; also a trained policy.")
]
Recommender = Annotated[
    str, typer.Option("--recommender", metavar="NAME", help="Sizes zones, like hpa:target=0.6; static: nothing does.")
]
Forecaster = Annotated[
    str, typer.Option("--forecaster", metavar="DIR|NAME", help="A kept forecaster, or one that is fitted on the way.")
]
RivalSplit = Annotated[
    str | None, typer.Option("--rival-split", metavar="NAME|DIR", help="Of the same city beside it.")
]
RivalRecommender = Annotated[str | None, typer.Option("--rival-recommender", metavar="NAME", help="Likewise.")]
Speed = Annotated[float, typer.Option("--speed", metavar="X", help="Simulated seconds in a second.")]
Seed = Annotated[int, typer.Option("--seed", metavar="S", help="Of everything random.")]
Day = Annotated[int, typer.Option("--day", metavar="D", help="Day on which a city begins; 0 is Monday.")]
Hour = Annotated[float, typer.Option("--hour", metavar="H", help="Hour of that day.")]
Host = Annotated[str, typer.Option("--host", help="Address to listen on.")]
Port = Annotated[int, typer.Option("--port", help="Port to listen on; 0: a free one.")]
Open = Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")]
Paused = Annotated[bool, typer.Option("--paused", help="Wait for the play button.")]
WithCluster = Annotated[bool, typer.Option("--cluster", help="Also tell what changes in a Kubernetes namespace.")]
Namespace = Annotated[str | None, typer.Option("--namespace", metavar="NAME", help="Unset: the kubeconfig's.")]
KubeConfig = Annotated[str | None, typer.Option("--kubeconfig", metavar="FILE")]
ClusterContext = Annotated[str | None, typer.Option("--context", metavar="NAME", help="Of the kubeconfig.")]
_FILM = "A film of the page"
Record = Annotated[
    Path | None,
    typer.Option(
        "--record", metavar="FILE", help="Open no page, but film it: .gif, .mp4, .webm.", rich_help_panel=_FILM
    ),
]
Seconds = Annotated[
    float | None, typer.Option("--seconds", metavar="S", help="Of the film; default 20.", rich_help_panel=_FILM)
]
Fps = Annotated[
    float | None, typer.Option("--fps", metavar="F", help="Frames a second; default 20.", rich_help_panel=_FILM)
]
Size = Annotated[
    str | None, typer.Option("--size", metavar="WxH", help="In pixels; default 1280x720.", rich_help_panel=_FILM)
]
Theme = Annotated[
    str | None, typer.Option("--theme", metavar="dark|light", help="Of the page; default dark.", rich_help_panel=_FILM)
]


def live(
    scenario: ScenarioName = "city-30",
    split: Split = "backlog-proportional",
    recommender: Recommender = "forecast",
    forecaster: Forecaster = "last-value",
    rival_split: RivalSplit = None,
    rival_recommender: RivalRecommender = None,
    speed: Speed = 30.0,
    seed: Seed = 0,
    day: Day = 0,
    hour: Hour = 8.0,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    open_page: Open = True,
    paused: Paused = False,
    cluster: WithCluster = False,
    namespace: Namespace = None,
    kubeconfig: KubeConfig = None,
    cluster_context: ClusterContext = None,
    record: Record = None,
    seconds: Seconds = None,
    fps: Fps = None,
    size: Size = None,
    theme: Theme = None,
) -> None:
    """Show a city that lives, and steer it, in the browser.

    The page shows zones, users, sensors, queues, ages, forecasts, and every
    decision with its reason; it can be paused, sped up, disturbed, and run under
    two policies side by side. It needs nothing from outside this machine. With
    --cluster it also tells what a controller, or anybody else, changes in the zones
    of a Kubernetes namespace; there it only reads.

    With --record it is filmed instead, in a Chromium without a window, at a free
    port of 127.0.0.1; --host, --port and --open then have no say.

    [bold]Examples[/bold]

        metalore live

        metalore live --speed 60 --rival-recommender hpa

        metalore live --scenario my-city.toml --forecaster kept/stgnn --port 0 --no-open

        metalore live --cluster --namespace metalore

        metalore live --speed 60 --rival-recommender hpa --record live.mp4
    """
    from metalore.serve.live.application import PATH, create_live_app
    from metalore.serve.live.hub import LiveSettings
    from metalore.serve.server import listening, log_to_stderr, run_server
    from metalore.serve.settings import ServeSettings

    offer = offer_of(scenario, forecaster, split, rival_split, wishes={
        "seed": seed, "day": day, "hour": hour,
        "side": {"split": split, "recommender": recommender},
        "rival": _rival(split, recommender, rival_split, rival_recommender),
    })  # fmt: skip
    live_settings = LiveSettings(speed=speed, playing=not paused)
    said = {"seconds": seconds, "fps": fps, "size": size, "theme": theme}
    how: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    if record is not None:
        if cluster:
            raise typer.BadParameter("a film shows no cluster, whose time is another; leave --cluster or --record out")
        _record(offer, live_settings, record, how)
        return
    if how:
        raise typer.BadParameter(f"--{next(iter(how))} is of a film; add --record FILE, or leave it out")
    settings = ServeSettings(host=host, port=port)
    news = _cluster(cluster, namespace, kubeconfig, cluster_context)

    def ready(port: int) -> None:
        address = f"http://{'[' + host + ']' if ':' in host else host}:{port}{PATH}"
        typer.echo(f"The city is at {address} (Ctrl-C ends it)")
        if open_page:
            import webbrowser

            webbrowser.open(address)

    with listening(settings) as listener:
        log_to_stderr("WARNING")
        run_server(create_live_app(offer, live_settings, host, news), settings, listener, ready)


def _cluster(wanted: bool, namespace: str | None, kubeconfig: str | None, context: str | None) -> ClusterNews | None:
    """Whose changes are told."""
    if not wanted:
        if namespace or kubeconfig or context:
            raise typer.BadParameter("--namespace, --kubeconfig and --context say which one; add --cluster")
        return None
    from metalore.serve.live.cluster import follow

    return follow(namespace, kubeconfig, context)


def _record(offer: Offer, settings: LiveSettings, path: Path, how: dict[str, Any]) -> None:
    """Film the page, and say what came of it."""
    from metalore.cli._experiment import say
    from metalore.cli._film import Take, film, size_of
    from metalore.cli.record import progress_bar

    if "size" in how:
        how["size"] = size_of(how["size"])
    take = Take(path, **how)
    began = time.perf_counter()
    with progress_bar("frames") as progress:
        film(offer, settings, take, progress)
    took, megabytes = time.perf_counter() - began, take.path.stat().st_size / 1e6
    say(f"{take.frames:,} frames of {take.pixels}, {megabytes:,.1f} MB, in {took:,.1f} s; the film is in {take.path}")


def _rival(
    split: str, recommender: str, rival_split: str | None, rival_recommender: str | None
) -> dict[str, str] | None:
    if rival_split is None and rival_recommender is None:
        return None
    return {"split": rival_split or split, "recommender": rival_recommender or recommender}


def offer_of(scenario: str, forecaster: str, *splits: str | None, wishes: dict[str, Any]) -> Offer:
    """What is built in, and what the options name: a scenario's file, a kept forecaster, trained policies.

    Raises:
        ValueError: one of them cannot be.
    """
    from metalore.serve.live.wishes import Offer, Wishes

    known = Offer()
    if forecaster not in known.forecasters and not Path(forecaster).is_dir():
        from metalore.forecast.registry import forecaster_of

        forecaster_of(forecaster)  # refuses now what cannot be
    trained = {text: _trained(text) for text in splits if text is not None and Path(text).is_dir()}
    offer = Offer(
        scenarios={scenario: scenario} | dict(known.scenarios),
        forecasters={forecaster: forecaster} | dict(known.forecasters),
        splits=trained,
        wishes=Wishes(scenario=scenario, forecaster=forecaster, **wishes),
    )
    offer.check(offer.wishes)
    return offer


def _trained(folder: str) -> Any:
    from metalore.learn import load_policy

    return lambda scenario: load_policy(folder, scenario)
