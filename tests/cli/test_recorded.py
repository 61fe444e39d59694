"""Recorded experiments: the file, the page made of it, checks of runs, and running what an entry says."""

from __future__ import annotations

import json
import re
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cli.calling import call, refusal
from test_readme import anchor_of, understood

from metalore.cli import _recorded, _running
from metalore.cli._checking import Verdict, check, found_in
from metalore.cli._experiments import STUDIES
from metalore.cli._guide import BEGIN, with_experiments
from metalore.cli._recorded import Number, recorded

ROOT = Path(__file__).parents[2]
EXPERIMENTS = recorded()

ENTRY = """
[[experiment]]
name = "tiny"
shows = "a number"
commands = ["python {script} {{out}}"]
docs = "results.md#static"
seeds = "1"
time = "1 s"
figures = ["drawn/*.svg"]
file = "found.json"
numbers = [
  {{ name = "ranged", value = 10.0, spread = [9, 11.5], at = ["runs", "ppo-[0-9]", 0] }},
  {{ name = "deviating", value = 2.50, spread = 0.25, at = ["rows", {{ kind = ["a", "b*"], of = "x" }}, "value"] }},
  {{ name = "exact", value = 50.0, spread = "exact", at = ["part"], scale = 100 }},
  {{ name = "less", value = 3, spread = "exact", at = ["part"], less = ["base"], scale = 10 }},
  {{ name = "relative", value = 1.50, spread = "exact", at = ["part"], less = ["base"], relative = true }},
  {{ name = "shown", value = 1234, spread = "one seed", file = "output.txt", at = '^speed +([\\d,.]+)' }},
  {{ name = "table", value = 7, spread = "exact", file = "*.csv", at = [{{ name = "mine" }}, "mae"] }},
]
"""
SCRIPT = """
import json, pathlib, sys
out = pathlib.Path(sys.argv[1])
rows = [{"kind": kind, "of": "x", "value": value} for kind, value in {"a": 2, "bc": 3, "c": 99}.items()]
(out / "found.json").write_text(json.dumps(
    {"runs": {"ppo-1": [9], "ppo-2": [11], "ppo-x": [99]}, "rows": rows, "part": 0.5, "base": 0.2}))
(out / "table.csv").write_text("name,mae\\nmine,6\\nmine,8\\nmine,\\nother,99\\n")
(out / "drawn").mkdir()
(out / "drawn" / "a.svg").write_text("<svg/>")
print("speed   1,300 a second")
"""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with one small experiment in place of the real one; its script lies in benchmarks/ of a checkout."""
    monkeypatch.setattr(_running, "ROOT", tmp_path)
    script = tmp_path / "benchmarks" / "tiny.py"
    script.parent.mkdir()
    script.write_text(SCRIPT)
    file = tmp_path / "recorded.toml"
    file.write_text(ENTRY.format(script="benchmarks/tiny.py"))
    monkeypatch.setattr(_recorded.recorded, "__defaults__", (file,))
    return tmp_path


def checked(words: tuple[Any, ...], file: Path, change: tuple[str, str] | None = None) -> Any:
    """What a check prints, after a change of a file."""
    if change is not None:
        text = file.read_text()
        assert change[0] in text
        file.write_text(text.replace(*change))
    return call("reproduce", "--check", "tiny", *words)


# -- the file and its page ---------------------------------------------------------------------------------------------


def test_every_study_is_recorded() -> None:
    assert {name for name, one in EXPERIMENTS.items() if one.study} == set(STUDIES)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_entry_is_true_of_the_repository(name: str) -> None:
    """Its commands and scripts exist, its page has that heading, and its patterns can find one number."""
    one = EXPERIMENTS[name]
    assert re.fullmatch(r"[a-z0-9-]+", name)
    assert all(command.startswith(("python ", "metalore ")) for command in one.commands)
    for command in (*one.commands, *one.before):
        if command.startswith("metalore "):
            assert understood(command.replace("{out}", "x").replace("{data}", "y")), command
        for script in re.findall(r"(?:benchmarks|examples|tests|tools)/[\w./-]+", command):
            assert (ROOT / script).exists(), command
    page, _, anchor = one.docs.partition("#")
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert anchor in [anchor_of(heading) for heading in re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)]
    assert len({number.name for number in one.numbers}) == len(one.numbers)
    assert one.numbers or one.figures
    for number in one.numbers:
        if isinstance(number.at, str):
            assert re.compile(number.at).groups == 1, number.name
        if number.bounds is not None:
            low, high = number.bounds
            assert low - number.rounding <= float(number.value) <= high + number.rounding, number.name


PUBLISHED = [
    (name, number.value)
    for name, one in EXPERIMENTS.items()
    for number in one.numbers
    if not re.search("mean of seeds|^last evaluation|^PPO over", number.name)
]
"""Of the left out, pages have the seeds one by one."""


@pytest.mark.parametrize("name", sorted({name for name, _ in PUBLISHED}))
def test_numbers_are_those_of_the_page(name: str) -> None:
    page = EXPERIMENTS[name].docs.partition("#")[0]
    text = (ROOT / "docs" / page).read_text(encoding="utf-8").replace(",", "")
    for _, value in (row for row in PUBLISHED if row[0] == name):
        assert re.search(rf"(?<![\d.]){re.escape(str(abs(value)))}(?!\.?\d)", text), f"{value} is not in {page}"


def test_the_guide_is_that_of_the_file() -> None:
    page = (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8")
    assert with_experiments(page, EXPERIMENTS.values()) == page, "run tools/reproduce-page"
    assert not re.search("{(out|data)}", page), "a reader's shell knows neither"
    with pytest.raises(ValueError, match="has no lines"):
        with_experiments(page.replace(BEGIN, ""), EXPERIMENTS.values())


def test_an_unknown_spread_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "recorded.toml"
    file.write_text(ENTRY.format(script="x").replace('"one seed"', '"one sed"'))
    with pytest.raises(ValueError, match="the spread of 'shown' is 'one sed'; words are exact, one seed"):
        recorded(file)


def test_a_list_shows_each_and_one_by_name_all_its_numbers() -> None:
    shown = call("reproduce", "--list").stdout
    for name, one in EXPERIMENTS.items():
        assert f"{name}: {one.shows}\n" in shown
    assert "\n            and 10 more: metalore reproduce --list static\n" in shown
    one = call("reproduce", "--list", "static").stdout
    assert "return, even split: 1,210 (1,196 to 1,224)" in one
    assert "GPU       not measured" in one
    assert "docs/results.md#reference-cell" in one


# -- running and checking ----------------------------------------------------------------------------------------------


def test_a_run_is_kept_and_checked(tiny: Path) -> None:
    out = tiny / "out"
    ran = call("reproduce", "tiny", "--out", out)
    assert ran.exit_code == 0
    assert (out / "output.txt").read_text() == "speed   1,300 a second\n"
    about = json.loads((out / "reproduced.json").read_text())
    assert about["experiment"] == "tiny"
    assert about["versions"]["python"] == sys.version.split()[0]
    result = checked(("--results", out), out / "found.json")
    assert result.exit_code == 0, result.stdout
    assert "6 of 7 numbers are the same or inside, 0 outside or missing, 1 not judged" in result.stdout
    assert "not judged (+5.3 %)" in result.stdout
    assert "all figures are there" in result.stdout


@pytest.mark.parametrize(
    ("file", "change", "verdict"),
    [
        ("found.json", ("[11]", "[16]"), "outside by 1 (+25.0 %)"),
        ("found.json", ("[11]", "[13]"), "inside (+10.0 %)"),
        ("found.json", ('"value": 3', '"value": 5'), "outside by 0.5 (+40.0 %)"),
        ("found.json", ('"part": 0.5', '"part": 0.501'), "outside by 0.1 (+0.2 %)"),
        ("found.json", ("ppo-1", "ppo-x1"), "inside (+10.0 %)"),
        ("found.json", ('"base"', '"bias"'), "missing"),
        ("table.csv", ("mine,8", "mine,12"), "outside by 2 (+28.6 %)"),
        ("output.txt", ("speed", "sped"), "missing"),
    ],
)
def test_what_was_changed_is_told(tiny: Path, file: str, change: tuple[str, str], verdict: str) -> None:
    out = tiny / "out"
    call("reproduce", "tiny", "--out", out)
    result = checked(("--results", out), out / file, change)
    assert verdict in result.stdout
    assert result.exit_code == int("inside (" not in verdict)


def test_a_missing_figure_fails(tiny: Path) -> None:
    out = tiny / "out"
    call("reproduce", "tiny", "--out", out)
    (out / "drawn" / "a.svg").unlink()
    result = checked(("--results", out), out / "found.json")
    assert result.exit_code == 1
    assert "figures missing: drawn/*.svg" in result.stdout


def test_refusals(tiny: Path) -> None:
    assert refusal("reproduce", "--check", "tiny", "--results", tiny / "no") == (
        f"there is no folder {tiny / 'no'}; run metalore reproduce tiny, or give --results"
    )
    assert refusal("reproduce", "tiny", "--seed", 3, "--out", tiny / "out") == (
        "tiny runs commands that are fixed; --seed is for those that train here"
    )
    assert call("reproduce", "--check").exit_code == 2
    assert call("reproduce", "tiny", "--results", tiny).exit_code == 2
    out = tiny / "out"
    call("reproduce", "tiny", "--out", out)
    (out / "found.json").write_text("{")
    assert "found.json is not what the experiment writes: Expecting" in refusal(
        "reproduce", "--check", "tiny", "--results", out
    )
    (tiny / "benchmarks" / "tiny.py").write_text("raise SystemExit(3)")
    assert refusal("reproduce", "tiny", "--out", out) == "python benchmarks/tiny.py {out} ended with exit code 3"
    (tiny / "benchmarks" / "tiny.py").unlink()
    assert refusal("reproduce", "tiny", "--out", tiny / "new") == (
        "tiny runs benchmarks/tiny.py, which is no part of the installed package; run it in a checkout"
    )
    assert not (tiny / "new").exists()


def test_data_lie_where_the_environment_says(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tiny / "benchmarks" / "tiny.py").write_text("import sys; print(sys.argv[1])")
    file = tiny / "recorded.toml"
    file.write_text(file.read_text().replace("{out}", "{data}/city"))
    for named, said in (("", "unset"), (str(tiny / "no"), str(tiny / "no"))):
        monkeypatch.setenv("METALORE_DATA", named)
        assert refusal("reproduce", "tiny", "--out", tiny / "out") == (
            f"tiny reads data; METALORE_DATA must name their folder, and is {said}"
        )
    monkeypatch.setenv("METALORE_DATA", str(tiny))
    call("reproduce", "tiny", "--out", tiny / "out")
    assert (tiny / "out" / "output.txt").read_text() == f"{tiny}/city\n"


def test_what_a_benchmark_prints_is_read(tmp_path: Path) -> None:
    """The README shows the printout that its numbers are from."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (tmp_path / "output.txt").write_text(readme.partition("```text\n")[2].partition("```")[0])
    assert {verdict.word for verdict in check(EXPERIMENTS["simulator"], tmp_path)} == {"same"}


def test_verdicts_at_the_edges(tmp_path: Path) -> None:
    """Two deviations to each side count, and half a unit of the last digit on top; NaN is no number."""

    def number(spread: Any, value: str = "42.4") -> Number:
        return Number("a", Decimal(value), spread, ["x"], "f.json")

    for found, word in ((42.449, "same"), (43.84, "inside"), (43.86, "outside"), (40.96, "inside"), (40.94, "outside")):
        assert Verdict(number(Decimal("0.7")), found).word == word, found
    assert Verdict(number("exact"), 42.46).word == "outside"
    assert Verdict(number("speed"), 99.0).word == "not judged"
    assert Verdict(number((Decimal(40), Decimal(43))), 43.04).word == "inside"
    assert Verdict(number("exact", "0"), 3.0).text == "outside by 3 (+3)"
    (tmp_path / "f.json").write_text('{"x": NaN}')
    assert found_in(tmp_path, number("exact")) is None
