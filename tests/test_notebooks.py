"""Every notebook runs from top to bottom in a kernel of its own, below a minute, and shows its figures."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

jupytext = pytest.importorskip("jupytext", reason="the extra `docs` is not installed")
nbclient = pytest.importorskip("nbclient", reason="the extra `docs` is not installed")
pytest.importorskip("ipykernel", reason="the extra `docs` is not installed")

NOTEBOOKS = sorted((Path(__file__).parents[1] / "examples" / "notebooks").glob("*.py"))
TIMEOUT_S = 300  # of a cell; the first run on a machine compiles the simulator
SHOWS = {"data_scientist": 1, "platform_engineer": 1, "researcher": 1}
"""Figures of each."""


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebook_runs(file: Path, tmp_path: Path) -> None:
    notebook = jupytext.read(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the client's own event loop
        nbclient.NotebookClient(notebook, timeout=TIMEOUT_S, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == SHOWS[file.stem]
    assert not any(output.get("name") == "stderr" and "Warning" in output.text for output in outputs)


def test_no_notebook_is_left_out() -> None:
    assert {file.stem for file in NOTEBOOKS} == set(SHOWS)
