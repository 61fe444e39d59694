"""Models of the transformers library: loaded from the hub or a folder, kept in a folder with a card, trained."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import metalore
from metalore.files import read_document, replacing_folder, write_text
from metalore.intent.errors import IntentError
from metalore.intent.media import Source

CARD, WEIGHTS, TRAINING = "card.json", "model.safetensors", "training"

_PACKAGES = ("numpy", "torch", "transformers", "safetensors")


def device_of(name: str | None) -> str:
    """The device of a name; unset: a GPU if there is one.

    Raises:
        IntentError: torch knows no such device, or cannot use it here.
    """
    import torch

    device = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise IntentError(f"torch cannot compute on {name!r} here; leave device out, or name cpu or cuda") from None
    return device


@contextmanager
def _quiet() -> Iterator[None]:
    """The library neither draws progress bars nor warns, as of tied weights that are written once."""
    from transformers.utils import logging

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


# -- loading -----------------------------------------------------------------------------------------------------------


def from_hub(
    model: Any,
    processor: Any,
    name: str | Path,
    revision: str | None,
    offline: bool,
    fresh: tuple[str, ...] = (),
    settings: Mapping[str, Any] | None = None,
) -> tuple[Any, Any]:
    """A model and its processor, of weights that are all there.

    Args:
        model, processor: classes of transformers.
        name: of the hub (owner/name), or a folder in its format.
        revision: branch, tag or commit of the hub; unset: the newest.
        offline: whether only what is downloaded already is used.
        fresh: how names of weights begin that may be drawn at random instead.
        settings: of the model's configuration that take the place of what is there.

    Raises:
        IntentError: not there, without safetensors, half downloaded, or of another model.
    """
    name = str(name)
    if not Path(name).is_dir() and (name.count("/") != 1 or name.startswith((".", "/", "~"))):
        raise IntentError(f"there is no folder {name}; name a folder with a model, or one of the hub as owner/name")
    where = {"revision": revision, "local_files_only": offline}
    try:
        with _quiet():
            loaded, found = model.from_pretrained(
                name, use_safetensors=True, output_loading_info=True, **where, **settings or {}
            )
        prepared = processor.from_pretrained(name, **where)
    except Exception as error:  # the hub, safetensors and tokenizers each raise their own
        raise IntentError(_why_not(name, error)) from None
    missing = {key for key in found["missing_keys"] if not key.startswith(fresh)}
    lacking = sorted({*missing, *(str(key[0]) for key in found["mismatched_keys"])})
    if lacking:
        raise IntentError(
            f"{name} lacks {len(lacking)} of the weights of {model.__name__}, among them {lacking[0]}; "
            "it is another model, or was saved in part"
        )
    return loaded, prepared


def _why_not(name: str, error: Exception) -> str:
    reason = " ".join(str(error).split()).split(". ")[0].rstrip(".") or type(error).__name__
    if type(error).__name__ == "SafetensorError":
        return f"the weights of {name} are damaged or half downloaded ({reason}); delete them and download them again"
    return f"{name} cannot be loaded ({reason}); it must be a whole model in the hub's format, with safetensors"


def read_card(folder: Path | str, format_name: str) -> dict[str, Any]:
    """The content of a card.

    Raises:
        IntentError: no such folder, or without a card of this format, or with weights other than its card's.
    """
    folder = Path(folder)
    card = read_document(folder / CARD, format_name, "encoder", IntentError)
    if not (folder / WEIGHTS).is_file():
        raise IntentError(f"{folder} has a card and no weights; copy or save the encoder again")
    if _digest(folder / WEIGHTS) != card.get("weights_sha256"):
        raise IntentError(
            f"{folder / WEIGHTS} is not what its card was written for (its SHA-256 differs); it was changed, or copied "
            "in part, so save or copy the encoder again"
        )
    return card


class Encoder:
    """A model of the library with its processor, and what is known of both; images and speech have one each.

    Args:
        model, processor: of the classes below.
        facts: for the card.
        device: of torch; unset: a GPU if there is one.
    """

    _classes: ClassVar[tuple[str, str]]
    """Names of the model's and the processor's class in transformers."""
    _format: ClassVar[str]

    def __init__(self, model: Any, processor: Any, facts: Mapping[str, Any], device: str | None = None) -> None:
        self.model = model.to(device_of(device)).eval()
        self.processor = processor
        self.facts = dict(facts)

    @classmethod
    def load(cls, folder: Path | str, device: str | None = None) -> Self:
        """What :meth:`save` wrote; it gives the same output on the same machine.

        Raises:
            IntentError: no encoder there, of another format, or damaged.
        """
        import transformers

        card = read_card(folder, cls._format)
        model, processor = (getattr(transformers, name) for name in cls._classes)
        loaded = from_hub(model, processor, folder, None, offline=True)
        facts = {name: value for name, value in card.items() if name not in ("format", "versions", "weights_sha256")}
        return cls(*loaded, facts, device)

    def save(self, folder: Path | str) -> None:
        """Weights (safetensors), the library's configuration, and `card.json`; an encoder that was there is replaced.

        Raises:
            IntentError: the folder holds something else.
            OSError: it cannot be written.
        """
        folder = Path(folder)
        check_ours(folder)
        with replacing_folder(folder) as fresh:
            with _quiet():
                self.model.save_pretrained(fresh, max_shard_size="1TB")  # one file, whose digest is in the card
            self.processor.save_pretrained(fresh)
            write_card(fresh, self._format, self.facts)


def save_tensors(folder: Path | str, tensors: Mapping[str, Any], format_name: str, facts: Mapping[str, Any]) -> None:
    """Write weights of our own networks and a card; see :meth:`Encoder.save`."""
    from safetensors.torch import save_file

    folder = Path(folder)
    check_ours(folder)
    with replacing_folder(folder) as fresh:
        save_file(dict(tensors), fresh / WEIGHTS)
        write_card(fresh, format_name, facts)


def write_card(folder: Path, format_name: str, facts: Mapping[str, Any]) -> None:
    """Write a card beside weights: what they are, with which packages they were made, and their digest."""
    card = {"format": format_name, **facts, "versions": _versions(), "weights_sha256": _digest(folder / WEIGHTS)}
    write_text(folder / CARD, json.dumps(card, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def check_ours(folder: Path) -> None:
    """Refuse a folder in which something would be lost."""
    if folder.exists() and not (folder / CARD).is_file() and {path.name for path in folder.iterdir()} - {TRAINING}:
        raise IntentError(f"{folder} is there and holds no encoder; choose a new or empty folder")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _versions() -> dict[str, str]:
    found = {"metalore": metalore.__version__, "python": platform.python_version()}
    return found | {package: importlib.metadata.version(package) for package in _PACKAGES}


# -- training ----------------------------------------------------------------------------------------------------------


SMALL = "small"
"""What an encoder began with that has no published weights."""


def identity(
    base: str,
    learning_rates: Mapping[str, float],
    epochs: int,
    batch: int,
    learning_rate: float | None,
    seed: int,
    items: Iterable[tuple[Source, Sequence[str]]],
) -> dict[str, Any]:
    """By which a training is known.

    Args:
        base: what the encoder began with.
        learning_rates: the highest one of `small` and of `pretrained` encoders.
        epochs, batch, seed: of the training.
        learning_rate: in place of these.
        items: of all parts, and what is said of each; only their files' names count.
    """
    digest = hashlib.sha256()
    for source, texts in items:
        name = source if isinstance(source, bytes) else Path(source).name.encode()
        digest.update(b"\0".join([name, *(text.encode() for text in texts)]))
    kind = SMALL if base == SMALL else "pretrained"
    return {
        "epochs": epochs,
        "batch": batch,
        "learning_rate": learning_rate or learning_rates[kind],
        "seed": seed,
        "encoder": base,
        "data": digest.hexdigest()[:16],
    }


def train(
    model: Any,
    train: Any,
    validation: Any,
    collate: Callable[[list[Any]], Mapping[str, Any]],
    out: Path | str,
    identity: Mapping[str, Any],
    resume: bool,
    say: Callable[[str], None] | None,
    workers: int = 0,
    lengths: Sequence[int] | None = None,
) -> float:
    """Train by the library's Trainer; the model is left with the weights of the epoch with the lowest validation loss.

    Each epoch is kept in `out`, so that an interrupted run goes on with the same numbers; optimizer and generators
    are in the Trainer's own files. AdamW; the learning rate rises over a tenth of the steps and falls as a cosine.

    Args:
        model: that gives a loss.
        train, validation: items by number; `train.set_epoch(epoch)` is called if there is one.
        collate: makes a batch of items.
        out: where epochs are kept, in a folder of their own that goes when the encoder is saved there.
        identity: by which a run is known; with epochs, batch, learning_rate and seed.
        resume: whether to go on from the last epoch that was kept.
        say: told after each epoch.
        workers: processes that read items.
        lengths: of training items; those of like length go into a batch together. Unset: they are drawn.

    Returns:
        Seconds it took, without those before an interruption.

    Raises:
        IntentError: nothing to resume, another run was kept, or `out` holds something else.
    """
    import torch
    from transformers import PrinterCallback, TrainingArguments

    folder = _begin(Path(out), identity, resume)
    on_gpu, started = model.device.type == "cuda", time.perf_counter()
    steps = -(-len(train) // identity["batch"]) * identity["epochs"]
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=identity["epochs"],
        per_device_train_batch_size=identity["batch"],
        per_device_eval_batch_size=identity["batch"],
        learning_rate=identity["learning_rate"],
        weight_decay=0.05,
        lr_scheduler_type="cosine",
        warmup_steps=steps // 10,
        seed=identity["seed"],
        bf16=on_gpu and torch.cuda.is_bf16_supported(),
        fp16=on_gpu and not torch.cuda.is_bf16_supported(),
        use_cpu=not on_gpu,
        eval_strategy="epoch",
        save_strategy="epoch",
        logging_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="loss",
        prediction_loss_only=True,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_num_workers=workers,
        dataloader_pin_memory=on_gpu,
        disable_tqdm=True,
        report_to=[],
    )
    trainer = _trainer_class(identity["batch"], lengths)(
        model=model,
        args=arguments,
        data_collator=collate,
        train_dataset=train,
        eval_dataset=validation,
        callbacks=[_teller(say, identity["epochs"])],
    )
    trainer.remove_callback(PrinterCallback)
    with _quiet():
        trainer.train(resume_from_checkpoint=_last(folder) if resume else None)
    model.eval()
    return time.perf_counter() - started


def _trainer_class(batch: int, lengths: Sequence[int] | None) -> Any:
    from transformers import Trainer
    from transformers.trainer_pt_utils import LengthGroupedSampler

    if lengths is None:
        return Trainer
    sampler = LengthGroupedSampler(batch, lengths=list(lengths))

    class GroupingTrainer(Trainer):
        """Draws batches of like length; the library's own setting would read every item for its length first."""

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return sampler

    return GroupingTrainer


