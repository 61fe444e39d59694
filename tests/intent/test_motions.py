"""The kinematic model: bodies that stay whole, and words that tell what is done."""

from __future__ import annotations

import numpy as np
import pytest

from metalore.intent.errors import IntentError
from metalore.intent.motions import JOINTS, KINDS, PARENTS, Movement, describe, description, move, perform

ACTIVITIES = ("quiet", "work", "school", "game", "concert", "sport")
LEFT, RIGHT = (JOINTS.index(f"{side} wrist") for side in ("left", "right"))
ROOT, NECK = JOINTS.index("root"), JOINTS.index("upper neck")


def made(kind: str, seed: int = 0, **how: str) -> np.ndarray:
    return perform(Movement(kind, **how), np.random.default_rng(seed))


def path_m(motion: np.ndarray, joint: int) -> float:
    """How far a joint goes."""
    return float(np.linalg.norm(np.diff(motion[:, joint], axis=0), axis=1).sum())


def travelled_m(motion: np.ndarray) -> float:
    return float(np.linalg.norm((motion[-1] - motion[0])[ROOT, [0, 2]]))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_whole_body_on_the_floor(kind: str) -> None:
    motion = perform(Movement(kind, side="left" if KINDS[kind].sided else ""), np.random.default_rng(3))
    assert motion.dtype == np.float32
    assert motion.shape[1:] == (21, 3)
    assert 25 <= len(motion) <= 75
    bones = np.linalg.norm(motion[:, 1:] - motion[:, list(PARENTS[1:])], axis=2)
    assert (bones.std(axis=0) < 0.03).all()  # nothing but measurement noise
    assert (bones.mean(axis=0) > 0.02).all()
    assert -0.06 < motion[..., 1].min() < 0.03
    assert motion[..., 1].max() < 2.7
    assert np.abs(np.diff(motion, axis=0)).max() < 1.5  # below 19 m/s


def test_each_activity_has_as_many_kinds() -> None:
    counts = [sum(kind.activity == activity for kind in KINDS.values()) for activity in ACTIVITIES]
    assert counts == [6] * 6
    assert len(KINDS) == 36


def test_what_is_told_is_what_is_meant() -> None:
    rng = np.random.default_rng(0)
    for activity in ACTIVITIES * 40:
        movement = Movement.drawn(activity, rng)
        assert movement.activity == activity
        assert Movement.told(describe(movement, rng)) == movement


def test_no_phrase_names_two_kinds() -> None:
    phrases = [phrase for kind in KINDS.values() for phrase in kind.phrases]
    assert len(set(phrases)) == len(phrases)
    for name, kind in KINDS.items():
        for phrase in kind.phrases:
            assert Movement.told(f"a person {phrase.replace('SIDE', 'left')}").kind == name


def test_generators_in_the_same_state_move_and_tell_of_the_same() -> None:
    for seed in range(30):
        text = description("concert", np.random.default_rng(seed))
        moved = move("concert", np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        np.testing.assert_array_equal(moved, perform(Movement.drawn("concert", rng), rng))
        assert Movement.told(text) == Movement.drawn("concert", np.random.default_rng(seed))


def test_a_seed_gives_the_same_motion_and_another_one_another() -> None:
    text = "a person waves with the left hand"
    first, again, other = (perform(text, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or not np.allclose(first, other)


@pytest.mark.parametrize("seed", range(4))
def test_somebody_who_waves_with_the_left_hand_moves_the_left_hand(seed: int) -> None:
    left, right = made("wave", seed, side="left"), made("wave", seed, side="right")
    assert path_m(left, LEFT) > 2 * path_m(left, RIGHT)
    assert path_m(right, RIGHT) > 2 * path_m(right, LEFT)


def test_who_runs_is_faster_than_who_walks_and_who_stands_stays() -> None:
    run, walk, stand = (
        np.mean([travelled_m(motion) / len(motion) for motion in (made(kind, seed) for seed in range(5))])
        for kind in ("run", "walk", "stand")
    )
    assert run > 1.5 * walk > 15 * stand


def test_a_slow_walk_is_slower_than_a_fast_one() -> None:
    slow, usual, fast = (
        np.mean([travelled_m(motion) / len(motion) for motion in (made("walk", seed, pace=pace) for seed in range(5))])
        for pace in ("slow", "", "fast")
    )
    assert fast > 1.2 * usual > 1.4 * slow


@pytest.mark.parametrize(("turn", "sign"), [("left", 1), ("right", -1), ("", 0)])
def test_a_path_bends_to_where_it_is_told(turn: str, sign: int) -> None:
    for seed in range(4):
        ground = made("walk", seed, turn=turn)[:, ROOT][:, [2, 0]]  # seen from above, left is counter-clockwise
        first, last = ground[10] - ground[0], ground[-1] - ground[-11]
        angle = np.arctan2(first[0] * last[1] - first[1] * last[0], first @ last)
        assert angle * sign > 0.3 if sign else abs(angle) < 0.3


def test_who_sits_down_ends_lower_and_who_stands_up_higher() -> None:
    for seed in range(4):
        down, up = (made(kind, seed)[:, NECK, 1] for kind in ("sit down", "stand up"))
        assert down[:4].mean() > down[-4:].mean() + 0.2
        assert up[-4:].mean() > up[:4].mean() + 0.2


def test_a_body_that_heads_along_z_has_its_left_at_x() -> None:
    for seed in range(4):
        motion = made("walk", seed)
        ahead = (motion[-1] - motion[0])[ROOT]
        left = (motion[:, 11] - motion[:, 16]).mean(axis=0)
        assert np.cross([0, 1, 0], ahead) @ left > 0  # up x ahead


def test_jumping_jacks_spread_arms_and_legs_to_both_sides() -> None:
    motion = made("jumping jack")
    for limb, least in (("wrist", 1.2), ("ankle", 0.5)):
        left, right = (motion[:, JOINTS.index(f"{side} {limb}")] for side in ("left", "right"))
        apart = np.linalg.norm(left - right, axis=1)
        assert apart.max() > least > 1.2 * apart.min()


def test_an_unknown_activity_or_movement_is_refused_in_a_sentence() -> None:
    with pytest.raises(IntentError, match="no motions of the activity 'market'; there are some of quiet, work"):
        move("market", np.random.default_rng(0))
    with pytest.raises(IntentError, match="'a cat sleeps' names no movement"):
        perform("a cat sleeps", np.random.default_rng(0))
