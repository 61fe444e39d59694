"""Forecasters on disk: they forecast the same again, and nothing damaged is taken for one."""

from __future__ import annotations

import hashlib
import inspect
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forecast.synthetic import panel
from forecast.test_stream import QUICK
from safetensors.numpy import load_file, save_file

import metalore
from metalore.forecast import (
    NAMES,
    Forecaster,
    ForecastError,
    Panel,
    Split,
    evaluate,
    load_forecaster,
    make_forecaster,
    read_card,
    save_forecaster,
)

HORIZONS = (1, 3)
MADE = panel(24 * 7 * 5, start=np.datetime64("2024-01-01"), positions=np.arange(6.0).reshape(3, 2), lowest=[0, -np.inf])
SPLIT = Split.by_parts(MADE)
ORIGINS = SPLIT.origins("test", HORIZONS)[::9]
KEPT = tuple(name for name in NAMES if name != "boosting")


def fitted(name: str, made: Panel = MADE, **settings: Any) -> Forecaster:
    return make_forecaster(name, **{**QUICK.get(name, {}), **settings}).fit(made, SPLIT, HORIZONS, 1)


Saved = Callable[[str], tuple[Forecaster, Path]]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """A fitted forecaster of a name, and where it lies; both made once."""
    made: dict[str, tuple[Forecaster, Path]] = {}

    def of(name: str) -> tuple[Forecaster, Path]:
        if name not in made:
            forecaster, folder = fitted(name), tmp_path_factory.mktemp(name) / "kept"
            save_forecaster(forecaster, folder, panel=MADE, split=SPLIT)
            made[name] = forecaster, folder
        return made[name]

    return of


def copied(source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source, tmp_path / "copy"))


def with_card(folder: Path, **changes: Any) -> None:
    card = json.loads((folder / "card.json").read_text()) | changes
    (folder / "card.json").write_text(json.dumps(card))


