"""Media, encoders and tables of embeddings: what `metalore intent` does with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from metalore.cli._experiment import progress_bar, say
from metalore.cli._tables import print_table
from metalore.files import replacing
from metalore.intent.encoders import ENDINGS, FUSION, Encoders, embed_each, embed_library, load_encoder
from metalore.intent.errors import IntentError
from metalore.intent.library import INDEX, MODALITIES, PARTS, load_library
from metalore.report import Table

_TABLES = (".parquet", ".csv")
_LIBRARY = "a made library"
_LAYOUTS: Mapping[str, tuple[str, ...]] = {
    _LIBRARY: (INDEX,),
    "PASCAL VOC": ("JPEGImages", "VOC2012/JPEGImages", "VOCdevkit/VOC2012/JPEGImages"),
    "LibriSpeech": ("LibriSpeech", "train-clean-100", "dev-clean", "test-clean"),
    "KIT-ML": ("new_joints", "*_mmm.xml"),
}
"""By what each kind of data is known."""
_KINDS = {"PASCAL VOC": "image", "LibriSpeech": "speech", "KIT-ML": "motion"}
_SMALL = "small"
_DEMAND_WEIGHT = 1.0


# -- data --------------------------------------------------------------------------------------------------------------


def layout_of(folder: Path) -> str:
    """What kind of data a folder holds.

    Raises:
        IntentError: none that is known.
    """
    for name, signs in _LAYOUTS.items():
        if any(next(folder.glob(sign), None) for sign in signs):
            return name
    raise IntentError(f"{folder} holds no data that is known; name the folder of {', '.join(_LAYOUTS)}")


def data_of(what: str, folder: Path, captions: Path | None) -> Any:
    """Data for an encoder: pictures, utterances or motions.

    Raises:
        IntentError: another kind of data, or broken.
    """
    layout = layout_of(folder)
    if layout != _LIBRARY and _KINDS[layout] != what:
        raise IntentError(f"{folder} is {layout}, which is for {_KINDS[layout]}, not for {what}")
    if captions is not None and layout != "PASCAL VOC":
        raise IntentError(f"--captions are for PASCAL VOC; {folder} is {layout}")
    if what == "image":
        from metalore.intent.image import pictures_of
        from metalore.intent.voc import load_voc

        return pictures_of(load_library(folder)) if layout == _LIBRARY else load_voc(folder, captions)
    if what == "speech":
        from metalore.intent.speech import utterances_of

        return utterances_of(load_library(folder)) if layout == _LIBRARY else _librispeech(folder)
    from metalore.intent.kit_ml import load_kit_ml
    from metalore.intent.motion_training import MotionData

    return MotionData.of(load_library(folder)) if layout == _LIBRARY else load_kit_ml(folder)


def _librispeech(folder: Path) -> Any:
    """Its utterances; what is left out is said."""
    from metalore.intent.librispeech import load_librispeech

    utterances, errors = load_librispeech(folder)
    for error in errors:
        say(f"metalore: {error}")
    return utterances


def _embedded(folder: Path, encoders: Path | None) -> Any:
    """Items of a library for a fusion."""
    if encoders is None:
        raise IntentError("fusion needs --encoders FOLDER, which holds trained encoders named image, speech or motion")
    if layout_of(folder) != _LIBRARY:
        raise IntentError(f"{folder} is no made library; only that has images, speech and motions of the same items")
    return embed_library(load_library(folder), Encoders.load(encoders))


class Later(NamedTuple):
    """Demand that a fusion learns to expect.

    Attributes:
        recording: of a city.
        horizon: intervals from what a zone shows to its demand.
        ahead_s: events are announced so long before.
        shows: what events look like, as EVENT=ACTIVITY.
    """

    recording: Path
    horizon: int
    ahead_s: float
    shows: Sequence[str]


# -- training and judging ----------------------------------------------------------------------------------------------


def train_on(
    what: str,
    folder: Path,
    out: Path,
    epochs: int | None,
    start: str | None,
    encoders: Path | None,
    captions: Path | None,
    seed: int,
    resume: bool,
    later: Later | None,
) -> Mapping[str, Any]:
    """Train an encoder or a fusion, as `metalore intent train` says; scores on the validation part.

    Raises:
        IntentError: something that cannot be trained so.
    """
    if what not in (*MODALITIES, FUSION):
        raise IntentError(f"{what!r} cannot be trained; name one of {', '.join((*MODALITIES, FUSION))}")
    if epochs is not None and epochs < 1:
        raise IntentError(f"--epochs is {epochs}; at least 1 is needed")
    if seed < 0:
        raise IntentError(f"--seed is {seed}; seeds are whole numbers from 0 on")
    how: dict[str, Any] = {"seed": seed, "resume": resume, "say": say} | ({} if epochs is None else {"epochs": epochs})
    if what == FUSION:
        from metalore.intent.fusion import Fusion
        from metalore.intent.fusion_training import Recipe, train_fusion

        items = _embedded(folder, encoders)
        if later is None:
            return train_fusion(Fusion.small(seed), items, out, **how)
        items = replace(items, demand=_demand_of(items, later, seed))
        return train_fusion(Fusion.small(seed, demands=1), items, out, recipe=Recipe(demand=_DEMAND_WEIGHT), **how)
    if later is not None:
        raise IntentError(f"--demand is for fusion; {what} is trained without")
    data = data_of(what, folder, captions)
    published = what != "motion" and layout_of(folder) != _LIBRARY
    encoder = _beginning(what, start or ("" if published else _SMALL), seed, data)
    scores: Mapping[str, Any] = _trainer(what)(encoder, data, out, **how)
    return scores


def _beginning(what: str, start: str, seed: int, data: Any) -> Any:
    """An encoder to train: small, published (no name), of the hub, or of a folder, also one that metalore saved."""
    from metalore.intent.image import ImageEncoder
    from metalore.intent.motion import MotionEncoder
    from metalore.intent.speech import SpeechEncoder

    kind: Any = {"image": ImageEncoder, "speech": SpeechEncoder, "motion": MotionEncoder}[what]
    if start == _SMALL and what == "image":  # it says the words that it is taught
        return ImageEncoder.small(seed, sorted({text for one in data["train"] for text in one.captions}) or None)
    if start == _SMALL:
        return kind.small(seed)
    return kind.pretrained(*([start] if start else []))


def _trainer(what: str) -> Callable[..., Any]:
    from metalore.intent.image import train_image
    from metalore.intent.motion_training import train_motion
    from metalore.intent.speech import train_speech

    trainers: dict[str, Callable[..., Any]] = {"image": train_image, "speech": train_speech, "motion": train_motion}
    return trainers[what]


def evaluate_on(folder: Path, data: Path, part: str, encoders: Path | None, captions: Path | None) -> Mapping[str, Any]:
    """Scores of an encoder or a fusion on a part of data.

    Raises:
        IntentError: no such part, another kind of data, or no encoder.
    """
    if part not in PARTS:
        raise IntentError(f"there is no part {part!r}; name one of {', '.join(PARTS)}")
    what, encoder = load_encoder(folder)
    if what == FUSION:
        from metalore.intent.fusion_judging import evaluate_fusion

        return evaluate_fusion(encoder, _embedded(data, encoders), part)
    return _scores(what, encoder, data_of(what, data, captions), part)


def _scores(what: str, encoder: Any, data: Any, part: str) -> dict[str, float]:
    from metalore.intent.image import evaluate_image
    from metalore.intent.motion_training import POOL, evaluate_motion
    from metalore.intent.speech import evaluate_speech

    if what == "image":
        return evaluate_image(encoder, data[part])
    if what == "speech":
        return evaluate_speech(encoder, data[part])
    chosen = data.part(part)
    return evaluate_motion(encoder, chosen, pool=min(POOL, len(chosen.motions)))


def print_scores(scores: Mapping[str, Any], title: str) -> None:
    """A row per score; or, where there are several ways to embed, a row for each."""
    if all(isinstance(value, Mapping) for value in scores.values()):
        header = list(dict.fromkeys(name for own in scores.values() for name in own))
        rows = [[way, *(_written(own.get(name)) for name in header)] for way, own in scores.items()]
        print_table(Table(title, ["Embedding", *header], rows), title)
    else:
        rows = [[name, _written(value)] for name, value in scores.items()]
        print_table(Table(title, ["Score", ""], rows), title)


def _written(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


# -- a recorded city ---------------------------------------------------------------------------------------------------


def attach_media(
    folder: Path, data: Path, encoders: Path, ahead_s: float, shows: Sequence[str], unseen: float, seed: int
) -> str:
    """Draw items for all zones and intervals of a recording and attach their embeddings; what to say of it.

    Raises:
        IntentError: no library, encoders or fusion, or an option that cannot be.
        TelemetryError: no recording.
    """
    from metalore.intent.city import draw_items
    from metalore.telemetry import Recording

    if not (ahead_s >= 0 and 0 <= unseen < 1 and seed >= 0):
        raise IntentError(f"--ahead is {ahead_s}, --unseen {unseen}, --seed {seed}; from 0 on, and --unseen below 1")
    recording, items = Recording.load(folder), _embedded(data, encoders)
    fusion = Encoders.load(encoders).fusion
    if fusion is None:
        raise IntentError(f"{encoders} holds no fusion; train one with `metalore intent train fusion`")
    shown, announced = _shown(recording, ahead_s, _looks_of(shows, items.activities))
    intent_of = draw_items(shown, items.activities, items.parts, round(len(shown) * (1 - unseen)), seed)
    recording.attach_intent(fusion.fuse(**items.vectors), intent_of)
    part = 100 * float((intent_of >= 0).mean())
    return f"zones of {folder} show something in {part:.0f} % of the time; announced events: {announced}"


def _shown(recording: Any, ahead_s: float, looks: Mapping[str, str]) -> tuple[np.ndarray, int]:
    """The activity that each zone shows in each interval [t, z], and how many events are announced."""
    from metalore.intent.city import with_announcements

    going_on = _by_zone(recording, "activity")
    times = going_on.index.to_numpy(float)
    announced = _announcements(recording, times[-1], ahead_s, looks)
    return with_announcements(going_on.to_numpy(object), times, list(going_on), announced), len(announced)


def _demand_of(items: Any, later: Later, seed: int) -> np.ndarray:
    """The CPU that zones of a recorded city need after they show items of a library, [n, 1]."""
    from metalore.intent.city import demand_of_items
    from metalore.telemetry import Recording

    recording = Recording.load(later.recording)
    shown, _ = _shown(recording, later.ahead_s, _looks_of(later.shows, items.activities))
    needed = _by_zone(recording, "cpu_cores").to_numpy(float)
    return demand_of_items(shown, needed, items.activities, items.parts, later.horizon, seed)


def _by_zone(recording: Any, column: str) -> pd.DataFrame:
    """A column of telemetry: a row per interval, a column per zone, in the graph's order."""
    return recording.table().pivot(index="time_s", columns="zone", values=column)[list(recording.graph().zones)]


