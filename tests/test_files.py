"""Files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from metalore.files import replacing, replacing_folder, write_text


def test_a_file_appears_when_all_is_well(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "table.parquet"
    with replacing(path) as temporary:
        temporary.write_text("whole")
        assert temporary.suffix == ".parquet"
        assert not path.exists()
    assert path.read_text() == "whole"
    assert os.listdir(path.parent) == ["table.parquet"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "page.html"
    write_text(path, "before")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["page.html"]


def test_others_may_read_it_as_any_file(tmp_path: Path) -> None:
    write_text(tmp_path / "written", "")
    (tmp_path / "usual").touch()
    assert (tmp_path / "written").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    for names in (["a", "b"], ["c"]):
        with replacing_folder(folder) as fresh:
            for name in names:
                (fresh / name).write_text(name)
        assert sorted(os.listdir(folder)) == names
        assert os.listdir(folder.parent) == ["run"]
    (tmp_path / "usual").mkdir()
    assert folder.stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_folder_that_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    write_text(tmp_path / "run" / "a", "before")

    def fail() -> None:
        with replacing_folder(tmp_path / "run") as fresh:
            (fresh / "a").write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert (tmp_path / "run" / "a").read_text() == "before"
    assert os.listdir(tmp_path) == ["run"]
