"""`metalore train`: train policies by name, several seeds if wished, with checkpoints and resume."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metalore.cli._options import Override, Threads, with_settings

if TYPE_CHECKING:
    from metalore.learn import TrainResult, TrainSettings
    from metalore.scenario import Scenario

Source = Annotated[str, typer.Argument(metavar="SCENARIO", help="A built-in name or a TOML file.")]
Preset = Annotated[
    str, typer.Option("--preset", metavar="NAME", help="default (PPO), multi-cell, published, a2c, sac, td3 or dqn.")
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where policies go, a folder seed-N for each seed.")]
Seeds = Annotated[list[int] | None, typer.Option("--seed", metavar="N", help="Repeatable. Default: 111.")]
Steps = Annotated[int | None, typer.Option("--steps", metavar="N", help="Environment steps; default: the preset's.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--train",
        metavar="NAME=VALUE",
        help="A training setting, say patience=5 or hyperparameters.learning_rate=1e-4; repeatable.",
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the checkpoints in --out.")]
Checkpoint = Annotated[int, typer.Option("--checkpoint-every", metavar="N", help="Steps between checkpoints; 0: none.")]
TensorBoard = Annotated[bool, typer.Option("--tensorboard", help="Write TensorBoard logs into each folder.")]


def train(
    scenario: Source = "smart-city",
    preset: Preset = "default",
    out: Out = Path("runs/policy"),
    seed: Seeds = None,
    steps: Steps = None,
    settings: Override = None,
    training: Set = None,
    resume: Resume = False,
    checkpoint_every: Checkpoint = 200_000,
    tensorboard: TensorBoard = False,
    threads: Threads = 1,
) -> None:
    """Train a policy on a scenario and keep it in a folder of plain data.

    The best policy by evaluation (on seeds of its own) is kept. Ctrl-C keeps
    the last checkpoint; the same command with --resume goes on exactly there.

    Examples:

      metalore train smart-city --out runs/ppo --seed 111 --seed 222

      metalore train smart-city --preset dqn --steps 100000 --out runs/dqn

      metalore train four-cells --preset multi-cell --out runs/shared

      metalore evaluate runs/ppo/seed-111 fixed:0.25,0.3
    """
    if tensorboard:
        import_module("tensorboard")  # its absence is told before anything is trained

    world = with_settings(scenario, settings)
    chosen = _settings(preset, steps, training)
    results = [
        _train_one(world, chosen, out / f"seed-{one}", one, resume, checkpoint_every, tensorboard, threads)
        for one in seed or [111]
    ]
    _show(results)


def _settings(preset: str, steps: int | None, changes: list[str] | None) -> TrainSettings:
    """The preset with what was changed.

    Raises:
        ValueError: an unknown preset or setting, or a value it cannot have.
    """
    import json

    from pydantic import ValidationError

    from metalore.learn import PRESETS, TrainError, TrainSettings
    from metalore.scenario import parse_override

    if preset not in PRESETS:
        raise TrainError(f"unknown preset {preset!r}; known are {', '.join(PRESETS)}")
    values: dict[str, Any] = PRESETS[preset].model_dump(mode="json")
    if steps is not None:
        values["steps"] = steps
    for text in changes or []:
        path, value = parse_override(text)
        *parents, name = path.split(".")
        here = values
        for parent in parents:
            here = here.get(parent, {}) if isinstance(here, dict) else {}
        here[name] = value
    try:
        return TrainSettings.model_validate_json(json.dumps(values))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"])) or "training settings"
        raise TrainError(f"{where} is {problem['input']!r}: {problem['msg'].lower()}") from None


def _train_one(
    scenario: Scenario,
    settings: TrainSettings,
    folder: Path,
    seed: int,
    resume: bool,
    checkpoint_every: int,
    tensorboard: bool,
    threads: int,
) -> TrainResult:
    from metalore.cli._experiment import progress_bar
    from metalore.learn import train as run

    with progress_bar() as bar:
        task = bar.add_task(f"seed {seed}", total=settings.steps)

        def progress(done: int, evaluated: dict[str, float] | None) -> None:
            bar.update(task, completed=done)
            if evaluated is not None:
                bar.update(task, description=f"seed {seed}, return {evaluated['return']:.0f}")

        return run(
            scenario,
            settings,
            folder,
            seed=seed,
            resume=resume,
            threads=threads,
            tensorboard=tensorboard,
            checkpoint_every=checkpoint_every,
            progress=progress,
        )


def _show(results: list[TrainResult]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("policy", "steps", "best evaluation", "seconds")
    for result in results:
        table.add_row(str(result.folder), f"{result.steps:,}", f"{result.best_return:.1f}", f"{result.wall_s:.1f}")
    Console().print(table)
