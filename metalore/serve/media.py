"""Images, speech and motions in requests: what each item gives is fused, and what cannot be read is said."""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic_core import to_json

from metalore.intent.encoders import FUSION, Encoders, embed_each
from metalore.intent.errors import IntentError
from metalore.intent.fusion import WIDTHS
from metalore.intent.gate import Gate, Possible
from metalore.intent.library import MODALITIES
from metalore.intent.media import LIMITS
from metalore.intent.verify import Edges
from metalore.serve.errors import Problem, ServeError
from metalore.serve.schemas import Media, MediaItem
from metalore.serve.settings import ServeSettings

if TYPE_CHECKING:
    from metalore.serve.engine import Engine

LOG = logging.getLogger("metalore.serve")

_AT_ONCE = 8
"""Media that are unpacked at a time; with the limit on pixels, 0.3 GB of images."""
_MOST_PIXELS = 12_000_000


class Embedder:
    """Encoders and their fusion, for media in requests.

    Args:
        folder: of encoders; see :mod:`metalore.intent.encoders`.
        settings: with limits.

    Raises:
        ServeError: no fusion.
        IntentError: no encoders, one that is damaged, or policies that cannot be.
        OSError: the file of policies cannot be read.
    """

    def __init__(self, folder: Path, settings: ServeSettings) -> None:
        self._encoders = Encoders.load(folder, device="cpu")
        if self._encoders.fusion is None:
            raise ServeError(
                f"{folder} holds no fusion; train one with `metalore intent train fusion`, in {folder}/fusion"
            )
        self._gate = Gate({}) if settings.policies is None else Gate.read(settings.policies)[0]
        self._most_items = settings.max_media_items
        self._limits = replace(LIMITS, most_bytes=settings.max_media_bytes, most_pixels=_MOST_PIXELS)
        cards = [folder / name / "card.json" for name in (*self._encoders.by_modality, FUSION)]
        self.fingerprint = hashlib.sha256(b"".join(card.read_bytes() for card in cards)).hexdigest()[:16]
        LOG.info("intent %s: %s, and their fusion", self.fingerprint, ", ".join(self._encoders.by_modality))

    def embed(self, media: Media, engine: Engine) -> bytes:
        """See :class:`metalore.serve.schemas.Embedded`; takes long.

        Args:
            media: to embed.
            engine: by whose forecast items are judged that name a policy.

        Raises:
            Problem: too many items, descriptions that an encoder does not have, a policy that there is not, or nothing
                was observed to judge by.
        """
        items = media.items
        if len(items) > self._most_items:
            sentence = f"there are {len(items)} items in the request; at most {self._most_items} are embedded"
            raise Problem(422, sentence, where="items")
        judged = self._judged(items)
        possible = engine.possible_changes() if judged else {}
        answers: list[dict[str, Any]] = [
            {"name": item.name, "embedding": None, "texts": {}, "problems": [], "verdict": None} for item in items
        ]
        describe = media.describe or bool(judged)
        rows = {modality: self._rows(modality, items, answers, describe) for modality in MODALITIES}
        there = np.flatnonzero(np.any([~np.isnan(some[:, 0]) for some in rows.values()], axis=0))
        fused = self._encoders.fusion.fuse(**{modality: some[there] for modality, some in rows.items()})
        for place, vector in zip(there, fused, strict=True):
            answers[place]["embedding"] = vector.tolist()
        for number, policy in judged.items():
            self._judge(answers[number], policy, possible, engine.edges)
        return to_json({"items": answers, "model": self.fingerprint})

    def _judged(self, items: Sequence[MediaItem]) -> dict[int, str]:
        """The policy of each item that names one, by the item's place."""
        judged = {place: item.policy for place, item in enumerate(items) if item.policy is not None}
        for place, policy in judged.items():
            if policy not in self._gate.policies:
                known = ", ".join(self._gate.policies) or "none, start it with --policies FILE"
                sentence = f"there is no policy {policy!r} here; this service knows {known}"
                raise Problem(422, sentence, "unknown-policy", f"items.{place}.policy")
        return judged

    def _judge(self, answer: dict[str, Any], policy: str, possible: Possible, edges: Edges) -> None:
        """Add a verdict; what is rejected loses its embedding."""
        verdict = self._gate.judge(policy, list(answer["texts"].values()), possible, edges)
        answer["verdict"] = {"accepted": verdict.accepted, "score": verdict.score, "reason": verdict.reason}
        if not verdict.accepted:
            answer["embedding"] = None

    def _rows(
        self, modality: str, items: Sequence[MediaItem], answers: Sequence[dict[str, Any]], describe: bool
    ) -> np.ndarray:
        """Embeddings of one modality [n, f], NaN where there is none; texts and problems go to the answers."""
        rows = np.full((len(items), WIDTHS[modality]), np.nan, np.float32)
        contents = {}
        for place, item in enumerate(items):
            if (given := getattr(item, modality)) is not None:
                try:
                    contents[place] = self._content(modality, given)
                except ValueError as error:
                    answers[place]["problems"].append(_problem(str(error), place, modality))
        if not contents:
            return rows
        places, encoder = list(contents), self._encoders.by_modality[modality]
        names = [f"the {modality} of item {place}" for place in places]
        sources = list(contents.values())
        try:
            found = embed_each(modality, encoder, sources, names, describe, self._limits, at_once=_AT_ONCE)
        except IntentError as error:
            raise Problem(422, str(error), where="describe") from None
        for position, why in found.errors.items():
            answers[places[position]]["problems"].append(_problem(str(why), places[position], modality))
        read = [places[position] for position in found.positions]
        rows[read] = found.vectors
        for place, text in zip(read, found.texts, strict=False):  # no texts if none were asked for
            answers[place]["texts"][modality] = text
        return rows

    def _content(self, modality: str, given: str) -> bytes:
        """Bytes of a file.

        Raises:
            ValueError: no base64, or no encoder for them.
        """
        if modality not in self._encoders.by_modality:
            raise ValueError(f"this service has no encoder of {modality}; leave it out")
        try:
            return base64.b64decode(given, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(f"the {modality} is no base64; encode the content of a file so") from None


def _problem(sentence: str, place: int, modality: str) -> dict[str, Any]:
    return Problem(422, sentence, "unreadable-media", f"items.{place}.{modality}").content()
