"""Parts and windows: what may be seen where."""

from __future__ import annotations

import numpy as np
import pytest
from forecast.synthetic import panel
from hypothesis import given
from hypothesis import strategies as st

from metalore.forecast import ForecastError, Split


def test_parts_follow_each_other() -> None:
    split = Split.by_parts(panel(hours=1000), validation=0.1, test=0.2)
    assert (split.validation, split.test, split.end) == (700, 800, 1000)
    assert split.rows("train") == slice(0, 700)
    assert split.rows("validation") == slice(700, 800)
    assert split.rows("test") == slice(800, 1000)
    assert Split(**split.as_dict()) == split


def test_borders_can_be_times() -> None:
    made = panel(hours=100)
    assert Split.at_times(made, 50 * 3600.0, 79.5 * 3600.0) == Split(50, 80, 100)


def test_known_windows() -> None:
    split = Split(6, 8, 12)
    assert split.origins("train", (1, 2), window=3).tolist() == [2, 3]  # targets up to 5
    assert split.origins("validation", (1,)).tolist() == [5, 6]
    assert split.origins("validation", (2,)).tolist() == [4, 5]  # target 6 and 7
    assert split.origins("test", (1, 2)).tolist() == [7, 8, 9]
    assert split.origins("test", (1, 2), window=2, inside=True).tolist() == [9]
    assert split.origins("test", (1,), stride=2).tolist() == [7, 9]


@given(
    borders=st.lists(st.integers(1, 60), min_size=3, max_size=3, unique=True).map(sorted),
    horizons=st.lists(st.integers(1, 8), min_size=1, unique=True).map(sorted),
    window=st.integers(1, 8),
    inside=st.booleans(),
)
def test_targets_never_cross_a_border(borders: list[int], horizons: list[int], window: int, inside: bool) -> None:
    split = Split(*borders)
    for part in ("train", "validation", "test"):
        rows = split.rows(part)  # type: ignore[arg-type]
        try:
            origins = split.origins(part, horizons, window, inside)  # type: ignore[arg-type]
        except ForecastError:
            continue
        targets = origins[:, None] + np.array(horizons)
        assert targets.min() >= rows.start
        assert targets.max() < rows.stop
        assert (origins - window + 1 >= (rows.start if inside else 0)).all()
        wider = np.arange(origins[0] - 1, origins[-1] + 2)  # and no window is forgotten
        for origin in np.setdiff1d(wider, origins):
            begins = origin - window + 1 >= (rows.start if inside else 0)
            assert not (begins and origin + horizons[0] >= rows.start and origin + horizons[-1] < rows.stop)


def test_impossible_splits_and_windows_are_told() -> None:
    with pytest.raises(ForecastError, match="would begin at 0, 5 and 5, and end at 9"):
        Split(5, 5, 9)
    with pytest.raises(ForecastError, match="leave nothing to train"):
        Split.by_parts(panel(), 0.5, 0.5)
    with pytest.raises(ForecastError, match="the train part has 5 intervals, too few for a window of 5"):
        Split(5, 7, 9).origins("train", (1,), window=5)
    for horizons in ((), (0,), (2, 1), (1, 1)):
        with pytest.raises(ForecastError, match="rising whole numbers from 1 on"):
            Split(5, 7, 9).origins("train", horizons)
