"""Pictures of what goes on in a zone, drawn with Pillow, and sentences that say so.

A scene is what both have in common: what goes on, how many people, and the light. Everything else in a picture is drawn
at random: places, colours, positions, exposure, noise. There is no text in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from metalore.intent._painter import Colour, Painter
from metalore.intent.errors import IntentError

NAMING: dict[str, tuple[str, ...]] = {
    "quiet": ("quiet", "calm", "peaceful"),
    "work": ("work", "office"),
    "school": ("school", "class", "lesson"),
    "concert": ("concert", "band", "music"),
    "game": ("game", "gaming", "gamers"),
    "sport": ("sport", "match", "football"),
    "market": ("market", "stalls"),
}
"""The words that name an activity. Each belongs to one, and a caption has words of one only."""

_SUBJECTS: dict[str, tuple[str, ...]] = {
    "quiet": ("a quiet street", "a calm place", "a peaceful corner"),
    "work": ("work at desks", "an office", "an open office"),
    "school": ("a school", "a class", "a lesson"),
    "concert": ("a concert", "a band on a stage", "live music"),
    "game": ("a game on screens", "a gaming room", "a meeting of gamers"),
    "sport": ("sport on the grass", "a match", "a football field"),
    "market": ("a market", "a row of stalls", "a street market"),
}
_SENTENCES = (
    "{subject} with {people} {light}",
    "{subject} {light} with {people}",
    "{people} at {subject} {light}",
    "{light} there is {subject} with {people}",
    "{light} we see {people} at {subject}",
)
_LIGHTS = {
    "day": ("by day", "in daylight"),
    "evening": ("in the evening", "at dusk"),
    "night": ("at night", "in the dark"),
}
_PEOPLE = {"quiet": (0, 2), "concert": (6, 16)}
"""Fewest and most people, where they are not the usual ones."""
_USUAL_PEOPLE = (2, 12)
_FEW = ("nobody", "one person", "two people")
_MANY = 7


@dataclass(frozen=True)
class Scene:
    """What a picture and its caption have in common.

    Attributes:
        activity: one of :data:`NAMING`.
        people: how many there are.
        light: day, evening or night.
        seed: of everything else.
    """

    activity: str
    people: int
    light: str
    seed: int

    @classmethod
    def of(cls, activity: str, rng: np.random.Generator) -> Scene:
        """One at random.

        Raises:
            IntentError: no such activity.
        """
        if activity not in NAMING:
            raise IntentError(f"no scene shows {activity!r}; there are {', '.join(NAMING)}")
        fewest, most = _PEOPLE.get(activity, _USUAL_PEOPLE)
        return cls(
            activity=activity,
            people=int(rng.integers(fewest, most + 1)),
            light=str(rng.choice(list(_LIGHTS))),
            seed=int(rng.integers(2**32)),
        )

    def draw(self, size: int = 96) -> Image.Image:
        """The picture, RGB, `size` pixels wide and high."""
        painter = Painter(size, self.light, np.random.default_rng([self.seed, 0]))
        _DRAWN[self.activity](painter, self.people)
        return painter.photograph()

    def caption(self) -> str:
        """A sentence that names the activity, the people and the light; small letters, no full stop, as BLIP writes."""
        rng = np.random.default_rng([self.seed, 1])
        return str(rng.choice(_SENTENCES)).format(
            subject=rng.choice(_SUBJECTS[self.activity]),
            people=_counted(self.people),
            light=rng.choice(_LIGHTS[self.light]),
        )


def draw(activity: str, rng: np.random.Generator, size: int = 96) -> Image.Image:
    """A picture of an activity [size, size], RGB; a generator in the same state gives its :func:`caption`.

    Raises:
        IntentError: no such activity.
    """
    return Scene.of(activity, rng).draw(size)


def caption(activity: str, rng: np.random.Generator) -> str:
    """A sentence that names an activity.

    Raises:
        IntentError: no such activity.
    """
    return Scene.of(activity, rng).caption()


def named(sentence: str) -> str | None:
    """The activity that a sentence names; None if it names none, or several."""
    words = {word.strip(".,") for word in sentence.lower().split()}
    found = [activity for activity, names in NAMING.items() if words.intersection(names)]
    return found[0] if len(found) == 1 else None


def every_phrase() -> list[str]:
    """What captions are made of; small encoders take their vocabulary from it."""
    people = {_counted(number) for number in range(_MANY + 1)}
    frames = [sentence.format(subject="", people="", light="") for sentence in _SENTENCES]
    phrases = [*_SUBJECTS.values(), *_LIGHTS.values(), sorted(people), frames]
    return [phrase for group in phrases for phrase in group]


def _counted(people: int) -> str:
    if people < len(_FEW):
        return _FEW[people]
    return "many people" if people >= _MANY else "a few people"


# -- what each activity looks like -------------------------------------------------------------------------------------


def _quiet(painter: Painter, people: int) -> None:
    horizon = painter.between(0.5, 0.65)
    painter.outdoors(horizon, (120, 160, 95) if painter.chance(0.5) else (150, 145, 140))
    for _ in range(painter.rng.integers(1, 4)):
        painter.tree(painter.between(0.05, 0.95), painter.between(horizon + 0.05, 0.9), painter.between(0.3, 0.5))
    if painter.chance(0.5):  # a path
        middle = painter.between(0.3, 0.7)
        path = [(middle - 0.03, horizon), (middle + 0.03, horizon), (middle + 0.2, 1), (middle - 0.2, 1)]
        painter.shape(path, painter.near((185, 170, 140)))
    left, seat = painter.between(0.1, 0.7), painter.between(0.78, 0.9)
    painter.box(left, seat - 0.02, left + 0.22, seat + 0.02, painter.near((110, 75, 45)))  # a bench
    painter.box(left, seat - 0.1, left + 0.22, seat - 0.06, painter.near((110, 75, 45)))
    painter.crowd(people, 0.75, 0.95, 0.27)


def _work(painter: Painter, people: int) -> None:
    painter.indoors(painter.between(0.45, 0.6))
    painter.crowd(people, 0.6, 0.85, 0.25)
    for row in (0.62, 0.85):
        shift, desk = painter.between(-0.1, 0.1), painter.near((150, 115, 80), 35)
        for left in np.arange(0.04, 0.9, 0.34) + shift:
            painter.box(left, row, left + 0.28, row + 0.035, desk)
            painter.box(left + 0.01, row, left + 0.03, row + 0.14, desk)
            painter.box(left + 0.25, row, left + 0.27, row + 0.14, desk)
            _monitor(painter, left + painter.between(0.04, 0.12), row)


def _monitor(painter: Painter, left: float, desk: float) -> None:
    painter.box(left, desk - 0.13, left + 0.15, desk - 0.02, (25, 25, 30))
    painter.box(left + 0.01, desk - 0.12, left + 0.14, desk - 0.03, painter.near((205, 220, 235), 20))
    painter.box(left + 0.06, desk - 0.02, left + 0.09, desk, (25, 25, 30))
    painter.glow(left + 0.075, desk - 0.075, 0.05, (60, 70, 85))


def _school(painter: Painter, people: int) -> None:
    painter.indoors(painter.between(0.5, 0.62))
    left, top = painter.between(0.12, 0.3), painter.between(0.08, 0.16)
    board = painter.near((35, 85, 60), 15) if painter.chance(0.7) else painter.near((40, 45, 50), 12)
    painter.box(left - 0.02, top - 0.02, left + 0.57, top + 0.3, painter.near((140, 100, 60)))
    painter.box(left, top, left + 0.55, top + 0.28, board)
    for y in np.arange(top + 0.05, top + 0.25, 0.06):  # chalk
        xs = np.arange(left + 0.04, left + painter.between(0.2, 0.5), 0.03)
        painter.line([(x, y + painter.between(-0.012, 0.012)) for x in xs], (225, 225, 215), 0.01)
    painter.person(painter.between(0.05, 0.95), 0.66, 0.38)
    painter.crowd(max(people - 1, 0), 0.78, 0.98, 0.2)
    for row in (0.8, 0.96):
        for x in np.arange(0.08, 0.95, 0.24):
            painter.box(x - 0.07, row, x + 0.07, row + 0.025, painter.near((215, 175, 110)))


def _concert(painter: Painter, people: int) -> None:
    painter.outdoors(0.6, (70, 70, 75))
    left, right, floor = painter.between(0.05, 0.2), painter.between(0.8, 0.95), painter.between(0.5, 0.6)
    painter.box(left, 0.08, right, floor, painter.colour(15, 60))
    painter.box(left - 0.03, floor, right + 0.03, floor + 0.08, painter.near((60, 50, 50)))
    for _ in range(painter.rng.integers(3, 7)):  # beams of light
        top, foot = painter.between(left, right), painter.between(left, right)
        beam = painter.colour(120, 255)
        painter.shape([(top - 0.01, 0.1), (top + 0.01, 0.1), (foot + 0.07, floor), (foot - 0.07, floor)], beam)
        painter.glow(top, 0.12, 0.03, beam)
        painter.glow(foot, floor - 0.05, 0.05, beam)
    for x in np.linspace(left + 0.12, right - 0.12, painter.rng.integers(2, 5)):  # the band
        painter.person(x, floor + 0.01, 0.24)
    for x in (left - 0.01, right - 0.09):  # loudspeakers
        painter.box(x, floor - 0.26, x + 0.1, floor, (20, 20, 22))
        painter.oval(x + 0.02, floor - 0.12, x + 0.08, floor - 0.04, (85, 85, 90))
    painter.crowd(people, 0.85, 1.05, 0.26)


def _game(painter: Painter, people: int) -> None:
    painter.indoors(painter.between(0.55, 0.7))
    for left in (0.06, 0.54) if painter.chance(0.6) else (painter.between(0.15, 0.35),):
        _arcade(painter, left, painter.between(0.08, 0.18), painter.between(0.38, 0.46))
    painter.crowd(people, 0.8, 1.0, 0.27)
    for _ in range(painter.rng.integers(2, 5)):  # pads in hands
        x, y = painter.between(0.1, 0.85), painter.between(0.78, 0.9)
        painter.oval(x, y, x + 0.09, y + 0.05, (25, 25, 30))
        painter.oval(x + 0.055, y + 0.012, x + 0.075, y + 0.032, (235, 60, 60))


def _arcade(painter: Painter, left: float, top: float, wide: float) -> None:
    """A screen with a world of blocks."""
    high = 0.8 * wide
    painter.box(left - 0.015, top - 0.015, left + wide + 0.015, top + high + 0.015, (20, 20, 24))
    painter.box(left, top, left + wide, top + high, painter.colour(20, 110))
    cell = wide / 8
    for column in range(8):
        for row in range(6 - int(painter.rng.integers(0, 4)), 6):
            x, y = left + column * cell, top + row * high / 6
            painter.box(x, y, x + 0.9 * cell, y + 0.9 * high / 6, painter.colour(90, 255))
    for _ in range(4):
        x, y = painter.between(left, left + wide - cell), painter.between(top, top + 0.5 * high)
        painter.oval(x, y, x + 0.7 * cell, y + 0.7 * cell, (255, 220, 40))
    painter.glow(left + wide / 2, top + high / 2, wide / 2.2, painter.colour(60, 130))


def _sport(painter: Painter, people: int) -> None:
    horizon = painter.between(0.34, 0.46)
    painter.outdoors(horizon, (75, 150, 65))
    for left in np.arange(0, 1, 0.25):  # mown stripes
        if painter.chance(0.7):
            painter.box(left, horizon, left + 0.125, 1, painter.near((90, 168, 78), 10))
    white = (240, 240, 235)
    painter.line([(0, painter.between(0.85, 0.95)), (1, painter.between(0.85, 0.95))], white)
    middle, centre = painter.between(0.35, 0.65), painter.between(0.62, 0.72)
    painter.line([(middle, horizon), (middle, 1)], white)
    ring = np.linspace(0, 2 * np.pi, 25)
    painter.line([(middle + 0.2 * np.cos(turn), centre + 0.09 * np.sin(turn)) for turn in ring], white)
    goal, bar = painter.between(0.02, 0.1) if painter.chance(0.5) else painter.between(0.68, 0.76), horizon - 0.08
    posts = [(goal, bar + 0.2), (goal, bar), (goal + 0.22, bar), (goal + 0.22, bar + 0.2)]
    painter.line(posts, white, 0.02)
    teams: list[Colour] = [painter.colour(), painter.colour()]
    painter.crowd(people, horizon + 0.15, 0.97, 0.2, teams)
    x, y = painter.between(0.1, 0.9), painter.between(0.65, 0.9)
    painter.oval(x, y, x + 0.05, y + 0.05, (250, 250, 250))


def _market(painter: Painter, people: int) -> None:
    painter.outdoors(painter.between(0.5, 0.6), (165, 155, 140))
    for left in np.arange(painter.between(-0.1, 0.05), 0.85, painter.between(0.32, 0.45)):
        _stall(painter, left, painter.between(0.28, 0.36), painter.between(0.28, 0.36))
    painter.crowd(people, 0.85, 1.02, 0.27)


def _stall(painter: Painter, left: float, top: float, wide: float) -> None:
    """An awning with stripes over a table with fruit."""
    table, stripe = top + 0.32, painter.colour(60, 220)
    for x in (left + 0.01, left + wide - 0.03):
        painter.box(x, top, x + 0.02, table + 0.14, (120, 95, 70))
    for part in range(6):
        x, next_x = left + part * wide / 6, left + (part + 1) * wide / 6
        colour = stripe if part % 2 else (245, 240, 230)
        painter.shape(
            [(x + 0.02, top - 0.02), (next_x + 0.02, top - 0.02), (next_x, top + 0.11), (x, top + 0.11)], colour
        )
    painter.box(left, table, left + wide, table + 0.12, painter.near((150, 110, 70)))
    for x in np.arange(left + 0.01, left + wide - 0.04, 0.05):
        painter.oval(x, table - 0.035, x + 0.05, table + 0.015, painter.colour(70, 255))


_DRAWN: dict[str, Callable[[Painter, int], None]] = {
    "quiet": _quiet,
    "work": _work,
    "school": _school,
    "concert": _concert,
    "game": _game,
    "sport": _sport,
    "market": _market,
}
