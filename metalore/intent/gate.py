"""Which intents are believed: policies by name, a file of announced intents, and what the forecast holds possible.

A forecast may not know yet what an intent announces, so its silence is not held against a policy as much as its word.
Of the range from its lowest to its highest quantile, the change of a zone that is nearest to the policy's counts as
expected. Where that is less than half of the policy's, half of it counts, unless the whole range lies on the other
side: then the policy goes against the forecast.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from metalore.intent.errors import IntentError
from metalore.intent.verify import (
    LEAST_CHANGE,
    N_GRAMS,
    THRESHOLD,
    Edges,
    Encoder,
    Policy,
    Verdict,
    sentence_encoder,
    verify,
)

Possible = Mapping[str, tuple[float, float]]
"""The least and the most by which the forecast changes each zone, as parts of what it used before."""


SILENCE = 0.5
"""Part of a policy's change that counts as expected where the forecast neither shows it nor goes against it."""


def expected_change(wanted: float, low: float, high: float) -> float:
    """What a forecast is taken to expect of a zone, beside a policy.

    Args:
        wanted: the policy's change.
        low, high: between which the forecast holds the change possible.
    """
    nearest = min(max(wanted, low), high)
    shown, size = math.copysign(nearest, nearest * wanted), abs(wanted)
    if shown <= -LEAST_CHANGE:
        return nearest
    return math.copysign(max(shown, min(size, max(SILENCE * size, LEAST_CHANGE))), wanted)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PolicyEntry(_Strict):
    """See :class:`metalore.intent.verify.Policy`."""

    words: str
    changes: Annotated[dict[str, float], Field(min_length=1)]


class Intent(_Strict):
    """Somebody's intent.

    Attributes:
        texts: captions, transcripts and descriptions of it.
        policy: that it would trigger, by name.
        from_s, until_s: while its load is there, s on the clock of who acts.
    """

    texts: Annotated[tuple[str, ...], Field(min_length=1)]
    policy: str
    from_s: FiniteFloat
    until_s: FiniteFloat


class IntentsFile(_Strict):
    """What may be triggered, by what.

    Attributes:
        policies: by name.
        intents: may be none.
        threshold: of scores.
        sentence_encoder: name of the hub, or a folder; unset: character n-grams.
    """

    policies: Annotated[dict[str, PolicyEntry], Field(min_length=1)]
    intents: tuple[Intent, ...] = ()
    threshold: Annotated[float, Field(ge=0, le=1)] = THRESHOLD
    sentence_encoder: str | None = None

    @classmethod
    def read(cls, path: Path) -> IntentsFile:
        """From JSON.

        Raises:
            IntentError: no JSON, or something that cannot be, with where it lies.
            OSError: the file cannot be read.
        """
        try:
            found = cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise IntentError(f"{path}: {where}: {first['msg'][0].lower()}{first['msg'][1:]}") from None
        for number, intent in enumerate(found.intents):
            if intent.policy not in found.policies:
                known = ", ".join(found.policies)
                raise IntentError(
                    f"{path}: intents.{number}.policy: there is no policy {intent.policy!r}; there are {known}"
                )
        return found


@dataclass(frozen=True)
class Gate:
    """What every intent must pass.

    Attributes:
        policies: by name.
        threshold: of scores.
        encoder: of sentences; unset: character n-grams.
        encoder_name: what to call it.
    """

    policies: Mapping[str, Policy]
    threshold: float = THRESHOLD
    encoder: Encoder | None = None
    encoder_name: str = N_GRAMS

    @classmethod
    def read(cls, path: Path) -> tuple[Gate, Sequence[Intent]]:
        """A gate and the intents that are announced, from a file of :class:`IntentsFile`.

        Raises:
            IntentError: the file is wrong, or the encoder of sentences cannot be had.
            OSError: it cannot be read.
        """
        file, policies = IntentsFile.read(path), {}
        for name, entry in file.policies.items():
            try:
                policies[name] = Policy(entry.words, entry.changes)
            except IntentError as error:
                raise IntentError(f"{path}: policies.{name}: {error}") from None
        if (wanted := file.sentence_encoder) is None:
            return cls(policies, file.threshold), file.intents
        encoder = sentence_encoder(wanted)
        if encoder is None:
            raise IntentError(f"{path} asks for the sentence encoder {wanted}; install sentence-transformers for it")
        return cls(policies, file.threshold, encoder, wanted), file.intents

    def judge(self, policy: str, texts: Sequence[str], possible: Possible, edges: Edges) -> Verdict:
        """Whether an intent is believed.

        Zones that the policy does not name stay the forecast's business: that it changes them says nothing against it.

        Args:
            policy: name of the one it would trigger.
            texts: of the intent.
            possible: of the policy's zones, by the forecast.
            edges: of the zone graph.
        """
        wanted = self.policies[policy]
        others = [other.words for name, other in self.policies.items() if name != policy]
        expected = {
            zone: expected_change(change, *possible[zone])
            for zone, change in wanted.changes.items()
            if zone in possible
        }
        return verify(
            texts, wanted, expected, edges, threshold=self.threshold, others=others, encoder=self.encoder,
            encoder_name=self.encoder_name,
        )  # fmt: skip