def _begin(out: Path, identity: Mapping[str, Any], resume: bool) -> Path:
    """The folder of a run's checkpoints: a fresh one, or that of the same run."""
    check_ours(out)
    folder = out / TRAINING
    facts, path = json.loads(json.dumps(dict(identity))), folder / "run.json"
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
        write_text(path, json.dumps(facts, indent=1) + "\n")
        return folder
    if _last(folder) is None:
        raise IntentError(f"{out} holds no epoch to go on from; train without resume")
    kept = json.loads(path.read_text(encoding="utf-8"))
    for name, value in facts.items():
        if kept.get(name) != value:
            raise IntentError(
                f"the training kept in {folder} differs in its {name} ({kept.get(name)}, now {value}); "
                "go on as it began, or train without resume"
            )
    return folder


def _last(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end; the Trainer's state is written last."""
    whole = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json")]
    return str(max(whole, key=lambda path: int(path.name.rpartition("-")[2]))) if whole else None


def _teller(say: Callable[[str], None] | None, epochs: int) -> Any:
    from transformers import TrainerCallback

    class Teller(TrainerCallback):
        """Says how an epoch went, once it is kept."""

        def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            if say:
                log = {name: value for entry in state.log_history[-2:] for name, value in entry.items()}
                say(
                    f"epoch {round(state.epoch)} of {epochs}: loss {log['loss']:.3f}, validation {log['eval_loss']:.3f}"
                )

    return Teller()
