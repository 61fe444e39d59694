"""Forecasters from words: names, settings, and what is wrong with them in one sentence."""

from __future__ import annotations

import pytest

from metalore.forecast import ForecastError
from metalore.forecast.registry import forecaster_of, make_forecaster, parse_forecaster


def test_settings_stand_beside_the_name() -> None:
    name, settings = parse_forecaster("stgnn graph=false hubs=0  recipe.epochs=3 recipe.clip=0.5 device=cpu")
    assert name == "stgnn"
    assert settings == {"graph": False, "hubs": 0, "recipe": {"epochs": 3, "clip": 0.5}, "device": "cpu"}


def test_what_is_said_goes_before_what_is_usual() -> None:
    assert forecaster_of("ridge window=3 penalties=[1,10]", {"window": 12}).window == 3
    assert forecaster_of("ridge", {"window": 12}).window == 12
    assert forecaster_of("last-value", {"window": 12}).window == 1
    made = forecaster_of("stgnn recipe.epochs=3")
    assert made.settings["recipe"]["epochs"] == 3


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "a forecaster is a name and its settings"),
        ("sgtnn", "did you mean 'stgnn'"),
        ("gru 3", "a setting of a forecaster looks like hidden=32, not '3'"),
        ("gru hiden=3", "gru has no setting 'hiden'; did you mean 'hidden'"),
        ("gru hidden=many", "the setting hidden of gru is 'many': input should be a valid integer"),
        ("stgnn hidden=2.5", "the setting hidden of stgnn is 2.5"),
        ("stgnn hidden=-1", "the network needs a width above 0"),
        ("stgnn graph.a=1", "the setting graph of stgnn is"),
        ("stgnn graph=1 graph.a=2", "graph cannot be 1 and have a setting 'a'"),
        ("stgnn recipe.epoch=3", "the recipe has no setting 'epoch'; did you mean 'epochs'"),
        ("stgnn recipe.epochs=0", "the recipe's epochs is 0; a whole number from 1 on is needed"),
        ("stgnn recipe.learning_rate=fast", "the recipe's learning_rate is 'fast'; a number from 0 on is needed"),
        ("stgnn device=abacus", "torch cannot compute on 'abacus' here"),
        ("gru device=abacus", "torch cannot compute on 'abacus' here"),
    ],
)
def test_what_is_wrong_is_told(text: str, sentence: str) -> None:
    with pytest.raises(ForecastError) as refused:
        forecaster_of(text)
    assert sentence in str(refused.value)


def test_values_are_of_the_kind_that_is_wanted() -> None:
    with pytest.raises(ForecastError, match="the setting weeks of weeks-mean is 'four'"):
        make_forecaster("weeks-mean", weeks="four")
