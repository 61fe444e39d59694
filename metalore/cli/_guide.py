"""Recorded experiments in words: for the terminal, and for docs/reproduce.md."""

from __future__ import annotations

import re
from collections.abc import Iterable

from metalore.cli._recorded import Experiment, Number

BEGIN, END = "<!-- experiments: written by tools/reproduce-page -->", "<!-- end of experiments -->"
SHOWN = 4
"""Numbers of each in a list of all."""
QUICK = re.compile("[1-5] s")
"""Times of experiments that run in the tests; others are marked with why not."""
TESTED = "tests/cli/test_recorded.py checks that its commands exist and that its numbers are those of the page"


def listing(experiment: Experiment, most: int | None = None) -> str:
    """A few lines about an experiment, with at most so many of its numbers."""
    shown = experiment.numbers[:most]
    left = len(experiment.numbers) - len(shown)
    expected = [_expected(number) for number in shown]
    if left:
        expected.append(f"and {left} more: metalore reproduce --list {experiment.name}")
    rows = [
        ("first", experiment.before),
        ("command", experiment.commands),
        ("seeds", [experiment.seeds]),
        ("2 cores", [experiment.time]),
        ("GPU", [experiment.gpu or "not measured"]),
        ("checked", [experiment.checked or "no"]),
        ("expected", expected or ["no number is recorded"]),
        ("spread", [experiment.spread] if experiment.spread else []),
        ("figures", experiment.figures),
        ("docs", [f"docs/{experiment.docs}".replace("docs/../", "")]),
    ]
    lines = [f"{experiment.name}: {experiment.shows}"]
    for heading, texts in rows:
        lines += [f"  {heading if i == 0 else '':9} {text}" for i, text in enumerate(texts)]
    return "\n".join(lines)


def with_experiments(page: str, experiments: Iterable[Experiment]) -> str:
    """The page with what stands between its two marks written anew.

    Raises:
        ValueError: it has no such marks.
    """
    before, mark, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (mark and end):
        raise ValueError(f"the page has no lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{markdown(list(experiments))}\n{END}{after}"


def markdown(experiments: list[Experiment]) -> str:
    """A table of all, and a section about each."""
    rows = [
        f"| [`{one.name}`](#{one.name}) | {one.shows} | {one.time} | {one.checked or 'no'} |" for one in experiments
    ]
    head = ["| experiment | what it shows | on 2 cores | checked |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, "", *(_section(one) for one in experiments)])


def _section(one: Experiment) -> str:
    first, runs = (
        [command.replace("{data}", "$METALORE_DATA").replace("{out}", f"results/{one.name}") for command in commands]
        for commands in (one.before, one.commands)
    )
    itself = f"metalore reproduce {one.name}"
    lines = [f"### {one.name}", "", f"{_sentence(one.shows)} Published in {_link(one.docs)}.", ""]
    lines += [] if QUICK.fullmatch(one.time) else [f"<!-- skip: takes, on 2 cores: {one.time}; {TESTED} -->"]
    lines += ["```bash", *first, itself, f"metalore reproduce --check {one.name}", "```", ""]
    if runs != [itself]:
        lines += ["It runs " + ", then ".join(f"`{command}`" for command in runs) + ".", ""]
    lines += [f"- Seeds: {one.seeds}.", f"- On 2 cores: {one.time}."]
    lines += [f"- On a GPU: {one.gpu}."] if one.gpu else []
    lines += [f"- Checked: {one.checked}."] if one.checked else []
    lines += [f"- Figures: {', '.join(f'`{file}`' for file in one.figures)}."] if one.figures else []
    lines += [f"- Spread: {one.spread}."] if one.spread else []
    if one.numbers:
        lines += ["", "| number | recorded | spread |", "|---|---|---|"]
        lines += [f"| {number.name} | {number.value:,} | {number.spread_text} |" for number in one.numbers]
    return "\n".join([*lines, ""])


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _link(docs: str) -> str:
    """A link to page and heading."""
    return f"[{docs.partition('#')[0].removeprefix('../')}]({docs})"


def _expected(number: Number) -> str:
    return f"{number.name}: {number.value:,} ({number.spread_text})"