def _looks_of(shows: Sequence[str], activities: Sequence[str]) -> dict[str, str]:
    """Activity of each event that has one, by the event's name; an event named as an activity looks like it."""
    looks = {activity: activity for activity in activities}
    for text in shows:
        event, _, activity = text.rpartition("=")
        if not event or activity not in activities:
            known = ", ".join(sorted(set(activities)))
            raise IntentError(f"--shows is {text!r}; say EVENT=ACTIVITY with one of {known}")
        looks[event] = activity
    return looks


def _announcements(recording: Any, last_s: float, ahead_s: float, looks: Mapping[str, str]) -> list[Any]:
    """Of all events of a city that look like something, as often as they take place."""
    from metalore.intent.city import Announcement

    city, found = recording.scenario.city, []
    for event in () if city is None else city.events:
        begins = np.array([event.from_s])
        if event.every_s is not None:
            begins = np.arange(event.from_s, max(last_s + ahead_s, event.from_s) + 1, event.every_s)
        for from_s in begins[begins <= last_s + ahead_s] if event.name in looks else ():
            until_s = float(from_s) + event.duration_s
            found.append(Announcement(event.zone, looks[event.name], float(from_s) - ahead_s, until_s))
    return found


# -- tables of embeddings ----------------------------------------------------------------------------------------------


