"""Motions made by a kinematic model, with descriptions: what people do where an activity of the city goes on.

Joints are those of the KIT Motion-Language data as Guo et al. 2022 processed them: 21, in the order of :data:`JOINTS`,
12.5 frames a second, y up. Here they are in metres; a body that looks along z has its left at x.

Axes: `t` frames, `j` joints, `s` sides (left, right).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from metalore.intent.errors import IntentError
from metalore.intent.media import MOTION_HZ

JOINTS = (
    "root", "pelvis", "torso", "lower neck", "upper neck",
    "left shoulder", "left elbow", "left wrist", "right shoulder", "right elbow", "right wrist",
    "left hip", "left knee", "left ankle", "left foot", "left toes",
    "right hip", "right knee", "right ankle", "right foot", "right toes",
)  # fmt: skip
"""Order of the joints. The Master Motor Map calls them root, BP, BT, BLN, BUN, LS, LE, LW, RS, RE, RW, LH, LK, LA,
LMrot, LF, RH, RK, RA, RMrot, RF."""
PARENTS = (-1, 0, 1, 2, 3, 3, 5, 6, 3, 8, 9, 0, 11, 12, 13, 14, 0, 16, 17, 18, 19)
"""Of each joint, the one that it hangs on."""
SIDES = ("left", "right")
PACES = {"slow": (0.5, 0.7), "": (0.9, 1.1), "fast": (1.4, 1.75)}
"""How much faster than usual; what lies between is left out, so that words can tell."""

Angles = np.ndarray
_SECONDS = 2.0, 6.0
_TWO_PI = 2 * np.pi


# -- what moves --------------------------------------------------------------------------------------------------------


class Pose:
    """A body over time: angles in radians [t] or [t, s], 0 for upright with arms and legs straight down.

    Args:
        frames: how long.

    Attributes:
        lean, sway: of the whole body, forwards and to its left.
        bow, twist: of the trunk, forwards and to its left.
        nod, shake: of the head, forwards and to its left.
        arm_forward, arm_out, elbow: of each arm.
        leg_forward, leg_out, knee: of each leg.
        lift: height above the floor in metres.
        ahead, aside: speed in m/s, forwards and to its left.
        heading: of the body.
    """

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.lean, self.sway, self.bow, self.twist, self.nod, self.shake = np.zeros((6, frames))
        self.lift, self.ahead, self.aside, self.heading = np.zeros((4, frames))
        self.arm_forward, self.leg_forward, self.leg_out = np.zeros((3, frames, 2))
        self.arm_out, self.elbow, self.knee = (np.full((frames, 2), usual) for usual in (0.12, 0.2, 0.05))

    def sit(self, down: Angles | float = 1.0) -> None:
        """On a chair, as far as `down` (0 to 1) says."""
        down = np.broadcast_to(np.asarray(down, float), (self.frames,))[:, None]
        self.leg_forward += 1.5 * down
        self.knee += 1.5 * down
        self.leg_out += 0.1 * down

    def crouch(self, depth: Angles) -> None:
        """Bend both knees by up to `depth` radians each way."""
        self.leg_forward += depth[:, None]
        self.knee += 2 * depth[:, None]
        self.bow += 0.4 * depth

    def stride(self, clock: Angles, legs: float, arms: float) -> None:
        """Swing legs and arms against each other, so many radians wide."""
        swing = np.stack([np.sin(clock), -np.sin(clock)], axis=1)
        forward = np.stack([np.cos(clock), -np.cos(clock)], axis=1)
        self.leg_forward += legs * swing
        self.knee += 1.4 * legs * np.maximum(forward, 0)
        self.arm_forward -= arms * swing


@dataclass(frozen=True)
class Style:
    """How a movement is done.

    Attributes:
        time_s: of each frame [t].
        clock: phase of what repeats [t], 2 pi a second at the usual pace.
        pace: how much faster than usual.
        size: how far it goes, around 1.
        side: 0 left, 1 right.
    """

    time_s: np.ndarray
    clock: Angles
    pace: float
    size: float
    side: int

    @property
    def sign(self) -> int:
        """1 to the left, -1 to the right."""
        return 1 - 2 * self.side

    def beat(self, hz: float) -> Angles:
        """Phase of what repeats `hz` times a second at the usual pace."""
        return np.asarray(hz * self.clock)

    def once(self) -> Angles:
        """From 0 to 1, once, in the middle of the time; faster at a higher pace."""
        middle = self.time_s[-1] / 2
        return _step((self.time_s - middle) * 2.2 * self.pace)


def _step(x: Angles) -> Angles:
    """From 0 to 1 where x passes 0."""
    return np.asarray((1 + np.tanh(x)) / 2)


def _pulse(clock: Angles) -> Angles:
    """From 0 to 1 and back, once in each turn of the clock."""
    return np.asarray((1 - np.cos(clock)) / 2)


# -- quiet -------------------------------------------------------------------------------------------------------------


def _stand(pose: Pose, style: Style) -> None:
    pose.sway += 0.03 * style.size * np.sin(style.beat(0.25))


def _sit(pose: Pose, style: Style) -> None:
    pose.sit()
    pose.arm_forward += 0.4
    pose.elbow += 0.7
    pose.twist += 0.05 * style.size * np.sin(style.beat(0.2))


def _sit_down(pose: Pose, style: Style) -> None:
    down = style.once()
    pose.sit(down)
    pose.bow += 0.6 * style.size * 4 * down * (1 - down)


def _stand_up(pose: Pose, style: Style) -> None:
    down = 1 - style.once()
    pose.sit(down)
    pose.bow += 0.6 * style.size * 4 * down * (1 - down)


def _stretch(pose: Pose, style: Style) -> None:
    up = _pulse(style.beat(0.3))[:, None]
    pose.arm_out += 2.6 * style.size * up
    pose.elbow -= 0.15 * up
    pose.bow -= 0.2 * up[:, 0]


def _drink(pose: Pose, style: Style) -> None:
    up = _pulse(style.beat(0.4))
    pose.arm_forward[:, style.side] += 0.5 + 0.5 * up
    pose.elbow[:, style.side] += 1.0 + 1.0 * style.size * up
    pose.nod -= 0.3 * up


# -- work --------------------------------------------------------------------------------------------------------------


def _type(pose: Pose, style: Style) -> None:
    pose.sit()
    pose.arm_forward += 0.5
    pose.elbow += 1.2
    hands = np.stack([np.sin(style.beat(2.0)), np.cos(style.beat(2.3))], axis=1)
    pose.elbow += 0.12 * style.size * hands
    pose.nod += 0.25


def _phone(pose: Pose, style: Style) -> None:
    pose.stride(style.beat(0.8), 0.35 * style.size, 0.25)
    pose.arm_forward[:, style.side] = 0.8
    pose.elbow[:, style.side] = 2.3
    pose.shake += 0.15 * style.sign
    pose.ahead += 0.9 * style.size * style.pace


def _shake_hands(pose: Pose, style: Style) -> None:
    pose.arm_forward[:, 1] += 0.7
    pose.elbow[:, 1] += 0.6 + 0.3 * style.size * np.sin(style.beat(1.5))
    pose.bow += 0.1


def _lift(pose: Pose, style: Style) -> None:
    down = _pulse(style.beat(0.35))
    pose.crouch(0.8 * style.size * down)
    pose.bow += 0.5 * down
    pose.arm_forward += (0.6 + 0.4 * down)[:, None]
    pose.elbow += (0.9 * (1 - down))[:, None]


def _wipe(pose: Pose, style: Style) -> None:
    side = style.side
    pose.bow += 0.55
    pose.arm_forward[:, side] += 0.9 + 0.3 * style.size * np.sin(style.beat(0.8))
    pose.arm_out[:, side] += 0.3 * style.size * np.cos(style.beat(0.8))
    pose.elbow[:, side] += 0.3


def _point(pose: Pose, style: Style) -> None:
    out = _pulse(np.minimum(style.beat(0.4), np.pi + 0.1 * style.beat(0.4)))
    pose.arm_forward[:, style.side] += 1.45 * style.size * out
    pose.elbow[:, style.side] -= 0.15 * out


# -- school ------------------------------------------------------------------------------------------------------------


def _raise_hand(pose: Pose, style: Style) -> None:
    pose.sit()
    up = _step(3 * np.sin(style.beat(0.3)) + 2)
    pose.arm_forward[:, style.side] += 2.7 * up
    pose.elbow[:, style.side] += 0.2 * style.size * up


def _walk_with_stops(pose: Pose, style: Style) -> None:
    going = _step(6 * np.sin(style.beat(0.35)) + 1)
    clock = np.cumsum(going) * style.pace * 0.9 * _TWO_PI / MOTION_HZ
    pose.stride(clock, 0.45 * style.size, 0.35)
    still = (1 - going)[:, None]
    pose.leg_forward *= 1 - still
    pose.arm_forward *= 1 - still
    pose.ahead += 1.1 * style.size * style.pace * going


def _write(pose: Pose, style: Style) -> None:
    side = style.side
    pose.arm_forward[:, side] += 1.6 + 0.12 * style.size * np.sin(style.beat(1.4))
    pose.arm_out[:, side] += 0.25 * np.sin(style.beat(0.25)) + 0.1 * style.size * np.cos(style.beat(1.4))
    pose.elbow[:, side] += 0.5


def _look_around(pose: Pose, style: Style) -> None:
    pose.shake += 1.0 * style.size * np.sin(style.beat(0.35))
    pose.twist += 0.3 * style.size * np.sin(style.beat(0.35))


def _hop(pose: Pose, style: Style) -> None:
    clock, other = style.beat(1.1), 1 - style.side
    pose.lift += 0.14 * style.size * np.maximum(np.sin(clock), 0)
    pose.knee[:, style.side] += 0.4 * np.maximum(-np.sin(clock), 0)
    pose.leg_forward[:, style.side] += 0.2 * np.maximum(-np.sin(clock), 0)
    pose.leg_forward[:, other] += 0.5
    pose.knee[:, other] += 1.5
    pose.ahead += 0.6 * style.pace


def _bend_down(pose: Pose, style: Style) -> None:
    down = _pulse(style.beat(0.35))
    pose.bow += 1.5 * style.size * down
    pose.nod += 0.3 * down
    pose.arm_forward += (1.2 * down)[:, None]


# -- game --------------------------------------------------------------------------------------------------------------


def _throw(pose: Pose, style: Style) -> None:
    clock, side = style.beat(0.55), style.side
    pose.arm_forward[:, side] += 1.3 - 1.5 * style.size * np.sin(clock)
    pose.arm_out[:, side] += 0.5
    pose.elbow[:, side] += 1.0 + 0.8 * np.sin(clock)
    pose.twist += 0.5 * style.sign * np.sin(clock)


def _dodge(pose: Pose, style: Style) -> None:
    clock = style.beat(0.7)
    pose.aside += style.sign * 1.1 * style.size * style.pace * np.maximum(np.sin(clock), 0)
    pose.leg_out += (0.35 * style.size * _pulse(clock))[:, None]
    pose.sway += 0.15 * style.sign * np.sin(clock)
    pose.crouch(np.full(pose.frames, 0.3))
    pose.elbow += 0.8


def _punch(pose: Pose, style: Style) -> None:
    clock = style.beat(1.1)
    hits = np.stack([np.maximum(np.sin(clock), 0), np.maximum(-np.sin(clock), 0)], axis=1)
    pose.arm_forward += 0.5 + 0.9 * style.size * hits
    pose.elbow += 1.9 - 1.9 * hits
    pose.twist += 0.3 * np.sin(clock + np.pi)
    pose.crouch(np.full(pose.frames, 0.15))


def _duck(pose: Pose, style: Style) -> None:
    down = _pulse(style.beat(0.45))
    pose.crouch(1.0 * style.size * down)
    pose.bow += 0.5 * down
    pose.nod += 0.3 * down
    pose.elbow += (1.6 * down)[:, None]


def _spin(pose: Pose, style: Style) -> None:
    pose.heading += style.sign * style.beat(0.35) * style.size
    pose.stride(style.beat(0.9), 0.15, 0.1)
    pose.arm_out += 0.25


def _kneel(pose: Pose, style: Style) -> None:
    down, side = style.once(), style.side
    pose.leg_forward[:, 1 - side] += 1.4 * down
    pose.knee[:, 1 - side] += 1.5 * down
    pose.knee[:, side] += 1.6 * down
    pose.bow += 0.1 * style.size * down


# -- concert -----------------------------------------------------------------------------------------------------------


def _dance(pose: Pose, style: Style) -> None:
    clock = style.beat(1.0)
    pose.crouch(0.25 * style.size * _pulse(2 * clock))
    pose.sway += 0.18 * style.size * np.sin(clock)
    pose.twist += 0.35 * style.size * np.sin(clock)
    sway = np.stack([np.sin(clock), np.sin(clock + 1.5)], axis=1)
    pose.arm_out += 0.6 + 0.5 * style.size * sway
    pose.elbow += 1.0 + 0.5 * sway
    pose.aside += 0.4 * np.cos(clock)


def _clap(pose: Pose, style: Style) -> None:
    apart = _pulse(style.beat(1.7))[:, None]
    pose.arm_forward += 0.75
    pose.elbow += 1.1
    pose.arm_out += -0.35 + 0.5 * style.size * apart


def _wave(pose: Pose, style: Style) -> None:
    side, clock = style.side, style.beat(1.2)
    pose.arm_out[:, side] += 2.1 + 0.35 * style.size * np.sin(clock)
    pose.elbow[:, side] += 0.5 + 0.35 * style.size * np.cos(clock)


def _sway_arms(pose: Pose, style: Style) -> None:
    clock = style.beat(0.45)
    tilt = 0.4 * style.size * np.sin(clock)
    pose.arm_out += 2.7 + np.stack([tilt, -tilt], axis=1)
    pose.sway += 0.1 * style.size * np.sin(clock)


def _jump(pose: Pose, style: Style) -> None:
    clock = style.beat(0.9)
    pose.lift += 0.3 * style.size * np.maximum(np.sin(clock), 0)
    pose.crouch(0.5 * np.maximum(-np.sin(clock), 0))
    pose.arm_forward += (0.6 * np.sin(clock))[:, None]


def _nod(pose: Pose, style: Style) -> None:
    beat = _pulse(style.beat(1.4))
    pose.nod += 0.9 * style.size * beat
    pose.bow += 0.15 * beat


# -- sport -------------------------------------------------------------------------------------------------------------


def _run(pose: Pose, style: Style) -> None:
    clock = style.beat(1.4)
    pose.stride(clock, 0.75 * style.size, 0.8)
    pose.knee += 0.3
    pose.elbow += 1.2
    pose.bow += 0.2
    pose.lift += 0.05 * np.abs(np.sin(clock))
    pose.ahead += 2.9 * style.size * style.pace


def _kick(pose: Pose, style: Style) -> None:
    clock, side = style.beat(0.6), style.side
    pose.leg_forward[:, side] += 0.3 + 0.9 * style.size * np.sin(clock)
    pose.knee[:, side] += 0.9 * np.maximum(np.cos(clock), 0)
    pose.arm_forward[:, 1 - side] += 0.5 * np.sin(clock)
    pose.bow -= 0.15 * np.sin(clock)


def _cheer(pose: Pose, style: Style) -> None:
    up = _pulse(style.beat(0.8))[:, None]
    pose.arm_forward += 1.4 + 1.4 * style.size * up
    pose.elbow += 1.6 * (1 - up)
    pose.lift += 0.06 * up[:, 0]


def _squat(pose: Pose, style: Style) -> None:
    down = _pulse(style.beat(0.5))
    pose.crouch(1.1 * style.size * down)
    pose.arm_forward += (1.4 * down)[:, None]


def _jumping_jack(pose: Pose, style: Style) -> None:
    out = _pulse(style.beat(0.9))
    pose.arm_out += (2.6 * style.size * out)[:, None]
    pose.leg_out += (0.45 * style.size * out)[:, None]
    pose.lift += 0.1 * np.maximum(np.sin(2 * style.beat(0.9)), 0)


def _walk(pose: Pose, style: Style) -> None:
    pose.stride(style.beat(0.95), 0.45 * style.size, 0.4)
    pose.ahead += 1.3 * style.size * style.pace


# -- which there are, and how people call them -------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A kind of movement.

    Attributes:
        activity: during which it is seen.
        write: writes it into a pose.
        phrases: how people call it; SIDE stands for left or right.
        paced: whether it is done slowly, as usual or fast.
        turning: whether its path may bend to the left or right.
    """

    activity: str
    write: Callable[[Pose, Style], None]
    phrases: tuple[str, ...]
    paced: bool = True
    turning: bool = False

    @property
    def sided(self) -> bool:
        """Whether it is done with a side, or to one."""
        return "SIDE" in self.phrases[0]


