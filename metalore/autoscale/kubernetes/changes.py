"""What has changed in a namespace, in words. No I/O.

Whatever the server says is text by anybody who may write there: it is cut, made one line, and trusted in nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metalore.autoscale.kubernetes.settings import BANDWIDTH_NOTE, CPU_NOTE, MEMORY_NOTE, ZONE
from metalore.autoscale.kubernetes.watch import DEPLOYMENTS, EVENTS, MOST_OBJECTS, Kind, Object, What

LONGEST, LONGEST_NAME = 1500, 253
"""Characters of a text, and of a name."""
_LONGEST_HELD, _MOST_CONTAINERS = 300, 20

Held = dict[str, str]
"""What an object holds: for each label, like "requests", an amount in words."""


@dataclass(frozen=True)
class Change:
    """Something that has changed.

    Attributes:
        zone: whose; a zone of the cluster.
        text: in words.
    """

    zone: str
    text: str


@dataclass(frozen=True)
class _Known:
    zone: str
    held: Held


class Ledger:
    """What is known of a namespace, at most :data:`MOST_OBJECTS` objects of each kind."""

    def __init__(self) -> None:
        self._known: dict[Kind, dict[str, _Known]] = {}
        self._told: dict[str, None] = {}
        """Events, oldest first."""

    def allocations(self) -> dict[str, str]:
        """What each zone's Deployment holds, in words."""
        return {
            one.zone: plain(_in_words(one.held), _LONGEST_HELD) for one in self._known.get(DEPLOYMENTS, {}).values()
        }

    def listed(self, kind: Kind, objects: Sequence[Object]) -> list[Change]:
        """Take what there is; what has changed since it was known. Of the first list, nothing has."""
        first, before = kind not in self._known, self._known.setdefault(kind, {})
        there = {_name(thing) for thing in objects}
        gone = [] if kind is EVENTS else [name for name in before if name not in there]
        changes = [self._gone(kind, name) for name in gone]
        changes += [self.changed(kind, "ADDED", thing) for thing in objects]
        return [] if first else [change for change in changes if change is not None]

    def changed(self, kind: Kind, what: What, thing: Object) -> Change | None:
        """Take one that has changed; what is worth a word."""
        if kind is EVENTS:
            return None if what == "DELETED" else self._event(thing)
        name = _name(thing)
        if what == "DELETED":
            return self._gone(kind, name)
        known = self._known.setdefault(kind, {})
        before, now = known.get(name), _known(kind, thing)
        if before is None and len(known) >= MOST_OBJECTS:
            return None
        known[name] = now
        if kind is DEPLOYMENTS:
            return _of_deployment(before, now, thing)
        text = "" if before is None else _differences(before.held, now.held)
        return Change(now.zone, plain(f"pod {name}: {text}{_by(thing)}")) if text else None

    def _gone(self, kind: Kind, name: str) -> Change | None:
        before = self._known.setdefault(kind, {}).pop(name, None)
        return Change(before.zone, "its Deployment is gone") if before is not None and kind is DEPLOYMENTS else None

    def _event(self, thing: Object) -> Change | None:
        meta = _at(thing, "metadata")
        key = plain(f"{_at(meta, 'uid')} {_at(meta, 'resourceVersion')}", LONGEST_NAME)
        if key in self._told:
            return None
        self._told[key] = None
        if len(self._told) > MOST_OBJECTS:
            del self._told[next(iter(self._told))]
        about = plain(_at(thing, "involvedObject", "name"), LONGEST_NAME)
        of = self._known.get(DEPLOYMENTS, {}).get(about)
        return Change(of.zone if of else about, plain(f"{_at(thing, 'reason')}: {_at(thing, 'message')}"))


def plain(text: object, longest: int = LONGEST) -> str:
    """One line of printable characters, without those that turn the direction of others, cut where it is too long."""
    cut = str(text or "")[: 4 * longest]
    line = " ".join("".join(c if c.isprintable() else " " for c in cut).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _of_deployment(before: _Known | None, now: _Known, thing: Object) -> Change | None:
    if before is None:
        return Change(now.zone, plain(f"it has a Deployment now: {_in_words(now.held)}{_by(thing)}"))
    text = _differences(before.held, now.held)
    return Change(now.zone, plain(f"{text}{_by(thing)}")) if text else None


# -- what an object holds ----------------------------------------------------------------------------------------------


def _known(kind: Kind, thing: Object) -> _Known:
    path = ("spec", "template", "spec", "containers") if kind is DEPLOYMENTS else ("spec", "containers")
    containers = [one for one in _list(_at(thing, *path)) if isinstance(one, dict)][:_MOST_CONTAINERS]
    held: Held = {}
    for container in containers:
        of = f" of {plain(_at(container, 'name'), 63)}" if len(containers) > 1 else ""
        for part in ("requests", "limits"):
            held[f"{part}{of}"] = _amounts(_at(container, "resources", part), "cpu", "memory")
    if kind is DEPLOYMENTS:
        notes = _at(thing, "metadata", "annotations")
        if _at(notes, BANDWIDTH_NOTE):
            held["bandwidth"] = f"{plain(_at(notes, BANDWIDTH_NOTE), 30)} Mbit/s"
        if _at(notes, CPU_NOTE) or _at(notes, MEMORY_NOTE):
            held["given in place"] = _amounts(notes, CPU_NOTE, MEMORY_NOTE)
    return _Known(plain(_at(thing, "metadata", "labels", ZONE), 63) or "?", held)


def _amounts(quantities: Any, cpu: str, memory: str) -> str:
    amounts = ((plain(_at(quantities, name), 30), unit) for name, unit in ((cpu, "CPU"), (memory, "memory")))
    return ", ".join(f"{amount} {unit}" for amount, unit in amounts if amount) or "nothing"


def _in_words(held: Held) -> str:
    return "; ".join(_grouped({label: amount for label, amount in held.items() if amount != "nothing"})) or "no sizes"


def _differences(before: Held, now: Held) -> str:
    """What is not as it was, like "requests and limits 250m CPU → 500m CPU"."""
    labels = [label for label in {**before, **now} if before.get(label) != now.get(label)]
    return "; ".join(_grouped({k: f"{before.get(k, 'nothing')} → {now.get(k, 'nothing')}" for k in labels}))


def _grouped(texts: Mapping[str, str]) -> Iterator[str]:
    """Labels with the same text together."""
    for text in dict.fromkeys(texts.values()):
        yield f"{' and '.join(label for label in texts if texts[label] == text)} {text}"


def _by(thing: Object) -> str:
    """Who of those that own a size has written last."""
    entries = [entry for entry in _list(_at(thing, "metadata", "managedFields")) if isinstance(entry, dict)]
    owners = [entry for entry in entries if _owns_sizes(str(entry.get("fieldsV1")))]
    newest = max(owners, key=lambda entry: str(entry.get("time")), default=None)
    return f", by {plain(newest.get('manager'), 63)}" if newest is not None else ""


def _owns_sizes(fields: str) -> bool:
    return "f:resources" in fields or any(f"f:{note}" in fields for note in (BANDWIDTH_NOTE, CPU_NOTE, MEMORY_NOTE))


# -- objects of any form -----------------------------------------------------------------------------------------------


def _name(thing: Object) -> str:
    return plain(_at(thing, "metadata", "name"), LONGEST_NAME)


def _at(thing: Any, *path: str) -> Any:
    """What lies there; None if there is nothing."""
    for step in path:
        thing = thing.get(step) if isinstance(thing, dict) else None
    return thing


def _list(thing: Any) -> list[Any]:
    return thing if isinstance(thing, list) else []
