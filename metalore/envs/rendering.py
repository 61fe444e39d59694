"""Pictures of one environment of a world, fast enough for films of whole episodes.

Drawn straight with pygame; `rgb_array` needs neither a window nor a display.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Literal

import numpy as np
from gymnasium.error import DependencyNotInstalled

from metalore.envs._course import Watch
from metalore.world import World

if TYPE_CHECKING:
    import pygame

SMALLEST = (360, 240)


class Renderer:
    """Draws one environment of a world: the map, who waits where, ages and shares over the episode.

    Call :meth:`observe` after every reset and step, so that the course of the episode is complete; :meth:`draw` when a
    picture is wanted.

    Args:
        world: what is drawn; reset it before the first picture.
        env: which of its environments.
        size: width and height in pixels.
        mode: "rgb_array" for arrays, "human" for a window.
        fps: pictures a second that a window shows.

    Raises:
        ValueError: a mode or a size that cannot be.
        DependencyNotInstalled: pygame is missing.
    """

    def __init__(
        self,
        world: World,
        env: int = 0,
        size: tuple[int, int] = (900, 600),
        mode: Literal["rgb_array", "human"] = "rgb_array",
        fps: int = 30,
    ) -> None:
        if mode not in ("rgb_array", "human"):
            raise ValueError(f"mode is {mode!r}; it can be 'rgb_array' or 'human'")
        if size[0] < SMALLEST[0] or size[1] < SMALLEST[1]:
            raise ValueError(f"size is {size[0]} x {size[1]}; a picture needs {SMALLEST[0]} x {SMALLEST[1]} pixels")
        if not 0 <= env < world.num_envs:
            raise ValueError(f"env is {env}; the world has environments 0 to {world.num_envs - 1}")
        _require_pygame()
        from metalore.envs._picture import Picture

        self.mode, self.fps = mode, fps
        self._watch = Watch(world, env)
        self._picture = Picture(self._watch, size)
        self._window: Window | None = None

    def observe(self) -> None:
        """Take in the present step; a new episode starts a new course."""
        self._watch.look()

    def draw(self) -> np.ndarray | None:
        """A picture of the present step.

        Returns:
            A new array uint8 [height, width, 3]; None in mode "human", which shows it and waits for its turn.
        """
        self._watch.look()
        if self.mode == "rgb_array":
            self._picture.draw()
            return self._picture.canvas.rgb()
        if self._window is None:
            self._window = Window(self._picture.size, f"MetaLore: {self._watch.world.scenario.name}")
        if self._window.open:
            self._picture.draw()
            self._window.show(self._picture.canvas.surface, self.fps)
        return None

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            self._window.close()
            self._window = None


def _require_pygame() -> None:
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pygame may ask setuptools for something deprecated
            import pygame  # noqa: F401
    except ImportError as missing:
        raise DependencyNotInstalled('Rendering needs pygame: pip install "metalore[render]".') from missing


class Window:
    """A window that may be closed at any time; what is shown afterwards goes nowhere."""

    def __init__(self, size: tuple[int, int], title: str) -> None:
        import pygame

        self._pygame = pygame
        pygame.display.init()
        self._screen = pygame.display.set_mode(size)
        pygame.display.set_caption(title)
        self._clock = pygame.time.Clock()
        self.open = True

    def show(self, picture: pygame.Surface, fps: int) -> None:
        """Show a picture for one frame of `fps`."""
        pygame = self._pygame
        for event in pygame.event.get():
            if event.type == pygame.QUIT or (event.type == pygame.KEYDOWN and event.key == pygame.K_ESCAPE):
                self.close()
                return
        self._screen.blit(picture, (0, 0))
        pygame.display.flip()
        self._clock.tick(fps)

    def close(self) -> None:
        """Close it; closing twice is fine."""
        if self.open:
            self.open = False
            self._pygame.display.quit()