KINDS = {
    "stand": Kind("quiet", _stand, ("stands still", "is just standing there", "stands without moving"), paced=False),
    "sit": Kind("quiet", _sit, ("sits on a chair", "is sitting and resting", "rests on a seat"), paced=False),
    "sit down": Kind("quiet", _sit_down, ("sits down", "takes a seat", "lowers itself onto a chair")),
    "stand up": Kind("quiet", _stand_up, ("stands up from a chair", "gets up", "rises from a seat")),
    "stretch": Kind("quiet", _stretch, ("stretches both arms", "is stretching", "stretches its body")),
    "drink": Kind("quiet", _drink, ("drinks from a cup in the SIDE hand", "takes sips with the SIDE hand")),
    "type": Kind("work", _type, ("types on a keyboard", "is typing at a desk", "works at a computer")),
    "phone": Kind(
        "work", _phone, ("walks with a phone at the SIDE ear", "walks while holding a phone in the SIDE hand"),
        turning=True,
    ),
    "shake hands": Kind("work", _shake_hands, ("shakes hands", "greets somebody with a handshake")),
    "lift": Kind("work", _lift, ("lifts a box", "picks up a heavy box", "raises something heavy from the floor")),
    "wipe": Kind("work", _wipe, ("wipes a table with the SIDE hand", "is cleaning a table with the SIDE arm")),
    "point": Kind("work", _point, ("points ahead with the SIDE arm", "points at something with the SIDE hand")),
    "raise hand": Kind("school", _raise_hand, ("raises the SIDE hand on a chair", "sits and puts the SIDE hand up")),
    "walk with stops": Kind(
        "school", _walk_with_stops, ("walks and stops several times", "walks, waits and walks on"), turning=True
    ),
    "write": Kind("school", _write, ("writes on a board with the SIDE hand", "is drawing on a wall, SIDE handed")),
    "look around": Kind("school", _look_around, ("looks around", "is looking to all sides", "turns the head about")),
    "hop": Kind("school", _hop, ("hops on the SIDE leg", "is hopping forward on the SIDE foot")),
    "bend down": Kind("school", _bend_down, ("bends down", "bows deeply", "reaches for the floor")),
    "throw": Kind("game", _throw, ("throws something with the SIDE hand", "is throwing a ball with the SIDE arm")),
    "dodge": Kind("game", _dodge, ("dodges to the SIDE", "jumps aside to the SIDE", "takes side steps to the SIDE")),
    "punch": Kind("game", _punch, ("punches with both fists", "is boxing", "hits the air in front")),
    "duck": Kind("game", _duck, ("ducks", "ducks under something", "is crouching to hide")),
    "spin": Kind("game", _spin, ("spins around to the SIDE", "turns on the spot to the SIDE")),
    "kneel": Kind("game", _kneel, ("kneels on the SIDE knee", "goes down on the SIDE knee")),
    "dance": Kind("concert", _dance, ("dances", "is dancing to music", "performs a dance")),
    "clap": Kind("concert", _clap, ("claps", "is clapping its hands", "applauds")),
    "wave": Kind("concert", _wave, ("waves with the SIDE hand", "is waving the SIDE arm")),
    "sway arms": Kind("concert", _sway_arms, ("sways both arms overhead", "swings its raised arms from side to side")),
    "jump": Kind("concert", _jump, ("jumps up and down", "is jumping on the spot", "leaps into the air")),
    "nod": Kind("concert", _nod, ("nods to the beat", "is nodding its head", "bangs its head")),
    "run": Kind("sport", _run, ("runs", "is running", "jogs forward"), turning=True),
    "kick": Kind("sport", _kick, ("kicks with the SIDE leg", "is kicking a ball with the SIDE foot")),
    "cheer": Kind("sport", _cheer, ("cheers with both arms", "throws its arms up in joy", "is cheering")),
    "squat": Kind("sport", _squat, ("does squats", "is doing knee bends", "squats several times")),
    "jumping jack": Kind("sport", _jumping_jack, ("does jumping jacks", "jumps, opening arms and legs")),
    "walk": Kind("sport", _walk, ("walks forward", "is walking", "goes for a walk"), turning=True),
}  # fmt: skip
"""Each activity of the built-in city has six."""

