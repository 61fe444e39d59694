"""A folder with a city in it: scenario, counts, and what they were made from."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import typer

from metalore.cli._toml import commented_toml
from metalore.files import replacing, write_text
from metalore.telemetry.datasets import Dataset, check, dataset, folder_of
from metalore.telemetry.datasets.readers import PEDESTRIANS_FILE, SENSORS_FILE, SITES_FILE
from metalore.telemetry.places import (
    AssignedCounts,
    PeopleCounts,
    PlacesError,
    Sites,
    assign_counts,
    city_from_sites,
    read_counters,
    read_counts,
    read_sites,
    write_counts,
)

PLACES = ("melbourne",)
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d(:00(:00)?)?)?")

_HEADING = """A city from real places, by MetaLore.
Check it with: metalore scenarios check {file}
The counts lie at an absolute path; write the city again, or change city.counts.file, when you move them."""


@dataclass(frozen=True)
class Sources:
    """Tables that a city is made from, the columns of the sites', and the public sets that they belong to."""

    sites: Path
    counts: Path | None = None
    counters: Path | None = None
    latitude: str | None = None
    longitude: str | None = None
    name: str | None = None
    sets: tuple[Dataset, ...] = ()


def checked_place(place: str | None, sites: Path | None) -> bool:
    """Whether a known place is asked for.

    Raises:
        PlacesError: the place is not known, or both it and a table are given.
    """
    if place is None:
        return False
    if place not in PLACES:
        raise PlacesError(f"there is no place {place!r}; places are {', '.join(PLACES)}, or give your own --sites")
    if sites is not None:
        raise PlacesError(f"give the place {place} or --sites, not both")
    return True


def melbourne(data: Path) -> Sources:
    """The sites of Melbourne and the people counted there.

    Raises:
        PlacesError: a file is missing or not what it should be.
    """
    sets = (dataset("melbourne_sites"), dataset("melbourne_pedestrians"))
    for known in sets:
        if findings := check(known, data):
            raise PlacesError(f"{known.name} cannot be used: {findings[0]} (all findings: metalore data check)")
    folder = folder_of(sets[0], data)
    return Sources(folder / SITES_FILE, folder / PEDESTRIANS_FILE, folder / SENSORS_FILE, name="SITE_ID", sets=sets)


def hour_of(text: str) -> np.datetime64:
    """A date, with or without an hour, as the beginning of an hour.

    Raises:
        PlacesError: it is none.
    """
    try:
        if _DATE.fullmatch(text):
            return np.datetime64(text, "s")
    except ValueError:
        pass
    raise PlacesError(f"{text!r} is no date like 2022-08-01 or hour like 2022-08-01T13")


def build(
    sources: Sources,
    out: Path,
    *,
    start: np.datetime64 | None,
    days: int,
    users: int,
    step_s: float,
    within_m: float | None,
    merge_duplicates: bool,
    changes: Mapping[str, Any],
    force: bool,
) -> None:
    """Write city.toml, counts.csv and README.md, and say what they hold.

    Raises:
        PlacesError: tables that cannot be, or a city is there already.
        ScenarioError: settings that cannot be.
        OSError: a file cannot be read or written.
    """
    toml, table = out / "city.toml", out / "counts.csv"
    if toml.exists() and not force:
        raise PlacesError(f"{toml} exists; --force overwrites it")
    if (sources.counts is None) != (sources.counters is None):
        raise PlacesError("--counts says how many people each counter saw and --counters where it stands; give both")
    if not (step_s > 0 and math.isfinite(step_s)):
        raise PlacesError(f"a step lasts more than 0 s, not {step_s:g}")
    sites = read_sites(
        sources.sites,
        latitude=sources.latitude,
        longitude=sources.longitude,
        name=sources.name,
        merge_duplicates=merge_duplicates,
    )
    counted = None if sources.counts is None else _counted(sources, sites, start, days, within_m)
    begin = np.datetime64("2024-01-01T00", "s") if start is None else start
    if counted is not None:
        begin = counted.assigned.hours[0]
    scenario = city_from_sites(
        sites,
        users=users,
        name=out.resolve().name or "city",
        description=f"{len(sites)} real sites" + (f", people as counted from {begin}." if counted else "."),
        counts_file=table if counted else None,
        start=begin,
        step_s=step_s,
        max_steps=math.ceil(days * 86_400 / step_s),
    ).updated(**changes)
    facts = [
        f"{len(sites)} sites on a map of {scenario.map.width_m / 1000:.1f} km x {scenario.map.height_m / 1000:.1f} km, "
        f"{users} users, {days} days from {begin}"
    ]
    if counted is not None:
        facts += counted.facts
        with replacing(table) as temporary:
            write_counts(temporary, sites, counted.assigned)
    write_text(out / "README.md", _readme(sources, facts))
    write_text(toml, commented_toml(scenario, _HEADING.format(file=toml)))
    for fact in facts:
        typer.echo(fact)
    typer.echo(f"wrote {toml}; check it with: metalore scenarios check {toml}")


