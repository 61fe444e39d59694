"""`metalore intent`: what people see, say and do, as embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Turn images, speech and motions into texts and embeddings: make media, train encoders, judge and use them.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_AHEAD_S, _SHOWS = 3600.0, ("match=sport",)
_DATA = "A made library, or the folder of PASCAL VOC, LibriSpeech or KIT-ML."
Data = Annotated[Path, typer.Option("--data", metavar="FOLDER", help=_DATA)]
Captions = Annotated[
    Path | None, typer.Option("--captions", metavar="FILE", help="Sentences for images of VOC, as JSON.")
]
Encoders = Annotated[
    Path | None,
    typer.Option("--encoders", metavar="FOLDER", help="For fusion: holds trained encoders image, speech, motion."),
]
Seed = Annotated[int, typer.Option("--seed", metavar="S", help="Of everything that is drawn at random.")]
Table = Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the table goes: .parquet or .csv.")]


@app.command()
def library(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to; it is made.")],
    items: Annotated[int, typer.Option("--items", metavar="N", help="How many.")] = 1200,
    modality: Annotated[
        list[str] | None,
        typer.Option("--modality", metavar="NAME", help="image, speech or motion; repeatable. Default: all."),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Make a library of drawn images, spoken sentences and motions.

    Each item shows one activity of the built-in city. Speech needs espeak-ng.

    [bold]Examples[/bold]

        metalore intent library media

        metalore intent library media --items 300 --modality image
    """
    from metalore.cli._experiment import progress_bar, say
    from metalore.intent.library import MODALITIES, make_library

    with progress_bar() as bar:
        task = bar.add_task("making media", total=items)
        make_library(folder, items, seed, modality or MODALITIES, lambda done, _: bar.update(task, completed=done))
    say(f"{items:,} items are in {folder}")


@app.command()
def train(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="image, speech, motion or fusion.")],
    data: Data,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the encoder goes.")],
    epochs: Annotated[int | None, typer.Option("--epochs", metavar="N", help="Passes over the training part.")] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NAME",
            help="Weights to begin with: small (at random), a name of the hub, or a folder. Default: small for a made "
            "library and for motions, else the published ones.",
            show_default=False,
        ),
    ] = None,
    encoders: Encoders = None,
    captions: Captions = None,
    demand: Annotated[
        Path | None,
        typer.Option("--demand", metavar="RECORDING", help="For fusion: of a city, whose demand is expected as well."),
    ] = None,
    horizon: Annotated[int, typer.Option("--horizon", metavar="N", help="With --demand: so many intervals later.")] = 5,
    seed: Seed = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training that was cut off there.")] = False,
) -> None:
    """Train an encoder, or the fusion of what three give, and keep it.

    Each finished epoch is kept; what was interrupted goes on with --resume and
    ends as if it had not been. Uses a GPU if there is one.

    [bold]Examples[/bold]

        metalore intent train image --data media --out kept/image

        metalore intent train speech --data ~/LibriSpeech --out kept/speech

        metalore intent train fusion --data media --encoders kept
        --out kept/fusion

        metalore intent train fusion --data media --encoders kept
        --out kept/fusion --demand run --horizon 10
    """
    from metalore.cli._experiment import say
    from metalore.cli._intent import Later, print_scores, train_on

    later = None if demand is None else Later(demand, horizon, _AHEAD_S, _SHOWS)
    scores = train_on(what, data, out, epochs, start, encoders, captions, seed, resume, later)
    print_scores(scores, f"{out}: the validation part")
    say(f"the trained weights are in {out}")


@app.command()
def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="An encoder or a fusion that was trained.")],
    data: Data,
    part: Annotated[str, typer.Option("--part", metavar="NAME", help="train, validation or test.")] = "test",
    encoders: Encoders = None,
    captions: Captions = None,
) -> None:
    """Judge an encoder on a part of data.

    Images: BLEU, chrF and how often a caption names the activity. Speech: word
    and character error rate. Motions: R-precision and multimodal distance.
    Fusion: retrieval and a linear probe, beside concatenation and each alone.

    [bold]Examples[/bold]

        metalore intent evaluate kept/image --data media

        metalore intent evaluate kept/fusion --data media --encoders kept
    """
    from metalore.cli._intent import evaluate_on, print_scores

    print_scores(evaluate_on(folder, data, part, encoders, captions), f"{folder}: the {part} part of {data}")


@app.command()
def attach(
    recording: Annotated[Path, typer.Argument(metavar="RECORDING", help="Of `metalore record`.")],
    data: Annotated[Path, typer.Option("--data", metavar="FOLDER", help="A made library.")],
    encoders: Annotated[
        Path, typer.Option("--encoders", metavar="FOLDER", help="Holds trained encoders and their fusion.")
    ],
    ahead: Annotated[
        float, typer.Option("--ahead", metavar="S", help="Events are announced so long before.")
    ] = _AHEAD_S,
    shows: Annotated[
        list[str] | None,
        typer.Option("--shows", metavar="EVENT=ACTIVITY", help="What an event looks like; repeatable.  [match=sport]"),
    ] = None,
    unseen: Annotated[
        float, typer.Option("--unseen", metavar="PART", help="The last part shows items that nothing was trained on.")
    ] = 0.2,
    seed: Seed = 0,
) -> None:
    """Let zones of a recorded city show media, and keep their embeddings.

    In each interval a zone shows an item of its activity, or of an event from
    its announcement to its end. `metalore forecast` takes the embeddings as the
    zones' intent from then on.

    [bold]Examples[/bold]

        metalore intent attach run --data media --encoders kept

        metalore intent attach run --data media --encoders kept --ahead 1800
        --shows match=sport --shows "market day=quiet"
    """
    from metalore.cli._experiment import say
    from metalore.cli._intent import attach_media

    say(attach_media(recording, data, encoders, ahead, shows or _SHOWS, unseen, seed))


@app.command()
def encode(
    sources: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files, or folders of them.")],
    encoder: Annotated[Path, typer.Option("--encoder", metavar="FOLDER", help="That was trained.")],
    out: Table,
    texts: Annotated[bool, typer.Option("--texts/--no-texts", help="Also captions, transcripts, descriptions.")] = True,
) -> None:
    """Embed and describe images, speech or motions, as the encoder does.

    Of folders, files of the encoder's kind are taken. What cannot be read is
    named, the rest is done, and the command ends with 1. The table has a row per
    file: item (its name without ending), file, modality, text, e0, e1, ...

    [bold]Examples[/bold]

        metalore intent encode media/images --encoder kept/image
        --out image.parquet

        metalore intent encode a.wav b.flac --encoder kept/speech --out s.csv
    """
    from metalore.cli._experiment import say
    from metalore.cli._intent import encode_files

    done, errors = encode_files(sources, encoder, out, texts)
    for error in errors:
        say(f"metalore: {error}")
    say(f"{done:,} rows are in {out}")
    if errors:
        raise typer.Exit(1)


@app.command()
def fuse(
    tables: Annotated[list[Path], typer.Argument(metavar="TABLE...", help="Of `metalore intent encode`.")],
    fusion: Annotated[Path, typer.Option("--fusion", metavar="FOLDER", help="That was trained.")],
    out: Table,
) -> None:
    """Fuse embeddings of items into one of 1024 numbers each.

    Rows of the same item belong together; what an item lacks is missing.

    [bold]Examples[/bold]

        metalore intent fuse image.parquet speech.parquet --fusion kept/fusion
        --out fused.parquet
    """
    from metalore.cli._experiment import say
    from metalore.cli._intent import fuse_tables

    say(f"{fuse_tables(tables, fusion, out):,} rows are in {out}")