_SUBJECTS = ("a person", "someone", "somebody", "a man", "a woman", "the person", "a human", "the figure")
_PACE_WORDS = {"slow": ("slowly", "unhurriedly", "at a slow pace"), "fast": ("quickly", "fast", "at a high speed")}
_TURN_WORDS = ("and turns to the {}", "in a curve to the {}", "while bearing {}")


@dataclass(frozen=True)
class Movement:
    """What a description tells.

    Attributes:
        kind: of :data:`KINDS`.
        side: left or right, of sided ones.
        pace: of :data:`PACES`; empty: the usual one.
        turn: left or right; empty: straight on.
    """

    kind: str
    side: str = ""
    pace: str = ""
    turn: str = ""

    @property
    def activity(self) -> str:
        """During which it is seen."""
        return KINDS[self.kind].activity

    @classmethod
    def drawn(cls, activity: str, rng: np.random.Generator) -> Movement:
        """One of an activity's, at random.

        Raises:
            IntentError: the activity has none.
        """
        kinds = [name for name, kind in KINDS.items() if kind.activity == activity]
        if not kinds:
            known = ", ".join(dict.fromkeys(kind.activity for kind in KINDS.values()))
            raise IntentError(f"there are no motions of the activity {activity!r}; there are some of {known}")
        name = _one_of(kinds, rng)
        kind = KINDS[name]
        side, pace, turn = (_one_of(words, rng) for words in (SIDES, tuple(PACES), ("", *SIDES)))
        return cls(name, side if kind.sided else "", pace if kind.paced else "", turn if kind.turning else "")

    @classmethod
    def told(cls, description: str) -> Movement:
        """What a sentence of :func:`description` tells.

        Raises:
            IntentError: it tells none.
        """
        words = description.lower()
        for phrase, name in _BY_PHRASE:
            if match := re.search(rf"\b{phrase}\b", words):
                pace = next((pace for pace, known in _PACE_WORDS.items() if any(word in words for word in known)), "")
                turns = (re.search(text.format("(left|right)"), words) for text in _TURN_WORDS)
                turn = next((found[1] for found in turns if found), "")
                return cls(name, match[1] if match.groups() else "", pace, turn)
        raise IntentError(f"{description!r} names no movement that can be made; descriptions come from metalore.intent")