def encode_files(sources: Sequence[Path], folder: Path, out: Path, texts: bool) -> tuple[int, list[IntentError]]:
    """Embed files and write a table.

    Returns:
        How many rows it has, and the error of each file that is not in it.

    Raises:
        IntentError: no encoder, no files in a folder, or a table that cannot be written.
    """
    _check_table(out)
    what, encoder = load_encoder(folder)
    if what == FUSION:
        raise IntentError(f"{folder} holds a fusion, which takes embeddings; use `metalore intent fuse`")
    files = _files(sources, ENDINGS[what])
    with progress_bar() as bar:
        task = bar.add_task("encoding", total=len(files))
        found = embed_each(what, encoder, files, texts=texts, progress=lambda done: bar.update(task, completed=done))
    errors = [found.errors[place] for place in sorted(found.errors)]
    columns: dict[str, Any] = {
        "item": [files[place].stem for place in found.positions],
        "file": [str(files[place]) for place in found.positions],
        "modality": what,
    } | ({"text": found.texts} if texts else {})
    _write_table(columns, found.vectors, out)
    return len(found.positions), errors


def _files(sources: Sequence[Path], endings: tuple[str, ...]) -> list[Path]:
    """Those that are named, and those in folders."""
    files: list[Path] = []
    for source in sources:
        found = [source]
        if source.is_dir():
            found = sorted(path for path in source.rglob("*") if path.suffix.lower() in endings and path.is_file())
            if not found:
                raise IntentError(
                    f"{source} holds no files that end in {', '.join(endings)}, as the encoder needs them"
                )
        files += found
    return files