@dataclass(frozen=True)
class _Counted:
    assigned: AssignedCounts
    facts: list[str]


def _counted(
    sources: Sources, sites: Sites, start: np.datetime64 | None, days: int, within_m: float | None
) -> _Counted:
    """The people of the wanted days by site, and what was left out."""
    assert sources.counts is not None
    assert sources.counters is not None
    table = read_counts(sources.counts)
    wanted, silent = table.between(table.hours[0] if start is None else start, 24 * days).without_silent()
    if not wanted.places:
        raise PlacesError(f"{sources.counts}: nobody counted in the {days} days from {wanted.hours[0]}")
    counters = read_counters(sources.counters, wanted.places)
    assigned = assign_counts(sites, counters, wanted, within_m)
    return _Counted(assigned, _facts(wanted, assigned, silent))


def _facts(counts: PeopleCounts, assigned: AssignedCounts, silent: tuple[str, ...]) -> list[str]:
    used = assigned.site >= 0
    away = assigned.distance_m[used]
    facts = [
        f"{used.sum()} counters at {assigned.counted.sum()} sites, {np.median(away):,.0f} m away in the median and "
        f"{away.max():,.0f} m at most; the other sites pull nobody",
        f"{1 - assigned.mask[:, assigned.counted].mean():.1%} of these sites' hours are gaps, which have no row",
    ]
    if silent:
        facts.append(f"left out, since they did not count in this time: {', '.join(silent)}")
    if not used.all():
        far = [name for name, near in zip(counts.places, used, strict=True) if not near]
        facts.append(f"left out, since no site is near enough: {', '.join(far)}")
    nobody = np.flatnonzero(~assigned.mask.any(axis=1))
    if len(nobody):
        held = "; the last hour is one, so the count before is held" if nobody[-1] == len(counts.hours) - 1 else ""
        facts.append(f"in {len(nobody)} hours nobody counted anywhere{held}")
    gone = int((assigned.counted & ~assigned.mask.any(axis=0)).sum())
    if gone:
        facts.append(f"{gone} of these sites have gaps only, and pull nobody either")
    return facts


def _readme(sources: Sources, facts: list[str]) -> str:
    lines = ["# A city from real places", "", "Written by `metalore data city`.", ""]
    lines += [f"- {fact}" for fact in facts]
    lines += ["", "## Sources", ""]
    files = [path for path in (sources.sites, sources.counts, sources.counters) if path is not None]
    lines += [f"- `{path}`" for path in files]
    if sources.sets:
        lines += ["", "## Licence", ""]
        lines += [f"- {known.name}: {known.licence}. From {known.source}." for known in sources.sets]
        lines += ["", "`city.toml` and `counts.csv` are derived from them: the same terms hold for passing them on."]
    return "\n".join(lines) + "\n"