def _by_phrase() -> list[tuple[str, str]]:
    """Patterns of all phrases with their kinds, longest first: one may be the beginning of another."""
    phrases = {phrase.replace("SIDE", "(left|right)"): name for name, kind in KINDS.items() for phrase in kind.phrases}
    return sorted(phrases.items(), key=lambda pair: -len(pair[0]))


_BY_PHRASE = _by_phrase()


def _one_of(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


def description(activity: str, rng: np.random.Generator) -> str:
    """What somebody would write who sees a movement of the activity; :func:`perform` makes a motion of it.

    Raises:
        IntentError: no such activity.
    """
    return describe(Movement.drawn(activity, rng), rng)


def describe(movement: Movement, rng: np.random.Generator) -> str:
    """A sentence about a movement, which :meth:`Movement.told` understands."""
    subject, phrase = _one_of(_SUBJECTS, rng), _one_of(KINDS[movement.kind].phrases, rng)
    phrase = phrase.replace("SIDE", movement.side)
    turn = _one_of(_TURN_WORDS, rng).format(movement.turn) if movement.turn else ""
    pace = _one_of(_PACE_WORDS[movement.pace], rng) if movement.pace else ""
    first = bool(pace) and rng.random() < 0.3
    parts = [pace, subject, phrase, turn] if first else [subject, phrase, pace, turn]
    return " ".join(part for part in parts if part)


def move(activity: str, rng: np.random.Generator) -> np.ndarray:
    """A motion of the activity [t, 21, 3]; from a generator in the same state, :func:`description` tells of it.

    Raises:
        IntentError: no such activity.
    """
    return perform(Movement.drawn(activity, rng), rng)


# -- kinematics --------------------------------------------------------------------------------------------------------


def perform(movement: Movement | str, rng: np.random.Generator) -> np.ndarray:
    """A motion as a movement, or a sentence about it, says; all else is drawn: duration, body, heading, style, noise.

    Returns:
        Joints in metres [t, 21, 3], float32, of 2 to 6 s.

    Raises:
        IntentError: the sentence names no movement that can be made.
    """
    if isinstance(movement, str):
        movement = Movement.told(movement)
    frames = round(rng.uniform(*_SECONDS) * MOTION_HZ)
    pose, time_s = Pose(frames), np.arange(frames) / MOTION_HZ
    pace = rng.uniform(*PACES[movement.pace])
    clock = _TWO_PI * (pace * time_s + rng.uniform(0, 4))
    side = SIDES.index(movement.side) if movement.side else 0
    KINDS[movement.kind].write(pose, Style(time_s, clock, pace, rng.uniform(0.8, 1.2), side))
    _bend_path(pose, movement.turn, rng)
    _vary(pose, rng)
    joints = _joints(pose, _lengths(rng))
    joints += rng.normal(0, rng.uniform(0.002, 0.01), joints.shape)  # of the measurement
    return joints.astype(np.float32)


def _bend_path(pose: Pose, turn: str, rng: np.random.Generator) -> None:
    angle = rng.uniform(0.9, 1.7) * (1 - 2 * SIDES.index(turn)) if turn else rng.normal(0, 0.05)
    pose.heading += angle * np.linspace(0, 1, pose.frames) + rng.uniform(0, _TWO_PI)


def _vary(pose: Pose, rng: np.random.Generator) -> None:
    """No two people stand alike, and none stands quite still."""
    for name in ("bow", "nod", "shake", "arm_forward", "arm_out", "elbow", "leg_out"):
        angles = getattr(pose, name)
        angles += rng.normal(0, 0.06, angles.shape[1:]) + _drift(angles.shape, rng)
    pose.bow += rng.normal(0, 0.04)
    np.clip(pose.elbow, 0, 2.6, out=pose.elbow)
    np.clip(pose.knee, 0, 2.4, out=pose.knee)


def _drift(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Slow changes of about 0.03 rad."""
    time = np.arange(shape[0]) / MOTION_HZ
    waves = [
        0.02 * np.sin(_TWO_PI * rng.uniform(0.1, 0.8) * time + rng.uniform(0, _TWO_PI)) for _ in range(2 * shape[-1])
    ]
    return np.stack(waves, axis=1)[:, : shape[1]] if len(shape) > 1 else waves[0]


def _lengths(rng: np.random.Generator) -> dict[str, float]:
    """Of a body's bones in metres."""
    height = rng.uniform(1.5, 1.95) / 1.75
    usual = {
        "pelvis": 0.06, "torso": 0.22, "chest": 0.22, "head": 0.16, "shoulder": 0.18, "upper arm": 0.29,
        "forearm": 0.26, "hip": 0.09, "thigh": 0.43, "shank": 0.42, "foot": 0.13, "toes": 0.08,
    }  # fmt: skip
    return {name: length * height * rng.normal(1, 0.03) for name, length in usual.items()}


def _joints(pose: Pose, length: dict[str, float]) -> np.ndarray:
    """Forward kinematics: joints [t, 21, 3] of a pose; the lowest one stands on the floor unless it is lifted."""
    facing = _about(1, pose.heading)
    body = facing @ _about(0, pose.lean) @ _about(2, -pose.sway)
    trunk = body @ _about(0, pose.bow) @ _about(1, pose.twist)
    head = trunk @ _about(0, pose.nod) @ _about(1, pose.shake)
    joints = np.zeros((pose.frames, len(JOINTS), 3))

    def place(joint: int, frame: np.ndarray, *offset: float) -> None:
        joints[:, joint] = joints[:, PARENTS[joint]] + frame @ np.array(offset)

    place(1, body, 0, length["pelvis"], 0)
    place(2, trunk, 0, length["torso"], 0)
    place(3, trunk, 0, length["chest"], 0)
    place(4, head, 0, length["head"], 0.03)
    for side, sign in enumerate((1, -1)):
        shoulder, hip = 5 + 3 * side, 11 + 5 * side
        upper = trunk @ _about(2, sign * pose.arm_out[:, side]) @ _about(0, -pose.arm_forward[:, side])
        lower = upper @ _about(0, -pose.elbow[:, side])
        thigh = body @ _about(2, sign * pose.leg_out[:, side]) @ _about(0, -pose.leg_forward[:, side])
        place(shoulder, trunk, sign * length["shoulder"], -0.03, 0)
        place(shoulder + 1, upper, 0, -length["upper arm"], 0)
        place(shoulder + 2, lower, 0, -length["forearm"], 0)
        place(hip, body, sign * length["hip"], -0.03, 0)
        place(hip + 1, thigh, 0, -length["thigh"], 0)
        place(hip + 2, thigh @ _about(0, pose.knee[:, side]), 0, -length["shank"], 0)
        place(hip + 3, facing, 0, -0.06, length["foot"])
        place(hip + 4, facing, 0, -0.01, length["toes"])
    speed = facing @ np.stack([pose.aside, np.zeros(pose.frames), pose.ahead], axis=1)[..., None]
    joints += np.cumsum(speed[..., 0], axis=0)[:, None] / MOTION_HZ
    joints[..., 1] += (pose.lift - joints[..., 1].min(axis=1))[:, None]
    return joints


def _about(axis: int, angle: Angles) -> np.ndarray:
    """Rotations about an axis, right-handed [t, 3, 3]."""
    one, other = (axis + 1) % 3, (axis + 2) % 3
    turned = np.zeros((len(angle), 3, 3))
    turned[:, axis, axis] = 1
    turned[:, one, one] = turned[:, other, other] = np.cos(angle)
    turned[:, other, one] = np.sin(angle)
    turned[:, one, other] = -np.sin(angle)
    return turned
