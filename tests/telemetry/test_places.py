"""Real places: sites that can be, metres that are right, counts that are never made up."""

from __future__ import annotations

import csv
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalore.cli._toml import commented_toml
from metalore.scenario import Scenario, load
from metalore.telemetry.places import (
    PeopleCounts,
    PlacesError,
    Sites,
    assign_counts,
    city_from_sites,
    distance_m,
    project,
    read_counters,
    read_counts,
    read_sites,
    write_counts,
)
from metalore.world.build_city import city_arrays

SITES = "name,lat,lon\nQuay,-37.810,144.960\nMarket,-37.812,144.965\nPark,-37.815,144.970\n"


def written(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


# Sites


@pytest.mark.parametrize(
    "header",
    [
        "name,lat,lon",
        "NAME,LATITUDE,LONGITUDE",
        "Site_ID,Lat,Lng",
        " id , Latitude , long ",
        "\ufeffcell,lat,longitude",
    ],
)
def test_usual_columns_are_recognised(header: str, tmp_path: Path) -> None:
    sites = read_sites(written(tmp_path, SITES.replace("name,lat,lon", header)))
    assert sites.names == ("Quay", "Market", "Park")
    assert sites.lat.tolist() == [-37.81, -37.812, -37.815]
    assert sites.lon.tolist() == [144.96, 144.965, 144.97]


def test_columns_can_be_chosen_and_names_are_not_needed(tmp_path: Path) -> None:
    path = written(tmp_path, "north,east,lat,lon,NAME,code\n1,2,50,60,a,x\n1.1,2.1,50,60,a,y\n")
    sites = read_sites(path, latitude="NORTH", longitude="east", name="code")
    assert (sites.names, sites.lat.tolist(), sites.lon.tolist()) == (("x", "y"), [1, 1.1], [2, 2.1])
    assert read_sites(written(tmp_path, "lat,lon\n1,2\n1.1,2\n")).names == ("site-000", "site-001")
    numbered = written(tmp_path, "id,lat,lon\n007,1,2\n8,1.1,2\n")
    assert read_sites(numbered).names == ("site-007", "site-8")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,lat,x\na,1,2\n", "has no column lon or lng or long or longitude; its columns are name, lat, x"),
        (SITES.replace("-37.812", "here"), "row 3: lat is 'here', not a number"),
        (SITES.replace("-37.812", ""), "row 3: lat is nothing, not a number"),
        (SITES.replace("144.970", "inf"), "row 4: lon is 'inf', not a number"),
        (SITES.replace("-37.812", "-97.8"), "row 3: latitude -97.8 is not between -90 and 90 degrees"),
        (SITES.replace("144.965", "544.965"), "row 3: longitude 544.965 is not between -180 and 180 degrees"),
        ("name,lon,lat\na,-37.81,144.96\n", "latitude 144.96 is not between -90 and 90 degrees; are latitude and"),
        (SITES.replace("-37.812,144.965", "0,0"), "row 3 lies at (0, 0), which is in the sea"),
        (SITES.replace("-37.812", "37.812"), "row 3: 'Market' at (37.812, 144.965) lies 8,409 km from the median"),
        (SITES.replace("Park,-37.815", "Park,-36.9"), "row 4: 'Park' at (-36.9, 144.97) lies 101 km from"),
        (SITES.replace("Park", "Quay"), "rows 2 and 4 are both called 'Quay'; choose a column"),
        (SITES.replace("Park", " "), "row 4 has no name"),
        ("name,lat,lon\n", "has a header and no rows"),
        ("", "is empty"),
        (SITES.replace(",", ";"), "separates its columns by something else than commas: 'name;lat;lon'"),
        ("name,lat,lon\na,1,2,3\n", "is not a table of comma-separated values: a row has more entries than the header"),
        (SITES.replace("Park", "Park,West"), "is not a table of comma-separated values: Expected 3 fields in line 4"),
    ],
)
def test_sites_that_cannot_be_are_refused_in_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(PlacesError) as refused:
        read_sites(path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_empty_rows_are_skipped_and_still_counted(tmp_path: Path) -> None:
    with pytest.raises(PlacesError, match=r"row 5: lat is 'x'"):
        read_sites(written(tmp_path, "name,lat,lon\n\na,1,2\n,,\nb,x,2\n"))


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sites.csv"
    path.write_bytes(b"name,lat,lon\n\xff\xfe\x00,1,2\n")
    with pytest.raises(PlacesError, match="is not a table of comma-separated values"):
        read_sites(path)
    with pytest.raises(FileNotFoundError):
        read_sites(tmp_path / "missing.csv")


def test_sites_at_one_place_are_refused_or_merged(tmp_path: Path) -> None:
    path = written(tmp_path, SITES + "Quay 2,-37.8100000001,144.96\nQuay 3,-37.81,144.96\nHill,-37.82,144.96\n")
    with pytest.raises(PlacesError, match=r"rows 2 and 5: 'Quay' and 'Quay 2' both lie .* and 2 sites in all"):
        read_sites(path)
    merged = read_sites(path, merge_duplicates=True)
    assert merged.names == ("Quay", "Market", "Park", "Hill")
    assert merged.lat.tolist() == [-37.81, -37.812, -37.815, -37.82]


# Metres


@pytest.mark.parametrize("lat0", [-57.0, -37.8, 0.0, 41.4, 57.0])
def test_distances_20_km_from_the_centre_are_right_to_a_thousandth(lat0: float) -> None:
    bearing = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    degrees = np.degrees(20_000 / 6_371_008.8)
    lat = np.append(lat0 + degrees * np.cos(bearing), lat0)
    lon = np.append(10 + degrees * np.sin(bearing) / np.cos(np.radians(lat0)), 10.0)
    metres = project(lat, lon)
    flat = np.hypot(*(metres - metres[-1]).T)[:-1]
    true = distance_m(lat[:-1], lon[:-1], lat[-1], lon[-1])
    assert true.min() > 19_900
    assert np.abs(flat / true - 1).max() < 1e-3


@pytest.mark.parametrize(("lat0", "height_m"), [(-37.8, 3_000.0), (45.0, 13_000.0), (60.0, 20_000.0)])
def test_all_distances_keep_to_the_bound_that_the_docstring_gives(lat0: float, height_m: float) -> None:
    half = np.degrees(height_m / 2 / 6_371_008.8)
    north, east = np.meshgrid(np.linspace(-half, half, 9), np.linspace(-half, half, 9))
    lat, lon = lat0 + north.ravel(), 10 + east.ravel() / np.cos(np.radians(lat0))
    metres = project(lat, lon)
    first, second = np.triu_indices(len(lat), 1)
    flat = np.hypot(*(metres[first] - metres[second]).T)
    error = np.abs(flat / distance_m(lat[first], lon[first], lat[second], lon[second]) - 1).max()
    bound = np.tan(np.radians(abs(lat0))) * height_m / 2 / 6_371_008.8
    assert 0.9 * bound < error < 1.1 * bound


def test_east_is_right_north_is_up_and_the_map_begins_at_the_margin() -> None:
    metres = project(np.array([10.0, 10.0, 10.01]), np.array([20.0, 20.01, 20.0]), margin_m=50.0)
    assert metres[0].tolist() == [50.0, 50.0]
    assert metres[1] == pytest.approx([50 + 1095.03, 50], abs=0.1)  # 1111.95 m cos(10.005 degrees)
    assert metres[2] == pytest.approx([50, 50 + 1111.95], abs=0.01)


def test_places_on_both_sides_of_the_date_line_are_neighbours(tmp_path: Path) -> None:
    path = written(tmp_path, "name,lat,lon\na,-17,179.99\nb,-17,-179.99\nc,-17.01,180\n")
    sites = read_sites(path)
    apart = project(sites.lat, sites.lon)
    assert np.hypot(*(apart[0] - apart[1])) == pytest.approx(2127, abs=1)
    assert distance_m(-17.0, 179.99, -17.0, -179.99) == pytest.approx(2127, abs=1)


# The city


def ring(count: int) -> Sites:
    """Sites on a line to the east, 100 m apart."""
    lon = 2 + np.degrees(np.arange(count) * 100 / 6_371_008.8) / np.cos(np.radians(41))
    return Sites(tuple(f"s{i}" for i in range(count)), np.full(count, 41.0), lon)


def test_a_city_has_a_station_at_each_site() -> None:
    city = city_from_sites(ring(9), users=70, margin_m=150, sensors_per_site=3, step_s=2.0, max_steps=43_200)
    assert [s.name for s in city.stations] == [f"s{i}" for i in range(9)]
    assert [s.x_m for s in city.stations] == pytest.approx([150 + 100 * i for i in range(9)], abs=0.01)
    assert {s.y_m for s in city.stations} == {150.0}
    assert (city.map.width_m, city.map.height_m) == (1101 - 1, 300)
    assert (city.users.count, city.sensors.count, city.step_s, city.max_steps) == (70, 27, 2.0, 43_200)
    assert city.radio.path_loss == "umi"
    assert city.users.mobility.kind == "attraction"
    assert city.users.mobility.spread_m == 50.0
    assert city.buffers.device_jobs is not None
    assert city.buffers.station_jobs is not None


def test_without_counts_offices_are_in_the_middle_and_homes_around() -> None:
    names = tuple("abcdefg")
    lat = 41 + np.array([0.09, 0.0, -0.05, 0.001, -0.08, 0.04, 0.002])
    city = city_from_sites(Sites(names, lat, np.full(7, 2.0)))
    kinds = {s.name: s.kind for s in city.stations}
    assert kinds == dict(zip(names, ("home", "office", "mixed", "office", "home", "mixed", "office"), strict=True))
    assert city.city is not None
    office, _, home = city.city.kinds
    assert office.pull[12] > home.pull[12]
    assert office.pull[3] < home.pull[3]


def test_with_counts_the_path_is_absolute_and_the_clock_starts_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    city = city_from_sites(ring(2), counts_file="counts.csv", start="2022-08-06T18").city
    assert city is not None
    assert city.counts is not None
    assert Path(city.counts.file) == tmp_path / "counts.csv"
    assert (city.start_day, city.start_hour) == (5, 18.0)  # a Saturday
    assert [kind.name for kind in city.kinds] == ["mixed"]
    monday = city_from_sites(ring(2)).city
    assert monday is not None
    assert (monday.start_day, monday.start_hour) == (0, 0.0)


def test_a_city_survives_being_written(tmp_path: Path) -> None:
    for city in (city_from_sites(ring(1)), city_from_sites(ring(4), counts_file=tmp_path / "c.csv", step_s=7.0)):
        path = written(tmp_path, commented_toml(city), "city.toml")
        assert load(path) == city
        assert tomllib.loads(path.read_text())["stations"][0]["name"] == "s0"
        assert isinstance(city, Scenario)


def test_a_city_that_cannot_be_is_refused() -> None:
    with pytest.raises(PlacesError, match="margin_m -1"):
        city_from_sites(ring(2), margin_m=-1)
    with pytest.raises(ValueError, match=r"users\.count|count"):
        city_from_sites(ring(2), users=-1)


# Counts

COUNTS = """time,A,B,C
2022-08-01T00:00:00,10,1,5
2022-08-01T01:00:00,,2,6
2022-08-01T03:00:00,30,4,
"""
COUNTERS = "id,since,lat,lon,name\n3,2009,-37.8121,144.9651,C\n1,2010,-37.8101,144.9601,A\n2,2011,-37.8102,144.9601,B\n"


def test_counts_have_gaps_where_nothing_was_counted(tmp_path: Path) -> None:
    counts = read_counts(written(tmp_path, COUNTS))
    assert counts.places == ("A", "B", "C")
    assert (
        counts.hours.tolist()
        == np.arange("2022-08-01T00", "2022-08-01T04", dtype="datetime64[h]").astype("datetime64[s]").tolist()
    )
    nan = np.nan
    np.testing.assert_array_equal(counts.people, [[10, 1, 5], [nan, 2, 6], [nan, nan, nan], [30, 4, nan]])
    first, *rest = COUNTS.splitlines()
    shuffled = read_counts(written(tmp_path, "\n".join([first, *reversed(rest)])))
    np.testing.assert_array_equal(shuffled.people, counts.people)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("time,", "when,"), "has no column time or timestamp"),
        (("T01:00", "T01:30"), "row 3: 2022-08-01T01:30:00 is no whole hour"),
        (("T03:00", "T01:00"), "row 4: the hour 2022-08-01T01:00:00 comes a second time"),
        (("30,4", "-30,4"), "row 4: A counted -30 people"),
        (("30,4", "many,4"), "row 4: A is 'many', not a number"),
        (("2022-08-01T03", "first of August"), "row 4: time is 'first of August:00:00', not a time like"),
        (("2022-08-01T03:00:00", ""), "row 4: time is nothing, not a time like"),
    ],
)
def test_counts_that_cannot_be_are_refused(change: tuple[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(PlacesError) as refused:
        read_counts(written(tmp_path, COUNTS.replace(*change)))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_counts_need_times_places_and_rows(tmp_path: Path) -> None:
    with pytest.raises(PlacesError, match="holds numbers, not times"):
        read_counts(written(tmp_path, "time,A\n0,1\n3600,2\n"))
    for text in ("time\n2022-08-01\n", "time,A\n"):
        with pytest.raises(PlacesError, match="holds no counts"):
            read_counts(written(tmp_path, text))


def test_a_part_of_the_counts(tmp_path: Path) -> None:
    counts = read_counts(written(tmp_path, COUNTS))
    part = counts.between(np.datetime64("2022-08-01T01"), 2)
    assert part.hours.astype("datetime64[h]").astype(str).tolist() == ["2022-08-01T01", "2022-08-01T02"]
    kept, silent = part.without_silent()
    assert (kept.places, silent) == (("B", "C"), ("A",))
    np.testing.assert_array_equal(kept.people, [[2, 6], [np.nan, np.nan]])
    for start, hours in (("2022-08-01T01", 4), ("2022-07-31T23", 1), ("2022-08-01T04", 1)):
        with pytest.raises(PlacesError, match=r"are not all counted: the table goes from .*T00:00:00 to .*T04:00:00"):
            counts.between(np.datetime64(start), hours)


def test_counters_are_found_by_whatever_column_names_them(tmp_path: Path) -> None:
    path = written(tmp_path, COUNTERS)
    by_name = read_counters(path, ("A", "B", "C"))
    by_number = read_counters(path, ("1", "2", "3"))
    assert by_name.lat.tolist() == by_number.lat.tolist() == [-37.8101, -37.8102, -37.8121]
    with pytest.raises(PlacesError, match=r"does not say where the counters D, E stand"):
        read_counters(path, ("A", "D", "E"))
    shared_post = written(tmp_path, "id,lat,lon\n1,-37.81,144.96\n2,-37.81,144.96\n")
    assert len(read_counters(shared_post, ("1", "2"))) == 2


def test_people_go_to_the_nearest_site_and_gaps_stay_gaps(tmp_path: Path) -> None:
    sites = read_sites(written(tmp_path, SITES))
    counts = read_counts(written(tmp_path, COUNTS))
    counters = read_counters(written(tmp_path, COUNTERS), counts.places)
    assigned = assign_counts(sites, counters, counts)
    assert assigned.site.tolist() == [0, 0, 1]  # A and B at the quay, C at the market
    assert assigned.distance_m[1] == pytest.approx(23.9, abs=0.1)
    nan = np.nan
    np.testing.assert_array_equal(assigned.people, [[11, 5, nan], [nan, 6, nan], [nan] * 3, [34, nan, nan]])
    assert assigned.mask.tolist() == (~np.isnan(assigned.people)).tolist()
    assert assigned.counted.tolist() == [True, True, False]
    out = tmp_path / "counts.csv"
    assert write_counts(out, sites, assigned) == 4
    assert out.read_text() == "hour,zone,people\n0,Quay,11\n0,Market,5\n1,Market,6\n3,Quay,34\n"


def test_counters_far_from_every_site_can_be_left_out(tmp_path: Path) -> None:
    sites = read_sites(written(tmp_path, SITES))
    counts = read_counts(written(tmp_path, COUNTS))
    counters = read_counters(written(tmp_path, COUNTERS), counts.places)
    near = assign_counts(sites, counters, counts, within_m=20)
    assert near.site.tolist() == [0, -1, 1]
    np.testing.assert_array_equal(near.people[:, 0], counts.people[:, 0])
    with pytest.raises(PlacesError, match="no counter lies within 1 m of a site; the nearest is 14 m away"):
        assign_counts(sites, counters, counts, within_m=1)
    with pytest.raises(PlacesError, match="in their order"):
        assign_counts(sites, Sites(("B", "A", "C"), counters.lat, counters.lon), counts)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_nobody_is_invented_and_nobody_is_lost(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    zones, places, hours = (data.draw(st.integers(1, 6)) for _ in range(3))
    people = rng.integers(0, 100, (hours, places)).astype(float)
    people[rng.random(people.shape) < data.draw(st.floats(0, 0.7))] = np.nan
    lat, lon = rng.uniform(40, 40.05, (2, places))
    sites = Sites(tuple(map(str, range(zones))), *rng.uniform(40, 40.05, (2, zones)))
    names = tuple(f"c{i}" for i in range(places))
    times = np.datetime64("2022-01-01T00", "s") + np.arange(hours) * np.timedelta64(3600, "s")
    assigned = assign_counts(sites, Sites(names, lat, lon), PeopleCounts(times, names, people))
    for z in range(zones):
        own = people[:, assigned.site == z]
        whole = ~np.isnan(own).any(axis=1) & (own.shape[1] > 0)
        assert assigned.mask[:, z].tolist() == whole.tolist()
        assert assigned.people[whole, z].tolist() == own[whole].sum(axis=1).tolist()


def test_names_with_commas_are_quoted(tmp_path: Path) -> None:
    sites = Sites(('Corner, "old"', "b"), np.array([1.0, 1.01]), np.array([1.0, 1.0]))
    times = np.array(["2022-01-01T00"], dtype="datetime64[s]")
    assigned = assign_counts(sites, sites, PeopleCounts(times, sites.names, np.array([[1.5, np.nan]])))
    write_counts(tmp_path / "counts.csv", sites, assigned)
    with (tmp_path / "counts.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["hour", "zone", "people"], ["0", 'Corner, "old"', "1.5"]]


def test_nothing_heavy_is_imported_before_a_table_is_read() -> None:
    seen = "import sys, metalore.telemetry.places, metalore.telemetry.datasets; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_world_reads_what_was_written_whatever_zones_are_called(tmp_path: Path) -> None:
    names = ("007", 'Corner, "old"', "# 3", "d")
    sites = Sites(names, np.array([1.0, 1.01, 1.02, 1.03]), np.ones(4))
    hours = np.datetime64("2022-01-01T00", "s") + np.arange(3) * np.timedelta64(3600, "s")
    people = np.array([[1, 2, 3, np.nan], [4, np.nan, 6, np.nan], [7, 8, 9.5, np.nan]])
    counters = Sites(names[:3], sites.lat[:3], sites.lon[:3])
    write_counts(
        tmp_path / "c.csv", sites, assign_counts(sites, counters, PeopleCounts(hours, names[:3], people[:, :3]))
    )
    arrays = city_arrays(city_from_sites(sites, users=3, counts_file=tmp_path / "c.csv"))
    people[:, 3] = 0  # nobody counts there, and it pulls nobody
    np.testing.assert_array_equal(arrays.counts, people)
