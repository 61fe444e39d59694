"""`metalore data`: what is listed, what is found wrong, and cities that can be loaded."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from cli.calling import call, refusal
from telemetry.real_data import REAL_DATA, needs_real_data

from metalore.scenario import load
from metalore.telemetry.datasets import DATASETS

SITES = "name,lat,lon\nQuay,-37.810,144.960\nMarket,-37.812,144.965\nPark,-37.815,144.970\n"
COUNTERS = "id,lat,lon\n1,-37.8101,144.9601\n2,-37.8102,144.9601\n3,-37.8121,144.9651\n4,-37.8125,144.9651\n"


@pytest.fixture(autouse=True)
def _no_data_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METALORE_DATA", raising=False)


@pytest.fixture
def tables(tmp_path: Path) -> list[str]:
    """Three sites, four counters of which one is silent, two days with gaps; as options."""
    (tmp_path / "sites.csv").write_text(SITES)
    (tmp_path / "counters.csv").write_text(COUNTERS)
    with (tmp_path / "counts.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["time", 1, 2, 3, 4])
        for hour in range(48):
            gap = 5 <= hour < 8
            time = np.datetime64("2022-08-05T00", "s") + np.timedelta64(hour, "h")
            rows.writerow([time, hour, "" if gap else 100, 7, ""])
    return [word for what in ("sites", "counts", "counters") for word in (f"--{what}", str(tmp_path / f"{what}.csv"))]


def counts_of(folder: Path) -> dict[tuple[int, str], float]:
    """People by hour and zone."""
    with (folder / "counts.csv").open(newline="") as file:
        return {(int(row["hour"]), row["zone"]): float(row["people"]) for row in csv.DictReader(file)}


@pytest.mark.parametrize("words", [["data"], ["data", "list"]])
def test_the_list_names_every_set_its_licence_and_where_it_is(words: list[str]) -> None:
    shown = call(*words).stdout
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line and not line.startswith(" ")] == list(DATASETS)
    text = " ".join(shown.split())
    for known in DATASETS.values():
        assert f"Licence: {known.licence}" in text
        assert f"From: {known.source}" in text
    assert "://" not in shown


def test_help_fits() -> None:
    for words in ([], ["list"], ["check"], ["city"]):
        result = call("data", *words, "--help")
        assert result.exit_code == 0
        assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_check_fails_and_says_why_or_says_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "azure_v2_vm_cpu_mem_30d_300s.csv"
    rows = [f"{300 * i},{i},{i % 7}" for i in range(8640)]
    file.write_text("\n".join(["timestamp,cpu_usage,assigned_mem", *rows]))
    result = call("data", "check", "azure_v2", "--data", tmp_path)
    assert (result.exit_code, result.stdout) == (0, "azure_v2: complete\n")
    rows[100] = "30000,broken,3"
    file.write_text("\n".join(["timestamp,cpu_usage,assigned_mem", *rows]))
    monkeypatch.setenv("METALORE_DATA", str(tmp_path))
    result = call("data", "check", "azure_v2")
    assert result.exit_code == 1
    assert result.stdout == f"azure_v2: 1 wrong\n  {file}, row 102: cpu_usage is 'broken', not a number\n"
    result = call("data", "check")
    assert result.exit_code == 1
    assert f"barcelona_lte: 6 wrong\n  {tmp_path / 'ElBorn.csv'} is missing\n" in result.stdout


def test_checks_that_cannot_be(tmp_path: Path) -> None:
    assert refusal("data", "check", "milan", "--data", tmp_path).startswith("there is no data set 'milan'")
    assert "say where the data is with --data DIR" in refusal("data", "check")
    assert call("data", "check", "los_loop", "--data", tmp_path / "nowhere").exit_code == 1


def test_a_city_from_tables_follows_the_counts(
    tables: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("data", "city", *tables, "--days", 1, "--users", 50, "--from", "2022-08-05T01", "--out", "town")
    assert result.exit_code == 0
    assert "left out, since they did not count in this time: 4" in result.stdout
    assert "3 counters at 2 sites" in result.stdout
    assert "6.2% of these sites' hours are gaps" in result.stdout  # 3 of 2 * 24
    monkeypatch.chdir("/")  # the scenario works from anywhere
    city = load(tmp_path / "town" / "city.toml")
    assert (city.name, city.users.count, city.max_steps) == ("town", 50, 86_400)
    assert city.city is not None
    assert (city.city.start_day, city.city.start_hour) == (4, 1.0)  # a Friday
    assert city.city.counts is not None
    assert Path(city.city.counts.file) == tmp_path / "town" / "counts.csv"
    counts = counts_of(tmp_path / "town")
    assert set(counts) == {(h, "Market") for h in range(24)} | {(h, "Quay") for h in range(24) if h not in (4, 5, 6)}
    assert counts[0, "Quay"] == 101  # hour 1 of the day: 1 and 100
    assert counts[23, "Quay"] == 124
    assert "Park" not in {zone for _, zone in counts}
    readme = (tmp_path / "town" / "README.md").read_text()
    assert "3 counters at 2 sites" in readme
    assert str(tmp_path / "counters.csv") in readme


def test_hours_in_which_nobody_counted_are_told(tables: list[str], tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    lines = path.read_text().splitlines()
    lines[10] = "2022-08-05T09:00:00,,,,"
    lines[24] = "2022-08-05T23:00:00,,,,"
    path.write_text("\n".join(lines))
    said = call("data", "city", *tables, "--days", 1, "--out", tmp_path / "one").stdout
    assert "in 2 hours nobody counted anywhere; the last hour is one, so the count before is held" in said
    said = call("data", "city", *tables, "--days", 2, "--out", tmp_path / "two").stdout
    assert "in 2 hours nobody counted anywhere\n" in said


def test_a_city_without_counts_has_a_rhythm(tables: list[str], tmp_path: Path) -> None:
    out = tmp_path / "town"
    words = ["data", "city", *tables[:2], "--out", out, "--step-s", "2", "--set", "users.requests.probability=0.1"]
    assert call(*words, "--days", "2").exit_code == 0
    city = load(out / "city.toml")
    assert city.city is not None
    assert city.city.counts is None
    assert [s.kind for s in city.stations][1] == "office"  # the one in the middle
    assert (city.step_s, city.max_steps, city.users.requests.probability) == (2.0, 86_400, 0.1)
    assert not (out / "counts.csv").exists()
    assert refusal(*words) == f"{out / 'city.toml'} exists; --force overwrites it"
    assert load(out / "city.toml") == city
    assert call(*words, "--force").exit_code == 0
    assert load(out / "city.toml").max_steps == 302_400


def test_duplicates_are_merged_when_asked(tables: list[str], tmp_path: Path) -> None:
    (tmp_path / "sites.csv").write_text(SITES + "Quay 2,-37.810,144.960\n")
    assert "--merge-duplicates" in refusal("data", "city", *tables[:2], "--out", tmp_path / "town")
    assert call("data", "city", *tables[:2], "--merge-duplicates", "--out", tmp_path / "town").exit_code == 0
    assert [s.name for s in load(tmp_path / "town" / "city.toml").stations] == ["Quay", "Market", "Park"]


def test_cities_that_cannot_be_leave_nothing_behind(tables: list[str], tmp_path: Path) -> None:
    out = tmp_path / "town"

    def refused(*words: object) -> str:
        return refusal("data", "city", *words, "--out", out)

    assert refused() == "say melbourne, or give a table of sites with --sites"
    assert "say where the data is" in refused("melbourne")
    assert "there is no place 'milan'" in refused("milan")
    assert "not both" in refused("melbourne", *tables[:2])
    assert "melbourne_sites cannot be used" in refused("melbourne", "--data", tmp_path)
    assert "give both" in refused(*tables[:4])
    assert "No such file" in refused("--sites", tmp_path / "missing.csv")
    assert "'soon' is no date" in refused(*tables, "--from", "soon")
    assert "'2022-02-30' is no date" in refused(*tables, "--from", "2022-02-30")
    assert "are not all counted: the table goes from 2022-08-05T00:00:00" in refused(*tables, "--days", 3)
    assert "no counter lies within 1 m" in refused(*tables, "--days", 1, "--within", 1)
    assert "a step lasts more than 0 s" in refused(*tables[:2], "--step-s", 0)
    assert "has no column 'height'" in refused(*tables[:2], "--latitude", "height")
    assert "unknown setting users.cuont" in refused(*tables[:2], "--set", "users.cuont=3")
    assert not out.exists()
    assert call("data", "city", *tables[:2], "--days", 0).exit_code == 2


@needs_real_data
def test_melbourne(tmp_path: Path) -> None:
    out = tmp_path / "melbourne"
    result = call("data", "city", "melbourne", "--data", REAL_DATA, "--from", "2022-08-01", "--out", out)
    assert result.exit_code == 0
    city = load(out / "city.toml")
    assert (len(city.stations), city.max_steps) == (125, 604_800)
    assert city.city is not None
    assert (city.city.start_day, city.city.start_hour) == (0, 0.0)
    counts = counts_of(out)
    assert {zone for _, zone in counts} < {station.name for station in city.stations}
    assert {hour for hour, _ in counts} == set(range(168))
    by_hour = np.array([sum(n for (h, _), n in counts.items() if h % 24 == hour) for hour in range(24)])
    assert by_hour.argmin() in (3, 4)  # the city sleeps,
    assert by_hour.argmax() in (12, 13, 16, 17)  # and has lunch or goes home
    assert "do not redistribute" in (out / "README.md").read_text()
