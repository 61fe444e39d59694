"""Captions and embeddings of images by BLIP, fine-tuned or trained from scratch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from metalore.intent import _hub, scenes
from metalore.intent.errors import IntentError
from metalore.intent.library import PARTS, Library
from metalore.intent.media import Source, read_image

HUB = "Salesforce/blip-image-captioning-base"
EMBEDDING = 768
FORMAT = "metalore-image-encoder-1"

_LEARNING_RATES = {"small": 2e-3, "pretrained": 1e-5}
_LONGEST_CAPTION = 40
"""Tokens of a caption; longer ones are cut."""
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]")


@dataclass(frozen=True)
class Picture:
    """An image and what is said of it.

    Attributes:
        image: a file, or its content.
        captions: one sentence or more.
        activity: that it shows, if it is known.
    """

    image: Source
    captions: tuple[str, ...]
    activity: str | None = None


Pictures = Mapping[str, Sequence[Picture]]
"""Of the parts train, validation and test."""


def pictures_of(library: Library) -> Pictures:
    """The images of a library and their captions."""
    return {
        part: [
            Picture(item.image, (item.caption,), item.activity)
            for item in library.items
            if item.part == part and item.image is not None and item.caption is not None
        ]
        for part in PARTS
    }


class ImageEncoder(_hub.Encoder):
    """BLIP (Li, Li, Xiong and Hoi 2022), a vision transformer and a text decoder that sees its patches.

    The embedding is the vision transformer's pooled output, normalized to length 1. Where that has other than 768
    numbers it is mapped by the first columns of the orthonormal cosine transform, which keeps lengths and angles of
    narrower ones and is the same everywhere.

    Differently from the original: trained by the caption loss alone, not also by contrast and matching of images and
    texts; pretrained weights have had both.

    Args:
        model: a `BlipForConditionalGeneration`.
        processor: its `BlipProcessor`.
        facts: for the card.
        device: of torch; unset: a GPU if there is one.
    """

    _classes = ("BlipForConditionalGeneration", "BlipProcessor")
    _format = FORMAT

    @classmethod
    def pretrained(
        cls, name: str | Path = HUB, device: str | None = None, revision: str | None = None, offline: bool = False
    ) -> ImageEncoder:
        """Weights of the hub, or of a folder in its format.

        Args:
            name: owner/name, or the folder.
            device: see the class.
            revision: branch, tag or commit of the hub; unset: the newest.
            offline: whether only what is downloaded already is used.

        Raises:
            IntentError: not there, without safetensors, half downloaded, or no BLIP.
        """
        from transformers import BlipForConditionalGeneration, BlipProcessor

        model, processor = _hub.from_hub(BlipForConditionalGeneration, BlipProcessor, name, revision, offline)
        return cls(model, processor, {"base": str(name)}, device)

    @classmethod
    def small(cls, seed: int = 0, texts: Sequence[str] | None = None, device: str | None = None) -> ImageEncoder:
        """The same classes with one million weights, drawn at random, for images of 96 x 96 pixels.

        Args:
            seed: of the weights.
            texts: whose words it can say; unset: those of the made scenes.
            device: see the class.
        """
        import torch
        from transformers import BlipConfig, BlipForConditionalGeneration

        processor = _small_processor(scenes.every_phrase() if texts is None else texts)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = BlipForConditionalGeneration(BlipConfig(**_small_settings(processor.tokenizer)))
        with torch.no_grad():  # what the patches' layer learns soon outweighs what was drawn
            model.vision_model.embeddings.patch_embedding.weight.mul_(0.5)
        return cls(model, processor, {"base": _hub.SMALL, "seed": seed}, device)

    def embed(self, images: Sequence[Image.Image | Source], batch: int = 32) -> np.ndarray:
        """Embeddings, float32 [n, 768], each of length 1.

        Args:
            images: pictures, files, or their content.
            batch: how many are computed at once.

        Raises:
            IntentError: an image that cannot be read.
        """
        import torch

        parts = [np.zeros((0, EMBEDDING), np.float32)]
        with torch.inference_mode():
            for pixels in self._pixels(images, batch):
                pooled = self.model.vision_model(pixel_values=pixels).pooler_output.float().cpu().numpy()
                parts.append(_normalized(pooled @ _to_embedding(pooled.shape[1])))
        return np.concatenate(parts)

    def describe(self, images: Sequence[Image.Image | Source], batch: int = 32) -> list[str]:
        """A caption of each, the likeliest word after word.

        Args:
            images: pictures, files, or their content.
            batch: how many are computed at once.

        Raises:
            IntentError: an image that cannot be read.
        """
        captions: list[str] = []
        for pixels in self._pixels(images, batch):
            tokens = self.model.generate(
                pixel_values=pixels, max_new_tokens=_LONGEST_CAPTION, do_sample=False, num_beams=1
            )
            captions += self.processor.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [caption.strip() for caption in captions]

    def loss(self, pictures: Sequence[Picture], batch: int = 32) -> float:
        """Mean cross-entropy of a token of the captions, in nats.

        Raises:
            IntentError: an image that cannot be read.
        """
        import torch

        pairs = [(picture.image, caption) for picture in pictures for caption in picture.captions]
        total, tokens = 0.0, 0
        with torch.inference_mode():
            for start in range(0, len(pairs), batch):
                images, captions = zip(*pairs[start : start + batch], strict=True)
                inputs = {"pixel_values": next(self._pixels(images, batch)), **self._tokens(captions)}
                counted = int((inputs["labels"][:, 1:] != -100).sum())
                total += (
                    float(self.model(**{name: x.to(self.model.device) for name, x in inputs.items()}).loss) * counted
                )
                tokens += counted
        return total / max(tokens, 1)

    def _pixels(self, images: Sequence[Image.Image | Source], batch: int) -> Iterator[Any]:
        """Batches of what the model sees [b, 3, y, x]."""
        for start in range(0, len(images), batch):
            opened = [_opened(image) for image in images[start : start + batch]]
            yield self.processor.image_processor(opened, return_tensors="pt")["pixel_values"].to(self.model.device)

    def _tokens(self, captions: Sequence[str]) -> dict[str, Any]:
        """Captions as the decoder takes them: a first token of its own, and no loss on the filling."""
        longest = min(_LONGEST_CAPTION, self.model.config.text_config.max_position_embeddings)
        tokens = self.processor.tokenizer(
            list(captions), padding=True, truncation=True, max_length=longest, return_tensors="pt"
        )
        inputs, mask = tokens["input_ids"], tokens["attention_mask"]
        inputs[:, 0] = self.model.config.text_config.bos_token_id
        return {"input_ids": inputs, "attention_mask": mask, "labels": inputs.masked_fill(mask == 0, -100)}


# -- training ----------------------------------------------------------------------------------------------------------


def train_image(
    encoder: ImageEncoder,
    data: Pictures,
    out: Path | str,
    epochs: int = 16,
    seed: int = 0,
    resume: bool = False,
    say: Callable[[str], None] | None = None,
    batch: int = 8,
    learning_rate: float | None = None,
    workers: int = 0,
) -> dict[str, float]:
    """Train an encoder on pictures and captions, and keep it.

    In each epoch an image is mirrored or not and cut to at least 80 % of its width and height, and one of its captions
    is taken. The weights of the epoch with the lowest validation loss are kept.

    Args:
        encoder: is changed.
        data: parts train and validation.
        out: where it is kept, and each epoch before; it is made.
        epochs: passes over the training part.
        seed: of everything that is drawn.
        resume: whether to go on from the last epoch kept in `out`.
        say: told after each epoch.
        batch: images in a step.
        learning_rate: the highest; unset: 0.002 for a small encoder, 0.00001 for a pretrained one.
        workers: processes that read images.

    Returns:
        Scores on the validation part, as :func:`evaluate_image` gives them.

    Raises:
        IntentError: an empty part, an image that cannot be read, nothing to resume or another run, or `out` holds
            something else.
    """
    for part in ("train", "validation"):
        if not data.get(part):
            raise IntentError(f"the part {part!r} has no pictures; training needs some in train and validation")
    items = [(picture.image, picture.captions) for part in ("train", "validation") for picture in data[part]]
    identity = _hub.identity(encoder.facts["base"], _LEARNING_RATES, epochs, batch, learning_rate, seed, items)
    seconds = _hub.train(
        encoder.model,
        _Examples(data["train"], seed, varied=True),
        _Examples(data["validation"], seed, varied=False),
        lambda examples: _collated(encoder, examples),
        out,
        identity,
        resume,
        say,
        workers,
    )
    scores = evaluate_image(encoder, data["validation"])
    images = {part: len(pictures) for part, pictures in data.items()}
    encoder.facts |= {"training": identity | {"images": images, "seconds": round(seconds, 1)}, "scores": scores}
    encoder.save(out)
    return scores


def evaluate_image(encoder: ImageEncoder, pictures: Sequence[Picture], batch: int = 32) -> dict[str, float]:
    """How good its captions are.

    Returns:
        images: how many; loss: as :meth:`ImageEncoder.loss`; bleu, chrf: from 0 to 100, by sacreBLEU, against all
        captions of each, small and capital letters alike; activity: part of the captions that name the right one,
        where it is known.

    Raises:
        IntentError: no pictures, or an image that cannot be read.
    """
    import sacrebleu

    if not pictures:
        raise IntentError("there are no pictures to evaluate on; name a part that has some")
    said = encoder.describe([picture.image for picture in pictures], batch)
    most = max(len(picture.captions) for picture in pictures)
    references = [[dict(enumerate(picture.captions)).get(i) for picture in pictures] for i in range(most)]
    scores = {
        "images": len(pictures),
        "loss": encoder.loss(pictures, batch),
        "bleu": sacrebleu.corpus_bleu(said, references, lowercase=True).score,
        "chrf": sacrebleu.CHRF(lowercase=True).corpus_score(said, references).score,
    }
    known = [(caption, picture.activity) for caption, picture in zip(said, pictures, strict=True) if picture.activity]
    if known:
        scores["activity"] = float(np.mean([scenes.named(caption) == activity for caption, activity in known]))
    return scores


class _Examples:
    """Images and captions by number, for the Trainer.

    Args:
        pictures: of one part.
        seed: of the variation.
        varied: whether each epoch sees them a little differently.
    """

    def __init__(self, pictures: Sequence[Picture], seed: int, varied: bool) -> None:
        self._pictures, self._seed, self._varied, self._epoch = pictures, seed, varied, 0

    def __len__(self) -> int:
        return len(self._pictures)

    def set_epoch(self, epoch: int) -> None:
        """The Trainer says so."""
        self._epoch = epoch

    def __getitem__(self, number: int) -> tuple[Image.Image, str]:
        picture = self._pictures[number]
        image = _opened(picture.image)
        if not self._varied:
            return image, picture.captions[0]
        rng = np.random.default_rng([self._seed, self._epoch, number])
        return _varied(image, rng), str(rng.choice(picture.captions))


def _varied(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    width, height = (max(1, round(edge * rng.uniform(0.8, 1.0))) for edge in image.size)
    left, top = (int(rng.integers(0, gap + 1)) for gap in (image.width - width, image.height - height))
    image = image.crop((left, top, left + width, top + height))
    return ImageOps.mirror(image) if rng.random() < 0.5 else image


def _collated(encoder: ImageEncoder, examples: list[tuple[Image.Image, str]]) -> dict[str, Any]:
    images, captions = zip(*examples, strict=True)
    pixels = encoder.processor.image_processor(list(images), return_tensors="pt")["pixel_values"]
    return {"pixel_values": pixels, **encoder._tokens(captions)}


# -- what a small encoder is made of -----------------------------------------------------------------------------------


def _small_settings(tokenizer: Any) -> dict[str, Any]:
    # The library's own spread of weights is for networks six times as wide, and in the vision part for weights that
    # are loaded (1e-10): from there, this one learns little in minutes.
    spread = {"initializer_range": 0.06}
    shape = {"hidden_size": 128, "intermediate_size": 384, "num_attention_heads": 4} | spread
    text = {
        "num_hidden_layers": 2,
        "max_position_embeddings": 64,
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "sep_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {"num_hidden_layers": 3, "image_size": 96, "patch_size": 16}
    return {"text_config": shape | text, "vision_config": shape | vision, **spread}


def _small_processor(texts: Sequence[str]) -> Any:
    """A processor whose tokenizer knows whole words; other words are unknown to it."""
    from transformers import BertTokenizerFast, BlipProcessor
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    words = sorted({word for text in texts for word in text.lower().split()})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.txt"
        path.write_text("\n".join([*_SPECIAL, *words]) + "\n", encoding="utf-8")
        tokenizer = BertTokenizerFast(vocab=str(path), bos_token="[DEC]")
    return BlipProcessor(BlipImageProcessorPil(size={"height": 96, "width": 96}), tokenizer)


def _opened(image: Image.Image | Source) -> Image.Image:
    return image.convert("RGB") if isinstance(image, Image.Image) else read_image(image)


def _to_embedding(width: int) -> np.ndarray:
    """From the model's width to the embedding's [width, 768]: the orthonormal cosine transform (DCT-II), cut."""
    if width == EMBEDDING:
        return np.eye(EMBEDDING, dtype=np.float32)
    size = max(width, EMBEDDING)
    rows, columns = np.arange(width)[:, None], np.arange(EMBEDDING)[None, :]
    waves = np.sqrt(2 / size) * np.cos(np.pi * (columns + 0.5) * rows / size)
    waves[0] /= np.sqrt(2)
    return np.asarray(waves, np.float32)


def _normalized(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)
