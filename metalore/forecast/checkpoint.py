"""Fitted forecasters on disk: one folder of plain data. Nothing in it is ever unpickled.

========================  ==============================================================================================
`card.json`               what it is, what it was fitted to and how, how it scored, versions, digest of the weights
`weights.safetensors`     what it has learned, and the graph, positions and bounds of its panel
========================  ==============================================================================================
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import metalore
from metalore.files import read_document, replacing_folder
from metalore.forecast.errors import ForecastError, unknown
from metalore.forecast.forecaster import QUANTILES, Forecaster
from metalore.forecast.panel import Edges, Panel
from metalore.forecast.registry import NAMES, make_forecaster
from metalore.forecast.splits import Split, check_horizons
from metalore.forecast.weights import Arrays

if TYPE_CHECKING:
    import pandas as pd

CARD, WEIGHTS = "card.json", "weights.safetensors"
FORMAT = "metalore-forecaster-1"

_LEARNED, _FRAME = "learned.", "frame."
_EDGES = ("source", "target", "weight")
_PACKAGES = ("numpy", "torch", "safetensors")


# -- saving ------------------------------------------------------------------------------------------------------------


def save_forecaster(
    forecaster: Forecaster,
    folder: Path | str,
    *,
    panel: Panel,
    split: Split,
    scores: pd.DataFrame | Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Write a fitted forecaster, whole or not at all; one that was there is replaced.

    Args:
        forecaster: fitted.
        folder: where to; it is made.
        panel, split: that it was fitted to, for the card. Data are not written.
        scores: as :func:`metalore.forecast.protocol.evaluate` gives them.

    Raises:
        ForecastError: not fitted, fitted to another panel, of a kind that cannot be kept, with weights that are no
            numbers; or the folder holds something else.
        OSError: it cannot be written.
    """
    folder = Path(folder)
    if forecaster.name not in NAMES:
        raise unknown("forecaster", forecaster.name, NAMES, "MetaLore")
    frame = forecaster.fitted_frame()
    forecaster.predict(panel, [])  # refuses another panel
    facts, learned = forecaster._state()
    learned = {_LEARNED + name: np.asarray(array, order="C") for name, array in learned.items()}
    _check_finite(learned, forecaster.name)
    content = _weights(learned | _frame_arrays(frame))
    card = {
        "format": FORMAT,
        "forecaster": forecaster.name,
        "settings": forecaster.settings,
        "window": forecaster.window,
        "horizons": forecaster.horizons,
        "targets": forecaster.targets,
        "quantiles": QUANTILES,
        "zones": forecaster.zones,
        "interval_s": forecaster.interval_s,
        "inputs": frame.inputs,
        "events": frame.events,
        "time_s": float(frame.times[0]),
        "clock_s": frame.clock_s,
        "start": None if frame.start is None else str(frame.start),
        "graph": _graph_facts(frame.edges),
        "learned": facts,
        "panel": {"name": panel.name, "fingerprint": panel.fingerprint(), "intervals": len(panel)},
        "split": split.as_dict(),
        "training": _training_facts(forecaster),
        "scores": _rows(scores),
        "versions": versions(),
        "weights_sha256": hashlib.sha256(content).hexdigest(),
    }
    if folder.exists() and not _is_ours(folder):
        raise ForecastError(f"{folder} is there and holds no forecaster; choose a new or empty folder")
    with replacing_folder(folder) as fresh:
        (fresh / WEIGHTS).write_bytes(content)
        text = json.dumps(card, indent=1, ensure_ascii=False, allow_nan=False)
        (fresh / CARD).write_text(text + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Of everything that decides about numbers, as far as it is installed."""
    found = {"metalore": metalore.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _is_ours(folder: Path) -> bool:
    """Whether nothing is lost with a folder: it is empty, or holds no more than a forecaster."""
    return folder.is_dir() and {path.name for path in folder.iterdir()} <= {CARD, WEIGHTS}


def _weights(arrays: Mapping[str, np.ndarray]) -> bytes:
    try:
        from safetensors.numpy import save
    except ModuleNotFoundError:
        raise _no_safetensors() from None
    content: bytes = save(dict(sorted(arrays.items())))
    return content


def _no_safetensors() -> ForecastError:
    return ForecastError("keeping a forecaster needs safetensors; install metalore[forecast]")


def _frame_arrays(frame: Panel) -> dict[str, np.ndarray]:
    arrays = {"lowest": frame.lowest, "positions": frame.positions}
    if frame.edges is not None:
        arrays |= {name: getattr(frame.edges, name) for name in _EDGES}
    return {_FRAME + name: np.ascontiguousarray(array) for name, array in arrays.items() if array is not None}


def _graph_facts(edges: Edges | None) -> dict[str, Any] | None:
    if edges is None:
        return None
    digest = hashlib.sha256()
    for array in (edges.source, edges.target, edges.weight):
        digest.update(array.tobytes())
    return {"edges": len(edges), "sha256": digest.hexdigest()}


def _training_facts(forecaster: Forecaster) -> dict[str, Any]:
    history = [dict(epoch) for epoch in forecaster.history]
    losses = [epoch.get("validation", np.inf) for epoch in history]
    best = history[int(np.argmin(losses))].get("epoch") if history else None
    return {
        "seed": forecaster.seed,
        "seconds": round(forecaster.trained_s, 3),
        "best_epoch": best,
        "history": [{name: _number(value) for name, value in epoch.items()} for epoch in history],
    }


def _rows(scores: pd.DataFrame | Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    if scores is None:
        return []
    rows: Sequence[Mapping[str, Any]] = scores if isinstance(scores, Sequence) else scores.to_dict("records")
    return [{str(name): _number(value) for name, value in row.items()} for row in rows]


def _number(value: Any) -> Any:
    """As JSON has it: a score over nothing is null."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _check_finite(arrays: Mapping[str, np.ndarray], where: str) -> None:
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ForecastError(f"{where} has weights that are no numbers, in {name.removeprefix(_LEARNED)!r}")


# -- loading -----------------------------------------------------------------------------------------------------------


def load_forecaster(folder: Path | str, device: str | None = None) -> Forecaster:
    """Read what :func:`save_forecaster` wrote; it forecasts the same to the last bit on the same machine.

    Args:
        folder: where it lies.
        device: of torch, for networks; unset: what the forecaster would take itself.

    Raises:
        ForecastError: no forecaster there, of another format, damaged, or with weights other than its card's.
    """
    folder = Path(folder)
    card = read_card(folder)
    arrays = _read_weights(folder, card)
    learned = {name.removeprefix(_LEARNED): array for name, array in arrays.items() if name.startswith(_LEARNED)}
    _check_finite(learned, str(folder / WEIGHTS))
    others = Arrays({name: array for name, array in arrays.items() if not name.startswith(_LEARNED)}, _where(folder))
    try:
        forecaster = _made(card, device)
        forecaster.frame = _frame(card, others)
        others.check_all_taken()
        _restore(forecaster, card, Arrays(learned, _where(folder)))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        if isinstance(error, ForecastError):
            raise
        raise ForecastError(f"{folder / CARD} is damaged: {type(error).__name__}: {error}") from None
    return forecaster


def read_card(folder: Path | str) -> dict[str, Any]:
    """The content of `card.json`, without loading what forecasts.

    Raises:
        ForecastError: no such folder, or not a forecaster of ours.
    """
    if not Path(folder).is_dir():
        raise ForecastError(f"there is no folder {folder}, so no forecaster in it")
    return read_document(Path(folder) / CARD, FORMAT, "forecaster", ForecastError)


def _where(folder: Path) -> str:
    return str(folder / WEIGHTS)


def _read_weights(folder: Path, card: Mapping[str, Any]) -> dict[str, np.ndarray]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load
    except ModuleNotFoundError:
        raise _no_safetensors() from None
    try:
        content = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise ForecastError(
            f"{folder} has a card and no weights: {WEIGHTS} cannot be read ({error.strerror})"
        ) from None
    if hashlib.sha256(content).hexdigest() != card.get("weights_sha256"):
        raise ForecastError(
            f"{folder / WEIGHTS} is not what its card was written for (its SHA-256 differs); it was changed, or copied "
            "in part, so save or copy the forecaster again"
        )
    try:
        arrays: dict[str, np.ndarray] = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ForecastError(f"{folder / WEIGHTS} holds no arrays: {error}") from None
    return arrays


def _made(card: Mapping[str, Any], device: str | None) -> Forecaster:
    if card["forecaster"] not in NAMES:
        raise unknown("forecaster", str(card["forecaster"]), NAMES, "MetaLore")
    forecaster = make_forecaster(card["forecaster"], **card["settings"])
    if device is not None and "device" in inspect.signature(type(forecaster)).parameters:
        return make_forecaster(card["forecaster"], **card["settings"], device=device)
    return forecaster


def _frame(card: Mapping[str, Any], arrays: Arrays) -> Panel:
    zones, targets = card["zones"], card["targets"]
    edges = None
    if card["graph"] is not None:
        source, target, weight = (arrays.take(_FRAME + name, card["graph"]["edges"]) for name in _EDGES)
        edges = Edges(source, target, weight, len(zones))
    return Panel(
        times=np.array([card["time_s"]]),
        zones=zones,
        targets=targets,
        values=np.full((1, len(zones), len(targets)), np.nan),
        interval_s=card["interval_s"],
        clock_s=card["clock_s"],
        start=None if card["start"] is None else np.datetime64(card["start"]),
        inputs=card["inputs"],
        input_values=np.full((1, len(zones), len(card["inputs"])), np.nan) if card["inputs"] else None,
        events=card["events"],
        event_values=np.zeros((1, len(zones), len(card["events"]))) if card["events"] else None,
        edges=edges,
        positions=arrays.take(_FRAME + "positions", len(zones), 2) if arrays.has(_FRAME + "positions") else None,
        lowest=arrays.take(_FRAME + "lowest", len(targets)),
        name=card["panel"]["name"],
        allow_empty=True,
    )


def _restore(forecaster: Forecaster, card: Mapping[str, Any], arrays: Arrays) -> None:
    frame, training = forecaster.fitted_frame(), card["training"]
    forecaster.horizons = check_horizons(card["horizons"])
    forecaster.zones, forecaster.targets, forecaster.interval_s = frame.zones, frame.targets, frame.interval_s
    forecaster.seed, forecaster.trained_s = training["seed"], training["seconds"]
    forecaster.history = training["history"]
    forecaster._restore(card["learned"], arrays)
    arrays.check_all_taken()