def fuse_tables(tables: Sequence[Path], folder: Path, out: Path) -> int:
    """Fuse embeddings of the same items and write a table; how many rows it has.

    Raises:
        IntentError: no fusion, a table that has no embeddings, or one item twice in the same modality.
    """
    from metalore.intent.fusion import WIDTHS

    _check_table(out)
    what, fusion = load_encoder(folder)
    if what != FUSION:
        raise IntentError(f"{folder} holds an encoder of {what}; --fusion names a trained fusion")
    rows: dict[str, dict[str, np.ndarray]] = {name: {} for name in MODALITIES}
    for path in tables:
        _collect(path, _read_table(path), rows)
    items = sorted({item for own in rows.values() for item in own})
    if not items:
        raise IntentError("the tables have no rows; encode some media first")
    vectors = {
        name: np.stack([rows[name].get(item, np.full(width, np.nan, np.float32)) for item in items])
        for name, width in WIDTHS.items()
    }
    present = [" ".join(name for name in MODALITIES if item in rows[name]) for item in items]
    _write_table({"item": items, "modalities": present}, fusion.fuse(**vectors), out)
    return len(items)


def _collect(path: Path, table: pd.DataFrame, rows: dict[str, dict[str, np.ndarray]]) -> None:
    """Put a table's rows where they belong."""
    for modality, own in table.groupby("modality"):
        if modality not in rows:
            raise IntentError(f"{path} has rows of the modality {modality!r}; it must be {', '.join(MODALITIES)}")
        vectors = own[[name for name in own.columns if _is_number(name)]].dropna(axis=1, how="all")
        for item, vector in zip(own["item"], vectors.to_numpy(np.float32), strict=True):
            if item in rows[modality]:
                raise IntentError(f"the item {item} comes twice with {modality}, again in {path}; give each one name")
            rows[modality][item] = vector


def _is_number(column: str) -> bool:
    return column[:1] == "e" and column[1:].isdigit()


def _read_table(path: Path) -> pd.DataFrame:
    _check_table(path)
    try:
        table = pd.read_csv(path, dtype={"item": str}) if path.suffix == ".csv" else pd.read_parquet(path)
    except OSError:
        raise
    except Exception as error:  # pandas and pyarrow raise many kinds
        raise IntentError(f"{path} cannot be read as a table ({' '.join(str(error).split())})") from None
    if not {"item", "modality", "e0"} <= set(table.columns):
        raise IntentError(f"{path} has no columns item, modality, e0, ...; give a table of `metalore intent encode`")
    return table.astype({"item": str})


def _check_table(path: Path) -> None:
    if path.suffix not in _TABLES:
        raise IntentError(f"{path} has no known ending; embeddings are kept as {' or '.join(_TABLES)}")


def _write_table(columns: Mapping[str, Any], vectors: np.ndarray, path: Path) -> None:
    """Whole or not at all."""
    numbers = pd.DataFrame(vectors, columns=[f"e{place}" for place in range(vectors.shape[1])])
    table = pd.concat([pd.DataFrame(columns, index=numbers.index), numbers], axis=1)
    with replacing(path) as temporary:
        if path.suffix == ".csv":
            table.to_csv(temporary, index=False)
        else:
            table.to_parquet(temporary, index=False)
