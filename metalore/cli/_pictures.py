"""Pictures and films of an episode; needs the render extra."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from metalore.policies import Policy
from metalore.scenario import Scenario
from metalore.world import World


def frames(scenario: Scenario, policy: Policy, seed: int) -> Iterator[np.ndarray]:
    """Pictures of an episode, after its reset and after each step.

    Raises:
        DependencyNotInstalled: pygame is missing.
    """
    from metalore.envs.rendering import Renderer

    world = World(scenario)
    renderer = Renderer(world, env=0, mode="rgb_array")
    world.reset(seed)
    while True:
        renderer.observe()
        picture = renderer.draw()
        assert picture is not None  # that is for windows only
        yield picture
        if world.ended[0]:
            return
        world.step(policy(world))


class Films:
    """Films of one episode, as GIF or MP4. Made before a long run, so that a wrong name is told at once.

    Args:
        paths: where to, by the option that said so.
        fps: frames a second; a frame is a step.

    Raises:
        ValueError: a name with another ending than the option's, or no positive `fps`.
        DependencyNotInstalled: the render extra is missing.
    """

    def __init__(self, paths: Mapping[str, Path | None], fps: float) -> None:
        self.paths = [path for path in paths.values() if path is not None]
        for option, path in paths.items():
            ending = "." + option.strip("-")
            if path is not None and path.suffix.lower() != ending:
                raise ValueError(f"{option} writes a file whose name ends in {ending}, not {path}")
        if self.paths:
            from metalore.envs.recording import Recorder

            self._recorders = [Recorder(path, fps) for path in self.paths]

    def record(self, scenario: Scenario, policy: Policy, seed: int) -> None:
        """Play the episode and write what was asked for."""
        if not self.paths:
            return
        with ExitStack() as stack:
            recorders = [stack.enter_context(recorder) for recorder in self._recorders]
            for frame in frames(scenario, policy, seed):
                for recorder in recorders:
                    recorder.add(frame)
