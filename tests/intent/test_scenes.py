"""Drawn scenes: pictures that differ by what goes on, and sentences that name it."""

from __future__ import annotations

import numpy as np
import pytest

from metalore.intent.errors import IntentError
from metalore.intent.library import ACTIVITIES
from metalore.intent.scenes import NAMING, Scene, caption, draw, every_phrase, named


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def pixels(activity: str, *seed: int) -> np.ndarray:
    return np.asarray(draw(activity, rng(*seed)), float)


def test_a_scene_is_an_rgb_picture_of_the_size_asked_for():
    picture = draw("concert", rng(0), size=64)
    assert (picture.mode, picture.size) == ("RGB", (64, 64))
    assert np.asarray(picture).std() > 10


def test_every_activity_of_the_library_can_be_drawn():
    assert set(ACTIVITIES) <= set(NAMING)


@pytest.mark.parametrize("activity", NAMING)
def test_the_same_generator_draws_the_same_scene_and_another_one_does_not(activity):
    assert np.array_equal(pixels(activity, 1), pixels(activity, 1))
    assert np.abs(pixels(activity, 1) - pixels(activity, 2)).mean() > 5


@pytest.mark.parametrize("activity", NAMING)
def test_captions_name_their_activity_and_no_other(activity):
    assert {named(caption(activity, rng(seed))) for seed in range(60)} == {activity}


def test_words_belong_to_one_activity():
    words = [word for names in NAMING.values() for word in names]
    assert len(words) == len(set(words))


def test_a_sentence_that_names_none_or_several_names_nothing():
    assert named("a dog on a sofa") is None
    assert named("a concert at a market") is None
    assert named("At night, a Concert.") == "concert"


def test_a_caption_says_what_the_picture_shows():
    scene = Scene("sport", people=2, light="night", seed=5)
    assert "two people" in scene.caption()
    assert "night" in scene.caption() or "dark" in scene.caption()
    bright = Scene("sport", people=2, light="day", seed=5)
    assert np.asarray(scene.draw()).mean() < 0.7 * np.asarray(bright.draw()).mean()
    crowded = Scene("sport", people=12, light="day", seed=5)
    assert "many people" in crowded.caption()
    assert np.any(np.asarray(crowded.draw()) != np.asarray(bright.draw()))


def test_generators_in_the_same_state_give_a_picture_and_its_caption():
    scene = Scene.of("market", rng(3))
    assert np.array_equal(np.asarray(scene.draw()), pixels("market", 3))
    assert scene.caption() == caption("market", rng(3))


def test_captions_vary():
    assert len({caption("work", rng(seed)) for seed in range(100)}) > 60


def test_the_phrases_hold_every_word_of_every_caption():
    known = {word for phrase in every_phrase() for word in phrase.split()}
    said = {word for activity in NAMING for seed in range(80) for word in caption(activity, rng(seed)).split()}
    assert said <= known
    assert len(known) < 80


def test_another_activity_is_refused_by_name():
    with pytest.raises(IntentError, match="no scene shows 'carnival'; there are quiet, work"):
        draw("carnival", rng(0))