def with_arrays(folder: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    """Change the weights, and sign them."""
    arrays = load_file(folder / "weights.safetensors")
    change(arrays)
    save_file(arrays, folder / "weights.safetensors")
    digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    with_card(folder, weights_sha256=digest)


# -- the same again ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KEPT)
def test_a_loaded_forecaster_forecasts_the_same_to_the_last_bit(saved: Saved, name: str) -> None:
    forecaster, folder = saved(name)
    loaded = load_forecaster(folder)
    assert type(loaded) is type(forecaster)
    np.testing.assert_array_equal(loaded.predict(MADE, ORIGINS), forecaster.predict(MADE, ORIGINS))
    assert (loaded.settings, loaded.reach) == (forecaster.settings, forecaster.reach)
    assert {path.name for path in folder.iterdir()} == {"card.json", "weights.safetensors"}


@pytest.mark.parametrize("name", ["stgnn", "ridge", "smoothing"])
def test_what_was_loaded_can_be_kept_again(saved: Saved, name: str, tmp_path: Path) -> None:
    folder = saved(name)[1]
    save_forecaster(load_forecaster(folder), tmp_path / "again", panel=MADE, split=SPLIT)
    for file in ("card.json", "weights.safetensors"):
        assert (tmp_path / "again" / file).read_bytes() == (folder / file).read_bytes()


def test_inputs_events_and_another_shape(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    made = MADE.updated(
        inputs=("users",),
        input_values=random.random((len(MADE), 3, 1)),
        events=("match", "rain"),
        event_values=random.random((len(MADE) + 5, 3, 2)),
        intent=random.standard_normal((3, 1024)),
    )
    for name, settings in (("ridge", {}), ("gru", {}), ("stgnn", {}), ("stgnn", {"inductive": True, "relative": True})):
        forecaster = fitted(name, made, **settings)
        save_forecaster(forecaster, tmp_path / "kept", panel=made, split=SPLIT)
        loaded = load_forecaster(tmp_path / "kept", device="cpu")
        np.testing.assert_array_equal(loaded.predict(made, ORIGINS), forecaster.predict(made, ORIGINS))
        assert loaded.settings == forecaster.settings
    fewer = made.of_zones(["zone-2", "zone-0"])
    np.testing.assert_array_equal(loaded.predict(fewer, ORIGINS), forecaster.predict(fewer, ORIGINS))


def test_all_of_the_panel_but_its_data_is_there(saved: Saved) -> None:
    frame = load_forecaster(saved("stgnn")[1]).fitted_frame()
    assert frame.fingerprint() == MADE.frame().fingerprint()
    assert (frame.name, frame.start, len(frame)) == (MADE.name, MADE.start, 1)
    assert frame.edges is not None
    assert frame.edges.source.tolist() == [0, 1]
    assert np.isnan(frame.values).all()


def test_loading_leaves_the_global_generator_alone(saved: Saved) -> None:
    import torch

    state = torch.random.get_rng_state()
    load_forecaster(saved("stgnn")[1])
    load_forecaster(saved("gru")[1])
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("name", NAMES)
def test_settings_make_the_same_forecaster_again(name: str) -> None:
    made = make_forecaster(name, **QUICK.get(name, {}))
    assert set(made.settings) == set(inspect.signature(type(made)).parameters) - {"device"}
    assert make_forecaster(name, **json.loads(json.dumps(made.settings))).settings == made.settings


# -- the card ----------------------------------------------------------------------------------------------------------


def test_the_card_tells_what_it_is(saved: Saved, tmp_path: Path) -> None:
    forecaster = saved("stgnn")[0]
    scores = evaluate(forecaster, MADE, SPLIT)
    scores.loc[0, "mae"] = np.nan
    save_forecaster(forecaster, tmp_path, panel=MADE, split=SPLIT, scores=scores)
    card = read_card(tmp_path)
    assert card["forecaster"] == "stgnn"
    assert card["settings"] == forecaster.settings
    assert (card["horizons"], card["targets"], card["zones"]) == ([1, 3], ["cpu", "memory"], list(MADE.zones))
    assert card["panel"] == {"name": "the made panel", "fingerprint": MADE.fingerprint(), "intervals": len(MADE)}
    assert card["split"] == SPLIT.as_dict()
    assert card["graph"]["edges"] == 2
    losses = [epoch["validation"] for epoch in card["training"]["history"]]
    assert len(losses) == 1
    assert card["training"]["best_epoch"] == 1 + losses.index(min(losses))
    assert card["training"]["seed"] == 1
    assert card["training"]["seconds"] > 0
    assert len(card["scores"]) == 4
    assert card["scores"][0]["mae"] is None
    assert card["scores"][1]["mae"] == scores["mae"][1]
    assert card["versions"]["metalore"] == metalore.__version__
    assert {"python", "numpy", "torch", "safetensors"} <= set(card["versions"])


def test_a_checkpoint_is_replaced_whole_or_not_at_all(
    saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(saved("ridge")[1], tmp_path)
    before = (folder / "card.json").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            save_forecaster(saved("gru")[0], folder, panel=MADE, split=SPLIT)
    assert (folder / "card.json").read_bytes() == before
    load_forecaster(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
    save_forecaster(saved("gru")[0], folder, panel=MADE, split=SPLIT)
    assert load_forecaster(folder).name == "gru"


# -- what cannot be kept -----------------------------------------------------------------------------------------------


def test_what_cannot_be_kept_is_told(saved: Saved, tmp_path: Path) -> None:
    ridge = saved("ridge")[0]

    class Mine(type(ridge)):  # type: ignore[misc]
        name = "mine"

    with pytest.raises(ForecastError, match=r"boosting cannot be kept, because scikit-learn's .* pickle only"):
        save_forecaster(fitted("boosting"), tmp_path, panel=MADE, split=SPLIT)
    with pytest.raises(ForecastError, match="ridge has not been fitted"):
        save_forecaster(make_forecaster("ridge"), tmp_path, panel=MADE, split=SPLIT)
    with pytest.raises(ForecastError, match="was fitted to other zones"):
        save_forecaster(ridge, tmp_path, panel=MADE.of_zones(["zone-1"]), split=SPLIT)
    with pytest.raises(ForecastError, match="MetaLore has no forecaster 'mine'"):
        save_forecaster(Mine().fit(MADE, SPLIT, (1,)), tmp_path, panel=MADE, split=SPLIT)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ForecastError, match="is there and holds no forecaster"):
        save_forecaster(ridge, tmp_path, panel=MADE, split=SPLIT)
    assert (tmp_path / "thesis.tex").exists()


def test_weights_that_are_no_numbers_are_not_written(tmp_path: Path) -> None:
    forecaster = fitted("ridge")
    forecaster._coefficients[0, 0][1] = np.nan  # type: ignore[attr-defined]
    with pytest.raises(ForecastError, match=r"ridge has weights that are no numbers, in 'coefficients.0.0'"):
        save_forecaster(forecaster, tmp_path / "kept", panel=MADE, split=SPLIT)
    assert not (tmp_path / "kept").exists()


# -- what is no forecaster ---------------------------------------------------------------------------------------------


def flip(folder: Path) -> None:
    content = bytearray((folder / "weights.safetensors").read_bytes())
    content[-3] ^= 1
    (folder / "weights.safetensors").write_bytes(content)


def truncate(folder: Path) -> None:
    content = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(content[: len(content) // 2])


def sign_rubbish(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(b"rubbish")
    with_card(folder, weights_sha256=hashlib.sha256(b"rubbish").hexdigest())


def without(folder: Path, key: str) -> None:
    card = json.loads((folder / "card.json").read_text())
    del card[key]
    (folder / "card.json").write_text(json.dumps(card))


BIAS = "learned.network.head.bias"
DAMAGES: list[tuple[Callable[[Path], object], str]] = [
    (shutil.rmtree, r"there is no folder .*copy"),
    (lambda folder: (folder / "card.json").unlink(), r"holds no forecaster: card\.json cannot be read"),
    (lambda folder: (folder / "card.json").write_text("{"), r"card\.json is no JSON"),
    (lambda folder: (folder / "card.json").write_bytes(b"\xff\xfe"), r"card\.json is no JSON"),
    (lambda folder: (folder / "card.json").write_text("[1]"), "has the format None; this version"),
    (lambda folder: with_card(folder, format="metalore-graph-1"), "has the format 'metalore-graph-1'; this version"),
    (lambda folder: (folder / "weights.safetensors").unlink(), r"has a card and no weights"),
    (flip, "its SHA-256 differs"),
    (truncate, "its SHA-256 differs"),
    (sign_rubbish, "holds no arrays"),
    (lambda folder: with_card(folder, weights_sha256="0"), "its SHA-256 differs"),
    (lambda folder: with_card(folder, forecaster="stgn"), "has no forecaster 'stgn'; did you mean 'stgnn'"),
    (lambda folder: with_card(folder, settings={"hiden": 8}), "has no setting 'hiden'; did you mean 'hidden'"),
    (lambda folder: with_card(folder, settings={"hidden": 9}), r"in the shape \(\d+, 4\); its card wants \(\d+, 9\)"),
    (lambda folder: with_card(folder, horizons=[1, 2, 3]), "in the shape .*; its card wants"),
    (lambda folder: with_card(folder, horizons=[3, 1]), "horizons are .*; they must be rising"),
    (lambda folder: with_card(folder, zones=["a", "b"]), "in the shape .*; its card wants|there are 2 zones"),
    (lambda folder: with_card(folder, interval_s="hour"), r"card\.json is damaged: TypeError"),
    (lambda folder: with_card(folder, interval_s=-1), "it must be positive"),
    (lambda folder: with_card(folder, graph={"edges": 5}), r"in the shape \(2,\); its card wants \(5,\)"),
    (lambda folder: with_card(folder, graph=None), "has the array 'frame.*', which its card has no use for"),
    (lambda folder: without(folder, "learned"), r"card\.json is damaged: KeyError: 'learned'"),
    (lambda folder: with_arrays(folder, lambda arrays: arrays.pop(BIAS)), r"lacks the array 'network\.head\.bias'"),
    (lambda folder: with_arrays(folder, lambda arrays: arrays.update({"learned.extra": np.ones(2)})),
     "has the array 'extra', which its card has no use for"),
    (lambda folder: with_arrays(folder, lambda arrays: arrays[BIAS].fill(np.nan)),
     r"has weights that are no numbers, in 'network\.head\.bias'"),
    (lambda folder: with_arrays(folder, lambda arrays: arrays.update({BIAS: arrays[BIAS][:-1].copy()})),
     r"has 'network\.head\.bias' in the shape \(\d+,\); its card wants \(\d+,\)"),
    (lambda folder: with_arrays(folder, lambda arrays: arrays["learned.scaler.deviation"].fill(-1)),
     "deviations must be positive"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "told"), DAMAGES, ids=range(len(DAMAGES)))
def test_damage_is_told(saved: Saved, tmp_path: Path, damage: Callable[[Path], object], told: str) -> None:
    folder = copied(saved("stgnn")[1], tmp_path)
    load_forecaster(folder)
    damage(folder)
    with pytest.raises(ForecastError, match=told) as raised:
        load_forecaster(folder)
    assert "\n" not in str(raised.value)


def test_weights_of_another_checkpoint_are_refused(saved: Saved, tmp_path: Path) -> None:
    folder = copied(saved("stgnn")[1], tmp_path)
    shutil.copy(saved("gru")[1] / "weights.safetensors", folder)
    with pytest.raises(ForecastError, match="its SHA-256 differs"):
        load_forecaster(folder)
    with_arrays(folder, lambda arrays: None)
    with pytest.raises(ForecastError, match="lacks the array"):
        load_forecaster(folder)


@pytest.mark.parametrize("name", ["smoothing", "ridge", "last-value"])
def test_damage_to_other_kinds_is_told(saved: Saved, tmp_path: Path, name: str) -> None:
    folder = copied(saved(name)[1], tmp_path)
    with_arrays(folder, lambda arrays: arrays.update({"learned.offsets": arrays["learned.offsets"][1:].copy()}))
    with pytest.raises(
        ForecastError, match=r"has 'offsets' in the shape \(2, 2, 2, 2\); its card wants \(3, 2, 2, 2\)"
    ):
        load_forecaster(folder)


def test_a_choice_that_there_is_not(saved: Saved, tmp_path: Path) -> None:
    folder = copied(saved("smoothing")[1], tmp_path)
    with_arrays(folder, lambda arrays: arrays["learned.best"].fill(999))
    with pytest.raises(ForecastError, match=r"card\.json is damaged: IndexError"):
        load_forecaster(folder)
