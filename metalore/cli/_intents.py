"""`--intents`: what is announced to the autoscaler, and who asks before it acts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import typer

from metalore.autoscale import Announced, AutoscaleError, Forecast, RaisedForecast, Ruling
from metalore.autoscale.announced import Span
from metalore.serve.autoscaling import StreamedForecast


def with_intents(
    path: Path | None,
    forecast: StreamedForecast | None,
    zones: Sequence[str],
    told: Callable[[Ruling], None] = lambda ruling: None,
) -> Forecast | None:
    """The forecast, raised by those intents of a file that are believed; every ruling is printed.

    Args:
        path: see :class:`metalore.intent.gate.IntentsFile`; None: nothing is announced.
        forecast: of the loop, if it has one.
        zones: of the loop.
        told: is handed every ruling as well.

    Raises:
        AutoscaleError: no forecast to raise, a zone that there is not, or an intent that ends before it begins.
        IntentError: the file is wrong.
        OSError: it cannot be read.
    """
    if path is None:
        return forecast
    if forecast is None:
        raise AutoscaleError(
            "--intents raise forecasts, and there are none; use --recommender forecast, a --forecaster"
        )
    from metalore.intent.gate import Gate

    gate, intents = Gate.read(path)
    edges = forecast.edges()
    announced = [
        Announced(f"intent {number} ({intent.policy})", gate.policies[intent.policy].changes, intent.from_s,
                  intent.until_s)
        for number, intent in enumerate(intents)
    ]  # fmt: skip
    by_name = {one.name: intent for one, intent in zip(announced, intents, strict=True)}

    def judge(one: Announced, possible: Mapping[str, Span]) -> Ruling:
        intent = by_name[one.name]
        verdict = gate.judge(intent.policy, intent.texts, possible, edges)
        return Ruling(verdict.accepted, verdict.reason)

    def tell(one: Announced, ruling: Ruling) -> None:
        typer.echo(f"{one.name} is {ruling.reason}")
        told(ruling)

    return RaisedForecast(forecast, announced, zones, judge, tell)
